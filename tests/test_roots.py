"""Data folders are found below one configured root, and an image is shown only if it is the very same."""

import hashlib

import pytest

from core import roots


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DATA", str(tmp_path))
    monkeypatch.delenv("LUNGLENS_DEMO", raising=False)
    (tmp_path / "ward").mkdir()
    (tmp_path / "ward" / "manifest.csv").write_text("file,label,group\na.png,normal,1\n")
    (tmp_path / "ward" / "a.png").write_bytes(b"picture")
    (tmp_path / "plain" / "train").mkdir(parents=True)
    (tmp_path / "notes").mkdir()
    (tmp_path / "secret.txt").write_bytes(b"secret")
    return tmp_path


def sha(content):
    return hashlib.sha256(content).hexdigest()


def test_data_folders_are_those_with_a_manifest_or_a_split(root):
    assert roots.data_folders() == {"plain": root / "plain", "ward": root / "ward"}


def test_an_image_is_found_by_source_and_file(root):
    assert roots.read_image("ward", "a.png", sha(b"picture")) == b"picture"


@pytest.mark.parametrize("file", ["b.png", "../secret.txt", "/etc/hostname"])
def test_no_file_outside_the_data_folder_is_read(root, file):
    assert roots.read_image("ward", file, sha(b"secret")) is None


def test_an_image_that_changed_is_not_shown(root):
    assert roots.read_image("ward", "a.png", sha(b"another")) is None


def test_a_public_server_shows_no_folder(root, monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    assert roots.data_root() is None
    assert roots.read_image("ward", "a.png", sha(b"picture")) is None
