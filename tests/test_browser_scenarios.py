"""Scenarios in Chromium: two people at once, a server that is killed, links, a series of one's own, and looks."""

import os
import re
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from market.database import ScenarioStore
from tests import browser

PICTURES = Path(__file__).parent / "screenshots"
WAIT = 90_000
VCR = "\n".join(map(str, [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]))
QUESTIONS = {
    "Adoption and market": "How fast could it spread, and how large is the market?",
    "Compare": "How do my scenarios differ?",
    "Sources": "Where does every number come from?",
}

LEVELS = """[...document.querySelectorAll('[data-testid=stMain] :is(h1, h2, h3, h4, h5, h6)')]
  .filter((part) => part.offsetParent).map((part) => Number(part.tagName[1]))"""


@pytest.fixture(autouse=True)
def patient():
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def open_page(page: Page, app_url: str, name: str) -> None:
    """Through the navigation: a page opened by its own address probes addresses that answer 404."""
    page.goto(app_url)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name=name).click(timeout=WAIT)
    expect(page.get_by_role("heading", level=1)).to_have_text(QUESTIONS[name])


def save_as(page: Page, name: str) -> None:
    box = page.get_by_label("Name", exact=True)
    box.fill(name)
    box.press("Tab")
    page.get_by_role("button", name="Save scenario").click()
    expect(page.get_by_text("Saved", exact=True)).to_be_visible()


def test_two_people_do_not_see_each_others_sliders_and_both_can_save(chromium: Browser, app_url):
    one, other = (chromium.new_context().new_page() for _ in range(2))
    one.goto(f"{app_url}/compare?c_ai_scan=7")
    other.goto(f"{app_url}/compare?c_ai_scan=9")
    save_as(one, "First of two")
    save_as(other, "Second of two")
    expect(one).to_have_url(re.compile("c_ai_scan=7"))
    expect(other).to_have_url(re.compile("c_ai_scan=9"))
    expect(one.get_by_text("$7 a scan")).to_be_visible()
    expect(other.get_by_text("$9 a scan")).to_be_visible()
    one.reload()
    expect(one.get_by_role("heading", name=re.compile(r"^\d+ saved$"))).to_be_visible()
    one.get_by_label("Beside the present one").click()
    expect(one.get_by_role("option", name="Second of two")).to_be_visible()
    one.context.close()
    other.context.close()


def test_a_server_killed_while_saving_loses_nothing_that_was_saved(chromium: Browser, tmp_path):
    store = tmp_path / "scenarios.duckdb"
    home, own = browser.ROOT / "dashboard" / "Home.py", {"LUNGLENS_SCENARIOS": str(store)}
    page = chromium.new_context().new_page()
    with browser.running_app(home, tmp_path / "log", own) as app:
        page.goto(f"{app.url}/compare?c_ai_scan=7")
        save_as(page, "Safe")
        box = page.get_by_label("Name", exact=True)
        box.fill("Perhaps")
        box.press("Tab")
        page.get_by_role("button", name="Save scenario").click()
        time.sleep(0.05)
        os.kill(app.pid, signal.SIGKILL)
    page.context.close()
    found = {item.scenario.name: dict(item.scenario.overrides) for item in ScenarioStore(store).list_scenarios()}
    assert found["Safe"] == {"c_ai_scan": 7.0}
    assert set(found) <= {"Safe", "Perhaps"}


def test_a_copied_link_opens_the_same_scenario_elsewhere(chromium: Browser, app_url):
    page = chromium.new_context().new_page()
    page.goto(f"{app_url}/compare?strategy=triage&adherence=0.8125")
    code = page.locator("code", has_text="screening-value")
    expect(code).to_contain_text("adherence=0.8125")
    link = code.inner_text()
    assert len(link) < 200
    elsewhere = chromium.new_context().new_page()
    elsewhere.goto(link.replace("/screening-value?", "/compare?"))
    expect(elsewhere.get_by_text("AI rules out", exact=False).first).to_be_visible()
    expect(elsewhere.locator("code", has_text="screening-value")).to_have_text(link)
    page.context.close()
    elsewhere.context.close()


def test_a_pasted_series_becomes_the_visitors_curve(page, app_url):
    open_page(page, app_url, "Adoption and market")
    page.get_by_text("Fit the curve to your own series").click()
    area = page.get_by_label("Or paste a series")
    area.fill(VCR)
    area.press("Control+Enter")
    page.get_by_role("button", name="Use p and q as my curve").click()
    expect(page).to_have_url(re.compile(r"bass_q_base=0\.642"))


def test_a_figure_can_be_taken_away_as_picture_and_data(page, app_url):
    open_page(page, app_url, "Adoption and market")
    page.get_by_role("button", name="Save").first.click()
    for kind, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg"), ("CSV", b"year,")):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=kind, exact=True).click()
        assert Path(waiting.value.path()).read_bytes().startswith(start)


def test_a_chosen_row_opens_its_number(page, app_url):
    open_page(page, app_url, "Sources")
    page.get_by_label("Words").fill("radiologist")
    page.get_by_label("Words").press("Enter")
    expect(page.get_by_role("heading", name=re.compile(r"^\d of 198 numbers$"))).to_be_visible()
    expect(page).to_have_url(re.compile("x_words=radiologist"))


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_page_looks_as_it_should_at_two_widths(page, app_url, name):
    open_page(page, app_url, name)
    expect(page.get_by_test_id("stException")).to_have_count(0)
    PICTURES.mkdir(exist_ok=True)
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_timeout(400)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.screenshot(path=PICTURES / f"{name.split()[0].lower()}-{width}.png")
    levels = page.evaluate(LEVELS)
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.get_by_test_id("stCaptionContainer").last.evaluate("part => getComputedStyle(part).opacity") == "1"


def test_the_lead_and_the_link_to_copy_follow_a_scenario_that_was_computed_before(page, app_url):
    """Figures that are there at once are redrawn alone; what stands above them must not stay as it was."""
    page.goto(app_url)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Screening value").click(timeout=WAIT)
    for way, words in (
        ("Two readers, no AI", "Two readers, no AI, compared"),
        ("AI rules out", "AI rules out, comp"),
    ) * 2:
        page.get_by_role("combobox", name="Scans are read by").click()
        page.get_by_role("option", name=way).click()
        expect(page.get_by_text("95 % intervals of 300 draws")).to_be_visible()
        expect(page.locator(".st-key-question")).to_contain_text(words)
    years = page.get_by_role("slider", name=re.compile("Years looked ahead"))
    for key, value in (("ArrowLeft", "4"), ("ArrowRight", "5"), ("ArrowLeft", "4")):
        years.press(key)
        expect(page.get_by_text(f"over {value} years").first).to_be_visible()
        expect(page.get_by_text("95 % intervals of 300 draws")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("code", has_text="/screening-value?strategy=triage&years=4")).to_be_visible()
