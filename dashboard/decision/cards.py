"""Cards of Cost-effectiveness: answer, metrics, plane, curves, table in words, value of knowing, cohort."""

from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import figure_title, plain
from dashboard.decision import charts, loaders, panel
from dashboard.decision.loaders import Answer, Draws, Spread
from dashboard.decision.words import NAMES, chance, comparison, incremental, name, of_100, per_qaly
from dashboard.economics import words
from dashboard.economics.words import capital, money, per_1000
from dashboard.figure import downloads, figure
from market.scenarios import Scenario

CSS = Path(__file__).with_name("decision.css")
DRAWN = 900
"""Draws in the plane; more cannot be told apart and make it slow."""

HELP = {
    "qalys": "Quality-adjusted life years (QALYs): years of life, each weighted by its quality from 0 to 1. "
    "Discounted. For 1,000 people who start screening.",
    "cost": "All costs over the rest of life, discounted, per person who starts screening.",
    "icer": "Extra cost divided by extra QALYs (ICER). Only where both rise or both fall is it a price; where one "
    "choice is better in both, no ratio is given.",
    "nmb": "Worth of the extra QALYs less the extra cost, per person (incremental net monetary benefit). Above 0: "
    "worth its cost.",
    "evpi": "Expected value of perfect information (EVPI): how much better one would choose, on average, if all "
    "uncertain numbers were known. Research can be worth no more.",
}


def direction(found: Answer, n: int) -> tuple[int, int]:
    """Signs of the mean differences; what could be noise of so many draws counts as no difference."""
    signs = []
    for spread in (found.cost, found.qalys):
        noise = (spread.high - spread.low) / 3.92 / np.sqrt(n)
        signs.append(0 if abs(spread.mean) <= 2 * noise else int(np.sign(spread.mean)))
    cost, qalys = signs
    return loaders.direction(cost, qalys)


def headline(scenario: Scenario, found: Answer, draws: Draws) -> None:
    """The answer as a sentence, and how the strategy of interest does against its comparator."""
    worth = money(found.wtp, draws.currency)
    if found.best == scenario.strategy:
        said = f"At {worth} per QALY, {name(found.best)} is the best buy, with probability {chance(found.p_best)}"
    else:
        said = f"At {worth} per QALY, the best buy is {name(found.best)}, with probability {chance(found.p_best)}"
    st.header(said, anchor=False)
    against = comparison(direction(found, draws.n))
    st.markdown(
        f"Against {name(scenario.comparator)}, {name(scenario.strategy)} {against} on average. "
        f"It is worth its cost in {of_100(found.worthwhile)}, and saves money and gains health in "
        f"{of_100(found.saves_and_gains)}.",
        width=720,
    )


def metrics(scenario: Scenario, found: Answer, draws: Draws) -> None:
    """What the strategy changes against its comparator, each with its 95 % interval."""
    money_ = draws.currency
    thousand = Spread(*(1000 * value for value in (found.qalys.mean, found.qalys.low, found.qalys.high)))
    price, under = per_qaly(direction(found, draws.n), found.cost.mean, found.qalys.mean, money_)
    error = 1.96 * found.evpi_error
    with st.container(border=True), st.grid(5, min_column_width=140, gap="medium"):
        _metric("QALYs per 1,000", per_1000(thousand.mean), _pill(thousand, per_1000), thousand, HELP["qalys"])
        _metric(
            "Extra cost, each",
            money(found.cost.mean, money_, plus=True),
            _pill(found.cost, lambda value: money(value, money_, plus=True)),
            Spread(-found.cost.mean, -found.cost.high, -found.cost.low),
            HELP["cost"],
        )
        st.metric("Cost per QALY", price, delta=under, delta_color="off", delta_arrow="off", help=HELP["icer"])
        _metric(
            "Net benefit, each",
            money(found.nmb.mean, money_, plus=True),
            _pill(found.nmb, lambda value: money(value, money_, plus=True)),
            found.nmb,
            HELP["nmb"],
        )
        pill = f"{money(max(0.0, found.evpi - error), money_)} to {money(found.evpi + error, money_)}"
        value = money(found.evpi, money_)
        st.metric("Worth of certainty", value, delta=pill, delta_color="off", delta_arrow="off", help=HELP["evpi"])
    st.caption(
        f"{NAMES[scenario.strategy]} against {name(scenario.comparator)}, mean of {draws.n:,} draws per person who "
        "starts screening, with 95 % intervals of the draws. Grey pill: the interval includes no difference. Worth "
        "of certainty: all strategies, per person, interval from the number of draws."
    )


