"""Curves of several runs in one figure: what is drawn, over what, and how smooth."""

import streamlit as st

from dashboard.comparison import charts, link, loaders, words
from dashboard.components import figure_title, plain
from dashboard.figure import figure

AXIS_WORDS = {"epoch": "Epoch", "step": "Step (batches)", "minutes": "Minutes since the start, pauses not counted"}
UNITS = {
    "loss": "Loss: cross-entropy, mean over the slices",
    "balanced_accuracy": "Balanced accuracy: mean sensitivity of the classes",
    "accuracy": "Accuracy: share of slices called correctly",
    "learning_rate": "Learning rate of the head at the start of each epoch",
    "images_per_second": "Images learned from in a second",
}


@st.fragment
def show() -> None:
    """The choice of runs and of what to draw, and the figure."""
    offer, choice = st.session_state[link.KEY].offer, link.choice()
    figure_title("How they learned", "Curves of up to five runs, from their history.csv", level=2)
    if not offer.with_curves:
        st.caption("No run has a history yet: curves appear after its first epoch.")
        return
    st.multiselect(
        "Runs",
        offer.with_curves,
        list(choice.runs),
        key=link.control("runs", list(choice.runs)),
        max_selections=link.MOST_CURVES,
        on_change=link.take,
        args=("runs",),
    )
    _controls(choice)
    if not choice.runs:
        st.caption("Choose a run to see its curves.")
        return
    table = loaders.lines(loaders.curves(choice.runs), choice.measure, choice.part, choice.x, choice.smoothing)
    if table.empty:
        st.caption(_nothing(choice))
        return
    _figure(table, choice)


def _controls(choice: link.Choice) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium", key="comparison-controls"):
        st.selectbox(
            "Measure",
            list(link.MEASURES),
            list(link.MEASURES).index(choice.measure),
            key=link.control("measure", choice.measure),
            format_func=link.MEASURES.get,
            on_change=link.take,
            args=("measure",),
            width=200,
        )
        for name, label, options in (("part", "Measured on", link.PARTS), ("x", "Along", link.AXES)):
            st.segmented_control(
                label,
                list(options),
                default=getattr(choice, name),
                key=link.control(name, getattr(choice, name)),
                format_func=options.get,
                required=True,
                on_change=link.take,
                args=(name,),
                disabled=name == "part" and choice.measure in ("learning_rate", "images_per_second"),
            )
        st.slider(
            "Smoothing",
            0.0,
            link.SMOOTHEST,
            choice.smoothing,
            step=0.05,
            key=link.control("smoothing", choice.smoothing),
            on_change=link.take,
            args=("smoothing",),
            width=220,
            help="Weight of the past in an exponential moving average, corrected for its start; 0 draws what was "
            "measured. The line as measured stays visible, pale.",
        )


def _nothing(choice: link.Choice) -> str:
    if choice.x == "minutes":
        return "These runs did not note how long their epochs took. Choose epoch or step."
    if choice.x == "step":
        return "The batch size of these runs is not known. Choose epoch or minutes."
    if choice.part == "validation":
        return "These runs kept no images for validation. Choose training."
    return "These runs did not measure this."


def _figure(table, choice: link.Choice) -> None:
    drawn = loaders.thinned(table)
    smoothed = choice.smoothing > 0
    parts = set(table["part"])
    missing = [name for name in choice.runs if name not in set(table["run"])]
    unvalidated = [
        name for name in choice.runs if set(table.loc[table["run"] == name, "part"]) == {"train"}
    ] if choice.part == "both" else []  # fmt: skip
    notes = [UNITS[choice.measure]]
    if parts == {"validation", "train"}:
        notes.append("solid: validation, dashed: training")
    elif "" not in parts:
        notes.append("validation" if parts == {"validation"} else "training")
    if smoothed:
        notes.append(f"pale: as measured; thick: smoothed, weight {choice.smoothing:.2f}, corrected for its start")
    if table["low"].notna().any():
        notes.append("band: 95 % interval of validation, bootstrap over groups, not smoothed")
    else:
        notes.append("no interval is stored with these epochs")
    if len(drawn) < len(table):
        notes.append(f"{len(drawn):,} of {len(table):,} points drawn, all peaks among them; the table has all")
    if unvalidated:
        notes.append(f"no validation images: {plain(', '.join(unvalidated))}")
    if missing:
        notes.append(f"not measured: {plain(', '.join(missing))}")
    sentence = words.best(table, choice.measure)
    figure(
        charts.curves(drawn, link.MEASURES[choice.measure], AXIS_WORDS[choice.x], smoothed),
        table.rename(columns={"x": choice.x}).loc[:, ~_repeated(table, choice.x)],
        sentence=sentence,
        note="; ".join(notes),
        alt_text=f"Lines of {link.MEASURES[choice.measure].lower()} by {choice.x} for "
        f"{', '.join(dict.fromkeys(table['run']))}. {sentence.replace(chr(92), '')}",
        name="run-curves",
    )
    names = list(dict.fromkeys(table["run"]))
    if max(map(len, names)) > charts.LONGEST_LABEL:
        with st.container(horizontal=True, gap="small", key="comparison-legend"):
            for name, glyph in zip(names, charts.GLYPHS, strict=False):
                st.caption(f"{glyph} {plain(name)}")


def _repeated(table, x: str):
    """Columns to leave out of the data: `epoch` where that is what x is already."""
    renamed = table.rename(columns={"x": x}).columns
    return renamed.duplicated()
