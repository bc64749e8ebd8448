"""Discounted totals: published models to their digits, sums done by hand, invariants, named errors."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from market.cea import icer_table
from market.cohort import cohort_trace, rate_to_probability, within_cycle_weights
from market.errors import InputError
from market.outcomes import discounted_total

SICK_SICKER = {"SoC": (0, 0.75, 1.0), "A": (12_000, 0.95, 1.0), "B": (13_000, 0.75, 0.6), "AB": (25_000, 0.95, 0.6)}
"""Sick-Sicker strategies: treatment cost in S1 and S2, utility of S1, hazard ratio of S1 to S2."""


@pytest.fixture(scope="module")
def market(shared: Path) -> Path:
    """The folder `market` of ../shared, to read, never to copy."""
    folder = shared.parent / "market"
    if not folder.is_dir():
        pytest.skip("needs ../shared/market, which is not on this machine")
    return folder


@pytest.fixture(scope="module")
def worked(market: Path) -> dict:
    return json.loads((market / "worked_examples.json").read_text())


def by_hand(trace, values, rate, years, weights, transitions=None, rewards=None) -> float:
    """The definition, one term at a time: values (cycle + 1, state), transitions (cycle, state, state)."""
    total, states = 0.0, range(len(trace[0]))
    for t in range(len(trace)):
        amount = sum(trace[t][i] * values[t][i] * years for i in states)
        if rewards is not None and t > 0:
            moves = [(i, j) for i in states for j in states]
            amount += sum(trace[t - 1][i] * transitions[t - 1][i][j] * rewards[i][j] for i, j in moves)
        total += weights[t] * amount / (1 + rate) ** (t * years)
    return total


def sick_sicker(mortality: np.ndarray | float, hazard_ratio: float, years: float = 1.0) -> np.ndarray:
    """Matrices (..., 4, 4) of H, S1, S2, D; death rates of H as given, threefold in S1, tenfold in S2."""
    falls_ill, recovers, worsens = rate_to_probability(np.array([0.15, 0.5, 0.105 * hazard_ratio]), years)
    dies = rate_to_probability(np.multiply.outer(mortality, [1.0, 3.0, 10.0]), years)
    alive = np.array(
        [
            [1 - falls_ill, falls_ill, 0, 0],
            [recovers, 1 - recovers - worsens, worsens, 0],
            [0, 0, 1, 0],
        ]
    )
    transitions = np.zeros((*dies.shape[:-1], 4, 4))
    transitions[..., :3, :] = alive * (1 - dies)[..., None]
    transitions[..., :3, 3] = dies
    transitions[..., 3, 3] = 1
    return transitions


@pytest.mark.parametrize(
    ("example", "method"), [("darth", "simpson-darth"), ("half", "half-cycle"), ("none", "none")]
)
def test_the_sick_sicker_model_gives_the_published_totals(worked: dict, example: str, method: str):
    published = worked[f"sick_sicker_time_indep_wcc_{example}"]
    weights = within_cycle_weights(75, method)
    totals = {}
    for strategy, (treatment, utility, hazard_ratio) in SICK_SICKER.items():
        trace = cohort_trace([1, 0, 0, 0], sick_sicker(0.002, hazard_ratio), 75)
        cost = discounted_total(trace, [2000, 4000 + treatment, 15_000 + treatment, 0], 0.03, 1, weights)
        qaly = discounted_total(trace, [1, utility, 0.5, 0], 0.03, 1, weights)
        totals[strategy] = cost, qaly
        assert cost == pytest.approx(published["results"][strategy]["cost"], rel=1e-12)
        assert qaly == pytest.approx(published["results"][strategy]["qaly"], rel=1e-12)
    table = icer_table(list(totals), *zip(*totals.values(), strict=True))
    frontier = table[table.status == "ND"]
    assert frontier.strategy.tolist() == [row["strategy"] for row in published["frontier"]]
    np.testing.assert_allclose(frontier.icer[1:], [row["icer"] for row in published["frontier"][1:]], rtol=1e-9)
    assert table.status.tolist() == ["ND", "ND", "ND", "D"]


def test_mortality_by_age_and_one_off_rewards_give_the_tutorials_table(market: Path):
    """Alarid-Escudero et al. 2023, Med Decis Making 43:21: their first matrix and table of costs and QALYs.

    Falling ill costs 1,000 once and a utility of 0.01, dying costs 2,000; weights hold for these too.
    """
    life_table = pd.read_csv(market / "life_table" / "LifeTable_USA_Mx_2015.csv")
    mortality = life_table.Total[life_table.Age.between(25, 99)].to_numpy()
    first = sick_sicker(mortality, 1.0)[0]
    np.testing.assert_allclose(first[0], [0.8598357, 0.1391509, 0, 0.001013486], rtol=0, atol=5e-8)
    np.testing.assert_allclose(first[1], [0.3922742, 0.5053157, 0.09937273, 0.003037378], rtol=0, atol=5e-8)
    np.testing.assert_allclose(first[2], [0, 0, 0.98991124, 0.010088764], rtol=0, atol=5e-9)
    cost_of_moves, utility_of_moves = np.zeros((2, 4, 4))
    cost_of_moves[0, 1], cost_of_moves[:3, 3], utility_of_moves[0, 1] = 1000, 2000, -0.01
    weights = within_cycle_weights(75, "simpson-darth")
    totals = {}
    for strategy, (treatment, utility, hazard_ratio) in SICK_SICKER.items():
        transitions = sick_sicker(mortality, hazard_ratio)
        trace = cohort_trace([1, 0, 0, 0], transitions, 75)
        costs, utilities = [2000, 4000 + treatment, 15_000 + treatment, 0], [1, utility, 0.5, 0]
        totals[strategy] = (
            discounted_total(trace, costs, 0.03, 1, weights, transitions, cost_of_moves),
            discounted_total(trace, utilities, 0.03, 1, weights, transitions, utility_of_moves),
        )
    table = icer_table(list(totals), *zip(*totals.values(), strict=True)).set_index("strategy")
    assert table.cost.round().to_dict() == {"SoC": 116_374, "B": 202_536, "AB": 296_300, "A": 218_789}
    assert table.effect.round(3).to_dict() == {"SoC": 18.879, "B": 20.199, "AB": 21.097, "A": 19.636}
    assert table.inc_cost.round()[["B", "AB"]].tolist() == [86_162, 93_764]
    assert table.inc_effect.round(3)[["B", "AB"]].tolist() == [1.320, 0.898]
    assert table.icer.round()[["B", "AB"]].tolist() == [65_288, 104_461]
    assert table.status.to_dict() == {"SoC": "ND", "B": "ND", "AB": "ND", "A": "D"}


def test_the_hiv_model_counted_at_the_end_of_each_cycle_gives_the_books_totals(worked: dict):
    """Briggs, Claxton and Sculpher 2006, example 2.5: costs at 6 %, life-years not discounted."""
    counts = np.array([[1251, 350, 116, 17], [0, 731, 512, 15], [0, 0, 1312, 437], [0, 0, 0, 1]])
    mono = counts / counts.sum(axis=1, keepdims=True)
    treated = np.triu(mono, 1) * 0.509
    treated += np.diag(1 - treated.sum(axis=1))
    lamivudine = np.where(np.arange(21) <= 2, 2086.5, 0.0)
    care = np.array([2756.0 + 2278, 3052.0 + 2278, 9007.0 + 2278, 0.0])  # with zidovudine
    with_lamivudine = care + np.outer(lamivudine, [1, 1, 1, 0])
    at_the_end = [0.0] + [1.0] * 20
    published = worked["dmhee_hiv"]
    got = {}
    for name, transitions, costs in (
        ("mono", mono, care),
        ("comb", np.stack([treated] * 2 + [mono] * 18), with_lamivudine),
    ):
        trace = cohort_trace([1, 0, 0, 0], transitions, 20)
        got[name] = (
            discounted_total(trace, costs, 0.06, 1, at_the_end),
            discounted_total(trace, [1, 1, 1, 0], 0.0, 1, at_the_end),
        )
        assert got[name][0] == pytest.approx(published[name]["cost"], rel=1e-12)
        assert got[name][1] == pytest.approx(published[name]["ly"], rel=1e-12)
    (cost, years), (comb_cost, comb_years) = got["mono"], got["comb"]
    assert (comb_cost - cost) / (comb_years - years) == pytest.approx(published["icer"], rel=1e-9)


def hip_replacement(relative_risk: float) -> np.ndarray:
    """Matrices (60, 5, 5): primary operation, success, revision, success after revision, dead; woman of 60.

    Weibull risk of a first revision by years since the operation, mortality by age (65, 75 and 85 begin the
    bands), 2 % die of an operation, 4 % a year have a further revision.
    """
    scale, shape = math.exp(-5.490935 - 0.0367022 * 60), math.exp(0.3740968)
    matrices = []
    for t in range(1, 61):
        dies = [0.0067, 0.0193, 0.0535, 0.1548][sum(60 + t >= age for age in (65, 75, 85))]
        revised = 1 - math.exp(scale * relative_risk * ((t - 1) ** shape - t**shape))
        matrices.append(
            [
                [0, 0.98, 0, 0, 0.02],
                [0, 1 - revised - dies, revised, 0, dies],
                [0, 0, 0, 1 - 0.02 - dies, 0.02 + dies],
                [0, 0, 0.04, 1 - 0.04 - dies, dies],
                [0, 0, 0, 0, 1],
            ]
        )
    return np.array(matrices)


def test_the_hip_model_with_unequal_discount_rates_gives_the_books_totals():
    """Briggs, Claxton and Sculpher 2006, example 3.5: costs at 6 %, QALYs at 1.5 %.

    Inputs and totals of the book's workbook as the tests of the R package heemod give them (test_dmhee.R).
    Everyone stays in revision for one cycle, so its cost is the same once per stay and once per move into it.
    """
    published = {
        "standard": (1.0, 394, 512.434658, 14.6531896),
        "new": (math.exp(-1.344474), 579, 610.311818, 14.69770986),
    }
    weights = within_cycle_weights(60, "none")
    totals = {}
    for name, (relative_risk, prosthesis, cost, qaly) in published.items():
        transitions = hip_replacement(relative_risk)
        trace = cohort_trace([1, 0, 0, 0, 0], transitions, 60)
        into_revision = np.zeros((5, 5))
        into_revision[:, 2] = 5294
        as_moves = discounted_total(trace, [prosthesis, 0, 0, 0, 0], 0.06, 1, weights, transitions, into_revision)
        as_stays = discounted_total(trace, [prosthesis, 0, 5294, 0, 0], 0.06, 1, weights)
        totals[name] = as_moves, discounted_total(trace, [0, 0.85, 0.3, 0.75, 0], 0.015, 1, weights)
        assert as_moves == pytest.approx(cost, abs=5e-7)
        assert as_stays == pytest.approx(as_moves, rel=1e-13)
        assert totals[name][1] == pytest.approx(qaly, abs=5e-8)
    table = icer_table(list(totals), *zip(*totals.values(), strict=True))
    assert table.icer[1] == pytest.approx(2198.486665, abs=5e-7)


def test_months_of_constant_survival_add_up_to_the_geometric_series():
    survival, years, rate = 0.99, 1 / 12, 0.035
    trace = cohort_trace([1, 0], [[survival, 1 - survival], [0, 1]], 480)
    factor = survival / (1 + rate) ** years
    total = discounted_total(trace, [1200, 0], rate, years, within_cycle_weights(480, "none"))
    assert total == pytest.approx(100 * (1 - factor**481) / (1 - factor), rel=1e-12)


def a_model(n_sims: int = 4, n_cycles: int = 5, n_states: int = 3) -> dict:
    """Arguments of discounted_total with everything different from everything, over (sim, ...)."""
    rng = np.random.default_rng(5)
    transitions = rng.dirichlet(np.ones(n_states), (n_sims, n_cycles, n_states))
    return {
        "trace": cohort_trace(rng.dirichlet(np.ones(n_states)), transitions, n_cycles),
        "values": rng.normal(1000, 500, (n_sims, n_cycles + 1, n_states)),
        "annual_rate": 0.06,
        "cycle_length_years": 0.25,
        "weights": rng.random(n_cycles + 1),
        "transitions": transitions,
        "transition_rewards": rng.normal(0, 300, (n_sims, n_states, n_states)),
    }


def test_totals_of_draws_are_those_of_the_definition():
    model = a_model()
    trace, values, transitions = model["trace"], model["values"], model["transitions"]
    rewards, rest = model["transition_rewards"], (0.06, 0.25, model["weights"])
    got = discounted_total(**model)
    expected = [by_hand(trace[i], values[i], *rest, transitions[i], rewards[i]) for i in range(4)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    stays_only = discounted_total(trace, values, *rest)
    np.testing.assert_allclose(stays_only, [by_hand(trace[i], values[i], *rest) for i in range(4)], rtol=1e-12)
    assert not np.allclose(stays_only, got)


@pytest.mark.parametrize(
    ("part", "shape", "in_full"),
    [
        (np.s_[0, 0], (3,), np.s_[None, None, :]),
        (np.s_[0], (6, 3), np.s_[None]),
        (np.s_[:, 0], (4, 3), np.s_[:, None]),
        (np.s_[:, :1], (4, 1, 3), np.s_[:]),
        (np.s_[:1], (1, 6, 3), np.s_[:]),
    ],
)
def test_values_are_read_by_their_shape(part: tuple, shape: tuple[int, ...], in_full: tuple):
    model = a_model()
    values = model["values"][part]
    assert values.shape == shape
    rows = np.broadcast_to(values[in_full], (4, 6, 3))
    rest = (0.06, 0.25, model["weights"])
    got = discounted_total(model["trace"], values, *rest)
    expected = [by_hand(model["trace"][i], rows[i], *rest) for i in range(4)]
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    one = discounted_total(model["trace"][0], rows[0], *rest)
    assert np.ndim(one) == 0
    assert one == pytest.approx(expected[0], rel=1e-12)


@pytest.mark.parametrize("n_states", [3, 12])
def test_transitions_the_same_in_every_cycle_may_be_given_once(n_states: int):
    rng = np.random.default_rng(6)
    transitions = rng.dirichlet(np.ones(n_states), (7, 1, n_states))
    trace = cohort_trace(np.eye(n_states)[0], transitions, 5)
    rewards, values = rng.random((n_states, n_states)), rng.random(n_states)
    rest = (0.03, 0.5, within_cycle_weights(5, "simpson"))
    got = discounted_total(trace, values, *rest, transitions, rewards)
    for i in range(7):
        matrices, rows = np.repeat(transitions[i], 5, axis=0), np.tile(values, (6, 1))
        assert got[i] == pytest.approx(by_hand(trace[i], rows, *rest, matrices, rewards), rel=1e-12)
        alone = discounted_total(trace[i], values, *rest, transitions[i, 0], rewards)
        assert alone == pytest.approx(got[i], rel=1e-13)
    np.testing.assert_allclose(discounted_total(trace, values, *rest, transitions[:, 0], rewards), got, rtol=1e-14)


def test_a_one_off_reward_is_paid_at_the_end_of_the_cycle_of_the_move():
    """All move in the second half-year, and pay 100 a year after the start."""
    stay, move = np.eye(2), np.array([[0.0, 1.0], [0.0, 1.0]])
    transitions = np.stack([stay, move, stay])
    trace = cohort_trace([1, 0], transitions, 3)
    paid = discounted_total(trace, [0, 0], 0.06, 0.5, [1, 1, 1, 1], transitions, [[0, 100], [0, 0]])
    assert paid == pytest.approx(100 / 1.06, rel=1e-14)
    weighted = discounted_total(trace, [0, 0], 0.06, 0.5, [9, 7, 0.25, 5], transitions, [[0, 100], [0, 0]])
    assert weighted == pytest.approx(25 / 1.06, rel=1e-14)
    staying = discounted_total(trace, [0, 0], 0.0, 0.5, [1, 1, 1, 1], transitions, [[0, 0], [0, 10]])
    assert staying == pytest.approx(10)  # on the diagonal: paid by all who stay, here in the last cycle


def test_counting_at_the_start_or_the_end_is_a_choice_of_weights():
    trace = [[1, 0], [0.5, 0.5], [0.2, 0.8]]
    assert discounted_total(trace, [10, 0], 0.1, 2, [1, 1, 0]) == pytest.approx(20 * (1 + 0.5 / 1.21))
    assert discounted_total(trace, [10, 0], 0.1, 2, [0, 1, 1]) == pytest.approx(20 * (0.5 / 1.21 + 0.2 / 1.4641))


@settings(max_examples=50, deadline=None)
@given(
    rates=st.lists(st.floats(0, 0.5), min_size=2, max_size=2, unique=True).map(sorted),
    years=st.floats(0.01, 2),
    method=st.sampled_from(["none", "half-cycle", "simpson", "simpson-darth"]),
    seed=st.integers(0, 1000),
)
def test_a_higher_discount_rate_never_raises_a_total_of_positive_values(rates, years, method, seed):
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.ones(3), (9, 3))
    trace = cohort_trace([1, 0, 0], transitions, 9)
    rest = (years, within_cycle_weights(9, method), transitions, rng.random((3, 3)))
    low, high = (discounted_total(trace, [1, 2, 3], rate, *rest) for rate in rates)
    assert high <= low * (1 + 1e-12)
    if rates[1] - rates[0] > 1e-6:
        assert high < low


@settings(max_examples=50, deadline=None)
@given(factor=st.floats(-100, 100), seed=st.integers(0, 1000))
def test_a_total_is_linear_in_what_is_paid(factor: float, seed: int):
    model = a_model()
    rng = np.random.default_rng(seed)
    other = {key: rng.normal(size=model[key].shape) for key in ("values", "transition_rewards")}
    both = {key: model[key] + factor * other[key] for key in other}
    sum_of_totals = discounted_total(**model) + factor * discounted_total(**{**model, **other})
    np.testing.assert_allclose(discounted_total(**{**model, **both}), sum_of_totals, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"trace": np.ones(3)}, "trace"),
        ({"trace": np.full((4, 6, 3), np.nan)}, "trace"),
        ({"values": np.ones(4)}, "values"),
        ({"values": np.ones((5, 3))}, "values"),
        ({"values": np.ones((4, 5, 3))}, "values"),
        ({"values": np.ones((3, 6, 3))}, "values"),
        ({"values": 1.0}, "values"),
        ({"values": [1, np.nan, 0]}, "values"),
        ({"values": [1, np.inf, 0]}, "values"),
        ({"annual_rate": -0.03}, "annual_rate"),
        ({"annual_rate": np.nan}, "annual_rate"),
        ({"annual_rate": [0.03, 0.05]}, "annual_rate"),
        ({"cycle_length_years": 0}, "cycle_length_years"),
        ({"cycle_length_years": -1}, "cycle_length_years"),
        ({"weights": np.ones(5)}, "weights"),
        ({"weights": [1, 1, 1, 1, 1, np.nan]}, "weights"),
        ({"transitions": None}, "transitions"),
        ({"transition_rewards": None}, "transition_rewards"),
        ({"transition_rewards": np.ones((2, 2))}, "transition_rewards"),
        ({"transition_rewards": np.ones((3, 3, 3))}, "transition_rewards"),
        ({"transition_rewards": np.full((3, 3), np.inf)}, "transition_rewards"),
        ({"transitions": np.full((3, 3), 0.3)}, "transitions"),
        ({"transitions": np.eye(4)}, "transitions"),
        ({"transitions": np.stack([np.eye(3)] * 2)}, "transitions"),
        ({"transitions": np.tile(np.eye(3), (4, 4, 1, 1))}, "transitions"),
    ],
)
def test_a_total_names_the_input_that_cannot_be(changes: dict, named: str):
    with pytest.raises(InputError) as error:
        discounted_total(**{**a_model(), **changes})
    assert error.value.name == named


def test_matrices_for_another_number_of_cycles_are_not_taken_for_draws():
    trace = cohort_trace([1, 0], np.eye(2), 5)
    with pytest.raises(InputError, match=r"transitions: found simulation dimensions \(4,\)"):
        discounted_total(trace, [1, 0], 0.03, 1, np.ones(6), np.stack([np.eye(2)] * 4), np.ones((2, 2)))


def test_transitions_that_did_not_make_the_trace_are_refused():
    model = a_model()
    others = [np.eye(3), model["transitions"][::-1], model["transitions"][:, ::-1]]
    slightly = model["transitions"].copy()
    slightly[2, 3, 1, :2] += [1e-6, -1e-6]
    for transitions in (*others, slightly):
        with pytest.raises(InputError, match="transitions: found a row of the trace missed by"):
            discounted_total(**{**model, "transitions": transitions})


def test_a_trace_that_is_no_cohort_is_refused():
    rest = {"values": [1, 0], "annual_rate": 0.03, "cycle_length_years": 1, "weights": [1, 1]}
    for trace, found in (
        ([[1, 0], [1.5, -0.5]], "-0.5"),
        ([[1, 0], [0.5, 0.4]], "rows whose sums differ by 0.1"),
        ([[1, 0], [0.5, np.nan]], "nan"),
        ([[1, 0], [np.inf, 0]], "inf"),
    ):
        with pytest.raises(InputError, match=f"^trace: found {found}"):
            discounted_total(trace, **rest)


def test_a_trace_may_count_persons():
    model = a_model()
    counts = {**model, "trace": 1000 * model["trace"]}
    np.testing.assert_allclose(discounted_total(**counts), 1000 * discounted_total(**model), rtol=1e-12)
    unequal = {**model, "trace": model["trace"] * np.array([1.0, 1000.0, 3.0, 1e6])[:, None, None]}
    by_draw = discounted_total(**unequal) / [1.0, 1000.0, 3.0, 1e6]
    np.testing.assert_allclose(by_draw, discounted_total(**model), rtol=1e-12)
