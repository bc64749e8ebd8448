"""Probabilistic sensitivity analysis: what draws of cost and effect say about the choice of a strategy.

Draws are arrays of shape (simulation, strategy). Net benefit is monetary, wtp * effect - cost. A threshold
`wtp` is one number or a sequence; with one, results drop the axis of thresholds.
"""

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError


def ceac(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> np.ndarray:
    """Probability that each strategy has the highest net benefit: (strategy,), or (wtp, strategy).

    Strategies that tie for the highest in a draw share it equally, so every curve point sums to 1. Raises
    InputError for draws and thresholds that `checked_draws` and `checked_thresholds` refuse. The curve is
    that of van Hout et al. 1994, "Costs, effects and C/E-ratios alongside a clinical trial", Health Econ
    3:309.
    """
    return _by_threshold(_shares_won, cost, effect, wtp)


def ceaf(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> float | np.ndarray:
    """Probability that the strategy with the highest mean net benefit is the best one: float, or (wtp,).

    This is the cost-effectiveness acceptability frontier of Fenwick, Claxton and Sculpher 2001,
    "Representing uncertainty: the role of cost-effectiveness acceptability curves", Health Econ 10:779.
    Which strategy that is, `optimal_strategy` says. Raises InputError as `ceac` does.
    """
    probability = ceac(cost, effect, wtp)
    chosen = np.asarray(optimal_strategy(cost, effect, wtp))
    found = np.take_along_axis(probability, chosen[..., None], axis=-1)[..., 0]
    return found if found.ndim else float(found)


def expected_loss(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> np.ndarray:
    """Mean net benefit forgone by choosing each strategy: (strategy,), or (wtp, strategy); never negative.

    In the unit of cost, per person: the mean over draws of the best strategy's net benefit in that draw
    minus the strategy's own. The smallest is the expected value of perfect information (Alarid-Escudero et
    al. 2019, "Time traveling is just too dangerous but some methods are worth revisiting: the advantages of
    expected loss curves", Value Health 22:611). Raises InputError as `ceac` does.
    """
    return _by_threshold(mean_loss, cost, effect, wtp)


def optimal_strategy(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> int | np.ndarray:
    """Index of the strategy with the highest mean net benefit, the first of equals: int, or (wtp,)."""
    chosen = np.argmin(expected_loss(cost, effect, wtp), axis=-1)
    return chosen if chosen.ndim else int(chosen)


def ellipse(x: ArrayLike, y: ArrayLike, share: float = 0.95, n_points: int = 73) -> np.ndarray:
    """Points (n_points, 2) on the ellipse that holds this share of the draws, were they bivariate normal.

    The last point is the first. With the draws' mean and covariance, its squared Mahalanobis radius is the
    quantile of a chi-squared distribution of 2 degrees of freedom, -2 log(1 - share). (Hotelling; used for
    cost-effectiveness planes by van Hout et al. 1994, as at `ceac`.) Raises InputError for fewer than two draws
    or a share that is not between 0 and 1.
    """
    draws = checked_draws(np.column_stack([np.ravel(x), np.ravel(y)]), "x, y")
    if len(draws) < 2:
        raise InputError("x, y", f"{len(draws)} draws", "two or more")
    if not 0 < share < 1:
        raise InputError("share", repr(share), "between 0 and 1")
    angles = np.linspace(0, 2 * np.pi, n_points)
    size, axes = np.linalg.eigh(np.cov(draws.T))
    around = np.sqrt(-2 * np.log(1 - share)) * np.column_stack([np.cos(angles), np.sin(angles)])
    return draws.mean(axis=0) + (around * np.sqrt(np.maximum(size, 0))) @ axes.T


def mean_loss(net_benefit: np.ndarray) -> np.ndarray:
    """Mean over the draws (simulation, strategy) of what each strategy falls short of the best: (strategy,)."""
    # Losses are averaged, not differences of averages taken: those lose digits and can come out below 0.
    return (net_benefit.max(axis=1, keepdims=True) - net_benefit).mean(axis=0)


def checked_draws(values: ArrayLike, name: str) -> np.ndarray:
    """Draws as float64 (simulation, strategy); InputError for another shape, no draws or missing values."""
    expected = "finite numbers of shape (simulation, strategy), one of each or more"
    try:
        draws = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(name, "values that are not numbers", expected) from error
    if draws.ndim != 2 or not draws.size:
        raise InputError(name, f"shape {draws.shape}", expected)
    bad = np.argwhere(~np.isfinite(draws))
    if len(bad):
        row, column = bad[0]
        raise InputError(name, f"{draws[row, column]} at draw {row}, strategy {column}", expected)
    return draws


def checked_thresholds(wtp: ArrayLike) -> np.ndarray:
    """Thresholds as float64, shape () or (wtp,); InputError for a negative, missing or infinite one."""
    expected = "a finite willingness to pay of 0 or more, or a sequence of them"
    try:
        thresholds = np.asarray(wtp, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("wtp", repr(wtp), expected) from error
    if thresholds.ndim > 1 or not thresholds.size:
        raise InputError("wtp", f"shape {thresholds.shape}", expected)
    bad = ~(np.isfinite(thresholds) & (thresholds >= 0))
    if bad.any():
        raise InputError("wtp", str(thresholds[bad].flat[0]), expected)
    return thresholds


def _by_threshold(summary, cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> np.ndarray:
    """`summary` of the net benefit (simulation, strategy) at each threshold, stacked if there are many."""
    cost, effect = checked_draws(cost, "cost"), checked_draws(effect, "effect")
    if cost.shape != effect.shape:
        raise InputError("effect", f"shape {effect.shape}", f"the shape of cost, {cost.shape}")
    thresholds = checked_thresholds(wtp)
    # One threshold at a time: all at once would need thresholds times the memory of the draws.
    found = [summary(threshold * effect - cost) for threshold in np.atleast_1d(thresholds)]
    return np.stack(found) if thresholds.ndim else found[0]


def _shares_won(net_benefit: np.ndarray) -> np.ndarray:
    winners = net_benefit == net_benefit.max(axis=1, keepdims=True)
    return (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)
