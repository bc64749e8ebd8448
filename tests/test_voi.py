"""Values of information agree with closed forms, with published samples, and with each other's bounds."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, ndtri
from scipy.stats import norm
from threadpoolctl import threadpool_info

from market.errors import InputError
from market.voi import evpi, evppi, known_outcomes, population_evpi

N_SIM = 10_000


def r_normals(seed: int, n: int) -> np.ndarray:
    """What set.seed(seed); rnorm(n) gives in R: a Mersenne Twister and, two uniforms a value, inversion.

    R scrambles the seed with the multiplier 69069 and fills the state of the twister with it (help page
    "Random" of R: kind "Mersenne-Twister", normal.kind "Inversion").
    """
    words = np.empty(625, dtype=np.uint32)
    for k in range(-50, 625):
        seed = (69069 * seed + 1) % 2**32
        words[max(k, 0)] = seed
    twister = np.random.MT19937()
    twister.state = {"bit_generator": "MT19937", "state": {"key": words[1:], "pos": 624}}
    first, second = (twister.random_raw(2 * n) / 2**32).reshape(n, 2).T
    return ndtri((np.floor(2**27 * first) + second) / 2**27)


def stratified_normals(n: int, columns: int, seed: int) -> np.ndarray:
    """(n, columns) standard normal values at evenly spaced probabilities, each column in an order of its own."""
    rng = np.random.default_rng(seed)
    return norm.ppf((np.column_stack([rng.permutation(n) for _ in range(columns)]) + 0.5) / n)


def unit_normal_loss(x: float) -> float:
    """E max(0, Z - x) of a standard normal Z (Raiffa and Schlaifer 1961)."""
    return norm.pdf(x) - x * norm.sf(x)


@pytest.fixture(scope="module")
def voi_example() -> tuple[np.ndarray, pd.DataFrame]:
    """Net benefit and parameters of the introduction to the R package voi: set.seed(1), 10,000 draws."""
    z = r_normals(1, 2 * N_SIM)
    parameters = pd.DataFrame({"p1": 1 + z[:N_SIM], "p2": 2 * z[N_SIM:]})
    return np.column_stack([np.zeros(N_SIM), parameters["p1"] - parameters["p2"]]), parameters


@pytest.fixture(scope="module")
def curved_example() -> tuple[np.ndarray, pd.DataFrame]:
    """Three strategies, products and curves of four skewed parameters, and noise that none of them explains."""
    z = r_normals(2, 5 * N_SIM).reshape(5, N_SIM)
    p, hr, cost, u = expit(-1 + 0.4 * z[0]), np.exp(-0.3 + 0.25 * z[1]), np.exp(6 + 0.5 * z[2]), 0.7 + 0.05 * z[3]
    net_benefit = np.column_stack(
        [
            np.zeros(N_SIM),
            9000 * p * (1 - hr) * u - 1.2 * cost + 900 * z[4],
            7000 * p * (1.2 - hr) - 0.8 * cost * p + 400 * u**2 + 700 * z[4] ** 2 - 1100,
        ]
    )
    return net_benefit, pd.DataFrame({"p": p, "hr": hr, "cost": cost, "u": u})


def test_the_vaccine_example_has_its_published_evpi(shared):
    folder = shared.parent / "market"
    if not folder.is_dir():
        pytest.skip("needs ../shared/market, which is not on this machine")
    cost, effect = (
        np.loadtxt(folder / "bcea_vaccine" / f"vaccine_{name}.csv", delimiter=",", skiprows=1)
        for name in ("cost", "eff")
    )
    published = json.loads((folder / "worked_examples.json").read_text())["bcea_vaccine"]["by_wtp"]
    found = evpi(cost, effect, [float(wtp) for wtp in published])
    np.testing.assert_allclose(found, [point["evpi"] for point in published.values()], rtol=1e-9)
    assert evpi(cost, effect, 25_000) == pytest.approx(2.4144669543744683, rel=1e-9)


def test_the_published_example_of_voi_has_its_evpi(voi_example):
    # Introduction to voi 0.1, https://chjackson.github.io/voi/articles/voi.html of 2022-05-11, "Using the voi
    # package to calculate EVPI": thresholds 1, 2, 3.
    zero, parameters = np.zeros(N_SIM), voi_example[1]
    cost, effect = (np.column_stack([zero, parameters[name]]) for name in ("p2", "p1"))
    np.testing.assert_allclose(evpi(cost, effect, [1, 2, 3]), [0.4759885, 0.4028003, 0.4174207], rtol=2e-7)


@pytest.mark.parametrize(
    ("names", "published"), [(["p1"], 0.08210074), (["p2"], 0.39029827), (["p1", "p2"], 0.47598851)]
)
def test_the_published_example_of_voi_has_its_evppi(voi_example, names, published):
    # The same page, "Invoking the evppi function", default method: mgcv's gam on te(..., bs="cr").
    net_benefit, parameters = voi_example
    # To the tolerance at which mgcv stops to smooth.
    assert evppi(net_benefit, parameters[names]) == pytest.approx(published, rel=2e-6)


def test_the_published_example_of_voi_has_its_strong_and_oakley_estimate(voi_example):
    # The same page, "Single-parameter methods": method="so", n.blocks=20.
    net_benefit, parameters = voi_example
    assert evppi(net_benefit, parameters[["p1"]], "strong-oakley", n_blocks=20) == pytest.approx(
        0.07997543, rel=2e-7
    )


@pytest.mark.parametrize(
    ("names", "mgcv", "tolerance"),
    [
        (["p"], 0.0027287775531, 1e-3),
        (["hr"], 22.4400220604, 1e-5),
        (["cost"], 0.0, 0),
        (["p", "hr"], 24.2343539178, 2e-5),
        # With three parameters or more the smoothing score has several minima, and the two search differently.
        (["p", "hr", "cost"], 24.9855641694, 0.01),
        (["p", "hr", "cost", "u"], 25.9331284514, 0.01),
    ],
)
def test_the_regression_is_that_of_mgcv(curved_example, names, mgcv, tolerance):
    # Computed on this sample with R 4.2.2 and mgcv 1.8-41: gam(y ~ te(..., bs = "cr")), k = 4 with four parameters.
    net_benefit, parameters = curved_example
    assert evppi(net_benefit, parameters[names]) == pytest.approx(mgcv, rel=tolerance, abs=1e-9)


@pytest.mark.parametrize("method", ["gam", "strong-oakley"])
@pytest.mark.parametrize(("mean", "slope"), [(0.0, 3.0), (2.0, 3.0), (-1.0, 0.5)])
def test_a_linear_normal_model_has_its_closed_form(method, mean, slope):
    z = stratified_normals(N_SIM, 2, seed=0)
    net_benefit = np.column_stack([np.full(N_SIM, 7.0), 7.0 + mean + slope * z[:, 0] + 2 * z[:, 1]])
    exact = slope * unit_normal_loss(abs(mean) / slope)
    found = evppi(net_benefit, pd.DataFrame({"x": 50 + 4 * z[:, 0]}), method)
    # The orders of the two columns correlate by about 1 / sqrt(10,000), which is part of either estimate.
    assert found == pytest.approx(exact, rel=0.05, abs=0.005)
    assert evpi(-net_benefit, np.zeros_like(net_benefit), 0) == pytest.approx(
        np.hypot(slope, 2) * unit_normal_loss(abs(mean) / np.hypot(slope, 2)), rel=0.03
    )


@pytest.mark.parametrize("others", [0, 1, 4], ids=["2 parameters", "3 parameters", "6 parameters"])
def test_an_interaction_is_found_that_no_parameter_shows_alone(others):
    # E max(0, XZ) = E |XZ| / 2 = (2 / pi) / 2 for standard normal X and Z; knowing only one, E XZ stays 0.
    z = stratified_normals(N_SIM, 3 + others, seed=1)
    known = z[:, 0] * z[:, 1]
    net_benefit = np.column_stack([np.zeros(N_SIM), known + 0.5 * z[:, 2]])
    parameters = pd.DataFrame(z[:, [0, 1, *range(3, 3 + others)]]).add_prefix("x")
    of_this_sample = np.maximum(known, 0).mean() - max(known.mean(), 0)
    assert of_this_sample == pytest.approx(1 / np.pi, rel=0.06)
    assert evppi(net_benefit, parameters) == pytest.approx(of_this_sample, rel=0.02)
    assert evppi(net_benefit, parameters[["x0"]]) < 0.02


def test_knowing_everything_is_worth_the_evpi(curved_example):
    net_benefit, parameters = curved_example
    known = net_benefit.copy()
    noise = (
        known[:, 1] - 9000 * parameters["p"] * (1 - parameters["hr"]) * parameters["u"] + 1.2 * parameters["cost"]
    ) / 900
    found = evppi(net_benefit, parameters.assign(noise=noise))
    everything = evpi(-net_benefit, np.zeros_like(net_benefit), 0)
    assert 0.98 * everything < found <= everything


def test_ten_parameters_that_do_not_matter_add_little_to_four_that_do(curved_example):
    net_benefit, parameters = curved_example
    others = pd.DataFrame(np.random.default_rng(5).gamma(2, size=(N_SIM, 10))).add_prefix("other")
    found = evppi(net_benefit, pd.concat([parameters, others], axis=1))
    # 24.83 is the mean of this sample if the noise is known to have mean 0 (square 1), exact but for the draws.
    assert found == pytest.approx(24.83, rel=0.1)


def test_columns_that_say_nothing_new_change_nothing(curved_example):
    net_benefit, parameters = curved_example
    wanted = evppi(net_benefit, parameters[["p", "hr"]])
    more = parameters[["p", "hr"]].assign(
        constant=3.0,
        copy=parameters["p"],
        odds=parameters["p"] / (1 - parameters["p"]),
        total=parameters["p"] - 2 * parameters["hr"],
    )
    assert evppi(net_benefit, more) == wanted
    assert evppi(net_benefit, pd.DataFrame({"constant": np.full(N_SIM, 0.1)})) == 0
    assert evppi(net_benefit, pd.DataFrame({"constant": np.full(N_SIM, 0.1)}), "strong-oakley") == 0


@pytest.mark.parametrize("method", ["gam", "strong-oakley"])
@pytest.mark.parametrize("levels", [2, 3, 5])
def test_a_parameter_of_few_whole_numbers_is_worth_what_its_group_means_say(method, levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=N_SIM)
    increment = np.array([-1.0, 2.0, -0.5, 0.4, -3.0, 1.0, 0.2])[x] + rng.normal(size=N_SIM)
    means = np.array([increment[x == level].mean() for level in range(levels)])[x]
    exact = np.maximum(means, 0).mean() - max(means.mean(), 0)
    found = evppi(np.column_stack([np.zeros(N_SIM), increment]), pd.DataFrame({"x": x}), method)
    # A spline of 5 knots meets up to 5 levels, and is smoothed a little.
    assert found == pytest.approx(exact, rel=1e-12 if method == "strong-oakley" else 1e-3)


def test_levels_that_differ_by_rounding_only_are_one():
    rng = np.random.default_rng(3)
    x = rng.integers(3, size=N_SIM)
    net_benefit = np.column_stack([np.zeros(N_SIM), x - 0.9 + rng.normal(size=N_SIM)])
    noisy = 0.1 * x * (1 + 1e-15 * rng.integers(-2, 3, size=N_SIM))
    whole = evppi(net_benefit, pd.DataFrame({"x": x}))
    assert evppi(net_benefit, pd.DataFrame({"x": noisy})) == pytest.approx(whole, rel=1e-6)


def test_the_order_of_strategies_hardly_matters_and_the_unit_not_at_all(curved_example):
    net_benefit, parameters = curved_example
    wanted = evppi(net_benefit, parameters[["hr"]])
    assert evppi(1000 * net_benefit, 5 * parameters[["hr"]] - 3) == pytest.approx(1000 * wanted, rel=1e-5)
    assert evppi(net_benefit + 1e6, parameters[["hr"]]) == pytest.approx(wanted, rel=1e-5)
    assert evppi(net_benefit[:, [2, 0, 1]], parameters[["hr"]]) == pytest.approx(wanted, rel=0.02)


def test_memory_is_bounded_by_chunks_that_change_nothing(curved_example, monkeypatch):
    net_benefit, parameters = curved_example
    wanted = evppi(net_benefit, parameters[["p", "hr"]])
    monkeypatch.setattr("market.voi.CHUNK_VALUES", 25 * 777)
    assert evppi(net_benefit, parameters[["p", "hr"]]) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("method", ["gam", "strong-oakley"])
def test_one_strategy_or_equal_ones_leave_nothing_to_decide(method):
    rng = np.random.default_rng(0)
    net_benefit, parameters = rng.normal(size=(200, 1)), pd.DataFrame({"x": rng.normal(size=200)})
    assert evppi(net_benefit, parameters, method) == 0
    assert evppi(np.repeat(net_benefit, 3, axis=1), parameters, method) == 0
    assert evpi(net_benefit, net_benefit, [0, 10]).tolist() == [0, 0]
    assert evpi(net_benefit, net_benefit, 10) == 0


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(3, 80),
    n_strategies=st.integers(1, 4),
    n_parameters=st.integers(1, 6),
    kind=st.sampled_from(["normal", "whole", "skewed", "same"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_evppi_lies_between_zero_and_evpi(n, n_strategies, n_parameters, kind, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + n_parameters, n_parameters))
    x = {"normal": x, "whole": np.round(x), "skewed": np.exp(3 * x), "same": np.repeat(x[:, :1], n_parameters, 1)}[
        kind
    ]
    net_benefit = x @ rng.normal(size=(n_parameters, n_strategies)) + rng.normal(size=(len(x), n_strategies))
    upper = evpi(-net_benefit, np.zeros_like(net_benefit), 0)
    parameters = pd.DataFrame(x).add_prefix("x")
    assert 0 <= evppi(net_benefit, parameters) <= upper
    assert 0 <= evppi(net_benefit, parameters[["x0"]], "strong-oakley") <= upper
    if n_strategies == 1:
        assert upper == 0


def test_with_few_draws_the_regression_becomes_simpler_and_at_last_refuses():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(600, 4))).add_prefix("x")
    net_benefit = np.column_stack([np.zeros(600), x.sum(axis=1)])
    for n in (600, 300, 30, 7, 6):  # tensor product, products of pairs, splines, lines
        assert 0 <= evppi(net_benefit[:n], x[:n]) <= evpi(-net_benefit[:n], 0 * net_benefit[:n], 0)
    with pytest.raises(InputError, match=r"parameters: found 5 draws of 4 parameters; expected at least 6 draws"):
        evppi(net_benefit[:5], x[:5])


def test_the_population_value_is_discounted_from_the_second_year_on():
    assert population_evpi(2.5, [100, 200, 50], 0.0) == pytest.approx(875)
    assert population_evpi(2.5, [100, 200, 50], 0.05) == pytest.approx(
        2.5 * (100 + 200 / 1.05 + 50 / 1.05**2), rel=1e-14
    )
    np.testing.assert_allclose(population_evpi([1.0, 3.0], [10, 10], 0.03), np.array([1, 3]) * (10 + 10 / 1.03))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, [10], 0.03), "value: found -1.0"),
        ((np.nan, [10], 0.03), "value: found nan"),
        ((1.0, [], 0.03), "people_per_year: found"),
        ((1.0, [10, -1], 0.03), "people_per_year: found"),
        ((1.0, 10.0, 0.03), "people_per_year: found 10.0"),
        ((1.0, [10], -1.0), "annual_rate: found -1.0"),
    ],
)
def test_an_unusable_population_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        population_evpi(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"net_benefit": np.zeros((50, 2, 2))}, "net_benefit: found shape"),
        ({"net_benefit": np.full((50, 2), np.nan)}, "net_benefit: found nan at draw 0"),
        ({"parameters": pd.DataFrame({"x": np.zeros(49)})}, "parameters: found 49 draws; expected 50"),
        ({"parameters": pd.DataFrame({"x": np.full(50, np.inf), "y": np.ones(50)})}, "infinite values in x"),
        ({"parameters": pd.DataFrame({"x": ["a"] * 50})}, "parameters: found values that are not numbers"),
        ({"parameters": pd.DataFrame(index=range(50))}, "parameters: found shape"),
        ({"method": "gp"}, "method: found 'gp'"),
        (
            {"method": "strong-oakley"},
            "parameters: found 2 columns; expected one column for method 'strong-oakley'",
        ),
        ({"n_blocks": 5}, "n_blocks: found 5 with method 'gam'"),
    ],
)
def test_unusable_arguments_are_named(change, message):
    rng = np.random.default_rng(0)
    usable = {
        "net_benefit": rng.normal(size=(50, 2)),
        "parameters": pd.DataFrame({"x": rng.normal(size=50), "y": rng.normal(size=50)}),
    }
    with pytest.raises(InputError, match=message):
        evppi(**(usable | change))


@pytest.mark.parametrize("n_blocks", [0, 51, 2.5])
def test_a_number_of_blocks_must_be_a_whole_one_within_the_draws(n_blocks):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=f"n_blocks: found {n_blocks}"):
        evppi(rng.normal(size=(50, 2)), pd.DataFrame({"x": rng.normal(size=50)}), "strong-oakley", n_blocks)


def test_a_busy_machine_does_not_hold_up_the_regressions_as_each_works_on_one_thread(monkeypatch):
    threads, factor = set(), np.linalg.qr

    def watched(*arguments, **options):
        threads.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")
        return factor(*arguments, **options)

    monkeypatch.setattr(np.linalg, "qr", watched)
    x = stratified_normals(300, 2, 1)
    known_outcomes(x * x[:, ::-1] + x, pd.DataFrame(x, columns=["one", "two"]))
    assert threads == {1}
