"""The scenario's controls: a card of grouped sliders made from the parameters, and the setting in the sidebar."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path
from types import MappingProxyType

import streamlit as st

from dashboard.components import plain
from dashboard.economics import link, loaders, state, words
from dashboard.state import control_key, held
from market.budget import LONGEST_YEARS
from market.errors import MarketError
from market.parameters import UNITS, Parameter
from market.reading import MODES
from market.scenarios import Scenario
from market.screening import STRATEGIES

CSS = Path(__file__).with_name("market.css")
STEPS = 100
"""A slider has about so many steps."""


@dataclass(frozen=True)
class Control:
    """A slider of one parameter.

    label      two or three words; the parameter's own label stands in the help
    form       "money", "thousands" (of money), "percent", "minutes" (of a number in seconds), "years", "number" or
               "people" (large numbers, as in "12.8M")
    from_zero  whether it reaches down to the least allowed value, not only to the low end of its range
    stretch    how many times the high end of its range it reaches, where that is not enough
    """

    id: str
    label: str
    form: str = "number"
    from_zero: bool = False
    stretch: float = 1.0


OWN = "(yours)"
"""The mark of a number that the visitor has set."""

SCALES = {"percent": 100.0, "minutes": 1 / 60, "thousands": 1 / 1000}
"""What a value is multiplied by to be shown."""

PRICES = {"per_scan": "c_ai_scan", "per_year": "c_ai_licence_year", "one_time": "c_ai_purchase"}
PRICE_LABELS = {"per_scan": "Price per scan", "per_year": "Licence a year", "one_time": "Purchase, once"}


def price_control(pricing: str) -> Control:
    """The slider of the AI's price under this contract."""
    form = "money" if pricing == "per_scan" else "thousands"
    return Control(PRICES[pricing], PRICE_LABELS[pricing], form, from_zero=True, stretch=2)


def sidebar(page: str) -> None:
    """Setting and money, in the sidebar of the market's pages."""
    scenario = state.current(page)
    st.segmented_control(
        "Setting",
        list(words.SETTINGS),
        default=scenario.setting,
        format_func=words.SETTINGS.get,
        key=control_key("market_setting", scenario.setting),
        required=True,
        on_change=choose_setting,
        help="Whose prices, people and screening programme. For the EU and China not all numbers are published: "
        "there only the size of the market can be told.",
    )
    money = words.money_line(loaders.sourced(scenario.setting).currency, loaders.PRICE_YEAR)
    st.caption(f"Money in {money}")


def choose_setting() -> None:
    """Take the setting of the sidebar; a browser that has not drawn it yet may send none, which changes nothing."""
    chosen = held("market_setting")
    if chosen is not None:
        state.change(setting=chosen)


def card(
    groups: Mapping[str, Sequence[Control]],
    choices: Callable[[], None] | None = None,
    after: Mapping[str, Callable[[], None]] = MappingProxyType({}),
    wtp: bool = False,
) -> None:
    """The card of a page: its own `choices` first, then groups of sliders, Reset; on a phone folded away.

    `after` draws what else belongs to a group, below its sliders; a group without sliders is left out. To be
    called inside the fragment that redraws when a slider is released.
    """
    scenario = state.current()
    st.html(CSS)
    with st.container(key="scenario-fold"):
        st.toggle(f"Scenario: {in_words(scenario)}", key="scenario-open")
    with st.container(border=True, key="scenario-card", gap="small"):
        st.markdown("**Scenario**")
        if choices is not None:
            choices()
        if wtp:
            wtp_slider()
        for title, controls in groups.items():
            if not controls:
                continue
            st.caption(f"**{title}**")
            for control in controls:
                slider(control)
            if title in after:
                after[title]()
        st.button(
            "Reset", icon=":material/undo:", on_click=state.reset, help="All numbers as the sources have them"
        )
        st.caption("  \n".join(f"{sign} {said.lower()}" for sign, said in words.TRUST.values()))


def in_words(scenario: Scenario) -> str:
    """The scenario in a line, as in "AI read alongside, 160 people a year, $15 a scan"."""
    try:
        parameters, values = loaders.parameters(scenario), loaders.values(scenario)
    except MarketError:
        return words.STRATEGIES[scenario.strategy]
    parts = [words.capital(words.STRATEGIES[scenario.strategy])]
    entrants = scenario.entrants if scenario.entrants is not None else values.get("hospital_entrants")
    if entrants is not None:
        parts.append(f"{words.number(entrants)} new people a year")
    price = values.get(PRICES[scenario.pricing])
    if price is not None and scenario.strategy not in ("single", "double"):
        unit = {"per_scan": "a scan", "per_year": "a year", "one_time": "once"}[scenario.pricing]
        parts.append(f"{words.money(price, parameters.currency)} {unit}")
    return ", ".join(parts)


