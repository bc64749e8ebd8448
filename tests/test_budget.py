"""Budgets of hospital and payer: items add up, transfers cancel, prices break even, worse AI costs more."""

import numpy as np
import pytest

from market import budget, diffusion, finance, lung, market_size
from market.budget import Line, budget_impact, business_case, highest_price, value_of_reading_time
from market.errors import InputError, ParameterError
from market.lung_trace import trace_strategies
from market.natural_history import STAGES, Parameters, life_table, natural_history
from market.parameters import load_entries, load_parameters
from market.reading import read_screen
from market.screening import screen_costs, screens, take_screen

TABLES = {"us": life_table("us"), "uk": life_table("uk")}
US, UK, EU = (load_parameters(setting, price_year=2024).values() for setting in ("us", "uk", "eu"))
NO_SET_UP = {"c_ai_setup": 0.0, "c_ai_integration": 0.0}
AI_MODES = ("concurrent", "second_reader", "triage")


def one(values: dict, mode: str = "triage", **more) -> budget.Budget:
    more.setdefault("n_years", 2)
    more.setdefault("entrants", 1000.0)
    return budget_impact(values, TABLES["us"], mode, **more)


def amount(made: budget.Budget, item: str, payer: str = "hospital", kind: str = "cash") -> np.ndarray:
    """Strategy less comparator by year, in the first draw."""
    lines = made.lines[Line(item, payer, kind)]
    return (lines[1] - lines[0])[:, 0]


def test_the_first_year_of_one_entrant_is_one_screen_worked_out_by_hand():
    made = one(US | {"c_ai_scan": 9.0}, entrants=1.0, n_years=1)
    get = Parameters(US | {"c_ai_scan": 9.0})
    preclinical = natural_history(US, TABLES["us"], 1).preclinical[:, None]
    cancer = preclinical.sum()
    reading = read_screen("triage", US, "first")
    reads = cancer * US["ai_sensitivity"] + (1 - cancer) * (1 - US["ai_specificity"])
    assert reading.reads_cancer == US["ai_sensitivity"]
    assert made.counts["screens"][:, 0, 0] == pytest.approx([1.0, 1.0], rel=1e-12)
    assert made.counts["ai_reads"][:, 0, 0] == pytest.approx([0.0, 1.0], rel=1e-12)
    assert made.counts["reader_minutes"][:, 0, 0] == pytest.approx([162 / 60, reads * 162 / 60], rel=1e-12)
    assert amount(made, "ai_licence") == pytest.approx([9.0], rel=1e-12)
    assert amount(made, "ai_integration") == pytest.approx([US["c_ai_integration"]])
    spared = (1 - reads) * 162 / 3600 * US["c_reader_hour"]
    assert amount(made, "reading", kind="capacity") == pytest.approx([-0.8 * spared], rel=1e-12)
    assert amount(made, "reading", kind="cash") == pytest.approx([-0.2 * spared], rel=1e-12)
    first, _ = screens(US, ["single", "triage"])
    screened = take_screen(first, get, 1 - preclinical.sum(axis=0), preclinical)
    costs = screen_costs(get, screened.counts, 1.0)
    for item in ("entry", "incidental", "false_positive", "complication"):
        found = made.lines[Line(item, "payer", "cash")][:, 0, 0]
        np.testing.assert_allclose(found, costs[item][:, 0] * np.ones(2), rtol=1e-12)
    np.testing.assert_allclose(made.counts["recalls"][:, 0, 0], screened.counts["recalls"][:, 0], rtol=1e-12)


def test_those_who_enter_later_are_so_many_years_behind():
    single, both = one(US, entrants=[100, 0, 0], n_years=3), one(US, entrants=[100, 0, 40], n_years=3)
    for line, alone in single.lines.items():
        if line.item in budget.ONE_OFF:
            continue
        expected = alone.copy()
        expected[:, 2] += 0.4 * alone[:, 0]
        np.testing.assert_allclose(both.lines[line], expected, rtol=1e-12, atol=1e-9)


def test_a_longer_horizon_leaves_the_first_years_as_they_were():
    short, long = one(US, entrants=[300, 200]), one(US, entrants=[300, 200, 50, 0], n_years=4)
    for line, amounts in short.lines.items():
        np.testing.assert_allclose(long.lines[line][:, :2], amounts, rtol=1e-12, atol=1e-9)
    for name, count in short.counts.items():
        np.testing.assert_allclose(long.counts[name][:, :2], count, rtol=1e-12)


