"""The backbones side by side: what each costs, and how each does on the same grouped folds of the same slices."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data, metrics
from core.backbones import BACKBONES, EVIDENCE
from core.comparison import paired_differences
from core.crossval import folds_of, out_of_fold
from core.errors import ConfigError
from core.order import Order, class_names, split
from core.predictor import softmax
from core.recipe import Recipe
from core.roots import ROOT
from core.runs import environment, read_json, write_json
from core.train import new_model

if TYPE_CHECKING:
    import pandas as pd

CACHE = ROOT / "data" / "cache" / "backbones"
"""Where the folds of a comparison are kept while it goes on, and its predictions after."""

FIRST = "mobilenet_v2"
"""The backbone that the others are compared with."""

THREADS, WARM = 1, 3
"""Threads of ONNX Runtime while a slice is timed; runs before that, which do not count."""

NOT_MEASURED = "not measured: needs ImageNet weights"
RANDOM = (
    "All networks started from random weights: their accuracy says how soon each learns from so few slices, "
    "nothing of how the backbones compare."
)

TIMES, ENDS = ("cpu_ms", "wall_ms"), ("value", "low", "high")
"""Names in a result."""

Tell = Callable[[str], None]
"""Hears what is being done."""


@dataclass(frozen=True)
class Trial:
    """What is compared on which slices: the recipe but for its backbone, start weights by backbone, folds, seed."""

    folders: tuple[Path, ...]
    recipe: Recipe
    weights: dict[str, str]
    folds: int = 5
    seed: int = 0


def start_weights(given: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """{backbone: start weights} of "imagenet", "none" and NAME=FILE as they are given. Raises ConfigError.

    Either all backbones start from random weights or none does: a trained one beside an untrained one shows
    nothing of either.
    """
    files = dict(one.split("=", 1) for one in given if "=" in one)
    plain = [one for one in given if "=" not in one] or ["imagenet"]
    if len(plain) > 1 or plain[0] not in ("imagenet", "none") or not set(files) <= set(names):
        expected = "imagenet or none, and NAME=FILE for backbones that are compared"
        raise ConfigError("weights", " ".join(given), expected)
    found = {name: files.get(name, plain[0]) for name in names}
    if len({spec == "none" for spec in found.values()}) > 1:
        raise ConfigError("weights", "some backbones from random weights, others not", "all from random, or none")
    return found


def checked(names: Sequence[str]) -> list[str]:
    """The backbones, MobileNetV2 first where it is one of them; ConfigError for an unknown one."""
    unknown = [name for name in names if name not in BACKBONES]
    if unknown or not names:
        raise ConfigError("backbones", ", ".join(unknown) or "none", f"some of {', '.join(BACKBONES)}")
    return sorted(dict.fromkeys(names), key=lambda name: name != FIRST)


def cost(names: Sequence[str], size: int, rounds: int = 30, tell: Tell = lambda doing: None) -> dict[str, Any]:
    """What a classifier of three classes on each backbone costs, for pictures of `size` pixels.

    {"size", "threads", "rounds", "processor", "environment", "backbones": {name: {"parameters", "bytes" (ONNX),
    "multiply_adds", "cpu_ms", "wall_ms"}}}. The times are of one slice in ONNX Runtime, heat map and context
    included, as {"median", "low", "high"} (middle 90 %): of the processor's time, which other programs do not
    change, and of the clock. The backbones take turns, so that what slows the machine slows all. Each export is
    checked against its network (core.export), with random weights, which change none of these figures.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from core.engine import open_session
    from core.export import export_onnx
    from core.model import Classifier

    picture = np.random.default_rng(0).integers(0, 256, (1, size, size), dtype=np.uint8)
    found, sessions = {}, {}
    for name in names:
        tell(f"exporting {name}")
        torch.manual_seed(0)
        model = Classifier(name, "linear", 3, 0.0, 0).eval()
        with torch.inference_mode(), FlopCounterMode(display=False) as counted:
            model(torch.zeros(1, 1, size, size))
        content = export_onnx(model, size, picture)
        sessions[name] = open_session(content, THREADS)
        found[name] = {
            "title": BACKBONES[name].title,
            "parameters": sum(part.numel() for part in model.parameters()),
            "bytes": len(content),
            "multiply_adds": counted.get_total_flops() // 2,
        }
    tell(f"timing {len(names)} backbones, {rounds} rounds")
    for name, (cpu, wall) in _timed(sessions, picture[:, None].astype(np.float32), rounds).items():
        found[name] |= {"cpu_ms": _spread(cpu), "wall_ms": _spread(wall)}
    about = {"size": size, "threads": THREADS, "rounds": rounds, "processor": _processor()}
    return about | {"environment": environment(), "backbones": found}


