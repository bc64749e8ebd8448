"""How a run's recipe does on slices it has not seen: by grouped folds, and with each source left out in turn."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data, metrics
from core.errors import ConfigError, DataError, RunError
from core.fit import Trainer, predict_logits
from core.predictor import softmax
from core.recipe import recipe_from_json
from core.runs import load_run, read_json, write_json
from core.train import (
    Order,
    class_names,
    fit,
    labelled,
    new_model,
    predictions,
    split,
    write_predictions,
)
from core.views import load_views

if TYPE_CHECKING:
    import pandas as pd

SCHEMES = {"group": "grouped_validation", "source": "leave_one_source_out"}
"""The name of each scheme on the command line, and of its results in metrics.json."""

MOST_VALUES = 12
"""A manifest column of more different values is not one to slice results by."""


def cross_validate(
    run: str | Path, folders: Sequence[Path], weights: str, scheme: str, n_folds: int = 5
) -> dict[str, Any]:
    """Train the run's recipe anew once a fold; the results, which are also written into the run.

    scheme "group": `n_folds` folds that never separate a group; "source": each source left out in turn.
    Images that the data call test, and what shares a group or bytes with them, stay out of it. A fold that is
    done is kept until all are, so that a stopped command goes on where it was.
    Raises DataError when the data are not those of the run.
    """
    if scheme not in SCHEMES:
        raise ConfigError("scheme", repr(scheme), f"one of {', '.join(SCHEMES)}")
    run = load_run(run)
    if not (run.path / "metrics.json").is_file():
        raise RunError(run.name, "an unfinished run", "a finished one (train --resume goes on with it)")
    recipe = recipe_from_json(run.config["recipe"], f"{run.name}: config.json")
    table = data.load_table(folders)
    if data.checksum(table) != run.config["data"]["checksum"]:
        raise DataError("data", "other images or labels than the run was trained on", "the same data folders")
    labels, seed = class_names(table["label"]), run.config["seed"]
    order = Order(run.name, (), recipe, weights, seed)
    _, source = new_model(order, len(labels))
    if source["sha256"] != run.config["weights"]["sha256"]:
        raise ConfigError("weights", str(source["name"]), f"the run's: {run.config['weights']['name']}")
    table = table[np.isin(split(table, recipe, seed), ("train", "validation"))].reset_index(drop=True)
    folds = _folds(table, scheme, n_folds, seed)
    logits = _out_of_fold(run.path, order, table, labels, scheme, folds)
    results = store(run.path, predictions(table, labels, logits, scheme), scheme, int(folds.max()) + 1)
    for done in run.path.glob(f"fold_{scheme}_*.npz"):
        done.unlink()
    return results


def store(path: Path, frame: "pd.DataFrame", scheme: str, folds: int) -> dict[str, Any]:
    """Put the predictions of `folds` folds into a run: its temperature (of grouped folds), Parquet and metrics.

    The temperature changes every probability, so all metrics are computed anew, and kept tests are dropped.
    """
    import pandas as pd

    from core.card import write_card

    config = read_json(path / "config.json")
    labels = config["labels"]
    if (path / "predictions.parquet").exists():
        kept = pd.read_parquet(path / "predictions.parquet")
        frame = pd.concat([kept[kept["scheme"] != scheme], frame], ignore_index=True)
    grouped = frame[frame["scheme"] == "group"]
    if len(grouped):
        config["temperature"] = fit_temperature(_logits(grouped, labels), _targets(grouped, labels))
        write_json(path / "config.json", config)
    frame[[f"p_{label}" for label in labels]] = softmax(_logits(frame, labels) / config["temperature"])
    write_predictions(path, frame)
    before = read_json(path / "metrics.json")
    counts = {name: before.get(SCHEMES[name], {}).get("folds") for name in SCHEMES} | {scheme: folds}
    results = {}
    for name in frame["scheme"].unique():
        part = frame[frame["scheme"] == name]
        if name == "source":
            results[SCHEMES[name]] = _by_source(part, labels)
        elif name == "group":
            results[SCHEMES[name]] = {"folds": counts[name], **_together(part, labels)}
        else:
            results[name] = metrics.evaluate_frame(part, labels).to_json()
    write_json(path / "metrics.json", results)
    write_card(path)
    return results[SCHEMES[scheme]]


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature of least cross-entropy (Guo et al. 2017, ICML, section 4.2), between 0.2 and 5.

    Every class counts alike, whatever its number of slices.
    """
    from scipy.optimize import minimize_scalar

    weight = (1 / np.bincount(targets))[targets]

    def loss(log_temperature: float) -> float:
        p = softmax(logits / np.exp(log_temperature))
        return float(-(weight * np.log(np.maximum(p[np.arange(len(targets)), targets], 1e-12))).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(np.log(0.2), np.log(5)), method="bounded").x))


