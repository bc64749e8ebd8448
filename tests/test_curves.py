"""Curves and calibration agree with scikit-learn and with worked examples; their bands hold what they should."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics as sk

from core import metrics
from core.curves import by_slice, calibration_before_after, precision_recall, reliability, roc
from core.errors import DataError
from core.operating import called
from tests.made_scores import made_scores


def test_the_roc_curve_passes_through_the_points_of_scikit_learn():
    made = made_scores()
    for k, label in enumerate(made.labels):
        table = roc(made, label, n_boot=20).table
        rate, found, _ = sk.roc_curve(made.targets == k, made.probabilities[:, k], drop_intermediate=False)
        assert len(table) <= 200 and table["false_positive_rate"].tolist() == np.linspace(0, 1, len(table)).tolist()
        for x, y in table[["false_positive_rate", "sensitivity"]].to_numpy():
            below, above = rate[rate <= x + 1e-9].max(), rate[rate >= x - 1e-9].min()
            least, most = found[rate == below].max(), found[rate == above].max()
            way = 0 if above == below else (x - below) / (above - below)
            assert y == pytest.approx(least + way * (found[rate == above].min() - least if way else 0), abs=1e-9)
            assert least - 1e-9 <= y <= most + 1e-9


def test_precision_at_a_recall_is_that_of_the_first_threshold_that_reaches_it():
    made = made_scores()
    for k, label in enumerate(made.labels):
        curve = precision_recall(made, label, n_boot=20)
        precision, recall, thresholds = sk.precision_recall_curve(made.targets == k, made.probabilities[:, k])
        for x, y, threshold in curve.table[["recall", "precision", "threshold"]].to_numpy():
            place = np.flatnonzero(recall[:-1] >= x - 1e-9).max()
            assert (y, threshold) == pytest.approx((precision[place], thresholds[place]))
        assert curve.chance == (made.targets == k).mean()


def test_the_threshold_of_a_roc_point_gives_that_rate_or_less():
    made = made_scores()
    table = roc(made, "pneumonia", n_boot=5).table.dropna(subset="threshold")
    scores, negative = made.probabilities[:, 1], made.targets != 1
    for x, y, threshold in table[["false_positive_rate", "sensitivity", "threshold"]].to_numpy():
        assert (scores[negative] >= threshold).mean() <= x + 1e-9
        assert (scores[~negative] >= threshold).mean() <= y + 1e-9


def test_the_areas_are_those_of_the_evaluation_intervals_included():
    made = made_scores()
    evaluated = metrics.evaluate(made.probabilities, made.targets, made.groups, made.labels, n_boot=300, seed=2)
    for report in evaluated.classes:
        for found, expected in (
            (roc(made, report.label, 300, 2).area, report.auc),
            (precision_recall(made, report.label, 300, 2).area, report.average_precision),
        ):
            assert (found.value, found.low, found.high) == pytest.approx(
                (expected.value, expected.low, expected.high), abs=1e-6
            )


def test_many_scores_give_the_same_area_and_nearly_the_same_band_as_few():
    """Replicates tell a thousand levels of score apart; the curve itself tells all."""
    rng = np.random.default_rng(0)
    made = made_scores(6000, n_groups=400)
    p = np.clip(made.probabilities + rng.uniform(0, 1e-4, made.probabilities.shape), 0, 1)
    fine = replace(made, probabilities=p / p.sum(axis=1, keepdims=True))
    one, two = roc(made, "tumour", 200), roc(fine, "tumour", 200)
    expected = sk.roc_auc_score(made.targets == 2, fine.probabilities[:, 2])
    assert two.area.value == pytest.approx(expected)
    assert np.allclose(one.table["low"][1:], two.table["low"][1:], atol=0.02)


def two_classes(score: np.ndarray, positive: np.ndarray, groups: np.ndarray):
    p = 1 / (1 + np.exp(-score))
    return replace(
        made_scores(len(p)),
        labels=("normal", "tumour"),
        probabilities=np.stack([1 - p, p], axis=1),
        targets=positive.astype(int),
        groups=groups,
    )


def test_a_precision_rests_on_the_groups_that_are_called_and_not_on_all():
    """Six positives rank first, the first two of one group: at recall 3/10 two groups are called."""
    groups = np.concatenate([[0], np.arange(39)])
    table = precision_recall(two_classes(-np.arange(40.0), np.arange(40) < 10, groups), "tumour", 50).table
    assert (table["precision"] == 1).all()
    assert table.loc[:20, ["low", "high"]].isna().all(axis=None)
    for place, called_groups in ((21, 2), (30, 2), (31, 3), (51, 5), (100, 9)):
        row = table.iloc[place]
        assert (row["low"], row["high"]) == pytest.approx((0.025 ** (1 / called_groups), 1)), place


def test_the_precision_band_covers_the_true_curve_where_little_is_called():
    """40 and 60 groups, normal scores 1.5 apart; expected precision at the threshold of a recall."""
    rng = np.random.default_rng(4)
    held = {5: [], 10: [], 30: []}
    for seed in range(160):
        codes = np.arange(100).repeat(rng.integers(1, 7, 100))
        positive = codes < 40
        noise = rng.normal(size=100)[codes] * np.sqrt(1 / 3) + rng.normal(size=len(codes)) * np.sqrt(2 / 3)
        table = precision_recall(two_classes(noise + 1.5 * positive, positive, codes), "tumour", 60, seed).table
        for place, found in held.items():
            alarms = 60 * norm.sf(1.5 - norm.ppf(place / 100))
            truth = 0.4 * place / (0.4 * place + alarms)
            found.append(table["low"][place] <= truth <= table["high"][place])
    covered = {place: float(np.mean(found)) for place, found in held.items()}
    assert all(0.93 <= share <= 0.99 for share in covered.values()), covered


def test_the_bands_hold_the_curve():
    for curve in (roc(made_scores(), "tumour", 100), precision_recall(made_scores(), "tumour", 100)):
        y = curve.table.columns[1]
        band = curve.table.dropna(subset="low")
        assert len(band) > 95 and (band["low"] <= band[y]).all() and (band[y] <= band["high"]).all()
        assert (curve.positives, curve.n_slices) == ((made_scores().targets == 2).sum(), 300)
        assert (curve.table["high"] - curve.table["low"])[20:80].min() > 0.01


def test_the_roc_band_covers_the_true_curve():
    """Sensitivity at a false positive rate of 0.2, normal scores 1.5 apart: Phi(1.5 - 0.8416) = 0.745."""
    rng = np.random.default_rng(4)
    held = 0
    for seed in range(150):
        codes = np.arange(80).repeat(3)
        positive = codes < 40
        score = rng.normal(size=80)[codes] * 0.5 + rng.normal(size=240) * np.sqrt(0.75) + 1.5 * positive
        p = 1 / (1 + np.exp(-score))
        made = replace(
            made_scores(240),
            labels=("normal", "tumour"),
            probabilities=np.stack([1 - p, p], axis=1),
            targets=positive.astype(int),
            groups=codes,
        )
        row = roc(made, "tumour", 60, seed).table.iloc[20]
        assert row["false_positive_rate"] == pytest.approx(0.2)
        held += row["low"] <= 0.7449 <= row["high"]
    assert 0.9 <= held / 150 <= 0.99


def test_one_side_alone_has_no_curve():
    made = made_scores()
    with pytest.raises(DataError, match="slices of one side only"):
        roc(made.where(made.targets != 2), "tumour")
    with pytest.raises(DataError, match="slices of one side only"):
        precision_recall(made.where(made.targets == 2), "tumour")


def test_reliability_of_a_worked_example():
    """Four slices at 0.9 of which three are right, two at 0.7 of which both are."""
    p = np.array([[0.9, 0.1]] * 4 + [[0.3, 0.7]] * 2)
    made = made_scores(6)
    made = replace(
        made,
        labels=("normal", "tumour"),
        probabilities=p,
        targets=np.array([0, 0, 0, 1, 1, 1]),
        groups=np.array([0, 0, 1, 2, 3, 4]),
    )
    table = reliability(made)
    assert table[["bin_low", "bin_high"]].to_numpy().tolist() == [[0.6, 0.7], [0.8, 0.9]]
    assert table["predicted"].tolist() == pytest.approx([0.7, 0.9])
    assert table["observed"].tolist() == [1.0, 0.75]
    assert table["slices"].tolist() == [2, 4] and table["groups"].tolist() == [2, 3]
    assert table["low"][0] == pytest.approx(0.025 ** (1 / 2)) and table["high"][0] == 1
    of_tumour = reliability(made, "tumour", bins=2)
    assert of_tumour["predicted"].tolist() == pytest.approx([0.1, 0.7])
    assert of_tumour["observed"].tolist() == [0.25, 1.0]


def test_reliability_takes_another_temperature_from_the_logits():
    made = made_scores()
    cold = reliability(made, "tumour", temperature=0.5)
    p = np.exp(2 * made.logits)[:, 2] / np.exp(2 * made.logits).sum(axis=1)
    assert cold["slices"].tolist() == np.histogram(p, [*cold["bin_low"].tolist(), 1.0])[0].tolist()
    same = reliability(made, "tumour", temperature=made.temperature)
    assert np.allclose(same, reliability(made, "tumour"))


def test_calibration_before_and_after_is_that_of_scikit_learn_and_of_the_evaluation():
    made = made_scores()
    table = calibration_before_after(made, n_boot=200, seed=1).set_index(["measure", "when"])
    assert table.index.tolist() == [(m, w) for m in ("ece", "brier", "cross_entropy") for w in ("before", "after")]
    for when, temperature in (("before", 1.0), ("after", made.temperature)):
        p = np.exp(made.logits / temperature)
        p /= p.sum(axis=1, keepdims=True)
        expected = metrics.evaluate(p, made.targets, made.groups, made.labels, 200, 1)
        for name in ("ece", "brier"):
            row, own = table.loc[(name, when)], getattr(expected, name)
            assert (row["value"], row["low"], row["high"]) == pytest.approx(
                (own.value, own.low, own.high), abs=0.005
            )
            assert row["temperature"] == temperature
        row = table.loc[("cross_entropy", when)]
        assert row["value"] == pytest.approx(sk.log_loss(made.targets, p))
        assert row["low"] < row["value"] < row["high"]


def test_results_by_a_column_are_those_of_each_part_alone():
    made = made_scores()
    table = by_slice(made, "severity", "tumour", 0.3)
    assert table["value_of"].unique().tolist() == ["mild", "severe"]
    predicted = called(made, "tumour", 0.3)
    for value, rows in table.groupby("value_of"):
        here = (made.frame["severity"] == value).to_numpy()
        rows = rows.set_index("metric")
        assert rows.loc["balanced accuracy", "value"] == pytest.approx(
            sk.balanced_accuracy_score(made.targets[here], predicted[here])
        )
        for k, label in enumerate(made.labels):
            row = rows.loc[f"sensitivity {label}"]
            own = here & (made.targets == k)
            assert row["value"] == pytest.approx((predicted[own] == k).mean())
            assert (row["slices"], row["groups"]) == (own.sum(), len(set(made.groups[own])))
            assert row["low"] < row["value"] < row["high"]


def test_a_part_of_one_class_has_no_balanced_accuracy_and_one_of_one_group_no_interval():
    made = made_scores()
    frame = made.frame.assign(kind=np.where(made.groups == 0, "lone", np.where(made.targets == 1, "one", "rest")))
    table = by_slice(replace(made, frame=frame), "kind").set_index(["value_of", "metric"])
    assert table.loc["one"].index.tolist() == ["sensitivity pneumonia"]
    lone = table.loc["lone"]
    assert lone["low"].isna().all() and set(lone["note"]) == {"fewer than 2 groups, no interval"}
    with pytest.raises(DataError, match="column: found 'scanner'"):
        by_slice(made, "scanner")


def test_the_interval_of_a_parts_balanced_accuracy_agrees_with_the_evaluation():
    made = made_scores(600, n_groups=200)
    found = by_slice(made, "source").set_index(["value_of", "metric"]).loc[("south", "balanced accuracy")]
    part = made.where((made.frame["source"] == "south").to_numpy())
    expected = metrics.evaluate(part.probabilities, part.targets, part.groups, part.labels).balanced_accuracy
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (expected.value, expected.low, expected.high), abs=0.01
    )
