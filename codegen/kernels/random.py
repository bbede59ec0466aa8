"""Random numbers inside kernels: `random` (distribution, key, seed) and `random_permutation` (key, seed).

The generator is Philox4x32-10: a block of four 32-bit words is a function of a 64-bit key and a 128-bit counter, so
that any part of an array can be drawn by any thread, with the same result. The key is the op's two seeds, or a word
that the session draws when both are 0; the counter is (number of the block, number of the op's run).

    uniform     in [0, 1): 24 bits of a word (float16: 11; float64: 53 of two)
    normal      by Box and Muller: radius √(-2 log u), angle 2πv
    truncated   normal within ±2, by inversion: √2 · erf⁻¹(u · erf √2) for u in (-1, 1)

Sources: J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011; G. E. P. Box, M. E. Muller, 1958;
M. Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011, refined by a step of Halley's for float64.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from math import erf, pi, sqrt
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel, no_kernel
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, StateWord, Word, params_of, template

# Words: result, elements, key, address of the key if the session keeps it (else 0), address of the count of runs.
PREPARE: Final = """
key = a[2]
if a[3] != 0:
    key = ptr_i64(a[3], -1)[0]
key0 = u32(key)
key1 = u32(key >> 32)
run = ptr_i64(a[4], -1)[0]
run0 = u32(run)
run1 = u32(run >> 32)
"""
COUNTER: Final = """
k0 = key0
k1 = key1
c0 = u32({BLOCK})
c1 = u32({BLOCK} >> 32)
c2 = run0
c3 = run1
"""
ROUND: Final = """
high0 = mulhi_u32(c0, 3528531795)
high1 = mulhi_u32(c2, 3449720151)
low0 = c0 * 3528531795
low1 = c2 * 3449720151
c0 = high1 ^ c1 ^ k0
c1 = low1
c2 = high0 ^ c3 ^ k1
c3 = low0
k0 = k0 + 2654435769
k1 = k1 + 3144134277
"""
PHILOX: Final = COUNTER + 10 * ROUND.lstrip("\n")

_UNIFORM: Final = "v{i} = f32(i32(c{i} >> {UNUSED})) * {SCALE}\n"
UNIFORM_F32: Final = "".join(_UNIFORM.format(i=i, UNUSED=8, SCALE=2.0**-24) for i in range(4))
UNIFORM_F16: Final = "".join(_UNIFORM.format(i=i, UNUSED=21, SCALE=2.0**-11) for i in range(4))
BITS_F64: Final = """
w0 = (u64(c0) << 32) | u64(c1)
w1 = (u64(c2) << 32) | u64(c3)
"""
UNIFORM_F64: Final = BITS_F64 + "".join(f"v{i} = f64(i64(w{i} >> 11)) * {2.0**-53}\n" for i in range(2))

_NORMAL_F32: Final = """
radius = sqrt(-2.0 * log(f32({A}) * {UNIT} + {HALF}))
angle = f32(i32({B})) * {TURN}
v{I} = radius * cos(angle)
v{J} = radius * sin(angle)
"""
NORMAL_F32: Final = "".join(
    _NORMAL_F32.format(A=f"c{i}", B=f"c{i + 1}", I=i, J=i + 1, UNIT=2.0**-32, HALF=2.0**-33, TURN=2 * pi * 2.0**-32)
    for i in (0, 2)
)
NORMAL_F64: Final = f"""{BITS_F64}
radius = sqrt(-2.0 * log((f64(i64(w0 >> 11)) + 0.5) * {2.0**-53}))
angle = f64(i64(w1)) * {2 * pi * 2.0**-64}
v0 = radius * cos(angle)
v1 = radius * sin(angle)
"""

# erf⁻¹(x) / x for |x| < 0.9966 as a polynomial in w = -log(1 - x²) - 2.5
_ERFINV: Final = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087,
    -0.00125372503, -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_HORNER: Final = "".join(f"y = y * w + {c}\n" for c in _ERFINV[1:])
_INVERT: Final = f"w = -log((1.0 - x) * (1.0 + x)) - 2.5\ny = {{T}}({_ERFINV[0]})\n{_HORNER}y = y * x\n"
_HALLEY: Final = f"step = (erf(y) - x) / ({2 / sqrt(pi)} * exp(-y * y))\ny = y - step / (1.0 + step * y)\n"
_CLAMP: Final = f"v{{i}} = maximum(minimum({sqrt(2)} * y, 2.0), -2.0)\n"
_INSIDE: Final = erf(sqrt(2))
TRUNCATED_F32: Final = "".join(
    f"x = (f32(i32(c{i})) * {2.0**-31} + {2.0**-32}) * {_INSIDE}\n" + _INVERT.format(T="f32") + _CLAMP.format(i=i)
    for i in range(4)
)
_INVERT_F64: Final = _INVERT.format(T="f64") + _HALLEY
TRUNCATED_F64: Final = BITS_F64 + "".join(
    f"x = (f64(i64(w{i}) >> 10) + 0.5) * {2.0**-53 * _INSIDE}\n" + _INVERT_F64 + _CLAMP.format(i=i) for i in range(2)
)

# Unit: one block. All whole blocks go through the first loop, which runs in vectors.
FILL: Final = """
def {NAME}(args, lo, hi):
    a = ptr_i64(args, -1)
    out = ptr_{T}(a[0], 0)
    n = a[1]
{PREPARE}
    whole = idiv(n, {VALUES})
    for i in range(lo, imin(hi, whole)):
{BLOCK}
{STORE}
    if lo <= whole and hi > whole:
        i = whole
{LAST_BLOCK}
{LAST_STORE}
"""

# Fisher and Yates: element i changes places with one of 0 … i. One unit, for all of it.
PERMUTATION: Final = """
def random_permutation(args, lo, hi):
    a = ptr_i64(args, -1)
    out = ptr_i64(a[0], 0)
    n = a[1]
{PREPARE}
    for i in range(n):
        out[i] = i
    for i in range(n - 1, 0, -1):
{BLOCK}
        j = i64((u64(c0) * u64(i + 1)) >> 32)
        kept = out[i]
        out[i] = out[j]
        out[j] = kept
