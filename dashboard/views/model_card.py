"""Model card: what is this model for, and where does it fail? From the run's own files."""

import pandas as pd
import streamlit as st

from core.errors import RunError
from core.gate import Gate
from core.labels import title
from dashboard import charts, components, loaders, state
from dashboard.components import figure_title, plain
from dashboard.evidence import loaders as evidence
from dashboard.evidence.checklists import checklist_card
from dashboard.evidence.failures import failures_card
from dashboard.evidence.whole import CSS, whole_card
from dashboard.figure import downloads
from dashboard.loaders import source_title
from dashboard.measured import declines, forest_card, headline, robustness_table

MADE = "`python -m core shortcuts --run RUN --data DIR... --keep` measures it, after a cross-validation."
KINDS = {"network": "network", "probe": "probe"}
SHOWN = {
    "whole": "Whole picture",
    "without_lungs": "Lungs hidden",
    "lungs": "Lungs alone",
    "frame": "Frame alone",
    "numbers": "Size and grey levels",
}
HEAT = "Share of what spoke for the called class that lies in the lung field, by cell of the confusion matrix."


def intended(refuses: bool) -> None:
    """For what, and not for what."""
    left, right = st.columns(2, gap="small")
    with left, st.container(border=True, height="stretch"):
        figure_title(
            "For looking at how such a classifier behaves", "Research, teaching, an economic model's input"
        )
        st.markdown(
            "Calls one axial lung CT slice normal, pneumonia or lung tumour; shows what spoke for it and what else "
            f"it could be{', and refuses pictures unlike those it learned from' if refuses else ''}."
        )
    with right, st.container(border=True, height="stretch"):
        figure_title("Not for patients", "Not a medical device: do not use it to diagnose or treat anyone")
        st.markdown(
            "It sees a slice, not a patient; knows three classes; and learned from slices that people picked for "
            "publication or teaching, not from a screening population."
        )


def shortcut_card(found: dict | None) -> None:
    """How much of the accuracy need not come from the lungs."""
    with st.container(border=True):
        if not found:
            figure_title("How much of the accuracy could come from elsewhere than the lungs is not measured", "")
            st.markdown(MADE)
            return
        table = shortcut_table(found)
        figure_title(
            found["sentence"],
            f"Balanced accuracy with parts of the picture hidden, {found['slices']:,} slices, each shown to a "
            f"network that had not seen its group; chance {found['chance']:.2f}; whiskers: 95 %",
        )
        chart = charts.forest(table.assign(label=""))
        st.altair_chart(chart, width="stretch", alt="Dot plot: " + "; ".join(table["name"] + " " + table["words"]))
        warmest, other = (loaders.estimate_words(found["occlusion"][name]) for name in ("warmest", "other"))
        st.caption(
            f"The network says what is used, a probe trained on such pictures what could be, at least. Hiding the "
            f"tenth of the picture that spoke most for the called class lowers its probability by {warmest}, "
            f"hiding as large a part elsewhere by {other}. Lungs hidden: behind their convex hull; lungs alone: "
            "all beyond it hidden; size and grey levels: no picture at all."
        )
        heat = heat_table(found)
        st.markdown(f"**Heat in the lungs**  \n:small[{HEAT}]")
        st.table(heat, border="horizontal", hide_index=True, alt=HEAT)
        with st.container(horizontal=True):
            downloads("shortcut-meter", table, lambda: chart)
            downloads("heat-in-the-lungs", heat)


def shortcut_table(found: dict) -> pd.DataFrame:
    """One row per view and kind: name, value, low, high, words."""
    rows = []
    for name, view in found["views"].items():
        for kind, words in KINDS.items():
            if view[kind]:
                one = view[kind]
                shown = f"{SHOWN.get(name, name)}, {words}"
                rows.append((shown, one["value"], one["low"], one["high"], loaders.estimate_words(one)))
    return pd.DataFrame(rows, columns=["name", "value", "low", "high", "words"])


def heat_table(found: dict) -> pd.DataFrame:
    """One row per cell of the matrix, in words."""
    return pd.DataFrame(
        [
            {
                "True class": title(cell["true"]),
                "Called": title(cell["called"]),
                "Slices": cell["inside"]["slices"],
                "Heat in the lungs (95 %)": loaders.estimate_words(cell["inside"]),
                "Picture that is lung (95 %)": loaders.estimate_words(cell["area"]),
            }
            for cell in found["heat"]
        ]
    )


