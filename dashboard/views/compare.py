"""Compare: how do my scenarios differ? Save them, set them side by side, send them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import head, plain
from dashboard.economics import address, scenario_card, state, words
from dashboard.economics.loaders import PRICE_YEAR
from dashboard.figure import downloads, figure
from dashboard.state import control_key, held, keep, keep_held, kept
from dashboard.versus import charts, loaders
from dashboard.versus.loaders import DRAWS, OUTPUTS
from dashboard.versus.shelf import Saved, Shelf, duplicate, rename
from market.errors import MarketError
from market.scenarios import Scenario

PAGE = "compare"
MOST = 3
"""Saved scenarios beside the present one: more columns than four cannot be read."""

DELETED = "just_deleted"
SAID = "shelf_said"
NAMED = "named_as"
"""Name and note of the scenario that the two boxes were last filled with."""

WITH = "x_with"
RESERVED = ("id", "input", "unit", "Input", "Unit", "Output")
"""Headers that the tables have of their own."""


def fault(error: MarketError) -> None:
    """What could not be done, and why."""
    st.error(
        f"**{plain(error.name)}**: found {plain(error.found)}; expected {plain(error.expected)}.",
        icon=":material/error:",
    )


def act(work, *arguments, said: str = "") -> None:
    """Do something with the shelf in a callback; what goes wrong is told by the next drawing."""
    try:
        work(*arguments)
    except MarketError as error:
        st.session_state[SAID] = (error, "")
    else:
        st.session_state[SAID] = (None, said)


def tell() -> None:
    """What the last callback did, or why it could not."""
    error, said = st.session_state.pop(SAID, (None, ""))
    if error is not None:
        fault(error)
    elif said:
        st.toast(said, icon=":material/check:")


def save_present(shelf: Shelf, scenario: Scenario) -> None:
    """Save the scenario under the typed name, and go on under that name."""
    named = replace(scenario, name=held("save-name"), note=held("save-note") or "")
    shelf.save(named)
    state.load(named)


def delete(shelf: Shelf, item: Saved) -> None:
    """Take a scenario off the shelf, and offer it back."""
    shelf.delete(item.id)
    st.session_state[DELETED] = item, list(kept("beside", []))


def undo(shelf: Shelf) -> None:
    """Bring the scenario back that was deleted last, and to where it stood beside the present one."""
    item, beside = st.session_state[DELETED]
    shelf.undelete(item.id)
    del st.session_state[DELETED]
    if item.id in beside:
        keep("beside", beside[:MOST])


def save_part(shelf: Shelf, scenario: Scenario) -> None:
    """Name, note and the one primary button."""
    if st.session_state.get(NAMED) != (scenario.name, scenario.note):
        st.session_state[NAMED] = scenario.name, scenario.note
        keep("save-name", scenario.name)
        keep("save-note", scenario.note)
    with st.container(border=True):
        st.markdown(f"**The scenario you work on**  \n{plain(scenario_card.in_words(scenario))}")
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            for name, label, more in (
                ("save-name", "Name", {"max_chars": 120}),
                ("save-note", "Note", {"placeholder": "what it is for"}),
            ):
                typed = kept(name, "")
                key = control_key(name, typed)
                st.text_input(label, typed, key=key, on_change=keep_held, args=(name,), **more)
            st.button(
                "Save scenario",
                type="primary",
                icon=":material/save:",
                on_click=act,
                args=(save_present, shelf, scenario),
                kwargs={"said": "Saved"},
            )
        st.caption(
            "Saved for everybody who uses this server."
            if shelf.shared
            else "Saved for you, until you close the tab. Export a file to keep it."
        )


def deleted_notice(shelf: Shelf) -> None:
    """Undo stays until it is used or another page is opened."""
    item, _ = st.session_state.get(DELETED, (None, []))
    if item is not None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"{plain(item.scenario.name)} was deleted.")
            st.button(
                "Undo", icon=":material/undo:", on_click=act, args=(undo, shelf), kwargs={"said": "Brought back"}
            )


def shelf_part(shelf: Shelf, items: list[Saved]) -> None:
    """The saved scenarios, one of which can be opened, renamed, copied and deleted."""
    st.markdown(f"## {len(items)} saved", anchors=False)
    if not items:
        st.markdown("Nothing is saved yet. Move sliders on another page, then save the scenario here.")
        return
    named = {item.id: item for item in items}
    key = st.selectbox("Saved scenario", list(named), format_func=lambda key: title(named[key]), key="shelf-item")
    item = named[key]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.button("Open", icon=":material/folder_open:", on_click=state.load, args=(item.scenario,))
        with st.popover("Rename", icon=":material/edit:"):
            st.text_input("New name", value=item.scenario.name, key=f"rename-{key}", max_chars=120)
            st.button(
                "Rename scenario",
                on_click=lambda: act(rename, shelf, item, st.session_state[f"rename-{key}"], said="Renamed"),
            )
        st.button(
            "Duplicate",
            icon=":material/content_copy:",
            on_click=act,
            args=(duplicate, shelf, item),
            kwargs={"said": "Duplicated"},
        )
        st.button("Delete", icon=":material/delete:", on_click=act, args=(delete, shelf, item))
    if item.scenario.note:
        st.caption(plain(item.scenario.note))


def title(item: Saved) -> str:
    """A saved scenario in the list."""
    return f"{item.scenario.name} ({words.SETTINGS[item.scenario.setting]}{', ' if item.when else ''}{item.when})"


def chosen(items: list[Saved]) -> list[Saved]:
    """The saved scenarios to stand beside the present one; their ids are in the link."""
    named = {item.id: item for item in items}
    given = address.brought(WITH)
    if given is not None:
        keep("beside", asked(given, named))
    if not items:
        return []
    keys = [key for key in kept("beside", []) if key in named]
    st.multiselect(
        "Beside the present one",
        list(named),
        keys,
        format_func=lambda key: named[key].scenario.name,
        key=control_key("beside", keys),
        on_change=keep_held,
        args=("beside",),
        max_selections=MOST,
        placeholder="choose saved scenarios",
    )
    address.put(WITH, ",".join(keys))
    return [named[key] for key in keys]


def asked(given: str, named: dict[str, Saved]) -> list[str]:
    """The ids of a link that are saved here, MOST at most; a notice for each that is left out."""
    parts = list(dict.fromkeys(part for part in given.split(",") if part))
    known = [part for part in parts if part in named]
    for part in parts:
        if part not in known:
            st.warning(
                f"**This link names a scenario that is not saved here.** {plain(part[:40])} is left out.",
                icon=":material/info:",
            )
    if len(known) > MOST:
        st.warning(
            f"**This link names {len(known)} scenarios.** Expected {MOST} at most; the first {MOST} are used.",
            icon=":material/info:",
        )
    return known[:MOST]


def distinct(scenarios: list[Scenario]) -> list[str]:
    """Names to stand over columns, no two the same and none a header that the tables have of their own."""
    names, taken = [], set(RESERVED)
    for number, scenario in enumerate(scenarios):
        wanted = "Present" if number == 0 else " ".join(scenario.name.split())
        name, again = wanted, number
        while name in taken or less(name) in taken:
            name, again = f"{wanted} ({again})", again + 1
        names.append(name)
        taken |= {name, less(name)}
    return names


def less(name: str) -> str:
    """The header over the difference of a scenario from the present one."""
    return f"{name}, less present"


def input_words(value: object) -> str:
    """An input as people say it."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return words.given(value)
    return plain(words.STRATEGIES.get(str(value), words.PRICINGS.get(str(value), str(value))))


