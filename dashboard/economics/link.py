"""The scenario as the parameters of a link, and back: only what differs from the defaults, nothing lost.

    ?setting=uk&strategy=triage&years=10&c_ai_scan=6.5&uptake=0.25

Keys are the ids of parameters, the scenario's own fields, and tp, fn, tn, fp for the counts of an operating
point with ai_from for where they come from. The note does not travel. A page's own keys are in OTHER_KEYS or
begin with "x_".
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dashboard.components import plain
from dashboard.economics import loaders
from market.budget import LONGEST_YEARS, PRICINGS
from market.errors import MarketError
from market.parameters import SETTINGS, Parameter
from market.reading import MODES
from market.scenarios import OperatingPoint, Scenario
from market.screening import STRATEGIES

DEFAULT = Scenario("My scenario", "us")
COUNTS = {"tp": "true_positives", "fn": "false_negatives", "tn": "true_negatives", "fp": "false_positives"}
FROM = "ai_from"
WORDS = {"setting": tuple(SETTINGS), "strategy": MODES, "comparator": STRATEGIES, "pricing": PRICINGS}
BRIDGE = {*COUNTS, FROM, "run", "scheme", "source", "class", "threshold"}
"""What a link from a model run brings."""
OTHER_KEYS = {
    "run",
    "scheme",
    "source",
    "class",
    "threshold",
    "tab",
    "view",
    "whose",
    "sort",
    "find",
    "trust",
    "used",
    "page",
}
"""Keys that say how a page is looked at; they are no part of the scenario."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?")
_WHOLE = re.compile(r"\d{1,19}")


def is_others(key: str) -> bool:
    """Whether a key of a link belongs to a page and not to the scenario."""
    return key in OTHER_KEYS or key.startswith("x_")


def query(scenario: Scenario) -> dict[str, str]:
    """The link's parameters; `read` gives back an equal scenario, but for its note."""
    found: dict[str, str] = {}
    for field in ("name", "setting", "seed", "strategy", "comparator", "years", "pricing"):
        value = getattr(scenario, field)
        if value != getattr(DEFAULT, field):
            found[field] = str(value)
    if scenario.entrants is not None:
        found["entrants"] = _written(scenario.entrants)
    if scenario.operating_point is not None:
        found |= {key: _written(getattr(scenario.operating_point, name)) for key, name in COUNTS.items()}
        if scenario.operating_point_note:
            found[FROM] = scenario.operating_point_note
    return found | {key: _written(value) for key, value in scenario.overrides}


def _written(value: float) -> str:
    """A float to its last digit, whole ones without a point."""
    return repr(value).removesuffix(".0")


def read(given: Mapping[str, str]) -> tuple[Scenario, list[str]]:
    """The scenario of a link and what to tell the visitor about it, as Markdown, one notice a problem.

    What is unknown, unreadable or out of range gives a notice and its default. Never raises.
    """
    reader = _Reader(dict(given))
    fields = {field: value for field in WORDS if (value := reader.word(field)) is not None}
    setting = fields.get("setting", DEFAULT.setting)
    for field, longest in (("years", LONGEST_YEARS), ("seed", 2**63 - 1)):
        value = reader.whole(field, 1 if field == "years" else 0, longest)
        fields |= {} if value is None else {field: value}
    reader.try_field(fields, "name", given.get("name"))
    entrants = reader.number("entrants", "persons a year", "by the sources")
    reader.try_field(fields, "entrants", entrants)
    if fields.get("strategy", DEFAULT.strategy) == fields.get("comparator", DEFAULT.comparator):
        other = _other(fields.get("strategy", DEFAULT.strategy))
        said = given.get("comparator", DEFAULT.comparator)
        reader.tell("comparator", said, "another way of reading than the strategy", other)
        fields["comparator"] = other
    fields |= _counts(reader, given)
    overrides = _overrides(reader, given, setting, "operating_point" in fields)
    scenario = replace(DEFAULT, **fields, overrides=overrides)
    error = loaders.fault(scenario)
    if error is not None:
        reader.notices.append(
            f"**The numbers of this link do not go together.** {plain(error.name)}: found {plain(error.found)}; "
            f"expected {plain(error.expected)}. The numbers of the sources are used."
        )
        scenario = replace(scenario, overrides=())
    return scenario, reader.notices


def cannot_use(name: str, value: str, expected: str, used: str) -> str:
    """The notice of a value in a link that cannot be used, as Markdown."""
    shown = value if len(value) <= 60 else value[:57] + "..."
    return (
        f"**This link holds a value that cannot be used.** {plain(name)} was {plain(shown) or 'empty'}; expected "
        f"{plain(expected)}. Used instead: {plain(used)}."
    )


