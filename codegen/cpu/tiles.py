"""Tiles: small matrices that stay in vector registers, for products of matrices and convolutions.

    tile_f32(rows, columns)          a tile of zeros (also f64); the sizes are written as numbers
    tile_load(tile, x, stride)       a tile of the same size from memory: x[i·stride + j]
    tile_fma(tile, x, step, y)       tile[i, j] + x[i·step]·y[j]: one step of a product, a column by a row
    tile_fma_each(tile, x, stride, y)    tile[i, j] + x[i·stride + j]·y[j]
    tile_add_row(tile, x)            tile[i, j] + x[j]
    tile_scale(tile, s)              tile[i, j]·s
    tile_relu(tile)                  max(tile[i, j], 0); NaN stays NaN
    tile_store(tile, y, stride)      y[i·stride + j] = tile[i, j]
    tile_transpose(tile)             tile[j, i]; of as many rows as columns, a power of two
    prefetch(x, k)                   asks for the cache line of x[k], wherever that is
    prefetch_second(x, k)            the same, into the second cache

That a tile fits in the target's registers is the affair of who writes the kernel (`flowc.codegen.kernels.tiling`).
Products are fused with the sums where the target can.
"""

from __future__ import annotations

from collections.abc import Callable

from .dialect import (
    I64,
    SCALARS,
    VOID,
    Buffer,
    DialectError,
    Emitter,
    Number,
    Primitive,
    Rule,
    Signature,
    Tile,
    Type,
    define,
    signature,
    typed,
)
from .intrinsics import element_pointer
from .llvm_text import ITEM_SIZE, MEMORY_TYPE, REGISTER_TYPE, Builder

# ---- types --------------------------------------------------------------------------------------------------------


def size_rule(dtype: str) -> Rule:
    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        sizes = [int(a.value) for a in args if isinstance(a, Number)]
        if len(args) != 2 or len(sizes) != 2:
            raise DialectError(f"{self} takes two sizes written as numbers, not {args}")
        return signature(Tile(dtype, *sizes), I64, I64)

    return rule


def tile_rule(*kinds: str, result: Type | None = None) -> Rule:
    """Rule: a tile, then buffers ("b") and scalars ("s") of its dtype and int64s ("i"). The result: a tile alike, if
    none is given."""

    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if len(args) != len(kinds) + 1 or not isinstance(args[0], Tile):
            raise DialectError(f"{self} takes a tile and {len(kinds)} more, not {args}")
        params = [args[0], *(param(self, args[0], kind, arg) for kind, arg in zip(kinds, args[1:], strict=True))]
        return signature(result or args[0], *params)

    return rule


def param(self: Primitive, tile: Tile, kind: str, arg: Type) -> Type:
    if kind == "b" and isinstance(arg, Buffer) and arg.dtype == tile.dtype:
        return arg
    if kind == "i" and typed(arg) == I64:
        return I64
    if kind == "s" and arg == SCALARS[tile.dtype]:
        return arg
    raise DialectError(f"{self}: {arg} does not fit {tile}")


def tile_of(sig: Signature) -> Tile:
    tile = sig.args[0]
    assert isinstance(tile, Tile)  # the typing rules have seen to it
    return tile


# ---- vectors ------------------------------------------------------------------------------------------------------
# A row is vectors of equal length, a power of two: code generation divides those well over registers of any size.


def lanes(tile: Tile) -> int:
    return tile.columns & -tile.columns


def vectors(tile: Tile) -> int:
    """How many vectors a row is."""
    return tile.columns // lanes(tile)


def vector_type(tile: Tile, element: str | None = None) -> str:
    return f"<{lanes(tile)} x {element or REGISTER_TYPE[tile.dtype]}>"


def tile_type(tile: Tile) -> str:
    return f"[{tile.rows * vectors(tile)} x {vector_type(tile)}]"


def each_vector(b: Builder, tile: Tile, make: Callable[[int, int], str]) -> str:
    """The tile whose vector v of row i is what `make(i, v)` returns."""
    result, count = "poison", vectors(tile)
    for i in range(tile.rows):
        for v in range(count):
            vector = make(i, v)
            result = b.value(f"insertvalue {tile_type(tile)} {result}, {vector_type(tile)} {vector}, {i * count + v}")
    return result


