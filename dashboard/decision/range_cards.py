"""Cards of Sensitivity: tornado, the curve of one number, the map of two, how draws spread."""

import math

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import figure_title, plain
from dashboard.decision import loaders, panel, range_charts
from dashboard.decision.charts import gain_histogram
from dashboard.decision.loaders import Draws
from dashboard.decision.words import NAMES, comparison, name, of_100
from dashboard.economics import loaders as economics
from dashboard.economics import words
from dashboard.economics.words import money, number, per_1000
from dashboard.figure import downloads, figure
from market.scenarios import Scenario
from market.screening import STRATEGIES

BARS = 10
OUTCOMES = {"nmb": "Net benefit", "cost": "Cost", "qalys": "QALYs", "icer": "Cost per QALY"}


def outcomes(table: pd.DataFrame, outcome: str, wtp: float) -> pd.DataFrame:
    """One outcome of loaders.tornado at a threshold, widest first: its columns and at_low, at_base, at_high, width.

    QALYs are per 1,000 persons. A cost per QALY is NaN where it is no price; a bar with such an end has no width
    and comes last. low_says, high_says tell what is so in its place.
    """
    found = table.copy()
    for end in ("low", "base", "high"):
        cost, qalys = table[f"cost_{end}"].to_numpy(), table[f"qalys_{end}"].to_numpy()
        signs = [loaders.direction(*pair) for pair in zip(cost, qalys, strict=True)]
        price = np.array([pair == (1, 1) for pair in signs])
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(price, cost / qalys, np.nan)
        values = {"cost": cost, "qalys": 1000 * qalys, "icer": ratio, "nmb": wtp * qalys - cost}
        found[f"at_{end}"] = values[outcome]
        found[f"{end}_says"] = [comparison(pair) for pair in signs]
    found["width"] = (found["at_high"] - found["at_low"]).abs()
    return found.sort_values("width", ascending=False, kind="stable", na_position="last", ignore_index=True)


def lowered(text: str) -> str:
    """The text as it stands inside a sentence."""
    return text[:1].lower() + text[1:]


def say(outcome: str, value: float, currency: str) -> str:
    """An outcome in words."""
    if math.isnan(value):
        return "no price"
    if outcome == "qalys":
        return per_1000(value)
    return money(value, currency, plus=outcome != "icer")


def value_words(value: float, unit: str) -> str:
    """A number of a parameter, as short as its bar's end allows: "$15", "2.5 %", "1.4"."""
    head = unit.split(" ")[0]
    if head in words.SYMBOLS and unit != "exchange rate":
        return money(value, head)
    if unit in ("probability", "proportion"):
        return words.percent(value, 1 if value < 0.995 else 0)
    if unit == "probability difference":
        return words.signed(f"{abs(100 * value):.1f} points", value, plus=True)
    return words.signed(f"{abs(value):,.3g}", value)


def short(value: float) -> str:
    """A number of a parameter to four digits, its unit beside it."""
    return words.given(value, 4)


def tornado(
    scenario: Scenario, table: pd.DataFrame, outcome: str, wtp: float, chosen: str, source: str
) -> str | None:
    """Ten widest bars, and all numbers as a table; the id of the bar that was clicked."""
    currency = economics.parameters(scenario).currency
    rows = outcomes(table, outcome, wtp)
    drawn = rows[rows["width"] > 0].head(BARS)
    against = f"{NAMES[scenario.strategy]} against {name(scenario.comparator)}"
    base = float(rows["at_base"].iloc[0])
    if drawn.empty or math.isnan(base):
        return _no_prices(rows, against)
    drawn = drawn.assign(
        name=[f"{words.trust_sign(row.trust)} {row.label}" for row in drawn.itertuples()],
        low_words=[value_words(row.low_value, row.unit) for row in drawn.itertuples()],
        high_words=[value_words(row.high_value, row.unit) for row in drawn.itertuples()],
    )
    first = drawn.iloc[0]
    ends = [say(outcome, value, currency) for value in sorted((first["at_low"], first["at_high"]))]
    flips = int(((rows["at_low"] > 0) != (rows["at_high"] > 0)).sum())
    told = f"; {flips} of {len(rows)} numbers can turn its sign" if outcome == "nmb" else ""
    at = f" at {money(wtp, currency)} per QALY" if outcome == "nmb" else ""
    event = figure(
        range_charts.tornado(drawn, base, outcome, words.SYMBOLS[currency], chosen),
        export(rows, outcome),
        sentence=words.whole(f"{plain(first['label'])} moves it most: {ends[0]} to {ends[1]}"),
        note=f"{against}, {lowered(range_charts.TITLES[outcome])}{at}; each bar: one number over its range, all "
        f"others at base; teal: towards its high end. {words.LEGEND}",
        alt_text=f"Tornado chart, base {say(outcome, base, currency)}: "
        + "; ".join(
            f"{row.label} {say(outcome, row.at_low, currency)} to {say(outcome, row.at_high, currency)}"
            for row in drawn.head(3).itertuples()
        ),
        name="tornado",
        live=True,
        source=f"Base: {say(outcome, base, currency)}{told}. {_left_out(rows, drawn, outcome)}{source}",
        key=f"tornado-chart-{outcome}",
        on_select="rerun",
        selection_mode=range_charts.PICKED,
    )
    picked = event.selection.get(range_charts.PICKED) if event else None
    return picked[0]["parameter"] if picked else None


