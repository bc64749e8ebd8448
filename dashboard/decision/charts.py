"""Figures of draws: plane, acceptability, loss, value of knowing, net benefit, cohort. Tables in, charts out.

The strategy of interest is teal, solid and thick; all others are slate, told apart by dashes and by a name at
the line's end. Money is in the currency whose symbol is given, per person.
"""

from collections.abc import Mapping, Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts import INK
from dashboard.drawing import Drawing, Table, haloed, look, table

TEAL, SLATE, RUST, INDIGO = "#12808A", "#6B7C86", "#AF5A35", "#6D66C6"
DASHES = {
    "none": [10, 4],
    "single": [1, 0],
    "double": [2, 3],
    "concurrent": [8, 3, 2, 3],
    "second_reader": [4, 4],
    "triage": [6, 2, 2, 2, 2, 2],
}
WORDS = {"fontSize": 12, "color": INK}
HEIGHT = 300
ZERO = {"zero": [0.0]}
FEW_TICKS = 5


def money_axis(symbol: str, title: str | None, plus: bool = False, **options: object) -> alt.Axis:
    """An axis of money, as in "−$400", "$25k"; with `plus`, gains of a difference as "+$400"."""
    more = "datum.value > 0 ? '+' : ''" if plus else "''"
    size = (
        "abs(datum.value) >= 1e6 ? format(abs(datum.value) / 1e6, ',.3~g') + 'm' : "
        "abs(datum.value) >= 1e4 ? format(abs(datum.value) / 1e3, ',.3~g') + 'k' : "
        "format(abs(datum.value), ',.2~f')"
    )
    label = f"(datum.value < 0 ? '−' : {more}) + '{symbol}' + ({size})"
    return plain_axis(title, labelExpr=label, **options)


def plain_axis(title: str | None, **options: object) -> alt.Axis:
    """An axis with words of 12 px and few ticks."""
    look = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "tickCount": FEW_TICKS}
    return alt.Axis(title=title, **{**look, **options})


def signed_axis(title: str | None, **options: object) -> alt.Axis:
    """An axis of differences, as in "−2", "+4"."""
    label = "(datum.value > 0 ? '+' : datum.value < 0 ? '−' : '') + format(abs(datum.value), ',.3~f')"
    return plain_axis(title, labelExpr=label, **options)


def above(text: str) -> alt.TitleParams:
    """The unit of the upright axis, written over it, where it is read first and takes no width."""
    return alt.TitleParams(text, anchor="start", fontSize=12, fontWeight="normal", color=INK, offset=6)


def _padded(chart: alt.LayerChart, height: int = HEIGHT, right: int = 6) -> alt.LayerChart:
    return chart.properties(height=height, padding={"left": 2, "right": right, "top": 4, "bottom": 8})


# Cost-effectiveness plane


def plane(
    points: pd.DataFrame, ring: pd.DataFrame, mean: tuple[float, float], wtp: float, symbol: str, words: str
) -> Drawing:
    """Draws of a difference, QALYs per 1,000 persons across and cost per person up, with the threshold's line.

    points, ring  columns qalys, cost: draws to be drawn, points of the ellipse; mean (qalys, cost)
    words         beside the threshold's line, as "$100,000 per QALY"
    """
    x, y = _frame(ring["qalys"], points["qalys"]), _frame(ring["cost"], points["cost"])
    slope = wtp / 1000
    line = {"qalys": x, "cost": slope * np.array(x), "floor": [y[0], y[0]]}
    # Where the line leaves the frame, at its top or its right.
    at = min(x[1], y[1] / slope) if slope > 0 else x[1]
    left = at > x[0] + 0.6 * (x[1] - x[0])
    tables = {
        "line": line,
        "points": points,
        "ring": {"qalys": ring["qalys"], "cost": ring["cost"], "order": range(len(ring))},
        "mean": {"qalys": [mean[0]], "cost": [mean[1]]},
        "word": {"qalys": [at], "cost": [slope * at], "words": [words], "left": [left]},
        "zero": ZERO,
    }
    return Drawing(_plane(x, y, symbol), tables)


