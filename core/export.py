"""A trained network -> ONNX, checked against the original on the way."""

import io
import logging
import warnings

import numpy as np
import torch

from core.engine import INPUT, OUTPUTS, open_session
from core.errors import RunError
from core.model import Classifier, ClassifierWithCam

TOLERANCE = 1e-3
"""Largest difference of a logit that counts as the same network."""


def export_onnx(model: Classifier, size: int, pictures: np.ndarray) -> bytes:
    """The network as ONNX: `images` (b, 1, size, size) float32 grey in, `logits` and `cams` out.

    `pictures` (n, size, size) uint8 are run through both; RunError when any logit differs by TOLERANCE.
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
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    buffer = io.BytesIO()
    program.save(buffer)
    difference = _difference(exported, buffer.getvalue(), pictures)
    if not difference < TOLERANCE:
        raise RunError("model.onnx", f"logits that differ by {difference:.2g}", f"a difference below {TOLERANCE}")
    return buffer.getvalue()


def _difference(exported: ClassifierWithCam, content: bytes, pictures: np.ndarray) -> float:
    images = pictures[:, None].astype(np.float32)
    with torch.inference_mode():
        expected = exported(torch.from_numpy(images))[0].numpy()
    found = open_session(content).run(OUTPUTS[:1], {INPUT: images})[0]
    return float(np.abs(expected - found).max())
