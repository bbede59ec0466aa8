"""Rows reduced by segment: `segment_starts`(ids) and `segment_reduce`(data, starts[, indices]).

`segment_starts` finds where each of the sorted, consecutive ids begins, and checks that they are that. `segment_reduce`
(kind: sum, prod, min, max) reduces the rows of each segment, those that `indices` name if there are any. After ids that
were refused, the starts may be anything: they are clamped to the rows that there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import components, element, element_type, grain, kernel
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, Word, params_of, template

# Unit: one id, and one more for the end. Words: ids, starts, segments, number of ids; then status and error thrice.
SEGMENT_STARTS: Final = """
def segment_starts_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    ids = ptr_{I}(a[0], 0)
    starts = ptr_i64(a[1], 1)
    segments = a[2]
    n = a[3]
    for i in range(lo, hi):
        before = i64(-1)
        if i > 0:
            before = i64(ids[i - 1])
        here = segments
        if i < n:
            here = i64(ids[i])
            if i == 0 and here != 0:
                atomic_cas(a[4], 0, a[5])
            if here < 0 or here >= segments:
                if atomic_cas(a[6], 0, a[7]) == 0:
                    record = ptr_i64(a[6], -1)
                    record[1] = here
                    record[2] = segments
            if i > 0 and here != before and here != before + 1:
                atomic_cas(a[8], 0, a[9])
        for s in range(imax(before + 1, 0), imin(here, segments) + 1):
            starts[s] = i
"""

# Unit: one segment, or one column of all of them. Words: data, starts, result, columns, rows, the number of segments if
# units are columns, else 0; then for picked rows: indices, rows of data, status, error.
SEGMENT_ROWS: Final = """
def segment_{NAME}(args, lo, hi):
    a = ptr_i64(args, -1)
    data = ptr_{T}(a[0], 0)
    starts = ptr_i64(a[1], 1)
    result = ptr_{T}(a[2], 2)
    columns = a[3]
    rows = a[4]
    first = lo
    last = hi
    left = i64(0)
    right = columns
    if a[5] != 0:
        first = i64(0)
        last = a[5]
        left = lo
        right = hi
    for s in range(first, last):
        start = imin(imax(starts[s], 0), rows)
        end = imin(imax(starts[s + 1], 0), rows)
        y = advance(result, s * columns)
        for i in range(start, end):
            {ROW}
            x = advance(data, row * columns)
            if i == start:
                for j in range(left, right):
                    y[j] = x[j]
            else:
                for j in range(left, right):
                    y[j] = {COMBINED}
"""
_NEXT_ROW: Final = "row = i"
_PICKED_ROW: Final = """row = i64(ptr_{I}(a[6], 3)[i])
            if row < 0 or row >= a[7]:
                if atomic_cas(a[8], 0, a[9]) == 0:
                    record = ptr_i64(a[8], -1)
                    record[1] = i
                    record[2] = row
                    record[3] = a[7]
                row = i64(0)"""

# The same for rows of one element. Unit: one segment.
SEGMENT_VALUES: Final = """
def segment_values_{NAME}(args, lo, hi):
    a = ptr_i64(args, -1)
    data = ptr_{T}(a[0], 0)
    starts = ptr_i64(a[1], 1)
    result = ptr_{T}(a[2], 2)
    rows = a[4]
    for s in range(lo, hi):
        start = imin(imax(starts[s], 0), rows)
        end = imin(imax(starts[s + 1], 0), rows)
        if start < end:
            total = data[start]
            for i in range(start + 1, end):
                total = acc_{ACCUMULATED}(total, data[i])
            result[s] = total
"""

_COMBINED: Final = {
    "sum": "y[j] + x[j]",
    "prod": "y[j] * x[j]",
    "min": "minimum(y[j], x[j])",
    "max": "maximum(y[j], x[j])",
}
_ACCUMULATED: Final = {"sum": "add", "prod": "mul", "min": "min", "max": "max"}
_FEW_SEGMENTS: Final = 16  # fewer leave threads idle: then they divide the columns
_LEAST_COLUMNS: Final = 64  # a chunk of fewer shares cache lines with others


@template("segment_starts", may_fail=True, strided=EVERY_ARGUMENT)
def segment_starts(call: Node) -> Sequence[Launch]:
    """The first place of each id 0 … segments-1, then the number of ids: int64, shape [segments + 1]."""
    (ids,) = call.args
    code = kernel(SEGMENT_STARTS, I=element_type(ids.dtype, "A segment reduction"))
    errors = [
        StatusWord("InvalidArgumentError", message)
        for message in (
            "segment ids do not start at 0",
            "Segment id {0} out of range [0, {1}), probably because 'segment_ids' input is not sorted.",
            "segment ids are not increasing by 1",
        )
    ]
    words: tuple[Word, ...] = (Pointer(0), Pointer(-1), call.size - 1, ids.size, *errors)
    return [Launch(code, words, ids.size + 1, grain(2), ids.size * ids.dtype.size + 8 * call.size)]


@template("segment_reduce", may_fail=True, strided=EVERY_ARGUMENT)
def segment_reduce(call: Node) -> Sequence[Launch]:
    """One launch. An index out of range is an InvalidArgumentError."""
    data, _, *indices = call.args
    kind, each = components(call.dtype, "A segment reduction")
    segments, columns = call.shape[0], prod(call.shape[1:]) * each
    rows = indices[0].size if indices else data.shape[0]
    by_column = segments < _FEW_SEGMENTS and columns >= 2 * _LEAST_COLUMNS
    words: tuple[Word, ...] = (Pointer(0), Pointer(1), Pointer(-1), columns, rows, segments if by_column else 0)
    if indices:
        message = element("indices", indices[0].shape) + " == {1} out of range [0, {2})"
        error = StatusWord("InvalidArgumentError", message)
        words = (*words, Pointer(2), data.shape[0], error)
    code = _code(params_of(call)["kind"], kind, indices, columns)
    moved = (rows * columns + call.size) * call.dtype.size
    if by_column:
        return [Launch(code, words, columns, max(_LEAST_COLUMNS, grain(rows)), moved)]
    return [Launch(code, words, segments, grain(rows * columns // segments), moved)]


def _code(reduction: str, kind: str, indices: Sequence[Node], columns: int) -> Kernel:
    if columns == 1 and not indices:
        return kernel(SEGMENT_VALUES, NAME=f"{reduction}_{kind}", T=kind, ACCUMULATED=_ACCUMULATED[reduction])
    name, row = f"{reduction}_{kind}", _NEXT_ROW
    if indices:
        index = element_type(indices[0].dtype, "A sparse segment reduction")
        name, row = f"picked_{name}_{index}", _PICKED_ROW.format(I=index)
    return kernel(SEGMENT_ROWS, NAME=name, T=kind, ROW=row, COMBINED=_COMBINED[reduction])
