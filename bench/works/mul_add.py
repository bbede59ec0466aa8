"""a · b + c over 16 Mi float32, all in place, into a buffer that is kept: bound by memory bandwidth alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, BandwidthTarget, Case, Work, random

SIZE = 16 << 20


def values() -> list[Any]:
    return [random(SIZE, seed=seed) for seed in (1, 2, 3)]


def expected() -> Arrays:
    a, b, c = values()
    return {"y": a.astype(np.float64) * b + c}


def in_flowc() -> Case:
    import flowc as tf

    a, b, c = (tf.Variable(value) for value in values())
    y = tf.Variable(tf.zeros([SIZE]))
    update = tf.assign(y, a * b + c).op
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(update), lambda: {"y": session.run(y)})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    a, b, c = (tf.Variable(value) for value in values())
    y = tf.Variable(tf.zeros([SIZE]))
    update = tf.assign(y, a * b + c).op
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(update), lambda: {"y": session.run(y)})


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    a, b, c = (tf.constant(value) for value in values())
    function = tf.function(lambda a, b, c: a * b + c, jit_compile=True)
    return Case(lambda: function(a, b, c), lambda: {"y": function(a, b, c)})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    a, b, c = (jnp.asarray(value) for value in values())
    y = jnp.zeros(SIZE)
    function = jax.jit(lambda y, a, b, c: a * b + c, donate_argnums=0, keep_unused=True)

    def step() -> None:
        nonlocal y
        y = function(y, a, b, c)
        y.block_until_ready()

    return Case(step, lambda: {"y": y})


def in_torch() -> Case:
    import torch

    a, b, c = (torch.from_numpy(value) for value in values())
    y = torch.zeros(SIZE)
    return Case(lambda: torch.addcmul(c, a, b, out=y), lambda: {"y": y})


def in_torch_compile() -> Case:
    import torch

    a, b, c = (torch.from_numpy(value) for value in values())
    y = torch.zeros(SIZE)
    function = torch.compile(lambda y, a, b, c: y.copy_(a * b + c))

    def step() -> None:
        with torch.inference_mode():
            function(y, a, b, c)

    return Case(step, lambda: {"y": y})


WORK = Work(
    name="mul_add",
    title="a*b+c, 16M float32",
    targets=(BandwidthTarget(0.85, "triad"),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.xla": in_tensorflow_xla,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    bytes_moved=4 * 4 * SIZE,
    beside=("triad",),
)
