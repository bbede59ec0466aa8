"""Which type each variable of a kernel has, found from the syntax tree of its source.

A variable has one type in the whole function. Most have it from their first assignment; one that starts as a number
(`s = 0.0`) takes the dtype of what is assigned to it later. So the assignments are gone through until nothing changes,
which is twice at most but for variables that wait for one another.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from typing import Final

from .dialect import BOOL, CONSTANTS, I64, NAMESPACE, VOID, DialectError, Number, Primitive, Type, unified
from .intrinsics import GET_ITEM, OPERATORS

Assignment = tuple[str, ast.expr | None]  # name and value; None: the index of a loop


class NotYet(Exception):
    """An expression reads a variable whose type is not known so far."""


def assignments(body: Sequence[ast.stmt]) -> Iterator[Assignment]:
    """All assignments to variables, in the order of the source."""
    for statement in body:
        if isinstance(statement, ast.Assign):
            yield from _assigned(statement)
        elif isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id, in_place(statement)
        elif isinstance(statement, ast.For):
            yield name_of(statement.target), None
            yield from assignments(statement.body)
        elif isinstance(statement, ast.While | ast.If):
            yield from assignments(statement.body)
            yield from assignments(statement.orelse)


def _assigned(statement: ast.Assign) -> Iterator[Assignment]:
    for target, value in pairs(statement):
        if isinstance(target, ast.Name):
            yield target.id, value


def pairs(statement: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    """Targets and values: one, or those of `a, b = x, y`."""
    if len(statement.targets) != 1:
        raise DialectError("only one target can be assigned to")
    target, value = statement.targets[0], statement.value
    if not isinstance(target, ast.Tuple):
        return [(target, value)]
    if not isinstance(value, ast.Tuple) or len(value.elts) != len(target.elts):
        raise DialectError("as many values as targets are wanted")
    return list(zip(target.elts, value.elts, strict=True))


def in_place(statement: ast.AugAssign) -> ast.BinOp:
    """What `x += y` computes."""
    operation = ast.BinOp(statement.target, statement.op, statement.value)
    return ast.copy_location(operation, statement)


def name_of(target: ast.expr) -> str:
    if not isinstance(target, ast.Name):
        raise DialectError(f"{ast.unparse(target)} is no variable")
    return target.id


def number_of(node: ast.expr) -> Number | None:
    """The number that an expression of literals is, None if it is none."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Number(node.value)  # type: ignore[arg-type]
    if isinstance(node, ast.Name):
        return CONSTANTS.get(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        operand = number_of(node.operand)
        return None if operand is None else Number(-operand.value)
    if isinstance(node, ast.BinOp) and type(node.op) in _FOLDED:
        y = number_of(node.right)
        x = None if y is None else number_of(node.left)  # in this order, as long sums are nested on the left
        return None if x is None or y is None else _folded(node.op, x.value, y.value)
    return None


_FOLDED: Final = (ast.Add, ast.Sub, ast.Mult)


def _folded(operator: ast.operator, x: float, y: float) -> Number:
    if isinstance(operator, ast.Add):
        return Number(x + y)
    return Number(x - y) if isinstance(operator, ast.Sub) else Number(x * y)


def operator_of(operator: ast.AST) -> Primitive:
    found = OPERATORS.get(type(operator))
    if found is None:
        raise DialectError(f"the operator {type(operator).__name__} does not exist in the dialect")
    return found


def function_of(call: ast.Call) -> Primitive:
    if not isinstance(call.func, ast.Name):
        raise DialectError(f"{ast.unparse(call.func)} cannot be called")
    if call.keywords:
        raise DialectError(f"{call.func.id}: arguments are positional")
    found = NAMESPACE.get(call.func.id)
    if found is None:
        raise DialectError(f"unknown name {call.func.id!r}")
    return found


def comparison_of(node: ast.Compare) -> tuple[Primitive, ast.expr, ast.expr]:
    if len(node.ops) != 1:
        raise DialectError("comparisons are of two values")
    return operator_of(node.ops[0]), node.left, node.comparators[0]


class Inference:
    """Types of variables, as far as they are known."""

    def __init__(self, function: ast.FunctionDef) -> None:
        self.types: dict[str, Type] = {argument.arg: I64 for argument in function.args.args}
        self.assignments = list(assignments(function.body))

    def solve(self) -> dict[str, Type]:
        """The type of every variable that has one; what none can be found for is never assigned."""
        while self._pass():
            pass
        return self.types

    def _pass(self) -> bool:
        """Whether a variable changed that others may have been typed by."""
        changed = waiting = found = False
        for name, value in self.assignments:
            old = self.types.get(name)
            try:
                new = self._joined(old, value)
            except NotYet:
                waiting = True
                continue
            self.types[name] = new
            found |= old is None
            changed |= old is not None and new != old
        return changed or (waiting and found)

    def _joined(self, old: Type | None, value: ast.expr | None) -> Type:
        """The type of a variable of type `old` so far that is assigned this too."""
        try:
            new = I64 if value is None else self.type_of(value)
            return new if old is None else unified(old, new)
        except DialectError as error:
            error.line = None if value is None else value.lineno
            raise

    def type_of(self, node: ast.expr) -> Type:
        """Raises NotYet, or DialectError for what breaks the rules."""
        number = number_of(node)
        if number is not None:
            return number
        if isinstance(node, ast.Name):
            return self._variable(node.id)
        if isinstance(node, ast.BinOp):
            return operator_of(node.op).call((self.type_of(node.left), self.type_of(node.right))).return_type
        if isinstance(node, ast.Call):
            return function_of(node).call(tuple(self.type_of(a) for a in node.args)).return_type
        if isinstance(node, ast.Subscript):
            return GET_ITEM.call((self.type_of(node.value), self.type_of(node.slice))).return_type
        if isinstance(node, ast.UnaryOp):
            return operator_of(node.op).call((self.type_of(node.operand),)).return_type
        if isinstance(node, ast.IfExp):
            return unified(self.type_of(node.body), self.type_of(node.orelse))
        if isinstance(node, ast.Compare | ast.BoolOp) or (
            isinstance(node, ast.Constant) and node.value in (True, False)
        ):
            return BOOL
        return VOID  # nothing that the dialect has: lowering says so

    def _variable(self, name: str) -> Type:
        found = self.types.get(name)
        if found is None:
            if any(name == assigned for assigned, _ in self.assignments):
                raise NotYet
            raise DialectError(f"unknown name {name!r}")
        return found
