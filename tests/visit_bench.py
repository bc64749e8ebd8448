"""What a visitor waits for: first page, page change, upload to answer; each against a bare Streamlit app."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from tests import browser
from tests.page_bench import HOME, QUIET_MS, ROOT, WAIT, measured
from tests.performance import Figure, named, told

BARE = """
import numpy as np
import pandas as pd
import streamlit as st


@st.cache_resource
def network():
    from tests.plain import plain_network
    return plain_network(288)


def first():
    st.header("First")
    st.line_chart(pd.DataFrame({"y": np.sin(np.linspace(0, 10, 101))}))


def second():
    st.header("Second")
    given = st.file_uploader("Slices")
    if given:
        from tests.plain import plain_answer
        st.image(given)
        st.header(f"answer {plain_answer(given, *network())}")
    else:
        network()


st.navigation([st.Page(first, title="First"), st.Page(second, title="Second")]).run()
"""
"""Two pages: a line chart, and an upload that is answered by torchvision's network as a first script would."""

SETTLED = """
([words, quiet, wait]) => new Promise((resolve, reject) => {
  let last = performance.now();
  new MutationObserver(() => { last = performance.now(); }).observe(
    document, { subtree: true, childList: true, characterData: true, attributes: true });
  const look = () => {
    const app = document.querySelector('[data-testid=stApp]');
    const idle = app && app.getAttribute('data-test-script-state') !== 'running';
    const told = words.every((word) => document.body.textContent.includes(word));
    if (idle && told && performance.now() - last > quiet) resolve(last);
    else if (performance.now() > wait) reject(new Error('not all that was waited for came'));
    else setTimeout(look, 20);
  };
  look();
})
"""
"""Milliseconds from the navigation's start to the page's last change, once `words` are there and all is quiet."""

PAGES = {
    "Performance": "Where is the model right",
    "Screening value": "What does AI change",
    "Model card": "What is this model for",
    "Sources": "Where does every number",
}
SAMPLE = ROOT / "data" / "samples" / "synthetic_03_normal.png"


def bench_visit(turns: int) -> list[Figure]:
    """First page in a fresh browser, change of page, upload to answer; the servers are warm."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.chromium(), args=list(browser.FLAGS))
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        own = {"LUNGLENS_SCENARIOS": str(Path(folder) / "scenarios.duckdb")}
        path = {"PYTHONPATH": str(ROOT)}
        with (
            browser.running_app(bare, Path(folder) / "bare.log", path) as peer,
            browser.running_app(HOME, Path(folder) / "ours.log", own) as ours,
        ):
            figures = [
                visited("first page, a fresh browser", chromium, peer.url, ours.url, turns, first_bare, first_page),
                visited("change of page", chromium, peer.url, ours.url, turns, change_bare, change_page),
                visited(
                    "upload of a PNG slice to its answer", chromium, peer.url, ours.url, turns, bare_answer, answer
                ),
            ]
        chromium.close()
    return figures


Visit = Callable[[object, str, int], float]


def visited(what: str, chromium: object, bare: str, url: str, turns: int, theirs: Visit, ours: Visit) -> Figure:
    """Both in turns, each in a context of its own; the first turns are for warmth: every page is drawn once."""
    pairs = []
    for turn in range(turns + len(PAGES)):
        times = []
        for visit, address in ((theirs, bare), (ours, url)):
            context = chromium.new_context(viewport={"width": 1440, "height": 900})
            times.append(visit(context.new_page(), address, turn))
            context.close()
        pairs.append(times)
    a, b = zip(*pairs[len(PAGES) :], strict=True)
    return told(Figure("A visit", what, "ms", b, f"a bare app of two pages, {named('streamlit')}", a))


def opened(page: object, url: str, *words: str) -> float:
    page.goto(url, wait_until="commit", timeout=WAIT)
    return page.evaluate(SETTLED, [list(words), QUIET_MS, WAIT])


def first_bare(page: object, url: str, turn: int) -> float:
    return opened(page, url, "First")


def first_page(page: object, url: str, turn: int) -> float:
    return opened(page, url, "How good is this model")


def change_bare(page: object, url: str, turn: int) -> float:
    opened(page, url, "First")
    return measured(page, "click", ["Second"], lambda: page.get_by_role("link", name="Second").click())


def change_page(page: object, url: str, turn: int) -> float:
    opened(page, url, "How good is this model")
    name = list(PAGES)[turn % len(PAGES)]
    link = page.get_by_test_id("stSidebarNav").get_by_role("link", name=name, exact=True)
    return measured(page, "click", [PAGES[name]], lambda: link.click())


def bare_answer(page: object, url: str, turn: int) -> float:
    opened(page, f"{url}/second", "Slices")
    return uploaded(page, "answer")


def answer(page: object, url: str, turn: int) -> float:
    opened(page, f"{url}/classify", "What does the model see")
    return uploaded(page, "Most like:")


def uploaded(page: object, word: str) -> float:
    given = page.locator("input[type=file]").first
    return measured(page, "change", [word], lambda: given.set_input_files(SAMPLE))
