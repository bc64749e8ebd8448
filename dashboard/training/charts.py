"""Training curves: tables in, Altair charts out."""

import altair as alt
import pandas as pd

from dashboard.charts import INK
from dashboard.drawing import Drawing, look, table

COLOURS = {"validation": "#12808A", "train": "#6B7C86"}
DASHES = {"validation": [1, 0], "train": [5, 3]}
WORDS = {"validation": "Validation", "train": "Train"}
AXIS_TITLES = {"epoch": "Epoch", "minutes": "Minutes of training"}
ENDS = ("low", "high")
FEW = 40
"""Up to so many epochs each has a mark."""


def curve(
    values: pd.DataFrame, axis: str, unit: str, raw: pd.DataFrame | None = None, share: bool = False
) -> Drawing:
    """Lines over `axis` ("epoch" or "minutes"), validation solid in teal, train dashed in grey, named.

    values  one row per part and epoch: the axis, part, value, and low and high where there is an interval
    raw     what lies between epochs: the axis and value; drawn pale behind
    share   values from 0 to 1: the axis is never wider
    """
    parts = tuple(part for part in COLOURS if part in set(values["part"])) or ("train",)
    rows = values.assign(words=values["part"].map(WORDS))
    tables = {"rows": rows.drop(columns=[end for end in ENDS if end in rows and rows[end].isna().all()])}
    banded = "low" in tables["rows"]
    if banded:
        tables["band"] = rows[rows["low"].notna()]
    if raw is not None and len(raw):
        tables["raw"] = raw[[axis, "value"]]
    last = rows.loc[rows.groupby("part")[axis].idxmax()] if len(rows) else rows
    for place, row in enumerate(last.sort_values("value", ascending=False).itertuples()):
        tables[f"end{place}"] = {"value": [row.value], "words": [row.words]}
    marked = len(rows) > 0 and rows.groupby("part").size().max() <= FEW
    return Drawing(_curve(axis, unit, share, parts, banded, "raw" in tables, bool(marked)), tables)


@look
def _curve(
    axis: str, unit: str, share: bool, parts: tuple[str, ...], banded: bool, raw: bool, marked: bool
) -> alt.LayerChart:
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
    dashes = [DASHES[part] if len(parts) > 1 else [1, 0] for part in parts]
    colours = [COLOURS[part] for part in parts]
    colour = alt.Color("part:N", scale=alt.Scale(domain=list(parts), range=colours), legend=None)
    dash = alt.StrokeDash("part:N", scale=alt.Scale(domain=list(parts), range=dashes), legend=None)
    tips = [
        alt.Tooltip("words:N", title="Images"),
        alt.Tooltip(f"{axis}:Q", title=AXIS_TITLES[axis], format=".3~g"),
        alt.Tooltip("value:Q", title=unit, format=".3~g"),
    ]
    layers = []
    if raw:
        pale = table("raw").mark_line(color=COLOURS["train"], opacity=0.45, strokeWidth=1)
        layers.append(pale.encode(x=x, y=y))
    if banded:
        band = table("band").mark_area(opacity=0.18, color=COLOURS["validation"])
        layers.append(band.encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"))
        tips += [alt.Tooltip(f"{end}:Q", title=f"95 % {end}", format=".3~g") for end in ENDS]
    base = table("rows")
    layers.append(base.mark_line(strokeWidth=2.5).encode(x=x, y=y, color=colour, strokeDash=dash))
    if marked:
        layers.append(base.mark_point(filled=True, size=36, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips))
    if len(parts) > 1:
        layers += _names(scale)
    chart = alt.layer(*layers).properties(height=190)
    return chart.properties(padding={"left": 2, "right": 4, "top": 6, "bottom": 5})


def _names(scale: alt.Scale) -> list[alt.Chart]:
    """The lines' names right of their ends, the upper one above its end and the lower one below."""
    place = {"x": alt.XValue(alt.expr("width")), "y": alt.Y("value:Q", scale=scale)}
    return [
        table(f"end{number}")
        .mark_text(align="left", dx=6, dy=offset, fontSize=12, color=INK)
        .encode(text="words:N", **place)
        for number, offset in enumerate((-7, 7))
    ]
