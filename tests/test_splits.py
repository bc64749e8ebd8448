"""Folds and validation sets keep whole groups together and give every class and source its share."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data import grouped_folds, holdout, identity_units
from core.errors import DataError


def make_table(rows: list[tuple[str, str, str, str]]) -> pd.DataFrame:
    """One row per image of (source, label, group, sha256)."""
    table = pd.DataFrame(rows, columns=["source", "label", "group", "sha256"], dtype="str")
    return table.assign(file=[f"{i:04d}.png" for i in range(len(table))])


def random_table(seed: int) -> pd.DataFrame:
    """Two sources, three labels, groups of 1 to 6 images, some of which repeat an image of another group."""
    rng = np.random.default_rng(seed)
    rows = []
    sizes = {("a", "normal"): 9, ("a", "tumour"): 6, ("b", "normal"): 4, ("b", "flu"): 7}
    for (source, label), n_groups in sizes.items():
        for group in range(n_groups + rng.integers(4)):
            for image in range(rng.integers(1, 7)):
                own = f"{source}{label}{group}.{image}"
                digest = f"copy{rng.integers(3)}" if rng.random() < 0.03 else own
                rows.append((source, label, f"{source}/{label}{group}", digest))
    return make_table([rows[i] for i in rng.permutation(len(rows))])


def separated(table: pd.DataFrame, sides: np.ndarray) -> int:
    """How many groups or file contents lie on more than one side."""
    table = table.assign(side=sides)
    return sum(int((table.groupby(key)["side"].nunique() > 1).sum()) for key in ("group", "sha256"))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 3))
def test_no_split_separates_a_group_or_identical_files(table_seed, seed):
    table = random_table(table_seed)
    folds = grouped_folds(table, 3, seed)
    validation = holdout(table, 0.25, seed)
    assert separated(table, folds) == 0
    assert separated(table, validation) == 0
    assert set(folds) == {0, 1, 2}
    assert set(table["label"][validation]) == set(table["label"][~validation]) == {"normal", "tumour", "flu"}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6))
def test_a_split_depends_on_the_seed_but_not_on_the_order_of_rows(table_seed):
    table = random_table(table_seed)
    order = np.random.default_rng(table_seed).permutation(len(table))
    shuffled = table.iloc[order]
    for split in (lambda t, seed: grouped_folds(t, 4, seed), lambda t, seed: holdout(t, 0.3, seed)):
        np.testing.assert_array_equal(split(shuffled, 0), split(table, 0)[order])
        assert any((split(table, 0) != split(table, seed)).any() for seed in range(1, 6))


def test_groups_chained_by_identical_files_are_one_unit():
    rows = [("s", "x", "g1", "A"), ("s", "x", "g2", "A"), ("s", "x", "g2", "B")]
    table = make_table([*rows, ("t", "x", "g3", "B"), ("t", "x", "g4", "C")])
    units = identity_units(table)
    assert len(set(units[:4])) == 1
    assert units[4] != units[0]


def test_folds_and_holdout_give_each_label_of_each_source_its_share():
    sizes = {("a", "normal"): 40, ("a", "tumour"): 20, ("b", "normal"): 100, ("b", "flu"): 60}
    table = make_table(
        [(s, label, f"{s}/{label}{i}", f"{s}{label}{i}") for (s, label), n in sizes.items() for i in range(n)]
    )
    folds = table.assign(fold=grouped_folds(table, 5, seed=1)).groupby(["source", "label", "fold"]).size()
    assert {key: set(folds[key]) for key in sizes} == {key: {n // 5} for key, n in sizes.items()}
    table["validation"] = holdout(table, 0.2, seed=1)
    assert (table.groupby(["source", "label"])["validation"].mean() - 0.2).abs().max() <= 0.05
    assert table["validation"].sum() == 44


def test_a_source_with_fewer_groups_than_folds_is_still_spread_by_label():
    rows = [("a", "normal", f"a/{i}", f"a{i}") for i in range(9)]
    rows += [("b", "normal", f"b/{i}", f"b{i}") for i in range(2)]
    rows += [("b", "tumour", f"b/t{i}", f"t{i}") for i in range(3)]
    table = make_table(rows)
    counts = table.assign(fold=grouped_folds(table, 3, seed=0)).groupby(["label", "fold"]).size()
    assert sorted(counts["normal"]) == [3, 4, 4]
    assert sorted(counts["tumour"]) == [1, 1, 1]


def test_a_label_with_fewer_groups_than_folds_is_an_error_naming_it():
    table = make_table([("s", "normal", f"g{i}", str(i)) for i in range(5)] + [("s", "tumour", "t", "t")] * 4)
    with pytest.raises(DataError, match="label tumour: found 1 groups; expected at least 3"):
        grouped_folds(table, 3, seed=0)


def test_a_label_of_two_groups_is_on_both_sides_and_of_one_group_stays_in_training():
    rows = [("s", "normal", f"n{i}", f"n{i}") for i in range(20)]
    rows += [("s", "tumour", "t0", f"t0.{i}") for i in range(9)] + [("s", "tumour", "t1", "t1")]
    rows += [("s", "flu", "f", f"f{i}") for i in range(5)]
    table = make_table(rows)
    for seed in range(10):
        validation = holdout(table, 0.15, seed)
        assert table["group"][validation & (table["label"] == "tumour")].unique().tolist() == ["t1"]
        assert not validation[table["label"] == "flu"].any()
        assert validation[table["label"] == "normal"].sum() == 3


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, 20.0])
def test_a_validation_fraction_out_of_range_is_an_error(fraction):
    with pytest.raises(DataError, match="validation fraction"):
        holdout(random_table(0), fraction, seed=0)


def test_one_group_cannot_be_split():
    table = make_table([("s", "normal", "g", str(i)) for i in range(5)])
    with pytest.raises(DataError, match="1 groups"):
        holdout(table, 0.2, seed=0)
    with pytest.raises(DataError, match="at least 2"):
        grouped_folds(table, 1, seed=0)
