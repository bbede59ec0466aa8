"""The typing rules of kernel source: numba's type inference with rules of flowc's own.

Kernel source is Python restricted to scalars and buffers. It differs from what `numba.njit` would make of it:

    x + y          both operands have the same dtype and so has the result; integers wrap around
    x + 1, x * 0.5 a Python number takes the dtype of the other operand (two numbers alone: int64 or float64)
    x / y          floats only; `//`, `%` and `**` do not exist: intrinsics spell what is meant
    b[i], b[i] = v a plain load or store; b is a buffer (`ptr_f32(address, scope)`), no wraparound, no bounds check
    control flow   for … in range(…), while, if, break, continue, return, conditional expressions, and, or, not
    calls          only the names in NAMESPACE; the heads of intrinsics, arithmetic, vector_math and system list them
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from numba.core import types
from numba.core.interpreter import Interpreter as BytecodeInterpreter
from numba.core.typeinfer import TypeInferer

if TYPE_CHECKING:
    from .llvm_text import Builder

Type = types.Type

SCALARS: dict[str, Type] = {
    "b1": types.boolean,
    "i8": types.int8,
    "i16": types.int16,
    "i32": types.int32,
    "i64": types.int64,
    "u8": types.uint8,
    "u16": types.uint16,
    "u32": types.uint32,
    "u64": types.uint64,
    "f32": types.float32,
    "f64": types.float64,
}
SHORT_NAME: dict[Type, str] = {t: name for name, t in SCALARS.items()}
VOID: Type = types.none
I64: Type = types.int64


class DialectError(Exception):
    """Kernel source breaks the dialect's rules: a mistake of the renderer, never of a user."""


class Buffer(Type):
    """A pointer to elements of `dtype` in alias scope `scope`: buffers of different scopes never overlap."""

    def __init__(self, dtype: str, scope: int) -> None:
        self.dtype, self.scope = dtype, scope
        super().__init__(f"Buffer({dtype}, {scope})")

    @property
    def element(self) -> Type:
        """Type of a loaded element: float16 is computed on as float32."""
        return SCALARS["f32" if self.dtype == "f16" else self.dtype]


class Tile(Type):
    """A matrix of `rows` × `columns` elements in registers: see `tiles`."""

    def __init__(self, dtype: str, rows: int, columns: int) -> None:
        self.dtype, self.rows, self.columns = dtype, rows, columns
        super().__init__(f"Tile({dtype}, {rows}, {columns})")


class Number(Type):
    """A Python number in the source. It has no dtype until it meets an operand that has one."""

    def __init__(self, value: float | int) -> None:
        self.value = value
        super().__init__(f"Number({value!r})")

    @property
    def default(self) -> Type:
        return types.float64 if isinstance(self.value, float) else types.int64


class RangeOf(Type):
    """What `range(…)` returns, and its iterator; `kind`, "masked", "wide" or "unrolled": what LLVM is to make of it."""

    def __init__(self, step: int, kind: str) -> None:
        self.step, self.kind = step, kind
        super().__init__(f"RangeOf({step}, {kind})")


@dataclass(frozen=True)
class Signature:
    """The types of one call."""

    return_type: Type
    args: tuple[Type, ...]


def signature(result: Type, *params: Type) -> Signature:
    return Signature(result, params)


Rule = Callable[["Primitive", tuple[Type, ...]], Signature]
Emitter = Callable[["Builder", Signature, list[str]], str]


class Primitive(Type):
    """A function of the dialect: `rule` types a call of it, `emit` appends its LLVM IR and returns the result."""

    def __init__(self, name: str, rule: Rule, emit: Emitter) -> None:
        self.rule, self.emit = rule, emit
        self.known: dict[tuple[Type, ...], Signature] = {}
        super().__init__(f"primitive {name}")

    def call(self, args: tuple[Type, ...]) -> Signature:
        found = self.known.get(args)
        if found is None:
            found = self.known[args] = self.rule(self, args)
        return found


def common_type(what: object, args: Sequence[Type]) -> Type:
    """The one dtype of `args`, numbers adopting it. Raises DialectError if there are several."""
    typed = {a for a in args if not isinstance(a, Number)}
    if len(typed) > 1 or any(t not in SHORT_NAME for t in typed):
        raise DialectError(f"{what}: operands have types {', '.join(map(str, args))}; cast them to one dtype")
    if typed:
        return typed.pop()
    defaults = {a.default for a in args if isinstance(a, Number)}
    return types.float64 if types.float64 in defaults else types.int64


def typed(default: Type) -> Type:
    """`default`, or the dtype that a number without company takes."""
    return default.default if isinstance(default, Number) else default


NAMESPACE: dict[str, Primitive] = {}  # every name that kernel source may use


def define(name: str, rule: Rule) -> Callable[[Emitter], Emitter]:
    """Decorator: make the emitter a function of the dialect called `name`."""

    def register(emit: Emitter) -> Emitter:
        NAMESPACE[name] = Primitive(name, rule, emit)
        return emit

    return register


