"""The curves of Performance with the operating point on them, and the reliability diagram."""

import numpy as np
import pandas as pd
import streamlit as st

from core.labels import title
from core.metrics import Estimate
from core.operating import OperatingPoint
from dashboard.components import GLYPHS, NAMES, figure_title
from dashboard.figure import figure
from dashboard.performance import charts, link, loaders
from dashboard.performance.link import Choice
from dashboard.performance.loaders import Picked, Subject
from dashboard.performance.words import lower

CURVE = {"roc": "ROC", "pr": "Precision-recall", "net": "Decision curve"}
POINT_COLUMNS = ["x", "y", "x_low", "x_high", "low", "high", "words", "short", "word_x"]


def curve_card(of: Subject, labels: tuple[str, ...]) -> None:
    """One of the three curves; the chosen one stands in the address."""
    st.segmented_control(
        "Curve",
        list(CURVE),
        default=link.choice().curve,
        required=True,
        format_func=CURVE.get,
        label_visibility="collapsed",
        key=link.control("curve", link.choice().curve),
        on_change=link.take,
        args=("curve", "curve"),
    )
    curve_part(of, labels)


@st.fragment(key=link.key("curve"))
def curve_part(of: Subject, labels: tuple[str, ...]) -> None:
    """The curve with the operating point on it."""
    choice = link.choice()
    point = None
    if choice.label:
        point = loaders.operating_point(of, choice.label, choice.threshold, choice.prevalence / 1000)
    if choice.curve == "net":
        net_benefit_part(of, choice, point)
        return
    precision = loaders.precision(of, choice.point) if choice.label else None
    picked = Picked(of, choice.point, choice.cells)
    wanted = (choice.label,) if choice.label else labels
    found = {label: loaders.curve(picked, label, choice.curve) for label in wanted}
    drawn = {label: curve for label, curve in found.items() if curve is not None}
    if not drawn:
        figure_title(f"No {CURVE[choice.curve]} curve", _one_sided(choice))
        return
    roc = choice.curve == "roc"
    x, y = ("false_positive_rate", "sensitivity") if roc else ("recall", "precision")
    tables = [curve.table.assign(label=label) for label, curve in drawn.items()]
    table = pd.concat(tables, ignore_index=True)
    chance = pd.DataFrame(
        [
            (label, place, place if roc else curve.chance)
            for label, curve in list(drawn.items())[: 1 if roc else None]
            for place in (0.0, 1.0)
        ],
        columns=["label", "x", "y"],
    )
    names = ("1 − specificity", "Sensitivity") if roc else ("Sensitivity (recall)", "Precision (PPV among these)")
    figure(
        charts.curve(
            table.rename(columns={x: "x", y: "y"}),
            chosen_point(point, precision, choice),
            chance,
            names,
        ),
        table,
        sentence=curve_sentence(drawn, roc),
        note=curve_note(drawn, point is not None),
        alt_text=f"{CURVE[choice.curve]} curves: {curve_sentence(drawn, roc)}",
        name=f"curve-{choice.curve}",
    )


def _one_sided(choice: Choice) -> str:
    what = lower(choice.label) if choice.label else "a class"
    return f"It needs slices of {what} and others; these slices are all of one kind. Choose more cells, or none"


def curve_sentence(drawn: dict, roc: bool) -> str:
    """The area under each curve, in words."""
    name = "AUC" if roc else "average precision"
    parts = [f"{lower(label)} {curve.area.value:.2f}" for label, curve in drawn.items()]
    if len(parts) == 1:
        [(label, curve)] = drawn.items()
        return f"{title(label)} against the rest: {name} {curve.area.value:.2f}"
    return f"Each class against the rest: {name} " + ", ".join(parts)


def curve_note(drawn: dict, point: bool) -> str:
    """Which line is which class, the areas' intervals, and what bands are."""
    lines = [
        f":{NAMES.get(label, 'gray')}[{GLYPHS.get(label, '◆')}] {curve.area.low:.2f} to {curve.area.high:.2f}"
        if curve.area.low is not None
        else f":{NAMES.get(label, 'gray')}[{GLYPHS.get(label, '◆')}] no interval"
        for label, curve in drawn.items()
    ]
    n = next(iter(drawn.values())).n_slices
    cross = "; cross: 95 % of the chosen point" if point else ""
    return f"{', '.join(lines)}; {n:,} slices; bands: 95 %{cross}"


