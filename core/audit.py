"""What is in data folders and what leaks: counts, duplicates, leaks between parts, drift, the source probe."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core import data, duplicates
from core.audit_images import FACTS, look
from core.drift import drift
from core.duplicates import KINDS, NEAR, PARTS
from core.errors import DataError, RunError
from core.runs import load_run
from core.source_probe import VIEWS, Probe, is_normal, probe

if TYPE_CHECKING:
    import pandas as pd

COUNTED = ("label", "source", "part", "size", "mode")
"""What images are counted by; size as in "512 x 512", mode with its file format."""

DEFINITIONS = {
    "sha256": "the files are the same, byte for byte",
    "group": "the files belong to one group (patient, series) by the manifest",
    "near": f"the fine detail of the two pictures correlates by {NEAR} or more (core.duplicates)",
    "similarity": "correlation of fine detail, 1 for identical files, null where the pictures do not look alike",
    "drift": "(mean - reference_mean) / s, s the root of the mean of both variances; 95 % interval by a bootstrap "
    "over groups",
    "class_from_source": "images whose label is the commonest label of their source: knowing the source alone, "
    "so many labels would be guessed right",
}


@dataclass(frozen=True, eq=False)
class Audit:
    """All that was found. Rows that `duplicates` and `leaks` name are rows of `table`, from 0.

    table       one row per image: the columns of core.data.load_table, `part` (train, validation, test or
                missing) and audit_images.FACTS
    checksum    of the data (core.data.checksum)
    parts_from  where `part` comes from: "folders", a run's name, or None where no image has one
    duplicates  pairs, columns duplicates.DUPLICATE_COLUMNS
    leaks       pairs of different parts, columns duplicates.LEAK_COLUMNS
    drift       columns drift.COLUMNS
    probes      the source probe in each of source_probe.VIEWS
    """

    table: "pd.DataFrame"
    checksum: str
    parts_from: str | None
    duplicates: "pd.DataFrame"
    leaks: "pd.DataFrame"
    drift: "pd.DataFrame"
    probes: tuple[Probe, ...]

    @property
    def clashes(self) -> "pd.DataFrame":
        """The duplicates whose labels differ."""
        return self.duplicates[~self.duplicates["same_label"]].reset_index(drop=True)

    @property
    def unread(self) -> "pd.DataFrame":
        """The images that could not be read, columns path, source, file, error."""
        rows = self.table[self.table["error"] != ""]
        return rows[["path", "source", "file", "error"]].reset_index(drop=True)

    @property
    def without_part(self) -> int:
        """Images that have no part: nothing is known of whether they leak."""
        return int(self.table["part"].isna().sum())

    @property
    def tested(self) -> tuple[str, ...]:
        """The parts that an earlier one could leak into; empty where all images with a part share one."""
        there = [part for part in PARTS if (self.table["part"] == part).any()]
        return tuple(there[1:])

    def counts(self, by: str) -> dict[str, int]:
        """Images by one of COUNTED, the commonest first; images without a value are not counted."""
        values = counted(self.table, by).value_counts()
        return {str(name): int(count) for name, count in sorted(values.items(), key=lambda item: -item[1])}

    def class_from_source(self) -> tuple[int, int]:
        """How many labels one would guess right from the source alone, and of how many images."""
        pairs = self.table.groupby("source")["label"].value_counts()
        return int(pairs.groupby(level="source").max().sum()), len(self.table)

    def leaked(self, kind: str) -> int:
        """Images of the later part (test before validation) that leak by `kind`, each counted once."""
        return int(self.leaks.loc[self.leaks["kind"] == kind, "second"].nunique())

    def to_json(self) -> dict[str, Any]:
        """Plain dict of everything, numbers, text or None; DEFINITIONS say what names mean."""
        named = self.table[["source", "file", "label", "part"]].astype(object)
        named = named.where(named.notna(), None).to_dict("records")
        right, of = self.class_from_source()
        return {
            "checksum": self.checksum,
            "images": len(self.table),
            "groups": int(self.table["group"].nunique()),
            "parts_from": self.parts_from,
            "without_part": self.without_part,
            "counts": {by: self.counts(by) for by in COUNTED},
            "class_from_source": {"right": right, "images": of},
            "unread": self.unread[["source", "file", "error"]].to_dict("records"),
            "leaks": _pairs_json(self.leaks, named),
            "leaking_images": {kind: self.leaked(kind) for kind in KINDS},
            "duplicates": _pairs_json(self.duplicates, named),
            "label_clashes": len(self.clashes),
            "drift": _without_nan(self.drift),
            "source_probe": [found.to_json() for found in self.probes],
            "definitions": DEFINITIONS,
        }


def audit(
    folders: Sequence[Path],
    run: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Audit:
    """Look at every image of the folders once, and compare all of them.

    run       where the parts come from, instead of the folders' own splits: the run's split.csv
    progress  called with (done, total) after each image

    A file that cannot be read is listed, and compared by its bytes and group only. Raises DataError for a
    folder or manifest that cannot be used, RunError for a run without a split.
    """
    return audit_table(data.load_table(folders), run, progress)


def audit_table(
    table: "pd.DataFrame",
    run: str | Path | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Audit:
    """As `audit`, for a table that core.data.load_table made."""
    parts, parts_from = _parts(table, run)
    looks = look(table["path"].tolist(), is_normal(table["label"]), progress)
    seen = table.drop(columns=[name for name in ("part", *FACTS) if name in table.columns])
    seen = seen.assign(part=parts, **{name: looks.facts[name].to_numpy() for name in FACTS})
    found = duplicates.duplicates(table, looks.small)
    readable = (seen["error"] == "").to_numpy()
    units = data.identity_units(table)
    return Audit(
        table=seen,
        checksum=data.checksum(table),
        parts_from=parts_from,
        duplicates=found,
        leaks=duplicates.leaks(table, parts, found),
        drift=drift(seen[readable].reset_index(drop=True), units[readable]),
        probes=tuple(probe(table, looks, view) for view in VIEWS),
    )


def counted(table: "pd.DataFrame", by: str) -> "pd.Series":
    """What an image is counted as, one text a row, missing where it has none; `by` is one of COUNTED."""
    import pandas as pd

    readable = table["error"] == ""
    if by == "size":
        sides = table.loc[readable, ["width", "height"]].astype(int).astype(str)
        return (sides["width"] + " x " + sides["height"]).reindex(table.index)
    if by == "mode":
        words = [f"{kind}, {mode}" for kind, mode in table.loc[readable, ["format", "mode"]].to_numpy()]
        return pd.Series(words, index=table.index[readable], dtype=object).reindex(table.index)
    return pd.Series(table[by], dtype=object)


def _parts(table: "pd.DataFrame", run: str | Path | None) -> tuple[np.ndarray, str | None]:
    """The part of each image, object (n,) of PARTS or None, and where it comes from."""
    import pandas as pd

    if run is None:
        parts = table["split"].astype(object).where(table["split"].notna(), None).to_numpy(dtype=object)
        return parts, "folders" if table["split"].notna().any() else None
    found = load_run(run)
    path = found.path / "split.csv"
    if not path.is_file():
        raise RunError(f"{found.name}: split.csv", "no such file", "one row per image of the run")
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise RunError(f"{found.name}: split.csv", "a file that cannot be read", "comma-separated text") from error
    absent = [name for name in ("file", "sha256", "part") if name not in rows.columns]
    if absent:
        raise RunError(f"{found.name}: split.csv", f"no column {absent[0]}", "the columns file, sha256, part")
    # By source where the folder is called as it was; else by file, unless two sources put that in two parts.
    parts = np.full(len(table), None, dtype=object)
    for keys in (["source", "file", "sha256"], ["file", "sha256"]):
        if not set(keys) <= set(rows.columns):
            continue
        known = rows.drop_duplicates([*keys, "part"]).drop_duplicates(keys, keep=False).set_index(keys)["part"]
        matched = known.reindex(pd.MultiIndex.from_frame(table[keys])).to_numpy(dtype=object)
        parts = np.where(pd.isna(parts), matched, parts)
    parts = np.array([part if part in PARTS else None for part in parts], dtype=object)
    if not any(parts):
        raise DataError(
            "data", f"none of the {len(rows)} images in the split of run {found.name}", "the run's data folders"
        )
    return parts, found.name


def _pairs_json(pairs: "pd.DataFrame", named: list[dict]) -> list[dict[str, Any]]:
    return [row | {"first": named[row["first"]], "second": named[row["second"]]} for row in _without_nan(pairs)]


def _without_nan(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Rows as dicts of plain values, None for what is missing."""
    plain = table.astype(object).where(table.notna(), None)
    return [
        {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}
        for row in plain.to_dict("records")
    ]
