"""A step of the guide's Mandelbrot set on a 600×520 complex64 grid: z ← z² + c, and count the points still near.

zs' = zs · zs + xs; ns ← ns + (|zs'| < 4); zs ← zs'. Points that escape go on to infinity and NaN, as in the guide.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.work import Arrays, Case, Target, Work

STEPS = 8
HEIGHT, WIDTH = 520, 600


def grid() -> Any:
    y, x = np.mgrid[-1.3:1.3:0.005, -2:1:0.005][:, :HEIGHT, :WIDTH]
    return (x + 1j * y).astype(np.complex64)


def expected() -> Arrays:
    xs = grid().astype(np.complex128)
    zs, ns = xs.copy(), np.zeros(xs.shape)
    with np.errstate(all="ignore"):
        for _ in range(STEPS):
            zs = zs * zs + xs
            ns += np.abs(zs) < 4
    return {"ns": ns}


def in_flowc() -> Case:
    import flowc as tf

    xs = tf.constant(grid())
    zs, ns = tf.Variable(xs), tf.Variable(tf.zeros([HEIGHT, WIDTH], tf.float32))
    zs_ = zs * zs + xs
    not_diverged = tf.complex_abs(zs_) < 4
    update = tf.group(zs.assign(zs_), ns.assign_add(tf.cast(not_diverged, tf.float32)))
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    return Case(lambda: session.run(update), lambda: {"ns": session.run(ns)})


def in_tensorflow() -> Case:
    import tensorflow.compat.v1 as tf

    xs = tf.constant(grid())
    zs, ns = tf.Variable(xs), tf.Variable(tf.zeros([HEIGHT, WIDTH], tf.float32))
    zs_ = zs * zs + xs
    not_diverged = tf.abs(zs_) < 4
    update = tf.group(zs.assign(zs_), ns.assign_add(tf.cast(not_diverged, tf.float32)))
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return Case(lambda: session.run(update), lambda: {"ns": session.run(ns)})


def in_tensorflow_xla() -> Case:
    import tensorflow as tf

    xs = tf.constant(grid())
    zs, ns = tf.Variable(xs), tf.Variable(tf.zeros([HEIGHT, WIDTH]))

    def advance() -> None:
        zs.assign(zs * zs + xs)
        ns.assign_add(tf.cast(tf.abs(zs) < 4, tf.float32))

    return Case(tf.function(advance, jit_compile=True), lambda: {"ns": ns})


def in_jax() -> Case:
    import jax
    import jax.numpy as jnp

    xs = jnp.asarray(grid())
    zs, ns = jnp.array(grid()), jnp.zeros((HEIGHT, WIDTH))

    def advance(zs: Any, ns: Any, xs: Any) -> Any:
        zs = zs * zs + xs
        return zs, ns + (jnp.abs(zs) < 4)

    update = jax.jit(advance, donate_argnums=(0, 1))

    def step() -> None:
        nonlocal zs, ns
        zs, ns = update(zs, ns, xs)
        ns.block_until_ready()

    return Case(step, lambda: {"ns": ns})


def in_torch() -> Case:
    import torch

    xs = torch.from_numpy(grid())
    zs, ns = xs.clone(), torch.zeros(HEIGHT, WIDTH)

    def step() -> None:
        with torch.inference_mode():
            zs.mul_(zs).add_(xs)
            ns.add_(zs.abs() < 4)

    return Case(step, lambda: {"ns": ns})


def in_torch_compile() -> Case:
    """Real and imaginary parts apart: torch.compile makes no kernels for complex numbers, its users split them."""
    import torch

    xs = torch.view_as_real(torch.from_numpy(grid())).movedim(2, 0).contiguous()
    zs, ns = xs.clone(), torch.zeros(HEIGHT, WIDTH)

    def advance(zs: Any, ns: Any, xs: Any) -> None:
        real, imaginary = zs[0] * zs[0] - zs[1] * zs[1] + xs[0], 2 * zs[0] * zs[1] + xs[1]
        ns.add_((real * real + imaginary * imaginary).sqrt() < 4)
        zs[0].copy_(real)
        zs[1].copy_(imaginary)

    update = torch.compile(advance, fullgraph=True)

    def step() -> None:
        with torch.inference_mode():
            update(zs, ns, xs)

    return Case(step, lambda: {"ns": ns})


WORK = Work(
    name="mandelbrot",
    title="Mandelbrot step, 600×520 complex64",
    targets=(Target(1.0),),
    systems={
        "flowc": in_flowc,
        "tf": in_tensorflow,
        "tf.xla": in_tensorflow_xla,
        "jax": in_jax,
        "torch": in_torch,
        "torch.compile": in_torch_compile,
    },
    expected=expected,
    check_steps=STEPS,
)
