"""Cohort state-transition models: transition matrices from rates, the cohort trace, within-cycle weights.

A cohort is a distribution over states. In cycle t it moves by the matrix of that cycle, row the state that is
left and column the state that is entered: m[t + 1] = m[t] @ P[t] (Beck and Pauker 1983, Med Decis Making
3:419; in the notation of Alarid-Escudero et al. 2023, Med Decis Making 43:21). A leading axis of simulations
carries the draws of a probabilistic analysis, and all of them are worked off together.
"""

from math import factorial, prod

import numpy as np
from numpy.typing import ArrayLike

from market.errors import InputError

ROW_TOLERANCE = 1e-9
"""How far from 1 a row of probabilities may sum, and from 0 a row of rates relative to its largest rate."""

ROUNDING = 1e-12
"""A negative entry this small is the rounding of a remainder such as 1 - (p + q), and is let through."""

FEW_STATES = 8
"""Up to here it pays to have the simulations innermost in memory; above, matrix products are faster."""

BLOCK_VALUES = 65_536
"""Matrices are worked off in blocks of about this many values (half a megabyte), which stay in cache."""

NOT_REAL = (str, bytes, complex, np.complexfloating)

METHODS = ("none", "half-cycle", "simpson", "simpson-darth")


def cohort_trace(initial: ArrayLike, transitions: ArrayLike, n_cycles: int) -> np.ndarray:
    """Share of the cohort in each state at the start and after each cycle, (..., cycle + 1, state).

    initial      (state,), summing to 1; with leading simulation dimensions (..., state)
    transitions  probabilities per cycle, row t those of the move from row t to row t + 1 of the trace:
                   (state, state)              the same in every cycle
                   (cycle, state, state)       one matrix a cycle, as many as n_cycles
                   (sim, state, state)         a draw each, the same in every cycle: so are three dimensions
                                               read whose first is not n_cycles
                   (..., cycle, state, state)  four or more: simulations, then n_cycles matrices, or 1 for
                                               the same in every cycle
    n_cycles     0 or more; 0 gives the start alone

    Where the number of draws can happen to equal n_cycles, pass (sim, 1, state, state), which is never
    mistaken. Simulation dimensions of `initial` and `transitions` broadcast. The array returned is fresh,
    but its memory need not be in the order of its axes. Raises InputError naming the argument: shapes that
    do not fit, NaN, infinity, a negative probability, a row that does not sum to 1 to within 1e-9.
    """
    n_cycles = whole_number("n_cycles", n_cycles, least=0)
    transitions = checked_transitions(transitions, n_cycles)
    initial = _checked_initial(initial, transitions.shape[-1])
    sims = broadcast_sims(initial=initial.shape[:-1], transitions=transitions.shape[:-3])
    n_sims, tail = prod(sims), transitions.shape[-3:]
    starts = np.broadcast_to(initial, (*sims, tail[-1])).reshape(n_sims, tail[-1])
    if prod(transitions.shape[:-3]) == 1:
        trace = _trace_of_shared(starts, transitions.reshape(tail), n_cycles)
    else:
        draws = np.broadcast_to(transitions, (*sims, *tail)).reshape(n_sims, *tail)
        innermost = tail[-1] <= FEW_STATES and tail[0] == 1
        trace = (_trace_sims_innermost if innermost else _trace_of_draws)(starts, draws, n_cycles)
    return trace.reshape(*sims, n_cycles + 1, tail[-1])


def _trace_of_shared(initial: np.ndarray, transitions: np.ndarray, n_cycles: int) -> np.ndarray:
    """Trace (sim, cycle + 1, state) of starts (sim, state) that share matrices (cycle or 1, state, state)."""
    transitions = np.ascontiguousarray(transitions)  # the last digit would follow the order in memory
    trace = np.empty((len(initial), n_cycles + 1, initial.shape[-1]))
    trace[:, 0] = initial
    for t in range(n_cycles):
        trace[:, t + 1] = trace[:, t] @ transitions[t if len(transitions) > 1 else 0]
    return trace


