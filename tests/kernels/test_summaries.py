"""Summary ops: what the messages hold, against their definitions."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.host.histograms import bucket_limits


def values_of(*summaries: tf.Tensor, feed_dict: Any = None) -> list[Any]:
    """The values that the summaries hold, all in one list."""
    with tf.Session() as session:
        contents = session.run(list(summaries), feed_dict)
    assert all(isinstance(content, bytes) for content in contents)
    return [value for content in contents for value in tf.Summary.FromString(content).value]


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_scalars() -> None:
    one = tf.scalar_summary("loss", tf.constant(2.5) * 2)
    several = tf.scalar_summary(["a", "b"], [1, -7], name="both")
    assert (one.op.type, one.op.name, several.op.name) == ("ScalarSummary", "ScalarSummary", "both")
    assert (one.dtype, one.get_shape().as_list()) == (tf.string, [])
    values = values_of(one, several, tf.scalar_summary("half", tf.constant(0.5, tf.float16)))
    assert [(v.tag, v.simple_value) for v in values] == [("loss", 5.0), ("a", 1.0), ("b", -7.0), ("half", 0.5)]


def test_scalars_of_other_shapes_than_their_tags() -> None:
    with pytest.raises(ValueError, match=r"[Ss]hape"):
        tf.scalar_summary(["a", "b"], 1.0)
    tags = tf.placeholder(tf.string)
    summary = tf.scalar_summary(tags, [1.0, 2.0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="tags and values not the same shape"):
        values_of(summary, feed_dict={tags: ["a"]})


# -- histograms --------------------------------------------------------------------------------------------------------


def by_definition(values: Any) -> tuple[list[float], list[float]]:
    """Limits and counts, value by value, with one empty bucket in place of several in a row."""
    limits = bucket_limits().tolist()
    counts = [0] * len(limits)
    for value in np.asarray(values, np.float64).reshape(-1):
        counts[next((i for i, limit in enumerate(limits) if value < limit), len(limits) - 1)] += 1
    shown: list[tuple[float, float]] = []
    for limit, count in zip(limits, counts, strict=True):
        if shown and count == 0 and shown[-1][1] == 0:
            shown.pop()
        shown.append((limit, count))
    return [limit for limit, _ in shown], [float(count) for _, count in shown]


def test_the_limits_of_buckets() -> None:
    limits = bucket_limits()
    np.testing.assert_array_equal(limits, -limits[::-1])
    positive = limits[limits > 0]
    assert positive[0] == 1e-12
    assert positive[-2] < 1e20 <= positive[-2] * 1.1
    assert positive[-1] == np.finfo(np.float64).max
    np.testing.assert_allclose(positive[1:-1] / positive[:-2], 1.1)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=(13, 7)).astype(np.float32),
        np.array([0.0, -0.0, 1e-13, -1e-13, 1e-12, 1e150, -1e150, np.finfo(np.float64).max]),
        np.array([-3, 0, 5, 5], np.int64),
        np.array([[0, 255]], np.uint8),
        np.array(2.0, np.float16),
        bucket_limits()[700:760],
    ],
    ids=lambda v: f"{v.dtype}{list(v.shape)}",
)
def test_histograms(values: np.ndarray[Any, Any]) -> None:
    (value,) = values_of(tf.histogram_summary("h", tf.constant(values)))
    histo, wide = value.histo, values.astype(np.float64)
    assert (value.tag, histo.num, histo.min, histo.max) == ("h", values.size, wide.min(), wide.max())
    with np.errstate(over="ignore"):
        np.testing.assert_allclose([histo.sum, histo.sum_squares], [wide.sum(), (wide**2).sum()], rtol=1e-12)
    assert (list(histo.bucket_limit), list(histo.bucket)) == by_definition(values)


def test_a_histogram_of_nothing() -> None:
    (value,) = values_of(tf.histogram_summary("h", tf.zeros([0, 3])))
    histo, end = value.histo, np.finfo(np.float64).max
    assert (histo.num, histo.min, histo.max, list(histo.bucket_limit), list(histo.bucket)) == (0, end, -end, [end], [0])


@pytest.mark.parametrize(("bad", "word"), [(np.nan, "Nan"), (np.inf, "Infinity"), (-np.inf, "Infinity")])
def test_histograms_of_values_that_are_not_finite(bad: float, word: str) -> None:
    x = tf.placeholder(tf.float32, [3])
    summary = tf.histogram_summary("h", x, name="histo")
    with pytest.raises(tf.errors.OutOfRangeError, match=f"{word} in summary histogram for: histo"):
        values_of(summary, feed_dict={x: [1.0, bad, 2.0]})


# -- images ------------------------------------------------------------------------------------------------------------


def decoded(image: Any) -> np.ndarray[Any, Any]:
    from PIL import Image

    pixels = np.asarray(Image.open(BytesIO(image.encoded_image_string)))
    return pixels.reshape(image.height, image.width, image.colorspace)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("negative", [False, True])
def test_images_of_floats(channels: int, negative: bool) -> None:
    images = np.random.default_rng(channels).normal(size=(4, 5, 7, channels)).astype(np.float32)
    images = images if negative else 1 + np.maximum(images, 0)
    images[0, 1, 2] = 0.0
    flat = np.abs(images.astype(np.float64)).reshape(4, -1).max(1)
    scale, offset = (127 / flat, 128) if negative else (255 / flat, 0)
    expected = np.floor(scale[:, None, None, None] * images + offset + 1e-9)
    images[0, 1, 2, channels // 2] = np.nan
    expected[0, 1, 2] = [255, 0, 0, 255][:channels]
    values = values_of(tf.image_summary("img", images))
    assert [v.tag for v in values] == [f"img/image/{index}" for index in range(3)]
    for value, wanted in zip(values, expected, strict=False):
        assert (value.image.height, value.image.width, value.image.colorspace) == (5, 7, channels)
        np.testing.assert_array_equal(decoded(value.image), wanted)


def test_images_of_bytes_and_extremes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 4, 3)).astype(np.uint8)
    dark = np.zeros([1, 2, 2, 1], np.float32)
    blind = np.full([1, 2, 2, 1], np.inf, np.float64)
    values = values_of(
        tf.image_summary("bytes", pixels, max_images=5),
        tf.image_summary("one", pixels, max_images=1),
        tf.image_summary("dark", dark, max_images=1),
        tf.image_summary("blind", blind, max_images=1),
        tf.image_summary("none", np.zeros([0, 2, 2, 1], np.uint8)),
    )
    assert [v.tag for v in values] == ["bytes/image/0", "bytes/image/1", "one/image", "dark/image", "blind/image"]
    for value, wanted in zip(values, [*pixels, pixels[0], dark[0], np.full([2, 2, 1], 255)], strict=True):
        np.testing.assert_array_equal(decoded(value.image), wanted)


def test_what_is_no_image() -> None:
    with pytest.raises(ValueError, match="last dim 1, 3, or 4"):
        tf.image_summary("i", tf.zeros([1, 2, 2, 2]))
    with pytest.raises(ValueError, match=r"rank"):
        tf.image_summary("i", tf.zeros([2, 2, 3]))
    with pytest.raises(ValueError, match="max_images"):
        tf.image_summary("i", tf.zeros([1, 2, 2, 3]), max_images=0)
    x = tf.placeholder(tf.float32)
    summary = tf.image_summary("i", x)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Tensor must be 4-D with last dim 1, 3, or 4"):
        values_of(summary, feed_dict={x: np.zeros([1, 2, 2, 2])})


# -- several -----------------------------------------------------------------------------------------------------------


def test_merging() -> None:
    assert tf.merge_all_summaries() is None
    a, b = tf.scalar_summary("a", 1.0), tf.scalar_summary(["b", "c"], [2.0, 3.0])
    merged = tf.merge_summary([a, b])
    everything = tf.merge_all_summaries()
    assert everything is not None
    assert (merged.op.type, merged.op.name) == ("MergeSummary", "MergeSummary")
    assert tf.get_collection(tf.GraphKeys.SUMMARIES) == [a, b]
    for summary in (merged, everything):
        assert [(v.tag, v.simple_value) for v in values_of(summary)] == [("a", 1.0), ("b", 2.0), ("c", 3.0)]


def test_merging_of_equal_tags_and_of_no_summaries() -> None:
    twice = tf.merge_summary([tf.scalar_summary("a", 1.0), tf.scalar_summary("a", 2.0)])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Duplicate tag a found in summary inputs"):
        values_of(twice)
    with pytest.raises(tf.errors.DataLossError, match="no serialized Summary"):
        values_of(tf.merge_summary([tf.constant("\xff\xff\xff")]))
    with pytest.raises(ValueError, match="at least one"):
        tf.merge_summary([])


def test_collections() -> None:
    a = tf.scalar_summary("a", 1.0, collections=["mine"])
    h = tf.histogram_summary("h", [1.0], collections=["mine", tf.GraphKeys.SUMMARIES])
    i = tf.image_summary("i", tf.zeros([1, 1, 1, 1]), collections=[])
    merged = tf.merge_summary([a, i], collections=["merged"])
    assert tf.get_collection("mine") == [a, h]
    assert tf.get_collection(tf.GraphKeys.SUMMARIES) == [h]
    assert tf.get_collection("merged") == [merged]
    assert tf.merge_all_summaries("mine").op.inputs == (a, h)


def test_the_names_of_version_1() -> None:
    with tf.name_scope("train"):
        loss = tf.summary.scalar("loss", 1.0)
        tf.summary.histogram("weights", [1.0, 2.0])
        tf.summary.image("input", tf.zeros([1, 2, 2, 1]), max_outputs=1)
    assert loss.op.name == "train/loss"
    merged = tf.summary.merge_all()
    assert merged is not None
    assert [v.tag for v in values_of(merged)] == ["train/loss", "train/weights", "train/input/image"]
    assert tf.summary.merge([loss]).op.type == "MergeSummary"
