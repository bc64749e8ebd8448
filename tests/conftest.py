"""What several test files use: the image sets in ../shared, the running dashboard, a browser page."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""Threads of torch that wait do not spin: tests side by side would take the cores from each other."""

NO_SHARED = "needs the image sets in ../shared (or LUNGLENS_SHARED), which are not on this machine"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `ct` of ../shared, to read, never to copy; LUNGLENS_SHARED names another ../shared."""
    folder = Path(os.environ.get("LUNGLENS_SHARED", browser.ROOT.parent / "shared")) / "ct"
    if not folder.is_dir():
        pytest.skip(NO_SHARED)
    return folder


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.App]:
    """The real dashboard, running; at the end its log must hold no traceback."""
    folder = tmp_path_factory.mktemp("app")
    log = folder / "streamlit.log"
    own = {"LUNGLENS_SCENARIOS": str(folder / "scenarios.duckdb")}
    with browser.running_app(browser.ROOT / "dashboard" / "Home.py", log, own) as running:
        yield running
    text = log.read_text(errors="replace")
    assert "Traceback" not in text, text


@pytest.fixture(scope="session")
def app_url(app: browser.App) -> str:
    """Address of the running dashboard, without a slash at its end."""
    return app.url


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """Path of Chromium; without one browser tests skip, and fail in continuous integration."""
    path = browser.chromium()
    if path is None:
        (pytest.fail if browser.in_ci() else pytest.skip)(browser.MISSING)
    return path


@pytest.fixture(scope="module")
def chromium(chromium_path: str) -> Iterator:
    """A running Chromium. Per module: Playwright's event loop would stand in the way of other tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium_path, args=list(browser.FLAGS))
        yield launched
        launched.close()


@pytest.fixture
def page(chromium, app_url: str) -> Iterator:
    """A fresh Playwright page, 1440 x 900; at the end it must have met no error and asked no other host."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(30_000)
    fresh = context.new_page()
    faults: list[str] = []

    def note_console(message) -> None:
        if message.type == "error":
            faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def note_request(request) -> None:
        if not request.url.startswith((app_url, app_url.replace("http", "ws"), "data:", "blob:", "about:")):
            faults.append(f"request to another host: {request.url}")

    fresh.on("console", note_console)
    fresh.on("pageerror", lambda error: faults.append(f"page: {error}"))
    context.on("request", note_request)
    yield fresh
    context.close()
    assert faults == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that use the fixture `shared` or `page` carry the marker `shared` or `browser`."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "shared" in fixtures:
            item.add_marker("shared")
        if "chromium" in fixtures:
            item.add_marker("browser")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud what was not tested because this machine lacks something."""
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())]
    missing = (
        (browser.MISSING, "BROWSER TESTS"),
        (NO_SHARED, "TESTS ON REAL SLICES"),
        (browser.NO_NGINX, "TESTS OF HOSTING"),
    )
    for reason, what in missing:
        count = sum(reason in text for text in reasons)
        if count:
            terminalreporter.write_line(f"{count} {what} WERE SKIPPED: {reason}.", red=True, bold=True)
