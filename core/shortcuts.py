"""How much of a run's accuracy could come from something else than the lungs: its folds' networks, parts hidden.

Every picture is shown to the network of the grouped folds that has not seen its group: whole, without its lungs,
its frame alone, its lungs alone. What the network then calls says what it uses. A linear probe, trained anew on
the features of the same altered pictures, says what could be used, at least (the idea of Maguolo and Nanni 2021,
Information Fusion 76:1, and DeGrave, Janizek and Lee 2021, Nature Machine Intelligence 3:610, who hide lungs in
training). A class that can be told without the lungs may not have been learned from disease.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from core import crossval, intervals, metrics
from core.card import write_card
from core.images import read_slices
from core.preprocess import lung_hull, lungs_in, prepare
from core.runs import Run, load_run, write_json

if TYPE_CHECKING:
    import pandas as pd

KEY = "shortcuts"
FRAME = 0.1
"""Width of the frame that is left, as a share of the picture's side."""

HIDDEN = 0.1
"""Share of the picture that the occlusion check hides."""

GREY = 236
"""What takes the place of a hidden part: soft tissue, as the pipeline `lung` shows it."""

STRENGTH = 0.05
"""Inverse strength of the probes' L2 penalty (scikit-learn's C); chosen once, not tuned."""

WORDS = {
    "whole": "the whole picture",
    "without_lungs": "without the lungs (their convex hull hidden)",
    "lungs": "the lungs alone (all beyond their convex hull hidden)",
    "frame": f"the frame alone, {100 * FRAME:.0f} % of the side",
    "numbers": "no picture: its size, proportions and grey levels",
}
KINDS = ("network", "probe")
Tell = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Prepared slices (n, s, s) uint8, masks of their lungs alike, and (n, k) numbers about the files."""

    plain: np.ndarray
    lungs: np.ndarray
    numbers: np.ndarray


def measure(run: str | Path | None, folders: Sequence[Path], tell: Tell = lambda done, of: None) -> dict[str, Any]:
    """The shortcut meter of a run, as `keep` writes it; `tell` hears how many folds are done.

    {"views": {name: {"words", "network", "probe"}} balanced accuracies with intervals, no network for "numbers";
    "heat": [{"true", "called", "inside", "area"}] by cell of the matrix: share of the called class's heat that lies
    in the lungs, and of the picture that they are; "occlusion": {"warmest", "other"}: mean loss of the called
    class's probability where a tenth of the picture is hidden; "chance", "slices", "groups", "sentence",
    "without_lung_field": slices that are left out because nothing could be hidden}.
    Raises RunError where the networks of the run's folds were not kept, DataError for other data.
    """
    loaded = load_run(run)
    table = crossval.run_table(loaded, folders)
    pictures = _pictures(loaded, table)
    labels = loaded.labels
    targets = table["label"].map(list(labels).index).to_numpy()
    shown = {name: _altered(pictures, name) for name in WORDS if name != "numbers"}
    called = {name: np.zeros((len(table), len(labels))) for name in shown}
    probed = {name: np.zeros((len(table), len(labels))) for name in WORDS}
    heat = np.zeros((len(table), 2))
    lost = np.zeros((len(table), 2))
    folds = list(crossval.fold_networks(loaded, table))
    for done, fold in enumerate(folds):
        for name, altered in shown.items():
            features, logits = _features(fold.model, altered)
            called[name][fold.left_out] = _softmax(logits[fold.left_out] / loaded.config["temperature"])
            probed[name][fold.left_out] = _probe(features, targets, fold, len(labels))
        probed["numbers"][fold.left_out] = _probe(pictures.numbers, targets, fold, len(labels))
        out = fold.left_out
        maps = _heat(fold.model, pictures.plain[out], called["whole"][out].argmax(axis=1))
        heat[out] = _inside(maps, pictures.lungs[out])
        lost[out] = _occluded(fold.model, pictures.plain[out], maps, called["whole"][out], loaded)
        tell(done + 1, len(folds))
    own = pictures.lungs.any(axis=(1, 2))
    groups = table["group"][own]

    def balanced(probabilities: np.ndarray) -> dict[str, Any]:
        found = metrics.evaluate(probabilities[own], targets[own], groups.tolist(), labels)
        return found.balanced_accuracy.to_json()

    views = {
        name: {
            "words": words,
            "network": balanced(called[name]) if name in called else None,
            "probe": balanced(probed[name]),
        }
        for name, words in WORDS.items()
    }
    found = {
        "slices": int(own.sum()),
        "groups": int(groups.nunique()),
        "without_lung_field": int((~own).sum()),
        "chance": 1 / len(labels),
        "views": views,
        "heat": _by_cell(heat[own], targets[own], called["whole"][own].argmax(axis=1), groups, labels),
        "occlusion": {name: _mean(lost[own, place], groups) for place, name in enumerate(("warmest", "other"))},
    }
    return found | {"sentence": sentence(found)}


def keep(run: str | Path | None, found: dict[str, Any]) -> None:
    """Put a measurement into the run: KEY of metrics.json, and the model card."""
    loaded = load_run(run)
    write_json(loaded.path / "metrics.json", loaded.metrics | {KEY: found})
    write_card(loaded.path)


def sentence(found: dict[str, Any]) -> str:
    """How much could be told from something other than the lungs, in one plain sentence."""
    whole, without = (found["views"][name]["probe"] for name in ("whole", "without_lungs"))
    share = (without["value"] - found["chance"]) / max(whole["value"] - found["chance"], 1e-9)
    return (
        f"At least {100 * min(max(share, 0), 1):.0f} % of what can be told better than chance can be told without "
        f"the lungs: with them hidden, a linear probe reaches balanced accuracy {without['value']:.2f} "
        f"({_interval(without)}), with the whole picture {whole['value']:.2f} ({_interval(whole)}); chance is "
        f"{found['chance']:.2f}."
    )


def report(found: dict[str, Any]) -> str:
    """The measurement in lines of text."""
    lines = [found["sentence"], f"{found['slices']} slices, {found['groups']} groups; balanced accuracy:"]
    for view in found["views"].values():
        told = [f"{kind} {view[kind]['value']:.2f} ({_interval(view[kind])})" for kind in KINDS if view[kind]]
        lines.append(f"  {view['words']}: {', '.join(told)}")
    for name, words in (("warmest", "the warmest tenth"), ("other", "as large a part elsewhere")):
        one = found["occlusion"][name]
        lines.append(
            f"hiding {words} of the picture: called probability lower by {one['value']:.2f} ({_interval(one)})"
        )
    return "\n".join(lines)


def _interval(one: dict[str, Any]) -> str:
    return "no interval" if one["low"] is None else f"{one['low']:.2f} to {one['high']:.2f}"


def _pictures(run: Run, table: "pd.DataFrame") -> Pictures:
    from concurrent.futures import ThreadPoolExecutor

    config = crossval.recipe_of(run).preprocess

    def read(path: str) -> tuple[np.ndarray, np.ndarray, list[float]]:
        (slice_,) = read_slices(Path(path).read_bytes(), path)
        prepared = prepare(slice_, config)
        lungs = lungs_in(slice_, prepared)
        pixels = slice_.pixels.astype(np.float32)
        height, width = pixels.shape
        levels = [pixels.mean(), pixels.std(), *np.percentile(pixels, (1, 5, 25, 50, 75, 95, 99))]
        numbers = [np.log(height), np.log(width), width / height, *map(float, levels)]
        return prepared.image, np.zeros_like(prepared.image) if lungs is None else lungs, numbers

    with ThreadPoolExecutor() as pool:
        plain, lungs, numbers = zip(*pool.map(read, table["path"]), strict=True)
    return Pictures(np.stack(plain), np.stack(lungs), np.array(numbers, np.float32))


def _altered(pictures: Pictures, name: str) -> np.ndarray:
    """(n, s, s) uint8, parts of each picture hidden behind GREY."""
    if name == "whole":
        return pictures.plain
    size = pictures.plain.shape[1]
    if name == "frame":
        edge = max(1, round(FRAME * size))
        hidden = np.zeros((size, size), bool)
        hidden[edge:-edge, edge:-edge] = True
        return np.where(hidden, np.uint8(GREY), pictures.plain)
    hulls = np.stack([lung_hull(mask) for mask in pictures.lungs])
    return np.where(hulls if name == "without_lungs" else ~hulls, np.uint8(GREY), pictures.plain)


def _features(model, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pooled features (n, channels) and logits (n, classes)."""
    import torch

    from core.fit import predict_features

    features = predict_features(model, pictures, fast=True)
    with torch.inference_mode():
        return features, model.head(torch.from_numpy(features)).numpy()


