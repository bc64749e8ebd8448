"""The paper held to account: what its printed digits say, and what its recipe gives on the images they fit.

Gao, Tian, Lin and Lin, "A CT Image Classification Network Framework for Lung Tumors Based on Pre-trained
MobileNetV2 Model and Transfer learning, And Its Application and Market Analysis in the Medical field". Its
accuracies are whole numbers of images over 251 and over 66 (`fractions`), the sizes of a public set of 317 chest
X-rays. `reproduce` trains the recipe `paper` on that set, keeps the weights of the best accuracy on its 66 test
images, as the paper does, and measures what the paper reports and what it does not.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data, metrics
from core.errors import ConfigError, DataError
from core.order import Order, class_names
from core.recipe import load_recipe
from core.runs import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path(__file__).resolve().parent.parent / "data" / "evidence" / "paper.json"
"""What `reproduce` found, as shipped."""

CT_RESULTS = RESULTS.with_name("paper_ct.json")
"""What core.paper_ct.reproduce found."""

COMMAND = "python -m core reproduce-paper --data DIR --weights FILE"
SEEDS = 5
TRAIN, TEST = 251, 66
"""Images of the two parts of the X-ray set."""

EPOCHS = (1, 2, 3, 8, 9, 10)
TABLE_2 = {
    "train_loss": (".2211", ".1958", ".1912", ".1666", ".1920", ".1649"),
    "train_accuracy": (".9402", ".9482", ".9562", ".9721", ".9323", ".9522"),
    "validation_loss": (".2836", ".2593", ".2436", ".2218", ".2189", ".2096"),
    "validation_accuracy": (".8939", ".9242", ".9242", ".9242", ".9242", ".9394"),
}
"""Table 2 as printed, by epoch of EPOCHS."""

TABLE_3 = {"0": ("1.00", "1.00", "1.00"), "1": (".94", ".97", ".95"), "2": (".96", ".96", ".96")}
"""Table 3 as printed: precision, recall and F1 by class; support 251."""

CLAIMS = {"abstract": 0.996, "conclusion": 0.952, "Table 2": 0.9394}
LARGEST = 1000
PARTS = {
    "test": "its 66 test images, on which the weights were chosen",
    "fresh": "those of them that are no copy of a training image",
    "train": "its own training images, which Table 3 reports on",
}


def fractions(printed: Sequence[str], largest: int = LARGEST) -> list[int]:
    """Numbers of images, up to `largest`, of which every printed accuracy is a whole share, to its last digit."""
    return [whole for whole in range(2, largest + 1) if all(count(one, whole) is not None for one in printed)]


def count(printed: str, whole: int) -> int | None:
    """How many of `whole` images a printed accuracy stands for; None where no number rounds to it."""
    digits = len(printed.partition(".")[2])
    near = round(float(printed) * whole)
    return next(
        (k for k in (near - 1, near, near + 1) if f"{k / whole:.{digits}f}" == f"{float(printed):.{digits}f}"), None
    )


def reproduce(
    folder: Path, weights: str, seeds: int = SEEDS, tell: Callable[[int, int], None] = lambda done, of: None
) -> dict[str, Any]:
    """What the recipe `paper` gives on the X-ray set in `folder`, for seeds 0, 1, ...; as RESULTS holds it.

    {"images", "seeds": [...], "history": [rows by seed], "accuracy": {part of PARTS: {"images", "by_seed", "mean",
    "low", "high", "words"}}, "report": precision, recall and F1 by class on the training images, seed 0}; intervals
    are 95 % of the mean over seeds (Student). Raises DataError where the set is not 251 and 66 images.
    """
    if seeds < 2:
        raise ConfigError("seeds", str(seeds), "2 or more, for an interval")
    table = data.load_table([folder])
    sizes = {part: int((table["split"] == part).sum()) for part in ("train", "test")}
    if sizes != {"train": TRAIN, "test": TEST}:
        raise DataError(
            str(folder), f"{sizes['train']} and {sizes['test']} images", f"{TRAIN} and {TEST} in train and test"
        )
    rows = _rows(table)
    runs = []
    for seed in range(seeds):
        runs.append(_train(table, rows, weights, seed))
        tell(seed + 1, seeds)
    labels = class_names(table["label"])
    return {
        "command": COMMAND,
        "weights": runs[0]["weights"],
        "images": {part: len(found) for part, found in rows.items()},
        "labels": list(labels),
        "seeds": list(range(seeds)),
        "history": [run["history"] for run in runs],
        "accuracy": {
            part: {
                "words": words,
                "images": len(rows[part]),
                **mean_of_seeds([run["accuracy"][part] for run in runs]),
            }
            for part, words in PARTS.items()
        },
        "report": runs[0]["report"],
    }


def keep(found: dict[str, Any], path: Path = RESULTS) -> None:
    """Write what was found where the page Paper reads it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)


