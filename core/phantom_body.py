"""The healthy chest of a synthetic patient: solids along the body axis and how a level cuts them.

x runs to the patient's left (image right), y to the back (image bottom), z from the apex of the lungs towards
the feet, all in millimetres; a level t is z over the height of the lungs.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from core.phantom_drawing import Grid, blur, ellipse, ellipsoid, fill, spline, tube

AIR, LUNG, FAT, MUSCLE, DISC, CARTILAGE, MARROW, CORTEX = -1000, -860, -105, 52, 85, 130, 230, 760
"""Typical Hounsfield units of the tissues that do not take up contrast medium."""

# fmt: off
WALL = np.array([(0.07, 0.62), (0.16, 0.82), (0.34, 0.97), (0.58, 0.97), (0.80, 0.80), (0.95, 0.48),
                 (1.0, 0.10), (0.95, -0.28), (0.80, -0.60), (0.55, -0.83), (0.28, -0.95), (0.04, -0.99)])
# fmt: on
"""Inner chest wall of one side from spine to sternum, in half widths and half depths of the cavity."""

STEPS = np.linspace(0, 1, 120)
"""Fractions of the way along the chest wall from spine to sternum."""


@dataclass(frozen=True)
class Body:
    """Size and habitus of a patient; lengths in mm, `height` being that of the lungs."""

    half_width: float
    half_depth: float
    height: float
    fat: float
    muscle: float
    breast: float
    heart: float
    dome: tuple[float, float]
    contrast: float
    lean: float


def profile(t: float, levels: tuple, values: tuple) -> float:
    """Value at level t (0 apex, 1 base) of a piecewise linear profile."""
    return float(np.interp(t, levels, values))


def wall(body: Body, side: int, t: float, offset: float | np.ndarray = 0.0) -> np.ndarray:
    """Chest wall (n, 2) of one side (-1 right, 1 left) spine to sternum, moved outward by `offset` mm."""
    width = body.half_width * profile(t, (0, 0.08, 0.2, 0.4, 0.7, 1), (0.34, 0.56, 0.78, 0.93, 1, 1))
    depth = body.half_depth * profile(t, (0, 0.08, 0.2, 0.4, 0.7, 1), (0.5, 0.66, 0.82, 0.94, 1, 1))
    shift = body.half_depth * profile(t, (0, 0.2, 0.5, 1), (0.1, 0.06, 0.0, 0.0))
    curve = spline(WALL, len(STEPS), closed=False) * (width * (1 + 0.02 * side * body.lean), depth) + (
        0,
        shift,
    )
    way = np.gradient(curve, axis=0)
    normal = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.linalg.norm(way, axis=1, keepdims=True)
    outward = np.sign(np.sum(normal * curve, axis=1).mean())
    return (curve + normal * outward * np.reshape(offset, (-1, 1))) * (side, 1)


def swell(ends: tuple, thick: float) -> np.ndarray:
    """Thickness (120,) along the chest wall of a layer with rounded ends, 0 beyond them."""
    u = np.clip((STEPS - ends[0]) / max(ends[1] - ends[0], 1e-6), 0, 1)
    return thick * np.clip(1 - np.abs(2 * u - 1) ** 2.6, 0, 1) ** 0.5


def band(body: Body, side: int, t: float, ends: tuple, inner: float | np.ndarray, thick: float) -> np.ndarray:
    """Outline of a rounded band, `inner` mm off the chest wall; `ends` in STEPS."""
    inside = (ends[0] <= STEPS) & (ends[1] >= STEPS)
    half = swell(ends, thick / 2)
    low = wall(body, side, t, inner + thick / 2 - half)[inside]
    high = wall(body, side, t, inner + thick / 2 + half)[inside]
    return np.vstack([low, high[::-1]])


def muscles(t: float, body: Body) -> list[tuple[tuple, float, float]]:
    """Bands (ends, inner offset, thickness) of the muscles over the ribs at level t, inner ones first."""
    m = body.muscle
    under = m * profile(t, (0, 0.2, 0.45, 0.7), (20, 16, 9, 5))
    over = m * profile(t, (0, 0.12, 0.3, 0.5, 1), (62, 44, 19, 11, 6))
    chest = m * profile(t, (0, 0.2, 0.4, 0.6, 0.75), (12, 10, 7, 3, 1))
    return [
        ((0.16, 0.56), 12.5, under),
        ((0.05, 0.36), 14 + under, m * profile(t, (0, 0.2, 0.45, 0.7, 1), (20, 17, 12, 6, 5))),
        ((0.26, 0.60), 14 + under, over),
        ((0.66, 0.92), 13, chest),
        ((0.57, 0.97), 14.5 + chest, m * profile(t, (0, 0.2, 0.4, 0.6, 0.75), (20, 15, 10, 5, 1))),
    ]


def bump(middle: float, width: float) -> np.ndarray:
    """A bell (120,) along the chest wall."""
    return np.exp(-(((STEPS - middle) / width) ** 2))


def rear_of(body: Body) -> float:
    """Where the back rests, mm behind the middle."""
    return body.half_depth + 42 + 0.5 * body.fat


def outline(body: Body, t: float) -> np.ndarray:
    """Skin line (240, 2) at level t, flattened where the patient lies on the table."""
    halves = []
    for side in (-1, 1):
        away = 15 + body.fat * (0.8 + 0.5 * bump(0.85, 0.25) + 0.5 * bump(0.1, 0.2))
        deep = np.max([swell(ends, (inner - 13 + thick)) for ends, inner, thick in muscles(t, body)], axis=0)
        deep = cv2.dilate(deep[None].astype(np.float32), np.ones((1, 9), np.uint8))
        away = away + cv2.GaussianBlur(deep, (0, 0), 5, borderType=cv2.BORDER_REPLICATE)[0]
        away = away + body.breast * profile(t, (0.3, 0.5, 0.7, 0.85), (0, 1, 0.9, 0)) * bump(0.8, 0.1)
        halves.append(wall(body, side, t, away))
    line = np.vstack([halves[0][18:114:6], halves[1][113:17:-6]])
    line = np.vstack([line, (line[0] + line[-1]) / 2])
    rear = rear_of(body)
    line[:, 1] = np.where(
        line[:, 1] > rear - 12, rear - 12 + 14 * np.tanh((line[:, 1] - rear + 12) / 30), line[:, 1]
    )
    return spline(line, 240, closed=True)


def paint_wall(hu: np.ndarray, grid: Grid, body: Body, t: float, z: float) -> None:
    """Skin, fat, muscles, ribs, scapulae and breastbone at level t."""
    skin = outline(body, t)
    middle = skin.mean(axis=0)
    size = np.linalg.norm(skin - middle, axis=1, keepdims=True)
    tissue, inside = np.full_like(hu, FAT), np.zeros_like(hu)
    for side in (-1, 1):
        for ends, inner, thick in muscles(t, body):
            if thick > 2:
                fill(tissue, grid, band(body, side, t, ends, inner + 1, thick), MUSCLE)
        fill(tissue, grid, ellipse(side * 25, body.half_depth + 14, 22, 15, side * -0.2), MUSCLE - 5)
        if body.breast > 12:
            fill(tissue, grid, band(body, side, t, (0.7, 0.88), 22, body.breast * 0.5), 15, 0.45)
    chest = np.vstack([wall(body, -1, t, 12.5), wall(body, 1, t, 12.5)[::-1]])
    fill(tissue, grid, chest, MUSCLE - 12)
    for side in (-1, 1):
        paint_ribs(tissue, grid, body, side, t, z)
        paint_scapula(tissue, grid, body, side, t)
    paint_sternum(tissue, grid, body, t)
    fill(hu, grid, skin, 10)
    fill(inside, grid, middle + (skin - middle) * (1 - 2.2 / size), 1.0)
    hu += (tissue - hu) * inside


def paint_ribs(hu: np.ndarray, grid: Grid, body: Body, side: int, t: float, z: float) -> None:
    """Ribs run down and forward, so that a level cuts several; in front they are cartilage."""
    for number in range(-6, 11):
        at = (z - number * body.height / 9.2 - 4 * side) / (0.5 * body.height)
        if not -0.02 < at < 0.95:
            continue
        half = 0.045 + 0.015 * np.sin(3.0 * number)
        ends = (max(at - half, 0.0), min(at + half, 1.0))
        gristle = at > 0.8
        fill(hu, grid, band(body, side, t, ends, 2.5, 8.5), CARTILAGE if gristle else CORTEX)
        if not gristle and ends[1] - ends[0] > 0.05:
            fill(hu, grid, band(body, side, t, (ends[0] + 0.012, ends[1] - 0.012), 4.4, 4.6), MARROW)


def paint_scapula(hu: np.ndarray, grid: Grid, body: Body, side: int, t: float) -> None:
    """The shoulder blade lies within the muscles behind the upper chest."""
    if t > 0.46:
        return
    near, far = profile(t, (0, 0.46), (0.16, 0.22)), profile(t, (0, 0.2, 0.46), (0.50, 0.43, 0.32))
    away = 13.5 + muscles(t, body)[0][2] * np.linspace(0.75, 1.5, 120)
    fill(hu, grid, band(body, side, t, (near, far), away, 3.4), CORTEX - 100)
    knob = wall(body, side, t, away)[int(far * 119)]
    radius = profile(t, (0, 0.15, 0.3, 0.46), (14, 9, 4.5, 2))
    fill(hu, grid, ellipse(knob[0], knob[1], radius, radius * 0.6, side * 0.9), CORTEX - 100)
    fill(hu, grid, ellipse(knob[0], knob[1], radius - 1.8, max(radius * 0.6 - 1.8, 0.4), side * 0.9), MARROW)


def paint_sternum(hu: np.ndarray, grid: Grid, body: Body, t: float) -> None:
    """Handle, body and tip of the breastbone; above it the heads of the collarbones."""
    front = wall(body, 1, t)[-1, 1] - 8
    half = profile(t, (0.1, 0.14, 0.28, 0.36, 0.6, 0.72, 0.8), (2, 30, 27, 16, 19, 12, 0))
    if t < 0.16:
        for side in (-1, 1):
            fill(hu, grid, ellipse(side * (30 + 60 * t), front + 1, 15, 8, side * 0.5), CORTEX)
            fill(hu, grid, ellipse(side * (30 + 60 * t), front + 1, 12.5, 5.5, side * 0.5), MARROW)
    if half > 4 and t > 0.1:
        box = np.array(
            [(-1, -0.35), (-0.5, -0.6), (0.5, -0.6), (1, -0.35), (1, 0.4), (0.4, 0.6), (-0.4, 0.6), (-1, 0.4)]
        )
        fill(hu, grid, spline(box * (half, 8) + (0, front), 64, closed=True), CORTEX - 150)
        fill(hu, grid, spline(box * (half - 2, 5.4) + (0, front), 64, closed=True), MARROW - 40)


def vertebra(hu: np.ndarray, grid: Grid, body: Body, z: float) -> None:
    """Body with its cortex, pedicles, canal, transverse and spinous processes; a disc between two bodies."""
    y = body.half_depth * 0.72
    step = (z / 25.0) % 1.0
    disc = step < 0.2
    shape = np.array(
        [(-1, -0.1), (-0.75, -0.75), (0, -1), (0.75, -0.75), (1, -0.1), (0.85, 0.7), (0, 0.62), (-0.85, 0.7)]
    )
    fill(hu, grid, spline(shape * (20, 17) + (0, y), 80, closed=True), DISC if disc else CORTEX - 200)
    if not disc:
        fill(hu, grid, spline(shape * (18, 15) + (0, y), 80, closed=True), MARROW)
    arch = np.array(
        [
            (-15, 10),
            (-15, 20),
            (-33, 27),
            (-34, 32),
            (-14, 31),
            (-4, 36),
            (-3.5, 49),
            (0, 51),
            (3.5, 49),
            (4, 36),
            (14, 31),
            (34, 32),
            (33, 27),
            (15, 20),
            (15, 10),
            (0, 14),
        ],
        float,
    )
    if 0.15 < step < 0.75:
        reach = 1 - 0.55 * abs(step - 0.45) / 0.3
        arch[[2, 3, 11, 12], 0] *= reach
    else:
        arch = arch[5:10] * np.array((1.4, 1))
    fill(hu, grid, spline(arch + np.array((0, y)), 120, closed=True), CORTEX - 120)
    fill(hu, grid, spline(arch * (0.93, 1) + (0, y), 120, closed=True), MARROW + 120, 0.6)
    fill(hu, grid, ellipse(0, y + 20, 11, 8.5), 0)
    fill(hu, grid, ellipse(0, y + 20, 6, 5), 38)


def vessels_at(body: Body, z: float) -> list[tuple[list[np.ndarray], float]]:
    """Great vessels cut at z, each as outlines and the Hounsfield units of its blood."""
    h, d = body.height, body.half_depth
    full, part = 40 + body.contrast, 40 + 0.8 * body.contrast
    # fmt: off
    aorta = [(-2, -0.02 * d, 0.58 * h, 16), (-10, -0.2 * d, 0.5 * h, 16), (-15, -0.3 * d, 0.4 * h, 16),
             (-9, -0.24 * d, 0.315 * h, 15), (8, 0.0, 0.285 * h, 13.5), (22, 0.26 * d, 0.305 * h, 13),
             (26, 0.5 * d, 0.37 * h, 12.5), (24, 0.56 * d, 0.6 * h, 12), (14, 0.5 * d, 1.02 * h, 11.5)]
    trunk = [(14, -0.3 * d, 0.57 * h, 14), (20, -0.34 * d, 0.5 * h, 14.5), (22, -0.22 * d, 0.44 * h, 14),
             (30, 0.0, 0.405 * h, 12), (44, 0.14 * d, 0.405 * h, 10), (52, 0.2 * d, 0.45 * h, 7.5)]
    right = [(18, -0.14 * d, 0.445 * h, 12), (0, -0.02 * d, 0.44 * h, 10.5), (-24, 0.02 * d, 0.445 * h, 10.5),
             (-40, 0.04 * d, 0.455 * h, 9), (-50, 0.12 * d, 0.49 * h, 7)]
    cava = [(-30, -0.38 * d, 0.08 * h, 7), (-26, -0.3 * d, 0.22 * h, 8.5), (-28, -0.22 * d, 0.35 * h, 9.5),
            (-27, -0.12 * d, 0.54 * h, 10)]
    innominate = [(36, -0.42 * d, 0.1 * h, 6), (26, -0.46 * d, 0.2 * h, 7), (0, -0.46 * d, 0.235 * h, 6.5),
                  (-24, -0.34 * d, 0.25 * h, 7)]
    arteries = [[(-13, -0.1 * d, 0.02 * h, 5.5), (-10, -0.2 * d, 0.28 * h, 7)],
                [(13, -0.1 * d, 0.02 * h, 3.6), (9, -0.04 * d, 0.28 * h, 4.4)],
                [(26, 0.1 * d, 0.02 * h, 4.2), (19, 0.14 * d, 0.29 * h, 5.2)]]
    # fmt: on
    lower = [(-26, 0.12 * d, 0.72 * h, 12), (-28, 0.14 * d, 1.0 * h, 13)]
    azygos = [(-9, 0.42 * d, 0.42 * h, 4), (-6, 0.46 * d, 0.95 * h, 3.5)]
    veins = [[(side * 20, 0.1 * d, 0.56 * h, 8), (side * 44, 0.16 * d, 0.58 * h, 6.5)] for side in (-1, 1)]
    plain = [(path, full) for path in (aorta, *arteries)] + [(path, part) for path in (trunk, right, *veins)]
    venous = [(path, 35 + 0.6 * body.contrast) for path in (cava, innominate, lower, azygos)]
    return [(tube(path, z), value) for path, value in plain + venous]


def heart_at(body: Body, z: float) -> list[tuple[np.ndarray | None, float]]:
    """Outlines of the heart muscle and its chambers at z; the apex points to the front and left."""
    h, d, k = body.height, body.half_depth, body.heart
    blood, muscle = 42 + body.contrast, 45 + 0.45 * body.contrast
    mid = 0.69 * h
    return [
        (ellipsoid((20 * k, -0.17 * d, mid), (58 * k, 41 * k, 0.2 * h), z, 0.5), muscle),
        (ellipsoid((34 * k, -0.08 * d, mid + 8), (45 * k, 31 * k, 0.19 * h), z, 0.75), muscle),
        (ellipsoid((-24 * k, -0.16 * d, mid - 4), (23 * k, 31 * k, 0.17 * h), z, 0.1), blood - 15),
        (ellipsoid((6, 0.13 * d, 0.595 * h), (36 * k, 19 * k, 0.09 * h), z), blood),
        (ellipsoid((40 * k, -0.07 * d, mid + 8), (31 * k, 17 * k, 0.14 * h), z, 0.75), blood),
        (ellipsoid((10 * k, -0.36 * d, mid), (33 * k, 14 * k, 0.15 * h), z, 0.45), blood - 15),
    ]


def airway_paths(body: Body) -> list[list[tuple[float, float, float, float]]]:
    """Windpipe and main bronchi as (x, y, z, lumen radius) paths."""
    h, d = body.height, body.half_depth
    return [
        [(0, -0.02 * d, -0.1 * h, 8.6), (-1, 0.1 * d, 0.25 * h, 8.6), (-1, 0.16 * d, 0.385 * h, 8.6)],
        [
            (-3, 0.16 * d, 0.375 * h, 7.5),
            (-20, 0.18 * d, 0.43 * h, 6.6),
            (-32, 0.2 * d, 0.48 * h, 5.2),
            (-40, 0.3 * d, 0.56 * h, 3.6),
        ],
        [(-24, 0.18 * d, 0.435 * h, 5), (-44, 0.12 * d, 0.425 * h, 3.6)],
        [
            (3, 0.16 * d, 0.375 * h, 7.2),
            (22, 0.2 * d, 0.44 * h, 6),
            (40, 0.24 * d, 0.49 * h, 5),
            (48, 0.34 * d, 0.56 * h, 3.4),
        ],
    ]


def domes_at(body: Body, z: float) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Cuts through the right dome (liver) and the left one (stomach and spleen) of the diaphragm."""
    h, w, d = body.height, body.half_width, body.half_depth
    right = ellipsoid(
        (-0.47 * w, -0.06 * d, 1.18 * h), (0.6 * w, 0.96 * d, (1.18 - body.dome[0]) * h), z, 0.0, 0.36
    )
    left = ellipsoid((0.5 * w, 0.0, 1.2 * h), (0.55 * w, 0.92 * d, (1.2 - body.dome[1]) * h), z, 0.0, 0.36)
    return right, left


