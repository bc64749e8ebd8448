"""Evaluating and cross-validating a run: never on what it has seen, folds that never share a group."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core import data, gate, metrics, robustness, shortcuts
from core.__main__ import main
from core.crossval import cross_validate, fit_temperature, fold_networks, recipe_of, run_table, store
from core.errors import ConfigError, DataError, RunError
from core.evaluate import evaluate
from core.fit import predict_logits
from core.model import Classifier
from core.predictor import softmax
from core.runs import load_run, write_json
from core.train import Order, train
from core.views import load_views
from tests.made_runs import ROBUSTNESS, SHORTCUTS, small_recipe, write_data


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("evaluation")
    return [
        write_data(root / "north", per_class=6, seed=10),
        write_data(root / "south", per_class=6, seed=90, labels=("normal", "tumour")),
    ]


@pytest.fixture(scope="module", autouse=True)
def small_gates():
    """A handful of slices is enough for a gate here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "MIN_SLICES", 10)
        yield


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


def test_left_out_sources_set_the_limit_of_the_gate_and_pass_it_as_the_card_says(validated, run):
    found = load_run(validated).metrics["gate"]
    frame = pd.read_parquet(validated / "predictions.parquet")
    left_out = frame[frame["scheme"] == "source"]
    limit = gate.calibrate(left_out[gate.COLUMN].to_numpy(), left_out["source"])
    assert gate.load(validated).limit == found["limit"] == limit != gate.load(run).limit == gate.DEFAULT_LIMIT
    for source, share in found["passed"]["leave_one_source_out"].items():
        assert share["value"] == np.mean(left_out.loc[left_out["source"] == source, gate.COLUMN] <= limit) >= 0.95
        assert share["slices"] == (left_out["source"] == source).sum()
    assert set(found["passed"]["grouped_validation"]) == {"north", "south"}
    assert f"limit {limit:.2f}" in load_run(validated).card


def test_networks_of_the_folds_are_kept_and_give_the_folds_predictions(validated, folders):
    run = load_run(validated)
    table = run_table(run, folders)
    frame = pd.read_parquet(validated / "predictions.parquet")
    logits = frame.loc[frame["scheme"] == "group", [f"logit_{label}" for label in run.labels]].to_numpy()
    plain = load_views(table, recipe_of(run).preprocess, random=False).plain
    seen = []
    for fold in fold_networks(run, table):
        units = data.identity_units(table)
        assert not set(units[fold.learned]) & set(units[fold.left_out])
        found = predict_logits(fold.model, plain[fold.left_out])
        assert np.abs(found - logits[fold.left_out]).max() < 0.05
        seen += fold.left_out.tolist()
    assert sorted(seen) == list(range(len(table)))


