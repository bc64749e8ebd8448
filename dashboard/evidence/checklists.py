"""Reporting checklists beside a run: what it answers, and what would answer the rest."""

import pandas as pd
import streamlit as st

from core.runs import Run
from dashboard.components import figure_title
from dashboard.evidence import loaders as evidence
from dashboard.figure import csv_bytes

STATES = ("All", "Filled", "Open")
"""What the table may be narrowed to; as they are they stand in the address."""
SIGNS = {"filled": "● ", "open": "○ **Open.** "}


@st.fragment
def checklist_card(run: Run) -> None:
    """One checklist as a table that scrolls in itself, to be narrowed to filled or open items."""
    known = {one.name: one for one in evidence.checklists()}
    with st.container(border=True):
        place = st.container(gap=None)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            chosen = known[
                st.segmented_control(
                    "Checklist",
                    list(known),
                    default=next(iter(known)),
                    required=True,
                    label_visibility="collapsed",
                    key="checklist",
                    bind="query-params",
                )
            ]
            table = evidence.checklist_table(run, chosen)
            state = st.segmented_control(
                "Items",
                STATES,
                default=STATES[0],
                required=True,
                label_visibility="collapsed",
                key="items",
                bind="query-params",
            )
        filled = (table["state"] == "filled").sum()
        with place:
            figure_title(
                f"{filled} of {len(table)} items of {chosen.name} are answered by this run",
                "Filled: the run's own files hold the answer, which does not say that it is a good one. Open: what "
                "would answer it",
            )
        _table(chosen.name, table if state == STATES[0] else table[table["state"] == state.lower()], state)
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            st.caption(f"{chosen.citation} [{chosen.url}]({chosen.url}). {chosen.licence}", width="stretch")
            st.download_button(
                "CSV",
                lambda: csv_bytes(table),
                f"lunglens-{chosen.id}-{run.name}.csv",
                "text/csv",
                icon=":material/download:",
                on_click="ignore",
                key=f"csv-{chosen.id}",
                help="All items with question, state, answer and the places in the run that it comes from",
            )


def _table(name: str, shown: pd.DataFrame, state: str) -> None:
    """Items in their order; an open one says so, and what would answer it."""
    with st.container(key="checklist-table"):
        st.table(
            pd.DataFrame(
                {
                    "Item": shown["item"],
                    "Topic": shown["topic"],
                    "Answer, or what would answer it": shown["state"].map(SIGNS) + shown["text"],
                }
            ),
            height=480,
            border="horizontal",
            hide_index=True,
            alt=f"Items of {name}, {state.lower()}, with their answers",
        )
