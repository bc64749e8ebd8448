"""Garbage is collected now and then, not after every drawing."""

import gc
import tomllib
import weakref
from pathlib import Path

from dashboard import garbage
from dashboard.garbage import Collector

ROOT = Path(__file__).resolve().parent.parent


class Circle:
    """Holds itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


def test_a_circle_is_freed_once_the_time_has_come(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(garbage.time, "monotonic", lambda: now[0])
    gc.collect()
    gc.disable()
    try:
        collector, circle = Collector(), weakref.ref(Circle())
        now[0] += garbage.SECONDS / 2
        assert not collector.collect() and circle() is not None
        now[0] += garbage.SECONDS
        assert collector.collect() and circle() is None
        assert not collector.collect()
    finally:
        gc.enable()


def test_streamlit_leaves_it_to_us():
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    assert config["runner"]["postScriptGC"] is False
