"""The lung screening model: costs, QALYs and deaths of its strategies, for all draws of an analysis at once.

The model is linear in the cohort, so its strategies share nearly all work. One pass from the end to the
start of life (market.lung_values) tells for every screen what a person is worth from there on: undiagnosed
in each state, and just found in each stage. A strategy is then no more than its screens: each moves those it
finds from the first value to the second. market.lung_trace follows the same cohort forward through every
state, for traces and tables by year, and gives the same totals.

Lead time. A person found by a screen would have been diagnosed later anyhow. Until that day, which the model
takes from the same preclinical stages, they do not die of lung cancer; from that day on they have the
survival of the stage in which they were found. So nobody dies earlier of lung cancer for having been found
earlier, and a stage that has not changed changes no date of death. Overdiagnosed are those who die of other
causes before that day; no cancers are assumed that would never have surfaced.

Costs of care. The last year of life, where it lies after diagnosis, takes the place of continuing care
(lung_values.value_to_go). First treatment is charged whole even to those who die soon after diagnosis, mostly
diagnosed late, though the cost of the last year may hold some of it: what overlap is left speaks for screening.

Left out, and speaking for screening: deaths from surgery of cancers found by screens, and cancers and deaths
caused by radiation; LEFT_OUT says so below every result.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError
from market.lung_values import COST, DEATHS, DIAGNOSES, LIFE_YEARS, QALYS, Values, timing, value_to_go
from market.natural_history import STAGES, LifeTable, NaturalHistory, Parameters, natural_history, step_preclinical
from market.reading import MINUTES_PER_HOUR
from market.screening import (
    COUNTS,
    NO_SCREENING,
    STRATEGIES,
    STRATEGY_LABELS,
    schedule,
    screen_costs,
    screen_qaly_loss,
    screens,
    take_screen,
)

if TYPE_CHECKING:
    import pandas as pd

LEFT_OUT = (
    "In favour of screening, the model leaves out deaths from surgery of cancers that a screen found and cancers "
    "and deaths caused by radiation, and it charges first treatment in full, beside the last year of life, to who "
    "dies soon after diagnosis, mostly those found late."
)
"""What a reader of any result must know about the model; shown below it."""

CHUNK_DRAWS = 700
"""Draws are worked off in chunks of this many: bounded memory, and what a cycle needs stays in cache."""

N_THREADS = 2


@dataclass(frozen=True, eq=False)
class LungResults:
    """Results per person of the cohort, each (n_sim, strategy).

    cost, qalys, life_years  discounted, in the currency of the parameters and in years
    lung_cancer_deaths       to the age at which the model ends; not discounted, like all that follows
    diagnoses                cancers diagnosed, by a screen or clinically
    overdiagnosed            found by a screen, dead of other causes before they would have been diagnosed
    counts                   by the names in screening.COUNTS
    """

    strategies: tuple[str, ...]
    cost: np.ndarray
    qalys: np.ndarray
    life_years: np.ndarray
    lung_cancer_deaths: np.ndarray
    diagnoses: np.ndarray
    overdiagnosed: np.ndarray
    counts: dict[str, np.ndarray]


def run(
    parameters: Mapping[str, ArrayLike], table: LifeTable, strategies: Sequence[str] = STRATEGIES
) -> LungResults:
    """The model for one set of parameters or many: values are numbers, or arrays of one length n_sim.

    `parameters` maps ids to values (natural_history, screening, reading and lung_values say which), `table`
    is the life table of the setting, `strategies` are some of STRATEGIES. The cohort are persons of
    start_age who take up screening where it is offered. Raises InputError for an unknown strategy,
    ParameterError for a parameter that is missing or out of range.
    """
    wrong = [name for name in strategies if name not in STRATEGIES]
    if wrong or not strategies or len(set(strategies)) < len(strategies):
        raise InputError("strategies", repr(list(strategies)), "different ones of " + ", ".join(STRATEGIES))
    n_sim = Parameters(parameters).n_sim()
    starts = range(0, n_sim, CHUNK_DRAWS)
    if len(starts) == 1:
        parts = [_run_chunk(parameters if n_sim == 1 else _without_constants(parameters), table, strategies)]
    else:
        varying = _without_constants(parameters)
        with ThreadPoolExecutor(N_THREADS) as pool:
            parts = list(pool.map(lambda start: _run_chunk(_draws(varying, start), table, strategies), starts))
    joined = {name: np.concatenate([part[name] for part in parts], axis=1).T for name in parts[0]}
    return LungResults(
        strategies=tuple(strategies),
        cost=joined["cost"],
        qalys=joined["qalys"],
        life_years=joined["life_years"],
        lung_cancer_deaths=joined["lung_cancer_deaths"],
        diagnoses=joined["diagnoses"],
        overdiagnosed=joined["overdiagnosed"],
        counts={name: joined[name] for name in COUNTS},
    )


def results_table(results: LungResults) -> "pd.DataFrame":
    """One row a strategy, means over the draws: what it costs and gives a person, and counts per 1,000 persons.

    Columns: strategy, label, cost, qalys, life_years per person; then per 1,000 persons of the cohort
    lung_cancer_deaths, deaths_averted (against the first strategy), diagnoses, overdiagnosed, reader_hours and
    the counts of screening.COUNTS.
    """
    import pandas as pd  # slow to import, and analyses of many draws need none of it

    table = {
        "strategy": results.strategies,
        "label": [STRATEGY_LABELS[name] for name in results.strategies],
        **{name: getattr(results, name).mean(axis=0) for name in ("cost", "qalys", "life_years")},
        **{name: count.mean(axis=0) for name, count in per_thousand(results).items()},
    }
    return pd.DataFrame(table)


def per_thousand(results: LungResults) -> dict[str, np.ndarray]:
    """Counts per 1,000 persons of the cohort by name, (n_sim, strategy), in the order of `results_table`."""
    deaths = results.lung_cancer_deaths
    return {
        "lung_cancer_deaths": 1000 * deaths,
        "deaths_averted": 1000 * (deaths[:, [0]] - deaths),
        "diagnoses": 1000 * results.diagnoses,
        "overdiagnosed": 1000 * results.overdiagnosed,
        "reader_hours": 1000 * results.counts["reader_minutes"] / MINUTES_PER_HOUR,
        **{name: 1000 * count for name, count in results.counts.items()},
    }


def _without_constants(parameters: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Arrays by id, those with one value in all draws shortened to it, which saves most of the work on them."""
    arrays = {name: np.atleast_1d(np.asarray(value)) for name, value in parameters.items()}
    short = {name: array[:1] if (array == array[0]).all() else array for name, array in arrays.items()}
    if all(array.size == 1 for array in short.values()):
        return arrays  # all draws are alike; their number must not be lost
    return short


