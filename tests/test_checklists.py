"""Reporting checklists: every item is there, filled from what the run holds, open where it holds nothing."""

import csv
import json
import shutil

import pytest

from core import card, checklist, runs
from core.checklist_answers import ANSWERS, INTENDED, TERMS
from core.errors import RunError
from core.facts import NOTES, Unknown, look_up
from core.runs import FAILURES, Run
from tests.made_runs import DEMO, ROBUSTNESS, SHORTCUTS

CLAIM, TRIPOD = checklist.checklists()
FILES = ("config.json", "environment.json", "metrics.json", "split.csv", FAILURES, NOTES)


@pytest.fixture
def copy(tmp_path) -> Run:
    """The demo run's small files, to be spoiled."""
    for name in FILES:
        shutil.copy(DEMO / name, tmp_path / name)
    return Run(tmp_path)


def filled(run: Run) -> dict[tuple[str, str], checklist.Item]:
    return {
        (one.id, item.question.number): item
        for one in (CLAIM, TRIPOD)
        for item in checklist.fill(Run(run.path), one)
        if item.is_filled
    }


def without(run: Run, file: str, *keys: str) -> None:
    """Take a value out of a JSON file of the run."""
    content = json.loads((run.path / file).read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    del inner[keys[-1]]
    (run.path / file).write_text(json.dumps(content))


def test_claim_has_its_44_items_and_tripod_its_27_with_52_parts():
    assert [item.number for item in CLAIM.items] == [str(number) for number in range(1, 45)]
    numbers = [item.number for item in TRIPOD.items]
    parts = {
        "3": "abc",
        "5": "ab",
        "6": "abc",
        "8": "abc",
        "9": "abc",
        "12": "abcdefg",
        "18": "abcdef",
        "20": "abc",
    }
    parts |= {"23": "ab", "27": "abc"}
    expected = [f"{main}{part}" for main in range(1, 28) for part in parts.get(str(main), [""])]
    assert numbers == expected and len(numbers) == 52


def test_every_item_says_what_would_answer_it_and_names_a_function_that_is_there():
    used = {item.by for one in (CLAIM, TRIPOD) for item in one.items} - {None}
    assert used == set(ANSWERS)
    assert all(item.open and item.topic and item.asks for one in (CLAIM, TRIPOD) for item in one.items)
    assert all(one.citation and one.licence and one.read for one in (CLAIM, TRIPOD))


@pytest.mark.parametrize("name", runs.SHIPPED)
def test_every_filled_answer_of_a_shipped_run_comes_from_places_that_are_in_it(name):
    run = runs.load_run(name)
    found = filled(run)
    assert len(found) > 40
    for item in found.values():
        assert item.places
        for place in item.places:
            assert look_up(run, place) not in (None, "", [], {})


def test_a_place_that_is_not_in_a_run_is_unknown(copy):
    for place in (
        (NOTES, "No such heading"),
        ("config.json", "nothing"),
        ("split.csv", "nothing"),
        ("none.json", "a"),
    ):
        with pytest.raises(Unknown):
            look_up(copy, place)


def test_an_answer_leaves_with_any_of_the_values_it_was_made_from(copy):
    """Each value that an answer looked up, taken out of the run, opens the item or changes what it says."""
    whole = filled(copy)
    kept = {name: (copy.path / name).read_bytes() for name in FILES}
    places = {place for item in whole.values() for place in item.places if place[0].endswith(".json")}
    for place in sorted(places):
        without(copy, *place)
        try:
            left = filled(copy)
        except RunError:  # without it the file is damaged, and no card is written
            left = {}
        for key, item in whole.items():
            if place in item.places:
                assert key not in left or left[key].answer != item.answer, (place, key)
        (copy.path / place[0]).write_bytes(kept[place[0]])
    assert filled(copy).keys() == whole.keys()


def test_a_run_that_was_never_validated_has_those_items_open(copy):
    (copy.path / "metrics.json").unlink()
    left = filled(copy)
    for number in ("2", "6", "19", "20", "28", "29", "30", "32", "33", "37", "38"):
        assert ("claim-2024", number) not in left, number
    for number in ("12a", "12c", "12d", "12e", "12f", "21", "23a", "23b", "24", "27a"):
        assert ("tripod-ai", number) not in left, number
    assert ("claim-2024", "23") in left and ("tripod-ai", "9a") in left


def test_without_sources_left_out_external_testing_and_clusters_are_open(copy):
    without(copy, "metrics.json", "leave_one_source_out")
    left = filled(copy)
    assert ("claim-2024", "33") not in left and ("tripod-ai", "23b") not in left
    assert ("claim-2024", "32") in left


def test_without_notes_terms_and_limits_are_open(copy):
    (copy.path / NOTES).unlink()
    left = filled(copy)
    assert not {("claim-2024", number) for number in ("40", "41", "43")} & set(left)
    assert not {("tripod-ai", number) for number in ("3b", "5a", "18e", "22", "26")} & set(left)


def test_a_heading_of_the_notes_is_found_by_its_beginning(copy):
    assert look_up(copy, (NOTES, INTENDED)) == "What it is for, and what not"
    assert look_up(copy, (NOTES, TERMS)).startswith("Terms of the data")


def test_a_group_in_two_parts_is_never_called_disjoint(copy):
    assert ("claim-2024", "20") in filled(copy)
    lines = (copy.path / "split.csv").read_text().splitlines()
    header, first = lines[0], lines[1]
    assert header.endswith(",part") and first.endswith(",train")
    (copy.path / "split.csv").write_text("\n".join([*lines, first.replace(",train", ",test")]) + "\n")
    assert ("claim-2024", "20") not in filled(copy)


def test_an_image_without_a_label_opens_the_item_on_missing_data(copy):
    assert ("claim-2024", "12") in filled(copy)
    with (copy.path / "split.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["ho", "x.png", "", "ho/x", "0" * 64, "train"])
    assert ("claim-2024", "12") not in filled(copy) and ("tripod-ai", "11") not in filled(copy)


def test_robustness_and_explainability_are_filled_once_they_are_measured(copy):
    before = filled(copy)
    content = json.loads((copy.path / "metrics.json").read_text())
    content.pop("robustness", None), content.pop("shortcuts", None)
    (copy.path / "metrics.json").write_text(json.dumps(content))
    assert not {("claim-2024", "30"), ("claim-2024", "31")} & set(filled(copy))
    content |= {"robustness": ROBUSTNESS, "shortcuts": SHORTCUTS}
    (copy.path / "metrics.json").write_text(json.dumps(content))
    after = filled(copy)
    assert "90 slices" in after["claim-2024", "30"].answer
    assert "lowers the called class by 0.70 (0.60 to 0.80)" in after["claim-2024", "31"].answer
    assert set(before) <= set(after)


def test_what_no_run_can_know_is_open_in_every_run():
    by_nobody = {(one.id, item.number) for one in (CLAIM, TRIPOD) for item in one.items if item.by is None}
    assert {("claim-2024", "14"), ("claim-2024", "36"), ("claim-2024", "44"), ("tripod-ai", "17")} <= by_nobody
    for name in runs.SHIPPED:
        assert not by_nobody & set(filled(runs.load_run(name)))


def test_the_card_has_both_checklists_with_their_counts(copy):
    card.write_card(copy.path)
    text = (copy.path / "MODEL_CARD.md").read_text()
    for one in (CLAIM, TRIPOD):
        items = checklist.fill(copy, one)
        count = sum(item.is_filled for item in items)
        assert f"### {one.name}: {count} of {len(items)} items answered by this run" in text
        for row in checklist.rows(items):
            assert f"| {row['item']} | {row['topic']} | {row['state']} | {row['text']} |" in text
