"""Normalisation of images: of each pixel across its channels, and of each channel across a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from flowc.framework.building import apply, apply_list
from flowc.framework.dtypes import REAL, DType
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape

__all__ = ["batch_norm_with_global_normalization", "local_response_normalization", "lrn"]

# -- across channels ---------------------------------------------------------------------------------------------------

LRN_DEFAULTS: Final = {"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5}


def _image(ctx: ShapeContext) -> Shapes:
    image, *others = ctx.shapes
    image = image.with_rank(4)
    for shape in others:
        image = image.merge_with(shape)
    return (image,)


define("LRN", shape=_image, allowed=REAL, inputs="input", attrs=LRN_DEFAULTS)
define("LRNGrad", shape=_image, allowed=REAL, inputs="input_grads input_image output_image", attrs=LRN_DEFAULTS)


def local_response_normalization(
    input: Any,
    depth_radius: int | None = None,
    bias: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    name: str | None = None,
) -> Tensor:
    """Every element by a power of the sum of squares of its neighbours among the channels:

        result[b, i, j, c] = input[b, i, j, c] / (bias + alpha · Σ input[b, i, j, c - r : c + r + 1]²)^beta

    Args:
        input: float16, float32 or float64, [batch, height, width, channels].
        depth_radius: r, 5 by default.
        bias: 1 by default; a positive offset, so that nothing is divided by 0.
        alpha: 1 by default.
        beta: 0.5 by default.

    Raises:
        ValueError: an input that is not of rank 4, or a negative radius.

    Source: Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks".
    """
    given = {"depth_radius": depth_radius, "bias": bias, "alpha": alpha, "beta": beta}
    attrs = {key: LRN_DEFAULTS[key] if value is None else value for key, value in given.items()}
    if attrs["depth_radius"] < 0:
        raise ValueError(f"depth_radius must not be negative: {depth_radius}")
    return apply("LRN", [input], attrs, name)


lrn = local_response_normalization


@gradient("LRN")
def _lrn_grad(op: Any, grad: Any) -> Any:
    return apply("LRNGrad", [grad, op.inputs[0], op.outputs[0]], {key: op._attrs[key] for key in LRN_DEFAULTS})


@gradient("LRNGrad", "BatchNormWithGlobalNormalizationGrad")
def _no_second_derivative(op: Any, *grads: Any) -> Any:
    raise LookupError(f"There is no gradient of the gradient op {op.type} (operation {op.name!r})")


# -- across a batch ----------------------------------------------------------------------------------------------------


def _batch_norm_shape(ctx: ShapeContext) -> Shapes:
    images, *vectors = ctx.shapes
    channels = _channels(images, vectors)
    return (images.with_rank(4).merge_with(TensorShape((None, None, None, channels))),)


def _batch_norm_grad_shape(ctx: ShapeContext) -> Shapes:
    images, *vectors, backprop = ctx.shapes
    images = images.with_rank(4).merge_with(backprop)
    channels = _channels(images, vectors)
    return (images, *[TensorShape((channels,))] * 4)


def _channels(images: TensorShape, vectors: list[TensorShape]) -> int | None:
    """How many channels there are: the last dimension of the images and the length of every vector."""
    length = images.with_rank(4)[3:]
    for vector in vectors:
        length = length.merge_with(vector.with_rank(1))
    channels: int | None = length.as_list()[0]
    return channels


def _same_five(types: Any, attrs: Mapping[str, Any]) -> list[DType]:
    return [types[0]] * 5


define("BatchNormWithGlobalNormalization", shape=_batch_norm_shape, allowed=REAL, inputs="t m v beta gamma")
define(
    "BatchNormWithGlobalNormalizationGrad",
    shape=_batch_norm_grad_shape,
    allowed=REAL,
    result=_same_five,
    inputs="t m v gamma backprop",
)


def batch_norm_with_global_normalization(
    t: Any,
    m: Any,
    v: Any,
    beta: Any,
    gamma: Any,
    variance_epsilon: float,
    scale_after_normalization: bool,
    name: str | None = None,
) -> Tensor:
    """(t - m) / √(v + variance_epsilon) · gamma + beta: every channel with its mean and variance taken out.

    Args:
        t: float16, float32 or float64, [batch, height, width, channels].
        m, v: the mean and the variance of every channel, [channels], such as `tf.nn.moments(t, [0, 1, 2])`.
        beta: the offset of every channel, [channels].
        gamma: its scale, [channels]; of account only with `scale_after_normalization`.
        variance_epsilon: a small number, so that nothing is divided by 0.
        scale_after_normalization: whether to multiply by `gamma`.

    Raises:
        ValueError: shapes that do not fit.

    Source: Ioffe, Szegedy 2015, https://arxiv.org/abs/1502.03167.
    """
    attrs = {
        "variance_epsilon": float(variance_epsilon),
        "scale_after_normalization": bool(scale_after_normalization),
    }
    return apply("BatchNormWithGlobalNormalization", [t, m, v, beta, gamma], attrs, name)


@gradient("BatchNormWithGlobalNormalization")
def _batch_norm_grad(op: Any, grad: Any) -> Any:
    t, m, v, _, gamma = op.inputs
    attrs = {key: op._attrs[key] for key in ("variance_epsilon", "scale_after_normalization")}
    return apply_list("BatchNormWithGlobalNormalizationGrad", [t, m, v, gamma, grad], attrs)
