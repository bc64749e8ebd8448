"""Labelled slices in memory, decoded and prepared once, and the batches that training draws from them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from core.augment import AugmentConfig, augment
from core.errors import DataError
from core.images import read_slices
from core.lesions import draw_lesion
from core.preprocess import Prepared, PreprocessConfig, prepare

if TYPE_CHECKING:
    import pandas as pd

REACH = 0.12
"""How far beyond the network's view slices are kept, so that shifted and scaled views show real pixels."""

AHEAD = 2
"""Batches made ready while the network works on one."""


@dataclass(frozen=True, eq=False)
class Views:
    """Prepared slices: `wide` for random views, `plain` as prediction sees them, in the table's order."""

    plain: np.ndarray
    wide: list[Prepared]
    size: int

    def plain_batch(self, indices: np.ndarray) -> np.ndarray:
        """(b, 1, size, size) uint8, the very pictures that prediction sees."""
        return self.plain[indices][:, None]

    def random_batch(
        self,
        indices: np.ndarray,
        config: AugmentConfig | None,
        seed: tuple[int, ...],
        size: int | None = None,
        drawn: Sequence[str] | None = None,
    ) -> np.ndarray:
        """(b, 1, size, size) uint8 random views; the i-th depends on `seed`, its place and its slice alone.

        `size` None: the size that prediction sees. Without a `config` the views are those of `plain_batch`.
        `drawn`: for each slice the class of the lesion that is drawn into it, "" for none.
        """
        if config is None:
            return self.plain_batch(indices)
        size = size or self.size
        batch = np.empty((len(indices), 1, size, size), np.uint8)
        for place, index in enumerate(indices):
            rng = np.random.default_rng((*seed, place, int(index)))
            wide = self.wide[index]
            picture = wide.image
            if drawn and drawn[place]:
                picture = draw_lesion(picture, wide.lungs, drawn[place], rng)
            batch[place, 0] = augment(picture, wide.inner, size, config, rng, wide.lungs)
        return batch


def load_views(
    table: "pd.DataFrame",
    config: PreprocessConfig,
    random: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Views:
    """Decode and prepare every image of a table; DataError for one that holds several slices.

    `random` False leaves the wide pictures out (evaluation needs none). ImageError names a file that
    cannot be read: a training set is mended, not thinned.
    """
    plain, wide = [], []
    with ThreadPoolExecutor() as pool:
        pairs = pool.map(lambda path: _prepare_file(path, config, random), table["path"])
        for done, (near, far) in enumerate(pairs, 1):
            plain.append(near.image)
            wide.append(far)
            progress(done, len(table))
    return Views(np.stack(plain), wide, config.size)


def _prepare_file(path: str, config: PreprocessConfig, random: bool) -> tuple[Prepared, Prepared]:
    slices = read_slices(Path(path).read_bytes(), path)
    if len(slices) != 1:
        raise DataError(path, f"{len(slices)} slices", "one slice a file in training and evaluation data")
    near = prepare(slices[0], config)
    return near, prepare(slices[0], config, REACH) if random else near


def prefetch(make: Callable[[int], object], count: int) -> Iterator[object]:
    """make(0), make(1), ..., made a few ahead in another thread (OpenCV and NumPy let the network run on)."""
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(make, step) for step in range(min(AHEAD, count))]
        for step in range(count):
            if step + AHEAD < count:
                waiting.append(pool.submit(make, step + AHEAD))
            yield waiting.pop(0).result()