@look
def _plane(x_domain: tuple[float, float], y_domain: tuple[float, float], symbol: str) -> alt.LayerChart:
    x_scale, y_scale = (alt.Scale(domain=domain, nice=False) for domain in (x_domain, y_domain))
    x = alt.X("qalys:Q", scale=x_scale, axis=signed_axis("Change in QALYs per 1,000 people"))
    y = alt.Y("cost:Q", scale=y_scale, axis=money_axis(symbol, None, plus=True))
    tooltip = [
        alt.Tooltip("qalys:Q", title="Mean, QALYs per 1,000", format=",.4~f"),
        alt.Tooltip("cost:Q", title="Mean, cost", format=",.2f"),
    ]
    layers = [
        table("line").mark_area(color=TEAL, opacity=0.07, clip=True).encode(x=x, y=y, y2="floor:Q"),
        table("zero").mark_rule(color=INK, opacity=0.5).encode(y="zero:Q"),
        table("zero").mark_rule(color=INK, opacity=0.5).encode(x="zero:Q"),
        table("points").mark_circle(size=14, color=TEAL, opacity=0.45, clip=True).encode(x=x, y=y),
        table("ring").mark_line(color=TEAL, strokeWidth=2, clip=True).encode(x=x, y=y, order="order:O"),
        table("line").mark_line(color=INK, strokeDash=[5, 4], strokeWidth=1.5, clip=True).encode(x=x, y=y),
        table("mean")
        .mark_circle(size=130, color=TEAL, stroke="white", strokeWidth=2, opacity=1)
        .encode(x=x, y=y, tooltip=tooltip),
        *beside("word", "words", x=x, y=y, bold=True, dy=27),
        _corner("costs more, gains less", align="left", baseline="top", x="6", y="6"),
        _corner("saves money, gains health", align="right", baseline="bottom", x="width - 6", y="height - 6"),
    ]
    return _padded(alt.layer(*layers), right=12).properties(title=above("Change in cost per person"))


def _frame(ring: pd.Series, points: pd.Series) -> tuple[float, float]:
    """Ends of an axis that hold the ellipse, nearly all draws and zero."""
    low, high = np.quantile(points, (0.005, 0.995))
    low, high = min(ring.min(), low, 0), max(ring.max(), high, 0)
    spare = 0.06 * (high - low) or 1.0
    return float(low - spare), float(high + spare)


def _corner(text: str, align: str, baseline: str, x: str, y: str) -> alt.Chart:
    """What a corner where one side wins in both means."""
    mark = table("zero").mark_text(text=text, align=align, baseline=baseline, **WORDS)
    return mark.encode(x=alt.XValue(alt.expr(x)), y=alt.YValue(alt.expr(y)))


def beside(name: str, column: str, bold: bool = False, dy: int = 0, **encoding: object) -> list[alt.Chart]:
    """Words beside the points of a table, at their left where its column `left` is true, else at their right."""
    weight = {"fontWeight": "bold"} if bold else {}
    return [
        layer
        for left in (True, False)
        for layer in haloed(
            table(name)
            .mark_text(align="right" if left else "left", dx=-7 if left else 7, dy=dy, **weight, **WORDS)
            .encode(text=f"{column}:N", **encoding)
            .transform_filter("datum.left" if left else "!datum.left")
        )
    ]


# Curves along the threshold


def acceptability(
    curves: pd.DataFrame, chosen: str, names: Mapping[str, str], wtp: float, p_best: float, symbol: str
) -> Drawing:
    """CEAC of each strategy and the CEAF, pale, along the threshold; `p_best` where the threshold is.

    `curves` has columns wtp, ceaf and p_STRATEGY; names {strategy: words at the line's end}.
    """
    tables = {
        "pale": {"wtp": curves["wtp"], "value": curves["ceaf"]},
        "dot": {"wtp": [wtp], "value": [p_best]},
        **_strategy_tables(curves, "p_", chosen, names, top=1.0),
        "threshold": threshold(wtp, "threshold", curves),
    }
    return Drawing(_acceptability(float(curves["wtp"].max()), symbol), tables)


@look
def _acceptability(top_wtp: float, symbol: str) -> alt.LayerChart:
    axis = plain_axis(None, values=[0, 0.25, 0.5, 0.75, 1], format=".2~f", labelFlush=False)
    x, y = _wtp(top_wtp, symbol), alt.Y("value:Q", scale=alt.Scale(domain=[0, 1]), axis=axis)
    dot = table("dot").mark_circle(size=110, color=INK, stroke="white", strokeWidth=2, opacity=1)
    chart = alt.layer(*_curve_layers(x, y), dot.encode(x=x, y=y))
    return room_for_names(chart, HEIGHT).properties(title=above("Probability that it is the best buy"))


