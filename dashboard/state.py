"""What outlives one drawing of a page: session keys, their defaults, and the parameters of a link."""

from collections.abc import Sequence

import streamlit as st

from core.runs import DEMO
from dashboard.loaders import FileRead

RUN = "run"
SAMPLE = "sample"
SHOWING = "showing"
FILES = "files_read"
STOP = "stop_reading"


def choose_run(names: Sequence[str]) -> None:
    """The sidebar's choice of model run; shown only where there is something to choose."""
    if st.session_state.get(RUN) not in names:
        st.session_state[RUN] = names[0] if names else DEMO
    if len(names) > 1:
        st.selectbox("Model run", names, key=RUN, persist_state="session")


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
