"""Kernel source → LLVM IR text of one exported C function."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .dialect import BOOL, I64, SHORT_NAME, VOID, Buffer, DialectError, Number, Primitive, Tile, Type, typed, unified
from .inference import Inference, comparison_of, function_of, in_place, name_of, number_of, operator_of, pairs
from .intrinsics import GET_ITEM, SET_ITEM
from .llvm_text import REGISTER_TYPE, Builder, constant
from .tiles import tile_type

RANGES: Final = {"range": "masked", "wide_range": "wide", "unrolled_range": "unrolled"}  # what LLVM is to make of it


@dataclass(frozen=True)
class Operand:
    """The value of an expression: an SSA name or a constant's text; empty for a number, whose dtype its user gives."""

    type: Type
    text: str = ""

    def of(self, wanted: Type) -> str:
        """The text, a number as one of type `wanted`."""
        if not isinstance(self.type, Number):
            return self.text
        try:
            return constant(self.type.value, SHORT_NAME[typed(wanted)])
        except ValueError as error:
            raise DialectError(str(error)) from None


@dataclass(frozen=True)
class Loop:
    """Where `continue`, with what is said of the loop, and `break` jump to."""

    head: str
    suffix: str
    end: str


NOTHING: Final = Operand(VOID)


def llvm_type(t: Type) -> str:
    if isinstance(t, Buffer):
        return "ptr"
    if isinstance(t, Tile):
        return tile_type(t)
    return REGISTER_TYPE[SHORT_NAME[t]]


