"""Kernels that run parts of the tape: a loop's body again and again, one of a conditional's two sides.

Their words: a bool's address, the instance's block, the function that runs rows, then each part's first row and number
of rows, and the address of the run's error record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import kernel
from flowc.codegen.plan import Kernel, Runtime
from flowc.codegen.templates import Launch, Pointer, RuntimeWord, StackWord, StatusWord, params_of, template

LOOP: Final = """
def run_loop(args, lo, hi):
    a = ptr_i64(args, -1)
    more = ptr_b1(a[0], -1)
    status = ptr_i64(a[5], -1)
    while more[0]:
        call_i64(a[2], a[1], a[3], a[4])
        if status[0] != 0:
            break
"""

CONDITIONAL: Final = """
def run_one_of_two(args, lo, hi):
    a = ptr_i64(args, -1)
    pred = ptr_b1(a[0], -1)
    if pred[0]:
        call_i64(a[2], a[1], a[5], a[6])
    else:
        call_i64(a[2], a[1], a[3], a[4])
"""

CONTROL_KERNELS: Final[dict[str, Kernel]] = {"loop": kernel(LOOP), "conditional": kernel(CONDITIONAL)}

# Words: predicate, what it must be, status, error. The value is there already.
ONLY_IF: Final = """
def only_if(args, lo, hi):
    a = ptr_i64(args, -1)
    pred = ptr_b1(a[0], -1)
    found = 0
    if pred[0]:
        found = 1
    if found != a[1]:
        atomic_cas(a[2], 0, a[3])
"""


@template("only_if", in_place=0, may_fail=True)
def only_if(call: Node) -> Sequence[Launch]:
    """The first argument, if the second, a bool, is `outcome`; else an InvalidArgumentError."""
    params = params_of(call)
    words = (Pointer(1), int(params["outcome"]), StatusWord("InvalidArgumentError", params["message"]))
    return [Launch(kernel(ONLY_IF), words, 1, 1)]


# -- values of all iterations ------------------------------------------------------------------------------------------
#
# A history is two words: the address of the stack's words (memory, bytes), and how many values there are.

# Words: history, stack.
HISTORY_NEW: Final = """
def history_new(args, lo, hi):
    a = ptr_i64(args, -1)
    history = ptr_i64(a[0], -1)
    history[0] = a[1]
    history[1] = 0
"""

# Words: history, value, bytes of it, realloc, status, error.
HISTORY_PUSH: Final = """
def history_push(args, lo, hi):
    a = ptr_i64(args, -1)
    history = ptr_i64(a[0], -1)
    stack = ptr_i64(history[0], -1)
    size = a[2]
    used = history[1] * size
    if used + size > stack[1]:
        room = 2 * stack[1] + 4 * size + 4096
        memory = call_i64(a[3], stack[0], room)
        if memory == 0:
            atomic_cas(a[4], 0, a[5])
            return
        stack[0] = memory
        stack[1] = room
    memory_copy(stack[0] + used, a[1], size)
    history[1] += 1
"""

# Words: history, index, result, bytes of it.
HISTORY_READ: Final = """
def history_read(args, lo, hi):
    a = ptr_i64(args, -1)
    history = ptr_i64(a[0], -1)
    stack = ptr_i64(history[0], -1)
    index = ptr_i32(a[1], -1)
    memory_copy(a[2], stack[0] + i64(index[0]) * a[3], a[3])
"""


@template("history_new")
def history_new(call: Node) -> Sequence[Launch]:
    """An empty history."""
    return [Launch(kernel(HISTORY_NEW), (Pointer(-1), StackWord()), 1, 1)]


@template("history_push", in_place=0, may_fail=True)
def history_push(call: Node) -> Sequence[Launch]:
    """A history with one value more."""
    value = call.args[1]
    size = value.size * value.dtype.size
    error = StatusWord("ResourceExhaustedError", "There is no memory for the values of so many iterations.")
    words = (Pointer(-1), Pointer(1), size, RuntimeWord(Runtime.REALLOCATE), error)
    return [Launch(kernel(HISTORY_PUSH), words, 1, 1, 2 * size)]


@template("history_read")
def history_read(call: Node) -> Sequence[Launch]:
    """The value that was pushed as number `index`, an int32."""
    size = call.size * call.dtype.size
    return [Launch(kernel(HISTORY_READ), (Pointer(0), Pointer(1), Pointer(-1), size), 1, 1, 2 * size)]
