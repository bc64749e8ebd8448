"""Discounted totals of a cohort trace: time spent in states and one-off rewards on moves."""

import numpy as np
from numpy.typing import ArrayLike

from market.cohort import (
    ROUNDING,
    ROW_TOLERANCE,
    broadcast_sims,
    checked_transitions,
    finite_array,
    number_array,
    positive_number,
)
from market.errors import InputError


def discounted_total(
    trace: ArrayLike,
    values: ArrayLike,
    annual_rate: float,
    cycle_length_years: float,
    weights: ArrayLike,
    transitions: ArrayLike | None = None,
    transition_rewards: ArrayLike | None = None,
) -> np.ndarray | float:
    """Discounted total per person of costs, QALYs or life-years: a float, or an array (...) of simulations.

    The total is the sum over the rows t = 0, 1, ... of the trace of

        weights[t] * (1 + annual_rate) ** (-t * cycle_length_years) * (stay[t] + moves[t])

        stay[t]   sum over states of trace[t, i] * values[t, i] * cycle_length_years
        moves[t]  sum over moves of trace[t - 1, i] * transitions[t - 1, i, j] * transition_rewards[i, j],
                  nothing at t = 0: who moves in a cycle is paid at its end

    Weights hold for one-off rewards as for stays. So does the cohort tutorial compute them (Alarid-Escudero
    et al. 2023, Med Decis Making 43:21, "Transition rewards" and its code, after Krijkamp et al. 2020, Med
    Decis Making 40:242), and its table of costs and QALYs comes out only so. To pay one-off rewards in full, take
    their total in a call of its own with weights of 1 and values of 0. Not from there: with a cycle length
    other than a year the rate is compounded here, where that code has (1 + rate * cycle length) ** -t.

    trace               (..., cycle + 1, state), of cohort_trace, or in persons: all rows have one total
    values              per year spent in a state: (state,); (cycle + 1, state); (sim, state) for a trace
                        (sim, cycle + 1, state), unless sim happens to be cycle + 1; in full (..., cycle + 1,
                        state), or 1 in place of cycle + 1 for the same in every row
    annual_rate         0.03 is 3 % a year; 0 or more
    cycle_length_years  1/12 for a month
    weights             (cycle + 1,), of within_cycle_weights; 0, 1, ..., 1 counts at the end of each cycle,
                        1, ..., 1, 0 at its start
    transitions         those the trace was made with, in any shape that cohort_trace takes
    transition_rewards  (state, state), row the state that is left, or (..., state, state) of simulations; an
                        entry on the diagonal is paid to all who stay, in every cycle

    Raises InputError naming the argument: shapes that do not fit, NaN or infinity, a rate below 0, a cycle
    length not above 0, a trace that is negative or whose rows do not sum to one total, transitions that are not
    probabilities or not those that lead from row to row of the trace, one of the last two without the other.
    """
    trace = number_array("trace", trace)
    if trace.ndim < 2:
        raise InputError("trace", f"shape {trace.shape}", "(..., cycle + 1, state)")
    cycle_length_years = positive_number("cycle_length_years", cycle_length_years)
    _check_cohort(trace)
    factors = _factors(weights, trace.shape[-2], annual_rate, cycle_length_years)
    values = _by_row(values, trace.shape)
    if (transitions is None) != (transition_rewards is None):
        missing = "transitions" if transitions is None else "transition_rewards"
        raise InputError(missing, "None", "transitions and transition_rewards together, or neither")
    with np.errstate(invalid="ignore", over="ignore"):
        total = _weighted_sum(trace, values, factors * cycle_length_years)
        if transitions is not None:
            gains = _expected_gains(transitions, transition_rewards, trace)
            total = total + _weighted_sum(trace[..., :-1, :], gains, factors[1:])
    if not np.isfinite(total).all():  # rare, so the inputs are looked through only then
        finite_array("trace", trace)
        finite_array("values", values)
    return total[()]


