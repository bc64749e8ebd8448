"""The command-line reference, from the parsers themselves: `python -m tests.command_reference` writes it anew."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import core.__main__
import market.__main__

FILE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"

HEAD = """# Commands

Written from the parsers by `python -m tests.command_reference`; a test fails where it is stale. What the commands
are for is told in the [README](../README.md#command-line). Every command also has `--help`.
"""


def reference() -> str:
    """All commands of `python -m core` and `python -m market` as Markdown, the same on every Python."""
    return "\n".join([HEAD, *_program(core.__main__.parser()), *_program(market.__main__.parser())])


def _program(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield f"## {parser.prog}\n\n{parser.description} {parser.epilog}\n"
    yield from _commands(parser)


def _commands(parser: argparse.ArgumentParser) -> Iterator[str]:
    """A section for each command below the parser, those of its commands included."""
    for group in _subparsers(parser):
        told = {choice.dest: choice.help for choice in group._choices_actions}
        for name, command in group.choices.items():
            rows = [_row(action) for action in command._actions if action.help != argparse.SUPPRESS]
            yield f"### {command.prog}\n\n{_sentence(told[name])}\n"
            if not _subparsers(command):
                yield "\n".join(["| argument | |", "|---|---|", *filter(None, rows)]) + "\n"
            yield from _commands(command)


def _subparsers(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction]:
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def _row(action: argparse.Action) -> str:
    """One line of a command's table; empty for --help."""
    if isinstance(action, argparse._HelpAction):
        return ""
    names = " ".join(filter(None, [", ".join(action.option_strings), _values(action)]))
    about = (action.help or "") % vars(action)
    needed = "required" if action.required and action.option_strings else ""
    return f"| `{names}` | {'; '.join(filter(None, [about, needed]))} |"


def _values(action: argparse.Action) -> str:
    """What follows an option, or stands for a positional argument: as in `ID...`."""
    if action.nargs == 0:
        return ""
    if isinstance(action.metavar, tuple):
        return " ".join(action.metavar)
    choices = "{" + ",".join(map(str, action.choices)) + "}" if action.choices else ""
    word = action.metavar or choices or (action.dest if not action.option_strings else action.dest.upper())
    if isinstance(action.nargs, int):
        return " ".join([word] * action.nargs)
    return word + {"+": "...", "*": "..."}.get(action.nargs, "")


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def main(arguments: Sequence[str] = ()) -> int:
    """Write docs/commands.md."""
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(reference(), encoding="utf-8")
    print(FILE.relative_to(FILE.parent.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
