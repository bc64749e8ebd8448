"""All that the pages ask of core: runs, models and samples (cached), a visitor's files (never cached)."""

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import streamlit as st

from core import allowance as allowances
from core import conformal, heaps, neighbours, roots, runs, scored
from core.allowance import Admitted, Allowance, Upload
from core.conformal import Thresholds
from core.errors import ImageError, RunError
from core.images import count_members, iter_slices
from core.isolated import Decoder
from core.labels import LABELS
from core.overlay import display_grey
from core.predictor import Prediction, Predictor
from core.preprocess import Box
from core.slices import Slice
from core.stability import heat_in_lungs, try_changes

ROOT = Path(__file__).resolve().parents[1]
share_heaps, give_memory_back = heaps.share, heaps.give_back
SAMPLES = ROOT / "data" / "samples"
SOURCES = {
    "iq_othnccd": "IQ-OTH/NCCD",
    "mosmed": "MosMedData",
    "covid_ct": "COVID-CT",
    "chest_ctscan": "Chest CT-Scan",
    "ho": "HO",
}
"""Training sources by the names they are known by."""

BATCH = 8
"""Slices classified in one call: few enough that progress is seen and little is held in memory."""

LONGEST_SIDE = 1024
"""Pixels along the longer side of the copy that is kept to be looked at; the model saw the whole slice."""


SCHEMES = {
    "source": "Left-out sources",
    "group": "Grouped folds",
    "test": "Test images",
    "validation": "Validation images",
    "phantoms": "Phantoms",
}
"""How predictions were made, the least flattering first, and the kept test that ships."""


def scheme_title(scheme: str) -> str:
    """A scheme in words; another kept test by its name."""
    return SCHEMES.get(scheme, f"Kept test: {scheme}")


def run_names() -> list[str]:
    """The finished model runs on this machine, the one that ships first."""
    return runs.list_runs()


def run(name: str) -> runs.Run:
    """Config, metrics and card of a run. Raises RunError."""
    return runs.load_run(name)


def source_title(source: str) -> str:
    """A training source by the name it is known by; one that is not listed stands for itself."""
    return SOURCES.get(source, source)


LEFT_OUT_COLUMNS = ["source", "label", "value", "low", "high", "words", "slices"]


def left_out_table(metrics: dict) -> pd.DataFrame:
    """One row per left-out source and class: the share of its slices called correctly, 95 % interval.

    Columns source (in words), label, value, low, high, words ("0.66 (0.60 to 0.72)"), slices. Empty where
    the run was not measured in this way.
    """
    rows = []
    for source, result in (metrics.get("leave_one_source_out") or {}).items():
        for label, report in result["classes"].items():
            if not report["support"]:
                continue
            value, low, high = (report["sensitivity"][name] for name in ("value", "low", "high"))
            words = f"{value:.2f} ({low:.2f} to {high:.2f})"
            rows.append((source_title(source), label, value, low, high, words, report["support"]))
    table = pd.DataFrame(rows, columns=LEFT_OUT_COLUMNS)
    order = table["label"].map({label: place for place, label in enumerate(LABELS)})
    return table.assign(order=order).sort_values(["order", "source"]).drop(columns="order").reset_index(drop=True)


COVERAGES = (0.8, 0.85, 0.9, 0.95, 0.99)
"""Coverages of prediction sets to choose from."""


def sets(name: str, coverage: float) -> Thresholds | None:
    """What decides which classes a slice could be; None for a run without predictions to set it on."""
    return _sets(name, coverage, run_version(name))


@st.cache_data(max_entries=32, show_spinner=False)
def _sets(name: str, coverage: float, version: tuple) -> Thresholds | None:
    try:
        return conformal.of_run(runs.load_run(name), coverage)
    except RunError:
        return None


def held(name: str, coverage: float) -> dict[str, dict] | None:
    """core.conformal.left_out of a run: what such sets hold, by source; None where it is not measured."""
    return _held(name, coverage, run_version(name))


@st.cache_data(max_entries=32, show_spinner=False)
def _held(name: str, coverage: float, version: tuple) -> dict[str, dict] | None:
    run = runs.load_run(name)
    if not {"source", "group"} <= set(scored.schemes(run)):
        return None
    return conformal.left_out(scored.load_scored(run, "group"), scored.load_scored(run, "source"), coverage)


