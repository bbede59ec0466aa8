"""The operations that loops and branches are made of: Switch, Merge, Enter, Exit, NextIteration, LoopCond.

`flowc.framework.regions` tells what they mean together. `tf.cond` and `tf.while_loop` make them; few users do.
"""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list, make_operation
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, BOOL, DType, int32
from flowc.framework.graph import Operation, Tensor
from flowc.framework.indexed_slices import IndexedSlices, convert_to_tensor_or_indexed_slices
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.framework.shapes import TensorShape

__all__ = ["control_trigger", "enter", "exit", "loop_cond", "merge", "next_iteration", "switch"]

Value = Tensor | IndexedSlices


def _reference(types: Sequence[DType], attrs: Any) -> list[DType]:
    return [types[0].as_ref]


def _switched(ctx: ShapeContext) -> Shapes:
    ctx.shapes[1].with_rank(0)
    return [ctx.shapes[0]] * 2


def general_shape(a: TensorShape, b: TensorShape) -> TensorShape:
    """What is known of a shape that is one of two."""
    x, y = a.tuple, b.tuple
    if x is None or y is None or len(x) != len(y):
        return UNKNOWN
    return TensorShape(builtins.tuple(m if m == n else None for m, n in zip(x, y, strict=True)))


def _merged(ctx: ShapeContext) -> Shapes:
    shape = ctx.shapes[0]
    for other in ctx.shapes[1:]:
        shape = general_shape(shape, other)
    return [shape, shape_rules.SCALAR]


def _one_of(types: Sequence[DType], attrs: Any) -> list[DType]:
    return [types[0], int32]


_ENTER_ATTRS = {"is_constant": False, "parallel_iterations": 10}

define("Switch", shape=_switched, allowed=(ANY, BOOL), result=lambda types, _: [types[0]] * 2, inputs="data pred")
define("Merge", shape=_merged, allowed=ANY, result=_one_of, inputs="inputs", type_attrs="N*T")
define("Enter", shape=shape_rules.unchanged, allowed=ANY, inputs="data", attrs=_ENTER_ATTRS)
define("Exit", shape=shape_rules.unchanged, allowed=ANY, inputs="data")
define("NextIteration", shape=shape_rules.unchanged, allowed=ANY, inputs="data")
define("LoopCond", shape=shape_rules.unchanged, allowed=BOOL, inputs="input", type_attrs="-")
define("ControlTrigger", shape=shape_rules.nothing, result=lambda types, attrs: [], inputs="")

# The same of variables' references.
define(
    "RefSwitch", shape=_switched, allowed=(ANY, BOOL), result=lambda types, _: [types[0].as_ref] * 2, inputs="data pred"
)
define(
    "RefMerge",
    shape=_merged,
    allowed=ANY,
    result=lambda types, _: [types[0].as_ref, int32],
    inputs="inputs",
    type_attrs="N*T",
)
define("RefEnter", shape=shape_rules.unchanged, allowed=ANY, result=_reference, inputs="data", attrs=_ENTER_ATTRS)
define("RefExit", shape=shape_rules.unchanged, allowed=ANY, result=_reference, inputs="data")
define("RefNextIteration", shape=shape_rules.unchanged, allowed=ANY, result=_reference, inputs="data")

not_differentiable("LoopCond", "ControlTrigger")  # the others: see flowc.loop_gradients and flowc.branch_gradients


def _by_reference(op_type: str, tensor: Tensor) -> str:
    return "Ref" + op_type if tensor._dtype.is_ref_dtype else op_type


def _each(function: Any, data: IndexedSlices, *args: Any) -> list[Any]:
    """What `function` gives for each of the tensors of an IndexedSlices; None for one that is missing."""
    parts = (data.values, data.indices, data.dense_shape)
    return [None if part is None else function(part, *args) for part in parts]


