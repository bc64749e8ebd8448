"""DICOM files through pydicom: stored values to Hounsfield units or grey, frames to axial slices.

Of the patient's tags none is read: only the tags in `_TAGS` are parsed, and no value of a tag is ever
quoted but the modality. Values outside the scanned circle (padding) become air: Hounsfield units end at
-1024 below, and stored values that equal PixelPaddingValue are -1024 where they would be no plausible
Hounsfield units at all.
"""

import io
import logging
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

from core.dicom_pixels import Layout, coded_frames, frame_values, layout_of
from core.errors import ImageError
from core.limits import LIMITS, UNREADABLE, Budget, in_words, inflate
from core.slices import Slice

AIR_HU = -1024
HIGHEST_HU = 3071  # of 12 bits; metal may lie above, padding of a plausible value is left alone

_TAGS = (
    "SOPClassUID", "SeriesInstanceUID", "InstanceNumber", "Modality", "ImageType", "BurnedInAnnotation", "Rows",
    "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "RescaleSlope",
    "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "WindowCenter", "WindowWidth", "ImagePositionPatient",
    "ImageOrientationPatient", "SliceLocation", "PixelSpacing", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor", "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData", "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths", "PixelData",
)  # fmt: skip
_GROUPS = {  # where an enhanced multi-frame object keeps what a plain one has at its top, PS3.3 C.7.6.16
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "RescaleType": "PixelValueTransformationSequence",
    "WindowCenter": "FrameVOILUTSequence",
    "WindowWidth": "FrameVOILUTSequence",
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}
_DEFLATED = "1.2.840.10008.1.2.1.99"
_MODALITIES = ("CR", "DX", "MG", "MR", "NM", "OT", "PT", "RF", "SC", "US", "XA")
"""Those that a warning may name: the value of a tag is shown only where it is one of the standard's codes."""
_UNCLEAR = ("OT", "SC")
"""Other, and secondary capture: pictures of any kind, also of CT slices."""


@cache
def _pydicom():
    """pydicom, quiet: its warnings and log lines quote the values of tags, which may name a patient.

    Both are set once for the process, on first use: warnings.catch_warnings is not safe between threads.
    """
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
    return pydicom


@cache
def RAISES() -> tuple[type[Exception], ...]:
    """The exceptions of pydicom and its decoders that derive from Exception alone."""
    errors = _pydicom().errors
    return (errors.InvalidDicomError, errors.BytesLengthException)


@dataclass(frozen=True)
class Place:
    """Where a frame lies: `turn` brings it to the radiological view.

    turn      (transpose, flip rows, flip columns), applied in this order
    axial     None where the file does not say
    along     millimetres along the stack, towards the head for axial frames; None where unknown
    """

    turn: tuple[bool, bool, bool]
    axial: bool | None
    along: float | None


_AS_IT_IS = (False, False, False)


def iter_dicom(data: bytes, name: str, budget: Budget) -> Iterator[Slice | ImageError]:
    """Slices of a DICOM file, one a frame in the file's order; see `_values` for the units."""
    dataset = _read(data, name, pixels=True)
    layout = layout_of(dataset, name)
    budget.reserve(name, layout.rows, layout.columns, layout.frames)
    coded = coded_frames(dataset, layout)
    for frame in range(layout.frames):
        try:
            yield _slice(dataset, layout, name, frame, coded)
        except ImageError as error:
            yield error
        except (*UNREADABLE, *RAISES()) as error:
            where = f" at frame {frame + 1}" if layout.frames > 1 else ""
            yield in_words(error, name, f"DICOM pixel data{where}")


def series_key(data: bytes, name: str) -> tuple[str, float, float]:
    """(series, position, instance number) from the header; may raise ImageError, UNREADABLE or RAISES()."""
    dataset = _read(data, name, pixels=False)
    place = _place(dataset, 0)
    number = _number(dataset.get("InstanceNumber"))
    along = math.inf if place.along is None else place.along
    return f"series {dataset.get('SeriesInstanceUID', '')}", along, number or 0.0