class Lowering:
    """Walks the statements of a function. Variables assigned once are SSA values, the others stack slots, which LLVM
    promotes."""

    def __init__(self, function: ast.FunctionDef, result: Type) -> None:
        self.function, self.result = function, result
        self.parameters = [argument.arg for argument in function.args.args]
        self.builder = Builder()
        self.line = function.lineno
        self.values: dict[str, str] = {}
        self.slots: dict[str, str] = {}
        self.loops: list[Loop] = []
        self.block, self.blocks = "entry", 0
        self.ended = False  # the block has its last instruction
        self.reached: set[str] = set()

    def run(self) -> str:
        """The module's text. Raises DialectError, which names the line."""
        try:
            self._function()
        except DialectError as error:
            raise DialectError(f"{self.function.name}, line {error.line or self.line}: {error}") from error
        b = self.builder
        parameters = ", ".join(f"i64 %arg.{p}" for p in self.parameters)
        return "\n".join(
            [
                f"define {'void' if self.result == VOID else llvm_type(self.result)} "
                f"@{self.function.name}({parameters}) #0 {{",
                "entry:",
                *b.slots,
                *b.lines,
                "}",
                *b.definitions.values(),
                *sorted(b.declarations.values()),
                'attributes #0 = { nounwind "no-trapping-math"="true" ATTRIBUTES }',
                *b.scope_metadata(),
                *b.loop_metadata,
                "",
            ]
        )

    def _function(self) -> None:
        inference = Inference(self.function)
        self.types = inference.solve()
        # LLVM then unrolls no loop: a step of a tile is work enough, and copies of the others are not worth their time
        self.has_tiles = any(isinstance(t, Tile) for t in self.types.values())
        counts = Counter([*self.parameters, *(name for name, _ in inference.assignments)])
        self.slots = {
            name: self.builder.slot(llvm_type(self.types[name]))
            for name, count in counts.items()
            if count > 1 and not isinstance(self.types[name], Number) and self.types[name] != VOID
        }
        for name in self.parameters:
            self.assign(name, Operand(I64, f"%arg.{name}"))
        self.body(self.function.body)
        if not self.ended:
            self.give_back(NOTHING)

    # ---- blocks

    def label(self) -> str:
        self.blocks += 1
        return f"B{self.blocks}"

    def place(self, label: str) -> None:
        """What follows is in the block `label`, if anything jumps there."""
        self.ended = label not in self.reached
        if not self.ended:
            self.builder.lines.append(f"{label}:")
            self.block = label

    def jump(self, label: str, suffix: str = "") -> None:
        if not self.ended:
            self.builder.do(f"br label %{label}{suffix}")
            self.reached.add(label)
            self.ended = True

    def branch(self, test: ast.expr, yes: str, no: str) -> None:
        """Jump by the truth of `test`, of whose operands only those are computed that it depends on."""
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            self.branch(test.operand, no, yes)
        elif isinstance(test, ast.BoolOp):
            *first, last = test.values
            for operand in first:
                further = self.label()
                self.branch(operand, *((further, no) if isinstance(test.op, ast.And) else (yes, further)))
                self.place(further)
            self.branch(last, yes, no)
        elif isinstance(test, ast.Constant):
            self.jump(yes if test.value else no)
        else:
            self.builder.do(f"br i1 {self.truth(test)}, label %{yes}, label %{no}")
            self.reached |= {yes, no}
            self.ended = True

    def truth(self, node: ast.expr) -> str:
        operand = self.expression(node)
        if operand.type != BOOL:
            raise DialectError(f"{operand.type} where a bool is wanted")
        return operand.text

    # ---- statements

    def body(self, statements: Sequence[ast.stmt]) -> None:
        for statement in statements:
            if self.ended:
                return  # nothing leads here
            self.line = statement.lineno
            self.statement(statement)

    def statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.Assign):
            values = [(target, self.expression(value)) for target, value in pairs(node)]
            for target, value in values:
                self.store(target, value)
        elif isinstance(node, ast.AugAssign):
            self.assign_in_place(node)
        elif isinstance(node, ast.Expr):
            self.expression(node.value)
        elif isinstance(node, ast.If):
            self.choose(node)
        elif isinstance(node, ast.For):
            self.count(node)
        elif isinstance(node, ast.While):
            self.repeat(node)
        elif isinstance(node, ast.Return):
            self.give_back(NOTHING if node.value is None else self.expression(node.value))
        elif isinstance(node, ast.Break | ast.Continue):
            loop = self.loops[-1]
            self.jump(*((loop.end,) if isinstance(node, ast.Break) else (loop.head, loop.suffix)))
        elif not isinstance(node, ast.Pass):
            raise DialectError(f"{type(node).__name__} has no meaning in a kernel")

    def store(self, target: ast.expr, value: Operand) -> None:
        if isinstance(target, ast.Subscript):
            self.store_item(self.expression(target.value), self.expression(target.slice), value)
        else:
            self.assign(name_of(target), value)

    def store_item(self, buffer: Operand, index: Operand, value: Operand) -> None:
        self.emit(SET_ITEM, [buffer, index, value])

    def assign_in_place(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Subscript):
            self.assign(name_of(node.target), self.expression(in_place(node)))
            return
        buffer, index = self.expression(node.target.value), self.expression(node.target.slice)
        old = self.emit(GET_ITEM, [buffer, index])
        self.store_item(buffer, index, self.emit(operator_of(node.op), [old, self.expression(node.value)]))

    def assign(self, name: str, value: Operand) -> None:
        t = self.types[name]
        if isinstance(t, Number) or t == VOID:
            return
        if name in self.slots:
            self.builder.do(f"store {llvm_type(t)} {value.of(t)}, ptr {self.slots[name]}")
        else:
            self.values[name] = value.of(t)

    def choose(self, node: ast.If) -> None:
        yes, no, end = self.label(), self.label(), self.label()
        self.branch(node.test, yes, no if node.orelse else end)
        for label, body in ((yes, node.body), (no, node.orelse)):
            if body:
                self.place(label)
                self.body(body)
                self.jump(end)
        self.place(end)

    def count(self, node: ast.For) -> None:
        """A loop over a range. Its next index is in a slot, so that the body may assign to the variable."""
        b = self.builder
        kind, start, stop, step = self.range_of(node)
        slot, head, body, end = b.slot("i64"), self.label(), self.label(), self.label()
        b.do(f"store i64 {start.of(I64)}, ptr {slot}")
        self.jump(head)
        self.place(head)
        index = b.value(f"load i64, ptr {slot}")
        down = isinstance(step.type, Number) and step.type.value < 0
        more = b.value(f"icmp {'sgt' if down else 'slt'} i64 {index}, {stop.of(I64)}")
        b.do(f"store i64 {b.value(f'add nsw i64 {index}, {step.of(I64)}')}, ptr {slot}")
        b.do(f"br i1 {more}, label %{body}, label %{end}")
        self.reached |= {body, end}
        self.place(body)
        self.assign(name_of(node.target), Operand(I64, index))
        self.rounds(node.body, Loop(head, b.loop_suffix(kind, self.has_tiles), end))

    def range_of(self, node: ast.For) -> tuple[str, Operand, Operand, Operand]:
        """The kind of range; start, stop and step. A step that is known only at run time is taken to be positive."""
        call = node.iter
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id not in RANGES:
            raise DialectError(f"{ast.unparse(call)} is no range")
        bounds = [self.expression(a) for a in call.args]
        if not 1 <= len(bounds) <= 3 or any(typed(bound.type) != I64 for bound in bounds):
            raise DialectError(f"{call.func.id} takes one to three int64")
        if len(bounds) == 1:
            bounds.insert(0, Operand(Number(0)))
        start, stop, step = (*bounds, Operand(Number(1)))[:3]
        return RANGES[call.func.id], start, stop, step

    def repeat(self, node: ast.While) -> None:
        head, body, end = self.label(), self.label(), self.label()
        self.jump(head)
        self.place(head)
        self.branch(node.test, body, end)
        self.place(body)
        self.rounds(node.body, Loop(head, "", end))

    def rounds(self, body: Sequence[ast.stmt], loop: Loop) -> None:
        self.loops.append(loop)
        self.body(body)
        self.jump(loop.head, loop.suffix)
        self.loops.pop()
        self.place(loop.end)

    def give_back(self, value: Operand) -> None:
        if self.result == VOID:
            self.builder.do("ret void")
        elif typed(value.type) != self.result:
            raise DialectError(f"{value.type} is returned where {self.result} is wanted")
        else:
            self.builder.do(f"ret {llvm_type(self.result)} {value.of(self.result)}")
        self.ended = True

    # ---- expressions

    def expression(self, node: ast.expr) -> Operand:
        number = number_of(node)
        if number is not None:
            return Operand(number)
        if isinstance(node, ast.Name):
            return self.load(node.id)
        if isinstance(node, ast.BinOp):
            return self.emit(operator_of(node.op), [self.expression(node.left), self.expression(node.right)])
        if isinstance(node, ast.Call):
            return self.emit(function_of(node), [self.expression(a) for a in node.args])
        if isinstance(node, ast.Subscript):
            return self.emit(GET_ITEM, [self.expression(node.value), self.expression(node.slice)])
        if isinstance(node, ast.Compare):
            operator, x, y = comparison_of(node)
            return self.emit(operator, [self.expression(x), self.expression(y)])
        if isinstance(node, ast.UnaryOp):
            return self.emit(operator_of(node.op), [self.expression(node.operand)])
        if isinstance(node, ast.IfExp):
            return self.either(node)
        if isinstance(node, ast.BoolOp):
            return self.either(ast.IfExp(node, ast.Constant(True), ast.Constant(False)))
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return Operand(BOOL, constant(node.value, "b1"))
        raise DialectError(f"{ast.unparse(node)} has no meaning in a kernel")

    def load(self, name: str) -> Operand:
        t = self.types.get(name)
        if t is None:
            raise DialectError(f"unknown name {name!r}")
        if isinstance(t, Number):
            return Operand(t)
        if name in self.slots:
            return Operand(t, self.builder.value(f"load {llvm_type(t)}, ptr {self.slots[name]}"))
        if name not in self.values:
            raise DialectError(f"{name!r} is read before it is assigned")
        return Operand(t, self.values[name])

    def emit(self, primitive: Primitive, operands: Sequence[Operand]) -> Operand:
        sig = primitive.call(tuple(operand.type for operand in operands))
        texts = [operand.of(wanted) for operand, wanted in zip(operands, sig.args, strict=True)]
        return Operand(sig.return_type, primitive.emit(self.builder, sig, texts))

    def either(self, node: ast.IfExp) -> Operand:
        """Only the side is computed that the test chooses."""
        yes, no, end = self.label(), self.label(), self.label()
        self.branch(node.test, yes, no)
        arms = []
        for label, side in ((yes, node.body), (no, node.orelse)):
            if label in self.reached:
                self.place(label)
                arms.append((self.expression(side), self.block))
                self.jump(end)
        self.place(end)
        t = arms[0][0].type
        for operand, _ in arms:
            t = unified(t, operand.type)
        if isinstance(t, Number):
            return Operand(t)
        ways = ", ".join(f"[ {operand.of(t)}, %{block} ]" for operand, block in arms)
        return Operand(t, self.builder.value(f"phi {llvm_type(t)} {ways}"))
