"""Operating points: what a threshold on one class's probability does, with 95 % intervals.

Groups are the units that vary; see `core.intervals`. Everything is exact at any threshold: nothing is read off a
grid or drawn at random.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from core import intervals
from core.errors import DataError
from core.metrics import Estimate, estimate
from core.scored import Scored

if TYPE_CHECKING:
    import pandas as pd

CURVE_THRESHOLDS = np.arange(1, 100) / 100
"""Thresholds of a decision curve."""


@dataclass(frozen=True, eq=False)
class Side:
    """The slices of the class, or those of all others.

    scores  float64 (n,)
    groups  int64 (n,), codes of the groups of both sides
    sizes   float64 (groups,), slices that each group has on this side
    """

    scores: np.ndarray
    groups: np.ndarray
    sizes: np.ndarray

    @property
    def n_groups(self) -> int:
        """Groups that have a slice on this side."""
        return int((self.sizes > 0).sum())

    def reached(self, threshold: float) -> np.ndarray:
        """Slices of each group whose score is at least the threshold, float64 (groups,)."""
        return np.bincount(self.groups[self.scores >= threshold], minlength=len(self.sizes)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Prepared:
    """One class against the rest: what `at` and `net_benefit` look up. Made by `prepare`, cached by the caller."""

    label: str
    positive: Side
    negative: Side

    @property
    def positives(self) -> int:
        return len(self.positive.scores)

    @property
    def negatives(self) -> int:
        return len(self.negative.scores)

    @property
    def n_slices(self) -> int:
        return self.positives + self.negatives

    @property
    def n_groups(self) -> int:
        return len(self.positive.sizes)

    @property
    def fewest(self) -> int:
        """Groups of the side that has fewer."""
        return min(self.positive.n_groups, self.negative.n_groups)

    @property
    def prevalence(self) -> float:
        """Share of the slices that are of the class."""
        return self.positives / self.n_slices

    @cached_property
    def rates(self) -> np.ndarray:
        """(CURVE_THRESHOLDS, 7): sensitivity and false positive rate, see `_rates`; no prevalence changes them."""
        return _rates(self, CURVE_THRESHOLDS, (self.positive.sizes, self.negative.sizes))


@dataclass(frozen=True)
class OperatingPoint:
    """A class called wherever its probability is at least `threshold`; counts are slices.

    ppv and npv are at `prevalence` (a chosen share of the class), not at that of the slices.
    """

    label: str
    threshold: float
    prevalence: float
    tp: int
    fn: int
    tn: int
    fp: int
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate

    @property
    def false_alarms(self) -> Estimate:
        """Share of the other classes' slices that are called this one."""
        return _complement(self.specificity)


@dataclass(frozen=True, eq=False)
class Matrix:
    """A confusion matrix, all arrays (classes, classes), rows true and columns predicted, order of `labels`.

    counts, groups   slices in the cell, and groups with a slice in it
    row_share        share of the true class's slices (diagonal: sensitivity), with row_low and row_high
    column_share     share of the predicted class's slices (diagonal: precision), with column_low, column_high
    Shares are NaN where the row or column is empty, and bounds also where it has fewer than two groups.
    """

    labels: tuple[str, ...]
    counts: np.ndarray
    groups: np.ndarray
    row_share: np.ndarray
    row_low: np.ndarray
    row_high: np.ndarray
    column_share: np.ndarray
    column_low: np.ndarray
    column_high: np.ndarray

    def table(self) -> "pd.DataFrame":
        """One row per cell, row by row: true, predicted, slices, groups, row_share, ..., column_high."""
        import pandas as pd

        names = np.array(self.labels, dtype=object)
        cells = {"true": names.repeat(len(names)), "predicted": np.tile(names, len(names))}
        shares = [f"{side}_{part}" for side in ("row", "column") for part in ("share", "low", "high")]
        numbers = {"slices": self.counts, "groups": self.groups} | {name: getattr(self, name) for name in shares}
        return pd.DataFrame(cells | {name: values.ravel() for name, values in numbers.items()})


def prepare(scored: Scored, label: str) -> Prepared:
    """What `at` and `net_benefit` need of one class against the rest. DataError without slices of the class."""
    k = scored.index(label)
    of_class = scored.targets == k
    if not of_class.any():
        raise DataError(label, "no slice of this class", "at least one")
    positive, negative = (
        Side(
            scored.probabilities[mask, k],
            scored.groups[mask],
            np.bincount(scored.groups[mask], minlength=scored.n_groups).astype(np.float64),
        )
        for mask in (of_class, ~of_class)
    )
    return Prepared(label, positive, negative)


