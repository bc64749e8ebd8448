"""The table of all runs: find, filter, sort, what is damaged, and latency on demand."""

import pandas as pd
import streamlit as st

from dashboard.comparison import link, loaders, words
from dashboard.components import figure_title, plain, unread_message
from dashboard.figure import downloads
from dashboard.loaders import scheme_title

ROW_HEIGHT, HEADER_HEIGHT, MOST_ROWS, FILTERED_FROM = 35, 38, 6, 4


def show(table: pd.DataFrame) -> None:
    """The table with its filters, the button that measures latency, and under it what is damaged."""
    kept = _filtered(table)
    finished = int((table["state"] == "finished").sum())
    others = len(table) - finished
    sentence = f"{finished} finished run{'' if finished == 1 else 's'}"
    if others:
        sentence += f", {others} other folder{'' if others == 1 else 's'}"
    if len(kept) < len(table):
        sentence += f"; {len(kept)} shown"
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            figure_title(
                sentence,
                "Balanced accuracy by the least flattering test that the run has; 95 % intervals by bootstrap over "
                "groups; click a column's head to sort",
                level=2,
            )
        downloads("runs", kept.drop(columns="backbone").assign(sources=kept["sources"].map("; ".join)))
    if kept.empty:
        st.caption("No run fits. Clear the search or the filters to see all.")
    else:
        _dataframe(kept)
    _damaged(table)
    if timed := _latency_button(kept):
        _measure(timed)


