"""What the members of graphs, operations and types say: types of errors and their documented words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flowc as tf


@pytest.fixture(autouse=True)
def graph() -> Iterator[tf.Graph]:
    with tf.Graph().as_default() as graph:
        tf.placeholder(tf.float32, [2], name="x")
        yield graph


def x() -> tf.Tensor:
    return tf.get_default_graph().get_tensor_by_name("x:0")


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("x:1", KeyError, "refers to a Tensor which does not exist. The operation, 'x', exists but only has 1 outputs"),
        ("y:0", KeyError, "The operation, 'y', does not exist in the graph"),
        (
            "x",
            ValueError,
            'refers to an Operation, not a Tensor. Tensor names must be of the form "<op_name>:<output_ind',
        ),
        ("y", ValueError, "looks like an (invalid) Operation name, not a Tensor"),
        ("x:a", ValueError, "looks like a tensor name, but is not a valid one. Tensor names must be of the form"),
        ("x:0:0", ValueError, "looks like a tensor name, but is not a valid one"),
        (3, TypeError, "Tensor names are strings (or similar), not int."),
    ],
)
def test_names_of_no_tensor(graph: tf.Graph, name: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        graph.get_tensor_by_name(name)
    assert words in caught.value.args[0]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("y", KeyError, "The name 'y' refers to an Operation not in the graph."),
        ("x:0", ValueError, "refers to a Tensor, not an Operation"),
        (3, TypeError, "Operation names are strings (or similar), not int."),
    ],
)
def test_names_of_no_operation(graph: tf.Graph, name: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        graph.get_operation_by_name(name)
    assert words in caught.value.args[0]


NODE = {"name": "n", "op": "TestOp"}


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda g: g.as_graph_element(3), TypeError, "Can not convert a int into a Tensor or Operation."),
        (lambda g: g.as_graph_element(x(), False), TypeError, "Can not convert a Tensor into a Operation."),
        (lambda g: g.as_graph_element(x(), False, False), ValueError, "can't both be False"),
        (lambda g: tf.Graph().as_graph_element(x()), ValueError, "is not an element of this graph."),
        (lambda g: tf.Graph().as_graph_element(x().op), ValueError, "is not an element of this graph."),
        (lambda g: x().eval(), ValueError, "Cannot evaluate tensor using eval(): No default session is registered."),
        (lambda g: x().op.run(), ValueError, "Cannot execute operation using run(): No default session is registered."),
        (
            lambda g: x().eval(session=tf.Session(graph=tf.Graph())),
            ValueError,
            "Cannot use the given session to evaluate tensor: the tensor's graph is different from the session's",
        ),
        (lambda g: x().set_shape([3]), ValueError, "Shapes (2,) and (3,) are not compatible"),
        (lambda g: iter(x()), TypeError, "'Tensor' object is not iterable"),
        (lambda g: tf.Operation("n", g), TypeError, "node_def needs to be a NodeDef: 'n'"),
        (lambda g: tf.Operation(tf.NodeDef(**NODE), 3), TypeError, "g needs to be a Graph: 3"),
        (lambda g: tf.Operation(tf.NodeDef(name="a b"), g), ValueError, "'a b' is not a valid node name"),
        (lambda g: tf.Operation(tf.NodeDef(**NODE), g, [3]), TypeError, "inputs needs to be a list of Tensors: [3]"),
        (
            lambda g: g.create_op("TestOp", [x()], [], input_types=[tf.int32]),
            TypeError,
            "Inputs are not compatible with expected input types: [tf.float32] vs. [tf.int32]",
        ),
        (lambda g: g.device("/foo:0").__enter__(), ValueError, "Unknown attribute: 'foo:0'"),
        (lambda g: g.device("/cpu:0/gpu:0").__enter__(), ValueError, "Cannot specify multiple device types"),
        (lambda g: tf.op_scope([], None).__enter__(), ValueError, "At least one of name and default_name"),
        (lambda g: tf.RegisterGradient(3), TypeError, "op_type must be a string"),
        (lambda g: tf.NoGradient("Add"), KeyError, "Registering two gradients for op type 'Add'"),
        (lambda g: tf.string.max, TypeError, "Cannot find minimum value or maximum value of <dtype: 'string'>"),
        (lambda g: tf.as_dtype("foo"), TypeError, "Cannot convert value 'foo' to a DType."),
    ],
)
def test_what_graphs_refuse(
    graph: tf.Graph, call: Callable[[tf.Graph], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        call(graph)
    assert words in caught.value.args[0]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: tf.convert_to_tensor(None), ValueError, "None values not supported."),
        (
            lambda: tf.convert_to_tensor(x(), tf.int32),
            ValueError,
            "Tensor conversion requested dtype int32 for Tensor wi",
        ),
        (lambda: tf.constant([1, 2.5], tf.int32), TypeError, "Expected int32, got 2.5 of type 'float' instead."),
        (lambda: tf.constant([1, "a"], tf.int32), TypeError, "Expected int32, got 'a' of type 'str' instead."),
        (lambda: tf.constant([True, 1], tf.bool), TypeError, "Expected bool, got 1 of type 'int' instead."),
        (lambda: tf.constant(3, tf.string), TypeError, "Expected string, got 3 of type 'int' instead."),
        (
            lambda: tf.constant([1, 2, 3], shape=[2]),
            ValueError,
            "Too many elements provided. Needed at most 2, but rec",
        ),
        (lambda: tf.constant([[1, 2], [3]]), ValueError, "Argument must be a dense tensor"),
        (lambda: x() + tf.constant(1), TypeError, "has type int32 that does not match type float32 of argument 'x'."),
        (lambda: x() + 1j, TypeError, "Expected float32, got 1j of type 'complex' instead."),
        (
            lambda: tf.add_n([x(), tf.constant([1, 2])]),
            TypeError,
            "Tensors in list passed to 'inputs' of 'AddN' Op have types [float32, int32] that don't all match.",
        ),
        (
            lambda: tf.floor(tf.constant(1)),
            TypeError,
            "DataType int32 for attr 'T' not in list of allowed values: float",
        ),
        (
            lambda: tf.logical_not(x()),
            TypeError,
            "'LogicalNot' Op has type float32 that does not match expected type of",
        ),
    ],
)
def test_values_that_do_not_fit(call: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)


def test_a_conversion_function_returns_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    from flowc.framework import convert

    class Odd:
        pass

    monkeypatch.setattr(convert, "_conversions", list(convert._conversions))
    tf.register_tensor_conversion_function(Odd, lambda *_: 3)
    with pytest.raises(RuntimeError, match="returned non-Tensor: 3"):
        tf.convert_to_tensor(Odd())


def test_compatible_types() -> None:
    """The table of the documentation of `DType.is_compatible_with`."""
    plain, reference = tf.float32, tf.float32.as_ref
    assert plain.is_compatible_with(plain)
    assert plain.is_compatible_with(reference)
    assert not reference.is_compatible_with(plain)
    assert reference.is_compatible_with(reference)
    assert reference is tf.float32_ref


def test_operations_of_any_type(graph: tf.Graph) -> None:
    op = graph.create_op("TestOp", [x()], [tf.int32, tf.string], attrs={"a": tf.AttrValue(i=3), "b": [1.0, 2.0]})
    assert [(t.name, t.dtype) for t in op.values()] == [("TestOp:0", tf.int32), ("TestOp:1", tf.string)]
    assert (op.get_attr("a"), op.get_attr("b")) == (3, [1.0, 2.0])
    assert list(op.node_def.attr["b"].list.f) == [1.0, 2.0]
    free = tf.Operation(op.node_def, graph, [x()], [tf.int32], control_inputs=[op])
    assert (free.name, free.type, free.control_inputs, free.get_attr("a")) == ("TestOp", "TestOp", [op], 3)
    assert op.op_def is None
    assert x().op.op_def.name == "Placeholder"


def test_shapes_and_gradients_of_the_users_own(graph: tf.Graph) -> None:
    tf.RegisterShape("TestTwice")(lambda op: [op.inputs[0].get_shape()])
    tf.RegisterGradient("TestTwice")(lambda op, grad: grad * 2.0)
    y = graph.create_op("TestTwice", [x()], [tf.float32]).outputs[0]
    assert y.get_shape() == [2]
    assert tf.gradients(y, x())[0].op.type == "Mul"


def test_devices_merge(graph: tf.Graph) -> None:
    def device() -> str:
        return tf.no_op().device

    with graph.device("/job:w/task:1/gpu:2"):
        assert graph.get_default_device() == "/job:w/task:1/device:GPU:2"
        with graph.device("/cpu:0"):
            assert device() == "/job:w/task:1/device:CPU:0"
        with graph.device("/replica:3"):
            assert device() == "/job:w/replica:3/task:1/device:GPU:2"
        with graph.device(lambda op: "/job:ps/gpu:7"):
            assert device() == "/job:ps/task:1/device:GPU:7"
        with graph.device(None):
            assert device() == ""
            assert graph.get_default_device() is None


def test_later_names() -> None:
    assert (tf.subtract, tf.multiply, tf.negative) == (tf.sub, tf.mul, tf.neg)
    assert tf.global_variables_initializer is tf.initialize_all_variables
    v = tf.Variable(np.zeros(2))
    assert tf.get_collection(tf.GraphKeys.GLOBAL_VARIABLES) == [v]
    assert tf.stack([x(), x()], axis=1).get_shape() == [2, 2]
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        tf.nonsense  # noqa: B018
