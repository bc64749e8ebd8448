"""Figures of the market pages: tables in, charts out. Numbers come with their words, as pages say them.

A slider redraws several figures at once, and to build and check an Altair chart takes longer than to compute its
numbers. So a chart's look is built once (dashboard.drawing), and what changes is its data alone.
"""

from collections.abc import Mapping, Sequence
from itertools import compress
from math import isnan, nan

import altair as alt
import pandas as pd

from dashboard.charts import HATCH, INK
from dashboard.drawing import Drawing, haloed, look, table

SAVES, COSTS = "#12808A", "#AF5A35"
"""Teal saves, rust costs more; every bar also says so by its side of zero and its sign."""

ITEMS = {
    "setup": ("AI set-up", "#D9977A"),
    "licence": ("AI licence", "#AF5A35"),
    "reading": ("Reader time", "#6D66C6"),
    "recalls": ("Recalls, biopsies", "#63B0B6"),
    "care": ("Care of cancers", "#12808A"),
    "screening": ("Other", "#6B7C86"),
}
"""Items of the budget's bars: {id: (name, colour)}."""
MERGED = {
    "reimbursement": "licence",
    "complications": "recalls",
    "workup": "care",
    "treatment": "care",
    "later_care": "care",
}
NET, TIME = "Net cash", "Time, not cash"
QUIET = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "ticks": False, "domain": False}
BELOW_ROW = 26
AXIS_ROOM = 62
"""Of a chart's height, which holds its axis, the axis's title and what stands above."""


def _columns(table: pd.DataFrame) -> dict[str, list]:
    """{column: values}; for some rows lists are several times as fast as frames."""
    return {name: table[name].tolist() for name in table}


def _with_ends(columns: Mapping[str, list], ends: tuple[str, str], at: str) -> dict[str, list]:
    """The columns, with `seen`: 1 where there are `ends` of an interval, else 0 and the ends are `at`.

    So a figure keeps its structure while its intervals come and go, and the browser changes its data alone.
    Columns that lack a value are left out.
    """
    where = columns[at]
    known = [not isnan(low) for low in columns.get(ends[0], [nan] * len(where))]
    place = {
        end: [a if is_known else b for is_known, a, b in zip(known, columns.get(end, where), where, strict=True)]
        for end in ends
    }
    whole = {**columns, **place, "seen": [float(is_known) for is_known in known]}
    return {name: column for name, column in whole.items() if not any(value != value for value in column)}


SEEN = alt.Opacity("seen:Q", scale=None, legend=None)
"""Of whiskers: invisible where there is no interval."""


# What changes in cost


def waterfall(table: pd.DataFrame, symbol: str) -> Drawing:
    """Changes in money from today's total (0) to the net, one row an item; time that is not cash apart, hatched.

    `table` has columns label, change, low, high (NaN where there is no interval), kind ("cash", "net",
    "capacity"), words, range_words; rows in the order of the figure.
    """
    columns = _columns(table)
    columns |= {"order": list(range(len(table))), **_steps(columns)}
    data = {"rows": _with_ends(columns, ("from", "to"), "end"), "zero": {"start": [0.0]}}
    return Drawing(_waterfall_look(symbol, len(table)), data)


@look
def _waterfall_look(symbol: str, n_rows: int) -> alt.LayerChart:
    bold = {"condition": {"test": f"datum.value === '{NET}'", "value": "bold"}, "value": "normal"}
    names = alt.Axis(
        title=None,
        grid=False,
        labelLimit=124,
        labelFontSize=13,
        labelFontWeight=bold,
        labelPadding=8,
        ticks=False,
        domain=False,
    )
    base = table("rows").encode(y=alt.Y("label:N", sort=alt.SortField("order"), axis=names))
    axis = alt.Axis(title=None, tickCount=4, labelExpr=_money_axis(symbol), **QUIET)
    tooltip = [
        alt.Tooltip("label:N", title="Item"),
        alt.Tooltip("words:N", title="Change"),
        alt.Tooltip("range_words:N", title="95 %"),
        alt.Tooltip("exact:N", title="Exactly"),
    ]
    tones = alt.Scale(domain=["saves", "costs", "time"], range=[SAVES, COSTS, HATCH])
    layers = [
        base.mark_bar(cornerRadius=1).encode(
            x=alt.X("start:Q", scale=alt.Scale(nice=False), axis=axis),
            x2="end:Q",
            color=alt.Color("tone:N", scale=tones, legend=None),
            size=alt.Size("size:Q", scale=None, legend=None),
            tooltip=tooltip,
        ),
        table("zero").mark_rule(color=INK, strokeWidth=1).encode(x="start:Q"),
    ]
    rule = base.mark_rule(color=INK, strokeWidth=1.5)
    layers.append(rule.encode(x="from:Q", x2="to:Q", opacity=SEEN, tooltip=tooltip))
    cap = base.mark_tick(color=INK, thickness=1.5, size=8)
    layers += [cap.encode(x=f"{end}:Q", opacity=SEEN) for end in ("from", "to")]
    right = alt.XValue(alt.expr("width"))
    layers.append(base.mark_text(align="left", dx=10, fontSize=13, color=INK).encode(x=right, text="words:N"))
    below = base.mark_text(align="left", dx=10, dy=13, fontSize=12, color=INK, opacity=0.75)
    layers.append(below.encode(x=right, text="range_words:N"))
    chart = alt.layer(*layers).properties(
        height=38 * n_rows + BELOW_ROW, padding={"left": 2, "right": 4, "top": 4, "bottom": 0}
    )
    return chart


