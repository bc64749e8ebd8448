"""What the page Adoption and market asks of market: diffusion, market size, and the fit to a pasted series."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.economics.loaders import numbers_of, parameters
from market import diffusion, market_size
from market.adoption import BassFit, bass_adopters, fit_bass, peak_time
from market.analysis import need
from market.calibration import draw_parameters
from market.errors import InputError, MarketError
from market.parameters import Parameter
from market.scenarios import Scenario

YEARS = 10
DRAWS = 500
OWN = ("bass_p_base", "bass_q_base", "ceiling_base")
"""The three numbers of one's own curve: those of the base scenario, wherever the visitor moved them."""

KINDS = ("share", "sites", "new_sites", "scans", "revenue", "vendor_revenue")
METHOD = "srinivasan-mason"
QUANTILES = {"q2.5": "low", "q25": "low_half", "q50": "median", "q75": "high_half", "q97.5": "high"}


@dataclass(frozen=True, eq=False)
class Outlook:
    """Adoption in one scenario of inputs.

    curves  one row a curve and year: curve ("yours", "optimistic", "base", "slow"), year, KINDS; money a year
    peak_year  year from now in which most sites join in the visitor's own curve, 1 to YEARS
    is_base    whether the visitor's curve is still the published base one
    currency   of all money
    """

    curves: pd.DataFrame
    peak_year: int
    is_base: bool
    currency: str


def outlook(scenario: Scenario) -> Outlook:
    """The visitor's curve beside the three published ones. Raises ParameterError for a setting without them."""
    return _outlook(numbers_of(scenario))


@st.cache_data(max_entries=32, show_spinner=False)
def _outlook(scenario: Scenario) -> Outlook:
    found = parameters(scenario)
    need(found, lambda values, _: diffusion.adoption(values, "base", YEARS), needs_life_table=False)
    values = found.values()
    published = values | {key: float(found.parameters[key].value) for key in OWN}
    tables = [diffusion.adoption(values, "base", YEARS).table().assign(scenario="yours")]
    tables += [diffusion.adoption(published, name, YEARS).table() for name in diffusion.SCENARIOS]
    curves = pd.concat(tables, ignore_index=True).rename(columns={"scenario": "curve"})
    own = curves[curves["curve"] == "yours"]
    peak = int(own["year"].iloc[int(np.argmax(own["new_sites"].to_numpy()))])
    return Outlook(curves, peak, not set(OWN) & set(found.overrides), found.currency)


def fan(scenario: Scenario, kind: str, so_far: bool = False) -> pd.DataFrame:
    """One row a year: year, mean and QUANTILES of DRAWS draws of the visitor's curve.

    kind is one of KINDS; with so_far, all years up to then are added up.
    """
    draws = getattr(_drawn(numbers_of(scenario)), kind)
    return diffusion.fan(draws.cumsum(axis=0) if so_far else draws).rename(columns=QUANTILES)


@st.cache_resource(max_entries=16, show_spinner=False)
def _drawn(scenario: Scenario) -> diffusion.Adoption:
    return diffusion.adoption(draw_parameters(parameters(scenario), DRAWS, scenario.seed), "base", YEARS)


@dataclass(frozen=True, eq=False)
class Size:
    """Market of one year, money in `currency`.

    table    one row a level and factor: level, factor, label, value, product
    levels   {level: (value, low, high)}, 95 % of DRAWS draws
    missing  {level: ids that no source gives}
    band     lowest and highest published size from the top down, or None
    """

    table: pd.DataFrame
    levels: dict[str, tuple[float, float, float]]
    missing: dict[str, tuple[str, ...]]
    band: tuple[float, float] | None
    currency: str


def size(scenario: Scenario) -> Size:
    """TAM, SAM and SOM as far as the setting's factors are known. Raises ParameterError as scenarios do."""
    return _market(numbers_of(scenario))


