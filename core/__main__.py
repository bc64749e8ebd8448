"""The command line: python -m core COMMAND, of which `python -m core --help` lists all."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from core import heaps
from core.errors import ConfigError, ImageError, LungLensError

if TYPE_CHECKING:
    from core.order import Request


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0 when all went well, 2 for wrong usage, 1 when some input could not be
    read or, of `audit`, when something leaks."""
    options = parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be fit for the terminal
    if getattr(options, "trains", False):
        heaps.keep()
    try:
        return options.command(options)
    except LungLensError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, ImageError) else 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python -m core",
        description="Train, test and run a lung CT slice classifier.",
        epilog="For research and education. Not a medical device.",
    )
    commands = top.add_subparsers(required=True, dest="name")
    _add_train(commands)
    _add_evaluate(commands)
    _add_cross_validate(commands)
    _add_ensemble(commands)
    _add_backbones(commands)
    _add_neighbours(commands)
    _add_refusals(commands)
    _add_shortcuts(commands)
    _add_robustness(commands)
    _add_failures(commands)
    _add_paper(commands)
    _add_audit(commands)
    _add_predict(commands)
    return top


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("train", help="train a model; writes a run folder below data/runs")
    command.add_argument(
        "--data", nargs="+", metavar="DIR", help="folders with train/CLASS, test/CLASS or a manifest.csv"
    )
    command.add_argument("--config", default="lung", help="recipe: paper, lung, or a .toml file (default: lung)")
    command.add_argument("--weights", default="imagenet", help="imagenet, none, or a file (default: imagenet)")
    command.add_argument("--backbone", metavar="NAME", help="instead of the recipe's, e.g. resnet18")
    command.add_argument("--epochs", type=int, help="instead of the recipe's")
    command.add_argument("--batch-size", type=int, help="instead of the recipe's")
    command.add_argument("--learning-rate", type=float, help="instead of the recipe's")
    command.add_argument("--validation", type=float, metavar="SHARE", help="of the groups, instead of the recipe's")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--name", help="the run's name (default: recipe and time)")
    command.add_argument("--estimate", action="store_true", help="train nothing: time three batches, count images")
    command.add_argument("--json", action="store_true", help="with --estimate: as JSON")
    command.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was stopped; nothing else is needed"
    )
    command.set_defaults(command=_train, trains=True)


def _train(options: argparse.Namespace) -> int:
    from core.order import CHANGEABLE, Request

    changed = {name: getattr(options, name) for name in CHANGEABLE}
    given = any(value is not None for value in changed.values())
    if options.resume and (options.data or given or options.name or options.estimate):
        print("error: --resume: found other options beside it; expected none, the run has its own", file=sys.stderr)
        return 2
    if options.json and not options.estimate:
        print("error: --json: found without --estimate; expected both", file=sys.stderr)
        return 2
    if options.resume:
        return _resume(options.resume)
    if not options.data:
        print("error: --data: nothing given; expected one folder or more (or --resume RUN)", file=sys.stderr)
        return 2
    name = options.name or _default_name(options.config)
    request = Request(name, tuple(options.data), options.config, options.weights, seed=options.seed, **changed)
    return _estimate(request, options.json) if options.estimate else _train_new(request)


def _train_new(request: "Request") -> int:
    from core import jobs, runs
    from core.errors import RunError

    order = request.order()
    if (runs.RUNS / order.name).exists():
        raise RunError(order.name, "a run of that name", "another --name, or --resume to go on with it")
    with jobs.Turn(order.name, request) as turn:
        from core.train import train

        path = train(order, runs.RUNS, turn.tell)
    print(f"run {path.name} is finished: {path}")
    return 0


def _resume(run: str) -> int:
    from core import jobs, runs

    named = runs.RUNS / run
    path = named if named.is_dir() else Path(run)
    if path.resolve().parent != runs.RUNS.resolve():
        from core.train import resume

        path = resume(path)
    else:
        with jobs.Turn(path.resolve().name) as turn:
            from core.train import resume

            path = resume(path, turn.tell)
    print(f"run {path.name} is finished: {path}")
    return 0


