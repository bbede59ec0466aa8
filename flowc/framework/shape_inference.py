"""Shapes of an operation that is being made, by its op type's shape rule, from what is known of its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from flowc.framework import source
from flowc.framework.constant_value import OperationLike, constant_value
from flowc.framework.dtypes import DType
from flowc.framework.registry import lookup, user_shape_rule
from flowc.framework.shape_rules import FailsWhenRun
from flowc.framework.shapes import TensorShape, as_shape


class BuildContext:
    """The ShapeContext of an operation that is being made."""

    __slots__ = ("_op",)

    def __init__(self, op: OperationLike) -> None:
        self._op = op

    @property
    def shapes(self) -> list[TensorShape]:
        return [t._shape for t in self._op._inputs]

    @property
    def dtypes(self) -> list[DType]:
        return [t._dtype._base for t in self._op._inputs]

    @property
    def attrs(self) -> Mapping[str, Any]:
        return self._op._attrs

    def value(self, index: int) -> np.ndarray[Any, Any] | None:
        return constant_value(self._op._inputs[index])


def infer_shapes(op: OperationLike) -> Sequence[TensorShape]:
    """What is known of the shapes of an operation's outputs; nothing, for a type without a shape rule.

    Raises ValueError, with the user's line, if the inputs do not fit.
    """
    definition = lookup(op._type)
    if definition is None:
        return _by_users_rule(op)
    try:
        shapes = definition.shape(BuildContext(op))
    except FailsWhenRun:
        return [t._shape for t in op._outputs]
    except ValueError as error:
        given = ", ".join(str(t._shape) for t in op._inputs)
        raise ValueError(
            f"{error}\n  op: {op._name} ({op._type}), input shapes: {given}{source.at_user_line()}"
        ) from None
    return _one_an_output(op, shapes)


def _by_users_rule(op: OperationLike) -> Sequence[TensorShape]:
    rule = user_shape_rule(op._type)
    return [t._shape for t in op._outputs] if rule is None else _one_an_output(op, rule(op))


def _one_an_output(op: OperationLike, shapes: Sequence[Any]) -> Sequence[TensorShape]:
    if len(shapes) != len(op._outputs):
        raise RuntimeError(f"The shape rule of {op._type!r} gave {len(shapes)} shapes for {len(op._outputs)} outputs.")
    return [shape if type(shape) is TensorShape else as_shape(shape) for shape in shapes]
