"""Where a run goes wrong: its worst wrong answers on drawn phantoms, and counts of those on held-out slices.

failures.json of a run folder: numbers only. A phantom is told by its class and seed, from which it is drawn anew
wherever it is looked at; of real slices there is no picture, no file name and no group.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.card import write_card
from core.errors import ConfigError, RunError
from core.gate import share_of_groups
from core.labels import LABELS, NORMAL
from core.phantom import phantom
from core.predictor import Prediction, Predictor
from core.runs import FAILURES, Run, load_run, write_json
from core.scored import load_scored, schemes
from core.slices import LUNG_WINDOW, Slice, window

if TYPE_CHECKING:
    import pandas as pd

FIRST_SEED, COUNT = 1000, 100
"""The phantoms of each class: those of the kept test `phantoms` of the runs that ship."""

WORST = 4
"""Wrong answers of each class that are kept, by seed."""

HELD_OUT = ("source", "group")
"""Schemes whose slices the network that answers has not learned from."""

BINS = (0.5, 0.7, 0.9)
"""Ends of the bins of confidence, the probability of the called class."""

BATCH = 16

Tell = Callable[[int, int], None]


def drawn(label: str, seed: int) -> Slice:
    """The phantom of a class and seed as the pages and kept tests read it: in the lung window, display grey."""
    image = phantom(label, seed).slice
    return Slice(window(image.pixels, *LUNG_WINDOW), "grey", image.name)


def measure(
    run: str | Path | None, count: int = COUNT, first_seed: int = FIRST_SEED, tell: Tell | None = None
) -> dict[str, Any]:
    """What `failures.json` holds: `model_sha256`, `phantoms` and, by scheme, `held_out`.

    `phantoms` are `count` of each class from `first_seed` on, shown to the run's own network, its gate before it;
    `tell(done, total)` after each batch. `held_out` comes from the predictions that the run kept.
    Raises RunError for a run without a network or with other classes, ConfigError for fewer than one phantom.
    """
    loaded = load_run(run)
    if count < 1:
        raise ConfigError("count", str(count), "1 or more phantoms of each class")
    unknown = sorted(set(loaded.labels).difference(LABELS))
    if unknown:
        raise RunError(
            f"{loaded.name}: labels", repr(unknown[0]), f"classes that can be drawn: {', '.join(LABELS)}"
        )
    predictor = Predictor.load(loaded.path)
    return {
        "model_sha256": model_sha256(loaded),
        "phantoms": _phantoms(predictor, count, first_seed, tell),
        "held_out": {name: held_out(loaded, name) for name in HELD_OUT if name in schemes(loaded)},
    }


def keep(run: str | Path | None, found: dict[str, Any]) -> None:
    """Put what was measured into the run: failures.json, and the model card."""
    loaded = load_run(run)
    write_json(loaded.path / FAILURES, found)
    write_card(loaded.path)


def model_sha256(run: Run) -> str:
    """Checksum of the network that a run answers with. RunError where it has none."""
    path = run.path / "model.onnx"
    if not path.is_file():
        raise RunError(run.name, "no model.onnx", "a finished run")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _phantoms(predictor: Predictor, count: int, first_seed: int, tell: Tell | None) -> dict[str, Any]:
    named = [(label, seed) for label in predictor.labels for seed in range(first_seed, first_seed + count)]
    answers: list[Prediction] = []
    for start in range(0, len(named), BATCH):
        answers += predictor.predict([drawn(*name) for name in named[start : start + BATCH]])
        if tell:
            tell(len(answers), len(named))
    classes, worst = {}, []
    for label in predictor.labels:
        of_class = [(seed, one) for (true, seed), one in zip(named, answers, strict=True) if true == label]
        classes[label] = _counted(label, [one for _, one in of_class], predictor.labels)
        wrong = [(seed, one) for seed, one in of_class if one.label not in (label, None)]
        wrong.sort(key=lambda pair: -max(pair[1].probabilities.values()))
        worst += [_kept(label, seed, one) for seed, one in wrong[:WORST]]
    return {"count": count, "first_seed": first_seed, "classes": classes, "worst": worst}


def _counted(label: str, answers: Sequence[Prediction], labels: Sequence[str]) -> dict[str, Any]:
    """Of one class: how many are refused, called each class, and wrong, the last of those answered."""
    answered = [one for one in answers if one.label]
    wrong = np.array([one.label != label for one in answered], bool)
    refused = np.array([one.label is None for one in answers], bool)
    return {
        "drawn": len(answers),
        "refused": share_of_groups(refused, range(len(answers))),
        "wrong": share_of_groups(wrong, range(len(answered))) if answered else None,
        "called": {called: sum(one.label == called for one in answered) for called in labels},
    }


def _kept(label: str, seed: int, one: Prediction) -> dict[str, Any]:
    probabilities = {called: round(value, 6) for called, value in one.probabilities.items()}
    return {"drawn": label, "seed": seed, "called": one.label, "probabilities": probabilities}


def held_out(run: Run, scheme: str) -> dict[str, Any]:
    """Wrong answers among the held-out slices of a scheme, as numbers: slices, groups and `rows`.

    A row is a source and true class: `wrong`, the share of its slices called another class, with its 95 %
    interval by groups; `called`, how many were called each; `confidence`, how many of the wrong ones lie in each
    bin of BINS; and `sure_and_healthy`, of a diseased class, how many were called healthy with 0.9 or more.
    """
    scored = load_scored(run, scheme)
    called = scored.probabilities.argmax(axis=1)
    table = scored.frame[["source", "label", "group"]].assign(
        called=[scored.labels[place] for place in called], confidence=scored.probabilities.max(axis=1)
    )
    rows = [
        _row(str(source), label, part, scored.labels)
        for source, of_source in table.groupby("source", sort=True)
        for label in scored.labels
        if len(part := of_source[of_source["label"] == label])
    ]
    return {"slices": scored.n_slices, "groups": scored.n_groups, "bins": list(BINS), "rows": rows}


def _row(source: str, label: str, part: "pd.DataFrame", labels: Sequence[str]) -> dict[str, Any]:
    wrong = (part["called"] != label).to_numpy()
    sure = part["confidence"].to_numpy()
    bins = np.bincount(np.digitize(sure[wrong], BINS), minlength=len(BINS) + 1)
    healthy = (part["called"] == NORMAL).to_numpy() & wrong & (sure >= BINS[-1])
    return {
        "source": source,
        "label": label,
        "groups": int(part["group"].nunique()),
        "wrong": share_of_groups(wrong, part["group"].tolist()),
        "called": {one: int((part["called"] == one).sum()) for one in labels},
        "confidence": bins.tolist(),
        "sure_and_healthy": int(healthy.sum()),
    }


def report(found: dict[str, Any]) -> str:
    """The counts in lines of text."""
    lines = []
    for label, one in found["phantoms"]["classes"].items():
        called = ", ".join(f"{count} {name}" for name, count in one["called"].items())
        refused = one["drawn"] - sum(one["called"].values())
        lines.append(f"drawn {label}: of {one['drawn']} called {called}; {refused} refused")
    for one in found["phantoms"]["worst"]:
        sure = one["probabilities"][one["called"]]
        lines.append(f"  phantom-{one['drawn']}-{one['seed']}: called {one['called']}, {sure:.2f}")
    for scheme, part in found["held_out"].items():
        wrong = sum(sum(row["confidence"]) for row in part["rows"])
        lines.append(f"held out by {scheme}: {wrong} of {part['slices']} slices called wrong")
    return "\n".join(lines)
