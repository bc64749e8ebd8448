"""What a run answers to the items of reporting checklists; each answer says only what it looks up in the run.

A function's name is what an item of data/checklists names as `by`. It raises `Unknown`, through `know`, where the
run lacks something that the answer needs, and the item is open.
"""

from collections.abc import Callable
from typing import Any

from core.card_text import estimate, listed
from core.facts import NOTES, SPLIT, Facts, Unknown
from core.labels import title
from core.runs import FAILURES

INTENDED, TERMS, TRIALS = "What it is for", "Terms of the data", "Trials"
"""Beginnings of the headings of NOTES.md that answer items."""

SCHEMES = {
    "leave_one_source_out": "sources left out of training",
    "grouped_validation": "grouped folds",
    "test": "its own test part",
    "validation": "its own validation part",
}
PARTS = ("grouped_validation", "test", "validation")
"""Results on slices of the sources that were learned from."""

BALANCE = {
    "none": "No: each slice is seen once an epoch.",
    "class": "Yes: slices are drawn so that classes are seen alike often.",
    "class_source": "Yes: slices are drawn so that classes are seen alike often, and within a class sources by the "
    "root of their size.",
}


def _recipe(know: Facts, name: str) -> Any:
    return know("config.json", "recipe", name)


def _prepared(know: Facts, name: str) -> Any:
    return know("config.json", "recipe", "preprocess", name)


def _labels(know: Facts) -> str:
    return listed(title(label) for label in know("config.json", "labels"))


def _counts(know: Facts) -> list[dict[str, Any]]:
    return know("config.json", "data", "counts")


def _measured(know: Facts) -> dict[str, Any]:
    """Name of a scheme in metrics.json -> its results, those that are there. Unknown where none is."""
    found = {name: know.maybe("metrics.json", name) for name in SCHEMES}
    found = {name: results for name, results in found.items() if results}
    if not found:
        raise Unknown("metrics.json")
    return found


def _whole(know: Facts) -> tuple[str, dict[str, Any]]:
    """The first of PARTS that was measured, and its results."""
    for name in PARTS:
        found = know.maybe("metrics.json", name)
        if found:
            return name, found
    raise Unknown("metrics.json")


def _size(found: dict[str, Any]) -> str:
    return f"{found['n_slices']:,} slices, {found['n_groups']:,} groups"


def kind(know: Facts) -> str:
    return f"A deep network ({_recipe(know, 'backbone')}) that sorts axial lung CT slices into {_labels(know)}."


def summary(know: Facts) -> str:
    return (
        f'The section "In short": data, method and results by {listed(SCHEMES[name] for name in _measured(know))}, '
        "and what it is not for."
    )


def retrospective(know: Facts) -> str:
    checksum, created = know("config.json", "data", "checksum"), know("config.json", "created")
    when = created[:10]
    return f"Retrospective: images and labels existed as files (checksum {checksum[:12]}…) when it began, {when}."


def goal(know: Facts) -> str:
    done = listed(SCHEMES[name] for name in _measured(know))
    return (
        f"A model is developed, and evaluated by {done}: it sorts single slices into {_labels(know)}, for research "
        "and education, not for care."
    )


def sources(know: Facts) -> str:
    counts = _counts(know)
    of = {}
    for row in counts:
        of[row["source"]] = of.get(row["source"], 0) + row["images"]
    return f"{sum(of.values()):,} images: {', '.join(f'{source} {images:,}' for source, images in of.items())}."


def representative(know: Facts) -> str:
    where = know(NOTES, INTENDED)
    return f'{sources(know)} How representative they are: "{where}" in the card.'


def preprocessing(know: Facts) -> str:
    size = _prepared(know, "size")
    if _prepared(know, "pipeline") == "paper":
        resize = _prepared(know, "resize")
        return f"The same for every image: display grey, shorter side {resize} pixels, the middle {size} × {size}."
    center, width = _prepared(know, "window_center"), _prepared(know, "window_width")
    return (
        f"The same for every image: cropped to the lung field, {size} × {size} pixels, grey levels from "
        f"{center - width / 2:g} to {center + width / 2:g} HU; images without Hounsfield units are brought to the "
        f"same levels by their own lung ({_prepared(know, 'lung_hu'):g} HU) and soft tissue "
        f"({_prepared(know, 'soft_hu'):g} HU)."
    )


