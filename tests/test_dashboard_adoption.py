"""Adoption and market in AppTest: the curves, the sizes, every factor, and a series of one's own."""

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.outlook.loaders import OWN, fan, fit, outlook, read_series, size
from market import commands
from market.analysis import scenario_parameters
from market.errors import InputError
from market.market_size import NEEDS
from market.scenarios import Scenario
from tests.pages import control, opened

VCR = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]
"""Sales in 1,000, 1980 to 1989, as in tests/test_adoption.py."""


def page(**query: str) -> AppTest:
    return opened("adoption", **query)


def test_the_page_shows_the_numbers_of_the_command_line():
    scenario = Scenario("scenario", "us")
    report = commands.adoption(scenario, scenario_parameters(scenario), 10, 0)
    table = report.tables["by_year"].frame
    base = table[table["scenario"] == "base"].set_index("year")["revenue"]
    own = outlook(scenario).curves.query("curve == 'yours'").set_index("year")["revenue"]
    assert own.tolist() == base.tolist()


def test_the_visitors_curve_is_the_base_one_until_a_slider_moves():
    assert outlook(Scenario("scenario", "us")).is_base
    moved = outlook(Scenario("scenario", "us", overrides=((OWN[1], 0.4),)))
    assert not moved.is_base
    last = moved.curves[moved.curves["year"] == 10].set_index("curve")["share"]
    assert last["yours"] > last["base"]
    published = outlook(Scenario("scenario", "us")).curves.query("curve == 'base'")["share"]
    assert moved.curves.query("curve == 'base'")["share"].tolist() == published.tolist()


def test_the_fan_holds_its_median_and_opens_to_both_sides():
    found = fan(Scenario("scenario", "us"), "revenue")
    assert (found["low"] < found["low_half"]).all()
    assert (found["low_half"] < found["median"]).all()
    assert (found["high_half"] < found["high"]).all()


def test_added_up_each_year_is_at_least_the_year_before():
    found = fan(Scenario("scenario", "us"), "scans", so_far=True)
    assert (found["median"].diff().dropna() > 0).all()


def test_the_page_answers_with_sizes_and_factors():
    app = page()
    assert "Sites would join fastest" in app.header[0].value
    assert [metric.label for metric in app.metric] == ["Total, a year", "In reach, a year", "One vendor, a year"]
    assert len(app.table[0].value) == len(size(Scenario("scenario", "us")).table)


def test_a_setting_without_curves_still_tells_what_it_can():
    app = page(setting="eu")
    assert "cannot be told" in app.header[0].value
    assert app.metric[0].value != "–"
    assert app.metric[1].value == "–"
    assert any("SAM is left out" in caption.value for caption in app.caption)


def test_a_slider_moves_the_curve_and_the_link():
    app = page()
    before = app.header[0].value
    app.slider(key="slider-bass_q_base").set_value(33.0).run()
    assert app.header[0].value != before
    assert app.query_params["bass_q_base"] == "0.33"


@pytest.mark.parametrize("key", ["x_what", "x_when"])
def test_a_choice_of_a_link_that_is_not_offered_is_told_and_the_first_is_shown(key):
    app = page(**{key: "bananas"})
    assert "was bananas; expected one of" in app.warning[0].value
    assert app.segmented_control(key=f"choose-{key}").value in ("sites", "year")


def test_a_choice_is_kept_in_the_link():
    app = page(x_what="revenue")
    assert control(app.segmented_control, "choose-x_what").value == "revenue" and not app.warning
    control(app.segmented_control, "choose-x_what").set_value("scans").run()
    assert app.query_params["x_what"] == "scans"


def test_the_first_screen_tells_money_its_year_and_the_width_of_the_answer():
    app = page(setting="uk")
    assert "UK, 2024 pounds sterling" in app.caption[0].value
    assert "95 % of 500 draws: " in " ".join(item.value for item in app.markdown)


def test_a_value_out_of_range_in_a_link_is_told_and_left_out():
    app = page(ceiling_base="7")
    assert "ceiling" in app.warning[0].value
    assert "ceiling_base" not in app.query_params


@pytest.mark.parametrize(
    "text",
    [
        "840\n1470\n2110\n4000",
        "year,new\n1980,840\n1981,1470\n1982, 2110\n1983,4000",
        "840 1470 2110 4000",
        "840; 1470; 2110; 4000",
    ],
)
def test_a_series_is_read_in_the_ways_that_people_write_it(text):
    assert read_series(text) == [840, 1470, 2110, 4000]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1\n2\nthree\n4\n5", "line 3"),
        ("1\n2\n3", "series"),
        ("1\n2\n3\n=4+1\n5", "line 4"),
        ("x" * 30_000, "series"),
    ],
)
def test_what_is_no_series_is_refused_by_its_line(text, name):
    with pytest.raises(InputError, match=name):
        read_series(text)


def test_a_fit_gives_the_published_curve_of_video_recorders():
    found = fit(VCR)
    assert found.fit.m == pytest.approx(sum(VCR), rel=0.15)
    assert found.table["observed"].tolist() == VCR


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2019,120\n2021,150\n2022,170\n2023,160\n2024,140", "line 3"),
        ("2024,140\n2023,160\n2022,170\n2021,150", "line 2"),
        ("1,840\n1,470\n2,110\n4,000", "line 2"),
        ("1\n2\n1e308\n4", "line 3"),
    ],
)
def test_a_series_with_gaps_backwards_or_with_thousands_commas_is_refused(text, line):
    with pytest.raises(InputError, match=line):
        read_series(text)


def test_every_factor_of_the_market_has_a_slider():
    keys = {slider.key for slider in page().slider}
    known = {key for names in NEEDS.values() for key in names}
    assert {f"slider-{key}" for key in known} <= keys


def test_the_published_sizes_name_their_sources_and_money_its_year():
    app = page()
    [band] = [caption.value for caption in app.caption if "from the top down, worldwide" in caption.value]
    assert "](https://signifyresearch.net/" in band
    assert "in 2023" in band
