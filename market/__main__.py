"""The command line: python -m market run | psa | dsa | budget | adoption | size | scenarios | sources | ..."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from market.budget import PRICINGS
from market.errors import InputError, MarketError, ParameterError
from market.parameters import SETTINGS
from market.report import Report
from market.scenarios import (
    CHOICES,
    OperatingPoint,
    Scenario,
    choices,
    read_scenario,
    scenario_text,
    write_scenario,
)

Build = Callable[[argparse.Namespace], Report]

_SCENARIOS = "(default: the scenario's, or {})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0 when all went well, 2 for wrong usage or inputs, 130 when interrupted."""
    options = parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # names need not be fit for the terminal
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except MarketError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # What is still in the buffer would be tried again, and complained about, when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        return _refuse(f"{error.filename or 'a file'}: {error.strerror or error}")


def _refuse(message: str) -> int:
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m market",
        description="What AI-assisted lung cancer screening costs, saves and is worth.",
        epilog="Results of models, for research and education.",
    )
    commands = top.add_subparsers(required=True, dest="name")
    for add in (_add_run, _add_psa, _add_dsa, _add_budget, _add_adoption, _add_size):
        add(commands)
    for add in (_add_scenarios, _add_sources, _add_calibrate, _add_validate):
        add(commands)
    return top


# What several commands take


def _command(
    commands: argparse._SubParsersAction, name: str, help_text: str, build: Build
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=help_text, description=help_text)
    _add_scenario_options(command)
    _add_forms(command)
    command.set_defaults(command=lambda options: _show(options, build(options)))
    return command


def _add_scenario_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--setting", choices=tuple(SETTINGS), help="whose numbers (default: the scenario's, or us)"
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="ID=VALUE",
        dest="changes",
        help="another value of a number, as --set c_ai_scan=6.5; may be repeated (sources lists all ids)",
    )
    command.add_argument(
        "--scenario", type=Path, metavar="FILE", help="a scenario in YAML; --set goes on top of it"
    )
    command.add_argument(
        "--ai",
        nargs=4,
        type=float,
        metavar=("TP", "FN", "TN", "FP"),
        help="counts behind the AI's sensitivity and specificity on whole screening CTs; psa draws from them",
    )


def _add_forms(command: argparse.ArgumentParser) -> None:
    form = command.add_mutually_exclusive_group()
    form.add_argument(
        "--json", action="store_true", help="everything as one JSON object; null where there is no number"
    )
    form.add_argument("--csv", action="store_true", help="the first table with a header")


def _show(options: argparse.Namespace, report: Report) -> int:
    print(report.as_json() if options.json else report.as_csv() if options.csv else report.as_text())
    return 0


def _scenario(options: argparse.Namespace) -> Scenario:
    """The scenario of the file, if any, with --set, --setting and --seed."""
    found = Scenario("base case", "us") if options.scenario is None else read_scenario(options.scenario)
    if options.scenario is not None and options.setting not in (None, found.setting):
        raise ParameterError(
            "--setting", options.setting, f"{found.setting}, as in {options.scenario.name}, or none"
        )
    seed = getattr(options, "seed", None)
    point, note = found.operating_point, found.operating_point_note
    if options.ai is not None:
        point, note = OperatingPoint(*options.ai), "given on the command line"
    return replace(
        found,
        setting=options.setting or found.setting,
        seed=found.seed if seed is None else seed,
        overrides=dict(found.overrides) | dict(_change(text) for text in options.changes),
        operating_point=point,
        operating_point_note=note,
    )


def _choice(options: argparse.Namespace, scenario: Scenario, key: str) -> Any:
    """The option, or where it was not given the scenario's field of that name."""
    given = getattr(options, key)
    return getattr(scenario, key) if given is None and key in CHOICES else given


def _change(text: str) -> tuple[str, float]:
    key, sign, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = None
    if not sign or number is None:
        raise ParameterError("--set", repr(text), "ID=VALUE with a number, as c_ai_scan=6.5")
    return key.strip(), number


def _parameters(scenario: Scenario):
    from market.analysis import scenario_parameters

    return scenario_parameters(scenario)


