"""ONNX Runtime, whose wheels report to their maker, is told not to before it is imported: no id is written."""

import os
import subprocess
import sys
from pathlib import Path

from tests.browser import ROOT

OPEN = "from core.predictor import Predictor; Predictor.load('demo')"
BARE = "import onnxruntime"


def files_after(code: str, home: Path) -> list[str]:
    """What running `code` leaves below a fresh home; in continuous integration nothing would be reported."""
    home.mkdir()
    kept = {name for name in os.environ if not name.startswith(("CI", "ORT_", "XDG_"))}
    environment = {name: os.environ[name] for name in kept}
    environment |= {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=240)
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_opening_a_network_leaves_no_trace_in_the_home(tmp_path):
    assert files_after(OPEN, tmp_path / "home") == []


def test_without_being_told_it_would(tmp_path):
    """Should this fail, the package has stopped it, and the line in core.engine can go."""
    assert files_after(BARE, tmp_path / "home") != []
