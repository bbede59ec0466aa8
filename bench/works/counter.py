"""The guide's counter: state = state + 1, and the new value comes back to Python."""

from __future__ import annotations

import numpy as np

from bench.work import Arrays, Case, Target, Work

STEPS = 3


def expected() -> Arrays:
    return {"state": np.asarray(STEPS)}


def in_flowc() -> Case:
    import flowc as tf

    state = tf.Variable(0, name="counter")
    update = tf.assign(state, tf.add(state, tf.constant(1)))
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(update), lambda: {"state": session.run(state)})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    state = tf.Variable(0, name="counter")
    update = tf.assign(state, tf.add(state, tf.constant(1)))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(update), lambda: {"state": session.run(state)})


def in_tensorflow_function() -> Case:
    import tensorflow as tf

    state = tf.Variable(0)
    update = tf.function(lambda: state.assign_add(1))
    return Case(lambda: update().numpy(), lambda: {"state": state})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    update = jax.jit(lambda state: state + 1, donate_argnums=0)
    state = jnp.zeros((), jnp.int32)

    def step() -> int:
        nonlocal state
        state = update(state)
        return int(state)

    return Case(step, lambda: {"state": state})


def in_torch() -> Case:
    import torch

    state = torch.zeros((), dtype=torch.int32)
    return Case(lambda: state.add_(1).item(), lambda: {"state": state})


WORK = Work(
    name="counter",
    title="counter step",
    targets=(Target(0.08, "tf"), Target(0.5, "jax")),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.function": in_tensorflow_function,
        "jax": in_jax,
        "torch": in_torch,
    },
    expected=expected,
    check_steps=STEPS,
    atol=0.0,
)
