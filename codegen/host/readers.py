"""Readers: they take work, such as file names, from a queue, and give records of it, one a run."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from flowc.codegen.host.blocking_queue import Queue
from flowc.codegen.host.files import content_of
from flowc.codegen.host.queues import queue_of
from flowc.codegen.host.registry import Array, HostOp, Resources, host
from flowc.codegen.host.short_lock import ShortLock
from flowc.framework.dtypes import string
from flowc.framework.errors import DataLossError, InvalidArgumentError, NotFoundError, UnimplementedError
from flowc.framework.file_errors import file_errors
from flowc.python_io import records_of

_STATE: Final = struct.Struct("<8sqqq")  # mark, works started and finished, records; the name and a checksum follow
_MARK: Final = b"flowcrd1"
_CHECKSUM: Final = struct.Struct("<I")
_BUFFER: Final = 1 << 18  # bytes: a read from the disk for many records

Record = tuple[bytes, bytes]  # key and value


class Reader:
    """What all readers share. Threads may call everything at once; they read in turns."""

    is_serializable = False  # between any two reads, its state is just the counts

    def __init__(self, name: str, attrs: Mapping[str, Any]) -> None:
        self._kind, self._name, self.attrs = type(self).__name__, name, attrs
        self.handle = np.array([b"", name.encode()], object)
        self.handle.setflags(write=False)
        self._lock = ShortLock()
        self._reset()

    def _reset(self) -> None:
        self._records: Iterator[Record] | None = None
        self._started = self.finished = self.produced = 0

    def records(self, work: bytes) -> Iterator[Record]:
        """The records of one unit of work."""
        raise NotImplementedError

    def read(self, queue: Queue) -> Record:
        """The next record; takes work from the queue where there is none left, and waits for it."""
        with self._lock:
            while True:
                if self._records is None:
                    self._records = self.records(queue.dequeue()[0].item())
                    self._started += 1
                record = self._next()
                if record is not None:
                    self.produced += 1
                    return record

    def _next(self) -> Record | None:
        """A record of the present work, or None if that is done. An error ends it, too."""
        assert self._records is not None
        record = None
        try:
            record = next(self._records, None)
        finally:
            if record is None or self.is_serializable:
                self._records = None
                self.finished = self._started
        return record

    def reset(self) -> None:
        """Forgets the present work and all counts."""
        with self._lock:
            self._reset()

    def serialize(self) -> bytes:
        """The state, for `restore`. UnimplementedError if the reader has more of it than counts."""
        self._check_serializable("SerializeState")
        with self._lock:
            state = _STATE.pack(_MARK, self._started, self.finished, self.produced) + self._kind.encode()
        return state + _CHECKSUM.pack(zlib.crc32(state))

    def restore(self, state: bytes) -> None:
        """Goes back to a state; InvalidArgumentError for what is none of this kind of reader."""
        self._check_serializable("RestoreState")
        content, checksum = state[: -_CHECKSUM.size], state[-_CHECKSUM.size :]
        expected = _CHECKSUM.pack(zlib.crc32(content))
        if checksum != expected or content[_STATE.size :] != self._kind.encode() or content[: len(_MARK)] != _MARK:
            shown = state.decode(errors="backslashreplace")
            message = f"Could not parse state for {self._kind} '{self._name}': {shown}"
            raise InvalidArgumentError(None, None, message)
        with self._lock:
            _, self._started, self.finished, self.produced = _STATE.unpack(content[: _STATE.size])
            self._records = None

    def _check_serializable(self, what: str) -> None:
        if not self.is_serializable:
            raise UnimplementedError(None, None, f"Reader {what}: a {self._kind} cannot save its place in a file")

    def close(self) -> None:
        """The session is closed. A read that waits for work is told by its queue; its file closes with its iterator."""
        if self._lock.try_acquire():
            self._records = None
            self._lock.release()


class IdentityReader(Reader):
    """Gives the work itself."""

    is_serializable = True

    def records(self, work: bytes) -> Iterator[Record]:
        yield work, work


class WholeFileReader(Reader):
    """Gives a file's name and content."""

    is_serializable = True

    def records(self, work: bytes) -> Iterator[Record]:
        yield work, content_of(work)


