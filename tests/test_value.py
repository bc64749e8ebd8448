"""What changes at a site: what budget and lung model say, items that add up, thresholds that are worth it."""

import numpy as np
import pytest

from market import analysis, budget, lung, value
from market.calibration import draw_parameters
from market.errors import InputError
from market.natural_history import life_table
from market.scenarios import Scenario

UNEVEN = {"discount_cost": 0.05, "discount_effect": 0.01, "share_care_here": 0.6, "payment_to_cost": 0.7}
PARAMETERS = analysis.scenario_parameters(Scenario("test", "us", overrides=UNEVEN))
TABLE = life_table("us")


def site(strategy: str = "triage", comparator: str = "single", **options) -> value.SiteValue:
    return value.site_value(PARAMETERS.values(), TABLE, strategy, comparator, 4, **options)


@pytest.fixture(scope="module")
def triage() -> value.SiteValue:
    return site()


def test_a_lifetime_is_that_of_the_lung_model(triage):
    found = lung.run(PARAMETERS.values(), TABLE, ("single", "triage"))
    table = value.outcome_table(triage).set_index("id")
    averted = 1000 * (found.lung_cancer_deaths[0, 0] - found.lung_cancer_deaths[0, 1])
    assert table.loc["deaths_averted", "change"] == pytest.approx(averted, rel=1e-3)
    assert table.loc["overdiagnosed", "strategy"] == pytest.approx(1000 * found.overdiagnosed[0, 1], rel=1e-3)
    stages = table[table.index.str.startswith("stage_")]
    assert stages["strategy"].sum() == pytest.approx(1000 * found.diagnoses[0, 1], rel=1e-3)


def test_what_is_counted_per_thousand_screens_is_the_budgets_count(triage):
    counts = triage.budget.counts
    row = value.outcome_table(triage).set_index("id").loc["recalls"]
    assert row["strategy"] == pytest.approx(1000 * counts["recalls"][1].sum() / counts["screens"][1].sum())
    before = 1000 * counts["recalls"][0].sum() / counts["screens"][1].sum()
    yearly = counts["screens"][1].mean()
    assert row["change_per_year"] == pytest.approx((row["strategy"] - before) * yearly / 1000)


@pytest.mark.parametrize("perspective", budget.PERSPECTIVES)
def test_items_with_their_payments_add_up_to_the_difference_of_the_book(triage, perspective):
    items = value.items(triage, perspective)
    for kind in budget.KINDS:
        found = sum(amounts[1] - amounts[0] for (_, other), amounts in items.items() if other == kind)
        np.testing.assert_allclose(found, triage.budget.difference(perspective, kind), atol=1e-6)


def test_with_prices_at_cost_and_all_care_here_the_payers_recalls_are_the_hospitals_income():
    even = {"share_care_here": 1.0, "payment_to_cost": 1.0}
    values = PARAMETERS.with_overrides(even).values()
    found = value.site_value(values, TABLE, "triage", "single", 3)
    hospital, payer = (value.items(found, name)["recalls", "cash"] for name in ("hospital", "payer"))
    np.testing.assert_allclose(hospital, 0.0, atol=1e-6)
    assert (payer[1] < payer[0]).all()


def test_prices_over_a_lifetime_are_those_of_the_lung_model(triage):
    found = value.measures(triage, 80_000.0, "USD", "per_scan")
    for name, wtp in (("price_neutral", 0.0), ("price_wtp", 80_000.0)):
        expected = budget.highest_price(PARAMETERS.values(), TABLE, "triage", "single", wtp)
        assert found[name].values == pytest.approx(expected, rel=1e-3, abs=0.05)
    neutral = float(found["price_neutral"].values[0])
    assert neutral > 0
    at_price = PARAMETERS.with_overrides({"c_ai_scan": neutral}).values()
    cost = lung.run(at_price, TABLE, ("single", "triage")).cost[0]
    assert cost[1] - cost[0] == pytest.approx(0.0, abs=0.1)


