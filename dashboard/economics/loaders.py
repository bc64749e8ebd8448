"""All that the market pages ask of the market engine, cached by scenario; and counts of a model run from core."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from core import runs, scored
from market import analysis, budget, scenarios, value
from market.calibration import draw_parameters
from market.errors import MarketError
from market.natural_history import life_table
from market.parameters import Parameter, ParameterSet
from market.scenarios import Scenario
from market.screening import schedule

if TYPE_CHECKING:
    import pandas as pd

PRICE_YEAR = analysis.PRICE_YEAR
COMPLETE = analysis.COMPLETE
"""Settings for which every model runs."""

DRAWS = 300
"""Draws behind the intervals of a page's figures; a probabilistic analysis proper has its own number."""

SWEEP_POINTS = 25
DISEASED = "diseased"
"""Any class but normal, as if it were one class."""


@lru_cache(maxsize=256)
def numbers_of(scenario: Scenario) -> Scenario:
    """The scenario without what changes no number (its name and notes): what results are cached by."""
    return replace(scenario, name="scenario", note="", operating_point_note="")


def parameters(scenario: Scenario) -> ParameterSet:
    """The scenario's parameters, overrides and counts in place, in prices of PRICE_YEAR. Raises ParameterError."""
    return _parameters(_unnamed(scenario))


@lru_cache(maxsize=256)
def _unnamed(scenario: Scenario) -> Scenario:
    return replace(scenario, name="scenario", note="")


@lru_cache(maxsize=64)  # asked for a hundred times in a drawing; Streamlit's own cache takes ten times as long
def _parameters(scenario: Scenario) -> ParameterSet:
    return analysis.scenario_parameters(scenario)


def values(scenario: Scenario) -> Mapping[str, float]:
    """id -> base value of the scenario's numbers in its own currency; not to be changed. Raises ParameterError."""
    return _values(_unnamed(scenario))


@lru_cache(maxsize=64)
def _values(scenario: Scenario) -> Mapping[str, float]:
    return MappingProxyType(_parameters(scenario).values())


def sourced_values(setting: str) -> Mapping[str, float]:
    """id -> base value of a setting's numbers as the sources have them; not to be changed."""
    return _values(Scenario("scenario", setting))


def sourced(setting: str) -> ParameterSet:
    """The parameters of a setting as the sources have them."""
    return _parameters(Scenario("scenario", setting))


def parameter(setting: str, parameter_id: str) -> Parameter | None:
    """The entry of a setting, None where it has none of that id."""
    return sourced(setting).parameters.get(parameter_id)


def fault(scenario: Scenario) -> MarketError | None:
    """What about the scenario's numbers cannot be computed with, None where all is well."""
    try:
        found = values(scenario)
        if scenario.setting in COMPLETE:
            schedule(found)
    except MarketError as error:
        return error
    return None


def yaml(scenario: Scenario) -> str:
    """The scenario as a file that the command line and the import of the market pages take."""
    return scenarios.scenario_text(scenario)


def base_case(scenario: Scenario) -> analysis.BaseCase:
    """The lung screening model with base values. Raises ParameterError for a setting that is not complete."""
    return _base_case(numbers_of(scenario))


@st.cache_resource(max_entries=32, show_spinner=False)
def _base_case(scenario: Scenario) -> analysis.BaseCase:
    return analysis.base_case(parameters(scenario))


# Screening value


@dataclass(frozen=True, eq=False)
class Tables:
    """What Screening value shows: frames of market.value, and how many draws their intervals are of (0: none).

    saves_cash  share of the draws in which cash is saved, by perspective; {} without draws
    """

    outcomes: "pd.DataFrame"
    items: Mapping[str, "pd.DataFrame"]
    years: Mapping[str, "pd.DataFrame"]
    measures: "pd.DataFrame"
    draws: int
    saves_cash: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Site:
    """A site's value with base values, the persons and scans a year behind it, and the ids that it used."""

    found: value.SiteValue
    entrants: float
    scans: float
    asked: frozenset[str]


