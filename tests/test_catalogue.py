"""The catalogue of runs: every folder a row, damage named; rename, note, delete and undo leave working folders."""

import json
import os
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest

from core import catalogue, runs
from core.catalogue import read_catalogue, read_curves
from core.errors import RunError
from core.predictor import Predictor
from core.slices import Slice
from tests.made_runs import made_history, made_run

CHANGES = (
    catalogue.delete,
    lambda name: catalogue.rename(name, "x"),
    lambda name: catalogue.write_note(name, "x"),
)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A folder of runs of its own."""
    monkeypatch.setattr(runs, "RUNS", tmp_path / "runs")
    monkeypatch.delenv("LUNGLENS_DEMO", raising=False)
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


@pytest.fixture
def mine(root) -> Path:
    """The same with two finished runs, one of an awkward name."""
    made_run(root, "one")
    made_run(root, "two [a]*? ü", seed=1, epochs=3)
    return root


def row(name: str) -> dict:
    table = read_catalogue().runs
    [found] = table[table["name"] == name].to_dict("records")
    return found


def test_no_folder_of_runs_is_an_empty_table(root):
    root.rmdir()
    found = read_catalogue()
    assert found.runs.empty and found.scores.empty and "state" in found.runs.columns
    assert read_curves(["one"]).empty


def test_a_finished_run_is_a_row_with_what_its_config_says(mine):
    assert set(read_catalogue().runs["name"]) == {"one", "two [a]*? ü"}
    found = row("two [a]*? ü")
    assert (found["state"], found["recipe"], found["epochs"], found["epochs_done"]) == ("finished", "small", 3, 3)
    assert (list(found["sources"]), found["train_images"], found["images"]) == (["drawn"], 120, 150)
    assert found["model_bytes"] == (mine / "one" / "model.onnx").stat().st_size
    assert found["problem"] is None and str(found["created"]).startswith("20")


def test_scores_carry_the_intervals_of_metrics_json(mine):
    [found] = read_catalogue().scores.query("name == 'one'").to_dict("records")
    stored = json.loads((mine / "one" / "metrics.json").read_text())["validation"]
    assert (found["scheme"], found["n_slices"], found["n_groups"]) == ("validation", 60, 30)
    for name, key in (("balanced_accuracy", "balanced_accuracy"), ("auc", "diseased_auc"), ("brier", "brier")):
        estimate = stored[key]
        assert (found[name], found[f"{name}_low"], found[f"{name}_high"]) == (
            estimate["value"],
            estimate["low"],
            estimate["high"],
        )


def test_the_demo_run_lists_left_out_sources_first_then_folds_then_kept_tests():
    scores = read_catalogue().scores.query("name == 'demo'")
    assert scores["scheme"].tolist() == ["source"] * 5 + ["group", "kept test"]
    assert scores["part"].dropna().tolist() == [
        "chest_ctscan",
        "covid_ct",
        "ho",
        "iq_othnccd",
        "mosmed",
        "phantoms",
    ]


def test_a_training_under_way_is_unfinished(mine):
    (mine / "one" / "model.onnx").unlink()
    (mine / "one" / "metrics.json").unlink()
    (mine / "one" / "history.csv").write_text(made_history(4, 0))
    assert (row("one")["state"], row("one")["epochs_done"], row("one")["epochs"]) == ("unfinished", 4, 12)


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("config.json", None, "there is no config.json"),
        ("config.json", b'{"labels":', "config.json cannot be read as JSON"),
        ("config.json", b"\xff\xfe\x00", "config.json cannot be read as JSON"),
        ("config.json", b"[1]", "config.json holds no JSON object"),
        ("config.json", b'{"labels": "a", "recipe": {}}', "config.json has no list of labels"),
        ("config.json", b'{"labels": ["a"], "recipe": null}', "config.json has no recipe"),
        ("metrics.json", b"nan", "metrics.json cannot be read as JSON"),
        ("history.csv", b'\x00\xff"\n"junk', "history.csv holds no epoch that can be read"),
        ("model.onnx", b"", "model.onnx is empty"),
    ],
)
def test_damage_is_told_beside_the_runs_that_are_whole(mine, file, content, problem):
    (mine / "one" / file).unlink()
    if content is not None:
        (mine / "one" / file).write_bytes(content)
    assert (row("one")["state"], row("one")["problem"]) == ("damaged", problem)
    assert row("two [a]*? ü")["state"] == "finished"
    assert len(read_curves(["two [a]*? ü"])) == 3


def test_odd_values_in_a_config_are_missing_not_fatal(mine):
    config = json.loads((mine / "one" / "config.json").read_text())
    config["recipe"] |= {"epochs": "many", "batch_size": [1]}
    config |= {"created": "yesterday", "data": {"counts": [3, None, {"source": 1}]}, "seed": None}
    (mine / "one" / "config.json").write_text(json.dumps(config))
    assert row("one")["state"] == "finished"
    assert pd.isna([row("one")["epochs"], row("one")["created"], row("one")["seed"]]).all()
    config["data"]["counts"] = [{"label": "normal", "part": "train", "images": 3}]
    (mine / "one" / "config.json").write_text(json.dumps(config))
    assert (list(row("one")["sources"]), row("one")["images"]) == ([], 3)


def test_what_is_no_run_is_not_listed(mine):
    (mine / ".jobs").mkdir()
    (mine / "a file").write_text("x")
    assert set(read_catalogue().runs["name"]) == {"one", "two [a]*? ü"}


def test_curves_count_steps_and_minutes_and_keep_the_order_asked_for(mine):
    found = read_curves(["two [a]*? ü", "one"])
    assert found["name"].tolist() == ["two [a]*? ü"] * 3 + ["one"] * 12
    last = found.iloc[-1]
    assert (last["epoch"], last["step"], last["minutes"]) == (12, 12 * 8, 6.0)  # 120 images in batches of 16
    assert last["validation_loss"] > last["train_loss"]
    assert found["validation_accuracy_low"].isna().all()


def test_a_history_without_validation_or_with_odd_cells_still_gives_what_it_has(mine):
    (mine / "one" / "history.csv").write_text("epoch,train_loss,added\n1,0.5,x\n2,none,y\nzwei,0.1,z\n")
    found = read_curves(["one"])
    assert found["epoch"].tolist() == [1, 2]
    assert found["train_loss"].iloc[0] == 0.5 and np.isnan(found["train_loss"].iloc[1])
    assert found["validation_loss"].isna().all() and found["minutes"].isna().all()


def test_parameters_are_those_that_the_onnx_library_counts():
    path = runs.RUNS / "demo" / "model.onnx"
    tensors = onnx.load(path).graph.initializer
    counted = sum(int(np.prod(item.dims)) for item in tensors if item.data_type == onnx.TensorProto.FLOAT)
    assert catalogue.parameters(path) == counted > 2_000_000


@pytest.mark.parametrize(
    "content", [b"no network", b"", bytes(range(256)), b"\x3a\x0f\x2a\x0d\x08" + b"\xff" * 9 + b"\x7f\x10\x01"]
)
def test_parameters_of_no_network_are_refused_or_none(tmp_path, content):
    (tmp_path / "model.onnx").write_bytes(content)
    if content:
        with pytest.raises(RunError, match="no ONNX network"):
            catalogue.parameters(tmp_path / "model.onnx")
    else:
        assert catalogue.parameters(tmp_path / "model.onnx") == 0


def test_latency_is_a_median_between_its_ends():
    grey = Slice(np.full((64, 64), -600, np.float32), name="grey", unit="HU")
    found = catalogue.latency(Predictor.load(), grey, n=5, warm=1)
    assert 0 < found.low <= found.median <= found.high and found.n == 5


def test_a_renamed_run_works_under_its_new_name_alone(mine):
    catalogue.rename("one", "best so far")
    assert runs.list_runs() == ["best so far", "two [a]*? ü"]
    assert runs.load_run("best so far").config["name"] == "best so far"
    assert Predictor.load("best so far").labels == ("normal", "pneumonia", "tumour")
    assert row("best so far")["state"] == "finished"


def test_a_crash_in_the_middle_of_a_renaming_leaves_a_run_that_works(mine, monkeypatch):
    def crash(*paths: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "rename", crash)
        with pytest.raises(KeyboardInterrupt):
            catalogue.rename("one", "other")
    assert row("one")["state"] == "finished" and Predictor.load("one").run == "one"
    catalogue.rename("one", "other")
    assert runs.load_run("other").config["name"] == "other"


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a\nb", "a\\b", " a", "x" * 101, "two [a]*? ü"])
def test_a_name_that_cannot_be_is_refused_and_nothing_moves(mine, name):
    with pytest.raises(RunError):
        catalogue.rename("one", name)
    assert runs.load_run("one").config["name"] == "one"


def test_the_demo_run_an_unfinished_one_and_one_in_use_stay_where_they_are(mine):
    made = mine / "one"
    (made / "model.onnx").rename(made / "kept")
    assert "training that is not finished" in catalogue.refusal("one")
    (made / "kept").rename(made / "model.onnx")
    (made / "fold_group_0.npz").write_bytes(b"x")
    assert "cross-validation" in catalogue.refusal("one")
    (made / "fold_group_0.npz").unlink()
    assert catalogue.refusal("one") is None
    made.rename(mine / "demo")
    assert "ships with LungLens" in catalogue.refusal("demo")
    for act in CHANGES:
        with pytest.raises(RunError, match="ships with LungLens"):
            act("demo")
    assert (mine / "demo" / "config.json").is_file()


def test_on_a_public_demo_nothing_can_be_changed(mine, monkeypatch):
    kept = catalogue.delete("two [a]*? ü")
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    assert "public demo" in catalogue.refusal("one")
    for act in (*CHANGES, lambda name: catalogue.restore(kept)):
        with pytest.raises(RunError, match="public demo"):
            act("one")
    assert set(read_catalogue().runs["name"]) == {"one"}


def test_a_renaming_stands_where_the_card_cannot_be_written_anew(mine):
    (mine / "one" / "MODEL_CARD.md").write_text("old")
    (mine / "one" / "metrics.json").write_text('{"validation": 3}')
    catalogue.rename("one", "other")
    assert "other" in runs.list_runs() and (mine / "other" / "MODEL_CARD.md").read_text() == "old"


def test_a_note_that_cannot_be_read_is_none(mine):
    (mine / "one" / "note.md").mkdir()
    assert catalogue.note("one") == ""


def test_a_note_is_kept_as_written_and_a_blank_one_is_dropped(mine):
    assert catalogue.note("one") == ""
    catalogue.write_note("one", "  **not** Markdown <b>\nsecond line\n")
    assert catalogue.note("one") == "**not** Markdown <b>\nsecond line\n"
    catalogue.write_note("one", " \n")
    assert catalogue.note("one") == "" and not (mine / "one" / "note.md").exists()
    with pytest.raises(RunError, match="at most 10,000"):
        catalogue.write_note("one", "x" * 10_001)


def test_a_deleted_run_comes_back_with_every_byte(mine):
    before = {path.name: path.read_bytes() for path in (mine / "two [a]*? ü").iterdir()}
    kept = catalogue.delete("two [a]*? ü")
    assert runs.list_runs() == ["one"] and catalogue.trashed() == [kept]
    assert catalogue.restore(kept) == "two [a]*? ü"
    assert {path.name: path.read_bytes() for path in (mine / "two [a]*? ü").iterdir()} == before
    assert catalogue.trashed() == []


def test_a_run_does_not_come_back_over_another_of_its_name(mine):
    kept = catalogue.delete("one")
    (mine / "two [a]*? ü").rename(mine / "one")
    with pytest.raises(RunError, match="a run of that name"):
        catalogue.restore(kept)
    assert catalogue.trashed() == [kept]
    later = catalogue.delete("one")
    assert catalogue.trashed() == [later, kept]
    with pytest.raises(RunError, match="nothing of that name"):
        catalogue.restore("../one-1")


def test_a_damaged_folder_can_be_deleted(mine):
    (mine / "one" / "config.json").write_text("{")
    assert "one" in catalogue.delete("one")
    assert set(read_catalogue().runs["name"]) == {"two [a]*? ü"}