def _pill(spread: Spread, say) -> str:
    return f"{say(spread.low)} to {say(spread.high)}"


def _metric(label: str, value: str, pill: str, gain: Spread, help_: str) -> None:
    """A metric whose pill is green or red where the whole interval of the gain lies on one side of none."""
    colour, arrow = "off", "off"
    if gain.low > 0:
        colour, arrow = "green", "up"
    elif gain.high < 0:
        colour, arrow = "red", "down"
    st.metric(label, value, delta=pill, delta_color=colour, delta_arrow=arrow, help=help_)


def plane(scenario: Scenario, found: Answer, draws: Draws, source: str) -> None:
    """Draws of the difference in cost and QALYs, with their ellipse and the threshold."""
    cost, qalys = draws.increments(scenario.strategy, scenario.comparator)
    table = pd.DataFrame({"qalys": 1000 * qalys, "cost": cost})
    ring = pd.DataFrame(loaders.ellipse(cost, 1000 * qalys), columns=["qalys", "cost"])
    mean = 1000 * found.qalys.mean, found.cost.mean
    worth = f"{money(found.wtp, draws.currency)} per QALY"
    drawn = min(DRAWN, draws.n)
    figure(
        charts.plane(table.head(drawn), ring, mean, found.wtp, words.SYMBOLS[draws.currency], worth),
        table.rename(columns={"qalys": "change_in_qalys_per_1000", "cost": f"change_in_cost_{draws.currency}"}),
        sentence=f"{of_100(found.worthwhile).capitalize()} lie on the worthwhile side of the line",
        note=f"{NAMES[scenario.strategy]} against {name(scenario.comparator)}; dot: mean, ellipse: 95 % of draws, "
        "shaded: worth its cost",
        alt_text=f"Scatter plot of {drawn} draws, change in QALYs against change in cost: mean "
        f"{per_1000(mean[0])} QALYs per 1,000 people and {money(mean[1], draws.currency, plus=True)} per person; "
        f"{of_100(found.worthwhile)} below the line of {worth}",
        name="cost-effectiveness-plane",
        live=True,
        source=f"{drawn:,} of {draws.n:,} draws shown. {source}",
    )


KINDS = ["Probability of being best", "Expected loss"]


def curves(scenario: Scenario, found: Answer, draws: Draws, table: pd.DataFrame, source: str) -> None:
    """Acceptability curves with their frontier, or expected loss."""
    key = "decision-curves"
    (_loss if st.session_state.get(key) == KINDS[1] else _acceptability)(scenario, found, draws, table, source)
    st.segmented_control(
        "Curves", KINDS, default=KINDS[0], required=True, key=key, label_visibility="collapsed", width="stretch"
    )


def _loss(scenario: Scenario, found: Answer, draws: Draws, table: pd.DataFrame, source: str) -> None:
    names = {strategy: NAMES[strategy] for strategy in draws.strategies}
    worth = money(found.wtp, draws.currency)
    loss = found.table.set_index("strategy")["expected_loss"]
    own = money(loss[scenario.strategy], draws.currency)
    figure(
        charts.expected_loss(table, scenario.strategy, names, found.wtp, words.SYMBOLS[draws.currency]),
        table[["wtp", "evpi", *(f"loss_{key}" for key in names)]],
        sentence=f"At {worth}, choosing {name(scenario.strategy)} loses {own} a person on average",
        note="Expected loss against the best choice of each draw; pale: the least loss, which is the EVPI",
        alt_text=f"Lines of expected loss by worth of a QALY. At {worth}: "
        + "; ".join(f"{names[key]} {money(loss[key], draws.currency)}" for key in names),
        name="expected-loss",
        live=True,
        source=source,
    )


