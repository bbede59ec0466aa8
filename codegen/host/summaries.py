"""Summaries: numbers, histograms and images, as serialized Summary messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from flowc.codegen.host.histograms import histogram
from flowc.codegen.host.registry import Array, HostOp, host, host_function
from flowc.framework import protos
from flowc.framework.dtypes import string
from flowc.framework.errors import DataLossError, InvalidArgumentError

_FAINT: Final = 1e-6  # images whose values are all smaller than this show nothing
_MIDDLE: Final = 128  # the grey of 0 where there are negative values
_TO_PNG: Final = HostOp("", "EncodePng", {"compression": -1}, [string])


def serialized(values: Sequence[Any]) -> Array:
    """A string scalar: a Summary of these values."""
    result = np.empty((), np.object_)
    result[()] = protos.Summary(value=values).SerializeToString()
    return result


def _tag(tag: Array) -> str:
    if tag.shape:
        raise InvalidArgumentError(None, None, f"A tag is a scalar, not of shape {list(tag.shape)}.")
    content: bytes = tag.item()
    return content.decode()


# -- numbers and histograms --------------------------------------------------------------------------------------------


@host("ScalarSummary")
def scalar_summary(op: HostOp, tags: Array, values: Array) -> Array:
    if tags.shape != values.shape:
        shapes = f"{list(tags.shape)} and {list(values.shape)}"
        raise InvalidArgumentError(None, None, f"tags and values not the same shape: {shapes}")
    pairs = zip(tags.reshape(-1).tolist(), values.reshape(-1).tolist(), strict=True)
    return serialized([protos.Summary.Value(tag=tag.decode(), simple_value=float(value)) for tag, value in pairs])


@host("HistogramSummary")
def histogram_summary(op: HostOp, tag: Array, values: Array) -> Array:
    return serialized([protos.Summary.Value(tag=_tag(tag), histo=histogram(values, op.name))])


# -- images ------------------------------------------------------------------------------------------------------------


@host("ImageSummary")
def image_summary(op: HostOp, tag: Array, tensor: Array) -> Array:
    if tensor.ndim != 4 or tensor.shape[3] not in (1, 3, 4):
        raise InvalidArgumentError(None, None, f"Tensor must be 4-D with last dim 1, 3, or 4, not {list(tensor.shape)}")
    most, name = op.attrs["max_images"], _tag(tag)
    bad = np.asarray(op.attrs["bad_color"]).reshape(-1)[: tensor.shape[3]].astype(np.uint8)
    tags = [f"{name}/image"] if most == 1 else [f"{name}/image/{index}" for index in range(most)]
    return serialized([_image(tag, image, bad) for tag, image in zip(tags, tensor, strict=False)])


def _image(tag: str, image: Array, bad_color: npt.NDArray[np.uint8]) -> Any:
    height, width, channels = image.shape
    pixels = image if image.dtype == np.uint8 else _normalized(image, bad_color)
    content = protos.Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=_png(pixels))
    return protos.Summary.Value(tag=tag, image=content)


def _normalized(image: Array, bad_color: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Floats in [0, 255]; pixels with a value that is not finite get `bad_color`."""
    good: npt.NDArray[np.bool_] = np.asarray(np.isfinite(image).all(axis=2))
    finite = np.where(good[..., None], image, 0).astype(np.float64)
    shown = finite[good]
    lowest, highest = (shown.min(), shown.max()) if shown.size else (0.0, 0.0)
    if lowest < 0:
        extreme = max(-lowest, highest)
        scale, offset = (127 / extreme if extreme >= _FAINT else 0.0), _MIDDLE
    else:
        scale, offset = (255 / highest if highest >= _FAINT else 0.0), 0
    # An extreme value must come out as the end of the range, though scale · extreme may round to just below it.
    pixels = np.floor(finite * scale + offset + 1e-9).clip(0, 255).astype(np.uint8)
    pixels[~good] = bad_color
    return pixels


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    encode = host_function("EncodePng")
    assert encode is not None
    png: bytes = encode(_TO_PNG, pixels).item()
    return png


# -- several -----------------------------------------------------------------------------------------------------------


@host("MergeSummary")
def merge_summary(op: HostOp, *inputs: Array) -> Array:
    merged: dict[str, Any] = {}
    for content in (item for array in inputs for item in array.reshape(-1).tolist()):
        for value in _parsed(content).value:
            if value.tag in merged:
                raise InvalidArgumentError(None, None, f"Duplicate tag {value.tag} found in summary inputs")
            merged[value.tag] = value
    return serialized(list(merged.values()))


def _parsed(content: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return protos.Summary.FromString(content)
    except DecodeError:
        raise DataLossError(None, None, "One of the inputs is no serialized Summary.") from None