def comparison() -> None:
    """How scans are read, and what that is compared with."""
    scenario = state.current()
    others = [name for name in STRATEGIES if name != scenario.strategy]
    reading = {name: words.capital(words.STRATEGIES[name]) for name in STRATEGIES}
    _select("Scans are read by", "strategy", MODES, reading, scenario.strategy)
    _select("Compared with", "comparator", others, reading, scenario.comparator)


def contract() -> None:
    """How the AI is paid for."""
    _select(
        "AI is paid for",
        "pricing",
        list(words.PRICINGS),
        words.PRICINGS,
        state.current().pricing,
        help="A price for each scan, a licence for each year, or a purchase with yearly maintenance.",
    )


def _select(label: str, field: str, options: Sequence[str], named: Mapping[str, str], value: str, **more) -> None:
    """A select box of one field of the scenario."""
    key = control_key(f"market_{field}", value)
    st.selectbox(
        label,
        options,
        list(options).index(value),
        format_func=named.get,
        key=key,
        on_change=lambda: state.change(**{field: st.session_state[key]}),
        **more,
    )


def years_slider() -> None:
    """Years of the budget."""
    years = state.current().years
    key = control_key("market_years", years)
    st.slider(
        "Years looked ahead",
        1,
        LONGEST_YEARS,
        years,
        key=key,
        on_change=lambda: state.change(years=st.session_state[key]),
        help="Years of the budget, from the start of the programme. People who start in a year come back in the "
        "years after it, so volume grows.",
    )


def volume_slider() -> None:
    """People who start screening at the site in a year; by the sources until it is moved."""
    scenario = state.current()
    derived = loaders.values(scenario).get("hospital_entrants")
    if derived is None:
        return
    value = derived if scenario.entrants is None else scenario.entrants
    low, high, step, places = steps(0, max(4 * loaders.sourced(scenario.setting).value("hospital_entrants"), value))
    low = low or step
    shown = min(max(round(round(value / step) * step, places), low), high)
    key = control_key("market_volume", shown, step / 2)

    def moved() -> None:
        if abs(st.session_state[key] - shown) >= step / 2:
            state.change(entrants=float(st.session_state[key]))

    mark = words.trust_sign("memory") if scenario.entrants is None else OWN
    st.slider(
        f"New people a year {mark}",
        low,
        high,
        shown,
        step=step,
        format=f"%.{places}f",
        key=key,
        on_change=moved,
        help=f"**Persons who start screening at this site in a year.** Sources: {words.number(derived)}, from the "
        "eligible, the share that starts in a year and the number of sites. Moving the share that starts "
        "brings this back to the sources.",
    )


def wtp_slider(label: str = "Worth of one QALY") -> float:
    """The slider of the willingness to pay, which is the number `wtp` of the scenario; its value."""
    slider(Control("wtp", label, "thousands", from_zero=True, stretch=1.5))
    return loaders.parameters(state.current()).value("wtp")


def slider(control: Control) -> None:
    """One slider of the scenario; nothing where the setting lacks the number.

    It shows the value to the nearest step; the scenario keeps the exact one until the slider is moved.
    """
    scenario = state.current()
    entry = loaders.parameter(scenario.setting, control.id)
    values = loaders.values(scenario)
    if entry is None or control.id not in values:
        return
    scale = SCALES.get(control.form, 1.0)
    low, high, step, places = steps(*_ends(control, entry, values[control.id], scale))
    shown = low + round((values[control.id] * scale - low) / step) * step
    shown = min(max(round(shown, places), low), high)
    key = control_key(f"slider-{control.id}", shown, step / 2)

    def moved() -> None:
        if abs(st.session_state[key] - shown) < step / 2:
            return  # the browser sends what it was given: the scenario keeps its exact value
        state.set_value(control.id, round(st.session_state[key] / scale, 12))
        if control.id == "share_starting":
            state.change(entrants=None)

    currency = loaders.sourced(scenario.setting).currency
    st.slider(
        f"{control.label} {_mark(scenario, control.id)}",
        low,
        high,
        shown,
        step=step,
        format=_format(control.form, currency, places),
        key=key,
        on_change=moved,
        help=help_text(scenario, control.id),
    )


