"""A training as it goes: state, time left, curves, queue, messages; the same for everyone who looks."""

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.errors import LungLensError
from core.jobs import Status
from dashboard.components import estimate_metric, plain
from dashboard.figure import downloads, figure
from dashboard.training import charts, loaders
from dashboard.training.choices import WATCH
from dashboard.training.preview import duration

BADGES = {
    "queued": ("Queued", "schedule", "gray"),
    "preparing": ("Preparing", "hourglass_top", "primary"),
    "training": ("Training", "model_training", "primary"),
    "finishing": ("Finishing", "hourglass_bottom", "primary"),
    "finished": ("Finished", "check_circle", "gray"),
    "stopped": ("Stopped", "stop_circle", "gray"),
    "failed": ("Failed", "error", "red"),
    "died": ("Died", "heart_broken", "red"),
}
RESUME = "Resume goes on from there and ends with the weights of a run that was never stopped."
TITLES = {"loss": "Loss", "accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy"}
NO_INTERVAL = "no interval: none was kept, or all groups of a class were called alike"
SEEN = "train-seen"
FAILED = "train-failed"
MOST_POINTS = 300
"""Points between epochs that are drawn: more than a small chart has pixels for would only cost time."""


def names() -> list[str]:
    """All that can be watched: trainings by their turn, then finished runs."""
    known = [status.name for status in loaders.trainings()]
    return known + [name for name in loaders.finished_runs() if name not in known]


def said(status: Status) -> str:
    """What a training is doing, or how it ended, in a sentence or two of Markdown."""
    after = f"after epoch {status.epoch} of {status.epochs}" if status.epoch else "before its first epoch ended"
    if status.state == "queued":
        if not status.ahead:
            return "Starting."
        others = f"{status.ahead} training{'s' if status.ahead > 1 else ''} before it"
        return f"One trains at a time on this machine; {others}. It starts by itself."
    if status.state == "preparing":
        return f"Reading images: {status.images:,} of {status.of_images:,}." if status.of_images else "Starting."
    if status.state == "training":
        left = f" About {duration(status.seconds_left)} left." if status.seconds_left is not None else ""
        now = min(status.epoch + 1, status.epochs)
        return f"Epoch {now} of {status.epochs}, batch {status.step} of {status.steps}.{left}"
    if status.state == "finishing":
        return "All epochs are done. Testing it on its validation images and writing the model."
    if status.state == "stopped":
        return f"Stopped {after}. {RESUME if status.epoch else ''}"
    if status.state == "failed":
        return f"It ended {after}: {plain(status.error)}"
    if status.state == "died":
        safe = (
            f"The weights of epoch {status.epoch} are safe. {RESUME}" if status.epoch else "Resume starts it anew."
        )
        return (
            f"Its process was ended from outside {after}: killed, out of memory, or the machine went down. {safe}"
        )
    return "Finished."


def progress(status: Status) -> tuple[float, str] | None:
    """How far a training has come, 0 to 1, and in words; None while there is nothing to count."""
    if status.state == "preparing" and status.of_images:
        done = status.images / status.of_images
        return done, f"{100 * done:.0f} % of the images"
    if status.state not in ("training", "finishing") or not status.epochs:
        return None
    part = status.step / status.steps if status.state == "training" and status.steps else 0.0
    done = 1.0 if status.state == "finishing" else min(1.0, (status.epoch + part) / status.epochs)
    return done, f"{100 * done:.0f} % of {status.epochs} epochs"


