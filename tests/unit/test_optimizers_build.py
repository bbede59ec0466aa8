"""What optimizers add to a graph: update operations, slots, names, order, and errors."""

import numpy as np
import pytest

import flowc as tf

OPTIMIZERS = {
    "ApplyGradientDescent": (lambda: tf.train.GradientDescentOptimizer(0.1), []),
    "ApplyMomentum": (lambda: tf.train.MomentumOptimizer(0.1, 0.9), ["momentum"]),
    "ApplyAdam": (lambda: tf.train.AdamOptimizer(), ["m", "v"]),
    "ApplyAdagrad": (lambda: tf.train.AdagradOptimizer(0.1), ["accumulator"]),
    "ApplyRMSProp": (lambda: tf.train.RMSPropOptimizer(0.1, 0.9), ["momentum", "rms"]),
    "ApplyFtrl": (lambda: tf.train.FtrlOptimizer(0.1), ["accum", "linear"]),
}


def variable(name="W", dtype=np.float32):
    return tf.Variable(np.zeros([4, 3], dtype), name=name)


def loss_of(*variables):
    return tf.add_n([tf.reduce_sum(tf.square(v)) for v in variables])


def ops_of_type(op_type):
    return [op for op in tf.get_default_graph().get_operations() if op.type == op_type]


# -- every optimizer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op_type", OPTIMIZERS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_updates_and_slots(op_type, dtype):
    make, slots = OPTIMIZERS[op_type]
    w, b = variable("W", dtype), variable("b", dtype)
    optimizer = make()
    assert optimizer.get_slot_names() == []
    train = optimizer.minimize(loss_of(w, b))
    name = optimizer._name
    assert (train.name, train.type) == (name, "NoOp")
    updates = ops_of_type(op_type)
    assert [op.name for op in updates] == [f"{name}/update_W/{op_type}", f"{name}/update_b/{op_type}"]
    assert set(updates) <= set(train.control_inputs)
    assert optimizer.get_slot_names() == slots
    for slot_name in slots:
        slot = optimizer.get_slot(w, slot_name)
        assert slot.get_shape() == [4, 3]
        assert slot.dtype == w.dtype
        assert slot.ref() in updates[0].inputs
        assert slot.name.startswith(f"W/{name}")
        assert slot in tf.all_variables()
        assert slot not in tf.trainable_variables()
    assert all(t.dtype.base_dtype == w.dtype.base_dtype for t in updates[0].inputs)
    assert updates[0].inputs[0] is w.ref()
    assert updates[0].outputs[0].dtype == w.dtype


@pytest.mark.parametrize("op_type", OPTIMIZERS)
def test_sparse_gradients(op_type):
    make, _ = OPTIMIZERS[op_type]
    w = variable()
    make().minimize(tf.reduce_sum(tf.gather(w, [0, 2, 0])))
    types = {op.type for op in tf.get_default_graph().get_operations()}
    expected = {
        "ApplyGradientDescent": {"ScatterSub"},
        "ApplyMomentum": {"SparseApplyMomentum"},
        "ApplyAdam": {"Assign", "ScatterAdd", "AssignSub"},
        "ApplyAdagrad": {"SparseApplyAdagrad"},
        "ApplyRMSProp": {"UnsortedSegmentSum", "ApplyRMSProp"},
        "ApplyFtrl": {"SparseApplyFtrl"},
    }
    assert expected[op_type] <= types


@pytest.mark.parametrize("op_type", OPTIMIZERS)
def test_learning_rates_are_numbers_or_tensors(op_type):
    rate = tf.placeholder(tf.float32, [])
    variables = [variable("a"), variable("b", np.float64)]
    optimizer = OPTIMIZERS[op_type][0]()
    optimizer._learning_rate = rate
    optimizer.minimize(tf.reduce_sum(variables[0]))
    optimizer.minimize(tf.reduce_sum(variables[1]))
    single, double = ops_of_type(op_type)
    assert rate in single.inputs
    assert [t.op.type for t in double.inputs if t.op.inputs == (rate,)] == ["Cast"]


