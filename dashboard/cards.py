"""The cards of one answer on Classify: the sentence, bars, the reason to doubt, what was read, the series."""

import pandas as pd
import streamlit as st

from core.labels import title
from dashboard import charts, components, loaders, viewer
from dashboard.components import class_icon, plain
from dashboard.loaders import FileRead

CALIBRATED = (
    "The model's raw scores are scaled by one number (a temperature) fitted on slices that it was not "
    "trained on, so that 0.8 should be right about 8 times in 10 on slices like those. On other scanners "
    "this need not hold."
)


def answer(shown: FileRead, index: int) -> None:
    """The answer as a sentence, over the whole width so that it comes first on a phone too."""
    called = shown.readings[index].prediction
    with st.container(gap="xsmall", key="answer"):
        st.caption(viewer.place_words(shown, index))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            sentence = f"Most like: {title(called.label)}, {called.probabilities[called.label]:.2f}"
            st.header(f"{class_icon(called.label)} {sentence}", anchor=False, width="content")
            st.caption("calibrated", width="content", help=CALIBRATED)


def probabilities_card(shown: FileRead, index: int) -> None:
    """The class probabilities as bars under a sentence that says by how much the first leads."""
    reading = shown.readings[index]
    called = reading.prediction
    first, second = sorted(called.probabilities.values(), reverse=True)[:2]
    verb = "leads clearly" if first - second >= 0.5 else "leads" if first - second >= 0.2 else "leads narrowly"
    with st.container(border=True):
        components.figure_title(
            f"{title(called.label)} {verb}, {first:.2f} to {second:.2f}",
            "Calibrated probability; a single slice has no interval",
        )
        values = ", ".join(f"{title(label)} {value:.2f}" for label, value in called.probabilities.items())
        st.altair_chart(
            charts.probability_bars(called.probabilities, called.label),
            width="stretch",
            alt=f"Bar chart of class probabilities: {values}",
        )
        st.caption(f"Run {plain(called.run)}, {max(1, round(reading.milliseconds))} ms for this slice.")


def trust_card(metrics: dict, label: str) -> None:
    """The reason to doubt beside the answer: how much of this class is found in sources not seen before."""
    table = loaders.left_out_table(metrics)
    why = "This run holds no leave-one-source-out results" if table.empty else "No source had this class"
    table = table[table["label"] == label]
    with st.container(border=True):
        if table.empty:
            components.figure_title("How it does on a source it has not seen is not measured", why)
            return
        low, high = table["value"].min(), table["value"].max()
        span = f"{low:.2f} to {high:.2f}" if len(table) > 1 else f"{low:.2f}"
        components.figure_title(
            f"On sources it had not seen, it finds {span} of {title(label).lower()} slices",
            "Share of that class called correctly, each source left out of training in turn; whiskers: 95 %",
        )
        st.altair_chart(
            charts.forest(table.assign(name=table["source"])),
            width="stretch",
            alt="Dot plot with intervals: " + "; ".join(table["source"] + " " + table["words"]),
        )


def facts_card(shown: FileRead, index: int) -> None:
    """What the model was given, warnings first."""
    reading = shown.readings[index]
    count = len(reading.warnings)
    with st.container(border=True):
        sentence = ("Reading this slice gave no warnings", "One thing to know about this slice")[min(count, 1)]
        if count > 1:
            sentence = f"{count} things to know about this slice"
        components.figure_title(sentence, "What the model was given")
        for warning in reading.warnings:
            st.warning(plain(warning), icon=":material/info:")
        st.table(
            pd.DataFrame(viewer.facts(reading), columns=["What", "Value"]),
            border="horizontal",
            hide_index=True,
            hide_header=True,
            alt="Values, size, pixel spacing and the part that the model looked at",
        )


def series_card(shown: FileRead, index: int) -> None:
    """The class probabilities along a series, with the slice that is open marked."""
    table = loaders.series_table(shown)
    sentence = series_sentence([reading.prediction.label for reading in shown.readings])
    with st.container(border=True):
        components.figure_title(
            sentence, "Calibrated probability by slice; each slice is classified on its own, no interval"
        )
        st.altair_chart(
            charts.series_lines(table, index + 1, loaders.series_order(shown)),
            width="stretch",
            alt=f"Line chart of class probabilities along {len(shown.readings)} slices. {sentence}. "
            "The values are in the table below.",
        )


def series_sentence(labels: list[str]) -> str:
    """Which class most slices are most like, and from where to where."""
    most = max(dict.fromkeys(labels), key=labels.count)
    where = [place for place, label in enumerate(labels, start=1) if label == most]
    if len(where) == len(labels):
        return f"All {len(labels)} slices are most like {title(most)}"
    unbroken = where[-1] - where[0] + 1 == len(where)
    span = f", slice {where[0]} to {where[-1]}" if unbroken and len(where) > 1 else ""
    return f"{len(where)} of {len(labels)} slices are most like {title(most)}{span}"
