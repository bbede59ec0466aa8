"""What the ops that shape, slice, join and index arrays mean."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide


@reference("Const")
def _const(op: ReferenceOp) -> Array:
    value: Array = op.attrs["value"]
    return value


@reference("NoOp")
def _no_op(op: ReferenceOp, *inputs: Array) -> list[Array]:
    return []


@reference("Shape")
def _shape(op: ReferenceOp, x: Array) -> Array:
    return np.array(x.shape, np.int32)


@reference("Size")
def _size(op: ReferenceOp, x: Array) -> Array:
    return np.array(x.size)


@reference("Rank")
def _rank(op: ReferenceOp, x: Array) -> Array:
    return np.array(x.ndim)


@reference("ZerosLike")
def _zeros_like(op: ReferenceOp, x: Array) -> Array:
    return np.zeros(x.shape, op.dtype)


@reference("Fill")
def _fill(op: ReferenceOp, dims: Array, value: Array) -> Array:
    if (dims < 0).any():
        invalid(f"Fill dimensions must be >= 0, got {dims.tolist()}")
    return np.full(tuple(dims), value[()], op.dtype)


@reference("Range")
def _range(op: ReferenceOp, start: Array, limit: Array, delta: Array) -> Array:
    if delta == 0:
        invalid("Range needs a delta other than 0")
    return np.arange(start.item(), limit.item(), delta.item(), dtype=op.dtype)


@reference("LinSpace")
def _linspace(op: ReferenceOp, start: Array, stop: Array, num: Array) -> Array:
    if num <= 0:
        invalid(f"LinSpace needs num > 0, got {num}")
    return np.linspace(wide(start), wide(stop), int(num))


# -- shapes ------------------------------------------------------------------------------------------------------------


@reference("Reshape")
def _reshape(op: ReferenceOp, x: Array, shape: Array) -> Array:
    """The same elements in another shape; one size may be -1: what is left."""
    sizes = [int(n) for n in shape]
    if -1 in sizes:
        others = int(np.prod([n for n in sizes if n != -1], dtype=np.int64))
        sizes[sizes.index(-1)] = x.size // others if others else -1
    if min(sizes, default=0) < 0 or int(np.prod(sizes, dtype=np.int64)) != x.size:
        invalid(f"Input to reshape is a tensor with {x.size} values, but the requested shape is {shape.tolist()}")
    return x.reshape(sizes)


@reference("ExpandDims")
def _expand_dims(op: ReferenceOp, x: Array, dim: Array) -> Array:
    if not -x.ndim - 1 <= dim <= x.ndim:
        invalid(f"Dimension {dim} is out of range for a tensor of rank {x.ndim}")
    return np.expand_dims(x, dim.item())


@reference("Squeeze")
def _squeeze(op: ReferenceOp, x: Array) -> Array:
    dims = op.attrs.get("squeeze_dims") or [i for i, n in enumerate(x.shape) if n == 1]
    if any(x.shape[d] != 1 for d in dims):
        invalid(f"Can only squeeze dimensions of size 1, not dimensions {list(dims)} of shape {list(x.shape)}")
    return np.squeeze(x, tuple({int(d) % x.ndim for d in dims}))


@reference("Transpose")
def _transpose(op: ReferenceOp, x: Array, perm: Array) -> Array:
    if sorted(perm.tolist()) != list(range(x.ndim)):
        invalid(f"{perm.tolist()} is not a permutation of the dimensions of shape {list(x.shape)}")
    return x.transpose(perm)


@reference("Reverse")
def _reverse(op: ReferenceOp, x: Array, dims: Array) -> Array:
    return np.flip(x, tuple(int(i) for i in np.flatnonzero(dims)))


@reference("Tile")
def _tile(op: ReferenceOp, x: Array, multiples: Array) -> Array:
    if (multiples < 0).any():
        invalid(f"Multiples must be >= 0, got {multiples.tolist()}")
    return np.tile(x, tuple(multiples))


@reference("Pad")
def _pad(op: ReferenceOp, x: Array, paddings: Array) -> Array:
    if (paddings < 0).any():
        invalid(f"Paddings must be >= 0, got {paddings.tolist()}")
    return np.pad(x, [(int(a), int(b)) for a, b in paddings]) if x.ndim else x


@reference("BroadcastTo")
def _broadcast_to(op: ReferenceOp, x: Array, shape: Array) -> Array:
    return np.broadcast_to(x, tuple(shape))


@reference("BroadcastGradientAxes")
def _broadcast_gradient_axes(op: ReferenceOp, x: Array, y: Array) -> list[Array]:
    """For each input, the axes of their common shape along which it is repeated."""
    rank = max(x.ndim, y.ndim)
    return [_repeated_axes(x, y, rank), _repeated_axes(y, x, rank)]


def _repeated_axes(x: Array, other: Array, rank: int) -> Array:
    own, others = ((1,) * (rank - a.ndim) + a.shape for a in (x, other))
    new = rank - x.ndim
    return np.array([i for i in range(rank) if i < new or (own[i] == 1 and others[i] != 1)], np.int32)


# -- slicing and joining -----------------------------------------------------------------------------------------------


@reference("Slice")
def _slice(op: ReferenceOp, x: Array, begin: Array, size: Array) -> Array:
    """The block of `size` that starts at `begin`; a size of -1 reaches to the end."""
    ends = [n if s == -1 else b + s for n, b, s in zip(x.shape, begin, size, strict=True)]
    if any(not 0 <= b <= e <= n for n, b, e in zip(x.shape, begin, ends, strict=True)):
        invalid(f"Slice from {begin.tolist()} of size {size.tolist()} is out of the bounds of shape {list(x.shape)}")
    return x[tuple(slice(int(b), int(e)) for b, e in zip(begin, ends, strict=True))]


@reference("Concat")
def _concat(op: ReferenceOp, dim: Array, *values: Array) -> Array:
    return np.concatenate(values, int(dim))


@reference("Split")
def _split(op: ReferenceOp, dim: Array, value: Array) -> list[Array]:
    count = len(op.dtypes)
    if value.shape[int(dim)] % count:
        invalid(f"Dimension {dim} of shape {list(value.shape)} cannot be split into {count} equal parts")
    return list(np.split(value, count, int(dim)))


@reference("Pack")
def _pack(op: ReferenceOp, *values: Array) -> Array:
    return np.stack(values)


@reference("Unpack")
def _unpack(op: ReferenceOp, value: Array) -> list[Array]:
    if value.shape[0] != len(op.dtypes):
        invalid(f"Cannot unpack shape {list(value.shape)} into {len(op.dtypes)} tensors")
    return list(value)


# -- indexing ----------------------------------------------------------------------------------------------------------


def check_indices(indices: Array, limit: int, what: str) -> None:
    """InvalidArgumentError unless 0 <= index < limit for every index; `what` are the indices called."""
    for place in np.argwhere((indices < 0) | (indices >= limit)):
        at = f"[{','.join(map(str, place))}]" if place.size else ""
        invalid(f"{what}{at} = {indices[tuple(place)]} is not in [0, {limit})")


@reference("Gather")
def _gather(op: ReferenceOp, params: Array, indices: Array) -> Array:
    check_indices(indices, params.shape[0], "indices")
    return params[indices]


@reference("UnsortedSegmentSum")
def _unsorted_segment_sum(op: ReferenceOp, data: Array, ids: Array, count: Array) -> Array:
    check_indices(ids, int(count), "segment_ids")
    result = np.zeros((int(count), *data.shape[ids.ndim :]), wide(data).dtype)
    np.add.at(result, ids, wide(data))
    return result


@reference("InvertPermutation")
def _invert_permutation(op: ReferenceOp, x: Array) -> Array:
    for i, place in enumerate(x.tolist()):
        if not 0 <= place < x.size:
            invalid(f"{place} is not between 0 and {x.size}")
        if place in x[:i]:
            invalid(f"{place} is duplicated in the input.")
    return np.argsort(x)
