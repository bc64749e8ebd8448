"""The market part of `make bench`: a Sick-Sicker analysis against two public packages, and the lung model.

The Sick-Sicker model is that of Alarid-Escudero et al. 2023 (Med Decis Making 43:3), four strategies, 75 yearly
cycles, uncertain by the distributions in DRAWN. All packages run the same draws in one process each in turn; before
they are timed, their totals are compared with ours.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from market.cohort import cohort_trace, rate_to_probability, within_cycle_weights
from market.outcomes import discounted_total
from tests.performance import Figure, named, timed, told

ROOT = Path(__file__).resolve().parent.parent
CYCLES, RATE = 75, 0.03
CHUNK_DRAWS = 2000
STATES = ("H", "S1", "S2", "D")
STRATEGIES = {"SoC": (False, False), "A": (True, False), "B": (False, True), "AB": (True, True)}
"""Whether treatment A (utility of S1) and treatment B (hazard of S1 to S2) are given."""

BASE = {
    "r_HD": 0.002, "r_HS1": 0.15, "r_S1H": 0.5, "r_S1S2": 0.105, "hr_S1": 3.0, "hr_S2": 10.0, "hr_B": 0.6,
    "c_H": 2000.0, "c_S1": 4000.0, "c_S2": 15_000.0, "c_A": 12_000.0, "c_B": 13_000.0,
    "u_H": 1.0, "u_S1": 0.75, "u_S2": 0.5, "u_A": 0.95,
}  # fmt: skip
DRAWN = (
    "r_HS1",
    "r_S1H",
    "r_S1S2",
    "hr_S1",
    "hr_S2",
    "hr_B",
    "c_H",
    "c_S1",
    "c_S2",
    "c_A",
    "c_B",
    "u_S1",
    "u_S2",
    "u_A",
)
"""Drawn lognormally with this share of the mean as standard deviation; utilities at most 1."""
SPREAD = 0.1


def draws(n: int, seed: int = 0) -> dict[str, np.ndarray]:
    """{name: (n,)}."""
    rng = np.random.default_rng(seed)
    values = {name: np.full(n, value) for name, value in BASE.items()}
    for name in DRAWN:
        values[name] = BASE[name] * np.exp(SPREAD * rng.standard_normal(n) - SPREAD**2 / 2)
        if name.startswith("u_"):
            values[name] = np.minimum(values[name], 1.0)
    return values


def moves(values: Mapping[str, np.ndarray], better: bool) -> np.ndarray:
    """Transitions (..., 4, 4) of H, S1, S2, D; numbers in `values` may be arrays."""
    worsening = np.asarray(values["r_S1S2"]) * (values["hr_B"] if better else 1.0)
    p_ill, p_well, p_worse = (
        rate_to_probability(rate, 1.0) for rate in (values["r_HS1"], values["r_S1H"], worsening)
    )
    deaths = (1.0, values["hr_S1"], values["hr_S2"])
    p_die = [rate_to_probability(np.asarray(values["r_HD"]) * ratio, 1.0) for ratio in deaths]
    matrix = np.zeros((*np.shape(values["r_HS1"]), 4, 4))
    matrix[..., 0, 1] = (1 - p_die[0]) * p_ill
    matrix[..., 0, 0] = (1 - p_die[0]) * (1 - p_ill)
    matrix[..., 1, 0] = (1 - p_die[1]) * p_well
    matrix[..., 1, 2] = (1 - p_die[1]) * p_worse
    matrix[..., 1, 1] = (1 - p_die[1]) * (1 - p_well - p_worse)
    matrix[..., 2, 2] = 1 - p_die[2]
    for i in range(3):
        matrix[..., i, 3] = p_die[i]
    matrix[..., 3, 3] = 1.0
    return matrix


def rewards(values: Mapping[str, np.ndarray], a: bool, b: bool) -> tuple[list, list]:
    """Cost and QALYs per year in each state."""
    treatment = a * values["c_A"] + b * values["c_B"]
    cost = [values["c_H"], values["c_S1"] + treatment, values["c_S2"] + treatment, 0 * values["c_H"]]
    return cost, [values["u_H"], values["u_A"] if a else values["u_S1"], values["u_S2"], 0 * values["u_H"]]


def ours_chunk(values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Cost and QALYs (simulation, strategy) by market.cohort and market.outcomes."""
    weights = within_cycle_weights(CYCLES, "half-cycle")
    start = np.array([1.0, 0, 0, 0])
    traces = {b: cohort_trace(start, moves(values, b), CYCLES) for b in (False, True)}
    totals = []
    for a, b in STRATEGIES.values():
        for reward in rewards(values, a, b):
            totals.append(discounted_total(traces[b], np.stack(reward, axis=-1), RATE, 1.0, weights))
    return np.stack(totals[::2], axis=1), np.stack(totals[1::2], axis=1)


