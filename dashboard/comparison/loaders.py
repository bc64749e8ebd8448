"""What the page Runs asks of core: the catalogue, curves, comparisons, latency (cached), and changes to folders."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np
import pandas as pd
import streamlit as st

from core import catalogue, comparison, roots, runs
from core.catalogue import Catalogue, Latency
from core.comparison import Comparison
from core.errors import RunError
from core.metrics import Estimate
from core.phantom import phantom
from core.predictor import Predictor
from dashboard import loaders as shared

MOST_MARKS = 900
"""Points drawn in one figure, all its lines together."""


def hosted() -> bool:
    """Whether this is a public demo, where runs are only looked at."""
    return roots.hosted()


NETWORK = ("model.onnx", "ensemble.json")
READ = ("config.json", "metrics.json", "history.csv", *NETWORK)


def _version() -> tuple:
    return tuple((path.name, _file_version(path.name, *READ)) for path in catalogue.run_folders())


def read_catalogue() -> Catalogue:
    """All runs and their scores, as they are now."""
    return _catalogue(str(runs.RUNS), _version())


@st.cache_data(max_entries=4, show_spinner=False)
def _catalogue(root: str, version: tuple) -> Catalogue:
    return catalogue.read_catalogue()


def runs_table() -> pd.DataFrame:
    """One row per run, newest first: what core.catalogue.Catalogue.runs has, and its headline figure.

    Added: scheme (of the headline figure), value, low, high (balanced accuracy), n_slices, n_groups; auc, auc_low,
    auc_high and auc_of (of the same scheme, the lowest of the left-out sources); size_mb, parameters; latency,
    latency_low, latency_high in ms (NaN until measured); note.
    """
    found = read_catalogue()
    rows = []
    for row in found.runs.to_dict("records"):
        own = found.scores[found.scores["name"] == row["name"]]
        finished = row["state"] == "finished"
        rows.append(row | _headline(row["name"], own) | (_cost(row["name"]) if finished else {}))
        rows[-1]["note"] = catalogue.note(row["name"])
    columns = [*found.runs.columns, *HEADLINE, *COST, "note"]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(columns)))


HEADLINE = ("scheme", "value", "low", "high", "n_slices", "n_groups", "auc", "auc_low", "auc_high", "auc_of")
COST = ("size_mb", "parameters", "latency", "latency_low", "latency_high")


def _headline(name: str, scores: pd.DataFrame) -> dict:
    """The least flattering figure that a run has; empty where nothing was measured."""
    if scores.empty:
        return {}
    scheme = scores["scheme"].iloc[0]
    own = scores[scores["scheme"] == scheme]
    if scheme == "kept test":  # each is a test of its own: the one with the lowest figure, by its name
        own = own.sort_values("balanced_accuracy", kind="stable").head(1)
        scheme = own["part"].iloc[0]
    first = own.iloc[0]
    found = {"scheme": scheme, "n_slices": int(own["n_slices"].sum()), "n_groups": int(own["n_groups"].sum())}
    found |= dict(zip(("value", "low", "high"), first.filter(regex="^balanced").tolist(), strict=True))
    if scheme == "source":
        found |= _pooled(name)
    known = own[own["auc"].notna()]
    if len(known):
        weakest = known.loc[known["auc"].idxmin()]
        found |= {column: weakest[column] for column in ("auc", "auc_low", "auc_high")}
        found["auc_of"] = shared.source_title(weakest["part"]) if scheme == "source" else ""
    return found


def _pooled(name: str) -> dict:
    """The left-out figure over all sources; without its predictions there is none."""
    try:
        found = _left_out(str(runs.RUNS), name, _file_version(name, *PREDICTED))
    except RunError:
        found = None
    if found is None:
        return dict.fromkeys(("value", "low", "high"))
    estimate, n_slices, n_groups = found
    return {
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n_slices": n_slices,
        "n_groups": n_groups,
    }


@st.cache_data(max_entries=64, show_spinner=False)
def _left_out(root: str, name: str, version: tuple) -> tuple[Estimate, int, int] | None:
    return comparison.left_out(runs.RUNS / name)


PREDICTED = ("config.json", "predictions.parquet")


def _file_version(name: str, *files: str) -> tuple:
    """Size and time of files of a run, None for one that is not there."""
    found = []
    for file in files:
        try:
            about = (runs.RUNS / name / file).stat()
            found.append((about.st_size, about.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


def _cost(name: str) -> dict:
    try:
        size, checksum, parameters = _model(str(runs.RUNS), name, _file_version(name, *NETWORK))
    except RunError:
        return {}
    known = _latencies().get(checksum)
    found = {"size_mb": size / 1e6, "parameters": parameters}
    return found | (
        {"latency": known.median, "latency_low": known.low, "latency_high": known.high} if known else {}
    )


@st.cache_data(max_entries=256, show_spinner=False)
def _model(root: str, name: str, version: tuple) -> tuple[int, str, int | None]:
    """Bytes, checksum and number of parameters of a run's network or members. RunError where one cannot be read."""
    paths = catalogue.networks(runs.RUNS / name)
    try:
        content = b"".join(path.read_bytes() for path in paths)
    except OSError as error:
        raise RunError(f"{name}: model.onnx", "no file that can be read", "the run's network") from error
    try:
        parameters = sum(map(catalogue.parameters, paths))
    except RunError:
        parameters = None
    return len(content), hashlib.sha256(content).hexdigest(), parameters


