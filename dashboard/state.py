"""What outlives one drawing of a page: session keys, their defaults, and the parameters of a link."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.allowance import MINUTE
from core.runs import DEMO
from dashboard.loaders import FileRead

RUN = "run"
RUN_BOX = "run-box"
RUN_IN_LINK = "run_in_link"
SAMPLE = "sample"
SHOWING = "showing"
FILES = "files_read"
STOP = "stop_reading"
BEGUN = "uploads_begun"


def choose_run(names: Sequence[str], shown: bool = True) -> None:
    """The sidebar's choice of model run, on pages that look at one and where there is something to choose.

    A link's `run` sets it once, when the link is opened.
    """
    asked = st.query_params.get(RUN) if shown else None
    if asked in names and asked != st.session_state.get(RUN_IN_LINK):
        st.session_state[RUN] = asked
    st.session_state[RUN_IN_LINK] = asked
    if st.session_state.get(RUN) not in names:
        st.session_state[RUN] = names[0] if names else DEMO
    if shown and len(names) > 1:
        run = st.session_state[RUN]
        key = control_key(RUN_BOX, run)
        st.selectbox("Model run", names, list(names).index(run), key=key, on_change=_take_run)


def _take_run() -> None:
    st.session_state[RUN] = held(RUN_BOX)


def run_name() -> str:
    """The run that the visitor chose, or the first there is."""
    return st.session_state[RUN]


def sample_in_link() -> str | None:
    """The sample that the address asks for (`?sample=...`); it may name one that does not exist."""
    return st.query_params.get(SAMPLE)


def show_sample(sample_id: str) -> None:
    """Open a sample: the address changes with it, so that the address can be shared."""
    st.query_params[SAMPLE] = sample_id
    st.session_state[SHOWING] = sample_id


def leave_sample() -> None:
    """Close the sample that is open, if one is."""
    st.query_params.pop(SAMPLE, None)


def files_read(keys: Sequence[str], version: tuple) -> dict[str, FileRead]:
    """What this visitor's files gave, by file, under one state (`version`) of the model run.

    Files that are no longer in `keys`, and all of them under another version, leave memory here.
    """
    kept_version, files = st.session_state.get(FILES, (version, {}))
    kept = {key: files[key] for key in keys if key in files} if kept_version == version else {}
    st.session_state[FILES] = (version, kept)
    return kept


def uploads_begun(keys: Sequence[str], now: float) -> dict[str, float]:
    """When each of this visitor's uploads was let in, by file, to be added to.

    Files taken away again stay for a minute, so that taking away and adding again does not pass for patience.
    """
    begun = st.session_state.get(BEGUN, {})
    kept = {key: moment for key, moment in begun.items() if key in keys or now - moment < MINUTE}
    st.session_state[BEGUN] = kept
    return kept


def stop_reading() -> None:
    """Ask the next drawing of the page to keep what has been read and to leave the rest."""
    st.session_state[STOP] = True


def asked_to_stop() -> bool:
    """Whether the visitor has just pressed Stop; asking takes the wish back."""
    return st.session_state.pop(STOP, False)


def read_again() -> None:
    """Forget the files that were stopped, so that they are read from their start."""
    version, files = st.session_state[FILES]
    st.session_state[FILES] = (version, {key: source for key, source in files.items() if not source.stopped})


def control_key(name: str, value: Any, near: float = 0.0) -> str:
    """The key of a control that begins with `value`: a new one where the control there is holds another value.

    Numbers within `near` are the same. Give `value` to the control as its first value and never through the
    session: what is set there is told to the browser once, and lost where that run is cut short. The browser
    then shows, and sends back as the visitor's wish, the least value or the one of before. A control's first
    value is in every message about it.
    """
    now = held(name)
    if now is not None and now != value and not (near and abs(now - value) < near):
        st.session_state[f"{name}-turn"] = st.session_state.get(f"{name}-turn", 0) + 1
    return _turned(name)


def held(name: str) -> Any:
    """What the control that `control_key` gave a key holds; None before it was drawn."""
    return st.session_state.get(_turned(name))


def _turned(name: str) -> str:
    turn = st.session_state.get(f"{name}-turn", 0)
    return f"{name}-{turn}" if turn else name


class Controls:
    """The controls of one page: their session keys begin with its name."""

    def __init__(self, page: str) -> None:
        self.page = page

    def key(self, name: str) -> str:
        """Session key of a control."""
        return f"{self.page}-{name}"

    def control(self, name: str, value: Any) -> str:
        """The key of a control that is drawn with this first value (`control_key`)."""
        return control_key(self.key(name), value)

    def held(self, name: str) -> Any:
        """What the control holds."""
        return held(self.key(name))


@dataclass(frozen=True)
class Notice:
    """A value in a link that cannot be used."""

    name: str
    found: str
    expected: str
    used: str


def kept(name: str, first: Any) -> Any:
    """The value that the control `name` is to show and that other things may `keep`; at first `first`."""
    return st.session_state.setdefault(f"{name}-kept", first)


def keep(name: str, value: Any) -> None:
    """From now on the control `name` shows this value."""
    st.session_state[f"{name}-kept"] = value


def keep_held(*names: str) -> None:
    """The visitor moved these controls: what they hold is kept."""
    for name in names:
        keep(name, held(name))
