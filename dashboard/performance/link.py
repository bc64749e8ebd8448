"""What a visitor has chosen on Performance, and its way into the address and back."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard import state
from dashboard.state import Notice

KEY = "performance"
HERE = f"{KEY}-scheme"
"""Name of a control that is always there: Streamlit forgets what it holds when the page is left."""

controls = state.Controls(KEY)
key, control, held = controls.key, controls.control, controls.held

DETAILS_OPEN = f"{KEY}-details-open"
"""Whether one of the closed parts below the fold is open."""


SHOWS = ("count", "row", "column")
ORDERS = ("most", "least")
CURVES = ("roc", "pr", "net")
THRESHOLD = 0.5
PER_THOUSAND = (1, 2, 3, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 950, 990)
"""Prevalences to choose from, per 1,000: close together where screening lies."""

SHA = 16
"""Signs of a checksum that stand for an image in an address."""


@dataclass(frozen=True)
class Offer:
    """What a run has to show: its classes, and its sources by scheme (schemes from the least flattering on)."""

    run: str
    labels: tuple[str, ...]
    sources: Mapping[str, tuple[str, ...]]
    runs: tuple[str, ...] = ()

    @property
    def schemes(self) -> tuple[str, ...]:
        return tuple(self.sources)


@dataclass(frozen=True)
class Point:
    """How classes are called: `label` from `threshold` on, or the most probable one (None, None)."""

    label: str | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Choice:
    """One state of the page.

    source       "" for all
    cells        (true, called) pairs of the matrix
    label        the class that has a threshold; "" where the most probable class is called
    thresholds, prevalences   by class, where they differ from the defaults; prevalence per 1,000
    image        first signs of the open image's checksum, or ""
    """

    scheme: str
    source: str = ""
    cells: tuple[tuple[str, str], ...] = ()
    show: str = "row"
    diagonal: bool = True
    log: bool = False
    order: str = "most"
    page: int = 1
    label: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)
    prevalences: Mapping[str, int] = field(default_factory=dict)
    curve: str = "roc"
    image: str = ""

    @property
    def threshold(self) -> float | None:
        """The threshold of the class that has one."""
        return self.thresholds.get(self.label, THRESHOLD) if self.label else None

    @property
    def point(self) -> Point:
        """How the choice has classes called."""
        return Point(self.label or None, self.threshold)

    @property
    def prevalence(self) -> int:
        """People with the chosen class, per 1,000."""
        return self.prevalences.get(self.label, start_prevalence(self.label))


def start_prevalence(label: str) -> int:
    """Per 1,000, until the visitor chooses: an assumption, low as in screening."""
    return 950 if label == "normal" else 20


def to_params(choice: Choice, run: str) -> dict[str, str]:
    """The address of a choice: the run, and what differs from the page's first look."""
    first = Choice(choice.scheme)
    params = {"run": run, "scheme": choice.scheme}
    for name in ("source", "show", "order", "curve", "image"):
        if getattr(choice, name) != getattr(first, name):
            params[name] = getattr(choice, name)
    if choice.cells:
        params["cells"] = ",".join(f"{true}.{called}" for true, called in choice.cells)
    if not choice.diagonal:
        params["diagonal"] = "hidden"
    if choice.log:
        params["colour"] = "log"
    if choice.page != 1:
        params["page"] = str(choice.page)
    if choice.label:
        params["class"] = choice.label
    for label, value in choice.thresholds.items():
        params[f"threshold_{label}"] = f"{value:.2f}"
    for label, value in choice.prevalences.items():
        params[f"prevalence_{label}"] = str(value)
    return params


def address(page: str, choice: Choice, run: str) -> str:
    """The whole address of a choice; `page` is the page's own, with or without parameters."""
    return f"{page.partition('?')[0]}?{urlencode(to_params(choice, run))}"


def from_params(params: Mapping[str, str], offer: Offer) -> tuple[Choice, list[Notice]]:
    """The choice that an address holds, and what in it could not be used; other parameters are let be."""
    reader = _Reader(params)
    reader.one_of("run", offer.runs or (offer.run,), offer.run)
    scheme = reader.one_of("scheme", offer.schemes, offer.schemes[0])
    thresholds, prevalences = {}, {}
    for label in offer.labels:
        value = reader.number(f"threshold_{label}", 0.0, 1.0, THRESHOLD)
        if value != THRESHOLD:
            thresholds[label] = round(value, 2)
        wanted = int(reader.number(f"prevalence_{label}", 1, 999, start_prevalence(label)))
        nearest = min(PER_THOUSAND, key=lambda known: abs(known - wanted))
        if nearest != start_prevalence(label):
            prevalences[label] = nearest
    choice = Choice(
        scheme,
        reader.one_of("source", offer.sources[scheme], ""),
        reader.cells(offer.labels),
        reader.one_of("show", SHOWS, "row"),
        reader.one_of("diagonal", ("hidden", "shown"), "shown") == "shown",
        reader.one_of("colour", ("log", "linear"), "linear") == "log",
        reader.one_of("order", ORDERS, "most"),
        int(reader.number("page", 1, 1_000_000, 1)),
        reader.one_of("class", offer.labels, ""),
        thresholds,
        prevalences,
        reader.one_of("curve", CURVES, "roc"),
        params.get("image", "").lower()[:SHA],
    )
    return choice, reader.notices


