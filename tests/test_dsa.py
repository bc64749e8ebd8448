"""Sensitivity tables hold what the model says at the ends of each range, sorted and named as promised."""

import math

import numpy as np
import pytest

from market.dsa import one_way, tornado, two_way
from market.errors import InputError

BASE = {"p": 0.2, "price": 100.0, "unused": 5.0}
RANGES = {"unused": (0.0, 9.0), "p": (0.1, 0.4), "price": (50.0, 120.0)}


def screening(values):
    """Costs `price`, saves 300 and gains 2 for each one treated."""
    return {"none": (1000.0, 10.0), "screen": (1000 + values["price"] - 300 * values["p"], 10 + 2 * values["p"])}


def line(table, outcome, parameter):
    return table[(table["outcome"] == outcome) & (table["parameter"] == parameter)].iloc[0]


def test_one_way_has_a_row_per_parameter_value_and_strategy():
    table = one_way(screening, BASE, RANGES, n_points=3)
    assert list(table.columns) == ["parameter", "value", "strategy", "cost", "effect"]
    assert len(table) == 3 * 3 * 2
    row = table[(table["parameter"] == "p") & (table["strategy"] == "screen")]
    assert row["value"].tolist() == [0.1, 0.25, 0.4]
    np.testing.assert_allclose(row["cost"], [1070, 1025, 980], rtol=1e-15)
    np.testing.assert_allclose(row["effect"], [10.2, 10.5, 10.8], rtol=1e-15)


def test_a_tornado_starts_with_the_widest_bar_of_each_outcome():
    table = tornado(screening, BASE, RANGES, "screen", "none", wtp=200)
    assert table["outcome"].drop_duplicates().tolist() == ["cost", "effect", "icer", "nmb"]
    order = {name: part["parameter"].tolist() for name, part in table.groupby("outcome")}
    assert order["cost"] == ["p", "price", "unused"]  # 90, 70, 0
    assert order["effect"] == ["p", "unused", "price"]  # 0.6, and two of 0 in the order given
    assert order["nmb"] == ["p", "price", "unused"]  # 210, 70, 0
    price = line(table, "nmb", "price")
    # nmb = 200 * 2 p - price + 300 p
    np.testing.assert_allclose(
        price[["low_value", "high_value", "at_low", "at_base", "at_high", "width"]].astype(float),
        [50, 120, 90, 40, 20, 70],
        rtol=1e-12,
    )


def test_a_strategy_that_dominates_or_is_dominated_has_no_icer():
    table = tornado(screening, BASE, {"p": (0.1, 0.4), "price": (70.0, 120.0)}, "screen", "none", wtp=200)
    p, price = line(table, "icer", "p"), line(table, "icer", "price")
    assert p["at_low"] == pytest.approx(70 / 0.2)
    assert p["at_base"] == pytest.approx(40 / 0.4)
    assert math.isnan(p["at_high"])  # saves 20 and gains 0.8
    assert math.isnan(p["width"])
    assert price["width"] == pytest.approx(50 / 0.4)
    assert table[table["outcome"] == "icer"]["parameter"].tolist() == ["price", "p"]
    reverse = tornado(screening, BASE, {"p": (0.1, 0.4)}, "none", "screen", wtp=200)
    # Doing nothing gains no effect at all: cheaper and worse, or dominated.
    assert reverse[reverse["outcome"] == "icer"][["at_low", "at_base", "at_high"]].isna().all(axis=None)


def test_two_way_gives_the_best_strategy_at_every_point_of_the_grid():
    table = two_way(screening, BASE, {"p": (0.0, 0.4), "price": (50.0, 250.0)}, wtp=200, n_points=5)
    assert list(table.columns) == ["p", "price", "strategy", "nmb", "margin"]
    assert table["p"].tolist() == pytest.approx(np.repeat([0, 0.1, 0.2, 0.3, 0.4], 5).tolist())
    assert table["price"].tolist() == [50, 100, 150, 200, 250] * 5
    gain = 700 * table["p"] - table["price"]
    assert (table["strategy"] == np.where(gain > 1e-9, "screen", "none")).all()
    np.testing.assert_allclose(table["margin"], gain.abs(), atol=1e-9)
    np.testing.assert_allclose(table["nmb"], 1000 + gain.clip(lower=0), rtol=1e-12)


def test_of_equal_strategies_the_first_is_named_and_one_alone_has_no_margin():
    same = two_way(
        lambda v: {"b": (v["p"], 1.0), "a": (v["p"], 1.0)}, BASE, {"p": (0, 1), "price": (0, 1)}, 5, n_points=2
    )
    assert same["strategy"].tolist() == ["b"] * 4
    assert same["margin"].tolist() == [0] * 4
    alone = two_way(lambda v: {"a": (v["p"], 1.0)}, BASE, {"p": (0, 1), "price": (0, 1)}, wtp=5, n_points=2)
    assert alone["margin"].isna().all()


def test_a_model_that_changes_its_values_does_not_spoil_the_next_run():
    def careless(values):
        values["p"] += 1
        return {"a": (values["p"], 0.0)}

    table = one_way(careless, BASE, {"price": (1.0, 2.0)})
    assert table["cost"].tolist() == [1.2, 1.2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ranges": {"q": (0, 1)}}, "ranges: found 'q'; expected parameters of base: p, price, unused"),
        ({"ranges": {}}, "ranges: found no parameter"),
        ({"ranges": {"p": (0.4, 0.1)}}, r"ranges\['p'\]: found \(0.4, 0.1\)"),
        ({"ranges": {"p": (0.1, math.nan)}}, r"ranges\['p'\]"),
        ({"ranges": {"p": 0.1}}, r"ranges\['p'\]: found 0.1"),
        ({"base": BASE | {"p": math.inf}}, r"base\['p'\]: found inf"),
        ({"base": BASE | {"p": "0.2"}}, r"base\['p'\]: found '0.2'"),
        ({"n_points": 1}, "n_points: found 1"),
        ({"model": lambda values: None}, "model: found NoneType returned"),
        ({"model": lambda values: {"a": 3.0}}, "model: found a: 3.0"),
        ({"model": lambda values: {"a": (3.0, math.nan)}}, r"model: found a: \(3.0, nan\)"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    with pytest.raises(InputError, match=message):
        one_way(**({"model": screening, "base": BASE, "ranges": RANGES, "n_points": 2} | change))


def test_unknown_strategies_thresholds_below_zero_and_a_third_range_are_named():
    with pytest.raises(InputError, match="comparator: found 'nothing'; expected one of none, screen"):
        tornado(screening, BASE, RANGES, "screen", "nothing", wtp=200)
    with pytest.raises(InputError, match="wtp: found -1"):
        tornado(screening, BASE, RANGES, "screen", "none", wtp=-1)
    with pytest.raises(InputError, match="wtp: found nan"):
        two_way(screening, BASE, {"p": (0, 1), "price": (0, 1)}, wtp=math.nan)
    with pytest.raises(InputError, match="ranges: found 3 parameters; expected two"):
        two_way(screening, BASE, RANGES, wtp=200)
