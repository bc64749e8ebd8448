"""Performance: where is the model right, and where does it go wrong? One selection moves all of it."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import RunError
from core.labels import title
from dashboard import components, state
from dashboard.components import estimate_metric, plain
from dashboard.loaders import scheme_title, source_title
from dashboard.performance import link, loaders
from dashboard.performance.details import details
from dashboard.performance.gallery import gallery_card
from dashboard.performance.link import Choice, Kept, Offer
from dashboard.performance.loaders import Subject
from dashboard.performance.matrix import matrix_card
from dashboard.performance.operating import heading, operating_card
from dashboard.performance.words import lower

TESTED = (
    "Left-out sources: each source was left out of training in turn and only then tested, which flatters the model "
    "least. Grouped folds: no group of slices is on both sides, but every source is. "
    "Test images: a split that training never touched."
)
ECE = "Expected calibration error: how far probabilities lie from how often they are right, 0 best."
FEW_SOURCES = 7


def no_predictions() -> None:
    """A run that kept no predictions: what to do."""
    with st.container(border=True):
        components.figure_title(
            "This run has no kept predictions",
            "They are made by cross-validation and by tests",
            level=2,
        )
        st.markdown(
            "`python -m core cross-validate --run RUN --scheme source --data DIR ...` leaves each source out in "
            "turn and keeps what was predicted. Or choose another run in the sidebar."
        )


def notices(kept: Kept) -> None:
    """What in the link could not be used."""
    for notice in kept.notices:
        components.link_notice(**vars(notice))


def choose(offer: Offer, choice: Choice) -> None:
    """Scheme and source."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.segmented_control(
            "Tested on",
            offer.schemes,
            default=choice.scheme,
            required=True,
            format_func=scheme_title,
            key=link.control("scheme", choice.scheme),
            on_change=_scheme,
            help=TESTED,
        )
        sources = ["", *offer.sources[choice.scheme]]
        if len(sources) > FEW_SOURCES + 1:
            control, more = st.selectbox, {"index": sources.index(choice.source), "width": 260}
        else:
            control, more = st.segmented_control, {"default": choice.source, "required": True}
        control(
            "Source",
            sources,
            format_func=lambda source: source_title(source) if source else "All",
            key=link.control("source", choice.source),
            on_change=link.take,
            args=("source",),
            kwargs={"page": 1, "image": ""},
            **more,
        )


def _scheme() -> None:
    scheme = link.held("scheme")
    kept: Kept = st.session_state[link.KEY]
    source = kept.choice.source if kept.choice.source in kept.offer.sources[scheme] else ""
    link.change(scheme=scheme, source=source, page=1, image="")


@st.fragment(key=link.key("headline"))
def balanced_accuracy(of: Subject) -> None:
    """The metric of the headline that a threshold moves."""
    found = loaders.balanced_accuracy(of, link.choice().point)
    with st.container(gap=None):
        estimate_metric("Balanced accuracy", found.to_json(), f"{loaders.predictions(of).n_slices:,} slices")


def headline(of: Subject, place: DeltaGenerator) -> None:
    """Five metrics of all slices with their intervals."""
    found = loaders.evaluation(of)
    tiles = [
        (
            f"AUC, {title(report.label).lower()}",
            report.auc,
            report.auc.note or f"{report.support:,} of its class",
            None,
        )
        for report in found.classes
    ]
    tiles.append(("Calibration error", found.ece, f"{found.n_groups:,} groups", ECE))
    with place.container(border=True), st.grid(5, min_column_width=140, gap="small"):
        balanced_accuracy(of)
        for label, estimate, under, help_ in tiles:
            with st.container(gap=None):
                estimate_metric(label, estimate.to_json(), under, help=help_)
    chance = 1 / max(1, sum(report.support > 0 for report in found.classes))
    label = link.choice().label
    calls = "The model calls the most probable class."
    if label:
        calls = f"Balanced accuracy is at the threshold of {lower(label)} below; no threshold moves the others."
    place.caption(
        f"Grey pills are 95 % intervals; they count groups, not slices. Chance for balanced accuracy is "
        f"{chance:.2f}, for AUC 0.50. {calls}"
    )


def copy_link(run: str) -> None:
    """The address of what is shown when it is opened."""
    address = st.context.url  # None where no browser asked
    if not address:
        return
    menu = st.popover("Copy link", icon=":material/link:", key=link.key("copy"), on_change="rerun")
    if menu.open:
        with menu:
            st.caption("Opens this view for anyone who has this run:")
            st.code(link.address(address, link.choice(), run), language=None, wrap_lines=True)


run_name = state.run_name()
actions = components.head(
    "Where is the model right, and where does it go wrong?",
    f"Kept predictions of run {plain(run_name)}: each slice called by a model that had not seen it. "
    "A slice is not a patient.",
)
try:
    offer = loaders.offer(run_name)
    if not offer.schemes:
        no_predictions()
        st.stop()
    kept = link.follow(offer)
    notices(kept)
    choose(offer, kept.choice)
    subject = loaders.subject(offer.run, kept.choice.scheme, kept.choice.source)
    loaders.predictions(subject)
except RunError as error:
    components.run_message(error)
    st.stop()
place = st.container()
left, right = st.columns(2, gap="small")
with left:
    matrix_card(subject, offer.labels)
with right:
    gallery_card(subject)
heading(subject)
operating_card(subject, offer.labels)
details(subject)
with actions:
    copy_link(offer.run)
headline(subject, place)
st.caption(
    "**Sources and limits.** predictions.parquet of the run; intervals count groups, not slices. No source holds "
    "all classes, so part of a class may be the look of its source: left-out sources are the honest figures."
)
