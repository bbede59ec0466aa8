"""Pooling of images [batch, height, width, channels], and its gradients as ops of their own.

No forward op keeps which element of a window was the greatest: the gradients find it again, which costs less than to
store it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flowc.framework.building import apply, apply_list
from flowc.framework.dtypes import INDEX, REAL, DType, as_dtype, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import Shapes, shape_from_value
from flowc.framework.shapes import TensorShape
from flowc.framework.windows import checked_padding, checked_strides, window_count
from flowc.ops.array_ops import reshape, shape_of, zeros_like
from flowc.ops.slicing_ops import gather

__all__ = ["MaxPoolWithArgmax", "avg_pool", "max_pool", "max_pool_with_argmax"]

# -- shapes ------------------------------------------------------------------------------------------------------------


def _sizes(attrs: Mapping[str, Any], what: str) -> tuple[list[int], list[int]]:
    """`ksize` and `strides`; ValueError where they go over the batch."""
    ksize, strides = checked_strides(attrs["ksize"], "ksize"), checked_strides(attrs["strides"])
    if ksize[0] != 1:
        raise ValueError(f"Current implementation does not support pooling in the batch{what}: ksize {ksize}")
    if strides[0] != 1:
        raise ValueError(f"Current implementation does not support strides in the batch{what}: {strides}")
    return ksize, strides


def _pooled(image: TensorShape, attrs: Mapping[str, Any], ksize: Sequence[int], strides: Sequence[int]) -> TensorShape:
    """The shape after pooling over height and width."""
    batch, height, width, channels = image.with_rank(4).as_list()
    padding = checked_padding(attrs["padding"])
    for length, size in ((height, ksize[1]), (width, ksize[2])):
        if length is not None and size > length > 0:
            raise ValueError(f"filter must not be larger than the input: ksize {list(ksize)}, input {image}")
    if strides[1] > ksize[1] or strides[2] > ksize[2]:
        raise ValueError(
            f"stride must be less than or equal to filter size: strides {list(strides)}, ksize {list(ksize)}"
        )
    down = window_count(height, ksize[1], strides[1], padding)
    across = window_count(width, ksize[2], strides[2], padding)
    return TensorShape((batch, down, across, channels))


def _average_output(image: TensorShape, attrs: Mapping[str, Any]) -> TensorShape:
    ksize, strides = _sizes(attrs, " and depth dimensions")
    if ksize[3] != 1:
        raise ValueError(
            f"Current implementation does not support pooling in the batch and depth dimensions: ksize {ksize}"
        )
    if strides[3] != 1:
        raise ValueError(
            f"Current implementation does not support strides in the batch and depth dimensions: {strides}"
        )
    return _pooled(image, attrs, ksize, strides)


def _max_output(image: TensorShape, attrs: Mapping[str, Any]) -> TensorShape:
    ksize, strides = _sizes(attrs, " dimension")
    if ksize[3] == 1 and strides[3] == 1:
        return _pooled(image, attrs, ksize, strides)
    if ksize[1] != 1 or ksize[2] != 1:
        raise ValueError(
            f"MaxPooling supports exactly one of pooling across depth or pooling across width/height: ksize {ksize}"
        )
    if ksize[3] != strides[3]:
        raise ValueError(
            f"Depthwise max pooling requires the depth window to equal the depth stride: {ksize[3]}, {strides[3]}"
        )
    channels = image.with_rank(4).as_list()[3]
    if channels is not None and channels % ksize[3]:
        raise ValueError(
            f"Depthwise max pooling requires the depth window to evenly divide the input depth: {ksize[3]}, {channels}"
        )
    pooled = _pooled(image, attrs, ksize, strides).as_list()
    return TensorShape((*pooled[:3], None if channels is None else channels // ksize[3]))


def _max_shape(ctx: ShapeContext) -> Shapes:
    return (_max_output(ctx.shapes[0], ctx.attrs),)


def _argmax_shape(ctx: ShapeContext) -> Shapes:
    return (_argmax_output(ctx),) * 2


def _argmax_output(ctx: ShapeContext) -> TensorShape:
    if checked_strides(ctx.attrs["ksize"], "ksize")[3] != 1:
        raise ValueError(f"MaxPoolWithArgmax does not support pooling across depth: ksize {ctx.attrs['ksize']}")
    return _max_output(ctx.shapes[0], ctx.attrs)


def _max_grad_shape(ctx: ShapeContext) -> Shapes:
    image, pooled, grad = ctx.shapes
    _max_output(image, ctx.attrs).merge_with(pooled).merge_with(grad)
    return (image.with_rank(4),)


def _argmax_grad_shape(ctx: ShapeContext) -> Shapes:
    image, grad, argmax = ctx.shapes
    _argmax_output(ctx).merge_with(grad).merge_with(argmax)
    return (image.with_rank(4),)


def _average_shape(ctx: ShapeContext) -> Shapes:
    return (_average_output(ctx.shapes[0], ctx.attrs),)


def _average_grad_shape(ctx: ShapeContext) -> Shapes:
    image = shape_from_value(ctx, 0).with_rank(4)
    _average_output(image, ctx.attrs).merge_with(ctx.shapes[1])
    return (image,)


def _attrs(ksize: Sequence[int], strides: Sequence[int], padding: str) -> dict[str, Any]:
    sizes = checked_strides(ksize, "ksize"), checked_strides(strides)
    return {"ksize": sizes[0], "strides": sizes[1], "padding": checked_padding(padding)}


def _attrs_of(op: Any) -> dict[str, Any]:
    return {name: op._attrs[name] for name in ("ksize", "strides", "padding")}


# -- the greatest of a window ------------------------------------------------------------------------------------------

define("MaxPool", shape=_max_shape, allowed=REAL, inputs="input")
define("MaxPoolGrad", shape=_max_grad_shape, allowed=REAL, inputs="orig_input orig_output grad")


def max_pool(value: Any, ksize: Sequence[int], strides: Sequence[int], padding: str, name: str | None = None) -> Tensor:
    """The greatest element of every window.

        result[b, i, j, c] = max of value[b, s1·i : s1·i + k1, s2·j : s2·j + k2, c]

    The gradient goes to the greatest element of a window, of equal ones to the first, row by row.

    Args:
        value: float16, float32 or float64, [batch, height, width, channels].
        ksize: the window's size, [1, k1, k2, 1]; or [1, 1, 1, k] for windows over channels, which must divide them.
        strides: [1, s1, s2, 1], the steps from window to window; [1, 1, 1, k] for windows over channels.
        padding: "SAME": windows may reach over the border, so that there are ⌈height/s1⌉ × ⌈width/s2⌉; what is outside
            does not count. "VALID": only windows that lie inside.

    Raises:
        ValueError: sizes, strides or a padding that do not fit; a window larger than the image; strides larger than
            the window.
    """
    return apply("MaxPool", [value], _attrs(ksize, strides, padding), name)


@gradient("MaxPool")
def _max_pool_grad(op: Any, grad: Any) -> Any:
    return apply("MaxPoolGrad", [op.inputs[0], op.outputs[0], grad], _attrs_of(op))


@gradient("MaxPoolGrad")
def _max_pool_grad_grad(op: Any, grad: Any) -> Any:
    """With respect to the gradients of the windows, which are moved as they are: where they went, by index."""
    image, pooled, _ = op.inputs
    if op._attrs["ksize"][3] != 1:
        raise LookupError(f"There is no second derivative of max pooling across depth (operation {op.name!r})")
    chosen = max_pool_with_argmax(image, *_attrs_of(op).values()).argmax
    return zeros_like(image), zeros_like(pooled), gather(reshape(grad, [-1]), chosen)


# -- where it stands ---------------------------------------------------------------------------------------------------


class MaxPoolWithArgmax(NamedTuple):
    """What `max_pool_with_argmax` returns."""

    output: Tensor
    argmax: Tensor


def _with_indices(types: Sequence[DType], attrs: Mapping[str, Any]) -> list[DType]:
    return [types[0], as_dtype(attrs.get("Targmax", int64))]


define(
    "MaxPoolWithArgmax",
    shape=_argmax_shape,
    allowed=REAL,
    result=_with_indices,
    inputs="input",
    attrs={"Targmax": int64},
)
define(
    "MaxPoolGradWithArgmax",
    shape=_argmax_grad_shape,
    allowed=(REAL, REAL, INDEX),
    result=lambda types, attrs: types[:1],
    inputs="input grad argmax",
    type_attrs="T - Targmax",
)


def max_pool_with_argmax(
    input: Any,
    ksize: Sequence[int],
    strides: Sequence[int],
    padding: str,
    Targmax: Any = None,
    name: str | None = None,
) -> MaxPoolWithArgmax:
    """The greatest element of every window, and where it stands.

    Args:
        input, ksize, strides, padding: as for `max_pool`; windows over channels are not possible.
        Targmax: the type of the indices: int64, by default, or int32.

    Returns:
        (output, argmax), both [batch, rows of windows, columns of windows, channels]. An element at [b, y, x, c] has
        the index ((b·height + y)·width + x)·channels + c; of equal ones, the first.

    Raises:
        ValueError: as for `max_pool`.
    """
    attrs = {**_attrs(ksize, strides, padding), "Targmax": int64 if Targmax is None else as_dtype(Targmax)}
    return MaxPoolWithArgmax(*apply_list("MaxPoolWithArgmax", [input], attrs, name))


@gradient("MaxPoolWithArgmax")
def _max_pool_with_argmax_grad(op: Any, grad: Any, _: Any) -> Any:
    if grad is None:
        return None
    return apply("MaxPoolGradWithArgmax", [op.inputs[0], grad, op.outputs[1]], _attrs_of(op))


@gradient("MaxPoolGradWithArgmax")
def _max_pool_grad_with_argmax_grad(op: Any, grad: Any) -> Any:
    image, _, argmax = op.inputs
    return zeros_like(image), gather(reshape(grad, [-1]), argmax), None


# -- the mean of a window ----------------------------------------------------------------------------------------------

define("AvgPool", shape=_average_shape, allowed=REAL, inputs="value")
define(
    "AvgPoolGrad",
    shape=_average_grad_shape,
    allowed=(frozenset({int32}), REAL),
    result=lambda types, attrs: types[1:],
    inputs="orig_input_shape grad",
    type_attrs="- T",
)


def avg_pool(value: Any, ksize: Sequence[int], strides: Sequence[int], padding: str, name: str | None = None) -> Tensor:
    """The mean of every window of [1, k1, k2, 1] elements; with padding "SAME" of those that lie in the image.

    Args:
        value: float16, float32 or float64, [batch, height, width, channels].
        ksize: the window's size, [1, k1, k2, 1].
        strides, padding: as for `max_pool`.

    Raises:
        ValueError: as for `max_pool`.
    """
    return apply("AvgPool", [value], _attrs(ksize, strides, padding), name)


@gradient("AvgPool")
def _avg_pool_grad(op: Any, grad: Any) -> Any:
    return apply("AvgPoolGrad", [shape_of(op.inputs[0]), grad], _attrs_of(op))


@gradient("AvgPoolGrad")
def _avg_pool_grad_grad(op: Any, grad: Any) -> Any:
    return None, apply("AvgPool", [grad], _attrs_of(op))
