"""What draws and tables say, in words: dominance, the answer, the incremental table."""

from collections.abc import Mapping

import pandas as pd

from dashboard.economics import words
from dashboard.economics.words import capital, money

NEVER_A_PRICE = {
    (-1, 1): "saves money and gains health",
    (-1, 0): "saves money for the same health",
    (0, 1): "gains health at the same cost",
    (0, 0): "costs and gains the same",
    (1, 0): "costs more for the same health",
    (0, -1): "gains less health at the same cost",
    (1, -1): "costs more and gains less health",
}
"""By the signs of a difference in cost and in health, where their ratio is no price."""

TRADE = {(1, 1): "costs more and gains health", (-1, -1): "saves money and gives up health"}


def comparison(direction: tuple[int, int]) -> str:
    """A strategy against its comparator, as in "costs more and gains less health"."""
    return (NEVER_A_PRICE | TRADE)[direction]


def name(strategy: str, start: bool = False) -> str:
    """A strategy inside a sentence, or at its start."""
    found = words.STRATEGIES[strategy]
    return capital(found) if start else found


NAMES = {strategy: capital(found) for strategy, found in words.STRATEGIES.items()}


def per_qaly(direction: tuple[int, int], inc_cost: float, inc_qalys: float, currency: str) -> tuple[str, str]:
    """The metric of a cost per QALY and the words under it; a price only where it is one."""
    if direction == (1, 1):
        return money(inc_cost / inc_qalys, currency), "no interval, see draws"
    if direction == (-1, -1):
        return money(inc_cost / inc_qalys, currency), "saved per QALY lost"
    short = {(-1, 1): "saves and gains", (1, -1): "costs and loses", (1, 0): "same health", (-1, 0): "same health"}
    return "No price", short.get(direction, "same cost")


def of_100(share: float) -> str:
    """A share of draws as in "44 of 100 draws", never 0 or 100 where it is not."""
    if 0 < share < 0.005:
        return "fewer than 1 of 100 draws"
    if 0.995 < share < 1:
        return "more than 99 of 100 draws"
    return f"{round(100 * share)} of 100 draws"


def incremental(icers: pd.DataFrame, wtp: float, currency: str) -> pd.DataFrame:
    """The table of a decision, cheapest first: each strategy with what it costs and gains, and what that means.

    `icers` is cea.icer_table; effect in QALYs. Columns: strategy, name, cost, qalys, inc_cost, inc_qalys, icer
    (numbers, NaN where there is none; increments against the last strategy above that is worth considering),
    status, words.
    """
    rows = {row["strategy"]: row for row in icers.to_dict("records")}
    best = max(rows, key=lambda key: wtp * rows[key]["effect"] - rows[key]["cost"])
    found = []
    for key, row in sorted(rows.items(), key=lambda pair: pair[1]["cost"]):
        numbers = {"cost": row["cost"], "qalys": row["effect"]}
        numbers |= {"inc_cost": row["inc_cost"], "inc_qalys": row["inc_effect"], "icer": row["icer"]}
        said = _row_words(rows, key, best, wtp, currency)
        found.append({"strategy": key, "name": NAMES[key], **numbers, "status": row["status"], "words": said})
    return pd.DataFrame(found)


def _row_words(rows: Mapping[str, Mapping], key: str, best: str, wtp: float, currency: str) -> str:
    row = rows[key]
    frontier = [other for other, found in rows.items() if found["status"] == "ND"]
    if row["status"] == "D":
        return dominated(rows, key)
    if row["status"] == "ED":
        below = [other for other in frontier if rows[other]["effect"] < row["effect"]][-1]
        above = next(other for other in frontier if rows[other]["effect"] > row["effect"])
        return f"a mix of {name(below)} and {name(above)} gains more for less"
    if key == best:
        return f"best buy at {money(wtp, currency)} per QALY"
    if key == frontier[0]:
        return "cheapest; the others are compared from here up"
    if row["icer"] > wtp:
        return f"gains more, but a QALY costs more than {money(wtp, currency)}"
    return "worth its price, and so is the next step"


def dominated(rows: Mapping[str, Mapping], key: str) -> str:
    """As in "costs more and gains less than one reader, no AI": by the best of those that dominate it."""
    row = rows[key]
    better = [
        other
        for other, found in rows.items()
        if other != key and found["cost"] <= row["cost"] and found["effect"] >= row["effect"]
    ]
    by = min(better, key=lambda other: (rows[other]["status"] != "ND", -rows[other]["effect"]))
    less = round(1000 * (rows[by]["effect"] - row["effect"]), 1)
    more = round(row["cost"] - rows[by]["cost"])
    gains = "less than" if less else "the same as"
    return f"{'costs more' if more else 'costs the same'} and gains {gains} {name(by)}"


def seconds(left: float | None) -> str:
    """As in "about 3 s left", "about 2 min left"; nothing where it is not known."""
    if left is None:
        return ""
    return f", about {left:.0f} s left" if left < 90 else f", about {left / 60:.0f} min left"


def chance(share: float) -> str:
    """A probability with two decimals, never 0.00 or 1.00 where it is not."""
    if 0 < share < 0.005:
        return "less than 0.01"
    if 0.995 < share < 1:
        return "more than 0.99"
    return f"{share:.2f}"
