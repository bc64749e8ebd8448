"""Temperature scaling: one number that makes a network's probabilities as sure as it is right."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core import metrics
from core.predictor import softmax

if TYPE_CHECKING:
    import pandas as pd

RANGE = (0.2, 5.0)
N_BOOT = 2000
DEFINITIONS = {
    "temperature": f"logits are divided by it before softmax; of least cross-entropy, {RANGE[0]:g} to {RANGE[1]:g}",
    "ece": f"expected calibration error, {metrics.N_BINS} equal-width bins of the top probability",
    "cross_entropy": "-log p(true class), mean over the slices of a class, then over the classes; nats",
    "after": "measured on the slices that the temperature was fitted to, which flatters it a little",
}


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature of least cross-entropy (Guo et al. 2017, ICML, section 4.2), between 0.2 and 5.

    logits (n, classes), targets (n,) int. Every class that is there counts alike, whatever its number of slices.
    """
    from scipy.optimize import minimize_scalar

    weight = _class_weights(targets)

    def loss(log_temperature: float) -> float:
        return float((weight * _surprise(logits / np.exp(log_temperature), targets)).sum())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded").x))


def compare(frame: "pd.DataFrame", labels: Sequence[str], temperature: float, seed: int = 0) -> dict[str, Any]:
    """What a temperature changes on predictions (one row per slice: label, group, logit_<label>...), for JSON.

    {"temperature", "n_slices", "n_groups", "before", "after", "definitions"}; before and after hold ece and
    cross_entropy, each with its 95 % interval by bootstrap over groups.
    """
    logits, targets = logits_of(frame, labels), targets_of(frame, labels)
    groups = frame["group"].tolist()
    sides = {
        name: _measured(logits / divisor, targets, groups, labels, seed)
        for name, divisor in (("before", 1.0), ("after", temperature))
    }
    counts = {"n_slices": len(frame), "n_groups": len(set(groups))}
    return {"temperature": temperature, **counts, **sides, "definitions": DEFINITIONS}


def logits_of(frame: "pd.DataFrame", labels: Sequence[str]) -> np.ndarray:
    """(n, classes) float64 of a table of predictions."""
    return frame[[f"logit_{label}" for label in labels]].to_numpy(np.float64)


def targets_of(frame: "pd.DataFrame", labels: Sequence[str]) -> np.ndarray:
    """(n,) the true class of each row as its place in `labels`."""
    return frame["label"].map(list(labels).index).to_numpy()


def _measured(logits: np.ndarray, targets: np.ndarray, groups: list, labels: Sequence[str], seed: int) -> dict:
    ece = metrics.evaluate(softmax(logits), targets, groups, labels, N_BOOT, seed).ece
    surprise = _surprise(logits, targets)
    value = float((_class_weights(targets) * surprise).sum() / len(np.unique(targets)))
    fewest = min(len({group for group, own in zip(groups, targets == k, strict=True) if own}) for k in set(targets))
    low, high = _interval(surprise, targets, groups, seed) if fewest > 1 else (np.nan, np.nan)
    return {"ece": ece.to_json(), "cross_entropy": metrics.estimate(value, low, high, fewest).to_json()}


def _interval(surprise: np.ndarray, targets: np.ndarray, groups: list, seed: int) -> tuple:
    """2.5th and 97.5th percentile of the class mean over replicates of groups; NaN where there is none.

    As in core.metrics, only replicates that hold every class count. Percentiles, where core.metrics has Wilson's
    score interval: that is one of a share, and cross-entropy has no upper end.
    """
    codes = np.unique(np.array(groups), return_inverse=True)[1]
    n_groups, present = int(codes.max()) + 1, np.unique(targets)
    sums, counts = np.zeros((2, n_groups, len(present)))
    for place, target in enumerate(present):
        own = targets == target
        sums[:, place] = np.bincount(codes[own], surprise[own], n_groups)
        counts[:, place] = np.bincount(codes[own], minlength=n_groups)
    drawn = np.random.default_rng(seed).multinomial(n_groups, np.full(n_groups, 1 / n_groups), N_BOOT)
    sizes = drawn @ counts
    whole = (sizes > 0).all(axis=1)
    if n_groups < 2 or not whole.any():
        return np.nan, np.nan
    return tuple(np.quantile(((drawn @ sums)[whole] / sizes[whole]).mean(axis=1), (0.025, 0.975)).tolist())


def _surprise(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """-log of the true class's probability, (n,), nats."""
    return -np.log(np.maximum(softmax(logits)[np.arange(len(targets)), targets], 1e-12))


def _class_weights(targets: np.ndarray) -> np.ndarray:
    return (1 / np.maximum(np.bincount(targets), 1))[targets]
