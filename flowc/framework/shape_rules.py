"""Shape rules that several op types share, and the helpers that rules are written with.

A rule is a function of a `registry.ShapeContext` and returns one shape an output, each a TensorShape or what converts
to one. It is asked twice: when the operation is made, with what is known then, and by the compiler, with concrete
shapes; with these its answer is exact. It raises ValueError where the inputs do not fit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flowc.framework.registry import ShapeContext
from flowc.framework.shapes import TensorShape, all_known, broadcast_shapes, unknown_shape

Shapes = Sequence[TensorShape]


class FailsWhenRun(ValueError):
    """Raised by a shape rule for values that the API refuses when the operation runs, not when it is made."""


UNKNOWN = TensorShape(None)
SCALAR = TensorShape(())


# -- elementwise -------------------------------------------------------------------------------------------------------


def unchanged(ctx: ShapeContext) -> Shapes:
    """The first input's shape."""
    return ctx.shapes[:1]


def merged(ctx: ShapeContext) -> Shapes:
    """The one shape that all inputs have."""
    shape, *others = ctx.shapes
    for other in others:
        shape = shape.merge_with(other)
    return (shape,)


def broadcast(ctx: ShapeContext) -> Shapes:
    """The shape that the two inputs broadcast to, as in NumPy."""
    a, b = ctx.shapes
    return (broadcast_shapes(a, b),)


# -- fixed -------------------------------------------------------------------------------------------------------------


def scalar(ctx: ShapeContext) -> Shapes:
    """A scalar, whatever the inputs."""
    return (SCALAR,)


def nothing(ctx: ShapeContext) -> Shapes:
    """No outputs."""
    return ()


# -- axes --------------------------------------------------------------------------------------------------------------


def reduction(ctx: ShapeContext) -> Shapes:
    """Input 0 reduced over the axes that input 1 holds, which stay as 1 if `keep_dims`."""
    sizes = ctx.shapes[0].tuple
    ctx.shapes[1].with_rank_at_most(1)
    axes = ctx.value(1)
    keep = bool(ctx.attrs.get("keep_dims", False))
    if sizes is None:
        return (UNKNOWN,)
    if axes is None:
        return (unknown_shape(len(sizes)) if keep else UNKNOWN,)
    reduced = axes_of(axes, len(sizes))
    if keep:
        return (TensorShape(tuple(1 if i in reduced else d for i, d in enumerate(sizes))),)
    return (TensorShape(tuple(d for i, d in enumerate(sizes) if i not in reduced)),)


def axes_of(values: np.ndarray, rank: int) -> frozenset[int]:
    """Axes as numbers from 0; ValueError for one outside the rank, FailsWhenRun for one given twice."""
    axes = [int(value) for value in values.reshape(-1)]
    for axis in axes:
        if not -rank <= axis < rank:
            raise ValueError(f"Invalid reduction dimension {axis} for input with {rank} dimensions")
    found: set[int] = set()
    for axis in axes:
        if axis % rank in found:
            raise FailsWhenRun(f"Invalid reduction arguments: Axes contains duplicate dimension: {axis % rank}")
        found.add(axis % rank)
    return frozenset(found)


def axis_of(axis: int, rank: int, name: str = "Axis") -> int:
    """An axis as a number from 0: negative ones count from the end. ValueError outside the rank."""
    if not -rank <= axis < rank:
        raise ValueError(f"{name} {axis} is out of range for a tensor of rank {rank}")
    return axis % rank


# -- shapes that are values --------------------------------------------------------------------------------------------


def shape_from_value(ctx: ShapeContext, index: int) -> TensorShape:
    """The shape that input `index`, a vector of sizes, holds; its rank at least, where the value is not known."""
    ctx.shapes[index].with_rank_at_most(1)
    value = ctx.value(index)
    if value is not None:
        if value.ndim != 1:
            raise ValueError(f"A shape must be a vector of sizes, not {value.tolist()}")
        if value.size and value.min() < 0:
            raise ValueError(f"A shape must have no negative sizes: {value.tolist()}")
        return TensorShape(tuple(value.tolist()))
    return unknown_shape(vector_length(ctx, index))


def vector_length(ctx: ShapeContext, index: int) -> int | None:
    """How many elements input `index`, a vector, has; None if that is not known."""
    sizes = ctx.shapes[index].with_rank(1).tuple
    return None if sizes is None else sizes[0]


def known(shape: TensorShape) -> tuple[int, ...] | None:
    """The sizes of a fully known shape, else None."""
    return all_known(shape.tuple)
