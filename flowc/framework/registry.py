"""The registry of op types: what each is called, takes and gives, its shape rule and its gradient.

An op is one block in `flowc/ops/<family>.py`:

    define("Tanh", shape=shape_rules.unchanged, allowed=FLOATING, inputs="x")

    def tanh(x, name=None):
        \"\"\"...\"\"\"
        return apply("Tanh", [x], name=name)

    @gradient("Tanh")
    def _tanh_grad(op, grad):
        y = op.outputs[0]
        return grad * (1 - y * y)

and one function in `flowc/codegen/lower/<family>.py` that says how it is computed. `apply` is of
`flowc.framework.building`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from flowc.framework import dtypes
from flowc.framework.dtypes import DType
from flowc.framework.shapes import TensorShape


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


ShapeRule = Callable[[ShapeContext], Sequence[Any]]  # one an output: a TensorShape, or what converts to one
UserShapeRule = Callable[[Any], Sequence[Any]]  # of the operation
TypeRule = Callable[[Sequence[DType], Mapping[str, Any]], Sequence[DType]]
GradientFunction = Callable[..., Any]


@dataclass(eq=False)
class OpDef:
    """What is known of an op type: what `define` was told, whose arguments the fields are."""

    type: str
    shape: ShapeRule
    allowed: frozenset[DType] | tuple[frozenset[DType], ...] = dtypes.ANY
    result: DType | TypeRule | None = None
    same_from: int | None = None
    stateful: bool = False
    input_names: tuple[str, ...] = ()
    type_attrs: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    accepted: set[tuple[int, ...]] = field(default_factory=set, repr=False)  # enums of input types found right before

    @property
    def name(self) -> str:
        """The op type, as an OpDef message calls it."""
        return self.type

    @property
    def arity(self) -> int | None:
        """How many inputs an operation of the type has, or None if any number."""
        return None if any("*" in word for word in self.type_attrs) else len(self.input_names)

    def attributes(self, types: Sequence[DType]) -> dict[str, Any]:
        """The attributes that say the types (and for a list the number) of inputs, for inputs of base types `types`."""
        found: dict[str, Any] = {}
        start = 0
        lists = sum("*" in word for word in self.type_attrs)
        for word in self.type_attrs:
            count = (len(types) - len(self.type_attrs) + lists) // lists if "*" in word else 1
            number, star, name = word.rpartition("*")
            own, start = types[start : start + count], start + count
            if number:
                found[number] = len(own)
            if name != "-" and own:
                found[name] = list(own) if star and not number else own[0]
        return found


@dataclass(frozen=True)
class GradientRule:
    """How to differentiate an op type: `function` (op, *output gradients) gives the gradients of the inputs.

    An output that nothing depends on has the gradient None; with `wants_zeros`, the function gets zeros in its place.
    """

    function: GradientFunction
    wants_zeros: bool = False


_ops: dict[str, OpDef] = {}
_user_shape_rules: dict[str, UserShapeRule] = {}  # of op types that are not defined here
_gradients: dict[str, GradientRule | None] = {}


def define(
    type: str,
    *,
    shape: ShapeRule,
    allowed: frozenset[DType] | tuple[frozenset[DType], ...] = dtypes.ANY,
    same_from: int | None = None,
    result: DType | TypeRule | None = None,
    stateful: bool = False,
    inputs: str = "x y",
    type_attrs: str | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> OpDef:
    """Registers an op type.

    shape: the shape rule, a function of a ShapeContext that returns one shape an output.
    allowed: the types of its inputs. A set: all inputs share one type of it. A tuple: one set an input, the last one
        for all that follow, each free.
    same_from: with a tuple, the inputs from this index on share one type.
    result: the outputs' types: one type, or a function (input types, attributes) -> list; by default the first input's.
    stateful: it has an effect or gives another value each time; it is never folded, shared or dropped when asked for.
    inputs: the inputs' names, for messages and for the constants that values given as inputs become.
    type_attrs: the attributes that say the inputs' types, in the inputs' order: "Tparams Tindices". `-`: none says it;
        `N*T`: a list of N inputs of one type T; `*T`: a list of inputs, whose types are the list T. By default "T" for
        inputs of one type, and for the first one where each has types of its own.
    attrs: what other attributes are where a graph definition does not say.
    """
    if type in _ops:
        raise ValueError(f"op type {type!r} is defined twice")
    if isinstance(allowed, frozenset):
        same_from = 0
    names = tuple(inputs.split())
    words = (type_attrs or _usual_type_attrs(names, isinstance(allowed, frozenset))).split()
    _ops[type] = OpDef(type, shape, allowed, result, same_from, stateful, names, tuple(words), dict(attrs or {}))
    return _ops[type]


def _usual_type_attrs(names: Sequence[str], are_one_type: bool) -> str:
    return " ".join("T" if are_one_type or index == 0 else "-" for index in range(len(names)))


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
            _register_gradient(op_type, GradientRule(function))
        return function

    return register


def not_differentiable(*op_types: str) -> None:
    """These op types have no gradient: their outputs are constant with respect to their inputs, or undefined."""
    for op_type in op_types:
        _register_gradient(op_type, None)


def _register_gradient(op_type: str, rule: GradientRule | None) -> None:
    if op_type in _gradients:
        raise KeyError(f"Registering two gradients for op type {op_type!r}!")
    _gradients[op_type] = rule


def gradient_rule(op_type: str) -> GradientRule | None:
    """How to differentiate an op type, None if it is not differentiable; KeyError if nothing is registered."""
    return _gradients[op_type]


def has_gradient_entry(op_type: str) -> bool:
    """Whether an op type has a gradient, or says that it has none."""
    return op_type in _gradients


# -- what users register, by the API's names ---------------------------------------------------------------------------


def _checked_name(op_type: Any) -> str:
    if not isinstance(op_type, str):
        raise TypeError("op_type must be a string")
    return op_type


class RegisterGradient:
    """Decorator `@tf.RegisterGradient("MyOp")` for a function (op, *grads) -> input gradients.

    The function gets zeros for an output that nothing depends on, where `gradient`'s get None.
    """

    def __init__(self, op_type: str) -> None:
        self._op_type = _checked_name(op_type)

    def __call__(self, function: GradientFunction) -> GradientFunction:
        _register_gradient(self._op_type, GradientRule(function, wants_zeros=True))
        return function


def NoGradient(op_type: str) -> None:
    """Says that an op type is not differentiable."""
    not_differentiable(_checked_name(op_type))


class RegisterShape:
    """Decorator `@tf.RegisterShape("MyOp")` for a function op -> list of TensorShape, one an output."""

    def __init__(self, op_type: str) -> None:
        self._op_type = _checked_name(op_type)

    def __call__(self, function: UserShapeRule) -> UserShapeRule:
        if self._op_type in _user_shape_rules or self._op_type in _ops:
            raise KeyError(f"Registering two shape functions for op type {self._op_type!r}!")
        _user_shape_rules[self._op_type] = function
        return function


def user_shape_rule(op_type: str) -> UserShapeRule | None:
    """What `RegisterShape` was given for an op type, or None."""
    return _user_shape_rules.get(op_type)
