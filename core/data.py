"""Data folders -> one table of labelled images, its checksum, and splits that never separate a group."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import numpy as np

from core.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

MANIFEST = "manifest.csv"

REQUIRED_COLUMNS = ("file", "label", "group")
"""What every manifest must have; `split` and `sha256` are read and checked where they are present."""

TABLE_COLUMNS = ("path", "file", "label", "group", "source", "split", "sha256")
"""The columns that every table has, in this order; a manifest's further columns follow."""

FILE_FACTS = ("width", "height", "bytes", "repo", "commit", "repo_path")
"""Manifest columns on a file's origin and size: left out, no result is sliced by them."""

SPLITS = ("train", "test")

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".dcm")
"""Files of the layout train/<class>, test/<class> with another suffix, or a leading dot, are passed over."""

EXPECTED_FOLDER = "a folder with manifest.csv (file,label,group) or with train/<class> and test/<class>"


def load_table(folders: Sequence[Path]) -> "pd.DataFrame":
    """The images of one or more data folders; one row per image, in the order of folders and manifests.

    path    the file as text, its folder as given joined to `file`
    file    relative to its folder, with forward slashes
    label   as in the manifest, or the class folder's name
    group   finest known identity, prefixed by the source: `mosmed/mm0807`; in the layout train/<class>,
            test/<class> without a manifest, the sha256, so that byte-identical copies share a group
    source  the folder's name, with as many of its parents' names as it takes to be unique
    split   "train", "test" or missing
    sha256  of the file's bytes, computed

    Every further column of a manifest follows as text, missing where a folder lacks it or leaves it empty;
    FILE_FACTS are left out, and one named `path` or `source` becomes `manifest_path`, `manifest_source`.
    A manifest wins over the layout around it. Raises DataError naming the folder, file or column.
    """
    import pandas as pd

    folders = [Path(folder) for folder in folders]
    if not folders:
        raise DataError("data", "no folder", EXPECTED_FOLDER)
    rows = [
        row
        for folder, source in zip(folders, _source_names(folders), strict=True)
        for row in _folder_rows(folder, source)
    ]
    for row in rows:
        if not row["path"].isascii() and row["path"].encode(errors="replace").decode() != row["path"]:
            raise DataError(ascii(row["file"]), "a file name that is not UTF-8", "a name in UTF-8: rename the file")
    columns = dict.fromkeys(TABLE_COLUMNS) | dict.fromkeys(name for row in rows for name in row)
    return pd.DataFrame(rows, columns=list(columns), dtype="str")


def checksum(table: "pd.DataFrame") -> str:
    """sha256 over the sorted (source, file, sha256, label) of every row: which data a run was trained on."""
    rows = sorted(zip(*(table[name].tolist() for name in ("source", "file", "sha256", "label")), strict=True))
    return hashlib.sha256(json.dumps(rows, ensure_ascii=False).encode()).hexdigest()


def leaks(table: "pd.DataFrame") -> "pd.DataFrame":
    """Images of the train split that the test split repeats; one row per pair of a train and a test image.

    Columns: train, test (paths), shared: "sha256" where the bytes are identical, else "group".
    """
    import pandas as pd

    train, test = (table.loc[table["split"] == name, ["path", "group", "sha256"]] for name in SPLITS)
    pairs = [
        train.merge(test, on=shared, suffixes=("_train", "_test"))
        .rename(columns={"path_train": "train", "path_test": "test"})[["train", "test"]]
        .assign(shared=shared)
        for shared in ("sha256", "group")
    ]
    return pd.concat(pairs, ignore_index=True).drop_duplicates(["train", "test"], ignore_index=True)


