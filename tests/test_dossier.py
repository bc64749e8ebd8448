"""A scenario's report and workbook: the numbers of the command line, safe to open, honest about what is open."""

import io
import re
from html.parser import HTMLParser

import openpyxl
import pytest

from market import commands
from market.analysis import base_case, scenario_parameters
from market.checklist import cheers
from market.dossier import dossier, html, workbook
from market.scenarios import Scenario, parse_scenario

HOSTILE = "<script>alert(1)</script> =HYPERLINK(1)"


@pytest.fixture(scope="module")
def scenario():
    return Scenario("=Cheaper AI", "us", overrides=(("c_ai_scan", 6.5),), note=HOSTILE, strategy="triage")


@pytest.fixture(scope="module")
def made(scenario):
    return dossier(scenario, draws=40, pictures=[("A curve", "<svg><path d='M0 0'/></svg>")])


@pytest.fixture(scope="module")
def page(made):
    return html(made)


@pytest.fixture(scope="module")
def book(made):
    return openpyxl.load_workbook(io.BytesIO(workbook(made)))


class Outline(HTMLParser):
    """The tags of a page and its text."""

    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text.append(data)


def outline(page):
    parser = Outline()
    parser.feed(page)
    return parser


def test_the_page_is_well_formed_and_holds_its_pictures(page):
    tags = outline(page).tags
    assert tags.count("h1") == 1
    assert "svg" in tags
    assert "script" not in tags


def test_what_a_person_typed_is_shown_as_typed(page):
    assert HOSTILE in " ".join(outline(page).text)


def test_the_page_gives_the_scenario_back(page, scenario):
    text = "".join(outline(page).text)
    yaml = text[text.index("name: ") :].split("\n\n")[0]
    found = parse_scenario(yaml[: yaml.index("CHEERS 2022")] if "CHEERS 2022" in yaml else yaml)
    assert found == scenario


def test_page_and_command_line_show_the_same_cells(page, scenario):
    report = commands.run(scenario, scenario_parameters(scenario))
    text = " ".join(outline(page).text)
    for cost in report.tables["icers"].frame["cost"]:
        assert f"{cost:,.0f}" in text


def test_the_workbook_holds_sixteen_digits(book, scenario):
    frame = commands.run(scenario, scenario_parameters(scenario)).tables["icers"].frame
    sheet = book["Cost-effectiveness icers"]
    header = [cell.value for cell in sheet[2]]
    column = header.index("cost, USD")
    found = [row[column].value for row in sheet.iter_rows(min_row=3)]
    assert found == pytest.approx(frame["cost"].tolist(), rel=1e-15)


def test_no_cell_of_the_workbook_is_a_formula(book):
    cells = [cell for sheet in book for row in sheet.iter_rows() for cell in row]
    assert len(cells) > 1000
    assert {cell.data_type for cell in cells} <= {"s", "n", "b"}
    assert book["Scenario"]["B2"].value == "=Cheaper AI"


def test_every_number_stands_among_the_inputs(book, scenario):
    ids = [row[0].value for row in book["Inputs"].iter_rows(min_row=2)]
    assert ids == list(scenario_parameters(scenario).parameters)


def test_the_changed_number_is_named(page):
    changed = page[page.index("What was changed") : page.index("CHEERS 2022")]
    assert re.search(r"AI, per scan</td><td class=\"number\">6\.5</td>", changed)


def test_the_checklist_has_28_items_and_leaves_open_what_only_its_user_knows(scenario):
    items = cheers(scenario, scenario_parameters(scenario))
    assert [item.number for item in items] == list(range(1, 29))
    assert {item.topic for item in items if item.is_open} == {
        "Health economic analysis plan",
        "Characterising heterogeneity",
        "Characterising distributional effects",
        "Engagement with patients and others affected",
        "Effect of engagement",
        "Source of funding",
        "Conflicts of interest",
    }


def test_the_checklist_tells_of_the_scenario(scenario):
    items = {item.topic: item.text for item in cheers(scenario, scenario_parameters(scenario))}
    assert "AI rules out" in items["Title"]
    assert "USD in prices of 2024" in items["Currency, price date, and conversion"]
    assert "1 were changed" in items["Study parameters"]


def test_a_setting_without_a_life_table_reports_the_market_alone():
    found = dossier(Scenario("Europe", "eu"))
    assert list(found.reports) == ["Market size"]
    assert "size of the market" in html(found)
    assert openpyxl.load_workbook(io.BytesIO(workbook(found))).sheetnames[:2] == ["Scenario", "Inputs"]


@pytest.fixture(scope="module")
def counted():
    """A scenario that sets everything but numbers: counts, contract, years and entrants."""
    point = {"true_positives": 96, "false_negatives": 4, "true_negatives": 890, "false_positives": 110}
    return dossier(
        Scenario(
            "Counted",
            "us",
            strategy="triage",
            comparator="none",
            years=3,
            entrants=222,
            pricing="per_year",
            operating_point=point,
            operating_point_note="run demo",
        ),
        draws=20,
    )


def test_page_and_workbook_tell_all_that_the_scenario_sets(counted):
    text = " ".join(" ".join(outline(html(counted)).text).split())
    for part in ("No screening", "budget of 3 years", "by a licence a year", "222 persons start", "96 of 100"):
        assert part in text
    assert "(run demo)" in text
    sheet = openpyxl.load_workbook(io.BytesIO(workbook(counted)))["Scenario"]
    rows = {row[0].value: row[1].value for row in sheet.iter_rows(min_row=2)}
    assert rows["AI counts: true positives"] == 96
    assert rows["AI counts from"] == "run demo"
    assert rows["entrants a year"] == 222
    assert rows["Budget and business case: draws behind 95 % intervals"] == 20


def test_the_budget_of_the_report_is_that_of_the_command_line(counted):
    scenario = counted.scenario
    report = commands.budget_impact(
        scenario, scenario_parameters(scenario), "triage", "none", 3, 222, "per_year", 0
    )
    shown = counted.reports["Budget and business case"].tables["items"].frame
    assert shown["difference"].tolist() == report.tables["items"].frame["difference"].tolist()


def test_the_report_lists_its_limits_and_the_draws_behind_intervals(page):
    text = outline(page).text
    assert "Limits" in text
    assert any("95 % of 40 draws, seed 0" in " ".join(part.split()) for part in text)
    assert any("not measurements" in part for part in text[text.index("Limits") :])


def test_the_answer_is_of_the_scenarios_own_pair(counted):
    rows = base_case(counted.parameters).table.set_index("strategy")
    cost = rows.loc["triage", "cost"] - rows.loc["none", "cost"]
    assert "against No screening" in counted.answer
    assert f"cost {cost:+,.2f} USD" in counted.answer


def test_no_number_of_the_report_is_a_power_of_ten(page):
    body = outline(re.sub(r"<(style|pre)>.*?</\1>", "", page, flags=re.DOTALL)).text
    assert [text for text in body if re.search(r"\de[+-]\d\d", text)] == []
    assert "12,760,000" in body
