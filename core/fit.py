"""The training loop: one epoch at a time, resumable after each, the same to the bit."""

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from core import metrics
from core.depthwise import quicken
from core.errors import ConfigError
from core.labels import NORMAL
from core.lesions import can_draw
from core.model import Classifier
from core.order import FORWARD
from core.predictor import softmax
from core.recipe import Recipe
from core.views import Views, prefetch

EVALUATION_BATCH = 64

EPOCH_BOOT = 300
"""Bootstrap replicates behind an epoch's validation intervals; a finished run's own have more."""


@dataclass(frozen=True, eq=False)
class LabelledViews:
    """What is trained on: views, targets, sources and groups (n,) int, rows of each part, names of the targets."""

    views: Views
    targets: np.ndarray
    sources: np.ndarray
    groups: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    labels: tuple[str, ...] = ()


@dataclass
class Progress:
    """How far an epoch has come: whole epochs and steps done, loss of the last step, the head's learning rate."""

    epoch: int
    step: int
    steps: int
    images_per_second: float
    loss: float
    learning_rate: float


@dataclass
class Trainer:
    """A training in progress; `state` and `restore` carry all that the next epoch depends on."""

    model: Classifier
    recipe: Recipe
    data: LabelledViews
    seed: int
    epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    best_accuracy: float = -1.0

    def __post_init__(self) -> None:
        self.steps = math.ceil(len(self.data.train) / self.recipe.batch_size)
        for block in self.model.features[: self.recipe.frozen]:
            block.requires_grad_(False)
        self.optimizer = _optimizer(self.model, self.recipe)
        self.average = copy.deepcopy(self.model.state_dict()) if self.recipe.average else None
        if self.recipe.fast:
            self.model.to(memory_format=torch.channels_last)
            quicken(self.model)

    def run_epoch(self, report: Callable[[Progress], None] = lambda progress: None) -> dict[str, float]:
        """Train for one epoch and validate; the epoch's row of the history."""
        torch.manual_seed(_mix(self.seed, self.epoch))
        started = time.perf_counter()
        row = {"epoch": self.epoch + 1, "learning_rate": self._set_rate(0)}
        learned, seen = self._train(started, report)
        row |= {f"train_{name}": value for name, value in learned.items()}
        seconds = time.perf_counter() - started
        if len(self.data.validation):
            row |= {f"validation_{name}": value for name, value in self._validate().items()}
        row |= {"images_per_second": seen / seconds, "seconds": time.perf_counter() - started}
        self.epoch += 1
        self.history.append(row)
        self._keep(row)
        return row

    def kept_weights(self) -> dict[str, Tensor]:
        """The state dict that the recipe keeps: of the best epoch, or of the last."""
        return self.best if self.recipe.keep == "best" else _copied(self._weights())

    def work(self, epoch: int) -> float:
        """What an epoch costs, in pixels learned from; validation counts as FORWARD of that."""
        side, whole = self.recipe.size_at(epoch), self.recipe.preprocess.size
        return len(self.data.train) * side**2 + FORWARD * len(self.data.validation) * whole**2

    def state(self) -> dict[str, Any]:
        return {
            "epoch": self.epoch,
            "history": self.history,
            "best": self.best,
            "best_accuracy": self.best_accuracy,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.history, self.best = state["epoch"], state["history"], state["best"]
        self.best_accuracy, self.average = state["best_accuracy"], state["average"]

    def _train(self, started: float, report: Callable[[Progress], None]) -> tuple[dict[str, float], int]:
        """What an epoch gave, and how many views it saw."""
        recipe, data = self.recipe, self.data
        rng = np.random.default_rng((self.seed, self.epoch))
        order = _draw(data, recipe.balance, rng)
        drawn = np.array([""] * len(order), dtype=object)
        if recipe.lesions:
            order, drawn = _draw_lesions(data, order, recipe.lesions, rng)
        targets_of = data.targets[order]
        targets_of[drawn != ""] = [data.labels.index(label) for label in drawn[drawn != ""]]
        parts, classes, lesions = (np.array_split(values, self.steps) for values in (order, targets_of, drawn))
        self.model.train()
        for block in self.model.features[: recipe.frozen]:
            block.eval()
        tally = Tally(int(data.targets.max()) + 1)
        size = recipe.size_at(self.epoch)
        batches = prefetch(
            lambda step: data.views.random_batch(
                parts[step], recipe.augment, (self.seed, self.epoch), size, lesions[step].tolist()
            ),
            self.steps,
        )
        for step, batch in enumerate(batches):
            rate = self._set_rate(step)
            targets = torch.from_numpy(classes[step])
            with in_precision(self.recipe.fast):
                logits = self._logits(torch.from_numpy(batch).float(), step)
            loss = functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._average()
            value = loss.item()
            if not math.isfinite(value):
                found = f"{recipe.learning_rate:g}, at which the loss was no number in epoch {self.epoch + 1}"
                raise ConfigError("learning_rate", found, "a smaller one")
            tally.add(value, logits.detach(), targets)
            speed = (step + 1) * len(order) / self.steps / (time.perf_counter() - started)
            report(Progress(self.epoch, step + 1, self.steps, speed, value, rate))
        return tally.result(), len(order)

    def _logits(self, images: Tensor, step: int) -> Tensor:
        """The model's forward pass, cut where the frozen blocks end: nothing is kept for their gradients."""
        model, frozen = self.model, self.recipe.frozen
        images = model.normalise(images)
        if self.recipe.fast:
            images = images.contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(frozen == 0):
            features = model.features[:frozen](images)
        rng = np.random.default_rng((self.seed, self.epoch, step))
        if rng.random() < self.recipe.mixstyle:
            features = mix_style(features, rng)
        return model.head(model.features[frozen:](features).mean((2, 3)))

    def _validate(self) -> dict[str, float]:
        data, found = self.data, []
        tally = Tally(int(data.targets.max()) + 1)
        with self._evaluated_weights():
            for part in batches_of(data.validation):
                with torch.inference_mode(), in_precision(self.recipe.fast):
                    logits = self.model(torch.from_numpy(data.views.plain_batch(part)).float())
                targets = torch.from_numpy(data.targets[part])
                tally.add(functional.cross_entropy(logits.float(), targets).item(), logits, targets)
                found.append(logits.float().numpy())
        return tally.result() | self._intervals(np.concatenate(found))

    def _intervals(self, logits: np.ndarray) -> dict[str, float]:
        """95 % intervals of the validation accuracies, by bootstrap over groups; left out where there are none."""
        rows, classes = self.data.validation, [str(label) for label in range(logits.shape[1])]
        seen = metrics.evaluate(
            softmax(logits), self.data.targets[rows], self.data.groups[rows], classes, EPOCH_BOOT, self.seed
        )
        estimates = {"accuracy": seen.accuracy, "balanced_accuracy": seen.balanced_accuracy}
        return {
            f"{name}_{end}": getattr(estimate, end)
            for name, estimate in estimates.items()
            for end in ("low", "high")
        }

    @contextlib.contextmanager
    def _evaluated_weights(self) -> Iterator[None]:
        """Inside, the model is in evaluation mode and has the averaged weights, where there are any."""
        own = _copied(self.model.state_dict()) if self.average else None
        if self.average:
            self.model.load_state_dict(self.average)
        self.model.eval()
        yield
        if own:
            self.model.load_state_dict(own)

    def _weights(self) -> dict[str, Tensor]:
        return self.average or self.model.state_dict()

    def _average(self) -> None:
        if not self.average:
            return
        taken = self.epoch * self.steps + 1
        decay = min(self.recipe.average, taken / (taken + 9))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    def _keep(self, row: dict[str, float]) -> None:
        accuracy = row.get("validation_accuracy", -1.0)
        if self.recipe.keep == "best" and accuracy > self.best_accuracy:
            self.best_accuracy, self.best = accuracy, _copied(self._weights())

    def _set_rate(self, step: int) -> float:
        """Set and return the head's learning rate at a step of this epoch."""
        rate = learning_rate(self.recipe, self.epoch, step / self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        return rate


class Tally:
    """Loss, accuracy and balanced accuracy over the batches of an epoch."""

    def __init__(self, classes: int) -> None:
        self.loss, self.right, self.seen = 0.0, torch.zeros(classes), torch.zeros(classes)

    def add(self, loss: float, logits: Tensor, targets: Tensor) -> None:
        self.loss += loss * len(targets)
        self.seen += torch.bincount(targets, minlength=len(self.seen))
        self.right += torch.bincount(targets[logits.argmax(1) == targets], minlength=len(self.seen))

    def result(self) -> dict[str, float]:
        count, present = float(self.seen.sum()), self.seen > 0
        return {
            "loss": self.loss / count,
            "accuracy": float(self.right.sum()) / count,
            "balanced_accuracy": float((self.right[present] / self.seen[present]).mean()),
        }


def learning_rate(recipe: Recipe, epoch: int, part: float) -> float:
    """The head's rate after `epoch` whole epochs and `part` (0 to 1) of the next."""
    if recipe.schedule == "step":
        return recipe.learning_rate * recipe.gamma ** (epoch // recipe.step_size)
    done = (epoch + part) / recipe.epochs
    if done < recipe.warmup:
        return recipe.learning_rate * max(done / recipe.warmup, 0.01)
    return recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - recipe.warmup) / (1 - recipe.warmup)))


