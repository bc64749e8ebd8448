"""The gate before any answer: does a picture look like the slices that a run learned from?

A network gives one of its classes for any picture. The gate looks at what it sees halfway through: the means
and standard deviations of the feature maps there, its `context` (core.model), which tell texture and layout
and hardly disease. Of the training slices' context, standardised, the first COMPONENTS principal components
are kept; what they leave over of a slice is its distance (the residual of Wang et al. 2022, "ViM", CVPR, there
of the last features), in units that make 1 the 95th percentile of training slices found so by a gate that has
not seen their group.

The limit stands where at least PASS of the slices of each source that was left out of training are still let
through (`calibrate`); a run without such folds has DEFAULT_LIMIT. Pictures that are no lung slices have no part in
the limit; which layer and how many components there are was chosen with X-rays, brain MRI, photographs and made
pictures in view. gate.json in a run's folder holds these numbers, never an image.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import RunError
from core.preprocess import Prepared
from core.runs import read_json, write_atomically
from core.slices import Slice

if TYPE_CHECKING:
    import pandas as pd

FILE = "gate.json"
COLUMN = "gate_distance"
"""A slice's distance in a run's predictions, from the training slices of the network that called it."""

COMPONENTS = 16
FOLDS = 5
MIN_SLICES = 100
"""Training slices below which a run has no gate: too few to say what such slices look like."""

PASS = 0.95
DEFAULT_LIMIT = 1.5
"""Limit of a run without left-out sources; where that of the demo run lies."""

MOST_COLOUR = 0.1
"""Share of coloured pixels above which a picture is no slice; of the demo run's training slices, letters and arrows
drawn in included, the most coloured has 0.09."""

LEAST_ASPECT = 0.9
"""Width by height of a lung field below which it is none: a chest is wider than it is deep. One of the demo run's
1,354 training slices lies below, half of them above 1.4; set with brain MRI in view, whose dark parts reach 0.8."""

NO_LUNGS = "No lung field was found: this does not look like an axial slice through the lungs."
TALL = (
    "What looks like a lung field is taller than wide: an axial slice through the lungs is wider than it is deep."
)
FAR = "It does not look like the slices that the model learned from"


@dataclass(frozen=True, eq=False)
class Gate:
    """What a run's training slices look like to its network, and how far from them it still answers.

    centre, scale   (d,) mean and standard deviation of their context
    components      (k, d) principal components of the standardised context
    unit            the residual that counts as distance 1
    limit           distance above which a slice is refused
    """

    centre: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    unit: float = 1.0
    limit: float = DEFAULT_LIMIT

    def distance(self, context: np.ndarray) -> np.ndarray:
        """(n, d) context -> (n,) distances from the training slices; 0 at least, no upper end."""
        standard = (np.asarray(context, np.float64) - self.centre) / self.scale
        kept = standard @ self.components.T
        rest = np.maximum((standard**2).sum(axis=1) - (kept**2).sum(axis=1), 0)
        return np.sqrt(rest) / self.unit


def refusal(gate: Gate, slice_: Slice, prepared: Prepared, distance: float) -> str | None:
    """Why a slice is not answered, in a sentence; None where it is."""
    if slice_.modality not in (None, "CT"):
        return f"The file says that it is {slice_.modality}, not CT."
    if slice_.colour > MOST_COLOUR:
        return f"{100 * slice_.colour:.0f} % of its pixels are coloured; a CT slice is grey."
    if no_lungs := without_lungs(prepared):
        return no_lungs
    if not distance <= gate.limit:
        return f"{FAR}: distance {distance:.2f}, limit {gate.limit:.2f}."
    return None


def without_lungs(prepared: Prepared) -> str | None:
    """Why a picture holds no lungs as axial slices show them; None where it may, or none are looked for."""
    if prepared.lung_found is False:
        return NO_LUNGS
    return TALL if prepared.aspect is not None and prepared.aspect < LEAST_ASPECT else None


def fit(context: np.ndarray, groups: Sequence[Any], seed: int = 0) -> Gate | None:
    """The gate of training slices: their context (n, d), and the group of each; None for fewer than MIN_SLICES.

    Deterministic for a seed, which draws the folds of groups that the unit is measured on.
    """
    codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    if len(context) < MIN_SLICES or codes.max() + 1 < FOLDS:
        return None
    fold = np.random.default_rng(seed).permutation(codes.max() + 1)[codes] % FOLDS
    unseen = np.concatenate([_subspace(context[fold != k]).distance(context[fold == k]) for k in range(FOLDS)])
    return replace(_subspace(context), unit=float(np.quantile(unseen, 0.95)))


def calibrate(distances: np.ndarray, sources: Sequence[str]) -> float:
    """The least limit that lets at least PASS of the slices of every left-out source through.

    `distances` (n,) of slices to the gates of networks that were trained without their source, and the sources;
    infinite ones, of slices without lungs (`without_lungs`), say nothing about a limit.
    """
    seen = np.isfinite(distances)
    names, codes = np.unique(np.asarray(sources)[seen], return_inverse=True)
    limits = [np.quantile(distances[seen][codes == k], PASS, method="inverted_cdf") for k in range(len(names))]
    return float(max(limits, default=DEFAULT_LIMIT))


def passed(frame: "pd.DataFrame", limit: float) -> dict[str, Any]:
    """{source: share of its slices within the limit, with interval} of a table with source, group and COLUMN."""
    return {
        source: share_of_groups(part[COLUMN].to_numpy() <= limit, part["group"].tolist())
        for source, part in frame.groupby("source", sort=True)
    }


def share_of_groups(hits: np.ndarray, groups: Sequence[Any]) -> dict[str, Any]:
    """A share with its 95 % interval by groups, as metrics.json holds estimates; `hits` (n,) bool."""
    from core import intervals, metrics

    codes = np.unique(np.asarray(groups).astype(str), return_inverse=True)[1]
    part, whole = np.bincount(codes, hits), np.bincount(codes)
    value, low, high = (float(end) for end in intervals.share(part, whole))
    return metrics.estimate(value, low, high, len(whole)).to_json() | {"slices": len(hits)}


def write(path: Path, gate: Gate) -> None:
    """Put a gate into a run's folder."""
    arrays = {name: _pack(getattr(gate, name)) for name in ("centre", "scale", "components")}
    content = {"unit": gate.unit, "limit": gate.limit, "size": list(gate.components.shape), **arrays}
    write_atomically(path / FILE, (json.dumps(content, indent=1) + "\n").encode())


