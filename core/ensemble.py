"""Ensembles: runs of their own whose probabilities are the mean of those of other runs, their members.

No weights are copied: ensemble.json names each member's network by checksum, and it is looked for beside the
ensemble, first in the run of that name, then in others (a member may be renamed, not retrained). All else that an
answer follows from is kept by value: each member's recipe and temperature, and the gate.

Features, nearest training slices and the gate are one member's, whose figures (how many lung slices of each source
the gate lets through, what it refuses) so hold for the ensemble; were every member asked, refusals would add up.
"""

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import gate, neighbours, runs, thumbnails
from core.errors import RunError
from core.order import check_name, part_counts
from core.predictor import Prediction, Predictor, softmax
from core.preprocess import Box, Prepared, PreprocessConfig
from core.recipe import recipe_from_json
from core.runs import ENSEMBLE, NETWORK, Run, environment, load_run, read_json, write_atomically, write_json
from core.scored import IDENTITY, Scored, load_scored, schemes
from core.slices import Slice

if TYPE_CHECKING:
    import pandas as pd

LEAST = 1e-12
"""A mean probability below this has the logit of this."""

PARTS = ("train", "validation", "test", "left out")
"""What an image was to a member, the most learned from first."""

NOTES = """\
## An ensemble

The probability of a class is the mean of its members' probabilities, each at its own temperature. Results are means
of the members' predictions of the very same slices; in folds, each is by networks that had not seen the slice.

{members}

The networks stay in the folders of the members, which must stay beside this one. The heat map is the mean of the
members' maps, each in units of its own strongest evidence. Features and nearest training slices are those of
{first}. {gate}
"""


class Ensemble(Predictor):
    """An ensemble, loaded and ready, to be used as a Predictor: `preprocess`, `prepare` and `features` are those of
    its first member, `gate` is that of the first which has one. RunError for a missing or changed member."""

    def __init__(self, run: Run, threads: int | None = None) -> None:
        self.run, self.labels, self.temperature = run.name, run.labels, 1.0
        self.gate, content = gate.load(run.path), _content(run)
        self.members = []
        for kept in content["members"]:
            member = Predictor(Run(_network(run, kept).parent), threads)
            if member.labels != self.labels:
                found = f"the classes {', '.join(member.labels)}"
                expected = f"those of the ensemble: {', '.join(self.labels)}"
                raise RunError(f"{run.name}: member {kept['name']}", found, expected)
            member.temperature = kept["temperature"]
            member.preprocess = recipe_from_json(kept["recipe"], f"{run.name}: {ENSEMBLE}").preprocess
            member.gate = self.gate if kept["name"] == content["gate_of"] else None
            self.members.append(member)
        self.preprocess = self.members[0].preprocess

    def predict(self, slices: Sequence[Slice], prepared: Sequence[Prepared] | None = None) -> list[Prediction]:
        """One prediction a slice; each member sees it by its own preprocessing, `prepared` is the first one's."""
        seen = {} if prepared is None else {self.preprocess: prepared}
        for member in self.members:
            if member.preprocess not in seen:
                seen[member.preprocess] = [member.prepare(slice_) for slice_ in slices]
        found = [member.predict(slices, seen[member.preprocess]) for member in self.members]
        return [self._mean(parts) for parts in zip(*found, strict=True)]

    def logits_of(self, read: Callable[[PreprocessConfig], np.ndarray]) -> np.ndarray:
        """(n, classes) logarithms of the mean probabilities, whose softmax is these."""
        read = cache(read)
        return _logits([softmax(member.logits_of(read) / member.temperature) for member in self.members])

    def features(self, items: Sequence[Slice | Prepared | np.ndarray]) -> np.ndarray:
        return self.members[0].features(items)

    def _mean(self, parts: Sequence[Prediction]) -> Prediction:
        asked = next((part for part in parts if part.distance is not None), parts[0])
        p = {}
        if not asked.refused:
            p = {label: float(np.mean([part.probabilities[label] for part in parts])) for label in self.labels}
        return replace(
            asked,
            label=max(p, key=p.get) if p else None,
            probabilities=p,
            run=self.run,
            warnings=asked.warnings if asked.refused else _once(w for part in parts for w in part.warnings),
            cams=np.zeros((len(self.labels), 0, 0), np.float32),
            box=_around([part.box for part in parts]),
            members=tuple(parts),
        )


