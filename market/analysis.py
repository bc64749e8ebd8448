"""Analyses of a scenario: base case, probabilistic and deterministic analysis as tables, for any front end.

A scenario becomes a set of parameters (`scenario_parameters`), and every analysis takes such a set. Money is in
the prices of PRICE_YEAR. Nothing of the models is written here: this file feeds them and keeps what they give.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market import cea, dsa, lung, psa, voi
from market.calibration import draw_parameters
from market.errors import InputError, MarketError, ParameterError
from market.natural_history import LIFE_TABLES, LifeTable, life_table
from market.parameters import ParameterSet, load_parameters
from market.scenarios import ENGINE_VERSION, OperatingPoint, Scenario
from market.screening import STRATEGIES, STRATEGY_LABELS

if TYPE_CHECKING:
    import pandas as pd

PRICE_YEAR = 2024
COMPLETE = tuple(LIFE_TABLES)
"""Settings with all numbers of all models."""

CHUNK_DRAWS = lung.CHUNK_DRAWS
N_THREADS = 2
LONGEST_QUEUE = 2 * N_THREADS
"""Chunks drawn or run ahead of the one that is being kept: what bounds the memory."""

OUTCOMES = ("cost", "qalys", "life_years", "lung_cancer_deaths", "diagnoses", "overdiagnosed")
SCHEDULE = ("start_age", "screen_stop_age", "screen_interval_years")
"""They set the screens, so that all draws of one run must share them."""


class Cancelled(MarketError):
    """Somebody asked a long analysis to stop."""


class Asked(dict):
    """A mapping that remembers which ids a model asked for."""

    def __init__(self, values: Mapping[str, ArrayLike]) -> None:
        super().__init__(values)
        self.ids: set[str] = set()

    def __getitem__(self, key: str) -> ArrayLike:
        self.ids.add(key)
        return super().__getitem__(key)


# Parameters


def scenario_parameters(scenario: Scenario, operating_point: OperatingPoint | None = None) -> ParameterSet:
    """The parameters of a scenario in prices of PRICE_YEAR, its overrides and the AI's counts in place.

    `operating_point` stands in for the scenario's own. Raises ParameterError for an override that is unknown or
    out of range, or that stands beside counts.
    """
    parameters = load_parameters(scenario.setting, price_year=PRICE_YEAR).with_overrides(dict(scenario.overrides))
    operating_point = scenario.operating_point if operating_point is None else operating_point
    if operating_point is None:
        return parameters
    reason = "counts given by the user" + (scenario.operating_point_note and f": {scenario.operating_point_note}")
    entries = dict(parameters.parameters)
    for key, (right, wrong) in operating_point.pairs().items():
        if key in parameters.overrides:
            raise ParameterError(key, "a value and counts", "one of them")
        if min(right, wrong) == 0:
            right, wrong = right + 0.5, wrong + 0.5
        counts = {"value": right / (right + wrong), "events": right, "n": right + wrong, "distribution": "beta"}
        spread = dict.fromkeys(("low", "high", "interval", "se", "interval_note", "note"))
        given = {"status": "assumption", "trust": "memory", "reason": reason, "sources": ()}
        entries[key] = replace(entries[key], **counts, **spread, **given)
    return replace(parameters, parameters=entries)


def with_inputs(parameters: ParameterSet, ids: Iterable[str]) -> set[str]:
    """These ids and those that their formulas are made of, directly or by others."""
    found: set[str] = set()
    waiting = list(ids)
    while waiting:
        key = waiting.pop()
        if key not in found:
            found.add(key)
            waiting += parameters.parameters[key].inputs
    return found


def need(
    parameters: ParameterSet,
    work: Callable[[Mapping[str, ArrayLike], LifeTable], object],
    needs_life_table: bool = True,
) -> None:
    """ParameterError naming what a setting lacks of the numbers that `work` asks for in a complete setting."""
    if parameters.setting in COMPLETE:
        return
    asked = Asked(load_parameters(COMPLETE[0], price_year=PRICE_YEAR).values())
    work(asked, life_table(COMPLETE[0]))
    values = parameters.values()
    lacking = ", ".join(sorted(key for key in asked.ids if key not in values))
    if lacking or needs_life_table:
        raise ParameterError(
            f"setting {parameters.setting}",
            ("no life table, and " if needs_life_table else "") + "no source for " + (lacking or "nothing else"),
            f"a complete setting, {' or '.join(COMPLETE)} (the command size shows how far this one goes)",
        )


def _need_lung(parameters: ParameterSet) -> None:
    need(parameters, lung.run)


# Base case


@dataclass(frozen=True, eq=False)
class BaseCase:
    """table: one row a strategy, lung.results_table with nmb at wtp; icers: cea.icer_table of the same.

    `asked` are the ids that the model read, those of formulas not counted.
    """

    table: "pd.DataFrame"
    icers: "pd.DataFrame"
    wtp: float
    asked: frozenset[str]


def base_case(parameters: ParameterSet, strategies: Sequence[str] = STRATEGIES) -> BaseCase:
    """The lung screening model with base values. ParameterError for a setting that is not complete."""
    _need_lung(parameters)
    asked = Asked(parameters.values())
    results = lung.run(asked, life_table(parameters.setting), strategies)
    wtp = parameters.value("wtp")
    table = lung.results_table(results)
    table.insert(5, "nmb", wtp * table["qalys"] - table["cost"])
    icers = cea.icer_table(list(results.strategies), table["cost"].to_numpy(), table["qalys"].to_numpy())
    return BaseCase(table, icers, wtp, frozenset(asked.ids | {"wtp"}))


def verdicts(icers: "pd.DataFrame", wtp: float, currency: str) -> list[str]:
    """What the table of ICERs says, a sentence a strategy, the decision at `wtp` last."""
    rows = {row["strategy"]: row for row in icers.to_dict("records")}
    frontier = [name for name, row in rows.items() if row["status"] == "ND"]
    sentences = []
    for name, row in rows.items():
        label = STRATEGY_LABELS.get(name, name)
        if row["status"] == "ED":
            below = [other for other in frontier if rows[other]["effect"] < row["effect"]][-1]
            above = next(other for other in frontier if rows[other]["effect"] > row["effect"])
            mix = " and ".join(STRATEGY_LABELS.get(other, other) for other in (below, above))
            sentences.append(f"{label} is dominated by a mix of {mix} (extended dominance).")
        elif row["status"] == "D":
            sentences.append(_dominated(label, row, rows))
        elif name == frontier[0]:
            sentences.append(f"{label} is where the frontier starts: nothing that is worth considering is cheaper.")
        else:
            before = STRATEGY_LABELS.get(frontier[frontier.index(name) - 1], frontier[frontier.index(name) - 1])
            sentences.append(f"{label} costs {row['icer']:,.0f} {currency} per QALY gained, against {before}.")
    best = max(rows.values(), key=lambda row: wtp * row["effect"] - row["cost"])
    label = STRATEGY_LABELS.get(best["strategy"], best["strategy"])
    sentences.append(f"At {wtp:,.0f} {currency} per QALY the highest net benefit is that of: {label}.")
    return sentences


def _dominated(label: str, row: Mapping, rows: Mapping[str, Mapping]) -> str:
    better = [
        other
        for other in rows.values()
        if other["strategy"] != row["strategy"]
        and other["cost"] <= row["cost"]
        and other["effect"] >= row["effect"]
    ]
    by = min(better, key=lambda other: (other["status"] != "ND", -other["effect"]))
    more, fewer = row["cost"] - by["cost"], by["effect"] - row["effect"]
    other = STRATEGY_LABELS.get(by["strategy"], by["strategy"])
    return f"{label} is dominated by {other}: it costs {more:,.2f} more and gives {fewer:.5f} QALYs fewer a person."


# Probabilistic analysis


@dataclass(frozen=True, eq=False)
class Psa:
    """Draws of cost and QALYs per person, (simulation, strategy), and `kept` parameters {id: (simulation,)}.

    counts  those asked for of lung.per_thousand, (simulation, strategy) by name
    """

    strategies: tuple[str, ...]
    cost: np.ndarray
    qalys: np.ndarray
    kept: Mapping[str, np.ndarray] = field(default_factory=dict)
    counts: Mapping[str, np.ndarray] = field(default_factory=dict)

    def table(self, wtp: float, comparator: str | None = None) -> "pd.DataFrame":
        """One row a strategy: mean, low and high (2.5 and 97.5 %) of cost and qalys, and of their differences
        from `comparator` (the first strategy if not given); mean nmb, probability of being best and expected
        loss at wtp."""
        import pandas as pd

        other = self.strategies.index(comparator) if comparator is not None else 0
        columns: dict[str, object] = {"strategy": self.strategies}
        columns["label"] = [STRATEGY_LABELS.get(name, name) for name in self.strategies]
        for name, values in (("cost", self.cost), ("qalys", self.qalys)):
            for prefix, draws in (("", values), ("inc_", values - values[:, [other]])):
                low, high = np.quantile(draws, (0.025, 0.975), axis=0)
                columns |= {f"{prefix}{name}": draws.mean(axis=0)}
                columns |= {f"{prefix}{name}_low": low, f"{prefix}{name}_high": high}
        columns["nmb"] = wtp * self.qalys.mean(axis=0) - self.cost.mean(axis=0)
        columns["p_best"] = psa.ceac(self.cost, self.qalys, wtp)
        columns["expected_loss"] = psa.expected_loss(self.cost, self.qalys, wtp)
        return pd.DataFrame(columns)

    def curves(self, wtp: ArrayLike) -> "pd.DataFrame":
        """One row a threshold: wtp, the strategy that is best on average, its probability of being best (ceaf),
        evpi per person, then p_STRATEGY for each."""
        import pandas as pd

        thresholds = np.atleast_1d(np.asarray(wtp, dtype=float))
        chances = psa.ceac(self.cost, self.qalys, thresholds)
        best = psa.optimal_strategy(self.cost, self.qalys, thresholds)
        return pd.DataFrame(
            {
                "wtp": thresholds,
                "best": [self.strategies[i] for i in best],
                "ceaf": psa.ceaf(self.cost, self.qalys, thresholds),
                "evpi": voi.evpi(self.cost, self.qalys, thresholds),
                **{f"p_{name}": chances[:, i] for i, name in enumerate(self.strategies)},
            }
        )

    def evppi(self, wtp: float, ids: Sequence[str]) -> float:
        """Value per person of knowing these kept parameters together, at wtp; voi.known_value, as on the pages."""
        import pandas as pd

        frame = pd.DataFrame({key: self.kept[key] for key in ids})
        known = (voi.known_outcomes(outcome, frame) for outcome in (self.cost, self.qalys))
        return voi.known_value(*known, wtp)[0]


def run_psa(
    parameters: ParameterSet,
    n: int,
    seed: int = 0,
    strategies: Sequence[str] = STRATEGIES,
    keep: Sequence[str] = (),
    folder: Path | None = None,
    progress: Callable[[int], object] = lambda done: None,
    cancel: Event | None = None,
    counts: Sequence[str] = (),
) -> Psa:
    """The lung screening model with n draws of its parameters, the calibrated ones drawn together.

    Draws are made and run in chunks on both cores, so memory grows with n by two numbers a strategy alone;
    chunks do not change any number. `keep` names parameters, and `counts` counts of lung.per_thousand, whose
    draws the result holds. With `folder`,
    draws.parquet (one row a draw, a column each parameter that varies) and results.parquet (one row a draw and
    strategy) are written there and appear when they are whole. `progress` is told after each chunk how many
    draws it had; `cancel`, once set, ends the analysis with Cancelled. Raises InputError for n below 1,
    ParameterError as `base_case` does and for an unknown id in `keep`.
    """
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError("draws", repr(n), "a whole number of 1 or more")
    _need_lung(parameters)
    for key in keep:
        parameters.value(key)
    cost, qalys = np.empty((n, len(strategies))), np.empty((n, len(strategies)))
    kept = {key: np.empty(n) for key in keep}
    counted = {name: np.empty((n, len(strategies))) for name in counts}
    writer = None if folder is None else _ParquetDraws(folder, parameters, seed)
    done = 0
    try:
        for draws, results in _chunks(parameters, n, seed, strategies):
            if cancel is not None and cancel.is_set():
                raise Cancelled("analysis", f"a stop after {done:,} of {n:,} draws", "to run to its end")
            size = len(results.cost)
            rows = slice(done, done + size)
            cost[rows], qalys[rows] = results.cost, results.qalys
            for key in keep:
                kept[key][rows] = draws[key]
            if counted:
                found = lung.per_thousand(results)
                for name, drawn in counted.items():
                    drawn[rows] = found[name]
            if writer is not None:
                writer.write(draws, results, done)
            done += size
            progress(size)
        if writer is not None:
            writer.finish()
    finally:
        if writer is not None:
            writer.close()
    return Psa(tuple(strategies), cost, qalys, kept, counted)


Chunk = tuple[Mapping[str, np.ndarray], lung.LungResults]


def _chunks(parameters: ParameterSet, n: int, seed: int, strategies: Sequence[str]) -> Iterator[Chunk]:
    """Draws and results of each chunk, in order; a few are made ahead of the one that is asked for."""
    table = life_table(parameters.setting)

    def work(start: int) -> Chunk:
        draws = draw_parameters(parameters, min(CHUNK_DRAWS, n - start), seed, start)
        return draws, lung.run(draws, table, strategies)

    starts = iter(range(0, n, CHUNK_DRAWS))
    pool = ThreadPoolExecutor(N_THREADS)
    waiting: deque[Future[Chunk]] = deque()
    try:
        for start in starts:
            waiting.append(pool.submit(work, start))
            if len(waiting) >= LONGEST_QUEUE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _ParquetDraws:
    """Writes draws.parquet and results.parquet chunk by chunk, beside their places until both are whole."""

    NAMES = ("draws", "results")

    def __init__(self, folder: Path, parameters: ParameterSet, seed: int) -> None:
        from market.parameters import yaml_text

        self.folder = folder
        self.varying: list[str] | None = None
        self.writers: dict[str, object] = {}
        self.metadata = {
            "setting": parameters.setting,
            "seed": str(seed),
            "price_year": str(parameters.price_year),
            "currency": parameters.currency,
            "engine_version": ENGINE_VERSION,
            "overrides": yaml_text(dict(parameters.overrides)),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError("--out", f"{folder} ({error.strerror})", "a folder to write in") from error

    def write(self, draws: Mapping[str, np.ndarray], results: lung.LungResults, first: int) -> None:
        if self.varying is None:
            self.varying = [key for key, values in draws.items() if np.ptp(values) > 0]
        n, k = results.cost.shape
        number = np.arange(first, first + n)
        self._append("draws", {"draw": number, **{key: draws[key] for key in self.varying}})
        columns = {name: getattr(results, name).ravel() for name in OUTCOMES}
        columns |= {name: values.ravel() for name, values in results.counts.items()}
        self._append("results", {"draw": number.repeat(k), "strategy": list(results.strategies) * n, **columns})

    def _append(self, name: str, columns: Mapping[str, object]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pa.table(columns).replace_schema_metadata(self.metadata)
        try:
            if name not in self.writers:
                self.writers[name] = pq.ParquetWriter(self._part(name), table.schema, compression="zstd")
            self.writers[name].write_table(table)
        except OSError as error:
            raise InputError("--out", f"{self.folder} ({error})", "a folder with room to write in") from error

    def _part(self, name: str) -> Path:
        return self.folder / f".{name}.{os.getpid()}.part"

    def finish(self) -> None:
        self._end_files()
        for name in self.NAMES:
            os.replace(self._part(name), self.folder / f"{name}.parquet")

    def close(self) -> None:
        """Remove what is unfinished."""
        self._end_files()
        for name in self.NAMES:
            self._part(name).unlink(missing_ok=True)

    def _end_files(self) -> None:
        while self.writers:
            self.writers.popitem()[1].close()


# Deterministic analysis


def tornado(parameters: ParameterSet, strategy: str, comparator: str) -> "pd.DataFrame":
    """dsa.tornado of every number that the lung model uses and that has a range, with its label and unit.

    Numbers that formulas are made of stand for what follows from them. Overridden ones stay where they were
    put. Raises InputError for a strategy or comparator that is not one of the model's, ParameterError as
    `base_case` does.
    """
    for name, value in (("strategy", strategy), ("comparator", comparator)):
        if value not in STRATEGIES:
            raise InputError(name, repr(value), "one of " + ", ".join(STRATEGIES))
    used = with_inputs(parameters, base_case(parameters, (comparator, strategy)).asked - {"wtp"})
    ranges = {key: _range(parameters, key) for key in parameters.parameters if key in used}
    ranges = {key: ends for key, ends in ranges.items() if ends is not None}
    base = {key: float(parameters.parameters[key].value) for key in ranges}
    points = [base] + [base | {key: end} for key, ends in ranges.items() for end in ends]
    model = _looked_up(parameters, points, (comparator, strategy))
    table = dsa.tornado(model, base, ranges, strategy, comparator, parameters.value("wtp"))
    table.insert(2, "label", [parameters.parameters[key].label for key in table["parameter"]])
    table.insert(3, "unit", [parameters.parameters[key].unit_text for key in table["parameter"]])
    return table


def two_way(parameters: ParameterSet, ids: Sequence[str], n_points: int = 9) -> "pd.DataFrame":
    """dsa.two_way over the ranges of two parameters, all strategies compared at the threshold.

    Raises InputError for other than two ids and for one without a range, ParameterError for an unknown one.
    """
    if len(set(ids)) != 2:
        raise InputError("two-way", ", ".join(ids), "two different parameters")
    _need_lung(parameters)
    ranges = {}
    for key in ids:
        parameters.value(key)
        ends = _range(parameters, key)
        if ends is None:
            raise InputError("two-way", key, "a parameter with a range that is not overridden")
        ranges[key] = ends
    base = {key: float(parameters.parameters[key].value) for key in ids}
    one, two = (np.linspace(*ranges[key], n_points).tolist() for key in ids)
    points = [{ids[0]: a, ids[1]: b} for a in one for b in two]
    return dsa.two_way(_looked_up(parameters, points, STRATEGIES), base, ranges, parameters.value("wtp"), n_points)


def _range(parameters: ParameterSet, key: str) -> tuple[float, float] | None:
    entry = parameters.parameters[key]
    return None if entry.value is None or key in parameters.overrides else entry.range


def _looked_up(
    parameters: ParameterSet, points: Sequence[Mapping[str, float]], strategies: Sequence[str]
) -> dsa.Model:
    """A model that knows these points, all run at once; those with other screens run apart."""
    # Ranges are the entries' own, foreign currencies included, so they need no check of overrides.
    values = [replace(parameters, overrides={**parameters.overrides, **point}).values() for point in points]
    groups: dict[tuple[float, ...], list[int]] = {}
    for i, value in enumerate(values):
        groups.setdefault(tuple(value[key] for key in SCHEDULE), []).append(i)
    known: dict[tuple[float, ...], dict[str, tuple[float, float]]] = {}
    for rows in groups.values():
        stacked = {key: np.array([values[i][key] for i in rows]) for key in values[0]}
        results = lung.run(stacked, life_table(parameters.setting), strategies)
        for row, i in enumerate(rows):
            pairs = zip(results.cost[row].tolist(), results.qalys[row].tolist(), strict=True)
            known[tuple(points[i].values())] = dict(zip(strategies, pairs, strict=True))
    return lambda point: known[tuple(point.values())]
