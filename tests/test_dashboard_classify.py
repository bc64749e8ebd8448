"""Classify in AppTest: samples, links, uploads, series, windows, messages, and what leaves memory."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import conformal, runs
from core.isolated import Decoder
from core.runs import load_run
from core.scored import load_scored
from dashboard import loaders, reading, results
from tests.made_corpus import CASES
from tests.pages import control

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "data" / "samples"
DICOM = "synthetic_05_pneumonia"
SERIES = "synthetic_series_pneumonia"


def opened(**link: str) -> AppTest:
    """Classify as a visitor finds it, with the address's parameters."""
    app = AppTest.from_file(str(ROOT / "dashboard" / "Home.py"), default_timeout=120).run()
    app.switch_page("views/classify.py")
    for name, value in link.items():
        app.query_params[name] = value
    return checked(app.run())


def checked(app: AppTest) -> AppTest:
    assert [item.value for item in app.exception] == []
    assert len(app.title) == 1
    return app


def upload(app: AppTest, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader(key="uploads").set_value([(name, data, "") for name, data in files])
    return checked(app.run())


def sample(name: str) -> tuple[str, bytes]:
    return name, (SAMPLES / name).read_bytes()


def words(app: AppTest) -> str:
    return "\n".join(item.value for item in [*app.header, *app.caption, *app.markdown])


def answers(app: AppTest) -> list[str]:
    return [item.value for item in app.header if "Most like:" in item.value or "Unsure:" in item.value]


def refusals(app: AppTest) -> list[str]:
    return [item.value for item in app.header if "No answer:" in item.value]


def rows(app: AppTest):
    return app.dataframe[0].value


def test_an_empty_page_says_what_will_come_and_its_one_button_opens_a_sample():
    app = opened()
    assert "No slice yet" in words(app)
    assert answers(app) == []
    [button] = [item for item in app.button if item.label == "Try a synthetic sample"]
    checked(button.click().run())
    assert len(answers(app)) == 1
    assert app.query_params["sample"] in (DICOM, [DICOM])


def test_a_click_on_a_sample_shows_it_as_synthetic():
    app = opened()
    checked(app.button(key=f"open-{DICOM}").click().run())
    assert len(answers(app)) == 1
    assert "synthetic, drawn as pneumonia" in words(app)


def test_a_link_opens_its_sample():
    app = opened(sample=DICOM)
    assert f"{DICOM}.dcm".replace("_", "\\_").replace(".", "\\.") in words(app)
    assert len(answers(app)) == 1


def test_a_link_to_an_unknown_sample_is_told_and_nothing_is_opened():
    app = opened(sample="**bold** <script>")
    [notice] = app.warning
    assert "names a sample that is not here" in notice.value
    assert r"\*\*bold\*\* \<script\>" in notice.value
    assert answers(app) == []


def test_good_files_are_shown_beside_those_that_could_not_be_read():
    app = upload(opened(), sample("synthetic_03_normal.png"), ("notes.txt", b"no picture"), sample(f"{DICOM}.dcm"))
    [error] = app.error
    assert error.value.startswith(r"**notes\.txt could not be read.** Found ")
    assert "; expected " in error.value
    assert len(answers(app)) == 1
    assert rows(app)["File"].tolist() == ["synthetic_03_normal.png", "notes.txt", f"{DICOM}.dcm"]
    assert rows(app)["Most like"][1] == "× Not read"
    assert app.selectbox(key="showing").options == ["synthetic_03_normal.png", f"{DICOM}.dcm"]


def test_many_unread_files_fold_into_one_message():
    app = upload(opened(), *[(f"junk{number}.bin", b"junk") for number in range(7)])
    assert len(app.error) == 2
    assert [item.label for item in app.expander] == ["5 more could not be read"]
    assert answers(app) == []


def test_more_files_than_a_page_reads_are_counted_and_the_first_are_read(monkeypatch):
    monkeypatch.setattr(reading, "MOST_FILES", 3)
    app = upload(opened(), *[(f"junk{number}.bin", b"junk") for number in range(5)])
    [notice] = app.warning
    assert "Only the first 3 of 5 files are read here" in notice.value and "core predict" in notice.value
    assert rows(app)["File"].tolist() == ["junk0.bin", "junk1.bin", "junk2.bin"]


def test_very_many_unread_files_give_some_messages_and_a_table_of_all(monkeypatch):
    monkeypatch.setattr(results, "FOLDED_MESSAGES", 5)
    app = upload(opened(), *[(f"junk{number}.bin", b"junk") for number in range(10)])
    [folded] = app.expander
    assert folded.label == "8 more could not be read" and len(folded.markdown) == 6
    assert folded.markdown[-1].value == "The other 3 are in the table of results."
    assert len(rows(app)) == 10


def test_a_file_that_needs_too_much_memory_is_told_and_the_others_are_answered(monkeypatch):
    small = Decoder(memory=300 * 2**20)
    monkeypatch.setattr(loaders, "decoder", lambda: small)
    large = io.BytesIO()
    Image.fromarray(np.zeros((5000, 5000), np.uint16)).save(large, "PNG")
    app = upload(opened(), ("large.png", large.getvalue()), sample(f"{DICOM}.dcm"))
    small.close()
    [error] = app.error
    assert r"**large\.png could not be read.**" in error.value and "more memory than there is" in error.value
    assert len(answers(app)) == 1


def test_names_that_are_code_are_shown_as_text():
    data = (SAMPLES / "synthetic_03_normal.png").read_bytes()
    names = [case.name.replace("\ud800", "") for case in CASES if case.name.startswith(("<", "#", "\u202e"))]
    app = upload(opened(), *[(name, data) for name in names], *[(f"x{name}", b"junk") for name in names[:2]])
    told = words(app) + "".join(error.value for error in app.error)
    assert len(names) == 3 and len(app.error) == 2
    assert "<script>" not in told.replace(r"\<script\>", "") and "](http" not in told
    assert not any(character in told for character in "\u202e\x1b\0")


def test_a_file_name_is_shown_as_it_is_and_never_as_markdown():
    data = (SAMPLES / "synthetic_03_normal.png").read_bytes()
    app = upload(opened(), ("a*b*:red[x]$y$.png", data))
    assert r"a\*b\*\:red\[x\]\$y\$\.png" in words(app)


def test_a_series_opens_in_its_middle_and_its_slider_moves_through_it():
    app = opened(sample=SERIES)
    slider = control(app.slider, f"slice-{SERIES}")
    assert (slider.min, slider.max, slider.value) == (1, 24, 13)
    checked(slider.set_value(3).run())
    assert "slice 3 of 24" in words(app)
    assert len(rows(app)) == 24


def test_moving_a_slider_reads_nothing_again():
    app = opened(sample=SERIES)
    before = app.session_state["files_read"][1][SERIES].readings[0]
    checked(control(app.slider, f"slice-{SERIES}").set_value(3).run())
    assert app.session_state["files_read"][1][SERIES].readings[0] is before


def test_loose_slices_of_one_patient_are_offered_as_one_series_in_order_of_position():
    with zipfile.ZipFile(SAMPLES / f"{SERIES}.zip") as archive:
        members = [(name, archive.read(name)) for name in sorted(archive.namelist()) if name.endswith(".dcm")]
    app = upload(opened(), *[members[index] for index in (4, 0, 2)])
    assert app.selectbox(key="showing").value == "together"
    positions = [item.position for item in loaders.together(files(app)).readings]
    assert positions == sorted(positions)
    assert len(set(positions)) == 3


def files(app: AppTest) -> list:
    return list(app.session_state["files_read"][1].values())


def test_a_preset_sets_the_sliders_and_a_slider_makes_the_window_ones_own():
    app = opened(sample=DICOM)
    assert (control(app.slider, "center").value, control(app.slider, "width").value) == (-600, 1500)
    checked(control(app.segmented_control, "window").set_value("Bone").run())
    assert (control(app.slider, "center").value, control(app.slider, "width").value) == (400, 1800)
    checked(control(app.slider, "width").set_value(900).run())
    assert control(app.segmented_control, "window").value == "Own"


def test_display_grey_has_no_window_and_the_page_says_why():
    app = upload(opened(), sample("synthetic_03_normal.png"))
    assert "center" not in [item.key for item in app.slider]
    assert "display grey, not Hounsfield units" in words(app)


def test_the_heat_map_speaks_for_the_class_that_is_chosen():
    app = opened(sample=DICOM)
    for label, title in (("normal", "Normal"), ("tumour", "Lung tumour")):
        checked(app.selectbox(key="heat_label").set_value(label).run())
        assert f"spoke for {title}" in words(app) or f"spoke strongly for {title}" in words(app)


def test_a_slice_alone_has_no_heat_map_controls():
    app = opened(sample=DICOM)
    checked(app.segmented_control(key="view").set_value("Slice").run())
    assert "strength" not in [item.key for item in app.slider]


def test_what_was_uploaded_leaves_memory_when_it_is_removed():
    app = upload(opened(), sample("synthetic_03_normal.png"))
    assert len(files(app)) == 1
    app.file_uploader(key="uploads").set_value(None)
    checked(app.run())
    assert files(app) == []
    assert "No slice yet" in words(app)


def test_stop_leaves_the_rest_unread_until_it_is_asked_for():
    app = opened()
    app.session_state["stop_reading"] = True
    upload(app, sample("synthetic_03_normal.png"))
    assert any("Stopped" in item.value for item in app.warning)
    assert answers(app) == []
    [again] = [item for item in app.button if item.label == "Read the rest"]
    checked(again.click().run())
    assert len(answers(app)) == 1


def test_a_missing_run_is_told_in_words(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    app = opened()
    [error] = app.error
    assert "This model run cannot be used" in error.value
    assert answers(app) == []


def test_a_damaged_run_is_told_in_words(tmp_path, monkeypatch):
    broken = tmp_path / "demo"
    broken.mkdir()
    (broken / "config.json").write_bytes((runs.RUNS / "demo" / "config.json").read_bytes())
    (broken / "model.onnx").write_bytes(b"no network")
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    [error] = opened(sample=DICOM).error
    assert "model\\.onnx" in error.value


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (2100, 7)])
def test_pictures_of_odd_sizes_are_answered_or_refused_in_words(size):
    data = io.BytesIO()
    Image.fromarray(np.arange(size[0] * size[1], dtype=np.uint32).reshape(size).astype(np.uint8)).save(data, "PNG")
    app = upload(opened(), ("odd.png", data.getvalue()))
    assert len(answers(app)) + len(refusals(app)) + len(app.error) == 1