def site(scenario: Scenario) -> Site:
    """What the scenario changes at the site, with base values. ParameterError for an incomplete setting."""
    return _site(numbers_of(scenario))


@lru_cache(maxsize=32)  # asked for by every card of a drawing
def _site(scenario: Scenario) -> Site:
    chosen = parameters(scenario)
    analysis.need(chosen, lambda values, table: _site_value(scenario, values, table))
    values = chosen.values()
    asked = analysis.Asked(values)
    pair = (scenario.comparator, scenario.strategy)
    ids = _person_ids(scenario.setting, pair)
    read = tuple((key, values[key]) for key in ids)
    totals = _lifetime(scenario.setting, pair, read)
    person = _person(scenario.setting, pair, scenario.years, read)
    found = _site_value(scenario, asked, life_table(scenario.setting), totals, person)
    scans = float(found.budget.counts["screens"][1].mean())
    return Site(found, float(found.entrants[0]), scans, frozenset(asked.ids | set(ids)))


def _site_value(
    scenario: Scenario, values: Mapping[str, Any], table: Any, totals: Any = None, person: Any = None
) -> value.SiteValue:
    chosen = (scenario.strategy, scenario.comparator, scenario.years, scenario.entrants, scenario.pricing)
    return value.site_value(values, table, *chosen, totals=totals, person=person)


@lru_cache(maxsize=64)
def _person_ids(setting: str, pair: tuple[str, str]) -> tuple[str, ...]:
    """The numbers that a person's course depends on; prices of the AI and of the site are none of them."""
    asked = analysis.Asked(sourced(setting).values())
    value.lifetime(asked, life_table(setting), pair)
    budget.per_entrant(asked, life_table(setting), pair, 1)
    return tuple(sorted(asked.ids - {"c_ai_scan"}))


# At any price of the AI a person's course is the same to the last digit, as far as site_value takes it.


@lru_cache(maxsize=64)
def _lifetime(setting: str, pair: tuple[str, str], values: tuple[tuple[str, float], ...]) -> dict[str, np.ndarray]:
    return value.lifetime({**dict(values), "c_ai_scan": 0.0}, life_table(setting), pair)


@lru_cache(maxsize=64)
def _person(
    setting: str, pair: tuple[str, str], n_years: int, values: tuple[tuple[str, float], ...]
) -> dict[str, np.ndarray]:
    return budget.per_entrant({**dict(values), "c_ai_scan": 0.0}, life_table(setting), pair, n_years)


def _by_perspective(make: Callable[[str], "pd.DataFrame"], at_once: bool) -> Mapping[str, "pd.DataFrame"]:
    """The table of each perspective; without `at_once` made when it is asked for, as a page shows one of three."""
    found = _WhenAsked(make)
    return {name: found[name] for name in value.PERSPECTIVES} if at_once else found


class _WhenAsked(dict):
    """A dictionary that makes its values as they are asked for."""

    def __init__(self, make: Callable[[str], "pd.DataFrame"]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, name: str) -> "pd.DataFrame":
        self[name] = self._make(name)
        return self[name]


def tables(scenario: Scenario) -> Tables:
    """The figures' tables with base values, without intervals. Raises ParameterError as `site` does."""
    return _tables(numbers_of(scenario))


@lru_cache(maxsize=32)
def _tables(scenario: Scenario) -> Tables:
    return _made(scenario, site(scenario).found, None)


def _made(scenario: Scenario, base: value.SiteValue, drawn: value.SiteValue | None) -> Tables:
    chosen = parameters(scenario)
    terms = (chosen.value("wtp"), chosen.currency, scenario.pricing)
    spread = None if drawn is None else value.measures(drawn, *terms)
    saves = {}
    if drawn is not None:
        saves = {
            name: float((value.base_difference(drawn, name).sum(axis=0) < 0).mean()) for name in value.PERSPECTIVES
        }
    return Tables(
        outcomes=value.outcome_table(base, drawn),
        items=_by_perspective(lambda name: value.item_table(base, name, drawn), at_once=drawn is not None),
        years=_by_perspective(lambda name: value.year_table(base, name, drawn), at_once=drawn is not None),
        measures=value.measure_table(value.measures(base, *terms), spread),
        draws=0 if drawn is None else drawn.n_sim,
        saves_cash=saves,
    )


