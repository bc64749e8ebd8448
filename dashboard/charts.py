"""Figures: tables in, Altair charts out. Titles and units stand outside, so that they wrap and are spoken."""

from collections.abc import Mapping, Sequence

import altair as alt
import pandas as pd

from core.labels import LABELS, title
from dashboard.drawing import Drawing, look, table

INK = "#6E7B82"
"""Words, whiskers and rules; app.css swaps it for the ink of the visitor's theme."""

HATCH = "#75858F"
"""Where there is no answer; app.css hatches it."""

COLOURS = {"normal": "#2E78C7", "pneumonia": "#AD7D1C", "tumour": "#BE2C7A"}
SHAPES = {"normal": "circle", "pneumonia": "triangle-up", "tumour": "square"}
DASHES = {"normal": [6, 3], "pneumonia": [1, 0], "tumour": [2, 3]}
SPARE = "#6B7C86"
"""Colour of a class that is none of the three (a run with other labels)."""

NUMBERS = {"value": float, "low": float, "high": float}
QUARTERS = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f", title=None, labelFontSize=12, labelFlush=False)


def _scale(values: Mapping[str, object], spare: object, labels: Sequence[str] = LABELS) -> alt.Scale:
    """Each class to its own mark, all of them in the domain even where one is empty."""
    return alt.Scale(domain=list(labels), range=[values.get(label, spare) for label in labels])


def probability_bars(probabilities: Mapping[str, float], called: str) -> Drawing:
    """One bar a class from 0 to 1, its glyph and word at the left, its value at the right."""
    labels = tuple(probabilities)
    rows = {
        "label": labels,
        "class": [title(label) for label in labels],
        "probability": list(probabilities.values()),
        "words": [f"{value:.2f}" for value in probabilities.values()],
        "called": [label == called for label in labels],
    }
    return Drawing(_bars_look(labels, called), {"rows": rows})


@look
def _bars_look(labels: tuple[str, ...], called: str) -> alt.LayerChart:
    names = [title(label) for label in labels]
    bold = {"condition": {"test": f"datum.value === '{title(called)}'", "value": "bold"}, "value": "normal"}
    words = alt.Axis(
        title=None,
        domain=False,
        ticks=False,
        grid=False,
        labelFontSize=14,
        labelAlign="left",
        labelPadding=88,
        labelLimit=110,
        labelFontWeight=bold,
    )
    y = alt.Y("class:N", sort=names, axis=words, scale=alt.Scale(paddingInner=0.45, paddingOuter=0.2))
    base = table("rows").encode(y=y)
    colour = alt.Color("label:N", scale=_scale(COLOURS, SPARE, labels), legend=None)
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        x=alt.X("probability:Q", scale=alt.Scale(domain=[0, 1]), axis=QUARTERS),
        color=colour,
        tooltip=[
            alt.Tooltip("class:N", title="Class"),
            alt.Tooltip("probability:Q", format=".4f", title="Probability"),
        ],
    )
    shape = alt.Shape("label:N", scale=_scale(SHAPES, "diamond", labels), legend=None)
    glyphs = base.mark_point(filled=True, size=95, opacity=1).encode(x=alt.value(-102), color=colour, shape=shape)
    values = base.mark_text(align="left", dx=14, fontSize=14, color=INK).encode(
        x=alt.XValue(alt.expr("width")), text="words:N"
    )
    values = alt.layer(
        values.transform_filter("!datum.called"),
        values.mark_text(align="left", dx=14, fontSize=14, color=INK, fontWeight="bold").transform_filter(
            "datum.called"
        ),
    )
    chart = alt.layer(bars, glyphs, values)
    return chart.properties(height=150, padding={"left": 2, "right": 2, "top": 4, "bottom": 0})


def series_lines(series: pd.DataFrame, current: int, axis_title: str) -> Drawing:
    """Probability of each class along a series, `current` slice marked.

    `series` has one row per slice and class: slice (from 1), label, probability; NaN, hatched, where refused.
    """
    last = int(series["slice"].max())
    rows = series.assign(**{"class": series["label"].map(title)})
    answered, here = rows.dropna(), rows[rows["slice"] == current]
    without = rows.loc[rows["probability"].isna(), "slice"].drop_duplicates()
    tables = {
        "rows": rows,
        "alone": _alone(rows),
        "refused": {
            "slice": without,
            "start": without - 0.5,
            "end": without + 0.5,
            "answer": ["No answer"] * len(without),
        },
        "open": {"slice": [current], "words": [f"slice {current}"]},
        "here": here.dropna(),
        "ends": _end_labels(answered[answered["slice"] == answered["slice"].max()]),
    }
    roomy = current <= 0.8 * last
    return Drawing(_series_look(tuple(dict.fromkeys(series["label"])), last, axis_title, roomy), tables)