def _with_parameters(name: str, *arguments: str) -> Build:
    """A build that calls market.commands.NAME with scenario, parameters and these options."""

    def build(options: argparse.Namespace) -> Report:
        from market import commands

        scenario = _scenario(options)
        given = {key: _choice(options, scenario, key) for key in arguments}
        return getattr(commands, name)(scenario, _parameters(scenario), **given)

    return build


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type for argparse: a whole number from least to most."""

    def whole(text: str) -> int:
        number = int(text)
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(
                f"{text}: expected {least} to {most}" if most else f"{text}: expected {least} or more"
            )
        return number

    whole.__name__ = "whole number"
    return whole


# Commands


def _add_run(commands: argparse._SubParsersAction) -> None:
    _command(commands, "run", "base case: cost, QALYs and ICERs of all strategies", _with_parameters("run"))


def _add_psa(commands: argparse._SubParsersAction) -> None:
    command = _command(
        commands, "psa", "probabilistic analysis: intervals, acceptability, value of information", _psa
    )
    command.add_argument("--draws", type=_whole(1), default=10_000, metavar="N", help="(default: 10000)")
    command.add_argument("--seed", type=_whole(0), metavar="S", help="(default: the scenario's, or 0)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write draws.parquet and results.parquet there")
    command.add_argument("--comparator", metavar="NAME", help=f"of differences {_SCENARIOS.format('single')}")
    command.add_argument(
        "--evppi", nargs="+", default=[], metavar="ID", help="value of knowing these numbers together"
    )
    command.add_argument(
        "--years", type=_whole(1, 50), metavar="N", help=f"for which the decision stands {_SCENARIOS.format(5)}"
    )


def _psa(options: argparse.Namespace) -> Report:
    from tqdm import tqdm

    from market import commands

    scenario = _scenario(options)
    parameters = _parameters(scenario)
    with tqdm(total=options.draws, unit=" draws", disable=not sys.stderr.isatty(), leave=False) as bar:
        return commands.psa(
            scenario,
            parameters,
            options.draws,
            _choice(options, scenario, "comparator"),
            _choice(options, scenario, "years"),
            options.evppi,
            options.out,
            bar.update,
        )


def _add_dsa(commands: argparse._SubParsersAction) -> None:
    build = _with_parameters("dsa", "strategy", "comparator", "outcome", "top", "two_way")
    command = _command(commands, "dsa", "deterministic sensitivity: a tornado, or two numbers at once", build)
    _add_comparison(command)
    command.add_argument(
        "--outcome", choices=("nmb", "icer", "cost", "effect"), default="nmb", help="(default: nmb)"
    )
    command.add_argument("--top", type=_whole(1), default=15, metavar="N", help="rows of the text (default: 15)")
    command.add_argument("--two-way", nargs=2, metavar="ID", help="best strategy over the ranges of two numbers")


def _add_comparison(command: argparse.ArgumentParser) -> None:
    command.add_argument("--strategy", metavar="NAME", help=_SCENARIOS.format("concurrent"))
    command.add_argument("--comparator", metavar="NAME", help=_SCENARIOS.format("single"))


def _add_budget(commands: argparse._SubParsersAction) -> None:
    arguments = ("strategy", "comparator", "years", "entrants", "pricing", "draws")
    build = _with_parameters("budget_impact", *arguments)
    command = _command(commands, "budget", "budget impact and business case of a hospital and its payer", build)
    _add_site(command)
    _add_draws(command, 0)


def _add_site(command: argparse.ArgumentParser) -> None:
    _add_comparison(command)
    command.add_argument("--years", type=_whole(1, 10), metavar="N", help=f"1 to 10 {_SCENARIOS.format(5)}")
    command.add_argument(
        "--entrants",
        type=float,
        metavar="N",
        help="persons who start a year (default: the scenario's, or by sources)",
    )
    command.add_argument("--pricing", choices=PRICINGS, help=_SCENARIOS.format("per_scan"))


def _add_draws(command: argparse.ArgumentParser, default: int) -> None:
    command.add_argument(
        "--draws",
        type=_whole(0),
        default=default,
        metavar="N",
        help=f"for 95 %% intervals, 0: none (default: {default})",
    )
    command.add_argument("--seed", type=_whole(0), metavar="S", help="(default: the scenario's, or 0)")


def _add_adoption(commands: argparse._SubParsersAction) -> None:
    build = _with_parameters("adoption", "years", "draws")
    command = _command(commands, "adoption", "sites, scans and revenue by year in three scenarios", build)
    command.add_argument("--years", type=_whole(1, 30), default=10, metavar="N", help="(default: 10)")
    _add_draws(command, 1000)


def _add_size(commands: argparse._SubParsersAction) -> None:
    build = _with_parameters("size", "years", "draws")
    command = _command(commands, "size", "market size from the bottom up, factor by factor", build)
    command.add_argument("--years", type=_whole(1, 30), metavar="N", help=_SCENARIOS.format(5))
    _add_draws(command, 1000)


def _add_sources(commands: argparse._SubParsersAction) -> None:
    build = _with_parameters("sources", "words")
    command = _command(commands, "sources", "every number with its unit, interval, trust and source", build)
    command.add_argument("words", nargs="*", metavar="WORD", help="only numbers with one of these in id or label")


def _add_calibrate(commands: argparse._SubParsersAction) -> None:
    build = _with_parameters("calibrate", "search", "path")
    command = _command(commands, "calibrate", "targets, method and fit to the National Lung Screening Trial", build)
    command.add_argument("--search", action="store_true", help="look for the fit anew (a minute or more)")
    command.add_argument(
        "--out", type=Path, metavar="FILE", dest="path", help="with --search: write the fit as JSON"
    )


def _add_validate(commands: argparse._SubParsersAction) -> None:
    help_text = "the model against published results: expected, got and why they differ"
    _command(commands, "validate", help_text, _validate)


def _validate(options: argparse.Namespace) -> Report:
    if options.changes or options.scenario or options.ai or options.setting:
        raise InputError("validate", "changed numbers", "none: each published result comes with its own")
    return _with_parameters("validate")(options)


# Scenarios


def _add_scenarios(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("scenarios", help="save, show, export and import scenarios")
    actions = command.add_subparsers(required=True, dest="action")
    adders = {
        "list": ("saved scenarios, the last saved last", _list),
        "save": ("save numbers and their base case under a name", _save),
        "show": ("a saved scenario as YAML, with its results", _show_saved),
        "delete": ("take a scenario off the list", _delete),
        "undelete": ("bring a deleted scenario back", _delete),
        "export": ("write a saved scenario to a file", _export),
        "import": ("save the scenario in a file", _import),
    }
    for name, (help_text, function) in adders.items():
        action = actions.add_parser(name, help=help_text, description=help_text)
        action.add_argument("--store", type=Path, metavar="FILE", help="(default: data/market/scenarios.duckdb)")
        action.set_defaults(command=function)
        if name in ("show", "delete", "undelete", "export"):
            action.add_argument("id", help="its id, or how that begins")
        if name in ("show", "export"):
            action.add_argument("--version", type=_whole(1), metavar="N", help="(default: the last)")
        if name in ("export", "import"):
            action.add_argument("file", type=Path)
        if name in ("save", "import"):
            action.add_argument("--id", help="save a new version of this scenario")
    saving, listing = actions.choices["save"], actions.choices["list"]
    saving.add_argument("title", metavar="NAME")
    saving.add_argument("--note", help="why, for whom")
    saving.add_argument("--seed", type=_whole(0), metavar="S")
    _add_scenario_options(saving)
    _add_site(saving)
    listing.add_argument("--all", action="store_true", help="deleted ones too")
    for action in (listing, actions.choices["show"]):
        _add_forms(action)


def _store(options: argparse.Namespace):
    from market.database import ScenarioStore

    return ScenarioStore() if options.store is None else ScenarioStore(options.store)


def _full_id(store, beginning: str) -> str:
    """The id of the one saved scenario, deleted or not, that begins so."""
    found = [stored.id for stored in store.list_scenarios(deleted=True) if stored.id.startswith(beginning)]
    if len(found) != 1 or not beginning:
        raise InputError("id", repr(beginning), "how the id of one saved scenario begins (scenarios list --all)")
    return found[0]


def _warn(store) -> None:
    for warning in store.warnings:
        print(f"warning: {warning}", file=sys.stderr)


def _save_in_store(options: argparse.Namespace, scenario: Scenario) -> int:
    from market import analysis

    parameters = analysis.scenario_parameters(scenario)
    results = None
    if scenario.setting in analysis.COMPLETE:
        from market.report import plain

        results = plain(analysis.base_case(parameters).table.to_dict("records"))
    store = _store(options)
    key = None if options.id is None else _full_id(store, options.id)
    stored = store.save_scenario(scenario, results, key)
    _warn(store)
    print(f"{stored.id} version {stored.version}: {scenario.name}")
    return 0


def _save(options: argparse.Namespace) -> int:
    base = _scenario(options)
    note = base.note if options.note is None else options.note
    chosen = {
        key: _choice(options, base, key) for key in ("strategy", "comparator", "years", "entrants", "pricing")
    }
    return _save_in_store(options, replace(base, name=options.title, note=note, **chosen))


def _import(options: argparse.Namespace) -> int:
    return _save_in_store(options, read_scenario(options.file))


def _list(options: argparse.Namespace) -> int:
    import pandas as pd

    from market.report import Column, Table

    store = _store(options)
    rows = [
        {
            "id": stored.id,
            "version": stored.version,
            "name": stored.scenario.name,
            "setting": stored.scenario.setting,
            "overrides": len(stored.scenario.overrides),
            "engine": stored.engine_version,
            "saved": stored.created.isoformat(timespec="seconds"),
            "deleted": stored.deleted and stored.deleted.isoformat(timespec="seconds"),
        }
        for stored in store.list_scenarios(deleted=options.all)
    ]
    _warn(store)
    columns = {name: Column(name) for name in ("id", "version", "name", "setting", "overrides", "saved", "deleted")}
    frame = pd.DataFrame(rows, columns=[*columns, "engine"])
    return _show(
        options, Report({"command": "scenarios"}, {"scenarios": Table(f"{len(rows)} saved", frame, columns)})
    )


def _loaded(options: argparse.Namespace):
    store = _store(options)
    stored = store.load_scenario(_full_id(store, options.id), options.version)
    _warn(store)
    return stored


def _show_saved(options: argparse.Namespace) -> int:
    import pandas as pd

    from market.report import MODEL_LINE, Column, Table, table_text

    stored = _loaded(options)
    frame = pd.DataFrame(stored.results or [])
    columns = {
        "label": Column("strategy"),
        "cost": Column("cost", "{:,.0f}"),
        "qalys": Column("QALYs", "{:.4f}"),
        "nmb": Column("net benefit", "{:,.0f}"),
    }
    table = Table("Base case when it was saved", frame, columns if len(frame) else {})
    about = {"id": stored.id, "version": stored.version, "engine": stored.engine_version}
    if options.json or options.csv:
        scenario = vars(stored.scenario) | choices(stored.scenario) | {"overrides": dict(stored.scenario.overrides)}
        values = {"scenario": scenario, "created": stored.created.isoformat()}
        return _show(options, Report(about, {"results": table}, values=values))
    print("  ".join(f"{name} {value}" for name, value in about.items()))
    print(scenario_text(stored.scenario))
    if len(frame):
        print(f"{table.title}\n{table_text(table)}\n\n{MODEL_LINE}")
    return 0


def _export(options: argparse.Namespace) -> int:
    stored = _loaded(options)
    write_scenario(stored.scenario, options.file)
    print(f"{stored.scenario.name}: {options.file}")
    return 0


def _delete(options: argparse.Namespace) -> int:
    store = _store(options)
    key = _full_id(store, options.id)
    (store.delete if options.action == "delete" else store.undelete)(key)
    _warn(store)
    print(f"{key} {options.action}d")
    return 0


if __name__ == "__main__":
    sys.exit(main())
