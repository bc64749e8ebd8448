"""What Runs says: numbers and sentences made from a comparison and from curves."""

import pandas as pd

from core.comparison import Comparison, Difference, McNemar
from core.labels import title
from core.metrics import Estimate
from dashboard.comparison.link import MEASURES
from dashboard.components import plain

STATES = {"finished": "● Finished", "unfinished": "◐ Unfinished", "damaged": "✕ Damaged"}
PART_WORDS = {"validation": "validation", "train": "training", "": ""}


def signed(value: float, digits: int = 2) -> str:
    """As in "+0.05" or "−0.02"; 0 has no sign."""
    text = f"{abs(value):.{digits}f}"
    return text if float(text) == 0 else f"{'+' if value > 0 else '−'}{text}"


def span(estimate: Estimate, digits: int = 2) -> str:
    """A difference's interval as in "−0.01 to +0.09", or why there is none."""
    if estimate.low is None:
        return "no interval"
    return f"{signed(estimate.low, digits)} to {signed(estimate.high, digits)}"


def value(estimate: Estimate) -> str:
    """As in "0.82 (0.78 to 0.86)"."""
    if estimate.value is None:
        return "not defined"
    if estimate.low is None:
        return f"{estimate.value:.2f} (no interval)"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def difference(item: Difference) -> str:
    """As in "+0.05 (+0.01 to +0.09)"."""
    if item.difference.value is None:
        return "not defined"
    return f"{signed(item.difference.value)} ({span(item.difference)})"


def images(n: int) -> str:
    return f"{n:,} image{'' if n == 1 else 's'}"


def answer(found: Comparison, first: str, second: str) -> str:
    """Which run is better by balanced accuracy, as Markdown; that they cannot be told apart where none is."""
    main = found.differences[0]
    if main.verdict:
        better, other = (second, first) if main.verdict == "second" else (first, second)
        size = abs(main.difference.value)
        return f"{plain(better)} is better than {plain(other)}: balanced accuracy {size:.2f} higher"
    if main.difference.value == 0 and not (found.mcnemar.only_first or found.mcnemar.only_second):
        return "The two runs are right and wrong on the very same images"
    return "The two runs cannot be told apart"


def ground(found: Comparison, first: str, second: str, scheme: str) -> str:
    """What an answer rests on: shared images, groups, and what was left out; `scheme` and the whole as Markdown."""
    main = found.differences[0].difference
    text = (
        f"Balanced accuracy {difference(found.differences[0])}, {plain(second)} less {plain(first)}, 95 % interval"
    )
    if main.note:
        text += f" ({main.note})"
    text += f". {scheme}: {images(found.shared)} in {found.groups:,} groups that both runs were tested on"
    left_out = [
        f"{images(n)} of {words}"
        for n, words in (
            (found.only_first, f"{plain(first)} only"),
            (found.only_second, f"{plain(second)} only"),
            (found.relabelled, "both, labelled differently"),
        )
        if n
    ]
    return f"{text}; left out: {', '.join(left_out)}." if left_out else f"{text}; no image is left out."


def clear_count(found: Comparison) -> str:
    """How many of the differences are clear, as a sentence."""
    clear = [item for item in found.differences if item.verdict]
    if not clear:
        return "Every interval holds zero: no metric tells the runs apart"
    if len(clear) == len(found.differences):
        return f"All {len(clear)} metrics differ clearly"
    return f"{len(clear)} of {len(found.differences)} metrics differ clearly"


def mcnemar(test: McNemar, first: str, second: str) -> str:
    """The discordant images and their test in words, as Markdown."""
    total = test.only_first + test.only_second
    if not total:
        return "No image was called correctly by one run alone, so there is nothing to test."
    if total == 1:
        return (
            f"Only one image was called correctly by one run alone ({plain(first if test.only_first else second)})."
        )
    if test.p < 0.001:
        chance = "in fewer than 1 of 1,000 cases"
    elif test.p >= 0.995:
        chance = "always"
    else:
        chance = f"in {100 * test.p:.2g} of 100 cases" if test.p < 0.1 else f"in {100 * test.p:.0f} of 100 cases"
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.2g}"
    verdict = "More than chance explains" if test.p < 0.05 else "No more than chance explains"
    return (
        f"**{verdict}.** {total:,} images were called correctly by one run alone: {test.only_first:,} by "
        f"{plain(first)}, {test.only_second:,} by {plain(second)}. Were both runs alike, a split as uneven as "
        f"this, or more so, would come {chance} (McNemar's exact test, {p}). It takes images as independent; where "
        "several share a patient, trust the intervals."
    )


def counts_table(found: Comparison, first: str, second: str) -> pd.DataFrame:
    """One row per class and one for all: images that both, one or neither run called correctly."""
    counts = found.counts
    names = [title(label) if isinstance(label, str) else "All classes" for label in counts["label"]]
    return pd.DataFrame(
        {
            "True class": names,
            "Both right": counts["both"],
            f"Only {first} right": counts["only_first"],
            f"Only {second} right": counts["only_second"],
            "Both wrong": counts["neither"],
            "Images": counts[["both", "only_first", "only_second", "neither"]].sum(axis=1),
        }
    )


def best(table: pd.DataFrame, measure: str) -> str:
    """What the curves show, as a sentence in Markdown: the best point of any run, as measured."""
    if measure == "learning_rate":
        return "The learning rate of each epoch"
    part = "validation" if (table["part"] == "validation").any() else table["part"].iloc[0]
    own = table[table["part"] == part]
    lowest = measure == "loss"
    row = own.loc[own["value"].idxmin() if lowest else own["value"].idxmax()]
    number = f"{row['value']:.0f}" if measure == "images_per_second" else f"{row['value']:.3g}"
    if pd.notna(row["low"]):
        number += f" ({row['low']:.2f} to {row['high']:.2f})"
    words = f"{PART_WORDS[part]} {MEASURES[measure].lower()}".strip()
    return f"{'Lowest' if lowest else 'Highest'} {words}: {number}, {plain(row['run'])}, epoch {row['epoch']:.0f}"
