"""Embeddings of sets: the rows that several ids name, put together into one."""

from __future__ import annotations

from typing import Any, Final

from flowc.framework.building import apply
from flowc.framework.graph import Tensor
from flowc.framework.scopes import op_scope
from flowc.framework.sparse_tensor import SparseTensor
from flowc.ops.array_ops import cast, expand_dims, rank, reshape, shape
from flowc.ops.joining_ops import concat
from flowc.ops.nn_ops import embedding_lookup
from flowc.ops.segment_reduction_ops import segment_mean, segment_sum
from flowc.ops.slicing_ops import slice

__all__ = ["embedding_lookup_sparse"]

_COMBINERS: Final = ("mean", "sum")


def embedding_lookup_sparse(
    params: Any, sp_ids: SparseTensor, sp_weights: SparseTensor | None, name: str | None = None, combiner: str = "mean"
) -> Tensor:
    """For each row of ids, the sum or the mean of the embeddings that they name, weighted.

    Args:
        params: the embeddings, shape [ids, …]; or a list of tensors as for `embedding_lookup`.
        sp_ids: a SparseTensor of ints, shape [rows, any], its elements in order, with at least one in each row.
        sp_weights: a SparseTensor of floats at the same places, or None for weights of 1.
        name: a name for the operations.
        combiner: "sum", or "mean": the sum divided by the sum of the row's weights.

    Returns:
        A tensor of the type of `params` and of shape [rows, …].

    Raises:
        TypeError: the ids or weights are no SparseTensor.
        ValueError: another combiner, or weights that are known not to be as many as the ids.
    """
    if combiner not in _COMBINERS:
        raise ValueError(f"combiner must be one of 'mean' or 'sum', not {combiner!r}")
    for value in (sp_ids, *(() if sp_weights is None else (sp_weights,))):
        if not isinstance(value, SparseTensor):
            raise TypeError(f"sp_ids and sp_weights must be SparseTensors, not {type(value).__name__}")
    shards = list(params) if isinstance(params, list | tuple) else [params]
    with op_scope([*shards, sp_ids.values], name, "embedding_lookup_sparse"):
        rows = reshape(slice(sp_ids.indices, [0, 0], [-1, 1]), [-1])
        embeddings = embedding_lookup(params, sp_ids.values)
        if sp_weights is not None:
            return _weighted(embeddings, sp_ids, sp_weights, rows, combiner)
        return (segment_mean if combiner == "mean" else segment_sum)(embeddings, rows)


def _weighted(
    embeddings: Tensor, sp_ids: SparseTensor, sp_weights: SparseTensor, rows: Tensor, combiner: str
) -> Tensor:
    for of_ids, of_weights in ((sp_ids.values, sp_weights.values), (sp_ids.indices, sp_weights.indices)):
        of_ids.get_shape().assert_is_compatible_with(of_weights.get_shape())
    weights = cast(sp_weights.values, embeddings.dtype.base_dtype)
    column = _with_rank_of(weights, embeddings)
    total = segment_sum(embeddings * column, rows)
    return total / segment_sum(column, rows) if combiner == "mean" else total


def _with_rank_of(vector: Tensor, other: Tensor) -> Tensor:
    """A vector with as many dimensions as `other`, those after the first of size 1."""
    ndims = other.get_shape().ndims
    if ndims is not None:
        return reshape(vector, [-1] + [1] * (ndims - 1))
    ones = apply("Fill", [expand_dims(rank(other) - 1, 0), 1])
    return reshape(vector, concat(0, [shape(vector), ones]))
