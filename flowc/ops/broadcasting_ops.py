"""Broadcasting as in NumPy: `broadcast_to`, and the sums that gradients of broadcast tensors are."""

from __future__ import annotations

from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list
from flowc.framework.constant_value import constant_value, values_from_shapes
from flowc.framework.dtypes import ANY, INDEX, int32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape, broadcast_shapes
from flowc.ops.array_ops import reshape, shape_of
from flowc.ops.reduction_ops import reduce_sum

__all__ = ["broadcast_to"]

# -- broadcast_to ------------------------------------------------------------------------------------------------------


def _broadcast_to(ctx: ShapeContext) -> Shapes:
    target = shape_rules.shape_from_value(ctx, 1)
    if broadcast_shapes(ctx.shapes[0], target).ndims not in (None, target.ndims):
        raise ValueError(f"Shape {ctx.shapes[0]} does not broadcast to {target}")
    for own, wanted in zip(reversed(ctx.shapes[0].tuple or ()), reversed(target.tuple or ()), strict=False):
        if wanted == 1 and own not in (1, None):
            raise ValueError(f"Shape {ctx.shapes[0]} does not broadcast to {target}")
    return (target,)


define("BroadcastTo", shape=_broadcast_to, allowed=(ANY, INDEX), inputs="input shape")


def broadcast_to(input: Any, shape: Any, name: str | None = None) -> Tensor:
    """`input` repeated along its dimensions of size 1, and along new ones in front, to the given shape."""
    return apply("BroadcastTo", [input, shape], name=name)


@gradient("BroadcastTo")
def _broadcast_to_grad(op: Any, grad: Any) -> Any:
    x = op.inputs[0]
    axes, _ = apply_list("BroadcastGradientAxes", [x, op.outputs[0]])
    return sum_to_shape_of(x, grad, axes), None


# -- what was repeated -------------------------------------------------------------------------------------------------


def _axes_vectors(ctx: ShapeContext) -> Shapes:
    if not all(s.is_fully_defined() for s in ctx.shapes):  # whether an axis of 1 was repeated is not known yet
        return [TensorShape((None,)), TensorShape((None,))]
    known = values_from_shapes("BroadcastGradientAxes", ctx.attrs, [s.tuple for s in ctx.shapes]) or ()
    return [TensorShape((None if axes is None else len(axes),)) for axes in known]


# For each of two tensors, the axes along which a binary op repeats it: those to sum its gradient over. The values
# depend on the shapes only (`flowc.framework.constant_value`), so the op is never run.
define(
    "BroadcastGradientAxes",
    shape=_axes_vectors,
    allowed=(ANY,),
    result=lambda types, attrs: [int32, int32],
    type_attrs="Tx Ty",
)
not_differentiable("BroadcastGradientAxes")


# -- what gradients share ----------------------------------------------------------------------------------------------


def unbroadcast(op: Any, grad_x: Any, grad_y: Any) -> tuple[Any, Any]:
    """Gradients that have the shape of a binary op's output, summed to those of its two inputs. None stays None."""
    x, y = op.inputs
    if x.get_shape() == y.get_shape() and x.get_shape().is_fully_defined():
        return grad_x, grad_y
    axes_x, axes_y = apply_list("BroadcastGradientAxes", [x, y])
    sum_x = None if grad_x is None else sum_to_shape_of(x, grad_x, axes_x)
    return sum_x, None if grad_y is None else sum_to_shape_of(y, grad_y, axes_y)


def sum_to_shape_of(target: Any, x: Any, axes: Any) -> Any:
    """`x`, of a shape that `target` broadcasts to along `axes`, summed over these to the shape of `target`."""
    known_axes = constant_value(axes)
    ndims, target_ndims = x.get_shape().ndims, target.get_shape().ndims
    if known_axes is None or ndims is None or target_ndims is None:
        return reshape(reduce_sum(x, axes), shape_of(target))
    if known_axes.size == 0:
        return x if ndims == target_ndims else reshape(x, shape_of(target))
    if known_axes.tolist() == list(range(ndims - target_ndims)):
        return reduce_sum(x, known_axes)
    if ndims == target_ndims:
        return reduce_sum(x, known_axes, keep_dims=True)
    return reshape(reduce_sum(x, known_axes), shape_of(target))
