"""Two runs on the same images: the choice, the answer, differences with intervals, McNemar's test, tables."""

import pandas as pd
import streamlit as st

from core.comparison import Comparison, Difference
from core.errors import RunError
from dashboard.comparison import charts, link, loaders, words
from dashboard.components import plain
from dashboard.figure import downloads, figure
from dashboard.loaders import scheme_title

PHANTOMS = "phantoms"
"""The kept test of the runs that ship."""

SHORT = {"balanced_accuracy": "Balanced accuracy", "accuracy": "Accuracy", "auc": "AUC, diseased", "brier": "Brier"}
HELP = {
    "balanced_accuracy": "Mean sensitivity of the classes",
    "accuracy": "Share of images called correctly",
    "auc": "Normal against diseased",
    "brier": "Squared error of the probabilities, 0 best, 2 worst: less is better",
}


@st.fragment
def show() -> None:
    """The choice of two runs and of what they were tested on, and all that follows from it."""
    offer = st.session_state[link.KEY].offer
    if len(offer.finished) < 2:
        _alone(offer.finished)
        return
    choice = link.choice()
    scheme = _choose(offer, choice)
    if choice.first == choice.second:
        _refused("This is one run twice.", "Choose another run as first or second.")
        return
    if scheme is None:
        return
    try:
        with st.spinner("Comparing", show_time=True):
            found = loaders.compare(choice.first, choice.second, scheme)
    except RunError as error:
        _refused(
            "These runs cannot be compared on the same images.",
            f"{plain(error.name)}: found {plain(error.found)}; expected {plain(error.expected)}.",
        )
        return
    _answer(found, choice, scheme)


def _alone(finished: tuple[str, ...]) -> None:
    said = f"{plain(finished[0])} is the only finished run" if finished else "There is no finished run yet"
    _refused(said, "Train another to compare them: on the page Train, or with `python -m core train`.", level=2)


def _refused(said: str, why: str, level: int = 2) -> None:
    """Nothing to compare: calm, with the reason and what would help."""
    with st.container(border=True, key="comparison-refused"):
        st.markdown(f"{'#' * level} {said}\n:small[:gray[{why}]]", anchors=False)


def _choose(offer: link.Offer, choice: link.Choice) -> str | None:
    """The scheme that is compared under; None where the two runs have none in common (which is then said)."""
    first, swap, second, tested = st.columns([9, 3, 9, 9], gap="small", vertical_alignment="bottom")
    swap.button(
        "Swap",
        icon=":material/swap_horiz:",
        width="stretch",
        key=link.key("swap"),
        help="Swap first and second run",
        on_click=link.change,
        kwargs={"first": choice.second, "second": choice.first},
    )
    for place, name, label in ((first, "first", "First run"), (second, "second", "Second run")):
        chosen = getattr(choice, name)
        place.selectbox(
            label,
            offer.finished,
            offer.finished.index(chosen),
            key=link.control(name, chosen),
            on_change=link.take,
            args=(name,),
        )
    try:
        schemes = loaders.common_schemes(choice.first, choice.second)
    except RunError as error:
        _refused("These runs cannot be compared.", f"{plain(error.name)}: found {plain(error.found)}.")
        return None
    if not schemes:
        _refused(
            "These runs were not tested in the same way.",
            "They have no scheme in common: left-out sources, grouped folds, test or validation images.",
        )
        return None
    scheme = choice.scheme if choice.scheme in schemes else next(iter(schemes))
    tested.selectbox(
        "Tested on",
        list(schemes),
        list(schemes).index(scheme),
        key=link.control("scheme", scheme),
        format_func=scheme_title,
        on_change=link.take,
        args=("scheme",),
        help="How the predictions were made; the least flattering comes first",
    )
    if choice.scheme and choice.scheme != scheme:
        st.warning(
            f"**These runs were not both tested so.** scheme was {plain(choice.scheme)}; expected one of "
            f"{plain(', '.join(schemes))}. Used instead: {plain(scheme)}.",
            icon=":material/info:",
        )
    return scheme


def _answer(found: Comparison, choice: link.Choice, scheme: str) -> None:
    first, second = choice.first, choice.second
    st.header(words.answer(found, first, second), anchor=False)
    st.caption(words.ground(found, first, second, plain(scheme_title(scheme))))
    if scheme == PHANTOMS:
        st.caption("Phantoms are drawings: a run that learned from such is ahead, which says nothing of scans.")
    with st.container(border=True), st.grid(4, min_column_width=140, gap="medium"):
        for item in found.differences:
            if item.name in SHORT:
                _metric(item)
    left, right = st.columns([7, 5], gap="medium")
    with left, st.container(border=True):
        _differences(found, choice)
    with right, st.container(border=True):
        _discordant(found, choice)
    _table(found, choice)


