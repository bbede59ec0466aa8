"""A loop of a million updates of one number, x ← 0.999 x + 1, in one run: what an iteration of a loop costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work

COUNT = 1_000_000
DECAY, STEP, START = 0.999, 1.0, 0.0


def expected() -> Arrays:
    decay, step = float(np.float32(DECAY)), float(np.float32(STEP))
    fixed_point = step / (1.0 - decay)
    return {"x": np.asarray(fixed_point + (START - fixed_point) * decay**COUNT)}


def _looped(tf: Any, x: Any) -> Any:
    """x after the loop, as a script of the graph API has it."""
    _, last = tf.while_loop(lambda i, _: i < COUNT, lambda i, x: [i + 1, x * DECAY + STEP], [tf.constant(0), x])
    return last


def in_flowc() -> Case:
    import flowc as tf

    x = tf.placeholder(tf.float32, [])
    last = _looped(tf, x)
    session = tf.Session()
    return Case(lambda: session.run(last, {x: START}), lambda: {"x": session.run(last, {x: START})})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    x = tf.placeholder(tf.float32, [])
    last = _looped(tf, x)
    session = tf.Session()
    return Case(lambda: session.run(last, {x: START}), lambda: {"x": session.run(last, {x: START})})


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    last = tf.function(lambda x: _looped(tf, x), jit_compile=True)
    start = tf.constant(START)
    return Case(lambda: last(start).numpy(), lambda: {"x": last(start)})


def in_jax() -> Case:
    import jax

    def update(state: tuple[Any, Any]) -> tuple[Any, Any]:
        i, x = state
        return i + 1, x * DECAY + STEP

    last = jax.jit(lambda x: jax.lax.while_loop(lambda state: state[0] < COUNT, update, (0, x))[1])
    return Case(lambda: np.asarray(last(np.float32(START))), lambda: {"x": last(np.float32(START))})


WORK = Work(
    name="while_loop",
    title="while loop, 1,000,000 updates of a number",
    targets=(Target(0.02, "tf"), Target(2.0, "jax")),
    systems={"flowc": in_flowc, "tf": in_tensorflow, "tf.xla": in_tensorflow_xla, "jax": in_jax},
    expected=expected,
    check_steps=1,
    rtol=1e-3,
    slow=("tf",),
)
