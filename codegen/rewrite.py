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
    alpha, product = _scaled_product(program, scaled)
    if product is None or product.shape != node.shape or uses[product.id] > 1:
        return None
    alpha = -alpha if node.attr == "sub" else alpha
    return program.call("gemm_add", [base, *product.args], node.shape, node.dtype, alpha=alpha)


def _scaled_product(program: Program, node: Node) -> tuple[float, Node | None]:
    """The constant and the product of matrices that `node` multiplies, if it is of that form."""
    if _is_gemm(node):
        return 1.0, node
    if node.op == "map" and node.attr == "mul":
        for factor, product in (node.args, node.args[::-1]):
            alpha = program.scalar_value(factor)
            if alpha is not None and _is_gemm(product):
                return float(alpha), product
    return 0.0, None


def _is_gemm(node: Node) -> bool:
    return node.op == "call" and node.attr[0] == "gemm" and len(node.shape) == 2
