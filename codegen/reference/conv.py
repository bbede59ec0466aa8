"""What convolutions mean: sums over the taps of the filter, each a product of matrices or of channels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, reference, wide
from flowc.framework.windows import Windows, image_windows


@dataclass(frozen=True)
class _Geometry:
    """Where the windows of a convolution lie over an image of `shape`."""

    shape: Sequence[int]
    down: Windows
    across: Windows

    @property
    def result(self) -> tuple[int, int, int]:
        """[batch, rows, columns] of the results."""
        return self.shape[0], self.down.count, self.across.count

    def padded(self) -> Array:
        """Zeros in the padded image's shape."""
        batch, height, width, channels = self.shape
        rows = height + self.down.before + self.down.after(height)
        return np.zeros((batch, rows, width + self.across.before + self.across.after(width), channels))

    def inside(self, padded: Array) -> Array:
        """The part of a padded image that is the image itself."""
        _, height, width, _ = self.shape
        top, left = self.down.before, self.across.before
        return padded[:, top : top + height, left : left + width]

    def taps(self, padded: Array) -> Iterator[tuple[int, int, Array]]:
        """For each tap of the filter: its row and column, and the view of a padded image that it multiplies."""
        for i in range(self.down.size):
            rows = padded[:, i : i + (self.down.count - 1) * self.down.stride + 1 : self.down.stride]
            for j in range(self.across.size):
                last = j + (self.across.count - 1) * self.across.stride + 1
                yield i, j, rows[:, :, j : last : self.across.stride]


def _geometry(op: ReferenceOp, image: Sequence[int], filter: Sequence[int]) -> _Geometry:
    return _Geometry(tuple(image), *image_windows(op.attrs, image[1:3], filter[:2]))


def _padded(geometry: _Geometry, image: Array) -> Array:
    padded = geometry.padded()
    geometry.inside(padded)[...] = image
    return padded


@reference("Conv2D")
def _conv2d(op: ReferenceOp, image: Array, filter: Array) -> Array:
    geometry = _geometry(op, image.shape, filter.shape)
    result = np.zeros((*geometry.result, filter.shape[3]))
    for i, j, part in geometry.taps(_padded(geometry, image)):
        result += part @ wide(filter[i, j])
    return result


@reference("Conv2DBackpropInput")
def _conv2d_backprop_input(op: ReferenceOp, sizes: Array, filter: Array, grad: Array) -> Array:
    geometry = _geometry(op, sizes.tolist(), filter.shape)
    padded = geometry.padded()
    for i, j, part in geometry.taps(padded):
        part += wide(grad) @ wide(filter[i, j]).T
    return geometry.inside(padded)


@reference("Conv2DBackpropFilter")
def _conv2d_backprop_filter(op: ReferenceOp, image: Array, sizes: Array, grad: Array) -> Array:
    geometry = _geometry(op, image.shape, sizes.tolist())
    result = np.zeros(sizes.tolist())
    for i, j, part in geometry.taps(_padded(geometry, image)):
        result[i, j] = np.einsum("bhwi,bhwo->io", part, wide(grad))
    return result


@reference("DepthwiseConv2dNative")
def _depthwise(op: ReferenceOp, image: Array, filter: Array) -> Array:
    geometry = _geometry(op, image.shape, filter.shape)
    result = np.zeros((*geometry.result, *filter.shape[2:]))
    for i, j, part in geometry.taps(_padded(geometry, image)):
        result += part[..., None] * wide(filter[i, j])
    return _joined(result)


@reference("DepthwiseConv2dNativeBackpropInput")
def _depthwise_backprop_input(op: ReferenceOp, sizes: Array, filter: Array, grad: Array) -> Array:
    geometry = _geometry(op, sizes.tolist(), filter.shape)
    padded = geometry.padded()
    by_channel = _split(wide(grad), filter.shape[2:])
    for i, j, part in geometry.taps(padded):
        part += (by_channel * wide(filter[i, j])).sum(-1)
    return geometry.inside(padded)


@reference("DepthwiseConv2dNativeBackpropFilter")
def _depthwise_backprop_filter(op: ReferenceOp, image: Array, sizes: Array, grad: Array) -> Array:
    geometry = _geometry(op, image.shape, sizes.tolist())
    result = np.zeros(sizes.tolist())
    by_channel = _split(wide(grad), sizes.tolist()[2:])
    for i, j, part in geometry.taps(_padded(geometry, image)):
        result[i, j] = (part[..., None] * by_channel).sum((0, 1, 2))
    return result


def _joined(x: Array) -> Array:
    """The last two dimensions, channel and multiple, as one."""
    return x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])


def _split(x: Array, sizes: Sequence[int]) -> Array:
    """The last dimension as channel and multiple."""
    return x.reshape(*x.shape[:-1], *sizes)
