"""Convolutions alone: of each of some layers the forward pass and both gradients, in every system.

Images are [batch, height, width, channels] and filters [rows, columns, channels, filters], but for PyTorch, where they
are the same numbers by its own order of dimensions. A first layer's images need no gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.work import Arrays, Case, Floats, Target, Work, random

LayerArrays = tuple[Floats, Floats, Floats]


@dataclass(frozen=True)
class Layer:
    """A convolution of square images with square windows; `padded`: with zeros that keep the size."""

    batch: int
    size: int
    channels: int
    filters: int
    window: int
    stride: int = 1
    padded: bool = True
    is_first: bool = False

    @property
    def padding(self) -> int:
        """Zeros on each side."""
        return self.window // 2 if self.padded else 0

    @property
    def results(self) -> int:
        """Results in a row, and rows of them."""
        return (self.size + 2 * self.padding - self.window) // self.stride + 1

    @property
    def mode(self) -> str:
        return "SAME" if self.padded else "VALID"

    def arrays(self) -> LayerArrays:
        """Images, filter and the gradient of the results."""
        return (
            random(self.batch, self.size, self.size, self.channels, seed=1),
            random(self.window, self.window, self.channels, self.filters, seed=2, low=-0.1, high=0.1),
            random(self.batch, self.results, self.results, self.filters, seed=3),
        )


# -- what is compared: a corner of each result, of all of which it is known whether they are right --------------------


def corners(values: Sequence[Sequence[Any]]) -> Arrays:
    """The first pixel of the results and of the images' gradient, and of the filter's gradient one pair of channels;
    `values`: the three of each layer, the images' gradient None for a first one."""
    found: Arrays = {}
    for i, (y, dx, dw) in enumerate(values):
        found[f"y{i}"] = np.asarray(y[0, 0, 0])
        found[f"dw{i}"] = np.asarray(dw[:, :, 0, 0])
        if dx is not None:
            found[f"dx{i}"] = np.asarray(dx[0, 0, 0])
    return found


