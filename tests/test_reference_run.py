"""The shipped reference run is of phantoms only, agrees with itself, and says what it is."""

import hashlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from core import data, metrics, thumbnails
from core.comparison import shared_schemes
from core.label_errors import label_errors
from core.predictor import Predictor
from core.reference import FOLDS, KEPT, KEPT_PER_CLASS, NAME, PER_CLASS, TEST_EVERY, recipe
from core.runs import list_runs, load_run
from core.samples import sample_bytes
from core.scored import load_scored, schemes
from core.views import load_views
from tests.browser import ROOT


@pytest.fixture(scope="module")
def run():
    return load_run(NAME)


def test_it_ships_small_and_comes_after_the_demo_run(run):
    assert list_runs()[:2] == ["demo", NAME]
    files = {path.name: path.stat().st_size for path in run.path.iterdir()}
    assert not any(name.endswith((".safetensors", ".pt")) for name in files)
    assert sum(files.values()) < 12_000_000
    listed = subprocess.run(
        ["git", "check-ignore", "-v", str(run.path / "model.onnx")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert listed.returncode != 0 or "!" in listed.stdout, listed.stdout


def test_every_image_is_a_phantom_of_this_program(run):
    split = pd.read_csv(run.path / "split.csv", dtype=str)
    assert len(split) == 3 * PER_CLASS and set(split["source"]) == {"phantoms_sharp", "phantoms_soft"}
    assert split["group"].map(thumbnails.is_phantom).all()
    for row in split.iloc[[0, 100, 239]].itertuples():
        label, seed = thumbnails.GROUP.fullmatch(row.group).groups()
        assert label == row.label
        assert hashlib.sha256(sample_bytes(row.file, label, int(seed))).hexdigest() == row.sha256


def test_every_image_has_a_thumbnail(run):
    split = pd.read_csv(run.path / "split.csv", dtype=str)
    assert set(thumbnails.read(run)) == set(split["sha256"]) | set(load_scored(run, KEPT).frame["sha256"])


def test_it_can_be_compared_with_the_demo_run_on_phantoms_that_neither_learned(run):
    demo = load_run("demo")
    assert shared_schemes(demo.path, run.path) == {KEPT: 3 * KEPT_PER_CLASS}
    tested = load_scored(run, KEPT).frame
    for one in (demo, run):
        split = pd.read_csv(one.path / "split.csv", dtype=str)
        assert not set(split["sha256"]) & set(tested["sha256"])
        assert not set(split["group"]) & set(tested["group"])


def test_it_has_predictions_of_every_scheme_and_they_give_its_metrics(run):
    assert schemes(run) == ["source", "group", "test", "validation", KEPT]
    own = {"group": "grouped_validation", "test": "test", "validation": "validation"}
    for scheme in (*own, KEPT):
        found = load_scored(run, scheme)
        kept = run.metrics["tests"][KEPT] if scheme == KEPT else run.metrics[own[scheme]]
        confusion = np.zeros((3, 3), int)
        np.add.at(confusion, (found.targets, found.probabilities.argmax(axis=1)), 1)
        assert kept["confusion"] == confusion.tolist()
        if scheme == "test":
            again = metrics.evaluate(
                found.probabilities, found.targets, found.frame["group"], found.labels
            ).balanced_accuracy
            assert kept["balanced_accuracy"] == pytest.approx(again.to_json())
    assert run.metrics["grouped_validation"]["folds"] == FOLDS
    assert set(run.metrics["leave_one_source_out"]) == {"phantoms_sharp", "phantoms_soft"}


def test_no_tested_image_shares_a_group_with_a_learned_one(run):
    split = pd.read_csv(run.path / "split.csv", dtype=str)
    groups = {part: set(rows["group"]) for part, rows in split.groupby("part")}
    assert len(groups["test"]) == 3 * PER_CLASS // TEST_EVERY
    assert not groups["test"] & groups["train"] and not groups["validation"] & groups["train"]


def test_its_matrix_has_something_to_show_and_most_that_is_called_surely_has_that_label(run):
    found = load_scored(run, "group")
    wrong = found.probabilities.argmax(axis=1) != found.targets
    assert 0.02 < wrong.mean() < 0.5
    joint = label_errors(found).joint
    assert np.trace(joint) > 2 / 3 * joint.sum()


def test_its_network_gives_the_predictions_that_it_kept(run, tmp_path):
    """The exported network on phantoms drawn anew: the kept ones came from PyTorch in low precision."""
    found = load_scored(run, "test")
    rows = [0, found.n_slices - 1]
    folder = tmp_path / "drawn"
    folder.mkdir()
    lines = ["file,label,group"]
    for row in found.frame.iloc[rows].itertuples():
        label, seed = thumbnails.GROUP.fullmatch(row.group).groups()
        (folder / row.file).write_bytes(sample_bytes(row.file, label, int(seed)))
        lines.append(f"{row.file},{label},{row.file}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    predictor = Predictor.load(run.path)
    views = load_views(data.load_table([folder]), predictor.preprocess, random=False)
    logits = predictor.logits(views.plain)[0]
    assert np.abs(logits - found.logits[rows]).max() < 0.25


def test_the_history_has_a_row_an_epoch_with_both_parts(run):
    history = pd.read_csv(run.path / "history.csv")
    assert history["epoch"].tolist() == list(range(1, recipe().epochs + 1))
    assert {"train_loss", "validation_loss", "train_balanced_accuracy", "validation_balanced_accuracy"} <= set(
        history
    )


def test_the_card_says_that_its_images_are_drawings_and_no_patients(run):
    assert "**The images of this run are drawings.**" in run.card
    assert "say nothing of patients" in run.card
    assert "python -m core.reference OUT" in run.card


def test_the_command_that_makes_it_again_explains_itself():
    shown = subprocess.run(
        [sys.executable, "-m", "core.reference", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert shown.returncode == 0 and "--weights" in shown.stdout