def _left_out(rows: pd.DataFrame, drawn: pd.DataFrame, outcome: str) -> str:
    none = int(rows["width"].isna().sum())
    has = "1 has" if none == 1 else f"{none} have"
    no_price = f"{has} an end without a price; the table tells what is so there. " if none else ""
    return f"{len(rows) - len(drawn)} more numbers are in the table. {no_price if outcome == 'icer' else ''}"


def _no_prices(rows: pd.DataFrame, against: str) -> None:
    """In place of bars, where base values give no cost per QALY."""
    figure_title("There is no cost per QALY to vary", against)
    said = rows["base_says"].iloc[0]
    prices = rows[rows["at_low"].notna() | rows["at_high"].notna()]
    also = (
        f" At an end of {words.number(len(prices))} of the ranges it has one: see the table." if len(prices) else ""
    )
    st.markdown(
        f"With base values it {said}: a ratio would be no price.{also} Look at the net benefit, or compare with no "
        "screening."
    )


def export(rows: pd.DataFrame, outcome: str) -> pd.DataFrame:
    """The tornado's data as a person would want them."""
    columns = ["parameter", "label", "unit", "trust", "status", "low_value", "base_value", "high_value"]
    table = rows[[*columns, "at_low", "at_base", "at_high", "width", "low_says", "high_says"]]
    return table.assign(outcome=outcome)


def all_numbers(scenario: Scenario, table: pd.DataFrame, outcome: str, wtp: float) -> None:
    """Every number with its range and what it does, for those that have no bar; opened when asked."""
    currency = economics.parameters(scenario).currency
    rows = outcomes(table, outcome, wtp)
    with st.expander(
        f"All {len(rows)} numbers, widest first", icon=":material/table_rows:", on_change="rerun"
    ) as box:
        pass
    if not box.open:
        return
    with box:
        downloads("tornado-table", export(rows, outcome))
        shown = pd.DataFrame(
            {
                "Number": [f"{words.trust_sign(row.trust)} {row.label}" for row in rows.itertuples()],
                "From": [value_words(row.low_value, row.unit) for row in rows.itertuples()],
                "To": [value_words(row.high_value, row.unit) for row in rows.itertuples()],
                "Then, from": [_said(row.at_low, row.low_says, outcome, currency) for row in rows.itertuples()],
                "Then, to": [_said(row.at_high, row.high_says, outcome, currency) for row in rows.itertuples()],
                "Unit": rows["unit"],
            }
        )
        st.dataframe(shown, hide_index=True, height=420, alt="All numbers with their ranges and what they do")
        st.caption(
            f"{words.LEGEND}. {OUTCOMES[outcome]} of {name(scenario.strategy)} against {name(scenario.comparator)}."
        )


def _said(value: float, says: str, outcome: str, currency: str) -> str:
    return says if math.isnan(value) else say(outcome, value, currency)


