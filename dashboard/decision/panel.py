"""Draws on a page: how many, how far they are, Stop; the figures' draws, old ones until the new are there."""

import uuid
from collections.abc import Callable

import streamlit as st

from dashboard.components import figure_title, plain
from dashboard.decision import loaders
from dashboard.decision.jobs import FAILED, STOPPED, WAITING, Job
from dashboard.decision.loaders import N_DRAWS, Draws
from dashboard.decision.words import seconds
from dashboard.economics import loaders as economics
from dashboard.economics import state, words
from dashboard.economics.link import cannot_use
from dashboard.state import control_key
from market.errors import MarketError
from market.scenarios import Scenario

N_KEY, N_KEPT, DEFAULT_N = "x_draws", "decision_n_kept", 10_000
SHOWN, VISITOR, STOPPED_HERE = "decision_draws", "decision_visitor", "decision_stopped"
EVERY = 0.4
"""Seconds between two looks at a job that goes on."""


def n_in_link() -> int:
    """How many draws: of the address, else as chosen on another page; what is no choice becomes a notice."""
    asked = st.query_params.get(N_KEY)
    if asked is None:
        return st.session_state.get(N_KEPT, DEFAULT_N)
    if asked in map(str, N_DRAWS):
        st.session_state[N_KEPT] = int(asked)
        return int(asked)
    offered = f"one of {', '.join(f'{n:,}' for n in N_DRAWS)}"
    st.warning(cannot_use("Draws", asked, offered, f"{DEFAULT_N:,}"), icon=":material/info:")
    return DEFAULT_N


def choose_n(n: int) -> None:
    """The number of draws, kept in the address."""
    key = control_key("decision-n", n)

    def chosen() -> None:
        st.query_params[N_KEY] = str(st.session_state[key])

    st.selectbox(
        "Draws",
        N_DRAWS,
        N_DRAWS.index(n),
        format_func=lambda number: f"{number:,} draws",
        key=key,
        on_change=chosen,
        help="How often all uncertain numbers are drawn together and the model is run. 10,000 take seconds; "
        "intervals hardly move beyond. The same scenario is drawn once and then kept.",
    )


def draws(scenario: Scenario, n: int) -> Draws | None:
    """The draws to show: of this scenario and n, or while these are made those of before, of the same setting.

    None where there are none. Shows progress, or how it ended, above the figures.
    """
    name = loaders.content(scenario).digest(n)
    job = loaders.draws_job(scenario, n, start=st.session_state.get(STOPPED_HERE) != name)
    if job is not None and job.state == "done":
        st.session_state[SHOWN] = (scenario.setting, job.result)
        return job.result
    setting, before = st.session_state.get(SHOWN, (None, None))
    old = before if setting == scenario.setting else None
    if job is None or job.state in (STOPPED, FAILED):
        _ended(job, name, n, old is not None)
    else:
        if old is not None:
            st.caption("The figures show the draws of before until the new ones are there.")
        progress(job, name, "draws")
    return old


def _ended(job: Job | None, name: str, n: int, has_old: bool) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="draws-ended"):
        if job is not None and job.state == FAILED:
            failure(job, "The draws could not be made.")
        else:
            after = f" after {job.done:,} of {n:,} draws" if job is not None and job.done else ""
            old = " The figures show the draws of before." if has_old else ""
            st.markdown(f"**Stopped{after}.**{old}")
        st.button("Draw again", icon=":material/refresh:", key="draw-again", on_click=start_again)


def cannot(scenario: Scenario, error: MarketError, what: str) -> None:
    """Why a scenario has no answer here, and what to do: a setting that is not complete, or a number."""
    found = f"{plain(error.name)}: found {plain(error.found)}; expected {plain(error.expected)}."
    if scenario.setting in economics.COMPLETE:
        st.warning(
            f"**{what} cannot be told for this scenario.** {found} Change the number, or reset the scenario."
        )
        return
    name = words.SETTINGS[scenario.setting]
    with st.container(border=True):
        figure_title(f"Not for {name}: not all numbers are published", "The lung screening model needs them all", 2)
        st.markdown("The US and the UK have them. For every setting, the size of the market can be told.")
        with st.container(horizontal=True):
            for setting in economics.COMPLETE:
                st.button(f"Show {words.SETTINGS[setting]}", on_click=state.change, kwargs={"setting": setting})
            st.page_link("views/adoption.py", label="Adoption and market", icon=":material/trending_up:")
        with st.expander("What is missing"):
            st.markdown(found)


def failure(job: Job, what: str) -> None:
    """What went wrong in a job: the name, what was found, what was expected."""
    error = job.error
    if isinstance(error, MarketError):
        st.warning(f"**{what}** {plain(error.name)}: found {plain(error.found)}; expected {plain(error.expected)}.")
    else:
        st.error(
            f"**{what}** The model met numbers it cannot work with. Change the scenario, or press Reset there."
        )


def start_again() -> None:
    """Take back that this visitor stopped a job; for callbacks."""
    st.session_state.pop(STOPPED_HERE, None)


def visitor() -> str:
    """A name for this visitor's session, to tell who watches a job."""
    return st.session_state.setdefault(VISITOR, uuid.uuid4().hex)


def progress(job: Job, name: str, steps: str, then: Callable[[], None] = st.rerun) -> None:
    """A bar with what is done, the time left and Stop; draws the page anew once the job has ended."""

    @st.fragment(run_every=EVERY)
    def watch() -> None:
        job.watched_by(visitor())
        if not job.going:
            then()
            return
        share = min(1.0, job.done / job.total) if job.total else 0.0
        told = f"{job.done:,} of {job.total:,} {steps}{seconds(job.seconds_left())}"
        with st.container(horizontal=True, vertical_alignment="center", key=f"progress-{steps}"):
            st.progress(share, text="Waits for another analysis" if job.state == WAITING else told)
            if st.button("Stop", icon=":material/stop_circle:", key=f"stop-{steps}"):
                job.leave(visitor())
                st.session_state[STOPPED_HERE] = name
                then()

    watch()
