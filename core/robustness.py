"""How a run's accuracy falls as pictures get worse, or are changed against it: its folds' networks, step by step.

Each change is made to what the network sees, the prepared picture, in steps, and the balanced accuracy measured on
slices whose group the network has not seen. Two changes are made against the network itself: one step along the
sign of the loss's gradient (FGSM; Goodfellow, Shlens and Szegedy 2015, ICLR, section 4), and PGD_STEPS smaller ones
that stay as near (Madry et al. 2018, ICLR, section 2.1); their size is the most that a grey level may change.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from core import crossval, metrics
from core.card import write_card
from core.errors import ConfigError
from core.predictor import softmax
from core.runs import load_run, write_json
from core.views import load_views

if TYPE_CHECKING:
    from core.model import Classifier

KEY = "robustness"
PGD_STEPS = 5
SAMPLE = 300
"""Slices that each step is measured on unless asked for more."""

STEPS: dict[str, tuple[str, tuple[float, ...]]] = {
    "noise": ("noise, deviation in grey levels", (0, 5, 10, 20, 40)),
    "blur": ("blur, deviation in pixels", (0, 1, 2, 4)),
    "resolution": ("resolution, times coarser", (1, 2, 3, 5)),
    "jpeg": ("JPEG, 100 less the quality", (0, 25, 50, 75, 90)),
    "rotation": ("rotation, degrees", (0, 5, 10, 20, 45)),
    "window": ("window, grey levels brighter", (0, 15, 30, 60)),
    "fgsm": ("one step against the network (FGSM), grey levels", (0, 0.1, 0.25, 0.5, 1)),
    "pgd": (f"{PGD_STEPS} steps against the network (PGD), grey levels", (0, 0.1, 0.25, 0.5, 1)),
}
"""Kind -> what its number says, with its unit, and the steps; the first step changes nothing."""

AGAINST = ("fgsm", "pgd")
Tell = Callable[[int, int], None]


def measure(
    run: str | Path | None, folders: Sequence[Path], sample: int = SAMPLE, tell: Tell = lambda done, of: None
) -> dict[str, Any]:
    """Balanced accuracy by kind and step, as `keep` writes it; `tell` hears how many folds are done.

    {"slices", "groups", "kinds": {kind: {"words", "steps": [...], "balanced_accuracy": [estimates]}}} of `sample`
    slices drawn over the classes alike, the same for each step. Raises RunError where the networks of the run's
    folds were not kept, DataError for other data, ConfigError for a sample that is too small.
    """
    from core.fit import predict_logits

    loaded = load_run(run)
    if sample < len(loaded.labels):
        raise ConfigError("sample", str(sample), f"{len(loaded.labels)} slices or more, one a class")
    table = crossval.run_table(loaded, folders)
    labels, temperature = loaded.labels, loaded.config["temperature"]
    targets = table["label"].map(list(labels).index).to_numpy()
    rows = sampled(targets, sample)
    plain = load_views(table.iloc[rows], crossval.recipe_of(loaded).preprocess, random=False).plain
    found = {kind: np.zeros((len(steps), len(rows), len(labels))) for kind, (_, steps) in STEPS.items()}
    folds = list(crossval.fold_networks(loaded, table))
    for done, fold in enumerate(folds):
        own = np.flatnonzero(np.isin(rows, fold.left_out))
        for kind, (_, steps) in STEPS.items():
            for place, step in enumerate(steps if len(own) else ()):
                worse = changed(kind, step, plain[own], fold.model, targets[rows[own]], fast=True)
                found[kind][place, own] = softmax(predict_logits(fold.model, worse, fast=True) / temperature)
        tell(done + 1, len(folds))
    groups = table["group"].iloc[rows].tolist()

    def balanced(probabilities: np.ndarray) -> dict[str, Any]:
        return metrics.evaluate(probabilities, targets[rows], groups, labels).balanced_accuracy.to_json()

    kinds = {
        kind: {"words": words, "steps": list(steps), "balanced_accuracy": [balanced(one) for one in found[kind]]}
        for kind, (words, steps) in STEPS.items()
    }
    return {"slices": len(rows), "groups": len(set(groups)), "kinds": kinds}


def keep(run: str | Path | None, found: dict[str, Any]) -> None:
    """Put a measurement into the run: KEY of metrics.json, and the model card."""
    loaded = load_run(run)
    write_json(loaded.path / "metrics.json", loaded.metrics | {KEY: found})
    write_card(loaded.path)


def changed(
    kind: str,
    step: float,
    pictures: np.ndarray,
    model: "Classifier | None" = None,
    targets: np.ndarray | None = None,
    fast: bool = False,
) -> np.ndarray:
    """Pictures (n, s, s) after one step of STEPS: uint8, and float32 where the change is against `model`.

    Deterministic. `model` and the true classes `targets` (n,) are needed for the kinds of AGAINST alone; `fast`
    takes the gradients of these in less precision (core.fit.in_precision).
    """
    if step == STEPS[kind][1][0]:
        return pictures
    if kind in AGAINST:
        return _against(model, pictures, targets, step, PGD_STEPS if kind == "pgd" else 1, fast)
    return np.stack([_changed(kind, step, picture, place) for place, picture in enumerate(pictures)])


def _changed(kind: str, step: float, picture: np.ndarray, place: int) -> np.ndarray:
    height, width = picture.shape
    if kind == "noise":
        picture = picture + np.random.default_rng(place).normal(0, step, picture.shape)
    elif kind == "blur":
        picture = cv2.GaussianBlur(picture, (0, 0), step)
    elif kind == "resolution":
        small = (round(width / step), round(height / step))
        coarse = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    elif kind == "jpeg":
        coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, round(100 - step)])[1]
        picture = cv2.imdecode(coded, cv2.IMREAD_GRAYSCALE)
    elif kind == "rotation":
        turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), step, 1.0)
        picture = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    else:
        picture = picture.astype(np.float32) + step
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _against(
    model: "Classifier", pictures: np.ndarray, targets: np.ndarray, size: float, steps: int, fast: bool
) -> np.ndarray:
    """Pictures moved, by `size` grey levels at most, to where the loss of their true class is higher."""
    import torch
    from torch.nn import functional

    from core.depthwise import quicken
    from core.fit import batches_of, in_precision

    if fast:
        quicken(model)
    moved, reach = [], size if steps == 1 else 2.5 * size / steps
    for part in batches_of(np.arange(len(pictures))):
        start = torch.from_numpy(pictures[part][:, None]).float()
        truth, now = torch.from_numpy(targets[part]), start.clone()
        for _ in range(steps):
            now.requires_grad_(True)
            with in_precision(fast):
                logits = model(now)
            loss = functional.cross_entropy(logits.float(), truth, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, now)
            now = now.detach() + reach * gradient.sign()
            now = torch.clamp(torch.minimum(torch.maximum(now, start - size), start + size), 0, 255)
        moved.append(now[:, 0].numpy())
    return np.concatenate(moved)


def sampled(targets: np.ndarray, sample: int) -> np.ndarray:
    """Rows to measure on, ascending: as many of each class as `sample` allows, at random, the same each time."""
    rng, classes = np.random.default_rng(0), np.unique(targets)
    each = max(1, sample // len(classes))
    chosen = [rng.permutation(np.flatnonzero(targets == label))[:each] for label in classes]
    return np.sort(np.concatenate(chosen))
