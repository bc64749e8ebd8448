"""Saved scenarios as the page sees them: in a file for all on one's own machine, in the session when hosted."""

from dataclasses import dataclass, replace
from uuid import uuid4

import streamlit as st

from market.database import ScenarioStore
from market.scenarios import Scenario

SESSION = "saved_scenarios"


@dataclass(frozen=True)
class Saved:
    """A saved scenario; `when` is empty for those of a session."""

    id: str
    scenario: Scenario
    when: str = ""


class FileShelf:
    """Scenarios in a DuckDB file, seen by everybody who uses this server."""

    shared = True

    def __init__(self, store: ScenarioStore) -> None:
        self.store = store

    def list(self) -> list[Saved]:
        return [
            Saved(item.id, item.scenario, f"{item.created:%Y-%m-%d %H:%M} UTC")
            for item in self.store.list_scenarios()
        ]

    def save(self, scenario: Scenario, key: str | None = None) -> str:
        return self.store.save_scenario(scenario, scenario_id=key).id

    def delete(self, key: str) -> None:
        self.store.delete(key)

    def undelete(self, key: str) -> None:
        self.store.undelete(key)

    def warnings(self) -> tuple[str, ...]:
        return self.store.warnings


class SessionShelf:
    """Scenarios of one visitor, gone when the tab is closed."""

    shared = False

    def _kept(self) -> dict[str, tuple[Scenario, bool]]:
        return st.session_state.setdefault(SESSION, {})

    def list(self) -> list[Saved]:
        return [Saved(key, scenario) for key, (scenario, deleted) in self._kept().items() if not deleted]

    def save(self, scenario: Scenario, key: str | None = None) -> str:
        key = key or uuid4().hex
        self._kept()[key] = (scenario, False)
        return key

    def delete(self, key: str) -> None:
        self._kept()[key] = (self._kept()[key][0], True)

    def undelete(self, key: str) -> None:
        self._kept()[key] = (self._kept()[key][0], False)

    def warnings(self) -> tuple[str, ...]:
        return ()


Shelf = FileShelf | SessionShelf


def rename(shelf: Shelf, item: Saved, name: str) -> str:
    """Save the scenario under another name, as a new version; ParameterError for a name that cannot be."""
    return shelf.save(replace(item.scenario, name=name), item.id)


def duplicate(shelf: Shelf, item: Saved) -> str:
    """A copy under a name of its own; its id."""
    taken = {other.scenario.name for other in shelf.list()}
    name, number = f"{item.scenario.name[:100]}, copy", 2
    while name in taken:
        name, number = f"{item.scenario.name[:100]}, copy {number}", number + 1
    return shelf.save(replace(item.scenario, name=name))
