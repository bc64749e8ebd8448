"""How parts, sources and classes differ on the page Data: drift, and the source probe."""

import pandas as pd
import streamlit as st

from core.audit import Audit
from core.drift import PROPERTIES
from core.labels import title
from core.source_probe import VIEWS
from dashboard import components
from dashboard.audit import charts, link, loaders
from dashboard.components import plain
from dashboard.figure import figure

FACTOR_WORDS = {"source": "Sources", "part": "Parts", "label": "Classes"}


@st.fragment
def drift(found: Audit) -> None:
    """How far parts, sources and classes differ: one property's spread, and the largest differences."""
    factors = [factor for factor in FACTOR_WORDS if (found.drift["factor"] == factor).any()]
    if not factors:
        st.caption("There is nothing to compare: the images that can be read are of one source, class and part.")
        return
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        factor = link.one_of("between", factors, factors[0])
        measured = link.one_of("property", PROPERTIES, PROPERTIES[0])
        for name, label, options, value, words in (
            ("between", "Compare", factors, factor, FACTOR_WORDS.get),
            ("property", "By", PROPERTIES, measured, str.capitalize),
        ):
            st.segmented_control(
                label,
                options,
                default=value,
                required=True,
                format_func=words,
                key=link.control(name, value),
                on_change=link.take,
                args=(name,),
                wrap=True,
            )
    rows = found.drift[found.drift["factor"] == factor].reset_index(drop=True)
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True):
        spread_figure(found, factor, measured)
    with right, st.container(border=True):
        differences_figure(rows, factor)


def most_words(count: int) -> str:
    """What a figure says where it does not draw all rows."""
    return f" (the first {charts.MOST_ROWS} of {count}; all are in the table)" if count > charts.MOST_ROWS else ""


def spread_figure(found: Audit, factor: str, measured: str) -> None:
    """The percentiles of one property, a row a level."""
    table = loaders.spread(found, factor, measured)
    lowest, highest = table.loc[table["p50"].idxmin()], table.loc[table["p50"].idxmax()]
    word = measured.capitalize()
    said = f"{word}: median {lowest['p50']:.3g} to {highest['p50']:.3g}"
    if lowest["p50"] == highest["p50"]:
        said = f"{word}: the same median everywhere, {lowest['p50']:.3g}"
    figure(
        charts.spread(table, measured),
        table,
        sentence=said,
        note=f"{charts.UNITS[measured]}{most_words(len(table))}. "
        "Thick: middle half of the images; thin: 90 %; tick: median",
        alt_text=f"Range bars of {measured} by {FACTOR_WORDS[factor].lower()}. {said}: lowest in "
        f"{lowest['level']}, highest in {highest['level']}.",
        name="spread",
    )


def differences_figure(rows: pd.DataFrame, factor: str) -> None:
    """The largest standardised differences of a factor with their intervals."""
    levels = pd.Series(charts.titles(rows["level"]), rows.index, dtype=object)
    alone = rows["reference"] != "the rest"  # two levels: one stands against the other, as the note says
    names = rows["property"].str.capitalize().where(alone, levels + ", " + rows["property"])
    table = rows.assign(name=names, words=[_width(row) for _, row in rows.iterrows()])
    drawn = table[table["value"].notna()]
    if drawn.empty:
        st.caption("No property varies on both sides.")
        return
    first = rows.iloc[0]
    against = f"Difference of {plain(title(first['level']))} from {plain(title(first['reference']))}"
    if first["reference"] == "the rest":
        against = f"Difference of each from the rest{most_words(len(drawn))}"
    clear = drawn[(drawn["low"] > 0) | (drawn["high"] < 0)]
    if clear.empty:
        said = "No clear difference"
    else:
        top = clear.iloc[0]
        value = f"{top['value']:+.2f}".replace("-", "−")
        said = f"Largest clear difference: {top['name']}, {value}, {loaders.size_word(top['value'])}"
    figure(
        charts.differences(drawn),
        table.drop(columns=["words"]),
        sentence=plain(said),
        note=f"{against}, in standard deviations; whiskers: 95 % each, bootstrap over groups, not widened for "
        f"their number ({len(rows)}). 0.2 is small, 0.8 large",
        alt_text=f"Points with whiskers, {min(len(drawn), charts.MOST_ROWS)} of {len(rows)} differences between "
        f"{FACTOR_WORDS[factor].lower()}. {said}. First: {drawn.iloc[0]['name']}, {drawn.iloc[0]['words']}.",
        name="differences",
    )


def _width(row: pd.Series) -> str:
    if pd.isna(row["value"]):
        return row["note"]
    if pd.isna(row["low"]):
        return f"{row['value']:+.2f}".replace("-", "−")
    return f"{row['value']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})".replace("-", "−")


def probe_sentence(found: Audit) -> str:
    """What the probe found, as stored and as the recipe shows the images."""
    told = {one.view: one.told for one in found.probes}
    if told["stored"] and told["recipe"]:
        return (
            "Normal images alone give their source away: a class that can be told from its source was not learned"
        )
    if told["stored"]:
        return (
            "Normal images give their source away as stored, not clearly as the recipe lung shows them: "
            "a class that can be told from its source was not learned"
        )
    return "Normal images alone do not clearly give their source away"


def probes(found: Audit) -> None:
    """Whether normal images alone give their source away: a sentence, and both views with their intervals."""
    first = found.probes[0]
    right, of = found.class_from_source()
    several = found.table["source"].nunique() > 1
    known = f"From the source alone, {right:,} of {of:,} labels would be guessed right." if several else ""
    if first.balanced_accuracy.value is None:
        components.figure_title(
            "Whether normal images give their source away could not be probed",
            f"{plain(first.note[:1].upper() + first.note[1:])}. {known}",
        )
        return
    components.figure_title(
        probe_sentence(found),
        f"Linear probe on {sum(first.sources.values()):,} normal images ({first.groups:,} groups) of "
        f"{', '.join(plain(name) for name in first.sources)}; folds by group. {known}",
    )
    grid = st.grid(3, min_column_width=140)
    for one in found.probes:
        with grid.container(gap="xsmall"):
            components.estimate_metric(
                {"stored": "As stored", "recipe": "Recipe lung"}[one.view],
                one.balanced_accuracy.to_json(),
                "Balanced accuracy",
                help=f"How often the source is told right, normal images {VIEWS[one.view]}; mean over the sources.",
            )
    with grid.container(gap="xsmall"):
        st.metric("By chance", f"{first.chance:.2f}")
        st.caption(f"Guessing one of {len(first.sources)} sources")
