"""A CT slice in memory: its pixels, what they mean, where they came from."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

LUNG_WINDOW = (-600.0, 1500.0)
"""Window centre and width, HU: the lung window of the `lung` pipeline and the pages."""


@dataclass(frozen=True, eq=False)
class Slice:
    """One axial slice, row 0 anterior, column 0 the patient's right (the radiological view).

    pixels    (height, width); Hounsfield units as int16 or float32 when `unit` is "hu",
              display grey 0 (black) to 255 (white) as uint8 or float32 when `unit` is "grey"
    name      the path as given, or `archive.zip!member`
    frame     index from 0 within a file of several slices, else None
    position  millimetres along the patient's axis, feet to head, where known
    spacing   (row, column) distance of pixel centres in millimetres, where known
    modality  what the file says it is made by, as DICOM has it ("MR"), where it says so and it is not CT
    colour    share of the pixels that were coloured before they became grey
    warnings  what a reader of the result should know, each a full sentence
    """

    pixels: np.ndarray
    unit: Literal["hu", "grey"]
    name: str
    frame: int | None = None
    position: float | None = None
    spacing: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()
    modality: str | None = None
    colour: float = 0.0


def window(pixels: np.ndarray, center: float, width: float) -> np.ndarray:
    """Hounsfield units (h, w) -> display grey uint8 (h, w): linear from center - width / 2 to center + width / 2.

    The linear-exact function of DICOM PS3.3 C.11.2.1.3.2, scaled to 0..255 and rounded.
    """
    low = center - width / 2
    grey = (pixels.astype(np.float32) - low) * (255.0 / width)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
