"""Lung CT slices made by formula, in Hounsfield units: synthetic patients of the three classes.

A patient is a set of solids along the body axis; a slice is a cut through it, blurred and made noisy as a
scanner would. `core.phantom_body` has the healthy chest and its axes; here are the lesions, the scan and the
slice. `python -m core.phantom OUT` writes the shipped samples.
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from core.errors import ConfigError
from core.labels import LABELS
from core.phantom_body import (
    AIR,
    LUNG,
    Body,
    fissures,
    lung_cover,
    paint_domes,
    paint_mediastinum,
    paint_pipes,
    paint_wall,
    rear_of,
    trees,
    vertebra,
)
from core.phantom_drawing import Grid, blur, fill, strokes, texture
from core.slices import Slice


@dataclass(frozen=True)
class Phantom:
    """One synthetic slice with what is known of it.

    slice        the image, unit "hu", int16 (h, w)
    label        one of LABELS
    lesion_mask  bool (h, w): ground glass, consolidation or tumour, inside `lung_mask`; empty when normal
    lung_mask    bool (h, w): both lungs, their vessels and lesions included
    """

    slice: Slice
    label: str
    lesion_mask: np.ndarray
    lung_mask: np.ndarray


@dataclass(frozen=True)
class Scan:
    """How the patient was scanned: field of view and slice thickness in mm, noise in HU."""

    field_of_view: float
    center: tuple[float, float]
    tilt: float
    thickness: float
    sharp: bool
    noise: float
    table: int
    circle: bool


@dataclass(frozen=True)
class Lesion:
    """A patch, nodule or mass; `center` and `radii` (x, y, z) in mm, `hu` where it is densest."""

    kind: str
    center: tuple[float, float, float]
    radii: tuple[float, float, float]
    hu: float
    softness: float


@dataclass(frozen=True)
class Patient:
    """A whole synthetic patient; vessels and airways are rows (x, y, z, x, y, z, radius)."""

    label: str
    seed: int
    body: Body
    scan: Scan
    z: float
    vessels: np.ndarray
    airways: np.ndarray
    spicules: np.ndarray
    lesions: tuple[Lesion, ...]


def room(body: Body, z: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coarse map of the lungs at z, flat: x, y and the distance from the lungs' border (0 outside), mm."""
    grid, blank = Grid(128, 3.2), np.zeros((128, 128), np.float32)
    between = np.maximum(
        paint_domes(blank.copy(), grid, body, z), paint_mediastinum(blank, grid, body, z / body.height, z)
    )
    lungs = (lung_cover(grid, body, z / body.height, between) > 0.6).astype(np.uint8)
    far = cv2.distanceTransform(lungs, cv2.DIST_L2, 5) * grid.spacing
    x, y = np.meshgrid(*grid.axes())
    return x.ravel(), y.ravel(), far.ravel()


def place(rng: np.random.Generator, lungs: tuple, body: Body, side: int, depth: tuple, dependent: float) -> tuple:
    """A point (x, y) of `room`, `depth` (least, most) mm from the lung's border.

    `side`: -1 right, 1 left, 0 either; `dependent` > 0 prefers the back. Where none is so deep: the deepest.
    """
    x, y, far = lungs
    far = np.where(x * side < 0, 0, far)
    weight = ((far >= depth[0]) & (far <= depth[1])).astype(float)
    if not weight.any():
        weight = (far == far.max()).astype(float)
    weight *= np.exp(dependent * y / body.half_depth)
    at = rng.choice(weight.size, p=weight / weight.sum())
    return float(x[at]), float(y[at])


