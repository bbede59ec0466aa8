"""A step of the guide's line fit: 100 points, y = W x + b, mean squared error, gradient descent at rate 0.5."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.torch_training import compiled_descent, eager_descent
from bench.work import Arrays, Case, Target, Work, random

X = random(100, seed=1, low=0.0)
Y = X * np.float32(0.1) + np.float32(0.3)
W0, B0 = np.array([0.5], np.float32), np.zeros(1, np.float32)
RATE = 0.5
STEPS = 5


def expected() -> Arrays:
    x, y = X.astype(np.float64), Y.astype(np.float64)
    w, b = W0.astype(np.float64), B0.astype(np.float64)
    for _ in range(STEPS):
        error = w * x + b - y
        w, b = w - RATE * 2 * np.mean(error * x), b - RATE * 2 * np.mean(error)
    return {"W": w, "b": b}


def in_flowc() -> Case:
    import flowc as tf

    w, b = tf.Variable(W0), tf.Variable(B0)
    loss = tf.reduce_mean(tf.square(w * X + b - Y))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(train), lambda: dict(zip("Wb", session.run([w, b]), strict=True)))


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    w, b = tf.Variable(W0), tf.Variable(B0)
    loss = tf.reduce_mean(tf.square(w * X + b - Y))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(train), lambda: dict(zip("Wb", session.run([w, b]), strict=True)))


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    w, b = tf.Variable(W0), tf.Variable(B0)

    def train() -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(w * X + b - Y))
        gw, gb = tape.gradient(loss, [w, b])
        w.assign_sub(RATE * gw)
        b.assign_sub(RATE * gb)

    return Case(tf.function(train), lambda: {"W": w, "b": b})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def loss(parameters: Any) -> Any:
        w, b = parameters
        return jnp.mean(jnp.square(w * X + b - Y))

    def descend(parameters: Any) -> Any:
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, jax.grad(loss)(parameters))

    update = jax.jit(descend, donate_argnums=0)
    parameters = (jnp.asarray(W0), jnp.asarray(B0))

    def step() -> None:
        nonlocal parameters
        parameters = update(parameters)
        parameters[0].block_until_ready()

    return Case(step, lambda: dict(zip("Wb", parameters, strict=True)))


def _in_torch(descent: Any) -> Case:
    import torch

    x, y = torch.from_numpy(X), torch.from_numpy(Y)
    step, parameters = descent(lambda p: (p[0] * x + p[1] - y).square().mean(), [W0, B0], RATE)
    return Case(step, lambda: dict(zip("Wb", (p.detach() for p in parameters), strict=True)))


def in_torch() -> Case:
    return _in_torch(eager_descent)


def in_torch_compile() -> Case:
    return _in_torch(compiled_descent)


WORK = Work(
    name="line_fit",
    title="line fit step, 100 points",
    targets=(Target(0.08, "tf"), Target(0.5, "jax")),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.function": in_tensorflow_function,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    check_steps=STEPS,
)