@look
def _series_look(labels: tuple[str, ...], last: int, axis_title: str, roomy: bool) -> alt.LayerChart:
    """`roomy`: there is room at the right of the open slice for its number."""
    scale = alt.Scale(domain=[1, last], nice=False, zero=False)
    x = alt.X(
        "slice:Q",
        scale=scale,
        axis=alt.Axis(
            title=axis_title,
            format="d",
            tickMinStep=1,
            tickCount=6,
            grid=False,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        ),
    )
    y = alt.Y(
        "probability:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(values=[0, 0.5, 1], format=".2~f", title=None, labelFontSize=12, labelFlush=False),
    )
    colour = alt.Color("label:N", scale=_scale(COLOURS, SPARE, labels), legend=None)
    dash = alt.StrokeDash("label:N", scale=_scale(DASHES, [4, 1], labels), legend=None)
    shape = alt.Shape("label:N", scale=_scale(SHAPES, "diamond", labels), legend=None)
    tooltip = [
        alt.Tooltip("slice:Q", title="Slice"),
        alt.Tooltip("class:N", title="Class"),
        alt.Tooltip("probability:Q", format=".3f", title="Probability"),
    ]
    lines = (
        table("rows")
        .mark_line(strokeWidth=2, invalid="break-paths-show-path-domains")
        .encode(x=x, y=y, color=colour, strokeDash=dash)
    )
    alone = table("alone").mark_point(filled=True, size=30, opacity=1).encode(x=x, y=y, color=colour)
    rule = table("open").mark_rule(color=INK, strokeWidth=1.5).encode(x="slice:Q")
    side = "left" if roomy else "right"
    number = rule.mark_text(fontSize=12, fontWeight="bold", color=INK, baseline="bottom", align=side, dy=-4).encode(
        x="slice:Q", y=alt.value(0), text="words:N"
    )
    marks = (
        table("here")
        .mark_point(filled=True, size=80, opacity=1)
        .encode(x="slice:Q", y="probability:Q", color=colour, shape=shape, tooltip=tooltip)
    )
    ends = table("ends")
    end_words = ends.mark_text(align="left", dx=24, fontSize=12, color=INK).encode(
        x=alt.XValue(alt.expr("width")), y=alt.Y("place:Q"), text="class:N"
    )
    end_glyphs = ends.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.XValue(alt.expr("width + 14")), y="place:Q", color=colour, shape=shape
    )
    chart = alt.layer(_hatched(scale), lines, alone, rule, number, marks, end_glyphs, end_words)
    return chart.properties(height=270, padding={"left": 2, "right": 2, "top": 4, "bottom": 5})


def _hatched(scale: alt.Scale) -> alt.Chart:
    """A bar over the whole height at each slice without a probability."""
    tooltip = [alt.Tooltip("slice:Q", title="Slice"), alt.Tooltip("answer:N", title="Refused")]
    bars = table("refused").mark_rect(color=HATCH, clip=True)
    return bars.encode(x=alt.X("start:Q", scale=scale), x2="end:Q", tooltip=tooltip)


