"""A training step of the guide's MNIST softmax regression: real images, batch 100, fed from NumPy.

loss = -Σ y_ · log softmax(x W + b), summed over the batch; gradient descent at rate 0.01.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

import numpy as np

from bench.data import mnist_batches
from bench.torch_training import compiled_descent, eager_descent
from bench.work import Arrays, Case, Target, Work

RATE = 0.01
STEPS = 5
W0, B0 = np.zeros((784, 10), np.float32), np.zeros(10, np.float32)


def expected() -> Arrays:
    w, b = W0.astype(np.float64), B0.astype(np.float64)
    for x, y in mnist_batches()[:STEPS]:
        logits = x @ w + b
        e = np.exp(logits - logits.max(axis=1, keepdims=True))
        error = e / e.sum(axis=1, keepdims=True) - y
        w, b = w - RATE * (x.T @ error), b - RATE * error.sum(axis=0)
    return {"W": w, "b": b}


def in_flowc() -> Case:
    import flowc as tf

    x, y_ = tf.placeholder(tf.float32, [None, 784]), tf.placeholder(tf.float32, [None, 10])
    w, b = tf.Variable(W0), tf.Variable(B0)
    y = tf.nn.softmax(tf.matmul(x, w) + b)
    loss = -tf.reduce_sum(y_ * tf.log(y))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    batches = cycle(mnist_batches())

    def step() -> None:
        images, labels = next(batches)
        session.run(train, {x: images, y_: labels})

    return Case(step, lambda: dict(zip("Wb", session.run([w, b]), strict=True)))


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x, y_ = tf.placeholder(tf.float32, [None, 784]), tf.placeholder(tf.float32, [None, 10])
    w, b = tf.Variable(W0), tf.Variable(B0)
    loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits_v2(y_, tf.matmul(x, w) + b))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    batches = cycle(mnist_batches())

    def step() -> None:
        images, labels = next(batches)
        session.run(train, {x: images, y_: labels})

    return Case(step, lambda: dict(zip("Wb", session.run([w, b]), strict=True)))


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    w, b = tf.Variable(W0), tf.Variable(B0)
    batches = cycle(mnist_batches())

    def descend(x: Any, y_: Any) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(y_, tf.matmul(x, w) + b))
        for variable, gradient in zip([w, b], tape.gradient(loss, [w, b]), strict=True):
            variable.assign_sub(RATE * gradient)

    train = tf.function(descend, input_signature=[tf.TensorSpec([None, 784]), tf.TensorSpec([None, 10])])
    return Case(lambda: train(*next(batches)), lambda: {"W": w, "b": b})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def loss(parameters: Any, x: Any, y_: Any) -> Any:
        w, b = parameters
        return -jnp.sum(y_ * jax.nn.log_softmax(x @ w + b))

    def descend(parameters: Any, x: Any, y_: Any) -> Any:
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, jax.grad(loss)(parameters, x, y_))

    update = jax.jit(descend, donate_argnums=0)
    parameters = (jnp.asarray(W0), jnp.asarray(B0))
    batches = cycle(mnist_batches())

    def step() -> None:
        nonlocal parameters
        parameters = update(parameters, *next(batches))
        parameters[0].block_until_ready()

    return Case(step, lambda: dict(zip("Wb", parameters, strict=True)))


def _in_torch(descent: Any) -> Case:
    import torch

    def loss(parameters: Any, x: Any, y_: Any) -> Any:
        w, b = parameters
        return torch.nn.functional.cross_entropy(torch.addmm(b, x, w), y_, reduction="sum")

    train, parameters = descent(loss, [W0, B0], RATE)
    batches = cycle(mnist_batches())

    def step() -> None:
        images, labels = next(batches)
        train(torch.from_numpy(images), torch.from_numpy(labels))

    return Case(step, lambda: dict(zip("Wb", (p.detach() for p in parameters), strict=True)))


def in_torch() -> Case:
    return _in_torch(eager_descent)


def in_torch_compile() -> Case:
    return _in_torch(compiled_descent)


WORK = Work(
    name="mnist_softmax",
    title="MNIST softmax step, batch 100",
    targets=(Target(0.5),),
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
