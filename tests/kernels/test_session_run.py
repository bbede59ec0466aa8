"""Sessions with real plans: what runs give, keep, refuse and cost."""

from __future__ import annotations

import gc
import json
import os
import threading
import warnings
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.runtime.executor import Executable


@pytest.fixture
def sess(graph: tf.Graph) -> Iterator[tf.Session]:
    with tf.Session() as session:
        yield session


Pair = namedtuple("Pair", "first second")
A, B = np.array([1, 2, 3, 4], np.float32), np.array([5, 6, 7, 8], np.float32)


class TestResults:
    """Each twice: a first run makes the plan, a second one takes the short way."""

    @pytest.mark.parametrize("run", [1, 2, 3])
    def test_every_structure(self, sess: tf.Session, run: int) -> None:
        a, b = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32, [4])
        c, total = a * b, tf.reduce_sum(a * b)
        feeds = {a: A, b: B}
        for _ in range(run):
            np.testing.assert_array_equal(sess.run(c, feeds), A * B)
            scalar = sess.run(total, feeds)
            both = sess.run([c, total.op, total, c], feeds)
            as_tuple = sess.run((c, total), feeds)
            pair = sess.run(Pair(c, total), feeds)
            named = sess.run({"c": [c], "total": total}, feeds)
            nothing = sess.run(c.op, feeds)
            names = sess.run([c.name, total.op.name], feeds)
        assert type(scalar) is np.float32
        assert scalar == 70
        assert both[1] is None
        assert both[2] == 70
        np.testing.assert_array_equal(both[0], both[3])
        assert type(as_tuple) is list
        assert type(pair) is Pair
        assert pair.second == 70
        np.testing.assert_array_equal(named["c"][0], A * B)
        assert nothing is None
        assert names[1] is None

    @pytest.mark.parametrize("run", [1, 2])
    def test_constants_feeds_and_strings(self, sess: tf.Session, run: int) -> None:
        x = tf.placeholder(tf.float32, [4])
        constant, text, texts = tf.constant([1, 2]), tf.constant("text"), tf.constant(["a", "b"])
        for _ in range(run):
            values = sess.run([x, constant, text, texts, x * 2], {x: A})
        np.testing.assert_array_equal(values[0], A)
        np.testing.assert_array_equal(values[1], [1, 2])
        assert values[2] == b"text"
        assert values[3].tolist() == [b"a", b"b"]
        np.testing.assert_array_equal(values[4], A * 2)

    def test_results_are_nobody_elses(self, sess: tf.Session) -> None:
        """Writing to a result changes neither feeds, constants, variables nor other results."""
        x, constant, w = tf.placeholder(tf.float32, [4]), tf.constant([1.0, 2.0]), tf.Variable([3.0, 4.0])
        sess.run(w.initializer)
        fed = A.copy()
        kept = []
        for _ in range(3):
            values = sess.run([x, constant, w, w.value(), tf.identity(w)], {x: fed})
            kept.append([value.copy() for value in values])
            for value in values:
                value[:] = -1
        for before in kept:
            for value, expected in zip(before, [A, [1, 2], [3, 4], [3, 4], [3, 4]], strict=True):
                np.testing.assert_array_equal(value, expected)
        np.testing.assert_array_equal(fed, A)

    def test_large_results_are_reused_only_when_nobody_has_them(self, sess: tf.Session) -> None:
        x = tf.placeholder(tf.float32, [1 << 19])
        y = x + 1
        first = sess.run(y, {x: np.zeros(1 << 19)})
        view = first[5:6]
        later = [sess.run(y, {x: np.full(1 << 19, float(i))}) for i in range(1, 5)]
        assert view[0] == 1
        assert [value[-1] for value in later] == [2, 3, 4, 5]

    def test_a_slice_gradient(self, sess: tf.Session) -> None:
        w = tf.Variable(np.ones((5, 2), np.float32))
        (slices,) = tf.gradients(tf.reduce_sum(tf.gather(w, [1, 3])), [w])
        sess.run(w.initializer)
        value = sess.run(slices)
        assert type(value) is tf.IndexedSlicesValue
        np.testing.assert_array_equal(value.indices, [1, 3])
        np.testing.assert_array_equal(value.values, np.ones((2, 2)))