def load(path: Path) -> Gate | None:
    """The gate of a run's folder; None where it has none. RunError for a damaged file."""
    if not (path / FILE).is_file():
        return None
    content = read_json(path / FILE)
    try:
        rows, columns = content["size"]
        centre, scale, components = (_unpack(content[name]) for name in ("centre", "scale", "components"))
        gate = Gate(centre, scale, components.reshape(rows, columns), content["unit"], content["limit"])
        whole = all(np.isfinite(part).all() for part in (centre, scale, components))
        if not (whole and len(centre) == len(scale) == columns and (scale > 0).all()):
            raise ValueError
        if not all(isinstance(number, (int, float)) and 0 < number < np.inf for number in (gate.unit, gate.limit)):
            raise ValueError
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path.name}: {FILE}", "a damaged file", "the file as training wrote it") from error
    return gate


def _subspace(context: np.ndarray) -> Gate:
    """The gate of a context (n, d) before its unit is known, its numbers rounded as they are stored."""
    context = np.asarray(context, np.float64)
    centre = _stored(context.mean(axis=0))
    scale = _stored(np.maximum(context.std(axis=0), 1e-3))
    components = np.linalg.svd((context - centre) / scale, full_matrices=False)[2][:COMPONENTS]
    turned = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    return Gate(centre, scale, _stored(components * turned[:, None]))


def _stored(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype("<f4").astype(np.float64)


def _pack(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.astype("<f4").tobytes()).decode()


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f4").astype(np.float64)
