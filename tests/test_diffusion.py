"""Adoption by sites: Bass curves of cited analogues, shifted by price and reimbursement; revenue and fan."""

import numpy as np
import pytest

from market.adoption import bass_cumulative
from market.diffusion import SCENARIOS, adopted_share, adoption, ceiling_share, fan
from market.errors import InputError, ParameterError
from market.market_size import market_years
from market.parameters import load_parameters

US = load_parameters("us", price_year=2024).values()
UK = load_parameters("uk", price_year=2024).values()
PLAIN = US | {"price_fall": 0.0, "c_ai_usual": US["c_ai_scan"], "share_ai_reimbursed": 0.0}
"""A price that stays where it usually is, and no reimbursement: the analogue's own curve."""


def test_without_shifters_a_scenario_is_the_curve_of_its_analogue():
    for name in SCENARIOS:
        found = adopted_share(PLAIN, name, [0, 4, 9])[:, 0]
        p, q, ceiling = (US[f"{part}_{name}"] for part in ("bass_p", "bass_q", "ceiling"))
        expected = ceiling * bass_cumulative(np.array([0, 4, 9]) + US["years_in_use"], 1.0, p, q)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_a_share_worked_out_by_hand():
    values = PLAIN | {"bass_p_base": 0.02, "bass_q_base": 0.4, "ceiling_base": 0.8, "years_in_use": 1.0}
    decay = np.exp(-0.42 * 5)
    expected = 0.8 * (1 - decay) / (1 + 20 * decay)
    assert adopted_share(values, "base", [4])[0, 0] == pytest.approx(expected, rel=1e-12)


def test_a_falling_price_and_reimbursement_stretch_time_as_in_the_generalised_bass_model():
    values = PLAIN | {"price_fall": 0.1, "adoption_price_effect": 2.0, "years_in_use": 0.0}
    stretched = 5 - 2.0 * np.log(0.9**5)
    p, q, ceiling = US["bass_p_base"], US["bass_q_base"], US["ceiling_base"]
    expected = ceiling * bass_cumulative(stretched, 1.0, p, q)
    assert adopted_share(values, "base", [5])[0, 0] == pytest.approx(expected, rel=1e-12)
    values = PLAIN | {"share_ai_reimbursed": 0.5, "adoption_reimbursement_effect": 3.0, "years_in_use": 0.0}
    expected = ceiling * bass_cumulative(5 * 2.5, 1.0, p, q)
    assert adopted_share(values, "base", [5])[0, 0] == pytest.approx(expected, rel=1e-12)


def test_scenarios_are_ordered_and_never_leave_their_ceilings():
    for values in (US, UK):
        shares = [adoption(values, name, 25).share[:, 0] for name in SCENARIOS]
        assert (shares[0] > shares[1]).all() and (shares[1] > shares[2]).all()
        for name, share in zip(SCENARIOS, shares, strict=True):
            assert (np.diff(share) > 0).all()
            assert 0 < share[0] < share[-1] <= ceiling_share(values, name)[0] <= 1


def test_a_dearer_ai_reaches_fewer_sites_and_a_cheap_one_no_more_than_all():
    prices = np.array([0.01, 5.0, 15.0, 60.0])
    ceilings = ceiling_share(US | {"c_ai_scan": prices}, "base")
    assert ceilings[0] == 1.0
    assert (np.diff(ceilings) < 0).all()
    assert ceilings[3] / ceilings[2] == pytest.approx(4 ** -US["adoption_price_elasticity"])


def test_sites_scans_and_revenue_by_hand():
    found = adoption(US, "base", 3)
    shares = adopted_share(US, "base", [0, 1, 2, 3])[:, 0]
    reach = US["sites_screening"] * US["share_sites_reachable"]
    np.testing.assert_allclose(found.share[:, 0], shares[1:], rtol=1e-12)
    np.testing.assert_allclose(found.sites[:, 0], shares[1:] * reach, rtol=1e-12)
    np.testing.assert_allclose(found.new_sites[:, 0], np.diff(shares) * reach, rtol=1e-9)
    scans = market_years(US, 3).reachable_scans[:, 0] * (shares[1:] + shares[:-1]) / 2
    np.testing.assert_allclose(found.scans[:, 0], scans, rtol=1e-12)
    price = US["c_ai_scan"] * (1 - US["price_fall"]) ** np.arange(3)
    np.testing.assert_allclose(found.revenue[:, 0], scans * price, rtol=1e-12)
    np.testing.assert_allclose(found.vendor_revenue, found.revenue * US["vendor_share"], rtol=1e-12)
    table = found.table()
    assert table.columns[:3].tolist() == ["scenario", "year", "share"]
    assert table.year.tolist() == [1, 2, 3]


