"""Keeping tensors, gradients above all, within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.convert import convert_to_tensor
from flowc.framework.graph import Tensor
from flowc.framework.indexed_slices import IndexedSlices, convert_to_tensor_or_indexed_slices
from flowc.framework.scopes import op_scope
from flowc.ops.arithmetic_ops import add_n, div, maximum, minimum, mul
from flowc.ops.array_ops import cast, size
from flowc.ops.math_ops import sqrt, square
from flowc.ops.reduction_ops import reduce_sum

__all__ = ["clip_by_average_norm", "clip_by_global_norm", "clip_by_norm", "clip_by_value", "global_norm"]


def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Tensor:
    """`t` with the elements below `clip_value_min` set to it, and those above `clip_value_max` to that."""
    with op_scope([t, clip_value_min, clip_value_max], name, "clip_by_value") as scope:
        return maximum(minimum(t, clip_value_max), clip_value_min, name=scope)


def clip_by_norm(t: Any, clip_norm: Any, name: str | None = None) -> Tensor:
    """`t`, scaled down so that its L2 norm is `clip_norm` where it is larger."""
    with op_scope([t, clip_norm], name, "clip_by_norm") as scope:
        t = convert_to_tensor(t, name="t")
        return _scaled(t, sqrt(reduce_sum(square(t))), clip_norm, scope)


def clip_by_average_norm(t: Any, clip_norm: Any, name: str | None = None) -> Tensor:
    """`t`, scaled down so that its L2 norm over its number of elements is `clip_norm` where it is larger."""
    with op_scope([t, clip_norm], name, "clip_by_average_norm") as scope:
        t = convert_to_tensor(t, name="t")
        average = div(sqrt(reduce_sum(square(t))), cast(size(t), t.dtype))
        return _scaled(t, average, clip_norm, scope)


def _scaled(t: Tensor, norm: Tensor, clip_norm: Any, name: str | None = None) -> Tensor:
    """t · clip_norm / max(norm, clip_norm): `t` itself where the norm is within bounds."""
    limit = cast(convert_to_tensor(clip_norm), t.dtype)
    return mul(t, div(limit, maximum(norm, limit)), name=name)


def global_norm(t_list: Sequence[Any], name: str | None = None) -> Tensor | None:
    """The L2 norm of all elements of all tensors of a list, those that are None left out; None if all are.

    Raises TypeError if `t_list` is not a list.
    """
    parts = _parts(t_list)
    present = [_values(part) for part in parts if part is not None]
    if not present:
        return None
    with op_scope(present, name, "global_norm") as scope:
        return sqrt(add_n([reduce_sum(square(values)) for values in present]), name=scope)


def clip_by_global_norm(
    t_list: Sequence[Any], clip_norm: Any, use_norm: Any = None, name: str | None = None
) -> tuple[list[Tensor | IndexedSlices | None], Tensor | None]:
    """The tensors of a list, all scaled by one factor so that their global norm is at most `clip_norm`.

    Args:
        t_list: tensors, IndexedSlices and None, as gradients are.
        clip_norm: a positive scalar.
        use_norm: the global norm, where it is known already; by default `global_norm(t_list)`.
        name: a name scope.

    Returns:
        The list of scaled tensors, None where `t_list` has it, and the global norm before scaling.

    Raises:
        TypeError: `t_list` is not a list.
    """
    parts = _parts(t_list)
    present = [_values(part) for part in parts if part is not None]
    norm: Tensor | None = global_norm(parts, name) if use_norm is None else convert_to_tensor(use_norm)
    if norm is None or not present:
        return parts, norm
    with op_scope([*present, norm], name, "clip_by_global_norm"):
        return [
            None if part is None else _with_values(part, _scaled(_values(part), norm, clip_norm)) for part in parts
        ], norm


def _parts(t_list: Any) -> list[Tensor | IndexedSlices | None]:
    if not isinstance(t_list, Sequence) or isinstance(t_list, str):
        raise TypeError(f"t_list should be a sequence of tensors, not {t_list!r}")
    return [None if t is None else convert_to_tensor_or_indexed_slices(t) for t in t_list]


def _values(part: Tensor | IndexedSlices) -> Tensor:
    return part.values if isinstance(part, IndexedSlices) else part


def _with_values(part: Tensor | IndexedSlices, values: Tensor) -> Tensor | IndexedSlices:
    return IndexedSlices(values, part.indices, part.dense_shape) if isinstance(part, IndexedSlices) else values
