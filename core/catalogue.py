"""All runs on this machine as tables, read by DuckDB over their folders, and what may be done with a folder.

A folder that is damaged is a row that says so, never an error: one bad run must not hide the others.
"""

import glob
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from core import ensemble, roots, runs
from core.errors import RunError
from core.order import check_name
from core.predictor import Predictor
from core.slices import Slice

if TYPE_CHECKING:
    import pandas as pd

SQL = Path(__file__).with_name("sql")
CONFIG = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
"""Nothing is fetched from the network."""

DOCUMENTS = ("config.json", "metrics.json")
NOTE, TRASH = "note.md", ".trash"
LONGEST_NAME, LONGEST_NOTE = 100, 10_000
"""Bytes of a name (a folder in the trash carries a time too), characters of a note."""

FLOATS = (1, 10, 11, 16)
"""TensorProto.DataType of float, float16, double and bfloat16 (onnx.proto)."""


@cache
def sql(name: str) -> str:
    """The text of core/sql/<name>.sql."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


# Tables


@dataclass(frozen=True, eq=False)
class Catalogue:
    """What lies in the folder of runs at one moment.

    runs    one row per run folder, newest first: name, state ("finished", "unfinished", "damaged"), problem (what
            is wrong with a damaged one), recipe, backbone, batch_size, epochs, epochs_done, created (UTC), seed,
            weights, checksum, sources, images (trained or selected on), train_images, model_bytes
    scores  one row per run, scheme and part: name, scheme ("source", "group", "test", "validation", "kept test"),
            part, n_slices, n_groups, then balanced_accuracy, accuracy, auc (normal against diseased) and brier,
            each with _low and _high, its 95 % interval
    """

    runs: "pd.DataFrame"
    scores: "pd.DataFrame"


def read_catalogue() -> Catalogue:
    """The runs below core.runs.RUNS, damaged ones among them."""
    with _staged(run_folders()) as connection:
        return Catalogue(connection.execute(sql("runs")).df(), connection.execute(sql("scores")).df())


def read_curves(names: Sequence[str]) -> "pd.DataFrame":
    """One row per run and epoch, in the order of `names`: name, epoch, learning_rate, loss, accuracy and balanced
    accuracy of train and validation (NaN where not measured), the 95 % intervals of the latter two (_low, _high),
    images_per_second, step, minutes since the start.
    """
    with _staged([folder for folder in run_folders() if folder.name in names]) as connection:
        connection.execute(f"CREATE TABLE runs AS {sql('runs')}")
        return connection.execute(sql("curves"), {"names": list(names)}).df()


def run_folders() -> list[Path]:
    """Every folder below core.runs.RUNS that holds a run or what is left of one; hidden ones do not count."""
    root = Path(os.path.abspath(runs.RUNS))
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


@contextmanager
def _staged(folders: Sequence[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in memory with the tables of stage.sql filled from these run folders."""
    sources = (("documents", DOCUMENTS), ("history", ("history.csv",)))
    with duckdb.connect(config=CONFIG) as connection:
        connection.execute(sql("stage"))
        for folder in folders:
            connection.execute("INSERT INTO folders VALUES (?, ?, ?, ?, ?)", _folder_row(folder))
        for query, names in sources:
            paths = [folder / name for folder in folders for name in names if _readable(folder / name)]
            for path in paths:
                connection.execute("INSERT INTO files VALUES (?, ?, ?)", (str(path), path.parent.name, path.name))
            _insert(connection, query, paths)
        yield connection


def _insert(connection: duckdb.DuckDBPyConnection, query: str, paths: Sequence[Path]) -> None:
    """Run an inserting query over files; one that DuckDB refuses is left out, and does not take others with it."""
    if not paths:
        return
    try:
        connection.execute(sql(query), {"paths": [glob.escape(str(path)) for path in paths]})
    except duckdb.Error:
        for path in paths if len(paths) > 1 else ():
            _insert(connection, query, [path])


def _folder_row(folder: Path) -> tuple:
    present = [(folder / name).is_file() for name in DOCUMENTS]
    return folder.name, *present, _network_bytes(folder), _size(folder / "history.csv")


