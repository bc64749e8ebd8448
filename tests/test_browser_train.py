"""Train in Chromium: a training outlives its tab; killed, it is resumed and ends with the same weights."""

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import load_file

from core.order import Request
from tests import browser
from tests.made_runs import uninterrupted_weights, write_data

PICTURES = Path(__file__).parent / "screenshots"
DEMO = browser.ROOT / "data" / "runs" / "demo"
WAIT = 120_000
EPOCHS = 4
NAME = "killed"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Iterator[Path]:
    """A machine of its own: a folder of runs with the demo run, a folder of images with one data folder."""
    place = tmp_path_factory.mktemp("place")
    shutil.copytree(DEMO, place / "runs" / "demo")
    write_data(place / "images" / "drawn", per_class=4, seed=10)
    yield place
    trainer = Trainer(place / "runs")  # a test that failed may have left it standing still
    if trainer.told.exists() and json.loads(trainer.told.read_text())["state"] == "training":
        trainer.send(signal.SIGKILL)


@pytest.fixture(scope="module")
def app(place, tmp_path_factory) -> Iterator[browser.App]:
    log = tmp_path_factory.mktemp("app") / "streamlit.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGLENS_RUNS", str(place / "runs"))
        patch.setenv("LUNGLENS_DATA", str(place / "images"))
        patch.delenv("LUNGLENS_DEMO", raising=False)
        with browser.running_app(browser.ROOT / "dashboard" / "Home.py", log) as running:
            yield running
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.fixture(scope="module")
def app_url(app) -> str:
    return app.url


@pytest.fixture(autouse=True)
def patient():
    expect.set_options(timeout=WAIT)
    yield
    expect.set_options(timeout=5_000)


def open_train(page: Page, app_url: str) -> None:
    """Through the navigation: a page opened by its own address probes addresses that answer 404."""
    page.goto(app_url)
    page.get_by_role("link", name="Train", exact=True).click(timeout=WAIT)
    expect(page.get_by_role("heading", level=1)).to_have_text("What will this run do, and how is it going?")


def fill(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(label, exact=True)
    box.fill(value)
    box.press("Enter")


def choose_small_training(page: Page) -> None:
    data = page.get_by_role("combobox", name="Data")
    phantoms = page.get_by_text("Phantoms of each class", exact=True)
    expect(phantoms).to_be_visible()
    epochs = page.get_by_label("Epochs", exact=True).element_handle()
    data.press("Backspace")
    data.fill("drawn")
    page.get_by_role("option", name="drawn").click()
    data.press("Escape")
    expect(phantoms).to_have_count(0)
    assert epochs.evaluate("box => box.isConnected"), "a number being typed is lost when other data are chosen"
    for label, value in (("Epochs", str(EPOCHS)), ("Batch size", "4"), ("Kept for validation, % of groups", "50")):
        fill(page, label, value)
    fill(page, "Name", NAME)
    expect(page.get_by_role("heading", name="It will learn from 6 images and validate on 6 others")).to_be_visible()
    expect(page.get_by_text(re.compile(f"{EPOCHS} epochs of 2 batches of 4"))).to_be_visible()


class Trainer:
    """The training's process, held still while the page is looked at, so that no speed of a machine matters."""

    def __init__(self, runs: Path) -> None:
        self.run, self.told = runs / NAME, runs / ".jobs" / NAME / "progress.json"

    def send(self, number: int) -> None:
        os.kill(json.loads(self.told.read_text())["pid"], number)

    def hold_after(self, epochs: int) -> None:
        """Stop the clock of the process once that many epochs are written."""
        deadline = time.monotonic() + WAIT / 1000
        while self.epochs() < epochs:
            assert time.monotonic() < deadline, self.told.read_text() if self.told.exists() else "it never began"
            time.sleep(0.01)
        self.send(signal.SIGSTOP)

    def epochs(self) -> int:
        path = self.run / "history.csv"
        return len(path.read_text().splitlines()) - 1 if path.exists() else 0


@pytest.mark.timeout(900)  # two trainings and six starts of PyTorch, on a machine that may do much else
def test_a_training_outlives_its_tab_and_killed_it_resumes_to_the_same_weights(page, app_url, place):
    trainer = Trainer(place / "runs")
    open_train(page, app_url)
    choose_small_training(page)
    page.get_by_role("button", name="Start training").click()
    expect(page.get_by_role("heading", name="How it is going")).to_be_visible()
    trainer.hold_after(1)
    seen = trainer.epochs()
    context = page.context
    page.goto("about:blank")

    again = context.new_page()
    open_train(again, app_url)
    expect(again.get_by_text(f"Epoch {seen + 1} of {EPOCHS}")).to_be_visible()
    expect(again.get_by_role("heading", name=re.compile(f"^Loss .* in epoch [1-{seen}]$"))).to_be_visible()
    expect(again.get_by_role("button", name="Stop training")).to_be_enabled()
    trainer.send(signal.SIGCONT)
    trainer.hold_after(seen + 1)
    expect(again.get_by_text(f"Epoch {trainer.epochs() + 1} of {EPOCHS}")).to_be_visible()
    assert trainer.epochs() > seen
    rates = again.get_by_role("heading", name=f"in epoch {trainer.epochs()}")
    expect(rates.first).to_be_visible()

    trainer.send(signal.SIGKILL)
    died = again.get_by_test_id("stAlert").filter(has_text="Its process was ended from outside")
    expect(died).to_contain_text(f"The weights of epoch {trainer.epochs()} are safe")
    again.get_by_role("button", name="Resume").click()
    expect(died).to_have_count(0)
    expect(again.get_by_text(re.compile("Finished$"))).to_be_visible()
    expect(again.get_by_role("heading", name=re.compile("Calibration: a temperature of"))).to_be_visible()
    expect(again.get_by_test_id("stException")).to_have_count(0)
    again.close()

    request = Request("whole", (str(place / "images" / "drawn"),), "lung", "none", EPOCHS, 4, None, 0.5)
    ours, theirs = load_file(trainer.run / "model.safetensors"), uninterrupted_weights(request)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []


@pytest.mark.parametrize("width", [1440, 390])
def test_train_is_not_wider_than_its_window(page, app_url, width):
    open_train(page, app_url)
    page.set_viewport_size({"width": width, "height": {1440: 900, 390: 844}[width]})
    expect(page.get_by_role("button", name="Start training")).to_be_visible()
    expect(page.get_by_role("heading", name="How it went")).to_be_visible()
    expect(page.locator("[data-testid=stVegaLiteChart] svg").nth(4)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_count(1)
    main = page.get_by_test_id("stMain")
    assert main.evaluate("part => part.scrollWidth - part.clientWidth") <= 0
    PICTURES.mkdir(exist_ok=True)
    height = main.evaluate("part => part.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(int(height) + 8, 8000)})
    page.screenshot(path=PICTURES / f"train-{width}.png")
