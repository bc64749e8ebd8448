"""A run's wrong answers: kept figures come from the command, pictures are of phantoms, real slices are numbers."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from core import card, failures
from core.__main__ import main
from core.labels import LABELS
from core.predictor import Predictor
from core.runs import FAILURES, RUNS, Run, load_run
from core.scored import load_scored
from tests.made_runs import DEMO, made_run


@pytest.fixture(scope="module")
def kept() -> dict:
    return json.loads((DEMO / FAILURES).read_text())


def test_the_kept_answers_of_the_demo_run_are_those_of_its_network_on_phantoms_drawn_anew(kept):
    predictor = Predictor.load("demo")
    chosen = [next(one for one in kept["phantoms"]["worst"] if one["drawn"] == label) for label in LABELS]
    found = predictor.predict([failures.drawn(one["drawn"], one["seed"]) for one in chosen])
    for one, again in zip(chosen, found, strict=True):
        assert again.label == one["called"] != one["drawn"]
        assert again.probabilities == pytest.approx(one["probabilities"], abs=1e-3)
    assert kept["model_sha256"] == failures.model_sha256(load_run("demo"))


def test_the_kept_counts_are_those_of_the_kept_test_on_the_same_phantoms(kept):
    """The test was made by PyTorch from PNG files, these by the exported network from memory."""
    scored = load_scored(load_run("demo"), "phantoms")
    called = scored.probabilities.argmax(axis=1)
    for place, label in enumerate(LABELS):
        counts = kept["phantoms"]["classes"][label]["called"]
        expected = np.bincount(called[scored.targets == place], minlength=3)
        assert np.abs(np.array([counts[name] for name in LABELS]) - expected).max() <= 2


@pytest.mark.parametrize("scheme", failures.HELD_OUT)
def test_the_kept_counts_on_held_out_slices_come_from_the_runs_predictions(kept, scheme):
    part = kept["held_out"][scheme]
    assert part == json.loads(json.dumps(failures.held_out(load_run("demo"), scheme)))
    scored = load_scored(load_run("demo"), scheme)
    wrong = int((scored.probabilities.argmax(axis=1) != scored.targets).sum())
    assert sum(sum(row["confidence"]) for row in part["rows"]) == wrong
    assert sum(row["wrong"]["slices"] for row in part["rows"]) == part["slices"] == scored.n_slices


def test_nothing_kept_names_a_real_file_or_group(kept):
    text = (DEMO / FAILURES).read_text()
    frame = load_scored(load_run("demo"), "group").frame
    assert not [name for name in (*frame["file"], *frame["group"], *frame["sha256"]) if name in text]


def test_wrong_answers_are_counted_by_hand_on_a_small_run(tmp_path):
    def slice_(number, source, label, group, p):
        numbers = {f"p_{name}": value for name, value in zip(LABELS, p, strict=True)}
        numbers |= {f"logit_{name}": float(np.log(value)) for name, value in zip(LABELS, p, strict=True)}
        numbers |= {"file": f"{number}.png", "sha256": f"{number:064x}", "scheme": "group"}
        return {"label": label, "group": group, "source": source, **numbers}

    frame = pd.DataFrame(
        [
            slice_(0, "north", "tumour", "a", (0.95, 0.03, 0.02)),
            slice_(1, "north", "tumour", "a", (0.1, 0.6, 0.3)),
            slice_(2, "north", "tumour", "b", (0.1, 0.1, 0.8)),
            slice_(3, "north", "normal", "c", (0.8, 0.1, 0.1)),
            slice_(4, "south", "normal", "d", (0.3, 0.45, 0.25)),
        ]
    )
    run = Run(made_run(tmp_path, "small", frame))
    rows = failures.held_out(run, "group")["rows"]
    assert [(row["source"], row["label"], row["groups"]) for row in rows] == [
        ("north", "normal", 1),
        ("north", "tumour", 2),
        ("south", "normal", 1),
    ]
    tumour = rows[1]
    assert tumour["confidence"] == [0, 1, 0, 1] and tumour["sure_and_healthy"] == 1
    assert tumour["called"] == {"normal": 1, "pneumonia": 1, "tumour": 1}
    assert tumour["wrong"]["value"] == pytest.approx(2 / 3)
    assert rows[2]["confidence"] == [1, 0, 0, 0] and rows[0]["confidence"] == [0, 0, 0, 0]


@pytest.fixture
def copy(tmp_path) -> Run:
    for name in ("config.json", "model.onnx", "metrics.json", "predictions.parquet", "gate.json"):
        shutil.copy(RUNS / "demo" / name, tmp_path / name)
    return Run(tmp_path)


def test_the_command_keeps_seeds_and_counts_and_puts_them_into_the_card(copy, capsys):
    command = ["failures", "--run", str(copy.path), "--count", "2", "--seed", "1001", "--keep"]
    assert main(command) == 0
    told = capsys.readouterr().out
    found = json.loads((copy.path / FAILURES).read_text())
    assert found["phantoms"]["count"] == 2 and found["phantoms"]["first_seed"] == 1001
    for one in found["phantoms"]["worst"]:
        assert one["seed"] in (1001, 1002) and one["called"] != one["drawn"]
        assert f"phantom-{one['drawn']}-{one['seed']}: called {one['called']}" in told
        assert one["called"] == max(one["probabilities"], key=one["probabilities"].get)
    for label, one in found["phantoms"]["classes"].items():
        assert one["drawn"] == 2 and sum(one["called"].values()) == 2 * (1 - one["refused"]["value"])
        assert one["wrong"]["value"] == pytest.approx(1 - one["called"][label] / sum(one["called"].values()))
    text = Run(copy.path).card
    assert (
        f"## {card.FAILED}" in text and "Phantoms are slices drawn by formula, no patients: 2 of each class" in text
    )


def test_odd_requests_are_refused_with_what_was_expected(copy, capsys):
    assert main(["failures", "--run", str(copy.path), "--count", "0"]) == 2
    assert "1 or more phantoms of each class" in capsys.readouterr().err
    assert main(["failures", "--run", str(copy.path), "--seed", "-3"]) == 2
    assert "a whole number from 0" in capsys.readouterr().err
    config = json.loads((copy.path / "config.json").read_text())
    (copy.path / "config.json").write_text(json.dumps(config | {"labels": ["normal", "pneumonia", "nodule"]}))
    assert main(["failures", "--run", str(copy.path)]) == 2
    assert "classes that can be drawn" in capsys.readouterr().err
