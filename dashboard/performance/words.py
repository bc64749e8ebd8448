"""Words that the parts of Performance share."""

from collections.abc import Sequence

import numpy as np

from core.labels import title
from dashboard.components import GLYPHS, plain


def lower(label: str) -> str:
    """A class in the middle of a sentence."""
    return title(label).lower() if label in GLYPHS else plain(label)


def cell_words(cells: Sequence[tuple[str, str]]) -> str:
    """As in "pneumonia called normal"; more than two cells are counted."""
    if len(cells) > 2:
        return f"{len(cells)} cells of the matrix"
    return " and ".join(f"{lower(true)} called {lower(called)}" for true, called in cells)


def estimate_words(value: float, low: float, high: float) -> str:
    """As in "0.66 (0.60 to 0.72)"; a dash where there is no value."""
    if not np.isfinite(value):
        return "–"
    return f"{value:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(low) else f"{value:.2f} (no interval)"