@st.cache_resource(max_entries=1, show_spinner=False)
def _latencies() -> dict[str, Latency]:
    """What was measured since the start, by the network's checksum; kept in no run."""
    return {}


@st.cache_resource(max_entries=1, show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    """Two measurements at once would slow each other down."""
    return threading.Lock()


def measure_latency(names: list[str], tell: Callable[[str, float], None]) -> list[RunError]:
    """Time each run's network on one drawn slice, `tell(name, share done)` before each; what could not be timed.

    Runs with the very same network are timed once.
    """
    drawn, errors, timed = phantom("normal", 0).slice, [], set()
    with _one_at_a_time():
        for place, name in enumerate(names):
            tell(name, place / len(names))
            try:
                checksum = _model(str(runs.RUNS), name, _file_version(name, *NETWORK))[1]
                if checksum in timed:
                    continue
                timed.add(checksum)
                _latencies()[checksum] = catalogue.latency(Predictor.load(name), drawn)
            except RunError as error:
                errors.append(error)
    return errors


# Two runs on the same images


def common_schemes(first: str, second: str) -> tuple[str, ...]:
    """Schemes that both runs have predictions of, those in which they share an image first, the least flattering
    of them before the others.
    """
    one, two = (_schemes(str(runs.RUNS), name, _file_version(name, *PREDICTED)) for name in (first, second))
    shared_first = [*shared_schemes(first, second), *(scheme for scheme in one if scheme in two)]
    return tuple(dict.fromkeys(shared_first))


@st.cache_data(max_entries=64, show_spinner=False)
def _schemes(root: str, name: str, version: tuple) -> dict[str, int]:
    return comparison.read_schemes(runs.RUNS / name)


def shared_schemes(first: str, second: str) -> dict[str, int]:
    """Schemes in which two runs share images, and how many; see core.comparison.shared_schemes."""
    versions = tuple(_file_version(name, *PREDICTED) for name in (first, second))
    return _shared_schemes(str(runs.RUNS), first, second, versions)


@st.cache_data(max_entries=256, show_spinner=False)
def _shared_schemes(root: str, first: str, second: str, versions: tuple) -> dict[str, int]:
    return comparison.shared_schemes(runs.RUNS / first, runs.RUNS / second)


def first_pair(names: Sequence[str]) -> tuple[str, str]:
    """Of finished runs, newest first, the newest that was tested on images of an older one, as (older, newest).

    The two newest where no two were; "" stands for a run that there is not.
    """
    for place, second in enumerate(names[:MOST_TRIED]):
        for first in names[place + 1 : MOST_TRIED]:
            with suppress(RunError):
                if shared_schemes(first, second):
                    return first, second
    newest, before = (*names, "", "")[:2]
    return before, newest


MOST_TRIED = 12


def compare(first: str, second: str, scheme: str) -> Comparison:
    """Two runs on the images that both predicted. Raises RunError, which says why they cannot be compared."""
    versions = tuple(_file_version(name, *PREDICTED) for name in (first, second))
    return _compare(str(runs.RUNS), first, second, scheme, versions)


@st.cache_data(max_entries=32, show_spinner=False)
def _compare(root: str, first: str, second: str, scheme: str, versions: tuple) -> Comparison:
    return comparison.compare(runs.RUNS / first, runs.RUNS / second, scheme)


# Curves


def curves(names: tuple[str, ...]) -> pd.DataFrame:
    """One row per run and epoch; see core.catalogue.read_curves."""
    return _curves(
        str(runs.RUNS), names, tuple(_file_version(name, "history.csv", "config.json") for name in names)
    )


@st.cache_data(max_entries=32, show_spinner=False)
def _curves(root: str, names: tuple[str, ...], versions: tuple) -> pd.DataFrame:
    return catalogue.read_curves(names)


def lines(table: pd.DataFrame, measure: str, part: str, x: str, weight: float) -> pd.DataFrame:
    """One row per run, part and epoch in which `measure` was measured: run, part, epoch, x, value, smoothed, low,
    high (95 % interval of a validation accuracy, NaN where it has none).

    `part` is "train", "validation" or "both"; "" stands for a measure of the whole run.
    """
    whole = measure in table.columns
    parts = [""] if whole else ["validation", "train"] if part == "both" else [part]
    found = []
    for (name, rows), own in ((item, own) for item in table.groupby("name", sort=False) for own in parts):
        column = measure if whole else f"{own}_{measure}"
        values = rows[column].to_numpy(np.float64)
        interval = [rows.get(f"{column}_{end}", pd.Series(np.nan, rows.index)) for end in ("low", "high")]
        found.append(
            pd.DataFrame(
                {
                    "run": name,
                    "part": own,
                    "epoch": rows["epoch"],
                    "x": rows[x],
                    "value": values,
                    "smoothed": comparison.smooth(values, weight),
                    "low": interval[0],
                    "high": interval[1],
                }
            )
        )
    columns = ["run", "part", "epoch", "x", "value", "smoothed", "low", "high"]
    both = pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=columns)
    return both[both["value"].notna() & np.isfinite(both["x"].astype(float))].reset_index(drop=True)