def networks(run: Run) -> list[Path]:
    """The members' networks, each with the bytes that the ensemble was made of. RunError names one that is not."""
    return [_network(run, kept) for kept in _content(run)["members"]]


def make(names: Sequence[str], name: str) -> tuple[Path, list[str]]:
    """Make the run `name` of finished runs below core.runs.RUNS: its folder, and the schemes it has results of.

    Predictions that all members made of the very same slices, in the same number of folds, are averaged: nothing
    is trained, and no slice is judged by a network that has seen it. The ensemble counts as trained on what any
    member was trained on. RunError for members that cannot be averaged.
    """
    check_name(name)
    path, begun = runs.RUNS / name, runs.RUNS / f".{name}.part"
    if path.exists():
        raise RunError(name, "a run of that name", "another --name")
    members = _checked([load_run(one) for one in names])
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir()
    try:
        gated = _write(begun, name, members)
        measured = _measure(begun, members, gated)
        begun.rename(path)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return path, measured


def _checked(members: list[Run]) -> list[Run]:
    if len({member.path.resolve() for member in members}) < max(2, len(members)):
        raise RunError("members", ", ".join(member.name for member in members), "two different runs or more")
    for member in members:
        if member.path.resolve().parent != runs.RUNS.resolve() or (member.path / ENSEMBLE).is_file():
            expected = f"a run with a network of its own in {runs.RUNS.name}, beside the ensemble"
            raise RunError(member.name, "an ensemble, or a run that lies elsewhere", expected)
        if member.labels != members[0].labels:
            expected = f"those of {members[0].name}: {', '.join(members[0].labels)}"
            raise RunError(member.name, f"the classes {', '.join(member.labels)}", expected)
        Predictor(member, threads=1)  # says what is missing or damaged
    return members


def _write(path: Path, name: str, members: list[Run]) -> Run | None:
    """All files of an ensemble but those of its results; the member whose gate it has."""
    first, gated = members[0], next((one for one in members if (one.path / gate.FILE).is_file()), None)
    kept = [
        {
            "name": member.name,
            "sha256": _sha256(member.path / NETWORK),
            "bytes": (member.path / NETWORK).stat().st_size,
            "temperature": member.config.get("temperature", 1.0),
            "recipe": member.config["recipe"],
        }
        for member in members
    ]
    write_json(path / ENSEMBLE, {"gate_of": gated.name if gated else None, "members": kept})
    backbones = [one["recipe"].get("backbone", "mobilenet_v2") for one in kept]
    config = {
        "name": name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": list(first.labels),
        "members": [member.name for member in members],
        "temperature": 1.0,
        "data": {"checksum": None, "counts": _split(path, members)},
        "recipe": {"name": "ensemble", "backbone": " + ".join(backbones)},
    }
    write_json(path / "config.json", config)
    write_json(path / "environment.json", environment())
    lines = [f"- {one['name']}: {one['recipe'].get('name')}, network sha256 {one['sha256']}" for one in kept]
    words = "No member has a gate: every picture is answered."
    if gated:
        words = f"The gate, its limit and its figures are those of {gated.name}; the others refuse nothing."
    notes = NOTES.format(members="\n".join(lines), first=first.name, gate=words)
    write_atomically(path / "NOTES.md", notes.encode())
    for run, file in ((first, neighbours.FILE), (first, thumbnails.FILE), (gated, gate.FILE)):
        if run and (run.path / file).is_file():
            shutil.copyfile(run.path / file, path / file)
    return gated


def _split(path: Path, members: list[Run]) -> list[dict[str, Any]]:
    """Write the slices that any member knows, each with the most that it was to one, where any has a split.csv;
    their counts by source, label and part."""
    import pandas as pd

    files = [member.path / "split.csv" for member in members]
    tables = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in files if file.is_file()]
    if not tables:
        return []
    table = pd.concat(tables, ignore_index=True)
    table = table.sort_values("part", key=lambda parts: parts.map(PARTS.index), kind="stable")
    table = table.drop_duplicates(list(IDENTITY)).sort_index()
    write_atomically(path / "split.csv", table.to_csv(index=False, lineterminator="\n").encode())
    return part_counts(table, table["part"].to_numpy()).to_dict("records")


