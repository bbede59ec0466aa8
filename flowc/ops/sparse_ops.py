"""Sparse tensors: made dense, joined, put in order, filled up.

Where elements must be in order, it is row-major: by the first index, then by the second, …
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, INDEX, DType, bool_, int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import Shapes
from flowc.framework.shapes import TensorShape
from flowc.framework.sparse_tensor import SparseTensor
from flowc.ops.array_ops import cast, expand_dims, invert_permutation, reshape, shape, shape_of, squeeze
from flowc.ops.joining_ops import concat
from flowc.ops.logic_ops import equal
from flowc.ops.reduction_ops import reduce_sum
from flowc.ops.segment_ops import unsorted_segment_sum
from flowc.ops.set_ops import where
from flowc.ops.slicing_ops import gather, slice

__all__ = [
    "sparse_concat",
    "sparse_fill_empty_rows",
    "sparse_reorder",
    "sparse_retain",
    "sparse_tensor_to_dense",
    "sparse_to_dense",
    "sparse_to_indicator",
]

_INT64: Final = frozenset((int64,))


def _sparse(value: Any) -> SparseTensor:
    if not isinstance(value, SparseTensor):
        raise TypeError(f"Input must be a SparseTensor, not {type(value).__name__}.")
    return value


# -- dense -------------------------------------------------------------------------------------------------------------


def _dense_shape(ctx: ShapeContext) -> Shapes:
    if ctx.shapes[1].ndims not in (None, 1):
        raise ValueError("Input shape should be a vector")
    return (shape_rules.shape_from_value(ctx, 1),)


define(
    "SparseToDense",
    shape=_dense_shape,
    allowed=(INDEX, INDEX, ANY),
    same_from=2,
    result=lambda types, attrs: [types[2]],
    inputs="sparse_indices output_shape sparse_values default_value",
    type_attrs="Tindices - T -",
)


def sparse_to_dense(
    sparse_indices: Any, output_shape: Any, sparse_values: Any, default_value: Any = 0, name: str | None = None
) -> Tensor:
    """A dense tensor of `default_value`, but for `sparse_values[i]` at `sparse_indices[i]`.

    Args:
        sparse_indices: int32 or int64, shape [n, rank]; a vector for a dense vector, a scalar for one place in it. The
            last one counts where one is repeated.
        output_shape: ints, the dense tensor's shape.
        sparse_values: of any type, shape [n]; or a scalar, the value at all places.
        default_value: a scalar of that type.
        name: the operation's name.

    Raises:
        ValueError: `output_shape` is no vector.
        InvalidArgumentError: when run, for an index outside the shape, and values that are not one for each index.
    """
    return apply("SparseToDense", [sparse_indices, output_shape, sparse_values, default_value], name=name)


@gradient("SparseToDense")
def _sparse_to_dense_grad(op: Any, grad: Any) -> Any:
    """Of the values: the gradient where they are; of the default: the rest. An index must not be repeated."""
    indices, sizes, values, _ = op.inputs
    places = _places(indices, sizes)
    chosen = gather(reshape(grad, [-1]), places)
    rest = reduce_sum(grad) - reduce_sum(chosen)
    return None, None, reduce_sum(chosen) if values.get_shape().ndims == 0 else chosen, rest


def _places(indices: Tensor, sizes: Tensor) -> Tensor:
    """Where each index is among the elements of the dense tensor, in order."""
    if indices.get_shape().ndims != 2:
        return reshape(indices, [-1])
    rank = shape_rules.known(indices.get_shape()[1:])
    if rank is None:
        raise ValueError("The gradient of SparseToDense needs to know how many dimensions there are.")
    steps: list[Any] = [1]
    for axis in range(rank[0] - 1, 0, -1):
        steps.insert(0, steps[0] * cast(reshape(slice(sizes, [axis], [1]), []), indices.dtype.base_dtype))
    columns = [reshape(slice(indices, [0, axis], [-1, 1]), [-1]) * step for axis, step in enumerate(steps)]
    return apply("AddN", columns)


def sparse_tensor_to_dense(sp_input: SparseTensor, default_value: Any = 0, name: str | None = None) -> Tensor:
    """The dense tensor of a SparseTensor, with `default_value` for the elements that are not there.

    Raises TypeError for what is no SparseTensor; InvalidArgumentError, when run, for an index outside its shape.
    """
    sp_input = _sparse(sp_input)
    return sparse_to_dense(sp_input.indices, sp_input.shape, sp_input.values, default_value, name)


def sparse_to_indicator(sp_input: SparseTensor, vocab_size: Any, name: str | None = None) -> Tensor:
    """The ids in a SparseTensor, a set for all that have the same indices but the last, as bools.

    Args:
        sp_input: int32 or int64 values, each in [0, vocab_size), shape [d0, …, dn].
        vocab_size: an int: how many ids there are.
        name: the operation's name.

    Returns:
        A bool tensor of shape [d0, …, d(n-1), vocab_size], true where the id is in the set.

    Raises:
        TypeError: `sp_input` is no SparseTensor, or its values are no ids.
        InvalidArgumentError: when run, for an id out of range.
    """
    sp_input = _sparse(sp_input)
    with op_scope([sp_input.indices, sp_input.values, sp_input.shape], name, "SparseToIndicator") as scope:
        if sp_input.dtype.base_dtype not in INDEX:
            raise TypeError(f"The ids of an indicator are int32 or int64, not {sp_input.dtype.name}.")
        others = sp_input.indices.get_shape()[1].value
        last = [-1, -1 if others is None else others - 1]
        ids = expand_dims(cast(sp_input.values, int64), 1)
        outer = slice(sp_input.indices, [0, 0], last) if others is not None else _all_but_last(sp_input.indices)
        sizes = slice(sp_input.shape, [0], shape(sp_input.shape) - 1)
        dense = concat(0, [sizes, [vocab_size]])
        return sparse_to_dense(concat(1, [outer, ids]), dense, True, False, name=scope)


def _all_but_last(matrix: Tensor) -> Tensor:
    return slice(matrix, [0, 0], shape(matrix) - [0, 1])


# -- order -------------------------------------------------------------------------------------------------------------


def _same_elements(ctx: ShapeContext) -> Shapes:
    indices, values, sizes = ctx.shapes[0].with_rank(2), ctx.shapes[1].with_rank(1), ctx.shapes[2].with_rank(1)
    count = indices[0].merge_with(values[0])
    return (TensorShape([count, indices[1].merge_with(sizes[0])]), TensorShape([count]))


define(
    "SparseReorder",
    shape=_same_elements,
    allowed=(_INT64, ANY, _INT64),
    result=lambda types, attrs: [int64, types[1]],
    inputs="input_indices input_values input_shape",
    type_attrs="- T -",
)


def sparse_reorder(sp_input: SparseTensor, name: str | None = None) -> SparseTensor:
    """The same SparseTensor with its elements in order; those with equal indices stay in theirs.

    Raises TypeError for what is no SparseTensor.
    """
    sp_input = _sparse(sp_input)
    return _reordered(sp_input.indices, sp_input.values, sp_input.shape, name)


def _reordered(indices: Tensor, values: Tensor, sizes: Tensor, name: str | None = None) -> SparseTensor:
    indices, values = apply_list("SparseReorder", [indices, values, sizes], name=name)
    return SparseTensor(indices, values, sizes)


@gradient("SparseReorder")
def _sparse_reorder_grad(op: Any, _: Any, grad: Any) -> Any:
    """Where each value went is told by numbers that are put in order with the same indices."""
    indices, values, sizes = op.inputs
    count = squeeze(slice(shape_of(values), [0], [1])) if values.get_shape()[0].value is None else values.get_shape()[0]
    numbers = apply("Range", [0, count, 1])
    order = apply_list("SparseReorder", [indices, numbers, sizes])[1]
    return None, gather(grad, invert_permutation(order)), None


# -- joining -----------------------------------------------------------------------------------------------------------


def _joined(ctx: ShapeContext) -> Shapes:
    number = len(ctx.shapes) // 3
    indices, values, sizes = (ctx.shapes[i * number : (i + 1) * number] for i in range(3))
    rank = TensorShape([None])
    for part, vector in zip(indices, sizes, strict=True):
        rank = rank.merge_with(vector).merge_with(part.with_rank(2)[1:])
    counts = [part[0].merge_with(vector.with_rank(1)[0]).value for part, vector in zip(indices, values, strict=True)]
    total = None if None in counts else sum(n for n in counts if n is not None)
    if rank[0].value is not None and not 0 <= ctx.attrs["concat_dim"] < rank[0].value:
        raise ValueError(f"Concat dimension must be in [0, {rank[0]}), got {ctx.attrs['concat_dim']}")
    return (TensorShape([total, rank[0]]), TensorShape([total]), rank)


def _join_types(types: Sequence[DType], attrs: Any) -> list[DType]:
    return [int64, types[len(types) // 3], int64]


define(
    "SparseConcat",
    shape=_joined,
    allowed=(ANY,),
    result=_join_types,
    inputs="indices values shapes",
    type_attrs="N*- N*T N*-",
)
not_differentiable("SparseConcat")


def sparse_concat(concat_dim: int, sp_inputs: Sequence[SparseTensor], name: str | None = None) -> SparseTensor:
    """SparseTensors joined along a dimension, as dense ones are by `concat`; the result's elements are in order.

    Args:
        concat_dim: an int, the dimension.
        sp_inputs: SparseTensors of one type and rank, whose shapes differ only in that dimension.
        name: the operation's name.

    Raises:
        TypeError: not all inputs are SparseTensors, or their types differ.
        ValueError: ranks that differ, or have no such dimension.
        InvalidArgumentError: when run, for shapes that differ elsewhere.
    """
    parts = [_sparse(sp_input) for sp_input in sp_inputs]
    if len(parts) == 1:
        return parts[0]
    types = {part.dtype.base_dtype for part in parts}
    if len(types) != 1:
        raise TypeError(f"sparse_concat joins tensors of one type, not {sorted(t.name for t in types)}.")
    inputs = [tensor for field in ("indices", "values", "shape") for tensor in (getattr(p, field) for p in parts)]
    attrs = {"concat_dim": int(concat_dim), "N": len(parts), "T": types.pop()}
    return SparseTensor(*apply_list("SparseConcat", inputs, attrs, name))


# -- some elements more or less ----------------------------------------------------------------------------------------


def sparse_retain(sp_input: SparseTensor, to_retain: Any) -> SparseTensor:
    """The elements of a SparseTensor for which `to_retain`, one bool an element, is true; the shape stays.

    Raises TypeError for what is no SparseTensor; ValueError if there are not as many bools as elements.
    """
    sp_input = _sparse(sp_input)
    to_retain = convert_to_tensor(to_retain, bool_)
    to_retain.get_shape().with_rank(1).assert_is_compatible_with(sp_input.values.get_shape())
    kept = reshape(where(to_retain), [-1])
    return SparseTensor(gather(sp_input.indices, kept), gather(sp_input.values, kept), sp_input.shape)


def sparse_fill_empty_rows(
    sp_input: SparseTensor, default_value: Any, name: str | None = None
) -> tuple[SparseTensor, Tensor]:
    """A SparseTensor with one more element, `default_value` in column 0, in each row that has none.

    Args:
        sp_input: a SparseTensor of rank 2 or more; a row is what has one first index.
        default_value: a scalar of its type.
        name: the operation's name.

    Returns:
        A pair: the filled SparseTensor, its elements in order, and a bool vector that tells which rows were empty.

    Raises:
        TypeError: `sp_input` is no SparseTensor.
    """
    sp_input = _sparse(sp_input)
    with op_scope([sp_input.indices, sp_input.values, sp_input.shape], name, "SparseFillEmptyRows"):
        default_value = convert_to_tensor(default_value, sp_input.dtype.base_dtype, "default_value")
        rows = reshape(slice(sp_input.indices, [0, 0], [-1, 1]), [-1])
        number = cast(squeeze(slice(sp_input.shape, [0], [1])), int32)
        ones = apply("Fill", [shape_of(rows), 1])
        is_empty = equal(unsorted_segment_sum(ones, rows, number), 0)
        added = where(is_empty)
        rank = sp_input.indices.get_shape()[1].value
        others = slice(shape(sp_input.indices), [1], [1]) - 1 if rank is None else np.array([rank - 1], np.int32)
        zeros = apply("Fill", [concat(0, [slice(shape(added), [0], [1]), others]), np.int64(0)])
        indices = concat(0, [sp_input.indices, concat(1, [added, zeros])])
        defaults = apply("Fill", [slice(shape(added), [0], [1]), default_value])
        return _reordered(indices, concat(0, [sp_input.values, defaults]), sp_input.shape), is_empty
