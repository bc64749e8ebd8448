"""Scenarios: a setting, what is compared in it and changed numbers, as one small YAML file that a person can write.

    name: Cheaper AI, higher uptake
    note: Asked by the board in May.
    setting: us
    seed: 0
    strategy: concurrent
    comparator: single
    years: 5
    entrants: 400
    pricing: per_scan
    operating_point:
      true_positives: 296
      false_negatives: 38
      true_negatives: 784
      false_positives: 71
    operating_point_note: run demo, threshold 0.42
    overrides:
      c_ai_scan: 6.5
      uptake: 0.25

Only name and setting must be there; `Scenario` says what the others are where they are left out. What is
written is read back exactly, floats to the last digit, so an exported scenario gives the same results where it
is imported.
"""

import os
import reprlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.budget import LONGEST_YEARS, PRICINGS
from market.errors import InputError, ParameterError
from market.parameters import SETTINGS, finite_number, read_yaml, yaml_text
from market.reading import MODES
from market.screening import STRATEGIES

ENGINE_VERSION = "1"
"""Stored beside results; raised whenever the same scenario would give other numbers."""

CHOICES = ("strategy", "comparator", "years", "entrants", "pricing", "operating_point", "operating_point_note")
"""What is compared with what, for whom and how long, beside the numbers."""

FIELDS = ("name", "note", "setting", "seed", *CHOICES, "overrides")
LONGEST_NAME, LONGEST_NOTE, LARGEST_FILE = 120, 10_000, 200_000
MOST_ENTRANTS, MOST_CASES = 1e9, 1e9


@dataclass(frozen=True)
class OperatingPoint:
    """Counts behind an AI's sensitivity and specificity, of persons with and without lung cancer.

    They must come from screening CTs read as a whole: what a classifier does on single slices, or on patients
    of a clinic, is no operating point of a screening programme. Where one count of a pair is 0, half a case is
    added to both, as a share of exactly 0 or 1 has no beta distribution. Raises InputError naming the count.
    """

    true_positives: float
    false_negatives: float
    true_negatives: float
    false_positives: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number = finite_number(value)
            if number is None:
                raise InputError(name, reprlib.repr(value), "a count of 0 or more")
            if not 0 <= number <= MOST_CASES:
                raise InputError(name, f"{number:g}", f"a count of 0 or more, {MOST_CASES:,.0f} at most")
            object.__setattr__(self, name, number)
        for name, pair in self.pairs().items():
            if sum(pair) < 1:
                raise InputError(name, "no cases", "counts of one case or more")

    def pairs(self) -> dict[str, tuple[float, float]]:
        """{id of the parameter: (right, wrong)}."""
        return {
            "ai_sensitivity": (self.true_positives, self.false_negatives),
            "ai_specificity": (self.true_negatives, self.false_positives),
        }


@dataclass(frozen=True)
class Scenario:
    """A named choice of setting, comparison, overrides and seed; hashable, so that it can key a cache.

    overrides             given as a mapping or as pairs; kept as pairs sorted by id. Whether the ids exist and
                          the values are in range is checked against the parameters, by
                          `ParameterSet.with_overrides`
    strategy, comparator  how scans are read, one of reading.MODES, and what that is compared with, another of
                          screening.STRATEGIES
    years                 years of the budget, and for which a decision stands, 1 to 10
    entrants              persons who start screening at the site in a year; None: as the sources have it
    pricing               how the AI is paid for, one of budget.PRICINGS
    operating_point       counts behind the AI's sensitivity and specificity, in place of those of the sources;
                          a mapping of its fields will do
    operating_point_note  where these counts come from

    Raises ParameterError naming the field.
    """

    name: str
    setting: str
    seed: int = 0
    overrides: tuple[tuple[str, float], ...] = ()
    note: str = ""
    strategy: str = "concurrent"
    comparator: str = "single"
    years: int = 5
    entrants: float | None = None
    pricing: str = "per_scan"
    operating_point: OperatingPoint | None = None
    operating_point_note: str = ""

    def __post_init__(self) -> None:
        _check_text("name", self.name, LONGEST_NAME, extra="")
        if not self.name.strip():
            raise ParameterError("name", reprlib.repr(self.name), "a name")
        _check_text("note", self.note, LONGEST_NOTE, extra="\n\t")
        if not isinstance(self.setting, str) or self.setting not in SETTINGS:
            raise ParameterError("setting", reprlib.repr(self.setting), "one of " + ", ".join(SETTINGS))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**63:
            raise ParameterError("seed", reprlib.repr(self.seed), "a whole number from 0 to 2 ** 63 - 1")
        object.__setattr__(self, "overrides", _checked_overrides(self.overrides))
        for field, choices in (("strategy", MODES), ("comparator", STRATEGIES), ("pricing", PRICINGS)):
            value = getattr(self, field)
            if not isinstance(value, str) or value not in choices:
                raise ParameterError(field, reprlib.repr(value), "one of " + ", ".join(choices))
        if self.strategy == self.comparator:
            raise ParameterError("comparator", repr(self.comparator), "another one than the strategy")
        years = self.years
        if isinstance(years, bool) or not isinstance(years, int) or not 1 <= years <= LONGEST_YEARS:
            raise ParameterError("years", reprlib.repr(years), f"a whole number from 1 to {LONGEST_YEARS}")
        object.__setattr__(self, "entrants", _checked_entrants(self.entrants))
        object.__setattr__(self, "operating_point", _checked_point(self.operating_point, self.overrides))
        _check_text("operating_point_note", self.operating_point_note, LONGEST_NAME, extra="")


