"""A training run from data folders to a run folder that explains itself."""

import csv
import dataclasses
import io
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from core import data, gate, metrics, runs
from core.calibrate import compare, fit_temperature
from core.errors import ConfigError, DataError, RunError
from core.export import export_onnx
from core.fit import LabelledViews, Progress, Trainer, predict_context, predict_features, predict_logits
from core.model import Classifier
from core.neighbours import build_from_features
from core.order import Order, check_name, check_parts, class_names, part_counts, split
from core.predictor import softmax
from core.recipe import recipe_from_json
from core.runs import environment, load_run, read_json, write_atomically, write_json
from core.views import Views, load_views
from core.weights import UNREADABLE, start_from

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINT = "checkpoint.pt"
TIMED = 3
"""Batches that an estimate is measured on."""

PARITY_SLICES = 16
"""Slices on which an export is checked against the network."""


Tell = Callable[..., None]
"""Hears what a training is doing: `tell(state=..., epoch=..., ...)`; see core.jobs for the names."""


def unheard(**facts: Any) -> None:
    """Tell nobody."""


def train(order: Order, out: Path | None = None, tell: Tell = unheard) -> Path:
    """Train a new run and return its folder. DataError, ConfigError, WeightsError or RunError say what is wrong.

    The folder appears whole, with its first checkpoint: a run that cannot begin leaves none behind.
    """
    path = (out or runs.RUNS) / order.name
    check_name(order.name)
    if path.exists():
        raise RunError(order.name, "a run of that name", "another --name, or --resume to go on with it")
    if not 0 <= order.seed < 2**32:
        raise ConfigError("seed", str(order.seed), "a whole number from 0 to 4294967295")
    table = data.load_table([Path(folder) for folder in order.folders])
    parts = split(table, order.recipe, order.seed)
    labels = class_names(table["label"])
    check_parts(table, parts, order.recipe)
    model, source = new_model(order, len(labels))
    views = load_views(table, order.recipe.preprocess, progress=_preparing(tell))
    trainer = Trainer(model, order.recipe, labelled(table, views, labels, parts), order.seed)
    begun = path.with_name(f".{order.name}.part")
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir(parents=True)
    write_json(begun / "config.json", _config(order, table, parts, labels, source))
    write_json(begun / "environment.json", environment())
    _write_split(begun, table, parts)
    _save(begun, order, trainer)
    begun.rename(path)
    return _run(path, order, table, parts, labels, trainer, tell)


