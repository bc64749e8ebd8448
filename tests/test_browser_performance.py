"""Performance in Chromium: a clicked cell against the Parquet file, the back button, a link in a fresh browser."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from core.labels import LABELS
from dashboard.performance.link import SHA
from tests import browser
from tests.page_bench import write_run

WAIT = 90_000
SLICES = 900
PICTURES = Path(__file__).parent / "screenshots"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    write_run(made / "made", SLICES)
    return made


@pytest.fixture(scope="module")
def app(folder, tmp_path_factory) -> Iterator[browser.App]:
    """The real dashboard on a folder with one made-up run."""
    place = tmp_path_factory.mktemp("app")
    log = place / "streamlit.log"
    own = {"LUNGLENS_RUNS": str(folder), "LUNGLENS_SCENARIOS": str(place / "scenarios.duckdb")}
    with browser.running_app(browser.ROOT / "dashboard" / "Home.py", log, own) as running:
        yield running
    text = log.read_text(errors="replace")
    assert "Traceback" not in text, text


@pytest.fixture(scope="module")
def app_url(app: browser.App) -> str:
    return app.url


@pytest.fixture(scope="module")
def frame(folder) -> pd.DataFrame:
    table = pd.read_parquet(folder / "made" / "predictions.parquet")
    table = table[table["scheme"] == "source"].reset_index(drop=True)
    probabilities = table[[f"p_{label}" for label in LABELS]].to_numpy()
    return table.assign(called=np.array(LABELS)[probabilities.argmax(axis=1)], confidence=probabilities.max(axis=1))


@pytest.fixture(autouse=True)
def patient():
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def open_page(page: Page, app_url: str) -> None:
    """Through the navigation: a page opened by its own address probes addresses that answer 404."""
    page.goto(app_url)
    page.get_by_role("link", name="Performance").click(timeout=WAIT)
    expect_whole(page)


def expect_whole(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "Where is the model right, and where does it go wrong?"
    )
    expect(page.get_by_text("Calibration error", exact=True)).to_be_visible()
    expect(cells(page)).to_have_count(9)
    expect(tiles(page).first).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)


def cells(page: Page):
    return page.locator(".st-key-performance-confusion .mark-rect path")


def click_cell(page: Page, true: str, called: str, **options) -> None:
    """A click by someone who waits until the page stands still."""
    place = 3 * LABELS.index(true) + LABELS.index(called)
    expect(page.locator("[data-test-script-state=running]")).to_have_count(0)
    cells(page).nth(place).click(force=True, **options)


def tiles(page: Page):
    return page.locator(".st-key-performance-tiles-slices li button")


def gallery(page: Page) -> list[str]:
    """First signs of the checksums of the slices that are shown."""
    return tiles(page).evaluate_all("all => all.map(one => one.dataset.sign)")


def all_pages(page: Page) -> list[str]:
    """The whole gallery, page by page."""
    found = gallery(page)
    while (following := page.get_by_role("button", name="Next page")).is_enabled():
        before = gallery(page)
        following.click()
        expect(tiles(page).first).not_to_have_attribute("data-sign", before[0])
        expect(page.locator("[data-test-script-state=running]")).to_have_count(0)
        found += gallery(page)
    return found


def signs(frame: pd.DataFrame) -> list[str]:
    ordered = frame.sort_values("confidence", ascending=False, kind="stable")
    return [value[:SHA] for value in ordered["sha256"]]


def test_a_clicked_cell_shows_exactly_the_images_of_the_predictions(page, app_url, frame):
    open_page(page, app_url)
    click_cell(page, "pneumonia", "tumour")
    cell = frame[(frame["label"] == "pneumonia") & (frame["called"] == "tumour")]
    expect(
        page.get_by_role("heading", name=f"The {len(cell):,} pneumonia slices called lung tumour")
    ).to_be_visible()
    expect(page.get_by_text("only: pneumonia called lung tumour")).to_be_visible()
    assert all_pages(page) == signs(cell)


def test_shift_adds_a_cell_and_a_second_click_takes_it_back(page, app_url, frame):
    open_page(page, app_url)
    click_cell(page, "normal", "tumour")
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    click_cell(page, "tumour", "normal", modifiers=["Shift"])
    both = frame[
        ((frame["label"] == "normal") & (frame["called"] == "tumour"))
        | ((frame["label"] == "tumour") & (frame["called"] == "normal"))
    ]
    expect(page.get_by_role("heading", name=f"The {len(both):,} slices in 2 cells of the matrix")).to_be_visible()
    click_cell(page, "normal", "tumour", modifiers=["Shift"])
    expect(page.get_by_text("only: lung tumour called normal")).to_be_visible()
    click_cell(page, "tumour", "normal")
    expect(page.get_by_role("heading", name="slices that are called wrongly")).to_be_visible()


def choose(page: Page, box: str, words: str) -> None:
    """By keyboard alone."""
    field = page.get_by_role("combobox", name=box)
    field.focus()
    page.keyboard.type(words)
    expect(page.get_by_role("option", name=words)).to_be_visible()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")


def test_shift_adds_to_cells_that_were_chosen_by_keyboard(page, app_url):
    open_page(page, app_url)
    choose(page, "True class", "Normal")
    expect(page.get_by_text("only: 3 cells of the matrix")).to_be_visible()
    choose(page, "Called", "Lung tumour")
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    click_cell(page, "tumour", "normal", modifiers=["Shift"])
    expect(page.get_by_text("only: normal called lung tumour and lung tumour called normal")).to_be_visible()


def test_several_cells_are_chosen_by_touch(page, app_url):
    open_page(page, app_url)
    page.get_by_text("Several cells").click()
    click_cell(page, "normal", "tumour")
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    click_cell(page, "tumour", "normal")
    expect(page.get_by_text("only: normal called lung tumour and lung tumour called normal")).to_be_visible()
    click_cell(page, "normal", "tumour")
    expect(page.get_by_text("only: lung tumour called normal")).to_be_visible()


def test_a_phone_shows_the_name_of_every_column_of_the_matrix(page, app_url):
    open_page(page, app_url)
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(1000)
    names = page.locator(".st-key-performance-confusion .role-axis-label").nth(0).locator("text")
    expect(names).to_have_count(3)
    boxes = names.evaluate_all("all => all.map(one => [one.getAttribute('opacity'), one.getBoundingClientRect()])")
    boxes = [(opacity, box["left"], box["right"]) for opacity, box in boxes]
    assert all(opacity != "0" for opacity, *_ in boxes)
    assert all(before[2] < after[1] for before, after in itertools.pairwise(boxes))


def test_the_back_button_takes_back_one_step_at_a_time(page, app_url):
    open_page(page, app_url)
    click_cell(page, "normal", "tumour")
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    click_cell(page, "tumour", "pneumonia")
    expect(page.get_by_text("only: lung tumour called pneumonia")).to_be_visible()
    page.get_by_test_id("stMain").get_by_role("radio", name="Lung tumour").or_(
        page.get_by_test_id("stMain").get_by_role("button", name="Lung tumour", exact=True)
    ).first.click()
    expect(page.get_by_role("heading", name="At threshold 0.50")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="The most probable class is called")).to_be_visible()
    expect(page.get_by_text("only: lung tumour called pneumonia")).to_be_visible()
    page.go_back()
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    page.go_back()
    expect(page.get_by_role("heading", name="slices that are called wrongly")).to_be_visible()
    expect(page.get_by_text(re.compile("^only: "))).to_have_count(0)
    page.go_forward()
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    click_cell(page, "normal", "tumour")
    expect(page.get_by_text(re.compile("^only: "))).to_have_count(0)


def state(page: Page) -> dict:
    """What a visitor sees of the page's state."""
    return {
        "headings": page.get_by_test_id("stMain").get_by_role("heading").all_inner_texts(),
        "metrics": page.get_by_test_id("stMetric").all_inner_texts(),
        "gallery": gallery(page),
        "matrix": page.locator(".st-key-performance-confusion .mark-text text").all_text_contents(),
        "sliders": page.get_by_role("slider").evaluate_all(
            "all => all.map(one => one.getAttribute('aria-valuetext'))"
        ),
    }


