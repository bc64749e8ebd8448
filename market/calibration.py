"""Calibration of the natural history to the National Lung Screening Trial (NLST).

The trial is run in the model: four age groups, three screens a year apart, both arms. The radiography arm is
modelled as screening by chest radiography with its own, lower detectability by stage, as it was; it is not
taken for no screening. Free are what no study measures: the rate of onset, how long preclinical stages last,
how detectable they are, in which share each is diagnosed clinically, and how participants' mortality differs
from that of the sources of survival. The sum of the deviances of all targets (Poisson for counts, multinomial
for stages, normal for the share alive) is made least in the logarithms (shares: logits) of the free
parameters by scipy's least_squares. Intervals come from the curvature there, J'J of the deviance residuals,
widened by the square root of deviance per degree of freedom, as a single type of tumour cannot fit all
stages (quasi-likelihood, McCullagh and Nelder 1989, section 4.5).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from market.distributions import uniforms
from market.errors import MarketError, ParameterError
from market.lung_trace import LungTrace, trace_screens
from market.natural_history import CYCLES_PER_YEAR, GROUPS, STAGES, LifeTable, Parameters, natural_history
from market.parameters import ParameterSet, fitted, read_text, read_yaml
from market.screening import Screen, screens

if TYPE_CHECKING:
    import pandas as pd

FOLDER = Path(__file__).parents[1] / "data" / "market" / "calibration"
TARGETS_FILE = FOLDER / "nlst.yaml"
RESULT_FILE = FOLDER / "nlst_fit.json"
ARMS = ("ldct", "cxr", "none")
TRIAL_CYCLES = 7 * CYCLES_PER_YEAR

FREE = {
    "r_onset_60": "log",
    "sojourn_scale": "log",
    "detect_odds": "log",
    "hr_lung_death": "log",
    "hr_other_cause": "log",
    "cxr_odds": "log",
    **{f"clinical_share_{stage}": "logit" for stage in STAGES[:-1]},
}
"""Calibrated parameters and the scale on which they are varied."""

TRIAL_ONLY = ("hr_other_cause", "cxr_odds")
"""Of these, what holds for the trial alone: participants' mortality, and the factor on the odds of detection
by radiography. The model has a hazard ratio of its own for each setting, and no radiography."""


@dataclass(frozen=True, eq=False)
class Trial:
    """The trial in the model: arms in the order of ARMS, all ages together, per participant.

    person_years, at_risk   lived, and lived without a diagnosed cancer, up to each row, (cycle + 1, arm)
    cancers, deaths         diagnosed, and dead of lung cancer, up to each row, (cycle + 1, arm)
    alive                   (cycle + 1, arm)
    screen_stages, clinical_stages  diagnosed in each cycle, (cycle + 1, stage, arm)
    """

    person_years: np.ndarray
    at_risk: np.ndarray
    cancers: np.ndarray
    deaths: np.ndarray
    alive: np.ndarray
    screen_stages: np.ndarray
    clinical_stages: np.ndarray


@cache
def targets() -> dict[str, Any]:
    """The trial's inputs {id: entry} and targets [entry], as in data/market/calibration/nlst.yaml."""
    content, _ = read_yaml(read_text(TARGETS_FILE), TARGETS_FILE.name)
    try:
        return {"inputs": {entry["id"]: entry for entry in content["inputs"]}, "targets": content["targets"]}
    except (KeyError, TypeError) as error:
        raise ParameterError(
            TARGETS_FILE.name, "another form", "inputs and targets as in the repository"
        ) from error


