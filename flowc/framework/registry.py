"""The registry of op types: what each is called, takes and gives, its shape rule and its gradient.

An op is one block in `flowc/ops/<family>.py`:

    define("Tanh", shape=shapes_lib.unchanged, allowed=FLOATING)

    def tanh(x, name=None):
        \"\"\"...\"\"\"
        return apply("Tanh", [x], name=name)

    @gradient("Tanh")
    def _tanh_grad(op, grad):
        y = op.outputs[0]
        return grad * (1 - y * y)

and one function in `flowc/codegen/lower/<family>.py` that says how it is computed. `apply` converts the arguments,
checks their types, names the operation and infers its shape; an error names the op, the types and shapes and the user's
line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np

from flowc.framework import dtypes, op_inputs, source
from flowc.framework.dtypes import DType
from flowc.framework.shapes import TensorShape, as_shape
from flowc.framework.stacks import get_default_graph

GRAPH_DEF_VERSION: Final = 2


@dataclass(frozen=True)
class NodeDef:
    """One operation as data. `input` holds tensor names (`"add"`, `"split:1"`), then control inputs (`"^init"`)."""

    name: str
    op: str
    input: tuple[str, ...]
    device: str
    attr: dict[str, Any]


@dataclass(frozen=True)
class GraphDef:
    """A graph as data, in the order its operations were made."""

    node: tuple[NodeDef, ...]
    version: int = GRAPH_DEF_VERSION


class ShapeContext(Protocol):
    """What a shape rule may ask: of an operation being made, or of one whose input shapes a run has fixed."""

    @property
    def shapes(self) -> Sequence[TensorShape]:
        """The inputs' shapes."""

    @property
    def dtypes(self) -> Sequence[DType]:
        """The inputs' base types."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """The operation's attributes."""

    def value(self, index: int) -> np.ndarray[Any, Any] | None:
        """The value of input `index` where it is known before the run, else None."""


ShapeRule = Callable[[Any], Sequence[Any]]
TypeRule = Callable[[Sequence[DType], Mapping[str, Any]], Sequence[DType]]
GradientFunction = Callable[..., Any]


@dataclass(eq=False)
class OpDef:
    """What is known of an op type: what `define` was told."""

    type: str
    shape: ShapeRule
    allowed: frozenset[DType] | tuple[frozenset[DType], ...] = dtypes.ANY
    result: DType | TypeRule | None = None
    same_from: int | None = None
    stateful: bool = False
    input_names: tuple[str, ...] = ()
    accepted: set[tuple[int, ...]] = field(default_factory=set, repr=False)  # enums of input types found right before


_ops: dict[str, OpDef] = {}
_shape_overrides: dict[str, ShapeRule] = {}
_gradients: dict[str, GradientFunction | None] = {}


def define(
    type: str,
    *,
    shape: ShapeRule,
    allowed: frozenset[DType] | tuple[frozenset[DType], ...] = dtypes.ANY,
    same_from: int | None = None,
    result: DType | TypeRule | None = None,
    stateful: bool = False,
    inputs: str = "x y",
) -> OpDef:
    """Registers an op type.

    shape: the shape rule, a function of a ShapeContext that returns one shape an output.
    allowed: the types of its inputs. A set: all inputs share one type of it. A tuple: one set an input, the last one
        for all that follow, each free.
    same_from: with a tuple, the inputs from this index on share one type.
    result: the outputs' types: one type, or a function (input types, attributes) -> list; by default the first input's.
    stateful: it has an effect or gives another value each time; it is never folded, shared or dropped when asked for.
    inputs: the inputs' names, for messages and for the constants that values given as inputs become.
    """
    if type in _ops:
        raise ValueError(f"op type {type!r} is defined twice")
    if isinstance(allowed, frozenset):
        same_from = 0
    _ops[type] = OpDef(type, shape, allowed, result, same_from, stateful, tuple(inputs.split()))
    return _ops[type]


def lookup(op_type: str) -> OpDef | None:
    """The definition of an op type, or None."""
    return _ops.get(op_type)


def op_types() -> tuple[str, ...]:
    """All registered op types."""
    return tuple(_ops)


# -- gradients ---------------------------------------------------------------------------------------------------------


def gradient(*op_types: str) -> Callable[[GradientFunction], GradientFunction]:
    """Decorator: the function (op, *output gradients, None where there is none) computes these op types' gradient."""

    def register(function: GradientFunction) -> GradientFunction:
        for op_type in op_types:
            if op_type in _gradients:
                raise KeyError(f"Registering two gradients for op type {op_type!r}!")
            _gradients[op_type] = function
        return function

    return register


def not_differentiable(*op_types: str) -> None:
    """These op types have no gradient: their outputs are constant with respect to their inputs, or undefined."""
    for op_type in op_types:
        if op_type in _gradients:
            raise KeyError(f"Registering two gradients for op type {op_type!r}!")
        _gradients[op_type] = None


def gradient_function(op: Any) -> GradientFunction | None:
    """The gradient function of an operation, None if it is not differentiable; LookupError if nothing is registered."""
    if not op.inputs:
        return None
    try:
        return _gradients[op._gradient_type]
    except KeyError:
        line = op.source_line()
        made = f"\n  made at {line}" if line else ""
        raise LookupError(
            f"No gradient defined for operation {op.name!r} (op type: {op._gradient_type}){made}"
        ) from None


