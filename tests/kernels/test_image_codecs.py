"""JPEG and PNG: what is encoded and decoded again, checked against Pillow's own reading and writing."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.fuzz.compare import Reference
from tests.kernels.batch import Array

Image = pytest.importorskip("PIL.Image")


def run(fetch: Any, feeds: dict[Any, Any] | None = None) -> Any:
    with tf.Session() as session:
        return session.run(fetch, feeds)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def smooth(height: int, width: int) -> Array:
    """Slow changes, which JPEG keeps."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * y + 50, 3 * x + 40, 2 * (x + y) + 30], -1).astype(np.uint8)


def saved(array: Array, kind: str, mode: str | None = None, **options: Any) -> bytes:
    buffer = BytesIO()
    Image.fromarray(array, mode).save(buffer, kind, **options)
    return buffer.getvalue()


# -- png ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_keeps_every_pixel(channels: int) -> None:
    image = noise(5, 7, channels)
    contents = tf.image.encode_png(image, compression=9)
    decoded = tf.image.decode_png(contents)
    data, again = run([contents, decoded])
    np.testing.assert_array_equal(again, image)
    assert data.startswith(b"\x89PNG")
    assert decoded.get_shape().as_list() == [None, None, None]


def test_png_channels_asked_for() -> None:
    contents = saved(noise(4, 6, 3), "PNG")
    image = Image.open(BytesIO(contents))
    grey, colour, alpha = run([tf.image.decode_png(contents, channels=n) for n in (1, 3, 4)])
    np.testing.assert_array_equal(grey[:, :, 0], np.asarray(image.convert("L")))
    np.testing.assert_array_equal(colour, np.asarray(image))
    np.testing.assert_array_equal(alpha[:, :, 3], np.full((4, 6), 255))
    assert tf.image.decode_png(contents, channels=3).get_shape().as_list() == [None, None, 3]


def test_png_of_palettes_bits_and_words() -> None:
    palette = Image.fromarray(noise(4, 6, 3)).convert("P")
    buffer = BytesIO()
    palette.save(buffer, "PNG")
    bits = saved(np.array([[True, False]]), "PNG")
    words = saved(np.array([[0, 0x1234, 0xFFFF]], np.uint16), "PNG")
    colours, black, upper = run([tf.image.decode_png(data) for data in (buffer.getvalue(), bits, words)])
    np.testing.assert_array_equal(colours, np.asarray(palette.convert("RGB")))
    np.testing.assert_array_equal(black[:, :, 0], [[255, 0]])
    np.testing.assert_array_equal(upper[:, :, 0], [[0, 0x12, 0xFF]])


# -- jpeg --------------------------------------------------------------------------------------------------------------


def test_jpeg_is_what_pillow_reads() -> None:
    contents = saved(smooth(20, 30), "JPEG", quality=80)
    colour, grey = run([tf.image.decode_jpeg(contents), tf.image.decode_jpeg(contents, channels=1)])
    np.testing.assert_array_equal(colour, np.asarray(Image.open(BytesIO(contents))))
    assert grey.shape == (20, 30, 1)
    assert abs(grey.astype(float) - colour @ [[0.299], [0.587], [0.114]]).max() < 6


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("options", [{}, {"progressive": True, "optimize_size": True, "chroma_downsampling": False}])
def test_jpeg_and_back(channels: int, options: dict[str, Any]) -> None:
    image = smooth(24, 16)[:, :, :channels]
    contents = tf.image.encode_jpeg(image, density_unit="cm", x_density=100, xmp_metadata="<x/>", **options)
    data, again = run([contents, tf.image.decode_jpeg(contents)])
    assert abs(again.astype(int) - image).max() < 8
    assert again.shape == image.shape
    opened = Image.open(BytesIO(data))
    assert bool(opened.info.get("progressive")) == bool(options)
    assert round(opened.info["dpi"][0]) == 254


def test_jpeg_quality_makes_files_larger() -> None:
    small, large = run([tf.image.encode_jpeg(noise(32, 32, 3), quality=quality) for quality in (10, 95)])
    assert len(small) < len(large) / 2


@pytest.mark.parametrize("ratio", [2, 4, 8])
@pytest.mark.parametrize("size", [(16, 24), (15, 23), (3, 9), (1, 1)])
def test_jpeg_at_lower_resolution(ratio: int, size: tuple[int, int]) -> None:
    contents = saved(smooth(*size), "JPEG", quality=95)
    image = run(tf.image.decode_jpeg(contents, ratio=ratio))
    assert image.shape == (-(-size[0] // ratio), -(-size[1] // ratio), 3)


def test_jpeg_that_is_cut_off() -> None:
    whole = saved(noise(64, 40, 3), "JPEG", quality=95)
    contents = whole[: len(whole) // 2]
    part = run(tf.image.decode_jpeg(contents, try_recover_truncated=True, acceptable_fraction=0.2))
    full = run(tf.image.decode_jpeg(whole))
    np.testing.assert_array_equal(part[:8], full[:8])
    np.testing.assert_array_equal(part[-8:], np.zeros((8, 40, 3)))
    for options in ({}, {"try_recover_truncated": True}, {"try_recover_truncated": True, "acceptable_fraction": 0.9}):
        with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid JPEG data, size"):
            run(tf.image.decode_jpeg(contents, **options))


def test_op_types_of_graphs_and_their_definition() -> None:
    """A host function defines its op: the reference executor calls the same one."""
    image = tf.constant(noise(4, 4, 3))
    png, jpeg = tf.image.encode_png(image), tf.image.encode_jpeg(image, quality=50)
    tensors = [png, jpeg, tf.image.decode_png(png, channels=1), tf.image.decode_jpeg(jpeg)]
    assert [t.op.type for t in tensors] == ["EncodePng", "EncodeJpeg", "DecodePng", "DecodeJpeg"]
    assert (jpeg.op.get_attr("quality"), tensors[2].op.get_attr("channels")) == (50, 1)
    for got, want in zip(run(tensors), Reference().run(tensors, {}), strict=True):
        np.testing.assert_array_equal(got, want.value)


# -- errors ------------------------------------------------------------------------------------------------------------


def test_what_is_no_image() -> None:
    contents = tf.placeholder(tf.string, [])
    png = saved(noise(9, 9, 3), "PNG")
    for decode, kind, data in (
        (tf.image.decode_png, "PNG", b"no image"),
        (tf.image.decode_png, "PNG", b""),
        (tf.image.decode_png, "PNG", png[: len(png) // 2]),
        (tf.image.decode_png, "PNG", saved(noise(4, 4, 3), "JPEG")),
        (tf.image.decode_jpeg, "JPEG", b"no image"),
        (tf.image.decode_jpeg, "JPEG", png),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"Invalid {kind} data, size {len(data)}"):
            run(decode(contents), {contents: data})


def test_images_that_no_file_can_hold() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 1, 3 channels for JPEG"):
        run(tf.image.encode_jpeg(noise(4, 4, 4)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have 1 channels for JPEG"):
        run(tf.image.encode_jpeg(noise(4, 4, 3), format="grayscale"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must have pixels"):
        run(tf.image.encode_png(noise(0, 4, 3)))
    with pytest.raises(ValueError, match="rank 3"):
        tf.image.encode_png(noise(4, 4))


def test_without_pillow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(tf.errors.UnimplementedError, match=r"flowc\[image\]"):
        run(tf.image.decode_png(b""))
