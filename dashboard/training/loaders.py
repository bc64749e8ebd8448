"""All that Train asks of core: data folders, what a training will do, trainings and their curves."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from core import jobs, roots, runs
from core.errors import DataError, LungLensError, RunError, WeightsError
from core.jobs import Status
from core.labels import LABELS
from core.order import Order, Request, class_names, expected_seconds, part_counts, plan, split
from core.phantom import phantom
from core.recipe import RECIPES, Recipe, load_recipe
from core.samples import png_bytes
from dashboard.loaders import ROOT

PHANTOMS = "made-phantoms"
"""The data that every machine has: slices drawn by formula."""

CACHE = ROOT / "data" / "cache"
PHANTOM_SIDE = 256
FIRST_SEED = 20_000
"""Seeds of the phantoms, far from those of the shipped samples."""

WEIGHT_FILES = (".safetensors", ".pth", ".pt")
TIMING_LIMIT = 600
"""Seconds that the timing of three batches may take before it is given up."""

CURVES = ("loss", "accuracy", "balanced_accuracy")
PARTS = ("train", "validation")


def why_not() -> str | None:
    """Why nothing can be trained from this page on this machine, or None."""
    if roots.hosted() and os.environ.get("LUNGLENS_TRAIN") != "1":
        return "This is a public demo: training is switched off, so that nobody's run holds up another's."
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed here: this machine shows results, it has not the packages that train."
    if not jobs.can_start():
        return "Trainings in the background need Linux or macOS. On Windows, train in a terminal."
    return None


def hosted() -> bool:
    """Whether visitors are strangers to this machine."""
    return roots.hosted()


def data_names() -> list[str]:
    """What can be trained on: the phantoms, then the data folders of this machine."""
    return [PHANTOMS, *(name for name in roots.data_folders() if name != PHANTOMS)]


def folders_of(names: Sequence[str], per_class: int) -> tuple[str, ...]:
    """The folders of chosen data; phantoms may not be made yet."""
    known = roots.data_folders()
    return tuple(str(phantoms_of(per_class) if name == PHANTOMS else known[name]) for name in names)


def recipe_of(name: str) -> Recipe:
    """A recipe as it ships."""
    return load_recipe(name)


def recipe_names() -> list[str]:
    """The recipes that ship, LungLens's own first."""
    return sorted((path.stem for path in RECIPES.glob("*.toml")), key=lambda name: (name != "lung", name))


def weight_files() -> dict[str, Path]:
    """Files of start weights in the folder that LUNGLENS_WEIGHTS names, by name; none on a public server."""
    folder = Path(os.environ.get("LUNGLENS_WEIGHTS") or ROOT / "data" / "weights")
    if roots.hosted() or not folder.is_dir():
        return {}
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix in WEIGHT_FILES and path.is_file()}


def check_weights(typed: str) -> str:
    """The full path of a file of start weights. Raises WeightsError for what cannot be one."""
    path = Path(typed).expanduser()
    expected = f"the path of a file ending in {', '.join(WEIGHT_FILES)}"
    if path.suffix not in WEIGHT_FILES:
        raise WeightsError("Start weights", f"{typed!r}" if typed else "no path", expected)
    if not path.is_file():
        raise WeightsError(path.name, "no such file on this machine", expected)
    return str(path.resolve())


def order_of(request: Request) -> Order:
    """The request with its recipe. Raises ConfigError or RunError."""
    return request.order()


def name_for(config: str) -> str:
    """A run's name where none was given: the recipe and the time, free on this machine."""
    name = f"{Path(config).stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    return name if not taken(name) else f"{name}-2"


def taken(name: str) -> bool:
    """Whether a run or a training under way has the name."""
    known = jobs.status(name)
    return (runs.RUNS / name).exists() or (known is not None and known.active)


def phantoms_of(per_class: int) -> Path:
    """Where that many phantoms of each class lie once they are made."""
    return CACHE / f"phantoms-{per_class}"


def make_phantoms(per_class: int) -> Path:
    """The folder of that many phantoms of each class, made where it is not there yet.

    Raises DataError where it cannot be written.
    """
    folder = phantoms_of(per_class)
    if (folder / "manifest.csv").is_file():
        return folder
    part = folder.with_name(f".{folder.name}.{os.getpid()}-{time.time_ns()}")
    try:
        return _make_phantoms(part, folder, per_class)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        found = f"no way to write it ({error.strerror})"
        raise DataError(folder.name, found, "room and leave to write in data/cache") from error


