"""The real dashboard in Chromium: samples, uploads, junk, download, privacy, and how each view looks."""

import csv
import io
import re
from pathlib import Path

import pydicom
import pytest
from playwright.sync_api import Page, expect

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "data" / "samples"
PICTURES = Path(__file__).parent / "screenshots"
ANSWER = re.compile(r"Most like: (Normal|Pneumonia|Lung tumour), (0\.\d\d|1\.00)")
WAIT = 90_000
WIDTHS = {1440: 900, 390: 844}


@pytest.fixture(autouse=True)
def patient():
    """A loaded machine draws a page in seconds, not in the five that Playwright grants."""
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def open_classify(page: Page, app_url: str) -> None:
    """Through the navigation: a page opened by its own address probes addresses that answer 404."""
    page.goto(app_url)
    page.get_by_role("button", name="Classify a slice").click(timeout=WAIT)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "What does the model see in this slice?", timeout=WAIT
    )


def upload(page: Page, *files: dict) -> None:
    page.locator("input[type=file]").set_input_files(list(files))


def payload(path: Path, name: str | None = None) -> dict:
    return {"name": name or path.name, "mimeType": "application/octet-stream", "buffer": path.read_bytes()}


def junk(name: str) -> dict:
    return {"name": name, "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n no more than a beginning"}


def expect_answer(page: Page) -> None:
    expect(page.get_by_role("heading", name=ANSWER)).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("CT slice 1?[0-9] of .* heat map for"))).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] svg").first).to_be_visible()
    expect_calm(page)


def expect_calm(page: Page) -> None:
    """Nothing on the page looks like a fault of the program."""
    expect(page.get_by_test_id("stException")).to_have_count(0)
    expect(page.get_by_text("Traceback")).to_have_count(0)


def test_a_click_on_a_sample_shows_its_answer_and_its_link(page, app_url):
    open_classify(page, app_url)
    page.get_by_role("button", name="Sample 2", exact=True).click()
    expect_answer(page)
    expect(page.get_by_text("synthetic, drawn as pneumonia")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/classify\?sample=synthetic_05_pneumonia$"))
    page.get_by_role("button", name="Copy link").click()
    expect(page.locator("code")).to_have_text(f"{app_url}/classify?sample=synthetic_05_pneumonia")


@pytest.mark.parametrize("name", ["synthetic_03_normal.png", "synthetic_09_tumour.dcm"])
def test_an_uploaded_slice_is_answered(page, app_url, name):
    open_classify(page, app_url)
    upload(page, payload(SAMPLES / name))
    expect_answer(page)
    expect(page.get_by_test_id("stCaptionContainer").get_by_text(name, exact=True)).to_be_visible()


def test_an_uploaded_archive_is_a_series_with_a_slider_and_its_probabilities(page, app_url):
    open_classify(page, app_url)
    upload(page, payload(SAMPLES / "synthetic_series_pneumonia.zip", "mine.zip"))
    expect_answer(page)
    expect(page.get_by_text("mine.zip, slice 13 of 24")).to_be_visible()
    page.get_by_role("slider", name="Slice, 1 to 24").press("ArrowRight")
    expect(page.get_by_text("mine.zip, slice 14 of 24")).to_be_visible()
    expect(page.get_by_role("heading", name="All 24 results")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart]").filter(has_text="slice 14")).to_be_visible()


def test_junk_is_told_beside_the_good(page, app_url):
    open_classify(page, app_url)
    upload(page, junk("broken.png"), payload(SAMPLES / "synthetic_05_pneumonia.dcm"))
    expect_answer(page)
    expect(page.get_by_test_id("stAlert")).to_contain_text("broken.png could not be read.")
    expect(page.get_by_text("1 not readable")).to_be_visible()


def test_junk_alone_is_told(page, app_url):
    open_classify(page, app_url)
    upload(page, {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"nothing to see"})
    expect(page.get_by_test_id("stAlert")).to_contain_text("notes.txt could not be read.")
    expect_calm(page)


def test_the_download_holds_every_row_with_probabilities_that_sum_to_one(page, app_url):
    open_classify(page, app_url)
    upload(page, payload(SAMPLES / "synthetic_03_normal.png"), junk("broken.png"))
    expect_answer(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"))))
    assert download.value.suggested_filename == "lunglens-results.csv"
    assert [row["file"] for row in rows] == ["synthetic_03_normal.png", "broken.png"]
    good, bad = rows
    assert sum(float(good[name]) for name in ("normal", "pneumonia", "tumour")) == pytest.approx(1, abs=1e-5)
    assert good["label"] in ("normal", "pneumonia", "tumour")
    assert (good["slice"], good["error"], bad["slice"], bad["label"]) == ("1", "", "", "")
    assert bad["error"].startswith("Found ")


def test_a_patients_name_appears_on_no_page_in_no_download_and_in_no_log(page, app_url, app):
    dataset = pydicom.dcmread(SAMPLES / "synthetic_05_pneumonia.dcm")
    secrets = {"PatientName": "Quillfeather^Zebulon", "PatientID": "ID-77310-ZQ", "InstitutionName": "Owlhurst"}
    for tag, value in secrets.items():
        setattr(dataset, tag, value)
    content = io.BytesIO()
    dataset.save_as(content)
    open_classify(page, app_url)
    upload(page, {"name": "slice.dcm", "mimeType": "application/dicom", "buffer": content.getvalue()})
    expect_answer(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download results").click()
    told = page.content() + Path(download.value.path()).read_text(encoding="utf-8")
    told += app.log.read_text(errors="replace")
    assert [word for word in ("Quillfeather", "Zebulon", "ID-77310-ZQ", "Owlhurst") if word in told] == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("view", ["overview", "classify-empty", "classify-slice", "classify-series"])
def test_no_view_is_wider_than_its_window(page, app_url, view, width):
    page.set_viewport_size({"width": width, "height": WIDTHS[width]})
    if view == "overview":
        page.goto(app_url)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page.get_by_text("What it is, and what it is not")).to_be_visible()
    else:
        open_classify(page, app_url)
    if view in ("classify-slice", "classify-series"):
        page.get_by_role("button", name={"classify-slice": "Sample 2", "classify-series": "Series"}[view]).click()
        expect_answer(page)
        expect(page.get_by_text("Limits.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    save_whole(page, f"{view}-{width}.png", width)


def save_whole(page: Page, name: str, width: int) -> None:
    """The whole page as one picture in tests/screenshots, which git ignores."""
    PICTURES.mkdir(exist_ok=True)
    height = page.get_by_test_id("stMain").evaluate("part => part.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 8, 8000)})
    page.screenshot(path=PICTURES / name)
