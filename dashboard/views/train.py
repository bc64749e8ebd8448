"""Train: what will this run do, and how is it going? Choose, look ahead, start, watch, stop, resume."""

import streamlit as st

from core.errors import LungLensError
from core.jobs import Status
from core.order import Request
from dashboard import components
from dashboard.components import plain
from dashboard.training import choices, loaders, preview, watch

ONESELF = """make app                                  # this page, with training switched on
python -m core train --data DIR           # or from the command line; DIR holds manifest.csv or train/CLASS
python -m core train --resume NAME        # goes on with a run that was stopped"""
FAST, SLOW = 1.0, 3.0
"""Seconds between two drawings of what goes on, and of the curves, while something does."""


STARTED = "train-started"


def begin(request: Request) -> None:
    """Start is pressed: queue the training, and draw the page anew with it in view."""
    st.session_state.pop(choices.NOTICES, None)
    try:
        with st.spinner("Starting"):
            loaders.start(request)
    except LungLensError as error:
        preview.refused(error)
        return
    st.session_state[STARTED] = request.name
    st.rerun()


def show_started() -> None:
    """Before anything is drawn: the training that was just started is watched, and its name is free to change."""
    name = st.session_state.pop(STARTED, None)
    if name:
        st.session_state["training"] = ""
        watch.show(name)


def notices() -> None:
    """What the address asked for and could not have; what went wrong with the last button."""
    for name, (found, expected, used) in st.session_state.get(choices.NOTICES, {}).items():
        st.warning(
            f"**One value in this link cannot be used.** {name} was {plain(found)}; expected {plain(expected)}. "
            f"{plain(used)} is used.",
            icon=":material/info:",
        )
    error = st.session_state.pop(watch.FAILED, None)
    if error:
        preview.refused(error)


def plan_part(busy: bool) -> None:
    """Choices at the left; at the right what they will do, and Start."""
    left, right = st.columns([2, 3], gap="medium")
    with left, st.container(border=True):
        st.markdown("### A new training", anchors=False)
        chosen = choices.choose()
    with right, st.container(border=True):
        if chosen.error:
            preview.refused(chosen.error)
            return
        request = chosen.request
        try:
            order, parts = loaders.order_of(request), loaders.parts_of(request)
        except LungLensError as error:
            preview.refused(error)
            return
        st.header(preview.sentence(request, parts), anchor=False)
        st.markdown(preview.facts(order, parts))
        preview.counts(parts)
        preview.expected_time(request, order, parts, busy)
        if loaders.taken(request.name):
            st.error(f"**Name.** Found a run called {plain(request.name)}; expected another name.")
        pressed = st.button(
            "Add to the queue" if busy else "Start training",
            type="primary",
            icon=":material/play_arrow:",
            disabled=loaders.taken(request.name),
            key="start",
        )
        st.caption("It goes on when you close this page. Anyone who opens it sees the same.")
        if pressed:  # not a callback: it would be given what was chosen before the click
            begin(request)


def now(name: str) -> None:
    """State, progress, figures, queue, messages."""
    trainings = loaders.trainings()
    if watch.changed(trainings):
        st.rerun()
    status = next((known for known in trainings if known.name == name), None)
    watch.head(name, status)
    watch.numbers(status, loaders.history(name), loaders.run_facts(name).get("config", {}))
    watch.queue(trainings, name)
    watch.messages(status)


def curves(name: str) -> None:
    """The curves, once there is an epoch to draw."""
    epochs = loaders.history(name)
    if epochs.empty:
        st.caption("The curves begin with the end of the first epoch.")
        return
    axis = st.segmented_control(
        "Curves over",
        ["epoch", "minutes"],
        default="epoch",
        required=True,
        key="x",
        format_func={"epoch": "Epochs", "minutes": "Minutes"}.get,
        bind="query-params",
    )
    watch.curves(name, epochs, axis)


def watch_part(trainings: list[Status]) -> None:
    """One training of those that are known, live while something runs."""
    names = watch.names()
    if not names:
        return
    busy = any(status.active for status in trainings)
    st.header("How it is going" if busy else "How it went", anchor=False)
    asked = st.query_params.get(choices.WATCH)
    if asked and asked not in names:
        st.session_state.setdefault(choices.NOTICES, {})["watch"] = (
            asked,
            "a training that is known here",
            names[0],
        )
    if st.session_state.get(choices.WATCH) not in names:
        st.session_state.pop(choices.WATCH, None)
    name = st.selectbox("Training", names, key=choices.WATCH, bind="query-params")
    with st.container(border=True):
        st.fragment(now, run_every=FAST if busy else None)(name)
    st.fragment(curves, run_every=SLOW if busy else None)(name)
    watch.calibration(loaders.run_facts(name).get("metrics", {}))


def switched_off(reason: str) -> None:
    """Why nothing can be started here, and how to do it oneself."""
    with st.container(border=True):
        st.markdown(f"### Nothing can be trained here\n{reason}", anchors=False)
        st.markdown("Run it yourself, with your own images or with phantoms:")
        st.code(ONESELF, language="bash", wrap_lines=True)


components.head(
    "What will this run do, and how is it going?",
    "Train a slice classifier on this machine. A training outlives this page; one runs at a time, others wait.",
)
show_started()
off = loaders.why_not()
trainings = loaders.trainings()
busy = any(status.active for status in trainings)
if not off:
    choices.note_link()
told, first, second = st.container(), st.container(), st.container()
with first if busy else second:
    watch_part(trainings)
with second if busy else first:
    if off:
        switched_off(off)
    else:
        plan_part(busy)
with told:
    notices()
st.caption(
    "**Limits.** Curves show how a run fits its own validation images. They do not say how it does on a source "
    "that it has not seen: for that, `python -m core cross-validate --scheme source`."
)
