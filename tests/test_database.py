"""The market database is rebuilt when inputs change; saved scenarios survive kills, threads, processes, damage."""

import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from market import database
from market.database import ScenarioStore, open_database, sql
from market.errors import DatabaseError, InputError, ParameterError
from market.parameters import DATA, yaml_text
from market.scenarios import Scenario
from tests.test_parameters import ENTRY, derived, entry, money

ROOT = Path(__file__).resolve().parent.parent

SAVE_FOR_EVER = """
import sys
from pathlib import Path
from market.database import ScenarioStore
from market.scenarios import Scenario
store = ScenarioStore(Path(sys.argv[1]), wait_seconds=60)
number = 0
while number < int(sys.argv[2]):
    number += 1
    saved = store.save_scenario(Scenario(f"{sys.argv[3]} {number}", "us", number, {"x": number / 7}),
                                {"n": number, "long": list(range(3000))})
    print(saved.id, flush=True)
"""

HOLD = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading")
print("held", flush=True)
sys.stdin.read()
"""


def python(code: str, *arguments: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def held_by_another_process(path: Path, how: str) -> Iterator[subprocess.Popen]:
    process = python(HOLD, path, how)
    try:
        assert process.stdout.readline() == "held\n", process.stderr.read()
        yield process
    finally:
        process.communicate("")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of inputs: made parameters, two ages of life table, the index that ships."""
    folder = tmp_path / "market"
    (folder / "parameters").mkdir(parents=True)
    (folder / "life_tables").mkdir()
    write_parameters(folder, entry(setting="global", value=0.85), entry(), money())
    (folder / "life_tables" / "us_2015.csv").write_text("age,female,male\n0,0.0054,0.0064\n1,0.0004,0.0005\n")
    shutil.copy(DATA / "price_index.yaml", folder)
    return folder


def write_parameters(folder: Path, *entries: dict) -> None:
    (folder / "parameters" / "made.yaml").write_text(yaml_text(list(entries)))


def rows(opened: database.MarketDatabase, query: str) -> list[tuple]:
    return opened.connection.execute(query).fetchall()


# Staged inputs


def test_the_database_is_made_on_first_use_and_holds_what_the_files_say(data):
    with open_database(data) as opened:
        assert opened.path == data / "lunglens.duckdb" and opened.warnings == ()
        found = rows(opened, "SELECT setting, value, entry_setting FROM market.parameters WHERE id = 'sens_ct'")
        assert sorted(found) == [
            ("cn", 0.85, "global"),
            ("eu", 0.85, "global"),
            ("uk", 0.85, "global"),
            ("us", 0.849, "us"),
        ]
        sources = rows(opened, "SELECT sources[1].title, maximum FROM market.parameters WHERE setting = 'us'")
        assert sorted(sources, key=str) == [
            (ENTRY["sources"][0]["title"], 1.0),
            (ENTRY["sources"][0]["title"], None),
        ]
        assert rows(opened, "SELECT * FROM market.life_tables WHERE sex = 'male' AND age = 1") == [
            ("us", "2015", "male", 1, 0.0005)
        ]
        assert rows(opened, "SELECT level FROM market.price_index WHERE currency = 'USD' AND year = 2024") == [
            (563.841,)
        ]


def test_a_derived_entry_is_staged_with_its_formula_and_the_trust_of_its_inputs(data):
    write_parameters(data, entry(trust="secondary"), derived("1 - sens_ct", ["sens_ct"]))
    with open_database(data) as opened:
        found = rows(opened, "SELECT value, formula, inputs, trust FROM market.parameters WHERE id = 'made'")
    assert found == [(None, "1 - sens_ct", ["sens_ct"], "secondary")]


def test_it_is_opened_as_it_is_while_no_input_changes_and_made_anew_when_one_does(data):
    open_database(data).close()
    made = (data / "lunglens.duckdb").stat()
    open_database(data).close()
    assert (data / "lunglens.duckdb").stat().st_ino == made.st_ino
    write_parameters(data, entry(value=0.86))
    with open_database(data) as opened:
        assert rows(opened, "SELECT value FROM market.parameters") == [(0.86,)]
    assert (data / "lunglens.duckdb").stat().st_ino != made.st_ino
    assert sorted(path.name for path in data.iterdir()) == [
        "life_tables",
        "lunglens.duckdb",
        "parameters",
        "price_index.yaml",
    ]


