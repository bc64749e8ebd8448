"""Market size from the bottom up: every factor in sight, what is missing is named, the band is only beside it."""

import math

import numpy as np
import pytest

from market import budget, diffusion
from market.errors import InputError, ParameterError
from market.market_size import FACTORS, LEVELS, market_size, market_years, top_down_band
from market.natural_history import life_table
from market.parameters import load_parameters

FILES = ("adoption", "hospital", "market_size")
SETTINGS = {name: load_parameters(name, price_year=2024).values() for name in ("us", "uk", "eu", "cn")}
MADE = {
    "eligible": 1000.0,
    "screen_interval_years": 2.0,
    "scans_per_screen": 1.5,
    "c_ai_scan": 8.0,
    "uptake": 0.25,
    "share_sites_reachable": 0.4,
    "vendor_share": 0.1,
    "eligible_ratio": 1.1,
    "uptake_most": 0.75,
    "uptake_closing": 0.5,
}


def test_a_market_worked_out_by_hand():
    found = market_size(MADE, adopted=0.3)
    levels = {name: float(value[0]) for name, value in found.levels.items()}
    assert levels == pytest.approx({"TAM": 6000.0, "SAM": 600.0, "SOM": 18.0}, rel=1e-12)
    assert found.missing == {}


def test_every_factor_stands_in_the_table_and_multiplies_to_its_level():
    found = market_size(MADE, adopted=0.3)
    table = found.table()
    assert table.factor.tolist() == [factor for level in LEVELS for factor, _ in FACTORS[level]]
    np.testing.assert_allclose(table["product"], np.cumprod(table.value), rtol=1e-12)
    assert table.groupby("level")["product"].last().to_dict() == pytest.approx({"TAM": 6000, "SAM": 600, "SOM": 18})


def test_draws_are_carried_through():
    values = MADE | {"eligible": np.array([1000.0, 2000.0, 500.0]), "uptake": np.array([0.1, 0.2, 0.4])}
    found = market_size(values, adopted=np.array([0.1, 0.5, 1.0]))
    np.testing.assert_allclose(found.levels["SAM"], [240, 960, 480])
    np.testing.assert_allclose(found.levels["SOM"], [2.4, 48, 48])
    assert found.table(sim=1)["product"].iloc[-1] == pytest.approx(48)


def test_without_a_share_of_adopters_there_is_no_obtainable_market():
    assert list(market_size(MADE).levels) == ["TAM", "SAM"]


@pytest.mark.parametrize("setting", ["us", "uk"])
def test_us_and_uk_are_complete_and_smaller_level_by_level(setting):
    found = market_size(SETTINGS[setting], adopted=0.4)
    assert found.missing == {}
    tam, sam, som = (float(found.levels[level][0]) for level in LEVELS)
    assert tam > sam > som > 0
    _, high = top_down_band(SETTINGS[setting])
    assert sam < high[0]  # one setting's market of today lies below the world's most generous size


def test_american_reach_is_that_of_2024():
    us = SETTINGS["us"]
    assert (us["eligible"], us["uptake"]) == (12_760_000, 0.187)
    assert market_size(us).levels["TAM"][0] == pytest.approx(12_760_000 * (2 - us["reader_specificity_later"]) * 15)


def test_british_scans_at_full_roll_out_are_those_that_were_planned():
    years = market_years(SETTINGS["uk"], 30)
    assert years.scans[-1, 0] == pytest.approx(992_000, rel=1e-4)


def test_where_sources_end_the_missing_numbers_are_named():
    germany = market_size(SETTINGS["eu"], adopted=0.4)
    assert list(germany.levels) == ["TAM"]
    assert germany.missing["SAM"] == ("uptake", "share_sites_reachable")
    assert germany.missing["SOM"] == ("vendor_share",)
    assert germany.levels["TAM"][0] == pytest.approx(2e6 * SETTINGS["eu"]["c_ai_scan"])
    china = market_size(SETTINGS["cn"], adopted=0.4)
    assert china.levels == {}
    assert china.missing["TAM"] == ("eligible", "screen_interval_years", "scans_per_screen", "c_ai_scan")
    assert len(china.table()) == 0


def test_years_follow_growth_and_uptake_by_hand():
    found = market_years(MADE, 2)
    np.testing.assert_allclose(found.eligible[:, 0], [1100, 1210])
    np.testing.assert_allclose(found.uptake[:, 0], [0.5, 0.625])
    np.testing.assert_allclose(found.screened[:, 0], [550, 756.25])
    np.testing.assert_allclose(found.scans[:, 0], [412.5, 567.1875])
    np.testing.assert_allclose(found.reachable_scans[:, 0], [165, 226.875])
    assert found.table().columns.tolist() == ["year", "eligible", "uptake", "screened", "scans", "reachable_scans"]


