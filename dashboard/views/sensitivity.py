"""Sensitivity: which numbers decide the answer? Tornado, the curve of one number, the map of two, draws of all."""

import pandas as pd
import streamlit as st

from dashboard import components
from dashboard.components import plain
from dashboard.decision import loaders, panel, range_cards, sources
from dashboard.decision.range_cards import OUTCOMES
from dashboard.economics import address, bridge, scenario_card, state, words
from dashboard.economics import loaders as economics
from market.errors import MarketError
from market.scenarios import Scenario

SOURCE = "Lung screening model, cited parameters; see Sources."
OUTCOME, NUMBER, FIRST, SECOND = "x_outcome", "x_number", "x_first", "x_second"
ASKED = "sensitivity_map_asked"


def choose(label: str, key: str, options: list[str], value: str, say, **more: object) -> None:
    """A select box that keeps its choice in the address."""
    st.selectbox(
        label, options, options.index(value), format_func=say, **address.choice(key, value, f"choose-{key}"), **more
    )


def controls(outcome: str) -> float:
    """Worth of a QALY, what is compared, which outcome; returns the worth of a QALY."""
    with st.container(border=True), st.grid(4, min_column_width=200, gap="medium"):
        with st.container():
            wtp = scenario_card.wtp_slider()
        scenario_card.comparison()
        choose("What is watched", OUTCOME, list(OUTCOMES), outcome, OUTCOMES.get)
    return wtp


def answer(scenario: Scenario, table: pd.DataFrame, wtp: float) -> None:
    """How many numbers can turn the decision between the two, and which."""
    rows = range_cards.outcomes(table, "nmb", wtp)
    base = rows["at_base"].iloc[0]
    turns = rows[((rows["at_low"] > 0) != (base > 0)) | ((rows["at_high"] > 0) != (base > 0))]
    pair = f"{words.STRATEGIES[scenario.strategy]} and {words.STRATEGIES[scenario.comparator]}"
    if turns.empty:
        st.header(f"No single number turns the choice between {pair}", anchor=False)
    else:
        count = f"{len(turns)} of {len(rows)} numbers" if len(turns) > 1 else f"1 of {len(rows)} numbers"
        said = "can turn" if len(turns) > 1 else "alone can turn"
        st.header(f"{count} {said} the choice between {pair}", anchor=False)
    currency = economics.parameters(scenario).currency
    named = "; ".join(f"{words.trust_sign(row.trust)} {plain(row.label)}" for row in turns.head(4).itertuples())
    more = f"; and {len(turns) - 4} more" if len(turns) > 4 else ""
    st.markdown(
        f"With base values the net benefit is {words.money(base, currency, plus=True)} per person at "
        f"{words.money(wtp, currency)} per QALY. "
        + (f"Over its range alone, each of these turns it: {named}{more}." if named else ""),
        width=720,
    )


@st.fragment
def live(drawn: Scenario) -> None:
    """All that follows the threshold and the choices. `drawn` is the scenario of the page's last whole drawing."""
    scenario = state.current()
    if (scenario.strategy, scenario.comparator) != (drawn.strategy, drawn.comparator):
        st.rerun()
    outcome = address.one_of(OUTCOME, list(OUTCOMES), "nmb", "What is watched")
    wtp = controls(outcome)
    table = loaders.tornado(scenario, scenario.strategy, scenario.comparator)
    labels = dict(zip(table["parameter"], table["label"], strict=True))
    widest = range_cards.outcomes(table, "nmb", wtp)["parameter"].tolist()
    chosen = address.one_of(NUMBER, widest, widest[0], "The number")
    answer(scenario, table, wtp)
    bridge.notice(scenario)
    left, right = st.columns([11, 10], gap="small")
    with left, st.container(border=True, height="stretch"):
        clicked = range_cards.tornado(scenario, table, outcome, wtp, chosen, SOURCE)
        range_cards.all_numbers(scenario, table, outcome, wtp)
    if clicked is not None and clicked != chosen and clicked != st.session_state.get("tornado_clicked"):
        st.session_state["tornado_clicked"] = clicked
        st.query_params[NUMBER] = clicked
        st.rerun(scope="fragment")
    with right, st.container(border=True, height="stretch"):
        choose("Number to follow (or click a bar)", NUMBER, widest, chosen, labels.get)
        range_cards.curve(scenario, table.set_index("parameter", drop=False).loc[chosen], outcome, wtp, SOURCE)
    with st.container(border=True):
        two_numbers(scenario, table, widest, labels, wtp)
    with st.container(border=True):
        all_together(scenario, wtp)


def two_numbers(scenario: Scenario, table: pd.DataFrame, widest: list[str], labels: dict, wtp: float) -> None:
    """Choices and map of two numbers."""
    first = address.one_of(FIRST, widest, widest[0], "The first number")
    second = address.one_of(SECOND, widest, next(key for key in widest if key != first), "The second number")
    if first == second:
        second = next(key for key in widest if key != first)
    with st.grid(3, min_column_width=220, gap="small"):
        choose("Across", FIRST, [key for key in widest if key != second], first, labels.get)
        choose("Upwards", SECOND, [key for key in widest if key != first], second, labels.get)
        with st.container(vertical_alignment="bottom", height="stretch"):
            if st.button("Draw the map", icon=":material/grid_on:"):
                st.session_state[ASKED] = True
                panel.start_again()
    range_cards.two_way(scenario, table, (first, second), wtp, st.session_state.get(ASKED, False), SOURCE)


def all_together(scenario: Scenario, wtp: float) -> None:
    """Draws of all numbers at once."""
    n = panel.n_in_link()
    with st.grid(3, min_column_width=220, gap="small"):
        panel.choose_n(n)
    draws = panel.draws(scenario, n)
    if draws is None:
        st.skeleton(240)
        return
    range_cards.spread(scenario, draws, wtp, SOURCE)


scenario = state.current()
money = words.money_line(economics.sourced(scenario.setting).currency, economics.PRICE_YEAR)
with components.head(
    "Which numbers decide the answer?",
    "One number at a time over its range, then two, then all drawn together. Per person who starts screening. "
    f"{words.SETTINGS[scenario.setting]} health care payer, {money}, discounted.",
):
    scenario_card.share("sensitivity")
state.show_notices()
try:
    loaders.content(scenario)
    economics.base_case(scenario)
except MarketError as error:
    panel.cannot(scenario, error, "Sensitivity")
    st.stop()
live(scenario)
sources.card(scenario)
