"""What a visitor has chosen on Runs, and its way into the address and back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

import streamlit as st

from dashboard import state
from dashboard.state import Notice

KEY = "comparison"
HERE = f"{KEY}-measure-latency"
"""Key of a button that is there where there is a run: Streamlit forgets it when the page is left."""

controls = state.Controls(KEY)
key, control, held = controls.key, controls.control, controls.held

MOST_CURVES = 5
"""Runs whose curves are told apart by colour and by a word at the line's end."""

MEASURES = {
    "loss": "Loss",
    "balanced_accuracy": "Balanced accuracy",
    "accuracy": "Accuracy",
    "learning_rate": "Learning rate",
    "images_per_second": "Images per second",
}
PARTS = {"both": "Both", "validation": "Validation", "train": "Training"}
STATES = ("finished", "unfinished", "damaged")
AXES = {"epoch": "Epoch", "step": "Step", "minutes": "Minutes"}
SMOOTHEST = 0.95
FIRST_SMOOTHING = 0.6


@dataclass(frozen=True)
class Offer:
    """What there is to choose from, by name: finished runs and runs with curves, the newest first.

    pair   the first and second run that are compared before anybody chooses; "" where there is none
    recipes  of all runs, by which the table can be filtered
    """

    finished: tuple[str, ...]
    with_curves: tuple[str, ...]
    pair: tuple[str, str] = ("", "")
    recipes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One state of the page; `first`, `second` and `scheme` may be "" where there is nothing to choose.

    find, states, recipes   what the table of runs is filtered by: text, and names of states and recipes
    """

    first: str = ""
    second: str = ""
    scheme: str = ""
    runs: tuple[str, ...] = ()
    measure: str = "loss"
    part: str = "both"
    x: str = "epoch"
    smoothing: float = FIRST_SMOOTHING
    find: str = ""
    states: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Kept:
    """What the session knows of the page: its offer, its choice, the address that says so, notices of a link."""

    offer: Offer
    choice: Choice
    params: dict[str, list[str]]
    notices: tuple[Notice, ...] = ()


def start(offer: Offer) -> Choice:
    """What is shown before anybody chooses."""
    first, second = offer.pair
    return Choice(first=first, second=second, runs=offer.with_curves[:3])


def to_params(choice: Choice, offer: Offer) -> dict[str, list[str]]:
    """The address of a choice, empty for the page's first look."""
    return {} if choice == start(offer) else all_params(choice)


def all_params(choice: Choice) -> dict[str, list[str]]:
    """The address that names every run of a choice: those of the first look are others once a run is added."""
    plain = Choice()
    params = {name: [getattr(choice, name)] for name in ("first", "second") if getattr(choice, name)}
    params["runs"] = list(choice.runs) or [""]
    for name in ("scheme", "measure", "part", "x", "find"):
        if getattr(choice, name) != getattr(plain, name):
            params[name] = [getattr(choice, name)]
    for name in ("states", "recipes"):
        if getattr(choice, name):
            params[name] = list(getattr(choice, name))
    if choice.smoothing != plain.smoothing:
        params["smoothing"] = [f"{choice.smoothing:.2f}"]
    return params


def address(scheme: str) -> str | None:
    """The whole link to what is shown, `scheme` that of the comparison; None where no browser asked."""
    here = st.context.url
    params = all_params(replace(choice(), scheme=scheme))
    return f"{here.partition('?')[0]}?{urlencode(params, doseq=True)}" if here else None