def test_who_has_it_open_keeps_the_old_one_while_a_new_one_takes_its_place(data):
    with open_database(data) as old:
        write_parameters(data, entry(value=0.86))
        with open_database(data) as new:
            assert rows(new, "SELECT value FROM market.parameters") == [(0.86,)]
            assert len(rows(old, "SELECT value FROM market.parameters")) == 5


def test_another_process_that_reads_is_no_hindrance_and_one_that_writes_is_named(data):
    open_database(data).close()
    path = data / "lunglens.duckdb"
    with held_by_another_process(path, "reading"):
        open_database(data).close()
        write_parameters(data, entry(value=0.86))
        open_database(data).close()
    with (
        held_by_another_process(path, "writing") as process,
        pytest.raises(
            DatabaseError, match=rf"lunglens.duckdb: found a file in use by python.*\(process {process.pid}\)"
        ),
    ):
        open_database(data)


def test_results_can_be_laid_beside_the_staged_inputs(data):
    with open_database(data) as opened:
        opened.connection.execute("CREATE TABLE results AS SELECT 2 AS factor")
        found = rows(opened, "SELECT value * factor FROM market.parameters, results WHERE id = 'c_ct'")
        with pytest.raises(duckdb.Error, match="read-only"):
            opened.connection.execute("DELETE FROM market.parameters")
    assert found == [(570.0,)]


@pytest.mark.parametrize("damage", ["junk", "empty", "flipped", "cut"])
def test_a_damaged_database_is_set_aside_reported_and_made_anew(data, damage):
    open_database(data).close()
    path = data / "lunglens.duckdb"
    content = bytearray(path.read_bytes())
    damaged = {
        "junk": b"no database" * 2000,
        "empty": b"",
        "flipped": bytes(byte ^ 0xFF for byte in content[:30_000]) + content[30_000:],
        "cut": content[: len(content) // 3],
    }[damage]
    path.write_bytes(damaged)
    with open_database(data) as opened:
        assert len(rows(opened, "SELECT * FROM market.parameters")) == 5
        (warning,) = opened.warnings
    (aside,) = data.glob("lunglens.damaged-*.duckdb")
    assert aside.read_bytes() == damaged
    assert "lunglens.duckdb was damaged" in warning and aside.name in warning


def test_inputs_that_break_a_rule_are_named_and_leave_the_old_database(data):
    open_database(data).close()
    before = (data / "lunglens.duckdb").read_bytes()
    write_parameters(data, entry(value=2))
    with pytest.raises(ParameterError, match=r"made.yaml: sens_ct.value \(line 1\)"):
        open_database(data)
    assert (data / "lunglens.duckdb").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        (
            "us_2015.csv",
            "age,female,male\n0,0.005,0.006\n2,0.001,0.001\n",
            r"us_2015.csv \(line 3\): .*expected age 1",
        ),
        ("us_2015.csv", "age,female,male\n0,0.005,nan\n", r"us_2015.csv \(line 2\)"),
        ("us_2015.csv", "age,female,male\n0,0.005\n", r"us_2015.csv \(line 2\)"),
        ("us_2015.csv", "Age,Female\n", r"us_2015.csv \(line 1\): found Age,Female"),
        ("us_2016.csv", "age,female,male\n0,0.005,0.006\n", "us_2016.csv: found a second table beside us_2015.csv"),
        ("france.csv", "age,female,male\n0,0.005,0.006\n", "france.csv: found its name"),
    ],
)
def test_a_life_table_that_cannot_be_right_is_refused_by_file_and_line(data, name, text, words):
    (data / "life_tables" / name).write_text(text)
    with pytest.raises(ParameterError, match=words):
        open_database(data)


def test_leftovers_of_killed_builders_are_removed_after_an_hour(data):
    fresh, stale = data / "lunglens.building-1-a.duckdb", data / "lunglens.building-2-b.duckdb"
    for path in (fresh, stale):
        path.write_text("half")
    os.utime(stale, (time.time() - 7200, time.time() - 7200))
    open_database(data).close()
    assert fresh.exists() and not stale.exists()


def test_a_folder_that_cannot_be_written_and_a_missing_input_are_named(data, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatabaseError, match=r"lunglens.duckdb: found no way to make it"):
        open_database(data, tmp_path / "file" / "lunglens.duckdb")
    (data / "price_index.yaml").unlink()
    with pytest.raises(DatabaseError, match=r"price_index.yaml: found no readable file"):
        open_database(data)