def pneumonia(rng: np.random.Generator, body: Body, z: float) -> tuple[Lesion, ...]:
    """Ground glass on both sides, mostly at the periphery and back; sometimes paving or consolidation."""
    kinds = ["glass", ["glass", "paving", "consolidation"][rng.integers(3)]]
    patches, step, ends = [], 32.0, (0.1 * body.height, 0.92 * body.height)
    rooms = {k: room(body, float(np.clip(z + k * step, *ends))) for k in (-1, 0, 1)}
    for i in range(int(rng.integers(6, 13))):
        off = rng.normal(0, 6) if i < 3 else rng.normal(8, 34)
        level, side = float(np.clip(z + off, *ends)), (-1, 1, 0)[min(i, 2)]
        kind = kinds[int(rng.random() < 0.45)] if i else kinds[1]
        size = rng.uniform(13, 36) if kind != "consolidation" else rng.uniform(14, 30)
        nearest = rooms[int(np.clip(round((level - z) / step), -1, 1))]
        x, y = place(rng, nearest, body, side, (2, 22), 1.3)
        hu = rng.uniform(0, 40) if kind == "consolidation" else rng.uniform(-600, -380)
        radii = tuple(float(size * f) for f in rng.uniform(0.75, 1.3, 3))
        softness = rng.uniform(0.35, 0.7) if kind == "consolidation" else rng.uniform(0.25, 0.6)
        patches.append(Lesion(kind, (x, y, level), radii, float(hu), float(softness)))
    return tuple(patches)


