"""How a run's recipe does on slices it has not seen: by grouped folds, and with each source left out in turn."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data, gate, metrics
from core.calibrate import compare, fit_temperature, logits_of, targets_of
from core.errors import ConfigError, DataError, RunError
from core.fit import Trainer, predict_context, predict_logits
from core.model import Classifier
from core.order import Order, class_names, split
from core.predictor import softmax
from core.recipe import Recipe, recipe_from_json
from core.runs import ENSEMBLE, Run, load_run, read_json, write_atomically, write_json
from core.train import fit, labelled, new_model, predictions, write_predictions
from core.views import load_views

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

SCHEMES = {"group": "grouped_validation", "source": "leave_one_source_out"}
"""The name of each scheme on the command line, and of its results in metrics.json."""

FOLDS = "folds"
"""Folder in a run that keeps the networks of its folds."""

MOST_VALUES = 12
"""A manifest column of more different values is not one to slice results by."""


def cross_validate(
    run: str | Path, folders: Sequence[Path], weights: str, scheme: str, n_folds: int = 5
) -> dict[str, Any]:
    """Train the run's recipe anew once a fold; the results, which are also written into the run.

    scheme "group": `n_folds` folds that never separate a group; "source": each source left out in turn.
    Images that the data call test, and what shares a group or bytes with them, stay out of it. A fold that is
    done is kept until all are, so that a stopped command goes on where it was; the folds' networks stay
    (`fold_networks`), for what is measured on slices that they have not seen.
    Raises DataError when the data are not those of the run.
    """
    if scheme not in SCHEMES:
        raise ConfigError("scheme", repr(scheme), f"one of {', '.join(SCHEMES)}")
    run = load_run(run)
    recipe = recipe_of(run)
    if not (run.path / "metrics.json").is_file():
        raise RunError(run.name, "an unfinished run", "a finished one (train --resume goes on with it)")
    table = run_table(run, folders)
    labels, seed = class_names(table["label"]), run.config["seed"]
    order = Order(run.name, (), recipe, weights, seed)
    _, source = new_model(order, len(labels))
    if source["sha256"] != run.config["weights"]["sha256"]:
        raise ConfigError("weights", str(source["name"]), f"the run's: {run.config['weights']['name']}")
    folds = folds_of(table, scheme, n_folds, seed)
    logits, distances = out_of_fold(run.path, order, table, labels, scheme, folds)
    frame = predictions(table, labels, logits, scheme).assign(**{gate.COLUMN: distances})
    results = store(run.path, frame, scheme, int(folds.max()) + 1)
    for done in run.path.glob(f"fold_{scheme}_*.npz"):
        done.unlink()
    return results


def run_table(run: Run, folders: Sequence[Path]) -> "pd.DataFrame":
    """The slices that a run learned from or was selected on, as its folds number them; DataError for other data."""
    table = data.load_table(folders)
    if data.checksum(table) != run.config["data"]["checksum"]:
        raise DataError("data", "other images or labels than the run was trained on", "the same data folders")
    own = np.isin(split(table, recipe_of(run), run.config["seed"]), ("train", "validation"))
    return table[own].reset_index(drop=True)


@dataclass(frozen=True, eq=False)
class FoldNetwork:
    """A network of cross-validation, the rows (of `run_table`) that it learned from, and those left out."""

    model: Classifier
    learned: np.ndarray
    left_out: np.ndarray


def fold_networks(run: Run, table: "pd.DataFrame", scheme: str = "group") -> Iterator[FoldNetwork]:
    """The kept networks of a run's folds, one by one. RunError where those of one whole split are not there.

    `table` as by `run_table`. Weights are kept in half precision, statistics of batch norms in full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    recipe = recipe_of(run)
    count = run.metrics.get(SCHEMES[scheme], {}).get("folds") or 0
    if scheme == "source":
        count = table["source"].nunique()
    files = [_network(run.path, scheme, fold) for fold in range(count)]
    if not count or not all(file.is_file() for file in files):
        expected = f"a run after: python -m core cross-validate --run {run.name} --scheme {scheme} --data DIR..."
        raise RunError(f"{run.name}: {FOLDS}", "no networks of its folds", expected)
    order = Order(run.name, (), recipe, "none", run.config["seed"])
    folds = folds_of(table, scheme, count, order.seed)
    for fold, file in enumerate(files):
        model, _ = new_model(order, len(run.labels))
        try:
            if _split_of(file) != _split(table, folds):
                expected = "those of its split; cross-validate it anew"
                raise RunError(f"{run.name}: {file.name}", "the network of another split", expected)
            weights = load_file(file)
            model.load_state_dict({name: _whole(value) for name, value in weights.items()})
        except (SafetensorError, RuntimeError, OSError) as error:
            raise RunError(f"{run.name}: {file.name}", "a damaged file", "the weights of a fold") from error
        learned = np.flatnonzero(_parts(table, folds == fold, order) != "left out")
        yield FoldNetwork(model.eval(), learned, np.flatnonzero(folds == fold))


