"""The kept predictions of a run, one scheme at a time, as arrays: what every figure of performance is made of."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core import gate
from core.errors import DataError, RunError
from core.runs import Run

if TYPE_CHECKING:
    import pandas as pd

FILE = "predictions.parquet"

FIRST = ("source", "group", "test", "validation")
"""Schemes from the least flattering on; kept tests such as "phantoms" follow by name."""

IDENTITY = ("source", "file", "label", "group", "sha256")
"""The columns that every table of predictions has, besides scheme, logits and probabilities."""

SUM_TOLERANCE = 1e-3
"""The probabilities of a slice may sum to so much more or less than 1."""

MOST_VALUES = 12
"""A column of more different values is not one to slice results by."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of one run and scheme; every array has one row per slice, in the order of `frame`.

    labels         the classes, in the order of the columns of probabilities and logits
    probabilities  float64 (n, classes), at the run's temperature
    targets        int64 (n,), index of the true class
    groups         int64 (n,), codes 0..n_groups-1 of the groups
    logits         float64 (n, classes)
    temperature    of the run; probabilities = softmax(logits / temperature)
    frame          source, file, label, group, sha256, then further manifest columns such as severity;
                   RangeIndex, no probabilities
    """

    run: str
    scheme: str
    labels: tuple[str, ...]
    probabilities: np.ndarray
    targets: np.ndarray
    groups: np.ndarray
    logits: np.ndarray
    temperature: float
    frame: "pd.DataFrame"

    @property
    def n_slices(self) -> int:
        return len(self.targets)

    @property
    def n_groups(self) -> int:
        return int(self.groups.max(initial=-1)) + 1

    def index(self, label: str) -> int:
        """Position of a class in `labels`; DataError naming the known ones."""
        if label not in self.labels:
            raise DataError("label", repr(label), f"one of {', '.join(self.labels)}")
        return self.labels.index(label)

    def where(self, mask: np.ndarray) -> "Scored":
        """The slices where bool (n,) is true; group codes are counted anew."""
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != self.targets.shape:
            raise DataError("mask", f"shape {mask.shape}", f"shape {self.targets.shape}, one value a slice")
        return replace(
            self,
            probabilities=self.probabilities[mask],
            targets=self.targets[mask],
            groups=recoded(self.groups[mask]),
            logits=self.logits[mask],
            frame=self.frame[mask].reset_index(drop=True),
        )


def recoded(groups: np.ndarray) -> np.ndarray:
    """Group codes without gaps, 0 to the number of groups less one, int64 (n,)."""
    present = np.bincount(groups) > 0
    return (np.cumsum(present) - 1)[groups] if len(groups) else groups


def schemes(run: Run) -> list[str]:
    """The schemes that a run has predictions of: FIRST in that order, then others by name; [] without a file."""
    path = run.path / FILE
    if not path.is_file():
        return []
    found = set(_read(path, run, columns=["scheme"])["scheme"].dropna().unique())
    return [name for name in FIRST if name in found] + sorted(found.difference(FIRST))


def load_scored(run: Run, scheme: str) -> Scored:
    """The predictions of one scheme. RunError when the run has none, or they are not what a run writes."""
    import pandas as pd

    path = run.path / FILE
    if not path.is_file():
        raise RunError(run.name, f"no {FILE}", "a run with kept predictions")
    labels = run.labels
    frame = _read(path, run, filters=[("scheme", "==", scheme)])
    needed = (*IDENTITY, "scheme", *(f"{kind}_{label}" for kind in ("logit", "p") for label in labels))
    absent = [name for name in needed if name not in frame.columns]
    if absent:
        raise RunError(f"{run.name}: {FILE}", f"no column {absent[0]}", f"the columns {', '.join(needed)}")
    if frame.empty:
        raise RunError(f"{run.name}: scheme", repr(scheme), f"one of {', '.join(schemes(run)) or 'none'}")
    targets = pd.Index(labels).get_indexer(frame["label"])
    if (targets < 0).any():
        raise RunError(
            f"{run.name}: {FILE}", f"label {frame['label'][targets < 0].iloc[0]!r}", f"one of {', '.join(labels)}"
        )
    probabilities = frame[[f"p_{label}" for label in labels]].to_numpy(np.float64)
    logits = frame[[f"logit_{label}" for label in labels]].to_numpy(np.float64)
    _check(f"{run.name}: {FILE}", frame, probabilities, logits)
    further = [name for name in frame.columns if name not in needed and frame[name].notna().any()]
    return Scored(
        run=run.name,
        scheme=scheme,
        labels=labels,
        probabilities=probabilities,
        targets=targets.astype(np.int64),
        groups=pd.factorize(frame["group"])[0].astype(np.int64),
        logits=logits,
        temperature=float(run.config.get("temperature", 1.0)),
        frame=frame[[*IDENTITY, *further]].reset_index(drop=True),
    )


def _check(name: str, frame: "pd.DataFrame", probabilities: np.ndarray, logits: np.ndarray) -> None:
    """RunError for a slice without a group, and for numbers that no network gives."""
    if frame["group"].isna().any():
        raise RunError(name, "slices without a group", "a group for every slice")
    in_range = ((probabilities >= 0) & (probabilities <= 1)).all()  # false for NaN too
    if not in_range or abs(probabilities.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        raise RunError(name, "rows that are not probabilities", "numbers from 0 to 1 that sum to 1")
    if not np.isfinite(logits).all():
        raise RunError(name, "logits that are not finite", "those of a trained network")


def slice_columns(scored: Scored) -> list[str]:
    """Columns of `frame` to slice results by: 2 to 12 values that are there; "source" first, then by name."""
    never = ("file", "label", "group", "sha256", gate.COLUMN)
    kept = [
        name
        for name in scored.frame.columns
        if name not in never and 2 <= scored.frame[name].nunique() <= MOST_VALUES
    ]
    return sorted(kept, key=lambda name: (name != "source", name))


def _read(path: Path, run: Run, **options) -> "pd.DataFrame":
    """Parquet, or RunError for bytes that are none."""
    import pandas as pd
    from pyarrow import ArrowException

    try:
        return pd.read_parquet(path, **options)
    except (ArrowException, OSError) as error:
        raise RunError(f"{run.name}: {path.name}", "a file that cannot be read", "a Parquet file") from error