def grouped_folds(table: "pd.DataFrame", n_folds: int, seed: int) -> np.ndarray:
    """Fold index of every row, int (n,): no group, and no two identical files, in different folds.

    Stratified by label, and by source where a label of that source has at least `n_folds` groups.
    The same for a seed whatever the order of rows. DataError where a label has fewer groups than folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    if n_folds < 2:
        raise DataError("folds", str(n_folds), "at least 2")
    order = _canonical_order(table)
    labels, sources = (table[name].to_numpy(dtype=object)[order] for name in ("label", "source"))
    units = identity_units(table)[order]
    for label, count in sorted(_units_per(labels, units).items()):
        if count < n_folds:
            raise DataError(f"label {label}", f"{count} groups", f"at least {n_folds}, one a fold")
    codes = _strata(labels, sources, units, n_folds)
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
    folds = np.empty(len(table), dtype=np.int64)
    for fold, (_, held_out) in enumerate(splitter.split(codes, codes, _rank_by_appearance(units))):
        folds[order[held_out]] = fold
    return folds


def holdout(table: "pd.DataFrame", fraction: float, seed: int) -> np.ndarray:
    """Validation mask, bool (n,): about `fraction` of each label's images, by whole groups.

    The groups of a label are lined up source by source, shuffled within, and taken at even steps, so that
    each source gives its share. A label with two groups or more is on both sides where that is possible.
    The same for a seed whatever the order of rows. DataError where there are fewer than two groups.
    """
    if not 0 < fraction < 1:
        raise DataError("validation fraction", f"{fraction:g}", "more than 0 and less than 1")
    order = _canonical_order(table)
    units = _rank_by_appearance(identity_units(table)[order])
    n_units = int(units.max(initial=-1)) + 1
    if n_units < 2:
        raise DataError("data", f"{n_units} groups", "at least 2, one to train on and one to validate on")
    labels, sources = (table[name].to_numpy(dtype=object)[order] for name in ("label", "source"))
    members: list[list[tuple[str, str]]] = [[] for _ in range(n_units)]
    for unit, label, source in zip(units, labels, sources, strict=True):
        members[unit].append((label, source))
    rng = np.random.default_rng(seed)
    strata = [min(set(member), key=lambda key, m=member: (-m.count(key), key)) for member in members]
    taken = np.zeros(n_units, dtype=bool)
    for label in sorted({label for label, _ in strata}):
        line = _line_up([unit for unit in range(n_units) if strata[unit][0] == label], strata, rng)
        seen = chosen = 0
        for unit in line:
            seen += len(members[unit])
            if fraction * seen - chosen >= len(members[unit]) / 2:
                taken[unit] = True
                chosen += len(members[unit])
    _put_every_label_on_both_sides(taken, members)
    mask = np.zeros(len(table), dtype=bool)
    mask[order] = taken[units]
    return mask


def identity_units(table: "pd.DataFrame") -> np.ndarray:
    """Which rows belong together, int (n,): those sharing a group or a sha256, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    groups = np.unique(table["group"].to_numpy(dtype=object), return_inverse=True)[1]
    files = np.unique(table["sha256"].to_numpy(dtype=object), return_inverse=True)[1]
    n_groups = int(groups.max(initial=-1)) + 1
    n_nodes = n_groups + int(files.max(initial=-1)) + 1
    if not n_nodes:
        return groups
    edges = coo_array((np.ones(len(table), dtype=bool), (groups, n_groups + files)), shape=(n_nodes, n_nodes))
    return connected_components(edges, directed=False)[1][groups]


def _source_names(folders: list[Path]) -> list[str]:
    """One name a folder: its last path part, lengthened by parents where two folders would share it."""
    parts = [folder.resolve().parts[1:] for folder in folders]
    repeated = [folder for folder, count in Counter(parts).items() if count > 1]
    if repeated:
        raise DataError(repeated[0][-1] if repeated[0] else "/", "the same folder twice", "each folder once")
    names = []
    for own in parts:
        rivals = [other for other in parts if other != own and other[-1:] == own[-1:]]
        depth = 1
        while any(other[-depth:] == own[-depth:] for other in rivals):
            depth += 1
        names.append("/".join(own[-depth:]))
    return names


