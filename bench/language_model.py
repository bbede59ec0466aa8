"""The small LSTM language model as each system's users would write it: one training step.

An embedding of 10,000 words, two LSTM layers of 200 units over 20 steps, a softmax over the words; batch 20. The loss
is the sum over the steps of the cross entropy's mean over the batch; gradients are clipped by their global norm of 5,
and descent goes at rate 0.3. The state goes on from batch to batch; each step gives its loss.

Source: W. Zaremba and others, "Recurrent neural network regularization", http://arxiv.org/abs/1409.2329.
"""

from __future__ import annotations

from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.work import Arrays, Case, Floats, random

WORDS, UNITS, LAYERS, STEPS, BATCH = 10_000, 200, 2, 20, 20
NORM, RATE, SCALE = 5.0, 0.3, 0.1
CHECKED_STEPS = 2
NAMES = ("embedding", "W1", "b1", "W2", "b2", "softmax_w", "softmax_b")
SHAPES = (
    *((WORDS, UNITS), (2 * UNITS, 4 * UNITS), (4 * UNITS,), (2 * UNITS, 4 * UNITS), (4 * UNITS,)),
    *((UNITS, WORDS), (WORDS,)),
)

Words = npt.NDArray[np.int32]


@cache
def initial() -> tuple[Floats, ...]:
    """Parameters by `NAMES`. The gates of a layer: input, candidate, forget, output."""
    return tuple(random(*shape, seed=i, low=-SCALE, high=SCALE) for i, shape in enumerate(SHAPES))


@cache
def batches() -> tuple[tuple[Words, Words], ...]:
    """Words and the words after them, int32[BATCH, STEPS]: as in a text, a few of them are much of it."""
    weights = 1.0 / np.arange(1, WORDS + 1)
    shape = BATCH, 10 * STEPS + 1
    text = np.random.default_rng(0).choice(WORDS, shape, p=weights / weights.sum()).astype(np.int32)
    starts = range(0, 10 * STEPS, STEPS)
    return tuple((text[:, i : i + STEPS].copy(), text[:, i + 1 : i + STEPS + 1].copy()) for i in starts)


def named(values: Any) -> Arrays:
    return dict(zip(NAMES, (np.asarray(value) for value in values), strict=True))


# -- flowc and TensorFlow's compat.v1 ----------------------------------------------------------------------------------


def in_flowc() -> Case:
    import flowc as tf

    cell = tf.nn.rnn_cell.MultiRNNCell([tf.nn.rnn_cell.BasicLSTMCell(UNITS, forget_bias=0.0)] * LAYERS)
    words, targets = tf.placeholder(tf.int32, [BATCH, STEPS]), tf.placeholder(tf.int32, [BATCH, STEPS])
    initial_state = tf.placeholder(tf.float32, [BATCH, cell.state_size])
    embedding = tf.get_variable("embedding", [WORDS, UNITS])
    inputs = [tf.squeeze(x, [1]) for x in tf.split(1, STEPS, tf.nn.embedding_lookup(embedding, words))]
    outputs, state = tf.nn.rnn(cell, inputs, initial_state)
    output = tf.reshape(tf.concat(1, outputs), [-1, UNITS])
    logits = tf.nn.xw_plus_b(output, tf.get_variable("w", [UNITS, WORDS]), tf.get_variable("b", [WORDS]))
    weights = tf.ones([BATCH * STEPS])
    losses = tf.nn.seq2seq.sequence_loss_by_example([logits], [tf.reshape(targets, [-1])], [weights])
    loss = tf.reduce_sum(losses) / BATCH
    variables = tf.trainable_variables()
    gradients, _ = tf.clip_by_global_norm(tf.gradients(loss, variables), NORM)
    train = tf.train.GradientDescentOptimizer(RATE).apply_gradients(zip(gradients, variables, strict=True))
    session = tf.Session()
    places = [tf.placeholder(tf.float32, shape) for shape in SHAPES]
    assigned = [tf.assign(v, place) for v, place in zip(variables, places, strict=True)]
    session.run(tf.group(*assigned), dict(zip(places, initial(), strict=True)))
    run = _GraphSteps(session, (loss, state, train), words, targets, initial_state)
    return Case(run, lambda: named(session.run(variables)))


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    words, targets = tf.placeholder(tf.int32, [BATCH, STEPS]), tf.placeholder(tf.int32, [BATCH, STEPS])
    initial_state = tf.placeholder(tf.float32, [BATCH, 2 * LAYERS * UNITS])
    variables = [tf.Variable(value, use_resource=True) for value in initial()]
    loss, state = _loss(tf, variables, words, targets, initial_state)
    gradients, _ = tf.clip_by_global_norm(tf.gradients(loss, variables), NORM)
    train = tf.train.GradientDescentOptimizer(RATE).apply_gradients(zip(gradients, variables, strict=True))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    run = _GraphSteps(session, (loss, state, train), words, targets, initial_state)
    return Case(run, lambda: named(session.run(variables)))


