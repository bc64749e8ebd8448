"""Audit of data folders: copies, leaks, label clashes, drift and the source probe, and the command around it."""

import csv
import io
import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core import data
from core.__main__ import main
from core.audit import audit
from core.audit_report import report
from core.drift import PROPERTIES, drift, size_in_words
from core.duplicates import NEAR, near_pairs
from core.errors import DataError, RunError
from core.overlay import display_grey
from core.phantom import phantom, phantom_series
from core.source_probe import VIEWS
from tests.made_images import dicom, encoded, nifti, png, stored_values


@cache
def picture(seed: int, label: str = "normal") -> np.ndarray:
    """A synthetic slice in grey, uint8 (160, 160)."""
    made = phantom(label, seed, size=160).slice
    return display_grey(made.pixels, made.unit)


def jpeg(pixels: np.ndarray, quality: int = 60) -> bytes:
    return encoded(Image.fromarray(pixels), "JPEG", quality=quality)


def folder_of(folder: Path, rows: list[tuple]) -> Path:
    """A data folder from (file, label, group, split, content); the split may be empty."""
    folder.mkdir(parents=True)
    with (folder / "manifest.csv").open("w", newline="") as out:
        table = csv.writer(out)
        table.writerow(["file", "label", "group", "split"])
        for file, label, group, split, content in rows:
            (folder / file).write_bytes(content)
            table.writerow([file, label, group, split])
    return folder


def pair_names(found, pairs: pd.DataFrame) -> list[tuple[str, str, str]]:
    files = found.table["file"]
    return [(row.kind, files[row.first], files[row.second]) for row in pairs.itertuples()]


@pytest.fixture(scope="module")
def leaky(tmp_path_factory) -> Path:
    """A folder that leaks in each of the three ways, beside images that do not."""
    base = picture(1)
    darker = np.clip(base.astype(float) * 0.7 + 20, 0, 255).astype(np.uint8)
    rows = [
        ("a.png", "normal", "p1", "train", png(base)),
        ("copy.png", "normal", "p2", "test", png(base)),
        ("saved.jpg", "tumour", "p3", "test", jpeg(cv2.resize(darker, (120, 120)))),
        ("b.png", "normal", "p4", "train", png(picture(2))),
        ("again.png", "normal", "p4", "test", png(picture(3))),
        ("c.png", "tumour", "p5", "train", png(picture(4, "tumour"))),
        ("d.png", "tumour", "p6", "test", png(picture(5, "tumour"))),
    ]
    return folder_of(tmp_path_factory.mktemp("leaky") / "set", rows)


@pytest.fixture(scope="module")
def found(leaky):
    return audit([leaky])


def test_every_kind_of_leak_is_found_and_nothing_else(found):
    assert pair_names(found, found.leaks) == [
        ("sha256", "a.png", "copy.png"),
        ("group", "b.png", "again.png"),
        ("near", "a.png", "saved.jpg"),
    ]
    assert {kind: found.leaked(kind) for kind in ("sha256", "group", "near")} == {
        "sha256": 1,
        "group": 1,
        "near": 1,
    }


def test_a_leak_tells_how_alike_its_two_pictures_are(found):
    same, group, near = found.leaks["similarity"]
    assert same == 1
    assert np.isnan(group)
    assert NEAR <= near < 1


def test_copies_with_other_labels_are_told_as_clashes(found):
    assert pair_names(found, found.clashes) == [
        ("near", "a.png", "saved.jpg"),
        ("near", "copy.png", "saved.jpg"),
    ]


def test_leaks_of_the_folders_own_split_are_those_of_the_data_module(found, leaky):
    table = data.load_table([leaky])
    known = data.leaks(table)[["train", "test", "shared"]].itertuples(index=False, name=None)
    paths = found.table["path"]
    sure = found.leaks[found.leaks["kind"] != "near"]
    assert sorted(known) == sorted((paths[row.first], paths[row.second], row.kind) for row in sure.itertuples())