def chosen_point(point: OperatingPoint | None, precision: Estimate | None, choice: Choice) -> pd.DataFrame:
    """The operating point as the curves draw it, with the bounds of both shares: one row, or none."""
    if point is None:
        return pd.DataFrame(columns=POINT_COLUMNS)
    across, up = (
        (point.false_alarms, point.sensitivity) if choice.curve == "roc" else (point.sensitivity, precision)
    )
    if across.value is None or up.value is None or np.isnan(up.value):
        return pd.DataFrame(columns=POINT_COLUMNS)
    short = f"threshold {choice.threshold:.2f}"
    words = f"{short}: {across.value:.3f}, {up.value:.3f}"
    ends = [share.value if bound is None else bound for share in (across, up) for bound in (share.low, share.high)]
    row = (across.value, up.value, *ends, words, short, min(max(across.value, 0.2), 0.8))
    return pd.DataFrame([row], columns=POINT_COLUMNS)


def net_benefit_part(of: Subject, choice: Choice, point: OperatingPoint | None) -> None:
    """The decision curve of the chosen class."""
    if not choice.label:
        figure_title("No decision curve", "Choose a class: it weighs acting on that class against not acting")
        return
    picked = Picked(of, choice.point, choice.cells)
    table = loaders.net_benefit(picked, choice.label, choice.prevalence / 1000)
    if table is None:
        figure_title("No decision curve", _one_sided(choice))
        return
    model = table[table["strategy"] == "model"]
    here = model.iloc[[int((model["threshold"] - choice.threshold).abs().to_numpy().argmin())]]
    others = table[(table["strategy"] != "model") & (table["threshold"] == here["threshold"].iloc[0])]
    name = lower(choice.label)
    words = f"threshold {choice.threshold:.2f}: net benefit {here['net_benefit'].iloc[0]:.4f}"
    figure(
        charts.decision(table, here[["threshold", "net_benefit"]].assign(words=words), choice.label),
        table,
        sentence=net_benefit_sentence(choice.threshold, here.iloc[0], others["net_benefit"].max()),
        note=f"Net benefit for {name} at {choice.prevalence} per 1,000; band: 95 %; dashed: act on all; "
        "dotted: on none",
        alt_text=f"Decision curve for {name}; its numbers are in the table under Save.",
        name="decision-curve",
    )


def net_benefit_sentence(threshold: float, model: pd.Series, other: float) -> str:
    """Whether the model (net_benefit, low, high) gains more than the better of all and none."""
    if model["low"] > other:
        return f"At {threshold:.2f} acting on the model is better than acting on all or none"
    if model["high"] < other:
        return f"At {threshold:.2f} acting on the model is worse than acting on all or none"
    return f"At {threshold:.2f} acting on the model cannot be told from acting on all or none"


@st.fragment(key=link.key("reliability"))
def reliability_part(of: Subject) -> None:
    """Predicted against observed, before and after temperature."""
    choice = link.choice()
    label = choice.label or None
    after, before = loaders.reliability(Picked(of, choice.point, choice.cells), label)
    if not len(after):
        figure_title("No reliability diagram", "No slice lies in the chosen cells")
        return
    share = f"are {lower(label)}" if label else "are called right"
    table = pd.concat([after.assign(when="after"), before.assign(when="before")], ignore_index=True)
    figure(
        charts.reliability(after, before, label or ""),
        table,
        sentence=reliability_sentence(after, label),
        note=f"Share of slices that {share}, with 95 %; bars: slices per bin, at most {after['slices'].max():,}; "
        "rings: before temperature",
        alt_text=f"Reliability diagram: {reliability_sentence(after, label)}",
        name="reliability",
    )


def reliability_sentence(after: pd.DataFrame, label: str | None) -> str:
    """Whether probabilities run high or low, only where intervals say so."""
    high = int((after["high"] < after["predicted"]).sum())
    low = int((after["low"] > after["predicted"]).sum())
    what = f"Probabilities of {lower(label)}" if label else "Probabilities of the called class"
    if high == low == 0:
        return f"{what}: no bin of {len(after)} is clearly off"
    if high and low:
        return f"{what} run high in {high} and low in {low} of {len(after)} bins"
    return f"{what} run {'high' if high else 'low'} in {high or low} of {len(after)} bins"
