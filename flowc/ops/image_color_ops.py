"""Colours of images: spaces, element types, brightness, contrast, hue, saturation.

Images of integers have values from 0 to the greatest of their type, images of floats from 0 to 1.
"""

from __future__ import annotations

from typing import Any, Final

from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import INTEGER, ORDERED, REAL, as_dtype, float32, float64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.ops.array_ops import cast, expand_dims, rank
from flowc.ops.clip_ops import clip_by_value
from flowc.ops.joining_ops import concat
from flowc.ops.math_ops import floor
from flowc.ops.random_ops import random_uniform
from flowc.ops.reduction_ops import reduce_sum
from flowc.ops.slicing_ops import tile

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "convert_image_dtype",
    "grayscale_to_rgb",
    "hsv_to_rgb",
    "random_brightness",
    "random_contrast",
    "random_hue",
    "random_saturation",
    "rgb_to_grayscale",
    "rgb_to_hsv",
]

_FLOAT: Final = frozenset((float32,))
_LUMA: Final = (0.2989, 0.5870, 0.1140)  # how bright red, green and blue seem: ITU-R BT.601

# -- element types -----------------------------------------------------------------------------------------------------


def convert_image_dtype(image: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`image` with elements of `dtype`, scaled so that the brightest value of one type becomes that of the other.

    Floats are expected in [0, 1): others may overflow as integers. Negative integers stay negative.
    """
    dtype = as_dtype(dtype).base_dtype
    with op_scope([image], name, "convert_image") as scope:
        pixels = convert_to_tensor(image, name="image")
        source = pixels.dtype.base_dtype
        if source is dtype:
            return pixels
        if source in INTEGER and dtype in INTEGER:
            return _between_integers(pixels, dtype, scope)
        if source in INTEGER:
            return apply("Mul", [cast(pixels, dtype), 1.0 / source.max], name=scope)
        if dtype in REAL:
            return cast(pixels, dtype, scope)
        return cast(pixels * (dtype.max + 0.5), dtype, scope)  # ½ makes what was divided by the maximum come back


def _between_integers(image: Tensor, dtype: Any, scope: str) -> Tensor:
    """Fewer bits: divided, in the wider type; more bits: multiplied there."""
    lost = int(image.dtype.max).bit_length() - int(dtype.max).bit_length()
    if lost > 0:
        return cast(apply("Div", [image, 1 << lost]), dtype, scope)
    return apply("Mul", [cast(image, dtype), 1 << -lost], name=scope)


# -- spaces ------------------------------------------------------------------------------------------------------------


def _three_channels(ctx: ShapeContext) -> Shapes:
    images = ctx.shapes[0].with_rank_at_least(1)
    if images.ndims is None:
        return (images,)
    return (images[:-1].concatenate(images[-1:].merge_with([3])),)


for _type in ("HSVToRGB", "RGBToHSV"):
    define(_type, shape=_three_channels, allowed=_FLOAT, inputs="images", type_attrs="-")
    not_differentiable(_type)


def rgb_to_hsv(images: Any, name: str | None = None) -> Tensor:
    """Red, green and blue to hue, saturation and value.

    images: float32 in [0, 1], of shape [..., 3]. Gives the same type and shape, all values in [0, 1]: a hue of 0 is
    pure red, 1/3 green, 2/3 blue.
    """
    return apply("RGBToHSV", [images], name=name)


def hsv_to_rgb(images: Any, name: str | None = None) -> Tensor:
    """Hue, saturation and value to red, green and blue: the inverse of `rgb_to_hsv`."""
    return apply("HSVToRGB", [images], name=name)


def rgb_to_grayscale(images: Any) -> Tensor:
    """The brightness of pixels: 0.2989 · red + 0.587 · green + 0.114 · blue, in the type of `images`.

    images: shape [..., 3]. Gives shape [..., 1].
    """
    with op_scope([images], None, "rgb_to_grayscale"):
        images = convert_to_tensor(images, name="images")
        source = images.dtype.base_dtype
        images.get_shape().with_rank_at_least(1)[-1:].assert_is_compatible_with([3])
        channels = convert_image_dtype(images, float32) if source not in REAL else images
        gray = reduce_sum(channels * list(_LUMA), _last_axis(images), keep_dims=True)
        gray.set_shape(images.get_shape()[:-1].concatenate([1]) if images.get_shape().ndims else None)
        return convert_image_dtype(gray, source)


def _last_axis(images: Tensor) -> Any:
    ndims = images.get_shape().ndims
    return expand_dims(rank(images) - 1, 0) if ndims is None else ndims - 1


def grayscale_to_rgb(images: Any) -> Tensor:
    """Grey pixels as red, green and blue: [..., 1] to [..., 3], each channel a copy."""
    with op_scope([images], None, "grayscale_to_rgb"):
        images = convert_to_tensor(images, name="images")
        images.get_shape().with_rank_at_least(1)[-1:].assert_is_compatible_with([1])
        ndims = images.get_shape().ndims
        if ndims is not None:
            return tile(images, [1] * (ndims - 1) + [3])
        ones = apply("Fill", [expand_dims(rank(images) - 1, 0), 1])
        return tile(images, concat(0, [ones, [3]]))


# -- brightness and contrast -------------------------------------------------------------------------------------------


def adjust_brightness(image: Any, delta: Any, min_value: Any = None, max_value: Any = None) -> Tensor:
    """image + delta, within [min_value, max_value], in the type of `image`; computed in float32.

    The bounds are by default the least and the greatest value of the type.
    """
    with op_scope([image, delta, min_value, max_value], None, "adjust_brightness"):
        image = convert_to_tensor(image, name="image")
        least, greatest = _bounds(image, min_value, max_value)
        brighter = clip_by_value(cast(image, float32) + delta, least, greatest)
        return cast(brighter, image.dtype.base_dtype)


def _bounds(image: Tensor, least: Any, greatest: Any) -> tuple[Any, Any]:
    dtype = image.dtype.base_dtype
    limits = float32 if dtype is float64 else dtype
    return (
        float(limits.min) if least is None else cast(least, float32),
        float(limits.max) if greatest is None else cast(greatest, float32),
    )


def random_brightness(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """`adjust_brightness` by a delta drawn from [-max_delta, max_delta). ValueError if `max_delta` is negative."""
    if max_delta < 0:
        raise ValueError(f"max_delta must be non-negative, not {max_delta}.")
    return adjust_brightness(image, random_uniform([], -max_delta, max_delta, seed=seed))


def _same_image(ctx: ShapeContext) -> Shapes:
    for bound in ctx.shapes[1:]:
        bound.assert_has_rank(0)
    return (ctx.shapes[0].with_rank_at_least(3),)


define(
    "AdjustContrast",
    shape=_same_image,
    allowed=(ORDERED, _FLOAT),
    result=float32,
    inputs="images contrast_factor min_value max_value",
)
not_differentiable("AdjustContrast")


def adjust_contrast(images: Any, contrast_factor: Any, min_value: Any = None, max_value: Any = None) -> Tensor:
    """(x - mean) · contrast_factor + mean, with the mean of each channel of each image; in the type of `images`.

    Args:
        images: numbers, shape [..., height, width, channels].
        contrast_factor: a float.
        min_value: the least value of the result, by default the least of its type.
        max_value: the greatest, likewise.
    """
    with op_scope([images, contrast_factor, min_value, max_value], None, "adjust_contrast"):
        images = convert_to_tensor(images, name="images")
        least, greatest = _bounds(images, min_value, max_value)
        adjusted = apply("AdjustContrast", [images, contrast_factor, least, greatest])
        return cast(adjusted, images.dtype.base_dtype)


def random_contrast(image: Any, lower: float, upper: float, seed: int | None = None) -> Tensor:
    """`adjust_contrast` by a factor drawn from [lower, upper). ValueError unless 0 ≤ lower < upper."""
    return adjust_contrast(image, _random_factor(lower, upper, seed))


def _random_factor(lower: float, upper: float, seed: int | None) -> Tensor:
    if upper <= lower:
        raise ValueError(f"upper must be > lower, not {upper} and {lower}.")
    if lower < 0:
        raise ValueError(f"lower must be non-negative, not {lower}.")
    return random_uniform([], lower, upper, seed=seed)


# -- hue and saturation ------------------------------------------------------------------------------------------------


def adjust_hue(image: Any, delta: Any, name: str | None = None) -> Tensor:
    """An RGB image, shape [..., 3], with `delta`, in [-1, 1], added to its hues (1 is the whole circle of them)."""
    with op_scope([image, delta], name, "adjust_hue") as scope:
        image = convert_to_tensor(image, name="image")
        hsv = rgb_to_hsv(convert_image_dtype(image, float32))
        turned = hsv + _of_channel(0, cast(delta, float32) + 1.0)
        return _back_to_rgb(turned - floor(turned) * _of_channel(0, 1.0), image, scope)


def _of_channel(channel: int, value: Any) -> Tensor:
    """A vector of three: `value` for one channel, 0 for the others."""
    mask = [float(i == channel) for i in range(3)]
    return apply("Mul", [mask, value])


def _back_to_rgb(hsv: Tensor, image: Tensor, scope: str) -> Tensor:
    return apply("Identity", [convert_image_dtype(hsv_to_rgb(hsv), image.dtype)], name=scope)


def random_hue(image: Any, max_delta: float, seed: int | None = None) -> Tensor:
    """`adjust_hue` by a delta drawn from [-max_delta, max_delta). ValueError unless 0 ≤ max_delta ≤ 0.5."""
    if max_delta > 0.5:
        raise ValueError(f"max_delta must be <= 0.5, not {max_delta}.")
    if max_delta < 0:
        raise ValueError(f"max_delta must be non-negative, not {max_delta}.")
    return adjust_hue(image, random_uniform([], -max_delta, max_delta, seed=seed))


def adjust_saturation(image: Any, saturation_factor: Any, name: str | None = None) -> Tensor:
    """An RGB image, shape [..., 3], with its saturations multiplied by `saturation_factor` and clipped to [0, 1]."""
    with op_scope([image, saturation_factor], name, "adjust_saturation") as scope:
        image = convert_to_tensor(image, name="image")
        hsv = rgb_to_hsv(convert_image_dtype(image, float32))
        factors = _of_channel(1, cast(saturation_factor, float32) - 1.0) + 1.0
        inf = float("inf")
        return _back_to_rgb(clip_by_value(hsv * factors, [-inf, 0.0, -inf], [inf, 1.0, inf]), image, scope)


def random_saturation(image: Any, lower: float, upper: float, seed: int | None = None) -> Tensor:
    """`adjust_saturation` by a factor drawn from [lower, upper). ValueError unless 0 ≤ lower < upper."""
    return adjust_saturation(image, _random_factor(lower, upper, seed))
