"""The generated source of representative graphs, compared with files: a change of the compiler shows as a diff.

`make golden` rewrites the files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import flowc as tf
from flowc.codegen.feed_spec import FeedSpec
from flowc.codegen.pipeline import compile_stages
from flowc.codegen.plan import Column, Plan
from tests.conftest import Golden

Built = tuple[Sequence[Any], Sequence[Any]]  # fetches, targets
GRAPHS: dict[str, Callable[[], Built]] = {}


def example(function: Callable[[], Built]) -> Callable[[], Built]:
    """Decorator: the graph that the function builds has a golden file of the function's name."""
    GRAPHS[function.__name__] = function
    return function


def feed(name: str, *shape: int, dtype: Any = tf.float32) -> Any:
    return tf.placeholder(dtype, list(shape), name=name)


@example
def elementwise_chain() -> Built:
    x, y = feed("x", 100, 30), feed("y", 100, 30)
    return [tf.tanh(x * y + 1.0) / (x - y) + tf.square(tf.sigmoid(y))], []


@example
def bias_and_relu() -> Built:
    return [tf.nn.relu(feed("x", 64, 128) + feed("b", 128))], []


@example
def softmax() -> Built:
    return [tf.nn.softmax(feed("x", 100, 1000))], []


@example
def layer_norm() -> Built:
    x, gamma, beta = feed("x", 100, 512), feed("gamma", 512), feed("beta", 512)
    mean = tf.reduce_mean(x, [1], keep_dims=True)
    variance = tf.reduce_mean(tf.square(x - mean), [1], keep_dims=True)
    return [(x - mean) * tf.rsqrt(variance + 1e-5) * gamma + beta], []


@example
def cross_entropy() -> Built:
    logits, labels = feed("logits", 100, 10), feed("labels", 100, 10)
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits, labels))
    return [loss, *tf.gradients(loss, [logits])], []


@example
def column_sum() -> Built:
    return [tf.reduce_sum(feed("x", 256, 96) * 0.5, [0])], []


@example
def sum_in_blocks() -> Built:
    return [tf.reduce_sum(tf.exp(feed("x", 1000, 1000)))], []


@example
def adam_update() -> Built:
    x, w = feed("x", 784, 128), tf.Variable(tf.zeros([784, 128]), name="w")
    loss = tf.reduce_sum(w * x)
    return [], [tf.train.AdamOptimizer(0.001).minimize(loss)]


@example
def transpose_and_add() -> Built:
    return [tf.transpose(feed("x", 300, 200)) + feed("y", 200, 300)], []


@example
def complex_step() -> Built:
    z, c, count = feed("z", 52, 60, dtype=tf.complex64), feed("c", 52, 60, dtype=tf.complex64), feed("n", 52, 60)
    new = z * z + c
    return [new, count + tf.cast(tf.complex_abs(new) < 4.0, tf.float32)], []


@example
def accuracy() -> Built:
    right = tf.equal(tf.argmax(feed("y", 100, 10), 1), tf.argmax(feed("labels", 100, 10), 1))
    return [tf.reduce_mean(tf.cast(right, tf.float32))], []


@example
def heat_by_slices() -> Built:
    u = tf.Variable(tf.zeros([500, 500]), name="u")
    middle = u[1:-1, 1:-1]
    change = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:] - 4.0 * middle
    return [], [u.assign(tf.pad(middle + 0.1 * change, [[1, 1], [1, 1]])).op]


@pytest.mark.parametrize("name", GRAPHS)
def test_generated_source(name: str, golden: Golden) -> None:
    with tf.Graph().as_default() as graph:
        fetches, targets = GRAPHS[name]()
        placeholders = [op.outputs[0] for op in graph.get_operations() if op.type == "Placeholder"]
        shapes = [tuple(tensor.get_shape().as_list()) for tensor in placeholders]
        feeds = [FeedSpec(tensor, shape) for tensor, shape in zip(placeholders, shapes, strict=True)]
        plan = compile_stages(fetches, targets, feeds).plan
    assert plan is not None
    golden.check(f"{name}.txt", _printed(plan))


def _printed(plan: Plan) -> str:
    """The launches, then the kernels."""
    launches = [
        f"{plan.kernels[entry[Column.KERNEL]].name}: units {entry[Column.UNITS]}, grain {entry[Column.GRAIN]}, "
        f"{entry[Column.BYTES]} bytes: {label}"
        for entry, label in zip(plan.entries, plan.labels, strict=True)
    ]
    return "\n\n".join(["\n".join(launches), *(kernel.source.rstrip() for kernel in plan.kernels)]) + "\n"
