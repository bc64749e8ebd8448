"""An audit in words for a terminal: counts, leaks, duplicates, drift, the source probe."""

from typing import TYPE_CHECKING

import numpy as np

from core.audit import COUNTED, Audit
from core.drift import FACTORS, size_in_words
from core.duplicates import KINDS
from core.limits import clean_name
from core.source_probe import VIEWS

if TYPE_CHECKING:
    import pandas as pd

MOST_LISTED = 20
"""Pairs and files of each kind that are listed; --json has them all."""


def report(found: Audit) -> str:
    """The audit as text for a terminal, at most MOST_LISTED lines of a kind."""
    blocks = [
        _counts_text(found),
        _unread_text(found),
        _leaks_text(found),
        _duplicates_text(found),
        _drift_text(found),
        _probe_text(found),
    ]
    return "\n\n".join(block for block in blocks if block)


def _counts_text(found: Audit) -> str:
    table = found.table
    lines = [f"{len(table):,} images, {table['group'].nunique():,} groups, data {found.checksum[:12]}"]
    for by in COUNTED:
        counts = list(found.counts(by).items())
        shown = ", ".join(f"{clean_name(name)} {count:,}" for name, count in counts[:6])
        more = f", and {len(counts) - 6} more" if len(counts) > 6 else ""
        lines.append(f"  {by + ':':<8}{shown + more if counts else 'none given'}")
    right, of = found.class_from_source()
    if table["source"].nunique() > 1:
        lines.append(f"From the source alone, {right:,} of {of:,} labels would be guessed right.")
    return "\n".join(lines)


def _unread_text(found: Audit) -> str:
    unread = found.unread
    lines = [f"  {clean_name(row.path)}: {clean_name(row.error)}" for row in unread.itertuples()]
    return "\n".join([f"{len(unread)} could not be read:", *_first(lines)]) if lines else ""


def _leaks_text(found: Audit) -> str:
    if found.parts_from is None:
        return "Leaks: the data name no train and test part, so none could leak (a run's: --run RUN)."
    apart = f"; {found.without_part:,} images have no part, and were not looked at" if found.without_part else ""
    if not found.tested:
        return f"Leaks: all images with a part have the same ({found.parts_from}), so none could leak{apart}."
    if found.leaks.empty:
        return f"Leaks: none between the parts ({found.parts_from}){apart}."
    shares = ", ".join(f"{kind} {found.leaked(kind)}" for kind in KINDS if found.leaked(kind))
    images = found.leaks["second"].nunique()
    said = f"LEAKS: {images} images repeat one of an earlier part ({found.parts_from}), by kind: {shares}"
    lines = [f"{said}{apart}."]
    for kind in KINDS:
        lines += _pair_lines(found, found.leaks[found.leaks["kind"] == kind])
    return "\n".join(lines)


def _duplicates_text(found: Audit) -> str:
    pairs = found.duplicates
    if pairs.empty:
        return "Duplicates: none."
    same, near = pairs[pairs["kind"] == "sha256"], pairs[pairs["kind"] == "near"]
    apart = near[~near["same_group"]]
    lines = [
        f"Duplicates: {len(same)} further copies of a file; {len(near)} near pairs, {len(near) - len(apart)} of "
        f"them within one group; {len(found.clashes)} pairs with different labels."
    ]
    for part in (same, apart):
        lines += _pair_lines(found, part)
    clashes = _pair_lines(found, found.clashes)
    return "\n".join([*lines, *(["With different labels:"] if clashes else []), *clashes])


def _pair_lines(found: Audit, pairs: "pd.DataFrame") -> list[str]:
    def name(row: int) -> str:
        image = found.table.iloc[row]
        return clean_name(f"{image['source']}/{image['file']} ({image['label']})")

    lines = []
    for pair in pairs.itertuples():
        alike = "" if pair.kind == "sha256" or np.isnan(pair.similarity) else f" {pair.similarity:.2f}"
        lines.append(f"  {pair.kind}{alike}: {name(pair.first)} = {name(pair.second)}")
    return _first(lines)


def _first(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LISTED
    return lines if more <= 0 else [*lines[:MOST_LISTED], f"  and {more} more (--json lists all)"]


def _drift_text(found: Audit) -> str:
    if found.drift.empty:
        return ""
    lines = ["Drift, standardised differences with 95 % intervals, the largest of each kind:"]
    for factor in FACTORS:
        for row in found.drift[found.drift["factor"] == factor].head(5).itertuples():
            if np.isnan(row.value):
                said = row.note
            else:
                width = row.note if np.isnan(row.low) else f"{row.low:+.2f} to {row.high:+.2f}"
                said = f"{row.value:+.2f} ({width}), {size_in_words(row.value)}"
            n = f"n {row.n:,} and {row.reference_n:,}"
            level, reference = clean_name(row.level), clean_name(row.reference)
            lines.append(f"  {factor} {level} against {reference}, {row.property}: {said}; {n}")
    return "\n".join(lines)


def _probe_text(found: Audit) -> str:
    lines = []
    for one in found.probes:
        lines.append(f"Source probe, normal images {VIEWS[one.view]}: {clean_name(one.sentence())}")
        if one.balanced_accuracy.value is None:
            break  # the other view has the same images, so the same reason
    return "\n".join(lines)