def has_gradient_entry(op_type: str) -> bool:
    """Whether an op type has a gradient, or says that it has none."""
    return op_type in _gradients


class RegisterGradient:
    """Decorator `@tf.RegisterGradient("MyOp")` for a function (op, *grads) -> input gradients, as in the API.

    The function gets zeros for an output that nothing depends on; flowc's own (`gradient`) get None.
    """

    def __init__(self, op_type: str) -> None:
        if not isinstance(op_type, str):
            raise TypeError("op_type must be a string")
        self._op_type = op_type

    def __call__(self, function: GradientFunction) -> GradientFunction:
        gradient(self._op_type)(_given_zeros(function))
        return function


def _given_zeros(function: GradientFunction) -> GradientFunction:
    """The gradient function, called with zeros in place of each None that stands for an output of floating type."""

    def filled(op: Any, *grads: Any) -> Any:
        from flowc.ops.array_ops import zeros_like

        pairs = zip(op.outputs, grads, strict=True)
        return function(
            op, *(zeros_like(y) if g is None and y.dtype.base_dtype in dtypes.FLOATING else g for y, g in pairs)
        )

    return filled


def NoGradient(op_type: str) -> None:  # the API's name
    """Says that an op type is not differentiable."""
    if not isinstance(op_type, str):
        raise TypeError("op_type must be a string")
    not_differentiable(op_type)


class RegisterShape:
    """Decorator `@tf.RegisterShape("MyOp")` for a function op -> list of TensorShape, as in the API."""

    def __init__(self, op_type: str) -> None:
        if not isinstance(op_type, str):
            raise TypeError("op_type must be a string")
        self._op_type = op_type

    def __call__(self, function: ShapeRule) -> ShapeRule:
        if self._op_type in _shape_overrides or self._op_type in _ops:
            raise KeyError(f"Registering two shape functions for op type {self._op_type!r}!")
        _shape_overrides[self._op_type] = function
        return function


# -- building ----------------------------------------------------------------------------------------------------------


class BuildContext:
    """The ShapeContext of an operation that is being made."""

    __slots__ = ("_op",)

    def __init__(self, op: Any) -> None:
        self._op = op

    @property
    def shapes(self) -> list[TensorShape]:
        return [t._shape for t in self._op._inputs]

    @property
    def dtypes(self) -> list[DType]:
        return [t._dtype._base for t in self._op._inputs]

    @property
    def attrs(self) -> Mapping[str, Any]:
        attrs: Mapping[str, Any] = self._op._attrs
        return attrs

    def value(self, index: int) -> np.ndarray[Any, Any] | None:
        from flowc.framework.constant_value import constant_value

        return constant_value(self._op._inputs[index])


def set_shapes(op: Any) -> None:
    """Infers the shapes of an operation's outputs; ValueError, with the user's line, if its inputs do not fit."""
    definition = _ops.get(op._type)
    if definition is None:
        rule = _shape_overrides.get(op._type)
        if rule is not None:
            _assign_shapes(op, rule(op))
        return
    try:
        shapes = definition.shape(BuildContext(op))
    except ValueError as error:
        given = ", ".join(str(t._shape) for t in op._inputs)
        raise ValueError(
            f"{error}\n  op: {op._name} ({op._type}), input shapes: {given}{source.at_user_line()}"
        ) from None
    _assign_shapes(op, shapes)


def _assign_shapes(op: Any, shapes: Sequence[Any]) -> None:
    if len(shapes) != len(op._outputs):
        raise RuntimeError(f"The shape rule of {op._type!r} gave {len(shapes)} shapes for {len(op._outputs)} outputs.")
    for tensor, shape in zip(op._outputs, shapes, strict=True):
        tensor._shape = shape if type(shape) is TensorShape else as_shape(shape)


def apply(
    op_type: str,
    inputs: Sequence[Any],
    attrs: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Any:
    """Makes an operation of a registered type from values that convert to tensors; returns its output tensor.

    A list of tensors for an op with several outputs, the Operation for one with none.
    Raises TypeError for types that the op does not take or that do not agree, ValueError for shapes that do not fit.
    """
    from flowc.framework.graph import Tensor

    definition = _ops[op_type]
    for value in inputs:
        if type(value) is not Tensor:
            inputs, name = op_inputs.converted(definition, inputs, name or op_type)
            break
    types = [t._dtype._base for t in inputs]
    signature = tuple([dtype._enum for dtype in types])
    if signature not in definition.accepted:
        op_inputs.check_types(definition, types)
        definition.accepted.add(signature)
    result = definition.result
    if result is None:
        output_types: Sequence[DType] = types[:1]
    else:
        output_types = (result,) if isinstance(result, DType) else result(types, attrs or {})
    graph = inputs[0]._op._graph if inputs else get_default_graph()
    op = graph.create_op(op_type, inputs, output_types, None, name, attrs)
    outputs = op._outputs
    if len(outputs) == 1:
        return outputs[0]
    return list(outputs) if outputs else op
