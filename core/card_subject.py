"""What a model card says of a run before any result: what it is for, its data, its training, its limits."""

from collections.abc import Iterator
from typing import Any

from core.card_text import estimate, listed, table
from core.facts import SPLIT, Unknown, look_up
from core.labels import title
from core.runs import Run

FEW = 50
"""Groups; a class of a source with fewer is named among the limits."""


def lead(config: dict[str, Any]) -> str:
    """What the network does, and what it is not for."""
    return (
        f"A network ({config['recipe'].get('backbone')}) that sorts axial lung CT slices into "
        f"{', '.join(title(label) for label in config['labels'])}. For research and education. "
        "Not a medical device: do not use it to diagnose or treat anyone. A slice is not a patient.\n\n"
        "Intervals are 95 %, from a bootstrap over groups (the finest identity known of each image)."
    )


def in_short(run: Run) -> str:
    """Data, method, results and what follows from them, a line each."""
    config, metrics, counts = run.config, run.metrics, run.config["data"]["counts"]
    sources = list(dict.fromkeys(row["source"] for row in counts))
    by_class = ", ".join(
        f"{title(label)} {sum(row['images'] for row in counts if row['label'] == label):,}"
        for label in config["labels"]
    )
    images = sum(row["images"] for row in counts)
    lines = [
        "Intended use: research and education, for looking at how such a classifier behaves; at no point of care.",
        f"Data: {images:,} images of {len(sources)} sources ({by_class}), gathered before the run began.",
        _method(config),
    ]
    left_out = metrics.get("leave_one_source_out")
    if left_out:
        found = "; ".join(
            f"{source} {estimate(one['balanced_accuracy'])}, {one['n_slices']} slices"
            for source, one in left_out.items()
        )
        lines.append(f"On sources left out of training, balanced accuracy: {found}.")
    for name, words in (
        ("grouped_validation", "In grouped folds of the sources that it knows"),
        ("test", "On its own test images"),
        ("validation", "On its own validation images"),
    ):
        if name in metrics:
            one = metrics[name]
            size = f"{one['n_slices']:,} slices, {one['n_groups']:,} groups"
            lines.append(f"{words}, balanced accuracy: {estimate(one['balanced_accuracy'])}, {size}.")
    if not left_out:
        lines.append("How it does on sources that it has not seen is not measured.")
    lines.append(
        "What follows: its figures hold for slices like these, and say nothing of patients or of screening."
    )
    return "\n".join(f"- {line}" for line in lines)


def data(run: Run) -> Iterator[str]:
    """Images and groups by source and class, by part where there are several, and the checksum."""
    config = run.config
    counts, labels = config["data"]["counts"], config["labels"]
    groups = _groups(run)
    yield (
        f"Images, in brackets groups: an image's group is the finest identity known of it{groups}, and no group is "
        "on both sides of any split."
    )
    rows = [["Source", *map(title, labels), "All"]]
    for source in dict.fromkeys(row["source"] for row in counts):
        of_source = [row for row in counts if row["source"] == source]
        rows.append([source, *(_sum(of_source, label) for label in labels), _sum(of_source)])
    rows.append(["All", *(_sum(counts, label) for label in labels), _sum(counts)])
    yield table(rows)
    if len({row["part"] for row in counts}) > 1:
        rows = [["Source", "Class", "Part", "Images", "Groups"]]
        rows += [[c["source"], title(c["label"]), c["part"], str(c["images"]), str(c["groups"])] for c in counts]
        yield table(rows)
    checksum = config["data"]["checksum"]
    told = f"Checksum of the data: {checksum}. " if checksum else ""
    yield f"{told}Their terms are below, where NOTES.md states them."


def _groups(run: Run) -> str:
    try:
        return f" ({len(set(look_up(run, (SPLIT, 'group')))):,} in all)"
    except Unknown:
        return ""


def _sum(counts: list[dict[str, Any]], label: str | None = None) -> str:
    chosen = [row for row in counts if label in (None, row["label"])]
    if not chosen:
        return "-"
    return f"{sum(row['images'] for row in chosen)} ({sum(row['groups'] for row in chosen)})"


def _method(config: dict[str, Any]) -> str:
    if "members" in config:
        return f"Method: mean probability of {listed(config['members'])}, which have cards of their own."
    return f"Method: recipe {config['recipe']['name']}, from {config['weights']['name']}; groups are never divided."


def training(config: dict[str, Any]) -> str:
    """Start weights, recipe, seed, temperature; of a published recipe also what its paper leaves open.

    Of an ensemble its members, which were trained each by itself.
    """
    if "members" in config:
        return f"Not trained: an ensemble of {listed(config['members'])}, each with a card of its own."
    weights, recipe = config["weights"], config["recipe"]
    checksum = f", sha256 {weights['sha256']}" if weights["sha256"] else ""
    chosen = "".join(f"\n- {name}: {why}" for name, why in recipe["chosen"].items())
    return (
        f"Start weights: {weights['name']}{checksum}. Recipe: {recipe['name']}, "
        f"{recipe['epochs']} epochs, seed {config['seed']}. "
        f"Temperature of the probabilities: {config['temperature']:.3f}.{chosen}"
    )


def limits(run: Run) -> Iterator[str]:
    """What the counts and results themselves say against the model."""
    config, metrics = run.config, run.metrics
    counts, labels = config["data"]["counts"], config["labels"]
    having = {
        source: {row["label"] for row in counts if row["source"] == source}
        for source in dict.fromkeys(row["source"] for row in counts)
    }
    lines = ["It sees one slice, not a series and not a patient, and knows no other class than these."]
    without = [source for source, found in having.items() if len(found) < len(labels)]
    if without:
        whole = len(having) - len(without)
        lines.append(
            f"{len(without)} of {len(having)} sources lack a class ({listed(without)}; {whole} have all), so "
            "class and source cannot be told apart there."
        )
    few = [
        f"{title(row['label'])} of {row['source']} ({row['groups']})"
        for row in counts
        if row["part"] == "train" and row["groups"] < FEW
    ]
    if few:
        lines.append(f"Fewer than {FEW} groups to learn from: {listed(few)}.")
    for name, words in (
        ("leave_one_source_out", "how it does on sources that it has not seen"),
        ("shortcuts", "how much of its accuracy need not come from the lungs"),
        ("robustness", "how its accuracy falls with noise, blur and other changes"),
    ):
        if name not in metrics:
            lines.append(f"Not measured: {words}.")
    known = ["class", "source", *metrics.get("grouped_validation", {}).get("by_column", {})]
    lines.append(f"Of slices and patients the run knows {listed(known)}, and nothing else to tell results by.")
    yield "\n".join(f"- {line}" for line in lines)
