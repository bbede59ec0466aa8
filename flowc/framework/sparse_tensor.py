"""Sparse tensors: the places and values of the elements that are there, and the dense shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flowc.framework.constant_value import constant_value
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import DType, int64
from flowc.framework.graph import Graph, Operation, Tensor
from flowc.framework.scopes import op_scope
from flowc.framework.shapes import TensorShape, unknown_shape

__all__ = ["SparseTensor", "SparseTensorValue"]


class SparseTensorValue(NamedTuple):
    """The arrays of a fetched or fed SparseTensor."""

    indices: Any
    values: Any
    shape: Any


class SparseTensor:
    """The elements of a tensor that are there: element `indices[i]` has the value `values[i]`.

    indices: an int64 tensor of shape [n, rank]; values: a tensor of any type and of shape [n]; shape: an int64 tensor
    of shape [rank], the dense tensor's shape. What is no tensor is converted to one.

    Many ops want the indices in row-major order; `tf.sparse_reorder` brings them into it.

    Raises TypeError for values of wrong types; ValueError where the ranks or the lengths do not fit.
    """

    def __init__(self, indices: Any, values: Any, shape: Any) -> None:
        with op_scope([indices, values, shape], None, "SparseTensor"):
            self._indices = convert_to_tensor(indices, int64, "indices")
            self._values = convert_to_tensor(values, None, "values")
            self._shape = convert_to_tensor(shape, int64, "shape")
        self._check()

    def _check(self) -> None:
        indices = self._indices.get_shape().with_rank(2)
        values = self._values.get_shape().with_rank(1)
        shape = self._shape.get_shape().with_rank(1)
        indices[0].merge_with(values[0])
        indices[1].merge_with(shape[0])

    @property
    def indices(self) -> Tensor:
        """Where the elements are, int64 of shape [n, rank]."""
        return self._indices

    @property
    def values(self) -> Tensor:
        """The elements, shape [n]."""
        return self._values

    @property
    def shape(self) -> Tensor:
        """The dense tensor's shape, int64 of shape [rank]."""
        return self._shape

    @property
    def dense_shape(self) -> Tensor:
        """The dense tensor's shape: `shape` by its later name."""
        return self._shape

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._values.dtype

    @property
    def op(self) -> Operation:
        """The operation that computes `values`."""
        return self._values.op

    @property
    def graph(self) -> Graph:
        """The graph of the tensors."""
        return self._indices.graph

    def get_shape(self) -> TensorShape:
        """The dense shape as far as it is known."""
        sizes = constant_value(self._shape)
        return unknown_shape(self._shape.get_shape()[0].value) if sizes is None else TensorShape(sizes.tolist())

    def _flowc_fetch(self) -> tuple[tuple[Tensor, ...], Callable[..., SparseTensorValue]]:
        """For sessions: the tensors to fetch or feed, and what makes the fetched value of theirs."""
        return (self._indices, self._values, self._shape), SparseTensorValue

    def __repr__(self) -> str:
        return f"SparseTensor(indices={self._indices}, values={self._values}, shape={self._shape})"
