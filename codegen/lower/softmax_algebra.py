"""The logarithm of a softmax, and its gradient, without the softmax: -Σ y_·log(softmax(x)) as a guide's script has it.

A softmax is 0 where a class is about 100 less likely than another on the scale of the logits (in float32). Taken
literally, its logarithm is then -inf, and the gradient, which divides by the softmax and multiplies by it again, NaN: a
long training stops at such a step. What is computed in their place is equal wherever the softmax is not 0, to rounding,
and the true value where it is:

    log(softmax(x))    as    x - max(x) - log Σ e^(x - max(x))
    (g / y - s) · y    as    g - s·y         for a softmax y, in products with it
"""

from __future__ import annotations

from flowc.codegen.ir import Node, base_of
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program


@lowering("Log")
def log(p: Program, op: LoweredOp, x: Node) -> Node:
    softmax = _softmax_of(x)
    if softmax is None:
        return p.map("log", x)
    powers, inverse = softmax.args
    return p.cast(p.map("sub", powers.args[0], p.map("log", inverse.args[0])), x.dtype)


@lowering("Mul")
def mul(p: Program, op: LoweredOp, x: Node, y: Node) -> Node:
    for factor, softmax in ((x, y), (y, x)):
        if factor.shape == softmax.shape and _softmax_of(softmax) is not None:
            product = _cancelled(p, factor, softmax)
            if product is not None:
                return p.broadcast(product, factor.shape)
    return p.map("mul", x, y)


def _softmax_of(node: Node) -> Node | None:
    """The product e^x · (1 / Σ e^x) over the last axis, if `node` is that or its conversion to float16."""
    if node.op == "map" and node.attr == "cast":
        node = node.args[0]
    if not _is_map(node, "mul"):
        return None
    powers, inverse = node.args
    if not (_is_map(powers, "exp") and _is_map(inverse, "reciprocal")):
        return None
    total = base_of(inverse.args[0])
    last = (len(node.shape) - 1,)
    is_sum = total.op == "reduce" and total.attr == ("sum", last, 0) and total.args[0] is powers
    return node if is_sum and inverse.shape == (*node.shape[:-1], 1) else None


def _cancelled(p: Program, x: Node, y: Node) -> Node | None:
    """x · y where x is a sum of terms, some of them divided by y: without these divisions. None if there are none."""
    if _is_map(x, "div") and x.args[1] is y:
        return x.args[0]
    if _is_map(x, "neg"):
        inner = _cancelled(p, x.args[0], y)
        return None if inner is None else p.map("neg", inner)
    if not (_is_map(x, "add") or _is_map(x, "sub")):
        return None
    parts = [_cancelled(p, term, y) for term in x.args]
    if parts == [None, None]:
        return None
    left, right = (p.map("mul", t, y) if part is None else part for t, part in zip(x.args, parts, strict=True))
    return p.map(x.attr, left, right)


def _is_map(node: Node, primitive: str) -> bool:
    return node.op == "map" and node.attr == primitive
