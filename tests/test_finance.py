"""Investment measures agree with numpy-financial's documented examples and with each other."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.errors import InputError
from market.finance import (
    break_even_value,
    break_even_volume,
    internal_rate_of_return,
    net_present_value,
    payback_years,
)

returns = st.lists(st.floats(1, 1e4), min_size=1, max_size=12)


def test_net_present_value_by_hand():
    assert net_present_value([-1000, 300, 400, 500], 0.08) == pytest.approx(
        -1000 + 300 / 1.08 + 400 / 1.08**2 + 500 / 1.08**3, rel=1e-14
    )
    assert net_present_value([-1000, 300, 400, 500], 0) == 200
    assert net_present_value([-100, 55], -0.5) == pytest.approx(10)


@pytest.mark.parametrize(
    ("cash_flow", "rate"),
    [
        ([-100, 110], 0.1),
        ([-100, 0, 121], 0.1),
        ([100, -110], 0.1),  # a loan
        ([-100, 50], -0.5),
        ([-100, 60, 40], 0.0),
        ([0, -100, 0, 144, 0], 0.2),
        ([-1, 0, 0, 0, 0, 1e-30], 1e-6 - 1),
    ],
)
def test_a_rate_of_return_known_by_hand(cash_flow, rate):
    assert internal_rate_of_return(cash_flow) == pytest.approx(rate, rel=1e-12, abs=1e-14)


@settings(max_examples=50, deadline=None)
@given(returns, st.floats(10, 1e5))
def test_at_the_rate_of_return_the_present_value_is_zero(flow, outlay):
    rate = internal_rate_of_return([-outlay, *flow])
    assert net_present_value([-outlay, *flow], rate) == pytest.approx(0, abs=1e-9 * (outlay + sum(flow)))
    assert net_present_value([-outlay, *flow], rate + 0.01) < 0
    assert (rate >= 0) == (sum(flow) >= outlay) or rate == pytest.approx(0, abs=1e-12)


def test_a_flow_with_two_changes_of_sign_may_still_have_one_rate_and_may_have_none():
    # (1.1 - y) (y^2 + 1) over y^3 with y = 1 + rate: one real zero, though the sign changes three times.
    assert internal_rate_of_return([-1, 1.1, -1, 1.1]) == pytest.approx(0.1, rel=1e-10)
    with pytest.raises(InputError, match="cash_flow: found no rate"):
        internal_rate_of_return([1, -1, 1])


def test_several_rates_of_return_are_named_and_refused():
    # (y - 1.1) (y - 1.2) = y^2 - 2.3 y + 1.32
    with pytest.raises(InputError, match=r"several rates .*: 0\.1, 0\.2; expected"):
        internal_rate_of_return([1, -2.3, 1.32])


def test_a_rate_that_the_value_only_touches_counts_once():
    assert internal_rate_of_return([1, -2.2, 1.21]) == pytest.approx(0.1, abs=1e-6)


@pytest.mark.parametrize("cash_flow", [[1, 2, 3], [-1, -2], [0, 0], [5]])
def test_money_that_only_comes_in_or_only_goes_out_has_no_rate_of_return(cash_flow):
    with pytest.raises(InputError, match="cash_flow: found no rate"):
        internal_rate_of_return(cash_flow)


def test_payback_falls_within_the_year_that_recovers_the_outlay():
    assert payback_years([-1000, 400, 400, 400]) == pytest.approx(2.5)
    assert payback_years([-1000, 500, 500]) == pytest.approx(2)
    assert payback_years([-1000, 400, 400]) is None
    assert payback_years([-100, 150, -200, 300]) == pytest.approx(100 / 150)


def test_discounting_makes_payback_later_or_never():
    # 400/1.1 + 400/1.21 = 694.21, and the third year brings 300.53.
    assert payback_years([-900, 400, 400, 400], 0.1) == pytest.approx(
        2 + (900 - 400 / 1.1 - 400 / 1.21) / (400 / 1.331)
    )
    assert payback_years([-1000, 400, 400, 400], 0.1) is None


@settings(max_examples=50, deadline=None)
@given(returns, st.floats(10, 1e5), st.floats(-0.3, 0.5))
def test_an_investment_pays_back_if_and_only_if_its_present_value_is_not_negative(flow, outlay, rate):
    value = net_present_value([-outlay, *flow], rate)
    if abs(value) > 1e-6 * outlay:
        assert (payback_years([-outlay, *flow], rate) is not None) == (value > 0)


def test_break_even_volumes_of_reading_with_a_computer_are_the_published_ones(shared):
    path = shared.parent / "market" / "worked_examples.json"
    if not path.is_file():
        pytest.skip("needs ../shared/market, which is not on this machine")
    study = json.loads(path.read_text())["dlcad_pricing_insights2023"]
    for country, scans in study["breakeven_concurrent"].items():
        value = study["hour_cost_eur"][country] * study["saved_s"]["concurrent"] / 3600
        assert value == pytest.approx(study["value_per_case_eur"]["concurrent"][country], rel=1e-12)
        assert break_even_volume(study["investment_eur"], value) == pytest.approx(scans, rel=1e-12)


def test_a_unit_that_earns_nothing_never_breaks_even():
    assert break_even_volume(100, 5, 3) == 50
    assert break_even_volume(100, 3, 3) is None
    assert break_even_volume(100, 3, 5) is None


def test_the_highest_price_at_cost_neutrality_is_found():
    flow = np.array([-500.0, 900, 900, 900])
    price = break_even_value(lambda price: net_present_value(flow - price * np.array([0, 1, 1, 1]), 0.04), 0, 2000)
    annuity = sum(1.04**-t for t in (1, 2, 3))
    assert price == pytest.approx(900 - 500 / annuity, rel=1e-12)
    assert break_even_value(lambda x: x - 3, 3, 5) == 3
    with pytest.raises(InputError, match=r"balance: found 1\.0 at 1 and 2\.0 at 2; expected opposite signs"):
        break_even_value(lambda x: x, 1, 2)
    with pytest.raises(InputError, match="low, high: found 5, 1"):
        break_even_value(lambda x: x, 5, 1)


@pytest.mark.parametrize(
    ("cash_flow", "message"),
    [
        ([], "cash_flow: found shape"),
        ([[1, 2]], "cash_flow: found shape"),
        ([-1, math.nan], "cash_flow: found nan in year 1"),
        (["a"], "cash_flow: found"),
    ],
)
def test_unusable_cash_flows_are_named(cash_flow, message):
    for function in (internal_rate_of_return, payback_years, lambda flow: net_present_value(flow, 0.03)):
        with pytest.raises(InputError, match=message):
            function(cash_flow)


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_unusable_rates_are_named(rate):
    with pytest.raises(InputError, match="annual_rate: found"):
        net_present_value([-1, 2], rate)
    with pytest.raises(InputError, match="annual_rate: found"):
        payback_years([-1, 2], rate)


@pytest.mark.parametrize("arguments", [(-1.0, 3.0), (math.nan, 3.0), (1.0, math.inf)])
def test_unusable_costs_of_a_break_even_volume_are_named(arguments):
    with pytest.raises(InputError, match=r"(fixed_cost|value_per_unit): found"):
        break_even_volume(*arguments)


def test_payback_of_a_flow_that_begins_without_an_outlay_is_of_the_debt_that_follows():
    assert payback_years([10, -5]) == 0  # the sum never falls below 0: there is nothing to recover
    assert payback_years([0, -5, -5]) is None
    assert payback_years([10, -15]) is None
    assert payback_years([10, -15, 20]) == pytest.approx(1.25)


@pytest.mark.parametrize("flow", [[-1, 1e-320], [-1e-300, 1e300], [1e-320, -1, 1e-320]])
def test_a_rate_of_return_beyond_what_floats_hold_is_refused_by_name(flow):
    with pytest.raises(InputError, match="cash_flow: found"):
        internal_rate_of_return(flow)


@pytest.mark.parametrize("scale", [1e-305, 1e305])
def test_a_rate_of_return_does_not_depend_on_the_currency_unit(scale):
    assert internal_rate_of_return([-100 * scale, 0, 121 * scale]) == pytest.approx(0.1)
