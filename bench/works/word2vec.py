"""A skip-gram training step with noise-contrastive loss: 128 pairs of 50,000 words from NumPy, 64 words drawn.

Vectors of 128 numbers, gradient descent at rate 1. The drawn words are random in each system, so what is compared is
the mean of many losses of one batch before training.
"""

from __future__ import annotations

import math
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.work import Arrays, Case, Floats, Target, Work, random

WORDS, SIZE, BATCH, NEGATIVES = 50_000, 128, 128, 64
RATE = 1.0
LOSSES = 1000  # whose mean is compared: they differ by some 6 %

Batch = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]


@cache
def initial() -> tuple[Floats, ...]:
    """The words' vectors; weights and biases of what they predict."""
    bound = 1 / math.sqrt(SIZE)
    weights = random(WORDS, SIZE, seed=1, low=-bound, high=bound)
    return random(WORDS, SIZE, seed=0), weights, np.zeros(WORDS, np.float32)


@cache
def batches() -> tuple[Batch, ...]:
    """Words int32[BATCH], and words near them int64[BATCH, 1]: the n-th most frequent word is 1/n of a text."""
    chances = 1.0 / np.arange(1, WORDS + 1)
    text = np.random.default_rng(0).choice(WORDS, (50, 2, BATCH), p=chances / chances.sum())
    return tuple((words.astype(np.int32), near[:, None].astype(np.int64)) for words, near in text)


def _drawn(rng: np.random.Generator, chances: Any) -> tuple[Any, float]:
    """Different words, drawn one by one, and how many draws that took."""
    draws = rng.choice(WORDS, 1000, p=chances)
    _, firsts = np.unique(draws, return_index=True)
    firsts = np.sort(firsts)[:NEGATIVES]
    return draws[firsts], firsts[-1] + 1


@cache
def expected() -> Arrays:
    """The mean loss. Each score is less the logarithm of how often its word is expected among those drawn."""
    vectors, weights, _ = (value.astype(np.float64) for value in initial())
    words, near = batches()[0]
    ranks = np.arange(WORDS)
    chances = np.log((ranks + 2) / (ranks + 1)) / np.log(WORDS + 1)
    chances /= chances.sum()
    scores = vectors[words] @ weights.T
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(LOSSES):
        drawn, draws = _drawn(rng, chances)
        counts = -np.expm1(draws * np.log1p(-chances))
        true = np.take_along_axis(scores, near, 1)[:, 0] - np.log(counts[near[:, 0]])
        false = scores[:, drawn] - np.log(counts[drawn])
        total += float(np.mean(np.logaddexp(0, -true) + np.logaddexp(0, false).sum(1)))
    return {"loss": np.array(total / LOSSES)}


def _in_graph(tf: Any, nce_loss: Any, initializer: Any) -> Case:
    words, near = tf.placeholder(tf.int32, [BATCH]), tf.placeholder(tf.int64, [BATCH, 1])
    vectors, weights, biases = (tf.Variable(value) for value in initial())
    inputs = tf.nn.embedding_lookup(vectors, words)
    loss = tf.reduce_mean(nce_loss(weights, biases, inputs, near))
    train = tf.train.GradientDescentOptimizer(RATE).minimize(loss)
    session = tf.Session()
    session.run(initializer())
    data = cycle(batches())
    feeds = dict(zip((words, near), batches()[0], strict=True))
    before = np.mean([session.run(loss, feeds) for _ in range(LOSSES)])

    def step() -> None:
        session.run([loss, train], dict(zip((words, near), next(data), strict=True)))

    return Case(step, lambda: {"loss": before})


def in_flowc() -> Case:
    import flowc as tf

    def nce_loss(weights: Any, biases: Any, inputs: Any, near: Any) -> Any:
        return tf.nn.nce_loss(weights, biases, inputs, near, NEGATIVES, WORDS)

    return _in_graph(tf, nce_loss, tf.initialize_all_variables)


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    def nce_loss(weights: Any, biases: Any, inputs: Any, near: Any) -> Any:
        return tf.nn.nce_loss(weights, biases, near, inputs, NEGATIVES, WORDS)

    return _in_graph(tf, nce_loss, tf.global_variables_initializer)


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    vectors, weights, biases = variables = [tf.Variable(value) for value in initial()]

    @tf.function
    def loss(words: Any, near: Any) -> Any:
        inputs = tf.nn.embedding_lookup(vectors, words)
        return tf.reduce_mean(tf.nn.nce_loss(weights, biases, near, inputs, NEGATIVES, WORDS))

    @tf.function
    def train(words: Any, near: Any) -> Any:
        with tf.GradientTape() as tape:
            value = loss(words, near)
        for variable, gradient in zip(variables, tape.gradient(value, variables), strict=True):
            variable.scatter_sub(tf.IndexedSlices(RATE * gradient.values, gradient.indices))
        return value

    data = cycle(batches())
    before = np.mean([loss(*map(tf.constant, batches()[0])).numpy() for _ in range(LOSSES)])
    return Case(lambda: train(*map(tf.constant, next(data))).numpy(), lambda: {"loss": before})


SYSTEMS = {"flowc": in_flowc, "tf": in_tensorflow, "tf.function": in_tensorflow_function}

WORK = Work(
    name="word2vec",
    title="word2vec step, batch 128, 64 negatives, 50,000 words",
    targets=(Target(0.5, "tf"),),
    systems=SYSTEMS,
    expected=expected,
    rtol=1e-2,
)
