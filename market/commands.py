"""What each command of `python -m market` finds, as a Report."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from market import analysis, budget, diffusion, market_size, value, voi
from market.calibration import draw_parameters
from market.database import open_database, sql
from market.errors import InputError
from market.lung import LEFT_OUT
from market.natural_history import life_table
from market.parameters import ParameterSet
from market.report import ANY, GIVEN, Column, Report, Table
from market.scenarios import ENGINE_VERSION, OperatingPoint, Scenario
from market.screening import STRATEGY_LABELS

if TYPE_CHECKING:
    import pandas as pd

MONEY, CENTS, QALYS, COUNT, SHARE = "{:,.0f}", "{:,.2f}", "{:.4f}", "{:,.1f}", "{:.3f}"
THRESHOLDS = 11
"""Points of the acceptability curves, from 0 to twice the willingness to pay."""


def facts(command: str, scenario: Scenario, parameters: ParameterSet, **more: Any) -> dict[str, Any]:
    """What a result is of: enough to make it again."""
    return {
        "command": command,
        "scenario": scenario.name,
        "setting": parameters.setting,
        "currency": parameters.currency,
        "prices of": parameters.price_year,
        "engine": ENGINE_VERSION,
        "overrides": dict(parameters.overrides),
        **({"AI counts": dict(vars(point))} if (point := scenario.operating_point) else {}),
        **more,
    }


def run(scenario: Scenario, parameters: ParameterSet) -> Report:
    found = analysis.base_case(parameters)
    money = parameters.currency
    icers = found.icers.assign(label=[STRATEGY_LABELS[name] for name in found.icers["strategy"]])
    per_thousand = {
        "label": Column("per 1,000 persons"),
        "deaths_averted": Column("lung cancer deaths averted", COUNT),
        "diagnoses": Column("cancers", COUNT),
        "overdiagnosed": Column("overdiagnosed", COUNT),
        "screens": Column("screens", MONEY),
        "false_positives": Column("false positives", MONEY),
        "reader_hours": Column("reader hours", MONEY),
    }
    tables = {
        "icers": Table(
            "Cost-effectiveness, per person, discounted",
            icers,
            {
                "label": Column("strategy"),
                "cost": Column(f"cost, {money}", MONEY),
                "effect": Column("QALYs", QALYS),
                "inc_cost": Column("more cost", MONEY),
                "inc_effect": Column("more QALYs", QALYS),
                "icer": Column(f"{money} per QALY", MONEY),
                "status": Column("status"),
            },
        ),
        "strategies": Table("What happens", found.table, per_thousand),
    }
    sentences = analysis.verdicts(found.icers, found.wtp, money)
    return Report(facts("run", scenario, parameters), tables, [*sentences, *_caveats(parameters, found.asked)])


def _caveats(parameters: ParameterSet, asked: frozenset[str]) -> list[str]:
    """How far the numbers behind a result are to be trusted, and what an AI's operating point leaves as it was."""
    entries = [parameters.parameters[key] for key in analysis.with_inputs(parameters, asked)]
    given = [entry for entry in entries if entry.trust is not None and entry.id not in parameters.overrides]
    trusts = {trust: sum(entry.trust == trust for entry in given) for trust in ("read", "secondary", "memory")}
    sentences = [
        f"Of {len(given)} numbers used, {trusts['read']} were read in their source, {trusts['secondary']} in one "
        f"that quotes it, {trusts['memory']} are assumptions or from memory.",
        LEFT_OUT,
    ]
    points = OperatingPoint(1, 1, 1, 1).pairs()
    if any(key in parameters.overrides or not parameters.parameters[key].sources for key in points):
        sentences.append(
            "The AI's sensitivity and specificity act on triage and the second reader; a concurrent reader with AI "
            "has numbers of its own (concurrent_sensitivity_gain, concurrent_specificity_gain)."
        )
    return sentences


