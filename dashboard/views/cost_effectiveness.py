"""Cost-effectiveness: is AI-assisted reading worth its cost? A moving threshold through draws of the model."""

import streamlit as st

from dashboard import components
from dashboard.decision import cards, loaders, panel, sources
from dashboard.economics import bridge, scenario_card, state, words
from dashboard.economics import loaders as economics
from market.errors import MarketError
from market.scenarios import Scenario

SOURCE = "Lung screening model, cited parameters; see Sources."


def controls(scenario: Scenario, n: int) -> float:
    """Worth of a QALY, what is compared, number of draws; returns the worth of a QALY."""
    with st.container(border=True), st.grid(4, min_column_width=200, gap="medium"):
        with st.container():
            wtp = scenario_card.wtp_slider()
        scenario_card.comparison()
        panel.choose_n(n)
    return wtp


@st.fragment
def live(drawn: Scenario) -> None:
    """All that follows the threshold. `drawn` is the scenario of the whole page's last drawing."""
    scenario = state.current()
    if (scenario.strategy, scenario.comparator) != (drawn.strategy, drawn.comparator):
        st.rerun()
    n = panel.n_in_link()
    wtp = controls(scenario, n)
    draws = panel.draws(scenario, n)
    if draws is None:
        st.skeleton(480)
        return
    found = loaders.answer(draws, wtp, scenario.strategy, scenario.comparator)
    curves = loaders.curves(draws, wtp)
    cards.headline(scenario, found, draws)
    cards.metrics(scenario, found, draws)
    bridge.notice(scenario)
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, height="stretch"):
        cards.plane(scenario, found, draws, SOURCE)
    with right, st.container(border=True, height="stretch"):
        cards.curves(scenario, found, draws, curves, SOURCE)
    cards.table(scenario, found, draws)
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, height="stretch"):
        cards.certainty(scenario, found, draws, curves, SOURCE)
    with right, st.container(border=True, height="stretch"):
        cards.knowing(scenario, found, draws, SOURCE)


@st.fragment
def cohort(scenario: Scenario) -> None:
    """The cohort has controls of its own and follows no threshold."""
    with st.container(border=True):
        cards.cohort(scenario, SOURCE)


scenario = state.current()
money = words.money_line(economics.sourced(scenario.setting).currency, economics.PRICE_YEAR)
with components.head(
    "Is AI-assisted reading worth its cost?",
    f"Lifetime costs and quality-adjusted life years (QALYs) per person who starts screening. "
    f"{words.SETTINGS[scenario.setting]} health care payer, {money}, both discounted.",
):
    scenario_card.share("cost-effectiveness")
state.show_notices()
try:
    loaders.content(scenario)
    economics.base_case(scenario)
except MarketError as error:
    panel.cannot(scenario, error, "Cost-effectiveness")
    st.stop()
live(scenario)
cohort(scenario)
sources.card(scenario)
