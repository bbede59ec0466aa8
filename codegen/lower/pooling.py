"""Pooling and its gradients. Float16 is computed in float32.

A gradient of a maximum goes to one element of each window, and the others get 0. So what zeroes a gradient where
relu's output is 0 may as well do so before it is spread, on an array a window's size smaller (`spread_later`), and the
sum over all of an image's elements is that over its windows (`sum_before_spread`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import in_float32
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.codegen.templates import params_of
from flowc.framework.dtypes import int64
from flowc.framework.windows import image_windows


def _windows(op: LoweredOp, image: Sequence[int]) -> dict[str, Any]:
    rows, columns = image_windows(op.attrs, image[1:3], op.attrs["ksize"][1:3])
    return {"rows": rows, "columns": columns}


@lowering("MaxPool")
def max_pool(p: Program, op: LoweredOp, x: Node) -> Node:
    if op.attrs["ksize"][3] != 1:
        return p.reduce("max", _split_depth(p, op, x), [4])
    return p.call("max_pool", [x], op.shapes[0], x.dtype, **_windows(op, x.shape))


def _split_depth(p: Program, op: LoweredOp, x: Node) -> Node:
    """[batch, height, width, windows, elements of a window] of the channels."""
    size = op.attrs["ksize"][3]
    return p.reshape(x, (*x.shape[:3], x.shape[3] // size, size))


@lowering("MaxPoolGrad")
def max_pool_grad(p: Program, op: LoweredOp, x: Node, pooled: Node, grad: Node) -> Node:
    if op.attrs["ksize"][3] != 1:
        return _depth_grad(p, _split_depth(p, op, x), grad, x.shape)
    params = _windows(op, x.shape)
    return in_float32(p, lambda *wide: p.call("max_pool_grad", wide, x.shape, wide[0].dtype, **params), x, pooled, grad)


def _depth_grad(p: Program, x: Node, grad: Node, shape: Sequence[int]) -> Node:
    """The gradient where the first of the greatest stands, for windows along the last axis of x."""
    first = p.reshape(p.reduce("argmax", x, [4]), (*x.shape[:4], 1))
    chosen = p.map("eq", p.iota(x.shape, 4), first)
    spread = p.map("select", chosen, p.reshape(grad, (*grad.shape, 1)), p.scalar(0, grad.dtype))
    return p.reshape(spread, shape)


@lowering("MaxPoolWithArgmax")
def max_pool_with_argmax(p: Program, op: LoweredOp, x: Node) -> Sequence[Node]:
    params = _windows(op, x.shape)
    pooled = p.call("max_pool", [x], op.shapes[0], x.dtype, **params)
    argmax = p.call("argmax_pool", [x, pooled], op.shapes[1], int64, **params)
    return pooled, p.cast(argmax, op.dtypes[1])


@lowering("MaxPoolGradWithArgmax")
def max_pool_grad_with_argmax(p: Program, op: LoweredOp, x: Node, grad: Node, argmax: Node) -> Node:
    return in_float32(p, lambda wide: p.call("scatter_argmax", [wide, argmax], x.shape, wide.dtype), grad)


@lowering("AvgPool")
def average_pool(p: Program, op: LoweredOp, x: Node) -> Node:
    params = _windows(op, x.shape)
    return in_float32(p, lambda wide: p.call("average_pool", [wide], op.shapes[0], wide.dtype, **params), x)


@lowering("AvgPoolGrad")
def average_pool_grad(p: Program, op: LoweredOp, sizes: Node, grad: Node) -> Node:
    shape = op.shapes[0]
    params = _windows(op, shape)
    return in_float32(p, lambda wide: p.call("average_pool_grad", [wide], shape, wide.dtype, **params), grad)


# -- what need not be done after a gradient is spread ------------------------------------------------------------------


def spread_later(p: Program, grad: Node, features: Node) -> Node | None:
    """relu's gradient where `grad` is that of a `max_pool` of relu's output `features`; else None.

    The greatest element of a window is positive just where its maximum is.
    """
    if not _is_spread(grad) or grad.args[0] is not features:
        return None
    image, pooled, given = grad.args
    zero = p.scalar(0, grad.dtype)
    kept = p.map("select", p.map("gt", pooled, zero), given, zero)
    return p.call("max_pool_grad", [image, pooled, kept], grad.shape, grad.dtype, **params_of(grad))


def sum_before_spread(grad: Node, axes: Sequence[int]) -> Node:
    """What to sum over `axes` in place of `grad`: the gradients of the windows, if all of an image is summed."""
    return grad.args[2] if _is_spread(grad) and {1, 2} <= set(axes) and grad.size else grad


def _is_spread(node: Node) -> bool:
    return node.op == "call" and node.attr[0] == "max_pool_grad"