def run_trial(parameters: Mapping[str, ArrayLike], table: LifeTable, n_cycles: int = TRIAL_CYCLES) -> Trial:
    """The trial with these parameters (one value each) and the life table of its country."""
    inputs = targets()["inputs"]
    ages, weights = (np.array(inputs["age_shares"][key], dtype=float) for key in ("start_ages", "values"))
    sensitivity = inputs["first_reader_sensitivity"]["values"]
    values = dict(parameters) | {
        "start_age": ages,
        "share_male": inputs["share_male"]["values"][0],
        "onset_ratio": 1.0,
        **{f"hr_lung_death_era_{group}": 1.0 for group in GROUPS},
        "reader_sensitivity_first": sensitivity[0],
        "reader_sensitivity_later": sensitivity[1],
    }
    get = Parameters(values)
    rounds = {
        t * CYCLES_PER_YEAR: _trial_screen(values, t, inputs)
        for t in range(len(inputs["ldct_attendance"]["values"]))
    }
    history = natural_history(values, table, n_cycles)
    return _summary(trace_screens(history, get, rounds, ARMS), weights / weights.sum())


def _trial_screen(values: Mapping[str, ArrayLike], number: int, inputs: Mapping[str, Any]) -> Screen:
    """Screen T0, T1 or T2 of both arms and, for comparison, of an arm without any."""
    screen = screens(values, ["single"] * len(ARMS))[1 if number else 0]
    radiograph, odds = np.array(inputs["cxr_detection"]["values"])[:, None], values.get("cxr_odds", 1.0)
    radiograph = radiograph * odds / (1.0 - radiograph * (1.0 - odds))
    detection = np.stack([screen.detection[:, 0], radiograph, np.zeros_like(radiograph)], axis=1)
    attendance = [inputs["ldct_attendance"]["values"][number], inputs["cxr_attendance"]["values"][number], 0.0]
    return replace(screen, attendance=np.array(attendance)[:, None], detection=detection)


def _summary(traced: LungTrace, weights: np.ndarray) -> Trial:
    def whole(values: np.ndarray) -> np.ndarray:
        return values @ weights

    living = whole(traced.trace[:, :-2].sum(axis=1))
    undiagnosed = whole(traced.trace[:, : 1 + len(STAGES)].sum(axis=1))
    found = {
        mode: np.stack([whole(traced.events[f"{mode}_diagnosis_{stage}"]) for stage in STAGES], axis=1)
        for mode in ("screen", "clinical")
    }
    return Trial(
        person_years=_lived(living),
        at_risk=_lived(undiagnosed),
        cancers=np.cumsum(found["screen"].sum(axis=1) + found["clinical"].sum(axis=1), axis=0),
        deaths=np.cumsum(whole(traced.events["lung_cancer_deaths"]), axis=0),
        alive=living,
        screen_stages=found["screen"],
        clinical_stages=found["clinical"],
    )


def _lived(alive: np.ndarray) -> np.ndarray:
    """Person-years up to each row, by trapezoids."""
    steps = (alive[1:] + alive[:-1]) / 2 / CYCLES_PER_YEAR
    return np.concatenate([np.zeros((1, alive.shape[1])), np.cumsum(steps, axis=0)])


def expected(trial: Trial) -> list[np.ndarray]:
    """What the model gives for each target, in the unit of its count, rate per 100,000 or share."""
    return [_expected_of(target, trial) for target in targets()["targets"]]


def _expected_of(target: Mapping[str, Any], trial: Trial) -> np.ndarray:
    kind = target["kind"]
    if kind == "survival":
        return trial.alive[5 * CYCLES_PER_YEAR, :2].mean(keepdims=True)
    arm = ARMS.index(target["arm"])
    if kind in ("incidence", "mortality"):
        lived = trial.at_risk if kind == "incidence" else trial.person_years
        events = trial.cancers if kind == "incidence" else trial.deaths
        until = target["count"] / (target["per_100000"] / 1e5) / _participants(target["arm"])
        # Follow-up ends where the model has lived the person-years that the trial reports.
        return np.array([1e5 / until * np.interp(until, lived[:, arm], events[:, arm])])
    if kind == "screen_detected":
        by_round = trial.screen_stages[:, :, arm].sum(axis=1)
        found = by_round.sum() if target["round"] == "all" else by_round[target["round"] * CYCLES_PER_YEAR]
        return np.array([found]) * _participants(target["arm"])
    end = _row_of_follow_up(trial, target["arm"], arm)
    screen, clinical = (
        stages[: end + 1, :, arm].sum(axis=0) for stages in (trial.screen_stages, trial.clinical_stages)
    )
    counts = {"screen": screen, "clinical": clinical, "all": screen + clinical}[target["detected"]]
    return counts / counts.sum() * sum(target["counts"])


