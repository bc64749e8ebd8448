"""ROC, precision-recall and reliability curves, calibration before and after, and results by a column."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core import intervals, metrics
from core.errors import DataError
from core.metrics import N_BINS, Estimate, estimate
from core.operating import balanced_accuracy, called, cells_by_group
from core.predictor import softmax
from core.scored import Scored, recoded

if TYPE_CHECKING:
    import pandas as pd

MEASURES = ("ece", "brier", "cross_entropy")
"""Of calibration, in the order in which they are shown."""

POINTS = 101
"""Points of a curve, at even steps of its x axis from 0 to 1."""

LEVELS = 1000
"""Replicates tell so many levels of score apart, of even shares of the slices; the curve itself tells all."""

FINEST = 1e-12
"""No probability counts as smaller in a cross-entropy."""

ROUNDING = 1e-9
"""A share counts as reached when it falls short of it by so little."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A curve of one class against the rest.

    table  one row per point (POINTS). ROC: false_positive_rate, sensitivity, low, high, threshold.
           Precision-recall: recall, precision, low, high, threshold. low and high are the pointwise 95 % band of
           y at that x, NaN where fewer than two groups have a slice that counts there; threshold is the highest
           one that reaches that x.
    area   ROC AUC or average precision, with its interval
    chance y of a useless score: None for ROC (the diagonal), the share of positives for precision-recall
    """

    label: str
    table: "pd.DataFrame"
    area: Estimate
    chance: float | None
    positives: int
    n_slices: int
    n_groups: int


def roc(scored: Scored, label: str, n_boot: int = 400, seed: int = 0) -> Curve:
    """The ROC curve. DataError when the class or the rest is empty."""
    return _curve(scored, label, n_boot, seed, of_alarms=True)


def precision_recall(scored: Scored, label: str, n_boot: int = 400, seed: int = 0) -> Curve:
    """The precision-recall curve. DataError when the class or the rest is empty."""
    return _curve(scored, label, n_boot, seed, of_alarms=False)


def reliability(
    scored: Scored, label: str | None = None, temperature: float | None = None, bins: int = 10
) -> "pd.DataFrame":
    """Reliability diagram: one row per bin of equal width (closed above) that holds a slice.

    Columns: bin_low, bin_high, predicted (mean), observed (share), low, high (95 %), slices, groups. Without a
    label: the top probability against being right. `temperature` replaces the run's.
    """
    import pandas as pd

    if bins < 1:
        raise DataError("bins", str(bins), "1 or more")
    p = scored.probabilities if temperature is None else softmax(scored.logits / temperature)
    if label is None:
        score, right = p.max(axis=1), p.argmax(axis=1) == scored.targets
    else:
        k = scored.index(label)
        score, right = p[:, k], scored.targets == k
    place = metrics.bin_of(score, bins)
    flat, n = place * scored.n_groups + scored.groups, bins * scored.n_groups
    whole = np.bincount(flat, minlength=n).reshape(bins, -1).astype(np.float64)
    part = np.bincount(flat, weights=right, minlength=n).reshape(bins, -1)
    observed, low, high = intervals.share(part, whole)
    slices = whole.sum(axis=1).astype(np.int64)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, weights=score, minlength=bins) / slices
    edges = np.arange(bins + 1) / bins
    table = {"bin_low": edges[:-1], "bin_high": edges[1:], "predicted": predicted, "observed": observed}
    table |= {"low": low, "high": high, "slices": slices, "groups": np.count_nonzero(whole, axis=1)}
    return pd.DataFrame(table)[slices > 0].reset_index(drop=True)


def calibration_before_after(scored: Scored, n_boot: int = 400, seed: int = 0) -> "pd.DataFrame":
    """One row per measure (ece, brier, cross_entropy) and temperature (1, then the run's).

    Columns: measure, when ("before", "after"), temperature, value, low, high (95 %). ece and brier as in
    `core.metrics`; cross_entropy in nats a slice.
    """
    import pandas as pd

    rows = []
    groups = np.bincount(scored.groups).astype(np.float64)
    for when, temperature in (("before", 1.0), ("after", scored.temperature)):
        p = softmax(scored.logits / temperature)
        own = p[np.arange(scored.n_slices), scored.targets]
        error = ((p - np.eye(p.shape[1])[scored.targets]) ** 2).sum(axis=1)
        brier, *brier_bounds = intervals.share(_by_group(scored, error / 2), groups)
        entropy, *entropy_bounds = _mean(_by_group(scored, -np.log(np.maximum(own, FINEST))), groups)
        for measure, numbers in (
            ("ece", _ece(scored, p, n_boot, seed)),
            ("brier", [2 * brier, *(2 * bound for bound in brier_bounds)]),
            ("cross_entropy", [entropy, *entropy_bounds]),
        ):
            numbers = dict(zip(("value", "low", "high"), map(float, numbers), strict=True))
            rows.append({"measure": measure, "when": when, "temperature": temperature, **numbers})
    return pd.DataFrame(rows).sort_values(
        "measure", key=lambda names: names.map(MEASURES.index), kind="stable", ignore_index=True
    )


def by_slice(
    scored: Scored, column: str, label: str | None = None, threshold: float | None = None
) -> "pd.DataFrame":
    """Forest table: one row per value of a column and metric; values sorted, rows without a value left out.

    Columns: value_of (the column's value), metric ("balanced accuracy" where two classes or more are there,
    then "sensitivity LABEL" per class that is there), value, low, high, slices, groups, note. slices and groups
    are those that the metric is over; low and high are NaN with fewer than two groups, and `note` says so.
    label and threshold as in `core.operating.called`.
    """
    import pandas as pd

    if column not in scored.frame.columns:
        raise DataError("column", repr(column), f"one of {', '.join(scored.frame.columns)}")
    predicted = called(scored, label, threshold)
    codes, names = pd.factorize(scored.frame[column], sort=True)
    rows = []
    for place, name in enumerate(names):
        here = np.flatnonzero(codes == place)
        cells = cells_by_group(
            scored.targets[here], predicted[here], recoded(scored.groups[here]), len(scored.labels)
        )
        rows += [{"value_of": str(name), **row} for row in _forest(cells, scored.labels)]
    columns = ["value_of", "metric", "value", "low", "high", "slices", "groups", "note"]
    return pd.DataFrame(rows, columns=columns)


def _forest(cells: np.ndarray, labels: tuple[str, ...]) -> list[dict]:
    """Balanced accuracy and sensitivities of cells (classes, classes, groups)."""
    whole = cells.sum(axis=1)
    present = np.flatnonzero(whole.sum(axis=1))
    shown = [(f"sensitivity {labels[k]}", present[[place]]) for place, k in enumerate(present)]
    if len(present) > 1:
        shown.insert(0, ("balanced accuracy", present))
    rows = []
    for metric, classes in shown:
        found, of = balanced_accuracy(cells, classes), whole[classes].sum(axis=0)
        numbers = {
            name: np.nan if number is None else number
            for name, number in (("value", found.value), ("low", found.low), ("high", found.high))
        }
        counts = {"slices": int(of.sum()), "groups": int(np.count_nonzero(of)), "note": found.note}
        rows.append({"metric": metric, **numbers, **counts})
    return rows


def _curve(scored: Scored, label: str, n_boot: int, seed: int, of_alarms: bool) -> Curve:
    """The ROC curve (`of_alarms`) or the precision-recall curve; bands by the variance of replicates of groups."""
    import pandas as pd

    k = scored.index(label)
    positive = scored.targets == k
    if positive.all() or not positive.any():
        raise DataError(label, "slices of one side only", "slices of this class and of others")
    scores = scored.probabilities[:, k]
    draw, area = (_roc_at, _roc_area) if of_alarms else (_precision_at, _average_precision)
    steps = np.unique(scores)[::-1]
    place = np.searchsorted(-steps, -scores)
    exact = [np.bincount(place[side], minlength=len(steps)).astype(np.float64) for side in (positive, ~positive)]
    x = np.linspace(0, 1, POINTS)
    y, at_step = draw(*exact, x)
    lines, areas = [], []
    for hits, alarms in _replicates(scored, positive, place, len(steps), n_boot, seed):
        if hits.sum() and alarms.sum():
            lines.append(draw(hits, alarms, x)[0])
            areas.append(area(hits, alarms))
    fewest = min(len(np.unique(scored.groups[side])) for side in (positive, ~positive))
    n = fewest if of_alarms else np.minimum(fewest, _groups_called(scored.groups, place)[at_step])
    low, high = intervals.bounds(y, _variance(lines, n), n)
    if of_alarms:
        low[-1] = high[-1] = 1.0  # who calls everyone misses none, in any sample
    value = area(*exact)
    bounds = intervals.bounds(value, _variance(areas, fewest), fewest)
    columns = ("false_positive_rate", "sensitivity") if of_alarms else ("recall", "precision")
    threshold = np.where(at_step >= 0, steps[np.maximum(at_step, 0)], np.nan)
    table = dict(zip(columns, (x, y), strict=True)) | {"low": low, "high": high, "threshold": threshold}
    return Curve(
        label=label,
        table=pd.DataFrame(table),
        area=estimate(value, *map(float, bounds), fewest),
        chance=None if of_alarms else float(positive.mean()),
        positives=int(positive.sum()),
        n_slices=scored.n_slices,
        n_groups=scored.n_groups,
    )


def _variance(drawn: list, n: int | np.ndarray) -> np.ndarray:
    """Variance over replicates, one a row, as large as it is between so many groups."""
    return np.var(drawn, axis=0) * n / np.maximum(n - 1, 1) if len(drawn) > 1 else np.float64(0)


def _groups_called(groups: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Groups with a slice at each step of falling score or before it, int (steps,): precision is over these."""
    first = np.full(groups.max() + 1, len(place))
    np.minimum.at(first, groups, place)
    return np.cumsum(np.bincount(first, minlength=place.max() + 1))


def _replicates(
    scored: Scored, positive: np.ndarray, place: np.ndarray, n_steps: int, n_boot: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Positives and negatives at each step of falling score, two (steps,), in each replicate of the groups.

    Of more than LEVELS steps, so many are told apart: the variance of a curve needs no more.
    """
    from scipy.sparse import csr_array

    if n_steps > LEVELS:
        upto = np.cumsum(np.bincount(place, minlength=n_steps))
        level = ((upto - 1) * LEVELS // len(place)).astype(np.int64)
        place, n_steps = np.unique(level, return_inverse=True)[1][place], len(np.unique(level))
    column = place + n_steps * ~positive
    ones = np.ones(len(place), np.float32)
    counts = csr_array((ones, (scored.groups, column)), shape=(scored.n_groups, 2 * n_steps)).T.tocsr()
    for weights in metrics.group_weights(scored.n_groups, scored.n_slices, n_boot, seed):
        for row in (counts @ weights.T.astype(np.float32)).T:
            yield row[:n_steps], row[n_steps:]


def _roc_at(hits: np.ndarray, alarms: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity at false positive rates x, straight between thresholds as the AUC takes it; and the last step
    whose rate is at most x, -1 for none.
    """
    rate = np.concatenate([[0.0], np.cumsum(alarms, dtype=np.float64)]) / alarms.sum(dtype=np.float64)
    found = np.concatenate([[0.0], np.cumsum(hits, dtype=np.float64)]) / hits.sum(dtype=np.float64)
    at = np.searchsorted(rate, x + ROUNDING, side="right") - 1
    after = np.minimum(at + 1, len(rate) - 1)
    width = rate[after] - rate[at]
    way = np.where(width > 0, (x - rate[at]) / np.where(width > 0, width, 1), 0)
    return np.clip(found[at] + np.clip(way, 0, 1) * (found[after] - found[at]), 0, 1), at - 1


def _precision_at(hits: np.ndarray, alarms: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Precision at the first step that reaches recall x (no straight lines: Davis and Goadrich 2006, ICML)."""
    found = np.cumsum(hits, dtype=np.float64)
    everyone = found + np.cumsum(alarms, dtype=np.float64)
    first = np.flatnonzero(everyone)[0]
    at = np.maximum(np.searchsorted(found / found[-1], x - ROUNDING), first)
    return found[at] / everyone[at], at


def _roc_area(hits: np.ndarray, alarms: np.ndarray) -> float:
    """Share of pairs in which the positive has the higher score, a tie counting half (Mann-Whitney)."""
    alarms, hits = alarms.astype(np.float64), hits.astype(np.float64)
    below = alarms.sum() - np.cumsum(alarms) + alarms / 2
    return float((hits * below).sum() / (hits.sum() * alarms.sum()))


def _average_precision(hits: np.ndarray, alarms: np.ndarray) -> float:
    """Sum over thresholds of precision times the step in recall."""
    found = np.cumsum(hits, dtype=np.float64)
    everyone = found + np.cumsum(alarms, dtype=np.float64)
    return float((hits * found / np.maximum(everyone, 1)).sum() / found[-1])


def _by_group(scored: Scored, values: np.ndarray) -> np.ndarray:
    return np.bincount(scored.groups, weights=values, minlength=scored.n_groups)


def _mean(part: np.ndarray, whole: np.ndarray) -> tuple[float, float, float]:
    """A mean of values without an upper end, with Student's interval by groups."""
    from scipy.special import stdtrit

    value, influence = intervals.ratio(part, whole)
    n = len(whole)
    if n < 2:
        return float(value), np.nan, np.nan
    reach = stdtrit(n - 1, 0.975) * np.sqrt((influence**2).sum() * n / (n - 1))
    return float(value), max(float(value - reach), 0.0), float(value + reach)


def _ece(scored: Scored, p: np.ndarray, n_boot: int, seed: int) -> tuple[float, float, float]:
    """Expected calibration error as in `core.metrics`."""
    top, right = p.max(axis=1), p.argmax(axis=1) == scored.targets
    bins = metrics.bin_of(top, N_BINS)
    excess = np.bincount(
        scored.groups * N_BINS + bins, weights=top - right, minlength=scored.n_groups * N_BINS
    ).reshape(-1, N_BINS)
    sizes = np.bincount(scored.groups).astype(np.float64)
    drawn = [
        np.abs(weights @ excess).sum(axis=1) / (weights @ sizes)
        for weights in metrics.group_weights(scored.n_groups, scored.n_slices, n_boot, seed)
    ]
    value = float(np.abs(excess.sum(axis=0)).sum() / scored.n_slices)
    n = scored.n_groups
    return value, *map(float, intervals.bounds(value, _variance(list(np.concatenate(drawn)), n), n))
