"""Gradients of a graph against finite differences.

The theoretical Jacobian has a column an element of y: the gradient of x for a gradient of y that is 1 there and 0 else.
The numerical one has a row an element of x: the central difference (y(x + delta) - y(x - delta)) / (2 delta).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import flowc as tf

Array = np.ndarray[Any, Any]
Jacobians = tuple[Array, Array]


def compute_gradient(
    x: Any,
    x_shape: Any,
    y: Any,
    y_shape: Any,
    x_init_value: Any = None,
    delta: float = 1e-3,
    init_targets: Sequence[Any] | None = None,
) -> Jacobians | list[Jacobians]:
    """The Jacobian of y by x in two ways, in the default session. Adds operations to the graph.

    Args:
        x: a tensor of floating-point type, or a list of them.
        x_shape: its shape, or the list of their shapes.
        y: a tensor of floating-point type; y_shape: its shape.
        x_init_value: where to differentiate, an array of `x_shape` (or the list of them); by default a random one.
        delta: how far to go to each side for the numerical Jacobian.
        init_targets: operations to run first, such as initializers.

    Returns:
        The theoretical and the numerical Jacobian, both [elements of x, elements of y]; for a list x, a list of pairs.

    Raises:
        ValueError: there is no default session, x or y is not of floating-point type, or no gradient leads from y to x.
    """
    session = tf.get_default_session()
    if session is None:
        raise ValueError("compute_gradient runs in the default session: use it in `with tf.Session():`.")
    for target in init_targets or ():
        session.run(target)
    if not isinstance(x, list):
        return _Check(session, x, x_shape, y, y_shape).jacobians(x_init_value, delta)
    values = [None] * len(x) if x_init_value is None else x_init_value
    return [
        _Check(session, part, shape, y, y_shape).jacobians(value, delta)
        for part, shape, value in zip(x, x_shape, values, strict=True)
    ]


def compute_gradient_error(
    x: Any,
    x_shape: Any,
    y: Any,
    y_shape: Any,
    x_init_value: Any = None,
    delta: float = 1e-3,
    init_targets: Sequence[Any] | None = None,
) -> float:
    """The greatest difference between the two Jacobians of `compute_gradient`, whose arguments it takes."""
    found = compute_gradient(x, x_shape, y, y_shape, x_init_value, delta, init_targets)
    pairs = found if isinstance(found, list) else [found]
    return max((float(np.abs(a - b).max()) for a, b in pairs if a.size), default=0.0)


class _Check:
    """The gradient of one tensor x."""

    def __init__(self, session: Any, x: Any, x_shape: Any, y: Any, y_shape: Any) -> None:
        for tensor in (x, y):
            if not tensor.dtype.is_floating:
                raise ValueError(f"Gradients are checked of floating-point tensors, not of {tensor!r}")
        self._session, self._x, self._y = session, x, y
        self._x_shape, self._y_shape = tuple(x_shape), tuple(y_shape)
        self._dy = tf.constant(np.ones(self._y_shape), dtype=y.dtype.base_dtype)
        (self._dx,) = tf.gradients(y, x, self._dy)
        if self._dx is None:
            raise ValueError(f"No gradient leads from {y.name!r} to {x.name!r}.")

    def jacobians(self, value: Any, delta: float) -> Jacobians:
        """Both Jacobians at `value`, or at a random place."""
        dtype = self._x.dtype.base_dtype.as_numpy_dtype
        at = np.asarray(np.random.random_sample(self._x_shape) if value is None else value).astype(dtype)
        return self._theoretical(at), self._numerical(at, delta)

    def _theoretical(self, x: Array) -> Array:
        dy = np.zeros(self._y_shape, self._y.dtype.base_dtype.as_numpy_dtype)
        jacobian = np.zeros((x.size, dy.size), x.dtype)
        for column in range(dy.size):
            dy.flat[column] = 1
            jacobian[:, column] = self._gradient(x, dy).reshape(-1)
            dy.flat[column] = 0
        if not jacobian.size and self._gradient(x, dy).shape != x.shape:
            raise ValueError(f"The gradient of an empty tensor has shape {self._gradient(x, dy).shape}, not {x.shape}.")
        return jacobian

    def _gradient(self, x: Array, dy: Array) -> Array:
        found = self._session.run(self._dx, {self._x: x, self._dy: dy})
        if not isinstance(self._dx, tf.IndexedSlices):
            return np.asarray(found)
        dense = np.zeros_like(x)
        np.add.at(dense, found.indices, found.values)
        return dense

    def _numerical(self, x: Array, delta: float) -> Array:
        jacobian = np.zeros((x.size, int(np.prod(self._y_shape, dtype=np.int64))), x.dtype)
        for row in range(x.size):
            above, below = self._value(x, row, delta), self._value(x, row, -delta)
            jacobian[row] = (above - below).reshape(-1) / (2 * delta)
        return jacobian

    def _value(self, x: Array, element: int, step: float) -> Array:
        moved = x.copy()
        moved.flat[element] += step
        return np.asarray(self._session.run(self._y, {self._x: moved}))
