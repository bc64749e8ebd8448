"""All of a scenario in one file to send: a report to print (HTML) and a workbook (XLSX), same numbers in both.

The tables are those of the command line (market.commands), so that page, command and file cannot differ.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from market import commands
from market.analysis import COMPLETE, BaseCase, base_case, scenario_parameters, verdicts
from market.checklist import Item, cheers
from market.lung import LEFT_OUT
from market.parameters import ParameterSet
from market.report import MODEL_LINE, Report, Table, cells, digits, plain
from market.scenarios import Scenario, scenario_text
from market.screening import STRATEGY_LABELS

TEMPLATE = Path(__file__).parent / "dossier.html.j2"
DISCLAIMER = "For research and education. Not a medical device, and no advice on care or investment."
WIDEST_COLUMN = 60
"""Characters of the widest column of a workbook."""


@dataclass(frozen=True, eq=False)
class Dossier:
    """What is sent of a scenario: its answer, reports by title in their order, the inputs, and the checklist."""

    scenario: Scenario
    parameters: ParameterSet
    answer: str
    reports: Mapping[str, Report]
    inputs: Report
    checklist: Sequence[Item]
    pictures: Sequence[tuple[str, str]] = field(default_factory=tuple)


def dossier(
    scenario: Scenario, draws: int = 0, pictures: Sequence[tuple[str, str]] = (), progress=lambda done: None
) -> Dossier:
    """Base case, budget, adoption and market size of a scenario as far as its setting goes.

    draws     of the probabilistic analysis and for the intervals of the budget; 0 leaves both out
    pictures  (title, SVG) pairs to stand among the results
    progress  told how many draws are done
    Raises ParameterError and InputError as the analyses do.
    """
    parameters = scenario_parameters(scenario)
    reports = {}
    answer = "The numbers of this setting reach as far as the size of the market."
    if scenario.setting in COMPLETE:
        found = base_case(parameters)
        answer = _answer(scenario, found, parameters.currency)
        reports["Cost-effectiveness"] = commands.run(scenario, parameters)
        if draws:
            reports["Uncertainty"] = commands.psa(
                scenario, parameters, draws, scenario.comparator, scenario.years, (), None, progress
            )
        reports["Budget and business case"] = commands.budget_impact(
            scenario,
            parameters,
            scenario.strategy,
            scenario.comparator,
            scenario.years,
            scenario.entrants,
            scenario.pricing,
            min(draws, 300),
        )
        reports["Adoption"] = commands.adoption(scenario, parameters, 10, min(draws, 300))
    reports["Market size"] = commands.size(scenario, parameters, 5, min(draws, 300))
    inputs = commands.sources(scenario, parameters, ())
    checklist = cheers(scenario, parameters)
    return Dossier(scenario, parameters, answer, reports, inputs, checklist, tuple(pictures))


def _answer(scenario: Scenario, found: BaseCase, currency: str) -> str:
    """What the scenario's strategy changes against its comparator, then which of all strategies is worth most."""
    rows = found.table.set_index("strategy")
    cost, qalys, nmb = (
        rows.loc[scenario.strategy, name] - rows.loc[scenario.comparator, name] for name in ("cost", "qalys", "nmb")
    )
    pair = " against ".join(STRATEGY_LABELS[name] for name in (scenario.strategy, scenario.comparator))
    return (
        f"{pair}, per person: cost {cost:+,.2f} {currency}, QALYs {qalys:+.5f}, "
        f"net benefit {nmb:+,.2f} {currency}. " + verdicts(found.icers, found.wtp, currency)[-1]
    )


