"""What one visit may upload: on a public server less, and less often, than on one's own machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import ImageError
from core.roots import hosted

MEGABYTE = 1024**2
MINUTE = 60.0


@dataclass(frozen=True)
class Upload:
    """A file as it came: the key that tells it from others, its name, its size in bytes."""

    key: str
    name: str
    size: int


@dataclass(frozen=True)
class Admitted:
    """Keys of the files that may be read, why others may not, and the seconds until those that wait may be."""

    keys: tuple[str, ...]
    refused: tuple[ImageError, ...]
    waiting: int
    seconds: float


@dataclass(frozen=True)
class Allowance:
    """Bounds of one visit; None: no bound. `file_mb` and `total_mb` in MiB."""

    file_mb: int
    files: int | None = None
    total_mb: int | None = None
    per_minute: int | None = None

    def words(self) -> str:
        """As in "Up to 25 MB a file, 20 files of 75 MB together, 30 files a minute"."""
        parts = [f"Up to {self.file_mb} MB a file"]
        if self.files is not None:
            together = f" of {self.total_mb} MB together" if self.total_mb is not None else ""
            parts.append(f"{self.files} files{together}")
        if self.per_minute is not None:
            parts.append(f"{self.per_minute} files a minute")
        return ", ".join(parts)

    def admit(self, uploads: Sequence[Upload], begun: Mapping[str, float], now: float) -> Admitted:
        """Which of a visit's files may be read, in their order; `begun` is when each was first let in, in seconds.

        A file that is too large, or one too many, is refused for good; one that comes too soon waits.
        """
        keys, refused, total, waiting = [], [], 0, 0
        recent = sorted(moment for moment in begun.values() if now - moment < MINUTE)
        for upload in uploads:
            fault = self._fault(upload, len(keys) + waiting, total)
            if fault:
                refused.append(ImageError(upload.name, *fault))
                continue
            total += upload.size
            if upload.key in begun:
                keys.append(upload.key)
            elif self.per_minute is not None and len(recent) >= self.per_minute:
                waiting += 1
            else:
                keys.append(upload.key)
                recent.append(now)
        return Admitted(tuple(keys), tuple(refused), waiting, recent[0] + MINUTE - now if waiting else 0.0)

    def _fault(self, upload: Upload, count: int, total: int) -> tuple[str, str] | None:
        """(found, expected) of a file that is too large or one too many."""
        if upload.size > self.file_mb * MEGABYTE:
            return f"{upload.size:,} bytes", f"at most {self.file_mb} MB a file here"
        if self.files is not None and count >= self.files:
            return "one file too many", f"at most {self.files} at a time here; remove some of the others"
        if self.total_mb is not None and total + upload.size > self.total_mb * MEGABYTE:
            return (
                "more than fits beside the files before it",
                f"at most {self.total_mb} MB together here; remove some of the others",
            )
        return None


OWN = Allowance(file_mb=200)
"""On one's own machine."""

PUBLIC = Allowance(file_mb=25, files=20, total_mb=75, per_minute=30)
"""On a public server, whose memory all visitors share."""


def allowance() -> Allowance:
    """What holds for visits of this server."""
    return PUBLIC if hosted() else OWN