def mix_style(features: Tensor, rng: np.random.Generator) -> Tensor:
    """Features (b, c, h, w), each slice's channel means and deviations mixed with another's.

    MixStyle of Zhou et al. 2021 (ICLR, algorithm 1, random shuffle), Beta(0.1, 0.1).
    """
    mean, std = features.mean((2, 3), keepdim=True), features.std((2, 3), keepdim=True) + 1e-5
    mean, std = mean.detach(), std.detach()
    other = torch.from_numpy(rng.permutation(len(features)))
    share = torch.from_numpy(rng.beta(0.1, 0.1, (len(features), 1, 1, 1))).to(features.dtype)
    mixed_std = share * std + (1 - share) * std[other]
    return (features - mean) / std * mixed_std + share * mean + (1 - share) * mean[other]


def predict_logits(model: Classifier, pictures: np.ndarray, fast: bool = False) -> np.ndarray:
    """(n, size, size) -> logits (n, classes) float32; `fast` as `in_precision` has it, else in full precision."""
    return _predict(model, pictures, model, fast)


def predict_features(model: Classifier, pictures: np.ndarray, fast: bool = False) -> np.ndarray:
    """(n, size, size) -> the pooled features (n, channels) float32 that the head reads."""
    return _predict(model, pictures, lambda images: model.features(model.normalise(images)).mean((2, 3)), fast)


