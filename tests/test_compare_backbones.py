"""Backbones side by side: the same folds for all, what is done is kept, nothing untrained passes as a result."""

import json

import numpy as np
import pytest

from core import compare_backbones, crossval, data
from core.__main__ import main
from core.compare_backbones import NOT_MEASURED, RANDOM, Trial, accuracy, checked, cost, keep, kept, report
from core.compare_backbones import start_weights as weights
from core.errors import ConfigError, WeightsError
from tests.made_runs import small_recipe, write_data

NAMES = ["mobilenet_v2", "resnet18"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("backbones") / "drawn", per_class=8, seed=10)


@pytest.fixture(scope="module")
def compared(folder, tmp_path_factory):
    """Two backbones from random weights on two folds, stopped once in between; the trial, its place, the result."""
    recipe = small_recipe(epochs=1, lesions=0.0, validation=0.0, keep="last", average=0.0)
    trial = Trial((folder,), recipe, weights(["none"], NAMES), folds=2)
    work = tmp_path_factory.mktemp("work")
    trained = []
    with pytest.MonkeyPatch.context() as patch:
        fit = crossval.fit

        def stopped(trainer, title):
            trained.append((trainer.model.backbone, title))
            if len(trained) == 4:
                raise KeyboardInterrupt
            fit(trainer, title)

        patch.setattr(crossval, "fit", stopped)
        with pytest.raises(KeyboardInterrupt):
            accuracy(trial, work)
        assert len(trained) == 4
        found = accuracy(trial, work)
    return trial, work, found, trained


def test_every_backbone_is_trained_on_the_same_folds_and_what_is_done_is_not_done_again(compared):
    _, work, _, trained = compared
    folds = ["group 1 of 2", "group 2 of 2"]
    expected = [(name, fold) for name in NAMES for fold in folds]
    assert trained == [*expected, ("resnet18", folds[1])]
    assert sorted(path.name.partition("-")[0] for path in work.iterdir()) == NAMES
    assert all(path.suffix == ".npy" for path in work.iterdir())


def test_the_difference_to_mobilenet_is_paired_and_has_an_interval(compared):
    trial, _, found, _ = compared
    one, other = (found["backbones"][name] for name in NAMES)
    assert one["difference"] is None
    value = other["balanced_accuracy"]["value"] - one["balanced_accuracy"]["value"]
    assert other["difference"]["value"] == pytest.approx(value)
    assert set(other["difference"]) >= {"low", "high"}
    assert found["slices"] == 24 and found["groups"] == 12 and found["folds"] == 2
    assert found["data"] == data.checksum(data.load_table(trial.folders))


def test_with_another_seed_nothing_of_before_is_taken(compared, monkeypatch):
    trial, work, _, _ = compared

    def refused(*arguments):
        raise InterruptedError

    monkeypatch.setattr(compare_backbones, "out_of_fold", refused)
    accuracy(trial, work)
    with pytest.raises(InterruptedError):
        accuracy(Trial(trial.folders, trial.recipe, trial.weights, trial.folds, seed=1), work)


COST = {
    "size": 64, "threads": 1, "rounds": 3, "processor": "a drawn one", "environment": {},
    "backbones": {
        name: {
            "title": name, "parameters": 2_000_000, "bytes": 9_000_000, "multiply_adds": 300_000_000,
            "cpu_ms": {"median": 5.0, "low": 4.0, "high": 6.0}, "wall_ms": {"median": 7.0, "low": 4.0, "high": 9.0},
        }
        for name in NAMES
    },
}  # fmt: skip


def test_accuracy_from_random_weights_is_marked_and_never_kept(compared, tmp_path, monkeypatch):
    monkeypatch.setattr(compare_backbones, "EVIDENCE", tmp_path / "backbones.json")
    assert kept() == {}
    found = {"accuracy": compared[2]} | COST
    assert RANDOM in report(found) and "24 slices, 12 groups, 2 grouped folds" in report(found)
    keep(found)
    assert kept()["accuracy"] == NOT_MEASURED
    assert f"Accuracy {NOT_MEASURED}." in report(kept())
    trained = compared[2] | {"random_start": False}
    keep(found | {"accuracy": trained})
    assert kept()["accuracy"] == json.loads(json.dumps(trained))
    assert RANDOM not in report(kept())


def test_cost_is_counted_from_the_network_that_is_run():
    found = cost(["resnet18"], 64, rounds=2)
    one = found["backbones"]["resnet18"]
    assert one["parameters"] == 11_176_512 + 3 * 513  # torchvision's, its 1,000 classes replaced by three
    assert one["bytes"] == pytest.approx(4 * one["parameters"], rel=0.02)
    convolutions = 1_814_073_344 - 512_000  # at 224 pixels, less the published classifier
    assert one["multiply_adds"] == pytest.approx(convolutions * (64 / 224) ** 2 + 3 * 512, rel=1e-6)
    assert 0 < one["cpu_ms"]["low"] <= one["cpu_ms"]["median"] <= one["cpu_ms"]["high"]
    assert found["threads"] == 1 and found["size"] == 64


def test_start_weights_are_given_for_all_or_one_by_one_and_never_mixed_with_random_ones(folder):
    assert weights(["imagenet", "resnet18=a=b.pth"], NAMES) == {"mobilenet_v2": "imagenet", "resnet18": "a=b.pth"}
    assert weights(["none"], NAMES) == dict.fromkeys(NAMES, "none")
    for given in (["soup"], ["none", "imagenet"], ["vgg16=x.pth"]):
        with pytest.raises(ConfigError, match="weights"):
            weights(given, NAMES)
    with pytest.raises(ConfigError, match="all from random, or none"):
        weights(["none", "mobilenet_v2=x.pth"], NAMES)
    with pytest.raises(ConfigError, match=r"backbones: found lenet; expected some of mobilenet_v2"):
        checked(["resnet18", "lenet"])
    assert checked(["vgg16", "mobilenet_v2", "vgg16"]) == ["mobilenet_v2", "vgg16"]


def test_weights_that_are_not_there_are_told_before_anything_is_trained(folder, tmp_path, capsys):
    trial = Trial((folder,), small_recipe(), weights(["imagenet", "mobilenet_v2=no.pth"], NAMES), folds=2)
    with pytest.raises(WeightsError, match=r"no\.pth: found no such file"):
        accuracy(trial, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert main(["compare-backbones", "--backbones", "lenet"]) == 2
    assert "lenet" in capsys.readouterr().err


def test_the_figures_that_ship_name_all_backbones_and_leave_accuracy_open():
    from core.backbones import BACKBONES

    found = kept()
    assert found["accuracy"] == NOT_MEASURED and set(found["backbones"]) == set(BACKBONES)
    assert all(np.isfinite(one["cpu_ms"]["median"]) for one in found["backbones"].values())
    assert found["threads"] == 1 and found["rounds"] >= 30