def _estimate(request: "Request", as_json: bool) -> int:
    from core.order import expected_seconds
    from core.train import time_batches

    order = request.order()
    found = time_batches(order)
    if as_json:
        _print_json(found)
        return 0
    images = dict.fromkeys(("train", "validation", "test", "left out"), 0)
    for row in found["counts"]:
        images[row["part"]] += row["images"]
        print("{source}, {label}, {part}: {images} images, {groups} groups".format(**row))
    middle, least, most = (seconds / 60 for seconds in expected_seconds(order.recipe, images, found))
    print(f"{order.recipe.epochs} epochs take about {middle:.1f} minutes ({least:.1f} to {most:.1f})")
    return 0


def _default_name(config: str) -> str:
    """A run's name where none is given: the recipe and the time."""
    import time

    return f"{Path(config).stem}-{time.strftime('%Y%m%d-%H%M%S')}"


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("evaluate", help="test a run on labelled data that it has not seen")
    command.add_argument("--run", help="a run's name or folder (default: the demo run)")
    command.add_argument("--data", nargs="+", metavar="DIR", required=True)
    command.add_argument("--json", action="store_true", help="all metrics and intervals as JSON")
    command.add_argument("--keep", metavar="NAME", help="keep the result in the run's metrics and model card")
    command.set_defaults(command=_evaluate)


def _evaluate(options: argparse.Namespace) -> int:
    from core.evaluate import evaluate, keep
    from core.metrics import report_text

    result = evaluate(options.run, [Path(folder) for folder in options.data])
    if options.keep:
        keep(options.run, options.keep, result)
    if options.json:
        _print_json(result.to_json())
    else:
        print(report_text(result.evaluation))
        if result.seen:
            print(f"{result.seen} images were left out: the run was trained on them or on others of their groups.")
    return 0


def _add_cross_validate(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "cross-validate", help="train a run's recipe anew with parts of its data left out"
    )
    command.add_argument("--run", required=True, help="the run whose recipe, seed and data are tested")
    command.add_argument("--scheme", choices=("group", "source"), required=True)
    command.add_argument("--data", nargs="+", metavar="DIR", required=True, help="the run's data folders")
    command.add_argument("--weights", default="imagenet", help="the run's start weights (default: imagenet)")
    command.add_argument("--folds", type=int, default=5, help="of scheme group (default: 5)")
    command.set_defaults(command=_cross_validate, trains=True)


def _cross_validate(options: argparse.Namespace) -> int:
    from core.crossval import cross_validate

    folders = [Path(folder) for folder in options.data]
    _print_json(cross_validate(options.run, folders, options.weights, options.scheme, options.folds))
    return 0


