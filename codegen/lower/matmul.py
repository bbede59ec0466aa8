"""Products of matrices. Transposes are views, which BLAS reads as they are."""

from __future__ import annotations

from math import prod

from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.matmul import matrix_layout
from flowc.codegen.lower.common import full, refuse_strings, stored
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.framework.dtypes import float16, float32


@lowering("MatMul")
def matmul(p: Program, op: LoweredOp, a: Node, b: Node) -> Node:
    if op.attrs.get("transpose_a"):
        a = p.transpose(a, (1, 0))
    if op.attrs.get("transpose_b"):
        b = p.transpose(b, (1, 0))
    return product(p, a, b)


@lowering("BatchMatMul")
def batch_matmul(p: Program, op: LoweredOp, x: Node, y: Node) -> Node:
    """The products of stacks of matrices; `adj_x`, `adj_y`: of their conjugate transposes."""
    stacks = [_stack(p, x, bool(op.attrs.get("adj_x"))), _stack(p, y, bool(op.attrs.get("adj_y")))]
    return p.reshape(product(p, *stacks), op.shapes[0])


def _stack(p: Program, x: Node, adjoint: bool) -> Node:
    """`x` as [batch, rows, columns]."""
    batch = prod(x.shape[:-2])
    x = p.reshape(x, (batch, *x.shape[-2:]))
    if not adjoint:
        return x
    return p.transpose(p.map("conj", x) if x.dtype.is_complex else x, (0, 2, 1))


def product(p: Program, a: Node, b: Node) -> Node:
    """a [m, k] times b [k, n], or stacks of them."""
    shape = (*a.shape[:-1], b.shape[-1])
    if a.shape[-1] == 0 or 0 in shape:
        return full(p, shape, 0, a.dtype)
    if a.dtype is float16:
        return p.cast(product(p, p.cast(a, float32), p.cast(b, float32)), float16)
    if a.dtype.is_integer:
        row_major_b = stored(p, b) if access(b)[2][-1] == 1 or b.shape[-1] == 1 else p.map("copy", b)
        return p.call("matmul_integer", [stored(p, a), row_major_b], shape, a.dtype)
    refuse_strings(a.dtype, "MatMul")
    return p.call("gemm", [_readable(p, a), _readable(p, b)], shape, a.dtype)


def _readable(p: Program, x: Node) -> Node:
    """`x`, or a copy of it if BLAS cannot read its strides."""
    return stored(p, x) if matrix_layout(x) is not None else p.map("copy", x)
