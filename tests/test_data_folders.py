"""Data folders become one table of images, or an error that names what is wrong."""

import hashlib
import os
from pathlib import Path

import pytest

from core.data import TABLE_COLUMNS, checksum, leaks, load_table
from core.errors import DataError


def make_folder(folder: Path, files: dict[str, bytes], manifest: str | None = None) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    folder.mkdir(parents=True, exist_ok=True)
    if manifest is not None:
        (folder / "manifest.csv").write_text(manifest, encoding="utf-8")
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_manifest_becomes_one_row_per_image_in_its_order(tmp_path):
    manifest = "file,label,group,width,severity\nb/2.png,tumour,g2,512,\na/1.png,normal,g1,512,ct0\n"
    folder = make_folder(tmp_path / "mine", {"a/1.png": b"one", "b/2.png": b"two"}, manifest)
    table = load_table([folder])
    assert list(table.columns) == [*TABLE_COLUMNS, "severity"]
    assert table["path"].tolist() == [str(folder / "b/2.png"), str(folder / "a/1.png")]
    assert table["file"].tolist() == ["b/2.png", "a/1.png"]
    assert table["label"].tolist() == ["tumour", "normal"]
    assert table["group"].tolist() == ["mine/g2", "mine/g1"]
    assert table["source"].tolist() == ["mine", "mine"]
    assert table["sha256"].tolist() == [sha256(b"two"), sha256(b"one")]
    assert table["split"].isna().all()
    assert table["severity"].isna().tolist() == [True, False]


def test_a_label_or_group_that_reads_like_a_missing_value_is_kept_as_text(tmp_path):
    folder = make_folder(tmp_path / "s", {"1.png": b"1"}, "file,label,group\n1.png,NA,007\n")
    row = load_table([folder]).iloc[0]
    assert (row["label"], row["group"]) == ("NA", "s/007")


def test_the_layout_of_the_paper_takes_classes_and_splits_from_folder_names(tmp_path):
    files = {
        "train/Tumor/b.JPG": b"1",
        "train/Normal/deep/a.png": b"2",
        "train/Normal/notes.txt": b"not an image",
        "train/Normal/.hidden.png": b"not an image either",
        "test/Tumor/c.dcm": b"1",
    }
    table = load_table([make_folder(tmp_path / "paper", files)])
    assert table["file"].tolist() == ["train/Normal/deep/a.png", "train/Tumor/b.JPG", "test/Tumor/c.dcm"]
    assert table["label"].tolist() == ["Normal", "Tumor", "Tumor"]
    assert table["split"].tolist() == ["train", "train", "test"]
    assert table["group"].tolist() == [f"paper/{sha256(content)}" for content in (b"2", b"1", b"1")]


def test_a_manifest_wins_over_the_layout_around_it(tmp_path):
    files = {"train/A/1.png": b"1", "test/A/2.png": b"2", "test/A/unlisted.png": b"3"}
    manifest = "file,label,group,split\ntrain/A/1.png,covid,g,test\ntest/A/2.png,covid,g,\n"
    table = load_table([make_folder(tmp_path / "x", files, manifest)])
    assert table["label"].tolist() == ["covid", "covid"]
    assert table["split"].tolist()[0] == "test"
    assert table["split"].isna().tolist() == [False, True]


def test_folders_are_pooled_and_columns_missing_from_one_are_missing_values(tmp_path):
    first = make_folder(tmp_path / "a", {"1.png": b"1"}, "file,label,group,kernel\n1.png,normal,g,sharp\n")
    second = make_folder(tmp_path / "b", {"1.png": b"2"}, "file,label,group,source\n1.png,tumour,g,Siemens\n")
    table = load_table([first, second])
    assert table["source"].tolist() == ["a", "b"]
    assert table["group"].tolist() == ["a/g", "b/g"]
    assert table["kernel"].fillna("-").tolist() == ["sharp", "-"]
    assert table["manifest_source"].fillna("-").tolist() == ["-", "Siemens"]


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path):
    folders = [
        make_folder(tmp_path / parent, {"1.png": parent.encode()}, "file,label,group\n1.png,normal,g\n")
        for parent in ("here/ct", "there/ct", "other")
    ]
    assert load_table(folders)["source"].tolist() == ["here/ct", "there/ct", "other"]
    assert load_table(folders)["group"].nunique() == 3