def _metric(item: Difference) -> None:
    estimate = item.difference
    colour = {"second": "green", "first": "red", None: "off"}[item.verdict]
    arrow = "off" if item.verdict is None else "up" if estimate.value > 0 else "down"
    with st.container(gap="xsmall"):
        st.metric(
            SHORT[item.name],
            "–" if estimate.value is None else words.signed(estimate.value),
            delta=words.span(estimate),
            delta_color=colour,
            delta_arrow=arrow,
            help=HELP[item.name],
        )
        if item.first.value is not None:
            st.caption(f"{item.first.value:.2f} → {item.second.value:.2f}")


def _differences(found: Comparison, choice: link.Choice) -> None:
    """The differences whose scale is 0 to 1 and more is better, with their intervals."""
    drawn = [item for item in found.differences if item.name != "brier" and item.difference.low is not None]
    clear = words.clear_count(found)
    note = (
        f"Difference, {plain(choice.second)} less {plain(choice.first)}, on {words.images(found.shared)}; "
        "whiskers: 95 %, bootstrap over groups, the same draw for both. Brier score: see the table"
    )
    if not drawn:
        st.markdown(f"### {clear}\n:small[:gray[No difference varies, so no interval can be drawn]]", anchors=False)
        return
    rows = [
        (
            SHORT.get(item.name, item.title),
            item.difference.value,
            item.difference.low,
            item.difference.high,
            item.verdict or "",
        )
        for item in drawn
    ]
    table = pd.DataFrame(rows, columns=["name", "value", "low", "high", "verdict"])
    chart = charts.differences(
        table.assign(words=[words.difference(item) for item in drawn]), choice.first, choice.second
    )
    figure(
        chart,
        table.rename(columns={"name": "metric", "value": "difference", "verdict": "clearly better"}),
        sentence=clear,
        note=note,
        alt_text=f"Dots with 95 % whiskers, one per metric, around zero. {clear}. "
        + "; ".join(f"{item.title} {words.difference(item)}" for item in drawn[:3]),
        name="run-differences",
    )


def _discordant(found: Comparison, choice: link.Choice) -> None:
    test, table = found.mcnemar, words.counts_table(found, choice.first, choice.second)
    total = test.only_first + test.only_second
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            st.markdown(
                f"### One run alone was right on {words.images(total)}\n"
                f":small[:gray[Of {words.images(found.shared)} that both were tested on]]",
                anchors=False,
            )
        downloads("run-counts", table)
    st.markdown(words.mcnemar(test, choice.first, choice.second))
    short = table.rename(
        columns={
            "True class": "Class",
            "Both right": "Both",
            f"Only {choice.first} right": "First only",
            f"Only {choice.second} right": "Second only",
            "Both wrong": "Neither",
            "Images": "All",
        }
    )
    short["Class"] = short["Class"].map(plain)
    st.table(short.set_index("Class"), border="horizontal")
    st.caption("Images called correctly by both, by the first or second run only, by neither.")


def _table(found: Comparison, choice: link.Choice) -> None:
    """All metrics of both runs and their differences, to read and to take away."""
    exact = pd.DataFrame(
        [
            {
                "metric": item.title,
                **{
                    f"{side}_{end}": getattr(getattr(item, side), end)
                    for side in ("first", "second", "difference")
                    for end in ("value", "low", "high")
                },
                "clearly_better": {"first": choice.first, "second": choice.second, None: ""}[item.verdict],
                "first_run": choice.first,
                "second_run": choice.second,
                "images": found.shared,
                "groups": found.groups,
            }
            for item in found.differences
        ]
    )
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            st.markdown(
                "### Both runs and their difference\n:small[:gray[On the same images, with 95 % intervals; "
                "less is better for the Brier score]]",
                anchors=False,
            )
        downloads("run-comparison", exact)
    st.dataframe(
        pd.DataFrame(
            {
                "Metric": [item.title for item in found.differences],
                "First": [words.value(item.first) for item in found.differences],
                "Second": [words.value(item.second) for item in found.differences],
                "Difference": [words.difference(item) for item in found.differences],
                "Clearly better": [
                    {"first": choice.first, "second": choice.second, None: "–"}[item.verdict]
                    for item in found.differences
                ],
            }
        ),
        hide_index=True,
        alt=f"Table of {len(exact)} metrics: both runs, their difference, and which is clearly better",
        column_config={"Metric": st.column_config.TextColumn(pinned=True)},
    )
