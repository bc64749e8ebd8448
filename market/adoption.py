"""Diffusion of an innovation: the model of Bass, and its parameters from yearly sales.

Bass 1969, "A new product growth for model consumer durables", Management Science 15:215. m is the number who
will ever adopt, p the coefficient of innovation and q that of imitation, both per unit of time; t is the time
since launch in that unit. The share of m that has adopted by t is

    F(t) = (1 - exp(-(p + q) t)) / (1 + (q / p) exp(-(p + q) t)).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError

START_P = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
START_Q = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Grid of start values of the least squares fits; with p and q given, the best m follows directly."""

LARGEST_M = 1e4
"""A market this many times all sales so far is what rounding makes of a series without a bend."""

LARGEST_SALES = 1e15
"""No count of adopters is larger, and squares of it still fit a float."""

BENT = "sales that bend as a Bass curve does: a rise tells q, and a slowing m"


@dataclass(frozen=True)
class BassFit:
    """Parameters fitted to sales per period, each with its standard error; time is in periods since launch.

    residual_standard_error is in units of sales, on `degrees_of_freedom` = periods - 3.
    """

    method: str
    m: float
    p: float
    q: float
    se_m: float
    se_p: float
    se_q: float
    residual_standard_error: float
    degrees_of_freedom: int

    @property
    def peak_time(self) -> float:
        """Time at which the rate of adoption is highest; 0 where it falls from the start."""
        return peak_time(self.p, self.q)

    @property
    def peak_rate(self) -> float:
        """Highest rate of adoption, adopters per unit of time."""
        return float(bass_rate(self.peak_time, self.m, self.p, self.q))


def bass_cumulative(t: ArrayLike, m: float, p: float, q: float) -> float | np.ndarray:
    """Adopters up to time t, m F(t): float, or the shape of t; 0 before the launch at t = 0.

    Raises InputError for m, p or q that are not finite and above 0 (q may be 0: no imitation), and times
    that are not finite.
    """
    t, (m, p, q) = _checked_times(t), _checked_bass(m, p, q)
    found = m * cumulative_share(np.maximum(t, 0), p, q)
    return found if found.ndim else float(found)


def bass_adopters(t: ArrayLike, m: float, p: float, q: float) -> float | np.ndarray:
    """New adopters in the unit of time that ends at t, m (F(t) - F(t - 1)): float, or the shape of t.

    Over t = 1, 2, ... they add up to `bass_cumulative`; the rate at the instant t is `bass_rate`. Raises
    InputError as `bass_cumulative` does.
    """
    t = _checked_times(t)
    return bass_cumulative(t, m, p, q) - bass_cumulative(t - 1, m, p, q)


def bass_rate(t: ArrayLike, m: float, p: float, q: float) -> float | np.ndarray:
    """Rate of adoption at time t, m dF/dt, per unit of time: float, or the shape of t; 0 before the launch.

    Raises InputError as `bass_cumulative` does.
    """
    t, (m, p, q) = _checked_times(t), _checked_bass(m, p, q)
    found = np.where(t >= 0, m * _density(np.maximum(t, 0), p, q), 0.0)
    return found if found.ndim else float(found)


def peak_time(p: float, q: float) -> float:
    """Time since launch of the highest rate of adoption, ln(q / p) / (p + q), or 0 where q <= p (Bass 1969)."""
    _, p, q = _checked_bass(1.0, p, q)
    return float(np.log(q / p) / (p + q)) if q > p else 0.0


def fit_bass(sales: Sequence[float], method: str = "density-nls") -> BassFit:
    """m, p and q from sales in periods 1, 2, ... since launch, with standard errors.

    "density-nls"      sales in period t = m f(t), f = dF/dt; non-linear least squares
    "srinivasan-mason" sales in period t = m (F(t) - F(t - 1)); non-linear least squares (Srinivasan and
                       Mason 1986, "Nonlinear least squares estimation of new product diffusion models",
                       Marketing Science 5:169)
    "ols"              sales in period t = a + b Y + c Y^2, Y being all sales before; then p = a / m,
                       q = -c m, and m the positive zero of a + b m + c m^2 (Bass 1969)

    Standard errors are those of least squares, sigma^2 (J'J)^-1, for "ols" carried over to m, p, q by their
    derivatives (delta method); those of "ols" take the sales before as known without error, though they are
    sums of what is fitted, and come out too small.

    Raises InputError for fewer than 4 periods, sales that are negative, missing or all 0, an unknown method,
    and sales that no Bass curve fits: ones that have not begun to slow down say nothing about m.
    """
    sales = _checked_sales(sales)
    if method == "ols":
        return _fit_ols(sales)
    models = {"density-nls": _density, "srinivasan-mason": _period_share}
    if method not in models:
        raise InputError("method", repr(method), "'density-nls', 'srinivasan-mason' or 'ols'")
    return _fit_nls(sales, method, models[method])


def cumulative_share(t: np.ndarray, p: ArrayLike, q: ArrayLike) -> np.ndarray:
    """F(t) for times of 0 or more, p above 0 and q of 0 or more; they may be arrays that broadcast. Unchecked."""
    decay = np.exp(-(p + q) * t)
    return (1 - decay) / (1 + q / p * decay)


def _density(t: np.ndarray, p: float, q: float) -> np.ndarray:
    decay = np.exp(-(p + q) * t)
    return (p + q) ** 2 / p * decay / (1 + q / p * decay) ** 2


