"""Scenarios: a setting with changed numbers, as one small YAML file that a person can write.

    name: Cheaper AI, higher uptake
    note: Asked by the board in May.
    setting: us
    seed: 0
    overrides:
      c_ai_scan: 6.5
      uptake: 0.25

`seed` is 0, `note` empty and `overrides` none where they are left out. What is written is read back exactly,
floats to the last digit, so an exported scenario gives the same results where it is imported.
"""

import os
import reprlib
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from market.errors import ParameterError
from market.parameters import SETTINGS, finite_number, read_yaml, yaml_text

ENGINE_VERSION = "1"
"""Stored beside results; raised whenever the same scenario would give other numbers."""

FIELDS = ("name", "note", "setting", "seed", "overrides")
LONGEST_NAME, LONGEST_NOTE, LARGEST_FILE = 120, 10_000, 200_000


@dataclass(frozen=True)
class Scenario:
    """A named choice of setting, overrides and seed; hashable, so that it can key a cache.

    `overrides` may be given as a mapping; it is kept as pairs sorted by id. Whether the ids exist and the
    values are in range is checked against the parameters, by `ParameterSet.with_overrides`. Raises
    ParameterError naming the field.
    """

    name: str
    setting: str
    seed: int = 0
    overrides: tuple[tuple[str, float], ...] = ()
    note: str = ""

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


def scenario_text(scenario: Scenario) -> str:
    """The scenario as YAML; `parse_scenario` gives back an equal one."""
    fields = {field: getattr(scenario, field) for field in FIELDS}
    return yaml_text(fields | {"overrides": dict(scenario.overrides)})


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


def _check_text(field: str, value: Any, longest: int, extra: str) -> None:
    """ParameterError unless it is printable text of at most so many characters; `extra` is let through too."""
    if not isinstance(value, str):
        raise ParameterError(field, reprlib.repr(value), "text (in quotes, where YAML takes it for something else)")
    if len(value) > longest:
        raise ParameterError(field, f"{len(value):,} characters", f"{longest:,} at most")
    odd = [character for character in value if not character.isprintable() and character not in extra]
    if odd:
        raise ParameterError(field, f"the character {odd[0]!r}", "printable text")
