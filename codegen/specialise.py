"""From a graph to a program: the pruned operations with the shapes of this run, constants folded, each op lowered.

Variables become values here. A read sees the value from before the run, unless a data or control dependency puts it
after a write; a write's result is the new value; writes act in the order they were made. What each variable holds at
the end is one store of the program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final, NoReturn

import numpy as np

import flowc.codegen.lower  # noqa: F401  # registers the lowerings
from flowc.codegen.feed_spec import FeedSpec, NeedsComputedValue, NeedsFeedValues, NeedsSegments
from flowc.codegen.ir import Array, Node, Shape
from flowc.codegen.lower.registry import (
    OUTPUT,
    LoweredOp,
    UnknownValue,
    bounded_of,
    changed_inputs,
    lowering_of,
    size_rule,
    update_of,
)
from flowc.codegen.program import Program
from flowc.codegen.prune import needed_ops
from flowc.codegen.segments import Crossing, Seen, Segment, State, needs_segments, variable_named
from flowc.framework import registry
from flowc.framework.constant_value import values_from_shapes
from flowc.framework.dtypes import int64, string
from flowc.framework.errors import InvalidArgumentError, OpError, ResourceExhaustedError, UnimplementedError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.shapes import TensorShape

FOLD_LIMIT: Final = 1024  # elements up to which integers, which may be shapes, are computed while compiling
SHAPE_FEED_LIMIT: Final = 1024
MOST_ELEMENTS: Final = 1 << 47  # what a process can address: sizes in bytes stay far within an int64


def specialise(
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    segment: Segment | None = None,
) -> Program:
    """The program of a run, or of one `segment` of it, whose outputs take the place of `fetches`.

    Raises the public errors for a placeholder without a feed, an op without a kernel, and shapes that do not fit; and
    NeedsFeedValues and NeedsSegments.
    """
    if segment is not None:
        return _Specialiser(feeds, segment.ops, segment.order, segment.sizes).run_segment(segment)
    ops = needed_ops(fetches, targets, {f.tensor for f in feeds})
    if needs_segments(ops):
        raise NeedsSegments
    return _Specialiser(feeds, ops, ops, {}).run(fetches)


class _ConcreteContext:
    """The ShapeContext of an operation whose inputs' shapes and known values a run has fixed."""

    def __init__(self, op: Operation, shapes: list[TensorShape], values: Sequence[Array | None]) -> None:
        self.shapes, self._values = shapes, values
        self.dtypes = [t._dtype._base for t in op._inputs]
        self.attrs: Mapping[str, Any] = op._attrs
        self.asked: int | None = None

    def value(self, index: int) -> Array | None:
        value = self._values[index]
        if value is None:
            self.asked = index
        return value