def test_the_address_opens_the_same_view_in_a_fresh_browser(page, app_url, chromium):
    open_page(page, app_url)
    main = page.get_by_test_id("stMain")
    main.get_by_role("radio", name="Lung tumour").or_(
        main.get_by_role("button", name="Lung tumour", exact=True)
    ).first.click()
    slider = page.get_by_role("slider", name="when its probability is at least")
    for place in (1, 2, 3):
        slider.press("ArrowLeft")
        expect(page.get_by_role("heading", name=f"At threshold {0.5 - place / 100:.2f}")).to_be_visible()
    click_cell(page, "normal", "tumour")
    expect(page.get_by_text("only: normal called lung tumour")).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    expect(page).to_have_url(re.compile("page=2"))
    expect(page.locator("[data-test-script-state=running]")).to_have_count(0)
    mine = state(page)
    query = dict(parse_qsl(urlsplit(page.url).query))
    assert query == {
        "run": "made",
        "scheme": "source",
        "cells": "normal.tumour",
        "class": "tumour",
        "threshold_tumour": "0.47",
        "page": "2",
    }
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    other = context.new_page()
    other.goto(page.url)
    expect_whole(other)
    expect(other.get_by_text("only: normal called lung tumour")).to_be_visible()
    expect(other.locator("[data-test-script-state=running]")).to_have_count(0)
    theirs = state(other)
    context.close()
    assert theirs == mine


def test_an_opened_slice_stands_in_the_address_until_it_is_closed(page, app_url, frame):
    open_page(page, app_url)
    first = gallery(page)[0]
    tiles(page).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("Images of this run are not here")).to_be_visible()
    expect(page).to_have_url(re.compile(f"image={first}"))
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(page).not_to_have_url(re.compile("image="))


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_is_no_wider_than_its_window(page, app_url, width):
    open_page(page, app_url)
    page.set_viewport_size({"width": width, "height": 900 if width > 500 else 844})
    page.wait_for_timeout(1000)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"performance-{width}.png")


def test_every_control_has_a_name_and_every_chart_an_alternative(page, app_url):
    open_page(page, app_url)
    main = page.get_by_test_id("stMain")
    nameless = main.evaluate(
        """part => [...part.querySelectorAll('button, input, [role=slider], [role=combobox]')]
        .filter(one => one.offsetParent !== null)
        .filter(one => !(one.innerText || one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')
                         || (one.labels && one.labels.length) || one.title))
        .map(one => one.outerHTML.slice(0, 200))"""
    )
    assert nameless == []
    charts = main.get_by_test_id("stVegaLiteChart")
    labels = charts.evaluate_all(
        "all => all.map(one => one.querySelector('[aria-label]').getAttribute('aria-label'))"
    )
    assert len(labels) == 3 and all(label and len(label) > 30 for label in labels)