def predict_context(model: Classifier, pictures: np.ndarray) -> np.ndarray:
    """(n, size, size) -> (n, d) float32, what core.gate looks at."""
    return _predict(model, pictures, model.context, fast=False)


def _predict(model: Classifier, pictures: np.ndarray, read: Callable[[Tensor], Tensor], fast: bool) -> np.ndarray:
    model.eval()
    if fast:
        model.to(memory_format=torch.channels_last)
    with torch.inference_mode(), in_precision(fast):
        parts = [
            read(torch.from_numpy(pictures[part][:, None]).float()).float()
            for part in batches_of(np.arange(len(pictures)))
        ]
    return torch.cat(parts).numpy()


def in_precision(fast: bool) -> contextlib.AbstractContextManager:
    """Inside, layers compute in bfloat16 where `fast` is wished and the processor multiplies that itself."""
    return torch.autocast("cpu", torch.bfloat16, enabled=fast and _has_bfloat16())


def batches_of(indices: np.ndarray) -> list[np.ndarray]:
    return np.array_split(indices, max(1, math.ceil(len(indices) / EVALUATION_BATCH)))


def _draw(data: LabelledViews, balance: str, rng: np.random.Generator) -> np.ndarray:
    """The rows of one epoch, as many as there are for training, in random order."""
    rows = data.train
    if balance == "none":
        return rng.permutation(rows)
    strata = data.targets[rows] * (data.sources.max() + 1) + data.sources[rows]
    size = np.bincount(strata)[strata]
    weight = 1 / np.sqrt(size) if balance == "class_source" else np.ones(len(rows))
    share = weight / np.bincount(data.targets[rows], weights=weight)[data.targets[rows]]
    return rows[_systematic(share / share.sum() * len(rows), rng)]


def _draw_lesions(
    data: LabelledViews, order: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rows `order` with healthy ones mixed in, a share of the diseased ones; what to draw into each, or "".

    Sources of the healthy slices come by the root of their size. Nothing is added where no class is named
    "normal" or none of its slices has a lung field.
    """
    healthy = np.array(
        [row for row in data.train if data.labels[data.targets[row]] == NORMAL and _has_lungs(data, row)], dtype=int
    )
    labels = [data.labels[target] for target in data.targets[order]]
    added = [label for label in labels if can_draw(label) and rng.random() < share] if len(healthy) else []
    weight = 1 / np.sqrt(np.bincount(data.sources[healthy])[data.sources[healthy]])
    rows = rng.choice(healthy, len(added), p=weight / weight.sum()) if added else healthy[:0]
    mixed = rng.permutation(len(order) + len(added))
    drawn = np.array([""] * len(order) + added, dtype=object)
    return np.concatenate([order, rows])[mixed], drawn[mixed]


def _has_lungs(data: LabelledViews, row: int) -> bool:
    return data.views.wide[row].lungs is not None


def _systematic(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Indices drawn so that each comes its expected number of times, rounded up or down (systematic sampling)."""
    order = rng.permutation(len(expected))
    ends = np.cumsum(expected[order])
    points = rng.random() + np.arange(len(expected))
    return rng.permutation(order[np.minimum(np.searchsorted(ends, points), len(expected) - 1)])


def _optimizer(model: Classifier, recipe: Recipe) -> torch.optim.Optimizer:
    """Parameter groups: backbone and head, each with and without weight decay (none on norms and biases)."""
    groups = []
    for module, factor in ((model.features, recipe.backbone_factor), (model.head, 1.0)):
        free = [p for p in module.parameters() if p.requires_grad]
        for decay in (True, False):
            chosen = [p for p in free if (p.ndim > 1) == decay]
            groups.append(
                {"params": chosen, "factor": factor, "weight_decay": recipe.weight_decay if decay else 0.0}
            )
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum)
    return torch.optim.AdamW(groups, lr=recipe.learning_rate)


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself; emulated, it is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _copied(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in weights.items()}


def _mix(seed: int, epoch: int) -> int:
    """One generator seed of two numbers."""
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1)[0])
