"""Why not to trust this answer: distance, lung field, nearest training slices, heat outside, small changes."""

import pandas as pd
import streamlit as st

from core.labels import title
from core.predictor import Prediction
from dashboard import components, loaders
from dashboard.components import glyph_and_word, plain
from dashboard.loaders import Changed, FileRead, Reading, source_title

NEAREST = "Of the slices that the model learned from, those that its features put nearest. Pictures are not shown."
CHANGES = "Does the answer hold when the slice changes a little?"


def doubts_card(shown: FileRead, index: int) -> None:
    """What speaks against an answer, as far as it can be measured on this slice."""
    reading = shown.readings[index]
    called = reading.prediction
    near = loaders.nearest(reading, called.run)
    with st.container(border=True):
        found = _checks(reading, near)
        speaking = sum(against for against, _ in found)
        sentence = "None of the checks speaks against this answer"
        if speaking:
            sentence = (
                f"{speaking} of {len(found)} checks {'speaks' if speaking == 1 else 'speak'} against this answer"
            )
        components.figure_title(sentence, "Why not to trust this one; a check that finds nothing is no proof")
        left, right = st.columns([1, 1], gap="medium")
        with left:
            for against, words in found:
                icon = ":material/error_outline:" if against else ":material/check:"
                st.markdown(f"{icon} {words}")
        with right:
            if near is not None:
                _nearest_table(near)
        at_once = len(shown.readings) == 1 and not loaders.hosted()  # a dozen more slices to classify
        with st.expander(CHANGES, expanded=at_once, on_change="rerun", key="changes-open") as part:
            if part.open:
                _changes(loaders.changes(reading, loaders.predictor(called.run)), called)


def _checks(reading: Reading, near: pd.DataFrame | None) -> list[tuple[bool, str]]:
    """(speaks against the answer, sentence) of each check that can be made."""
    called, found = reading.prediction, []
    if called.distance is not None:
        limit = loaders.predictor(called.run).gate.limit
        far = called.distance > 1
        side = "farther out than 95 in 100 training slices" if far else "among the training slices"
        found.append((far, f"Distance {called.distance:.2f} of at most {limit:.2f}: {side}"))
    if near is not None:
        alike = int((near["label"] == called.label).sum())
        words = f"{alike} of the {len(near)} nearest training slices are {title(called.label)}"
        found.append((alike <= len(near) // 2, words))
    heat = loaders.heat(reading)
    if heat is None:
        found.append((True, "The heat map is empty, or no lung field was found"))
    else:
        inside, area = heat
        words = (
            f"{100 * inside:.0f} % of the heat lies in the lungs, {100 * area:.0f} % of what the model looked at"
        )
        found.append((inside <= area, words))
    return found


def _nearest_table(near: pd.DataFrame) -> None:
    table = pd.DataFrame(
        {
            "Nearest training slices": [glyph_and_word(label) for label in near["label"]],
            "Source": [plain(source_title(source)) for source in near["source"]],
            "Distance": near["distance"].map("{:.2f}".format),
        }
    )
    st.table(table, border="horizontal", hide_index=True, alt="Class, source and distance of the nearest slices")
    st.caption(NEAREST)


def _changes(tried: list[Changed], called: Prediction) -> None:
    """Small pictures of the changed slices in a row that scrolls, each with what is called then."""
    changed = tried[1:]
    same = sum(one.label == called.label for one in changed)
    refused = sum(one.label is None for one in changed)
    values = [one.probabilities[called.label] for one in changed if one.label]
    words = f"**The answer stays in {same} of {len(changed)} small changes**"
    if values:
        words += f"; the probability of {title(called.label)} lies between {min(values):.2f} and {max(values):.2f}"
    st.markdown(f"{words}{f'; {refused} get no answer' if refused else ''}.")
    with st.container(horizontal=True, wrap=False, gap="small", key="changes"):
        for one in tried:
            with st.container(width=104, gap=None):
                st.image(one.picture, width="stretch", output_format="PNG", alt=f"The slice, {one.words}")
                st.markdown(f":small[{_called(one)}]")
                st.caption(one.words)


def _called(one: Changed) -> str:
    return f"{glyph_and_word(one.label)} {one.probabilities[one.label]:.2f}" if one.label else "⊘ No answer"
