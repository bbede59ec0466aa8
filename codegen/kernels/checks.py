"""Checks of values that only a run knows: each looks at its argument, and records an error if it is bad.

A check gives a scalar that changes nothing when it is added to the checked values (0), so that whatever uses
the sum runs after the check. Params: `error` (class name in flowc.errors), `message`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, StatusWord, params_of, template

# Unit: one element. Words: values, token, status, error.
CHECK_NONZERO: Final = """
def check_nonzero_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    token = ptr_{T}(a[1], 1)
    if lo == 0:
        token[0] = 0
    zero = False
    for i in range(lo, hi):
        zero = zero | (x[i] == 0)
    if zero:
        atomic_cas(a[2], 0, a[3])
"""

# Unit: one element. Words: values, token, bound, status, error. Details: position, value, bound.
CHECK_RANGE: Final = """
def check_range_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    token = ptr_{T}(a[1], 1)
    bound = a[2]
    if lo == 0:
        token[0] = 0
    for i in range(lo, hi):
        value = i64(x[i])
        if value < 0 or value >= bound:
            if atomic_cas(a[3], 0, a[4]) == 0:
                record = ptr_i64(a[3], -1)
                record[1] = i
                record[2] = value
                record[3] = bound
            break
"""

# Unit: one element. Words: values, token, limit, status, error.
CHECK_BELOW: Final = """
def check_below_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    token = ptr_{T}(a[1], 1)
    if lo == 0:
        token[0] = 0
    for i in range(lo, hi):
        if i64(x[i]) >= a[2]:
            atomic_cas(a[3], 0, a[4])
            break
"""


# Unit: one element. Words: values, others, token, status, error. Details: position, value, other.
CHECK_BELOW_OTHER: Final = """
def check_below_other_{T}(args, lo, hi):
    a = ptr_i64(args, -1)
    x = ptr_{T}(a[0], 0)
    y = ptr_{T}(a[1], 1)
    token = ptr_{T}(a[2], 2)
    if lo == 0:
        token[0] = 0
    for i in range(lo, hi):
        if x[i] >= y[i]:
            if atomic_cas(a[3], 0, a[4]) == 0:
                record = ptr_i64(a[3], -1)
                record[1] = i
                record[2] = i64(x[i])
                record[3] = i64(y[i])
            break
"""


def _launch(call: Node, text: str, *words: int | StatusWord) -> Sequence[Launch]:
    x = call.args[0]
    code = kernel(text, T=element_type(x.dtype, call.attr[0]))
    return [Launch(code, (Pointer(0), Pointer(-1), *words), x.size, grain(1), x.size * x.dtype.size)]


def _status(call: Node) -> StatusWord:
    params = params_of(call)
    return StatusWord(params["error"], params["message"])


@template("check_nonzero", may_fail=True, strided=EVERY_ARGUMENT)
def check_nonzero(call: Node) -> Sequence[Launch]:
    """No element is 0."""
    return _launch(call, CHECK_NONZERO, _status(call))


@template("check_range", may_fail=True, strided=EVERY_ARGUMENT)
def check_range(call: Node) -> Sequence[Launch]:
    """Every integer is in [0, `bound`). Details of the message: position, value, bound."""
    return _launch(call, CHECK_RANGE, params_of(call)["bound"], _status(call))


@template("check_below", may_fail=True, strided=EVERY_ARGUMENT)
def check_below(call: Node) -> Sequence[Launch]:
    """Every integer is less than `limit`."""
    return _launch(call, CHECK_BELOW, params_of(call)["limit"], _status(call))


@template("check_below_other", may_fail=True, strided=EVERY_ARGUMENT)
def check_below_other(call: Node) -> Sequence[Launch]:
    """Every integer is less than the one of a second array. Details of the message: position, both."""
    x, y = call.args
    code = kernel(CHECK_BELOW_OTHER, T=element_type(x.dtype, call.attr[0]))
    words = (Pointer(0), Pointer(1), Pointer(-1), _status(call))
    return [Launch(code, words, x.size, grain(2), x.size * x.dtype.size + y.size * y.dtype.size)]


# Words: whether there is a NaN, whether there is an infinity, status, error, status, error, status, error: of NaNs, of
# infinities, of both.
REPORT_NUMERICS: Final = """
def report_numerics(args, lo, hi):
    a = ptr_i64(args, -1)
    has_nan = ptr_b1(a[0], -1)
    has_inf = ptr_b1(a[1], -1)
    if has_nan[0]:
        if has_inf[0]:
            atomic_cas(a[6], 0, a[7])
        else:
            atomic_cas(a[2], 0, a[3])
    elif has_inf[0]:
        atomic_cas(a[4], 0, a[5])
"""


@template("report_numerics", may_fail=True)
def report_numerics(call: Node) -> Sequence[Launch]:
    """Records an error if there is a NaN, the first argument, or an infinity, the second. Its result is nothing."""
    prefix = f"{params_of(call)['message']} : Tensor had "
    sites = [StatusWord("InvalidArgumentError", f"{prefix}{what} values") for what in ("NaN", "Inf", "Inf and NaN")]
    return [Launch(kernel(REPORT_NUMERICS), (Pointer(0), Pointer(1), *sites), 1, 1)]
