"""From slices to predictions with a finished run; numpy, OpenCV and ONNX Runtime, never torch."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core import gate
from core.engine import CONTEXT, FEATURES, INPUT, OUTPUTS, cores, open_session
from core.errors import ConfigError, RunError
from core.preprocess import Box, Prepared, PreprocessConfig, prepare
from core.recipe import recipe_from_json
from core.runs import ENSEMBLE, Run, load_run
from core.slices import Slice

BATCH = 2
"""Slices given to the network at once. More are no faster on a processor (33 ms a slice with 2, 37 with 16, on two
cores), and ONNX Runtime keeps the memory of the largest batch: 16 take 160 MB more than 2."""

LARGE_BATCH = 64
"""Slices given to it at once of a whole table, which no visitor waits for."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a run says of one slice.

    label          the class of the largest probability; None where the slice was refused
    probabilities  class -> calibrated probability; they sum to 1; empty where the slice was refused
    cams           (classes, h', w') class activation maps: what spoke for (> 0) and against each class
    box            the part of the slice, in its pixels, that the network saw and `cams` covers
    shape          (height, width) of the slice
    distance       from the slices that the run learned from (core.gate); None where the run has no gate
    refused        why the slice was not answered, in a sentence; None where it was
    members        of an ensemble, what each member says; it has no `cams` of its own then
    """

    name: str
    frame: int | None
    label: str | None
    probabilities: dict[str, float]
    run: str
    warnings: tuple[str, ...]
    cams: np.ndarray
    box: Box
    shape: tuple[int, int]
    distance: float | None = None
    refused: str | None = None
    members: tuple["Prediction", ...] = ()

    def heatmap(self, label: str | None = None) -> np.ndarray:
        """(height, width) float32, 0 to 1: what spoke for a class (the predicted one for None), pixel by pixel.

        1 is the strongest evidence for any class in this slice, so maps of several classes compare;
        0 lies where nothing spoke for the class and outside what the network saw, and all over a refused slice.
        Of an ensemble, the plain mean of its members' maps: fainter where they looked elsewhere.
        """
        if self.refused:
            return np.zeros(self.shape, np.float32)
        if self.members:
            return np.mean([member.heatmap(label or self.label) for member in self.members], axis=0)
        index = list(self.probabilities).index(label or self.label)
        positive = np.maximum(self.cams, 0)
        scaled = positive[index] / max(float(positive.max()), 1e-6)
        box = self.box
        inside = cv2.resize(scaled.astype(np.float32), (box.width, box.height), interpolation=cv2.INTER_CUBIC)
        whole = np.zeros(self.shape, np.float32)
        whole[box.top : box.top + box.height, box.left : box.left + box.width] = np.clip(inside, 0, 1)
        return whole


class Predictor:
    """A run, loaded and ready; `predict` may be called from several threads at once."""

    def __init__(self, run: Run, threads: int | None = None) -> None:
        model = run.path / "model.onnx"
        if not model.is_file():
            raise RunError(run.name, "no model.onnx", "a finished run")
        try:
            self._session = open_session(model.read_bytes(), threads)
        except (ValueError, OSError) as error:
            found = f"a damaged file ({error})"
            raise RunError(f"{run.name}: model.onnx", found, "the file as exported") from error
        self._calls = threading.BoundedSemaphore(max(1, cores() // (threads or cores() or 1)))
        self.run = run.name
        self.labels = run.labels
        self.gate = gate.load(run.path)
        if self.gate and CONTEXT not in [item.name for item in self._session.get_outputs()]:
            raise RunError(f"{run.name}: {gate.FILE}", "a gate", "none, or a model.onnx that was exported with it")
        try:
            self.preprocess = recipe_from_json(run.config["recipe"], f"{run.name}: config.json").preprocess
        except ConfigError as error:
            raise RunError(error.name, error.found, error.expected) from error
        self.temperature = run.config.get("temperature", 1.0)
        size, side = self.preprocess.size, self._session.get_inputs()[0].shape[-1]
        if size != side:
            raise RunError(f"{run.name}: config.json", f"pictures of {size} pixels", f"{side}, as in model.onnx")
        classes = self._session.get_outputs()[0].shape[1]
        if len(self.labels) != classes:
            raise RunError(f"{run.name}: config.json", f"{len(self.labels)} labels", f"{classes}, as in model.onnx")

    @classmethod
    def load(cls, run: str | Path | None = None, threads: int | None = None) -> "Predictor":
        """The predictor of a run (a name, a folder, or None for the demo run). Raises RunError."""
        loaded = load_run(run)
        if (loaded.path / ENSEMBLE).is_file():
            from core.ensemble import Ensemble

            return Ensemble(loaded, threads)
        return cls(loaded, threads)

    def predict(self, slices: Sequence[Slice], prepared: Sequence[Prepared] | None = None) -> list[Prediction]:
        """One prediction a slice, in their order; `prepared` as by `prepare`, where that is done already."""
        if prepared is None:
            prepared = [self.prepare(slice_) for slice_ in slices]
        found = []
        for start in range(0, len(slices), BATCH):
            batch = slice(start, start + BATCH)
            found += self._predict_batch(slices[batch], prepared[batch])
        return found

    def prepare(self, slice_: Slice) -> Prepared:
        """What the network sees of a slice, by the run's own preprocessing."""
        return prepare(slice_, self.preprocess)

    def logits(self, pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Prepared pictures (b, size, size) uint8 -> logits (b, classes) and maps (b, classes, h', w')."""
        logits, cams = self._run(OUTPUTS, pictures[:, None])
        return logits, cams

    def logits_of(self, read: Callable[[PreprocessConfig], np.ndarray]) -> np.ndarray:
        """(n, classes) logits of slices; `read` gives their pictures (n, size, size) by a preprocessing."""
        pictures = read(self.preprocess)
        parts = [self.logits(pictures[i : i + LARGE_BATCH])[0] for i in range(0, len(pictures), LARGE_BATCH)]
        return np.concatenate(parts)

    def features(self, items: Sequence[Slice | Prepared | np.ndarray]) -> np.ndarray:
        """(n, d) float32: the pooled features that the network's head reads.

        Of slices, of what `prepare` made of them, or of its pictures, (size, size) uint8 each. Raises RunError
        where the run's network was exported without features.
        """
        sizes = {item.name: item.shape[1] for item in self._session.get_outputs()}
        if FEATURES not in sizes:
            raise RunError(f"{self.run}: model.onnx", "a network without features", "one exported with them")
        found = [np.zeros((0, sizes[FEATURES]), np.float32)]
        for start in range(0, len(items), BATCH):
            pictures = np.stack([self._picture(item) for item in items[start : start + BATCH]])
            found += self._run([FEATURES], pictures[:, None])
        return np.concatenate(found)

    def _run(self, names: Sequence[str], images: np.ndarray) -> list[np.ndarray]:
        """Outputs of the engine; as many calls at once as fill the cores: more are no faster, and take memory."""
        with self._calls:
            return self._session.run(names, {INPUT: images.astype(np.float32)})

    def _picture(self, item: Slice | Prepared | np.ndarray) -> np.ndarray:
        if isinstance(item, Slice):
            item = self.prepare(item)
        return item.image if isinstance(item, Prepared) else item

    def _predict_batch(self, slices: Sequence[Slice], prepared: Sequence[Prepared]) -> list[Prediction]:
        pictures = np.stack([item.image for item in prepared])[:, None]
        names = [*OUTPUTS, CONTEXT] if self.gate else OUTPUTS
        logits, cams, *context = self._run(names, pictures)
        probabilities = softmax(logits / self.temperature)
        distances = self.gate.distance(context[0]) if self.gate else [None] * len(slices)
        return [
            self._prediction(*parts) for parts in zip(slices, prepared, probabilities, cams, distances, strict=True)
        ]

    def _prediction(
        self, slice_: Slice, item: Prepared, p: np.ndarray, cam: np.ndarray, distance: float | None
    ) -> Prediction:
        refused = gate.refusal(self.gate, slice_, item, distance) if self.gate else None
        return Prediction(
            name=slice_.name,
            frame=slice_.frame,
            label=None if refused else self.labels[int(p.argmax())],
            probabilities={} if refused else dict(zip(self.labels, map(float, p), strict=True)),
            run=self.run,
            warnings=slice_.warnings + (() if refused else item.warnings),
            cams=cam,
            box=item.box,
            shape=slice_.pixels.shape,
            distance=None if distance is None else float(distance),
            refused=refused,
        )


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, classes) -> probabilities in float64, each row summing to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