def test_networks_of_another_split_are_refused_and_partly_kept_ones_too(validated, folders, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(validated, copy)
    kept = copy / "folds" / "group_0.safetensors"
    other = copy / "folds" / "source_0.safetensors"
    kept.write_bytes(other.read_bytes())
    run = load_run(copy)
    with pytest.raises(RunError, match="another split"):
        next(fold_networks(run, run_table(run, folders)))
    kept.unlink()
    with pytest.raises(RunError, match="no networks of its folds"):
        next(fold_networks(run, run_table(run, folders)))


def test_new_left_out_sources_leave_what_grouped_folds_measured_and_drop_old_refusals(validated, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(validated, copy)
    content = load_run(copy).metrics | {"shortcuts": SHORTCUTS, "robustness": ROBUSTNESS}
    content["gate"] |= {"outside": {"photo": {"refused": content_share(), "answered": []}}}
    write_json(copy / "metrics.json", content)
    frame = pd.read_parquet(copy / "predictions.parquet")
    left_out = frame[frame["scheme"] == "source"]
    store(copy, left_out, "source", 2)
    found = load_run(copy).metrics
    assert found["shortcuts"] == SHORTCUTS and found["robustness"] == ROBUSTNESS and "outside" in found["gate"]
    store(copy, left_out.assign(**{gate.COLUMN: left_out[gate.COLUMN] + 1}), "source", 2)
    found = load_run(copy).metrics
    assert "shortcuts" in found and "outside" not in found["gate"]
    store(copy, frame[frame["scheme"] == "group"], "group", 3)
    found = load_run(copy).metrics
    assert "shortcuts" not in found and "robustness" not in found and "limit" in found["gate"]


def test_grouped_folds_alone_leave_the_gate_as_training_made_it(run, validated, tmp_path):
    copy = tmp_path / "small"
    shutil.copytree(run, copy)
    frame = pd.read_parquet(validated / "predictions.parquet")
    store(copy, frame[frame["scheme"] == "group"], "group", 3)
    assert "gate" not in load_run(copy).metrics and gate.load(copy).limit == gate.DEFAULT_LIMIT


def content_share() -> dict:
    return gate.share_of_groups(np.ones(4, bool), range(4))


def test_a_run_without_networks_of_its_folds_says_how_they_are_made(run, folders):
    with pytest.raises(RunError, match="cross-validate --run small --scheme group"):
        next(fold_networks(load_run(run), run_table(load_run(run), folders)))


def test_the_shortcut_meter_hides_parts_and_says_what_is_still_told(validated, folders, tmp_path, capsys):
    copy = tmp_path / "small"
    shutil.copytree(validated, copy)
    command = ["shortcuts", "--run", str(copy), "--data", *map(str, folders)]
    assert main([*command, "--keep"]) == 0
    told = capsys.readouterr().out
    found = load_run(copy).metrics[shortcuts.KEY]
    assert found["sentence"] in told and found["sentence"] in load_run(copy).card
    assert found["slices"] == 30 and set(found["views"]) == set(shortcuts.WORDS)
    frame = pd.read_parquet(copy / "predictions.parquet")
    grouped = metrics.evaluate_frame(frame[frame["scheme"] == "group"], load_run(copy).labels)
    whole = found["views"]["whole"]["network"]["value"]
    assert whole == pytest.approx(grouped.balanced_accuracy.value, abs=0.1)
    assert found["views"]["numbers"]["network"] is None
    for cell in found["heat"]:
        assert 0 <= cell["inside"]["value"] <= 1 and 0 < cell["area"]["value"] < 1
    assert sum(cell["inside"]["slices"] for cell in found["heat"]) <= 30
    assert set(found["occlusion"]) == {"warmest", "other"}


def test_accuracy_is_measured_as_pictures_get_worse(validated, folders, tmp_path, capsys):
    copy = tmp_path / "small"
    shutil.copytree(validated, copy)
    command = ["robustness", "--run", str(copy), "--data", *map(str, folders), "--sample", "18", "--keep"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert load_run(copy).metrics[robustness.KEY] == found
    assert found["slices"] == 18 and set(found["kinds"]) == set(robustness.STEPS)
    plain = {json.dumps(one["balanced_accuracy"][0]) for one in found["kinds"].values()}
    assert len(plain) == 1  # the first step of each change changes nothing
    assert "## Robustness" in load_run(copy).card


@pytest.mark.parametrize("kind", robustness.STEPS)
def test_each_step_changes_the_pictures_more_and_by_no_more_than_it_says(kind, validated, folders):
    run = load_run(validated)
    table = run_table(run, folders)
    plain = load_views(table.iloc[:4], recipe_of(run).preprocess, random=False).plain
    targets = table["label"].iloc[:4].map(list(run.labels).index).to_numpy()
    model = next(fold_networks(run, table)).model
    steps = robustness.STEPS[kind][1]
    assert robustness.changed(kind, steps[0], plain) is plain
    distance = []
    for step in steps[1:]:
        after = robustness.changed(kind, step, plain, model, targets)
        assert after.shape == plain.shape and after.min() >= 0 and after.max() <= 255
        again = robustness.changed(kind, step, plain, model, targets)
        assert np.array_equal(after, again)
        distance.append(np.abs(after.astype(float) - plain).mean())
        change = np.abs(after.astype(float) - plain)
        most = {"noise": 6 * step, "window": step, "fgsm": step, "pgd": step}.get(kind, 255)
        assert change.max() <= most + 1e-4
        if kind == "noise":
            middle = (plain > 3 * step) & (plain < 255 - 3 * step)
            assert change[middle].std() > 0 and np.sqrt((change[middle] ** 2).mean()) == pytest.approx(
                step, rel=0.1
            )
    assert distance[0] > 0 and distance == sorted(distance)


def test_a_sample_smaller_than_the_classes_is_refused(validated, folders):
    with pytest.raises(ConfigError, match="sample"):
        robustness.measure(validated, folders, sample=2)


def test_steps_against_the_network_raise_its_loss(validated, folders):
    run = load_run(validated)
    table = run_table(run, folders)
    plain = load_views(table, recipe_of(run).preprocess, random=False).plain
    targets = table["label"].map(list(run.labels).index).to_numpy()
    torch.manual_seed(0)
    model = Classifier(
        "mobilenet_v2", "linear", 3, 0.0, 0
    ).eval()  # a toy run's own can be the same for all pictures

    def loss(pictures: np.ndarray) -> float:
        p = softmax(predict_logits(model, pictures))
        return float(-np.log(p[np.arange(len(p)), targets]).mean())

    one, several = (loss(robustness.changed(kind, 2, plain, model, targets)) for kind in robustness.AGAINST)
    assert loss(plain) < one <= several + 1e-3


def test_parts_are_hidden_where_they_should_be():
    lungs = np.zeros((1, 60, 60), np.uint8)
    lungs[0, 20:40, 10:20] = lungs[0, 20:40, 40:50] = 1
    plain = np.full((1, 60, 60), 50, np.uint8)
    pictures = shortcuts.Pictures(plain, lungs, np.zeros((1, 1), np.float32))
    without, alone, frame = (shortcuts._altered(pictures, name)[0] for name in ("without_lungs", "lungs", "frame"))
    between = np.s_[22:38, 12:48]
    assert (without[between] == shortcuts.GREY).all() and (alone[between] == 50).all()
    assert without[0, 0] == 50 and alone[0, 0] == shortcuts.GREY
    assert ((without == 50) ^ (alone == 50)).all()
    assert (frame == 50).sum() == 60**2 - 48**2
    nothing = shortcuts.Pictures(plain, np.zeros_like(lungs), pictures.numbers)
    assert (shortcuts._altered(nothing, "without_lungs") == 50).all()


def test_the_sentence_takes_chance_away_before_it_compares():
    def view(value: float) -> dict:
        return {"probe": {"value": value, "low": value - 0.05, "high": value + 0.05}}

    found = {"chance": 0.5, "views": {"whole": view(0.9), "without_lungs": view(0.7)}}
    assert shortcuts.sentence(found).startswith("At least 50 % of what can be told better than chance")


def test_a_mean_share_has_an_interval_within_0_and_1_and_another_mean_need_not():
    groups = pd.Series(np.arange(8) // 2)
    values = np.array([1.0, 1, 1, 1, 1, 0.9, 1, 0.7])
    share, other = (shortcuts._mean(values, groups, share=within) for within in (True, False))
    assert share["value"] == other["value"] == pytest.approx(0.95)
    assert 0 < share["low"] < 0.95 < share["high"] <= 1 < other["high"]


def test_the_warmest_tenth_is_a_tenth_also_of_a_map_that_is_nothing():
    maps = np.zeros((2, 20, 20))
    maps[0, 5:9, 5:9] = 1
    hidden = shortcuts._warmest(maps)
    assert hidden.sum(axis=(1, 2)).tolist() == [40, 40]
    assert hidden[0, 5:9, 5:9].all()


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