def _participants(arm: str) -> int:
    return targets()["inputs"]["participants"][arm]


def _row_of_follow_up(trial: Trial, name: str, arm: int) -> int:
    """The row at which the arm has lived the person-years of its reported incidence."""
    target = next(t for t in targets()["targets"] if t["kind"] == "incidence" and t["arm"] == name)
    until = target["count"] / (target["per_100000"] / 1e5) / _participants(name)
    return int(np.searchsorted(trial.at_risk[:, arm], until))


def residuals(trial: Trial) -> np.ndarray:
    """Deviance residuals of all targets; the sum of their squares is the deviance."""
    parts = []
    for target, got in zip(targets()["targets"], expected(trial), strict=True):
        if target["kind"] == "survival":
            parts.append((target["value"] - got) / target["se"])
            continue
        if "per_100000" in target:
            count, mean = np.array([target["count"]], dtype=float), got / target["per_100000"] * target["count"]
        else:
            count, mean = np.array(target.get("counts", [target.get("count")]), dtype=float), got
        deviance = 2 * (count * np.log(count / mean) - (count - mean))
        parts.append(np.sign(count - mean) * np.sqrt(np.maximum(deviance, 0.0)))
    return np.concatenate(parts)


@dataclass(frozen=True)
class Fit:
    """Calibrated values with 95 % intervals, and how well they fit.

    values, low, high        by parameter id
    covariance               of the transformed parameters, in the order of FREE, dispersion included
    deviance, degrees, dispersion, evaluations
    """

    values: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]
    covariance: tuple[tuple[float, ...], ...]
    deviance: float
    degrees: int
    dispersion: float
    evaluations: int

    def to_json(self) -> dict[str, Any]:
        """What nlst_fit.json holds."""
        return {
            "command": "python -m market calibrate",
            "method": "least deviance, scipy.optimize.least_squares on logs and logits, market/calibration.py",
            "deviance": self.deviance,
            "degrees_of_freedom": self.degrees,
            "dispersion": self.dispersion,
            "evaluations": self.evaluations,
            "parameters": {
                name: {"value": self.values[name], "low": self.low[name], "high": self.high[name], "scale": scale}
                for name, scale in FREE.items()
            },
            "covariance": [list(row) for row in self.covariance],
        }


def calibrate(parameters: Mapping[str, ArrayLike], table: LifeTable, path: Path | None = None) -> Fit:
    """Fit the parameters in FREE, starting from their values in `parameters`; written to `path` if given.

    `parameters` are all of the model, one value each, for the population of the trial. Raises MarketError if
    the search does not converge.
    """
    from scipy.optimize import least_squares  # slow to import, and only this needs it

    begin = {"cxr_odds": 1.0} | dict(parameters)
    start = np.array([_to_scale(float(np.asarray(begin[name])), scale) for name, scale in FREE.items()])

    def model(position: np.ndarray) -> np.ndarray:
        return residuals(run_trial(dict(parameters) | _values(position), table))

    found = least_squares(model, start, method="trf", x_scale="jac", diff_step=1e-5)
    if not found.success:
        raise MarketError("calibration", found.message, "a search that converges")
    degrees = len(found.fun) - len(start) - sum("counts" in target for target in targets()["targets"])
    deviance = float(found.fun @ found.fun)
    dispersion = max(1.0, deviance / degrees)
    covariance = np.linalg.inv(found.jac.T @ found.jac) * dispersion
    reach = 1.959963984540054 * np.sqrt(np.diag(covariance))
    fit = Fit(
        values=_values(found.x),
        low=_values(found.x - reach),
        high=_values(found.x + reach),
        covariance=tuple(map(tuple, covariance.tolist())),
        deviance=deviance,
        degrees=degrees,
        dispersion=dispersion,
        evaluations=int(found.nfev * (1 + len(start))),
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(fit.to_json(), indent=1) + "\n")
    return fit


