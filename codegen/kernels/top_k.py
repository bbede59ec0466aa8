"""The k greatest elements of each row: `top_k` (param `k`), which finds their indices, and `pick`, which takes them.

A heap of the k best elements so far is kept in the result's memory, the worst at its root: n elements take n·log k
steps at worst, and about n where they come in random order. Taking out the worst, one after the other, sorts it. Of
equal elements the one with the lower index is better; NaN is better than any number.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel, moved_type
from flowc.codegen.templates import Launch, Pointer, params_of, template

# Lets `item` sink from place `at` of the heap of `size`: a child that is worse goes up.
SINK: Final = """
v = x[item]
while 2 * at + 1 < size:
    child = 2 * at + 1
    c = i64(heap[child])
    w = x[c]
    if child + 1 < size:
        d = i64(heap[child + 1])
        z = x[d]
        if {z_worse_w}:
            child += 1
            c = d
            w = z
    if {v_worse_w}:
        break
    heap[at] = i32(c)
    at = child
heap[at] = i32(item)
"""

# Unit: one row. Words: elements, indices, elements a row, k.
TOP_K: Final = """
def top_k_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    values = ptr_{T}(a[0], 0)
    result = ptr_i32(a[1], 1)
    n = a[2]
    k = a[3]
    for row in range(lo, hi):
        x = advance(values, row * n)
        heap = advance(result, row * k)
        for j in range(k):
            heap[j] = i32(j)
        size = k
        for j in range(idiv(k, 2) - 1, -1, -1):
            at = j
            item = i64(heap[j])
{SINK_3}
        for i in range(k, n):
            if {BETTER}:
                at = i64(0)
                item = i
{SINK_4}
        for j in range(k - 1, 0, -1):
            item = i64(heap[j])
            heap[j] = heap[0]
            at = i64(0)
            size = j
{SINK_3}
"""

# Unit: one row. Words: elements, indices, result, elements a row, k.
PICK: Final = """
def pick_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    values = ptr_{T}(a[0], 0)
    indices = ptr_i32(a[1], 1)
    result = ptr_{T}(a[2], 2)
    k = a[4]
    for row in range(lo, hi):
        x = advance(values, row * a[3])
        for j in range(row * k, row * k + k):
            result[j] = x[i64(indices[j])]
"""


def _better(x: str, y: str, kind: str) -> str:
    """Source of: x is greater than y."""
    return f"({x} > {y}) | (({x} != {x}) & ({y} == {y}))" if kind[0] == "f" else f"({x} > {y})"


def _worse(x: str, at: str, y: str, other: str, kind: str) -> str:
    """Source of: x, which stands at index `at`, comes after y, which stands at `other`."""
    less, more = _better(y, x, kind), _better(x, y, kind)
    return f"({less}) | (({at} > {other}) & (~({more})))"


def _sink(kind: str, depth: int) -> str:
    text = SINK.format(z_worse_w=_worse("z", "d", "w", "c", kind), v_worse_w=_worse("v", "item", "w", "c", kind))
    return textwrap.indent(text.strip("\n"), "    " * depth)


@template("top_k")
def top_k(call: Node) -> Sequence[Launch]:
    """The indices, int32, of the greatest elements along the last axis."""
    (x,) = call.args
    if not call.size:
        return []
    kind = element_type(x.dtype, "TopK")
    better = _better("x[i]", "x[i64(heap[0])]", kind)
    code = kernel(TOP_K, T=kind, BETTER=better, SINK_3=_sink(kind, 3), SINK_4=_sink(kind, 4))
    n, k = x.shape[-1], params_of(call)["k"]
    moved = x.size * x.dtype.size + call.size * 4
    return [Launch(code, (Pointer(0), Pointer(-1), n, k), prod(x.shape[:-1]), grain(4 * (n + 4 * k)), moved)]


@template("pick")
def pick(call: Node) -> Sequence[Launch]:
    """Arguments: elements, and indices along their last axis."""
    x, indices = call.args
    kind, _ = moved_type(x.dtype, "TopK")
    n, k = x.shape[-1], call.shape[-1]
    words = (Pointer(0), Pointer(1), Pointer(-1), n, k)
    moved = 2 * call.size * call.dtype.size + indices.size * 4
    return [Launch(kernel(PICK, T=kind), words, prod(x.shape[:-1]), grain(2 * k), moved)]