def test_uptake_approaches_its_long_run_value_from_either_side():
    for now in (0.1, 0.9):
        uptake = market_years(MADE | {"uptake": now}, 20).uptake[:, 0]
        assert (np.diff(np.abs(uptake - 0.75)) < 0).all()
        assert np.sign(uptake - 0.75).tolist() == [np.sign(now - 0.75)] * 20


def test_the_american_past_leads_to_the_american_present():
    us = SETTINGS["us"]
    past = us | {"uptake": us["uptake_past"]}
    assert market_years(past, 8).uptake[-1, 0] == pytest.approx(0.187, rel=1e-9)


def test_the_band_is_the_share_of_lung_in_sizes_that_differ_eightfold():
    low, high = top_down_band(SETTINGS["us"])
    assert (low[0], high[0]) == pytest.approx((0.14 * 0.7e9, 0.14 * 5.6e9))
    for setting in ("uk", "eu", "cn"):
        found = top_down_band(SETTINGS[setting])
        assert found[1][0] / found[0][0] == pytest.approx(8)
    changed = SETTINGS["us"] | {"top_down_low": 1.0, "top_down_high": 2.0}
    assert market_size(changed).levels["SAM"] == market_size(SETTINGS["us"]).levels["SAM"]


def test_a_band_upside_down_and_numbers_out_of_range_are_refused():
    with pytest.raises(ParameterError, match="top_down_low"):
        top_down_band({"top_down_low": 2.0, "top_down_high": 1.0})
    with pytest.raises(ParameterError, match="top_down_high"):
        top_down_band({"top_down_low": 2.0})
    for key, value in (
        ("uptake", 1.1),
        ("eligible", -1.0),
        ("screen_interval_years", 0.0),
        ("vendor_share", np.nan),
    ):
        with pytest.raises(ParameterError) as error:
            market_size(MADE | {key: value}, adopted=0.3)
        assert error.value.name == key
    for adopted in (-0.1, 1.5, np.nan):
        with pytest.raises(InputError, match="adopted"):
            market_size(MADE, adopted=adopted)
    for years in (0, 31, 1.5, True):
        with pytest.raises(InputError, match="n_years"):
            market_years(MADE, years)
    with pytest.raises(ParameterError, match="eligible_ratio"):
        market_years(MADE | {"eligible_ratio": 3.0}, 2)
    with pytest.raises(ParameterError, match="uptake_closing"):
        market_years({key: value for key, value in MADE.items() if key != "uptake_closing"}, 2)


@pytest.mark.parametrize("setting", ["us", "uk"])
def test_whatever_the_files_let_a_number_be_the_models_run_on(setting):
    """Each finite bound of the entries of adoption, hospital and market size, one at a time."""
    parameters, table = load_parameters(setting, price_year=2024), life_table(setting)
    files = tuple(f"{name}_{part}.yaml" for name in FILES for part in ("global", setting))
    entries = [e for e in parameters.parameters.values() if e.file.endswith(files)]
    asked = [
        (entry.id, bound)
        for entry in entries
        for bound in (entry.minimum, entry.maximum)
        # Foreign amounts cannot be set, and a band that is upside down is refused by name, above.
        if math.isfinite(bound) and entry.currency in (None, parameters.currency) and entry.id != "top_down_high"
    ]
    assert len(asked) > 70
    for key, bound in asked:
        values = parameters.with_overrides({key: bound}).values()
        numbers = [*market_size(values, 0.5).levels.values(), *top_down_band(values)]
        for scenario in diffusion.SCENARIOS:
            made = diffusion.adoption(values, scenario, 3)
            assert ((made.share >= 0) & (made.share <= 1)).all(), (key, bound)
            numbers += [made.share, made.revenue]
        for pricing in budget.PRICINGS:
            made = budget.budget_impact(values, table, "triage", "double", 1, pricing=pricing)
            numbers.append(made.difference())
        made = budget.budget_impact(values, table, "triage", "double", 1, values["payer_entrants"])
        numbers.append(budget.per_member_per_month(made, values["payer_members"]))
        assert all(np.isfinite(number).all() for number in numbers), (key, bound)


@pytest.mark.parametrize(
    ("key", "value"),
    [("price_fall", 0.99), ("bass_p_base", 0.0), ("bass_q_slow", 5.0), ("population", 0.0), ("eligible", 0.0)],
)
def test_what_the_models_cannot_run_on_is_refused_where_it_is_set(key, value):
    with pytest.raises(ParameterError) as error:
        load_parameters("us", price_year=2024).with_overrides({key: value})
    assert error.value.name == key
