"""What a user sees after a mistake: the right class of error, the op, their own line, and what to do."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import flowc as tf

pytestmark = pytest.mark.usefixtures("graph")


def points_at(error: BaseException, source: str) -> bool:
    """Whether the message gives this file and the number of a line that has `source` in it."""
    numbers = re.findall(r"test_bad_input\.py:(\d+)", str(error))
    return any(source in linecache.getline(__file__, int(number)) for number in numbers)


def library_frames(error: BaseException) -> list[str]:
    """The functions of flowc that the traceback shows."""
    root = str(Path(tf.__file__).parents[1])
    frames = traceback.extract_tb(error.__traceback__)
    return [f.name for f in frames if f.filename.startswith(root) and f.filename != __file__]


class TestFeeds:
    @pytest.mark.parametrize("value", [[1.0, 2.0], np.zeros((2, 4)), np.zeros((2, 3, 1)), 1.0, []])
    def test_a_shape_that_does_not_fit(self, value: object) -> None:
        x = tf.placeholder(tf.float32, [None, 3], name="x")
        with tf.Session() as sess, pytest.raises(ValueError, match="Cannot feed value of shape") as caught:
            sess.run(x * 2, {x: value})
        assert "x:0" in str(caught.value)
        assert str(np.shape(value)) in str(caught.value)
        assert points_at(caught.value, "x = tf.placeholder")

    @pytest.mark.parametrize("value", ["text", [b"bytes", b"more"], {"a": 1}, object()])
    def test_values_that_are_no_numbers(self, value: object) -> None:
        x = tf.placeholder(tf.float32, name="x")
        with tf.Session() as sess, pytest.raises((TypeError, ValueError), match="float32") as caught:
            sess.run(x * 2, {x: value})
        assert "x:0" in str(caught.value)
        assert points_at(caught.value, "x = tf.placeholder")

    @pytest.mark.parametrize("value", [2**31, 2**70, [1, 2**100], 1.5, float("nan"), Fraction(1, 2)])
    def test_numbers_that_an_integer_cannot_hold(self, value: object) -> None:
        n = tf.placeholder(tf.int32, name="n")
        with tf.Session() as sess, pytest.raises(TypeError, match=r"'n:0', of type int32.*cannot hold"):
            sess.run(n + 1, {n: value})

    @pytest.mark.parametrize("value", [2**70, Decimal("1.5"), Fraction(1, 3), np.longdouble(1.5), True])
    def test_numbers_of_other_kinds(self, value: object) -> None:
        x = tf.placeholder(tf.float32)
        with tf.Session() as sess:
            assert sess.run(x * 2, {x: value}) == np.float32(float(value)) * 2  # type: ignore[arg-type]

    def test_an_int_beyond_all_floats(self) -> None:
        x = tf.placeholder(tf.float32, name="x")
        with tf.Session() as sess, pytest.raises(TypeError, match=r"x:0.*cannot hold"):
            sess.run(x * 2, {x: 10**400})

    def test_an_array_with_masked_values(self) -> None:
        x = tf.placeholder(tf.float32, [2], name="x")
        with tf.Session() as sess:
            with pytest.raises(TypeError, match=r"x:0.*masked"):
                sess.run(x * 2, {x: np.ma.array([1.0, 2.0], mask=[False, True])})
            np.testing.assert_array_equal(sess.run(x * 2, {x: np.ma.array([1.0, 2.0])}), [2, 4])

    def test_an_overflow_warns_at_the_users_line(self) -> None:
        x = tf.placeholder(tf.float32, name="x")
        with tf.Session() as sess, pytest.warns(RuntimeWarning, match=r"x:0.*overflow") as caught:
            assert sess.run(x * 2, {x: 1e300}) == np.inf
        assert caught[0].filename == __file__

    def test_a_string_that_is_no_text(self) -> None:
        x = tf.placeholder(tf.string, name="x")
        with tf.Session() as sess, pytest.raises(ValueError, match=r"x:0.*surrogates"):
            sess.run(x, {x: "\ud800"})

    def test_what_a_values_own_conversion_raises(self) -> None:
        class Broken:
            def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
                raise RuntimeError("broken") from KeyError("cause")

        x = tf.placeholder(tf.float32)
        with tf.Session() as sess, pytest.raises(RuntimeError, match="broken") as caught:
            sess.run(x * 2, {x: Broken()})
        assert isinstance(caught.value.__cause__, KeyError)

    @pytest.mark.parametrize("value", [None, "text", [[1.0], [2.0, 3.0]], np.zeros((2, 4))])
    def test_no_frames_of_the_library_but_run_are_shown(self, value: object) -> None:
        x = tf.placeholder(tf.float32, [2, 3])
        with tf.Session() as sess, pytest.raises((TypeError, ValueError)) as caught:
            sess.run(x * 2, {x: value})
        assert library_frames(caught.value) == ["run"]

    def test_complex_values_for_a_float(self) -> None:
        x = tf.placeholder(tf.float32, [2], name="x")
        with tf.Session() as sess, pytest.raises((TypeError, ValueError), match=r"x:0.*complex|complex.*x:0"):
            sess.run(x * 2, {x: np.array([1 + 2j, 3])})

    @pytest.mark.parametrize("value", [None, [None, 1.0], [[1.0, 2.0], [3.0]]], ids=["None", "None in it", "ragged"])
    def test_none_and_ragged_lists(self, value: object) -> None:
        x = tf.placeholder(tf.float32, name="x")
        with tf.Session() as sess, pytest.raises((TypeError, ValueError), match="x:0") as caught:
            sess.run(x * 2, {x: value})
        assert points_at(caught.value, "x = tf.placeholder")

    def test_a_tensor_as_a_value(self) -> None:
        x = tf.placeholder(tf.float32, [2])
        y = tf.constant([1.0, 2.0])
        with tf.Session() as sess, pytest.raises(TypeError, match=r"The value of a feed cannot be a tf\.Tensor"):
            sess.run(x * 2, {x: y})

    @pytest.mark.parametrize("key", [3.0, None, ("x",), np.zeros(2).tobytes()])
    def test_a_key_that_is_no_tensor(self, key: object) -> None:
        x = tf.placeholder(tf.float32)
        with tf.Session() as sess, pytest.raises(TypeError, match="Cannot interpret feed_dict key as Tensor"):
            sess.run(x * 2, {key: 1.0})

    def test_a_key_of_another_graph(self) -> None:
        with tf.Graph().as_default():
            other = tf.placeholder(tf.float32, name="other")
        x = tf.constant(1.0)
        with tf.Session() as sess, pytest.raises((TypeError, ValueError), match="other"):
            sess.run(x, {other: 1.0})

    def test_a_feed_dict_that_is_no_dict(self) -> None:
        x = tf.placeholder(tf.float32)
        with tf.Session() as sess, pytest.raises(TypeError, match="feed_dict"):
            sess.run(x * 2, [(x, 1.0)])

    def test_a_placeholder_without_a_feed(self) -> None:
        x = tf.placeholder(tf.float32, [2], name="inputs")
        message = "You must feed a value for placeholder tensor 'inputs'"
        with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError, match=message) as caught:
            sess.run(x + 1.0)
        assert caught.value.op is x.op
        assert points_at(caught.value, "x = tf.placeholder")

    @pytest.mark.parametrize(
        "value",
        [
            np.arange(24, dtype=np.float32).reshape(4, 6)[::2, ::2],
            np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
            np.arange(6, dtype=np.float32).reshape(2, 3)[:, ::-1],
            np.arange(6, dtype=">f4").reshape(2, 3),
            np.frombuffer(np.arange(6, dtype=np.float32).tobytes(), np.float32).reshape(2, 3),
            np.frombuffer(b"x" + np.arange(6, dtype=np.float32).tobytes(), np.float32, offset=1).reshape(2, 3),
            np.broadcast_to(np.float32(3), (2, 3)),
            np.array([[np.nan, np.inf, -np.inf], [-0.0, 1e-45, 3e38]], np.float32),
            np.arange(6).reshape(2, 3),
            [[1, 2, 3], [4, 5, 6.5]],
        ],
        ids=[
            "strided",
            "fortran",
            "reversed",
            "big-endian",
            "read-only",
            "misaligned",
            "broadcast",
            "special",
            "int",
            "list",
        ],
    )
    def test_odd_but_good_values(self, value: object) -> None:
        x = tf.placeholder(tf.float32, [2, 3])
        with tf.Session() as sess:
            np.testing.assert_array_equal(
                sess.run(x * 0.5, {x: value}), np.asarray(value, np.float32) * np.float32(0.5)
            )

    @pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)])
    def test_empty_values(self, shape: tuple[int, ...]) -> None:
        x = tf.placeholder(tf.float32)
        with tf.Session() as sess:
            assert sess.run(x + 1.0, {x: np.zeros(shape)}).shape == shape


class TestFetches:
    @pytest.mark.parametrize("fetch", [3.0, None, [None], object(), b"bytes", {1: 2}])
    def test_a_fetch_that_is_no_tensor(self, fetch: object) -> None:
        with tf.Session() as sess, pytest.raises(TypeError, match=r"[Ff]etch"):
            sess.run(fetch)

    @pytest.mark.parametrize("name", ["absent:0", "absent", "a:1", "a:b"])
    def test_a_name_that_is_not_in_the_graph(self, name: str) -> None:
        tf.constant(1.0, name="a")
        with tf.Session() as sess, pytest.raises((KeyError, ValueError), match=name):
            sess.run(name)

    def test_a_fetch_of_another_graph(self) -> None:
        with tf.Graph().as_default():
            other = tf.constant(1.0, name="other")
        with tf.Session() as sess, pytest.raises(ValueError, match=r"other.*not an element of this graph") as caught:
            sess.run(other)
        assert points_at(caught.value, "other = tf.constant")


class TestSessions:
    def test_a_closed_session(self) -> None:
        a = tf.constant(1.0)
        sess = tf.Session()
        sess.close()
        with pytest.raises(RuntimeError, match="closed"):
            sess.run(a)
        with pytest.raises(RuntimeError, match="closed"):
            sess.__enter__()
        sess.close()

    def test_no_default_session(self) -> None:
        a = tf.constant(1.0)
        with pytest.raises(ValueError, match="session"):
            a.eval()
        with pytest.raises(ValueError, match="session"):
            a.op.run()

    def test_uninitialised_variables_are_all_named(self) -> None:
        weights = tf.Variable([1.0, 2.0], name="weights")
        bias = tf.Variable(3.0, name="bias")
        message = "Attempting to use uninitialized value"
        with tf.Session() as sess, pytest.raises(tf.errors.FailedPreconditionError, match=message) as caught:
            sess.run(weights + bias)
        assert "weights" in str(caught.value)
        assert "bias" in str(caught.value)
        assert "initialize_all_variables" in str(caught.value)
        assert points_at(caught.value, "tf.Variable(")

    def test_only_the_variable_that_is_not_initialised_is_named(self) -> None:
        weights = tf.Variable([1.0, 2.0], name="weights")
        bias = tf.Variable(3.0, name="bias")
        with tf.Session() as sess:
            sess.run(weights.initializer)
            with pytest.raises(tf.errors.FailedPreconditionError, match="bias") as caught:
                sess.run(weights + bias)
            assert "weights" not in caught.value.message
            sess.run(bias.initializer)
            np.testing.assert_array_equal(sess.run(weights + bias), [4, 5])

    def test_an_initial_value_that_reads_another_variable(self) -> None:
        first = tf.Variable([1.0, 2.0], name="first")
        tf.Variable(first * 2.0, name="second")
        with (
            tf.Session() as sess,
            pytest.raises(tf.errors.FailedPreconditionError, match="initialized_value") as caught,
        ):
            sess.run(tf.initialize_all_variables())
        assert "uninitialized value first" in str(caught.value)


class TestDevices:
    def test_a_device_that_does_not_exist(self) -> None:
        with tf.device("/gpu:7"):
            product = tf.matmul([[3.0, 3.0]], [[2.0], [2.0]])
        with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError, match=r"/gpu:7|GPU:7") as caught:
            sess.run(product)
        assert re.search("/cpu:0|CPU:0", str(caught.value))
        assert "allow_soft_placement" in str(caught.value)
        assert points_at(caught.value, "product = tf.matmul")

    def test_soft_placement_takes_a_device_that_exists(self) -> None:
        with tf.device("/gpu:7"):
            product = tf.matmul([[3.0, 3.0]], [[2.0], [2.0]])
        with tf.Session(config=tf.ConfigProto(allow_soft_placement=True)) as sess:
            np.testing.assert_array_equal(sess.run(product), [[12]])

    @pytest.mark.parametrize("name", ["gpu0", "/gpu:x", "/planet:1"])
    def test_a_device_name_that_is_none(self, name: str) -> None:
        with pytest.raises(ValueError, match=re.escape(repr(name))), tf.device(name):
            tf.constant(1.0)


class TestValues:
    """Errors that only the values show. The state must be what it was before the run."""

    @pytest.mark.parametrize("operator", [tf.div, tf.floordiv, tf.mod], ids=["div", "floordiv", "mod"])
    def test_a_division_of_integers_by_zero(self, operator: Callable[..., tf.Tensor]) -> None:
        divisor = tf.placeholder(tf.int32, [None])
        quotient = operator([7, 8, 9], divisor, name="quotient")
        with tf.Session() as sess:
            with pytest.raises(tf.errors.InvalidArgumentError, match="zero") as caught:
                sess.run(quotient, {divisor: [1, 0, 2]})
            assert caught.value.op is quotient.op
            assert points_at(caught.value, "quotient = operator")
            assert sess.run(quotient, {divisor: [1, 1, 1]}).shape == (3,)

    @pytest.mark.parametrize("operator", [tf.div, tf.floordiv, tf.mod], ids=["div", "floordiv", "mod"])
    def test_a_division_of_integers_by_a_constant_zero(self, operator: Callable[..., tf.Tensor]) -> None:
        quotient = operator([7, 8, 9], 0, name="quotient")
        with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError, match="zero") as caught:
            sess.run(quotient)
        assert caught.value.op is quotient.op

    @pytest.mark.parametrize("index", [3, -1, 2**31 - 1])
    def test_an_index_out_of_range(self, index: int) -> None:
        rows = tf.constant([[1.0], [2.0], [3.0]])
        index_in = tf.placeholder(tf.int32, [None])
        picked = tf.gather(rows, index_in, name="picked")
        with tf.Session() as sess:
            with pytest.raises(tf.errors.InvalidArgumentError, match=rf"{index}\b") as caught:
                sess.run(picked, {index_in: [0, index]})
            assert caught.value.op is picked.op
            assert "[0, 3)" in str(caught.value)
            assert points_at(caught.value, "picked = tf.gather")
            np.testing.assert_array_equal(sess.run(picked, {index_in: [2, 0]}), [[3], [1]])

    def test_a_slice_that_does_not_lie_within_its_tensor(self) -> None:
        part = tf.slice(tf.zeros([4]), [2], [5], name="part")
        with (
            tf.Session() as sess,
            pytest.raises(tf.errors.InvalidArgumentError, match=r"size\[0\] in \[0, 2\]") as error,
        ):
            sess.run(part)
        assert error.value.op is part.op

    def test_numbers_are_not_cast_to_strings(self) -> None:
        text = tf.cast(1.0, tf.string)
        with tf.Session() as sess, pytest.raises(tf.errors.UnimplementedError, match="float32 to string"):
            sess.run(text)

    def test_a_failed_run_leaves_the_variables_as_they_were(self) -> None:
        total = tf.Variable([1.0, 2.0], name="total")
        index = tf.placeholder(tf.int32, [1])
        picked = tf.gather([10.0, 20.0], index)
        update = total.assign_add(tf.ones([2]))
        late_update = total.assign(total + picked)
        with tf.Session() as sess:
            sess.run(total.initializer)
            for fetches in ([update, picked], [picked, update], [late_update]):
                with pytest.raises(tf.errors.InvalidArgumentError):
                    sess.run(fetches, {index: [5]})
                np.testing.assert_array_equal(sess.run(total), [1, 2])
            sess.run(update)
            np.testing.assert_array_equal(sess.run(total), [2, 3])

    def test_a_failed_run_leaves_later_runs_with_the_same_plan_alone(self) -> None:
        index = tf.placeholder(tf.int32, [])
        picked = tf.gather([10.0, 20.0], index)
        with tf.Session() as sess:
            for _ in range(3):
                with pytest.raises(tf.errors.InvalidArgumentError):
                    sess.run(picked, {index: 2})
                assert sess.run(picked, {index: 1}) == 20.0


class TestShapesInARun:
    """Shapes that only a run knows must be checked by it: a kernel that trusted them would touch foreign memory."""

    @pytest.mark.parametrize(
        "build",
        [
            lambda x, y: tf.matmul(tf.reshape(x, [1, -1]), tf.reshape(y, [-1, 1])),
            lambda x, y: tf.reshape(x, [2, 2]),
            lambda x, y: tf.reshape(x, [2, -1]),
            lambda x, y: tf.slice(x, [2], [5]),
            lambda x, y: x[7],
            lambda x, y: x[1:6],
            lambda x, y: tf.concat(1, [tf.reshape(x, [1, -1]), tf.reshape(y, [-1, 1])]),
            lambda x, y: tf.split(0, 2, x),
            lambda x, y: tf.pack([x, y]),
            lambda x, y: tf.unpack(x, 2),
            lambda x, y: x + y,
            lambda x, y: tf.add_n([x, y]),
            lambda x, y: tf.select(tf.greater(x, 0.0), x, y),
            lambda x, y: tf.squeeze(x, [0]),
            lambda x, y: tf.nn.bias_add(tf.reshape(x, [1, -1]), y),
            lambda x, y: tf.nn.softmax_cross_entropy_with_logits(tf.reshape(x, [1, -1]), tf.reshape(y, [1, -1])),
            lambda x, y: tf.assign(tf.Variable(tf.zeros([2])), x),
        ],
    )
    def test_sizes_that_do_not_fit(self, build: Callable[..., tf.Tensor]) -> None:
        x, y = tf.placeholder(tf.float32, [None]), tf.placeholder(tf.float32, [None])
        built = build(x, y)
        with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError, match=r"\d") as caught:
            sess.run(built, {x: [1.0, 2.0, 3.0], y: [1.0, 2.0]})
        assert caught.value.op is not None
        assert points_at(caught.value, "lambda x, y:")

    @pytest.mark.parametrize("paddings", [[[0, 0]], [[-1, 2]]])
    def test_a_shape_that_was_set_and_is_not_so(self, paddings: object) -> None:
        x, amounts = tf.placeholder(tf.float32, [3]), tf.placeholder(tf.int32, [1, 2])
        padded = tf.pad(x, amounts)
        padded.set_shape([10])
        with tf.Session() as sess, pytest.raises(tf.errors.InvalidArgumentError):
            sess.run(padded, {x: [1, 2, 3], amounts: paddings})

    @pytest.mark.parametrize("sizes", [[2**31 - 1] * 4, [2**31 - 1, 2**31 - 1]])
    def test_more_elements_than_can_be_addressed(self, sizes: list[int]) -> None:
        dims = tf.placeholder(tf.int32, [None])
        filled = tf.fill(dims, 1.0, name="filled")
        with tf.Session() as sess, pytest.raises(tf.errors.ResourceExhaustedError, match="2147483647") as caught:
            sess.run(filled, {dims: sizes})
        assert caught.value.op is filled.op

    def test_more_than_there_is_memory(self) -> None:
        x = tf.placeholder(tf.float32, [1, None])
        column = tf.reshape(tf.tile(x, [1, 1 << 20]), [-1, 1])
        product = tf.matmul(column, tf.ones([1, 1 << 20]), name="product")
        with tf.Session() as sess:
            with pytest.raises(tf.errors.ResourceExhaustedError, match=r"arena of 4\.\d+ TB") as caught:
                sess.run(tf.reduce_sum(product), {x: [[1.0]]})
            assert "product float32[1048576, 1048576], 4.398 TB, in the arena" in str(caught.value)
            assert points_at(caught.value, "product = tf.matmul")
            with pytest.raises(tf.errors.ResourceExhaustedError, match=r"4\.398 TB, fetched"):
                sess.run(product, {x: [[1.0]]})

    def test_an_update_that_strings_do_not_have(self) -> None:
        strings = tf.placeholder(tf.string, [2])
        with tf.Session() as sess, pytest.raises(TypeError, match="string"):
            sess.run(tf.add(strings, strings), {strings: ["a", "b"]})


class TestBuilding:
    """A wrong shape or dtype fails when the op is built, so that the traceback ends at the user's line."""

    @pytest.mark.parametrize(
        ("build", "said"),
        [
            (lambda: tf.matmul(tf.zeros([2, 3]), tf.zeros([4, 5])), ["3", "4"]),
            (lambda: tf.matmul(tf.zeros([2]), tf.zeros([2, 2])), ["rank"]),
            (lambda: tf.zeros([2, 3]) + tf.zeros([4]), ["3", "4"]),
            (lambda: tf.reshape(tf.zeros([2, 3]), [4, 2]), ["6", "8"]),
            (lambda: tf.concat(0, [tf.zeros([2, 3]), tf.zeros([2, 4])]), ["3", "4"]),
            (lambda: tf.split(1, 4, tf.zeros([2, 6])), ["4", "6"]),
            (lambda: tf.reduce_sum(tf.zeros([2]), 3), ["3"]),
            (lambda: tf.constant([[1.0, 2.0], [3.0]]), []),
            (lambda: tf.placeholder(tf.float32, [-3]), ["-3"]),
        ],
    )
    def test_a_shape_that_does_not_fit(self, build: Callable[[], tf.Tensor], said: list[str]) -> None:
        with pytest.raises(ValueError, match=r"\w") as caught:
            build()
        assert all(word in str(caught.value) for word in said), str(caught.value)

    @pytest.mark.parametrize(
        "build",
        [
            lambda: tf.constant(1) + tf.constant(1.0),
            lambda: tf.constant(1.0) * "two",
            lambda: tf.matmul(tf.zeros([2, 2]), tf.zeros([2, 2], tf.float64)),
            lambda: tf.sqrt(tf.constant([4])),
            lambda: tf.logical_not(tf.constant(1.0)),
            lambda: tf.constant("text", tf.float32),
            lambda: tf.gather([1.0], [0.5]),
            lambda: tf.placeholder("no such type"),
        ],
    )
    def test_a_type_that_does_not_fit(self, build: Callable[[], tf.Tensor]) -> None:
        with pytest.raises((TypeError, ValueError), match=r"\w"):
            build()

    def test_a_tensor_of_another_graph(self) -> None:
        with tf.Graph().as_default():
            other = tf.constant(1.0, name="other")
        with pytest.raises(ValueError, match="graph"):
            tf.add(other, tf.constant(1.0))

    def test_a_tensor_as_a_condition(self) -> None:
        with pytest.raises(TypeError, match="bool"):
            bool(tf.constant(1.0) < 2.0)

    def test_a_finalised_graph_takes_no_more_ops(self, graph: tf.Graph) -> None:
        graph.finalize()
        with pytest.raises(RuntimeError, match="finalized"):
            tf.constant(1.0)