def fixed(result: Type, *params: Type) -> Rule:
    """Rule: exactly these argument types; numbers adopt them."""

    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if len(args) != len(params):
            raise DialectError(f"{self} takes {len(params)} arguments, not {len(args)}")
        for arg, param in zip(args, params, strict=True):
            if arg != param and not isinstance(arg, Number):
                raise DialectError(f"{self}: {arg} where {param} is wanted")
        return signature(result, *params)

    return rule


def same(count: int, kinds: str, result: Type | None = None) -> Rule:
    """Rule: `count` arguments of one dtype whose kind (b, i, u, f) is in `kinds`; the result's too unless given."""

    def rule(self: Primitive, args: tuple[Type, ...]) -> Signature:
        if len(args) != count:
            raise DialectError(f"{self} takes {count} arguments, not {len(args)}")
        common = common_type(self, args)
        if SHORT_NAME[common][0] not in kinds:
            raise DialectError(f"{self} is not defined for {common}")
        return signature(result or common, *[common] * count)

    return rule


def kind_of(sig: Signature, position: int = 0) -> str:
    """Short dtype name of a parameter."""
    return SHORT_NAME[sig.args[position]]


class TypingContext:
    """The part of numba's typing context that its inference asks for, answered by the dialect's own tables."""

    def __init__(self, operators: dict[object, Primitive], builtins: dict[object, Primitive]) -> None:
        self.operators, self.builtins = operators, builtins

    def resolve_value_type(self, value: Any) -> Type:
        if isinstance(value, Type):
            return value
        if isinstance(value, bool):
            return types.boolean
        if isinstance(value, int | float):
            return Number(value)
        if value is None:
            return VOID
        if value in self.builtins:
            return self.builtins[value]
        if value in self.operators:
            return self.operators[value]
        raise DialectError(f"{value!r} does not exist in the dialect")

    def resolve_function_type(self, func: Any, args: Sequence[Type], kws: Mapping[str, Type]) -> Signature:
        if isinstance(func, Primitive):
            if kws:
                raise DialectError(f"{func}: arguments are positional")
            return func.call(tuple(args))
        if func in self.operators:
            return self.operators[func].call(tuple(args))
        raise DialectError(f"{func!r} does not exist in the dialect (arguments: {', '.join(map(str, args))})")

    def resolve_setitem(self, target: Type, index: Type, value: Type) -> Signature:
        return self.operators[operator.setitem].call((target, index, value))

    def resolve_getattr(self, value: Type, name: str) -> Type:
        raise DialectError(f"{value} has no attribute {name!r}: the dialect has none")

    def can_convert(self, fromty: Type, toty: Type) -> int | None:
        return 0 if fromty == toty or (isinstance(fromty, Number) and toty in SHORT_NAME) else None

    def unify_pairs(self, first: Type, second: Type) -> Type | None:
        """The type of a variable assigned from both, None if there is none: dtypes never mix by themselves."""
        if first == second:
            return first
        if {type(first), type(second)} <= {Number} or Number in (type(first), type(second)):
            return common_type("assignment", (first, second))
        return None

    def unify_types(self, *all_types: Type) -> Type | None:
        unified: Type | None = all_types[0]
        for other in all_types[1:]:
            unified = None if unified is None else self.unify_pairs(unified, other)
        return unified


class Interpreter(BytecodeInterpreter):
    """numba's reading of bytecode, without the rewriting of statements that the dialect does not have."""

    def post_process(self, peepholes: object, func_ir: Any) -> Any:
        return func_ir


class NoWarnings:
    """Stands in for numba's collector of warnings: the dialect's rules raise, and never warn."""

    def catch_warnings(self, filename: str | None = None, lineno: int | None = None) -> nullcontext[None]:
        return nullcontext()


class Inferer(TypeInferer):
    """numba's type inference, numbers kept as such instead of becoming int64 and float64 at once."""

    def solve(self, parameter: Type, result: Type) -> tuple[dict[str, Type], dict[Any, Signature]]:
        """The type of every variable and of every call; all parameters are of type `parameter`."""
        for index, name in enumerate(self.func_ir.arg_names):
            self.seed_argument(name, index, parameter)
        self.seed_return(result)
        self.build_constraint()
        self.propagate()
        typemap, _, calltypes = self.unify()
        return typemap, calltypes

    def typeof_const(self, inst: Any, target: Any, const: Any) -> None:
        self.add_type(target.name, self.context.resolve_value_type(const), loc=inst.loc)

    def typeof_global(self, inst: Any, target: Any, gvar: Any) -> None:
        try:
            self.add_type(target.name, self.context.resolve_value_type(gvar.value), loc=inst.loc)
        except DialectError as error:
            raise DialectError(f"line {inst.loc.line}: unknown name {gvar.name!r}") from error
