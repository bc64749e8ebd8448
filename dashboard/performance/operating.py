"""The operating point of Performance: a class, its threshold and prevalence, and what they give."""

import pandas as pd
import streamlit as st

from core.labels import title
from core.metrics import Estimate
from core.operating import OperatingPoint
from dashboard.components import NAMES, glyph_and_word, plain
from dashboard.performance import link, loaders
from dashboard.performance.curves import curve_card, reliability_part
from dashboard.performance.link import Choice, Point
from dashboard.performance.loaders import Subject
from dashboard.performance.matrix import clear_cells
from dashboard.performance.words import cell_words, estimate_words, lower


@st.fragment(key=link.key("heading"))
def heading(of: Subject) -> None:
    """What all plots below are limited to, with the way back, and what the operating point does."""
    choice = link.choice()
    if choice.cells:
        with st.container(horizontal=True, vertical_alignment="center", gap="small", key="chip"):
            st.badge(f"only: {cell_words(choice.cells)}", icon=":material/filter_alt:", color="gray")
            st.button("Clear", icon=":material/close:", type="tertiary", on_click=clear_cells, key="clear")
            st.caption(
                "The plots below show these slices alone: chosen by how they were called, they say where it goes "
                "wrong, not how good it is. Sensitivity, specificity, PPV and NPV count all."
            )
    point = operating_point(of, choice)
    st.header(operating_sentence(point, choice), anchor=False)


def operating_point(of: Subject, choice: Choice) -> OperatingPoint | None:
    """The point of the class that has a threshold."""
    if not choice.label:
        return None
    return loaders.operating_point(of, choice.label, choice.threshold, choice.prevalence / 1000)


def operating_card(of: Subject, labels: tuple[str, ...]) -> None:
    """Which class is called from which threshold, what that gives, and where it lies on the curves."""
    with st.container(border=True):
        left, middle, right = st.columns([4, 4, 4], gap="medium")
        with left:
            _operating_controls(link.choice(), labels)
            numbers(of, labels)
        with middle:
            curve_card(of, labels)
        with right:
            reliability_part(of)


@st.fragment(key=link.key("numbers"))
def numbers(of: Subject, labels: tuple[str, ...]) -> None:
    """Sensitivity, specificity, PPV and NPV of the point, or the shares of each class without one."""
    choice = link.choice()
    point = operating_point(of, choice)
    if point:
        _operating_metrics(point, choice)
        _worth(of, point)
    elif choice.label:
        st.caption(
            f"Sensitivity and specificity need slices of {lower(choice.label)} and others; this source holds only "
            "one of them. Choose another source, or all."
        )
    else:
        _shares(loaders.matrix(of, Point()), labels)


def operating_sentence(point: OperatingPoint | None, choice: Choice) -> str:
    """As in "At threshold 0.40 the model calls 18 (17 to 19) of 20 tumour slices so, and 81 (70 to 94) others"."""
    if not choice.label:
        return "The most probable class is called"
    sick, name = choice.prevalence, lower(choice.label)
    if point is None or point.sensitivity.value is None or point.specificity.value is None:
        return f"At threshold {choice.threshold:.2f} nothing is known: {name} or the rest is missing here"
    found = _counted(sick, point.sensitivity)
    alarms = _counted(1000 - sick, point.false_alarms)
    return (
        f"At threshold {choice.threshold:.2f} the model calls {found} of {sick} {name} slices so, "
        f"and {alarms} of {1000 - sick} others"
    )


def _counted(whole: int, share: Estimate) -> str:
    """A share of so many slices in whole numbers, as in "13 (12 to 15)"."""
    value, *bounds = (None if end is None else round(whole * end) for end in (share.value, share.low, share.high))
    return f"{value}" if None in bounds else f"{value} ({bounds[0]} to {bounds[1]})"


