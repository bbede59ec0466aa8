"""Patterns of ops on small images: convolutions, pooling, normalisation, resizing."""

from __future__ import annotations

from tests.fuzz.generate import Generator, api, pattern
from tests.fuzz.program import Ref

MOST = 4000  # elements of an image that something is made of


def _images(g: Generator) -> Ref:
    """Images that are there, or new ones: a constant, or a tensor in another shape."""
    found = g.pick("f", lambda r: len(g.shape(r)) == 4 and 0 < g.size(r) <= MOST and g.dtype(r) == "float32")
    if found is not None and g.chance(0.7):
        return found
    flat = g.pick("f", lambda r: g.dtype(r) == "float32" and 4 <= g.size(r) <= MOST and g.size(r) % 4 == 0)
    if flat is not None and g.chance(0.5):
        return g.add("reshape", flat, [1, 2, g.size(flat) // 4, 2])
    sizes = [g.random.choice(choices) for choices in ((1, 2, 3), (3, 5, 8), (2, 4, 7), (1, 2, 3, 4))]
    return g.constant(sizes, "float32")


def _strides(g: Generator, height: int, width: int) -> list[int]:
    """At most the window's sizes."""
    return [1, g.random.randint(1, min(height, 2)), g.random.randint(1, min(width, 2)), 1]


def _window(g: Generator, x: Ref) -> tuple[int, int, str]:
    """Height and width of a window, and a padding with which it fits."""
    _, height, width, _ = g.shape(x)
    return g.random.randint(1, min(3, height)), g.random.randint(1, min(3, width)), api(["SAME", "VALID"], g)


@pattern(0.4)
def convolution(g: Generator) -> None:
    x = _images(g)
    height, width, padding = _window(g, x)
    channels = g.shape(x)[3]
    if g.chance(0.3):
        kernel = g.constant((height, width, channels, g.random.choice([1, 2])), "float32")
        stride = g.random.randint(1, min(height, width, 2))
        g.add("nn.depthwise_conv2d", x, kernel, [1, stride, stride, 1], padding)
        return
    kernel = g.constant((height, width, channels, g.random.choice([1, 3, 4, 8])), "float32")
    y = g.add("nn.conv2d", x, kernel, _strides(g, height, width), padding)
    if g.chance(0.6):
        y = g.add("nn.bias_add", y, g.constant(g.shape(y)[3:], "float32"))
        g.add("nn.relu", y)


@pattern(0.4)
def pooling(g: Generator) -> None:
    x = _images(g)
    height, width, padding = _window(g, x)
    g.add(api(["nn.max_pool", "nn.avg_pool"], g), x, [1, height, width, 1], _strides(g, height, width), padding)


@pattern(0.15)
def local_response(g: Generator) -> None:
    g.add("nn.local_response_normalization", _images(g), g.random.choice([1, 2]), 1.0, 0.5, 0.5)


@pattern(0.2)
def resized(g: Generator) -> None:
    kind = api(["resize_bilinear", "resize_nearest_neighbor"], g)
    g.add(f"image.{kind}", _images(g), [g.random.choice([2, 5, 9]), g.random.choice([3, 4, 7])])
