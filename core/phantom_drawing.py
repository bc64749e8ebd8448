"""Curves, outlines and textures in millimetres, painted on the pixels of a slice with smooth edges."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Grid:
    """Pixel centres of a slice in mm."""

    size: int
    spacing: float
    center: tuple[float, float] = (0.0, 0.0)
    tilt: float = 0.0

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """x (w,) and y (h,) of the pixel centres before the tilt, mm."""
        steps = (np.arange(self.size) - (self.size - 1) / 2) * self.spacing
        return steps + self.center[0], steps + self.center[1]

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(n, 2) mm -> (n, 2) pixel coordinates (column, row)."""
        turn = np.array([[np.cos(self.tilt), np.sin(self.tilt)], [-np.sin(self.tilt), np.cos(self.tilt)]])
        return (points @ turn - self.center) / self.spacing + (self.size - 1) / 2


def spline(points: np.ndarray, n: int, closed: bool) -> np.ndarray:
    """Catmull-Rom curve through (k, d) points, sampled at n even steps of its parameter -> (n, d)."""
    points = np.asarray(points, float)
    if closed:
        padded, spans = np.vstack([points[-1:], points, points[:2]]), len(points)
    else:
        padded, spans = (
            np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]]),
            len(points) - 1,
        )
    at = np.linspace(0, spans, n, endpoint=not closed)
    i = np.minimum(at.astype(int), spans - 1)
    u = (at - i)[:, None]
    a, b, c, d = padded[i], padded[i + 1], padded[i + 2], padded[i + 3]
    return b + 0.5 * u * (c - a + u * (2 * a - 5 * b + 4 * c - d + u * (3 * (b - c) + d - a)))


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> np.ndarray:
    """Outline (48, 2) of an ellipse, turned by `angle` radians."""
    at = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    u, v = rx * np.cos(at), ry * np.sin(at)
    return np.stack([x + u * np.cos(angle) - v * np.sin(angle), y + u * np.sin(angle) + v * np.cos(angle)], axis=1)


def ellipsoid(center: tuple, radii: tuple, z: float, angle: float = 0.0, power: float = 0.5) -> np.ndarray | None:
    """Outline of the cut through an ellipsoid at z (blunter if `power` < 0.5), None where z misses it."""
    rest = 1 - ((z - center[2]) / radii[2]) ** 2
    if rest <= 0.01:
        return None
    return ellipse(center[0], center[1], radii[0] * rest**power, radii[1] * rest**power, angle)


def fill(image: np.ndarray, grid: Grid, outline: np.ndarray | None, value: float, weight: float = 1.0) -> None:
    """Paint the inside of an outline (n, 2) mm over `image` in place, its edge antialiased."""
    if outline is None:
        return
    at = grid.pixels(outline)
    low = np.maximum(np.floor(at.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(at.max(axis=0)).astype(int) + 3, grid.size)
    if (high <= low).any():
        return
    wide, tall = high - low
    fine = np.zeros((tall * 4, wide * 4), np.uint8)  # OpenCV's own antialiasing swells a shape by half a pixel
    cv2.fillPoly(fine, [np.rint(((at - low + 0.5) * 4 - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
    cover = cv2.resize(fine, (int(wide), int(tall)), interpolation=cv2.INTER_AREA)
    part = image[low[1] : high[1], low[0] : high[0]]
    part += (value - part) * (cover * np.float32(weight / 255))


def tube(path: list, z: float) -> list[np.ndarray]:
    """Outlines of the cut at z through a tube along (x, y, z, radius) points: the spheres along it."""
    points = spline(np.array(path, float), 40 * len(path), closed=False)
    rest = points[:, 3] ** 2 - (points[:, 2] - z) ** 2
    return [
        ellipse(x, y, r**0.5, r**0.5) for (x, y), r in zip(points[rest > 0.5, :2], rest[rest > 0.5], strict=True)
    ]


def strokes(grid: Grid, rows: np.ndarray, z: float, thickness: float) -> np.ndarray:
    """Coverage float32 (h, w) of thin tubes (n, 7) by a slab at z: partial volume across the plane, too."""
    half = thickness / 2
    start, end, radius = rows[:, :3], rows[:, 3:6], rows[:, 6]
    reach = half + 0.7 * radius
    drop = end[:, 2] - start[:, 2]
    steady = np.where(np.abs(drop) < 1e-6, 1e-6, drop)
    ends = np.sort(np.stack([(z - reach - start[:, 2]) / steady, (z + reach - start[:, 2]) / steady]), axis=0)
    u0, u1 = np.clip(ends[0], 0, 1), np.clip(ends[1], 0, 1)
    kept = u1 > u0
    start, way, radius = start[kept], (end - start)[kept], radius[kept]
    u0, u1 = u0[kept, None], u1[kept, None]
    depth = 2 * radius + np.abs(way[:, 2] * (u1 - u0)[:, 0])
    weight = np.clip(depth / thickness, 0, 1)
    scale = 4 if grid.size <= 256 else 2
    width = 2 * radius / grid.spacing * scale
    weight *= np.clip(width, 0, 1) * np.clip(radius / 0.7, 0.4, 1)
    a = np.rint((grid.pixels((start + way * u0)[:, :2]) + 0.5) * scale * 16 - 8).astype(int)
    b = np.rint((grid.pixels((start + way * u1)[:, :2]) + 0.5) * scale * 16 - 8).astype(int)
    canvas = np.zeros((grid.size * scale, grid.size * scale), np.uint8)
    for i in np.argsort(weight * radius, kind="stable"):
        line = max(1, round(width[i] - 0.7))  # OpenCV draws an antialiased line that much too wide
        cv2.line(canvas, a[i].tolist(), b[i].tolist(), int(255 * weight[i]), line, cv2.LINE_AA, 4)
    return cv2.resize(canvas, (grid.size, grid.size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def texture(seed: int, wavelength: float, grid: Grid, z: float, n: int = 48) -> np.ndarray:
    """Smooth random field float32 (h, w), mean 0 and variance 1, continuous in z: a sum of n plane waves."""
    rng = np.random.default_rng(seed)
    k = rng.standard_normal((n, 3))
    k *= (2 * np.pi / wavelength * rng.uniform(0.6, 1.5, n) / np.linalg.norm(k, axis=1))[:, None]
    phase = rng.uniform(0, 2 * np.pi, n)
    x, y = grid.axes()
    a, b = np.outer(k[:, 0], x), np.outer(k[:, 1], y) + (k[:, 2] * z + phase)[:, None]
    down = np.vstack([np.cos(b), -np.sin(b)]).astype(np.float32)
    over = np.vstack([np.cos(a), np.sin(a)]).astype(np.float32) * np.float32((2 / n) ** 0.5)
    return down.T @ over


def blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.2 else image
