"""Which models read which number: found by running them, so that no list can go out of date."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from market import budget, diffusion, lung, market_size
from market.analysis import COMPLETE, PRICE_YEAR, Asked, with_inputs
from market.natural_history import LifeTable, life_table
from market.parameters import ParameterSet, load_parameters

MODELS = ("Cost-effectiveness", "Budget and business case", "Adoption", "Market size")

_ARGUMENTS = {
    "wtp": ("Cost-effectiveness",),
    "discount_hospital": ("Budget and business case",),
    "payer_members": ("Budget and business case",),
    "payer_entrants": ("Budget and business case",),
}
"""Numbers that reach a model as an argument of its own, not among its parameters."""


def used_by(parameters: ParameterSet) -> dict[str, tuple[str, ...]]:
    """id -> those of MODELS that read it, directly or through a formula; () where only another setting's do."""
    readers: dict[str, set[str]] = {key: set() for key in parameters.parameters}
    for model, ids in _asked(parameters.setting if parameters.setting in COMPLETE else COMPLETE[0]).items():
        for key in with_inputs(parameters, ids & readers.keys()):
            readers[key].add(model)
    return {key: tuple(model for model in MODELS if model in found) for key, found in readers.items()}


@cache
def _asked(setting: str) -> dict[str, frozenset[str]]:
    """The ids that each model asks for in a complete setting."""
    values, table = load_parameters(setting, price_year=PRICE_YEAR).values(), life_table(setting)
    work: dict[str, Callable[[Mapping[str, Any], LifeTable], object]] = {
        "Cost-effectiveness": lung.run,
        "Budget and business case": _budgets,
        "Adoption": lambda values, _: [diffusion.adoption(values, name, 2) for name in diffusion.SCENARIOS],
        "Market size": lambda values, _: (
            market_size.market_size(values, adopted=0.5),
            market_size.top_down_band(values),
        ),
    }
    found = {}
    for model, run in work.items():
        asked = Asked(values)
        run(asked, table)
        found[model] = frozenset(asked.ids | {key for key, models in _ARGUMENTS.items() if model in models})
    return found


def _budgets(values: Mapping[str, Any], table: LifeTable) -> None:
    for strategy in ("concurrent", "second_reader", "triage"):
        for pricing in budget.PRICINGS:
            budget.budget_impact(values, table, strategy, "double", 1, pricing=pricing)