def at(prepared: Prepared, threshold: float, prevalence: float | None = None) -> OperatingPoint:
    """The operating point at a threshold (0 to 1), ppv and npv at a prevalence (default: that of the slices).

    With sensitivity and specificity, Bayes' rule gives ppv = p * sens / (p * sens + (1 - p) * (1 - spec)): it
    depends on them by their likelihood ratio alone, so its interval is that of the ratio.
    """
    prevalence = prepared.prevalence if prevalence is None else prevalence
    for name, number in (("threshold", threshold), ("prevalence", prevalence)):
        if not 0 <= number <= 1:
            raise DataError(name, f"{number:g}", "a number from 0 to 1")
    positive, negative = prepared.positive, prepared.negative
    hits, alarms = positive.reached(threshold), negative.reached(threshold)
    sensitivity, found = _estimate(hits, positive.sizes, "no slice of this class")
    alarm_rate, alarmed = _estimate(alarms, negative.sizes, "no slice of another class")
    specificity = _complement(alarm_rate)
    correlation = _correlation(found, alarmed)
    odds = (1 - prevalence) / prevalence if prevalence else np.inf
    tp, fp = int(hits.sum()), int(alarms.sum())
    return OperatingPoint(
        label=prepared.label,
        threshold=float(threshold),
        prevalence=float(prevalence),
        tp=tp,
        fn=prepared.positives - tp,
        tn=prepared.negatives - fp,
        fp=fp,
        sensitivity=sensitivity,
        specificity=specificity,
        ppv=_predictive(alarm_rate, sensitivity, odds, correlation),
        npv=_predictive(_complement(sensitivity), specificity, 1 / odds if odds else np.inf, correlation),
    )


def called(scored: Scored, label: str | None = None, threshold: float | None = None) -> np.ndarray:
    """Index of the predicted class, int64 (n,).

    Without a label that of the highest probability; else `label` where its probability is at least
    `threshold`, and the most probable of the other classes elsewhere.
    """
    if label is None:
        return scored.probabilities.argmax(axis=1)
    if threshold is None or not 0 <= threshold <= 1:
        raise DataError("threshold", str(threshold), "a number from 0 to 1")
    k = scored.index(label)
    others = scored.probabilities.copy()
    own = others[:, k].copy()
    others[:, k] = -1
    return np.where(own >= threshold, k, others.argmax(axis=1))


def confusion(scored: Scored, predicted: np.ndarray) -> Matrix:
    """The confusion matrix of predicted classes (n,), each cell's shares with their intervals."""
    cells = cells_by_group(scored.targets, predicted, scored.groups, len(scored.labels))
    rows = intervals.share(cells, cells.sum(axis=1, keepdims=True))
    columns = intervals.share(cells, cells.sum(axis=0, keepdims=True))
    counts, groups = cells.sum(axis=2).astype(np.int64), np.count_nonzero(cells, axis=2)
    return Matrix(scored.labels, counts, groups, *rows, *columns)


def balanced_accuracy(cells: np.ndarray, classes: np.ndarray | None = None) -> Estimate:
    """Mean sensitivity of some classes (else of all that are there), of `cells_by_group`'s cells."""
    whole = cells.sum(axis=1)
    chosen = np.flatnonzero(whole.sum(axis=1)) if classes is None else classes
    value, influence = intervals.ratio(cells[chosen, chosen], whole[chosen])
    middle, fewest = value.mean(), int(np.count_nonzero(whole[chosen], axis=1).min())
    low, high = intervals.interval(middle, influence.mean(axis=0), fewest)
    return estimate(float(middle), float(low), float(high), fewest)


def cells_by_group(targets: np.ndarray, predicted: np.ndarray, groups: np.ndarray, classes: int) -> np.ndarray:
    """Slices by true class, predicted class and group, float64 (classes, classes, groups)."""
    n = int(groups.max(initial=-1)) + 1
    flat = np.bincount((targets * classes + predicted) * n + groups, minlength=classes**2 * n)
    return flat.reshape(classes, classes, n).astype(np.float64)


def net_benefit(
    prepared: Prepared, thresholds: np.ndarray | None = None, prevalence: float | None = None
) -> "pd.DataFrame":
    """Decision curve (Vickers and Elkin 2006, Med Decis Making 26:565): one row per strategy and threshold.

    Columns: threshold, strategy ("model", "all", "none"), net_benefit, low, high (95 %), in true positives per
    slice: p * sensitivity - (1 - p) * (1 - specificity) * t / (1 - t), with t over 0 and under 1, CURVE_THRESHOLDS
    unless given. p is the share of positive slices, unless a prevalence is given, which is then taken as known.
    low and high are NaN where a side that counts has fewer than two groups.
    """
    import pandas as pd

    if prevalence is not None and not 0 <= prevalence <= 1:
        raise DataError("prevalence", f"{prevalence:g}", "a number from 0 to 1")
    t = CURVE_THRESHOLDS if thresholds is None else np.asarray(thresholds, dtype=np.float64)
    if not ((t > 0) & (t < 1)).all():
        raise DataError("thresholds", "one of 0 or less, or of 1 or more", "numbers between 0 and 1")
    weight, sides = t / (1 - t), (prepared.positive.sizes, prepared.negative.sizes)
    if prevalence is None:  # shares of all slices: how many are positive is as unsure as how many are found
        everyone = sides[0] + sides[1]
        rates, gain, loss = _rates(prepared, t, (everyone, everyone)), 1.0, weight
        p, influence = intervals.ratio(sides[0], everyone)
        known = (p, *intervals.interval(p, influence, prepared.fewest))
    else:
        rates = prepared.rates if thresholds is None else _rates(prepared, t, sides)
        gain, loss = prevalence, (1 - prevalence) * weight
        known = (prevalence,) * 3
    hit, alarm = gain * rates[:, :3].T, loss * rates[:, 3:6].T
    curves = {
        "model": (hit[0] - alarm[0], *intervals.difference(hit, alarm, rates[:, 6])),
        "all": [p - (1 - p) * weight for p in known],
        "none": [0 * t] * 3,
    }
    columns = ("net_benefit", "low", "high")
    parts = [
        pd.DataFrame({"threshold": t, "strategy": strategy} | dict(zip(columns, numbers, strict=True)))
        for strategy, numbers in curves.items()
    ]
    return pd.concat(parts, ignore_index=True)


