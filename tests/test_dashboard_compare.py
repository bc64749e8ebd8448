"""Compare in AppTest: saving, copying, deleting with undo, what differs, and files that give the same numbers."""

import io
import json

import openpyxl
import pytest

from dashboard.versus import loaders
from dashboard.versus.shelf import FileShelf, SessionShelf, duplicate, rename
from market import lung
from market.__main__ import main
from market.analysis import base_case, scenario_parameters
from market.calibration import draw_parameters
from market.database import ScenarioStore
from market.errors import ParameterError
from market.natural_history import life_table
from market.scenarios import Scenario
from tests.pages import control, opened

CHEAP = Scenario("Cheap AI", "us", overrides=(("c_ai_scan", 5.0),))
TRIAGE = Scenario("Triage", "us", strategy="triage")


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A shelf in a fresh file, which the page uses too."""
    path = tmp_path / "scenarios.duckdb"
    monkeypatch.setenv(loaders.STORE, str(path))
    monkeypatch.delenv("LUNGLENS_DEMO", raising=False)
    return FileShelf(ScenarioStore(path))


def pressed(app, label):
    [button] = [button for button in app.button if button.label == label]
    button.click().run()
    assert [item.value for item in app.exception] == []
    return app


def test_an_empty_shelf_says_what_to_do(shelf):
    app = opened("compare")
    assert any("Nothing is saved yet" in text.value for text in app.markdown)


def test_the_scenario_is_saved_under_its_name_and_note(shelf):
    app = opened("compare", c_ai_scan="6.5")
    control(app.text_input, "save-name").input("Board <b>May</b>")
    control(app.text_input, "save-note").input("asked in May")
    pressed(app, "Save scenario")
    [saved] = shelf.list()
    assert saved.scenario == Scenario(
        "Board <b>May</b>", "us", overrides=(("c_ai_scan", 6.5),), note="asked in May"
    )
    assert app.query_params["name"] in ("Board <b>May</b>", ["Board <b>May</b>"])


def test_a_name_that_cannot_be_is_refused_and_nothing_is_saved(shelf):
    app = opened("compare")
    control(app.text_input, "save-name").input("   ")
    pressed(app, "Save scenario")
    assert "name" in app.error[0].value
    assert shelf.list() == []


def test_what_is_deleted_can_be_brought_back(shelf):
    shelf.save(CHEAP)
    app = pressed(opened("compare"), "Delete")
    assert shelf.list() == []
    pressed(app, "Undo")
    assert [item.scenario for item in shelf.list()] == [CHEAP]


def test_what_is_brought_back_stands_beside_the_present_one_again(shelf):
    key = shelf.save(CHEAP)
    app = pressed(opened("compare", x_with=key), "Delete")
    assert not app.table
    pressed(app, "Undo")
    assert control(app.multiselect, "beside").value == [key]
    assert list(app.table[0].value.columns) == ["Input", "Unit", "Present", "Cheap AI"]
    assert app.table[0].value["Cheap AI"].tolist() == ["5"]
    assert any("1 input differs" in item.value for item in app.markdown)


@pytest.mark.parametrize("kind", ["file", "session"])
def test_a_copy_and_a_rename_leave_the_numbers_as_they_are(kind, shelf, monkeypatch):
    if kind == "session":
        monkeypatch.setattr("dashboard.versus.shelf.st.session_state", {})
        shelf = SessionShelf()
    shelf.save(CHEAP)
    [first] = shelf.list()
    duplicate(shelf, first)
    duplicate(shelf, first)
    rename(shelf, first, "Cheaper")
    names = {item.scenario.name: item.scenario.overrides for item in shelf.list()}
    assert names == dict.fromkeys(("Cheaper", "Cheap AI, copy", "Cheap AI, copy 2"), CHEAP.overrides)


def test_on_a_public_server_nothing_is_written(shelf, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    app = pressed(opened("compare"), "Save scenario")
    assert any("1 saved" in text.value for text in app.markdown)
    assert not shelf.store.path.exists()


def test_only_inputs_that_differ_are_shown():
    table = loaders.differing_inputs([CHEAP, TRIAGE]).set_index("id")
    assert list(table.index) == ["strategy", "c_ai_scan"]
    assert table.loc["c_ai_scan", [0, 1]].tolist() == [5.0, 15.0]
    assert loaders.differing_inputs([CHEAP, CHEAP]).empty


def test_outputs_are_those_of_the_base_case():
    found = loaders.outputs(TRIAGE)
    rows = base_case(scenario_parameters(TRIAGE)).table.set_index("strategy")
    assert found.base["inc_cost"] == rows.loc["triage", "cost"] - rows.loc["single", "cost"]
    assert found.base["inc_nmb"] == rows.loc["triage", "nmb"] - rows.loc["single", "nmb"]


def test_every_output_has_draws_and_counts_are_those_of_the_model(shelf):
    found = loaders.outputs(TRIAGE)
    assert set(found.drawn) == set(loaders.OUTPUTS)
    low, high = loaders.spread(found.drawn["reader_hours"])
    assert low < found.base["reader_hours"] < high < 0
    one = lung.run(
        {key: values[:1] for key, values in draw_parameters(scenario_parameters(TRIAGE), 1, 0).items()},
        life_table("us"),
        ("single", "triage"),
    )
    first = lung.results_table(one).set_index("strategy")["deaths_averted"]
    assert found.drawn["deaths_averted"][0] == pytest.approx(first["triage"] - first["single"], rel=1e-9)
    app = opened("compare", c_ai_scan="20", x_with=shelf.save(TRIAGE))
    results = app.table[1].value
    assert all(" to " in text for text in results["Triage"])


def test_draws_share_their_random_numbers_so_that_equal_scenarios_differ_by_nothing():
    one, other = loaders.outputs(CHEAP), loaders.outputs(Scenario("Other name", "us", overrides=CHEAP.overrides))
    assert (one.drawn["inc_nmb"] == other.drawn["inc_nmb"]).all()
    dearer = loaders.outputs(Scenario("scenario", "us", overrides=(("c_ai_scan", 20.0),)))
    assert (one.drawn["inc_cost"] < dearer.drawn["inc_cost"]).all()


def test_the_page_sets_scenarios_side_by_side(shelf):
    key = shelf.save(CHEAP)
    app = opened("compare", c_ai_scan="20", x_with=key)
    assert "Cheap AI gains" in app.header[0].value
    inputs, results = (table.value for table in app.table)
    assert list(inputs.columns) == ["Input", "Unit", "Present", "Cheap AI"]
    assert len(results) == len(loaders.OUTPUTS)


def test_a_link_to_a_scenario_that_is_gone_is_told(shelf):
    shelf.save(CHEAP)
    app = opened("compare", x_with="0000")
    assert "not saved here" in app.warning[0].value


def test_file_command_line_and_page_give_the_same_numbers_to_the_last_digit(tmp_path, capsys):
    path = tmp_path / "scenario.yaml"
    path.write_bytes(loaders.as_yaml(TRIAGE))
    assert main(["run", "--scenario", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    costs = {row["strategy"]: row["cost"] for row in shown["icers"]}
    assert loaders.outputs(loaders.from_yaml(path.read_bytes(), path.name)).base["inc_cost"] == (
        costs["triage"] - costs["single"]
    )


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b"name: x\nsetting: mars\n", "setting"),
        (b"name: x\nsetting: us\noverrides: {c_ai_scan: -4}\n", "c_ai_scan"),
        (b"name: x\nsetting: us\noverrides: {zeppelins: 4}\n", "zeppelins"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused_by_its_name_and_field(content, field):
    with pytest.raises(ParameterError, match=rf"mine\.yaml.*{field}"):
        loaders.from_yaml(content, "mine.yaml")


def test_report_and_workbook_can_be_downloaded():
    assert loaders.report(TRIAGE, 0).startswith(b"<!doctype html>")
    assert "Scenario" in openpyxl.load_workbook(io.BytesIO(loaders.book(TRIAGE, 0))).sheetnames


def test_what_stands_beside_can_be_taken_away_again_and_the_back_button_brings_it_back(shelf):
    key = shelf.save(CHEAP)
    app = opened("compare", x_with=key)
    control(app.multiselect, "beside").set_value([]).run()
    assert control(app.multiselect, "beside").value == []
    assert "x_with" not in app.query_params
    app.session_state["address-before-x_with"] = ("", 0.0)  # the change was a while ago
    app.query_params["x_with"] = key
    app.run()
    assert control(app.multiselect, "beside").value == [key]


def test_a_link_to_scenarios_is_told_where_nothing_is_saved(shelf):
    app = opened("compare", x_with="0000")
    assert "not saved here" in app.warning[0].value


def test_a_link_to_more_scenarios_than_can_be_read_says_which_are_used(shelf):
    keys = [shelf.save(Scenario(f"Number {number}", "us")) for number in range(4)]
    app = opened("compare", x_with=",".join(keys))
    assert "names 4 scenarios" in app.warning[0].value
    assert control(app.multiselect, "beside").value == keys[:3]


def test_an_opened_scenario_brings_its_name_to_the_box(shelf):
    shelf.save(CHEAP)
    app = pressed(opened("compare"), "Open")
    assert control(app.text_input, "save-name").value == "Cheap AI"


def test_a_scenario_named_like_a_column_has_a_column_of_its_own(shelf):
    keys = [shelf.save(Scenario(name, "us", overrides=CHEAP.overrides)) for name in ("unit", "Output", "Output")]
    app = opened("compare", x_with=",".join(keys))
    inputs = app.table[0].value
    assert inputs.shape[1] == 2 + 4
    assert app.table[1].value.shape[1] == 2 + 4 + 3


def test_draws_and_counts_that_differ_are_inputs_that_differ():
    point = {"true_positives": 9, "false_negatives": 1, "true_negatives": 90, "false_positives": 10}
    more = {name: 10 * value for name, value in point.items()}
    scenarios = [Scenario("a", "us", operating_point=point), Scenario("b", "us", operating_point=more, seed=3)]
    table = loaders.differing_inputs(scenarios).set_index("id")
    assert list(table.index) == ["seed", "operating_point"]
    assert table.loc["operating_point", 1] == "90 of 100 found, 900 of 1000 passed"


def test_a_file_in_another_encoding_is_refused_not_mended():
    with pytest.raises(ParameterError, match=r"mine\.yaml.*UTF-8"):
        loaders.from_yaml("name: Café\nsetting: us\n".encode("latin-1"), "mine.yaml")


def test_outputs_are_taken_away_to_the_last_digit(shelf, monkeypatch):
    taken = {}
    monkeypatch.setattr("dashboard.figure.downloads", lambda name, table, chart=None: taken.update({name: table}))
    opened("compare", c_ai_scan="20", x_with=shelf.save(CHEAP))
    rows = taken["scenario-outputs"].set_index(["output", "scenario"])
    assert rows.loc[("More cost", "Cheap AI"), "value"] == loaders.outputs(CHEAP).base["inc_cost"]
    assert rows.loc[("More cost", "Cheap AI"), "low"] == loaders.spread(loaders.outputs(CHEAP).drawn["inc_cost"])[0]
