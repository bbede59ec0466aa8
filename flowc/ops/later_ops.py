"""Functions that later versions of the API added, made of the ops that are here."""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply
from flowc.framework.constant_value import constant_value
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import int32, int64
from flowc.framework.graph import Tensor
from flowc.framework.scopes import op_scope
from flowc.framework.sparse_tensor import SparseTensor
from flowc.ops.activation_ops import relu
from flowc.ops.array_ops import cast, expand_dims, reshape, shape, transpose
from flowc.ops.constant_ops import placeholder
from flowc.ops.joining_ops import concat, unpack
from flowc.ops.math_ops import rsqrt
from flowc.ops.segment_ops import unsorted_segment_sum
from flowc.ops.slicing_ops import gather, slice

__all__ = [
    "cross",
    "depth_to_space",
    "space_to_depth",
    "sparse_placeholder",
    "sparse_tensor_dense_matmul",
]

# -- arrays ------------------------------------------------------------------------------------------------------------


def cross(a: Any, b: Any, name: str | None = None) -> Tensor:
    """The cross products of the vectors of 3 in the last dimensions of `a` and `b`, of one shape."""
    with op_scope([a, b], name, "Cross"):
        a = convert_to_tensor(a, name="a")
        b = convert_to_tensor(b, a.dtype, "b")
        for x in (a, b):
            x.get_shape().with_rank_at_least(1)[-1].assert_is_compatible_with(3)
        return _turned(a, 1) * _turned(b, 2) - _turned(a, 2) * _turned(b, 1)


def _turned(x: Tensor, places: int) -> Tensor:
    """The elements of each vector moved to the front by some places, the first ones to the end."""
    ndims = x.get_shape().ndims or 0
    lead, all_of_lead = [0] * (ndims - 1), [-1] * (ndims - 1)
    end, start = slice(x, [*lead, places], [*all_of_lead, -1]), slice(x, [*lead, 0], [*all_of_lead, places])
    return concat(ndims - 1, [end, start])


