"""Ops on strings: numbers in them, and their hashes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from flowc.codegen.host.registry import Array, HostOp, host
from flowc.framework.dtypes import DType
from flowc.framework.errors import InvalidArgumentError

# -- numbers -----------------------------------------------------------------------------------------------------------


def _number(text: bytes) -> float:
    """A float as C's `strtod` reads it: decimal or hexadecimal, spaces around it. ValueError for anything else."""
    if b"x" in text or b"X" in text:
        return float.fromhex(text.decode())
    if b"_" in text:
        raise ValueError(f"Python's digit groups in {text!r}")
    return float(text)


def _integer(text: bytes) -> int:
    if b"_" in text:
        raise ValueError(f"Python's digit groups in {text!r}")
    return int(text)


def parser_of(dtype: DType) -> Callable[[bytes], Any]:
    """The function that reads a string as a value of a type. It raises ValueError for one that is none."""
    if dtype.is_floating:
        return _number
    limits = range(int(dtype.min), int(dtype.max) + 1)

    def bounded(text: bytes) -> int:
        value = _integer(text)
        if value not in limits:
            raise ValueError(f"{value} is out of the range of {dtype.name}")
        return value

    return bounded


@host("StringToNumber")
def _string_to_number(op: HostOp, strings: Array) -> Array:
    parse = parser_of(op.dtypes[0])
    result = np.empty(strings.size, np.float64 if op.dtypes[0].is_floating else op.dtype)
    for index, text in enumerate(strings.flat):
        try:
            result[index] = parse(text)
        except ValueError:
            message = f"StringToNumberOp could not correctly convert string: {text.decode(errors='replace')}"
            raise InvalidArgumentError(None, None, message) from None
    with np.errstate(over="ignore"):
        return result.reshape(strings.shape).astype(op.dtype)


# -- hashes ------------------------------------------------------------------------------------------------------------

_WORD: Final = (1 << 64) - 1
_MULTIPLIER: Final = 0xC6A4A7935BD1E995
_SEED: Final = 0xDECAFCAFFE


def hash64(text: bytes) -> int:
    """MurmurHash64A (A. Appleby, https://github.com/aappleby/smhasher, public domain) with the seed 0xDECAFCAFFE."""
    result = _SEED ^ (len(text) * _MULTIPLIER & _WORD)
    whole = len(text) & ~7
    for word in np.frombuffer(text, "<u8", whole // 8).tolist():
        word = word * _MULTIPLIER & _WORD
        word = (word ^ word >> 47) * _MULTIPLIER & _WORD
        result = (result ^ word) * _MULTIPLIER & _WORD
    if whole < len(text):
        result = (result ^ int.from_bytes(text[whole:], "little")) * _MULTIPLIER & _WORD
    result = (result ^ result >> 47) * _MULTIPLIER & _WORD
    return result ^ result >> 47


@host("StringToHashBucket")
def _string_to_hash_bucket(op: HostOp, strings: Array) -> Array:
    count = int(op.attrs["num_buckets"])
    buckets = [hash64(text) % count for text in strings.flat]
    return np.array(buckets, np.int64).reshape(strings.shape)
