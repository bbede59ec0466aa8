"""Summaries as operations: values, histograms and images, as serialized Summary messages for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.dtypes import ORDERED, REAL, STRING, string, uint8
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import GraphKeys, add_to_collection, get_collection
from flowc.framework.shape_rules import Shapes

__all__ = ["histogram_summary", "image_summary", "merge_all_summaries", "merge_summary", "scalar_summary"]

_MAX_IMAGES: Final = 3
_RED: Final = np.array([255, 0, 0, 255], np.uint8)


def _collect(summary: Tensor, collections: Sequence[str] | None) -> Tensor:
    for key in [GraphKeys.SUMMARIES] if collections is None else collections:
        add_to_collection(key, summary)
    return summary


# -- numbers -----------------------------------------------------------------------------------------------------------


def _scalar_shape(c: ShapeContext) -> Shapes:
    tags, values = c.shapes
    tags.merge_with(values)
    return shape_rules.scalar(c)


define(
    "ScalarSummary",
    shape=_scalar_shape,
    allowed=(STRING, ORDERED),
    result=string,
    inputs="tags values",
    type_attrs="- T",
)


def scalar_summary(tags: Any, values: Any, collections: Sequence[str] | None = None, name: str | None = None) -> Tensor:
    """A summary of numbers.

    Args:
        tags: strings: what the values are called in TensorBoard.
        values: real numbers, in the shape of `tags`.
        collections: the collections to add the summary to; by default [GraphKeys.SUMMARIES].
        name: the operation's name.

    Returns:
        A string scalar: a serialized Summary.

    Raises:
        ValueError, or InvalidArgumentError when run: `tags` and `values` have not the same shape.
    """
    return _collect(apply("ScalarSummary", [tags, values], name=name), collections)


# -- histograms --------------------------------------------------------------------------------------------------------


def _histogram_shape(c: ShapeContext) -> Shapes:
    c.shapes[0].merge_with(())
    return shape_rules.scalar(c)


define(
    "HistogramSummary",
    shape=_histogram_shape,
    allowed=(STRING, ORDERED),
    result=string,
    inputs="tag values",
    type_attrs="- T",
)


def histogram_summary(
    tag: Any, values: Any, collections: Sequence[str] | None = None, name: str | None = None
) -> Tensor:
    """A summary of how values are distributed.

    Args:
        tag: a string scalar: what the values are called in TensorBoard.
        values: real numbers, in any shape.
        collections: the collections to add the summary to; by default [GraphKeys.SUMMARIES].
        name: the operation's name.

    Returns:
        A string scalar: a serialized Summary with a HistogramProto, whose buckets grow by a tenth from 1e-12 to 1e20 on
        either side of 0.

    Raises:
        OutOfRangeError: when run, if a value is not finite.
    """
    return _collect(apply("HistogramSummary", [tag, values], name=name), collections)


# -- images ------------------------------------------------------------------------------------------------------------


def _image_shape(c: ShapeContext) -> Shapes:
    tag, images = c.shapes
    tag.merge_with(())
    channels = images.with_rank(4)[3].value
    if channels not in (None, 1, 3, 4):
        raise ValueError(f"Tensor must be 4-D with last dim 1, 3, or 4, not {images}")
    return shape_rules.scalar(c)


define(
    "ImageSummary",
    shape=_image_shape,
    allowed=(STRING, REAL | {uint8}),
    result=string,
    inputs="tag tensor",
    type_attrs="- T",
    attrs={"max_images": _MAX_IMAGES, "bad_color": _RED},
)


def image_summary(
    tag: Any,
    tensor: Any,
    max_images: int | None = None,
    collections: Sequence[str] | None = None,
    name: str | None = None,
) -> Tensor:
    """A summary of images.

    Args:
        tag: a string scalar. The images are called `tag/image/0`, `tag/image/1`, …; `tag/image` if `max_images` is 1.
        tensor: [batch, height, width, channels], with 1 (grey), 3 (RGB) or 4 (RGBA) channels; uint8, or floats. Each
            image of floats is scaled so that its largest value becomes 255 if none is negative; else so that 0 becomes
            the middle, and the value that is farthest from it an end of the range. Pixels that are not finite are red.
        max_images: how many of the batch to take; by default 3.
        collections: the collections to add the summary to; by default [GraphKeys.SUMMARIES].
        name: the operation's name.

    Returns:
        A string scalar: a serialized Summary with the images as PNG.

    Raises:
        ValueError, or InvalidArgumentError when run: `tensor` has another rank or number of channels.
    """
    count = _MAX_IMAGES if max_images is None else int(max_images)
    if count < 1:
        raise ValueError(f"max_images must be at least 1, not {max_images}")
    attrs = {"max_images": count, "bad_color": _RED}
    return _collect(apply("ImageSummary", [tag, tensor], attrs, name), collections)


# -- several -----------------------------------------------------------------------------------------------------------

define(
    "MergeSummary",
    shape=shape_rules.scalar,
    allowed=STRING,
    result=string,
    inputs="inputs",
    type_attrs="N*-",
)


def merge_summary(inputs: Sequence[Any], collections: Sequence[str] | None = None, name: str | None = None) -> Tensor:
    """One summary with the values of several.

    Args:
        inputs: string tensors of any shapes: serialized Summaries.
        collections: the collections to add the summary to; by default none.
        name: the operation's name.

    Raises:
        ValueError: there are no inputs. InvalidArgumentError: when run, if two values have the same tag.
    """
    inputs = list(inputs)
    if not inputs:
        raise ValueError("merge_summary needs at least one summary.")
    return _collect(apply("MergeSummary", inputs, name=name), collections or ())


def merge_all_summaries(key: str = GraphKeys.SUMMARIES) -> Tensor | None:
    """One summary with all that the default graph's collection `key` holds; None if it holds none."""
    summaries = get_collection(key)
    return merge_summary(summaries) if summaries else None


not_differentiable("ScalarSummary", "HistogramSummary", "ImageSummary", "MergeSummary")
