"""Which strategies are worth considering, at what price: ICERs on the frontier, and net benefit."""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market.cohort import finite_array
from market.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SAME_RATIO = 1e-9
"""Two ratios this close, relatively, are equal: points on one line stay on the frontier despite rounding."""

SAME_COST, SAME_EFFECT = 1e-6, 1e-9
"""Smaller differences per person come from rounding."""


def icer_table(
    strategies: Sequence[Hashable],
    cost: ArrayLike,
    effect: ArrayLike,
    reference: Hashable | None = None,
) -> "pd.DataFrame":
    """Incremental cost-effectiveness ratios, one row per strategy.

    strategy    as given, each named once
    cost        mean per person; effect likewise, more being better (turn DALYs round)
    inc_cost    cost and effect less those of the strategy compared with (below); NaN for none
    inc_effect
    icer        inc_cost / inc_effect; NaN where it is not a price (below)
    status      D   dominated: another costs no more and does no less, and is better in one of the two; of
                    strategies equal in both, the first given stays and the others are D
                ED  extendedly dominated: a mixture of two others costs less for the same effect
                ND  not dominated: on the frontier; points on one straight line all are

    Without a reference each ND strategy is compared with the one before it on the frontier, which starts at
    the cheapest; the first, ED and D strategies have NaN. Rows: ND, then ED, then D, each by cost. What
    saves money and does more than usual care is where the frontier starts, and usual care is D; so no ratio
    on the frontier is negative (Drummond et al. 2015, Methods for the Economic Evaluation of Health Care
    Programmes, 4th ed.; the rules, order and statuses are those of `calculate_icers` of the R package
    dampack).

    With a reference, a named comparator such as current practice, every strategy is compared with that one
    and its row comes first. The status remains that on the frontier of all, which decides, whereas ratios
    against a common comparator do not rank strategies. A ratio is given where both increments have the same
    sign: cost per unit gained, or, where both are negative, saving per unit given up. Elsewhere one of the
    two dominates the other, or they are equal, and it is NaN.

    cost and effect are sequences in the order of `strategies`; a Series labelled by just these strategies in
    text is put into that order first. Raises InputError for lengths that differ, no strategy, a name that
    comes twice, NaN or infinity, a reference that is not among the strategies.
    """
    import pandas as pd

    names = list(strategies)
    if not names or len(set(names)) != len(names):
        raise InputError("strategies", f"{names}", "one or more strategies, each named once")
    if reference is not None and reference not in names:
        raise InputError("reference", repr(reference), "one of " + ", ".join(map(str, names)))
    cost, effect = _in_order("cost", cost, names), _in_order("effect", effect, names)
    status = _statuses(cost, effect)
    if reference is None:
        frontier = [i for i in np.lexsort((-effect, cost)) if status[i] == "ND"]
        compared_with = dict(zip(frontier[1:], frontier[:-1], strict=True))
    else:
        compared_with = {i: names.index(reference) for i in range(len(names)) if names[i] != reference}
    table = pd.DataFrame({"strategy": names, "cost": cost, "effect": effect})
    table["inc_cost"], table["inc_effect"], table["icer"] = _increments(cost, effect, compared_with)
    table["status"] = status
    rank = {"ND": 0, "ED": 1, "D": 2}
    keys = [(names[i] != reference, rank[status[i]], cost[i], -effect[i]) for i in range(len(names))]
    return table.iloc[sorted(range(len(names)), key=keys.__getitem__)].reset_index(drop=True)


def direction(inc_cost: float, inc_effect: float) -> tuple[int, int]:
    """Signs (-1, 0, 1) of a difference in cost and in effect, which say in which part of the plane it lies.

    Less than SAME_COST of money, or SAME_EFFECT of effect, is rounding and counts as no difference.
    """
    cost = 0 if abs(inc_cost) < SAME_COST else int(np.sign(inc_cost))
    return cost, 0 if abs(inc_effect) < SAME_EFFECT else int(np.sign(inc_effect))


