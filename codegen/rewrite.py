"""Rewrites of a program before fusion: patterns that one call computes in one pass.

add a product    V - c·(A·B) and V + c·(A·B), c a constant, become one call that adds to V in place: the step of
                 gradient descent on a matrix, without storing its gradient
epilogues        a bias that is added to a convolution or a product, and max(…, 0) of the sum, are done before its
                 result is stored; on a GPU so are gradients of these
shared panels    a matrix that many rows are multiplied by, few at a time, is laid out for that once
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from flowc.codegen.backend import current
from flowc.codegen.fuse import live_nodes
from flowc.codegen.ir import Node
from flowc.codegen.kernels.products import padded_columns
from flowc.codegen.lower.matmul import LIBRARY_PRODUCTS, added_product, with_shared_panels
from flowc.codegen.program import Program
from flowc.codegen.templates import params_of
from flowc.framework.dtypes import float32, float64

# calls that take a bias as their last argument
_WITH_EPILOGUES: Final = frozenset({"conv2d", "matmul", "library_product"})
_PRODUCTS: Final = frozenset({"matmul", *LIBRARY_PRODUCTS})


def rewrite(program: Program) -> None:
    """Applies all rewrites."""
    nodes = live_nodes(program)
    if any(node.op == "call" and node.attr[0] in _WITH_EPILOGUES for node in nodes):
        _replace(program, nodes)
        nodes = live_nodes(program)
    uses = _uses(program, nodes)
    for name, node in program.stores.items():
        program.origin = node.origin
        program.stores[name] = _added_product(program, node, uses) or node
    program.origin = ""
    current().rewrite(program)


def _uses(program: Program, nodes: Sequence[Node]) -> Counter[int]:
    """By how many nodes, fetches and stores each node is read, by id."""
    uses = Counter(arg.id for node in nodes for arg in node.args)
    uses.update(node.id for node in (*program.fetches, *program.stores.values(), *program.effects))
    return uses


# -- added products ----------------------------------------------------------------------------------------------------


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
    return added_product(program, base, product, alpha)


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
    return node.op == "call" and node.attr[0] in _PRODUCTS and len(node.shape) == 2 and not _has_epilogue(node)


def _has_epilogue(call: Node) -> bool:
    return bool(params_of(call).get("bias") or params_of(call).get("relu"))


# -- epilogues ---------------------------------------------------------------------------------------------------------


def _replace(program: Program, nodes: Sequence[Node]) -> None:
    """Makes calls with epilogues of calls and what follows them, and all that depends on these anew."""
    uses = _uses(program, nodes)
    products = Counter(node.args[1].id for node in nodes if node.op == "call" and node.attr[0] == "matmul")
    new: dict[Node, Node] = {}
    for node in nodes:
        args = [new.get(arg, arg) for arg in node.args]
        program.origin = node.origin
        made = _with_epilogue(program, node, args, uses)
        if made is None and node.op == "call":
            made = with_shared_panels(program, node, args, products)
        if made is None and any(arg in new for arg in node.args):
            made = program.with_args(node, args)
        if made is not None:
            new[node] = made
    program.origin = ""
    program.fetches = [new.get(node, node) for node in program.fetches]
    program.effects = [new.get(node, node) for node in program.effects]
    program.stores = {name: new.get(node, node) for name, node in program.stores.items()}


def _with_epilogue(program: Program, node: Node, args: Sequence[Node], uses: Counter[int]) -> Node | None:
    """The call that computes `node`, the sum of a call and a bias or the maximum of a call and 0; None for others."""
    if node.op != "map" or node.attr not in ("add", "maximum"):
        return None
    for i, call in enumerate(args):
        if not _can_have_epilogue(call) or call.shape != node.shape or uses[node.args[i].id] > 1:
            continue
        other, params = args[1 - i], params_of(call)
        program.origin = call.origin
        if node.attr == "maximum" and program.scalar_value(other) == 0:
            return program.call(call.attr[0], call.args, call.shape, call.dtype, **{**params, "relu": True})
        if node.attr == "add" and not params.get("bias") and other.shape[-1:] == (other.size,) == call.shape[-1:]:
            bias = _padded(program, other, _columns(call))
            return program.call(call.attr[0], [*call.args, bias], call.shape, call.dtype, **{**params, "bias": True})
    return None


def _can_have_epilogue(node: Node) -> bool:
    if node.op != "call" or node.attr[0] not in _WITH_EPILOGUES:
        return False
    able = node.attr[0] != "library_product" or params_of(node).get("epilogues")
    return bool(able) and not params_of(node).get("relu")


def _columns(call: Node) -> int:
    """How many values of a bias the call reads: those of whole panels."""
    if call.attr[0] == "matmul":
        return padded_columns(call)
    if call.attr[0] == "library_product":
        return call.shape[-1]
    return max(filter.shape[0] * filter.shape[-1] for filter in call.args[1:])


def _padded(program: Program, bias: Node, size: int) -> Node:
    """A bias as a vector of `size`, with zeros at the end."""
    vector = program.reshape(bias, (bias.size,))
    if bias.size == size:
        return vector
    return program.call("pad", [vector], (size,), bias.dtype, before=(0,))
