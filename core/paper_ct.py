"""The paper's recipe on CT slices: on its own training images, on groups and on sources that it has not seen.

Each seed is a run of its own beside the others (NAME-0, NAME-1, ...), trained by the recipe `paper` and
cross-validated as any run; one that is there, whole or in part, is taken up where it stopped. Layers compute in
bfloat16 where the processor has it, of which the paper says nothing; the folds are drawn anew for each seed.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core import comparison, data, paper, robustness, runs
from core.crossval import SCHEMES, cross_validate, run_table
from core.errors import ConfigError
from core.order import Order, split
from core.recipe import load_recipe, recipe_from_json
from core.runs import Run, load_run

COMMAND = "python -m core reproduce-paper --ct DIR... --weights FILE"
NAME = "paper-ct"
SEEDS = 5
WHERE = {
    "train": "its own training images",
    "group": "images of groups it has not seen",
    "source": "images of sources it has not seen",
}
"""Where the recipe is measured, from the most flattering on."""


def reproduce(
    folders: Sequence[Path],
    weights: str,
    seeds: int = SEEDS,
    against: str | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """What the recipe gives on CT data, for seeds 0, 1, ...; as paper.CT_RESULTS holds it. Hours of training.

    {"seeds", "images": {of WHERE: images, for seed 0}, "groups", "accuracy" and "balanced_accuracy": {of WHERE:
    {"words", "by_seed", "value", "low", "high"}}, "by_source": {left-out source: {"images", "sensitivity": {class},
    "auc" of normal against diseased where it has both}}, "compared": {scheme: balanced accuracy of seed 0, "first",
    of the run `against` (the demo run for None), "second", and their "difference" on the same images}}. Intervals
    are 95 %, of the mean over seeds (Student), in "compared" by groups. "robustness" is that of seed 0
    (core.robustness).
    """
    if seeds < 1:
        raise ConfigError("seeds", str(seeds), "1 or more; 2 for an interval over them")
    found = []
    for seed in range(seeds):
        found.append(_run(folders, weights, seed))
        tell(seed + 1, seeds)
    first, other = found[0], load_run(against)
    table = run_table(first, folders)
    rates = {scheme: [_rates(run, scheme) for run in found] for scheme in SCHEMES}
    rates["train"] = [_training_rates(run, folders) for run in found]
    accuracy, balanced = (
        {
            where: {"words": words, **paper.mean_of_seeds([one[name] for one in rates[where]])}
            for where, words in WHERE.items()
        }
        for name in ("accuracy", "balanced_accuracy")
    )
    return {
        "command": COMMAND,
        "weights": {name: first.config["weights"][name] for name in ("name", "sha256")},
        "seeds": list(range(seeds)),
        "images": {"train": rates["train"][0]["images"]} | dict.fromkeys(SCHEMES, len(table)),
        "groups": int(table["group"].nunique()),
        "accuracy": accuracy,
        "balanced_accuracy": balanced,
        "by_source": _by_source(found),
        "compared": {scheme: _compared(first, other, scheme) for scheme in SCHEMES},
        robustness.KEY: _robustness(first, folders),
    }


def _run(folders: Sequence[Path], weights: str, seed: int) -> Run:
    """The run of one seed, trained and cross-validated as far as it is not yet."""
    from core.train import resume, train

    path = runs.RUNS / f"{NAME}-{seed}"
    if not path.exists():
        recipe = dataclasses.replace(load_recipe("paper"), fast=True)
        train(Order(path.name, tuple(str(folder) for folder in folders), recipe, weights, seed))
    elif not (path / "metrics.json").is_file():
        resume(path)
    for scheme, results in SCHEMES.items():
        if results not in load_run(path).metrics:
            cross_validate(path, folders, weights, scheme)
    return load_run(path)


def _robustness(run: Run, folders: Sequence[Path]) -> dict[str, Any]:
    if robustness.KEY not in run.metrics:
        robustness.keep(run.path, robustness.measure(run.path, folders, robustness.SAMPLE))
    return load_run(run.path).metrics[robustness.KEY]


def _rates(run: Run, scheme: str) -> dict[str, float]:
    """Accuracy and balanced accuracy over all images of a scheme."""
    from core.scored import load_scored

    scored = load_scored(run, scheme)
    return _of_calls(scored.probabilities.argmax(axis=1), scored.targets)


def _training_rates(run: Run, folders: Sequence[Path]) -> dict[str, float]:
    """The same of the images that the run itself learned from; and how many they are."""
    from core.predictor import BATCH, Predictor
    from core.views import load_views

    recipe = recipe_from_json(run.config["recipe"], run.name)
    table = data.load_table(folders)
    table = table[split(table, recipe, run.config["seed"]) == "train"]
    pictures = load_views(table, recipe.preprocess, random=False).plain
    predictor = Predictor(run)
    parts = [predictor.logits(pictures[start : start + BATCH])[0] for start in range(0, len(pictures), BATCH)]
    targets = table["label"].map(list(run.labels).index).to_numpy()
    return _of_calls(np.concatenate(parts).argmax(axis=1), targets) | {"images": len(table)}


def _of_calls(called: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    right = called == targets
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([right[targets == label].mean() for label in np.unique(targets)])),
    }


def _by_source(found: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """Of each left-out source, mean over seeds: sensitivity for its classes, AUC if it has normal and diseased."""
    by_source = {}
    for source, one in found[0].metrics[SCHEMES["source"]].items():
        every = [run.metrics[SCHEMES["source"]][source] for run in found]
        by_source[source] = {"images": one["n_slices"], "sensitivity": {}}
        for label, report in one["classes"].items():
            if report["support"]:
                values = [seed["classes"][label]["sensitivity"]["value"] for seed in every]
                by_source[source]["sensitivity"][label] = {"images": report["support"]} | paper.mean_of_seeds(
                    values
                )
        if one["diseased_auc"]:
            by_source[source]["auc"] = paper.mean_of_seeds([seed["diseased_auc"]["value"] for seed in every])
    return by_source


def _compared(first: Run, other: Run, scheme: str) -> dict[str, Any]:
    compared = comparison.compare(first.path, other.path, scheme)
    chosen = next(one for one in compared.differences if one.name == "balanced_accuracy")
    sides = {name: getattr(chosen, name).to_json() for name in ("first", "second", "difference")}
    return {"run": other.name, "images": compared.shared, "groups": compared.groups} | sides