def selection(know: Facts) -> str:
    if _prepared(know, "pipeline") == "paper":
        size = _prepared(know, "size")
        return f"The middle {size} × {size} pixels of each image; no image is left out by hand."
    return (
        "By program, in each image: the box around the lung field (core/preprocess.py, find_lung_field) and "
        f"{100 * _prepared(know, 'margin'):g} % more on each side; nothing by hand."
    )


def missing(know: Facts) -> str:
    labels, groups = know(SPLIT, "label"), know(SPLIT, "group")
    if not all(labels) or not all(groups):
        raise Unknown(SPLIT)
    return (
        f"None is missing of what the model uses: each of the {len(labels):,} images has a label and a group, or "
        "training would not begin; nothing is imputed. What publishers left out is not known."
    )


def partitions(know: Facts) -> str:
    images: dict[str, int] = {}
    for row in _counts(know):
        images[row["part"]] = images.get(row["part"], 0) + row["images"]
    split = ", ".join(f"{part} {count:,}" for part, count in images.items())
    words = [f"By whole groups, seed {know('config.json', 'seed')}: {split} images."]
    found = _measured(know)
    if "grouped_validation" in found:
        words.append(
            f"{found['grouped_validation'].get('folds', 'Several')} folds, stratified by class and source."
        )
    if "leave_one_source_out" in found:
        words.append(f"Each of {len(found['leave_one_source_out'])} sources left out in turn.")
    return " ".join(words)


def disjoint(know: Facts) -> str:
    groups, parts = know(SPLIT, "group"), know(SPLIT, "part")
    in_parts: dict[str, set[str]] = {}
    for group, part in zip(groups, parts, strict=True):
        in_parts.setdefault(group, set()).add(part)
    together = any(len(found) > 1 for found in in_parts.values())
    if together or (len(set(parts)) == 1 and not know("metrics.json", "grouped_validation")):
        raise Unknown(SPLIT)
    return (
        f"Group, the finest identity known of an image: {len(in_parts):,} groups of {len(groups):,} images, none "
        "on both sides. It is a patient only where the source says so."
    )


def model(know: Facts) -> str:
    size, labels = _prepared(know, "size"), know("config.json", "labels")
    return (
        f"{_recipe(know, 'backbone')} with a {_recipe(know, 'head')} head (core/model.py): one grey picture of "
        f"{size} × {size} pixels in, {len(labels)} probabilities and their activation maps out."
    )


def software(know: Facts) -> str:
    packages = know("environment.json", "packages")
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    return f"Python {know('environment.json', 'python')}, {versions}; {know('environment.json', 'machine')}."


def initialisation(know: Facts) -> str:
    name = know("config.json", "weights", "name")
    checksum = know.maybe("config.json", "weights", "sha256")
    return f"{name}{f', sha256 {checksum[:12]}…' if checksum else ''}; the head at random, from the seed."


def training(know: Facts) -> str:
    names = ("name", "epochs", "batch_size", "optimizer", "learning_rate", "schedule")
    name, epochs, batch, optimizer, rate, schedule = (_recipe(know, one) for one in names)
    augment = "with" if know.maybe("config.json", "recipe", "augment") else "without"
    return (
        f"Recipe {name}: {epochs} epochs, batch {batch}, {optimizer}, learning rate {rate:g} ({schedule}), "
        f"{augment} augmentation, seed {know('config.json', 'seed')}; all values in config.json, the course of "
        "training in history.csv."
    )


def choice(know: Facts) -> str:
    kept = _recipe(know, "keep")
    if kept == "last":
        words = "The last epoch is kept; no epoch was chosen by its results."
    else:
        words = "The epoch of highest accuracy on the validation part is kept."
    tried = know.maybe(NOTES, TRIALS)
    return f'{words} What the recipe was chosen among: "{tried}".' if tried else words


