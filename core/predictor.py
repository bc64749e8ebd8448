"""From slices to predictions with a finished run; numpy, OpenCV and ONNX Runtime, never torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from core.engine import INPUT, OUTPUTS, open_session
from core.errors import ConfigError, RunError
from core.preprocess import Box, Prepared, prepare
from core.recipe import recipe_from_json
from core.runs import Run, load_run
from core.slices import Slice

BATCH = 16


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a run says of one slice.

    label          the class of the largest probability
    probabilities  class -> calibrated probability; they sum to 1
    cams           (classes, h', w') class activation maps: what spoke for (> 0) and against each class
    box            the part of the slice, in its pixels, that the network saw and `cams` covers
    shape          (height, width) of the slice
    """

    name: str
    frame: int | None
    label: str
    probabilities: dict[str, float]
    run: str
    warnings: tuple[str, ...]
    cams: np.ndarray
    box: Box
    shape: tuple[int, int]

    def heatmap(self, label: str | None = None) -> np.ndarray:
        """(height, width) float32, 0 to 1: what spoke for a class (the predicted one for None), pixel by pixel.

        1 is the strongest evidence for any class in this slice, so maps of several classes compare;
        0 lies where nothing spoke for the class and outside what the network saw.
        """
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
        self.run = run.name
        self.labels = run.labels
        try:
            self.preprocess = recipe_from_json(run.config["recipe"], f"{run.name}: config.json").preprocess
        except ConfigError as error:
            raise RunError(error.name, error.found, error.expected) from error
        self.temperature = run.config.get("temperature", 1.0)
        if not isinstance(self.temperature, (int, float)) or self.temperature <= 0:
            raise RunError(f"{run.name}: config.json", f"temperature {self.temperature!r}", "a number above 0")
        classes = self._session.get_outputs()[0].shape[1]
        if len(self.labels) != classes:
            raise RunError(f"{run.name}: config.json", f"{len(self.labels)} labels", f"{classes}, as in model.onnx")

    @classmethod
    def load(cls, run: str | Path | None = None, threads: int | None = None) -> "Predictor":
        """The predictor of a run (a name, a folder, or None for the demo run). Raises RunError."""
        return cls(load_run(run), threads)

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
        logits, cams = self._session.run(OUTPUTS, {INPUT: pictures[:, None].astype(np.float32)})
        return logits, cams

    def _predict_batch(self, slices: Sequence[Slice], prepared: Sequence[Prepared]) -> list[Prediction]:
        logits, cams = self.logits(np.stack([item.image for item in prepared]))
        probabilities = softmax(logits / self.temperature)
        return [
            Prediction(
                name=slice_.name,
                frame=slice_.frame,
                label=self.labels[int(p.argmax())],
                probabilities=dict(zip(self.labels, map(float, p), strict=True)),
                run=self.run,
                warnings=slice_.warnings + item.warnings,
                cams=cam,
                box=item.box,
                shape=slice_.pixels.shape,
            )
            for slice_, item, p, cam in zip(slices, prepared, probabilities, cams, strict=True)
        ]


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, classes) -> probabilities in float64, each row summing to 1."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