def inputs_table(scenarios: list[Scenario], names: list[str]) -> None:
    """Only the inputs that differ."""
    table = loaders.differing_inputs(scenarios).rename(columns=dict(enumerate(names)))
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        said = "1 input differs" if len(table) == 1 else f"{len(table)} inputs differ"
        st.markdown(f"### {said}", anchors=False)
        downloads("scenario-inputs", table)
    if table.empty:
        st.markdown("All inputs are the same, so all results are.")
        return
    shown = pd.DataFrame({"Input": table["input"], "Unit": table["unit"]})
    for name in names:
        shown[plain(name)] = [input_words(value) for value in table[name]]
    st.table(shown, border="horizontal", hide_index=True, alt=f"{len(table)} inputs that differ between scenarios")


def output_words(name: str, value: float, currency: str, plus: bool = True) -> str:
    """An output as people say it."""
    if name in loaders.MONEY:
        return words.money(value, currency, plus)
    return words.qalys(value, plus) if name == "inc_qalys" else words.per_1000(value, plus)


def outputs_table(found: list[loaders.Outputs], names: list[str]) -> pd.DataFrame:
    """One row an output: what each scenario gives, and the difference of each from the first with its interval."""
    rows = []
    for name, (label, unit) in OUTPUTS.items():
        row = {"Output": label, "Unit": unit.replace("currency", found[0].currency)}
        for title_, one in zip(names, found, strict=True):
            row[title_] = output_words(name, one.base[name], one.currency)
            row[title_] += interval_words(name, one.drawn[name], one.currency)
        for title_, one in zip(names[1:], found[1:], strict=True):
            row[less(title_)] = difference_words(name, one, found[0])
        rows.append(row)
    return pd.DataFrame(rows)


