"""What notebooks show: well-formed, escaped, grouped by name scope, and short for large graphs."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import flowc as tf
from flowc.framework import html


def parsed(shown: Any) -> ElementTree.Element:
    """The element that an object is shown as; ParseError if it is not well-formed."""
    text = shown if isinstance(shown, str) else shown._repr_html_()
    assert "<script" not in text
    return ElementTree.fromstring(text.replace("&nbsp;", " "))


def texts(element: ElementTree.Element, tag: str) -> list[str]:
    return ["".join(found.itertext()).strip() for found in element.iter(tag)]


def properties(shown: Any) -> dict[str, str]:
    cells = texts(parsed(shown), "td")
    return dict(zip(cells[::2], cells[1::2], strict=True))


def test_a_graph_is_grouped_by_name_scope(graph: tf.Graph) -> None:
    with tf.name_scope("outer"):
        x = tf.placeholder(tf.float32, [None, 3], name="x")
        with tf.name_scope("inner"):
            tf.tanh(x, name="t")
    tf.constant(1, name="c")
    shown = parsed(graph)
    assert texts(shown, "summary") == ["outer/  2 operations", "inner/  1 operation"]
    cells = texts(shown, "td")
    assert [cells[i : i + 4] for i in range(0, len(cells), 4)] == [
        ["c", "Const", "", "int32"],
        ["x", "Placeholder", "", "float32(?, 3)"],
        ["t", "Tanh", "outer/x", "float32(?, 3)"],
    ]


def test_a_graph_without_operations(graph: tf.Graph) -> None:
    assert "".join(parsed(graph).itertext()) == "Graph of 0 operations"


def test_a_large_graph_is_cut(graph: tf.Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html, "MOST", 3)
    for _ in range(5):
        tf.constant(0)
    shown = parsed(graph)
    assert len(texts(shown, "tr")) == 1 + 3
    assert texts(shown, "div")[-1] == "… and 2 operations more: graph.get_operations() lists them"


def test_an_operation_and_its_tensor() -> None:
    x = tf.placeholder(tf.float32, [2, 3], name="x")
    y = tf.matmul(x, np.ones((3, 4), np.float32), transpose_a=False, name="y")
    of_op, of_tensor = properties(y.op), properties(y)
    assert (of_op["name"], of_op["type"], of_op["outputs"]) == ("y", "MatMul", "y:0 float32(2, 4)")
    assert of_op["inputs"].startswith("x:0 float32(2, 3), ")
    assert (of_op["transpose_a"], "device" in of_op) == ("False", False)
    assert (of_tensor["name"], of_tensor["shape"], of_tensor["dtype"]) == ("y:0", "(2, 4)", "float32")
    assert of_op["made at"] == of_tensor["made at"]
    assert __file__ in of_op["made at"]


def test_a_variable() -> None:
    shown = properties(tf.Variable(tf.zeros([2, 3]), name="W"))
    assert (shown["name"], shown["shape"], shown["dtype"]) == ("W:0", "(2, 3)", "float32")


def test_what_an_attribute_holds_is_escaped_and_cut() -> None:
    shown = properties(tf.constant("<b>&" + "x" * 1000).op)
    assert "<b>&xxx" in shown["value"]
    assert len(shown["value"]) == 200


def test_text_becomes_an_outline() -> None:
    shown = parsed(html.of_outline("plan: 1 < 2\n\nstep 0: map\n  op x\n    more\nstep 1"))
    assert texts(shown, "summary") == ["step 0: map"]
    assert texts(shown, "pre") == ["op x\n    more"]
    assert [text for text in texts(shown, "div") if text in ("plan: 1 < 2", "step 1")] == ["plan: 1 < 2", "step 1"]


def test_a_plan(session: tf.Session, capsys: pytest.CaptureFixture[str]) -> None:
    y = tf.exp(tf.placeholder(tf.float32, [3], name="x"), name="y")
    for plan in (session.plan(y, {"x:0": np.zeros(3)}), tf.compile(y, {"x:0": [3]}, session=session)):
        heads = texts(parsed(plan), "summary")
        assert any(head.startswith("step 0: elementwise") for head in heads)
        assert any(head.startswith("kernel exp_") for head in heads)
    assert capsys.readouterr().out == ""
