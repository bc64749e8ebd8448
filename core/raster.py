"""PNG, JPEG, TIFF, BMP and WebP through Pillow: every mode to display grey 0..255."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from core.errors import ImageError
from core.limits import UNREADABLE, Budget, in_words
from core.slices import Slice

COLOUR_SPREAD = 32
"""Levels by which the channels of a coloured pixel differ; JPEG noise on grey stays below."""
COLOUR_SHARE = 0.01
"""Share of coloured pixels from which a picture is called coloured."""

_ORIENTATION = 0x0112  # EXIF tag
_SCALES = ((255, "8-bit"), (4095, "12-bit"))


def iter_raster(data: bytes, name: str, kind: str, budget: Budget) -> Iterator[Slice | ImageError]:
    """Slices of a picture: one, or for a TIFF one a page. `kind` is the format that the magic bytes say."""
    with Image.open(io.BytesIO(data), formats=[kind.upper()]) as image:
        if kind == "TIFF":
            yield from _pages(image, name, budget)
            return
        budget.reserve(name, image.height, image.width)
        notes = []
        if getattr(image, "n_frames", 1) > 1:
            notes.append("This file holds several pictures; only the first was read.")
        if kind == "PNG" and data[24] == 16 and image.mode in ("RGB", "RGBA", "LA"):
            notes.append("The 16-bit colours of this file were read with 8 bits.")
        yield _slice(image, name, kind, None, notes)


def _pages(image: Image.Image, name: str, budget: Budget) -> Iterator[Slice | ImageError]:
    """A TIFF's pages; sizes are read from all page headers before the first page is decoded."""
    sizes = []
    while len(sizes) <= budget.limits.frames:
        try:
            image.seek(len(sizes))
        except EOFError:
            break
        sizes.append((image.height, image.width))
    if len(sizes) > budget.limits.frames:
        budget.reserve(name, 1, 1, len(sizes))
    for page, (height, width) in enumerate(sizes):
        try:
            budget.reserve(name, height, width)
            image.seek(page)
            notes = []
            if image.mode in ("RGB", "RGBA") and 16 in image.tag_v2.get(258, ()):  # BitsPerSample
                notes.append("The 16-bit colours of this file were read with 8 bits.")
            yield _slice(image, name, "TIFF", page if len(sizes) > 1 else None, notes)
        except ImageError as error:
            yield error
        except UNREADABLE as error:
            yield _damaged(error, name, "TIFF", f" at page {page + 1}")


def _slice(image: Image.Image, name: str, kind: str, frame: int | None, notes: list[str]) -> Slice:
    """Decode one picture whose size has been checked."""
    try:
        image.load()
        pixels, colour = _grey(image, name, notes)
        pixels = _upright(pixels, image.getexif().get(_ORIENTATION, 1))
    except UNREADABLE as error:
        raise _damaged(error, name, kind) from None
    return Slice(np.ascontiguousarray(pixels), "grey", name, frame, warnings=tuple(notes), colour=colour)


def _damaged(error: Exception, name: str, kind: str, where: str = "") -> ImageError:
    """Pillow's complaint in the package's words."""
    if "truncated" in str(error):
        return ImageError(name, f"a truncated {kind} picture{where}", "a complete file")
    return in_words(error, name, f"a {kind} picture{where}")


def _grey(image: Image.Image, name: str, notes: list[str]) -> tuple[np.ndarray, float]:
    """(h, w) uint8, or float32 0..255 for numbers of more than 8 bits, and the share of coloured pixels.

    Adds what happened to `notes`.
    """
    if image.mode.startswith(("I", "F")):
        return _scaled(np.asarray(image), name, notes), 0.0
    if image.mode in ("1", "L") and "transparency" not in image.info:
        return np.asarray(image.convert("L")), 0.0
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, rgba)
    colours = image.convert("RGB")
    red, green, blue = np.moveaxis(np.asarray(colours), -1, 0)
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    colour = float(np.mean(spread > COLOUR_SPREAD))
    if colour > COLOUR_SHARE:
        notes.append("This is a colour picture; a CT slice is grey.")
    return np.asarray(colours.convert("L")), colour


def _scaled(numbers: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    """Numbers of 16 or 32 bits -> float32 0..255, linear, in one scale for the whole picture."""
    if not np.isfinite(numbers).all():
        raise ImageError(name, "values that are not finite numbers", "finite pixel values")
    low, high = float(numbers.min()), float(numbers.max())
    if numbers.dtype.kind == "f" or low < 0 or high > 65535:
        notes.append(f"The pixel values have no known scale; {low:g} to {high:g} became black to white.")
    else:
        low, full = 0.0, 65535
        for scale, words in _SCALES:
            if high <= scale:
                full = scale
                notes.append(f"No value of this 16-bit picture exceeds {scale}; it was read as {words}.")
                break
        high = float(full)
    grey = numbers.astype(np.float64)
    grey -= low
    grey *= 255.0 / (high - low if high > low else 1.0)
    return np.clip(grey, 0, 255, out=grey).astype(np.float32)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the camera's rotation, EXIF 2.32 tag 274: 5 to 8 swap rows and columns, then the two flips."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.T
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
