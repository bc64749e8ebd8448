"""Figures of Runs: tables in, Altair charts out."""

import altair as alt
import pandas as pd

from dashboard.charts import INK
from dashboard.drawing import Drawing, look, table

COLOURS = ("#12808A", "#6B7C86", "#6A8A2A", "#6D66C6", "#AF5A35")
"""Runs, in the order of the page; the three hues of the classes stay theirs."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")
GLYPHS = ("●", "■", "▲", "◆", "✚")
LONGEST_LABEL = 16
"""Characters of a name at a line's end; the rest is cut."""

PART_DASHES = {"validation": [1, 0], "train": [5, 4], "": [1, 0]}
GAIN, LOSS = "#1F8F68", "#C2453A"
VERDICTS = {"second": (GAIN, "triangle-right"), "first": (LOSS, "triangle-left"), "": (INK, "circle")}
"""Colour and shape of a difference by which run it favours; grey where the interval holds zero."""

PLAIN = {"titleFontSize": 12, "titleFontWeight": "normal", "labelFontSize": 12}
PADDING = {"left": 2, "right": 2, "top": 6, "bottom": 5}


def differences(found: pd.DataFrame, first: str, second: str) -> Drawing:
    """Differences with their 95 % intervals around a line at zero, name and numbers over each whisker.

    `found` has one row per metric: name, value, low, high, verdict ("first", "second" or ""), words (the numbers).
    """
    reach = max(0.02, float(found[["value", "low", "high"]].abs().max().max()) * 1.08)
    rows = found.astype({"value": float, "low": float, "high": float})
    return Drawing(_differences(tuple(found["name"]), first, second, reach), {"rows": rows, "zero": {"x": [0.0]}})


@look
def _differences(names: tuple[str, ...], first: str, second: str, reach: float) -> alt.LayerChart:
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(
        title=f"◀ {_short(first)} better      {_short(second)} better ▶",
        format="+.2~f",
        labelExpr="datum.value ? datum.label : '0'",
        tickCount=5,
        **PLAIN,
    )
    under = 7
    base = table("rows").encode(y=alt.Y("name:N", sort=list(names), axis=None))
    colour = alt.Color("verdict:N", scale=_verdict_scale(0), legend=None)
    tooltip = [alt.Tooltip("name:N", title="Metric"), alt.Tooltip("words:N", title="Difference, 95 % interval")]
    zero = table("zero").mark_rule(color=INK, strokeWidth=1).encode(x="x:Q")
    whiskers = base.mark_rule(strokeWidth=2, yOffset=under).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", color=colour, tooltip=tooltip
    )
    ends = [
        base.mark_tick(thickness=2, size=9, yOffset=under).encode(x=alt.X(f"{end}:Q", scale=scale), color=colour)
        for end in ("low", "high")
    ]
    points = base.mark_point(filled=True, size=95, opacity=1, yOffset=under).encode(
        x=alt.X("value:Q", scale=scale),
        color=colour,
        shape=alt.Shape("verdict:N", scale=_verdict_scale(1), legend=None),
        tooltip=tooltip,
    )
    above = {"fontSize": 13, "color": INK, "dy": -9}
    words = base.mark_text(align="left", **above).encode(x=alt.value(0), text="name:N")
    values = base.mark_text(align="right", **above).encode(x=alt.XValue(alt.expr("width")), text="words:N")
    chart = alt.layer(zero, whiskers, *ends, points, words, values)
    return chart.properties(height=43 * len(names) + 40, padding=PADDING | {"left": 8, "right": 8})


def _verdict_scale(place: int) -> alt.Scale:
    return alt.Scale(domain=list(VERDICTS), range=[marks[place] for marks in VERDICTS.values()])


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def curves(lines: pd.DataFrame, y_title: str, x_title: str, smoothed: bool) -> Drawing:
    """Curves of several runs over a pale line of what was measured; each run's name at its end.

    `lines` has one row per run, part and epoch, as loaders.lines gives it, thinned to what the eye can see.
    """
    rows, drawn = lines.assign(line=lines["run"] + " " + lines["part"]), "smoothed" if smoothed else "value"
    domain = _domain(rows, drawn)
    last = _end_places(rows.groupby("line", sort=False).tail(1), drawn, domain)
    last["short"] = last["run"].map(lambda name: _short(name, LONGEST_LABEL))
    axis, runs = (x_title, _whole(rows["x"])), tuple(dict.fromkeys(lines["run"]))
    banded = bool(rows["low"].notna().any())
    return Drawing(_curves(runs, y_title, axis, domain, smoothed, banded), {"rows": rows, "ends": last})


