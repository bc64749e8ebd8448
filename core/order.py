"""What is asked of a training and which images it will use how; needs none of the packages that train."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data
from core.errors import ConfigError, DataError, RunError
from core.labels import LABELS
from core.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    import pandas as pd

CHANGEABLE = ("backbone", "epochs", "batch_size", "learning_rate", "validation")
"""Fields of a recipe that a request may replace."""

FORWARD = 1 / 3
"""Cost of a slice that is only looked at, in slices that are learned from."""


@dataclass(frozen=True)
class Order:
    """What is asked of a training: everything that --resume has to remember."""

    name: str
    folders: tuple[str, ...]
    recipe: Recipe
    weights: str
    seed: int


@dataclass(frozen=True)
class Request:
    """A training as it is asked for on the command line or a page; None leaves a value to the recipe."""

    name: str
    folders: tuple[str, ...]
    config: str = "lung"
    weights: str = "imagenet"
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    validation: float | None = None
    seed: int = 0
    backbone: str | None = None

    def order(self) -> Order:
        """The request with its recipe read; raises ConfigError or RunError for what cannot be trained."""
        check_name(self.name)
        if not 0 <= self.seed < 2**32:
            raise ConfigError("seed", str(self.seed), "a whole number from 0 to 4294967295")
        return Order(self.name, self.folders, load_recipe(self.config, **self._changes()), self.weights, self.seed)

    def arguments(self) -> list[str]:
        """The same as arguments of `python -m core train`, files and folders by their full paths."""
        config = os.path.abspath(self.config) if self.config.endswith(".toml") else self.config
        weights = self.weights if self.weights in ("imagenet", "none") else os.path.abspath(self.weights)
        given = ["--name", self.name, "--config", config, "--weights", weights, "--seed", str(self.seed)]
        for name in CHANGEABLE:
            value = getattr(self, name)
            if value is not None:
                given += [f"--{name.replace('_', '-')}", value if isinstance(value, str) else repr(value)]
        return [*given, "--data", *map(os.path.abspath, self.folders)]

    def _changes(self) -> dict[str, Any]:
        asked = {name: getattr(self, name) for name in CHANGEABLE}
        changes = {name: value for name, value in asked.items() if value is not None}
        if changes.get("validation") == 0:
            changes["keep"] = "last"  # there is nothing to choose the best epoch on
        return changes


def check_name(name: str) -> None:
    """RunError for a run's name that is none: empty, a path, or hidden."""
    if not name or Path(name).name != name or name.startswith(".") or "\0" in name:
        raise RunError(name or "name", "nothing, a path, or a name that starts with a dot", "a plain name")


def class_names(labels: Sequence[str]) -> tuple[str, ...]:
    """The classes in the order of LABELS, others after them by name; DataError when there is only one."""
    found = set(labels)
    names = [label for label in LABELS if label in found] + sorted(found.difference(LABELS))
    if len(names) < 2:
        raise DataError("label", f"one class, {names[0]!r}", "two classes or more")
    return tuple(names)


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


def check_parts(table: "pd.DataFrame", parts: np.ndarray, recipe: Recipe) -> None:
    """DataError for what would fail only after hours: no images to learn or to select on."""
    missing = sorted(set(table["label"]).difference(table["label"][parts == "train"]))
    if missing:
        raise DataError("label", f"no training image of {missing[0]!r}", "training images of each class")
    if recipe.validation and not (parts == "validation").any():
        raise DataError("group", "too few groups to keep some for validation", "two groups or more a class")


def part_counts(table: "pd.DataFrame", parts: np.ndarray) -> "pd.DataFrame":
    """Images and groups, one row per source, label and part that has any, sorted."""
    counted = table.assign(part=parts).groupby(["source", "label", "part"])
    return counted.agg(images=("file", "size"), groups=("group", "nunique")).reset_index()


def expected_seconds(recipe: Recipe, images: Mapping[str, int], timing: Mapping[str, Any]) -> tuple[float, ...]:
    """How long a training takes by its batches as timed: (middle, least, most), seconds.

    images   how many there are for train and validation (see `part_counts`)
    timing   what core.train.time_batches found
    """
    found = []
    for choose in (lambda times: sorted(times)[len(times) // 2], min, max):
        each = {int(size): choose(times) for size, times in timing["seconds_per_image"].items()}
        whole = FORWARD * images.get("validation", 0) * each[recipe.preprocess.size]
        learned = sum(images.get("train", 0) * each[recipe.size_at(epoch)] for epoch in range(recipe.epochs))
        found.append(learned + recipe.epochs * whole + sum(images.values()) * timing["seconds_to_read"])
    return tuple(found)


def plan(order: Order) -> "pd.DataFrame":
    """`part_counts` of an order's data, checked as training checks them. DataError says what is wrong."""
    table = data.load_table([Path(folder) for folder in order.folders])
    parts = split(table, order.recipe, order.seed)
    class_names(table["label"])
    check_parts(table, parts, order.recipe)
    return part_counts(table, parts)
