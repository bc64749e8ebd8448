"""Sources: where does every number come from? The weakest that matter most first."""

from collections.abc import Collection

import pandas as pd
import streamlit as st

from dashboard.components import head, plain
from dashboard.economics import address, state, words
from dashboard.economics.loaders import PRICE_YEAR
from dashboard.figure import downloads
from dashboard.numbers import loaders
from dashboard.state import control_key, held, keep, keep_held, kept
from market.errors import MarketError
from market.parameters import STATUSES, TRUSTS, Parameter
from market.usage import MODELS

TRUST_WORDS = {"read": "● Read in the source", "secondary": "◐ Secondary source", "memory": "○ Assumption"}
TRUST_SHORT = {"read": "● Read", "secondary": "◐ Secondary", "memory": "○ Assumption"}
TRUST_ICONS = {"read": "check_circle", "secondary": "contrast", "memory": "circle"}
TRUST_HELP = {
    "read": "The number was read in the publication that is named.",
    "secondary": "The number was read in a publication that quotes another.",
    "memory": "No source could be read: an assumption with its reason.",
}
STATUS_WORDS = {
    "published": "published",
    "derived": "by formula",
    "calibrated": "fitted to a trial",
    "assumption": "assumption",
    "yours": "changed by you",
}
ROWS = 12
PAGE = "sources"
ANY_ID = "the id of a number of this setting"
X = "x_"
"""What the parameters of this page's links begin with; all others belong to the scenario."""


def in_link(key: str, allowed: Collection[str], offered: str = "") -> list[str]:
    """The comma-separated values of a link's parameter; a notice for those that are not allowed.

    `offered` says in words what is allowed, where a list of it would be too long to read.
    """
    found = [part for part in st.query_params.get(X + key, "").split(",") if part]
    for part in found:
        if part not in allowed:
            st.warning(
                f"**This link asks for something that is not here.** {key}: found {plain(part[:60])}, expected "
                f"{offered or 'one of ' + plain(', '.join(allowed))}. It is left out.",
                icon=":material/info:",
            )
    return [part for part in found if part in allowed]


def counts(table: pd.DataFrame) -> None:
    """How many numbers stand on which ground."""
    with st.container(border=True), st.grid(4, min_column_width=140, gap="medium"):
        for trust in TRUSTS:
            share = (table["trust"] == trust).mean()
            st.metric(
                TRUST_SHORT[trust],
                int((table["trust"] == trust).sum()),
                delta=f"{share:.0%} of {len(table)}".replace("%", " %"),
                delta_color="off",
                delta_arrow="off",
                help=TRUST_HELP[trust],
            )
        moved = int((table["status"] == "yours").sum())
        st.metric(
            "Changed by you",
            moved,
            delta="in this scenario",
            delta_color="off",
            delta_arrow="off",
            help="Numbers that this scenario sets to another value.",
        )


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that the filters leave; the filters stand in the link."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        typed = st.query_params.get(X + "words", "")
        st.text_input(
            "Words",
            typed,
            placeholder="price, uptake, stage ...",
            **address.choice(X + "words", typed, X + "words"),
        )
        for key, options, names in (
            ("trust", TRUSTS, TRUST_WORDS),
            ("status", (*STATUSES, "yours"), STATUS_WORDS),
            ("model", MODELS, dict(zip(MODELS, MODELS, strict=True))),
        ):
            if address.brought(X + key) is not None:
                keep(f"filter-{key}", in_link(key, tuple(options)))
                remember(key)
            chosen = kept(f"filter-{key}", [])
            st.multiselect(
                {"trust": "Ground", "status": "Kind", "model": "Read by"}[key],
                options,
                chosen,
                key=control_key(f"filter-{key}", chosen),
                format_func=names.get,
                placeholder="all",
                on_change=choose,
                args=(key,),
            )
    rows = table
    ids = in_link("ids", set(table["id"]), ANY_ID)
    if ids:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"Only the {len(ids)} numbers behind the figure that you came from.")
            st.button("Show all numbers", on_click=forget_ids)
        rows = rows[rows["id"].isin(ids)]
    for word in typed.lower().split():
        text = rows["id"] + " " + rows["label"] + " " + rows["source"].fillna("")
        rows = rows[text.str.lower().str.contains(word, regex=False)]
    for key in ("trust", "status"):
        wanted = kept(f"filter-{key}", [])
        rows = rows[rows[key].isin(wanted)] if wanted else rows
    wanted = kept("filter-model", [])
    if wanted:
        rows = rows[rows["models"].map(lambda text: any(model in text for model in wanted))]
    return rows.reset_index(drop=True)


