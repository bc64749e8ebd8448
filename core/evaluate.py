"""A finished run on labelled data: only on images that it was not trained on."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data, metrics, thumbnails
from core.card import write_card
from core.errors import DataError, RunError
from core.predictor import Predictor, softmax
from core.runs import Run, load_run, write_atomically, write_json
from core.scored import FILE as PREDICTIONS
from core.scored import FIRST
from core.views import load_views

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions (one row per slice), the metrics of all of them, and how many images were left out as seen."""

    predictions: "pd.DataFrame"
    evaluation: metrics.Evaluation
    seen: int

    def to_json(self) -> dict[str, Any]:
        return {"seen_in_training": self.seen, **self.evaluation.to_json()}


def evaluate(run: str | Path | None, folders: Sequence[Path]) -> Result:
    """Metrics with 95 % intervals of a run on data folders.

    Images that share their bytes, or their source and group, with one that the run was trained on are left out
    and counted. Raises DataError when none is left or a label is not one of the run's.
    """
    predictor = Predictor.load(run)
    table = data.load_table(folders)
    unknown = sorted(set(table["label"]).difference(predictor.labels))
    if unknown:
        raise DataError("label", repr(unknown[0]), f"one of the run's: {', '.join(predictor.labels)}")
    seen = seen_in_training(load_run(run).path, table)
    fresh = table[~seen].reset_index(drop=True)
    if fresh.empty:
        raise DataError("data", f"{len(table)} images, all seen in training", "images that the run has not seen")
    frame = predict_table(predictor, fresh)
    return Result(frame, metrics.evaluate_frame(frame, predictor.labels), int(seen.sum()))


def keep(run: str | Path | None, name: str, result: Result) -> None:
    """Keep a result in the run by name: its metrics under `tests` in metrics.json, and in the model card; its
    predictions as a scheme of that name, in place of older ones; and thumbnails where all images are phantoms.

    RunError for the name of a scheme that comes from training.
    """
    kept = load_run(run)
    if name in FIRST:
        raise RunError(name, "the name of a scheme of training", f"another name than {', '.join(FIRST)}")
    _keep_predictions(kept, name, result.predictions)
    results = kept.metrics
    results.setdefault("tests", {})[name] = result.to_json()
    write_json(kept.path / "metrics.json", results)
    write_card(kept.path)


def _keep_predictions(run: Run, name: str, predictions: "pd.DataFrame") -> None:
    import pandas as pd

    frame = predictions.assign(scheme=name)
    path = run.path / PREDICTIONS
    if path.exists():
        before = pd.read_parquet(path)
        frame = pd.concat([before[before["scheme"] != name], frame], ignore_index=True)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False)
    if predictions["group"].map(thumbnails.is_phantom).all():
        thumbnails.write(run, predictions)
    write_atomically(path, buffer.getvalue())


def seen_in_training(path: Path, table: "pd.DataFrame") -> np.ndarray:
    """(n,) bool: the images whose bytes or group the run in folder `path` trained or was selected on."""
    import pandas as pd

    split = path / "split.csv"
    if not split.exists():
        return np.zeros(len(table), bool)
    rows = pd.read_csv(split, dtype=str, keep_default_na=False)
    rows = rows[rows["part"].isin(("train", "validation"))]
    return (table["sha256"].isin(rows["sha256"]) | table["group"].isin(rows["group"])).to_numpy()


def predict_table(predictor: Predictor, table: "pd.DataFrame") -> "pd.DataFrame":
    """The table (less path and split) with `logit_<label>` and `p_<label>` for each class; one row per slice."""
    logits = predictor.logits_of(lambda config: load_views(table, config, random=False).plain)
    numbers = {"logit": logits.astype(np.float32), "p": softmax(logits / predictor.temperature)}
    named = {
        f"{kind}_{label}": values[:, place]
        for kind, values in numbers.items()
        for place, label in enumerate(predictor.labels)
    }
    return table.drop(columns=["path", "split"]).assign(**named)