"""

ADVANCE: Final = """
def advance_counter(args, lo, hi):
    a = ptr_i64(args, -1)
    count = ptr_i64(a[0], 0)
    count[0] = count[0] + 1
"""

_DRAWS: Final = {
    ("uniform", "f16"): UNIFORM_F16,
    ("uniform", "f32"): UNIFORM_F32,
    ("uniform", "f64"): UNIFORM_F64,
    ("normal", "f16"): NORMAL_F32,
    ("normal", "f32"): NORMAL_F32,
    ("normal", "f64"): NORMAL_F64,
    ("truncated", "f16"): TRUNCATED_F32,
    ("truncated", "f32"): TRUNCATED_F32,
    ("truncated", "f64"): TRUNCATED_F64,
}
_CHUNK_BLOCKS: Final = 512  # that are worth a thread
_PERMUTATION_WORK: Final = 16  # of one step, in elements moved


def _indented(text: str, levels: int) -> str:
    return textwrap.indent(text.strip(), "    " * levels)


def fill_kernel(distribution: str, kind: str) -> Kernel:
    """The kernel that fills an array of element type `kind` with draws of a distribution."""
    values = 2 if kind == "f64" else 4
    block = PHILOX.format(BLOCK="i") + _DRAWS[distribution, kind]
    stores = [f"out[{values} * i + {j}] = v{j}" for j in range(values)]
    guarded = [f"if {values} * i + {j} < n:\n    {store}" for j, store in enumerate(stores)]
    return kernel(
        FILL,
        NAME=f"random_{distribution}_{kind}",
        T=kind,
        VALUES=str(values),
        PREPARE=_indented(PREPARE, 1),
        BLOCK=_indented(block, 2),
        STORE=_indented("\n".join(stores), 2),
        LAST_BLOCK=_indented(block, 2),
        LAST_STORE=_indented("\n".join(guarded), 2),
    )


def key_of(seed: int, seed2: int) -> int:
    """The two seeds, each folded to 32 bits, as one signed 64-bit word."""
    folded = [(s ^ (s >> 32) * 0x9E3779B9) & 0xFFFFFFFF for s in (seed, seed2)]
    key = folded[0] | (folded[1] << 32)
    return key - (1 << 64) if key >> 63 else key


def state_words(call: Node) -> tuple[Word, ...]:
    """The words of the key and the count of runs. A state word whose name ends in /key starts as 64 random bits."""
    params = params_of(call)
    owner, (seed, seed2) = params["key"], params["seed"]
    if seed or seed2:
        return key_of(seed, seed2), 0, StateWord(f"{owner}/counter")
    return 0, StateWord(f"{owner}/key"), StateWord(f"{owner}/counter")


def advance_count(call: Node) -> Launch:
    """The launch that counts the run, after all threads have read the count."""
    return Launch(kernel(ADVANCE), (state_words(call)[2],), 1, grain(1))


@template("random")
def random(call: Node) -> Sequence[Launch]:
    """Draws of `distribution`: uniform, normal or truncated."""
    kind = element_type(call.dtype, "A random op")
    if kind not in ("f16", "f32", "f64"):
        raise no_kernel("A random op", call.dtype)
    code = fill_kernel(params_of(call)["distribution"], kind)
    words = (Pointer(-1), call.size, *state_words(call))
    blocks = -(-call.size // (2 if kind == "f64" else 4))
    return [Launch(code, words, blocks, _CHUNK_BLOCKS, call.size * call.dtype.size), advance_count(call)]


@template("random_permutation")
def random_permutation(call: Node) -> Sequence[Launch]:
    """0 … n-1 in random order, int64."""
    block = _indented(PHILOX.format(BLOCK="i"), 2)
    code = kernel(PERMUTATION, PREPARE=_indented(PREPARE, 1), BLOCK=block)
    words = (Pointer(-1), call.size, *state_words(call))
    launch = Launch(code, words, 1, grain(_PERMUTATION_WORK * call.size), call.size * 8)
    return [launch, advance_count(call)]