def _folder_rows(folder: Path, source: str) -> list[dict]:
    if not folder.is_dir():
        raise DataError(str(folder), "a file" if folder.exists() else "nothing there", EXPECTED_FOLDER)
    if (folder / MANIFEST).is_file():
        rows = _manifest_rows(folder)
    elif any((folder / split).is_dir() for split in SPLITS):
        rows = _layout_rows(folder)
    else:
        found = "neither manifest.csv nor train/" if any(folder.iterdir()) else "an empty folder"
        raise DataError(str(folder), found, EXPECTED_FOLDER)
    missing = [row["file"] for row in rows if not (folder / row["file"]).is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(str(folder / missing[0]), f"no such file{more}", f"every file that {MANIFEST} lists")
    for row in rows:
        path = folder / row["file"]
        stated, row["sha256"] = row.get("sha256"), _sha256(path)
        if stated and stated.lower() != row["sha256"]:
            raise DataError(str(path), f"sha256 {row['sha256']}", f"{stated}, as {MANIFEST} states")
        row |= {"path": str(path), "source": source, "group": f"{source}/{row.get('group') or row['sha256']}"}
    return rows


def _manifest_rows(folder: Path) -> list[dict]:
    """One dict a line of manifest.csv: its columns, checked; further ones renamed or left out."""
    manifest = folder / MANIFEST
    header, lines = _read_csv(manifest)
    absent = [name for name in REQUIRED_COLUMNS if name not in header]
    if absent:
        found = f"no column {', '.join(absent)}"
        raise DataError(str(manifest), found, "the columns " + ", ".join(REQUIRED_COLUMNS))
    names = {name: f"manifest_{name}" if name in ("path", "source") else name for name in header}
    names = {name: kept for name, kept in names.items() if name not in FILE_FACTS}
    repeated = [name for name, count in Counter(names.values()).items() if count > 1]
    if repeated or len(set(header)) < len(header):
        raise DataError(str(manifest), f"columns {', '.join(header)}", "every column name once")
    if not lines:
        raise DataError(str(manifest), "no rows", "one row an image")
    rows = []
    seen: dict[str, int] = {}
    for number, line in lines:
        row = {kept: line[name] or None for name, kept in names.items()}
        where = f"{manifest}, line {number}"
        row["file"] = _inside_file(line["file"], where)
        for name in ("label", "group"):
            if not line[name] or line[name] != line[name].strip():
                raise DataError(where, f"{name} {line[name]!r}", f"a {name} without spaces around it")
        if row.get("split") not in (*SPLITS, None):
            raise DataError(where, f"split {row['split']!r}", "train, test or nothing")
        if row["file"] in seen:
            raise DataError(where, f"{row['file']} again, as on line {seen[row['file']]}", "every file once")
        seen[row["file"]] = number
        rows.append(row)
    return rows


def _read_csv(path: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Header and (line number, values by column) of a comma-separated file in UTF-8."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            header = list(reader.fieldnames or ())
            lines = [(reader.line_num, line) for line in reader]
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        found = f"a file that cannot be read ({error})"
        raise DataError(str(path), found, "comma-separated text in UTF-8") from error
    for number, line in lines:
        if None in line or None in line.values():
            found = f"{'more' if None in line else 'fewer'} values than columns"
            raise DataError(f"{path}, line {number}", found, f"{len(header)} values")
    return header, lines


def _inside_file(name: str, where: str) -> str:
    """A manifest's file name, normalised; DataError if it is empty, absolute or leaves the folder."""
    path = PurePosixPath(name)
    leaves = ".." in path.parts or "\\" in name or path.is_absolute() or PureWindowsPath(name).drive
    if not path.parts or leaves or "\0" in name:
        raise DataError(where, f"file {name!r}", "a path inside the folder, with forward slashes")
    return path.as_posix()


def _layout_rows(folder: Path) -> list[dict]:
    """One dict an image of train/<class>/... and test/<class>/..., classes and files sorted."""
    rows = []
    classes: dict[str, list[str]] = {}
    for split in SPLITS:
        if not (folder / split).is_dir():
            continue
        classes[split] = sorted(entry.name for entry in (folder / split).iterdir() if _is_class_folder(entry))
        if not classes[split]:
            raise DataError(str(folder / split), "no class folder", "one folder a class")
        for label in classes[split]:
            files = sorted(path.relative_to(folder).as_posix() for path in _images(folder / split / label))
            if not files:
                expected = f"files ending in {', '.join(IMAGE_SUFFIXES)}"
                raise DataError(str(folder / split / label), "no image", expected)
            rows += [{"file": file, "label": label, "split": split} for file in files]
    unknown = sorted(set(classes.get("test", ())) - set(classes.get("train", classes.get("test", ()))))
    if unknown:
        expected = ", ".join(classes["train"])
        raise DataError(str(folder / "test" / unknown[0]), "a class that train lacks", expected)
    return rows


def _is_class_folder(entry: Path) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")


def _images(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()
    ]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror})"
        raise DataError(str(path), found, "a readable file") from error