def ensemble(know: Facts) -> str:
    average = know.maybe("config.json", "recipe", "average")
    words = f" Its weights are a running average over training (decay {average:g} a step)." if average else ""
    return f"None: one {_recipe(know, 'backbone')} gives every answer.{words}"


def metrics(know: Facts) -> str:
    name, _ = _whole(know)
    defined = know("metrics.json", name, "definitions")
    return (
        "Sensitivity, specificity, precision, F1, AUC and average precision by class; accuracy, balanced accuracy, "
        f"Brier score ({defined['brier']}) and calibration error ({defined['ece']})."
    )


def uncertainty(know: Facts) -> str:
    name, _ = _whole(know)
    draws, how = know("metrics.json", name, "n_boot"), know("metrics.json", name, "definitions", "interval")
    return f"{draws:,} draws of groups, {how}. Significance is not tested."


def robustness(know: Facts) -> str:
    found = know("metrics.json", "robustness")
    return f"Balanced accuracy by the size of {len(found['kinds'])} changes, {found['slices']} slices."


def explanation(know: Facts) -> str:
    found = know("metrics.json", "shortcuts")
    warmest, other = (estimate(found["occlusion"][name]) for name in ("warmest", "other"))
    return (
        "Class activation maps, computed with every answer. Checked by hiding: the warmest tenth of the picture "
        f"lowers the called class by {warmest}, another part as large by {other}, {found['groups']} groups."
    )


def internal(know: Facts) -> str:
    name, found = _whole(know)
    return f"By {SCHEMES[name]}: balanced accuracy {estimate(found['balanced_accuracy'])}, {_size(found)}."


def external(know: Facts) -> str:
    found = know("metrics.json", "leave_one_source_out")
    by_source = [
        f"{source} {estimate(one['balanced_accuracy'])}, {one['n_slices']} slices" for source, one in found.items()
    ]
    return (
        "Each source left out of training in turn, balanced accuracy of the classes it has: "
        f"{'; '.join(by_source)}. The run's own network learned from all of these."
    )


def performance(know: Facts) -> str:
    name, found = _whole(know)
    by = ["class", *(["source"] if found.get("by_source") else []), *(found.get("by_column") or {})]
    return (
        f"Balanced accuracy {estimate(found['balanced_accuracy'])}, {_size(found)} ({SCHEMES[name]}); by "
        f"{listed(by)} in the card, which begins with sources left out where they were measured. The run knows no "
        "other subgroup."
    )


def diagnostic(know: Facts) -> str:
    name, found = _whole(know)
    by_class = [
        f"{title(label)}: sensitivity {estimate(one['sensitivity'])}, specificity {estimate(one['specificity'])}, "
        f"AUC {estimate(one['auc'])}, {one['support']} slices"
        for label, one in found["classes"].items()
    ]
    return f"By {SCHEMES[name]}. {'; '.join(by_class)}."


def failures(know: Facts) -> str:
    found, parts = know(FAILURES, "phantoms"), know(FAILURES, "held_out")
    wrong = "; ".join(
        f"{sum(sum(row['confidence']) for row in part['rows'])} of {part['slices']:,} ({name} left out)"
        for name, part in parts.items()
    )
    return (
        f"Slices called wrong: {wrong}; told by source, class and confidence. The {len(found['worst'])} worst "
        f"answers on {found['count'] * len(found['classes'])} phantoms, with pictures."
    )


def limits(know: Facts) -> str:
    where = know(NOTES, INTENDED)
    return f'"Limits" and "{where}" in the card; {len({row["source"] for row in _counts(know)})} sources.'


def intended(know: Facts) -> str:
    return f'Research and education, at no point of care; not a medical device. In full: "{know(NOTES, INTENDED)}".'


def details(know: Facts) -> str:
    know("environment.json", "python")
    return (
        f"Technical details, not a protocol: all choices of the recipe {_recipe(know, 'name')} in config.json, "
        "versions in environment.json, the code in this program."
    )


def availability(know: Facts) -> str:
    return (
        f"Software: open source, MIT licence. Network: in the folder of the run {know('config.json', 'name')}. "
        f'Images: not part of it; "{know(NOTES, TERMS)}".'
    )