def test_items_add_up_and_hospital_and_payer_make_the_total():
    made = one(US | {"share_ai_reimbursed": 0.1}, n_years=3, entrants=[300, 0, 200])
    table = made.table()
    assert len(table) == 3 * len(made.lines)
    by_payer = table.groupby(["payer", "year"]).difference.sum()
    for payer in ("hospital", "payer"):
        np.testing.assert_allclose(by_payer[payer], made.difference(payer)[:, 0], rtol=1e-12)
    both = made.difference("hospital") + made.difference("payer")
    np.testing.assert_allclose(both, made.difference("total"), rtol=1e-9)
    kinds = made.difference("total", "cash") + made.difference("total", "capacity")
    np.testing.assert_allclose(kinds, made.difference("total"), rtol=1e-9)
    assert set(table.item) == {
        *budget.SCREENING,
        *budget.CARE,
        *budget.AI,
        *budget.INCOME,
        "reading",
        "ai_reimbursement",
    }
    np.testing.assert_allclose(-made.cash_flow("total").sum(), made.difference("total").sum(), rtol=1e-9)
    cash = made.cash_flow("hospital", capacity=False).sum()
    np.testing.assert_allclose(cash, -made.difference("hospital", "cash").sum(), rtol=1e-9)


@pytest.mark.parametrize("comparator", ["none", "single", "second_reader"])
def test_without_mark_ups_transfers_cancel_and_the_costs_of_the_model_are_left(comparator):
    values = US | NO_SET_UP | {"payment_to_cost": 1.0, "share_ai_reimbursed": 0.3}
    values["screen_stop_age"] = values["start_age"] + 2.5  # no screen as the fourth year begins
    made = one(values, comparator=comparator, n_years=3, entrants=[1.0, 0.0, 0.0])
    trace = trace_strategies(values, TABLES["us"], (comparator, "triage"))
    rows = dict.fromkeys(trace.costs, slice(0, 13))  # three years end in row 12
    rows |= dict.fromkeys(
        ("entry", "scan", "reading", "ai", "incidental", "false_positive", "complication"), slice(0, 12)
    )
    costs = {item: trace.costs[item][span, :, 0].sum(axis=0) for item, span in rows.items()}
    costs["continuing"] -= trace.costs["continuing"][12, :, 0] / 2  # half of that row is the fourth year's
    expected = sum(cost[1] - cost[0] for cost in costs.values())
    assert made.difference("total").sum() == pytest.approx(expected, rel=1e-9)
    paid = sum(made.lines[Line(f"treatment_{stage}", "payer", "cash")] for stage in STAGES)
    np.testing.assert_allclose(paid.sum(axis=1)[:, 0], costs["initial"], rtol=1e-9)


def test_draws_give_what_each_gives_alone_in_chunks_too(monkeypatch):
    draws = {
        key: np.array([US[key] * f for f in (0.9, 1.0, 1.05)]) for key in ("c_ldct", "ai_specificity", "eligible")
    }
    draws["hospital_entrants"] = US["hospital_entrants"] * np.array([1.0, 2.0, 0.5])
    whole = budget_impact(US | draws, TABLES["us"], "triage", n_years=2)
    monkeypatch.setattr(budget, "CHUNK_DRAWS", 2)
    chunked = budget_impact(US | draws, TABLES["us"], "triage", n_years=2)
    for i in range(3):
        alone = budget_impact(
            US | {key: value[i] for key, value in draws.items()}, TABLES["us"], "triage", n_years=2
        )
        for made in (whole, chunked):
            np.testing.assert_allclose(made.difference()[:, i], alone.difference()[:, 0], rtol=1e-9)
    cases = business_case(whole, 0.08), business_case(alone, 0.08)
    assert cases[0].net_present_value[2] == pytest.approx(cases[1].net_present_value[0], rel=1e-9)


# Worse AI


@pytest.mark.parametrize("mode", ["second_reader", "triage"])
def test_an_ai_with_more_false_alarms_costs_hospital_and_payer_more(mode):
    specificities = np.array([0.9, 0.7569, 0.6, 0.4])
    made = one(US | {"ai_specificity": specificities}, mode, n_years=3)
    for perspective in budget.PERSPECTIVES:
        assert (np.diff(made.difference(perspective).sum(axis=0)) > 0).all()
    assert (np.diff(made.counts["recalls"][1].sum(axis=0)) > 0).all()
    prices = highest_price(US | {"ai_specificity": specificities}, TABLES["us"], mode, "single", 100_000.0)
    assert (np.diff(prices) < 0).all()


