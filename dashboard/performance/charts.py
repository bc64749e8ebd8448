"""Figures of the page Performance: tables in, Altair charts out.

What moves with a threshold stands in the data and never in the specification (domains, sorts, words): Altair
then makes and checks a specification once, which takes it longer than all else on the page, and the browser
changes the drawn figure in place instead of drawing it anew.
"""

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.labels import title
from dashboard.charts import COLOURS, DASHES, INK, SHAPES, SPARE

TEAL = "#12808A"
SLATE = "#6B7C86"
SELECTION, ADDITION = "cell", "addition"
"""Names of the matrix's selections, by a click and by one with Shift; their points hold true, called and turn."""

SIZE = {"height": 270, "padding": {"left": 2, "right": 6, "top": 4, "bottom": 5}}


class Filled:
    """A specification that was made before, with the data of now; drawn and saved as an Altair chart is."""

    def __init__(self, spec: str, **tables: pd.DataFrame) -> None:
        self._spec, self._tables = spec, tables

    def to_dict(self, *_: object, **__: object) -> dict[str, Any]:
        """The Vega-Lite specification; its datasets by name, as rows."""
        rows = {name: table.to_dict("records") for name, table in self._tables.items()}
        return {**json.loads(self._spec), "datasets": rows}


def _scale(values: dict, spare: object, labels: Sequence[str]) -> alt.Scale:
    return alt.Scale(domain=list(labels), range=[values.get(label, spare) for label in labels])


def _share(value: float) -> str:
    """As people say shares: "25 %", "<1 %", "–" where there is none."""
    if not np.isfinite(value):
        return "–"
    if 0 < value < 0.005:
        return "<1 %"
    return f"{100 * value:.0f} %"


def _span(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f}" if np.isfinite(low) and np.isfinite(high) else "no interval"


def matrix_cells(
    table: pd.DataFrame, show: str, diagonal: bool, log: bool, chosen: Sequence[tuple[str, str]], turn: int
) -> pd.DataFrame:
    """What the matrix draws: one row a cell with its words, its depth of colour 0..1, and whether it is chosen.

    `table` as by core.operating.Matrix.table(); `turn` tells one click from the next.
    """
    kind = "column" if show == "column" else "row"
    numbers = {name: table[name].to_numpy() for name in table.columns}
    true, called = numbers["true"], numbers["predicted"]
    hidden = (true == called) & (not diagonal)
    depth = np.nan_to_num(np.asarray(numbers["slices" if show == "count" else f"{kind}_share"], float))
    depth = np.where(hidden, 0.0, depth)
    if log:
        depth = np.log1p(depth if show == "count" else 1000 * depth)
    words = {
        name: [
            (_share(share), _span(low, high))
            for share, low, high in zip(
                *(numbers[f"{name}_{part}"] for part in ("share", "low", "high")), strict=True
            )
        ]
        for name in ("row", "column")
    }
    return pd.DataFrame(
        {
            "true": [title(label) for label in true],
            "called": [title(label) for label in called],
            "true_label": true,
            "called_label": called,
            "turn": turn,
            "depth": depth / max(depth.max(), 1e-9),
            "count": ["" if gone else f"{value:,}" for value, gone in zip(numbers["slices"], hidden, strict=True)],
            "share": ["hidden" if gone else share for (share, _), gone in zip(words[kind], hidden, strict=True)],
            "span": ["" if gone else span for (_, span), gone in zip(words[kind], hidden, strict=True)],
            "chosen": [pair in set(chosen) for pair in zip(true, called, strict=True)],
            **{f"{name}_words": [f"{share} ({span})" for share, span in found] for name, found in words.items()},
        }
    )


def matrix(cells: pd.DataFrame, labels: Sequence[str]) -> Filled:
    """The confusion matrix; a click selects a cell, one with Shift a further one."""
    return Filled(_matrix(tuple(labels)), cells=cells)


