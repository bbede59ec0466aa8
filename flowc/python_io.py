"""`tf.python_io`: files of records, written and read without a graph.

A TFRecord file is a sequence of records, each of them

    length: uint64, its checksum: uint32, the record's bytes, their checksum: uint32

with numbers little-endian, and checksums as `masked_crc32c` makes them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from flowc.crc32c import masked_crc32c
from flowc.framework.errors import DataLossError
from flowc.framework.file_errors import file_errors

__all__ = ["TFRecordWriter", "tf_record_iterator"]

_LENGTH: Final = struct.Struct("<Q")
_CHECKSUM: Final = struct.Struct("<I")
_HEADER: Final = _LENGTH.size + _CHECKSUM.size
_CHUNK: Final = 1 << 24  # bytes read at once: a damaged length must not ask for all memory


class TFRecordWriter:
    """Writes a TFRecord file.

    with tf.python_io.TFRecordWriter(path) as writer:
        writer.write(example.SerializeToString())
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Makes the file, or empties it. Raises NotFoundError if its folder does not exist."""
        self._path = os.fspath(path)
        with file_errors(self._path):
            self._file: BinaryIO = open(self._path, "wb")  # noqa: SIM115  # closed by `close`

    def write(self, record: bytes) -> None:
        """Appends a record. Raises TypeError for what is no bytes, ValueError once the file is closed."""
        if isinstance(record, str):
            raise TypeError("a record is bytes: encode the string")
        content = bytes(memoryview(record))
        length = _LENGTH.pack(len(content))
        with file_errors(self._path):
            self._file.write(b"".join((length, _checksum(length), content, _checksum(content))))

    def flush(self) -> None:
        """Makes what was written visible to readers."""
        with file_errors(self._path):
            self._file.flush()

    def close(self) -> None:
        """Closes the file. Closing twice does nothing."""
        with file_errors(self._path):
            self._file.close()

    def __enter__(self) -> TFRecordWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _checksum(data: bytes) -> bytes:
    return _CHECKSUM.pack(masked_crc32c(data))


def tf_record_iterator(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The records of a TFRecord file, in order.

    Raises NotFoundError if there is no such file, DataLossError at a record that is damaged or cut off.
    """
    with file_errors(path), open(path, "rb") as file:
        yield from (record for _, record in records_of(file, path))


def records_of(file: BinaryIO, path: Any) -> Iterator[tuple[int, bytes]]:
    """The records of an open file of that path, each with the offset at which it begins. DataLossError as above."""
    offset = 0
    while (record := _next_record(file, offset, path)) is not None:
        yield offset, record
        offset += _HEADER + len(record) + _CHECKSUM.size


def _next_record(file: BinaryIO, offset: int, path: Any) -> bytes | None:
    """The record at the file's position, or None at its end."""
    header = file.read(_HEADER)
    if not header:
        return None
    if len(header) < _HEADER:
        raise _damaged("truncated", offset, path)
    length = header[: _LENGTH.size]
    if header[_LENGTH.size :] != _checksum(length):
        raise _damaged("corrupted", offset, path)
    size: int = _LENGTH.unpack(length)[0]
    content, checksum = _read(file, size), file.read(_CHECKSUM.size)
    if len(content) < size or len(checksum) < _CHECKSUM.size:
        raise _damaged("truncated", offset, path)
    if checksum != _checksum(content):
        raise _damaged("corrupted", offset, path)
    return content


def _read(file: BinaryIO, size: int) -> bytes:
    """`size` bytes, or fewer at the file's end."""
    if size <= _CHUNK:
        return file.read(size)
    parts = []
    while size > 0 and (part := file.read(min(size, _CHUNK))):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _damaged(how: str, offset: int, path: Any) -> DataLossError:
    return DataLossError(None, None, f"{how} record at {offset} in {os.fsdecode(path)}")
