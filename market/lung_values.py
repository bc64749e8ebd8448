"""What a person is worth from each cycle on: life-years, QALYs, money and deaths, computed backwards.

Every value counts what happens from that cycle to the end of life of one whom no other cause has killed yet
at the start of the cohort: discounting to the start and survival of other causes from the start are part of
it. So values of different cycles may be added, and a strategy weighs them with its shares of persons.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from market.cohort import within_cycle_weights
from market.natural_history import (
    BAND_STARTS,
    BANDS,
    CYCLE_YEARS,
    CYCLES_PER_YEAR,
    STAGES,
    NaturalHistory,
    Parameters,
    by_group,
)
from market.screening import stage_costs

N = len(STAGES)
LIFE_YEARS, QALYS, COST, DEATHS, DIAGNOSES = range(5)
"""Rows of a value: life-years, QALYs, cost, all discounted; lung cancer deaths and diagnoses, not."""

_CONTINUING, _TERMINAL = 2, 3
"""Rows of the streams where a value has COST and DEATHS, DEATHS being the last stream."""


@dataclass(frozen=True, eq=False)
class Timing:
    """Factors by row of the trace, (cycle + 1, sim) each, without survival.

    discount_effect, discount_cost  (1 + rate) ** -years
    years                           of life that a person in this row stands for: cycle length and weight
    utility                         of a person of that age without lung cancer
    """

    discount_effect: np.ndarray
    discount_cost: np.ndarray
    years: np.ndarray
    utility: np.ndarray


@dataclass(frozen=True, eq=False)
class Values:
    """Values at some cycles: of the undiagnosed {cycle: (well and stages, row, sim)}, of those just found by
    a screen {cycle: (row, stage, sim)}; rows LIFE_YEARS to DIAGNOSES."""

    undiagnosed: dict[int, np.ndarray]
    found: dict[int, np.ndarray]


def timing(history: NaturalHistory, get: Parameters) -> Timing:
    """Discount factors, half-cycle weights and utilities by age, of each row of the trace.

    Uses discount_effect, discount_cost, u_under_65, u_65_74, u_75_plus.
    """
    years = np.arange(history.n_cycles + 1)[:, None] * CYCLE_YEARS
    ages = history.ages
    utility = np.where(ages < 75, get("u_65_74", 0, 1), get("u_75_plus", 0, 1))
    utility = np.where(ages < 65, get("u_under_65", 0, 1), utility)
    return Timing(
        discount_effect=(1.0 + get("discount_effect")) ** -years,
        discount_cost=(1.0 + get("discount_cost")) ** -years,
        years=within_cycle_weights(history.n_cycles, "half-cycle")[:, None] * CYCLE_YEARS,
        utility=utility,
    )


def death_survival(other_survival: np.ndarray) -> np.ndarray:
    """Share that no other cause kills before they die of lung cancer in the cycle that ends in each row.

    Of two causes at constant rates in one cycle each comes first about half the time when both would strike,
    so it is the mean of the survival at both ends (row 0, where nobody dies, has its own). Other deaths of
    the cycle are then those of the mean of who has lung cancer survival at both ends, and all adds up.
    """
    return np.concatenate([other_survival[:1], (other_survival[1:] + other_survival[:-1]) / 2])


def value_to_go(history: NaturalHistory, get: Parameters, cycles: Collection[int]) -> Values:
    """Values at these cycles and at 0, by one pass from the last cycle to the first.

    Costs of care after first treatment come in phases that exclude each other (as in Mariotto 2020, Cancer
    Epidemiol Biomarkers Prev 29:1304): c_terminal for the last year of life of who dies of lung cancer, as much of
    it as lies after diagnosis, and c_continuing for all other time. The continuing care that the last year replaces
    is taken off at death, at the discount of that day. First treatment and work-up are charged whole at diagnosis;
    what of them falls into the last year of life is counted twice if c_terminal holds it.
    """
    time = timing(history, get)
    alive, at_death = _streams(history, time)
    initial, continuing, terminal = stage_costs(get)
    utility_ratio = by_group(get, "u_ratio_{}")
    lead_moves, lead_end = history.moves, 1.0 - history.moves.sum(axis=1)
    initial_factor = time.discount_cost * history.other_survival
    n_sim = get.n_sim()
    keep = {0, *cycles}
    undiagnosed, found = {}, {}

    def stage_values(streams: np.ndarray, t: int) -> np.ndarray:
        """Values (row, stage, sim) of who is diagnosed at t, from the streams that follow."""
        values = np.empty((5, N, n_sim))
        values[LIFE_YEARS] = streams[LIFE_YEARS]
        values[QALYS] = streams[QALYS] * utility_ratio
        spent = streams[_CONTINUING] * continuing + streams[_TERMINAL] * (terminal - continuing)
        values[COST] = spent + initial * initial_factor[t]
        values[DEATHS] = streams[-1]
        values[DIAGNOSES] = history.other_survival[t]
        return values

    bands = np.zeros((len(BANDS), 5, N, n_sim))
    lead = np.zeros((N, 5, N, n_sim))  # stage where the cancer is by now, stream, stage where it was found
    ahead = np.zeros((1 + N, 5, n_sim))
    clinical = np.zeros((5, N, n_sim))
    after = np.zeros((5, N, n_sim))
    starts_surviving = _survival_at_starts(history.survival)
    before_clinical, before_screen = last_year_before_diagnosis(history)
    for t in range(history.n_cycles, -1, -1):
        _step_lead(lead, lead_moves, lead_end, after, alive[t])
        _step_undiagnosed(ahead, history, clinical, alive[t], t)
        after = _step_diagnosed(bands, history.survival, starts_surviving, alive, at_death, t)
        clinical = stage_values(_less(after, before_clinical, at_death, t), t)
        if t in keep:
            undiagnosed[t] = ahead.copy()
            in_lead = np.stack([lead[s, :, s] for s in range(N)], axis=1)
            found[t] = stage_values(_less(in_lead, before_screen, at_death, t), t)
    return Values(undiagnosed, found)


def _streams(history: NaturalHistory, time: Timing) -> tuple[np.ndarray, np.ndarray]:
    """What a year of life, and a death of lung cancer, adds in each row: (cycle + 1, stream, sim) each.

    Streams: life-years, QALYs, years at cost discount; then deaths at cost discount and undiscounted, which
    lie in at_death. Those two are also written as amounts per cycle survived: the sum over the cycles of
    deaths times amounts d equals d in the row of diagnosis plus the sum over the rows survived of the next
    amount less this one (summation by parts).
    """
    survival = history.other_survival
    dying = death_survival(survival)
    lived = time.years * survival
    at_death = np.stack(np.broadcast_arrays(time.discount_cost * dying, dying), axis=1)
    steps = np.concatenate([at_death[1:], np.zeros_like(at_death[:1])]) - at_death
    rows = [lived * time.discount_effect, lived * time.discount_effect * time.utility, lived * time.discount_cost]
    n_sim = np.broadcast_shapes(*(row.shape for row in rows), steps[:, 0].shape)[-1]
    alive = np.empty((len(survival), 5, n_sim))
    for i, row in enumerate(rows):
        alive[:, i] = row
    alive[:, _TERMINAL:] = steps
    return alive, at_death


def _survival_at_starts(survival: np.ndarray) -> np.ndarray:
    """Share of the diagnosed alive at the start of each band, but for other causes, (band, 1, stage, sim)."""
    lengths = np.diff(BAND_STARTS)[:, None, None]
    through = np.cumprod(survival[:-1] ** lengths, axis=0)
    return np.concatenate([np.ones_like(survival[:1]), through])[:, None]


def last_year_before_diagnosis(history: NaturalHistory) -> tuple[np.ndarray, np.ndarray]:
    """Years of the last year of life that lie before diagnosis, (cycle, stage, sim), clinical and by a screen.

    Per person diagnosed, but for other causes: the share who die of lung cancer in the 1st to 4th cycle after
    diagnosis, times the rest of a year before it, with deaths in mid-cycle. Who is found by a screen comes first
    to the end of lead time; later deaths leave nothing before diagnosis.
    """
    cycles = np.arange(CYCLES_PER_YEAR)
    survives = history.survival[0]
    dies = survives ** cycles[:, None, None] * (1.0 - survives)
    lead = np.eye(N)[:, :, None]  # stage where found, stage where the cancer is by now
    dies_later = np.zeros(np.broadcast_shapes(dies.shape, (1, 1, history.moves.shape[-1])))
    for cycle in cycles[:-1]:
        after = np.einsum("sin,ijn->sjn", np.broadcast_to(lead, (N, *history.moves.shape[1:])), history.moves)
        ends = lead.sum(axis=1) - after.sum(axis=1)
        dies_later[cycle + 1 :] += ends * dies[: len(cycles) - 1 - cycle]
        lead = after
    rest = (1.0 - (cycles + 0.5) * CYCLE_YEARS)[:, None, None]
    return rest * dies, rest * dies_later


def _less(streams: np.ndarray, before: np.ndarray, at_death: np.ndarray, t: int) -> np.ndarray:
    """Streams of who is diagnosed at t, without the part of the last year of life before it."""
    less = streams.copy()
    for k, years in enumerate(before[: len(at_death) - 1 - t], start=1):
        less[_TERMINAL] -= years * at_death[t + k, 0]
    return less


def _step_diagnosed(
    bands: np.ndarray,
    survival: np.ndarray,
    starts_surviving: np.ndarray,
    alive: np.ndarray,
    at_death: np.ndarray,
    t: int,
) -> np.ndarray:
    """Streams (stream, stage, sim) of who is clinically diagnosed at t; `bands` are those of t + 1, renewed.

    Of the sum over cycles k of S(k) alive[t + k], each band of constant hazard is a geometric sum, which
    moves a cycle back by one multiplication, one summand that comes in and one that goes out.
    """
    entering = np.zeros(bands.shape)
    for b, start in enumerate(BAND_STARTS):
        if t + start < len(alive):
            np.multiply(starts_surviving[b], alive[t + start][:, None], out=entering[b])
    bands *= survival[:, None]
    bands += entering
    bands[:-1] -= entering[1:]
    streams = bands.sum(axis=0)
    streams[_TERMINAL:] += at_death[t][:, None]
    return streams


def _step_lead(
    lead: np.ndarray, moves: np.ndarray, end: np.ndarray, diagnosed: np.ndarray, alive: np.ndarray
) -> None:
    """Renew in place the streams of those found by a screen and not yet due for clinical diagnosis."""
    for j in range(N):
        part = lead[j, :, : j + 1]
        part *= moves[j, j]
        for k in range(j + 1, N):
            part += lead[k, :, : j + 1] * moves[j, k]
        part += diagnosed[:, : j + 1] * end[j]
        part[:_TERMINAL] += alive[:_TERMINAL, None]  # in lead time nobody dies of lung cancer


def _step_undiagnosed(
    ahead: np.ndarray, history: NaturalHistory, clinical: np.ndarray, alive: np.ndarray, t: int
) -> None:
    """Renew in place the values (well and stages, row, sim) of the undiagnosed, from t + 1 to t."""
    living = alive[: QALYS + 1]
    if t < history.n_cycles:
        well = ahead[0]
        well *= history.stay_well[t]
        for j in range(N):
            well += ahead[1 + j] * history.onset[t, j] + clinical[:, j] * history.onset_found[t, j]
        for j in range(N):
            part = ahead[1 + j]
            part *= history.moves[j, j]
            for k in range(j + 1, N):
                part += ahead[1 + k] * history.moves[j, k]
            for k in range(j, N):
                part += clinical[:, k] * history.found[j, k]
    ahead[:, : QALYS + 1] += living
