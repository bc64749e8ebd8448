"""How far an answer holds when a slice changes in ways that change no disease: window, frame, sharpness, files.

Each change is made to the slice as it was read, before the lung field is looked for, so that all of the way to an
answer is tried. A CT slice in Hounsfield units is shown in the lung window first where a change is one of grey.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from core.predictor import Prediction, Predictor
from core.preprocess import Box, find_lung_field
from core.slices import LUNG_WINDOW, Slice, window

Change = Callable[[Slice], Slice]


@dataclass(frozen=True)
class Tried:
    """One small change: its `kind` and `words`, the slice after it, and what the run says of that."""

    kind: str
    words: str
    slice: Slice
    prediction: Prediction


def try_changes(predictor: Predictor, slice_: Slice) -> list[Tried]:
    """What a run says of a slice as it is (kind "as it is", first), and after each of CHANGES."""
    changed = [slice_, *(change(slice_) for _, _, change in CHANGES)]
    names = [("as it is", "as it is"), *((kind, words) for kind, words, _ in CHANGES)]
    found = predictor.predict(changed)
    return [Tried(*name, after, called) for name, after, called in zip(names, changed, found, strict=True)]


def heat_in_lungs(slice_: Slice, heat: np.ndarray, box: Box) -> tuple[float, float] | None:
    """The share of a heat map (h, w) that lies in the lung field, and of `box` that the field is.

    `heat` is like the slice's pixels and nothing outside `box`, the part that the network saw. None where no lung
    field is found or the map is empty. Heat that lies in the lungs no more than area does says nothing of them.
    """
    field, total = find_lung_field(slice_), float(heat.sum())
    if field is None or total <= 0:
        return None
    lungs = cv2.resize(field.mask.astype(np.uint8), heat.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
    seen = np.s_[box.top : box.top + box.height, box.left : box.left + box.width]
    return float(heat[lungs].sum()) / total, float(lungs[seen].mean())


def _grey(slice_: Slice, center: float = LUNG_WINDOW[0], width: float = LUNG_WINDOW[1]) -> Slice:
    """The slice as display grey uint8: Hounsfield units through a window, grey as if its window had moved so."""
    if slice_.unit == "hu":
        return replace(slice_, pixels=window(slice_.pixels, center, width), unit="grey")
    low, full = (end - LUNG_WINDOW[0] + LUNG_WINDOW[1] / 2 for end in (center - width / 2, center + width / 2))
    scale = 255 / LUNG_WINDOW[1]
    moved = (slice_.pixels.astype(np.float32) - low * scale) / ((full - low) / LUNG_WINDOW[1])
    return replace(slice_, pixels=np.clip(np.rint(moved), 0, 255).astype(np.uint8))


def _windowed(center: float, width: float) -> Change:
    return lambda slice_: _grey(slice_, center, width)


def _cropped(share: float) -> Change:
    def change(slice_: Slice) -> Slice:
        rows, columns = (round(side * share) for side in slice_.pixels.shape)
        inner = slice_.pixels[rows : slice_.pixels.shape[0] - rows, columns : slice_.pixels.shape[1] - columns]
        return replace(slice_, pixels=np.ascontiguousarray(inner) if inner.size else slice_.pixels)

    return change


def _turned(degrees: float) -> Change:
    def change(slice_: Slice) -> Slice:
        height, width = slice_.pixels.shape
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
        pixels = cv2.warpAffine(_number(slice_), turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        return replace(slice_, pixels=pixels)

    return change


def _blurred(sigma: float) -> Change:
    return lambda slice_: replace(slice_, pixels=cv2.GaussianBlur(_number(slice_), (0, 0), sigma))


def _shrunk(slice_: Slice) -> Slice:
    height, width = slice_.pixels.shape
    half = (max(1, width // 2), max(1, height // 2))
    return replace(slice_, pixels=cv2.resize(_number(slice_), half, interpolation=cv2.INTER_AREA))


def _noisy(slice_: Slice) -> Slice:
    grey = _grey(slice_).pixels.astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 6, grey.shape)
    return replace(slice_, pixels=np.clip(np.rint(grey + noise), 0, 255).astype(np.uint8), unit="grey")


def _compressed(quality: int) -> Change:
    def change(slice_: Slice) -> Slice:
        coded = cv2.imencode(".jpg", _grey(slice_).pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return replace(slice_, pixels=cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE), unit="grey")

    return change


def _number(slice_: Slice) -> np.ndarray:
    return slice_.pixels.astype(np.float32)


CHANGES: Sequence[tuple[str, str, Change]] = (
    ("window", "window 200 HU lower", _windowed(LUNG_WINDOW[0] - 200, LUNG_WINDOW[1])),
    ("window", "window 200 HU higher", _windowed(LUNG_WINDOW[0] + 200, LUNG_WINDOW[1])),
    ("window", "window a fifth narrower", _windowed(LUNG_WINDOW[0], 0.8 * LUNG_WINDOW[1])),
    ("frame", "5 % cut off each side", _cropped(0.05)),
    ("frame", "turned by 5°", _turned(5)),
    ("sharpness", "blurred by 1 pixel", _blurred(1.0)),
    ("sharpness", "half the resolution", _shrunk),
    ("noise", "noise of 6 grey levels", _noisy),
    ("file", "JPEG at quality 75", _compressed(75)),
    ("file", "JPEG at quality 30", _compressed(30)),
)
"""Kind, words and change; sizes are such that a person who reads the slice would not notice, or not mind."""
