"""Figures of the page Compare: tables in, Altair charts out."""

import altair as alt
import pandas as pd

INK, YOURS, OTHERS = "#6E7B82", "#12808A", "#6B7C86"


def net_benefit(table: pd.DataFrame, unit: str) -> alt.LayerChart:
    """One dot a scenario with its whisker, the first one teal; columns name, value, low, high, first."""
    y = alt.Y("name:N", sort=list(table["name"]), title=None, axis=alt.Axis(labelFontSize=13, labelLimit=220))
    x = alt.X("value:Q", title=unit, axis=alt.Axis(format=",.0f", tickCount=6))
    colour = alt.Color("first:N", scale=alt.Scale(domain=[True, False], range=[YOURS, OTHERS]), legend=None)
    tips = [alt.Tooltip("name:N", title="Scenario")]
    tips += [
        alt.Tooltip(f"{name}:Q", title=title, format=",.2f")
        for name, title in (("value", "Base values"), ("low", "2.5 %"), ("high", "97.5 %"))
    ]
    zero = alt.Chart(pd.DataFrame({"zero": [0]})).mark_rule(color=INK, strokeDash=[4, 3]).encode(x="zero:Q")
    whiskers = (
        alt.Chart(table).mark_rule(color=INK, strokeWidth=2).encode(x=alt.X("low:Q", title=unit), x2="high:Q", y=y)
    )
    dots = (
        alt.Chart(table).mark_point(filled=True, size=110, opacity=1).encode(x=x, y=y, color=colour, tooltip=tips)
    )
    return alt.layer(zero, whiskers, dots).properties(height=60 + 42 * len(table))
