"""A slice of any kind -> the small grey picture that the network sees.

One function, `prepare`, serves training, evaluation, the command line and the browser. What it does is
chosen by a `PreprocessConfig`, which travels with every run:

paper  display grey, shorter side resized, centre crop: the paper's torchvision transforms
lung   find the lung field, crop to it, and bring every slice to the same grey levels: real Hounsfield
       units through one window, display grey by mapping the slice's own lung and soft-tissue levels to
       where that window puts them. Slices of every source and window then look alike.

The three channels and ImageNet's mean and standard deviation are the first step of the network itself
(core.model), so that an exported model cannot be fed with another normalisation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from core.errors import ConfigError
from core.overlay import display_grey
from core.slices import LUNG_WINDOW, Slice, window

SEARCH_SIZE = 256
"""Longest side, in pixels, of the copy in which the lung field is looked for."""

MIN_LUNG_SHARE = 0.008
"""Least share of the picture that a lung field covers; below it, the dark parts are taken for something else."""

MIN_CONTRAST = 12.0
"""Least distance of lung and soft tissue, in grey levels of 255; below it their levels are not mapped."""

NO_LUNG_FIELD = "No lung field was found, so the whole slice was used."


@dataclass(frozen=True)
class PreprocessConfig:
    """How slices become network inputs. Sizes in pixels, window in Hounsfield units.

    size            side of the square that the network sees
    resize          paper: the shorter side before the centre crop
    margin          lung: share of the lung field's box added on each side
    window_center, window_width   the window for slices in Hounsfield units
    lung_hu, soft_hu   lung: the Hounsfield units that a display slice's lung and soft-tissue levels stand for
    """

    pipeline: str = "lung"
    size: int = 224
    resize: int = 256
    margin: float = 0.05
    window_center: float = LUNG_WINDOW[0]
    window_width: float = LUNG_WINDOW[1]
    lung_hu: float = -870.0
    soft_hu: float = 40.0

    def __post_init__(self) -> None:
        if self.pipeline not in ("paper", "lung"):
            raise ConfigError("pipeline", repr(self.pipeline), "'paper' or 'lung'")
        if self.size < 1:
            raise ConfigError("size", f"{self.size} pixels", "1 or more")
        if self.pipeline == "paper" and self.resize < self.size:
            raise ConfigError("resize", f"{self.resize} pixels", f"at least size, {self.size} pixels")
        if not 0 <= self.margin <= 1:
            raise ConfigError("margin", str(self.margin), "a share from 0 to 1")
        if self.window_width <= 0 or self.soft_hu <= self.lung_hu:
            raise ConfigError("window", "no width or levels out of order", "width > 0 and soft_hu > lung_hu")


@dataclass(frozen=True)
class Box:
    """The part of a slice that the network saw, in pixels of that slice; it lies within the slice."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """A network input: `image` (size, size) uint8, the `box` it shows, and what a reader should know.

    `lung_found` is None where no lung field is looked for. `inner` is (top, left, height, width), in pixels of
    `image`, of what is shown without reach: all of it where there is none. `lungs` is a mask like `image`, 1
    where the lungs lie: only of pictures with reach, and only where a lung field was found. `aspect` is the width
    of the lung field by its height, None without one.
    """

    image: np.ndarray
    box: Box
    lung_found: bool | None
    inner: tuple[float, float, float, float]
    warnings: tuple[str, ...] = ()
    lungs: np.ndarray | None = None
    aspect: float | None = None


@dataclass(frozen=True, eq=False)
class LungField:
    """Where the lungs are, and the grey levels of the slice they were found in.

    mask        (h, w) bool, of the searched copy: both lungs, closed over vessels and small lesions
    box         the mask's bounding box, in pixels of the slice
    lung_level, soft_level   typical values of aerated lung and of soft tissue, in the slice's own unit
    """

    mask: np.ndarray
    box: Box
    lung_level: float
    soft_level: float


def prepare(slice_: Slice, config: PreprocessConfig, reach: float = 0.0) -> Prepared:
    """The network input for one slice.

    `reach` widens the picture by that share of the box on each side (as far as the slice goes), with the
    size growing alike: training cuts its shifted and scaled views out of it.
    """
    if config.pipeline == "paper":
        return _prepare_paper(slice_, config)
    return _prepare_lung(slice_, config, reach)


def _prepare_paper(slice_: Slice, config: PreprocessConfig) -> Prepared:
    grey = display_grey(slice_.pixels, slice_.unit, config.window_center, config.window_width)
    height, width = grey.shape
    side = min(height, width) * config.size / config.resize
    box = _within(Box(round((height - side) / 2), round((width - side) / 2), round(side), round(side)), grey.shape)
    size = config.size
    return Prepared(_resize(_cut(grey, box), size, size), box, None, (0, 0, size, size))


def _prepare_lung(slice_: Slice, config: PreprocessConfig, reach: float) -> Prepared:
    field = find_lung_field(slice_)
    if field is None:
        height, width = slice_.pixels.shape
        box, size = Box(0, 0, height, width), config.size
        grey = display_grey(slice_.pixels, slice_.unit, config.window_center, config.window_width)
        return Prepared(_resize(grey, size, size), box, False, (0, 0, size, size), (NO_LUNG_FIELD,))
    share = config.margin + reach * (1 + 2 * config.margin)
    box = widen(field.box, share, slice_.pixels.shape)
    inner = widen(field.box, config.margin, slice_.pixels.shape)
    rows = round(config.size * box.height / inner.height)
    columns = round(config.size * box.width / inner.width)
    grey = _harmonised(_cut(slice_.pixels, box), slice_.unit, field, config)
    per_row, per_column = rows / box.height, columns / box.width
    shown = (
        (inner.top - box.top) * per_row,
        (inner.left - box.left) * per_column,
        inner.height * per_row,
        inner.width * per_column,
    )
    lungs = _lungs_in(field, slice_.pixels.shape, box, rows, columns) if reach else None
    aspect = field.box.width / field.box.height
    return Prepared(_resize(grey, rows, columns), box, True, shown, lungs=lungs, aspect=aspect)


def lungs_in(slice_: Slice, prepared: Prepared) -> np.ndarray | None:
    """uint8 like `prepared.image`, 1 where the lungs lie; None where no lung field is found."""
    field = find_lung_field(slice_)
    if field is None:
        return None
    return _lungs_in(field, slice_.pixels.shape, prepared.box, *prepared.image.shape)


def lung_hull(lungs: np.ndarray) -> np.ndarray:
    """Bool like the mask `lungs`: their convex hull, a little wider; nothing where there are none."""
    places = np.argwhere(lungs)
    if not len(places):
        return np.zeros(lungs.shape, bool)
    outline = cv2.convexHull(places[:, ::-1].astype(np.int32))
    edge = 2 * round(0.01 * max(lungs.shape)) + 1
    hull = cv2.fillPoly(np.zeros(lungs.shape, np.uint8), [outline], 1)
    return cv2.dilate(hull, np.ones((edge, edge), np.uint8)) > 0


def _lungs_in(field: LungField, shape: tuple[int, int], box: Box, rows: int, columns: int) -> np.ndarray:
    """uint8 (rows, columns): the lung mask in the part of the slice that `box` shows."""
    mask = cv2.resize(field.mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
    return cv2.resize(_cut(mask, box), (columns, rows), interpolation=cv2.INTER_NEAREST)


def _harmonised(pixels: np.ndarray, unit: str, field: LungField, config: PreprocessConfig) -> np.ndarray:
    """uint8 (h, w): Hounsfield units through the window; display grey as if its levels had gone through it."""
    center, width = config.window_center, config.window_width
    if unit == "hu":
        return window(pixels, center, width)
    if pixels.dtype == np.uint8:
        levels = np.arange(256, dtype=np.float32)
        return cv2.LUT(pixels, _harmonised(levels, unit, field, config).reshape(1, 256))
    dark, bright, dark_hu, bright_hu = field.lung_level, field.soft_level, config.lung_hu, config.soft_hu
    if bright - dark < MIN_CONTRAST:
        dark, bright, dark_hu, bright_hu = 0.0, 255.0, center - width / 2, center + width / 2
    scale = (bright_hu - dark_hu) / (bright - dark)
    return window((pixels.astype(np.float32) - dark) * scale + dark_hu, center, width)


def find_lung_field(slice_: Slice) -> LungField | None:
    """The lungs of an axial chest slice, or None where no dark region looks like one.

    Works on any window and on tight crops: the slice is split into dark and bright by Otsu's threshold
    (of its central part, so that table, padding and borders do not count); dark regions that leave the
    picture through a corner or along a good part of its border are air; what stays and is large is lung.
    """
    pixels = slice_.pixels
    shape = pixels.shape
    scale = min(1.0, SEARCH_SIZE / max(shape))
    size = (max(1, round(shape[1] * scale)), max(1, round(shape[0] * scale)))
    values = np.clip(pixels, -1024, 600) if slice_.unit == "hu" else pixels
    small = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    low, high = float(small.min()), float(small.max())
    if high - low < MIN_CONTRAST or min(size) < 16:
        return None
    small8 = ((small - low) * (255 / (high - low))).astype(np.uint8)
    dark = _dark(small8)
    body = _body(dark)
    lungs = _lungs(dark, body)
    if lungs is None:
        return None
    closed = _close(lungs)
    lung_level, soft_level = _levels(small, lungs, dark, closed)
    top, left, height, width = _both_sides(_bounds(closed), _bounds(body))
    box = Box(int(top / scale), int(left / scale), int(np.ceil(height / scale)), int(np.ceil(width / scale)))
    return LungField(closed.astype(bool), _within(box, shape), lung_level, soft_level)


def widen(box: Box, share: float, shape: tuple[int, int]) -> Box:
    """The box with `share` of its height and width added on each side, cut where the slice ends."""
    rows, columns = round(box.height * share), round(box.width * share)
    return _within(Box(box.top - rows, box.left - columns, box.height + 2 * rows, box.width + 2 * columns), shape)


def _dark(small8: np.ndarray) -> np.ndarray:
    """uint8 mask (h, w) of what is darker than Otsu's threshold of the picture's central ellipse."""
    blurred = cv2.GaussianBlur(small8, (3, 3), 0)
    height, width = small8.shape
    central = np.zeros_like(small8)
    cv2.ellipse(central, (width // 2, height // 2), (int(width * 0.42), int(height * 0.42)), 0, 0, 360, 1, -1)
    threshold, _ = cv2.threshold(blurred[central > 0].reshape(1, -1), 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return (blurred <= threshold).astype(np.uint8)


def _lungs(dark: np.ndarray, body: np.ndarray) -> np.ndarray | None:
    """uint8 mask of the dark regions that are lung: large, closed off by the body, at most three."""
    height, width = dark.shape
    marks, areas = _regions(dark)
    border = np.concatenate([marks[0], marks[-1], marks[:, 0], marks[:, -1]])
    contact = np.bincount(border, minlength=len(areas))
    corners = {int(marks[r, c]) for r in (0, -1) for c in (0, -1)}
    found = {}
    for mark in map(int, np.flatnonzero(areas >= 0.004 * height * width)):
        outside = mark in corners or contact[mark] > 1.6 * np.sqrt(areas[mark])
        if not outside and _enclosed(marks == mark, dark, body):
            found[mark] = int(areas[mark])
    largest = max(found.values(), default=0)
    keep = sorted((m for m in found if found[m] > 0.08 * largest), key=lambda m: -found[m])[:3]
    mask = _chosen(marks, keep, len(areas))
    return mask if cv2.countNonZero(mask) >= MIN_LUNG_SHARE * height * width else None


def _body(dark: np.ndarray) -> np.ndarray:
    """uint8 mask of the large bright regions, thin bright things (table, blanket) cut off."""
    bright = cv2.morphologyEx(1 - dark, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    marks, areas = _regions(bright)
    body = _chosen(marks, np.flatnonzero(areas >= max(1, 0.1 * areas.max())), len(areas))
    return cv2.dilate(body, np.ones((5, 5), np.uint8)) & (1 - dark)


def _regions(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int32 (h, w): the mark, from 1, of the connected region around each pixel; and the marks' areas, [0] being 0.

    OpenCV's own statistics of regions take twice as long as finding them.
    """
    count, marks = cv2.connectedComponents(mask, connectivity=4)
    areas = np.bincount(marks.ravel(), minlength=count)
    areas[0] = 0
    return marks, areas


