"""Operating points, confusion matrices and decision curves agree with scikit-learn and with worked examples."""

from dataclasses import replace
from time import process_time

import numpy as np
import pytest
from sklearn import metrics as sk

from core import metrics
from core.errors import DataError
from core.operating import at, called, classification_report, confusion, net_benefit, prepare
from tests.made_scores import made_scores

REPORT = {"precision": 0, "recall": 1, "f1-score": 2, "support": 3}


def single(scores: list[float], positive: list[int], groups: list[int] | None = None):
    """Predictions of two classes with the score of the second, one group a slice unless given."""
    made = made_scores(len(scores))
    p = np.array(scores)
    return replace(
        made,
        labels=("normal", "tumour"),
        probabilities=np.stack([1 - p, p], axis=1),
        targets=np.array(positive),
        groups=np.arange(len(p)) if groups is None else np.array(groups),
    )


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.35, 0.5, 0.9, 1.0])
def test_the_counts_at_a_threshold_are_those_of_scikit_learn(threshold):
    made = made_scores()
    for k, label in enumerate(made.labels):
        found = at(prepare(made, label), threshold)
        positive, above = made.targets == k, made.probabilities[:, k] >= threshold
        (tn, fp), (fn, tp) = sk.confusion_matrix(positive, above, labels=[False, True]).tolist()
        assert (found.tp, found.fn, found.tn, found.fp) == (tp, fn, tn, fp)
        assert found.sensitivity.value == pytest.approx(tp / (tp + fn))
        assert found.specificity.value == pytest.approx(tn / (tn + fp))
        if tp + fp:
            assert found.ppv.value == pytest.approx(tp / (tp + fp))
        if tn + fn:
            assert found.npv.value == pytest.approx(tn / (tn + fn))


def test_predictive_values_at_a_chosen_prevalence_follow_bayes_rule():
    """Altman and Bland 1994, BMJ 309:102: sensitivity 231/258, specificity 54/86; at 25 % ppv 0.45, npv 0.95."""
    scores = [1.0] * 231 + [0.0] * 27 + [1.0] * 32 + [0.0] * 54
    prepared = prepare(single(scores, [1] * 258 + [0] * 86), "tumour")
    found = at(prepared, 0.5, 0.25)
    assert (round(found.sensitivity.value, 2), round(found.specificity.value, 2)) == (0.90, 0.63)
    assert (round(found.ppv.value, 2), round(found.npv.value, 2)) == (0.45, 0.95)
    own = at(prepared, 0.5)
    assert (round(own.ppv.value, 2), round(own.npv.value, 2)) == (0.88, 0.67)


def test_every_interval_holds_its_value_and_lies_within_0_and_1():
    made = made_scores()
    for threshold in np.linspace(0, 1, 21):
        for prevalence in (0.0, 0.001, 0.5, 1.0):
            point = at(prepare(made, "tumour"), float(threshold), prevalence)
            for name in ("sensitivity", "specificity", "ppv", "npv"):
                found = getattr(point, name)
                if found.value is None:
                    assert found.note
                else:
                    assert 0 <= found.low <= found.value <= found.high <= 1, (threshold, prevalence, name)


def test_a_perfect_ppv_is_bounded_by_the_false_alarms_that_may_have_been_missed():
    point = at(prepare(single([0.9] * 30 + [0.1] * 50, [1] * 30 + [0] * 50), "tumour"), 0.5, 0.01)
    most = 1 - 0.025 ** (1 / 50)
    assert (point.ppv.value, point.ppv.high) == (1.0, 1.0)
    assert point.ppv.low == pytest.approx(0.01 / (0.01 + 0.99 * most))
    assert at(prepare(single([0.1] * 6, [1, 1, 1, 0, 0, 0]), "tumour"), 0.5).ppv.value is None


def test_slices_of_the_class_alone_have_a_sensitivity_and_nothing_else():
    made = made_scores()
    prepared = prepare(made.where(made.targets == 2), "tumour")
    point = at(prepared, 0.5, 0.1)
    assert point.sensitivity.low < point.sensitivity.value
    for found in (point.specificity, point.ppv, point.npv):
        assert (found.value, found.note) == (None, "no slice of another class")
    assert net_benefit(prepared, prevalence=0.1).query("strategy == 'model'")["net_benefit"].isna().all()


def test_intervals_are_by_group_not_by_slice():
    scores, positive = [0.9, 0.1] * 60, [1, 1, 0, 0] * 30
    alone = at(prepare(single(scores, positive), "tumour"), 0.5).sensitivity
    alike = single(
        np.repeat(scores, 5).tolist(), np.repeat(positive, 5).tolist(), np.repeat(range(120), 5).tolist()
    )
    assert at(prepare(alike, "tumour"), 0.5).sensitivity == alone


