"""Reductions over axes. Sums of float16 are taken in float32."""

from __future__ import annotations

from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import axes_of, in_float32, invalid
from flowc.codegen.lower.pooling import sum_before_spread
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import int64

KINDS: Final = {"All": "all", "Any": "any", "Max": "max", "Min": "min", "Prod": "prod", "Sum": "sum"}
ARG_KINDS: Final = {"ArgMax": "argmax", "ArgMin": "argmin"}


@lowering(*KINDS)
def reduction(p: Program, op: LoweredOp, x: Node, indices: Node) -> Node:
    axes = axes_of(op, 1, len(x.shape))
    keep_dims = bool(op.attrs.get("keep_dims", False))
    if op.type not in ("Sum", "Prod"):
        return p.reduce(KINDS[op.type], x, axes, keep_dims)
    if op.type == "Sum" and not keep_dims:
        x = sum_before_spread(x, axes)
    return in_float32(p, lambda wide: p.reduce(KINDS[op.type], wide, axes, keep_dims), x)


@lowering("Mean")
def mean(p: Program, op: LoweredOp, x: Node, indices: Node) -> Node:
    """The sum by the number of elements: NaN for none, an error if they are integers. Of integers: summed in int64,
    truncated."""
    axes = axes_of(op, 1, len(x.shape))
    keep_dims = bool(op.attrs.get("keep_dims", False))
    count = prod(x.shape[axis] for axis in axes)
    if not x.dtype.is_integer:
        return in_float32(p, lambda wide: _by_count(p, p.reduce("sum", wide, axes, keep_dims), count), x)
    if count == 0 and op.shapes[0].count(0) == 0:
        raise invalid("Mean of no integers")
    total = p.reduce("sum", p.cast(x, int64), axes, keep_dims)
    return p.cast(_by_count(p, total, max(count, 1)), x.dtype)


def _by_count(p: Program, total: Node, count: int) -> Node:
    return p.map("div", total, p.scalar(count, total.dtype))


@lowering(*ARG_KINDS)
def arg_reduction(p: Program, op: LoweredOp, x: Node, dimension: Node) -> Node:
    """The first index of the extreme value; NaN is taken for more extreme than any number."""
    (axis,) = axes_of(op, 1, len(x.shape))
    if x.shape[axis] == 0 and op.shapes[0].count(0) == 0:
        raise invalid(f"Reduction axis {axis} is empty in shape {list(x.shape)}")
    return p.reduce(ARG_KINDS[op.type], x, [axis])
