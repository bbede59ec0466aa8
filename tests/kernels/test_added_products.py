"""Gradient descent on a matrix: its gradient, a product, is added to the matrix in place, where that is the same."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import flowc as tf


def descend(dtype: str, rate: Any, fetch_gradient: bool = False) -> tuple[Any, Sequence[str], Any]:
    """One step on W of x·W; the new W, the kernels that ran, and what W should be."""
    rng = np.random.default_rng(0)
    inputs, start = rng.normal(size=(33, 20)).astype(dtype), rng.normal(size=(20, 7)).astype(dtype)
    with tf.Graph().as_default() as graph:
        x = tf.placeholder(dtype, [None, 20])
        w = tf.Variable(start)
        loss = tf.reduce_sum(tf.matmul(x, w))
        (gradient,) = tf.gradients(loss, [w])
        speed = tf.placeholder(dtype, []) if rate == "fed" else tf.constant(rate, dtype)
        step = tf.assign_sub(w, speed * gradient)
        fetches = [step.op, gradient] if fetch_gradient else [step.op]
        feeds = {x: inputs, **({speed: 0.5} if rate == "fed" else {})}
        with tf.Session(graph=graph) as session:
            session.run(w.initializer)
            plan = session.plan(fetches, feeds).plan
            session.run(fetches, feeds)
            factor = 0.5 if rate == "fed" else rate
            expected = start - factor * (inputs.T @ np.ones((33, 7), dtype))
            return session.run(w), [kernel.name for kernel in plan.kernels], expected


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rate", [0.25, 1.0, -3.0])
def test_the_step_is_one_product(dtype: str, rate: float) -> None:
    result, kernels, expected = descend(dtype, rate)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert any(name.startswith("gemm_add") for name in kernels)


@pytest.mark.parametrize(("rate", "fetch_gradient"), [("fed", False), (0.25, True)])
def test_not_where_the_gradient_or_the_rate_is_needed(rate: Any, fetch_gradient: bool) -> None:
    result, kernels, expected = descend("float32", rate, fetch_gradient)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert not any(name.startswith("gemm_add") for name in kernels)
