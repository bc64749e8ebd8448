"""Figures of the page Adoption and market: tables in, Altair charts out."""

from math import floor, log10

import altair as alt
import pandas as pd

from dashboard.drawing import Drawing, look
from dashboard.drawing import table as named

INK = "#6E7B82"
YOURS, OTHERS = "#12808A", "#6B7C86"
DASHES = {"yours": [1, 0], "optimistic": [8, 3], "base": [4, 3], "slow": [2, 3]}
ORDER = list(DASHES)
SHORT = "replace(replace(format(datum.value, '~s'), 'G', 'bn'), 'M', 'm')"
"""Axis words as in "20m", "1.5bn", as the page says them."""
BAND = {"95 %": 0.12, "50 %": 0.2}


def curves(table: pd.DataFrame, fan: pd.DataFrame, kind: str, unit: str) -> Drawing:
    """`kind` of each curve by year, the fan of the visitor's own below; the curve's name at its end."""
    top = max(float(table[kind].max()), float(fan["high"].max()))
    ends = apart(table[table["year"] == table["year"].max()], kind, 0.07 * top)
    return Drawing(_curves(kind, unit), {"lines": table, "fan": fan, "ends": ends})


@look
def _curves(kind: str, unit: str) -> alt.LayerChart:
    x = alt.X("year:Q", title="Years from now", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    y = alt.Y(f"{kind}:Q", title=unit, axis=alt.Axis(labelExpr=SHORT, tickCount=5))
    outer = named("fan").mark_area(color=YOURS, opacity=BAND["95 %"])
    inner = named("fan").mark_area(color=YOURS, opacity=BAND["50 %"])
    scale = alt.Scale(domain=ORDER, range=[DASHES[name] for name in ORDER])
    hues = alt.Scale(domain=ORDER, range=[YOURS, OTHERS, OTHERS, OTHERS])
    widths = alt.Scale(domain=ORDER, range=[3, 1.5, 1.5, 1.5])
    lines = (
        named("lines")
        .mark_line()
        .encode(
            x=x,
            y=y,
            strokeDash=alt.StrokeDash("curve:N", scale=scale, legend=None),
            color=alt.Color("curve:N", scale=hues, legend=None),
            strokeWidth=alt.StrokeWidth("curve:N", scale=widths, legend=None),
            tooltip=[
                alt.Tooltip("curve:N", title="Curve"),
                alt.Tooltip("year:Q", title="Year"),
                alt.Tooltip(f"{kind}:Q", title=unit, format=",.6~g"),
            ],
        )
    )
    words = (
        named("ends")
        .mark_text(align="left", dx=6, fontSize=12, color=INK)
        .encode(x="year:Q", y=alt.Y("place:Q"), text="curve:N")
    )
    bands = [
        outer.encode(x=x, y=alt.Y("low:Q", title=unit), y2="high:Q"),
        inner.encode(x=x, y=alt.Y("low_half:Q", title=unit), y2="high_half:Q"),
    ]
    return alt.layer(*bands, lines, words).properties(height=300, padding={"right": 70})


def apart(ends: pd.DataFrame, kind: str, step: float) -> pd.DataFrame:
    """The last points with `place`, where a label stands: at least `step` above the one below."""
    ends = ends.sort_values(kind).reset_index(drop=True)
    places: list[float] = []
    for value in ends[kind]:
        places.append(float(value) if not places else max(float(value), places[-1] + step))
    return ends.assign(place=places)


def sizes(table: pd.DataFrame, band: tuple[float, float] | None, unit: str) -> Drawing:
    """One dot a level on a logarithmic axis with its whisker; the published band behind, hatched and named."""
    least = 10.0 ** floor(log10(max(float(table["low"].min()) * 0.5, 1.0)))
    low, high = band or (None, None)
    rows = pd.DataFrame({"low": [low], "high": [high], "words": ["published"]})
    return Drawing(_sizes(least, unit, band is not None), {"levels": table, "band": rows})


@look
def _sizes(least: float, unit: str, has_band: bool) -> alt.LayerChart:
    scale = alt.Scale(type="log", domainMin=least)
    y = alt.Y("level:N", sort=["TAM", "SAM", "SOM"], title=None, axis=alt.Axis(labelFontSize=14, ticks=False))
    x = alt.X("value:Q", title=unit, scale=scale, axis=alt.Axis(labelExpr=SHORT, tickCount=6))
    tips = [
        alt.Tooltip("level:N", title="Level"),
        alt.Tooltip("value:Q", title=unit, format=",.0f"),
        alt.Tooltip("low:Q", title="2.5 %", format=",.0f"),
        alt.Tooltip("high:Q", title="97.5 %", format=",.0f"),
    ]
    whiskers = named("levels").mark_rule(color=INK, strokeWidth=2)
    points = named("levels").mark_point(filled=True, size=110, color=YOURS, opacity=1)
    layers = [
        whiskers.encode(x=alt.X("low:Q", title=unit, scale=scale), x2="high:Q", y=y),
        points.encode(x=x, y=y, tooltip=tips),
    ]
    if has_band:
        rectangle = named("band").mark_rect(color="#75858F", opacity=0.35)
        word = named("band").mark_text(align="left", dx=4, dy=-4, fontSize=12, color=INK, baseline="top")
        layers.insert(0, rectangle.encode(x="low:Q", x2="high:Q"))
        layers.append(word.encode(x="low:Q", y=alt.value(2), text="words:N"))
    return alt.layer(*layers).properties(height=190)


def fitted(table: pd.DataFrame) -> alt.LayerChart:
    """Observed adopters as points, the fitted curve as a line."""
    x = alt.X("period:Q", title="Period", axis=alt.Axis(tickMinStep=1, format="d", grid=False))
    tips = [alt.Tooltip(f"{name}:Q", format=",.6~g") for name in ("period", "observed", "fitted")]
    points = alt.Chart(table).mark_point(filled=True, size=55, color=INK, opacity=1)
    line = alt.Chart(table).mark_line(color=YOURS, strokeWidth=2.5)
    return alt.layer(
        line.encode(x=x, y=alt.Y("fitted:Q", title="New adopters in the period"), tooltip=tips),
        points.encode(x=x, y="observed:Q", tooltip=tips),
    ).properties(height=240)
