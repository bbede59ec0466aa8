"""Local response normalisation, in one pass: `lrn` and `lrn_grad`, params `radius`, `bias`, `alpha`, `beta`.

A unit is a pixel. Its channels are taken in blocks with the neighbours on both sides, whose squares are kept on the
stack; the sum over a window of 2·radius + 1 channels is unrolled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel, scalar_word
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch, Pointer, params_of, template

BLOCK: Final = 256  # channels
_POWERS: Final = {  # of `n`, by beta: 1 / n^beta
    0.5: "rsqrt(n)",
    0.75: "rsqrt(n) * sqrt(rsqrt(n))",
    1.0: "reciprocal(n)",
}

# Unit: one pixel. Words: image, result, channels, bias, alpha, -beta.
LRN: Final = """
def lrn_{RADIUS}_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    image = ptr_{T}(a[0], 0)
    result = ptr_{T}(a[1], 1)
    channels = a[2]
    bias = ptr_{T}(args + 24, -1)[0]
    alpha = ptr_{T}(args + 32, -1)[0]
    power = ptr_{T}(args + 40, -1)[0]
    squares = ptr_{T}(scratch({SQUARES_BYTES}), 2)
    for u in range(lo, hi):
        for first in range(0, channels, {BLOCK}):
            count = imin(channels - first, {BLOCK})
            x = advance(image, u * channels + first)
            y = advance(result, u * channels + first)
            start = imax(-first, -{RADIUS})
            stop = imin(channels - first, count + {RADIUS})
            for k in range(-{RADIUS}, start):
                squares[k + {RADIUS}] = 0
            for k in range(start, stop):
                squares[k + {RADIUS}] = x[k] * x[k]
            for k in range(stop, count + {RADIUS}):
                squares[k + {RADIUS}] = 0
            for c in range(count):
                n = bias + alpha * ({SUM})
                y[c] = x[c] * ({POWER})
"""

# Unit: one pixel. Words: gradient, image, normalised image, result, channels, bias, alpha, -beta, -2·alpha·beta.
# result = gradient / n^beta - 2·alpha·beta · x · Σ shares, share = gradient · normalised / n.
LRN_GRAD: Final = """
def lrn_grad_{RADIUS}_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    gradient = ptr_{T}(a[0], 0)
    image = ptr_{T}(a[1], 1)
    normalised = ptr_{T}(a[2], 2)
    result = ptr_{T}(a[3], 3)
    channels = a[4]
    bias = ptr_{T}(args + 40, -1)[0]
    alpha = ptr_{T}(args + 48, -1)[0]
    power = ptr_{T}(args + 56, -1)[0]
    factor = ptr_{T}(args + 64, -1)[0]
    squares = ptr_{T}(scratch({SQUARES_BYTES}), 4)
    shares = ptr_{T}(scratch({SHARES_BYTES}), 5)
    for u in range(lo, hi):
        for first in range(0, channels, {BLOCK}):
            count = imin(channels - first, {BLOCK})
            g = advance(gradient, u * channels + first)
            x = advance(image, u * channels + first)
            y = advance(normalised, u * channels + first)
            z = advance(result, u * channels + first)
            start = imax(-first, -2 * {RADIUS})
            stop = imin(channels - first, count + 2 * {RADIUS})
            for k in range(-2 * {RADIUS}, start):
                squares[k + 2 * {RADIUS}] = 0
            for k in range(start, stop):
                squares[k + 2 * {RADIUS}] = x[k] * x[k]
            for k in range(stop, count + 2 * {RADIUS}):
                squares[k + 2 * {RADIUS}] = 0
            start = imax(-first, -{RADIUS})
            stop = imin(channels - first, count + {RADIUS})
            for k in range(-{RADIUS}, start):
                shares[k + {RADIUS}] = 0
            for k in range(start, stop):
                c = k + {RADIUS}
                n = bias + alpha * ({SUM})
                shares[c] = g[k] * y[k] / n
            for k in range(stop, count + {RADIUS}):
                shares[k + {RADIUS}] = 0
            for k in range(count):
                c = k + {RADIUS}
                n = bias + alpha * ({SUM})
                z[k] = g[k] * ({POWER}) + factor * x[k] * ({SHARE_SUM})
"""


def _sum(name: str, index: str, radius: int) -> str:
    """The sum of a window of `name` that starts at `index`."""
    return " + ".join(f"{name}[{index} + {k}]" for k in range(2 * radius + 1))


def _kernel(text: str, kind: str, radius: int, beta: float) -> Kernel:
    return kernel(
        text,
        T=kind,
        RADIUS=str(radius),
        BLOCK=str(BLOCK),
        SQUARES_BYTES=str(8 * (BLOCK + 4 * radius)),
        SHARES_BYTES=str(8 * (BLOCK + 2 * radius)),
        SUM=_sum("squares", "c", radius),
        SHARE_SUM=_sum("shares", "k", radius),
        POWER=_POWERS.get(beta, "pow(n, power)"),
    )


def _launch(call: Node, text: str, *more: float) -> Sequence[Launch]:
    params: dict[str, Any] = params_of(call)
    beta = params["beta"]
    code = _kernel(text, element_type(call.dtype, "LRN"), params["radius"], beta)
    channels = call.shape[-1]
    values = [scalar_word(v, call.dtype) for v in (params["bias"], params["alpha"], -beta, *more)]
    pointers = [Pointer(i) for i in range(len(call.args))]
    pixels = call.size // max(channels, 1)
    work = channels * (2 * params["radius"] + 8)
    moved = (len(call.args) + 1) * call.size * call.dtype.size
    return [Launch(code, (*pointers, Pointer(-1), channels, *values), pixels, grain(work), moved)]


@template("lrn")
def lrn(call: Node) -> Sequence[Launch]:
    """Each element by the power of the sum over its neighbours."""
    return _launch(call, LRN)


@template("lrn_grad")
def lrn_grad(call: Node) -> Sequence[Launch]:
    """Arguments: the gradient of `lrn`'s result, its argument, its result."""
    params = params_of(call)
    return _launch(call, LRN_GRAD, -2 * params["alpha"] * params["beta"])