def test_slices_of_different_patients_are_no_near_duplicates():
    small = np.stack(
        [cv2.resize(picture(seed, label), (96, 96)) for label in ("normal", "tumour") for seed in range(8)]
    )
    assert len(near_pairs(small)[0]) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda grey: cv2.resize(grey, (333, 333), interpolation=cv2.INTER_CUBIC),
        lambda grey: cv2.resize(grey, (140, 100), interpolation=cv2.INTER_AREA),
        lambda grey: cv2.GaussianBlur(grey, (0, 0), 0.7),
        lambda grey: (255 * (grey / 255) ** 1.6).astype(np.uint8),
        lambda grey: np.asarray(Image.open(io.BytesIO(jpeg(grey, 25)))),
    ],
    ids=["enlarged", "squeezed", "blurred", "darkened", "compressed"],
)
def test_a_picture_saved_anew_is_a_near_duplicate(change):
    grey = picture(7)
    small = np.stack(
        [cv2.resize(one, (96, 96), interpolation=cv2.INTER_AREA) for one in (grey, change(grey), picture(8))]
    )
    first, second, alike = near_pairs(small)
    assert list(zip(first, second, strict=True)) == [(0, 1)]
    assert alike[0] >= NEAR


def test_flat_pictures_are_never_alike():
    assert len(near_pairs(np.stack([np.full((96, 96), level, np.uint8) for level in (0, 0, 9, 255)]))[0]) == 0


def test_neighbouring_slices_of_a_series_are_alike_and_far_ones_are_not():
    series = [display_grey(one.pixels, one.unit) for one in phantom_series("normal", 3, 30, size=96)]
    first, second, _ = near_pairs(np.stack(series))
    assert len(first) > 10
    assert (second - first).max() < 5


def test_a_file_that_cannot_be_read_is_listed_and_stops_nothing(tmp_path):
    volume = nifti(np.random.default_rng(0).normal(size=(40, 40, 3)), np.diag([1.0, 1, 1, 1]))
    rows = [
        ("good.png", "normal", "a", "train", png(picture(1))),
        ("torn.png", "normal", "b", "test", png(picture(2))[:200]),
        ("three.nii", "normal", "c", "", volume),
        ("note.png", "normal", "d", "test", b"no picture"),
    ]
    seen = audit([folder_of(tmp_path / "set", rows)])
    assert seen.unread["file"].tolist() == ["torn.png", "three.nii", "note.png"]
    assert "several slices" in seen.unread["error"][1]
    assert seen.table["width"].notna().tolist() == [True, False, False, False]
    assert "3 could not be read" in report(seen)


def test_a_folder_of_which_nothing_can_be_read_is_still_told(tmp_path):
    rows = [(f"{split}.png", "normal", split, split, b"no picture" + split.encode()) for split in ("train", "test")]
    seen = audit([folder_of(tmp_path / "set", rows)])
    assert (len(seen.unread), seen.counts("mode"), seen.counts("size")) == (2, {}, {})
    assert "Leaks: none" in report(seen)
    assert seen.to_json()["counts"]["part"] == {"train": 1, "test": 1}


def test_a_folder_and_one_inside_it_may_hold_the_same_files(tmp_path):
    inner = folder_of(tmp_path / "set" / "inner", [
        ("1.png", "normal", "a", "train", png(picture(1))),
        ("2.png", "normal", "a", "test", png(picture(2))),
    ])  # fmt: skip
    lines = (inner / "manifest.csv").read_text().splitlines()
    (tmp_path / "set" / "manifest.csv").write_text("\n".join([lines[0], *(f"inner/{line}" for line in lines[1:])]))
    seen = audit([tmp_path / "set", inner])
    assert seen.leaks["kind"].value_counts().to_dict() == {"group": 2}


