"""How figures, tables and counts are written in a model card."""

from collections.abc import Iterable, Mapping
from typing import Any


def estimate(found: Mapping[str, Any], digits: int = 2) -> str:
    """As in "0.66 (0.60 to 0.72)"."""
    if found["value"] is None:
        return "not defined"
    if found["low"] is None:
        return f"{found['value']:.{digits}f} (no interval)"
    return f"{found['value']:.{digits}f} ({found['low']:.{digits}f} to {found['high']:.{digits}f})"


def share(found: Mapping[str, Any], of: str = "pictures") -> str:
    """As in "0.98 (0.94 to 0.99), 191 pictures"."""
    return f"{estimate(found)}, {found['slices']} {of}"


def table(rows: list[list[str]]) -> str:
    """A Markdown table, its first row the header; a bar inside a cell is escaped."""
    escaped = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [f"| {' | '.join(row)} |" for row in escaped]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def listed(words: Iterable[str]) -> str:
    """As in "a, b and c"."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
