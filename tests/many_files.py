"""Ten thousand files on the command line, `python -m tests.many_files`: time, and the most memory held."""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from core.phantom import phantom
from core.samples import png_bytes

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--files", type=int, default=10_000)
    files = options.parse_args().files
    with tempfile.TemporaryDirectory() as folder:
        data = [png_bytes(phantom(label, 5, size=128).slice) for label in ("normal", "pneumonia", "tumour")]
        for number in range(files):
            Path(folder, f"{number:06d}.png").write_bytes(data[number % 3] if number % 10 else b"junk")
        start = time.perf_counter()
        command = [sys.executable, "-m", "core", "predict", folder, "--json"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
    lines = done.stdout.splitlines()
    unread = sum('"error"' in line for line in lines)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        f"{files:,} files: {len(lines):,} lines, {unread:,} of them not read, {seconds:.0f} s, peak {peak:.0f} MB"
    )
    return 0 if len(lines) == files and unread == -(-files // 10) and done.returncode == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
