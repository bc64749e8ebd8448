"""A figure as every page shows it: title, chart, text alternative, source; its picture and data to take away."""

import copy
import csv
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import altair as alt
import pandas as pd
import streamlit as st

from dashboard.components import figure_title, plain

ON_PAPER = {"#6e7b82": "#081219", "#75858f": "#9FADB5", "#fefdfc": "#FFFFFF"}
"""The theme's stand-in colours (INK, HATCH and PAPER in app.css) as they are printed, on white."""

STEADY = re.compile(r"[^\d:;.$£€]*")
"""What of a text alternative stays when values move: all before the first number."""

PIXELS_PER_POINT = 2
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a text for a formula (OWASP: ASVS 5.0, 1.2.10, and its page on CSV injection)."""


def figure(
    chart: alt.TopLevelMixin,
    table: pd.DataFrame,
    *,
    sentence: str,
    note: str,
    alt_text: str,
    name: str,
    source: str = "",
    level: int = 3,
    live: bool = False,
    **options: Any,
) -> Any:
    """Draw a chart under a sentence that says what is seen, with its downloads; what `st.altair_chart` returns.

    table     the data behind the chart, as a person would want them: offered as CSV and as a table to read
    sentence  Markdown; made from the data, never a bare "Cost over time"
    note      unit, population, what bands and whiskers are
    alt_text  kind of chart, what it shows, two or three values
    name      unique on the page; also the downloads' file name: lower case, hyphens
    source    one line under the figure
    live      it follows a slider: Streamlit embeds a chart anew when its `alt` changes, so the values are spoken
              by words beside it that are not seen, and `alt` holds what stays
    options   passed on to st.altair_chart: key, on_select, selection_mode, height
    """
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute", gap="small"):
        with st.container(width="stretch"):
            figure_title(sentence, note, level)
        downloads(name, table, lambda: chart)
    if live:
        with st.container(key=f"spoken-{name}"):
            st.markdown(plain(alt_text))
        alt_text = STEADY.match(alt_text)[0].rstrip(" ,.") + "; its values stand in the words before it"
    event = st.altair_chart(chart, width="stretch", alt=alt_text, **options)
    if source:
        st.caption(source)
    return event


def downloads(name: str, table: pd.DataFrame, chart: Callable[[], alt.TopLevelMixin] | None = None) -> None:
    """A closed popover with PNG, SVG and CSV and the table itself; nothing is made before it is opened."""
    menu = st.popover(
        "Save",
        icon=":material/download:",
        type="tertiary",
        width="content",
        help="Picture, data and table of this figure" if chart else "Data of this table",
        key=f"save-{name}",
        on_change="rerun",
    )
    if not menu.open:
        return
    with menu:
        with st.container(horizontal=True, gap="small"):
            if chart:
                for kind in ("png", "svg"):
                    st.download_button(
                        kind.upper(),
                        lambda kind=kind: picture(chart(), kind),
                        f"lunglens-{name}.{kind}",
                        {"png": "image/png", "svg": "image/svg+xml"}[kind],
                        key=f"save-{name}-{kind}",
                        on_click="ignore",
                    )
            st.download_button(
                "CSV",
                lambda: csv_bytes(table),
                f"lunglens-{name}.csv",
                "text/csv",
                key=f"save-{name}-csv",
                on_click="ignore",
            )
        if chart:
            st.dataframe(table, hide_index=True, height=min(320, 38 + 35 * len(table)), alt=f"Data of {name}")


def picture(chart: alt.TopLevelMixin, kind: str) -> bytes:
    """The chart as "png" or "svg", drawn for paper: on white, words in real ink."""
    import vl_convert

    spec = on_paper(chart.to_dict())
    if kind == "svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    return vl_convert.vegalite_to_png(spec, scale=PIXELS_PER_POINT)


def on_paper(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A Vega-Lite specification with the page's stand-in colours replaced by those of a white sheet."""
    printed = _recoloured(copy.deepcopy(dict(spec)))
    config = printed.setdefault("config", {})
    config |= {"background": "#FFFFFF", "font": "IBM Plex Sans, Source Sans Pro, sans-serif"}
    config["axis"] = {"labelColor": "#4A5A63", "titleColor": "#4A5A63", "gridColor": "#E4EAED"} | config.get(
        "axis", {}
    )
    if ("layer" in printed or "mark" in printed) and printed.get("width", "container") == "container":
        printed["width"] = 640
    printed.setdefault("padding", 16)
    return printed


def _recoloured(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _recoloured(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_recoloured(item) for item in value]
    return ON_PAPER.get(value.lower(), value) if isinstance(value, str) else value


def csv_bytes(table: pd.DataFrame, float_format: str | None = None) -> bytes:
    """The table as CSV in UTF-8, numbers to the last digit, no text that a spreadsheet would run as a formula."""
    safe = table.copy()
    for place in range(safe.shape[1]):
        if not pd.api.types.is_numeric_dtype(safe.dtypes.iloc[place]):
            safe.isetitem(place, safe.iloc[:, place].map(_inert))
    safe.columns = [_inert(str(column)) for column in safe.columns]
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, float_format=float_format, quoting=csv.QUOTE_MINIMAL)
    return buffer.getvalue().encode("utf-8")


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
