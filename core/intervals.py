"""95 % intervals of shares whose slices come in groups, made to cover near 0 and 1 and with few groups.

A share is a ratio of sums over groups, and its variance that of such a ratio (Cochran 1977, Sampling Techniques,
section 6.4). How many times that of as many independent slices it is, is the design effect, and the slices
divided by it are an effective sample size (Kish 1965, Survey Sampling, section 8.2); with that, Wilson's interval
is taken (1927, J Am Stat Assoc 22:209). A variance that rests on few groups is itself unsure, so Student's
quantile takes the place of the normal one. Percentiles of a bootstrap promise 95 % and hold 85 % where a share is
near 1 and groups are few; `tests/test_intervals.py` shows what these hold.
"""

import numpy as np

DF_FACTOR = 6.0
"""Degrees of freedom per (sum u^2)^2 / sum u^4 of the groups' influences u.

3 would fit normal influences (Satterthwaite 1946, Biometrics Bulletin 2:110); those of shares have shorter tails,
and 6 holds best over the simulations in tests/test_intervals.py.
"""

NOISE = 1e-24
"""A variance as small as this is rounding: all groups are alike. One slice in a million gives over 1e-13."""


def share(part: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of `part` over sums of `whole`, both (..., groups), with 95 % bounds: value, low, high (...).

    NaN where the whole is empty, and bounds also where fewer than two groups have some of it.
    """
    value, influence = ratio(part, whole)
    return value, *interval(value, influence, (whole > 0).sum(axis=-1))


def ratio(part: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ratio of sums over groups (...), NaN for an empty whole, and each group's influence on it (..., groups).

    The influences on a sum of ratios are the sums of theirs; their squares add up to its variance.
    """
    total = whole.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.asarray(part.sum(axis=-1) / total)
        influence = value[..., None] * whole
        np.subtract(part, influence, out=influence)
        influence /= np.asarray(total)[..., None]
    return value, influence


def interval(value: np.ndarray, influence: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % bounds (...) of values (...) from 0 to 1 with the groups' influences (..., groups).

    `n` (...) is how many groups contribute. NaN where the value is, with fewer than two groups, or where
    all groups are alike.
    """
    squares = influence * influence
    total, fourth = squares.sum(axis=-1), np.einsum("...g,...g->...", squares, squares)
    most = np.maximum(np.asarray(n) - 1.0, 1.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        freedom = DF_FACTOR * total**2 / fourth
    freedom = np.clip(np.nan_to_num(freedom, nan=np.inf), np.minimum(4.0, most), most)
    return bounds(value, total * (most + 1) / most, n, freedom)


def bounds(
    value: np.ndarray, variance: np.ndarray, n: np.ndarray, freedom: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % bounds at the effective sample size value * (1 - value) / variance.

    `n` groups contribute; `freedom` of the variance, n - 1 unless given. A value of 0 or 1 varies in no sample:
    its other bound is that of n trials with one outcome, 0.025 ** (1 / n) (Clopper and Pearson 1934, Biometrika
    26:404, in closed form).
    """
    from scipy.special import stdtrit

    value, variance, n = np.broadcast_arrays(
        np.asarray(value, np.float64), np.asarray(variance, np.float64), np.asarray(n, np.float64)
    )
    quantile = stdtrit(np.maximum(n - 1, 1) if freedom is None else freedom, 0.975)
    low, high = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = quantile**2 * variance / (value * (1 - value))  # quantile squared over the effective size
        root = np.sqrt(spread * value * (1 - value) + spread**2 / 4) + spread / 2
        # Wilson's two ends with the fraction expanded, which leaves no difference of near-equal numbers to round
        below, above = value**2 / (value + root), (1 - value) ** 2 / (1 - value + root)
        bound = 0.025 ** (1 / n)
    inside = (value > 0) & (value < 1) & (variance > NOISE) & (n >= 2)
    low[inside], high[inside] = below[inside], (1 - above)[inside]
    none, all_ = (value <= 0) & (n >= 2), (value >= 1) & (n >= 2)
    low[none], high[none] = 0.0, (1 - bound)[none]
    low[all_], high[all_] = bound[all_], 1.0
    return low, high


def difference(
    first: tuple, second: tuple, correlation: float | np.ndarray
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """95 % bounds of the first value less the second, each (value, low, high), numbers or arrays (...).

    The method of variance estimates recovery (Zou and Donner 2008, Stat Med 27:1693): each end is as far off as
    the ends of both together, which keeps what is uneven about them.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    down, up = (
        np.sqrt(np.maximum(x * x + y * y - 2 * correlation * x * y, 0))
        for x, y in ((a - a_low, b_high - b), (a_high - a, b - b_low))
    )
    return a - b - down, a - b + up


def risk_ratio(
    values: tuple[float, float], low: tuple[float, float], high: tuple[float, float], correlation: float
) -> tuple[float, float]:
    """95 % bounds of values[0] / values[1] from the bounds of each: their `difference` on the log scale.

    Either value may be 0, not both; the ratio is then 0 or infinite, and so is that bound.
    """
    with np.errstate(divide="ignore"):
        first, second = np.log(np.array([values, low, high], np.float64)).T
    if not np.isfinite(first[0]):
        return 0.0, float(np.exp(first[2] - second[0]))
    if not np.isfinite(second[0]):
        return float(np.exp(first[0] - second[2])), np.inf
    down, up = difference(first, second, correlation)
    return float(np.exp(down)), float(np.exp(up))
