"""Classify: what does the model see in this slice? Files or samples in, calls with heat maps out."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import RunError
from core.labels import title
from dashboard import cards, components, doubts, loaders, reading, results, state, viewer
from dashboard import uploads as upload_rules
from dashboard.components import plain
from dashboard.loaders import FileRead, Sample
from dashboard.reading import MOST_FILES, Source

FIRST_SAMPLE = "synthetic_05_pneumonia"
"""What the button of the empty page opens."""


def choose_sources(samples: list[Sample]) -> list[Source]:
    """What the visitor wants to see: uploads in their order, then the sample that the link names."""
    wanted = state.sample_in_link()
    chosen = next((sample for sample in samples if sample.id == wanted), None)
    left, right = st.columns([5, 7], gap="medium")
    allowed = loaders.allowance()
    with left:
        uploads = st.file_uploader(
            "CT slices",
            accept_multiple_files=True,
            key="uploads",
            on_change=state.leave_sample,
            help="DICOM, NIfTI, PNG, JPEG, TIFF, BMP or WebP, or a ZIP of one series. "
            f"{allowed.words()}, 25 megapixels a slice, 1,000 frames; {MOST_FILES:,} files.",
            max_upload_size=allowed.file_mb,
        )
    with left:
        st.caption("DICOM, NIfTI, PNG, JPEG, TIFF, or a ZIP of one series")
        if allowed.files is not None:
            st.caption(f"A public server: {allowed.words()[0].lower()}{allowed.words()[1:]}.")
        uploads = upload_rules.admitted(uploads)
    with right:
        if samples:
            sample_strip(samples, chosen)
        else:
            st.caption("No synthetic samples on this machine: data/samples has no manifest.csv.")
    if wanted is not None and chosen is None:
        st.warning(
            f"**This link names a sample that is not here.** sample was {plain(wanted)}; none is opened. "
            "Choose one of the samples above.",
            icon=":material/info:",
        )
    if len(uploads) > MOST_FILES:
        st.warning(
            f"**Only the first {MOST_FILES:,} of {len(uploads):,} files are read here.** Put a series into a ZIP, "
            "or use `python -m core predict FOLDER`, which takes any number of files.",
            icon=":material/info:",
        )
    sources = [Source(upload.file_id, upload.name, upload.getvalue) for upload in uploads[:MOST_FILES]]
    if chosen:
        sources.append(Source(chosen.id, chosen.path.name, chosen.path.read_bytes, chosen))
    return sources


def sample_strip(samples: list[Sample], chosen: Sample | None) -> None:
    """Small pictures in a row that scrolls; each opens its sample."""
    st.markdown(":small[Or try a synthetic sample, drawn by formula]")
    with st.container(horizontal=True, wrap=False, gap="xsmall", key="strip"):
        for sample in samples:
            mark = "chosen" if sample == chosen else "other"
            with st.container(width=88, gap=None, key=f"sample-{mark}-{sample.id}"):
                st.image(sample.thumbnail, width="stretch", output_format="PNG", alt="")  # as it is
                st.button(
                    sample.title,
                    key=f"open-{sample.id}",
                    type="tertiary",
                    on_click=state.show_sample,
                    args=(sample.id,),
                    help=f"Synthetic, drawn as {title(sample.label).lower()}",
                )


def empty(samples: list[Sample]) -> None:
    """Before the first file: what will come, and one button that works at once."""
    with st.container(border=True):
        components.figure_title("No slice yet", "Upload a lung CT slice, or start with a synthetic one.", level=2)
        st.markdown(
            "For each slice you get the three class probabilities, a heat map of what spoke for each class, "
            "and what to know about the file. A series can be scrolled, and all results can be downloaded."
        )
        first = next((sample for sample in samples if sample.id == FIRST_SAMPLE), None)
        if first:
            st.button(
                "Try a synthetic sample",
                type="primary",
                icon=":material/play_arrow:",
                on_click=state.show_sample,
                args=(first.id,),
            )


def choose_shown(files: list[FileRead]) -> FileRead | None:
    """The file to look at, with a choice where there are several, and counts of what was read."""
    options = {source.key: source for source in files if source.readings}
    joined = loaders.together(files)
    if joined:
        options = {joined.key: joined, **options}
    if st.session_state.get(state.SHOWING) not in options:
        st.session_state[state.SHOWING] = next(iter(options), None)
    slices = sum(len(source.readings) for source in files)
    unread = sum(len(source.errors) for source in files)
    if len(files) > 1 or unread:
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small", key="showing-row"):
            if len(options) > 1:
                st.selectbox(
                    "Showing",
                    list(options),
                    key=state.SHOWING,
                    width=420,
                    format_func=lambda key: shown_words(options[key]),
                )
            with st.container(horizontal=True, gap="xsmall", width="content", key="counts"):
                st.badge(f"{slices} read", icon=":material/check_circle:", color="green")
                if unread:
                    st.badge(f"{unread} not readable", icon=":material/error:", color="red")
    return options.get(st.session_state[state.SHOWING])


def shown_words(source: FileRead) -> str:
    """One file in the list of files: name, number of slices, whether it is synthetic."""
    count = f", {len(source.readings)} slices" if len(source.readings) > 1 else ""
    return f"{source.name}{count}{', synthetic' if source.sample else ''}"


def results_part(files: list[FileRead], actions: DeltaGenerator) -> None:
    """The table of all results, and its download at the head of the page."""
    frame = results.table(files)
    with actions:
        st.download_button(
            "Download results",
            results.csv(frame),
            "lunglens-results.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
    if len(frame) > 1:
        read = int((frame["error"] == "").sum())
        counted = f"All {len(frame)} results" if read == len(frame) else f"{read} of {len(frame)} could be read"
        components.figure_title(counted, "Select a row to show its slice above")
        results.show(frame)


def copy_link(actions: DeltaGenerator, shown: FileRead) -> None:
    """The address of an open sample; an upload has none, because it is kept nowhere."""
    address = st.context.url  # None where no browser asked
    if shown.sample and address:
        with actions, st.popover("Copy link", icon=":material/link:"):
            st.caption("Opens this sample for anyone with the address:")
            link = f"{address.partition('?')[0]}?{state.SAMPLE}={shown.sample.id}"
            st.code(link, language=None, wrap_lines=True)


actions = components.head(
    "What does the model see in this slice?",
    "Upload lung CT slices or try a sample. Files stay in memory and are gone when you close the tab; "
    "nothing is logged.",
)
samples = loaders.samples()
loaders.decoder().start()
try:
    model = loaders.predictor(state.run_name())
    metrics = loaders.run(state.run_name()).metrics
except RunError as error:
    components.run_message(error)
    st.stop()
sources = choose_sources(samples)
if not sources:
    state.files_read([], ())
    empty(samples)
    st.stop()

files = reading.read_all(sources, state.run_name())
reading.stopped_notice(files)
results.unread([error for source in files for error in source.errors])
shown = choose_shown(files)
if shown:
    index = viewer.current_index(shown)
    called = shown.readings[index].prediction
    cards.answer(shown, index)
    left, right = st.columns([1, 1], gap="small")
    with left, st.container(border=True):
        viewer.picture_card(shown, index)
    with right:
        if called.refused:
            cards.refusal_card(called, model.gate.limit, metrics)
        else:
            cards.probabilities_card(shown, index)
        if shown.readings[index].warnings:
            cards.facts_card(shown, index)
        if not called.refused:
            cards.trust_card(metrics, called.label)
        if not shown.readings[index].warnings:
            cards.facts_card(shown, index)
    if not called.refused:
        doubts.doubts_card(shown, index)
    if len(shown.readings) > 1:
        cards.series_card(shown, index)
    copy_link(actions, shown)
results_part(files, actions)
st.caption(
    "**Limits.** A slice is not a patient. "
    + ("The model refuses pictures that look unlike its training slices, and calls" if model.gate else "It calls")
    + f" one of its classes for {'all others' if model.gate else 'every picture'}, right or wrong. How it does on "
    "scanners that it has not seen stands under Overview."
)
