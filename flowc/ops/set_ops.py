"""Which elements there are, and where: where, unique, listdiff. The sizes of their outputs are known when run."""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply, apply_list
from flowc.framework.dtypes import BOOL, ORDERED, STRING, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape

__all__ = ["listdiff", "unique", "where"]

_COMPARED = ORDERED | BOOL | STRING


def _coordinates(ctx: ShapeContext) -> Shapes:
    return (TensorShape((None, ctx.shapes[0].ndims)),)


define("Where", shape=_coordinates, allowed=BOOL, result=int64, inputs="input", type_attrs="-")


def where(input: Any, name: str | None = None) -> Tensor:
    """The coordinates of the true elements of a bool tensor, in row-major order: int64, shape [how many, rank]."""
    return apply("Where", [input], name=name)


def _unique_shape(ctx: ShapeContext) -> Shapes:
    return TensorShape((None,)), ctx.shapes[0].with_rank(1)


define(
    "Unique",
    shape=_unique_shape,
    allowed=_COMPARED,
    result=lambda types, attrs: [types[0], int32],
    inputs="x",
)


def unique(x: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """The distinct elements of a vector, and where each of its elements is among them.

    Returns:
        y: the elements in the order in which they first occur. NaN differs from everything, from NaN too.
        idx: int32, of the shape of x: `x[i] == y[idx[i]]`.
    """
    y, idx = apply_list("Unique", [x], name=name)
    return y, idx


def _difference_shape(ctx: ShapeContext) -> Shapes:
    for given in ctx.shapes:
        given.assert_has_rank(1)
    return TensorShape((None,)), TensorShape((None,))


define(
    "ListDiff",
    shape=_difference_shape,
    allowed=_COMPARED,
    result=lambda types, attrs: [types[0], int32],
)


def listdiff(x: Any, y: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """The elements of the vector x that are not in the vector y, in their order, duplicates included.

    Returns:
        out: the elements.
        idx: int32, their places: `out[i] == x[idx[i]]`.
    """
    out, idx = apply_list("ListDiff", [x, y], name=name)
    return out, idx


not_differentiable("Where", "Unique", "ListDiff")
