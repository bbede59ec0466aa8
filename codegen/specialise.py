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
from flowc.codegen.feed_spec import (
    FeedSpec,
    NeedsComputedValue,
    NeedsFeedValues,
    NeedsSegments,
    NeedsStepping,
    VariableShapes,
)
from flowc.codegen.folding import folded
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
from flowc.codegen.refusals import feeds_behind, refuse_open_shape, refuse_too_large, refuse_without_kernel
from flowc.codegen.regions.conditionals import lower_conditional, not_valid, only_if
from flowc.codegen.regions.inside import Inside, NotNative, Uses, uses_of
from flowc.codegen.regions.loops import lower_loop
from flowc.codegen.segments import Crossing, Seen, Segment, State, needs_segments
from flowc.codegen.states import VariableStates
from flowc.framework import registry
from flowc.framework.arranging import arrange
from flowc.framework.constant_value import values_from_shapes
from flowc.framework.dtypes import int64
from flowc.framework.errors import InvalidArgumentError, OpError, UnimplementedError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import (
    CONTROL_FLOW,
    MERGES,
    SWITCHES,
    Conditional,
    Loop,
    Step,
    operations_of,
)
from flowc.framework.shapes import TensorShape

MOST_ELEMENTS: Final = 1 << 47  # what a process can address: sizes in bytes stay far within an int64