def net_monetary_benefit(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> np.ndarray | float:
    """NMB per person, wtp * effect - cost, in the currency of the cost; wtp in currency per unit of effect.

    cost and effect broadcast, for instance (simulation, strategy). One wtp gives their shape, many give
    (wtp, ...). Raises InputError for NaN, infinity, shapes that do not fit, or a wtp below 0. (Stinnett and
    Mullahy 1998, Med Decis Making 18 supplement.)
    """
    cost, effect, wtp = _net_benefit_inputs(cost, effect, wtp)
    return wtp * effect - cost


def net_health_benefit(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> np.ndarray | float:
    """NHB per person, effect - cost / wtp, in units of effect; as net_monetary_benefit, wtp above 0."""
    cost, effect, wtp = _net_benefit_inputs(cost, effect, wtp)
    if (wtp == 0).any():
        raise InputError("wtp", "0", "above 0 for a net health benefit")
    return effect - cost / wtp


def _net_benefit_inputs(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> tuple[np.ndarray, ...]:
    """The three as arrays that broadcast to (wtp, ...), or to (...) for one wtp."""
    cost, effect, wtp = finite_array("cost", cost), finite_array("effect", effect), finite_array("wtp", wtp)
    if wtp.ndim > 1:
        raise InputError("wtp", f"shape {wtp.shape}", "one number or a row of them")
    if (wtp < 0).any():
        raise InputError("wtp", f"{wtp.min():g}", "0 or more")
    try:
        shape = np.broadcast_shapes(cost.shape, effect.shape)
    except ValueError:
        raise InputError("effect", f"shape {effect.shape}", f"that of cost, {cost.shape}") from None
    return cost, effect, wtp.reshape(wtp.shape + (1,) * len(shape))


def _in_order(name: str, values: ArrayLike, names: list) -> np.ndarray:
    """Cost or effect in the order of the strategies, (strategy,)."""
    labels = getattr(values, "index", None)
    in_text = hasattr(labels, "dtype") and all(isinstance(label, str) for label in labels)
    if in_text and len(labels) == len(names) and set(labels) == set(names):
        values = values.loc[names]
    array = finite_array(name, values)
    if array.ndim == 2 and 1 in array.shape:
        array = array.ravel()
    if array.shape != (len(names),):
        raise InputError(name, f"shape {array.shape}", f"({len(names)},), one for each strategy")
    return array


def _increments(cost: np.ndarray, effect: np.ndarray, compared_with: dict[int, int]) -> np.ndarray:
    """Incremental cost, incremental effect and ICER, (3, strategy); NaN where there is none."""
    inc_cost, inc_effect, icer = increments = np.full((3, len(cost)), np.nan)
    for i, other in compared_with.items():
        inc_cost[i], inc_effect[i] = cost[i] - cost[other], effect[i] - effect[other]
        if np.sign(inc_cost[i]) == np.sign(inc_effect[i]) != 0:
            icer[i] = inc_cost[i] / inc_effect[i]
    return increments


def _statuses(cost: np.ndarray, effect: np.ndarray) -> list[str]:
    """Status of each strategy: D where one at no more cost has at least its effect, then the lower hull."""
    status = ["D"] * len(cost)
    frontier: list[int] = []
    best = -np.inf
    for i in np.lexsort((-effect, cost)):  # by cost, the more effective first, then as given
        if effect[i] <= best:
            continue
        best = effect[i]
        while len(frontier) > 1:
            before, last = frontier[-2:]
            if _ratio(cost, effect, before, last) <= (1 + SAME_RATIO) * _ratio(cost, effect, last, i):
                break
            status[frontier.pop()] = "ED"  # it lies above the line from the one before it to this one
        frontier.append(int(i))
        status[i] = "ND"
    return status


def _ratio(cost: np.ndarray, effect: np.ndarray, i: int, j: int) -> float:
    return (cost[j] - cost[i]) / (effect[j] - effect[i])
