"""Metrics agree with scikit-learn, their intervals with theory, and nothing undefined passes for a number."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk

from core.errors import DataError
from core.intervals import bounds
from core.metrics import Evaluation, binary_auc, evaluate, evaluate_by, evaluate_frame, report_text

LABELS = ("normal", "pneumonia", "tumour")


def tied_predictions(seed: int = 3, n: int = 211) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Asymmetric targets, probabilities in twentieths (many ties, some equal tops), groups of uneven size."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, size=n, p=[0.55, 0.3, 0.15])
    draws = rng.multinomial(20, [0.3, 0.3, 0.4], size=n)
    draws[np.arange(n), targets] += rng.integers(0, 9, n)
    totals = draws.sum(axis=1, keepdims=True)
    probabilities = np.round(draws / totals * 20) / 20
    probabilities[:, 2] = np.round(1 - probabilities[:, 0] - probabilities[:, 1], 2)
    groups = (rng.random(n) ** 2 * 60).astype(int)
    return np.clip(probabilities, 0, 1), targets, groups


def perfect(n: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    targets = np.arange(n) % classes
    return np.eye(3)[targets], targets


def numbers_in(value: object) -> list:
    if isinstance(value, dict):
        return [number for part in value.values() for number in numbers_in(part)]
    return [number for part in value for number in numbers_in(part)] if isinstance(value, list) else [value]


def estimates_of(evaluation: Evaluation) -> dict[str, dict]:
    found = evaluation.to_json()
    overall = {name: part for name, part in found.items() if isinstance(part, dict) and "low" in part}
    per_class = {
        f"{label} {name}": part
        for label, report in found["classes"].items()
        for name, part in report.items()
        if isinstance(part, dict)
    }
    return overall | per_class


def test_overall_values_are_those_of_scikit_learn():
    probabilities, targets, groups = tied_predictions()
    predicted = probabilities.argmax(axis=1)
    found = evaluate(probabilities, targets, groups, LABELS, n_boot=20)
    assert [list(row) for row in found.confusion] == sk.confusion_matrix(targets, predicted).tolist()
    assert (found.n_slices, found.n_groups) == (211, len(set(groups)))
    assert found.accuracy.value == pytest.approx(sk.accuracy_score(targets, predicted), abs=1e-12)
    expected = sk.balanced_accuracy_score(targets, predicted)
    assert found.balanced_accuracy.value == pytest.approx(expected, abs=1e-12)
    assert found.macro_f1.value == pytest.approx(sk.f1_score(targets, predicted, average="macro"), abs=1e-12)
    expected = sk.brier_score_loss(targets, probabilities, scale_by_half=False, labels=[0, 1, 2])
    assert found.brier.value == pytest.approx(expected, abs=1e-12)


def test_values_of_each_class_are_those_of_scikit_learn_ties_included():
    probabilities, targets, groups = tied_predictions()
    predicted = probabilities.argmax(axis=1)
    assert len(np.unique(probabilities[:, 1])) < 30
    precision, recall, f1, support = sk.precision_recall_fscore_support(targets, predicted)
    for k, report in enumerate(evaluate(probabilities, targets, groups, LABELS, n_boot=20).classes):
        positive = targets == k
        (tn, fp), (fn, tp) = sk.confusion_matrix(positive, predicted == k).tolist()
        assert (report.tp, report.fn, report.tn, report.fp, report.support) == (tp, fn, tn, fp, support[k])
        assert report.label == LABELS[k]
        assert report.groups == len(set(groups[positive]))
        expected = {
            "precision": precision[k],
            "sensitivity": recall[k],
            "specificity": tn / (tn + fp),
            "f1": f1[k],
            "auc": sk.roc_auc_score(positive, probabilities[:, k]),
            "average_precision": sk.average_precision_score(positive, probabilities[:, k]),
        }
        assert {name: getattr(report, name).value for name in expected} == pytest.approx(expected, abs=1e-12)


def test_a_replicate_is_the_metric_of_the_slices_drawn():
    """With every slice its own group, drawing slices and asking scikit-learn gives the same interval."""
    probabilities, targets, _ = tied_predictions(n=40)
    rng = np.random.default_rng(5)
    drawn = rng.integers(40, size=(300, 40))
    found = evaluate(probabilities, targets, np.arange(40), LABELS, n_boot=300, seed=5).classes[1]
    fewest = min((targets == 1).sum(), (targets != 1).sum())
    for estimate, score in (
        (found.auc, sk.roc_auc_score),
        (found.average_precision, sk.average_precision_score),
    ):
        variance = np.var([score(targets[i] == 1, probabilities[i, 1]) for i in drawn]) * fewest / (fewest - 1)
        expected = bounds(estimate.value, variance, fewest)
        assert (estimate.low, estimate.high) == pytest.approx(tuple(map(float, expected)), abs=1e-12)


def test_calibration_error_of_a_worked_example():
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.3, 0.7]]
    # Four slices at 0.9 of which three are right, two at 0.7 of which both are: 4/6 * 0.15 + 2/6 * 0.30.
    found = evaluate(np.array(probabilities), np.array([0, 0, 0, 1, 1, 1]), range(6), ["a", "b"], n_boot=10)
    assert found.ece.value == pytest.approx(0.2, abs=1e-12)
    assert found.brier.value == pytest.approx((3 * 0.02 + 1.62 + 2 * 0.18) / 6, abs=1e-12)


def test_the_diseased_auc_is_that_of_one_minus_the_normal_probability():
    probabilities, targets, groups = tied_predictions()
    found = evaluate(probabilities, targets, groups, LABELS, n_boot=200, seed=1)
    alone = binary_auc(-probabilities[:, 0], targets != 0, groups, n_boot=200, seed=1)
    assert alone.value == pytest.approx(sk.roc_auc_score(targets != 0, -probabilities[:, 0]), abs=1e-12)
    assert found.diseased_auc == alone
    assert evaluate(probabilities, targets, groups, ("a", "b", "c"), n_boot=2).diseased_auc is None


def test_an_evaluation_repeats_for_a_seed_and_does_not_depend_on_row_order():
    probabilities, targets, groups = tied_predictions()
    order = np.random.default_rng(0).permutation(len(targets))
    first = evaluate(probabilities, targets, groups, LABELS, n_boot=100, seed=0)
    again = evaluate(probabilities[order], targets[order], groups[order], LABELS, n_boot=100, seed=0)
    assert numbers_in(list(estimates_of(first).values())) == pytest.approx(
        numbers_in(list(estimates_of(again).values())), abs=1e-12
    )
    assert first.accuracy != evaluate(probabilities, targets, groups, LABELS, n_boot=100, seed=1).accuracy


def clustered(rng: np.random.Generator, n_groups: int, size: int) -> tuple[np.ndarray, ...]:
    """Slices right with a chance that is their group's own, mean 0.7, correlation 1/3: p, targets, groups."""
    chance = rng.beta(1.4, 0.6, n_groups).repeat(size)
    targets = rng.integers(0, 2, n_groups).repeat(size)
    right = rng.random(n_groups * size) < chance
    called = np.where(right, targets, 1 - targets)
    probabilities = np.full((len(targets), 2), 0.1)
    probabilities[np.arange(len(targets)), called] = 0.9
    return probabilities, targets, np.arange(n_groups).repeat(size)