def choices(scenario: Scenario) -> dict[str, Any]:
    """{field of CHOICES: its value} as JSON and YAML know it; fields that are None are left out."""
    found = {field: getattr(scenario, field) for field in CHOICES}
    if scenario.operating_point is not None:
        found["operating_point"] = dict(vars(scenario.operating_point))
    return {field: value for field, value in found.items() if value is not None}


def scenario_text(scenario: Scenario) -> str:
    """The scenario as YAML; `parse_scenario` gives back an equal one."""
    named = {field: getattr(scenario, field) for field in ("name", "note", "setting", "seed")}
    return yaml_text(named | choices(scenario) | {"overrides": dict(scenario.overrides)})


def parse_scenario(text: str, name: str = "scenario") -> Scenario:
    """The scenario that a YAML text holds; ParameterError naming `name`, the file, and the field."""
    data, _ = read_yaml(text, name)
    if not isinstance(data, dict):
        raise ParameterError(
            name, "nothing" if data is None else type(data).__name__, "the fields " + ", ".join(FIELDS)
        )
    for field in data:
        if field not in FIELDS:
            raise ParameterError(f"{name}: {field}", "an unknown field", "one of " + ", ".join(FIELDS))
    for field in ("name", "setting"):
        if field not in data:
            raise ParameterError(f"{name}: {field}", "nothing", "a value")
    given = {field: value for field, value in data.items() if value is not None}  # `overrides:` with none below
    try:
        return Scenario(**{"name": "", "setting": ""} | given)
    except ParameterError as error:
        raise ParameterError(f"{name}: {error.name}", error.found, error.expected) from error


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file; ParameterError where it cannot be read or breaks a rule."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ParameterError(path.name, f"{path.stat().st_size:,} bytes", f"{LARGEST_FILE:,} at most")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ParameterError(path.name, f"no readable file ({error.strerror})", "a scenario in YAML") from error
    except UnicodeDecodeError as error:
        raise ParameterError(path.name, "bytes that are not UTF-8", "a scenario in YAML, in UTF-8") from error
    return parse_scenario(text, path.name)


def write_scenario(scenario: Scenario, path: Path) -> None:
    """Write the scenario; after a crash the file holds what it held before, or all of this.

    Raises ParameterError where the folder cannot be written.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, delete=False) as file:
            temporary = file.name
            file.write(scenario_text(scenario))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ParameterError(
            path.name, f"a file that cannot be written ({error.strerror})", "a folder to write in"
        ) from error


def _checked_overrides(overrides: Any) -> tuple[tuple[str, float], ...]:
    pairs: Iterable = overrides.items() if isinstance(overrides, Mapping) else overrides
    if not isinstance(overrides, Mapping | tuple):
        raise ParameterError("overrides", reprlib.repr(overrides), "id: value, one a line")
    checked: dict[str, float] = {}
    for pair in pairs:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise ParameterError("overrides", reprlib.repr(pair), "pairs of an id and a value")
        key, value = pair
        if not isinstance(key, str) or not key.isidentifier():
            raise ParameterError("overrides", reprlib.repr(key), "the id of a parameter")
        number = finite_number(value)
        if number is None:
            raise ParameterError(f"overrides.{key}", reprlib.repr(value), "a finite number")
        checked[key] = number
    return tuple(sorted(checked.items()))


def _checked_entrants(entrants: Any) -> float | None:
    if entrants is None:
        return None
    number = finite_number(entrants)
    if number is None or not 0 < number <= MOST_ENTRANTS:
        raise ParameterError("entrants", reprlib.repr(entrants), f"a number above 0, {MOST_ENTRANTS:,.0f} at most")
    return number


def _checked_point(point: Any, overrides: tuple[tuple[str, float], ...]) -> OperatingPoint | None:
    if point is None:
        return None
    names = tuple(OperatingPoint.__dataclass_fields__)
    if isinstance(point, Mapping):
        if set(point) != set(names):
            found = ", ".join(str(name) for name in point) or "nothing"
            raise ParameterError("operating_point", found, "the counts " + ", ".join(names))
        try:
            point = OperatingPoint(**point)
        except InputError as error:
            raise ParameterError(f"operating_point.{error.name}", error.found, error.expected) from error
    if not isinstance(point, OperatingPoint):
        raise ParameterError("operating_point", reprlib.repr(point), "the counts " + ", ".join(names))
    for key in point.pairs():
        if key in dict(overrides):
            raise ParameterError(key, "a value and counts", "one of them")
    return point


def _check_text(field: str, value: Any, longest: int, extra: str) -> None:
    """ParameterError unless it is printable text of at most so many characters; `extra` is let through too."""
    if not isinstance(value, str):
        raise ParameterError(field, reprlib.repr(value), "text (in quotes, where YAML takes it for something else)")
    if len(value) > longest:
        raise ParameterError(field, f"{len(value):,} characters", f"{longest:,} at most")
    odd = [character for character in value if not character.isprintable() and character not in extra]
    if odd:
        raise ParameterError(field, f"the character {odd[0]!r}", "printable text")
