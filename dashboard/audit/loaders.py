"""All that Data asks of core: data folders, their audit (kept by checksum), small pictures, tables for charts."""

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import pandas as pd
import streamlit as st

from core import runs
from core.audit import Audit, audit_table, counted
from core.audit_example import write_example
from core.data import load_table
from core.drift import size_in_words
from core.errors import ImageError
from core.images import iter_slices, read_file
from core.labels import LABELS
from core.overlay import display_grey
from core.roots import data_folders, hosted
from core.slices import Slice
from dashboard.pictures import png

CACHE = Path(__file__).resolve().parents[2] / "data" / "cache" / "audit"
EXAMPLE = "synthetic"
"""Name, in the address, of the two folders of synthetic slices; a data folder of that name hides them."""

LONGEST_SIDE = 320
"""Pixels along the longer side of the pictures on the page."""

KEPT_AUDITS = 8


def offers() -> list[str]:
    """Names of what can be looked at: the synthetic slices, and the data folders of this machine unless hosted."""
    return list(dict.fromkeys([EXAMPLE, *data_folders()]))


def is_hosted() -> bool:
    """Whether no folder of this machine may be shown."""
    return hosted()


def folders(names: Sequence[str], tell: Callable[[int, int], None]) -> list[Path]:
    """The folders behind names of `offers`; `tell(done, total)` while the synthetic ones are drawn, once."""
    known = data_folders()
    found = []
    for name in names:
        found += [known[name]] if name in known else write_example(CACHE, tell)
    return found


def split_runs(names: Sequence[str]) -> list[str]:
    """Runs whose split names one of these folders as a source; none for the synthetic slices."""
    known = set(data_folders()) & set(names)
    return [name for name in runs.list_runs() if known & _sources(name, *_stamp(runs.RUNS / name / "split.csv"))]


def _stamp(path: Path) -> tuple[int, int]:
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)


@st.cache_data(max_entries=64, show_spinner=False)
def _sources(name: str, size: int, time: int) -> set[str]:
    path = runs.RUNS / name / "split.csv"
    if not size:
        return set()
    try:
        return set(pd.read_csv(path, usecols=["source"], dtype=str)["source"])
    except (OSError, ValueError):  # no such column, or no table at all: that run's split is not offered
        return set()


def table(paths: Sequence[Path]) -> pd.DataFrame:
    """The images of folders (core.data.load_table); read again only where a file's size or time has changed."""
    return _table(tuple(map(str, paths)), _signature(paths))


@st.cache_data(max_entries=KEPT_AUDITS, show_spinner=False)
def _table(paths: tuple[str, ...], signature: str) -> pd.DataFrame:
    return load_table([Path(path) for path in paths])


def _signature(paths: Sequence[Path]) -> str:
    """Names, sizes and times of all files below the folders, as one checksum."""
    digest = hashlib.sha256()
    for root in paths:
        for folder, below, files in os.walk(root):
            below.sort()
            for file in sorted(files):
                with suppress(FileNotFoundError):  # a link to nowhere, or a file that was just deleted
                    about = os.stat(os.path.join(folder, file))
                    digest.update(repr((folder, file, about.st_size, about.st_mtime_ns)).encode())
    return digest.hexdigest()


