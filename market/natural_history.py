"""Lung cancer before and after diagnosis, in three-month cycles, without screening.

Undiagnosed persons are well or have a preclinical cancer in one of six stages. In a generator, a well person
gets a cancer at the onset rate of their age; a cancer of stage i leaves the stage at rate 1 / sojourn_i, in
the share clinical_share_i by clinical diagnosis and otherwise by growing into the next stage. After
diagnosis a person of stage s dies of lung cancer at hazards that change after 1, 2, 5 and 10 years, or is a
long-term survivor. Nobody dies of a cancer that is not diagnosed.

Other causes kill everybody at the same rate at the same age, whatever their cancer, so their survival curve
multiplies everything (independent competing risks) and is kept apart: all other quantities of this file
hold for persons whom no other cause kills. Arrays carry the simulations in their last axis, so that the
arithmetic of all draws lies side by side in memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from market.cohort import generator_to_transitions
from market.errors import InputError, ParameterError
from market.parameters import read_text

STAGES = ("ia", "ib", "ii", "iiia", "iiib", "iv")
GROUPS = ("i", "i", "ii", "iii", "iii", "iv")
"""Of the stages in STAGES, where costs, utilities and improved survival are told apart no further."""

CYCLE_YEARS = 0.25
CYCLES_PER_YEAR = 4
HORIZON_AGE = 100
"""Age at which the model ends; by then all but a few in a thousand are dead."""

BANDS = (("y1", 1), ("y2", 1), ("y3_5", 3), ("y6_10", 5), ("y11_20", 10))
"""Spans of years after diagnosis with one hazard each; that of the last goes on beyond it."""

BAND_STARTS = (0, 4, 8, 20, 40)
"""First cycle of each band."""

RUN_IN_CYCLES = 80
"""Cancers under way at the start began at most 20 years before: several times the longest sojourn."""

LIFE_TABLES = {"us": "us_2015.csv", "uk": "uk_2015_2017.csv"}
LIFE_TABLE_FOLDER = Path(__file__).parents[1] / "data" / "market" / "life_tables"


@dataclass(frozen=True, eq=False)
class LifeTable:
    """Deaths per person-year from all causes by year of age, 0 first; the last age stands for all above."""

    female: np.ndarray
    male: np.ndarray


@cache
def life_table(setting: str) -> LifeTable:
    """The life table of a setting; InputError for a setting without one, ParameterError for a damaged file."""
    if setting not in LIFE_TABLES:
        raise InputError("setting", repr(setting), "one with a life table: " + ", ".join(LIFE_TABLES))
    path = LIFE_TABLE_FOLDER / LIFE_TABLES[setting]
    expected = "age,female,male and a row for each age from 0, death rates between 0 and 2"
    lines = read_text(path).splitlines()
    if len(lines) < 2:
        raise ParameterError(path.name, f"{len(lines)} lines", expected)
    try:
        columns = np.atleast_1d(np.genfromtxt(lines, delimiter=",", names=True))
        ages, rates = columns["age"], np.stack([columns["female"], columns["male"]])
    except ValueError as error:
        raise ParameterError(path.name, "no table that can be read", expected) from error
    if not (np.array_equal(ages, np.arange(len(ages))) and ((rates > 0) & (rates < 2)).all()):
        raise ParameterError(path.name, "ages with gaps, or rates that cannot be", expected)
    return LifeTable(*rates)


@dataclass(frozen=True, eq=False)
class NaturalHistory:
    """Probabilities of a cycle and survival curves, for those whom no other cause kills.

    ages           at each row of the trace (cycle + 1, sim or 1)
    moves          (stage, stage, sim) preclinical to preclinical
    found          (stage, stage, sim) preclinical to clinically diagnosed, the second the stage at diagnosis
    stay_well      (cycle, sim)
    onset          (cycle, stage, sim) well to preclinical
    onset_found    (cycle, stage, sim) well to diagnosed within the same cycle
    preclinical    (stage, sim) shares at the start, of those undiagnosed; the rest is well
    survival       (band, stage, sim) surviving lung cancer through a cycle of that band after diagnosis
    other_survival (cycle + 1, sim) surviving other causes from the start
    """

    ages: np.ndarray
    moves: np.ndarray
    found: np.ndarray
    stay_well: np.ndarray
    onset: np.ndarray
    onset_found: np.ndarray
    preclinical: np.ndarray
    survival: np.ndarray
    other_survival: np.ndarray

    @property
    def n_cycles(self) -> int:
        return len(self.ages) - 1

    @property
    def n_sim(self) -> int:
        return max(self.moves.shape[-1], self.ages.shape[-1], self.survival.shape[-1])


def natural_history(
    parameters: Mapping[str, ArrayLike], table: LifeTable, n_cycles: int | None = None
) -> NaturalHistory:
    """The natural history of a cohort from start_age for n_cycles, by default to HORIZON_AGE.

    Parameters used: start_age; r_onset_60, onset_age_exponent, onset_plateau_age, onset_ratio;
    sojourn_STAGE, sojourn_scale; clinical_share_STAGE but for the last; survival_STAGE_BAND (probability of
    surviving lung cancer through the band for who began it), and on it hr_lung_death times hr_lung_death_era_GROUP;
    share_male, hr_other_cause.
    Raises ParameterError for one that is missing, not finite, negative or of another number of draws.
    """
    get = Parameters(parameters)
    start = get("start_age")
    if n_cycles is None:
        n_cycles = round((HORIZON_AGE - float(start.min())) * CYCLES_PER_YEAR)
    if n_cycles < 1:
        raise ParameterError("start_age", f"{start.min():g}", f"an age below {HORIZON_AGE}")
    leaving, share = _exits(get)
    moves, found = _preclinical_moves(leaving, share)
    steps = np.arange(-RUN_IN_CYCLES, n_cycles + 1)
    ages = start + steps[:, None] * CYCLE_YEARS
    onset_rate = _onset_rate(get, ages[:-1] + CYCLE_YEARS / 2)
    stay_well, onset, onset_found = _onset_moves(onset_rate, leaving, share, moves, found)
    split = RUN_IN_CYCLES
    return NaturalHistory(
        ages=ages[split:],
        moves=moves,
        found=found,
        stay_well=stay_well[split:],
        onset=onset[split:],
        onset_found=onset_found[split:],
        preclinical=_run_in(stay_well[:split], onset[:split], moves),
        survival=_cycle_survival(get),
        other_survival=_other_survival(get, table, ages[split:]),
    )


class Parameters:
    """Values by id as arrays (sim,) or (1,), checked when they are asked for."""

    def __init__(self, values: Mapping[str, ArrayLike]) -> None:
        self.values = values

    def __call__(self, name: str, least: float = 0.0, most: float = np.inf) -> np.ndarray:
        """The value, one to a draw; ParameterError if it is missing, not finite or outside [least, most]."""
        if name not in self.values:
            raise ParameterError(name, "no such parameter", "a value for it")
        value = np.atleast_1d(np.asarray(self.values[name]))
        if value.dtype.kind not in "iuf":
            raise ParameterError(name, f"{value.flat[0]!r}", "a number")
        value = value.astype(float, copy=False)
        if value.ndim > 1:
            raise ParameterError(name, f"shape {value.shape}", "a number or (n_sim,)")
        fits = (value >= least) & (value <= most) & np.isfinite(value)
        if not fits.all():
            wrong = value[~fits][0]
            raise ParameterError(name, f"{wrong:g}", f"a number from {least:g} to {most:g}")
        return value

    def stages(self, pattern: str, least: float = 0.0, most: float = np.inf) -> np.ndarray:
        """(stage, sim) of the parameters that the pattern names with {} for the stage."""
        return np.stack(np.broadcast_arrays(*(self(pattern.format(s), least, most) for s in STAGES)))

    def n_sim(self) -> int:
        """Number of draws: the longest value; ParameterError where two lengths other than 1 differ."""
        lengths: dict[int, str] = {}
        for name, value in self.values.items():
            lengths.setdefault(np.size(value), name)
        many = {length: name for length, name in lengths.items() if length != 1}
        if len(many) > 1:
            (first, _), (second, name) = list(many.items())[:2]
            raise ParameterError(name, f"{second} draws", f"{first} like the others, or one value")
        return next(iter(many), 1)


def _exits(get: Parameters) -> tuple[np.ndarray, np.ndarray]:
    """Rate of leaving each stage, per year, and the share of leavers that are diagnosed, (stage, sim) each."""
    sojourn = get.stages("sojourn_{}") * get("sojourn_scale")
    if (sojourn <= 0).any():
        raise ParameterError("sojourn", f"{sojourn.min():g} years", "more than 0")
    shares = [get(f"clinical_share_{stage}", 0.0, 1.0) for stage in STAGES[:-1]]
    shares.append(np.ones(1))  # stage IV is left by diagnosis alone
    return 1.0 / sojourn, np.stack(np.broadcast_arrays(*shares))


def _preclinical_moves(leaving: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moves of a cycle among the preclinical stages and to diagnosis by stage, (stage, stage, sim) each."""
    n, n_sim = len(STAGES), max(leaving.shape[-1], share.shape[-1])
    generator = np.zeros((n_sim, 2 * n, 2 * n))
    for i in range(n):
        generator[:, i, i] = -leaving[i]
        generator[:, i, n + i] = leaving[i] * share[i]
        if i < n - 1:
            generator[:, i, i + 1] = leaving[i] * (1.0 - share[i])
    probabilities = generator_to_transitions(generator, CYCLE_YEARS)
    by_stage = np.ascontiguousarray(probabilities[:, :n].transpose(1, 2, 0))
    return by_stage[:, :n], by_stage[:, n:]


