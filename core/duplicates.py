"""Pictures that a data set holds twice, and those that stand on both sides of a split.

Files with the same bytes are found by sha256. Near duplicates (another compression, size, brightness or
contrast; neighbouring slices of one series) are found in two steps:

1. a difference hash of the small copy (which of two neighbouring pixels is brighter: Krawetz 2013, "Kind of
   Like That"), rows and columns, 512 bits; pairs that differ in more than HASH_LIMIT of them are passed over;
2. the correlation of their fine detail: each small copy less its own blur, inside a central ellipse. Lung
   slices of two patients look alike as a whole, and share table, rim and body outline, but not their vessels.

Pictures that were cropped, turned, mirrored or shifted by more than about a hundredth of their width are not
found.
"""

from itertools import combinations
from typing import TYPE_CHECKING

import cv2
import numpy as np

from core import data

if TYPE_CHECKING:
    import pandas as pd

NEAR = 0.7
"""Correlation of fine detail from which two pictures are called near duplicates.

Looked at by eye on 1,671 pictures of six public sets: the same radiograph saved anew with another contrast had
0.86 to 1.00, neighbouring slices of one series 0.5 to 0.9, and slices of different patients at most 0.6.
"""

HASH_LIMIT = 0.22
"""Share of the 512 bits of the difference hash in which a pair may differ and still be compared closely."""

HASH_SIDE = 16
BLUR = 2.0
"""Standard deviation, in pixels of the small copy, of the blur that is taken off to leave fine detail."""

ELLIPSE = (0.40, 0.38)
"""Half axes (across, down) of the ellipse that is compared, as shares of the picture's sides."""

FLAT = 0.5
"""Least standard deviation of fine detail, grey levels; below it a picture has nothing to compare by."""

BLOCK = 512
"""Pictures compared with all others in one step: bounded memory."""

PARTS = ("train", "validation", "test")
"""Parts that must share nothing, in the order in which a pair names them."""

DUPLICATE_COLUMNS = ("first", "second", "kind", "similarity", "same_group", "same_label")
LEAK_COLUMNS = ("first", "second", "kind", "similarity")
KINDS = ("sha256", "group", "near")
"""What two pictures share, the surest first: their bytes, their group, or their look."""


def duplicates(table: "pd.DataFrame", small: np.ndarray) -> "pd.DataFrame":
    """Pairs of images that are the same or nearly so; one row per pair, DUPLICATE_COLUMNS.

    small         uint8 (n, h, w), the small copies in the table's order; zero where there is none
    first, second rows of the table, int, first < second
    kind          "sha256": each further copy of a file with its first; "near": any two others
    similarity    correlation of fine detail, -1 to 1; 1 for identical files

    Surest first; among the near ones, pairs of different groups come before those of one group.
    """
    import pandas as pd

    copies = _copies(table["sha256"].to_numpy(dtype=object))
    first, second, similarity = near_pairs(small)
    shas = table["sha256"].to_numpy(dtype=object)
    other = shas[first] != shas[second]
    found = pd.DataFrame(
        {
            "first": np.concatenate([copies[:, 0], first[other]]),
            "second": np.concatenate([copies[:, 1], second[other]]),
            "kind": ["sha256"] * len(copies) + ["near"] * int(other.sum()),
            "similarity": np.concatenate([np.ones(len(copies)), similarity[other]]),
        }
    )
    for column in ("group", "label"):
        values = table[column].to_numpy(dtype=object)
        found[f"same_{column}"] = (values[found["first"]] == values[found["second"]]).astype(bool)
    place = found["kind"].map(KINDS.index).astype(int)
    order = np.lexsort((-found["similarity"], found["same_group"].astype(int), place))
    return found.iloc[order].reset_index(drop=True)[list(DUPLICATE_COLUMNS)]


