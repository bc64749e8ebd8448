"""Reporting checklists (CLAIM 2024, TRIPOD+AI) filled in from a run, and left open where the run knows no answer.

The items lie in data/checklists, one YAML file a checklist, with the source that their numbers and topics were read
from. An item is filled by a function of core/checklist_answers.py, which may only say what it looks up in the run's
files; what it looked up is kept beside its text. Where something that it needs is not there, the item is open.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.checklist_answers import ANSWERS
from core.errors import ConfigError
from core.facts import Facts, Place, Unknown, place_words
from core.runs import Run

FOLDER = Path(__file__).resolve().parent.parent / "data" / "checklists"
FILES = ("claim_2024", "tripod_ai")


@dataclass(frozen=True)
class Question:
    """An item as its file has it; `by` names the function that answers it, None where no run can."""

    number: str
    section: str
    topic: str
    asks: str
    by: str | None
    open: str


@dataclass(frozen=True)
class Checklist:
    """A checklist: what it is called and cited as, its licence, and the source that its items were read from."""

    id: str
    name: str
    title: str
    citation: str
    url: str
    licence: str
    read: str
    items: tuple[Question, ...]


@dataclass(frozen=True)
class Item:
    """An item for a run: `answer` with the places that it was looked up in, or empty with what would answer it."""

    question: Question
    answer: str
    places: tuple[Place, ...]

    @property
    def is_filled(self) -> bool:
        return bool(self.answer)


@cache
def checklists() -> tuple[Checklist, ...]:
    """The checklists that ship, read once. ConfigError for a file that is not as it should be."""
    return tuple(_read(FOLDER / f"{name}.yaml") for name in FILES)


def _read(path: Path) -> Checklist:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        items = tuple(Question(**item) for item in content["items"])
        return Checklist(
            **{name: content[name] for name in Checklist.__dataclass_fields__ if name != "items"}, items=items
        )
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            path.name, f"no checklist ({error})", "a checklist as data/checklists has them"
        ) from error


def fill(run: Run, checklist: Checklist) -> list[Item]:
    """Every item of a checklist in order, filled from a run or open."""
    return [_filled(run, question) for question in checklist.items]


def _filled(run: Run, question: Question) -> Item:
    if question.by is None:
        return Item(question, "", ())
    know = Facts(run)
    try:
        return Item(question, ANSWERS[question.by](know), tuple(know.places))
    except Unknown:
        return Item(question, "", ())


def count_words(items: Sequence[Item]) -> str:
    """As in "27 of 44 items answered by this run"."""
    return f"{sum(item.is_filled for item in items)} of {len(items)} items answered by this run"


def rows(items: Sequence[Item]) -> list[dict[str, str]]:
    """One row per item: item, section, topic, asks, state ("filled", "open"), text, from."""
    return [
        {
            "item": item.question.number,
            "section": item.question.section,
            "topic": item.question.topic,
            "asks": item.question.asks,
            "state": "filled" if item.is_filled else "open",
            "text": item.answer or item.question.open,
            "from": "; ".join(place_words(place) for place in item.places),
        }
        for item in items
    ]
