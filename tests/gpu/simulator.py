"""Runs the source of CUDA kernels as Python: a generator a thread, which stops where it waits for others.

`barrier()` waits for all threads of the block, shuffles and `warp_barrier()` for those of the warp. Threads that wait
for different things, or for some that have ended, are an error, as they would hang a GPU. Threads run in a shuffled
order between two barriers, so that results that depend on the order show.
"""

from __future__ import annotations

import ast
import ctypes
import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from flowc.codegen.cuda.geometry import Geometry, is_shared_out
from flowc.codegen.plan import Kernel

WARP = 32
DTYPES = {
    "b1": np.bool_, "i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "u16": np.uint16,
    "u32": np.uint32, "u64": np.uint64, "f16": np.float16, "f32": np.float32, "f64": np.float64,
}  # fmt: skip
WAITS = {"barrier": "block", "warp_barrier": "warp", "shuffle_xor": "warp"}
Range = tuple[int, int]


class SimulationError(AssertionError):
    """A kernel would hang, or touch memory that is not its own."""


class Buffer:
    """Elements at an address; loads and stores are checked against the memory that there is."""

    def __init__(self, kind: str, address: int, ranges: Sequence[Range] | None) -> None:
        self.kind, self.address, self.ranges = kind, int(address), ranges
        self.dtype = np.dtype(DTYPES[kind])

    def _at(self, index: Any) -> int:
        place = self.address + int(index) * self.dtype.itemsize
        if self.ranges is not None and not any(
            lo <= place and place + self.dtype.itemsize <= hi for lo, hi in self.ranges
        ):
            raise SimulationError(f"element {index} of {self.kind} at {self.address:#x} is outside all memory")
        return place

    def __getitem__(self, index: Any) -> Any:
        raw = ctypes.string_at(self._at(index), self.dtype.itemsize)
        value = np.frombuffer(raw, self.dtype)[0]
        return np.float32(value) if self.kind == "f16" else value

    def __setitem__(self, index: Any, value: Any) -> None:
        data = np.asarray(value).astype(self.dtype).tobytes()
        ctypes.memmove(self._at(index), data, len(data))


