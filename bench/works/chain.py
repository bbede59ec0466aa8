"""Three rounds of y = tanh(1.01 y + 0.1) · sigmoid(y) + y², then the sum, over 4 Mi float32 in place."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

SIZE = 4 << 20
ROUNDS = 3


def values() -> Any:
    return random(SIZE, seed=1)


def expected() -> Arrays:
    y = values().astype(np.float64)
    for _ in range(ROUNDS):
        y = np.tanh(y * 1.01 + 0.1) / (1 + np.exp(-y)) + y * y
    return {"sum": np.asarray(y.sum())}


def rounds(y: Any, tanh: Any, sigmoid: Any) -> Any:
    for _ in range(ROUNDS):
        y = tanh(y * 1.01 + 0.1) * sigmoid(y) + y * y
    return y


def in_flowc() -> Case:
    import flowc as tf

    x = tf.Variable(values())
    total = tf.reduce_sum(rounds(x, tf.tanh, tf.sigmoid))
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(total), lambda: {"sum": session.run(total)})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x = tf.Variable(values())
    total = tf.reduce_sum(rounds(x, tf.tanh, tf.sigmoid))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(total), lambda: {"sum": session.run(total)})


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    x = tf.constant(values())
    total = tf.function(lambda y: tf.reduce_sum(rounds(y, tf.tanh, tf.sigmoid)), jit_compile=True)
    return Case(lambda: total(x).numpy(), lambda: {"sum": total(x)})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(values())
    total = jax.jit(lambda y: jnp.sum(rounds(y, jnp.tanh, jax.nn.sigmoid)))
    return Case(lambda: total(x).block_until_ready(), lambda: {"sum": total(x)})


def _in_torch(compiled: bool) -> Case:
    import torch

    def total(y: Any) -> Any:
        return rounds(y, torch.tanh, torch.sigmoid).sum()

    x = torch.from_numpy(values())
    function = torch.compile(total) if compiled else total

    def step() -> object:
        with torch.inference_mode():
            return function(x)

    return Case(step, lambda: {"sum": step()})


def in_torch() -> Case:
    return _in_torch(compiled=False)


def in_torch_compile() -> Case:
    return _in_torch(compiled=True)


WORK = Work(
    name="chain",
    title="3×(tanh, sigmoid, multiply-add) and sum, 4M float32",
    targets=(Target(0.75, "jax"),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.xla": in_tensorflow_xla,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
)