def psa(
    scenario: Scenario,
    parameters: ParameterSet,
    n: int,
    comparator: str,
    years: int,
    evppi: Sequence[str],
    folder: Path | None,
    progress: Callable[[int], object],
) -> Report:
    if comparator not in STRATEGY_LABELS:
        raise InputError("--comparator", repr(comparator), "one of " + ", ".join(STRATEGY_LABELS))
    found = analysis.run_psa(parameters, n, scenario.seed, keep=evppi, folder=folder, progress=progress)
    wtp, money = parameters.value("wtp"), parameters.currency
    curves = found.curves(np.linspace(0.0, 2 * wtp, THRESHOLDS))
    per_person = float(voi.evpi(found.cost, found.qalys, wtp))
    entrants = parameters.value("eligible") * parameters.value("share_starting")
    worth = voi.population_evpi(per_person, np.full(years, entrants), parameters.value("discount_effect"))
    values = {"wtp": wtp, "evpi": per_person, "population_evpi": worth}
    sentences = [
        f"At {wtp:,.0f} {money} per QALY, knowing everything would be worth {per_person:,.2f} {money} a person, or "
        f"{worth:,.0f} {money} for the {entrants:,.0f} persons who start each year, over {years} years."
    ]
    if evppi:
        values["evppi"] = found.evppi(wtp, evppi)
        sentences.append(f"Knowing {', '.join(evppi)} would be worth {values['evppi']:,.2f} {money} a person.")
    if folder is not None:
        sentences.append(f"Draws and results are in {folder}: draws.parquet, results.parquet.")
    tables = {
        "strategies": Table(
            f"Mean and 95 % interval of {n:,} draws, per person, discounted",
            found.table(wtp, comparator),
            {
                "label": Column("strategy"),
                "cost": Column(f"cost, {money}", MONEY, "cost"),
                "qalys": Column("QALYs", SHARE, "qalys"),
                "inc_cost": Column(f"more cost than {comparator}", MONEY, "inc_cost"),
                "inc_qalys": Column("more QALYs", QALYS, "inc_qalys"),
                "p_best": Column(f"best at {wtp:,.0f}", SHARE),
                "expected_loss": Column(f"expected loss, {money}", MONEY),
            },
        ),
        "curves": Table(
            "Probability of the highest net benefit",
            curves,
            {
                "wtp": Column(f"{money} per QALY", MONEY),
                **{f"p_{name}": Column(name, SHARE) for name in found.strategies},
                "best": Column("best on average"),
                "evpi": Column(f"EVPI, {money}", MONEY),
            },
        ),
    }
    more = {"draws": n, "seed": scenario.seed}
    return Report(facts("psa", scenario, parameters, **more), tables, [*sentences, LEFT_OUT], values)


def dsa(
    scenario: Scenario,
    parameters: ParameterSet,
    strategy: str,
    comparator: str,
    outcome: str,
    top: int,
    two_way: Sequence[str] | None,
) -> Report:
    money, more = parameters.currency, {"strategy": strategy, "comparator": comparator}
    if two_way:
        table = analysis.two_way(parameters, two_way)
        grid = table.pivot(index=two_way[0], columns=two_way[1], values="strategy").reset_index()
        grid.columns = [str(name) if i == 0 else f"{name:.4g}" for i, name in enumerate(grid.columns)]
        columns = {name: Column(name, "{:.4g}") for name in grid.columns}
        columns[two_way[0]] = Column(f"{two_way[0]}, down; {two_way[1]}, across", "{:.4g}")
        tables = {
            "two_way": Table("", table, {}),
            "grid": Table("Strategy with the highest net benefit", grid, columns),
        }
        return Report(facts("dsa", scenario, parameters), tables)
    table = analysis.tornado(parameters, strategy, comparator)
    chosen = table[table["outcome"] == outcome].reset_index(drop=True)
    unit = {"cost": money, "effect": "QALYs", "icer": f"{money} per QALY", "nmb": money}[outcome]
    form = "{:,.5f}" if outcome == "effect" else CENTS
    columns = {
        "label": Column(f"{outcome} of {strategy} against {comparator}, {unit} a person"),
        "low_value": Column("from", "{:.4g}"),
        "high_value": Column("to", "{:.4g}"),
        "unit": Column("unit"),
        "at_low": Column("then", form),
        "at_high": Column("to", form),
        "width": Column("width", form),
        "parameter": Column("id"),
    }
    base = chosen["at_base"].iloc[0]
    sentences = [f"With base values it is {base:,.5g} {unit}. What is dominated or dominates has no ICER."]
    if parameters.overrides:
        sentences.append("Not varied, because they were set: " + ", ".join(parameters.overrides) + ".")
    shown = Table("One number at a time, over its range", chosen, columns, top)
    return Report(facts("dsa", scenario, parameters, **more), {"tornado": shown}, sentences)