class _GraphSteps:
    """A session's runs, each fed the state that the last one gave."""

    def __init__(self, session: Any, fetches: Any, words: Any, targets: Any, initial_state: Any) -> None:
        self.session, self.fetches = session, fetches
        self.feeds = words, targets, initial_state
        self.batches = cycle(batches())
        self.state: Any = np.zeros((BATCH, 2 * LAYERS * UNITS), np.float32)

    def __call__(self) -> None:
        values = *next(self.batches), self.state
        _, self.state, _ = self.session.run(self.fetches, dict(zip(self.feeds, values, strict=True)))


def _loss(tf: Any, variables: Any, words: Any, targets: Any, state: Any) -> tuple[Any, Any]:
    """The loss and the last state, in TensorFlow 2's names."""
    embedding, w1, b1, w2, b2, softmax_w, softmax_b = variables
    inputs = tf.unstack(tf.gather(embedding, words), axis=1)
    states = tf.split(state, 2 * LAYERS, 1)
    for layer, (w, b) in enumerate(((w1, b1), (w2, b2))):
        c, h = states[2 * layer : 2 * layer + 2]
        for step, x in enumerate(inputs):
            i, j, f, o = tf.split(tf.matmul(tf.concat([x, h], 1), w) + b, 4, 1)
            c = c * tf.sigmoid(f) + tf.sigmoid(i) * tf.tanh(j)
            h = inputs[step] = tf.tanh(c) * tf.sigmoid(o)
        states[2 * layer : 2 * layer + 2] = c, h
    logits = tf.matmul(tf.reshape(tf.concat(inputs, 1), [-1, UNITS]), softmax_w) + softmax_b
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=tf.reshape(targets, [-1]), logits=logits)
    return tf.reduce_sum(losses) / BATCH, tf.concat(states, 1)


# -- TensorFlow 2 ------------------------------------------------------------------------------------------------------


def in_tensorflow_function() -> Case:
    return _tensorflow_case(False)


def in_tensorflow_xla() -> Case:
    return _tensorflow_case(True)


def _tensorflow_case(jit_compile: bool) -> Case:
    import tensorflow as tf

    variables = [tf.Variable(value) for value in initial()]

    @tf.function(jit_compile=jit_compile)
    def train(words: Any, targets: Any, state: Any) -> Any:
        with tf.GradientTape() as tape:
            loss, state = _loss(tf, variables, words, targets, state)
        gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, variables), NORM)
        for variable, gradient in zip(variables, gradients, strict=True):
            if isinstance(gradient, tf.IndexedSlices):
                variable.scatter_sub(tf.IndexedSlices(RATE * gradient.values, gradient.indices))
            else:
                variable.assign_sub(RATE * gradient)
        return loss, state

    data, state = cycle(batches()), tf.zeros([BATCH, 2 * LAYERS * UNITS])

    def step() -> None:
        nonlocal state
        words, targets = next(data)
        loss, state = train(tf.constant(words), tf.constant(targets), state)
        float(loss)

    return Case(step, lambda: named(variables))


# -- JAX ---------------------------------------------------------------------------------------------------------------


def in_jax() -> Case:
    return _jax_case(1)


def in_jax_unrolled() -> Case:
    return _jax_case(STEPS)


