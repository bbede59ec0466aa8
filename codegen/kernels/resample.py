"""Linear maps along one axis whose rows have few entries, as interpolation and its gradient are: `resample` (axis).

Arguments: x; starts, sources and weights: entry i of the result's axis is Σ weights[t] · x[sources[t]] over
starts[i] ≤ t < starts[i + 1]. The result has the weights' type.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel
from flowc.codegen.templates import Launch, Pointer, params_of, template

# Words: x, starts, sources, weights, result, entries of the result, entries of x, elements an entry.
_ARGUMENTS: Final = """
    a = ptr_i64(args, -1)
    x = ptr_{S}(a[0], 0)
    starts = ptr_i64(a[1], 1)
    sources = ptr_i64(a[2], 2)
    weights = ptr_{T}(a[3], 3)
    result = ptr_{T}(a[4], 4)
    count = a[5]
    n = a[7]
"""

# Unit: one entry of the result, of many elements.
LONG_ENTRIES: Final = f"""
def resample_long_{{S}}_{{T}}(args, lo, hi):
{_ARGUMENTS}
    for unit in range(lo, hi):
        outer = idiv(unit, count)
        i = unit - outer * count
        block = advance(x, outer * a[6] * n)
        y = advance(result, unit * n)
        first = starts[i]
        entries = starts[i + 1] - first
        if entries == 2:
            u = advance(block, sources[first] * n)
            v = advance(block, sources[first + 1] * n)
            p = weights[first]
            q = weights[first + 1]
            for j in range(n):
                y[j] = {{C}}(u[j]) * p + {{C}}(v[j]) * q
        else:
            for j in range(n):
                y[j] = 0
            for t in range(first, first + entries):
                u = advance(block, sources[t] * n)
                p = weights[t]
                for j in range(n):
                    y[j] = y[j] + {{C}}(u[j]) * p
"""

# Unit: all entries of one outer index. They are too short for vectors.
SHORT_ENTRIES: Final = f"""
def resample_short_{{S}}_{{T}}(args, lo, hi):
{_ARGUMENTS}
    for outer in range(lo, hi):
        block = advance(x, outer * a[6] * n)
        y = advance(result, outer * count * n)
        i = i64(0)
        while i < count:
            first = starts[i]
            last = starts[i + 1]
            j = i64(0)
            while j < n:
                total = {{C}}(0)
                t = first
                while t < last:
                    total = total + {{C}}(block[sources[t] * n + j]) * weights[t]
                    t += 1
                y[i * n + j] = total
                j += 1
            i += 1
"""

_SHORT: Final = 16  # elements an entry


@template("resample")
def resample(call: Node) -> Sequence[Launch]:
    """One launch."""
    x, _, _, weights = call.args
    axis = params_of(call)["axis"]
    count, entries, n = call.shape[axis], x.shape[axis], prod(call.shape[axis + 1 :])
    outer = prod(call.shape[:axis])
    source_type, kind = element_type(x.dtype, "A resized image"), element_type(call.dtype, "A resized image")
    names = {"S": source_type, "T": kind, "C": "f32" if kind == "f16" else kind}
    words = (*(Pointer(i) for i in range(4)), Pointer(-1), count, entries, n)
    work = 2 * weights.size * n
    moved = x.size * x.dtype.size + call.size * call.dtype.size
    if n < _SHORT:
        return [Launch(kernel(SHORT_ENTRIES, **names), words, outer, grain(4 * work), moved)]
    return [Launch(kernel(LONG_ENTRIES, **names), words, outer * count, grain(work // max(count, 1)), moved)]
