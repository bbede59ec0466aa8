"""Adam's update of 3.28 Mi parameters whose gradient is in memory: what the optimizer itself costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Array, Arrays, BandwidthTarget, Case, Work, random

SHAPE = (3280, 1024)
RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
STEPS = 3


def values() -> list[Array]:
    """Parameters and gradient, none of it so small that where a system adds EPSILON is of account."""
    return [random(*SHAPE, seed=1), random(*SHAPE, seed=2, low=0.1)]


def expected() -> Arrays:
    p, g = (value.astype(np.float64) for value in values())
    m, v = np.zeros_like(p), np.zeros_like(p)
    for step in range(1, STEPS + 1):
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
        p = p - RATE * np.sqrt(1 - BETA2**step) / (1 - BETA1**step) * m / (np.sqrt(v) + EPSILON)
    return {"p": p}


def _in_graph(tf: Any, initializer: Any) -> Case:
    p, g = (tf.Variable(value) for value in values())
    train = tf.train.AdamOptimizer(RATE).apply_gradients([(g + 0.0, p)])
    session = tf.Session()
    session.run(initializer())
    return Case(lambda: session.run(train), lambda: {"p": session.run(p)})


def in_flowc() -> Case:
    import flowc as tf

    return _in_graph(tf, tf.initialize_all_variables)


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    return _in_graph(tf, tf.global_variables_initializer)


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def update(state: Any, g: Any) -> Any:
        p, m, v, powers = state
        m, v = BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g
        rate = RATE * jnp.sqrt(1 - powers[1]) / (1 - powers[0])
        return p - rate * m / (jnp.sqrt(v) + EPSILON), m, v, (powers[0] * BETA1, powers[1] * BETA2)

    train = jax.jit(update, donate_argnums=0)
    p, g = map(jnp.asarray, values())
    state = (p, jnp.zeros(SHAPE), jnp.zeros(SHAPE), (BETA1, BETA2))

    def step() -> None:
        nonlocal state
        state = train(state, g)
        state[0].block_until_ready()

    return Case(step, lambda: {"p": state[0]})


def in_torch() -> Case:
    import torch

    p, g = map(torch.tensor, values())
    p.requires_grad_()
    p.grad = g
    optimizer = torch.optim.Adam([p], RATE, (BETA1, BETA2), EPSILON, fused=True)
    return Case(optimizer.step, lambda: {"p": p.detach()})


WORK = Work(
    name="adam",
    title="Adam over 3.28 Mi parameters",
    targets=(BandwidthTarget(0.8, "triad"),),
    systems={"flowc": in_flowc, "tf": in_tensorflow, "jax": in_jax, "torch": in_torch},
    expected=expected,
    check_steps=STEPS,
    rtol=1e-3,
    bytes_moved=7 * 4 * int(np.prod(SHAPE)),
    beside=("triad",),
)