def _make_phantoms(part: Path, folder: Path, per_class: int) -> Path:
    part.mkdir(parents=True)
    lines = ["file,label,group"]
    for label in LABELS:
        for seed in range(FIRST_SEED, FIRST_SEED + per_class):
            file = f"{label}_{seed}.png"
            (part / file).write_bytes(png_bytes(phantom(label, seed, PHANTOM_SIDE).slice))
            lines.append(f"{file},{label},phantom-{label}-{seed}")
    (part / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    try:
        part.rename(folder)
    except OSError:  # another visitor was quicker
        shutil.rmtree(part)
    return folder


def parts_of(request: Request) -> pd.DataFrame:
    """Images and groups, one row per source, label and part, of what a request would train on.

    Raises DataError, ConfigError or RunError. Phantoms are counted before they are made.
    """
    order = request.order()
    per_class = _phantoms_in(order.folders)
    if per_class and len(order.folders) == 1:
        return _phantom_parts(per_class, order)
    if per_class:
        make_phantoms(per_class)
    return _parts(replace(order, name=""), tuple(map(_version, order.folders)))


@st.cache_data(max_entries=32, show_spinner="Counting images")
def _parts(order: Order, version: tuple) -> pd.DataFrame:
    return plan(order)


def _phantoms_in(folders: tuple[str, ...]) -> int:
    """How many phantoms of each class the folders stand for; 0 where they are other folders."""
    names = [Path(folder).name for folder in folders if Path(folder).parent == CACHE]
    return int(names[0].rpartition("-")[2]) if names else 0


def _phantom_parts(per_class: int, order: Order) -> pd.DataFrame:
    rows = [
        (f"{label}_{seed}.png", label, f"{label}{seed}", f"phantoms-{per_class}", None, f"{label}{seed}")
        for label in LABELS
        for seed in range(FIRST_SEED, FIRST_SEED + per_class)
    ]
    table = pd.DataFrame(rows, columns=["file", "label", "group", "source", "split", "sha256"])
    class_names(table["label"])
    return part_counts(table, split(table, order.recipe, order.seed))


def _version(folder: str | Path) -> tuple:
    """What tells one state of a data folder from the next without reading it: times of its folders and manifest."""
    folder = Path(folder)
    places = [folder, folder / "manifest.csv", *(path for path in folder.glob("*/") if path.is_dir())]
    return str(folder), *(path.stat().st_mtime_ns for path in places if path.exists())


def timed(request: Request) -> dict[str, Any] | None:
    """What `time_batches` found for such a request before, or None."""
    return _timings().get(_timing_key(request))


def time_batches(request: Request) -> dict[str, Any]:
    """Three batches of such a training, timed in a process of their own. Raises DataError with what it said."""
    if per_class := _phantoms_in(request.folders):
        make_phantoms(per_class)
    command = [sys.executable, "-m", "core", "train", "--estimate", "--json", *request.arguments()]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=TIMING_LIMIT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        found = f"no answer within {TIMING_LIMIT // 60} minutes"
        raise DataError("Timing", found, "three batches in less; try a smaller batch size") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise DataError("Timing", (said or ["nothing"])[-1].removeprefix("error: "), "a training that can begin")
    found = json.loads(done.stdout)
    timings = _timings()
    if len(timings) >= 64:
        timings.pop(next(iter(timings)))
    timings[_timing_key(request)] = found
    return found


@st.cache_resource(max_entries=1)
def _timings() -> dict[tuple, dict[str, Any]]:
    return {}


def _timing_key(request: Request) -> tuple:
    """What decides how long a batch takes."""
    order = request.order()
    sizes = {order.recipe.size_at(epoch) for epoch in range(order.recipe.epochs)}
    own = order.recipe.backbone, order.recipe.batch_size
    return request.folders, request.config, request.weights, *own, tuple(sorted(sizes))


def seconds(recipe: Recipe, parts: pd.DataFrame, timing: dict[str, Any]) -> tuple[float, ...]:
    """How long a training takes: (middle, least, most), seconds."""
    return expected_seconds(recipe, parts.groupby("part")["images"].sum().to_dict(), timing)


def start(request: Request) -> None:
    """Queue a training. Raises RunError or ConfigError."""
    if why_not():
        raise RunError("training", "a server where it is switched off", "your own machine")
    if per_class := _phantoms_in(request.folders):
        make_phantoms(per_class)
    jobs.start(request)


def stop(name: str) -> None:
    """Ask a training to end."""
    if not why_not():
        jobs.stop(name)


def resume(name: str) -> None:
    """Queue a training that ended before its time. Raises RunError."""
    if why_not():
        raise RunError("training", "a server where it is switched off", "your own machine")
    jobs.resume(name)


def trainings() -> list[Status]:
    """All trainings that are known, the one whose turn it is first."""
    return jobs.listed()


def training(name: str) -> Status | None:
    """One training, None where nothing is known of it."""
    try:
        return jobs.status(name)
    except RunError:
        return None


def finished_runs() -> list[str]:
    """Finished runs that have curves, the one that ships first."""
    return [name for name in runs.list_runs() if (runs.RUNS / name / "history.csv").is_file()]


def run_facts(name: str) -> dict[str, Any]:
    """Config and metrics of a run's folder; {} while it has none or where they cannot be read."""
    try:
        run = runs.load_run(runs.RUNS / name)
        return {"config": run.config, "metrics": run.metrics}
    except LungLensError:
        return {}


def history(name: str) -> pd.DataFrame:
    """A run's epochs, one row each, with `minutes` of training since its start; empty before the first ends."""
    path = runs.RUNS / name / "history.csv"
    try:
        frame = pd.read_csv(path)
    except (OSError, ValueError):
        return pd.DataFrame({"epoch": []})
    if "seconds" in frame:
        frame["minutes"] = frame["seconds"].cumsum() / 60
    return frame


def steps(name: str) -> pd.DataFrame:
    """What was seen between epochs, one row a second or so; columns as core.jobs.STEP_COLUMNS."""
    return pd.DataFrame(jobs.steps(name))
