"""The Bass curve keeps its identities; its fits agree with published ones and find the curve again."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from market.adoption import bass_adopters, bass_cumulative, bass_rate, fit_bass, peak_time
from market.errors import InputError

METHODS = ("density-nls", "srinivasan-mason", "ols")

sizes = st.floats(1, 1e6)
innovation = st.floats(1e-5, 0.3)
imitation = st.floats(0, 1.5)


@pytest.fixture(scope="module")
def vcr(shared):
    path = shared.parent / "market" / "worked_examples.json"
    if not path.is_file():
        pytest.skip("needs ../shared/market, which is not on this machine")
    return json.loads(path.read_text())["bass_vcr"]


def test_the_density_fit_of_video_recorders_is_the_published_one(vcr):
    # m, p, q, standard errors and peak to the digits that ../shared/market/README.md gives.
    fit, published = fit_bass(vcr["sales"]), vcr["density_nls"]
    assert (round(fit.m, 3), round(fit.p, 8), round(fit.q, 8)) == (67980.908, 0.00659396, 0.63809127)
    assert (round(fit.se_m, 2), round(fit.se_p, 8), round(fit.se_q, 7)) == (3127.52, 0.00143026, 0.0413959)
    assert round(fit.peak_time, 2) == 7.09
    # The file has more digits, as many as the fit behind them had converged.
    found = (
        fit.m,
        fit.p,
        fit.q,
        fit.se_m,
        fit.se_p,
        fit.se_q,
        fit.residual_standard_error,
        fit.peak_time,
        fit.peak_rate,
    )
    keys = ("M", "P", "Q", "se", "rse", "peak_t", "peak_rate")
    np.testing.assert_allclose(found, np.hstack([published[key] for key in keys]), rtol=1e-7)
    assert fit.degrees_of_freedom == 7


def test_the_other_two_fits_of_video_recorders_are_the_published_ones(vcr):
    fit, published = fit_bass(vcr["sales"], "srinivasan-mason"), vcr["srinivasan_mason_nls"]
    found = (fit.m, fit.p, fit.q, fit.residual_standard_error)
    np.testing.assert_allclose(found, [published[key] for key in ("M", "P", "Q", "rse")], rtol=1e-7)
    fit, published = fit_bass(vcr["sales"], "ols"), vcr["bass1969_ols"]
    np.testing.assert_allclose((fit.m, fit.p, fit.q), [published[key] for key in "mpq"], rtol=1e-9)


@settings(max_examples=50, deadline=None)
@given(sizes, innovation, imitation)
def test_adopters_add_up_rates_are_slopes_and_nobody_adopts_before_the_launch(m, p, q):
    t = np.arange(1, 60)
    cumulative = bass_cumulative(t, m, p, q)
    assert ((cumulative >= 0) & (cumulative <= m * (1 + 1e-12))).all()
    np.testing.assert_allclose(np.cumsum(bass_adopters(t, m, p, q)), cumulative, rtol=1e-9)
    assert (bass_cumulative([-3.0, 0.0], m, p, q) == 0).all()
    assert bass_rate(-0.1, m, p, q) == 0
    # dN/dt = (p + q N / m) (m - N), the equation that the curve solves.
    rate = (p + q * cumulative / m) * (m - cumulative)
    np.testing.assert_allclose(bass_rate(t, m, p, q), rate, rtol=1e-6, atol=1e-9 * m)


@settings(max_examples=50, deadline=None)
@given(sizes, innovation, imitation)
def test_the_rate_is_highest_at_the_time_of_the_peak(m, p, q):
    peak = peak_time(p, q)
    assert (peak > 0) == (q > p)
    around = peak + np.array([-0.01, 0.01])
    assert (bass_rate(around, m, p, q) <= bass_rate(peak, m, p, q)).all()


def test_without_imitation_adoption_is_exponential():
    t = np.array([0.5, 2.0, 10.0])
    np.testing.assert_allclose(bass_cumulative(t, 80, 0.1, 0), 80 * (1 - np.exp(-0.1 * t)), rtol=1e-14)


def test_one_time_gives_a_float_and_many_keep_their_shape():
    for function in (bass_cumulative, bass_adopters, bass_rate):
        assert isinstance(function(3, 100, 0.03, 0.4), float)
        assert function(np.ones((2, 3)), 100, 0.03, 0.4).shape == (2, 3)


@pytest.mark.parametrize(("m", "p", "q"), [(500.0, 0.01, 0.5), (3e6, 0.002, 0.9), (40.0, 0.1, 0.15)])
def test_the_curve_that_made_the_sales_is_found_again(m, p, q):
    t = np.arange(1, 16)
    for method, sales in (("density-nls", bass_rate(t, m, p, q)), ("srinivasan-mason", bass_adopters(t, m, p, q))):
        fit = fit_bass(sales, method)
        np.testing.assert_allclose((fit.m, fit.p, fit.q), (m, p, q), rtol=1e-6)
        assert fit.residual_standard_error < 1e-6 * m
    # Bass 1969: sales that follow the difference equation themselves.
    total, sales = 0.0, []
    for _ in t:
        sales.append((p + q * total / m) * (m - total))
        total += sales[-1]
    np.testing.assert_allclose((fit_bass(sales, "ols").m, fit_bass(sales, "ols").q), (m, q), rtol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_unit_of_sales_changes_m_and_its_error_only(method):
    sales = np.array([840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890])
    whole, small = fit_bass(sales, method), fit_bass(sales / 1e5, method)
    np.testing.assert_allclose(
        (small.p, small.q, small.se_p, small.se_q), (whole.p, whole.q, whole.se_p, whole.se_q), rtol=1e-6
    )
    np.testing.assert_allclose((small.m, small.se_m), (whole.m / 1e5, whole.se_m / 1e5), rtol=1e-6)


@pytest.mark.parametrize("method", ["density-nls", "srinivasan-mason"])
def test_standard_errors_are_those_of_repeated_samples(method):
    t, rng = np.arange(1, 21), np.random.default_rng(4)
    curve = bass_adopters(t, 1000, 0.01, 0.4)
    fits = [fit_bass(curve + rng.normal(scale=2, size=20), method) for _ in range(120)]
    for name in "mpq":
        spread = np.std([getattr(fit, name) for fit in fits], ddof=1)
        claimed = np.mean([getattr(fit, f"se_{name}") for fit in fits])
        # The curve is the second method's own; the first misses it a little and claims more.
        assert 0.75 * spread < claimed
        assert method != "srinivasan-mason" or claimed < 1.3 * spread


def test_standard_errors_of_ols_are_those_of_the_same_regression_written_in_m_p_and_q():
    sales = np.array([840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890])
    fit, before = fit_bass(sales, "ols"), np.cumsum(sales) - sales
    start = (1.1 * fit.m, 0.9 * fit.p, fit.q)
    best, covariance = curve_fit(lambda y, m, p, q: (p + q * y / m) * (m - y), before, sales, start)
    np.testing.assert_allclose((fit.m, fit.p, fit.q), best, rtol=1e-5)
    np.testing.assert_allclose((fit.se_m, fit.se_p, fit.se_q), np.sqrt(np.diag(covariance)), rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "sales", [[1, 2, 4, 8, 16, 32], [1, 1, 1, 1, 1], [10, 8, 6, 5, 4, 3, 2.5], [0, 0, 1, 0, 0]], ids=str
)
def test_sales_that_no_bass_curve_explains_are_refused(method, sales):
    with pytest.raises(InputError, match="sales: found"):
        fit_bass(sales, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("sales", "message"),
    [
        ([1, 2, 3], r"sales: found shape \(3,\); expected numbers from 0 to 1e\+15 for 4 periods"),
        ([1, 2, 3, 1e308], r"sales: found 1e\+308 in period 4"),
        ([[1, 2], [3, 4]], "sales: found shape"),
        ([1, 2, math.nan, 3, 2], "sales: found nan in period 3"),
        ([1, 2, -4, 3, 2], "sales: found -4.0 in period 3"),
        ([0, 0, 0, 0], "sales: found only zeros"),
        (["many"] * 4, "sales: found values that are not numbers"),
    ],
)
def test_unusable_sales_are_named(method, sales, message):
    with pytest.raises(InputError, match=message):
        fit_bass(sales, method)


def test_an_unknown_method_is_named():
    with pytest.raises(
        InputError, match="method: found 'mle'; expected 'density-nls', 'srinivasan-mason' or 'ols'"
    ):
        fit_bass([1, 2, 3, 2, 1], "mle")


@pytest.mark.parametrize("function", [bass_cumulative, bass_adopters, bass_rate])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 0, 0.03, 0.4), "m: found 0"),
        ((1, 100, 0, 0.4), "p: found 0"),
        ((1, 100, -0.03, 0.4), "p: found -0.03"),
        ((1, 100, 0.03, -0.4), "q: found -0.4"),
        ((1, math.inf, 0.03, 0.4), "m: found inf"),
        ((1, 100, math.nan, 0.4), "p: found nan"),
        (([1, math.nan], 100, 0.03, 0.4), "t: found nan"),
        (("soon", 100, 0.03, 0.4), "t: found 'soon'"),
    ],
)
def test_unusable_parameters_are_named(function, arguments, message):
    with pytest.raises(InputError, match=message):
        function(*arguments)
