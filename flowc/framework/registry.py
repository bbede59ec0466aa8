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

from flowc.framework import dtypes, source
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
        raise ValueError(f"{error}\n  op: {op._name} ({op._type}), input shapes: {given}{_at_user_line()}") from None
    _assign_shapes(op, shapes)


def _assign_shapes(op: Any, shapes: Sequence[Any]) -> None:
    if len(shapes) != len(op._outputs):
        raise RuntimeError(f"The shape rule of {op._type!r} gave {len(shapes)} shapes for {len(op._outputs)} outputs.")
    for tensor, shape in zip(op._outputs, shapes, strict=True):
        tensor._shape = shape if type(shape) is TensorShape else as_shape(shape)


def _at_user_line() -> str:
    line = source.user_line()
    return f"\n  at {line}" if line else ""


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
            inputs, name = _converted(definition, inputs, name or op_type)
            break
    types = [t._dtype._base for t in inputs]
    signature = tuple([dtype._enum for dtype in types])
    if signature not in definition.accepted:
        _check_types(definition, types)
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


def get_graph(values: Sequence[Any]) -> Any:
    """The graph of those of the values that are in one, which must be the same; else the default graph."""
    graph, first = None, None
    for value in values:
        own = getattr(value, "graph", None)
        if own is None or own is graph:
            continue
        if graph is not None:
            raise ValueError(f"{value} is not from the same graph as {first}.{_at_user_line()}")
        graph, first = own, value
    return get_default_graph() if graph is None else graph


# -- inputs: values to tensors, and their types ------------------------------------------------------------------------


def _converted(definition: OpDef, inputs: Sequence[Any], name: str) -> tuple[list[Any], str]:
    """The inputs as tensors, and the operation's full name: a value becomes the constant `<operation>/<input>`."""
    graph = get_graph(inputs)
    scope = name[:-1] if name.endswith("/") else graph.unique_name(name)
    outer = graph._name_stack
    graph._name_stack = scope
    try:
        if graph is get_default_graph():
            return convert_inputs(definition, inputs), scope + "/"
        with graph.as_default():
            return convert_inputs(definition, inputs), scope + "/"
    finally:
        graph._name_stack = outer


def convert_inputs(definition: OpDef, inputs: Sequence[Any]) -> list[Any]:
    """The inputs as tensors. A value without a type of its own gets that of the inputs it must agree with, or int32
    where the op takes only integers; an array is cast to it where that keeps its kind."""
    same_from = len(inputs) if definition.same_from is None else definition.same_from
    shared = _shared_type(inputs[same_from:])
    tensors = []
    for index, value in enumerate(inputs):
        wanted = shared if index >= same_from else None
        try:
            tensor = _convert(value, wanted, _types_of_input(definition, index), _input_name(definition, index))
        except TypeError as error:
            place = f"Input {_input_name(definition, index)!r} of {definition.type!r} Op"
            raise TypeError(f"{place}: {error}{_at_user_line()}") from None
        tensors.append(tensor)
    return tensors


def _shared_type(inputs: Sequence[Any]) -> DType | None:
    """The type that a group of inputs shares: that of the first tensor, or else of the first array."""
    typed = [(value, dtype) for value in inputs if (dtype := _own_type(value)) is not None]
    in_graph = (dtype for value, dtype in typed if not _is_array(value))
    return next(in_graph, typed[0][1] if typed else None)


def _is_array(value: Any) -> bool:
    return isinstance(value, (np.ndarray, np.generic))


def _own_type(value: Any) -> DType | None:
    """The type of a value that has one of its own, as Python numbers have not."""
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return None
    try:
        return dtypes.as_dtype(dtype).base_dtype
    except TypeError:
        return None


def _convert(value: Any, wanted: DType | None, allowed: frozenset[DType], name: str) -> Any:
    from flowc.framework.convert import convert_to_tensor

    own = _own_type(value)
    if own is not None and not _is_array(value):
        return convert_to_tensor(value)
    if own is not None:
        if wanted is None or own is wanted:
            return convert_to_tensor(value, own, name)
        if not np.can_cast(own.as_numpy_dtype, wanted.as_numpy_dtype, "same_kind"):
            raise TypeError(f"an array of {own.name} where {wanted.name} is expected: cast it first.")
        return convert_to_tensor(value, wanted, name)
    if wanted is None and allowed <= dtypes.INTEGER:
        wanted = dtypes.int32
    return convert_to_tensor(value, wanted, name)


def _check_types(definition: OpDef, types: Sequence[DType]) -> None:
    """Raises TypeError unless the op takes the types, and those that must agree do."""
    same_from = definition.same_from
    if same_from is not None and len(types) > same_from:
        shared = types[same_from]
        for index in range(same_from + 1, len(types)):
            if types[index] is not shared:
                raise TypeError(
                    f"Input {_input_name(definition, index)!r} of {definition.type!r} Op has type {types[index].name} "
                    f"that does not match type {shared.name} of argument {_input_name(definition, same_from)!r}."
                    f"{_at_user_line()}"
                )
        types = types[: same_from + 1]
    for index, dtype in enumerate(types):
        allowed = _types_of_input(definition, index)
        if dtype not in allowed:
            names = ", ".join(sorted(t.name for t in allowed))
            raise TypeError(
                f"DataType {dtype.name} for input {_input_name(definition, index)!r} of {definition.type!r} Op is not "
                f"in the list of allowed values: {names}{_at_user_line()}"
            )


def _types_of_input(definition: OpDef, index: int) -> frozenset[DType]:
    allowed = definition.allowed
    return allowed[min(index, len(allowed) - 1)] if isinstance(allowed, tuple) else allowed


def _input_name(definition: OpDef, index: int) -> str:
    """The input's name; the last name, numbered, for the inputs of a list."""
    names = definition.input_names
    if index < len(names):
        return names[index]
    return f"{names[-1] if names else 'input'}_{index - len(names) + 1}"
