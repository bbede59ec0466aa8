"""The reader of Example messages against the protocol buffers' own library."""

from __future__ import annotations

import random

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.host.examples import Malformed, features_of

INTEGERS = [0, 1, -1, 127, 128, 300, 2**31, -(2**31), 2**63 - 1, -(2**63)]


def feature(values: list[bytes] | list[float] | list[int]) -> tf.train.Feature:
    """A Feature of the values' kind."""
    if isinstance(values[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
    if isinstance(values[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def example(**features: list[bytes] | list[float] | list[int]) -> bytes:
    """An Example of these features, as it is stored."""
    made = {name: feature(values) for name, values in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def test_all_kinds() -> None:
    data = example(a=[b"x", b"", b"\x00\xff" * 100], b=[1.5, float("inf")], c=INTEGERS, d=INTEGERS * 20)
    found = features_of(data, {b"a", b"b", b"c", b"d"})
    assert found[b"a"] == ("string", [b"x", b"", b"\x00\xff" * 100])
    np.testing.assert_array_equal(found[b"b"][1], np.array([1.5, np.inf], np.float32))
    assert found[b"c"][1].tolist() == INTEGERS
    assert found[b"d"][1].tolist() == INTEGERS * 20
    assert [found[key][1].dtype for key in (b"b", b"d")] == [np.float32, np.int64]


def test_only_what_is_wanted() -> None:
    assert list(features_of(example(a=[1], b=[2]), {b"b", b"missing"})) == [b"b"]
    assert features_of(b"", {b"a"}) == {}


def test_a_feature_without_a_list() -> None:
    made = tf.train.Features(feature={"a": tf.train.Feature()})
    assert features_of(tf.train.Example(features=made).SerializeToString(), {b"a"}) == {}
    made = tf.train.Features(feature={"a": tf.train.Feature(int64_list=tf.train.Int64List())})
    (kind, values) = features_of(tf.train.Example(features=made).SerializeToString(), {b"a"})[b"a"]
    assert (kind, len(values)) == ("int64", 0)


def test_numbers_that_are_not_packed() -> None:
    floats = b"\x0d" + np.float32(2.5).tobytes()
    entry = b"\x0a\x01a\x12" + bytes([2 + len(floats) * 2]) + b"\x12" + bytes([2 * len(floats)]) + floats * 2
    features = b"\x0a" + bytes([len(entry)]) + entry
    data = b"\x0a" + bytes([len(features)]) + features
    assert tf.train.Example.FromString(data).features.feature["a"].float_list.value == [2.5, 2.5]
    assert features_of(data, {b"a"})[b"a"][1].tolist() == [2.5, 2.5]
    ints = b"\x08\x96\x01\x08\x05"
    entry = b"\x0a\x01a\x12" + bytes([2 + len(ints)]) + b"\x1a" + bytes([len(ints)]) + ints
    features = b"\x0a" + bytes([len(entry)]) + entry
    data = b"\x0a" + bytes([len(features)]) + features
    assert features_of(data, {b"a"})[b"a"][1].tolist() == [150, 5]


def test_damaged_messages_are_read_or_refused() -> None:
    """Whatever the bytes, the reader ends: with values, or by saying that they are no message."""
    rng = random.Random(0)
    whole = bytearray(example(a=[b"text"], b=[1.0, 2.0], c=[1, 300, -1]))
    refused = 0
    for _ in range(3000):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        try:
            features_of(bytes(data[: rng.randint(0, len(data))]), {b"a", b"b", b"c"})
        except Malformed:
            refused += 1
    assert refused > 1000


@pytest.mark.parametrize("data", [b"yikes!", b"\x0a\x05abc", b"\xff" * 20, b"\x0b\x01"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(Malformed):
        features_of(data, {b"a"})