def _canonical_order(table: "pd.DataFrame") -> np.ndarray:
    """Row positions sorted by source and file, so that a split does not depend on the order of rows."""
    names = table[["source", "file"]].reset_index(drop=True)
    return names.sort_values(["source", "file"], kind="stable").index.to_numpy()


def _rank_by_appearance(units: np.ndarray) -> np.ndarray:
    """The same partition, numbered 0, 1, ... in order of first appearance."""
    ranks: dict[int, int] = {}
    return np.array([ranks.setdefault(unit, len(ranks)) for unit in units.tolist()], dtype=np.int64)


def _units_per(keys: Sequence, units: np.ndarray) -> Counter:
    """How many different units each key occurs in."""
    return Counter(key for key, _ in set(zip(keys, units.tolist(), strict=True)))


def _strata(labels: np.ndarray, sources: np.ndarray, units: np.ndarray, n_folds: int) -> np.ndarray:
    """Code of each row's label and source, int (n,); a label's small sources share a code, or a big one's."""
    n_units = _units_per(list(zip(labels, sources, strict=True)), units)
    codes: dict[tuple[str, str], int] = {}
    for label in sorted({label for label, _ in n_units}):
        own = sorted((key for key in n_units if key[0] == label), key=lambda key: (-n_units[key], key))
        big = [key for key in own if n_units[key] >= n_folds]
        small = [key for key in own if n_units[key] < n_folds]
        for key in big:
            codes[key] = len(codes)
        shared = codes[big[-1]] if big and sum(n_units[key] for key in small) < n_folds else len(codes)
        codes |= dict.fromkeys(small, shared)
    return np.array([codes[key] for key in zip(labels, sources, strict=True)])


def _line_up(line: list[int], strata: list[tuple[str, str]], rng: np.random.Generator) -> list[int]:
    """Units ordered by source, the sources and the units within each in random order."""
    sources = sorted({strata[unit][1] for unit in line})
    return [
        unit
        for source in rng.permutation(sources).tolist()
        for unit in rng.permutation([unit for unit in line if strata[unit][1] == source]).tolist()
    ]


def _put_every_label_on_both_sides(taken: np.ndarray, members: list[list[tuple[str, str]]]) -> None:
    """Moves, in `taken`, the smallest unit of a label that one side lacks, if the other keeps its own."""
    labels_of = [{label for label, _ in member} for member in members]
    for label in sorted(set.union(*labels_of)):
        for side in (True, False):
            if any(label in labels_of[unit] for unit in np.flatnonzero(taken == side)):
                continue
            across = Counter(name for unit in np.flatnonzero(taken != side) for name in labels_of[unit])
            movable = [
                unit
                for unit in np.flatnonzero(taken != side)
                if label in labels_of[unit] and all(across[name] > 1 for name in labels_of[unit])
            ]
            if movable:
                taken[min(movable, key=lambda unit: (len(members[unit]), unit))] = side