def _probe(features: np.ndarray, targets: np.ndarray, fold: crossval.FoldNetwork, classes: int) -> np.ndarray:
    """Probabilities (left out, classes) of a logistic regression on the slices that the fold learned from."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, class_weight="balanced", max_iter=500))
    probe.fit(features[fold.learned], targets[fold.learned])
    found = np.zeros((len(fold.left_out), classes))
    found[:, probe.classes_] = probe.predict_proba(features[fold.left_out])
    return found


def _heat(model, pictures: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """(n, s, s) float32: what spoke for each slice's class, 0 where nothing did."""
    import torch

    from core.fit import batches_of
    from core.model import ClassifierWithCam

    with_cam = ClassifierWithCam(model).eval()
    size, found = pictures.shape[1], []
    for part in batches_of(np.arange(len(pictures))):
        with torch.inference_mode():
            cams = with_cam(torch.from_numpy(pictures[part][:, None]).float())[1].numpy()
        own = np.maximum(cams[np.arange(len(part)), classes[part]], 0)
        found += [np.maximum(cv2.resize(cam, (size, size), interpolation=cv2.INTER_CUBIC), 0) for cam in own]
    return np.stack(found)


def _inside(heat: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """(n, 2): the share of the heat in the lungs, NaN without heat or lungs, and their share of the picture."""
    total, area = heat.sum(axis=(1, 2)), lungs.mean(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        inside = (heat * lungs).sum(axis=(1, 2)) / total
    return np.stack([np.where((total > 0) & (area > 0), inside, np.nan), area], axis=1)


def _occluded(model, pictures: np.ndarray, heat: np.ndarray, whole: np.ndarray, run: Run) -> np.ndarray:
    """(n, 2): loss of the called class's probability, the warmest HIDDEN of the picture hidden, and another part.

    The other part is as large and as coherent: the warmest of another slice's map, turned by half a circle.
    """
    other = np.roll(heat, 1, axis=0)[:, ::-1, ::-1]
    rows, calls = np.arange(len(pictures)), whole.argmax(axis=1)
    losses = []
    for maps in (heat, other):
        logits = _features(model, np.where(_warmest(maps), np.uint8(GREY), pictures))[1]
        losses.append(whole[rows, calls] - _softmax(logits / run.config["temperature"])[rows, calls])
    return np.stack(losses, axis=1)


def _warmest(maps: np.ndarray) -> np.ndarray:
    """Bool (n, s, s): the warmest HIDDEN of each map, as many pixels in each; of equal ones, the upper ones."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")[:, : round(HIDDEN * flat.shape[1])]
    hidden = np.zeros(flat.shape, bool)
    np.put_along_axis(hidden, order, True, axis=1)
    return hidden.reshape(maps.shape)


def _by_cell(heat, targets, calls, groups, labels) -> list[dict[str, Any]]:
    cells = []
    for true, true_label in enumerate(labels):
        for called, called_label in enumerate(labels):
            own = (targets == true) & (calls == called) & np.isfinite(heat[:, 0])
            if own.any():
                shares = (_mean(heat[own, place], groups[own], share=True) for place in (0, 1))
                cells.append(
                    {"true": true_label, "called": called_label}
                    | dict(zip(("inside", "area"), shares, strict=True))
                )
    return cells


def _mean(values: np.ndarray, groups: "pd.Series", share: bool = False) -> dict[str, Any]:
    """A mean over slices with its 95 % interval by groups, and how many slices; a `share` stays within 0 and 1.

    Of shares as core.intervals has it; of other numbers by Student's quantile of the ratio of sums over groups.
    """
    from scipy.stats import t

    codes = np.unique(groups.to_numpy().astype(str), return_inverse=True)[1]
    sums, counts = np.bincount(codes, values), np.bincount(codes)
    value, influence = intervals.ratio(sums, counts)
    value, n = float(value), len(counts)
    if share:
        low, high = (float(end) for end in intervals.interval(value, influence, np.asarray(n)))
    elif n < 2:
        low = high = np.nan
    else:
        reach = float(t.ppf(0.975, n - 1) * np.sqrt((influence**2).sum() * n / (n - 1)))
        low, high = value - reach, value + reach
    return metrics.estimate(value, low, high, n).to_json() | {"slices": len(values)}


def _softmax(logits: np.ndarray) -> np.ndarray:
    from core.predictor import softmax

    return softmax(logits)
