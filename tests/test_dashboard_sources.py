"""Sources in AppTest: every number, the weakest that matter most first, filters and one number in full."""

import pytest

from dashboard.numbers.loaders import numbers
from market.analysis import scenario_parameters, tornado
from market.scenarios import Scenario
from tests.pages import control, opened

US = Scenario("scenario", "us")


@pytest.fixture(scope="module")
def table():
    return numbers(US)


def test_every_number_of_the_setting_stands_in_the_table(table):
    assert set(table["id"]) == set(scenario_parameters(US).parameters)


def test_the_weakest_stand_first_and_among_them_those_that_move_the_answer_most(table):
    assert table["trust"].drop_duplicates().tolist() == ["memory", "secondary", "read"]
    swings = table.loc[table["trust"] == "memory", "swing"].dropna().tolist()
    assert swings == sorted(swings, reverse=True)


def test_what_a_number_moves_is_the_width_of_its_bar_in_the_tornado(table):
    bars = tornado(scenario_parameters(US), US.strategy, US.comparator)
    bar = bars[(bars["outcome"] == "nmb") & (bars["parameter"] == "c_ai_scan")]["width"].item()
    assert table.set_index("id").loc["c_ai_scan", "swing"] == bar


def test_a_changed_number_is_shown_as_yours():
    app = opened("sources", c_ai_scan="6.5")
    moved = numbers(Scenario("scenario", "us", overrides=(("c_ai_scan", 6.5),))).set_index("id").loc["c_ai_scan"]
    assert (moved["status"], moved["value"]) == ("yours", 6.5)
    assert [metric.value for metric in app.metric if metric.label == "Changed by you"] == ["1"]


def test_words_filter_the_table():
    app = opened("sources")
    control(app.text_input, "x_words").input("radiologist").run()
    shown = app.dataframe[0].value
    assert 0 < len(shown) < 10
    text = shown["Number"] + shown["Source, formula or reason"]
    assert text.str.lower().str.contains("radiologist").all()


def test_no_match_says_what_to_do():
    app = opened("sources", x_words="zeppelin")
    assert any("No number fits" in text.value for text in app.markdown)


def test_a_link_names_numbers_and_one_of_them():
    app = opened("sources", x_ids="c_ai_scan,uptake", x_number="uptake")
    assert len(app.dataframe[0].value) == 2
    assert app.selectbox(key="number").value == "uptake"


def test_a_link_to_a_number_that_is_not_there_is_told():
    app = opened("sources", x_number="<b>nothing</b>")
    assert "nothing" in app.warning[0].value
    assert "<b>" not in app.warning[0].value
    assert len(app.warning[0].value) < 200  # not a list of all numbers


def test_a_number_below_zero_is_written_as_people_write_it():
    app = opened("sources", x_number="concurrent_specificity_gain")
    assert any("−0\\.035 to 0\\.035" in item.value for item in app.markdown)


def test_the_sources_of_a_number_are_links_with_their_place():
    app = opened("sources", x_number="reader_specificity_later")
    entry = scenario_parameters(US).parameters["reader_specificity_later"]
    text = " ".join(part.value for part in app.markdown)
    assert entry.sources
    for source in entry.sources:
        assert f"]({source.link})" in text


def test_an_incomplete_setting_is_listed_without_swings():
    app = opened("sources", setting="eu")
    assert numbers(Scenario("scenario", "eu"))["swing"].isna().all()
    assert len(app.dataframe[0].value) > 10


def test_the_back_button_takes_a_filter_away_again():
    app = opened("sources", x_trust="memory")
    assert control(app.multiselect, "filter-trust").value == ["memory"]
    del app.query_params["x_trust"]
    app.session_state["address-before-x_trust"] = ("", 0.0)  # the link was opened a while ago
    app.run()
    assert control(app.multiselect, "filter-trust").value == []


def test_a_filter_that_is_not_there_is_told_and_left_out():
    app = opened("sources", x_trust="memory,hearsay")
    assert "hearsay" in app.warning[0].value
    assert control(app.multiselect, "filter-trust").value == ["memory"]