@lru_cache(maxsize=8)
def _matrix(labels: tuple[str, ...]) -> str:
    names = [title(label) for label in labels]
    axis = {"domain": False, "ticks": False, "grid": False, "labelFontSize": 13, "titleFontSize": 12}
    axis |= {"titleFontWeight": "normal", "labelLimit": 110, "labelPadding": 6, "labelFlush": False}
    narrow = "bandwidth('x') < 78"  # on a phone
    limit = f"{narrow} ? bandwidth('x') + 6 : 110"
    base = alt.Chart(alt.NamedData("cells")).encode(
        x=alt.X(
            "called:N",
            sort=names,
            scale=alt.Scale(domain=names, paddingInner=0.015, paddingOuter=0),
            axis=alt.Axis(
                title="Called",
                orient="top",
                labelAngle=0,
                labelOverlap=False,
                **axis | {"labelFontSize": alt.expr(f"{narrow} ? 12 : 13"), "labelLimit": alt.expr(limit)},
            ),
        ),
        y=alt.Y(
            "true:N",
            sort=names,
            scale=alt.Scale(domain=names, paddingInner=0.02, paddingOuter=0),
            axis=alt.Axis(title="True class", **axis),
        ),
    )
    clicks = [
        alt.selection_point(
            name=name, fields=["true_label", "called_label", "turn"], on=on, clear=False, toggle=False
        )
        for name, on in ((SELECTION, "click[!event.shiftKey]"), (ADDITION, "click[event.shiftKey]"))
    ]
    tiles = base.mark_rect(cornerRadius=3, fill=TEAL, stroke=INK, cursor="pointer").encode(
        fillOpacity=alt.FillOpacity("depth:Q", scale=alt.Scale(domain=[0, 1], range=[0.06, 0.88]), legend=None),
        strokeWidth=alt.condition("datum.chosen", alt.value(2.5), alt.value(0)),
        tooltip=[
            alt.Tooltip("true:N", title="True class"),
            alt.Tooltip("called:N", title="Called"),
            alt.Tooltip("count:N", title="Slices"),
            alt.Tooltip("row_words:N", title="Of the true class (95 %)"),
            alt.Tooltip("column_words:N", title="Of those called so (95 %)"),
        ],
    )
    words = {"color": INK, "align": "center", "baseline": "middle"}
    wide = alt.expr("width < 230 ? 0 : 1")  # on a phone only count and share fit
    texts = [
        base.mark_text(dy=-16, fontSize=19, fontWeight=600, **words).encode(text="count:N"),
        base.mark_text(dy=6, fontSize=13, **words).encode(text="share:N"),
        base.mark_text(dy=23, fontSize=12, opacity=wide, **words).encode(text="span:N"),
    ]
    chart = alt.layer(tiles.add_params(*clicks), *texts)
    return chart.properties(height=330, padding={"left": 2, "right": 2, "top": 2, "bottom": 2}).to_json(indent=None)


def _axis(name: str, **more: object) -> alt.Axis:
    options = {"values": [0, 0.25, 0.5, 0.75, 1], "format": ".2~f", "labelFontSize": 12, "titleFontSize": 12}
    return alt.Axis(title=name, titleFontWeight="normal", **(options | more))


def curve(lines: pd.DataFrame, point: pd.DataFrame, chance: pd.DataFrame, names: tuple[str, str]) -> Filled:
    """ROC or precision-recall curves with their bands, chance dashed, and the chosen point with its whiskers.

    lines   label, x, y, low, high   one row a point of a curve
    point   x, y, x_low, x_high, low, high, words   one row, or none
    chance  label, x, y   the ends of each dashed line
    """
    labels = tuple(dict.fromkeys(lines["label"]))
    shown = lines[["label", "x", "y", "low", "high"]]
    return Filled(_curve(labels, names), lines=shown, point=point, chance=chance)


@lru_cache(maxsize=32)
def _curve(labels: tuple[str, ...], names: tuple[str, str]) -> str:
    unit = alt.Scale(domain=[0, 1])
    colour = alt.Color("label:N", scale=_scale(COLOURS, SPARE, labels), legend=None)
    dash = alt.StrokeDash("label:N", scale=_scale(DASHES, [4, 1], labels), legend=None)
    x = alt.X("x:Q", scale=unit, axis=_axis(names[0]))
    y = alt.Y("y:Q", scale=unit, axis=_axis(names[1]))
    base = alt.Chart(alt.NamedData("lines")).encode(x=x)
    bands = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", scale=unit), y2="high:Q", color=colour)
    drawn = base.mark_line(strokeWidth=2).encode(y=y, color=colour, strokeDash=dash)
    guess = (
        alt.Chart(alt.NamedData("chance"))
        .mark_line(color=INK, strokeDash=[2, 4], strokeWidth=1, opacity=0.7)
        .encode(x="x:Q", y="y:Q", detail="label:N")
    )
    return alt.layer(guess, bands, drawn, *_chosen(unit)).properties(**SIZE).to_json(indent=None)


def _chosen(unit: alt.Scale) -> list[alt.Chart]:
    here = alt.Chart(alt.NamedData("point"))
    place = {"x": alt.X("x:Q", scale=unit), "y": alt.Y("y:Q", scale=unit)}
    return [
        here.mark_rule(color=INK, strokeWidth=2).encode(x=place["x"], y=alt.Y("low:Q", scale=unit), y2="high:Q"),
        here.mark_rule(color=INK, strokeWidth=2).encode(
            x=alt.X("x_low:Q", scale=unit), x2="x_high:Q", y=place["y"]
        ),
        here.mark_point(filled=True, size=110, color=INK, opacity=1).encode(
            **place, tooltip=[alt.Tooltip("words:N", title="Chosen point")]
        ),
        here.mark_text(align="center", dy=22, fontSize=12, fontWeight="bold", color=INK).encode(
            x=alt.X("word_x:Q", scale=unit), y=place["y"], text="short:N"
        ),
    ]


