"""Parts of images, images in frames, turned around, and whitened.

An image is a tensor of shape [height, width, channels]. Its sizes must be known where the result's are computed from
them.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import Any, Final

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ORDERED, float32, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape
from flowc.ops.arithmetic_ops import maximum
from flowc.ops.array_ops import cast, transpose
from flowc.ops.logic_ops import less, select
from flowc.ops.math_ops import sqrt as root, square
from flowc.ops.random_ops import random_uniform, seed_attrs
from flowc.ops.reduction_ops import reduce_mean
from flowc.ops.slicing_ops import pad, reverse, slice

__all__ = [
    "crop_to_bounding_box",
    "extract_glimpse",
    "flip_left_right",
    "flip_up_down",
    "pad_to_bounding_box",
    "per_image_whitening",
    "random_crop",
    "random_flip_left_right",
    "random_flip_up_down",
    "resize_image_with_crop_or_pad",
    "transpose_image",
]


def _checked_image(image: Any) -> Tensor:
    """`image` as a tensor; ValueError if it is known not to be one image with pixels."""
    pixels = convert_to_tensor(image, name="image")
    try:
        shape = pixels.get_shape().with_rank(3)
    except ValueError:
        raise ValueError(f"'image' must be three-dimensional, not of shape {pixels.get_shape()}.") from None
    if shape.ndims is not None and 0 in shape.as_list():
        raise ValueError(f"all dims of 'image.shape' must be > 0: {shape}")
    return pixels


def _sizes(image: Tensor) -> list[int]:
    """The height, the width and the number of channels; ValueError if one is not known."""
    sizes = shape_rules.known(image.get_shape())
    if sizes is None:
        raise ValueError(f"'image' must be fully defined, not of shape {image.get_shape()}.")
    return list(sizes)


# -- frames ------------------------------------------------------------------------------------------------------------


def pad_to_bounding_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Tensor:
    """`image` in a frame of zeros: `offset_height` rows above, `offset_width` columns to the left, and as many below
    and to the right as make it `target_height` × `target_width`.

    Raises ValueError if the image does not fit, or its size is not known.
    """
    with op_scope([image], None, "pad_to_bounding_box"):
        pixels = _checked_image(image)
        height, width, _ = _sizes(pixels)
        below, right = target_height - offset_height - height, target_width - offset_width - width
        for what, size, target, before, after in (
            ("height", height, target_height, offset_height, below),
            ("width", width, target_width, offset_width, right),
        ):
            if target < size:
                raise ValueError(f"target_{what} must be >= {what}, not {target} for an image of {size}.")
            if before < 0:
                raise ValueError(f"offset_{what} must be >= 0, not {before}.")
            if after < 0:
                raise ValueError(f"target_{what} {target} not possible given offset_{what} {before} and {what} {size}.")
        if not (offset_height or offset_width or below or right):
            return pixels
        return pad(pixels, [[offset_height, below], [offset_width, right], [0, 0]])


def crop_to_bounding_box(
    image: Any, offset_height: int, offset_width: int, target_height: int, target_width: int
) -> Tensor:
    """The `target_height` × `target_width` pixels of `image` whose upper left one is at the offsets.

    Raises ValueError if they do not lie within the image, or its size is not known.
    """
    with op_scope([image], None, "crop_to_bounding_box"):
        pixels = _checked_image(image)
        height, width, _ = _sizes(pixels)
        for what, size, target, before in (
            ("height", height, target_height, offset_height),
            ("width", width, target_width, offset_width),
        ):
            if before < 0:
                raise ValueError(f"offset_{what} must be >= 0, not {before}.")
            if size < target + before:
                raise ValueError(f"{what} must be >= target + offset: {size}, {target} and {before}.")
        if (target_height, target_width) == (height, width):
            return pixels
        return slice(pixels, [offset_height, offset_width, 0], [target_height, target_width, -1])


def resize_image_with_crop_or_pad(image: Any, target_height: int, target_width: int) -> Tensor:
    """`image` centrally cropped, where it is larger than the target, and padded evenly with zeros, where smaller.

    Raises ValueError if a target is not positive, or the image's size is not known.
    """
    with op_scope([image], None, "resize_image_with_crop_or_pad"):
        image = _checked_image(image)
        for what, target in (("height", target_height), ("width", target_width)):
            if target <= 0:
                raise ValueError(f"target_{what} must be > 0, not {target}.")
        height, width, _ = _sizes(image)
        more, wider = target_height - height, target_width - width
        kept = min(height, target_height), min(width, target_width)
        cropped = crop_to_bounding_box(image, max(-more // 2, 0), max(-wider // 2, 0), *kept)
        return pad_to_bounding_box(cropped, max(more // 2, 0), max(wider // 2, 0), target_height, target_width)


# -- parts by chance or by offset --------------------------------------------------------------------------------------


def _cropped(ctx: ShapeContext) -> Shapes:
    image = ctx.shapes[0].with_rank(3)
    ctx.shapes[1].merge_with([2])
    size = ctx.value(1)
    if size is None:
        return (TensorShape([None, None, image[2]]),)
    if size.min() < 0:
        raise ValueError(f"The crop's size must not be negative: {size.tolist()}")
    return (TensorShape([*size.tolist(), image[2]]),)


define(
    "RandomCrop",
    shape=_cropped,
    allowed=(ORDERED, frozenset((int64,))),
    stateful=True,
    inputs="image size",
    attrs={"seed": 0, "seed2": 0},
)
not_differentiable("RandomCrop")


def random_crop(image: Any, size: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """A part of `image`, anywhere in it: `size` holds its height and width, int64; seed: see `set_random_seed`.

    A size that is larger than the image fails the run with InvalidArgumentError.
    """
    return apply("RandomCrop", [image, cast(size, int64)], seed_attrs(seed), name)


def _glimpsed(ctx: ShapeContext) -> Shapes:
    images, offsets = ctx.shapes[0].with_rank(4), ctx.shapes[2].merge_with([None, 2])
    ctx.shapes[1].merge_with([2])
    size = ctx.value(1)
    if size is not None and size.min() < 0:
        raise ValueError(f"The glimpse's size must not be negative: {size.tolist()}")
    height, width = (None, None) if size is None else size.tolist()
    return (TensorShape([images[0].merge_with(offsets[0]), height, width, images[3]]),)


_FLOAT: Final = frozenset((float32,))
define(
    "ExtractGlimpse",
    shape=_glimpsed,
    allowed=(_FLOAT, frozenset((int32,)), _FLOAT),
    stateful=True,
    inputs="input size offsets",
    type_attrs="- - -",
    attrs={"centered": True, "normalized": True, "uniform_noise": True},
)
not_differentiable("ExtractGlimpse")


def extract_glimpse(
    input: Any,
    size: Any,
    offsets: Any,
    centered: bool | None = None,
    normalized: bool | None = None,
    uniform_noise: bool | None = None,
    name: str | None = None,
) -> Tensor:
    """A window out of each image; where it reaches beyond the image, it holds random noise.

    Args:
        input: float32, shape [batch, height, width, channels].
        size: the windows' height and width, two int32.
        offsets: the y and x of each window's centre, float32 of shape [batch, 2].
        centered: whether offsets are from the image's centre (the default), in halves of its size; else they are from
            its upper left corner.
        normalized: whether offsets are in parts of the image's size (the default), else in pixels.
        uniform_noise: whether the noise is uniform between the image's least and greatest value (the default), else
            normal with its mean and standard deviation.
        name: the operation's name.

    Returns:
        Float32 of shape [batch, size[0], size[1], channels].
    """
    given = {"centered": centered, "normalized": normalized, "uniform_noise": uniform_noise}
    attrs = {key: True if value is None else bool(value) for key, value in given.items()}
    return apply("ExtractGlimpse", [input, size, offsets], {**attrs, **seed_attrs(None)}, name)


# -- turned around -----------------------------------------------------------------------------------------------------


def flip_up_down(image: Any) -> Tensor:
    """`image` upside down. ValueError unless it is three-dimensional."""
    return reverse(_checked_image(image), [True, False, False])


def flip_left_right(image: Any) -> Tensor:
    """`image` as in a mirror. ValueError unless it is three-dimensional."""
    return reverse(_checked_image(image), [False, True, False])


def random_flip_up_down(image: Any, seed: int | None = None) -> Tensor:
    """`image` or, by the toss of a coin, `flip_up_down(image)`; seed: see `set_random_seed`."""
    return select(_coin(seed), flip_up_down(image), image)


def random_flip_left_right(image: Any, seed: int | None = None) -> Tensor:
    """`image` or, by the toss of a coin, `flip_left_right(image)`; seed: see `set_random_seed`."""
    return select(_coin(seed), flip_left_right(image), image)


def _coin(seed: int | None) -> Tensor:
    return less(random_uniform([], seed=seed), 0.5)


def transpose_image(image: Any) -> Tensor:
    """`image` with rows and columns exchanged. ValueError unless it is three-dimensional."""
    return transpose(_checked_image(image), [1, 0, 2], name="transpose_image")


# -- whitening ---------------------------------------------------------------------------------------------------------


def per_image_whitening(image: Any) -> Tensor:
    """`image` scaled to mean 0 and variance 1: (x - mean) / max(standard deviation, 1 / √number of values), float32.

    The bound keeps an image of one colour from being divided by 0. Raises ValueError unless the image is
    three-dimensional and its size known.
    """
    with op_scope([image], None, "per_image_whitening"):
        image = _checked_image(image)
        count = prod(_sizes(image))
        centred = cast(image, float32)
        centred = centred - reduce_mean(centred)
        deviation = root(reduce_mean(square(centred)))
        return apply("Div", [centred, maximum(deviation, 1 / sqrt(count))])