HEADER = "file,label,group\n"


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ("file,group\n1.png,g\n", "no column label"),
        ("", "no column file, label, group"),
        (HEADER, "no rows"),
        (HEADER + "1.png,normal,g\n8.png,normal,g\n9.png,normal,g\n", "8.png: found no such file and 1 more"),
        (HEADER + "1.png,,g\n", "line 2: found label ''"),
        (HEADER + "1.png,normal ,g\n", "line 2: found label 'normal '"),
        (HEADER + "1.png,normal,\n", "line 2: found group ''"),
        (HEADER + ",normal,g\n", "line 2: found file ''"),
        (HEADER + "../1.png,normal,g\n", "line 2: found file '../1.png'"),
        (HEADER + "/1.png,normal,g\n", "line 2: found file '/1.png'"),
        (HEADER + "C:/1.png,normal,g\n", "line 2: found file 'C:/1.png'"),
        (HEADER + "a\\1.png,normal,g\n", "line 2: found file"),
        (HEADER + "1.png,normal,g\n./1.png,tumour,h\n", "line 3: found 1.png again, as on line 2"),
        (HEADER + "1.png,normal\n", "line 2: found fewer values than columns"),
        (HEADER + "1.png,normal,g,more\n", "line 2: found more values than columns"),
        (HEADER + '1.png,"normal,g\n', "cannot be read"),
        ("file,label,group,label\n1.png,normal,g,tumour\n", "expected every column name once"),
        ("file,label,group,source,manifest_source\n1.png,normal,g,a,b\n", "expected every column name once"),
        ("file,label,group,split\n1.png,normal,g,valid\n", "line 2: found split 'valid'"),
        ("file,label,group,sha256\n1.png,normal,g,00ff\n", "1.png: found sha256 " + sha256(b"1")),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused_by_name(tmp_path, manifest, words):
    folder = make_folder(tmp_path / "s", {"1.png": b"1"}, manifest)
    with pytest.raises(DataError) as caught:
        load_table([folder])
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_a_manifest_that_is_not_utf_8_is_refused(tmp_path):
    folder = make_folder(tmp_path / "s", {"manifest.csv": b"file,label,group\n\xff\xfe.png,normal,g\n"})
    with pytest.raises(DataError, match="cannot be read"):
        load_table([folder])


def test_a_manifest_saved_by_a_spreadsheet_with_a_byte_order_mark_is_read(tmp_path):
    folder = make_folder(tmp_path / "s", {"1.png": b"1"}, "\ufefffile,label,group\r\n1.png,normal,g\r\n")
    assert load_table([folder])["label"].tolist() == ["normal"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "an empty folder"),
        ({"normal/1.png": b"1"}, "neither manifest.csv nor train/"),
        ({"train/1.png": b"1"}, "no class folder"),
        ({"train/normal/1.txt": b"1"}, "no image"),
        ({"train/normal/1.png": b"1", "test/tumuor/1.png": b"2"}, "a class that train lacks"),
    ],
)
def test_a_folder_without_a_layout_is_refused_by_name(tmp_path, files, words):
    folder = make_folder(tmp_path / "s", files)
    with pytest.raises(DataError) as caught:
        load_table([folder])
    assert words in str(caught.value)
    assert str(folder) in str(caught.value)


def test_no_folder_a_missing_folder_a_file_and_a_folder_given_twice_are_refused(tmp_path):
    folder = make_folder(tmp_path / "s", {"1.png": b"1"}, HEADER + "1.png,normal,g\n")
    for folders, words in [
        ([], "no folder"),
        ([tmp_path / "gone"], "nothing there"),
        ([folder / "1.png"], "found a file"),
        ([folder, tmp_path / "." / "s"], "the same folder twice"),
    ]:
        with pytest.raises(DataError, match=words):
            load_table(folders)


def test_leaks_are_pairs_of_images_that_share_bytes_or_a_group_across_the_split(tmp_path):
    manifest = (
        "file,label,group,split\n1.png,a,g1,train\n2.png,a,g2,train\n3.png,a,g3,test\n"
        "4.png,a,g2,test\n5.png,a,g5,test\n6.png,a,g1,\n"
    )
    contents = {f"{i}.png": b"same" if i in (1, 3, 6) else bytes([i]) for i in range(1, 7)}
    folder = make_folder(tmp_path / "s", contents, manifest)
    found = leaks(load_table([folder]))
    assert [tuple(row) for row in found[["train", "test", "shared"]].to_numpy()] == [
        (str(folder / "1.png"), str(folder / "3.png"), "sha256"),
        (str(folder / "2.png"), str(folder / "4.png"), "group"),
    ]


def test_the_checksum_follows_contents_and_labels_but_not_row_order_or_place(tmp_path):
    def made(place: str, content: bytes = b"1", label: str = "normal"):
        files = {"1.png": content, "2.png": b"2"}
        manifest = HEADER + f"1.png,{label},g\n2.png,tumour,h\n"
        return load_table([make_folder(tmp_path / place / "s", files, manifest)])

    table = made("here")
    assert checksum(table) == checksum(table.iloc[::-1]) == checksum(made("there"))
    assert len({checksum(table), checksum(made("b", content=b"x")), checksum(made("c", label="tumour"))}) == 3


def test_the_x_ray_set_of_the_paper_has_six_test_images_that_are_training_images(shared):
    table = load_table([shared / "covid19_xray"])
    assert table["split"].value_counts().to_dict() == {"train": 251, "test": 66}
    found = leaks(table)
    assert found.loc[found["shared"] == "sha256", "test"].nunique() == 6


def test_a_file_name_that_is_not_utf8_is_refused_by_name(tmp_path):
    folder = tmp_path / "odd"
    for split in ("train", "test"):
        for label in ("normal", "tumour"):
            (folder / split / label).mkdir(parents=True)
            (folder / split / label / os.fsdecode(b"\xff.png")).write_bytes(f"{split}{label}".encode())
    with pytest.raises(DataError, match="not UTF-8"):
        load_table([folder])


def test_a_file_name_in_another_script_is_read(tmp_path):
    folder = make_folder(tmp_path / "naïve", {"肺.png": b"x"}, "file,label,group\n肺.png,normal,1\n")
    assert load_table([folder])["file"].tolist() == ["肺.png"]
