"""Trainings in the background: they outlive who started them, take turns, say how they are, and can be resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from core import jobs, runs
from core.errors import ConfigError, RunError
from core.order import Request, expected_seconds
from tests.made_runs import small_recipe, uninterrupted_weights, write_data

ROOT = Path(__file__).resolve().parent.parent
TOML = """
epochs = {epochs}
batch_size = 4
learning_rate = 0.002
validation = 0.34
[preprocess]
pipeline = "lung"
size = 64
[augment]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("jobs") / "drawn", per_class=6, seed=10)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty folder of runs; what still trains in it at the end is stopped."""
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    runs.RUNS.mkdir()
    yield runs.RUNS
    for status in jobs.listed():
        if status.active:
            jobs.stop(status.name)
            wait_for(status.name, *jobs.ENDED)


def request(name: str, folder: Path, root: Path, epochs: int = 2, **changes) -> Request:
    recipe = root.parent / f"small{epochs}.toml"
    recipe.write_text(TOML.format(epochs=epochs))
    return Request(name, (str(folder),), str(recipe), "none", **changes)


def wait_for(name: str, *states: str, seconds: float = 120) -> jobs.Status:
    return wait_until(name, lambda status: status.state in states, seconds)


def wait_until(name: str, reached, seconds: float = 120) -> jobs.Status:
    deadline = time.monotonic() + seconds
    while not reached(status := jobs.status(name)):
        ended_otherwise = status.state in ("failed", "died") and time.monotonic() > deadline - seconds + 20
        assert time.monotonic() < deadline and not ended_otherwise, status
        time.sleep(0.05)
    return status


def kill(name: str) -> None:
    """End its process as the machine would for want of memory, and wait until it is gone."""
    os.kill(json.loads((runs.RUNS / ".jobs" / name / "progress.json").read_text())["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 20
    while jobs.status(name).active and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_killed_training_reads_as_died_and_resumed_ends_with_the_same_weights(folder, root):
    wanted = request("killed", folder, root, epochs=8)
    jobs.start(wanted)
    wait_until("killed", lambda status: status.epoch >= 1)
    kill("killed")
    died = jobs.status("killed")
    assert died.state == "died" and died.resumable and 1 <= died.epoch < 8 and died.epochs == 8
    jobs.resume("killed")
    wait_for("killed", "finished")
    ours, theirs = load_file(root / "killed" / "model.safetensors"), uninterrupted_weights(wanted)
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not np.array_equal(ours[name], theirs[name])] == []
    told = "".join(path.read_text() for path in (root / "killed").iterdir() if path.suffix in (".json", ".csv"))
    assert str(root.parent) not in told and '"pid"' not in told
    found = jobs.steps("killed")
    assert found["epoch"] == sorted(set(found["epoch"])) and found["epoch"][-1] <= 8


def test_trainings_take_turns_in_the_order_they_were_asked_for(folder, root):
    jobs.start(request("first", folder, root, epochs=80))
    jobs.start(request("second", folder, root, epochs=1))
    jobs.start(request("third", folder, root, epochs=1))
    wait_for("first", "training")
    assert [(known.name, known.state, known.ahead) for known in jobs.listed()[1:]] == [
        ("second", "queued", 1),
        ("third", "queued", 2),
    ]
    jobs.stop("third")
    assert wait_for("third", "stopped").resumable
    jobs.stop("first")
    stopped = wait_for("first", "stopped")
    assert stopped.epoch < 400 and not stopped.error
    done = wait_for("second", "finished")
    assert any("is finished" in line for line in done.messages)
    assert (root / "second" / "model.onnx").exists() and not (root / "third").exists()


def test_a_training_that_fails_says_why_and_begins_anew_once_mended(root, tmp_path):
    broken = write_data(tmp_path / "broken", per_class=4, seed=50)
    good = (broken / "normal_0.png").read_bytes()
    (broken / "normal_0.png").write_bytes(b"no picture")
    jobs.start(request("broken", broken, root, epochs=1))
    failed = wait_for("broken", "failed")
    assert "normal_0.png" in failed.error and "expected" in failed.error and "Traceback" not in failed.error
    assert failed.resumable and not (root / "broken").exists()
    (broken / "normal_0.png").write_bytes(good)
    jobs.resume("broken")
    assert wait_for("broken", "finished").error == ""


def test_the_command_line_waits_its_turn_and_is_seen_by_others(folder, root, monkeypatch):
    monkeypatch.delenv(jobs.INHERITED, raising=False)
    with jobs.Turn("mine", request("mine", folder, root)) as turn:
        turn.tell(
            state="training", epoch=0, epochs=2, step=1, steps=3, images_per_second=5.0, loss=1.0, learning_rate=0.1
        )
        assert jobs.status("mine").state == "training"
        with pytest.raises(RunError, match="under way"):
            jobs.start(request("mine", folder, root))
        asked = request("other", folder, root, epochs=1)
        process = subprocess.Popen(
            [sys.executable, "-m", "core", "train", *asked.arguments()],
            cwd=ROOT,
            env=os.environ | {"LUNGLENS_RUNS": str(root)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "waiting for another training" in process.stderr.readline()
        assert jobs.status("other").state == "queued"
        jobs.stop("other")
        assert process.wait(60) == 130
        process.stderr.close()
    assert jobs.status("other").state == "stopped"


def test_a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it(root):
    folder = root / ".jobs" / "gone"
    folder.mkdir(parents=True)
    (folder / "order.json").write_text(json.dumps({"arguments": ["--data", "x"], "ticket": 1}))
    (folder / "progress.json").write_text(json.dumps({"state": "training", "pid": os.getpid(), "epochs": 3}))
    assert jobs.status("gone").state == "died"
    jobs.stop("gone")  # it is not this process that is stopped
    assert jobs.status("gone").state == "died"


def test_a_run_folder_left_by_an_older_training_can_be_resumed(root):
    (root / "old").mkdir()
    (root / "old" / "checkpoint.pt").write_bytes(b"")
    (root / "old" / "history.csv").write_text("epoch\n1\n2\n")
    [old] = jobs.listed()
    assert (old.name, old.state, old.epoch, old.resumable) == ("old", "stopped", 2, True)


def test_files_that_are_half_there_harm_no_reader(root):
    folder = root / ".jobs" / "half"
    folder.mkdir(parents=True)
    (folder / "order.json").write_text('{"ticket": 1, "arguments": ["--data"')
    assert jobs.listed() == [] and jobs.status("half") is None
    (folder / "steps.csv").write_text("seconds,epoch,loss,learning_rate,images_per_second\n1,0.5,1.2,0.1,7\n2,0.")
    assert jobs.steps("half")["epoch"] == [0.5]


def test_steps_trained_again_after_a_stop_are_counted_once(root):
    folder = root / ".jobs" / "again"
    folder.mkdir(parents=True)
    epochs = (0.5, 1.0, 1.4, 1.2, 1.6)
    rows = [f"{place},{epoch},{place},0.1,7" for place, epoch in enumerate(epochs)]
    (folder / "steps.csv").write_text(
        "\n".join(["seconds,epoch,loss,learning_rate,images_per_second", *rows]) + "\n"
    )
    assert jobs.steps("again")["epoch"] == [0.5, 1.0, 1.2, 1.6]
    assert jobs.steps("again")["loss"] == [0, 1, 3, 4]


@pytest.mark.parametrize("name", ["", "../out", ".hidden", "a/b"])
def test_a_name_that_is_a_path_or_hidden_is_refused(folder, root, name):
    with pytest.raises(RunError, match="plain name"):
        jobs.start(request(name, folder, root))
    assert not (root / ".jobs").exists()


def test_what_contradicts_itself_is_refused_before_a_process_starts(folder, root):
    with pytest.raises(ConfigError, match="batch_size"):
        jobs.start(request("x", folder, root, batch_size=1))
    (root / "taken").mkdir()
    with pytest.raises(RunError, match="a run of that name"):
        jobs.start(request("taken", folder, root))


def test_a_request_and_its_arguments_ask_for_the_same_training(folder, root):
    asked = request("x", folder, root, batch_size=2, learning_rate=0.01, validation=0.25, seed=7)
    from core.__main__ import parser

    read = parser().parse_args(["train", *asked.arguments()])
    assert (read.name, read.batch_size, read.learning_rate, read.validation, read.seed) == ("x", 2, 0.01, 0.25, 7)
    assert read.epochs is None and read.data == [str(folder)] and read.config.endswith("small2.toml")


def test_the_estimate_counts_images_and_times_three_batches(folder, root):
    asked = request("x", folder, root, epochs=3)
    shown = subprocess.run(
        [sys.executable, "-m", "core", "train", "--estimate", "--json", *asked.arguments()],
        cwd=ROOT,
        env=os.environ | {"LUNGLENS_RUNS": str(root)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = json.loads(shown.stdout)
    assert sum(row["images"] for row in found["counts"]) == 18
    assert [len(times) for times in found["seconds_per_image"].values()] == [3]
    middle, least, most = expected_seconds(asked.order().recipe, {"train": 12, "validation": 6}, found)
    assert 0 < least <= middle <= most
    assert list(root.iterdir()) == []


def test_expected_seconds_add_up_over_small_and_whole_views():
    recipe = small_recipe(epochs=4, small_size=32, small_share=0.5)
    timing = {"seconds_per_image": {"32": [1.0, 2.0, 3.0], "64": [10.0, 10.0, 40.0]}, "seconds_to_read": 0.5}
    found = expected_seconds(recipe, {"train": 6, "validation": 3}, timing)
    # 2 epochs of 6 small slices, 2 of whole ones, 4 times 3 slices at a third of the cost, 9 slices read
    assert found == pytest.approx((24 + 120 + 40 + 4.5, 12 + 120 + 40 + 4.5, 36 + 480 + 160 + 4.5))


def test_half_a_row_that_a_full_disk_left_is_skipped(root):
    place = root / jobs.FOLDER / "cut"
    place.mkdir(parents=True)
    header = ",".join(jobs.STEP_COLUMNS)
    (place / "steps.csv").write_text(f"{header}\n1,0.5,2,0.1,30\n2,0.6,1.9,0.1,\n3,0.7,1.8,0.1,31\n")
    assert jobs.steps("cut")["seconds"] == [1.0, 3.0]


def test_a_full_disk_neither_ends_a_training_that_tells_nor_keeps_its_turn(root, folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    with jobs.Turn("full", request("full", folder, root)) as turn:
        monkeypatch.setattr(jobs, "_replace", full)
        turn.tell(state="training", epoch=0, step=1, steps=2, loss=1.0)
    monkeypatch.undo()
    monkeypatch.setattr(runs, "RUNS", root)
    assert not jobs.status("full").active
    with jobs.Turn("next", request("next", folder, root)) as turn:
        assert turn.known["state"] == "preparing"


def test_a_training_that_cannot_be_written_down_is_refused_by_name(root, folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "_replace", full)
    with pytest.raises(RunError, match=r"full.*No space left"):
        jobs.start(request("full", folder, root))
    assert not jobs._held(root / jobs.FOLDER / "full" / "alive")
