"""Reductions over axes: sum, mean, prod, max, min, all, any; argmax and argmin."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.constant_value import constant_value
from flowc.framework.convert import constant, convert_to_tensor
from flowc.framework.dtypes import BOOL, INDEX, NUMERIC, ORDERED, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.shape_rules import UNKNOWN, FailsWhenRun, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.ops.array_ops import cast, expand_dims, rank, reshape, shape_of, size

__all__ = [
    "argmax",
    "argmin",
    "reduce_all",
    "reduce_any",
    "reduce_max",
    "reduce_mean",
    "reduce_min",
    "reduce_prod",
    "reduce_sum",
]


def _reduce(op_type: str, x: Any, axes: Any, keep_dims: bool, name: str | None) -> Tensor:
    x = convert_to_tensor(x, name="input_tensor")
    if axes is None:
        ndims = x.get_shape().ndims
        axes = apply("Range", [0, rank(x), 1]) if ndims is None else np.arange(ndims, dtype=np.int32)
    return apply(op_type, [x, axes], {"keep_dims": bool(keep_dims)}, name)


# -- sum and mean ------------------------------------------------------------------------------------------------------

define(
    "Sum",
    shape=shape_rules.reduction,
    allowed=(NUMERIC, INDEX),
    inputs="input reduction_indices",
    attrs={"keep_dims": False},
)


def reduce_sum(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """The sum of the elements over the axes `reduction_indices`: an int or a list, by default all of them.

    The reduced dimensions are dropped, or stay as 1 with `keep_dims`. The sum of no elements is 0.
    """
    return _reduce("Sum", input_tensor, reduction_indices, keep_dims, name)


@gradient("Sum")
def _sum_grad(op: Any, grad: Any) -> Any:
    return _spread(op, grad), None


define(
    "Mean",
    shape=shape_rules.reduction,
    allowed=(NUMERIC, INDEX),
    inputs="input reduction_indices",
    attrs={"keep_dims": False},
)


def reduce_mean(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """The mean of the elements over the axes `reduction_indices`, as `reduce_sum` takes them.

    Of ints it is truncated towards zero.
    """
    return _reduce("Mean", input_tensor, reduction_indices, keep_dims, name)


@gradient("Mean")
def _mean_grad(op: Any, grad: Any) -> Any:
    return _spread(op, grad / _reduced_count(op, grad.dtype)), None


def _reduced_count(op: Any, dtype: Any) -> Any:
    """How many elements each element of a reduction's output stands for."""
    x, y = op.inputs[0], op.outputs[0]
    before, after = x.get_shape().num_elements(), y.get_shape().num_elements()
    if before is not None and after is not None:
        return constant(max(before // max(after, 1), 1), dtype)
    return cast(apply("Div", [size(x), apply("Maximum", [size(y), 1])]), dtype)


# -- what the gradients share ------------------------------------------------------------------------------------------


def _keep_reduced_dims(op: Any, reduced: Any) -> Any:
    """`reduced`, of the shape of a reduction's output, with the dimensions that were dropped put in again as 1."""
    if op.get_attr("keep_dims"):
        return reduced
    x, axes = op.inputs
    ndims, known_axes = x.get_shape().ndims, constant_value(axes)
    if ndims is None or known_axes is None:
        return reshape(reduced, _kept_shape(x, axes))
    numbers = shape_rules.axes_of(known_axes, ndims)
    sizes = shape_rules.known(x.get_shape())
    if sizes is not None:
        return reshape(reduced, [1 if i in numbers else d for i, d in enumerate(sizes)])
    for axis in sorted(numbers):
        reduced = expand_dims(reduced, axis)
    return reduced


def _kept_shape(x: Any, axes: Any) -> Any:
    """The shape of `x` with 1 in place of the sizes at `axes`; nothing about either is known yet."""
    sizes, count = shape_of(x), rank(x)
    numbers = (cast(reshape(axes, [-1]), int32) + count) % count
    distances = apply("Abs", [apply("Range", [0, count, 1]) - expand_dims(numbers, 1)])
    stays = apply("Minimum", [reduce_min(distances, 0), 1])  # 0 at the axes, else 1
    return 1 + (sizes - 1) * stays


def _spread(op: Any, reduced: Any) -> Any:
    """`reduced`, of the shape of a reduction's output, repeated to the shape of its input."""
    return apply("BroadcastTo", [_keep_reduced_dims(op, reduced), shape_of(op.inputs[0])])


# -- max and min -------------------------------------------------------------------------------------------------------

define(
    "Max",
    shape=shape_rules.reduction,
    allowed=(ORDERED, INDEX),
    inputs="input reduction_indices",
    attrs={"keep_dims": False},
)


def reduce_max(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """The greatest element over the axes `reduction_indices`, as `reduce_sum` takes them; NaN if one is NaN."""
    return _reduce("Max", input_tensor, reduction_indices, keep_dims, name)


define(
    "Min",
    shape=shape_rules.reduction,
    allowed=(ORDERED, INDEX),
    inputs="input reduction_indices",
    attrs={"keep_dims": False},
)


def reduce_min(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """The least element over the axes `reduction_indices`, as `reduce_sum` takes them; NaN if one is NaN."""
    return _reduce("Min", input_tensor, reduction_indices, keep_dims, name)


@gradient("Max", "Min")
def _extreme_grad(op: Any, grad: Any) -> Any:
    """The gradient goes to the elements that are the extreme one, in equal parts where several are."""
    x, axes = op.inputs
    hits = cast(apply("Equal", [x, _keep_reduced_dims(op, op.outputs[0])]), grad.dtype)
    share = _keep_reduced_dims(op, grad) / reduce_sum(hits, axes, keep_dims=True)
    return hits * share, None


# -- product -----------------------------------------------------------------------------------------------------------

define(
    "Prod",
    shape=shape_rules.reduction,
    allowed=(NUMERIC, INDEX),
    inputs="input reduction_indices",
    attrs={"keep_dims": False},
)


def reduce_prod(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """The product of the elements over the axes `reduction_indices`, as `reduce_sum` takes them; 1 of no elements."""
    return _reduce("Prod", input_tensor, reduction_indices, keep_dims, name)


@gradient("Prod")
def _prod_grad(op: Any, grad: Any) -> Any:
    """Each element's factor is the product of all others, which `product / element` is but where an element is 0.

    With one zero, it is the product of the others at that zero and 0 elsewhere; with more, 0 everywhere.
    """
    x, axes = op.inputs
    zero, one = constant(0, x.dtype.base_dtype), constant(1, x.dtype.base_dtype)
    is_zero = apply("Equal", [x, zero])
    others = apply("Select", [is_zero, apply("BroadcastTo", [one, shape_of(x)]), x])
    zeros = reduce_sum(cast(is_zero, x.dtype), axes, keep_dims=True)
    without = reduce_prod(others, axes, keep_dims=True)
    keeps = cast(apply("Equal", [zeros - cast(is_zero, x.dtype), zero]), x.dtype)
    factor = keeps * without / others
    return _keep_reduced_dims(op, grad) * conjugate(factor), None


def conjugate(x: Any) -> Any:
    """The complex conjugate of a complex tensor; a real one itself."""
    return apply("Conj", [x]) if x.dtype.is_complex else x


# -- logic -------------------------------------------------------------------------------------------------------------

define(
    "All",
    shape=shape_rules.reduction,
    allowed=(BOOL, INDEX),
    inputs="input reduction_indices",
    type_attrs="- -",
    attrs={"keep_dims": False},
)


def reduce_all(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """Whether all elements over the axes `reduction_indices` are True; True of no elements."""
    return _reduce("All", input_tensor, reduction_indices, keep_dims, name)


define(
    "Any",
    shape=shape_rules.reduction,
    allowed=(BOOL, INDEX),
    inputs="input reduction_indices",
    type_attrs="- -",
    attrs={"keep_dims": False},
)


def reduce_any(
    input_tensor: Any, reduction_indices: Any = None, keep_dims: bool = False, name: str | None = None
) -> Tensor:
    """Whether any element over the axes `reduction_indices` is True; False of no elements."""
    return _reduce("Any", input_tensor, reduction_indices, keep_dims, name)


not_differentiable("All", "Any")

# -- where the extremes are --------------------------------------------------------------------------------------------


def _one_axis_dropped(ctx: ShapeContext) -> Shapes:
    sizes = ctx.shapes[0].tuple
    ctx.shapes[1].assert_has_rank(0)
    if sizes is None:
        return (UNKNOWN,)
    dimension = ctx.value(1)
    if not sizes:
        raise FailsWhenRun(f"Expected dimension in the range [0, 0), but got {0 if dimension is None else dimension}")
    if dimension is None:
        return (unknown_shape(len(sizes) - 1),)
    axis = shape_rules.axis_of(int(dimension), len(sizes), "dimension")
    if sizes[axis] == 0:
        raise FailsWhenRun(f"Reduction axis {axis} is empty in shape {ctx.shapes[0]}")
    return (TensorShape(sizes[:axis] + sizes[axis + 1 :]),)


define("ArgMax", shape=_one_axis_dropped, allowed=(ORDERED, INDEX), result=int64, inputs="input dimension")


def argmax(input: Any, dimension: Any, name: str | None = None) -> Tensor:
    """The index of the greatest element along `dimension`, the first of equal ones: int64, without that dimension."""
    return apply("ArgMax", [input, dimension], name=name)


define("ArgMin", shape=_one_axis_dropped, allowed=(ORDERED, INDEX), result=int64, inputs="input dimension")


def argmin(input: Any, dimension: Any, name: str | None = None) -> Tensor:
    """The index of the least element along `dimension`, the first of equal ones: int64, without that dimension."""
    return apply("ArgMin", [input, dimension], name=name)


not_differentiable("ArgMax", "ArgMin")