def test_intervals_by_group_cover_the_truth_where_those_by_slice_do_not():
    rng = np.random.default_rng(11)
    by_group = by_slice = 0
    for seed in range(200):
        probabilities, targets, groups = clustered(rng, n_groups=40, size=6)
        grouped = evaluate(probabilities, targets, groups, ["a", "b"], n_boot=200, seed=seed).accuracy
        alone = evaluate(probabilities, targets, np.arange(240), ["a", "b"], n_boot=200, seed=seed).accuracy
        by_group += grouped.low <= 0.7 <= grouped.high
        by_slice += alone.low <= 0.7 <= alone.high
    assert 0.89 <= by_group / 200 <= 0.99
    assert by_slice / 200 < 0.85


def test_intervals_by_group_are_wider_than_by_slice_on_clustered_slices():
    probabilities, targets, groups = clustered(np.random.default_rng(2), n_groups=60, size=10)
    grouped = evaluate(probabilities, targets, groups, ["a", "b"])
    alone = evaluate(probabilities, targets, np.arange(600), ["a", "b"])
    for name in ("accuracy", "balanced_accuracy", "brier", "ece"):
        wide, narrow = getattr(grouped, name), getattr(alone, name)
        assert wide.high - wide.low > 1.5 * (narrow.high - narrow.low)


def test_a_perfect_score_is_bounded_by_the_number_of_groups_not_of_slices():
    probabilities, targets = perfect(120)
    groups_of_all_classes = np.arange(120) // 6
    found = evaluate(probabilities, targets, groups_of_all_classes, LABELS, n_boot=50)
    bound = pytest.approx(0.025 ** (1 / 20), abs=1e-12)
    for name, estimate in estimates_of(found).items():
        if name in ("brier", "ece"):
            continue
        assert (estimate["value"], estimate["low"], estimate["high"]) == (1.0, bound, 1.0), name
    assert (found.ece.value, found.ece.low) == (0.0, 0.0)
    assert found.ece.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert found.brier.high == pytest.approx(2 * (1 - 0.025 ** (1 / 20)))


