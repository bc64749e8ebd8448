"""Two runs on the very same images: how much one is better, with the interval of the difference.

Each replicate of the bootstrap draws whole groups once and counts both runs on them, so that what makes an image
hard for both cancels out (a paired bootstrap: Efron and Tibshirani 1993, "An introduction to the bootstrap",
chapter 10; groups as in core.metrics).
"""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from core import metrics
from core.catalogue import CONFIG, sql
from core.errors import RunError
from core.labels import title
from core.metrics import Estimate
from core.runs import read_json

if TYPE_CHECKING:
    import pandas as pd

OVERALL = {
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "auc": "AUC, normal against diseased",
    "brier": "Brier score",
}
SENSITIVITY = "sensitivity_"
LOWER_IS_BETTER = ("brier",)


@dataclass(frozen=True)
class Difference:
    """One metric of two runs on the same images; `difference` is the second's less the first's."""

    name: str
    title: str
    first: Estimate
    second: Estimate
    difference: Estimate

    @property
    def verdict(self) -> str | None:
        """Which run is better, "first" or "second", where the whole interval says so; else None."""
        low, high = self.difference.low, self.difference.high
        if low is None or low <= 0 <= high:
            return None
        return "second" if (low > 0) != (self.name in LOWER_IS_BETTER) else "first"


