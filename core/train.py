"""A training run from data folders to a run folder that explains itself."""

import csv
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core import data, metrics
from core.errors import ConfigError, DataError, RunError
from core.export import export_onnx
from core.fit import LabelledViews, Progress, Trainer, predict_logits
from core.labels import LABELS
from core.model import Classifier
from core.predictor import softmax
from core.recipe import Recipe, recipe_from_json
from core.runs import RUNS, environment, read_json, write_atomically, write_json
from core.views import Views, load_views
from core.weights import start_from

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT = "checkpoint.pt"
PARITY_SLICES = 16
"""Slices on which an export is checked against the network."""


@dataclass(frozen=True)
class Order:
    """What is asked of a training: everything that --resume has to remember."""

    name: str
    folders: tuple[str, ...]
    recipe: Recipe
    weights: str
    seed: int


def train(order: Order, out: Path = RUNS) -> Path:
    """Train a new run and return its folder. DataError, ConfigError, WeightsError or RunError say what is wrong."""
    path = out / order.name
    if Path(order.name).name != order.name or order.name.startswith("."):
        raise RunError(order.name, "a name that is a path or starts with a dot", "a plain name")
    if path.exists():
        raise RunError(order.name, "a run of that name", "another --name, or --resume to go on with it")
    if not 0 <= order.seed < 2**32:
        raise ConfigError("seed", str(order.seed), "a whole number from 0 to 4294967295")
    table = data.load_table([Path(folder) for folder in order.folders])
    parts = split(table, order.recipe, order.seed)
    labels = class_names(table["label"])
    _check_parts(table, parts, order)
    model, source = new_model(order, len(labels))
    views = load_views(table, order.recipe.preprocess)
    path.mkdir(parents=True)
    write_json(path / "config.json", _config(order, table, parts, labels, source))
    write_json(path / "environment.json", environment())
    _write_split(path, table, parts)
    return _run(path, order, table, parts, labels, model, views, None)


def resume(path: Path) -> Path:
    """Go on with a run that was stopped or killed; it ends with the weights of an uninterrupted one."""
    if (path / "model.onnx").exists():
        raise RunError(path.name, "a finished run", "one that was stopped")
    if not (path / CHECKPOINT).is_file():
        raise RunError(path.name, f"no {CHECKPOINT}", "a run folder that training was stopped in")
    state = torch.load(path / CHECKPOINT, map_location="cpu", weights_only=True)
    config = read_json(path / "config.json")
    recipe = recipe_from_json(config["recipe"], f"{path.name}: config.json")
    order = Order(path.name, tuple(state["folders"]), recipe, "none", config["seed"])
    table = data.load_table([Path(folder) for folder in order.folders])
    if data.checksum(table) != config["data"]["checksum"]:
        raise DataError("data", "images or labels that changed since the run began", "the very same data")
    labels = tuple(config["labels"])
    model, _ = new_model(order, len(labels))
    views = load_views(table, recipe.preprocess)
    return _run(path, order, table, split(table, recipe, order.seed), labels, model, views, state)


def split(table: "pd.DataFrame", recipe: Recipe, seed: int) -> np.ndarray:
    """The part of each image: "train", "validation", "test", or "left out".

    Images that the data itself calls test are test. What shares a group or its bytes with one of them is
    left out of training. Of the rest, `recipe.validation` of the groups is kept for validation.
    """
    parts = np.full(len(table), "train", dtype=object)
    test = (table["split"] == "test").to_numpy()
    units = data.identity_units(table)
    parts[np.isin(units, units[test])] = "left out"
    parts[test] = "test"
    rest = np.flatnonzero(parts == "train")
    if recipe.validation:
        held = data.holdout(table.iloc[rest], recipe.validation, seed)
        parts[rest[held]] = "validation"
    return parts


