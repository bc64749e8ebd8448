"""All that Cost-effectiveness and Sensitivity ask of market: draws as background jobs, what they say, and tables.

Draws of cost and QALYs do not depend on the worth of a QALY, nor on numbers of the site, so neither is in their
key: moving a threshold computes means and shares of what is there, no model.
"""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core import roots
from dashboard.decision import store
from dashboard.decision.jobs import Job, Jobs
from dashboard.economics.loaders import base_case, parameters
from market import analysis, cea, dsa, lung, lung_trace, psa, voi
from market.calibration import draw_parameters
from market.lung_trace import STATES
from market.natural_history import life_table
from market.parameters import DATA, Parameter, ParameterSet
from market.scenarios import ENGINE_VERSION, Scenario
from market.screening import STRATEGIES

CACHE = DATA.parent / "cache" / "psa"
N_DRAWS = (1_000, 10_000, 100_000)
KNOWN_DRAWS = 10_000
"""Regressions for the value of knowing use at most so many draws."""

GRID = 51
"""Thresholds of a curve."""

ONE_WAY_POINTS, TWO_WAY_POINTS = 25, 21

GROUPS = {
    "Whether reader and AI err together": ("ai_dependence",),
    "Whether two readers err together": ("reader_dependence",),
    "What concurrent AI changes in accuracy": ("concurrent_sensitivity", "concurrent_specificity"),
    "Accuracy of the AI alone": ("ai_sensitivity", "ai_specificity"),
    "Sensitivity of the reader": ("reader_sensitivity",),
    "Specificity of the reader": ("reader_specificity",),
    "Reading time": ("read_seconds", "concurrent_seconds", "second_reader_seconds"),
    "Wage of the reader": ("c_reader",),
    "Price of the AI": ("c_ai",),
    "Survival with lung cancer": ("hr_lung",),
    "Death of other causes": ("hr_other",),
    "How cancers arise, grow and show on CT": ("r_onset", "onset", "sojourn", "clinical_share", "detect"),
    "Cost of treatment": ("c_initial", "c_continuing", "c_terminal"),
    "Quality of life": ("u_", "loss_"),
    "How many come back": ("adherence",),
    "Cost of screens, work-up and complications": ("c_", "share_"),
}
"""Numbers that one study would tell together, by how their ids begin; the first group that fits counts."""

OTHER = "Other numbers"


@dataclass(frozen=True)
class Content:
    """All that draws depend on; equal contents give equal draws."""

    setting: str
    seed: int
    overrides: tuple[tuple[str, float], ...]
    operating_point: Any
    data: str
    engine: str = ENGINE_VERSION

    def digest(self, *more: object) -> str:
        return hashlib.sha256(repr((self, *more)).encode()).hexdigest()[:32]


@dataclass(frozen=True, eq=False)
class Draws:
    """Draws of a scenario and what of them does not hang on a threshold; `psa.kept` has KNOWN_DRAWS at most.

    name      a digest of all that they depend on
    currency  of all money
    base_wtp  worth of a QALY in the setting's source, which sets how far curves go
    """

    name: str
    psa: analysis.Psa
    currency: str
    base_wtp: float

    @property
    def n(self) -> int:
        return len(self.psa.cost)

    @property
    def strategies(self) -> tuple[str, ...]:
        return self.psa.strategies

    @cached_property
    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean cost and QALYs of each strategy."""
        return self.psa.cost.mean(axis=0), self.psa.qalys.mean(axis=0)

    @cached_property
    def icers(self) -> pd.DataFrame:
        """cea.icer_table of the means: the ratio of expected cost to expected QALYs."""
        return cea.icer_table(list(self.strategies), *self.means)

    def increments(self, strategy: str, comparator: str) -> tuple[np.ndarray, np.ndarray]:
        """Cost and QALYs of a strategy less those of the comparator, (simulation,) each."""
        one, other = self.strategies.index(strategy), self.strategies.index(comparator)
        return self.psa.cost[:, one] - self.psa.cost[:, other], self.psa.qalys[:, one] - self.psa.qalys[:, other]


@dataclass(frozen=True, eq=False)
class Known:
    """What cost and QALYs (simulation, strategy) are expected to be once a group of numbers is known."""

    group: str
    ids: tuple[str, ...]
    cost: np.ndarray
    qalys: np.ndarray


@dataclass(frozen=True)
class Spread:
    """Mean and 95 % interval (2.5 and 97.5 % of the draws)."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, draws: np.ndarray, column: int) -> "Spread":
        """Of one column of draws (simulation, strategy)."""
        low, high = np.quantile(draws[:, column], (0.025, 0.975))
        # The mean of all columns at once adds up in the order that analysis.Psa.table does, to the last digit.
        return cls(float(draws.mean(axis=0)[column]), float(low), float(high))


