"""Many visitors: uploads leave nothing behind, and a visitor who leaves frees what they held."""

from collections.abc import Iterator

import pytest

from tests import browser
from tests.visitor import Visitor, held, until

SAMPLES = browser.ROOT / "data" / "samples"
MANY = 27
"""Uploads of one visitor: with the first, fewer than a public server takes in a minute."""

UPLOADS, PICTURES = "UploadedFileManager", "st_memory_media_file_storage"


@pytest.fixture(scope="module")
def app(tmp_path_factory) -> Iterator[browser.App]:
    """A public server that gives visitors up seconds after they left."""
    log = tmp_path_factory.mktemp("app") / "streamlit.log"
    home = browser.ROOT / "dashboard" / "Home.py"
    with browser.running_app(home, log, {"LUNGLENS_DEMO": "1"}, streamlit="tests.hasty_app") as running:
        yield running
    assert "Traceback" not in log.read_text(errors="replace")


def read(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def uploaded(app: browser.App) -> float:
    """Bytes of uploads that the server holds; it counts them anew every few seconds."""
    return held(app.url).get(UPLOADS, 0.0)


def test_many_uploads_hold_no_more_than_the_last_of_them(app):
    good, junk = read("synthetic_01_normal.dcm"), b"no picture" * 20_000
    with Visitor(app.url) as visitor:
        visitor.open("classify")
        visitor.upload("first.dcm", good)
        assert until(lambda: uploaded(app) == len(good), 30)
        pictures = held(app.url)[PICTURES]
        for number in range(MANY):
            visitor.upload(f"slice{number}.dcm", junk if number % 13 else good)
        assert f"slice{MANY - 1}" in visitor.text() and f"slice{MANY - 2}" not in visitor.text()
        assert until(lambda: uploaded(app) == len(good), 30)
        assert held(app.url)[PICTURES] <= pictures * 1.05


def test_a_visitor_who_leaves_frees_what_they_held_though_nobody_comes_after(app):
    with Visitor(app.url) as visitor:
        visitor.open("classify")
        visitor.upload("large.png", b"no picture" * 500_000)
        assert until(lambda: uploaded(app) == 5_000_000, 30)
    assert until(lambda: uploaded(app) == 0, 30)
    assert held(app.url)["active_sessions"] == 0


def test_a_connection_that_is_lost_for_a_moment_finds_what_was_there(app):
    with Visitor(app.url) as visitor:
        visitor.open("classify")
        visitor.upload("lost_and_found.png", b"no picture")
        visitor.lose_connection()
        visitor.open("classify")
        assert "lost_and_found" in visitor.text().replace("\\", "")
        visitor.stay(6)
        visitor.upload("another.png", b"nor this", keep=True)
        assert "lost_and_found" in visitor.text().replace("\\", "")
