"""Rewrites of a program before fusion: patterns that a library call computes in one pass.

add a product    V - c·(A·B) and V + c·(A·B), c a constant, become one call that adds to V in place: the step of
                 gradient descent on a matrix, without storing its gradient
"""

from __future__ import annotations

from collections import Counter

from flowc.codegen.fuse import live_nodes
from flowc.codegen.ir import Node
from flowc.codegen.program import Program
from flowc.framework.dtypes import float32, float64


def rewrite(program: Program) -> None:
    """Applies all rewrites to the program's stores."""
    uses = Counter(arg.id for node in live_nodes(program) for arg in node.args)
    uses.update(node.id for node in (*program.fetches, *program.stores.values()))
    for name, node in program.stores.items():
        program.origin = node.origin
        program.stores[name] = _added_product(program, node, uses) or node
    program.origin = ""


def _added_product(program: Program, node: Node, uses: Counter[int]) -> Node | None:
    if node.op != "map" or node.attr not in ("add", "sub") or node.dtype not in (float32, float64):
        return None
    base, scaled = node.args
    if base.op == "view" or base.shape != node.shape or uses[node.id] > 1 or uses[scaled.id] > 1:
        return None
    if scaled.op != "map" or scaled.attr != "mul":
        return None
    for factor, product in (scaled.args, scaled.args[::-1]):
        alpha = program.scalar_value(factor)
        if alpha is not None and _is_gemm(product, node) and uses[product.id] == 1:
            sign = -1.0 if node.attr == "sub" else 1.0
            arguments = [base, *product.args]
            return program.call("gemm_add", arguments, node.shape, node.dtype, alpha=sign * float(alpha))
    return None


def _is_gemm(product: Node, result: Node) -> bool:
    return (
        product.op == "call" and product.attr[0] == "gemm" and product.shape == result.shape and len(product.shape) == 2
    )
