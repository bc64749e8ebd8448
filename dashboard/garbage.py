"""Python's own collection of garbage, every few seconds where many visit.

Streamlit collects after each drawing if it is let (`runner.postScriptGC`): with thirty visitors, three tenths of
the time in which Python computed went there. Circles that hold memory are few here, and what a visitor uploaded
goes with the visit (dashboard.departure). What is free then goes back to the system.
"""

import gc
import time

import streamlit as st

from dashboard import loaders

SECONDS = 5.0
"""The least time between two collections."""


class Collector:
    """When the last collection was; one a process."""

    def __init__(self) -> None:
        self.last = time.monotonic()

    def collect(self) -> bool:
        """Collect unless that was done within SECONDS; whether it was done."""
        now = time.monotonic()
        if now - self.last < SECONDS:
            return False
        self.last = now
        gc.collect()
        loaders.give_memory_back()
        return True


COLLECTOR = Collector()


def after_drawing(page: str) -> None:
    """Collect, now and then; and leave what is loaded once a page was drawn first out of it, for good."""
    _settle(page)
    COLLECTOR.collect()


@st.cache_resource(max_entries=32, show_spinner=False)
def _settle(page: str) -> None:
    gc.collect()
    gc.freeze()