def _folds(table: "pd.DataFrame", scheme: str, n_folds: int, seed: int) -> np.ndarray:
    if scheme == "group":
        return data.grouped_folds(table, n_folds, seed)
    names, folds = np.unique(table["source"], return_inverse=True)
    if len(names) < 2:
        raise DataError("source", f"one source, {names[0]!r}", "two sources or more, one a data folder")
    return folds


def _out_of_fold(path, order, table, labels, scheme, folds) -> np.ndarray:
    """(n, classes) logits, each slice's from the network that was trained without its fold."""
    views = load_views(table, order.recipe.preprocess)
    logits = np.full((len(table), len(labels)), np.nan, np.float32)
    for fold in range(folds.max() + 1):
        done = path / f"fold_{scheme}_{fold}.npz"
        out = np.flatnonzero(folds == fold)
        if not done.exists():
            parts = _parts(table, folds == fold, order)
            model, _ = new_model(order, len(labels))
            trainer = Trainer(model, order.recipe, labelled(table, views, labels, parts), order.seed)
            fit(trainer, f"{scheme} {fold + 1} of {folds.max() + 1}")
            model.load_state_dict(trainer.kept_weights())
            _save_fold(done, out, predict_logits(model, views.plain[out]))
        with np.load(done, allow_pickle=False) as content:
            if not np.array_equal(content["rows"], out):
                raise RunError(
                    f"{path.name}: {done.name}", "another split", "a fold of this command; delete the file"
                )
            logits[out] = content["logits"]
    return logits


def _parts(table: "pd.DataFrame", out: np.ndarray, order: Order) -> np.ndarray:
    """The parts of one fold's training; what its recipe selects on comes from the other folds."""
    units = data.identity_units(table)
    parts = np.where(np.isin(units, units[out]), "left out", "train").astype(object)
    if order.recipe.validation:
        rest = np.flatnonzero(parts == "train")
        parts[rest[data.holdout(table.iloc[rest], order.recipe.validation, order.seed)]] = "validation"
    return parts


def _save_fold(path: Path, rows: np.ndarray, logits: np.ndarray) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, rows=rows, logits=logits)
    part.replace(path)


def _by_source(frame: "pd.DataFrame", labels: Sequence[str]) -> dict[str, Any]:
    """Leave-one-source-out: one evaluation a source."""
    return {source: found.to_json() for source, found in metrics.evaluate_by(frame, "source", labels).items()}


def _together(frame: "pd.DataFrame", labels: Sequence[str]) -> dict[str, Any]:
    """Grouped folds: one evaluation of all, one a source, and one a value of each further manifest column."""
    known = (*data.TABLE_COLUMNS, "scheme", *(f"{kind}_{label}" for kind in ("logit", "p") for label in labels))
    further = [name for name in frame.columns if name not in known and frame[name].nunique() <= MOST_VALUES]
    by_column = {
        name: {value: part.to_json() for value, part in metrics.evaluate_by(frame, name, labels).items()}
        for name in further
    }
    return metrics.evaluate_frame(frame, labels).to_json() | {
        "by_source": _by_source(frame, labels),
        "by_column": by_column,
    }


def _logits(frame: "pd.DataFrame", labels: Sequence[str]) -> np.ndarray:
    return frame[[f"logit_{label}" for label in labels]].to_numpy(np.float64)


def _targets(frame: "pd.DataFrame", labels: Sequence[str]) -> np.ndarray:
    return frame["label"].map(list(labels).index).to_numpy()