def kept(path: Path = RESULTS) -> dict[str, Any]:
    """What was found; empty where nothing was kept. RunError for a damaged file."""
    return read_json(path) if path.is_file() else {}


def _rows(table: "pd.DataFrame") -> dict[str, np.ndarray]:
    """Rows of each part of PARTS."""
    train = np.flatnonzero(table["split"] == "train")
    test = np.flatnonzero(table["split"] == "test")
    copied = table["sha256"].iloc[test].isin(table["sha256"].iloc[train]).to_numpy()
    return {"test": test, "fresh": test[~copied], "train": train}


def _train(table: "pd.DataFrame", rows: dict[str, np.ndarray], weights: str, seed: int) -> dict[str, Any]:
    """One training as the paper describes it: all of `train`, weights chosen on `test`."""
    from core.fit import LabelledViews, Trainer, predict_logits
    from core.train import new_model
    from core.views import load_views

    recipe = load_recipe("paper")
    labels = class_names(table["label"])
    model, source = new_model(Order("paper", (), recipe, weights, seed), len(labels))
    views = load_views(table, recipe.preprocess, random=False)
    targets = table["label"].map(list(labels).index).to_numpy()
    sources, groups = (np.unique(table[name], return_inverse=True)[1] for name in ("source", "group"))
    trainer = Trainer(
        model, recipe, LabelledViews(views, targets, sources, groups, rows["train"], rows["test"], labels), seed
    )
    history = []
    while trainer.epoch < recipe.epochs:
        row = trainer.run_epoch()
        history.append({name: row[name] for name in ("epoch", *TABLE_2)})
    model.load_state_dict(trainer.kept_weights())
    called = predict_logits(model, views.plain).argmax(axis=1)
    right = called == targets
    return {
        "weights": {name: source[name] for name in ("name", "sha256")},
        "history": history,
        "accuracy": {part: float(right[own].mean()) for part, own in rows.items()},
        "report": _report(called[rows["train"]], targets[rows["train"]], labels),
    }


def _report(called: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support by class."""
    from sklearn.metrics import precision_recall_fscore_support

    found = precision_recall_fscore_support(targets, called, labels=range(len(labels)), zero_division=0)
    names = ("precision", "recall", "f1", "support")
    return {
        label: {name: float(values[place]) for name, values in zip(names, found, strict=True)}
        for place, label in enumerate(labels)
    }


def mean_of_seeds(values: Sequence[float]) -> dict[str, Any]:
    """The mean over seeds with its 95 % interval by Student's distribution, within 0 and 1; none for one seed."""
    from scipy.stats import t

    mean, n = float(np.mean(values)), len(values)
    found = metrics.Estimate(mean, None, None, "one seed, no interval")
    if n > 1:
        reach = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / np.sqrt(n))
        found = metrics.estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach), n)
    return {"by_seed": [float(value) for value in values], **dataclasses.asdict(found)}