def _draws(arrays: Mapping[str, np.ndarray], start: int) -> dict[str, np.ndarray]:
    part = slice(start, start + CHUNK_DRAWS)
    return {name: array if array.size == 1 else array[part] for name, array in arrays.items()}


def _run_chunk(
    parameters: Mapping[str, ArrayLike], table: LifeTable, strategies: Sequence[str]
) -> dict[str, np.ndarray]:
    """Results by name, each (strategy, sim)."""
    get = Parameters(parameters)
    history = natural_history(parameters, table)
    values = value_to_go(history, get, schedule(parameters))
    at_start = values.undiagnosed[0]
    well = 1.0 - history.preclinical.sum(axis=0)
    unscreened = at_start[0] * well + sum(at_start[1 + s] * history.preclinical[s] for s in range(len(STAGES)))
    rows = {"cost": COST, "qalys": QALYS, "life_years": LIFE_YEARS, "lung_cancer_deaths": DEATHS}
    rows["diagnoses"] = DIAGNOSES
    shape = (len(strategies), get.n_sim())
    results = {name: np.zeros(shape) for name in (*rows, "overdiagnosed", *COUNTS)}
    for name, row in rows.items():
        results[name][:] = unscreened[row]
    modes = [name for name in strategies if name != NO_SCREENING]
    if modes:
        changes, overdiagnosed, counts = _screen_cohort(parameters, history, values, modes)
        screened = [name != NO_SCREENING for name in strategies]
        for name, row in rows.items():
            results[name][screened] += changes[row]
        results["overdiagnosed"][screened] = overdiagnosed
        for name, count in counts.items():
            results[name][screened] = count
    return results


def _screen_cohort(
    parameters: Mapping[str, ArrayLike], history: NaturalHistory, values: Values, modes: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """What screening changes, (row, mode, sim), its overdiagnoses (mode, sim) and counts {name: (mode, sim)}.

    Follows the undiagnosed from screen to screen; no further than the last one.
    """
    get = Parameters(parameters)
    time = timing(history, get)
    first, later = screens(parameters, modes)
    rounds = schedule(parameters)
    shape = (len(modes), get.n_sim())
    preclinical = np.broadcast_to(history.preclinical[:, None], (len(STAGES), *shape)).copy()
    well = 1.0 - preclinical.sum(axis=0)
    changes, overdiagnosed = np.zeros((5, *shape)), np.zeros(shape)
    totals = {name: np.zeros(shape) for name in COUNTS}
    for t in range(rounds[-1] + 1):
        if t in rounds:
            screen = later if t else first
            screened = take_screen(screen, get, well, preclinical)
            undiagnosed, found = values.undiagnosed[t], values.found[t]
            changes -= screened.died_well * undiagnosed[0][:, None]
            for s in range(len(STAGES)):
                changes += screened.detected[s] * (found[:, s] - undiagnosed[1 + s])[:, None]
                changes -= screened.died_preclinical[s] * undiagnosed[1 + s][:, None]
                overdiagnosed += screened.detected[s] * (found[DIAGNOSES, s] - undiagnosed[1 + s, DIAGNOSES])
            alive = history.other_survival[t]
            costs = screen_costs(get, screened.counts, screen.first)
            changes[COST] += sum(costs.values()) * (alive * time.discount_cost[t])
            changes[QALYS] -= screen_qaly_loss(get, screened.counts) * (alive * time.discount_effect[t])
            for name, count in screened.counts.items():
                totals[name] += count * alive
            well, preclinical = screened.well, screened.preclinical
        if t < rounds[-1]:
            preclinical = step_preclinical(preclinical, history.moves)
            preclinical += well * history.onset[t][:, None]
            well = well * history.stay_well[t]
    return changes, overdiagnosed, totals
