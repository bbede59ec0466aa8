"""How the steps of a branch or a loop see what is around them: as it is, or as arguments of a program of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from flowc.codegen.ir import Array, Node, Shape
from flowc.codegen.program import Program
from flowc.codegen.states import VariableStates
from flowc.framework.dtypes import string
from flowc.framework.graph import Operation, Tensor
from flowc.framework.regions import Step, conditionals_in, operations_of


class NotNative(Exception):
    """A branch or a loop cannot be part of a native call."""


Uses = Mapping[Tensor, Sequence[Operation | None]]  # who reads a tensor: operations; None is the user


class Inside(Protocol):
    """The view from inside."""

    @property
    def program(self) -> Program:
        """What the steps are lowered into."""

    def captured(self, node: Node) -> Node:
        """What a node of the program outside is inside."""

    def variable(self, ref: Tensor) -> Node:
        """The value that a variable has where the steps begin."""


class Scope(Protocol):
    """What lowers the steps of one level; `flowc.codegen.specialise` has the only one."""

    program: Program
    nodes: dict[Tensor, Node]
    values: dict[Tensor, Array]
    shapes: dict[Tensor, Shape]
    aliases: dict[Tensor, Tensor]
    choices: dict[Tensor, tuple[Node, bool]]
    dead: set[Tensor]
    variables: VariableStates
    uses: Uses

    def value(self, tensor: Tensor) -> Array | None:
        """What is known of a tensor's value before the run."""

    def shape(self, tensor: Tensor) -> Shape:
        """The tensor's shape in this run."""

    def node(self, tensor: Tensor) -> Node:
        """The tensor's node."""

    def argument(self, op: Operation | None, tensor: Tensor) -> Node:
        """The tensor's node as `op` sees it: a variable's reference as the value that is there by then."""

    def seen_by(self, step: Step, ref: Tensor) -> Node:
        """The value of a variable that a step sees through a reference."""

    def within(self, steps: Sequence[Step], inside: Inside) -> Scope:
        """What does the steps of a branch or a loop."""

    def run_steps(self) -> None:
        """Does all steps."""


class Inline:
    """The steps of `step` are lowered into the program around them; `variables`: those that an earlier part changed."""

    def __init__(self, scope: Scope, step: Step, variables: Mapping[str, Node] | None = None) -> None:
        self._scope, self._step, self._variables = scope, step, variables or {}
        self.program = scope.program

    def captured(self, node: Node) -> Node:
        """The node itself."""
        return node

    def variable(self, ref: Tensor) -> Node:
        """As `step` sees it; as the newest value, if it changes it."""
        variables = self._scope.variables
        name = variables.variable(ref)._name
        if name in self._variables:
            return self._variables[name]
        if name in variables.changed_by(self._step):
            return variables.current(variables.variable(ref)._outputs[0])
        return self._scope.seen_by(self._step, ref)


class Arguments:
    """What a region is given: nodes of the program around it, each once."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[Node, int] = {}

    def add(self, node: Node) -> int:
        """Another argument, even if the node is one already; its number."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def number(self, node: Node) -> int:
        """The number of the argument that the node is."""
        if node not in self._numbers:
            self._numbers[node] = self.add(node)
        return self._numbers[node]


class Separate:
    """The steps of `step` are lowered into a program of their own. `slots`: its memory that variables are kept in."""

    def __init__(self, scope: Scope, step: Step, arguments: Arguments) -> None:
        self._scope, self._step, self._arguments = scope, step, arguments
        self.program = Program()
        self.program.is_part = True
        self.slots: dict[str, Node] = {}

    def captured(self, node: Node) -> Node:
        """A feed, but for what costs nothing to have here."""
        program = self.program
        if node.op == "const":
            return program.const(self._scope.program.constants[node.attr], node.dtype)
        if node.dtype is string:
            raise NotNative("it works on strings")
        if node.op == "iota":
            return program.iota(node.shape, node.attr, node.dtype)
        if node.op == "view":
            return program.view(self.captured(node.args[0]), node.shape, *node.attr)
        return program.feed(self._arguments.number(node), node.dtype, node.shape)

    def variable(self, ref: Tensor) -> Node:
        """Its slot, if the region changes it; else what `step` sees."""
        name = self._scope.variables.variable(ref)._name
        return self.slots[name] if name in self.slots else self.captured(self._scope.seen_by(self._step, ref))


def uses_of(steps: Sequence[Step], fetches: Sequence[Tensor]) -> Uses:
    """Who reads what, if there are branches in which it matters."""
    if all(isinstance(step, Operation) for step in steps):
        return {}
    found: dict[Tensor, list[Operation | None]] = {tensor: [None] for tensor in fetches}
    for op in (op for step in steps for op in operations_of(step)):
        for tensor in op._inputs:
            found.setdefault(tensor, []).append(op)
    for conditional in conditionals_in(steps):  # whose predicate its Switches may know by another name
        found.setdefault(conditional.pred, []).append(conditional.ops[0])
    return found
