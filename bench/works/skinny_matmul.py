"""The dense layer of deep MNIST alone: float32 [50, 3136] by [3136, 1024], and both gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

ROWS, TERMS, COLUMNS = 50, 3136, 1024
SHOWN = 100  # columns of each result that are compared


def values() -> Any:
    """x [rows, terms], w [terms, columns], and the gradient of their product."""
    return random(ROWS, TERMS, seed=1), random(TERMS, COLUMNS, seed=2), random(ROWS, COLUMNS, seed=3)


def shown(results: Any) -> Arrays:
    return {name: np.asarray(value[:, :SHOWN]) for name, value in zip(("y", "dx", "dw"), results, strict=True)}


def expected() -> Arrays:
    x, w, dy = (array.astype(np.float64) for array in values())
    return shown((x @ w, dy @ w.T, x.T @ dy))


def in_flowc() -> Case:
    import flowc as tf

    x, w, dy = (tf.Variable(array) for array in values())
    y = tf.matmul(x, w)
    products = [y, *tf.gradients(y, [x, w], dy)]
    sinks = [tf.Variable(tf.zeros(product.get_shape())) for product in products]
    step = tf.group(*[tf.assign(sink, product).op for sink, product in zip(sinks, products, strict=True)])
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(step), lambda: shown(session.run(sinks)))


def in_numpy() -> Case:
    x, w, dy = values()
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)

    def step() -> None:
        np.matmul(x, w, out=y)
        np.matmul(dy, w.T, out=dx)
        np.matmul(x.T, dy, out=dw)

    return Case(step, lambda: shown((y, dx, dw)))


def in_tensorflow() -> Case:
    import tensorflow as tf

    x, w, dy = (tf.constant(array) for array in values())

    @tf.function  # type: ignore[untyped-decorator]
    def products() -> Any:
        return x @ w, tf.matmul(dy, w, transpose_b=True), tf.matmul(x, dy, transpose_a=True)

    return Case(products, lambda: shown(products()))


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    arrays = tuple(jnp.asarray(array) for array in values())
    products = jax.jit(lambda x, w, dy: (x @ w, dy @ w.T, x.T @ dy))
    return Case(lambda: jax.block_until_ready(products(*arrays)), lambda: shown(products(*arrays)))


def in_torch() -> Case:
    import torch

    x, w, dy = (torch.from_numpy(array) for array in values())
    y, dx, dw = torch.empty_like(dy), torch.empty_like(x), torch.empty_like(w)

    def step() -> None:
        torch.mm(x, w, out=y)
        torch.mm(dy, w.T, out=dx)
        torch.mm(x.T, dy, out=dw)

    return Case(step, lambda: shown((y, dx, dw)))


WORK = Work(
    name="skinny_matmul",
    title="50×3136 by 3136×1024 and both gradients",
    targets=(Target(1.0), Target(0.95, "native.numpy")),
    systems={
        "flowc": in_flowc,
        "native.numpy": in_numpy,
        "tf.function": in_tensorflow,
        "jax": in_jax,
        "torch": in_torch,
    },
    expected=expected,
    check_steps=1,
    rtol=1e-3,
    atol=1e-2,
)
