"""Overview: how good is this model? The least flattering figures first, then what it is and is not."""

import re

import pandas as pd
import streamlit as st

from core.errors import RunError
from core.labels import title
from dashboard import charts, components, loaders, state
from dashboard.components import estimate_metric, figure_title, plain

AUC_HELP = (
    "Area under the ROC curve, normal against pneumonia or tumour, for slices of a source that was left out "
    "of training. 0.50 is chance, 1 is a perfect order. Only sources with normal and diseased slices have it."
)
BALANCED_HELP = (
    "Mean of the three classes' shares called correctly, in folds that never separate a group. "
    "By chance 0.33. Flatters the model: each fold has learned from the same sources."
)


def answer(table: pd.DataFrame, metrics: dict) -> None:
    """The answer as a sentence, made from the run's figures; no figure, no claim."""
    if table.empty:
        st.header("How well it does on a source it has not seen is not measured", anchor=False)
        st.markdown("This run holds no leave-one-source-out results.")
        return
    worst, best = table.loc[table["value"].idxmin()], table.loc[table["value"].idxmax()]
    low, high = f"{worst['value']:.2f}", f"{best['value']:.2f}"
    st.header(f"On a source it has not seen, it finds {low} to {high} of a class's slices", anchor=False)
    grouped = (metrics.get("grouped_validation") or {}).get("balanced_accuracy")
    known = f" On sources it knows, balanced accuracy is {grouped['value']:.2f}." if grouped else ""
    st.markdown(
        f"Weakest on {slices_of(worst)}: {plain(worst['words'])}. "
        f"Strongest on {slices_of(best)}: {plain(best['words'])}.{known}",
        width=720,
    )


def slices_of(row: pd.Series) -> str:
    """As in "normal slices of MosMedData", in Markdown."""
    return f"{title(row['label']).lower()} slices of {plain(row['source'])}"


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


def what_it_is(metrics: dict) -> None:
    """What this is, what it is not, and how much of each source it was measured on."""
    with st.container(border=True, height="stretch"):
        figure_title("What it is, and what it is not", "Read this before any figure")
        st.markdown(
            "**It is** a small network (MobileNetV2) that calls one lung CT slice normal, pneumonia or lung "
            "tumour, shows what spoke for the call, and comes with its recipe and its measurements.\n\n"
            "**It is not** a medical device or a reader of scans. It sees one slice, not a patient; it knows "
            "three classes and calls one of them whatever the picture shows; and no source it learned from "
            "holds all three, so part of a class may be the look of a source."
        )
        left_out = metrics.get("leave_one_source_out") or {}
        if left_out:
            rows = [
                (loaders.source_title(name), f"{part['n_slices']:,}", f"{part['n_groups']:,}")
                for name, part in left_out.items()
            ]
            st.table(
                pd.DataFrame(rows, columns=["Measured on", "Slices", "Groups"]),
                border="horizontal",
                hide_index=True,
                alt="Slices and groups of each source that the model was measured on",
            )


def card(text: str) -> str:
    """A model card's Markdown without its title and with headings a level lower: one h1 a page."""
    body = re.sub(r"\A\s*#\s[^\n]*\n", "", text)
    return re.sub(r"^(#{1,5})(?=\s)", r"#\1", body, flags=re.MULTILINE)


with components.head(
    "How good is this model?",
    "LungLens calls a lung CT slice normal, pneumonia or lung tumour. These are the measurements of "
    f"run {plain(state.run_name())}, least flattering first.",
):
    if st.button("Classify a slice", type="primary", icon=":material/radiology:"):
        st.switch_page("views/classify.py")
try:
    run = loaders.run(state.run_name())
except RunError as error:
    components.run_message(error)
    st.stop()

table = loaders.left_out_table(run.metrics)
answer(table, run.metrics)
headline(run.metrics)
left, right = st.columns([7, 5], gap="small")
with left:
    forest_card(table)
with right:
    what_it_is(run.metrics)
with st.expander("Model card: data, training, all results, limits", icon=":material/fact_check:"):
    st.markdown(card(run.card))
