"""A chart's look apart from its data, so that a moved slider sends data alone.

Altair checks a chart as it is built, which takes longer than drawing it; and Streamlit embeds a chart anew when
anything in its specification changes, the names of its tables included. A look is therefore built once for all
data that it fits, with tables by fixed names, and kept.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

KEPT_LOOKS = 64
Table = pd.DataFrame | Mapping[str, Sequence | np.ndarray]
"""Columns by name."""


class Drawing:
    """What `st.altair_chart` takes for a chart: a look, a Vega-Lite specification, and its tables by name."""

    def __init__(self, look: Mapping[str, Any], tables: Mapping[str, Table]) -> None:
        self._look = look
        self._tables = tables

    def to_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The specification with its data: as Arrow where Altair hands data on in it, else as JSON knows it."""
        write = _arrow if alt.data_transformers.active == "to_arrow_dataset" else _records
        return {**self._look, "datasets": {name: write(table) for name, table in self._tables.items()}}


def _records(table: Table) -> list[dict[str, Any]]:
    columns = {
        name: [None if value != value else value for value in np.asarray(table[name]).tolist()] for name in table
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _arrow(table: Table) -> bytes:
    """As Streamlit writes a frame, some ten times as fast for tables as small as these."""
    written = pa.table({name: np.asarray(table[name]) for name in table})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, written.schema) as writer:
        writer.write_table(written)
    return sink.getvalue().to_pybytes()


def table(name: str) -> alt.Chart:
    """A chart of the table of this name."""
    return alt.Chart(alt.NamedData(name=name))


PAPER = "#FEFDFC"
"""Stand-in for the page's own colour; app.css swaps it for that of the visitor's theme."""


def haloed(words: alt.Chart) -> list[alt.Chart]:
    """Words that can be read over lines and bars: below them the same words, drawn broad in the page's colour."""
    halo = words.copy(deep=True)
    for name, value in {"color": PAPER, "stroke": PAPER, "strokeWidth": 4, "strokeJoin": "round"}.items():
        setattr(halo.mark, name, value)
    halo.mark.aria = False
    return [halo, words]


def look(build: Callable[..., alt.LayerChart]) -> Callable[..., dict[str, Any]]:
    """Decorates what builds a chart of named tables from hashable arguments: each look is built once."""

    @lru_cache(maxsize=KEPT_LOOKS)
    @wraps(build)
    def built(*arguments: Any) -> dict[str, Any]:
        return build(*arguments).to_dict()

    return built