def _period_share(t: np.ndarray, p: float, q: float) -> np.ndarray:
    return cumulative_share(t, p, q) - cumulative_share(t - 1, p, q)


def _fit_nls(sales: np.ndarray, method: str, curve: Callable[..., np.ndarray]) -> BassFit:
    """Least squares of sales on m curve(t, p, q), over the logarithms of m, p and q, which keeps them positive."""
    from scipy.optimize import least_squares

    t = np.arange(1, len(sales) + 1, dtype=np.float64)
    scale = sales.max()

    def residuals(logs: np.ndarray) -> np.ndarray:
        m, p, q = np.exp(logs)
        return m * curve(t, p, q) - sales / scale

    def jacobian(logs: np.ndarray) -> np.ndarray:
        # Derivatives by a complex step, exact to rounding: Squire and Trapp 1998, SIAM Review 40:110.
        columns = []
        for step in 1e-30j * np.eye(3):
            m, p, q = np.exp(logs + step)
            columns.append((m * curve(t, p, q)).imag / 1e-30)
        return np.column_stack(columns)

    starts = []
    for p in START_P:
        for q in START_Q:
            shape = curve(t, p, q)
            m = max(float(shape @ sales / (shape @ shape)) / scale, 1e-6)
            starts.append(np.log([m, p, q]))
    start = min(starts, key=lambda logs: float((residuals(logs) ** 2).sum()))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        # Sales that only grow send m to infinity; that is caught below.
        fit = least_squares(residuals, start, jac=jacobian, method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14)
        relative_slopes = jacobian(fit.x)
        m, p, q = np.exp(fit.x) * (scale, 1, 1)
    if not (np.isfinite(relative_slopes).all() and np.linalg.cond(relative_slopes) < 1e6):
        # Moved in proportion, the parameters cannot be told apart by their effect on sales.
        raise InputError("sales", "a series that leaves m, p and q open", BENT)
    freedom = len(sales) - 3
    rse = scale * np.sqrt(2 * fit.cost / freedom)
    slopes = relative_slopes * scale / (m, p, q)
    errors = rse * np.sqrt(np.diag(np.linalg.inv(slopes.T @ slopes)))
    return BassFit(method, *map(float, (m, p, q, *errors, rse)), degrees_of_freedom=freedom)


def _fit_ols(sales: np.ndarray) -> BassFit:
    before = np.cumsum(sales) - sales
    design = np.column_stack([np.ones(len(sales)), before, before**2])
    # Scaled: the squares of all sales so far are many powers of ten above the column of ones.
    size = np.abs(design).max(axis=0)
    scaled = design / np.where(size > 0, size, 1)
    if np.linalg.matrix_rank(scaled) < 3:
        raise InputError("sales", "fewer than 3 different totals so far", BENT)
    a, b, c = np.linalg.lstsq(scaled, sales, rcond=None)[0] / size
    found = f"a = {a:.4g}, b = {b:.4g}, c = {c:.4g} in sales = a + b Y + c Y^2"
    if not (a > 0 and c < 0):
        raise InputError("sales", found, "a > 0 and c < 0, which a Bass curve has")
    m = (-b - np.sqrt(b**2 - 4 * a * c)) / (2 * c)
    if m > LARGEST_M * sales.sum():
        raise InputError("sales", found, BENT)
    p, q = a / m, -c * m
    freedom = len(sales) - 3
    rse = np.sqrt(((sales - a - b * before - c * before**2) ** 2).sum() / freedom)
    covariance = rse**2 * np.linalg.inv(scaled.T @ scaled) / np.outer(size, size)
    slope_m = -np.array([1, m, m**2]) / (b + 2 * c * m)
    slope_p = np.array([1 / m, 0, 0]) - a / m**2 * slope_m
    slope_q = np.array([0, 0, -m]) - c * slope_m
    errors = [np.sqrt(slope @ covariance @ slope) for slope in (slope_m, slope_p, slope_q)]
    return BassFit("ols", *map(float, (m, p, q, *errors, rse)), degrees_of_freedom=freedom)


def _checked_times(t: ArrayLike) -> np.ndarray:
    try:
        times = np.asarray(t, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("t", repr(t), "finite numbers") from error
    if not np.isfinite(times).all():
        raise InputError("t", str(times[~np.isfinite(times)].flat[0]), "finite numbers")
    return times


def _checked_bass(m: float, p: float, q: float) -> tuple[float, float, float]:
    for name, value in (("m", m), ("p", p), ("q", q)):
        if not np.isfinite(value) or value < 0 or (value == 0 and name != "q"):
            raise InputError(name, str(value), "a finite number above 0" + (" or 0" if name == "q" else ""))
    return float(m), float(p), float(q)


def _checked_sales(sales: Sequence[float]) -> np.ndarray:
    expected = f"numbers from 0 to {LARGEST_SALES:g} for 4 periods or more, not all 0"
    try:
        values = np.asarray(sales, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("sales", "values that are not numbers", expected) from error
    if values.ndim != 1 or len(values) < 4:
        raise InputError("sales", f"shape {values.shape}", expected)
    bad = ~((values >= 0) & (values <= LARGEST_SALES))
    if bad.any():
        raise InputError("sales", f"{values[bad][0]} in period {np.flatnonzero(bad)[0] + 1}", expected)
    if not values.any():
        raise InputError("sales", "only zeros", expected)
    return values
