"""Elements by their indices: `scatter_elements` writes them into a dense array, `lexicographic_order` sorts them."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from typing import Final

from flowc.codegen.ir import Node, row_major
from flowc.codegen.kernels.source import element_type, grain, kernel, moved_type
from flowc.codegen.templates import Launch, Pointer, StatusWord, Word, template

# One unit, for all of it: of equal indices the last must win. Words: indices, values, result, number of indices,
# dimensions, step from value to value, elements a value, status, error; then for each dimension: size, stride.
SCATTER_ELEMENTS: Final = """
def scatter_elements_{T}_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    indices = ptr_{I}(a[0], 0)
    values = ptr_{T}(a[1], 1)
    result = ptr_{T}(a[2], 2)
    rank = a[4]
    each = a[6]
    i = i64(0)
    while i < a[3]:
        at = i64(0)
        inside = True
        for d in range(rank):
            index = i64(indices[i * rank + d])
            at += index * a[10 + 2 * d]
            if index < 0 or index >= a[9 + 2 * d]:
                inside = False
                if atomic_cas(a[7], 0, a[8]) == 0:
                    record = ptr_i64(a[7], -1)
                    record[1] = i
                    record[2] = index
                    record[3] = a[9 + 2 * d]
        if inside:
            for part in range(each):
                result[at * each + part] = values[i * a[5] + part]
        i += 1
"""

# One unit, for all of it. Words: indices, order, number, dimensions. A merge sort from runs of one upwards, between the
# two rows of `order`; what is in order already is only looked at.
LEXICOGRAPHIC_ORDER: Final = """
def lexicographic_order(args, lo, hi):
    a = ptr_i64(args, -1)
    indices = ptr_i64(a[0], 0)
    order = ptr_i64(a[1], 1)
    n = a[2]
    rank = a[3]
    for i in range(n):
        order[i] = i
    last = i64(1)
    while last < n:
        p = (last - 1) * rank
        q = last * rank
        k = i64(0)
        while k < rank and indices[p + k] == indices[q + k]:
            k += 1
        if k < rank and indices[q + k] < indices[p + k]:
            break
        last += 1
    if last >= n:
        return
    source = i64(0)
    width = i64(1)
    while width < n:
        target = n - source
        at = i64(0)
        while at < n:
            left = at
            middle = imin(at + width, n)
            right = middle
            end = imin(middle + width, n)
            while at < end:
                from_right = left == middle
                if left < middle and right < end:
                    p = order[source + left] * rank
                    q = order[source + right] * rank
                    k = i64(0)
                    while k < rank and indices[p + k] == indices[q + k]:
                        k += 1
                    from_right = k < rank and indices[q + k] < indices[p + k]
                if from_right:
                    order[target + at] = order[source + right]
                    right += 1
                else:
                    order[target + at] = order[source + left]
                    left += 1
                at += 1
        source = target
        width = width * 2
    if source != 0:
        for i in range(n):
            order[i] = order[n + i]
"""

OUT_OF_BOUNDS: Final = "Indices are not valid (out of bounds): index {0} has {1} in a dimension of size {2}"


@template("scatter_elements", in_place=0, may_fail=True)
def scatter_elements(call: Node) -> Sequence[Launch]:
    """The first argument, with the values of the third at the indices of the second: [n, dimensions]."""
    result, indices, values = call.args
    kind, each = moved_type(call.dtype, "SparseToDense")
    n, rank = indices.shape
    step = each if values.shape else 0
    dimensions = [word for pair in zip(result.shape, row_major(result.shape), strict=True) for word in pair]
    status = StatusWord("InvalidArgumentError", OUT_OF_BOUNDS)
    words: tuple[Word, ...] = (Pointer(1), Pointer(2), Pointer(-1), n, rank, step, each, status, *dimensions)
    code = kernel(SCATTER_ELEMENTS, T=kind, I=element_type(indices.dtype, "SparseToDense"))
    return [Launch(code, words, 1, grain(n * (rank + each)), n * (rank * indices.dtype.size + 2 * call.dtype.size))]


@template("lexicographic_order")
def lexicographic_order(call: Node) -> Sequence[Launch]:
    """The order that sorts the rows of an int64 matrix, those that are equal staying in theirs: row 0 of [2, n]."""
    n, rank = call.args[0].shape
    work = int(n * rank * max(log2(max(n, 2)), 1))
    return [Launch(kernel(LEXICOGRAPHIC_ORDER), (Pointer(0), Pointer(-1), n, rank), 1, grain(work), 8 * work)]
