"""What a run's gate refuses of pictures that are no lung CT slices, folder by folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core import gate
from core.card import write_card
from core.errors import RunError
from core.predict import results
from core.predictor import Predictor
from core.runs import load_run, write_json


def count(run: str | Path | None, folders: Sequence[Path]) -> dict[str, Any]:
    """{name of a folder: {"refused": share with interval, "answered": files}} of pictures that are no lung slices.

    All below a folder count as one kind, each picture as a group of its own. What cannot be read counts as refused.
    Raises RunError for a run without a gate, and for a folder without a picture.
    """
    loaded = load_run(run)
    predictor = Predictor.load(loaded.path, threads=1)
    if predictor.gate is None:
        raise RunError(loaded.name, f"no {gate.FILE}", "a run trained with a gate")
    found = {}
    for folder in map(Path, folders):
        lines = [line for _, line in results(predictor, [str(folder)])]
        if not lines:
            raise RunError(str(folder), "no picture", "a folder of pictures that are no lung slices")
        found[folder.resolve().name] = _counted(lines)
    return found


def keep(run: str | Path | None, found: dict[str, Any]) -> None:
    """Put counts into the run: `gate` `outside` of metrics.json, and the model card; others of before stay."""
    loaded = load_run(run)
    content = loaded.metrics
    opened = content.setdefault("gate", {})
    opened["limit"] = Predictor.load(loaded.path, threads=1).gate.limit
    opened["outside"] = opened.get("outside", {}) | found
    write_json(loaded.path / "metrics.json", content)
    write_card(loaded.path)


def report(found: dict[str, Any]) -> str:
    """The counts in lines of text."""
    lines = []
    for kind, counted in found.items():
        share, whole = counted["refused"], counted["refused"]["slices"]
        lines.append(f"{kind}: {whole - len(counted['answered'])} of {whole} refused ({_interval(share)})")
        lines += [f"  answered: {file}" for file in counted["answered"]]
    return "\n".join(lines)


def _counted(lines: list[dict]) -> dict[str, Any]:
    import numpy as np

    refused = np.array(["refused" in line or "error" in line for line in lines])
    answered = [Path(line["path"]).name for line, gone in zip(lines, refused, strict=True) if not gone]
    return {"refused": gate.share_of_groups(refused, range(len(lines))), "answered": answered}


def _interval(share: dict[str, Any]) -> str:
    return "no interval" if share["low"] is None else f"95 %: {share['low']:.2f} to {share['high']:.2f}"
