"""Adoption and market: how fast could AI reading spread, and how large is the market?"""

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard.components import head, plain, told
from dashboard.economics import address, scenario_card, state, words
from dashboard.economics.loaders import PRICE_YEAR, fault
from dashboard.economics.scenario_card import Control
from dashboard.figure import downloads, figure
from dashboard.outlook import charts, loaders
from dashboard.outlook.loaders import DRAWS, OWN, YEARS, Outlook, Size
from market.errors import MarketError
from market.scenarios import Scenario

PAGE = "adoption"
CONTROLS = {
    "Your curve": (
        Control("bass_p_base", "First users", "percent", from_zero=True),
        Control("bass_q_base", "Imitation", "percent", from_zero=True),
        Control("ceiling_base", "Ever use it", "percent"),
        Control("years_in_use", "Years in use so far", "years", from_zero=True),
    ),
    "Price": (
        Control("c_ai_scan", "Price per scan", "money", from_zero=True),
        Control("price_fall", "Price falls a year", "percent", from_zero=True),
        Control("share_ai_reimbursed", "Scans paid for", "percent", from_zero=True),
    ),
    "Market": (
        Control("eligible", "People eligible", "people"),
        Control("uptake", "Of them screened", "percent", from_zero=True),
        Control("screen_interval_years", "Years between screens", "years"),
        Control("scans_per_screen", "Scans a screen"),
        Control("sites_screening", "Sites that screen"),
        Control("share_sites_reachable", "Sites in reach", "percent", from_zero=True),
        Control("vendor_share", "One vendor wins", "percent", from_zero=True),
    ),
}
QUANTITIES = {"sites": "Sites", "scans": "Scans", "revenue": "Revenue", "vendor_revenue": "One vendor"}
TIMES = {"year": "Each year", "so_far": "So far"}
BAND = ("top_down_low_usd", "top_down_high_usd", "share_lung_imaging_ai")
"""What the published sizes are made of."""

LEVEL_WORDS = {
    "TAM": ("Total", "TAM, total addressable market: all who are eligible come as recommended, all read with AI."),
    "SAM": ("In reach", "SAM, serviceable: those who come today, at sites where an AI can be connected."),
    "SOM": ("One vendor", "SOM, obtainable: sites that use an AI today, and the share that one vendor wins."),
}
EXAMPLE = "1, 840\n2, 1470\n3, 2110\n4, 4000\n5, 7590\n6, 10950\n7, 10530\n8, 9470\n9, 7790\n10, 5890"
"""Sales of video recorders in 1,000, 1980 to 1989, as in tests/test_adoption.py."""


def chosen(options: dict[str, str], label: str, key: str) -> str:
    """One of the options, kept in the link."""
    value = address.one_of(key, options, next(iter(options)), label, f"one of {', '.join(options)}")
    kept = address.choice(key, value, f"choose-{key}")
    return st.segmented_control(label, list(options), default=value, format_func=options.get, required=True, **kept)


def series(kind: str, so_far: bool) -> tuple[str, bool, str]:
    """The column behind a choice, whether to add it up, and its unit in words."""
    if kind == "sites":
        return ("sites", False, "Sites with AI") if so_far else ("new_sites", False, "New sites in the year")
    unit = {"scans": "Scans read with AI", "revenue": "Revenue", "vendor_revenue": "Revenue of one vendor"}[kind]
    return kind, so_far, f"{unit} {'so far' if so_far else 'in the year'}"


def said(kind: str, value: float, currency: str) -> str:
    """A number of sites or scans, or money, as people say it."""
    return words.thousands(value, currency) if "revenue" in kind else words.number(value)


def curve_figure(scenario: Scenario, found: Outlook) -> None:
    """The visitor's curve with its fan, the published ones dashed."""
    with st.container(horizontal=True, gap="medium"):
        quantity = chosen(QUANTITIES, "What", "x_what")
        so_far = chosen(TIMES, "When", "x_when") == "so_far"
    kind, add_up, unit = series(quantity, so_far)
    table = found.curves[["curve", "year", kind]].copy()
    if found.is_base:
        table = table[table["curve"] != "base"]
    if add_up:
        table[kind] = table.groupby("curve")[kind].cumsum()
    fan = loaders.fan(scenario, kind, add_up)
    last, ends = table[table["year"] == YEARS].set_index("curve")[kind], fan.iloc[-1]
    spread = words.range_words(ends["low"], ends["high"], lambda value: said(kind, value, found.currency))
    same = " (as the base analogue)" if found.is_base else ""
    money = f", {words.money_line(found.currency, PRICE_YEAR)}" if "revenue" in kind else ""
    figure(
        charts.curves(table, fan, kind, unit + (f", {found.currency}" if money else "")),
        table.pivot(index="year", columns="curve", values=kind)
        .reset_index()
        .merge(fan, on="year")
        .rename(columns={name: f"yours, {name}" for name in fan.columns[1:]}),
        sentence=f"{unit}: {said(kind, last['yours'], found.currency)} in year {YEARS}, {spread}",
        note=f"Yours solid{same}, published analogues dashed{money}; bands: half and 95 % of {DRAWS} draws of all "
        "numbers that you have not set",
        alt_text=f"Line chart of {unit.lower()} over {YEARS} years, in the last year: "
        + ", ".join(f"{curve} {said(kind, value, found.currency)}" for curve, value in last.items()),
        name="adoption",
        live=True,
        source="Bass diffusion with p, q and ceiling of other imaging equipment in hospitals, remembered from "
        "Lilien, Rangaswamy and Van den Bulte 2000: analogues, not forecasts.",
    )


