"""What every image reader holds to: limits, names fit to be shown, and the exceptions that decoders raise."""

import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from core.errors import ImageError
from core.slices import Slice

ENTRY = b"PK\x01\x02"
"""Starts each entry of the list at the end of a ZIP archive."""
EXPECTED = "PNG, JPEG, TIFF, BMP, WebP, DICOM, NIfTI or ZIP"


@dataclass(frozen=True)
class Limits:
    """The most that one file may ask for; each is checked before the work that it bounds.

    slice_pixels     pixels of one slice
    total_pixels     pixels of all slices of a file; an archive counts as one file
    frames           slices of a file; an archive counts as one file
    file_bytes       bytes of a file on disk
    archive_bytes    bytes of an archive or a compressed file, counted while inflating
    archive_members  entries of an archive
    """

    slice_pixels: int = 25_000_000
    total_pixels: int = 300_000_000
    frames: int = 1_000
    file_bytes: int = 2 * 1024**3
    archive_bytes: int = 200 * 1024**2
    archive_members: int = 2_000


LIMITS = Limits()

UNREADABLE = (
    OSError,  # Pillow: truncated data, UnidentifiedImageError; gzip and zip streams
    EOFError,  # pydicom, zipfile and Pillow at an early end
    ValueError,  # all of them; also UnicodeDecodeError, LinAlgError and the errors of imagecodecs
    TypeError,  # pydicom and nibabel on an element of another type than expected
    AttributeError,  # pydicom on a missing element
    LookupError,  # KeyError and IndexError: an empty sequence, a colour that is not in the palette
    ArithmeticError,  # OverflowError and ZeroDivisionError: sizes and scales that lie
    RuntimeError,  # imagecodecs; also RecursionError (nested sequences) and NotImplementedError
    SyntaxError,  # Pillow's PNG and TIFF readers: a broken header
    AssertionError,  # Pillow's and nibabel's inner checks
    BufferError,  # numpy views of short buffers
    MemoryError,  # a size within the limits that this machine cannot hold
    struct.error,  # short or overlong numbers in headers
    zlib.error,  # damaged deflated data
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    Image.DecompressionBombError,  # Pillow's own limit, above ours
    Warning,  # where the interpreter was told to turn warnings into errors
)
"""Everything that Pillow, pydicom, nibabel, imagecodecs and zipfile were seen to raise on damaged files.

Four more derive from Exception alone and live in modules that are slow to import; the readers that
import them add them: pydicom's InvalidDicomError and BytesLengthException, and nibabel's errors.
"""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_UNSHOWN = ("Cc", "Cs", "Zl", "Zp")  # control, surrogate, line and paragraph separator
_LONGEST_NAME = 300
_CHUNK = 1 << 16
_GZIP_MEMBERS = 10_000  # of 64 KiB, as bgzip makes them, far more than may be inflated


def clean_name(name: str) -> str:
    """The name without control, surrogate and writing-direction characters, at most 300 characters long."""
    kept = "".join(c for c in name if c not in _BIDI and unicodedata.category(c) not in _UNSHOWN)
    return kept[:_LONGEST_NAME] or "unnamed"


class Budget:
    """Counts the frames and pixels of one file against its limits, before they are decoded."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._frames = 0
        self._pixels = 0

    def reserve(self, name: str, height: int, width: int, frames: int = 1) -> None:
        """Count `frames` slices of height x width; ImageError where a limit is passed or a size is 0."""
        limits = self.limits
        if height < 1 or width < 1 or frames < 1:
            raise ImageError(name, f"{frames} frame(s) of {width} x {height} pixels", "at least one pixel")
        if height * width > limits.slice_pixels:
            most = f"at most {limits.slice_pixels:,} pixels a slice"
            raise ImageError(name, f"a slice of {width} x {height} pixels", most)
        if self._frames + frames > limits.frames:
            most = f"at most {limits.frames:,} slices a file"
            raise ImageError(name, f"{self._frames + frames:,} slices in one file", most)
        total = self._pixels + frames * height * width
        if total > limits.total_pixels:
            most = f"at most {limits.total_pixels:,} pixels a file"
            raise ImageError(name, f"{total:,} pixels in one file", most)
        self._frames += frames
        self._pixels = total


def inflate(data: bytes, wbits: int, limit: int, name: str) -> bytes:
    """Deflated bytes -> bytes; ImageError as soon as they number more than `limit`, or end too early.

    `wbits` as in zlib: 31 for gzip (several gzip members follow each other), -15 for a bare stream.
    """
    parts, size, at, members = [], 0, 0, 0
    stream = zlib.decompressobj(wbits)
    while at < len(data):
        chunk = data[at : at + _CHUNK]
        parts.append(stream.decompress(chunk, limit - size + 1))
        size += len(parts[-1])
        if size > limit:
            raise ImageError(name, f"more than {limit:,} bytes when inflated", f"at most {limit:,} bytes")
        at += len(chunk) - len(stream.unused_data)
        if not stream.eof:
            continue
        members += 1
        if members > _GZIP_MEMBERS:
            raise ImageError(name, f"more than {_GZIP_MEMBERS:,} gzip members", f"at most {_GZIP_MEMBERS:,}")
        at = _past_zeros(data, at)
        if wbits != 31 or at == len(data):
            return b"".join(parts)
        stream = zlib.decompressobj(wbits)
    raise ImageError(name, "compressed data that ends too early", "a complete file")


def _past_zeros(data: bytes, at: int) -> int:
    """The place of the first byte from `at` on that is not 0, or the end."""
    while chunk := data[at : at + _CHUNK]:
        rest = len(chunk.lstrip(b"\0"))
        at += len(chunk) - rest
        if rest:
            break
    return at


def as_errors(
    slices: Iterator[Slice | ImageError], name: str, what: str, extra: tuple[type[Exception], ...] = ()
) -> Iterator[Slice | ImageError]:
    """The same values; whatever a decoder raises between them ends the series as one ImageError value.

    The decoder's own words are left out: they can quote the file, and a file can name a patient.
    """
    try:
        yield from slices
    except ImageError as error:
        yield error
    except (*UNREADABLE, *extra) as error:
        yield in_words(error, name, what)


def in_words(error: Exception, name: str, what: str) -> ImageError:
    """What a decoder raised while it read `what`, as an ImageError."""
    if isinstance(error, Image.DecompressionBombError):
        return ImageError(name, f"{what} of far too many pixels", f"at most {LIMITS.slice_pixels:,} pixels a slice")
    if isinstance(error, MemoryError):
        return ImageError(name, f"{what} that needs more memory than there is", "a smaller one")
    return ImageError(name, f"{what} that is damaged or truncated", "a complete file")