def output_numbers(found: list[loaders.Outputs], names: list[str]) -> pd.DataFrame:
    """The same to the last digit: one row an output and scenario; low and high are 95 % of the draws."""
    rows = []
    for name, (label, unit) in OUTPUTS.items():
        for title_, one in zip(names, found, strict=True):
            row = {"output": label, "unit": unit.replace("currency", one.currency), "scenario": title_}
            row["value"] = one.base[name]
            row["low"], row["high"] = loaders.spread(one.drawn[name])
            if one.currency == found[0].currency or name not in loaders.MONEY:
                row["less_present"] = one.base[name] - found[0].base[name]
                ends = loaders.spread(one.drawn[name] - found[0].drawn[name])
                row["less_present_low"], row["less_present_high"] = ends
            rows.append(row)
    return pd.DataFrame(rows)


def difference_words(name: str, one: loaders.Outputs, first: loaders.Outputs) -> str:
    """The difference of two scenarios with its interval; "–" between currencies."""
    if one.currency != first.currency and name in loaders.MONEY:
        return "– (another currency)"
    text = output_words(name, one.base[name] - first.base[name], one.currency)
    return text + interval_words(name, one.drawn[name] - first.drawn[name], one.currency)


def interval_words(name: str, draws: np.ndarray, currency: str) -> str:
    """95 % of the draws, in brackets behind the value; "" where none of them differs."""
    low, high = loaders.spread(draws)
    return (
        "" if low == high else f" ({words.range_words(low, high, lambda end: output_words(name, end, currency))})"
    )


def answer(found: list[loaders.Outputs], names: list[str]) -> None:
    """The clearest thing that can be said of the scenarios, by net benefit."""
    if len({one.currency for one in found}) > 1:
        st.header("The scenarios are in different currencies: compare their health, not their money", anchor=False)
        return
    best = max(range(len(found)), key=lambda i: found[i].base["inc_nmb"])
    if best == 0:
        st.header("The present scenario gains most, by net benefit with base values", anchor=False)
    else:
        change = found[best].drawn["inc_nmb"] - found[0].drawn["inc_nmb"]
        low, high = (words.money(value, found[0].currency, True) for value in loaders.spread(change))
        gain = words.money(found[best].base["inc_nmb"] - found[0].base["inc_nmb"], found[0].currency)
        st.header(f"{plain(names[best])} gains {gain} more a person than the present one", anchor=False)
        st.markdown(f"95 % of {DRAWS} draws: {low} to {high}, the same random numbers in both.")


def side_by_side(scenarios: list[Scenario]) -> None:
    """What differs in inputs, and what it does to outputs."""
    names = distinct(scenarios)
    unable = [name for name, scenario in zip(names, scenarios, strict=True) if not loaders.can_run(scenario)]
    if unable:
        st.header("Not all of these settings have the numbers for a comparison", anchor=False)
        st.markdown(f"{plain(', '.join(unable))}: no life table or costs. Their inputs are compared below.")
        inputs_table(scenarios, names)
        return
    with st.spinner(f"{DRAWS} draws of each scenario"):
        found = [loaders.outputs(scenario) for scenario in scenarios]
    answer(found, names)
    inputs_table(scenarios, names)
    table = outputs_table(found, names)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("### What it does", anchors=False)
        downloads("scenario-outputs", output_numbers(found, names))
    shown = table.rename(columns=plain)
    st.table(shown, border="horizontal", hide_index=True, alt="Outputs of each scenario and their differences")
    st.caption(
        f"Each scenario's way of reading less its comparator. In brackets 95 % of {DRAWS} draws, the same random "
        "numbers for all."
    )
    if len({one.currency for one in found}) == 1:
        benefit_figure(found, names)