def accuracy(trial: Trial, work: Path = CACHE, tell: Tell = lambda doing: None) -> dict[str, Any]:
    """Each backbone trained by the same recipe on the same grouped folds, and judged on what it has not seen.

    {"slices", "groups", "folds", "seed", "recipe", "data", "random_start", "backbones": {name: {"start_weights",
    "balanced_accuracy", "difference"}}}; estimates with 95 % intervals by groups, the difference to MobileNetV2
    paired slice by slice (core.comparison), None for itself or without it. Test images stay out of it. What is done
    is kept below `work`: a stopped comparison goes on where it was, one with more backbones trains only these.
    """
    table = data.load_table(trial.folders)
    own = np.isin(split(table, trial.recipe, trial.seed), ("train", "validation"))
    table = table[own].reset_index(drop=True)
    labels = class_names(table["label"])
    folds = folds_of(table, "group", trial.folds, trial.seed)
    targets, groups = table["label"].map(list(labels).index).to_numpy(), table["group"].tolist()
    orders = {
        name: Order(name, (), replace(trial.recipe, backbone=name), spec, trial.seed)
        for name, spec in trial.weights.items()
    }
    sources = {name: new_model(order, len(labels))[1] for name, order in orders.items()}  # fails before hours
    probabilities, found = {}, {}
    for name, order in orders.items():
        tell(f"training {name}, {trial.folds} folds")
        probabilities[name] = softmax(_logits(order, sources[name], table, labels, folds, work))
        estimate = metrics.evaluate(probabilities[name], targets, groups, labels).balanced_accuracy
        found[name] = {"start_weights": sources[name], "balanced_accuracy": estimate.to_json(), "difference": None}
    for name in orders:
        if FIRST in orders and name != FIRST:
            pair = paired_differences(probabilities[FIRST], probabilities[name], targets, groups, labels)
            [one] = [item.difference for item in pair if item.name == "balanced_accuracy"]
            found[name]["difference"] = one.to_json()
    return {
        "slices": len(table),
        "groups": len(set(groups)),
        "folds": trial.folds,
        "seed": trial.seed,
        "recipe": trial.recipe.name,
        "data": data.checksum(table),
        "random_start": all(spec == "none" for spec in trial.weights.values()),
        "backbones": found,
    }


def keep(found: dict[str, Any]) -> None:
    """Put results where a page can read them. Accuracy from random weights is left out: it compares nothing."""
    measured = found["accuracy"]
    if not isinstance(measured, dict) or measured["random_start"]:
        found = found | {"accuracy": NOT_MEASURED}
    write_json(EVIDENCE, found)


def kept() -> dict[str, Any]:
    """The results that were kept; empty without any. RunError for a damaged file."""
    return read_json(EVIDENCE) if EVIDENCE.is_file() else {}


def report(found: dict[str, Any]) -> str:
    """The results as a table of text."""
    measured = found["accuracy"] if isinstance(found["accuracy"], dict) else None
    rows = [["Backbone", "Balanced accuracy", "Difference to MobileNetV2", "Parameters", "Size", "Multiply-adds"]]
    rows[0] += ["Processor time of a slice", "Clock", "Start weights"]
    for name, one in found["backbones"].items():
        own = measured["backbones"][name] if measured else None
        rows.append([
            one["title"],
            _estimate(own["balanced_accuracy"]) if own else "-",
            _estimate(own["difference"], "+") if own and own["difference"] else "-",
            f"{one['parameters'] / 1e6:.2f} M",
            f"{one['bytes'] / 1e6:.1f} MB",
            f"{one['multiply_adds'] / 1e9:.2f} G",
            *(f"{one[key]['median']:.0f} ms ({one[key]['low']:.0f} to {one[key]['high']:.0f})" for key in TIMES),
            own["start_weights"]["name"] if own else "-",
        ])  # fmt: skip
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    about = (
        f"One slice of {found['size']} pixels in ONNX Runtime, {found['threads']} thread, median and middle "
        f"90 % of {found['rounds']} ({found['processor']}); other programs change the clock, hardly the former."
    )
    told = f"Accuracy {NOT_MEASURED}."
    if measured:
        told = (
            f"Accuracy on {measured['slices']} slices, {measured['groups']} groups, {measured['folds']} grouped "
            f"folds by the recipe {measured['recipe']}, which was made for MobileNetV2; 95 % intervals by groups."
        )
        told = f"{RANDOM}\n{told}" if measured["random_start"] else told
    return "\n".join([*lines, about, told])


def _logits(order: Order, source: dict, table: "pd.DataFrame", labels: tuple, folds: np.ndarray, work: Path):
    """(n, classes) of networks that had not seen the slice, kept in one file once all folds are done."""
    facts = [data.checksum(table), order.recipe.to_json(), source["sha256"], order.seed, folds.tolist()]
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
    done, path = work / f"{order.name}-{key}.npy", work / f"{order.name}-{key}"
    if not done.is_file():
        path.mkdir(parents=True, exist_ok=True)
        logits, _ = out_of_fold(path, order, table, labels, "group", folds)
        part = done.with_suffix(".part.npy")
        np.save(part, logits)
        part.replace(done)
        shutil.rmtree(path)
    return np.load(done, allow_pickle=False)


def _timed(sessions: dict, images: np.ndarray, rounds: int) -> dict[str, np.ndarray]:
    """{name: (2, rounds)} milliseconds of this thread and of the clock, the networks taking turns."""
    from core.engine import CONTEXT, INPUT, OUTPUTS

    found: dict[str, list] = {name: [] for name in sessions}
    for turn in range(WARM + rounds):
        for name, session in sessions.items():
            began = time.thread_time(), time.perf_counter()
            session.run([*OUTPUTS, CONTEXT], {INPUT: images})
            ended = time.thread_time(), time.perf_counter()
            if turn >= WARM:
                found[name].append([1000 * (end - begin) for begin, end in zip(began, ended, strict=True)])
    return {name: np.array(taken).T for name, taken in found.items()}


def _spread(taken: np.ndarray) -> dict[str, float]:
    low, median, high = (round(float(end), 2) for end in np.quantile(taken, (0.05, 0.5, 0.95)))
    return {"median": median, "low": low, "high": high}


def _processor() -> str:
    """The kind of processor in words."""
    import platform

    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _estimate(found: dict[str, Any], sign: str = "") -> str:
    if found["value"] is None:
        return "not defined"
    value, low, high = (found[key] if found[key] is None else f"{found[key]:{sign}.2f}" for key in ENDS)
    return f"{value} (no interval)" if low is None else f"{value} ({low} to {high})"