def curve(scenario: Scenario, row: pd.Series, outcome: str, wtp: float, source: str) -> None:
    """One number over its range; for the net benefit all strategies, with where the best buy changes."""
    currency = economics.parameters(scenario).currency
    values, cost, qalys = loaders.one_way(scenario, row["parameter"])
    other = STRATEGIES.index(scenario.comparator)
    more_cost, more_qalys = cost - cost[:, [other]], qalys - qalys[:, [other]]
    gain = wtp * more_qalys - more_cost
    changes = loaders.crossings(values, gain)
    said = _crossing_words(changes, gain, row["unit"], wtp, currency)
    unit, base = plain(row["unit"]), float(row["base_value"])
    found, kept = _lines(scenario, more_cost, more_qalys, outcome, wtp)
    note = f"{range_charts.TITLES[outcome]} against {name(scenario.comparator)}, all other numbers at base"
    note += {
        "nmb": "; at 0 both are worth the same; dashed: the best buy changes",
        "icer": "; a gap: no price",
    }.get(outcome, "")
    if np.isfinite(found).sum() < 2:
        one = STRATEGIES.index(scenario.strategy)
        so = comparison(loaders.direction(more_cost[0, one], more_qalys[0, one]))
        figure_title(said, f"{plain(row['label'])}, {unit}")
        st.markdown(f"Over its whole range there is no cost per QALY: {name(scenario.strategy)} {so}.")
        return
    rows = pd.DataFrame(
        {
            "value": np.tile(values, len(kept)),
            "strategy": np.repeat(kept, len(values)),
            "name": np.repeat([NAMES[strategy] for strategy in kept], len(values)),
            "outcome": found.T.ravel(),
        }
    )
    turns = [(value, value_words(value, row["unit"])) for value, _, _ in changes] if outcome == "nmb" else []
    turns = pd.DataFrame(turns, columns=["value", "word"])
    symbol = words.SYMBOLS[currency]
    figure(
        range_charts.one_way(rows, scenario.strategy, outcome, symbol, row["unit"], base, turns),
        pd.DataFrame({row["parameter"]: values, **{f"{outcome}_{key}": found[:, i] for i, key in enumerate(kept)}}),
        sentence=words.whole(said),
        note=note,
        alt_text=f"Lines along {row['label']} from {number(values[0])} to {number(values[-1])}: {said}",
        name="one-way",
        live=True,
        source=f"{words.trust_sign(row['trust'])} {words.trust_words(row['trust'], row['status'])}; range "
        f"{words.range_words(row['low_value'], row['high_value'], short)}, base {short(base)} ({unit}). {source}",
    )


def _lines(
    scenario: Scenario, more_cost: np.ndarray, more_qalys: np.ndarray, outcome: str, wtp: float
) -> tuple[np.ndarray, list[str]]:
    """The outcome (value, line), NaN where there is none, and the strategy of each line."""
    one, other = STRATEGIES.index(scenario.strategy), STRATEGIES.index(scenario.comparator)
    if outcome == "nmb":
        gain = wtp * more_qalys - more_cost
        kept = _near(gain, [i for i in range(len(STRATEGIES)) if i != other], one)
        return gain[:, kept], [STRATEGIES[i] for i in kept]
    cost, qalys = more_cost[:, [one]], more_qalys[:, [one]]
    if outcome == "icer":
        price = np.array([loaders.direction(*pair) == (1, 1) for pair in zip(cost[:, 0], qalys[:, 0], strict=True)])
        qalys = np.where(price[:, None], qalys, np.nan)
        return cost / qalys, [scenario.strategy]
    return cost if outcome == "cost" else 1000 * qalys, [scenario.strategy]


def _near(found: np.ndarray, kept: list[int], one: int) -> list[int]:
    """Without strategies so far off that the others would lie on one line."""
    size = np.abs(found).max(axis=0)
    close = sorted(size[kept])
    limit = 2 * max(close[min(1, len(close) - 1)], size[one])
    return [i for i in kept if size[i] <= limit or i == one]


def _crossing_words(changes: list, gain: np.ndarray, unit: str, wtp: float, currency: str) -> str:
    """As in "Up to $4.83 AI read alongside is the best buy, above it one reader, no AI"."""
    worth = money(wtp, currency)
    if not changes:
        return f"{NAMES[STRATEGIES[int(gain[0].argmax())]]} is the best buy at {worth} over the whole range"
    value, before, after = changes[0]
    said = f"Up to {value_words(value, unit)} the best buy is {name(STRATEGIES[before])}, "
    said += f"then {name(STRATEGIES[after])}"
    for value, _, after in changes[1:3]:
        said += f", from {value_words(value, unit)} {name(STRATEGIES[after])}"
    return said