@pytest.mark.parametrize("mode", ["second_reader", "triage"])
def test_an_ai_that_misses_more_is_worth_less_though_a_budget_may_not_show_it(mode):
    sensitivities = {"ai_sensitivity": np.array([0.95, 0.8, 0.5])}
    prices = highest_price(US | sensitivities, TABLES["us"], mode, "single", 100_000.0)
    assert (np.diff(prices) < 0).all()
    made = one(US | sensitivities, mode, n_years=3)
    assert (np.diff(made.counts["screen_detected"][1].sum(axis=0)) < 0).all()
    assert (np.diff(made.counts["lung_cancer_deaths"][1].sum(axis=0)) > 0).all()


def test_a_reader_whom_the_ai_confuses_costs_more():
    confused = US | {"concurrent_specificity_gain": np.array([0.0, -0.02, -0.1]), "concurrent_seconds_saved": 0.0}
    made = one(confused, "concurrent")
    for perspective in budget.PERSPECTIVES:
        assert (np.diff(made.difference(perspective).sum(axis=0)) > 0).all()


def test_a_second_reader_adds_minutes_and_both_kinds_of_cost():
    made = one(US, "second_reader")
    assert (amount(made, "reading", kind="cash") > 0).all()
    assert (amount(made, "reading", kind="capacity") > 0).all()
    assert value_of_reading_time(US, "second_reader") < 0
    assert value_of_reading_time(US, "single", "double") > 0


# What is known


@pytest.mark.parametrize(("hourly", "value", "scans"), [(196, 4.19, 12_300), (127, 2.72, None), (45, 0.96, 53_600)])
def test_saved_reading_time_is_worth_one_to_four_euros_a_scan_as_published(hourly, value, scans):
    # Insights Imaging 2023, 10.1186/s13244-023-01561-z: EUR 1.0 to 4.3 a case, EUR 51,616 paid back by
    # 12,300 (US) to 53,600 (Poland) scans with a concurrent reader.
    found = float(value_of_reading_time(US | {"c_reader_hour": float(hourly)}, "concurrent"))
    assert found == pytest.approx(value, abs=0.005)
    assert found < 6  # the usual price
    if scans:
        assert finance.break_even_volume(51_616, found) == pytest.approx(scans, rel=2e-3)


def test_reading_time_saved_is_worth_less_than_the_price_in_every_setting():
    for values in (US, UK, EU):
        assert 0 < value_of_reading_time(values, "concurrent") < values["c_ai_scan"]


def test_british_list_prices_and_italian_treatment_costs_are_the_published_ones():
    uk = load_parameters("uk")
    price = uk.parameters["c_ai_scan"]
    assert (price.low, price.high, price.currency) == (5.0, 7.5, "GBP")
    assert uk.parameters["c_ai_purchase"].value == 44_000
    italy = budget.treatment_by_stage(load_parameters("eu").values())
    assert {stage: round(float(ratio[0]), 3) for stage, ratio in italy.items()} == {
        "ia": 1.0, "ib": 1.0, "ii": 1.199, "iiia": 1.347, "iiib": 1.347, "iv": 1.361,
    }  # fmt: skip


class Watched(dict):
    """A mapping that remembers which ids were asked for."""

    def __init__(self, values: dict[str, float]) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> float:
        self.asked.add(key)
        return super().__getitem__(key)


def used_numbers(setting: str) -> set[str]:
    """Ids that budgets, market sizes and adoption ask for in a setting, and what these are derived from."""
    parameters = load_parameters(setting, price_year=2024)
    watched = Watched(parameters.values())
    for pricing in budget.PRICINGS:
        budget_impact(watched, TABLES[setting], "triage", n_years=1, pricing=pricing)
    market_size.market_size(watched, adopted=0.5)
    market_size.top_down_band(watched)
    for scenario in diffusion.SCENARIOS:
        diffusion.adoption(watched, scenario, 2)
    used = watched.asked | {"discount_hospital", "payer_members", "payer_entrants"}  # arguments of their own
    stack = list(used)
    while stack:
        inputs = parameters.parameters[stack.pop()].inputs
        stack += [name for name in inputs if name not in used]
        used |= set(inputs)
    return used


def test_every_number_of_hospital_adoption_and_market_size_is_used():
    used = {setting: used_numbers(setting) for setting in TABLES}
    for entry in load_entries():
        if entry.file.startswith(("hospital", "adoption", "market_size")) and entry.setting in ("global", *TABLES):
            readers = used[entry.setting] if entry.setting in used else used["us"] | used["uk"]
            assert entry.id in readers, f"{entry.file}: {entry.id}"


# Prices and volumes


