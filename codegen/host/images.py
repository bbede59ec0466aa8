"""JPEG and PNG, by Pillow."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from typing import Any, Final

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.errors import InvalidArgumentError, UnimplementedError

_MODES: Final = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}  # Pillow's, by the number of channels


def _pillow() -> Any:
    """The `PIL` package with its module `Image`."""
    try:
        import PIL.Image
    except ImportError as error:
        raise UnimplementedError(
            None, None, "Decoding and encoding images needs Pillow: pip install 'flowc[image]'"
        ) from error
    return PIL


def _invalid(message: str) -> InvalidArgumentError:
    return InvalidArgumentError(None, None, message)


# -- decoding ----------------------------------------------------------------------------------------------------------


def _opened(contents: Array, kind: str) -> Any:
    data: bytes = contents.item()
    try:
        return _pillow().Image.open(BytesIO(data), formats=[kind])
    except (OSError, SyntaxError, ValueError):
        raise _invalid(f"Invalid {kind} data, size {len(data)}") from None


def _pixels(image: Any, channels: int) -> Array:
    """The image as [height, width, channels]."""
    array = np.asarray(image.convert(_MODES[channels]), np.uint8)
    return array.reshape(image.height, image.width, channels)


@host("DecodeJpeg")
def _decode_jpeg(op: HostOp, contents: Array) -> Array:
    image = _opened(contents, "JPEG")
    channels = op.attrs["channels"] or (1 if image.mode == "L" else 3)
    if not op.attrs["fancy_upscaling"]:
        raise UnimplementedError(None, None, "decode_jpeg: Pillow cannot turn fancy upscaling off")
    _draft(image, channels, op.attrs["ratio"])
    try:
        image.load()
    except (OSError, SyntaxError) as error:
        if not op.attrs["try_recover_truncated"]:
            raise _invalid(f"Invalid JPEG data, size {len(contents.item())}: {error}") from None
        image = _recovered(contents, channels, op)
    return _pixels(_reduced(image, _opened(contents, "JPEG").size, op.attrs["ratio"]), channels)


def _draft(image: Any, channels: int, ratio: int) -> None:
    """Sets the decoder to grey, which is one of the file's own channels, and to a lower resolution, where asked for."""
    size = tuple(max(n // ratio, 1) for n in image.size)
    image.draft("L" if channels == 1 else None, size if ratio > 1 else None)


def _reduced(image: Any, full: tuple[int, int], ratio: int) -> Any:
    """The image at 1/ratio of its full size: the decoder does less where there are not enough pixels."""
    if image.size == tuple(-(-n // ratio) for n in full):
        return image
    return image.reduce(ratio * image.width // full[0])


def _recovered(contents: Array, channels: int, op: HostOp) -> Any:
    """What there is of a file that is cut off, black below. Its rows come out the same on whatever is there before."""
    on_black, on_white = (_decoded_onto(shade, contents, channels, op.attrs["ratio"]) for shade in (0, 255))
    rows = (np.asarray(on_black) == np.asarray(on_white)).reshape(on_black.height, -1).all(1)
    needed = op.attrs["acceptable_fraction"] * on_black.height
    if rows.sum() < needed:
        raise _invalid(f"Invalid JPEG data, size {len(contents.item())}: {rows.sum()} rows of {on_black.height}")
    return on_black


def _decoded_onto(shade: int, contents: Array, channels: int, ratio: int) -> Any:
    """What the decoder leaves of a picture of one shade when it runs out of data."""
    image = _opened(contents, "JPEG")
    _draft(image, channels, ratio)
    result = _pillow().Image.new(image.mode, image.size, (shade,) * len(image.getbands()))
    image.im = result.im
    with suppress(OSError, SyntaxError):
        image.load()
    return result


@host("DecodePng")
def _decode_png(op: HostOp, contents: Array) -> Array:
    """Palettes become colours; of 16 bits, the upper 8 stay."""
    image = _opened(contents, "PNG")
    try:
        image.load()
    except (OSError, SyntaxError, ValueError) as error:
        raise _invalid(f"Invalid PNG data, size {len(contents.item())}: {error}") from None
    if image.mode.startswith("I"):
        image = _pillow().Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return _pixels(image, op.attrs["channels"] or _channels_of(image))


def _channels_of(image: Any) -> int:
    """How many channels a file has."""
    transparent = "transparency" in image.info
    if image.mode == "P":
        return 4 if transparent else 3
    if image.mode in ("1", "L"):
        return 2 if transparent else 1
    return 4 if transparent else len(image.getbands())


# -- encoding ----------------------------------------------------------------------------------------------------------


def _image(array: Array, allowed: tuple[int, ...], what: str) -> Any:
    channels = array.shape[2] if array.ndim == 3 else 0
    if channels not in allowed:
        raise _invalid(f"image must have {', '.join(map(str, allowed))} channels for {what}, has shape {array.shape}")
    if not array.size:
        raise _invalid(f"image must have pixels to be a {what} file, has shape {array.shape}")
    plain = array[:, :, 0] if channels == 1 else array
    return _pillow().Image.fromarray(np.ascontiguousarray(plain), _MODES[channels])


def _file(image: Any, kind: str, options: dict[str, Any]) -> Array:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return np.array(buffer.getvalue(), object)


@host("EncodePng")
def _encode_png(op: HostOp, image: Array) -> Array:
    level = op.attrs["compression"]
    return _file(_image(image, (1, 2, 3, 4), "PNG"), "PNG", {"compress_level": 6 if level == -1 else level})


@host("EncodeJpeg")
def _encode_jpeg(op: HostOp, image: Array) -> Array:
    attrs = op.attrs
    allowed = {"": (1, 3), "grayscale": (1,), "rgb": (3,)}[attrs["format"]]
    per_inch = 2.54 if attrs["density_unit"] == "cm" else 1
    options: dict[str, Any] = {
        "quality": attrs["quality"],
        "progressive": attrs["progressive"],
        "optimize": attrs["optimize_size"],
        "subsampling": "4:2:0" if attrs["chroma_downsampling"] else "4:4:4",
        "dpi": (attrs["x_density"] * per_inch, attrs["y_density"] * per_inch),
    }
    if attrs["xmp_metadata"]:
        options["xmp"] = _bytes(attrs["xmp_metadata"])
    return _file(_image(image, allowed, "JPEG"), "JPEG", options)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