def vector_of(b: Builder, tile: Tile, value: str, row: int, v: int) -> str:
    return b.value(f"extractvalue {tile_type(tile)} {value}, {row * vectors(tile) + v}")


def buffer_in(sig: Signature, position: int) -> Buffer:
    buffer = sig.args[position]
    assert isinstance(buffer, Buffer)
    return buffer


def pointer_to(b: Builder, tile: Tile, buffer: Buffer, base: str, stride: str, row: int, v: int = 0) -> str:
    """The address of vector v of a row, where rows start `stride` elements apart."""
    start = element_pointer(b, buffer, base, b.value(f"mul nsw i64 {stride}, {row}")) if row else base
    return element_pointer(b, buffer, start, str(v * lanes(tile))) if v else start


def aligned(b: Builder, buffer: Buffer) -> str:
    return f", align {ITEM_SIZE[buffer.dtype]}{b.scope_suffix(buffer.scope)}"


def load_vector(b: Builder, tile: Tile, buffer: Buffer, pointer: str) -> str:
    return b.value(f"load {vector_type(tile)}, ptr {pointer}{aligned(b, buffer)}")


def load_row(b: Builder, tile: Tile, buffer: Buffer, base: str) -> list[str]:
    return [load_vector(b, tile, buffer, pointer_to(b, tile, buffer, base, "0", 0, v)) for v in range(vectors(tile))]


def load_repeated(b: Builder, tile: Tile, buffer: Buffer, pointer: str) -> str:
    """A vector of one element of memory, repeated."""
    scalar = REGISTER_TYPE[tile.dtype]
    return repeated(b, tile, b.value(f"load {scalar}, ptr {pointer}{aligned(b, buffer)}"))


def repeated(b: Builder, tile: Tile, value: str) -> str:
    """A vector of one value."""
    scalar, kind = REGISTER_TYPE[tile.dtype], vector_type(tile)
    first = b.value(f"insertelement {kind} poison, {scalar} {value}, i64 0")
    return b.value(f"shufflevector {kind} {first}, {kind} poison, <{lanes(tile)} x i32> zeroinitializer")


# ---- functions ----------------------------------------------------------------------------------------------------


def emit_zeros(b: Builder, sig: Signature, args: list[str]) -> str:
    return "zeroinitializer"


for _dtype in ("f32", "f64"):
    define(f"tile_{_dtype}", size_rule(_dtype))(emit_zeros)


@define("tile_load", tile_rule("b", "i"))
def emit_load(b: Builder, sig: Signature, args: list[str]) -> str:
    tile, buffer = tile_of(sig), buffer_in(sig, 1)

    def vector(i: int, v: int) -> str:
        return load_vector(b, tile, buffer, pointer_to(b, tile, buffer, args[1], args[2], i, v))

    return each_vector(b, tile, vector)


@define("tile_store", tile_rule("b", "i", result=VOID))
def emit_store(b: Builder, sig: Signature, args: list[str]) -> str:
    tile, buffer = tile_of(sig), buffer_in(sig, 1)
    for i in range(tile.rows):
        for v in range(vectors(tile)):
            vector = vector_of(b, tile, args[0], i, v)
            pointer = pointer_to(b, tile, buffer, args[1], args[2], i, v)
            b.do(f"store {vector_type(tile)} {vector}, ptr {pointer}{aligned(b, buffer)}")
    return ""


@define("tile_fma", tile_rule("b", "i", "b"))
def emit_fma(b: Builder, sig: Signature, args: list[str]) -> str:
    tile, column = tile_of(sig), buffer_in(sig, 1)
    kind, name = vector_type(tile), f"llvm.fmuladd.v{lanes(tile)}{tile.dtype}"
    row = load_row(b, tile, buffer_in(sig, 3), args[3])
    columns = [
        load_repeated(b, tile, column, pointer_to(b, tile, column, args[1], args[2], i)) for i in range(tile.rows)
    ]

    def vector(i: int, v: int) -> str:
        return b.call(kind, name, (kind, columns[i]), (kind, row[v]), (kind, vector_of(b, tile, args[0], i, v)))

    return each_vector(b, tile, vector)