def test_a_file_name_writes_no_lines_of_its_own(tmp_path):
    torn = "x.png\nLeaks: none\x1b[2J"
    rows = [("a.png", "normal", "a", "train", png(picture(1))), (torn, "normal", "b", "test", png(picture(1)))]
    text = report(audit([folder_of(tmp_path / "set", rows)]))
    assert "x.pngLeaks: none[2J (normal)" in text and "\x1b" not in text
    assert not any(line.startswith("Leaks: none") for line in text.splitlines())


def test_images_of_one_part_only_leave_nothing_to_leak(tmp_path):
    rows = [(f"{seed}.png", "normal", "a", split, png(picture(seed))) for seed, split in ((1, "test"), (2, ""))]
    seen = audit([folder_of(tmp_path / "set", rows)])
    assert (seen.tested, seen.without_part) == ((), 1)
    assert "all images with a part have the same" in report(seen) and "1 images have no part" in report(seen)


def test_counts_by_class_part_size_and_mode_add_up(tmp_path):
    deep = (picture(1).astype(np.uint16) << 8) | 7
    colour = encoded(Image.fromarray(np.repeat(picture(2)[..., None], 3, axis=2)), "PNG")
    rows = [
        ("1.png", "normal", "a", "train", png(picture(1))),
        ("2.png", "normal", "b", "train", png(deep)),
        ("3.png", "tumour", "c", "test", colour),
        ("4.dcm", "tumour", "d", "", dicom(stored_values(64, 48))),
        ("5.jpg", "tumour", "e", "", jpeg(picture(3)[:100])),
    ]
    seen = audit([folder_of(tmp_path / "set", rows)])
    assert seen.counts("label") == {"tumour": 3, "normal": 2}
    assert seen.counts("part") == {"train": 2, "test": 1}
    assert seen.counts("size") == {"160 x 160": 3, "48 x 64": 1, "160 x 100": 1}
    assert set(seen.counts("mode")) == {
        "PNG, 8-bit grey",
        "PNG, 16-bit grey",
        "PNG, 8-bit colour",
        "DICOM, 16-bit MONOCHROME2",
        "JPEG, 8-bit grey",
    }


def test_a_runs_split_gives_the_parts_and_validation_may_leak_too(leaky, tmp_path):
    table = data.load_table([leaky])
    part = {
        "a.png": "train",
        "copy.png": "validation",
        "saved.jpg": "left out",
        "b.png": "train",
        "again.png": "test",
    }
    run = tmp_path / "mine"
    run.mkdir()
    (run / "config.json").write_text('{"labels": ["normal", "tumour"], "recipe": {}}')
    rows = table.assign(part=table["file"].map(part).fillna("validation"))
    rows[["source", "file", "label", "group", "sha256", "part"]].to_csv(run / "split.csv", index=False)
    seen = audit([leaky], run)
    assert seen.parts_from == "mine"
    assert pair_names(seen, seen.leaks) == [("sha256", "a.png", "copy.png"), ("group", "b.png", "again.png")]
    rows.assign(sha256="0")[["file", "sha256", "part"]].to_csv(run / "split.csv", index=False)
    with pytest.raises(DataError, match="none of the 7 images"):
        audit([leaky], run)
    (run / "split.csv").write_bytes(b"file\n\xff\n")
    with pytest.raises(RunError, match="a file that cannot be read"):
        audit([leaky], run)
    (run / "split.csv").unlink()
    with pytest.raises(RunError, match="no such file"):
        audit([leaky], run)


def test_a_runs_split_tells_two_sources_apart_that_hold_the_same_file(tmp_path):
    folders = [
        folder_of(tmp_path / name, [("1.png", "normal", "p", "", png(picture(1)))]) for name in ("one", "two")
    ]
    table = data.load_table(folders)
    run = tmp_path / "mine"
    run.mkdir()
    (run / "config.json").write_text('{"labels": ["normal", "tumour"], "recipe": {}}')
    rows = table.assign(part=["train", "test"])[["source", "file", "sha256", "part"]]
    rows.to_csv(run / "split.csv", index=False)
    assert pair_names(audit(folders, run), audit(folders, run).leaks) == [("sha256", "1.png", "1.png")]
    (tmp_path / "one").rename(tmp_path / "three")  # called otherwise, and its file is in two parts: no guess
    seen = audit([tmp_path / "three", tmp_path / "two"], run)
    assert seen.table["part"].fillna("").tolist() == ["", "test"]


