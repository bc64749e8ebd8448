"""Paper: do the paper's figures hold? What its digits say, and its recipe on the images that they fit."""

from typing import Any

import pandas as pd
import streamlit as st

from core.errors import RunError
from core.labels import title
from core.paper import CLAIMS, COMMAND, EPOCHS, LARGEST, PARTS, TABLE_2, TABLE_3, TEST, TRAIN
from core.runs import DEMO
from dashboard import charts, components
from dashboard.components import figure_title
from dashboard.evidence import loaders
from dashboard.figure import downloads
from dashboard.loaders import estimate_words, run, source_title
from dashboard.measured import declines, robustness_table

TITLE = "Do the paper's figures hold?"
LEAD = (
    "Gao, Tian, Lin and Lin train a MobileNetV2 on CT slices and report 95 to 99.6 % accuracy. "
    "What their printed digits say, and what their recipe gives on the images that the digits fit."
)
MEASURES = {
    "train_loss": "Train loss",
    "train_accuracy": "Train accuracy",
    "validation_loss": "Validation loss",
    "validation_accuracy": "Validation accuracy",
}
NAMES = {"test": "test images", "fresh": "no copies", "train": "training images"}
CT_NAMES = {"train": "its own training images", "group": "new groups", "source": "new sources"}
WHOLES = {"train_accuracy": TRAIN, "validation_accuracy": TEST}


def fractions_card() -> None:
    """The printed accuracies as whole numbers of images, worked out here."""
    rows, fits = [], {}
    for name, whole in WHOLES.items():
        fits[name] = loaders.fractions(TABLE_2[name])
        for epoch, printed in zip(EPOCHS, TABLE_2[name], strict=True):
            images = loaders.count(printed, whole)
            rows.append((MEASURES[name], epoch, printed, f"{images} / {whole}", f"{images / whole:.6f}"))
    table = pd.DataFrame(rows, columns=["Measure", "Epoch", "Printed", "Images", "Worked out"])
    with st.container(border=True):
        figure_title(
            f"Every training accuracy is a whole number of images over {TRAIN}, every validation accuracy "
            f"over {TEST}",
            "Table 2 of the paper; worked out on this page from the printed digits",
        )
        smallest = {name: found[0] for name, found in fits.items()}
        st.markdown(
            f"The smallest set that fits all six training accuracies has **{smallest['train_accuracy']}** images, "
            f"the smallest that fits all six validation accuracies **{smallest['validation_accuracy']}**; up to "
            f"{LARGEST:,} images {len(fits['train_accuracy'])} and {len(fits['validation_accuracy'])} sizes "
            f"do. A public set of {TRAIN + TEST} chest X-rays is split {TRAIN} to {TEST}. "
            f'Table 3, "on the test set", has support {TRAIN}: it reports on the training set, and the '
            f"95.2 % of the conclusion is {loaders.count('.952', TRAIN)} of {TRAIN}, its last training "
            "accuracy."
        )
        st.dataframe(table, hide_index=True, height=248, alt="Printed accuracies as whole numbers of images")
        downloads("paper-fractions", table)


def accuracy_card(found: dict[str, Any]) -> None:
    """Published claims and our measurements on one axis."""
    rows = [(f"Published, {where}", value, None, None, f"{value:.3f}") for where, value in CLAIMS.items()]
    for part in PARTS:
        one = found["accuracy"][part]
        words = f"{one['value']:.3f} ({one['low']:.3f} to {one['high']:.3f})"
        rows.append((f"Ours, {one['images']} {NAMES[part]}", one["value"], one["low"], one["high"], words))
    table = pd.DataFrame(rows, columns=["name", "value", "low", "high", "words"]).assign(label="")
    train, fresh = (found["accuracy"][part]["value"] for part in ("train", "fresh"))
    with st.container(border=True):
        figure_title(
            f"The recipe calls {100 * fresh:.1f} % of X-rays that are no copies right, and {100 * train:.1f} % of "
            "its own training images",
            f"Accuracy, chest X-rays, mean of {len(found['seeds'])} seeds; whiskers: 95 % of the mean over seeds",
        )
        chart = charts.forest(table)
        st.altair_chart(chart, width="stretch", alt="Dot plot: " + "; ".join(table["name"] + " " + table["words"]))
        st.caption(
            "The published values have no interval. The weights were chosen by the accuracy on the 66 test images, "
            "as in the paper, which flatters what is measured on them; six are copies of training images. Table 3 "
            f"reports on the {TRAIN} training images. Start weights: {found['weights']['name']}. Made by "
            f"`{found['command']} --keep`."
        )
        downloads("paper-accuracy", table.drop(columns="label"), lambda: chart)


