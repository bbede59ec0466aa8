"""The graph: names, scopes, devices, control dependencies, collections, lookup, and the user's lines."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from tests.work import calls_of


def names(graph: tf.Graph) -> list[str]:
    return [op.name for op in graph.get_operations()]


# -- names -------------------------------------------------------------------------------------------------------------


def test_ops_are_named_after_their_type_and_numbered(graph: tf.Graph) -> None:
    a, b = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
    assert [a.name, b.name] == ["Placeholder:0", "Placeholder_1:0"]
    assert [tf.add(a, b).name, tf.add(a, b).name, tf.matmul(a, b).name] == ["Add:0", "Add_1:0", "MatMul:0"]
    assert [tf.constant(1).name, tf.constant(2).name] == ["Const:0", "Const_1:0"]


def test_operators_have_names_of_their_own() -> None:
    a, b = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
    found = [t.op.name for t in (a + b, a + b, a - b, a * b, a / b, a // b, a % b, a**b, -a, a < b)]
    assert found == ["add", "add_1", "sub", "mul", "truediv", "floordiv", "mod", "pow", "Neg", "Less"]


def test_values_become_constants_named_after_the_input(graph: tf.Graph) -> None:
    x = tf.placeholder(tf.float32, [4], name="x")
    x + 1.0
    2.0 * x
    tf.reshape(x, [2, 2])
    tf.reduce_sum(x)
    tf.concat(0, [x, [1.0]])
    assert names(graph) == [
        *("x", "add/y", "add", "mul/x", "mul", "Reshape/shape", "Reshape", "Sum/reduction_indices", "Sum"),
        *("concat/concat_dim", "concat/values_1", "concat"),
    ]


def test_a_given_name_is_made_unique() -> None:
    assert [tf.constant(0, name="c").op.name for _ in range(3)] == ["c", "c_1", "c_2"]
    assert tf.constant(0, name="c_1").op.name == "c_1_1"


def test_a_bad_name_is_refused() -> None:
    with pytest.raises(ValueError, match="not a valid node name"):
        tf.constant(0, name="a b")


def test_name_scopes() -> None:
    with tf.name_scope("hidden1") as scope:
        assert scope == "hidden1/"
        assert tf.constant(0, name="weights").op.name == "hidden1/weights"
        with tf.name_scope("inner"):
            assert tf.constant(0).op.name == "hidden1/inner/Const"
    with tf.name_scope("hidden1"):
        assert tf.constant(0, name="weights").op.name == "hidden1_1/weights"
    with tf.name_scope(scope):
        assert tf.constant(0, name="biases").op.name == "hidden1/biases"
        with tf.name_scope(None):
            assert tf.constant(0, name="outside").op.name == "outside"
    with pytest.raises(ValueError, match="not a valid scope name"), tf.name_scope("a b"):
        pass


def test_composites_have_a_scope(graph: tf.Graph) -> None:
    y = tf.random_normal([2], stddev=0.5)
    assert y.op.name == "random_normal"
    assert set(names(graph)) == {
        *("random_normal", "random_normal/mean", "random_normal/stddev", "random_normal/mul"),
        *("random_normal/RandomStandardNormal", "random_normal/RandomStandardNormal/shape"),
    }


def test_op_scope_takes_the_graph_of_its_values() -> None:
    x = tf.constant(1.0)
    with tf.Graph().as_default(), tf.op_scope([x], None, "work") as scope:
        assert scope == "work/"
        assert tf.get_default_graph() is x.graph


# -- devices, control dependencies, collections ------------------------------------------------------------------------


def test_device_scopes_merge() -> None:
    with tf.device("/job:worker"):
        assert tf.constant(0).device == "/job:worker"
        with tf.device("/gpu:1"):
            assert tf.constant(0).device == "/job:worker/device:GPU:1"
        with tf.device(None):
            assert tf.constant(0).device == ""
    assert tf.constant(0).device == ""


def test_a_device_may_be_a_function_of_the_operation() -> None:
    with tf.device(lambda op: "/cpu:0" if op.type == "Const" else "/gpu:0"):
        x = tf.constant(1.0)
        assert x.device == "/device:CPU:0"
        assert tf.neg(x).device == "/device:GPU:0"


def test_a_bad_device_is_refused() -> None:
    with pytest.raises(ValueError, match="device name"), tf.device("/tpu"):
        tf.constant(0)


def test_control_dependencies() -> None:
    a, b = tf.constant(1), tf.constant(2)
    with tf.control_dependencies([a, b.op]):
        c = tf.constant(3)
        d = tf.neg(c)
        with tf.control_dependencies(None):
            e = tf.constant(4)
    assert c.op.control_inputs == [a.op, b.op]
    assert d.op.control_inputs == [], "its input waits already"
    assert e.op.control_inputs == []
    with pytest.raises(TypeError, match="Can not convert"), tf.control_dependencies([3]):
        pass


def test_collections() -> None:
    tf.add_to_collection("losses", 1)
    tf.add_to_collection("losses", 2)
    assert tf.get_collection("losses") == [1, 2]
    assert tf.get_collection("none") == []
    with tf.name_scope("s"):
        inside = tf.constant(0)
    tf.add_to_collection("losses", inside)
    assert tf.get_collection("losses", scope="s/") == [inside]


# -- lookup and structure ----------------------------------------------------------------------------------------------


def test_elements_are_found_by_name(graph: tf.Graph) -> None:
    parts = tf.split(0, 2, tf.constant([1, 2]))
    assert graph.get_operation_by_name("split") is parts[0].op
    assert graph.get_tensor_by_name("split:1") is parts[1]
    assert graph.as_graph_element("split:0") is parts[0]
    with pytest.raises(KeyError, match="not in the graph"):
        graph.get_operation_by_name("other")
    with pytest.raises(KeyError, match="does not exist"):
        graph.get_tensor_by_name("split:2")
    with pytest.raises(ValueError, match='did you mean "split:0"'):
        graph.get_tensor_by_name("split")
    with pytest.raises(ValueError, match="not an element of this graph"):
        tf.Graph().as_graph_element(parts[0])


def test_consumers_are_known_and_a_refused_op_is_none(graph: tf.Graph) -> None:
    x = tf.placeholder(tf.float32, [2])
    y = tf.neg(x)
    before = graph.version
    with pytest.raises(ValueError, match="rank 2"):
        tf.matmul(x, x)
    assert x.consumers() == [y.op]
    assert graph.version == before


def test_graphs_do_not_mix() -> None:
    x = tf.constant(1.0)
    with tf.Graph().as_default():
        y = tf.constant(1.0)
        with pytest.raises(ValueError, match="from the same graph"):
            tf.add(x, y)
        assert (x + 1.0).graph is x.graph, "constants go where the tensor is"


def test_a_finalized_graph_takes_no_more(graph: tf.Graph) -> None:
    graph.finalize()
    with pytest.raises(RuntimeError, match="finalized"):
        tf.constant(0)


def test_a_graph_is_data(graph: tf.Graph) -> None:
    a, b = tf.split(0, 2, tf.constant([1, 2]), name="halves")
    with tf.control_dependencies([a]):
        tf.identity(b, name="second")
    node = graph.as_graph_def().node[-1]
    assert (node.name, node.op, node.input) == ("second", "Identity", ["halves:1"])
    tf.group(a, name="all")
    assert graph.as_graph_def().node[-1].input == ["^halves"]


def test_operations_know_their_attributes() -> None:
    product = tf.matmul(tf.zeros([2, 3]), tf.zeros([2, 3]), transpose_b=True)
    assert product.op.get_attr("transpose_b") is True
    with pytest.raises(ValueError, match="No attr named"):
        product.op.get_attr("transpose_c")
    assert product.op.op_def.type == "MatMul"


def test_group_and_tuple() -> None:
    a, b = tf.constant(1), tf.constant(2)
    together = tf.group(a, b.op)
    assert (together.type, together.name, together.control_inputs) == ("NoOp", "group_deps", [a.op, b.op])
    assert tf.group().control_inputs == []
    with pytest.raises(ValueError, match="Unknown keyword"):
        tf.group(a, names="x")
    with pytest.raises(TypeError, match="Expected an Operation"):
        tf.group(3)
    x, none, y = tf.tuple([a, None, b])
    assert none is None
    assert x.op.control_inputs == y.op.control_inputs
    assert set(x.op.control_inputs[0].control_inputs) == {a.op, b.op}
    with pytest.raises(ValueError, match="at least one"):
        tf.tuple([])


# -- tensors are no values ---------------------------------------------------------------------------------------------


def test_tensors_compare_by_identity_and_are_keys() -> None:
    a, b = tf.constant(1), tf.constant(1)
    assert a != b
    assert {a: 1, b: 2}[b] == 2


def test_tensors_have_no_truth_and_no_items() -> None:
    with pytest.raises(TypeError, match="Python bool"):
        bool(tf.constant(True))
    with pytest.raises(TypeError, match="not iterable"):
        iter(tf.constant([1, 2]))


def test_tensors_tell_their_shape_and_type() -> None:
    x = tf.placeholder(tf.float32, [None, 3], name="x")
    assert str(x) == 'Tensor("x:0", shape=(?, 3), dtype=float32)'
    assert repr(x.op) == "<tf.Operation 'x' type=Placeholder>"


# -- lines, speed ------------------------------------------------------------------------------------------------------


def test_an_operation_knows_the_line_that_made_it() -> None:
    def make() -> tf.Tensor:
        return tf.constant(1.0) * 2.0

    op = make().op
    assert op.source_line().startswith(__file__)
    filename, _, function, text = op.traceback[-1]
    assert (filename, function, text) == (__file__, "make", "return tf.constant(1.0) * 2.0")
    assert "test_an_operation_knows_the_line_that_made_it" in [frame[2] for frame in op.traceback]


def test_ten_thousand_operations_are_made_quickly() -> None:
    """About 10 µs an operation on an idle core, which is a few dozen calls."""
    x = tf.constant(np.zeros(16, np.float32))

    def build() -> None:
        y = x
        for _ in range(5000):
            y = tf.add(tf.tanh(y), y)

    assert calls_of(build) < 45 * 10000