def _acceptability(scenario: Scenario, found: Answer, draws: Draws, table: pd.DataFrame, source: str) -> None:
    names = {strategy: NAMES[strategy] for strategy in draws.strategies}
    worth, symbol = money(found.wtp, draws.currency), words.SYMBOLS[draws.currency]
    likeliest = found.table.loc[found.table["p_best"].idxmax(), "strategy"]
    never = [names[key] for key in names if key not in set(table["best"])]
    figure(
        charts.acceptability(table, scenario.strategy, names, found.wtp, found.p_best, symbol),
        table[["wtp", "best", "ceaf", *(f"p_{key}" for key in names)]],
        sentence=_acceptability_sentence(found, likeliest, worth),
        note="Acceptability curves (CEAC) of all strategies; pale line and dot: the best on average (CEAF)",
        alt_text=f"Lines of the probability of being the best buy by worth of a QALY. At {worth}: "
        + "; ".join(f"{names[row.strategy]} {chance(row.p_best)}" for row in found.table.itertuples()),
        name="acceptability",
        live=True,
        source=(f"Nowhere the best buy on average: {'; '.join(never)}. " if never else "") + source,
    )


def _acceptability_sentence(found: Answer, likeliest: str, worth: str) -> str:
    if likeliest == found.best:
        return f"At {worth}, {name(found.best)} is the likeliest best buy, and the best on average"
    return f"At {worth}, {name(likeliest)} is best most often, but {name(found.best)} gains more on average"


def table(scenario: Scenario, found: Answer, draws: Draws) -> None:
    """Every strategy with its cost and QALYs, and what they mean, in words."""
    key, kinds = "decision-table", ["Mean of draws", "Base values"]
    base = st.session_state.get(key) == kinds[1]
    icers = loaders.base_case(scenario).icers if base else draws.icers
    rows = incremental(icers, found.wtp, draws.currency)
    worth = [name(row.strategy) for row in rows.itertuples() if row.status == "ND" and row.icer == row.icer]
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            figure_title(
                f"Steps worth considering: {'; '.join(worth) or 'none'}",
                f"Per person who starts screening, {draws.currency}, discounted, cheapest first; QALYs "
                "against no screening; each row is compared with the one above it that is not dominated",
            )
        downloads("incremental-table", rows.drop(columns="strategy"))
    st.html(CSS)
    with st.container(key="incremental"):
        st.table(
            _in_words(scenario, rows, found.wtp, draws.currency),
            border="horizontal",
            hide_index=True,
            alt="Strategies with cost, QALYs and what they mean",
        )
    st.segmented_control(
        "Table of",
        kinds,
        default=kinds[0],
        required=True,
        key=key,
        label_visibility="collapsed",
        help="Mean of draws: cost and QALYs averaged over all draws. Base values: the model run once, every number "
        "at its base value, as `python -m market run` prints it.",
    )


def _in_words(scenario: Scenario, rows: pd.DataFrame, wtp: float, currency: str) -> pd.DataFrame:
    """The table as it is read; the best buy marked, the strategy of interest in bold."""
    none = rows.loc[rows["strategy"] == "none", "qalys"].iloc[0]
    best = (wtp * rows["qalys"] - rows["cost"]).idxmax()
    said = [plain(capital(text)) for text in rows["words"]]
    said[best] = f":primary[:material/check_circle: **{said[best]}**]"
    bold = ["**" if key == scenario.strategy else "" for key in rows["strategy"]]
    return pd.DataFrame(
        {
            "Strategy": [f"{mark}{plain(one)}{mark}" for one, mark in zip(rows["name"], bold, strict=True)],
            "Cost": [money(value, currency) for value in rows["cost"]],
            "QALYs per 1,000": [per_1000(1000 * (value - none)) for value in rows["qalys"]],
            "Extra cost": [_or_dash(value, lambda v: money(v, currency, plus=True)) for value in rows["inc_cost"]],
            "Extra QALYs": [_or_dash(1000 * value, per_1000) for value in rows["inc_qalys"]],
            "Cost per QALY": [_or_dash(value, lambda v: money(v, currency)) for value in rows["icer"]],
            "In words": said,
        }
    )


def _or_dash(value: float, say) -> str:
    return "–" if value != value else say(value)


def certainty(scenario: Scenario, found: Answer, draws: Draws, table: pd.DataFrame, source: str) -> None:
    """What knowing everything would be worth, per person and for all."""
    total, entrants = loaders.population(scenario, found.evpi)
    value = money(found.evpi, draws.currency)
    years = words.years(scenario.years)
    figure(
        charts.certainty(table, found.wtp, found.evpi, value, words.SYMBOLS[draws.currency]),
        table[["wtp", "evpi"]],
        sentence=f"Certainty would be worth at most {value} per person",
        note="Expected value of perfect information (EVPI): what knowing every number before choosing would gain",
        alt_text=f"Area of the EVPI by worth of a QALY: {value} per person at {money(found.wtp, draws.currency)}",
        name="evpi",
        live=True,
        source=f"For {words.number(entrants)} people who start each year, over {years}, discounted: at most "
        f"{words.thousands(total, draws.currency)}. {source}",
    )


