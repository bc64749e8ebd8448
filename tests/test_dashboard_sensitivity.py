"""Sensitivity: crossings, areas of a map, the tornado in words, charts, and the page in AppTest."""

import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.decision import loaders, range_cards, range_charts
from market import analysis, dsa
from market.errors import InputError
from market.scenarios import Scenario
from tests.pages import control

ROOT = Path(__file__).resolve().parent.parent
US = Scenario("base", "us")
WORTH = 100_000.0


@pytest.fixture(scope="module", autouse=True)
def apart(tmp_path_factory):
    """Jobs and kept results of this file alone."""
    patch = pytest.MonkeyPatch()
    patch.setattr(loaders, "CACHE", tmp_path_factory.mktemp("cache"))
    loaders.jobs.clear()
    yield
    patch.undo()
    loaders.jobs.clear()


@pytest.fixture(scope="module")
def tornado():
    return loaders.tornado(US, "concurrent", "single")


def ended(job, seconds: float = 90):
    until = time.monotonic() + seconds
    while job.going and time.monotonic() < until:
        time.sleep(0.01)
    return job


# Where the best changes


def test_a_crossing_lies_where_straight_lines_meet():
    values = [0.0, 10.0, 20.0]
    gain = np.array([[0.0, -3.0], [0.0, 1.0], [0.0, 5.0]])
    [(at, before, after)] = dsa.crossings(values, gain)
    assert (at, before, after) == (7.5, 0, 1)


def test_no_crossing_where_one_is_best_throughout():
    assert dsa.crossings([0.0, 1.0], np.array([[2.0, 1.0], [2.0, 1.5]])) == []


def test_values_that_fall_or_do_not_fit_are_refused():
    with pytest.raises(InputError, match="rising"):
        dsa.crossings([1.0, 0.0], np.zeros((2, 2)))
    with pytest.raises(InputError, match="rising"):
        dsa.crossings([0.0, 1.0, 2.0], np.zeros((2, 2)))


def test_each_area_of_a_map_has_one_name_inside_it_and_specks_have_none():
    best = np.zeros((20, 20), dtype=int)
    best[:, 12:] = 3
    best[:6, :4] = 3
    best[19, 0] = 5
    places = dsa.area_places(best)
    assert sorted(found for _, _, found in places) == [0, 3, 3]
    assert all(best[row, column] == found for row, column, found in places)
    [centre] = [(row, column) for row, column, found in places if found == 3 and column > 11]
    assert 8 <= row_of(centre) <= 11 and 14 <= centre[1] <= 17


def row_of(place: tuple[int, int]) -> int:
    return place[0]


# The tornado


def test_the_tornado_is_that_of_the_command_line(tornado):
    theirs = analysis.tornado(analysis.scenario_parameters(US), "concurrent", "single")
    for outcome, ours in (("nmb", "nmb"), ("cost", "cost")):
        rows = range_cards.outcomes(tornado, ours, WORTH).set_index("parameter")
        found = theirs[theirs["outcome"] == outcome].set_index("parameter").loc[rows.index]
        assert rows["at_low"].tolist() == found["at_low"].tolist()
        assert rows["at_high"].tolist() == found["at_high"].tolist()
    assert range_cards.outcomes(tornado, "nmb", WORTH)["parameter"].iloc[0] == "concurrent_specificity_gain"


def test_a_cost_per_qaly_is_told_in_words_where_it_is_no_price(tornado):
    rows = range_cards.outcomes(tornado, "icer", WORTH)
    assert rows["at_base"].isna().all()
    assert set(rows["base_says"]) == {"costs more for the same health"}
    shown = rows[["at_low", "at_high"]].to_numpy().ravel()
    assert (shown[~np.isnan(shown)] > 0).all()
    row = rows.set_index("parameter").loc["concurrent_specificity_gain"]
    assert (row["low_says"], row["high_says"]) == (
        "costs more and gains less health",
        "saves money and gains health",
    )
    assert range_cards.say("icer", math.nan, "USD") == "no price"


def test_the_tornado_follows_the_worth_of_a_qaly_without_the_model(tornado):
    free = range_cards.outcomes(tornado, "nmb", 0.0)
    assert free["at_high"].tolist() == (-range_cards.outcomes(tornado, "nmb", 0.0)["cost_high"]).tolist()
    assert loaders.tornado(Scenario("x", "us", overrides=(("wtp", 5.0),)), "concurrent", "single").equals(tornado)


def test_every_number_of_the_tornado_has_a_curve_whose_ends_are_the_bars_ends(tornado):
    rows = tornado.set_index("parameter")
    for key in ("c_ai_scan", "screen_interval_years", "clinical_share_ia", "c_reader_hour_eur"):
        values, cost, _ = loaders.one_way(US, key)
        ends = [rows.loc[key, "low_value"], rows.loc[key, "high_value"]]
        assert [values[0], values[-1]] == pytest.approx(ends)
        gained = cost[:, 3] - cost[:, 1]
        assert [gained[0], gained[-1]] == pytest.approx([rows.loc[key, "cost_low"], rows.loc[key, "cost_high"]])


def test_the_price_at_which_the_best_buy_changes_is_where_both_are_worth_the_same():
    values, cost, qalys = loaders.one_way(US, "c_ai_scan")
    [(price, before, after)] = loaders.crossings(values, WORTH * qalys - cost)
    assert (before, after) == (3, 1)
    at = analysis.base_case(analysis.scenario_parameters(Scenario("at", "us", overrides=(("c_ai_scan", price),))))
    worth = at.table.set_index("strategy")["nmb"]
    assert worth["concurrent"] == pytest.approx(worth["single"], abs=0.01)


