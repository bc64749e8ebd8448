"""Results kept on disk by the digest of all that they depend on: a repeat is read, not computed."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

KEPT = 24
"""Files at most; those not read for longest go first."""


def read(folder: Path | None, name: str) -> dict[str, np.ndarray] | None:
    """The arrays kept under this name, or None where there are none that can be read."""
    path = None if folder is None else folder / f"{name}.npz"
    if path is None or not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
        os.utime(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # damaged, or just deleted: computed again and replaced
    return found


def write(folder: Path | None, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Keep arrays under a name; a reader sees all of them or none. A full disk keeps nothing."""
    if folder is None:
        return
    part = folder / f".{name}.{os.getpid()}.part.npz"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(part, **arrays)
        os.replace(part, folder / f"{name}.npz")
        kept = sorted(folder.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[KEPT:]:
            path.unlink(missing_ok=True)
    except OSError:
        part.unlink(missing_ok=True)
