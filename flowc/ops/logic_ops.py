"""Comparisons, logic, the choice between two tensors, and one-hot vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, BOOL, ORDERED, as_dtype, bool_, float32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes, axis_of
from flowc.framework.shapes import TensorShape
from flowc.ops.array_ops import expand_dims, reshape, shape_of, zeros_like
from flowc.ops.broadcasting_ops import broadcast_to

__all__ = [
    "equal",
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "not_equal",
    "one_hot",
    "select",
]

# -- comparisons -------------------------------------------------------------------------------------------------------

define("Equal", shape=shape_rules.broadcast, allowed=ANY, result=bool_)


def equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x == y, element by element: bool. NaN equals nothing."""
    return apply("Equal", [x, y], name=name)


define("NotEqual", shape=shape_rules.broadcast, allowed=ANY, result=bool_)


def not_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x != y, element by element: bool."""
    return apply("NotEqual", [x, y], name=name)


define("Less", shape=shape_rules.broadcast, allowed=ORDERED, result=bool_)


def less(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x < y, element by element: bool."""
    return apply("Less", [x, y], name=name)


define("LessEqual", shape=shape_rules.broadcast, allowed=ORDERED, result=bool_)


def less_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x <= y, element by element: bool."""
    return apply("LessEqual", [x, y], name=name)


define("Greater", shape=shape_rules.broadcast, allowed=ORDERED, result=bool_)


def greater(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x > y, element by element: bool."""
    return apply("Greater", [x, y], name=name)


define("GreaterEqual", shape=shape_rules.broadcast, allowed=ORDERED, result=bool_)


def greater_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x >= y, element by element: bool."""
    return apply("GreaterEqual", [x, y], name=name)


not_differentiable("Equal", "NotEqual", "Less", "LessEqual", "Greater", "GreaterEqual")

# -- logic -------------------------------------------------------------------------------------------------------------

define("LogicalAnd", shape=shape_rules.broadcast, allowed=BOOL, result=bool_, type_attrs="- -")


def logical_and(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether both x and y are True, element by element."""
    return apply("LogicalAnd", [x, y], name=name)


define("LogicalOr", shape=shape_rules.broadcast, allowed=BOOL, result=bool_, type_attrs="- -")


def logical_or(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x or y or both are True, element by element."""
    return apply("LogicalOr", [x, y], name=name)


define("LogicalNot", shape=shape_rules.unchanged, allowed=BOOL, inputs="x", type_attrs="-")


def logical_not(x: Any, name: str | None = None) -> Tensor:
    """Whether x is False, element by element."""
    return apply("LogicalNot", [x], name=name)


not_differentiable("LogicalAnd", "LogicalOr", "LogicalNot")


def logical_xor(x: Any, y: Any, name: str = "LogicalXor") -> Tensor:
    """Whether just one of x and y is True, element by element."""
    with op_scope([x, y], name, "LogicalXor") as scope:
        return logical_and(logical_or(x, y), logical_not(logical_and(x, y)), scope)


# -- choice ------------------------------------------------------------------------------------------------------------


def _selected(ctx: ShapeContext) -> Shapes:
    condition, t, e = ctx.shapes
    result = t.merge_with(e)
    if condition.ndims in (None, 0):
        return (result,)
    if condition.ndims == 1 and result.ndims is None:
        return (result,)
    if condition.ndims == 1 and result.ndims != 1:
        result.with_rank_at_least(1)
        rows = TensorShape(result[:1])
        return (rows.merge_with(condition).concatenate(result[1:]),)
    return (result.merge_with(condition),)


define(
    "Select",
    shape=_selected,
    allowed=(BOOL, ANY),
    same_from=1,
    result=lambda types, attrs: types[1:2],
    inputs="condition t e",
    type_attrs="- T T",
)


def select(condition: Any, t: Any, e: Any, name: str | None = None) -> Tensor:
    """`t` where `condition` is True and `e` where it is False.

    All three have one shape; or `condition` is a vector and chooses rows of `t` and `e`, or it is a scalar.
    """
    return apply("Select", [condition, t, e], name=name)


@gradient("Select")
def _select_grad(op: Any, grad: Any) -> Any:
    condition, zero = op.inputs[0], zeros_like(grad)
    return None, select(condition, grad, zero), select(condition, zero, grad)


def one_hot(
    indices: Any,
    depth: int,
    on_value: Any = 1,
    off_value: Any = 0,
    axis: int = -1,
    dtype: Any = None,
    name: str | None = None,
) -> Tensor:
    """`on_value` at each index along a new dimension `axis` of size `depth`, `off_value` elsewhere.

    indices: ints of any shape; one outside [0, depth) gives a row of `off_value`. dtype: float32 by default, or the
    type of the values where they are tensors or arrays.
    """
    with op_scope([indices, on_value, off_value], name, "one_hot") as scope:
        indices = convert_to_tensor(indices, name="indices")
        own = next((value.dtype for value in (on_value, off_value) if hasattr(value, "dtype")), float32)
        kind = as_dtype(own if dtype is None else dtype)
        classes = convert_to_tensor(np.arange(depth), indices.dtype, "classes")
        ndims = indices.get_shape().ndims
        if ndims is not None and axis_of(axis, ndims + 1) != ndims:
            classes = reshape(classes, [-1, *[1] * (ndims - axis_of(axis, ndims + 1))])
        elif ndims is None and axis != -1:
            raise ValueError("one_hot along another axis than the last needs indices of known rank")
        hits = equal(expand_dims(indices, axis), classes)
        on, off = convert_to_tensor(on_value, kind), convert_to_tensor(off_value, kind)
        return select(hits, broadcast_to(on, shape_of(hits)), broadcast_to(off, shape_of(hits)), scope)