# Hospital and payer


def budget_impact(
    scenario: Scenario,
    parameters: ParameterSet,
    strategy: str,
    comparator: str,
    years: int,
    entrants: float | None,
    pricing: str,
    draws: int,
) -> Report:
    def work(values: Mapping, table: Any) -> value.SiteValue:
        return value.site_value(values, table, strategy, comparator, years, entrants, pricing)

    analysis.need(parameters, work)
    values, table = parameters.values(), life_table(parameters.setting)
    found = work(values, table)
    rows = found.budget.table()
    by_payer = mart("budget_by_payer", {"budget_lines": rows}, setting=parameters.setting, members=None)
    lines = rows.groupby(["payer", "item", "kind"], sort=False, as_index=False)[
        ["comparator", "strategy", "difference"]
    ].sum()
    lines = lines[(lines["comparator"] != 0) | (lines["strategy"] != 0)].reset_index(drop=True)
    drawn = draw_parameters(parameters, draws, scenario.seed) if draws else None
    spread = None if drawn is None else work(drawn, table)
    case = value.measure_table(
        _measures(found, parameters, values, entrants),
        None if spread is None else _measures(spread, parameters, drawn, entrants),
    )
    tables = _budget_tables(by_payer, lines, case, years, parameters.currency)
    tables |= _change_tables(found, spread, parameters.currency)
    more = {"strategy": strategy, "comparator": comparator, "pricing": pricing, "draws": draws or None}
    sentences = [
        "Costs are positive, income and savings negative; transfers cancel in the total.",
        "A budget counts a cancer that is not found as money saved: see the deaths in the business case.",
    ]
    return Report(facts("budget", scenario, parameters, **more), tables, sentences)


def _change_tables(found: value.SiteValue, spread: value.SiteValue | None, money: str) -> dict[str, Table]:
    """What changes per 1,000: outcomes, and money by item for the hospital, the payer and both."""
    interval = "change" if spread is not None else None
    columns = {"label": Column("per 1,000")} | {name: Column(name, CENTS) for name in ("comparator", "strategy")}
    changes = {"change": Column("change", CENTS, interval), "change_per_year": Column("change a year", CENTS)}
    tables = {
        "outcomes": Table(
            "What changes, per 1,000 screens; deaths, stages, overdiagnosis per 1,000 who start, in life",
            value.outcome_table(found, spread),
            columns | changes,
        )
    }
    for perspective in value.PERSPECTIVES:
        tables[f"costs_{perspective}"] = Table(
            f"Money per 1,000 screens, {perspective}, payments booked to what they pay for",
            value.item_table(found, perspective, spread),
            columns | {"kind": Column("kind"), "change": Column(f"change, {money}", MONEY, interval)},
        )
        tables[f"years_{perspective}"] = Table("", value.year_table(found, perspective, spread), {})
    return tables