class _Waiting(ast.NodeTransformer):
    """Calls that wait become yields; Python's bools become NumPy's, whose `~` is a logical not."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in WAITS:
            return ast.Yield(ast.Tuple([ast.Constant(node.func.id), *node.args], ast.Load()))
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, bool):
            return ast.Name("TRUE" if node.value else "FALSE", ast.Load())
        return node


@cache
def _code(kernel: Kernel) -> Any:
    tree = _Waiting().visit(ast.parse(kernel.source))
    function = tree.body[0]
    function.body.append(ast.Expr(ast.Yield(ast.Tuple([ast.Constant("end")], ast.Load()))))
    return compile(ast.fix_missing_locations(tree), f"<{kernel.name}>", "exec")


class Block:
    """One block of threads: its shared memory, and where its threads wait."""

    def __init__(self, kernel: Kernel, geometry: Geometry, number: int, ranges: Sequence[Range] | None) -> None:
        self.kernel, self.geometry, self.number, self.ranges = kernel, geometry, number, ranges
        self.shared: dict[int, np.ndarray[Any, Any]] = {}
        self.keep: list[Any] = []

    def run(self, args: int, units: int, order: random.Random) -> None:
        threads = [self._thread(t, args, units) for t in range(self.geometry.threads)]
        waits: dict[int, tuple[Any, ...]] = {}
        replies: dict[int, Any] = {}
        alive = set(range(len(threads)))
        while alive:
            ready = [t for t in alive if t not in waits]
            order.shuffle(ready)
            for t in ready:
                try:
                    waits[t] = threads[t].send(replies.pop(t, None))
                except StopIteration:
                    alive.discard(t)
            self._release(alive, waits, replies)

    def _release(self, alive: set[int], waits: dict[int, tuple[Any, ...]], replies: dict[int, Any]) -> None:
        """Lets threads go on for which all that they wait for are there."""
        for t in [t for t in waits if waits[t][0] == "end"]:
            del waits[t]
            alive.discard(t)
        gone = 0
        if alive and all(waits.get(t, ("",))[0] == "barrier" for t in alive):
            if len(alive) < self.geometry.threads:
                raise SimulationError(f"{self.kernel.name}: a barrier for which {len(alive)} threads are left")
            waits.clear()
            return
        for first in range(0, self.geometry.threads, WARP):
            gone += self._release_warp(range(first, min(first + WARP, self.geometry.threads)), alive, waits, replies)
        if alive and not gone:
            kinds = {waits[t][0] for t in alive}
            raise SimulationError(f"{self.kernel.name}: threads wait for each other: {sorted(kinds)}")

    def _release_warp(
        self, lanes: range, alive: set[int], waits: dict[int, tuple[Any, ...]], replies: dict[int, Any]
    ) -> int:
        what = {waits[t][0] if t in waits else "gone" for t in lanes}
        if len(what) > 1 or WAITS.get(next(iter(what))) != "warp":
            return 0
        held = {t: waits.pop(t) for t in lanes}
        if what == {"shuffle_xor"}:
            for t in lanes:
                replies[t] = held[lanes.start + ((t - lanes.start) ^ int(held[t][2]))][1]
        return 1

    def _thread(self, number: int, args: int, units: int) -> Iterator[Any]:
        names = self._names(number)
        exec(_code(self.kernel), names)
        function = names[self.kernel.name]
        if is_shared_out(self.kernel.source):
            yield from function(np.int64(args), np.int64(0), np.int64(units))
            return
        first = self.number * self.geometry.threads + number
        for unit in range(first, units, self.geometry.blocks * self.geometry.threads):
            for wait in function(np.int64(args), np.int64(unit), np.int64(unit + 1)):
                if wait[0] != "end":
                    raise SimulationError(f"{self.kernel.name} waits, but does not share its units out")

    def _names(self, number: int) -> dict[str, Any]:
        """What a thread's source may call."""
        names = dict(_functions())
        for kind in DTYPES:
            names[f"ptr_{kind}"] = lambda address, scope, kind=kind: self._buffer(kind, int(address))
            names[f"shared_{kind}"] = lambda size, scope, kind=kind: self._shared(kind, size, scope)
        geometry = self.geometry
        own = {"thread": number, "block": self.number, "threads": geometry.threads, "blocks": geometry.blocks}
        names |= {name: lambda value=value: np.int64(value) for name, value in own.items()}
        return names | {"scratch": self._scratch}

    def _buffer(self, kind: str, address: int) -> Buffer:
        local = any(array.ctypes.data <= address < array.ctypes.data + array.nbytes for array in self.keep)
        return Buffer(kind, address, None if local else self.ranges)

    def _shared(self, kind: str, size: int, scope: int) -> Buffer:
        if scope not in self.shared:
            self.shared[scope] = np.full(size * np.dtype(DTYPES[kind]).itemsize, 0xAB, np.uint8)
        array = self.shared[scope]
        return Buffer(kind, array.ctypes.data, [(array.ctypes.data, array.ctypes.data + array.nbytes)])

    def _scratch(self, size: int) -> int:
        self.keep.append(np.zeros(size, np.uint8))
        return int(self.keep[-1].ctypes.data)


def simulate(
    kernel: Kernel, geometry: Geometry, args: int, units: int, ranges: Sequence[Range] | None = None, seed: int = 0
) -> None:
    """Runs a launch. `ranges`: the memory that there is, as (start, end) addresses. Raises SimulationError."""
    order = random.Random(seed)
    numbers = list(range(geometry.blocks))
    order.shuffle(numbers)
    with np.errstate(all="ignore"):
        for number in numbers:
            Block(kernel, geometry, number, ranges).run(args, units, order)


# -- the dialect's functions -----------------------------------------------------------------------------------------


def _cast(kind: str) -> Callable[[Any], Any]:
    dtype = np.dtype(DTYPES[kind])

    def to_int(x: Any) -> Any:
        if np.asarray(x).dtype.kind != "f":
            return np.asarray(x).astype(dtype)[()]
        info, value = np.iinfo(dtype), float(x)
        if kind in ("i32", "i64"):
            inside = info.min <= value < info.max + 1
            return dtype.type(int(value)) if inside else dtype.type(info.min)
        return dtype.type(0 if math.isnan(value) else int(min(max(value, info.min), info.max)))

    return to_int if dtype.kind in "iu" else lambda x: np.asarray(x).astype(dtype)[()]


