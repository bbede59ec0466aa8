"""Rows changed by index, in place: `scatter_update`, `scatter_add`, `scatter_sub` (table, indices, updates, checked).

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
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, template

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
