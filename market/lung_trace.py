"""The lung screening model followed forward through every state: traces, events and costs of each cycle.

Gives the same totals as market.lung, which needs only the screens; this one is for what happens when: areas
of a cohort over time, cancers by stage and by how they were found, budgets by year. Made for the base case
and some hundreds of draws, not for thousands: it keeps every cycle.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market.lung_values import Timing, death_survival, last_year_before_diagnosis, timing
from market.natural_history import (
    BAND_STARTS,
    CYCLES_PER_YEAR,
    STAGES,
    LifeTable,
    NaturalHistory,
    Parameters,
    natural_history,
)
from market.screening import (
    COSTS,
    COUNTS,
    NO_SCREENING,
    Screen,
    by_group,
    schedule,
    screen_costs,
    screen_qaly_loss,
    screens,
    take_screen,
)

if TYPE_CHECKING:
    import pandas as pd

N = len(STAGES)
LAST = BAND_STARTS[-1]
"""Cycles after diagnosis from which on a person is a long-term survivor."""

STATES = (
    "well",
    *(f"preclinical_{stage}" for stage in STAGES),
    *(f"screen_{stage}" for stage in STAGES),
    *(f"clinical_{stage}" for stage in STAGES),
    "lung_cancer_death",
    "other_death",
)
"""States of the trace; screen_ and clinical_ are persons alive after diagnosis, by how it was made."""

YEARS_SINCE = ("lead_time", "year_1", "year_2", "year_3", "year_4", "year_5", "years_6_10", "long_term")
"""Where the diagnosed are on the way from diagnosis; from a screen, counted from the end of lead time."""

EVENTS = (
    *COUNTS,
    *(f"{mode}_{stage}" for mode in ("screen_diagnosis", "clinical_diagnosis") for stage in STAGES),
    "lung_cancer_deaths",
    "overdiagnosis_deaths",
)
COST_ITEMS = (*COSTS, "cancer_workup", "initial", "continuing", "terminal")


@dataclass(frozen=True, eq=False)
class LungTrace:
    """A cohort by cycle; undiscounted, per person of the cohort, row t at t cycles after the start.

    ages         (cycle + 1, sim or 1)
    trace        (cycle + 1, state, strategy, sim), states as in STATES, after the screen of that row
    years_since  (cycle + 1, YEARS_SINCE, strategy, sim)
    events       {name in EVENTS: (cycle + 1, strategy, sim)}, in the cycle that ends in the row, screens at it
    costs        {name in COST_ITEMS: (cycle + 1, strategy, sim)}
    life_years, qalys  lived in each row, (cycle + 1, strategy, sim)
    discount_cost, discount_effect  (cycle + 1, sim or 1)
    """

    strategies: tuple[str, ...]
    ages: np.ndarray
    trace: np.ndarray
    years_since: np.ndarray
    events: dict[str, np.ndarray]
    costs: dict[str, np.ndarray]
    life_years: np.ndarray
    qalys: np.ndarray
    discount_cost: np.ndarray
    discount_effect: np.ndarray

    def totals(self) -> dict[str, np.ndarray]:
        """Totals (sim, strategy): cost, qalys, life_years discounted, every event and cost_ITEM.

        Cost items are discounted like cost, which is their sum; events are not.
        """
        cost, effect = self.discount_cost[:, None], self.discount_effect[:, None]
        items = {f"cost_{name}": (values * cost).sum(axis=0).T for name, values in self.costs.items()}
        return {
            "cost": sum(items.values()),
            "qalys": (self.qalys * effect).sum(axis=0).T,
            "life_years": (self.life_years * effect).sum(axis=0).T,
            **{name: values.sum(axis=0).T for name, values in self.events.items()},
            **items,
        }

    def by_year(self, sim: int = 0) -> "pd.DataFrame":
        """One row a strategy and year from the start (1 is the first), undiscounted, per person of the cohort.

        Columns: strategy, year, age (at the year's start), events, cost_ITEM, cost, life_years, qalys. The
        start itself counts to year 1, and every later row to the year in which its cycle ends, but for
        screens and what they cause, which belong to the year they begin.
        """
        import pandas as pd  # slow to import, and the base case needs none of it

        rows = np.arange(len(self.ages))
        ending = np.maximum(rows - 1, 0) // CYCLES_PER_YEAR
        beginning = rows // CYCLES_PER_YEAR
        n_years = int(ending[-1]) + 1
        at_screens = {*COUNTS, *(f"cost_{item}" for item in COSTS)}
        columns = {**self.events, **{f"cost_{name}": values for name, values in self.costs.items()}}
        columns |= {"life_years": self.life_years, "qalys": self.qalys}
        frames = []
        for s, strategy in enumerate(self.strategies):
            years = np.arange(1, n_years + 1)
            table = {"strategy": strategy, "year": years, "age": self.ages[0, sim % self.ages.shape[1]] + years - 1}
            for name, values in columns.items():
                belongs = np.minimum(beginning, n_years - 1) if name in at_screens else ending
                table[name] = np.bincount(belongs, weights=values[:, s, sim], minlength=n_years)
            frames.append(pd.DataFrame(table))
        result = pd.concat(frames, ignore_index=True)
        result["cost"] = result[[f"cost_{item}" for item in COST_ITEMS]].sum(axis=1)
        return result


def trace_strategies(
    parameters: Mapping[str, ArrayLike],
    table: LifeTable,
    strategies: Sequence[str],
    keep_years_since: bool = True,
) -> LungTrace:
    """The cohort under these strategies (some of screening.STRATEGIES), by cycle; errors as in lung.run.

    `keep_years_since` as in `trace_screens`.
    """
    get = Parameters(parameters)
    history = natural_history(parameters, table)
    modes = [name for name in strategies if name != NO_SCREENING]
    first, later = screens(parameters, modes or ["single"])
    of_mode = [modes.index(name) if name in modes else -1 for name in strategies]
    rounds = {t: _for_strategies(later if t else first, of_mode) for t in schedule(parameters)}
    return trace_screens(history, get, rounds, strategies, keep_years_since)


def _for_strategies(screen: Screen, of_mode: list[int]) -> Screen:
    """The screen with its arrays by strategy; for a strategy without screening (-1) nobody attends."""
    index = np.array(of_mode)
    attends = (index >= 0)[:, None] * screen.attendance
    return Screen(
        attendance=attends,
        detection=screen.detection[:, index],
        false_positive=screen.false_positive[index],
        reads=(screen.reads[0][index], screen.reads[1][index]),
        minutes=(screen.minutes[0][index], screen.minutes[1][index]),
        ai_reads=screen.ai_reads[index],
        first=screen.first,
    )


def trace_screens(
    history: NaturalHistory,
    get: Parameters,
    rounds: Mapping[int, Screen],
    strategies: Sequence[str],
    keep_years_since: bool = True,
) -> LungTrace:
    """The cohort under any screens, {cycle: Screen}, whose arrays are by strategy.

    Without `keep_years_since`, which no total needs, years_since is empty: (cycle + 1, 0, strategy, sim).
    """
    n_rows, shape = history.n_cycles + 1, (len(strategies), get.n_sim())
    time = timing(history, get)
    survival, dying = history.other_survival, death_survival(history.other_survival)
    people = _Cohort(history, shape)
    trace = np.zeros((n_rows, len(STATES), *shape))
    since = np.zeros((n_rows, len(YEARS_SINCE) if keep_years_since else 0, *shape))
    events = {name: np.zeros((n_rows, *shape)) for name in (*COUNTS, "overdiagnosis_deaths")}
    clinical, died, detected, last_years = (np.zeros((n_rows, N, *shape)) for _ in range(4))
    screen_cost = {name: np.zeros((n_rows, *shape)) for name in COSTS}
    loss = np.zeros((n_rows, *shape))
    before_clinical, before_screen = last_year_before_diagnosis(history)
    end_of_lead = 1.0 - history.moves.sum(axis=1)
    for t in range(n_rows):
        ahead = slice(t + 1, t + 1 + len(before_clinical))
        later = dying[ahead, None, None]
        if t:
            events["overdiagnosis_deaths"][t] = people.lead_alive() * (survival[t - 1] - survival[t])
            clinical[t], died[t] = people.step(t - 1, end_of_lead)
            last_years[t] += died[t] * dying[t]
            last_years[ahead] -= clinical[t] * before_clinical[: len(later), :, None] * later
        if t in rounds:
            detected[t], counts, amounts = _screened(people, rounds[t], get)
            last_years[ahead] -= detected[t] * before_screen[: len(later), :, None] * later
            for target, found in ((events, counts), (screen_cost, amounts)):
                for name, values in found.items():
                    target[name][t] = values * survival[t]
            loss[t] = screen_qaly_loss(get, counts) * survival[t]
        trace[t, :-2] = people.states()
        if keep_years_since:
            since[t] = people.years_since()
    trace[:, :-2] *= survival[:, None, None]
    since *= survival[:, None, None]
    events |= _diagnoses_and_deaths(clinical, died, detected, survival, dying)
    trace[:, -2] = events["lung_cancer_deaths"].cumsum(axis=0)
    trace[:, -1] = 1.0 - trace[:, :-1].sum(axis=1)
    diagnosed = trace[:, 1 + N : 1 + 3 * N].reshape(n_rows, 2, N, *shape).sum(axis=1)
    life_years, qalys = _lived(trace[:, : 1 + N].sum(axis=1), diagnosed, time, get)
    return LungTrace(
        strategies=tuple(strategies),
        ages=history.ages,
        trace=trace,
        years_since=since,
        events={name: events[name] for name in EVENTS},
        costs=screen_cost | _cancer_costs(get, events, time.years[:, None, None] * diagnosed, last_years),
        life_years=life_years,
        qalys=qalys - loss,
        discount_cost=time.discount_cost,
        discount_effect=time.discount_effect,
    )


def _screened(people: "_Cohort", screen: Screen, get: Parameters) -> tuple[np.ndarray, dict, dict]:
    """Screen the living: those found by stage, what was counted and what it cost; moves the found to diagnosed."""
    screened = take_screen(screen, get, people.well, people.preclinical)
    people.find(screened.well, screened.preclinical, screened.detected)
    return screened.detected, screened.counts, screen_costs(get, screened.counts, screen.first)


def _lived(
    undiagnosed: np.ndarray, diagnosed: np.ndarray, time: Timing, get: Parameters
) -> tuple[np.ndarray, np.ndarray]:
    """Life years and QALYs of a cycle, (cycle, strategy, sim), losses by screens not taken off."""
    years, ratio = time.years[:, None], by_group(get, "u_ratio_{}")[:, None]
    life_years = years * (undiagnosed + diagnosed.sum(axis=1))
    return life_years, years * time.utility[:, None] * (undiagnosed + (diagnosed * ratio).sum(axis=1))


def _diagnoses_and_deaths(
    clinical: np.ndarray, died: np.ndarray, detected: np.ndarray, survival: np.ndarray, dying: np.ndarray
) -> dict[str, np.ndarray]:
    """Events by name of diagnoses and deaths by stage at diagnosis, (cycle + 1, stage, strategy, sim)."""
    alive = survival[:, None]
    events = {f"screen_diagnosis_{stage}": detected[:, s] * alive for s, stage in enumerate(STAGES)}
    events |= {f"clinical_diagnosis_{stage}": clinical[:, s] * alive for s, stage in enumerate(STAGES)}
    return events | {"lung_cancer_deaths": died.sum(axis=1) * dying[:, None]}


def _grown(shares: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Shares by stage (stage, ..., sim) after moves (stage, stage, sim) that are upper triangular.

    As natural_history.step_preclinical, to the last digit, in a few large steps in place of many small ones.
    """
    between = (slice(None), *[None] * (shares.ndim - 2))
    after = shares[0] * probabilities[0][between]
    for i in range(1, N):
        after[i:] += shares[i] * probabilities[i, i:][between]
    return after


def _cancer_costs(
    get: Parameters, events: Mapping[str, np.ndarray], years: np.ndarray, last_years: np.ndarray
) -> dict[str, np.ndarray]:
    """Costs of cancers by item, (cycle + 1, strategy, sim); phases of care as in lung_values.value_to_go.

    terminal is what the last year of life costs beyond the continuing care that it replaces, booked at death.
    years lived after diagnosis, and last_years of life, at the deaths that end them, are by stage, (cycle + 1,
    stage, strategy, sim).
    """
    found = [events[f"screen_diagnosis_{stage}"] + events[f"clinical_diagnosis_{stage}"] for stage in STAGES]
    continuing = by_group(get, "c_continuing_{}")
    return {
        "cancer_workup": sum(found) * get("c_cancer_workup"),
        "initial": sum(n * get(f"c_initial_{stage}") for n, stage in zip(found, STAGES, strict=True)),
        "continuing": sum(years[:, s] * continuing[s] for s in range(N)),
        "terminal": sum(last_years[:, s] * (get("c_terminal") - continuing[s]) for s in range(N)),
    }


class _Cohort:
    """Shares of the cohort in every state, for those whom no other cause has killed."""

    def __init__(self, history: NaturalHistory, shape: tuple[int, int]) -> None:
        self.history = history
        self.preclinical = np.broadcast_to(history.preclinical[:, None], (N, *shape)).copy()
        self.well = 1.0 - self.preclinical.sum(axis=0)
        self.lead = np.zeros((N, N, *shape))  # stage the cancer has by now, stage in which it was found
        self.tunnel = np.zeros((2, LAST + 1, N, *shape))  # screen or clinical, cycles since, stage
        band = np.searchsorted(BAND_STARTS, np.arange(LAST + 1), side="right") - 1
        self.survive = history.survival[band][:, :, None]

    def find(self, well: np.ndarray, preclinical: np.ndarray, detected: np.ndarray) -> None:
        """A screen leaves these undiagnosed and detects these by stage."""
        self.well, self.preclinical = well, preclinical
        for s in range(N):
            self.lead[s, s] += detected[s]

    def step(self, t: int, end_of_lead: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cycle t: clinical diagnoses and lung cancer deaths by stage at diagnosis, (stage, strategy, sim)."""
        history = self.history
        clinical = _grown(self.preclinical, history.found)
        clinical += self.well * history.onset_found[t][:, None]
        self.preclinical = _grown(self.preclinical, history.moves)
        self.preclinical += self.well * history.onset[t][:, None]
        self.well = self.well * history.stay_well[t]
        ended = (self.lead * end_of_lead[:, None, None]).sum(axis=0)
        self.lead = _grown(self.lead, history.moves)
        alive = self.tunnel * self.survive
        died = (self.tunnel - alive).sum(axis=(0, 1))
        self.tunnel[:, 1:] = alive[:, :-1]
        self.tunnel[:, -1] += alive[:, -1]
        self.tunnel[0, 0], self.tunnel[1, 0] = ended, clinical
        return clinical, died

    def lead_alive(self) -> np.ndarray:
        """Who is in lead time, (strategy, sim), those past it by the end of this cycle included."""
        return self.lead.sum(axis=(0, 1))

    def states(self) -> np.ndarray:
        """Shares in the living states of STATES, (state, strategy, sim)."""
        screen = self.lead.sum(axis=0) + self.tunnel[0].sum(axis=0)
        return np.concatenate([self.well[None], self.preclinical, screen, self.tunnel[1].sum(axis=0)])

    def years_since(self) -> np.ndarray:
        """Shares of the diagnosed by YEARS_SINCE, (year, strategy, sim)."""
        by_cycle = self.tunnel.sum(axis=(0, 2))
        starts = [*range(0, 6 * CYCLES_PER_YEAR, CYCLES_PER_YEAR), LAST]
        spans = [by_cycle[a:b].sum(axis=0) for a, b in zip(starts, [*starts[1:], LAST + 1], strict=True)]
        return np.stack([self.lead.sum(axis=(0, 1)), *spans])
