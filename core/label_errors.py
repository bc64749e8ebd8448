"""Likely label errors by confident learning (Northcutt, Jiang and Chuang 2021, JAIR 70:1373).

A class's threshold is the mean probability of that class over the slices that carry its label. A slice counts
in the confident joint at (given label, the most probable of the classes whose threshold it reaches). What lies
off the diagonal is a likely label error, ranked by its margin.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.errors import DataError
from core.scored import Scored

if TYPE_CHECKING:
    import pandas as pd

OUT_OF_FOLD = ("group", "source")
"""Schemes in which a slice was predicted by a network that was trained without it and its group."""

ROUNDING = 1e-9
"""A threshold counts as reached so little below it: the mean of equal numbers may come out above them all."""


@dataclass(frozen=True, eq=False)
class LabelErrors:
    """What confident learning finds.

    found      one row per likely label error, worst first: row (position in `scored.frame`), given, suggested,
               self_confidence (probability of the given label), margin (that of the suggested label less it)
    joint      the confident joint, int (classes, classes), rows given, columns suggested
    estimated  one row per pair of different classes: given, suggested, errors (estimated number of slices,
               float), share (of the slices with the given label)
    thresholds float (classes,); NaN for a class that no slice carries
    """

    found: "pd.DataFrame"
    joint: np.ndarray
    estimated: "pd.DataFrame"
    thresholds: np.ndarray


def label_errors(scored: Scored) -> LabelErrors:
    """Likely label errors. DataError unless the scheme is out of fold: a network knows what it was trained on."""
    import pandas as pd

    if scored.scheme not in OUT_OF_FOLD:
        raise DataError(
            f"{scored.run}: scheme",
            repr(scored.scheme),
            f"{' or '.join(OUT_OF_FOLD)}: a network repeats the wrong labels that it learned, so only slices that "
            "were left out of training can show them",
        )
    p, given, classes = scored.probabilities, scored.targets, len(scored.labels)
    thresholds = mean_self_confidence(p, given)
    suggested = confident_class(p, thresholds)
    counted = suggested >= 0
    pairs = given[counted] * classes + suggested[counted]
    joint = np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    row = np.flatnonzero(counted & (suggested != given))
    own = p[row, given[row]]
    names = np.array(scored.labels, dtype=object)
    found = pd.DataFrame(
        {
            "row": row,
            "given": names[given[row]],
            "suggested": names[suggested[row]],
            "self_confidence": own,
            "margin": p[row, suggested[row]] - own,
        }
    ).sort_values(["margin", "row"], ascending=[False, True], ignore_index=True)
    return LabelErrors(found, joint, _estimated(joint, given, scored.labels), thresholds)


def mean_self_confidence(p: np.ndarray, given: np.ndarray) -> np.ndarray:
    """The threshold of each class (classes,): its mean probability where it is the label; NaN for no slice."""
    classes = p.shape[1]
    own = np.bincount(given, weights=p[np.arange(len(given)), given], minlength=classes)
    counts = np.bincount(given, minlength=classes)
    return np.where(counts > 0, own / np.maximum(counts, 1), np.nan)


def confident_class(p: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """The most probable of the classes whose threshold is reached, int (n,); -1 where none is."""
    reached = p >= thresholds - ROUNDING  # false for a threshold that is NaN
    return np.where(reached.any(axis=1), np.where(reached, p, -1.0).argmax(axis=1), -1)


def _estimated(joint: np.ndarray, given: np.ndarray, labels: tuple[str, ...]) -> "pd.DataFrame":
    """The joint scaled to the number of slices of each given label, off the diagonal."""
    import pandas as pd

    counts, confident = np.bincount(given, minlength=len(labels)), joint.sum(axis=1)
    share = joint / np.maximum(confident, 1)[:, None]
    rows = [
        {"given": labels[i], "suggested": labels[j], "errors": share[i, j] * counts[i], "share": share[i, j]}
        for i in range(len(labels))
        for j in range(len(labels))
        if i != j
    ]
    return pd.DataFrame(rows)