def _operating_controls(choice: Choice, labels: tuple[str, ...]) -> None:
    st.segmented_control(
        "Call it",
        ["", *labels],
        default=choice.label,
        required=True,
        wrap=True,
        format_func=lambda label: title(label) if label else "Most probable",
        key=link.control("label", choice.label),
        on_change=link.take,
        args=("label",),
        kwargs={"page": 1},
        help="One class from a threshold on, and the most probable of the others below it. "
        "Each class keeps its own threshold and prevalence.",
    )
    if not choice.label:
        st.caption("Choose a class to move its threshold.")
        return
    st.slider(
        "when its probability is at least",
        0.0,
        1.0,
        choice.threshold,
        step=0.01,
        key=link.control("threshold", choice.threshold),
        on_change=_moved,
        args=("threshold",),
    )
    st.select_slider(
        f"Slices of {lower(choice.label)}, per 1,000 (assumed)",
        link.PER_THOUSAND,
        choice.prevalence,
        key=link.control("prevalence", choice.prevalence),
        on_change=_moved,
        args=("prevalence",),
        help="Prevalence, yours to set. PPV and NPV depend on it; sensitivity and specificity do not.",
    )


def _moved(name: str) -> None:
    now = link.choice()
    value = link.held(name)
    kept = {**getattr(now, f"{name}s"), now.label: round(value, 2)}
    link.move("point", **{f"{name}s": kept}, page=1 if name == "threshold" else now.page)


def _operating_metrics(point: OperatingPoint, choice: Choice) -> None:
    told = {"Sensitivity": point.sensitivity, "Specificity": point.specificity, "PPV": point.ppv, "NPV": point.npv}
    with st.grid(2, min_column_width=110, gap="small"):
        for name, estimate in told.items():
            _metric(name, estimate)
    st.caption(
        f"Found {point.tp:,} of {point.tp + point.fn:,}; others left alone "
        f"{point.tn:,} of {point.tn + point.fp:,}. PPV and NPV at {choice.prevalence} per 1,000."
    )


def _metric(label: str, estimate: Estimate) -> None:
    """As other metrics, with a third decimal close to 0 and 1, where a second says nothing."""
    if estimate.value is None:
        st.metric(label, "–", delta="not measured", delta_color="off", delta_arrow="off", help=estimate.note)
        return
    fine = 3 if estimate.value < 0.1 or estimate.value > 0.98 else 2
    pill = "no interval" if estimate.low is None else f"{estimate.low:.{fine}f} to {estimate.high:.{fine}f}"
    st.metric(label, f"{estimate.value:.{fine}f}", delta=pill, delta_color="off", delta_arrow="off")


def _worth(of: Subject, point: OperatingPoint) -> None:
    choice = link.choice()
    counts = {name: str(getattr(point, name)) for name in ("tp", "fn", "tn", "fp")}
    whence = {"run": of.run, "scheme": of.scheme, "source": of.source, "class": choice.label}
    whence = {key: value for key, value in whence.items() if value} | {"threshold": f"{choice.threshold:.2f}"}
    st.page_link(
        "views/screening_value.py",
        label="What is this threshold worth?",
        icon=":material/payments:",
        query_params={**whence, **counts},
        help="Opens Screening value with this operating point's counts",
    )


def _shares(table: pd.DataFrame, labels: tuple[str, ...]) -> None:
    """Sensitivity and precision of each class, where no threshold is set."""
    own = table[table["true"] == table["predicted"]].set_index("true").loc[list(labels)]

    def words(kind: str) -> list[str]:
        rows = own[[f"{kind}_share", f"{kind}_low", f"{kind}_high"]].itertuples(index=False)
        return [estimate_words(*row) for row in rows]

    shares = pd.DataFrame(
        {
            "Class": [f":{NAMES.get(label, 'gray')}[{plain(glyph_and_word(label))}]" for label in labels],
            "Sensitivity": words("row"),
            "Precision": words("column"),
        }
    )
    st.table(
        shares, border="horizontal", hide_index=True, alt="Sensitivity and precision of each class, 95 % intervals"
    )