@dataclass(frozen=True)
class McNemar:
    """Images that only one of two runs called correctly, and the exact test of whether that is chance.

    `p` is the two-sided binomial probability of a split as uneven as this one, or more so, were both alike
    (McNemar 1947, Psychometrika 12:153; exact). It takes images as independent: where several share a patient, it
    claims too much, and the interval over groups is the one to trust.
    """

    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two runs under one scheme, on the images that both predicted.

    shared, only_first, only_second   numbers of images; what only one predicted counts nowhere else
    relabelled   images of both that carry another label in each, left out
    groups       number of groups (of the first run's table) that the shared images are in
    counts       one row per class and one for all: label (None for all), both, only_first, only_second, neither
                 called it correctly
    """

    labels: tuple[str, ...]
    shared: int
    only_first: int
    only_second: int
    relabelled: int
    groups: int
    differences: tuple[Difference, ...]
    mcnemar: McNemar
    counts: "pd.DataFrame"


def read_schemes(run: Path) -> dict[str, int]:
    """Number of slices that a run predicted under each scheme, the least flattering scheme first.

    Empty where the run has no predictions. Raises RunError for a file that cannot be read.
    """
    path = _file(run)
    return dict(_query("schemes", path=path).itertuples(index=False)) if path.is_file() else {}


def shared_schemes(first: Path, second: Path) -> dict[str, int]:
    """Images that two runs share under each scheme in which they share any, the least flattering scheme first.

    Raises RunError for a file that cannot be read.
    """
    paths = [_file(run) for run in (first, second)]
    if not all(path.is_file() for path in paths):
        return {}
    return dict(_query("shared", first=paths[0], second=paths[1]).itertuples(index=False))


def compare(first: Path, second: Path, scheme: str, n_boot: int = 2000, seed: int = 0) -> Comparison:
    """Two run folders on the images (the same bytes) that both predicted under a scheme.

    Raises RunError where they have no image or not all classes in common, or a file cannot be read.
    """
    labels = _common_labels(first, second)
    for run in (first, second):
        if scheme not in read_schemes(run):
            raise RunError(run.name, f"no predictions of scheme {scheme!r}", "a scheme that both runs have")
    pairs = _query("paired", first=_file(first), second=_file(second), scheme=scheme)
    here, there = pairs["first_label"].notna(), pairs["second_label"].notna()
    both = pairs[here & there]
    shared = both[both["first_label"] == both["second_label"]]
    if shared.empty:
        found = "no image in common" if both.empty else "other labels on each image that they share"
        raise RunError(
            f"{first.name} and {second.name}",
            f"{found} under scheme {scheme!r}",
            "runs tested on some of the same images",
        )
    one, targets = _arrays(first, shared, labels, "first")
    two, _ = _arrays(second, shared, labels, "second")
    groups = shared["first_group"].tolist()
    right = [side.argmax(axis=1) == targets for side in (one, two)]
    return Comparison(
        labels=labels,
        shared=len(shared),
        only_first=int((here & ~there).sum()),
        only_second=int((there & ~here).sum()),
        relabelled=len(both) - len(shared),
        groups=len(set(groups)),
        differences=paired_differences(one, two, targets, groups, labels, n_boot, seed),
        mcnemar=mcnemar(*right),
        counts=_counts(*right, targets, labels),
    )


def paired_differences(
    first: np.ndarray,
    second: np.ndarray,
    targets: np.ndarray,
    groups: Sequence,
    labels: Sequence[str],
    n_boot: int = 2000,
    seed: int = 0,
) -> tuple[Difference, ...]:
    """Differences of probabilities (n, c) of two runs for class indices (n,), with 95 % intervals by groups (n,).

    Balanced accuracy, accuracy, AUC of normal against diseased (where a class is called normal), Brier score, and
    the sensitivity of each class that is there. An interval is the difference and Student's quantile times the
    replicates' standard deviation to each side: a difference rests on the groups in which the runs differ, and
    where these are few, percentiles are too narrow (as in core.intervals). None with a note where no replicate
    differs or there are fewer than two groups.
    """
    sides = [_Side.of(probabilities, targets, groups, labels) for probabilities in (first, second)]
    n_groups = sides[0].n_groups
    chunks = [  # the same weights for both
        [side.measure(weights) for side in sides]
        for weights in metrics.group_weights(n_groups, len(targets), n_boot, seed)
    ]
    values = [side.measure(np.ones((1, n_groups))) for side in sides]
    differing = _differing(*sides)
    found = []
    for name, n in sides[0].contributing().items():
        point = [float(value[name][0]) for value in values]
        drawn = [np.concatenate([chunk[place][name] for chunk in chunks]) for place in (0, 1)]
        ceiling = 2.0 if name == "brier" else 1.0
        each = [metrics._estimate(value, part, n, ceiling) for value, part in zip(point, drawn, strict=True)]
        differ = min(n, differing.get(name, n))
        own = _difference(*point, drawn[1] - drawn[0], n, differ, ceiling)
        found.append(Difference(name, metric_title(name), *each, own))
    return tuple(found)


def metric_title(name: str) -> str:
    """The metric of a Difference in words."""
    return OVERALL.get(name) or f"Sensitivity, {title(name.removeprefix(SENSITIVITY)).lower()}"


@dataclass(frozen=True, eq=False)
class _Side:
    """One run's sums by group, from which its metrics follow for any weights of the groups.

    confusion      float64 (g, c, c), slices, rows true
    squared_error  float64 (g,), summed over classes and slices
    positive, negative   group codes of the normal slices by falling p(normal), and of all others
    above, level   (negatives,): normal slices with a higher p(normal), and with a higher or the same
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    squared_error: np.ndarray
    positive: np.ndarray
    negative: np.ndarray
    above: np.ndarray
    level: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, targets: np.ndarray, groups: Sequence, labels: Sequence[str]) -> "_Side":
        probabilities, targets, codes = metrics._checked(probabilities, targets, groups, labels)
        c, g = len(labels), int(codes.max()) + 1
        cells = (codes * c + targets) * c + probabilities.argmax(axis=1)
        squared_error = ((probabilities - np.eye(c)[targets]) ** 2).sum(axis=1)
        is_normal = targets == next((k for k, label in enumerate(labels) if label.casefold() == "normal"), -1)
        scores = probabilities[:, targets[is_normal][0] if is_normal.any() else 0]
        order = np.argsort(-scores[is_normal], kind="stable")
        rising = scores[is_normal][order][::-1]
        return cls(
            labels=tuple(labels),
            confusion=np.bincount(cells, minlength=g * c * c).reshape(g, c, c).astype(np.float64),
            squared_error=np.bincount(codes, weights=squared_error, minlength=g),
            positive=codes[is_normal][order],
            negative=codes[~is_normal],
            above=len(rising) - np.searchsorted(rising, scores[~is_normal], side="right"),
            level=len(rising) - np.searchsorted(rising, scores[~is_normal], side="left"),
        )

    @property
    def n_groups(self) -> int:
        return len(self.confusion)

    def contributing(self) -> dict[str, int]:
        """Every metric that can be had, with the number of groups that it rests on."""
        groups = (self.confusion.sum(axis=2) > 0).sum(axis=0)
        found = dict.fromkeys(OVERALL, self.n_groups)
        found["balanced_accuracy"] = int(groups[groups > 0].min())
        found["auc"] = min(len(np.unique(self.positive)), len(np.unique(self.negative)))
        if not found["auc"]:
            del found["auc"]
        return found | {f"{SENSITIVITY}{label}": int(groups[k]) for k, label in enumerate(self.labels) if groups[k]}

    def measure(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Each metric (b,) for group weights (b, g); NaN where a replicate lacks what it needs."""
        g, c, _ = self.confusion.shape
        confusion = (weights @ self.confusion.reshape(g, c * c)).reshape(-1, c, c)
        right, support = np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2)
        total = support.sum(axis=1)
        sensitivity = _ratio(right, support)
        present = self.confusion.sum(axis=(0, 2)) > 0
        return {
            "balanced_accuracy": sensitivity[:, present].mean(axis=1),
            "accuracy": right.sum(axis=1) / total,
            "auc": self._auc(weights),
            "brier": weights @ self.squared_error / total,
            **{f"{SENSITIVITY}{label}": sensitivity[:, k] for k, label in enumerate(self.labels)},
        }

    def _auc(self, weights: np.ndarray) -> np.ndarray:
        """Share of pairs, weighted, in which the normal slice has the higher p(normal), a tie counting half."""
        counted = np.zeros((len(weights), len(self.positive) + 1))
        np.cumsum(weights.take(self.positive, axis=1), axis=1, out=counted[:, 1:])
        negative = weights.take(self.negative, axis=1)
        below = np.einsum("bn,bn->b", negative, counted.take(self.above, axis=1))
        tied = np.flatnonzero(self.level > self.above)
        more = counted.take(self.level[tied], axis=1) - counted.take(self.above[tied], axis=1)
        below += np.einsum("bn,bn->b", negative[:, tied], more) / 2
        return _ratio(below, counted[:, -1] * negative.sum(axis=1))


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator > 0)


def _differing(first: _Side, second: _Side) -> dict[str, int]:
    """In how many groups two runs differ, by metric; a ranking goes across groups, so AUC is not there."""
    gained = np.diagonal(second.confusion - first.confusion, axis1=1, axis2=2)  # (g, c), images called correctly
    apart = gained != 0
    found = {
        "balanced_accuracy": apart.any(axis=1),
        "accuracy": gained.sum(axis=1) != 0,
        "brier": second.squared_error != first.squared_error,
        **{f"{SENSITIVITY}{label}": apart[:, k] for k, label in enumerate(first.labels)},
    }
    return {name: int(groups.sum()) for name, groups in found.items()}


def _difference(first: float, second: float, drawn: np.ndarray, n: int, differing: int, ceiling: float) -> Estimate:
    """The difference with its interval, for `n` groups that contribute, of which `differing` do not cancel out."""
    from scipy.special import stdtrit

    value = second - first
    if np.isnan(value):
        return Estimate(None, None, None, "slices of one side only")
    if n < 2:
        return Estimate(value, None, None, "fewer than 2 groups, no interval")
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn) or drawn.min() == drawn.max():
        return Estimate(value, None, None, "no variation between groups, no interval")
    spread = drawn.std() * np.sqrt(n / (n - 1)) * stdtrit(max(differing - 1, 1), 0.975)
    low, high = np.clip([value - spread, value + spread], -ceiling, ceiling).tolist()
    note = f"only {n} groups, a rough interval" if n < metrics.FEW_GROUPS else None
    if not note and differing < metrics.FEW_GROUPS:
        note = f"the runs differ in only {differing} group{'' if differing == 1 else 's'}, a rough interval"
    return Estimate(value, low, high, note)


def mcnemar(first_right: np.ndarray, second_right: np.ndarray) -> McNemar:
    """McNemar's exact test of two bool (n,): which images each run called correctly."""
    from scipy.stats import binomtest

    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    discordant = only_first + only_second
    p = binomtest(only_first, discordant).pvalue if discordant else 1.0
    return McNemar(only_first, only_second, float(p))


def left_out(run: Path, n_boot: int = 2000, seed: int = 0) -> tuple[Estimate, int, int] | None:
    """Balanced accuracy over all slices whose source was left out of training, with numbers of slices and groups.

    Sources seldom hold every class, so no single one can give it. None where the run was not tested so; RunError
    for predictions that cannot be read.
    """
    if "source" not in read_schemes(run):
        return None
    labels = _labels(run)
    frame = _query("paired", first=_file(run), second=_file(run), scheme="source")
    probabilities, targets = _arrays(run, frame, labels, "first")
    side = _Side.of(probabilities, targets, frame["first_group"].tolist(), labels)
    name, n_groups = "balanced_accuracy", side.n_groups
    draws = metrics.group_weights(n_groups, len(targets), n_boot, seed)
    drawn = np.concatenate([side.measure(weights)[name] for weights in draws])
    value = float(side.measure(np.ones((1, n_groups)))[name][0])
    return metrics._estimate(value, drawn, side.contributing()[name]), len(targets), n_groups


def _counts(first_right: np.ndarray, second_right: np.ndarray, targets: np.ndarray, labels: Sequence[str]):
    import pandas as pd

    rows = []
    for k, label in [*enumerate(labels), (None, None)]:
        one, two = (right[targets == k] if k is not None else right for right in (first_right, second_right))
        if len(one):
            counts = (one & two), (one & ~two), (two & ~one), ~(one | two)
            rows.append((label, *(int(part.sum()) for part in counts)))
    return pd.DataFrame(rows, columns=["label", "both", "only_first", "only_second", "neither"])


def _labels(run: Path) -> tuple[str, ...]:
    found = read_json(run / "config.json").get("labels")
    if not isinstance(found, list) or not found:
        raise RunError(f"{run.name}: config.json", "no labels", "a list of class names")
    return tuple(map(str, found))


def _common_labels(first: Path, second: Path) -> tuple[str, ...]:
    one, two = _labels(first), _labels(second)
    if set(one) != set(two):
        raise RunError(second.name, f"the classes {', '.join(two)}", f"those of {first.name}: {', '.join(one)}")
    return one


def _arrays(run: Path, frame: "pd.DataFrame", labels: Sequence[str], side: str) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities float64 (n, c) and class indices (n,) of one side of paired.sql."""
    columns = [f"{side}_p_{label}" for label in labels]
    unknown = sorted(set(frame[f"{side}_label"]).difference(labels))
    if unknown or not set(columns) <= set(frame.columns):
        found = f"label {unknown[0]!r}" if unknown else "no probability of some class"
        raise RunError(f"{run.name}: predictions.parquet", found, f"the classes {', '.join(labels)}")
    try:
        probabilities = frame[columns].to_numpy(np.float64)
    except (ValueError, TypeError):
        probabilities = np.full((len(frame), len(labels)), np.nan)
    in_range = ((probabilities >= 0) & (probabilities <= 1)).all()  # false for NaN too
    if not in_range or abs(probabilities.sum(axis=1) - 1).max() > 1e-3:
        expected = "numbers from 0 to 1 that sum to 1"
        raise RunError(f"{run.name}: predictions.parquet", "rows that are not probabilities", expected)
    if frame[f"{side}_group"].isna().any():
        raise RunError(f"{run.name}: predictions.parquet", "slices without a group", "a group for every slice")
    return probabilities, frame[f"{side}_label"].map(list(labels).index).to_numpy(np.int64)


def _file(run: Path) -> Path:
    return run / "predictions.parquet"


def _query(name: str, **values: "str | Path") -> "pd.DataFrame":
    """Rows of core/sql/<name>.sql; a Path is a Parquet file. RunError where one cannot be read."""
    paths = [value for value in values.values() if isinstance(value, Path)]
    given = {key: glob.escape(str(value)) if value in paths else value for key, value in values.items()}
    try:
        with duckdb.connect(config=CONFIG) as connection:
            return connection.execute(sql(name), given).df()
    except duckdb.Error as error:
        names = " and ".join(dict.fromkeys(f"{path.parent.name}: {path.name}" for path in paths))
        raise RunError(
            names, "a file that cannot be read", "predictions in Parquet, as a run writes them"
        ) from error


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """Exponential moving average (n,) in which each value counts `weight` (0 to below 1) times the next one's.

    Without bias towards 0 at the start: divided by 1 - weight ** t (Kingma and Ba 2015, "Adam", ICLR, section 3).
    NaN stays NaN, and is passed over.
    """
    from scipy.signal import lfilter

    values = np.asarray(values, dtype=np.float64)
    measured = np.isfinite(values)
    total = 1 - weight ** np.arange(1, measured.sum() + 1)
    found = np.full(len(values), np.nan)
    found[measured] = lfilter([1 - weight], [1, -weight], values[measured]) / total
    return found


def thin(values: np.ndarray, most: int) -> np.ndarray:
    """At most `most` (4 or more) indices of finite values (n,), rising, to draw a line by: the first, the last,
    and the lowest and highest of each of equal stretches between, so that no peak is lost.
    """
    places = np.flatnonzero(np.isfinite(values))
    if len(places) <= most:
        return places
    stretches = np.array_split(places[1:-1], (most - 2) // 2)
    ends = [part[[values[part].argmin(), values[part].argmax()]] for part in stretches]
    return np.unique(np.concatenate([places[:1], *ends, places[-1:]]))
