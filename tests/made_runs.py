"""Small data folders of drawn slices, small recipes, and run folders that nobody trained, for tests."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from core import data, metrics, runs
from core.labels import LABELS
from core.order import Request, class_names, split
from core.phantom import phantom
from core.recipe import Recipe, recipe_from_json
from core.samples import png_bytes

DEMO = runs.RUNS / "demo"
HISTORY = "epoch,learning_rate,train_loss,train_accuracy,train_balanced_accuracy,validation_loss,"
HISTORY += "validation_accuracy,validation_balanced_accuracy,images_per_second,seconds\n"

SMALL = {
    "name": "small",
    "preprocess": {"pipeline": "lung", "size": 64},
    "augment": {"flatten": 0.3},
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 0.002,
    "keep": "best",
    "validation": 0.34,
    "average": 0.9,
    "lesions": 0.4,
    "mixstyle": 0.5,
    "frozen": 1,
}

ONE = {"value": 0.7, "low": 0.6, "high": 0.8, "note": None}
SHORTCUTS = {
    "slices": 90,
    "groups": 45,
    "chance": 1 / 3,
    "sentence": "At least 60 % of what can be told better than chance can be told without the lungs.",
    "views": {
        "whole": {"words": "the whole picture", "network": ONE, "probe": ONE | {"value": 0.75}},
        "numbers": {"words": "no picture: its size", "network": None, "probe": ONE},
    },
    "heat": [{"true": "normal", "called": "tumour", "inside": ONE | {"slices": 7}, "area": ONE | {"slices": 7}}],
    "occlusion": {"warmest": ONE | {"slices": 90}, "other": ONE | {"slices": 90}},
}
ROBUSTNESS = {
    "slices": 90,
    "groups": 45,
    "kinds": {
        "noise": {
            "words": "noise, standard deviation in grey levels",
            "steps": [0, 5],
            "balanced_accuracy": [ONE, ONE | {"value": 0.5, "low": 0.4, "high": 0.6}],
        },
        "blur": {"words": "blur, pixels", "steps": [0, 2], "balanced_accuracy": [ONE, ONE]},
    },
}
"""Results as `shortcuts` and `robustness` write them, made up; ONE is any estimate of theirs."""


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


def uninterrupted_weights(request: Request) -> dict[str, np.ndarray]:
    """What a training ends with that nobody stops, without the measuring and writing that follow it."""
    from core.fit import Trainer
    from core.train import fit, labelled, new_model
    from core.views import load_views

    order = request.order()
    table = data.load_table([Path(folder) for folder in order.folders])
    labels, parts = class_names(table["label"]), split(table, order.recipe, order.seed)
    views = load_views(table, order.recipe.preprocess)
    trainer = Trainer(
        new_model(order, len(labels))[0], order.recipe, labelled(table, views, labels, parts), order.seed
    )
    fit(trainer)
    return {name: value.numpy() for name, value in trainer.kept_weights().items()}


def made_predictions(n: int, seed: int, skill: float = 1.5, scheme: str = "validation") -> pd.DataFrame:
    """Predictions of `n` slices, two a group; the same slices for any seed, better probabilities for more skill."""
    rng = np.random.default_rng(seed)
    targets = np.arange(n) % 3
    logits = rng.normal(size=(n, 3)) + skill * np.eye(3)[targets]
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(
        {
            "file": [f"{place}.png" for place in range(n)],
            "label": [LABELS[target] for target in targets],
            "group": [f"g{place // 2}" for place in range(n)],
            "source": "drawn",
            "sha256": [f"{place:064x}" for place in range(n)],
            "scheme": scheme,
            **{f"p_{label}": p[:, place] for place, label in enumerate(LABELS)},
        }
    )


def made_history(epochs: int, seed: int) -> str:
    """history.csv of a run that learns, noisily, in 30 seconds an epoch."""
    rng = np.random.default_rng(seed)
    rows = []
    for epoch in range(1, epochs + 1):
        loss, right = 0.9 / epoch**0.5 + 0.03 * rng.normal(), 1 - 0.5 / epoch**0.5 + 0.02 * rng.normal()
        scores = (loss, right, right - 0.02, loss + 0.1, right - 0.05, right - 0.08)
        rows.append(",".join(map(str, (epoch, 0.001, *scores, 60.0, 30.0))))
    return HISTORY + "\n".join(rows) + "\n"


def made_run(
    root: Path, name: str, predictions: pd.DataFrame | None = None, epochs: int = 12, seed: int = 0
) -> Path:
    """A finished run folder, not trained: the demo run's network with these predictions and their metrics."""
    path = root / name
    path.mkdir(parents=True)
    config = json.loads((DEMO / "config.json").read_text())
    counts = [
        {"source": "drawn", "label": label, "part": part, "images": images, "groups": images}
        for label in LABELS
        for part, images in (("train", 40), ("validation", 10))
    ]
    recipe = config["recipe"] | {"name": "small", "epochs": epochs, "batch_size": 16}
    config |= {"name": name, "recipe": recipe, "data": {"checksum": "0" * 64, "counts": counts}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "history.csv").write_text(made_history(epochs, seed))
    shutil.copy(DEMO / "model.onnx", path / "model.onnx")
    frame = made_predictions(60, seed) if predictions is None else predictions
    frame.to_parquet(path / "predictions.parquet", index=False)
    found = {
        scheme: metrics.evaluate_frame(part, LABELS, n_boot=200).to_json()
        for scheme, part in frame.groupby("scheme")
        if scheme in ("validation", "test")
    }
    (path / "metrics.json").write_text(json.dumps(found))
    return path
