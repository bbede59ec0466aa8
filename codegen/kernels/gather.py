"""Rows picked by index: `gather`(params, indices), params `rows` by `row`, gives one row an index."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel, moved_type, out_of_range
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, template

# Unit: one index. Words: table, indices, result, rows of the table, elements a row, status, error. A row whose index is
# out of range is filled with zeros, so that whatever still runs before the error is raised reads no other memory.
GATHER_ROWS: Final = """
def gather_rows_{T}_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    table = ptr_{T}(a[0], 0)
    indices = ptr_{I}(a[1], 1)
    result = ptr_{T}(a[2], 2)
    rows = a[3]
    n = a[4]
    for i in range(lo, hi):
        index = i64(indices[i])
        y = advance(result, i * n)
        if index >= 0 and index < rows:
            x = advance(table, index * n)
            for j in range(n):
                y[j] = x[j]
        else:
            for j in range(n):
                y[j] = 0
            if atomic_cas(a[5], 0, a[6]) == 0:
                record = ptr_i64(a[5], -1)
                record[1] = i
                record[2] = index
                record[3] = rows
"""


@template("gather", may_fail=True, strided=EVERY_ARGUMENT)
def gather(call: Node) -> Sequence[Launch]:
    """One launch. An index out of range is an InvalidArgumentError."""
    table, indices = call.args
    kind, each = moved_type(table.dtype, "Gather")
    n = prod(table.shape[1:]) * each
    code = kernel(GATHER_ROWS, T=kind, I=element_type(indices.dtype, "Gather"))
    error = StatusWord("InvalidArgumentError", out_of_range("indices", indices.shape))
    words = (Pointer(0), Pointer(1), Pointer(-1), table.shape[0], n, error)
    moved = 2 * call.size * call.dtype.size + indices.size * indices.dtype.size
    return [Launch(code, words, indices.size, grain(n), moved)]
