"""What the page Performance asks of core: predictions, matrix, operating points, curves, pictures (cached)."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import pandas as pd
import streamlit as st

from core import curves, metrics, neighbours, operating, roots, runs, scored, thumbnails
from core.errors import DataError, ImageError, RunError
from core.images import iter_slices
from core.label_errors import LabelErrors, label_errors
from core.metrics import Estimate, Evaluation
from core.overlay import display_grey
from core.scored import Scored
from core.slices import Slice
from dashboard import loaders as shared
from dashboard.performance.link import SHA, Offer, Point

SMALL = 192
"""Pixels along the longer side of a picture in a gallery."""


@dataclass(frozen=True)
class Subject:
    """What is looked at: a run in one state of its folder, a scheme, and a source ("" for all)."""

    run: str
    version: str
    scheme: str
    source: str


Cells = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Picked:
    """Slices of a subject: all of them, or those in some cells of the matrix at a point."""

    subject: Subject
    point: Point = field(default_factory=Point)
    cells: Cells = ()


def subject(name: str, scheme: str, source: str) -> Subject:
    """The subject in the state in which the run's folder is now."""
    return Subject(name, _version(name), scheme, source)


def _version(name: str) -> str:
    return hashlib.blake2b(repr(shared.run_version(name)).encode(), digest_size=12).hexdigest()


def offer(name: str) -> Offer:
    """Schemes and sources of a run. Raises RunError; a run without predictions has no schemes."""
    return _offer(name, _version(name), tuple(shared.run_names()))


@st.cache_data(max_entries=8, show_spinner=False)
def _offer(name: str, version: str, names: tuple[str, ...]) -> Offer:
    run = runs.load_run(name)
    sources = {
        scheme: tuple(sorted(set(map(str, scored.load_scored(run, scheme).frame["source"]))))
        for scheme in scored.schemes(run)
    }
    return Offer(name, tuple(run.labels), sources, names)


@st.cache_resource(max_entries=8, show_spinner=False)
def predictions(of: Subject) -> Scored:
    """The predictions of a subject. Raises RunError."""
    if of.source:
        whole = predictions(Subject(of.run, of.version, of.scheme, ""))
        return whole.where(whole.frame["source"].to_numpy() == of.source)
    return scored.load_scored(runs.load_run(of.run), of.scheme)