def estimate_words(found: dict) -> str:
    """As in "0.66 (0.60 to 0.72)"."""
    interval = "" if found["low"] is None else f" ({found['low']:.2f} to {found['high']:.2f})"
    return f"{found['value']:.2f}{interval}"


def gate_words(metrics: dict) -> str:
    """How often the gate of a run refuses lung slices of other sources, and pictures that are none."""
    found = metrics.get("gate") or {}
    passed = list((found.get("passed") or {}).get("leave_one_source_out", {}).values())
    if not passed:
        return "How often this run refuses lung slices of other sources was not measured."
    wrong = sum(round((1 - share["value"]) * share["slices"]) for share in passed)
    slices, worst = sum(share["slices"] for share in passed), 1 - min(share["value"] for share in passed)
    words = (
        f"Wrongly refused: {wrong} of {slices:,} lung slices of {len(passed)} sources, each left out of training "
        f"in turn, at most {100 * worst:.0f} % of one source; the limit was set on these."
    )
    outside = list((found.get("outside") or {}).values())
    if outside:
        whole = sum(counted["refused"]["slices"] for counted in outside)
        gone = whole - sum(len(counted["answered"]) for counted in outside)
        words += f" Of {whole:,} pictures that are no lung CT slice, {gone:,} were refused."
    return words


def predictor(name: str) -> Predictor:
    """The model of a run, shared by all visitors. Raises RunError."""
    return _predictor(name, run_version(name))


@st.cache_resource(max_entries=4, show_spinner=False)
def _predictor(name: str, version: tuple) -> Predictor:
    return Predictor.load(name)


def run_version(name: str) -> tuple:
    """What tells one state of a run's folder from the next: names, sizes and times of its files."""
    folder = runs.RUNS / name
    stamps = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        try:
            found = path.stat()
        except FileNotFoundError:  # the temporary file of a training under way
            continue
        stamps.append((path.name, found.st_size, found.st_mtime_ns))
    return name, *stamps


@dataclass(frozen=True)
class Sample:
    """One synthetic sample: what it is called, what it was drawn as, its file and its small picture."""

    id: str
    title: str
    label: str
    path: Path
    thumbnail: bytes


def samples() -> list[Sample]:
    """The synthetic samples in the order of the page, a series first; [] where none are installed."""
    manifest = SAMPLES / "manifest.csv"
    return _samples(SAMPLES, manifest.stat().st_mtime_ns) if manifest.is_file() else []


@st.cache_data(max_entries=2, show_spinner=False)
def _samples(folder: Path, version: int) -> list[Sample]:
    rows = [row for row in _listed(folder / "manifest.csv") if (folder / row["file"]).is_file()]
    series = [row for row in rows if row["file"].endswith(".zip")]
    single = _mixed([row for row in rows if not row["file"].endswith(".zip")])
    titles = ["Series"] if len(series) == 1 else [f"Series {number}" for number in range(1, len(series) + 1)]
    titles += [f"Sample {number}" for number in range(1, len(single) + 1)]
    found = []
    for row, title in zip(series + single, titles, strict=True):
        path = folder / row["file"]
        found.append(Sample(path.stem, title, row["label"], path, _thumbnail(path)))
    return found


def _listed(manifest: Path) -> list[dict[str, str]]:
    """The rows of the samples' manifest; ImageError where it is damaged."""
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ImageError(manifest.name, "a file that is no table", "file and label of each sample") from error
    if not all(row.get("file") and row.get("label") for row in rows):
        raise ImageError(manifest.name, "rows without a file or a label", "file and label of each sample")
    return rows


