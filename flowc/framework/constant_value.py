"""What is known of a tensor's value before any run: enough for shapes that are computed in the graph.

Two kinds of rules: `known_from_shapes` for ops whose outputs depend on their inputs' shapes only (the compiler, which
knows all shapes, asks `values_from_shapes` too), `known_before_run` for small arithmetic on known values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from flowc.framework.dtypes import DType
from flowc.framework.shapes import TensorShape, all_known

Array = np.ndarray[Any, Any]


class TensorLike(Protocol):
    """What is asked here of a tensor. `flowc.framework.graph.Tensor` is one; graphs are made with what stands here."""

    @property
    def _op(self) -> OperationLike: ...
    @property
    def _value_index(self) -> int: ...
    @property
    def _dtype(self) -> DType: ...
    @property
    def _shape(self) -> TensorShape: ...


class OperationLike(Protocol):
    """What is asked here of an operation, such as `flowc.framework.graph.Operation`."""

    @property
    def _name(self) -> str: ...
    @property
    def _type(self) -> str: ...
    @property
    def _attrs(self) -> Mapping[str, Any]: ...
    @property
    def _inputs(self) -> Sequence[TensorLike]: ...
    @property
    def _outputs(self) -> Sequence[TensorLike]: ...


Sizes = tuple[int | None, ...] | None  # None: the rank is not known
ShapesRule = Callable[[Mapping[str, Any], Sequence[Sizes]], Sequence[Array | None]]
ValueRule = Callable[[OperationLike, list[Array]], Array | Sequence[Array] | None]

_MAX_ELEMENTS = 1024
_MAX_DEPTH = 64  # longer chains of shape arithmetic are left to the compiler

_shape_rules: dict[str, ShapesRule] = {}
_value_rules: dict[str, ValueRule] = {}


def known_from_shapes(*op_types: str) -> Callable[[ShapesRule], ShapesRule]:
    """Decorator: the function (attributes, input shapes) gives the value of each output of these op types, which depend
    on no input's value; None for an output that the shapes, known in part, do not determine."""

    def register(function: ShapesRule) -> ShapesRule:
        _shape_rules.update(dict.fromkeys(op_types, function))
        return function

    return register


def known_before_run(*op_types: str) -> Callable[[ValueRule], ValueRule]:
    """Decorator: the function (op, input values) computes the value of these op types when all inputs' are known."""

    def register(function: ValueRule) -> ValueRule:
        _value_rules.update(dict.fromkeys(op_types, function))
        return function

    return register


def values_from_shapes(
    op_type: str, attrs: Mapping[str, Any], shapes: Iterable[Sizes]
) -> Sequence[Array | None] | None:
    """The outputs of an op type that depends on its inputs' shapes only; None if it is not one."""
    rule = _shape_rules.get(op_type)
    return None if rule is None else rule(attrs, list(shapes))


def constant_value(tensor: TensorLike) -> Array | None:
    """The tensor's value if it can be known before a run, else None. Only small values are worked out."""
    return _known(tensor, {}, 0)


def _known(tensor: TensorLike, seen: dict[TensorLike, Array | None], depth: int) -> Array | None:
    op = tensor._op
    if op._type == "Const":
        value: Array = op._attrs["value"]
        return value
    if tensor not in seen:
        seen[tensor] = None if depth > _MAX_DEPTH else _computed(op, tensor, seen, depth)
    return seen[tensor]


def _computed(op: OperationLike, tensor: TensorLike, seen: dict[TensorLike, Array | None], depth: int) -> Array | None:
    if op._type in _shape_rules:
        return _shape_rules[op._type](op._attrs, [t._shape.tuple for t in op._inputs])[tensor._value_index]
    rule = _value_rules.get(op._type)
    if rule is None or (tensor._shape.num_elements() or 0) > _MAX_ELEMENTS:
        return None
    inputs = []
    for source in op._inputs:
        value = _known(source, seen, depth + 1)
        if value is None:
            return None
        inputs.append(value)
    result = rule(op, inputs)
    return result if result is None or isinstance(result, np.ndarray) else np.asarray(result[tensor._value_index])


# -- from shapes -------------------------------------------------------------------------------------------------------


@known_from_shapes("Shape")
def _shape(attrs: Mapping[str, Any], shapes: Sequence[Sizes]) -> Sequence[Array | None]:
    sizes = all_known(shapes[0])
    return [None if sizes is None else np.array(sizes, np.int32)]


@known_from_shapes("Size")
def _size(attrs: Mapping[str, Any], shapes: Sequence[Sizes]) -> Sequence[Array | None]:
    sizes = all_known(shapes[0])
    return [None if sizes is None else np.array(np.prod(sizes, dtype=np.int64), np.int32)]


