"""kill -9 while building, exporting and keeping: what was there before is whole, and the next start works."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from core import catalogue, jobs, runs
from core.runs import read_json
from market.database import open_database
from market.scenarios import read_scenario, scenario_text
from tests.made_runs import made_run
from tests.test_database import data, python, rows  # noqa: F401

BUILD = """
import sys
from pathlib import Path
from market.database import open_database
folder, number = Path(sys.argv[1]), 0
while True:
    number += 1
    table = folder / "life_tables" / "us_2015.csv"
    table.write_text(f"age,female,male\\n0,0.0054,0.0064\\n1,0.0004,{0.0005 + number * 1e-7}\\n")
    open_database(folder).close()
    print(number, flush=True)
"""
EXPORT = """
import sys
from pathlib import Path
from market.scenarios import Scenario, write_scenario
number = 0
while True:
    number += 1
    write_scenario(Scenario("exported", "us", number, note="x" * 3000), Path(sys.argv[1]))
    print(number, flush=True)
"""
KEEP = """
import sys
from pathlib import Path
from core import evaluate, metrics
from core.runs import load_run
from tests.made_runs import LABELS, made_predictions
frame = made_predictions(60, 1).drop(columns="scheme")
result = evaluate.Result(frame, metrics.evaluate_frame(frame, LABELS, n_boot=20), 0)
number = 0
while True:
    number += 1
    evaluate.keep(Path(sys.argv[1]), f"test{number % 3}", result)
    print(number, flush=True)
"""


def killed(code: str, rng: random.Random, *arguments: object) -> int:
    """Run it until it has done something once, kill it some time later; how much it had said it did."""
    process = python(code, *arguments)
    first = process.stdout.readline()
    assert first, process.communicate()[1]
    time.sleep(rng.uniform(0, 0.2))
    process.kill()
    said, _ = process.communicate()
    return int((first + said).split()[-1])


def test_a_market_database_whose_builder_was_killed_is_whole_and_the_next_start_makes_its_own(data):  # noqa: F811
    rng = random.Random(1)
    for _ in range(4):
        killed(BUILD, rng, data)
        if not (data / "life_tables" / "us_2015.csv").read_text().strip():
            (data / "life_tables" / "us_2015.csv").write_text("age,female,male\n0,0.0054,0.0064\n1,0.0004,0.0005\n")
        with open_database(data) as opened:
            assert opened.warnings == ()
            found = rows(opened, "SELECT deaths_per_person_year FROM market.life_tables WHERE sex = 'male'")
        lines = (data / "life_tables" / "us_2015.csv").read_text().splitlines()[1:]
        assert sorted(value for (value,) in found) == sorted(float(line.split(",")[2]) for line in lines)
    assert list(data.glob("*damaged*")) == []


def test_an_exported_scenario_is_the_old_one_or_the_new_one(tmp_path):
    rng, file = random.Random(2), tmp_path / "exported.yaml"
    for _ in range(4):
        done = killed(EXPORT, rng, file)
        found = read_scenario(file)
        assert found.seed in (done, done + 1) and found.note == "x" * 3000
        assert scenario_text(found) == file.read_text(encoding="utf-8")


def test_evidence_that_was_kept_stays_when_keeping_more_is_killed(tmp_path):
    rng, run = random.Random(3), made_run(tmp_path, "mine")
    before = read_json(run / "metrics.json")["validation"]
    for _ in range(3):
        done = killed(KEEP, rng, run)
        kept = read_json(run / "metrics.json")
        assert kept["validation"] == before
        assert {f"test{number % 3}" for number in range(max(1, done - 2), done + 1)} <= kept["tests"].keys()
        schemes = set(pd.read_parquet(run / "predictions.parquet")["scheme"])
        assert schemes >= {"validation", *kept["tests"]}
        assert (run / "MODEL_CARD.md").read_text(encoding="utf-8").startswith("# Model card: run mine")


@pytest.fixture
def finished(tmp_path, monkeypatch) -> Path:
    """A run whose training was killed between writing model.onnx, its last file, and removing the checkpoint."""
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    run = made_run(tmp_path, "mine")
    (run / "checkpoint.pt").write_bytes(b"what training went on from")
    order = tmp_path / jobs.FOLDER / "mine"
    order.mkdir(parents=True)
    (order / "order.json").write_text('{"arguments": ["--data", "x"], "ticket": 1}')
    (order / "progress.json").write_text('{"state": "finishing", "pid": 1}')
    return run


def test_a_training_killed_after_its_last_file_is_finished_and_can_be_renamed_and_deleted(finished):
    status = jobs.status("mine")
    assert status.state == "finished" and not status.resumable
    assert catalogue.refusal("mine") is None
    catalogue.rename("mine", "another")
    assert catalogue.restore(catalogue.delete("another")) == "another"


@pytest.mark.parametrize("missing", ["model.onnx", "metrics.json", "predictions.parquet"])
def test_a_training_killed_while_it_exports_is_told_as_one_to_go_on_with(finished, missing):
    (finished / "model.onnx").unlink()
    (finished / missing).unlink(missing_ok=True)
    (finished / "model.onnx.part77").write_bytes(b"half of it")
    status = jobs.status("mine")
    assert status.state == "died" and status.resumable
    [row] = catalogue.read_catalogue().runs.to_dict("records")
    assert row["state"] == "unfinished" and runs.list_runs() == []


def test_a_copy_that_a_killed_writer_left_is_no_run_and_hides_none(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    made_run(tmp_path, "mine")
    shutil.copytree(tmp_path / "mine", tmp_path / ".next.part")
    (tmp_path / ".next.part" / "model.onnx").unlink()
    assert runs.list_runs() == ["mine"] and [path.name for path in catalogue.run_folders()] == ["mine"]


def test_the_market_command_starts_again_after_it_was_killed(tmp_path):
    command = [sys.executable, "-m", "market", "psa", "--draws", "2000", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("out*/*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    again = subprocess.run([*command[:-4], "--draws", "50", "--out", str(tmp_path / "out")], capture_output=True,
                           text=True, check=False, timeout=120)  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert all(len(pd.read_parquet(file)) for file in (tmp_path / "out").glob("*.parquet"))
