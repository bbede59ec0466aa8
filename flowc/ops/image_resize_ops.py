"""Images of other sizes: resize by nearest neighbour, bilinearly, bicubically or by area.

Output pixel i of a dimension that goes from n to m pixels stands at i·n/m of the input: pixels are points, with the
first ones aligned.
"""

from __future__ import annotations

from typing import Any, Final

from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ORDERED, REAL, DType, float32, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import expand_dims, shape_of, squeeze

__all__ = [
    "ResizeMethod",
    "resize_area",
    "resize_bicubic",
    "resize_bilinear",
    "resize_images",
    "resize_nearest_neighbor",
    "resize_nearest_neighbor_grad",
]

_SIZE: Final = frozenset((int32,))


def _resized(ctx: ShapeContext) -> Shapes:
    images = ctx.shapes[0].with_rank(4)
    ctx.shapes[1].merge_with([2])
    size = ctx.value(1)
    height, width = (None, None) if size is None else size.tolist()
    if size is not None and min(size.tolist()) <= 0:
        raise ValueError(f"output dimensions must be positive, not {size.tolist()}")
    return (TensorShape([images[0], height, width, images[3]]),)


def _always_float32(types: Any, attrs: Any) -> list[DType]:
    return [float32]


for _type in ("ResizeArea", "ResizeBicubic", "ResizeBilinear"):
    define(_type, shape=_resized, allowed=(ORDERED, _SIZE), result=_always_float32, inputs="images size")
not_differentiable("ResizeArea", "ResizeBicubic")


def resize_area(images: Any, size: Any, name: str | None = None) -> Tensor:
    """Each output pixel is the mean of the part of the input that it covers.

    images: numbers, shape [batch, height, width, channels]; size: two int32, [new_height, new_width].
    Gives float32 of shape [batch, new_height, new_width, channels].
    """
    return apply("ResizeArea", [images, size], name=name)


def resize_bicubic(images: Any, size: Any, name: str | None = None) -> Tensor:
    """Each output pixel interpolates between 4 × 4 input pixels, by cubic convolution with a = -0.75.

    Arguments and result as for `resize_area`. Source: R. Keys, "Cubic convolution interpolation", 1981.
    """
    return apply("ResizeBicubic", [images, size], name=name)


def resize_bilinear(images: Any, size: Any, name: str | None = None) -> Tensor:
    """Each output pixel interpolates linearly between 2 × 2 input pixels. Arguments and result as for `resize_area`."""
    return apply("ResizeBilinear", [images, size], name=name)


# -- gradients ---------------------------------------------------------------------------------------------------------


def _like_second(ctx: ShapeContext) -> Shapes:
    grads, images = (shape.with_rank(4) for shape in ctx.shapes)
    return (TensorShape([grads[0].merge_with(images[0]), images[1], images[2], grads[3].merge_with(images[3])]),)


# Inputs: the gradient of the output, float32, and the images that were resized, for their shape and type.
define(
    "ResizeBilinearGrad",
    shape=_like_second,
    allowed=(frozenset((float32,)), REAL),
    result=lambda types, attrs: [types[1]],
    inputs="grads original_image",
)
not_differentiable("ResizeBilinearGrad")


@gradient("ResizeBilinear")
def _resize_bilinear_grad(op: Any, grad: Any) -> Any:
    images = op.inputs[0]
    return (apply("ResizeBilinearGrad", [grad, images]) if images.dtype.base_dtype in REAL else None), None


# -- nearest neighbour -------------------------------------------------------------------------------------------------

define("ResizeNearestNeighbor", shape=_resized, allowed=(ORDERED, _SIZE), inputs="images size")
define("ResizeNearestNeighborGrad", shape=_resized, allowed=(ORDERED, _SIZE), inputs="grads size")


def resize_nearest_neighbor(images: Any, size: Any, name: str | None = None) -> Tensor:
    """Each output pixel is a copy of the input pixel at or before it.

    Arguments as for `resize_area`. Gives the type of `images`, shape [batch, new_height, new_width, channels].
    """
    return apply("ResizeNearestNeighbor", [images, size], name=name)


def resize_nearest_neighbor_grad(grads: Any, size: Any, name: str | None = None) -> Tensor:
    """The gradient of `resize_nearest_neighbor`: each pixel is the sum of those in `grads` that are copies of it.

    grads: shape [batch, new_height, new_width, channels]; size: two int32, [height, width] of the original images.
    """
    return apply("ResizeNearestNeighborGrad", [grads, size], name=name)


@gradient("ResizeNearestNeighbor")
def _resize_nearest_neighbor_grad(op: Any, grad: Any) -> Any:
    return resize_nearest_neighbor_grad(grad, shape_of(op.inputs[0])[1:3]), None


@gradient("ResizeNearestNeighborGrad")
def _resize_nearest_neighbor_grad_grad(op: Any, grad: Any) -> Any:
    return resize_nearest_neighbor(grad, shape_of(op.inputs[0])[1:3]), None


# -- by method ---------------------------------------------------------------------------------------------------------


class ResizeMethod:
    """The methods of `resize_images`."""

    BILINEAR: Final = 0
    NEAREST_NEIGHBOR: Final = 1
    BICUBIC: Final = 2
    AREA: Final = 3


_METHODS: Final = {
    ResizeMethod.BILINEAR: resize_bilinear,
    ResizeMethod.NEAREST_NEIGHBOR: resize_nearest_neighbor,
    ResizeMethod.BICUBIC: resize_bicubic,
    ResizeMethod.AREA: resize_area,
}


def resize_images(images: Any, new_height: int, new_width: int, method: int = ResizeMethod.BILINEAR) -> Tensor:
    """`images` resized to `new_height` × `new_width`, whatever that does to their aspect ratio.

    Args:
        images: numbers, shape [batch, height, width, channels], or [height, width, channels] for one.
        new_height: an int.
        new_width: an int.
        method: one of `ResizeMethod`.

    Returns:
        Images of the same rank: float32, or the type of `images` by `NEAREST_NEIGHBOR`; `images` themselves if they are
        known to have that size.

    Raises:
        ValueError: another rank, or another method.
    """
    if method not in _METHODS:
        raise ValueError(f"Resize method is not implemented: {method!r}")
    with op_scope([images], None, "resize_images"):
        given = convert_to_tensor(images, name="images")
        ndims = given.get_shape().ndims
        if ndims not in (3, 4):
            raise ValueError(f"'images' must have either 3 or 4 dimensions, not {ndims}.")
        if given.get_shape().as_list()[-3:-1] == [new_height, new_width]:
            return given
        batch = given if ndims == 4 else expand_dims(given, 0)
        resized = _METHODS[method](batch, [new_height, new_width])
        return resized if ndims == 4 else squeeze(resized, [0])