def answer(scenario: Scenario, found: Outlook) -> None:
    """When most sites join, and how many use AI in the end."""
    own = found.curves[found.curves["curve"] == "yours"].set_index("year")
    others = found.curves[found.curves["year"] == YEARS].set_index("curve")["share"]
    when = "next year" if found.peak_year == 1 else f"in year {found.peak_year}"
    when += " or later" if found.peak_year == YEARS else ""
    share = words.percent(own["share"].iloc[-1])
    ends = loaders.fan(scenario, "share").iloc[-1]
    width = words.range_words(ends["low"], ends["high"], words.percent)
    st.header(
        f"Sites would join fastest {when}; after {YEARS} years {share} of those in reach use AI", anchor=False
    )
    st.markdown(
        f"95 % of {DRAWS} draws: {width}. {words.number(own['sites'].iloc[-1])} sites by then. The published "
        "analogues span "
        f"{words.percent(others['slow'])} to {words.percent(others['optimistic'])} of the sites in reach.",
        width=720,
    )


def size_metrics(found: Size) -> None:
    """TAM, SAM and SOM with their intervals; a level that cannot be told says what is missing."""
    with st.container(border=True), st.grid(3, min_column_width=140, gap="medium"):
        for level, (title, help_) in LEVEL_WORDS.items():
            if level not in found.levels:
                st.metric(title, "–", delta="not known here", delta_color="off", delta_arrow="off", help=help_)
                continue
            value, low, high = found.levels[level]
            st.metric(
                f"{title}, a year",
                words.thousands(value, found.currency),
                delta=words.range_words(low, high, lambda number: words.thousands(number, found.currency)),
                delta_color="off",
                delta_arrow="off",
                help=help_,
            )
    for level, ids in found.missing.items():
        st.caption(f"{level} is left out: no source in this setting gives {', '.join(ids) or 'what it builds on'}.")


def size_figure(scenario: Scenario, found: Size) -> None:
    """The levels on one axis, what is published from the top down behind them."""
    if not found.levels:
        return
    rows = pd.DataFrame([(level, *ends) for level, ends in found.levels.items()], columns=["level", *ENDS])
    band = ""
    if found.band:
        low, high = (words.thousands(value, found.currency) for value in found.band)
        band = (
            f"Published from the top down, worldwide, nominal, of different years, not verified: {low} to {high}. "
            f"From {band_sources(scenario)}."
        )
    top = rows.iloc[0]
    figure(
        charts.sizes(rows, found.band, f"{words.money_line(found.currency, PRICE_YEAR)} a year, logarithmic"),
        rows,
        sentence=f"From {words.thousands(top['value'], found.currency)} in all to "
        f"{words.thousands(rows.iloc[-1]['value'], found.currency)} for one vendor"
        if len(rows) > 1
        else f"{words.thousands(top['value'], found.currency)} a year in all",
        note=f"Market of this year in this setting; whiskers: 95 % of {DRAWS} draws"
        + ("; hatched: published sizes" if found.band else ""),
        alt_text="Dot plot of market size on a logarithmic axis: "
        + ", ".join(f"{row.level} {words.thousands(row.value, found.currency)}" for row in rows.itertuples()),
        name="market-size",
        live=True,
        source=band,
    )


ENDS = ["value", "low", "high"]


def band_sources(scenario: Scenario) -> str:
    """Who published the sizes from the top down, as Markdown links with the year and number that was taken."""
    found = []
    for entry in loaders.definitions(scenario, BAND).values():
        for source in entry.sources:
            link = source.link if source.link.startswith(("https://", "http://")) else ""
            title = f"[{plain(source.title)}]({link})" if link else plain(source.title)
            found.append(f"{title} ({plain(source.locator)})")
    return "; ".join(found)


def factor_table(found: Size) -> None:
    """Every factor, multiplied down to each level."""
    if found.table.empty:
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("#### Factor by factor", anchors=False)
        downloads("market-factors", found.table)
    shown = pd.DataFrame(
        {
            "Level": found.table["level"],
            "Times": found.table["label"],
            "Value": [factor_words(row, found.currency) for row in found.table.itertuples()],
            "Gives": [
                words.thousands(row.product, found.currency) if row.money else words.number(row.product)
                for row in money_from_price(found.table).itertuples()
            ],
        }
    )
    st.table(
        shown, border="horizontal", hide_index=True, alt="Factors of the market size and their running product"
    )