def choose(key: str) -> None:
    """The visitor changed a filter."""
    keep_held(f"filter-{key}")
    remember(key)


def remember(key: str) -> None:
    """Put a filter into the address."""
    address.put(X + key, ",".join(kept(f"filter-{key}", [])))


def forget_ids() -> None:
    """Leave the choice of numbers that a figure's link made."""
    st.query_params.pop(X + "ids", None)


def show(rows: pd.DataFrame, currency: str) -> None:
    """The numbers as a table; a row that is chosen opens below."""
    view = pd.DataFrame(
        {
            "Ground": rows["trust"].map(TRUST_WORDS),
            "Number": rows["label"],
            "Value": rows["value"],
            "Moves the answer by": rows["swing"],
            "Low": rows["low"],
            "High": rows["high"],
            "Unit": rows["unit"],
            "Prices of": rows["year"],
            "Kind": rows["status"].map(STATUS_WORDS),
            "Read by": rows["models"],
            "Source, formula or reason": rows["source"],
        }
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        view,
        hide_index=True,
        key="numbers",
        on_select=lambda: open_row(rows),
        selection_mode="single-row",
        placeholder="",
        height=38 + 35 * min(ROWS, max(1, len(view))),
        column_config={
            "Ground": st.column_config.TextColumn(width=150, pinned=True),
            "Number": st.column_config.TextColumn(width=300),
            "Value": number(format="%.6g", width=90),
            "Low": number(format="%.4g", width=80, help="Interval of the sensitivity analyses"),
            "High": number(format="%.4g", width=80),
            "Prices of": number(format="%d", width=80, help="Year of the prices in the source; values are of 2024"),
            "Moves the answer by": number(
                format="%.0f",
                width=150,
                help=f"Change of net monetary benefit per person, {currency}, between low and high, "
                "for this scenario's strategy against its comparator",
            ),
        },
        alt=f"Table of {len(view)} numbers: ground, value, interval, unit, who reads it, source",
    )


def open_row(rows: pd.DataFrame) -> None:
    """Show the number of the chosen row, and name it in the address."""
    found = st.session_state["numbers"].selection.rows
    if found:
        open_number(rows["id"].iloc[found[0]])


def open_number(key: str) -> None:
    """Show a number below the table, and name it in the address."""
    st.query_params[X + "number"] = key
    keep("number", key)


def choose_number(rows: pd.DataFrame, table: pd.DataFrame) -> str:
    """The number to look at: from the table, the link, or the keyboard's way, a select box."""
    linked = in_link("number", set(table["id"]), ANY_ID)
    if linked:
        keep("number", linked[0])
    options = list(rows["id"])
    current = kept("number", "")
    if current in set(table["id"]) and current not in options:
        options = [current, *options]
    if current not in options:
        current = options[0]
        keep("number", current)
    labels = dict(zip(table["id"], table["label"], strict=True))
    return st.selectbox(
        "One number",
        options,
        options.index(current),
        key=control_key("number", current),
        format_func=lambda key: f"{labels[key]} ({key})",
        on_change=lambda: open_number(held("number")),
    )


def amount(found: float | None, entry: Parameter) -> str:
    """A value with its unit, money as money."""
    if found is None:
        return "no value in this setting's currency"
    if entry.unit.startswith("currency"):
        return f"{words.money(found, entry.currency)} {entry.unit.removeprefix('currency')}".strip()
    unit = "" if entry.unit in ("ratio", "proportion", "probability") else f" {entry.unit}"
    return words.given(found) + unit


