"""What stands below the fold of Performance and is computed only when it is opened."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import DataError
from core.labels import title
from dashboard.charts import forest
from dashboard.components import GLYPHS, figure_title, plain
from dashboard.figure import downloads, figure
from dashboard.loaders import source_title
from dashboard.performance import link, loaders
from dashboard.performance.gallery import A_PAGE, gallery
from dashboard.performance.link import Choice, Point
from dashboard.performance.loaders import Subject
from dashboard.performance.words import cell_words, estimate_words, lower

DRAWN = 24
"""Rows of a forest plot at most; the rest stands in its table."""

MOST = 200
"""Rows of a table on the page; the rest is in its download."""

MEASURES = {"ece": "Calibration error", "brier": "Brier score", "cross_entropy": "Cross-entropy"}


@st.fragment(key=link.key("details"))
def details(of: Subject) -> None:
    """Four closed parts, one subject each."""
    choice = link.choice()
    st.session_state[link.DETAILS_OPEN] = False
    parts = {
        "by": ("By source, severity and other columns", ":material/align_horizontal_left:", by_column),
        "report": ("Report by class, to copy", ":material/table:", report),
        "calibration": ("Calibration before and after temperature", ":material/thermostat:", calibration),
        "suspects": ("Likely label errors", ":material/rule:", suspects),
    }
    for name, (words, icon, draw) in parts.items():
        part = st.expander(words, icon=icon, key=link.key(f"open-{name}"), on_change="rerun")
        if part.open:
            st.session_state[link.DETAILS_OPEN] = True
            with part:
                draw(of, choice)


def by_column(of: Subject, choice: Choice) -> None:
    """The forest plot: a measure in each value of a column, or where cells are chosen how often those happen."""
    columns = loaders.columns(of)
    if not columns:
        st.caption("These slices differ in no column of their manifest: there is nothing to compare by.")
        return
    chosen = st.selectbox("Compare by", columns, key=link.key("column"), persist_state="session")
    if choice.cells:
        table = loaders.cells_by_column(of, choice.point, choice.cells, chosen)
        table = table.assign(label=table["predicted"], value=table["row_share"], low=table["row_low"])
        table = table.assign(
            high=table["row_high"], of_words=[_of(*pair) for pair in zip(table["slices"], table["of"], strict=True)]
        )
        names = [
            f"{row.value_of}, {lower(row.true)} called {lower(row.predicted)}" for row in _named(table, chosen)
        ]
        what, axis = f"Share of the true class: {cell_words(choice.cells)}", "Share of the true class's slices"
    else:
        table = loaders.by_column(of, choice.point, chosen)
        table = table.assign(
            label=[name.removeprefix("sensitivity ") if " " in name else "" for name in table["metric"]]
        )
        table.loc[table["metric"] == "balanced accuracy", "label"] = ""
        table = table.assign(of_words=[f"{count:,} slices" for count in table["slices"]])
        names = [
            f"{row.value_of}, {'balanced accuracy' if not row.label else lower(row.label)}"
            for row in _named(table, chosen)
        ]
        what, axis = "Share called correctly in each class, and balanced accuracy", "Share called correctly"
    if table.empty:
        st.caption("No slice has a value in this column.")
        return
    words = [estimate_words(row.value, row.low, row.high) for row in table.itertuples()]
    table = table.assign(name=names, words=words)
    figure(
        forest(table.head(DRAWN)[["name", "label", "value", "low", "high", "words"]], axis),
        table,
        sentence=spread_sentence(table, chosen),
        note=f"{what}; whiskers: 95 %; the table under Save has the counts",
        alt_text="Dot plot with intervals: " + "; ".join((table["name"] + " " + table["words"]).head(6)),
        name="by-column",
    )
    if len(table) > DRAWN:
        st.caption(f"The first {DRAWN} of {len(table)} rows are drawn; all are in the table under Save.")


def table_title(sentence: str, note: str, name: str, table: pd.DataFrame) -> None:
    """What a table shows, and at its right the data to take away."""
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            figure_title(sentence, note)
        downloads(name, table)


def _named(table: pd.DataFrame, column: str) -> list:
    named = source_title if column == "source" else str
    return list(table.assign(value_of=[named(value) for value in table["value_of"]]).itertuples())


def _of(slices: int, whole: int) -> str:
    return f"{slices:,} of {whole:,} slices"


def spread_sentence(table: pd.DataFrame, column: str) -> str:
    """The lowest and the highest row, or that they cannot be told apart."""
    known = table[np.isfinite(table["low"])]
    if len(known) < 2:
        return f"Too few groups to compare by {plain(column)}"
    least, most = known.loc[known["value"].idxmin()], known.loc[known["value"].idxmax()]
    if least["high"] >= most["low"]:
        return f"No value of {plain(column)} can be told from the others"
    return (
        f"Lowest in {plain(least['name'])}: {plain(least['words'])}; highest in {plain(most['name'])}: "
        f"{plain(most['words'])}"
    )


def report(of: Subject, choice: Choice) -> None:
    """scikit-learn's classification report, as a table and as text; of all slices, whatever cell is chosen."""
    table = loaders.report(of, choice.point)
    note = "As scikit-learn's classification_report; all slices, whatever cell is chosen"
    table_title("Precision, recall and F1 of each class", note, "report", table)
    shown = table.assign(name=[title(name) for name in table["name"]])
    for name in ("precision", "recall", "f1-score"):
        shown[name] = [f"{value:.2f}" if np.isfinite(value) else "" for value in shown[name].astype(float)]
    shown["support"] = [f"{int(value):,}" for value in shown["support"]]
    st.table(shown.rename(columns={"name": ""}), border="horizontal", hide_index=True, alt="Report by class")
    st.code(report_text(table), language=None)


