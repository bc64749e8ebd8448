"""A fuzzer over the reader, led by coverage: `python -m tests.fuzz_reader --minutes 10` (atheris, Linux).

Whatever the bytes are, reading yields finite slices and typed errors, and the demo run gives finite probabilities
that sum to 1 for a share of the slices. An input that raises, hangs or swells ends it with a status other than 0
and is kept in build/fuzz. Inputs that reached new code are kept there too, and the next run begins with them.
"""

import argparse
import importlib
import sys
import warnings
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(
    include=["core", "nibabel", "PIL", "pydicom", "zipfile"], enable_loader_override=False
):
    for module in ("archive", "dicom", "nifti", "raster"):
        importlib.import_module(f"core.{module}")
    from core.errors import ImageError
    from core.images import Limits, iter_slices
    from core.predictor import Predictor

import numpy as np

from tests.made_corpus import CASES, VALID

FOLDER = Path(__file__).resolve().parent.parent / "build" / "fuzz"
LIMITS = Limits(slice_pixels=1 << 20, total_pixels=1 << 23, frames=60, archive_bytes=1 << 24, archive_members=60)
"""Small, so that many inputs are read in a minute; what the limits themselves do is tested elsewhere."""
LARGEST = 1 << 16
SECONDS, MEGABYTES = 20, 2048
SHARE = 8
"""Of so many inputs one is classified."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=10)
    warnings.simplefilter("ignore")
    seconds = round(60 * options.parse_args().minutes)
    seeds = FOLDER / "seeds"
    seeds.mkdir(parents=True, exist_ok=True)
    for data in (*VALID.values(), *(case.make() for case in CASES)):
        if len(data) <= LARGEST:
            (seeds / f"{zlib.crc32(data):08x}").write_bytes(data)
    flags = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", f"-timeout={SECONDS}"]
    flags += [f"-rss_limit_mb={MEGABYTES}", f"-artifact_prefix={FOLDER}/", "-print_final_stats=1", "-seed=1"]
    atheris.Setup([sys.argv[0], *flags, str(seeds)], _checker(Predictor.load(threads=1)))
    atheris.Fuzz()


def _checker(model: Predictor):
    def check(data: bytes) -> None:
        found = list(iter_slices(data, "a", LIMITS))
        if not found:
            raise AssertionError("neither a slice nor an error")
        slices = [item for item in found if not isinstance(item, ImageError)]
        for item in slices:
            if item.pixels.ndim != 2 or not item.pixels.size or not np.isfinite(item.pixels).all():
                raise AssertionError("a slice that is empty or not finite")
        if zlib.crc32(data) % SHARE == 0:
            for prediction in model.predict(slices[:2]):
                shares = list(prediction.probabilities.values())
                if not prediction.refused and not (np.isfinite(shares).all() and abs(sum(shares) - 1) < 1e-5):
                    raise AssertionError("probabilities that do not sum to 1")

    return check


if __name__ == "__main__":
    main()
