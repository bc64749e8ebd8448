"""Investment measures of a yearly cash flow, and points where a project breaks even.

A cash flow is a sequence of money per year in one currency: entry 0 is paid at once, entry t at the end of
year t; costs are negative. Definitions are those of numpy-financial (npv, irr), where entry 0 is not discounted.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError


def net_present_value(cash_flow: ArrayLike, annual_rate: float) -> float:
    """Sum of entry t divided by (1 + annual_rate) ** t, in the currency of the cash flow.

    Raises InputError for a cash flow that is not a sequence of finite numbers and a rate of -1 or less.
    """
    flow = _checked_flow(cash_flow)
    return float((flow * (1 + _checked_rate(annual_rate)) ** -np.arange(len(flow), dtype=np.float64)).sum())


def internal_rate_of_return(cash_flow: ArrayLike) -> float:
    """The annual rate above -1 at which the net present value is 0.

    Raises InputError where there is none (the money only comes in, or only goes out) and where there are
    several, naming them: the rate then ranks nothing, and the net present value should be used.
    """
    flow = _checked_flow(cash_flow)
    rates = _zero_rates(flow)
    if not rates:
        raise InputError(
            "cash_flow", "no rate with a net present value of 0", "costs and returns that one rate balances"
        )
    if len(rates) > 1:
        found = "several rates with a net present value of 0: " + ", ".join(f"{rate:.6g}" for rate in rates)
        raise InputError("cash_flow", found, "a flow that one rate balances; use net_present_value")
    return rates[0]


def payback_years(cash_flow: ArrayLike, annual_rate: float = 0.0) -> float | None:
    """Years until the (discounted) cash flow has first recovered its outlay; None where it never does.

    The outlay is recovered in the first year after the sum fell below 0 in which it is 0 or more again, whether
    or not money came in before; a sum that never falls below 0 has nothing to recover, and gives 0.

    Within a year the money is taken to come in evenly, so the answer need not be whole. A later outlay that
    takes the sum below 0 again does not change it. Raises InputError as `net_present_value` does.
    """
    flow = _checked_flow(cash_flow)
    present = flow * (1 + _checked_rate(annual_rate)) ** -np.arange(len(flow), dtype=np.float64)
    total = np.cumsum(present)
    below = np.flatnonzero(total < 0)
    if not len(below):
        return 0.0
    recovered = np.flatnonzero(total[below[0] :] >= 0)
    if not len(recovered):
        return None
    year = int(below[0] + recovered[0])
    return year - float(total[year] / present[year])


def break_even_volume(fixed_cost: float, value_per_unit: float, cost_per_unit: float = 0.0) -> float | None:
    """Units whose margin pays the fixed cost; None where a unit earns nothing. All in one currency.

    Raises InputError for values that are not finite and a fixed cost below 0.
    """
    for name, value in (
        ("fixed_cost", fixed_cost),
        ("value_per_unit", value_per_unit),
        ("cost_per_unit", cost_per_unit),
    ):
        if not np.isfinite(value):
            raise InputError(name, str(value), "a finite number")
    if fixed_cost < 0:
        raise InputError("fixed_cost", str(fixed_cost), "0 or more")
    margin = value_per_unit - cost_per_unit
    return fixed_cost / margin if margin > 0 else None


def break_even_value(balance: Callable[[float], float], low: float, high: float) -> float:
    """The value between low and high at which balance(value) is 0, such as the highest price at cost neutrality.

    `balance` is a continuous function, say price -> saving less payment, with opposite signs (or a 0) at the
    ends. Raises InputError where it does not change sign.
    """
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError("low, high", f"{low}, {high}", "finite numbers, low below high")
    ends = float(balance(low)), float(balance(high))
    for end, at in zip(ends, (low, high), strict=True):
        if end == 0:
            return float(at)
    if not np.isfinite(ends).all() or (ends[0] > 0) == (ends[1] > 0):
        raise InputError("balance", f"{ends[0]} at {low} and {ends[1]} at {high}", "opposite signs at the ends")
    from scipy.optimize import brentq

    return float(brentq(balance, low, high, xtol=1e-12 * (high - low), rtol=1e-14))


def _checked_flow(cash_flow: ArrayLike) -> np.ndarray:
    expected = "a sequence of finite numbers, one for now and one for each year"
    try:
        flow = np.asarray(cash_flow, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError("cash_flow", repr(cash_flow), expected) from error
    if flow.ndim != 1 or not flow.size:
        raise InputError("cash_flow", f"shape {flow.shape}", expected)
    bad = np.flatnonzero(~np.isfinite(flow))
    if len(bad):
        raise InputError("cash_flow", f"{flow[bad[0]]} in year {bad[0]}", expected)
    return flow


def _checked_rate(annual_rate: float) -> float:
    if not np.isfinite(annual_rate) or annual_rate <= -1:
        raise InputError("annual_rate", str(annual_rate), "a finite rate above -1")
    return float(annual_rate)


def _zero_rates(flow: np.ndarray) -> list[float]:
    """All rates above -1 at which the net present value is 0, rising, each once.

    The net present value is a polynomial in x = 1 / (1 + rate), whose positive zeros are wanted. It has as
    many as the flow changes sign, or an even number fewer (Descartes): with one change the zero is bracketed
    and found to full precision; with more, all zeros come from the eigenvalues of the companion matrix.
    """
    largest = np.abs(flow).max()
    flow = flow / largest if largest else flow  # so that no product overflows
    signs = np.sign(flow[flow != 0])
    changes = int((signs[1:] != signs[:-1]).sum())
    if not changes:
        return []
    if changes > 1:
        try:
            with np.errstate(over="ignore"):
                zeros = np.roots(flow[::-1])
        except np.linalg.LinAlgError as error:
            found = "entries too far apart in size to find its rates"
            raise InputError("cash_flow", found, "entries of like size; use net_present_value") from error
        real = zeros.real[(np.abs(zeros.imag) <= 1e-7 * np.abs(zeros)) & (zeros.real > 0)]
        rates = np.sort(1 / real - 1)
        # A zero that the flow touches comes twice, apart by the root of the rounding.
        return rates[np.diff(rates, prepend=-np.inf) > 1e-6].tolist()
    from scipy.optimize import brentq

    def present(x: float) -> float:
        return float(np.polyval(flow[::-1], x))

    low = high = 1.0
    while np.sign(present(low)) not in (0, signs[0]):
        low /= 2
        if low < 2.0**-1000:  # a rate near the largest float
            return []
    while np.sign(present(high)) not in (0, signs[-1]):
        high *= 2
        if high > 2.0**60:  # a rate that is not told from -1
            return []
    x = low if low == high else brentq(present, low, high, xtol=1e-300, rtol=1e-15)
    return [1 / x - 1]