def test_every_sql_file_says_its_grain_in_its_first_line():
    files = sorted(database.SQL.glob("*.sql"))
    assert {"parameters", "life_tables", "price_index", "scenarios"} <= {path.stem for path in files}
    assert [path.name for path in files if not sql(path.stem).startswith("-- One row per ")] == []
    with pytest.raises(InputError, match="'nothing'; expected one of"):
        sql("nothing")


def test_the_united_states_life_table_is_that_of_its_source(shared):
    source = shared.parent / "market" / "life_table" / "LifeTable_USA_Mx_2015.csv"
    if not source.is_file():
        pytest.skip("needs the life table in ../shared, which is not on this machine")
    expected = [line.split(",")[1:] for line in source.read_text().split()]
    found = [line.split(",") for line in (DATA / "life_tables" / "us_2015.csv").read_text().split()]
    assert [row[0].lower() for row in expected[:1]] == [row[0] for row in found[:1]]
    assert expected[1:] == found[1:]


def test_the_united_kingdom_life_table_gives_the_published_life_expectancies():
    # ONS, National life tables, UK: 2015 to 2017, main points: at birth 79.2 and 82.9 years, at 65 18.6 and 20.9
    lines = (DATA / "life_tables" / "uk_2015_2017.csv").read_text().split()[1:]
    rates = {"female": [], "male": []}
    for line in lines:
        _, female, male = map(float, line.split(","))
        rates["female"].append(female)
        rates["male"].append(male)
    for sex, at_birth, at_65 in (("male", 79.2, 18.6), ("female", 82.9, 20.9)):
        for age, expected in ((0, at_birth), (65, at_65)):
            alive, years = 1.0, 0.0
            for rate in rates[sex][age:-1]:
                dying = alive * rate / (1 + rate / 2)
                years += alive - dying / 2
                alive -= dying
            assert years + alive / rates[sex][-1] == pytest.approx(expected, abs=0.06)


# Scenarios


@pytest.fixture
def store(tmp_path: Path) -> ScenarioStore:
    return ScenarioStore(tmp_path / "scenarios.duckdb")


def test_a_saved_scenario_comes_back_to_the_last_digit_from_another_store(store):
    scenario = Scenario("Board, May", "uk", 2**63 - 1, {"a": 0.1 + 0.2, "b": 5e-324, "c": 1e22}, "é\n中")
    results = {"icer": 81_000.123456789012, "dominated": None, "table": [[1, 2.5], ["a", True]]}
    saved = store.save_scenario(scenario, results)
    found = ScenarioStore(store.path).load_scenario(saved.id)
    assert found == saved
    assert (found.scenario, found.results, found.version) == (scenario, results, 1)
    assert found.created.utcoffset().total_seconds() == 0 and found.engine_version


def test_saving_again_keeps_the_old_version(store):
    first = store.save_scenario(Scenario("x", "us", overrides={"a": 1}), {"icer": 1})
    second = store.save_scenario(Scenario("x, cheaper", "us", overrides={"a": 2}), scenario_id=first.id)
    assert (second.id, second.version) == (first.id, 2)
    assert store.load_scenario(first.id) == second
    assert store.load_scenario(first.id, version=1) == first
    assert store.list_versions(first.id) == [first, second]
    assert store.list_scenarios() == [second]


def test_a_deleted_scenario_leaves_the_list_and_can_be_brought_back(store):
    kept, gone = (store.save_scenario(Scenario(name, "us")) for name in ("kept", "gone"))
    store.delete(gone.id)
    store.delete(gone.id)
    assert store.list_scenarios() == [kept]
    listed = store.list_scenarios(deleted=True)
    assert [stored.id for stored in listed] == [kept.id, gone.id] and listed[1].deleted is not None
    assert store.load_scenario(gone.id).scenario == gone.scenario
    for _ in range(2):
        store.undelete(gone.id)
        assert store.list_scenarios() == [kept, gone]
        store.delete(gone.id)
    assert store.list_scenarios() == [kept]


