"""What loops and their gradients do beside going round: rows put in place, values of all iterations kept."""

from __future__ import annotations

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import dense, refuse_strings, stored
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.lower.state import scattered
from flowc.codegen.program import Program
from flowc.framework.dtypes import bool_, int32, int64


@lowering("InplaceUpdate")
def inplace_update(p: Program, op: LoweredOp, x: Node, indices: Node, rows: Node) -> Node:
    refuse_strings(x.dtype, op.type)
    return scattered(p, "scatter_update", x, indices, rows)


@lowering("LoopHistory")
def loop_history(p: Program, op: LoweredOp) -> Node:
    """Each its own: two loops may be under way at once, as when the body of one is repeated."""
    return p.call("history_new", [], (2,), int64, number=len(p.nodes))


@lowering("LoopHistoryPush")
def loop_history_push(p: Program, op: LoweredOp, history: Node, value: Node) -> Node:
    return p.call("history_push", [history, stored(p, value)], (2,), int64)


@lowering("LoopHistoryRead")
def loop_history_read(p: Program, op: LoweredOp, history: Node, index: Node, like: Node) -> Node:
    return p.call("history_read", [history, dense(p, p.cast(index, int32))], op.shapes[0], op.dtypes[0])


@lowering("CheckNumerics")
def check_numerics(p: Program, op: LoweredOp, x: Node) -> Node:
    """`x` itself: the run fails after the check, whatever it has computed by then."""
    axes = range(len(x.shape))
    found = [p.reduce("any", p.map(kind, x), axes) for kind in ("isnan", "isinf")]
    message = str(op.attrs["message"]).replace("{", "{{").replace("}", "}}")
    p.effects.append(p.call("report_numerics", [dense(p, flag) for flag in found], (), bool_, message=message))
    return x