def _budget_tables(
    by_payer: "pd.DataFrame", items: "pd.DataFrame", case: "pd.DataFrame", years: int, money: str
) -> dict[str, Table]:
    amounts = {name: Column(f"{name}, {money}", MONEY) for name in ("comparator", "strategy", "difference")}
    return {
        "by_payer": Table(
            "Budget by payer and year, undiscounted",
            by_payer,
            {"payer": Column("payer"), "year": Column("year")}
            | amounts
            | {"cash": Column("of it cash", MONEY), "capacity": Column("of it capacity", MONEY)},
        ),
        "items": Table(
            f"By item, {years} years together",
            items,
            {"payer": Column("payer"), "item": Column("item"), "kind": Column("kind")} | amounts,
        ),
        "business_case": Table(
            "Business case",
            case,
            {
                "measure": Column("measure"),
                "value": Column("value", ANY, "value" if "value_low" in case else None),
                "unit": Column("unit"),
            },
        ),
    }


def _measures(
    found: value.SiteValue, parameters: ParameterSet, values: Mapping[str, Any], entrants: float | None
) -> dict[str, value.Measure]:
    """value.measures, then what a payer pays by the sources' numbers, and deaths in the years of the budget."""
    of = found.budget
    made = value.measures(found, parameters.value("wtp"), parameters.currency, of.pricing)
    if entrants is None:
        of_payer = budget.budget_impact(
            values,
            life_table(parameters.setting),
            of.strategy,
            of.comparator,
            of.n_years,
            _mean(values["payer_entrants"]),
            of.pricing,
        )
        monthly = budget.per_member_per_month(of_payer, parameters.value("payer_members")).mean(axis=0)
        made["payer_monthly"] = value.Measure("payer, per member and month", parameters.currency, monthly)
    deaths = of.counts["lung_cancer_deaths"]
    more = (deaths[1] - deaths[0]).sum(axis=0)
    made["deaths_more"] = value.Measure("lung cancer deaths more", f"in {of.n_years} years", more)
    return made


def _mean(number: Any) -> float:
    """One number of entrants, as a year's numbers and a draw's would be taken for each other."""
    return float(np.mean(number))


# Adoption and market


def adoption(scenario: Scenario, parameters: ParameterSet, years: int, draws: int) -> Report:
    import pandas as pd

    analysis.need(parameters, lambda values, _: diffusion.adoption(values, "base", years), False)
    values, money = parameters.values(), parameters.currency
    found = [diffusion.adoption(values, name, years).table() for name in diffusion.SCENARIOS]
    table = mart("adoption_revenue", {"adoption_years": pd.concat(found, ignore_index=True)})
    tables = {
        "by_year": Table(
            "Adoption and revenue by year",
            table,
            {
                "scenario": Column("scenario"),
                "year": Column("year"),
                "share": Column("share of reachable sites", SHARE),
                "sites": Column("sites", MONEY),
                "scans": Column("scans with AI", MONEY),
                "price": Column(f"{money} a scan", CENTS),
                "revenue": Column(f"revenue, {money}", MONEY),
                "vendor_revenue": Column(f"of one vendor, {money}", MONEY),
            },
        )
    }
    if draws:
        drawn = diffusion.adoption(draw_parameters(parameters, draws, scenario.seed), "base", years)
        fan = diffusion.fan(drawn.revenue)
        columns = {"year": Column("year")} | {name: Column(name, MONEY) for name in fan.columns[1:]}
        tables["fan"] = Table(f"Revenue in the base scenario, {money}, quantiles of {draws:,} draws", fan, columns)
    more = {"draws": draws or None, "seed": scenario.seed}
    sentences = ["Each scenario is a published analogue of other imaging equipment, not a forecast of this one."]
    return Report(facts("adoption", scenario, parameters, **more), tables, sentences)


