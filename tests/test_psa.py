"""Acceptability curves, their frontier and expected losses agree with published examples and with each other."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from market.errors import InputError
from market.psa import ceac, ceaf, expected_loss, optimal_strategy

COST = np.array([[0.0, 10.0, 40.0], [0.0, 30.0, 10.0], [0.0, 10.0, 20.0], [0.0, 5.0, 70.0]])
EFFECT = np.array([[1.0, 1.2, 2.0], [1.0, 1.1, 1.3], [1.0, 1.1, 1.2], [1.0, 1.4, 1.5]])

draws = st.tuples(st.integers(1, 12), st.integers(1, 4)).flatmap(
    lambda shape: st.tuples(
        arrays(np.float64, shape, elements=st.integers(-50, 50).map(float)),
        arrays(np.float64, shape, elements=st.integers(-4, 4).map(float)),
    )
)
thresholds = st.lists(st.integers(0, 60), min_size=1, max_size=4)


def vaccine(shared: Path) -> tuple[np.ndarray, np.ndarray, dict]:
    """Cost and effect (1000, 2) of the vaccine example of the R package BCEA, and its published results."""
    folder = shared.parent / "market"
    if not folder.is_dir():
        pytest.skip("needs ../shared/market, which is not on this machine")
    read = (
        np.loadtxt(folder / "bcea_vaccine" / f"vaccine_{name}.csv", delimiter=",", skiprows=1)
        for name in ("cost", "eff")
    )
    return next(read), next(read), json.loads((folder / "worked_examples.json").read_text())["bcea_vaccine"]


def test_by_hand_each_draw_goes_to_its_best_strategy():
    # Net benefit at 50: 50 50 60 / 50 25 55 / 50 45 40 / 50 65 5, so 3rd, 3rd, 1st, 2nd.
    np.testing.assert_allclose(ceac(COST, EFFECT, 50), [0.25, 0.25, 0.5], rtol=1e-15)


def test_strategies_that_tie_share_the_draw_equally():
    cost = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0], [5.0, 4.0, 3.0]])
    effect = np.zeros((3, 3))
    np.testing.assert_allclose(ceac(cost, effect, 0), [(1 / 3 + 1 / 2) / 3, (1 / 3 + 1 / 2) / 3, (1 / 3 + 1) / 3])


def test_one_threshold_drops_the_axis_that_many_have():
    many = ceac(COST, EFFECT, [0, 50, 200])
    assert (many.shape, ceac(COST, EFFECT, 50).shape, ceac(COST, EFFECT, [50]).shape) == ((3, 3), (3,), (1, 3))
    np.testing.assert_array_equal(many[1], ceac(COST, EFFECT, 50))
    assert expected_loss(COST, EFFECT, [0, 50]).shape == (2, 3)
    assert isinstance(ceaf(COST, EFFECT, 50), float)
    assert isinstance(optimal_strategy(COST, EFFECT, 50), int)
    assert ceaf(COST, EFFECT, [0, 50]).shape == optimal_strategy(COST, EFFECT, [0, 50]).shape == (2,)


def test_the_frontier_follows_the_best_mean_and_not_the_most_frequent_winner():
    cost = np.array([[0.0, 1.0]] * 9 + [[0.0, -100.0]])  # the second wins one draw in ten, by far
    effect = np.zeros((10, 2))
    assert optimal_strategy(cost, effect, 10) == 1
    assert ceaf(cost, effect, 10) == pytest.approx(0.1, rel=1e-15)


def test_expected_loss_by_hand():
    # Losses at 50: 10 10 0 / 5 30 0 / 0 5 10 / 15 0 60.
    np.testing.assert_allclose(expected_loss(COST, EFFECT, 50), [7.5, 11.25, 17.5], rtol=1e-13)


def test_the_vaccine_example_has_its_published_curve(shared):
    cost, effect = vaccine(shared)[:2]
    published = vaccine(shared)[2]["by_wtp"]
    found = ceac(cost, effect, [float(wtp) for wtp in published])
    np.testing.assert_allclose(found, [point["p_best"] for point in published.values()], rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(draws, thresholds)
def test_curves_sum_to_one_and_losses_are_never_negative(sample, wtp):
    cost, effect = sample
    curve, loss = ceac(cost, effect, wtp), expected_loss(cost, effect, wtp)
    np.testing.assert_allclose(curve.sum(axis=1), 1, rtol=1e-12)
    assert ((curve >= 0) & (curve <= 1)).all()
    assert (loss >= 0).all()
    # A strategy loses nothing if and only if it is best, alone or with others, in every draw.
    np.testing.assert_array_equal(
        loss == 0, [(w * effect - cost >= (w * effect - cost).max(1, keepdims=True)).all(0) for w in wtp]
    )


@settings(max_examples=25, deadline=None)
@given(draws, st.integers(0, 60), st.integers(-9, 9), st.integers(1, 9))
def test_what_all_strategies_have_in_common_and_the_unit_of_money_change_no_curve(sample, wtp, shift, unit):
    cost, effect = sample
    np.testing.assert_array_equal(ceac(cost, effect, wtp), ceac(unit * (cost + shift), effect + shift, unit * wtp))


@pytest.mark.parametrize(
    ("cost", "effect", "wtp", "message"),
    [
        (COST, EFFECT, -1.0, "wtp: found -1.0"),
        (COST, EFFECT, [10.0, np.nan], "wtp: found nan"),
        (COST, EFFECT, np.inf, "wtp: found inf"),
        (COST, EFFECT, [], "wtp: found shape"),
        (COST, EFFECT, [[1.0]], "wtp: found shape"),
        (COST, EFFECT, "much", "wtp: found 'much'"),
        (COST[:3], EFFECT, 1.0, "effect: found shape"),
        (COST[0], EFFECT[0], 1.0, "cost: found shape"),
        (np.empty((0, 2)), np.empty((0, 2)), 1.0, "cost: found shape"),
        (COST, np.where(EFFECT == 2.0, np.nan, EFFECT), 1.0, "effect: found nan at draw 0, strategy 2"),
        ([["a"]], [[1.0]], 1.0, "cost: found values that are not numbers"),
    ],
)
@pytest.mark.parametrize("function", [ceac, ceaf, expected_loss, optimal_strategy])
def test_unusable_draws_and_thresholds_are_named(function, cost, effect, wtp, message):
    with pytest.raises(InputError, match=message):
        function(cost, effect, wtp)