def _network_bytes(folder: Path) -> int | None:
    """Bytes of the run's network, or of its members'; None where one is missing."""
    if not (folder / runs.ENSEMBLE).is_file():
        return _size(folder / runs.NETWORK)
    try:
        return sum(path.stat().st_size for path in networks(folder))
    except (RunError, OSError):
        return None


def networks(folder: Path) -> list[Path]:
    """The files of networks that a finished run's predictions come from. RunError where a member's is missing."""
    return ensemble.networks(runs.Run(folder)) if (folder / runs.ENSEMBLE).is_file() else [folder / runs.NETWORK]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except FileNotFoundError:  # somebody deleted the run just now
        return None


def _readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


# A model's cost


def parameters(path: Path) -> int:
    """How many numbers the network of an ONNX file was fitted with, as it is run (batch norms folded in).

    Raises RunError for anything but an ONNX file.
    """
    try:
        return sum(
            int(np.prod(dims, dtype=np.int64))
            for number, graph in _fields(memoryview(path.read_bytes()))
            if number == 7  # ModelProto.graph
            for number, tensor in _fields(graph)
            if number == 5  # GraphProto.initializer
            for kind, dims in [_kind_and_dims(tensor)]
            if kind in FLOATS
        )
    except (OSError, IndexError, ValueError, TypeError, OverflowError) as error:
        raise RunError(f"{path.parent.name}: {path.name}", "a file that is no ONNX network", "one") from error


def _kind_and_dims(tensor: memoryview) -> tuple[int, list[int]]:
    """TensorProto.data_type and TensorProto.dims, packed or not."""
    kind, dims = 0, []
    for number, value in _fields(tensor):
        if number == 2:
            kind = value
        elif number == 1 and isinstance(value, int):
            dims.append(value)
        elif number == 1:
            place = 0
            while place < len(value):
                size, place = _varint(value, place)
                dims.append(size)
    return kind, dims


