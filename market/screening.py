"""Screens: who is invited when, which cancers are found, and what each screen leads to and costs.

A screen is taken at the start of a cycle. It finds a preclinical cancer of a stage with

    min(1, detect_STAGE * sensitivity of the reading / sensitivity_reference_ROUND)

where detect_STAGE is the detectability that was estimated for the trial whose readings had the reference
sensitivity. So a reader or an AI moves the yield of all stages in proportion (the scaling with which
Lung-RADS was put into the model of ten Haaf et al. 2015, Cancer Epidemiol Biomarkers Prev 24:154, by the
lcrisks simulation), and stage shift is a result, not an input.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from market.errors import ParameterError
from market.natural_history import CYCLES_PER_YEAR, HORIZON_AGE, Parameters, by_group
from market.reading import (
    LABELS,
    MINUTES_PER_HOUR,
    MODES,
    ROUNDS,
    SECONDS_PER_MINUTE,
    minutes_per_screen,
    read_screen,
)

NO_SCREENING = "none"
STRATEGIES = (NO_SCREENING, *MODES)
STRATEGY_LABELS = {NO_SCREENING: "No screening", **LABELS}
COUNTS = (
    "screens",
    "reads",
    "reader_minutes",
    "ai_reads",
    "recalls",
    "false_positives",
    "invasive_procedures",
    "complications",
    "procedure_deaths",
    "screen_detected",
)
COSTS = ("entry", "scan", "reading", "ai", "incidental", "false_positive", "complication")
"""Items of cost that screens cause; work-up of a cancer and its treatment come with its diagnosis."""


@dataclass(frozen=True, eq=False)
class Screen:
    """Screens of one round by strategy; arrays broadcast against (strategy, sim).

    attendance       share of those still undiagnosed that come
    detection        (stage, strategy, sim) probability of finding a cancer of that stage
    false_positive   probability of a recall without a cancer being found
    reads, minutes   of a radiologist per screen, of a person with and without cancer
    ai_reads         runs of the AI per screen
    first            1 if this is a person's first screen, else 0
    """

    attendance: np.ndarray
    detection: np.ndarray
    false_positive: np.ndarray
    reads: tuple[np.ndarray, np.ndarray]
    minutes: tuple[np.ndarray, np.ndarray]
    ai_reads: np.ndarray
    first: float


def schedule(parameters: Mapping[str, ArrayLike]) -> list[int]:
    """Cycles of the screens from start_age, every screen_interval_years, to screen_stop_age inclusive."""
    get = Parameters(parameters)
    numbers = []
    for name in ("start_age", "screen_stop_age", "screen_interval_years"):
        value = get(name)
        if (value != value[0]).any():
            raise ParameterError(name, "different values in different draws", "one value, as it sets the screens")
        numbers.append(float(value[0]))
    start, stop, interval = numbers
    if stop < start:
        raise ParameterError("screen_stop_age", f"{stop:g}", f"start_age, {start:g}, or more")
    step = round(interval * CYCLES_PER_YEAR)
    if step < 1 or abs(step - interval * CYCLES_PER_YEAR) > 1e-9:
        raise ParameterError("screen_interval_years", f"{interval:g}", "quarters of a year, 0.25 or more")
    if stop > HORIZON_AGE:
        raise ParameterError("screen_stop_age", f"{stop:g}", f"at most {HORIZON_AGE}, where the model ends")
    return list(range(0, math.floor((stop - start) * CYCLES_PER_YEAR + 1e-9) + 1, step))


def screens(parameters: Mapping[str, ArrayLike], modes: Sequence[str]) -> tuple[Screen, Screen]:
    """The first screen and every later one, each in all these modes of reading.

    Beside those of reading.read_screen it uses detect_STAGE, detect_odds (multiplies the odds of all of
    them), sensitivity_reference_ROUND and adherence (share of those due who come to a later screen; to the
    first all come, as the cohort is of those who start).
    """
    get = Parameters(parameters)
    odds = get("detect_odds")
    detectability = get.stages("detect_{}", 0.0, 1.0)
    detectability = detectability * odds / (1.0 - detectability * (1.0 - odds))
    made = []
    for screening_round in ROUNDS:
        readings = [read_screen(mode, parameters, screening_round) for mode in modes]
        reference = get(f"sensitivity_reference_{screening_round}", 1e-6, 1.0)
        sensitivity = _stack([reading.sensitivity for reading in readings])
        first = screening_round == "first"
        made.append(
            Screen(
                attendance=np.ones(1) if first else get("adherence", 0.0, 1.0),
                detection=np.minimum(1.0, detectability[:, None] * (sensitivity / reference)),
                false_positive=1.0 - _stack([reading.specificity for reading in readings]),
                reads=(
                    _stack([reading.reads_cancer for reading in readings]),
                    _stack([reading.reads_no_cancer for reading in readings]),
                ),
                minutes=(
                    _stack([minutes_per_screen(reading, cancer=True) for reading in readings]),
                    _stack([minutes_per_screen(reading, cancer=False) for reading in readings]),
                ),
                ai_reads=_stack([reading.ai_reads for reading in readings]),
                first=float(first),
            )
        )
    return made[0], made[1]


def _stack(values: list[ArrayLike]) -> np.ndarray:
    """(strategy, sim) of numbers and arrays (sim,)."""
    return np.stack(np.broadcast_arrays(*(np.atleast_1d(np.asarray(value, dtype=float)) for value in values)))


@dataclass(frozen=True, eq=False)
class Screened:
    """What a screen does, per person of the cohort whom no other cause has killed.

    well (strategy, sim), preclinical (stage, strategy, sim)  who are undiagnosed afterwards
    detected (stage, strategy, sim)                           who are diagnosed by it
    died_well, died_preclinical                               who die of an invasive procedure
    counts                                                    by the names in COUNTS, (strategy, sim)
    """

    well: np.ndarray
    preclinical: np.ndarray
    detected: np.ndarray
    died_well: np.ndarray
    died_preclinical: np.ndarray
    counts: dict[str, np.ndarray]


def take_screen(screen: Screen, get: Parameters, well: np.ndarray, preclinical: np.ndarray) -> Screened:
    """One screen of the undiagnosed: well (strategy, sim) and preclinical (stage, strategy, sim).

    Uses share_invasive (of false positives), share_complication and share_death (of invasive procedures).
    """
    attending = preclinical * screen.attendance
    detected = attending * screen.detection
    missed = attending - detected
    with_cancer, healthy = attending.sum(axis=0), well * screen.attendance
    deadly = screen.false_positive * get("share_invasive", 0, 1) * get("share_death", 0, 1)
    died_well, died_preclinical = healthy * deadly, missed * deadly
    false_positives = (healthy + missed.sum(axis=0)) * screen.false_positive
    invasive = false_positives * get("share_invasive", 0, 1)
    found = detected.sum(axis=0)
    counts = {
        "screens": with_cancer + healthy,
        "reads": with_cancer * screen.reads[0] + healthy * screen.reads[1],
        "reader_minutes": with_cancer * screen.minutes[0] + healthy * screen.minutes[1],
        "ai_reads": (with_cancer + healthy) * screen.ai_reads,
        "recalls": found + false_positives,
        "false_positives": false_positives,
        "invasive_procedures": invasive,
        "complications": invasive * get("share_complication", 0, 1),
        "procedure_deaths": died_well + died_preclinical.sum(axis=0),
        "screen_detected": found,
    }
    after = preclinical - detected - died_preclinical
    return Screened(well - died_well, after, detected, died_well, died_preclinical, counts)


def screen_costs(get: Parameters, counts: dict[str, np.ndarray], first: float) -> dict[str, np.ndarray]:
    """Money spent on screens with these counts, by the names in COSTS, undiscounted.

    c_ldct is what a screen with one reading costs; of it, read_seconds at c_reader_hour is booked as
    reading, so that a reading that takes longer or shorter changes the total by its time alone. cost_entry
    (visit, risk assessment) and incidental findings come with the first screen.
    """
    minute = get("c_reader_hour") / MINUTES_PER_HOUR
    one_read = get("read_seconds") / SECONDS_PER_MINUTE * minute
    return {
        "entry": first * counts["screens"] * get("c_entry"),
        "scan": counts["screens"] * (get("c_ldct") - one_read),
        "reading": counts["reader_minutes"] * minute,
        "ai": counts["ai_reads"] * get("c_ai_scan"),
        "incidental": first * counts["screens"] * get("share_incidental", 0, 1) * get("c_incidental"),
        "false_positive": counts["false_positives"] * get("c_false_positive"),
        "complication": counts["complications"] * get("c_complication"),
    }


def screen_qaly_loss(get: Parameters, counts: dict[str, np.ndarray]) -> np.ndarray:
    """QALYs lost to screens with these counts: worry before the result, after a recall, complications."""
    return (
        counts["screens"] * get("loss_screen") * get("loss_screen_years")
        + counts["false_positives"] * get("loss_false_positive") * get("loss_false_positive_years")
        + counts["complications"] * get("loss_complication") * get("loss_complication_years")
    )


def stage_costs(get: Parameters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At diagnosis (work-up and first treatment), per year after it, and at death of lung cancer.

    (stage, sim), the last (1, sim); from c_cancer_workup, c_initial_STAGE, c_continuing_GROUP, c_terminal.
    """
    initial = get.stages("c_initial_{}") + get("c_cancer_workup")
    return initial, by_group(get, "c_continuing_{}"), get("c_terminal")[None]
