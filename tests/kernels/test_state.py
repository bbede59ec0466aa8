"""Variables and gradients, compiled: what a run reads and writes, and in which order."""

import numpy as np
import pytest

import flowc as tf


def initialize(session):
    session.run(tf.initialize_all_variables())


# -- variables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.int32, np.int64, np.uint8, np.complex64, np.bool_]
)
def test_values_are_kept(session, dtype):
    value = np.array([[0, 1, 2], [3, 4, 5]]).astype(dtype)
    v = tf.Variable(value)
    replaced = v.assign(value[::-1].copy())
    initialize(session)
    np.testing.assert_array_equal(session.run(v), value)
    np.testing.assert_array_equal(session.run(replaced), value[::-1])
    np.testing.assert_array_equal(v.eval(session), value[::-1])
    assert session.run(v).dtype == dtype


def test_assignments_add_up(session):
    v = tf.Variable([1.0, 2.0])
    added, subtracted = v.assign_add([10.0, 20.0]), v.assign_sub([1.0, 1.0])
    initialize(session)
    np.testing.assert_array_equal(session.run(added), [11, 22])
    np.testing.assert_array_equal(session.run(subtracted), [10, 21])
    np.testing.assert_array_equal(session.run(tf.assign_add(v.assign([0.0, 0.0]), [5.0, 6.0])), [5, 6])


def test_a_read_sees_the_value_from_before_the_run_unless_it_comes_after(session):
    v = tf.Variable(1.0)
    doubled = v * 2.0
    assigned = v.assign(5.0)
    from_new = assigned * 2.0
    with tf.control_dependencies([assigned]):
        after = tf.identity(v.ref())
    initialize(session)
    assert session.run([doubled, assigned, from_new, after, v.value()]) == [2.0, 5.0, 10.0, 5.0, 1.0]
    assert session.run(doubled) == 10.0


def test_two_variables_can_be_swapped(session):
    a, b = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])
    swap = tf.group(a.assign(b), b.assign(a))
    initialize(session)
    session.run(swap)
    np.testing.assert_array_equal(session.run([a, b]), [[3, 4], [1, 2]])


def test_initial_values_from_other_variables(session):
    a = tf.Variable(tf.random_normal([3]))
    b = tf.Variable(a.initialized_value() * 2.0)
    initialize(session)
    x, y = session.run([a, b])
    np.testing.assert_array_equal(y, x * 2)


def test_uninitialised_variables_are_named(session):
    v = tf.Variable(1.0, name="forgotten")
    check = tf.assert_variables_initialized()
    for fetch in (v, check, v + 1.0, v.assign_add(1.0)):
        with pytest.raises(tf.errors.FailedPreconditionError, match="forgotten"):
            session.run(fetch)
    session.run(v.initializer)
    session.run(check)


def test_scatter(session):
    start = np.arange(12, dtype=np.float32).reshape(6, 2)
    v = tf.Variable(start)
    rows = np.array([[1, 1], [2, 2], [3, 3]], np.float32)
    indices = [4, 0, 4]
    for function, expected in [
        (tf.scatter_update, {4: rows[2], 0: rows[1]}),
        (tf.scatter_add, {4: start[4] + 4, 0: start[0] + 2}),
        (tf.scatter_sub, {4: start[4] - 4, 0: start[0] - 2}),
    ]:
        initialize(session)
        wanted = start.copy()
        for index, row in expected.items():
            wanted[index] = row
        np.testing.assert_array_equal(session.run(function(v, indices, rows)), wanted)
        np.testing.assert_array_equal(session.run(v), wanted)


def test_count_up_to(session):
    counter = tf.Variable(0)
    count = counter.count_up_to(2)
    initialize(session)
    assert [session.run(count), session.run(count)] == [0, 1]
    with pytest.raises(tf.errors.OutOfRangeError, match="limit of 2"):
        session.run(count)
    assert session.run(counter) == 2


def test_initializers_of_shared_variables(session):
    with tf.variable_scope("s"):
        scaled = tf.get_variable("scaled", [300, 20])
        constant = tf.get_variable("constant", [3], initializer=tf.constant_initializer(7.0))
        normal = tf.get_variable("normal", [4000], initializer=tf.random_normal_initializer(1.0, 2.0, seed=3))
    initialize(session)
    a, b, c = session.run([scaled, constant, normal])
    assert 0.09 < np.abs(a).max() <= np.sqrt(3 / 300)
    np.testing.assert_array_equal(b, [7, 7, 7])
    assert c.mean() == pytest.approx(1.0, abs=0.2)
    assert c.std() == pytest.approx(2.0, abs=0.2)


# -- gradients ---------------------------------------------------------------------------------------------------------

X = np.array([0.5, -1.0, 2.0])


def test_gradients_of_gradients(session):
    x = tf.placeholder(tf.float64, [3])
    (first,) = tf.gradients(x * x * x, x)
    (second,) = tf.gradients(first, x)
    (curvature,) = tf.gradients(tf.gradients(tf.tanh(x), x), x)
    got = session.run([first, second, curvature], {x: X})
    np.testing.assert_allclose(got[0], 3 * X**2)
    np.testing.assert_allclose(got[1], 6 * X)
    np.testing.assert_allclose(got[2], -2 * np.tanh(X) * (1 - np.tanh(X) ** 2), rtol=1e-12)


def test_gradients_start_from_grad_ys_and_stop_where_told(session):
    x = tf.placeholder(tf.float64, [3])
    (weighted,) = tf.gradients([tf.exp(x), x * tf.stop_gradient(x)], x, grad_ys=[[1.0, 2.0, 3.0], None])
    np.testing.assert_allclose(session.run(weighted, {x: X}), np.exp(X) * [1, 2, 3] + X, rtol=1e-12)


@pytest.mark.parametrize("method", ["ADD_N", "EXPERIMENTAL_TREE", "EXPERIMENTAL_ACCUMULATE_N"])
def test_gradients_add_up(session, method):
    x = tf.placeholder(tf.float64, [3])
    y = tf.add_n([tf.exp(x), tf.sin(x), tf.square(x), tf.tanh(x), x])
    (grad,) = tf.gradients(y, x, aggregation_method=getattr(tf.AggregationMethod, method))
    expected = np.exp(X) + np.cos(X) + 2 * X + (1 - np.tanh(X) ** 2) + 1
    np.testing.assert_allclose(session.run(grad, {x: X}), expected, rtol=1e-12)


def test_sparse_and_dense_gradients(session):
    table = tf.Variable(np.ones([5, 2]))
    (sparse,) = tf.gradients(tf.gather(table, [[1, 1], [3, 0]]), table)
    (mixed,) = tf.gradients([tf.gather(table, [1, 1, 3]), tf.square(table)], table)
    initialize(session)
    np.testing.assert_array_equal(session.run(tf.convert_to_tensor(sparse))[:, 0], [1, 2, 0, 1, 0])
    np.testing.assert_array_equal(session.run(mixed)[:, 0], [2, 4, 2, 3, 2])
    np.testing.assert_array_equal(session.run(sparse.indices), [1, 1, 3, 0])
