"""Kept predictions come back as they were kept, one scheme at a time, and what is wrong with them is named."""

import json

import numpy as np
import pandas as pd
import pytest

from core.errors import DataError, RunError
from core.runs import Run
from core.scored import load_scored, schemes, slice_columns
from tests.made_scores import made_scores, predictions_of


@pytest.fixture
def run(tmp_path) -> Run:
    """A run with two schemes and a kept test, whose further columns differ."""
    made = made_scores(60, seed=1)
    tables = [
        predictions_of(made_scores(60, seed, scheme=name)) for seed, name in enumerate(("validation", "group"))
    ]
    drawings = predictions_of(made_scores(20, 5, scheme="drawings")).drop(columns="severity").assign(seed="7")
    pd.concat([drawings, *tables]).to_parquet(tmp_path / "predictions.parquet")
    config = {"labels": list(made.labels), "recipe": {}, "temperature": made.temperature}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return Run(tmp_path)


def test_schemes_come_least_flattering_first_and_kept_tests_last(run):
    assert schemes(run) == ["group", "validation", "drawings"]


def test_a_scheme_comes_back_as_it_was_kept(run):
    kept, found = made_scores(60, 1, scheme="group"), load_scored(run, "group")
    assert np.array_equal(found.probabilities, kept.probabilities)
    assert np.array_equal(found.logits, kept.logits)
    assert np.array_equal(found.targets, kept.targets)
    assert (found.n_slices, found.n_groups, found.labels) == (60, kept.n_groups, kept.labels)
    same = kept.groups[:, None] == kept.groups
    assert np.array_equal(found.groups[:, None] == found.groups, same)
    assert found.frame.equals(kept.frame.assign(severity=found.frame["severity"]))
    again = np.exp(found.logits / found.temperature)
    assert np.allclose(again / again.sum(axis=1, keepdims=True), found.probabilities)


def test_columns_of_other_schemes_do_not_show(run):
    assert "seed" not in load_scored(run, "group").frame.columns
    assert "severity" not in load_scored(run, "drawings").frame.columns


def test_results_can_be_sliced_by_columns_of_few_values_and_not_by_the_label(run):
    assert slice_columns(load_scored(run, "group")) == ["source", "severity"]
    assert slice_columns(load_scored(run, "drawings")) == ["source"]


def test_a_part_of_the_slices_counts_its_groups_anew(run):
    found = load_scored(run, "group")
    mask = found.targets == 2
    part = found.where(mask)
    assert part.n_slices == mask.sum() == len(part.frame)
    assert part.n_groups == len(set(found.frame["group"][mask])) == part.groups.max() + 1
    assert part.frame["file"].tolist() == found.frame["file"][mask].tolist()
    assert found.where(np.zeros(60, bool)).n_groups == 0
    with pytest.raises(DataError, match="mask"):
        found.where(mask[:5])


def test_what_is_not_there_is_named(run):
    with pytest.raises(RunError, match="'source'; expected one of group, validation, drawings"):
        load_scored(run, "source")
    with pytest.raises(DataError, match="'cyst'; expected one of normal"):
        load_scored(run, "group").index("cyst")
    frame = pd.read_parquet(run.path / "predictions.parquet")
    frame.drop(columns="logit_tumour").to_parquet(run.path / "predictions.parquet")
    with pytest.raises(RunError, match="no column logit_tumour"):
        load_scored(run, "group")
    frame.replace({"label": {"tumour": "cyst"}}).to_parquet(run.path / "predictions.parquet")
    with pytest.raises(RunError, match="label 'cyst'"):
        load_scored(run, "group")


@pytest.mark.parametrize(
    ("column", "value", "found"),
    [
        ("p_tumour", np.nan, "rows that are not probabilities"),
        ("p_normal", 1.5, "rows that are not probabilities"),
        ("p_normal", 0.0, "rows that are not probabilities"),
        ("logit_normal", np.inf, "logits that are not finite"),
        ("group", None, "slices without a group"),
    ],
)
def test_predictions_that_no_run_writes_are_refused(run, column, value, found):
    frame = pd.read_parquet(run.path / "predictions.parquet")
    frame = frame.reset_index(drop=True)
    place = int((frame["scheme"] == "group").to_numpy().argmax())
    frame.loc[place, column] = value
    frame.to_parquet(run.path / "predictions.parquet")
    with pytest.raises(RunError, match=found):
        load_scored(run, "group")
    assert load_scored(run, "validation").n_slices == 60


def test_a_run_without_predictions_or_with_damaged_ones_says_so(run):
    path = run.path / "predictions.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(RunError, match="cannot be read"):
        schemes(run)
    path.unlink()
    assert schemes(run) == []
    with pytest.raises(RunError, match="kept predictions"):
        load_scored(run, "group")
