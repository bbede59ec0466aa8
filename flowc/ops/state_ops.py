"""Variables as operations: the storage, and the operations that write it.

A `Variable` operation gives a reference to its storage; operations that write take that reference, or the one that an
earlier write returns, as their first input and return it again, standing for the new value.
"""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply, make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, INDEX, NUMERIC, DType, as_dtype, string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import op_scope
from flowc.framework.shapes import TensorShape, as_shape
from flowc.ops.set_ops import listdiff
from flowc.ops.slicing_ops import gather

__all__ = [
    "assign",
    "assign_add",
    "assign_sub",
    "count_up_to",
    "scatter_add",
    "scatter_sub",
    "scatter_update",
    "sparse_mask",
]


def _reference(types: Any, attrs: Any) -> list[DType]:
    return [types[0].as_ref]


def as_reference(ref: Any) -> Tensor:
    """The reference tensor of a variable; TypeError for a value that no operation can write to."""
    tensor = convert_to_tensor(ref, as_ref=True) if isinstance(ref, Tensor) or hasattr(ref, "ref") else None
    if tensor is None or not tensor.dtype.is_ref_dtype:
        raise TypeError(f"Only a variable can be assigned to, not {ref!r}: the op requires l-value input.")
    return tensor


# -- the storage -------------------------------------------------------------------------------------------------------

define(
    "Variable",
    shape=lambda c: [c.attrs["shape"]],
    result=lambda types, attrs: [attrs["dtype"].as_ref],
    stateful=True,
    inputs="",
    attrs={"container": "", "shared_name": ""},
)
not_differentiable("Variable")


def variable_op(shape: Any, dtype: Any, name: str | None = "Variable") -> Tensor:
    """A reference to new storage of `shape` and `dtype`, without a value until one is assigned."""
    attrs = {"shape": as_shape(shape), "dtype": as_dtype(dtype).base_dtype, "container": "", "shared_name": ""}
    return apply("Variable", [], attrs, name)


# -- writing all of it -------------------------------------------------------------------------------------------------


def _assigned_shape(c: ShapeContext) -> list[TensorShape]:
    ref, value = c.shapes
    return [ref.merge_with(value)] if c.attrs.get("validate_shape", True) else [value]


define(
    "Assign",
    shape=_assigned_shape,
    allowed=ANY,
    result=_reference,
    stateful=True,
    inputs="ref value",
    attrs={"validate_shape": True, "use_locking": True},
)
define(
    "AssignAdd",
    shape=_assigned_shape,
    allowed=NUMERIC,
    result=_reference,
    stateful=True,
    inputs="ref value",
    attrs={"use_locking": False},
)
define(
    "AssignSub",
    shape=_assigned_shape,
    allowed=NUMERIC,
    result=_reference,
    stateful=True,
    inputs="ref value",
    attrs={"use_locking": False},
)
not_differentiable("Assign", "AssignAdd", "AssignSub")


def _update(op_type: str, ref: Any, value: Any, attrs: dict[str, Any], name: str | None) -> Tensor:
    return apply(op_type, [as_reference(ref), value], attrs, name)


def assign(
    ref: Any, value: Any, validate_shape: bool = True, use_locking: bool = True, name: str | None = None
) -> Tensor:
    """Writes `value` to a variable; the result is the variable's reference, standing for the new value.

    Args:
        ref: a variable or its reference, initialised or not.
        value: a tensor of the variable's type and, unless `validate_shape` is False, of its shape.
        validate_shape: whether the value must have the variable's shape; if not, the variable takes on the value's.
        use_locking: accepted for the API; runs of one session never interleave writes to a variable.
        name: the operation's name.

    Raises:
        TypeError: `ref` is not a variable, or `value` has another type. ValueError: the shapes do not fit.
    """
    return _update("Assign", ref, value, {"validate_shape": validate_shape, "use_locking": use_locking}, name)


def assign_add(ref: Any, value: Any, use_locking: bool = False, name: str | None = None) -> Tensor:
    """Adds `value`, of the variable's type and shape, to a variable; the result stands for the new value."""
    return _update("AssignAdd", ref, value, {"use_locking": use_locking}, name)


def assign_sub(ref: Any, value: Any, use_locking: bool = False, name: str | None = None) -> Tensor:
    """Subtracts `value`, of the variable's type and shape, from a variable; the result stands for the new value."""
    return _update("AssignSub", ref, value, {"use_locking": use_locking}, name)


# -- writing some rows -------------------------------------------------------------------------------------------------


def check_rows(ref: TensorShape, indices: TensorShape, updates: TensorShape) -> None:
    """ValueError unless `updates` has one row of `ref` for each index: shape indices.shape + ref.shape[1:]."""
    ref.with_rank_at_least(1)
    updates.assert_is_compatible_with(indices.concatenate(ref[1:]))


def _scattered_shape(c: ShapeContext) -> list[TensorShape]:
    ref, indices, updates = c.shapes
    check_rows(ref, indices, updates)
    return [ref]