def test_a_fan_of_draws_holds_what_each_draw_gives_alone():
    draws = load_parameters("us", price_year=2024).draw(200, seed=3)
    found = adoption(draws, "base", 8)
    alone = adoption({key: float(value[17]) for key, value in draws.items()}, "base", 8)
    np.testing.assert_allclose(found.revenue[:, 17], alone.revenue[:, 0], rtol=1e-9)
    table = fan(found.revenue)
    assert table.year.tolist() == list(range(1, 9))
    quantiles = table[["q2.5", "q25", "q50", "q75", "q97.5"]].to_numpy()
    assert (np.diff(quantiles, axis=1) > 0).all()
    assert table["mean"].to_numpy() == pytest.approx(found.revenue.mean(axis=1))
    assert (quantiles[:, 0] < alone.revenue[:, 0].max()).all()


def test_before_the_first_use_nobody_has_adopted():
    start = -US["years_in_use"]
    assert adopted_share(US, "base", [start - 2, start, start + 0.5])[:, 0].tolist()[:2] == [0.0, 0.0]
    assert adopted_share(US, "base", [start + 0.5])[0, 0] > 0


def test_unknown_scenarios_and_numbers_out_of_range_are_refused_by_name():
    for function in (lambda: adoption(US, "wild", 5), lambda: adopted_share(US, "wild", [1])):
        with pytest.raises(InputError, match="scenario"):
            function()
    with pytest.raises(InputError, match="n_years"):
        adoption(US, "base", 0)
    for key, value in (("ceiling_base", 1.2), ("price_fall", -0.1), ("bass_p_base", 0.0), ("c_ai_usual", 0.0)):
        with pytest.raises(ParameterError) as error:
            adoption(US | {key: value}, "base", 3)
        assert error.value.name == key
    with pytest.raises(ParameterError, match="sites_screening"):
        adoption({key: value for key, value in US.items() if key != "sites_screening"}, "base", 3)
    for draws in (np.zeros(3), np.array([[1.0, np.nan]]), np.zeros((0, 2))):
        with pytest.raises(InputError, match="draws"):
            fan(draws)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_todays_price_and_reimbursement_leave_the_past_and_present_as_they_were(scenario):
    years = [-2, -0.5, 0, 1, 6]
    before = adopted_share(US, scenario, years)[:, 0]
    for changes in (
        {"c_ai_scan": 0.0},
        {"c_ai_scan": 40.0},
        {"price_fall": 0.4},
        {"share_ai_reimbursed": 1.0},
        {"adoption_price_elasticity": 2.0, "c_ai_scan": 20.0},
    ):
        after = adopted_share(US | changes, scenario, years)[:, 0]
        assert after[:3].tolist() == before[:3].tolist()
        assert (after[3:] != before[3:]).all()


def test_a_new_ceiling_is_only_for_the_sites_without_an_ai_and_drives_nobody_out():
    values = PLAIN | {"years_in_use": 6.0, "adoption_price_elasticity": 0.5}
    p, q, usual = US["bass_p_base"], US["bass_q_base"], US["ceiling_base"]
    now, later = bass_cumulative(np.array([6.0, 10.0]), 1.0, p, q)
    dearer = values | {"c_ai_scan": 2 * US["c_ai_scan"]}
    held = now * usual
    expected = held + (usual / np.sqrt(2) - held) * (later - now) / (1 - now)
    assert adopted_share(dearer, "base", [4])[0, 0] == pytest.approx(expected, rel=1e-12)
    far_too_dear = adopted_share(values | {"c_ai_scan": 1e6}, "base", [0, 5, 30])[:, 0]
    assert far_too_dear.tolist() == pytest.approx([held] * 3, rel=1e-12)


def test_a_free_ai_reaches_all_sites_and_earns_nothing():
    free = US | {"c_ai_scan": 0.0}
    assert ceiling_share(free, "slow").tolist() == [1.0]
    assert ceiling_share(free | {"adoption_price_elasticity": 0.0}, "slow").tolist() == [US["ceiling_slow"]]
    assert ceiling_share(free | {"ceiling_slow": 0.0}, "slow").tolist() == [0.0]
    found = adoption(free, "slow", 4)
    assert (found.share > adoption(US, "slow", 4).share).all()
    assert not found.revenue.any()