def _filtered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that fit what the visitor looks for; no filters where all rows are seen at once."""
    choice = link.choice()
    if len(table) < FILTERED_FROM and not (choice.find or choice.states or choice.recipes):
        return table
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="comparison-filters"):
        find = st.text_input(
            "Find",
            choice.find,
            key=link.control("find", choice.find),
            on_change=link.take,
            args=("find",),
            placeholder="Name, recipe, source or note",
            icon=":material/search:",
            width=300,
        )
        states = [name for name in link.STATES if (table["state"] == name).any() or name in choice.states]
        for name, label, options, titles in (
            ("states", "State", states, words.STATES),
            ("recipes", "Recipe", recipes(table), {}),
        ):
            if len(options) > 1 or getattr(choice, name):
                st.multiselect(
                    label,
                    options,
                    list(getattr(choice, name)),
                    key=link.control(name, list(getattr(choice, name))),
                    format_func=lambda value, titles=titles: titles.get(value, value),
                    on_change=link.take,
                    args=(name,),
                    width=160,
                )
    if find:
        text = table["name"] + " " + table["recipe"].fillna("") + " " + table["sources"].map(" ".join)
        table = table[(text + " " + table["note"]).str.contains(find, case=False, regex=False)]
    if choice.states:
        table = table[table["state"].isin(choice.states)]
    if choice.recipes:
        table = table[table["recipe"].isin(choice.recipes)]
    return table


def recipes(table: pd.DataFrame) -> list[str]:
    """The recipes by which the table can be filtered, by name."""
    return sorted(set(table["recipe"].dropna()) - {""})


def _dataframe(table: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    text = st.column_config.TextColumn
    shown = pd.DataFrame(
        {
            "Run": table["name"],
            "State": table["state"].map(words.STATES),
            "Balanced accuracy": table["value"].astype(float),
            "95 % interval": [_interval(*pair) for pair in table[["low", "high"]].to_numpy()],
            "Tested on": [_tested(row) for row in table.itertuples()],
            "AUC, diseased": table["auc"].astype(float),
            "Its 95 % interval": [_auc(row) for row in table.itertuples()],
            "Data": [_data(row) for row in table.itertuples()],
            "Recipe": table["recipe"],
            "Epochs": [_epochs(row) for row in table.itertuples()],
            "Date": table["created"],
            "Size": table["size_mb"].astype(float),
            "Parameters": table["parameters"].astype(float) / 1e6,
            "Latency": table["latency"].astype(float),
            "Middle 90 %": [_interval(*pair, 1) for pair in table[["latency_low", "latency_high"]].to_numpy()],
            "Note": table["note"].str.replace(r"\s+", " ", regex=True),
        }
    )
    st.dataframe(
        shown,
        hide_index=True,
        height=HEADER_HEIGHT + ROW_HEIGHT * min(len(shown), MOST_ROWS) + 2,
        alt=f"Table of {len(shown)} runs with their state, results, data, recipe, date, size and latency",
        placeholder="–",
        column_config={
            "Run": text(pinned=True, width=190),
            "State": text(width=105),
            "Balanced accuracy": number(format="%.2f", width=135, help="Mean sensitivity of the classes"),
            "95 % interval": text(width=110),
            "Tested on": text(
                width=220,
                help="The least flattering test that the run has: sources left out of training, else grouped "
                "folds, else its own test or validation images",
            ),
            "AUC, diseased": number(
                format="%.2f", width=110, help="Normal against diseased; of left-out sources the lowest"
            ),
            "Its 95 % interval": text(width=215),
            "Data": text(width=180),
            "Recipe": text(width=90),
            "Epochs": text(width=80),
            "Date": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", width=135, help="UTC"),
            "Size": number(
                format="%.1f MB",
                width=75,
                help="The network as it is run (model.onnx), of an ensemble its members' together",
            ),
            "Parameters": number(format="%.2f M", width=95, help="Fitted numbers in the network as it is run"),
            "Latency": number(format="%.0f ms", width=80, help="One slice, median of 30, on this machine"),
            "Middle 90 %": text(width=105, help="5th to 95th percentile of the 30, in ms"),
            "Note": text(width=300),
        },
    )


def _interval(low: float, high: float, digits: int = 2) -> str:
    return "–" if pd.isna(low) or pd.isna(high) else f"{low:.{digits}f} to {high:.{digits}f}"


def _epochs(row: tuple) -> str:
    return f"{row.epochs_done:.0f}" if pd.isna(row.epochs) else f"{row.epochs_done:.0f} of {row.epochs:.0f}"


def _tested(row: tuple) -> str:
    if not isinstance(row.scheme, str):
        return "not measured"
    return f"{scheme_title(row.scheme)}, {row.n_slices:,.0f} slices"


def _auc(row: tuple) -> str:
    of = f", {row.auc_of}" if isinstance(row.auc_of, str) and row.auc_of else ""
    return f"{_interval(row.auc_low, row.auc_high)}{of}"


def _data(row: tuple) -> str:
    if pd.isna(row.images):
        return "–"
    sources = len(row.sources)
    return f"{sources} source{'' if sources == 1 else 's'}, {row.images:,.0f} images"


def _damaged(table: pd.DataFrame) -> None:
    """What is wrong with each folder that is no whole run."""
    damaged = table[table["state"] == "damaged"]
    if damaged.empty:
        return
    lines = [f"**{plain(name)}**: {problem}." for name, problem in damaged[["name", "problem"]].to_numpy()]
    st.caption(
        f":material/error: Not {'a whole run' if len(lines) == 1 else 'whole runs'}, to be mended or deleted; the "
        f"others are not touched by it. {' '.join(lines)}"
    )


def _latency_button(table: pd.DataFrame) -> list[str]:
    """The finished runs to time, where the button was just pressed."""
    names = table.loc[table["state"] == "finished", "name"].tolist()
    pressed = st.button(
        "Measure latency",
        icon=":material/timer:",
        type="tertiary",
        key=link.HERE,
        disabled=not names,
        help="Median and middle 90 % of 30 predictions of each run shown, one drawn slice at a time with its "
        "preprocessing, on this machine as it is now. Kept until the program restarts.",
    )
    return names if pressed else []


def _measure(names: list[str]) -> None:
    bar = st.progress(0.0, "Measuring")
    errors = loaders.measure_latency(names, lambda name, done: bar.progress(done, f"Measuring {plain(name)}"))
    for error in errors:
        st.error(unread_message(error), icon=":material/error:")
    if not errors:
        st.rerun()