def money_from_price(table: pd.DataFrame) -> pd.DataFrame:
    """The factors, with `money` true from the price on: before it the product counts people and scans."""
    return table.assign(money=(table["factor"] == "price").cummax())


def factor_words(row, currency: str) -> str:
    """A factor as people say it: money, a share, or a count."""
    if row.factor == "price":
        return words.money(row.value, currency)
    return words.percent(row.value, 1) if row.level != "TAM" else words.number(row.value, digits=4)


def own_series() -> None:
    """Fit p and q to a series of the visitor's and use them."""
    with st.expander("Fit the curve to your own series", icon=":material/ssid_chart:", on_change="rerun") as part:
        if not part.open:
            return
        st.markdown(
            "New adopters a period (a year, if they are to be used here), one a line, or lines such as "
            "`2019, 120`, with no period missing. At least four periods, and best one that has begun to slow down."
        )
        upload = st.file_uploader("A CSV file", type=["csv", "txt"], key="series-file", max_upload_size=1)
        text = st.text_area("Or paste a series", key="series-text", height=160, placeholder=EXAMPLE)
        content = upload.getvalue().decode("utf-8-sig", errors="replace") if upload else text
        if not content.strip():
            st.caption("Nothing to fit yet. The grey example is sales of video recorders in the 1980s.")
            return
        try:
            fitted = loaders.fit(loaders.read_series(content, upload.name if upload else "pasted series"))
        except MarketError as error:
            st.error(f"**{plain(error.name)}**: found {plain(error.found)}; expected {plain(error.expected)}.")
            return
        show_fit(fitted)


def show_fit(fitted: loaders.Fitted) -> None:
    """The fitted curve, its numbers with standard errors, and the button that takes them over."""
    fit = fitted.fit
    peaks = f"peaks in period {fitted.peak:.1f}" if fitted.peak > 0 else "falls from the start"
    figure(
        charts.fitted(fitted.table),
        fitted.table,
        sentence=f"The fit {peaks} and ends at {words.number(fit.m)} adopters",
        note="Dots: your series; line: Bass curve by least squares (Srinivasan and Mason 1986)",
        alt_text=f"Dots of the series and the fitted Bass curve: p {fit.p:.4f}, q {fit.q:.3f}, m {fit.m:,.0f}",
        name="own-series",
        level=4,
    )
    st.markdown(
        f"p **{fit.p:.4f}** (standard error {fit.se_p:.4f}), q **{fit.q:.3f}** ({fit.se_q:.3f}), "
        f"m **{words.number(fit.m)}** ({words.number(fit.se_m)})."
    )
    st.button(
        "Use p and q as my curve",
        icon=":material/check:",
        on_click=use_fit,
        args=(float(fit.p), float(fit.q)),
        help="The ceiling stays: m counts adopters, the ceiling is a share of the sites in reach",
    )


def use_fit(p: float, q: float) -> None:
    """Take p and q of a fit as one's own curve; both or, where one is out of range, neither, and say so."""
    scenario, given = state.current(), {"bass_p_base": p, "bass_q_base": q}
    refused = [key for key in given if fault(with_value(scenario, key, given[key])) is not None]
    for key in refused or given:
        state.set_value(key, given[key])


def with_value(scenario: Scenario, key: str, value: float) -> Scenario:
    """The scenario with one number changed, not yet checked."""
    return replace(scenario, overrides=tuple((dict(scenario.overrides) | {key: value}).items()))


@st.fragment
@told()
def body() -> None:
    """What moves with the sliders."""
    left, right = st.columns([3, 8], gap="medium")
    with left:
        scenario_card.card(CONTROLS)
    scenario = state.current()
    with right:
        state.show_notices()
        try:
            found = loaders.outlook(scenario)
        except MarketError as error:
            found = None
            st.header("How fast it spreads cannot be told for this setting", anchor=False)
            st.markdown(f"{plain(error.found)}. Choose US or UK in the sidebar for the curves.".capitalize())
        if found:
            answer(scenario, found)
            curve_figure(scenario, found)
        size = loaders.size(scenario)
        st.header("How large is the market?", anchor=False)
        size_metrics(size)
        size_figure(scenario, size)
        factor_table(size)


scenario = state.current(PAGE)
with head(
    "How fast could it spread, and how large is the market?",
    "Hospitals that would read screening CTs with AI, year by year, and what that is worth to vendors. "
    f"{words.SETTINGS[scenario.setting]}, {words.money_line(state.currency(), PRICE_YEAR)}.",
):
    scenario_card.share(PAGE)
body()
own_series()
st.caption(
    "**Limits.** Diffusion follows other imaging equipment decades ago; nobody has yet seen this one. Sizes from "
    "the top down are worldwide, count different products, and enter no result. The same numbers: "
    f"`python -m market adoption` and `python -m market size`. Yours are {', '.join(OWN)}."
)