def robustness_card(found: dict | None, chance: float) -> None:
    """How accuracy falls as pictures get worse, a small chart a change."""
    with st.container(border=True):
        if not found:
            figure_title("How accuracy falls as pictures get worse is not measured", "")
            st.markdown("`python -m core robustness --run RUN --data DIR... --keep` measures it.")
            return
        table = robustness_table({"this run": found})
        worst = table.loc[table.groupby("change")["value"].idxmin()].sort_values("value").iloc[0]
        first = table[table["change"] == worst["change"]].iloc[0]
        falls = f"from {first['value']:.2f} to {worst['value']:.2f}, by {worst['change'].partition(',')[0]}"
        figure_title(
            f"It falls most, {falls}" if worst["value"] < first["value"] else "It falls by none of these changes",
            f"Balanced accuracy of {found['slices']:,} slices, each shown to a network that had not seen its "
            f"group, by the size of a change; band: 95 %; dotted: chance, {chance:.2f}",
        )
        declines(table, chance)
        downloads("robustness", table)


def refusal_card(found: dict | None, opened: Gate | None) -> None:
    """What the gate refuses, rightly and wrongly."""
    with st.container(border=True):
        if opened is None:
            figure_title("This run answers every picture", "It was trained without a gate")
            return
        if not found:
            figure_title(
                "How often it refuses, rightly or wrongly, is not measured",
                f"Limit {opened.limit:.2f} of the distance from the training slices",
            )
            st.markdown(
                "`python -m core refusals DIR... --run RUN --keep` counts pictures that are no slices, "
                "`python -m core cross-validate --scheme source` slices of sources that it has not seen."
            )
            return
        outside = found.get("outside", {})
        sentence = "How often it refuses what is no lung slice is not measured"
        if outside:
            whole = sum(counted["refused"]["slices"] for counted in outside.values())
            answered = sum(len(counted["answered"]) for counted in outside.values())
            sentence = f"It refuses {whole - answered} of {whole} pictures that are no lung CT slice"
        figure_title(
            sentence, f"Limit {found['limit']:.2f} of the distance from the training slices; 95 % intervals"
        )
        rows = [
            {"Pictures": f"No slice: {kind}", "Refused": loaders.estimate_words(counted["refused"]),
             "Number": counted["refused"]["slices"]}
            for kind, counted in outside.items()
        ]  # fmt: skip
        rows += [
            {"Pictures": f"Lung slices, left out: {source_title(source)}", "Refused": _refused_words(share),
             "Number": share["slices"]}
            for source, share in (found.get("passed", {}).get("leave_one_source_out") or {}).items()
        ]  # fmt: skip
        table = pd.DataFrame(rows, columns=["Pictures", "Refused", "Number"])
        shown = table.assign(Pictures=table["Pictures"].map(plain))
        with st.container(key="refused"):
            st.table(shown, border="horizontal", hide_index=True, alt="Share refused of each kind of picture")
        st.caption(loaders.gate_words({"gate": found}))
        downloads("refusals", table)


def _refused_words(passed: dict) -> str:
    turned = {"value": 1 - passed["value"], "low": None, "high": None}
    if passed["low"] is not None:
        turned |= {"low": 1 - passed["high"], "high": 1 - passed["low"]}
    return loaders.estimate_words(turned)


st.html(CSS)
actions = components.head(
    "What is this model for, and where does it fail?",
    f"The card of run {plain(state.run_name())}, written from its own files.",
)
try:
    run = loaders.run(state.run_name())
    opened = evidence.run_gate(run)
except RunError as error:
    components.run_message(error)
    st.stop()
with actions:
    for kind, data, mime in (
        ("Markdown", lambda: run.card, "text/markdown"),
        ("HTML", lambda: evidence.card_html(run), "text/html"),
    ):
        suffix = "md" if kind == "Markdown" else "html"
        st.download_button(
            kind,
            data,
            f"lunglens-model-card-{run.name}.{suffix}",
            mime,
            icon=":material/download:",
            on_click="ignore",
        )
intended(opened is not None)
headline(run.metrics)
shortcut_card(run.metrics.get("shortcuts"))
left, right = st.columns(2, gap="small")
with left:
    forest_card(loaders.left_out_table(run.metrics))
with right:
    refusal_card(run.metrics.get("gate"), opened)
failures_card(run)
robustness_card(run.metrics.get("robustness"), 1 / len(run.labels))
checklist_card(run)
whole_card(run)
st.caption(
    "**Sources and limits.** config.json, environment.json, split.csv, metrics.json, failures.json and NOTES.md of "
    "the run; intervals count groups."
)
