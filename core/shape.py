"""The form of metrics.json, as far as others read it: damage is named by its place, not met halfway down a page."""

from typing import Any

from core.errors import RunError

ANY = "*"
NUMBER = (int, float)
MAYBE = (int, float, type(None))
ESTIMATE = {"value": MAYBE, "low": MAYBE, "high": MAYBE}
SHARE = ESTIMATE | {"slices": int}
EVALUATION = {
    "n_slices?": int,
    "n_groups?": int,
    "balanced_accuracy?": ESTIMATE,
    "diseased_auc?": ESTIMATE,
    "classes?": {ANY: {"support": int, "sensitivity": ESTIMATE}},
}
CALIBRATED = {"ece": ESTIMATE, "cross_entropy": ESTIMATE}
METRICS = {
    "leave_one_source_out?": {ANY: EVALUATION | {"classes": EVALUATION["classes?"], "diseased_auc": ESTIMATE}},
    "grouped_validation?": EVALUATION,
    "validation?": EVALUATION,
    "test?": EVALUATION,
    "tests?": {ANY: EVALUATION},
    "calibration?": {
        "scheme": str,
        "temperature": NUMBER,
        "n_slices": int,
        "n_groups": int,
        "before": CALIBRATED,
        "after": CALIBRATED,
    },
    "gate?": {
        "limit": NUMBER,
        "passed?": {ANY: {ANY: SHARE}},
        "outside?": {ANY: {"refused": SHARE, "answered": list}},
    },
    "shortcuts?": {
        "sentence": str,
        "slices": int,
        "groups": int,
        "chance": NUMBER,
        "views": {ANY: {"words": str}},
        "heat": list,
        "occlusion": {"warmest": ESTIMATE, "other": ESTIMATE},
    },
    "robustness?": {"slices": int, "groups": int, "kinds": {ANY: {"words": str, "steps": list}}},
}
"""A name that ends in "?" may be missing, at the top null too; ANY stands for all names there are."""


def check(content: Any, form: Any, file: str, place: str = "") -> None:
    """RunError naming the first place of `content` that is not of this form; names that it lacks are let be."""
    if not isinstance(form, dict):
        if not isinstance(content, form) or isinstance(content, bool):
            raise RunError(f"{file}: {place}", _words(content), " or ".join(map(_kind, _kinds(form))))
        return
    if not isinstance(content, dict):
        raise RunError(f"{file}: {place}" if place else file, _words(content), "names with their values")
    for name, part in form.items():
        key = name.removesuffix("?")
        if name == ANY:
            for each, value in content.items():
                check(value, part, file, f"{place}.{each}".lstrip("."))
        elif key in content and not (place == "" and content[key] is None):
            check(content[key], part, file, f"{place}.{key}".lstrip("."))
        elif name == key:
            raise RunError(f"{file}: {place}", f"no {key}", "the file as it was written")


def _kinds(form: Any) -> tuple[type, ...]:
    return form if isinstance(form, tuple) else (form,)


def _kind(kind: type) -> str:
    names = {int: "a whole number", float: "a number", str: "words", list: "a list", type(None): "null"}
    return names[kind]


def _words(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 40 else f"{text[:37]}..."
