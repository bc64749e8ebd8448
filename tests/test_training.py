"""Training: run folders that explain themselves, resume to the same weights, splits that leak nothing."""

import csv
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

from core import data, neighbours
from core.calibrate import compare
from core.errors import ConfigError, DataError, ImageError, RunError
from core.fit import learning_rate
from core.order import Order, Request, class_names, split
from core.predictor import softmax
from core.recipe import load_recipe
from core.runs import load_run
from core.train import new_model, resume, train
from tests.made_runs import small_recipe, uninterrupted_weights, write_data

TOML = """
epochs = 3
small_size = 48
small_share = 0.34
batch_size = 4
learning_rate = 0.002
validation = 0.34
average = 0.9
[preprocess]
pipeline = "lung"
size = 64
[augment]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return write_data(tmp_path_factory.mktemp("train") / "drawn", per_class=6, seed=10)


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory) -> Path:
    order = Order("first", (str(folder),), small_recipe(), "none", 3)
    return train(order, tmp_path_factory.mktemp("runs"))


def test_a_finished_run_holds_every_file_that_explains_it(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        "config.json", "environment.json", "split.csv", "history.csv", "model.safetensors", "model.onnx",
        "predictions.parquet", "metrics.json", "MODEL_CARD.md", "neighbours.parquet",
    }  # fmt: skip


def test_another_backbone_learns_behind_its_frozen_blocks(folder, tmp_path):
    (tmp_path / "own.toml").write_text(TOML.replace("epochs = 3", "epochs = 1\nfrozen = 5\nmixstyle = 1.0"))
    request = Request("other", (str(folder),), str(tmp_path / "own.toml"), "none", backbone="resnet18")
    before = new_model(request.order(), 3)[0]
    after = uninterrupted_weights(request)
    learned = [key for key, _ in before.named_parameters()]
    kept = {key for key, _ in before.features[:5].named_parameters(prefix="features")}
    assert {key for key in learned if np.array_equal(after[key], before.state_dict()[key])} == kept


def test_the_history_has_a_row_an_epoch_with_both_sets(finished):
    with (finished / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    for name in ("train_loss", "train_accuracy", "validation_loss", "validation_balanced_accuracy"):
        assert all(float(row[name]) >= 0 for row in rows)


def test_the_configuration_says_what_was_trained_on_what(finished, folder):
    config = load_run(finished).config
    assert config["labels"] == ["normal", "pneumonia", "tumour"]
    assert config["weights"] == {"name": "none", "sha256": None}
    assert config["data"]["checksum"] == data.checksum(data.load_table([folder]))
    assert sum(count["images"] for count in config["data"]["counts"]) == 18
    assert str(folder) not in (finished / "config.json").read_text()


def test_the_kept_weights_are_those_of_the_best_validation_accuracy(finished):
    import pandas as pd

    history = pd.read_csv(finished / "history.csv")
    frame = pd.read_parquet(finished / "predictions.parquet")
    called = frame[["p_normal", "p_pneumonia", "p_tumour"]].to_numpy().argmax(1)
    right = np.array(["normal", "pneumonia", "tumour"])[called] == frame["label"]
    assert right.mean() == pytest.approx(history["validation_accuracy"].max(), abs=1e-9)


def test_no_group_is_on_both_sides_of_the_split(finished):
    with (finished / "split.csv").open() as file:
        rows = list(csv.DictReader(file))
    sides = {part: {row["group"] for row in rows if row["part"] == part} for part in ("train", "validation")}
    assert sides["train"] and sides["validation"]
    assert not sides["train"] & sides["validation"]


def test_the_metrics_carry_intervals_and_sample_sizes(finished):
    found = load_run(finished).metrics["validation"]
    assert found["n_slices"] == 6 and found["n_groups"] == 3
    assert set(found["balanced_accuracy"]) >= {"value", "low", "high"}


def test_the_temperature_is_fitted_to_validation_images_stored_and_used(finished):
    import pandas as pd

    run = load_run(finished)
    found, temperature = run.metrics["calibration"], run.config["temperature"]
    assert (found["scheme"], found["n_slices"], found["n_groups"]) == ("validation", 6, 3)
    assert temperature == found["temperature"] != 1.0
    before, after = (found[side]["cross_entropy"] for side in ("before", "after"))
    assert after["value"] < before["value"]
    assert set(found["after"]["ece"]) >= {"value", "low", "high"}
    assert f"A temperature of {temperature:.3f} was fitted to 6 validation slices, 3 groups." in run.card
    frame = pd.read_parquet(finished / "predictions.parquet")
    logits, called = (frame[[f"{kind}_{label}" for label in run.labels]].to_numpy() for kind in ("logit", "p"))
    assert called == pytest.approx(softmax(logits / temperature), abs=1e-6)


def test_a_cross_entropy_and_its_interval_follow_from_the_table():
    import pandas as pd

    logits = np.log([[0.8, 0.2], [0.5, 0.5], [0.1, 0.9], [0.1, 0.9]])
    frame = pd.DataFrame({"label": ["a", "a", "b", "b"], "group": ["1", "2", "3", "4"]})
    frame[["logit_a", "logit_b"]] = logits
    found = compare(frame, ("a", "b"), 1.0)
    # Classes count alike: the mean of a's mean of -log 0.8 and -log 0.5, and of b's -log 0.9.
    value = (-(np.log(0.8) + np.log(0.5)) / 2 - np.log(0.9)) / 2
    low, high = ((-np.log(best) - np.log(0.9)) / 2 for best in (0.8, 0.5))
    measured = found["before"]["cross_entropy"]
    assert [measured[end] for end in ("value", "low", "high")] == pytest.approx([value, low, high])
    assert measured["note"] == "only 2 groups, a rough interval"
    assert found["before"] == found["after"]
    alone = compare(frame.iloc[:3], ("a", "b"), 1.0)["before"]["cross_entropy"]
    assert (alone["low"], alone["high"]) == (None, None) and "fewer than 2 groups" in alone["note"]


def test_a_finished_run_can_name_the_training_slices_nearest_to_a_picture(finished):
    index = neighbours.load(finished)
    with (finished / "split.csv").open() as file:
        learned = [row["sha256"] for row in csv.DictReader(file) if row["part"] == "train"]
    assert sorted(index.slices["sha256"]) == sorted(learned)


def test_the_history_has_intervals_that_hold_their_values(finished):
    with (finished / "history.csv").open() as file:
        row = list(csv.DictReader(file))[-1]
    low, value, high = (float(row[f"validation_accuracy{end}"]) for end in ("_low", "", "_high"))
    assert 0 <= low <= value <= high <= 1


def test_the_same_seed_trains_the_same_weights(finished, folder, tmp_path):
    again = train(Order("first", (str(folder),), small_recipe(), "none", 3), tmp_path)
    assert_same_weights(finished, again)


def test_another_seed_trains_other_weights(finished, folder, tmp_path):
    other = train(Order("first", (str(folder),), small_recipe(), "none", 4), tmp_path)
    ours, theirs = load_file(finished / "model.safetensors"), load_file(other / "model.safetensors")
    assert any(not np.array_equal(ours[name], theirs[name]) for name in ours)


def test_a_killed_run_goes_on_and_ends_with_the_weights_of_an_uninterrupted_one(folder, tmp_path):
    recipe = tmp_path / "three.toml"
    recipe.write_text(TOML)
    whole = train(Order("whole", (str(folder),), load_recipe(str(recipe)), "none", 0), tmp_path)
    killed = start_and_kill(tmp_path / "killed", folder, recipe)
    assert (killed / "checkpoint.pt").exists() and not (killed / "model.onnx").exists()
    assert_same_weights(whole, resume(killed))
    assert not (killed / "checkpoint.pt").exists()


def start_and_kill(path: Path, folder: Path, recipe: Path) -> Path:
    """Train in another process and kill it (signal 9) once an epoch is written."""
    code = (
        "import sys; from pathlib import Path; from core.train import Order, train;"
        "from core.recipe import load_recipe; run, data, recipe = sys.argv[1:];"
        "train(Order(Path(run).name, (data,), load_recipe(recipe), 'none', 0), Path(run).parent)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path), str(folder), str(recipe)], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 240
    while not (path / "history.csv").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (path / "model.onnx").exists(), "the run ended before it was killed"
    return path


def assert_same_weights(one: Path, other: Path) -> None:
    ours, theirs = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert np.array_equal(ours[name], theirs[name]), name


def test_a_finished_run_is_not_resumed(finished):
    with pytest.raises(RunError, match="a finished run"):
        resume(finished)


def test_a_run_is_not_resumed_on_changed_data(folder, tmp_path):
    import shutil

    copy = tmp_path / "drawn"
    shutil.copytree(folder, copy)
    recipe = tmp_path / "three.toml"
    recipe.write_text(TOML)
    killed = start_and_kill(tmp_path / "killed", copy, recipe)
    (copy / "manifest.csv").write_text(
        (copy / "manifest.csv").read_text().replace("normal_0.png,normal", "normal_0.png,tumour")
    )
    with pytest.raises(DataError, match="changed"):
        resume(killed)


def test_a_name_is_not_taken_twice_and_is_no_path(finished, folder):
    with pytest.raises(RunError, match="a run of that name"):
        train(Order("first", (str(folder),), small_recipe(), "none", 3), finished.parent)
    with pytest.raises(RunError, match="a plain name"):
        train(Order("../out", (str(folder),), small_recipe(), "none", 3), finished.parent)


def test_images_called_test_are_never_trained_on_nor_what_resembles_them(tmp_path):
    folder = write_data(tmp_path / "layout", per_class=4, seed=50)
    text = (folder / "manifest.csv").read_text().splitlines()
    text[0] += ",split"
    # The group tumour0 (two slices) has one slice on each side.
    text[1:] = [line + (",test" if line.startswith(("normal_3", "tumour_0")) else ",train") for line in text[1:]]
    (folder / "manifest.csv").write_text("\n".join(text) + "\n")
    table = data.load_table([folder])
    parts = split(table, small_recipe(validation=0.0, keep="last"), seed=0)
    by_file = dict(zip(table["file"], parts, strict=True))
    assert by_file["tumour_0.png"] == by_file["normal_3.png"] == "test"
    assert by_file["tumour_1.png"] == by_file["normal_2.png"] == "left out"
    assert by_file["tumour_2.png"] == "train"


def test_classes_keep_their_fixed_order_and_unknown_ones_follow():
    assert class_names(["tumour", "normal", "abscess", "pneumonia"]) == ("normal", "pneumonia", "tumour", "abscess")


def test_a_class_without_a_training_image_is_refused_before_the_run_begins(tmp_path):
    folder = write_data(tmp_path / "layout", per_class=2, seed=50)
    text = (folder / "manifest.csv").read_text().splitlines()
    text = [
        text[0] + ",split",
        *(f"{line},{'test' if line.startswith('tumour') else 'train'}" for line in text[1:]),
    ]
    (folder / "manifest.csv").write_text("\n".join(text) + "\n")
    order = Order("x", (str(folder),), small_recipe(validation=0.0, keep="last"), "none", 0)
    with pytest.raises(DataError, match="no training image of 'tumour'"):
        train(order, tmp_path / "runs")
    assert not (tmp_path / "runs" / "x").exists()


def test_a_picture_that_cannot_be_read_leaves_no_half_run_behind(tmp_path):
    folder = write_data(tmp_path / "drawn", per_class=2, seed=50)
    (folder / "normal_0.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"normal_0\.png"):
        train(Order("x", (str(folder),), small_recipe(validation=0.0, keep="last"), "none", 0), tmp_path / "runs")
    assert not (tmp_path / "runs" / "x").exists()


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_out_of_range_is_refused(folder, tmp_path, seed):
    with pytest.raises(ConfigError, match="seed"):
        train(Order("x", (str(folder),), small_recipe(), "none", seed), tmp_path)


def test_one_class_alone_is_refused():
    with pytest.raises(DataError, match="one class"):
        class_names(["tumour", "tumour"])


def test_the_papers_schedule_steps_down_after_seven_epochs():
    recipe = load_recipe("paper")
    assert [learning_rate(recipe, epoch, 0.5) for epoch in (0, 6, 7, 9)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def test_the_cosine_schedule_warms_up_and_ends_at_zero():
    recipe = small_recipe(epochs=10, warmup=0.1, learning_rate=0.01)
    assert learning_rate(recipe, 0, 0.5) == pytest.approx(0.005)
    assert learning_rate(recipe, 1, 0.0) == pytest.approx(0.01)
    assert learning_rate(recipe, 5, 0.5) == pytest.approx(0.005)
    assert learning_rate(recipe, 9, 1.0) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "environment.json"])
def test_json_of_a_run_holds_no_nan(finished, name):
    json.loads((finished / name).read_text(), parse_constant=lambda word: pytest.fail(word))
