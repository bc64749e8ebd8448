"""The results of all files at once: the table, its CSV, and the messages for what could not be read."""

from collections.abc import Sequence
from pathlib import PurePosixPath

import pandas as pd
import streamlit as st

from core.errors import ImageError
from core.labels import LABELS, title
from dashboard import state, viewer
from dashboard.charts import COLOURS
from dashboard.components import glyph_and_word, unread_message
from dashboard.figure import csv_bytes
from dashboard.loaders import FileRead

SEPARATE_MESSAGES = 2
"""Up to so many unread files have a message each; more of them share one that unfolds."""
FOLDED_MESSAGES = 50
"""Messages that unfold; the table of results has all of them."""

PLACE = ["shown_as", "key", "index"]
"""Columns that the page needs and the download leaves out: a row's file in words, and where its slice is."""


def table(files: Sequence[FileRead]) -> pd.DataFrame:
    """One row per slice, then one per file or member that was not read, for all files in order.

    Columns file, slice (from 1; <NA> where not read), label, one column a class with its probability, run,
    warnings, refused (why there is no label), error, and those of PLACE.
    """
    rows = []
    for source in files:
        for index, reading in enumerate(source.readings):
            called = reading.prediction
            rows.append(
                {
                    "file": reading.name,
                    "slice": index + 1,
                    "label": called.label or "",
                    **called.probabilities,
                    "run": called.run,
                    "warnings": " ".join(reading.warnings),
                    "refused": called.refused or "",
                    "error": "",
                    "shown_as": source.name,
                    "key": source.key,
                    "index": index,
                }
            )
        rows += [
            {
                "file": error.name,
                "label": "",
                "error": f"Found {error.found}; expected {error.expected}.",
                "shown_as": _short(error.name),
                "key": source.key,
                "run": "",
                "warnings": "",
                "refused": "",
            }
            for error in source.errors
        ]
    frame = pd.DataFrame(
        rows, columns=["file", "slice", "label", *_labels(files), "run", "warnings", "refused", "error", *PLACE]
    )
    return frame.astype({"slice": "Int64", "index": "Int64"})


def _labels(files: Sequence[FileRead]) -> list[str]:
    for source in files:
        for reading in source.readings:
            if reading.prediction.probabilities:
                return list(reading.prediction.probabilities)
    return list(LABELS)


def csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV: probabilities to six decimals, nothing but what the page shows."""
    return csv_bytes(frame.drop(columns=PLACE), "%.6f")


def show(frame: pd.DataFrame) -> None:
    """The table, in glyphs and words; choosing a row opens its slice above."""
    labels = [name for name in frame.columns if name in COLOURS] or list(LABELS)
    note = (frame["refused"] + " " + frame["warnings"] + " " + frame["error"]).str.strip()
    refused = frame["refused"] != ""
    view = pd.DataFrame(
        {
            "File": frame["shown_as"],
            "Slice": frame["slice"],
            "Most like": [_called(label, gone) for label, gone in zip(frame["label"], refused, strict=True)],
            **{title(label): frame[label] for label in labels},
            "Note": note,
        }
    )
    bars = {
        title(label): st.column_config.ProgressColumn(
            min_value=0, max_value=1, format="%.2f", color=COLOURS[label], width=110
        )
        for label in labels
        if label in COLOURS
    }
    st.dataframe(
        view,
        hide_index=True,
        key="results_table",
        on_select=lambda: _open_row(frame),
        height=min(420, 38 + 35 * len(view)),
        selection_mode="single-row",
        column_config={
            "File": st.column_config.TextColumn(width=190),
            "Slice": st.column_config.NumberColumn(width=55),
            "Most like": st.column_config.TextColumn(width=115),
            **bars,
            "Note": st.column_config.TextColumn(width=260 if note.any() else 60),
        },
        alt=f"Table of {len(view)} results: file, slice, most likely class, probability of each class, note",
    )


def _called(label: str, refused: bool) -> str:
    return glyph_and_word(label) if label else "⊘ No answer" if refused else "× Not read"


def _short(name: str) -> str:
    """A member of an archive without the folders inside the archive."""
    archive, mark, member = name.partition("!")
    return f"{archive} › {PurePosixPath(member).name}" if mark else name


def _open_row(frame: pd.DataFrame) -> None:
    rows = st.session_state["results_table"].selection.rows
    if not rows:
        return
    row = frame.iloc[rows[0]]
    if pd.notna(row["index"]):
        st.session_state[state.SHOWING] = row["key"]
        state.keep(viewer.slice_name(row["key"]), int(row["index"]) + 1)


def unread(errors: Sequence[ImageError]) -> None:
    """A message for each file that could not be read; many of them folded into one."""
    for error in errors[:SEPARATE_MESSAGES]:
        st.error(unread_message(error), icon=":material/error:")
    folded = errors[SEPARATE_MESSAGES:]
    if folded:
        with st.expander(f"{len(folded)} more could not be read", icon=":material/error:"):
            for error in folded[:FOLDED_MESSAGES]:
                st.markdown(unread_message(error))
            if len(folded) > FOLDED_MESSAGES:
                st.markdown(f"The other {len(folded) - FOLDED_MESSAGES:,} are in the table of results.")
