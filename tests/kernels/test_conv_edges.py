"""Windows of convolutions above and below the image: their rows are left out, of the results and of both gradients."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from tests.kernels.batch import Array, values


def convolved(x: Array, w: Array, stride: int) -> Array:
    """The "SAME" convolution of images by a filter of odd size, in float64."""
    size, rows = w.shape[0], -(-x.shape[1] // stride)
    columns = -(-x.shape[2] // stride)
    lengths = zip((rows, columns), x.shape[1:3], strict=True)
    outside = [max((count - 1) * stride + size - length, 0) for count, length in lengths]
    padded = np.pad(x.astype(np.float64), [(0, 0), *((p // 2, p - p // 2) for p in outside), (0, 0)])
    total = np.zeros((x.shape[0], rows, columns, w.shape[3]))
    for i in range(size):
        for j in range(size):
            part = padded[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
            total += part @ w[i, j].astype(np.float64)
    return total


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("height", "size"), [(1, 7), (2, 7), (3, 5), (6, 5), (20, 3)])
def test_rows_of_windows_outside_are_left_out(graph: tf.Graph, height: int, size: int, stride: int) -> None:
    x, w = values((2, height, 16, 20), "float32"), values((size, size, 20, 33), "float32", seed=1)
    image, filter = tf.placeholder(tf.float32, x.shape), tf.placeholder(tf.float32, w.shape)
    y = tf.nn.conv2d(image, filter, [1, stride, stride, 1], "SAME")
    expected = convolved(x, w, stride)
    g = values(expected.shape, "float32", seed=2)
    with tf.Session() as session:
        fetches = [y, *tf.gradients(y, [image, filter], [tf.constant(g)])]
        got, by_image, by_filter = session.run(fetches, {image: x, filter: w})
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-3)
    # y is linear in both: its gradients are those that give these inner products
    for array, gradient, changed in ((x, by_image, lambda d: (d, w)), (w, by_filter, lambda d: (x, d))):
        direction = values(array.shape, "float32", seed=3)
        want = np.vdot(g.astype(np.float64), convolved(*changed(direction), stride))
        np.testing.assert_allclose(np.vdot(gradient.astype(np.float64), direction), want, rtol=1e-3, atol=1e-1)
