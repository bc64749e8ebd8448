"""The model card of a run, written from its own files: no number that is not in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.labels import title
from core.runs import Run, write_atomically

NOTES = "NOTES.md"
"""Optional text of a run folder, by hand: data terms, trials, limits. It follows the measured part."""


def write_card(path: Path) -> None:
    """Write MODEL_CARD.md of a run folder from config.json, metrics.json and NOTES.md."""
    write_atomically(path / "MODEL_CARD.md", ("\n\n".join(_sections(Run(path))) + "\n").encode())


def _sections(run: Run) -> Iterator[str]:
    config, metrics = run.config, run.metrics
    yield f"# Model card: run {config['name']}"
    yield (
        f"A network ({config['recipe'].get('backbone')}) that sorts axial lung CT slices into "
        f"{', '.join(title(label) for label in config['labels'])}. For research and education. "
        "Not a medical device: do not use it to diagnose or treat anyone. A slice is not a patient."
    )
    yield "Intervals are 95 %, from a bootstrap over groups (the finest identity known of each image)."
    if "leave_one_source_out" in metrics:
        yield "## Sources left out of training"
        yield (
            "The recipe was trained anew without one source and tested on it alone: the honest estimate for "
            "slices from elsewhere. A source without all classes cannot test the others. "
        )
        yield from _left_out(metrics["leave_one_source_out"], config["labels"])
    if "grouped_validation" in metrics:
        yield "## Grouped folds"
        yield (
            f"The recipe was trained anew {metrics['grouped_validation'].get('folds') or 'several'} times, "
            "each time without a part of the groups, and tested on them. "
            "Every source is on both sides, so these figures flatter the model wherever the class can be "
            "told from the source. The temperature was fitted to these same predictions, which flatters their "
            "Brier score and calibration error a little."
        )
        yield from _evaluation(metrics["grouped_validation"])
        yield from _sliced(metrics["grouped_validation"].get("by_source", {}), config["labels"])
        for column, found in metrics["grouped_validation"].get("by_column", {}).items():
            yield from _sliced(found, config["labels"], column.capitalize())
    for part in ("validation", "test"):
        if part in metrics:
            yield f"## The run's own {part} images"
            yield from _evaluation(metrics[part])
    for name, found in metrics.get("tests", {}).items():
        yield f"## Tested on {name}"
        yield from _evaluation(found)
    yield "## Data and training"
    yield _data(config)
    if (run.path / NOTES).exists():
        yield (run.path / NOTES).read_text(encoding="utf-8").strip()


def _left_out(results: dict[str, Any], labels: list[str]) -> Iterator[str]:
    yield from _sliced(results, labels)
    lines = [
        f"- {source}: normal against diseased, AUC {_estimate(found['diseased_auc'])}"
        for source, found in results.items()
        if (found.get("diseased_auc") or {}).get("value") is not None
    ]
    if lines:
        yield "\n".join(lines)


def _sliced(results: dict[str, Any], labels: list[str], column: str = "Source") -> Iterator[str]:
    rows = [[column, "Class", "Slices (groups)", "Called correctly"]]
    for value, found in results.items():
        for label in labels:
            report = found["classes"][label]
            if report["support"]:
                rows.append(
                    [
                        value,
                        title(label),
                        f"{report['support']} ({report['groups']})",
                        _estimate(report["sensitivity"]),
                    ]
                )
    if len(rows) > 1:
        yield _table(rows)


def _evaluation(found: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{found['n_slices']} slices, {found['n_groups']} groups. "
        f"Balanced accuracy {_estimate(found['balanced_accuracy'])}, accuracy {_estimate(found['accuracy'])}, "
        f"Brier score {_estimate(found['brier'])}, expected calibration error {_estimate(found['ece'])}."
    )
    rows = [["Class", "Slices", "Precision", "Sensitivity", "Specificity", "F1", "AUC"]]
    for label, report in found["classes"].items():
        rows.append(
            [
                title(label),
                str(report["support"]),
                *(_estimate(report[name]) for name in ("precision", "sensitivity", "specificity", "f1", "auc")),
            ]
        )
    yield _table(rows)
    names = [title(label) for label in found["labels"]]
    yield _table(
        [
            ["True class", *(f"called {name}" for name in names)],
            *([name, *map(str, row)] for name, row in zip(names, found["confusion"], strict=True)),
        ]
    )


def _data(config: dict[str, Any]) -> str:
    rows = [["Source", "Class", "Part", "Images", "Groups"]]
    rows += [
        [c["source"], title(c["label"]), c["part"], str(c["images"]), str(c["groups"])]
        for c in config["data"]["counts"]
    ]
    weights, recipe = config["weights"], config["recipe"]
    checksum = f", sha256 {weights['sha256']}" if weights["sha256"] else ""
    chosen = "".join(f"\n- {name}: {why}" for name, why in recipe["chosen"].items())
    return (
        f"{_table(rows)}\n\nStart weights: {weights['name']}{checksum}. Recipe: {recipe['name']}, "
        f"{recipe['epochs']} epochs, seed {config['seed']}. Checksum of the data: {config['data']['checksum']}. "
        f"Temperature of the probabilities: {config['temperature']:.3f}.{chosen}"
    )


def _estimate(found: dict[str, Any]) -> str:
    if found["value"] is None:
        return "not defined"
    if found["low"] is None:
        return f"{found['value']:.2f} (no interval)"
    return f"{found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f})"


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