def _trace_of_draws(initial: np.ndarray, transitions: np.ndarray, n_cycles: int) -> np.ndarray:
    """Trace (sim, cycle + 1, state) of starts (sim, state), matrices (sim, cycle or 1, state, state)."""
    n_sims, n_matrices, n_states = transitions.shape[:3]
    trace = np.empty((n_sims, n_cycles + 1, n_states))
    trace[:, 0] = initial
    size = max(256, BLOCK_VALUES // n_states**2)
    for start in range(0, n_sims, size):
        block, matrices = trace[start : start + size], transitions[start : start + size]
        for t in range(n_cycles):
            np.vecmat(block[:, t], matrices[:, t if n_matrices > 1 else 0], out=block[:, t + 1])
    return trace


def _trace_sims_innermost(initial: np.ndarray, transitions: np.ndarray, n_cycles: int) -> np.ndarray:
    """The same for matrices (sim, 1, state, state): for few states about four times as fast.

    A product of 4 x 4 is too small to be worth a call, so each sum runs over draws that lie side by side.
    """
    n_sims, _, n_states = transitions.shape[:3]
    trace = np.empty((n_cycles + 1, n_states, n_sims))
    trace[0] = initial.T
    size = max(256, BLOCK_VALUES // n_states**2)
    for start in range(0, n_sims, size):
        block = trace[:, :, start : start + size]
        matrices = np.ascontiguousarray(transitions[start : start + size, 0].transpose(1, 2, 0))
        for t in range(n_cycles):
            np.einsum("in,ijn->jn", block[t], matrices, out=block[t + 1])
    return trace.transpose(2, 0, 1)


def within_cycle_weights(n_cycles: int, method: str) -> np.ndarray:
    """Weight of each row of a trace, (cycle + 1,), so that the weighted sum stands for time spent in states.

    none           1 in every row: state membership counted at the start and after each cycle
    half-cycle     1/2, 1, ..., 1, 1/2: the trapezoidal rule
    simpson        1/3, 4/3, 2/3, ..., 4/3, 1/3: Simpson's composite 1/3 rule, which needs an even number of
                   cycles. With an odd one the last three cycles, in which least of a cohort is left, are
                   integrated by the 3/8 rule (3/8, 9/8, 9/8, 3/8), of the same order; one cycle alone, by the
                   trapezoidal rule. (King and Mody, Numerical and Statistical Methods for Bioengineering,
                   after equation 6.33, combine the two so.)
    simpson-darth  1/3, 2/3, 4/3, 2/3, ..., 1/3: as the tutorials of Alarid-Escudero et al. print and use it,
                   2/3 and 4/3 exchanged. It is not Simpson's rule; it is here to reproduce their totals.

    Simpson's rules for cohort models: Elbasha and Chhatwal 2016, Med Decis Making 36:115. Raises InputError
    for another method, or n_cycles that is not a whole number of 1 or more.
    """
    n_cycles = whole_number("n_cycles", n_cycles, least=1)
    if method not in METHODS:
        raise InputError("method", repr(method), "one of " + ", ".join(METHODS))
    weights = np.ones(n_cycles + 1)
    if method == "half-cycle":
        weights[[0, -1]] = 1 / 2
    elif method == "simpson":
        weights = _simpson(n_cycles)
    elif method == "simpson-darth":
        weights[0::2], weights[1::2] = 4 / 3, 2 / 3
        weights[[0, -1]] = 1 / 3
    return weights


def _simpson(n_cycles: int) -> np.ndarray:
    """Weights (cycle + 1,) of Simpson's rules; see within_cycle_weights."""
    if n_cycles == 1:
        return np.array([1 / 2, 1 / 2])
    even = n_cycles - 3 * (n_cycles % 2)
    weights = np.zeros(n_cycles + 1)
    for start in range(0, even, 2):
        weights[start : start + 3] += [1 / 3, 4 / 3, 1 / 3]
    if even < n_cycles:
        weights[even:] += [3 / 8, 9 / 8, 9 / 8, 3 / 8]
    return weights


def rate_to_probability(rate: ArrayLike, cycle_length_years: float = 1.0) -> np.ndarray | float:
    """Probability of at least one event in a cycle, 1 - exp(-rate * cycle_length_years), shape of `rate`.

    rate  per person-year, 0 or more, constant within the cycle. Raises InputError for anything else.
    (Fleurence and Hollenbeak 2007, PharmacoEconomics 25:3.)
    """
    rate = finite_array("rate", rate)
    if (rate < 0).any():
        raise InputError("rate", f"{rate.min():g}", "0 or more per person-year")
    return -np.expm1(-rate * positive_number("cycle_length_years", cycle_length_years))


def probability_to_rate(probability: ArrayLike, cycle_length_years: float = 1.0) -> np.ndarray | float:
    """Constant rate per person-year that gives `probability` in a cycle, -log(1 - p) / cycle_length_years.

    probability  0 or more and below 1 (at 1 the rate is infinite). Raises InputError for anything else.
    """
    probability = finite_array("probability", probability)
    if (probability < 0).any() or (probability >= 1).any():
        bad = probability[(probability < 0) | (probability >= 1)].flat[0]
        raise InputError("probability", f"{bad:g}", "0 or more and below 1")
    return -np.log1p(-probability) / positive_number("cycle_length_years", cycle_length_years)


def generator_to_transitions(generator: ArrayLike, cycle_length_years: float = 1.0) -> np.ndarray:
    """Transition probabilities of a cycle, exp(generator * cycle_length_years), (..., state, state).

    generator  rates per person-year (..., state, state), row the state that is left: 0 or more off the
               diagonal, and on it minus the sum of the rest, so that a row sums to 0

    Several moves within one cycle are allowed for, which 1 - exp(-rate) for each move is not (Jones,
    Epstein and Garcia-Mochon 2017, Med Decis Making 37:735). The matrix exponential is computed for all
    simulations at once by scaling and squaring. The scaled generator is first made non-negative by adding
    a multiple of the identity (uniformisation, Jensen 1953), so that no term of its series cancels another:
    no entry comes out negative, and rows sum to 1. Raises InputError for NaN, infinity, a matrix that is
    not square, a negative rate off the diagonal or a row that does not sum to 0.
    """
    generator = _checked_generator(generator)
    scaled = generator * positive_number("cycle_length_years", cycle_length_years)
    leaving = float(-np.diagonal(scaled, axis1=-2, axis2=-1).min(initial=0.0))
    squarings = max(0, int(np.ceil(np.log2(leaving)) + 1)) if leaving > 0 else 0
    shift = leaving / 2**squarings
    identity = np.eye(scaled.shape[-1])
    jumps = scaled / 2**squarings + shift * identity  # 0 or more, rows sum to `shift`, at most 1/2
    square = jumps @ jumps
    powers, fourth = (identity, jumps, square, square @ jumps), square @ square
    series = 0.0
    for j in (3, 2, 1, 0):  # Taylor to degree 15 in steps of four; what is left out is below 1e-18
        terms = sum(power / factorial(4 * j + i) for i, power in enumerate(powers))
        series = terms if j == 3 else terms + fourth @ series
    probabilities = series / series.sum(axis=-1, keepdims=True)  # exp(shift) divided out again
    for _ in range(squarings):
        probabilities = probabilities @ probabilities
    return probabilities / probabilities.sum(axis=-1, keepdims=True)


def _checked_generator(generator: ArrayLike) -> np.ndarray:
    """The rates with a diagonal that is exactly minus the rest of its row, and none negative beside it."""
    generator = finite_array("generator", generator)
    if generator.ndim < 2 or generator.shape[-1] != generator.shape[-2] or generator.shape[-1] == 0:
        raise InputError("generator", f"shape {generator.shape}", "(..., state, state)")
    off_diagonal = np.where(np.eye(generator.shape[-1], dtype=bool), 0.0, generator)
    scale = np.abs(generator).max(axis=-1)
    if (off_diagonal < -ROUNDING * (1 + scale[..., None])).any():
        raise InputError("generator", f"a rate of {off_diagonal.min():g} off the diagonal", "0 or more")
    sums = np.abs(generator.sum(axis=-1))
    if (sums > ROW_TOLERANCE * np.maximum(scale, ROUNDING)).any():
        raise InputError("generator", f"a row that sums to {sums.max():g}", "rows that sum to 0")
    off_diagonal = np.maximum(off_diagonal, 0.0)
    return off_diagonal - off_diagonal.sum(axis=-1)[..., None] * np.eye(generator.shape[-1])


def checked_transitions(transitions: ArrayLike, n_cycles: int) -> np.ndarray:
    """Transition probabilities as (..., cycle or 1, state, state), read by the rule of cohort_trace.

    Raises InputError as cohort_trace does.
    """
    transitions = number_array("transitions", transitions)
    shape = transitions.shape
    if transitions.ndim < 2 or shape[-1] != shape[-2] or 0 in shape[-2:]:
        raise InputError("transitions", f"shape {shape}", "(state, state), (cycle, state, state) or more")
    if transitions.ndim > 3 and shape[-3] not in (1, n_cycles):
        expected = f"(..., {n_cycles}, state, state), or 1 in place of {n_cycles} for the same in every cycle"
        raise InputError("transitions", f"shape {shape}", expected)
    _check_rows(transitions)
    if transitions.ndim == 2 or (transitions.ndim == 3 and len(transitions) != n_cycles):
        transitions = transitions[..., None, :, :]
    return transitions


def _check_rows(transitions: np.ndarray) -> None:
    """Raise InputError unless all rows are probabilities that sum to 1, (..., state, state)."""
    # What a broadcast repeats is looked at once, and the rest in blocks that stay in cache.
    distinct = transitions[tuple(slice(None if step else 1) for step in transitions.strides[:-2])]
    size = max(1, 2 * BLOCK_VALUES * len(distinct) // max(1, distinct.size))
    ones = np.ones(distinct.shape[-1])
    for start in range(0, len(distinct) if distinct.size else 0, size):
        block = distinct[start : start + size]
        with np.errstate(invalid="ignore", over="ignore"):
            fits = np.abs(block.reshape(-1, len(ones)) @ ones - 1.0).max() <= ROW_TOLERANCE  # false for NaN
        if not fits or block.min() < -ROUNDING:
            raise _row_error(block, start)


def _row_error(block: np.ndarray, start: int) -> InputError:
    """What is wrong with the first bad row of a block, whose first axis is `start` into that of the whole."""
    finite = np.isfinite(block).all(axis=-1)
    negative = (block < -ROUNDING).any(axis=-1)
    off = np.abs(np.where(finite[..., None], block, 0.0).sum(axis=-1) - 1.0) > ROW_TOLERANCE
    at = np.unravel_index(np.argmax(~finite | negative | off), finite.shape)
    row, where = block[at], f"in row [{', '.join(str(i) for i in (start + at[0], *at[1:]))}]"
    if not finite[at]:
        return InputError("transitions", f"{row[~np.isfinite(row)][0]} {where}", "finite probabilities")
    if negative[at]:
        return InputError("transitions", f"{row.min():g} {where}", "probabilities of 0 or more")
    return InputError("transitions", f"a sum of {row.sum():.12g} {where}", "rows that sum to 1")


def _checked_initial(initial: ArrayLike, n_states: int) -> np.ndarray:
    initial = finite_array("initial", initial)
    if initial.ndim == 0 or initial.shape[-1] != n_states:
        raise InputError("initial", f"shape {initial.shape}", f"(..., {n_states}) to fit the transitions")
    if (initial < -ROUNDING).any():
        raise InputError("initial", f"{initial.min():g}", "shares of 0 or more")
    sums = initial.sum(axis=-1)
    if (np.abs(sums - 1.0) > ROW_TOLERANCE).any():
        worst = sums.flat[np.abs(sums - 1.0).argmax()]
        raise InputError("initial", f"a sum of {worst:.12g}", "shares that sum to 1")
    return initial


def broadcast_sims(**shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The simulation dimensions that these, by argument name, broadcast to; InputError where they do not."""
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        name, *others = [key for key, shape in shapes.items() if shape]
        found = f"simulation dimensions {shapes[name]}"
        expected = ", ".join(f"those of {other}, {shapes[other]}" for other in others)
        raise InputError(name, found, expected) from None


def number_array(name: str, values: ArrayLike) -> np.ndarray:
    """Values as an array of floats; InputError for anything that is not real numbers, text of them included."""
    unfit = InputError(name, f"{type(values).__name__} that is not an array of numbers", "numbers")
    try:
        array = np.asarray(values)
        # Objects are numbers such as Decimal, or columns of a frame; float() would read text and drop parts.
        if array.dtype.kind == "O" and not any(isinstance(value, NOT_REAL) for value in array.flat):
            return array.astype(float)
    except (TypeError, ValueError):
        raise unfit from None
    if array.dtype.kind not in "biuf":
        raise unfit
    return array.astype(float, copy=False)


def finite_array(name: str, values: ArrayLike) -> np.ndarray:
    """Values as an array of floats; InputError where one is NaN or infinite."""
    array = number_array(name, values)
    finite = np.isfinite(array)
    if not finite.all():
        raise InputError(name, f"{array[~finite].flat[0]}", "finite numbers")
    return array


def positive_number(name: str, value: float) -> float:
    """One finite number above 0; InputError for anything else."""
    array = finite_array(name, value)
    if array.ndim or array <= 0:
        raise InputError(name, repr(value), "one number above 0")
    return float(array)


def whole_number(name: str, value: int, least: int) -> int:
    """A whole number (75.0 counts) not below `least`; InputError for anything else."""
    array = finite_array(name, value)
    if array.ndim or array != np.floor(array) or array < least:
        raise InputError(name, repr(value), f"a whole number of {least} or more")
    return int(array)
