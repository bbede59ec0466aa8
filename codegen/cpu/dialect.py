"""The rules of kernel source: its types, and how functions and operators are declared.

Kernel source is Python restricted to scalars and buffers, with one function:

    x + y          both operands have the same dtype and so has the result; integers wrap around
    x + 1, x * 0.5 a Python number takes the dtype of the other operand (two numbers alone: int64 or float64)
    x / y          floats only; `//`, `%` and `**` do not exist: intrinsics spell what is meant
    b[i], b[i] = v a plain load or store; b is a buffer (`ptr_f32(address, scope)`), no wraparound, no bounds check
    control flow   for … in range(…), while, if, break, continue, return, conditional expressions, and, or, not
    calls          only the names in NAMESPACE; the heads of intrinsics, arithmetic, vector_math and system list them

A variable has one type in the whole function. `inference` finds it, and `lowering` makes LLVM IR of the source.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .llvm_text import Builder


class DialectError(Exception):
    """Kernel source breaks the dialect's rules: a mistake of the renderer, never of a user."""

    line: int | None = None  # of the source, where it is known


class Type:
    """What a value of kernel source is. Types of one name are the same."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Type) and self.name == other.name)

    def __hash__(self) -> int:
        return hash(self.name)

    def __str__(self) -> str:
        return self.name

    __repr__ = __str__


BOOL = Type("bool")
I32, I64, U32, U64 = (Type(name) for name in ("int32", "int64", "uint32", "uint64"))
F32, F64 = Type("float32"), Type("float64")
VOID = Type("nothing")
SCALARS: dict[str, Type] = {
    "b1": BOOL,
    "i8": Type("int8"),
    "i16": Type("int16"),
    "i32": I32,
    "i64": I64,
    "u8": Type("uint8"),
    "u16": Type("uint16"),
    "u32": U32,
    "u64": U64,
    "f32": F32,
    "f64": F64,
}
SHORT_NAME: dict[Type, str] = {t: name for name, t in SCALARS.items()}


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
        return F64 if isinstance(self.value, float) else I64


@dataclass(frozen=True)
class Signature:
    """The types of one call."""

    return_type: Type
    args: tuple[Type, ...]


def signature(result: Type, *params: Type) -> Signature:
    return Signature(result, params)


Rule = Callable[["Primitive", tuple[Type, ...]], Signature]
Emitter = Callable[["Builder", Signature, list[str]], str]


class Primitive:
    """A function of the dialect: `rule` types a call of it, `emit` appends its LLVM IR and returns the result."""

    def __init__(self, name: str, rule: Rule, emit: Emitter) -> None:
        self.name, self.rule, self.emit = name, rule, emit
        self.known: dict[tuple[Type, ...], Signature] = {}

    def __str__(self) -> str:
        return self.name

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
    return F64 if F64 in defaults else I64


def typed(default: Type) -> Type:
    """`default`, or the dtype that a number without company takes."""
    return default.default if isinstance(default, Number) else default


NAMESPACE: dict[str, Primitive] = {}  # every function that kernel source may call
CONSTANTS: dict[str, Number] = {"INF": Number(math.inf), "NAN": Number(math.nan)}


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


def unified(first: Type, second: Type) -> Type:
    """The type of what is `first` on one way and `second` on another. Raises DialectError: dtypes never mix by
    themselves."""
    if first == second:
        return first
    if isinstance(first, Number) or isinstance(second, Number):
        return common_type("assignment", (first, second))
    raise DialectError(f"one value cannot be {first} and {second}")
