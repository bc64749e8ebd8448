"""Results for a reader or a program: aligned text with units, CSV, and JSON without NaN."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

MODEL_LINE = "Results of a model, not measurements; python -m market sources shows where its numbers come from."


ANY = "any"
"""The form of numbers of different sizes in one column: more digits for small ones."""
GIVEN = "given"
"""The form of inputs, as their sources give them: six significant figures."""


@dataclass(frozen=True)
class Column:
    """A column of a table as text: its header, how a number is written, and the column of its interval's ends.

    With `interval` "x", the ends are in the columns x_low and x_high.
    """

    header: str
    form: str = "{}"
    interval: str | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """A frame with a title; as text only `columns` {name: Column} are shown, and `rows` rows at most."""

    title: str
    frame: "pd.DataFrame"
    columns: Mapping[str, Column]
    rows: int | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """What a command found: facts about the run, tables by name (the first is the one for CSV), sentences."""

    facts: Mapping[str, Any]
    tables: Mapping[str, Table]
    sentences: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        parts = ["  ".join(f"{name} {value}" for name, value in self.facts.items() if value not in ("", {}, None))]
        parts += [
            f"{table.title}\n{table_text(table)}"
            for table in self.tables.values()
            if table.columns and len(table.frame)
        ]
        parts += ["\n".join(self.sentences)] if self.sentences else []
        return "\n\n".join([*parts, MODEL_LINE])

    def as_csv(self) -> str:
        table = next(iter(self.tables.values()))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(table.frame.columns)
        for row in table.frame.itertuples(index=False):
            writer.writerow("" if plain(value) is None else plain(value) for value in row)
        return out.getvalue().rstrip("\n")

    def as_json(self) -> str:
        content = {
            **self.facts,
            **{name: table.frame.to_dict("records") for name, table in self.tables.items()},
            **self.values,
            "sentences": list(self.sentences),
            "kind": MODEL_LINE,
        }
        return json.dumps(plain(content), indent=1, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The value in what JSON knows: NaN and infinity become None, NumPy numbers and arrays plain ones."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | bool | int) else _text_or_none(value)


def _text_or_none(value: Any) -> str | None:
    return None if value != value else str(value)  # pandas' own missing values are not equal to themselves


def cells(table: Table) -> tuple[list[list[str]], list[bool]]:
    """The table's header and shown rows as text, and which columns hold numbers; "-" where there is none."""
    shown = table.frame if table.rows is None else table.frame.head(table.rows)
    lines = [[column.header for column in table.columns.values()]]
    numeric = [False] * len(table.columns)
    for row in shown.to_dict("records"):
        line = []
        for i, (name, column) in enumerate(table.columns.items()):
            numeric[i] |= isinstance(row[name], int | float)
            text = written(row[name], column.form)
            if column.interval is not None and plain(row[f"{column.interval}_low"]) is not None:
                ends = (written(row[f"{column.interval}_{end}"], column.form) for end in ("low", "high"))
                text += " ({} to {})".format(*ends)
            line.append(text)
        lines.append(line)
    return lines, numeric


def table_text(table: Table) -> str:
    """Aligned columns: text to the left, numbers to the right."""
    found, numeric = cells(table)
    widths = [max(len(line[i]) for line in found) for i in range(len(found[0]))]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in found
    ]
    left_out = len(table.frame) - (len(found) - 1)
    return "\n".join(lines + ([f"... and {left_out} more rows (--csv, --json)"] if left_out else []))


def digits(value: float, figures: int = 6) -> str:
    """A number to so many significant figures, never as a power of ten where it is large: 12,760,000, 0.0204."""
    return f"{value:,.0f}" if abs(value) >= 10 ** (figures - 1) else f"{value:,.{figures}g}"


def written(value: Any, form: str) -> str:
    if plain(value) is None:
        return "never" if value == math.inf else "-"
    if form == GIVEN and not isinstance(value, str):
        return digits(value)
    if form == ANY:
        form = "{:,.2f}" if abs(value) >= 10 or value == 0 else "{:,.4f}"
    return value if isinstance(value, str) else form.format(value)
