"""Products of matrices. Transposes are views, which BLAS reads as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

from flowc.codegen.backend import current
from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.matmul import matrix_layout
from flowc.codegen.kernels.matvec import is_matrix_by_vector
from flowc.codegen.kernels.products import copied_shape, has_few_rows, panels_shape
from flowc.codegen.lower.common import full, refuse_strings, stored
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.codegen.templates import params_of
from flowc.framework.dtypes import float16, float32

LEAST_PRODUCTS: Final = 1 << 19  # multiplications for which copies of the factors pay
LEAST_ROWS: Final = 8
LEAST_COLUMNS: Final = 32
LEAST_RESULTS: Final = 3200
SHARED: Final = 3  # products of few rows by one matrix, for which it pays to copy it once
LIBRARY_PRODUCTS: Final = ("gemm", "library_product")  # calls that read their factors as they are
_COPIES: Final = ("matmul_left", "matmul_right")
_VECTOR: Final = "one factor is a vector"


@lowering("MatMul", "SparseMatMul")
def matmul(p: Program, op: LoweredOp, a: Node, b: Node) -> Node:
    if op.attrs.get("transpose_a"):
        a = p.transpose(a, (1, 0))
    if op.attrs.get("transpose_b"):
        b = p.transpose(b, (1, 0))
    return product(p, a, b)


@lowering("BatchMatMul")
def batch_matmul(p: Program, op: LoweredOp, x: Node, y: Node) -> Node:
    """The products of stacks of matrices; `adj_x`, `adj_y`: of their conjugate transposes."""
    left, right = _stack(p, x, bool(op.attrs.get("adj_x"))), _stack(p, y, bool(op.attrs.get("adj_y")))
    return p.reshape(product(p, left, right), op.shapes[0])


def _stack(p: Program, x: Node, adjoint: bool) -> Node:
    """`x` as [batch, rows, columns]."""
    batch = prod(x.shape[:-2])
    x = p.reshape(x, (batch, *x.shape[-2:]))
    if not adjoint:
        return x
    return p.transpose(p.map("conj", x) if x.dtype.is_complex else x, (0, 2, 1))


def product(p: Program, a: Node, b: Node, why: str = "") -> Node:
    """a [m, k] times b [k, n], or stacks of them. `why`: why it is a product, for `explain`."""
    shape = (*a.shape[:-1], b.shape[-1])
    if a.shape[-1] == 0 or 0 in shape:
        return full(p, shape, 0, a.dtype)
    chosen = None if a.dtype.is_integer else current().chosen_product(a, b)
    if a.dtype is float16 and chosen is None:
        return p.cast(product(p, p.cast(a, float32), p.cast(b, float32), why), float16)
    if a.dtype.is_integer:
        row_major_b = stored(p, b) if access(b)[2][-1] == 1 or b.shape[-1] == 1 else p.map("copy", b)
        return p.call("matmul_integer", [stored(p, a), row_major_b], shape, a.dtype)
    refuse_strings(a.dtype, "MatMul")
    a, b = _readable(p, a), _readable(p, b)
    if chosen is not None:
        call = "library_product" if chosen.by_library else "gemm"
        epilogues = {"epilogues": True} if chosen.epilogues else {}
        return p.call(call, [a, b], shape, a.dtype, why="; ".join(filter(None, (why, chosen.why))), **epilogues)
    by_blas = _why_blas(a, b)
    if by_blas:
        routine = "gemv" if by_blas == _VECTOR else "gemm"
        return p.call(routine, [a, b], shape, a.dtype, why="; ".join(filter(None, (why, f"BLAS: {by_blas}"))))
    if has_few_rows(a.shape[-2], b.shape[-1]):
        a = p.call("matmul_left", [a], copied_shape(a, b), a.dtype, columns=b.shape[-1])
    else:
        b = p.call("matmul_right", [b], copied_shape(a, b), b.dtype, rows=a.shape[-2])
    return p.call("matmul", [a, b], shape, a.dtype, **({"why": why} if why else {}))


def _why_blas(a: Node, b: Node) -> str:
    """Why a product is left to the BLAS; empty where kernels of flowc's own are faster. By what was measured."""
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    if a.dtype.is_complex:
        return "complex numbers"
    if is_matrix_by_vector(a, b):
        return _VECTOR
    if m * n * k < LEAST_PRODUCTS:
        return f"fewer than {LEAST_PRODUCTS:,} products"
    if m < LEAST_ROWS or n < LEAST_COLUMNS or m * n < LEAST_RESULTS:
        return "a result of few rows or columns"
    return ""


def with_shared_panels(p: Program, call: Node, args: Sequence[Node], products: Mapping[int, int]) -> Node | None:
    """A product of few rows, of `args` now, by a copy of its second factor, where others use that copy, too; or None.

    `products`: of how many products each node is the second factor, by id.
    """
    if call.attr[0] != "matmul" or len(call.shape) != 2 or not has_few_rows(*call.shape):
        return None
    if products[call.args[1].id] < SHARED or params_of(call).get("panels"):
        return None
    a, b, *rest = args
    panels = p.call("matmul_right", [b], panels_shape(call.shape[0], b), b.dtype, rows=call.shape[0])
    return p.call("matmul", [a, panels, *rest], call.shape, call.dtype, **params_of(call), panels=True)


def added_product(p: Program, base: Node, product: Node, alpha: float) -> Node:
    """`base` + alpha · `product`, a product of matrices, in the memory of `base`."""
    a, b = product.args
    if product.attr[0] in LIBRARY_PRODUCTS:
        why = params_of(product)["why"]
        return p.call(f"{product.attr[0]}_add", [base, a, b], product.shape, product.dtype, alpha=alpha, why=why)
    if has_few_rows(*product.shape):
        a = p.call(a.attr[0], a.args, a.shape, a.dtype, **params_of(a), alpha=alpha)
        panels = {"panels": True} if params_of(product).get("panels") else {}
        return p.call("matmul_add", [base, a, b], product.shape, product.dtype, **panels)
    return p.call("matmul_add", [base, a, b], product.shape, product.dtype, alpha=alpha)


def factors_of(node: Node) -> tuple[Node, Node] | None:
    """The matrices [m, k] and [k, n] of which `node` is the product; None for other nodes."""
    if node.op != "call" or node.attr[0] not in ("matmul", *LIBRARY_PRODUCTS) or len(node.shape) != 2:
        return None
    a, b = (x.args[0] if x.op == "call" and x.attr[0] in _COPIES else x for x in node.args[:2])
    return a, b


def _readable(p: Program, x: Node) -> Node:
    """`x`, or a copy of it if BLAS cannot read its strides."""
    return stored(p, x) if matrix_layout(x) is not None else p.map("copy", x)
