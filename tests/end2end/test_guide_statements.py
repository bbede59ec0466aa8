"""What the guide's chapter 1.3 says in words about graphs, sessions, fetches and feeds."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf


@pytest.mark.usefixtures("graph")
class TestFetches:
    def test_a_run_does_each_op_once_however_many_fetches_need_it(self) -> None:
        count = tf.Variable(0)
        increment = count.assign_add(1)
        twice, thrice = increment * 2, increment * 3
        with tf.Session() as sess:
            sess.run(tf.initialize_all_variables())
            assert sess.run([increment, twice, thrice, twice]) == [1, 2, 3, 2]
            assert sess.run(count) == 1

    def test_an_op_without_a_value_gives_none(self) -> None:
        value = tf.Variable(3.0)
        with tf.Session() as sess:
            assert sess.run([tf.initialize_all_variables()]) == [None]
            assert sess.run([value, value.initializer]) == [3.0, None]

    def test_fetches_by_name(self) -> None:
        tf.constant(5.0, name="five")
        with tf.Session() as sess:
            assert sess.run("five:0") == 5.0

    def test_fetched_arrays_stay_as_they_are_in_later_runs(self) -> None:
        x = tf.placeholder(tf.float32, [3])
        with tf.Session() as sess:
            first = sess.run(x * 2, {x: [1, 2, 3]})
            sess.run(x * 2, {x: [7, 8, 9]})
        np.testing.assert_array_equal(first, [2, 4, 6])


@pytest.mark.usefixtures("graph")
class TestFeeds:
    def test_any_tensor_can_be_fed(self) -> None:
        a = tf.constant([1.0, 2.0])
        b = a + 1.0
        c = b * 10.0
        with tf.Session() as sess:
            np.testing.assert_array_equal(sess.run(c), [20, 30])
            np.testing.assert_array_equal(sess.run(c, {b: [0, 5]}), [0, 50])
            np.testing.assert_array_equal(sess.run(c, {a: [4, 5]}), [50, 60])

    def test_a_feed_lasts_for_its_run_only(self) -> None:
        a = tf.constant(1.0)
        b = a * 2.0
        with tf.Session() as sess:
            assert sess.run(b, {a: 5.0}) == 10.0
            assert sess.run(b) == 2.0

    def test_a_variables_value_can_be_fed(self) -> None:
        v = tf.Variable(1.0)
        doubled = v * 2.0
        with tf.Session() as sess:
            sess.run(v.initializer)
            assert sess.run(doubled, {v: 8.0}) == 16.0
            assert sess.run(doubled) == 2.0

    def test_a_batch_of_any_size(self) -> None:
        x = tf.placeholder("float", [None, 3])
        total = tf.reduce_sum(x, 1)
        with tf.Session() as sess:
            for rows in (1, 5, 0, 2):
                np.testing.assert_array_equal(sess.run(total, {x: np.ones((rows, 3))}), np.full(rows, 3.0))


class TestSessions:
    def test_a_session_runs_the_graph_it_was_made_for(self) -> None:
        one, two = tf.Graph(), tf.Graph()
        with one.as_default():
            a = tf.constant(1)
        with two.as_default():
            b = tf.constant(2)
        with tf.Session(graph=one) as sess:
            assert sess.run(a) == 1
        with tf.Session(graph=two) as sess:
            assert sess.run(b) == 2

    @pytest.mark.usefixtures("graph")
    def test_sessions_have_variables_of_their_own(self) -> None:
        v = tf.Variable(1)
        add = v.assign_add(1)
        first, second = tf.Session(), tf.Session()
        for sess in (first, second):
            sess.run(v.initializer)
        first.run(add)
        assert (first.run(v), second.run(v)) == (2, 1)
        first.close()
        second.close()

    @pytest.mark.usefixtures("graph")
    def test_ops_added_after_the_session_began_are_run(self) -> None:
        a = tf.constant(2.0)
        with tf.Session() as sess:
            assert sess.run(a) == 2.0
            assert sess.run(tf.square(a)) == 4.0

    @pytest.mark.usefixtures("graph")
    def test_an_interactive_session_is_the_default_one_until_it_is_closed(self) -> None:
        x = tf.constant(3.0)
        sess = tf.InteractiveSession()
        assert tf.get_default_session() is sess
        assert x.eval() == 3.0
        sess.close()
        assert tf.get_default_session() is None

    @pytest.mark.usefixtures("graph")
    def test_a_with_block_closes_the_session(self) -> None:
        a = tf.constant(1.0)
        with tf.Session() as sess:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            sess.run(a)