def report_text(table: pd.DataFrame) -> str:
    """The report in columns, to paste."""
    width = max(len(str(name)) for name in table["name"])
    lines = [f"{'':>{width}}  precision  recall  f1-score  support"]
    for row in table.itertuples(index=False):
        values = [f"{value:.2f}" if np.isfinite(value) else "" for value in map(float, row[1:4])]
        lines.append(f"{row[0]:>{width}}  {values[0]:>9}  {values[1]:>6}  {values[2]:>8}  {int(row[4]):>7}")
    return "\n".join(lines)


def calibration(of: Subject, choice: Choice) -> None:
    """What the run's temperature does to three measures of calibration."""
    table = loaders.calibration(of)
    temperature = table.loc[table["when"] == "after", "temperature"].iloc[0]
    note = f"Temperature {temperature:.3f}, fitted on validation predictions; all slices; lower is better; 95 %"
    table_title(calibration_sentence(table), note, "calibration", table)
    wide = {
        when: [estimate_words(row.value, row.low, row.high) for row in table[table["when"] == when].itertuples()]
        for when in ("before", "after")
    }
    measures = [MEASURES.get(name, name) for name in table.loc[table["when"] == "before", "measure"]]
    shown = pd.DataFrame({"Measure": measures, "Before": wide["before"], "After": wide["after"]})
    st.table(shown, border="horizontal", hide_index=True, alt="Calibration before and after temperature")


def calibration_sentence(table: pd.DataFrame) -> str:
    """Whether the calibration error fell, only where the intervals are apart."""
    row = table[table["measure"] == "ece"].set_index("when")
    before, after = row.loc["before"], row.loc["after"]
    if after["high"] < before["low"]:
        return f"Temperature lowers the calibration error from {before['value']:.3f} to {after['value']:.3f}"
    if after["low"] > before["high"]:
        return f"Temperature raises the calibration error from {before['value']:.3f} to {after['value']:.3f}"
    return f"Temperature changes little: calibration error {before['value']:.3f} before, {after['value']:.3f} after"


def suspects(of: Subject, choice: Choice) -> None:
    """Slices whose label other slices speak against, worst first; those of the chosen cells where some are."""
    try:
        found = loaders.suspects(of)
    except DataError as error:
        st.caption(f"Not for this scheme: found {plain(error.found)}; expected {plain(error.expected)}.")
        return
    table = found.found
    if choice.cells:
        inside = loaders.mask(loaders.Picked(of, choice.point, choice.cells))
        table = table[inside[table["row"].to_numpy(int)]]
    everything = loaders.listed(of, Point(), table["row"].to_numpy(int)).drop(
        columns=["true", "called", "confidence"]
    )
    numbers = table[["given", "suggested", "self_confidence", "margin"]].reset_index(drop=True)
    everything = pd.concat([numbers, everything], axis=1)
    listed = everything.drop(columns="row")
    table_title(
        f"{len(table):,} slices may carry a wrong label",
        "Confident learning on predictions by models that had not seen them; a suspicion, not a finding. "
        "Under each picture: the label it carries → the class suggested, and by how much that is more probable",
        "label-errors",
        listed,
    )
    if table.empty:
        return
    pages = max(1, -(-len(table) // A_PAGE))
    page = st.pagination(pages, key=link.key("suspects-page"), max_visible_pages=5)
    shown = everything.iloc[(page - 1) * A_PAGE : page * A_PAGE]
    pictures = [loaders.picture(of, row.source, row.file, row.sha256) for row in shown.itertuples()]
    gallery(shown, pictures, "", "Likely label errors", 6, _suspect_words)
    st.dataframe(
        listed.head(MOST),
        hide_index=True,
        height=280,
        column_config={
            name: st.column_config.NumberColumn(format="%.3f") for name in ("self_confidence", "margin")
        },
        alt="Likely label errors, worst first",
    )
    if len(listed) > MOST:
        st.caption(f"The worst {MOST} of {len(listed):,} are in this table; all are under Save.")


def _suspect_words(row: Any) -> tuple[str, str]:
    caption = f"{GLYPHS.get(row.given, '◆')} → {GLYPHS.get(row.suggested, '◆')} {row.margin:.2f}"
    return caption, f"Labelled {lower(row.given)}, rather {lower(row.suggested)}: {row.file}"
