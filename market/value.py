"""What another way of reading changes at a screening site: people, money by item and year, and what it is worth.

Built from the budget of some years (market.budget) and the cohort over its life (market.lung_trace); nothing of
the models is written here. Transfers between payer and hospital are booked to the item that they pay for, so that
the items of either book, and of both together, add up to its net.

Bases. What screens cause is counted per 1,000 screens under the strategy, over all years of the budget, and per
year at the site. Deaths, stages and overdiagnosis take a lifetime to show: they are counted per 1,000 persons who
start screening, to the end of the model, undiscounted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from market import budget, lung
from market.budget import CARE, KINDS, PERSPECTIVES, SCREENING, Budget, Line
from market.errors import InputError
from market.lung_trace import COST_ITEMS, trace_strategies
from market.natural_history import STAGES, LifeTable, Parameters
from market.reading import MINUTES_PER_HOUR

if TYPE_CHECKING:
    import pandas as pd

CHUNK_DRAWS = 100
"""A trace keeps every cycle; so many draws at a time fit into some tens of megabytes."""

GROUPS = {
    "licence": ("ai_licence", "ai_maintenance"),
    "setup": ("ai_setup", "ai_integration", "ai_purchase"),
    "reimbursement": ("ai_reimbursement", "ai_income"),
    "screening": (*SCREENING, "incidental"),
    "reading": ("reading",),
    "recalls": ("false_positive",),
    "complications": ("complication",),
    "workup": ("cancer_workup",),
    "treatment": tuple(f"treatment_{stage}" for stage in STAGES),
    "later_care": ("continuing", "terminal"),
}
"""Lines of the budget by what a person asks for; income is booked to the line that it pays for."""

GROUP_LABELS = {
    "licence": "AI licence",
    "setup": "AI set-up",
    "reimbursement": "Payment for AI",
    "screening": "Screening itself",
    "reading": "Reader time",
    "recalls": "Recalls, biopsies",
    "complications": "Complications",
    "workup": "Work-up of cancers",
    "treatment": "Treatment by stage",
    "later_care": "Later care",
}

STAGE_NAMES = {stage: stage.upper() for stage in STAGES}
SCREENED, LIFETIME = "screened", "lifetime"
OUTCOMES = {
    "recalls": ("Recalls", SCREENED, -1),
    "false_positives": ("Recalls without cancer", SCREENED, -1),
    "invasive_procedures": ("Biopsies without cancer", SCREENED, -1),
    "complications": ("Complications of biopsy", SCREENED, -1),
    "screen_detected": ("Cancers found by a screen", SCREENED, 1),
    "reader_hours": ("Reader hours", SCREENED, -1),
    "deaths_averted": ("Lung cancer deaths averted", LIFETIME, 1),
    "overdiagnosed": ("Overdiagnosed cancers", LIFETIME, -1),
    **{
        f"stage_{stage}": (f"Cancers in stage {stage.upper().replace('A', 'A', 1)}", LIFETIME, 0)
        for stage in STAGES
    },
}
"""{id: (label, basis, 1 where more is better, -1 where fewer are, 0 where it depends)}."""


@dataclass(frozen=True, eq=False)
class SiteValue:
    """A site's budget and its cohort over life, under comparator and strategy, for one or many sets of values.

    budget       of so many years
    lifetime     {name: (sim, 2)} totals per person who starts: events of lung_trace.EVENTS, qalys discounted
    cost_free    (sim, 2) discounted cost per person if the AI cost nothing a scan
    ai_uses      (sim, 2) discounted runs of the AI per person: what a unit of its price costs
    care_here    (sim,) share of care that the hospital is paid for
    entrants     (sim,) persons who start a year
    rate         (sim,) at which the hospital discounts
    """

    budget: Budget
    lifetime: Mapping[str, np.ndarray]
    cost_free: np.ndarray
    ai_uses: np.ndarray
    care_here: np.ndarray
    entrants: np.ndarray
    rate: np.ndarray

    @property
    def n_sim(self) -> int:
        return len(self.budget.licence_price)


def site_value(
    values: Mapping[str, ArrayLike],
    table: LifeTable,
    strategy: str,
    comparator: str,
    n_years: int,
    entrants: float | None = None,
    pricing: str = "per_scan",
    totals: Mapping[str, np.ndarray] | None = None,
    person: Mapping[str, np.ndarray] | None = None,
) -> SiteValue:
    """All that the tables below are made of; values are numbers, or arrays of one length n_sim.

    `totals` are those of `lifetime` and `person` that of `budget.per_entrant` with the same values, where they
    are known already. The other arguments and the errors are those of `budget.budget_impact`.
    """
    found = budget.budget_impact(values, table, strategy, comparator, n_years, entrants, pricing, person)
    get = Parameters(values)
    n_sim = len(found.licence_price)
    totals = lifetime(values, table, (comparator, strategy)) if totals is None else totals
    starting = get("hospital_entrants") if entrants is None else np.array([float(entrants)])
    return SiteValue(
        budget=found,
        lifetime=totals,
        cost_free=totals["cost_free"],
        ai_uses=totals["ai_uses"],
        care_here=np.broadcast_to(get("share_care_here"), (n_sim,)),
        entrants=np.broadcast_to(starting, (n_sim,)),
        rate=np.broadcast_to(get("discount_hospital"), (n_sim,)),
    )


def lifetime(
    values: Mapping[str, ArrayLike], table: LifeTable, strategies: tuple[str, str]
) -> dict[str, np.ndarray]:
    """{name: (sim, 2)} of LungTrace.totals per person who starts, and cost_free and ai_uses of SiteValue.

    These two, events and QALYs do not depend on c_ai_scan.
    """
    parts = []
    for chunk in _chunks(values, Parameters(values).n_sim()):
        trace = trace_strategies(chunk, table, strategies, keep_years_since=False)
        part = trace.totals()
        part["cost_free"] = sum(part[f"cost_{name}"] for name in COST_ITEMS if name != "ai")
        part["ai_uses"] = (trace.events["ai_reads"] * trace.discount_cost[:, None]).sum(axis=0).T
        parts.append(part)
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _chunks(values: Mapping[str, ArrayLike], n_sim: int) -> Iterator[Mapping[str, ArrayLike]]:
    if n_sim <= CHUNK_DRAWS:
        yield values
        return
    for start in range(0, n_sim, CHUNK_DRAWS):
        part = slice(start, start + CHUNK_DRAWS)
        yield {key: value if np.size(value) == 1 else np.asarray(value)[part] for key, value in values.items()}


# People


def outcomes(found: SiteValue) -> dict[str, np.ndarray]:
    """{id in OUTCOMES: (2, sim)} per 1,000, comparator first, on the basis that OUTCOMES names."""
    counts = {name: values.sum(axis=1) for name, values in found.budget.counts.items()}
    counts["reader_hours"] = counts["reader_minutes"] / MINUTES_PER_HOUR
    life = {name: values.T for name, values in found.lifetime.items()}
    deaths = life["lung_cancer_deaths"]
    life["deaths_averted"] = deaths[:1] - deaths
    life["overdiagnosed"] = life["overdiagnosis_deaths"]
    for stage in STAGES:
        life[f"stage_{stage}"] = life[f"screen_diagnosis_{stage}"] + life[f"clinical_diagnosis_{stage}"]
    screens = counts["screens"][1]
    return {
        name: 1000 * (counts[name] / screens if basis == SCREENED else life[name])
        for name, (_, basis, _) in OUTCOMES.items()
    }


def outcome_table(base: SiteValue, drawn: SiteValue | None = None) -> "pd.DataFrame":
    """One row an outcome: id, label, basis, comparator, strategy and change per 1,000, change_per_year at the
    site, better (1 more is, -1 fewer is, 0 depends), and with draws change_low, change_high (2.5 and 97.5 %)."""
    import pandas as pd

    found, spread = outcomes(base), outcomes(drawn) if drawn is not None else {}
    screens = base.budget.counts["screens"][1].mean(axis=0)[0]
    rows = []
    for name, (label, basis, better) in OUTCOMES.items():
        before, after = (float(value) for value in found[name][:, 0])
        row = {"id": name, "label": label, "basis": basis, "comparator": before, "strategy": after}
        row |= {"change": after - before, "better": better}
        thousands = (screens if basis == SCREENED else base.entrants[0]) / 1000
        row["change_per_year"] = (after - before) * float(thousands)
        if spread:
            row |= _ends("change", spread[name][1] - spread[name][0])
        rows.append(row)
    return pd.DataFrame(rows)


# Money


def items(found: SiteValue, perspective: str) -> dict[tuple[str, str], np.ndarray]:
    """{(group in GROUPS, kind): (2, year, sim)} of one book or of both ("total"), transfers booked to their items.

    Costs are positive. Raises InputError for an unknown perspective.
    """
    if perspective not in PERSPECTIVES:
        raise InputError("perspective", repr(perspective), "one of " + ", ".join(PERSPECTIVES))
    lines = found.budget.lines
    income = _income(found)
    groups: dict[tuple[str, str], np.ndarray] = {}
    for group, names in GROUPS.items():
        for kind in KINDS:
            parts = [
                lines[Line(item, payer, kind)] - (income.get(item, 0.0) if payer == "hospital" else 0.0)
                for item in names
                for payer in ("payer", "hospital")
                if perspective in ("total", payer) and Line(item, payer, kind) in lines
            ]
            if parts:
                groups[group, kind] = sum(parts)
    return groups


def _income(found: SiteValue) -> dict[str, np.ndarray]:
    """What the hospital is paid for each of its services, (2, year, sim)."""
    lines = found.budget.lines
    paid = {name: lines[Line(name, "payer", "cash")] for name in SCREENING}
    paid |= {name: lines[Line(name, "payer", "cash")] * found.care_here for name in CARE}
    return paid


def item_table(base: SiteValue, perspective: str, drawn: SiteValue | None = None) -> "pd.DataFrame":
    """One row an item and kind, then the net of the cash: money per 1,000 screens under the strategy, of all years.

    Columns group, label, kind, comparator, strategy, change, change_per_year, and with draws change_low and
    change_high. The last two rows are the net of cash ("net", "cash") and of capacity ("net", "capacity").
    """
    import pandas as pd

    found = _per_thousand(base, perspective)
    spread = {} if drawn is None else _per_thousand(drawn, perspective)
    screens = float(base.budget.counts["screens"][1].mean(axis=0)[0])
    rows = []
    for (group, kind), amounts in found.items():
        before, after = (float(value) for value in amounts[:, 0])
        row = {"group": group, "label": GROUP_LABELS.get(group, "Net"), "kind": kind}
        row |= {"comparator": before, "strategy": after, "change": after - before}
        row["change_per_year"] = (after - before) * screens / 1000
        if spread:
            row |= _ends("change", spread[group, kind][1] - spread[group, kind][0])
        rows.append(row)
    return pd.DataFrame(rows)


def _per_thousand(found: SiteValue, perspective: str) -> dict[tuple[str, str], np.ndarray]:
    """{(group or "net", kind): (2, sim)} per 1,000 screens."""
    screens = found.budget.counts["screens"][1].sum(axis=0)
    per = {key: 1000 * amounts.sum(axis=1) / screens for key, amounts in items(found, perspective).items()}
    for kind in KINDS:
        of_kind = [amounts for (_, other), amounts in per.items() if other == kind]
        per["net", kind] = sum(of_kind) if of_kind else np.zeros((2, found.n_sim))
    return per


def year_table(base: SiteValue, perspective: str, drawn: SiteValue | None = None) -> "pd.DataFrame":
    """One row a year and item in cash, and a row "net" of each year: the change in money at the site, undiscounted.

    Columns year, group, label, change, cumulative (of net rows, else NaN), and with draws change_low, change_high
    (of net rows, else NaN).
    """
    import pandas as pd

    found = {group: amounts for (group, kind), amounts in items(base, perspective).items() if kind == "cash"}
    spread = None if drawn is None else base_difference(drawn, perspective)
    rows = []
    total = 0.0
    for year in range(base.budget.n_years):
        net = 0.0
        for group, amounts in found.items():
            change = float(amounts[1, year, 0] - amounts[0, year, 0])
            net += change
            rows.append({"year": year + 1, "group": group, "label": GROUP_LABELS[group], "change": change})
        total += net
        row = {"year": year + 1, "group": "net", "label": "Net", "change": net, "cumulative": total}
        rows.append(row | ({} if spread is None else _ends("change", spread[year])))
    return pd.DataFrame(rows)


def base_difference(found: SiteValue, perspective: str) -> np.ndarray:
    """Change in cash, (year, sim)."""
    return found.budget.difference(perspective, "cash")


# Worth


@dataclass(frozen=True, eq=False)
class Measure:
    """One measure of the worth of the investment: label, unit, and (sim,) values, infinite for never."""

    label: str
    unit: str
    values: np.ndarray


OWNERS = {"hospital": "the hospital", "total": "hospital and payer"}
TIMES = {"cash": "cash alone", "all": "cash and capacity"}


def measures(found: SiteValue, wtp: float, currency: str, pricing: str) -> dict[str, Measure]:
    """{id: Measure}; ids are npv_, irr_, payback_, break_even_ and price_OWNER_TIME, price_neutral, price_wtp.

    OWNER is one of OWNERS, TIME of TIMES. price_neutral and price_wtp, over a lifetime and discounted, are the
    prices per scan at which the strategy costs no more than the comparator, and at which it is worth `wtp` per
    QALY; only where the strategy uses AI and the comparator none.
    """
    made: dict[str, Measure] = {}
    for owner, who in OWNERS.items():
        for time, how in TIMES.items():
            case = budget.business_case(found.budget, found.rate, owner, time == "all")
            words = f"{who}, {how}"
            end = f"{owner}_{time}"
            made |= {
                f"npv_{end}": Measure(f"net present value for {words}", currency, case.net_present_value),
                f"irr_{end}": Measure(f"internal rate of return for {words}", "per year", case.rate_of_return),
                f"payback_{end}": Measure(f"payback for {words}", "years", case.payback_years),
                f"break_even_{end}": Measure(f"break-even for {words}", "screens a year", case.break_even_scans),
                f"price_{end}": Measure(f"highest price for {words}", f"{currency}, {pricing}", case.highest_price),
            }
    uses = found.ai_uses
    if (uses[:, 1] > 0).any() and not (uses[:, 0] > 0).any():
        gained = found.lifetime["qalys"][:, 1] - found.lifetime["qalys"][:, 0]
        spent = found.cost_free[:, 1] - found.cost_free[:, 0]
        for name, what, worth in (("neutral", "cost neutrality", 0.0), ("wtp", "the willingness to pay", wtp)):
            price = (worth * gained - spent) / uses[:, 1]
            made[f"price_{name}"] = Measure(
                f"highest price over a lifetime at {what}", f"{currency} per scan", price
            )
    return made


def measure_table(base: Mapping[str, Measure], drawn: Mapping[str, Measure] | None = None) -> "pd.DataFrame":
    """One row a measure: id, measure, value, unit, and with draws value_low and value_high (2.5 and 97.5 %)."""
    import pandas as pd

    rows = []
    for name, measure in base.items():
        row = {"id": name, "measure": measure.label, "value": float(measure.values[0]), "unit": measure.unit}
        rows.append(row | (_ends("value", drawn[name].values) if drawn else {}))
    return pd.DataFrame(rows)


def _ends(name: str, values: np.ndarray) -> dict[str, float]:
    # Where some draws have no value, those that have one are no sample of all.
    ends = (np.nan, np.nan) if np.isnan(values).any() else np.quantile(values, (0.025, 0.975), method="nearest")
    return {f"{name}_low": float(ends[0]), f"{name}_high": float(ends[1])}


def threshold_sweep(
    values: Mapping[str, float],
    table: LifeTable,
    strategy: str,
    comparator: str,
    points: Sequence[tuple[float, float]],
    wtp: float,
) -> np.ndarray:
    """Net monetary benefit per person against the comparator, (point,), with the AI at each (sensitivity,
    specificity).

    Raises InputError for a strategy that does not use them, and for no points.
    """
    if strategy not in ("second_reader", "triage"):
        raise InputError(
            "strategy", repr(strategy), "second_reader or triage: others do not use the AI's own accuracy"
        )
    if not points:
        raise InputError("points", "none", "pairs of sensitivity and specificity")
    sensitivity, specificity = np.array(points, dtype=float).T
    swept = {**values, "ai_sensitivity": sensitivity, "ai_specificity": specificity}
    results = lung.run(swept, table, (comparator, strategy))
    benefit = wtp * results.qalys - results.cost
    return benefit[:, 1] - benefit[:, 0]
