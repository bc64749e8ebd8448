"""Two folders of synthetic slices with faults put in on purpose, to show what an audit finds."""

import csv
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from core.errors import DataError
from core.phantom import cut, make_patient
from core.samples import png_bytes
from core.slices import Slice, window

SOURCES = ("synthetic_a", "synthetic_b")
COUNTS = {
    "synthetic_a": {"normal": 10, "pneumonia": 10, "tumour": 3},
    "synthetic_b": {"normal": 10, "pneumonia": 3, "tumour": 10},
}
"""Patients of each class; one slice each. That each source is rich in another disease is one of the faults."""

SECOND_WINDOW = (-450.0, 1700.0)
"""Window centre and width, HU, of the second source: its slices are darker and flatter than the first's."""

SIZE = 192
FIRST_SEED = 3000
TEST_EVERY = 4
"""Each fourth patient is for testing."""

PLANTED = {"sha256": 1, "group": 1, "near": 1}
"""Test images that leak, by kind; beside them stands one train image twice, with two labels."""

COLUMNS = ("file", "label", "group", "split")


def write_example(
    folder: Path, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[Path, ...]:
    """The two data folders below `folder`, made there if they are not yet; always the same files.

    progress  called with (done, total) after each patient

    Raises DataError where they cannot be written.
    """
    made = tuple(folder / name for name in SOURCES)
    if all((path / "manifest.csv").is_file() for path in made):
        return made
    try:
        _write_all(folder, made, progress)
    except OSError as error:
        expected = f"room and leave to write in {folder.parent.name}/{folder.name}"
        raise DataError("the example", f"no way to write it ({error.strerror})", expected) from error
    return made


def _write_all(folder: Path, made: tuple[Path, ...], progress: Callable[[int, int], None]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # Made aside and then moved in one step, so that two visitors at once do not see halves.
    aside = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        total, done = sum(sum(counts.values()) for counts in COUNTS.values()), 0
        for name in SOURCES:
            rows = []
            for label, count in COUNTS[name].items():
                for number in range(count):
                    rows.append(_patient(name, label, number))
                    done += 1
                    progress(done, total)
            _write(aside / name, rows + (_faults(rows) if name == SOURCES[0] else []))
        for name, path in zip(SOURCES, made, strict=True):
            try:
                os.replace(aside / name, path)
            except OSError:
                if not path.is_dir():  # else another visitor's came first, with the same files
                    raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _patient(source: str, label: str, number: int) -> tuple[str, str, str, str, bytes]:
    """One slice of a patient: file, label, group, split and content."""
    seed = FIRST_SEED + 100 * SOURCES.index(source) + number
    patient = make_patient(label, seed)
    image = cut(patient, patient.z, SIZE).slice
    content = png_bytes(image) if source == SOURCES[0] else _encoded(".png", window(image.pixels, *SECOND_WINDOW))
    split = "test" if number % TEST_EVERY == TEST_EVERY - 1 else "train"
    return f"{label}_{seed}.png", label, f"{label}-{seed}", split, content


def _faults(rows: list[tuple[str, str, str, str, bytes]]) -> list[tuple[str, str, str, str, bytes]]:
    """Three leaks into the test part (a copy, a picture saved anew, a patient's second slice), one false label."""
    _, label, _, _, content = rows[0]
    saved = cv2.imdecode(np.frombuffer(rows[1][4], np.uint8), cv2.IMREAD_GRAYSCALE)
    anew = cv2.resize((saved * 0.8 + 12).astype(np.uint8), (150, 150), interpolation=cv2.INTER_AREA)
    patient = make_patient(label, FIRST_SEED + 2)
    second: Slice = cut(patient, patient.z + 40, SIZE).slice
    return [
        ("copied.png", label, "copied", "test", content),
        ("saved_anew.jpg", rows[1][1], "saved-anew", "test", _encoded(".jpg", anew)),
        ("second_slice.png", label, rows[2][2], "test", png_bytes(second)),
        ("other_label.png", "tumour", "other-label", "train", rows[10][4]),
    ]


def _encoded(suffix: str, grey: np.ndarray) -> bytes:
    return cv2.imencode(suffix, grey)[1].tobytes()


def _write(folder: Path, rows: list[tuple[str, str, str, str, bytes]]) -> None:
    folder.mkdir()
    for file, *_, content in rows:
        (folder / file).write_bytes(content)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as out:
        table = csv.writer(out, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(row[:4] for row in rows)
