"""Colours of pixels, three float32 values each: `rgb_to_hsv`, `hsv_to_rgb`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import grain, kernel
from flowc.codegen.templates import Launch, Pointer, template

# Unit: one pixel. Words: pixels, result. A divisor of 0 becomes 1: its quotient is not used, or 0 as it should be.
RGB_TO_HSV: Final = """
def rgb_to_hsv(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], 0)
    y = ptr_f32(a[1], 1)
    for i in wide_range(lo, hi):
        red = x[3 * i]
        green = x[3 * i + 1]
        blue = x[3 * i + 2]
        value = maximum(maximum(red, green), blue)
        spread = value - minimum(minimum(red, green), blue)
        scale = 1.0 / select(spread == 0, 1.0, 6.0 * spread)
        of_green = (blue - red) * scale + f32({THIRD})
        of_blue = (red - green) * scale + f32({TWO_THIRDS})
        hue = select(red == value, (green - blue) * scale, select(green == value, of_green, of_blue))
        hue = select(hue < 0, hue + 1.0, hue)
        y[3 * i] = select(spread == 0, 0.0, hue)
        y[3 * i + 1] = select(value > 0, spread / select(value > 0, value, 1.0), 0.0)
        y[3 * i + 2] = value
"""

HSV_TO_RGB: Final = """
def hsv_to_rgb(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_f32(a[0], 0)
    y = ptr_f32(a[1], 1)
    for i in wide_range(lo, hi):
        sixths = 6.0 * x[3 * i]
        saturation = x[3 * i + 1]
        value = x[3 * i + 2]
        rest = 1.0 - saturation
        red = minimum(maximum(abs(sixths - 3.0) - 1.0, 0.0), 1.0)
        green = minimum(maximum(2.0 - abs(sixths - 2.0), 0.0), 1.0)
        blue = minimum(maximum(2.0 - abs(sixths - 4.0), 0.0), 1.0)
        y[3 * i] = (rest + saturation * red) * value
        y[3 * i + 1] = (rest + saturation * green) * value
        y[3 * i + 2] = (rest + saturation * blue) * value
"""

_PIXEL_WORK: Final = 12  # of one pixel, in elements moved


def _pixels(call: Node, text: str) -> Sequence[Launch]:
    code = kernel(text, THIRD=repr(1 / 3), TWO_THIRDS=repr(2 / 3))
    return [Launch(code, (Pointer(0), Pointer(-1)), call.size // 3, grain(_PIXEL_WORK), 8 * call.size)]


@template("rgb_to_hsv")
def rgb_to_hsv(call: Node) -> Sequence[Launch]:
    """Red, green and blue to hue, saturation and value."""
    return _pixels(call, RGB_TO_HSV)


@template("hsv_to_rgb")
def hsv_to_rgb(call: Node) -> Sequence[Launch]:
    """And back."""
    return _pixels(call, HSV_TO_RGB)
