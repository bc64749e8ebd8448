"""Run folders: found by name or path, damage named, writing that leaves the old file or the new one."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from core import robustness, shortcuts
from core.crossval import store
from core.errors import RunError
from core.runs import DEMO, RUNS, SHIPPED, list_runs, load_run, read_json, write_atomically, write_json
from core.scored import load_scored


def test_a_run_is_found_by_its_path(tmp_path):
    (tmp_path / "config.json").write_text('{"labels": ["a", "b"], "recipe": {}}')
    assert load_run(tmp_path).labels == ("a", "b")
    assert load_run(tmp_path).metrics == {} and load_run(tmp_path).card == ""


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "without config.json"), ("{", "not readable as JSON"), ("[]", "list"), ('{"labels": []}', "no recipe")],
)
def test_a_damaged_run_is_refused_by_the_file(tmp_path, content, words):
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(RunError, match=words):
        load_run(tmp_path)


def test_a_missing_run_is_answered_with_those_that_are_there():
    with pytest.raises(RunError, match=r"nowhere: found no such run; expected one of .*demo"):
        load_run("nowhere")


def test_the_demo_run_ships_comes_first_and_is_the_default():
    assert list_runs()[0] == DEMO
    assert load_run().path == RUNS / DEMO


def test_the_demo_run_has_its_weights_in_one_form_of_at_most_twelve_megabytes():
    files = [path for path in (RUNS / DEMO).iterdir() if path.suffix in (".onnx", ".safetensors", ".pt")]
    assert [path.name for path in files] == ["model.onnx"]
    assert files[0].stat().st_size <= 12_000_000


def test_the_demo_run_reports_left_out_sources_and_grouped_folds_with_intervals():
    metrics = load_run().metrics
    assert set(metrics["leave_one_source_out"]) == {"chest_ctscan", "covid_ct", "ho", "iq_othnccd", "mosmed"}
    found = metrics["grouped_validation"]["balanced_accuracy"]
    assert found["low"] < found["value"] < found["high"]
    assert metrics["tests"]["phantoms"]["n_slices"] == 300


@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_shipped_run_reports_follows_from_its_predictions(name, tmp_path):
    path = shutil.copytree(RUNS / name, tmp_path / name, ignore=shutil.ignore_patterns("folds"))
    (path / "metrics.json").write_text(json.dumps(not_predicted(load_run(name).metrics)))
    frame = pd.read_parquet(path / "predictions.parquet")
    scheme = "source" if (frame["scheme"] == "source").any() else "group"
    own = frame[frame["scheme"] == scheme].reset_index(drop=True)
    store(path, own, scheme, load_run(name).metrics["grouped_validation"]["folds"])
    found, kept = (flat(content) for content in (read_json(path / "metrics.json"), load_run(name).metrics))
    assert found == pytest.approx(kept, rel=1e-6, abs=1e-9)  # processors differ in the last digits
    assert (path / "MODEL_CARD.md").read_text() == load_run(name).card


def flat(content, path=""):
    """{path: number} of nested metrics; what is no number (text, nothing) is part of its path."""
    if not isinstance(content, dict | list):
        return {path: content} if isinstance(content, int | float) else {f"{path}={content}": 0}
    pairs = content.items() if isinstance(content, dict) else enumerate(content)
    return {key: value for name, item in pairs for key, value in flat(item, f"{path}/{name}").items()}


def not_predicted(metrics):
    """What `store` cannot know from predictions: counts of slices and folds, and what networks measured."""
    seen = {name: {"seen_in_training": test["seen_in_training"]} for name, test in metrics.get("tests", {}).items()}
    kept = {name: metrics[name] for name in ("shortcuts", "robustness") if name in metrics}
    if "outside" in metrics.get("gate", {}):
        kept["gate"] = {"outside": metrics["gate"]["outside"]}
    return {"tests": seen, "grouped_validation": {"folds": metrics["grouped_validation"]["folds"]}, **kept}


def test_what_the_folds_networks_measured_begins_where_the_kept_predictions_end():
    """Unhidden and unchanged pictures give the balanced accuracy that the grouped folds had (bfloat16 apart)."""
    scored, metrics = load_scored(load_run("demo"), "group"), load_run("demo").metrics
    called = scored.probabilities.argmax(axis=1)

    def balanced(rows) -> float:
        hit = called[rows] == scored.targets[rows]
        return np.mean([hit[scored.targets[rows] == label].mean() for label in range(3)])

    whole = metrics["shortcuts"]["views"]["whole"]["network"]["value"]
    assert whole == pytest.approx(balanced(np.arange(scored.n_slices)), abs=0.01)
    assert metrics["shortcuts"]["sentence"] == shortcuts.sentence(metrics["shortcuts"])
    rows = robustness.sampled(scored.targets, metrics["robustness"]["slices"])
    for kind, (words, steps) in robustness.STEPS.items():
        found = metrics["robustness"]["kinds"][kind]
        assert (found["words"], found["steps"]) == (words, list(steps))
        assert found["balanced_accuracy"][0]["value"] == pytest.approx(balanced(rows), abs=0.015)


def test_a_writing_that_fails_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"x": 1}


def test_writing_leaves_nothing_else_behind(tmp_path):
    write_atomically(tmp_path / "a", b"one")
    write_atomically(tmp_path / "a", b"two")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"two")]
