"""Graphs as GraphDef messages, and back: `Graph.as_graph_def`, `tf.import_graph_def`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

import flowc as tf
from flowc.framework import protos
from flowc.framework.tensor_proto import array_from_proto, array_to_proto


def graph_def(text: str) -> Any:
    return text_format.Merge(text, tf.GraphDef())


CONST = "node { name: 'A' op: 'Const' attr { key: 'dtype' value { type: DT_FLOAT } } attr { key: 'value' value { tensor { dtype: DT_FLOAT tensor_shape { } float_val: 3 } } } }"  # noqa: E501
FLOAT = "attr { key: 'T' value { type: DT_FLOAT } }"
CUSTOM = """
    op { name: 'Source' output_arg { name: 'a' type: DT_INT32 } output_arg { name: 'b' type: DT_FLOAT } }
    op { name: 'Sink' input_arg { name: 'a' type: DT_INT32 } }
    op { name: 'Copies' input_arg { name: 'a' type_attr: 'T' number_attr: 'N' }
         output_arg { name: 'b' type_attr: 'T' number_attr: 'N' } output_arg { name: 'r' type_attr: 'T' is_ref: true }
         attr { name: 'T' type: 'type' default_value { type: DT_INT32 } } attr { name: 'N' type: 'int' } }
"""


def custom_ops() -> dict[str, Any]:
    return {op.name: op for op in text_format.Merge(CUSTOM, protos.OpList()).op}


# -- there and back ----------------------------------------------------------------------------------------------------


def small_model() -> None:
    x = tf.placeholder(tf.float32, [None, 3], name="x")
    weights = tf.Variable(np.eye(3, 2, dtype=np.float32), name="weights")
    with tf.device("/cpu:0"), tf.control_dependencies([weights.initializer]):
        parts = tf.split(1, 2, tf.matmul(x, weights, transpose_b=False))
    loss = tf.reduce_mean(tf.concat(0, [*parts, tf.zeros([1, 1])]), name="loss")
    tf.train.AdamOptimizer(0.1).minimize(loss)
    tf.constant(["a", "b\xff"], name="strings")
    tf.cast(tf.constant([True]), tf.int64)
    with tf.get_default_graph().gradient_override_map({"Tanh": "Identity"}):
        tf.tanh(loss, name="overridden")


def test_a_graph_comes_back_as_it_was(graph: tf.Graph) -> None:
    small_model()
    stored = graph.as_graph_def()
    text = text_format.MessageToString(stored)
    for again in (tf.GraphDef.FromString(stored.SerializeToString()), graph_def(text)):
        with tf.Graph().as_default() as other:
            assert tf.import_graph_def(again, name="") is None
        assert other.as_graph_def() == stored
        for op, imported in zip(graph.get_operations(), other.get_operations(), strict=True):
            assert [t.dtype for t in op.outputs] == [t.dtype for t in imported.outputs]
            pairs = zip(op.outputs, imported.outputs, strict=True)
            assert all(a.get_shape().is_compatible_with(b.get_shape()) for a, b in pairs)
            assert op._gradient_type == imported._gradient_type


def test_only_what_was_added_since_a_version(graph: tf.Graph) -> None:
    tf.constant(1.0, name="old")
    version = graph.version
    tf.constant(2.0, name="new")
    assert [node.name for node in graph.as_graph_def(from_version=version).node] == ["new"]


def test_nodes_have_the_attributes_that_follow_from_types() -> None:
    x = tf.placeholder(tf.float32, [2, 2])
    nodes = {
        "Concat": tf.concat(0, [x, x]).op,
        "Gather": tf.gather(x, np.array([0], np.int64)).op,
        "MatMul": tf.matmul(x, x).op,
        "Cast": tf.cast(x, tf.int32).op,
    }
    attrs = {kind: op.node_def.attr for kind, op in nodes.items()}
    assert (attrs["Concat"]["N"].i, attrs["Concat"]["T"].type) == (2, tf.float32.as_datatype_enum)
    assert attrs["Gather"]["Tindices"].type == protos.DataType.Value("DT_INT64")
    assert sorted(attrs["MatMul"]) == ["T", "transpose_a", "transpose_b"]
    assert nodes["Cast"].get_attr("SrcT") == tf.float32
    assert nodes["MatMul"].get_attr("T") == tf.float32
    assert nodes["Concat"].get_attr("N") == 2


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "bool", "complex64", "complex128"]
)
@pytest.mark.parametrize("shape", [(), (0, 2), (1,), (2, 3)])
def test_arrays_become_messages_and_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.asarray(np.arange(6)[: int(np.prod(shape))].reshape(shape) - 2).astype(dtype)
    again = array_from_proto(array_to_proto(array, tf.as_dtype(dtype)))
    assert (again.dtype, again.shape, again.tolist()) == (array.dtype, array.shape, array.tolist())


def test_values_become_messages() -> None:
    proto = tf.make_tensor_proto([1, 2], dtype=tf.float32, shape=[3])
    assert proto.dtype == protos.DataType.Value("DT_FLOAT")
    assert tf.make_ndarray(proto).tolist() == [1, 2, 2]
    assert tf.make_ndarray(tf.make_tensor_proto(["a", b"\xff"])).tolist() == [b"a", b"\xff"]
    with pytest.raises(TypeError, match=r"Expected int32, got 1.5"):
        tf.make_tensor_proto(1.5, dtype=tf.int32)


def test_too_few_values_of_a_message_are_filled_up() -> None:
    proto = text_format.Merge(
        "dtype: DT_INT32 tensor_shape { dim { size: 4 } } int_val: 1 int_val: 2", protos.TensorProto()
    )
    assert array_from_proto(proto).tolist() == [1, 2, 2, 2]
    proto.int_val.extend([3, 4, 5])
    with pytest.raises(ValueError, match="holds 5 values"):
        array_from_proto(proto)


# -- importing ---------------------------------------------------------------------------------------------------------


def test_names_get_a_prefix() -> None:
    stored = graph_def(CONST)
    (first,) = tf.import_graph_def(stored, return_elements=["A"]) or []
    (again,) = tf.import_graph_def(stored, return_elements=["A:0"]) or []
    (other,) = tf.import_graph_def(stored, return_elements=["A"], name="mine/here") or []
    assert [first.name, again.name, other.name] == ["import/A", "import_1/A:0", "mine/here/A"]


def test_nodes_may_be_in_any_order_and_inputs_replaced(graph: tf.Graph) -> None:
    stored = graph_def(
        f"node {{ name: 'C' op: 'Add' {FLOAT} input: 'A' input: 'B:0' input: '^A' }}"
        f"node {{ name: 'B' op: 'Neg' {FLOAT} input: 'A' }} {CONST}"
    )
    feed = tf.constant(5.0)
    (plain, with_map) = [
        (tf.import_graph_def(stored, input_map=given, return_elements=["C"]) or [])[0]
        for given in ({}, {"A": feed, "B:0": 7.0})
    ]
    assert [t.name for t in plain.inputs] == ["import/A:0", "import/B:0"]
    assert plain.control_inputs == [graph.get_operation_by_name("import/A")]
    assert with_map.inputs[0] is feed
    with tf.Session() as sess:
        assert sess.run([plain.outputs[0], with_map.outputs[0]]) == [0.0, 12.0]


def test_devices_merge_with_the_scope() -> None:
    stored = graph_def(CONST.replace("op:", "device: '/gpu:1' op:", 1))
    with tf.device("/job:worker"):
        (op,) = tf.import_graph_def(stored, return_elements=["A"]) or []
    assert op.device == "/job:worker/device:GPU:1"


def test_op_types_of_others() -> None:
    stored = graph_def(
        "node { name: 'S' op: 'Source' }"
        "node { name: 'C' op: 'Copies' input: 'S' input: 'S' attr { key: 'N' value { i: 2 } } }"
    )
    (copies,) = tf.import_graph_def(stored, return_elements=["C"], op_dict=custom_ops()) or []
    assert [t.dtype.name for t in copies.outputs] == ["int32", "int32", "int32_ref"]
    with pytest.raises(ValueError, match="No op named Source in defined operations"):
        tf.import_graph_def(stored)


def test_other_libraries_messages_are_taken() -> None:
    tensorboard = pytest.importorskip("tensorboard.compat.proto.graph_pb2")
    from flowc.framework.graph_proto import to_proto

    theirs = to_proto(graph_def(CONST))
    assert type(theirs) is tensorboard.GraphDef
    (op,) = tf.import_graph_def(theirs, return_elements=["A"]) or []
    assert op.name == "import/A"


# -- what is refused ---------------------------------------------------------------------------------------------------

ADD = f"node {{ name: 'B' op: 'Add' {FLOAT}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{ADD} input: 'A' input: 'A' }}", "at node 'B': Input tensor 'A:0' not found in graph_def"),
        (f"{CONST} {ADD} input: 'A:1' input: 'A' }}", "Input tensor 'A:1' not found in graph_def"),
        (f"{CONST} {ADD} input: 'A:B' input: 'A' }}", "Cannot convert 'A:B' to a tensor name"),
        (
            f"{CONST} {ADD} input: 'A' input: 'A' input: 'A' }}",
            r"More inputs specified \('import.*/A:0'\) than the op exp",
        ),
        (f"{CONST} {ADD} input: 'A' }}", "1 inputs where the op expects 2"),
        (f"{CONST} {ADD.replace('FLOAT', 'INT32')} input: 'A' input: 'A' }}", "expected 'int32' but got 'float32'"),
        (f"{CONST} node {{ name: 'N' op: 'NoOp' input: '^X' }}", r"Control input '\^X' not found in graph_def"),
        (f"{ADD} input: 'B' input: 'B' }}", "depends on itself"),
        ("node { name: 'P' op: 'Placeholder' }", "its attribute 'dtype' is missing"),
        (CONST + CONST, "two nodes have the same name"),
        (
            f"{CONST} node {{ name: 'M' op: 'MatMul' {FLOAT} input: 'A' input: 'A' }}",
            "at node 'M': Shape .* must have rank 2",
        ),
    ],
)
def test_a_definition_that_is_not_well_formed(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tf.import_graph_def(graph_def(text))


def test_types_of_others_op_types_are_checked() -> None:
    sink = "node { name: 'S' op: 'Source' } node { name: 'D' op: 'Sink' %s }"
    with pytest.raises(ValueError, match=r"Input types mismatch .expected 'int32' but got 'float32'"):
        tf.import_graph_def(graph_def(sink % "input: 'S:1'"), op_dict=custom_ops())
    with pytest.raises(ValueError, match="More inputs specified"):
        tf.import_graph_def(graph_def(sink % "input: 'S:0' input: 'S:1'"), op_dict=custom_ops())
    with pytest.raises(ValueError, match="Expected one attr with name 'N'"):
        tf.import_graph_def(graph_def("node { name: 'C' op: 'Copies' }"), op_dict=custom_ops())


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda d: tf.import_graph_def(""), TypeError, "graph_def must be a GraphDef proto"),
        (lambda d: tf.import_graph_def(d, [tf.constant(1.0)]), TypeError, "input_map must be a dictionary mapping str"),
        (lambda d: tf.import_graph_def(d, {1: 2.0}), TypeError, "input_map must be a dictionary mapping strings"),
        (lambda d: tf.import_graph_def(d, None, [7]), TypeError, "return_elements must be a list of strings"),
        (
            lambda d: tf.import_graph_def(d, None, ["B"]),
            ValueError,
            "Requested return_element 'B' not found in graph_def",
        ),
        (lambda d: tf.import_graph_def(d, None, ["A:1"]), ValueError, "return_element 'A:1' not found in graph_def"),
        (
            lambda d: tf.import_graph_def(d, {"Z:0": 1.0}),
            ValueError,
            r"inputs that were not found in graph_def: \[Z:0\]",
        ),
        (
            lambda d: tf.import_graph_def(d, {"A": 1.0}, name=""),
            ValueError,
            "requires a non-empty `name` if `input_map`",
        ),
    ],
)
def test_arguments_that_are_wrong(call: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(graph_def(CONST))


def test_loops_and_branches_come_back(graph: tf.Graph) -> None:
    n = tf.placeholder(tf.int32, [], name="n")
    _, power = tf.while_loop(lambda i, _: i < n, lambda i, a: [i + 1, a * 2.0], [tf.constant(0), tf.constant(1.0)])
    tf.cond(n > 3, lambda: tf.constant(1.0) + 2.0, lambda: tf.neg(power))
    stored = graph.as_graph_def()
    for nodes in (stored.node, reversed(stored.node)):
        with tf.Graph().as_default() as other:
            tf.import_graph_def(tf.GraphDef(node=nodes), name="")
        tf.test.assert_equal_graph_def(other.as_graph_def(), stored)


def test_a_merge_needs_a_value_to_start_with() -> None:
    with pytest.raises(ValueError, match="later iterations only"):
        tf.import_graph_def(
            graph_def(
                f"node {{ name: 'M' op: 'Merge' input: 'N' {FLOAT} }}"
                f"node {{ name: 'N' op: 'NextIteration' input: 'M' {FLOAT} }}"
            )
        )