def _check_cohort(trace: np.ndarray) -> None:
    """Raise InputError for negative entries and rows of unequal totals over all draws; NaN shows in the result."""
    with np.errstate(invalid="ignore", over="ignore"):
        # The mean draw's: the sum over the few states of each draw would take longer than the total itself.
        draws = trace.reshape(-1, *trace.shape[-2:])
        sums = draws.sum(axis=0).sum(axis=-1) / max(1, len(draws))
        change = np.ptp(sums) if sums.size else 0.0
    persons = np.max(sums, initial=1.0)
    least = trace.min(initial=0.0)
    if least < -ROUNDING * persons:
        raise InputError("trace", f"{least:g}", "0 or more in every state")
    if change > ROW_TOLERANCE * persons:
        raise InputError("trace", f"rows whose sums differ by {change:g}", "rows that all sum to the same")


def _factors(weights: ArrayLike, n_rows: int, annual_rate: float, cycle_length_years: float) -> np.ndarray:
    """Weight times discount factor of each row of the trace, (cycle + 1,)."""
    weights = finite_array("weights", weights)
    if weights.shape != (n_rows,):
        raise InputError("weights", f"shape {weights.shape}", f"({n_rows},), one for each row of the trace")
    rate = finite_array("annual_rate", annual_rate)
    if rate.ndim or rate < 0:
        raise InputError("annual_rate", repr(annual_rate), "one number of 0 or more, 0.03 for 3 % a year")
    return weights * (1.0 + float(rate)) ** (-np.arange(n_rows) * cycle_length_years)


def _by_row(values: ArrayLike, trace_shape: tuple[int, ...]) -> np.ndarray:
    """Values as (..., cycle + 1 or 1, state), read by the rule of discounted_total."""
    values = number_array("values", values)
    *sims, n_rows, n_states = trace_shape
    shape = values.shape
    expected = f"({n_states},), ({n_rows}, {n_states}) or (..., {n_rows} or 1, {n_states})"
    if values.ndim == 0 or shape[-1] != n_states:
        raise InputError("values", f"shape {shape}", expected)
    per_draw = values.ndim == 2 and len(values) != n_rows and list(shape[:1]) == sims
    if values.ndim == 1 or per_draw:
        values = values[..., None, :]
    elif shape[-2] not in (1, n_rows):
        raise InputError("values", f"shape {shape}", expected)
    broadcast_sims(values=values.shape[:-2], trace=tuple(sims))
    return values


def _expected_gains(transitions: ArrayLike, rewards: ArrayLike, trace: np.ndarray) -> np.ndarray:
    """Expected one-off reward of a cycle for one who starts it in a state, (..., cycle or 1, state)."""
    *sims, n_rows, n_states = trace.shape
    transitions = checked_transitions(transitions, n_rows - 1)
    if transitions.shape[-1] != n_states:
        raise InputError("transitions", f"{transitions.shape[-1]} states", f"{n_states}, as in the trace")
    rewards = finite_array("transition_rewards", rewards)
    if rewards.shape[-2:] != (n_states, n_states):
        raise InputError("transition_rewards", f"shape {rewards.shape}", f"({n_states}, {n_states})")
    broadcast_sims(transition_rewards=rewards.shape[:-2], trace=tuple(sims))
    if broadcast_sims(transitions=transitions.shape[:-3], trace=tuple(sims)) != tuple(sims):
        expected = f"those that the trace of shape {trace.shape} was made with"
        raise InputError("transitions", f"simulation dimensions {transitions.shape[:-3]}", expected)
    miss = np.abs(np.vecmat(trace[..., :-1, :], transitions) - trace[..., 1:, :]).max(initial=0.0)
    if miss > ROW_TOLERANCE * trace.sum(axis=-1).max(initial=1.0):  # false for NaN, which the total shows
        raise InputError("transitions", f"a row of the trace missed by {miss:g}", "those the trace was made with")
    return np.einsum("...ij,...ij->...i", transitions, rewards[..., None, :, :])


def _weighted_sum(trace: np.ndarray, values: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Sum over rows and states of factors[t] * trace[..., t, i] * values[..., t or 0, i], (...)."""
    if values.shape[-2] == 1:  # time first: far less to add up
        in_rows = trace.strides[-1] == trace.itemsize
        by_state = np.matmul(factors, trace) if in_rows else np.einsum("...ts,t->...s", trace, factors)
        return np.einsum("...s,...s->...", by_state, values[..., 0, :])
    return np.einsum("...ts,...ts->...", trace, values * factors[:, None])