def noise() -> tuple[str, bytes]:
    data = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), dtype=np.uint8)).save(data, "PNG")
    return "noise.png", data.getvalue()


def test_what_is_no_slice_gets_no_answer_and_the_reason():
    app = upload(opened(), noise())
    assert refusals(app) == [":material/block: No answer: not a lung CT slice"]
    assert answers(app) == []
    assert "No lung field was found" in words(app)
    assert {item.label for item in app.metric} == {"Distance from training slices", "Limit"}
    assert "Wrongly refused:" in words(app)
    assert "view" not in [item.key for item in app.segmented_control]
    assert "strength" not in [item.key for item in app.slider]


def test_refused_slices_stand_in_the_table_beside_answered_ones():
    app = upload(opened(), sample("synthetic_03_normal.png"), noise())
    assert len(rows(app)) == 2
    called = dict(zip(rows(app)["File"], rows(app)["Most like"], strict=True))
    assert called["noise.png"] == "⊘ No answer"
    assert called["synthetic_03_normal.png"] not in ("⊘ No answer", "× Not read")
    note = dict(zip(rows(app)["File"], rows(app)["Note"], strict=True))["noise.png"]
    assert note.startswith("No lung field was found")


def could_be(app: AppTest) -> list[str]:
    return [item.value for item in app.markdown if "coverage:" in item.value]


