"""Two servers on one data folder, and clocks that jump: nothing is lost and nobody jumps the queue."""

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import catalogue, jobs, runs
from core.errors import RunError
from market import database
from market.database import ScenarioStore
from market.scenarios import Scenario
from tests import browser
from tests.made_runs import made_run, write_data
from tests.test_jobs import request as asked
from tests.test_jobs import wait_for
from tests.visitor import Visitor

EACH = 5


@pytest.fixture
def servers(tmp_path) -> Iterator[list[browser.App]]:
    own = {"LUNGLENS_SCENARIOS": str(tmp_path / "scenarios.duckdb"), "LUNGLENS_RUNS": str(tmp_path / "runs")}
    made_run(tmp_path / "runs", "demo")
    home = browser.ROOT / "dashboard" / "Home.py"
    with (
        browser.running_app(home, tmp_path / "one.log", own) as one,
        browser.running_app(home, tmp_path / "two.log", own) as two,
    ):
        yield [one, two]
    for log in (tmp_path / "one.log", tmp_path / "two.log"):
        assert "Traceback" not in log.read_text(errors="replace")


def test_what_two_servers_save_at_once_is_there_on_both(servers):
    faults: list[str] = []

    def save(app: browser.App) -> None:
        with Visitor(app.url) as visitor:
            visitor.open("compare")
            for _ in range(EACH):
                visitor.click(visitor.controls("button", "Save scenario")[0])
                faults.extend(item.message.body for item in visitor.elements("alert"))

    threads = [threading.Thread(target=save, args=(app,)) for app in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    for app in servers:
        with Visitor(app.url) as visitor:
            visitor.open("compare")
            assert f"{2 * EACH} saved" in visitor.text()


@pytest.fixture
def root(tmp_path, monkeypatch) -> Iterator[Path]:
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    runs.RUNS.mkdir()
    yield runs.RUNS
    for status in jobs.listed():
        if status.active:
            jobs.stop(status.name)
            wait_for(status.name, *jobs.ENDED)


def test_a_name_that_two_servers_start_at_once_is_trained_once(root, tmp_path):
    folder = write_data(tmp_path / "drawn", per_class=6, seed=10)
    wanted, refused, gate = asked("same", folder, root, epochs=80), [], threading.Barrier(2)

    def start() -> None:
        gate.wait()
        try:
            jobs.start(wanted)
        except RunError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1 and "under way" in refused[0]
    assert [status.name for status in jobs.listed()] == ["same"] and jobs.status("same").active


# Clocks that jump


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of the day, in hours from now; the clock that counts seconds goes on as it is."""
    real, real_ns, real_now = time.time, time.time_ns, database._now
    hours = 0.0

    def put(by: float) -> None:
        nonlocal hours
        hours = by

    from datetime import timedelta

    monkeypatch.setattr(time, "time", lambda: real() + 3600 * hours)
    monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(3600e9 * hours))
    monkeypatch.setattr(database, "_now", lambda: real_now() + timedelta(hours=hours))
    return put


def tickets(root: Path) -> list[int]:
    paths = (root / jobs.FOLDER / name / "order.json" for name in ("first", "second", "third"))
    return [json.loads(path.read_text())["ticket"] for path in paths]


def test_a_clock_that_is_set_back_lets_nobody_jump_the_queue(root, clock):
    for name, hours in (("first", 0), ("second", -1), ("third", -30)):
        clock(hours)
        folder = root / jobs.FOLDER / name
        folder.mkdir(parents=True)
        jobs._write_order(folder, ["--data", "x"])
    assert tickets(root) == sorted(tickets(root)) and len(set(tickets(root))) == 3


def test_steps_count_seconds_that_passed_whatever_the_clock_says(root, clock):
    facts = {"epoch": 0, "epochs": 1, "step": 1, "steps": 2, "loss": 1.0, "learning_rate": 0.1}
    with jobs.Turn("mine") as turn:
        clock(-1)
        turn.tell(state="training", images_per_second=5.0, **facts)
    [seconds] = jobs.steps("mine")["seconds"]
    assert 0 <= seconds < 60


def test_versions_and_deletions_follow_their_order_and_not_the_clock(tmp_path, clock):
    store = ScenarioStore(tmp_path / "scenarios.duckdb")
    first = store.save_scenario(Scenario("first", "us"))
    clock(-1)
    second = store.save_scenario(Scenario("second", "us"), scenario_id=first.id)
    store.delete(first.id)
    clock(-2)
    store.undelete(first.id)
    [found] = store.list_scenarios()
    assert (found.version, found.scenario.name) == (second.version, "second") == (2, "second")
    assert [version.version for version in store.list_versions(first.id)] == [1, 2]


def test_a_run_deleted_before_the_clock_was_set_back_comes_back(root, clock):
    made_run(root, "mine")
    kept = catalogue.delete("mine")
    clock(-1)
    made_run(root, "mine")
    again = catalogue.delete("mine")
    assert kept != again and catalogue.restore(again) == "mine"
    assert catalogue.trashed() == [kept]
