"""`Example` messages, as they are on disk: features by name, each a list of byte strings, floats or integers.

A reader of the protocol buffers' wire format for just these messages: it looks only at the features that are asked
for, and takes packed numbers as they lie.

    Example { Features features = 1 }            Features { map<string, Feature> feature = 1 }
    Feature { BytesList 1 | FloatList 2 | Int64List 3 }       each list { repeated value = 1 }
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

import numpy as np

from flowc.codegen.host.registry import Array

KINDS: Final = {1: "string", 2: "float32", 3: "int64"}  # of a Feature's fields: the type of the list's values

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FEW: Final = 32  # bytes of varints that are faster one by one than by NumPy


class Malformed(ValueError):
    """The bytes are no message."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, seven bits a byte, lowest first; and where it ends."""
    value, shift = 0, 0
    while True:
        if at >= len(data) or shift > 63:
            raise Malformed
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message: (number, wire type, start, stop) of each value."""
    while at < end:
        tag, at = (data[at], at + 1) if data[at] < 0x80 else _varint(data, at)
        wire = tag & 7
        start = at
        if wire == _BYTES:
            length, start = _varint(data, at)
            at = start + length
        elif wire == _VARINT:
            at = _varint(data, at)[1]
        elif wire in (_FIXED64, _FIXED32):
            at += 8 if wire == _FIXED64 else 4
        else:
            raise Malformed
        if at > end:
            raise Malformed
        yield tag >> 3, wire, start, at


def _messages(data: bytes, at: int, end: int, number: int) -> Iterator[tuple[int, int]]:
    """Where the values of the field `number` lie, which are messages or strings."""
    for field, wire, start, stop in _fields(data, at, end):
        if field == number:
            if wire != _BYTES:
                raise Malformed
            yield start, stop


def features_of(data: bytes, wanted: Collection[bytes]) -> dict[bytes, tuple[str, Any]]:
    """Those of an Example's features that are wanted and hold a list: its type's name, and its values.

    Values are a list of bytes, or an array of float32 or int64. Raises Malformed for what is no Example.
    """
    found: dict[bytes, tuple[str, Any]] = {}
    for start, stop in _messages(data, 0, len(data), 1):
        for entry, end in _messages(data, start, stop, 1):
            name, value = b"", (end, end)
            for number, wire, at, until in _fields(data, entry, end):
                if wire != _BYTES:
                    raise Malformed
                if number == 1:
                    name = data[at:until]
                elif number == 2:
                    value = at, until
            if name in wanted:
                found.pop(name, None)  # of a name that comes twice, the last one counts
                for kind, values in _lists(data, *value):
                    found[name] = kind, values
    return found


def _lists(data: bytes, at: int, end: int) -> Iterator[tuple[str, Any]]:
    """The list that a Feature holds, if it does."""
    for number, wire, start, stop in _fields(data, at, end):
        kind = KINDS.get(number)
        if kind is not None:
            if wire != _BYTES:
                raise Malformed
            yield kind, _READERS[kind](data, start, stop)


def _strings(data: bytes, at: int, end: int) -> list[bytes]:
    return [data[start:stop] for start, stop in _messages(data, at, end, 1)]


def _floats(data: bytes, at: int, end: int) -> Array:
    """Packed in one field, or one field each."""
    chunks = []
    for number, wire, start, stop in _fields(data, at, end):
        if number == 1:
            if wire not in (_BYTES, _FIXED32) or (stop - start) % 4:
                raise Malformed
            chunks.append(data[start:stop])
    return np.frombuffer(b"".join(chunks), "<f4").astype(np.float32, copy=False)


def _integers(data: bytes, at: int, end: int) -> Array:
    chunks = []
    for number, wire, start, stop in _fields(data, at, end):
        if number == 1:
            if wire not in (_BYTES, _VARINT):
                raise Malformed
            chunks.append(data[start:stop])
    packed = b"".join(chunks)
    if packed and packed[-1] >= 0x80:
        raise Malformed
    values = _few_varints(packed) if len(packed) <= _FEW else _many_varints(packed)
    return values.view(np.int64)


def _few_varints(packed: bytes) -> Array:
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(value & (1 << 64) - 1)
    return np.array(values, np.uint64)


def _many_varints(packed: bytes) -> Array:
    """All numbers at once: their first bytes, then their second ones, …"""
    data = np.frombuffer(packed, np.uint8)
    stops = np.flatnonzero(data < 0x80) + 1
    starts = np.concatenate([[0], stops[:-1]])
    lengths = stops - starts
    if lengths.max() > 10:
        raise Malformed
    values = np.zeros(len(stops), np.uint64)
    for place in range(int(lengths.max())):
        there = np.flatnonzero(lengths > place)
        part = (data[starts[there] + place] & 0x7F).astype(np.uint64)
        values[there] |= part << np.uint64(7 * place)
    return values


_READERS: Final[dict[str, Any]] = {"string": _strings, "float32": _floats, "int64": _integers}
