"""`make soak`: a public server under many visitors for minutes; errors, seconds an action, memory, what is left."""

import argparse
import importlib.util
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from dashboard import departure
from tests import browser
from tests.visitor import Fault, Visitor, held, until

HOME = browser.ROOT / "dashboard" / "Home.py"
SAMPLES = browser.ROOT / "data" / "samples"
MOST_SECONDS, MOST_GROWTH, MOST_MB = 2.0, 0.05, 690.0
"""The bars: 95th percentile of an action, growth of memory from after warm-up, memory after the run."""

WARM_SHARE = 0.2
"""Warm-up is every page once, then the same load for this share of the minutes, a minute at least."""

UPLOADS, FUZZ = "UploadedFileManager", "tests.fuzz_reader"
FUZZ_LINES = 12
PAGES = ("", "performance", "runs", "train", "data", "paper", "model-card", "sources", "compare")
ACTED_ON = ("classify", "screening-value", "cost-effectiveness", "sensitivity", "adoption")
"""Pages that a visitor looks at, and those on which something is moved."""

BAD = re.compile(r"Traceback|\bERROR\b|\bCRITICAL\b|Uncaught|Exception")


A_VISIT = 25
"""Uploads of one visitor: a public server reads 30 files of one visit in a minute."""


@dataclass
class Seen:
    """What all visitors saw: seconds of each action by its name, and errors in words."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)

    def time(self, name: str, act: Callable[[], object]) -> None:
        start = time.perf_counter()
        try:
            act()
        except (Fault, OSError, TimeoutError) as error:
            self.errors.append(f"{name}: {error}")
        self.seconds[name].append(time.perf_counter() - start)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    options.add_argument("--visitors", type=int, default=30)
    options.add_argument("--uploads", type=int, default=1000)
    options.add_argument("--think", type=float, default=10.0, help="mean seconds a visitor looks at what came")
    options.add_argument("--seed", type=int, default=0)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "streamlit.log"
        own = {"LUNGLENS_DEMO": "1", "LUNGLENS_SCENARIOS": str(Path(folder) / "scenarios.duckdb")}
        with browser.running_app(HOME, log, own) as app:
            missed = soak(app, asked)
        missed += bars("lines of the log that tell of a fault", len(wrong_lines(log)), 0, "")
        for line in wrong_lines(log)[:10]:
            print(f"  {line}")
    if importlib.util.find_spec(FUZZ):
        missed += fuzz(asked.minutes)
    print("All bars are met." if not missed else f"{missed} bars are missed.", flush=True)
    return 1 if missed else 0


def fuzz(minutes: float) -> int:
    """The fuzzer over the reader for so long; prints the end of what it says, and 1 where it found something."""
    print(f"\npython -m {FUZZ} --minutes {minutes:g}", flush=True)
    command = [sys.executable, "-m", FUZZ, "--minutes", f"{minutes:g}"]
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in ran.stdout.splitlines()[-FUZZ_LINES:]:
        print(f"  {line}")
    return bars("exit status of the fuzzer", ran.returncode, 0, "")


def soak(app: browser.App, asked: argparse.Namespace) -> int:
    """Warm up, load, let all leave, upload; the number of bars that are missed."""
    print(f"{asked.visitors} visitors, {asked.minutes:g} minutes, {asked.think:g} s on average to look, "
          f"{psutil.cpu_count()} cores; memory: PSS of the server and its children", flush=True)  # fmt: skip
    with Visitor(app.url) as visitor:
        for page in ("", *PAGES, *ACTED_ON):
            visitor.open(page)
            visitor.stay(2)
    load(app, asked, max(1.0, asked.minutes * WARM_SHARE), Seen(), asked.seed + 1)
    all_left(app)
    warm = memory(app.pid)
    print(f"after warm-up: {warm:.0f} MB", flush=True)
    seen = Seen()
    peak = load(app, asked, asked.minutes, seen, asked.seed + 2, with_browser=True)
    during = held(app.url).get(UPLOADS, 0.0)
    print(f"at the end of the load: {memory(app.pid):.0f} MB, peak {peak:.0f} MB, uploads {during / 1e6:.1f} MB")
    report(seen)
    left = all_left(app)
    after = memory(app.pid)
    every = [value for values in seen.seconds.values() for value in values]
    missed = bars("errors", len(seen.errors), 0, "")
    missed += bars("95th percentile of an action", percentile(every, 0.95), MOST_SECONDS, "s")
    missed += bars("memory after the run", after, MOST_MB, "MB")
    missed += bars("memory after the run, over that after warm-up", growth(warm, after), 100 * MOST_GROWTH, "%")
    missed += bars("uploads held once all have left", left / 1e6, 0, "MB")
    return missed + uploads(app, asked.uploads)


def load(
    app: browser.App, asked: argparse.Namespace, minutes: float, seen: Seen, seed: int, with_browser: bool = False
) -> float:
    """Visitors for so many minutes; the most memory that was seen, MB."""
    end = time.monotonic() + 60 * minutes
    threads = [
        threading.Thread(target=visits, args=(app.url, end, asked.think, seen, random.Random(f"{seed} {number}")))
        for number in range(asked.visitors)
    ]
    if with_browser and browser.chromium():
        threads.append(threading.Thread(target=browse, args=(app.url, end, seen)))
    for thread in threads:
        thread.start()
    most = 0.0
    while any(thread.is_alive() for thread in threads):
        most = max(most, memory(app.pid))
        time.sleep(2)
    return most


def visits(url: str, end: float, think: float, seen: Seen, rng: random.Random) -> None:
    """One visit after the other: to classify, to the market, or to look around; each ends with the tab closed."""
    time.sleep(rng.uniform(0, think))
    while time.monotonic() < end:
        try:
            with Visitor(url) as visitor:
                for name, act in rng.choice((classify, market, market, classify, look))(visitor, rng):
                    if time.monotonic() > end:
                        break
                    seen.time(name, act)
                    visitor.stay(rng.uniform(0.2, 1.8) * think)
        except (Fault, OSError, TimeoutError, ValueError, IndexError) as error:
            seen.errors.append(f"visit: {type(error).__name__} {error}")


Actions = Iterator[tuple[str, Callable[[], object]]]
"""What a visitor does, one after the other: its name, and the act."""


def classify(visitor: Visitor, rng: random.Random) -> Actions:
    """A sample or two, a PNG, a DICOM, a series, a file that is none."""
    yield "open classify", lambda: visitor.open("classify")
    for _ in range(rng.randint(1, 3)):
        sample = rng.choice(visitor.controls("button", "Sample "))
        yield "click a sample", lambda sample=sample: visitor.click(sample)
    for kind in rng.sample(("png", "dcm", "zip", "txt"), rng.randint(1, 3)):
        name, content = file(kind, rng)
        yield f"upload {kind}", lambda name=name, content=content: visitor.upload(name, content, rng.random() < 0.3)
    numbers = [slider for slider in visitor.controls("slider") if not slider.message.options]
    for slider in numbers[:2]:
        value = rng.uniform(slider.message.min, slider.message.max)
        yield "move a slider of the viewer", lambda slider=slider, value=value: visitor.slide(slider, round(value))


def file(kind: str, rng: random.Random) -> tuple[str, bytes]:
    """A file to upload by the ending of its name; `txt` is one that cannot be read."""
    if kind == "txt":
        return "notes.txt", b"no picture " * 1000
    path = rng.choice(sorted(SAMPLES.glob(f"*.{kind}")))
    return path.name, path.read_bytes()


def market(visitor: Visitor, rng: random.Random) -> Actions:
    """Pages of the market with their sliders, another setting, a saved scenario set beside the present one."""
    for page in rng.sample(ACTED_ON[1:], 2):
        yield f"open {page}", lambda page=page: visitor.open(page, visitor.query)
        for _ in range(rng.randint(1, 3)):
            sliders = visitor.controls("slider")
            if sliders:
                slider = rng.choice(sliders)
                yield f"move a slider of {page}", lambda slider=slider: visitor.slide(slider, a_value(slider, rng))
    for control in visitor.controls("button_group", "Setting"):
        yield "choose a setting", lambda control=control: visitor.choose_segments(control, [another(control, rng)])
    yield "open compare", lambda: visitor.open("compare", visitor.query)
    for button in visitor.controls("button", "Save scenario"):
        yield "save a scenario", lambda button=button: visitor.click(button)


def a_value(slider: object, rng: random.Random) -> float:
    """A value that the slider has."""
    message = slider.message
    steps = max(1, round((message.max - message.min) / message.step)) if message.step else 1
    return message.min + message.step * rng.randint(0, steps)


def another(control: object, rng: random.Random) -> str:
    """The words of one of the first two options, which have all numbers."""
    return rng.choice([option.content for option in control.message.options[:2]])


def look(visitor: Visitor, rng: random.Random) -> Actions:
    """Pages that are only looked at."""
    for page in rng.sample(PAGES, 4):
        yield f"open {page or 'overview'}", lambda page=page: visitor.open(page)


def browse(url: str, end: float, seen: Seen) -> None:
    """A real browser among the others: an answer and a chart are really there, and its console is quiet."""
    from playwright.sync_api import Error, sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.chromium(), args=list(browser.FLAGS))
        while time.monotonic() < end:
            page = chromium.new_page()
            page.set_default_timeout(60_000)
            page.on("pageerror", lambda error: seen.errors.append(f"browser: {error}"))
            try:
                page.goto(f"{url}/classify?sample=synthetic_05_pneumonia")
                page.get_by_text("Pneumonia leads").or_(page.get_by_text("Could be")).first.wait_for()
                page.goto(f"{url}/screening-value")
                page.locator("[data-testid=stVegaLiteChart] svg").first.wait_for()
            except Error as error:
                seen.errors.append(f"browser: {error.message.splitlines()[0]}")
            page.close()
            time.sleep(max(0.0, min(10.0, end - time.monotonic())))
        chromium.close()


def uploads(app: browser.App, count: int) -> int:
    """Files one after the other, each in place of the last, A_VISIT by one visitor; the number of bars missed."""
    seen, rng, before = Seen(), random.Random(7), 0.0
    for first in range(0, count, A_VISIT):
        with Visitor(app.url) as visitor:
            visitor.open("classify")
            for number in range(first, min(first + A_VISIT, count)):
                name, content = file(("png", "dcm", "txt")[number % 3], rng)
                seen.time("upload", lambda name=name, content=content, by=visitor: by.upload(name, content))
                if number == count // 10:
                    before = memory(app.pid)
    after = memory(app.pid)
    print(f"{count} uploads: {before:.0f} MB after {count // 10}, {after:.0f} MB after all; "
          f"p95 {percentile(seen.seconds['upload'], 0.95):.2f} s", flush=True)  # fmt: skip
    left = all_left(app)
    missed = bars("errors of uploads", len(seen.errors), 0, "")
    missed += bars("growth over the last nine tenths of them", growth(before, after), 100 * MOST_GROWTH, "%")
    return missed + bars("uploads held once they left", left / 1e6, 0, "MB")


def all_left(app: browser.App) -> float:
    """Wait until the server has given all visitors up; bytes of uploads that it still holds."""
    until(lambda: held(app.url).get(UPLOADS, 0) == 0, departure.SECONDS + 30)
    time.sleep(departure.SECONDS if held(app.url).get("active_sessions") else 5)
    return held(app.url).get(UPLOADS, 0.0)


def memory(pid: int) -> float:
    """MB of the server and its children, pages that they share counted once (PSS, Linux)."""
    total = 0.0
    process = psutil.Process(pid)
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss / 1e6
        except psutil.NoSuchProcess:
            continue
    return total


def report(seen: Seen) -> None:
    """A line an action, the slowest first."""
    print(f"\n{'action':<36}{'times':>7}{'p50 s':>8}{'p95 s':>8}{'max s':>8}")
    rows = sorted(seen.seconds.items(), key=lambda item: -percentile(item[1], 0.95))
    for name, values in [*rows, ("all", [value for _, own in rows for value in own])]:
        numbers = (statistics.median(values or [0.0]), percentile(values, 0.95), max(values, default=0.0))
        print(f"{name:<36}{len(values):>7}" + "".join(f"{number:>8.2f}" for number in numbers))
    for error in seen.errors[:10]:
        print(f"  {error[:200]}")
    print(flush=True)


def percentile(values: list[float], share: float) -> float:
    """The value that this share of the values does not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def growth(before: float, after: float) -> float:
    """Per cent."""
    return 100 * (after / before - 1)


def bars(what: str, found: float, most: float, unit: str) -> int:
    """Print one bar; 1 where it is missed."""
    shown = f"{found:.2f}" if isinstance(found, float) else str(found)
    print(f"{'met   ' if found <= most else 'MISSED'}  {what}: {shown} {unit} (at most {most:g})", flush=True)
    return int(found > most)


def wrong_lines(log: Path) -> list[str]:
    """Lines of the server's log that tell of a fault."""
    return [line for line in log.read_text(errors="replace").splitlines() if BAD.search(line)]


if __name__ == "__main__":
    sys.exit(main())