def _fields(message: memoryview) -> Iterator[tuple[int, "int | memoryview"]]:
    """Number and value of each field of a protocol buffer (protobuf.dev, "Encoding").

    ValueError for what is none.
    """
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(message, place)
        elif wire in (1, 5):
            value, place = message[place : place + 8 // (1 if wire == 1 else 2)], place + (8 if wire == 1 else 4)
        elif wire == 2:
            size, place = _varint(message, place)
            if place + size > len(message):
                raise ValueError("a field that runs over the end")
            value, place = message[place : place + size], place + size
        else:
            raise ValueError("an unknown wire type")
        yield number, value


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place


@dataclass(frozen=True)
class Latency:
    """Milliseconds from a slice in memory to its prediction, one slice at a time: median and middle 90 % of `n`."""

    median: float
    low: float
    high: float
    n: int


def latency(predictor: Predictor, slice_: Slice, n: int = 30, warm: int = 3) -> Latency:
    """Time `n` predictions of one slice, preprocessing included, after `warm` that do not count."""
    taken = []
    for turn in range(warm + n):
        start = time.perf_counter()
        predictor.predict([slice_])
        if turn >= warm:
            taken.append(1000 * (time.perf_counter() - start))
    low, median, high = np.quantile(taken, (0.05, 0.5, 0.95)).tolist()
    return Latency(median, low, high, n)


# What may be done with a folder


def refusal(name: str) -> str | None:
    """Why the folder of a run may not be renamed or deleted, as a sentence; None where it may."""
    try:
        _own(name)
        _at_rest(runs.RUNS / name)
    except RunError as error:
        return f"This is {error.found}. Renaming and deleting take {error.expected}."
    return None


def note(name: str) -> str:
    """The note that somebody left on a run, plain text; "" where there is none that can be read."""
    try:
        return (runs.RUNS / name / NOTE).read_text(encoding="utf-8", errors="replace")[:LONGEST_NOTE]
    except OSError:
        return ""


def write_note(name: str, text: str) -> None:
    """Keep `text` as the run's note, or drop the note where it is blank. RunError says why it may not be."""
    path = _own(name) / NOTE
    if len(text) > LONGEST_NOTE:
        raise RunError(f"{name}: note", f"{len(text):,} characters", f"at most {LONGEST_NOTE:,}")
    if text.strip():
        runs.write_atomically(path, (text.strip() + "\n").encode("utf-8", errors="replace"))
    else:
        path.unlink(missing_ok=True)


def rename(name: str, new: str) -> None:
    """Rename a run's folder and the name in its config.json and model card. RunError says why it may not be.

    The folder's name is the one that counts. It changes in one step, after config.json, so that a crash in
    between leaves a run that works under its old name.
    """
    from core.card import write_card

    path, target = _at_rest(_own(name)), runs.RUNS / checked_name(new)
    if target.exists():
        raise RunError(new, "a run of that name", "another name")
    config = runs.read_json(path / "config.json")
    runs.write_json(path / "config.json", config | {"name": new})
    os.rename(path, target)
    if (target / "MODEL_CARD.md").is_file() and (target / "metrics.json").is_file():
        with suppress(RunError, LookupError, TypeError, AttributeError, ValueError, OSError):
            write_card(target)  # results that it cannot be made from leave the old card; the run is renamed


def checked_name(name: str) -> str:
    """The name, if a run may be called so; RunError for a path, a dot at the start, or an impossible name."""
    check_name(name)
    if re.search(r"[\x00-\x1f\x7f\\]", name) or name != name.strip():
        raise RunError(repr(name), "a name with signs that cannot be seen, or a backslash", "a plain name")
    if len(name.encode()) > LONGEST_NAME:
        raise RunError(f"{name[:20]}...", f"{len(name.encode())} bytes", f"a name of at most {LONGEST_NAME}")
    return name


def delete(name: str) -> str:
    """Move a run to the trash, from which nothing is ever purged; the name it has there, for `restore`."""
    path = _at_rest(_own(name))
    trash = runs.RUNS / TRASH
    trash.mkdir(exist_ok=True)
    kept = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    os.rename(path, trash / kept)
    return kept


def trashed() -> list[str]:
    """Names in the trash, the last deleted first; each is a run's name, a hyphen and the time (UTC)."""
    folder = runs.RUNS / TRASH
    names = (
        [path.name for path in folder.iterdir() if path.is_dir() and "-" in path.name] if folder.is_dir() else []
    )
    return sorted(names, key=lambda name: name.rpartition("-")[2], reverse=True)


def restore(kept: str) -> str:
    """Move a run back out of the trash; its name. RunError where the name is taken or nothing is there."""
    _not_hosted(kept)
    name = kept.rpartition("-")[0]
    if kept not in trashed():
        raise RunError(kept, "nothing of that name in the trash", "a run that was deleted")
    if (runs.RUNS / checked_name(name)).exists():
        raise RunError(name, "a run of that name", "a free name; rename that run first")
    os.rename(runs.RUNS / TRASH / kept, runs.RUNS / name)
    return name


def _not_hosted(name: str) -> None:
    if roots.hosted():
        raise RunError(name, "a run of a public demo, where runs are only looked at", "LungLens on your machine")


def _own(name: str) -> Path:
    """The folder of a run that may be written to."""
    _not_hosted(name)
    path = runs.RUNS / checked_name(name)
    if not path.is_dir():
        raise RunError(name, "no such run", "the name of a run")
    if name in runs.SHIPPED:
        raise RunError(name, "the run that ships with LungLens", "a run of your own")
    return path


def _at_rest(path: Path) -> Path:
    """The folder, unless a training or a cross-validation still needs it where it is."""
    # What predicts is written last; killed right after, a training leaves its checkpoint.
    begun = (path / "config.json").is_file() or (path / "checkpoint.pt").exists()
    if begun and not runs.is_finished(path):
        raise RunError(path.name, "a training that is not finished", "one that is, or that was resumed to its end")
    if any(path.glob("fold_*")):
        raise RunError(path.name, "a run in the middle of a cross-validation", "one that is done")
    return path