def resume(path: Path, tell: Tell = unheard) -> Path:
    """Go on with a run that was stopped or killed; it ends with the weights of an uninterrupted one."""
    if (path / "model.onnx").exists():
        raise RunError(path.name, "a finished run", "one that was stopped")
    if not (path / CHECKPOINT).is_file():
        raise RunError(path.name, f"no {CHECKPOINT}", "a run folder that training was stopped in")
    state, config = _checkpoint(path), load_run(path).config
    recipe = recipe_from_json(config["recipe"], f"{path.name}: config.json")
    order = Order(path.name, tuple(state["folders"]), recipe, "none", _known(path, config, "seed", int))
    table = data.load_table([Path(folder) for folder in order.folders])
    if data.checksum(table) != _known(path, config, "data", dict).get("checksum"):
        raise DataError("data", "images or labels that changed since the run began", "the very same data")
    labels = tuple(config["labels"])
    model, _ = new_model(order, len(labels))
    views = load_views(table, recipe.preprocess, progress=_preparing(tell))
    parts = split(table, recipe, order.seed)
    trainer = Trainer(model, recipe, labelled(table, views, labels, parts), order.seed)
    try:
        trainer.restore(state["trainer"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path) from error
    return _run(path, order, table, parts, labels, trainer, tell)


def _checkpoint(path: Path) -> dict[str, Any]:
    """What training keeps to go on with; RunError for a file that is damaged or of something else."""
    try:
        state = torch.load(path / CHECKPOINT, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise _damaged(path) from error
    if not isinstance(state, dict) or not {"folders", "trainer"} <= state.keys():
        raise _damaged(path)
    return state


def _damaged(path: Path) -> RunError:
    expected = "the file as training wrote it; without one, train anew under another name"
    return RunError(f"{path.name}: {CHECKPOINT}", "a damaged file", expected)


def _known(path: Path, config: dict[str, Any], name: str, kind: type) -> Any:
    """An entry of a run's config.json; RunError where it is not of this kind."""
    if not isinstance(config.get(name), kind):
        raise RunError(f"{path.name}: config.json", f"{name} {config.get(name)!r}", f"{name} as training wrote it")
    return config[name]


def _preparing(tell: Tell) -> Callable[[int, int], None]:
    return lambda done, total: tell(state="preparing", images=done, of_images=total)


def time_batches(order: Order) -> dict[str, Any]:
    """What TIMED batches of this training take on this machine, for `core.order.expected_seconds`, and its data.

    {"counts", "seconds_per_image": {side: [one a batch]}, "seconds_to_read": an image}. One batch before them
    warms up and is not counted. Raises what training itself would raise before its first batch.
    """
    table = data.load_table([Path(folder) for folder in order.folders])
    parts = split(table, order.recipe, order.seed)
    labels = class_names(table["label"])
    check_parts(table, parts, order.recipe)
    model, _ = new_model(order, len(labels))
    size = order.recipe.batch_size
    learned = np.random.default_rng(order.seed).permutation(np.flatnonzero(parts == "train"))
    sample = table.iloc[learned[: (TIMED + 1) * size]]
    began = time.perf_counter()
    views = load_views(sample, order.recipe.preprocess)
    read = (time.perf_counter() - began) / len(sample)
    some = labelled(sample, views, labels, np.full(len(sample), "train", dtype=object))
    some = dataclasses.replace(some, train=np.resize(some.train, (TIMED + 1) * size))
    found: dict[str, list[float]] = {}
    for epoch in (0, order.recipe.epochs - 1):
        side = str(order.recipe.size_at(epoch))
        if side not in found:
            ends: list[float] = []
            trainer = Trainer(model, order.recipe, some, order.seed, epoch)
            trainer.run_epoch(lambda progress, ends=ends: ends.append(time.perf_counter()))
            found[side] = (np.diff(ends) / size).tolist()
    counts = part_counts(table, parts).to_dict("records")
    return {"counts": counts, "seconds_per_image": found, "seconds_to_read": read}


def new_model(order: Order, classes: int) -> tuple[Classifier, dict[str, Any]]:
    """A classifier with its start weights, the same for the same seed, and what they were."""
    recipe = order.recipe
    torch.manual_seed(order.seed)
    model = Classifier(recipe.backbone, recipe.head, classes, recipe.dropout, recipe.hidden)
    return model, start_from(model, order.weights)


def labelled(table: "pd.DataFrame", views: Views, labels: Sequence[str], parts: np.ndarray) -> LabelledViews:
    """Views with their targets and sources as numbers, and the rows to train and to validate on."""
    targets = table["label"].map(list(labels).index).to_numpy()
    sources, groups = (np.unique(table[name], return_inverse=True)[1] for name in ("source", "group"))
    rows = np.flatnonzero(parts == "train"), np.flatnonzero(parts == "validation")
    return LabelledViews(views, targets, sources, groups, *rows, tuple(labels))


def fit(
    trainer: Trainer,
    title: str = "",
    after_epoch: Callable[[Trainer], None] = lambda trainer: None,
    tell: Tell = unheard,
) -> None:
    """Run what is left of a training, with a progress bar where standard error is a terminal."""
    from tqdm import tqdm

    recipe = trainer.recipe
    total = recipe.epochs * trainer.steps
    clock = Clock(trainer)
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
            facts = dataclasses.asdict(progress) | {"epochs": recipe.epochs}
            tell(state="training", **facts, seconds_left=clock.left(progress.step / progress.steps))

        while trainer.epoch < recipe.epochs:
            row = trainer.run_epoch(report)
            after_epoch(trainer)
            tqdm.write(_line(row, recipe.epochs), file=sys.stderr)


class Clock:
    """How long a training still takes, from what it has done since it was started or resumed."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.epoch, self.began = trainer, trainer.epoch, time.perf_counter()

    def left(self, part: float) -> float | None:
        """Seconds left after `part` (0 to 1) of the trainer's epoch."""
        trainer = self.trainer
        done = sum(map(trainer.work, range(self.epoch, trainer.epoch))) + part * trainer.work(trainer.epoch)
        rest = sum(map(trainer.work, range(trainer.epoch, trainer.recipe.epochs)))
        rest -= part * trainer.work(trainer.epoch)
        return (time.perf_counter() - self.began) / done * rest if done else None


def _run(path, order, table, parts, labels, trainer, tell) -> Path:
    fit(trainer, order.name, lambda trainer: _save(path, order, trainer), tell)
    tell(state="finishing", epoch=trainer.epoch, epochs=order.recipe.epochs, seconds_left=None)
    return _finish(path, order, table, parts, labels, trainer)


def _save(path: Path, order: Order, trainer: Trainer) -> None:
    buffer = io.BytesIO()
    folders = [os.path.abspath(folder) for folder in order.folders]
    torch.save({"folders": folders, "trainer": trainer.state()}, buffer)
    write_atomically(path / CHECKPOINT, buffer.getvalue())
    if trainer.history:
        columns = list(dict.fromkeys(name for row in trainer.history for name in row))
        rows = [[row.get(name) for name in columns] for row in trainer.history]
        write_atomically(path / "history.csv", _csv(columns, rows))


def _finish(path, order, table, parts, labels, trainer) -> Path:
    from safetensors.torch import save

    from core.card import write_card

    model, views = trainer.model, trainer.data.views
    model.load_state_dict(trainer.kept_weights())
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    write_atomically(path / "model.safetensors", save(weights))
    _measure(path, table, parts, labels, model, views)
    learned = np.flatnonzero(parts == "train")
    build_from_features(path, table.iloc[learned], predict_features(model, views.plain[learned]))
    opened = gate.fit(predict_context(model, views.plain[learned]), table["group"].iloc[learned], order.seed)
    if opened:
        gate.write(path, opened)
    content = export_onnx(model, order.recipe.preprocess.size, views.plain[:PARITY_SLICES])
    write_card(path)
    write_atomically(path / "model.onnx", content)
    (path / CHECKPOINT).unlink(missing_ok=True)
    return path


def _measure(path, table, parts, labels, model, views) -> None:
    """Predictions and metrics of validation and test images, the temperature fitted to validation alone."""
    rows = np.flatnonzero(np.isin(parts, ("validation", "test")))
    logits = predict_logits(model, views.plain[rows]) if len(rows) else np.zeros((0, len(labels)))
    config, results = read_json(path / "config.json"), {}
    held = parts[rows] == "validation"
    if held.any():
        targets = table["label"].iloc[rows[held]].map(list(labels).index).to_numpy()
        config["temperature"] = fit_temperature(logits[held], targets)
        write_json(path / "config.json", config)
    frame = predictions(table.iloc[rows], labels, logits, parts[rows], config["temperature"])
    write_predictions(path, frame)
    for part in ("validation", "test"):
        own = frame[frame["scheme"] == part]
        if len(own):
            results[part] = metrics.evaluate_frame(own, labels).to_json()
    if held.any():
        validation = frame[frame["scheme"] == "validation"]
        results["calibration"] = {"scheme": "validation"} | compare(validation, labels, config["temperature"])
    write_json(path / "metrics.json", results)


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
    return {
        "name": order.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "labels": list(labels),
        "seed": order.seed,
        "temperature": 1.0,
        "weights": source,
        "data": {
            "checksum": data.checksum(table),
            "counts": part_counts(table, parts).to_dict("records"),
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