@st.cache_data(max_entries=16, show_spinner=False)
def evaluation(of: Subject) -> Evaluation:
    """Every metric with its interval; fewer replicates where there are very many slices."""
    found = predictions(of)
    replicates = int(np.clip(4_000_000 // max(1, found.n_slices), 200, 2000))
    return metrics.evaluate(found.probabilities, found.targets, found.groups, found.labels, n_boot=replicates)


@st.cache_resource(max_entries=24, show_spinner=False)
def called(of: Subject, point: Point) -> np.ndarray:
    """Index of the called class of each slice, (n,)."""
    return operating.called(predictions(of), point.label, point.threshold)


@st.cache_resource(max_entries=128, show_spinner=False)
def matrix(of: Subject, point: Point) -> pd.DataFrame:
    """One row a cell, row by row: true, predicted, slices, groups, shares with bounds; read only."""
    return operating.confusion(predictions(of), called(of, point)).table()


def precision(of: Subject, point: Point) -> Estimate:
    """Of the slices that are called the point's class, the share that are of it."""
    table = matrix(of, point)
    [cell] = table[(table["true"] == point.label) & (table["predicted"] == point.label)].itertuples()
    return metrics.estimate(cell.column_share, cell.column_low, cell.column_high, cell.groups)


@st.cache_data(max_entries=128, show_spinner=False)
def balanced_accuracy(of: Subject, point: Point) -> Estimate:
    """Mean sensitivity of the classes, as they are called at a point."""
    if point == Point():
        return evaluation(of).balanced_accuracy
    found = predictions(of)
    cells = operating.cells_by_group(found.targets, called(of, point), found.groups, len(found.labels))
    return operating.balanced_accuracy(cells)


@st.cache_resource(max_entries=24, show_spinner=False)
def prepared(picked: Picked, label: str) -> operating.Prepared | None:
    """One class against the rest, sorted once; None where only one side of it is there."""
    try:
        return operating.prepare(_part(picked), label)
    except DataError:
        return None


def operating_point(
    of: Subject, label: str, threshold: float, prevalence: float
) -> operating.OperatingPoint | None:
    """Counts, sensitivity, specificity, PPV and NPV with their intervals; prevalence as a share.

    None where the slices hold none of the class, or nothing else.
    """
    ready = prepared(Picked(of), label)
    return None if ready is None else operating.at(ready, threshold, prevalence)


def mask(picked: Picked) -> np.ndarray:
    """Which slices of the subject lie in the cells, bool (n,); all of them where no cell is chosen."""
    found = predictions(picked.subject)
    if not picked.cells:
        return np.ones(found.n_slices, bool)
    size = len(found.labels)
    wanted = np.zeros(size * size, bool)
    for true, predicted in picked.cells:
        wanted[found.index(true) * size + found.index(predicted)] = True
    return wanted[found.targets * size + called(picked.subject, picked.point)]


def wrong(of: Subject, point: Point) -> np.ndarray:
    """Which slices are called another class than their own, bool (n,)."""
    return called(of, point) != predictions(of).targets


@st.cache_resource(max_entries=16, show_spinner=False)
def rows(picked: Picked, order: str) -> np.ndarray:
    """Rows of a gallery: the chosen cells, or all that is called wrongly, by the probability of the called class.

    `order` is "most" or "least" (confident first); equal ones in the order of the file.
    """
    chosen = mask(picked) if picked.cells else wrong(picked.subject, picked.point)
    places = np.flatnonzero(chosen)
    predicted = called(picked.subject, picked.point)[places]
    confidence = predictions(picked.subject).probabilities[places, predicted]
    return places[np.argsort(confidence if order == "least" else -confidence, kind="stable")]


def listed(of: Subject, point: Point, places: np.ndarray) -> pd.DataFrame:
    """One row a slice, in the order of `places`: row, true, called, confidence, source, file, group, sha256."""
    found = predictions(of)
    labels = np.array(found.labels)
    predicted = called(of, point)[places]
    frame = found.frame.iloc[places]
    return pd.DataFrame(
        {
            "row": places,
            "true": labels[found.targets[places]],
            "called": labels[predicted],
            "confidence": found.probabilities[places, predicted],
            **{name: frame[name].to_numpy() for name in ("source", "file", "group", "sha256")},
        }
    )


def row_of(of: Subject, image: str) -> int | None:
    """The row of the image whose checksum begins so, or None."""
    if len(image) < SHA:
        return None
    found = np.flatnonzero(_signs(of) == image)
    return int(found[0]) if len(found) else None


@st.cache_resource(max_entries=4, show_spinner=False)
def _signs(of: Subject) -> np.ndarray:
    return predictions(of).frame["sha256"].str.slice(0, SHA).to_numpy(dtype=str)


def _part(picked: Picked) -> Scored:
    found = predictions(picked.subject)
    return found.where(mask(picked)) if picked.cells else found


def _without_point(picked: Picked) -> Picked:
    """Without cells the threshold changes nothing, and must not make a cache miss."""
    return picked if picked.cells else Picked(picked.subject)


def curve(picked: Picked, label: str, kind: str) -> "curves.Curve | None":
    """The "roc" or "pr" curve of a class, or None where only one side of it is there."""
    return _curve(_without_point(picked), label, kind)


@st.cache_resource(max_entries=48, show_spinner=False)
def _curve(picked: Picked, label: str, kind: str) -> "curves.Curve | None":
    part = _part(picked)
    draw = curves.roc if kind == "roc" else curves.precision_recall
    try:
        return draw(part, label, n_boot=_replicates(part))
    except DataError:
        return None


def net_benefit(picked: Picked, label: str, prevalence: float) -> pd.DataFrame | None:
    """Decision curve of a class at a prevalence (a share): threshold, strategy, net_benefit, low, high.

    None where only one side of the class is there.
    """
    return _net_benefit(_without_point(picked), label, prevalence)


@st.cache_resource(max_entries=48, show_spinner=False)
def _net_benefit(picked: Picked, label: str, prevalence: float) -> pd.DataFrame | None:
    ready = prepared(picked, label)
    return None if ready is None else operating.net_benefit(ready, prevalence=prevalence)


def reliability(picked: Picked, label: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bins of a class (of the called class for None) after and before temperature."""
    return _reliability(_without_point(picked), label)


@st.cache_resource(max_entries=48, show_spinner=False)
def _reliability(picked: Picked, label: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    part = _part(picked)
    return curves.reliability(part, label), curves.reliability(part, label, temperature=1.0)


@st.cache_data(max_entries=16, show_spinner=False)
def calibration(of: Subject) -> pd.DataFrame:
    """ECE, Brier score and cross-entropy before and after the run's temperature."""
    found = predictions(of)
    return curves.calibration_before_after(found, n_boot=_replicates(found))


def _replicates(found: Scored) -> int:
    """Replicates of a bootstrap of curves: fewer where there are very many slices."""
    return int(np.clip(2_000_000 // max(1, found.n_slices), 100, 400))


def columns(of: Subject) -> list[str]:
    """Manifest columns to compare by."""
    return scored.slice_columns(predictions(of))


@st.cache_data(max_entries=32, show_spinner=False)
def by_column(of: Subject, point: Point, column: str) -> pd.DataFrame:
    """One row per value and metric: value_of, metric, value, low, high, slices, groups, note."""
    return curves.by_slice(predictions(of), column, point.label, point.threshold)


@st.cache_data(max_entries=32, show_spinner=False)
def cells_by_column(of: Subject, point: Point, cells: Cells, column: str) -> pd.DataFrame:
    """One row per value and cell: value_of, true, called, share of the true class's slices, low, high, counts."""
    found = predictions(of)
    values = found.frame[column].astype("string")
    tables = []
    for value in sorted(values.dropna().unique()):
        here = (values == value).fillna(False).to_numpy(bool)
        table = operating.confusion(found.where(here), called(of, point)[here]).table()
        rows_of = table.groupby("true")["slices"].transform("sum")
        table = table.assign(value_of=value, of=rows_of)
        tables.append(table[[pair in cells for pair in zip(table["true"], table["predicted"], strict=True)]])
    table = pd.concat(tables, ignore_index=True)
    return table[table["of"] > 0].reset_index(drop=True)


@st.cache_data(max_entries=16, show_spinner=False)
def report(of: Subject, point: Point) -> pd.DataFrame:
    """scikit-learn's report: name, precision, recall, f1-score, support."""
    return operating.classification_report(predictions(of), called(of, point))


@st.cache_resource(max_entries=8, show_spinner=False)
def suspects(of: Subject) -> LabelErrors:
    """Likely label errors. Raises DataError where the scheme is not out of fold."""
    return label_errors(predictions(of))


def picture(of: Subject, source: str, file: str, sha256: str) -> bytes | None:
    """A small picture of an image: a kept phantom, or the image itself where it is on this machine."""
    kept = _kept(of.run, of.version).get(sha256)
    if kept is not None:
        return kept
    found = read_slice(source, file, sha256)
    return None if found is None else _small(sha256, found)


@st.cache_resource(max_entries=4, show_spinner=False)
def _kept(name: str, version: str) -> Mapping[str, bytes]:
    return thumbnails.read(runs.load_run(name))


@st.cache_data(max_entries=512, show_spinner=False)
def _small(sha256: str, _slice: Slice) -> bytes:
    """The slice in a black square, so that a gallery has even rows."""
    grey = display_grey(_slice.pixels, _slice.unit)
    height, width = grey.shape
    shrink = SMALL / max(height, width)
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    square = np.zeros((SMALL, SMALL), np.uint8)
    top, left = (SMALL - size[1]) // 2, (SMALL - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".png", square)[1].tobytes()


def read_slice(source: str, file: str, sha256: str) -> Slice | None:
    """The slice of a run's row, or None where the very same image is not on this machine."""
    content = roots.read_image(source, file, sha256)
    return None if content is None else _first(content, file)


def phantom_slice(file: str, group: str, sha256: str) -> Slice | None:
    """The slice of a run's row that is a phantom, drawn again by its formula; None where it is none."""
    content = _phantom(file, group, sha256) if thumbnails.is_phantom(group) else None
    return None if content is None else _first(content, file)


@st.cache_data(max_entries=16, show_spinner=False)
def _phantom(file: str, group: str, sha256: str) -> bytes | None:
    try:
        return thumbnails.drawn(file, group, sha256)
    except DataError:
        return None


def _first(content: bytes, file: str) -> Slice | None:
    return next((item for item in iter_slices(content, file) if isinstance(item, Slice)), None)


def reading(name: str, found: Slice) -> shared.Reading | None:
    """What the run's final model says of a slice, with heat maps; None where the run ships no model."""
    try:
        return shared.classify([found], shared.predictor(name))[0]
    except (RunError, ImageError):
        return None


def nearest(name: str, found: Slice, sha256: str, k: int = 4) -> pd.DataFrame:
    """The training slices most like a slice, itself left out: source, file, label, sha256, distance, percentile.

    Raises RunError where the run has no index or no model.
    """
    features = shared.predictor(name).features([found])
    return neighbours.nearest(name, features, k, leave_out_sha256=sha256)
