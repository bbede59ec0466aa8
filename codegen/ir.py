"""The compiler's intermediate representation: whole-array expressions over a few node kinds, with concrete shapes.

    node      := input | const | iota | map | view | reduce | call | region | result
    input     (feed i | variable name)       memory that a run is given
    const     array                          memory of the plan; a scalar becomes an argument of the kernels that use it
    iota      axis                           the index along an axis
    map       primitive(args…)               one scalar primitive at every index; args broadcast as in NumPy
    view      base, offset, strides          out[i…] = base.flat[offset + Σ i·stride]: reshape, transpose, slice, …
    reduce    kind, axes                     sum, prod, max, min, all, any, argmax, argmin over axes, which are dropped
    call      template(args…)                a hand-written kernel or a library call: matmul, gather, scatter, random, …
    region    parts(args…)                   a loop or a conditional: see `flowc.codegen.regions`; no value itself
    result    index                          one of the values that a region leaves

Nodes are immutable and interned by the program that makes them (`flowc.codegen.program`), so that equal expressions are
one node: common subexpressions vanish as they are built. A view's base is never itself a view. A node of any kind but
`view` stands for a row-major array; whether it is ever stored is decided by fusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final

import numpy as np

from flowc.framework.dtypes import DType

Shape = tuple[int, ...]
Array = np.ndarray[Any, Any]

ARG_REDUCTIONS: Final = frozenset({"argmax", "argmin"})


class Node:
    """An array expression. `attr` says more about the kind `op`; see the module's docstring."""

    __slots__ = ("args", "attr", "dtype", "id", "op", "origin", "shape", "size")

    def __init__(self, op: str, dtype: DType, shape: Shape, args: tuple[Node, ...], attr: Any, id: int) -> None:
        self.op, self.dtype, self.shape, self.args, self.attr, self.id = op, dtype, shape, args, attr, id
        self.size = prod(shape)
        self.origin: str = ""  # the user's operation it was first lowered from, for names and messages

    def __repr__(self) -> str:
        args = ", ".join(f"%{a.id}" for a in self.args)
        return f"%{self.id} = {self.op}[{self.attr}]({args}) : {self.dtype.name}{list(self.shape)}"


def row_major(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides, in elements, of a C-contiguous array."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def base_of(node: Node) -> Node:
    """The node that owns the memory: a view's base, or the node itself."""
    return node.args[0] if node.op == "view" else node


def access(node: Node) -> tuple[Node, int, tuple[int, ...]]:
    """Where a node's elements lie: (the node that owns the memory, offset, stride of each dimension)."""
    if node.op == "view":
        offset, strides = node.attr
        return node.args[0], offset, strides
    return node, 0, row_major(node.shape)


def is_within(size: int, shape: Shape, offset: int, strides: Sequence[int]) -> bool:
    """Whether all elements of a strided array lie in memory of `size` elements."""
    if 0 in shape:
        return True
    ends = [(count - 1) * stride for count, stride in zip(shape, strides, strict=True)]
    return offset + sum(min(0, end) for end in ends) >= 0 and offset + sum(max(0, end) for end in ends) < size


def broadcast_access(node: Node, shape: Shape) -> tuple[Node, int, tuple[int, ...]]:
    """`access(node)` as seen by a map of shape `shape`: broadcast dimensions have stride 0."""
    base, offset, strides = access(node)
    if node.shape == shape:
        return base, offset, strides
    lead = len(shape) - len(node.shape)
    aligned = tuple(0 if size == 1 else stride for size, stride in zip(node.shape, strides, strict=True))
    return base, offset, (0,) * lead + aligned


def is_dense(shape: Shape, strides: Sequence[int]) -> bool:
    """Whether strides are those of a C-contiguous array; dimensions of size 1 do not count."""
    step = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1:
            if stride != step:
                return False
            step *= size
    return True


def reshaped_strides(shape: Shape, strides: Sequence[int], new_shape: Shape) -> tuple[int, ...] | None:
    """The strides by which the same memory has `new_shape`, or None if only a copy can have it."""
    if prod(shape) == 0:
        return row_major(new_shape)
    runs: list[tuple[int, int]] = []  # maximal (size, stride) runs that are dense inside
    for size, stride in zip(shape, strides, strict=True):
        if size == 1:
            continue
        if runs and runs[-1][1] == size * stride:
            runs[-1] = (runs[-1][0] * size, stride)
        else:
            runs.append((size, stride))
    return _split_runs(runs, new_shape)


def _split_runs(runs: list[tuple[int, int]], new_shape: Shape) -> tuple[int, ...] | None:
    result: list[int] = []
    pending = list(reversed(runs))
    size, stride = pending.pop() if pending else (1, 1)
    for dim in new_shape:
        if dim == 1:
            result.append(0)
            continue
        if size == 1 and pending:
            size, stride = pending.pop()
        if size % dim:
            return None
        size //= dim
        result.append(stride * size)
    return tuple(result)