def _check_parts(table: "pd.DataFrame", parts: np.ndarray, order: Order) -> None:
    """DataError for what would fail only after hours: no images to learn or to select on."""
    missing = sorted(set(table["label"]).difference(table["label"][parts == "train"]))
    if missing:
        raise DataError("label", f"no training image of {missing[0]!r}", "training images of each class")
    if order.recipe.validation and not (parts == "validation").any():
        raise DataError("group", "too few groups to keep some for validation", "two groups or more a class")


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The classes in the order of LABELS, others after them by name; DataError when there is only one."""
    found = set(labels)
    names = [label for label in LABELS if label in found] + sorted(found.difference(LABELS))
    if len(names) < 2:
        raise DataError("label", f"one class, {names[0]!r}", "two classes or more")
    return tuple(names)


def new_model(order: Order, classes: int) -> tuple[Classifier, dict[str, Any]]:
    """A classifier with its start weights, the same for the same seed, and what they were."""
    recipe = order.recipe
    torch.manual_seed(order.seed)
    model = Classifier(recipe.backbone, recipe.head, classes, recipe.dropout, recipe.hidden)
    return model, start_from(model, order.weights)


def labelled(table: "pd.DataFrame", views: Views, labels: Sequence[str], parts: np.ndarray) -> LabelledViews:
    """Views with their targets and sources as numbers, and the rows to train and to validate on."""
    targets = table["label"].map(list(labels).index).to_numpy()
    sources = np.unique(table["source"], return_inverse=True)[1]
    rows = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "validation")
    return LabelledViews(views, targets, sources, *rows)


def fit(trainer: Trainer, title: str = "", after_epoch=lambda trainer: None) -> None:
    """Run what is left of a training, with a progress bar where standard error is a terminal."""
    from tqdm import tqdm

    recipe = trainer.recipe
    total = recipe.epochs * trainer.steps
    with tqdm(
        total=total,
        initial=trainer.epoch * trainer.steps,
        unit="batch",
        file=sys.stderr,
        disable=None,
        desc=title,
        dynamic_ncols=True,
    ) as bar:

        def report(progress: Progress) -> None:
            bar.update(1)
            bar.set_postfix_str(
                f"epoch {progress.epoch + 1}/{recipe.epochs}, {progress.images_per_second:.0f} images/s"
            )

        while trainer.epoch < recipe.epochs:
            row = trainer.run_epoch(report)
            after_epoch(trainer)
            tqdm.write(_line(row, recipe.epochs), file=sys.stderr)


def _run(path, order, table, parts, labels, model, views, state) -> Path:
    trainer = Trainer(model, order.recipe, labelled(table, views, labels, parts), order.seed)
    if state is not None:
        trainer.restore(state["trainer"])
    _save(path, order, trainer)
    fit(trainer, order.name, lambda trainer: _save(path, order, trainer))
    return _finish(path, order, table, parts, labels, trainer)


def _save(path: Path, order: Order, trainer: Trainer) -> None:
    buffer = io.BytesIO()
    folders = [os.path.abspath(folder) for folder in order.folders]
    torch.save({"folders": folders, "trainer": trainer.state()}, buffer)
    write_atomically(path / CHECKPOINT, buffer.getvalue())
    if trainer.history:
        write_atomically(
            path / "history.csv", _csv(list(trainer.history[0]), [list(r.values()) for r in trainer.history])
        )


def _finish(path, order, table, parts, labels, trainer) -> Path:
    from safetensors.torch import save

    from core.card import write_card

    model, views = trainer.model, trainer.data.views
    model.load_state_dict(trainer.kept_weights())
    rows = np.flatnonzero(np.isin(parts, ("validation", "test")))
    logits = predict_logits(model, views.plain[rows]) if len(rows) else np.zeros((0, len(labels)))
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_atomically(path / "model.safetensors", save(weights))
    frame = predictions(table.iloc[rows], labels, logits, parts[rows])
    write_predictions(path, frame)
    results = {
        part: metrics.evaluate_frame(frame[frame["scheme"] == part], labels).to_json()
        for part in ("validation", "test")
        if (frame["scheme"] == part).any()
    }
    write_json(path / "metrics.json", results)
    content = export_onnx(model, order.recipe.preprocess.size, views.plain[:PARITY_SLICES])
    write_card(path)
    write_atomically(path / "model.onnx", content)
    (path / CHECKPOINT).unlink()
    return path


def predictions(table, labels, logits, schemes, temperature: float = 1.0) -> "pd.DataFrame":
    """One row per slice: its row of the table (less path and split), the scheme, logits and probabilities."""
    frame = table.drop(columns=["path", "split"]).assign(scheme=schemes)
    for place, label in enumerate(labels):
        frame[f"logit_{label}"] = logits[:, place].astype(np.float32)
    for place, label in enumerate(labels):
        frame[f"p_{label}"] = softmax(logits / temperature)[:, place] if len(logits) else []
    return frame.reset_index(drop=True)


def write_predictions(path: Path, frame: "pd.DataFrame") -> None:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    write_atomically(path / "predictions.parquet", buffer.getvalue())


def _config(order, table, parts, labels, source) -> dict[str, Any]:
    counts = (
        table.assign(part=parts)
        .groupby(["source", "label", "part"])
        .agg(images=("file", "size"), groups=("group", "nunique"))
    )
    return {
        "name": order.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": list(labels),
        "seed": order.seed,
        "temperature": 1.0,
        "weights": source,
        "data": {
            "checksum": data.checksum(table),
            "counts": [
                dict(
                    zip(("source", "label", "part"), key, strict=True),
                    images=int(row.images),
                    groups=int(row.groups),
                )
                for key, row in zip(counts.index, counts.itertuples(), strict=True)
            ],
        },
        "recipe": order.recipe.to_json(),
    }


def _write_split(path: Path, table: "pd.DataFrame", parts: np.ndarray) -> None:
    columns = ["source", "file", "label", "group", "sha256"]
    rows = [[*row, part] for row, part in zip(table[columns].itertuples(index=False), parts, strict=True)]
    write_atomically(path / "split.csv", _csv([*columns, "part"], rows))


def _csv(header: list[str], rows: list[list]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _line(row: dict[str, float], epochs: int) -> str:
    text = f"epoch {row['epoch']:.0f}/{epochs}: {_scores(row, 'train')}"
    if "validation_loss" in row:
        text += f"; {_scores(row, 'validation')}"
    return f"{text}; {row['images_per_second']:.0f} images/s"


def _scores(row: dict[str, float], part: str) -> str:
    loss, accuracy, balanced = (row[f"{part}_{name}"] for name in ("loss", "accuracy", "balanced_accuracy"))
    return f"{part} loss {loss:.4f}, accuracy {accuracy:.4f}, balanced {balanced:.4f}"


def default_name(config: str, now: float | None = None) -> str:
    """A run's name where none is given: the recipe and the time."""
    return f"{Path(config).stem}-{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}"
