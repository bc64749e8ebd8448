"""Lesions drawn by formula into the lungs of healthy slices, as training views of the diseased classes.

Where no source shows healthy and diseased slices alike, a network can tell the class by the look of the
source. A healthy slice with a lesion drawn in has the look of its own source and the class of the lesion, so
that the look says nothing. Drawn lesions serve training alone: nothing is ever tested on them.

Pictures are those of core.preprocess with its pipeline "lung", whose grey levels stand for Hounsfield units;
lengths are shares of the larger side of the lungs' box, some 300 mm in an adult.
"""

from collections.abc import Callable

import cv2
import numpy as np

from core.slices import LUNG_WINDOW

Rng = np.random.Generator
DETAIL = 10.0
"""Grey levels of noise and grain that still show within a lesion."""


def can_draw(label: str) -> bool:
    """Whether lesions of this class can be drawn."""
    return label in _DRAWN


def draw_lesion(picture: np.ndarray, lungs: np.ndarray, label: str, rng: Rng) -> np.ndarray:
    """A copy of `picture` uint8 (h, w) with a lesion of the class `label` inside the mask `lungs` (h, w).

    "pneumonia": patches of ground glass, some with paving or consolidation, rather at the periphery and back;
    "tumour": one nodule or mass, often with spicules. KeyError for another label.
    """
    mask = lungs.astype(np.uint8)
    if not mask.any():
        return picture.copy()
    _, _, width, height = cv2.boundingRect(mask)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    depth = depth[1:-1, 1:-1]
    opacity, grey = _DRAWN[label](depth, float(max(width, height)), rng)
    inside = np.clip(depth / 1.5, 0, 1)  # the pleura stays sharp
    base = picture.astype(np.float32)
    detail = np.clip(base - cv2.GaussianBlur(base, (0, 0), 2), -DETAIL, DETAIL)
    opacity = opacity * inside
    drawn = base + opacity * (np.maximum(grey, base) - base + 0.6 * detail)
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def _pneumonia(depth: np.ndarray, side: float, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Opacity and grey, both float32 (h, w), of several patches."""
    shape = depth.shape
    lumps = 0.28 * _grain(shape, 0.08 * side, rng) + 0.16 * _grain(shape, 0.025 * side, rng)
    glass, dense = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    consolidates = rng.random() < 0.4
    for _ in range(int(rng.integers(1, 9))):
        is_dense = consolidates and rng.random() < 0.5
        radius = side * rng.uniform(0.03, 0.08 if is_dense else 0.17)
        center = _point(depth, (0, 0.09 * side), rng, back=1.3)
        ramp = _ramp(_away(shape, center, radius, rng) + lumps, rng.uniform(0.25, 0.7))
        np.maximum(dense if is_dense else glass, ramp, out=dense if is_dense else glass)
    value = _grey(rng.uniform(-680, -380))
    grey = value * (1 + 0.06 * np.clip(_grain(shape, 0.035 * side, rng), -1.5, 1.5))
    if rng.random() < 0.3:  # crazy paving: a net of thickened septa
        net = np.exp(-((_grain(shape, 0.018 * side, rng) / 0.2) ** 2))
        grey = grey + net * rng.uniform(15, 40)
    grey = grey + (_grey(rng.uniform(-60, 40)) - grey) * dense
    return np.maximum(0.85 * glass, dense), grey.astype(np.float32)


def _tumour(depth: np.ndarray, side: float, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Opacity and grey, both float32 (h, w), of one nodule or mass."""
    shape = depth.shape
    radius = side * np.exp(rng.uniform(np.log(0.018), np.log(0.11)))
    center = _point(depth, (0.4 * radius, 1.6 * radius + 0.04 * side), rng, back=0.3)
    away = _away(shape, center, radius, rng, stretch=1.2)
    away = away * (1 + 0.16 * _grain(shape, 0.7 * radius, rng))
    solid = np.clip((1 - away) * radius / 1.6 + 0.5, 0, 1)
    opacity = np.maximum(solid, 0.5 * rng.random() * np.clip(1.5 - away, 0, 1))  # the second: a halo
    if rng.random() < 0.7:
        opacity = np.maximum(opacity, 0.8 * _spicules(shape, center, radius, rng))
    grey = np.full(shape, _grey(rng.uniform(-40, 90)), np.float32)
    if radius > 0.05 * side and rng.random() < 0.15:  # a cavity
        opacity = opacity * np.clip((away - 0.45) * radius / 1.6 + 0.5, 0, 1)
    return opacity.astype(np.float32), grey


_DRAWN: dict[str, Callable] = {"pneumonia": _pneumonia, "tumour": _tumour}


def _grey(hu: float) -> float:
    """Grey level of these Hounsfield units in a prepared picture."""
    center, width = LUNG_WINDOW
    return float(np.clip((hu - center + width / 2) / width, 0, 1) * 255)


def _point(depth: np.ndarray, wanted: tuple[float, float], rng: Rng, back: float) -> tuple[float, float]:
    """A place (row, column) so deep in the lungs, else the deepest; `back` > 0 prefers the dependent part."""
    rows, columns = np.nonzero((depth > wanted[0]) & (depth <= max(wanted[1], wanted[0] + 2)))
    if not len(rows):
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return float(row), float(column)
    weight = np.exp(back * rows / depth.shape[0])
    at = rng.choice(len(rows), p=weight / weight.sum())
    return float(rows[at]), float(columns[at])


def _away(shape: tuple[int, int], center: tuple[float, float], radius: float, rng: Rng, stretch: float = 1.6):
    """Distance from `center` in radii of a turned ellipse, float32 (h, w)."""
    angle, factor = rng.uniform(0, np.pi), np.sqrt(rng.uniform(1, stretch))
    y = (np.arange(shape[0], dtype=np.float32) - center[0])[:, None]
    x = (np.arange(shape[1], dtype=np.float32) - center[1])[None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.sqrt((along / (radius * factor)) ** 2 + (across * factor / radius) ** 2).astype(np.float32)


def _ramp(away: np.ndarray, softness: float) -> np.ndarray:
    part = np.clip((1 - away) / softness, 0, 1)
    return part * part * (3 - 2 * part)


def _grain(shape: tuple[int, int], wavelength: float, rng: Rng) -> np.ndarray:
    """Smooth noise float32 (h, w), mean 0 and variance 1, made coarsely and enlarged."""
    step = max(1.0, wavelength / 4)
    coarse = (int(np.ceil(shape[0] / step)) + 2, int(np.ceil(shape[1] / step)) + 2)
    noise = cv2.GaussianBlur(rng.standard_normal(coarse, dtype=np.float32), (0, 0), 1.2)
    noise = (noise - noise.mean()) / max(float(noise.std()), 1e-6)
    return cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _spicules(shape: tuple[int, int], center: tuple[float, float], radius: float, rng: Rng) -> np.ndarray:
    """Coverage float32 (h, w) of fine lines that leave a mass on all sides."""
    canvas = np.zeros(shape, np.uint8)
    for angle in rng.uniform(0, 2 * np.pi, int(rng.integers(5, 22))):
        length = radius * rng.uniform(1.2, 1.9) + rng.uniform(0, 4)
        bend = angle + rng.normal(0, 0.12)
        way = [(0.8 * radius, angle), (0.5 * (radius + length), bend), (length, angle)]
        points = [(center[1] + r * np.cos(a), center[0] + r * np.sin(a)) for r, a in way]
        line = np.rint(np.array(points) * 16).astype(np.int32)
        cv2.polylines(canvas, [line], False, int(rng.uniform(120, 255)), 1, cv2.LINE_AA, 4)
    return canvas.astype(np.float32) / 255
