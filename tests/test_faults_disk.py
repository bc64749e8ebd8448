"""A full disk and a folder that is only read: a clear message, nothing saved is lost, it goes on after."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core import evaluate, jobs, metrics, runs
from core.audit_example import write_example
from core.errors import DataError, RunError
from core.labels import LABELS
from core.order import Request
from dashboard.training import loaders
from market.database import ScenarioStore, open_database
from market.errors import DatabaseError
from market.scenarios import Scenario
from tests import browser
from tests.made_runs import made_predictions, made_run, write_data
from tests.test_database import data  # noqa: F401
from tests.visitor import Visitor

NOT_ALLOWED = "needs leave to mount a small disk, as root in a container of its own has"


def mount(*arguments: object) -> bool:
    """Whether it could be mounted."""
    try:
        return subprocess.run(["mount", *map(str, arguments)], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A disk of 60 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=60m", "tmpfs", place):
        pytest.skip(NOT_ALLOWED)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def fill(disk: Path) -> Path:
    """Leave no room; the file to remove for room."""
    with (disk / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return disk / "filler"


def only_read(disk: Path, yes: bool) -> None:
    assert mount("-o", f"remount,{'ro' if yes else 'rw'}", disk)


def test_saving_on_a_full_disk_is_refused_and_goes_on_once_there_is_room(disk):
    store = ScenarioStore(disk / "scenarios.duckdb")
    kept = store.save_scenario(Scenario("kept", "us"))
    filler = fill(disk)
    with pytest.raises(DatabaseError, match=r"scenarios\.duckdb: found a disk with no room left"):
        for _ in range(50):
            store.save_scenario(Scenario("lost", "us"), {"long": list(range(20_000))})
    acknowledged = [found.id for found in ScenarioStore(store.path).list_scenarios()]
    assert kept.id in acknowledged
    filler.unlink()
    again = store.save_scenario(Scenario("again", "us"))
    found = ScenarioStore(store.path)
    assert {*acknowledged, again.id} <= {item.id for item in found.list_scenarios()} and found.warnings == ()


def test_the_first_saving_on_a_full_disk_leaves_nothing_half_made(disk):
    filler = fill(disk)
    store = ScenarioStore(disk / "scenarios.duckdb")
    with pytest.raises(DatabaseError, match=r"scenarios\.duckdb: found a disk with no room left"):
        store.save_scenario(Scenario("x", "us"))
    assert [path.name for path in disk.iterdir()] == ["filler"]
    filler.unlink()
    assert store.save_scenario(Scenario("x", "us")).version == 1


def test_a_market_database_is_not_half_made_on_a_full_disk(disk, data):  # noqa: F811
    with open_database(data, disk / "lunglens.duckdb"):
        pass
    before = (disk / "lunglens.duckdb").read_bytes()
    (data / "life_tables" / "us_2015.csv").write_text("age,female,male\n0,0.0054,0.0064\n1,0.0004,0.0006\n")
    filler = fill(disk)
    with pytest.raises(DatabaseError, match=r"lunglens\.duckdb: found a disk with no room left"):
        open_database(data, disk / "lunglens.duckdb")
    assert (disk / "lunglens.duckdb").read_bytes() == before
    filler.unlink()
    open_database(data, disk / "lunglens.duckdb").close()


def test_evidence_is_kept_whole_or_not_at_all_on_a_full_disk(disk):
    run = made_run(disk, "mine")
    frame = made_predictions(60, 1).drop(columns="scheme")
    result = evaluate.Result(frame, metrics.evaluate_frame(frame, LABELS, n_boot=20), 0)
    evaluate.keep(run, "first", result)
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    filler = fill(disk)
    with pytest.raises(OSError, match="No space"):
        evaluate.keep(run, "second", result)
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    filler.unlink()
    evaluate.keep(run, "second", result)
    assert runs.load_run(run).metrics["tests"].keys() == {"first", "second"}


def train(folder: Path, disk: Path, name: str) -> subprocess.CompletedProcess:
    command = ["train", "--data", str(folder), "--config", "paper", "--weights", "none", "--epochs", "1"]
    return subprocess.run(
        [sys.executable, "-m", "core", *command, "--name", name],
        cwd=browser.ROOT,
        env=os.environ | {"LUNGLENS_RUNS": str(disk)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("how", ["full", "only read"])
def test_a_training_that_cannot_be_written_ends_in_one_line_and_leaves_no_run(disk, tmp_path, how):
    folder = write_data(tmp_path / "drawn", per_class=4, seed=10)
    kept = made_run(disk, "kept")
    fill(disk) if how == "full" else only_read(disk, True)
    done = train(folder, disk, "new")
    if how == "only read":
        only_read(disk, False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert ("No space left" if how == "full" else "Read-only") in done.stderr.strip().splitlines()[-1]
    assert not (disk / "new").exists() and (kept / "model.onnx").is_file()


def test_on_a_disk_that_is_only_read_what_is_there_can_be_looked_at(disk, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", disk)
    made_run(disk, "mine")
    store = ScenarioStore(disk / "scenarios.duckdb")
    kept = store.save_scenario(Scenario("kept", "us"))
    waiting = disk / jobs.FOLDER / "gone"
    waiting.mkdir(parents=True)
    (waiting / "order.json").write_text('{"arguments": ["--data", "x"], "ticket": 1}')
    (waiting / "alive").touch()
    only_read(disk, True)
    assert ScenarioStore(store.path).list_scenarios() == [kept]
    with pytest.raises(DatabaseError, match="no permission"):
        store.save_scenario(Scenario("lost", "us"))
    assert [(status.name, status.state) for status in jobs.listed()] == [("gone", "died")]
    with pytest.raises(RunError, match="Read-only"):
        jobs.start(Request("new", (str(disk),), "paper", "none"))
    only_read(disk, False)
    assert store.save_scenario(Scenario("again", "us")).version == 1


def test_the_pages_tell_of_a_disk_that_is_full_or_only_read(disk, tmp_path):
    made_run(disk, "demo")
    ScenarioStore(disk / "scenarios.duckdb").save_scenario(Scenario("kept", "us"))
    own = {"LUNGLENS_RUNS": str(disk), "LUNGLENS_SCENARIOS": str(disk / "scenarios.duckdb")}
    write_data(tmp_path / "images" / "drawn", per_class=4, seed=10)
    own["LUNGLENS_DATA"] = str(tmp_path / "images")
    log = tmp_path / "streamlit.log"
    with browser.running_app(browser.ROOT / "dashboard" / "Home.py", log, own) as app, Visitor(app.url) as visitor:

        def said(page: str, button: str, times: int = 1) -> str:
            visitor.open(page, "folders=drawn" if page == "train" else "")
            for _ in range(times):
                visitor.click(visitor.controls("button", button)[0])
                if visitor.elements("alert"):
                    break
            return "\n".join(item.message.body for item in visitor.elements("alert")).replace("\\", "")

        only_read(disk, True)
        assert "scenarios.duckdb: found no permission" in said("compare", "Save scenario").replace("**", "")
        assert "kept" in visitor.text()
        assert "Read-only" in said("train", "Start training")
        for page in ("", "classify", "performance", "runs"):
            visitor.open(page)
        only_read(disk, False)
        fill(disk)
        assert "no room left" in said("compare", "Save scenario", times=60)
        assert "No space left" in said("train", "Start training")
    assert "Traceback" not in log.read_text(errors="replace")


@pytest.mark.parametrize("how", ["full", "only read"])
def test_what_a_page_draws_for_itself_is_refused_by_name_and_leaves_no_half(disk, monkeypatch, how):
    monkeypatch.setattr(loaders, "CACHE", disk / "cache")
    fill(disk) if how == "full" else only_read(disk, True)
    with pytest.raises(DataError, match=r"phantoms-3: found no way to write it"):
        loaders.make_phantoms(3)
    if how == "only read":  # on a full one all of it is drawn first, which takes long
        with pytest.raises(DataError, match="the example: found no way to write it"):
            write_example(disk / "example")
    assert not (disk / "cache" / "phantoms-3").exists() and not list(disk.glob("example/*"))
