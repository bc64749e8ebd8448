"""Thumbnails are made of phantoms only, and `evaluate --keep` keeps what a page needs to show a test."""

import csv
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core import thumbnails
from core.__main__ import main
from core.errors import DataError, RunError
from core.runs import RUNS, Run, load_run
from core.samples import write_set
from core.scored import load_scored, schemes


@pytest.fixture(scope="module")
def drawings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_set(folder, 1, 4242)
    return folder


def rows(folder) -> pd.DataFrame:
    return pd.read_csv(folder / "manifest.csv", dtype=str)


def test_a_phantom_becomes_a_small_picture_of_itself(drawings, tmp_path):
    table = rows(drawings)
    assert thumbnails.write(Run(tmp_path), table) == 3
    kept = thumbnails.read(Run(tmp_path))
    assert set(kept) == set(table["sha256"])
    for row in table.itertuples():
        with Image.open(io.BytesIO(kept[row.sha256])) as small, Image.open(drawings / row.file) as whole:
            assert small.format == "WEBP" and max(small.size) == 96 and len(kept[row.sha256]) < 6000
            expected = np.asarray(whole.resize((96, 96), Image.Resampling.LANCZOS), float)
            assert np.abs(np.asarray(small.convert("L"), float) - expected).mean() < 8
    assert thumbnails.write(Run(tmp_path), table) == 0


def test_an_image_that_only_claims_to_be_a_phantom_is_refused_and_nothing_is_kept(drawings, tmp_path):
    table = rows(drawings)
    for wrong in (
        table.assign(sha256=["0" * 64, *table["sha256"][1:]]),
        table.assign(group=["mosmed/mm0807", *table["group"][1:]]),
        table.assign(group=[table["group"][1], *table["group"][1:]]),
        table.assign(file=["phantom.jpg", *table["file"][1:]]),
    ):
        with pytest.raises(DataError, match=r"a phantom as python -m core\.phantom writes it"):
            thumbnails.write(Run(tmp_path), wrong)
        assert thumbnails.read(Run(tmp_path)) == {}


def test_damaged_thumbnails_are_an_error_that_names_them(tmp_path):
    (tmp_path / thumbnails.FILE).write_bytes(b"no parquet")
    with pytest.raises(RunError, match=r"thumbnails\.parquet"):
        thumbnails.read(Run(tmp_path))


@pytest.fixture
def run(tmp_path) -> Run:
    """A copy of the demo run that has not been tested on anything yet."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("config.json", "model.onnx", "split.csv", "metrics.json", "predictions.parquet"):
        shutil.copy(RUNS / "demo" / name, copy / name)
    frame = pd.read_parquet(copy / "predictions.parquet")
    frame[frame["scheme"] == "group"].drop(columns="severity").to_parquet(copy / "predictions.parquet")
    return load_run(copy)


def test_a_kept_test_keeps_its_predictions_and_the_thumbnails_of_phantoms(run, drawings):
    before = load_scored(run, "group")
    for _ in range(2):  # the second in place of the first
        assert main(["evaluate", "--run", str(run.path), "--data", str(drawings), "--keep", "drawings"]) == 0
    assert schemes(run) == ["group", "drawings"]
    found = load_scored(run, "drawings")
    stored = json.loads((run.path / "metrics.json").read_text())["tests"]["drawings"]
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (found.targets, found.probabilities.argmax(axis=1)), 1)
    assert confusion.tolist() == stored["confusion"]
    p = np.exp(found.logits / found.temperature)
    assert np.allclose(p / p.sum(axis=1, keepdims=True), found.probabilities, atol=1e-6)
    assert set(thumbnails.read(run)) == set(found.frame["sha256"])
    again = load_scored(run, "group")
    assert np.array_equal(again.probabilities, before.probabilities)
    assert again.frame.columns.tolist() == before.frame.columns.tolist()


def test_images_that_are_no_phantoms_leave_no_thumbnails(run, drawings, tmp_path):
    folder = tmp_path / "scans"
    shutil.copytree(drawings, folder)
    table = rows(folder)
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "label", "group"))
        writer.writerows(zip(table["file"], table["label"], ("a", "b", "c"), strict=True))
    assert main(["evaluate", "--run", str(run.path), "--data", str(folder), "--keep", "scans"]) == 0
    assert schemes(run) == ["group", "scans"]
    assert thumbnails.read(run) == {}


def test_a_test_may_not_take_the_name_of_a_scheme_of_training(run, drawings, capsys):
    before = (run.path / "predictions.parquet").read_bytes()
    assert main(["evaluate", "--run", str(run.path), "--data", str(drawings), "--keep", "group"]) == 2
    assert "another name than source, group" in capsys.readouterr().err
    assert (run.path / "predictions.parquet").read_bytes() == before