@st.cache_data(max_entries=32, show_spinner=False)
def _market(scenario: Scenario) -> Size:
    numbers = parameters(scenario)
    values = numbers.values()
    found = diffusion.size_today(values)
    drawn = diffusion.size_today(draw_parameters(numbers, DRAWS, scenario.seed)).levels
    levels = {}
    for level, value in found.levels.items():
        low, high = np.quantile(drawn[level], (0.025, 0.975))
        levels[level] = float(value[0]), float(low), float(high)
    try:
        low, high = market_size.top_down_band(values)
        band = float(low[0]), float(high[0])
    except MarketError:
        band = None
    return Size(found.table(), levels, dict(found.missing), band, numbers.currency)


def definitions(scenario: Scenario, ids: Sequence[str]) -> dict[str, Parameter]:
    """The entries of these ids, as far as the setting has them."""
    entries = parameters(scenario).parameters
    return {key: entries[key] for key in ids if key in entries}


# A series of one's own

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
LONGEST_SERIES = 200
MOST_ADOPTERS = 1e12
LARGEST_TEXT = 20_000


def read_series(text: str, name: str = "series") -> list[float]:
    """New adopters a period, in order: one a line, the second of two columns, or all on one line.

    A first line without a number is a header. Commas part columns, never thousands. Periods that are numbers
    must rise by equal steps: a year that is missing, or a list from the last year to the first, is no series of
    consecutive periods. Raises InputError naming the line.
    """
    if len(text) > LARGEST_TEXT:
        raise InputError(name, f"{len(text):,} characters", f"at most {LARGEST_TEXT:,}")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if len(lines) == 1:
        lines = [(1, part) for part in re.split(r"[\s;,]+", lines[0][1]) if part]
    if lines and not NUMBER.search(lines[0][1]):
        lines = lines[1:]
    found, periods = [], []
    for number, line in lines:
        columns = [part.strip().strip('"') for part in re.split(r"[;,\t]", line)]
        if len(columns) > 2 or not NUMBER.fullmatch(columns[-1]):
            expected = "a number of new adopters, alone or after a period and a comma, without thousands' commas"
            raise InputError(f"{name}, line {number}", repr(line[:40]), expected)
        found.append(float(columns[-1]))
        if not abs(found[-1]) <= MOST_ADOPTERS:
            raise InputError(f"{name}, line {number}", repr(line[:40]), f"at most {MOST_ADOPTERS:g} new adopters")
        if len(columns) == 2 and NUMBER.fullmatch(columns[0]):
            periods.append(float(columns[0]))
            _check_period(periods, f"{name}, line {number}")
    if not 4 <= len(found) <= LONGEST_SERIES:
        raise InputError(name, f"{len(found)} numbers", f"4 to {LONGEST_SERIES} periods, one number each")
    return found


def _check_period(periods: Sequence[float], where: str) -> None:
    """InputError unless the last of the periods follows the one before as the second follows the first."""
    if len(periods) < 2:
        return
    step, first = periods[-1] - periods[-2], periods[1] - periods[0]
    if first <= 0 or abs(step - first) > 1e-6 * first:
        expected = "periods in order with none left out, or, if it was meant as one number, no comma in it"
        raise InputError(where, f"period {periods[-1]:g} after {periods[-2]:g}", expected)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A Bass curve through a series: the fit, and one row a period: period, observed, fitted."""

    fit: BassFit
    table: pd.DataFrame
    peak: float


def fit(series: Sequence[float]) -> Fitted:
    """Non-linear least squares by period (Srinivasan and Mason 1986). Raises InputError as fit_bass does."""
    found = fit_bass(series, METHOD)
    periods = np.arange(1, len(series) + 1)
    fitted = bass_adopters(periods, found.m, found.p, found.q)
    table = pd.DataFrame({"period": periods, "observed": list(series), "fitted": fitted})
    return Fitted(found, table, peak_time(found.p, found.q))
