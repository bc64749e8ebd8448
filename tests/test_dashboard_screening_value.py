"""Screening value in AppTest: links, sliders, the answer with and without intervals, the bridge from a run."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import altair as alt
import pytest
from streamlit.proto.Metric_pb2 import Metric
from streamlit.testing.v1 import AppTest

from dashboard.economics import charts, link, loaders, scenario_card, value_cards, words
from market import value as site_values
from market.analysis import Cancelled
from market.calibration import draw_parameters
from market.natural_history import life_table
from market.scenarios import OperatingPoint
from tests.pages import assert_every_value_is_told, control

CHART = alt.Chart(alt.NamedData("made")).mark_point()
HOME = str(Path(__file__).resolve().parent.parent / "dashboard" / "Home.py")
PAGE = "views/screening_value.py"


def opened(**query: str) -> AppTest:
    """The page as who follows a link with this query sees it."""
    app = AppTest.from_file(HOME, default_timeout=120).run()
    app.switch_page(PAGE)
    for key, value in query.items():
        app.query_params[key] = value
    return calm(app.run())


def calm(app: AppTest) -> AppTest:
    assert [item.value for item in app.exception] == []
    return app


def metrics(app: AppTest) -> dict[str, tuple[str, str]]:
    return {item.label: (item.value, item.delta) for item in app.metric}


def wait_for_intervals(scenario) -> loaders.Tables:
    deadline = time.monotonic() + 120
    while (found := loaders.intervals(scenario)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_the_page_answers_at_once_and_says_that_intervals_follow():
    app = opened(adherence="0.61")
    assert [item.value for item in app.title] == ["What does AI change for a screening site?"]
    tables = loaders.tables(replace(link.DEFAULT, overrides={"adherence": 0.61}))
    net = value_cards.net(tables, "hospital")["change"]
    assert metrics(app)["Net cash"] == (words.thousands(net, "USD", plus=True), value_cards.WAIT)
    assert "intervals follow in a moment" in " ".join(item.value for item in app.caption)
    assert app.query_params == {"adherence": "0.61"}


def test_intervals_of_draws_stand_under_every_metric_once_they_are_there():
    scenario = replace(link.DEFAULT, strategy="triage")
    tables = wait_for_intervals(scenario)
    app = opened(strategy="triage")
    found = metrics(app)
    row = tables.outcomes.set_index("id").loc["reader_hours"]
    ends = words.range_words(row["change_low"], row["change_high"], words.per_1000)
    assert found["Reader hours"] == (words.per_1000(row["change"]), ends)
    assert row["change_high"] < 0  # clear, so that its pill is green
    assert [item.color for item in app.metric if item.label == "Reader hours"] == [Metric.MetricColor.GREEN]
    assert "of 100 model runs" in app.header[0].value
    assert f"95 % intervals of {loaders.DRAWS} draws" in " ".join(item.value for item in app.caption)
    assert {"Net present value", "Payback", "Break-even volume"} <= set(found)


def test_a_moved_slider_changes_the_figures_and_the_address_and_reset_takes_it_back():
    app = opened()
    before = metrics(app)["Net cash"]
    control(app.slider, "slider-c_ai_scan").set_value(40.0).run()
    calm(app)
    assert app.query_params == {"c_ai_scan": "40"}
    assert metrics(app)["Net cash"] != before
    next(item for item in app.button if item.label == "Reset").click().run()
    assert calm(app).query_params == {}
    assert metrics(app)["Net cash"][0] == before[0]
    assert control(app.slider, "slider-c_ai_scan").value == 15


def test_a_value_between_steps_stays_exact_until_its_slider_is_moved():
    app = opened(c_ai_scan="6.123456789")
    assert control(app.slider, "slider-c_ai_scan").value == 6
    control(app.slider, "market_years").set_value(9).run()
    assert calm(app).query_params == {"years": "9", "c_ai_scan": "6.123456789"}


def test_every_drawing_tells_the_browser_the_value_of_every_control():
    app = opened(strategy="triage", years="7", c_ai_scan="40")
    for _ in range(2):
        assert_every_value_is_told(calm(app.run()))
    next(item for item in app.button if item.label == "Reset").click().run()
    assert_every_value_is_told(app)
    assert control(app.slider, "market_years").value == 5


def test_a_browser_that_sends_what_it_was_given_changes_nothing(monkeypatch):
    calls = []
    monkeypatch.setattr(scenario_card.st, "slider", lambda *given, **more: calls.append(more["on_change"]))
    monkeypatch.setattr(scenario_card.st, "session_state", {"slider-ai_sensitivity": 91.0, "market_volume": 160.0})
    monkeypatch.setattr(scenario_card.state, "current", lambda: replace(link.DEFAULT, strategy="triage"))
    changed = []
    monkeypatch.setattr(scenario_card.state, "set_value", lambda *given: changed.append(given))
    monkeypatch.setattr(scenario_card.state, "change", lambda **given: changed.append(given))
    scenario_card.slider(scenario_card.Control("ai_sensitivity", "Sensitivity", "percent", from_zero=True))
    scenario_card.volume_slider()
    for moved in calls:
        moved()
    assert changed == []
    scenario_card.st.session_state.update({"slider-ai_sensitivity": 90.0, "market_volume": 170.0})
    for moved in calls:
        moved()
    assert changed == [("ai_sensitivity", 0.9), {"entrants": 170.0}]


def test_every_slider_has_a_unit_or_is_a_count_and_help_with_range_trust_and_source():
    app = opened(strategy="triage", setting="uk")
    sliders = [item for item in app.slider if item.key.startswith("slider-")]
    assert {item.key for item in sliders} >= {
        f"slider-{name}"
        for name in ("c_ai_scan", "ai_sensitivity", "ai_specificity", "read_seconds", "c_reader_hour", "adherence")
    }
    for item in sliders:
        assert ("Sources:" in item.help and "Range:" in item.help) or "Follows from:" in item.help
        assert any(words.TRUST[trust][0] in item.label for trust in words.TRUST)
    price = control(app.slider, "slider-c_ai_scan")
    assert "](http" in price.help and "GBP per scan" in price.help


def test_a_link_that_cannot_be_used_is_told_and_gives_the_defaults():
    app = opened(years="77", uptake="3", nonsense="1", whose="nobody")
    told = " ".join(item.value for item in app.warning)
    for expected in (
        "years was 77",
        "1 to 10",
        "uptake was 3",
        "0 to 1",
        "nonsense is no number",
        "whose was nobody",
    ):
        assert expected in told
    assert control(app.slider, "market_years").value == 5


def test_another_way_of_reading_that_is_its_own_comparator_gets_another_one():
    app = opened()
    control(app.selectbox, "market_strategy").set_value("single").run()
    assert calm(app).query_params == {"strategy": "single", "comparator": "none"}
    assert control(app.selectbox, "market_comparator").value == "none"


@pytest.mark.parametrize(("strategy", "whose"), [("double", "payer"), ("second_reader", "total")])
def test_other_views_of_the_money_and_other_contracts_are_drawn(strategy, whose):
    app = opened(strategy=strategy, whose=whose, setting="uk", pricing="per_year")
    assert app.segmented_control(key="whose-money").value == whose
    assert app.header


def test_another_setting_takes_along_what_is_no_money_and_tells_what_stays():
    app = opened(c_ai_scan="20", adherence="0.6", entrants="300")
    control(app.sidebar.segmented_control, "market_setting").set_value("uk").run()
    assert calm(app).query_params == {"setting": "uk", "adherence": "0.6"}
    told = " ".join(item.value for item in app.warning)
    assert "stayed behind" in told and "AI" in told and "people who start" in told
    assert "2024 pounds sterling" in " ".join(item.value for item in app.sidebar.caption)


@pytest.mark.parametrize("setting", ["eu", "cn"])
def test_a_setting_without_all_numbers_is_no_error_and_says_what_to_do(setting):
    app = opened(setting=setting)
    assert not app.error and not app.header
    told = f"Not for {words.SETTINGS[setting]}: not all numbers are published"
    assert any(told in item.value for item in app.markdown)
    next(item for item in app.button if item.label == "Show UK").click().run()
    assert calm(app).header and app.query_params == {"setting": "uk"}


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_price_beyond_all_numbers_is_named_with_what_to_do():
    app = opened(c_ai_scan="1e308")
    assert "cannot be told for this scenario" in app.warning[0].value and "reset" in app.warning[0].value


def test_a_browser_that_sends_no_setting_yet_changes_nothing(monkeypatch):
    changed = []
    monkeypatch.setattr(scenario_card.state, "change", lambda **fields: changed.append(fields))
    monkeypatch.setattr(scenario_card.st, "session_state", {"market_setting": None})
    scenario_card.choose_setting()
    assert changed == []
    monkeypatch.setattr(scenario_card.st, "session_state", {"market_setting": "uk"})
    scenario_card.choose_setting()
    assert changed == [{"setting": "uk"}]


def test_the_scenario_outlives_a_visit_to_other_pages():
    app = opened(strategy="triage", years="7")
    app.switch_page("views/overview.py").run()
    app.query_params.clear()
    app.switch_page(PAGE).run()
    assert calm(app).query_params == {"strategy": "triage", "years": "7"}
    assert control(app.slider, "market_years").value == 7


def test_going_back_in_the_browser_brings_back_the_scenario(monkeypatch):
    from dashboard.economics import state

    monkeypatch.setattr(state, "STALE_SECONDS", 0.0)
    app = opened(years="3")
    control(app.slider, "market_years").set_value(9).run()
    assert app.query_params == {"years": "9"}
    app.query_params["years"] = "3"
    app.run()
    assert control(calm(app).slider, "market_years").value == 3


def test_an_address_of_just_before_a_change_does_not_undo_it():
    app = opened(years="3")
    control(app.slider, "market_years").set_value(9).run()
    app.query_params["years"] = "3"  # as a browser sends it that has not heard of the change yet
    app.run()
    assert control(calm(app).slider, "market_years").value == 9


def test_counts_of_a_run_come_by_link_with_a_warning_and_vary_in_the_intervals():
    app = opened(strategy="triage", run="demo", threshold="0.42", tp="296", fn="38", tn="784", fp="71")
    [warning] = app.warning
    assert "Slice-level accuracy on a curated set is not screening accuracy." in warning.value
    assert "296 of 334, 784 of 855" in warning.value and "run demo\\, threshold 0\\.42" in warning.value
    point = OperatingPoint(296, 38, 784, 71)
    fixed = {"ai_sensitivity": 296 / 334, "ai_specificity": 784 / 855}
    counted = loaders.with_intervals(replace(link.DEFAULT, strategy="triage", operating_point=point), 60)
    set_by_hand = loaders.with_intervals(replace(link.DEFAULT, strategy="triage", overrides=fixed), 60)
    assert counted.outcomes["change"].tolist() == set_by_hand.outcomes["change"].tolist()
    widths = [
        table.outcomes.set_index("id").eval("change_high - change_low")["deaths_averted"]
        for table in (counted, set_by_hand)
    ]
    assert widths[0] > widths[1]
    next(item for item in app.button if "accuracy again" in item.label).click().run()
    assert "tp" not in calm(app).query_params and not app.warning


def test_counts_on_a_way_of_reading_that_does_not_use_them_are_told():
    app = opened(tp="9", fn="1", tn="8", fp="2")
    assert "does not use it" in app.warning[0].value


def test_counts_and_sweep_of_a_run_are_those_of_its_predictions():
    import pandas as pd

    from core import runs

    frame = pd.read_parquet(runs.RUNS / "demo" / "predictions.parquet")
    frame = frame[frame["scheme"] == "group"]
    called, true = frame["p_tumour"] >= 0.4, frame["label"] == "tumour"
    found = loaders.counts("demo", "group", "tumour", 0.4)
    expected = ((called & true).sum(), (~called & true).sum(), (~called & ~true).sum(), (called & ~true).sum())
    assert tuple(vars(found).values()) == expected
    diseased = loaders.counts("demo", "group", loaders.DISEASED, 0.4)
    assert diseased.true_positives + diseased.false_negatives == (frame["label"] != "normal").sum()

    scenario = replace(link.DEFAULT, strategy="triage")
    table = loaders.sweep(scenario, "demo", "group", "tumour")
    assert 15 <= len(table) <= loaders.SWEEP_POINTS + 3
    assert table["best"].sum() == 1 and table.loc[table["best"], "nmb"].iloc[0] == table["nmb"].max()
    row = table.iloc[len(table) // 2]
    point = {"ai_sensitivity": row["sensitivity"], "ai_specificity": row["specificity"]}
    base = loaders.base_case(replace(scenario, overrides=point)).table.set_index("strategy")["nmb"]
    assert row["nmb"] == pytest.approx(base["triage"] - base["single"], rel=1e-6)


def sweep_page() -> None:
    """The sweep alone, of the scenario in the address."""
    from dashboard.economics import bridge, state

    bridge.sweep(state.current(), "USD")


def test_the_sweep_is_of_the_run_in_the_link_and_marks_what_the_scenario_uses(monkeypatch):
    drawn = []
    monkeypatch.setattr(charts, "sweep", lambda table, chosen, symbol: drawn.append(chosen) or CHART)
    app = AppTest.from_function(sweep_page, default_timeout=120)
    for key, value in {
        "strategy": "triage",
        "run": "reference",
        "tp": "9",
        "fn": "1",
        "tn": "3",
        "fp": "1",
    }.items():
        app.query_params[key] = value
    calm(app.run())
    assert app.selectbox(key="sweep-run").value == "reference"
    assert drawn[-1]["specificity"] == 0.75
    assert "dashed: the specificity that this scenario has, 0.75" in " ".join(item.value for item in app.markdown)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (words.money(11_100, "USD"), "$11,100"),
        (words.money(-0.351, "GBP"), "−£0.35"),
        (words.thousands(25_000, "GBP", plus=True), "+£25.0k"),
        (words.thousands(-1_250_000, "USD"), "−$1.25m"),
        (words.thousands(999.7, "USD"), "$1.00k"),
        (words.thousands(0.0, "USD", plus=True), "$0"),
        (words.per_1000(-21.4), "−21"),
        (words.per_1000(0.5), "+0.50"),
        (words.per_1000(-0.03), "−0.03"),
        (words.per_1000(-0.0), "0"),
        (words.years(5.62), "5.6 years"),
        (words.years(1.0), "1 year"),
        (words.years(float("inf")), "never"),
        (words.percent(0.187, 1), "18.7 %"),
        (words.qalys(-0.00123), "−0.0012"),
        (words.significant(9.996), "10.0"),
        (words.significant(0.0123456), "0.0123"),
        (words.significant(11_149.0), "11,100"),
        (words.range_words(0.75, 0.8, words.number), "0.750 to 0.800"),
        (words.exact(-0.1), "−0.1"),
        (words.given(-0.035), "−0.035"),
        (words.given(12_760_000.0), "12,760,000"),
        (words.given(5.0), "5"),
        (words.given(0.0), "0"),
    ],
)
def test_numbers_are_said_as_people_say_them(said, expected):
    assert said == expected


def test_intervals_of_a_scenario_that_is_left_are_given_up_and_can_be_asked_for_again():
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        loaders.with_intervals(link.DEFAULT, 40, cancel)
    line, asked = loaders.Background(), []
    begun, go = threading.Event(), threading.Event()

    def work(stop: threading.Event) -> str:
        asked.append(stop)
        begun.set()
        assert go.wait(60)
        return "stopped" if stop.is_set() else "done"

    assert line.result("a", work) is None and begun.wait(60)
    line.stop("a")
    assert asked[0].is_set() and line.result("a", None) is None
    go.set()
    deadline = time.monotonic() + 60
    while (found := line.result("a", work)) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert found == "done" and len(asked) == 2
    line.stop("a")  # does nothing to what has ended
    assert line.result("a", None) == "done"


def test_intervals_worked_on_piece_by_piece_are_those_of_the_whole_to_the_last_digit():
    scenario = loaders.numbers_of(link.DEFAULT)
    values = draw_parameters(loaders.parameters(scenario), 230, scenario.seed)
    terms = (scenario.strategy, scenario.comparator, scenario.years, scenario.entrants, scenario.pricing)
    whole = site_values.site_value(values, life_table(scenario.setting), *terms)
    table = site_values.outcome_table(loaders.site(scenario).found, whole)
    assert loaders.with_intervals(scenario, 230).outcomes.equals(table)
