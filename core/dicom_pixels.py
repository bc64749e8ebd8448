"""The pixel data of a DICOM file: checked against its header first, then decoded a frame at a time.

The decoders are those of imagecodecs (libjpeg-turbo, CharLS, OpenJPEG): GDCM was tried, and a damaged
JPEG ended the whole process with it. Run-length data are unpacked here, counted.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from core.errors import ImageError

_NATIVE = {  # transfer syntax: byte order
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.1.99": "<",
    "1.2.840.10008.1.2.2": ">",
}
_RLE = "1.2.840.10008.1.2.5"
_JPEG = tuple(f"1.2.840.10008.1.2.4.{process}" for process in (50, 51, 57, 70))
_JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
_JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91")
_COLOURS = ("RGB", "PALETTE COLOR", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_ICT", "YBR_RCT")
_ITEM = b"\xfe\xff\x00\xe0"  # begins each fragment of compressed pixel data
_FRAGMENTS = 100_000
_SUBSAMPLED = ("YBR_FULL_422", "YBR_PARTIAL_422")  # native: two luma bytes share one pair of chroma bytes


@dataclass(frozen=True)
class Layout:
    """How the pixel data are stored, PS3.3 C.7.6.3; all of it checked by layout_of."""

    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: bool
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame that is not compressed."""
        samples = 2 if self.photometric in _SUBSAMPLED and self.syntax in _NATIVE else self.samples
        return self.rows * self.columns * samples * (self.bits_allocated // 8)

    def number(self, cells: np.ndarray) -> np.ndarray:
        """Cells of any integer type -> the numbers in their stored bits, sign and all, without the rest."""
        numbers = cells.astype(np.int64)
        numbers <<= 63 - self.high_bit
        shifted = numbers if self.signed else numbers.view(np.uint64)
        shifted >>= shifted.dtype.type(64 - self.bits_stored)
        return numbers

    def same_bits(self, numbers: np.ndarray, value: int) -> np.ndarray:
        """Where numbers equal the number that `value` is once written into the stored bits."""
        return numbers == self.number(np.array([value << (self.high_bit + 1 - self.bits_stored)]))[0]


def layout_of(dataset, name: str) -> Layout:
    """The layout that the header states; ImageError where it is incomplete or at odds with the data."""
    syntax = str(dataset.file_meta.get("TransferSyntaxUID", ""))
    if "PixelData" not in dataset:
        raise ImageError(name, f"a DICOM file without pixel data ({_sop_class(dataset)})", "a DICOM image")
    if syntax not in (*_NATIVE, _RLE, *_JPEG, *_JPEG_LS, *_JPEG_2000):
        raise ImageError(name, f"the transfer syntax {_known(syntax)}", "an uncompressed, RLE or JPEG one")
    bits = _whole(dataset, "BitsAllocated", name, (8, 16, 32))
    stored = _whole(dataset, "BitsStored", name, range(1, bits + 1))
    native = syntax in _NATIVE
    photometric = str(dataset.get("PhotometricInterpretation", "")).strip()
    if photometric not in ("MONOCHROME1", "MONOCHROME2", *_COLOURS):
        raise ImageError(name, "an unknown PhotometricInterpretation", "MONOCHROME2 or a colour one")
    high = _whole(dataset, "HighBit", name, range(stored - 1, bits), stored - 1) if native else stored - 1
    layout = Layout(
        syntax=syntax,
        rows=_whole(dataset, "Rows", name, range(1, 65536)),
        columns=_whole(dataset, "Columns", name, range(1, 65536)),
        frames=_whole(dataset, "NumberOfFrames", name, range(1, 2**31), 1),
        samples=_whole(dataset, "SamplesPerPixel", name, (1, 3), 1),
        photometric=photometric,
        planar=bool(_whole(dataset, "PlanarConfiguration", name, (0, 1), 0)),
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=high,
        signed=bool(_whole(dataset, "PixelRepresentation", name, (0, 1), 0)),
    )
    colour = photometric in _COLOURS and photometric != "PALETTE COLOR"
    if colour != (layout.samples == 3):
        raise ImageError(name, f"SamplesPerPixel {layout.samples} with {photometric}", "3 for colour, 1 for grey")
    found, needed = len(dataset.PixelData or b""), layout.frame_bytes * layout.frames
    if native and found < needed:
        raise ImageError(name, f"{found:,} bytes of pixel data", f"{needed:,} bytes, as its header says")
    if not native and (dataset.PixelData or b"").count(_ITEM) > _FRAGMENTS:
        raise ImageError(name, f"compressed frames in more than {_FRAGMENTS:,} fragments", "one a frame, or a few")
    return layout


def coded_frames(dataset, layout: Layout) -> Iterator[bytes]:
    """The compressed frames in order, the list of fragments gone through once; none where nothing is compressed."""
    if layout.syntax in _NATIVE:
        return iter(())
    from pydicom.encaps import generate_frames

    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    return generate_frames(dataset.PixelData, number_of_frames=layout.frames, extended_offsets=offsets)


def frame_values(dataset, layout: Layout, name: str, frame: int, coded: Iterator[bytes]) -> tuple[np.ndarray, bool]:
    """(values, coloured): stored numbers (h, w) float64, or for a colour image its luma 0..255.

    `coded` (see coded_frames) stands at this frame.
    """
    if layout.syntax in _NATIVE:
        cells = _native(dataset, layout, frame)
    else:
        cells = _encapsulated(next(coded, b""), layout, name)
    if layout.photometric == "PALETTE COLOR":
        from pydicom.pixels import apply_color_lut

        colours = apply_color_lut(layout.number(cells).astype(np.uint16), dataset)
        full = np.iinfo(colours.dtype).max
        return _luma(colours) * (255.0 / full), True
    if layout.samples == 3:
        luma = cells[..., 0] if cells.ndim == 3 and _is_ybr(layout) else cells
        luma = _luma(luma) if luma.ndim == 3 else luma
        return luma.astype(np.float64) * (255.0 / (2**layout.bits_stored - 1)), True
    return layout.number(cells).astype(np.float64), False


def _is_ybr(layout: Layout) -> bool:
    """Whether the decoded samples still are luma and chroma; the JPEG decoders hand out red, green, blue."""
    return layout.photometric.startswith("YBR") and layout.syntax in (*_NATIVE, _RLE)


def _luma(colours: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (h, w), the weights of ITU-R BT.601."""
    luma = colours[..., 0] * 0.299
    luma += colours[..., 1] * 0.587
    luma += colours[..., 2] * 0.114
    return luma


def _native(dataset, layout: Layout, frame: int) -> np.ndarray:
    size = layout.rows, layout.columns
    kind = np.dtype(f"{_NATIVE[layout.syntax]}u{layout.bits_allocated // 8}")
    count = layout.frame_bytes // kind.itemsize
    cells = np.frombuffer(dataset.PixelData, kind, count, frame * layout.frame_bytes)
    if layout.photometric in _SUBSAMPLED:
        return cells.reshape(-1, 4)[:, :2].reshape(size)
    if layout.samples == 1:
        return cells.reshape(size)
    return np.moveaxis(cells.reshape(3, *size), 0, -1) if layout.planar else cells.reshape(*size, 3)


def _encapsulated(data: bytes, layout: Layout, name: str) -> np.ndarray:
    """Decode one compressed frame whose own header agrees with the file's."""
    if layout.syntax == _RLE:
        return _run_lengths(data, layout)
    shape = (layout.rows, layout.columns, 3)[: 3 if layout.samples == 3 else 2]
    if _declared(data) != shape[:2]:
        raise ImageError(name, "a compressed frame of another size", f"{shape[1]} x {shape[0]} pixels")
    if layout.syntax in _JPEG:
        from imagecodecs import jpeg8_decode as decode
    elif layout.syntax in _JPEG_LS:
        from imagecodecs import jpegls_decode as decode

        data += b"\xff\xd9"  # CharLS takes minutes over a stream that does not end in this marker
    else:
        from imagecodecs import jpeg2k_decode as decode
    cells = decode(data)
    if cells.shape != shape or cells.dtype.kind not in "iu":
        raise ImageError(name, f"a frame of shape {cells.shape}", f"{shape}")
    return cells


def _declared(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream states before its data, or None."""
    if data[:4] == b"\xff\x4f\xff\x51":  # ISO/IEC 15444-1 A.5.1: SIZ follows SOC
        right, bottom, left, top = struct.unpack_from(">4I", data, 8)
        return bottom - top, right - left
    at = 2
    while data[at : at + 1] == b"\xff":
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker == 0xD8:
            at += 2
        elif marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):
            return struct.unpack_from(">2H", data, at + 5)
        else:
            at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return None


def _run_lengths(data: bytes, layout: Layout) -> np.ndarray:
    """PS3.5 annex G: one segment for each byte of each sample, the most significant byte first."""
    offsets = struct.unpack_from("<16I", data)
    count, width = offsets[0], layout.bits_allocated // 8
    if count != layout.samples * width:
        raise ValueError("another number of segments than samples and bytes")
    size = layout.rows * layout.columns
    ends = (*offsets[2 : count + 1], len(data))
    planes = [_unpack(data[start:end], size) for start, end in zip(offsets[1 : count + 1], ends, strict=True)]
    cells = np.stack(planes, axis=-1).reshape(layout.rows, layout.columns, layout.samples, width)
    cells = np.ascontiguousarray(cells).view(f">u{width}")[..., 0]
    return cells[..., 0] if layout.samples == 1 else cells


def _unpack(packed: bytes, size: int) -> np.ndarray:
    """PackBits -> (size,) uint8; stops at `size` bytes, ValueError if there are fewer.

    Two bytes give at least one, so no more than twice `size` is looked at: a long run of no-ops ends there.
    """
    out, at = bytearray(), 0
    packed = packed[: 2 * size]
    while len(out) < size and at + 1 < len(packed):
        head = packed[at]
        if head < 128:
            out += packed[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            out += packed[at + 1 : at + 2] * (257 - head)
            at += 2
        else:
            at += 1
    if len(out) < size:
        raise ValueError("run-length data that end too early")
    return np.frombuffer(bytes(out[:size]), np.uint8)


def _whole(dataset, keyword: str, name: str, allowed, default: int | None = None) -> int:
    """A whole number of the header that lies in `allowed`; `default` where the element is absent or empty."""
    try:
        value = dataset.get(keyword)
        value = default if value is None or value == "" else int(value)
    except (TypeError, ValueError, OverflowError):
        value = None
    if value is None or value not in allowed:
        found = "no usable value" if value is None else value
        ranged = isinstance(allowed, range)
        span = f"{allowed[0]} to {allowed[-1]}" if ranged else " or ".join(map(str, allowed))
        raise ImageError(name, f"{keyword} with {found}", span)
    return value


def _sop_class(dataset) -> str:
    return _known(str(dataset.get("SOPClassUID", "")))


def _known(uid: str) -> str:
    """The public name of an identifier; one that is not in the standard's list is not quoted."""
    from pydicom.uid import UID, UID_dictionary

    return UID(uid).name if uid in UID_dictionary else "of an unknown kind"
