"""What the ops on images mean."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, floor

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide

Weigh = Callable[[int, np.float32], Iterator[tuple[int, float]]]  # (output pixel, input pixels a pixel) -> its parts

# -- sizes -------------------------------------------------------------------------------------------------------------


def _nearest(i: int, scale: np.float32) -> Iterator[tuple[int, float]]:
    yield floor(np.float32(i) * scale), 1.0


def _bilinear(i: int, scale: np.float32) -> Iterator[tuple[int, float]]:
    at = np.float32(i) * scale
    part = float(at - np.floor(at))
    yield floor(at), 1 - part
    yield floor(at) + 1, part


def _bicubic(i: int, scale: np.float32) -> Iterator[tuple[int, float]]:
    at = np.float32(i) * scale
    part = round(float(at - np.floor(at)) * 1024) / 1024
    for k in (-1, 0, 1, 2):
        d = abs(part - k)
        inner = 1.25 * d**3 - 2.25 * d**2 + 1
        yield floor(at) + k, inner if d <= 1 else -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)


def _area(i: int, scale: np.float32) -> Iterator[tuple[int, float]]:
    begin, end = float(np.float32(i) * scale), float(np.float32(i + 1) * scale)
    for pixel in range(floor(begin), ceil(end)):
        yield pixel, (min(end, pixel + 1) - max(begin, pixel)) / float(scale)


def _matrix(weigh: Weigh, n: int, m: int) -> Array:
    """The [m, n] matrix that takes n pixels to m; pixels beyond the edge are the one at the edge."""
    matrix = np.zeros((m, n))
    for i in range(m):
        for pixel, weight in weigh(i, np.float32(n) / np.float32(m)):
            matrix[i, min(max(pixel, 0), n - 1)] += weight
    return matrix


_RESIZE = {
    "ResizeArea": _area,
    "ResizeBicubic": _bicubic,
    "ResizeBilinear": _bilinear,
    "ResizeNearestNeighbor": _nearest,
}


@reference(*_RESIZE)
def _resize(op: ReferenceOp, images: Array, size: Array) -> Array:
    _, height, width, _ = images.shape
    if not (height and width):
        invalid(f"input image must be of non-zero size, not {list(images.shape)}")
    down, across = (_matrix(_RESIZE[op.type], n, int(m)) for n, m in zip((height, width), size, strict=True))
    if op.type == "ResizeNearestNeighbor":  # not by weights: 0 times infinity is NaN
        return np.asarray(images[:, down.argmax(1)][:, :, across.argmax(1)])
    return np.asarray(np.einsum("yh,bhwc,xw->byxc", down, wide(images), across))


@reference("ResizeBilinearGrad")
def _resize_bilinear_grad(op: ReferenceOp, grads: Array, images: Array) -> Array:
    return _resized_back(_bilinear, grads, images.shape[1:3])


@reference("ResizeNearestNeighborGrad")
def _resize_nearest_grad(op: ReferenceOp, grads: Array, size: Array) -> Array:
    return _resized_back(_nearest, grads, tuple(size.tolist()))


def _resized_back(weigh: Weigh, grads: Array, size: tuple[int, ...]) -> Array:
    """The transposed map."""
    down, across = (_matrix(weigh, n, m) for n, m in zip(size, grads.shape[1:3], strict=True))
    return np.asarray(np.einsum("yh,byxc,xw->bhwc", down, wide(grads), across))


# -- colours -----------------------------------------------------------------------------------------------------------


@reference("RGBToHSV")
def _rgb_to_hsv(op: ReferenceOp, images: Array) -> Array:
    """Hue: 0 for red, 1/3 for green, 2/3 for blue and 0 for greys; saturation: (greatest - least) / greatest."""
    rgb = wide(images)
    red, green, blue = np.moveaxis(rgb, -1, 0)
    value = rgb.max(-1)
    spread = value - rgb.min(-1)
    sixths = np.where(
        red == value,
        (green - blue) / spread,
        np.where(green == value, 2 + (blue - red) / spread, 4 + (red - green) / spread),
    )
    hue = np.where(spread == 0, 0, np.where(sixths < 0, sixths + 6, sixths) / 6)
    return np.stack([hue, np.where(value > 0, spread / value, 0), value], -1)


@reference("HSVToRGB")
def _hsv_to_rgb(op: ReferenceOp, images: Array) -> Array:
    """The hue's distance from red, green and blue, at most 2 sixths of the circle, says how much of each there is."""
    hue, saturation, value = np.moveaxis(wide(images), -1, 0)
    sixths = hue * 6
    amounts = [np.abs(sixths - 3) - 1, 2 - np.abs(sixths - 2), 2 - np.abs(sixths - 4)]
    return np.stack([value * (1 - saturation + saturation * np.clip(amount, 0, 1)) for amount in amounts], -1)


@reference("AdjustContrast")
def _adjust_contrast(op: ReferenceOp, images: Array, factor: Array, least: Array, greatest: Array) -> Array:
    images = wide(images)
    mean = images.mean((-3, -2), keepdims=True)
    return np.asarray(np.clip(mean + (images - mean) * factor, least, greatest))


# -- parts -------------------------------------------------------------------------------------------------------------


@reference("RandomCrop", random=True)
def _random_crop(op: ReferenceOp, image: Array, size: Array) -> Array:
    height, width = (int(n) for n in size)
    if height > image.shape[0] or width > image.shape[1]:
        invalid(f"The crop of size {size.tolist()} is larger than the image of shape {list(image.shape)}")
    top = int(op.generator.integers(image.shape[0] - height + 1))
    left = int(op.generator.integers(image.shape[1] - width + 1))
    return np.asarray(image[top : top + height, left : left + width])


@reference("ExtractGlimpse", random=True)
def _extract_glimpse(op: ReferenceOp, images: Array, size: Array, offsets: Array) -> Array:
    result = np.empty((images.shape[0], *size.tolist(), images.shape[3]))
    for image, offset, glimpse in zip(wide(images), offsets, result, strict=True):
        glimpse[...] = _noise(op, image, glimpse.shape)
        _copy_window(
            image, glimpse, [_corner(op, n, m, at) for n, m, at in zip(image.shape, size, offset, strict=False)]
        )
    return result


def _corner(op: ReferenceOp, n: int, m: int, at: float) -> int:
    """Where a window of m pixels around `at` begins in an image of n."""
    centre = float(at) * (n if op.attrs["normalized"] else 1)
    if op.attrs["centered"]:
        centre = (centre + n) / 2
    return int(centre - m / 2)


def _copy_window(image: Array, window: Array, corner: list[int]) -> None:
    for place in np.ndindex(window.shape[:2]):
        y, x = (p + c for p, c in zip(place, corner, strict=True))
        if 0 <= y < image.shape[0] and 0 <= x < image.shape[1]:
            window[place] = image[y, x]


def _noise(op: ReferenceOp, image: Array, shape: tuple[int, ...]) -> Array:
    if op.attrs["uniform_noise"]:
        return op.generator.uniform(image.min(), image.max(), shape)
    return op.generator.normal(image.mean(), image.std(), shape)
