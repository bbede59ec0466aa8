"""CRC-32C, the checksum of TFRecord files, by NumPy.

The checksum is linear over GF(2): that of a block is the exclusive or of what each of its bytes contributes, which
depends on the byte and on how many bytes follow. A table of contributions for a block of bytes gives it in one gather.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np

_POLYNOMIAL: Final = 0x82F63B78  # Castagnoli's, reflected
_BLOCK: Final = 256  # bytes at once; the table has a kilobyte for each
_CHUNK: Final = 1 << 16  # bytes whose temporaries stay in the cache; a multiple of _BLOCK
_FEW: Final = 32  # bytes that are faster one by one
_WORD: Final = 0xFFFFFFFF
_MASK_DELTA: Final = 0xA282EAD8

Array = np.ndarray[Any, Any]


@cache
def _byte_table() -> Array:
    """What a byte contributes that no byte follows."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


@cache
def _byte_list() -> list[int]:
    values: list[int] = _byte_table().tolist()
    return values


@cache
def _block_table() -> Array:
    """Row i: what the byte i of a block contributes."""
    last = _byte_table()
    table = np.empty((_BLOCK, 256), np.uint32)
    table[-1] = last
    for row in range(_BLOCK - 2, -1, -1):
        table[row] = table[row + 1] >> 8 ^ last[table[row + 1] & 0xFF]
    return table.reshape(-1)


@cache
def _offsets() -> Array:
    return np.arange(0, 256 * _BLOCK, 256)


@cache
def _state_tables() -> tuple[list[int], ...]:
    """What each byte of a state becomes when a block follows: the state is as if added to the block's first bytes."""
    table = _block_table().reshape(_BLOCK, 256)
    return tuple(table[i].tolist() for i in range(4))


def crc32c(data: bytes) -> int:
    """The CRC-32C of some bytes, as RFC 3720 has it."""
    array = np.frombuffer(data, np.uint8)
    whole = len(data) - len(data) % _BLOCK
    state = _WORD
    for start in range(0, whole, _CHUNK):
        state = _blocks(state, array[start : min(start + _CHUNK, whole)].reshape(-1, _BLOCK))
    rest = array[whole:]
    return (_bytes(state, rest) if len(rest) <= _FEW else _part_of_block(state, rest)) ^ _WORD


def _blocks(state: int, blocks: Array) -> int:
    """The state after whole blocks, one a row."""
    parts = np.bitwise_xor.reduce(_block_table()[blocks + _offsets()], axis=1)
    a, b, c, d = _state_tables()
    for part in parts.tolist():
        state = a[state & 255] ^ b[state >> 8 & 255] ^ c[state >> 16 & 255] ^ d[state >> 24] ^ part
    return state


def _bytes(state: int, rest: Array) -> int:
    """The state after a few bytes, one by one."""
    table = _byte_list()
    for byte in rest.tolist():
        state = state >> 8 ^ table[(state ^ byte) & 255]
    return state


def _part_of_block(state: int, rest: Array) -> int:
    """The state after fewer bytes than a block, but at least 4: they are a block's last ones."""
    start = _BLOCK - len(rest)
    part = int(np.bitwise_xor.reduce(_block_table()[rest + _offsets()[start:]]))
    for place in range(4):
        part ^= int(_block_table()[256 * (start + place) + (state >> 8 * place & 255)])
    return part


def masked_crc32c(data: bytes) -> int:
    """The checksum as TFRecord files store it: a checksum of data that holds checksums would be weak."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _WORD
