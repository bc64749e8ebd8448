"""Data: what is in this data, and what leaks? Folders in; counts, leaking pairs, copies, drift, probe out."""

import streamlit as st

from core.audit import Audit
from core.errors import LungLensError
from dashboard import components
from dashboard.audit import charts, differences, link, loaders, parts
from dashboard.audit.parts import count_words
from dashboard.components import plain
from dashboard.figure import figure

WORDS = {loaders.EXAMPLE: "Synthetic slices, with faults put in"}


def choose() -> tuple[list[str], str]:
    """The data folders to look at, and the run whose split gives the parts ("" for the folders' own)."""
    known = loaders.offers()
    names = link.chosen_data(known)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        st.multiselect(
            "Data folders",
            known,
            names,
            format_func=lambda name: WORDS.get(name, name),
            key=link.control(link.DATA, names),
            on_change=link.take,
            args=(
                link.DATA,
                "label",
                "source",
                "part",
                "page",
                "leak",
                "leakpage",
                "copies",
                "copypage",
                "between",
            ),
            placeholder="Choose one or several",
        )
    offered = loaders.split_runs(names)
    run = link.one_of(link.PARTS, offered, "", "the folders' own")
    if offered:
        with right:
            st.selectbox(
                "Parts from",
                ["", *offered],
                ["", *offered].index(run),
                format_func=lambda name: f"Split of run {name}" if name else "The folders themselves",
                key=link.control(link.PARTS, run),
                on_change=link.take,
                args=(link.PARTS, "part", "leak", "leakpage"),
                help="Which images are for training, validation and testing.",
            )
    return names, run


def empty() -> None:
    """Before a folder is chosen: what there is to choose, and one button that works at once."""
    with st.container(border=True):
        components.figure_title(
            "No data chosen yet", "Choose data folders above, or look at synthetic slices.", level=2
        )
        if not loaders.is_hosted() and loaders.offers() == [loaders.EXAMPLE]:
            st.markdown(
                "There is no data folder on this machine yet. Set the environment variable `LUNGLENS_DATA` to a "
                "folder whose subfolders are data sets, and start the dashboard again. A data set holds "
                "`train/CLASS` and `test/CLASS`, or a `manifest.csv` with `file,label,group`."
            )
        else:
            st.markdown(
                "You get counts by class and source, images that are on both sides of a split, copies, labels that "
                "contradict each other, how far sources differ, and whether they can be told apart."
            )
        st.button(
            "Look at synthetic slices",
            type="primary",
            icon=":material/play_arrow:",
            on_click=link.change,
            kwargs={link.DATA: [loaders.EXAMPLE]},
            help="About fifty slices drawn by formula in a few seconds, with leaks put in on purpose.",
        )


def look(names: list[str], run: str) -> Audit:
    """The audit of the chosen folders, made now where it is not known yet; stops the page where it cannot be."""
    place = st.empty()
    try:
        with place.container():
            paths = loaders.folders(names, parts.Teller("Drawing synthetic slices"))
        place.empty()
        images = loaders.table(paths)
        key = loaders.audit_key(images, run)
        found = loaders.kept(key)
        if found is None:
            with place.container():
                tell = parts.Teller("Reading images")
                st.skeleton(height=320)
                found = loaders.audit(key, images, run, tell)
            place.empty()
        return found
    except LungLensError as error:
        place.empty()
        st.error(
            f"**This data cannot be looked at.** {plain(error.name)}: found {plain(error.found)}; "
            f"expected {plain(error.expected)}. Mend the folder, or choose others.",
            icon=":material/error:",
        )
    except OSError as error:
        place.empty()
        st.error(
            f"**This data cannot be looked at.** {plain(str(error.filename or 'A file'))}: "
            f"{plain(error.strerror or 'cannot be read')}; expected a file or folder that can be read.",
            icon=":material/error:",
        )
    st.stop()


