"""`make bench`: every speed against its peer, measured in turns in one run; writes docs/performance.md."""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.market_bench import bench_market
from tests.page_bench import CASES, TURNS, bench_pages
from tests.performance import DOCS, Figure, in_turns, machine, matrix_rate, multiply_adds, named, told, write
from tests.plain import plain_epoch, plain_folder
from tests.visit_bench import bench_visit

ROOT = Path(__file__).resolve().parent.parent
SLICES = 300
PEAK = 'print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))'
FIRST = f"""
import sys
from core.__main__ import main
main(["predict", sys.argv[1], "--json"])
sys.stdout.flush()
{PEAK}
"""
PLAIN_FIRST = f"""
import sys
from tests.plain import plain_answer, plain_network
print(plain_answer(sys.argv[1], *plain_network(288)), flush=True)
{PEAK}
"""
"""Processes that predict one slice, then tell their peak memory in KiB (Linux)."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5, help="of what takes seconds (default: 5)")
    options.add_argument("--turns", type=int, default=TURNS, help=f"of each move on a page (default: {TURNS})")
    options.add_argument("--out", type=Path, default=DOCS, help="folder of performance.md (default: docs)")
    asked = options.parse_args()
    start, facts = time.perf_counter(), machine()
    figures = [
        *bench_visit(max(1, asked.turns // 2)),
        *bench_pages(list(CASES), asked.turns),
        *bench_inference(asked.rounds),
        bench_folder(max(1, asked.rounds // 2)),
        *bench_start(asked.rounds),
        bench_training(max(1, asked.rounds // 2)),
        *bench_market(asked.rounds),
    ]
    write(figures, facts, (time.perf_counter() - start) / 60, asked.out)
    missed = [f"{figure.part}: {figure.what}" for figure in figures if figure.missed]
    print("All bars are met." if not missed else f"Missed bars: {'; '.join(missed)}.", flush=True)
    return int(bool(missed))


def bench_inference(rounds: int) -> list[Figure]:
    """The demo run's engine, heat maps included, against torch eager without them; the same network and size."""
    import torch

    from core.model import Classifier
    from core.predictor import Predictor
    from core.runs import load_run

    predictor = Predictor.load()
    size = predictor.preprocess.size
    model = Classifier("mobilenet_v2", "linear", 3, 0.2, 0).eval()
    work = multiply_adds(load_run(None).path / "model.onnx")
    figures = []
    for batch in (1, 16, 64):
        pictures = np.random.default_rng(0).integers(0, 256, (batch, size, size), dtype=np.uint8)

        def eager(pictures=pictures) -> None:
            with torch.inference_mode():
                model(torch.from_numpy(pictures[:, None]).float())

        def ours(pictures=pictures) -> None:
            predictor.logits(pictures)

        rates = matrix_rate(rounds)
        best = max(rates, key=rates.get)
        what, peer = f"network, batch of {batch}, {size} x {size}", f"{named('torch')}, eager"
        found = in_turns("Inference", what, peer, eager, ours, rounds * 3 if batch < 64 else rounds)
        reached = batch * work / (statistics.median(found.ours) * 1e-3)
        share = 100 * reached / rates[best]
        limit = (
            f"{reached / 1e9:.0f} billion multiply-adds a second, {share:.0f} % of this machine's own float32 "
            f"matrix product ({', '.join(f'{name} {rate / 1e9:.0f}' for name, rate in rates.items())})"
        )
        found = replace(found, limit=limit)
        figures.append(told(found.held_to(least=3) if batch == 16 else found))
    return figures


def bench_folder(rounds: int) -> Figure:
    """A folder of 512 x 512 PNG slices through `predict`, against Pillow, torchvision and torch eager."""
    from core.predict import predict_to
    from core.predictor import Predictor

    size = Predictor.load().preprocess.size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_slices(folder, SLICES)
        with (folder / "out.txt").open("w") as sink:
            found = in_turns(
                "Command line",
                f"`predict` of a folder of {SLICES} slices, a slice",
                f"a plain loop: Pillow, {named('torchvision')}, torch eager",
                lambda: plain_folder(folder, size),
                lambda: predict_to(sink, [str(folder)], None, "json", None),
                rounds,
                per=SLICES * 1e-3,
            )
    return told(found.held_to(least=4))


def write_slices(folder: Path, count: int) -> None:
    """`count` different slices as PNG: a few drawn ones, shifted."""
    from core.phantom import phantom
    from core.samples import png_bytes
    from core.slices import Slice

    drawn = [phantom(label, 1).slice for label in ("normal", "pneumonia", "tumour")]
    for number in range(count):
        moved = np.roll(drawn[number % 3].pixels, number // 3 % 20, axis=0)
        (folder / f"{number:04d}.png").write_bytes(png_bytes(Slice(moved, "hu", "")))


def bench_training(rounds: int) -> Figure:
    """An epoch of the lung recipe at its full size, slices decoded, against a float32 loop that decodes them."""
    import dataclasses

    import pandas as pd

    from core.fit import LabelledViews, Trainer
    from core.labels import LABELS
    from core.model import Classifier
    from core.recipe import load_recipe
    from core.views import load_views

    recipe = dataclasses.replace(load_recipe("lung"), small_share=0.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_slices(folder, 128)
        paths = sorted(map(str, folder.glob("*.png")))
        targets = np.arange(len(paths)) % 3
        views = load_views(pd.DataFrame({"path": paths}), recipe.preprocess)
        rows = np.arange(len(paths))
        data = LabelledViews(views, targets, np.zeros_like(targets), rows, rows, rows[:0], LABELS)
        trainer = Trainer(Classifier("mobilenet_v2", "linear", 3, 0.2, 0), recipe, data, 0)
        found = in_turns(
            "Training",
            f"an epoch of the recipe lung at full size, {len(paths)} slices, a slice",
            f"a plain float32 loop: Pillow, {named('torchvision')}",
            lambda: plain_epoch(paths, targets, recipe.batch_size, recipe.preprocess.size),
            trainer.run_epoch,
            rounds,
            per=len(paths) * 1e-3,
        )
    return told(found.held_to(least=2))


def bench_start(rounds: int) -> list[Figure]:
    """Seconds from the start of a process to its first result, and the most memory it held; the peer's likewise."""
    sample = str(ROOT / "data" / "samples" / "synthetic_03_normal.png")
    started(PLAIN_FIRST, sample)
    started(FIRST, sample)
    pairs = [(started(PLAIN_FIRST, sample), started(FIRST, sample)) for _ in range(rounds)]
    theirs, ours = (tuple(zip(*column, strict=True)) for column in zip(*pairs, strict=True))
    peer = f"a plain script: Pillow, {named('torchvision')}, torch eager"
    whats = (("process start to first result of `predict`", "s", 1.5), ("peak memory of that process", "MB", 400))
    return [
        told(Figure("Command line", what, unit, mine, peer, other).held_to(most=most))
        for (what, unit, most), mine, other in zip(whats, ours, theirs, strict=True)
    ]


def started(code: str, sample: str) -> tuple[float, float]:
    """Seconds until the first line of a fresh Python process, and its peak memory in MB (Linux)."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code, sample], cwd=ROOT, stdout=subprocess.PIPE)
    first = process.stdout.readline()
    seconds = time.perf_counter() - start
    if not first:
        raise RuntimeError("a process of the bench ended without a result")
    peak = int(process.stdout.readline()) / 1024
    process.wait()
    return seconds, peak


if __name__ == "__main__":
    sys.exit(main())
