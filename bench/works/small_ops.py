"""A graph of 10,000 small ops: 100 columns of float32[16], 50 layers of y[j] ← tanh(y[j]) + y[j+1]; the sum is fetched.

What it costs to build it and to run it the first time, and what each later run costs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

WIDTH, DEPTH, SIZE = 100, 50, 16
X = random(WIDTH, SIZE, seed=1)


def layers(columns: list[Any], tanh: Callable[[Any], Any]) -> list[Any]:
    for _ in range(DEPTH):
        neighbours = columns[1:] + columns[:1]
        columns = [tanh(column) + neighbour for column, neighbour in zip(columns, neighbours, strict=True)]
    return columns


def expected() -> Arrays:
    return {"sum": np.asarray(sum(layers(list(X.astype(np.float64)), np.tanh)))}


def in_flowc() -> Case:
    import flowc as tf

    x = tf.placeholder(tf.float32, [WIDTH, SIZE])
    total = tf.add_n(layers(tf.unpack(x), tf.tanh))
    session = tf.Session()
    return Case(lambda: session.run(total, {x: X}), lambda: {"sum": session.run(total, {x: X})})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x = tf.placeholder(tf.float32, [WIDTH, SIZE])
    total = tf.add_n(layers(tf.unstack(x), tf.tanh))
    session = tf.Session()
    return Case(lambda: session.run(total, {x: X}), lambda: {"sum": session.run(total, {x: X})})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    total = jax.jit(lambda x: reduce(add, layers(list(x), jnp.tanh)))
    return Case(lambda: np.asarray(total(X)), lambda: {"sum": total(X)})


def _in_torch(compiled: bool) -> Case:
    import torch

    def total(x: Any) -> Any:
        return torch.stack(layers(list(x.unbind()), torch.tanh)).sum(dim=0)

    function = torch.compile(total) if compiled else total

    def step() -> Any:
        with torch.inference_mode():
            return function(torch.from_numpy(X)).numpy()

    return Case(step, lambda: {"sum": step()})


def in_torch() -> Case:
    return _in_torch(compiled=False)


def in_torch_compile() -> Case:
    return _in_torch(compiled=True)


WORK = Work(
    name="small_ops",
    title="graph of 10,000 small ops, each run",
    targets=(Target(0.1, "tf"),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    rtol=1e-3,
    atol=1e-3,
    slow=("jax", "torch.compile"),
)
