"""A training recipe: every choice that makes a run, read from a TOML file beside this one."""

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.augment import AugmentConfig
from core.backbones import BACKBONES
from core.errors import ConfigError
from core.preprocess import PreprocessConfig

RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Recipe:
    """How a classifier is trained.

    preprocess, augment   what the network sees; augment None = the same picture each epoch
    backbone, head        a name of core.backbones; "paper" (dense, dropout, dense) or "linear"
    dropout, hidden       of the head; hidden units of the paper's head
    frozen                number of first feature blocks left as they came, batch norms included
    epochs, batch_size    passes over as many slices as there are; slices a step, those of `lesions` besides
    small_size, small_share   the first epochs, as this share of all, show views of that side: faster,
                          and the network grows used to more than one scale
    optimizer             "sgd" (momentum) or "adamw"
    learning_rate         of the head; the backbone's is this times `backbone_factor`
    momentum, weight_decay
    schedule              "step" (times gamma every step_size epochs) or "cosine" (linear warm-up, then to 0)
    label_smoothing       share of the target spread over all classes
    balance               "none": each slice once an epoch; "class": classes alike often;
                          "class_source": classes alike, and within a class sources by the root of their size;
                          `lesions` come besides
    lesions               healthy slices with a lesion drawn in (core.lesions) that an epoch has besides, as a share
                          of its diseased ones; only with the pipeline "lung", and where the classes are LABELS
    mixstyle              chance that a batch's low-level feature statistics are mixed between slices
    average               decay a step of the running average of the weights that is kept; 0 = no average
    keep                  "best": the epoch of highest validation accuracy; "last": the last epoch
    validation            share of the groups kept for validation; 0 = none, then keep must be "last"
    fast                  channels-last memory and bfloat16 arithmetic where the processor has it
    chosen                for a published recipe: the values that its paper leaves open, and why these
    """

    name: str = "recipe"
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    augment: AugmentConfig | None = None
    backbone: str = "mobilenet_v2"
    head: str = "linear"
    dropout: float = 0.2
    hidden: int = 128
    frozen: int = 0
    epochs: int = 10
    batch_size: int = 32
    small_size: int = 0
    small_share: float = 0.0
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    backbone_factor: float = 1.0
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "cosine"
    step_size: int = 7
    gamma: float = 0.1
    warmup: float = 0.0
    label_smoothing: float = 0.0
    balance: str = "none"
    lesions: float = 0.0
    mixstyle: float = 0.0
    average: float = 0.0
    keep: str = "best"
    validation: float = 0.2
    fast: bool = True
    chosen: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("backbone", self.backbone, tuple(BACKBONES))
        _one_of("optimizer", self.optimizer, ("sgd", "adamw"))
        _one_of("schedule", self.schedule, ("step", "cosine"))
        _one_of("balance", self.balance, ("none", "class", "class_source"))
        _one_of("keep", self.keep, ("best", "last"))
        _in_range("epochs", self.epochs, 1, 10_000)
        _in_range("batch_size", self.batch_size, 2, 4096)
        _in_range("learning_rate", self.learning_rate, 1e-9, 10)
        _in_range("small_share", self.small_share, 0, 1)
        smallest = BACKBONES[self.backbone].smallest
        if self.preprocess.size < smallest:
            raise ConfigError("size", f"{self.preprocess.size} pixels", f"{smallest} or more for {self.backbone}")
        if self.small_share > 0:
            _in_range("small_size", self.small_size, smallest, self.preprocess.size)
            if self.augment is None:
                raise ConfigError("small_share", str(self.small_share), "0 where there is no [augment]")
        for name in ("frozen", "hidden", "step_size"):
            _in_range(name, getattr(self, name), 0 if name == "frozen" else 1, 10_000)
        _in_range("weight_decay", self.weight_decay, 0, 10)
        _in_range("dropout", self.dropout, 0, 0.99)
        _in_range("label_smoothing", self.label_smoothing, 0, 0.99)
        _in_range("lesions", self.lesions, 0, 1)
        if self.lesions and (self.augment is None or self.preprocess.pipeline != "lung"):
            raise ConfigError("lesions", str(self.lesions), "0 unless pipeline is 'lung' and there is [augment]")
        _in_range("mixstyle", self.mixstyle, 0, 1)
        _in_range("average", self.average, 0, 0.99999)
        _in_range("validation", self.validation, 0, 0.9)
        if self.validation == 0 and self.keep == "best":
            raise ConfigError("keep", "'best' with validation = 0", "'last', or a share of groups for validation")

    def size_at(self, epoch: int) -> int:
        """Side in pixels of the views of an epoch, from 0."""
        small = epoch < round(self.epochs * self.small_share)
        return self.small_size if small else self.preprocess.size

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def recipe_from_json(values: dict[str, Any], where: str = "recipe") -> Recipe:
    """The recipe of a mapping as `Recipe.to_json` gives it; ConfigError for a name that it does not have."""
    if not isinstance(values, dict):
        raise ConfigError(where, type(values).__name__, "a mapping of names to values")
    values = dict(values)
    for name, kind in (("preprocess", PreprocessConfig), ("augment", AugmentConfig)):
        if values.get(name) is not None or (name == "preprocess" and name in values):
            values[name] = _build(kind, values[name], f"{where}: {name}")
    return _build(Recipe, values, where)


def load_recipe(name: str, **overrides: Any) -> Recipe:
    """The recipe `name` ("paper", "lung") or that of a TOML file, with fields replaced by `overrides`."""
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise ConfigError("config", repr(name), f"one of {known}, or the path of a .toml file")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(path.name, f"text that is not TOML ({error})", "a recipe in TOML") from error
    return recipe_from_json({"name": path.stem, **values, **overrides}, path.name)


def _build(kind: type, values: dict[str, Any], where: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(where, type(values).__name__, "a mapping of names to values")
    known = {item.name: item for item in dataclasses.fields(kind)}
    for name, value in values.items():
        if name not in known:
            raise ConfigError(f"{where}: {name}", "an unknown name", f"one of {', '.join(known)}")
        default = known[name].default
        if isinstance(default, int) and not isinstance(value, int):
            raise ConfigError(
                f"{where}: {name}", repr(value), "true or false" if default is True else "a whole number"
            )
        if isinstance(default, float) and not isinstance(value, (int, float)):
            raise ConfigError(f"{where}: {name}", repr(value), "a number")
        if isinstance(default, str) and not isinstance(value, str):
            raise ConfigError(f"{where}: {name}", repr(value), "a text in quotes")
        if name == "chosen" and not isinstance(value, dict):
            raise ConfigError(f"{where}: {name}", repr(value), "a mapping of names to reasons")
    return kind(**values)


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(name, repr(value), f"one of {', '.join(allowed)}")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(name, str(value), f"{low} to {high}")
