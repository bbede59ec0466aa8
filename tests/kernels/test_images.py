"""Ops on images against their definitions, and against what is known of pictures."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.framework.building import apply
from tests.fuzz.compare import Reference
from tests.kernels.batch import Array, Batch
from tests.kernels.numeric_gradients import case, check_gradients

SIZES = [(3, 4), (10, 14), (5, 7), (9, 2), (1, 1)]
METHODS = ["ResizeArea", "ResizeBicubic", "ResizeBilinear", "ResizeNearestNeighbor"]


def picture(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Array:
    greatest = 1 if np.dtype(dtype).kind == "f" else 100
    return np.asarray(np.random.default_rng(seed).random(shape) * greatest, dtype)


def run(*fetches: Any) -> list[Any]:
    with tf.Session() as session:
        return list(session.run(list(fetches)))


# -- sizes -------------------------------------------------------------------------------------------------------------


def assert_as_defined(fetches: list[tf.Tensor]) -> None:
    """Interpolation cancels: what counts is the error beside the brightest pixel, here 100."""
    with tf.Session(graph=fetches[0].graph) as session:
        for got, want, tensor in zip(session.run(fetches), Reference().run(fetches, {}), fetches, strict=True):
            np.testing.assert_allclose(got, want.value, rtol=1e-5, atol=1e-4, err_msg=tensor.name)


@pytest.mark.parametrize("dtype", ["float32", "uint8", "float64", "int16"])
def test_resize(dtype: str) -> None:
    with tf.Graph().as_default():
        images = [tf.constant(picture(shape, dtype)) for shape in [(2, 5, 7, 3), (1, 1, 1, 1), (1, 4, 6, 20)]]
        assert_as_defined(
            [apply(method, [x, size], {}, method) for method in METHODS for x in images for size in SIZES]
        )


@pytest.mark.parametrize("channels", [3, 20])
def test_resize_gradients_are_defined_as_the_reference_has_them(channels: int) -> None:
    with tf.Graph().as_default():
        image = tf.constant(picture((2, 5, 7, channels), "float32"))
        fetches = []
        for size in SIZES:
            grads = tf.constant(picture((2, *size, channels), "float32", 1))
            fetches.append(apply("ResizeBilinearGrad", [grads, image]))
            fetches.append(tf.image.resize_nearest_neighbor_grad(grads, [5, 7]))
        assert_as_defined(fetches)


@pytest.mark.parametrize("method", [tf.image.ResizeMethod.BILINEAR, tf.image.ResizeMethod.NEAREST_NEIGHBOR])
def test_resize_gradients_are_the_adjoint_maps(method: int) -> None:
    """<y, A x> = <Aᵀ y, x> for the linear map A that a resize is."""
    with tf.Graph().as_default():
        products = []
        for size in SIZES:
            x, y = tf.constant(picture((1, 5, 7, 2), "float32")), picture((1, *size, 2), "float32", 1)
            total = tf.reduce_sum(tf.image.resize_images(x, *size, method) * y)
            products += [total, tf.reduce_sum(tf.gradients(total, x)[0] * x)]
        values = run(*products)
    np.testing.assert_allclose(values[::2], values[1::2], rtol=1e-5)


@pytest.mark.parametrize("sizes_known", [True, False])
def test_resize_gradients_are_those_of_differences(sizes_known: bool) -> None:
    """Of the nearest neighbour: the others give float32, which is too coarse."""
    sizes = [np.array(size, np.int32) for size in SIZES]
    types = ("ResizeNearestNeighbor", "ResizeNearestNeighborGrad")
    check_gradients([case(t, (1, 5, 7, 2), size) for t in types for size in sizes], sizes_known)


def test_resize_takes_and_gives_what_it_says() -> None:
    one, many = picture((4, 6, 3), "uint8"), picture((2, 4, 6, 3), "uint8")
    assert tf.image.resize_images(one, 2, 3).get_shape() == (2, 3, 3)
    assert tf.image.resize_images(many, 2, 3).dtype == tf.float32
    assert tf.image.resize_images(many, 2, 3, tf.image.ResizeMethod.NEAREST_NEIGHBOR).dtype == tf.uint8
    tensor = tf.constant(one)
    assert tf.image.resize_images(tensor, 4, 6) is tensor
    with pytest.raises(ValueError, match="either 3 or 4 dimensions"):
        tf.image.resize_images(np.zeros((4, 6)), 2, 3)
    with pytest.raises(ValueError, match="not implemented"):
        tf.image.resize_images(one, 2, 3, 4)
    with pytest.raises(tf.errors.InvalidArgumentError, match="non-zero size"):
        run(tf.image.resize_bilinear(np.zeros((1, 0, 3, 1), np.float32), [2, 2]))
    with pytest.raises(ValueError, match="must be positive"):
        tf.image.resize_bilinear(many, [0, 3])


def test_a_nan_reaches_only_the_pixels_it_has_a_part_in() -> None:
    row = np.array([1, 2, np.nan, 4], np.float32).reshape(1, 1, 4, 1)
    (same,) = run(tf.image.resize_bilinear(row, [2, 4]))
    np.testing.assert_array_equal(same[0, 1, :, 0], [1, 2, np.nan, 4])


# -- colours -----------------------------------------------------------------------------------------------------------


def test_colours_against_their_definitions() -> None:
    batch = Batch()
    for shape in [(4, 5, 3), (3,), (0, 3), (2, 3, 7, 3)]:
        x = batch.feed(picture(shape, "float32"))
        batch.op("RGBToHSV", x)
        batch.op("HSVToRGB", x)
    grey = batch.feed(np.array([[0, 0, 0], [0.5, 0.5, 0.5], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32))
    batch.op("HSVToRGB", batch.op("RGBToHSV", grey))
    for dtype in ("float32", "uint8", "int64", "float64"):
        images = batch.feed(picture((2, 4, 5, 3), dtype) + np.ones((), dtype))
        batch.op("AdjustContrast", images, np.float32(0.5), np.float32(-10), np.float32(60))
    batch.check()


def test_hsv_is_that_of_the_standard_library() -> None:
    pixels = picture((50, 3), "float32")
    hsv, rgb = run(tf.image.rgb_to_hsv(pixels), tf.image.hsv_to_rgb(pixels))
    np.testing.assert_allclose(hsv, [colorsys.rgb_to_hsv(*p) for p in pixels.astype(float)], atol=1e-6)
    np.testing.assert_allclose(rgb, [colorsys.hsv_to_rgb(*p) for p in pixels.astype(float)], atol=1e-6)


def test_hue_and_saturation() -> None:
    image = np.array([[[255, 0, 0], [10, 200, 30], [77, 77, 77]]], np.uint8)
    third, none, grey, same = run(
        tf.image.adjust_hue(image, 1 / 3),
        tf.image.adjust_hue(image, 0.0),
        tf.image.adjust_saturation(image, 0.0),
        tf.image.adjust_saturation(image, 1.0),
    )
    np.testing.assert_array_equal(third[0], [[0, 255, 0], [30, 10, 200], [77, 77, 77]])
    np.testing.assert_array_equal(none, image)
    np.testing.assert_array_equal(grey[0], [[255] * 3, [200] * 3, [77] * 3])
    np.testing.assert_array_equal(same, image)


def test_brightness_and_contrast_keep_the_type_and_its_range() -> None:
    image = np.array([[[0], [100], [200]]], np.uint8)
    bright, bounded, dark, contrast = run(
        tf.image.adjust_brightness(image, 100.0),
        tf.image.adjust_brightness(image, 100.0, 120, 180),
        tf.image.adjust_brightness(image, -150),
        tf.image.adjust_contrast(image, 2.0),
    )
    assert [x.dtype for x in (bright, bounded, dark, contrast)] == [np.uint8] * 4
    np.testing.assert_array_equal(bright.ravel(), [100, 200, 255])
    np.testing.assert_array_equal(bounded.ravel(), [120, 180, 180])
    np.testing.assert_array_equal(dark.ravel(), [0, 0, 50])
    np.testing.assert_array_equal(contrast.ravel(), [0, 100, 255])


CONVERSIONS: list[tuple[str, str, list[float], list[float]]] = [
    ("uint8", "float32", [0, 1, 255], [0, 1 / 255, 1]),
    ("float32", "uint8", [0, 1.1 / 255, 1], [0, 1, 255]),
    ("uint8", "int16", [0, 255], [0, 255 * 128]),
    ("int16", "uint8", [0, 32767], [0, 255]),
    ("uint16", "uint8", [0, 65535, 256], [0, 255, 1]),
    ("int32", "int64", [1], [2**32]),
    ("float32", "float64", [-1, 200000], [-1, 200000]),
    ("uint8", "uint8", [7], [7]),
]


def test_conversions() -> None:
    results = run(*(tf.image.convert_image_dtype(np.array(x, a), b) for a, b, x, _ in CONVERSIONS))
    for result, (_, dtype, _, expected) in zip(results, CONVERSIONS, strict=True):
        assert result.dtype == dtype
        np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_grey() -> None:
    image = np.array([[[100, 0, 0], [0, 100, 0], [0, 0, 100]]], np.uint8)
    grey, colour = run(tf.image.rgb_to_grayscale(image), tf.image.grayscale_to_rgb(image[:, :, :1]))
    np.testing.assert_array_equal(grey.ravel(), [29, 58, 11])
    np.testing.assert_array_equal(colour[0, 0], [100, 100, 100])
    batch = tf.placeholder(tf.float32, [None, None, None, 1])
    assert tf.image.grayscale_to_rgb(batch).get_shape().as_list() == [None, None, None, 3]


# -- frames and turns --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "target", "rows"),
    [(4, 2, [2, 3]), (3, 2, [1, 2]), (3, 1, [2]), (2, 4, [0, 1, 2, 0]), (2, 5, [0, 1, 2, 0, 0]), (3, 3, [1, 2, 3])],
)
def test_crop_or_pad(height: int, target: int, rows: list[int]) -> None:
    image = np.arange(1, height + 1, dtype=np.float32).reshape(height, 1, 1)
    tall, wide = run(
        tf.image.resize_image_with_crop_or_pad(image, target, 1),
        tf.image.resize_image_with_crop_or_pad(image.transpose(1, 0, 2), 1, target),
    )
    np.testing.assert_array_equal(tall.ravel(), rows)
    np.testing.assert_array_equal(wide.ravel(), rows)


def test_boxes() -> None:
    image = picture((4, 5, 2), "float32")
    padded, cropped = run(
        tf.image.pad_to_bounding_box(image, 1, 2, 7, 8), tf.image.crop_to_bounding_box(image, 1, 2, 3, 2)
    )
    np.testing.assert_array_equal(padded, np.pad(image, [(1, 2), (2, 1), (0, 0)]))
    np.testing.assert_array_equal(cropped, image[1:4, 2:4])


def test_turns() -> None:
    image = picture((4, 5, 2), "uint8")
    up, left, across = run(
        tf.image.flip_up_down(image), tf.image.flip_left_right(image), tf.image.transpose_image(image)
    )
    np.testing.assert_array_equal(up, image[::-1])
    np.testing.assert_array_equal(left, image[:, ::-1])
    np.testing.assert_array_equal(across, image.transpose(1, 0, 2))


def test_whitening() -> None:
    image = picture((4, 5, 3), "uint8")
    white, flat = run(
        tf.image.per_image_whitening(image), tf.image.per_image_whitening(np.full((3, 3, 1), 7, np.uint8))
    )
    np.testing.assert_allclose([white.mean(), white.std()], [0, 1], atol=1e-6)
    assert white.dtype == np.float32
    np.testing.assert_array_equal(flat, np.zeros((3, 3, 1)))


# -- by chance ---------------------------------------------------------------------------------------------------------


def test_random_crops_are_anywhere_equally_often() -> None:
    image = np.arange(12, dtype=np.int32).reshape(3, 4, 1)
    crop, whole = tf.image.random_crop(image, [1, 1], seed=3), tf.image.random_crop(image, [3, 4])
    with tf.Session() as session:
        np.testing.assert_array_equal(session.run(whole), image)
        seen = np.bincount([session.run(crop).item() for _ in range(2400)], minlength=12)
    assert (abs(seen - 200) < 5 * 200**0.5).all(), seen
    with pytest.raises(tf.errors.InvalidArgumentError, match="larger than the image"):
        run(tf.image.random_crop(image, [4, 1]))


@pytest.mark.parametrize("flip", [tf.image.random_flip_left_right, tf.image.random_flip_up_down])
def test_random_flips_are_half_of_all(flip: Any) -> None:
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1)
    flipped = flip(image, seed=7)
    with tf.Session() as session:
        count = sum(session.run(flipped)[0, 0, 0] != 0 for _ in range(1000))
    assert 420 < count < 580


def test_random_colours_stay_within_their_bounds() -> None:
    image = np.full((2, 2, 3), 0.5, np.float32) * [1, 0.5, 0.25]
    bright = tf.reduce_mean(tf.image.random_brightness(image.astype(np.float32), 0.25, seed=1)) - image.mean()
    contrast = tf.image.random_contrast(np.array([[[0.0], [1.0]]], np.float32), 0.5, 1.5, seed=2)
    spread = contrast[0, 1, 0] - contrast[0, 0, 0]
    others = [tf.image.random_hue(image, 0.1), tf.image.random_saturation(image, 0.5, 1.5)]
    with tf.Session() as session:
        deltas, spreads = np.transpose([session.run([bright, spread]) for _ in range(300)])
        assert all((x >= 0).all() for x in session.run(others))
    assert (abs(deltas) <= 0.25).all()
    assert deltas.std() > 0.1
    assert spreads.min() >= 0.5
    assert spreads.max() <= 1.5


def test_glimpses() -> None:
    images = np.arange(2 * 5 * 7, dtype=np.float32).reshape(2, 5, 7, 1)
    centre = tf.image.extract_glimpse(images, [3, 3], np.zeros((2, 2), np.float32))
    corner = tf.image.extract_glimpse(images, [2, 4], np.ones((2, 2), np.float32), centered=False, normalized=False)
    noise = tf.image.extract_glimpse(images, [30, 40], np.zeros((2, 2), np.float32), uniform_noise=False)
    outside = tf.image.extract_glimpse(images, [2, 2], np.full((2, 2), 9, np.float32))
    values = run(centre, corner, noise, outside)
    np.testing.assert_array_equal(values[0][..., 0], images[:, 1:4, 2:5, 0])
    np.testing.assert_array_equal(values[1][:, :, 1:, 0], images[:, :2, :3, 0])
    np.testing.assert_array_equal(values[2][:, 12:17, 16:23], images)
    assert abs(values[2][0].mean() - images[0].mean()) < 2
    assert (values[3] >= images.min((1, 2, 3), keepdims=True)).all()
    assert (values[3] <= images.max((1, 2, 3), keepdims=True)).all()


def test_op_types_of_graphs() -> None:
    image, batch = picture((4, 5, 3), "float32"), picture((2, 4, 5, 3), "float32")
    ops = {
        "RandomCrop": tf.image.random_crop(image, [2, 3], seed=5),
        "ExtractGlimpse": tf.image.extract_glimpse(batch, [2, 2], np.zeros((2, 2)), normalized=False),
    }
    assert [(tensor.op.type, tensor.get_shape().as_list()) for tensor in ops.values()] == [
        ("RandomCrop", [2, 3, 3]),
        ("ExtractGlimpse", [2, 2, 2, 3]),
    ]
    flags = [ops["ExtractGlimpse"].op.get_attr(name) for name in ("centered", "normalized", "uniform_noise")]
    assert flags == [True, False, True]


# -- errors ------------------------------------------------------------------------------------------------------------


IMAGE = np.zeros((4, 5, 3), np.float32)
MISTAKES: list[tuple[Any, str]] = [
    (lambda: tf.image.flip_up_down(np.zeros((4, 5))), "must be three-dimensional"),
    (lambda: tf.image.per_image_whitening(tf.placeholder(tf.float32, [None, 5, 3])), "must be fully defined"),
    (lambda: tf.image.flip_left_right(np.zeros((0, 5, 3))), "must be > 0"),
    (lambda: tf.image.pad_to_bounding_box(IMAGE, 0, 0, 3, 5), "target_height must be >= height"),
    (lambda: tf.image.pad_to_bounding_box(IMAGE, 0, 0, 4, 4), "target_width must be >= width"),
    (lambda: tf.image.pad_to_bounding_box(IMAGE, 2, 0, 5, 5), "target_height 5 not possible"),
    (lambda: tf.image.pad_to_bounding_box(IMAGE, -1, 0, 5, 5), "offset_height must be >= 0"),
    (lambda: tf.image.crop_to_bounding_box(IMAGE, 0, -1, 3, 3), "offset_width must be >= 0"),
    (lambda: tf.image.crop_to_bounding_box(IMAGE, 2, 0, 3, 3), r"height must be >= target \+ offset"),
    (lambda: tf.image.resize_image_with_crop_or_pad(IMAGE, 0, 5), "target_height must be > 0"),
    (lambda: tf.image.resize_image_with_crop_or_pad(IMAGE, 5, -1), "target_width must be > 0"),
    (lambda: tf.image.random_brightness(IMAGE, -1), "max_delta must be non-negative"),
    (lambda: tf.image.random_contrast(IMAGE, 2, 1), "upper must be > lower"),
    (lambda: tf.image.random_saturation(IMAGE, -1, 1), "lower must be non-negative"),
    (lambda: tf.image.random_hue(IMAGE, 0.6), "max_delta must be <= 0.5"),
    (lambda: tf.image.rgb_to_hsv(np.zeros((4, 4), np.float32)), "3"),
    (lambda: tf.image.decode_jpeg(b"", channels=4), "channels must be 0, 1, or 3 for JPEG, got 4"),
    (lambda: tf.image.decode_png(b"", channels=2), "channels must be 0, 1, 3, or 4 for PNG, got 2"),
    (lambda: tf.image.decode_jpeg(b"", ratio=3), "ratio must be 1, 2, 4, or 8"),
    (lambda: tf.image.encode_png(IMAGE.astype(np.uint8), compression=10), r"compression should be in \[-1,9\]"),
]


@pytest.mark.parametrize(("make", "message"), MISTAKES, ids=[message for _, message in MISTAKES])
def test_mistakes_are_told_when_the_graph_is_built(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
