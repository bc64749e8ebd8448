"""Screening value: what does AI change for a screening site, per 1,000 people screened and per year?"""

import streamlit as st

from dashboard import components
from dashboard.components import plain
from dashboard.decision import panel
from dashboard.economics import bridge, loaders, scenario_card, state, value_cards, words
from dashboard.economics.scenario_card import Control
from market.errors import MarketError
from market.scenarios import Scenario

POLL_SECONDS = 1.0
INTERVALS_OF = "intervals_of"
"""Session key of the scenario whose intervals are waited for."""


def controls(scenario: Scenario) -> dict[str, list[Control]]:
    """The page's sliders by group, as far as the way of reading uses them."""
    site = [
        Control("read_seconds", "Minutes per read", "minutes", stretch=2),
        Control("c_reader_hour", "Reader, per hour", "money", from_zero=True, stretch=1.5),
        Control("share_reader_time_cash", "Reader time in cash", "percent", from_zero=True, stretch=2),
    ]
    ai = [
        scenario_card.price_control(scenario.pricing),
        Control("c_ai_setup", "Set-up, once", "thousands", from_zero=True),
        Control("c_ai_integration", "Integration, once", "thousands", from_zero=True),
    ]
    if scenario.strategy == "concurrent":
        ai += [
            Control("concurrent_sensitivity_gain", "Sensitivity gained", "percent", stretch=2),
            Control("concurrent_specificity_gain", "Specificity gained", "percent", stretch=2),
        ]
        site.insert(1, Control("concurrent_seconds_saved", "Minutes saved", "minutes", from_zero=True))
    elif scenario.strategy in ("second_reader", "triage"):
        ai += [
            Control("ai_sensitivity", "Sensitivity alone", "percent", from_zero=True, stretch=2),
            Control("ai_specificity", "Specificity alone", "percent", from_zero=True, stretch=2),
        ]
    if scenario.strategy == "second_reader":
        site.insert(
            1, Control("second_reader_seconds_added", "Minutes added", "minutes", from_zero=True, stretch=2)
        )
    people = [
        Control("share_starting", "Uptake, starting a year", "percent", from_zero=True, stretch=2),
        Control("adherence", "Return when due", "percent", from_zero=True, stretch=2),
    ]
    return {"AI": [] if scenario.strategy == "double" else ai, "Site": site, "People": people}


def choices() -> None:
    """What is compared, the contract, volume and years."""
    scenario_card.comparison()
    if state.current().strategy != "double":
        scenario_card.contract()
    scenario_card.volume_slider()
    scenario_card.years_slider()


@st.fragment
@components.told()
def body(said: str) -> None:
    """Choices and all figures; what is redrawn when a slider is released. `said` is the lead above them."""
    scenario = state.current()
    if lead(scenario) != said:
        st.rerun()
    begun = st.session_state.get(INTERVALS_OF)
    if begun is not None and begun != scenario:
        loaders.stop_intervals(begun)
    left, right = st.columns([3, 7], gap="medium")
    with left:
        scenario_card.card(controls(scenario), choices, {"AI": bridge.choose})
    with right:
        state.show_notices()
        try:
            figures(scenario)
        except MarketError as error:
            panel.cannot(scenario, error, "What AI changes")


def figures(scenario: Scenario) -> None:
    """The answer and why, with intervals as soon as they are there."""
    tables, problem = loaders.tables(scenario), None
    try:
        ready = loaders.intervals(scenario, begin=False)
        tables = ready or tables
    except MarketError as error:
        ready, problem = None, error
    currency = loaders.parameters(scenario).currency
    whose = value_cards.whose_money()
    value_cards.answer(scenario, tables, whose, currency)
    if problem is not None:
        st.caption(f"**No intervals.** {plain(problem.name)}: found {plain(problem.found)} in a draw.")
    bridge.notice(scenario)
    with st.container(border=True):
        value_cards.waterfall(scenario, tables, whose, currency)
    with st.container(border=True):
        value_cards.years(scenario, tables, whose, currency)
    one, two = st.columns(2, gap="small")
    with one, st.container(border=True, height="stretch"):
        value_cards.prices(scenario, tables, whose, currency)
    with two, st.container(border=True, height="stretch"):
        value_cards.investment(scenario, tables, whose, currency)
    value_cards.change_table(scenario, tables)
    bridge.sweep_part(scenario, currency)
    value_cards.provenance(scenario)
    if ready is None and problem is None:
        wait(scenario)


@st.fragment(run_every=POLL_SECONDS)
def wait(scenario: Scenario) -> None:
    """Begins with the intervals a moment after the last change; draws the page again once they are ready."""
    first = st.session_state.get(INTERVALS_OF) != scenario
    st.session_state[INTERVALS_OF] = scenario
    if first:
        return
    try:
        ready = loaders.intervals(scenario) is not None
    except MarketError:
        ready = True  # the page says what is wrong
    if ready:
        st.rerun()


def lead(scenario: Scenario) -> str:
    """Whom, where, money and year, in a line."""
    money = words.money_line(loaders.parameters(scenario).currency, loaders.PRICE_YEAR)
    place = words.SETTINGS[scenario.setting]
    subject = words.capital(words.STRATEGIES[scenario.strategy])
    return f"{subject}, compared with {words.STRATEGIES[scenario.comparator]}. {place}, {money}, undiscounted."


said = lead(state.current())
with components.head("What does AI change for a screening site?", said):
    scenario_card.share("screening-value")
body(said)