def test_a_class_is_called_from_its_threshold_on_and_the_best_other_below():
    made = made_scores()
    assert np.array_equal(called(made), made.probabilities.argmax(axis=1))
    for threshold in (0.0, 0.3, 0.7, 1.0):
        found = called(made, "pneumonia", threshold)
        own = made.probabilities[:, 1]
        assert np.array_equal(found == 1, own >= threshold)
        others = np.where(made.probabilities[:, 0] >= made.probabilities[:, 2], 0, 2)
        assert np.array_equal(found[own < threshold], others[own < threshold])
    with pytest.raises(DataError, match="threshold"):
        called(made, "pneumonia", 1.5)
    with pytest.raises(DataError, match="'cyst'"):
        called(made, "cyst", 0.5)


def test_the_matrix_is_that_of_scikit_learn_and_its_shares_are_sensitivity_and_precision():
    made = made_scores()
    predicted = called(made, "tumour", 0.3)
    found = confusion(made, predicted)
    assert np.array_equal(found.counts, sk.confusion_matrix(made.targets, predicted))
    assert np.allclose(found.row_share.sum(axis=1), 1) and np.allclose(found.column_share.sum(axis=0), 1)
    assert np.allclose(np.diag(found.row_share), sk.recall_score(made.targets, predicted, average=None))
    assert np.allclose(np.diag(found.column_share), sk.precision_score(made.targets, predicted, average=None))
    assert (found.row_low <= found.row_share).all() and (found.row_share <= found.row_high).all()
    here = (made.targets == 0) & (predicted == 1)
    assert found.groups[0, 1] == len(set(made.groups[here])) <= found.counts[0, 1]


def test_the_sensitivity_of_matrix_operating_point_and_evaluation_agree():
    """Of two classes argmax is the threshold 0.5; the evaluation's interval comes from drawn groups."""
    made = made_scores(400, seed=4)
    p = made.probabilities[:, 2]
    two = single(p.tolist(), (made.targets == 2).astype(int).tolist(), made.groups.tolist())
    matrix, point = confusion(two, called(two)), at(prepare(two, "tumour"), 0.5)
    assert (matrix.row_share[1, 1], matrix.row_low[1, 1], matrix.row_high[1, 1]) == pytest.approx(
        (point.sensitivity.value, point.sensitivity.low, point.sensitivity.high)
    )
    drawn = metrics.evaluate(two.probabilities, two.targets, two.groups, two.labels).classes[1].sensitivity
    assert (drawn.value, drawn.low, drawn.high) == pytest.approx(
        (point.sensitivity.value, point.sensitivity.low, point.sensitivity.high), abs=0.01
    )


@pytest.mark.parametrize("threshold", [0.0, "a score", 0.5, 1.0])
def test_the_matrix_at_a_threshold_and_the_operating_point_count_the_same(threshold):
    """With three classes, groups of several labels, and a score that is the threshold itself."""
    made = made_scores()
    made.probabilities[:4] = np.eye(3)[[2, 2, 0, 1]]  # sure ones, so that some reach a threshold of 1
    for k, label in enumerate(made.labels):
        chosen = float(made.probabilities[20, k]) if threshold == "a score" else threshold
        point, matrix = at(prepare(made, label), chosen), confusion(made, called(made, label, chosen))
        counts = matrix.counts
        rest = counts.sum() - counts[k].sum() - counts[:, k].sum() + counts[k, k]
        assert (point.tp, point.fn) == (counts[k, k], counts[k].sum() - counts[k, k])
        assert (point.fp, point.tn) == (counts[:, k].sum() - counts[k, k], rest)
        found = (point.sensitivity.value, point.sensitivity.low, point.sensitivity.high)
        shown = (matrix.row_share[k, k], matrix.row_low[k, k], matrix.row_high[k, k])
        assert found == pytest.approx(shown, rel=1e-12)
        if point.tp + point.fp:
            assert point.ppv.value == pytest.approx(matrix.column_share[k, k])


def test_the_table_of_a_matrix_has_one_row_a_cell():
    made = made_scores()
    matrix = confusion(made, called(made))
    table = matrix.table()
    assert table[["true", "predicted"]].apply(tuple, axis=1).tolist() == [
        (true, predicted) for true in made.labels for predicted in made.labels
    ]
    assert table["slices"].tolist() == matrix.counts.ravel().tolist()
    assert (
        table.loc[1, "row_low"] == matrix.row_low[0, 1] and table.loc[3, "column_high"] == matrix.column_high[1, 0]
    )


def test_cells_of_a_class_that_is_absent_or_never_called_have_no_share():
    made = made_scores()
    part = made.where(made.targets != 2)
    matrix = confusion(part, np.zeros(part.n_slices, dtype=int))
    assert np.isnan(matrix.row_share[2]).all() and np.isnan(matrix.column_low[:, 1:]).all()
    assert matrix.counts.sum() == part.n_slices
    with pytest.raises(DataError, match="no slice of this class"):
        prepare(part, "tumour")


