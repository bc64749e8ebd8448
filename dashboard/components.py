"""Pieces that pages show: words, glyphs, figure titles, interval pills, messages."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import LungLensError, RunError
from core.labels import title
from market.errors import MarketError

DISCLAIMER = "For research and education. Not a medical device: do not use it to diagnose or treat anyone."

GLYPHS = {"normal": "●", "pneumonia": "▲", "tumour": "■"}
ICONS = {"normal": "circle", "pneumonia": "change_history", "tumour": "square"}
NAMES = {"normal": "blue", "pneumonia": "orange", "tumour": "violet"}
"""Streamlit's colour names, which the theme maps to the three classes."""


def glyph_and_word(label: str) -> str:
    """The class as in "▲ Pneumonia", for places that show neither Markdown nor colour."""
    return f"{GLYPHS.get(label, '◆')} {title(label)}"


def class_icon(label: str) -> str:
    """The class's shape in its colour, as Markdown."""
    return f":{NAMES.get(label, 'gray')}[:material/{ICONS.get(label, 'diamond')}:]"


def plain(text: str) -> str:
    """Text that came from a file or a link, with nothing in it that Markdown would act on."""
    return re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", " ".join(text.split()))


def head(question: str, lead: str) -> DeltaGenerator:
    """The page's question and its one-line lead; returns the place for buttons at their right."""
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute", key="head"):
        with st.container(gap="xsmall", width="stretch", key="question"):
            st.title(question, anchor=False)
            st.caption(lead)
        return st.container(horizontal=True, width="content", gap="small", key="actions")


def figure_title(sentence: str, note: str, level: int = 3) -> None:
    """What a figure shows, as a sentence, and under it one grey line: unit, population, what bands are.

    `level` 2 where no answer stands above it, so that no level of headings is skipped.
    """
    st.markdown(f"{'#' * level} {sentence}\n:small[:gray[{note}]]", anchors=False)


def interval(estimate: Mapping[str, float] | None) -> str | None:
    """As in "0.75 to 0.80", or None where there is no interval."""
    if not estimate or estimate.get("low") is None or estimate.get("high") is None:
        return None
    return f"{estimate['low']:.2f} to {estimate['high']:.2f}"


def estimate_metric(label: str, estimate: Mapping[str, float] | None, under: str, help: str | None = None) -> None:
    """One estimate over the grey pill of its 95 % interval, and under it what it was measured on.

    What is wrong with the interval, where something is (`note`), takes the place of a missing `help`.
    """
    note = estimate.get("note") if estimate else None
    help = help or (f"{note[:1].upper()}{note[1:]}." if note else None)
    if not estimate or estimate.get("value") is None:
        st.metric(label, "–", delta="not measured", delta_color="off", delta_arrow="off", help=help)
        return
    pill = interval(estimate) or "no interval"
    st.metric(label, f"{estimate['value']:.2f}", delta=pill, delta_color="off", delta_arrow="off", help=help)
    st.caption(under)


def link_notice(name: str, found: str, expected: str, used: str) -> None:
    """A value in a link that cannot be used, and what is used in its place."""
    shown = found if len(found) <= 60 else found[:57] + "..."
    st.warning(
        f"**This link holds a value that cannot be used.** {plain(name)} was {plain(shown) or 'empty'}; "
        f"expected {plain(expected)}. Used instead: {plain(used)}.",
        icon=":material/info:",
    )


def unread_message(error: LungLensError) -> str:
    """The file, what was found and what was expected, as Markdown."""
    found, expected = plain(error.found), plain(error.expected)
    return f"**{plain(error.name)} could not be read.** Found {found}; expected {expected}."


@contextmanager
def told() -> Iterator[None]:
    """Inside, what the packages refuse, such as a damaged file, is told on the page and never a traceback."""
    try:
        yield
    except (LungLensError, MarketError) as error:
        st.error(
            f"**This cannot be shown.** {plain(error.name)}: found {plain(error.found)}; "
            f"expected {plain(error.expected)}.",
            icon=":material/error:",
        )


def run_message(error: RunError) -> None:
    """A model run that is missing or damaged: what is wrong with it and what to do."""
    st.error(
        f"**This model run cannot be used.** {plain(error.name)}: found {plain(error.found)}; "
        f"expected {plain(error.expected)}. Choose another run, train one with `make train`, "
        "or fetch `data/runs/demo` again with the repository.",
        icon=":material/error:",
    )
