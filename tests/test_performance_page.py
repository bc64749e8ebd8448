"""docs/performance.md is what one run of the bench kept, ratio and spread included, and nothing typed in."""

import json

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from tests import performance
from tests.performance import Figure


def test_a_figure_has_its_ratio_round_by_round_and_its_spread():
    figure = Figure("A", "work", "ms", (2.0, 4.0, 3.0), "peer 1.0", (8.0, 4.0, 9.0), "at most 5")
    ours, theirs, ratio = "3.00 (2.00 to 4.00) ms", "8.00 (4.00 to 9.00) ms", "**3.00 (1.00 to 4.00)**"
    assert figure.line() == f"| work | {ours} | peer 1.0 | {theirs} | {ratio} | 3 | at most 5 |"


def test_a_figure_without_a_peer_says_so_and_has_no_ratio():
    assert Figure("A", "work", "MB", (123.4,)).line() == "| work | 123 MB | no peer |  |  | 1 |  |"


def test_a_bar_is_met_or_missed_by_the_medians_and_the_figure_says_which():
    figure = Figure("A", "work", "s", (1.0, 2.0, 9.0), "peer", (8.0, 6.0, 9.0), "about it")
    assert not figure.missed
    for least, missed in ((3, False), (3.1, True)):
        held = figure.held_to(least=least)
        assert held.missed is missed
        assert held.limit == f"about it; ratio at least {least}: {'missed' if missed else 'met'}"
    for most, missed in ((2, False), (1.9, True)):
        assert figure.held_to(most=most).missed is missed
    assert Figure("A", "work", "s", (1.0,)).held_to(most=2).limit == "at most 2 s: met"


def test_the_page_is_made_again_from_what_a_run_kept(tmp_path):
    figures = [Figure("A", "one", "ms", (1.0, 2.0)), Figure("B", "two", "s", (3.0,), "peer", (6.0,))]
    performance.write(figures, {"processor": "any"}, 1.25, tmp_path)
    page = (tmp_path / "performance.md").read_text()
    kept = json.loads((tmp_path / "performance.json").read_text())
    assert page == performance.page(kept)
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## A", "## B"]
    assert all(figure.line() in page for figure in figures)
    assert "took 1.2 minutes" in page


def test_the_page_in_docs_is_that_of_the_numbers_beside_it():
    kept = performance.DOCS / "performance.json"
    if not kept.exists():
        pytest.skip("make bench has not been run")
    assert (performance.DOCS / "performance.md").read_text() == performance.page(json.loads(kept.read_text()))


def test_multiply_adds_are_those_of_convolutions_and_products(tmp_path):
    """A 3 x 3 convolution of 2 to 4 channels in two groups over 5 x 6 pixels, and 3 by 4 times 4 by 30."""
    weights = {
        "w": np.zeros((4, 1, 3, 3), np.float32),
        "head": np.zeros((3, 4), np.float32),
        "to": np.array([1, 4, 30]),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["maps"], group=2, pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["maps", "to"], ["flat"]),
        helper.make_node("MatMul", ["head", "flat"], ["out"]),
    ]
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2, 5, 6])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 30])
    constants = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "small", [given], [out], constants)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)]), tmp_path / "small.onnx")
    assert performance.multiply_adds(tmp_path / "small.onnx") == 4 * 9 * 30 + 3 * 4 * 30
