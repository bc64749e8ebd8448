"""What the page Compare asks of market: scenarios side by side, their files, and the report to send."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core.roots import hosted
from dashboard.economics.loaders import numbers_of, parameters
from dashboard.versus.shelf import FileShelf, SessionShelf, Shelf
from market.analysis import COMPLETE, Psa, base_case, run_psa
from market.database import ScenarioStore
from market.dossier import dossier, html, workbook
from market.errors import ParameterError
from market.scenarios import LARGEST_FILE, OperatingPoint, Scenario, parse_scenario, scenario_text

DRAWS = 500
"""Draws of each scenario; the same random numbers for all, so that differences are of inputs alone."""

CHOICES = {
    "setting": "Setting",
    "strategy": "Scans are read by",
    "comparator": "Compared with",
    "pricing": "The AI is paid for",
    "years": "Years of the budget",
    "entrants": "People who start a year",
    "seed": "Seed of the draws",
}
OUTPUTS = {
    "inc_cost": ("More cost", "currency per person"),
    "inc_qalys": ("More QALYs", "per person"),
    "inc_nmb": ("Net benefit gained", "currency per person"),
    "deaths_averted": ("Lung cancer deaths averted", "per 1,000 persons"),
    "overdiagnosed": ("Overdiagnosed cancers", "per 1,000 persons"),
    "false_positives": ("Recalls without cancer", "per 1,000 persons"),
    "reader_hours": ("Reader hours", "per 1,000 persons"),
}
"""{id: (label, unit)}; all are the strategy less its comparator."""

MONEY = ("inc_cost", "inc_nmb")
"""Those of OUTPUTS that cannot be subtracted between currencies."""


STORE = "LUNGLENS_SCENARIOS"
"""Environment variable: another file for saved scenarios than data/market/scenarios.duckdb."""


def own_shelf() -> Shelf:
    """Where this visitor's scenarios are kept: the session of a public server, else a file for all."""
    return SessionShelf() if hosted() else FileShelf(_store(os.environ.get(STORE, "")))


@st.cache_resource(max_entries=4, show_spinner=False)
def _store(path: str) -> ScenarioStore:
    return ScenarioStore(Path(path)) if path else ScenarioStore()


def as_yaml(scenario: Scenario) -> bytes:
    """The scenario as a file that the command line reads."""
    return scenario_text(scenario).encode("utf-8")


def from_yaml(content: bytes, name: str) -> Scenario:
    """The scenario in an uploaded file. Raises ParameterError naming file and field."""
    if len(content) > LARGEST_FILE:
        raise ParameterError(name, f"{len(content):,} bytes", f"{LARGEST_FILE:,} at most")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ParameterError(name, "bytes that are not UTF-8", "a scenario in YAML, in UTF-8") from error
    scenario = parse_scenario(text, name)
    try:
        parameters(scenario)
    except ParameterError as error:
        raise ParameterError(f"{name}: {error.name}", error.found, error.expected) from error
    return scenario


def differing_inputs(scenarios: Sequence[Scenario]) -> pd.DataFrame:
    """One row an input that is not the same in all: id, input (its label), unit, then a column each scenario."""
    sets = [parameters(scenario) for scenario in scenarios]
    rows = []
    for field, label in CHOICES.items():
        values = [getattr(scenario, field) for scenario in scenarios]
        if len(set(values)) > 1:
            rows.append((field, label, "", *("by sources" if value is None else value for value in values)))
    counts = [_counts_words(scenario.operating_point) for scenario in scenarios]
    if len(set(counts)) > 1:
        rows.append(("operating_point", "Cases behind the AI's sensitivity and specificity", "persons", *counts))
    ids = dict.fromkeys(key for found in sets for key in found.overrides)
    if any(scenario.operating_point for scenario in scenarios):
        ids |= dict.fromkeys(("ai_sensitivity", "ai_specificity"))
    for key in ids:
        values = [found.values().get(key) for found in sets]
        if len(set(values)) > 1:
            entry = next(found.parameters[key] for found in sets if key in found.parameters)
            rows.append((key, entry.label, entry.unit_text, *values))
    return pd.DataFrame(rows, columns=["id", "input", "unit", *range(len(scenarios))])


def _counts_words(point: OperatingPoint | None) -> str:
    """As in "296 of 334 found, 784 of 855 passed"."""
    if point is None:
        return "by sources"
    (found, missed), (passed, recalled) = point.pairs().values()
    return f"{found:g} of {found + missed:g} found, {passed:g} of {passed + recalled:g} passed"


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a scenario gives: {id of OUTPUTS: base value}, and its draws {id: (DRAWS,)}."""

    base: dict[str, float]
    drawn: dict[str, np.ndarray]
    currency: str
    wtp: float


def can_run(scenario: Scenario) -> bool:
    """Whether the setting has all numbers of the cost-effectiveness model."""
    return scenario.setting in COMPLETE


def outputs(scenario: Scenario) -> Outputs:
    """Strategy against comparator, base values and draws. Raises ParameterError where it cannot run."""
    return _outputs(numbers_of(scenario))


@st.cache_resource(max_entries=16, show_spinner=False)
def _outputs(scenario: Scenario) -> Outputs:
    found = parameters(scenario)
    pair = (scenario.comparator, scenario.strategy)
    case = base_case(found)
    rows = case.table.set_index("strategy")
    change = rows.loc[pair[1], rows.columns[1:]] - rows.loc[pair[0], rows.columns[1:]]
    base = {"inc_cost": change["cost"], "inc_qalys": change["qalys"], "inc_nmb": change["nmb"]}
    counts = [name for name in OUTPUTS if name not in base]
    base |= {name: change[name] for name in counts}
    psa = run_psa(found, DRAWS, scenario.seed, pair, counts=counts)
    return Outputs(
        {name: float(value) for name, value in base.items()}, _drawn(psa, case.wtp), found.currency, case.wtp
    )


def _drawn(psa: Psa, wtp: float) -> dict[str, np.ndarray]:
    cost, qalys = (values[:, 1] - values[:, 0] for values in (psa.cost, psa.qalys))
    counts = {name: drawn[:, 1] - drawn[:, 0] for name, drawn in psa.counts.items()}
    return {"inc_cost": cost, "inc_qalys": qalys, "inc_nmb": wtp * qalys - cost, **counts}


def spread(draws: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 % of draws."""
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(low), float(high)


def report(scenario: Scenario, draws: int, progress: Callable[[int], object] = lambda done: None) -> bytes:
    """The scenario's report as HTML to print. Raises MarketError as the analyses do."""
    return html(dossier(scenario, draws, progress=progress)).encode("utf-8")


def book(scenario: Scenario, draws: int) -> bytes:
    """The scenario's workbook, XLSX. Raises MarketError as the analyses do."""
    return workbook(dossier(scenario, draws))