def _read(data: bytes, name: str, pixels: bool):
    """The data set with the tags of `_TAGS` alone; a deflated one only after its length has been counted."""
    pydicom = _pydicom()
    stream = io.BytesIO(data)
    pydicom.filereader.read_preamble(stream, False)
    meta = pydicom.filereader._read_file_meta_info(stream)
    if meta.get("TransferSyntaxUID") == _DEFLATED:
        inflate(data[stream.tell() :], -15, LIMITS.archive_bytes, name)
    stream.seek(0)
    return pydicom.dcmread(stream, specific_tags=list(_TAGS), stop_before_pixels=not pixels)


def _slice(dataset, layout: Layout, name: str, frame: int, coded: Iterator[bytes]) -> Slice:
    stored, coloured = frame_values(dataset, layout, name, frame, coded)
    notes = _notes(dataset)
    if coloured:
        pixels, unit = np.clip(np.rint(stored), 0, 255).astype(np.uint8), "grey"
        notes.append("This DICOM file is a colour picture; its values are not Hounsfield units.")
    else:
        pixels, unit = _values(dataset, layout, stored, name, frame, notes)
    place = _place(dataset, frame)
    if place.axial is None and unit == "hu":
        notes.append("The file does not say how the patient lay; the slice was not turned.")
    if place.axial is False:
        notes.append("This is not an axial slice.")
    notes += _annotation(dataset)
    return Slice(
        np.ascontiguousarray(_turned(pixels, place.turn)),
        unit,
        name,
        frame if layout.frames > 1 else None,
        None if place.axial is False else place.along,
        _spacing(dataset, frame, place.turn[0]),
        tuple(notes),
        _machine(dataset),
    )


def _machine(dataset) -> str | None:
    """The modality where it is one of those that are surely not CT."""
    modality = dataset.get("Modality")
    return modality if modality in _MODALITIES and modality not in _UNCLEAR else None


def _values(
    dataset, layout: Layout, stored: np.ndarray, name: str, frame: int, notes: list[str]
) -> tuple[np.ndarray, str]:
    """(pixels, unit) of stored values: Hounsfield units of a CT with its rescale, else grey with a note."""
    if "ModalityLUTSequence" in dataset:
        raise ImageError(name, "a modality look-up table", "rescale slope and intercept")
    slope, intercept = _rescale(dataset, name, frame)
    modality = dataset.get("Modality")
    kind = str(_element(dataset, "RescaleType", frame) or "HU").strip().upper()
    if modality == "CT" and slope is not None and kind in ("HU", "HU_MOD"):
        if kind == "HU_MOD":
            notes.append("The Hounsfield units of this file are marked as modified.")
        return _hounsfield(dataset, layout, stored, slope, intercept), "hu"
    if modality != "CT":
        known = modality if modality in _MODALITIES else "unknown"
        notes.append(f"The modality of this file is {known}, not CT.")
    elif slope is None:
        notes.append("This CT file has no rescale slope and intercept; its values were read as grey.")
    else:
        notes.append("The values of this CT file are not Hounsfield units; they were read as grey.")
    values = stored * (1.0 if slope is None else slope)
    values += 0.0 if intercept is None else intercept
    return _windowed(dataset, layout, values, frame), "grey"


