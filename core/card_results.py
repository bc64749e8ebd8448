"""What was measured of a run, as Markdown of its card: each function yields paragraphs and tables."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from core import conformal
from core.card_text import estimate, share, table
from core.labels import title
from core.runs import Run
from core.scored import load_scored

MEASURES = (
    ("Precision", "precision"),
    ("Sensitivity", "sensitivity"),
    ("Specificity", "specificity"),
    ("F1", "f1"),
    ("AUC", "auc"),
    ("Average precision", "average_precision"),
)
"""Columns of a table by class, and what metrics.json calls them."""


def left_out(results: dict[str, Any], labels: list[str]) -> Iterator[str]:
    """By left-out source: all of its slices, then class by class."""
    rows = [["Source", "Slices (groups)", "Balanced accuracy", "Normal against diseased, AUC", "Brier score"]]
    for source, found in results.items():
        size = f"{found['n_slices']} ({found['n_groups']})"
        rows.append(
            [source, size, *(estimate(found[name]) for name in ("balanced_accuracy", "diseased_auc", "brier"))]
        )
    yield table(rows)
    yield "Balanced accuracy is over the classes that a source has; AUC needs normal and diseased slices."
    yield from sliced(results, labels)


def sliced(results: dict[str, Any], labels: list[str], column: str = "Source") -> Iterator[str]:
    """By each value of a column, such as the source or severity, and class: how many are called correctly."""
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
                        estimate(report["sensitivity"]),
                    ]
                )
    if len(rows) > 1:
        yield table(rows)


def evaluation(found: dict[str, Any]) -> Iterator[str]:
    """All metrics of one evaluation, by class, and its confusion matrix."""
    yield (
        f"{found['n_slices']} slices, {found['n_groups']} groups. "
        f"Balanced accuracy {estimate(found['balanced_accuracy'])}, accuracy {estimate(found['accuracy'])}, "
        f"mean F1 {estimate(found['macro_f1'])}, normal against diseased AUC {estimate(found['diseased_auc'])}, "
        f"Brier score {estimate(found['brier'])}, expected calibration error {estimate(found['ece'])}."
    )
    rows = [["Class", "Slices (groups)", *(words for words, _ in MEASURES)]]
    for label, report in found["classes"].items():
        rows.append(
            [
                title(label),
                f"{report['support']} ({report['groups']})",
                *(estimate(report[name]) for _, name in MEASURES),
            ]
        )
    yield table(rows)
    names = [title(label) for label in found["labels"]]
    yield table(
        [
            ["True class", *(f"called {name}" for name in names), "Slices"],
            *([name, *map(str, row), str(sum(row))] for name, row in zip(names, found["confusion"], strict=True)),
        ]
    )


def shortcuts(found: dict[str, Any]) -> Iterator[str]:
    """What the folds' networks, and probes on their features, still tell where parts of the picture are hidden."""
    yield (
        f"{found['sentence']} Balanced accuracy of {found['slices']} slices, {found['groups']} groups, each shown "
        "to the network of the grouped folds that had not seen it, parts of the picture hidden:"
    )
    rows = [["Shown", "The network", "A probe trained on such pictures"]]
    for view in found["views"].values():
        rows.append(
            [view["words"], *(estimate(view[kind]) if view[kind] else "-" for kind in ("network", "probe"))]
        )
    yield table(rows)
    warmest, other = (estimate(found["occlusion"][name]) for name in ("warmest", "other"))
    yield (
        f"Hiding the tenth of the picture that spoke most for the called class lowers its probability by {warmest} "
        f"on average, hiding as large a part elsewhere by {other}."
    )
    rows = [["True class", "Called", "Slices", "Heat in the lungs", "Picture that is lung"]]
    for cell in found["heat"]:
        names = (title(cell["true"]), title(cell["called"]), str(cell["inside"]["slices"]))
        rows.append([*names, estimate(cell["inside"]), estimate(cell["area"])])
    yield table(rows)


def robustness(found: dict[str, Any]) -> Iterator[str]:
    """Balanced accuracy as pictures get worse, step by step."""
    yield (
        f"Balanced accuracy of {found['slices']} slices, {found['groups']} groups, drawn over the classes alike, "
        "each shown to the network of the grouped folds that had not seen it, what it sees made worse by steps. "
        "The last two are made against the network itself; a grey level is 1 of 255."
    )
    rows = [["Change", "Step: balanced accuracy"]]
    for one in found["kinds"].values():
        pairs = zip(one["steps"], one["balanced_accuracy"], strict=True)
        rows.append([one["words"], "; ".join(f"{step:g}: {estimate(value)}" for step, value in pairs)])
    yield table(rows)


