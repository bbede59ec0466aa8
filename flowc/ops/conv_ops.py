"""Convolutions of images [batch, height, width, channels], and their gradients as ops of their own.

A convolution is linear in the image and in the filter, so that its gradients, `…BackpropInput` and `…BackpropFilter`,
are linear, too, and the gradients of all three are each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import REAL, DType, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes, shape_from_value
from flowc.framework.shapes import TensorShape
from flowc.framework.windows import checked_padding, checked_strides, window_count
from flowc.ops.array_ops import shape_of

__all__ = ["conv2d", "conv2d_transpose", "depthwise_conv2d", "separable_conv2d"]

SIZES = frozenset({int32})


# -- shapes ------------------------------------------------------------------------------------------------------------


def _output(ctx: ShapeContext, image: TensorShape, filter: TensorShape, channels: int | None) -> TensorShape:
    """The shape of the convolution of an image with a filter."""
    strides, padding = ctx.attrs["strides"], ctx.attrs["padding"]
    batch, height, width, _ = image.as_list()
    rows, columns, *_ = filter.as_list()
    down = window_count(height, rows, strides[1], padding)
    across = window_count(width, columns, strides[2], padding)
    return TensorShape((batch, down, across, channels))


def _conv_output(ctx: ShapeContext, image: TensorShape, filter: TensorShape) -> TensorShape:
    image, filter = image.with_rank(4), filter.with_rank(4)
    given, taken = image.as_list()[3], filter.as_list()[2]
    if given is not None and taken is not None and given != taken:
        raise ValueError(f"Dimensions {given} and {taken} are not compatible: channels of the input and of the filter")
    return _output(ctx, image, filter, filter.as_list()[3])


def _depthwise_output(ctx: ShapeContext, image: TensorShape, filter: TensorShape) -> TensorShape:
    image, filter = image.with_rank(4), filter.with_rank(4)
    channels = image[3].merge_with(filter[2]).value
    multiplier = filter.as_list()[3]
    return _output(ctx, image, filter, None if channels is None or multiplier is None else channels * multiplier)


_OUTPUTS = {"Conv2D": _conv_output, "DepthwiseConv2dNative": _depthwise_output}


def _define_convolution(op_type: str) -> None:
    """Registers a convolution and its two gradients, of which one input is the shape of what they return."""
    output = _OUTPUTS[op_type]

    def forward(ctx: ShapeContext) -> Shapes:
        return (output(ctx, *ctx.shapes),)

    def input_gradient(ctx: ShapeContext) -> Shapes:
        image = shape_from_value(ctx, 0).with_rank(4)
        output(ctx, image, ctx.shapes[1]).merge_with(ctx.shapes[2])
        return (image,)

    def filter_gradient(ctx: ShapeContext) -> Shapes:
        filter = shape_from_value(ctx, 1).with_rank(4)
        output(ctx, ctx.shapes[0], filter).merge_with(ctx.shapes[2])
        return (filter,)

    define(op_type, shape=forward, allowed=REAL, inputs="input filter")
    define(
        f"{op_type}BackpropInput",
        shape=input_gradient,
        allowed=(SIZES, REAL, REAL),
        same_from=1,
        result=_type_of_gradient,
        inputs="input_sizes filter out_backprop",
        type_attrs="- T T",
    )
    define(
        f"{op_type}BackpropFilter",
        shape=filter_gradient,
        allowed=(REAL, SIZES, REAL),
        result=_type_of_gradient,
        inputs="input filter_sizes out_backprop",
        type_attrs="T - T",
    )


def _type_of_gradient(types: Sequence[DType], attrs: Any) -> list[DType]:
    given = {dtype for dtype in types if dtype is not int32}
    if len(given) > 1:
        raise TypeError(f"Input and out_backprop must have one type, not {types[0].name} and {types[2].name}")
    return [types[2]]


for _op_type in _OUTPUTS:
    _define_convolution(_op_type)


# -- gradients ---------------------------------------------------------------------------------------------------------


@gradient("Conv2D", "DepthwiseConv2dNative")
def _forward_grad(op: Any, grad: Any) -> Any:
    image, filter = op.inputs
    return (
        apply(f"{op.type}BackpropInput", [shape_of(image), filter, grad], _attrs(op)),
        apply(f"{op.type}BackpropFilter", [image, shape_of(filter), grad], _attrs(op)),
    )


@gradient("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput")
def _input_gradient_grad(op: Any, grad: Any) -> Any:
    forward = op.type.removesuffix("BackpropInput")
    _, filter, out_backprop = op.inputs
    return (
        None,
        apply(f"{forward}BackpropFilter", [grad, shape_of(filter), out_backprop], _attrs(op)),
        apply(forward, [grad, filter], _attrs(op)),
    )


@gradient("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter")
def _filter_gradient_grad(op: Any, grad: Any) -> Any:
    forward = op.type.removesuffix("BackpropFilter")
    image, _, out_backprop = op.inputs
    return (
        apply(f"{forward}BackpropInput", [shape_of(image), grad, out_backprop], _attrs(op)),
        None,
        apply(forward, [image, grad], _attrs(op)),
    )


def _attrs(op: Any) -> dict[str, Any]:
    names = ("strides", "padding", "use_cudnn_on_gpu")
    return {name: op._attrs[name] for name in names if name in op._attrs}


# -- functions ---------------------------------------------------------------------------------------------------------


def _checked_attrs(strides: Sequence[int], padding: str) -> dict[str, Any]:
    strides = checked_strides(strides)
    if strides[0] != 1 or strides[3] != 1:
        raise ValueError(
            f"Current implementation does not yet support strides in the batch and depth dimensions: {strides}"
        )
    return {"strides": strides, "padding": checked_padding(padding)}


def conv2d(
    input: Any,
    filter: Any,
    strides: Sequence[int],
    padding: str,
    use_cudnn_on_gpu: bool | None = None,
    name: str | None = None,
) -> Tensor:
    """The 2-D convolution of images [batch, height, width, in] with a filter [rows, columns, in, out].

        result[b, i, j, k] = Σ over di, dj, q of input[b, s1·i + di, s2·j + dj, q] · filter[di, dj, q, k]

    Args:
        input: float16, float32 or float64; filter: of the same type.
        strides: [1, s1, s2, 1].
        padding: "SAME": zeros around the images, so that there are ⌈height/s1⌉ × ⌈width/s2⌉ results (an odd zero
            stands at the end); "VALID": only windows that lie inside them.
        use_cudnn_on_gpu: whether a GPU may use cuDNN; of no account on a CPU.

    Returns:
        [batch, rows of results, columns of results, out], of the input's type.

    Raises:
        ValueError: shapes, strides or a padding that do not fit.
    """
    attrs = {**_checked_attrs(strides, padding), "use_cudnn_on_gpu": use_cudnn_on_gpu is not False}
    return apply("Conv2D", [input, filter], attrs, name)


def conv2d_transpose(
    value: Any,
    filter: Any,
    output_shape: Any,
    strides: Sequence[int],
    padding: str = "SAME",
    name: str | None = None,
) -> Tensor:
    """The transpose (gradient) of `conv2d`: from [batch, height, width, in] to images of `output_shape`.

    Args:
        filter: [rows, columns, out, in], as that of the convolution which makes `value` of the result.
        output_shape: [batch, height, width, out] of the result: a list or an int32 vector.
        strides, padding: those of that convolution.

    Raises:
        ValueError: shapes that do not fit: that convolution of `output_shape` must have the shape of `value`.

    Source: `tf.nn.conv2d_transpose` of later versions of the API; Zeiler et al. 2010, "Deconvolutional Networks".
    """
    attrs = {**_checked_attrs(strides, padding), "use_cudnn_on_gpu": True}
    with op_scope([value, filter, output_shape], name, "conv2d_transpose") as scope:
        sizes = convert_to_tensor(output_shape, int32, name="output_shape")
        return apply("Conv2DBackpropInput", [sizes, filter, value], attrs, scope)


def depthwise_conv2d(input: Any, filter: Any, strides: Sequence[int], padding: str, name: str | None = None) -> Tensor:
    """Convolutions of every channel by itself, with `multiplier` filters each.

        result[b, i, j, k·multiplier + q] = Σ over di, dj of input[b, s1·i + di, s2·j + dj, k] · filter[di, dj, k, q]

    Args:
        input: [batch, height, width, channels] of float16, float32 or float64.
        filter: [rows, columns, channels, multiplier].
        strides: [1, s1, s2, 1]; padding: as for `conv2d`.

    Returns:
        [batch, rows of results, columns of results, channels · multiplier].

    Raises:
        ValueError: shapes, strides or a padding that do not fit.
    """
    return apply("DepthwiseConv2dNative", [input, filter], _checked_attrs(strides, padding), name or "depthwise")


def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Sequence[int],
    padding: str,
    name: str | None = None,
) -> Tensor:
    """A `depthwise_conv2d`, and then a 1×1 convolution that mixes its channels.

    Args:
        input: [batch, height, width, channels].
        depthwise_filter: [rows, columns, channels, multiplier].
        pointwise_filter: [1, 1, channels · multiplier, out].
        strides, padding: those of the depthwise convolution.

    Returns:
        [batch, rows of results, columns of results, out].

    Raises:
        ValueError: shapes that do not fit, or channels · multiplier > out: then a `conv2d` has fewer parameters.
    """
    with op_scope([input, depthwise_filter, pointwise_filter], name, "separable_conv2d") as scope:
        depthwise_filter = convert_to_tensor(depthwise_filter, name="depthwise_filter")
        pointwise_filter = convert_to_tensor(pointwise_filter, name="pointwise_filter")
        _check_separable(depthwise_filter.get_shape(), pointwise_filter.get_shape())
        channels = depthwise_conv2d(input, depthwise_filter, strides, padding)
        return conv2d(channels, pointwise_filter, [1, 1, 1, 1], "VALID", name=scope)


def _check_separable(depthwise: TensorShape, pointwise: TensorShape) -> None:
    *_, channels, multiplier = depthwise.with_rank(4).as_list()
    rows, columns, taken, out = pointwise.with_rank(4).as_list()
    if (rows or 1) != 1 or (columns or 1) != 1:
        raise ValueError(f"The pointwise filter must be of size 1×1, not {rows}×{columns}")
    if channels is None or multiplier is None:
        return
    if taken is not None and taken != channels * multiplier:
        raise ValueError(f"The pointwise filter takes {taken} channels, and gets {channels}·{multiplier}")
    if out is not None and channels * multiplier > out:
        raise ValueError(
            "Refusing to perform an overparameterized separable convolution: channel_multiplier * in_channels = "
            f"{multiplier} * {channels} > {out} = out_channels"
        )
