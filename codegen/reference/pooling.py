"""What pooling means, window by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide
from flowc.framework.windows import image_windows

Window = tuple[int, int, slice, slice]  # its place among the windows, and the rows and columns that it covers


def _windows(op: ReferenceOp, image: Sequence[int]) -> Iterator[Window]:
    """The windows over an image [batch, height, width, channels], cut at its border."""
    rows, columns = image_windows(op.attrs, image[1:3], op.attrs["ksize"][1:3])
    for i in range(rows.count):
        top = i * rows.stride - rows.before
        for j in range(columns.count):
            left = j * columns.stride - columns.before
            yield i, j, slice(max(top, 0), top + rows.size), slice(max(left, 0), left + columns.size)


def _counts(op: ReferenceOp, image: Sequence[int]) -> tuple[int, int]:
    rows, columns = image_windows(op.attrs, image[1:3], op.attrs["ksize"][1:3])
    return rows.count, columns.count


def _is_over_depth(op: ReferenceOp) -> bool:
    return bool(op.attrs["ksize"][3] != 1)


def _split_depth(op: ReferenceOp, x: Array) -> Array:
    size = op.attrs["ksize"][3]
    return x.reshape(*x.shape[:3], x.shape[3] // size, size)


@reference("MaxPool")
def _max_pool(op: ReferenceOp, x: Array) -> Array:
    """The greatest element of every window; NaN if there is one."""
    if _is_over_depth(op):
        return np.asarray(_split_depth(op, x).max(-1))
    result = np.empty((x.shape[0], *_counts(op, x.shape), x.shape[3]), x.dtype)
    for i, j, rows, columns in _windows(op, x.shape):
        result[:, i, j] = x[:, rows, columns].max((1, 2))
    return result


@reference("MaxPoolGrad")
def _max_pool_grad(op: ReferenceOp, x: Array, pooled: Array, grad: Array) -> Array:
    """A window's gradient goes to the first of its greatest elements, row by row."""
    result = np.zeros(x.shape, wide(grad).dtype)
    if _is_over_depth(op):
        parts = _split_depth(op, x)
        spread = _split_depth(op, result)
        np.put_along_axis(spread, parts.argmax(-1)[..., None], wide(grad)[..., None], -1)
        return spread.reshape(x.shape)
    chosen = _argmax(op, x)
    np.add.at(result.reshape(-1), chosen.reshape(-1), wide(grad).reshape(-1))
    return result


def _argmax(op: ReferenceOp, x: Array) -> Array:
    """Where in x the first of the greatest elements of every window stands."""
    places = np.arange(x.size).reshape(x.shape)
    result = np.zeros((x.shape[0], *_counts(op, x.shape), x.shape[3]), np.int64)
    for i, j, rows, columns in _windows(op, x.shape):
        part = x[:, rows, columns]
        flat = (x.shape[0], part.shape[1] * part.shape[2], x.shape[3])
        first = part.reshape(flat).argmax(1)
        result[:, i, j] = np.take_along_axis(places[:, rows, columns].reshape(flat), first[:, None], 1)[:, 0]
    return result


@reference("MaxPoolWithArgmax")
def _max_pool_with_argmax(op: ReferenceOp, x: Array) -> list[Any]:
    """The maxima, and their indices in x."""
    return [_max_pool(op, x), _argmax(op, x)]


@reference("MaxPoolGradWithArgmax")
def _max_pool_grad_with_argmax(op: ReferenceOp, x: Array, grad: Array, argmax: Array) -> Array:
    """Gradients added at indices in x, or in their own image of x."""
    if argmax.size and (argmax.min() < 0 or argmax.max() >= x.size):
        invalid(f"argmax holds indices that are not in [0, {x.size})")
    result = np.zeros(x.shape, wide(grad).dtype)
    for image, values, indices in zip(result, wide(grad), argmax, strict=True):
        np.add.at(image.reshape(-1), indices.reshape(-1) % max(image.size, 1), values.reshape(-1))
    return result


@reference("AvgPool")
def _avg_pool(op: ReferenceOp, x: Array) -> Array:
    """The mean of the elements of every window that lie in the image."""
    result = np.empty((x.shape[0], *_counts(op, x.shape), x.shape[3]), wide(x).dtype)
    for i, j, rows, columns in _windows(op, x.shape):
        result[:, i, j] = wide(x)[:, rows, columns].mean((1, 2))
    return result


@reference("AvgPoolGrad")
def _avg_pool_grad(op: ReferenceOp, sizes: Array, grad: Array) -> Array:
    """Every window's gradient in equal parts to its elements."""
    shape = [int(size) for size in sizes]
    result = np.zeros(shape, wide(grad).dtype)
    for i, j, rows, columns in _windows(op, shape):
        part = result[:, rows, columns]
        part += (wide(grad)[:, i, j] / max(part.shape[1] * part.shape[2], 1))[:, None, None]
    return result