def _jax_case(unroll: int) -> Case:
    import jax
    import jax.numpy as jnp

    def layer(w: Any, b: Any, inputs: Any, state: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            c, h = state
            i, j, f, o = jnp.split(jnp.concatenate([x, h], 1) @ w + b, 4, 1)
            c = c * jax.nn.sigmoid(f) + jax.nn.sigmoid(i) * jnp.tanh(j)
            h = jnp.tanh(c) * jax.nn.sigmoid(o)
            return (c, h), h

        return jax.lax.scan(step, state, inputs, unroll=unroll)

    def loss(parameters: Any, words: Any, targets: Any, states: Any) -> Any:
        embedding, w1, b1, w2, b2, softmax_w, softmax_b = parameters
        first, hidden = layer(w1, b1, embedding[words.T], states[0])
        second, hidden = layer(w2, b2, hidden, states[1])
        logits = hidden.reshape(-1, UNITS) @ softmax_w + softmax_b
        right = jnp.take_along_axis(logits, targets.T.reshape(-1, 1), 1)[:, 0]
        losses = jax.nn.logsumexp(logits, 1) - right
        return losses.sum() / BATCH, (first, second)

    def update(parameters: Any, *batch: Any) -> Any:
        (value, states), gradients = jax.value_and_grad(loss, has_aux=True)(parameters, *batch)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradients))
        scale = RATE * NORM / jnp.maximum(norm, NORM)
        return jax.tree.map(lambda p, g: p - scale * g, parameters, gradients), value, states

    train = jax.jit(update, donate_argnums=0)
    parameters = tuple(map(jnp.asarray, initial()))
    states = tuple((jnp.zeros([BATCH, UNITS]), jnp.zeros([BATCH, UNITS])) for _ in range(LAYERS))
    data = cycle(batches())

    def step() -> None:
        nonlocal parameters, states
        parameters, value, states = train(parameters, *next(data), states)
        float(value)

    return Case(step, lambda: named(parameters))


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def _gates(value: Floats) -> Floats:
    """Between the order input, candidate, forget, output and PyTorch's: input, forget, candidate, output."""
    i, j, f, o = np.split(value, 4, -1)
    return np.concatenate([i, f, j, o], -1)


class _TorchModel:
    """The library's LSTM, with one bias a layer that is trained."""

    def __init__(self) -> None:
        import torch

        embedding, w1, b1, w2, b2, softmax_w, softmax_b = map(torch.tensor, initial())
        self.embedding = torch.nn.Embedding.from_pretrained(embedding, freeze=False)
        self.lstm = torch.nn.LSTM(UNITS, UNITS, LAYERS)
        self.projection = torch.nn.Linear(UNITS, WORDS)
        for layer, (w, b) in enumerate(((w1, b1), (w2, b2))):
            rows = torch.tensor(_gates(w.numpy()).T.copy())
            self._set(layer, rows[:, :UNITS], rows[:, UNITS:], torch.tensor(_gates(b.numpy())))
        with torch.no_grad():
            self.projection.weight.copy_(softmax_w.T)
            self.projection.bias.copy_(softmax_b)
        modules = self.embedding, self.lstm, self.projection
        self.trained = [p for module in modules for p in module.parameters() if p.requires_grad]

    def _set(self, layer: int, of_input: Any, of_state: Any, bias: Any) -> None:
        values = {"weight_ih": of_input, "weight_hh": of_state, "bias_ih": bias, "bias_hh": 0.0 * bias}
        for name, value in values.items():
            parameter = getattr(self.lstm, f"{name}_l{layer}")
            parameter.data.copy_(value)
            parameter.requires_grad_(name != "bias_hh")

    def loss(self, words: Any, targets: Any, state: Any) -> Any:
        import torch.nn.functional as F

        hidden, state = self.lstm(self.embedding(words.T), state)
        logits = self.projection(hidden.reshape(-1, UNITS))
        return F.cross_entropy(logits, targets.T.reshape(-1), reduction="sum") / BATCH, state

    def parameters(self) -> list[Any]:
        result = [self.embedding.weight.detach()]
        for layer in range(LAYERS):
            parts = [getattr(self.lstm, f"weight_{name}_l{layer}").detach().numpy() for name in ("ih", "hh")]
            result.append(_gates(np.concatenate(parts, 1).T))
            result.append(_gates(getattr(self.lstm, f"bias_ih_l{layer}").detach().numpy()))
        return [*result, self.projection.weight.detach().numpy().T, self.projection.bias.detach()]


def in_torch() -> Case:
    import torch

    model = _TorchModel()
    optimizer = torch.optim.SGD(model.trained, RATE, fused=True)
    data = cycle(batches())
    state = torch.zeros(LAYERS, BATCH, UNITS), torch.zeros(LAYERS, BATCH, UNITS)

    def step() -> None:
        nonlocal state
        words, targets = next(data)
        optimizer.zero_grad()
        loss, state = model.loss(torch.from_numpy(words), torch.from_numpy(targets).long(), state)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.trained, NORM)
        optimizer.step()
        state = tuple(part.detach() for part in state)
        loss.item()

    return Case(step, lambda: named(model.parameters()))


SYSTEMS = {
    "flowc": in_flowc,
    "tf": in_tensorflow,
    "tf.function": in_tensorflow_function,
    "tf.xla": in_tensorflow_xla,
    "jax": in_jax,
    "jax.unrolled": in_jax_unrolled,
    "torch": in_torch,
}
