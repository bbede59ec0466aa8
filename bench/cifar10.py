"""The CIFAR-10 model of the guide (1,068,298 parameters) in each system: a training step on 128 crops of 24×24.

5×5 convolution to 64 channels, relu, 3×3 max pooling by 2, local response normalisation; the same with normalisation
before pooling; dense layers of 384 and 192 with weight decay; softmax of 10. The loss is the mean cross entropy plus
the decay; gradient descent. The filters start larger than the guide's, so that few steps tell a wrong gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np

from bench.torch_training import compiled_descent, eager_descent
from bench.work import Array, Case, Floats, random

BATCH, SIZE = 128, 24
RATE = 0.01
DECAY = 0.004
RADIUS, ALPHA, BETA = 4, 0.001 / 9.0, 0.75
NAMES = ("w1", "b1", "w2", "b2", "w3", "b3", "w4", "b4", "w5", "b5")
SHAPES = ((5, 5, 3, 64), (64,), (5, 5, 64, 64), (64,), (2304, 384), (384,), (384, 192), (192,), (192, 10), (10,))
CHECKED_STEPS = 2


def batches() -> list[tuple[Floats, Floats]]:
    """Images float32[128, 24, 24, 3] of random numbers, and one-hot labels."""
    rng = np.random.default_rng(1)
    labels = np.eye(10, dtype=np.float32)
    return [(random(BATCH, SIZE, SIZE, 3, seed=i), labels[rng.integers(0, 10, BATCH)]) for i in range(4)]


def initial() -> list[Floats]:
    """Weights at which the signal keeps its size; biases of 0.1."""
    values: list[Floats] = []
    for seed, shape in enumerate(SHAPES):
        bound = float(np.sqrt(6 / np.prod(shape[:-1])))
        values.append(random(*shape, seed=seed, low=-bound, high=bound) if len(shape) > 1 else np.full(shape, 0.1, "f"))
    return values


def named(values: Any) -> dict[str, Any]:
    return dict(zip(NAMES, values, strict=True))


# -- flowc and TensorFlow 2 --------------------------------------------------------------------------------------------


def _loss(tf: Any, variables: list[Any], x: Any, y_: Any, cross_entropy: Callable[[Any, Any], Any]) -> Any:
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = variables

    def convolved(value: Any, w: Any, b: Any) -> Any:
        return tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(value, w, strides=[1, 1, 1, 1], padding="SAME"), b))

    def pooled(value: Any) -> Any:
        return tf.nn.max_pool(value, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding="SAME")

    def normalised(value: Any) -> Any:
        return tf.nn.local_response_normalization(value, depth_radius=RADIUS, bias=1.0, alpha=ALPHA, beta=BETA)

    hidden = normalised(pooled(convolved(x, w1, b1)))
    hidden = pooled(normalised(convolved(hidden, w2, b2)))
    hidden = tf.nn.relu(tf.matmul(tf.reshape(hidden, [-1, 2304]), w3) + b3)
    logits = tf.matmul(tf.nn.relu(tf.matmul(hidden, w4) + b4), w5) + b5
    decay = DECAY * (tf.nn.l2_loss(w3) + tf.nn.l2_loss(w4))
    return tf.reduce_mean(cross_entropy(logits, y_)) + decay


def _in_graph(tf: Any, cross_entropy: Callable[[Any, Any], Any], initializer: Callable[[], Any]) -> Case:
    x, y_ = tf.placeholder(tf.float32, [BATCH, SIZE, SIZE, 3]), tf.placeholder(tf.float32, [BATCH, 10])
    variables = [tf.Variable(value) for value in initial()]
    train = tf.train.GradientDescentOptimizer(RATE).minimize(_loss(tf, variables, x, y_, cross_entropy))
    session = tf.Session()
    session.run(initializer())
    data = cycle(batches())

    def step() -> None:
        images, labels = next(data)
        session.run(train, {x: images, y_: labels})

    return Case(step, lambda: named(session.run(variables)))


def in_flowc() -> Case:
    import flowc as tf

    return _in_graph(tf, tf.nn.softmax_cross_entropy_with_logits, tf.initialize_all_variables)


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return tf.nn.softmax_cross_entropy_with_logits_v2(labels, logits)

    return _in_graph(tf, cross_entropy, tf.global_variables_initializer)


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    variables = [tf.Variable(value) for value in initial()]
    data = cycle(batches())

    @tf.function
    def train(x: Any, y_: Any) -> None:
        with tf.GradientTape() as tape:
            loss = _loss(tf, variables, x, y_, lambda s, y: tf.nn.softmax_cross_entropy_with_logits(y, s))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(RATE * gradient)

    return Case(lambda: train(*map(tf.constant, next(data))), lambda: named(variables))


# -- JAX ---------------------------------------------------------------------------------------------------------------


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def convolved(x: Any, w: Any, b: Any) -> Any:
        y = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jax.nn.relu(y + b)

    def pooled(x: Any) -> Any:
        return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")

    def normalised(x: Any) -> Any:
        window = (1, 1, 1, 2 * RADIUS + 1)
        return x / (1 + ALPHA * jax.lax.reduce_window(x * x, 0.0, jax.lax.add, window, (1, 1, 1, 1), "SAME")) ** BETA

    def loss(parameters: Any, x: Any, y_: Any) -> Any:
        w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
        hidden = normalised(pooled(convolved(x, w1, b1)))
        hidden = pooled(normalised(convolved(hidden, w2, b2)))
        hidden = jax.nn.relu(hidden.reshape(-1, 2304) @ w3 + b3)
        logits = jax.nn.relu(hidden @ w4 + b4) @ w5 + b5
        decay = DECAY / 2 * (jnp.sum(w3 * w3) + jnp.sum(w4 * w4))
        return -jnp.mean(jnp.sum(y_ * jax.nn.log_softmax(logits), axis=1)) + decay

    def descend(parameters: Any, x: Any, y_: Any) -> Any:
        return jax.tree.map(lambda p, g: p - RATE * g, parameters, jax.grad(loss)(parameters, x, y_))

    update = jax.jit(descend, donate_argnums=0)
    parameters = [jnp.asarray(value) for value in initial()]
    data = cycle(batches())

    def step() -> None:
        nonlocal parameters
        parameters = update(parameters, *next(data))
        parameters[0].block_until_ready()

    return Case(step, lambda: named(parameters))


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def _torch_initial() -> list[Array]:
    """Filters as [out, in, rows, columns]; the first dense layer takes [channels, rows, columns]."""
    w1, b1, w2, b2, w3, *rest = initial()
    dense = w3.reshape(6, 6, 64, 384).transpose(2, 0, 1, 3).reshape(2304, 384)
    values = [w1.transpose(3, 2, 0, 1), b1, w2.transpose(3, 2, 0, 1), b2, dense, *rest]
    return [np.ascontiguousarray(value) for value in values]


def _torch_named(parameters: list[Any]) -> dict[str, Any]:
    """As in the other systems."""
    w1, b1, w2, b2, w3, *rest = (p.detach().numpy() for p in parameters)
    dense = w3.reshape(64, 6, 6, 384).transpose(1, 2, 0, 3).reshape(2304, 384)
    return named([w1.transpose(2, 3, 1, 0), b1, w2.transpose(2, 3, 1, 0), b2, dense, *rest])


def _torch_loss(parameters: list[Any], x: Any, y_: Any) -> Any:
    import torch
    import torch.nn.functional as F

    def normalised(value: Any) -> Any:
        size = 2 * RADIUS + 1
        return F.local_response_norm(value, size, ALPHA * size, BETA, 1.0)  # which takes the mean of the squares

    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
    x = x.permute(0, 3, 1, 2)
    hidden = normalised(F.max_pool2d(F.relu(F.conv2d(x, w1, b1, padding=2)), 3, 2, ceil_mode=True))
    hidden = F.max_pool2d(normalised(F.relu(F.conv2d(hidden, w2, b2, padding=2))), 3, 2, ceil_mode=True)
    hidden = F.relu(torch.addmm(b3, hidden.reshape(-1, 2304), w3))
    logits = torch.addmm(b5, F.relu(torch.addmm(b4, hidden, w4)), w5)
    return F.cross_entropy(logits, y_) + DECAY / 2 * (w3.square().sum() + w4.square().sum())


def _in_torch(descent: Callable[..., Any]) -> Case:
    import torch

    train, parameters = descent(_torch_loss, _torch_initial(), RATE)
    data = cycle(batches())

    def step() -> None:
        images, labels = next(data)
        train(torch.from_numpy(images), torch.from_numpy(labels))

    return Case(step, lambda: _torch_named(parameters))


def in_torch() -> Case:
    return _in_torch(eager_descent)


def in_torch_compile() -> Case:
    return _in_torch(compiled_descent)