def curves_card(found: dict[str, Any]) -> None:
    """Table 2 and Figure 1 beside ours."""
    history = pd.DataFrame([row | {"seed": seed} for seed, run in enumerate(found["history"]) for row in run])
    ours = history.groupby("epoch")[list(MEASURES)].mean()
    rows = []
    for name, words in MEASURES.items():
        for epoch, printed in zip(EPOCHS, TABLE_2[name], strict=True):
            values = history.loc[history["epoch"] == epoch, name]
            span = f"{values.min():.4f} to {values.max():.4f}"
            rows.append((words, epoch, printed, f"{ours.loc[epoch, name]:.4f}", span))
    table = pd.DataFrame(rows, columns=["Measure", "Epoch", "Published", "Ours, mean", "Ours, all seeds"])
    first, last = ours["validation_accuracy"].iloc[0], ours["validation_accuracy"].iloc[-1]
    with st.container(border=True):
        figure_title(
            f"In ten epochs validation accuracy goes from {first:.2f} to {last:.2f}; published, .8939 to .9394",
            "Table 2 and Figure 1, published and ours; their first epoch stands where a trained network does",
        )
        st.altair_chart(
            charts.published_curves(history, _published()),
            width="stretch",
            alt="Line chart of train and validation accuracy by epoch: ours as lines, published as rings",
        )
        st.dataframe(table, hide_index=True, height=248, alt="Loss and accuracy by epoch, published and ours")
        downloads("paper-table-2", table)


def _published() -> pd.DataFrame:
    """One row per epoch and accuracy: epoch, measure, accuracy."""
    return pd.DataFrame(
        [
            (epoch, name, float(printed))
            for name in WHOLES
            for epoch, printed in zip(EPOCHS, TABLE_2[name], strict=True)
        ],
        columns=["epoch", "measure", "accuracy"],
    )


def report_card(found: dict[str, Any]) -> None:
    """Table 3 beside ours on the same training images."""
    rows = [(f"Published, class {name}", *values, "") for name, values in TABLE_3.items()]
    for name, one in found["report"].items():
        values = (f"{one[key]:.2f}" for key in ("precision", "recall", "f1"))
        rows.append((f"Ours, {name}", *values, f"{one['support']:.0f}"))
    table = pd.DataFrame(rows, columns=["Class", "Precision", "Recall", "F1", "Images"])
    with st.container(border=True):
        figure_title(
            "Table 3 is a report on the training images", f"Ours: seed 0, on the same {TRAIN} training images"
        )
        st.table(table, border="horizontal", hide_index=True, alt="Precision, recall and F1, published and ours")
        downloads("paper-table-3", table)


def ct_card(found: dict[str, Any]) -> None:
    """The recipe on CT slices, from its own training images to sources that it has not seen; ours beside it."""
    seeds = len(found["seeds"])
    rows = []
    for where, words in CT_NAMES.items():
        one = found["balanced_accuracy"][where]
        rows.append((f"Paper's recipe, {words}", one["value"], one["low"], one["high"]))
        if where in found["compared"]:
            ours = found["compared"][where]["second"]
            rows.append((f"Ours, {words}", ours["value"], ours["low"], ours["high"]))
    table = pd.DataFrame(rows, columns=["name", "value", "low", "high"]).assign(label="")
    table["words"] = [estimate_words(row) for row in table.to_dict("records")]
    train, source = (found["balanced_accuracy"][where]["value"] for where in ("train", "source"))
    with st.container(border=True):
        figure_title(
            f"On CT slices the recipe calls {100 * train:.1f} % of its own training images right, and "
            f"{100 * source:.0f} % of those from a source it has not seen",
            f"Balanced accuracy, {found['images']['source']:,} slices, {found['groups']:,} groups; "
            f"the paper's recipe: {counted_seeds(seeds)}; ours: 95 % by groups",
        )
        chart = charts.forest(table)
        st.altair_chart(chart, width="stretch", alt="Dot plot: " + "; ".join(table["name"] + " " + table["words"]))
        st.caption(" ".join(_compared(found)) + f" Made by `{found['command']} --keep`.")
        downloads("paper-ct", table.drop(columns="label"), lambda: chart)


def counted_seeds(seeds: int) -> str:
    return f"mean of {seeds} seeds, 95 % of the mean over seeds" if seeds > 1 else "one seed, 95 % by groups"


def _compared(found: dict[str, Any]) -> list[str]:
    """A sentence a scheme: ours less the paper's recipe on the same slices."""
    return [
        f"On the same slices, {CT_NAMES[scheme]}: ours less seed 0 of the paper's recipe "
        f"{estimate_words(one['difference'])}, 95 % by groups."
        for scheme, one in found["compared"].items()
    ]


