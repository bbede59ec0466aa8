"""Checksums and TFRecord files."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

import flowc as tf
from flowc.crc32c import crc32c, masked_crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this one and the next two: RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_known_checksums(data: bytes, crc: int) -> None:
    assert crc32c(data) == crc


def _crc_bit_by_bit(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (0x82F63B78 if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def test_checksums_of_all_lengths() -> None:
    data = os.urandom(70_000)
    for length in [*range(0, 520, 3), 65536, 65537, 70_000]:
        assert crc32c(data[:length]) == _crc_bit_by_bit(data[:length]), length


RECORDS = [b"", b"a", bytes(range(256)) * 40, "ä".encode()]


def _write(path: Path) -> None:
    with tf.python_io.TFRecordWriter(path) as writer:
        for record in RECORDS:
            writer.write(record)


def test_records_come_back(tmp_path: Path) -> None:
    path = tmp_path / "records"
    _write(path)
    assert list(tf.python_io.tf_record_iterator(str(path))) == RECORDS


def test_the_format(tmp_path: Path) -> None:
    path = tmp_path / "records"
    writer = tf.python_io.TFRecordWriter(str(path))
    writer.write(b"abc")
    writer.close()
    writer.close()
    length = struct.pack("<Q", 3)
    expected = length + struct.pack("<I", masked_crc32c(length)) + b"abc" + struct.pack("<I", masked_crc32c(b"abc"))
    assert path.read_bytes() == expected
    assert masked_crc32c(b"123456789") == (((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_no_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(tf.errors.NotFoundError, match="missing"):
        list(tf.python_io.tf_record_iterator(tmp_path / "missing"))
    with pytest.raises(tf.errors.NotFoundError):
        tf.python_io.TFRecordWriter(tmp_path / "no folder" / "records")
    (tmp_path / "empty").touch()
    assert list(tf.python_io.tf_record_iterator(tmp_path / "empty")) == []


def test_every_damaged_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with tf.python_io.TFRecordWriter(path) as writer:
        writer.write(b"first")
        writer.write(b"second")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises(tf.errors.DataLossError, match=r"corrupted record at (0|21)"):
            list(tf.python_io.tf_record_iterator(path))


def test_a_file_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "records"
    with tf.python_io.TFRecordWriter(path) as writer:
        writer.write(b"first")
        writer.write(b"second")
    whole = path.read_bytes()
    for length in range(22, len(whole)):
        path.write_bytes(whole[:length])
        records = tf.python_io.tf_record_iterator(path)
        assert next(records) == b"first"
        with pytest.raises(tf.errors.DataLossError, match="truncated record at 21"):
            next(records)


def test_what_is_no_record(tmp_path: Path) -> None:
    with tf.python_io.TFRecordWriter(tmp_path / "records") as writer:
        with pytest.raises(TypeError, match="encode"):
            writer.write("text")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            writer.write(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="closed"):
        writer.write(b"late")
