"""Training curves: tables in, Altair charts out."""

import altair as alt
import pandas as pd

from dashboard.charts import INK

COLOURS = {"validation": "#12808A", "train": "#6B7C86"}
DASHES = {"validation": [1, 0], "train": [5, 3]}
WORDS = {"validation": "Validation", "train": "Train"}
AXIS_TITLES = {"epoch": "Epoch", "minutes": "Minutes of training"}
FEW = 40
"""Up to so many epochs each has a mark."""


def curve(
    table: pd.DataFrame, axis: str, unit: str, raw: pd.DataFrame | None = None, share: bool = False
) -> alt.LayerChart:
    """Lines over `axis` ("epoch" or "minutes"), validation solid in teal, train dashed in grey, named.

    table   one row per part and epoch: the axis, part, value, and low and high where there is an interval
    raw     what lies between epochs: the axis and value; drawn pale behind
    share   values from 0 to 1: the axis is never wider
    """
    x = alt.X(
        f"{axis}:Q",
        scale=alt.Scale(zero=axis == "minutes", nice=False),
        axis=alt.Axis(
            title=AXIS_TITLES[axis],
            tickMinStep=1 if axis == "epoch" else 0,
            format="d" if axis == "epoch" else "~g",
            tickCount=5,
            grid=False,
            labelFontSize=12,
            titleFontSize=12,
            titleFontWeight="normal",
        ),
    )
    scale = alt.Scale(domain=[0, 1]) if share else alt.Scale(zero=False)
    y = alt.Y("value:Q", scale=scale, axis=alt.Axis(title=None, tickCount=4, labelFontSize=12, format="~r"))
    parts = [part for part in COLOURS if part in set(table["part"])] or ["train"]
    dashes = [DASHES[part] if len(parts) > 1 else [1, 0] for part in parts]
    colour = alt.Color("part:N", scale=alt.Scale(domain=parts, range=[COLOURS[p] for p in parts]), legend=None)
    dash = alt.StrokeDash("part:N", scale=alt.Scale(domain=parts, range=dashes), legend=None)
    rows = table.assign(words=table["part"].map(WORDS))
    tips = [
        alt.Tooltip("words:N", title="Images"),
        alt.Tooltip(f"{axis}:Q", title=AXIS_TITLES[axis], format=".3~g"),
        alt.Tooltip("value:Q", title=unit, format=".3~g"),
    ]
    layers = []
    if raw is not None and len(raw):
        layers.append(
            alt.Chart(raw).mark_line(color=COLOURS["train"], opacity=0.45, strokeWidth=1).encode(x=x, y=y)
        )
    if "low" in rows and rows["low"].notna().any():
        banded = rows[rows["low"].notna()]
        layers.append(
            alt.Chart(banded)
            .mark_area(opacity=0.18, color=COLOURS["validation"])
            .encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q")
        )
        tips += [alt.Tooltip(f"{end}:Q", title=f"95 % {end}", format=".3~g") for end in ("low", "high")]
    base = alt.Chart(rows)
    layers.append(base.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour, strokeDash=dash))
    if rows.groupby("part").size().max() <= FEW:
        layers.append(base.mark_point(filled=True, size=36, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips))
    last = rows.loc[rows.groupby("part")[axis].idxmax()] if len(rows) else rows
    if len(parts) > 1:
        layers.append(_names(last, scale))
    chart = alt.layer(*layers).properties(height=190)
    return chart.properties(padding={"left": 2, "right": 4, "top": 6, "bottom": 5})


def _names(last: pd.DataFrame, scale: alt.Scale) -> alt.Chart:
    """The lines' names right of their ends, the upper one above its end and the lower one below."""
    ordered = last.sort_values("value", ascending=False).assign(offset=[-7, 7][: len(last)])
    names = [
        alt.Chart(ordered.iloc[[place]])
        .mark_text(align="left", dx=6, dy=int(ordered["offset"].iloc[place]), fontSize=12, color=INK)
        .encode(x=alt.XValue(alt.expr("width")), y=alt.Y("value:Q", scale=scale), text="words:N")
        for place in range(len(ordered))
    ]
    return alt.layer(*names)
