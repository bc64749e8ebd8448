"""ICER tables: published frontiers, savings, ties, a named comparator; net benefit; named errors."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.cea import icer_table, net_health_benefit, net_monetary_benefit
from market.errors import InputError

COLUMNS = ["strategy", "cost", "effect", "inc_cost", "inc_effect", "icer", "status"]


@pytest.fixture(scope="module")
def market(shared: Path) -> Path:
    """The folder `market` of ../shared, to read, never to copy."""
    folder = shared.parent / "market"
    if not folder.is_dir():
        pytest.skip("needs ../shared/market, which is not on this machine")
    return folder


@pytest.fixture(scope="module")
def worked(market: Path) -> dict:
    return json.loads((market / "worked_examples.json").read_text())


def test_a_hundred_strategies_leave_the_published_frontier(market: Path, worked: dict):
    given_table = pd.read_csv(market / "dampack_hund" / "hund_strat.csv")
    table = icer_table(given_table.Strategy, given_table.Cost, given_table.QALYs)
    assert table.columns.tolist() == COLUMNS
    frontier = table[table.status == "ND"]
    published = pd.DataFrame(worked["hund_strat_frontier"])
    assert frontier.strategy.tolist() == published.strategy.tolist()
    for column in COLUMNS[1:6]:
        np.testing.assert_allclose(frontier[column], published[column].astype(float), rtol=1e-9)
    assert len(table) == len(given_table)
    assert table[table.status != "ND"].icer.isna().all()


def test_dominated_and_extendedly_dominated_strategies_have_no_icer(worked: dict):
    example = worked["herc_icer"]
    table = icer_table(example["strategy"], example["cost"], example["effect"])
    assert table.strategy.tolist() == ["UC", "B", "D", "E", "C", "A"]
    assert table.status.tolist() == ["ND", "ND", "ND", "ND", "ED", "D"]
    np.testing.assert_array_equal(table.icer, [np.nan, 5000, 12_500, 20_000, np.nan, np.nan])
    np.testing.assert_array_equal(table.inc_cost, [np.nan, 5000, 25_000, 20_000, np.nan, np.nan])
    np.testing.assert_array_equal(table.inc_effect, [np.nan, 1, 2, 1, np.nan, np.nan])


def test_hiv_screening_gives_the_published_ratios(worked: dict):
    example = worked["paltiel_hiv"]
    qalys = np.array(example["qalm"]) / 12
    table = icer_table(example["strategy"], example["cost"], qalys).set_index("strategy")
    assert table.index.tolist() == ["status quo", "one time", "5yr", "3yr", "annual"]
    for strategy, icer in example["icer"].items():
        assert table.icer[strategy] == pytest.approx(icer, rel=1e-9)
    assert table.index[table.status == "D"].tolist() == example["dominated"]


def test_a_strategy_that_saves_money_and_does_more_starts_the_frontier(worked: dict):
    example = worked["cost_saving_edge_case"]
    table = icer_table(example["strategy"], example["cost"], example["effect"])
    assert table.strategy[0] == example["expected_first_ND"]
    assert table.status.tolist() == ["ND", "D", "D"]  # the third does as much for more
    assert table.icer.isna().all()


def test_a_named_comparator_gives_the_published_ratios_against_no_screening(worked: dict):
    """ENaBL prints both columns; its costs and QALYs are rounded, so the ratios agree to 2 and to 8 %."""
    example = worked["enabl_uk"]
    names, cost, qaly = example["strategies"], example["cost"], example["qaly"]
    against_none = icer_table(names, cost, qaly, reference="No screening")
    sequential = icer_table(names, cost, qaly)
    assert against_none.strategy.tolist() == sequential.strategy.tolist() == names
    np.testing.assert_allclose(against_none.icer[1:], example["icer_vs_none"][1:], rtol=0.02)
    np.testing.assert_allclose(sequential.icer[1:], example["icer_sequential"][1:], rtol=0.08)
    assert against_none.icer[1] == sequential.icer[1]
    np.testing.assert_allclose(against_none.inc_cost[1:], np.array(cost[1:]) - cost[0])


def test_with_a_comparator_ratios_are_given_only_where_they_are_a_price():
    names = ["now", "more", "saves", "cheaper and worse", "dearer and worse", "same", "as good, dearer"]
    cost, effect = [100, 150, 90, 60, 120, 100, 130], [5, 7, 6, 4, 4, 5, 5]
    table = icer_table(names, cost, effect, reference="now").set_index("strategy")
    assert table.index[0] == "now"
    assert table.loc["now", ["inc_cost", "inc_effect", "icer"]].isna().all()
    assert table.icer["more"] == 25
    assert table.icer["cheaper and worse"] == 40  # saved for each unit given up
    assert table.icer[["saves", "dearer and worse", "same", "as good, dearer"]].isna().all()
    assert table.inc_cost["saves"] == -10
    assert table.inc_effect["saves"] == 1
    assert table.status["now"] == "D"  # the status is that on the frontier of all
    assert table.status.drop("now").to_dict() == {
        "more": "ND",
        "saves": "ND",
        "cheaper and worse": "ND",
        "dearer and worse": "D",
        "same": "D",
        "as good, dearer": "D",
    }


def test_a_single_strategy_is_its_own_frontier():
    table = icer_table(["only"], [10], [2])
    assert table.status.tolist() == ["ND"]
    assert table[["inc_cost", "inc_effect", "icer"]].isna().all(axis=None)
    assert icer_table(["only"], [10], [2], reference="only").status.tolist() == ["ND"]


def test_one_strategy_that_dominates_all_stands_alone():
    table = icer_table(["a", "b", "c"], [30, 10, 20], [1, 4, 3])
    assert table.strategy.tolist() == ["b", "c", "a"]
    assert table.status.tolist() == ["ND", "D", "D"]
    assert table.icer.isna().all()


def test_ties_leave_one_on_the_frontier():
    equal = icer_table(["first", "second", "base"], [20, 20, 10], [3, 3, 1])
    assert equal.strategy.tolist() == ["base", "first", "second"]
    assert equal.status.tolist() == ["ND", "ND", "D"]
    assert equal.icer[1] == 5
    same_cost = icer_table(["worse", "better"], [20, 20], [3, 4])
    assert same_cost.set_index("strategy").status.to_dict() == {"better": "ND", "worse": "D"}
    same_effect = icer_table(["dearer", "cheaper"], [21, 20], [3, 3])
    assert same_effect.set_index("strategy").status.to_dict() == {"cheaper": "ND", "dearer": "D"}


def test_taking_out_one_strategy_can_uncover_another():
    """Without c, at 60 above the line from b to d, b stays at 40 and 45; b at 50 is over the 40 from b to d."""
    table = icer_table(list("abcd"), [0, 40, 100, 130], [0, 1, 2, 3]).set_index("strategy")
    assert table.status.to_dict() == {"a": "ND", "b": "ND", "d": "ND", "c": "ED"}
    assert table.icer[["b", "d"]].tolist() == [40, 45]
    cascade = icer_table(list("abcd"), [0, 50, 110, 130], [0, 1, 2, 3]).set_index("strategy")
    assert cascade.status.to_dict() == {"a": "ND", "d": "ND", "b": "ED", "c": "ED"}
    assert cascade.icer["d"] == pytest.approx(130 / 3)


def test_points_on_a_line_stay_on_the_frontier_despite_rounding():
    effect = [0.6, 0.7, 0.8]
    assert 0.8 - 0.7 > 0.7 - 0.6  # so that the second ratio comes out a trifle smaller
    assert icer_table(list("abc"), [0, 1000, 2000], effect).status.tolist() == ["ND"] * 3


def test_costs_below_zero_and_lists_series_and_frames_are_taken():
    names, cost, effect = ["a", "b", "c"], [-50.0, -20.0, 40.0], [1.0, 2.0, 3.0]
    table = icer_table(names, cost, effect)
    assert table.icer.tolist()[1:] == [30, 60]
    frame = pd.DataFrame({"cost": cost, "effect": effect}, index=[7, 3, 5])
    for costs, effects in (
        (np.array(cost), tuple(effect)),
        (frame.cost, frame.effect),
        (frame[["cost"]], frame[["effect"]]),
        (pd.Series(cost, names)[["c", "a", "b"]], pd.Series(effect, names)),
    ):
        pd.testing.assert_frame_equal(icer_table(names, costs, effects), table)


@settings(max_examples=50, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(-40, 40), st.integers(0, 40)), min_size=1, max_size=9),
    seed=st.integers(0, 100),
)
def test_the_frontier_is_what_some_willingness_to_pay_would_choose(points, seed: int):
    cost, effect = np.array(points, dtype=float).T
    names = [f"s{i}" for i in range(len(points))]
    table = icer_table(names, cost, effect)
    frontier = table[table.status == "ND"]
    icers = frontier.icer.to_numpy()[1:]
    assert (icers > 0).all()
    assert all(low <= high * (1 + 1e-9) for low, high in pairwise(icers))
    thresholds = [0.0, *icers, icers[-1] + 1 if len(icers) else 1.0]
    best_of_all = net_monetary_benefit(cost, effect, thresholds).max(axis=1)
    best_on_frontier = net_monetary_benefit(frontier.cost, frontier.effect, thresholds).max(axis=1)
    np.testing.assert_allclose(best_on_frontier, best_of_all, rtol=1e-9, atol=1e-9)
    for threshold, (here, there) in zip(icers, pairwise(frontier.index), strict=True):
        both = net_monetary_benefit(frontier.cost[[here, there]], frontier.effect[[here, there]], threshold)
        assert both[0] == pytest.approx(both[1], rel=1e-9, abs=1e-9)
    order = np.random.default_rng(seed).permutation(len(points))
    shuffled = icer_table([names[i] for i in order], cost[order], effect[order])
    pd.testing.assert_frame_equal(shuffled[COLUMNS[1:]], table[COLUMNS[1:]])


@pytest.mark.parametrize(
    ("strategies", "cost", "effect", "reference", "named"),
    [
        ([], [], [], None, "strategies"),
        (["a", "a"], [1, 2], [1, 2], None, "strategies"),
        (["a", "b"], [1, 2, 3], [1, 2], None, "cost"),
        (["a", "b"], [1, 2], [1], None, "effect"),
        (["a", "b"], [1, np.nan], [1, 2], None, "cost"),
        (["a", "b"], [1, 2], [1, np.inf], None, "effect"),
        (["a", "b"], ["x", "y"], [1, 2], None, "cost"),
        (["a", "b"], np.ones((2, 2)), [1, 2], None, "cost"),
        (["a", "b"], [1, 2], [1, 2], "c", "reference"),
    ],
)
def test_an_icer_table_names_the_input_that_cannot_be(strategies, cost, effect, reference, named: str):
    with pytest.raises(InputError) as error:
        icer_table(strategies, cost, effect, reference)
    assert error.value.name == named


def test_net_benefit_prices_effects_or_costs():
    assert net_monetary_benefit(1000, 0.5, 20_000) == 9000
    assert net_health_benefit(1000, 0.5, 20_000) == pytest.approx(0.45)
    cost, effect = np.array([[100.0, 300.0], [200.0, 250.0], [0.0, 10.0]]), np.array([[1, 2], [3, 4], [5, 6.0]])
    np.testing.assert_allclose(net_monetary_benefit(cost, effect, 50), 50 * effect - cost)
    many = net_monetary_benefit(cost, effect, [50, 80])
    assert many.shape == (2, 3, 2)
    np.testing.assert_allclose(many[1], 80 * effect - cost)
    np.testing.assert_allclose(net_health_benefit(cost, effect, [50, 80]) * [[[50]], [[80]]], many)


@pytest.mark.parametrize(
    ("function", "cost", "effect", "wtp", "named"),
    [
        (net_monetary_benefit, 1, 1, -5, "wtp"),
        (net_monetary_benefit, 1, 1, np.inf, "wtp"),
        (net_monetary_benefit, 1, 1, [[1, 2]], "wtp"),
        (net_monetary_benefit, [1, 2, 3], [1, 2], 5, "effect"),
        (net_monetary_benefit, np.nan, 1, 5, "cost"),
        (net_health_benefit, 1, 1, 0, "wtp"),
    ],
)
def test_net_benefit_names_the_input_that_cannot_be(function, cost, effect, wtp, named: str):
    with pytest.raises(InputError) as error:
        function(cost, effect, wtp)
    assert error.value.name == named
