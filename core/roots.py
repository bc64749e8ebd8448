"""Where images lie on this machine: the data folders that may be trained on, and the image behind a run's row.

LUNGLENS_DATA  a folder whose subfolders are data folders (see core.data); without it, data/images
LUNGLENS_DEMO  1 on a public server: no training, no folder of this machine, phantoms only
"""

import hashlib
import os
from pathlib import Path

from core.data import MANIFEST, SPLITS

ROOT = Path(__file__).resolve().parent.parent
HOME_OF_IMAGES = ROOT / "data" / "images"


def hosted() -> bool:
    """Whether this is a public demo, where nobody trains and no folder of the machine is shown."""
    return os.environ.get("LUNGLENS_DEMO", "").strip().lower() in ("1", "true", "yes", "on")


def data_root() -> Path | None:
    """The folder that holds the data folders, or None where there is none (always None when hosted)."""
    root = Path(os.environ.get("LUNGLENS_DATA") or HOME_OF_IMAGES)
    return root if root.is_dir() and not hosted() else None


def data_folders() -> dict[str, Path]:
    """Data folders below the root by their names, sorted: those with a manifest or with train/ or test/."""
    root = data_root()
    if root is None:
        return {}
    folders = (path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith("."))
    return {path.name: path for path in folders if _holds_data(path)}


def read_image(source: str, file: str, sha256: str) -> bytes | None:
    """The bytes of the image that a run's row names, or None where the very same image is not on this machine."""
    folder = data_folders().get(source)
    if folder is None:
        return None
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    content = path.read_bytes()
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def _holds_data(folder: Path) -> bool:
    return (folder / MANIFEST).is_file() or any((folder / split).is_dir() for split in SPLITS)