def _measure(path: Path, members: list[Run], gated: Run | None) -> list[str]:
    """Average the members' kept predictions, scheme by scheme, and write what follows; the schemes."""
    import pandas as pd

    from core.crossval import SCHEMES, measure

    results = members[0].metrics
    frames, folds = {}, {}
    for scheme in schemes(members[0]):
        if not all(scheme in schemes(member) for member in members):
            continue
        counts = {member.metrics.get(SCHEMES.get(scheme), {}).get("folds") for member in members}
        gate_of = members.index(gated) if gated else None
        frame = _average([load_scored(member, scheme) for member in members], gate_of)
        if len(counts) == 1 and frame is not None:
            frames[scheme], folds[scheme] = frame, counts.pop()
    tests = {name: found for name, found in results.get("tests", {}).items() if name in frames}
    before = {"tests": tests} | ({"gate": gated.metrics["gate"]} if gated and "gate" in gated.metrics else {})
    write_json(path / "metrics.json", before)
    if frames:
        measure(path, pd.concat(frames.values(), ignore_index=True), folds)
    return list(frames)


def _average(members: list[Scored], gate_of: int | None) -> "pd.DataFrame | None":
    """The slices of a scheme with the members' mean probabilities; None where a member's are other slices.

    Distances to training slices are those of the member at `gate_of`, as the gate is.
    """
    orders = [one.frame.sort_values(list(IDENTITY)).index for one in members]
    frames = [one.frame.loc[order].reset_index(drop=True) for one, order in zip(members, orders, strict=True)]
    if not all(frame[[*IDENTITY]].equals(frames[0][[*IDENTITY]]) for frame in frames):
        return None
    logits = _logits([one.probabilities[order] for one, order in zip(members, orders, strict=True)])
    named = {f"logit_{label}": logits[:, place] for place, label in enumerate(members[0].labels)}
    named |= {f"p_{label}": np.exp(logits[:, place]) for place, label in enumerate(members[0].labels)}
    if gate_of is not None and gate.COLUMN in frames[gate_of]:
        named[gate.COLUMN] = frames[gate_of][gate.COLUMN]
    return frames[0].drop(columns=gate.COLUMN, errors="ignore").assign(scheme=members[0].scheme, **named)


def _logits(probabilities: list[np.ndarray]) -> np.ndarray:
    """(n, classes) logarithms of the mean of probabilities (n, classes)."""
    return np.log(np.maximum(np.mean(probabilities, axis=0), LEAST))


def _network(run: Run, kept: dict[str, Any]) -> Path:
    beside = run.path.resolve().parent
    named = beside / kept["name"] / NETWORK
    for path in (named, *sorted(beside.glob(f"*/{NETWORK}"))):
        if path.is_file() and path.stat().st_size == kept["bytes"] and _sha256(path) == kept["sha256"]:
            return path
    found = f"another {NETWORK} than the ensemble was made of" if named.is_file() else "no such run beside it"
    expected = f"the run with the network of sha256 {kept['sha256'][:12]}; or make the ensemble anew"
    raise RunError(f"{run.name}: member {kept['name']}", found, expected)


def _content(run: Run) -> dict[str, Any]:
    kinds = {"name": str, "sha256": str, "bytes": int, "temperature": (int, float), "recipe": dict}
    content = read_json(run.path / ENSEMBLE)
    members = content.get("members")
    whole = isinstance(members, list) and members and all(isinstance(one, dict) for one in members)
    if not whole or not all(isinstance(one.get(key), kind) for one in members for key, kind in kinds.items()):
        expected = "the file as `python -m core ensemble` wrote it"
        raise RunError(f"{run.name}: {ENSEMBLE}", "a damaged file", expected)
    return {"gate_of": content.get("gate_of"), "members": members}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _once(words) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def _around(boxes: Sequence[Box]) -> Box:
    """The smallest box that holds all of these."""
    top, left = min(box.top for box in boxes), min(box.left for box in boxes)
    bottom, right = max(box.top + box.height for box in boxes), max(box.left + box.width for box in boxes)
    return Box(top, left, bottom - top, right - left)