def knowing(scenario: Scenario, found: Answer, draws: Draws, source: str) -> None:
    """What knowing each group of numbers would be worth; the regressions run once a set of draws."""
    job = loaders.known_job(draws, start=st.session_state.get(panel.STOPPED_HERE) != f"known-{draws.name}")
    if job is None or job.state != "done":
        figure_title(
            "What is it worth to know more, and about what?",
            "Value of knowing one group of numbers (EVPPI), found by regression of the draws",
        )
        if job is not None and job.going:
            panel.progress(job, f"known-{draws.name}", "groups of numbers")
            st.skeleton(200)
        elif job is not None and job.state == "failed":
            panel.failure(job, "The value of knowing could not be found.")
        else:
            st.button("Find it", icon=":material/refresh:", key="know-again", on_click=panel.start_again)
        return
    values = loaders.known_values(job.result, found.wtp)
    top = values.head(6).assign(words=[money(value, draws.currency) for value in values["value"].head(6)])
    first = top.iloc[0]
    total, _ = loaders.population(scenario, float(first["value"]))
    rest = len(values) - len(top)
    if first["value"] * 1000 < found.wtp * 1e-4:
        said = "No single group of numbers is worth much study"
    else:
        said = f"Study first: {first['group'][0].lower()}{first['group'][1:]}"
    figure(
        charts.knowing(top, words.SYMBOLS[draws.currency]),
        values.assign(ids=values["ids"].map(", ".join)),
        sentence=said,
        note=f"Value of knowing one group of numbers (EVPPI) at {money(found.wtp, draws.currency)} per QALY; "
        "whiskers: 95 %, from the number of draws",
        alt_text="Bars: " + "; ".join(f"{row.group} {row.words}" for row in top.itertuples()),
        name="evppi",
        live=True,
        source=f"The first is worth at most {words.thousands(total, draws.currency)} for all people, over "
        f"{words.years(scenario.years)}. {rest} more groups are in the table under Save. {source}",
    )


STATES = {
    "Alive, no lung cancer": ("well",),
    "Alive, cancer not found yet": ("preclinical_",),
    "Alive, cancer found by a screen": ("screen_",),
    "Alive, cancer found by symptoms": ("clinical_",),
    "Died of lung cancer": ("lung_cancer_death",),
    "Died of other causes": ("other_death",),
}
CANCER = [area for area in STATES if area not in ("Alive, no lung cancer", "Died of other causes")]


def cohort(scenario: Scenario, source: str) -> None:
    """What becomes of a cohort with the strategy of interest, by age."""
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        strategy = st.selectbox(
            "Cohort under",
            list(NAMES),
            index=list(NAMES).index(scenario.strategy),
            format_func=NAMES.get,
            key=f"cohort-{scenario.strategy}",
        )
    with right:
        part = st.segmented_control(
            "Show", ["With lung cancer", "Everyone"], default="With lung cancer", required=True, key="cohort-part"
        )
    found = loaders.trace(scenario, strategy)
    areas = {
        area: 1000 * found[[column for column in found if column.startswith(starts)]].sum(axis=1)
        for area, starts in STATES.items()
    }
    everyone = pd.DataFrame({"age": found["age"], **areas})
    shown = everyone if part == "Everyone" else everyone[["age", *CANCER]]
    deaths = everyone["Died of lung cancer"].iloc[-1]
    most = 1000.0 if part == "Everyone" else 1.08 * shown[CANCER].sum(axis=1).max()
    figure(
        charts.cohort(shown, float(most)),
        everyone,
        sentence=f"{words.number(deaths)} of 1,000 people die of lung cancer with {name(strategy)}",
        note="A cohort from its first screen to the end of life, base values, not discounted",
        alt_text=f"Stacked areas by age from {found['age'].iloc[0]:.0f} to {found['age'].iloc[-1]:.0f}: "
        f"{words.number(deaths)} of 1,000 die of lung cancer",
        name="cohort",
        source=source,
    )