def expected_loss(curves: pd.DataFrame, chosen: str, names: Mapping[str, str], wtp: float, symbol: str) -> Drawing:
    """Expected loss of each strategy along the threshold (columns loss_STRATEGY), the least of them pale: EVPI.

    Drawn up to where the strategies that can be best stay in sight; a line that leaves the frame has no name at
    its end.
    """
    losses = curves[[f"loss_{name}" for name in names]]
    top = float(1.15 * np.sort(losses.to_numpy(), axis=1)[:, :3].max()) or 1.0
    tables = {
        "pale": {"wtp": curves["wtp"], "value": losses.min(axis=1)},
        **_strategy_tables(curves, "loss_", chosen, names, top=top),
        "threshold": threshold(wtp, "threshold", curves),
    }
    return Drawing(_expected_loss(float(curves["wtp"].max()), top, symbol), tables)


@look
def _expected_loss(top_wtp: float, top: float, symbol: str) -> alt.LayerChart:
    y = alt.Y("value:Q", scale=alt.Scale(domain=[0, top], nice=False), axis=money_axis(symbol, None))
    chart = alt.layer(*_curve_layers(_wtp(top_wtp, symbol), y))
    return room_for_names(chart, HEIGHT).properties(title=above("Expected loss per person"))


def _wtp(top: float, symbol: str) -> alt.X:
    scale = alt.Scale(domain=[0, top], nice=False)
    return alt.X("wtp:Q", scale=scale, axis=money_axis(symbol, "Worth of one QALY", grid=False))


def threshold(wtp: float, word: str, curves: pd.DataFrame) -> dict[str, list]:
    """The table of the threshold's rule and its word, on the side where there is room."""
    return {"wtp": [wtp], "word": [word], "left": [wtp > 0.6 * float(curves["wtp"].max())]}


def _threshold_rule(x: alt.X) -> alt.Chart:
    return table("threshold").mark_rule(color=INK, strokeDash=[5, 4], strokeWidth=1.5).encode(x=x)


def _strategy_tables(
    curves: pd.DataFrame, prefix: str, chosen: str, names: Mapping[str, str], top: float
) -> dict[str, Table]:
    """Lines of the strategy of interest (own) and of the others, and the names at their ends."""
    wtp = curves["wtp"].to_numpy()
    values = {name: curves[f"{prefix}{name}"].to_numpy() for name in names}
    others = [name for name in names if name != chosen]
    last = {name: line[-1] for name, line in values.items() if line[-1] <= top}
    ends = end_places(list(last.values()), top, apart=0.062)
    return {
        "own": {"wtp": wtp, "value": values[chosen], "name": [names[chosen]] * len(wtp)},
        "others": {
            "wtp": np.tile(wtp, len(others)),
            "value": np.concatenate([values[name] for name in others]),
            "strategy": np.repeat(others, len(wtp)),
            "name": np.repeat([names[name] for name in others], len(wtp)),
        },
        "ends": {
            "place": ends,
            "name": [names[name] for name in last],
            "own": [name == chosen for name in last],
        },
    }