for _type, _types in (("ScatterUpdate", ANY), ("ScatterAdd", NUMERIC), ("ScatterSub", NUMERIC)):
    define(
        _type,
        shape=_scattered_shape,
        allowed=(_types, INDEX, _types),
        result=_reference,
        stateful=True,
        inputs="ref indices updates",
        type_attrs="T Tindices T",
        attrs={"use_locking": _type == "ScatterUpdate"},
    )
not_differentiable("ScatterUpdate", "ScatterAdd", "ScatterSub")


def _scatter(op_type: str, ref: Any, indices: Any, updates: Any, use_locking: bool, name: str | None) -> Tensor:
    target = as_reference(ref)
    updates = convert_to_tensor(updates, dtype=target.dtype.base_dtype, name="updates")
    return apply(op_type, [target, indices, updates], {"use_locking": use_locking}, name)


def scatter_update(
    ref: Any, indices: Any, updates: Any, use_locking: bool | None = None, name: str | None = None
) -> Tensor:
    """Sets rows of a variable: `ref[indices[i...], ...] = updates[i..., ...]`; the result stands for the new value.

    Args:
        ref: a variable of rank 1 or more.
        indices: int32 or int64, of any shape: which rows. Where an index repeats, its last row stays.
        updates: of the variable's type, shape `indices.shape + ref.shape[1:]`.
        use_locking: accepted for the API (default True).
        name: the operation's name.

    Raises:
        InvalidArgumentError: when run, for an index outside `[0, ref.shape[0])`; the variable is unchanged then.
    """
    return _scatter("ScatterUpdate", ref, indices, updates, use_locking is not False, name)


def scatter_add(
    ref: Any, indices: Any, updates: Any, use_locking: bool | None = None, name: str | None = None
) -> Tensor:
    """Adds to rows of a variable: `ref[indices[i...], ...] += updates[i..., ...]`; rows of a repeated index add up.

    Arguments, result and errors as for `scatter_update`.
    """
    return _scatter("ScatterAdd", ref, indices, updates, bool(use_locking), name)


def scatter_sub(
    ref: Any, indices: Any, updates: Any, use_locking: bool | None = None, name: str | None = None
) -> Tensor:
    """Subtracts from rows of a variable: `ref[indices[i...], ...] -= updates[i..., ...]`; repeated indices add up.

    Arguments, result and errors as for `scatter_update`.
    """
    return _scatter("ScatterSub", ref, indices, updates, bool(use_locking), name)


def sparse_mask(a: IndexedSlices, mask_indices: Any, name: str | None = None) -> IndexedSlices:
    """The slices of `a` whose index is none of `mask_indices` (int32 or int64, of rank 1).

    Raises TypeError if `a` is no IndexedSlices.
    """
    if not isinstance(a, IndexedSlices):
        raise TypeError(f"sparse_mask takes IndexedSlices, not {type(a).__name__}")
    with op_scope([a.values, a.indices], name, "sparse_mask") as scope:
        indices, places = listdiff(a.indices, mask_indices)
        return IndexedSlices(gather(a.values, places, name=scope), indices, a.dense_shape)


# -- counting and checking ---------------------------------------------------------------------------------------------


def _counter_shape(c: ShapeContext) -> list[TensorShape]:
    return [c.shapes[0].merge_with(())]


define("CountUpTo", shape=_counter_shape, allowed=INDEX, stateful=True, inputs="ref")
not_differentiable("CountUpTo")


def count_up_to(ref: Any, limit: int, name: str | None = None) -> Tensor:
    """The value of an int32 or int64 scalar variable, which is then incremented.

    Raises OutOfRangeError when run while the variable is at `limit` or above; it is unchanged then.
    """
    return apply("CountUpTo", [as_reference(ref)], {"limit": int(limit)}, name)


# An op of its own, since reading a variable for nothing is what a compiler removes.
define(
    "AssertVariablesInitialized",
    shape=lambda c: [],
    allowed=(ANY,),
    result=lambda types, attrs: [],
    stateful=True,
    inputs="ref",
    type_attrs="*T",
)
not_differentiable("AssertVariablesInitialized")


def assert_initialized(refs: list[Tensor], name: str | None = None) -> Operation:
    """An operation that raises FailedPreconditionError when run before all the variables are initialised."""
    return make_operation("AssertVariablesInitialized", [as_reference(ref) for ref in refs], name=name)


# It names the variables rather than taking their references, for to read them is what they may not be ready for.
define(
    "ReportUninitializedVariables",
    shape=lambda c: [TensorShape((None,))],
    result=string,
    stateful=True,
    inputs="",
    type_attrs="",
)
not_differentiable("ReportUninitializedVariables")


def report_uninitialized(variables: list[Tensor], name: str | None = None) -> Tensor:
    """The names of those of the variables that have no value before the run: string[count]."""
    return apply("ReportUninitializedVariables", [], {"variables": [v.op.name for v in variables]}, name)
