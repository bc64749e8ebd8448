"""What Paper and Model card ask of core: the paper's digits and results, a run's gate, its card as HTML."""

from collections.abc import Sequence
from typing import Any

from core import card, gate, paper
from core.gate import Gate
from core.runs import Run


def paper_results() -> dict[str, Any]:
    """What the paper's recipe gave; empty where nothing was kept. Raises RunError for a damaged file."""
    return paper.kept()


def paper_ct_results() -> dict[str, Any]:
    """What the paper's recipe gave on CT slices; the rest as `paper_results`."""
    return paper.kept(paper.CT_RESULTS)


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
    """The model card of a run as a page that stands alone."""
    return card.html(run.card, run.name)