def html(found: Dossier) -> str:
    """A page that stands alone and prints: no script, no address outside but the sources' links."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    changed = dict(found.scenario.overrides)
    rows = found.inputs.tables["numbers"].frame.to_dict("records")
    return template.render(
        scenario=found.scenario,
        parameters=found.parameters,
        answer=found.answer,
        strategy=STRATEGY_LABELS[found.scenario.strategy],
        comparator=STRATEGY_LABELS[found.scenario.comparator],
        changed=[row for row in rows if row["id"] in changed],
        inputs=[_input_row(row) for row in rows],
        reports=found.reports,
        cells=cells,
        digits=digits,
        pictures=found.pictures,
        checklist=found.checklist,
        n_open=sum(item.is_open for item in found.checklist),
        yaml=scenario_text(found.scenario),
        disclaimer=DISCLAIMER,
        limits=_limits(found.scenario),
    )


def _limits(scenario: Scenario) -> list[str]:
    """What the results must not be taken for, a sentence or two each."""
    complete = scenario.setting in COMPLETE
    point = ["Slice-level accuracy on a curated set is not screening accuracy."] if scenario.operating_point else []
    return [MODEL_LINE, *([LEFT_OUT] if complete else []), *point, DISCLAIMER]


def _input_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """One number as text: value, range, unit, trust, and where it comes from."""
    value, low, high = (plain(row[name]) for name in ("value", "value_low", "value_high"))
    link = row["link"] if str(row["link"]).startswith(("https://", "http://")) else None
    return {
        "label": row["label"],
        "value": "–" if value is None else digits(value),
        "range": "" if low is None else f"{digits(low, 4)} to {digits(high, 4)}",
        "unit": row["unit"],
        "trust": row["trust"],
        "status": row["status"],
        "where": plain(row["source"]) or plain(row["formula"]) or plain(row["reason"]) or "",
        "link": link,
    }


def workbook(found: Dossier) -> bytes:
    """XLSX: the scenario, its inputs, then a sheet a table; numbers to 16 digits, no cell is a formula."""
    from openpyxl import Workbook

    book = Workbook()
    book.remove(book.active)
    _sheet(book, "Scenario", ["what", "value"], _scenario_rows(found))
    inputs = found.inputs.tables["numbers"].frame.drop(columns=["sources"])
    _sheet(book, "Inputs", list(inputs.columns), inputs.itertuples(index=False))
    for title, report in found.reports.items():
        for name, table in report.tables.items():
            if len(table.frame.columns):
                _table_sheet(book, f"{title} {name}", table)
    items = [(item.number, item.section, item.topic, item.text or "open") for item in found.checklist]
    _sheet(book, "CHEERS 2022", ["item", "section", "topic", "how it is met"], items)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def _scenario_rows(found: Dossier) -> list[tuple[str, Any]]:
    scenario, parameters = found.scenario, found.parameters
    rows = [
        ("name", scenario.name),
        ("answer", found.answer),
        ("note", scenario.note),
        ("setting", scenario.setting),
        ("currency", parameters.currency),
        ("prices of", parameters.price_year),
        ("strategy", STRATEGY_LABELS[scenario.strategy]),
        ("comparator", STRATEGY_LABELS[scenario.comparator]),
        ("years of the budget", scenario.years),
        ("entrants a year", "by sources" if scenario.entrants is None else scenario.entrants),
        ("pricing", scenario.pricing),
        ("seed", scenario.seed),
    ]
    if scenario.operating_point is not None:
        rows += [(f"AI counts: {name.replace('_', ' ')}", n) for name, n in vars(scenario.operating_point).items()]
        rows.append(("AI counts from", scenario.operating_point_note))
    rows += [(f"changed: {key}", value) for key, value in scenario.overrides]
    for title, report in found.reports.items():
        if report.facts.get("draws"):
            rows.append((f"{title}: draws behind 95 % intervals", report.facts["draws"]))
        rows += [(title, sentence) for sentence in report.sentences]
    return [*rows, *(("limits", sentence) for sentence in _limits(scenario))]


def _table_sheet(book: Any, title: str, table: Table) -> None:
    headers = {name: column.header for name, column in table.columns.items()}
    names = [str(headers.get(name, name)) for name in table.frame.columns]
    _sheet(book, title, names, table.frame.itertuples(index=False), table.title)


def _sheet(book: Any, title: str, header: Sequence[str], rows: Any, caption: str = "") -> None:
    """A sheet with a bold header that stays in sight; text is stored as text, whatever it begins with."""
    from openpyxl.styles import Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(_sheet_name(book, title))
    if caption:
        _put(sheet.cell(1, 1), caption)
        sheet.cell(1, 1).font = Font(bold=True, size=13)
    top = 2 if caption else 1
    widths = [len(str(name)) for name in header]
    for column, name in enumerate(header, 1):
        _put(sheet.cell(top, column), name)
        sheet.cell(top, column).font = Font(bold=True)
    for number, row in enumerate(rows, top + 1):
        for column, value in enumerate(row, 1):
            _put(sheet.cell(number, column), value)
            widths[column - 1] = max(widths[column - 1], len(str(value)))
    sheet.freeze_panes = sheet.cell(top + 1, 1)
    for column, width in enumerate(widths, 1):
        sheet.column_dimensions[get_column_letter(column)].width = min(width + 2, WIDEST_COLUMN)


def _put(cell: Any, value: Any) -> None:
    value = plain(value)
    if isinstance(value, list | dict):
        value = str(value)
    cell.value = value
    if isinstance(value, str):
        cell.data_type = "s"  # openpyxl takes text that begins with = for a formula,
        cell.quotePrefix = value.startswith(("=", "+", "-", "@"))  # a spreadsheet once the cell is edited


def _sheet_name(book: Any, title: str) -> str:
    """At most 31 characters, none of those that a sheet's name must not have, and no name twice."""
    name = "".join(" " if character in "[]:*?/\\" else character for character in title.replace("_", " "))[
        :31
    ].strip()
    taken, number, found = {sheet.title.lower() for sheet in book}, 2, name
    while found.lower() in taken:
        found = f"{name[:28]} {number}"
        number += 1
    return found