def thinned(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of `lines` that are drawn: all, or of each line its ends and its peaks, MOST_MARKS marks together.

    A row is two marks (raw and smoothed), three where it has an interval.
    """
    each = [own for _, own in table.groupby(["run", "part"], sort=False)]
    if not each:
        return table
    marks = 2 + int(table["low"].notna().any())
    most = max(4, MOST_MARKS // (marks * len(each)))
    return pd.concat([own.iloc[comparison.thin(own["value"].to_numpy(), most)] for own in each], ignore_index=True)


# Changes to folders


def refusal(name: str) -> str | None:
    """Why a run may be neither renamed nor deleted; None where it may."""
    return catalogue.refusal(name)


def note_refusal(name: str) -> str | None:
    """Why no note can be left on a run; None where one can."""
    return refusal(name) if hosted() or name == runs.DEMO else None


def rename(name: str, new: str) -> None:
    """Raises RunError for a name that cannot be, or a run that stays as it is."""
    catalogue.rename(name, new)


def write_note(name: str, text: str) -> None:
    """Raises RunError for a note that is too long, or a run that stays as it is."""
    catalogue.write_note(name, text)


def delete(name: str) -> str:
    """Move a run to the trash; its name there. Raises RunError for a run that stays where it is."""
    return catalogue.delete(name)


def trashed() -> list[str]:
    """Names in the trash, the last deleted first; see `restore`."""
    return [] if hosted() else catalogue.trashed()


def restore(kept: str) -> str:
    """Move a run back out of the trash; its name. Raises RunError where that name is taken by now."""
    return catalogue.restore(kept)