@known_from_shapes("Rank")
def _rank(attrs: Mapping[str, Any], shapes: Sequence[Sizes]) -> Sequence[Array | None]:
    return [None if shapes[0] is None else np.array(len(shapes[0]), np.int32)]


@known_from_shapes("BroadcastGradientAxes")
def _broadcast_gradient_axes(attrs: Mapping[str, Any], shapes: Sequence[Sizes]) -> Sequence[Array | None]:
    """For each of two shapes, the axes of the shape they broadcast to along which it was repeated.

    An axis of size 1 in both may be among them or not: a sum over it changes nothing.
    """
    x, y = shapes
    if x is None or y is None:
        return [None, None]
    rank = max(len(x), len(y))
    padded_x, padded_y = (1,) * (rank - len(x)) + x, (1,) * (rank - len(y)) + y
    return [_repeated(padded_x, padded_y), _repeated(padded_y, padded_x)]


def _repeated(own: tuple[int | None, ...], other: tuple[int | None, ...]) -> Array | None:
    axes = []
    for axis, (size, partner) in enumerate(zip(own, other, strict=True)):
        if partner == 1 or size == partner is not None:
            continue
        if size == 1:
            axes.append(axis)
        elif size is None:
            return None
    return np.array(axes, np.int32)


# -- from values -------------------------------------------------------------------------------------------------------


@known_before_run("Identity", "StopGradient", "Enter")
def _identity(op: OperationLike, inputs: list[Array]) -> Array:
    return inputs[0]


@known_before_run("Switch")
def _switch(op: OperationLike, inputs: list[Array]) -> list[Array]:
    return [inputs[0], inputs[0]]


@known_before_run("Cast")
def _cast(op: OperationLike, inputs: list[Array]) -> Array:
    return inputs[0].astype(op._outputs[0]._dtype.as_numpy_dtype)


@known_before_run("Pack")
def _pack(op: OperationLike, inputs: list[Array]) -> Array:
    return np.stack(inputs)


@known_before_run("Unpack")
def _unpack(op: OperationLike, inputs: list[Array]) -> list[Array]:
    return list(inputs[0])


@known_before_run("Concat")
def _concat(op: OperationLike, inputs: list[Array]) -> Array:
    return np.concatenate(inputs[1:], axis=int(inputs[0]))


@known_before_run("Range")
def _range(op: OperationLike, inputs: list[Array]) -> Array:
    return np.arange(*(value.item() for value in inputs), dtype=inputs[0].dtype)


@known_before_run("Fill")
def _fill(op: OperationLike, inputs: list[Array]) -> Array:
    return np.full(inputs[0], inputs[1])


@known_before_run("Slice")
def _slice(op: OperationLike, inputs: list[Array]) -> Array:
    value, begin, size = inputs
    return value[tuple(slice(b, None if s < 0 else b + s) for b, s in zip(begin, size, strict=True))]


@known_before_run("Gather")
def _gather(op: OperationLike, inputs: list[Array]) -> Array | None:
    params, indices = inputs
    in_range = indices.size == 0 or (indices.min() >= 0 and indices.max() < len(params))
    return np.asarray(np.take(params, indices, axis=0)) if in_range else None


@known_before_run("Reshape")
def _reshape(op: OperationLike, inputs: list[Array]) -> Array:
    return inputs[0].reshape(inputs[1])


@known_before_run("Squeeze", "ExpandDims")
def _resized(op: OperationLike, inputs: list[Array]) -> Array | None:
    sizes = op._outputs[0]._shape.tuple
    return None if sizes is None or None in sizes else inputs[0].reshape(tuple(int(d or 0) for d in sizes))


@known_before_run("Select")
def _select(op: OperationLike, inputs: list[Array]) -> Array:
    return np.where(*inputs)


@known_before_run("Sum", "Prod")
def _reduced(op: OperationLike, inputs: list[Array]) -> Array:
    function = np.sum if op._type == "Sum" else np.prod
    axes = tuple(int(axis) for axis in inputs[1].reshape(-1))
    return np.asarray(function(inputs[0], axis=axes, keepdims=op._attrs["keep_dims"], dtype=inputs[0].dtype))


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Equal": np.equal,
}


@known_before_run(*_ARITHMETIC)
def _arithmetic(op: OperationLike, inputs: list[Array]) -> Array:
    return np.asarray(_ARITHMETIC[op._type](*inputs))


@known_before_run("Div", "Mod")
def _division(op: OperationLike, inputs: list[Array]) -> Array | None:
    """Of integers, truncated towards zero as in C; of floats nothing is worked out here."""
    x, y = inputs
    if x.dtype.kind not in "iu" or not y.all():
        return None
    remainder = np.fmod(x, y)
    return np.asarray(remainder if op._type == "Mod" else (x - remainder) // y)
