"""Small data folders of drawn slices and small recipes, for tests that train."""

import csv
from pathlib import Path

from core.labels import LABELS
from core.phantom import phantom
from core.recipe import Recipe, recipe_from_json
from core.samples import png_bytes

SMALL = {
    "name": "small",
    "preprocess": {"pipeline": "lung", "size": 64},
    "augment": {},
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 0.002,
    "keep": "best",
    "validation": 0.34,
    "average": 0.9,
    "mixstyle": 0.5,
    "frozen": 1,
}


def small_recipe(**changes) -> Recipe:
    return recipe_from_json(SMALL | changes)


def write_data(folder: Path, per_class: int, seed: int, labels: tuple[str, ...] = LABELS) -> Path:
    """A data folder with a manifest: `per_class` slices of each class, two slices a group."""
    folder.mkdir(parents=True)
    rows = []
    for label in labels:
        for number in range(per_class):
            file = f"{label}_{number}.png"
            made = phantom(label, seed + number, size=96)
            (folder / file).write_bytes(png_bytes(made.slice))
            rows.append(
                {"file": file, "label": label, "group": f"{label}{number // 2}", "hospital": "AB"[number % 2]}
            )
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder
