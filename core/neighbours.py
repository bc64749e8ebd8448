"""What a run learned from that looks most like a slice: its training slices, found again by their features.

The index of a run, neighbours.parquet in its folder, holds numbers only, never an image. One row per training
slice: source, file, label, sha256; `vector`, its pooled features scaled to length 1, centred and projected on
at most DIMENSIONS principal components of all of them; `own_distance`, the least distance to a training slice
of another group. Centre and components lie in the file's own metadata.

Distances are Euclidean, between such vectors: 0 for the same picture, at most 2. Without the projection the
distance would be sqrt(2 - 2 cosine similarity); with it, it is a little smaller.
"""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.errors import DataError, RunError
from core.runs import load_run, write_atomically

if TYPE_CHECKING:
    import pandas as pd

FILE = "neighbours.parquet"
DIMENSIONS = 64
FACTS = ("source", "file", "label", "sha256")
_KEY = "lunglens"
_BLOCK = 256


@dataclass(frozen=True, eq=False)
class Index:
    """A run's training slices in feature space.

    slices        DataFrame, one row per training slice: source, file, label, sha256
    vectors       (n, d) float32, their projected features
    own_distance  (n,) float32 in ascending order: how near each lies to the nearest slice of another group
    centre, components   (channels,) and (d, channels) float32: the projection
    """

    slices: "pd.DataFrame"
    vectors: np.ndarray
    own_distance: np.ndarray
    centre: np.ndarray
    components: np.ndarray

    def nearest(self, features: np.ndarray, k: int = 5, leave_out_sha256: str | None = None) -> "pd.DataFrame":
        """The `k` nearest training slices of each query, nearest first; one row per query and neighbour.

        `features` (channels,) or (n, channels), as by `Predictor.features`. `leave_out_sha256`: the training
        slice that the queries were made from, which would only find itself.

        query       row of `features`
        source, file, label, sha256   of the training slice
        distance    see this file's first lines
        percentile  0 to 100: share of the training slices whose own nearest neighbour, of another group, is
                    as near as this or nearer; 100 means farther than any of them is from all the others

        Raises ValueError for features of another network.
        """
        features = np.atleast_2d(np.asarray(features, np.float32))
        if features.ndim != 2 or features.shape[1] != len(self.centre):
            raise ValueError(f"features of shape {features.shape}; expected (n, {len(self.centre)})")
        rows = np.flatnonzero(self.slices["sha256"].to_numpy() != leave_out_sha256)
        distances = _distances(_project(features, self.centre, self.components), self.vectors[rows])
        order = np.argsort(distances, axis=1, kind="stable")[:, : max(0, k)]
        found = np.take_along_axis(distances, order, axis=1).ravel()
        near = self.slices.iloc[rows[order.ravel()]].reset_index(drop=True)
        near.insert(0, "query", np.repeat(np.arange(len(features)), order.shape[1]))
        below = np.searchsorted(self.own_distance, found, side="right")
        return near.assign(distance=found, percentile=100 * below / len(self.own_distance))


def nearest(
    run: str | Path | None, features: np.ndarray, k: int = 5, leave_out_sha256: str | None = None
) -> "pd.DataFrame":
    """`Index.nearest` of a run's index. Raises RunError where the run has none, or none for such features."""
    index = load(run)
    try:
        return index.nearest(features, k, leave_out_sha256)
    except ValueError as error:
        raise RunError(f"{load_run(run).name}: {FILE}", str(error), "features of this run's network") from error