def expected_corners(layers: Sequence[Layer]) -> Arrays:
    """The same by NumPy, in float64."""
    found: Arrays = {}
    for i, layer in enumerate(layers):
        x, w, dy = (array.astype(np.float64) for array in layer.arrays())
        p, s, k, n = layer.padding, layer.stride, layer.window, layer.results
        around = [(0, 0), (p, p), (p, p)]
        found[f"y{i}"] = np.einsum("abc,abco->o", np.pad(x[0], [(p, p), (p, p), (0, 0)])[:k, :k], w)
        one, last = np.pad(x[..., 0], around), s * (n - 1) + 1
        taps = [[np.vdot(one[:, a : a + last : s, b : b + last : s], dy[..., 0]) for b in range(k)] for a in range(k)]
        found[f"dw{i}"] = np.array(taps)
        if not layer.is_first:
            met = [a for a in range(p + 1) if (p - a) % s == 0]
            found[f"dx{i}"] = sum(w[a, b] @ dy[0, (p - a) // s, (p - b) // s] for a in met for b in met)
    return found


# -- the systems -------------------------------------------------------------------------------------------------------


def in_flowc(layers: Sequence[Layer]) -> Case:
    import flowc as tf

    stored, steps = [], []
    for layer in layers:
        x, w, dy = (tf.Variable(array) for array in layer.arrays())
        y = tf.nn.conv2d(x, w, [1, layer.stride, layer.stride, 1], layer.mode)
        wanted = [w] if layer.is_first else [w, x]
        values = [y, *tf.gradients(y, wanted, dy)]
        sinks = [tf.Variable(np.zeros(value.get_shape().as_list(), np.float32)) for value in values]
        steps += [tf.assign(sink, value).op for sink, value in zip(sinks, values, strict=True)]
        stored.append(sinks)
    session = tf.Session()
    session.run(tf.initialize_all_variables())
    step = tf.group(*steps)

    def result() -> Arrays:
        values = [session.run(sinks) for sinks in stored]
        return corners([(y, dx[0] if dx else None, dw) for y, dw, *dx in values])

    return Case(lambda: session.run(step), result)


def in_tensorflow(layers: Sequence[Layer]) -> Case:
    import tensorflow as tf

    inputs = [tuple(tf.constant(array) for array in layer.arrays()) for layer in layers]

    @tf.function  # type: ignore[untyped-decorator]
    def pass_both_ways() -> list[Any]:
        found = []
        for layer, (x, w, dy) in zip(layers, inputs, strict=True):
            with tf.GradientTape() as tape:
                tape.watch((x, w))
                y = tf.nn.conv2d(x, w, layer.stride, layer.mode)
            dx, dw = (None, tape.gradient(y, w, dy)) if layer.is_first else tape.gradient(y, (x, w), dy)
            found.append((y, dx, dw))
        return found

    return Case(pass_both_ways, lambda: corners(pass_both_ways()))


def in_jax(layers: Sequence[Layer]) -> Case:
    import jax
    import jax.numpy as jnp

    inputs = [tuple(jnp.asarray(array) for array in layer.arrays()) for layer in layers]

    def both_ways(layer: Layer, x: Any, w: Any, dy: Any) -> Any:
        def convolve(x: Any, w: Any) -> Any:
            order = ("NHWC", "HWIO", "NHWC")
            return jax.lax.conv_general_dilated(x, w, (layer.stride,) * 2, layer.mode, dimension_numbers=order)

        if layer.is_first:
            y, pull = jax.vjp(lambda w: convolve(x, w), w)
            return y, None, pull(dy)[0]
        y, pull = jax.vjp(convolve, x, w)
        return y, *pull(dy)

    @jax.jit
    def pass_both_ways(inputs: Any) -> Any:
        return [both_ways(layer, *arrays) for layer, arrays in zip(layers, inputs, strict=True)]

    return Case(lambda: jax.block_until_ready(pass_both_ways(inputs)), lambda: corners(pass_both_ways(inputs)))


def in_torch(layers: Sequence[Layer], channels_last: bool) -> Case:
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format

    def tensors(layer: Layer) -> Any:
        orders = ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
        return [
            torch.from_numpy(array).permute(order).contiguous(memory_format=layout)
            for array, order in zip(layer.arrays(), orders, strict=True)
        ]

    inputs = [tensors(layer) for layer in layers]

    @torch.no_grad()
    def pass_both_ways() -> list[Any]:
        found = []
        for layer, (x, w, dy) in zip(layers, inputs, strict=True):
            stride, padding = [layer.stride] * 2, [layer.padding] * 2
            y = torch.nn.functional.conv2d(x, w, None, stride, padding)
            wanted = [not layer.is_first, True, False]
            dx, dw, _ = torch.ops.aten.convolution_backward(
                dy, x, w, None, stride, padding, [1, 1], False, [0, 0], 1, wanted
            )
            found.append((y, dx, dw))
        return found

    def result() -> Arrays:
        turned = [
            (y.permute(0, 2, 3, 1), None if dx is None else dx.permute(0, 2, 3, 1), dw.permute(2, 3, 1, 0))
            for y, dx, dw in pass_both_ways()
        ]
        return corners(turned)

    return Case(pass_both_ways, result)


def convolution_work(name: str, title: str, layers: Sequence[Layer], ratio: float) -> Work:
    """The work of passing both ways through `layers`, one after the other."""
    systems: dict[str, Callable[[], Case]] = {
        "flowc": partial(in_flowc, layers),
        "tf.function": partial(in_tensorflow, layers),
        "jax": partial(in_jax, layers),
        "torch": partial(in_torch, layers, channels_last=True),
        "torch.nchw": partial(in_torch, layers, channels_last=False),
    }
    expected = partial(expected_corners, layers)
    return Work(name, title, (Target(ratio),), systems, expected, check_steps=1, rtol=1e-3, atol=1e-2)
