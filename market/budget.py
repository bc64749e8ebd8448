"""Budget impact of a mode of reading at a hospital and for its payer: undiscounted money by year, item and payer.

Persons enter a screening programme year after year. What each of them causes in the years after entry comes
from the lung screening model (market.lung_trace), under the new mode and under the comparator; nothing of it
is derived again here. Two books are kept, and transfers between them cancel in their sum:

    payer     pays for every service at the prices of the model, and for the AI where it is reimbursed
    hospital  pays readers, the AI with its set-up, and what services cost it (payment / payment_to_cost);
              it receives the payments for screens, and for work-up and treatment in the share share_care_here

Costs are positive, income and savings negative. Reader minutes are money in the share share_reader_time_cash,
as hours that need not be bought (or must be); the rest is capacity, which is worth something but pays no bill.
Minutes added count by the same shares as minutes saved.

A budget takes a cancer that is not found for money saved. So `Budget.counts` shows cancers and deaths beside
the money, and `highest_price` weighs both. Recommendations followed: Sullivan et al. 2014, "Budget impact
analysis - principles of good practice: report of the ISPOR 2012 task force", Value in Health 17:5.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market import finance, lung
from market.errors import InputError
from market.lung_trace import LungTrace, trace_screens
from market.natural_history import (
    CYCLE_YEARS,
    CYCLES_PER_YEAR,
    STAGES,
    LifeTable,
    Parameters,
    by_group,
    natural_history,
)
from market.reading import MINUTES_PER_HOUR, MODES, minutes_per_screen, read_screen
from market.screening import NO_SCREENING, STRATEGIES, schedule, screens

if TYPE_CHECKING:
    import pandas as pd

LONGEST_YEARS = 10
MONTHS_PER_YEAR = 12
CHUNK_DRAWS = 200
"""A forward trace keeps every cycle; so many draws at a time fit into some tens of megabytes."""

PERSPECTIVES = ("hospital", "payer", "total")
KINDS = ("cash", "capacity")
PRICINGS = ("per_scan", "per_year", "one_time")
"""c_ai_scan a scan; c_ai_licence_year a year; or c_ai_purchase once with share_ai_maintenance of it a year."""

SCREENING = ("entry", "scan")
CARE = (
    *("incidental", "false_positive", "complication", "cancer_workup"),
    *(f"treatment_{stage}" for stage in STAGES),
    *("continuing", "terminal"),
)
ONE_OFF = ("ai_setup", "ai_integration", "ai_purchase")
AI = (*ONE_OFF, "ai_maintenance", "ai_licence")
INCOME = ("screening_income", "care_income", "ai_income")
COUNTED = (
    *("screens", "reader_minutes", "ai_reads", "recalls", "false_positives", "invasive_procedures"),
    *("complications", "procedure_deaths", "screen_detected", "lung_cancer_deaths"),
)


@dataclass(frozen=True)
class Line:
    """A line of the budget: what is paid, who pays, and whether it is cash or capacity."""

    item: str
    payer: str
    kind: str


@dataclass(frozen=True, eq=False)
class Budget:
    """A budget under the comparator and under the strategy, undiscounted, in the currency of the parameters.

    lines          {Line: (2, year, sim)}, comparator first
    counts         {name in COUNTED, "diagnoses": (2, year, sim)}
    licence_units  (year + 1, sim) times the licence price is paid more often than under the comparator:
                   row 0 at once, row y in year y
    licence_price  (sim,) price of such a unit
    """

    strategy: str
    comparator: str
    pricing: str
    lines: Mapping[Line, np.ndarray]
    counts: Mapping[str, np.ndarray]
    licence_units: np.ndarray
    licence_price: np.ndarray

    @property
    def n_years(self) -> int:
        return len(self.licence_units) - 1

    def difference(self, perspective: str = "total", kind: str | None = None) -> np.ndarray:
        """Money that the strategy costs more than the comparator, (year, sim); of one kind, or of both.

        Raises InputError for an unknown perspective or kind.
        """
        chosen = self._chosen(perspective, kind)
        return sum(self.lines[line][1] - self.lines[line][0] for line in chosen)

    def cash_flow(self, perspective: str = "hospital", capacity: bool = True) -> np.ndarray:
        """What the strategy brings in, (year + 1, sim): row 0 what is paid once, row y the rest of year y.

        Without `capacity` time that is not turned into money counts nothing. Raises InputError for an
        unknown perspective.
        """
        flow = np.zeros((self.n_years + 1, len(self.licence_price)))
        for line in self._chosen(perspective, None if capacity else "cash"):
            added = self.lines[line][1] - self.lines[line][0]
            if line.item in ONE_OFF:
                flow[0] -= added.sum(axis=0)
            else:
                flow[1:] -= added
        return flow

    def per_scan(self, perspective: str = "total", kind: str | None = None) -> np.ndarray:
        """Difference of all years per screen under the strategy, (sim,)."""
        return self.difference(perspective, kind).sum(axis=0) / self.counts["screens"][1].sum(axis=0)

    def table(self, sim: int = 0) -> "pd.DataFrame":
        """One row a year, payer, item and kind: comparator, strategy and difference, in one draw."""
        import pandas as pd  # slow to import, and arrays do without

        rows = [
            {
                "year": year + 1,
                "payer": line.payer,
                "item": line.item,
                "kind": line.kind,
                "comparator": amounts[0, year, sim],
                "strategy": amounts[1, year, sim],
                "difference": amounts[1, year, sim] - amounts[0, year, sim],
            }
            for year in range(self.n_years)
            for line, amounts in self.lines.items()
        ]
        return pd.DataFrame(rows)

    def _chosen(self, perspective: str, kind: str | None) -> list[Line]:
        _check_choice("perspective", perspective, PERSPECTIVES)
        if kind is not None:
            _check_choice("kind", kind, KINDS)
        return [line for line in self.lines if perspective in ("total", line.payer) and kind in (None, line.kind)]


@dataclass(frozen=True, eq=False)
class BusinessCase:
    """What an investment in a mode of reading is worth to whoever pays for it; (sim,) each unless said.

    cash_flow          (year + 1, sim) as Budget.cash_flow gives it
    net_present_value  at the annual rate that was asked for
    rate_of_return     internal rate; NaN where no rate, or more than one, balances the flow
    payback_years      undiscounted; infinite where the money never comes back
    break_even_scans   screens a year, on average over the years, at which the net present value is 0;
                       infinite where a screen earns nothing
    highest_price      of a unit of the licence at which the net present value is 0; negative where even
                       a free licence costs more than it saves
    """

    cash_flow: np.ndarray
    net_present_value: np.ndarray
    rate_of_return: np.ndarray
    payback_years: np.ndarray
    break_even_scans: np.ndarray
    highest_price: np.ndarray


def budget_impact(
    parameters: Mapping[str, ArrayLike],
    table: LifeTable,
    strategy: str,
    comparator: str = "single",
    n_years: int = 5,
    entrants: ArrayLike | None = None,
    pricing: str = "per_scan",
    person: Mapping[str, np.ndarray] | None = None,
) -> Budget:
    """The budget of `n_years` with one of reading.MODES against any of screening.STRATEGIES.

    entrants  persons who start at the beginning of each year, a number or (n_years,); hospital_entrants
              where not given, and payer_entrants make a payer's budget. Who is in a programme already is
              not counted, so the first years are those of a programme that begins.
    person    what `per_entrant` gives for the same values, (comparator, strategy) and n_years, where it is known

    Beside the ids of the lung model: payment_to_cost, share_care_here, share_reader_time_cash,
    share_ai_reimbursed, c_ai_reimbursement, c_ai_setup, c_ai_integration, and as `pricing` needs them
    c_ai_scan, c_ai_licence_year, c_ai_purchase, share_ai_maintenance. Values are numbers, or arrays of one
    length n_sim. Raises InputError for an unknown strategy, comparator or pricing, a horizon that is not 1
    to 10 years, and entrants that are not so many numbers from 0 on; ParameterError for a parameter that is
    missing or out of range.
    """
    _check_choice("strategy", strategy, MODES)
    _check_choice("comparator", comparator, STRATEGIES)
    _check_choice("pricing", pricing, PRICINGS)
    if isinstance(n_years, bool) or not isinstance(n_years, int | np.integer) or not 1 <= n_years <= LONGEST_YEARS:
        raise InputError("n_years", repr(n_years), f"a whole number of years from 1 to {LONGEST_YEARS}")
    get = Parameters(parameters)
    starting = _entrants(get("hospital_entrants") if entrants is None else entrants, int(n_years), get.n_sim())
    if person is None:
        person = per_entrant(parameters, table, (comparator, strategy), int(n_years))
    years = {name: _all_entrants(values, starting) for name, values in person.items()}
    payments = _payments(get, years)
    units, price = _licence(get, pricing, years["ai_reads"])
    lines = {Line(name, "payer", "cash"): amount for name, amount in payments.items()}
    reimbursed = years["ai_reads"] * get("share_ai_reimbursed", 0, 1) * get("c_ai_reimbursement")
    lines[Line("ai_reimbursement", "payer", "cash")] = reimbursed
    lines |= _hospital_services(get, years, payments)
    lines |= _hospital_ai(get, years["ai_reads"], units * price, pricing)
    lines[Line("ai_income", "hospital", "cash")] = -reimbursed
    counts = {name: years[name] for name in COUNTED}
    counts["diagnoses"] = sum(years[f"diagnosed_{stage}"] for stage in STAGES)
    return Budget(strategy, comparator, pricing, lines, counts, units[1] - units[0], price)


def business_case(
    budget: Budget, annual_rate: ArrayLike, perspective: str = "hospital", capacity: bool = True
) -> BusinessCase:
    """The investment behind a budget, discounted by `annual_rate`, a number or (sim,).

    What is paid once falls at the start, the rest of a year at its end. `perspective` is that of the hospital
    or the total, since a payer buys no licence; InputError for others and for a rate of -1 or less.
    """
    if perspective == "payer":
        raise InputError("perspective", repr(perspective), "hospital or total: the payer buys no licence")
    flow = budget.cash_flow(perspective, capacity)
    n_sim = flow.shape[1]
    rates = np.broadcast_to(np.asarray(annual_rate, dtype=float), (n_sim,))
    fixed, volume = _fixed_and_volume(budget, flow)

    def present(rows: np.ndarray) -> np.ndarray:
        return np.array([finance.net_present_value(rows[:, i], rates[i]) for i in range(n_sim)])

    value, units = present(flow), present(np.broadcast_to(budget.licence_units, flow.shape))
    per_year = np.broadcast_to(budget.counts["screens"][1].mean(axis=0), (n_sim,))
    shares = [
        finance.break_even_volume(max(-a, 0.0), b) for a, b in zip(present(fixed), present(volume), strict=True)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        highest = np.where(units > 0, budget.licence_price + value / units, np.nan)
    return BusinessCase(
        cash_flow=flow,
        net_present_value=value,
        rate_of_return=np.array([_rate_of_return(flow[:, i]) for i in range(n_sim)]),
        payback_years=np.array([_or_infinite(finance.payback_years(flow[:, i])) for i in range(n_sim)]),
        break_even_scans=np.array([_or_infinite(share) for share in shares]) * per_year,
        highest_price=highest,
    )


def highest_price(
    parameters: Mapping[str, ArrayLike], table: LifeTable, strategy: str, comparator: str, wtp: ArrayLike
) -> np.ndarray:
    """Price per scan at which the AI's lifetime net monetary benefit equals the comparator's, (n_sim,).

    wtp in money per QALY: 0 gives the price at cost neutrality. Of the lung model over a lifetime, discounted,
    per person who enters, without set-up; negative where even a free AI is not worth it. Cost is linear in
    the price, so two prices tell it. Raises InputError for a strategy that uses no AI, a comparator that does,
    and a negative wtp.
    """
    wtp = np.asarray(wtp, dtype=float)
    if not (wtp >= 0).all():
        raise InputError("wtp", f"{wtp}", "money per QALY, 0 or more")
    names = (comparator, strategy)
    free = lung.run({**parameters, "c_ai_scan": 0.0}, table, names)
    priced = lung.run({**parameters, "c_ai_scan": 1.0}, table, names)
    runs = (priced.cost - free.cost).T
    if not (runs[1] > 0).all():
        raise InputError("strategy", f"{strategy!r}, which uses no AI", "concurrent, second_reader or triage")
    if (runs[0] > 0).any():
        raise InputError("comparator", f"{comparator!r}, which uses AI too", "a strategy without AI")
    worth = wtp * (free.qalys[:, 1] - free.qalys[:, 0]) - (free.cost[:, 1] - free.cost[:, 0])
    return worth / runs[1]


def value_of_reading_time(
    parameters: Mapping[str, ArrayLike], strategy: str, comparator: str = "single", screening_round: str = "later"
) -> np.ndarray:
    """Money that reader minutes saved per screen are worth (negative: added), of a person without cancer.

    Ninety-nine in a hundred screens are of such persons. Uses c_reader_hour and the ids of read_screen, whose
    errors it raises.
    """
    minutes = [
        minutes_per_screen(read_screen(mode, parameters, screening_round), cancer=False)
        for mode in (comparator, strategy)
    ]
    return (minutes[0] - minutes[1]) * np.asarray(parameters["c_reader_hour"], dtype=float) / MINUTES_PER_HOUR


def per_member_per_month(budget: Budget, members: ArrayLike) -> np.ndarray:
    """What the strategy costs the payer more per member and month, (year, sim); members a number or (sim,).

    The budget must be that of as many members, with entrants=payer_entrants. Raises InputError for members
    that are not above 0.
    """
    members = np.asarray(members, dtype=float)
    if not (members > 0).all():
        raise InputError("members", f"{members}", "numbers above 0")
    return budget.difference("payer") / (members * MONTHS_PER_YEAR)


def treatment_by_stage(parameters: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """{stage: first treatment of a cancer of that stage as a ratio to stage IA, (n_sim,)}.

    Where the ratios are near 1, finding cancers earlier saves nothing on treatment: in Italy stage IV costs
    a third more than stage I. ParameterError as the lung model raises it.
    """
    costs = Parameters(parameters).stages("c_initial_{}")
    return {stage: costs[s] / costs[0] for s, stage in enumerate(STAGES)}


# Persons


def _entrants(entrants: ArrayLike, n_years: int, n_sim: int) -> np.ndarray:
    """(year, sim or 1) of a number, of (n_years,), or of one number a draw where nothing else fits."""
    given = np.asarray(entrants, dtype=float)
    if given.ndim > 1 or given.size not in (1, n_years, n_sim):
        raise InputError("entrants", f"shape {given.shape}", f"a number or one for each of {n_years} years")
    if not ((given >= 0) & (given < np.inf)).all() or not (given > 0).any():
        raise InputError("entrants", f"{given}", "numbers from 0 on, not all 0")
    if given.size == n_years and given.size > 1:
        return given[:, None]
    return np.broadcast_to(given.reshape(1, -1), (n_years, given.size))


def per_entrant(
    parameters: Mapping[str, ArrayLike], table: LifeTable, strategies: tuple[str, str], n_years: int
) -> dict[str, np.ndarray]:
    """Events and costs per person in each year after entry, {name: (strategy, year, sim)}.

    They do not depend on c_ai_scan.
    """
    parts = [_trace_years(chunk, table, strategies, n_years) for chunk in _chunks(parameters)]
    return {name: np.concatenate([part[name] for part in parts], axis=2) for name in parts[0]}


def _chunks(parameters: Mapping[str, ArrayLike]) -> Iterator[Mapping[str, ArrayLike]]:
    n_sim = Parameters(parameters).n_sim()
    if n_sim <= CHUNK_DRAWS:
        yield parameters
        return
    for start in range(0, n_sim, CHUNK_DRAWS):
        part = slice(start, start + CHUNK_DRAWS)
        yield {key: value if np.size(value) == 1 else np.asarray(value)[part] for key, value in parameters.items()}


def _trace_years(
    parameters: Mapping[str, ArrayLike], table: LifeTable, strategies: tuple[str, str], n_years: int
) -> dict[str, np.ndarray]:
    get = Parameters(parameters)
    history = natural_history(parameters, table, n_years * CYCLES_PER_YEAR)
    # Without screening nobody attends; how nobody's screen would be read is all the same.
    offered = np.array([name != NO_SCREENING for name in strategies])[:, None]
    modes = [name if name != NO_SCREENING else "single" for name in strategies]
    first, later = (
        replace(screen, attendance=offered * screen.attendance) for screen in screens(parameters, modes)
    )
    # A screen at the end of the last cycle is the next year's.
    rounds = {t: later if t else first for t in schedule(parameters) if t < history.n_cycles}
    return _by_year(trace_screens(history, get, rounds, strategies, keep_years_since=False), get, n_years)


def _by_year(trace: LungTrace, get: Parameters, n_years: int) -> dict[str, np.ndarray]:
    """Sums of cycles, {name: (strategy, year, sim)}: screens belong to the year they begin, diagnoses and
    deaths to the year in which their cycle ends, and life between two years half to each, but for those whom the
    screen between them finds: they are the second year's."""
    rows = np.arange(n_years * CYCLES_PER_YEAR + 1)
    beginning = (rows // CYCLES_PER_YEAR == np.arange(n_years)[:, None]).astype(float)
    ending = (np.maximum(rows - 1, 0) // CYCLES_PER_YEAR == np.arange(n_years)[:, None]).astype(float)
    living = (beginning + ending) / 2
    living[-1, -1] = 1.0  # the last row has half the weight already, as the first

    def years(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
        return np.einsum("yt,tsn->syn", weights, values)

    found = {name: years(beginning, trace.events[name]) for name in COUNTED[:-1]}
    found["lung_cancer_deaths"] = years(ending, trace.events["lung_cancer_deaths"])
    for stage in STAGES:
        diagnoses = trace.events[f"screen_diagnosis_{stage}"], trace.events[f"clinical_diagnosis_{stage}"]
        found[f"diagnosed_{stage}"] = years(beginning, diagnoses[0]) + years(ending, diagnoses[1])
    for item in ("entry", "scan", "reading", "incidental", "false_positive", "complication"):
        found[f"cost_{item}"] = years(beginning, trace.costs[item])
    cost = by_group(get, "c_continuing_{}")
    at_screens = CYCLE_YEARS * sum(
        trace.events[f"screen_diagnosis_{stage}"] * c for stage, c in zip(STAGES, cost, strict=True)
    )
    found["cost_continuing"] = years(living, trace.costs["continuing"]) + years(beginning - living, at_screens)
    found["cost_terminal"] = years(ending, trace.costs["terminal"])
    return found


def _all_entrants(values: np.ndarray, starting: np.ndarray) -> np.ndarray:
    """(strategy, year, sim) of all who have entered: those of year k are in year y - k after entry."""
    n_years = len(starting)
    shape = (values.shape[0], n_years, np.broadcast_shapes(values.shape[2:], starting.shape[1:])[0])
    total = np.zeros(shape)
    for k in range(n_years):
        total[:, k:] += values[:, : n_years - k] * starting[k]
    return total


# Lines


def _payments(get: Parameters, years: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the payer pays by item, (strategy, year, sim). A screen is paid the same however it is read."""
    paid = {name: years[f"cost_{name}"] for name in ("entry", "incidental", "false_positive", "complication")}
    paid["scan"] = years["screens"] * get("c_ldct")
    diagnosed = [years[f"diagnosed_{stage}"] for stage in STAGES]
    paid["cancer_workup"] = sum(diagnosed) * get("c_cancer_workup")
    for stage, number in zip(STAGES, diagnosed, strict=True):
        paid[f"treatment_{stage}"] = number * get(f"c_initial_{stage}")
    paid |= {name: years[f"cost_{name}"] for name in ("continuing", "terminal")}
    return {name: paid[name] for name in (*SCREENING, *CARE)}


def _hospital_services(
    get: Parameters, years: Mapping[str, np.ndarray], payments: Mapping[str, np.ndarray]
) -> dict[Line, np.ndarray]:
    """What services cost the hospital, and the payments it receives for them."""
    ratio, here = get("payment_to_cost", 1e-6), get("share_care_here", 0, 1)
    in_cash = get("share_reader_time_cash", 0, 1)
    services = {"entry": payments["entry"], "scan": years["cost_scan"]}
    services |= {name: payments[name] * here for name in CARE}
    lines = {Line(name, "hospital", "cash"): amount / ratio for name, amount in services.items()}
    lines[Line("reading", "hospital", "cash")] = years["cost_reading"] * in_cash
    lines[Line("reading", "hospital", "capacity")] = years["cost_reading"] * (1 - in_cash)
    lines[Line("screening_income", "hospital", "cash")] = -sum(payments[name] for name in SCREENING)
    lines[Line("care_income", "hospital", "cash")] = -sum(payments[name] for name in CARE) * here
    return lines


def _licence(get: Parameters, pricing: str, ai_reads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Units of the licence (strategy, year + 1, sim) and the price of one (sim,); no units without AI."""
    n_sim = ai_reads.shape[2]
    if pricing == "per_scan":
        now, later, price = 0.0, ai_reads, get("c_ai_scan")
    elif pricing == "per_year":
        now, later, price = 0.0, 1.0, get("c_ai_licence_year")
    else:
        now, later, price = 1.0, get("share_ai_maintenance", 0, 1), get("c_ai_purchase")
    units = np.zeros((ai_reads.shape[0], ai_reads.shape[1] + 1, n_sim))
    units[:, 0], units[:, 1:] = now, later
    return units * (ai_reads > 0).any(axis=1, keepdims=True), np.broadcast_to(price, (n_sim,))


def _hospital_ai(
    get: Parameters, ai_reads: np.ndarray, licence: np.ndarray, pricing: str
) -> dict[Line, np.ndarray]:
    """Set-up in the first year, and the licence; nothing for a strategy without AI."""
    uses_ai = (ai_reads > 0).any(axis=1)

    def at_once(amount: np.ndarray) -> np.ndarray:
        paid = np.zeros(ai_reads.shape)
        paid[:, 0] = uses_ai * amount
        return paid

    yearly, none = licence[:, 1:], np.zeros(ai_reads.shape)
    lines = {
        "ai_setup": at_once(get("c_ai_setup")),
        "ai_integration": at_once(get("c_ai_integration")),
        "ai_purchase": at_once(licence[:, 0]),
        "ai_maintenance": yearly if pricing == "one_time" else none,
        "ai_licence": none if pricing == "one_time" else yearly,
    }
    return {Line(name, "hospital", "cash"): amount for name, amount in lines.items()}


# Business case


def _fixed_and_volume(budget: Budget, flow: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the cash flow that does not depend on the number of screens, and the part that is in
    proportion to it."""
    items = AI if budget.pricing != "per_scan" else (*ONE_OFF, "ai_maintenance")
    fixed = np.zeros_like(flow)
    for item in items:
        paid = budget.lines[Line(item, "hospital", "cash")]
        added = paid[1] - paid[0]
        if item in ONE_OFF:
            fixed[0] -= added.sum(axis=0)
        else:
            fixed[1:] -= added
    return fixed, flow - fixed


def _rate_of_return(flow: np.ndarray) -> float:
    try:
        return finance.internal_rate_of_return(flow)
    except InputError:  # none, or several, of which none ranks anything
        return float("nan")


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(name, repr(value), "one of " + ", ".join(choices))
