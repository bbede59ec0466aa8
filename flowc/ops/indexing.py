"""`tensor[…]` with ints, slices, `...` and `None` (tf.newaxis) as in NumPy, by Slice, Squeeze and ExpandDims."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index as as_int
from typing import Any

import numpy as np

from flowc.framework.graph import Tensor
from flowc.ops.arithmetic_ops import add, sub
from flowc.ops.array_ops import cast, expand_dims, identity, rank, shape, squeeze
from flowc.ops.constant_ops import fill
from flowc.ops.joining_ops import concat, pack
from flowc.ops.slicing_ops import reverse, slice as slice_tensor

__all__ = ["newaxis"]

newaxis = None

Bound = Any  # an int, or a scalar int32 tensor


@dataclass(frozen=True)
class _Part:
    """What one index takes of its dimension. `size` -1: all that is left."""

    begin: Bound = 0
    size: Bound = -1
    drop: bool = False
    backwards: bool = False


def get_item(tensor: Any, index: Any) -> Tensor:
    """The part of `tensor` that `index` names: `tensor[0, 1:3, ..., tf.newaxis]`.

    Ints (or scalar int tensors) drop their dimension, slices keep theirs, `None` adds one of size 1. Negative numbers
    count from the end. Bounds beyond a size that is known are cut off, as NumPy does.

    Raises ValueError for an index out of range or a step other than 1 (or -1 over a whole dimension), TypeError for
    what is no index.
    """
    indices = _with_all_dimensions(index if isinstance(index, tuple) else (index,), tensor.get_shape().ndims)
    parts = [_part(tensor, axis, item) for axis, item in enumerate(i for i in indices if i is not None)]
    result = _sliced(tensor, parts)
    dropped = [axis for axis, part in enumerate(parts) if part.drop]
    if dropped:
        result = squeeze(result, dropped)
    kept = (item for item in indices if item is None or not _drops(item))
    for axis, item in enumerate(kept):
        if item is None:
            result = expand_dims(result, axis)
    return identity(result) if result is tensor else result


def _with_all_dimensions(indices: tuple[Any, ...], rank: int | None) -> list[Any]:
    """The indices with `...`, which may stand at the end unsaid, replaced by a `:` for each dimension it stands for."""
    named = sum(item is not None and item is not Ellipsis for item in indices)
    places = [i for i, item in enumerate(indices) if item is Ellipsis]
    if len(places) > 1:
        raise ValueError("An index can have only one ellipsis ('...')")
    if rank is None:
        if places:
            raise ValueError("'...' needs a tensor of known rank: use set_shape() on it first")
        rank = named
    if named > rank:
        raise ValueError(f"Too many indices: {named} for a tensor of rank {rank}")
    at = places[0] if places else len(indices)
    return [*indices[:at], *[slice(None)] * (rank - named), *indices[at + 1 :]]


def _drops(item: Any) -> bool:
    return not isinstance(item, slice)


def _part(tensor: Tensor, axis: int, item: Any) -> _Part:
    sizes = tensor.get_shape().tuple
    size = None if sizes is None else sizes[axis]
    if isinstance(item, slice):
        return _part_of_slice(tensor, axis, item, size)
    if isinstance(item, Tensor):
        item.get_shape().assert_is_compatible_with(())
        return _Part(cast(item, "int32"), 1, drop=True)
    if isinstance(item, (bool, np.bool_)) or not hasattr(item, "__index__"):
        raise TypeError(f"A tensor's index is an int, a slice, '...' or None, not {item!r}: use tf.gather for lists")
    number = as_int(item)
    if size is not None and not -size <= number < size:
        raise ValueError(f"Index {number} is out of range for dimension {axis} of size {size}")
    return _Part(_from_start(tensor, axis, number, size), 1, drop=True)


def _part_of_slice(tensor: Tensor, axis: int, item: slice, size: int | None) -> _Part:
    if item.step not in (None, 1):
        if item.step == -1 and item.start is None and item.stop is None:
            return _Part(backwards=True)
        raise ValueError(f"A slice of a tensor has step 1 (or is '::-1'), not {item.step}: use tf.gather")
    bounds = (item.start, item.stop)
    if bounds == (None, None):
        return _Part()
    if size is not None and not any(isinstance(bound, Tensor) for bound in bounds):
        start, stop, _ = item.indices(size)
        return _Part(start, max(stop - start, 0))
    start = 0 if item.start is None else _from_start(tensor, axis, item.start, size)
    if item.stop is None:
        return _Part(start, -1)
    stop = _from_start(tensor, axis, item.stop, size)
    return _Part(start, stop if isinstance(start, int) and start == 0 else _difference(stop, start))


def _from_start(tensor: Tensor, axis: int, bound: Any, size: int | None) -> Bound:
    """A bound counted from the start of its dimension, where it is a number and negative."""
    if isinstance(bound, Tensor):
        return cast(bound, "int32")
    number = as_int(bound)
    if number >= 0:
        return number
    if size is not None:
        return max(number + size, 0)
    return add(squeeze(slice_tensor(shape(tensor), [axis], [1]), [0]), number)


def _difference(stop: Bound, start: Bound) -> Bound:
    if isinstance(stop, int) and isinstance(start, int):
        return max(stop - start, 0)
    return sub(stop, start)


def _sliced(tensor: Tensor, parts: list[_Part]) -> Tensor:
    if any(part.backwards for part in parts):
        tensor = reverse(tensor, [part.backwards for part in parts])
    if all(isinstance(p.begin, int) and p.begin == 0 and isinstance(p.size, int) and p.size == -1 for p in parts):
        return tensor
    begin, size = _vector([p.begin for p in parts]), _vector([p.size for p in parts])
    if tensor.get_shape().ndims is not None:
        return slice_tensor(tensor, begin, size)
    rest = expand_dims(sub(rank(tensor), len(parts)), 0)
    return slice_tensor(tensor, concat(0, [begin, fill(rest, 0)]), concat(0, [size, fill(rest, -1)]))


def _vector(bounds: list[Bound]) -> Any:
    if any(isinstance(bound, Tensor) for bound in bounds):
        return pack(bounds)
    return np.array(bounds, np.int32)
