"""NIfTI volumes (.nii, .nii.gz): the header through nibabel, axial planes cut one at a time."""

import io
import math
import zlib
from collections.abc import Iterator
from functools import cache

import numpy as np

from core.errors import ImageError
from core.limits import Budget, inflate
from core.slices import Slice

AIR_HU = -1024
_HEADER_BYTES = 540  # of NIfTI-2, the longer one


@cache
def RAISES() -> tuple[type[Exception], ...]:
    """The exceptions of nibabel that derive from Exception alone."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.orientations import OrientationError
    from nibabel.spatialimages import HeaderDataError, HeaderTypeError, ImageDataError
    from nibabel.wrapstruct import WrapStructError

    headers = (HeaderDataError, HeaderTypeError, WrapStructError)
    return (*headers, ImageFileError, ImageDataError, OrientationError)


def iter_nifti(data: bytes, name: str, budget: Budget) -> Iterator[Slice | ImageError]:
    """Axial slices from feet to head, row 0 anterior, column 0 the patient's right; of 4D the first volume.

    The values are taken as Hounsfield units where their range is that of a CT with air in it (see `_is_hu`);
    below -1024 they are set to -1024. Otherwise they are grey, from the volume's least to its greatest value.
    """
    from nibabel.orientations import apply_orientation, io_orientation

    limit = budget.limits.archive_bytes
    packed = data[:2] == b"\x1f\x8b"
    header = _header(_inflate_head(data) if packed else data, name)
    shape, kind = _shape(header, name), header.get_data_dtype()
    affine = header.get_best_affine()
    if kind.kind not in "iuf" or kind.itemsize > 8:
        raise ImageError(name, f"NIfTI values of type {kind}", "whole or real numbers of at most 64 bits")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-12:
        raise ImageError(name, "an orientation matrix that is singular or not finite", "a usable one")
    if np.isinf([header["scl_slope"], header["scl_inter"]]).any():  # NaN stands for none
        raise ImageError(name, "an infinite slope or intercept", "finite ones")
    turn = io_orientation(affine)
    sides = [shape[int(np.flatnonzero(turn[:, 0] == axis)[0])] for axis in range(3)]
    budget.reserve(name, sides[1], sides[0], sides[2])
    start, needed = int(header.get_data_offset()), math.prod(shape) * kind.itemsize
    if packed and start + needed > limit:
        most = f"at most {limit:,} bytes when inflated"
        raise ImageError(name, f"a volume of {start + needed:,} bytes", most)
    data = inflate(data, 31, limit, name) if packed else data
    if start < 0 or start + needed > len(data):
        raise ImageError(name, f"{len(data):,} bytes", f"{start + needed:,} bytes, as its header says")
    stored = np.frombuffer(data, kind, math.prod(shape), start).reshape(shape, order="F")
    volume = apply_orientation(stored, turn)  # a view: x to the right, y to the front, z to the head
    yield from _cut(volume, header, _canonical(affine, turn, shape), name)


def _inflate_head(data: bytes) -> bytes:
    """The first bytes of a gzip file, enough for a header."""
    return zlib.decompressobj(31).decompress(data, _HEADER_BYTES)


def _header(head: bytes, name: str):
    """The header, read without nibabel's own checks: those write what they find to standard error."""
    from nibabel import Nifti1Header, Nifti2Header

    second = head[4:8] == b"n+2\0"
    if len(head) < (540 if second else 348):
        raise ImageError(name, "a NIfTI header that ends too early", "a complete file")
    return (Nifti2Header if second else Nifti1Header).from_fileobj(io.BytesIO(head), check=False)


def _shape(header, name: str) -> tuple[int, int, int]:
    """(i, j, k) of the first volume."""
    count = int(header["dim"][0])
    shape = tuple(int(side) for side in header["dim"][1 : 1 + count]) if 2 <= count <= 7 else ()
    if not shape or min(shape) < 1 or math.prod(shape[4:]) != 1:
        raise ImageError(name, f"NIfTI dimensions {shape}", "a volume of three or four dimensions")
    return (*shape, 1)[:3]


def _canonical(affine: np.ndarray, turn: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    from nibabel.orientations import inv_ornt_aff

    return affine @ inv_ornt_aff(turn, shape)


def _cut(volume: np.ndarray, header, affine: np.ndarray, name: str) -> Iterator[Slice | ImageError]:
    """Planes of a volume (x, y, z) in RAS order, decoded one at a time."""
    slope, intercept = header.get_slope_inter()
    slope, intercept = (1.0, 0.0) if slope is None else (float(slope), float(intercept))
    low, high = sorted(value * slope + intercept for value in _range(volume, name))
    if not math.isfinite(high - low):
        raise ImageError(name, "values too far apart for a scale of grey", "values of a picture")
    unit = "hu" if _is_hu(low, high) else "grey"
    notes = _notes(header, unit)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    middle = (np.array(volume.shape[:2]) - 1) / 2
    for frame in range(volume.shape[2]):
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            plane = volume[::-1, ::-1, frame].T.astype(np.float64) * slope + intercept
        position = float((affine @ [*middle, frame, 1])[2])
        if not np.isfinite(plane).all():
            yield ImageError(name, f"values at slice {frame + 1} that are not finite", "finite values")
            continue
        pixels = _hounsfield(plane) if unit == "hu" else _grey(plane, low, high)
        spacing = float(sizes[1]), float(sizes[0])
        yield Slice(np.ascontiguousarray(pixels), unit, name, frame, position, spacing, notes)


def _range(volume: np.ndarray, name: str) -> tuple[float, float]:
    """The least and the greatest finite stored value, read plane by plane."""
    lows, highs = [], []
    for plane in np.moveaxis(volume, 2, 0):
        finite = plane[np.isfinite(plane)]
        if finite.size:
            lows.append(float(finite.min()))
            highs.append(float(finite.max()))
    if not lows:
        raise ImageError(name, "no finite value at all", "finite values")
    return min(lows), max(highs)


def _is_hu(low: float, high: float) -> bool:
    """NIfTI names no unit: a CT of a chest has air (at most -500) and tissue (above 0), within 16 bits."""
    return -10_000 <= low <= -500 and 0 < high <= 32_767


def _hounsfield(plane: np.ndarray) -> np.ndarray:
    plane = np.maximum(plane, AIR_HU)
    return plane.astype(np.int16 if np.array_equal(plane, np.rint(plane)) else np.float32)


def _grey(plane: np.ndarray, low: float, high: float) -> np.ndarray:
    share = (plane - low) / (
        high - low if high > low else 1.0
    )  # 255 / range is infinite for the smallest of ranges
    return np.clip(255.0 * share, 0, 255).astype(np.float32)


def _notes(header, unit: str) -> tuple[str, ...]:
    notes = []
    if header["dim"][0] >= 4 and header["dim"][4] > 1:
        notes.append("This file holds several volumes; only the first was read.")
    if unit == "grey":
        notes.append("The values of this volume do not look like Hounsfield units; they were read as grey.")
    if not header["qform_code"] and not header["sform_code"]:
        notes.append("The file does not say how the patient lay; the orientation is a guess.")
    return tuple(notes)
