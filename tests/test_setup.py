"""`.ci/venv` makes the virtual environment, reuses it, and starts afresh after an install that was killed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the set-up script and nothing to install."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "venv", tmp_path / ".ci" / "venv")
    shutil.copy(ROOT / "Makefile", tmp_path / "Makefile")
    (tmp_path / "requirements.txt").write_text("# nothing\n")
    return tmp_path


def set_up(clone: Path, python: str = sys.executable) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "CPU"} | {"PYTHON": python}
    return subprocess.run(
        ["sh", ".ci/venv", "requirements.txt"],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_virtual_environment_is_made_once_reused_and_remade_after_a_killed_install(clone):
    first = set_up(clone)
    assert first.returncode == 0, first.stderr
    assert "Making .venv" in first.stdout

    mark = clone / ".venv" / "mark"
    mark.touch()
    again = set_up(clone)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert mark.exists()

    (clone / "requirements.txt").write_text("# still nothing\n")
    changed = set_up(clone)
    assert changed.returncode == 0, changed.stderr
    assert changed.stdout.startswith("Installing requirements.txt")
    assert mark.exists()

    (clone / ".venv" / "installing").touch()
    after_kill = set_up(clone)
    assert after_kill.returncode == 0, after_kill.stderr
    assert not mark.exists()
    assert not (clone / ".venv" / "installing").exists()


def test_a_failed_install_is_tried_again_and_keeps_what_was_there(clone):
    assert set_up(clone).returncode == 0
    mark = clone / ".venv" / "mark"
    mark.touch()
    (clone / "requirements.txt").write_text("./no-such-folder\n")
    assert set_up(clone).returncode == 1
    assert set_up(clone).returncode == 1
    assert mark.exists()


def test_without_a_fitting_python_the_message_says_which_are_wanted(clone):
    result = set_up(clone, "no-such-python")
    assert result.returncode == 1
    assert "Python 3.11 to 3.14" in result.stderr and "no-such-python" in result.stderr
    assert not (clone / ".venv").exists()
