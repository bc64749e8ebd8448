"""Data in Chromium: from the empty page to leaks side by side, links that show the same, keyboard, widths."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

PICTURES = Path(__file__).parent / "screenshots"
WAIT = 120_000
WIDTHS = {1440: 900, 390: 844}
LEAKS = [
    ("normal_3000.png", "copied.png"),
    ("normal_3002.png", "second_slice.png"),
    ("normal_3001.png", "saved_anew.jpg"),
]
"""What was planted: same file, same group, near copy."""


@pytest.fixture(autouse=True)
def patient():
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def open_data(page: Page, app_url: str) -> None:
    """Through the navigation: a page opened by its own address probes addresses that answer 404."""
    page.goto(app_url)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    if page.viewport_size["width"] < 600:
        page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_test_id("stSidebarNav").get_by_role("link", name="Data", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What is in this data, and what leaks?")
    if page.viewport_size["width"] < 600:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()


def open_example(page: Page, app_url: str) -> None:
    open_data(page, app_url)
    page.get_by_role("button", name="Look at synthetic slices").click()
    expect_found(page)


def expect_found(page: Page) -> None:
    expect(page.get_by_role("heading", name="3 of 11 test images repeat one of an earlier part")).to_be_visible()
    expect(page.get_by_text("Sources and limits.")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def pictures(page: Page, count: int) -> list[str]:
    """File names of the images on the page, once there are `count`: leaks, then copies, then the gallery's 12."""
    images = page.get_by_test_id("stMain").locator("img[alt]:not([alt=''])")
    expect(images).to_have_count(count)
    return [text.partition(", ")[2] for text in images.evaluate_all("all => all.map(one => one.alt)")]


def test_planted_leaks_stand_side_by_side_and_a_kind_can_be_chosen_by_keyboard(page, app_url):
    open_example(page, app_url)
    expect(page).to_have_url(re.compile(r"/data\?data=synthetic$"))
    names = pictures(page, 20)
    assert list(zip(names[0:6:2], names[1:6:2], strict=True)) == LEAKS
    near = page.get_by_role("radio", name="Near copy 1")
    near.focus()
    near.press("Enter")
    expect(page).to_have_url(re.compile(r"leak=near"))
    expect(page.get_by_role("img", name="Normal, copied.png")).to_have_count(0)
    names = pictures(page, 16)
    assert tuple(names[:2]) == LEAKS[2]


def test_the_copied_link_shows_the_same_in_a_fresh_browser_and_the_back_button_works(page, app_url):
    open_example(page, app_url)
    page.get_by_role("button", name="Page 3").click()
    expect(page.get_by_text("50 images, page 3 of 5")).to_be_visible()
    expect(page).to_have_url(re.compile(r"page=3"))
    expect(page.get_by_role("img", name="Pneumonia, pneumonia_3001.png")).to_have_count(0)
    expect(page.get_by_role("img", name="Normal, normal_3108.png")).to_be_visible()
    shown = pictures(page, 20)[-12:]
    page.get_by_role("button", name="Copy link").click()
    link = page.locator("code").filter(has_text="http").inner_text()
    assert link == page.url
    fresh = page.context.browser.new_context()
    other = fresh.new_page()
    other.goto(link)
    expect_found(other)
    expect(other.get_by_text("50 images, page 3 of 5")).to_be_visible()
    expect(other.get_by_role("img", name="Normal, normal_3108.png")).to_be_visible()
    assert pictures(other, 20)[-12:] == shown
    fresh.close()
    page.keyboard.press("Escape")
    page.go_back()
    expect(page.get_by_text("50 images, page 1 of 5")).to_be_visible()
    expect(page.get_by_role("button", name="Page 1")).to_have_attribute("aria-current", "page")


def test_every_chart_has_words_and_every_figure_its_table(page, app_url):
    open_example(page, app_url)
    charts = page.locator("[data-testid=stVegaLiteChart][aria-label]")
    expect(charts).to_have_count(3)
    words = charts.evaluate_all("all => all.map(one => one.ariaLabel)")
    assert [text.split()[0] for text in words] == ["Matrix", "Range", "Points"]
    page.get_by_role("radio", name="Classes").click()
    expect(page.get_by_text("Brightness: median")).to_be_visible()
    expect(page).to_have_url(re.compile("between=label"))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download", exact=True).click()
    assert '"leaking_images"' in Path(download.value.path()).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ["data-empty", "data-synthetic"])
def test_data_is_not_wider_than_its_window(page, app_url, view, width):
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    if view == "data-empty":
        open_data(page, app_url)
        expect(page.get_by_role("button", name="Look at synthetic slices")).to_be_visible()
    else:
        open_example(page, app_url)
        expect(page.locator("[data-testid=stVegaLiteChart] svg")).to_have_count(3)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    PICTURES.mkdir(exist_ok=True)
    height = main.evaluate("part => part.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 8, 9000)})
    page.screenshot(path=PICTURES / f"{view}-{width}.png")