def test_the_map_is_that_of_the_command_line():
    ids = ("c_ai_scan", "concurrent_specificity_gain")
    job = ended(loaders.map_job(US, ids))
    one, two, cost, qalys = job.result
    theirs = analysis.two_way(analysis.scenario_parameters(US), ids, loaders.TWO_WAY_POINTS)
    best = (WORTH * qalys - cost).argmax(axis=-1)
    assert [analysis.STRATEGIES[i] for i in best.ravel()] == theirs["strategy"].tolist()
    assert np.repeat(one, len(two)).tolist() == theirs[ids[0]].tolist()
    assert loaders.map_job(US, ids) is job


def test_a_map_of_numbers_that_do_not_go_together_says_which():
    job = ended(loaders.map_job(US, ("start_age", "screen_stop_age")))
    assert job.state == "failed"
    assert job.error.name == "screen_stop_age"


# Words and charts


def test_ends_of_ranges_are_written_with_their_units():
    assert range_cards.value_words(15.0, "USD per scan") == "$15"
    assert range_cards.value_words(0.44, "probability") == "44.0 %"
    assert range_cards.value_words(-0.035, "probability difference") == "−3.5 points"
    assert range_cards.value_words(0.5, "years") == "0.5"


def test_words_at_a_bars_ends_never_stand_on_its_other_side(tornado):
    rows = range_cards.outcomes(tornado, "cost", WORTH).head(10)
    rows = rows.assign(name=rows["label"], low_words="low", high_words="high")
    base = float(rows["at_base"].iloc[0])
    drawn = range_charts.tornado(rows, base, "cost", "$", None).to_dict()["datasets"]["bars"]
    for row in drawn:
        assert row["place"] <= base if row["left"] else row["place"] >= base
    pairs = {}
    for row in drawn:
        pairs.setdefault(row["parameter"], []).append(row["left"])
    assert all(sorted(pair) == [False, True] for pair in pairs.values())


def test_cells_of_the_map_fill_it_without_gaps():
    low, high = range_charts.sides(np.array([1.0, 2.0, 4.0]))
    assert low.tolist() == [1.0, 1.5, 3.0]
    assert high.tolist() == [1.5, 3.0, 4.0]


# The page


def opened(**query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=90)
    app.query_params.update({"x_draws": "1000", **query})
    app.run()
    app.switch_page("views/sensitivity.py").run()
    for _ in range(120):
        if not [item for item in app.button if item.label == "Stop"]:
            break
        time.sleep(0.5)
        app.run()
    assert [item.value for item in app.exception] == []
    return app


def test_the_page_names_the_numbers_that_turn_the_choice():
    app = opened()
    assert [item.value for item in app.title] == ["Which numbers decide the answer?"]
    assert (
        app.header[0].value == "3 of 75 numbers can turn the choice between AI read alongside and one reader, no AI"
    )
    text = "\n".join(item.value for item in app.markdown)
    assert "Change in specificity with concurrent AI moves it most" in text
    assert "With all numbers drawn together, it is worth its cost in" in text
    assert "Which strategy is best at any two values?" in text


def test_a_number_and_an_outcome_of_the_link_are_shown_and_kept():
    app = opened(x_number="c_ai_scan", x_outcome="cost")
    assert control(app.selectbox, "choose-x_number").value == "c_ai_scan"
    assert control(app.selectbox, "choose-x_outcome").value == "cost"
    assert any("Up to $4.83 the best buy is AI read alongside" in item.value for item in app.markdown)
    control(app.selectbox, "choose-x_number").select("adherence").run()
    assert app.query_params["x_number"] in ("adherence", ["adherence"])


def test_an_unknown_number_of_a_link_becomes_a_notice_and_the_widest():
    app = opened(x_number="nonsense")
    [notice] = [item.value for item in app.warning]
    assert "The number was nonsense" in notice
    assert control(app.selectbox, "choose-x_number").value == "concurrent_specificity_gain"


def test_there_is_no_bar_for_what_is_no_price():
    app = opened(x_outcome="icer")
    text = "\n".join(item.value for item in app.markdown)
    assert "There is no cost per QALY to vary" in text
    assert "With base values it costs more for the same health" in text


def test_the_map_is_drawn_when_asked():
    app = opened(x_first="c_ai_scan", x_second="concurrent_specificity_gain")
    [button] = [item for item in app.button if item.label == "Draw the map"]
    button.click().run()
    for _ in range(60):
        if any("on most of the map" in item.value for item in app.markdown):
            break
        time.sleep(0.5)
        app.run()
    assert any("One reader, no AI is the best buy on most of the map" in item.value for item in app.markdown)


def test_the_charts_look_stays_when_the_worth_of_a_qaly_moves(tornado):
    looks = set()
    for wtp in (20_000.0, 100_000.0, 150_000.0):
        rows = range_cards.outcomes(tornado, "nmb", wtp).head(5)
        rows = rows.assign(name=rows["label"], low_words="a", high_words="b")
        spec = range_charts.tornado(rows, rows["at_base"].iloc[0], "nmb", "$", None).to_dict()
        ends = [point["at"] for point in spec.pop("datasets")["room"]]
        assert (
            ends[0] < rows[["at_low", "at_high"]].min().min() and ends[1] > rows[["at_low", "at_high"]].max().max()
        )
        looks.add(json.dumps(spec, sort_keys=True))
    assert len(looks) == 1