def two_way(
    scenario: Scenario, table: pd.DataFrame, ids: tuple[str, str], wtp: float, asked: bool, source: str
) -> None:
    """The best buy over two numbers; computed when asked, kept, and following the threshold."""
    stop = f"map-{ids}"
    job = loaders.map_job(scenario, ids, start=asked and st.session_state.get(panel.STOPPED_HERE) != stop)
    if job is not None and job.state == "done":
        _map(scenario, table.set_index("parameter"), ids, job.result, wtp, source)
        return
    figure_title("Which strategy is best at any two values?", f"{loaders.TWO_WAY_POINTS**2} runs of the model")
    if job is not None and job.going:
        panel.progress(job, stop, "rows of the map")
        st.skeleton(200)
    elif job is not None and job.state == "failed":
        panel.failure(job, "The map could not be drawn.")
    else:
        st.markdown("Pick two numbers and draw the map: it shows where the best buy changes.")


def _map(
    scenario: Scenario, named: pd.DataFrame, ids: tuple[str, str], found: tuple, wtp: float, source: str
) -> None:
    one, two, cost, qalys = found
    currency = economics.parameters(scenario).currency
    gain = wtp * qalys - cost
    best, ranked = gain.argmax(axis=-1), np.sort(gain, axis=-1)
    margin = (ranked[..., -1] - ranked[..., -2]).ravel()
    (x, x2), (y, y2) = range_charts.sides(one), range_charts.sides(two)
    rows, columns = (part.ravel() for part in np.indices(best.shape))
    strategies = [STRATEGIES[i] for i in best.ravel()]
    cells = pd.DataFrame({"x": x[rows], "x2": x2[rows], "y": y[columns], "y2": y2[columns], "strategy": strategies})
    cells["name"] = cells["strategy"].map(NAMES)
    cells["margin"] = [money(value, currency) for value in margin]
    labels = pd.DataFrame(
        [(one[i], two[j], NAMES[STRATEGIES[at]]) for i, j, at in loaders.area_places(best)],
        columns=["x", "y", "name"],
    )
    shares = cells["name"].value_counts(normalize=True)
    titles = [f"{named.loc[key, 'label'][:80]} ({named.loc[key, 'unit']})" for key in ids]
    base = tuple(float(named.loc[key, "base_value"]) for key in ids)
    parts = "; ".join(f"{label} {words.percent(share)}" for label, share in shares.items())
    figure(
        range_charts.best_map(cells, labels, scenario.strategy, titles, base),
        pd.DataFrame({ids[0]: one[rows], ids[1]: two[columns], "best": strategies, "ahead_by": margin}),
        sentence=f"{shares.index[0]} is the best buy {'everywhere' if len(shares) == 1 else 'on most of the map'}",
        note=f"Best buy at {money(wtp, currency)} per QALY over the ranges of two numbers, all others at base; "
        f"teal: {name(scenario.strategy)}; ring: base values",
        alt_text=f"Map of the best buy over {titles[0]} and {titles[1]}. Share of the map: {parts}",
        name="two-way",
        source=f"Share of the map: {parts}. {source}",
    )


def spread(scenario: Scenario, draws: Draws, wtp: float, source: str) -> None:
    """How the net benefit gained spreads over the draws."""
    cost, qalys = draws.increments(scenario.strategy, scenario.comparator)
    gain = wtp * qalys - cost
    low, high = np.quantile(gain, (0.001, 0.999))
    low, high = min(low, 0.0), max(high, 0.0)
    step = _step((high - low) / 36)
    edges = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    if len(edges) < 2:
        edges = np.array([0.0, 1.0])
    counts, _ = np.histogram(np.clip(gain, edges[0], edges[-1]), edges)
    bins = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "share": counts / len(gain)})
    worth = float((gain > 0).mean())
    currency = draws.currency
    ends = [money(value, currency, plus=True) for value in np.quantile(gain, (0.025, 0.975))]
    figure(
        gain_histogram(bins, float(gain.mean()), words.SYMBOLS[currency]),
        bins.assign(draws=counts),
        sentence=f"With all numbers drawn together, it is worth its cost in {of_100(worth)}",
        note=f"Net benefit of {name(scenario.strategy)} against {name(scenario.comparator)} at "
        f"{money(wtp, currency)} per QALY; teal: worth its cost",
        alt_text=f"Histogram of {draws.n:,} draws: mean {money(gain.mean(), currency, plus=True)}, 95 % interval "
        f"{ends[0]} to {ends[1]}",
        name="net-benefit-draws",
        source=f"Mean {money(gain.mean(), currency, plus=True)}, 95 % interval {ends[0]} to {ends[1]}, "
        f"{draws.n:,} draws. {source}",
    )


def _step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
