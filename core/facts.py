"""What a run's files say, value by value, with a record of what was looked up."""

import csv
from dataclasses import dataclass, field
from typing import Any

from core.runs import FAILURES, Run, read_json

NOTES, SPLIT = "NOTES.md", "split.csv"
DOCUMENTS = ("config.json", "environment.json", "metrics.json", FAILURES)

Place = tuple[str, ...]
"""Where a value of a run lies: its file, then keys, a heading of NOTES.md, or a column of split.csv."""


class Unknown(Exception):
    """A run does not hold what an answer needs."""


@dataclass
class Facts:
    """What a run knows, told only by looking it up; `places` lists all that was."""

    run: Run
    places: list[Place] = field(default_factory=list)

    def __call__(self, *place: str) -> Any:
        """The value at a place. Raises Unknown where the run has none."""
        value = look_up(self.run, place)
        if place not in self.places:
            self.places.append(place)
        return value

    def maybe(self, *place: str) -> Any:
        """The value at a place, or None where the run has none."""
        try:
            return self(*place)
        except Unknown:
            return None


def place_words(place: Place) -> str:
    """As in "config.json: recipe.backbone"."""
    return place[0] if len(place) == 1 else f"{place[0]}: {'.'.join(place[1:])}"


def look_up(run: Run, place: Place) -> Any:
    """The value at a place of a run. Raises Unknown where there is none, or an empty one."""
    file, *keys = place
    if file == NOTES:
        value = next((title for title in _headings(run) if title.lower().startswith(keys[0].lower())), None)
    elif file == SPLIT:
        value = [row[keys[0]] for row in _split(run) if keys[0] in row]
    else:
        value = run_document(run, file)
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
    if value is None or value in ("", [], {}):
        raise Unknown(place_words(place))
    return value


def run_document(run: Run, file: str) -> dict[str, Any]:
    """One of DOCUMENTS of a run; empty where it is not there."""
    if file == "config.json":
        return run.config
    if file == "metrics.json":
        return run.metrics
    path = run.path / file
    return read_json(path) if path.is_file() else {}


def _headings(run: Run) -> list[str]:
    path = run.path / NOTES
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.lstrip("#").strip() for line in lines if line.startswith("#")]


def _split(run: Run) -> list[dict[str, str]]:
    path = run.path / SPLIT
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