def space_to_depth(input: Any, block_size: int, name: str | None = None) -> Tensor:
    """Blocks of pixels as channels: [n, h·s, w·s, c] becomes [n, h, w, s·s·c], for s = `block_size`."""
    with op_scope([input], name, "SpaceToDepth"):
        x, (n, rows, columns, channels) = _image_batch(input)
        s = _checked_block(block_size)
        for size in (rows, columns):
            if isinstance(size, int) and size % s:
                raise ValueError(f"block_size {s} must divide the height and the width: {x.get_shape()}")
        blocks = reshape(x, [n, rows // s, s, columns // s, s, channels])
        return _joined_blocks(blocks, [n, rows // s, columns // s, channels * (s * s)])


def depth_to_space(input: Any, block_size: int, name: str | None = None) -> Tensor:
    """Channels as blocks of pixels: [n, h, w, s·s·c] becomes [n, h·s, w·s, c], for s = `block_size`."""
    with op_scope([input], name, "DepthToSpace"):
        x, (n, rows, columns, channels) = _image_batch(input)
        s = _checked_block(block_size)
        if isinstance(channels, int) and channels % (s * s):
            raise ValueError(f"block_size² = {s * s} must divide the number of channels: {x.get_shape()}")
        blocks = reshape(x, [n, rows, columns, s, s, channels // (s * s)])
        return _joined_blocks(blocks, [n, rows * s, columns * s, channels // (s * s)])


def _joined_blocks(blocks: Tensor, sizes: list[Any]) -> Tensor:
    """[n, h, s, w, s, c] or [n, h, w, s, s, c] with its third and fourth dimension exchanged, in the shape `sizes`."""
    result = reshape(transpose(blocks, [0, 1, 3, 2, 4, 5]), sizes)
    result.set_shape([size if isinstance(size, int) else None for size in sizes])
    return result


def _checked_block(block_size: int) -> int:
    if block_size < 2:
        raise ValueError(f"block_size must be greater than 1, not {block_size}")
    return int(block_size)


def _image_batch(images: Any) -> tuple[Tensor, list[Any]]:
    """Images as a tensor of rank 4, and its sizes: ints, or scalar tensors where they are not known."""
    x = convert_to_tensor(images, name="input")
    static = x.get_shape().with_rank(4)
    x.set_shape(static)
    sizes = unpack(shape(x), 4)
    return x, [known if known is not None else size for known, size in zip(static.as_list(), sizes, strict=True)]


# -- sparse tensors ----------------------------------------------------------------------------------------------------


def sparse_placeholder(dtype: Any, shape: Any = None, name: str | None = None) -> SparseTensor:
    """A SparseTensor to be fed, as a SparseTensorValue or (indices, values, shape). `shape`: the dense, if known."""
    name = name or "Placeholder"
    rank = None if shape is None else len(shape)
    return SparseTensor(
        placeholder(int64, [None, rank], f"{name}/indices"),
        placeholder(dtype, [None], f"{name}/values"),
        placeholder(int64, [rank], f"{name}/shape") if shape is None else convert_to_tensor(shape, int64),
    )


def sparse_tensor_dense_matmul(
    sp_a: SparseTensor, b: Any, adjoint_a: bool = False, adjoint_b: bool = False, name: str | None = None
) -> Tensor:
    """The product of a sparse matrix of rank 2 and a dense one, each transposed (and conjugated) first if asked for.

    Each element of `sp_a` adds its multiple of a row of `b` to a row of the result. Raises TypeError if `sp_a` is no
    SparseTensor.
    """
    if not isinstance(sp_a, SparseTensor):
        raise TypeError(f"sp_a must be a SparseTensor, not {sp_a!r}")
    with op_scope([sp_a.values, b], name, "SparseTensorDenseMatMul"):
        b, values = convert_to_tensor(b, sp_a.dtype, "b"), sp_a.values
        b = transpose(b, [1, 0]) if adjoint_b else b
        if values.dtype.is_complex:
            b = apply("Conj", [b]) if adjoint_b else b
            values = apply("Conj", [values]) if adjoint_a else values
        rows, columns = (reshape(slice(sp_a.indices, [0, at], [-1, 1]), [-1]) for at in (0, 1))
        if adjoint_a:
            rows, columns = columns, rows
        count = cast(slice(sp_a.shape, [1 if adjoint_a else 0], [1]), int32)
        known = constant_value(sp_a.shape)
        sizes: Any = reshape(count, []) if known is None else int(known[1 if adjoint_a else 0])
        return unsorted_segment_sum(expand_dims(values, 1) * gather(b, columns), rows, sizes)


# -- networks ----------------------------------------------------------------------------------------------------------


def crelu(features: Any, name: str | None = None) -> Tensor:
    """relu of `features` and of their negatives, joined along the last dimension. Source: Shang et al. 2016."""
    with op_scope([features], name, "CRelu"):
        x = convert_to_tensor(features, name="features")
        last = x.get_shape().with_rank_at_least(1).ndims
        if last is None:
            raise ValueError("crelu needs features of known rank")
        return relu(concat(last - 1, [x, -x]))


def batch_normalization(
    x: Any, mean: Any, variance: Any, offset: Any, scale: Any, variance_epsilon: float, name: str | None = None
) -> Tensor:
    """(x - mean) / √(variance + variance_epsilon) · scale + offset; `scale` and `offset` may be None.

    The statistics broadcast to `x`. Source: Ioffe, Szegedy 2015, http://arxiv.org/abs/1502.03167.
    """
    with op_scope([x, mean, variance], name, "batchnorm"):
        factor = rsqrt(convert_to_tensor(variance, name="variance") + variance_epsilon)
        if scale is not None:
            factor = factor * scale
        shift = -(convert_to_tensor(mean, name="mean") * factor)
        shifted: Tensor = x * factor + (shift if offset is None else shift + offset)
        return shifted