def code(know: Facts) -> str:
    return (
        f"This program, open source under the MIT licence; recipe {_recipe(know, 'name')}, Python "
        f"{know('environment.json', 'python')}."
    )


def predictors(know: Facts) -> str:
    size = _prepared(know, "size")
    return f"The picture alone, {size} × {size} grey levels; none were selected, no patient's data is used."


def judgement(know: Facts) -> str:
    return f"None needs judgement: the pipeline {_prepared(know, 'pipeline')} computes them by program."


def building(know: Facts) -> str:
    name, found = _whole(know)
    return f"{model(know)} {training(know)} Internal validation: {SCHEMES[name]}, {_size(found)}."


def clusters(know: Facts) -> str:
    found = know("metrics.json", "leave_one_source_out")
    values = [one["accuracy"]["value"] for one in found.values()]
    return (
        f"Clusters are sources. Each was left out in turn: accuracy from {min(values):.2f} to {max(values):.2f} "
        f"over {len(values)} of them, each with its interval in the card."
    )


def calibration(know: Facts) -> str:
    temperature = know("metrics.json", "calibration", "temperature")
    size = _size(know("metrics.json", "calibration"))
    return f"Recalibrated by one temperature, {temperature:.3f}, for all sources alike; {size}."


def recalibrated(know: Facts) -> str:
    found = know("metrics.json", "calibration")
    before, after = (estimate(found[when]["ece"], 3) for when in ("before", "after"))
    return f"Calibration error {before} before and {after} after, on the slices it was fitted to; {_size(found)}."


def calculation(know: Facts) -> str:
    return (
        f"By model.onnx (sha256 {know(FAILURES, 'model_sha256')[:12]}…): softmax of the logits over the "
        f"temperature {know('config.json', 'temperature'):.3f}; `python -m core predict`."
    )


def imbalance(know: Facts) -> str:
    recalibrated_by = know.maybe("metrics.json", "calibration", "temperature")
    after = " Probabilities were recalibrated by temperature." if recalibrated_by else ""
    return BALANCE[_recipe(know, "balance")] + after


def output(know: Facts) -> str:
    return (
        f"Probabilities of {_labels(know)} (temperature {know('config.json', 'temperature'):.3f}); the largest is "
        "called, no threshold was tuned."
    )


def analyses(know: Facts) -> str:
    measured = _measured(know)
    words = [
        f"{SCHEMES[name]}: {_size(found)}" for name, found in measured.items() if name != "leave_one_source_out"
    ]
    if "leave_one_source_out" in measured:
        total = sum(found["n_slices"] for found in measured["leave_one_source_out"].values())
        words.append(f"sources left out: {total:,} slices")
    learned = sum(row["images"] for row in _counts(know) if row["part"] == "train")
    return (
        f"Trained on {learned:,} images; {'; '.join(words)}; by class in the card. Groups stand for participants."
    )


def specification(know: Facts) -> str:
    return (
        f"model.onnx, sha256 {know(FAILURES, 'model_sha256')[:12]}…, run by `python -m core predict` or any ONNX "
        f'runtime, with config.json. Restrictions: "{know(NOTES, TERMS)}".'
    )


def poor_input(know: Facts) -> str:
    found = know("metrics.json", "gate")
    return (
        "No class is given to a picture without a lung field, of another modality, in colour, or farther than "
        f"{found['limit']:.2f} from the training slices; the reason is told."
    )


ANSWERS: dict[str, Callable[[Facts], str]] = {
    answer.__name__: answer
    for answer in (
        kind, summary, retrospective, goal, sources, representative, preprocessing, selection, missing, partitions,
        disjoint, model, software, initialisation, training, choice, ensemble, metrics, uncertainty, robustness,
        explanation, internal, external, performance, diagnostic, failures, limits, intended, details, availability,
        code, predictors, judgement, building, clusters, calibration, recalibrated, calculation, imbalance, output,
        analyses, specification, poor_input,
    )
}  # fmt: skip
"""Name -> function, as items name them."""
