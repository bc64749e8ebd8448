"""Traces, within-cycle weights, rates and probabilities: hand-computed cases, invariants, named errors."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from market.cohort import (
    cohort_trace,
    generator_to_transitions,
    probability_to_rate,
    rate_to_probability,
    within_cycle_weights,
)
from market.errors import InputError

FORTH = np.array([[0.9, 0.1, 0.0], [0.0, 0.7, 0.3], [0.0, 0.0, 1.0]])
BACK = np.array([[0.8, 0.0, 0.2], [0.5, 0.4, 0.1], [0.0, 0.0, 1.0]])
START = np.array([0.6, 0.4, 0.0])


def stepwise(initial: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Trace of one start through (cycle, state, state), one sum at a time."""
    rows = [list(initial)]
    for matrix in matrices:
        last = rows[-1]
        rows.append([sum(last[i] * matrix[i][j] for i in range(len(last))) for j in range(len(last))])
    return np.array(rows)


def draws(n_sims: int, n_cycles: int, n_states: int, seed: int = 0) -> np.ndarray:
    """Random transition matrices (sim, cycle, state, state)."""
    return np.random.default_rng(seed).dirichlet(np.ones(n_states), (n_sims, n_cycles, n_states))


def test_survival_at_a_constant_risk_falls_geometrically():
    trace = cohort_trace([1, 0], [[0.9, 0.1], [0, 1]], 30)
    np.testing.assert_allclose(trace[:, 0], 0.9 ** np.arange(31), rtol=1e-13)


def test_row_t_of_the_matrices_moves_row_t_of_the_trace():
    trace = cohort_trace(START, [FORTH, BACK], 2)
    np.testing.assert_allclose(trace, [START, START @ FORTH, START @ FORTH @ BACK], rtol=1e-15)
    assert not np.allclose(trace[2], START @ BACK @ FORTH)


def test_one_matrix_serves_all_cycles():
    np.testing.assert_allclose(
        cohort_trace(START, FORTH, 7), cohort_trace(START, np.stack([FORTH] * 7), 7), rtol=1e-15
    )


def test_no_cycle_gives_the_start_alone():
    np.testing.assert_array_equal(cohort_trace(START, FORTH, 0), [START])
    assert cohort_trace(START, draws(4, 1, 3), 0).shape == (4, 1, 3)


def test_lists_frames_and_a_number_of_cycles_such_as_75_0_are_taken():
    frame = pd.DataFrame(FORTH, index=list("abc"), columns=list("abc"))
    trace = cohort_trace(pd.Series(START), frame, (100 - 25) / 1)
    np.testing.assert_array_equal(trace, cohort_trace(START.tolist(), FORTH.tolist(), np.int64(75)))