def _curve_layers(x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Pale line, one line a strategy with its name at its end, and the threshold."""
    tooltip = [
        alt.Tooltip("name:N", title="Strategy"),
        alt.Tooltip("wtp:Q", title="Worth of one QALY", format=",.0f"),
        alt.Tooltip("value:Q", title="Value", format=",.4~f"),
    ]
    return [
        table("pale").mark_line(color=SLATE, strokeWidth=9, opacity=0.28, clip=True).encode(x=x, y=y),
        table("others")
        .mark_line(color=SLATE, strokeWidth=1.5, clip=True)
        .encode(x=x, y=y, strokeDash=dashes(), tooltip=tooltip),
        table("own").mark_line(color=TEAL, strokeWidth=3, clip=True).encode(x=x, y=y, tooltip=tooltip),
        *end_names(),
        _threshold_rule(x),
        *beside("threshold", "word", x=x, y=alt.value(8)),
    ]


def dashes() -> alt.StrokeDash:
    """The dashes of each strategy."""
    scale = alt.Scale(domain=list(DASHES), range=list(DASHES.values()))
    return alt.StrokeDash("strategy:N", scale=scale, legend=None)


NARROW = "windowSize()[0] < 640"
"""A phone, as the stylesheet has it."""


def end_names() -> list[alt.Chart]:
    """Names at the ends of lines, from the table `ends` (place, name, own), one's own in bold.

    On a phone they stand inside the plot, which would else be half as wide.
    """
    base = table("ends").encode(x=alt.XValue(alt.expr("width")), y=alt.Y("place:Q"), text="name:N")
    side = {"align": alt.expr(f"{NARROW} ? 'right' : 'left'"), "dx": alt.expr(f"{NARROW} ? -3 : 8")}
    side["dy"] = alt.expr(f"{NARROW} ? -8 : 0")
    return [
        *haloed(base.mark_text(**side, **WORDS).transform_filter("!datum.own")),
        *haloed(base.mark_text(fontWeight="bold", **side, **WORDS).transform_filter("datum.own")),
    ]


def room_for_names(chart: alt.LayerChart, height: int, right: int = 118) -> alt.LayerChart:
    """The chart with room at its right for names at the ends of lines, on a phone with hardly any."""
    sides = f"{{left: 2, top: 4, bottom: 8, right: {NARROW} ? 8 : {right}}}"
    return chart.properties(height=height, padding=alt.expr(sides))


def end_places(values: Sequence[float], top: float, apart: float, bottom: float = 0.0) -> list[float]:
    """Heights of the names of these values, in their order: `apart` of the axis from one another, inside it."""
    span = top - bottom
    order = np.argsort(values, kind="stable")
    places = [0.0] * len(order)
    lowest = bottom + 0.02 * span
    for index in order:
        places[index] = max(values[index], lowest)
        lowest = places[index] + apart * span
    highest = bottom + 0.98 * span
    for index in order[::-1]:
        places[index] = min(places[index], highest)
        highest = places[index] - apart * span
    return [float(place) for place in places]


# What knowing more is worth


def certainty(curves: pd.DataFrame, wtp: float, evpi: float, words: str, symbol: str) -> Drawing:
    """EVPI per person along the threshold, with its value (`words`) where the threshold is."""
    here = {**threshold(wtp, words, curves), "evpi": [evpi]}
    tables = {"curve": curves[["wtp", "evpi"]], "threshold": here}
    return Drawing(_certainty(float(curves["wtp"].max()), symbol), tables)


@look
def _certainty(top_wtp: float, symbol: str) -> alt.LayerChart:
    x = _wtp(top_wtp, symbol)
    y = alt.Y("evpi:Q", scale=alt.Scale(zero=True), axis=money_axis(symbol, None))
    layers = [
        table("curve").mark_area(color=TEAL, opacity=0.15).encode(x=x, y=y),
        table("curve").mark_line(color=TEAL, strokeWidth=2.5).encode(x=x, y=y),
        _threshold_rule(x),
        table("threshold")
        .mark_circle(size=110, color=TEAL, stroke="white", strokeWidth=2, opacity=1)
        .encode(x=x, y=y),
        *beside("threshold", "word", bold=True, dy=-12, x=x, y=y),
    ]
    return _padded(alt.layer(*layers), 270, right=14).properties(title=above("Per person who starts screening"))


def knowing(groups: pd.DataFrame, symbol: str) -> Drawing:
    """One bar a group of numbers: what knowing them is worth, with the whisker of its 95 % interval.

    `groups` has group, value, low, high, words (the value in words), most worth first. Names stand over the
    bars, so that these keep their width on a phone.
    """
    rows = groups[["group", "value", "low", "high", "words"]].assign(rank=range(len(groups)))
    return Drawing(_knowing(len(rows), symbol), {"groups": rows})


@look
def _knowing(n_groups: int, symbol: str) -> alt.LayerChart:
    base = table("groups").encode(y=alt.Y("rank:O", axis=None, scale=alt.Scale(paddingInner=0.2)))
    axis = money_axis(symbol, "Worth per person who starts screening")
    x = alt.X("value:Q", scale=alt.Scale(domainMin=0), axis=axis)
    fill = alt.condition("datum.rank === 0", alt.value(TEAL), alt.value(SLATE))
    tooltip = [alt.Tooltip("group:N", title="Numbers"), alt.Tooltip("value:Q", title="Worth", format=",.4~f")]
    under, over = 9, -7
    layers = [
        base.mark_bar(height=12, yOffset=under, cornerRadiusEnd=2).encode(x=x, color=fill, tooltip=tooltip),
        base.mark_rule(color=INK, yOffset=under).encode(x=alt.X("low:Q"), x2="high:Q"),
        base.mark_text(align="left", dy=over, **WORDS).encode(x=alt.value(0), text="group:N"),
        base.mark_text(align="right", dy=over, fontWeight="bold", **WORDS).encode(
            x=alt.XValue(alt.expr("width")), text="words:N"
        ),
    ]
    return _padded(alt.layer(*layers), 46 * n_groups + 8)


# Net benefit of draws, and the cohort


def gain_histogram(bins: pd.DataFrame, mean: float, symbol: str) -> Drawing:
    """Draws by the net benefit gained: columns start, end, share; what lies below 0 is slate, above it teal."""
    return Drawing(_gain_histogram(symbol), {"bins": bins, "mean": {"start": [mean]}, "zero": ZERO})


@look
def _gain_histogram(symbol: str) -> alt.LayerChart:
    axis = money_axis(symbol, "Net benefit gained per person", plus=True, grid=False)
    x = alt.X("start:Q", scale=alt.Scale(zero=False, nice=False), axis=axis)
    y = alt.Y("share:Q", axis=plain_axis(None, labelExpr="format(100 * datum.value, '.2~f') + ' %'"))
    tooltip = [
        alt.Tooltip("start:Q", title="From", format=",.0f"),
        alt.Tooltip("end:Q", title="To", format=",.0f"),
        alt.Tooltip("share:Q", title="Share of draws", format=".2%"),
    ]
    fill = alt.condition("datum.start >= 0", alt.value(TEAL), alt.value(SLATE))
    layers = [
        table("bins")
        .mark_rect(stroke="white", strokeWidth=0.5)
        .encode(x=x, x2="end:Q", y=y, y2=alt.datum(0), color=fill, tooltip=tooltip),
        table("zero").mark_rule(color=INK, strokeWidth=1.5).encode(x="zero:Q"),
        table("mean").mark_rule(color=INK, strokeDash=[5, 4], strokeWidth=1.5).encode(x=x),
        *haloed(table("mean").mark_text(text="mean", align="left", dx=5, **WORDS).encode(x=x, y=alt.value(8))),
    ]
    return _padded(alt.layer(*layers), 240, right=14).properties(title=above("Share of draws"))


AREAS = {
    "Alive, no lung cancer": (SLATE, 0.14),
    "Alive, cancer not found yet": (INDIGO, 0.75),
    "Alive, cancer found by a screen": (TEAL, 0.85),
    "Alive, cancer found by symptoms": (SLATE, 0.8),
    "Died of lung cancer": (RUST, 0.85),
    "Died of other causes": (SLATE, 0.4),
}
"""Areas of the cohort from the bottom up, with their fill and its strength."""


def cohort(states: pd.DataFrame, highest: float) -> Drawing:
    """The cohort by age as stacked areas: `age`, then columns named as in AREAS, persons per 1,000.

    Columns may be some of AREAS; `highest` is the top of the axis. The legend has them from the bottom up.
    """
    names = tuple(name for name in AREAS if name in states)
    rows = states.melt("age", list(names), "area", "persons")
    rows["order"] = rows["area"].map({name: i for i, name in enumerate(names)})
    ages = float(states["age"].min()), float(states["age"].max())
    return Drawing(_cohort(names, ages, highest), {"states": rows})


@look
def _cohort(names: tuple[str, ...], ages: tuple[float, float], highest: float) -> alt.LayerChart:
    legend = alt.Legend(
        orient="bottom",
        columns=alt.expr(f"{NARROW} ? 1 : 2"),
        title=None,
        symbolType="square",
        symbolSize=120,
        labelFontSize=12,
        labelLimit=230,
    )
    hues, strengths = ([AREAS[name][i] for name in names] for i in (0, 1))
    x = alt.X("age:Q", scale=alt.Scale(domain=ages, nice=False), axis=plain_axis("Age", grid=False))
    scale = alt.Scale(domain=[0, highest], nice=False)
    y = alt.Y("persons:Q", stack="zero", scale=scale, axis=plain_axis(None))
    areas = (
        table("states")
        .mark_area(clip=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color("area:N", scale=alt.Scale(domain=list(names), range=hues), legend=legend),
            opacity=alt.Opacity("area:N", scale=alt.Scale(domain=list(names), range=strengths), legend=legend),
            order="order:O",
            tooltip=[
                alt.Tooltip("area:N", title="State"),
                alt.Tooltip("age:Q", title="Age"),
                alt.Tooltip("persons:Q", title="Per 1,000", format=",.3~f"),
            ],
        )
    )
    return _padded(alt.layer(areas), 320, right=12).properties(title=above("Per 1,000 people who start"))
