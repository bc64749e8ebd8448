"""Value of information: what knowing uncertain parameters, all or some, before choosing would be worth.

Values are in the unit of net benefit, per person, until `population_evpi` counts the people.

The expected value of partial perfect information needs the net benefit that is expected once the parameters
of interest are known. It is estimated from the draws themselves by regressing net benefit on those parameters:
Strong, Oakley and Brennan 2014, "Estimating multiparameter partial expected value of perfect information from
a probabilistic sensitivity analysis sample: a nonparametric regression approach", Med Decis Making 34:311.
The regression here is the default one of the R package voi (and of SAVI before it): a tensor product of
cubic regression splines, smoothed as mgcv does (Wood 2017, "Generalized additive models", 2nd ed., ch. 4-6).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from market.errors import InputError
from market.psa import checked_draws, expected_loss, mean_loss

if TYPE_CHECKING:
    import pandas as pd

KNOTS = 5
"""Knots of each spline, as in te() of mgcv; one fewer in a product of 4 parameters, as in voi and SAVI."""

TENSOR_PARAMETERS = 4
"""Up to as many parameters every interaction is fitted; a tensor product of more has too many coefficients."""

MOST_COEFFICIENTS = 400
"""More make a regression slow (minutes); enough for the products of all pairs of 25 parameters."""

LOG_SMOOTHING = 24.0
"""Smoothing parameters are sought between exp(-24) and exp(24), relative to the data."""

LOG_PROBES = (-4.0, 8.0)
"""Where a second minimum of the score is looked for."""

MOST_SEARCHES = 3
"""Searches for a minimum of the score, each from the best probe so far."""

PSEUDO_DRAW = 1e-5
"""Weight of the pseudo-draws that hold undetermined coefficients at 0, against 1 for a draw."""

CHUNK_VALUES = 4_000_000
"""Design matrices are built in chunks of rows with about this many values: 32 MB."""


def evpi(cost: ArrayLike, effect: ArrayLike, wtp: ArrayLike) -> float | np.ndarray:
    """Expected value of perfect information per person, in the unit of cost: float, or (wtp,); 0 or more.

    cost and effect have shape (simulation, strategy). It is the smallest expected loss: mean of the highest
    net benefit less the highest mean (Raiffa 1968; Claxton 1999, J Health Econ 18:341). Raises InputError for
    draws that are not finite or of one shape, and for thresholds below 0.
    """
    found = expected_loss(cost, effect, wtp).min(axis=-1)
    return found if found.ndim else float(found)


def population_evpi(value: ArrayLike, people_per_year: ArrayLike, annual_rate: float) -> float | np.ndarray:
    """Value of information over everyone the decision concerns: float, or the shape of `value`.

    value            per person: an EVPI or an EVPPI, or several of them
    people_per_year  (year,) people concerned in each year for which the decision stands
    annual_rate      discount rate; year t is multiplied by (1 + annual_rate) ** -t, the first being t = 0

    Raises InputError for values or numbers of people below 0, and a rate of -1 or less.
    """
    per_person = np.asarray(value, dtype=np.float64)
    if not (np.isfinite(per_person) & (per_person >= 0)).all():
        raise InputError("value", str(value), "a finite value of information of 0 or more")
    people = np.asarray(people_per_year, dtype=np.float64)
    if people.ndim != 1 or not people.size or not (np.isfinite(people) & (people >= 0)).all():
        raise InputError("people_per_year", str(people_per_year), "one finite number of 0 or more for each year")
    if not np.isfinite(annual_rate) or annual_rate <= -1:
        raise InputError("annual_rate", str(annual_rate), "a finite rate above -1")
    total = per_person * (people * (1 + annual_rate) ** -np.arange(len(people), dtype=np.float64)).sum()
    return total if total.ndim else float(total)


def evppi(
    net_benefit: ArrayLike,
    parameters: "pd.DataFrame",
    method: str = "gam",
    n_blocks: int | None = None,
) -> float:
    """Expected value, per person, of knowing all columns of `parameters` together before choosing.

    net_benefit  (simulation, strategy), any unit; the result has the same
    parameters   (simulation, parameter) the draws that the net benefit was computed from
    method       "gam": regression on splines of the parameters, described at `_spline_design`;
                 "strong-oakley": means within blocks of draws that lie together, for a single parameter
                 (Strong and Oakley 2013, "An efficient method for computing single-parameter partial
                 expected value of perfect information", Med Decis Making 33:755)
    n_blocks     blocks of "strong-oakley"; see `_block_means` for what None means

    A strategy's difference to the first is regressed, one strategy at a time. Columns that are constant, or
    that follow from the others (a copy, a monotone transform, a linear combination), say nothing new and are
    left out; if nothing is left, the value is 0.

    The result is not below 0, since one can always choose as one would have without knowing, and not above
    the EVPI of the same draws, since all parameters tell no less than some; an estimate that is, by the
    noise of the regression, is set to that limit.

    Raises InputError for values that are not finite numbers, numbers of draws that differ, fewer draws than
    a linear regression needs, an unknown method, and "strong-oakley" with more than one column.
    """
    net_benefit = checked_draws(net_benefit, "net_benefit")
    columns = _checked_parameters(parameters, len(net_benefit))
    if method not in ("gam", "strong-oakley"):
        raise InputError("method", repr(method), "'gam' or 'strong-oakley'")
    if method == "strong-oakley" and columns.shape[1] != 1:
        raise InputError("parameters", f"{columns.shape[1]} columns", "one column for method 'strong-oakley'")
    if n_blocks is not None and (method != "strong-oakley" or n_blocks not in range(1, len(net_benefit) + 1)):
        expected = f"a whole number from 1 to {len(net_benefit)}, and method 'strong-oakley'"
        raise InputError("n_blocks", f"{n_blocks} with method {method!r}", expected)
    informative = _informative(columns)
    if not informative.shape[1] or net_benefit.shape[1] == 1:
        return 0.0
    increments = net_benefit[:, 1:] - net_benefit[:, :1]
    if method == "gam":
        expected = _regressed(increments, informative)
    else:
        expected = _block_means(increments, informative[:, 0], n_blocks)
    known = mean_loss(np.column_stack([np.zeros(len(expected)), expected])).min()
    return float(min(known, mean_loss(net_benefit).min()))


def known_outcomes(outcome: ArrayLike, parameters: "pd.DataFrame") -> np.ndarray:
    """Cost or effect of each strategy as expected once these parameters are known, less the first strategy's.

    outcome (simulation, strategy); the result has the same shape. Regressed as in `evppi` with method "gam". A
    regression of net benefit at one threshold serves that threshold alone; those of cost and of effect serve
    every one, as net benefit is linear in both, so that `known_value` follows a moving threshold. The two
    estimates differ by the noise of the regressions. Raises InputError as `evppi` does.
    """
    outcome = checked_draws(outcome, "outcome")
    informative = _informative(_checked_parameters(parameters, len(outcome)))
    known = np.zeros_like(outcome)
    if outcome.shape[1] > 1:
        increments = outcome[:, 1:] - outcome[:, :1]
        known[:, 1:] = _regressed(increments, informative) if informative.shape[1] else increments.mean(axis=0)
    return known


def known_value(known_cost: np.ndarray, known_effect: np.ndarray, wtp: float) -> tuple[float, float]:
    """What it is worth, per person, to know what `known_outcomes` was given, and its standard error.

    The value is the mean over the draws of the best known net benefit less that of the strategy that is best
    without knowing. The standard error is that of this mean, from the number of draws; it leaves out the error
    of the regression. With outcomes that are not regressed, it is the EVPI and its standard error.
    """
    net_benefit = wtp * known_effect - known_cost
    best = net_benefit.mean(axis=0).argmax()
    gain = net_benefit.max(axis=1) - net_benefit[:, best]
    return float(gain.mean()), float(gain.std() / np.sqrt(len(gain)))


def _checked_parameters(parameters: "pd.DataFrame", n_sim: int) -> np.ndarray:
    """Parameters as float64 (simulation, parameter); one column may come as (simulation,)."""
    expected = "a table of finite numbers, one row a draw and one column a parameter"
    try:
        columns = np.asarray(parameters, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("parameters", "values that are not numbers", expected) from error
    if columns.ndim == 1:
        columns = columns[:, None]
    if columns.ndim != 2 or not columns.size:
        raise InputError("parameters", f"shape {columns.shape}", expected)
    if len(columns) != n_sim:
        raise InputError("parameters", f"{len(columns)} draws", f"{n_sim}, as net_benefit has")
    finite = np.isfinite(columns).all(axis=0)
    if not finite.all():
        names = getattr(parameters, "columns", range(columns.shape[1]))
        bad = [str(name) for name, good in zip(names, finite, strict=True) if not good]
        raise InputError("parameters", f"missing or infinite values in {', '.join(bad)}", expected)
    return columns


def _informative(columns: np.ndarray) -> np.ndarray:
    """The columns, scaled to 0..1, without those that are constant or follow from earlier ones."""
    kept: list[np.ndarray] = []
    orders: list[np.ndarray] = []
    for column in columns.T:
        low, high = column.min(), column.max()
        if high - low <= 1e-12 * max(abs(low), abs(high)):
            continue
        scaled = (column - low) / (high - low)
        order = np.unique(scaled, return_inverse=True)[1]
        if any((order == other).all() or (order == other.max() - other).all() for other in orders):
            continue
        known = np.column_stack([np.ones(len(scaled)), *kept])
        unexplained = scaled - known @ np.linalg.lstsq(known, scaled, rcond=None)[0]
        if unexplained.std() > 1e-7 * scaled.std():
            kept.append(scaled)
            orders.append(order)
    return np.column_stack(kept) if kept else np.empty((len(columns), 0))


def _block_means(values: np.ndarray, parameter: np.ndarray, n_blocks: int | None) -> np.ndarray:
    """`values` (simulation, k) replaced by their mean over the block of draws with similar parameter values.

    Draws are sorted by the parameter and cut into blocks of equal size (to one draw). Few blocks blur the
    relation, which lowers the estimate; many leave noise in each mean, which raises it. The first error falls
    with the square of their number and the second grows with it, so that the best number goes with the cube
    root of the draws; by default it is 1.5 times that, 32 for 10,000 draws, between the 20 and 40 that the
    tests of the R package voi use there. A parameter with no more values than blocks has a block per value.
    """
    n = len(parameter)
    distinct, block = np.unique(parameter, return_inverse=True)
    blocks = min(n, round(1.5 * n ** (1 / 3))) if n_blocks is None else n_blocks
    if len(distinct) > blocks:
        block = np.empty(n, dtype=np.int64)
        order = np.argsort(parameter, kind="stable")
        block[order] = np.arange(n) * blocks // n
    size = np.bincount(block)
    means = np.column_stack([np.bincount(block, weights=column) / size for column in values.T])
    return means[block]


@dataclass(frozen=True, eq=False)
class _Spline:
    """A natural cubic spline of one parameter: `rows` gives its functions (row, function) at values (row,).

    The functions are a constant, a straight line, and waves of rising roughness; roughness (function,) is the
    integral of their squared second derivatives, 0 for the first two, which is what the penalty weighs.
    """

    rows: Callable[[np.ndarray], np.ndarray]
    roughness: np.ndarray


@dataclass(frozen=True, eq=False)
class _Design:
    """A penalised regression: `rows` gives the design (row, coefficient) for parameters (row, parameter).

    penalties  (smoothing parameter, coefficient) weight of the square of each coefficient, 0 or more
    """

    rows: Callable[[np.ndarray], np.ndarray]
    penalties: np.ndarray


def _regressed(responses: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Each response (simulation, k) regressed on x (simulation, parameter): its fitted values, same shape.

    On one thread: thousands of small matrices are factored, and where the cores have other work, threads that
    wait for one another take a hundred times as long.
    """
    import_module("scipy.linalg")  # has threads of its own, which can be limited only once they are there
    with threadpool_limits(1, user_api="blas"):
        return _regressed_here(responses, x)


def _regressed_here(responses: np.ndarray, x: np.ndarray) -> np.ndarray:
    design = _spline_design(x)
    n, q, k = len(x), design.penalties.shape[1], responses.shape[1]
    # Tensor products have cells without draws. As many pseudo-draws as coefficients, of hardly any weight, hold
    # what neither draws nor penalties determine at 0.
    triangle = np.column_stack([PSEUDO_DRAW * np.eye(q), np.zeros((q, k))])
    for chunk in _chunks(n, q):
        block = np.column_stack([design.rows(x[chunk]), responses[chunk]])
        triangle = np.linalg.qr(np.vstack([triangle, block]), mode="r")
    r, turned, rest = triangle[:q, :q], triangle[:q, q:], (triangle[q:, q:] ** 2).sum(axis=0)
    # A floor under the residuals: the score of a response that is fitted exactly has no logarithm.
    rest += 1e-14 * n * responses.var(axis=0) + np.finfo(float).tiny
    columns = [_smoothed(r, turned[:, j], rest[j], n, design.penalties) for j in range(k)]
    coefficients = np.column_stack(columns)
    return np.concatenate([design.rows(x[chunk]) @ coefficients for chunk in _chunks(n, q)])


def _chunks(n: int, n_coefficients: int) -> Iterator[slice]:
    step = max(n_coefficients, CHUNK_VALUES // n_coefficients)
    return (slice(start, start + step) for start in range(0, n, step))


def _spline_design(x: np.ndarray) -> _Design:
    """The first of these regressions on x (simulation, parameter) with few enough coefficients.

    Few enough is half the draws and, apart from 1, MOST_COEFFICIENTS.

    1. Up to 4 parameters: the full tensor product of their splines, each direction with its own penalty, so
       that every interaction can be fitted.
    2. Up to 25 parameters: a spline of each plus the product of each pair, shrunk together. Net benefits are
       sums of products (a probability times a cost, a utility times a duration); the products of more than
       two parameters and interactions that are curved are left out, which can lower the value found.
    3. Up to 99 parameters: a spline of each.
    4. A straight line in each.

    In 2 to 4 a strong penalty makes a term vanish, not only straight: among many parameters, those that do not
    matter would each leave a slope of noise, which raises the value found (Marra and Wood 2011, "Practical
    variable selection for generalized additive models", Comput Stat Data Anal 55:2372).

    InputError where even the straight lines have as many coefficients as there are draws.
    """
    n, p = x.shape
    if p <= TENSOR_PARAMETERS:
        knots = KNOTS if p < TENSOR_PARAMETERS else KNOTS - 1
        splines = [_spline(column, knots) for column in x.T]
        if np.prod([len(spline.roughness) for spline in splines]) <= n / 2:
            return _tensor_design(splines)
    splines = [_spline(column, KNOTS) for column in x.T]
    additive = 1 + sum(len(spline.roughness) - 1 for spline in splines)
    pairs = np.array(list(combinations(range(p), 2)), dtype=np.int64).reshape(-1, 2)
    most = min(n / 2, MOST_COEFFICIENTS)
    if additive + len(pairs) <= most:
        return _additive_design(splines, pairs, x)
    if additive <= most:
        return _additive_design(splines, pairs[:0], x)
    if 1 + p >= n:
        raise InputError("parameters", f"{n} draws of {p} parameters", f"at least {p + 2} draws")
    return _additive_design([_spline(column, 2) for column in x.T], pairs[:0], x)


def _spline(column: np.ndarray, knots: int) -> _Spline:
    """The natural cubic spline with knots at quantiles of the distinct values, one at each if they are few.

    It is described by its values at the knots (Wood 2017, section 5.3.1), turned to the axes of the penalty.
    """
    from scipy.interpolate import CubicSpline

    # Rounded: values that differ by rounding only must not become two knots a hair apart.
    distinct = np.unique(np.round(column, 9))
    at = np.quantile(distinct, np.linspace(0, 1, min(knots, len(distinct))))
    by_value = CubicSpline(at, np.eye(len(at)), bc_type="natural")
    # Second derivatives are straight between knots: integrate products of straight lines exactly.
    curvature, width = by_value(at, 2), np.diff(at)
    left, right = curvature[:-1], curvature[1:]
    mixed = np.einsum("i,ij,ik->jk", width / 6, left, right)
    penalty = np.einsum("i,ij,ik->jk", width / 3, left, left) + np.einsum("i,ij,ik->jk", width / 3, right, right)
    roughness, axes = np.linalg.eigh(penalty + mixed + mixed.T)
    # The two axes without roughness, in whatever mixture they came, as the constant and the straight line.
    roughness[:2] = 0
    axes[:, 0] = 1 / np.sqrt(len(at))
    axes[:, 1] = (at - at.mean()) / np.linalg.norm(at - at.mean())
    return _Spline(lambda values: by_value(values) @ axes, roughness)


def _tensor_design(splines: Sequence[_Spline]) -> _Design:
    """All products of one function of each spline."""

    def rows(x: np.ndarray) -> np.ndarray:
        product = np.ones((len(x), 1))
        for spline, column in zip(splines, x.T, strict=True):
            product = (product[:, :, None] * spline.rows(column)[:, None, :]).reshape(len(x), -1)
        return product

    grids = np.meshgrid(*(spline.roughness for spline in splines), indexing="ij")
    penalties = np.stack([grid.ravel() for grid in grids])
    return _Design(rows, penalties[penalties.any(axis=1)])


def _additive_design(splines: Sequence[_Spline], pairs: np.ndarray, x: np.ndarray) -> _Design:
    """A constant, the other functions of each spline, and products of pairs (pair, 2) of centred parameters."""
    mean, scale = x.mean(axis=0), x.std(axis=0)

    def rows(x: np.ndarray) -> np.ndarray:
        own = [spline.rows(column)[:, 1:] for spline, column in zip(splines, x.T, strict=True)]
        z = (x - mean) / scale
        return np.column_stack([np.ones(len(x)), *own, z[:, pairs[:, 0]] * z[:, pairs[:, 1]]])

    blocks = [spline.roughness[1:].copy() for spline in splines]
    for block in blocks:
        # Shrinks the straight line too, a tenth as much as the smoothest wave.
        block[0] = block[1] / 10 if len(block) > 1 else 1
    if len(pairs):
        blocks.append(np.ones(len(pairs)))
    penalties = np.zeros((len(blocks), 1 + sum(map(len, blocks))))
    start = 1
    for row, block in zip(penalties, blocks, strict=True):
        row[start : start + len(block)] = block
        start += len(block)
    return _Design(rows, penalties)


def _smoothed(r: np.ndarray, f: np.ndarray, rest: float, n: int, penalties: np.ndarray) -> np.ndarray:
    """Coefficients (coefficient,) at the smoothing parameters with the least generalised cross-validation score.

    r (coefficient, coefficient) is the triangle of the design of n draws, f the response turned with it, `rest`
    the sum of squares that no coefficients explain. GCV is n * rss / (n - edf) ** 2, edf being the trace of the
    hat matrix (Wood 2017, section 4.2.3); its logarithm is minimised over those of the smoothing parameters.
    """
    from scipy.linalg import solve_triangular
    from scipy.optimize import minimize

    # Relative to the data, so that a smoothing parameter of 1 is a moderate one whatever the units.
    size = (r**2).sum(axis=0)
    penalties = penalties * ((penalties > 0) @ size / penalties.sum(axis=1))[:, None]

    def solved(log_smoothing: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Penalties as further rows of the least squares problem: their cross product would lose half the digits.
        penalty = np.diag(np.sqrt(np.exp(log_smoothing) @ penalties))
        turn, upper = np.linalg.qr(np.vstack([r, penalty[penalty.any(axis=1)]]))
        turn = turn[: len(r)]
        return turn, upper, solve_triangular(upper, turn.T @ f)

    def score(log_smoothing: np.ndarray) -> tuple[float, np.ndarray]:
        turn, upper, beta = solved(log_smoothing)
        missed = f - turn @ (turn.T @ f)
        rss, free = rest + missed @ missed, n - (turn**2).sum()
        pull = solve_triangular(upper, turn.T @ missed)
        spread = (solve_triangular(upper, turn.T) ** 2).sum(axis=1)
        gradient = np.exp(log_smoothing) * (penalties @ (2 * pull * beta / rss - 2 * spread / free))
        return float(np.log(rss) - 2 * np.log(free)), gradient

    options = {"ftol": 1e-13, "gtol": 1e-8, "maxiter": 200}
    bounds = [(-LOG_SMOOTHING, LOG_SMOOTHING)] * len(penalties)
    start = best = np.zeros(len(penalties))
    lowest = np.inf
    for _ in range(MOST_SEARCHES if len(penalties) else 0):
        found = minimize(score, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if found.fun < lowest:
            best, lowest = found.x, found.fun
        if len(best) > TENSOR_PARAMETERS:
            break
        # A tensor product's score often has a second minimum, where one direction is much rougher or smoother.
        probes = [np.where(np.arange(len(best)) == j, to, best) for j in range(len(best)) for to in LOG_PROBES]
        scores = [score(probe)[0] for probe in probes]
        if min(scores) > lowest - 1e-9:
            break
        start = probes[int(np.argmin(scores))]
    return solved(best)[2]
