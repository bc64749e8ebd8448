"""Pictures of slices: enlarged, outlined, and as PNG."""

from dataclasses import dataclass

import cv2
import numpy as np

from core.preprocess import Box
from core.slices import LUNG_WINDOW

SHORTEST_DISPLAY = 512
"""Smaller slices are enlarged smoothly to this many pixels, or the heat over them would show as blocks."""


LIGHT, DARK = (228, 234, 237), (8, 18, 25)
"""The two tones of an outline."""


@dataclass(frozen=True)
class Window:
    """A named range of Hounsfield units to look at."""

    name: str
    center: float
    width: float


WINDOWS = (
    Window("Lung", *LUNG_WINDOW),
    Window("Mediastinum", 40.0, 400.0),
    Window("Bone", 400.0, 1800.0),
)


def enlarged(picture: np.ndarray) -> np.ndarray:
    """The picture with its longer side at least SHORTEST_DISPLAY pixels, proportions kept."""
    height, width = picture.shape[:2]
    grow = SHORTEST_DISPLAY / max(height, width)
    if grow <= 1:
        return picture
    size = (max(1, round(width * grow)), max(1, round(height * grow)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def outlined(picture: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """The picture in RGB with `box`, in pixels of a slice of `shape`, as a thin line of light and dark dashes."""
    rgb = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture.copy()
    down, across = rgb.shape[0] / shape[0], rgb.shape[1] / shape[1]
    top, bottom = round(box.top * down), min(round((box.top + box.height) * down), rgb.shape[0]) - 1
    left, right = round(box.left * across), min(round((box.left + box.width) * across), rgb.shape[1]) - 1
    # Two tones, so that the line is seen over lung and over bone.
    line = np.where((np.arange(max(rgb.shape)) % 12 < 7)[:, None], LIGHT, DARK).astype(np.uint8)
    for row in (top, bottom):
        rgb[row, left : right + 1] = line[: right + 1 - left]
    for column in (left, right):
        rgb[top : bottom + 1, column] = line[: bottom + 1 - top]
    return rgb


def png(picture: np.ndarray) -> bytes:
    """Grey (h, w) or RGB (h, w, 3) uint8 as PNG."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 2])[1].tobytes()