def size(scenario: Scenario, parameters: ParameterSet, years: int, draws: int) -> Report:
    import pandas as pd

    values, money = parameters.values(), parameters.currency
    found = diffusion.size_today(values)
    band = market_size.top_down_band(values)
    frames = {
        "market_factors": found.table(),
        "parameter_values": pd.DataFrame(values.items(), columns=["id", "value"]),
    }
    table = mart("market_size", frames, setting=parameters.setting) if found.levels else pd.DataFrame()
    if draws and len(table):
        drawn = diffusion.size_today(draw_parameters(parameters, draws, scenario.seed)).levels
        ends = [np.quantile(drawn[level], (0.025, 0.975)) for level in table["level"]]
        table = table.assign(size_low=[low for low, _ in ends], size_high=[high for _, high in ends])
    tables = {
        "levels": Table(
            "Market in one year, from the bottom up",
            table,
            {
                "level": Column("level"),
                "size": Column(f"{money} a year", MONEY, "size" if draws else None),
                "factors": Column("factors"),
            },
        ),
        "factors": Table(
            "Factor by factor",
            found.table(),
            {
                "level": Column("level"),
                "label": Column("factor"),
                "value": Column("value", GIVEN),
                "product": Column("product", MONEY),
            },
        ),
    }
    if parameters.setting in analysis.COMPLETE:
        tables |= _years(parameters, market_size.market_years(values, years).table())
    sentences = [
        f"Published sizes from the top down, the world's imaging AI times lung's share of it: {band[0][0]:,.0f} to "
        f"{band[1][0]:,.0f} {money}. They stand beside the sizes above and enter none of them."
    ]
    for level, ids in found.missing.items():
        sentences.append(
            f"{level} is left out: no source in this setting gives {', '.join(ids) or 'what it builds on'}."
        )
    return Report(facts("size", scenario, parameters, draws=draws or None), tables, sentences)


def _years(parameters: ParameterSet, table: "pd.DataFrame") -> dict[str, Table]:
    people = mart("eligible_population", {"market_years": table}, setting=parameters.setting)
    scans = mart("screens_by_year", {"market_years": table})
    return {
        "eligible": Table(
            "Persons eligible for screening",
            people,
            {
                "year": Column("year"),
                "eligible": Column("persons", MONEY),
                "change": Column("change", MONEY),
                "status": Column("status"),
                "trust": Column("trust"),
            },
        ),
        "screens": Table(
            "Screens by year",
            scans,
            {
                "year": Column("year"),
                "uptake": Column("uptake", SHARE),
                "screened": Column("screened", MONEY),
                "scans": Column("scans", MONEY),
                "reachable_scans": Column("where an AI can be connected", MONEY),
            },
        ),
    }


def mart(name: str, frames: Mapping[str, "pd.DataFrame"], **named: Any) -> "pd.DataFrame":
    """The rows of the question market/sql/<name>.sql over these frames and the staged inputs."""
    with open_database() as database:
        cursor = database.cursor()
        for relation, frame in frames.items():
            cursor.register(relation, frame)
        found = cursor.execute(sql(name), named or None).df()
        cursor.close()
    return found


# Sources, calibration, validation


def sources(scenario: Scenario, parameters: ParameterSet, words: Sequence[str]) -> Report:
    import pandas as pd

    rows = []
    values = parameters.values()
    for key, entry in parameters.parameters.items():
        if words and not any(word.lower() in f"{key} {entry.label}".lower() for word in words):
            continue
        ends = (None, None) if entry.value is None or key in parameters.overrides else entry.range or (None, None)
        first = entry.sources[0] if entry.sources else None
        rows.append(
            {
                "id": key,
                "label": entry.label,
                "value": values.get(key, entry.value),
                "value_low": ends[0],
                "value_high": ends[1],
                "unit": entry.unit_text,
                "status": "override" if key in parameters.overrides else entry.status,
                "trust": parameters.trust(key),
                "interval": entry.interval,
                "distribution": entry.distribution,
                "entry_setting": entry.setting,
                "source": first and f"{first.title} ({first.locator})",
                "link": first and first.link,
                "formula": entry.formula,
                "reason": entry.reason,
                "note": entry.note,
                "file": f"{entry.file}:{entry.line}",
                "sources": [vars(source) for source in entry.sources],
            }
        )
    if not rows:
        raise InputError("sources", " ".join(words), "words that stand in the id or label of a number")
    table = pd.DataFrame(rows)
    columns = {
        "id": Column("id"),
        "value": Column("value", GIVEN, "value"),
        "unit": Column("unit"),
        "status": Column("status"),
        "trust": Column("trust"),
        "where": Column("source, formula or reason"),
    }
    where = table["source"].fillna(table["formula"]).fillna(table["reason"])
    shown = Table("Numbers and where they come from", table.assign(where=where), columns)
    counts = table["trust"].value_counts()
    told = ", ".join(f"{counts.get(name, 0)} {text}" for name, text in _TRUST_TEXT.items())
    return Report(facts("sources", scenario, parameters), {"numbers": shown}, [f"{len(table)} numbers: {told}."])