def test_one_constant_for_all_variables():
    w, b = variable("W"), variable("b")
    tf.train.GradientDescentOptimizer(0.1).minimize(loss_of(w, b))
    first, second = ops_of_type("ApplyGradientDescent")
    assert first.inputs[1] is second.inputs[1]
    assert first.inputs[1].name == "GradientDescent/learning_rate:0"


# -- minimize ----------------------------------------------------------------------------------------------------------


def test_global_step_is_incremented_last():
    w = variable()
    step = tf.Variable(0, trainable=False, name="global_step")
    train = tf.train.GradientDescentOptimizer(0.1).minimize(loss_of(w), global_step=step)
    assert (train.name, train.type) == ("GradientDescent", "AssignAdd")
    assert train.inputs[0] is step.ref()
    (group,) = train.control_inputs
    assert (group.name, group.type) == ("GradientDescent/update", "NoOp")
    assert [op.type for op in group.control_inputs] == ["ApplyGradientDescent"]


def test_a_global_step_of_int64():
    step = tf.Variable(np.int64(0), trainable=False)
    train = tf.train.GradientDescentOptimizer(0.1).minimize(loss_of(variable()), global_step=step)
    assert train.inputs[1].dtype is tf.int64


def test_names():
    w = variable()
    optimizer = tf.train.AdamOptimizer()
    assert optimizer.minimize(loss_of(w), name="train").name == "train"
    assert optimizer.minimize(loss_of(w)).name == "Adam"
    assert optimizer.minimize(loss_of(w)).name == "Adam_1"
    with tf.name_scope("scope"):
        assert optimizer.minimize(loss_of(w)).name == "scope/Adam"


def test_only_the_listed_variables_are_trained():
    w, b = variable("W"), variable("b")
    tf.train.GradientDescentOptimizer(0.1).minimize(loss_of(w, b), var_list=[b])
    assert [op.inputs[0] for op in ops_of_type("ApplyGradientDescent")] == [b.ref()]


def test_variables_without_a_gradient_are_left_out():
    w, other = variable("W"), variable("other")
    optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    pairs = optimizer.compute_gradients(loss_of(w))
    assert [(grad is None, v) for grad, v in pairs] == [(False, w), (True, other)]
    optimizer.apply_gradients(pairs)
    assert len(ops_of_type("ApplyMomentum")) == 1
    assert optimizer.get_slot(other, "momentum") is None


def test_slots_are_made_once():
    w = variable()
    optimizer = tf.train.AdamOptimizer()
    optimizer.minimize(loss_of(w))
    count = len(tf.all_variables())
    optimizer.minimize(loss_of(w))
    assert len(tf.all_variables()) == count == 5


def test_gradients_can_be_changed_in_between():
    w = variable()
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    ((grad, v),) = optimizer.compute_gradients(loss_of(w))
    clipped = tf.clip_by_value(grad, -1.0, 1.0)
    optimizer.apply_gradients([(clipped, v)])
    assert ops_of_type("ApplyGradientDescent")[0].inputs[2] is clipped
    optimizer.apply_gradients([(np.ones([4, 3], np.float32), v)])


def test_gates():
    w, b = variable("W"), variable("b")
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    gated = optimizer.compute_gradients(loss_of(w, b), gate_gradients=optimizer.GATE_GRAPH)
    assert {grad.op.type for grad, _ in gated} == {"Identity"}
    assert len({grad.op.control_inputs[0] for grad, _ in gated}) == 1
    with pytest.raises(ValueError, match="gate_gradients"):
        optimizer.minimize(loss_of(w), gate_gradients=5)


# -- Adam --------------------------------------------------------------------------------------------------------------


def test_adams_powers_grow_after_the_updates():
    w = variable()
    train = tf.train.AdamOptimizer(beta1=0.8).minimize(loss_of(w))
    names = {v.name for v in tf.all_variables()}
    assert names == {"W:0", "beta1_power:0", "beta2_power:0", "W/Adam:0", "W/Adam_1:0"}
    update, grown, _ = train.control_inputs
    assert update.type == "ApplyAdam"
    assert grown.type == "Assign"
    assert grown.inputs[1].op.inputs[0].op.control_inputs == [update]
    assert [t.name for t in update.inputs[3:5]] == ["beta1_power/read:0", "beta2_power/read:0"]