@look
def _curves(
    runs: tuple[str, ...],
    y_title: str,
    axis: tuple[str, bool],
    domain: tuple[float, float],
    smoothed: bool,
    banded: bool,
) -> alt.LayerChart:
    """`axis` is the title of x and whether its numbers are whole."""
    drawn, x_title = "smoothed" if smoothed else "value", axis[0]
    numbers = {"format": "d", "tickMinStep": 1} if axis[1] else {"format": "~g"}
    x = alt.X(
        "x:Q",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(title=x_title, grid=False, tickCount=6, **numbers, **PLAIN),
    )
    scale = alt.Scale(zero=False, nice=True, domain=list(domain))
    y = alt.Y(f"{drawn}:Q", scale=scale, axis=alt.Axis(title=y_title, tickCount=5, format="~g", **PLAIN))
    colour = alt.Color("run:N", scale=alt.Scale(domain=list(runs), range=list(COLOURS[: len(runs)])), legend=None)
    shape = alt.Shape("run:N", scale=alt.Scale(domain=list(runs), range=list(SHAPES[: len(runs)])), legend=None)
    dash = alt.StrokeDash(
        "part:N", scale=alt.Scale(domain=list(PART_DASHES), range=list(PART_DASHES.values())), legend=None
    )
    base = table("rows").encode(x=x, color=colour, detail="line:N")
    layers = []
    if banded:
        layers.append(base.mark_area(opacity=0.13).encode(y=alt.Y("low:Q", scale=scale), y2="high:Q"))
    if smoothed:
        layers.append(base.mark_line(strokeWidth=1, opacity=0.45).encode(y=alt.Y("value:Q", scale=scale)))
    layers.append(base.mark_line(strokeWidth=2).encode(y=y, strokeDash=dash))
    ends = table("ends")
    tooltip = [
        alt.Tooltip("run:N", title="Run"),
        alt.Tooltip("x:Q", title=x_title, format=".4~f"),
        alt.Tooltip("value:Q", title=f"{y_title}, as measured", format=".4~f"),
        alt.Tooltip("smoothed:Q", title="Smoothed", format=".4~f"),
    ]
    layers.append(
        ends.mark_point(filled=True, size=70, opacity=1).encode(
            x="x:Q", y=alt.Y(f"{drawn}:Q", scale=scale), color=colour, shape=shape, tooltip=tooltip
        )
    )
    named = ends.transform_filter("datum.named")
    beside = alt.Y("place:Q", scale=scale)
    glyphs = named.mark_point(filled=True, size=60, opacity=1).encode(
        x=alt.XValue(alt.expr("width + 12")), y=beside, color=colour, shape=shape
    )
    words = named.mark_text(align="left", dx=22, fontSize=12, color=INK).encode(
        x=alt.XValue(alt.expr("width")), y=beside, text="short:N"
    )
    chart = alt.layer(*layers, glyphs, words)
    return chart.properties(height=300, padding=PADDING | {"right": 4})


def _whole(values: pd.Series) -> bool:
    return bool((values % 1 == 0).all())


def _domain(rows: pd.DataFrame, drawn: str) -> tuple[float, float]:
    """From the lowest to the highest of all that is drawn, with a little air."""
    seen = rows[["value", drawn, "low", "high"]]
    low, high = float(seen.min().min()), float(seen.max().max())
    air = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return low - air, high + air


def _end_places(last: pd.DataFrame, drawn: str, domain: tuple[float, float]) -> pd.DataFrame:
    """Ends of lines with `named` (one a run) and `place`, the heights of their names, apart and inside `domain`."""
    named = ~last["run"].duplicated()
    rows = last.assign(named=named, place=last[drawn]).sort_values(drawn)
    low, high = domain
    apart = (high - low) * 0.06
    lowest = low
    for index in rows.index[rows["named"]]:
        rows.loc[index, "place"] = lowest = max(rows.loc[index, "place"], lowest)
        lowest += apart
    highest = high
    for index in reversed(rows.index[rows["named"]]):
        rows.loc[index, "place"] = highest = min(rows.loc[index, "place"], highest)
        highest -= apart
    return rows
