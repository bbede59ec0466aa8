"""Which elements there are, and where: `true_positions`, `unique_positions`, `difference_positions`, `partition_order`.

How much they find is known when run: each result is one int64 vector of the greatest length, with parts for what was
found, how many there are, and what the kernel needs itself. The lowerings cut it up (`codegen.lower.selections`).

Elements are compared by a hash table with linear probing, twice as large as what goes into it at least; NaN equals
nothing, and zeros of either sign are equal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node, Shape
from flowc.codegen.kernels.source import element_type, grain, kernel, moved_type, out_of_range
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, Word, params_of, template
from flowc.framework.dtypes import DType, bool_

# Unit: one block of elements. Words: values, counts of blocks, elements, elements a block.
COUNT_TRUE: Final = """
def count_true(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_u8(a[0], 0)
    counts = ptr_i64(a[1], 1)
    n = a[2]
    each = a[3]
    for block in range(lo, hi):
        total = i64(0)
        for i in range(block * each, imin((block + 1) * each, n)):
            total = acc_add(total, i64(x[i]))
        counts[block] = total
"""

# Unit: one block of elements. Words: values, counts of blocks, elements, elements a block, coordinates, their total
# number, blocks, rank, then the sizes of the dimensions. Positions are written without a branch that depends on the
# values (the next true one overwrites a false one's), then taken apart.
WRITE_TRUE: Final = """
def write_true(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_u8(a[0], 0)
    counts = ptr_i64(a[1], 1)
    n = a[2]
    each = a[3]
    result = ptr_i64(a[4], 2)
    rank = a[7]
    first = i64(0)
    for block in range(lo):
        first += counts[block]
    end = first
    for block in range(lo, hi):
        end += counts[block]
    at = first
    for i in range(lo * each, imin(hi * each, n)):
        if at < end:
            result[at * rank] = i
        at += i64(x[i])
    if rank > 1:
        for k in range(first, end):
            y = advance(result, k * rank)
            rest = y[0]
            for d in range(rank - 1, 0, -1):
                quotient = idiv(rest, a[8 + d])
                y[d] = rest - quotient * a[8 + d]
                rest = quotient
            y[0] = rest
    if hi == a[6]:
        ptr_i64(a[5], 3)[0] = end
"""

# Looks the element `value`, whose bits are `key`, up: `place` becomes what the table holds for it, 0 if nothing, and
# `slot` where it is or should be. The table holds numbers of elements, from 1 on.
LOOK_UP: Final = """
slot = i64(shr(u64(key * -7046029254386353131), {SHIFT}))
place = table[slot & mask]
while place != 0:
    if {ELEMENT} == value:
        break
    slot += 1
    place = table[slot & mask]
"""
_KEY: Final = """
value = {X}[i]
key = i64({X}_bits[i])
if value == 0:
    key = i64(0)
"""
_SHIFT: Final = 24  # the product's high bits are the better mixed ones; tables have at most 2^40 slots

# One unit, for all of it. Words: values, result, number of values, the table's size less 1. The result: the places of
# the first occurrences [n], each value's number among them [n], how many they are, the table.
UNIQUE: Final = """
def unique_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    x_bits = ptr_{U}(a[0], 0)
    firsts = ptr_i64(a[1], 1)
    n = a[2]
    mask = a[3]
    numbers = advance(firsts, n)
    table = advance(firsts, 2 * n + 1)
    for k in range(mask + 1):
        table[k] = 0
    count = i64(0)
    for i in range(n):
{KEY}
        place = i64(0)
        slot = i64(0)
        if value == value:
{LOOK_UP}
        if place == 0:
            firsts[count] = i
            count += 1
            place = count
            if value == value:
                table[slot & mask] = count
        numbers[i] = place - 1
    firsts[2 * n] = count
    for k in range(count, n):
        firsts[k] = 0
"""

# One unit, for all of it. Words: values, excluded values, result, number of values, of excluded ones, the table's size
# less 1. The result: the places of values that are not excluded [n], how many they are, the table.
DIFFERENCE: Final = """
def difference_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    x_bits = ptr_{U}(a[0], 0)
    y = ptr_{T}(a[1], 1)
    y_bits = ptr_{U}(a[1], 1)
    places = ptr_i64(a[2], 2)
    n = a[3]
    mask = a[5]
    table = advance(places, n + 1)
    for k in range(mask + 1):
        table[k] = 0
    for i in range(a[4]):
{KEY_OF_Y}
        if value == value:
{LOOK_UP}
            table[slot & mask] = i + 1
    count = i64(0)
    for i in range(n):
{KEY_OF_X}
        place = i64(0)
        if value == value:
{LOOK_UP}
        if place == 0:
            places[count] = i
            count += 1
    places[n] = count
    for k in range(count, n):
        places[k] = 0
"""

# Sorts rows by number, keeping the order of equal ones. One unit, for all of it. Words: numbers, result, how many rows,
# how many partitions, status, error. The result: the rows' places in order [n], where each partition starts, and the
# last one ends. A number out of range leaves all partitions empty.
PARTITION_ORDER: Final = """
def partition_order_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    numbers = ptr_{I}(a[0], 0)
    order = ptr_i64(a[1], 1)
    n = a[2]
    count = a[3]
    starts = advance(order, n)
    for p in range(count + 1):
        starts[p] = 0
    for i in range(n):
        order[i] = 0
        number = i64(numbers[i])
        if number < 0 or number >= count:
            if atomic_cas(a[4], 0, a[5]) == 0:
                record = ptr_i64(a[4], -1)
                record[1] = i
                record[2] = number
                record[3] = count
            for p in range(count + 1):
                starts[p] = 0
            return
        starts[number] = starts[number] + 1
    total = i64(0)
    for p in range(count + 1):
        size = starts[p]
        starts[p] = total
        total += size
    for i in range(n):
        number = i64(numbers[i])
        order[starts[number]] = i
        starts[number] = starts[number] + 1
    for p in range(count, 0, -1):
        starts[p] = starts[p - 1]
    starts[0] = 0
"""

# Unit: one row of the result. Words: data, order and starts, result, rows, elements a row, which partition.
PARTITION_ROWS: Final = """
def partition_rows_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    data = ptr_{T}(a[0], 0)
    order = ptr_i64(a[1], 1)
    result = ptr_{T}(a[2], 2)
    n = a[4]
    starts = advance(order, a[3] + a[5])
    for i in range(lo, imin(hi, starts[1] - starts[0])):
        x = advance(data, order[starts[0] + i] * n)
        y = advance(result, i * n)
        for j in range(n):
            y[j] = x[j]
"""

_BLOCKS: Final = 64
_LEAST_BLOCK: Final = 4096
_HASHING: Final = 8  # of one element, in elements moved
BITS_OF: Final = {1: "u8", 2: "u16", 4: "u32", 8: "i64"}


def true_blocks(size: int) -> tuple[int, int]:
    """(blocks, elements a block) that `size` elements are looked through in."""
    each = max(_LEAST_BLOCK, -(-size // _BLOCKS))
    return -(-size // each), each


def table_size(count: int) -> int:
    """The slots of a table for `count` elements: a power of two, at least twice as many."""
    return int(1 << max(2 * count - 1, 3).bit_length())


@template("true_positions", strided=EVERY_ARGUMENT)
def true_positions(call: Node) -> Sequence[Launch]:
    """Coordinates of the true elements, their number, then a count a block of elements. Rank 1 or more."""
    (x,) = call.args
    blocks, each = true_blocks(x.size)
    places = x.size * len(x.shape)
    number, counts = Pointer(-1, 8 * places), Pointer(-1, 8 * (places + 1))
    counting: tuple[Word, ...] = (Pointer(0), counts, x.size, each)
    writing: tuple[Word, ...] = (*counting, Pointer(-1), number, blocks, len(x.shape), *x.shape)
    return [
        Launch(kernel(COUNT_TRUE), counting, blocks, grain(each), x.size),
        Launch(kernel(WRITE_TRUE), writing, blocks, grain(each), 9 * x.size),
    ]


def _compared(dtype: DType, what: str) -> dict[str, str]:
    """The element types that values are compared and hashed by."""
    kind = "u8" if dtype is bool_ else element_type(dtype, what)
    return {"T": kind, "U": BITS_OF[dtype.size]}


def _block(text: str, levels: int, **names: str) -> str:
    return textwrap.indent(text.strip().format(**names), "    " * levels)


@template("unique_positions", strided=EVERY_ARGUMENT)
def unique_positions(call: Node) -> Sequence[Launch]:
    """The distinct values of a vector; what the result holds is said at `UNIQUE`."""
    (x,) = call.args
    look_up = _block(LOOK_UP, 3, SHIFT=str(_SHIFT), ELEMENT="x[firsts[place - 1]]")
    code = kernel(UNIQUE, KEY=_block(_KEY, 2, X="x"), LOOK_UP=look_up, **_compared(x.dtype, "Unique"))
    words = (Pointer(0), Pointer(-1), x.size, table_size(x.size) - 1)
    return [Launch(code, words, 1, grain(_HASHING * x.size), 8 * call.size)]


@template("difference_positions", strided=EVERY_ARGUMENT)
def difference_positions(call: Node) -> Sequence[Launch]:
    """The values of one vector that are not in another; what the result holds is said at `DIFFERENCE`."""
    x, y = call.args
    code = kernel(
        DIFFERENCE,
        KEY_OF_X=_block(_KEY, 2, X="x"),
        KEY_OF_Y=_block(_KEY, 2, X="y"),
        LOOK_UP=_block(LOOK_UP, 3, SHIFT=str(_SHIFT), ELEMENT="y[place - 1]"),
        **_compared(x.dtype, "ListDiff"),
    )
    words = (Pointer(0), Pointer(1), Pointer(-1), x.size, y.size, table_size(y.size) - 1)
    return [Launch(code, words, 1, grain(_HASHING * (x.size + y.size)), 8 * call.size)]


@template("partition_order", may_fail=True, strided=EVERY_ARGUMENT)
def partition_order(call: Node) -> Sequence[Launch]:
    """The rows sorted by `numbers`; what the result holds is said at `PARTITION_ORDER`."""
    (numbers,) = call.args
    code = kernel(PARTITION_ORDER, I=element_type(numbers.dtype, "DynamicPartition"))
    error = StatusWord("InvalidArgumentError", out_of_range("partitions", numbers.shape))
    words = (Pointer(0), Pointer(-1), numbers.size, call.size - numbers.size - 1, error)
    return [Launch(code, words, 1, grain(2 * numbers.size), 16 * call.size)]


@template("partition_rows", strided=EVERY_ARGUMENT)
def partition_rows(call: Node) -> Sequence[Launch]:
    """The rows of partition `number`, given the result of `partition_order`; the rows after them are not written."""
    kind, each = moved_type(call.dtype, "DynamicPartition")
    rows = call.shape[0]
    n = call.size * each // max(rows, 1)
    words = (Pointer(0), Pointer(1), Pointer(-1), rows, n, params_of(call)["number"])
    return [Launch(kernel(PARTITION_ROWS, T=kind), words, rows, grain(n), 2 * call.size * call.dtype.size)]


def result_size(places: int, numbers: int, table: int) -> Shape:
    """The shape of a result: places, numbers, how many there are, a table."""
    return (places + numbers + 1 + table,)
