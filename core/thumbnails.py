"""Small pictures of phantoms kept in a run folder, so that its pages have images without its data.

thumbnails.parquet: one row per image: sha256 of the file, image (bytes of a WebP, SIDE pixels a side or fewer).
A thumbnail is not made from a file: the phantom that the file claims to be is drawn anew, and its bytes must be
those of the file. So no picture of a patient can come in.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.errors import DataError, RunError
from core.labels import LABELS
from core.runs import Run, write_atomically

if TYPE_CHECKING:
    import pandas as pd

FILE = "thumbnails.parquet"

SIDE = 96
"""Pixels along the longer side."""

QUALITY = 60
"""Of the WebP: a thumbnail takes about 2 kB."""

GROUP = re.compile(rf"(?:.*/)?phantom-({'|'.join(LABELS)})-(\d{{1,9}})")
"""The group of a phantom's slice: its class and seed, from which it can be drawn."""


def write(run: Run, table: "pd.DataFrame") -> int:
    """Add the thumbnails of the phantoms in a table (file, group, sha256); returns how many are new.

    DataError for an image that is not a phantom as `core.samples` writes it, byte for byte; then nothing is added.
    """
    import pandas as pd

    kept = dict(read(run))
    new = table[~table["sha256"].isin(list(kept))].drop_duplicates("sha256")
    drawn = {row.sha256: thumbnail(row.file, row.group, row.sha256) for row in new.itertuples()}
    if drawn:
        kept |= drawn
        frame = pd.DataFrame({"sha256": list(kept), "image": list(kept.values())})
        buffer = io.BytesIO()
        frame.sort_values("sha256").to_parquet(buffer, index=False)
        write_atomically(run.path / FILE, buffer.getvalue())
    return len(drawn)


def is_phantom(group: str) -> bool:
    """Whether a group's name claims to be a phantom; `write` checks the claim."""
    return GROUP.fullmatch(group) is not None


def drawn(file: str, group: str, sha256: str) -> bytes:
    """The PNG of the phantom of a group, drawn again, which must have the bytes of the file. Raises DataError."""
    from core.samples import sample_bytes

    claim = GROUP.fullmatch(group)
    expected = "a phantom as python -m core.phantom writes it; no other image may leave its folder"
    if claim is None or not file.endswith(".png"):
        raise DataError(file, f"an image of group {group!r}", expected)
    content = sample_bytes(file, claim[1], int(claim[2]))
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(file, f"other bytes than those of phantom-{claim[1]}-{claim[2]}", expected)
    return content


def thumbnail(file: str, group: str, sha256: str) -> bytes:
    """The WebP of the phantom of a group, which must have the bytes of the file. Raises DataError."""
    from PIL import Image

    content = drawn(file, group, sha256)
    with Image.open(io.BytesIO(content)) as image:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", quality=QUALITY, method=6)
    return buffer.getvalue()


def read(run: Run) -> Mapping[str, bytes]:
    """sha256 -> WebP bytes; empty where the run has none. RunError for a file that cannot be read."""
    import pandas as pd
    from pyarrow import ArrowException

    path = run.path / FILE
    if not path.is_file():
        return {}
    try:
        frame = pd.read_parquet(path, columns=["sha256", "image"])
    except (ArrowException, OSError) as error:
        raise RunError(f"{run.name}: {FILE}", "a file that cannot be read", "thumbnails (sha256, image)") from error
    return dict(zip(frame["sha256"], frame["image"], strict=True))
