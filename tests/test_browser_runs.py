"""Runs in Chromium: a link opens the same state elsewhere, back undoes, delete has its undo, exact downloads."""

import csv
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from core import comparison
from tests import browser
from tests.made_runs import made_predictions, made_run
from tests.test_browser_classify import PICTURES, WIDTHS

WAIT = 15_000
NAMES = ("baseline", "a rather long name for a run")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A folder with two finished runs."""
    root = tmp_path_factory.mktemp("browser") / "runs"
    for seed, name in enumerate(NAMES):
        made_run(root, name, made_predictions(120, seed, 1.0 + seed), epochs=30, seed=seed)
    return root


@pytest.fixture(scope="module")
def app_url(root, tmp_path_factory) -> Iterator[str]:
    """The dashboard on that folder."""
    before = os.environ.get("LUNGLENS_RUNS")
    os.environ["LUNGLENS_RUNS"] = str(root)
    log = tmp_path_factory.mktemp("app") / "streamlit.log"
    try:
        with browser.running_app(browser.ROOT / "dashboard" / "Home.py", log) as running:
            yield running.url
    finally:
        os.environ.pop("LUNGLENS_RUNS") if before is None else os.environ.update(LUNGLENS_RUNS=before)
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture(autouse=True)
def patient():
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def open_runs(page: Page, app_url: str) -> None:
    """Through the navigation: a page opened by its own address probes addresses that answer 404."""
    page.goto(app_url)
    if page.viewport_size["width"] < 800:
        page.get_by_test_id("stExpandSidebarButton").click(timeout=WAIT)
    page.get_by_role("link", name="Runs", exact=True).click(timeout=WAIT)
    if page.viewport_size["width"] < 800:
        page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Which run is better, and is the difference real?")
    expect(page.get_by_role("heading", name=re.compile("Lowest validation loss"))).to_be_visible()


def test_a_choice_is_in_the_address_opens_elsewhere_and_back_undoes_it(page, app_url, chromium):
    open_runs(page, app_url)
    expect(page).to_have_url(f"{app_url}/runs")
    page.get_by_role("radio", name="Step").click()
    expect(page).to_have_url(re.compile(r"/runs\?first=.*second=.*x=step$"))
    slider = page.get_by_role("slider", name="Smoothing")
    slider.press("ArrowRight")
    expect(page).to_have_url(re.compile(r"smoothing=0\.65"))
    page.get_by_role("button", name="Swap").click()
    expect(page).to_have_url(re.compile("first=a.rather"))
    expect(page.get_by_role("heading", level=2).first).to_be_visible()
    address, answer = page.url, page.locator("h2").all_inner_texts()
    fresh = chromium.new_page()
    fresh.goto(address)
    expect(fresh.get_by_role("slider", name="Smoothing")).to_have_value("0.65")
    expect(fresh.get_by_role("radio", name="Step")).to_be_checked()
    expect(fresh.locator("h2")).to_have_text(answer)
    fresh.close()
    page.go_back()
    expect(page).to_have_url(re.compile(r"first=baseline&.*x=step&smoothing=0\.65$"))
    page.go_back()
    expect(slider).to_have_value("0.6")
    expect(page.get_by_role("radio", name="Step")).to_be_checked()
    page.go_back()
    expect(page.get_by_role("radio", name="Epoch")).to_be_checked()
    expect(page).to_have_url(f"{app_url}/runs")


def test_a_deleted_run_is_gone_until_undo(page, app_url, root):
    open_runs(page, app_url)
    page.get_by_text("Rename, note or delete a run").click()
    expect(page.get_by_role("textbox", name="New name")).to_have_value(NAMES[1])
    page.get_by_role("button", name="Delete run").click()
    expect(page.get_by_role("heading", name="baseline is the only finished run")).to_be_visible()
    assert not (root / NAMES[1]).exists()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Swap")).to_be_visible()
    assert (root / NAMES[1] / "model.onnx").is_file()


def test_the_comparison_is_taken_away_to_the_last_digit(page, app_url, root):
    open_runs(page, app_url)
    part = page.locator(".st-key-save-run-comparison")
    part.get_by_role("button", name="Save").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    first, second = rows[0]["first_run"], rows[0]["second_run"]
    found = comparison.compare(root / first, root / second, "validation")
    assert download.value.suggested_filename == "lunglens-run-comparison.csv"
    for row, item in zip(rows, found.differences, strict=True):
        assert [float(row[f"difference_{end}"]) for end in ("value", "low", "high")] == [
            item.difference.value,
            item.difference.low,
            item.difference.high,
        ]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_no_wider_than_its_window_and_every_figure_has_words(page, app_url, width):
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    open_runs(page, app_url)
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    charts = page.locator("[data-testid=stVegaLiteChart]")
    expect(charts).to_have_count(2)
    for words in ("Dots with 95 % whiskers", "Lines of loss by epoch"):
        expect(page.locator(f"[data-testid=stVegaLiteChart][aria-label^='{words}']")).to_be_visible()
    PICTURES.mkdir(exist_ok=True)
    height = main.evaluate("part => part.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 8, 8000)})
    page.screenshot(path=PICTURES / f"runs-{width}.png")
