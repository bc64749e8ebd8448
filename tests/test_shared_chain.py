"""The entire chain on a handful of real slices: train two epochs, evaluate, predict. Needs ../shared."""

import csv
import json
from pathlib import Path

import pytest

from core.__main__ import main
from core.images import read_slices
from core.predictor import Predictor
from core.recipe import load_recipe
from core.train import Order, train

SOURCES = ("ho", "chest_ctscan")
PER_CLASS = 10


@pytest.fixture(scope="module")
def folders(shared, tmp_path_factory) -> list[Path]:
    """Data folders whose manifests name a few images of the shared sets; the images stay where they are."""
    made = []
    for source in SOURCES:
        folder = tmp_path_factory.mktemp("chain") / source
        folder.mkdir()
        with (shared / source / "manifest.csv").open() as file:
            rows = list(csv.DictReader(file))
        by_label: dict[str, list] = {}
        for row in rows:
            by_label.setdefault(row["label"], []).append(row)
        chosen = [row for group in by_label.values() for row in group[:PER_CLASS]]
        for row in chosen:
            target = folder / row["file"]
            target.parent.mkdir(exist_ok=True)
            target.symlink_to(shared / source / row["file"])
        with (folder / "manifest.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["file", "label", "group", "sha256"], extrasaction="ignore")
            writer.writeheader()
            writer.writerows(chosen)
        made.append(folder)
    return made


@pytest.mark.parametrize("config", ["lung", "paper"])
def test_two_epochs_on_real_slices_end_in_a_run_that_predicts(shared, folders, tmp_path, config, capsys):
    weights = str(shared.parent / "weights" / "mobilenet_v2_imagenet1k_v1_rebuilt.pth")
    order = Order("chain", tuple(map(str, folders)), load_recipe(config, epochs=2), weights, 0)
    run = train(order, tmp_path)
    assert main(["predict", str(shared / "dicom" / "chest_ct_A0001"), "--run", str(run), "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 8
    assert all(line["label"] in ("normal", "pneumonia", "tumour") and line["frame"] is None for line in lines)


def test_the_demo_run_finds_lungs_in_the_real_dicom_slices(shared):
    predictor = Predictor.load()
    for path in sorted((shared / "dicom" / "chest_ct_A0001").glob("*.dcm")):
        (slice_,) = read_slices(path.read_bytes(), path.name)
        (prediction,) = predictor.predict([slice_])
        assert [note for note in prediction.warnings if "written into its picture" not in note] == []
        assert prediction.box.width < slice_.pixels.shape[1]
