"""What `tf.gradients` adds to a graph: which operations, under which names, and when it refuses."""

from pathlib import Path

import numpy as np
import pytest

import flowc as tf
from flowc.framework.registry import RegisterGradient, define
from tests.work import calls_of

HERE = Path(__file__).name


def placeholder(*shape, dtype=tf.float32, name=None):
    return tf.placeholder(dtype, list(shape), name=name)


def types_of(tensor):
    return tensor.op.type


def made_since(graph, version):
    return [op for op in graph.get_operations() if op._id > version]


# -- the ways gradients flow -------------------------------------------------------------------------------------------


def test_names_are_those_of_the_operations():
    x, w = placeholder(2, 3), placeholder(3, 4)
    product = tf.matmul(x, w)
    grad_x, grad_w = tf.gradients(product, [x, w])
    assert grad_x.name.startswith("gradients/MatMul_grad/")
    assert grad_w.name.startswith("gradients/MatMul_grad/")
    assert grad_x.get_shape() == [2, 3]
    assert grad_w.get_shape() == [3, 4]


def test_names_within_scopes():
    with tf.name_scope("layer"):
        x = placeholder(2)
        y = tf.tanh(x)
    assert tf.gradients(y, x)[0].name.startswith("gradients/layer/Tanh_grad/")
    assert tf.gradients(y, x, name="back")[0].name.startswith("back/layer/Tanh_grad/")
    assert tf.gradients(y, x)[0].name.startswith("gradients_1/layer/Tanh_grad/")


def test_of_itself_is_ones():
    x = placeholder(2, 2)
    (grad,) = tf.gradients(x, x)
    assert grad.op.type in ("Const", "Fill")
    assert grad.get_shape() == [2, 2]


def test_none_where_unconnected():
    x, y = placeholder(2), placeholder(2)
    assert tf.gradients(tf.exp(x), [y]) == [None]
    first, second = tf.gradients(tf.exp(x), [x, y])
    assert first is not None
    assert second is None


def test_none_behind_stop_gradient():
    x = placeholder(2)
    assert tf.gradients(tf.stop_gradient(tf.exp(x)), x) == [None]
    (grad,) = tf.gradients(tf.exp(x) * tf.stop_gradient(x), x)
    assert not any(op.name.startswith("gradients_1/StopGradient") for op in x.graph.get_operations())
    assert grad is not None


def test_none_through_what_is_not_differentiable():
    x = placeholder(3, 4)
    assert tf.gradients(tf.cast(tf.argmax(x, 1), tf.float32), x) == [None]


def test_only_the_way_to_xs_is_differentiated(graph):
    x, other = placeholder(2), placeholder(2)
    y = tf.exp(x) + tf.tanh(tf.sin(other))
    version = graph.version
    tf.gradients(y, x)
    assert not any("Tanh" in op.name or "Sin" in op.name for op in made_since(graph, version))


def test_an_intermediate_tensor_may_be_an_x_too():
    x = placeholder(2)
    middle = tf.exp(x)
    y = tf.square(middle)
    grad_x, grad_middle = tf.gradients(y, [x, middle])
    assert grad_middle.name.startswith("gradients/Square_grad")
    assert grad_x.name.startswith("gradients/Exp_grad")
    assert grad_middle in grad_x.op.inputs


def test_the_same_x_twice():
    x = placeholder(2)
    first, second = tf.gradients(tf.exp(x), [x, x])
    assert first is second


def test_several_ys_add_up():
    x = placeholder(2)
    (grad,) = tf.gradients([tf.exp(x), tf.sin(x)], x)
    assert types_of(grad) == "AddN"


def test_gradients_of_gradients():
    x = placeholder(2)
    (first,) = tf.gradients(x * x * x, x)
    (second,) = tf.gradients(first, x)
    (third,) = tf.gradients(second, x)
    assert [g.get_shape() for g in (first, second, third)] == [[2]] * 3


def test_variables_stand_for_all_their_reads():
    v = tf.Variable([1.0, 2.0])
    y = v * v.initialized_value()
    (grad,) = tf.gradients(y, v)
    assert types_of(grad) == "AddN"
    assert tf.gradients(v.value(), v.ref()) != [None]


def test_assignments_are_not_differentiated():
    v = tf.Variable([1.0, 2.0])
    x = placeholder(2)
    assert tf.gradients(v.assign(x) * 2.0, x) == [None]