def with_intervals(scenario: Scenario, draws: int = DRAWS, cancel: threading.Event | None = None) -> Tables:
    """The same tables with 95 % intervals of so many draws. Takes a second or more.

    `cancel`, once set, ends it with Cancelled.
    """
    scenario = numbers_of(scenario)
    values = draw_parameters(parameters(scenario), draws, scenario.seed)
    table, pair = life_table(scenario.setting), (scenario.comparator, scenario.strategy)
    totals, persons = [], []
    # Cut where market.value cuts them, as other cuts change last digits.
    for start in range(0, draws, value.CHUNK_DRAWS):
        rows = slice(start, start + value.CHUNK_DRAWS)
        part = {key: drawn if np.size(drawn) == 1 else drawn[rows] for key, drawn in values.items()}
        part = _Stoppable(part, cancel or threading.Event())
        totals.append(value.lifetime(part, table, pair))
        persons.append(budget.per_entrant(part, table, pair, scenario.years))
    drawn = _site_value(scenario, values, table, _joined(totals, 0), _joined(persons, 2))
    return _made(scenario, site(scenario).found, drawn)


class _Stoppable(dict):
    """A mapping that ends the model that reads from it once it is no longer wanted: many times a second."""

    def __init__(self, values: Mapping[str, Any], cancel: threading.Event) -> None:
        super().__init__(values)
        self._cancel = cancel

    def __getitem__(self, key: str) -> Any:
        if self._cancel.is_set():
            raise analysis.Cancelled("intervals", "a stop", "to run to their end")
        return super().__getitem__(key)


def _joined(parts: list[dict[str, np.ndarray]], axis: int) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts], axis=axis) for name in parts[0]}


def intervals(scenario: Scenario, begin: bool = True) -> Tables | None:
    """`with_intervals`, worked on in the background: None until it is ready; begun where `begin`, else only asked.

    Raises what went wrong there.
    """
    scenario = numbers_of(scenario)
    work = partial(with_intervals, scenario, DRAWS)
    return _background().result(scenario, work if begin else None)


def stop_intervals(scenario: Scenario) -> None:
    """Give up `intervals` of a scenario that is looked at no longer; who still wants them asks again."""
    _background().stop(numbers_of(scenario))


class Background:
    """One thread that works off tasks by key and keeps the last results; the newest task goes first in line.

    A task takes an Event, and ends early once it is set.
    """

    def __init__(self, kept: int = 24) -> None:
        self._kept = kept
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="intervals")
        self._lock = threading.Lock()
        self._tasks: OrderedDict[Any, tuple[Future, threading.Event]] = OrderedDict()

    def stop(self, key: Any) -> None:
        """End the task of this key where it has not ended; its result is then as if it was never begun."""
        with self._lock:
            task, cancel = self._tasks.get(key, (None, None))
            if task is not None and not task.done():
                cancel.set()
                task.cancel()
                del self._tasks[key]

    def result(self, key: Any, work: Callable[[threading.Event], Any] | None) -> Any:
        """What `work` gave, None while it runs or waits, or is None and was never begun.

        Tasks that wait give way to a newer one.
        """
        with self._lock:
            task, _ = self._tasks.get(key, (None, None))
            if task is None or task.cancelled():
                if work is None:
                    return None
                for other, _ in self._tasks.values():
                    other.cancel()  # does nothing to one that runs or has ended; who still wants it asks again
                cancel = threading.Event()
                task = self._pool.submit(work, cancel)
                self._tasks[key] = task, cancel
            self._tasks.move_to_end(key)
            while len(self._tasks) > self._kept:
                self._tasks.popitem(last=False)
        return task.result() if task.done() else None


@st.cache_resource(show_spinner=False, max_entries=1)
def _background() -> Background:
    return Background()


