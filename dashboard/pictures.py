"""Pictures of slices: pixels and heat in, RGB or PNG out."""

from dataclasses import dataclass

import cv2
import numpy as np

from core.preprocess import Box
from core.slices import LUNG_WINDOW, window

RAMP = np.array([[10, 98, 112], [22, 146, 140], [120, 196, 140], [246, 240, 168]], np.float32)
"""Heat map colours, RGB, low to high."""

HEAT_STARTS = 1 / 3
"""Heat below this share of the strongest is not drawn."""

SHORTEST_DISPLAY = 512
"""Smaller slices are enlarged smoothly to this many pixels, or the heat over them would show as blocks."""


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


def display_grey(
    pixels: np.ndarray, unit: str, center: float = LUNG_WINDOW[0], width: float = LUNG_WINDOW[1]
) -> np.ndarray:
    """(h, w) uint8 to look at: Hounsfield units through a window, display grey as it is."""
    if unit == "hu":
        return window(pixels, center, width)
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def enlarged(picture: np.ndarray) -> np.ndarray:
    """The picture with its longer side at least SHORTEST_DISPLAY pixels, proportions kept."""
    height, width = picture.shape[:2]
    grow = SHORTEST_DISPLAY / max(height, width)
    if grow <= 1:
        return picture
    size = (max(1, round(width * grow)), max(1, round(height * grow)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)


def overlay(grey: np.ndarray, heat: np.ndarray, strength: float) -> np.ndarray:
    """Grey (h, w) uint8 under heat (h, w) 0..1 -> RGB (h, w, 3); `strength` 0..1: opacity of full heat."""
    shown = np.clip((heat - HEAT_STARTS) / (1 - HEAT_STARTS), 0, 1)
    steps = shown * (len(RAMP) - 1)
    low = np.minimum(steps.astype(int), len(RAMP) - 2)
    part = (steps - low)[..., None]
    colour = RAMP[low] * (1 - part) + RAMP[low + 1] * part
    # Opacity rises quickly and then stays: no hard edge at a third, no fog above it.
    alpha = (strength * np.minimum(1.0, shown * 2.5))[..., None]
    mixed = grey[..., None] * (1 - alpha) + colour * alpha
    return np.rint(mixed).astype(np.uint8)


def outlined(picture: np.ndarray, box: Box, shape: tuple[int, int], colour: tuple[int, int, int]) -> np.ndarray:
    """The picture in RGB with `box`, in pixels of a slice of `shape`, drawn as a thin line of dashes."""
    rgb = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture.copy()
    down, across = rgb.shape[0] / shape[0], rgb.shape[1] / shape[1]
    top, bottom = round(box.top * down), min(round((box.top + box.height) * down), rgb.shape[0]) - 1
    left, right = round(box.left * across), min(round((box.left + box.width) * across), rgb.shape[1]) - 1
    dash = np.arange(max(rgb.shape)) % 12 < 7
    for row in (top, bottom):
        rgb[row, left : right + 1][dash[: right + 1 - left]] = colour
    for column in (left, right):
        rgb[top : bottom + 1, column][dash[: bottom + 1 - top]] = colour
    return rgb


def png(picture: np.ndarray) -> bytes:
    """Grey (h, w) or RGB (h, w, 3) uint8 as PNG."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 2])[1].tobytes()
