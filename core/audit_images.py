"""What an image set's files are and look like: size, mode, brightness, contrast, sharpness, a small copy."""

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

from core.errors import ImageError
from core.images import HEAD_BYTES, iter_slices, kind_of, read_file
from core.limits import UNREADABLE
from core.overlay import display_grey
from core.preprocess import PreprocessConfig, prepare

if TYPE_CHECKING:
    import pandas as pd

THUMBNAIL = 96
"""Side of the small copy in pixels; proportions are not kept, so that resized copies stay alike."""

FACTS = ("format", "mode", "width", "height", "size", "aspect", "brightness", "contrast", "sharpness", "error")
"""Columns that `look` gives each image; `error` is empty where it could be read, the others are then missing.

size        square root of width times height, pixels
aspect      width over height
brightness  mean of the grey levels, 0 to 255 (Hounsfield units through the lung window)
contrast    standard deviation of the grey levels
sharpness   standard deviation of the Laplacian, grey levels a pixel squared (Pech-Pacheco et al. 2000, ICPR,
            "Diatom autofocusing in brightfield microscopy", have its square); flat or blurred pictures are low
"""

PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
"""Of the grey levels, kept for the source probe beside mean and standard deviation."""

MODES = {
    "1": "1-bit grey",
    "L": "8-bit grey",
    "LA": "8-bit grey, alpha",
    "P": "8-bit palette",
    "RGB": "8-bit colour",
    "RGBA": "8-bit colour, alpha",
    "CMYK": "8-bit CMYK",
    "YCbCr": "8-bit colour",
    "F": "32-bit real",
    "I": "32-bit whole",
}
"""Pillow's modes in words; those that start with I;16 are 16-bit grey."""

VIEW = PreprocessConfig(size=32)
"""How the recipe `lung` shows a slice: cropped to the lung field and brought to fixed grey levels."""


@dataclass(frozen=True, eq=False)
class Looks:
    """What was seen of n images, in the table's order; rows that could not be read are zero.

    facts   one row per image, columns FACTS
    small   uint8 (n, THUMBNAIL, THUMBNAIL)
    levels  float32 (n, 2 + len(PERCENTILES)): mean, standard deviation and percentiles of grey, 0 to 1
    views   uint8 (n, VIEW.size, VIEW.size): as the recipe `lung` shows the slice; zero where not asked for
    """

    facts: "pd.DataFrame"
    small: np.ndarray
    levels: np.ndarray
    views: np.ndarray


def look(
    paths: Sequence[str],
    wanted: np.ndarray,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Looks:
    """Read and measure each file once; a file that cannot be read, or holds several slices, is told as `error`.

    wanted    bool (n,): the images of which a view is made (this takes a third of the time)
    progress  called with (done, total) after each image, in the caller's thread; what it raises ends the work
    """
    import pandas as pd

    n = len(paths)
    small = np.zeros((n, THUMBNAIL, THUMBNAIL), np.uint8)
    levels = np.zeros((n, 2 + len(PERCENTILES)), np.float32)
    views = np.zeros((n, VIEW.size, VIEW.size), np.uint8)
    rows = []
    for place, seen in enumerate(_in_threads(paths, wanted)):
        facts, pictures = seen
        rows.append(facts)
        if pictures is not None:
            small[place], levels[place], views[place] = pictures
        progress(place + 1, n)
    return Looks(pd.DataFrame(rows, columns=list(FACTS)), small, levels, views)


def _in_threads(paths: Sequence[str], wanted: np.ndarray) -> Iterator[tuple]:
    pool = ThreadPoolExecutor()
    try:
        yield from pool.map(_look, paths, wanted.tolist())
    finally:
        pool.shutdown(cancel_futures=True)


def _look(path: str, wanted: bool) -> tuple[dict, tuple | None]:
    """The facts of one file and, where it could be read, its small copy, grey levels and view."""
    try:
        data = read_file(path)
        slices = iter_slices(data, path)
        only = next(slices, None)
        if isinstance(only, ImageError):
            raise only
        if only is None or next(slices, None) is not None:
            found = "no slice" if only is None else "several slices"
            raise ImageError(path, found, "one slice a file, as training and testing want it")
    except ImageError as error:
        return {"error": f"found {error.found}; expected {error.expected}"}, None
    grey = np.ascontiguousarray(display_grey(only.pixels, only.unit))
    height, width = grey.shape
    counts = np.bincount(grey.ravel(), minlength=256)
    mean = float(counts @ np.arange(256)) / grey.size
    deviation = float(np.sqrt(counts @ (np.arange(256) - mean) ** 2 / grey.size))
    shares = np.cumsum(counts) / grey.size
    percentiles = np.searchsorted(shares, np.array(PERCENTILES) / 100)
    kind, mode = _kind_and_mode(data)
    facts = {
        "format": kind,
        "mode": mode,
        "width": width,
        "height": height,
        "size": float(np.sqrt(width * height)),
        "aspect": width / height,
        "brightness": mean,
        "contrast": deviation,
        "sharpness": float(cv2.Laplacian(grey, cv2.CV_32F).std()),
        "error": "",
    }
    small = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    levels = np.array([mean, deviation, *percentiles], np.float32) / 255
    return facts, (small, levels, prepare(only, VIEW).image if wanted else 0)


def _kind_and_mode(data: bytes) -> tuple[str, str]:
    """As in ("PNG", "8-bit grey") or ("DICOM", "12-bit MONOCHROME2"), from the file's own header."""
    kind = kind_of(data[:HEAD_BYTES]) or ""
    if kind == "DICOM":
        return kind, _dicom_mode(data)
    if kind.startswith("NIfTI"):
        return kind, "volume"
    try:
        with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
            mode = image.mode
    except UNREADABLE:
        return kind, "unknown"
    if kind == "PNG" and data[24] == 16 and not mode.startswith("I"):  # Pillow reads 16-bit colour with 8 bits
        return kind, "16-bit colour"
    return kind, "16-bit grey" if mode.startswith("I;16") else MODES.get(mode, mode)


def _dicom_mode(data: bytes) -> str:
    import pydicom

    tags = ["BitsStored", "PhotometricInterpretation"]
    try:
        header = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=tags, force=True)
        return f"{header.BitsStored}-bit {header.PhotometricInterpretation}"
    except UNREADABLE:
        return "unknown"