def _steps(columns: Mapping[str, list]) -> dict[str, list]:
    """Where the bars of a waterfall begin and end, where their whiskers reach, and how they are drawn."""
    found: dict[str, list] = {name: [] for name in ("start", "end", "from", "to", "tone", "size", "exact")}
    level = 0.0
    rows = zip(*(columns[name] for name in ("kind", "change", "low", "high")), strict=True)
    for kind, change, low, high in rows:
        start = level if kind == "cash" else 0.0
        found["start"].append(start)
        found["end"].append(start + change)
        found["from"].append(start + low)
        found["to"].append(start + high)
        found["tone"].append("time" if kind == "capacity" else "saves" if change < 0 else "costs")
        found["size"].append(22 if kind == "net" else 16)
        found["exact"].append(f"{change!r}")
        if kind == "cash":
            level += change
    return found


def _money_axis(symbol: str, plus: bool = True) -> str:
    """A Vega expression that writes an amount as in "−$20k", "£0"."""
    size = "abs(datum.value)"
    text = (
        f"({size} >= 1e6 ? format({size} / 1e6, '.3~g') + 'm' : {size} >= 1e3 ? format({size} / 1e3, '.3~g') + 'k' "
        f": format({size}, '.3~g'))"
    )
    return f"(datum.value < 0 ? '−' : datum.value > 0 ? '{'+' if plus else ''}' : '') + '{symbol}' + {text}"


# Budget by year


def budget_years(table: pd.DataFrame, symbol: str) -> Drawing:
    """Change in cash by year and item, stacked on either side of zero, the net as a ring with its whisker.

    `table` is market.value.year_table with a column `words` (the amount as people say it); change_low and
    change_high may be missing.
    """
    sums: dict[tuple[int, str], float] = {}
    columns = _columns(table)
    for year, group, change in zip(columns["year"], columns["group"], columns["change"], strict=True):
        if group != "net":
            key = year, MERGED.get(group, group)
            sums[key] = sums.get(key, 0.0) + change
    big = max(map(abs, sums.values()), default=0.0)
    shown = tuple(name for name in ITEMS if any(abs(sums[k]) > 1e-6 * big for k in sums if k[1] == name))
    seen = [(year, item, change) for (year, item), change in sums.items() if item in shown]
    bars = {
        "year": [year for year, _, _ in seen],
        "name": [ITEMS[item][0] for _, item, _ in seen],
        "order": [shown.index(item) for _, item, _ in seen],
        "change": [change for _, _, change in seen],
    }
    is_net = [group == "net" for group in columns["group"]]
    net = {name: list(compress(column, is_net)) for name, column in columns.items()}
    rings = _with_ends(net, ("change_low", "change_high"), "change")
    return Drawing(_years_look(symbol, shown), {"bars": bars, "net": rings, "zero": {"change": [0.0]}})


@look
def _years_look(symbol: str, shown: tuple[str, ...]) -> alt.LayerChart:
    scale = alt.Scale(domain=[ITEMS[item][0] for item in shown], range=[ITEMS[item][1] for item in shown])
    legend = alt.Legend(title=None, orient="bottom", columns=2, labelFontSize=12, symbolType="square")
    x = alt.X("year:O", axis=alt.Axis(title="Year", labelAngle=0, **QUIET))
    axis = alt.Axis(title=None, tickCount=5, labelExpr=_money_axis(symbol), **QUIET)
    told = [
        alt.Tooltip("year:O", title="Year"),
        alt.Tooltip("name:N", title="Item"),
        alt.Tooltip("change:Q", title="Change", format=",.2f"),
    ]
    colour = alt.Color("name:N", scale=scale, legend=legend)
    bars = table("bars").mark_bar()
    bars = bars.encode(x=x, y=alt.Y("change:Q", axis=axis), color=colour, order=alt.Order("order:Q"), tooltip=told)
    net = table("net").encode(x=x)
    tooltip = [alt.Tooltip("year:O", title="Year"), alt.Tooltip("words:N", title="Net cash")]
    layers = [bars, table("zero").mark_rule(color=INK, strokeWidth=1).encode(y="change:Q")]
    rule = net.mark_rule(color=INK, strokeWidth=1.5)
    layers.append(rule.encode(y="change_low:Q", y2="change_high:Q", opacity=SEEN, tooltip=tooltip))
    ring = net.mark_point(shape="circle", size=60, strokeWidth=2, color=INK, fill="#FFFFFF", opacity=1)
    layers.append(ring.encode(y="change:Q", tooltip=tooltip))
    chart = alt.layer(*layers).properties(height=260, padding={"left": 2, "right": 4, "top": 6, "bottom": 0})
    return chart


