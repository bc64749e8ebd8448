"""Figures of ranges: tornado, the curve of one number, the map of two. Tables in, charts out."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts import INK
from dashboard.decision.charts import (
    SLATE,
    TEAL,
    WORDS,
    ZERO,
    above,
    beside,
    dashes,
    end_names,
    end_places,
    money_axis,
    plain_axis,
    room_for_names,
    signed_axis,
)
from dashboard.drawing import Drawing, haloed, look, table

PICKED = "picked"
"""Name of the tornado's selection; it holds the ids of the numbers whose bars were clicked."""

TITLES = {
    "cost": "Extra cost per person",
    "qalys": "Extra QALYs per 1,000 people",
    "icer": "Cost per QALY gained",
    "nmb": "Net benefit gained per person",
}


def _axis(outcome: str, symbol: str, title: str | None) -> alt.Axis:
    if outcome == "qalys":
        return signed_axis(title)
    return money_axis(symbol, title, plus=outcome != "icer")


def tornado(rows: pd.DataFrame, base: float, outcome: str, symbol: str, chosen: str | None) -> Drawing:
    """Bars from what the outcome is at the low end of a number's range to what it is at its high end.

    `rows`, widest first, has parameter, label, name (the label with its trust), at_low, at_high, low_words and
    high_words (the ends of the range in words). The part up to the high end is teal, to the low end slate; each
    end says which value it stands for. `base` is the outcome with base values.
    """
    rows = rows.assign(rank=range(len(rows)), base=base)
    # Where both ends lie on one side of the base, their words must not cover each other.
    rising = rows["at_high"] >= rows["at_low"]
    high = rows.assign(end="high", at=rows["at_high"], words=rows["high_words"], left=~rising)
    low = rows.assign(end="low", at=rows["at_low"], words=rows["low_words"], left=rising)
    bars = pd.concat([high, low])
    bars["place"] = np.where(bars["left"], np.minimum(bars["at"], base), np.maximum(bars["at"], base))
    columns = ["parameter", "label", "rank", "base", "end", "at", "words", "left", "place"]
    first, last = _with_room(rows[["at_low", "at_high"]].to_numpy().ravel(), base)
    own = rows[rows["parameter"] == chosen].assign(first=first, last=last)
    tables = {
        "bars": bars[columns],
        "names": rows[["rank", "name"]],
        "own": own[["rank", "first", "last"]],
        "base": {"at": [base]},
        "room": {"at": [first, last]},
    }
    return Drawing(_tornado(len(rows), outcome, symbol), tables)


@look
def _tornado(n_rows: int, outcome: str, symbol: str) -> alt.LayerChart:
    scale = alt.Scale(domain=list(range(n_rows)), paddingInner=0.15, paddingOuter=0.1)
    y = alt.Y("rank:O", axis=None, scale=scale)
    x = alt.X("at:Q", scale=TO_ITS_DATA, axis=_axis(outcome, symbol, TITLES[outcome]))
    fill = alt.Color("end:N", scale=alt.Scale(domain=["high", "low"], range=[TEAL, SLATE]), legend=None)
    tooltip = [
        alt.Tooltip("label:N", title="Number"),
        alt.Tooltip("words:N", title="At"),
        alt.Tooltip("at:Q", title="Then", format=",.6~g"),
        alt.Tooltip("base:Q", title="With base values", format=",.6~g"),
    ]
    under = 9
    picked = alt.selection_point(name=PICKED, fields=["parameter"], on="click", empty=False)
    bars = table("bars").mark_bar(height=13, yOffset=under, cursor="pointer")
    layers = [
        room(x=x),
        table("own").mark_bar(color=TEAL, opacity=0.1).encode(x=alt.X("first:Q"), x2="last:Q", y=y),
        bars.encode(x=x, x2="base:Q", y=y, color=fill, tooltip=tooltip).add_params(picked),
        table("base").mark_rule(color=INK, strokeWidth=1.5).encode(x=x),
        *haloed(
            table("names")
            .mark_text(align="left", dy=-8, limit=alt.expr("width"), **WORDS)
            .encode(x=alt.value(0), y=y, text="name:N")
        ),
        *beside("bars", "words", dy=under, x=alt.X("place:Q"), y=y),
    ]
    chart = alt.layer(*layers)
    return chart.properties(height=42 * n_rows + 10, padding={"left": 2, "right": 8, "top": 4, "bottom": 8})


