"""What variables add to a graph: operations, names, collections, shared variables, and errors."""

import re
from pathlib import Path

import numpy as np
import pytest

import flowc as tf

HERE = Path(__file__).name


# -- a variable --------------------------------------------------------------------------------------------------------


def test_operations_and_names(graph):
    v = tf.Variable(np.zeros([2, 3], np.float32), name="W")
    assert (v.name, v.op.type, v.dtype) == ("W:0", "Variable", tf.float32.as_ref)
    assert v.op.get_attr("shape") == [2, 3]
    assert v.op.get_attr("dtype") is tf.float32
    assert (v.op.get_attr("container"), v.op.get_attr("shared_name")) == ("", "")
    assert (v.initializer.name, v.initializer.type) == ("W/Assign", "Assign")
    assert v.initializer.inputs == (v.ref(), v.initial_value)
    assert (v.value().name, v.value().op.type, v.value().dtype) == ("W/read:0", "Identity", tf.float32)
    assert v.get_shape() == v.value().get_shape() == [2, 3]
    assert v.graph is graph
    assert "W:0" in repr(v)


def test_default_names_are_unique():
    assert [tf.Variable(0).name for _ in range(2)] == ["Variable:0", "Variable_1:0"]
    with tf.name_scope("layer"):
        assert tf.Variable(0, name="b").name == "layer/b:0"


@pytest.mark.parametrize(
    ("value", "dtype", "shape"),
    [
        (1, tf.int32, []),
        (1.0, tf.float32, []),
        ([[1.0], [2.0]], tf.float32, [2, 1]),
        (np.zeros([3], np.float64), tf.float64, [3]),
        ("text", tf.string, []),
    ],
)
def test_type_and_shape_are_those_of_the_initial_value(value, dtype, shape):
    v = tf.Variable(value)
    assert v.dtype.base_dtype is dtype
    assert v.get_shape() == shape
    assert tf.Variable(lambda: tf.convert_to_tensor(value)).get_shape() == shape


def test_an_initial_value_that_is_a_function_is_called_in_the_variables_scope():
    v = tf.Variable(lambda: tf.zeros([2], name="start"), name="v")
    assert v.initial_value.name == "v/start:0"


def test_initial_values_that_are_refused():
    with pytest.raises(ValueError, match="initial_value must be specified"):
        tf.Variable(None)
    with pytest.raises(ValueError, match="shape"):
        tf.Variable(tf.placeholder(tf.float32, [None, 2]))
    loose = tf.Variable(tf.placeholder(tf.float32, [None, 2]), validate_shape=False)
    assert loose.get_shape().ndims is None
    assert not loose.initializer.get_attr("validate_shape")


def test_the_initializer_does_not_wait_for_the_block_it_is_made_in(graph):
    c = tf.constant(1.0)
    with graph.control_dependencies([c]):
        v = tf.Variable(lambda: tf.zeros([2]))
    assert v.initializer.control_inputs == []
    assert v.initial_value.op.control_inputs == []
    assert v.value().op.control_inputs == []


def test_collections(graph):
    a = tf.Variable(1.0)
    b = tf.Variable(1.0, trainable=False)
    c = tf.Variable(1.0, collections=["mine"])
    d = tf.Variable(1.0, trainable=False, collections=[])
    assert tf.all_variables() == [a, b]
    assert tf.trainable_variables() == [a, c]
    assert graph.get_collection("mine") == [c]
    assert d not in tf.all_variables()


def test_it_stands_for_its_value():
    v = tf.Variable([1.0, 2.0])
    assert tf.convert_to_tensor(v) is v.value()
    assert tf.convert_to_tensor(v, as_ref=True) is v.ref()
    assert tf.exp(v).op.inputs == (v.value(),)
    with pytest.raises(ValueError, match="conversion requested dtype int32"):
        tf.convert_to_tensor(v, dtype=tf.int32)
    assert v.graph.as_graph_element(v) is v.ref()


def test_operators():
    v = tf.Variable([[1.0, 2.0]])
    assert [(v + 1).op.type, (1 + v).op.type, (v * v).op.type, (-v).op.type] == ["Add", "Add", "Mul", "Neg"]
    assert [(v - 1).op.type, (2 / v).op.type, (v < 1).op.type, (v**2).op.type] == ["Sub", "Div", "Less", "Pow"]
    assert (np.ones([1, 2], np.float32) + v).op.type == "Add"
    assert v[0].get_shape() == [2]
    assert abs(v).op.type == "Abs"
    with pytest.raises(TypeError, match="not iterable"):
        list(v)
    assert {v: 1}[v] == 1


