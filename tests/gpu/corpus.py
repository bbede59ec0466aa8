"""Small graphs that between them use every kernel template, and every form of loop nest, on the CUDA target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import flowc as tf

Array = np.ndarray[Any, Any]
Feed = Callable[[Any], Any]
Case = Callable[[Feed], Any]

CASES: dict[str, Case] = {}
ONLY_COMPILED = ("samplers",)  # the simulator takes minutes for their rejections


def case(function: Case) -> Case:
    """Decorator: `function` makes a tensor, or several, of what it feeds."""
    CASES[function.__name__] = function
    return function


def floats(*shape: int, dtype: str = "float32", seed: int = 0) -> Array:
    return np.random.default_rng(seed + sum(shape)).standard_normal(shape).astype(dtype)


def ints(high: int, *shape: int, dtype: str = "int32") -> Array:
    return np.random.default_rng(sum(shape)).integers(0, high, shape).astype(dtype)


# -- forms of loop nests -----------------------------------------------------------------------------------------------


@case
def chain(feed: Feed) -> Any:
    x = feed(floats(301))
    return tf.tanh(x) * x + tf.exp(-x), tf.cast(x > 0.0, tf.int32)


@case
def bias_and_relu(feed: Feed) -> Any:
    return tf.nn.relu(feed(floats(5, 36)) + feed(floats(36)))


@case
def shifted_rows(feed: Feed) -> Any:
    x = feed(floats(7, 13))
    return x[1:, 1:] - x[:-1, :-1]


@case
def double_math(feed: Feed) -> Any:
    x = feed(floats(33, dtype="float64"))
    return [tf.sin(x), tf.cos(x), tf.pow(tf.abs(x), x)]


@case
def remainders(feed: Feed) -> Any:
    return tf.mod(feed(floats(40) * 9), feed(floats(40, seed=3)))


@case
def complex_numbers(feed: Feed) -> Any:
    x = tf.complex(feed(floats(9, 5)), feed(floats(9, 5, seed=1)))
    return tf.complex_abs(x * tf.conj(x) + x), tf.reduce_sum(x, [1]), tf.reduce_sum(x, [0])


@case
def transposed(feed: Feed) -> Any:
    x = feed(floats(40, 35))
    return tf.transpose(x) + 1.0, tf.transpose(feed(ints(9, 3, 20, 12)), [0, 2, 1])


@case
def softmax_of_long_rows(feed: Feed) -> Any:
    return tf.nn.softmax(feed(floats(2, 600)))


@case
def softmax_of_short_rows(feed: Feed) -> Any:
    return tf.nn.softmax(feed(floats(9, 40))), tf.nn.softmax(feed(floats(6, 5)))


@case
def layer_norm(feed: Feed) -> Any:
    x, gamma = feed(floats(3, 70)), feed(floats(70))
    mean = tf.reduce_mean(x, [1], keep_dims=True)
    variance = tf.reduce_mean(tf.square(x - mean), [1], keep_dims=True)
    return (x - mean) * tf.rsqrt(variance + 1e-5) * gamma


@case
def cross_entropy(feed: Feed) -> Any:
    logits = feed(floats(6, 10))
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits, feed(np.eye(10, dtype="f")[:6])))
    return [loss, *tf.gradients(loss, [logits])]


@case
def full_reductions(feed: Feed) -> Any:
    x = feed(floats(700))
    kept = [tf.reduce_sum(x), tf.reduce_max(x), tf.reduce_min(x), tf.reduce_prod(x[:9])]
    return [*kept, tf.reduce_all(x > -9.0), tf.reduce_any(x > 9.0)]


@case
def places_of_extremes(feed: Feed) -> Any:
    x = np.round(floats(4, 90))
    x[2, 40] = np.nan
    long = np.zeros((1, 530), np.float32)
    return tf.argmax(feed(x), 1), tf.argmin(feed(x), 1), tf.argmax(feed(long), 1)


@case
def column_sums(feed: Feed) -> Any:
    x = feed(floats(19, 45))
    return tf.reduce_sum(x * 0.5, [0]), tf.reduce_max(feed(floats(5, 6, 33)), [0, 1]), tf.reduce_mean(x, [0])


@case
def middle_sums(feed: Feed) -> Any:
    return tf.reduce_sum(feed(floats(3, 40, 7)), [1]), tf.reduce_sum(feed(floats(3, 40, 7)), [0, 2])


@case
def halves(feed: Feed) -> Any:
    x = feed(floats(6, 50, dtype="float16"))
    return tf.nn.softmax(x), tf.reduce_sum(x, [0]), tf.transpose(x) * 2.0


# -- products ----------------------------------------------------------------------------------------------------------


@case
def products(feed: Feed) -> Any:
    a, b = feed(floats(66, 9)), feed(floats(9, 5))
    turned = tf.matmul(feed(floats(17, 3)), feed(floats(4, 17)), transpose_a=True, transpose_b=True)
    return tf.matmul(a, b), turned, tf.nn.relu(tf.matmul(a[:5], b) + feed(floats(5)))


@case
def stacked_products(feed: Feed) -> Any:
    return tf.batch_matmul(feed(floats(2, 4, 5)), feed(floats(2, 6, 5)), adj_y=True)


@case
def complex_products(feed: Feed) -> Any:
    return tf.matmul(
        feed((floats(4, 5) + 1j * floats(4, 5, seed=1)).astype("complex64")),
        feed((floats(5, 3) * 1j).astype("complex64")),
    )


@case
def integer_products(feed: Feed) -> Any:
    return tf.matmul(feed(ints(9, 4, 5)), feed(ints(9, 5, 3)))


@case
def convolution(feed: Feed) -> Any:
    image, filter = feed(floats(1, 4, 5, 2)), feed(floats(3, 2, 2, 3))
    result = tf.nn.conv2d(image, filter, [1, 2, 1, 1], "SAME")
    return [result, *tf.gradients(tf.reduce_sum(result * result), [image, filter])]


# -- templates ---------------------------------------------------------------------------------------------------------


@case
def pooling(feed: Feed) -> Any:
    x = feed(floats(2, 6, 7, 3))
    most = tf.nn.max_pool(x, [1, 3, 3, 1], [1, 2, 2, 1], "SAME")
    tiles = tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], "VALID")
    mean = tf.nn.avg_pool(x, [1, 3, 2, 1], [1, 2, 2, 1], "SAME")
    gradients = [tf.gradients(tf.reduce_sum(y * y), [x])[0] for y in (most, tiles, mean)]
    return [most, mean, *gradients]


@case
def pooling_with_places(feed: Feed) -> Any:
    x = feed(floats(1, 6, 6, 2))
    result, places = tf.nn.max_pool_with_argmax(x, [1, 2, 2, 1], [1, 2, 2, 1], "SAME")
    return [result, places, *tf.gradients(tf.reduce_sum(result * result), [x])]


@case
def normalisation(feed: Feed) -> Any:
    x = feed(floats(2, 3, 3, 9))
    y = tf.nn.lrn(x, 2, bias=1.0, alpha=0.1, beta=0.75)
    return [y, *tf.gradients(tf.reduce_sum(y * y), [x])]


@case
def gathers(feed: Feed) -> Any:
    table, rows = feed(floats(9, 5)), feed(ints(9, 2, 3))
    embedded = tf.gather(table, rows)
    return (
        embedded,
        tf.gather(feed(ints(5, 9)), rows),
        tf.concat(1, [table, table * 2.0]),
        tf.pad(table, [[1, 2], [0, 3]]),
    )


@case
def slices(feed: Feed) -> Any:
    return tf.slice(feed(floats(6, 7)), feed(np.array([1, 2], np.int32)), [3, 4])


@case
def segments(feed: Feed) -> Any:
    x = feed(floats(7, 4))
    ids = feed(np.array([0, 0, 1, 2, 2, 2, 3], np.int32))
    anywhere = tf.unsorted_segment_sum(x, feed(ints(4, 7)), 4)
    return tf.segment_sum(x, ids), tf.segment_mean(x, ids), tf.segment_max(x, ids), anywhere


@case
def selections(feed: Feed) -> Any:
    x = feed(ints(5, 20))
    kept = tf.listdiff(x, feed(np.array([1, 3], np.int32)))
    values, places = tf.unique(x)
    return [values, places, *kept, tf.where(feed(ints(2, 3, 5).astype(bool)))]


@case
def partitions(feed: Feed) -> Any:
    return tf.dynamic_partition(feed(floats(9, 2)), feed(ints(3, 9)), 3)


@case
def reversed_sequences(feed: Feed) -> Any:
    x, lengths = feed(floats(3, 6, 2)), feed(np.array([2, 6, 0], np.int64))
    return tf.reverse_sequence(x, lengths, 1, 0), tf.invert_permutation(feed(np.array([2, 0, 1, 3], np.int32)))


@case
def running_sums(feed: Feed) -> Any:
    x = feed(floats(4, 11, 3))
    return tf.cumsum(x, 1), tf.cumsum(x, 0, exclusive=True, reverse=True)


@case
def best_values(feed: Feed) -> Any:
    return tf.nn.top_k(feed(floats(4, 12)), 3), tf.nn.in_top_k(feed(floats(4, 12)), feed(ints(12, 4)), 3)


@case
def sparse(feed: Feed) -> Any:
    places = feed(np.array([[0, 1], [2, 0], [1, 1]], np.int64))
    dense = tf.sparse_to_dense(places, [3, 2], feed(floats(3)))
    tensor = tf.SparseTensor(places, feed(floats(3)), tf.constant([3, 2], tf.int64))
    return dense, tf.sparse_reorder(tensor).values


@case
def images(feed: Feed) -> Any:
    x = feed(np.abs(floats(1, 5, 6, 3)) / 4)
    sizes = tf.image.resize_bilinear(x, [7, 4]), tf.image.resize_nearest_neighbor(x, [3, 9])
    glimpse = tf.image.extract_glimpse(x, [3, 3], feed(np.zeros((1, 2), np.float32)), uniform_noise=False)
    return [*sizes, tf.image.hsv_to_rgb(tf.image.rgb_to_hsv(x)), glimpse]


@case
def bfloats(feed: Feed) -> Any:
    return tf.cast(tf.cast(feed(floats(9)), tf.bfloat16), tf.float32)


@case
def checks(feed: Feed) -> Any:
    x = feed(floats(9))
    return (
        tf.check_numerics(x, "x"),
        tf.verify_tensor_all_finite(x, "x"),
        tf.div(feed(ints(9, 6)), feed(ints(9, 6) + 1)),
    )


@case
def random_numbers(feed: Feed) -> Any:
    normal, cut = tf.random_normal([37], seed=1), tf.truncated_normal([30], seed=2)
    shuffled = tf.random_shuffle(feed(floats(9, 2)), seed=3)
    return tf.random_uniform([41], seed=4), normal, cut, shuffled, tf.random_uniform([9], 0, 7, tf.int32, seed=5)


@case
def samplers(feed: Feed) -> Any:
    true = feed(ints(20, 4, 1, dtype="int64"))
    sampled = tf.nn.uniform_candidate_sampler(true, 1, 5, True, 20, seed=1)
    learned = tf.nn.learned_unigram_candidate_sampler(true, 1, 5, True, 20, seed=2)
    hits = tf.nn.compute_accidental_hits(true, feed(ints(20, 12, dtype="int64")), 1)
    return [*sampled, learned[0], *hits]


@case
def updates(feed: Feed) -> Any:
    v = tf.Variable(feed_free(6, 3), name="v")
    rows, values = feed(np.array([4, 1, 4], np.int32)), feed(floats(3, 3))
    with tf.control_dependencies([v.initialized_value().op]):
        added = tf.scatter_add(v, rows, values)
    with tf.control_dependencies([added]):
        taken = tf.scatter_sub(v, rows, values * 0.5)
    with tf.control_dependencies([taken]):
        return [tf.identity(tf.scatter_update(v, rows[1:2], values[:1]))]


@case
def sparse_optimizers(feed: Feed) -> Any:
    v = tf.Variable(feed_free(6, 3), name="v")
    loss = tf.reduce_sum(tf.square(tf.gather(v, feed(np.array([4, 1, 4], np.int32)))))
    steps = [tf.train.AdagradOptimizer(0.1), tf.train.FtrlOptimizer(0.1), tf.train.MomentumOptimizer(0.1, 0.9)]
    with tf.control_dependencies([step.minimize(loss) for step in steps[:1]]):
        return [tf.identity(v)]


@case
def optimizers(feed: Feed) -> Any:
    w = tf.Variable(feed_free(5, 7), name="w")
    loss = tf.reduce_sum(tf.square(tf.matmul(feed(floats(3, 5)), w)))
    with tf.control_dependencies([tf.train.AdamOptimizer(0.01).minimize(loss)]):
        return [loss, tf.identity(w)]


@case
def counting(feed: Feed) -> Any:
    return [tf.count_up_to(tf.Variable(feed_free_count(), name="count"), 5), feed(floats(3)) + 1.0]


@case
def gradient_descent(feed: Feed) -> Any:
    w = tf.Variable(feed_free(5, 7), name="w")
    loss = tf.reduce_sum(tf.square(tf.matmul(feed(floats(3, 5)), w)))
    with tf.control_dependencies([tf.train.GradientDescentOptimizer(0.1).minimize(loss)]):
        return [feed(floats(3)) * 2.0]  # nobody reads w, so that its update is one product


def feed_free_count() -> Any:
    """A counter's first value."""
    return tf.constant(0)


def feed_free(*shape: int) -> Any:
    """A variable's initial value: the same in every session."""
    return tf.constant(floats(*shape))
