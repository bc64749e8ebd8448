"""Deterministic sensitivity analysis: how cost and effect move with one parameter, or with two.

A model is any function from parameter values, a mapping of names to numbers, to the cost and effect of each
strategy: `model({"p_cure": 0.3, ...}) -> {"no screening": (cost, effect), ...}`. The base case is the mapping
with every parameter at its base value; a range is (low, high). Tables are long: one number a row where it can be.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

Model = Callable[[Mapping[str, float]], Mapping[str, tuple[float, float]]]
Range = tuple[float, float]

OUTCOMES = ("cost", "effect", "icer", "nmb")


def one_way(
    model: Model, base: Mapping[str, float], ranges: Mapping[str, Range], n_points: int = 2
) -> "pd.DataFrame":
    """Cost and effect as each parameter in `ranges` runs over its range, all others at their base value.

    One row per parameter, value and strategy: parameter, value, strategy, cost, effect. Values are n_points
    evenly spaced ones, both ends included. Raises InputError for a range that names no parameter of `base`,
    that is not (low, high) in finite numbers with low <= high, and for outcomes that are not finite.
    """
    import pandas as pd

    base, ranges = _checked_base(base), _checked_ranges(ranges, base)
    rows = [
        (parameter, value, strategy, cost, effect)
        for parameter, bounds in ranges.items()
        for value in _points(bounds, n_points)
        for strategy, (cost, effect) in _outcomes(model, base | {parameter: value}).items()
    ]
    return pd.DataFrame(rows, columns=["parameter", "value", "strategy", "cost", "effect"])


def tornado(
    model: Model,
    base: Mapping[str, float],
    ranges: Mapping[str, Range],
    strategy: str,
    comparator: str,
    wtp: float,
) -> "pd.DataFrame":
    """What each parameter's range does to the incremental outcomes of `strategy` against `comparator`.

    One row per outcome and parameter: outcome, parameter, low_value, high_value, at_low, at_base, at_high,
    width. Outcomes are the differences in cost, in effect and in net monetary benefit (nmb, at wtp), and the
    ICER; within each, rows go from the widest bar, |at_high - at_low|, to the narrowest, equals in the order
    of `ranges`.

    The ICER is the price of one unit of effect, and NaN where the strategy buys none: where it is dominated,
    where it dominates, and where it saves money at a loss of effect. A bar with such an end has no width and
    comes last, although its parameter may matter most; the nmb rows rank every parameter.

    Raises InputError as `one_way` does, for strategies the model does not have, and for a wtp below 0.
    """
    import pandas as pd

    base, ranges, wtp = _checked_base(base), _checked_ranges(ranges, base), _checked_wtp(wtp)

    def incremental(values: Mapping[str, float]) -> dict[str, float]:
        outcomes = _outcomes(model, values)
        for name, wanted in (("strategy", strategy), ("comparator", comparator)):
            if wanted not in outcomes:
                raise InputError(name, repr(wanted), "one of " + ", ".join(map(str, outcomes)))
        cost, effect = (new - old for new, old in zip(outcomes[strategy], outcomes[comparator], strict=True))
        icer = cost / effect if cost > 0 and effect > 0 else float("nan")
        return {"cost": cost, "effect": effect, "icer": icer, "nmb": wtp * effect - cost}

    at_base = incremental(base)
    rows = []
    for parameter, (low, high) in ranges.items():
        at_low, at_high = (incremental(base | {parameter: value}) for value in (low, high))
        for outcome in OUTCOMES:
            ends = at_low[outcome], at_base[outcome], at_high[outcome]
            rows.append((outcome, parameter, low, high, *ends, abs(ends[2] - ends[0])))
    columns = ["outcome", "parameter", "low_value", "high_value", "at_low", "at_base", "at_high", "width"]
    table = pd.DataFrame(rows, columns=columns)
    parts = [table[table["outcome"] == outcome] for outcome in OUTCOMES]
    parts = [part.sort_values("width", ascending=False, kind="stable", na_position="last") for part in parts]
    return pd.concat(parts, ignore_index=True)


def two_way(
    model: Model, base: Mapping[str, float], ranges: Mapping[str, Range], wtp: float, n_points: int = 21
) -> "pd.DataFrame":
    """The optimal strategy at every point of a grid over exactly two parameters, all others at their base value.

    One row per pair of values, the second parameter running fastest: a column with the values of each of the
    two, named after it; strategy, the one with the highest net monetary benefit at wtp, the first of equals;
    nmb, its net monetary benefit; margin, by how much it beats the next best (NaN with one strategy). Raises
    InputError as `one_way` does, for other than two ranges, and for a wtp below 0.
    """
    import pandas as pd

    base, ranges, wtp = _checked_base(base), _checked_ranges(ranges, base), _checked_wtp(wtp)
    if len(ranges) != 2:
        raise InputError("ranges", f"{len(ranges)} parameters", "two")
    first, second = ranges
    rows = []
    for one in _points(ranges[first], n_points):
        for two in _points(ranges[second], n_points):
            outcomes = _outcomes(model, base | {first: one, second: two})
            nmb = {strategy: wtp * effect - cost for strategy, (cost, effect) in outcomes.items()}
            ranked = sorted(nmb.values(), reverse=True)
            margin = ranked[0] - ranked[1] if len(ranked) > 1 else float("nan")
            rows.append((one, two, max(nmb, key=nmb.__getitem__), ranked[0], margin))
    return pd.DataFrame(rows, columns=[first, second, "strategy", "nmb", "margin"])


def crossings(values: Sequence[float], net_benefit: ArrayLike) -> list[tuple[float, int, int]]:
    """Where the strategy with the highest net benefit changes along one parameter: [(value, before, after)].

    values (value,) rise; net_benefit is (value, strategy); before and after are indices of strategies. Between
    two values net benefit is taken for a straight line, and the two that are best at its ends for the only
    ones that are best anywhere in between. Raises InputError for shapes that do not fit.
    """
    at, found = np.asarray(values, dtype=float), np.asarray(net_benefit, dtype=float)
    if found.ndim != 2 or at.shape != found.shape[:1] or (np.diff(at) < 0).any():
        raise InputError("values", f"shape {at.shape}", f"rising, one for each row of shape {found.shape}")
    best = found.argmax(axis=1)
    changes = []
    for i in np.flatnonzero(np.diff(best)):
        before, after = int(best[i]), int(best[i + 1])
        lead, behind = found[i, before] - found[i, after], found[i + 1, after] - found[i + 1, before]
        share = lead / (lead + behind) if lead + behind > 0 else 0.5
        changes.append((float(at[i] + share * (at[i + 1] - at[i])), before, after))
    return changes


def area_places(best: ArrayLike, smallest: float = 0.03) -> list[tuple[int, int, int]]:
    """Where to write the name of each connected area of a map (row, column): [(row, column, strategy)].

    `best` holds an index of a strategy in each cell. The place is the cell of the area that lies furthest from
    its rim; areas of a smaller share of the map than `smallest` get none.
    """
    from scipy import ndimage

    cells = np.asarray(best)
    places = []
    for strategy in np.unique(cells):
        areas, n_areas = ndimage.label(cells == strategy)
        for area in range(1, n_areas + 1):
            inside = areas == area
            if inside.mean() >= smallest:
                depth = ndimage.distance_transform_cdt(np.pad(inside, 1))[1:-1, 1:-1]
                # Of equally deep cells the middle one.
                deepest = np.argwhere(depth == depth.max())
                centre = deepest.mean(axis=0)
                row, column = deepest[((deepest - centre) ** 2).sum(axis=1).argmin()]
                places.append((int(row), int(column), int(strategy)))
    return places


def _checked_base(base: Mapping[str, float]) -> dict[str, float]:
    for name, value in base.items():
        if not _is_number(value):
            raise InputError(f"base[{name!r}]", repr(value), "a finite number")
    return {name: float(value) for name, value in base.items()}


def _checked_ranges(ranges: Mapping[str, Range], base: Mapping[str, float]) -> dict[str, Range]:
    if not ranges:
        raise InputError("ranges", "no parameter", "one or more")
    checked = {}
    for name, bounds in ranges.items():
        if name not in base:
            raise InputError("ranges", repr(name), "parameters of base: " + ", ".join(base))
        expected = "(low, high), finite numbers with low <= high"
        try:
            low, high = bounds
        except (TypeError, ValueError) as error:
            raise InputError(f"ranges[{name!r}]", repr(bounds), expected) from error
        if not (_is_number(low) and _is_number(high) and low <= high):
            raise InputError(f"ranges[{name!r}]", repr(bounds), expected)
        checked[name] = (float(low), float(high))
    return checked


def _checked_wtp(wtp: float) -> float:
    if not _is_number(wtp) or wtp < 0:
        raise InputError("wtp", repr(wtp), "a finite willingness to pay of 0 or more")
    return float(wtp)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and isfinite(value)


def _points(bounds: Range, n_points: int) -> list[float]:
    if not isinstance(n_points, int) or n_points < 2:
        raise InputError("n_points", repr(n_points), "a whole number of 2 or more")
    return np.linspace(*bounds, n_points).tolist()


def _outcomes(model: Model, values: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """What the model says, checked: strategy -> (cost, effect)."""
    expected = "a mapping of strategy to (cost, effect), finite numbers"
    outcomes = model(dict(values))
    if not isinstance(outcomes, Mapping) or not outcomes:
        raise InputError("model", f"{type(outcomes).__name__} returned", expected)
    checked = {}
    for strategy, pair in outcomes.items():
        try:
            cost, effect = pair
        except (TypeError, ValueError) as error:
            raise InputError("model", f"{strategy}: {pair!r}", expected) from error
        if not (_is_number(cost) and _is_number(effect)):
            raise InputError("model", f"{strategy}: {pair!r}", expected)
        checked[strategy] = (float(cost), float(effect))
    return checked
