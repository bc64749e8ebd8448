"""Figures take their picture and data away: drawn for paper, exact, and harmless in a spreadsheet."""

import io

import altair as alt
import pandas as pd
import pytest
from PIL import Image

from dashboard.charts import INK
from dashboard.drawing import PAPER, haloed
from dashboard.figure import csv_bytes, on_paper, picture


@pytest.fixture
def chart():
    table = pd.DataFrame({"year": [1, 2], "cost": [3.5, 4.25]})
    return alt.Chart(table).mark_line(color=INK).encode(x="year:Q", y="cost:Q").properties(height=120)


def test_a_picture_is_a_png_on_white(chart):
    image = Image.open(io.BytesIO(picture(chart, "png"))).convert("RGB")
    assert image.getpixel((1, 1)) == (255, 255, 255)
    assert image.width > 1200


def test_a_drawing_is_svg_in_the_ink_of_paper(chart):
    drawing = picture(chart, "svg").decode()
    assert drawing.startswith("<svg")
    assert INK.lower() not in drawing.lower()
    assert "#081219" in drawing


def test_drawing_for_paper_leaves_the_chart_of_the_page_alone(chart):
    before = chart.to_dict()
    on_paper(before)
    assert before["mark"]["color"] == INK


def test_numbers_keep_every_digit_in_csv():
    table = pd.DataFrame({"value": [0.1 + 0.2, -1e-17]})
    assert pd.read_csv(io.BytesIO(csv_bytes(table)))["value"].tolist() == table["value"].tolist()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_no_text_of_a_csv_is_run_as_a_formula(text):
    read = pd.read_csv(io.BytesIO(csv_bytes(pd.DataFrame({"name": [text], text: ["x"]}))), dtype=str)
    assert read["name"][0] == f"'{text}"
    assert list(read.columns)[1] == f"'{text}"


def test_columns_of_one_name_are_each_made_harmless():
    table = pd.DataFrame([["=1", 2, "+3"]], columns=["a", "b", "a"])
    assert csv_bytes(table).decode().splitlines() == ["a,b,a", "'=1,2,'+3"]


def test_words_over_lines_stand_on_the_paper_they_are_printed_on():
    table = pd.DataFrame({"x": [1.0], "word": ["threshold"]})
    words = alt.Chart(table).mark_text(color=INK).encode(x="x:Q", text="word:N")
    halo, said = haloed(words)
    assert halo.mark.stroke == PAPER and said.mark.color == INK
    drawing = picture(alt.layer(halo, said), "svg").decode()
    assert PAPER.lower() not in drawing.lower() and drawing.count(">threshold<") == 2