def _add_ensemble(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("ensemble", help="a run whose probabilities are the mean of those of others")
    command.add_argument("runs", nargs="+", metavar="RUN", help="its members; the first has the say on refusing")
    command.add_argument("--name", required=True, dest="as_name", help="what the ensemble is called")
    command.set_defaults(command=_ensemble)


def _ensemble(options: argparse.Namespace) -> int:
    from core.ensemble import make

    path, measured = make(options.runs, options.as_name)
    told = f"measured anew: {', '.join(measured)}" if measured else "nothing that all members were tested on alike"
    print(f"ensemble {path.name} is made, its networks stay with its members; {told}: {path}")
    return 0


def _add_backbones(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "compare-backbones", help="what each backbone costs, and its accuracy on the same grouped folds"
    )
    command.add_argument("--data", nargs="+", type=Path, metavar="DIR", help="without it: cost alone")
    command.add_argument("--backbones", metavar="A,B", help="which, by name (default: all)")
    command.add_argument(
        "--weights", nargs="+", default=["imagenet"], help="imagenet, none, NAME=FILE (default: imagenet)"
    )
    command.add_argument("--config", default="lung", help="recipe: paper, lung, or a .toml file (default: lung)")
    command.add_argument("--epochs", type=int, help="instead of the recipe's")
    command.add_argument("--folds", type=int, default=5, help="grouped folds (default: 5)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--rounds", type=int, default=30, help="timings of a slice (default: 30)")
    command.add_argument("--keep", action="store_true", help="put the result where the pages read it")
    command.add_argument("--json", action="store_true", help="all figures and intervals as JSON")
    command.set_defaults(command=_backbones, trains=True)


def _backbones(options: argparse.Namespace) -> int:
    from core.backbones import BACKBONES
    from core.compare_backbones import NOT_MEASURED, Trial, accuracy, checked, cost, keep, report, start_weights
    from core.recipe import load_recipe

    names = checked(options.backbones.split(",") if options.backbones else list(BACKBONES))
    weights = start_weights(options.weights, names)
    recipe = load_recipe(options.config, **({"epochs": options.epochs} if options.epochs is not None else {}))

    def tell(doing: str) -> None:
        print(doing, file=sys.stderr)

    found = {"accuracy": NOT_MEASURED}
    if options.data:
        trial = Trial(tuple(options.data), recipe, weights, options.folds, options.seed)
        found["accuracy"] = accuracy(trial, tell=tell)
    found |= cost(names, recipe.preprocess.size, options.rounds, tell)
    if options.keep:
        keep(found)
    if options.json:
        _print_json(found)
    else:
        print(report(found))
    return 0


def _add_neighbours(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("neighbours", help="index a run's training slices by their features")
    command.add_argument("--run", help="a run's name or folder (default: the demo run)")
    command.add_argument("--data", nargs="+", metavar="DIR", required=True, help="the run's data folders")
    command.set_defaults(command=_neighbours)


def _neighbours(options: argparse.Namespace) -> int:
    from core.neighbours import build

    print(build(options.run, [Path(folder) for folder in options.data]))
    return 0


def _add_refusals(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("refusals", help="count what a run refuses of pictures that are no lung slices")
    command.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    command.add_argument("--run", help="a run's name or folder (default: the demo run)")
    command.add_argument("--keep", action="store_true", help="put the counts into the run and its model card")
    command.add_argument("--json", action="store_true", help="all counts and intervals as JSON")
    command.set_defaults(command=_refusals)


def _refusals(options: argparse.Namespace) -> int:
    from core.refusals import count, keep, report

    found = count(options.run, options.folders)
    return _give(options, found, keep, report)


def _add_shortcuts(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("shortcuts", help="how much of a run's accuracy need not come from the lungs")
    command.add_argument("--run", required=True, help="a run after cross-validate --scheme group")
    command.add_argument("--data", nargs="+", metavar="DIR", required=True, help="the run's data folders")
    command.add_argument("--keep", action="store_true", help="put the result into the run and its model card")
    command.add_argument("--json", action="store_true", help="all figures and intervals as JSON")
    command.set_defaults(command=_shortcuts, trains=True)


def _shortcuts(options: argparse.Namespace) -> int:
    from core.shortcuts import keep, measure, report

    with _progress("fold") as tell:
        found = measure(options.run, [Path(folder) for folder in options.data], tell)
    return _give(options, found, keep, report)


def _add_robustness(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("robustness", help="how a run's accuracy falls as pictures get worse")
    command.add_argument("--run", required=True, help="a run after cross-validate --scheme group")
    command.add_argument("--data", nargs="+", metavar="DIR", required=True, help="the run's data folders")
    command.add_argument("--sample", type=int, default=300, help="slices to measure on (default: 300)")
    command.add_argument("--keep", action="store_true", help="put the result into the run and its model card")
    command.set_defaults(command=_robustness, trains=True)


def _robustness(options: argparse.Namespace) -> int:
    from core.robustness import keep, measure

    with _progress("fold") as tell:
        found = measure(options.run, [Path(folder) for folder in options.data], options.sample, tell)
    if options.keep:
        keep(options.run, found)
    _print_json(found)
    return 0


def _add_failures(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "failures", help="a run's worst wrong answers on phantoms; counts on held-out slices"
    )
    command.add_argument("--run", help="a run's name or folder (default: the demo run)")
    command.add_argument("--count", type=int, default=100, help="phantoms of each class (default: 100)")
    command.add_argument("--seed", type=int, default=1000, help="first seed of each class (default: 1000)")
    command.add_argument("--keep", action="store_true", help="put the result into the run and its model card")
    command.add_argument("--json", action="store_true", help="all figures and intervals as JSON")
    command.set_defaults(command=_failures)


def _failures(options: argparse.Namespace) -> int:
    from core.failures import keep, measure, report

    with _progress("phantom") as tell:
        found = measure(options.run, options.count, options.seed, tell)
    return _give(options, found, keep, report)


def _add_paper(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser(
        "reproduce-paper", help="what the paper's recipe gives on X-rays and on CT slices"
    )
    command.add_argument(
        "--data", type=Path, metavar="DIR", help="the set of 251 and 66 X-rays that its digits fit; five seeds"
    )
    command.add_argument(
        "--ct", nargs="+", type=Path, metavar="DIR", help="folders of CT slices, one a source; five seeds, hours"
    )
    command.add_argument("--weights", default="imagenet", help="start weights (default: imagenet)")
    command.add_argument("--seeds", type=int, help="another number of trainings")
    command.add_argument("--keep", action="store_true", help="put the results where the page Paper reads them")
    command.add_argument("--more", action="store_true", help="with --ct: only the seeds that the kept results lack")
    command.set_defaults(command=_paper, trains=True)


def _paper(options: argparse.Namespace) -> int:
    from core import paper, paper_ct

    if not options.data and not options.ct:
        raise ConfigError(
            "reproduce-paper", "neither --data nor --ct", "the folder of X-rays, those of CT slices, or both"
        )
    found = {}
    known = {"known": paper.kept(paper.CT_RESULTS) if options.more else {}}
    parts = (
        ("xray", paper, options.data, paper.RESULTS, {}),
        ("ct", paper_ct, options.ct, paper.CT_RESULTS, known),
    )
    for name, module, folders, path, more in parts:
        if folders:
            with _progress("seed") as tell:
                seeds = module.SEEDS if options.seeds is None else options.seeds
                found[name] = module.reproduce(folders, options.weights, seeds, tell=tell, **more)
            if options.keep:
                paper.keep(found[name], path)
    _print_json(found)
    return 0


def _add_audit(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("audit", help="what is in data folders, and what leaks between their parts")
    command.add_argument("data", nargs="+", type=Path, metavar="DIR")
    command.add_argument("--run", help="take the parts (train, validation, test) from this run's split")
    command.add_argument("--json", action="store_true", help="all counts, pairs and intervals as JSON")
    command.set_defaults(command=_audit)


def _audit(options: argparse.Namespace) -> int:
    from core.audit import audit
    from core.audit_report import report

    with _progress("image") as tell:
        found = audit(options.data, options.run, tell)
    if options.json:
        _print_json(found.to_json())
    else:
        print(report(found))
    return 0 if found.leaks.empty else 1


def _add_predict(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("predict", help="classify files, folders and archives, one line a slice")
    command.add_argument("paths", nargs="+", metavar="PATH")
    command.add_argument("--run", help="a run's name or folder (default: the demo run)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table with a header")
    command.add_argument(
        "--coverage", type=float, metavar="SHARE", help="also list the classes that a slice could be, e.g. 0.9"
    )
    command.add_argument("--heatmaps", type=Path, metavar="DIR", help="write each slice with its heat map as PNG")
    command.set_defaults(command=_predict)


def _predict(options: argparse.Namespace) -> int:
    from core.predict import predict_to

    form = "json" if options.json else "csv" if options.csv else "text"
    return predict_to(sys.stdout, options.paths, options.run, form, options.heatmaps, options.coverage)


def _give(options: argparse.Namespace, found: dict, keep: Callable, report: Callable[[dict], str]) -> int:
    """Put what was found into the run if that is wished, and print it as JSON or in words."""
    if options.keep:
        keep(options.run, found)
    if options.json:
        _print_json(found)
    else:
        print(report(found))
    return 0


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error where that is a terminal; it is told how many are done, of how many."""
    from tqdm import tqdm

    with tqdm(unit=unit, file=sys.stderr, disable=None, dynamic_ncols=True) as bar:

        def tell(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield tell


def _print_json(content: object) -> None:
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