def _pair(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of one dtype: Python's numbers adopt that of the others."""

    def call(*args: Any) -> Any:
        dtypes = [a.dtype for a in args if isinstance(a, np.generic)]
        kind = dtypes[0] if dtypes else np.dtype(np.float64 if any(isinstance(a, float) for a in args) else np.int64)
        return np.asarray(f(*[kind.type(a) for a in args])).astype(kind)[()]

    return call


def _divided(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return x / y
    return x.dtype.type(0) if y == 0 else np.array(_truncated(int(x), int(y))).astype(x.dtype)


def _truncated(x: int, y: int) -> int:
    quotient = abs(x) // abs(y)
    return quotient if (x < 0) == (y < 0) else -quotient


def _modulo(x: Any, y: Any) -> Any:
    if x.dtype.kind == "f":
        return np.fmod(x, y)
    return x.dtype.type(0) if y == 0 else x - y * _divided(x, y)


def _maximum(x: Any, y: Any) -> Any:
    return x | y if np.asarray(x).dtype == bool else np.maximum(x, y)


def _minimum(x: Any, y: Any) -> Any:
    return x & y if np.asarray(x).dtype == bool else np.minimum(x, y)


def _bits(x: Any) -> Any:
    return x.view(np.int32 if x.dtype == np.float32 else np.int64)


def _float(x: Any) -> Any:
    return x.view(np.float32 if x.dtype.itemsize == 4 else np.float64)


def _shifted(left: bool) -> Callable[[Any, Any], Any]:
    def shift(x: Any, count: Any) -> Any:
        count = x.dtype.type(int(count) & (8 * x.dtype.itemsize - 1))
        return np.left_shift(x, count) if left else np.right_shift(x, count)

    return shift


def _wide(f: Callable[[float], float]) -> Callable[[Any], Any]:
    return lambda x: x.dtype.type(f(float(x)))


def _compare_and_swap(address: Any, expected: Any, new: Any) -> Any:
    word = ctypes.c_int64.from_address(int(address))
    old = word.value
    if old == int(expected):
        word.value = int(new)
    return np.int64(old)


@cache
def _functions() -> dict[str, Any]:
    plain = {
        "sqrt": np.sqrt, "exp": np.exp, "expm1": np.expm1, "log": np.log, "log1p": np.log1p, "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan, "tanh": np.tanh, "floor": np.floor, "ceil": np.ceil, "rint": np.rint, "trunc": np.trunc,
        "abs": np.abs, "sign": np.sign, "square": np.square, "atan2": np.arctan2, "pow": np.power, "ipow": np.power,
        "fma": lambda x, y, z: x * y + z, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "div": _divided, "mod": _modulo, "floordiv": np.floor_divide,
        "maximum": _maximum, "minimum": _minimum, "acc_max": _maximum, "acc_min": _minimum, "imin": min, "imax": max,
        "acc_add": np.add, "acc_mul": np.multiply, "acc_or": np.logical_or, "acc_and": np.logical_and,
        "shl": _shifted(True), "shr": _shifted(False), "idiv": lambda x, y: _truncated(int(x), int(y)),
        "imod": lambda x, y: int(x) - int(y) * _truncated(int(x), int(y)),
        "mulhi_u32": lambda x, y: (np.uint64(x) * np.uint64(y)) >> np.uint64(32),
    }  # fmt: skip
    found: dict[str, Any] = {name: _pair(f) for name, f in plain.items()}
    found |= {name: _wide(f) for name, f in {"erf": math.erf, "erfc": math.erfc, "lgamma": math.lgamma}.items()}
    found |= {kind: _cast(kind) for kind in DTYPES if kind != "f16"}
    return found | {
        "isnan": np.isnan, "isinf": np.isinf, "isfinite": np.isfinite, "float_bits": _bits, "bits_float": _float,
        "round_f16": lambda x: np.float32(np.float16(x)), "half_of": lambda x: np.float32(np.float16(x)),
        "select": lambda c, a, b: a if c else b, "unrolled_range": range, "wide_range": range, "aligned": lambda b: b,
        "advance": lambda b, k: Buffer(b.kind, b.address + int(k) * b.dtype.itemsize, b.ranges),
        "address": lambda b: np.int64(b.address), "atomic_cas": _compare_and_swap, "atomic_fence": lambda: None,
        "memory_copy": lambda to, origin, n: ctypes.memmove(int(to), int(origin), int(n)),
        "memory_fill": lambda to, byte, n: ctypes.memset(int(to), int(byte), int(n)),
        "INF": math.inf, "NAN": math.nan, "TRUE": np.True_, "FALSE": np.False_,
    }  # fmt: skip