# -- what comes in -----------------------------------------------------------------------------------------------------


def test_grad_ys():
    x = placeholder(2)
    y = tf.exp(x)
    seed = placeholder(2)
    (grad,) = tf.gradients(y, x, grad_ys=seed)
    assert seed in grad.op.inputs
    assert tf.gradients(y, x, grad_ys=[[1.0, 2.0]])[0] is not None
    assert tf.gradients([y, x], x, grad_ys=[None, seed])[0].op.type == "AddN"


def test_grad_ys_that_do_not_fit():
    x = placeholder(2)
    with pytest.raises(ValueError, match="2 grad_ys for 1 ys"):
        tf.gradients(x, x, grad_ys=[None, None])
    with pytest.raises(ValueError, match="shape"):
        tf.gradients(x, x, grad_ys=placeholder(3))
    with pytest.raises(ValueError, match="type float32"):
        tf.gradients(x, x, grad_ys=placeholder(2, dtype=tf.float64))


def test_gradients_of_integers():
    x = placeholder(2, dtype=tf.int32, name="count")
    assert tf.gradients(x * x, x)[0].dtype is tf.int32
    y = placeholder(2, dtype=tf.float32)
    assert tf.gradients([tf.cast(y, tf.int32), tf.argmax(y, 0)], y) == [None]  # both cut the way


def test_bools_have_no_gradient():
    x = placeholder(2, dtype=tf.bool, name="flag")
    with pytest.raises(TypeError, match=rf"(?s)'flag:0' is bool.*{HERE}:\d+"):
        tf.gradients(x, x)


def test_tensors_of_two_graphs():
    x = placeholder(2)
    with tf.Graph().as_default():
        y = placeholder(2)
    with pytest.raises(ValueError, match="same graph"):
        tf.gradients(y, x)


def test_what_is_no_aggregation_method():
    x = placeholder(2)
    with pytest.raises(ValueError, match="aggregation_method"):
        tf.gradients(x, x, aggregation_method=7)


# -- adding up ---------------------------------------------------------------------------------------------------------


def test_one_addition_for_all_uses():
    x = placeholder(2)
    y = tf.add_n([tf.exp(x), tf.sin(x), tf.cos(x), tf.tanh(x)])
    (grad,) = tf.gradients(y, x)
    assert types_of(grad) == "AddN"
    assert len(grad.op.inputs) == 4


def test_addition_as_a_tree():
    x = placeholder(2)
    y = tf.add_n([tf.exp(x), tf.sin(x), tf.cos(x), tf.tanh(x), tf.square(x)])
    (grad,) = tf.gradients(y, x, aggregation_method=tf.AggregationMethod.EXPERIMENTAL_TREE)
    assert types_of(grad) == "AddN"
    assert len(grad.op.inputs) == 2


def test_sparse_gradients():
    v = tf.Variable(np.zeros([10, 3], np.float32))
    (grad,) = tf.gradients(tf.gather(v, [1, 2, 1]), v)
    assert isinstance(grad, tf.IndexedSlices)
    assert grad.values.get_shape() == [3, 3]
    assert grad.indices.get_shape() == [3]
    assert grad.dtype is tf.float32
    dense = tf.convert_to_tensor(grad)
    assert types_of(dense) == "UnsortedSegmentSum"
    assert dense.get_shape() == [10, 3]


def test_sparse_gradients_are_concatenated():
    v = tf.Variable(np.zeros([10, 3], np.float32))
    y = tf.reduce_sum(tf.gather(v, [1, 2])) + tf.reduce_sum(tf.gather(v, [[3, 4], [5, 6]]))
    (grad,) = tf.gradients(y, v)
    assert isinstance(grad, tf.IndexedSlices)
    assert grad.values.op.type == grad.indices.op.type == "Concat"
    assert grad.values.get_shape() == [6, 3]


def test_sparse_and_dense_gradients_are_added():
    v = tf.Variable(np.zeros([10, 3], np.float32))
    (grad,) = tf.gradients([tf.gather(v, [1, 2]), tf.exp(v)], v)
    assert types_of(grad) == "AddN"
    assert {t.op.type for t in grad.op.inputs} >= {"UnsortedSegmentSum"}