def facts(entry: Parameter, row: pd.Series, found: float | None) -> list[tuple[str, str]]:
    """What is known of one number, as pairs of a name and Markdown."""
    span = "none: it is not varied"
    if pd.notna(row["low"]):
        kind = {"ours": "our own", None: "of its distribution"}.get(entry.interval, f"as {entry.interval}")
        span = f"{words.range_words(row['low'], row['high'], lambda end: words.given(end, 4))}, {kind}"
    pairs = [
        ("Value", plain(amount(found, entry))),
        ("Range", plain(span)),
        ("Distribution", plain(entry.distribution or "none")),
        ("Population", plain(entry.population or "any")),
        ("Kind", STATUS_WORDS[row["status"]]),
        ("Read by", plain(row["models"]) or "no model in this setting"),
    ]
    if entry.price_year:
        pairs.insert(1, ("Prices", f"{entry.price_year} in the source, brought to 2024 by a price index"))
    if entry.events is not None and entry.n is not None:
        pairs.insert(2, ("Counts", f"{entry.events:,.6g} of {entry.n:,.6g}"))
    for name, text in (("Formula", entry.formula), ("Reason", entry.reason), ("Note", entry.note)):
        if text:
            pairs.append((name, plain(text)))
    if entry.interval_note:
        pairs.append(("Of the range", plain(entry.interval_note)))
    pairs.append(("In the file", f"`data/market/parameters/{entry.file}`, line {entry.line}"))
    return pairs


def one_number(entry: Parameter, row: pd.Series, found: float | None) -> None:
    """All that is known of a number, its sources with their places."""
    with st.container(border=True):
        st.markdown(
            f"### {plain(entry.label)}\n:small[:gray[:material/{TRUST_ICONS[row['trust']]}: "
            f"{TRUST_WORDS[row['trust']][2:]}]]",
            anchors=False,
        )
        st.markdown("\n".join(f"- **{name}**: {text}" for name, text in facts(entry, row, found)))
        for source in entry.sources:
            link = source.link if source.link.startswith(("https://", "http://")) else ""
            title = f"[{plain(source.title)}]({link})" if link else plain(source.title)
            st.markdown(f":material/menu_book: {title}, {plain(source.locator)}")
        for key in entry.inputs:
            st.button(
                f"Made from {key}",
                key=f"input-{key}",
                type="tertiary",
                on_click=open_number,
                args=(key,),
            )


head(
    "Where does every number come from?",
    "Every number of the market models in this setting, with its range, its source and the models that read it. "
    f"The weakest that move the answer most stand first. {words.money_line(state.currency(), PRICE_YEAR)}.",
)
scenario = state.current(PAGE)
state.show_notices()
try:
    table = loaders.numbers(scenario)
except MarketError as error:
    st.error(f"**{plain(error.name)}**: found {plain(error.found)}; expected {plain(error.expected)}.")
    st.stop()
currency = loaders.currency(scenario)
weak = table[(table["trust"] == "memory") & table["swing"].notna()]
answer = f"{int((table['trust'] == 'memory').sum())} of {len(table)} numbers are assumptions"
if len(weak):
    top = weak.iloc[0]
    answer += f"; the one that matters most: {plain(top['label'])}"
st.header(answer, anchor=False)
counts(table)
rows = chosen(table)
left, right = st.columns([1, 1], vertical_alignment="bottom")
with left:
    st.markdown(f"### {len(rows)} of {len(table)} numbers", anchors=False)
with right, st.container(horizontal=True, horizontal_alignment="right"):
    downloads("sources", rows)
if rows.empty:
    st.markdown("No number fits these filters. Take a word or a filter away.")
    st.stop()
show(rows, currency)
key = choose_number(rows, table)
entry = loaders.definition(scenario, key)
one_number(entry, table[table["id"] == key].iloc[0], loaders.value(scenario, key))
st.caption(
    "Ground: a circle that is full was read in its source, half full in one that quotes it, empty is an "
    "assumption. Moves the answer by: change of net monetary benefit per person between low and high. "
    "The same table: `python -m market sources`."
)