def test_the_bound_of_a_perfect_sensitivity_uses_the_groups_of_that_class():
    targets = np.array([0] * 30 + [1] * 12)
    found = evaluate(np.eye(2)[targets], targets, range(42), ["normal", "tumour"], n_boot=50)
    assert found.classes[1].sensitivity.low == pytest.approx(0.025 ** (1 / 12))
    assert found.classes[1].specificity.low == pytest.approx(0.025 ** (1 / 30))
    assert found.balanced_accuracy.low == found.diseased_auc.low == pytest.approx(0.025 ** (1 / 12))
    assert found.accuracy.low == pytest.approx(0.025 ** (1 / 42))


def test_a_score_of_zero_is_bounded_above():
    targets = np.array([0] * 5 + [1] * 15)
    found = evaluate(np.eye(2)[np.zeros(20, dtype=int)], targets, range(20), ["a", "b"], n_boot=50)
    sensitivity = found.classes[1].sensitivity
    assert (sensitivity.value, sensitivity.low) == (0.0, 0.0)
    assert sensitivity.high == pytest.approx(1 - 0.025 ** (1 / 15))


def test_classes_that_are_absent_have_no_value_and_say_why():
    probabilities = np.array([[0.2, 0.1, 0.7], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7], [0.3, 0.1, 0.6]])
    found = evaluate(probabilities, np.array([2, 2, 2, 2]), ["a", "b", "c", "c"], LABELS, n_boot=100)
    normal, pneumonia, tumour = found.classes
    assert (found.balanced_accuracy.value, tumour.sensitivity.value, tumour.fn) == (0.75, 0.75, 1)
    assert found.macro_f1.value == tumour.f1.value == pytest.approx(6 / 7)
    assert (normal.specificity.value, pneumonia.specificity.value) == (0.75, 1.0)
    for estimate in (normal.sensitivity, normal.precision, normal.f1, pneumonia.auc):
        assert (estimate.value, estimate.low, estimate.note) == (None, None, "no slice of this class")
    for estimate in (tumour.specificity, tumour.auc, tumour.average_precision):
        assert (estimate.value, estimate.note) == (None, "no slice of another class")
    assert found.diseased_auc.value is None


def test_a_class_that_is_never_called_has_no_precision():
    probabilities = np.array([[0.6, 0.4], [0.7, 0.3], [0.8, 0.2]])
    found = evaluate(probabilities, np.array([0, 1, 0]), range(3), ["a", "b"], n_boot=50).classes[1]
    assert (found.precision.value, found.precision.note) == (None, "no slice is called this class")
    assert found.f1.value == 0.0


def test_one_group_gives_values_without_intervals():
    probabilities, targets, _ = tied_predictions()
    found = evaluate(probabilities, targets, ["p"] * len(targets), LABELS, n_boot=50)
    for estimate in estimates_of(found).values():
        assert estimate["value"] is not None
        assert (estimate["low"], estimate["high"]) == (None, None)
        assert estimate["note"] == "fewer than 2 groups, no interval"


def test_groups_without_variation_and_few_groups_say_so():
    probabilities = np.array([[0.6, 0.4], [0.4, 0.6]] * 4)
    alike = evaluate(probabilities, np.zeros(8, dtype=int), [0, 0, 1, 1, 2, 2, 3, 3], ["a", "b"], n_boot=50)
    assert (alike.accuracy.value, alike.accuracy.low) == (0.5, None)
    assert alike.accuracy.note == "no variation between groups, no interval"
    few = evaluate(probabilities, np.zeros(8, dtype=int), [0, 0, 0, 1, 1, 2, 3, 3], ["a", "b"], n_boot=50)
    assert few.accuracy.low < 0.5 < few.accuracy.high
    assert few.accuracy.note == "only 4 groups, a rough interval"