class TestFeeds:
    def test_shapes_and_types_that_alternate(self, sess: tf.Session) -> None:
        x = tf.placeholder(tf.float32)
        y = x * 2
        for _ in range(3):
            for value in (A, [1, 2], 3.0, np.ones((2, 3)), A[::2], np.zeros((0, 3)), A.astype(">f4"), 7):
                np.testing.assert_array_equal(sess.run(y, {x: value}), np.asarray(value, np.float32) * 2)

    def test_any_tensor(self, sess: tf.Session) -> None:
        a = tf.constant(2.0)
        b = a * 3
        c = b + 1
        assert [sess.run(c), sess.run(c, {b: 10}), sess.run(c, {a: 10.0}), sess.run(c, {c: 5.0})] == [7, 11, 31, 5]

    def test_a_variable(self, sess: tf.Session) -> None:
        w = tf.Variable([1.0, 2.0], name="w")
        double, change = w * 2, w.assign_add([1.0, 1.0])
        np.testing.assert_array_equal(sess.run(double, {w: [5, 6]}), [10, 12])
        sess.run(w.initializer)
        np.testing.assert_array_equal(sess.run(double, {w: [5, 6]}), [10, 12])
        np.testing.assert_array_equal(sess.run(double), [2, 4])
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"feeds it.*w/read:0"):
            sess.run(change, {w: [5, 6]})

    def test_shapes_that_depend_on_fed_values(self, sess: tf.Session) -> None:
        x, shape = tf.placeholder(tf.float32), tf.placeholder(tf.int32, [2])
        y = tf.reshape(x, shape) + 1
        for sizes in ([2, 3], [3, 2], [6, 1], [2, 3]):
            assert sess.run(y, {x: np.zeros(6), shape: sizes}).shape == tuple(sizes)

    def test_a_callable(self, sess: tf.Session) -> None:
        a, b = tf.placeholder(tf.float32), tf.placeholder(tf.float32)
        call = sess.make_callable([a * b, a - b], [a, b])
        for _ in range(2):
            for left, right in ((A, B), (B, A), ([1.0], [2]), (2, 0.5)):
                product, difference = call(left, right)
                np.testing.assert_array_equal(product, np.asarray(left) * np.asarray(right))
                np.testing.assert_array_equal(difference, np.asarray(left) - np.asarray(right))
        with pytest.raises(TypeError, match="takes 2 values"):
            call(A)
        sess.close()
        with pytest.raises(RuntimeError, match="closed"):
            call(A, B)