def load(run: str | Path | None) -> Index:
    """A run's index. Raises RunError when there is none or it cannot be read."""
    import pyarrow
    from pyarrow import parquet

    loaded = load_run(run)
    path, name = loaded.path / FILE, f"{loaded.name}: {FILE}"
    if not path.is_file():
        expected = f"one made by: python -m core neighbours --run {loaded.name} --data DIR..."
        raise RunError(loaded.name, f"no {FILE}", expected)
    try:
        file = parquet.ParquetFile(io.BytesIO(path.read_bytes()))
        projection = json.loads(file.metadata.metadata[_KEY.encode()])
        table = file.read()
        centre, components = _unpack(projection["centre"]), _unpack(projection["components"])
        components = components.reshape(-1, len(centre))
        vectors = np.array(table["vector"].to_pylist(), np.float32).reshape(len(table), len(components))
        own = np.sort(table["own_distance"].to_numpy().astype(np.float32))
        return Index(table.select(FACTS).to_pandas(), vectors, own, centre, components)
    except (pyarrow.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise RunError(name, "a damaged file", f"the file that made it: {FILE} as built") from error


def build(run: str | Path | None, folders: Sequence[Path]) -> Path:
    """Make the index of a finished run from its training images and return the file.

    They are looked for in the data folders by their checksums: DataError when one is not there as it was.
    """
    from core.data import load_table
    from core.predictor import Predictor
    from core.views import load_views

    loaded = load_run(run)
    predictor = Predictor.load(loaded.path)
    table = _training_rows(loaded.path, load_table([Path(folder) for folder in folders]))
    pictures = load_views(table, predictor.preprocess, random=False).plain
    return build_from_features(loaded.path, table, predictor.features(pictures))


def build_from_features(path: Path, table: "pd.DataFrame", features: np.ndarray) -> Path:
    """Write the index of the run in folder `path` and return its file.

    `table` has one row per training slice (source, file, label, sha256 and group); `features` (n, channels) are
    the network's pooled features of the same slices. Deterministic. DataError for fewer than two slices or
    features that are not finite.
    """
    import pyarrow
    from pyarrow import parquet

    if len(table) != len(features) or len(table) < 2:
        found = f"features of {len(features)} slices for {len(table)} rows"
        raise DataError(FILE, found, "one row of features a training slice, for two slices or more")
    if not np.isfinite(features).all():
        raise DataError(FILE, "features that are not finite numbers", "those of a trained network")
    centre, components = _principal(_scaled(features))
    vectors = _project(features, centre, components).astype(np.float16)
    projection = json.dumps({"centre": _pack(centre), "components": _pack(components)})
    own = _own_distances(vectors, np.unique(table["group"].astype(str), return_inverse=True)[1])
    flat = pyarrow.array(vectors.ravel())
    columns = {name: pyarrow.array(table[name].astype(str).tolist()) for name in FACTS}
    columns["vector"] = pyarrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    columns["own_distance"] = pyarrow.array(own)
    content, rows = io.BytesIO(), pyarrow.table(columns)
    with parquet.ParquetWriter(content, rows.schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({_KEY: projection})
    write_atomically(path / FILE, content.getvalue())
    return path / FILE


def _training_rows(path: Path, found: "pd.DataFrame") -> "pd.DataFrame":
    """The rows of a run's split.csv that it was trained on, with `path`, where a file of their checksum lies."""
    import pandas as pd

    split = path / "split.csv"
    if not split.is_file():
        raise RunError(path.name, "no split.csv", "a run that says which images it was trained on")
    rows = pd.read_csv(split, dtype=str, keep_default_na=False)
    rows = rows[rows["part"] == "train"].reset_index(drop=True)
    rows = rows.assign(path=rows["sha256"].map(dict(zip(found["sha256"], found["path"], strict=True))))
    absent = rows[rows["path"].isna()]
    if len(absent):
        first = absent.iloc[0]
        missing = f"no file of the checksum it was trained with ({len(absent)} of {len(rows)} such images)"
        raise DataError(f"{first['source']}: {first['file']}", missing, "the run's own data folders, unchanged")
    return rows


def _principal(scaled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (channels,) and principal components (d, channels) of scaled features, rounded as they are stored."""
    centre = scaled.mean(axis=0)
    components = np.linalg.svd(scaled - centre, full_matrices=False)[2][:DIMENSIONS]
    turned = np.sign(components[np.arange(len(components)), np.abs(components).argmax(axis=1)])
    return tuple(part.astype(np.float16).astype(np.float32) for part in (centre, components * turned[:, None]))


def _scaled(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    return features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)


def _project(features: np.ndarray, centre: np.ndarray, components: np.ndarray) -> np.ndarray:
    return (_scaled(features) - centre) @ components.T


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n, m) Euclidean distances of (n, d) and (m, d); exact near 0, unlike the expanded square."""
    return np.stack([np.linalg.norm(b - row, axis=1) for row in a])


def _own_distances(vectors: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """(n,) float32: each slice's distance to the nearest one of another group; inf where there is none."""
    wide, own = vectors.astype(np.float64), np.empty(len(vectors), np.float32)
    lengths = (wide**2).sum(axis=1)
    for start in range(0, len(wide), _BLOCK):
        block = slice(start, start + _BLOCK)
        squares = lengths[block, None] + lengths - 2 * wide[block] @ wide.T
        squares[groups[block, None] == groups] = np.inf
        own[block] = np.sqrt(np.maximum(squares.min(axis=1), 0))
    return own


def _pack(numbers: np.ndarray) -> str:
    return base64.b64encode(numbers.astype("<f2").tobytes()).decode()


def _unpack(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f2").astype(np.float32)
