"""What the page Sources asks of market: every number, who reads it, and how much it moves the answer."""

import pandas as pd
import streamlit as st

from dashboard.economics.loaders import numbers_of, parameters
from market.analysis import COMPLETE, tornado
from market.parameters import TRUSTS, Parameter
from market.scenarios import Scenario
from market.usage import used_by

COLUMNS = ("id", "label", "value", "low", "high", "unit", "year", "status", "trust", "models", "swing", "source")


def numbers(scenario: Scenario) -> pd.DataFrame:
    """One row a number, COLUMNS, the weakest that matter most first.

    low, high  the interval of sensitivity analyses; missing for fixed, derived and overridden numbers
    year       of prices, where it is money that follows prices; the values shown are in prices of PRICE_YEAR
    models     names of the models that read it, joined by ", "
    swing      change of net monetary benefit per person between low and high, strategy against comparator;
               missing where the cost-effectiveness model does not read it or cannot run
    source     title of its first source, or its formula, or the reason for the assumption
    Raises ParameterError as scenarios do.
    """
    return _numbers(numbers_of(scenario))


@st.cache_data(max_entries=16, show_spinner=False)
def _numbers(scenario: Scenario) -> pd.DataFrame:
    found = parameters(scenario)
    readers, swings = used_by(found), _swing(scenario)
    values = found.values()
    rows = []
    for key, entry in found.parameters.items():
        moved = key in found.overrides
        ends = (None, None) if moved or entry.value is None else entry.range or (None, None)
        rows.append(
            (
                key,
                entry.label,
                values.get(key, entry.value),
                *ends,
                entry.unit_text,
                entry.price_year,
                "yours" if moved else entry.status,
                found.trust(key),
                ", ".join(readers[key]),
                swings.get(key),
                entry.sources[0].title if entry.sources else entry.formula or entry.reason,
            )
        )
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"year": "Int64", "swing": "float64"})
    rank = table["trust"].map(TRUSTS.index)
    order = table.assign(rank=-rank, strength=-table["swing"].fillna(-1.0)).sort_values(["rank", "strength", "id"])
    return order[list(COLUMNS)].reset_index(drop=True)


@st.cache_data(max_entries=16, show_spinner=False)
def _swing(scenario: Scenario) -> dict[str, float]:
    """id -> width of its bar in the tornado of net monetary benefit, per person; {} where there is none."""
    if scenario.setting not in COMPLETE or scenario.strategy == scenario.comparator:
        return {}
    table = tornado(parameters(scenario), scenario.strategy, scenario.comparator)
    bars = table[table["outcome"] == "nmb"]
    return dict(zip(bars["parameter"], bars["width"].astype(float), strict=True))


def definition(scenario: Scenario, key: str) -> Parameter | None:
    """The entry of an id in the scenario's setting, or None."""
    return parameters(scenario).parameters.get(key)


def value(scenario: Scenario, key: str) -> float | None:
    """The value in use, or None for an amount in another currency."""
    return parameters(scenario).values().get(key)


def currency(scenario: Scenario) -> str:
    """The currency of the setting, as "USD"."""
    return parameters(scenario).currency
