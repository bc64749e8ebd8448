"""Distributions keep the mean that was printed, come as near to its interval as they can, and draw in streams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from market.distributions import (
    TOLERANCE,
    Distribution,
    beta_from_counts,
    fit,
    fit_se,
    misfit,
    uniforms,
)
from market.errors import InputError

U = np.array([1e-6, 0.025, 0.2, 0.5, 0.77, 0.975, 1 - 1e-6])


def exact(distribution: Distribution):
    """The same distribution in scipy.stats."""
    a, *rest = distribution.numbers
    return {
        "normal": lambda: stats.norm(a, *rest),
        "lognormal": lambda: stats.lognorm(*rest, scale=np.exp(a)),
        "gamma": lambda: stats.gamma(a, scale=rest[0]),
        "beta": lambda: stats.beta(a, *rest),
        "uniform": lambda: stats.uniform(a, rest[0] - a),
        "triangular": lambda: stats.triang((rest[0] - a) / (rest[1] - a), a, rest[1] - a),
    }[distribution.kind]()


FITTED = [
    fit("normal", -0.063, -0.1, -0.026),
    fit("lognormal", 0.8, 0.73, 0.93),
    fit("gamma", 162, 111, 212),
    fit("beta", 0.849, 0.808, 0.89),
    fit("uniform", 6.25, 5, 7.5),
    fit("triangular", 2.1, 1, 4),
    fit_se("beta", 0.71, 0.03),
    beta_from_counts(61, 68),
]


@pytest.mark.parametrize("distribution", FITTED, ids=lambda found: f"{found.kind} {found.mean:g}")
def test_quantiles_and_means_are_those_of_scipy_stats(distribution):
    reference = exact(distribution)
    assert distribution.quantile(U) == pytest.approx(reference.ppf(U), rel=1e-9)
    assert distribution.mean == pytest.approx(reference.mean(), rel=1e-9)


def test_a_normal_distribution_reproduces_a_symmetric_interval_exactly():
    found = fit("normal", 10, 10 - 1.959963984540054, 10 + 1.959963984540054)
    assert found.numbers == pytest.approx((10, 1), rel=1e-9)
    assert misfit(found, 10, 10 - 1.959963984540054, 10 + 1.959963984540054) < 1e-9


def test_a_published_interval_of_a_proportion_is_reproduced_within_the_tolerance():
    # Lung-RADS sensitivity at baseline, Pinsky et al. 2015, Ann Intern Med 162:485: 84.9 % (80.8 % to 89.0 %)
    found = fit("beta", 0.849, 0.808, 0.890)
    assert misfit(found, 0.849, 0.808, 0.890) < TOLERANCE
    assert found.mean == 0.849


def test_an_interval_of_another_shape_shows_in_the_misfit():
    assert misfit(fit("normal", 5, 4.9, 8), 5, 4.9, 8) > TOLERANCE
    assert misfit(fit("beta", 0.9, 0.9, 0.95), 0.9, 0.9, 0.95) > TOLERANCE


@given(
    kind=st.sampled_from(["normal", "lognormal", "gamma", "beta"]),
    mean=st.floats(0.01, 0.95),
    below=st.floats(0.02, 0.9),
    above=st.floats(0.02, 0.9),
    other=st.floats(0.2, 5),
)
@settings(max_examples=60, deadline=None)
def test_no_other_spread_comes_nearer_to_the_interval(kind, mean, below, above, other):
    low, high = mean * (1 - below), mean + (1 - mean) * above * 0.9
    found = fit(kind, mean, low, high)
    assert found.mean == mean
    sd = exact(found).std()
    try:
        rival = fit_se(kind, mean, sd * other)
    except InputError:
        return  # no such distribution
    assert misfit(found, mean, low, high) <= misfit(rival, mean, low, high) + 1e-6


def test_the_standard_error_is_the_standard_deviation():
    for kind in ("normal", "lognormal", "gamma", "beta"):
        assert exact(fit_se(kind, 0.3, 0.07)).std() == pytest.approx(0.07, rel=1e-9)


def test_counts_give_a_beta_with_their_share_as_its_mean():
    found = beta_from_counts(68, 4104)
    assert found.numbers == (68, 4036)
    assert found.mean == pytest.approx(68 / 4104)


@pytest.mark.parametrize("distribution", [found for found in FITTED if found.kind in ("gamma", "beta")], ids=str)
def test_draws_from_the_table_are_the_exact_quantiles(distribution):
    u = uniforms("any", 5000, seed=3)
    sd = exact(distribution).std()
    assert np.abs(distribution.draw(u) - distribution.quantile(u)).max() < 1e-6 * sd
    ends = distribution.draw(np.array([2.0**-54, 1 - 2.0**-53]))
    assert np.isfinite(ends).all() and ends[0] < distribution.mean < ends[1]


@pytest.mark.parametrize("alpha_beta", [(0.3, 0.2), (2.5, 0.029), (0.5, 40.0)])
def test_draws_of_lopsided_betas_rise_with_u_and_stay_in_range(alpha_beta):
    distribution = Distribution("beta", alpha_beta, alpha_beta[0] / sum(alpha_beta))
    draws = distribution.draw(np.sort(uniforms("any", 5000, seed=1)))
    assert np.diff(draws).min() >= -1e-12
    assert draws.min() >= -1e-12 and draws.max() <= 1 + 1e-12
    assert draws.mean() == pytest.approx(distribution.mean, abs=0.02)


def test_a_stream_does_not_depend_on_how_it_is_cut():
    whole = uniforms("c_ct", 1000, seed=0)
    parts = [uniforms("c_ct", 300, 0), uniforms("c_ct", 1, 0, 300), uniforms("c_ct", 699, 0, 301)]
    assert np.array_equal(whole, np.concatenate(parts))


def test_streams_of_two_names_or_seeds_are_uncorrelated_and_uniform():
    first, second, third = (uniforms(name, 20_000, seed) for name, seed in (("a", 0), ("b", 0), ("a", 1)))
    for one, other in ((first, second), (first, third)):
        assert abs(np.corrcoef(one, other)[0, 1]) < 5 / np.sqrt(20_000)
    assert first.min() > 0 and first.max() < 1
    assert stats.kstest(first, "uniform").pvalue > 1e-4


def test_a_stream_stays_what_it_is_from_one_version_to_the_next():
    assert uniforms("sens_ct", 2, seed=7) == pytest.approx([0.6994281036, 0.4682872767], abs=1e-9)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: fit("weibull", 1, 0, 2), "weibull"),
        (lambda: fit("gamma", -1, -2, 0), "above 0"),
        (lambda: fit("beta", 1.0, 0.5, 1.0), "between 0 and 1"),
        (lambda: fit("beta", 0.9, 0.5, 1.2), "inside the range"),
        (lambda: fit("normal", 5, 6, 7), "low <= mean"),
        (lambda: fit("normal", 5, 5, 5), "low < high"),
        (lambda: fit("normal", float("nan"), 0, 1), "finite"),
        (lambda: fit("normal", 1), "two finite numbers"),
        (lambda: fit("triangular", 1.1, 1, 4), "2 to 3"),
        (lambda: fit_se("beta", 0.5, 0.5), "below 0.5"),
        (lambda: fit_se("uniform", 0.5, 0.1), "uniform"),
        (lambda: beta_from_counts(0, 10), "0 < events < n"),
        (lambda: beta_from_counts(10, 10), "0 < events < n"),
        (lambda: uniforms("a", -1, 0), "whole number"),
        (lambda: uniforms("a", 1, -1), "whole number"),
        (lambda: uniforms("a", 1, 0.5), "whole number"),
    ],
)
def test_what_cannot_be_fitted_or_drawn_is_refused_by_name(call, word):
    with pytest.raises(InputError, match=word):
        call()
