"""Evaluating and cross-validating a run: never on what it has seen, folds that never share a group."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core import data
from core.__main__ import main
from core.crossval import cross_validate, fit_temperature
from core.errors import ConfigError, DataError, RunError
from core.evaluate import evaluate
from core.runs import load_run
from core.train import Order, train
from tests.made_runs import small_recipe, write_data


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("evaluation")
    return [
        write_data(root / "north", per_class=6, seed=10),
        write_data(root / "south", per_class=6, seed=90, labels=("normal", "tumour")),
    ]


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory) -> Path:
    recipe = small_recipe(epochs=1, validation=0.0, keep="last")
    order = Order("small", tuple(map(str, folders)), recipe, "none", 0)
    return train(order, tmp_path_factory.mktemp("runs"))


def test_images_seen_in_training_are_left_out_and_counted(run, folders, tmp_path):
    unseen = write_data(tmp_path / "east", per_class=4, seed=200)
    result = evaluate(run, [folders[0], unseen])
    assert result.seen == 18
    assert len(result.predictions) == result.evaluation.n_slices == 12
    assert set(result.predictions["source"]) == {"east"}


def test_a_copy_of_a_training_image_under_another_name_is_left_out_too(run, folders, tmp_path):
    unseen = write_data(tmp_path / "east", per_class=4, seed=200)
    shutil.copy(folders[0] / "normal_0.png", unseen / "normal_1.png")
    assert evaluate(run, [unseen]).seen == 1


def test_a_run_is_not_tested_on_its_own_training_data(run, folders):
    with pytest.raises(DataError, match="all seen in training"):
        evaluate(run, folders)


def test_an_unknown_class_is_refused_by_name(run, tmp_path):
    folder = write_data(tmp_path / "east", per_class=2, seed=200)
    text = (folder / "manifest.csv").read_text().replace(",tumour,", ",abscess,")
    (folder / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match="'abscess'"):
        evaluate(run, [folder])


def test_the_command_prints_the_metrics_as_json(run, tmp_path, capsys):
    unseen = write_data(tmp_path / "east", per_class=4, seed=200)
    assert main(["evaluate", "--run", str(run), "--data", str(unseen), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_slices"] == 12 and found["seen_in_training"] == 0
    assert np.array(found["confusion"]).sum() == 12
    assert set(found["classes"]) == {"normal", "pneumonia", "tumour"}


def test_a_result_can_be_kept_in_the_run_and_its_card(run, tmp_path, capsys):
    copy = tmp_path / "small"
    shutil.copytree(run, copy)
    unseen = write_data(tmp_path / "east", per_class=4, seed=200)
    assert main(["evaluate", "--run", str(copy), "--data", str(unseen), "--keep", "drawings"]) == 0
    assert load_run(copy).metrics["tests"]["drawings"]["n_slices"] == 12
    assert "## Tested on drawings" in load_run(copy).card


def test_the_command_prints_a_report_in_words(run, tmp_path, capsys):
    unseen = write_data(tmp_path / "east", per_class=4, seed=200)
    assert main(["evaluate", "--run", str(run), "--data", str(unseen)]) == 0
    assert "sensitivity" in capsys.readouterr().out


@pytest.fixture(scope="module")
def validated(run, folders, tmp_path_factory) -> Path:
    copy = tmp_path_factory.mktemp("validated") / "small"
    shutil.copytree(run, copy)
    cross_validate(copy, folders, "none", "group", n_folds=3)
    cross_validate(copy, folders, "none", "source")
    return copy


def test_cross_validation_predicts_every_slice_once_a_scheme(validated, folders):
    frame = pd.read_parquet(validated / "predictions.parquet")
    table = data.load_table(folders)
    for scheme in ("group", "source"):
        assert sorted(frame.loc[frame["scheme"] == scheme, "file"]) == sorted(table["file"])


def test_each_left_out_source_has_its_own_result(validated):
    found = load_run(validated).metrics["leave_one_source_out"]
    assert {name: result["n_slices"] for name, result in found.items()} == {"north": 18, "south": 12}
    assert found["south"]["classes"]["pneumonia"]["support"] == 0
    assert found["south"]["diseased_auc"]["value"] is not None


def test_a_left_out_source_was_predicted_by_a_model_without_it(validated, run, folders):
    """The run itself saw both sources; its logits on `south` differ from those of the model without `south`."""
    frame = pd.read_parquet(validated / "predictions.parquet")
    left_out = frame[(frame["scheme"] == "source") & (frame["source"] == "south")]
    in_group = frame[(frame["scheme"] == "group") & (frame["source"] == "south")]
    assert not np.allclose(left_out["logit_tumour"].to_numpy(), in_group["logit_tumour"].to_numpy())


def test_the_temperature_is_fitted_to_the_grouped_folds_and_calibrates_all_probabilities(validated):
    config = load_run(validated).config
    frame = pd.read_parquet(validated / "predictions.parquet")
    logits = frame[[f"logit_{label}" for label in config["labels"]]].to_numpy(float) / config["temperature"]
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert config["temperature"] != 1.0
    assert np.allclose(frame[[f"p_{label}" for label in config["labels"]]], expected, atol=1e-6)


def test_the_model_card_states_left_out_sources_before_grouped_folds(validated):
    card = load_run(validated).card
    assert 0 < card.index("Sources left out of training") < card.index("Grouped folds")
    found = load_run(validated).metrics["grouped_validation"]["balanced_accuracy"]
    # Two epochs on a handful of drawings may end in one answer for all, and that has no interval.
    interval = "no interval" if found["low"] is None else f"{found['low']:.2f} to {found['high']:.2f}"
    assert f"Balanced accuracy {found['value']:.2f} ({interval})" in card


def test_grouped_folds_are_sliced_by_every_further_manifest_column(validated):
    run = load_run(validated)
    by_column = run.metrics["grouped_validation"]["by_column"]
    assert {column: set(values) for column, values in by_column.items()} == {"hospital": {"A", "B"}}
    assert sum(part["n_slices"] for part in by_column["hospital"].values()) == 30
    assert "| Hospital | Class |" in run.card


def test_cross_validation_refuses_other_data_and_other_start_weights(run, folders, tmp_path):
    other = write_data(tmp_path / "east", per_class=4, seed=200)
    with pytest.raises(DataError, match="other images"):
        cross_validate(run, [other], "none", "group")
    import torch

    from core.model import Classifier

    torch.save(Classifier("mobilenet_v2", "linear", 3, 0.2, 16).state_dict(), tmp_path / "start.pth")
    with pytest.raises(ConfigError, match="weights"):
        cross_validate(run, folders, str(tmp_path / "start.pth"), "group")


def test_an_unfinished_run_is_refused_before_any_fold_is_trained(run, folders, tmp_path):
    shutil.copytree(run, tmp_path / "small")
    (tmp_path / "small" / "metrics.json").unlink()
    with pytest.raises(RunError, match="unfinished"):
        cross_validate(tmp_path / "small", folders, "none", "group")


def test_the_results_say_in_how_many_folds(validated):
    assert load_run(validated).metrics["grouped_validation"]["folds"] == 3
    assert "trained anew 3 times" in load_run(validated).card


def test_the_temperature_of_overconfident_logits_is_found():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3)) * 2
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    targets = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    assert fit_temperature(logits, targets) == pytest.approx(1.0, abs=0.08)
    assert fit_temperature(3 * logits, targets) == pytest.approx(3.0, abs=0.25)
