"""The visitor's scenario: in the session and in the address, which are kept in step; nobody else sees it."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from dashboard.components import plain
from dashboard.economics import link, loaders, words
from market.errors import MarketError
from market.parameters import SETTINGS, UNITS
from market.scenarios import OperatingPoint, Scenario

SCENARIO = "scenario"
LINK = "scenario_link"
EARLIER = "scenario_links_before"
NOTICES = "scenario_notices"
PAGE = "scenario_page"

STALE_SECONDS = 1.5
"""A browser may still send the address of just before a change; for so long that is no wish to go back."""


def current(page: str | None = None) -> Scenario:
    """The visitor's scenario: from the address when a session begins, by a link or the back button; else kept.

    `page` is the page's address, where the caller knows it: coming to another page without a scenario in the
    address keeps the scenario, and the address gets it.
    """
    given = st.query_params.to_dict()
    asked = {key: value for key, value in given.items() if not link.is_others(key)}
    arrived = page is not None and st.session_state.get(PAGE, page) != page
    if page is not None:
        st.session_state[PAGE] = page
    kept: Scenario | None = st.session_state.get(SCENARIO)
    if kept is not None and (asked == st.session_state[LINK] or (_is_stale(asked) and not arrived)):
        return kept
    if kept is not None and arrived and not asked:
        return _keep(kept, ())
    scenario, notices = link.read(given)
    if kept is not None and arrived and set(asked) <= link.BRIDGE:
        scenario = _with_point(kept, scenario.operating_point, scenario.operating_point_note)
    return _keep(scenario, notices)


def elsewhere() -> None:
    """Note that the visitor looks at a page that is none of the market's."""
    st.session_state[PAGE] = None


def change(**fields: Any) -> None:
    """Change fields of the scenario, as {years=10}; a strategy that is its own comparator gets another one.

    For callbacks of controls: the address follows, notices of the link go away. What the scenario refuses
    changes nothing and becomes a notice.
    """
    scenario = current()
    if "setting" in fields and fields["setting"] != scenario.setting:
        return _move(scenario, fields["setting"])
    try:
        if fields.get("strategy", scenario.strategy) == fields.get("comparator", scenario.comparator):
            strategy = fields.get("strategy", scenario.strategy)
            fields["comparator"] = link.DEFAULT.comparator if strategy != "single" else "none"
        _keep(replace(scenario, **fields), ())
    except MarketError as error:
        _keep(scenario, [_refused(error)])
    return None


def load(scenario: Scenario) -> None:
    """Take another scenario in place of the present one: a saved or an imported one."""
    _keep(scenario, ())


def set_value(parameter_id: str, value: float | None) -> None:
    """Set a number, or with None, or its own value, take it back to that of the sources; for callbacks."""
    scenario = current()
    overrides = dict(scenario.overrides)
    fields: dict[str, Any] = {}
    point = scenario.operating_point
    if point is not None and parameter_id in point.pairs():
        base = loaders.parameters(scenario)
        overrides |= {key: base.value(key) for key in point.pairs()}
        fields = {"operating_point": None, "operating_point_note": ""}
    if value is None or value == loaders.sourced_values(scenario.setting).get(parameter_id):
        overrides.pop(parameter_id, None)
    else:
        overrides[parameter_id] = value
    changed = replace(scenario, overrides=tuple(overrides.items()), **fields)
    error = loaders.fault(changed)
    if error is None:
        _keep(changed, ())
    else:
        _keep(scenario, [_refused(error)])


def use_operating_point(point: OperatingPoint | None, note: str = "") -> None:
    """Take the counts behind an AI's sensitivity and specificity, or with None those of the sources again."""
    _keep(_with_point(current(), point, note), ())


def reset() -> None:
    """All numbers and choices as the sources and defaults have them; the setting and the name stay."""
    scenario = current()
    _keep(replace(link.DEFAULT, setting=scenario.setting, name=scenario.name), ())


def show_notices() -> None:
    """What about the link, or the last change, could not be used: one warning a notice."""
    for notice in st.session_state.get(NOTICES, ()):
        st.warning(notice, icon=":material/info:")


def link_text() -> str:
    """The address's parameters with the whole scenario, as "?setting=uk&years=10"; "" for the defaults."""
    from urllib.parse import urlencode

    found = urlencode(link.query(current()))
    return f"?{found}" if found else ""


def _keep(scenario: Scenario, notices: Any) -> Scenario:
    """Make this the visitor's scenario, and the address that of it."""
    query = link.query(scenario)
    now = time.monotonic()
    before = [(old, when) for old, when in st.session_state.get(EARLIER, ()) if now - when < STALE_SECONDS]
    if LINK in st.session_state:
        before.append((st.session_state[LINK], now))
    st.session_state[EARLIER] = before
    st.session_state[SCENARIO], st.session_state[LINK] = scenario, query
    st.session_state[NOTICES] = list(notices)
    given = st.query_params.to_dict()
    wanted = {key: value for key, value in given.items() if link.is_others(key)} | query
    if given != wanted:
        st.query_params.from_dict(wanted)
    return scenario


def _is_stale(asked: Mapping[str, str]) -> bool:
    now = time.monotonic()
    return any(asked == old and now - when < STALE_SECONDS for old, when in st.session_state.get(EARLIER, ()))


def _with_point(scenario: Scenario, point: OperatingPoint | None, note: str) -> Scenario:
    taken = {} if point is None else point.pairs()
    overrides = tuple((key, value) for key, value in scenario.overrides if key not in taken)
    return replace(scenario, overrides=overrides, operating_point=point, operating_point_note=note)


def _move(scenario: Scenario, setting: str) -> None:
    """To another setting; numbers that cannot come along (money, ids it lacks) are told and left behind."""
    entries = loaders.sourced(setting).parameters
    moved, left = {}, []
    for key, value in scenario.overrides:
        entry = entries.get(key)
        if entry is None or UNITS[entry.unit].money or not entry.minimum <= value <= entry.maximum:
            left.append(entry.label if entry else key)
        else:
            moved[key] = value
    changed = replace(scenario, setting=setting, overrides=tuple(moved.items()), entrants=None)
    if loaders.fault(changed) is not None:
        changed, left = replace(changed, overrides=()), [*left, *moved]
    if scenario.entrants is not None:
        left.append("people who start screening each year")
    name = words.SETTINGS.get(setting, setting)
    told = (
        f"**Some numbers stayed behind.** They are those of the sources for {name} now: {plain('; '.join(left))}."
    )
    _keep(changed, [told] if left else ())


def _refused(error: MarketError) -> str:
    return (
        f"**This change cannot be made.** {plain(error.name)}: found {plain(error.found)}; "
        f"expected {plain(error.expected)}. The scenario is as it was."
    )


def currency() -> str:
    """The currency of the visitor's setting, as "USD"."""
    return SETTINGS[current().setting]
