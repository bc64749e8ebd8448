"""ZIP archives: every member a picture, inflated in memory under a count, sorted as one or more series."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator

from core.errors import ImageError
from core.limits import ENTRY, UNREADABLE, Budget, clean_name
from core.slices import Slice

_CHUNK = 1 << 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile inflates the others without a bound

Reader = Callable[[bytes, str, Budget], Iterator[Slice | ImageError]]


def iter_archive(data: bytes, name: str, budget: Budget, read: Reader) -> Iterator[Slice | ImageError]:
    """Slices of all members: each DICOM series by position, other files by name with 2 before 10.

    A member is inflated when its turn comes (DICOM members once before, for their position). Nothing is
    written anywhere, so that a member's path is only a name. Folders, hidden files, `__MACOSX` and DICOMDIR
    are passed over; what else cannot be read is an ImageError in its place.
    """
    limits = budget.limits
    if data.count(ENTRY) > limits.archive_members:
        most = f"{limits.archive_members:,}"
        raise ImageError(name, f"an archive of more than {most} members", f"at most {most}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = [info for info in archive.infolist() if not _passed_over(info.filename)]
        if not members:
            raise ImageError(name, "an archive without pictures", "at least one picture")
        stated = sum(info.file_size for info in members)
        if stated > limits.archive_bytes:
            raise _too_large(name, limits.archive_bytes)
        inflater = _Inflater(archive, name, limits.archive_bytes)
        for info in _sorted(members, _Inflater(archive, name, limits.archive_bytes), name):
            shown = clean_name(f"{name}!{info.filename}")
            try:
                content = inflater.inflate(info, shown)
            except ImageError as error:
                yield error
                if inflater.spent:
                    return
                continue
            yield from read(content, shown, budget)


class _Inflater:
    """Inflates members and counts what really comes out, all members together."""

    def __init__(self, archive: zipfile.ZipFile, name: str, limit: int) -> None:
        self._archive = archive
        self._name = name
        self._left = limit
        self._limit = limit

    @property
    def spent(self) -> bool:
        """Whether the archive's limit has been reached."""
        return self._left < 0

    def inflate(self, info: zipfile.ZipInfo, shown: str, at_most: int | None = None) -> bytes:
        """The member's bytes, or its first `at_most`; ImageError for one that cannot be had."""
        if info.flag_bits & 1:
            raise ImageError(shown, "an encrypted member", "one without a password")
        if info.compress_type not in _METHODS:
            raise ImageError(shown, f"ZIP compression method {info.compress_type}", "stored or deflated")
        parts = []
        try:
            with self._archive.open(info) as stream:
                while chunk := stream.read(_CHUNK if at_most is None else at_most):
                    parts.append(chunk)
                    self._left -= len(chunk)
                    if self._left < 0:
                        raise _too_large(self._name, self._limit)
                    if at_most is not None:
                        break
        except UNREADABLE:
            raise ImageError(shown, "a damaged or truncated member", "a complete archive") from None
        return b"".join(parts)


def _too_large(name: str, limit: int) -> ImageError:
    return ImageError(name, f"more than {limit:,} bytes when inflated", f"at most {limit:,} bytes")


def _passed_over(path: str) -> bool:
    parts = path.replace("\\", "/").split("/")
    hidden = any(part.startswith(".") and part not in (".", "..") for part in parts)
    return not parts[-1] or hidden or "__MACOSX" in parts or parts[-1].upper() == "DICOMDIR"


def _sorted(members: list[zipfile.ZipInfo], inflater: _Inflater, name: str) -> list[zipfile.ZipInfo]:
    """DICOM members of a series together and by position; series and other files by their first name."""
    groups: dict[object, list] = {}
    for info in sorted(members, key=lambda info: _natural(info.filename)):
        series, *place = _series(info, inflater, name)
        groups.setdefault(series or ("file", len(groups)), []).append((place, info))
    return [info for group in groups.values() for _, info in sorted(group, key=lambda entry: entry[0])]


def _series(info: zipfile.ZipInfo, inflater: _Inflater, name: str) -> tuple[str, float, float]:
    """(series, position, instance number) of a DICOM member; ("", 0, 0) for others and damaged ones."""
    try:
        if inflater.inflate(info, name, 132)[128:] != b"DICM":
            return "", 0.0, 0.0
        from core.dicom import RAISES, series_key

        content = inflater.inflate(info, name)
        try:
            return series_key(content, name)
        except (*UNREADABLE, *RAISES()):
            return "", 0.0, 0.0
    except ImageError:
        return "", 0.0, 0.0


def _natural(path: str) -> list[tuple[int, int, str]]:
    """Sorting key with numbers by their value (their length, then their digits): slice 2 before slice 10."""
    key = []
    for text, digits in re.findall(r"([^0-9]+)|([0-9]+)", path):
        number = digits.lstrip("0")
        key.append((1, 0, text) if text else (0, len(number), number))
    return key