class TextLineReader(Reader):
    """Gives a file's lines, without what ends them. Keys are `file:line`, from 1."""

    def records(self, work: bytes) -> Iterator[Record]:
        skipped = int(self.attrs.get("skip_header_lines", 0))
        with file_errors(work), open(work, "rb") as file:
            for number, line in enumerate(file, 1):
                if number > skipped:
                    yield b"%b:%d" % (work, number), line.rstrip(b"\r\n")


class FixedLengthRecordReader(Reader):
    """Gives pieces of a file, of one length, between a header and a footer. Keys are `file:piece`, from 0."""

    def records(self, work: bytes) -> Iterator[Record]:
        header, size, footer = (int(self.attrs.get(f"{part}_bytes", 0)) for part in ("header", "record", "footer"))
        with file_errors(work), open(work, "rb", buffering=_BUFFER) as file:
            length = os.fstat(file.fileno()).st_size - header - footer
            if length % size and length > 0:
                message = f"{os.fsdecode(work)} has {length} bytes of records: no whole number of {size} bytes each"
                raise DataLossError(None, None, message)
            file.seek(header)
            for number in range(length // size):
                yield b"%b:%d" % (work, number), file.read(size)


class TFRecordReader(Reader):
    """Gives the records of a TFRecord file. Keys are `file:offset`."""

    def records(self, work: bytes) -> Iterator[Record]:
        with file_errors(work), open(work, "rb") as file:
            for offset, record in records_of(file, work):
                yield b"%b:%d" % (work, offset), record


# -- the ops -----------------------------------------------------------------------------------------------------------

_KINDS: Final[dict[str, type[Reader]]] = {
    kind.__name__: kind
    for kind in (FixedLengthRecordReader, IdentityReader, TextLineReader, TFRecordReader, WholeFileReader)
}


@host(*_KINDS, once=True)
def _reader(op: HostOp) -> Array:
    name = op.attrs.get("shared_name") or op.name
    reader = op.resources.get(name, lambda: _KINDS[op.type](name, op.attrs))
    if type(reader).__name__ != op.type:
        raise InvalidArgumentError(None, None, f"'{name}' is no {op.type}.")
    return reader.handle


def reader_of(resources: Resources, handle: Array) -> Reader:
    """The reader that a handle refers to; NotFoundError if the session has none of that name."""
    name = handle[1].decode()

    def missing() -> Any:
        raise NotFoundError(None, None, f"There is no reader '{name}' in this session.")

    reader = resources.get(name, missing)
    if not isinstance(reader, Reader):
        raise InvalidArgumentError(None, None, f"'{name}' is no reader.")
    return reader


@host("ReaderRead")
def _read(op: HostOp, handle: Array, queue_handle: Array) -> list[Array]:
    queue = queue_of(op.resources, queue_handle)
    if [dtype is string for dtype in queue.dtypes] != [True]:
        raise InvalidArgumentError(
            None, None, f"A reader takes strings; {queue.kind} '{queue.name}' has other elements"
        )
    key, value = reader_of(op.resources, handle).read(queue)
    return [np.array(key, object), np.array(value, object)]


@host("ReaderNumRecordsProduced")
def _records_produced(op: HostOp, handle: Array) -> Array:
    return np.array(reader_of(op.resources, handle).produced, np.int64)


@host("ReaderNumWorkUnitsCompleted")
def _work_units_completed(op: HostOp, handle: Array) -> Array:
    return np.array(reader_of(op.resources, handle).finished, np.int64)


@host("ReaderSerializeState")
def _serialize_state(op: HostOp, handle: Array) -> Array:
    return np.array(reader_of(op.resources, handle).serialize(), object)


@host("ReaderRestoreState")
def _restore_state(op: HostOp, handle: Array, state: Array) -> tuple[()]:
    reader_of(op.resources, handle).restore(state.item())
    return ()


@host("ReaderReset")
def _reset(op: HostOp, handle: Array) -> tuple[()]:
    reader_of(op.resources, handle).reset()
    return ()
