"""Cost-effectiveness and Sensitivity in Chromium: draws with progress, live figures, clicks, downloads, width."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

PICTURES = Path(__file__).parent / "screenshots"
WAIT = 120_000
WIDTHS = {1440: 900, 390: 844}
ANSWERS = {
    "cost-effectiveness": re.compile(r"At \$100,000 per QALY, .* best buy"),
    "sensitivity": re.compile(r"3 of 75 numbers can turn the choice"),
}


@pytest.fixture(autouse=True)
def patient():
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def visit(chromium, app_url) -> Iterator[Callable[..., Page]]:
    """Opens a view by a link with 1,000 draws, each time in a browser of its own.

    A page opened by its own address probes addresses that answer 404, so these are not held against it.
    """
    contexts, faults = [], []

    def arrive(view: str, query: str = "", width: int = 1440) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": WIDTHS[width]}, accept_downloads=True)
        context.set_default_timeout(WAIT)
        contexts.append(context)
        fresh = context.new_page()
        fresh.on("pageerror", lambda error: faults.append(str(error)))
        fresh.goto(f"{app_url}/{view}?x_draws=1000{query}")
        expect(fresh.get_by_role("heading", name=ANSWERS[view])).to_be_visible()
        settled(fresh)
        expect(fresh.get_by_test_id("stException")).to_have_count(0)
        return fresh

    yield arrive
    for context in contexts:
        context.close()
    assert faults == []


def settled(page: Page) -> None:
    """All draws made and all figures there."""
    expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)


def test_the_threshold_moves_answer_and_figures_and_is_in_the_link(visit):
    page = visit("cost-effectiveness")
    expect(page.locator("[data-testid=stVegaLiteChart]").filter(has_text="$100,000 per QALY")).to_be_visible()
    slider = page.get_by_role("slider", name=re.compile("Worth of one QALY"))
    slider.press("Home")
    expect(page.get_by_role("heading", name=re.compile(r"At \$0 per QALY"))).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart]").filter(has_text="$0 per QALY")).to_be_visible()
    expect(page).to_have_url(re.compile(r"wtp=0(&|$)"))
    page.reload()
    expect(page.get_by_role("heading", name=re.compile(r"At \$0 per QALY"))).to_be_visible()


def test_a_new_scenario_is_drawn_with_progress_while_old_figures_stay(visit):
    page = visit("cost-effectiveness")
    page.get_by_role("combobox", name=re.compile("Draws")).click()
    page.get_by_role("option", name="10,000 draws").click()
    expect(page.get_by_role("heading", name=ANSWERS["cost-effectiveness"])).to_be_visible()
    expect(page.get_by_text("900 of 10,000 draws shown")).to_be_visible()
    expect(page).to_have_url(re.compile("x_draws=10000"))


def test_the_pages_are_reached_by_the_navigation_and_meet_no_fault(page, app_url):
    page.goto(app_url)
    for view in ANSWERS:
        page.get_by_test_id("stSidebarNav").get_by_role("link", name=view.capitalize()).click(timeout=WAIT)
        expect(page.get_by_role("heading", name=ANSWERS[view])).to_be_visible()
        settled(page)


def test_the_draws_behind_the_plane_can_be_taken_away(visit):
    page = visit("cost-effectiveness")
    page.get_by_role("button", name="Save").first.click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert download.value.suggested_filename == "lunglens-cost-effectiveness-plane.csv"
    assert len(rows) == 1000
    assert set(rows[0]) == {"change_in_qalys_per_1000", "change_in_cost_USD"}


def test_a_click_on_a_bar_follows_its_number_and_so_does_the_list(visit):
    page = visit("sensitivity")
    bars = page.locator("[data-testid=stVegaLiteChart]").first.locator("g.mark-rect").nth(1).locator("path")
    expect(bars).to_have_count(20)
    bars.nth(2).scroll_into_view_if_needed()
    bars.nth(2).click()
    expect(page).to_have_url(re.compile("x_number=c_ai_scan"))
    expect(
        page.get_by_role("heading", name=re.compile(r"Up to \$4.83 the best buy is AI read alongside"))
    ).to_be_visible()
    page.get_by_role("combobox", name=re.compile("Number to follow")).click()
    page.get_by_role("option", name="Change in sensitivity with concurrent AI").click()
    expect(page).to_have_url(re.compile("x_number=concurrent_sensitivity_gain"))


def test_the_map_of_two_numbers_is_drawn_when_asked(visit):
    page = visit("sensitivity", "&x_first=c_ai_scan&x_second=concurrent_specificity_gain")
    page.get_by_role("button", name="Draw the map").click()
    expect(page.get_by_role("heading", name="One reader, no AI is the best buy on most of the map")).to_be_visible()
    areas = page.locator("[data-testid=stVegaLiteChart]").filter(has_text="One reader, no AI").last
    expect(areas).to_contain_text("AI read alongside")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ANSWERS)
def test_no_view_is_wider_than_its_window(visit, view, width):
    page = visit(view, width=width)
    expect(page.get_by_text("Where the numbers come from.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    PICTURES.mkdir(exist_ok=True)
    height = main.evaluate("part => part.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 8, 8000)})
    page.screenshot(path=PICTURES / f"{view}-{width}.png")
