"""Screening value in Chromium: sliders, links, the back button, two visitors at once, and how it looks."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

PICTURES = Path(__file__).parent / "screenshots"
QUESTION = "What does AI change for a screening site?"
WAIT = 90_000
WIDTHS = {1440: 900, 390: 844}


@pytest.fixture(autouse=True)
def patient() -> Iterator[None]:
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def visitor(chromium, app_url) -> Iterator[Callable[[str], Page]]:
    """Opens the page by a link, each time in a browser of its own.

    A page opened by its own address probes addresses that answer 404, so these are not held against it.
    """
    contexts = []

    def arrive(query: str = "", width: int = 1440) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": WIDTHS[width]})
        context.set_default_timeout(WAIT)
        contexts.append(context)
        fresh = context.new_page()
        fresh.goto(f"{app_url}/screening-value{query}")
        expect_figures(fresh)
        return fresh

    yield arrive
    for context in contexts:
        context.close()


def expect_figures(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(QUESTION)
    expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(3)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def years(page: Page):
    return page.get_by_role("slider", name=re.compile("Years looked ahead"))


def test_a_slider_moved_by_keyboard_changes_figures_and_address_and_back_undoes_it(page, app_url):
    page.goto(app_url)
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Screening value").click(timeout=WAIT)
    expect_figures(page)
    expect(page.get_by_text("over 5 years").first).to_be_visible()
    years(page).focus()
    page.keyboard.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"/screening-value\?years=6$"))
    expect(page.get_by_text("over 6 years").first).to_be_visible()
    expect(page.get_by_text(re.compile("95 % intervals of 300 draws"))).to_be_visible()
    page.wait_for_timeout(2_000)  # for so long an old address is taken for one that is late
    page.go_back()
    expect(page).to_have_url(re.compile(r"/screening-value$"))
    expect(page.get_by_text("over 5 years").first).to_be_visible()
    expect(years(page)).to_have_value("5")


def test_a_copied_link_shows_another_visitor_the_same_figures(visitor):
    first = visitor("?setting=uk&strategy=triage&years=8&adherence=0.8123456789")
    first.get_by_role("button", name="Copy link").click()
    link = first.locator("code").filter(has_text="http").inner_text()
    assert link.endswith("?setting=uk&strategy=triage&years=8&adherence=0.8123456789")
    expect(first.get_by_text("intervals of 300 draws")).to_be_visible()
    shown = first.get_by_test_id("stMetricValue").all_inner_texts()
    second = visitor("?" + link.partition("?")[2])
    assert second.get_by_test_id("stMetricValue").all_inner_texts() == shown


def test_a_link_that_cannot_be_used_is_told_on_the_page(visitor):
    page = visitor("?years=99&uptake=7")
    expect(
        page.get_by_role("alert").filter(has_text="years was 99; expected a whole number from 1 to 10")
    ).to_be_visible()
    expect(page.get_by_role("alert").filter(has_text="uptake was 7; expected 0 to 1")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/screening-value$"))


def test_two_visitors_do_not_see_each_others_sliders(visitor):
    one, two = visitor(), visitor()
    for page, key, address in ((one, "End", "years=10"), (two, "Home", "years=1")):
        years(page).focus()
        page.keyboard.press(key)
        expect(page).to_have_url(re.compile(address + "$"))
    expect(one.get_by_text("over 10 years").first).to_be_visible()
    expect(two.get_by_text("over 1 year").first).to_be_visible()
    one.get_by_role("button", name="Reset").click()
    expect(one).to_have_url(re.compile("/screening-value$"))
    expect(years(two)).to_have_value("1")


def test_the_operating_point_of_a_run_is_taken_and_its_thresholds_are_swept(visitor):
    page = visitor("?strategy=triage")
    page.get_by_role("button", name="Use the operating point of a run").click()
    page.get_by_role("button", name="Use these counts").click()
    expect(page.get_by_role("alert").filter(has_text="is not screening accuracy")).to_be_visible()
    expect(page).to_have_url(re.compile(r"tp=\d+&fn=\d+&tn=\d+&fp=\d+&ai_from=run\+demo"))
    page.keyboard.press("Escape")
    page.get_by_text("What is each threshold of a model run worth?").click()
    expect(
        page.get_by_role("heading", name=re.compile("Threshold .* is worth most|No threshold is worth it"))
    ).to_be_visible()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_not_wider_than_its_window(visitor, width):
    page = visitor("?strategy=triage", width)
    expect(page.get_by_text("Where the numbers come from.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    fold = page.get_by_text(re.compile("^Scenario: AI rules out"))
    if width == 390:  # the sliders are folded away behind the scenario in words
        expect(years(page)).to_be_hidden()
        fold.click()
        expect(years(page)).to_be_visible()
    else:
        expect(fold).to_be_hidden()
    PICTURES.mkdir(exist_ok=True)
    height = main.evaluate("part => part.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 8, 8000)})
    page.screenshot(path=PICTURES / f"screening-value-{width}.png")
