"""`make bench`: speed as ratios against named peers, measured in turns in one run; medians and spread."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.market_bench import bench_market
from tests.page_bench import CASES, bench_pages

ROOT = Path(__file__).resolve().parent.parent
SLICES = 500
FIRST = """
import sys
from core.__main__ import main
main(["predict", sys.argv[1], "--json"])
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
"""A process that predicts one slice, then tells its peak memory in KiB (Linux)."""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    rounds = options.parse_args().rounds
    bench_inference(rounds)
    bench_folder(max(2, rounds // 2))
    bench_training(max(2, rounds // 2))
    bench_start(rounds)
    bench_market(rounds)
    return 0 if bench_pages(list(CASES)) else 1


def compare(title: str, peer: str, theirs: Callable[[], object], ours: Callable[[], object], rounds: int) -> None:
    """Print how many times faster `ours` is than `theirs`, each run once for warmth and then in turns."""
    theirs()
    ours()
    ratios, seconds = [], []
    for _ in range(rounds):
        a, b = timed(theirs), timed(ours)
        ratios.append(a / b)
        seconds.append((a, b))
    a, b = (statistics.median(column) for column in zip(*seconds, strict=True))
    print(
        f"{title}: {statistics.median(ratios):.2f}x {peer} (lowest {min(ratios):.2f}, highest {max(ratios):.2f}; "
        f"median {b * 1e3:.1f} ms against {a * 1e3:.1f} ms; {rounds} rounds)",
        flush=True,
    )


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def bench_inference(rounds: int) -> None:
    """The demo run's engine, heat maps included, against torch eager without them; the same network and size."""
    import torch

    from core.model import Classifier
    from core.predictor import Predictor

    predictor = Predictor.load()
    size = predictor.preprocess.size
    model = Classifier("mobilenet_v2", "linear", 3, 0.2, 0).eval()
    for batch in (1, 16, 64):
        pictures = np.random.default_rng(0).integers(0, 256, (batch, size, size), dtype=np.uint8)

        def eager(pictures=pictures) -> None:
            with torch.inference_mode():
                model(torch.from_numpy(pictures[:, None]).float())

        compare(
            f"inference, batch {batch}", "torch eager", eager, lambda p=pictures: predictor.logits(p), rounds * 3
        )


def bench_folder(rounds: int) -> None:
    """A folder of 512 x 512 PNG slices through `predict`, against Pillow, torchvision and torch eager."""
    from core.predict import predict_to
    from core.predictor import Predictor

    size = Predictor.load().preprocess.size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_slices(folder, SLICES)
        sink = (folder / "out.txt").open("w")
        compare(
            f"folder of {SLICES} slices",
            "a plain torchvision loop",
            lambda: plain_folder(folder, size),
            lambda: predict_to(sink, [str(folder)], None, "json", None),
            rounds,
        )
        sink.close()


def write_slices(folder: Path, count: int) -> None:
    """`count` different slices as PNG: a few drawn ones, shifted."""
    from core.phantom import phantom
    from core.samples import png_bytes
    from core.slices import Slice

    drawn = [phantom(label, 1).slice for label in ("normal", "pneumonia", "tumour")]
    for number in range(count):
        moved = np.roll(drawn[number % 3].pixels, number // 3 % 20, axis=0)
        (folder / f"{number:04d}.png").write_bytes(png_bytes(Slice(moved, "hu", "")))


def plain_folder(folder: Path, size: int) -> list[int]:
    """What a first script would be: open, transform, one forward pass a picture of the size that ours sees."""
    import torch
    from PIL import Image

    from core.torchvision_ops import import_torchvision

    torchvision = import_torchvision()
    from torchvision import transforms

    model = torchvision.models.mobilenet_v2(num_classes=3).eval()
    change = transforms.Compose([
        transforms.Resize(size * 8 // 7), transforms.CenterCrop(size), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    found = []
    with torch.inference_mode():
        for file in sorted(folder.glob("*.png")):
            image = change(Image.open(file).convert("RGB"))
            found.append(int(model(image[None]).argmax()))
    return found


def bench_training(rounds: int) -> None:
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
        compare(
            f"training, an epoch of {len(paths)} slices",
            "a plain float32 loop",
            lambda: plain_epoch(paths, targets, recipe.batch_size, recipe.preprocess.size),
            trainer.run_epoch,
            rounds,
        )


def plain_epoch(paths: list[str], targets: np.ndarray, batch_size: int, size: int) -> None:
    """Open, random crop and flip, forward, backward, step: all of the network in float32, nothing cached."""
    import torch
    from PIL import Image

    from core.torchvision_ops import import_torchvision

    torchvision = import_torchvision()
    from torchvision import transforms

    model = torchvision.models.mobilenet_v2(num_classes=3).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    change = transforms.Compose([
        transforms.RandomResizedCrop(size), transforms.RandomHorizontalFlip(), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    for start in range(0, len(paths), batch_size):
        part = paths[start : start + batch_size]
        images = torch.stack([change(Image.open(path).convert("RGB")) for path in part])
        loss = torch.nn.functional.cross_entropy(
            model(images), torch.from_numpy(targets[start : start + batch_size])
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def bench_start(rounds: int) -> None:
    """Seconds from the start of a process to its first result, and the most memory it held."""
    sample = ROOT / "data" / "samples" / "synthetic_03_normal.png"
    seconds, peaks = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-c", FIRST, str(sample)], cwd=ROOT, stdout=subprocess.PIPE)
        json.loads(process.stdout.readline())["label"]
        seconds.append(time.perf_counter() - start)
        peaks.append(int(process.stdout.readline()) / 1024)
        process.wait()
    seconds, peaks = seconds[1:], peaks[1:]
    print(
        f"first result after {statistics.median(seconds):.2f} s (highest {max(seconds):.2f}), "
        f"peak memory {max(peaks):.0f} MB ({rounds} starts)"
    )


if __name__ == "__main__":
    sys.exit(main())