def _ends(control: Control, entry: Parameter, value: float, scale: float) -> tuple[float, float]:
    """Where a slider begins and ends, as shown: the parameter's range, widened as the control says."""
    base = loaders.sourced_values(state.current().setting).get(entry.id, value)
    low, high = entry.range or (base / 2, base * 2)
    high = max(high, base) * control.stretch
    if control.from_zero and entry.minimum > -1e300:
        low = entry.minimum
    low, high = max(min(low, base, value), entry.minimum), min(max(high, base, value), entry.maximum)
    return low * scale, (high if high > low else low + 1) * scale


def steps(low: float, high: float) -> tuple[float, float, float, int]:
    """Ends on a grid, its step of 1, 2 or 5 times a power of ten, and the decimals these need."""
    rough = (high - low) / STEPS
    power = floor(log10(rough))
    step = next(factor * 10.0**power for factor in (1, 2, 5, 10) if factor * 10.0**power >= rough * 0.999)
    places = max(0, -floor(log10(step) + 1e-9))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return round(first * step, places), round(last * step, places), round(step, places), places


def _format(form: str, currency: str, places: int) -> str:
    if form in ("money", "thousands"):
        return f"{words.SYMBOLS.get(currency, '')}%.{places}f{'k' if form == 'thousands' else ''}"
    if form == "people":
        return "compact"
    unit = {"percent": " %%", "minutes": " min", "years": " years"}.get(form, "")
    return f"%.{places}f{unit}"


def _mark(scenario: Scenario, parameter_id: str) -> str:
    """The trust sign of a number, or that it was set here."""
    if parameter_id in dict(scenario.overrides):
        return OWN
    return words.trust_sign(loaders.parameters(scenario).trust(parameter_id))


def help_text(scenario: Scenario, parameter_id: str) -> str:
    """What a number is, its range, unit and year, how far it is to be trusted and its source, as Markdown."""
    parameters = loaders.parameters(scenario)
    entry = parameters.parameters[parameter_id]
    trust = parameters.trust(parameter_id)
    lines = [f"**{plain(entry.label)}**"]
    own = loaders.sourced_values(scenario.setting).get(parameter_id)
    if own is not None:
        year = f", prices of {loaders.PRICE_YEAR}" if UNITS[entry.unit].inflates else ""
        lines.append(f"Sources: {words.number(own)} {plain(entry.unit_text)}{year}; id {plain(parameter_id)}.")
    if entry.range is not None:
        low, high = entry.range
        lines.append(f"Range: {words.range_words(low, high)}; allowed: {link.allowed(entry)}.")
    lines.append(f"{words.trust_sign(trust)} {words.trust_words(trust, entry.status)}.")
    if parameter_id in parameters.overrides:
        lines.append("You have set this number: it is not varied in intervals.")
    if entry.reason:
        lines.append(plain(entry.reason) + ".")
    for source in entry.sources:
        lines.append(f"[{plain(source.title)}]({source.link}), {plain(source.locator)}.")
    if entry.formula:
        lines.append(f"Follows from: {plain(entry.formula)}.")
    return "  \n".join(lines)


@st.fragment
def share(page: str) -> None:
    """At the right of a page's question: its link and the scenario's file, each as it is when it is asked for."""
    with st.container(horizontal=True, width="content", gap="small"):
        copy_link(page)
        download()


def copy_link(page: str) -> None:
    """A button with the address of this page that carries the whole scenario; inside a fragment."""
    menu = st.popover("Copy link", icon=":material/link:", key="copy-link", on_change="rerun")
    if not menu.open:
        return
    address = st.context.url  # None where no browser asked
    with menu:
        st.caption("Opens this scenario for anyone with the address:")
        base = (address or f"/{page}").partition("?")[0]
        st.code(base + state.link_text(), language=None, wrap_lines=True)


def download() -> None:
    """The scenario as a file for the command line and for import."""
    scenario = state.current()
    st.download_button(
        "Download scenario",
        lambda: loaders.yaml(state.current()),
        "lunglens-scenario.yaml",
        "application/yaml",
        icon=":material/download:",
        on_click="ignore",
        help=f"{plain(scenario.name)} as YAML: python -m market run --scenario FILE gives the same numbers",
    )