# Prices


def prices(table: pd.DataFrame, now: float | None, now_words: str, symbol: str) -> Drawing:
    """Highest prices with their intervals, today's, if there is one of this kind, as a dashed rule.

    `table` has columns label, value, low, high (NaN where there is no interval) and words.
    """
    columns = _columns(table)
    said = [f"{label}: {words}" for label, words in zip(columns["label"], columns["words"], strict=True)]
    columns |= {"order": list(range(len(table))), "said": said}
    data = {
        "rows": _with_ends(columns, ("low", "high"), "value"),
        "now": {"value": [] if now is None else [now], "words": [] if now is None else [now_words]},
    }
    return Drawing(_prices_look(symbol, len(table)), data)


@look
def _prices_look(symbol: str, n_rows: int) -> alt.LayerChart:
    base = table("rows").encode(y=alt.Y("label:N", sort=alt.SortField("order"), axis=None))
    axis = alt.Axis(title="Price per scan", tickCount=4, labelExpr=_money_axis(symbol, plus=False), **QUIET)
    tooltip = [alt.Tooltip("label:N", title="Price"), alt.Tooltip("words:N", title="95 %")]
    under = 8
    today = table("now")
    point = base.mark_point(filled=True, size=90, color=SAVES, opacity=1, yOffset=under)
    said = base.mark_text(align="left", fontSize=13, color=INK, dy=-12).encode(x=alt.value(0), text="said:N")
    layers = [
        today.mark_rule(color=INK, strokeDash=[4, 3], strokeWidth=1.5).encode(x="value:Q"),
        point.encode(x=alt.X("value:Q", axis=axis), tooltip=tooltip),
        *haloed(said),
    ]
    rule = base.mark_rule(strokeWidth=2, color=SAVES, yOffset=under)
    layers.append(rule.encode(x="low:Q", x2="high:Q", opacity=SEEN, tooltip=tooltip))
    tick = base.mark_tick(thickness=2, size=9, color=SAVES, yOffset=under)
    layers += [tick.encode(x=f"{end}:Q", opacity=SEEN) for end in ("low", "high")]
    label = today.mark_text(fontSize=12, fontWeight="bold", color=INK, baseline="bottom", dy=-2)
    layers.append(label.encode(x="value:Q", y=alt.value(0), text="words:N"))
    chart = alt.layer(*layers).properties(
        height=48 * n_rows + AXIS_ROOM, padding={"left": 6, "right": 6, "top": 16, "bottom": 0}
    )
    return chart


# Thresholds


def sweep(table: pd.DataFrame, chosen: Mapping[str, float], symbol: str) -> alt.LayerChart:
    """Net monetary benefit along a ROC curve, the best point ringed and the decision threshold marked.

    `table` has columns threshold, sensitivity, specificity, nmb, best; `chosen` has specificity and words of the
    threshold in use.
    """
    rows = table.assign(false_alarms=1 - table["specificity"])
    axis = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"}
    x = alt.X(
        "false_alarms:Q",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(title="Share of slices without it that are called", format=".2~f", tickCount=5, **axis),
    )
    y = alt.Y("nmb:Q", axis=alt.Axis(title=None, tickCount=5, labelExpr=_money_axis(symbol), grid=True, **axis))
    tooltip = _sweep_tooltip(("threshold", "sensitivity", "specificity"))
    line = alt.Chart(rows).mark_line(color=SAVES, strokeWidth=2).encode(x=x, y=y, order="threshold:Q")
    points = alt.Chart(rows).mark_point(filled=True, color=SAVES, size=30, opacity=1)
    points = points.encode(x=x, y=y, tooltip=tooltip)
    best = alt.Chart(rows[rows["best"]])
    ring = best.mark_point(color=INK, size=180, strokeWidth=2, opacity=1).encode(x=x, y=y, tooltip=tooltip)
    bold = {"fontSize": 13, "fontWeight": "bold", "color": INK}
    word = best.mark_text(text="best", align="left", dx=12, dy=-8, **bold).encode(x=x, y=y)
    here = pd.DataFrame({"false_alarms": [1 - chosen["specificity"]], "words": [chosen["words"]]})
    rule = alt.Chart(here).mark_rule(color=INK, strokeDash=[4, 3], strokeWidth=1.5).encode(x="false_alarms:Q")
    label = rule.mark_text(align="left", dx=4, fontSize=12, color=INK, baseline="bottom")
    label = label.encode(x="false_alarms:Q", y=alt.value(0), text="words:N")
    zero = alt.Chart(pd.DataFrame({"nmb": [0.0]})).mark_rule(color=INK, strokeWidth=1).encode(y="nmb:Q")
    return alt.layer(zero, line, points, rule, label, ring, word).properties(
        height=260, padding={"left": 4, "right": 8, "top": 16, "bottom": 0}
    )


def _sweep_tooltip(names: Sequence[str]) -> list[alt.Tooltip]:
    shares = [alt.Tooltip(f"{name}:Q", title=name.capitalize(), format=".3f") for name in names]
    return [*shares, alt.Tooltip("nmb:Q", title="Net monetary benefit", format=",.2f")]
