"""A step of the guide's raindrops on a pond: 500×500 float32, wave equation with damping, zero boundary.

U' = U + ε Ut;  Ut' = Ut + ε (∇²U - damping · Ut), both from the old values; ∇² is a 3×3 stencil. The scalars are fed.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work, random

SIZE = 500
EPSILON, DAMPING = 0.03, 0.04
STENCIL = np.array([[0.5, 1.0, 0.5], [1.0, -6.0, 1.0], [0.5, 1.0, 0.5]], np.float32)
STEPS = 5


def pond() -> Any:
    """Rain on 40 places of a still pond."""
    u = np.zeros((SIZE, SIZE), np.float32)
    places = np.random.default_rng(0).integers(0, SIZE, (2, 40))
    u[tuple(places)] = random(40, seed=1, low=0.0)
    return u


def laplacian(p: Any) -> Any:
    """∇² by slicing nine times from the array padded with zeros, [502, 502]; the same expression in every system."""
    n, m, k = SIZE, SIZE + 1, SIZE + 2
    edges = p[0:n, 1:m] + p[1:m, 0:n] + p[1:m, 2:k] + p[2:k, 1:m]
    corners = p[0:n, 0:n] + p[0:n, 2:k] + p[2:k, 0:n] + p[2:k, 2:k]
    return edges + 0.5 * corners - 6.0 * p[1:m, 1:m]


def advance(u: Any, ut: Any, padded: Any, epsilon: Any, damping: Any) -> tuple[Any, Any]:
    return u + epsilon * ut, ut + epsilon * (laplacian(padded) - damping * ut)


def expected() -> Arrays:
    u = pond().astype(np.float64)
    ut = np.zeros_like(u)
    for _ in range(STEPS):
        u, ut = advance(u, ut, np.pad(u, 1), EPSILON, DAMPING)
    return {"U": u, "Ut": ut}


def in_flowc() -> Case:
    import flowc as tf

    epsilon, damping = tf.placeholder(tf.float32, shape=()), tf.placeholder(tf.float32, shape=())
    u, ut = tf.Variable(pond()), tf.Variable(np.zeros((SIZE, SIZE), np.float32))
    u_, ut_ = advance(u, ut, tf.pad(u, [[1, 1], [1, 1]]), epsilon, damping)
    update = tf.group(u.assign(u_), ut.assign(ut_))
    session = tf.Session()
    session.run(tf.initialize_all_variables())

    def step() -> None:
        session.run(update, {epsilon: EPSILON, damping: DAMPING})

    return Case(step, lambda: dict(zip(("U", "Ut"), session.run([u, ut]), strict=True)))


def _in_tensorflow(by_convolution: bool) -> Case:
    import tensorflow.compat.v1 as tf

    epsilon, damping = tf.placeholder(tf.float32, shape=()), tf.placeholder(tf.float32, shape=())
    u, ut = tf.Variable(pond()), tf.Variable(np.zeros((SIZE, SIZE), np.float32))
    if by_convolution:
        image = tf.reshape(u, [1, SIZE, SIZE, 1])
        stencil = tf.reshape(tf.constant(STENCIL), [3, 3, 1, 1])
        laplace = tf.reshape(tf.nn.conv2d(image, stencil, [1, 1, 1, 1], "SAME"), [SIZE, SIZE])
        u_, ut_ = u + epsilon * ut, ut + epsilon * (laplace - damping * ut)
    else:
        u_, ut_ = advance(u, ut, tf.pad(u, [[1, 1], [1, 1]]), epsilon, damping)
    with tf.control_dependencies([u_, ut_]):  # both from the old values
        update = tf.group(u.assign(u_), ut.assign(ut_))
    session = tf.Session()
    session.run(tf.global_variables_initializer())

    def step() -> None:
        session.run(update, {epsilon: EPSILON, damping: DAMPING})

    return Case(step, lambda: dict(zip(("U", "Ut"), session.run([u, ut]), strict=True)))


def in_tensorflow() -> Case:
    return _in_tensorflow(by_convolution=False)


def in_tensorflow_convolution() -> Case:
    import tensorflow as tf

    with tf.Graph().as_default():
        return _in_tensorflow(by_convolution=True)


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    u, ut = tf.Variable(pond()), tf.Variable(np.zeros((SIZE, SIZE), np.float32))

    def move(epsilon: Any, damping: Any) -> None:
        u_, ut_ = advance(u, ut, tf.pad(u, [[1, 1], [1, 1]]), epsilon, damping)
        u.assign(u_)
        ut.assign(ut_)

    update = tf.function(move, jit_compile=True)
    scalars = tf.constant(EPSILON), tf.constant(DAMPING)
    return Case(lambda: update(*scalars), lambda: {"U": u, "Ut": ut})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    def move(u: Any, ut: Any, epsilon: Any, damping: Any) -> Any:
        return advance(u, ut, jnp.pad(u, 1), epsilon, damping)

    update = jax.jit(move, donate_argnums=(0, 1))
    u, ut = jnp.asarray(pond()), jnp.zeros((SIZE, SIZE))

    def step() -> None:
        nonlocal u, ut
        u, ut = update(u, ut, EPSILON, DAMPING)
        ut.block_until_ready()

    return Case(step, lambda: {"U": u, "Ut": ut})


def in_torch() -> Case:
    """By slicing, measured faster here than `conv2d` with one channel."""
    import torch

    u, ut = torch.from_numpy(pond()), torch.zeros(SIZE, SIZE)

    def step() -> None:
        nonlocal u, ut
        with torch.inference_mode():
            u, ut = advance(u, ut, torch.nn.functional.pad(u, (1, 1, 1, 1)), EPSILON, DAMPING)

    return Case(step, lambda: {"U": u, "Ut": ut})


def in_torch_compile() -> Case:
    import torch

    u, ut = torch.from_numpy(pond()), torch.zeros(SIZE, SIZE)

    def move(u: Any, ut: Any, epsilon: float, damping: float) -> Any:
        return advance(u, ut, torch.nn.functional.pad(u, (1, 1, 1, 1)), epsilon, damping)

    update = torch.compile(move, fullgraph=True)

    def step() -> None:
        nonlocal u, ut
        with torch.inference_mode():
            u, ut = update(u, ut, EPSILON, DAMPING)

    return Case(step, lambda: {"U": u, "Ut": ut})


WORK = Work(
    name="pde",
    title="PDE step, 500×500, by slicing",
    targets=(Target(1.0),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.conv": in_tensorflow_convolution,
        "tf.xla": in_tensorflow_xla,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    check_steps=STEPS,
)