def _network(path: Path, scheme: str, fold: int) -> Path:
    return path / FOLDS / f"{scheme}_{fold}.safetensors"


def _split(table: "pd.DataFrame", folds: np.ndarray) -> str:
    """A checksum of which slice lies in which fold."""
    rows = (f"{sha256} {fold}" for sha256, fold in zip(table["sha256"], folds, strict=True))
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def _split_of(file: Path) -> str:
    """The checksum that a kept network carries; "" where there is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as content:
            return (content.metadata() or {}).get("split", "")
    except (SafetensorError, OSError):
        return ""


def _keep_network(path: Path, model: Classifier, split: str) -> None:
    from safetensors.torch import save

    path.parent.mkdir(exist_ok=True)
    learned = dict(model.named_parameters())
    kept = {name: value.half() if name in learned else value for name, value in model.state_dict().items()}
    weights = {name: value.contiguous() for name, value in kept.items()}
    write_atomically(path, save(weights, {"split": split}))


def _whole(value: "Tensor") -> "Tensor":
    return value.float() if value.is_floating_point() else value


def recipe_of(run: Run) -> Recipe:
    """The recipe that a run was trained by. RunError for an ensemble, which has none."""
    if (run.path / ENSEMBLE).is_file():
        raise RunError(run.name, "an ensemble, which is not trained", f"one of {', '.join(run.config['members'])}")
    return recipe_from_json(run.config["recipe"], f"{run.name}: config.json")


def store(path: Path, frame: "pd.DataFrame", scheme: str, folds: int) -> dict[str, Any]:
    """Put the predictions of `folds` folds into a run: its temperature (of grouped folds), Parquet and metrics.

    The temperature changes every probability, so all metrics are computed anew, those of kept tests too. Left-out
    sources move the limit of the run's gate, where it has one.
    """
    import pandas as pd

    if (path / "predictions.parquet").exists():
        kept = pd.read_parquet(path / "predictions.parquet")
        frame = pd.concat([kept[kept["scheme"] != scheme], frame], ignore_index=True)
    return measure(path, frame, {scheme: folds})[SCHEMES[scheme]]


def measure(path: Path, frame: "pd.DataFrame", folds: dict[str, int]) -> dict[str, Any]:
    """Put all predictions of a run into it, with the metrics that follow, as `store`, which says more.

    `folds` names the schemes of which there are new ones, with their number of folds. An ensemble keeps the
    temperature 1: its members have theirs.
    """
    from core.card import write_card

    config, ensemble = read_json(path / "config.json"), (path / ENSEMBLE).is_file()
    labels = config["labels"]
    grouped = frame[frame["scheme"] == "group"]
    if len(grouped) and not ensemble:
        config["temperature"] = fit_temperature(logits_of(grouped, labels), targets_of(grouped, labels))
        write_json(path / "config.json", config)
    frame[[f"p_{label}" for label in labels]] = softmax(logits_of(frame, labels) / config["temperature"])
    write_predictions(path, frame)
    before = read_json(path / "metrics.json")
    counts = {name: before.get(SCHEMES[name], {}).get("folds") for name in SCHEMES} | folds
    results = {}
    for name in frame["scheme"].unique():
        part = frame[frame["scheme"] == name]
        if name == "source":
            results[SCHEMES[name]] = _by_source(part, labels)
        elif name == "group":
            results[SCHEMES[name]] = {"folds": counts[name], **_together(part, labels)}
        elif name in ("validation", "test"):
            results[name] = metrics.evaluate_frame(part, labels).to_json()
        else:
            seen = before.get("tests", {}).get(name, {}).get("seen_in_training", 0)
            kept_test = {"seen_in_training": seen, **metrics.evaluate_frame(part, labels).to_json()}
            results.setdefault("tests", {})[name] = kept_test
    if len(grouped) and not ensemble:
        results["calibration"] = {"scheme": "group"} | compare(grouped, labels, config["temperature"])
    elif "calibration" in before:
        results["calibration"] = before["calibration"]
    results |= _gate(path, frame, before.get("gate"))
    if "group" not in folds:  # they were measured with the networks of the grouped folds
        results |= {name: before[name] for name in ("shortcuts", "robustness") if name in before}
    write_json(path / "metrics.json", results)
    write_card(path)
    return results


def _gate(path: Path, frame: "pd.DataFrame", before: dict[str, Any] | None) -> dict[str, Any]:
    """{"gate": its limit by left-out sources, and how many slices of each source it lets through}.

    What was measured before where there are no left-out sources with distances, {} where nothing was; counts of
    other pictures fall away where the limit moves.
    """
    opened = gate.load(path)
    left_out = frame[frame["scheme"] == "source"]
    if opened is None or left_out.empty or gate.COLUMN not in left_out or left_out[gate.COLUMN].isna().any():
        return {"gate": before} if before else {}
    limit = gate.calibrate(left_out[gate.COLUMN].to_numpy(), left_out["source"].to_numpy())
    gate.write(path, replace(opened, limit=limit))
    passed = {
        SCHEMES[scheme]: gate.passed(part, limit)
        for scheme, part in frame[frame["scheme"].isin(SCHEMES)].groupby("scheme")
        if part[gate.COLUMN].notna().all()
    }
    outside = {"outside": before["outside"]} if before and "outside" in before and limit == opened.limit else {}
    return {"gate": {"limit": limit, "passed": passed} | outside}


def folds_of(table: "pd.DataFrame", scheme: str, n_folds: int, seed: int) -> np.ndarray:
    """(n,) the fold of each slice, by its group or by its source. DataError where there are too few."""
    if scheme == "group":
        return data.grouped_folds(table, n_folds, seed)
    names, folds = np.unique(table["source"], return_inverse=True)
    if len(names) < 2:
        raise DataError("source", f"one source, {names[0]!r}", "two sources or more, one a data folder")
    return folds


def out_of_fold(path, order, table, labels, scheme, folds) -> tuple[np.ndarray, np.ndarray]:
    """(n, classes) logits and (n,) distances (core.gate), each slice's from the network trained without its fold.

    A distance is NaN where a fold leaves too few slices for a gate.
    """
    views = load_views(table, order.recipe.preprocess)
    split = _split(table, folds)
    logits = np.full((len(table), len(labels)), np.nan, np.float32)
    distances = np.full(len(table), np.nan, np.float32)
    for fold in range(folds.max() + 1):
        done, network = path / f"fold_{scheme}_{fold}.npz", _network(path, scheme, fold)
        out = np.flatnonzero(folds == fold)
        if not done.exists() or _split_of(network) != split:
            parts = _parts(table, folds == fold, order)
            model, _ = new_model(order, len(labels))
            trainer = Trainer(model, order.recipe, labelled(table, views, labels, parts), order.seed)
            fit(trainer, f"{scheme} {fold + 1} of {folds.max() + 1}")
            model.load_state_dict(trainer.kept_weights())
            learned = np.flatnonzero(parts != "left out")
            far = _distances(model, views, learned, out, table["group"].to_numpy(), order.seed)
            _keep_network(network, model, split)
            _save_fold(done, rows=out, logits=predict_logits(model, views.plain[out]), distances=far)
        with np.load(done, allow_pickle=False) as content:
            if not np.array_equal(content["rows"], out):
                raise RunError(
                    f"{path.name}: {done.name}", "another split", "a fold of this command; delete the file"
                )
            logits[out], distances[out] = content["logits"], content["distances"]
    return logits, distances


def _distances(model, views, learned, out, groups, seed) -> np.ndarray:
    """(len(out),) distances of the slices `out` from those that the network learned from.

    Infinite for slices without lungs (core.gate), which are refused whatever the distance; NaN without a gate.
    """
    opened = gate.fit(predict_context(model, views.plain[learned]), groups[learned], seed)
    if opened is None:
        return np.full(len(out), np.nan)
    no_lungs = [gate.without_lungs(views.wide[row]) is not None for row in out]
    return np.where(no_lungs, np.inf, opened.distance(predict_context(model, views.plain[out])))


def _parts(table: "pd.DataFrame", out: np.ndarray, order: Order) -> np.ndarray:
    """The parts of one fold's training; what its recipe selects on comes from the other folds."""
    units = data.identity_units(table)
    parts = np.where(np.isin(units, units[out]), "left out", "train").astype(object)
    if order.recipe.validation:
        rest = np.flatnonzero(parts == "train")
        parts[rest[data.holdout(table.iloc[rest], order.recipe.validation, order.seed)]] = "validation"
    return parts


def _save_fold(path: Path, **arrays: np.ndarray) -> None:
    part = path.with_suffix(".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def _by_source(frame: "pd.DataFrame", labels: Sequence[str]) -> dict[str, Any]:
    """Leave-one-source-out: one evaluation a source."""
    return {source: found.to_json() for source, found in metrics.evaluate_by(frame, "source", labels).items()}


def _together(frame: "pd.DataFrame", labels: Sequence[str]) -> dict[str, Any]:
    """Grouped folds: one evaluation of all, one a source, and one a value of each further manifest column."""
    numbers = (f"{kind}_{label}" for kind in ("logit", "p") for label in labels)
    known = (*data.TABLE_COLUMNS, "scheme", gate.COLUMN, *numbers)
    further = [name for name in frame.columns if name not in known and 0 < frame[name].nunique() <= MOST_VALUES]
    by_column = {
        name: {value: part.to_json() for value, part in metrics.evaluate_by(frame, name, labels).items()}
        for name in further
    }
    return metrics.evaluate_frame(frame, labels).to_json() | {
        "by_source": _by_source(frame, labels),
        "by_column": by_column,
    }
