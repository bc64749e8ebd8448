"""The confusion matrix of Performance: cells to click, and the same choice by keyboard."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import figure_title, glyph_and_word
from dashboard.figure import downloads
from dashboard.performance import charts, link, loaders
from dashboard.performance.link import Choice
from dashboard.performance.loaders import Subject
from dashboard.performance.words import lower

TURN = "turn"
SEVERAL = "several"
SHOWN = {"count": "Count", "row": "Row %", "column": "Column %"}


def matrix_card(of: Subject, labels: tuple[str, ...]) -> None:
    """The confusion matrix, how it is shown, and the plain way to a cell."""
    choice = link.choice()
    with st.container(border=True, height="stretch"):
        matrix_figure(of, labels)
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.segmented_control(
                "Numbers",
                list(SHOWN),
                default=choice.show,
                required=True,
                format_func=SHOWN.get,
                label_visibility="collapsed",
                key=link.control("show", choice.show),
                on_change=link.take,
                args=("show", "show"),
            )
            hidden = link.control("hidden", not choice.diagonal)
            st.toggle("Hide diagonal", not choice.diagonal, key=hidden, on_change=_diagonal, width="content")
            log = link.control("log", choice.log)
            st.toggle("Log colour", choice.log, key=log, on_change=link.take, args=("log", "show"), width="content")
            st.toggle(
                "Several cells",
                key=link.key(SEVERAL),
                width="content",
                persist_state="session",
                help="Each click or tap then adds a cell or takes it out, as with Shift held",
            )
            downloads("confusion-matrix", _table(of), lambda: _chart(of, labels))
        cell_boxes(labels)


def _table(of: Subject) -> pd.DataFrame:
    return loaders.matrix(of, link.choice().point)


def _chart(of: Subject, labels: tuple[str, ...]) -> charts.Filled:
    choice = link.choice()
    turn = st.session_state.setdefault(link.key(TURN), 0)
    cells = charts.matrix_cells(_table(of), choice.show, choice.diagonal, choice.log, choice.cells, turn)
    return charts.matrix(cells, labels)


@st.fragment(key=link.key("matrix"))
def matrix_figure(of: Subject, labels: tuple[str, ...]) -> None:
    """The matrix itself, under what it shows most."""
    choice = link.choice()
    kind = "called class" if choice.show == "column" else "true class"
    figure_title(
        matrix_sentence(_table(of), choice),
        f"Slices, share of the {kind} and its 95 % interval; select a cell, with Shift several",
    )
    st.altair_chart(
        _chart(of, labels),
        width="stretch",
        alt="Heat map: true class by called class. Its numbers are in the table under Save, "
        "and the boxes below it choose a cell.",
        key=link.key("confusion"),
        on_select=_clicked,
        selection_mode=[charts.SELECTION, charts.ADDITION],
    )


def matrix_sentence(table: pd.DataFrame, choice: Choice) -> str:
    """What the matrix shows most: the chosen cell, else the largest error."""
    true, called = table["true"].to_numpy(), table["predicted"].to_numpy()
    slices = table["slices"].to_numpy()
    if len(choice.cells) == 1:
        [(wanted_true, wanted_called)] = choice.cells
        place = int(np.flatnonzero((true == wanted_true) & (called == wanted_called))[0])
    else:
        place = int(np.argmax(np.where(true == called, -1, slices)))
        if not slices[place]:
            return "No slice is called another class than its own"
    whole = slices[true == true[place]].sum()
    return f"{slices[place]:,} of {whole:,} {lower(true[place])} slices are called {lower(called[place])}"


def _clicked() -> None:
    """A click on the matrix: that cell alone (or none, where it was alone), with Shift in or out of the others."""
    selection = st.session_state[link.key("confusion")]["selection"]
    st.session_state[link.key(TURN)] = st.session_state.get(link.key(TURN), 0) + 1
    clicks = [
        (point["turn"], name, (point["true_label"], point["called_label"]))
        for name in (charts.SELECTION, charts.ADDITION)
        for point in selection.get(name) or ()
    ]
    if not clicks:
        return
    _, name, cell = max(clicks)
    before = set(link.choice().cells)
    adds = name == charts.ADDITION or st.session_state.get(link.key(SEVERAL))
    alone = set() if before == {cell} else {cell}
    _choose(before ^ {cell} if adds else alone)


def _choose(cells: set[tuple[str, str]]) -> None:
    labels = st.session_state[link.KEY].offer.labels
    link.move("cells", cells=link.ordered(cells, labels), page=1)


def clear_cells() -> None:
    """Show all slices again."""
    link.move("cells", cells=(), page=1)


def _diagonal() -> None:
    link.move("show", diagonal=not link.held("hidden"))


@st.fragment(key=link.key("boxes"))
def cell_boxes(labels: tuple[str, ...]) -> None:
    """The same choice by keyboard: rows, columns, or where both cross."""
    choice = link.choice()
    true, called = box_values(choice.cells, labels)
    several = choice.cells and not true and not called
    left, right = st.columns(2, gap="small")
    for place, name, value, words in ((left, "true", true, "True class"), (right, "called", called, "Called")):
        place.multiselect(
            words,
            labels,
            value,
            placeholder="Several cells" if several else "All",
            format_func=glyph_and_word,
            key=link.control(name, value),
            on_change=_boxed,
        )


def box_values(cells: Sequence[tuple[str, str]], labels: Sequence[str]) -> tuple[list[str], list[str]]:
    """The true and the called classes that two boxes must show for these cells; an empty box stands for all.

    Both are empty where the cells are not all those in which some rows and some columns cross.
    """
    rows, columns = ({cell[side] for cell in cells} for side in (0, 1))
    if len(rows) * len(columns) != len(set(cells)):
        return [], []
    true, called = (
        [label for label in labels if label in names and len(names) < len(labels)] for names in (rows, columns)
    )
    return true, called


def _boxed() -> None:
    labels = st.session_state[link.KEY].offer.labels
    true, called = link.held("true"), link.held("called")
    if not true and not called:
        _choose(set())
    else:
        _choose({(a, b) for a in true or labels for b in called or labels})