def sets(run: Run) -> Iterator[str]:
    """Prediction sets on sources left out of training: how often they hold the class, and what single ones say."""
    coverage = 100 * conformal.DEFAULT
    yield (
        f"At a coverage of {coverage:.0f} % a prediction set should hold the true class about that often. On "
        "sources left out of training, thresholds set on grouped folds of the other sources, it does so as often "
        "as below. With two classes or more in its set the run abstains; the last column says how often it is "
        "right otherwise."
    )
    rows = [["Left-out source", "Set holds the class", "One class alone", "Right, of those"]]
    found = conformal.left_out(load_scored(run, "group"), load_scored(run, "source"))
    for source, one in found.items():
        rows.append(
            [source, *(share(one[name], "slices") if one[name] else "-" for name in ("held", "single", "right"))]
        )
    yield table(rows)


def refusals(found: dict[str, Any]) -> Iterator[str]:
    """The gate's limit, the slices of each source that pass it, and what is refused of other pictures."""
    yield (
        "No class is given to a picture without a lung field or with one taller than wide, to one that its file "
        "calls another modality, to one with much colour, and to one that lies too far from the training slices: "
        "means and standard deviations of the feature maps halfway through the network, limit "
        f"{found['limit']:.2f}, where 1 is the 95th percentile of training slices."
    )
    if "passed" in found:
        yield "The limit was set on the left-out sources below: the one that passes least often passes at 95 %."
        rows = [["Source", "Left out of training: pass", "In grouped folds: pass"]]
        schemes = [found["passed"].get(name, {}) for name in ("leave_one_source_out", "grouped_validation")]
        for source in schemes[0]:
            rows.append([source, *(share(passed[source]) if source in passed else "-" for passed in schemes)])
        yield table(rows)
    if "outside" in found:
        yield (
            "Pictures that are no lung CT slice. None had a part in the limit; the form of the gate was chosen "
            "with X-rays, brain MRI and photographs in view."
        )
        rows = [["Kind", "Refused"]]
        rows += [[kind, share(counted["refused"])] for kind, counted in found["outside"].items()]
        yield table(rows)


def calibration(found: dict[str, Any]) -> Iterator[str]:
    """What the temperature changed; measured where it was fitted, which the text says."""
    images = "validation slices" if found["scheme"] == "validation" else "out-of-fold slices"
    yield (
        f"A temperature of {found['temperature']:.3f} was fitted to {found['n_slices']} {images}, "
        f"{found['n_groups']} groups. Both columns are measured on these same slices, which flatters the second."
    )
    rows = [["Measure", "Before", "After"]]
    for name, words in (("ece", "Expected calibration error"), ("cross_entropy", "Cross-entropy, nats")):
        rows.append([words, *(estimate(found[when][name], 3) for when in ("before", "after"))])
    yield table(rows)


def failures(found: dict[str, Any]) -> Iterator[str]:
    """Wrong answers: the worst on phantoms, by their seed, and counts of those on held-out slices."""
    drawn = found["phantoms"]
    yield (
        f"Phantoms are slices drawn by formula, no patients: {drawn['count']} of each class, seeds from "
        f"{drawn['first_seed']} on, shown to the run's own network with its gate before it. What it makes of them "
        "says nothing of its worth on scans; it shows what kind of picture leads it astray."
    )
    names = list(drawn["classes"])
    rows = [
        ["Drawn", "Phantoms", "Refused", *(f"called {title(name)}" for name in names), "Called wrong, of answered"]
    ]
    for label, one in drawn["classes"].items():
        called = (str(one["called"][name]) for name in names)
        wrong = estimate(one["wrong"]) if one["wrong"] else "none answered"
        rows.append([title(label), str(one["drawn"]), estimate(one["refused"]), *called, wrong])
    yield table(rows)
    if drawn["worst"]:
        yield "The wrong answers given with most confidence, by what was drawn:"
        rows = [["Drawn", "Seed", "Called", *(f"p({title(name)})" for name in names)]]
        for one in drawn["worst"]:
            values = (f"{one['probabilities'][name]:.3f}" for name in names)
            rows.append([title(one["drawn"]), str(one["seed"]), title(one["called"]), *values])
        yield table(rows)
    for scheme, part in found["held_out"].items():
        yield from _held_out(scheme, part)


def _held_out(scheme: str, part: dict[str, Any]) -> Iterator[str]:
    where = "sources left out of training" if scheme == "source" else "grouped folds"
    wrong = sum(sum(row["confidence"]) for row in part["rows"])
    yield (
        f"Real slices, {where}: {wrong} of {part['slices']} slices, {part['groups']} groups, are called wrong by "
        "networks that had not learned from them. Numbers only; wrong answers by their confidence, the probability "
        "of the called class. The gate is not before these."
    )
    ends = part["bins"]
    bins = [f"below {ends[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(ends)), f"{ends[-1]:g} and more"]
    rows = [["Source", "Class", "Slices (groups)", "Called wrong", "Called instead", *bins]]
    for row in part["rows"]:
        instead = ", ".join(
            f"{title(name)} {count}" for name, count in row["called"].items() if count and name != row["label"]
        )
        size = f"{row['wrong']['slices']} ({row['groups']})"
        named = [row["source"], title(row["label"]), size, estimate(row["wrong"]), instead or "none"]
        rows.append([*named, *map(str, row["confidence"])])
    yield table(rows)
