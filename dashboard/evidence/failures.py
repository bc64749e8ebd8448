"""Where a run goes wrong: its worst answers on phantoms with pictures, and wrong answers on held-out slices."""

from itertools import pairwise
from typing import Any

import pandas as pd
import streamlit as st

from core.labels import title
from core.runs import Run
from dashboard import loaders
from dashboard.components import class_icon, figure_title, plain
from dashboard.evidence import loaders as evidence
from dashboard.figure import downloads

FEW = 2
"""Pictures of each class before more are asked for."""

MADE = "`python -m core failures --run RUN --keep` measures it."


@st.fragment
def failures_card(run: Run) -> None:
    """Pictures of wrong answers on phantoms, and beside them the real ones as numbers."""
    found = evidence.failures(run)
    with st.container(border=True):
        if not found:
            figure_title("Where it goes wrong is not measured", "")
            st.markdown(MADE)
            return
        drawn = found["phantoms"]
        figure_title(_sentence(drawn), _note(drawn))
        if evidence.network_is_same(run):
            _pictures(run, drawn)
        else:
            st.markdown(f"The network of this run is another than the one these were measured with. {MADE}")
        table = phantom_table(drawn)
        with st.container(key="phantoms-wrong"):
            st.table(
                unbroken(table),
                border="horizontal",
                hide_index=True,
                alt="Phantoms by class: refused and called wrong",
            )
        downloads("phantom-failures", table)
    if found["held_out"]:
        _held_out_card(found["held_out"])


def _sentence(drawn: dict[str, Any]) -> str:
    """The class of phantoms that is called wrong most."""
    wrong = {label: one["wrong"] for label, one in drawn["classes"].items() if one["wrong"]}
    if not wrong:
        return "It refuses every phantom"
    worst = max(wrong, key=lambda label: wrong[label]["value"])
    if not wrong[worst]["value"]:
        return "No phantom is called wrong"
    one = drawn["classes"][worst]
    answered = sum(one["called"].values())
    return f"It calls {answered - one['called'][worst]} of {answered} drawn {title(worst).lower()} slices wrong"


def _note(drawn: dict[str, Any]) -> str:
    return (
        f"Phantoms, drawn by formula, no patients: {drawn['count']} of each class, seeds from "
        f"{drawn['first_seed']}. Shown are the wrong answers given most surely, left "
        "the slice, right what spoke for the called class"
    )


def _pictures(run: Run, drawn: dict[str, Any]) -> None:
    whole = len(drawn["worst"])
    shown = evidence.worst(run, FEW)
    if whole > len(shown) and st.toggle(f"All {whole} pictures", key="pictures", bind="query-params"):
        shown = evidence.worst(run)
    with st.grid(3, min_column_width=250, gap="small"):
        for one in shown:
            with st.container(gap="xxsmall"):
                st.image(one.picture, width="stretch", alt=one.words)
                st.caption(
                    f"Drawn as {class_icon(one.drawn)} {title(one.drawn).lower()}, called {class_icon(one.called)} "
                    f"**{title(one.called).lower()}** {one.confidence:.3f}; seed {one.seed}"
                )


def phantom_table(drawn: dict[str, Any]) -> pd.DataFrame:
    """One row per class, in words."""
    return pd.DataFrame(
        [
            {
                "Drawn as": title(label),
                "Phantoms": one["drawn"],
                "Refused (95 %)": loaders.estimate_words(one["refused"]),
                "Called wrong, of answered (95 %)": loaders.estimate_words(one["wrong"]) if one["wrong"] else "–",
                "Called instead": _instead(one["called"], label),
            }
            for label, one in drawn["classes"].items()
        ]
    )


def _instead(called: dict[str, int], label: str) -> str:
    others = (f"{title(name)} {count}" for name, count in called.items() if count and name != label)
    return ", ".join(others) or "none"


def _held_out_card(found: dict[str, Any]) -> None:
    """Wrong answers on real slices by source, class and confidence; never a picture."""
    with st.container(border=True):
        place = st.container(gap=None)
        named = {loaders.scheme_title(name): name for name in found}
        chosen = st.segmented_control(
            "Held out by",
            list(named),
            default=next(iter(named)),
            required=True,
            label_visibility="collapsed",
            key="wrong",
            bind="query-params",
        )
        part = found[named[chosen]]
        wrong = sum(sum(row["confidence"]) for row in part["rows"])
        sure = sum(row["confidence"][-1] for row in part["rows"])
        with place:
            figure_title(
                f"Of {part['slices']:,} real slices {wrong} are called wrong, {sure} of them with "
                f"{part['bins'][-1]:g} or more",
                f"{chosen}, {part['groups']:,} groups: networks that had not learned from "
                "them. Numbers only, no picture; columns at the right count wrong answers by their confidence",
            )
        table = held_out_table(part)
        with st.container(key="held-out-wrong"):
            st.table(
                unbroken(table.assign(Source=table["Source"].map(plain))),
                border="horizontal",
                hide_index=True,
                alt="Wrong answers on held-out slices by source, class and confidence",
            )
        downloads("held-out-failures", table)


def unbroken(table: pd.DataFrame) -> pd.DataFrame:
    """The table with figures and their intervals each on one line; a narrow screen scrolls instead."""
    return table.assign(
        **{name: table[name].str.replace(" ", "\u00a0") for name in table if name.endswith(("(95 %)", "(groups)"))}
    )


def held_out_table(part: dict[str, Any]) -> pd.DataFrame:
    """One row per source and class, in words."""
    ends = part["bins"]
    bins = [f"< {ends[0]:g}", *(f"{low:g} to {high:g}" for low, high in pairwise(ends)), f"≥ {ends[-1]:g}"]
    return pd.DataFrame(
        [
            {
                "Source": loaders.source_title(row["source"]),
                "Class": title(row["label"]),
                "Slices (groups)": f"{row['wrong']['slices']} ({row['groups']})",
                "Called wrong (95 %)": loaders.estimate_words(row["wrong"]),
                "Called instead": _instead(row["called"], row["label"]),
                **dict(zip(bins, row["confidence"], strict=True)),
            }
            for row in part["rows"]
        ]
    )
