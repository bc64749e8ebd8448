"""How fast pages answer: `python -m tests.page_bench performance`, against a bare Streamlit fragment.

The bare fragment has one slider, one Plotly and one Altair chart. Both apps run at once in one Chromium and are
moved in turns. An interaction lasts from the key or the click, as the page itself notes it, to the last change
of the page's main part that it led to; its 95th percentile has a limit.
"""

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from core.labels import LABELS
from core.predictor import softmax
from tests import browser
from tests.performance import MISSED, Figure, named, told

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / "dashboard" / "Home.py"
PREDICTIONS = 100_000
TURNS = 12
QUIET_MS = 350
CALM_MS = 4_000
WAIT = 120_000

BARE = """
import altair as alt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st


@st.fragment
def moved():
    value = st.slider("Moved", 0, 100, 50, key="moved")
    x = np.linspace(0, 10, 101)
    y = np.sin(x + value / 10)
    figure = go.Figure(go.Scatter(x=x, y=y, mode="lines"))
    figure.update_layout(title=f"plotly {value}", height=300)
    st.plotly_chart(figure, key="plotly")
    table = pd.DataFrame({"x": x, "y": y})
    line = alt.Chart(table).mark_line().encode(x="x:Q", y="y:Q")
    word = alt.Chart(pd.DataFrame({"x": [5.0], "y": [0.0], "word": [f"altair {value}"]}))
    st.altair_chart(line + word.mark_text().encode(x="x:Q", y="y:Q", text="word:N"))


moved()
"""

WATCH = """
([event, words, changing]) => {
  const main = document.querySelector('[data-testid=stMain]');
  const app = document.querySelector('[data-testid=stApp]');
  const texts = () => changing.map((part) => document.querySelector(part)?.textContent);
  const before = texts();
  window.measured = new Promise((resolve, reject) => {
    const begun = performance.now();
    let start = null, last = null;
    document.addEventListener(event, () => { start = performance.now(); }, { capture: true, once: true });
    const observer = new MutationObserver(() => { last = performance.now(); });
    const all = { subtree: true, childList: true, characterData: true, attributes: true };
    observer.observe(main, all);
    main.querySelectorAll('*').forEach((part) => part.shadowRoot && observer.observe(part.shadowRoot, all));
    const look = () => {
      const idle = app.getAttribute('data-test-script-state') !== 'running';
      const told = words.every((word) => main.textContent.includes(word));
      const there = told && texts().every((text, place) => text !== before[place]);
      if (start !== null && last !== null && last > start && idle && there && performance.now() - last > QUIET) {
        observer.disconnect();
        resolve(last - start);
      } else if (performance.now() - begun > WAIT) {
        reject(new Error('not all that was waited for has changed'));
      } else {
        setTimeout(look, 20);
      }
    };
    look();
  });
}
""".replace("QUIET", str(QUIET_MS)).replace("WAIT", str(WAIT))


@dataclass(frozen=True)
class Move:
    """One kind of interaction: `do(page, turn)` makes it and returns milliseconds; `limit` times the bare one."""

    name: str
    limit: float
    do: Callable[[object, int], float]


@dataclass(frozen=True)
class Case:
    """A page to time: what its runs folder must hold, how it is opened, and what is moved on it."""

    prepare: Callable[[Path], None]
    open: Callable[[object, str], None]
    moves: tuple[Move, ...]