def test_unknown_ids_and_versions_and_results_that_are_no_json_are_refused_and_store_nothing(store):
    saved = store.save_scenario(Scenario("x", "us"))
    for call in (store.load_scenario, store.list_versions, store.delete, store.undelete):
        with pytest.raises(InputError, match="scenario_id: found 'nobody'"):
            call("nobody")
    with pytest.raises(InputError, match="version: found 3; expected one of 1"):
        store.load_scenario(saved.id, 3)
    with pytest.raises(InputError, match="scenario_id"):
        store.save_scenario(Scenario("y", "us"), scenario_id="nobody")
    for results in ({"icer": float("nan")}, {"icer": object()}, float("inf")):
        with pytest.raises(InputError, match="results: found"):
            store.save_scenario(Scenario("y", "us"), results)
    assert store.list_scenarios() == [saved]


def test_nothing_is_listed_and_nothing_made_before_the_first_saving(store):
    assert store.list_scenarios() == []
    assert not store.path.exists()


def test_a_rebuild_of_the_market_database_leaves_the_scenarios(data):
    store = ScenarioStore(data / "scenarios.duckdb")
    saved = store.save_scenario(Scenario("x", "us"))
    open_database(data).close()
    (data / "lunglens.duckdb").write_bytes(b"junk" * 5000)
    open_database(data).close()
    assert store.list_scenarios() == [saved]


def test_many_threads_save_list_and_delete_at_once(store):
    first = store.save_scenario(Scenario("shared", "us"))
    faults: list[BaseException] = []

    def work(number: int) -> None:
        try:
            store.save_scenario(Scenario(f"of {number}", "us", number))
            store.save_scenario(Scenario("shared", "us", number), scenario_id=first.id)
            assert store.list_scenarios()
            store.delete(store.save_scenario(Scenario("gone", "us")).id)
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            faults.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert {stored.scenario.name for stored in store.list_scenarios()} == {"shared", *(f"of {n}" for n in range(8))}
    assert [stored.version for stored in store.list_versions(first.id)] == list(range(1, 10))
    assert len(store.list_scenarios(deleted=True)) == 17


def test_two_processes_that_save_at_once_both_get_through(store):
    processes = [python(SAVE_FOR_EVER, store.path, 4, name) for name in ("one", "other")]
    for process in processes:
        _, problems = process.communicate(timeout=120)
        assert process.returncode == 0, problems
    names = [stored.scenario.name for stored in store.list_scenarios()]
    assert sorted(names) == sorted(f"{name} {number}" for name in ("one", "other") for number in range(1, 5))


def test_a_process_that_keeps_the_file_is_named_with_what_to_do(store):
    store.save_scenario(Scenario("x", "us"))
    impatient = ScenarioStore(store.path, wait_seconds=0.1)
    with held_by_another_process(store.path, "writing") as process:
        words = (
            rf"scenarios.duckdb: found a file in use by python.*\(process {process.pid}\); expected the file free"
        )
        for call in (impatient.list_scenarios, lambda: impatient.save_scenario(Scenario("y", "us"))):
            with pytest.raises(DatabaseError, match=words):
                call()
    assert len(impatient.list_scenarios()) == 1


def test_beside_a_process_that_reads_scenarios_can_be_read_but_not_saved(store):
    saved = store.save_scenario(Scenario("x", "us"))
    impatient = ScenarioStore(store.path, wait_seconds=0.1)
    with held_by_another_process(store.path, "reading"):
        assert impatient.list_scenarios() == [saved]
        with pytest.raises(DatabaseError, match="in use by"):
            impatient.save_scenario(Scenario("y", "us"))
    impatient.save_scenario(Scenario("y", "us"))


def test_saving_waits_for_a_process_that_is_soon_done(store):
    store.save_scenario(Scenario("x", "us"))
    patient = ScenarioStore(store.path, wait_seconds=60)
    with held_by_another_process(store.path, "writing") as process:
        threading.Timer(0.3, process.stdin.close).start()
        patient.save_scenario(Scenario("y", "us"))
        process.wait()
        process.stdin = None
    assert len(store.list_scenarios()) == 2


