"""Typed numba IR → LLVM IR text of one exported C function."""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any

from numba.core import ir

from .dialect import SHORT_NAME, VOID, Buffer, DialectError, Number, Primitive, RangeOf, Signature, Tile, Type
from .intrinsics import OPERATORS
from .llvm_text import REGISTER_TYPE, Builder, constant
from .tiles import tile_type


@dataclass(frozen=True)
class Loop:
    """A running `range`: the stack slot of the next index, the bound and the step."""

    slot: str
    stop: str
    step: str


Value = Any  # str for scalars and buffers; tuple[str, str] for iternext's pair; tuple[str, ...] for range; Loop


class Lowering:
    """Walks the blocks of a typed function. Variables assigned once are SSA values, the others stack slots, which
    LLVM promotes."""

    def __init__(self, function: Any, typemap: dict[str, Type], calltypes: dict[Any, Signature]) -> None:
        self.blocks = sorted(function.blocks.items())
        self.parameters: list[str] = function.arg_names
        self.types, self.calls = typemap, calltypes
        self.builder = Builder()
        self.values: dict[str, Value] = {}
        self.label = 0  # of the block being lowered
        self.loops: dict[int, Any] = {
            label: typemap[e.value.name] for label, block in self.blocks for e in block.find_exprs(op="iternext")
        }
        counts = Counter(s.target.name for _, block in self.blocks for s in block.find_insts(ir.Assign))
        self.slots = {name: self.builder.slot(self.llvm_type(typemap[name])) for name, n in counts.items() if n > 1}

    @staticmethod
    def llvm_type(t: Type) -> str:
        if isinstance(t, Buffer):
            return "ptr"
        if isinstance(t, Tile):
            return tile_type(t)
        if t == VOID:
            return "i1"
        if isinstance(t, Number):
            t = t.default
        if t not in SHORT_NAME:
            raise DialectError(f"a variable of type {t} may be assigned only once")
        return REGISTER_TYPE[SHORT_NAME[t]]

    def run(self, name: str, result: Type) -> str:
        """The module's text, exporting `name`."""
        self.result = result
        b = self.builder
        for label, block in self.blocks:
            b.lines.append(f"B{label}:")
            self.label = label
            for statement in block.body:
                self.statement(statement)
        parameters = ", ".join(f"i64 %arg.{p}" for p in self.parameters)
        llvm_result = "void" if result == VOID else REGISTER_TYPE[SHORT_NAME[result]]
        return "\n".join(
            [
                f"define {llvm_result} @{name}({parameters}) #0 {{",
                "entry:",
                *b.slots,
                f"  br label %B{self.blocks[0][0]}",
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

    # ---- values

    def load(self, var: Any, wanted: Type | None = None) -> Value:
        """The value of `var`; `wanted` gives a number its dtype."""
        name, t = var.name, self.types[var.name]
        if isinstance(t, Number):
            dtype = SHORT_NAME[t.default if wanted is None or isinstance(wanted, Number) else wanted]
            try:
                return constant(t.value, dtype)
            except ValueError as error:
                raise DialectError(f"line {var.loc.line}: {error}") from None
        if name in self.slots and t != VOID:
            return self.builder.value(f"load {self.llvm_type(t)}, ptr {self.slots[name]}")
        if name not in self.values:
            raise DialectError(f"line {var.loc.line}: {name!r} is read before it is assigned")
        return self.values[name]

    def statement(self, s: Any) -> None:
        b = self.builder
        if isinstance(s, ir.Assign):
            self.assign(s)
        elif isinstance(s, ir.SetItem):
            self.emit(OPERATORS[operator.setitem], self.calls[s], [s.target, s.index, s.value])
        elif isinstance(s, ir.Branch):
            b.do(f"br i1 {self.load(s.cond)}, label %B{s.truebr}, label %B{s.falsebr}")
        elif isinstance(s, ir.Jump):
            b.do(f"br label %B{s.target}{self.loop_suffix(s.target)}")
        elif isinstance(s, ir.Return):
            self.give_back(s)
        elif not isinstance(s, ir.Del | ir.PopBlock):
            raise DialectError(f"line {s.loc.line}: {s} has no meaning in a kernel")

    def loop_suffix(self, target: int) -> str:
        """Metadata for a jump back to the head of a `range` loop."""
        step = self.loops.get(target)
        if step is None or target > self.label:
            return ""
        return self.builder.loop_suffix(step.kind)

    def give_back(self, s: Any) -> None:
        if self.result == VOID:
            self.builder.do("ret void")
        else:
            value = self.load(s.value, self.result)
            self.builder.do(f"ret {REGISTER_TYPE[SHORT_NAME[self.result]]} {value}")

    def assign(self, s: Any) -> None:
        name = s.target.name
        t = self.types[name]
        if isinstance(t, Number | Primitive) or t == VOID:
            if isinstance(s.value, ir.Expr):
                self.expression(s.value, t)  # a call for its effects
            return
        value = self.right_hand_side(s.value, t)
        if name in self.slots:
            self.builder.do(f"store {self.llvm_type(t)} {value}, ptr {self.slots[name]}")
        else:
            self.values[name] = value

    def right_hand_side(self, value: Any, wanted: Type) -> Value:
        if isinstance(value, ir.Expr):
            return self.expression(value, wanted)
        if isinstance(value, ir.Var):
            return self.load(value, wanted)
        if isinstance(value, ir.Arg):
            return f"%arg.{value.name}"
        return constant(value.value, SHORT_NAME[wanted])  # Const, Global, FreeVar

    # ---- expressions

    def expression(self, e: Any, wanted: Type) -> Value:
        if e.op == "call":
            return self.call(e)
        if e.op in ("binop", "inplace_binop"):
            return self.emit(OPERATORS[e.fn], self.calls[e], [e.lhs, e.rhs])
        if e.op == "unary":
            return self.emit(OPERATORS[e.fn], self.calls[e], [e.value])
        if e.op == "getitem":
            return self.emit(OPERATORS[operator.getitem], self.calls[e], [e.value, e.index])
        if e.op == "cast":
            return None if wanted == VOID else self.load(e.value, wanted)
        if e.op == "pair_first":
            return self.load(e.value)[0]
        if e.op == "pair_second":
            return self.load(e.value)[1]
        if e.op == "getiter":
            return self.start(e)
        if e.op == "iternext":
            return self.next(e)
        raise DialectError(f"line {e.loc.line}: {e} has no meaning in a kernel")

    def call(self, e: Any) -> Value:
        function: Any = self.types[e.func.name]
        if isinstance(self.calls[e].return_type, RangeOf):
            bounds = [self.load(a, p) for a, p in zip(e.args, self.calls[e].args, strict=True)]
            return ("0", bounds[0], "1") if len(bounds) == 1 else (*bounds, "1")[:3]
        return self.emit(function, self.calls[e], e.args)

    def emit(self, primitive: Primitive, sig: Signature, args: list[Any]) -> str:
        values = [self.load(a, p) for a, p in zip(args, sig.args, strict=True)]
        return primitive.emit(self.builder, sig, values)

    def start(self, e: Any) -> Loop:
        start, stop, step = self.load(e.value)
        slot = self.builder.slot("i64")
        self.builder.do(f"store i64 {start}, ptr {slot}")
        return Loop(slot, stop, step)

    def next(self, e: Any) -> tuple[str, str]:
        b, loop = self.builder, self.load(e.value)
        index = b.value(f"load i64, ptr {loop.slot}")
        kind = self.types[e.value.name]
        order = "sgt" if isinstance(kind, RangeOf) and kind.step < 0 else "slt"
        more = b.value(f"icmp {order} i64 {index}, {loop.stop}")
        b.do(f"store i64 {b.value(f'add nsw i64 {index}, {loop.step}')}, ptr {loop.slot}")
        return index, more
