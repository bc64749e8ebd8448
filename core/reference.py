"""The reference run: a small network on phantoms, so that every page has something true to show on a new machine.

`python -m core.reference OUT --weights FILE` draws 240 phantoms into OUT/phantoms_sharp and OUT/phantoms_soft (by
the scanner's kernel), trains the lung recipe on them at a small size, tests it by folds, with each kernel left
out and on the phantoms of the demo run's test, and leaves the run with its thumbnails in OUT/reference; the one
that ships lies in data/runs/reference.
"""

import csv
import hashlib
from pathlib import Path

from core.labels import LABELS
from core.recipe import Recipe, load_recipe, recipe_from_json

NAME = "reference"

PER_CLASS, FIRST_SEED = 80, 5000

TEST_EVERY = 5
"""One phantom of so many is kept for the test."""

KEPT, KEPT_PER_CLASS, KEPT_FIRST_SEED = "phantoms", 100, 1000
"""The kept test: name, phantoms of each class and their first seed, the same as the demo run's."""

FOLDS = 3

KERNELS = {True: "phantoms_sharp", False: "phantoms_soft"}
"""Folder of a phantom by whether its scan has a sharp kernel."""

LESION_SIZES = ((0.0, "none"), (0.01, "small"), (0.05, "medium"), (1.0, "large"))
"""Largest share of the lungs' pixels that a lesion of each size covers."""

COLUMNS = ("file", "label", "group", "split", "lesion", "thickness_mm", "sha256")

NOTES = """\
## What it is for, and what not

**The images of this run are drawings.** They are slices of phantoms: chests drawn by formula, with lesions drawn
into them (`core/phantom.py`). No patient is in them. Its figures show how the pages work and how such a network
behaves on a task whose truth is known for certain. They say nothing of patients, and the network is of no use on
scans.

It ships so that every page has predictions, images and a history to show on a new machine. It is made again, from
the same phantoms, by `python -m core.reference OUT`; the last digits depend on the processor.

## Data

240 phantoms, 80 of each class, one slice each, seeds 5000 to 5079. A fifth of them, by seed, is the test. The two
sources are the scanner's kernels: `phantoms_sharp` has more noise and finer edges than `phantoms_soft`. `lesion`
says how much of the lungs the lesions of a slice cover: small up to 1 %, medium up to 5 %, large above. Small
tumours are hard to see at the network's 128 pixels, and are left in for that.

The test `phantoms` is of 300 others, 100 of each class, seeds 1000 to 1099: those that the demo run was tested on,
so that two runs can be compared on the same images. The demo run never learned from a phantom; this run did.
"""


def recipe() -> Recipe:
    """The lung recipe, smaller and shorter, with a part of the groups for validation."""
    own = load_recipe("lung").to_json()
    own["preprocess"] |= {"size": 128}
    own |= {"name": NAME, "epochs": 8, "small_size": 0, "small_share": 0.0, "validation": 0.2}
    own["chosen"] = {"size, epochs": "small and few, so that the run is made in minutes"}
    return recipe_from_json(own)


def write_data(out: Path) -> list[Path]:
    """Draw the phantoms into the folders of their kernels, each with its manifest; returns the folders."""
    from core.phantom import make_patient, phantom
    from core.samples import png_bytes

    rows: dict[str, list[tuple]] = {name: [] for name in KERNELS.values()}
    for label in LABELS:
        for seed in range(FIRST_SEED, FIRST_SEED + PER_CLASS):
            scan, made = make_patient(label, seed).scan, phantom(label, seed)
            source, content = KERNELS[scan.sharp], png_bytes(made.slice)
            file = f"phantom_{label}_{seed}.png"
            (out / source).mkdir(parents=True, exist_ok=True)
            (out / source / file).write_bytes(content)
            share = made.lesion_mask.sum() / made.lung_mask.sum()
            lesion = next(name for most, name in LESION_SIZES if share <= most)
            split = "test" if seed % TEST_EVERY == 0 else "train"
            digest = hashlib.sha256(content).hexdigest()
            group = f"phantom-{label}-{seed}"
            rows[source].append((file, label, group, split, lesion, f"{scan.thickness:g}", digest))
    for source, of_source in rows.items():
        with (out / source / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            table.writerows(of_source)
    return [out / source for source in rows]


def make(out: Path, weights: str) -> Path:
    """Draw, train, cross-validate and keep; returns the run's folder OUT/reference."""
    from core import card, data, thumbnails
    from core.crossval import cross_validate
    from core.evaluate import evaluate, keep
    from core.order import Order
    from core.runs import load_run, write_atomically
    from core.samples import write_set
    from core.train import train

    folders = write_data(out)
    path = train(Order(NAME, tuple(map(str, folders)), recipe(), weights, 0), out)
    cross_validate(path, folders, weights, "group", FOLDS)
    cross_validate(path, folders, weights, "source")
    thumbnails.write(load_run(path), data.load_table(folders))
    write_set(out / KEPT, KEPT_PER_CLASS, KEPT_FIRST_SEED)
    keep(path, KEPT, evaluate(path, [out / KEPT]))
    (path / "model.safetensors").unlink()
    write_atomically(path / card.NOTES, NOTES.encode())
    card.write_card(path)
    return path


def main(arguments: list[str] | None = None) -> int:
    """`python -m core.reference OUT [--weights FILE]`."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m core.reference", description="Make the reference run again.")
    parser.add_argument("out", type=Path, help="folder to write the phantoms and the run into")
    parser.add_argument("--weights", default="imagenet", help="imagenet, none, or a file (default: imagenet)")
    options = parser.parse_args(arguments)
    print(f"the reference run is finished: {make(options.out, options.weights)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