def leaks(table: "pd.DataFrame", parts: np.ndarray, found: "pd.DataFrame") -> "pd.DataFrame":
    """Pairs of images of two different parts that share something; one row per pair, LEAK_COLUMNS.

    parts  (n,) one of PARTS, or None where an image has no part
    found  what `duplicates` gave for the table
    kind   the first of KINDS that holds; `similarity` is missing for a pair of a group that does not look alike

    `first` is of the earlier part in the order of PARTS. A near duplicate is a leak: the test is no new picture.
    """
    import pandas as pd

    looks = {(a, b): s for a, b, s in zip(found["first"], found["second"], found["similarity"], strict=True)}
    pairs: dict[tuple[int, int], tuple[str, float]] = {}
    for one, other in combinations(PARTS, 2):
        chosen = (parts == one) | (parts == other)
        # Rows stand in for paths: a folder and one inside it hold the same path twice.
        rows = {"path": np.flatnonzero(chosen), "split": np.where(parts[chosen] == one, *data.SPLITS)}
        for a, b, kind in data.leaks(table[chosen].assign(**rows)).itertuples(index=False, name=None):
            a, b = int(a), int(b)
            alike = 1.0 if kind == "sha256" else looks.get((min(a, b), max(a, b)), np.nan)
            pairs[a, b] = (kind, alike)
    for (a, b), alike in looks.items():
        if parts[a] in PARTS and parts[b] in PARTS and parts[a] != parts[b]:
            a, b = sorted((a, b), key=lambda row: PARTS.index(parts[row]))
            pairs.setdefault((a, b), ("near", alike))
    listed = [(a, b, kind, alike) for (a, b), (kind, alike) in pairs.items()]
    listed.sort(key=lambda pair: (KINDS.index(pair[2]), -np.nan_to_num(pair[3], nan=-2), pair[0], pair[1]))
    return pd.DataFrame(listed, columns=list(LEAK_COLUMNS))


def near_pairs(small: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Near duplicates among small copies uint8 (n, h, w): rows first < second, and their similarity >= NEAR."""
    if len(small) < 2:
        return np.empty(0, int), np.empty(0, int), np.empty(0)
    hashes, detail = _hashes(small), _detail(small)
    bits = hashes.shape[1]
    firsts, seconds, alike = [], [], []
    for start in range(0, len(small), BLOCK):
        # Of +1 and -1, a product of 512 less twice the number of bits that differ.
        product = hashes[start : start + BLOCK] @ hashes[start:].T
        a, b = np.nonzero(product >= bits * (1 - 2 * HASH_LIMIT))
        later = b > a
        a, b = a[later] + start, b[later] + start
        for step in range(0, len(a), 4 * BLOCK):
            one, other = a[step : step + 4 * BLOCK], b[step : step + 4 * BLOCK]
            value = np.einsum("ij,ij->i", detail[one], detail[other])
            near = value >= NEAR
            firsts.append(one[near])
            seconds.append(other[near])
            alike.append(value[near])
    values = np.minimum(np.concatenate(alike).astype(np.float64), 1.0) if alike else np.empty(0)
    if not firsts:
        return np.empty(0, int), np.empty(0, int), values
    return np.concatenate(firsts), np.concatenate(seconds), values


def _copies(shas: np.ndarray) -> np.ndarray:
    """Pairs of rows (m, 2): each further row of a sha256 with the first that has it."""
    first: dict[str, int] = {}
    pairs = [(first[sha], row) for row, sha in enumerate(shas) if first.setdefault(sha, row) != row]
    return np.array(pairs, dtype=int).reshape(-1, 2)


def _hashes(small: np.ndarray) -> np.ndarray:
    """Difference hashes, float32 (n, 2 * HASH_SIDE ** 2), each bit as +1 or -1."""
    side = HASH_SIDE
    bits = np.empty((len(small), 2 * side * side), np.float32)
    for row, picture in enumerate(small):
        wide = cv2.resize(picture, (side + 1, side), interpolation=cv2.INTER_AREA).astype(int)
        tall = cv2.resize(picture, (side, side + 1), interpolation=cv2.INTER_AREA).astype(int)
        bits[row, : side * side] = (np.diff(wide, axis=1) > 0).ravel()
        bits[row, side * side :] = (np.diff(tall, axis=0) > 0).ravel()
    return bits * 2 - 1


def _detail(small: np.ndarray) -> np.ndarray:
    """Fine detail inside the ellipse, float32 (n, pixels) of mean 0 and length 1; zero for flat pictures."""
    height, width = small.shape[1:]
    mask = np.zeros((height, width), np.uint8)
    axes = round(ELLIPSE[0] * width), round(ELLIPSE[1] * height)
    cv2.ellipse(mask, (width // 2, height // 2), axes, 0, 0, 360, 1, -1)
    inside = mask > 0
    detail = np.zeros((len(small), int(inside.sum())), np.float32)
    for row, picture in enumerate(small):
        grey = picture.astype(np.float32)
        fine = (grey - cv2.GaussianBlur(grey, (0, 0), BLUR))[inside]
        fine -= fine.mean()
        if fine.std() >= FLAT:
            detail[row] = fine / np.linalg.norm(fine)
    return detail