def test_devices():
    with tf.device("/cpu:1"):
        v = tf.Variable(1.0)
    assert v.device == v.initializer.device == v.value().device == "/device:CPU:1"


# -- assignments -------------------------------------------------------------------------------------------------------


def test_assignments_return_the_reference():
    v = tf.Variable([1.0, 2.0], name="v")
    for result, op_type in [
        (tf.assign(v, [3.0, 4.0]), "Assign"),
        (v.assign([3.0, 4.0]), "Assign"),
        (v.assign_add([1.0, 1.0]), "AssignAdd"),
        (v.assign_sub(np.ones(2)), "AssignSub"),
        (tf.assign_add(v.assign([1.0, 1.0]), [1.0, 1.0]), "AssignAdd"),
    ]:
        assert result.op.type == op_type
        assert result.dtype is tf.float32.as_ref
        assert result.get_shape() == [2]
        assert result.op.inputs[1].dtype is tf.float32


def test_scatter():
    v = tf.Variable(np.zeros([5, 2], np.float32))
    for function, op_type in [
        (tf.scatter_update, "ScatterUpdate"),
        (tf.scatter_add, "ScatterAdd"),
        (tf.scatter_sub, "ScatterSub"),
    ]:
        result = function(v, [1, 3], [[1, 1], [2, 2]])
        assert (result.op.type, result.dtype, result.get_shape()) == (op_type, tf.float32.as_ref, [5, 2])
    rows = tf.IndexedSlices(tf.ones([2, 2]), tf.constant([0, 1]))
    assert v.scatter_sub(rows).op.type == "ScatterSub"
    with pytest.raises(ValueError, match="not IndexedSlices"):
        v.scatter_sub(tf.ones([2, 2]))


def test_count_up_to():
    counter = tf.Variable(0)
    count = counter.count_up_to(10)
    assert (count.op.type, count.dtype, count.op.get_attr("limit")) == ("CountUpTo", tf.int32, 10)
    with pytest.raises(TypeError, match="float32"):
        tf.Variable(0.0).count_up_to(10)


def test_assignments_that_do_not_fit_are_refused_at_the_users_line():
    v = tf.Variable(np.zeros([2, 3], np.float32))
    with pytest.raises(ValueError, match=rf"(?s)\(3, 2\).*{HERE}:\d+"):
        v.assign(np.zeros([3, 2]))
    with pytest.raises(TypeError, match=rf"(?s)Assign.*int32.*float32.*{HERE}:\d+"):
        v.assign(tf.zeros([2, 3], tf.int32))
    with pytest.raises(ValueError, match=rf"(?s)ScatterAdd.*{HERE}:\d+"):
        tf.scatter_add(v, [0, 1], np.zeros([3, 3]))
    with pytest.raises(TypeError, match="Only a variable can be assigned to"):
        tf.assign(tf.constant(1.0), 2.0)
    with pytest.raises(TypeError, match="Only a variable can be assigned to"):
        tf.assign(v.value(), v)


def test_a_shape_that_may_change():
    v = tf.Variable(tf.zeros([2]), validate_shape=False)
    assert tf.assign(v, tf.zeros([5]), validate_shape=False).get_shape() == [5]


# -- all variables -----------------------------------------------------------------------------------------------------


def test_initializers_of_all():
    a, b = tf.Variable(1.0), tf.Variable(2.0)
    init = tf.initialize_all_variables()
    assert (init.name, init.type) == ("init", "NoOp")
    assert init.control_inputs == [a.initializer, b.initializer]
    assert tf.initialize_variables([b], name="some").control_inputs == [b.initializer]
    assert tf.initialize_variables([]).control_inputs == []


def test_initialized_value():
    a = tf.Variable([1.0, 2.0])
    value = a.initialized_value()
    assert value.op.control_inputs == [a.initializer]
    assert tf.Variable(value * 2.0).get_shape() == [2]