def write_run(folder: Path, slices: int, seed: int = 0) -> Path:
    """A run folder with made-up predictions in two schemes and no images: `slices` in the first of them."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, slices, p=[0.4, 0.35, 0.25])
    logits = rng.normal(0, 1, (slices, 3)) + 1.6 * np.eye(3)[targets]
    frame = pd.DataFrame(
        {
            "file": [f"made/{number:06d}.png" for number in range(slices)],
            "label": np.array(LABELS)[targets],
            "source": rng.choice(["east", "west", "north"], slices),
            "sha256": [rng.bytes(32).hex() for _ in range(slices)],
            "severity": rng.choice(["mild", "severe"], slices),
            "scheme": "source",
        }
    )
    frame["group"] = [f"g{number}" for number in rng.integers(0, max(2, slices // 3), slices)]
    probabilities = softmax(logits / 1.2)
    for place, label in enumerate(LABELS):
        frame[f"logit_{label}"] = logits[:, place].astype(np.float32)
        frame[f"p_{label}"] = probabilities[:, place]
    folder.mkdir(parents=True)
    second = frame.head(min(slices, 300)).assign(scheme="group")
    pd.concat([frame, second], ignore_index=True).to_parquet(folder / "predictions.parquet")
    config = json.loads((ROOT / "data" / "runs" / "demo" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"name": folder.name, "temperature": 1.2}))
    (folder / "model.onnx").write_bytes(b"not opened here")
    return folder


def measured(
    page: object, event: str, words: list[str], act: Callable[[], None], changing: Sequence[str] = ()
) -> float:
    """Milliseconds from `event` to the last change of the page, once nothing moves.

    By then `words` are on it, and the text of the parts that the selectors `changing` name is another one.
    """
    page.evaluate(WATCH, [event, words, list(changing)])
    act()
    return page.evaluate("window.measured")


def move_bare(page: object, turn: int) -> float:
    slider = page.get_by_role("slider")
    value = 51 + turn
    return measured(page, "keydown", [f"plotly {value}", f"altair {value}"], lambda: slider.press("ArrowRight"))


def open_performance(page: object, url: str) -> None:
    page.goto(f"{url}/performance?class=tumour", timeout=WAIT)
    page.get_by_text("Calibration error", exact=True).wait_for(timeout=WAIT)
    page.get_by_text("threshold 0.50", exact=True).wait_for(timeout=WAIT)


def move_threshold(page: object, turn: int) -> float:
    slider = page.get_by_role("slider", name="when its probability is at least")
    value = f"{0.51 + turn / 100:.2f}"
    words = [f"At threshold {value}", f"threshold {value}"]
    return measured(page, "keydown", words, lambda: slider.press("ArrowRight"))


def click_cell(page: object, turn: int) -> float:
    names = ("normal", "pneumonia", "lung tumour")
    true, called = divmod(turn % 9, 3)
    words = [f"{names[true]} slices called {names[called]}"]
    cell = page.locator(".st-key-performance-confusion .mark-rect path").nth(3 * true + called)
    return measured(page, "click", words, lambda: cell.click(force=True))


def open_market(view: str, wait: str) -> Callable[[object, str], None]:
    """Opens a market page; ready once the selector `wait` is there, all draws are made, and it is calm."""

    def opened(page: object, url: str) -> None:
        page.goto(f"{url}/{view}", timeout=WAIT)
        page.locator(wait).first.wait_for(timeout=WAIT)
        for busy in (page.get_by_test_id("stSkeleton"), page.get_by_role("button", name="Stop", exact=True)):
            busy.first.wait_for(state="detached", timeout=WAIT)
        page.wait_for_timeout(CALM_MS)

    return opened


def move_slider(name: str, *changing: str) -> Callable[[object, int], float]:
    """Moves the slider of this name by a step, until the text of these parts of the page has changed.

    The first move is to its low end, so that there is room for as many steps as it has.
    """

    def move(page: object, turn: int) -> float:
        slider = page.get_by_role("slider", name=re.compile(name))
        key = "ArrowRight" if turn else "Home"
        return measured(page, "keydown", [], lambda: slider.press(key), changing)

    return move


def market_case(view: str, *moves: tuple[str, tuple[str, ...]]) -> Case:
    """A market page and the sliders moved on it, each with the parts of the page that follow it."""
    return Case(
        lambda runs: write_run(runs / "small", 60),
        open_market(view, CHART),
        tuple(Move(name, 1.5, move_slider(name, *changing)) for name, changing in moves),
    )


CHART = "[data-testid=stVegaLiteChart] svg"
METRIC = "[data-testid=stMetricValue]"
HEADER, SENTENCE = "h2", "h3"

CASES = {
    "performance": Case(
        lambda runs: write_run(runs / "large", PREDICTIONS),
        open_performance,
        (
            Move("a moved threshold, all numbers and plots", 1.5, move_threshold),
            Move("a clicked cell, its gallery and all plots", 2.0, click_cell),
        ),
    ),
    "screening-value": market_case(
        "screening-value",
        ("Price per scan", (METRIC, CHART)),
        ("Return when due", (METRIC, CHART)),
    ),
    "adoption": market_case("adoption", ("Imitation", (SENTENCE,))),
    "cost-effectiveness": market_case("cost-effectiveness", ("Worth of one QALY", (HEADER, CHART))),
    "sensitivity": market_case("sensitivity", ("Worth of one QALY", ())),
}


def bench_pages(names: list[str], turns: int = TURNS) -> list[Figure]:
    """The moves of the named pages, each in turns with the bare fragment."""
    from playwright.sync_api import sync_playwright

    figures = []
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.chromium(), args=list(browser.FLAGS))
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        for name in names:
            runs = Path(folder) / name
            CASES[name].prepare(runs)
            own = {"LUNGLENS_RUNS": str(runs), "LUNGLENS_SCENARIOS": str(Path(folder) / f"{name}.duckdb")}
            with (
                browser.running_app(bare, Path(folder) / "bare.log") as peer,
                browser.running_app(HOME, Path(folder) / f"{name}.log", own) as ours,
            ):
                figures += bench_page(chromium, name, CASES[name], peer.url, ours.url, turns)
        chromium.close()
    return figures


def bench_page(chromium: object, name: str, case: Case, peer_url: str, url: str, turns: int) -> list[Figure]:
    """One page, move by move. The first two turns of each are for warmth."""
    figures = []
    for move in case.moves:
        context = chromium.new_context(viewport={"width": 1440, "height": 900})
        peer, page = context.new_page(), context.new_page()
        peer.goto(peer_url)
        peer.get_by_text("altair 50").wait_for(timeout=WAIT)
        case.open(page, url)
        theirs, ours = [], []
        for turn in range(turns + 2):
            peer.bring_to_front()
            theirs.append(move_bare(peer, turn))
            page.bring_to_front()
            ours.append(move.do(page, turn))
        what, peer_name = f"{name}: {move.name}", f"a bare fragment, {named('streamlit')}"
        found = Figure("Sliders and clicks", what, "ms", tuple(ours[2:]), peer_name, tuple(theirs[2:]))
        figures.append(told(replace(found, limit=against(found, move.limit))))
        context.close()
    return figures


def against(figure: Figure, limit: float) -> str:
    """How its 95th percentile stands to its limit, in times of the bare fragment's."""
    times = np.quantile(figure.ours, 0.95) / np.quantile(figure.theirs, 0.95)
    return f"95th percentile {times:.2f} times the peer's; at most {limit}: {'met' if times <= limit else MISSED}"


def main() -> int:
    options = argparse.ArgumentParser(description=re.sub(r"\s+", " ", __doc__))
    options.add_argument("pages", nargs="*", default=list(CASES), metavar="PAGE", help=", ".join(CASES))
    options.add_argument("--turns", type=int, default=TURNS)
    asked = options.parse_args()
    unknown = [name for name in asked.pages if name not in CASES]
    if unknown:
        options.error(f"found {', '.join(unknown)}; expected {', '.join(CASES)}")
    return int(any(figure.missed for figure in bench_pages(asked.pages, asked.turns)))


if __name__ == "__main__":
    sys.exit(main())
