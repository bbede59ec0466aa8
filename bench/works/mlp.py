"""A training step of a 784-128-32-10 perceptron on MNIST (the guide's mechanics chapter): batch 100, fed from NumPy.

Hidden layers relu(x W + b); loss = mean softmax cross entropy; gradient descent at rate 0.1.
"""

from __future__ import annotations

from itertools import cycle, pairwise
from typing import Any

import numpy as np

from bench.data import BATCH, mnist_batches
from bench.torch_training import compiled_descent, eager_descent
from bench.work import Array, Arrays, Case, Target, Work, random

SIZES = (784, 128, 32, 10)
RATE = 0.1
STEPS = 5


def initial() -> list[Array]:
    """[W1, b1, W2, b2, W3, b3]."""
    values: list[Array] = []
    for layer, (rows, columns) in enumerate(pairwise(SIZES)):
        bound = float(np.sqrt(3 / rows))
        values += [random(rows, columns, seed=layer, low=-bound, high=bound), np.zeros(columns, np.float32)]
    return values


def named(values: Any) -> Any:
    return dict(zip(("W1", "b1", "W2", "b2", "W3", "b3"), values, strict=True))


def _descend(parameters: list[Any], x: Any, y: Any) -> list[Any]:
    activations = [x]
    for w, b in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        activations.append(np.maximum(activations[-1] @ w + b, 0))
    logits = activations[-1] @ parameters[-2] + parameters[-1]
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = (e / e.sum(axis=1, keepdims=True) - y) / BATCH
    updated: list[Any] = []
    for w, b, a in zip(parameters[-2::-2], parameters[-1::-2], reversed(activations), strict=True):
        updated = [w - RATE * (a.T @ error), b - RATE * error.sum(axis=0), *updated]
        error = (error @ w.T) * (a > 0)
    return updated


def expected() -> Arrays:
    parameters: list[Any] = [value.astype(np.float64) for value in initial()]
    for x, y in mnist_batches()[:STEPS]:
        parameters = _descend(parameters, x.astype(np.float64), y)
    result: Arrays = named(parameters)
    return result


def in_flowc() -> Case:
    import flowc as tf

    x, y_ = tf.placeholder(tf.float32, [BATCH, 784]), tf.placeholder(tf.float32, [BATCH, 10])
    w1, b1, w2, b2, w3, b3 = variables = [tf.Variable(value) for value in initial()]
    hidden1 = tf.nn.relu(tf.matmul(x, w1) + b1)
    hidden2 = tf.nn.relu(tf.matmul(hidden1, w2) + b2)
    logits = tf.matmul(hidden2, w3) + b3
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(logits, y_))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    batches = cycle(mnist_batches())

    def step() -> None:
        images, labels = next(batches)
        session.run(train, {x: images, y_: labels})

    return Case(step, lambda: named(session.run(variables)))


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x, y_ = tf.placeholder(tf.float32, [BATCH, 784]), tf.placeholder(tf.float32, [BATCH, 10])
    w1, b1, w2, b2, w3, b3 = variables = [tf.Variable(value) for value in initial()]
    hidden1 = tf.nn.relu(tf.matmul(x, w1) + b1)
    hidden2 = tf.nn.relu(tf.matmul(hidden1, w2) + b2)
    logits = tf.matmul(hidden2, w3) + b3
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits_v2(y_, logits))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    batches = cycle(mnist_batches())

    def step() -> None:
        images, labels = next(batches)
        session.run(train, {x: images, y_: labels})

    return Case(step, lambda: named(session.run(variables)))


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    w1, b1, w2, b2, w3, b3 = variables = [tf.Variable(value) for value in initial()]
    batches = cycle(mnist_batches())

    def descend(x: Any, y_: Any) -> None:
        with tf.GradientTape() as tape:
            hidden1 = tf.nn.relu(tf.matmul(x, w1) + b1)
            hidden2 = tf.nn.relu(tf.matmul(hidden1, w2) + b2)
            logits = tf.matmul(hidden2, w3) + b3
            loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(y_, logits))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(RATE * gradient)

    train = tf.function(descend, input_signature=[tf.TensorSpec([BATCH, 784]), tf.TensorSpec([BATCH, 10])])
    return Case(lambda: train(*next(batches)), lambda: named(variables))


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def loss(parameters: Any, x: Any, y_: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parameters
        hidden1 = jax.nn.relu(x @ w1 + b1)
        hidden2 = jax.nn.relu(hidden1 @ w2 + b2)
        return -jnp.mean(jnp.sum(y_ * jax.nn.log_softmax(hidden2 @ w3 + b3), axis=1))

    def descend(parameters: Any, x: Any, y_: Any) -> Any:
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, jax.grad(loss)(parameters, x, y_))

    update = jax.jit(descend, donate_argnums=0)
    parameters = [jnp.asarray(value) for value in initial()]
    batches = cycle(mnist_batches())

    def step() -> None:
        nonlocal parameters
        parameters = update(parameters, *next(batches))
        parameters[0].block_until_ready()

    return Case(step, lambda: named(parameters))


def _in_torch(descent: Any) -> Case:
    import torch
    import torch.nn.functional as F

    def loss(parameters: Any, x: Any, y_: Any) -> Any:
        w1, b1, w2, b2, w3, b3 = parameters
        hidden1 = torch.addmm(b1, x, w1).relu_()
        hidden2 = torch.addmm(b2, hidden1, w2).relu_()
        return F.cross_entropy(torch.addmm(b3, hidden2, w3), y_)

    train, parameters = descent(loss, initial(), RATE)
    batches = cycle(mnist_batches())

    def step() -> None:
        images, labels = next(batches)
        train(torch.from_numpy(images), torch.from_numpy(labels))

    return Case(step, lambda: named([p.detach() for p in parameters]))


def in_torch() -> Case:
    return _in_torch(eager_descent)


def in_torch_compile() -> Case:
    return _in_torch(compiled_descent)


WORK = Work(
    name="mlp",
    title="MLP 784-128-32-10 step, batch 100",
    targets=(Target(0.65),),
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
