"""Pictures of every page for the README, from the real dashboard: `python -m tests.screenshots [PAGE ...]`."""

import io
import os
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from tests.browser import FLAGS, MISSING, ROOT, chromium, running_app

FOLDER = ROOT / "dashboard" / "static" / "screenshots"
PAGES = {
    "overview": "",
    "classify": "classify?sample=synthetic_05_pneumonia",
    "performance": "performance",
    "runs": "runs",
    "train": "train",
    "data": "data?data=synthetic",
    "paper": "paper",
    "model-card": "model-card",
    "screening-value": "screening-value",
    "cost-effectiveness": "cost-effectiveness",
    "sensitivity": "sensitivity",
    "adoption": "adoption",
    "compare": "compare?c_ai_scan=7",
    "sources": "sources",
}
"""Picture -> address, with what is needed to show something."""

WIDTH, HEIGHT = 1440, 900
SETTLED_SECONDS = 60


def take(browser: Browser, url: str, name: str) -> None:
    """The first screen of a page in the light theme, once nothing runs any more."""
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
    page = context.new_page()
    page.goto(f"{url}/{PAGES[name]}")
    page.wait_for_selector("h1", timeout=1000 * SETTLED_SECONDS)
    quiet = 0
    while quiet < 6:  # three seconds without a running script
        page.wait_for_timeout(500)
        running = page.locator("[data-testid=stApp][data-test-script-state=running]").count()
        quiet = 0 if running else quiet + 1
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture = picture.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    picture.save(FOLDER / f"{name}.png", optimize=True)
    context.close()


def main(names: list[str]) -> int:
    """Take the named pictures, or all; 2 for an unknown name or where there is no Chromium."""
    unknown = sorted(set(names) - set(PAGES))
    if unknown:
        print(f"{unknown[0]}: no such page; known are {', '.join(PAGES)}", file=sys.stderr)
        return 2
    path = chromium()
    if path is None:
        print(MISSING, file=sys.stderr)
        return 2
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        own = {"LUNGLENS_SCENARIOS": os.path.join(folder, "scenarios.duckdb")}
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        with running_app(ROOT / "dashboard" / "Home.py", Path(folder) / "log", own) as app:
            for name in names or PAGES:
                take(browser, app.url, name)
                print(f"{name}: {(FOLDER / f'{name}.png').stat().st_size // 1024} kB")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
