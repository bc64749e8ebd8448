"""The command `predict`: files, folders and archives in, one result line a slice out."""

import csv
import json
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import cv2
import numpy as np

from core.errors import ConfigError, ImageError
from core.images import HEAD_BYTES, SUFFIXES, iter_slices, looks_like_image, read_file
from core.labels import title
from core.overlay import display_grey, overlay
from core.predictor import Prediction, Predictor
from core.slices import Slice

if TYPE_CHECKING:
    from core.conformal import Thresholds

AHEAD = 32
"""Files begun, and slices given to the network, ahead of the result that is written next."""

Outcome = tuple[Slice, Prediction] | ImageError


def predict_to(
    out: TextIO,
    paths: Sequence[str],
    run: str | None,
    form: str,
    heatmaps: Path | None,
    coverage: float | None = None,
) -> int:
    """Write one line a slice to `out` as "json", "csv" or "text"; 0 when all were read, else 1.

    With `coverage` each line says what the slice `could_be` (core.conformal). Raises RunError for a run that
    cannot be loaded. A file that cannot be read is a line with `error`.
    """
    predictor = Predictor.load(run, threads=1)
    cv2.setNumThreads(1)  # each core has slices of its own to prepare
    if heatmaps is not None:
        try:
            heatmaps.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError("--heatmaps", f"{heatmaps} ({error.strerror})", "a folder to write to") from error
    sets = None if coverage is None else _sets(run, coverage)
    write = WRITERS[form](out, predictor.labels)
    failed = 0
    for slice_, result in results(predictor, paths, heatmaps):
        if sets and result.get("label"):
            result["could_be"] = sets.could_be(result["probabilities"])
        write(result)
        failed += "error" in result
        if heatmaps is not None and slice_ is not None:
            _write_heatmap(heatmaps, *slice_)
    out.flush()
    return 1 if failed else 0


def _sets(run: str | None, coverage: float) -> "Thresholds":
    from core import conformal
    from core.runs import load_run

    return conformal.of_run(load_run(run), coverage)


def results(
    predictor: Predictor, paths: Sequence[str], leave_out: Path | None = None
) -> Iterator[tuple[tuple[Slice, Prediction] | None, dict]]:
    """For each slice in order: the slice with its prediction (None where it was not read), and its line.

    Every core reads, prepares and classifies slices of its own, which on small pictures is faster than
    sharing out one batch: `predictor` is best loaded with `threads=1`. The folder `leave_out` is not walked.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for item in _ahead(pool, _classifier(predictor), _read(pool, walk(paths, leave_out))):
            if isinstance(item, ImageError):
                error = f"found {item.found}; expected {item.expected}"
                yield None, {"path": item.name, "frame": None, "error": error}
            else:
                yield item, line(item[1])


def _read(pool: ThreadPoolExecutor, files: Iterable[str]) -> Iterator[Slice | ImageError]:
    """Every slice of every file in order; files are begun ahead, their first slice decoded."""
    for started in _ahead(pool, _start, files):
        yield from started


def _start(file: str) -> Iterator[Slice | ImageError]:
    """The slices of a file; the first is decoded here and now, those after it when asked for."""
    try:
        slices = iter_slices(read_file(file), file)
    except ImageError as error:
        return iter([error])
    return chain(list(islice(slices, 1)), slices)


def _classifier(predictor: Predictor) -> Callable[[Slice | ImageError], Outcome]:
    def classify(item: Slice | ImageError) -> Outcome:
        return item if isinstance(item, ImageError) else (item, predictor.predict([item])[0])

    return classify


def _ahead(pool: ThreadPoolExecutor, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """work(item) of every item in order, up to AHEAD of them begun in the pool before they are asked for."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def walk(paths: Sequence[str], leave_out: Path | None = None) -> Iterator[str]:
    """The files of the paths in order, folders walked by name; a file named by itself always counts.

    A folder that cannot be opened comes out as a file would, so that it ends in an error line.
    """
    for path in paths:
        if not os.path.isdir(path):
            yield path
            continue
        closed: list[str] = []
        for folder, folders, files in os.walk(
            path, onerror=lambda error, closed=closed: closed.append(error.filename)
        ):
            folders[:] = sorted(
                name
                for name in folders
                if not name.startswith(".") and (leave_out is None or Path(folder, name) != leave_out)
            )
            for name in sorted(files):
                file = os.path.join(folder, name)
                if not name.startswith(".") and (name.lower().endswith(SUFFIXES) or _looks_like_image(file)):
                    yield file
        yield from closed


def _looks_like_image(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            return looks_like_image(opened.read(HEAD_BYTES))
    except OSError:
        return False


def line(prediction: Prediction) -> dict[str, Any]:
    """A prediction as the command line and the pages give it out."""
    return {
        "path": prediction.name,
        "frame": prediction.frame,
        "label": prediction.label,
        "probabilities": {label: round(p, 6) for label, p in prediction.probabilities.items()},
        "run": prediction.run,
        "warnings": list(prediction.warnings),
    } | ({"refused": prediction.refused} if prediction.refused else {})


def _json_writer(out: TextIO, labels: Sequence[str]) -> Callable[[dict], None]:
    return lambda result: print(json.dumps(result, ensure_ascii=False), file=out)


def _csv_writer(out: TextIO, labels: Sequence[str]) -> Callable[[dict], None]:
    header = [
        "path",
        "frame",
        "label",
        *(f"p_{label}" for label in labels),
        "could_be",
        "run",
        "warnings",
        "refused",
        "error",
    ]
    writer = csv.DictWriter(out, header, lineterminator="\n")
    writer.writeheader()

    def write(result: dict) -> None:
        row = {key: value for key, value in result.items() if key in header}
        row |= {f"p_{label}": p for label, p in result.get("probabilities", {}).items()}
        row |= {name: " ".join(result.get(name, ())) for name in ("could_be", "warnings")}
        writer.writerow(row)

    return write


def _text_writer(out: TextIO, labels: Sequence[str]) -> Callable[[dict], None]:
    def write(result: dict) -> None:
        name = result["path"] if result["frame"] is None else f"{result['path']} [{result['frame']}]"
        if "error" in result:
            print(f"{name}: not read: {result['error']}", file=out)
            return
        if "refused" in result:
            print(f"{name}: no answer: {result['refused']}", file=out)
            return
        shares = ", ".join(f"{title(label)} {p:.2f}" for label, p in result["probabilities"].items())
        if "could_be" in result:
            shares += f"; could be {' or '.join(map(title, result['could_be']))}"
        notes = "".join(f"\n  {warning}" for warning in result["warnings"])
        print(f"{name}: most like {title(result['label'])} ({shares}){notes}", file=out)

    return write


WRITERS = {"json": _json_writer, "csv": _csv_writer, "text": _text_writer}


def _write_heatmap(folder: Path, slice_: Slice, prediction: Prediction) -> None:
    """The slice in grey with its heat map; the file is named after the slice, never over another's."""
    stem = re.sub(r"[^\w.-]+", "_", slice_.name, flags=re.ASCII).strip("._")[-180:] or "slice"
    frame = "" if slice_.frame is None else f"_{slice_.frame:04d}"
    picture = overlay(display_grey(slice_.pixels, slice_.unit), prediction.heatmap())
    target, number = folder / f"{stem}{frame}.png", 1
    while target.exists():
        number += 1
        target = folder / f"{stem}{frame}_{number}.png"
    encoded = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1]
    target.write_bytes(np.asarray(encoded).tobytes())
