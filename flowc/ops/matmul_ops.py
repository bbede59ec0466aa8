"""Products of matrices."""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import FLOATING, INDEX, float32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.ops.reduction_ops import conjugate

__all__ = ["batch_matmul", "matmul", "sparse_matmul"]


def _product(a: TensorShape, b: TensorShape, turn_a: bool, turn_b: bool) -> TensorShape:
    """The shape of the product of two matrices, either of which may be turned first."""
    a, b = a.with_rank(2), b.with_rank(2)
    rows, inner = a.as_list()[::-1] if turn_a else a.as_list()
    other, columns = b.as_list()[::-1] if turn_b else b.as_list()
    if inner is not None and other is not None and inner != other:
        raise ValueError(
            f"Dimensions {inner} and {other} are not compatible: the inner ones of {a}{' transposed' * turn_a} and "
            f"{b}{' transposed' * turn_b}"
        )
    return TensorShape((rows, columns))


# -- two matrices ------------------------------------------------------------------------------------------------------


def _matmul_shape(ctx: ShapeContext) -> Shapes:
    a, b = ctx.shapes
    return (_product(a, b, ctx.attrs["transpose_a"], ctx.attrs["transpose_b"]),)


define(
    "MatMul",
    shape=_matmul_shape,
    allowed=FLOATING | INDEX,
    inputs="a b",
    attrs={"transpose_a": False, "transpose_b": False},
)
define(
    "SparseMatMul",
    shape=_matmul_shape,
    allowed=frozenset((float32,)),
    inputs="a b",
    type_attrs="- -",
    attrs={"transpose_a": False, "transpose_b": False, "a_is_sparse": False, "b_is_sparse": False},
)


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The product of two matrices [m, k] and [k, n], each transposed first if so asked: [m, n].

    Of tensors of a higher rank, the products of their inner matrices, as `batch_matmul`. `a_is_sparse` and
    `b_is_sparse`, hints that many elements are 0, make an op of type SparseMatMul of float32 matrices, which computes
    the same.
    """
    a = convert_to_tensor(a, name="a")
    if (a.get_shape().ndims or 2) > 2:
        turned = {"adj_x": bool(transpose_a), "adj_y": bool(transpose_b)}
        if a.dtype.is_complex and (transpose_a or transpose_b):
            raise ValueError(
                "matmul transposes complex matrices, not batches of them: use batch_matmul, which conjugates"
            )
        return apply("BatchMatMul", [a, b], turned, name or "MatMul")
    attrs = {"transpose_a": bool(transpose_a), "transpose_b": bool(transpose_b)}
    if (a_is_sparse or b_is_sparse) and a.dtype.base_dtype is float32:
        hints = {"a_is_sparse": bool(a_is_sparse), "b_is_sparse": bool(b_is_sparse)}
        return apply("SparseMatMul", [a, b], attrs | hints, name or "MatMul")
    return apply("MatMul", [a, b], attrs, name)


def sparse_matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """`matmul` of float32 matrices as an op of type SparseMatMul, with hints that many elements of a or b are 0."""
    attrs = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    hints = {"a_is_sparse": a_is_sparse, "b_is_sparse": b_is_sparse}
    return apply("SparseMatMul", [a, b], {key: bool(value) for key, value in (attrs | hints).items()}, name)


@gradient("MatMul", "SparseMatMul")
def _matmul_grad(op: Any, grad: Any) -> Any:
    a, b = (conjugate(t) for t in op.inputs)
    turn_a, turn_b = op.get_attr("transpose_a"), op.get_attr("transpose_b")
    grad_a = matmul(b, grad, turn_b, True) if turn_a else matmul(grad, b, False, not turn_b)
    grad_b = matmul(grad, a, True, turn_a) if turn_b else matmul(a, grad, not turn_a, False)
    return grad_a, grad_b


# -- many pairs of matrices --------------------------------------------------------------------------------------------


def _batch_shape(ctx: ShapeContext) -> Shapes:
    x, y = (s.with_rank_at_least(2) for s in ctx.shapes)
    if x.tuple is None or y.tuple is None:
        ranks = {s.ndims for s in (x, y)} - {None}
        return (unknown_shape(ranks.pop()) if ranks else UNKNOWN,)
    batch = TensorShape(x.tuple[:-2]).merge_with(TensorShape(y.tuple[:-2]))
    inner = _product(TensorShape(x.tuple[-2:]), TensorShape(y.tuple[-2:]), ctx.attrs["adj_x"], ctx.attrs["adj_y"])
    return (batch.concatenate(inner),)


define("BatchMatMul", shape=_batch_shape, allowed=FLOATING | INDEX, attrs={"adj_x": False, "adj_y": False})


def batch_matmul(
    x: Any, y: Any, adj_x: bool | None = None, adj_y: bool | None = None, name: str | None = None
) -> Tensor:
    """The products of pairs of matrices: […, m, k] and […, k, n], of equal leading dimensions, give […, m, n].

    adj_x, adj_y: whether the matrices of x, of y are transposed (and conjugated, if complex) first.
    """
    return apply("BatchMatMul", [x, y], {"adj_x": bool(adj_x), "adj_y": bool(adj_y)}, name)


@gradient("BatchMatMul")
def _batch_matmul_grad(op: Any, grad: Any) -> Any:
    x, y = op.inputs
    adj_x, adj_y = op.get_attr("adj_x"), op.get_attr("adj_y")
    grad_x = batch_matmul(y, grad, adj_y, True) if adj_x else batch_matmul(grad, y, False, not adj_y)
    grad_y = batch_matmul(grad, x, True, adj_x) if adj_y else batch_matmul(x, grad, not adj_x, False)
    return grad_x, grad_y