def test_assert_variables_initialized():
    assert tf.assert_variables_initialized() is None
    a, b = tf.Variable(1.0), tf.Variable(2)
    check = tf.assert_variables_initialized()
    assert check.inputs == (a.ref(), b.ref())
    assert tf.assert_variables_initialized([b]).inputs == (b.ref(),)


# -- sharing -----------------------------------------------------------------------------------------------------------


def test_get_variable_makes_and_shares():
    with tf.variable_scope("layer") as scope:
        w = tf.get_variable("w", [2, 3])
        scope.reuse_variables()
        assert tf.get_variable("w", [2, 3]) is w
    assert w.name == "layer/w:0"
    with tf.variable_scope("layer", reuse=True):
        assert tf.get_variable("w") is w
    with tf.variable_scope(scope, reuse=True):
        assert tf.get_variable("w", [2, None]) is w
    assert not tf.get_variable_scope().reuse


def test_names_of_operations_follow_the_scope():
    with tf.variable_scope("a"), tf.variable_scope("b"):
        assert tf.get_variable("w", [1]).name == "a/b/w:0"
        assert tf.constant(1.0).name.startswith("a/b/")
    with tf.name_scope("outer"):
        assert tf.get_variable("v", [1]).name == "v:0"


def test_sharing_too_much_or_too_little():
    tf.get_variable("w", [2])
    with pytest.raises(ValueError, match=rf"(?s)Over-sharing: Variable w .*{HERE}:\d+"):
        tf.get_variable("w", [2])
    with tf.variable_scope("new", reuse=True), pytest.raises(ValueError, match=r"Under-sharing: Variable new/v "):
        tf.get_variable("v", [2])
    tf.get_variable_scope().reuse_variables()
    with pytest.raises(ValueError, match=re.escape("specified shape (3,) and found shape (2,)")):
        tf.get_variable("w", [3])
    with pytest.raises(ValueError, match="specified dtype int32 and found dtype float32"):
        tf.get_variable("w", [2], tf.int32)
    with pytest.raises(ValueError, match="fully defined"), tf.Graph().as_default():
        tf.get_variable("w")


def test_scopes_are_left_after_an_error():
    with pytest.raises(RuntimeError), tf.variable_scope("a", reuse=True):
        raise RuntimeError
    assert tf.get_variable_scope().name == ""
    for wrong, error in [("", ValueError), (3, TypeError)]:
        with pytest.raises(error), tf.variable_scope(wrong):
            pass


def test_initializers():
    for initializer, op_type in [
        (tf.zeros_initializer, "Const"),
        (tf.constant_initializer(3.0), "Const"),
        (tf.random_normal_initializer(0.0, 2.0, seed=1), "Add"),
        (tf.truncated_normal_initializer(stddev=0.1), "Mul"),
        (tf.random_uniform_initializer(-1.0, 1.0), "Add"),
        (tf.uniform_unit_scaling_initializer(1.43), "Add"),
    ]:
        value = initializer([4, 5], dtype=tf.float64)
        assert value.get_shape() == [4, 5]
        assert value.dtype is tf.float64
        assert value.op.type in (op_type, "Add", "Mul", "Identity")
    with tf.variable_scope("s", initializer=tf.constant_initializer(7.0)):
        assert np.all(tf.get_variable("a", [2]).initial_value.op.get_attr("value") == 7.0)
        with tf.variable_scope("t"):
            inner = tf.get_variable("b", [2], initializer=tf.constant_initializer(8.0))
    assert np.all(inner.initial_value.op.get_attr("value") == 8.0)


def test_options_of_get_variable():
    v = tf.get_variable("v", [2], dtype=tf.float64, trainable=False, collections=["mine"])
    assert v.dtype.base_dtype is tf.float64
    assert tf.trainable_variables() == []
    assert tf.get_collection("mine") == [v]


def test_variable_op_scope():
    def layer(x, name=None):
        with tf.variable_op_scope([x], name, "Layer"):
            return tf.get_variable("w", [1])

    x = tf.constant(1.0)
    assert [layer(x).name, layer(x).name, layer(x, "named").name] == ["Layer/w:0", "Layer_1/w:0", "named/w:0"]
    with pytest.raises(ValueError, match="Over-sharing"):
        layer(x, "named")
    with tf.variable_scope("s", reuse=True), pytest.raises(ValueError, match="give a name"):
        layer(x)
    with pytest.raises(ValueError, match="name"), tf.variable_op_scope([x], None, None):
        pass
