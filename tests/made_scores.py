"""Made predictions for tests of what is measured on them."""

import numpy as np
import pandas as pd

from core.labels import LABELS
from core.scored import Scored, recoded


def made_scores(n: int = 300, seed: int = 0, n_groups: int = 90, scheme: str = "group") -> Scored:
    """Three classes of uneven size, groups of uneven size, logits in tenths so that scores tie."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    logits = np.round(rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[targets], 1)
    groups = recoded((rng.random(n) ** 2 * n_groups).astype(np.int64))
    temperature = 1.25
    p = np.exp(logits / temperature)
    names = np.array(LABELS, dtype=object)
    frame = pd.DataFrame(
        {
            "source": np.where(groups % 3 == 0, "north", "south"),
            "file": [f"{place}.png" for place in range(n)],
            "label": names[targets],
            "group": [f"g{code}" for code in groups],
            "sha256": [f"{place:064x}" for place in range(n)],
            "severity": [["mild", "severe", None][place % 3] for place in range(n)],
        }
    )
    return Scored(
        "made", scheme, LABELS, p / p.sum(axis=1, keepdims=True), targets, groups, logits, temperature, frame
    )


def predictions_of(scored: Scored) -> pd.DataFrame:
    """The table that a run would keep of them."""
    numbers = {f"logit_{label}": scored.logits[:, k] for k, label in enumerate(scored.labels)}
    numbers |= {f"p_{label}": scored.probabilities[:, k] for k, label in enumerate(scored.labels)}
    return scored.frame.assign(scheme=scored.scheme, **numbers)
