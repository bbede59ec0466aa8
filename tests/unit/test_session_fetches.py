"""What may be fetched, and the structures that results come back in, without running anything."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.fetches import Fetches, as_result

Pair = namedtuple("Pair", "first second")


def test_one_tensor(graph: tf.Graph) -> None:
    a = tf.constant(1.0)
    fetches = Fetches(graph, a)
    assert (fetches.tensors, fetches.targets, fetches.flat, fetches.is_single) == ((a,), (), [0], True)
    assert fetches.build(["value"]) == "value"


def test_a_list_of_all_kinds(graph: tf.Graph) -> None:
    a, w = tf.constant(1.0, name="a"), tf.Variable(2.0, name="w")
    fetches = Fetches(graph, [a.op, w, "a:0", "a", a])
    assert fetches.tensors == (w.ref(), a)
    assert fetches.targets == (a.op,)
    assert fetches.flat == [-1, 0, 1, -1, 1]
    assert fetches.build([10, 20]) == [None, 10, 20, None, 20]


def test_nested_structures(graph: tf.Graph) -> None:
    a, b = tf.constant(1.0), tf.constant(2.0)
    fetches = Fetches(graph, {"p": Pair(b, [a]), "q": (a, {"r": a.op})})
    assert fetches.flat is None
    assert fetches.build([20, 10]) == {"p": Pair(20, [10]), "q": [10, {"r": None}]}


def test_slices_come_back_as_slices(graph: tf.Graph) -> None:
    slices = tf.IndexedSlices(tf.constant([[1.0]]), tf.constant([0]))
    value = Fetches(graph, slices).build([np.ones((1, 1)), np.zeros(1)])
    assert type(value) is tf.IndexedSlicesValue
    assert value.dense_shape is None


def test_nothing(graph: tf.Graph) -> None:
    assert Fetches(graph, []).build([]) == []


@pytest.mark.parametrize("fetch", [3.0, None, [None], b"bytes", {1: 2}, np.zeros(2)])
def test_what_is_no_fetch(graph: tf.Graph, fetch: Any) -> None:
    with pytest.raises(TypeError, match=r"Fetch argument .* has invalid type"):
        Fetches(graph, fetch)


@pytest.mark.parametrize("name", ["absent", "a:1", "a:b"])
def test_names_of_nothing(graph: tf.Graph, name: str) -> None:
    tf.constant(1.0, name="a")
    with pytest.raises(ValueError, match=f"'{name}' cannot be interpreted as a Tensor"):
        Fetches(graph, name)


def test_a_tensor_of_another_graph(graph: tf.Graph) -> None:
    with tf.Graph().as_default():
        other = tf.constant(1.0, name="other")
    with pytest.raises(ValueError, match=r"other.*not an element of this graph"):
        Fetches(graph, other)


def test_values_of_rank_0_are_scalars() -> None:
    assert type(as_result(np.array(5, np.float32))) is np.float32
    assert as_result(np.array(b"text", object)) == b"text"
    array = np.zeros(1)
    assert as_result(array) is array
