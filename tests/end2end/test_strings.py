"""Ops on strings: numbers in them, raw bytes, comma-separated values, examples; and arrays of strings."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

import flowc as tf
from tests.unit.test_examples import example


def same(actual: Any, expected: Any) -> None:
    """Asserts that two arrays have the same type, shape and elements."""
    assert np.asarray(actual).dtype == np.asarray(expected).dtype
    np.testing.assert_array_equal(actual, expected)


# -- numbers and hashes ------------------------------------------------------------------------------------------------


def test_numbers_in_strings(session: tf.Session) -> None:
    texts = ["0", "3.", "-1", "  1.5e3 ", "0x10", "INF", "-inf", "1e99"]
    floats = [0, 3, -1, 1500, 16, np.inf, -np.inf, np.inf]
    same(session.run(tf.string_to_number(texts)), np.array(floats, np.float32))
    assert np.isnan(session.run(tf.string_to_number("nan")))
    texts = [["0", " -5"], ["2147483647", "-2147483648"]]
    same(session.run(tf.string_to_number(texts, tf.int32)), np.array([[0, -5], [2**31 - 1, -(2**31)]], np.int32))
    same(session.run(tf.string_to_number(np.zeros((0, 2), object))), np.zeros((0, 2), np.float32))


@pytest.mark.parametrize(
    ("text", "dtype"),
    [("foo", "float32"), ("", "float32"), ("1_0", "float32"), ("2.5", "int32"), ("2147483648", "int32")],
)
def test_what_is_no_number(text: str, dtype: str, session: tf.Session) -> None:
    words = f"could not correctly convert string: {text}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        session.run(tf.string_to_number([text], dtype))


def test_hash_buckets(session: tf.Session) -> None:
    """Hash64("a"), of "b" and of "c" are published: 2996632905371535868, 5795986006276551370, 14899841994519054197."""
    same(session.run(tf.string_to_hash_bucket(["a", "b", "c"], 10)), np.array([8, 0, 7]))
    buckets = session.run(tf.string_to_hash_bucket([f"item {i}" for i in range(2000)], 4))
    assert np.bincount(buckets).min() > 400
    with pytest.raises(ValueError, match="positive"):
        tf.string_to_hash_bucket("a", 0)


# -- raw bytes ---------------------------------------------------------------------------------------------------------


def test_decode_raw(session: tf.Session) -> None:
    out = tf.decode_raw(["A\x00", "\x01B"], tf.uint8)
    same(session.run(out), np.array([[65, 0], [1, 66]], np.uint8))
    assert out.get_shape().as_list() == [2, None]
    data = struct.pack("<3f", 1, -2.5, 3)
    same(session.run(tf.decode_raw(data, tf.float32)), np.array([1, -2.5, 3], np.float32))
    big = struct.pack(">2h", 1, -2)
    same(session.run(tf.decode_raw([[big]], tf.int16, little_endian=False)), np.array([[[1, -2]]], np.int16))
    same(session.run(tf.decode_raw([""], tf.int64)), np.zeros((1, 0), np.int64))
    same(session.run(tf.decode_raw(np.zeros(0, object), tf.int8)), np.zeros((0, 0), np.int8))


def test_decode_raw_of_wrong_lengths(session: tf.Session) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="length 3 that is not a multiple of 2, the size of int16"):
        session.run(tf.decode_raw(["123", "456"], tf.int16))
    with pytest.raises(tf.errors.InvalidArgumentError, match="strings to all be the same size, but element 1 has size"):
        session.run(tf.decode_raw(["12", "345"], tf.uint8))
    with pytest.raises(TypeError, match="decode_raw makes"):
        tf.decode_raw("12", tf.complex64)


# -- comma-separated values --------------------------------------------------------------------------------------------


def test_columns(session: tf.Session) -> None:
    records = ['1,2.5,"a ""b"", c",7', " -4 , 1e3 ,,", '"5","6",x,8']
    columns = tf.decode_csv(records, [[1], [1.0], ["none"], tf.constant([9], tf.int64)])
    found = session.run(columns)
    same(found[0], np.array([1, -4, 5], np.int32))
    same(found[1], np.array([2.5, 1000, 6], np.float32))
    same(found[2], np.array([b'a "b", c', b"none", b"x"], object))
    same(found[3], np.array([7, 9, 8], np.int64))
    assert [c.get_shape().as_list() for c in columns] == [[3]] * 4


def test_other_delimiters_line_breaks_and_scalars(session: tf.Session) -> None:
    a, b = tf.decode_csv('x\t"y\nz"', [[""], [""]], field_delim="\t")
    assert session.run([a, b]) == [b"x", b"y\nz"]
    with pytest.raises(ValueError, match="only 1 char"):
        tf.decode_csv("x", [[""]], field_delim="ab")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("1,2", "Expect 3 fields but have 2 in record 1"),
        ("1,2,3,4", "Expect 3 fields but have 4 in record 1"),
        (",2,3", "Field 0 is required but missing in record 1!"),
        ("1.5,2,3", "Field 0 in record 1 is not a valid int32: 1.5"),
        ("1,x,3", "Field 1 in record 1 is not a valid float: x"),
        ('1,2,a"b', "Unquoted fields cannot have quotes/CRLFs inside"),
        ("1,2,a\nb", "Unquoted fields cannot have quotes/CRLFs inside"),
        ('1,2,"a"b', "Quoted field has to end with quote followed by delim or end"),
        ('1,2,"ab', "Quoted field has to end with quote followed by delim or end"),
    ],
)
def test_records_that_are_not_well_formed(record: str, words: str, session: tf.Session) -> None:
    required = tf.constant([], tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        session.run(tf.decode_csv(["1,2,3", record], [required, [1.0], ["d"]]))


# -- examples ----------------------------------------------------------------------------------------------------------


def test_parse_example(session: tf.Session) -> None:
    serialized = [
        example(a=[1, 2], b=[1.0, 2.0], c=[b"one"]),
        example(b=[3.0, 4.0], other=[5]),
        example(a=[3, 4, 5], b=[5.0, 6.0], c=[b"three"]),
    ]
    parsed = tf.parse_example(
        serialized,
        sparse_keys=["a", "none"],
        sparse_types=[tf.int64, tf.string],
        dense_keys=["b", "c"],
        dense_types=[tf.float32, tf.string],
        dense_defaults={"c": "default"},
        dense_shapes=[[2, 1], []],
    )
    assert sorted(parsed) == ["a", "b", "c", "none"]
    indices, values, shape = session.run(parsed["a"])
    same(indices, np.array([[0, 0], [0, 1], [2, 0], [2, 1], [2, 2]]))
    same(values, np.array([1, 2, 3, 4, 5]))
    same(shape, np.array([3, 3]))
    indices, values, shape = session.run(parsed["none"])
    assert (indices.shape, values.shape, shape.tolist()) == ((0, 2), (0,), [3, 0])
    same(session.run(parsed["b"]), np.array([[[1], [2]], [[3], [4]], [[5], [6]]], np.float32))
    same(session.run(parsed["c"]), np.array([b"one", b"default", b"three"], object))
    assert parsed["b"].get_shape().as_list() == [3, 2, 1]
    assert parsed["b"].op.type == "ParseExample"


def test_parse_single_example(session: tf.Session) -> None:
    text = tf.placeholder(tf.string, [])
    parsed = tf.parse_single_example(
        text, sparse_keys=["a"], sparse_types=[tf.int64], dense_keys=["b"], dense_types=[tf.float32], dense_shapes=[[2]]
    )
    sparse, dense = session.run([parsed["a"], parsed["b"]], {text: example(a=[7, 8], b=[1.0, 2.0])})
    assert (sparse.indices.tolist(), sparse.values.tolist(), sparse.shape.tolist()) == ([[0], [1]], [7, 8], [2])
    same(dense, np.array([1, 2], np.float32))
    assert parsed["b"].get_shape().as_list() == [2]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"yikes!", "Could not parse example input, value: 'yikes!'"),
        (example(x=[1]), r"Name: in1, Feature: b \(data type: float\) is required but could not be found"),
        (
            example(b=[1.0]),
            "Name: in1, Key: b, Index: 1.  Number of float values != expected.  values size: 1 but output",
        ),
        (example(b=[1, 2]), "Name: in1, Key: b, Index: 1.  Data types don't match. Expected type: float"),
        (example(b=[1.0, 2.0], a=[1.0]), "Name: in1, Key: a, Index: 1.  Data types don't match. Expected type: int64"),
    ],
    # names, since the bytes of a message's map have no order
    ids=["no example", "without b", "too few", "integers for floats", "floats for integers"],
)
def test_examples_that_do_not_fit(data: bytes, words: str, session: tf.Session) -> None:
    parsed = tf.parse_example(
        [example(b=[0.0, 0.0]), data],
        names=["in0", "in1"],
        sparse_keys=["a"],
        sparse_types=[tf.int64],
        dense_keys=["b"],
        dense_types=[tf.float32],
        dense_shapes=[[2]],
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        session.run(parsed["b"])


def test_keys_that_do_not_fit(graph: tf.Graph) -> None:
    with pytest.raises(ValueError, match="at least one sparse key or dense key"):
        tf.parse_example([""])
    with pytest.raises(ValueError, match="must not intersect"):
        tf.parse_example([""], sparse_keys=["a"], sparse_types=[tf.int64], dense_keys=["a"], dense_types=[tf.int64])
    with pytest.raises(ValueError, match=r"len\(sparse_types\) != len\(sparse_keys\)"):
        tf.parse_example([""], sparse_keys=["a"], sparse_types=[])
    with pytest.raises(ValueError, match=r"len\(dense_shapes\) != len\(dense_keys\)"):
        tf.parse_example([""], dense_keys=["a"], dense_types=[tf.int64], dense_shapes=[[], []])
    with pytest.raises(TypeError, match="parse_example makes"):
        tf.parse_example([""], dense_keys=["a"], dense_types=[tf.int32])
    with pytest.raises(ValueError, match="rank 1"):
        tf.parse_example("", dense_keys=["a"], dense_types=[tf.int64])
    with pytest.raises(ValueError, match="rank 0"):
        tf.parse_single_example([""], dense_keys=["a"], dense_types=[tf.int64])


# -- arrays of strings -------------------------------------------------------------------------------------------------


def test_array_ops_take_strings(session: tf.Session) -> None:
    x = tf.placeholder(tf.string, [None])
    flag = tf.placeholder(tf.bool, [2])
    rows = tf.reshape(tf.concat(0, [x, ["c", "d"]]), [2, 2])
    made = {
        "reshaped": rows,
        "gathered": tf.gather(x, [1, 0, 1]),
        "sliced": tf.slice(rows, [1, 0], [1, 2]),
        "packed": tf.pack([x, x]),
        "equal": tf.equal(x, "b"),
        "selected": tf.select(flag, x, ["e", "f"]),
        "expanded": tf.expand_dims(x, 0),
        "size": tf.size(rows),
        "shape": tf.shape(rows),
        "first": x[0],
        "transposed": tf.transpose(rows),
        "tiled": tf.tile(x, [2]),
    }
    found = session.run(made, {x: ["a", "b"], flag: [True, False]})
    assert found["reshaped"].tolist() == [[b"a", b"b"], [b"c", b"d"]]
    assert found["gathered"].tolist() == [b"b", b"a", b"b"]
    assert found["sliced"].tolist() == [[b"c", b"d"]]
    assert found["packed"].tolist() == [[b"a", b"b"]] * 2
    assert found["equal"].tolist() == [False, True]
    assert found["selected"].tolist() == [b"a", b"f"]
    assert found["expanded"].shape == (1, 2)
    assert (found["size"], found["shape"].tolist(), found["first"]) == (4, [2, 2], b"a")
    assert found["transposed"].tolist() == [[b"a", b"c"], [b"b", b"d"]]
    assert found["tiled"].tolist() == [b"a", b"b", b"a", b"b"]


def test_shuffling_strings(session: tf.Session) -> None:
    found = session.run(tf.random_shuffle([f"{i}" for i in range(50)], seed=1)).tolist()
    assert sorted(found) == sorted(b"%d" % i for i in range(50))
    assert found != [b"%d" % i for i in range(50)]


def test_string_variables(session: tf.Session) -> None:
    words = tf.Variable(["a", "b"], name="words")
    any_shape = tf.Variable(tf.placeholder(tf.string), validate_shape=False)
    with pytest.raises(tf.errors.FailedPreconditionError, match="uninitialized value words"):
        session.run(words)
    session.run(words.initializer)
    assert session.run(words).tolist() == [b"a", b"b"]
    assert session.run(words.assign(["c", "d"])).tolist() == [b"c", b"d"]
    assert session.run(tf.gather(words, [1])).tolist() == [b"d"]
    session.run(any_shape.initializer, {any_shape.initial_value: ["x", "y", "z"]})
    assert session.run(any_shape).tolist() == [b"x", b"y", b"z"]
