"""The guide's deep MNIST model as each system's users would write it: a training step, and the classes' probabilities.

Two layers of 5×5 convolution, bias, relu and 2×2 max pooling (32 and 64 channels), a dense layer of 1024 with dropout,
a softmax of 10; the loss is the sum of cross entropies, Adam at rate 1e-4. A system's `Deep` starts from `initial()`.
`train` takes images [n, 784], one-hot labels and the probability of keeping a unit, all from NumPy, and returns when
the step is done; `loss` and `classify` go without dropout.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from bench.data import mnist_batches
from bench.work import Array, Case, Floats

BATCH = 50
KEEP = 0.5
CHECKED_STEPS = 3  # without dropout, so that all systems must agree
RATE, BETA1, BETA2, EPSILON = 1e-4, 0.9, 0.999, 1e-8
SHAPES = ((5, 5, 1, 32), (32,), (5, 5, 32, 64), (64,), (3136, 1024), (1024,), (1024, 10), (10,))


@dataclass(frozen=True)
class Deep:
    """The model in one system."""

    train: Callable[[Floats, Floats, float], None]
    loss: Callable[[Floats, Floats], object]
    classify: Callable[[Floats], object]


@cache
def batches() -> list[tuple[Floats, Floats]]:
    """Images float32[50, 784] and labels float32[50, 10]."""
    return [(x[:BATCH].copy(), y[:BATCH].copy()) for x, y in mnist_batches()]


def initial() -> list[Floats]:
    """Weights of normal numbers cut at two standard deviations, of 0.1; biases of 0.1."""
    rng = np.random.default_rng(0)
    values = [np.clip(rng.standard_normal(shape), -2, 2) if len(shape) > 1 else np.ones(shape) for shape in SHAPES]
    return [(0.1 * value).astype(np.float32) for value in values]


def training_case(model: Deep) -> Case:
    """The first steps, which are checked, go without dropout; `result` is the loss on the first batch."""
    steps = 0

    def step() -> None:
        nonlocal steps
        images, labels = batches()[steps % len(batches())]
        model.train(images, labels, 1.0 if steps < CHECKED_STEPS else KEEP)
        steps += 1

    return Case(step, lambda: {"loss": model.loss(*batches()[0])})


def classifying_case(model: Deep, images: Floats) -> Case:
    """The probabilities of the classes of the same images, step after step."""
    return Case(lambda: model.classify(images), lambda: {"probabilities": model.classify(images)})


# -- flowc -------------------------------------------------------------------------------------------------------------


def in_flowc() -> Deep:
    import flowc as tf

    return _in_graph(tf, lambda x, keep: tf.nn.dropout(x, keep), tf.initialize_all_variables)


def in_tensorflow() -> Deep:
    import tensorflow.compat.v1 as tf

    return _in_graph(tf, lambda x, keep: tf.nn.dropout(x, rate=1 - keep), tf.global_variables_initializer)


def _in_graph(tf: Any, dropout: Callable[[Any, Any], Any], initializer: Callable[[], Any]) -> Deep:
    """The guide's program: flowc and TensorFlow's compat.v1 run the same one."""
    x, y_, keep_prob = (tf.placeholder(tf.float32, shape) for shape in ([None, 784], [None, 10], []))
    variables = [tf.Variable(value) for value in initial()]
    logits = _logits(tf, variables, x, lambda hidden: dropout(hidden, keep_prob))
    y = tf.nn.softmax(logits)
    cross_entropy = -tf.reduce_sum(y_ * tf.log(y))
    train_step = tf.train.AdamOptimizer(RATE).minimize(cross_entropy)
    session = tf.Session()
    session.run(initializer())

    def train(images: Floats, labels: Floats, keep: float) -> None:
        session.run(train_step, {x: images, y_: labels, keep_prob: keep})

    return Deep(
        train,
        lambda images, labels: session.run(cross_entropy, {x: images, y_: labels, keep_prob: 1.0}),
        lambda images: session.run(y, {x: images, keep_prob: 1.0}),
    )


def _logits(tf: Any, variables: list[Any], x: Any, dropout: Callable[[Any], Any]) -> Any:
    w1, b1, w2, b2, w3, b3, w4, b4 = variables

    def layer(value: Any, w: Any, b: Any) -> Any:
        hidden = tf.nn.relu(tf.nn.conv2d(value, w, strides=[1, 1, 1, 1], padding="SAME") + b)
        return tf.nn.max_pool(hidden, ksize=[1, 2, 2, 1], strides=[1, 2, 2, 1], padding="SAME")

    pooled = layer(layer(tf.reshape(x, [-1, 28, 28, 1]), w1, b1), w2, b2)
    hidden = tf.nn.relu(tf.matmul(tf.reshape(pooled, [-1, 3136]), w3) + b3)
    return tf.matmul(dropout(hidden), w4) + b4


# -- TensorFlow 2 ------------------------------------------------------------------------------------------------------


def in_tensorflow_function() -> Deep:
    import tensorflow as tf

    variables = [tf.Variable(value) for value in initial()]
    moments = [(tf.Variable(tf.zeros_like(v)), tf.Variable(tf.zeros_like(v))) for v in variables]
    powers = tf.Variable(BETA1), tf.Variable(BETA2)

    @tf.function(reduce_retracing=True)
    def train(x: Any, y_: Any, keep: Any) -> None:
        with tf.GradientTape() as tape:
            logits = _logits(tf, variables, x, lambda hidden: tf.nn.dropout(hidden, 1 - keep))
            loss = tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(y_, logits))
        for v, (m, s), g in zip(variables, moments, tape.gradient(loss, variables), strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=v.handle, m=m.handle, v=s.handle, beta1_power=powers[0], beta2_power=powers[1], lr=RATE,
                beta1=BETA1, beta2=BETA2, epsilon=EPSILON, grad=g,
            )  # fmt: skip
        powers[0].assign(powers[0] * BETA1)
        powers[1].assign(powers[1] * BETA2)

    @tf.function
    def loss(x: Any, y_: Any) -> Any:
        logits = _logits(tf, variables, x, lambda hidden: hidden)
        return tf.reduce_sum(tf.nn.softmax_cross_entropy_with_logits(y_, logits))

    @tf.function
    def classify(x: Any) -> Any:
        return tf.nn.softmax(_logits(tf, variables, x, lambda hidden: hidden))

    return Deep(
        lambda x, y_, keep: train(tf.constant(x), tf.constant(y_), tf.constant(keep)),
        lambda x, y_: loss(tf.constant(x), tf.constant(y_)),
        lambda x: classify(tf.constant(x)).numpy(),
    )


# -- JAX ---------------------------------------------------------------------------------------------------------------


def in_jax() -> Deep:
    import jax
    import jax.numpy as jnp

    def layer(x: Any, w: Any, b: Any) -> Any:
        hidden = jax.lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        hidden = jax.nn.relu(hidden + b)
        return jax.lax.reduce_window(hidden, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "SAME")

    def logits(parameters: Any, x: Any, dropout: Callable[[Any], Any]) -> Any:
        w1, b1, w2, b2, w3, b3, w4, b4 = parameters
        pooled = layer(layer(x.reshape(-1, 28, 28, 1), w1, b1), w2, b2)
        return dropout(jax.nn.relu(pooled.reshape(-1, 3136) @ w3 + b3)) @ w4 + b4

    def cross_entropy(scores: Any, y_: Any) -> Any:
        return -jnp.sum(y_ * jax.nn.log_softmax(scores))

    def adam(p: Any, g: Any, m: Any, v: Any, rate: Any) -> Any:
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
        return p - rate * m / (jnp.sqrt(v) + EPSILON), m, v

    def update(state: Any, x: Any, y_: Any, keep: Any) -> Any:
        parameters, means, squares, powers, key = state
        key, own = jax.random.split(key)

        def dropped(hidden: Any) -> Any:
            return jnp.where(jax.random.bernoulli(own, keep, hidden.shape), hidden / keep, 0)

        gradients = jax.grad(lambda p: cross_entropy(logits(p, x, dropped), y_))(parameters)
        rate = RATE * jnp.sqrt(1 - powers[1]) / (1 - powers[0])
        updated = [adam(*each, rate) for each in zip(parameters, gradients, means, squares, strict=True)]
        new = [list(part) for part in zip(*updated, strict=True)]
        return (*new, (powers[0] * BETA1, powers[1] * BETA2), key)

    train = jax.jit(update, donate_argnums=0)
    zeros = [jnp.zeros(shape) for shape in SHAPES]
    state = ([jnp.asarray(v) for v in initial()], zeros, [z + 0 for z in zeros], (BETA1, BETA2), jax.random.key(0))
    loss = jax.jit(lambda p, x, y_: cross_entropy(logits(p, x, lambda hidden: hidden), y_))
    classify = jax.jit(lambda p, x: jax.nn.softmax(logits(p, x, lambda hidden: hidden)))

    def step(x: Floats, y_: Floats, keep: float) -> None:
        nonlocal state
        state = train(state, x, y_, keep)
        state[0][0].block_until_ready()

    return Deep(step, lambda x, y_: loss(state[0], x, y_), lambda x: np.asarray(classify(state[0], x)))


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def _torch_initial() -> list[Array]:
    """Filters as [out, in, rows, columns]; the dense layer takes [channels, rows, columns]."""
    w1, b1, w2, b2, w3, *rest = initial()
    dense = w3.reshape(7, 7, 64, 1024).transpose(2, 0, 1, 3).reshape(3136, 1024)
    values = [w1.transpose(3, 2, 0, 1), b1, w2.transpose(3, 2, 0, 1), b2, dense, *rest]
    return [np.ascontiguousarray(value) for value in values]


def _torch_logits(parameters: list[Any], x: Any, keep: float) -> Any:
    import torch
    import torch.nn.functional as F

    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    hidden = F.max_pool2d(F.relu(F.conv2d(x.view(-1, 1, 28, 28), w1, b1, padding=2)), 2)
    hidden = F.max_pool2d(F.relu(F.conv2d(hidden, w2, b2, padding=2)), 2)
    hidden = F.relu(torch.addmm(b3, hidden.reshape(-1, 3136), w3))
    return torch.addmm(b4, F.dropout(hidden, 1 - keep), w4)


def _torch_loss(parameters: list[Any], x: Any, y_: Any, keep: float) -> Any:
    import torch.nn.functional as F

    return F.cross_entropy(_torch_logits(parameters, x, keep), y_, reduction="sum")


def _in_torch(parameters: list[Any], train: Callable[..., None], wrap: Callable[[Any], Any]) -> Deep:
    import torch

    @torch.inference_mode()
    def loss(x: Floats, y_: Floats) -> object:
        return _torch_loss(parameters, torch.from_numpy(x), torch.from_numpy(y_), 1.0)

    probabilities = wrap(lambda x: torch.softmax(_torch_logits(parameters, x, 1.0), 1))

    @torch.inference_mode()
    def classify(x: Floats) -> object:
        return probabilities(torch.from_numpy(x)).numpy()

    def step(x: Floats, y_: Floats, keep: float) -> None:
        train(torch.from_numpy(x), torch.from_numpy(y_), keep)

    return Deep(step, loss, classify)


def in_torch(channels_last: bool = False) -> Deep:
    import torch

    parameters = [torch.tensor(value) for value in _torch_initial()]
    if channels_last:
        parameters = [p.to(memory_format=torch.channels_last) if p.dim() == 4 else p for p in parameters]
    for parameter in parameters:
        parameter.requires_grad_()
    optimizer = torch.optim.Adam(parameters, RATE, (BETA1, BETA2), EPSILON, fused=True)

    def train(x: Any, y_: Any, keep: float) -> None:
        optimizer.zero_grad()
        _torch_loss(parameters, x, y_, keep).backward()
        optimizer.step()

    return _in_torch(parameters, train, lambda function: function)


def in_torch_channels_last() -> Deep:
    return in_torch(channels_last=True)


def in_torch_compile() -> Deep:
    """Forward, backward and update are one graph under `torch.compile`."""
    import torch

    parameters = [torch.tensor(value) for value in _torch_initial()]
    means, squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    powers = torch.tensor([BETA1, BETA2])

    def whole_step(x: Any, y_: Any, keep: float) -> None:
        gradients = torch.func.grad(lambda p: _torch_loss(p, x, y_, keep))(parameters)
        rate = RATE * torch.sqrt(1 - powers[1]) / (1 - powers[0])
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            m.mul_(BETA1).add_(g, alpha=1 - BETA1)
            v.mul_(BETA2).addcmul_(g, g, value=1 - BETA2)
            p.sub_(rate * m / (v.sqrt() + EPSILON))
        powers.mul_(torch.tensor([BETA1, BETA2]))

    compiled = torch.compile(whole_step, fullgraph=True)

    def train(x: Any, y_: Any, keep: float) -> None:
        with torch.no_grad():
            compiled(x, y_, keep)

    return _in_torch(parameters, train, lambda function: torch.compile(function, fullgraph=True))


SYSTEMS: dict[str, Callable[[], Deep]] = {
    "flowc": in_flowc,
    "tf": in_tensorflow,
    "tf.function": in_tensorflow_function,
    "jax": in_jax,
    "torch": in_torch,
    "torch.channels_last": in_torch_channels_last,
    "torch.compile": in_torch_compile,
}
