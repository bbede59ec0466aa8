"""Tiles for products: how many rows and columns of a result stay in the target's vector registers.

A step of a tile of r rows and v vectors of columns loads v vectors of one factor and r repeated elements of the other,
and does r·v fused multiply-adds. The shape that is best for a result of given sizes is found by counting cycles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from flowc.codegen.cpu.target import host_target
from flowc.framework.dtypes import DType

_FMAS: Final = 2  # that a cycle can start, on every core that there is a point in tuning for
_LOADS: Final = 1.6  # the same of loads, as measured: two, but for those that miss the first cache
_PRODUCT_ROWS: Final = {32: (8, 10), 16: (5, 6)}  # by the number of registers
_LATENCY: Final = 4  # cycles until a sum can be added to again
_STREAMED: Final = 32  # bytes a cycle of the second factor, which comes from the second cache


@dataclass(frozen=True)
class Tile:
    """`rows` × `columns` of a result."""

    rows: int
    columns: int


@cache
def tile_for(rows: int, columns: int, dtype: DType) -> Tile:
    """The tile that covers a result of `rows` × `columns` in the fewest cycles; it has no more rows than that."""
    return _best(rows, columns, dtype, range(1, rows + 1))


@cache
def product_tile(rows: int, columns: int, dtype: DType) -> Tile:
    """The same where rows may be those of a batch: few heights, so that another batch seldom needs another kernel."""
    registers, _ = host_target().vector_registers
    return _best(rows, columns, dtype, _PRODUCT_ROWS[registers])


def _best(rows: int, columns: int, dtype: DType, heights: Iterable[int]) -> Tile:
    registers, size = host_target().vector_registers
    lanes = size // dtype.size
    vectors = -(-columns // lanes)
    fitting = [
        (r, v) for v in range(1, min(vectors, registers // 4) + 1) for r in heights if r * v + v + 1 <= registers
    ]
    r, v = min(fitting, key=lambda tile: (_cycles(rows, vectors, tile[0], tile[1], size), -tile[0] * tile[1], tile[1]))
    return Tile(r, v * lanes)


def _cycles(rows: int, vectors: int, r: int, v: int, size: int) -> float:
    """Cycles that a step over the whole result takes, in tiles of r rows and v vectors."""
    each = max(r * v / _FMAS, (r + v) / _LOADS, _LATENCY, v * size / _STREAMED)
    return each * -(-rows // r) * -(-vectors // v)


def padded(size: int, block: int) -> int:
    """The least multiple of `block` that is no less than `size`."""
    return -(-size // block) * block
