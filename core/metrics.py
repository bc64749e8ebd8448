"""Metrics of predicted probabilities, each with a 95 % interval from a bootstrap over groups.

Slices of one group (a patient, a series) resemble each other, so whole groups are drawn with replacement,
as many as there are, and every metric is computed again from the drawn ones (Field and Welsh 2007,
"Bootstrapping clustered data", J R Stat Soc B 69:369). Drawing a group twice is the same as counting its slices
twice, so a replicate is a vector of weights, and the estimate itself is the replicate in which every weight is 1.
The replicates' variance, and not their percentiles, makes the interval, by the rule of `core.intervals`:
percentiles are too narrow near the ends of a metric's range and where groups are few.
"""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from core import intervals
from core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

N_BINS = 15
"""Equal-width bins of the top probability in the expected calibration error."""

FEW_GROUPS = 10
"""Below this an interval rests on too little to be trusted, and the estimate says so."""

CHUNK_VALUES = 500_000
"""Replicates are worked off in chunks of about this many weights: bounded memory, and it stays in cache."""

DEFINITIONS = {
    "interval": "95 %, Wilson's at the effective sample size value * (1 - value) / variance, the variance from a "
    "bootstrap over groups, with Student's quantile for the groups that contribute; where the value lies at the "
    "end of its range, the Clopper-Pearson bound 0.025 ** (1 / n) away from that end, n being these groups",
    "balanced_accuracy": "mean sensitivity of the classes present in the targets",
    "macro_f1": "mean F1 of the classes present in the targets",
    "brier": "sum over the classes of squared error, mean over the slices: 0 best, 2 worst",
    "ece": f"expected calibration error, {N_BINS} equal-width bins of the top probability",
    "auc": "one versus rest, a tie counting half",
    "average_precision": "one versus rest, sum over thresholds of precision times the step in sensitivity",
    "diseased_auc": "score 1 - p(normal), normal versus all other classes",
}
"""What the names in `Evaluation.to_json()` mean; stored beside the numbers."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; None where it is not defined, and then `note` says why."""

    value: float | None
    low: float | None
    high: float | None
    note: str | None = None

    def __str__(self) -> str:
        if self.value is None:
            return "-"
        if self.low is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def to_json(self) -> dict:
        """{"value", "low", "high"} and, where there is one, "note"; numbers or None, never NaN."""
        return {key: value for key, value in asdict(self).items() if key != "note" or value}


@dataclass(frozen=True)
class ClassReport:
    """One class against the rest; `support` and the four counts are slices, `groups` those with the class."""

    label: str
    support: int
    groups: int
    tp: int
    fn: int
    tn: int
    fp: int
    precision: Estimate
    sensitivity: Estimate
    specificity: Estimate
    f1: Estimate
    auc: Estimate
    average_precision: Estimate


CLASS_METRICS = ("precision", "sensitivity", "specificity", "f1", "auc", "average_precision")
OVERALL_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "brier", "ece")


@dataclass(frozen=True)
class Evaluation:
    """Everything measured on one set of slices; DEFINITIONS says what each name means.

    confusion     slices, rows true and columns predicted, both in the order of `labels`
    diseased_auc  None where no label is called normal
    """

    labels: tuple[str, ...]
    n_slices: int
    n_groups: int
    n_boot: int
    seed: int
    confusion: tuple[tuple[int, ...], ...]
    accuracy: Estimate
    balanced_accuracy: Estimate
    macro_f1: Estimate
    brier: Estimate
    ece: Estimate
    diseased_auc: Estimate | None
    classes: tuple[ClassReport, ...]

    def to_json(self) -> dict:
        """Plain dict for metrics.json, `classes` keyed by label; numbers, text or None, never NaN."""
        counts = {name: getattr(self, name) for name in ("n_slices", "n_groups", "n_boot", "seed")}
        overall = {name: getattr(self, name).to_json() for name in OVERALL_METRICS}
        return {
            **counts,
            "labels": list(self.labels),
            "confusion": [list(row) for row in self.confusion],
            **overall,
            "diseased_auc": self.diseased_auc.to_json() if self.diseased_auc else None,
            "classes": {report.label: _class_json(report) for report in self.classes},
            "definitions": DEFINITIONS,
        }