def switch(data: Any, pred: Any, dtype: Any = None, name: str | None = None) -> tuple[Any, Any]:
    """Passes `data`, a tensor, a variable's reference or an IndexedSlices, to one of two outputs.

    Args:
        data: what is passed on; `dtype` is the type of a value that is no tensor.
        pred: a bool scalar.
        name: the operation's name.

    Returns:
        (output_false, output_true): what depends on the first runs only if `pred` is false, what depends on the second
        only if it is true. Fetching the one that nothing came to raises InvalidArgumentError.
    """
    value = convert_to_tensor_or_indexed_slices(data, dtype, "data", as_ref=True)
    if isinstance(value, IndexedSlices):
        parts = _each(switch, value, pred, None, name)
        sides = [IndexedSlices(*(part and part[side] for part in parts)) for side in (0, 1)]
        return sides[0], sides[1]
    outputs = apply_list(_by_reference("Switch", value), [value, pred], name=name)
    return outputs[0], outputs[1]


def merge(inputs: Sequence[Any], name: str | None = None) -> tuple[Any, Tensor]:
    """Passes on that one of `inputs` which has a value.

    Args:
        inputs: tensors or IndexedSlices of one type, on different sides of one condition.
        name: the operation's name.

    Returns:
        (output, value_index): the value, and the int32 index of the input that it came from.
    """
    values = [convert_to_tensor_or_indexed_slices(value, as_ref=True) for value in inputs]
    slices = [value for value in values if isinstance(value, IndexedSlices)]
    if slices:
        return _merged_slices(values, name)
    tensors = [value for value in values if isinstance(value, Tensor)]
    is_reference = all(tensor._dtype.is_ref_dtype for tensor in tensors)
    outputs = apply_list("RefMerge" if is_reference else "Merge", tensors, name=name)
    return outputs[0], outputs[1]


def _merged_slices(values: Sequence[Value], name: str | None) -> tuple[IndexedSlices, Tensor]:
    if not all(isinstance(value, IndexedSlices) for value in values):
        raise TypeError("Type of merge's inputs must agree: all of them tensors, or all of them IndexedSlices.")
    slices = [value for value in values if isinstance(value, IndexedSlices)]
    rows, index = merge([value.values for value in slices], name)
    indices, _ = merge([value.indices for value in slices])
    shapes = [value.dense_shape for value in slices]
    dense = None if any(shape is None for shape in shapes) else merge(shapes)[0]
    return IndexedSlices(rows, indices, dense), index


def enter(
    data: Any,
    frame_name: str,
    is_constant: bool = False,
    parallel_iterations: int = 10,
    name: str | None = None,
) -> Any:
    """Brings `data`, a tensor, a variable's reference or an IndexedSlices, into the loop `frame_name`.

    is_constant: whether all iterations see it; otherwise the first one only. parallel_iterations: taken for the API's
    sake.
    """
    value = convert_to_tensor_or_indexed_slices(data, as_ref=True)
    if isinstance(value, IndexedSlices):
        return IndexedSlices(*_each(enter, value, frame_name, is_constant, parallel_iterations, name))
    attrs = {"frame_name": frame_name, "is_constant": is_constant, "parallel_iterations": parallel_iterations}
    return apply(_by_reference("Enter", value), [value], attrs, name)


def _passed_on(op_type: str, data: Any, name: str | None) -> Any:
    value = convert_to_tensor_or_indexed_slices(data, as_ref=True)
    if isinstance(value, IndexedSlices):
        return IndexedSlices(*_each(lambda part: _passed_on(op_type, part, name), value))
    return apply(_by_reference(op_type, value), [value], name=name)


def exit(data: Any, name: str | None = None) -> Any:
    """Brings `data` out of the loop that it is in."""
    return _passed_on("Exit", data, name)


def next_iteration(data: Any, name: str | None = None) -> Any:
    """Gives `data` to the next iteration of the loop that it is in."""
    return _passed_on("NextIteration", data, name)


def loop_cond(input: Any, name: str | None = None) -> Tensor:
    """A bool scalar, marked as what decides whether the loop that it is in goes on."""
    return apply("LoopCond", [convert_to_tensor(input)], name=name)


def control_trigger(name: str | None = None) -> Operation:
    """An operation that does nothing: something for control dependencies to hang on."""
    return make_operation("ControlTrigger", [], name=name)