def test_progress_counts_every_image_and_what_it_raises_ends_the_work(leaky):
    told = []
    audit([leaky], progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(1, 8)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        audit([leaky], progress=stop)


def compared(first: dict, second: dict, **options) -> pd.DataFrame:
    """Drift of two sources; `first` and `second` give properties by name, others are 1 everywhere."""
    n = [len(next(iter(values.values()))) for values in (first, second)]
    table = pd.DataFrame({"source": ["a"] * n[0] + ["b"] * n[1], "label": "x", "part": None})
    for name in PROPERTIES:
        table[name] = np.concatenate([first.get(name, np.ones(n[0])), second.get(name, np.ones(n[1]))])
    return drift(table, options.pop("groups", np.arange(len(table))), **options).set_index("property")


def test_the_standardised_difference_follows_its_formula():
    first, second = np.array([1.0, 2, 3, 4, 5, 9]), np.array([2.0, 4, 6, 8, 30, 3, 5])
    found = compared({"brightness": first}, {"brightness": second}).loc["brightness"]
    spread = np.sqrt((first.var(ddof=1) + second.var(ddof=1)) / 2)
    assert found["value"] == pytest.approx((second.mean() - first.mean()) / spread)
    assert (found["mean"], found["reference_mean"]) == pytest.approx((second.mean(), first.mean()))
    assert (found["level"], found["reference"], found["n"], found["reference_n"]) == ("b", "a", 7, 6)
    assert found["low"] < found["value"] < found["high"]


def test_properties_without_spread_are_told_in_words():
    ones = np.ones(8)
    found = compared({"size": 512 * ones}, {"size": 640 * ones})
    assert found.loc["size", "note"] == "no spread on either side: 640 and 512"
    assert np.isnan(found.loc["size", "value"])
    assert (found.loc["aspect", "value"], found.loc["aspect", "note"]) == (0, "the same in every image")


def test_few_groups_give_no_interval():
    values = {"brightness": np.arange(8.0)}
    found = compared(values, {"brightness": np.arange(8.0) + 3}, groups=np.repeat([0, 1, 2, 3], 4)).loc[
        "brightness"
    ]
    assert np.isnan(found["low"])
    assert found["note"] == "2 groups on one side, no interval"


def test_intervals_of_differences_cover_the_truth_as_often_as_they_say():
    rng, truth, covered = np.random.default_rng(2), 0.5, []
    for seed in range(150):
        sizes = rng.integers(1, 4, 150)
        groups = np.repeat(np.arange(150), sizes)
        b = groups >= 60
        # Images of one group share 36 % of the variance; the five properties are five independent trials.
        values = rng.normal(0, 0.6, (150, 5))[groups] + rng.normal(0, 0.8, (len(groups), 5)) + truth * b[:, None]
        table = pd.DataFrame(values, columns=list(PROPERTIES))
        found = drift(table.assign(source=np.where(b, "b", "a"), label="x", part=None), groups, 300, seed)
        covered += ((found["low"] <= truth) & (truth <= found["high"])).tolist()
    assert len(covered) == 750
    assert 0.93 <= np.mean(covered) <= 0.97


def test_differences_have_cohens_names():
    assert [size_in_words(value) for value in (-0.9, 0.8, 0.5, -0.2, 0.1)] == [
        "large",
        "large",
        "medium",
        "small",
        "very small",
    ]


def source(folder: Path, seeds: range, label: str = "normal", shift: int = 0) -> Path:
    rows = []
    for seed in seeds:
        grey = np.clip(picture(seed, label).astype(int) + shift, 0, 255).astype(np.uint8)
        rows.append((f"{seed}.png", label, f"p{seed}", "", png(grey)))
    return folder_of(folder, rows)


def test_a_source_with_other_grey_levels_is_told_apart_and_the_same_kind_of_slices_are_not(tmp_path):
    plain = source(tmp_path / "plain", range(12))
    bright = source(tmp_path / "bright", range(12, 24), shift=40)
    told = audit([plain, bright]).probes[0]
    assert (told.view, told.sources, told.chance) == ("stored", {"bright": 12, "plain": 12}, 0.5)
    assert told.balanced_accuracy.low > 0.5
    assert "A class that can be told from its source was not learned." in told.sentence()
    same = audit([plain, source(tmp_path / "same", range(24, 36))]).probes[0]
    assert same.balanced_accuracy.low <= 0.5
    assert "could not be told clearly" in same.sentence()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (("normal", "tumour"), "only one source, a, has normal images"),
        (("tumour", "tumour"), "no image is labelled normal"),
    ],
)
def test_where_the_source_cannot_be_probed_the_reason_is_given(tmp_path, labels, words):
    folders = [source(tmp_path / name, range(10), label) for name, label in zip("ab", labels, strict=True)]
    seen = audit(folders)
    assert [one.view for one in seen.probes] == list(VIEWS)
    assert words in seen.probes[0].sentence()
    assert report(seen).count(words) == 1
    assert seen.class_from_source() == (20, 20)