@pytest.mark.parametrize(
    ("pricing", "price"),
    [("per_scan", "c_ai_scan"), ("per_year", "c_ai_licence_year"), ("one_time", "c_ai_purchase")],
)
@pytest.mark.parametrize(("perspective", "rate"), [("hospital", 0.0), ("total", 0.08)])
def test_at_the_highest_price_the_strategy_costs_exactly_nothing(pricing, price, perspective, rate):
    values = UK | {"c_ai_setup": 500.0, "c_ai_integration": 800.0}
    run = {"comparator": "double", "n_years": 3, "entrants": [1000, 400, 0], "pricing": pricing}
    case = business_case(budget_impact(values, TABLES["uk"], "triage", **run), rate, perspective)
    highest = float(case.highest_price[0])
    assert highest > 0
    again = budget_impact(values | {price: highest}, TABLES["uk"], "triage", **run)
    case = business_case(again, rate, perspective)
    scale = np.abs(again.cash_flow(perspective)).sum()
    assert case.net_present_value[0] == pytest.approx(0, abs=1e-9 * scale + 1e-6)
    assert case.highest_price[0] == pytest.approx(highest, rel=1e-9)
    if rate == 0:
        assert again.difference(perspective).sum() == pytest.approx(0, abs=1e-6)


def test_no_price_makes_up_for_set_up_that_saves_nothing():
    case = business_case(one(US, "second_reader"), 0.08)
    assert case.highest_price[0] < 0
    assert np.isnan(case.rate_of_return[0])
    assert np.isinf(case.payback_years[0]) and np.isinf(case.break_even_scans[0])


@pytest.mark.parametrize("pricing", ["per_scan", "per_year", "one_time"])
def test_at_the_break_even_volume_the_net_present_value_is_nothing(pricing):
    values = UK | {"c_ai_scan": 0.5, "c_ai_setup": 900.0}
    run = {"comparator": "double", "n_years": 4, "pricing": pricing}
    made = budget_impact(values, TABLES["uk"], "triage", entrants=1000.0, **run)
    case = business_case(made, 0.035)
    scans = float(case.break_even_scans[0])
    assert 0 < scans < np.inf
    share = scans / made.counts["screens"][1].mean()
    again = budget_impact(values, TABLES["uk"], "triage", entrants=1000.0 * share, **run)
    assert business_case(again, 0.035).net_present_value[0] == pytest.approx(0, abs=1e-6)
    more = budget_impact(values, TABLES["uk"], "triage", entrants=1100.0 * share, **run)
    assert business_case(more, 0.035).net_present_value[0] > 0


def test_return_and_payback_are_those_of_the_cash_flow():
    values = UK | {"c_ai_scan": 0.5}
    made = budget_impact(values, TABLES["uk"], "triage", "double", 5, entrants=3000.0)
    case = business_case(made, 0.035)
    flow = case.cash_flow[:, 0]
    assert flow[0] == -(values["c_ai_setup"] + values["c_ai_integration"])
    assert finance.net_present_value(flow, float(case.rate_of_return[0])) == pytest.approx(0, abs=1e-4)
    assert case.payback_years[0] == finance.payback_years(flow)
    without = business_case(made, 0.035, capacity=False)
    assert without.net_present_value[0] < case.net_present_value[0]
    assert without.payback_years[0] > case.payback_years[0]


@pytest.mark.parametrize("wtp", [0.0, 100_000.0])
def test_at_the_highest_price_for_a_willingness_to_pay_net_benefits_are_equal(wtp):
    values = US | {"ai_sensitivity": 0.99, "ai_specificity": 0.9}
    price = float(highest_price(values, TABLES["us"], "triage", "single", wtp)[0])
    assert price > 0
    found = lung.run(values | {"c_ai_scan": price}, TABLES["us"], ("single", "triage"))
    benefit = wtp * found.qalys[0] - found.cost[0]
    assert benefit[1] == pytest.approx(benefit[0], abs=1e-6)


def test_a_payer_pays_per_member_and_month():
    made = budget_impact(US, TABLES["us"], "triage", "none", 2, entrants=US["payer_entrants"])
    found = budget.per_member_per_month(made, US["payer_members"])
    np.testing.assert_allclose(found * 12 * US["payer_members"], made.difference("payer"), rtol=1e-12)
    assert (found > 0).all()


def test_without_screening_nobody_is_screened_and_cancers_are_still_treated():
    made = one(US, comparator="none")
    for name in ("screens", "recalls", "ai_reads", "screen_detected"):
        assert (made.counts[name][0] == 0).all()
    assert (made.counts["diagnoses"][0] > 0).all()
    assert (made.counts["diagnoses"][1] > made.counts["diagnoses"][0]).any()
    assert made.difference("payer")[0, 0] > 0