STRATEGIES = {"model": [1, 0], "all": [6, 3], "none": [2, 3]}


def decision(table: pd.DataFrame, point: pd.DataFrame, label: str) -> Filled:
    """Net benefit against the threshold: the model with its band, calling all, calling none, the chosen point.

    table  strategy, threshold, net_benefit, low, high;   point  threshold, net_benefit, words (one row or none)
    """
    top = max(float(table["net_benefit"].max()), 1e-4) * 1.15
    shown = table[["strategy", "threshold", "net_benefit", "low", "high"]]
    return Filled(_decision(COLOURS.get(label, SPARE), top), table=shown, point=point)


@lru_cache(maxsize=32)
def _decision(colour: str, top: float) -> str:
    scale = alt.Scale(domain=[-0.4 * top, top], clamp=True)
    x = alt.X("threshold:Q", scale=alt.Scale(domain=[0, 1]), axis=_axis("Probability from which one would act"))
    y = alt.Y(
        "net_benefit:Q",
        scale=scale,
        axis=_axis("Net benefit per slice", values=alt.Undefined, tickCount=4, format=".2~g"),
    )
    base = alt.Chart(alt.NamedData("table")).encode(x=x)
    model = "datum.strategy === 'model'"
    band = base.transform_filter(model).mark_area(opacity=0.15, color=colour, clip=True)
    lines = base.mark_line(strokeWidth=2, clip=True).encode(
        y=y,
        color=alt.Color(
            "strategy:N", scale=alt.Scale(domain=list(STRATEGIES), range=[colour, SLATE, SLATE]), legend=None
        ),
        strokeDash=alt.StrokeDash(
            "strategy:N", scale=alt.Scale(domain=list(STRATEGIES), range=list(STRATEGIES.values())), legend=None
        ),
    )
    here = alt.Chart(alt.NamedData("point")).encode(x=alt.X("threshold:Q"), y=alt.Y("net_benefit:Q", scale=scale))
    dot = here.mark_point(filled=True, size=110, color=INK, opacity=1).encode(
        tooltip=[alt.Tooltip("words:N", title="Chosen point")]
    )
    rule = here.mark_rule(color=INK, strokeDash=[4, 4]).encode(
        x="threshold:Q", y=alt.value(0), y2=alt.value("height")
    )
    layers = alt.layer(band.encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"), lines, rule, dot)
    return layers.properties(**SIZE).to_json(indent=None)


def reliability(after: pd.DataFrame, before: pd.DataFrame, label: str) -> Filled:
    """Observed share against predicted probability, after temperature (filled) and before (open), counts as bars.

    Both tables: bin_low, bin_high, predicted, observed, low, high, slices.
    """
    most = max(1, int(after["slices"].max())) if len(after) else 1
    return Filled(_reliability(label), after=after.assign(height=0.18 * after["slices"] / most), before=before)


@lru_cache(maxsize=8)
def _reliability(label: str) -> str:
    unit = alt.Scale(domain=[0, 1])
    colour = COLOURS.get(label, TEAL)
    x = alt.X("predicted:Q", scale=unit, axis=_axis("Predicted probability"))
    y = alt.Y("observed:Q", scale=unit, axis=_axis("Share that was so"))
    bars = (
        alt.Chart(alt.NamedData("after"))
        .mark_bar(color=SLATE, opacity=0.4)
        .encode(
            x=alt.X("bin_low:Q", scale=unit),
            x2="bin_high:Q",
            y=alt.Y("height:Q", scale=unit),
            y2=alt.Y2Datum(0),
            tooltip=_counts(),
        )
    )
    even = (
        alt.Chart(alt.InlineData([{"predicted": place, "observed": place} for place in (0.0, 1.0)]))
        .mark_line(color=INK, strokeDash=[2, 4], strokeWidth=1, opacity=0.7)
        .encode(x=x, y=y)
    )
    now = alt.Chart(alt.NamedData("after"))
    whiskers = now.mark_rule(color=colour, strokeWidth=2).encode(x=x, y=alt.Y("low:Q", scale=unit), y2="high:Q")
    points = now.mark_point(
        filled=True, size=70, color=colour, opacity=1, shape=SHAPES.get(label, "circle")
    ).encode(x=x, y=y, tooltip=_counts())
    rings = (
        alt.Chart(alt.NamedData("before"))
        .mark_point(filled=False, size=60, color=INK, opacity=0.8, shape=SHAPES.get(label, "circle"))
        .encode(x=x, y=y, tooltip=_counts())
    )
    return alt.layer(bars, even, rings, whiskers, points).properties(**SIZE).to_json(indent=None)


def _counts() -> list[alt.Tooltip]:
    shown = {"predicted": "Predicted", "observed": "Observed", "low": "95 % from", "high": "95 % to"}
    return [alt.Tooltip(f"{name}:Q", title=words, format=".3f") for name, words in shown.items()] + [
        alt.Tooltip("slices:Q", title="Slices", format=",")
    ]