class _Shelf:
    """The last audits, shared by all visitors. Streamlit's own cache cannot show progress while it is filled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.audits: OrderedDict[str, Audit] = OrderedDict()

    def get(self, key: str) -> Audit | None:
        with self.lock:
            if key in self.audits:
                self.audits.move_to_end(key)
            return self.audits.get(key)

    def put(self, key: str, found: Audit) -> None:
        with self.lock:
            self.audits[key] = found
            while len(self.audits) > KEPT_AUDITS:
                self.audits.popitem(last=False)


@st.cache_resource(max_entries=1, show_spinner=False)
def _shelf() -> _Shelf:
    return _Shelf()


def audit_key(images: pd.DataFrame, run: str) -> str:
    """Checksum of all that an audit depends on or shows: files, what manifests say of them, parts."""
    split = _stamp(runs.RUNS / run / "split.csv") if run else ()
    columns = images.to_csv(index=False)
    return hashlib.sha256(repr((columns, run, split)).encode("utf-8", "replace")).hexdigest()


def kept(key: str) -> Audit | None:
    """The audit of a key, where one was made lately."""
    return _shelf().get(key)


def audit(key: str, images: pd.DataFrame, run: str, tell: Callable[[int, int], None]) -> Audit:
    """Look at all images and compare them, telling (done, total); kept under `key`. Raises DataError, RunError."""
    found = audit_table(images, run or None, tell)
    _shelf().put(key, found)
    return found


def picture(path: str, sha256: str) -> bytes | None:
    """A small PNG of an image, None where it cannot be read (any more)."""
    return _picture(path, sha256)


@st.cache_data(max_entries=400, show_spinner=False)
def _picture(path: str, sha256: str) -> bytes | None:
    try:
        only = next(iter_slices(read_file(path), path), None)
    except ImageError:
        return None
    if not isinstance(only, Slice):
        return None
    grey = display_grey(only.pixels, only.unit)
    shrink = min(1.0, LONGEST_SIDE / max(grey.shape))
    size = max(1, round(grey.shape[1] * shrink)), max(1, round(grey.shape[0] * shrink))
    return png(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))


def as_json(found: Audit) -> bytes:
    """What `python -m core audit --json` prints."""
    return json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False).encode()


def class_order(labels: Sequence[str]) -> list[str]:
    """Labels in the order of every table, whatever their case; others after them by name."""
    known = {label: place for place, label in enumerate(LABELS)}
    return sorted(set(labels), key=lambda label: (known.get(label.casefold(), len(known)), label))


def class_counts(found: Audit) -> pd.DataFrame:
    """One row per source and class, all pairs: source, label, images, groups, share of the source's images."""
    images = found.table
    sources, labels = sorted(images["source"].unique()), class_order(images["label"])
    grouped = images.groupby(["source", "label"])["group"].agg(["size", "nunique"])
    full = grouped.reindex(pd.MultiIndex.from_product([sources, labels], names=["source", "label"]), fill_value=0)
    rows = full.rename(columns={"size": "images", "nunique": "groups"}).reset_index()
    return rows.assign(share=rows["images"] / rows.groupby("source")["images"].transform("sum"))


def part_counts(found: Audit) -> pd.DataFrame:
    """One row per source, class and part that has images: source, label, part (or "none"), images."""
    rows = found.table.assign(part=found.table["part"].fillna("none"))
    return rows.groupby(["source", "label", "part"]).size().rename("images").reset_index()


def kinds_of_file(found: Audit, by: str) -> pd.DataFrame:
    """One row per size or mode (`by`): its name, images, and images of each class; the commonest first."""
    labels = class_order(found.table["label"])
    values = counted(found.table, by).rename(by)
    rows = pd.crosstab(values, found.table["label"]).reindex(columns=labels, fill_value=0)
    rows.columns = [f"{label} (class)" if label in ("images", by) else label for label in labels]
    rows.insert(0, "images", rows.sum(axis=1))
    return rows.rename_axis(by).sort_values("images", ascending=False, kind="stable").reset_index()


def spread(found: Audit, factor: str, measured: str) -> pd.DataFrame:
    """One row per level of a factor: level, n, and the 5th, 25th, 50th, 75th, 95th percentile of a property."""
    readable = found.table[(found.table["error"] == "") & found.table[factor].notna()]
    levels = readable.groupby(factor)[measured]
    rows = levels.quantile([0.05, 0.25, 0.5, 0.75, 0.95]).unstack()
    rows.columns = ["p5", "p25", "p50", "p75", "p95"]
    rows.insert(0, "n", levels.size())
    order = {"part": ["train", "validation", "test"], "label": class_order(readable["label"])}.get(factor)
    rows = rows.reindex([level for level in order if level in rows.index]) if order else rows
    return rows.rename_axis("level").reset_index()


def size_word(value: float) -> str:
    """A standardised difference in a word, after Cohen 1988."""
    return size_in_words(value)
