"""The picture card of Classify: a slice through its window, its heat map, and the controls for both."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from core.labels import title
from core.overlay import HEAT_STARTS, display_grey, overlay
from dashboard import pictures
from dashboard.components import plain
from dashboard.loaders import FileRead, Reading
from dashboard.pictures import WINDOWS
from dashboard.state import control_key, held, keep, keep_held, kept

OWN = "Own"
CALLED = "called"
PRESETS = [item.name for item in WINDOWS] + [OWN]
CENTERS = (-1000, 1000)
WIDTHS = (50, 3000)

RAMP_CSS = "linear-gradient(90deg, #0A627000, #0A6270, #16928C, #78C48C, #F6F0A8)"
PLACES = (
    ("upper left", "top", "upper right"),
    ("left", "centre", "right"),
    ("lower left", "bottom", "lower right"),
)


@dataclass(frozen=True)
class View:
    """How a slice is to be shown: window in Hounsfield units, heat map of a class, its strength 0..1."""

    mode: str
    center: float
    width: float
    heat_label: str
    strength: float
    outline: bool


def picture_card(shown: FileRead, index: int) -> None:
    """The picture of `shown.readings[index]` and its controls."""
    reading = shown.readings[index]
    refused = reading.prediction.refused is not None
    top = st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", gap="xsmall"
    )
    picture = st.container(gap=None)
    with top:
        mode = (
            "Slice"
            if refused
            else st.segmented_control(
                "Show",
                ["Slice", "Heat map", "Both"],
                default="Heat map",
                required=True,
                key="view",
                label_visibility="collapsed",
                persist_state="session",
            )
        )
        center, width = window_control() if reading.unit == "hu" else (0.0, 255.0)
    if len(shown.readings) > 1:
        slice_slider(shown)
    heat_label, strength = heat_controls(reading) if mode != "Slice" else (reading.prediction.label, 0.0)
    outline = not refused and st.checkbox(
        "Outline the part that the model looked at", value=True, key="outline", persist_state="session"
    )
    view = View(mode, center, width, heat_label, strength, outline)
    with picture:
        draw(shown, index, view)
    if mode != "Slice" and not reading.heatmap(heat_label).max() > HEAT_STARTS:
        st.caption(f"Nothing in this slice spoke strongly for {title(heat_label)}, so its heat map is empty.")
    elif mode != "Slice":
        st.caption(
            f"The heat map shows what spoke for {title(heat_label)} in this model; it does not outline disease."
        )
    if reading.unit == "grey":
        st.caption("No window to set: this file holds display grey, not Hounsfield units.")


def window_control() -> tuple[float, float]:
    """Centre and width in Hounsfield units: a preset, or two sliders that turn the preset into "Own"."""
    lung = WINDOWS[0]
    name = kept("window", lung.name)
    center, width = kept("center", int(lung.center)), kept("width", int(lung.width))
    with st.popover(name, icon=":material/contrast:", help="Window: which Hounsfield units are shown"):
        st.segmented_control(
            "Window", PRESETS, default=name, required=True, key=control_key("window", name), on_change=_use_preset
        )
        for own, words, ends, value in (("center", "Centre", CENTERS, center), ("width", "Width", WIDTHS, width)):
            key = control_key(own, value)
            st.slider(f"{words}, HU", *ends, value, step=10, key=key, on_change=_use_own)
        st.caption("The window changes what you see, not what the model sees.")
    return float(center), float(width)


def _use_preset() -> None:
    keep_held("window")
    for item in WINDOWS:
        if item.name == held("window"):
            keep("center", int(item.center))
            keep("width", int(item.width))


def _use_own() -> None:
    keep("window", OWN)
    keep_held("center", "width")


def slice_name(key: str) -> str:
    """Name of the slice slider of one file (dashboard.state.kept); its value counts from 1."""
    return f"slice-{key}"


def current_index(shown: FileRead) -> int:
    """Which slice of a file is open, from 0; a series opens in its middle."""
    count = len(shown.readings)
    chosen = kept(slice_name(shown.key), count // 2 + 1)
    return min(max(chosen, 1), count) - 1


def slice_slider(shown: FileRead) -> None:
    """The slider through a series."""
    count, name, value = len(shown.readings), slice_name(shown.key), current_index(shown) + 1
    key = control_key(name, value)
    st.slider(f"Slice, 1 to {count}", 1, count, value, key=key, on_change=keep_held, args=(name,))


def heat_controls(reading: Reading) -> tuple[str, float]:
    """The class whose heat map is drawn, and its strength."""
    left, right = st.columns(2, wrap=False)
    called = reading.prediction.label
    options = [CALLED, *reading.prediction.probabilities]
    with left:
        chosen = st.selectbox(
            "Heat map of",
            options,
            key="heat_label",
            persist_state="session",
            format_func=lambda label: "Called class" if label == CALLED else title(label),
        )
    with right:
        strength = st.slider(
            "Heat map strength", 0.0, 1.0, value=0.6, step=0.05, key="strength", persist_state="session"
        )
    return called if chosen == CALLED else chosen, strength


def draw(shown: FileRead, index: int, view: View) -> None:
    """The picture itself (two side by side for "Both") and the line of words under it."""
    reading = shown.readings[index]
    grey = display_grey(reading.pixels(), reading.unit, view.center, view.width)
    heat = reading.heatmap(view.heat_label) if view.mode != "Slice" else None
    what = f"{'Synthetic CT slice' if shown.sample else 'CT slice'} {index + 1} of {len(shown.readings)}"
    plain_picture = pictures.enlarged(grey)
    drawn = []
    if view.mode != "Heat map":
        drawn.append((plain_picture, what))
    if heat is not None:
        words = f"{what} with heat map for {title(view.heat_label)}, strongest {place_of_peak(heat)}"
        drawn.append((overlay(plain_picture, pictures.enlarged(heat), view.strength), words))
    columns = st.columns(len(drawn), gap="xsmall")
    for column, (picture, words) in zip(columns, drawn, strict=True):
        if view.outline:
            picture = pictures.outlined(picture, reading.prediction.box, reading.shape)
        column.image(pictures.png(picture), width="stretch", alt=words)
    st.html(_strip(reading, view))


def _strip(reading: Reading, view: View) -> str:
    """Window at the left, ramp of the heat map at the right."""
    left = (
        f"W {view.width:.0f} L {view.center:.0f} HU".replace("-", "−") if reading.unit == "hu" else "Display grey"
    )
    ramp = ""
    if view.mode != "Slice":
        ramp = f'<span>less <i style="background:{RAMP_CSS}"></i> more</span>'
    return f'<div class="picture-strip"><span>{left}</span>{ramp}</div>'


def place_of_peak(heat: np.ndarray) -> str:
    """Where in the picture the heat is strongest, in words, as in "at the lower left"."""
    if heat.max() <= 0:
        return "nowhere"
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    where = (min(2, 3 * int(row) // heat.shape[0]), min(2, 3 * int(column) // heat.shape[1]))
    return f"at the {PLACES[where[0]][where[1]]}"


def facts(reading: Reading) -> list[tuple[str, str]]:
    """What was read, in words: (name, value) rows."""
    height, width = reading.shape
    box = reading.prediction.box
    share = box.height * box.width / (height * width)
    rows = [
        ("Values", "Hounsfield units" if reading.unit == "hu" else "display grey"),
        ("Size", f"{width} × {height} pixels"),
        (
            "Pixel spacing",
            f"{reading.spacing[1]:.2f} × {reading.spacing[0]:.2f} mm" if reading.spacing else "not known",
        ),
        ("The model looked at", f"{box.width} × {box.height} pixels, {100 * share:.0f} % of the picture"),
    ]
    if reading.position is not None:
        rows.insert(3, ("Position", f"{reading.position:.1f} mm".replace("-", "−")))
    return rows


def place_words(shown: FileRead, index: int) -> str:
    """As in "series.zip, slice 14 of 32, synthetic, drawn as pneumonia", in Markdown."""
    parts = [plain(shown.name)]
    if len(shown.readings) > 1:
        parts.append(f"slice {index + 1} of {len(shown.readings)}")
    if shown.sample:
        drawn = "with" if len(shown.readings) > 1 else "as"
        parts += ["synthetic", f"drawn {drawn} {title(shown.sample.label).lower()}"]
    return ", ".join(parts)
