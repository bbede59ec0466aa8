"""A run with a Python function in its midst: y = 3 f(2x + 1) of float32[1000], where f returns its argument."""

from __future__ import annotations

import numpy as np

from bench.work import Array, Arrays, Case, Target, Work, random

X = random(1000, seed=1)


def identity(x: Array) -> Array:
    return x


def expected() -> Arrays:
    return {"y": 3 * (2 * X.astype(np.float64) + 1)}


def in_flowc() -> Case:
    import flowc as tf

    x = tf.placeholder(tf.float32, [1000])
    (middle,) = tf.py_func(identity, [x * 2.0 + 1.0], [tf.float32])
    y = middle * 3.0
    session = tf.Session()
    return Case(lambda: session.run(y, {x: X}), lambda: {"y": session.run(y, {x: X})})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x = tf.placeholder(tf.float32, [1000])
    (middle,) = tf.py_func(identity, [x * 2.0 + 1.0], [tf.float32])
    y = middle * 3.0
    session = tf.Session()
    return Case(lambda: session.run(y, {x: X}), lambda: {"y": session.run(y, {x: X})})


def in_jax() -> Case:
    import jax

    kind = jax.ShapeDtypeStruct(X.shape, X.dtype)
    function = jax.jit(lambda x: jax.pure_callback(lambda a: np.asarray(a), kind, x * 2.0 + 1.0) * 3.0)
    return Case(lambda: np.asarray(function(X)), lambda: {"y": function(X)})


WORK = Work(
    name="py_func",
    title="run with a Python function in it",
    targets=(Target(0.8, "tf"),),
    systems={"flowc": in_flowc, "tf": in_tensorflow, "jax": in_jax},
    expected=expected,
)