@define("tile_fma_each", tile_rule("b", "i", "b"))
def emit_fma_each(b: Builder, sig: Signature, args: list[str]) -> str:
    tile, buffer = tile_of(sig), buffer_in(sig, 1)
    kind, name = vector_type(tile), f"llvm.fmuladd.v{lanes(tile)}{tile.dtype}"
    row = load_row(b, tile, buffer_in(sig, 3), args[3])

    def vector(i: int, v: int) -> str:
        x = load_vector(b, tile, buffer, pointer_to(b, tile, buffer, args[1], args[2], i, v))
        return b.call(kind, name, (kind, x), (kind, row[v]), (kind, vector_of(b, tile, args[0], i, v)))

    return each_vector(b, tile, vector)


@define("tile_add_row", tile_rule("b"))
def emit_add_row(b: Builder, sig: Signature, args: list[str]) -> str:
    tile = tile_of(sig)
    row = load_row(b, tile, buffer_in(sig, 1), args[1])
    return each_vector(
        b, tile, lambda i, v: b.value(f"fadd {vector_type(tile)} {vector_of(b, tile, args[0], i, v)}, {row[v]}")
    )


@define("tile_scale", tile_rule("s"))
def emit_scale(b: Builder, sig: Signature, args: list[str]) -> str:
    tile = tile_of(sig)
    kind, scale = vector_type(tile), repeated(b, tile, args[1])
    return each_vector(b, tile, lambda i, v: b.value(f"fmul {kind} {vector_of(b, tile, args[0], i, v)}, {scale}"))


@define("tile_relu", tile_rule())
def emit_relu(b: Builder, sig: Signature, args: list[str]) -> str:
    tile = tile_of(sig)
    kind = vector_type(tile)

    def vector(i: int, v: int) -> str:
        x = vector_of(b, tile, args[0], i, v)
        below = b.value(f"fcmp olt {kind} {x}, zeroinitializer")
        return b.value(f"select <{lanes(tile)} x i1> {below}, {kind} zeroinitializer, {kind} {x}")

    return each_vector(b, tile, vector)


@define("tile_transpose", tile_rule())
def emit_transpose(b: Builder, sig: Signature, args: list[str]) -> str:
    """By halves: at distance 1, 2, 4, … the elements beside the diagonal change places, in pairs of rows.

    Source: Eklundh 1972, "A fast computer method for matrix transposing".
    """
    tile = tile_of(sig)
    if tile.rows != tile.columns or tile.rows & (tile.rows - 1):
        raise DialectError(f"{tile} cannot be transposed")
    rows = [vector_of(b, tile, args[0], i, 0) for i in range(tile.rows)]
    distance = 1
    while distance < tile.rows:
        for i in (i for i in range(tile.rows) if not i & distance):
            pair = rows[i], rows[i + distance]
            rows[i], rows[i + distance] = (exchanged(b, tile, *pair, distance, first) for first in (True, False))
        distance *= 2
    return each_vector(b, tile, lambda i, v: rows[i])


def exchanged(b: Builder, tile: Tile, x: str, y: str, distance: int, first: bool) -> str:
    """Of two rows whose blocks of `distance` change places: what the first, or the second, becomes."""
    size = tile.rows
    if first:
        chosen = [size + j - distance if j & distance else j for j in range(size)]
    else:
        chosen = [size + j if j & distance else j + distance for j in range(size)]
    mask = ", ".join(f"i32 {j}" for j in chosen)
    return b.value(f"shufflevector {vector_type(tile)} {x}, {vector_type(tile)} {y}, <{size} x i32> <{mask}>")


def prefetch_rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
    if len(args) != 2 or not isinstance(args[0], Buffer) or typed(args[1]) != I64:
        raise DialectError(f"{self} takes a buffer and an int64, not {args}")
    return signature(VOID, args[0], I64)


def emit_prefetch(nearness: str) -> Emitter:
    def emit(b: Builder, sig: Signature, args: list[str]) -> str:
        element = MEMORY_TYPE[buffer_in(sig, 0).dtype]
        pointer = b.value(f"getelementptr {element}, ptr {args[0]}, i64 {args[1]}")  # not inbounds: it may lie outside
        to_read, near, data = ("i32", "0"), ("i32", nearness), ("i32", "1")
        return b.call("void", "llvm.prefetch.p0", ("ptr", pointer), to_read, near, data)

    return emit


define("prefetch", prefetch_rule)(emit_prefetch("3"))
define("prefetch_second", prefetch_rule)(emit_prefetch("2"))
