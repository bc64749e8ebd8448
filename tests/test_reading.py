"""Readers and AI together: the published rules, bounds of dependence, nothing in the AI's favour."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.errors import InputError
from market.parameters import load_parameters
from market.reading import (
    MODES,
    Reading,
    both_positive,
    covariance,
    either_positive,
    minutes_per_screen,
    read_screen,
)

NUMBERS = {
    "reader_sensitivity_first": 0.9,
    "reader_specificity_first": 0.87,
    "reader_sensitivity_later": 0.8,
    "reader_specificity_later": 0.95,
    "reader_dependence_cancer": 0.4,
    "reader_dependence_no_cancer": 0.6,
    "ai_sensitivity": 0.7,
    "ai_specificity": 0.75,
    "ai_dependence_cancer": 0.3,
    "ai_dependence_no_cancer": 0.5,
    "concurrent_sensitivity_gain": 0.02,
    "concurrent_specificity_gain": -0.01,
    "concurrent_seconds_saved": 77.0,
    "second_reader_seconds_added": 37.0,
    "read_seconds": 162.0,
}
probability = st.floats(0.0, 1.0)
dependence = st.floats(-1.0, 1.0)


def joint_table(s: float, a: float, cov: float) -> dict[tuple[int, int], float]:
    """Probability of (reader, AI) answers, 1 for positive, from margins and covariance."""
    return {
        (1, 1): s * a + cov,
        (1, 0): s * (1 - a) - cov,
        (0, 1): (1 - s) * a - cov,
        (0, 0): (1 - s) * (1 - a) + cov,
    }


@given(probability, probability, dependence)
def test_every_dependence_gives_a_joint_table_of_probabilities(s: float, a: float, share: float):
    table = joint_table(s, a, float(covariance(s, a, share)))
    assert min(table.values()) >= -1e-12
    assert sum(table.values()) == pytest.approx(1.0, abs=1e-12)


@given(probability, probability, probability, probability, dependence, dependence)
def test_rules_agree_with_the_sum_over_the_joint_table(s, c, a, b, share, share0):
    cov, cov0 = float(covariance(s, a, share)), float(covariance(c, b, share0))
    cancer, healthy = joint_table(s, a, cov), joint_table(1 - c, 1 - b, cov0)
    either, both = either_positive(s, c, a, b, cov, cov0), both_positive(s, c, a, b, cov, cov0)
    assert either[0] == pytest.approx(cancer[1, 1] + cancer[1, 0] + cancer[0, 1], abs=1e-12)
    assert either[1] == pytest.approx(healthy[0, 0], abs=1e-12)
    assert both[0] == pytest.approx(cancer[1, 1], abs=1e-12)
    assert both[1] == pytest.approx(1 - healthy[1, 1], abs=1e-12)


def test_full_dependence_reaches_the_frechet_bounds_and_none_is_the_product():
    assert covariance(0.9, 0.7, 1.0) == pytest.approx(0.7 - 0.63)
    assert covariance(0.9, 0.7, -1.0) == pytest.approx(0.6 - 0.63)
    assert covariance(0.9, 0.7, 0.0) == 0.0


def test_alike_misses_take_from_a_second_reader_and_give_to_triage():
    alike, apart = ({**NUMBERS, "ai_dependence_cancer": share} for share in (1.0, 0.0))
    for mode, sign in (("second_reader", -1), ("triage", 1)):
        change = read_screen(mode, alike).sensitivity - read_screen(mode, apart).sensitivity
        assert np.sign(change) == sign


def test_triage_reads_what_the_ai_calls_positive():
    # Stand-alone results of BioMILD, workload -74.7 % as published (prevalence 68 of 4104).
    reading = read_screen("triage", {**NUMBERS, "ai_sensitivity": 62 / 68, "ai_specificity": 0.757})
    reads = 68 / 4104 * reading.reads_cancer + (1 - 68 / 4104) * reading.reads_no_cancer
    assert 1 - reads == pytest.approx(0.746, abs=5e-4)


def test_times_are_those_of_the_mode():
    minutes = {mode: float(minutes_per_screen(read_screen(mode, NUMBERS), cancer=False)) for mode in MODES}
    assert minutes["single"] == pytest.approx(162 / 60)
    assert minutes["double"] == pytest.approx(2 * 162 / 60)
    assert minutes["concurrent"] == pytest.approx(85 / 60)
    assert minutes["second_reader"] == pytest.approx(199 / 60)
    assert minutes["triage"] == pytest.approx(0.25 * 162 / 60)


def test_concurrent_gains_stay_within_probabilities():
    changed = {**NUMBERS, "concurrent_sensitivity_gain": 0.5, "concurrent_specificity_gain": -2.0}
    reading = read_screen("concurrent", changed)
    assert (reading.sensitivity, reading.specificity) == (1.0, 0.0)


def test_rounds_differ_and_draws_are_read_at_once():
    draws = {**NUMBERS, "reader_sensitivity_later": np.array([0.7, 0.8, 0.9])}
    later: Reading = read_screen("second_reader", draws)
    assert np.shape(later.sensitivity) == (3,)
    for i, s in enumerate((0.7, 0.8, 0.9)):
        alone = read_screen("second_reader", {**NUMBERS, "reader_sensitivity_later": s})
        assert later.sensitivity[i] == pytest.approx(float(alone.sensitivity), abs=1e-15)
    assert read_screen("single", draws, "first").sensitivity == 0.9


def test_no_unread_gain_of_concurrent_ai_is_taken_and_both_may_vary_as_much():
    entries = load_parameters("us", price_year=2024).parameters
    gains = [entries[f"concurrent_{what}_gain"] for what in ("sensitivity", "specificity")]
    assert [gain.value for gain in gains] == [0.0, 0.0]
    assert (gains[0].low, gains[0].high) == (gains[1].low, gains[1].high)


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        ("triple", {}),
        ("triage", {"ai_sensitivity": 1.2}),
        ("single", {"reader_specificity_later": float("nan")}),
        ("double", {"reader_dependence_cancer": 1.5}),
        ("single", {"reader_sensitivity_later": "0.8"}),
        ("concurrent", {"concurrent_sensitivity_gain": float("inf")}),
        ("concurrent", {"concurrent_seconds_saved": "abc"}),
        ("second_reader", {"second_reader_seconds_added": float("nan")}),
    ],
)
def test_what_cannot_be_read_is_named(mode: str, changes: dict):
    with pytest.raises(InputError) as caught:
        read_screen(mode, {**NUMBERS, **changes})
    assert caught.value.name in {"mode", "dependence", *changes}
