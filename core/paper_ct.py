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

from core import comparison, data, metrics, paper, robustness, runs
from core.crossval import SCHEMES, cross_validate
from core.errors import ConfigError
from core.order import Order, class_names, split
from core.recipe import load_recipe, recipe_from_json
from core.runs import Run, load_run
from core.scored import load_scored

COMMAND = "python -m core reproduce-paper --ct DIR... --weights FILE"
NAME = "paper-ct"
SEEDS = 5
WHERE = {
    "train": "its own training images",
    "group": "images of groups it has not seen",
    "source": "images of sources it has not seen",
}
"""Where the recipe is measured, from the most flattering on."""

OF_SEED_0 = ("compared", robustness.KEY)


def reproduce(
    folders: Sequence[Path],
    weights: str,
    seeds: int = SEEDS,
    against: str | None = None,
    tell: Callable[[int, int], None] = lambda done, of: None,
    known: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """What the recipe gives on CT data, for seeds 0, 1, ...; as paper.CT_RESULTS holds it. Hours of training.

    {"seeds", "images": {of WHERE: images, for seed 0}, "groups", "accuracy" and "balanced_accuracy": {of WHERE:
    {"words", "by_seed", "value", "low", "high"}}, "by_source": {left-out source: {"images", "sensitivity": {class},
    "auc" of normal against diseased where it has both}}, "compared": {scheme: balanced accuracy of seed 0, "first",
    of the run `against` (the demo run for None), "second", and their "difference" on the same images}, "measured":
    what each seed gave}. Intervals are 95 %, of the mean over seeds (Student), of a single seed and in
    "compared" by groups; "robustness" is that of seed 0 (core.robustness).

    `known` is what this gave before: seeds in it are not trained again. ConfigError where it is of other data or
    weights.
    """
    if seeds < 1:
        raise ConfigError("seeds", str(seeds), "1 or more")
    subject, known = _subject(folders, weights), known or {}
    for name, value in subject.items():
        if known and known.get(name) != value:
            raise ConfigError(f"what was kept: {name}", repr(known.get(name)), f"{value!r}, to go on from")
    measured = list(known.get("measured", ()))
    for seed in range(len(measured), seeds):
        measured.append(_measured(_run(folders, weights, seed), folders))
        tell(seed + 1, seeds)
    of_seed_0 = {name: known[name] for name in OF_SEED_0} if known else _of_seed_0(folders, against)
    return subject | _summary(measured) | of_seed_0


def _subject(folders: Sequence[Path], weights: str) -> dict[str, Any]:
    """What is measured, by which results of one subject can be told from others."""
    from core.train import new_model

    table = data.load_table(folders)
    _, source = new_model(Order(NAME, (), load_recipe("paper"), weights, 0), len(class_names(table["label"])))
    return {
        "command": COMMAND,
        "weights": {name: source[name] for name in ("name", "sha256")},
        "checksum": data.checksum(table),
        "groups": int(table["group"].nunique()),
    }


def _measured(run: Run, folders: Sequence[Path]) -> dict[str, Any]:
    """What one seed gave: images and rates of WHERE, and each left-out source's own."""
    rates = {scheme: _rates(run, scheme) for scheme in SCHEMES} | {"train": _training_rates(run, folders)}
    return {"rates": {where: rates[where] for where in WHERE}, "by_source": _by_source(run)}


def _summary(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds of what each gave."""
    first = measured[0]
    means = {
        name: {
            where: {"words": words} | _mean([one["rates"][where][name] for one in measured])
            for where, words in WHERE.items()
        }
        for name in ("accuracy", "balanced_accuracy")
    }
    by_source = {}
    for source, own in first["by_source"].items():
        every = [one["by_source"][source] for one in measured]
        by_source[source] = {"images": own["images"], "sensitivity": {}}
        for label, found in own["sensitivity"].items():
            mean = _mean([one["sensitivity"][label] for one in every])
            by_source[source]["sensitivity"][label] = {"images": found["images"]} | mean
        if "auc" in own:
            by_source[source]["auc"] = _mean([one["auc"] for one in every])
    return {
        "seeds": list(range(len(measured))),
        "images": {where: first["rates"][where]["images"] for where in WHERE},
        **means,
        "by_source": by_source,
        "measured": list(measured),
    }


def _mean(estimates: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds with its interval; of one seed its own, by groups."""
    found = paper.mean_of_seeds([one["value"] for one in estimates])
    return found if len(estimates) > 1 else {"by_seed": found["by_seed"]} | estimates[0]


def _of_seed_0(folders: Sequence[Path], against: str | None) -> dict[str, Any]:
    """Its comparison with another run, and its robustness: OF_SEED_0."""
    first, other = load_run(f"{NAME}-0"), load_run(against)
    compared = {scheme: _compared(first, other, scheme) for scheme in SCHEMES}
    return dict(zip(OF_SEED_0, (compared, _robustness(first, folders)), strict=True))


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


def _rates(run: Run, scheme: str) -> dict[str, Any]:
    """Accuracy and balanced accuracy over all images of a scheme, with intervals by groups; images."""
    scored = load_scored(run, scheme)
    return _rated(scored.probabilities, scored.targets, scored.groups, run.labels)


def _training_rates(run: Run, folders: Sequence[Path]) -> dict[str, Any]:
    """The same of the images that the run itself learned from; and how many they are."""
    from core.predictor import BATCH, Predictor, softmax
    from core.views import load_views

    recipe = recipe_from_json(run.config["recipe"], run.name)
    table = data.load_table(folders)
    table = table[split(table, recipe, run.config["seed"]) == "train"]
    pictures = load_views(table, recipe.preprocess, random=False).plain
    predictor = Predictor(run)
    parts = [predictor.logits(pictures[start : start + BATCH])[0] for start in range(0, len(pictures), BATCH)]
    targets = table["label"].map(list(run.labels).index).to_numpy()
    return _rated(softmax(np.concatenate(parts)), targets, table["group"].tolist(), run.labels)


def _rated(
    probabilities: np.ndarray, targets: np.ndarray, groups: Sequence, labels: Sequence[str]
) -> dict[str, Any]:
    found = metrics.evaluate(probabilities, targets, groups, labels)
    rates = {name: getattr(found, name).to_json() for name in ("accuracy", "balanced_accuracy")}
    return {"images": len(targets), **rates}


def _by_source(run: Run) -> dict[str, dict[str, Any]]:
    """Of each left-out source: images, sensitivity for its classes, and AUC if it has normal and diseased."""
    by_source = {}
    for source, found in run.metrics[SCHEMES["source"]].items():
        own = {"images": found["n_slices"], "sensitivity": {}}
        for label, report in found["classes"].items():
            if report["support"]:
                own["sensitivity"][label] = {"images": report["support"]} | report["sensitivity"]
        if found["diseased_auc"] and found["diseased_auc"]["value"] is not None:
            own["auc"] = found["diseased_auc"]
        by_source[source] = own
    return by_source


def _compared(first: Run, other: Run, scheme: str) -> dict[str, Any]:
    compared = comparison.compare(first.path, other.path, scheme)
    chosen = next(one for one in compared.differences if one.name == "balanced_accuracy")
    sides = {name: getattr(chosen, name).to_json() for name in ("first", "second", "difference")}
    return {"run": other.name, "images": compared.shared, "groups": compared.groups} | sides