class _Reader:
    """Reads one address value by value, noting what is not as expected."""

    def __init__(self, params: Mapping[str, str]) -> None:
        self.params = params
        self.notices: list[Notice] = []

    def one_of(self, name: str, known: tuple[str, ...], default: str) -> str:
        found = self.params.get(name)
        if found is None or found in known:
            return default if found is None else found
        self.notices.append(Notice(name, found, f"one of {', '.join(known)}", default or "all"))
        return default

    def number(self, name: str, low: float, high: float, default: float) -> float:
        found = self.params.get(name)
        if found is None:
            return default
        try:
            value = float(found)
        except ValueError:
            value = float("nan")
        if low <= value <= high:
            return value
        self.notices.append(Notice(name, found, f"a number from {low:g} to {high:g}", f"{default:g}"))
        return default

    def cells(self, labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        found = self.params.get("cells")
        if not found:
            return ()
        known = {f"{true}.{called}": (true, called) for true in labels for called in labels}
        names = list(dict.fromkeys(found.split(",")))
        wrong = [name for name in names if name not in known]
        if wrong:
            expected = f"TRUE.CALLED, each one of {', '.join(labels)}"
            self.notices.append(Notice("cells", ",".join(wrong), expected, "the other cells, if any"))
        return ordered((known[name] for name in names if name in known), labels)


def ordered(cells: Any, labels: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Cells row by row, so that one selection has one address."""
    return tuple(sorted(set(cells), key=lambda cell: (labels.index(cell[0]), labels.index(cell[1]))))


@dataclass(frozen=True)
class Kept:
    """What the session knows of the page: its offer, choice, the address that says so, notices about a link."""

    offer: Offer
    choice: Choice
    params: dict[str, str]
    notices: tuple[Notice, ...] = ()


def follow(offer: Offer) -> Kept:
    """The choice to show: the address where it has changed (a link, the back button), else what was chosen."""
    params = st.query_params.to_dict()
    kept: Kept | None = st.session_state.get(KEY)
    unmoved = kept is not None and params == kept.params
    if kept and kept.offer == offer:
        arrived = state.held(HERE) is None
        if unmoved or (arrived and not params):  # the second: back from another page by the menu
            return _keep(kept)
    elif kept and unmoved:  # another run was chosen in the sidebar: of the choices what fits it
        fitting = {name: value for name, value in params.items() if name not in ("run", "image", "page")}
        choice, _ = from_params(fitting, offer)
        return _keep(Kept(offer, choice, to_params(choice, offer.run)))
    choice, notices = from_params(params, offer)
    if not params and offer.runs[:1] != (offer.run,):
        params = to_params(choice, offer.run)
    return _keep(Kept(offer, choice, params, tuple(notices)))


def _keep(kept: Kept) -> Kept:
    st.session_state[KEY] = kept
    if st.query_params.to_dict() != kept.params:
        st.query_params.from_dict(kept.params)
    return kept


def choice() -> Choice:
    """The choice as it is now."""
    return st.session_state[KEY].choice


def change(**changes: Any) -> None:
    """Choose something else (in a callback); the address follows in one step, which the back button undoes."""
    kept: Kept = st.session_state[KEY]
    new = replace(kept.choice, **changes)
    _keep(Kept(kept.offer, new, to_params(new, kept.offer.run)))


FRAGMENTS = {
    "headline": ("point",),
    "matrix": ("cells", "point", "show"),
    "boxes": ("cells",),
    "gallery": ("cells", "point", "order"),
    "heading": ("cells", "point"),
    "numbers": ("point",),
    "curve": ("cells", "point", "curve"),
    "reliability": ("cells",),
    "details": ("cells", "point"),
}
"""The parts of the page that are drawn anew by themselves, and what moves them."""


def move(what: str, **changes: Any) -> None:
    """`change`, and draw anew only the parts that it moves (in a callback, as its last step)."""
    change(**changes)
    parts = [name for name, by in FRAGMENTS.items() if what in by]
    if what == "point" and choice().cells:  # then the chosen slices change with the threshold
        parts.append("reliability")
    if not st.session_state.get(DETAILS_OPEN):
        parts = [name for name in parts if name != "details"]
    st.rerun([key(name) for name in parts])


def take(name: str, what: str = "", **also: Any) -> None:
    """A control was moved: its value becomes the choice `name`; it moves the parts that `what` moves, or all."""
    changes = {name: held(name), **also}
    if what:
        move(what, **changes)
    else:
        change(**changes)