def evaluate(
    probabilities: np.ndarray,
    targets: np.ndarray,
    groups: Sequence,
    labels: Sequence[str],
    n_boot: int = 2000,
    seed: int = 0,
) -> Evaluation:
    """All metrics of probabilities (n, c) against class indices (n,), with intervals by groups (n,).

    The predicted class is that of the highest probability, the first of equals. A metric that needs a
    class, or a side, that is not there is None with a note; with fewer than two groups to draw from the
    interval is None. Balanced accuracy and macro F1 are over the classes present in the targets, and only
    replicates that still hold all of these count. Raises DataError naming what does not fit.
    """
    probabilities, targets, codes = _checked(probabilities, targets, groups, labels)
    tallies = _tally(probabilities, targets, codes)
    values = _metrics(tallies, np.ones((1, tallies.n_groups)))
    draws = group_weights(tallies.n_groups, len(codes), n_boot, seed)
    chunks = [_metrics(tallies, weights) for weights in draws]
    replicates = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in values}
    confusion = tallies.confusion.sum(axis=0).astype(int).reshape(len(labels), len(labels))
    with_class = tallies.true_groups.sum(axis=0)
    fewest = int(with_class[with_class > 0].min())
    overall = {}
    for name in OVERALL_METRICS:
        n = fewest if name in ("balanced_accuracy", "macro_f1") else tallies.n_groups
        ceiling = 2.0 if name == "brier" else 1.0
        overall[name] = _estimate(values[name][0], replicates[name], n, ceiling)
    classes = tuple(
        _class_report(label, k, confusion, tallies, values, replicates) for k, label in enumerate(labels)
    )
    return Evaluation(
        labels=tuple(labels),
        n_slices=len(codes),
        n_groups=tallies.n_groups,
        n_boot=n_boot,
        seed=seed,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        # One versus rest for "normal" ranks the same pairs as 1 - p(normal) does for the diseased.
        diseased_auc=next((report.auc for report in classes if report.label.casefold() == "normal"), None),
        classes=classes,
        **overall,
    )


def evaluate_frame(frame: "pd.DataFrame", labels: Sequence[str], n_boot: int = 2000, seed: int = 0) -> Evaluation:
    """`evaluate` on a table of predictions, one row per slice, with columns label, group, p_<label>..."""
    needed = ("label", "group", *(f"p_{label}" for label in labels))
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise DataError("predictions", f"no column {', '.join(absent)}", f"the columns {', '.join(needed)}")
    index = {label: k for k, label in enumerate(labels)}
    unknown = sorted(set(map(str, frame["label"])) - set(index))
    if unknown:
        raise DataError("column label", ", ".join(unknown), "one of " + ", ".join(labels))
    probabilities = frame[[f"p_{label}" for label in labels]].to_numpy(dtype=np.float64)
    targets = np.array([index[label] for label in frame["label"]], dtype=np.int64)
    return evaluate(probabilities, targets, frame["group"].tolist(), labels, n_boot, seed)


def evaluate_by(
    frame: "pd.DataFrame", column: str, labels: Sequence[str], n_boot: int = 2000, seed: int = 0
) -> dict[str, Evaluation]:
    """`evaluate_frame` for each value of a column, sorted; rows where the column is missing are left out."""
    if column not in frame.columns:
        raise DataError("predictions", f"no column {column}", "one of " + ", ".join(map(str, frame.columns)))
    parts = frame.groupby(column, sort=True, dropna=True)
    return {str(value): evaluate_frame(part, labels, n_boot, seed) for value, part in parts}


def binary_auc(
    scores: np.ndarray, positives: np.ndarray, groups: Sequence, n_boot: int = 2000, seed: int = 0
) -> Estimate:
    """Area under the ROC curve of scores (n,) for positives, bool (n,), with its interval by groups (n,).

    A tie counts half (Mann-Whitney). None with a note where one side is empty.
    """
    scores, positives = np.asarray(scores, dtype=np.float64), np.asarray(positives, dtype=bool)
    if scores.ndim != 1 or scores.shape != positives.shape or not np.isfinite(scores).all():
        raise DataError("scores", f"shape {scores.shape}", f"finite numbers of shape {positives.shape}")
    codes = _group_codes(groups, len(scores))
    n_groups = int(codes.max()) + 1
    ranking = _rank(scores, positives, codes)
    value = _ranking_metrics(ranking, np.ones((1, n_groups)))[0][0]
    draws = group_weights(n_groups, len(codes), n_boot, seed)
    chunks = [_ranking_metrics(ranking, weights)[0] for weights in draws]
    sides = min(len(np.unique(codes[positives])), len(np.unique(codes[~positives])))
    return _estimate(value, np.concatenate(chunks), sides, undefined="slices of one side only")


