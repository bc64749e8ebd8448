"""The model card of a run, written from its own files: no number that is not in them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.labels import title
from core.runs import Run, write_atomically

NOTES = "NOTES.md"
"""Optional text of a run folder, by hand: data terms, trials, limits. It follows the measured part."""

STYLE = """<style>
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif; color: #16222A; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { padding: .25rem .75rem; border-bottom: 1px solid #CBD5DA; text-align: left; }
</style>"""


def write_card(path: Path) -> None:
    """Write MODEL_CARD.md of a run folder from config.json, metrics.json and NOTES.md."""
    write_atomically(path / "MODEL_CARD.md", ("\n\n".join(_sections(Run(path))) + "\n").encode())


def html(text: str, name: str) -> str:
    """A card as a page that stands alone and prints; whatever looks like HTML in it is shown as text."""
    from html import escape

    from markdown import Markdown

    reader = Markdown(extensions=["tables"])
    reader.preprocessors.deregister("html_block")
    for kind in ("html", "link", "reference", "short_reference", "autolink", "automail"):
        reader.inlinePatterns.deregister(kind)  # no address in a card is meant to be followed,
    for kind in ("image_link", "image_reference", "short_image_ref"):
        reader.inlinePatterns.deregister(kind)  # and nothing loaded from outside
    body = reader.convert(text)
    head = f'<meta charset="utf-8"><title>{escape(name)}</title>{STYLE}'
    return f'<!doctype html>\n<html lang="en">{head}\n{body}\n</html>\n'


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
    if "calibration" in metrics:
        yield "## Calibration"
        yield from _calibration(metrics["calibration"])
    if "shortcuts" in metrics:
        yield "## Shortcut meter"
        yield from _shortcuts(metrics["shortcuts"])
    if "robustness" in metrics:
        yield "## Robustness"
        yield from _robustness(metrics["robustness"])
    if "gate" in metrics:
        yield "## What it refuses"
        yield from _refusals(metrics["gate"])
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


def _shortcuts(found: dict[str, Any]) -> Iterator[str]:
    """What the folds' networks, and probes on their features, still tell where parts of the picture are hidden."""
    yield (
        f"{found['sentence']} Balanced accuracy of {found['slices']} slices, {found['groups']} groups, each shown "
        "to the network of the grouped folds that had not seen it, parts of the picture hidden:"
    )
    rows = [["Shown", "The network", "A probe trained on such pictures"]]
    for view in found["views"].values():
        rows.append(
            [view["words"], *(_estimate(view[kind]) if view[kind] else "-" for kind in ("network", "probe"))]
        )
    yield _table(rows)
    warmest, other = (_estimate(found["occlusion"][name]) for name in ("warmest", "other"))
    yield (
        f"Hiding the tenth of the picture that spoke most for the called class lowers its probability by {warmest} "
        f"on average, hiding as large a part elsewhere by {other}."
    )
    rows = [["True class", "Called", "Slices", "Heat in the lungs", "Picture that is lung"]]
    for cell in found["heat"]:
        names = (title(cell["true"]), title(cell["called"]), str(cell["inside"]["slices"]))
        rows.append([*names, _estimate(cell["inside"]), _estimate(cell["area"])])
    yield _table(rows)


def _robustness(found: dict[str, Any]) -> Iterator[str]:
    """Balanced accuracy as pictures get worse, step by step."""
    yield (
        f"Balanced accuracy of {found['slices']} slices, {found['groups']} groups, drawn over the classes alike, "
        "each shown to the network of the grouped folds that had not seen it, what it sees made worse by steps. "
        "The last two are made against the network itself; a grey level is 1 of 255."
    )
    rows = [["Change", "Step: balanced accuracy"]]
    for one in found["kinds"].values():
        pairs = zip(one["steps"], one["balanced_accuracy"], strict=True)
        rows.append([one["words"], "; ".join(f"{step:g}: {_estimate(value)}" for step, value in pairs)])
    yield _table(rows)


def _refusals(found: dict[str, Any]) -> Iterator[str]:
    """The gate's limit, the slices of each source that pass it, and what is refused of other pictures."""
    yield (
        "No class is given to a picture without a lung field, to one that its file calls another modality, to one "
        "with much colour, and to one that lies too far from the training slices: means and standard deviations of "
        f"the feature maps halfway through the network, limit {found['limit']:.2f}, where 1 is the 95th percentile "
        "of training slices."
    )
    if "passed" in found:
        yield "The limit was set on the left-out sources below: the one that passes least often passes at 95 %."
        rows = [["Source", "Left out of training: pass", "In grouped folds: pass"]]
        schemes = [found["passed"].get(name, {}) for name in ("leave_one_source_out", "grouped_validation")]
        for source in schemes[0]:
            rows.append([source, *(_share(passed[source]) if source in passed else "-" for passed in schemes)])
        yield _table(rows)
    if "outside" in found:
        yield (
            "Pictures that are no lung CT slice. None had a part in the limit; the form of the gate was chosen "
            "with X-rays, brain MRI and photographs in view."
        )
        rows = [["Kind", "Refused"]]
        rows += [[kind, _share(counted["refused"])] for kind, counted in found["outside"].items()]
        yield _table(rows)


def _share(found: dict[str, Any]) -> str:
    return f"{_estimate(found)}, {found['slices']} pictures"


def _calibration(found: dict[str, Any]) -> Iterator[str]:
    """What the temperature changed; measured where it was fitted, which the text says."""
    images = "validation slices" if found["scheme"] == "validation" else "out-of-fold slices"
    yield (
        f"A temperature of {found['temperature']:.3f} was fitted to {found['n_slices']} {images}, "
        f"{found['n_groups']} groups. Both columns are measured on these same slices, which flatters the second."
    )
    rows = [["Measure", "Before", "After"]]
    for name, words in (("ece", "Expected calibration error"), ("cross_entropy", "Cross-entropy, nats")):
        rows.append([words, *(_estimate(found[when][name], 3) for when in ("before", "after"))])
    yield _table(rows)


def _data(config: dict[str, Any]) -> str:
    rows = [["Source", "Class", "Part", "Images", "Groups"]]
    rows += [
        [c["source"], title(c["label"]), c["part"], str(c["images"]), str(c["groups"])]
        for c in config["data"]["counts"]
    ]
    if "members" in config:
        return f"{_table(rows)}\n\nMembers, each with a card of its own: {', '.join(config['members'])}."
    weights, recipe = config["weights"], config["recipe"]
    checksum = f", sha256 {weights['sha256']}" if weights["sha256"] else ""
    chosen = "".join(f"\n- {name}: {why}" for name, why in recipe["chosen"].items())
    return (
        f"{_table(rows)}\n\nStart weights: {weights['name']}{checksum}. Recipe: {recipe['name']}, "
        f"{recipe['epochs']} epochs, seed {config['seed']}. Checksum of the data: {config['data']['checksum']}. "
        f"Temperature of the probabilities: {config['temperature']:.3f}.{chosen}"
    )


def _estimate(found: dict[str, Any], digits: int = 2) -> str:
    if found["value"] is None:
        return "not defined"
    if found["low"] is None:
        return f"{found['value']:.{digits}f} (no interval)"
    return f"{found['value']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def _table(rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])