def from_params(params: Mapping[str, Sequence[str]], offer: Offer) -> tuple[Choice, list[Notice]]:
    """The choice that an address holds, and what in it could not be used; other parameters are let be.

    A scheme is not checked here: which there are depends on the two runs.
    """
    plain, notices = start(offer), []

    def one_of(name: str, known: Sequence[str], default: str) -> str:
        found = params.get(name, [default])[-1]
        if found == default or found in known:
            return found
        expected = f"one of {', '.join(known)}" if known else "none, as there are none"
        notices.append(Notice(name, found, expected, default or "none"))
        return default

    def some_of(name: str, offered: Sequence[str], default: Sequence[str] = ()) -> list[str]:
        asked = [value for value in dict.fromkeys(params.get(name, default)) if value]
        expected = f"one of {', '.join(offered)}" if offered else "none, as there are none"
        notices.extend(Notice(name, value, expected, "the others") for value in asked if value not in offered)
        return [value for value in asked if value in offered]

    known = some_of("runs", offer.with_curves, plain.runs)
    if len(known) > MOST_CURVES:
        notices.append(Notice("runs", f"{len(known)} runs", f"at most {MOST_CURVES}", f"the first {MOST_CURVES}"))
    choice = Choice(
        first=one_of("first", offer.finished, plain.first),
        second=one_of("second", offer.finished, plain.second),
        scheme=params.get("scheme", [""])[-1],
        runs=tuple(known[:MOST_CURVES]),
        measure=one_of("measure", tuple(MEASURES), plain.measure),
        part=one_of("part", tuple(PARTS), plain.part),
        x=one_of("x", tuple(AXES), plain.x),
        smoothing=_smoothing(params, notices),
        find=params.get("find", [""])[-1],
        states=tuple(some_of("states", STATES)),
        recipes=tuple(some_of("recipes", offer.recipes)),
    )
    return choice, notices


def _smoothing(params: Mapping[str, Sequence[str]], notices: list[Notice]) -> float:
    found = params.get("smoothing", [str(FIRST_SMOOTHING)])[-1]
    try:
        value = float(found)
    except ValueError:
        value = float("nan")
    if 0 <= value <= SMOOTHEST:
        return round(value * 20) / 20
    notices.append(Notice("smoothing", found, f"a number from 0 to {SMOOTHEST}", str(FIRST_SMOOTHING)))
    return FIRST_SMOOTHING


def follow(offer: Offer) -> Kept:
    """The choice to show: the address where it has changed (a link, the back button), else what was chosen."""
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    kept: Kept | None = st.session_state.get(KEY)
    arrived = HERE not in st.session_state
    if kept and (params == kept.params or (arrived and not params)):
        if kept.offer == offer:
            return _keep(kept)
        # a run came, went or has another name: of the choices what still fits, without a word
        choice, _ = from_params(to_params(kept.choice, kept.offer), offer)
        return _keep(Kept(offer, choice, to_params(choice, offer)))
    choice, notices = from_params(params, offer)
    return _keep(Kept(offer, choice, params, tuple(notices)))  # let be, or the back button would lead here again


def _keep(kept: Kept) -> Kept:
    st.session_state[KEY] = kept
    if {name: st.query_params.get_all(name) for name in st.query_params} != kept.params:
        st.query_params.from_dict(kept.params)
    return kept


def choice() -> Choice:
    """The choice as it is now."""
    return st.session_state[KEY].choice


def change(**changes: Any) -> None:
    """Choose something else (in a callback); the address follows in one step, which the back button undoes."""
    kept: Kept = st.session_state[KEY]
    new = replace(kept.choice, **changes)
    _keep(Kept(kept.offer, new, to_params(new, kept.offer)))


def renamed(name: str, new: str) -> None:
    """A run has another name: what was chosen of it stays chosen."""
    kept: Kept = st.session_state[KEY]

    def moved(names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(new if known == name else known for known in names)

    first, second = moved((kept.choice.first, kept.choice.second))
    offer = replace(
        kept.offer, **{part: moved(getattr(kept.offer, part)) for part in ("finished", "with_curves", "pair")}
    )
    choice = replace(kept.choice, first=first, second=second, runs=moved(kept.choice.runs))
    _keep(Kept(offer, choice, to_params(choice, offer)))


def take(name: str) -> None:
    """A control was moved: its value becomes the choice `name`."""
    value = held(name)
    change(**{name: tuple(value) if isinstance(value, list) else value})
