"""The shipped samples: as the manifest says, synthetic by their tags, made again from their seeds."""

import csv
import hashlib
import io
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from core.labels import LABELS
from core.phantom import main, phantom, phantom_series
from core.samples import COLUMNS, SAMPLES, SERIES, SERIES_SIZE, SERIES_SLICES, dicom_bytes, sample_bytes
from core.slices import LUNG_WINDOW, window

FOLDER = Path(__file__).parents[1] / "data" / "samples"


def manifest(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def hu(file: pydicom.Dataset) -> np.ndarray:
    return file.pixel_array.astype(int) * int(file.RescaleSlope) + int(file.RescaleIntercept)


def test_the_manifest_lists_the_files_with_their_checksums():
    rows = manifest(FOLDER)
    assert [(row["file"], row["label"], int(row["seed"])) for row in rows] == [*SAMPLES, SERIES]
    assert tuple(rows[0]) == COLUMNS
    for row in rows:
        assert hashlib.sha256((FOLDER / row["file"]).read_bytes()).hexdigest() == row["sha256"], row["file"]
        assert row["unit"] == ("grey" if row["file"].endswith(".png") else "hu")
    assert {path.name for path in FOLDER.iterdir()} == {row["file"] for row in rows} | {
        "manifest.csv",
        "README.md",
    }


def test_each_class_has_two_dicom_and_two_png_slices():
    kinds = [(label, file.rsplit(".", 1)[1]) for file, label, _ in SAMPLES]
    assert {(label, kind): kinds.count((label, kind)) for label, kind in kinds} == {
        (label, kind): 2 for label in LABELS for kind in ("dcm", "png")
    }


def test_the_samples_stay_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4_000_000
    assert (FOLDER / SERIES[0]).stat().st_size < 1_500_000


@pytest.mark.parametrize(("file", "label", "seed"), SAMPLES)
def test_a_sample_is_its_phantom(file, label, seed):
    pixels = phantom(label, seed).slice.pixels.astype(int)
    if file.endswith(".dcm"):
        off = np.abs(hu(pydicom.dcmread(FOLDER / file)) - pixels)
    else:
        with Image.open(FOLDER / file) as image:
            off = np.abs(np.asarray(image).astype(int) - window(pixels, *LUNG_WINDOW))
    assert off.max() <= 1  # processors differ in the last bit of a sine, which can tip a rounding
    assert (off > 0).mean() < 1e-3


def test_a_dicom_holds_the_hounsfield_units_of_its_phantom_exactly():
    made = phantom("tumour", 2, 128)
    assert np.array_equal(hu(pydicom.dcmread(io.BytesIO(dicom_bytes(made.slice, "tumour", 2)))), made.slice.pixels)


@pytest.mark.parametrize("file", [SAMPLES[0][0], SAMPLES[6][0]])
def test_writing_a_sample_twice_gives_the_same_bytes(file):
    entry = next(entry for entry in SAMPLES if entry[0] == file)
    assert sample_bytes(*entry) == sample_bytes(*entry)


@pytest.mark.parametrize("file", [file for file, _, _ in SAMPLES if file.endswith(".dcm")])
def test_a_dicom_sample_says_that_it_is_synthetic(file):
    read = pydicom.dcmread(FOLDER / file)
    assert read.SOPClassUID == pydicom.uid.CTImageStorage == read.file_meta.MediaStorageSOPClassUID
    assert str(read.PatientName) == "SYNTHETIC^PHANTOM" and "Synthetic" in read.ImageComments
    assert list(read.ImageType)[:2] == ["DERIVED", "SECONDARY"] and read.BurnedInAnnotation == "NO"
    uids = (read.SOPInstanceUID, read.StudyInstanceUID, read.SeriesInstanceUID, read.FrameOfReferenceUID)
    assert len(set(uids)) == 4 and all(uid.startswith("2.25.") and uid.is_valid for uid in uids)
    assert (read.RescaleIntercept, read.RescaleSlope) == (-1024, 1)
    assert (read.WindowCenter, read.WindowWidth) == LUNG_WINDOW


def test_the_series_is_one_patient_from_head_to_feet():
    with zipfile.ZipFile(FOLDER / SERIES[0]) as archive:
        slices = [pydicom.dcmread(io.BytesIO(archive.read(name))) for name in sorted(archive.namelist())]
    assert len(slices) == SERIES_SLICES and {(s.Rows, s.Columns) for s in slices} == {(SERIES_SIZE, SERIES_SIZE)}
    assert len({s.SeriesInstanceUID for s in slices}) == 1 and len({s.SOPInstanceUID for s in slices}) == 24
    positions = [float(s.ImagePositionPatient[2]) for s in slices]
    assert positions == sorted(positions, reverse=True)
    drawn = phantom_series(SERIES[1], SERIES[2], SERIES_SLICES, SERIES_SIZE)[11]
    assert np.abs(hu(slices[11]) - drawn.pixels).max() <= 1


def test_a_larger_set_is_written_by_class_with_a_manifest(tmp_path, capsys):
    assert main([str(tmp_path), "--count", "1", "--seed", "40"]) == 0
    rows = manifest(tmp_path)
    assert [(row["file"], row["seed"]) for row in rows] == [
        (f"{label}/phantom_{label}_00040.png", "40") for label in LABELS
    ]
    assert len({row["group"] for row in rows}) == 3
    with Image.open(tmp_path / rows[2]["file"]) as image:
        assert (image.mode, image.size) == ("L", (512, 512))
    assert "3 synthetic files" in capsys.readouterr().out


def test_a_count_of_nought_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path), "--count", "0"])
    assert caught.value.code == 2 and "found 0; expected 1 or more" in capsys.readouterr().err
