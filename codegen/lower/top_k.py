"""The greatest elements of rows, and whether a class is among them."""

from __future__ import annotations

from collections.abc import Sequence

from flowc.codegen.ir import Node
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import int32


@lowering("TopK")
def top_k(p: Program, op: LoweredOp, x: Node) -> Sequence[Node]:
    indices = p.call("top_k", [x], op.shapes[1], int32, k=op.shapes[1][-1])
    return p.call("pick", [x, indices], op.shapes[0], x.dtype), indices


@lowering("InTopK")
def in_top_k(p: Program, op: LoweredOp, predictions: Node, targets: Node) -> Node:
    """Fewer than k predictions are greater than that for the target. No class is the target where it is none."""
    column = p.reshape(targets, (*targets.shape, 1))
    is_target = p.map("eq", p.iota(predictions.shape, 1, targets.dtype), column)
    zero = p.scalar(0, predictions.dtype)
    chosen = p.reduce("sum", p.map("select", is_target, predictions, zero), [1], keep_dims=True)
    better = p.reduce("sum", p.cast(p.map("gt", predictions, chosen), int32), [1])
    among = p.map("lt", better, p.scalar(min(op.attrs["k"], 2**31 - 1), int32))
    known = p.reduce("any", p.map("and", is_target, p.map("isfinite", chosen)), [1])
    return p.map("and", among, known)
