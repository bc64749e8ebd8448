"""The command line: python -m core train | evaluate | cross-validate | predict."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from core.errors import ImageError, LungLensError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; exit status 0 when all went well, 1 when some input could not be read, 2 for wrong usage."""
    options = parser().parse_args(arguments)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names need not be fit for the terminal
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
    _add_predict(commands)
    return top


def _add_train(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("train", help="train a model; writes a run folder below data/runs")
    command.add_argument(
        "--data", nargs="+", metavar="DIR", help="folders with train/CLASS, test/CLASS or a manifest.csv"
    )
    command.add_argument("--config", default="lung", help="recipe: paper, lung, or a .toml file (default: lung)")
    command.add_argument("--weights", default="imagenet", help="imagenet, none, or a file (default: imagenet)")
    command.add_argument("--epochs", type=int, help="instead of the recipe's")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--name", help="the run's name (default: recipe and time)")
    command.add_argument(
        "--resume", metavar="RUN", help="go on with a run that was stopped; nothing else is needed"
    )
    command.set_defaults(command=_train)


def _train(options: argparse.Namespace) -> int:
    from core import train
    from core.recipe import load_recipe
    from core.runs import RUNS

    if options.resume and (options.data or options.epochs or options.name):
        print("error: --resume: found other options beside it; expected none, the run has its own", file=sys.stderr)
        return 2
    if options.resume:
        named = RUNS / options.resume
        path = train.resume(named if named.is_dir() else Path(options.resume))
    elif not options.data:
        print("error: --data: nothing given; expected one folder or more (or --resume RUN)", file=sys.stderr)
        return 2
    else:
        changed = {} if options.epochs is None else {"epochs": options.epochs}
        recipe = load_recipe(options.config, **changed)
        name = options.name or train.default_name(options.config)
        path = train.train(train.Order(name, tuple(options.data), recipe, options.weights, options.seed))
    print(f"run {path.name} is finished: {path}")
    return 0


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
    command.set_defaults(command=_cross_validate)


def _cross_validate(options: argparse.Namespace) -> int:
    from core.crossval import cross_validate

    folders = [Path(folder) for folder in options.data]
    _print_json(cross_validate(options.run, folders, options.weights, options.scheme, options.folds))
    return 0


def _add_predict(commands: argparse._SubParsersAction) -> None:
    command = commands.add_parser("predict", help="classify files, folders and archives, one line a slice")
    command.add_argument("paths", nargs="+", metavar="PATH")
    command.add_argument("--run", help="a run's name or folder (default: the demo run)")
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="a table with a header")
    command.add_argument("--heatmaps", type=Path, metavar="DIR", help="write each slice with its heat map as PNG")
    command.set_defaults(command=_predict)


def _predict(options: argparse.Namespace) -> int:
    from core.predict import predict_to

    form = "json" if options.json else "csv" if options.csv else "text"
    return predict_to(sys.stdout, options.paths, options.run, form, options.heatmaps)


def _print_json(content: object) -> None:
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


if __name__ == "__main__":
    sys.exit(main())
