"""What variables hold at each point of a run: a read sees the value from before the run, unless it depends on a write.

A loop or a conditional counts as one write of all that its operations may change; within it, their own order counts.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence

from flowc.codegen.feed_spec import NeedsVariableShapes, VariableShapes
from flowc.codegen.ir import Node, Shape
from flowc.codegen.lower.registry import changed_inputs, update_of
from flowc.codegen.plan import RESHAPED
from flowc.codegen.program import Program
from flowc.codegen.segments import State, variable_named
from flowc.framework.dtypes import string
from flowc.framework.errors import FailedPreconditionError, InvalidArgumentError, UnimplementedError
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import CONTROL_FLOW, Step, operations_of

Source = Callable[[Tensor], Node]  # from a variable's reference to the value that is there before a region


class VariableStates:
    """The values that variables have in a run, or in a part of one that has states `outer` and starts with `start`."""

    def __init__(
        self,
        program: Program,
        steps: Sequence[Step],
        outer: VariableStates | None = None,
        start: Source | None = None,
        shapes: VariableShapes | None = None,
    ) -> None:
        """`shapes`: those that variables have before the run, where the graph does not tell, or tells others."""
        self.program, self.outer, self._start = program, outer, start
        self.shapes: VariableShapes = (shapes or {}) if outer is None else outer.shapes
        known: MutableMapping[Tensor, Operation] = {} if outer is None else outer.names
        self.names: MutableMapping[Tensor, Operation] = known if outer is None else ChainMap({}, known)
        self.latest: dict[str, Node] = {}
        self._after: dict[Step, dict[str, Node]] = {}  # a write → the values it left
        self._before_of: dict[Operation, int] = {}  # operation → the writes it depends on, as a bit set
        self._writes: list[Step] = []
        for step in steps:
            for op in operations_of(step):
                self._name(op)
        self.are_as_in_graph = self._as_in_graph()  # no variable has another shape now than the graph says
        if any(update_of(op._type) is not None for step in steps for op in operations_of(step)):
            self._order(steps)

    def _name(self, op: Operation) -> None:
        """Notes which variable the operation's outputs refer to."""
        if op._type == "Variable":
            self.names[op._outputs[0]] = op
        elif update_of(op._type) is not None and op._outputs:
            self.names[op._outputs[0]] = self.names.get(op._inputs[0]) or op._inputs[0]._op
        elif op._type in CONTROL_FLOW and op._inputs[0] in self.names:
            for tensor in op._outputs:
                if tensor._dtype.is_ref_dtype:
                    self.names[tensor] = self.names[op._inputs[0]]

    def _order(self, steps: Sequence[Step]) -> None:
        before = self._before_of
        for step in steps:
            mask = 0
            for op in operations_of(step):
                for tensor in op._inputs:
                    mask |= before.get(tensor._op, 0)
                for control in op._control_inputs:
                    mask |= before.get(control, 0)
            if any(update_of(op._type) is not None for op in operations_of(step)):
                mask |= 1 << len(self._writes)
                self._writes.append(step)
            before.update(dict.fromkeys(operations_of(step), mask))

    def changed_by(self, step: Step) -> dict[str, Tensor]:
        """The variables that a step may change: references by name, in an order."""
        found: dict[str, Tensor] = {}
        for op in operations_of(step):
            if update_of(op._type) is not None:
                for ref in op._inputs[: changed_inputs(op._type)]:
                    variable = self.variable(ref)
                    found[variable._name] = variable._outputs[0]
        return found

    def variable(self, ref: Tensor) -> Operation:
        """The variable that a reference refers to; one that a region inside passes on is not in `names`."""
        while ref not in self.names:
            ref = ref._op._inputs[0]
        return self.names[ref]

    def _initial(self, ref: Tensor) -> Node:
        if self._start is not None:
            return self._start(ref)
        variable = self.names[ref]
        sizes = self.shape_before(variable)
        if variable._outputs[0]._dtype._base is string:
            message = f"Variable {variable._name!r} holds strings, which flowc keeps in constants and feeds only."
            raise UnimplementedError(None, variable, message)
        if sizes is None:
            message = f"Attempting to use uninitialized value {variable._name}"
            raise FailedPreconditionError(None, variable, message)
        return self.program.variable(variable._name, variable._outputs[0]._dtype._base, sizes)

    def shape_before(self, variable: Operation) -> Shape | None:
        """The shape that a variable has before the run; None if it has no value, nor a fixed shape."""
        static = variable._outputs[0]._shape
        if variable._name not in self.shapes and not static.is_fully_defined():
            raise NeedsVariableShapes([variable._name])
        present = self.shapes.get(variable._name)
        if present is not None or not static.is_fully_defined():
            return present
        return tuple(d for d in static.tuple or () if d is not None)

    def may_change_shape(self, ref: Tensor) -> bool:
        """Whether it refers to a variable whose shape the graph does not tell for good."""
        variable = self.names.get(ref)
        if variable is None:
            return False
        return variable._name in self.shapes or not variable._outputs[0]._shape.is_fully_defined()

    def newest_shape(self, ref: Tensor) -> Shape | None:
        """The shape of a variable's newest value; None if it has none, nor a fixed shape."""
        newest = self.latest.get(self.names[ref]._name)
        return self.shape_before(self.names[ref]) if newest is None else newest.shape

    def _as_in_graph(self) -> bool:
        if self.outer is not None or not self.shapes:
            return self.outer is None or self.outer.are_as_in_graph
        declared = {op._name: op._outputs[0]._shape for op in self.names.values()}
        return all(s is None or n not in declared or declared[n].is_compatible_with(s) for n, s in self.shapes.items())

    def stores(self) -> dict[str, Node]:
        """What variables hold after the run: under another name where the run also reads what had another shape."""
        read = {n.attr[1]: n.shape for n in self.program.nodes if n.op == "input" and n.attr[0] == "variable"}
        return {
            name if read.get(name, node.shape) == node.shape else name + RESHAPED: node
            for name, node in self.latest.items()
        }

    def current(self, ref: Tensor) -> Node:
        """The newest value of a variable, for an operation that changes it."""
        variable = self.names[ref]
        return self.latest.get(variable._name) or self._initial(variable._outputs[0])

    def read(self, ref: Tensor, reader: Operation | None) -> Node:
        """The value that `reader` sees through a reference."""
        variable = self.names.get(ref)
        if variable is None:
            raise KeyError(ref.name)
        source = _passed_on(ref)
        written = self._after.get(source._op)
        if written is not None:
            return written[variable._name]
        mask = 0 if reader is None else self._before_of.get(reader, 0)
        while mask:
            newest = mask.bit_length() - 1
            values = self._after.get(self._writes[newest], {})
            if variable._name in values:
                return values[variable._name]
            mask ^= 1 << newest
        return self._initial(source)

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
        self.leave(op, {self.names[op._inputs[i]]._name: self._fitted(op, op._inputs[i], n) for i, n in values.items()})

    def leave(self, step: Step, values: Mapping[str, Node]) -> None:
        """Notes the new values that a step leaves, by the variable's name."""
        self._after[step] = dict(values)
        self.latest.update(values)

    def _fitted(self, op: Operation, ref: Tensor, node: Node) -> Node:
        if not op._attrs.get("validate_shape", True):
            return node
        shape = self.newest_shape(ref)
        if shape is not None and shape != node.shape:
            raise InvalidArgumentError(
                None,
                op,
                f"{op._type} requires shapes of both tensors to match. lhs shape= {list(shape)} rhs shape= "
                f"{list(node.shape)}: cannot assign to {ref.name!r}.",
            )
        return node


def _passed_on(ref: Tensor) -> Tensor:
    """The reference that loops and branches pass on as `ref`."""
    while ref._op._type in CONTROL_FLOW:
        ref = ref._op._inputs[0]
    return ref