@dataclass(frozen=True, eq=False)
class Answer:
    """What draws say at one threshold.

    best          strategy with the highest expected net benefit, with probability p_best of being best
    cost, qalys, nmb  of the strategy of interest less the comparator's, per person
    worthwhile    share of draws in which that nmb is above 0; saves_and_gains: in which it dominates
    evpi          per person, its standard error, and for all persons concerned
    table         one row a strategy: strategy, cost, qalys, p_best, expected_loss
    """

    wtp: float
    best: str
    p_best: float
    cost: Spread
    qalys: Spread
    nmb: Spread
    worthwhile: float
    saves_and_gains: float
    evpi: float
    evpi_error: float
    table: pd.DataFrame


# Jobs


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """All jobs of this server, shared by its visitors."""
    return Jobs()


@st.cache_resource(show_spinner=False)
def data_version() -> str:
    """A digest of every file of numbers that the model reads; they change with the installation only."""
    digest = hashlib.sha256()
    for path in sorted(path for path in DATA.rglob("*") if path.suffix in (".yaml", ".json", ".csv")):
        digest.update(str(path.relative_to(DATA)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@st.cache_data(max_entries=16, show_spinner=False)
def _used(setting: str) -> frozenset[str]:
    """Ids that move costs or QALYs of the lung model, those of formulas included."""
    plain = Scenario("scenario", setting)
    return frozenset(analysis.with_inputs(parameters(plain), base_case(plain).asked) - {"wtp"})


def content(scenario: Scenario) -> Content:
    """The key of a scenario's draws. Raises ParameterError for a setting that is not complete."""
    used = _used(scenario.setting)
    overrides = tuple(pair for pair in scenario.overrides if pair[0] in used)
    return Content(scenario.setting, scenario.seed, overrides, scenario.operating_point, data_version())


def _plain(scenario: Scenario) -> Scenario:
    """The scenario without what moves no cost and no QALYs: one entry in a cache for all that differ in it."""
    key = content(scenario)
    return Scenario("scenario", key.setting, 0, key.overrides, operating_point=key.operating_point)


def draws_job(scenario: Scenario, n: int, start: bool = True) -> Job | None:
    """The job of a scenario's n draws; its result is a Draws. Begun, or found in memory or on disk.

    Without `start`, None where there is none. Raises ParameterError for a scenario that cannot be drawn.
    """
    chosen = parameters(scenario)
    key = content(scenario)
    name = key.digest("draws", n)
    job = jobs().get(name)
    if job is not None and (not start or job.state == "done"):
        return job
    if job is None and (found := store.read(_folder(), name)) is not None:
        return jobs().keep(name, _stored_draws(name, found, chosen))
    if not start:
        return None
    return jobs().start(name, n, lambda job: _draw(job, name, chosen, n, scenario.seed))


def _draw(job: Job, name: str, chosen: ParameterSet, n: int, seed: int) -> Draws:
    keep = _varying(chosen)
    found = analysis.run_psa(chosen, n, seed, keep=keep, progress=job.advance, cancel=job.cancel)
    kept = {key: values[:KNOWN_DRAWS].copy() for key, values in found.kept.items()}
    arrays = {"cost": found.cost, "qalys": found.qalys, **{f"kept_{key}": values for key, values in kept.items()}}
    store.write(_folder(), name, arrays)
    return _made(name, replace(found, kept=kept), chosen)


def _stored_draws(name: str, arrays: Mapping[str, np.ndarray], chosen: ParameterSet) -> Draws:
    kept = {key.removeprefix("kept_"): values for key, values in arrays.items() if key.startswith("kept_")}
    return _made(name, analysis.Psa(STRATEGIES, arrays["cost"], arrays["qalys"], kept), chosen)


def _made(name: str, found: analysis.Psa, chosen: ParameterSet) -> Draws:
    return Draws(name, found, chosen.currency, float(chosen.parameters["wtp"].value))


def _varying(chosen: ParameterSet) -> list[str]:
    """What the model asks for and varies between draws, in the order of the files."""
    asked = analysis.base_case(chosen).asked
    few = draw_parameters(chosen, 50, 0)
    return [key for key in chosen.parameters if key in asked and key in few and np.ptp(few[key]) > 0]


def known_job(draws: Draws, start: bool = True) -> Job | None:
    """The job that finds the value of knowing each group; its result is a list of Known."""
    name = f"known-{draws.name}"
    job = jobs().get(name)
    if job is not None and (not start or job.state == "done"):
        return job
    if job is None and (found := store.read(_folder(), name)) is not None:
        return jobs().keep(name, _stored_known(found, draws))
    if not start:
        return None
    return jobs().start(name, len(groups(draws.psa.kept)), lambda job: _know(job, name, draws))


def groups(ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """{group: its ids}, each id in one group; groups without any are left out."""
    found: dict[str, list[str]] = {}
    for key in ids:
        group = next((name for name, starts in GROUPS.items() if key.startswith(starts)), OTHER)
        found.setdefault(group, []).append(key)
    return {name: tuple(found[name]) for name in (*GROUPS, OTHER) if name in found}


def _know(job: Job, name: str, draws: Draws) -> list[Known]:
    rows = slice(0, KNOWN_DRAWS)
    cost, qalys = draws.psa.cost[rows], draws.psa.qalys[rows]
    found = []
    for group, ids in groups(draws.psa.kept).items():
        if job.cancel.is_set():
            raise analysis.Cancelled("value of knowing", f"a stop after {len(found)} groups", "to run to its end")
        frame = pd.DataFrame({key: draws.psa.kept[key] for key in ids})
        # Half the digits are enough for what regressions estimate; the best of each draw is found ten times as
        # fast where a strategy's draws lie together.
        pair = (voi.known_outcomes(outcome, frame).astype(np.float32, order="F") for outcome in (cost, qalys))
        found.append(Known(group, ids, *pair))
        job.advance(1)
    arrays = {f"{kind}_{i}": getattr(one, kind) for i, one in enumerate(found) for kind in ("cost", "qalys")}
    store.write(_folder(), name, arrays)
    return found


def _stored_known(arrays: Mapping[str, np.ndarray], draws: Draws) -> list[Known]:
    named = groups(draws.psa.kept).items()
    return [Known(name, ids, arrays[f"cost_{i}"], arrays[f"qalys_{i}"]) for i, (name, ids) in enumerate(named)]


def _folder() -> Path | None:
    return None if roots.hosted() else CACHE


# What draws say


def answer(draws: Draws, wtp: float, strategy: str, comparator: str) -> Answer:
    """What the draws say at a threshold about all strategies, and about one against another."""
    cost, qalys = draws.psa.cost, draws.psa.qalys
    loss = psa.expected_loss(cost, qalys, wtp)
    chances = psa.ceac(cost, qalys, wtp)
    best = int(np.argmin(loss))
    one, other = draws.strategies.index(strategy), draws.strategies.index(comparator)
    more_cost, more_qalys = cost - cost[:, [other]], qalys - qalys[:, [other]]
    gain = wtp * more_qalys - more_cost
    evpi, evpi_error = voi.known_value(cost, qalys, wtp)
    mean_cost, mean_qalys = draws.means
    table = pd.DataFrame({"strategy": draws.strategies, "cost": mean_cost, "qalys": mean_qalys})
    return Answer(
        wtp=wtp,
        best=draws.strategies[best],
        p_best=float(chances[best]),
        cost=Spread.of(more_cost, one),
        qalys=Spread.of(more_qalys, one),
        nmb=Spread.of(gain, one),
        worthwhile=float((gain[:, one] > 0).mean()),
        saves_and_gains=float(((more_cost[:, one] < 0) & (more_qalys[:, one] > 0)).mean()),
        evpi=evpi,
        evpi_error=evpi_error,
        table=table.assign(p_best=chances, expected_loss=loss),
    )


def curves(draws: Draws, wtp: float) -> pd.DataFrame:
    """One row a threshold: wtp, best, ceaf, evpi, then p_STRATEGY and loss_STRATEGY of each.

    From 0 to two and a half times the setting's threshold, or further where `wtp` lies beyond.
    """
    top = 2.5 * draws.base_wtp
    while top < wtp:
        top *= 2
    return _curves(draws.name, top, draws)


@st.cache_data(max_entries=32, show_spinner=False)
def _curves(name: str, top: float, _draws: Draws) -> pd.DataFrame:
    wtp = np.linspace(0.0, top, GRID)
    loss = psa.expected_loss(_draws.psa.cost, _draws.psa.qalys, wtp)
    losses = {f"loss_{strategy}": loss[:, i] for i, strategy in enumerate(_draws.strategies)}
    return _draws.psa.curves(wtp).assign(**losses)


def known_values(known: Sequence[Known], wtp: float) -> pd.DataFrame:
    """One row a group, most worth first: group, ids, value, low, high (95 %), per person at the threshold."""
    rows = []
    for one in known:
        value, error = voi.known_value(one.cost, one.qalys, wtp)
        rows.append((one.group, one.ids, value, max(0.0, value - 1.96 * error), value + 1.96 * error))
    table = pd.DataFrame(rows, columns=["group", "ids", "value", "low", "high"])
    return table.sort_values("value", ascending=False, kind="stable", ignore_index=True)


def population(scenario: Scenario, value: float) -> tuple[float, float]:
    """A value per person over all who start screening in the scenario's years, discounted; and how many a year.

    As the market's command psa has it.
    """
    chosen = parameters(scenario)
    entrants = chosen.value("eligible") * chosen.value("share_starting")
    people = np.full(scenario.years, entrants)
    return float(voi.population_evpi(value, people, chosen.value("discount_effect"))), entrants


def ellipse(inc_cost: np.ndarray, inc_qalys: np.ndarray) -> np.ndarray:
    """The 95 % ellipse of draws, (point, 2): QALYs, cost."""
    return psa.ellipse(inc_qalys, inc_cost)


def direction(inc_cost: float, inc_qalys: float) -> tuple[int, int]:
    """Signs of the differences, rounding aside."""
    return cea.direction(inc_cost, inc_qalys)


def trace(scenario: Scenario, strategy: str) -> pd.DataFrame:
    """The cohort of one strategy with base values, one row a year of age: age, then the share in each of STATES."""
    return _trace(_plain(scenario), strategy)


@st.cache_data(max_entries=64, show_spinner=False)
def _trace(scenario: Scenario, strategy: str) -> pd.DataFrame:
    chosen = parameters(scenario)
    found = lung_trace.trace_strategies(chosen.values(), life_table(chosen.setting), (strategy,))
    table = pd.DataFrame(found.trace[:, :, 0, 0], columns=list(STATES))
    table.insert(0, "age", found.ages[:, 0])
    return table[np.isclose(table["age"] % 1, 0)].reset_index(drop=True)


# One number at a time, and two


@st.cache_resource(show_spinner=False)
def _one_at_a_time() -> threading.Lock:
    """What fills all cores by itself waits for its turn: side by side it takes as long, and the memory of each."""
    return threading.Lock()


def tornado(scenario: Scenario, strategy: str, comparator: str) -> pd.DataFrame:
    """One row a number that has a range: what cost and QALYs of `strategy` less `comparator` are at its ends.

    Columns: parameter, label, unit, trust, status, low_value, base_value, high_value, cost_low, cost_base,
    cost_high, qalys_low, qalys_base, qalys_high, all per person. Order of the files.
    """
    return _tornado(_plain(scenario), strategy, comparator)


@st.cache_data(max_entries=64, show_spinner=False)
def _tornado(scenario: Scenario, strategy: str, comparator: str) -> pd.DataFrame:
    chosen = parameters(scenario)
    with _one_at_a_time():
        long = analysis.tornado(chosen, strategy, comparator).set_index(["outcome", "parameter"])
    cost, effect = long.loc["cost"], long.loc["effect"]
    ids = [key for key in chosen.parameters if key in cost.index]
    cost, effect = cost.loc[ids], effect.loc[ids]
    entries = [chosen.parameters[key] for key in ids]
    columns: dict[str, object] = {"parameter": ids, "label": [entry.label for entry in entries]}
    columns |= {"unit": [entry.unit_text for entry in entries], "trust": [chosen.trust(key) for key in ids]}
    columns |= {"status": [entry.status for entry in entries], "low_value": cost["low_value"].to_numpy()}
    columns |= {
        "base_value": [float(entry.value) for entry in entries],
        "high_value": cost["high_value"].to_numpy(),
    }
    for name, rows in (("cost", cost), ("qalys", effect)):
        columns |= {f"{name}_{end}": rows[f"at_{end}"].to_numpy() for end in ("low", "base", "high")}
    return pd.DataFrame(columns)


def one_way(scenario: Scenario, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values of a number over its range, (value,), and cost and QALYs of all strategies, (value, strategy)."""
    return _one_way(_plain(scenario), key)


@st.cache_data(max_entries=128, show_spinner=False)
def _one_way(scenario: Scenario, key: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    chosen = parameters(scenario)
    values = _points(chosen.parameters[key], ONE_WAY_POINTS)
    with _one_at_a_time():
        return values, *_outcomes(chosen, [{key: value} for value in values])


def varied(scenario: Scenario) -> list[str]:
    """Ids of the numbers that have a range and move cost or QALYs, in the order of the files."""
    return _tornado(_plain(scenario), "single", "none")["parameter"].tolist()


def map_job(scenario: Scenario, ids: tuple[str, str], start: bool = True) -> Job | None:
    """The job of a map over two numbers; its result (values, values, cost, qalys), the last two of shape
    (first, second, strategy)."""
    name = content(scenario).digest("map", ids)
    job = jobs().get(name)
    if job is not None and (not start or job.state == "done"):
        return job
    if not start:
        return None
    chosen = parameters(scenario)
    return jobs().start(name, TWO_WAY_POINTS, lambda job: _map(job, chosen, ids))


def _map(job: Job, chosen: ParameterSet, ids: tuple[str, str]) -> tuple[np.ndarray, ...]:
    one, two = (_points(chosen.parameters[key], TWO_WAY_POINTS) for key in ids)
    job.total = len(one)
    # Numbers that do not go together do so at a corner: found at once, not after most of the map.
    _outcomes(chosen, [{ids[0]: value, ids[1]: other} for value in one[[0, -1]] for other in two[[0, -1]]])
    rows = []
    for value in one:
        if job.cancel.is_set():
            raise analysis.Cancelled("map", f"a stop after {len(rows)} rows", "to run to its end")
        rows.append(_outcomes(chosen, [{ids[0]: value, ids[1]: other} for other in two]))
        job.advance(1)
    return one, two, *(np.stack(part) for part in zip(*rows, strict=True))


def _points(entry: Parameter, n: int) -> np.ndarray:
    """Values over a number's range; those that set the screens in steps that the model knows."""
    low, high = entry.range
    values = np.linspace(low, high, n)
    if entry.id in analysis.SCHEDULE:
        step = 0.25 if entry.unit == "years" and high - low < 5 else 1.0
        values = np.unique(np.round(values / step) * step)
    return values


def _outcomes(chosen: ParameterSet, points: Sequence[Mapping[str, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Cost and QALYs of all strategies at each point, (point, strategy), as analysis.tornado has them."""
    values = [replace(chosen, overrides={**chosen.overrides, **point}).values() for point in points]
    together: dict[tuple[float, ...], list[int]] = {}
    for i, value in enumerate(values):
        # Points run together must share their screens; and the model cannot have these shares alone vary.
        alike = (*analysis.SCHEDULE, *(key for key in value if key.startswith("clinical_share")))
        together.setdefault(tuple(value[key] for key in alike), []).append(i)
    cost, qalys = np.empty((2, len(points), len(STRATEGIES)))
    for rows in together.values():
        stacked = {key: np.array([values[i][key] for i in rows]) for key in values[0]}
        found = lung.run(stacked, life_table(chosen.setting))
        cost[rows], qalys[rows] = found.cost, found.qalys
    return cost, qalys


def crossings(values: np.ndarray, net_benefit: np.ndarray) -> list[tuple[float, int, int]]:
    """dsa.crossings."""
    return dsa.crossings(values, net_benefit)


def area_places(best: np.ndarray) -> list[tuple[int, int, int]]:
    """dsa.area_places."""
    return dsa.area_places(best)
