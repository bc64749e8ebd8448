"""Validation: the lung screening model against published results to which it was not fitted.

The model leaves out deaths from surgery of cancers found by screens, and cancers and deaths caused by radiation.
Where a published result counts them, the model's gain is too large for that reason too.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from market.calibration import ARMS, FOLDER, Trial, load_fit, run_trial, targets
from market.errors import ParameterError
from market.lung import LungResults, run
from market.lung_trace import trace_strategies
from market.natural_history import CYCLES_PER_YEAR, life_table
from market.parameters import load_parameters, read_text, read_yaml
from market.reading import read_screen
from market.screening import NO_SCREENING

if TYPE_CHECKING:
    import pandas as pd

FILE = FOLDER / "validation.yaml"
BASE = (NO_SCREENING, "single")


@cache
def comparisons() -> dict[str, Any]:
    """`runs` by name and the list `results`, as in data/market/calibration/validation.yaml."""
    content, _ = read_yaml(read_text(FILE), FILE.name)
    if not isinstance(content, dict) or not {"runs", "results"} <= content.keys():
        raise ParameterError(FILE.name, "another form", "runs and results as in the repository")
    return content


def validation_table() -> "pd.DataFrame":
    """One row a published result: result, unit, expected, low, high, got, why, trust, source.

    low and high are the published 95 % interval where one was read; `why` says what differs.
    """
    import pandas as pd

    rows = []
    for entry in comparisons()["results"]:
        got = _COMPUTED[entry["id"]]()
        interval = (entry.get("low", np.nan), entry.get("high", np.nan))
        rows.append(
            (
                *(entry["label"], entry["unit"], float(entry["expected"]), *interval, float(got)),
                *(entry["why"], entry["trust"], entry["source"]),
            )
        )
    columns = ["result", "unit", "expected", "low", "high", "got", "why", "trust", "source"]
    return pd.DataFrame(rows, columns=columns)


def _parameters(name: str) -> tuple[Mapping[str, float], str]:
    """Parameters of a run and its setting."""
    made = comparisons()["runs"][name]
    chosen = load_parameters(made["setting"], price_year=made["price_year"]).with_overrides(made["overrides"])
    return chosen.values(), made["setting"]


def _run(name: str, **changes: float) -> LungResults:
    parameters, setting = _parameters(name)
    return run(dict(parameters) | changes, life_table(setting), BASE)


def _gain(results: LungResults, what: str) -> float:
    values = getattr(results, what)[0]
    return float(values[1] - values[0])


def _icer(results: LungResults) -> float:
    return _gain(results, "cost") / _gain(results, "qalys")


def _criss(index: int) -> float:
    """ICER of one stopping age against the one before (the first against no screening)."""
    ages = comparisons()["runs"]["criss"]["stop_ages"]
    this = _run("criss", screen_stop_age=ages[index])
    if index == 0:
        return _icer(this)
    before = _run("criss", screen_stop_age=ages[index - 1])
    return float((this.cost - before.cost)[0, 1] / (this.qalys - before.qalys)[0, 1])


@cache
def _trial() -> Trial:
    """The trial followed for 13 years, with the fitted parameters."""
    parameters = dict(load_parameters("us", price_year=2024).values()) | load_fit()
    return run_trial(parameters, life_table("us"), 13 * CYCLES_PER_YEAR)


def _at(values: np.ndarray, years: float) -> np.ndarray:
    """By arm, (arm,)."""
    return values[round(years * CYCLES_PER_YEAR)]


def _excess_share() -> float:
    trial, row = _trial(), round(6.5 * CYCLES_PER_YEAR)
    ldct, cxr, _ = trial.cancers[row]
    return 100 * (ldct - cxr) / trial.screen_stages[: row + 1, :, 0].sum()


def _number_to_screen() -> float:
    ldct, cxr, _ = _at(_trial().deaths, 12.25)
    return 1 / (cxr - ldct)


def _life_expectancy() -> float:
    changes = {"hr_other_cause": load_fit()["hr_other_cause"], "discount_effect": 0.0}
    return float(_run("black", **changes).life_years[0, 0])


def _stage_one() -> float:
    parameters, setting = _parameters("uk")
    totals = trace_strategies(parameters, life_table(setting), ["single"]).totals()
    found = totals["screen_diagnosis_ia"] + totals["screen_diagnosis_ib"]
    return float(100 * found[0, 0] / totals["screen_detected"][0, 0])


def _first_screen_yield() -> float:
    parameters, setting = _parameters("uk")
    one = dict(parameters) | {"screen_stop_age": parameters["start_age"]}
    return float(100 * run(one, life_table(setting), BASE).counts["screen_detected"][0, 1])


def _workload() -> float:
    parameters, _ = _parameters("us")
    return float(100 * (1 - np.asarray(read_screen("triage", parameters).reads_no_cancer)))


def _time_value() -> float:
    parameters, _ = _parameters("us")
    hour = load_parameters("us").parameters["c_reader_hour_eur"].value
    return parameters["concurrent_seconds_saved"] / 3600 * float(hour)


def _neutral_price() -> float:
    parameters, setting = _parameters("us")
    free = run(dict(parameters) | {"c_ai_scan": 0.0}, life_table(setting), ("single", "concurrent"))
    priced = run(dict(parameters) | {"c_ai_scan": 1.0}, life_table(setting), ("single", "concurrent"))
    per_dollar = priced.cost[0, 1] - free.cost[0, 1]
    return float((free.cost[0, 0] - free.cost[0, 1]) / per_dollar)


_COMPUTED: dict[str, Callable[[], float]] = {
    "nlst_life_expectancy": _life_expectancy,
    "nlst_excess_share": _excess_share,
    "nlst_incidence_ratio_11y": lambda: float(np.divide(*_at(_trial().cancers, 11.25)[:2])),
    "nlst_cancers_11y": lambda: float(
        _at(_trial().cancers, 11.25)[ARMS.index("ldct")] * targets()["inputs"]["participants"]["ldct"]
    ),
    "nlst_mortality_ratio_12y": lambda: float(np.divide(*_at(_trial().deaths, 12.25)[:2])),
    "nlst_number_to_screen": _number_to_screen,
    "black_life_years": lambda: _gain(_run("black"), "life_years"),
    "black_qalys": lambda: _gain(_run("black"), "qalys"),
    "black_cost": lambda: _gain(_run("black"), "cost"),
    "black_icer": lambda: _icer(_run("black")),
    "black_icer_cxr": lambda: _icer(_run("black")),
    "criss_nlst": lambda: _criss(0),
    "criss_cms": lambda: _criss(1),
    "criss_uspstf": lambda: _criss(2),
    "enabl_icer": lambda: _icer(_run("enabl")),
    "uk_icer": lambda: _icer(_run("uk")),
    "uk_stage_one": _stage_one,
    "uk_first_screen_yield": _first_screen_yield,
    "triage_workload": _workload,
    "concurrent_time_value": _time_value,
    "ai_neutral_price": _neutral_price,
}