def benefit_figure(found: list[loaders.Outputs], names: list[str]) -> None:
    """Net benefit of each scenario with its interval."""
    rows = [
        (name, one.base["inc_nmb"], *loaders.spread(one.drawn["inc_nmb"]), number == 0)
        for number, (name, one) in enumerate(zip(names, found, strict=True))
    ]
    table = pd.DataFrame(rows, columns=["name", "value", "low", "high", "first"])
    currency = found[0].currency
    worth = {words.money(one.wtp, currency) for one in found}
    clear = table[(table["low"] > 0) | (table["high"] < 0)]
    figure(
        charts.net_benefit(table, f"Net monetary benefit gained, {currency} per person"),
        table.drop(columns="first"),
        sentence=f"{len(clear) or 'None'} of {len(table)} scenarios clearly gains or loses",
        note=f"Dots: base values; whiskers: 95 % of {DRAWS} draws; a QALY worth {' or '.join(sorted(worth))}; "
        "dashed: no change",
        alt_text="Dot plot of net benefit: "
        + "; ".join(
            f"{row.name} {words.money(row.value, currency, True)}" for row in table.itertuples(index=False)
        ),
        name="scenario-net-benefit",
        source="Model results; every number stands on the page Sources.",
    )


def files_part(scenario: Scenario) -> None:
    """Export, import, report and workbook of the present scenario."""
    st.markdown("## Send it", anchors=False)
    with_draws = st.toggle(f"With intervals of {DRAWS} draws (takes some seconds)", value=True, key="with-draws")
    draws = DRAWS if with_draws and loaders.can_run(scenario) else 0
    stem = "".join(letter if letter.isalnum() else "-" for letter in scenario.name.lower()).strip("-") or "scenario"
    with st.container(horizontal=True, gap="small"):
        for label, icon, data, suffix, mime, help_ in (
            (
                "Report",
                "print",
                lambda: loaders.report(scenario, draws),
                "html",
                "text/html",
                "A page to print or mail: inputs, sources, results, limits, CHEERS 2022",
            ),
            (
                "Workbook",
                "table_view",
                lambda: loaders.book(scenario, draws),
                "xlsx",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "All inputs and results, a sheet a table",
            ),
            (
                "Scenario file",
                "description",
                lambda: loaders.as_yaml(scenario),
                "yaml",
                "application/yaml",
                "For python -m market --scenario FILE, or to import it here",
            ),
        ):
            st.download_button(
                label,
                data,
                f"lunglens-{stem}.{suffix}",
                mime,
                icon=f":material/{icon}:",
                on_click="ignore",
                help=help_,
                key=f"send-{suffix}",
            )
    st.markdown(f"Or copy this link; it carries the whole scenario:\n```text\n{link()}\n```")
    upload = st.file_uploader("Import a scenario file", type=["yaml", "yml"], key="import-file", max_upload_size=1)
    if upload is not None:
        try:
            imported = loaders.from_yaml(upload.getvalue(), upload.name)
        except MarketError as error:
            fault(error)
        else:
            st.button(
                f"Open {plain(imported.name)}", on_click=state.load, args=(imported,), icon=":material/folder_open:"
            )


def link() -> str:
    """The address of the scenario's first page with everything in it."""
    base = (st.context.url or "").partition("?")[0].rsplit("/", 1)[0]
    return f"{base}/screening-value{state.link_text()}"


head(
    "How do my scenarios differ?",
    "Save the scenario you work on, set it beside others, and send it as a link, a file, a report or a workbook. "
    f"{words.SETTINGS[state.current().setting]}, "
    f"{words.money_line(state.currency(), PRICE_YEAR)}.",
)
scenario = state.current(PAGE)
state.show_notices()
tell()
shelf = loaders.own_shelf()
try:
    items = shelf.list()
except MarketError as error:
    fault(error)
    items = []
for warning in shelf.warnings():
    st.warning(plain(warning), icon=":material/info:")
left, right = st.columns([1, 1], gap="medium")
with left:
    save_part(shelf, scenario)
with right:
    deleted_notice(shelf)
    shelf_part(shelf, items)
beside = chosen(items)
if beside:
    try:
        side_by_side([scenario, *(item.scenario for item in beside)])
    except MarketError as error:
        fault(error)
elif items:
    st.caption("Choose one to three saved scenarios to see what differs, and what that does.")
files_part(scenario)
st.caption(
    "**Limits.** Results of a model, not measurements; what it leaves out stands in the report. For research and "
    "education, no advice on care or investment."
)