def sources_card(found: dict[str, Any]) -> None:
    """Each left-out source: what the recipe finds in it."""
    rows = []
    for source, one in found["by_source"].items():
        for label, rate in one["sensitivity"].items():
            rows.append((source_title(source), f"Sensitivity, {title(label).lower()}", rate["images"], rate))
        if "auc" in one:
            rows.append((source_title(source), "AUC, normal against diseased", one["images"], one["auc"]))
    table = pd.DataFrame(
        [(source, what, images, estimate_words(rate)) for source, what, images, rate in rows],
        columns=["Left-out source", "Measure", "Slices", "Paper's recipe"],
    )
    low = min((row for row in rows if "AUC" not in row[1]), key=lambda row: row[3]["value"])
    with st.container(border=True):
        figure_title(
            f"Least of all it finds {low[1].partition(', ')[2]} in {low[0]}: {100 * low[3]['value']:.0f} %",
            f"The paper's recipe, each source left out of training; {counted_seeds(len(found['seeds']))}",
        )
        st.dataframe(table, hide_index=True, alt="Sensitivity and AUC by left-out source")
        downloads("paper-ct-sources", table)


def robustness_card(found: dict[str, Any], ours: dict[str, Any] | None) -> None:
    """How both recipes fall as pictures get worse."""
    measured = {"ours": ours, "the paper's": found["robustness"]}
    table = robustness_table({name: one for name, one in measured.items() if one})
    ends = table.groupby(["recipe", "change"]).last()["value"].unstack("recipe")
    better = int((ends["ours"] > ends["the paper's"]).sum()) if ours else 0
    with st.container(border=True):
        figure_title(
            f"At the last step ours lies higher under {better} of {len(ends)} changes"
            if ours
            else "How the paper's recipe falls as pictures get worse",
            f"Balanced accuracy of {found['robustness']['slices']:,} slices, each shown to a network that had not "
            "seen its group; solid, discs: ours; dashed, squares: the paper's; band: 95 %; dotted: chance",
        )
        declines(table, 1 / 3)
        downloads("paper-robustness", table)


def backbones_card(found: dict[str, Any]) -> None:
    """Other networks, which the paper leaves to future work: what each costs, and how it does where measured."""
    measured = found["accuracy"] if isinstance(found["accuracy"], dict) else None
    rows = []
    for name, one in found["backbones"].items():
        own = measured["backbones"][name]["balanced_accuracy"] if measured else None
        time = one["cpu_ms"]
        rows.append(
            (
                one["title"],
                estimate_words(own) if own else "not measured",
                f"{one['parameters'] / 1e6:.1f} M",
                f"{one['multiply_adds'] / 1e9:.1f} G",
                f"{time['median']:.0f} ms ({time['low']:.0f} to {time['high']:.0f})",
            )
        )
    columns = ["Backbone", "Balanced accuracy", "Parameters", "Multiply-adds", "Processor time of a slice"]
    table = pd.DataFrame(rows, columns=columns)
    slowest, first = max(found["backbones"].values(), key=_time), next(iter(found["backbones"].values()))
    with st.container(border=True):
        figure_title(
            f"{slowest['title']} takes {_time(slowest) / _time(first):.0f} times as long for a slice as "
            f"{first['title']}",
            f"The paper's future work. One slice of {found['size']} pixels, {found['threads']} thread, "
            f"median and middle 90 % of {found['rounds']}",
        )
        st.dataframe(table, hide_index=True, alt="Accuracy, size and time of each backbone")
        if measured is None:
            st.caption(
                "Accuracy on the same folds needs each network's ImageNet weights: "
                "`python -m core compare-backbones --data DIR... --keep` measures it."
            )
        downloads("paper-backbones", table)


def _time(one: dict[str, Any]) -> float:
    return one["cpu_ms"]["median"]


components.head(TITLE, LEAD)
try:
    costs = loaders.backbone_results()
    found, on_ct = loaders.paper_results(), loaders.paper_ct_results()
    ours = run(DEMO).metrics.get("robustness") if on_ct else None
except RunError as error:
    components.run_message(error)
    st.stop()
if found:
    accuracy_card(found)
fractions_card()
if found:
    left, right = st.columns([7, 5], gap="small")
    with left:
        curves_card(found)
    with right:
        report_card(found)
else:
    with st.container(border=True):
        figure_title("Results of the recipe are not here", "data/evidence/paper.json is missing")
        st.markdown(f"`{COMMAND} --keep` makes it, with the public set of X-rays in DIR.")
if on_ct:
    ct_card(on_ct)
    sources_card(on_ct)
    robustness_card(on_ct, ours)
else:
    with st.container(border=True):
        figure_title("What the recipe gives on CT slices is not measured yet", "Three classes, five sources")
        st.markdown("`python -m core reproduce-paper --ct DIR... --weights FILE --keep` measures it, in hours.")
if costs:
    backbones_card(costs)
st.caption(
    "**Limits.** What the paper leaves open (rates, batch, dropout, crop) is chosen as the recipe's file says. "
    "Start weights stand in for those that the paper names. X-rays show chests from the front: they say nothing "
    "of CT slices."
)
