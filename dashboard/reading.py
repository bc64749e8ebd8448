"""Reading a visitor's files: what is new is read and classified, with progress and a way to stop."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import loaders, state
from dashboard.components import plain
from dashboard.loaders import FileRead, Sample

MOST_FILES = 1_000
"""Uploads that are read in one visit: as many as one file may hold slices."""
QUIET_SECONDS = 0.3
"""Work shorter than this shows no progress."""


@dataclass(frozen=True)
class Source:
    """One file to read: an upload or a sample, with its bytes at call."""

    key: str
    name: str
    data: Callable[[], bytes]
    sample: Sample | None = None

    def unread(self) -> FileRead:
        """The result of this file before anything of it is read."""
        return FileRead(self.key, self.name, self.sample)


@dataclass
class Progress:
    """A bar with words and a way to stop, shown in `place` once the work has lasted long enough to wonder."""

    place: DeltaGenerator
    count: int
    start: float = field(default_factory=time.monotonic)
    bar: DeltaGenerator | None = None

    def tell(self, name: str, position: int, done: int, total: int | None) -> None:
        """`done` slices of `total` (None: not known) of file `position`, from 0, are classified."""
        seconds = time.monotonic() - self.start
        if seconds < QUIET_SECONDS:
            return
        share = (position + (done / total if total else 0.5)) / self.count
        words = f"Classifying {plain(name)}: {done}" + (f" of {total}" if total else "") + " slices"
        if self.count > 1:
            words = f"Classifying file {position + 1} of {self.count}: {plain(name)}"
        if seconds > 1 and 0 < share < 1:
            words += f", about {max(1, round(seconds * (1 - share) / share))} s left"
        if self.bar is None:
            with self.place.container(border=True):
                self.bar = st.progress(0.0)
                st.button("Stop", icon=":material/stop:", key="stop", on_click=state.stop_reading)
                st.skeleton(320)
        self.bar.progress(min(1.0, share), text=words)


def read_all(sources: list[Source], run_name: str) -> list[FileRead]:
    """Every source read and classified by a run; new ones with progress, the first of them opened.

    Raises RunError.
    """
    model, version = loaders.predictor(run_name), loaders.run_version(run_name)
    done = state.files_read([source.key for source in sources], version)
    new = [source for source in sources if source.key not in done or not done[source.key].finished]
    if state.asked_to_stop():
        for source in new:
            done.setdefault(source.key, source.unread())
            done[source.key].finished = done[source.key].stopped = True
    else:
        place = st.empty()
        progress = Progress(place, len(new))
        known = loaders.samples_read(run_name, version)
        for position, source in enumerate(new):
            if source.key in known:
                done[source.key] = known[source.key]
                continue
            done[source.key] = source.unread()
            tell = partial(progress.tell, source.name, position)
            loaders.read_file(done[source.key], source.data(), model, tell)
            if source.sample:
                known[source.key] = done[source.key]
        place.empty()
    files = [done[source.key] for source in sources]
    opened = next((source.key for source in new if done[source.key].readings), None)
    if opened:
        joined = loaders.together(files)
        st.session_state[state.SHOWING] = joined.key if joined else opened
    return files


def stopped_notice(files: list[FileRead]) -> None:
    """What was left out after Stop, and the way to read it after all."""
    stopped = [source for source in files if source.stopped]
    if not stopped:
        return
    count = sum(len(source.readings) for source in stopped)
    st.warning(
        f"**Stopped.** {count} slices of {plain(stopped[0].name)} were classified; what follows is unread.",
        icon=":material/info:",
    )
    st.button("Read the rest", icon=":material/resume:", on_click=state.read_again)
