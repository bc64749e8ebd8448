"""A trained network -> ONNX, checked against the original on the way."""

import io
import logging
import warnings

import numpy as np
import torch

from core.engine import ALL_OUTPUTS, CAMS, INPUT, open_session
from core.errors import RunError
from core.model import Classifier, ClassifierWithCam

TOLERANCE = 1e-3
"""Largest difference of logits, pooled features or context that counts as the same network."""

USUAL = 100.0
"""Outputs beyond this have a tolerance that grows with the largest of them. In untrained networks, whose batch
norms know no statistics yet, they can reach millions, of which single precision holds no thousandths."""


def export_onnx(model: Classifier, size: int, pictures: np.ndarray) -> bytes:
    """The network as ONNX: `images` (b, 1, size, size) float32 grey in, ALL_OUTPUTS out.

    `pictures` (n, size, size) uint8 are run through both; RunError where they differ by TOLERANCE.
    """
    model = model.eval().float().to(memory_format=torch.contiguous_format)
    exported = ClassifierWithCam(model).eval()
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            exported,
            (torch.zeros(2, 1, size, size),),
            input_names=[INPUT],
            output_names=[*ALL_OUTPUTS],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    buffer = io.BytesIO()
    program.save(buffer)
    difference = _difference(exported, buffer.getvalue(), pictures)
    if not difference < TOLERANCE:
        found = f"outputs that differ by {difference:.2g}"
        raise RunError("model.onnx", found, f"a difference below {TOLERANCE}")
    return buffer.getvalue()


def _difference(exported: ClassifierWithCam, content: bytes, pictures: np.ndarray) -> float:
    """The largest, to hold against TOLERANCE, of all outputs but the maps, which follow from the same weights."""
    images = pictures[:, None].astype(np.float32)
    with torch.inference_mode():
        expected = [value.numpy() for value in exported(torch.from_numpy(images))]
    found = open_session(content).run(ALL_OUTPUTS, {INPUT: images})
    pairs = [pair for name, *pair in zip(ALL_OUTPUTS, expected, found, strict=True) if name != CAMS]
    return float(max(np.abs(one - other).max() / max(1.0, np.abs(one).max() / USUAL) for one, other in pairs))
