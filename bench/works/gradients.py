"""A chain of 10,000 small ops and its gradients: 3,333 times y ← tanh(w y + x) on float32[16]; Σy, ∂Σy/∂x and ∂Σy/∂w.

What a recurrent network costs that is unrolled into the graph: to build and run the first time, and each later run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work

DEPTH, SIZE = 3333, 16
X = np.linspace(-1, 1, SIZE, dtype=np.float32)
W = np.linspace(0.5, 1.1, SIZE, dtype=np.float32)


def chain(x: Any, w: Any, tanh: Callable[[Any], Any]) -> Any:
    y = x
    for _ in range(DEPTH):
        y = tanh(y * w + x)
    return y


def expected() -> Arrays:
    x, w = X.astype(np.float64), W.astype(np.float64)
    y, by_x, by_w = x, np.ones(SIZE), np.zeros(SIZE)
    for _ in range(DEPTH):
        before, y = y, np.tanh(y * w + x)
        slope = 1 - y * y
        by_x, by_w = slope * (w * by_x + 1), slope * (w * by_w + before)
    return {"sum": np.asarray(y.sum()), "by_x": by_x, "by_w": by_w}


def named(values: Any) -> dict[str, Any]:
    return dict(zip(("sum", "by_x", "by_w"), values, strict=True))


def in_flowc() -> Case:
    import flowc as tf

    x, w = tf.placeholder(tf.float32, [SIZE]), tf.placeholder(tf.float32, [SIZE])
    total = tf.reduce_sum(chain(x, w, tf.tanh))
    fetches = [total, *tf.gradients(total, [x, w])]
    session = tf.Session()
    return Case(lambda: session.run(fetches, {x: X, w: W}), lambda: named(session.run(fetches, {x: X, w: W})))


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x, w = tf.placeholder(tf.float32, [SIZE]), tf.placeholder(tf.float32, [SIZE])
    total = tf.reduce_sum(chain(x, w, tf.tanh))
    fetches = [total, *tf.gradients(total, [x, w])]
    session = tf.Session()
    return Case(lambda: session.run(fetches, {x: X, w: W}), lambda: named(session.run(fetches, {x: X, w: W})))


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    function = jax.jit(jax.value_and_grad(lambda x, w: chain(x, w, jnp.tanh).sum(), argnums=(0, 1)))

    def step() -> list[Any]:
        total, (by_x, by_w) = function(X, W)
        return [np.asarray(total), np.asarray(by_x), np.asarray(by_w)]

    return Case(step, lambda: named(step()))


def in_torch() -> Case:
    import torch

    def step() -> list[Any]:
        x, w = torch.tensor(X, requires_grad=True), torch.tensor(W, requires_grad=True)
        total = chain(x, w, torch.tanh).sum()
        return [total.detach().numpy(), *(each.numpy() for each in torch.autograd.grad(total, (x, w)))]

    return Case(step, lambda: named(step()))


WORK = Work(
    name="gradients",
    title="chain of 10,000 small ops and its gradients, each run",
    targets=(Target(0.3, "tf"),),
    systems={"flowc": in_flowc, "tf": in_tensorflow, "jax": in_jax, "torch": in_torch},
    expected=expected,
    rtol=1e-3,
    atol=1e-3,
    slow=("jax",),
)