def trust_counts(scenario: Scenario, asked: frozenset[str]) -> dict[str, int]:
    """How many of the numbers behind a result are of each trust; {"read": 19, "secondary": 16, "memory": 6}."""
    return dict(_trust_counts(_unnamed(scenario), asked))


@lru_cache(maxsize=64)
def _trust_counts(scenario: Scenario, asked: frozenset[str]) -> dict[str, int]:
    chosen = parameters(scenario)
    entries = [chosen.parameters[key] for key in analysis.with_inputs(chosen, asked)]
    given = [entry.trust for entry in entries if entry.trust is not None and entry.id not in chosen.overrides]
    return {trust: given.count(trust) for trust in ("read", "secondary", "memory")}


# The bridge from a model run


@dataclass(frozen=True)
class Counts:
    """What a model called at a threshold, in slices: right and wrong of those with and without the class."""

    true_positives: int
    false_negatives: int
    true_negatives: int
    false_positives: int


def run_names() -> list[str]:
    """Finished model runs, the one that ships first."""
    return runs.list_runs()


def run_schemes(run: str) -> list[str]:
    """The ways in which a run was tested, the least flattering first; [] where no predictions were kept."""
    return scored.schemes(runs.load_run(run))


@st.cache_data(max_entries=32, show_spinner=False)
def _scores(run: str, scheme: str, label: str, version: tuple) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the slices with the class, and of those without, each sorted."""
    found = scored.load_scored(runs.load_run(run), scheme)
    if label == DISEASED:
        normal = found.index("normal")
        scores, positive = 1 - found.probabilities[:, normal], found.targets != normal
    else:
        scores, positive = found.probabilities[:, found.index(label)], found.targets == found.index(label)
    return np.sort(scores[positive]), np.sort(scores[~positive])


def _version(run: str) -> tuple:
    path = runs.load_run(run).path / "predictions.parquet"
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else ()


def counts(run: str, scheme: str, label: str, threshold: float) -> Counts:
    """Slices called `label` (probability at or above the threshold) and not. Raises RunError, DataError."""
    positive, negative = _scores(run, scheme, label, _version(run))
    missed = int(np.searchsorted(positive, threshold))
    passed = int(np.searchsorted(negative, threshold))
    return Counts(len(positive) - missed, missed, passed, len(negative) - passed)


def sweep(scenario: Scenario, run: str, scheme: str, label: str) -> "pd.DataFrame":
    """The net monetary benefit along the ROC curve of a run, one row a threshold.

    Columns threshold, sensitivity, specificity, nmb (per person, against the comparator), best (bool, one row).
    """
    return _sweep(numbers_of(replace(scenario, operating_point=None)), run, scheme, label, _version(run))


@st.cache_data(max_entries=16, show_spinner=False)
def _sweep(scenario: Scenario, run: str, scheme: str, label: str, version: tuple) -> "pd.DataFrame":
    import pandas as pd

    positive, negative = _scores(run, scheme, label, version)
    # Even steps along the curve, not along the threshold, whose ends would all be at one corner.
    quantiles = np.linspace(0, 1, SWEEP_POINTS // 2 + 1)[1:-1]
    inner = np.concatenate([np.quantile(positive, quantiles), np.quantile(negative, quantiles)])
    thresholds = np.unique(np.round(np.append(inner, [0.0, 0.5, 1.0]), 6))
    sensitivity = 1 - np.searchsorted(positive, thresholds) / len(positive)
    specificity = np.searchsorted(negative, thresholds) / len(negative)
    chosen = parameters(scenario)
    points = list(zip(sensitivity.tolist(), specificity.tolist(), strict=True))
    table = life_table(scenario.setting)
    pair = (scenario.strategy, scenario.comparator)
    nmb = value.threshold_sweep(chosen.values(), table, *pair, points, chosen.value("wtp"))
    frame = pd.DataFrame(
        {"threshold": thresholds, "sensitivity": sensitivity, "specificity": specificity, "nmb": nmb}
    )
    return frame.assign(best=frame.index == int(np.argmax(nmb)))
