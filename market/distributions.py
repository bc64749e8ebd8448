"""Distributions of uncertain parameters: fitted to what a source prints, drawn by their inverse functions.

A source prints a mean with a 95 % interval, a mean with a standard error, or counts. `fit`, `fit_se` and
`beta_from_counts` make a distribution of that, always with exactly the mean that is printed. A gamma, beta or
log-normal distribution with a given mean has one more number to choose, its spread, and cannot hit both ends
of every interval: `misfit` says by how much it fails. Draws come from quantiles of uniform numbers, one stream
of them for each name (`uniforms`), so that a new parameter leaves the draws of all others as they were.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, log, sqrt

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError

KINDS = ("fixed", "uniform", "triangular", "normal", "lognormal", "gamma", "beta")
TAIL = 0.025
"""A 95 % interval runs from this quantile to one minus it."""

TOLERANCE = 0.05
"""A fit reproduces an interval if mean and both ends are off by no more than this share of its width."""


@dataclass(frozen=True)
class Distribution:
    """A distribution of one of KINDS; two equal ones give equal quantiles.

    numbers  fixed (value) · uniform (low, high) · triangular (low, mode, high) · normal (mean, sd) ·
             lognormal (mean and sd of the logarithm) · gamma (shape, scale) · beta (alpha, beta)
    """

    kind: str
    numbers: tuple[float, ...]
    mean: float

    def quantile(self, u: ArrayLike) -> np.ndarray:
        """The values below which the shares u, in (0, 1), of the distribution lie; the shape of u."""
        return _QUANTILES[self.kind](np.asarray(u, dtype=np.float64), *self.numbers)

    def draw(self, u: np.ndarray) -> np.ndarray:
        """`quantile` of uniform numbers u (n,), for many of them at once: gamma and beta from a table.

        The table gives the same numbers for the same u however they are cut into chunks, within about a
        millionth of the standard deviation of the exact ones.
        """
        return _from_table(self, u) if self.kind in ("gamma", "beta") else self.quantile(u)

    def interval(self) -> tuple[float, float]:
        """The 2.5 % and 97.5 % quantiles; of a uniform or triangular distribution its ends."""
        if self.kind in ("uniform", "triangular"):
            return self.numbers[0], self.numbers[-1]
        low, high = self.quantile([TAIL, 1 - TAIL]).tolist()
        return low, high


def fit(kind: str, mean: float, low: float | None = None, high: float | None = None) -> Distribution:
    """The distribution of `kind` with this mean whose 95 % interval comes nearest to low and high.

    Nearest means that the larger of the two misses is as small as it can be. For uniform and triangular
    distributions low and high are the ends; a uniform one has the mean (low + high) / 2 whatever is given,
    a triangular one the mode 3 mean - low - high, which must lie between its ends. `fixed` needs neither.
    Raises InputError for an unknown kind, ends that do not enclose the mean, and values outside the range of
    the kind.
    """
    _check_kind(kind)
    _check_mean(kind, mean)
    if kind == "fixed":
        return Distribution(kind, (mean,), mean)
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        raise InputError("low, high", f"{low}, {high}", f"two finite numbers for a {kind} distribution")
    if not low < high or not low <= mean <= high:
        raise InputError("low, mean, high", f"{low}, {mean}, {high}", "low <= mean <= high and low < high")
    if kind == "uniform":
        return Distribution(kind, (low, high), (low + high) / 2)
    if kind == "triangular":
        return _triangular(mean, low, high)
    if (kind != "normal" and low < 0) or (kind == "beta" and high > 1):
        raise InputError("low, high", f"{low}, {high}", f"an interval inside the range of a {kind} distribution")
    return fit_se(kind, mean, _best_sd(kind, mean, low, high))


def fit_se(kind: str, mean: float, se: float) -> Distribution:
    """The normal, lognormal, gamma or beta distribution with this mean and this standard deviation.

    By the method of moments (Briggs, Claxton and Sculpher 2006, Decision Modelling for Health Economic
    Evaluation, chapter 4). Raises InputError for another kind, and where no such distribution exists.
    """
    _check_kind(kind)
    if kind not in _FROM_MOMENTS:
        raise InputError("distribution", kind, "one of " + ", ".join(_FROM_MOMENTS) + " with a standard error")
    _check_mean(kind, mean)
    limit = _largest_sd(kind, mean)
    if not isfinite(se) or not 0 < se < limit:
        raise InputError("se", f"{se}", f"a standard error above 0 and below {limit:g} for the mean {mean}")
    return Distribution(kind, tuple(float(number) for number in _FROM_MOMENTS[kind](mean, se)), mean)


def beta_from_counts(events: float, n: float) -> Distribution:
    """Beta(events, n - events), whose mean is events / n; InputError unless 0 < events < n."""
    if not (isfinite(events) and isfinite(n)) or not 0 < events < n:
        raise InputError("events, n", f"{events}, {n}", "counts with 0 < events < n")
    return Distribution("beta", (float(events), float(n - events)), events / n)


def misfit(distribution: Distribution, mean: float, low: float, high: float) -> float:
    """The largest miss of mean, low and high, as a share of the interval's width; infinite at width 0."""
    found_low, found_high = distribution.interval()
    misses = (abs(distribution.mean - mean), abs(found_low - low), abs(found_high - high))
    return max(misses) / (high - low) if high > low else float("inf")


