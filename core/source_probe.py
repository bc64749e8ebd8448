"""Whether the source of an image can be told from normal images alone: a linear probe, tested on unseen groups."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from core import data
from core.audit_images import Looks
from core.metrics import Estimate, evaluate

if TYPE_CHECKING:
    import pandas as pd

NORMAL = "normal"
"""The label, in any case of letters, of the images that the probe looks at."""

NOTHING = Estimate(None, None, None)
N_FOLDS = 5
FEWEST_IMAGES = 10
"""Normal images that a source needs to be told apart; it also needs a group for each fold."""

SIDE = 16
"""Side in pixels of the picture that the probe sees."""

STRENGTH = 0.05
"""Inverse strength of the probe's L2 penalty (scikit-learn's C); chosen once, not tuned."""

VIEWS = {"stored": "as stored", "recipe": "as the recipe lung shows them"}
"""What the probe sees: the stored picture with its grey levels, or the crop with fixed grey levels."""


@dataclass(frozen=True)
class Probe:
    """What the probe found in one view of the normal images.

    view               a key of VIEWS
    sources            normal images of each source that took part, by name
    balanced_accuracy  mean share of each source's images that were told right, in folds by group; 95 % interval
    confusion          images, rows true and columns told, in the order of `sources`
    note               why there is no result, else empty
    """

    view: str
    sources: dict[str, int] = field(default_factory=dict)
    groups: int = 0
    balanced_accuracy: Estimate = NOTHING
    confusion: tuple[tuple[int, ...], ...] = ()
    note: str = ""

    @property
    def chance(self) -> float | None:
        """Balanced accuracy of guessing; None where there is nothing to tell apart."""
        return 1 / len(self.sources) if len(self.sources) > 1 else None

    @property
    def told(self) -> bool | None:
        """Whether the whole interval lies above chance; None where there is no interval."""
        low = self.balanced_accuracy.low
        return None if low is None else low > self.chance

    def sentence(self) -> str:
        """The finding in plain words, two sentences at most."""
        estimate = self.balanced_accuracy
        if estimate.value is None:
            return f"The source of a normal image could not be probed: {self.note}."
        width = "no interval" if estimate.low is None else f"{estimate.low:.2f} to {estimate.high:.2f}"
        said = f"balanced accuracy {estimate.value:.2f} ({width}; chance {self.chance:.2f})"
        if self.told:
            return (
                f"The source of a normal image can be told from the picture, {said}. "
                "A class that can be told from its source was not learned."
            )
        return f"The source of a normal image could not be told clearly from the picture, {said}."

    def to_json(self) -> dict[str, Any]:
        """Plain dict, numbers or None; `sources` are counts of normal images."""
        return {
            "view": self.view,
            "view_in_words": VIEWS[self.view],
            "sources": self.sources,
            "images": sum(self.sources.values()),
            "groups": self.groups,
            "balanced_accuracy": self.balanced_accuracy.to_json(),
            "chance": self.chance,
            "told": self.told,
            "confusion": [list(row) for row in self.confusion],
            "note": self.note,
            "sentence": self.sentence(),
        }


def is_normal(labels: "pd.Series") -> np.ndarray:
    """Bool (n,): the images whose label is NORMAL in any case of letters."""
    return (labels.str.casefold() == NORMAL).to_numpy()


def probe(table: "pd.DataFrame", looks: Looks, view: str = "stored", seed: int = 0) -> Probe:
    """A logistic regression that tells the sources of normal images, tested on groups that it has not seen.

    table  as of core.data.load_table, its rows those of `looks`; unreadable images are left out
    view   a key of VIEWS

    Its features are the picture at SIDE x SIDE pixels and, in the view "stored", the mean, standard deviation
    and percentiles of the grey levels; neither size nor proportions. Folds never separate a group.
    """
    readable = (looks.facts["error"] == "").to_numpy()
    rows = np.flatnonzero(is_normal(table["label"]) & readable)
    normal = table.iloc[rows].reset_index(drop=True)
    if normal.empty:
        return Probe(view, note="no image is labelled normal")
    units = data.identity_units(normal)
    enough = {
        source: len(part)
        for source, part in normal.groupby("source", sort=True)
        if len(part) >= FEWEST_IMAGES and len(np.unique(units[part.index])) >= N_FOLDS
    }
    if len(enough) < 2:
        return Probe(view, enough, note=_too_few(normal["source"].unique().tolist(), enough))
    kept = normal["source"].isin(enough).to_numpy()
    return _probe(normal[kept].reset_index(drop=True), rows[kept], looks, view, enough, seed)


def _too_few(sources: list[str], enough: dict[str, int]) -> str:
    if len(sources) == 1:
        return f"only one source, {sources[0]}, has normal images"
    had = next(iter(enough), "none of them")
    return (
        f"of {len(sources)} sources with normal images only {had} has {FEWEST_IMAGES} in {N_FOLDS} groups or more"
    )


def _probe(
    normal: "pd.DataFrame", rows: np.ndarray, looks: Looks, view: str, sources: dict[str, int], seed: int
) -> Probe:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = list(sources)
    targets = normal["source"].map(names.index).to_numpy()
    folds = data.grouped_folds(normal.assign(label=normal["source"]), N_FOLDS, seed)
    features = _features(looks, rows, view)
    probabilities = np.zeros((len(normal), len(names)))
    for fold in range(N_FOLDS):
        train, test = folds != fold, folds == fold
        told = LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500)
        fitted = make_pipeline(StandardScaler(), told).fit(features[train], targets[train])
        probabilities[np.ix_(test, fitted.classes_)] = fitted.predict_proba(features[test])
    units = data.identity_units(normal)
    measured = evaluate(probabilities, targets, units.tolist(), names, seed=seed)
    return Probe(view, sources, measured.n_groups, measured.balanced_accuracy, measured.confusion)


def _features(looks: Looks, rows: np.ndarray, view: str) -> np.ndarray:
    """Float32 (n, features): the small picture, and with it the grey levels of the stored one."""
    pictures = looks.small if view == "stored" else looks.views
    shape = (SIDE, SIDE)
    tiny = np.stack([cv2.resize(pictures[row], shape, interpolation=cv2.INTER_AREA).ravel() for row in rows])
    tiny = tiny.astype(np.float32) / 255
    return np.hstack([tiny, looks.levels[rows]]) if view == "stored" else tiny
