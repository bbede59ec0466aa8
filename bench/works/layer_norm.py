"""Layer norm with scale and offset over the rows of float32[4096, 1024] that is already in place; a new array results.

y = (x - mean) / sqrt(variance + 1e-5) · scale + offset (Ba, Kiros, Hinton 2016, https://arxiv.org/abs/1607.06450).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

ROWS, COLUMNS = 4096, 1024
EPSILON = 1e-5
SCALE, OFFSET = random(COLUMNS, seed=2), random(COLUMNS, seed=3)


def values() -> Any:
    return random(ROWS, COLUMNS, seed=1, low=-1.0, high=3.0)


def expected() -> Arrays:
    x = values().astype(np.float64)
    centred = x - x.mean(axis=1, keepdims=True)
    return {"y": centred / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + EPSILON) * SCALE + OFFSET}


def in_flowc() -> Case:
    import flowc as tf

    x, scale, offset = tf.Variable(values()), tf.Variable(SCALE), tf.Variable(OFFSET)
    centred = x - tf.reduce_mean(x, 1, keep_dims=True)
    variance = tf.reduce_mean(tf.square(centred), 1, keep_dims=True)
    y = centred * tf.rsqrt(variance + EPSILON) * scale + offset
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(y), lambda: {"y": session.run(y)})


def tensorflow_layer_norm(x: Any, scale: Any, offset: Any) -> Any:
    import tensorflow as tf

    centred = x - tf.reduce_mean(x, 1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), 1, keepdims=True)
    return centred * tf.math.rsqrt(variance + EPSILON) * scale + offset


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    y = tensorflow_layer_norm(tf.Variable(values()), tf.Variable(SCALE), tf.Variable(OFFSET))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(y), lambda: {"y": session.run(y)})


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    x, scale, offset = tf.constant(values()), tf.constant(SCALE), tf.constant(OFFSET)
    layer_norm = tf.function(tensorflow_layer_norm, jit_compile=True)
    return Case(lambda: layer_norm(x, scale, offset), lambda: {"y": layer_norm(x, scale, offset)})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def layer_norm(x: Any, scale: Any, offset: Any) -> Any:
        centred = x - jnp.mean(x, axis=1, keepdims=True)
        variance = jnp.mean(jnp.square(centred), axis=1, keepdims=True)
        return centred * jax.lax.rsqrt(variance + EPSILON) * scale + offset

    x, scale, offset = jnp.asarray(values()), jnp.asarray(SCALE), jnp.asarray(OFFSET)
    function = jax.jit(layer_norm)
    return Case(lambda: function(x, scale, offset).block_until_ready(), lambda: {"y": function(x, scale, offset)})


def _in_torch(compiled: bool) -> Case:
    import torch

    def layer_norm(x: Any, scale: Any, offset: Any) -> Any:
        return torch.nn.functional.layer_norm(x, (COLUMNS,), scale, offset, EPSILON)

    x, scale, offset = torch.from_numpy(values()), torch.from_numpy(SCALE), torch.from_numpy(OFFSET)
    function = torch.compile(layer_norm) if compiled else layer_norm

    def step() -> Any:
        with torch.inference_mode():
            return function(x, scale, offset)

    return Case(step, lambda: {"y": step()})


def in_torch() -> Case:
    return _in_torch(compiled=False)


def in_torch_compile() -> Case:
    return _in_torch(compiled=True)


WORK = Work(
    name="layer_norm",
    title="layer norm over rows, 4096×1024",
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
)
