"""Optimizers, compiled, against their formulas in NumPy, in float64."""

import math

import numpy as np
import pytest

import flowc as tf

STEPS = 4
TOLERANCE = {np.float16: 2e-2, np.float32: 2e-6, np.float64: 1e-14}
SHAPES = [(), (1,), (7,), (3, 5), (129, 33)]


# -- the formulas: functions of (variable, gradient, state, step) that return the new variable -------------------------


def gradient_descent(var, grad, state, step, lr=0.1):
    return var - lr * grad


def momentum(var, grad, state, step, lr=0.1, momentum=0.9):
    state["accum"] = momentum * state.get("accum", 0.0) + grad
    return var - lr * state["accum"]


def adam(var, grad, state, step, lr=0.01, beta1=0.9, beta2=0.999, epsilon=1e-8):
    state["m"] = beta1 * state.get("m", 0.0) + (1 - beta1) * grad
    state["v"] = beta2 * state.get("v", 0.0) + (1 - beta2) * grad**2
    rate = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    return var - rate * state["m"] / (np.sqrt(state["v"]) + epsilon)


def adagrad(var, grad, state, step, lr=0.1, start=0.1):
    state["accum"] = state.get("accum", start) + grad**2
    return var - lr * grad / np.sqrt(state["accum"])


def rmsprop(var, grad, state, step, lr=0.01, decay=0.9, momentum=0.5, epsilon=1e-10):
    state["ms"] = decay * state.get("ms", 1.0) + (1 - decay) * grad**2
    state["mom"] = momentum * state.get("mom", 0.0) + lr * grad / np.sqrt(state["ms"] + epsilon)
    return var - state["mom"]


def ftrl(var, grad, state, step, lr=0.5, power=-0.5, start=0.1, l1=0.2, l2=0.1):
    accum = state.get("accum", start)
    state["accum"] = accum + grad**2
    linear = state.get("linear", 0.0) + grad - (state["accum"] ** -power - accum**-power) / lr * var
    state["linear"] = linear
    shrunk = (np.sign(linear) * l1 - linear) / (state["accum"] ** -power / lr + 2 * l2)
    return np.where(np.abs(linear) <= l1, 0.0, shrunk)


OPTIMIZERS = {
    "gradient_descent": (lambda: tf.train.GradientDescentOptimizer(0.1), gradient_descent),
    "momentum": (lambda: tf.train.MomentumOptimizer(0.1, 0.9), momentum),
    "adam": (lambda: tf.train.AdamOptimizer(0.01), adam),
    "adagrad": (lambda: tf.train.AdagradOptimizer(0.1), adagrad),
    "rmsprop": (lambda: tf.train.RMSPropOptimizer(0.01, 0.9, 0.5), rmsprop),
    "ftrl": (
        lambda: tf.train.FtrlOptimizer(0.5, l1_regularization_strength=0.2, l2_regularization_strength=0.1),
        ftrl,
    ),
}


def assert_close(got, expected, dtype):
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


# -- dense -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_steps_on_dense_gradients(name, dtype):
    make, formula = OPTIMIZERS[name]
    random = np.random.default_rng(0)
    starts = [random.normal(size=shape).astype(dtype) for shape in SHAPES]
    grads = [[random.normal(size=shape).astype(dtype) for shape in SHAPES] for _ in range(STEPS)]
    variables = [tf.Variable(start) for start in starts]
    feeds = [tf.placeholder(dtype, shape) for shape in SHAPES]
    step = tf.Variable(0, trainable=False)
    train = make().apply_gradients(list(zip(feeds, variables, strict=True)), global_step=step)
    expected, states = [start.astype(np.float64) for start in starts], [{} for _ in SHAPES]
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for count, values in enumerate(grads, 1):
            session.run(train, dict(zip(feeds, values, strict=True)))
            expected = [
                formula(var, grad.astype(np.float64), state, count)
                for var, grad, state in zip(expected, values, states, strict=True)
            ]
        for got, wanted in zip(session.run(variables), expected, strict=True):
            assert_close(got, wanted, dtype)
        assert session.run(step) == STEPS


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loss_is_minimized(name):
    w = tf.Variable(np.array([2.0, -3.0, 0.5], np.float32))
    loss = tf.reduce_sum(tf.square(w - [1.0, 1.0, 1.0]))
    train = OPTIMIZERS[name][0]().minimize(loss)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        before = session.run(loss)
        for _ in range(20):
            session.run(train)
        assert session.run(loss) < before


def test_slots_hold_what_the_formulas_say():
    w = tf.Variable(np.array([1.0, 2.0], np.float32))
    optimizer = tf.train.AdamOptimizer(0.01, beta1=0.8, beta2=0.9)
    grad = np.array([0.5, -1.0], np.float32)
    train = optimizer.apply_gradients([(tf.constant(grad), w)])
    powers = [v for v in tf.all_variables() if "power" in v.name]
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        session.run(train)
        session.run(train)
        m, v = session.run([optimizer.get_slot(w, "m"), optimizer.get_slot(w, "v")])
        np.testing.assert_allclose(m, (1 - 0.8**2) * grad, rtol=1e-6)
        np.testing.assert_allclose(v, (1 - 0.9**2) * grad**2, rtol=1e-6)
        np.testing.assert_allclose(session.run(powers), [0.8**3, 0.9**3], rtol=1e-6)


# -- sparse ------------------------------------------------------------------------------------------------------------