def test_the_command_tells_of_leaks_by_its_exit_status(leaky, tmp_path, capsys):
    assert main(["audit", str(leaky)]) == 1
    text = capsys.readouterr().out
    assert "LEAKS: 3 images repeat one of an earlier part (folders), by kind: sha256 1, group 1, near 1." in text
    assert "sha256: set/a.png (normal) = set/copy.png (normal)" in text
    clean = source(tmp_path / "clean", range(6))
    assert main(["audit", str(clean)]) == 0
    assert "name no train and test part" in capsys.readouterr().out
    assert main(["audit", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_the_json_holds_every_pair_and_no_path_of_the_machine(leaky, capsys):
    assert main(["audit", str(leaky), "--json"]) == 1
    text = capsys.readouterr().out
    content = json.loads(text)
    assert str(leaky) not in text
    assert (content["images"], content["parts_from"], content["label_clashes"]) == (7, "folders", 2)
    assert content["leaks"][0]["first"] == {"source": "set", "file": "a.png", "label": "normal", "part": "train"}
    assert content["leaks"][1]["similarity"] is None
    assert content["leaking_images"] == {"sha256": 1, "group": 1, "near": 1}
    assert len(content["drift"]) == 2 * len(PROPERTIES)
    assert set(content["definitions"]) >= {"near", "drift", "class_from_source"}


def test_the_six_copied_test_images_of_the_papers_set_are_the_leaks_by_sha256(shared):
    seen = audit([shared / "covid19_xray"])
    files = seen.table["file"]
    same = seen.leaks[seen.leaks["kind"] == "sha256"]
    digests = seen.table.groupby("sha256")["split"].agg(set)
    copied = seen.table["sha256"].map(digests).map(len).eq(2) & seen.table["split"].eq("test")
    assert sorted(files[same["second"]]) == sorted(files[copied])
    assert same["second"].nunique() == len(same) == 6
    # Looked at by eye: each pair is one radiograph with two contrasts.
    near = seen.leaks[seen.leaks["kind"] == "near"]
    assert {(files[row.first], files[row.second].split("-")[0]) for row in near.itertuples()} == {
        ("train/Covid/090.jpeg", "test/Covid/0112.jpg"),
        ("train/Covid/090.jpeg", "test/Covid/auntminnie"),
        ("train/Covid/COVID-00022.jpg", "test/Covid/0100.jpeg"),
    }


@pytest.mark.slow
def test_slices_of_many_patients_in_one_style_are_not_taken_for_copies(shared):
    seen = audit([shared / "mosmed", shared / "ho"])
    assert seen.duplicates.empty
    assert [one.told for one in seen.probes] == [True, True]