def uniforms(name: str, n: int, seed: int, start: int = 0) -> np.ndarray:
    """Numbers start to start + n of the stream of uniform numbers in (0, 1) that belongs to name and seed.

    Streams of different names or seeds are independent, and a stream does not depend on how it is cut into
    chunks. Raises InputError for a negative n, seed or start.
    """
    for label, number in (("n", n), ("seed", seed), ("start", start)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 0:
            raise InputError(label, repr(number), "a whole number, 0 or more")
    digest = hashlib.sha256(name.encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4)]
    bits = np.random.PCG64(np.random.SeedSequence([int(seed), *words]))
    bits.advance(int(start))  # one step of the generator a number
    draws = np.random.Generator(bits).random(int(n))
    return np.maximum(draws, 2.0**-54, out=draws)  # 0 has no finite normal quantile


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise InputError("distribution", repr(kind), "one of " + ", ".join(KINDS))


def _check_mean(kind: str, mean: float) -> None:
    if not isfinite(mean):
        raise InputError("mean", f"{mean}", "a finite number")
    if kind in ("lognormal", "gamma") and mean <= 0:
        raise InputError("mean", f"{mean}", f"a number above 0 for a {kind} distribution")
    if kind == "beta" and not 0 < mean < 1:
        raise InputError("mean", f"{mean}", "a number between 0 and 1 for a beta distribution")


def _triangular(mean: float, low: float, high: float) -> Distribution:
    mode = 3 * mean - low - high
    slack = 1e-9 * (high - low)
    if not low - slack <= mode <= high + slack:
        least, most = (2 * low + high) / 3, (low + 2 * high) / 3
        raise InputError("mean", f"{mean}", f"{least:g} to {most:g} for a triangle from {low} to {high}")
    return Distribution("triangular", (low, min(max(mode, low), high), high), mean)


def _best_sd(kind: str, mean: float, low: float, high: float) -> float:
    """Standard deviation that makes the larger miss of low and high least, to a relative 1e-9.

    The lower end falls and the upper end rises with the spread, so the larger miss falls and then rises: a
    grid is laid over it and narrowed to the two steps round its least value, again and again.
    """
    start = (high - low) / 4  # near the answer: an interval is about four standard deviations wide
    most = min(start * 30, 0.999 * _largest_sd(kind, mean))
    least = min(start, most) / 30
    tails = np.repeat([TAIL, 1 - TAIL], 9)
    for _ in range(18):  # each round divides the span of the grid's logarithm by four
        grid = np.geomspace(least, most, 9)
        numbers = [np.tile(number, 2) for number in _FROM_MOMENTS[kind](mean, grid)]
        miss = np.abs(_QUANTILES[kind](tails, *numbers) - np.repeat([low, high], 9)).reshape(2, 9).max(axis=0)
        best = int(np.argmin(miss))
        least, most = grid[max(best - 1, 0)], grid[min(best + 1, 8)]
    return float(grid[best])


