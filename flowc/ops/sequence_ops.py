"""Sequences: reversed within their lengths, added up, and compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.dtypes import ANY, INDEX, float32, float64, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape, unknown_shape
from flowc.framework.sparse_tensor import SparseTensor

__all__ = ["cumsum", "edit_distance", "reverse_sequence"]

# -- reversal ----------------------------------------------------------------------------------------------------------


def _sequences(ctx: ShapeContext) -> Shapes:
    given, lengths = ctx.shapes[0], ctx.shapes[1].with_rank(1)
    if given.tuple is None:
        return (UNKNOWN,)
    sequence, batch = (_dimension(ctx, name, len(given.tuple)) for name in ("seq_dim", "batch_dim"))
    if sequence == batch:
        raise ValueError(f"batch_dim == seq_dim == {batch}")
    sizes = list(given.tuple)
    sizes[batch] = (given[batch].merge_with(lengths[0])).value
    return (TensorShape(tuple(sizes)),)


def _dimension(ctx: ShapeContext, name: str, ndims: int) -> int:
    dimension: int = ctx.attrs[name]
    if not 0 <= dimension < ndims:
        raise ValueError(f"{name} must be < input.dims() ({dimension} vs. {ndims})")
    return dimension


define(
    "ReverseSequence",
    shape=_sequences,
    allowed=(ANY, INDEX),
    inputs="input seq_lengths",
    attrs={"batch_dim": 0},
)


def reverse_sequence(
    input: Any, seq_lengths: Any, seq_dim: int, batch_dim: int | None = None, name: str | None = None
) -> Tensor:
    """`input` with the first `seq_lengths[i]` elements along `seq_dim` reversed, for each i along `batch_dim`.

    Args:
        input: a tensor of rank 2 or more.
        seq_lengths: an int vector of the size of dimension `batch_dim`, each at most the size of `seq_dim`.
        seq_dim: the dimension that is partly reversed.
        batch_dim: the dimension of the sequences, by default 0.
        name: the operation's name.

    Raises:
        ValueError: the dimensions are the same or out of range, or the lengths are not as many as sequences.
        InvalidArgumentError: when run, for a length below 0 or above the size of `seq_dim`.
    """
    attrs = {"seq_dim": int(seq_dim), "batch_dim": int(batch_dim or 0)}
    return apply("ReverseSequence", [input, seq_lengths], attrs, name)


@gradient("ReverseSequence")
def _reverse_sequence_grad(op: Any, grad: Any) -> Any:
    return reverse_sequence(grad, op.inputs[1], op.get_attr("seq_dim"), op.get_attr("batch_dim")), None


# -- sums --------------------------------------------------------------------------------------------------------------


def _summed(ctx: ShapeContext) -> Shapes:
    ctx.shapes[1].assert_has_rank(0)
    axis, ndims = ctx.value(1), ctx.shapes[0].with_rank_at_least(1).ndims
    if axis is not None and ndims is not None:
        shape_rules.axis_of(int(axis), ndims)
    return ctx.shapes[:1]


define(
    "Cumsum",
    shape=_summed,
    allowed=(frozenset((float32, float64, int32, int64)), INDEX),
    inputs="x axis",
    type_attrs="T Tidx",
    attrs={"exclusive": False, "reverse": False},
)


def cumsum(x: Any, axis: Any = 0, exclusive: bool = False, reverse: bool = False, name: str | None = None) -> Tensor:
    """The sums of the elements along `axis` up to and with each one: [a, a + b, a + b + c].

    exclusive: without the element itself: [0, a, a + b]. reverse: from each element to the end. `x` is float32,
    float64, int32 or int64, of rank 1 or more.
    """
    return apply("Cumsum", [x, axis], {"exclusive": bool(exclusive), "reverse": bool(reverse)}, name)


@gradient("Cumsum")
def _cumsum_grad(op: Any, grad: Any) -> Any:
    return cumsum(grad, op.inputs[1], op.get_attr("exclusive"), not op.get_attr("reverse")), None


# -- comparison --------------------------------------------------------------------------------------------------------


def _distances(ctx: ShapeContext) -> Shapes:
    """All dimensions but the last, each the larger of the two."""
    hypothesis, truth = ctx.value(2), ctx.value(5)
    ranks = [s.with_rank(1)[0].value for s in (ctx.shapes[2], ctx.shapes[5])]
    if None not in ranks and ranks[0] != ranks[1]:
        raise ValueError(f"hypothesis and truth must have the same rank: {ranks[0]} and {ranks[1]}")
    known = next((r for r in ranks if r is not None), None)
    if hypothesis is None or truth is None:
        return (UNKNOWN if known is None else unknown_shape(max(known - 1, 0)),)
    return (TensorShape(tuple(np.maximum(hypothesis, truth)[:-1].tolist())),)


_LONG = frozenset((int64,))
define(
    "EditDistance",
    shape=_distances,
    allowed=(_LONG, ANY, _LONG, _LONG, ANY, _LONG),
    result=float32,
    inputs="hypothesis_indices hypothesis_values hypothesis_shape truth_indices truth_values truth_shape",
    type_attrs="- T - - - -",
    attrs={"normalize": True},
)
not_differentiable("EditDistance")


def edit_distance(hypothesis: Any, truth: Any, normalize: bool = True, name: str = "edit_distance") -> Tensor:
    """Levenshtein's distance between sequences: how many elements to insert, delete or replace to get one of the other.

    Args:
        hypothesis, truth: SparseTensors of one type and rank, whose last dimension is that of the sequences: the
            elements that are there, in their order. Indices must be in row-major order.
        normalize: whether distances are divided by the lengths of the truth's sequences; infinite where that is 0 and
            the hypothesis has elements.
        name: the operation's name.

    Returns:
        float32, one distance a sequence: the shape without the last dimension, each dimension the larger of the two.

    Raises:
        TypeError: hypothesis or truth is no SparseTensor, or their types differ.
    """
    for value, what in ((hypothesis, "hypothesis"), (truth, "truth")):
        if not isinstance(value, SparseTensor):
            raise TypeError(f"{what.capitalize()} must be a SparseTensor, not {value!r}")
    if hypothesis.dtype.base_dtype is not truth.dtype.base_dtype:
        raise TypeError(f"hypothesis has type {hypothesis.dtype.name}, truth {truth.dtype.name}")
    parts = [part for sparse in (hypothesis, truth) for part in (sparse.indices, sparse.values, sparse.shape)]
    return apply("EditDistance", parts, {"normalize": bool(normalize)}, name)
