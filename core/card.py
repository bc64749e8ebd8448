"""The model card of a run, written from its own files: no number that is not in them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core import card_results, card_subject
from core.card_text import table
from core.checklist import Checklist, checklists, count_words, fill, rows
from core.facts import NOTES, run_document
from core.runs import FAILURES, Run, write_atomically
from core.scored import schemes

FAILED, CHECKLISTS = "Where it goes wrong", "Reporting checklists"
"""Headings that the pages look for."""

STYLE = """<meta name="viewport" content="width=device-width, initial-scale=1"><style>
:root { color-scheme: light dark; --line: light-dark(#CBD5DA, #33424B); }
body { max-width: 68rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 system-ui, sans-serif;
  color: light-dark(#16222A, #E4EAED); background: light-dark(#FFF, #0F1519); overflow-wrap: break-word; }
a { color: light-dark(#0B6B75, #5ABDC2); }
h2 { margin-top: 2.5rem; padding-top: .75rem; border-top: 1px solid var(--line); }
nav ul { columns: 16rem; } .scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); text-align: left; }
td { vertical-align: top; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 1rem; }
figure { margin: 0; break-inside: avoid; } figure img { width: 100%; } figcaption { font-size: .875rem; }
@media print { body { margin: 0; max-width: none; } .scroll { overflow: visible; } tr { break-inside: avoid; } }
</style>"""


def write_card(path: Path) -> None:
    """Write MODEL_CARD.md of a run folder from what lies in it: config, metrics, failures, split and NOTES.md."""
    write_atomically(path / "MODEL_CARD.md", ("\n\n".join(_sections(Run(path))) + "\n").encode())


def html(text: str, name: str, pictures: Sequence[tuple[str, bytes]] = ()) -> str:
    """A card as a page that stands alone and prints; whatever looks like HTML in it is shown as text.

    `pictures` (caption, PNG) are put at the end of the section FAILED.
    """
    from html import escape

    from markdown import Markdown

    reader = Markdown(extensions=["tables", "toc"], extension_configs={"toc": {"toc_depth": "2-2"}})
    reader.preprocessors.deregister("html_block")
    for kind in ("html", "link", "reference", "short_reference", "autolink", "automail"):
        reader.inlinePatterns.deregister(kind)  # no address in a card is meant to be followed,
    for kind in ("image_link", "image_reference", "short_image_ref"):
        reader.inlinePatterns.deregister(kind)  # and nothing loaded from outside
    body = reader.convert(text).replace("<table>", '<div class="scroll" tabindex="0"><table>')
    body = body.replace("</table>", "</table></div>")
    contents = f'<nav aria-label="Contents">{reader.toc}</nav>' if reader.toc_tokens else ""
    body = body.replace("<h2", f"{contents}<h2", 1) if contents else body
    if pictures:
        start, heading, rest = body.partition(f">{FAILED}</h2>")
        section, following, after = rest.partition("<h2")
        body = f"{start}{heading}{section}{_figures(pictures)}{following}{after}"
    head = f'<meta charset="utf-8"><title>{escape(name)}</title>{STYLE}'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _figures(pictures: Sequence[tuple[str, bytes]]) -> str:
    from base64 import b64encode
    from html import escape

    shown = (
        f'<figure><img src="data:image/png;base64,{b64encode(data).decode()}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, data in pictures
    )
    return f'<div class="pictures">{"".join(shown)}</div>\n'


def _sections(run: Run) -> Iterator[str]:
    config = run.config
    yield f"# Model card: run {config['name']}"
    yield card_subject.lead(config)
    yield "## In short"
    yield card_subject.in_short(run)
    yield "## Data"
    yield from card_subject.data(run)
    yield "## Training"
    yield card_subject.training(config)
    yield from _measured(run.metrics, config["labels"])
    if {"group", "source"} <= set(schemes(run)):
        yield "## How sure"
        yield from card_results.sets(run)
    found = run_document(run, FAILURES)
    if found:
        yield f"## {FAILED}"
        yield from card_results.failures(found)
    yield "## Limits"
    yield from card_subject.limits(run)
    if (run.path / NOTES).exists():
        yield (run.path / NOTES).read_text(encoding="utf-8").strip()
    else:
        yield "Terms of the data and what else is to be known of them are not recorded: the run has no NOTES.md."
    yield f"## {CHECKLISTS}"
    for checklist in checklists():
        yield from _checklist(run, checklist)


def _measured(metrics: dict[str, Any], labels: list[str]) -> Iterator[str]:
    """All that metrics.json holds, the least flattering first."""
    if "leave_one_source_out" in metrics:
        yield "## Sources left out of training"
        yield (
            "The recipe was trained anew without one source and tested on it alone: the honest estimate for "
            "slices from elsewhere. A source without all classes cannot test the others."
        )
        yield from card_results.left_out(metrics["leave_one_source_out"], labels)
    if "grouped_validation" in metrics:
        yield "## Grouped folds"
        yield (
            f"The recipe was trained anew {metrics['grouped_validation'].get('folds') or 'several'} times, "
            "each time without a part of the groups, and tested on them. "
            "Every source is on both sides, so these figures flatter the model wherever the class can be "
            "told from the source. The temperature was fitted to these same predictions, which flatters their "
            "Brier score and calibration error a little."
        )
        yield from card_results.evaluation(metrics["grouped_validation"])
        yield from card_results.sliced(metrics["grouped_validation"].get("by_source", {}), labels)
        for column, found in metrics["grouped_validation"].get("by_column", {}).items():
            yield from card_results.sliced(found, labels, column.capitalize())
    for part in ("validation", "test"):
        if part in metrics:
            yield f"## The run's own {part} images"
            yield from card_results.evaluation(metrics[part])
    for name, found in metrics.get("tests", {}).items():
        yield f"## Tested on {name}"
        yield from card_results.evaluation(found)
    for key, heading, section in (
        ("calibration", "Calibration", card_results.calibration),
        ("robustness", "Robustness", card_results.robustness),
        ("shortcuts", "Shortcut meter", card_results.shortcuts),
        ("gate", "What it refuses", card_results.refusals),
    ):
        if key in metrics:
            yield f"## {heading}"
            yield from section(metrics[key])


def _checklist(run: Run, checklist: Checklist) -> Iterator[str]:
    """A checklist with every item, filled from the run or open."""
    items = fill(run, checklist)
    yield f"### {checklist.name}: {count_words(items)}"
    yield (
        f"{checklist.citation.strip()} ({checklist.url}). {checklist.licence.strip()} Filled means that the run's "
        "files hold the answer, not that the answer is good; an open item says what would answer it."
    )
    yield table(
        [
            ["Item", "Topic", "State", "Answer, or what would answer it"],
            *([row["item"], row["topic"], row["state"], row["text"]] for row in rows(items)),
        ]
    )