def _mixed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Rows with the classes taking turns, so that the first few show each of them."""
    seen = Counter()
    turns = []
    for row in rows:
        turns.append((seen[row["label"]], row["label"]))
        seen[row["label"]] += 1
    return [row for _, row in sorted(zip(turns, rows, strict=True), key=lambda pair: pair[0])]


def _thumbnail(path: Path) -> bytes:
    """The middle slice of a sample as a small PNG, black where the file is damaged: opened, it says so."""
    slices = [item for item in iter_slices(path.read_bytes(), path.name) if isinstance(item, Slice)]
    black = Slice(np.zeros((8, 8), np.uint8), "grey", path.name, None)
    return small_png(slices[len(slices) // 2] if slices else black)


def small_png(slice_: Slice) -> bytes:
    """A slice in the lung window, 192 pixels long."""
    from dashboard.pictures import png

    grey = display_grey(slice_.pixels, slice_.unit)
    height, width = grey.shape
    side = 192 / max(height, width)
    small = (max(1, round(width * side)), max(1, round(height * side)))
    return png(cv2.resize(grey, small, interpolation=cv2.INTER_AREA))


@dataclass(frozen=True, eq=False)
class Reading:
    """One slice as read and classified, packed so that a session can keep a thousand of them."""

    name: str
    frame: int | None
    unit: str
    shape: tuple[int, int]
    spacing: tuple[float, float] | None
    position: float | None
    warnings: tuple[str, ...]
    prediction: Prediction
    milliseconds: float
    packed: bytes
    looked_at: dict[str, Any] = field(default_factory=dict)
    """What was found of it on demand (`changes`, `nearest`), so that moving a control finds it once."""

    def slice(self) -> Slice:
        """The slice as it is kept."""
        return Slice(self.pixels(), self.unit, self.name, self.frame)

    def pixels(self) -> np.ndarray:
        """(h, w) int16 Hounsfield units or uint8 grey, at most LONGEST_SIDE pixels long."""
        coded = cv2.imdecode(np.frombuffer(self.packed, np.uint8), cv2.IMREAD_UNCHANGED)
        return coded if self.unit == "grey" else (coded.astype(np.int32) - 32768).astype(np.int16)

    def heatmap(self, label: str | None = None) -> np.ndarray:
        """(h, w) float32 0..1, aligned with `pixels()`."""
        heat = self.prediction.heatmap(label)
        height, width = _kept_shape(self.shape)
        return heat if heat.shape == (height, width) else cv2.resize(heat, (width, height))


def _kept_shape(shape: tuple[int, int]) -> tuple[int, int]:
    shrink = min(1.0, LONGEST_SIDE / max(shape))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


@dataclass(frozen=True)
class Changed:
    """A slice after a small change: which, a small picture, what it is called (None: refused), probabilities."""

    words: str
    picture: bytes
    label: str | None
    probabilities: dict[str, float]


def changes(reading: Reading, model: Predictor) -> list[Changed]:
    """What a run says of a slice as it is, first, and after small changes; kept with the slice once asked for."""
    if "changes" not in reading.looked_at:
        reading.looked_at["changes"] = [
            Changed(one.words, small_png(one.slice), one.prediction.label, one.prediction.probabilities)
            for one in try_changes(model, reading.slice())
        ]
    return reading.looked_at["changes"]


def nearest(reading: Reading, name: str) -> pd.DataFrame | None:
    """The five training slices that look most alike to the run, numbers only; None where it has no index."""
    if "nearest" not in reading.looked_at:
        try:
            features = predictor(name).features([reading.slice()])
            found = _index(name, run_version(name)).nearest(features)
        except (RunError, ValueError):
            found = None
        reading.looked_at["nearest"] = found
    return reading.looked_at["nearest"]


def heat(reading: Reading) -> tuple[float, float] | None:
    """core.stability.heat_in_lungs of the called class."""
    if "heat" not in reading.looked_at:
        whole = reading.prediction
        scale = reading.pixels().shape[0] / reading.shape[0]
        box = Box(
            *(round(end * scale) for end in (whole.box.top, whole.box.left, whole.box.height, whole.box.width))
        )
        reading.looked_at["heat"] = heat_in_lungs(reading.slice(), reading.heatmap(), box)
    return reading.looked_at["heat"]


@st.cache_resource(max_entries=4, show_spinner=False)
def _index(name: str, version: tuple) -> neighbours.Index:
    return neighbours.load(name)


def pack(pixels: np.ndarray, unit: str) -> bytes:
    """Pixels as a PNG in memory, 16 bit for Hounsfield units: lossless at about half of the bytes."""
    height, width = _kept_shape(pixels.shape)
    if pixels.shape != (height, width):
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    if unit == "grey":
        coded = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    else:
        coded = (np.clip(np.rint(pixels), -32768, 32767).astype(np.int32) + 32768).astype(np.uint16)
    return cv2.imencode(".png", coded, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


@dataclass(eq=False)
class FileRead:
    """One file of a visitor, or a sample: its slices in order and what in it could not be read."""

    key: str
    name: str
    sample: Sample | None = None
    readings: list[Reading] = field(default_factory=list)
    errors: list[ImageError] = field(default_factory=list)
    finished: bool = False
    stopped: bool = False


def together(files: Sequence[FileRead]) -> FileRead | None:
    """Single slices of one size and spacing with known positions, as if they were one series, feet to head.

    A series is often dropped as loose DICOM files; None where fewer than three files look like one.
    """
    single = [source.readings[0] for source in files if len(source.readings) == 1 and not source.sample]
    alike = {(reading.shape, reading.spacing, reading.unit) for reading in single}
    positions = {reading.position for reading in single}
    if len(single) < 3 or len(alike) > 1 or None in positions or len(positions) < len(single):
        return None
    ordered = sorted(single, key=lambda reading: reading.position)
    return FileRead("together", f"{len(single)} files in order of position", readings=ordered, finished=True)


def series_table(source: FileRead) -> pd.DataFrame:
    """One row per slice and class: slice (from 1), label, probability, which is NaN where a slice was refused."""
    labels = next((list(r.prediction.probabilities) for r in source.readings if not r.prediction.refused), LABELS)
    return pd.DataFrame(
        [
            (number, label, reading.prediction.probabilities.get(label, float("nan")))
            for number, reading in enumerate(source.readings, start=1)
            for label in labels
        ],
        columns=["slice", "label", "probability"],
    )


def series_order(source: FileRead) -> str:
    """The axis of a series in words, with its direction where positions tell it."""
    positions = [reading.position for reading in source.readings]
    if None in positions or positions[0] == positions[-1]:
        return "Slice, in the order of the file"
    return "Slice, feet to head" if positions[0] < positions[-1] else "Slice, head to feet"


@st.cache_resource(show_spinner=False)
def decoder() -> Decoder:
    """What decodes the files of all visitors, in processes of their own."""
    return Decoder()


def hosted() -> bool:
    """Whether this is a public server."""
    return roots.hosted()


def allowance() -> Allowance:
    """What a visit may upload here."""
    return allowances.allowance()


def admit(uploads: Sequence[tuple[str, str, int]], begun: Mapping[str, float], now: float) -> Admitted:
    """core.allowance.Allowance.admit of a visit's files, (key, name, bytes) each."""
    return allowance().admit([Upload(*upload) for upload in uploads], begun, now)