def head(name: str, status: Status | None) -> None:
    """Name, state and what is going on, with Stop or Resume."""
    label, icon, colour = BADGES[status.state if status else "finished"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge("Stopping" if status and status.stopping else label, icon=f":material/{icon}:", color=colour)
        st.markdown(f"**{plain(name)}**", width="stretch")
        if status and status.active:
            st.button(
                "Stop training",
                icon=":material/stop:",
                key="stop",
                on_click=loaders.stop,
                args=(name,),
                disabled=status.stopping or bool(loaders.why_not()),
                help="What it learned since its last whole epoch is lost; it can be resumed",
            )
        elif status and status.resumable:
            st.button(
                "Resume",
                icon=":material/resume:",
                key="resume",
                on_click=_resume,
                args=(name,),
                disabled=bool(loaders.why_not()),
            )
    if status is None or status.state == "finished":
        return
    if status.state in ("failed", "died"):
        st.error(said(status), icon=":material/error:")
    else:
        st.markdown(said(status))
    done = progress(status)
    if done:
        st.progress(done[0], text=done[1])


def _resume(name: str) -> None:
    try:
        loaders.resume(name)
    except LungLensError as error:
        st.session_state[FAILED] = error


def numbers(status: Status | None, epochs: pd.DataFrame, config: dict[str, Any]) -> None:
    """The last epoch in figures: accuracies with intervals, loss, speed."""
    last = epochs.iloc[-1] if len(epochs) else pd.Series(dtype=float)
    part = "validation" if "validation_loss" in epochs else "train"
    under = counted(config, part)
    with st.grid(4, min_column_width=140, gap="medium"):
        for column, label in (("balanced_accuracy", "Balanced accuracy"), ("accuracy", "Accuracy")):
            with st.container(gap="xsmall"):
                estimate_metric(label, _estimate(last, f"{part}_{column}"), under)
        with st.container(gap="xsmall"):
            loss = last.get(f"{part}_loss")
            st.metric("Loss", "–" if loss is None else f"{loss:.3f}")
            st.caption(under if loss is not None else "no epoch yet")
        speed = status.images_per_second if status and status.state == "training" else last.get("images_per_second")
        with st.container(gap="xsmall"):
            st.metric(
                "Images per second", "–" if speed is None else f"{speed:.0f}" if speed >= 10 else f"{speed:.1f}"
            )
            st.caption("now" if status and status.state == "training" else "last epoch")


def counted(config: dict[str, Any], part: str) -> str:
    """As in "268 validation images, 250 groups"."""
    rows = [row for row in (config.get("data") or {}).get("counts", []) if row["part"] == part]
    if not rows:
        return ""
    images, groups = (sum(row[name] for row in rows) for name in ("images", "groups"))
    words = "validation" if part == "validation" else "training"
    return f"{images:,} {words} images, {groups:,} groups"


def _estimate(last: pd.Series, name: str) -> dict[str, Any] | None:
    if name not in last or pd.isna(last[name]):
        return None
    ends = {end: last.get(f"{name}_{end}") for end in ("low", "high")}
    ends = {end: None if value is None or pd.isna(value) else value for end, value in ends.items()}
    note = NO_INTERVAL if ends["low"] is None else None
    return {"value": last[name], **ends, "note": note}


def curve_table(epochs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """One row per part and epoch: part, epoch, minutes, value, low, high."""
    parts = []
    for part in loaders.PARTS:
        column = f"{part}_{measure}"
        if column in epochs:
            own = epochs[["epoch", "minutes"]].assign(part=part, value=epochs[column])
            for end in ("low", "high"):
                own[end] = epochs.get(f"{column}_{end}", np.nan)
            parts.append(own)
    columns = ["epoch", "minutes", "part", "value", "low", "high"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def between(steps: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Steps with `minutes` on the epochs' own clock, at most MOST_POINTS of them."""
    if steps.empty:
        return steps.assign(minutes=[])
    thinned = steps.iloc[np.unique(np.linspace(0, len(steps) - 1, MOST_POINTS).astype(int))]
    ends, minutes = np.r_[0.0, epochs["epoch"]], np.r_[0.0, epochs["minutes"]]
    pace = minutes[-1] / ends[-1] if len(epochs) else float("nan")
    at = thinned["epoch"].to_numpy()
    own = np.where(at <= ends[-1], np.interp(at, ends, minutes), minutes[-1] + (at - ends[-1]) * pace)
    if not len(epochs):
        own = thinned["seconds"].to_numpy() / 60
    return thinned.assign(minutes=own)


def curves(name: str, epochs: pd.DataFrame, axis: str) -> None:
    """Loss, accuracy, balanced accuracy, learning rate and speed over epochs or minutes."""
    raw = between(loaders.steps(name), epochs)
    with st.grid(3, min_column_width=260, gap="medium"):
        for measure in loaders.CURVES:
            table = curve_table(epochs, measure)
            with st.container():
                figure(
                    charts.curve(
                        table,
                        axis,
                        TITLES[measure],
                        raw.rename(columns={"loss": "value"}) if measure == "loss" else None,
                        share=measure != "loss",
                    ),
                    table,
                    sentence=curve_sentence(table, measure),
                    note=curve_note(table, measure),
                    alt_text=alt_text(table, measure),
                    name=f"train-{measure.replace('_', '-')}",
                )
        for column, words, unit in (
            ("learning_rate", "Learning rate", "of the head, at each epoch's start"),
            ("images_per_second", "Speed", "images per second, mean of each epoch"),
        ):
            if column in epochs:
                own = epochs[["epoch", "minutes"]].assign(part="train", value=epochs[column])
                last = f"{own['value'].iloc[-1]:.3g}"
                with st.container():
                    figure(
                        charts.curve(own, axis, words),
                        own.drop(columns="part"),
                        sentence=f"{words} {last} in epoch {own['epoch'].iloc[-1]:.0f}",
                        note=unit,
                        alt_text=f"Line of the {words.lower()} over {len(own)} epochs, last {last}",
                        name=f"train-{column.replace('_', '-')}",
                    )


def curve_sentence(table: pd.DataFrame, measure: str) -> str:
    """What the newest point says, and where validation was best."""
    own = table[table["part"] == "validation"]
    own = own if len(own) else table
    best = own.loc[own["value"].idxmin() if measure == "loss" else own["value"].idxmax()]
    words = "lowest" if measure == "loss" else "best"
    return (
        f"{TITLES[measure]} {own['value'].iloc[-1]:.2f}, {words} {best['value']:.2f} in epoch {best['epoch']:.0f}"
    )


def curve_note(table: pd.DataFrame, measure: str) -> str:
    """Which images, and what the band is."""
    if not (table["part"] == "validation").any():
        return "training images; none were kept for validation"
    if measure == "loss":
        return "cross-entropy on validation images; dashed: training images"
    band = "; band: 95 % interval, by bootstrap over groups" if table["low"].notna().any() else ""
    return f"validation images{band}; dashed: training images"


def alt_text(table: pd.DataFrame, measure: str) -> str:
    """Kind of chart and its first and last values in words."""
    texts = []
    for part, own in table.groupby("part", sort=False):
        texts.append(f"{part} from {own['value'].iloc[0]:.2f} to {own['value'].iloc[-1]:.2f}")
    return f"Lines of {TITLES[measure].lower()} over {table['epoch'].nunique()} epochs: {', '.join(texts)}"


def calibration(metrics: dict[str, Any]) -> None:
    """What the temperature changed, where one was fitted."""
    found = metrics.get("calibration")
    if not found:
        return
    rows, exact = [], []
    for name, words in (("ece", "Expected calibration error"), ("cross_entropy", "Cross-entropy, nats")):
        before, after = found["before"][name], found["after"][name]
        rows.append({"": words, "Before": _words(before), "After": _words(after)})
        for when, value in (("before", before), ("after", after)):
            exact.append({"measure": words, "when": when} | {end: value[end] for end in ("value", "low", "high")})
    table = pd.DataFrame(rows)
    images = f"{found['n_slices']:,} {'validation' if found['scheme'] == 'validation' else 'out-of-fold'} images"
    with st.container(horizontal=True, vertical_alignment="top", horizontal_alignment="distribute"):
        st.markdown(
            f"### Calibration: a temperature of {found['temperature']:.2f}\n:small[:gray[fitted to {images}, "
            f"{found['n_groups']:,} groups; 95 % intervals. Measured on the same images, which flatters]]",
            anchors=False,
        )
        downloads("train-calibration", pd.DataFrame(exact))
    st.table(table.set_index(""))


def _words(estimate: dict[str, float | None]) -> str:
    if estimate["value"] is None:
        return "–"
    if estimate["low"] is None:
        return f"{estimate['value']:.3f} (no interval)"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"


def queue(trainings: list[Status], watched: str) -> None:
    """Who else waits or trains, where there is someone else."""
    others = [status for status in trainings if status.active and status.name != watched]
    if not others:
        return
    st.markdown(
        "### Queue\n:small[:gray[one training at a time on this machine; the next starts by itself]]", anchors=False
    )
    for status in others:
        label, icon, colour = BADGES[status.state]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge(label, icon=f":material/{icon}:", color=colour)
            st.markdown(f"{plain(status.name)} :small[:gray[{said(status)}]]", width="stretch")
            st.button(
                "Watch", key=f"watch-{status.name}", on_click=show, args=(status.name,), help=f"Watch {status.name}"
            )


def show(name: str) -> None:
    """Watch another training."""
    st.session_state[WATCH] = name


def messages(status: Status | None) -> None:
    """The last lines that the training printed."""
    if status and status.messages:
        with st.expander("Last messages", icon=":material/terminal:", key="messages"):
            st.code("\n".join(status.messages), language=None, wrap_lines=True)


def changed(trainings: list[Status]) -> bool:
    """Whether something began, ended or changed its state since the page was drawn as a whole."""
    now = [(status.name, status.state, status.stopping) for status in trainings]
    before, st.session_state[SEEN] = st.session_state.get(SEEN, now), now
    return before != now