TO_ITS_DATA = alt.Scale(nice=False, zero=False)
"""A scale whose ends are in the tables, so that a look does not change, and is not built anew, with its data."""


def room(**encoding: alt.X | alt.Y) -> alt.Chart:
    """Unseen points of the table "room", to whose ends the axes reach."""
    return table("room").mark_point(opacity=0, size=0, aria=False).encode(**encoding)


def _with_room(values: np.ndarray, base: float) -> tuple[float, float]:
    """Ends of the axis with room for words outside the bars."""
    low, high = min(values.min(), base), max(values.max(), base)
    spare = 0.28 * (high - low) or abs(base) or 1.0
    return float(low - spare), float(high + spare)


def one_way(
    rows: pd.DataFrame, chosen: str, outcome: str, symbol: str, x_title: str, base: float, turns: pd.DataFrame
) -> Drawing:
    """An outcome along one number: one line a strategy, its name at its end.

    rows   value, strategy, name, outcome; rows whose outcome is NaN are left out
    base   the number's base value, a thin rule
    turns  value, word: where the best strategy changes; dashed rules
    """
    first, last = float(rows["value"].min()), float(rows["value"].max())
    shown = rows.dropna(subset=["outcome"])
    low, high = min(shown["outcome"].min(), 0.0), max(shown["outcome"].max(), 0.0)
    spare = 0.07 * (high - low) or 1.0
    low, high = float(low - spare), float(high + spare)
    ends = shown[shown["value"] == last]
    places = end_places(ends["outcome"].tolist(), high, 0.062, low)
    own = shown["strategy"] == chosen
    middle = (first + last) / 2
    tables = {
        "own": shown[own],
        "others": shown[~own],
        "ends": {"place": places, "name": ends["name"], "own": ends["strategy"] == chosen},
        "turns": {"value": turns["value"], "word": turns["word"], "left": turns["value"] > middle},
        "now": {"value": [base]},
        "zero": ZERO,
        "room": {"value": [first, last], "outcome": [low, high]},
    }
    return Drawing(_one_way(outcome, symbol, x_title), tables)


@look
def _one_way(outcome: str, symbol: str, x_title: str) -> alt.LayerChart:
    x = alt.X("value:Q", scale=TO_ITS_DATA, axis=value_axis(x_title))
    y = alt.Y("outcome:Q", scale=TO_ITS_DATA, axis=_axis(outcome, symbol, None))
    tooltip = [
        alt.Tooltip("name:N", title="Strategy"),
        alt.Tooltip("value:Q", title="Value", format=",.6~g"),
        alt.Tooltip("outcome:Q", title="Then", format=",.6~g"),
    ]
    layers = [
        room(x=x, y=y),
        table("zero").mark_rule(color=INK, opacity=0.5).encode(y="zero:Q"),
        table("now").mark_rule(color=INK, opacity=0.5).encode(x=x),
        table("now").mark_text(text="base", dy=-6, **WORDS).encode(x=x, y=alt.value(0)),
        table("others")
        .mark_line(color=SLATE, strokeWidth=1.5)
        .encode(x=x, y=y, strokeDash=dashes(), tooltip=tooltip),
        table("own").mark_line(color=TEAL, strokeWidth=3).encode(x=x, y=y, tooltip=tooltip),
        table("turns").mark_rule(color=INK, strokeDash=[5, 4], strokeWidth=1.5).encode(x=x),
        *beside("turns", "word", bold=True, x=x, y=alt.value(10)),
        *end_names(),
    ]
    chart = alt.layer(*layers)
    return room_for_names(chart, 320).properties(title=above(TITLES[outcome]))


STRENGTHS = {"none": 0.06, "single": 0.22, "double": 0.38, "concurrent": 0.3, "second_reader": 0.5, "triage": 0.14}
"""Slate of each strategy that is not the one of interest; names in the areas say what they are."""


