"""Every number that the models use comes from the cited files, and every number there is used and can be drawn."""

from functools import cache

import numpy as np
import pytest

from market import budget, diffusion, lung, market_size
from market.analysis import COMPLETE, Asked, base_case, scenario_parameters, with_inputs
from market.calibration import FREE, TRIAL_ONLY
from market.distributions import TAIL, TOLERANCE
from market.natural_history import life_table
from market.parameters import GLOBAL, UNITS, ParameterSet, fitted, load_entries, load_parameters
from market.scenarios import Scenario

ARGUMENTS = {"wtp", "discount_hospital", "payer_members", "payer_entrants"}
"""Numbers that reach a function as an argument of its own, from market.commands."""

ENTRIES = load_entries()
SAMPLED = [entry for entry in ENTRIES if entry.sampled]


def name(entry) -> str:
    return f"{entry.setting}-{entry.id}"


@cache
def loaded(setting: str) -> ParameterSet:
    return load_parameters(setting, price_year=2024)


@cache
def asked(setting: str) -> frozenset[str]:
    """What all models together ask for in a setting; an id that is in no file would raise here."""
    values, table = Asked(loaded(setting).values()), life_table(setting)
    lung.run(values, table)
    for pricing in budget.PRICINGS:
        budget.budget_impact(values, table, "triage", "double", 1, pricing=pricing)
    market_size.market_size(values, adopted=0.5)
    market_size.top_down_band(values)
    for scenario in diffusion.SCENARIOS:
        diffusion.adoption(values, scenario, 2)
    return frozenset(values.ids)


@pytest.mark.parametrize("setting", COMPLETE)
def test_every_number_that_the_models_use_is_in_the_files(setting):
    in_files = {entry.id for entry in ENTRIES if entry.setting in (GLOBAL, setting)}
    assert asked(setting) | ARGUMENTS <= in_files


@pytest.mark.slow
@pytest.mark.parametrize("setting", COMPLETE)
def test_the_models_have_no_values_of_their_own(setting):
    for key in sorted(asked(setting)):
        values = {other: value for other, value in loaded(setting).values().items() if other != key}
        with pytest.raises(Exception, match=key):
            _all_models(values, setting)


def _all_models(values: dict[str, float], setting: str) -> None:
    """As `asked`, as cheaply as it goes: a missing number must be noticed wherever it is read."""
    short = values | (
        {"screen_stop_age": values["start_age"]} if {"screen_stop_age", "start_age"} <= set(values) else {}
    )
    for pricing in budget.PRICINGS:
        budget.budget_impact(short, life_table(setting), "triage", "double", 1, pricing=pricing)
    for scenario in diffusion.SCENARIOS:
        diffusion.adoption(values, scenario, 1)
    market_size.top_down_band(values)
    found = market_size.market_size(values, adopted=0.5)
    if found.missing:
        raise KeyError(str(found.missing))
    lung.run(short, life_table(setting))


def test_every_number_in_the_files_is_used():
    used = {setting: with_inputs(loaded(setting), asked(setting) | ARGUMENTS) for setting in COMPLETE}
    anywhere = set().union(*used.values())
    for entry in ENTRIES:
        readers = used.get(entry.setting, anywhere)  # global entries, and those of settings yet incomplete
        own_formula = entry.setting not in COMPLETE and any(
            entry.id in other.inputs for other in ENTRIES if other.setting == entry.setting
        )
        assert entry.id in readers or own_formula, f"{entry.file}, line {entry.line}: {entry.id}"


@pytest.mark.parametrize("entry", ENTRIES, ids=name)
def test_values_lie_in_their_intervals_and_in_the_range_of_their_unit(entry):
    unit = UNITS[entry.unit]
    assert unit.minimum <= entry.minimum <= entry.maximum <= unit.maximum
    if entry.value is None:
        assert entry.status == "derived"
        return
    low, high = entry.range or (entry.value, entry.value)
    assert entry.minimum <= low <= entry.value <= high <= entry.maximum
    assert low < high or not entry.sampled


@pytest.mark.parametrize("entry", SAMPLED, ids=name)
def test_each_distribution_reproduces_mean_and_interval_or_says_why_not(entry):
    distribution = fitted(entry)
    u = (np.arange(20_000) + 0.5) / 20_000
    draws = distribution.quantile(u)
    spread = np.subtract(*np.quantile(draws, (1 - TAIL, TAIL)))
    assert abs(draws.mean() - distribution.mean) < 0.01 * spread
    mean_is_counts = entry.n is not None  # a printed share is rounded, its counts are not
    if entry.interval_note is None and not mean_is_counts:
        assert abs(draws.mean() - entry.value) < (TOLERANCE + 0.01) * spread
    if entry.low is not None and entry.interval_note is None:
        ends = np.quantile(draws, (TAIL, 1 - TAIL))
        if entry.distribution in ("uniform", "triangular"):
            ends = draws[[0, -1]]
        width = entry.high - entry.low
        np.testing.assert_allclose(ends, (entry.low, entry.high), atol=(TOLERANCE + 0.01) * width, rtol=0)


@pytest.mark.parametrize("setting", COMPLETE)
def test_every_calibrated_number_names_its_targets_and_is_one_that_was_fitted(setting):
    calibrated = {key for key, entry in loaded(setting).parameters.items() if entry.status == "calibrated"}
    assert calibrated == set(FREE) - set(TRIAL_ONLY)
    assert all(loaded(setting).parameters[key].targets for key in calibrated)


def test_a_number_from_memory_is_called_an_assumption():
    assert [name(e) for e in ENTRIES if e.trust == "memory" and e.status != "assumption"] == []
    assert all(entry.reason for entry in ENTRIES if entry.status == "assumption")


@pytest.mark.parametrize("setting", COMPLETE)
def test_the_base_case_reads_what_it_says_it_reads(setting):
    found = base_case(scenario_parameters(Scenario("base case", setting)))
    assert found.asked - {"wtp"} <= asked(setting)
    assert {"c_ai_scan", "ai_sensitivity", "hr_other_cause", "r_onset_60"} <= found.asked
