"""Text from outside that tries to be a script, a link or Markdown: shown as it was written, on every page."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import openpyxl
import pytest
from playwright.sync_api import Page, expect

from market.database import ScenarioStore
from market.scenarios import Scenario
from tests import browser
from tests.made_runs import made_predictions, made_run

ROOT = browser.ROOT
WAIT = 90_000
HTML = "<img src=x onerror=window.hit=1>"
LINK = "[a](javascript:window.hit=1)"
MARKDOWN = "**x** :red[x] $x$ `x` ![p](//e.invalid/p.png)"
FILES = (f"{HTML}.png", f"{LINK}.png", "=1+1 **x** _y_ ~z~.png")
RUNS = ("<img src=x onerror=window.hit=1>", "[a](javascript:window.hit=1)", "**x** :red[x] $x$")
SCENARIO = f"=1+1 {HTML} {LINK} {MARKDOWN}"[:120]
NOTE = f"{HTML} {LINK} {MARKDOWN} <script>window.hit=1</script>"
PAGES = re.findall(r'url_path="([a-z-]+)"', (ROOT / "dashboard" / "Home.py").read_text())
ACTED = 'a[href^="javascript"], img[src$="/x"], img[src*="e.invalid"], [onerror], .katex'
"""What stands in a page where planted text became more than text."""
PARAMETERS = (
    *("run", "scheme", "source", "show", "order", "curve", "image", "cells", "diagonal", "colour", "page", "class"),
    *("threshold", "threshold_normal", "prevalence_tumour", "sample", "first", "second", "runs", "measure", "part"),
    *("x", "find", "states", "recipes", "smoothing", "data", "parts", "folders", "recipe", "weights", "phantoms"),
    *("epochs", "batch", "held", "rate", "watch", "name", "setting", "seed", "strategy", "comparator", "years"),
    *(
        "pricing",
        "entrants",
        "tp",
        "fn",
        "tn",
        "fp",
        "ai_from",
        "c_ai_scan",
        "tab",
        "view",
        "whose",
        "sort",
        "trust",
    ),
    *("used", "x_draws", "x_first", "x_second", "x_low", "x_high", "x_number", "x_outcome", "x_what", "x_when"),
    *("x_with", "x_words", "x_ids", "no_such_name"),
)
"""Names that pages read from an address, and one that none does."""


@pytest.fixture(scope="module")
def app_url(tmp_path_factory) -> Iterator[str]:
    """The dashboard with runs and a scenario whose names and notes attack it."""
    place = tmp_path_factory.mktemp("attacked")
    for seed, name in enumerate(RUNS):
        folder = made_run(place / "runs", name, made_predictions(60, seed, 1.5), epochs=3, seed=seed)
        (folder / "note.md").write_text(NOTE)
    store = ScenarioStore(place / "scenarios.duckdb")
    store.save_scenario(Scenario(name=SCENARIO, note=NOTE, setting="us"))
    own = {"LUNGLENS_RUNS": str(place / "runs"), "LUNGLENS_SCENARIOS": str(place / "scenarios.duckdb")}
    log = place / "log"
    with browser.running_app(ROOT / "dashboard" / "Home.py", log, own) as running:
        yield running.url
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture
def watched(chromium, app_url) -> Iterator[Page]:
    """A page that notes every request to another host and every script that ran."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    context.set_default_timeout(WAIT)
    page, strange = context.new_page(), []

    def note(request) -> None:
        if not request.url.startswith((app_url, "data:", "blob:")):
            strange.append(request.url)

    context.on("request", note)
    page.on("dialog", lambda dialog: strange.append(dialog.message))
    yield page
    context.close()
    assert strange == []


def settled(page: Page) -> None:
    """The page is drawn; then nothing of what was planted may have acted."""
    expect(page.get_by_role("heading", level=1)).to_be_visible(timeout=WAIT)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=WAIT)
    assert page.evaluate("window.hit") is None
    assert page.locator(ACTED).evaluate_all("all => all.map((part) => part.outerHTML)") == []
    expect(page.get_by_test_id("stException")).to_have_count(0)


def text(page: Page) -> str:
    return page.get_by_test_id("stMain").inner_text()


def test_file_names_are_shown_as_written_and_are_harmless_in_the_table(watched, app_url):
    page = watched
    page.goto(f"{app_url}/classify")
    settled(page)
    picture = (ROOT / "data" / "samples" / "synthetic_03_normal.png").read_bytes()
    files = [{"name": name, "mimeType": "image/png", "buffer": picture} for name in FILES]
    broken = {"name": f"broken {HTML} **x**.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n..."}
    page.locator("input[type=file]").first.set_input_files([*files, broken])
    expect(page.get_by_text("could not be read").first).to_be_visible(timeout=WAIT)
    settled(page)
    assert f"broken {HTML} **x**.png could not be read" in text(page)
    for name in FILES:
        page.get_by_role("combobox", name=re.compile("Showing")).click()
        page.get_by_role("option", name=name).click()
        expect(page.get_by_test_id("stMain").get_by_text(name, exact=False).first).to_be_visible()
        settled(page)
        assert name in text(page)
    offered = page.locator('[aria-label^="Download as CSV"]')
    assert not any(button.is_visible() for button in offered.all()), "Streamlit's own CSV spares no formula"
    with page.expect_download() as started:
        page.get_by_role("button", name="Download results").click()
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    assert {row["file"] for row in rows} == {FILES[0], FILES[1], f"'{FILES[2]}", broken["name"]}
    assert all(0 <= float(row["normal"]) <= 1 for row in rows if row["label"])


def test_names_and_notes_of_runs_are_shown_as_written(watched, app_url):
    page = watched
    for address in ("runs", "", "performance", "model-card", "classify"):
        for name in RUNS if address in ("performance", "model-card") else RUNS[:1]:
            page.goto(f"{app_url}/{address}?{urlencode({'run': name})}")
            settled(page)
    page.goto(f"{app_url}/model-card?{urlencode({'run': RUNS[2]})}")
    settled(page)
    assert f"The card of run {RUNS[2]}" in text(page)


def test_a_scenarios_name_and_note_are_shown_as_written_and_stay_text_in_the_workbook(watched, app_url):
    page = watched
    page.goto(f"{app_url}/compare")
    settled(page)
    assert NOTE in text(page)
    page.get_by_test_id("stBaseButton-secondary").filter(has_text="folder_open").click()
    settled(page)
    page.get_by_role("combobox", name=re.compile("Beside the present one")).click()
    page.get_by_role("option", name=SCENARIO).click()
    page.keyboard.press("Escape")  # the list stays open, and hides the page from those who hear it
    expect(page.get_by_role("heading", name="What it does")).to_be_visible(timeout=WAIT)
    settled(page)
    assert SCENARIO in text(page)
    page.get_by_test_id("stMain").get_by_text("With intervals of").click()
    settled(page)
    with page.expect_download() as started:
        page.get_by_role("button", name="Workbook").click()
    book = openpyxl.load_workbook(io.BytesIO(started.value.path().read_bytes()))
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert [cell.coordinate for cell in cells if cell.data_type == "f"] == []
    (named,) = [cell for cell in cells if cell.value == SCENARIO]
    assert named.quotePrefix


@pytest.mark.parametrize("path", ["", *PAGES])
def test_no_parameter_of_an_address_acts(watched, app_url, path):
    watched.goto(f"{app_url}/{path}?{urlencode(dict.fromkeys(PARAMETERS, f'{HTML}{LINK}**x**'))}")
    settled(watched)