def best_map(
    cells: pd.DataFrame, labels: pd.DataFrame, chosen: str, titles: Sequence[str], base: tuple[float, float]
) -> Drawing:
    """The best strategy at each pair of values: the one of interest teal, others slate, names in their areas.

    cells   x, x2, y, y2 (sides of the cell), strategy, name, margin (words)
    labels  x, y, name of each area; titles of both axes; base values of both numbers: a ring
    """
    strategies = tuple(sorted(cells["strategy"].unique()))
    x = float(cells["x"].min()), float(cells["x2"].max())
    y = float(cells["y"].min()), float(cells["y2"].max())
    left = base[0] > 0.6 * (x[0] + x[1])
    tables = {
        "cells": cells,
        "edges": _edges(cells),
        "labels": labels,
        "base": {"x": [base[0]], "y": [base[1]], "word": ["base"], "left": [left]},
    }
    return Drawing(_best_map(x, y, strategies, chosen, *titles), tables)


@look
def _best_map(
    x_domain: tuple[float, float],
    y_domain: tuple[float, float],
    strategies: tuple[str, ...],
    chosen: str,
    x_title: str,
    y_title: str,
) -> alt.LayerChart:
    colours = [TEAL if name == chosen else SLATE for name in strategies]
    strengths = [0.45 if name == chosen else STRENGTHS[name] for name in strategies]
    x_scale, y_scale = (alt.Scale(domain=domain, nice=False, zero=False) for domain in (x_domain, y_domain))
    x = alt.X("x:Q", scale=x_scale, axis=value_axis(x_title))
    y = alt.Y("y:Q", scale=y_scale, axis=value_axis(None))
    tooltip = [alt.Tooltip("name:N", title="Best buy"), alt.Tooltip("margin:N", title="Ahead of the next by")]
    tiles = table("cells").mark_rect(stroke=None)
    tiles = tiles.encode(
        x=x,
        x2="x2:Q",
        y=y,
        y2="y2:Q",
        color=alt.Color("strategy:N", scale=alt.Scale(domain=list(strategies), range=colours), legend=None),
        opacity=alt.Opacity("strategy:N", scale=alt.Scale(domain=list(strategies), range=strengths), legend=None),
        tooltip=tooltip,
    )
    layers = [
        tiles,
        table("edges").mark_rule(color=INK, strokeWidth=1.5).encode(x=x, x2="x2:Q", y=y, y2="y2:Q"),
        table("base").mark_point(size=110, color=INK, strokeWidth=2.5, filled=False, opacity=1).encode(x=x, y=y),
        *beside("base", "word", x=x, y=y),
        table("labels").mark_text(fontSize=13, fontWeight="bold", color=INK).encode(x=x, y=y, text="name:N"),
    ]
    chart = alt.layer(*layers)
    chart = chart.properties(height=380, padding={"left": 2, "right": 14, "top": 4, "bottom": 8})
    return chart.properties(title=above(y_title))


def _edges(cells: pd.DataFrame) -> pd.DataFrame:
    """Sides between cells whose best strategies differ, so that areas do not hang on their fill."""
    grid = cells.pivot(index="y", columns="x", values="strategy").to_numpy()
    xs = np.append(np.sort(cells["x"].unique()), cells["x2"].max())
    ys = np.append(np.sort(cells["y"].unique()), cells["y2"].max())
    upright = [(xs[j + 1], xs[j + 1], ys[i], ys[i + 1]) for i, j in np.argwhere(grid[:, 1:] != grid[:, :-1])]
    level = [(xs[j], xs[j + 1], ys[i + 1], ys[i + 1]) for i, j in np.argwhere(grid[1:] != grid[:-1])]
    return pd.DataFrame([*upright, *level], columns=["x", "x2", "y", "y2"], dtype=float)


def sides(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper sides of the cells around rising values: halfway to their neighbours, ends as they are."""
    middle = (values[1:] + values[:-1]) / 2
    return np.append(values[0], middle), np.append(middle, values[-1])


def value_axis(title: str | None) -> alt.Axis:
    """The axis of a number's values."""
    return plain_axis(title, labelExpr="replace(format(datum.value, ',.4~g'), '-', '−')", grid=False)