def test_the_price_of_the_ai_moves_no_lifetime_price():
    dear = PARAMETERS.with_overrides({"c_ai_scan": 500.0}).values()
    found = value.site_value(dear, TABLE, "triage", "single", 4)
    names = ("price_neutral", "price_wtp")
    base = value.measures(site(), 1e5, "USD", "per_scan")
    other = value.measures(found, 1e5, "USD", "per_scan")
    assert [base[name].values[0] for name in names] == [other[name].values[0] for name in names]


def test_without_ai_or_with_ai_on_both_sides_there_is_no_price_to_look_for():
    for pair in (("double", "single"), ("triage", "second_reader")):
        assert "price_neutral" not in value.measures(site(*pair), 1e5, "USD", "per_scan")


def test_draws_in_chunks_give_intervals_around_the_base_and_each_draw_alone_the_same(monkeypatch):
    draws = draw_parameters(PARAMETERS, 7, 1)
    whole = value.site_value(draws, TABLE, "triage", "single", 2)
    monkeypatch.setattr(value, "CHUNK_DRAWS", 3)
    parts = value.site_value(draws, TABLE, "triage", "single", 2)
    third = value.site_value({key: values[2] for key, values in draws.items()}, TABLE, "triage", "single", 2)
    for name, values in value.outcomes(whole).items():
        np.testing.assert_allclose(value.outcomes(parts)[name], values, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(value.outcomes(third)[name][:, 0], values[:, 2], rtol=1e-9, atol=1e-9)
    table = value.outcome_table(third, whole)
    assert (table["change_low"] <= table["change_high"]).all()


def test_years_of_one_book_sum_to_its_items(triage):
    years = value.year_table(triage, "payer")
    items = value.item_table(triage, "payer").set_index(["group", "kind"])
    last = years[years["group"] == "net"].iloc[-1]
    screens = float(triage.budget.counts["screens"][1].sum())
    assert last["cumulative"] == pytest.approx(items.loc[("net", "cash"), "change"] * screens / 1000)


def test_a_sweep_gives_what_the_model_gives_at_each_point_and_refuses_what_does_not_use_it():
    points = [(0.95, 0.5), (0.8, 0.9)]
    found = value.threshold_sweep(PARAMETERS.values(), TABLE, "second_reader", "single", points, 50_000.0)
    for (sensitivity, specificity), nmb in zip(points, found, strict=True):
        changed = PARAMETERS.with_overrides({"ai_sensitivity": sensitivity, "ai_specificity": specificity})
        results = lung.run(changed.values(), TABLE, ("single", "second_reader"))
        benefit = 50_000.0 * results.qalys - results.cost
        assert nmb == pytest.approx(benefit[0, 1] - benefit[0, 0], rel=1e-9)
    with pytest.raises(InputError, match="concurrent"):
        value.threshold_sweep(PARAMETERS.values(), TABLE, "concurrent", "single", points, 1.0)
    with pytest.raises(InputError, match="points"):
        value.threshold_sweep(PARAMETERS.values(), TABLE, "triage", "single", [], 1.0)
    with pytest.raises(InputError, match="perspective"):
        value.items(site(), "nobody")


def test_what_is_known_of_a_person_already_gives_the_same_numbers_to_the_last_digit():
    values, pair = PARAMETERS.values(), ("single", "triage")
    free = {**values, "c_ai_scan": 0.0}
    known = {
        "totals": value.lifetime(free, TABLE, pair),
        "person": budget.per_entrant(free, TABLE, pair, 4),
    }
    whole, quick = site(), site(**known)
    for line, amounts in whole.budget.lines.items():
        np.testing.assert_array_equal(quick.budget.lines[line], amounts)
    np.testing.assert_array_equal(quick.cost_free, whole.cost_free)
    np.testing.assert_array_equal(quick.ai_uses, whole.ai_uses)
    np.testing.assert_array_equal(quick.lifetime["qalys"], whole.lifetime["qalys"])