def test_adams_powers_are_as_precise_as_the_variables():
    tf.train.AdamOptimizer().minimize(loss_of(variable("W", np.float64)))
    powers = [v for v in tf.all_variables() if "power" in v.name]
    assert [v.dtype.base_dtype for v in powers] == [tf.float64] * 2


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_mistakes():
    optimizer = tf.train.GradientDescentOptimizer(0.1)
    with pytest.raises(ValueError, match="No variables"):
        optimizer.minimize(tf.constant(1.0))
    w = variable()
    with pytest.raises(ValueError, match="No gradients provided for any variable: W:0"):
        optimizer.minimize(tf.constant(1.0))
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.apply_gradients([])
    with pytest.raises(TypeError, match=r"not a tf\.Variable"):
        optimizer.minimize(loss_of(w), var_list=[w.value()])
    with pytest.raises(TypeError, match=r"must be a tf\.Variable"):
        optimizer.apply_gradients([(tf.ones([4, 3]), w.value())])
    with pytest.raises(ValueError, match="shape"):
        optimizer.apply_gradients([(tf.ones([3, 3]), w)])
    with pytest.raises(TypeError, match="float64"):
        optimizer.apply_gradients([(tf.ones([4, 3], tf.float64), w)])
    with pytest.raises(ValueError, match="int32"):
        optimizer.apply_gradients([(tf.ones([], tf.int32), tf.Variable(1))])
    with pytest.raises(ValueError, match=r"[Ss]hape"):
        tf.train.GradientDescentOptimizer([0.1, 0.2]).minimize(loss_of(w))
    with pytest.raises(ValueError, match="name"):
        tf.train.GradientDescentOptimizer(0.1, name="")


def test_hyperparameters_that_are_refused():
    with pytest.raises(ValueError, match="positive"):
        tf.train.AdagradOptimizer(0.1, initial_accumulator_value=0.0)
    with pytest.raises(ValueError, match="positive"):
        tf.train.FtrlOptimizer(0.1, initial_accumulator_value=-1.0)
    with pytest.raises(ValueError, match="zero or less"):
        tf.train.FtrlOptimizer(0.1, learning_rate_power=0.5)
    with pytest.raises(ValueError, match="zero or more"):
        tf.train.FtrlOptimizer(0.1, l1_regularization_strength=-0.5)


def test_an_optimizer_of_ones_own():
    class Signs(tf.train.Optimizer):
        def __init__(self):
            super().__init__(False, "Signs")

        def _apply_dense(self, grad, var):
            return var.assign_sub(tf.sign(grad)).op

    w = variable()
    assert Signs().minimize(loss_of(w)).control_inputs[0].type == "AssignSub"
    with pytest.raises(NotImplementedError, match="_apply_dense"):
        tf.train.Optimizer(False, "Plain").minimize(loss_of(w))


# -- what goes with them -----------------------------------------------------------------------------------------------


def test_exponential_decay():
    step = tf.Variable(0, trainable=False)
    rate = tf.train.exponential_decay(0.1, step, 100, 0.96)
    assert rate.dtype is tf.float32
    assert rate.get_shape() == []
    assert not ops_of_type("Floor")
    tf.train.exponential_decay(0.1, step, 100, 0.96, staircase=True)
    assert len(ops_of_type("Floor")) == 1
    tf.train.GradientDescentOptimizer(rate).minimize(loss_of(variable()), global_step=step)


def test_clipping():
    x = tf.placeholder(tf.float32, [3, 4])
    slices = tf.IndexedSlices(tf.ones([2, 3]), tf.constant([0, 1]))
    for clipped in (tf.clip_by_value(x, -1.0, 1.0), tf.clip_by_norm(x, 5.0), tf.clip_by_average_norm(x, 5.0)):
        assert clipped.get_shape() == [3, 4]
    (first, second, third), norm = tf.clip_by_global_norm([x, None, slices], 5.0)
    assert first.get_shape() == [3, 4]
    assert second is None
    assert isinstance(third, tf.IndexedSlices)
    assert norm.get_shape() == []
    assert tf.clip_by_global_norm([x], 5.0, use_norm=norm)[1] is norm
    assert tf.global_norm([None]) is None
    with pytest.raises(TypeError, match="sequence"):
        tf.global_norm(x)