def specialise(
    fetches: Sequence[Tensor],
    targets: Sequence[Operation],
    feeds: Sequence[FeedSpec],
    segment: Segment | None = None,
    variables: VariableShapes | None = None,
) -> Program:
    """The program of a run, or of one `segment` of it, whose outputs take the place of `fetches`.

    `variables`: the shapes that variables have, where they are not those of the graph. Raises the public errors for a
    placeholder without a feed, an op without a kernel, and shapes that do not fit; and NeedsFeedValues,
    NeedsVariableShapes and NeedsSegments.
    """
    if segment is not None:
        part = _Specialiser(feeds, segment.ops, segment.order, segment.sizes, present=variables)
        part.uses = uses_of(segment.order, [])
        return part.run_segment(segment)
    fed = {f.tensor for f in feeds}
    ops = needed_ops(fetches, targets, fed)
    if needs_segments(ops):
        raise NeedsSegments
    steps = arrange(ops, fed)
    root = _Specialiser(feeds, steps, steps, {}, present=variables)
    root.uses = uses_of(steps, fetches)
    return root.run(fetches)


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
        steps: Sequence[Step],
        order: Sequence[Step],
        sizes: Mapping[Operation, tuple[Shape, ...]],
        outer: _Specialiser | None = None,
        inside: Inside | None = None,
        present: VariableShapes | None = None,
    ) -> None:
        """For `steps` of a run that are in this `order` with others.

        outer, inside: for steps of a branch or a loop, what is around it, and how they see that.
        """
        self.feeds, self.steps, self.sizes, self.outer, self.inside = feeds, steps, sizes, outer, inside
        self.program = Program() if inside is None else inside.program
        self.nodes: dict[Tensor, Node] = {}
        self.values: dict[Tensor, Array] = {}  # known while compiling
        self.shapes: dict[Tensor, Shape] = {}
        self.aliases: dict[Tensor, Tensor] = {}  # tensors that are others by another name
        self.rows: dict[Tensor, tuple[Node, Node | None]] = {}  # bounded outputs: the array, and how many rows count
        self.uses: Uses = {} if outer is None else outer.uses
        self.choices: dict[Tensor, tuple[Node, bool]] = {}  # tensors of one side of a condition
        self.dead: set[Tensor] = set()  # tensors of a side that no run takes
        self.variables: VariableStates = (
            VariableStates(self.program, order, shapes=present)
            if outer is None or inside is None
            else VariableStates(self.program, order, outer.variables, inside.variable)
        )

    def run(self, fetches: Sequence[Tensor]) -> Program:
        self._all_ops()
        self.program.fetches = [self._fetched(t) for t in fetches]
        self.program.stores = self.variables.stores()
        return self.program

    def run_segment(self, segment: Segment) -> Program:
        for index, (state, shape) in enumerate(segment.states, len(self.feeds)):
            self.variables.restore(state, index, shape)
        self._all_ops()
        self.program.fetches = [node for crossing in segment.outputs for node in self._crossing(crossing)]
        if segment.commits:
            self.program.stores = self.variables.stores()
        return self.program

    def _all_ops(self) -> None:
        for index, feed in enumerate(self.feeds):
            tensor = feed.tensor
            self.nodes[tensor] = self.program.feed(index, tensor._dtype._base, feed.shape)
            self.shapes[tensor] = feed.shape
            if feed.value is not None:
                self.values[tensor] = feed.value
        self.run_steps()
        self.program.origin = ""

    def _crossing(self, crossing: Crossing) -> tuple[Node, ...]:
        if isinstance(crossing, Seen):
            return (self.argument(crossing.reader, crossing.reference),)
        if isinstance(crossing, State):
            return (self.variables.after(crossing),)
        if crossing in self.rows:
            node, count = self.rows[crossing]
            return node, self.program.const(node.shape[0], int64) if count is None else count
        return (self.node(crossing),)

    def _fetched(self, tensor: Tensor) -> Node:
        self.program.origin = tensor._op._name
        choice = self.choices.get(tensor)
        if tensor in self.dead:
            raise InvalidArgumentError(None, tensor._op, not_valid(tensor))
        if choice is None and tensor._op._type in SWITCHES and tensor not in self.nodes:
            choice = self.node(tensor._op._inputs[1]), tensor._value_index == 1
        if choice is not None:
            return only_if(self.program, self.argument(None, tensor), *choice, tensor)
        return self.argument(None, tensor)

    # -- steps ---------------------------------------------------------------------------------------------------------

    def run_steps(self) -> None:
        """Does all steps."""
        for step in self.steps:
            if isinstance(step, Operation):
                self.program.origin = step._name
                self._op(step)
            else:
                self._region(step)

    def _region(self, step: Conditional | Loop) -> None:
        try:
            if isinstance(step, Loop):
                lower_loop(self, step)
            else:
                lower_conditional(self, step)
        except (NotNative, NeedsComputedValue) as reason:
            if self.outer is not None:  # the loop or the conditional around it cannot either
                raise NotNative from reason
            feeds = [] if isinstance(step, Loop) else feeds_behind([step.pred], self.feeds, self)
            if feeds:
                raise NeedsFeedValues(feeds) from None
            raise NeedsStepping(step.ops[0]) from None

    def seen_by(self, step: Step, ref: Tensor) -> Node:
        """The value of a variable that a step sees through a reference."""
        return self.argument(operations_of(step)[0], ref)

    def within(self, steps: Sequence[Step], inside: Inside) -> _Specialiser:
        """What does the steps of a branch or a loop."""
        return _Specialiser(self.feeds, steps, steps, self.sizes, self, inside)

    # -- one operation -------------------------------------------------------------------------------------------------

    def _op(self, op: Operation) -> None:
        special = _SPECIAL.get(op._type)
        if special is not None:
            special(self, op)
            return
        values = [self.value(t) for t in op._inputs]
        if bounded_of(op._type) is not None:
            self._lower(op, (), values)
            return
        shapes = self._output_shapes(op, values)
        for tensor, shape in zip(op._outputs, shapes, strict=True):
            if prod(shape) > MOST_ELEMENTS:
                refuse_too_large(tensor, shape)
            self.shapes.setdefault(tensor, shape)
        if self._fold(op, shapes, values):
            return
        self._lower(op, shapes, values)

    def _output_shapes(self, op: Operation, values: Sequence[Array | None]) -> list[Shape]:
        told = self.sizes.get(op)
        if told is not None:
            return list(told)
        static = [t._shape.tuple for t in op._outputs]
        graph_tells = self.variables.are_as_in_graph
        if graph_tells and all(s is not None and None not in s for s in static) and _fits_already(op):
            return [tuple(d for d in s or () if d is not None) for s in static]
        rule = size_rule(op._type, op._attrs)
        if rule is not None:
            known = {index: values[index] for index in rule.inputs}
            sizes = {index: value for index, value in known.items() if value is not None}
            if len(sizes) == len(known):
                return list(rule.function(op._attrs, [self.shape(t) for t in op._inputs], sizes))
        definition = registry.lookup(op._type)
        if definition is None:
            refuse_without_kernel(op)
        given_shapes = [self._given(op, index) for index in range(len(op._inputs))]
        context = _ConcreteContext(op, given_shapes, values)
        try:
            inferred = [TensorShape(s) for s in definition.shape(context)]
            if graph_tells:
                inferred = [s.merge_with(t._shape) for s, t in zip(inferred, op._outputs, strict=True)]
        except ValueError as error:
            given = ", ".join("unknown" if s.tuple is None else str(list(s.tuple)) for s in given_shapes)
            raise InvalidArgumentError(None, op, f"{error} (input shapes in this run: {given})") from None
        if not all(s.is_fully_defined() for s in inferred):
            self._unknown(op, context.asked)
        return [tuple(d for d in s.tuple or () if d is not None) for s in inferred]

    def _given(self, op: Operation, index: int) -> TensorShape:
        """The shape of an input as `op` sees it; unknown for a variable without a value that it assigns to."""
        tensor, variables = op._inputs[index], self.variables
        if tensor in self.nodes or not variables.may_change_shape(tensor):
            return TensorShape(self.shape(tensor))
        if update_of(op._type) is None or index >= changed_inputs(op._type):
            return TensorShape(self.argument(op, tensor).shape)
        return TensorShape(variables.newest_shape(tensor) if op._type == "Assign" else variables.current(tensor).shape)

    def alias(self, tensor: Tensor) -> Tensor:
        """The tensor that this one is by another name."""
        while tensor in self.aliases:
            tensor = self.aliases[tensor]
        return tensor

    def value(self, tensor: Tensor) -> Array | None:
        """What is known of a tensor's value before the run."""
        tensor = self.alias(tensor)
        value = self.values.get(tensor)
        if value is None and self.outer is not None and tensor not in self.nodes:
            return self.outer.value(tensor)
        return value

    def shape(self, tensor: Tensor) -> Shape:
        """The tensor's shape in this run."""
        tensor = self.alias(tensor)
        shape = self.shapes.get(tensor)
        if shape is None and self.outer is not None:
            return self.outer.shape(tensor)
        if shape is None and tensor._op._type == "Variable":
            shape = self.variables.shape_before(tensor._op)
        if shape is None:
            static = tensor._shape.tuple
            if static is None or None in static:
                refuse_open_shape(tensor)
            shape = tuple(d for d in static if d is not None)
        return shape

    def _fold(self, op: Operation, shapes: Sequence[Shape], values: Sequence[Array | None]) -> bool:
        """Computes the operation now, if its result is small and depends on nothing that a run brings."""
        if update_of(op._type) is not None:
            return False
        given = (self._given(op, index).tuple for index in range(len(op._inputs)))
        known = values_from_shapes(op._type, op._attrs, given)
        if known is None:
            known = folded(op, shapes, values)
        if known is None:
            return False
        for tensor, value in zip(op._outputs, known, strict=True):
            if tensor not in self.nodes and value is not None:
                self.values[tensor] = np.asarray(value, tensor._dtype.as_numpy_dtype)
        return True

    def node(self, tensor: Tensor) -> Node:
        """The node of a tensor; a variable's reference is read as it is before the run."""
        tensor = self.alias(tensor)
        node = self.nodes.get(tensor)
        if node is None:
            value = self.value(tensor)
            if value is not None:
                node = self.nodes[tensor] = self.program.const(value, tensor._dtype._base)
            elif self.outer is not None and self.inside is not None:
                node = self.nodes[tensor] = self.inside.captured(self.outer.node(tensor))
            else:
                return self._read(tensor)
        return node

    def _read(self, tensor: Tensor) -> Node:
        try:
            return self.variables.read(tensor, None)
        except KeyError:
            message = f"{tensor.name!r} is inside a loop: only what an Exit gives can be used outside of it."
            raise InvalidArgumentError(None, tensor._op, message) from None

    def argument(self, op: Operation | None, tensor: Tensor) -> Node:
        """The tensor's node as `op` sees it: a variable's reference as the value that is there by then."""
        if tensor in self.variables.names and tensor not in self.nodes:
            return self.variables.read(tensor, op)
        return self.node(tensor)

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
                found = rows(self.program, view, *(self.argument(op, t) for t in op._inputs))
                self.rows.update(zip(op._outputs, found, strict=True))
                return
            function = lowering_of(op._type)
            if function is None:
                refuse_without_kernel(op)
            result = function(self.program, view, *(self.argument(op, t) for t in op._inputs))
        except UnknownValue as unknown:
            self._unknown(op, unknown.index)
        except OpError as error:
            if error.op is None:
                raise type(error)(None, op, error.message) from None  # type: ignore[call-arg]
            raise
        results = [result] if isinstance(result, Node) else list(result)
        for tensor, node in zip(op._outputs, results, strict=True):
            self.nodes.setdefault(tensor, node)

    def _update_arguments(self, op: Operation) -> list[Node | None]:
        """The newest values of the variables that `op` changes, and what it sees of its other inputs."""
        changed = changed_inputs(op._type)
        others = [self.argument(op, t) for t in op._inputs[changed:]]
        if op._type == "Assign":  # whatever the value was, if there was one
            return [None, *others]
        return [*(self.variables.current(t) for t in op._inputs[:changed]), *others]

    # -- what is not known ---------------------------------------------------------------------------------------------

    def _unknown(self, op: Operation, index: int | None) -> NoReturn:
        """The shapes of `op` depend on the value of its input: ask for the feeds behind it, or for the value."""
        sources = [op._inputs[index]] if index is not None else list(op._inputs)
        feeds = feeds_behind(sources, self.feeds, self)
        if feeds:
            raise NeedsFeedValues(feeds)
        computed = [t for t in sources if self.value(t) is None and (index is not None or t._dtype._base.is_integer)]
        if not computed or any(t in self.nodes and self.nodes[t].op == "input" for t in computed):
            message = f"The shapes of {op._name!r} do not follow from the values that this run has."
            raise UnimplementedError(None, op, message)
        raise NeedsComputedValue(op, computed)

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
            None,
            op,
            f"You must feed a value for placeholder tensor {op._name!r} with dtype {tensor._dtype.name}{shape}: "
            f"run(..., feed_dict={{{op._name}: value}}).",
        )

    def _nothing(self, op: Operation) -> None:
        pass

    def _passed_on(self, op: Operation) -> None:
        """What loops and branches are made of only says where values go."""
        for tensor in op._outputs:
            if tensor not in self.nodes and tensor not in self.aliases:
                self.aliases[tensor] = op._inputs[0]

    def _merge(self, op: Operation) -> None:
        """A Merge that no condition decides: a loop variable, which is known here, or of inputs that all come."""
        output, index = op._outputs
        if output not in self.nodes and output not in self.values:
            self.aliases[output] = op._inputs[0]
        self.values[index] = np.array(0, np.int32)


_SPECIAL: Final[dict[str, Callable[[_Specialiser, Operation], None]]] = {
    "Const": _Specialiser._const,
    "Placeholder": _Specialiser._placeholder,
    "Variable": _Specialiser._nothing,
    "NoOp": _Specialiser._nothing,
    "ControlTrigger": _Specialiser._nothing,
    **dict.fromkeys(CONTROL_FLOW - MERGES, _Specialiser._passed_on),
    **dict.fromkeys(MERGES, _Specialiser._merge),
}


def _fits_already(op: Operation) -> bool:
    """Whether the shape rule saw all it needs when the operation was made: all shapes, and the values of what may be
    sizes or axes. Then a run has nothing to add."""
    return all(
        t._shape.is_fully_defined() and (t._op._type == "Const" or not t._dtype._base.is_integer) for t in op._inputs
    )
