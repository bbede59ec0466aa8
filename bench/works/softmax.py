"""Softmax over the rows of float32[4096, 1024] that is already in place; the result is a new array."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

ROWS, COLUMNS = 4096, 1024


def values() -> Any:
    return random(ROWS, COLUMNS, seed=1, low=-4.0, high=4.0)


def expected() -> Arrays:
    x = values().astype(np.float64)
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return {"y": e / e.sum(axis=1, keepdims=True)}


def in_flowc() -> Case:
    import flowc as tf

    y = tf.nn.softmax(tf.Variable(values()))
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(y), lambda: {"y": session.run(y)})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    y = tf.nn.softmax(tf.Variable(values()))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(y), lambda: {"y": session.run(y)})


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    x = tf.constant(values())
    softmax = tf.function(tf.nn.softmax, jit_compile=True)
    return Case(lambda: softmax(x), lambda: {"y": softmax(x)})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(values())
    softmax = jax.jit(jax.nn.softmax)
    return Case(lambda: softmax(x).block_until_ready(), lambda: {"y": softmax(x)})


def _in_torch(compiled: bool) -> Case:
    import torch

    def softmax(x: Any) -> Any:
        return torch.softmax(x, dim=1)

    x = torch.from_numpy(values())
    function = torch.compile(softmax) if compiled else softmax

    def step() -> Any:
        with torch.inference_mode():
            return function(x)

    return Case(step, lambda: {"y": step()})


def in_torch() -> Case:
    return _in_torch(compiled=False)


def in_torch_compile() -> Case:
    return _in_torch(compiled=True)


WORK = Work(
    name="softmax",
    title="softmax over rows, 4096×1024",
    targets=(Target(0.8),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.xla": in_tensorflow_xla,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    atol=1e-7,
)
