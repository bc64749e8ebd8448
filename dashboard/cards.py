"""The cards of one answer on Classify: the sentence, bars, the reason to doubt, what was read, the series."""

import pandas as pd
import streamlit as st

from core.conformal import DEFAULT
from core.gate import FAR
from core.labels import title
from core.predictor import Prediction
from dashboard import charts, components, loaders, state, viewer
from dashboard.components import NAMES, class_icon, glyph_and_word, plain
from dashboard.loaders import FileRead

CALIBRATED = (
    "The model's raw scores are scaled by one number (a temperature) fitted on slices that it was not "
    "trained on, so that 0.8 should be right about 8 times in 10 on slices like those. On other scanners "
    "this need not hold."
)

COVERAGE = "coverage"
"""Name of the control that sets how often a prediction set is to hold the true class (dashboard.state.kept)."""

DISTANCE = (
    "How much of what the network sees halfway through is unlike its training slices. 1 is the 95th percentile of "
    "such slices. The picture's texture and layout count, not disease."
)


def answer(shown: FileRead, index: int) -> None:
    """The answer as a sentence, over the whole width so that it comes first on a phone too."""
    called = shown.readings[index].prediction
    with st.container(gap="xsmall", key="answer"):
        st.caption(viewer.place_words(shown, index))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            if called.refused:
                st.header(f":material/block: {refusal_words(called)}", anchor=False, width="content")
                return
            coverage = state.kept(COVERAGE, DEFAULT)
            sets = loaders.sets(called.run, coverage)
            could_be = sets.could_be(called.probabilities) if sets else [called.label]
            icon, sentence = class_icon(called.label), f"Most like: {title(called.label)}"
            if len(could_be) > 1:
                icon, sentence = ":material/contrast:", f"Unsure: {_either(could_be)}"
            else:
                sentence += f", {called.probabilities[called.label]:.2f}"
            st.header(f"{icon} {sentence}", anchor=False, width="content")
            st.caption("calibrated", width="content", help=CALIBRATED)
        if sets:
            _set_row(called.run, could_be, coverage)


def _either(labels: list[str]) -> str:
    """As in "Normal, Pneumonia or Lung tumour"."""
    *first, last = map(title, labels)
    return f"{', '.join(first)} or {last}"


def _set_row(run: str, could_be: list[str], coverage: float) -> None:
    """What the slice could be at the coverage that the visitor sets."""
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall", key="could-be"):
        st.markdown(f"Could be, at {100 * coverage:.0f} % coverage:", width="content")
        for label in could_be:
            st.badge(glyph_and_word(label), color=NAMES.get(label, "gray"))
        with st.popover("Coverage", icon=":material/tune:", type="tertiary"):
            st.select_slider(
                "How often the set is to hold the true class",
                loaders.COVERAGES,
                coverage,
                format_func=lambda share: f"{100 * share:.0f} %",
                key=state.control_key(COVERAGE, coverage),
                on_change=state.keep_held,
                args=(COVERAGE,),
            )
            _held(loaders.held(run, coverage))


def _held(found: dict[str, dict] | None) -> None:
    """How often sets held the true class of slices from sources that were left out of training, a source a row."""
    if found is None:
        st.caption("How often that holds on sources that the model has not seen was not measured.")
        return
    st.caption(
        "Set on slices of known sources, each class alike; about so often, no guarantee. With two classes or more "
        "the model abstains. What became of it on sources left out of training and of this setting, 95 % by groups:"
    )
    rows = [
        (plain(loaders.source_title(source)), *(_share_words(one[name]) for name in ("held", "single", "right")))
        for source, one in found.items()
    ]
    columns = ["Left-out source", "Set held the class", "One class alone", "Right, of those"]
    words = "Coverage, answers and accuracy of the answers by left-out source"
    st.table(pd.DataFrame(rows, columns=columns), border="horizontal", hide_index=True, alt=words)


def _share_words(share: dict | None) -> str:
    return "none" if share is None else f"{loaders.estimate_words(share)} of {share['slices']}"


def refusal_words(called: Prediction) -> str:
    """That there is no answer, and why in a few words."""
    if called.distance is not None and called.refused.startswith(FAR):
        return "No answer: unlike the slices that the model knows"
    return "No answer: not a lung CT slice"


def refusal_card(called: Prediction, limit: float, metrics: dict) -> None:
    """Why a slice was refused, how far it lies from what the model knows, and how often lung slices are refused."""
    with st.container(border=True):
        components.figure_title(called.refused, "What the gate before any answer found")
        with st.container(horizontal=True, gap="medium"):
            st.metric("Distance from training slices", f"{called.distance:.2f}", help=DISTANCE, width="content")
            st.metric("Limit", f"{limit:.2f}", width="content")
        st.markdown(
            "Pictures unlike those that the model learned from are to be refused: X-rays, other organs, "
            "photographs, slices above or below the lungs. It can judge an axial slice that shows both lungs."
        )
        st.caption(loaders.gate_words(metrics))


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
    hatched = "; hatched: no answer" if table["probability"].isna().any() else ""
    with st.container(border=True):
        components.figure_title(
            sentence, f"Calibrated probability by slice; each slice is classified on its own, no interval{hatched}"
        )
        if table["probability"].isna().all():
            return
        st.altair_chart(
            charts.series_lines(table, index + 1, loaders.series_order(shown)),
            width="stretch",
            alt=f"Line chart of class probabilities along {len(shown.readings)} slices. {sentence}. "
            "The values are in the table below.",
        )


def series_sentence(labels: list[str | None]) -> str:
    """Which class most slices are most like, and from where to where; None where a slice was refused."""
    answered = [label for label in labels if label]
    if not answered:
        return f"None of the {len(labels)} slices was answered"
    most = max(dict.fromkeys(answered), key=answered.count)
    where = [place for place, label in enumerate(labels, start=1) if label == most]
    if len(where) == len(labels):
        return f"All {len(labels)} slices are most like {title(most)}"
    unbroken = where[-1] - where[0] + 1 == len(where)
    span = f", slice {where[0]} to {where[-1]}" if unbroken and len(where) > 1 else ""
    refused = len(labels) - len(answered)
    rest = f"; {refused} without an answer" if refused else ""
    return f"{len(where)} of {len(labels)} slices are most like {title(most)}{span}{rest}"