def ours(values: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The same in chunks, on both cores."""
    n = len(values["r_HS1"])
    parts = [{k: v[i : i + CHUNK_DRAWS] for k, v in values.items()} for i in range(0, n, CHUNK_DRAWS)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(ours_chunk, parts))
    return np.concatenate([cost for cost, _ in found]), np.concatenate([qalys for _, qalys in found])


def plain_moves(p: Mapping[str, float], better: bool) -> np.ndarray:
    """`moves` of one draw as one would write it for a package that takes a draw at a time."""
    ill, well = 1 - math.exp(-p["r_HS1"]), 1 - math.exp(-p["r_S1H"])
    worse = 1 - math.exp(-p["r_S1S2"] * (p["hr_B"] if better else 1.0))
    h, s1, s2 = (1 - math.exp(-p["r_HD"] * ratio) for ratio in (1.0, p["hr_S1"], p["hr_S2"]))
    return np.array(
        [
            [(1 - h) * (1 - ill), (1 - h) * ill, 0.0, h],
            [(1 - s1) * well, (1 - s1) * (1 - well - worse), (1 - s1) * worse, s1],
            [0.0, 0.0, 1 - s2, s2],
            [0.0, 0.0, 0.0, 1.0],
        ]
    )


def heormodel_psa(values: Mapping[str, np.ndarray]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """A run of heormodel's cohort engine over the same draws, on all cores as is its default."""
    import pandas as pd
    from heormodel.models import CohortSpec, MarkovModel
    from heormodel.run import run_psa

    def spec(params, strategy):
        a, b = STRATEGIES[strategy]
        cost, qalys = rewards(params, a, b)
        return CohortSpec(plain_moves(params, b), np.array(cost, dtype=float), np.array(qalys, dtype=float))

    engine = MarkovModel(
        states=STATES,
        interventions=tuple(STRATEGIES),
        transitions_and_rewards=spec,
        n_cycles=CYCLES,
        discount_rate=RATE,
        cycle_correction="half_cycle",
    )
    frame = pd.DataFrame(values)
    frame.index.name = "iteration"

    def work() -> tuple[np.ndarray, np.ndarray]:
        outcomes = run_psa(engine, frame, seed=0, progress=False).outcomes
        data = outcomes.data.reset_index()
        wide = data.pivot(index="iteration", columns="intervention")
        order = list(STRATEGIES)
        return wide["cost"][order].to_numpy(), wide["qaly"][order].to_numpy()

    return work


class _Given:
    """A distribution for pyheor that hands out given draws, one after the other."""

    def __init__(self, values: np.ndarray) -> None:
        self.values: Iterator[float] = iter(values.tolist())

    def sample(self, n: int, rng=None) -> np.ndarray:
        return np.array([next(self.values) for _ in range(n)])


def pyheor_psa(values: Mapping[str, np.ndarray]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
    """A run of pyheor's cohort model over the same draws; its weights are those of a life table.

    It discounts the first cycle not at all and counts a cycle as the mean of its two ends, so its totals differ
    from half-cycle weights by the discount within a cycle; only the time is compared.
    """
    import pyheor as ph

    def work() -> tuple[np.ndarray, np.ndarray]:
        model = ph.MarkovModel(
            states=list(STATES),
            strategies=list(STRATEGIES),
            n_cycles=CYCLES,
            cycle=ph.Cycle(1, "year"),
            dr_cost=RATE,
            dr_qaly=RATE,
            method="life-table",
        )
        for name, base in BASE.items():
            model.add_param(name, base=base, dist=_Given(values[name]) if name in DRAWN else None)
        for name, (_, b) in STRATEGIES.items():
            model.set_transitions(name, _pyheor_moves(b))
        costs = {name: _pyheor_rewards(a, b, 0) for name, (a, b) in STRATEGIES.items()}
        model.set_state_cost("care", costs)
        model.set_state_qaly("health", {name: _pyheor_rewards(a, b, 1) for name, (a, b) in STRATEGIES.items()})
        return model.run_psa(n_sim=len(values["r_HS1"]), seed=0, progress=False)

    return work


def _pyheor_moves(better: bool) -> Callable:
    return lambda p, cycle: plain_moves(p, better)


def _pyheor_rewards(a: bool, b: bool, kind: int) -> dict[str, Callable]:
    """{state: function of parameters and cycle}; kind 0 is cost, 1 QALYs."""
    treated = ("c_A",) * a + ("c_B",) * b
    if kind == 0:
        return {
            "H": lambda p, cycle: p["c_H"],
            "S1": lambda p, cycle: p["c_S1"] + sum(p[name] for name in treated),
            "S2": lambda p, cycle: p["c_S2"] + sum(p[name] for name in treated),
        }
    u_s1 = "u_A" if a else "u_S1"
    return {"H": lambda p, cycle: p["u_H"], "S1": lambda p, cycle: p[u_s1], "S2": lambda p, cycle: p["u_S2"]}


def bench_peers(n: int, rounds: int) -> list[Figure]:
    """`n` draws of all strategies, in turns; microseconds a draw. pyheor, which takes a draw and a cycle at a time,
    runs a fiftieth of the draws."""
    values, figures = draws(n), []
    for package, make, share in (("heormodel", heormodel_psa, 1), ("pyheor", pyheor_psa, 50)):
        fewer = max(1, n // share)
        theirs = make({name: numbers[:fewer] for name, numbers in values.items()})
        found = theirs()
        own = ours(values)
        if isinstance(found, tuple):
            for got, expected in zip(own, found, strict=True):
                np.testing.assert_allclose(got, expected, rtol=1e-9)
        pairs = [(timed(theirs) / fewer * 1e6, timed(lambda: ours(values)) / n * 1e6) for _ in range(rounds)]
        a, b = zip(*pairs, strict=True)
        what = f"PSA of the Sick-Sicker model, 4 strategies, a draw of {n:,} (the peer: of {fewer:,})"
        figures.append(told(Figure("Market", what, "µs", b, named(package), a)))
    return figures


def bench_base_case(rounds: int) -> Figure:
    """The US lung base case, all strategies, after import and loading."""
    from market import lung
    from market.analysis import scenario_parameters
    from market.natural_history import life_table
    from market.scenarios import Scenario

    values, table = scenario_parameters(Scenario("bench", "us")).values(), life_table("us")
    lung.run(values, table)
    seconds = [timed(lambda: lung.run(values, table)) for _ in range(max(5, 4 * rounds))]
    what = "base case of lung screening, United States, 6 strategies"
    return told(Figure("Market", what, "ms", tuple(1e3 * each for each in seconds)))


IN_A_PROCESS = """
import sys, time
from tests import market_bench
n = int(sys.argv[2])
market_bench.IN_PROCESS[sys.argv[1]](10)
start = time.perf_counter()
market_bench.IN_PROCESS[sys.argv[1]](n)
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(time.perf_counter() - start, peak / 1024)
"""
"""A process that runs so many draws after a few for warmth, and tells seconds and its peak memory in MB (Linux)."""


def lung_psa(n: int) -> None:
    from market.analysis import run_psa, scenario_parameters
    from market.scenarios import Scenario

    run_psa(scenario_parameters(Scenario("bench", "us")), n)


def sick_sicker_stream(n: int) -> None:
    """Draws made and run chunk by chunk; means and variances are kept, so memory does not grow with n."""
    total = np.zeros((2, len(STRATEGIES)))
    for block in range(0, n, 10 * CHUNK_DRAWS):
        total += [found.sum(axis=0) for found in ours(draws(min(10 * CHUNK_DRAWS, n - block), seed=block))]


IN_PROCESS = {"lung": lung_psa, "sick-sicker": sick_sicker_stream}


def in_process(work: str, n: int) -> tuple[float, float]:
    """Seconds and peak MB of a fresh process."""
    command = [sys.executable, "-c", IN_A_PROCESS, work, str(n)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, peak = found.stdout.split()
    return float(seconds), float(peak)


def bench_market(rounds: int, scale: float = 1.0) -> list[Figure]:
    """All of it; `scale` below 1 runs fewer draws, to try the code."""
    n, rounds = round(10_000 * scale), max(1, rounds // 2)
    figures = [bench_base_case(rounds), *bench_peers(n, rounds)]
    for work, what, count in (
        ("lung", "PSA of lung screening, 6 strategies", n),
        ("sick-sicker", "PSA of the Sick-Sicker model, draws made as they are run", 10 * n),
    ):
        seconds, peaks = zip(*(in_process(work, count) for _ in range(rounds)), strict=True)
        figures.append(told(Figure("Market", f"{what}, {count:,} draws", "s", seconds)))
        figures.append(told(Figure("Market", f"peak memory of these {count:,} draws", "MB", peaks)))
    return figures


if __name__ == "__main__":
    bench_market(rounds=2, scale=float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