def test_reimbursement_moves_money_from_payer_to_hospital_and_changes_no_total():
    plain, paid = one(US), one(US | {"share_ai_reimbursed": 0.1})
    moved = 0.1 * US["c_ai_reimbursement"] * plain.counts["ai_reads"][1]
    np.testing.assert_allclose(paid.difference("payer") - plain.difference("payer"), moved, rtol=1e-9)
    np.testing.assert_allclose(plain.difference("hospital") - paid.difference("hospital"), moved, rtol=1e-9)
    np.testing.assert_allclose(plain.difference(), paid.difference(), rtol=1e-9)


def test_a_strategy_without_ai_pays_for_none():
    made = budget_impact(UK, TABLES["uk"], "double", "single", 2, entrants=100.0, pricing="one_time")
    for item in budget.AI:
        assert (made.lines[Line(item, "hospital", "cash")] == 0).all()
    assert made.difference("hospital", "capacity")[0, 0] > 0
    assert np.isnan(business_case(made, 0.035).highest_price[0])


# Errors


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"strategy": "none"}, "strategy"),
        ({"strategy": "oracle"}, "strategy"),
        ({"comparator": "nothing"}, "comparator"),
        ({"pricing": "per_month"}, "pricing"),
        ({"n_years": 0}, "n_years"),
        ({"n_years": 11}, "n_years"),
        ({"n_years": 2.5}, "n_years"),
        ({"n_years": True}, "n_years"),
        ({"entrants": -1.0}, "entrants"),
        ({"entrants": [0.0, 0.0]}, "entrants"),
        ({"entrants": [1.0, np.nan]}, "entrants"),
        ({"entrants": [1.0, 2.0, 3.0]}, "entrants"),
    ],
)
def test_what_cannot_be_budgeted_is_refused_by_name(changes, name):
    run = {"strategy": "triage", "n_years": 2, "entrants": 10.0} | changes
    with pytest.raises(InputError) as error:
        budget_impact(US, TABLES["us"], **run)
    assert error.value.name == name


@pytest.mark.parametrize(
    "key", ["payment_to_cost", "share_care_here", "c_ai_setup", "c_ai_scan", "hospital_entrants"]
)
def test_a_missing_parameter_is_named(key):
    values = {name: value for name, value in US.items() if name != key}
    with pytest.raises(ParameterError) as error:
        budget_impact(values, TABLES["us"], "triage", n_years=1)
    assert error.value.name == key


def test_shares_out_of_range_are_refused():
    for key, value in (("share_care_here", 1.2), ("share_reader_time_cash", -0.1), ("payment_to_cost", 0.0)):
        with pytest.raises(ParameterError) as error:
            one(US | {key: value})
        assert error.value.name == key


def test_a_business_case_needs_somebody_who_buys_and_prices_need_ai():
    made = one(US, n_years=1)
    with pytest.raises(InputError, match="the payer buys no licence"):
        business_case(made, 0.08, "payer")
    with pytest.raises(InputError, match="annual_rate"):
        business_case(made, -1.0)
    with pytest.raises(InputError, match="perspective"):
        made.difference("doctor")
    with pytest.raises(InputError, match="kind"):
        made.difference("hospital", "gold")
    with pytest.raises(InputError, match="uses no AI"):
        highest_price(US, TABLES["us"], "double", "single", 0.0)
    with pytest.raises(InputError, match="uses AI too"):
        highest_price(US, TABLES["us"], "triage", "concurrent", 0.0)
    with pytest.raises(InputError, match="wtp"):
        highest_price(US, TABLES["us"], "triage", "single", -1.0)
    with pytest.raises(InputError, match="members"):
        budget.per_member_per_month(made, 0.0)


def test_a_screen_at_the_start_of_the_next_year_is_not_in_the_budget():
    """With five years between screens, a second one at the very end of five years changes nothing in them."""
    values = US | {"start_age": 60.0, "screen_interval_years": 5.0}
    once, twice = (one(values | {"screen_stop_age": age}, n_years=5) for age in (64.0, 65.0))
    assert (once.counts["screens"] == twice.counts["screens"]).all()
    for line, amounts in once.lines.items():
        np.testing.assert_array_equal(twice.lines[line], amounts)
    assert one(values | {"screen_stop_age": 65.0}, n_years=6).counts["screens"][:, 5].min() > 0
