"""Pictures to look at: a slice in grey, and its heat map laid over it."""

import numpy as np

from core.slices import LUNG_WINDOW, window

RAMP = np.array([[10, 98, 112], [22, 146, 140], [120, 196, 140], [246, 240, 168]], np.float32)
"""Heat map colours, RGB, low to high: dark teal to pale yellow, in order of brightness."""

HEAT_STARTS = 1 / 3
"""Heat below this share of the strongest is not drawn."""


def display_grey(
    pixels: np.ndarray, unit: str, center: float = LUNG_WINDOW[0], width: float = LUNG_WINDOW[1]
) -> np.ndarray:
    """(h, w) uint8 to look at: Hounsfield units ("hu") through a window; display grey ("grey") as it is."""
    if unit == "hu":
        return window(pixels, center, width)
    return pixels if pixels.dtype == np.uint8 else np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def overlay(grey: np.ndarray, heat: np.ndarray, strength: float = 0.6) -> np.ndarray:
    """Grey (h, w) uint8 under heat (h, w) 0..1 -> RGB (h, w, 3) uint8; `strength` 0..1: opacity of full heat."""
    shown = np.clip((heat - HEAT_STARTS) / (1 - HEAT_STARTS), 0, 1)
    steps = shown * (len(RAMP) - 1)
    low = np.minimum(steps.astype(int), len(RAMP) - 2)
    part = (steps - low)[..., None]
    colour = RAMP[low] * (1 - part) + RAMP[low + 1] * part
    # Opacity rises quickly and then stays: no hard edge where heat starts, no fog above it.
    alpha = (strength * np.minimum(1.0, shown * 2.5))[..., None]
    return np.rint(grey[..., None] * (1 - alpha) + colour * alpha).astype(np.uint8)
