"""Two runs on the same images: pairing by bytes, differences with intervals that cover, and McNemar's test."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from core import metrics
from core.comparison import (
    compare,
    left_out,
    mcnemar,
    paired_differences,
    read_schemes,
    shared_schemes,
    smooth,
    thin,
)
from core.errors import RunError
from core.labels import LABELS
from tests.made_runs import DEMO, made_predictions, made_run


def arrays(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, list[str]]:
    targets = frame["label"].map(LABELS.index).to_numpy()
    return frame[[f"p_{label}" for label in LABELS]].to_numpy(), targets, frame["group"].tolist()


def same_as(estimate: metrics.Estimate) -> object:
    """Equal to this estimate but for rounding."""

    class Same:
        def __eq__(self, other: metrics.Estimate) -> bool:
            return (other.value, other.low, other.high) == pytest.approx(
                (estimate.value, estimate.low, estimate.high)
            )

    return Same()


def test_each_runs_own_numbers_are_those_of_its_metrics():
    frame = made_predictions(90, 1)
    frame.loc[:40, [f"p_{label}" for label in LABELS]] = [0.5, 0.3, 0.2]  # ties
    first, targets, groups = arrays(frame)
    second, _, _ = arrays(made_predictions(90, 2, skill=0.5))
    found = {item.name: item for item in paired_differences(first, second, targets, groups, LABELS, 300, 4)}
    for side, probabilities in (("first", first), ("second", second)):
        alone = metrics.evaluate(probabilities, targets, groups, LABELS, 300, 4)
        assert getattr(found["balanced_accuracy"], side) == same_as(alone.balanced_accuracy)
        assert getattr(found["accuracy"], side) == same_as(alone.accuracy)
        assert getattr(found["brier"], side) == same_as(alone.brier)
        assert getattr(found["auc"], side) == same_as(alone.diseased_auc)
        for report in alone.classes:
            own = getattr(found[f"sensitivity_{report.label}"], side)
            assert own == same_as(report.sensitivity)


def test_a_difference_is_the_seconds_value_less_the_firsts_and_turns_with_the_order():
    first, targets, groups = arrays(made_predictions(120, 1, skill=0.4))
    second, _, _ = arrays(made_predictions(120, 2, skill=2.5))
    forth = paired_differences(first, second, targets, groups, LABELS)
    back = paired_differences(second, first, targets, groups, LABELS)
    for one, other in zip(forth, back, strict=True):
        assert one.difference.value == pytest.approx(one.second.value - one.first.value)
        assert (one.difference.low, one.difference.high) == pytest.approx(
            (-other.difference.high, -other.difference.low)
        )
    assert {item.verdict for item in forth} == {"second"} and {item.verdict for item in back} == {"first"}


def test_runs_that_agree_everywhere_have_no_difference_and_claim_no_interval():
    probabilities, targets, groups = arrays(made_predictions(60, 1))
    for item in paired_differences(probabilities, probabilities, targets, groups, LABELS):
        assert (item.difference.value, item.difference.low, item.difference.high) == (0, None, None)
        assert "no variation" in item.difference.note and item.verdict is None


def test_pairing_narrows_the_interval_of_runs_that_err_on_the_same_images():
    frame = made_predictions(300, 1, skill=1.0)
    first, targets, groups = arrays(frame)
    second = first.copy()
    second[:20] = np.eye(3)[targets[:20]]
    [difference] = [
        item for item in paired_differences(first, second, targets, groups, LABELS) if item.name == "accuracy"
    ]
    widths = [item.high - item.low for item in (difference.first, difference.second, difference.difference)]
    assert widths[2] < 0.5 * np.hypot(widths[0], widths[1])


def test_intervals_of_differences_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(7)
    n_groups, each, mean, spread = 120, 2, np.array([0.9, 0.5]), 0.8
    truth = np.subtract(*norm.cdf(mean[::-1] / np.hypot(1, spread)))  # the second's accuracy less the first's
    groups = np.repeat(np.arange(n_groups), each)
    covered = []
    for _ in range(600):
        targets = rng.integers(3, size=n_groups * each)
        hard = np.repeat(spread * rng.normal(size=n_groups), each)
        sides = []
        for level in mean:
            right = rng.normal(size=len(targets)) < level + hard
            called = np.where(right, targets, (targets + 1) % 3)
            sides.append(0.1 + 0.7 * np.eye(3)[called])
        found = paired_differences(*sides, targets, groups, LABELS, 400, 1)
        covered.append([item.difference.low <= truth <= item.difference.high for item in found[:2]])
    assert (np.mean(covered, axis=0) >= 0.93).all() and (np.mean(covered, axis=0) <= 0.97).all()


def test_a_difference_that_rests_on_few_groups_is_claimed_for_no_run():
    """Percentiles claimed one from four groups, whatever their number; the sign test has p 0.125 there."""
    _, targets, groups = arrays(made_predictions(400, 1, skill=0.0))
    better = np.eye(3)[targets]
    for differing, verdict in ((4, None), (20, "second")):
        second = 0.1 + 0.7 * np.eye(3)[(targets + 1) % 3]  # all called wrongly
        first = second.copy()
        second[: 2 * differing] = better[: 2 * differing]
        found = {item.name: item for item in paired_differences(first, second, targets, groups, LABELS)}
        assert found["accuracy"].difference.value == pytest.approx(2 * differing / 400)
        assert {found[name].verdict for name in ("accuracy", "balanced_accuracy", "brier")} == {verdict}
        noted = found["accuracy"].difference.note
        assert noted == ("the runs differ in only 4 groups, a rough interval" if verdict is None else None)


def test_two_groups_decide_nothing():
    targets, groups = np.array([0, 1, 2, 0, 1, 2]), list("aaabbb")
    right, wrong = np.eye(3)[targets], np.eye(3)[(targets + 1) % 3]
    mixed = np.where(np.arange(6)[:, None] == 0, right, wrong)
    found = paired_differences(mixed, right, targets, groups, LABELS)
    assert {item.verdict for item in found} == {None}
    for item in found:
        limit = 2 if item.name == "brier" else 1
        assert item.difference.low is None or -limit <= item.difference.low <= item.difference.high <= limit


def test_mcnemars_exact_test_gives_a_published_p_value():
    """Fay 2011, "Exact McNemar's test and matching confidence intervals", package exact2x2: 2, 9, p 0.06543."""
    first = np.array([True] * 21 + [True] * 9 + [False] * 2 + [False] * 12)
    second = np.array([True] * 21 + [False] * 9 + [True] * 2 + [False] * 12)
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (9, 2)
    assert found.p == pytest.approx(0.06543, abs=5e-6)
    assert mcnemar(first, first).p == 1


def test_images_are_paired_by_their_bytes_whatever_they_are_called(tmp_path):
    first, second = made_predictions(30, 1), made_predictions(40, 2)
    second = second.iloc[10:].assign(file=lambda rows: "renamed/" + rows["file"]).sample(frac=1, random_state=0)
    second.loc[25, "label"] = "tumour" if second.loc[25, "label"] != "tumour" else "normal"
    paths = made_run(tmp_path, "one", first), made_run(tmp_path, "two", second)
    found = compare(*paths, "validation")
    assert (found.shared, found.only_first, found.only_second, found.relabelled) == (19, 10, 10, 1)
    kept = [place for place in range(10, 30) if place != 25]
    one, targets, groups = arrays(first.loc[kept])
    two, _, _ = arrays(second.loc[kept])
    right = [(one.argmax(1) == targets), (two.argmax(1) == targets)]
    assert found.groups == len(set(groups))
    total = found.counts.iloc[-1]
    assert total["label"] is None or pd.isna(total["label"])
    assert total["only_first"] == found.mcnemar.only_first == (right[0] & ~right[1]).sum()
    assert total["both"] == (right[0] & right[1]).sum() and total["neither"] == (~right[0] & ~right[1]).sum()
    assert found.counts.iloc[:-1][["both", "only_first", "only_second", "neither"]].sum().tolist() == (
        total[["both", "only_first", "only_second", "neither"]].tolist()
    )
    accuracy = next(item for item in found.differences if item.name == "accuracy")
    assert accuracy.difference.value == pytest.approx(right[1].mean() - right[0].mean())


def test_copies_of_an_image_are_paired_one_to_one(tmp_path):
    twice = made_predictions(6, 1).assign(sha256="a" * 64, label="normal")
    found = compare(made_run(tmp_path, "one", twice), made_run(tmp_path, "two", twice.iloc[:4]), "validation")
    assert (found.shared, found.only_first, found.only_second) == (4, 2, 0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda frame: frame.assign(sha256="f" + frame["sha256"].str[1:]), "no image in common"),
        (lambda frame: frame.assign(scheme="test"), "no predictions of scheme 'validation'"),
        (lambda frame: frame.drop(columns="p_tumour"), "no probability of some class"),
        (lambda frame: frame.assign(p_tumour=np.nan), "rows that are not probabilities"),
        (lambda frame: frame.assign(p_tumour="much"), "rows that are not probabilities"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused_in_words(tmp_path, change, words):
    first, second = made_run(tmp_path, "one"), made_run(tmp_path, "two")
    change(made_predictions(60, 1)).to_parquet(second / "predictions.parquet")
    with pytest.raises(RunError, match=words):
        compare(first, second, "validation")


def test_runs_of_other_classes_are_refused(tmp_path):
    first, second = made_run(tmp_path, "one"), made_run(tmp_path, "two")
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps(config | {"labels": ["normal", "pneumonia"]}))
    with pytest.raises(RunError, match="the classes normal, pneumonia"):
        compare(first, second, "validation")


def test_predictions_that_cannot_be_read_are_named(tmp_path):
    path = made_run(tmp_path, "one [1]*")
    assert read_schemes(path) == {"validation": 60}
    (path / "predictions.parquet").write_bytes(b"no Parquet")
    with pytest.raises(RunError, match=r"one \[1\]\*: predictions.parquet: found a file that cannot be read"):
        read_schemes(path)
    (path / "predictions.parquet").unlink()
    assert read_schemes(path) == {}


def test_schemes_with_shared_images_are_those_in_which_both_saw_the_same_bytes(tmp_path):
    frames = [made_predictions(9, 1, scheme=name) for name in ("validation", "source")]
    other = frames[1].assign(sha256="f" + frames[1]["sha256"].str[1:])
    first = made_run(tmp_path, "one", pd.concat(frames))
    second = made_run(tmp_path, "two", pd.concat([frames[0].iloc[:4], other]))
    assert shared_schemes(first, second) == {"validation": 4}
    (second / "predictions.parquet").unlink()
    assert shared_schemes(first, second) == {}


def test_schemes_come_least_flattering_first(tmp_path):
    frames = [made_predictions(9, 1, scheme=name) for name in ("validation", "phantoms", "group", "source")]
    path = made_run(tmp_path, "one", pd.concat(frames))
    assert list(read_schemes(path)) == ["source", "group", "validation", "phantoms"]


def test_the_left_out_figure_of_the_demo_run_pools_its_confusion_matrices():
    by_source = json.loads((DEMO / "metrics.json").read_text())["leave_one_source_out"].values()
    confusion = sum(np.array(found["confusion"]) for found in by_source)
    estimate, n_slices, n_groups = left_out(DEMO, n_boot=200)
    assert estimate.value == pytest.approx((np.diag(confusion) / confusion.sum(axis=1)).mean())
    assert estimate.low < estimate.value < estimate.high
    assert (n_slices, n_groups) == (confusion.sum(), 1119)


def test_damaged_predictions_of_left_out_sources_are_named(tmp_path):
    frame = made_predictions(30, 1, scheme="source")
    path = made_run(tmp_path, "one", frame)
    frame.assign(p_normal=np.nan).to_parquet(path / "predictions.parquet")
    with pytest.raises(RunError, match="rows that are not probabilities"):
        left_out(path)
    frame.assign(group=None).to_parquet(path / "predictions.parquet")
    with pytest.raises(RunError, match="slices without a group"):
        left_out(path)


def test_a_run_that_no_source_was_left_out_of_has_no_such_figure(tmp_path):
    assert left_out(made_run(tmp_path, "one")) is None


def test_smoothing_weighs_the_past_without_pulling_the_start_to_zero():
    values = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert smooth(values, 0.0).tolist() == values.tolist()
    assert smooth(np.full(50, 0.7), 0.95) == pytest.approx(np.full(50, 0.7))
    for place, found in enumerate(smooth(values, 0.6)):
        weights = 0.6 ** np.arange(place, -1, -1)
        assert found == pytest.approx((weights * values[: place + 1]).sum() / weights.sum())


def test_smoothing_passes_over_epochs_that_were_not_measured():
    found = smooth(np.array([1.0, np.nan, 3.0]), 0.5)
    assert np.isnan(found[1]) and found[[0, 2]] == pytest.approx(smooth(np.array([1.0, 3.0]), 0.5))


def test_thinning_keeps_the_ends_and_every_peak():
    values = np.sin(np.arange(5000) / 7)
    values[[1234, 4321]] = 9, -9
    values[10:20] = np.nan
    kept = thin(values, 300)
    assert len(kept) <= 300 and (np.diff(kept) > 0).all()
    assert {0, 1234, 4321, 4999} <= set(kept.tolist())
    assert np.isfinite(values[kept]).all()
    assert thin(values[:25], 300).tolist() == [*range(10), *range(20, 25)]
