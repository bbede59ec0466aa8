"""How each op type is computed: one function an op, written once for all targets.

    @lowering("Softmax")
    def softmax(p, op, x):
        shifted = p.map("sub", x, p.reduce("max", x, [-1], keep_dims=True))
        ...

A lowering gets the `Program` to build in, the operation (`LoweredOp`) and one node an input; it returns one node an
output. An `update` gets the present values of the variables it changes, and returns their new ones by input index; the
op's output stands for the first of them, unless the update returns another value for it, as `OUTPUT`.

Some output shapes depend on what a run computes. The run is then cut in two before the op's readers:
- `@sized("SegmentSum", inputs=(1,))` marks a function that tells the output shapes from the values of these inputs,
  which the first part computes; the second part is compiled for those shapes with the op's ordinary lowering.
- `@bounded("Where")` marks a lowering for the largest shape that can come out. It returns one (node, count) an output:
  the output is the node's first `count` rows (count: an int64 scalar node), or all of them where count is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flowc.codegen.ir import Array, Node, Shape
from flowc.framework.dtypes import DType

OUTPUT: Final = -1  # in what an update returns: the value of the op's output


@dataclass(frozen=True)
class LoweredOp:
    """An operation as its lowering sees it: with concrete shapes, and whichever input values are known."""

    name: str
    type: str
    attrs: Mapping[str, Any]
    shapes: Sequence[Shape]  # of the outputs
    dtypes: Sequence[DType]  # of the outputs, base types
    values: Sequence[Array | None]  # of the inputs, where known before the run

    def known(self, index: int) -> Array:
        """The value of input `index`, which must be known before the run (as a shape or an axis must)."""
        value = self.values[index]
        if value is None:
            raise UnknownValue(index)
        return value


class UnknownValue(Exception):
    """A lowering needs an input's value, and it is only known while running."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.index = index


Lowering = Callable[..., Node | Sequence[Node]]
Update = Callable[..., Mapping[int, Node]]
Bounded = Callable[..., Sequence[tuple[Node, Node | None]]]
Sizes = Callable[[Mapping[str, Any], Sequence[Shape], Mapping[int, Array]], Sequence[Shape]]
SizedInputs = tuple[int, ...] | Callable[[Mapping[str, Any]], tuple[int, ...]]


@dataclass(frozen=True)
class SizeRule:
    """How an op's output shapes follow from values: `function` (attrs, input shapes, values by input) of `inputs`."""

    inputs: tuple[int, ...]
    function: Sizes


_lowerings: dict[str, Lowering] = {}
_updates: dict[str, Update] = {}
_variable_counts: dict[str, int] = {}
_bounded: dict[str, Bounded] = {}
_sizes: dict[str, tuple[SizedInputs, Sizes]] = {}


def lowering(*op_types: str) -> Callable[[Lowering], Lowering]:
    """Decorator: the function lowers these op types."""

    def register(function: Lowering) -> Lowering:
        _claim(op_types)
        _lowerings.update(dict.fromkeys(op_types, function))
        return function

    return register


def update(*op_types: str, variables: int = 1) -> Callable[[Update], Update]:
    """Decorator: the function computes the new values of what these op types change: their first `variables` inputs."""

    def register(function: Update) -> Update:
        _claim(op_types)
        _updates.update(dict.fromkeys(op_types, function))
        _variable_counts.update(dict.fromkeys(op_types, variables))
        return function

    return register


def bounded(*op_types: str) -> Callable[[Bounded], Bounded]:
    """Decorator: the function lowers these op types, whose outputs have as many rows as a run finds."""

    def register(function: Bounded) -> Bounded:
        _claim(op_types)
        _bounded.update(dict.fromkeys(op_types, function))
        return function

    return register


def sized(*op_types: str, inputs: SizedInputs) -> Callable[[Sizes], Sizes]:
    """Decorator: the function (attrs, input shapes, {input: value}) gives these ops' output shapes.

    `inputs` are those whose values it gets, or a function of the attributes that tells them. An op of these types has a
    `lowering`, too.
    """

    def register(function: Sizes) -> Sizes:
        _sizes.update(dict.fromkeys(op_types, (inputs, function)))
        return function

    return register


def _claim(op_types: Sequence[str]) -> None:
    for op_type in op_types:
        if op_type in _lowerings or op_type in _updates or op_type in _bounded:
            raise KeyError(f"op type {op_type!r} is lowered twice")


def lowering_of(op_type: str) -> Lowering | None:
    """The function that lowers an op type, or None."""
    return _lowerings.get(op_type)


def update_of(op_type: str) -> Update | None:
    """The function that computes an op type's variable updates, or None if it changes no variable."""
    return _updates.get(op_type)


def bounded_of(op_type: str) -> Bounded | None:
    """The function that lowers an op type to the largest shapes that can come out, or None."""
    return _bounded.get(op_type)


def size_rule(op_type: str, attrs: Mapping[str, Any]) -> SizeRule | None:
    """How the output shapes of an op with these attributes follow from input values, or None if they do not."""
    found = _sizes.get(op_type)
    if found is None:
        return None
    inputs, function = found
    return SizeRule(inputs(attrs) if callable(inputs) else inputs, function)


def changed_inputs(op_type: str) -> int:
    """How many of an update's first inputs are the variables that it changes."""
    return _variable_counts[op_type]


def lowered_types() -> frozenset[str]:
    """All op types that can be computed."""
    return frozenset(_lowerings) | frozenset(_updates) | frozenset(_bounded)