def fit_table(parameters: Mapping[str, ArrayLike], table: LifeTable) -> "pd.DataFrame":
    """One row a target: target, expected (by the trial), low, high (95 %), got (by the model), z, trust, source.

    Rates are per 100,000 person-years, stages are counts. low and high are those of a Poisson count on the
    log scale; z is the deviance residual.
    """
    import pandas as pd

    trial = run_trial(parameters, table)
    rows, z = [], residuals(trial).tolist()
    for target, got in zip(targets()["targets"], expected(trial), strict=True):
        for i, value in enumerate(got.tolist()):
            stage = f", {STAGES[i].upper()}" if "counts" in target else ""
            if target["kind"] == "survival":
                mean, low, high = (
                    target["value"],
                    target["value"] - 2 * target["se"],
                    target["value"] + 2 * target["se"],
                )
            else:
                count = target["counts"][i] if "counts" in target else target["count"]
                mean = target.get("per_100000", count)
                width = np.exp(1.96 / np.sqrt(count))
                low, high = mean / width, mean * width
            label = target["label"].removesuffix(", IA to IV") + stage
            rows.append((label, mean, low, high, value, z.pop(0), target["trust"], target["source"]))
    return pd.DataFrame(rows, columns=["target", "expected", "low", "high", "got", "z", "trust", "source"])


def load_fit(path: Path = RESULT_FILE) -> dict[str, float]:
    """Calibrated values by parameter id, those of the trial's population (hr_other_cause too)."""
    return {name: entry["value"] for name, entry in stored_fit(path)["parameters"].items()}


def stored_fit(path: Path = RESULT_FILE) -> dict[str, Any]:
    """What nlst_fit.json holds, as Fit.to_json gives it; ParameterError for a damaged file."""
    try:
        content = json.loads(read_text(path))
        covariance = np.array(content["covariance"], dtype=float)
        whole = FREE.keys() <= content["parameters"].keys() and np.isfinite(covariance).all()
        if not (whole and covariance.shape == (len(FREE), len(FREE)) and (np.diag(covariance) > 0).all()):
            raise ValueError
        for entry in content["parameters"].values():
            float(entry["value"]), float(entry["low"]), float(entry["high"])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ParameterError(path.name, "a damaged file", "the stored fit as in the repository") from error
    return content


def draw_parameters(chosen: ParameterSet, n: int, seed: int, start: int = 0) -> dict[str, np.ndarray]:
    """As chosen.draw, but calibrated parameters are drawn together, correlated as the fit says.

    A Gaussian copula: each keeps its own distribution and stream, so chunks still agree. Overridden ones
    stay fixed. A long sojourn with low detectability fits about as well as the reverse, and independent
    draws would pair what does not fit.
    """
    from scipy.special import ndtr, ndtri  # slow to import, and only this needs it

    draws = chosen.draw(n, seed, start)
    names = list(FREE)
    free = [name for name in names if name not in (*TRIAL_ONLY, *chosen.overrides)]
    covariance = np.array(stored_fit()["covariance"])
    index = [names.index(name) for name in free]
    covariance = covariance[np.ix_(index, index)]
    scale = np.sqrt(np.diag(covariance))
    root = np.linalg.cholesky(covariance / np.outer(scale, scale))
    normal = ndtri(np.stack([uniforms(name, n, seed, start) for name in free]))
    for name, u in zip(free, ndtr(root @ normal), strict=True):
        entry = chosen.parameters[name]
        draws[name] = np.clip(fitted(entry).quantile(u), entry.minimum, entry.maximum)
    return draws


def _values(position: np.ndarray) -> dict[str, float]:
    return {
        name: float(np.exp(x) if scale == "log" else 1 / (1 + np.exp(-x)))
        for (name, scale), x in zip(FREE.items(), position, strict=True)
    }


def _to_scale(value: float, scale: str) -> float:
    return float(np.log(value) if scale == "log" else np.log(value / (1 - value)))