def tumour(rng: np.random.Generator, body: Body, z: float) -> tuple[tuple[Lesion, ...], np.ndarray]:
    """One nodule or mass, and its spicules and pleural tags as rows (x, y, z, x, y, z, radius)."""
    radius = float(np.exp(rng.uniform(np.log(5.5), np.log(29))))
    depth = (0.6 * radius, 1.6 * radius + 8) if rng.random() < 0.6 else (radius, 60)
    level = z + float(rng.uniform(-0.3, 0.3)) * radius
    lungs = room(body, z)
    x, y = place(rng, lungs, body, 0, depth, 0.3)
    if rng.random() < 0.2 and radius > 12:
        off = np.abs(np.abs(lungs[0]) - 46 - 0.4 * radius) + np.abs(lungs[1] - 0.1 * body.half_depth)
        nearest = np.where(lungs[2] > 4, off, np.inf).argmin()
        x, y = float(lungs[0][nearest]), float(lungs[1][nearest])
    radii = tuple(float(radius * f) for f in rng.uniform(0.88, 1.14, 3))
    hu = 30 + rng.uniform(-8, 12) + 0.3 * body.contrast
    center = np.array([x, y, level])
    n = int(rng.integers(14, 46)) if rng.random() < 0.75 else 4
    way = rng.standard_normal((n, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True)
    length = radius * rng.uniform(1.25, 1.8, (n, 1)) + 3
    length[:2] += rng.uniform(4, 18, (2, 1))
    width = rng.uniform(0.4, 0.9, (n, 1)) * (radius / 15) ** 0.3
    middle = center + way * length * 0.72 + rng.normal(0, 0.06 * radius, (n, 3))
    roots = np.hstack([np.broadcast_to(center, way.shape), middle, width * 1.3])
    tips = np.hstack([middle, center + way * length, width * 0.8])
    kind = "cavity" if radius > 14 and rng.random() < 0.15 else "solid"
    return (Lesion(kind, (x, y, float(level)), radii, float(hu), float(rng.uniform(0.1, 0.35))),), np.vstack(
        [roots, tips]
    )


def away(lesion: Lesion, grid: Grid, z: float) -> np.ndarray:
    """Distance from the lesion's centre in units of its radii, float32 (h, w)."""
    x, y = ((axis - c) / r for axis, c, r in zip(grid.axes(), lesion.center[:2], lesion.radii[:2], strict=True))
    rest = ((z - lesion.center[2]) / lesion.radii[2]) ** 2
    return np.sqrt(x[None] ** 2 + y[:, None] ** 2 + rest).astype(np.float32)


def patch(lesion: Lesion, grid: Grid, z: float, lumps: np.ndarray) -> np.ndarray:
    """How far ground glass or consolidation fills each pixel, 0 to 1: uneven, its edge fading."""
    ramp = np.clip((1 - away(lesion, grid, z) - lumps) / lesion.softness, 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def mass(lesion: Lesion, grid: Grid, z: float, seed: int) -> np.ndarray:
    """How far a solid lesion fills each pixel, 0 to 1: lobulated, its edge 1.6 mm wide."""
    far, size = away(lesion, grid, z), min(lesion.radii)
    far += 0.13 * texture(seed, 1.5 * size, grid, z) * far + 0.03 * texture(seed + 1, 0.7 * size, grid, z)
    return np.clip((1 - far) * size / 1.6 + 0.5, 0, 1)


def infect(lungs: np.ndarray, patient: Patient, grid: Grid, z: float) -> np.ndarray:
    """Add ground glass, paving and consolidation to `lungs` HU in place; returns the opacity (h, w)."""
    glass, dense, paved = (np.zeros_like(lungs) for _ in range(3))
    lumps = 0.26 * texture(patient.seed * 64 + 8, 24, grid, z) + 0.14 * texture(patient.seed * 64 + 9, 8, grid, z)
    value = LUNG
    for lesion in patient.lesions:
        if abs(z - lesion.center[2]) > 2.5 * lesion.radii[2]:
            continue
        part = patch(lesion, grid, z, lumps)
        if lesion.kind == "consolidation":
            np.maximum(dense, part, out=dense)
        else:
            np.maximum(glass, part, out=glass)
            value = max(value, lesion.hu)
        if lesion.kind == "paving":
            np.maximum(paved, part, out=paved)
    if glass.any():
        grain = texture(patient.seed * 64 + 3, 11, grid, z)
        lungs += glass * (0.75 + 0.18 * np.clip(grain, -1.5, 1.5)) * (value - lungs)
    if paved.any():
        net = np.exp(-((texture(patient.seed * 64 + 4, 10, grid, z) / 0.17) ** 2))
        lungs += paved * net * 190
    if dense.any():
        halo = np.clip(blur(dense, 5 / grid.spacing) * 1.3, 0, 0.75)
        lungs += halo * np.maximum(-480 - lungs, 0)
        lungs += (30 - lungs) * dense
        lungs += (-880 - lungs) * dense * strokes(grid, patient.airways, z, patient.scan.thickness)
    return np.maximum(glass, dense)


def invade(hu: np.ndarray, patient: Patient, grid: Grid, z: float, lungs: np.ndarray) -> np.ndarray:
    """Add the tumour with its spicules to `hu` in place; returns its opacity (h, w)."""
    found = np.zeros_like(hu)
    for lesion in patient.lesions:
        part = mass(lesion, grid, z, patient.seed * 64 + 8) * lungs
        lesion_halo = blur(part, 0.22 * min(lesion.radii) / grid.spacing) * lesion.softness
        rays = strokes(grid, patient.spicules, z, patient.scan.thickness) * lungs
        hu += (np.maximum(hu, -450) - hu) * np.clip(lesion_halo, 0, 1) * lungs
        hu += np.maximum(lesion.hu - 30 - hu, 0) * rays * 0.85
        hu += (lesion.hu - hu) * part
        if lesion.kind == "cavity":
            hole = Lesion("solid", lesion.center, tuple(0.45 * r for r in lesion.radii), -900, 0)
            hu += (-900 - hu) * mass(hole, grid, z, patient.seed * 64 + 20) * part
        found = np.maximum(found, part)
    return found


def make_patient(label: str, seed: int) -> Patient:
    """The patient of (label, seed); raises ConfigError for an unknown label or a negative seed."""
    if label not in LABELS:
        raise ConfigError("label", repr(label), "one of " + ", ".join(LABELS))
    if seed < 0:
        raise ConfigError("seed", str(seed), "a whole number from 0")
    rng = np.random.default_rng([LABELS.index(label), seed])
    stout = rng.uniform()
    body = Body(
        half_width=rng.uniform(112, 134),
        half_depth=rng.uniform(78, 98),
        height=rng.uniform(215, 265),
        fat=4 + 20 * stout**1.5,
        muscle=rng.uniform(0.7, 1.15),
        breast=max(0.0, rng.uniform(-30, 34)),
        heart=rng.uniform(0.9, 1.12),
        dome=(rng.uniform(0.74, 0.84), rng.uniform(0.78, 0.88)),
        contrast=rng.uniform(110, 170) if rng.random() < 0.4 else 0.0,
        lean=rng.uniform(-1, 1),
    )
    wide = 2 * (body.half_width + 26 + body.fat + 8)
    sharp = bool(rng.random() < 0.5)
    scan = Scan(
        field_of_view=float(np.clip(wide * rng.uniform(1.0, 1.22), 0.6 * 512, 0.9 * 512)),
        center=(rng.normal(0, 6), rng.uniform(2, 18)),
        tilt=rng.normal(0, 0.03),
        thickness=float(rng.choice([1.0, 1.5, 2.0, 3.0, 5.0])),
        sharp=sharp,
        noise=rng.uniform(20, 48) if sharp else rng.uniform(7, 18),
        table=int(rng.integers(3)),
        circle=bool(rng.random() < 0.5),
    )
    level = rng.choice([0.2, 0.3, 0.38, 0.44, 0.5, 0.58, 0.66, 0.74, 0.82]) + rng.uniform(-0.035, 0.035)
    z = float(level) * body.height
    vessels, airways = trees(rng, body)
    lesions, spicules = (), np.zeros((0, 7))
    if label == "pneumonia":
        lesions = pneumonia(rng, body, z)
    elif label == "tumour":
        lesions, spicules = tumour(rng, body, z)
    return Patient(label, seed, body, scan, z, vessels, airways, spicules, lesions)


def paint_table(hu: np.ndarray, grid: Grid, body: Body, style: int) -> None:
    """The couch: a trough of two shells, a flat board, or a thin mattress line."""
    top = rear_of(body) + 4
    x = np.linspace(-230, 230, 60)
    bow = (26 * (1 - (x / 230) ** 2), 0 * x, 12 * (1 - (x / 230) ** 2))[style] + top - (12, -4, 2)[style]
    for drop, thick, value in ((0, 1.6, -150), ((28, 42, 9)[style], 2.2, (120, 40, -500)[style])):
        line = np.stack([x * (1.0 if drop == 0 else 0.93), bow + drop], axis=1)
        fill(hu, grid, np.vstack([line, line[::-1] + np.array((0, thick))]), value)


def paint_lungs(hu: np.ndarray, patient: Patient, grid: Grid, z: float, cover: np.ndarray) -> np.ndarray:
    """Put lung tissue, vessels, airways, fissures and patches into `hu`; returns the patches' opacity."""
    _, y = grid.axes()
    lungs = LUNG + 28 * (y / patient.body.half_depth)[:, None] + 14 * texture(patient.seed * 64, 38, grid, z)
    lungs = (lungs + 9 * texture(patient.seed * 64 + 1, 7, grid, z)).astype(np.float32)
    lungs += fissures(grid, patient.body, z) * 110
    opaque = infect(lungs, patient, grid, z) if patient.label == "pneumonia" else np.zeros_like(lungs)
    thickness = patient.scan.thickness
    blood = 38 + 0.7 * patient.body.contrast
    lungs += (np.maximum(blood, lungs) - lungs) * strokes(grid, patient.vessels, z, thickness)
    pipes = patient.airways[patient.airways[:, 6] > 0.78]
    walls = np.hstack([pipes[:, :6], 1.12 * pipes[:, 6:] + 0.35])
    lungs += (np.maximum(-250, lungs) - lungs) * strokes(grid, walls, z, thickness)
    lungs += (-960 - lungs) * strokes(grid, pipes, z, thickness)
    hu += (lungs - hu) * cover
    return opaque * cover


def expose(hu: np.ndarray, patient: Patient, grid: Grid, z: float) -> np.ndarray:
    """The reconstructed image int16 (h, w): the kernel's blur and noise, more in the middle."""
    scan = patient.scan
    rng = np.random.default_rng([LABELS.index(patient.label), patient.seed, round(z * 100) + 10_000])
    image = blur(hu, 0.5 / grid.spacing)
    if scan.sharp:
        image = image + 0.45 * (image - blur(image, 1.0 / grid.spacing))
    else:
        image = blur(image, 0.7 / grid.spacing)
    grain = rng.standard_normal(hu.shape, dtype=np.float32)
    fine, coarse = (0.4, 1.2) if scan.sharp else (0.8, 2.6)
    grain = blur(grain, fine / grid.spacing) - 0.7 * blur(grain, coarse / grid.spacing)
    tissue = blur(np.clip((hu + 1000) / 1000, 0, 1), 24 / grid.spacing)
    image = image + grain * (scan.noise / grain.std()) * (0.45 + 0.85 * tissue)
    image = np.clip(np.rint(image), -1024, 3071)
    if scan.circle:
        steps = np.arange(grid.size) - (grid.size - 1) / 2
        image[np.hypot(steps[:, None], steps[None]) > grid.size / 2] = -1024
    return image.astype(np.int16)


def cut(patient: Patient, z: float, size: int, frame: int | None = None) -> Phantom:
    """The slice of a patient at z mm below the apex, (size, size) pixels over its field of view."""
    body, scan = patient.body, patient.scan
    grid = Grid(size, scan.field_of_view / size, scan.center, scan.tilt)
    t = z / body.height
    hu = np.full((size, size), AIR, np.float32)
    paint_table(hu, replace(grid, tilt=0.0), body, scan.table)
    paint_wall(hu, grid, body, t, z)
    between = np.maximum(paint_domes(hu, grid, body, z), paint_mediastinum(hu, grid, body, t, z))
    cover = lung_cover(grid, body, t, between)
    lesion = paint_lungs(hu, patient, grid, z, cover)
    vertebra(hu, grid, body, z)
    paint_pipes(hu, grid, body, z)
    if patient.label == "tumour":
        lesion = invade(hu, patient, grid, z, cover)
    lungs = cover > 0.5
    name = f"phantom-{patient.label}-{patient.seed}"
    image = Slice(expose(hu, patient, grid, z), "hu", name, frame, -z, (grid.spacing, grid.spacing))
    return Phantom(image, patient.label, (lesion > 0.4) & lungs, lungs)


def phantom(label: str, seed: int, size: int = 512) -> Phantom:
    """The synthetic slice of (label, seed), always the same; `size` changes the sampling, not the patient.

    Raises ConfigError for an unknown label, a negative seed or a size outside 64 to 1024.
    """
    if not 64 <= size <= 1024:
        raise ConfigError("size", str(size), "64 to 1024 pixels")
    patient = make_patient(label, seed)
    return cut(patient, patient.z, size)


def phantom_series(label: str, seed: int, n_slices: int, size: int = 512) -> list[Slice]:
    """The patient of (label, seed) from apex to base in n even steps."""
    if n_slices < 2:
        raise ConfigError("n_slices", str(n_slices), "2 or more")
    patient = make_patient(label, seed)
    levels = np.linspace(0.08, 0.96, n_slices) * patient.body.height
    return [cut(patient, float(z), size, frame).slice for frame, z in enumerate(levels)]


def main(arguments: list[str] | None = None) -> int:
    """`python -m core.phantom OUT [--count N] [--seed S]`: the shipped samples, or N slices of each class."""
    import argparse
    from pathlib import Path

    from core.samples import write_samples, write_set

    parser = argparse.ArgumentParser(prog="python -m core.phantom", description="Write synthetic CT slices.")
    parser.add_argument("out", type=Path, help="folder to write into")
    parser.add_argument("--count", type=int, help="write so many PNG slices of each class, not the samples")
    parser.add_argument("--seed", type=int, default=1000, help="first seed of each class (default 1000)")
    options = parser.parse_args(arguments)
    if options.count is not None and options.count < 1:
        parser.error(f"argument --count: found {options.count}; expected 1 or more")
    if options.seed < 0:
        parser.error(f"argument --seed: found {options.seed}; expected 0 or more")
    if options.count is None:
        rows = write_samples(options.out)
    else:
        rows = write_set(options.out, options.count, options.seed)
    print(f"{rows} synthetic files and manifest.csv written to {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