@pytest.mark.parametrize("present", [(0,), (1,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_json_never_holds_nan(present, n):
    rng = np.random.default_rng(n)
    targets = rng.choice(present, size=n)
    found = evaluate(rng.dirichlet([1, 1, 1], n), targets, rng.integers(0, 9, n), LABELS, n_boot=60)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    for estimate in estimates_of(found).values():
        if estimate["low"] is not None:
            assert estimate["low"] <= estimate["high"]
        if estimate["value"] is None:
            assert estimate["note"]
    assert "nan" not in report_text(found)


def test_json_holds_counts_as_whole_numbers_and_classes_by_label():
    found = evaluate(*tied_predictions(), LABELS, n_boot=20).to_json()
    assert list(found["classes"]) == found["labels"] == list(LABELS)
    for k, label in enumerate(LABELS):
        counts = {name: found["classes"][label][name] for name in ("tp", "fn", "tn", "fp", "support")}
        assert all(type(count) is int for count in counts.values())
        assert counts["tp"] == found["confusion"][k][k]
        assert counts["tp"] + counts["fn"] == counts["support"]
    assert set(found["accuracy"]) == {"value", "low", "high"}


def predictions_frame() -> pd.DataFrame:
    probabilities, targets, groups = tied_predictions()
    frame = pd.DataFrame(probabilities, columns=[f"p_{label}" for label in LABELS])
    frame["label"] = [LABELS[k] for k in targets]
    frame["group"] = [f"g{k}" for k in groups]
    frame["severity"] = [["mild", "severe", None][i % 3] for i in range(len(frame))]
    return frame


def test_a_table_of_predictions_is_evaluated_whole_and_by_a_column():
    frame = predictions_frame()
    whole = evaluate_frame(frame, LABELS, n_boot=50)
    assert whole.accuracy == evaluate_frame(frame.iloc[::-1], LABELS, n_boot=50).accuracy
    parts = evaluate_by(frame, "severity", LABELS, n_boot=50)
    assert list(parts) == ["mild", "severe"]
    assert parts["severe"] == evaluate_frame(frame[frame["severity"] == "severe"], LABELS, n_boot=50)
    assert parts["mild"].n_slices == 71


def test_a_table_of_predictions_that_does_not_fit_is_an_error_naming_the_column():
    frame = predictions_frame()
    with pytest.raises(DataError, match="no column p_tumour"):
        evaluate_frame(frame.drop(columns="p_tumour"), LABELS)
    with pytest.raises(DataError, match="column label: found cyst; expected one of normal"):
        evaluate_frame(frame.replace({"label": {"tumour": "cyst"}}), LABELS)
    with pytest.raises(DataError, match="no column kernel"):
        evaluate_by(frame, "kernel", LABELS)
    with pytest.raises(DataError, match="groups: found a missing value"):
        evaluate_frame(frame.assign(group=[None, *frame["group"][1:]]), LABELS)


@pytest.mark.parametrize(
    ("probabilities", "targets", "groups", "name"),
    [
        (np.zeros((0, 3)), [], [], "probabilities"),
        ([[0.5, 0.5]], [0], ["g"], "probabilities"),
        ([[0.5, 0.5, 0.5]], [0], ["g"], "probabilities"),
        ([[np.nan, 0.5, 0.5]], [0], ["g"], "probabilities"),
        ([[1.5, -0.5, 0.0]], [0], ["g"], "probabilities"),
        ([[1.0, 0.0, 0.0]], [3], ["g"], "targets"),
        ([[1.0, 0.0, 0.0]], [-1], ["g"], "targets"),
        ([[1.0, 0.0, 0.0]], [0.0], ["g"], "targets"),
        ([[1.0, 0.0, 0.0]], [0, 1], ["g"], "targets"),
        ([[1.0, 0.0, 0.0]], [0], ["g", "h"], "groups"),
    ],
)
def test_arrays_that_do_not_fit_are_errors_naming_them(probabilities, targets, groups, name):
    with pytest.raises(DataError) as caught:
        evaluate(np.array(probabilities), np.array(targets), groups, LABELS)
    assert caught.value.name == name


def test_an_auc_of_one_side_has_no_value():
    found = binary_auc(np.array([0.1, 0.4]), np.array([True, True]), ["a", "b"])
    assert (found.value, found.note) == (None, "slices of one side only")


def test_the_report_is_a_plain_table_with_intervals():
    targets = np.array([0] * 12 + [1] * 20)
    text = report_text(evaluate(np.eye(2)[targets], targets, range(32), ["normal", "tumour"], n_boot=100))
    lines = text.splitlines()
    assert lines[0] == "32 slices in 32 groups; 95 % intervals from 100 bootstrap replicates over groups."
    assert "sensitivity        1.000 (0.735 to 1.000)  1.000 (0.832 to 1.000)" in lines
    assert "support            12                      20" in lines
    assert "accuracy           1.000 (0.891 to 1.000)" in lines
    assert "true tumour  0              20" in lines