def paint_mediastinum(hu: np.ndarray, grid: Grid, body: Body, t: float, z: float) -> np.ndarray:
    """Paint what lies between the lungs into `hu`; returns its coverage float32 (h, w)."""
    organs = np.zeros_like(hu)
    heart, blood, windpipe = heart_at(body, z), vessels_at(body, z), tube(airway_paths(body)[0], z)
    solid = [shape for shape, _ in heart] + [shape for shapes, _ in blood for shape in shapes[::3]]
    gullet = ellipse(7 + 6 * t, body.half_depth * profile(t, (0, 0.4, 1), (0.3, 0.38, 0.36)), 8, 6)
    spine = ellipse(0, body.half_depth * 0.72, 22, 20)
    foot = profile(t, (0, 0.25, 0.4, 0.6, 0.75, 1), (20, 13, 8, 7, 18, 52))
    back = profile(t, (0, 0.3, 0.42, 0.8, 1), (26, 20, 2.5, 3, 24))
    front = wall(body, 1, t)[-1, 1]
    rear = profile(t, (0, 0.3, 0.42, 0.78, 0.9), (0.0, 0.0, front + 30, front + 30, 0.0))
    thymus = np.array([(-foot, front - 4), (foot, front - 4), (back, rear), (-back, rear)])
    wide = profile(t, (0, 0.2, 0.4, 0.55, 0.7, 1), (14, 17, 27, 30, 16, 14))
    core = ellipse(2, 0.16 * body.half_depth, wide, 0.3 * body.half_depth)
    for shape in [*solid, *windpipe[::3], gullet, spine, thymus, core]:
        fill(organs, grid, shape, 1.0)
    reach = max(3, int(26 / grid.spacing) | 1)
    closed = cv2.morphologyEx(organs, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    soft = np.clip((blur(closed, 1.8 / grid.spacing) - 0.3) * 3.2, 0, 1)
    hu += (FAT + 15 - hu) * soft
    fill(hu, grid, gullet, 38)
    for shape, value in heart[:2]:
        fill(hu, grid, shape, value)
    for shapes, value in blood:
        for shape in shapes:
            fill(hu, grid, shape, value)
    for shape, value in heart[2:]:
        fill(hu, grid, shape, value)
    return soft


def paint_domes(hu: np.ndarray, grid: Grid, body: Body, z: float) -> np.ndarray:
    """Paint liver, stomach and spleen below the diaphragm; returns their coverage float32 (h, w)."""
    cover = np.zeros_like(hu)
    right, left = domes_at(body, z)
    for shape, value in ((right, 58 + 0.35 * body.contrast), (left, 35 + 0.3 * body.contrast)):
        fill(cover, grid, shape, 1.0)
        fill(hu, grid, shape, value)
    if left is not None:
        middle = left.mean(axis=0)
        fill(hu, grid, middle + (left - middle) * (0.5, 0.8) + (-12, 4), FAT, 0.35)
        fill(hu, grid, middle + (left - middle) * (0.62, 0.42) + (4, -22), 48 + 0.3 * body.contrast)
    return cover


def paint_pipes(hu: np.ndarray, grid: Grid, body: Body, z: float) -> None:
    """Windpipe and main bronchi: all walls first, then the air, so that branches join."""
    cuts = airway_paths(body)
    for shape in (shape for path in cuts for shape in tube([(x, y, w, r + 1.5) for x, y, w, r in path], z)):
        fill(hu, grid, shape, 25)
    for shape in (shape for path in cuts for shape in tube(path, z)):
        fill(hu, grid, shape, -990)


def lung_cover(grid: Grid, body: Body, t: float, between: np.ndarray) -> np.ndarray:
    """Coverage float32 (h, w) of both lungs: the cavities less the mediastinum and diaphragm."""
    cover = np.zeros((grid.size, grid.size), np.float32)
    if t < 0.01:
        return cover
    for side in (-1, 1):
        curve = wall(body, side, t)
        inner = np.array([(side * 3.0, curve[-1, 1] * 0.5), (0, 0), (side * 3.0, curve[0, 1] * 0.8)])
        fill(cover, grid, np.vstack([curve, inner]), 1.0)
    return cover * (1 - between)


def grow(rng: np.random.Generator, root: tuple, leaves: np.ndarray, radius: float) -> np.ndarray:
    """A binary tree from `root` to (2^k, 3) leaves -> rows (x, y, z, x, y, z, radius).

    Each branch heads for the middle of the leaves it serves, which are halved to its two sides
    (Kitaoka, Takaki and Suki, J Appl Physiol 1999: the airway divides with the volume it supplies).
    """
    groups, tips, course, rows = leaves[None], np.array([root], float), np.zeros((1, 3)), []
    depth = int(np.log2(len(leaves)))
    for level in range(depth + 1):
        middle = groups.mean(axis=1)
        step = 1.0 if level == depth else 0.4
        length = np.linalg.norm(middle - tips, axis=1, keepdims=True)
        steady = 0.0 if level in (0, depth) else 0.35
        aim = (1 - steady) * (middle - tips) + steady * length * course
        heads = tips + aim * step * rng.uniform(0.7, 1.2, (len(tips), 1))
        way = heads - tips
        bend = tips + way * 0.5 + rng.normal(0, 0.05, way.shape) * np.linalg.norm(way, axis=1, keepdims=True)
        r = np.full((len(tips), 1), radius * 2 ** (-level / 2.85)) * rng.uniform(0.75, 1.2, (len(tips), 1))
        rows += [np.hstack([tips, bend, r]), np.hstack([bend, heads, r * 0.93])]
        if level == depth:
            break
        course = way / np.linalg.norm(way, axis=1, keepdims=True)
        tries = np.cross(course[:, None], rng.standard_normal((len(groups), 5, 3)))
        tries /= np.linalg.norm(tries, axis=2, keepdims=True)
        keys = tries @ groups.transpose(0, 2, 1)
        widest = np.ptp(keys, axis=2).argmax(axis=1)
        order = np.argsort(keys[np.arange(len(groups)), widest], axis=1, kind="stable")
        groups = np.take_along_axis(groups, order[:, :, None], axis=1).reshape(2 * len(groups), -1, 3)
        tips, course = np.repeat(heads, 2, axis=0), np.repeat(course, 2, axis=0)
    return np.vstack(rows)


def leaves_of(rng: np.random.Generator, body: Body, side: int, n: int) -> np.ndarray:
    """n points (n, 3) spread through one lung, clear of the pleura, heart and diaphragm."""
    u = rng.uniform((0.0, -1.0, 0.03), (1.0, 1.0, 1.0), (n * 5, 3))
    wide = np.interp(u[:, 2], (0, 0.2, 0.4, 0.7, 1), (0.34, 0.78, 0.93, 1, 1))
    x, y, z = u[:, 0] * body.half_width * wide, u[:, 1] * body.half_depth * wide, u[:, 2] * body.height
    k = body.heart
    heart = ((side * x - 20 * k) / (62 * k)) ** 2 + ((y + 0.15 * body.half_depth) / (48 * k)) ** 2
    heart += ((z - 0.69 * body.height) / (0.22 * body.height)) ** 2
    dome = ((x - 0.48 * body.half_width) / (0.62 * body.half_width)) ** 2 + (y / (0.93 * body.half_depth)) ** 2
    dome += ((z - 1.19 * body.height) / ((1.19 - body.dome[side > 0]) * body.height)) ** 2
    fits = (u[:, 0] ** 2.4 + np.abs(u[:, 1]) ** 2.4 < 0.9) & (x > 24) & (heart > 1) & (dome > 1)
    return np.stack([side * x, y, z], axis=1)[fits][:n]


def trees(rng: np.random.Generator, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Rows of all vessels (arteries and veins of both lungs) and of the airways that go with the arteries."""
    h, d, vessels, airways = body.height, body.half_depth, [], []
    for side in (-1, 1):
        hilum = (side * 46, 0.14 * d, (0.46 if side < 0 else 0.44) * h)
        arteries = grow(rng, hilum, leaves_of(rng, body, side, 4096), 6.6)
        veins = grow(rng, (side * 40, 0.1 * d, 0.56 * h), leaves_of(rng, body, side, 2048), 5.8)
        pipes = arteries[arteries[:, 6] > 0.55].copy()
        pipes[:, [1, 2, 4, 5]] += pipes[:, 6:] * (1.1, -0.9, 1.1, -0.9)
        pipes[:, 6] *= 0.6
        vessels += [arteries, veins]
        airways.append(pipes)
    return np.vstack(vessels), np.vstack(airways)


def fissures(grid: Grid, body: Body, z: float) -> np.ndarray:
    """Coverage of the oblique fissures, faint lines that move forward with the level."""
    lines = np.zeros((grid.size, grid.size), np.float32)
    t = z / body.height
    for side in (-1, 1):
        y = body.half_depth * (0.62 - 1.25 * (t - 0.25) + 0.06 * side)
        x = side * np.linspace(0.2, 1.0, 24) * body.half_width
        bow = y + 9 * np.sin(np.linspace(0, np.pi, 24)) * (1 if t > 0.5 else -0.6)
        line = np.stack([x, bow], axis=1)
        fill(lines, grid, np.vstack([line - (0, 0.5), line[::-1] + np.array((0, 0.5))]), 1.0)
    return lines
