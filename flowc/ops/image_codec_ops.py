"""JPEG and PNG: files' contents to images and back, on the host."""

from __future__ import annotations

from typing import Any, Final

from flowc.framework.building import apply
from flowc.framework.dtypes import STRING, string, uint8
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape

__all__ = ["decode_jpeg", "decode_png", "encode_jpeg", "encode_png"]

_UINT8: Final = frozenset((uint8,))
_DECODE_JPEG: Final = {
    "channels": 0,
    "ratio": 1,
    "fancy_upscaling": True,
    "try_recover_truncated": False,
    "acceptable_fraction": 1.0,
}
_ENCODE_JPEG: Final = {
    "format": "",
    "quality": 95,
    "progressive": False,
    "optimize_size": False,
    "chroma_downsampling": True,
    "density_unit": "in",
    "x_density": 300,
    "y_density": 300,
    "xmp_metadata": "",
}


def _decoded(ctx: ShapeContext) -> Shapes:
    """As large as the file says: only the number of channels may be known."""
    ctx.shapes[0].assert_has_rank(0)
    return (TensorShape([None, None, ctx.attrs.get("channels") or None]),)


def _encoded(ctx: ShapeContext) -> Shapes:
    ctx.shapes[0].assert_has_rank(3)
    return (TensorShape(()),)


define(
    "DecodeJpeg", shape=_decoded, allowed=(STRING,), result=uint8, inputs="contents", type_attrs="-", attrs=_DECODE_JPEG
)
define(
    "DecodePng",
    shape=_decoded,
    allowed=(STRING,),
    result=uint8,
    inputs="contents",
    type_attrs="-",
    attrs={"channels": 0},
)
define(
    "EncodeJpeg", shape=_encoded, allowed=(_UINT8,), result=string, inputs="image", type_attrs="-", attrs=_ENCODE_JPEG
)
define(
    "EncodePng",
    shape=_encoded,
    allowed=(_UINT8,),
    result=string,
    inputs="image",
    type_attrs="-",
    attrs={"compression": -1},
)
not_differentiable("DecodeJpeg", "DecodePng", "EncodeJpeg", "EncodePng")


def _attrs(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The defaults, with what is given in their place."""
    return {key: default if given[key] is None else given[key] for key, default in defaults.items()}


def _check_channels(channels: int | None, allowed: tuple[int, ...], what: str) -> None:
    if channels is not None and channels not in allowed:
        *first, last = allowed
        raise ValueError(f"channels must be {', '.join(map(str, first))}, or {last} for {what}, got {channels}")


def decode_jpeg(
    contents: Any,
    channels: int | None = None,
    ratio: int | None = None,
    fancy_upscaling: bool | None = None,
    try_recover_truncated: bool | None = None,
    acceptable_fraction: float | None = None,
    name: str | None = None,
) -> Tensor:
    """The image of a JPEG file: uint8 of shape [height, width, channels].

    Args:
        contents: a scalar string, the file's contents.
        channels: 0 as in the file (the default), 1 grey, 3 red, green and blue.
        ratio: 1, 2, 4 or 8: decode it as many times smaller, which is faster than to resize it.
        fancy_upscaling: smooth colours that the file has at lower resolution (the default); Pillow has no way not to,
            so False fails the run with UnimplementedError.
        try_recover_truncated: decode what there is of a file that is cut off, the rest black; by default an error.
        acceptable_fraction: the part of a cut-off file's rows that must be there, by default all.
        name: the operation's name.

    Needs the extra `flowc[image]`. What is no JPEG fails the run with InvalidArgumentError. ValueError for other
    numbers of channels or ratios.
    """
    _check_channels(channels, (0, 1, 3), "JPEG")
    if ratio not in (None, 1, 2, 4, 8):
        raise ValueError(f"ratio must be 1, 2, 4, or 8, got {ratio}")
    given = {
        "channels": channels,
        "ratio": ratio,
        "fancy_upscaling": fancy_upscaling,
        "try_recover_truncated": try_recover_truncated,
        "acceptable_fraction": acceptable_fraction,
    }
    return apply("DecodeJpeg", [contents], _attrs(_DECODE_JPEG, given), name)


def decode_png(contents: Any, channels: int | None = None, name: str | None = None) -> Tensor:
    """The image of a PNG file: uint8 of shape [height, width, channels].

    Args:
        contents: a scalar string, the file's contents.
        channels: 0 as in the file (the default), 1 grey, 3 red, green and blue, 4 with an alpha channel.
        name: the operation's name.

    Needs the extra `flowc[image]`. What is no PNG fails the run with InvalidArgumentError. ValueError for other numbers
    of channels.
    """
    _check_channels(channels, (0, 1, 3, 4), "PNG")
    return apply("DecodePng", [contents], _attrs({"channels": 0}, {"channels": channels}), name)


def encode_jpeg(
    image: Any,
    format: str | None = None,
    quality: int | None = None,
    progressive: bool | None = None,
    optimize_size: bool | None = None,
    chroma_downsampling: bool | None = None,
    density_unit: str | None = None,
    x_density: int | None = None,
    y_density: int | None = None,
    xmp_metadata: str | None = None,
    name: str | None = None,
) -> Tensor:
    """A JPEG file of an image: a scalar string.

    Args:
        image: uint8 of shape [height, width, channels].
        format: "" by the number of channels (the default), "grayscale" for 1, "rgb" for 3.
        quality: from 0 to 100, by default 95.
        progressive: a file that shows all of it at once, ever sharper.
        optimize_size: make it smaller, losing nothing but time.
        chroma_downsampling: colours at half the resolution (the default).
        density_unit: of `x_density` and `y_density`, pixels by "in" (the default) or "cm".
        x_density: by default 300.
        y_density: by default 300.
        xmp_metadata: to be put into the file.
        name: the operation's name.

    Needs the extra `flowc[image]`. Raises ValueError for other formats, qualities or units.
    """
    if format not in (None, "", "grayscale", "rgb"):
        raise ValueError(f"format must be '', 'grayscale' or 'rgb', got {format!r}")
    if quality is not None and not 0 <= quality <= 100:
        raise ValueError(f"quality must be in [0,100], got {quality}")
    if density_unit not in (None, "in", "cm"):
        raise ValueError(f"density_unit must be 'in' or 'cm', got {density_unit!r}")
    given = {
        "format": format,
        "quality": quality,
        "progressive": progressive,
        "optimize_size": optimize_size,
        "chroma_downsampling": chroma_downsampling,
        "density_unit": density_unit,
        "x_density": x_density,
        "y_density": y_density,
        "xmp_metadata": xmp_metadata,
    }
    return apply("EncodeJpeg", [image], _attrs(_ENCODE_JPEG, given), name)


def encode_png(image: Any, compression: int | None = None, name: str | None = None) -> Tensor:
    """A PNG file of an image: a scalar string.

    Args:
        image: uint8 of shape [height, width, channels]: 1 grey, 2 grey with alpha, 3 red, green and blue, 4 with alpha.
        compression: of zlib, from 0 (none) to 9 (best, slowest); -1, the default: zlib's own choice.
        name: the operation's name.

    Needs the extra `flowc[image]`. Raises ValueError for other compressions.
    """
    if compression is not None and not -1 <= compression <= 9:
        raise ValueError(f"compression should be in [-1,9], got {compression}")
    return apply("EncodePng", [image], _attrs({"compression": -1}, {"compression": compression}), name)
