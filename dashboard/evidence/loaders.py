"""What Paper and Model card ask of core: the paper's digits and results, a run's gate, its card as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import pandas as pd
import streamlit as st

from core import backbones, card, checklist, facts, gate, paper, runs
from core import failures as failed
from core.checklist import Checklist
from core.errors import RunError
from core.gate import Gate
from core.labels import title
from core.overlay import overlay
from core.runs import Run
from dashboard import loaders as shared
from dashboard.pictures import png

SIDE, APART = 288, 6
"""Pixels of a phantom's picture, and between it and its heat map."""


def paper_results() -> dict[str, Any]:
    """What the paper's recipe gave; empty where nothing was kept. Raises RunError for a damaged file."""
    return paper.kept()


def paper_ct_results() -> dict[str, Any]:
    """What the paper's recipe gave on CT slices; the rest as `paper_results`."""
    return paper.kept(paper.CT_RESULTS)


def backbone_results() -> dict[str, Any]:
    """What each backbone costs, and how accurate it is where that was measured; the rest as `paper_results`."""
    return paper.kept(backbones.EVIDENCE)


def fractions(printed: Sequence[str]) -> list[int]:
    """Numbers of images that fit all of these printed accuracies."""
    return paper.fractions(printed)


def count(printed: str, whole: int) -> int | None:
    """How many of `whole` images a printed accuracy stands for."""
    return paper.count(printed, whole)


def run_gate(run: Run) -> Gate | None:
    """The gate of a run; None where it answers every picture. Raises RunError for a damaged file."""
    return gate.load(run.path)


def card_html(run: Run) -> str:
    """The model card of a run as a page that stands alone, with the pictures of its worst answers on phantoms."""
    pictures = [(one.words, one.picture) for one in worst(run)] if failures(run) and network_is_same(run) else ()
    return card.html(run.card, run.name, pictures)


def card_without_checklists(run: Run) -> str:
    """The card as it is written, up to its checklists."""
    return run.card.partition(f"\n## {card.CHECKLISTS}\n")[0]


def checklists() -> tuple[Checklist, ...]:
    """The reporting checklists that a run is held against."""
    return checklist.checklists()


def checklist_table(run: Run, chosen: Checklist) -> pd.DataFrame:
    """One row per item, in order: item, section, topic, asks, state ("filled", "open"), text, from."""
    return pd.DataFrame(checklist.rows(checklist.fill(run, chosen)))


def failures(run: Run) -> dict[str, Any]:
    """Where a run goes wrong, as core.failures measured it; empty where it is not. RunError for a damaged file."""
    return facts.run_document(run, runs.FAILURES)


def network_is_same(run: Run) -> bool:
    """Whether the network that failures were measured with is the run's own now."""
    return _sha256(run.name, shared.run_version(run.name)) == failures(run).get("model_sha256")


@st.cache_data(max_entries=8, show_spinner=False)
def _sha256(name: str, version: tuple) -> str | None:
    try:
        return failed.model_sha256(runs.load_run(name))
    except RunError:
        return None


@dataclass(frozen=True)
class Worst:
    """A wrong answer on a phantom: its class, seed, what it was called and how surely, and its picture.

    `picture` is a PNG, left the phantom, right the same under the heat map of the called class.
    """

    drawn: str
    seed: int
    called: str
    confidence: float
    picture: bytes

    @property
    def words(self) -> str:
        """What it is and what it was called, as text."""
        drawn, called = title(self.drawn).lower(), title(self.called).lower()
        return (
            f"Phantom drawn as {drawn} (seed {self.seed}), called {called}, {self.confidence:.2f}: the slice, and "
            f"its heat map for {called}"
        )


def worst(run: Run, most: int | None = None) -> list[Worst]:
    """The kept wrong answers on phantoms, drawn anew, `most` of each class (None: all). Raises RunError."""
    found: list[Worst] = []
    for one in failures(run)["phantoms"]["worst"]:
        if most is None or sum(other.drawn == one["drawn"] for other in found) < most:
            picture = _picture(run.name, shared.run_version(run.name), one["drawn"], one["seed"], one["called"])
            confidence = one["probabilities"][one["called"]]
            found.append(Worst(one["drawn"], one["seed"], one["called"], confidence, picture))
    return found


@st.cache_data(max_entries=48, show_spinner=False)
def _picture(name: str, version: tuple, label: str, seed: int, called: str) -> bytes:
    """A phantom beside itself under the heat map of a class; drawn by formula, so it may be kept."""
    slice_ = failed.drawn(label, seed)
    heat = shared.predictor(name).predict([slice_])[0].heatmap(called)
    grey = slice_.pixels
    left, right = np.repeat(grey[..., None], 3, axis=2), overlay(grey, heat)
    small = [cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for part in (left, right)]
    return png(np.hstack([small[0], np.zeros((SIDE, APART, 3), np.uint8), small[1]]))
