"""What a run measured of itself, as Overview and Model card show it: the least flattering figures first."""

import re
from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core.labels import title
from dashboard import charts, loaders
from dashboard.components import estimate_metric, figure_title, plain

AUC_HELP = (
    "Area under the ROC curve, normal against pneumonia or tumour, for slices of a source that was left out "
    "of training. 0.50 is chance, 1 is a perfect order. Only sources with normal and diseased slices have it."
)
BALANCED_HELP = (
    "Mean of the three classes' shares called correctly, in folds that never separate a group. "
    "By chance 0.33. Flatters the model: each fold has learned from the same sources."
)


def headline(metrics: dict) -> None:
    """Tiles: normal against diseased for each left-out source that has both, then folds of known sources."""
    left_out = metrics.get("leave_one_source_out") or {}
    both = {source: result for source, result in left_out.items() if result["diseased_auc"]["value"] is not None}
    grouped = metrics.get("grouped_validation") or {}
    tiles = [
        (f"AUC, {loaders.source_title(source)}", result["diseased_auc"], result, AUC_HELP)
        for source, result in both.items()
    ]
    tiles.append(("Known sources", grouped.get("balanced_accuracy"), grouped, BALANCED_HELP))
    with st.container(border=True), st.grid(max(2, len(tiles)), min_column_width=140, gap="medium"):
        for label, estimate, result, help_ in tiles:
            with st.container(gap="xsmall"):
                estimate_metric(label, estimate, counted(result), help=help_)
    st.caption(
        "AUC: normal against diseased, the source left out of training. Known sources: balanced accuracy of "
        "the three classes in grouped folds. Grey pills are 95 % intervals, by bootstrap over groups."
    )


def counted(result: dict) -> str:
    """As in "304 slices, 74 groups"; nothing where nothing was counted."""
    if "n_slices" not in result:
        return ""
    return f"{result['n_slices']:,} slices, {result['n_groups']:,} groups"


def forest_card(table: pd.DataFrame) -> None:
    """Every left-out source and class with its interval."""
    with st.container(border=True, height="stretch"):
        if table.empty:
            figure_title("Left-out sources are not measured", "This run has no leave-one-source-out results")
            return
        below = table[table["value"] < 0.5]
        sentence = f"All {len(table)} groups of slices are called right more often than not"
        if len(below):
            names = [f"{title(row.label).lower()} slices of {row.source}" for row in below.itertuples()]
            sentence = f"Most {plain(' and '.join(names))} are called wrong"
        figure_title(
            sentence,
            "Share of slices called correctly, the source left out of training; whiskers: 95 %",
        )
        named = table.assign(
            name=[f"{row.source}, {title(row.label).lower()}" for row in table.itertuples()],
        )
        st.altair_chart(
            charts.forest(named),
            width="stretch",
            alt="Dot plot with intervals: " + "; ".join(named["name"] + " " + named["words"]),
        )


def robustness_table(found: Mapping[str, dict]) -> pd.DataFrame:
    """One row per recipe, change and step: recipe, change, step, value, low, high, words.

    `found` has for each recipe's name what `core robustness` found.
    """
    rows = [
        (recipe, one["words"], step, value["value"], value["low"], value["high"], loaders.estimate_words(value))
        for recipe, measured in found.items()
        for one in measured["kinds"].values()
        for step, value in zip(one["steps"], one["balanced_accuracy"], strict=True)
    ]
    return pd.DataFrame(rows, columns=["recipe", "change", "step", "value", "low", "high", "words"])


def declines(table: pd.DataFrame, chance: float) -> None:
    """A small chart for each change of `robustness_table`."""
    with st.grid(4, min_column_width=200, gap="small"):
        for change, part in table.groupby("change", sort=False):
            with st.container(gap=None):
                name, _, unit = change.partition(", ")
                st.markdown(f":small[**{name[0].upper()}{name[1:]}**]")
                told = "; ".join(f"{row.recipe}, {row.step:g}: {row.words}" for row in part.itertuples())
                chart = charts.decline(part, unit, chance)
                st.altair_chart(chart, width="stretch", alt=f"Line chart, {change}: {told}")


def card_body(text: str) -> str:
    """A model card's Markdown without its title and with headings a level lower: one h1 a page.

    No link or picture in it acts: names of runs and folders stand in a card, and NOTES.md may be another's.
    """
    body = re.sub(r"\A\s*#\s[^\n]*\n", "", text)
    body = body.replace("![", "!\\[").replace("](", "]\\(")
    return re.sub(r"^(#{1,5})(?=\s)", r"#\1", body, flags=re.MULTILINE)
