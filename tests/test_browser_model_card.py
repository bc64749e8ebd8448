"""Model card in Chromium: narrow screens, links to headings and to what is chosen, the keyboard."""

import re

from playwright.sync_api import expect

WIDE = """() => {
  const main = document.querySelector("[data-testid=stMain]");
  const scrolls = (one) => /auto|scroll|hidden/.test(getComputedStyle(one).overflowX);
  const kept = (one) => one !== main && (scrolls(one) || kept(one.parentElement));
  return [...main.querySelectorAll("*")]
    .filter((one) => one.getBoundingClientRect().right > innerWidth + 1 && one.getBoundingClientRect().width > 0)
    .filter((one) => !kept(one.parentElement)).map((one) => one.className);
}"""
"""Class names of what sticks out of the screen and lies in nothing that scrolls."""


def open_card(page, url: str) -> None:
    """From the first page by the menu, as a page opened by its own address asks for files that are not there."""
    page.goto(url)
    page.get_by_role("link", name="Model card").first.click(timeout=90_000)
    expect(page.locator(".st-key-whole-card")).to_be_visible(timeout=90_000)


def test_nothing_is_wider_than_a_phone_and_tables_scroll_in_themselves(page, app_url):
    open_card(page, app_url)
    page.set_viewport_size({"width": 390, "height": 844})
    expect(page.get_by_role("heading", name="Trials")).to_be_attached()
    page.wait_for_timeout(500)
    assert page.evaluate(WIDE) == []
    inner = page.locator(".st-key-whole-card table").nth(3)
    assert inner.evaluate("one => one.scrollWidth > one.clientWidth")


def test_contents_lead_to_their_headings_and_the_keyboard_reaches_the_checklist(page, app_url):
    open_card(page, app_url)
    page.get_by_role("link", name="Where it goes wrong", exact=True).click()
    heading = page.locator("#card-where-it-goes-wrong")
    expect(heading).to_be_in_viewport()
    assert page.url.endswith("#card-where-it-goes-wrong")
    scroller = page.locator(".st-key-checklist-table")
    page.locator(".st-key-items button").first.focus()
    page.keyboard.press("Tab")
    assert scroller.evaluate("one => one.contains(document.activeElement)")
    before = scroller.evaluate("() => document.activeElement.scrollTop")
    page.keyboard.press("PageDown")
    page.wait_for_function(f"document.activeElement.scrollTop > {before}")


def test_what_is_chosen_of_the_checklists_stands_in_the_address(page, app_url):
    open_card(page, app_url)
    page.get_by_text("TRIPOD+AI", exact=True).first.click()
    page.get_by_text("Open", exact=True).first.click()
    expect(page.get_by_text(re.compile(r"\d+ of 52 items of TRIPOD\+AI"))).to_be_visible()
    page.wait_for_function("location.search.includes('items=Open')")
    assert "checklist=TRIPOD%2BAI" in page.url
    rows = page.locator(".st-key-checklist-table tbody tr")
    expect(rows.first).to_contain_text("Open.")
    with page.expect_download() as taken:
        page.locator(".st-key-csv-tripod-ai").get_by_role("button", name="CSV").click()
    text = taken.value.path().read_text()
    assert text.startswith("item,section,topic,asks,state,text,from") and text.count("\n") == 53