def group_weights(n_groups: int, n_slices: int, n_boot: int, seed: int) -> Iterator[np.ndarray]:
    """How often each group is drawn in each replicate, float64 (b, g), the chunks adding up to n_boot.

    The same for a seed and numbers of groups and slices, so that two runs can be counted on the same draws.
    """
    if n_boot < 1:
        raise DataError("bootstrap replicates", str(n_boot), "at least 1")
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_VALUES // n_slices)
    for start in range(0, n_boot, step):
        b = min(step, n_boot - start)
        drawn = rng.integers(n_groups, size=(b, n_groups)) + n_groups * np.arange(b)[:, None]
        yield np.bincount(drawn.ravel(), minlength=b * n_groups).reshape(b, n_groups).astype(np.float64)


def bin_of(scores: np.ndarray, bins: int) -> np.ndarray:
    """Bins of equal width from 0 to 1, closed above (Guo et al. 2017, ICML), int (n,) from 0."""
    return np.clip(np.ceil(scores * bins).astype(np.int64) - 1, 0, bins - 1)


def report_text(evaluation: Evaluation) -> str:
    """The evaluation as a plain text table: metrics down, classes across; overall; confusion; notes."""
    labels, classes = evaluation.labels, evaluation.classes
    by_class = [
        [name.replace("_", " "), *(str(getattr(report, name)) for report in classes)]
        for name in (*CLASS_METRICS, "support", "groups")
    ]
    overall = [[name.replace("_", " "), str(getattr(evaluation, name))] for name in OVERALL_METRICS]
    if evaluation.diseased_auc:
        overall.append(["diseased auc", str(evaluation.diseased_auc)])
    confusion = [[f"true {label}", *map(str, row)] for label, row in zip(labels, evaluation.confusion, strict=True)]
    notes: dict[str, list[str]] = {}
    for name, estimate in _named_estimates(evaluation):
        if estimate.note:
            notes.setdefault(estimate.note, []).append(name)
    parts = [
        f"{evaluation.n_slices} slices in {evaluation.n_groups} groups; 95 % intervals from "
        f"{evaluation.n_boot} bootstrap replicates over groups.",
        _aligned([["", *labels], *by_class]),
        _aligned(overall),
        _aligned([["", *(f"called {label}" for label in labels)], *confusion]),
        "\n".join(
            textwrap.fill(f"{note}: {', '.join(names)}", width=100, subsequent_indent="  ")
            for note, names in notes.items()
        ),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


@dataclass(frozen=True, eq=False)
class _Ranking:
    """Slices by falling score: their groups, which are positive, where each run of equal scores starts."""

    codes: np.ndarray
    positive: np.ndarray
    starts: np.ndarray


@dataclass(frozen=True, eq=False)
class _Tallies:
    """Sums over the slices of each group (g,), from which every metric follows by weighting groups."""

    confusion: np.ndarray  # (g, c * c), rows true
    squared_error: np.ndarray  # (g,)
    calibration: np.ndarray  # (g, N_BINS), top probability minus correct
    rankings: tuple[_Ranking, ...]  # one a class
    true_groups: np.ndarray  # bool (g, c): the group has a slice of the class
    other_groups: np.ndarray  # bool (g, c): the group has a slice of another class
    called_groups: np.ndarray  # bool (g, c): a slice of the group is called the class

    @property
    def n_groups(self) -> int:
        return len(self.confusion)


def _checked(
    probabilities: np.ndarray, targets: np.ndarray, groups: Sequence, labels: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """float64 (n, c), int (n,) and group codes (n,); DataError for shapes and values that do not fit."""
    probabilities, targets = np.asarray(probabilities, dtype=np.float64), np.asarray(targets)
    if probabilities.ndim != 2 or not len(probabilities) or probabilities.shape[1] != len(labels):
        expected = f"(slices, {len(labels)}) with one slice or more"
        raise DataError("probabilities", f"shape {probabilities.shape}", expected)
    n, c = probabilities.shape
    in_range = ((probabilities >= 0) & (probabilities <= 1)).all()  # false for NaN too
    if not in_range or abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        found = "rows that are not probabilities"
        raise DataError("probabilities", found, "numbers from 0 to 1 that sum to 1")
    if targets.shape != (n,) or targets.dtype.kind not in "iu" or targets.min() < 0 or targets.max() >= c:
        found = f"{targets.dtype} of shape {targets.shape}"
        raise DataError("targets", found, f"{n} class indices from 0 to {c - 1}")
    return probabilities, targets.astype(np.int64), _group_codes(groups, n)


def _group_codes(groups: Sequence, n: int) -> np.ndarray:
    """Index of each slice's group among the sorted groups, int (n,)."""
    groups = list(groups)
    if len(groups) != n or not n:
        raise DataError("groups", f"{len(groups)} values", f"{n or 'at least 1'}, one a slice")
    if any(group is None or group != group for group in groups):
        raise DataError("groups", "a missing value", "a group for every slice")
    return np.unique(np.array(groups), return_inverse=True)[1]


def _tally(probabilities: np.ndarray, targets: np.ndarray, codes: np.ndarray) -> _Tallies:
    n, c = probabilities.shape
    g = int(codes.max()) + 1
    called = probabilities.argmax(axis=1)
    top = probabilities[np.arange(n), called]
    bins = bin_of(top, N_BINS)
    squared_error = ((probabilities - np.eye(c)[targets]) ** 2).sum(axis=1)
    confusion = np.bincount((codes * c + targets) * c + called, minlength=g * c * c).reshape(g, c, c)
    excess = top - (called == targets)
    calibration = np.bincount(codes * N_BINS + bins, weights=excess, minlength=g * N_BINS)
    of_class = confusion.sum(axis=2)
    return _Tallies(
        confusion=confusion.reshape(g, c * c).astype(np.float64),
        squared_error=np.bincount(codes, weights=squared_error, minlength=g),
        calibration=calibration.reshape(g, N_BINS),
        rankings=tuple(_rank(probabilities[:, k], targets == k, codes) for k in range(c)),
        true_groups=of_class > 0,
        other_groups=of_class.sum(axis=1, keepdims=True) > of_class,
        called_groups=confusion.sum(axis=1) > 0,
    )


def _rank(scores: np.ndarray, positive: np.ndarray, codes: np.ndarray) -> _Ranking:
    order = np.argsort(-scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.inf))
    return _Ranking(codes[order], positive[order].astype(np.float64), starts)


def _metrics(tallies: _Tallies, weights: np.ndarray) -> dict[str, np.ndarray]:
    """Every metric for group weights (b, g): overall ones (b,), those of classes (b, c); NaN if undefined."""
    c = tallies.true_groups.shape[1]
    confusion = (weights @ tallies.confusion).reshape(-1, c, c)
    total = confusion.sum(axis=(1, 2))
    tp = np.diagonal(confusion, axis1=1, axis2=2)
    support, called = confusion.sum(axis=2), confusion.sum(axis=1)
    negatives = total[:, None] - support
    sensitivity = _ratio(tp, support)
    f1 = _ratio(2 * tp, support + called)
    present = tallies.true_groups.any(axis=0)
    complete = (support[:, present] > 0).all(axis=1)
    ranked = [_ranking_metrics(ranking, weights) for ranking in tallies.rankings]
    return {
        "accuracy": _ratio(tp.sum(axis=1), total),
        "balanced_accuracy": np.where(complete, sensitivity[:, present].mean(axis=1), np.nan),
        "macro_f1": np.where(complete, f1[:, present].mean(axis=1), np.nan),
        "brier": _ratio(weights @ tallies.squared_error, total),
        "ece": _ratio(np.abs(weights @ tallies.calibration).sum(axis=1), total),
        "precision": _ratio(tp, called),
        "sensitivity": sensitivity,
        "specificity": _ratio(negatives - called + tp, negatives),
        "f1": f1,
        "auc": np.stack([auc for auc, _ in ranked], axis=1),
        "average_precision": np.stack([average_precision for _, average_precision in ranked], axis=1),
    }


def _ranking_metrics(ranking: _Ranking, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """ROC AUC and average precision, each (b,), for group weights (b, g); NaN where one side is empty."""
    drawn = weights[:, ranking.codes]
    positives = np.add.reduceat(drawn * ranking.positive, ranking.starts, axis=1)
    everyone = np.add.reduceat(drawn, ranking.starts, axis=1)
    negatives = everyone - positives
    called_negatives = np.cumsum(negatives, axis=1)
    n_positive, n_negative = positives.sum(axis=1), called_negatives[:, -1]
    ranked_below = n_negative[:, None] - called_negatives + negatives / 2
    auc = _ratio((positives * ranked_below).sum(axis=1), n_positive * n_negative)
    called_positives = np.cumsum(positives, axis=1)
    called = called_positives + called_negatives
    precision = np.divide(called_positives, called, out=np.zeros_like(called), where=called > 0)
    average_precision = _ratio((positives * precision).sum(axis=1), n_positive)
    return auc, np.where(n_negative > 0, average_precision, np.nan)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _class_report(
    label: str,
    k: int,
    confusion: np.ndarray,
    tallies: _Tallies,
    values: dict[str, np.ndarray],
    replicates: dict[str, np.ndarray],
) -> ClassReport:
    true, other, called = (
        int(groups[:, k].sum()) for groups in (tallies.true_groups, tallies.other_groups, tallies.called_groups)
    )
    absent = "no slice of this class" if not true else None
    contributing = {
        "precision": (called, absent or "no slice is called this class"),
        "sensitivity": (true, absent),
        "specificity": (other, "no slice of another class"),
        "f1": (true, absent),
        "auc": (min(true, other), absent or "no slice of another class"),
        "average_precision": (min(true, other), absent or "no slice of another class"),
    }
    estimates = {}
    for name, (n, undefined) in contributing.items():
        value = np.nan if absent and name != "specificity" else values[name][0, k]
        estimates[name] = _estimate(value, replicates[name][:, k], n, undefined=undefined)
    tp = int(confusion[k, k])
    support, predicted = int(confusion[k].sum()), int(confusion[:, k].sum())
    tn = int(confusion.sum()) - support - predicted + tp
    return ClassReport(label, support, true, tp=tp, fn=support - tp, tn=tn, fp=predicted - tp, **estimates)


def _estimate(
    value: float, replicates: np.ndarray, n: int, ceiling: float = 1.0, undefined: str | None = None
) -> Estimate:
    """The value, from 0 to `ceiling`, with its interval; `n` is the number of groups that contribute to it.

    For a ranking these are the disjoint pairs of a positive and a negative group; for a mean over classes, the
    groups of the smallest class. See `core.intervals.bounds`.
    """
    if np.isnan(value):
        return Estimate(None, None, None, undefined)
    value = float(value)
    if n < 2:
        return estimate(value, np.nan, np.nan, n)
    defined = replicates[~np.isnan(replicates)] / ceiling
    varies = len(defined) and defined.min() < defined.max()
    variance = defined.var() * n / (n - 1) if varies else 0.0
    low, high = (ceiling * float(bound) for bound in intervals.bounds(value / ceiling, variance, n))
    return estimate(value, low, high, n)


def estimate(value: float, low: float, high: float, n: int) -> Estimate:
    """A value and its bounds, NaN where there are none, over n groups, as an estimate that says what is wrong."""
    note = interval_note(low, n)
    return Estimate(value, None, None, note) if np.isnan(low) else Estimate(value, low, high, note)


def interval_note(low: float, n: int) -> str | None:
    """What is wrong with an interval over n groups whose lower bound this is."""
    if np.isnan(low):
        return f"{'fewer than 2' if n < 2 else 'no variation between'} groups, no interval"
    return f"only {n} groups, a rough interval" if n < FEW_GROUPS else None


def _class_json(report: ClassReport) -> dict:
    counts = {name: getattr(report, name) for name in ("support", "groups", "tp", "fn", "tn", "fp")}
    return counts | {name: getattr(report, name).to_json() for name in CLASS_METRICS}


def _named_estimates(evaluation: Evaluation) -> Iterator[tuple[str, Estimate]]:
    for name in OVERALL_METRICS:
        yield name.replace("_", " "), getattr(evaluation, name)
    for report in evaluation.classes:
        for name in CLASS_METRICS:
            yield f"{report.label} {name.replace('_', ' ')}", getattr(report, name)


def _aligned(rows: list[list[str]]) -> str:
    """Columns padded to their widest cell, two spaces between them."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
