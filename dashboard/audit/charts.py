"""Figures of Data: images by class and source, a property's spread, differences with their intervals."""

from collections import Counter
from collections.abc import Sequence

import altair as alt
import pandas as pd

from core.labels import title
from dashboard.charts import INK

TEAL = "#12808A"
SLATE = "#6B7C86"
ROW = 46
"""Pixels a row of the charts that have names at their left."""

MOST_ROWS = 12

UNITS = {
    "brightness": "Mean grey level, 0 to 255",
    "contrast": "Standard deviation of grey levels",
    "sharpness": "Standard deviation of the Laplacian, grey levels",
    "size": "Square root of width times height, pixels",
    "aspect": "Width over height",
}
"""What each property is, for an axis."""


def titles(names: Sequence[str]) -> list[str]:
    """Names in words, by which a chart tells its rows apart: as they are where two would read the same."""
    words = [title(name) for name in names]
    times = Counter(dict(zip(names, words, strict=True)).values())
    return [name if times[word] > 1 else word for name, word in zip(names, words, strict=True)]


def _words(**options: object) -> alt.Axis:
    plain = {"title": None, "labelFontSize": 13, "labelLimit": 130, "domain": False, "ticks": False, "grid": False}
    return alt.Axis(**(plain | options))


def count_matrix(table: pd.DataFrame) -> alt.LayerChart:
    """Images of each source (rows) and class (columns): darker is a larger share of the source.

    `table` has columns source, label, images, groups, share.
    """
    rows = table.assign(
        **{"class": titles(table["label"])},
        depth=(0.06 + 0.82 * table["share"]).where(table["images"] > 0, 0),
        words=table["images"].map("{:,}".format),
    )
    x = alt.X(
        "class:N", sort=list(dict.fromkeys(rows["class"])), axis=_words(orient="top", labelAngle=0, labelLimit=76)
    )
    y = alt.Y("source:N", sort=list(dict.fromkeys(rows["source"])), axis=_words())
    tooltip = [
        alt.Tooltip("source:N", title="Source"),
        alt.Tooltip("class:N", title="Class"),
        alt.Tooltip("images:Q", title="Images", format=","),
        alt.Tooltip("groups:Q", title="Groups", format=","),
        alt.Tooltip("share:Q", title="Share of the source", format=".0%"),
    ]
    base = alt.Chart(rows).encode(x=x, y=y)
    cells = base.mark_rect(color=TEAL, cornerRadius=3).encode(
        fillOpacity=alt.FillOpacity("depth:Q", scale=None), tooltip=tooltip
    )
    empty = base.transform_filter("datum.images == 0").mark_rect(
        filled=False, stroke=SLATE, strokeDash=[3, 3], strokeWidth=1, cornerRadius=3
    )
    words = base.mark_text(fontSize=15, color=INK).encode(text="words:N", tooltip=tooltip)
    chart = alt.layer(cells, empty, words).properties(height=46 * table["source"].nunique() + 40)
    return chart.configure_scale(bandPaddingInner=0.05).configure_view(stroke=None)


def spread(table: pd.DataFrame, measured: str) -> alt.LayerChart:
    """Middle half (thick), middle 90 % (thin) and median of a property, one row a level.

    `table` has columns level, n, p5, p25, p50, p75, p95; at most MOST_ROWS rows are drawn.
    """
    names = pd.Series(titles(table["level"]), table.index)
    rows = table.assign(name=names + ", n " + table["n"].map("{:,}".format)).head(MOST_ROWS)
    low, high = rows["p5"].min(), rows["p95"].max()
    pad = 0.04 * (high - low) or 1
    scale = alt.Scale(domain=[low - pad, high + pad], zero=False, nice=False)
    axis = alt.Axis(
        title=UNITS[measured], titleFontSize=12, titleFontWeight="normal", labelFontSize=12, tickCount=5
    )
    base = alt.Chart(rows).encode(y=alt.Y("name:N", sort=rows["name"].tolist(), axis=None))
    tooltip = [
        alt.Tooltip("name:N", title="Images"),
        *(alt.Tooltip(f"p{share}:Q", title=f"{share} % lie below", format=".3~g") for share in (5, 25, 50, 75, 95)),
    ]
    down = 8
    thin = base.mark_rule(color=SLATE, strokeWidth=1.5, yOffset=down).encode(
        x=alt.X("p5:Q", scale=scale, axis=axis), x2="p95:Q", tooltip=tooltip
    )
    thick = base.mark_rule(color=SLATE, strokeWidth=8, yOffset=down).encode(
        x=alt.X("p25:Q", scale=scale), x2="p75:Q", tooltip=tooltip
    )
    middle = base.mark_tick(color=INK, thickness=3, size=16, yOffset=down).encode(x=alt.X("p50:Q", scale=scale))
    names = base.mark_text(align="left", fontSize=13, color=INK, dy=-8).encode(x=alt.value(0), text="name:N")
    chart = alt.layer(thin, thick, middle, names)
    return chart.properties(height=ROW * len(rows) + 56, padding=_PADDING)


def differences(table: pd.DataFrame) -> alt.LayerChart:
    """Standardised differences with 95 % intervals, names and numbers over the whiskers, zero dashed.

    `table` has columns name, words, value, low, high; rows without a value are left to the table on the page.
    """
    rows = table[table["value"].notna()].head(MOST_ROWS)
    reach = max(1.0, float(rows[["value", "low", "high"]].abs().max(axis=None))) * 1.05
    scale = alt.Scale(domain=[-reach, reach], nice=False)
    axis = alt.Axis(
        title="Standardised difference, standard deviations",
        titleFontSize=12,
        titleFontWeight="normal",
        labelFontSize=12,
        tickCount=5,
        format="+.2~f",
        labelExpr="datum.value ? datum.label : '0'",
    )
    base = alt.Chart(rows).encode(y=alt.Y("name:N", sort=rows["name"].tolist(), axis=None))
    tooltip = [alt.Tooltip("name:N", title="Compared"), alt.Tooltip("words:N", title="Difference, 95 % interval")]
    down = 8
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="zero:Q")
    whiskers = base.mark_rule(color=SLATE, strokeWidth=2, yOffset=down).encode(
        x=alt.X("low:Q", scale=scale, axis=axis), x2="high:Q", tooltip=tooltip
    )
    ends = [
        base.mark_tick(color=SLATE, thickness=2, size=9, yOffset=down).encode(x=alt.X(f"{end}:Q", scale=scale))
        for end in ("low", "high")
    ]
    points = base.mark_point(filled=True, color=SLATE, size=80, opacity=1, yOffset=down).encode(
        x=alt.X("value:Q", scale=scale), tooltip=tooltip
    )
    above = {"fontSize": 13, "color": INK, "dy": -8}
    names = base.mark_text(align="left", limit=185, **above).encode(x=alt.value(0), text="name:N")
    words = base.mark_text(align="right", **above).encode(x=alt.XValue(alt.expr("width")), text="words:N")
    chart = alt.layer(zero, whiskers, *ends, points, names, words)
    return chart.properties(height=ROW * len(rows) + 56, padding=_PADDING)


_PADDING = {"left": 6, "right": 6, "top": 2, "bottom": 5}