def classification_report(scored: Scored, predicted: np.ndarray) -> "pd.DataFrame":
    """scikit-learn's classification report: rows of classes, accuracy, macro avg, weighted avg.

    Columns: name, precision, recall, f1-score, support; undefined values are 0, as there.
    """
    import pandas as pd

    counts = cells_by_group(scored.targets, predicted, scored.groups, len(scored.labels)).sum(axis=2)
    right, support, given = np.diagonal(counts), counts.sum(axis=1), counts.sum(axis=0)
    parts = {"precision": (right, given), "recall": (right, support), "f1-score": (2 * right, support + given)}
    values = {name: part / np.where(whole > 0, whole, 1) for name, (part, whole) in parts.items()}
    n, classes = scored.n_slices, len(right)
    rows = pd.DataFrame({"name": scored.labels, **values, "support": support})
    further = [{"name": "accuracy", "f1-score": right.sum() / n, "support": n}]
    for name, weight in (("macro avg", np.full(classes, 1 / classes)), ("weighted avg", support / n)):
        further.append({"name": name, **{key: weight @ found for key, found in values.items()}, "support": n})
    return pd.concat([rows, pd.DataFrame(further)], ignore_index=True).astype({"support": int})


def _estimate(part: np.ndarray, whole: np.ndarray, undefined: str) -> tuple[Estimate, np.ndarray]:
    """The share as an estimate, and the groups' influences on it."""
    n = int((whole > 0).sum())
    if not n:
        return Estimate(None, None, None, undefined), np.zeros_like(whole)
    value, influence = intervals.ratio(part, whole)
    low, high = intervals.interval(value, influence, n)
    return estimate(float(value), float(low), float(high), n), influence


def _complement(share: Estimate) -> Estimate:
    """The estimate of one less a share."""
    flipped = [None if bound is None else 1 - bound for bound in (share.value, share.high, share.low)]
    return Estimate(*flipped, share.note)


def _predictive(wrong: Estimate, right: Estimate, odds: float, correlation: float) -> Estimate:
    """1 / (1 + odds * wrong / right): ppv of (1 - specificity, sensitivity), npv of (1 - sensitivity, specificity).

    `odds` are those against the side that is called.
    """
    if wrong.value is None or right.value is None:
        return Estimate(None, None, None, wrong.note or right.note)
    if not wrong.value and not right.value:
        return Estimate(None, None, None, "no slice on this side of the threshold")
    value = _posterior(wrong.value / right.value if right.value else np.inf, odds)
    if wrong.low is None or right.low is None:
        return Estimate(value, None, None, wrong.note if wrong.low is None else right.note)
    pairs = ((wrong.value, right.value), (wrong.low, right.low), (wrong.high, right.high))
    least, most = intervals.risk_ratio(*pairs, correlation)
    return Estimate(value, _posterior(most, odds), _posterior(least, odds), wrong.note or right.note)


def _posterior(ratio: float, odds: float) -> float:
    """1 / (1 + ratio * odds), with 0 times infinity as 0: what never happens is not called in error."""
    return 1 / (1 + ratio * odds) if ratio and odds else 1.0


def _rates(prepared: Prepared, thresholds: np.ndarray, wholes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(thresholds, 7): true and false positives as shares of `wholes` (groups,), each with its 95 % bounds, and the
    correlation of the two over groups.
    """
    sides, rows = (prepared.positive, prepared.negative), []
    for threshold in thresholds:
        row, influences = [], []
        for side, whole in zip(sides, wholes, strict=True):
            value, influence = intervals.ratio(side.reached(threshold), whole)
            n = side.n_groups if whole is side.sizes else prepared.fewest
            row += [value, *intervals.interval(value, influence, n)]
            influences.append(influence)
        rows.append([*row, _correlation(*influences)])
    return np.array(rows, np.float64).reshape(-1, 7)


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Of two shares, by their groups' influences (groups,); 0 where one of them does not vary."""
    scale = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / scale) if scale > 0 else 0.0