def _largest_sd(kind: str, mean: float) -> float:
    """Above this no distribution of the kind has the mean; for gamma and lognormal a bound of ours.

    A skewed distribution with a standard deviation of more than three means is no statement of uncertainty.
    """
    return {"normal": float("inf"), "beta": sqrt(max(mean * (1 - mean), 0.0))}.get(kind, 3 * mean)


def _lognormal_numbers(mean: float, sd):
    variance = np.log1p((sd / mean) ** 2)
    return log(mean) - variance / 2, np.sqrt(variance)


def _beta_numbers(mean: float, sd):
    total = mean * (1 - mean) / sd**2 - 1
    return mean * total, (1 - mean) * total


_FROM_MOMENTS: dict[str, Callable] = {
    "normal": lambda mean, sd: (mean + 0 * sd, sd),
    "lognormal": _lognormal_numbers,
    "gamma": lambda mean, sd: ((mean / sd) ** 2, sd**2 / mean),
    "beta": _beta_numbers,
}


def _triangular_quantile(u: np.ndarray, low: float, mode: float, high: float) -> np.ndarray:
    width = high - low
    below = low + np.sqrt(u * width * (mode - low))
    above = high - np.sqrt((1 - u) * width * (high - mode))
    return np.where(u * width < mode - low, below, above)


def _normal_quantile(u: np.ndarray, mean: float, sd: float) -> np.ndarray:
    from scipy.special import ndtri  # scipy is slow to import, and the base case draws nothing

    return mean + sd * ndtri(u)


def _gamma_quantile(u: np.ndarray, shape: float, scale: float) -> np.ndarray:
    from scipy.special import gammaincinv

    return scale * gammaincinv(shape, u)


def _beta_quantile(u: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    from scipy.special import betaincinv

    return betaincinv(alpha, beta, u)


# Exact quantiles of gamma and beta cost about ten microseconds each. As functions of the normal score of u
# they are nearly straight lines, so cubic pieces between some hundred exact points follow them closely.
_STEP = 0.1
_FIRST, _LAST = -8.3, 8.2  # normal scores of the smallest and the largest number that `uniforms` gives


def _from_table(distribution: Distribution, u: np.ndarray) -> np.ndarray:
    """Cubic Hermite interpolation in the normal score of u, monotone."""
    from scipy.special import ndtri

    values, slopes = _table(distribution)
    position = (ndtri(u) - _FIRST) / _STEP
    left = np.clip(position.astype(np.intp), 0, len(values) - 2)
    s = np.clip(position - left, 0.0, 1.0)
    rest = 1 - s
    start = rest * rest * ((1 + 2 * s) * values[left] + s * slopes[left])
    end = s * s * ((1 + 2 * rest) * values[left + 1] - rest * slopes[left + 1])
    return start + end


@lru_cache(maxsize=4096)
def _table(distribution: Distribution) -> tuple[np.ndarray, np.ndarray]:
    """Exact quantiles at the nodes, and slopes times the step between nodes.

    The slopes are fourth-order differences, held between 0 and three times the smaller of the two adjacent
    rises, which keeps each piece monotone (Fritsch and Carlson 1980, SIAM J Numer Anal 17:238).
    """
    from scipy.special import ndtr

    nodes = np.linspace(_FIRST, _LAST, round((_LAST - _FIRST) / _STEP) + 1)
    values = distribution.quantile(ndtr(nodes))
    rises = np.diff(values)
    slopes = np.gradient(values)
    slopes[2:-2] = (values[:-4] - 8 * values[1:-3] + 8 * values[3:-1] - values[4:]) / 12
    smaller = np.minimum(np.append(rises, rises[-1]), np.insert(rises, 0, rises[0]))
    return values, np.clip(slopes, 0, 3 * smaller)


_QUANTILES: dict[str, Callable] = {
    "fixed": lambda u, value: np.full(u.shape, value),
    "uniform": lambda u, low, high: low + u * (high - low),
    "triangular": _triangular_quantile,
    "normal": _normal_quantile,
    "lognormal": lambda u, mu, sigma: np.exp(_normal_quantile(u, mu, sigma)),
    "gamma": _gamma_quantile,
    "beta": _beta_quantile,
}
