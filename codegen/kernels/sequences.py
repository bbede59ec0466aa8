"""Sequences along a dimension: `reverse_sequence`(x, lengths), with the dimensions `sequence` and `batch`; `cumsum`(x)
along `axis`, `exclusive` or not, from the end if `backwards`.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel, moved_type
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, params_of, template

# Unit: one row of elements inside both dimensions; rows are [outer, first, middle, second]. Words: x, lengths, result,
# sizes of first, middle, second, elements a row, whether first is the sequences' number (else the place in them),
# status, error. A length out of range leaves its sequence as it is.
REVERSE_SEQUENCE: Final = """
def reverse_sequence_{T}_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    source = ptr_{T}(a[0], 0)
    lengths = ptr_{I}(a[1], 1)
    result = ptr_{T}(a[2], 2)
    n = a[6]
    for row in range(lo, hi):
        rest = idiv(row, a[5])
        second = row - rest * a[5]
        rest = idiv(rest, a[4])
        first = imod(rest, a[3])
        place = first
        number = second
        step = a[4] * a[5]
        size = a[3]
        if a[7] != 0:
            place = second
            number = first
            step = i64(1)
            size = a[5]
        length = i64(lengths[number])
        if length < 0 or length > size:
            if atomic_cas(a[8], 0, a[9]) == 0:
                record = ptr_i64(a[8], -1)
                record[1] = number
                record[2] = length
                record[3] = size
            length = i64(0)
        start = row
        if place < length:
            start = row + (length - 1 - 2 * place) * step
        x = advance(source, start * n)
        y = advance(result, row * n)
        for j in range(n):
            y[j] = x[j]
"""


# Unit: one sequence. Words: x, result, length, elements between neighbours, whether a sum is without its own element,
# whether sums start at the end, and 0 of any type.
CUMSUM: Final = """
def cumsum_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    result = ptr_{T}(a[1], 1)
    n = a[2]
    apart = a[3]
    for sequence in range(lo, hi):
        outer = idiv(sequence, apart)
        place = outer * n * apart + sequence - outer * apart
        step = apart
        if a[5] != 0:
            place = place + (n - 1) * apart
            step = -apart
        total = ptr_{T}(args + 48, -1)[0]
        for i in range(n):
            before = total
            total = before + x[place]
            if a[4] != 0:
                result[place] = before
            else:
                result[place] = total
            place = place + step
"""


@template("cumsum")
def cumsum(call: Node) -> Sequence[Launch]:
    """One launch: each sequence is added up by one thread, in its order."""
    params = params_of(call)
    (x,) = call.args
    axis = params["axis"]
    n, apart = x.shape[axis], prod(x.shape[axis + 1 :])
    words = (Pointer(0), Pointer(-1), n, apart, int(params["exclusive"]), int(params["backwards"]), 0)
    code = kernel(CUMSUM, T=element_type(x.dtype, "Cumsum"))
    return [Launch(code, words, prod(x.shape[:axis]) * apart, grain(n), 2 * call.size * call.dtype.size)]


@template("reverse_sequence", may_fail=True, strided=EVERY_ARGUMENT)
def reverse_sequence(call: Node) -> Sequence[Launch]:
    """One launch. A length that no sequence can have is an InvalidArgumentError."""
    params = params_of(call)
    x, lengths = call.args
    kind, each = moved_type(x.dtype, "ReverseSequence")
    first, second = sorted((params["sequence"], params["batch"]))
    n = prod(x.shape[second + 1 :]) * each
    sizes = (x.shape[first], prod(x.shape[first + 1 : second]), x.shape[second])
    error = StatusWord("InvalidArgumentError", "seq_lengths[{0}] = {1} is not in [0, {2}]")
    words = (Pointer(0), Pointer(1), Pointer(-1), *sizes, n, int(params["batch"] == first), error)
    code = kernel(REVERSE_SEQUENCE, T=kind, I=element_type(lengths.dtype, "ReverseSequence"))
    return [Launch(code, words, prod(x.shape[: second + 1]), grain(n), 2 * call.size * call.dtype.size)]