def _onset_rate(get: Parameters, ages: np.ndarray) -> np.ndarray:
    """Onset of preclinical cancer per well person-year: a power of age up to a plateau, (cycle, sim)."""
    growth = (np.minimum(ages, get("onset_plateau_age")) / 60.0) ** get("onset_age_exponent")
    return get("r_onset_60") * get("onset_ratio") * growth


def _onset_moves(
    rate: np.ndarray, leaving: np.ndarray, share: np.ndarray, moves: np.ndarray, found: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a well person is a cycle later: well (cycle, sim), preclinical and diagnosed (cycle, stage, sim).

    With onset at rate r and E(t) the moves of the rest, r times the integral over the cycle of
    exp(-r u) times row IA of E(dt - u) (Duhamel). As E = exp(Q t), the integral is y E - exp(-r dt) y with
    y (Q + r) = row IA of the unit matrix, and Q has entries on and right above its diagonal alone.
    """
    stay = np.exp(-rate * CYCLE_YEARS)
    y = np.empty((len(rate), len(STAGES), np.broadcast(rate[0], leaving[0], share[0]).size))
    y[:, 0] = 1.0 / (rate - leaving[0])
    for i in range(1, len(STAGES)):
        y[:, i] = -y[:, i - 1] * leaving[i - 1] * (1.0 - share[i - 1]) / (rate - leaving[i])
    r, left = rate[:, None], stay[:, None]
    onset = r * (np.einsum("tin,ijn->tjn", y, moves) - left * y)
    onset_found = r * np.einsum("tin,ijn->tjn", y, found) - y * (leaving * share) * (1.0 - left)
    return stay, np.maximum(onset, 0.0), np.maximum(onset_found, 0.0)  # rounding of differences near 0


def by_group(get: Parameters, pattern: str) -> np.ndarray:
    """(stage, sim) of parameters that are named by group of stages."""
    return np.stack(np.broadcast_arrays(*(get(pattern.format(group)) for group in GROUPS)))


def _run_in(stay_well: np.ndarray, onset: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Shares in the preclinical stages of the undiagnosed after cycles that all began well, (stage, sim)."""
    well, preclinical = np.ones(stay_well.shape[-1]), np.zeros(onset.shape[1:])
    for t in range(len(stay_well)):
        preclinical = step_preclinical(preclinical, moves) + well * onset[t]
        well = well * stay_well[t]
    return preclinical / (well + preclinical.sum(axis=0))


def step_preclinical(preclinical: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Preclinical stages (stage, ..., sim) a cycle later; `moves` is upper triangular, as stages only grow."""
    after = np.empty(np.broadcast_shapes(preclinical.shape, (*preclinical.shape[:-1], moves.shape[-1])))
    for j in range(len(STAGES)):
        np.multiply(preclinical[0], moves[0, j], out=after[j])
        for i in range(1, j + 1):
            after[j] += preclinical[i] * moves[i, j]
    return after


def _cycle_survival(get: Parameters) -> np.ndarray:
    """Probability of surviving lung cancer through a cycle of each band after diagnosis, (band, stage, sim)."""
    hazard_ratio = get("hr_lung_death") * by_group(get, "hr_lung_death_era_{}")
    bands = []
    for band, years in BANDS:
        through = get.stages("survival_{}_" + band, 0.0, 1.0)
        bands.append(through ** (hazard_ratio / (years * CYCLES_PER_YEAR)))
    return np.stack(np.broadcast_arrays(*bands))


def _other_survival(get: Parameters, table: LifeTable, ages: np.ndarray) -> np.ndarray:
    """Surviving other causes from the first age to each, (cycle + 1, sim): both sexes mixed at the start.

    The hazard of a year of age is that of the life table times hr_other_cause.
    """
    ratio, male = get("hr_other_cause"), get("share_male", 0.0, 1.0)
    whole = np.minimum(np.floor(ages[:-1] + CYCLE_YEARS / 2).astype(int), len(table.male) - 1)
    survival = 0.0
    for share, rates in ((male, table.male), (1.0 - male, table.female)):
        hazard = np.cumsum(rates[whole], axis=0) * CYCLE_YEARS
        hazard = np.concatenate([np.zeros((1, hazard.shape[1])), hazard])
        survival = survival + share * np.exp(-hazard * ratio)
    return survival