def answer(found: Audit) -> None:
    """What leaks, in one sentence; and what was counted."""
    images = found.table
    leaking, later = found.leaks["second"].nunique(), images["part"].isin(found.tested).sum()
    tested = " and ".join(found.tested)
    if found.parts_from is None:
        st.header("No train and test part is named here, so nothing can leak between them", anchor=False)
    elif not later:
        st.header("All images with a part have the same one, so nothing can leak between parts", anchor=False)
    elif leaking:
        verb = "repeats" if leaking == 1 else "repeat"
        st.header(f"{leaking:,} of {later:,} {tested} images {verb} one of an earlier part", anchor=False)
    else:
        st.header(f"No {tested} image repeats one of an earlier part", anchor=False)
    grid = st.grid(5, min_column_width=140)
    pairs = found.duplicates
    near = int(((pairs["kind"] == "near") & ~pairs["same_group"]).sum())
    kinds = ", ".join(
        f"{found.leaked(kind)} {word}" for kind, word in parts.KIND_WORDS.items() if found.leaked(kind)
    )
    unread = len(found.unread)
    for label, value, under in (
        ("Images", len(images), count_words(images["group"].nunique(), "group")),
        ("Leaking images", leaking, kinds or "same file, group or look"),
        ("Files there again", int((pairs["kind"] == "sha256").sum()), "byte for byte"),
        ("Near copies", near, "pairs of different groups"),
        ("Not readable", unread, "listed below" if unread else "all could be read"),
    ):
        with grid.container(gap="xsmall"):
            st.metric(label, f"{value:,}")
            st.caption(under)
    apart = found.without_part if found.parts_from else 0
    st.caption(
        "Counts of these very images: nothing is estimated, so they have no interval."
        + (f" Of {len(images):,} images {apart:,} have no part: whether they leak was not looked at." * bool(apart))
    )


def counts(found: Audit) -> None:
    """Images by class and source, as a matrix."""
    table = loaders.class_counts(found)
    sources, labels = table["source"].nunique(), table["label"].nunique()
    full = (table["images"] > 0).groupby(table["source"]).all()
    hold = count_words(int(full.sum()), "holds", "hold") if full.any() else "none holds"
    said = f"{count_words(sources, 'source')}, {count_words(labels, 'class', 'classes')}"
    if sources > 1 and labels > 1:
        said += f": {hold} every class"
    largest = table.loc[table["images"].idxmax()]
    figure(
        charts.count_matrix(table),
        loaders.part_counts(found),
        sentence=said,
        note="Images; darker is a larger share of the source, dashed is none",
        alt_text=f"Matrix of sources and classes. {said}. Largest: {largest['source']}, {largest['label']}, "
        f"{largest['images']:,} images.",
        name="counts",
    )


def files(found: Audit) -> None:
    """Sizes and modes of the files, and those that could not be read."""
    left, right = st.columns(2, gap="small")
    for place, by, words in ((left, "size", "size"), (right, "mode", "kind of file")):
        table = loaders.kinds_of_file(found, by)
        with place, st.container(border=True):
            said = f"{count_words(len(table), words, 'sizes' if by == 'size' else 'kinds of file')}"
            parts.titled(said, "Images by class, the commonest first", by, table)
            st.dataframe(table, hide_index=True, height=min(248, 38 + 35 * len(table)), alt=f"Images by {words}")
    unread = found.unread
    if len(unread):
        with st.container(border=True):
            parts.titled(
                f"{count_words(len(unread), 'file')} could not be read",
                "They take part in nothing but the search for same files and groups",
                "unread",
                unread.drop(columns="path"),
            )
            st.dataframe(unread.drop(columns="path"), hide_index=True, alt="Files that could not be read")


actions = components.head(
    "What is in this data, and what leaks?",
    "Each image is read once and compared with all others. Nothing leaves this machine.",
)
link.arrive()
names, run = choose()
if not names:
    empty()
    st.stop()
found = look(names, run)
with actions:
    parts.take_away(found)
answer(found)
if len(found.leaks):
    left, right = st.columns([3, 2], gap="medium")
    with left:
        parts.leaks(found)
else:
    left, right = st.columns(2, gap="small")
with right if len(found.leaks) else left, st.container(border=True):
    counts(found)
with right, st.container(border=True):
    differences.probes(found)
st.header("What is there twice", anchor=False)
parts.copies(found)
st.header("How the parts, sources and classes differ", anchor=False)
differences.drift(found)
st.header("Files and images", anchor=False)
files(found)
parts.gallery(found)
named = {None: "nowhere", "folders": "the folders"}.get(found.parts_from, f"run {plain(str(found.parts_from))}")
st.caption(
    f"**Sources and limits.** Data {found.checksum[:12]}; parts from {named}. "
    "Near copies are pictures whose fine detail correlates by 0.70 or more; cropped, turned, mirrored and shifted "
    "copies are not found. The same from the command line: `python -m core audit DIR`."
)