def _other(strategy: str) -> str:
    return DEFAULT.comparator if strategy != DEFAULT.comparator else "none"


class _Reader:
    """Takes values out of a link; what is wrong becomes a notice, and the value None."""

    def __init__(self, given: dict[str, str]) -> None:
        self.given = given
        self.notices: list[str] = []

    def tell(self, name: str, value: str, expected: str, used: str) -> None:
        self.notices.append(cannot_use(name, value, expected, used))

    def word(self, field: str) -> str | None:
        value = self.given.get(field)
        if value is None or value in WORDS[field]:
            return value
        self.tell(field, value, "one of " + ", ".join(WORDS[field]), getattr(DEFAULT, field))
        return None

    def whole(self, field: str, least: int, most: int) -> int | None:
        value = self.given.get(field)
        if value is None:
            return None
        if _WHOLE.fullmatch(value) and least <= int(value) <= most:
            return int(value)
        self.tell(field, value, f"a whole number from {least} to {most}", str(getattr(DEFAULT, field)))
        return None

    def number(self, field: str, unit: str, used: str) -> float | None:
        value = self.given.get(field)
        if value is None:
            return None
        number = _number(value)
        if number is None:
            self.tell(field, value, f"a number ({unit})", used)
        return number

    def try_field(self, fields: dict[str, Any], field: str, value: Any) -> None:
        """Take the field where the scenario accepts it."""
        if value is None:
            return
        try:
            replace(DEFAULT, **{field: value})
        except MarketError as error:
            default = getattr(DEFAULT, field)
            self.tell(field, self.given[field], error.expected, "by the sources" if default is None else default)
        else:
            fields[field] = value


def _number(text: str) -> float | None:
    """The number that a text is; None for anything else, infinity and NaN included."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if abs(value) < float("inf") else None


def _counts(reader: _Reader, given: Mapping[str, str]) -> dict[str, Any]:
    """The operating point of a link with its note; {} where there is none that can be used."""
    here = [key for key in COUNTS if key in given]
    if not here:
        return {}
    used = "the sensitivity and specificity of the sources"
    said = ", ".join(f"{key} {given[key]}" for key in here)
    if len(here) < len(COUNTS):
        reader.tell("operating point", said, "all of tp, fn, tn and fp", used)
        return {}
    try:
        point = OperatingPoint(**{name: _number(given[key]) for key, name in COUNTS.items()})
    except MarketError as error:
        reader.tell("operating point", said, f"{error.name} {error.expected}", used)
        return {}
    note = given.get(FROM) or _run_words(given)
    fields: dict[str, Any] = {"operating_point": point}
    try:
        replace(DEFAULT, operating_point_note=note)
    except MarketError as error:
        reader.tell(FROM, note, error.expected, "no words")
    else:
        fields["operating_point_note"] = note
    return fields


def _run_words(given: Mapping[str, str]) -> str:
    """As in "run demo, threshold 0.42", of a link from a model run."""
    parts = [f"{word} {given[key]}" for key, word in _RUN_KEYS.items() if given.get(key)]
    return ", ".join(parts)[:120]


_RUN_KEYS = {key: key for key in ("run", "scheme", "source", "class", "threshold")}


def _overrides(
    reader: _Reader, given: Mapping[str, str], setting: str, has_counts: bool
) -> tuple[tuple[str, float], ...]:
    """The parameters that a link sets, each checked against its entry; unknown keys give a notice."""
    known = {*WORDS, *COUNTS, FROM, "name", "years", "seed", "entrants"}
    pairs = []
    for key, value in given.items():
        if key in known or is_others(key):
            continue
        entry = loaders.parameter(setting, key)
        if entry is None:
            reader.notices.append(
                f"**This link sets a number that is not there.** {plain(key[:60])} is no number of the setting "
                f"{setting}; it is left out."
            )
            continue
        used = f"{loaders.sourced_values(setting).get(key, entry.value):.6g} {entry.unit_text}"
        number = _number(value)
        if number is None or not entry.minimum <= number <= entry.maximum:
            reader.tell(key, value, f"{allowed(entry)} ({entry.unit_text})", used)
        elif entry.currency not in (None, SETTINGS[setting]):
            reader.tell(key, value, f"an amount in {SETTINGS[setting]}, which this one is not", used)
        elif has_counts and key in ("ai_sensitivity", "ai_specificity"):
            reader.tell(key, value, "a value or counts, not both", "the counts")
        else:
            pairs.append((key, number))
    return tuple(pairs)


def allowed(entry: Parameter) -> str:
    """The values that a parameter may have, as in "0 to 1", "0 or more"."""
    if entry.maximum == float("inf"):
        return f"{entry.minimum:g} or more"
    return f"{entry.minimum:g} to {entry.maximum:g}"