def _hounsfield(dataset, layout: Layout, stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """HU = slope * stored + intercept (PS3.3 C.11.1.1.2); int16 where they are whole and fit, else float32.

    MONOCHROME1 asks a screen to show low values white; the Hounsfield units stay what they are.
    """
    hu = stored * slope
    hu += intercept
    padding = _number(dataset.get("PixelPaddingValue"))
    if padding is not None and padding * slope + intercept > HIGHEST_HU:
        hu[layout.same_bits(stored, int(padding))] = AIR_HU
    np.maximum(hu, AIR_HU, out=hu)
    if hu.max() <= np.iinfo(np.int16).max and np.array_equal(hu, np.rint(hu)):
        return hu.astype(np.int16)
    if not np.isfinite(hu.astype(np.float32)).all():
        raise ValueError("rescaled values overflow")
    return hu.astype(np.float32)


def _windowed(dataset, layout: Layout, values: np.ndarray, frame: int) -> np.ndarray:
    """Grey 0..255 through the file's own first window, or from its least to its greatest value."""
    center, width = (_number(_element(dataset, key, frame)) for key in ("WindowCenter", "WindowWidth"))
    if center is not None and width is not None and width > 0:
        low, high = center - width / 2, center + width / 2
    else:
        low, high = float(values.min()), float(values.max())
    grey = values - low
    grey *= 255.0 / (high - low if high > low else 1.0)
    np.clip(grey, 0, 255, out=grey)
    if layout.photometric == "MONOCHROME1":
        np.subtract(255, grey, out=grey)
    if not np.isfinite(grey).all():
        raise ValueError("a window that is out of range")
    return np.rint(grey).astype(np.uint8) if layout.bits_allocated == 8 else grey.astype(np.float32)


def _rescale(dataset, name: str, frame: int) -> tuple[float | None, float | None]:
    """(slope, intercept), both None where the file has neither; ImageError for what cannot be a scale."""
    slope, intercept = (_element(dataset, key, frame) for key in ("RescaleSlope", "RescaleIntercept"))
    if slope is None and intercept is None:
        return None, None
    slope, intercept = _number(slope), _number(intercept)
    if slope is None or intercept is None or slope == 0:
        raise ImageError(
            name, "an unusable rescale slope or intercept", "two finite numbers, the slope other than 0"
        )
    return slope, intercept


def _notes(dataset) -> list[str]:
    """What is said of the whole file."""
    kinds = dataset.get("ImageType") or ()
    if "LOCALIZER" in ([kinds] if isinstance(kinds, str) else kinds):
        return ["This is a localiser (a scout view), not an axial slice."]
    return []


def _annotation(dataset) -> list[str]:
    """What is said of text in the pixels, PS3.3 table C.7-9; [] where they are declared free of it."""
    declared = str(dataset.get("BurnedInAnnotation") or "").strip().upper()
    if declared == "NO":
        return []
    if declared == "YES":
        return ["The file says that text, such as a name, is written into its picture; take care whom you show it."]
    return ["The file does not say whether text, such as a name, is written into its picture; look for it."]


def _place(dataset, frame: int) -> Place:
    """Position and orientation, PS3.3 C.7.6.2.1.1: x to the patient's left, y to the back, z to the head."""
    cosines = _numbers(_element(dataset, "ImageOrientationPatient", frame), 6)
    corner = _numbers(_element(dataset, "ImagePositionPatient", frame), 3)
    if cosines is None:
        location = _number(dataset.get("SliceLocation"))
        return Place(_AS_IT_IS, None, location if corner is None else float(corner[2]))
    along_row, along_column = cosines[:3], cosines[3:]
    normal = np.cross(along_row, along_column)
    if not 0.9 < np.linalg.norm(normal) < 1.1:
        return Place(_AS_IT_IS, None, None)
    main = int(np.argmax(np.abs(normal)))
    normal = normal * np.sign(normal[main])
    along = None if corner is None else float(corner @ normal)
    if main != 2:
        return Place(_AS_IT_IS, False, along)
    transpose = bool(abs(along_row[0]) < abs(along_row[1]))
    to_left, to_back = (along_column[0], along_row[1]) if transpose else (along_row[0], along_column[1])
    return Place((transpose, bool(to_back < 0), bool(to_left < 0)), True, along)


def _turned(pixels: np.ndarray, turn: tuple[bool, bool, bool]) -> np.ndarray:
    transpose, flip_rows, flip_columns = turn
    pixels = pixels.T if transpose else pixels
    pixels = pixels[::-1] if flip_rows else pixels
    return pixels[:, ::-1] if flip_columns else pixels


def _spacing(dataset, frame: int, transpose: bool) -> tuple[float, float] | None:
    spacing = _numbers(_element(dataset, "PixelSpacing", frame), 2)
    if spacing is None or spacing.min() <= 0:
        return None
    row, column = (float(value) for value in (spacing[::-1] if transpose else spacing))
    return row, column


def _element(dataset, keyword: str, frame: int):
    """A value from the frame's functional group, the shared one, or the top of the data set; else None."""
    group = _GROUPS[keyword]
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    for item in (*frames[frame : frame + 1], *shared[:1]):
        for inner in (item.get(group) or ())[:1]:
            if inner.get(keyword) is not None:
                return inner.get(keyword)
    return dataset.get(keyword)


def _number(value) -> float | None:
    """A finite number, the first of several; None for anything else."""
    if not isinstance(value, (str, bytes)) and hasattr(value, "__len__"):
        value = value[0] if len(value) else None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _numbers(value, count: int) -> np.ndarray | None:
    """`count` finite numbers (count,), or None."""
    try:
        numbers = np.array([float(part) for part in value], dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None