@pytest.mark.parametrize("n_states", [3, 8, 9, 14])  # both sides of the change of memory layout
@pytest.mark.parametrize("n_sims", [1, 5, 700])
def test_many_draws_are_the_same_as_one_at_a_time(n_states: int, n_sims: int):
    matrices = draws(n_sims, 6, n_states)
    start = np.random.default_rng(1).dirichlet(np.ones(n_states))
    varying = cohort_trace(start, matrices, 6)
    constant = cohort_trace(start, matrices[:, :1], 6)
    assert varying.shape == constant.shape == (n_sims, 7, n_states)
    for i in {0, n_sims // 2, n_sims - 1}:
        np.testing.assert_allclose(varying[i], stepwise(start, matrices[i]), rtol=1e-12)
        np.testing.assert_allclose(constant[i], stepwise(start, matrices[i, [0] * 6]), rtol=1e-12)


def test_three_dimensions_that_are_not_the_cycles_are_draws():
    matrices = draws(5, 1, 3)
    np.testing.assert_array_equal(cohort_trace(START, matrices[:, 0], 6), cohort_trace(START, matrices, 6))
    assert cohort_trace(START, matrices[:1, 0], 6).shape == (1, 7, 3)
    assert cohort_trace(START, matrices[:, 0], 5).shape == (6, 3)  # five matrices, five cycles
    assert cohort_trace(START, matrices, 5).shape == (5, 6, 3)  # said plainly: five draws


def test_several_simulation_dimensions_and_starts_of_their_own_broadcast():
    matrices = draws(6, 4, 3).reshape(2, 3, 4, 3, 3)
    starts = np.random.default_rng(2).dirichlet(np.ones(3), 3)
    trace = cohort_trace(starts, matrices, 4)
    assert trace.shape == (2, 3, 5, 3)
    np.testing.assert_allclose(trace[1, 2], stepwise(starts[2], matrices[1, 2]), rtol=1e-13)
    shared_matrices = cohort_trace(starts, matrices[0, 0], 4)
    np.testing.assert_allclose(shared_matrices[1], stepwise(starts[1], matrices[0, 0]), rtol=1e-13)
    repeated = np.broadcast_to(FORTH, (2000, 1, 3, 3))
    np.testing.assert_allclose(cohort_trace(START, repeated, 4)[1999], stepwise(START, [FORTH] * 4), rtol=1e-13)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_row_of_a_trace_is_a_distribution(data: st.DataObject):
    n_sims, n_cycles, n_states = (data.draw(st.integers(1, high)) for high in (3, 12, 10))
    shares = st.lists(st.integers(0, 50), min_size=n_states, max_size=n_states).filter(any)
    counts = np.array([[data.draw(shares) for _ in range(n_states)] for _ in range(n_sims)], dtype=float)
    matrices = counts / counts.sum(axis=-1, keepdims=True)
    start = np.array(data.draw(shares), dtype=float)
    trace = cohort_trace(start / start.sum(), matrices[:, None], n_cycles)
    np.testing.assert_allclose(trace.sum(axis=-1), 1.0, rtol=1e-12)
    assert trace.min() >= 0.0
    assert trace.max() <= 1.0 + 1e-12


def changed(value: float, *, at: tuple[int, ...] = (1, 1)) -> np.ndarray:
    matrix = FORTH.copy()
    matrix[at] = value
    return matrix


@pytest.mark.parametrize(
    ("initial", "transitions", "n_cycles", "named", "found"),
    [
        (START, changed(0.69), 5, "transitions", "0.99 in row [1]"),
        (START, np.stack([FORTH] * 4 + [changed(0.69)]), 5, "transitions", "0.99 in row [4, 1]"),
        (START, np.stack([[FORTH]] * 9 + [[changed(0.69)]]), 5, "transitions", "0.99 in row [9, 0, 1]"),
        (START, [[1.1, -0.1, 0], [0, 1, 0], [0, 0, 1]], 5, "transitions", "-0.1 in row [0]"),
        (START, changed(np.nan), 5, "transitions", "nan in row [1]"),
        (START, changed(np.inf), 5, "transitions", "inf in row [1]"),
        (START, changed(-np.inf), 5, "transitions", "-inf in row [1]"),
        (START, FORTH[:2], 5, "transitions", "(2, 3)"),
        (START, FORTH[0], 5, "transitions", "(3,)"),
        (START, np.ones((0, 0)), 5, "transitions", "(0, 0)"),
        (START, draws(2, 4, 3), 5, "transitions", "(2, 4, 3, 3)"),
        (START, [["a", "b"], ["c", "d"]], 5, "transitions", "not an array of numbers"),
        (START, [[0.5, 0.5], [1.0]], 5, "transitions", "not an array of numbers"),
        (START[:2], FORTH, 5, "initial", "(2,)"),
        (1.0, FORTH, 5, "initial", "()"),
        ([0.5, 0.4, 0.0], FORTH, 5, "initial", "0.9"),
        ([1.5, -0.5, 0.0], FORTH, 5, "initial", "-0.5"),
        ([np.nan, 1, 0], FORTH, 5, "initial", "nan"),
        (np.tile(START, (4, 1)), draws(2, 5, 3), 5, "initial", "(4,)"),
        (START, FORTH, -1, "n_cycles", "-1"),
        (START, FORTH, 2.5, "n_cycles", "2.5"),
        (START, FORTH, np.nan, "n_cycles", "nan"),
        (START, FORTH, "ten", "n_cycles", "not an array of numbers"),
        (START, FORTH, [5], "n_cycles", "[5]"),
    ],
)
def test_a_trace_names_the_input_that_cannot_be(initial, transitions, n_cycles, named: str, found: str):
    with pytest.raises(InputError) as error:
        cohort_trace(initial, transitions, n_cycles)
    assert error.value.name == named
    assert found in error.value.found


def test_the_rounding_of_a_remainder_is_no_negative_probability():
    stay = 1 - (0.3 + 0.6 + 0.1 + 1e-15)
    assert stay < 0
    matrix = [[stay, 0.3, 0.6, 0.1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(cohort_trace([1, 0, 0, 0], matrix, 1)[1], [0, 0.3, 0.6, 0.1], atol=1e-14)


@pytest.mark.parametrize(
    ("method", "n_cycles", "expected"),
    [
        ("none", 3, [1, 1, 1, 1]),
        ("half-cycle", 1, [1 / 2, 1 / 2]),
        ("half-cycle", 4, [1 / 2, 1, 1, 1, 1 / 2]),
        ("simpson", 1, [1 / 2, 1 / 2]),
        ("simpson", 2, [1 / 3, 4 / 3, 1 / 3]),
        ("simpson", 3, [3 / 8, 9 / 8, 9 / 8, 3 / 8]),
        ("simpson", 6, [1 / 3, 4 / 3, 2 / 3, 4 / 3, 2 / 3, 4 / 3, 1 / 3]),
        ("simpson", 7, [1 / 3, 4 / 3, 2 / 3, 4 / 3, 1 / 3 + 3 / 8, 9 / 8, 9 / 8, 3 / 8]),
        ("simpson-darth", 1, [1 / 3, 1 / 3]),
        ("simpson-darth", 4, [1 / 3, 2 / 3, 4 / 3, 2 / 3, 1 / 3]),
        ("simpson-darth", 5, [1 / 3, 2 / 3, 4 / 3, 2 / 3, 4 / 3, 1 / 3]),
    ],
)
def test_the_weights_are_those_of_the_rule(method: str, n_cycles: int, expected: list[float]):
    np.testing.assert_allclose(within_cycle_weights(n_cycles, method), expected, rtol=1e-15)


@settings(max_examples=50, deadline=None)
@given(n_cycles=st.integers(1, 200), method=st.sampled_from(["half-cycle", "simpson"]))
def test_integrating_weights_add_up_to_the_time(n_cycles: int, method: str):
    weights = within_cycle_weights(n_cycles, method)
    assert weights.sum() == pytest.approx(n_cycles, rel=1e-12)
    assert weights.min() > 0


@pytest.mark.parametrize("n_cycles", [2, 3, 10, 11])
def test_simpsons_rule_is_exact_for_a_cubic_and_the_exchanged_one_is_not(n_cycles: int):
    t = np.arange(n_cycles + 1.0)
    cubic, integral = 2 + t - 3 * t**2 + t**3, 2 * t[-1] + t[-1] ** 2 / 2 - t[-1] ** 3 + t[-1] ** 4 / 4
    assert within_cycle_weights(n_cycles, "simpson") @ cubic == pytest.approx(integral, rel=1e-12)
    assert within_cycle_weights(n_cycles, "simpson-darth") @ cubic != pytest.approx(integral, rel=1e-4)


@pytest.mark.parametrize(
    ("n_cycles", "method", "named"),
    [(10, "trapezoid", "method"), (10, None, "method"), (0, "none", "n_cycles"), (-3, "simpson", "n_cycles")],
)
def test_weights_name_the_input_that_cannot_be(n_cycles: int, method: str, named: str):
    with pytest.raises(InputError) as error:
        within_cycle_weights(n_cycles, method)
    assert error.value.name == named


def test_a_rate_becomes_the_probability_of_the_cycle():
    assert rate_to_probability(0.15) == pytest.approx(1 - np.exp(-0.15), rel=1e-14)
    np.testing.assert_allclose(rate_to_probability([0.5, 2.0], 0.25), 1 - np.exp([-0.125, -0.5]), rtol=1e-14)
    assert rate_to_probability(1e-12, 1 / 12) == pytest.approx(1e-12 / 12, rel=1e-10)  # not lost to rounding


@settings(max_examples=50, deadline=None)
@given(rate=st.floats(1e-9, 5), years=st.floats(0.01, 5))
def test_rates_and_probabilities_convert_back_and_forth(rate: float, years: float):
    back = probability_to_rate(rate_to_probability(rate, years), years)
    assert back == pytest.approx(rate, rel=1e-9 if rate * years < 10 else 1e-4)


@pytest.mark.parametrize(
    ("function", "value", "years", "named"),
    [
        (rate_to_probability, [0.1, -0.1], 1, "rate"),
        (rate_to_probability, np.nan, 1, "rate"),
        (rate_to_probability, np.inf, 1, "rate"),
        (rate_to_probability, 0.1, 0, "cycle_length_years"),
        (rate_to_probability, 0.1, -1, "cycle_length_years"),
        (rate_to_probability, 0.1, [1, 2], "cycle_length_years"),
        (probability_to_rate, [0.5, 1.0], 1, "probability"),
        (probability_to_rate, -0.01, 1, "probability"),
        (probability_to_rate, 1.2, 1, "probability"),
        (probability_to_rate, np.nan, 1, "probability"),
        (probability_to_rate, 0.5, np.inf, "cycle_length_years"),
    ],
)
def test_conversions_name_the_input_that_cannot_be(function, value, years, named: str):
    with pytest.raises(InputError) as error:
        function(value, years)
    assert error.value.name == named


def generators(n_sims: int, n_states: int, scale: float, seed: int = 3) -> np.ndarray:
    """Random generators (sim, state, state), a third of the rates 0, the last state absorbing."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.5, scale, (n_sims, n_states, n_states)) * (rng.random((n_states, n_states)) < 2 / 3)
    rates[:, -1] = 0
    rates *= 1 - np.eye(n_states)
    return rates - rates.sum(axis=-1)[..., None] * np.eye(n_states)


def test_two_competing_risks_share_the_probability_of_leaving():
    generator = [[-0.5, 0.3, 0.2], [0, 0, 0], [0, 0, 0]]
    leaving = 1 - np.exp(-0.5 * 0.25)
    expected = [[1 - leaving, leaving * 0.6, leaving * 0.4], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(generator_to_transitions(generator, 0.25), expected, rtol=1e-14, atol=0)


def test_two_moves_fit_in_one_cycle():
    a, b, years = 0.7, 1.9, 0.5  # well -> ill -> dead: the illness-death model without direct death
    transitions = generator_to_transitions([[-a, a, 0], [0, -b, b], [0, 0, 0]], years)
    ill = a / (b - a) * (np.exp(-a * years) - np.exp(-b * years))
    np.testing.assert_allclose(transitions[0], [np.exp(-a * years), ill, 1 - np.exp(-a * years) - ill], rtol=1e-13)
    assert transitions[0, 2] > 0


@pytest.mark.parametrize(("n_states", "scale"), [(2, 0.01), (4, 0.3), (10, 1.0), (25, 30.0)])
def test_the_matrix_exponential_is_that_of_scipy(n_states: int, scale: float):
    generator = generators(20, n_states, scale)
    transitions = generator_to_transitions(generator, 0.25)
    np.testing.assert_allclose(transitions, expm(0.25 * generator), rtol=1e-10, atol=1e-13)
    np.testing.assert_allclose(transitions.sum(axis=-1), 1.0, rtol=1e-14)
    assert transitions.min() >= 0.0


def test_one_draw_does_not_change_the_others():
    mixed = np.concatenate([generators(3, 5, 0.01), generators(1, 5, 500.0)])
    np.testing.assert_allclose(
        generator_to_transitions(mixed)[:3], generator_to_transitions(mixed[:3]), rtol=1e-11, atol=1e-16
    )


def test_four_quarters_are_a_year_and_no_rate_is_no_move():
    generator = generators(1, 6, 0.4)[0]
    quarter = generator_to_transitions(generator, 0.25)
    year = generator_to_transitions(generator, 1.0)
    np.testing.assert_allclose(np.linalg.matrix_power(quarter, 4), year, rtol=1e-12, atol=1e-16)
    np.testing.assert_array_equal(generator_to_transitions(np.zeros((2, 3, 3))), [np.eye(3)] * 2)


@pytest.mark.parametrize(
    ("generator", "years", "named"),
    [
        ([[-0.1, 0.2], [0, 0]], 1, "generator"),
        ([[0.1, -0.1], [0, 0]], 1, "generator"),
        ([[np.nan, 0.1], [0, 0]], 1, "generator"),
        ([[-np.inf, np.inf], [0, 0]], 1, "generator"),
        (np.zeros((2, 3)), 1, "generator"),
        ([0.0], 1, "generator"),
        (np.zeros((2, 2)), 0, "cycle_length_years"),
    ],
)
def test_a_generator_that_cannot_be_is_named(generator, years, named: str):
    with pytest.raises(InputError) as error:
        generator_to_transitions(generator, years)
    assert error.value.name == named


@pytest.mark.parametrize(
    "values",
    [
        [["1", "0"], ["0", "1"]],
        np.array([["1", "0"], ["0", "1"]], dtype=object),
        [[b"1", b"0"], [b"0", b"1"]],
        [[1 + 0j, 0], [0, 1]],
        np.array([[1 + 2j, 0], [0, 1]], dtype=object),
        np.array([[np.complex64(1), 0], [0, 1]], dtype=object),
        np.array([[1, 0], [0, 1]], dtype="timedelta64[s]"),
        [[1, {}], [0, 1]],
    ],
    ids=["text", "text as objects", "bytes", "complex", "complex as objects", "short complex", "times", "mapping"],
)
def test_text_complex_numbers_and_times_are_no_numbers(values):
    with pytest.raises(InputError, match="not an array of numbers"):
        cohort_trace([1, 0], values, 2)


def test_whole_numbers_truth_values_decimals_and_frames_of_objects_are_numbers():
    expected = [[1, 0], [0, 1], [1, 0]]
    turn = np.array([[0, 1], [1, 0]])
    for values in (
        turn,
        turn.astype(bool),
        np.vectorize(Decimal, otypes=[object])(turn),
        pd.DataFrame(turn, dtype=object),
    ):
        assert cohort_trace([1, 0], values, 2).tolist() == expected
