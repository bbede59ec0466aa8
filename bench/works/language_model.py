"""A training step of the small LSTM language model, words fed from NumPy; and what NumPy makes of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from bench.language_model import BATCH, CHECKED_STEPS, LAYERS, NORM, RATE, SYSTEMS, UNITS, batches, initial, named
from bench.work import Arrays, Target, Work


def _sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def _layer(w: Any, b: Any, inputs: list[Any], state: Any) -> tuple[list[Any], list[Any]]:
    """The states (memory, output) before and after each step; and the gates of each, after their functions."""
    states, gates = [state], []
    for x in inputs:
        c, h = states[-1]
        i, j, f, o = np.split(np.concatenate([x, h], 1) @ w + b, 4, 1)
        i, j, f, o = _sigmoid(i), np.tanh(j), _sigmoid(f), _sigmoid(o)
        c = c * f + i * j
        states.append((c, np.tanh(c) * o))
        gates.append((i, j, f, o))
    return states, gates


def _layer_gradients(w: Any, inputs: list[Any], states: list[Any], gates: list[Any], errors: list[Any]) -> list[Any]:
    """[of w, of b, of each input]; `errors`: the gradient of each output."""
    grad_w, grad_b, grads = 0.0, 0.0, []
    dc = dh = np.zeros((BATCH, UNITS))
    for t in reversed(range(len(inputs))):
        (c_before, h_before), (c, _), (i, j, f, o) = states[t], states[t + 1], gates[t]
        dh = dh + errors[t]
        dc = dc + dh * o * (1 - np.tanh(c) ** 2)
        slopes = i * (1 - i) * j, (1 - j * j) * i, f * (1 - f) * c_before
        sums = np.concatenate([*(dc * slope for slope in slopes), dh * np.tanh(c) * o * (1 - o)], 1)
        grad_w, grad_b = grad_w + np.concatenate([inputs[t], h_before], 1).T @ sums, grad_b + sums.sum(0)
        dx, dh = np.split(sums @ w.T, 2, 1)
        dc = dc * f
        grads.append(dx)
    return [grad_w, grad_b, grads[::-1]]


def _gradients(parameters: list[Any], words: Any, targets: Any, start: list[Any]) -> tuple[list[Any], list[Any]]:
    """The parameters' gradients, and the layers' last states."""
    embedding, w1, b1, w2, b2, softmax_w, softmax_b = parameters
    inputs = list(embedding[words].transpose(1, 0, 2))
    states1, gates1 = _layer(w1, b1, inputs, start[0])
    between = [h for _, h in states1[1:]]
    states2, gates2 = _layer(w2, b2, between, start[1])
    hidden = np.stack([h for _, h in states2[1:]])
    error = hidden @ softmax_w + softmax_b
    error = np.exp(error - error.max(-1, keepdims=True))
    error /= error.sum(-1, keepdims=True) * BATCH
    np.put_along_axis(error, targets.T[..., None], np.take_along_axis(error, targets.T[..., None], -1) - 1 / BATCH, -1)
    of_softmax = np.tensordot(hidden, error, ([0, 1], [0, 1])), error.sum((0, 1))
    *second, errors = _layer_gradients(w2, between, states2, gates2, list(error @ softmax_w.T))
    *first, errors = _layer_gradients(w1, inputs, states1, gates1, errors)
    of_embedding = np.zeros_like(embedding)
    np.add.at(of_embedding, words.T, np.stack(errors))
    return [of_embedding, *first, *second, *of_softmax], [states1[-1], states2[-1]]


@cache
def expected() -> Arrays:
    parameters: list[Any] = [value.astype(np.float64) for value in initial()]
    states: list[Any] = [(np.zeros((BATCH, UNITS)),) * 2] * LAYERS
    for words, targets in batches()[:CHECKED_STEPS]:
        gradients, states = _gradients(parameters, words, targets, states)
        norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
        scale = RATE * min(1.0, NORM / norm)
        parameters = [p - scale * g for p, g in zip(parameters, gradients, strict=True)]
    return named(parameters)


WORK = Work(
    name="language_model",
    title="LSTM language model step, 2 layers of 200, 20 steps, batch 20",
    targets=(Target(0.7),),
    systems=SYSTEMS,
    expected=expected,
    check_steps=CHECKED_STEPS,
    rtol=1e-3,
)