def badges(app: AppTest) -> int:
    return sum("-badge[" in item.value for item in app.markdown)


def test_a_visitor_sets_how_often_the_set_is_to_hold_the_true_class():
    app = opened(sample=DICOM)
    assert could_be(app) == ["Could be, at 90 % coverage:"]
    sizes = {}
    for share in (0.8, 0.99):
        checked(control(app.select_slider, "coverage").set_value(share).run())
        assert could_be(app) == [f"Could be, at {100 * share:.0f} % coverage:"]
        sizes[share] = badges(app)
        unsure = any("Unsure:" in item for item in answers(app))
        assert unsure is (sizes[share] > 1)
    assert 1 <= sizes[0.8] <= sizes[0.99] <= 3
    assert "on sources left out of training" in words(app)
    table = next(item.value for item in app.table if "Left-out source" in item.value)
    kept = conformal.left_out(load_scored(load_run(), "group"), load_scored(load_run(), "source"), 0.99)
    for row, one in zip(table.itertuples(index=False), kept.values(), strict=True):
        assert row[1].startswith(f"{one['held']['value']:.2f} (") and row[1].endswith(
            f" of {one['held']['slices']}"
        )
        assert row[3] == "none" or row[3].endswith(f" of {one['right']['slices']}")


def test_the_checks_of_an_answer_are_counted_and_small_changes_tried():
    app = opened(sample=DICOM)
    text = words(app)
    assert "against this answer" in text
    assert "nearest training slices are" in text and "of the heat lies in the lungs" in text
    assert "Distance" in text and "The answer stays in" in text and "JPEG at quality 30" in text


def test_a_series_tries_small_changes_only_when_asked():
    app = opened(sample=SERIES)
    assert "The answer stays in" not in words(app)


def test_a_public_server_tries_small_changes_only_when_asked(monkeypatch):
    monkeypatch.setenv("LUNGLENS_DEMO", "1")
    app = opened(sample=DICOM)
    assert "against this answer" in words(app) and "The answer stays in" not in words(app)