def test_net_benefit_is_that_of_its_formula():
    """Vickers and Elkin 2006: (TP - FP * t / (1 - t)) / n."""
    made = made_scores()
    table = net_benefit(prepare(made, "tumour")).set_index(["strategy", "threshold"])["net_benefit"]
    positive, score, n = made.targets == 2, made.probabilities[:, 2], made.n_slices
    for t in (0.05, 0.2, 0.5, 0.9):
        tp, fp = (positive & (score >= t)).sum(), (~positive & (score >= t)).sum()
        assert table["model", t] == pytest.approx((tp - fp * t / (1 - t)) / n)
        assert table["all", t] == pytest.approx((positive.sum() - (~positive).sum() * t / (1 - t)) / n)
        assert table["none", t] == 0


def test_net_benefit_at_a_chosen_prevalence_weighs_both_sides_anew():
    prepared = prepare(made_scores(), "tumour")
    table = net_benefit(prepared, np.array([0.1, 0.4]), prevalence=0.02).set_index(["strategy", "threshold"])
    for t in (0.1, 0.4):
        point = at(prepared, t)
        expected = 0.02 * point.sensitivity.value - 0.98 * (1 - point.specificity.value) * t / (1 - t)
        assert table.loc[("model", t), "net_benefit"] == pytest.approx(expected)
        assert table.loc[("model", t), "low"] < expected < table.loc[("model", t), "high"]
        assert table.loc[("all", t), "low"] == table.loc[("all", t), "high"]  # a known prevalence is certain
    own = net_benefit(prepared, np.array([0.1])).set_index("strategy")
    assert own.loc["all", "low"] < own.loc["all", "net_benefit"] < own.loc["all", "high"]


def test_the_band_of_net_benefit_is_that_of_drawn_groups():
    made = made_scores(400, seed=2)
    found = net_benefit(prepare(made, "tumour"), np.array([0.25])).set_index("strategy").loc["model"]
    gain = np.where(made.targets == 2, 1, -1 / 3) * (made.probabilities[:, 2] >= 0.25)
    sums = np.stack([np.bincount(made.groups, weights) for weights in (gain, np.ones(400))], axis=1)
    rng = np.random.default_rng(0)
    drawn = sums[rng.integers(len(sums), size=(4000, len(sums)))].sum(axis=1)
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], (0.025, 0.975))
    assert found["high"] - found["low"] == pytest.approx(high - low, rel=0.1)


def test_net_benefit_of_a_class_in_one_group_has_no_interval():
    made = made_scores()
    alone = replace(made, groups=np.where(made.targets == 2, 0, made.groups + 1))
    for prevalence in (None, 0.1):
        table = net_benefit(prepare(alone, "tumour"), prevalence=prevalence)
        model = table[table["strategy"] == "model"]
        assert model["net_benefit"].notna().all() and model[["low", "high"]].isna().all(axis=None)


def test_a_threshold_that_no_slice_reaches_may_still_gain_or_lose_something():
    prepared = prepare(made_scores(), "tumour")
    for prevalence in (None, 0.1):
        row = net_benefit(prepared, np.array([0.999]), prevalence).iloc[0]
        assert row["net_benefit"] == 0 and row["low"] < 0 < row["high"] < 0.1


def test_the_report_is_that_of_scikit_learn():
    made = made_scores()
    for predicted in (called(made), np.zeros(made.n_slices, dtype=int)):
        table = classification_report(made, predicted).set_index("name")
        expected = sk.classification_report(
            made.targets, predicted, target_names=made.labels, output_dict=True, zero_division=0
        )
        assert table.loc["accuracy", "f1-score"] == pytest.approx(expected.pop("accuracy"))
        for name, numbers in expected.items():
            assert table.loc[name, list(numbers)].tolist() == pytest.approx(list(numbers.values())), name
        assert table["support"].tolist()[-3:] == [made.n_slices] * 3


@pytest.mark.parametrize(("threshold", "prevalence"), [(-0.1, 0.5), (1.1, 0.5), (0.5, 2.0), (float("nan"), 0.5)])
def test_a_threshold_or_prevalence_out_of_range_is_refused(threshold, prevalence):
    with pytest.raises(DataError, match="a number from 0 to 1"):
        at(prepare(made_scores(), "tumour"), threshold, prevalence)


def test_a_moved_threshold_is_answered_at_once_for_100_000_predictions():
    made = made_scores(100_000, n_groups=60_000)
    prepared = prepare(made, "tumour")

    def fastest(work) -> float:
        times = []
        for _ in range(7):
            start = process_time()
            work()
            times.append(process_time() - start)
        return min(times)

    assert fastest(lambda: at(prepared, 0.4, 0.01)) < 0.02
    assert fastest(lambda: net_benefit(prepared, prevalence=0.01)) < 0.02
    assert fastest(lambda: confusion(made, called(made, "tumour", 0.4))) < 0.04
