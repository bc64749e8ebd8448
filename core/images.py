"""The one reader of images: bytes in, slices out; whatever cannot be read comes out as an error value."""

import os
import stat
import zlib
from collections.abc import Iterator

from core.errors import ImageError
from core.limits import ENTRY, EXPECTED, LIMITS, Budget, Limits, as_errors, clean_name
from core.slices import Slice

__all__ = [
    "HEAD_BYTES",
    "LIMITS",
    "SUFFIXES",
    "Limits",
    "count_members",
    "iter_slices",
    "looks_like_image",
    "read_file",
    "read_slices",
]

SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp", ".webp",
    ".dcm", ".dicom", ".nii", ".nii.gz", ".zip",
)  # fmt: skip
"""Suffixes (lower case) that a walk through a folder picks up; `looks_like_image` finds files without one."""

HEAD_BYTES = 1024
"""How much of a file `looks_like_image` wants to see."""

_BMP_HEADERS = (12, 16, 40, 52, 56, 64, 108, 124)  # the sizes that a BMP's second header can have
_NIFTI = ((344, b"n+1\0"), (4, b"n+2\0\r\n\x1a\n"))
_OTHERS = (  # (offset, magic, what a person calls it); for error messages only
    (0, b"%PDF", "a PDF document"),
    (0, b"GIF8", "a GIF picture"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (0, b"\xffO\xffQ", "a JPEG 2000 picture"),
    (4, b"ftypheic", "a HEIC picture"),
    (4, b"ftypavif", "an AVIF picture"),
    (4, b"ftyp", "a video"),
    (0, b"8BPS", "a Photoshop picture"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"(\xb5/\xfd", "a Zstandard file"),
    (0, b"\x1f\x8b", "a gzip file without a NIfTI volume in it"),
    (0, b"\xd0\xcf\x11\xe0", "an Office document"),
    (0, b"NRRD", "an NRRD volume"),
    (0, b"ObjectType", "a MetaImage volume"),
    (0, b"\x89HDF", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (344, b"ni1\0", "the header of a NIfTI pair (.hdr and .img)"),
    (0, b"MZ", "a program"),
    (0, b"\x7fELF", "a program"),
    (0, b"\x08\0\x05\0", "a DICOM data set without its preamble"),
    (0, b"\x02\0\0\0", "a DICOM data set without its preamble"),
)


def kind_of(head: bytes) -> str | None:
    """The format by its magic bytes, whatever the name says; None for anything that is not on the list."""
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG"
    if head[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        # A DICOM file may carry a TIFF header in its preamble (PS3.10 7.1): the slide viewers' dual files.
        return "DICOM" if head[128:132] == b"DICM" else "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[128:132] == b"DICM":
        return "DICOM"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "ZIP"
    if any(head[at : at + len(magic)] == magic for at, magic in _NIFTI):
        return "NIfTI"
    if head[:2] == b"\x1f\x8b" and kind_of(_inflated_head(head)) == "NIfTI":
        return "NIfTI.gz"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    return None


def read_file(path: str) -> bytes:
    """A file's bytes; ImageError for what cannot be opened, is no regular file, or is larger than a file may be."""
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise ImageError(path, "a folder, device or pipe", "a regular file")
        if about.st_size > LIMITS.file_bytes:
            raise ImageError(path, f"{about.st_size:,} bytes", f"at most {LIMITS.file_bytes:,} bytes a file")
        with open(path, "rb") as opened:
            return opened.read()
    except OSError as error:
        found = error.strerror or "a file that cannot be opened"
        raise ImageError(path, found, "a readable file") from error


def looks_like_image(head: bytes) -> bool:
    """Whether the first HEAD_BYTES of a file are those of a format that can be read."""
    return kind_of(head[:HEAD_BYTES]) is not None


def count_members(data: bytes) -> int | None:
    """About how many files an archive holds, without opening it; None for anything else."""
    return data.count(ENTRY) if kind_of(data[:HEAD_BYTES]) == "ZIP" else None


def iter_slices(data: bytes, name: str, limits: Limits = LIMITS) -> Iterator[Slice | ImageError]:
    """Every slice of one file, each decoded when it is asked for; never raises for any content.

    A file, an archive's member or a frame that cannot be read is an ImageError among the values, and those
    after it still come. Every name is free of control and writing-direction characters; a member of an
    archive is `archive.zip!member`. The format is found by its magic bytes.
    """
    name = clean_name(name)
    kind = kind_of(data[:HEAD_BYTES])
    budget = Budget(limits)
    if kind == "ZIP":
        from core.archive import iter_archive

        return as_errors(iter_archive(data, name, budget, iter_file), name, "a ZIP archive")
    return iter_file(data, name, budget)


def read_slices(data: bytes, name: str, limits: Limits = LIMITS) -> list[Slice]:
    """All slices of one file; raises the first ImageError."""
    slices = []
    for item in iter_slices(data, name, limits):
        if isinstance(item, ImageError):
            raise item
        slices.append(item)
    return slices


def iter_file(data: bytes, name: str, budget: Budget) -> Iterator[Slice | ImageError]:
    """As iter_slices, for anything but an archive; the budget is that of the archive around it, if any."""
    kind = kind_of(data[:HEAD_BYTES])
    if kind == "DICOM":
        from core.dicom import RAISES, iter_dicom

        yield from as_errors(iter_dicom(data, name, budget), name, "a DICOM file", RAISES())
    elif kind in ("NIfTI", "NIfTI.gz"):
        from core.nifti import RAISES, iter_nifti

        yield from as_errors(iter_nifti(data, name, budget), name, "a NIfTI volume", RAISES())
    elif kind == "ZIP":
        yield ImageError(name, "a ZIP archive within an archive", "pictures directly in the archive")
    elif kind is None:
        yield ImageError(name, describe(data), EXPECTED)
    else:
        from core.raster import iter_raster

        yield from as_errors(iter_raster(data, name, kind, budget), name, f"a {kind} picture")


def describe(data: bytes) -> str:
    """What these bytes are, in words, for an error: "a PDF document", "an empty file", "a text file"."""
    if not data:
        return "an empty file"
    for at, magic, words in _OTHERS:
        if data[at : at + len(magic)] == magic:
            return words
    start = data[:HEAD_BYTES].lstrip().lower()
    if start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start):
        return "an SVG drawing"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in data[:HEAD_BYTES]):
        return "a text file"
    return f"{len(data):,} bytes that start with {data[:8].hex(' ')}"


def _inflated_head(head: bytes) -> bytes:
    """The first bytes inside a gzip file, as far as its own first bytes tell."""
    try:
        return zlib.decompressobj(31).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""