@st.cache_resource(max_entries=4, show_spinner=False)
def samples_read(name: str, version: tuple) -> dict[str, FileRead]:
    """What the samples gave under one state of a run, by key, to be added to: they are the same for everybody."""
    return {}


def read_file(source: FileRead, data: bytes, model: Predictor, tell: Callable[[int, int | None], None]) -> None:
    """Read and classify every slice of one file into `source`; `tell(done, total)` after each batch.

    Nothing is written or logged, and of each slice only a packed copy stays. `total` is None where the
    number of slices cannot be known before reading. A file that hangs or crashes its decoder is an error in
    `source`; a visitor who leaves in the midst of a file ends its decoding.
    """
    total = count_members(data)
    with closing(decoder().iter_slices(data, source.name)) as items:
        for batch in _batches(items):
            slices = [item for item in batch if isinstance(item, Slice)]
            source.errors += [item for item in batch if isinstance(item, ImageError)]
            source.readings += classify(slices, model)
            tell(len(source.readings) + len(source.errors), total)
    source.finished = True


def _batches(items: Iterable[Slice | ImageError]) -> Iterator[list[Slice | ImageError]]:
    items = iter(items)
    while batch := list(islice(items, BATCH)):
        yield batch


def classify(slices: list[Slice], model: Predictor) -> list[Reading]:
    """One Reading a slice, in order; the time of the batch is shared out evenly."""
    start = time.perf_counter()
    predictions = model.predict(slices) if slices else []
    each = 1000 * (time.perf_counter() - start) / max(1, len(slices))
    return [
        Reading(
            name=item.name,
            frame=item.frame,
            unit=item.unit,
            shape=item.pixels.shape,
            spacing=item.spacing,
            position=item.position,
            warnings=prediction.warnings,
            prediction=prediction,
            milliseconds=each,
            packed=pack(item.pixels, item.unit),
        )
        for item, prediction in zip(slices, predictions, strict=True)
    ]