@pytest.mark.slow
def test_what_was_saved_survives_kill_9_at_any_moment(store):
    """The saver is killed again and again, the first time while the file is made; nothing acknowledged is lost."""
    rng = random.Random(0)
    acknowledged: set[str] = set()
    for turn in range(6):
        process = python(SAVE_FOR_EVER, store.path, 10**9, f"turn {turn}")
        if turn:
            acknowledged.add(process.stdout.readline().strip())
            time.sleep(rng.uniform(0, 0.6))
        else:
            while not list(store.path.parent.glob("scenarios*")):
                time.sleep(0.005)
        process.kill()
        said, _ = process.communicate()
        acknowledged |= {line for line in said.splitlines() if len(line) == 32}
        reopened = ScenarioStore(store.path)
        stored = reopened.list_scenarios()
        assert reopened.warnings == ()
        assert acknowledged <= {found.id for found in stored}
        for found in stored:
            number = found.scenario.seed
            assert dict(found.scenario.overrides) == {"x": number / 7}
            assert found.results == {"n": number, "long": list(range(3000))}
    assert len(acknowledged) >= 5


def test_an_error_in_the_midst_of_saving_leaves_nothing_of_it(store, monkeypatch):
    saved = store.save_scenario(Scenario("x", "us"))
    monkeypatch.setattr(database, "_now", lambda: "no moment")
    with pytest.raises(DatabaseError, match=r"scenarios.duckdb: found Conversion Error"):
        store.delete(saved.id)
    monkeypatch.undo()
    assert store.list_scenarios() == [saved]


def test_a_damaged_store_is_set_aside_and_reported_and_a_new_one_begun(store):
    store.save_scenario(Scenario("x", "us"))
    content = store.path.read_bytes()
    damaged = content[:12_288] + bytes(byte ^ 0x55 for byte in content[12_288:60_000]) + content[60_000:]
    store.path.write_bytes(damaged)
    reopened = ScenarioStore(store.path)
    assert reopened.warnings == ()
    assert reopened.list_scenarios() == []
    (warning,) = reopened.warnings
    (aside,) = store.path.parent.glob("scenarios.damaged-*.duckdb")
    assert aside.read_bytes() == damaged and aside.name in warning
    saved = reopened.save_scenario(Scenario("y", "us"))
    assert ScenarioStore(store.path).list_scenarios() == [saved]


def test_a_damaged_log_is_set_aside_alone_and_what_was_stored_before_stays(store):
    kept = store.save_scenario(Scenario("kept", "us"))
    with duckdb.connect(str(store.path), config=database.CONFIG) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("UPDATE scenario_versions SET name = 'changed'")
    log = store.path.with_name("scenarios.duckdb.wal")
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)
    reopened = ScenarioStore(store.path)
    assert reopened.list_scenarios() == [kept]
    (warning,) = reopened.warnings
    (aside,) = store.path.parent.glob("*.wal")
    assert aside.read_bytes() == content and aside.name in warning and "damaged" in aside.name


def test_a_database_of_something_else_is_left_alone(tmp_path):
    path = tmp_path / "scenarios.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 1 AS x")
    ScenarioStore(path).save_scenario(Scenario("x", "us"))
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("SELECT x FROM mine").fetchall() == [(1,)]


def test_many_savings_do_not_bloat_the_file(store):
    store.save_scenario(Scenario("x", "us"))
    for number in range(20):
        store.save_scenario(Scenario("x", "us", number), {"long": list(range(500))})
    assert store.path.stat().st_size < 8_000_000


def test_a_damaged_store_whose_path_has_wal_in_it_is_set_aside_whole(tmp_path):
    path = tmp_path / "WALES" / "scenarios.duckdb"
    path.parent.mkdir()
    path.write_bytes(b"junk" * 5000)
    store = ScenarioStore(path)
    assert store.save_scenario(Scenario("a", "us")).version == 1
    (aside,) = path.parent.glob("scenarios.damaged-*.duckdb")
    assert aside.read_bytes() == b"junk" * 5000 and len(store.warnings) == 1


def test_a_damaged_database_whose_path_has_wal_in_it_is_kept(data, tmp_path):
    path = tmp_path / "WALES" / "lunglens.duckdb"
    path.parent.mkdir()
    path.write_bytes(b"junk" * 5000)
    open_database(data, path).close()
    (aside,) = path.parent.glob("lunglens.damaged-*.duckdb")
    assert aside.read_bytes() == b"junk" * 5000


def test_damage_that_setting_aside_does_not_mend_ends_in_an_error(store, monkeypatch):
    def damaged(read_only):
        raise duckdb.IOException("Corrupt database file")

    monkeypatch.setattr(store, "_opened", damaged)
    with pytest.raises(DatabaseError, match="damage"):
        store.save_scenario(Scenario("a", "us"))
