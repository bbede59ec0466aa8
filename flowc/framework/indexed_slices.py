"""Sparse gradients: rows of a tensor whose other rows are zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import DType, as_dtype
from flowc.framework.graph import Graph, Operation, Tensor

__all__ = ["IndexedSlices", "IndexedSlicesValue", "convert_to_tensor_or_indexed_slices"]


class IndexedSlicesValue(NamedTuple):
    """The arrays of a fetched IndexedSlices; `dense_shape` is None if it has none."""

    values: Any
    indices: Any
    dense_shape: Any = None


class IndexedSlices:
    """Some rows of a tensor, as the gradient of `gather` has: `dense[indices[i], ...] += values[i, ...]`.

    values: a tensor of shape [n, d1, …]; indices: an int32 or int64 tensor of shape [n], in which an index may repeat
    (its rows add up); dense_shape: an int32 or int64 tensor holding the dense tensor's shape [d0, d1, …], or None.
    Given where a dense tensor is expected, it is converted to one.
    """

    def __init__(self, values: Tensor, indices: Tensor, dense_shape: Tensor | None = None) -> None:
        for part in (indices, dense_shape):
            if part is not None and part.graph is not values.graph:
                raise ValueError(f"{part} is not from the same graph as {values}.")
        self._values, self._indices, self._dense_shape = values, indices, dense_shape

    @property
    def values(self) -> Tensor:
        """The rows, shape [n, d1, …]."""
        return self._values

    @property
    def indices(self) -> Tensor:
        """Which row of the dense tensor each one is, shape [n]."""
        return self._indices

    @property
    def dense_shape(self) -> Tensor | None:
        """The dense tensor's shape as a tensor, or None if it is not known."""
        return self._dense_shape

    @property
    def name(self) -> str:
        """The name of `values`."""
        return self._values.name

    @property
    def dtype(self) -> DType:
        """The type of the elements."""
        return self._values.dtype

    @property
    def device(self) -> str:
        """The device of `values`."""
        return self._values.device

    @property
    def op(self) -> Operation:
        """The operation that computes `values`."""
        return self._values.op

    @property
    def graph(self) -> Graph:
        """The graph of the tensors."""
        return self._values.graph

    def _flowc_fetch(self) -> tuple[tuple[Tensor, ...], Callable[..., IndexedSlicesValue]]:
        """For sessions: the tensors to fetch or feed, and what makes the fetched value of theirs."""
        parts = (self._values, self._indices)
        return parts if self._dense_shape is None else (*parts, self._dense_shape), IndexedSlicesValue

    def __repr__(self) -> str:
        shape = "" if self._dense_shape is None else f", dense_shape={self._dense_shape}"
        return f"IndexedSlices(indices={self._indices}, values={self._values}{shape})"


def convert_to_tensor_or_indexed_slices(
    value: Any, dtype: Any = None, name: str | None = None, as_ref: bool = False
) -> Tensor | IndexedSlices:
    """`value` as a tensor, or itself if it is an IndexedSlices; ValueError if it has another type than `dtype`."""
    if not isinstance(value, IndexedSlices):
        return convert_to_tensor(value, dtype, name, as_ref)
    if dtype is not None and not as_dtype(dtype).is_compatible_with(value.dtype):
        raise ValueError(f"Tensor conversion requested dtype {dtype} for IndexedSlices with dtype {value.dtype.name}")
    return value