def _chosen(marks: np.ndarray, keep: Sequence[int], count: int) -> np.ndarray:
    """uint8 mask of the regions whose mark is among `keep`."""
    table = np.zeros(count, np.uint8)
    table[list(keep)] = 1
    return table.take(marks)


def _enclosed(region: np.ndarray, dark: np.ndarray, body: np.ndarray) -> bool:
    """Whether most of what is bright around the region is body: true of lungs, not of air above a table."""
    reach = 4
    region = region.view(np.uint8)
    top, left, height, width = _bounds(region)
    near = np.s_[max(0, top - reach) : top + height + reach, max(0, left - reach) : left + width + reach]
    ring = cv2.dilate(region[near], np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) & (1 - dark[near])
    bright = cv2.countNonZero(ring)
    return bright > 0 and cv2.countNonZero(ring & body[near]) / bright > 0.7


def _close(lungs: np.ndarray) -> np.ndarray:
    """The lung mask closed over vessels and lesions, its holes filled."""
    radius = max(2, round(max(lungs.shape) * 0.02))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    padded = cv2.copyMakeBorder(lungs, radius, radius, radius, radius, cv2.BORDER_CONSTANT, value=0)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[radius:-radius, radius:-radius].copy()
    contours, _ = cv2.findContours(closed, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(closed, contours, -1, 1, -1)


def _levels(small: np.ndarray, lungs: np.ndarray, dark: np.ndarray, closed: np.ndarray) -> tuple[float, float]:
    """Typical grey of aerated lung (lower quartile: disease brightens it) and of soft tissue (median)."""
    core = cv2.erode(lungs, np.ones((3, 3), np.uint8))
    lung = small[core > 0] if core.any() else small[lungs > 0]
    top, left, height, width = _bounds(closed)
    inside = np.s_[top : top + height, left : left + width]
    soft = small[inside][dark[inside] == 0]
    soft_level = float(np.median(soft)) if soft.size else float(small.max())
    return float(np.percentile(lung, 25)), soft_level


def _both_sides(lungs: tuple[int, int, int, int], body: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """The lungs' box; where only one lung was aerated, mirrored at the body's middle to show the other side."""
    top, left, height, width = lungs
    if width >= 1.05 * height:
        return lungs
    twice_middle = 2 * body[1] + body[3]
    right = left + width
    left, right = min(left, twice_middle - right), max(right, twice_middle - left)
    return top, max(0, left), height, right - max(0, left)


def _bounds(mask: np.ndarray) -> tuple[int, int, int, int]:
    left, top, width, height = cv2.boundingRect(mask)
    return top, left, height, width


def _within(box: Box, shape: tuple[int, int]) -> Box:
    top, left = max(0, min(box.top, shape[0] - 1)), max(0, min(box.left, shape[1] - 1))
    bottom = min(shape[0], max(top + 1, box.top + box.height))
    right = min(shape[1], max(left + 1, box.left + box.width))
    return Box(top, left, bottom - top, right - left)


def _cut(pixels: np.ndarray, box: Box) -> np.ndarray:
    return pixels[box.top : box.top + box.height, box.left : box.left + box.width]


def _resize(grey: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Area averaging where the picture shrinks (no aliasing), linear where it grows."""
    shrinks = rows < grey.shape[0] or columns < grey.shape[1]
    return cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