_TRUST_TEXT = {"read": "read in their source", "secondary": "quoted elsewhere", "memory": "from memory or assumed"}


def calibrate(scenario: Scenario, parameters: ParameterSet, search: bool, path: Path | None) -> Report:
    import pandas as pd

    from market import calibration

    if parameters.setting != "us":
        raise InputError("--setting", parameters.setting, "us: the trial that the model is fitted to was American")
    values, table = parameters.values(), life_table("us")
    if search:
        fit = calibration.calibrate(
            values | {"hr_other_cause": calibration.load_fit()["hr_other_cause"]}, table, path
        )
        fitted = [(name, fit.values[name], fit.low[name], fit.high[name]) for name in calibration.FREE]
        quality = (
            f"Searched anew: deviance {fit.deviance:.2f} on {fit.degrees} degrees of freedom, intervals widened by "
            f"the square root of {fit.dispersion:.2f}; {fit.evaluations} runs of the trial."
        )
    else:
        stored = calibration.stored_fit()
        fitted = [(name, e["value"], e["low"], e["high"]) for name, e in stored["parameters"].items()]
        quality = (
            f"Stored fit: deviance {stored['deviance']:.2f} on {stored['degrees_of_freedom']} degrees of freedom; "
            f"intervals widened by the square root of {stored['dispersion']:.2f}; --search looks for it anew."
        )
    trial = values | {name: value for name, value, _, _ in fitted} | dict(parameters.overrides)
    tables = {
        "fit": Table(
            "National Lung Screening Trial in the model (rates per 100,000 person-years, stages are counts)",
            calibration.fit_table(trial, table),
            {
                "target": Column("target"),
                "expected": Column("trial", CENTS, None),
                "low": Column("95 % from", CENTS),
                "high": Column("to", CENTS),
                "got": Column("model", CENTS),
                "z": Column("residual", "{:.1f}"),
            },
        ),
        "parameters": Table(
            "Calibrated parameters with 95 % intervals",
            pd.DataFrame(fitted, columns=["parameter", "value", "value_low", "value_high"]),
            {"parameter": Column("parameter"), "value": Column("value", "{:.5g}", "value")},
        ),
    }
    sentences = [quality, "Method: least deviance (Poisson counts, multinomial stages), market/calibration.py."]
    return Report(facts("calibrate", scenario, parameters), tables, sentences)


def validate(scenario: Scenario, parameters: ParameterSet) -> Report:
    from market.validation import validation_table

    table = validation_table()
    columns = {
        "result": Column("result"),
        "unit": Column("unit"),
        "expected": Column("published", "{:,.5g}"),
        "got": Column("model", "{:,.5g}"),
        "trust": Column("trust"),
    }
    reasons = [f"{row['result']}: {row['why']}" for row in table.to_dict("records")]
    shown = Table("Published results that the model was not fitted to", table, columns)
    return Report(
        {"command": "validate", "engine": ENGINE_VERSION}, {"results": shown}, ["Why they differ", *reasons]
    )
