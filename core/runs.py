"""Run folders: where runs lie, what is in one, and how its files are written so that a crash harms none.

config.json        name, labels, recipe, seed, start weights, checksum of the data, temperature
environment.json   versions of Python and of the packages, processor, system
split.csv          one row per image: source, file, label, group, sha256, part (train, validation, test)
history.csv        one row per epoch
model.safetensors  the kept weights (a shipped run may leave them out)
model.onnx         the same network as it is run: grey pictures in; logits, activation maps and features out
ensemble.json      in place of both, of an ensemble: the runs whose probabilities it averages, by checksum
predictions.parquet  one row per slice and scheme: who predicted it, its label, its probabilities
metrics.json       results with 95 % intervals
gate.json          how far from its training slices the network still answers, numbers only
neighbours.parquet the training slices as points in feature space, numbers only
thumbnails.parquet small pictures of phantoms, never of real slices
failures.json      its worst wrong answers on phantoms (by seed) and counts of those on held-out slices
folds/             weights of the networks of cross-validation, in half precision; never shipped
note.md            what a person wrote about the run
MODEL_CARD.md      the same in words
"""

import json
import os
import platform
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from core import shape
from core.errors import RunError

RUNS = Path(os.environ.get("LUNGLENS_RUNS") or Path(__file__).resolve().parent.parent / "data" / "runs")
"""Where runs lie; LUNGLENS_RUNS names another folder."""

DEMO = "demo"
FAILURES = "failures.json"
SHIPPED = (DEMO, "reference")
"""Runs that come with the repository: nobody renames or deletes them."""
NETWORK, ENSEMBLE = "model.onnx", "ensemble.json"
"""What a finished run has one of: a network of its own, or the runs that it is the mean of (core.ensemble)."""

COUNTED = {"source", "label", "part", "images", "groups"}
PACKAGES = ("torch", "torchvision", "onnxruntime", "numpy", "opencv-python-headless", "pillow", "pydicom")


@dataclass(frozen=True)
class Run:
    """A run folder, its small files read on demand."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @cached_property
    def config(self) -> dict[str, Any]:
        return read_json(self.path / "config.json")

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The contents of metrics.json; empty while nothing was measured. RunError where it is damaged."""
        path = self.path / "metrics.json"
        content = read_json(path) if path.exists() else {}
        shape.check(content, shape.METRICS, f"{self.name}: {path.name}")
        return content

    @property
    def card(self) -> str:
        """The text of MODEL_CARD.md; empty while there is none. RunError for bytes that are no text."""
        path = self.path / "MODEL_CARD.md"
        try:
            return path.read_text(encoding="utf-8") if path.exists() else ""
        except (OSError, UnicodeDecodeError) as error:
            raise RunError(f"{self.name}: {path.name}", "a file that is no text", "Markdown in UTF-8") from error

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(self.config["labels"])


def load_run(run: str | Path | None = None) -> Run:
    """The run of a name below data/runs, or of a folder's path; the demo run for None. Raises RunError."""
    run = DEMO if run is None else run
    for path in (RUNS / run, Path(run)):
        if os.path.isdir(path):
            if not (path / "config.json").is_file():
                raise RunError(str(run), "a folder without config.json", "a run folder")
            loaded = Run(path)
            _check_config(f"{run}: config.json", loaded.config)
            return loaded
    known = f"one of {', '.join(list_runs())}, or " if list_runs() else ""
    raise RunError(str(run), "no such run", f"{known}the path of a run folder")


def _check_config(where: str, config: dict[str, Any]) -> None:
    """RunError where config.json is not what training writes, as far as others read it."""
    missing = [key for key in ("labels", "recipe") if key not in config]
    if missing:
        raise RunError(where, f"no {missing[0]}", "labels and recipe")
    labels, temperature = config["labels"], config.get("temperature", 1.0)
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise RunError(where, "labels that are no list", "a list of class names")
    if not isinstance(temperature, (int, float)) or not temperature > 0:
        raise RunError(where, f"temperature {temperature!r}", "a number above 0")
    if not isinstance(config["recipe"], dict):
        raise RunError(where, f"recipe {config['recipe']!r}", "a mapping of names to values")
    counts = config.get("data", {}).get("counts", []) if isinstance(config.get("data", {}), dict) else None
    if not isinstance(counts, list) or not all(isinstance(row, dict) and row.keys() >= COUNTED for row in counts):
        raise RunError(where, "data without its counts", f"rows of {', '.join(sorted(COUNTED))}")


def list_runs() -> list[str]:
    """Names of the finished runs below data/runs, the demo run first."""
    names = sorted({path.parent.name for file in (NETWORK, ENSEMBLE) for path in RUNS.glob(f"*/{file}")})
    return sorted(names, key=lambda name: name != DEMO)


def is_finished(path: Path) -> bool:
    """Whether a run's folder has what predicts."""
    return (path / NETWORK).is_file() or (path / ENSEMBLE).is_file()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; RunError when it cannot be read as one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{path.parent.name}: {path.name}", "a file that is not readable as JSON", "a JSON object"
        ) from error
    if not isinstance(content, dict):
        raise RunError(f"{path.parent.name}: {path.name}", type(content).__name__, "a JSON object")
    return content


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that, whatever happens, either the old or the new one is there in full."""
    part = path.with_name(f"{path.name}.part{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:  # a full disk above all, which the part would keep full
        part.unlink(missing_ok=True)
        raise


def write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


def environment() -> dict[str, Any]:
    """What a run was made with: versions and kind of processor; no names of hosts or people."""
    return {
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
