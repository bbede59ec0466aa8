"""Rows changed by index, in place: `scatter_update`, `scatter_add`, `scatter_sub` (table, indices, updates, checked);
`invert_permutation`.

`checked` is the result of `check_range` on the indices: the table may be a variable, which a failed run must not
change, so the check comes first. Threads divide the columns, and each goes through the indices in order: rows of a
repeated index add up (the last one stays, for `scatter_update`) the same way every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import components, element_type, grain, kernel, moved_type
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, template

# Unit: one column. Words: table, indices, updates, rows of the table, columns, number of indices.
SCATTER_ROWS: Final = """
def scatter_{NAME}_{T}_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    table = ptr_{T}(a[0], 0)
    indices = ptr_{I}(a[1], 1)
    updates = ptr_{T}(a[2], 2)
    rows = a[3]
    n = a[4]
    for i in range(a[5]):
        index = i64(indices[i])
        if index >= 0 and index < rows:
            y = advance(table, index * n)
            x = advance(updates, i * n)
            for j in range(lo, hi):
                y[j] = {VALUE}
"""

# One unit, for all of it. Words: permutation, result, its length, status, error, status, error.
INVERT_PERMUTATION: Final = """
def invert_permutation_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{I}(a[0], 0)
    y = ptr_{I}(a[1], 1)
    n = a[2]
    for i in range(n):
        y[i] = -1
    for i in range(n):
        place = i64(x[i])
        if place < 0 or place >= n:
            if atomic_cas(a[3], 0, a[4]) == 0:
                record = ptr_i64(a[3], -1)
                record[1] = place
                record[2] = n
        else:
            if y[place] >= 0 and atomic_cas(a[5], 0, a[6]) == 0:
                ptr_i64(a[5], -1)[1] = place
            y[place] = {I}(i)
"""

_LEAST_COLUMNS: Final = 64  # a chunk of fewer shares cache lines with others


def _scatter(call: Node, name: str, value: str, kind: str, each: int) -> Sequence[Launch]:
    table, indices, updates, _ = call.args
    n = prod(table.shape[1:]) * each
    code = kernel(SCATTER_ROWS, NAME=name, VALUE=value, T=kind, I=element_type(indices.dtype, call.attr[0]))
    words = (Pointer(-1), Pointer(1), Pointer(2), table.shape[0], n, indices.size)
    moved = 3 * updates.size * updates.dtype.size + indices.size * indices.dtype.size
    return [Launch(code, words, n, max(_LEAST_COLUMNS, grain(indices.size)), moved)]


@template("scatter_update", in_place=0, strided=EVERY_ARGUMENT)
def scatter_update(call: Node) -> Sequence[Launch]:
    """table[indices[i]] = updates[i]."""
    return _scatter(call, "update", "x[j]", *moved_type(call.dtype, "ScatterUpdate"))


@template("scatter_add", in_place=0, strided=EVERY_ARGUMENT)
def scatter_add(call: Node) -> Sequence[Launch]:
    """table[indices[i]] += updates[i]."""
    return _scatter(call, "add", "y[j] + x[j]", *components(call.dtype, "ScatterAdd"))


@template("scatter_sub", in_place=0, strided=EVERY_ARGUMENT)
def scatter_sub(call: Node) -> Sequence[Launch]:
    """table[indices[i]] -= updates[i]."""
    return _scatter(call, "sub", "y[j] - x[j]", *components(call.dtype, "ScatterSub"))


@template("invert_permutation", may_fail=True, strided=EVERY_ARGUMENT)
def invert_permutation(call: Node) -> Sequence[Launch]:
    """result[x[i]] = i. What is no permutation is an InvalidArgumentError."""
    (x,) = call.args
    code = kernel(INVERT_PERMUTATION, I=element_type(x.dtype, "InvertPermutation"))
    outside = StatusWord("InvalidArgumentError", "{0} is not between 0 and {1}")
    duplicate = StatusWord("InvalidArgumentError", "{0} is duplicated in the input.")
    words = (Pointer(0), Pointer(-1), x.size, outside, duplicate)
    return [Launch(code, words, 1, grain(2 * x.size), 2 * x.size * x.dtype.size)]