def _alone(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of slices that are answered between two that are not: a line of one point draws nothing."""
    without = set(rows.loc[rows["probability"].isna(), "slice"])
    last = rows["slice"].max()
    beside = [all(n in without or not 1 <= n <= last for n in (s - 1, s + 1)) for s in rows["slice"]]
    return rows[pd.Series(beside, index=rows.index) & rows["probability"].notna()]


def _end_labels(last: pd.DataFrame, apart: float = 0.11) -> pd.DataFrame:
    """Rows of the last slice with `place`, the heights of their labels, `apart` and inside 0..1."""
    rows = last.sort_values("probability").reset_index(drop=True)
    places = []
    for value in rows["probability"]:
        places.append(max(value, places[-1] + apart) if places else max(value, 0.02))
    highest = 0.98
    for index in range(len(places) - 1, -1, -1):
        places[index] = min(places[index], highest)
        highest = places[index] - apart
    return rows.assign(place=places)


def forest(shares: pd.DataFrame, axis_title: str | None = None) -> Drawing:
    """Shares with their 95 % intervals, one row each, under its name and numbers; a mark that is no class is grey.

    `shares` has columns name (the row in words, unique), label (a class, or ""), value, low, high, words (the
    numbers in words); bounds may be missing. Names and numbers stand over the whiskers, not beside them, so that
    these keep their width on a phone.
    """
    names, labels = shares["name"].tolist(), tuple(dict.fromkeys(shares["label"]))
    rows = shares[["name", "label", "value", "low", "high", "words"]]
    return Drawing(_forest_look(tuple(names), labels, axis_title), {"rows": rows.astype(NUMBERS)})


@look
def _forest_look(names: tuple[str, ...], labels: tuple[str, ...], axis_title: str | None) -> alt.LayerChart:
    base = table("rows").encode(y=alt.Y("name:N", sort=list(names), axis=None))
    colour = alt.Color("label:N", scale=_scale(COLOURS, SPARE, labels), legend=None)
    shape = alt.Shape("label:N", scale=_scale(SHAPES, "diamond", labels), legend=None)
    scale = alt.Scale(domain=[0, 1])
    axis = alt.Axis(**QUARTERS.to_dict() | {"title": axis_title, "titleFontSize": 12, "titleFontWeight": "normal"})
    tooltip = [alt.Tooltip("name:N", title="Row"), alt.Tooltip("words:N", title="Share, 95 % interval")]
    under = 7
    whiskers = base.mark_rule(strokeWidth=2, yOffset=under).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", color=colour, tooltip=tooltip
    )
    ends = [
        base.mark_tick(thickness=2, size=9, yOffset=under).encode(x=alt.X(f"{end}:Q", scale=scale), color=colour)
        for end in ("low", "high")
    ]
    points = base.mark_point(filled=True, size=85, opacity=1, yOffset=under).encode(
        x=alt.X("value:Q", scale=scale), color=colour, shape=shape, tooltip=tooltip
    )
    above = {"fontSize": 13, "color": INK, "dy": -9}
    words = base.mark_text(align="left", **above).encode(x=alt.value(0), text="name:N")
    values = base.mark_text(align="right", **above).encode(x=alt.XValue(alt.expr("width")), text="words:N")
    chart = alt.layer(whiskers, *ends, points, words, values)
    return chart.properties(height=45 * len(names) + 34, padding={"left": 8, "right": 8, "top": 2, "bottom": 5})


def published_curves(history: pd.DataFrame, published: pd.DataFrame) -> alt.LayerChart:
    """Accuracy by epoch: each seed as a thin line, published values as rings; training dashed, validation solid.

    `history` has columns seed, epoch, train_accuracy and validation_accuracy; `published` epoch, measure, accuracy.
    """
    names = {"train_accuracy": "training", "validation_accuracy": "validation"}
    rows = history.melt(["seed", "epoch"], list(names), "measure", "accuracy")
    rows, rings = (given.assign(set=given["measure"].map(names)) for given in (rows, published))
    x = alt.X(
        "epoch:Q", axis=alt.Axis(title="Epoch", format="d", tickMinStep=1, grid=False, titleFontWeight="normal")
    )
    y = alt.Y(
        "accuracy:Q",
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(title="Accuracy", format=".2f", titleFontWeight="normal"),
    )
    colour = alt.Color(
        "set:N",
        scale=alt.Scale(domain=list(names.values()), range=[SPARE, INK]),
        legend=alt.Legend(title=None, orient="top"),
    )
    dash = alt.StrokeDash(
        "set:N", scale=alt.Scale(domain=list(names.values()), range=[[4, 3], [1, 0]]), legend=None
    )
    lines = (
        alt.Chart(rows)
        .mark_line(strokeWidth=1.2, opacity=0.7)
        .encode(x=x, y=y, color=colour, strokeDash=dash, detail="seed:N")
    )
    marks = (
        alt.Chart(rings)
        .mark_point(filled=False, size=60, strokeWidth=2, opacity=1)
        .encode(
            x=x,
            y=y,
            color=colour,
            tooltip=[
                alt.Tooltip("epoch:Q", title="Epoch"),
                alt.Tooltip("set:N", title="Published"),
                alt.Tooltip("accuracy:Q", format=".4f", title="Accuracy"),
            ],
        )
    )
    return alt.layer(lines, marks).properties(height=260)


def decline(shares: pd.DataFrame, axis_title: str, chance: float) -> Drawing:
    """A share by the step of a change, with its 95 % band and chance: a line a recipe, the second one dashed.

    `shares` has recipe, step, value, low, high, words.
    """
    rows = shares[["recipe", "step", "value", "low", "high", "words"]].astype(NUMBERS | {"step": float})
    spec = _decline_look(tuple(dict.fromkeys(shares["recipe"])), axis_title)
    return Drawing(spec, {"rows": rows, "chance": {"value": [chance]}})


@look
def _decline_look(recipes: tuple[str, ...], axis_title: str) -> alt.LayerChart:
    x = alt.X("step:Q", axis=alt.Axis(title=axis_title, grid=False, tickCount=5, titleFontWeight="normal"))
    scale = alt.Scale(domain=[0, 1])
    y = alt.Y("value:Q", scale=scale, axis=alt.Axis(values=[0, 0.5, 1], format=".2~f", title=None))
    base = table("rows").encode(detail="recipe:N")
    dash = alt.StrokeDash("recipe:N", scale=alt.Scale(domain=list(recipes), range=[[1, 0], [5, 3]]), legend=None)
    shape = alt.Shape("recipe:N", scale=alt.Scale(domain=list(recipes), range=["circle", "square"]), legend=None)
    band = base.mark_area(opacity=0.2, color=INK).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
    line = base.mark_line(color=INK, strokeWidth=2).encode(x=x, y=y, strokeDash=dash)
    tooltip = [
        alt.Tooltip("recipe:N", title="Recipe"),
        alt.Tooltip("step:Q", title="Step"),
        alt.Tooltip("words:N", title="Balanced accuracy"),
    ]
    points = base.mark_point(filled=True, size=40, color=INK, opacity=1).encode(
        x=x, y=y, shape=shape, tooltip=tooltip
    )
    rule = table("chance").mark_rule(color=INK, strokeDash=[1, 3]).encode(y=y)
    return alt.layer(band, rule, line, points).properties(height=140)