class _Specialiser:
    def __init__(
        self,
        feeds: Sequence[FeedSpec],
        ops: Sequence[Operation],
        order: Sequence[Operation],
        sizes: Mapping[Operation, tuple[Shape, ...]],
    ) -> None:
        self.feeds, self.ops, self.sizes = feeds, ops, sizes
        self.program = Program()
        self.nodes: dict[Tensor, Node] = {}
        self.values: dict[Tensor, Array] = {}  # known while compiling
        self.shapes: dict[Tensor, Shape] = {}
        self.rows: dict[Tensor, tuple[Node, Node | None]] = {}  # bounded outputs: the array, and how many rows count
        self.variables = _VariableStates(self.program, order)

    def run(self, fetches: Sequence[Tensor]) -> Program:
        self._all_ops()
        self.program.fetches = [self._node(t) for t in fetches]
        self.program.stores = dict(self.variables.latest)
        return self.program

    def run_segment(self, segment: Segment) -> Program:
        for index, (state, shape) in enumerate(segment.states, len(self.feeds)):
            self.variables.restore(state, index, shape)
        self._all_ops()
        self.program.fetches = [node for crossing in segment.outputs for node in self._crossing(crossing)]
        if segment.commits:
            self.program.stores = dict(self.variables.latest)
        return self.program

    def _all_ops(self) -> None:
        for index, feed in enumerate(self.feeds):
            tensor = feed.tensor
            self.nodes[tensor] = self.program.feed(index, tensor._dtype._base, feed.shape)
            self.shapes[tensor] = feed.shape
            if feed.value is not None:
                self.values[tensor] = feed.value
        for op in self.ops:
            self.program.origin = op._name
            self._op(op)
        self.program.origin = ""

    def _crossing(self, crossing: Crossing) -> tuple[Node, ...]:
        if isinstance(crossing, Seen):
            return (self._argument(crossing.reader, crossing.reference),)
        if isinstance(crossing, State):
            return (self.variables.after(crossing),)
        if crossing in self.rows:
            node, count = self.rows[crossing]
            return node, self.program.const(node.shape[0], int64) if count is None else count
        return (self._node(crossing),)

    # -- one operation -------------------------------------------------------------------------------------------------

    def _op(self, op: Operation) -> None:
        special = _SPECIAL.get(op._type)
        if special is not None:
            special(self, op)
            return
        values = [self.values.get(t) for t in op._inputs]
        if bounded_of(op._type) is not None:
            self._lower(op, (), values)
            return
        shapes = self._output_shapes(op, values)
        for tensor, shape in zip(op._outputs, shapes, strict=True):
            if prod(shape) > MOST_ELEMENTS:
                self._too_large(tensor, shape)
            self.shapes.setdefault(tensor, shape)
        if self._fold(op, shapes, values):
            return
        self._lower(op, shapes, values)

    def _output_shapes(self, op: Operation, values: Sequence[Array | None]) -> list[Shape]:
        told = self.sizes.get(op)
        if told is not None:
            return list(told)
        static = [t._shape.tuple for t in op._outputs]
        if all(s is not None and None not in s for s in static) and _fits_already(op):
            return [tuple(d for d in s or () if d is not None) for s in static]
        rule = size_rule(op._type)
        if rule is not None:
            known = {index: values[index] for index in rule.inputs}
            sizes = {index: value for index, value in known.items() if value is not None}
            if len(sizes) == len(known):
                return list(rule.function(op._attrs, [self._shape(t) for t in op._inputs], sizes))
        definition = registry.lookup(op._type)
        if definition is None:
            self._unimplemented(op)
        context = _ConcreteContext(op, [TensorShape(self._shape(t)) for t in op._inputs], values)
        try:
            inferred = [
                TensorShape(s).merge_with(t._shape) for s, t in zip(definition.shape(context), op._outputs, strict=True)
            ]
        except ValueError as error:
            given = ", ".join(str(list(self._shape(t))) for t in op._inputs)
            raise InvalidArgumentError(op.node_def, op, f"{error} (input shapes in this run: {given})") from None
        if not all(s.is_fully_defined() for s in inferred):
            self._unknown(op, context.asked)
        return [tuple(d for d in s.tuple or () if d is not None) for s in inferred]

    def _shape(self, tensor: Tensor) -> Shape:
        shape = self.shapes.get(tensor)
        if shape is None:
            static = tensor._shape.tuple
            if static is None or None in static:
                self._no_fixed_shape(tensor)
            shape = tuple(d for d in static if d is not None)
        return shape

    def _fold(self, op: Operation, shapes: Sequence[Shape], values: Sequence[Array | None]) -> bool:
        """Computes the operation now, if its result is small and depends on nothing that a run brings."""
        known = values_from_shapes(op._type, op._attrs, [self._shape(t) for t in op._inputs])
        if known is None:
            if not op._inputs or any(v is None for v in values):
                return False
            if registry.lookup(op._type) is None or _is_stateful(op) or not _worth_folding(op, shapes, values):
                return False
            known = _evaluate(op, [v for v in values if v is not None], shapes)
        for tensor, value in zip(op._outputs, known, strict=True):
            if tensor not in self.nodes and value is not None:
                self.values[tensor] = np.asarray(value, tensor._dtype.as_numpy_dtype)
        return True

    def _node(self, tensor: Tensor) -> Node:
        """The node of a tensor; a variable's reference is read as it is before the run."""
        node = self.nodes.get(tensor)
        if node is None:
            value = self.values.get(tensor)
            if value is not None:
                node = self.nodes[tensor] = self.program.const(value, tensor._dtype._base)
            else:
                return self.variables.read(tensor, None)
        return node

    def _argument(self, op: Operation, tensor: Tensor) -> Node:
        if tensor in self.variables.names and tensor not in self.nodes:
            return self.variables.read(tensor, op)
        return self._node(tensor)

    def _lower(self, op: Operation, shapes: Sequence[Shape], values: Sequence[Array | None]) -> None:
        view = LoweredOp(op._name, op._type, op._attrs, shapes, [t._dtype._base for t in op._outputs], values)
        try:
            update = update_of(op._type)
            if update is not None:
                values_left = dict(update(self.program, view, *self._update_arguments(op)))
                output = values_left.pop(OUTPUT, None)
                if output is not None:
                    self.nodes.setdefault(op._outputs[0], output)
                self.variables.write(op, values_left)
                return
            rows = bounded_of(op._type)
            if rows is not None:
                found = rows(self.program, view, *(self._argument(op, t) for t in op._inputs))
                self.rows.update(zip(op._outputs, found, strict=True))
                return
            function = lowering_of(op._type)
            if function is None:
                self._unimplemented(op)
            result = function(self.program, view, *(self._argument(op, t) for t in op._inputs))
        except UnknownValue as unknown:
            self._unknown(op, unknown.index)
        except OpError as error:
            if error.op is None:
                raise type(error)(op.node_def, op, error.message) from None  # type: ignore[call-arg]
            raise
        results = [result] if isinstance(result, Node) else list(result)
        for tensor, node in zip(op._outputs, results, strict=True):
            self.nodes.setdefault(tensor, node)

    def _update_arguments(self, op: Operation) -> list[Node]:
        """The newest values of the variables that `op` changes, and what it sees of its other inputs."""
        changed = changed_inputs(op._type)
        variables = [self.variables.current(t) for t in op._inputs[:changed]]
        return variables + [self._argument(op, t) for t in op._inputs[changed:]]

    def _too_large(self, tensor: Tensor, shape: Shape) -> NoReturn:
        op = tensor._op
        message = f"{tensor.name!r} would have the shape {list(shape)}: {prod(shape):,} elements are more than fit."
        raise ResourceExhaustedError(op.node_def, op, message)

    def _no_fixed_shape(self, tensor: Tensor) -> NoReturn:
        op = tensor._op
        message = f"{tensor.name!r} has no fixed shape ({tensor._shape}), which flowc cannot compile yet."
        raise UnimplementedError(op.node_def, op, message)

    # -- what cannot be compiled ---------------------------------------------------------------------------------------

    def _unimplemented(self, op: Operation) -> NoReturn:
        types = ", ".join(t._dtype._base.name for t in op._inputs)
        message = f"flowc has no kernel for op type {op._type!r} ({types or 'no inputs'})."
        raise UnimplementedError(op.node_def, op, message)

    def _unknown(self, op: Operation, index: int | None) -> NoReturn:
        """The shapes of `op` depend on the value of its input: ask for the feeds behind it, or for the value."""
        sources = [op._inputs[index]] if index is not None else list(op._inputs)
        feeds = self._feeds_behind(sources)
        if feeds:
            raise NeedsFeedValues(feeds)
        computed = [t for t in sources if t not in self.values and (index is not None or t._dtype._base.is_integer)]
        if not computed or any(t in self.nodes and self.nodes[t].op == "input" for t in computed):
            message = f"The shapes of {op._name!r} do not follow from the values that this run has."
            raise UnimplementedError(op.node_def, op, message)
        raise NeedsComputedValue(op, computed)

    def _feeds_behind(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The small fed tensors that alone decide the values of `tensors`; none if anything else does, too."""
        given = {f.tensor: f for f in self.feeds}
        found: dict[Tensor, None] = {}
        seen: set[Tensor] = set()
        pending = list(tensors)
        while pending:
            tensor = pending.pop()
            if tensor in seen or tensor in self.values:
                continue
            seen.add(tensor)
            feed = given.get(tensor)
            if feed is not None:
                if feed.value is not None or (prod(feed.shape) > SHAPE_FEED_LIMIT and tensor not in tensors):
                    return []
                found[tensor] = None
            elif tensor._dtype.is_ref_dtype or (
                (definition := registry.lookup(tensor._op._type)) and definition.stateful
            ):
                return []
            else:
                pending.extend(tensor._op._inputs)
        return list(found)

    # -- operations without a lowering ---------------------------------------------------------------------------------

    def _const(self, op: Operation) -> None:
        if op._outputs[0] in self.nodes:  # fed, and here only as something that must run
            return
        self.values[op._outputs[0]] = op._attrs["value"]
        self.shapes[op._outputs[0]] = op._attrs["value"].shape

    def _placeholder(self, op: Operation) -> None:
        if op._outputs[0] in self.nodes:
            return
        tensor = op._outputs[0]
        shape = f" and shape {tensor._shape}" if tensor._shape.ndims else ""
        raise InvalidArgumentError(
            op.node_def,
            op,
            f"You must feed a value for placeholder tensor {op._name!r} with dtype {tensor._dtype.name}{shape}: "
            f"run(..., feed_dict={{{op._name}: value}}).",
        )

    def _nothing(self, op: Operation) -> None:
        pass


_SPECIAL: Final[dict[str, Callable[[_Specialiser, Operation], None]]] = {
    "Const": _Specialiser._const,
    "Placeholder": _Specialiser._placeholder,
    "Variable": _Specialiser._nothing,
    "NoOp": _Specialiser._nothing,
}


def _fits_already(op: Operation) -> bool:
    """Whether the shape rule saw all it needs when the operation was made: all shapes, and the values of what may be
    sizes or axes. Then a run has nothing to add."""
    return all(
        t._shape.is_fully_defined() and (t._op._type == "Const" or not t._dtype._base.is_integer) for t in op._inputs
    )


def _is_stateful(op: Operation) -> bool:
    definition = registry.lookup(op._type)
    return definition is not None and definition.stateful


def _worth_folding(op: Operation, shapes: Sequence[Shape], values: Sequence[Array | None]) -> bool:
    """Whether the result may be stored as a constant: if it is no larger than what it comes from, or may be a shape.

    A constant that grows with a batch (ones to start a gradient from) is rather filled in where it is used: stored, it
    would make other kernels of one batch size than of the next.
    """
    size = sum(prod(s) for s in shapes)
    if op._outputs and op._outputs[0]._dtype.is_integer and size <= FOLD_LIMIT:
        return True
    return size <= sum(v.size for v in values if v is not None)


def _evaluate(op: Operation, values: list[Array], shapes: Sequence[Shape]) -> list[Array]:
    from flowc.codegen.reference import evaluate

    try:
        return evaluate(op._type, op._attrs, [t._dtype._base for t in op._outputs], values)
    except OpError as error:
        raise type(error)(op.node_def, op, error.message) from None  # type: ignore[call-arg]


class _VariableStates:
    """The values that variables have at each point of a run."""

    def __init__(self, program: Program, ops: Sequence[Operation]) -> None:
        self.program = program
        self.names: dict[Tensor, Operation] = {}  # reference → its variable
        self.latest: dict[str, Node] = {}
        self._after: dict[Operation, dict[str, Node]] = {}  # a write → the values it left
        self._before_of: dict[Operation, int] = {}  # operation → the writes it depends on, as a bit set
        self._writes: list[Operation] = []
        for op in ops:
            if op._type == "Variable":
                self.names[op._outputs[0]] = op
            elif update_of(op._type) is not None and op._outputs:
                self.names[op._outputs[0]] = self.names.get(op._inputs[0]) or op._inputs[0]._op
        if any(update_of(op._type) is not None for op in ops):
            self._order(ops)

    def _order(self, ops: Sequence[Operation]) -> None:
        before = self._before_of
        for op in ops:
            mask = 0
            for tensor in op._inputs:
                mask |= before.get(tensor._op, 0)
            for control in op._control_inputs:
                mask |= before.get(control, 0)
            if update_of(op._type) is not None:
                mask |= 1 << len(self._writes)
                self._writes.append(op)
            before[op] = mask

    def _initial(self, variable: Operation) -> Node:
        shape = variable._outputs[0]._shape
        if not shape.is_fully_defined():
            message = f"Variable {variable._name!r} has no fixed shape ({shape}), which flowc cannot compile yet."
            raise UnimplementedError(variable.node_def, variable, message)
        if variable._outputs[0]._dtype._base is string:
            message = f"Variable {variable._name!r} holds strings, which flowc keeps in constants and feeds only."
            raise UnimplementedError(variable.node_def, variable, message)
        sizes = tuple(d for d in shape.tuple or () if d is not None)
        return self.program.variable(variable._name, variable._outputs[0]._dtype._base, sizes)

    def current(self, ref: Tensor) -> Node:
        """The newest value of a variable, for an operation that changes it."""
        variable = self.names[ref]
        return self.latest.get(variable._name) or self._initial(variable)

    def read(self, ref: Tensor, reader: Operation | None) -> Node:
        """The value that `reader` sees through a reference."""
        variable = self.names.get(ref)
        if variable is None:
            raise KeyError(ref.name)
        written = self._after.get(ref._op)
        if written is not None:
            return written[variable._name]
        mask = 0 if reader is None else self._before_of.get(reader, 0)
        while mask:
            newest = mask.bit_length() - 1
            values = self._after.get(self._writes[newest], {})
            if variable._name in values:
                return values[variable._name]
            mask ^= 1 << newest
        return self._initial(variable)

    def restore(self, state: State, feed: int, shape: Shape) -> None:
        """Notes what a write of an earlier segment left: feed number `feed`."""
        node = self.program.feed(feed, variable_named(state)._dtype._base, shape)
        self._after.setdefault(state.write, {})[state.variable] = node
        self.latest[state.variable] = node

    def after(self, state: State) -> Node:
        """What a write left in a variable."""
        return self._after[state.write][state.variable]

    def write(self, op: Operation, values: Mapping[int, Node]) -> None:
        """Notes the new values that `op` leaves, by the input that refers to the variable."""
        new = {self.names[op._inputs[i]]._name: self._fitted(op, op._inputs[i], node) for i, node in values.items()}
        self._after[op] = new
        self.latest.update(new)

    def _fitted(self, op: Operation, ref: Tensor, node: Node) -> Node:
        shape = self.names[ref]._outputs[0]._shape
        if shape.is_fully_defined() and shape.tuple != node.shape:
            message = f"Cannot assign a value of shape {list(node.shape)} to {ref.name!r} of shape {shape}."
            if op._attrs.get("validate_shape", True):
                raise InvalidArgumentError(op.node_def, op, message)
            raise UnimplementedError(op.node_def, op, f"{message} flowc's variables keep the shape they are made with.")
        return node