class TestPlans:
    def test_the_same_signature_shares_a_plan(self, sess: tf.Session) -> None:
        x = tf.placeholder(tf.float32, [None], name="x")
        y = tf.add(x, 1, name="y")
        calls = [(y, {x: A}), ([y], {x: A}), ("y:0", {"x:0": A}), ({"y": y}, {x: list(A)})]
        for fetches, feeds in calls:
            sess.run(fetches, feeds)
        (signature,) = sess._plans._signatures.values()
        assert len(signature.plans) == 1

    def test_adding_operations_keeps_plans(self, sess: tf.Session) -> None:
        x = tf.placeholder(tf.float32, [4])
        y = x + 1
        sess.run(y, {x: A})
        made = next(iter(sess._plans._signatures.values())).plans.copy()
        z = y * 2
        np.testing.assert_array_equal(sess.run(y, {x: A}), A + 1)
        np.testing.assert_array_equal(sess.run(z, {x: A}), (A + 1) * 2)
        assert next(iter(sess._plans._signatures.values())).plans == made

    def test_a_control_input_added_later_counts(self, sess: tf.Session) -> None:
        n = tf.Variable(0)
        count, x = n.assign_add(1), tf.placeholder(tf.float32)
        y = x + 1
        call = sess.make_callable(y, [x])
        sess.run(n.initializer)
        assert (sess.run(y, {x: 1.0}), call(1.0), sess.run(n)) == (2, 2, 0)
        y.op._add_control_inputs([count.op])
        assert (sess.run(y, {x: 1.0}), sess.run(n), call(1.0), sess.run(n)) == (2, 1, 2, 2)

    def test_plans_of_one_signature_are_bounded(self, sess: tf.Session, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("flowc.runtime.plans._MOST_PLANS", 3)
        x = tf.placeholder(tf.float32, [None])
        y = x + 1
        for size in (1, 2, 3, 4, 5, 1):
            assert sess.run(y, {x: np.zeros(size)}).shape == (size,)
        (signature,) = sess._plans._signatures.values()
        assert len(signature.plans) == 3

    def test_a_loop_of_new_shapes_is_warned_once(self, sess: tf.Session) -> None:
        x = tf.placeholder(tf.float32, [None], name="x")
        y = x + 1
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for size in range(12):
                sess.run(y, {x: np.zeros(size)})
        assert [(w.category, w.filename) for w in caught] == [(tf.PlanMissWarning, __file__)]

    def test_a_loop_that_adds_operations_is_warned(self, sess: tf.Session) -> None:
        x = tf.constant(1.0)

        def grow() -> None:
            for _ in range(10):
                sess.run(x + 1)

        with pytest.warns(tf.PlanMissWarning, match="the graph grew by 2 operations"):
            grow()

    def test_closing_frees_plans_and_variables(self, graph: tf.Graph) -> None:
        def executables() -> int:
            gc.collect()
            return sum(isinstance(item, Executable) for item in gc.get_objects())

        before = executables()
        sess = tf.Session()
        w = tf.Variable(np.zeros(1000))
        call = sess.make_callable(w + 1)
        sess.run(w.initializer)
        call()
        sess.close()
        assert executables() == before


class TestVariables:
    def test_sessions_have_their_own(self, graph: tf.Graph) -> None:
        n = tf.Variable(0)
        up = n.assign_add(1)
        with tf.Session() as first, tf.Session() as second:
            first.run(n.initializer)
            second.run(n.initializer)
            assert [first.run(up), first.run(up), second.run(up)] == [1, 2, 1]

    def test_uninitialised_ones_do_not_run(self, sess: tf.Session) -> None:
        w, v = tf.Variable([1.0, 2.0], name="w"), tf.Variable(3.0, name="v")
        total = w + v
        for _ in range(2):
            with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized values w, v") as caught:
                sess.run(total)
        assert "initialize_all_variables" in str(caught.value)
        assert str(caught.value).count("test_session_run.py:") >= 2
        sess.run(tf.initialize_all_variables())
        np.testing.assert_array_equal(sess.run(total), [4, 5])

    def test_an_assertion_that_they_are(self, sess: tf.Session) -> None:
        w = tf.Variable([1.0, 2.0], name="w")
        check = tf.assert_variables_initialized([w])
        with pytest.raises(tf.errors.FailedPreconditionError, match="w"):
            sess.run(check)
        sess.run(w.initializer)
        assert sess.run(check) is None

    def test_a_failed_run_changes_nothing_and_the_next_one_works(self, sess: tf.Session) -> None:
        w, index = tf.Variable([1.0, 2.0]), tf.placeholder(tf.int32, [])
        update = w.assign_add([1.0, 1.0])
        picked = tf.gather(tf.constant([10.0, 20.0]), index, name="picked")
        sess.run(w.initializer)
        for _ in range(3):
            with pytest.raises(tf.errors.InvalidArgumentError, match="picked") as caught:
                sess.run([picked, update], {index: np.int32(7)})
            np.testing.assert_array_equal(sess.run(w), [1, 2])
        assert caught.value.op is picked.op
        frames = [frame.filename for frame in caught.traceback if "/codegen/" in str(frame.path)]
        assert frames == []
        for run in range(1, 4):  # by now the short way is open
            assert sess.run([picked, update], {index: np.array(1, np.int32)})[0] == 20
            with pytest.raises(tf.errors.InvalidArgumentError, match="picked"):
                sess.run([picked, update], {index: np.array(7, np.int32)})
            np.testing.assert_array_equal(sess.run(w), [1 + run, 2 + run])


class TestRandomState:
    def test_without_seeds_sessions_differ_and_runs_go_on(self, graph: tf.Graph) -> None:
        x = tf.random_uniform([8])
        with tf.Session() as first, tf.Session() as second:
            values = [first.run(x), first.run(x), second.run(x)]
        assert len({tuple(value) for value in values}) == 3

    def test_with_a_seed_sessions_repeat(self, graph: tf.Graph) -> None:
        x = tf.random_uniform([8], seed=3)
        runs = []
        for _ in range(2):
            with tf.Session() as sess:
                runs.append([sess.run(x), sess.run(x)])
        np.testing.assert_array_equal(runs[0], runs[1])
        assert not np.array_equal(runs[0][0], runs[0][1])


class TestThreads:
    def test_one_session_in_many(self, sess: tf.Session) -> None:
        n, x = tf.Variable(0), tf.placeholder(tf.float32, [None])
        up, y = n.assign_add(1), tf.tanh(x) + 1
        sess.run(n.initializer)
        wrong: list[Any] = []

        def work(size: int) -> None:
            value = np.linspace(-1, 1, size, dtype=np.float32)
            expected = sess.run(y, {x: value})
            for _ in range(200):
                sess.run(up)
                if not np.array_equal(sess.run(y, {x: value}), expected):
                    wrong.append(size)

        threads = [threading.Thread(target=work, args=(size,)) for size in (3, 4, 5, 5000)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        assert sess.run(n) == 800

    def test_a_forked_child_goes_on(self, sess: tf.Session) -> None:
        n = tf.Variable(np.zeros(100_000, np.float32))
        up = n.assign_add(np.ones(100_000, np.float32))
        sess.run(n.initializer)
        sess.run(up)
        child = os.fork()
        if child == 0:
            os._exit(0 if sess.run(up)[-1] == 2 else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert sess.run(up)[-1] == 2


class TestSessions:
    def test_defaults(self, graph: tf.Graph) -> None:
        a = tf.constant(3.0)
        assert tf.get_default_session() is None
        with tf.Session() as sess:
            assert tf.get_default_session() is sess
            assert a.eval() == 3
        with pytest.raises(RuntimeError, match="closed"):
            sess.run(a)
        other = tf.Session()
        with other.as_default():
            assert a.eval() == 3
        assert other.run(a) == 3

    def test_entering_makes_the_graph_the_default(self) -> None:
        other = tf.Graph()
        with tf.Session(graph=other) as sess:
            a = tf.constant(1.0)
            assert (a.graph, sess.graph) == (other, other)
        assert tf.get_default_graph() is not other

    def test_an_interactive_one(self, graph: tf.Graph) -> None:
        sess = tf.InteractiveSession()
        w = tf.Variable([1.0, 2.0])
        w.initializer.run()
        np.testing.assert_array_equal(w.eval(), [1, 2])
        np.testing.assert_array_equal((w - 3).eval(), [-2, -1])
        sess.close()
        assert tf.get_default_session() is None

    def test_what_cannot_be(self, graph: tf.Graph) -> None:
        with pytest.raises(ValueError, match="grpc"):
            tf.Session("grpc://localhost:2222")
        with pytest.raises(TypeError, match="graph"):
            tf.Session(graph=3)  # type: ignore[arg-type]
        with tf.Session() as sess, pytest.raises(RuntimeError, match="graph is empty"):
            sess.run([])

    def test_devices(self, graph: tf.Graph) -> None:
        with tf.device("/gpu:7"):
            y = tf.constant(1.0) + 1
        with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError, match="allow_soft_placement"):
            sess.run(y)
        with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as sess:
            assert sess.run(y) == 2


class TestSeeingInside:
    def test_a_trace(self, sess: tf.Session, tmp_path: Path) -> None:
        x = tf.placeholder(tf.float32, [1000])
        y = tf.reduce_sum(tf.tanh(x))
        for _ in range(2):
            sess.run(y, {x: np.ones(1000)}, trace=tmp_path / "t.json")
        events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
        assert events
        assert all(event["ph"] == "X" and event["dur"] > 0 and event["args"]["bytes"] > 0 for event in events)
        assert any("tanh" in event["name"].lower() for event in events)

    def test_a_plan_is_made_without_running(self, sess: tf.Session) -> None:
        n = tf.Variable(0)
        up = n.assign_add(1)
        sess.run(n.initializer)
        plan = sess.plan(up)
        assert sess.run(n) == 0
        assert len(plan.plan.kernels) == 1
        assert isinstance(plan.explain(), str)

    def test_debug_output(
        self, graph: tf.Graph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FLOWC_DEBUG", "2")
        x = tf.placeholder(tf.float32, [4], name="x")
        y = tf.add(x, 1, name="y")
        with tf.Session() as sess:
            sess.run(y, {x: A})
            sess.run(y, {x: A})
        said = capsys.readouterr().err
        assert "plan miss: fetches y:0; feeds x:0: first run" in said
        assert said.count("plan hit: fetches y:0; feeds x:0") == 1
        assert said.count("GB/s") >= 2


def test_many_runs_leak_nothing(sess: tf.Session) -> None:
    x, k = tf.placeholder(tf.float32, [4]), tf.placeholder(tf.float32)
    n = tf.Variable(0.0)
    y, up = x * k, n.assign_add(1)
    sess.run(n.initializer)

    def work(count: int) -> None:
        for _ in range(count):
            sess.run([y, up], {x: A, k: 0.5})
            sess.run(y, {x: A, k: np.float32(2)})

    work(2000)
    gc.collect()
    before = _resident_pages()
    work(20_000)
    gc.collect()
    assert _resident_pages() - before < 100


def _resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])