def test_a_sparse_gradient_within_the_graph_is_made_dense():
    x = placeholder(10, 3)
    (grad,) = tf.gradients(tf.gather(tf.exp(x), [1, 2]), x)
    assert isinstance(grad, tf.Tensor)
    assert grad.get_shape() == [10, 3]


def test_sparse_without_dense_shape():
    slices = tf.IndexedSlices(placeholder(2, 3), tf.constant([0, 1]))
    with pytest.raises(ValueError, match="without dense_shape"):
        tf.convert_to_tensor(slices)


# -- operations with several outputs -----------------------------------------------------------------------------------


def test_outputs_without_a_gradient():
    x = placeholder(4, 2)
    rows = tf.unpack(x)
    (grad,) = tf.gradients(rows[1], x)
    assert grad.get_shape() == [4, 2]
    logits, labels = placeholder(5, 3), placeholder(5, 3)
    (grad,) = tf.gradients(tf.nn.softmax_cross_entropy_with_logits(logits, labels), logits)
    assert grad.get_shape() == [5, 3]
    assert not any(op.type == "ZerosLike" for op in logits.graph.get_operations() if op.name.startswith("gradients_1"))


def test_users_gradient_functions_get_zeros():
    define("TestTwoOutputs", shape=lambda c: [c.shapes[0]] * 2, result=lambda types, attrs: [types[0]] * 2)
    seen = []

    @RegisterGradient("TestTwoOutputs")
    def _grad(op, first, second):
        seen.extend([first, second])
        return first + second

    x = placeholder(2)
    op = x.graph.create_op("TestTwoOutputs", [x], [tf.float32] * 2)
    tf.gradients(op.outputs[1], x)
    assert seen[0].op.type == "ZerosLike"


# -- gradient functions ------------------------------------------------------------------------------------------------


def test_an_operation_without_a_gradient():
    define("TestNoGradient", shape=lambda c: c.shapes)
    x = placeholder(2)
    y = x.graph.create_op("TestNoGradient", [x], [tf.float32]).outputs[0]
    with pytest.raises(LookupError, match=rf"(?s)TestNoGradient.*{HERE}:\d+"):
        tf.gradients(y, x)
    assert tf.gradients(y * x, y) != [None]  # it is not on this way


def test_a_gradient_of_the_wrong_shape_or_number():
    define("TestBadGradient", shape=lambda c: [c.shapes[0]])
    x = placeholder(2)
    y = x.graph.create_op("TestBadGradient", [x], [tf.float32], name="bad").outputs[0]
    answers = iter([[None, None], tf.zeros([3]), tf.zeros([2], tf.float64)])

    @RegisterGradient("TestBadGradient")
    def _grad(op, grad):
        return next(answers)

    with pytest.raises(ValueError, match="returned 2 gradients for 1 inputs"):
        tf.gradients(y, x)
    with pytest.raises(ValueError, match=r"'bad'.*shape \(3,\), not \(2,\)"):
        tf.gradients(y, x)
    with pytest.raises(ValueError, match="type float64, not float32"):
        tf.gradients(y, x)


def test_gradient_override(graph):
    @RegisterGradient("TestTwice")
    def _twice(op, grad):
        return grad * 2.0

    x = placeholder(2)
    with graph.gradient_override_map({"Exp": "TestTwice"}):
        y = tf.exp(x)
    assert types_of(tf.gradients(y, x)[0]) == "Mul"


def test_gates():
    x, w = placeholder(2, 3), placeholder(3, 4)
    grads = tf.gradients(tf.matmul(x, w), [x, w], gate_gradients=True)
    assert [types_of(g) for g in grads] == ["Identity", "Identity"]
    assert "gradients/MatMul_grad/tuple" in grads[0].name
    assert len(grads[0].op.control_inputs) == 1


def test_colocation(graph):
    x = placeholder(2)
    with tf.device("/cpu:1"):
        y = tf.exp(x)
    assert tf.gradients(y, x)[0].device == ""
    assert tf.gradients(y, x, colocate_gradients_with_ops=True)[0].device == y.device


def test_the_cost_is_linear_in_the_graph(graph):
    def work(steps):
        with tf.Graph().as_default():
            x = placeholder(8)
            h = x
            for _ in range(steps):
                h = tf.tanh(h) + x
            return calls_of(lambda: tf.gradients(h, x))

    work(100)
    small, large = work(500), work(5000)
    assert large < 11 * small
    assert large < 260 * 10000  # about 70 µs an operation