def by_rows(formula):
    """The formula, applied to one row at a time, each row with a state of its own."""

    def sparse(var, rows, indices, state, step):
        var = var.copy()
        for index, row in zip(indices, rows, strict=True):
            var[index] = formula(var[index], row, state.setdefault(index, {}), step)
        return var

    return sparse


def as_dense(formula):
    """The formula, applied to the dense gradient."""

    def sparse(var, rows, indices, state, step):
        grad = np.zeros_like(var)
        np.add.at(grad, indices, rows)
        return formula(var, grad, state, step)

    return sparse


SPARSE = {
    "gradient_descent": (by_rows, [3, 0, 3]),
    "momentum": (by_rows, [3, 0, 3]),
    "adagrad": (by_rows, [3, 0, 3]),
    "ftrl": (by_rows, [3, 0, 3]),
    "adam": (as_dense, [3, 0, 5]),
    "rmsprop": (as_dense, [3, 0, 3]),
}


@pytest.mark.parametrize("name", SPARSE)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("index_type", [np.int32, np.int64])
def test_steps_on_sparse_gradients(name, dtype, index_type):
    make, formula = OPTIMIZERS[name]
    wrap, indices = SPARSE[name]
    random = np.random.default_rng(1)
    start = random.normal(size=(6, 17)).astype(dtype)
    w = tf.Variable(start)
    rows = tf.placeholder(dtype, [None, 17])
    slices = tf.IndexedSlices(rows, tf.constant(np.array(indices, index_type)), tf.constant([6, 17]))
    train = make().apply_gradients([(slices, w)])
    expected, state = start.astype(np.float64), {}
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for count in range(1, STEPS + 1):
            values = random.normal(size=(3, 17)).astype(dtype)
            session.run(train, {rows: values})
            expected = wrap(formula)(expected, values.astype(np.float64), indices, state, count)
        assert_close(session.run(w), expected, dtype)


def test_rows_of_an_embedding_are_trained():
    table = tf.Variable(np.ones([10, 4], np.float32))
    loss = tf.reduce_sum(tf.square(tf.gather(table, [1, 3, 1])))
    train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        session.run(train)
        expected = np.ones([10, 4])
        expected[1] -= 0.4
        expected[3] -= 0.2
        np.testing.assert_allclose(session.run(table), expected, rtol=1e-6)


def test_an_index_out_of_range_changes_nothing():
    w = tf.Variable(np.ones([4, 2], np.float32))
    indices = tf.placeholder(tf.int32, [2])
    update = tf.scatter_add(w, indices, np.ones([2, 2], np.float32))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        with pytest.raises(tf.errors.InvalidArgumentError, match="4"):
            session.run(update, {indices: [0, 4]})
        np.testing.assert_array_equal(session.run(w), np.ones([4, 2]))
        np.testing.assert_array_equal(session.run(update, {indices: [0, 0]})[0], [3, 3])


# -- in one run --------------------------------------------------------------------------------------------------------


def test_a_run_sees_the_variable_from_before_it():
    w = tf.Variable(3.0)
    loss = tf.square(w)
    train = tf.train.GradientDescentOptimizer(0.1).minimize(loss)
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        before, _ = session.run([loss, train])
        assert before == 9.0
        assert session.run(w) == pytest.approx(2.4)


def test_two_variables_that_each_need_the_other_are_updated_from_the_old_values():
    a, b = tf.Variable([2.0, 1.0]), tf.Variable([3.0, 5.0])
    train = tf.train.GradientDescentOptimizer(0.1).minimize(tf.reduce_sum(a * b))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        session.run(train)
        np.testing.assert_allclose(session.run(a), [1.7, 0.5], rtol=1e-6)
        np.testing.assert_allclose(session.run(b), [2.8, 4.9], rtol=1e-6)


# -- what goes with them -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_decay(staircase):
    step = tf.placeholder(tf.int32, [])
    rate = tf.train.exponential_decay(0.1, step, 10, 0.5, staircase)
    with tf.Session() as session:
        for count in (0, 5, 10, 37):
            periods = count // 10 if staircase else count / 10
            assert session.run(rate, {step: count}) == pytest.approx(0.1 * 0.5**periods, rel=1e-6)


def test_clipping():
    random = np.random.default_rng(2)
    x, y = random.normal(size=(3, 4)).astype(np.float32), random.normal(size=7).astype(np.float32)
    norm = math.sqrt((x.astype(np.float64) ** 2).sum() + (y.astype(np.float64) ** 2).sum())
    clipped, got = tf.clip_by_global_norm([tf.constant(x), None, tf.constant(y)], 1.5)
    with tf.Session() as session:
        assert session.run(got) == pytest.approx(norm, rel=1e-6)
        np.testing.assert_allclose(session.run(clipped[2]), y * 1.5 / norm, rtol=1e-6)
        loose, _ = tf.clip_by_global_norm([tf.constant(x)], 100.0)
        np.testing.assert_array_equal(session.run(loose[0]), x)
        np.testing.assert_array_equal(session.run(tf.clip_by_value(x, -0.5, 0.25)), np.clip(x, -0.5, 0.25))
        np.testing.assert_allclose(session.run(tf.clip_by_norm(x, 1.0)), x / np.linalg.norm(x), rtol=1e-6)
        np.testing.assert_allclose(
            session.run(tf.clip_by_average_norm(x, 0.1)), x * 0.1 / max(np.linalg.norm(x) / 12, 0.1), rtol=1e-6
        )
