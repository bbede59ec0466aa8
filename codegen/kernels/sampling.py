"""Classes drawn at random: `sample_candidates` (distribution, range, unique, key, seed), and `accidental_hits`.

The result of `sample_candidates` is one int64 vector: the classes, [n]; how many tries it took; for `learned`, the sum
of all weights, those of the sampled and of the true classes; at the end what the kernel needs itself, a hash table of
the classes drawn so far. Try i draws from block i of the Philox generator (`codegen.kernels.random`).

    uniform       ⌊u · range⌋
    log_uniform   ⌊e^(u · log(range + 1))⌋ - 1
    unigram       by given weights, as an alias table: class j with its chance, else its alias
    learned       by 1 + how often each was a true class before, which a Fenwick tree in the session's memory counts

Sources: A. J. Walker, "An efficient method for generating discrete random variables with general distributions", 1977;
P. M. Fenwick, "A new data structure for cumulative frequency tables", 1994.
"""

from __future__ import annotations

import struct
import textwrap
from collections.abc import Sequence
from math import log
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.random import PHILOX, PREPARE, advance_count, state_words
from flowc.codegen.kernels.source import grain, kernel
from flowc.codegen.templates import Launch, Pointer, StateWord, Word, params_of, template

# One unit, for all of it. Words: result, number, key, its address, address of the count of runs, range, the table's
# size less 1 (-1: classes may repeat), words of the distribution. PREPARE and BLOCK take theirs from words 2 to 4.
SAMPLE: Final = """
def sample_{NAME}(args, lo, hi):
    a = ptr_i64(args, -1)
    ids = ptr_i64(a[0], 0)
    n = a[1]
{PREPARE}
    classes = a[5]
    mask = a[6]
{SETUP}
    table = advance(ids, n + 1)
    for k in range(mask + 1):
        table[k] = -1
    tries = i64(0)
    count = i64(0)
    while count < n:
{BLOCK}
        u = f64(i64(((u64(c0) << 32) | u64(c1)) >> 11)) * {UNIT}
{DRAW}
        drawn = imin(imax(drawn, 0), classes - 1)
        tries += 1
        is_new = True
        if mask >= 0:
            slot = i64(shr(u64(drawn * -7046029254386353131), 24))
            held = table[slot & mask]
            while held != -1 and held != drawn:
                slot += 1
                held = table[slot & mask]
            is_new = held == -1
            table[slot & mask] = drawn
        if is_new:
            ids[count] = drawn
            count += 1
    ids[n] = tries
"""

_LEARNED_DRAW: Final = """
target = i64(u * f64(classes + extra[0]))
drawn = i64(0)
step = highest
while step > 0:
    after = drawn + step
    if after <= classes:
        weight = step + extra[after]
        if weight <= target:
            drawn = after
            target -= weight
    step = step >> 1
"""
DRAWS: Final = {  # (what comes before the loop, a draw by u)
    "uniform": ("", "drawn = i64(u * f64(classes))"),
    "log_uniform": ("scale = bits_float(a[7])", "drawn = i64(exp(u * scale)) - 1"),
    "unigram": (
        "chances = ptr_f64(a[7], 1)\naliases = ptr_i64(a[8], 2)",
        "drawn = imin(i64(u * f64(classes)), classes - 1)\n"
        "if f64(i64(((u64(c2) << 32) | u64(c3)) >> 11)) * {UNIT} >= chances[drawn]:\n    drawn = aliases[drawn]",
    ),
    "learned": ("extra = ptr_i64(a[7], 1)\nhighest = a[8]", _LEARNED_DRAW),
}

# One unit. Words: result, sampled classes, where in the result to go on, true classes, the tree, number of true classes
# of all classes. The tree's node i counts the classes from i - (its lowest bit) up to i - 1, beside one for each.
LEARN: Final = """
def learn_classes(args, lo, hi):
    a = ptr_i64(args, -1)
    ids = ptr_i64(a[0], 0)
    n = a[1]
    weights = advance(ids, a[2])
    true = ptr_i64(a[3], 1)
    extra = ptr_i64(a[4], 2)
    classes = a[6]
    weights[0] = classes + extra[0]
    i = i64(0)
    while i < n + a[5]:
        wanted = i64(0)
        if i < n:
            wanted = ids[i]
        else:
            wanted = true[i - n]
        weight = i64(0)
        if wanted >= 0 and wanted < classes:
            node = wanted + 1
            weight = 1 + extra[node]
            low = wanted
            while low > node - (node & -node):
                weight -= extra[low]
                low -= low & -low
        weights[1 + i] = weight
        i += 1
    i = i64(0)
    while i < a[5]:
        node = true[i] + 1
        if node > 0 and node <= classes:
            extra[0] = extra[0] + 1
            while node <= classes:
                extra[node] = extra[node] + 1
                node += node & -node
        i += 1
"""

_UNIT: Final = repr(2.0**-53)
_TRY: Final = 64  # the work of one, in elements moved


def _indented(text: str, levels: int) -> str:
    return textwrap.indent(text.strip("\n"), "    " * levels)


def table_size(number: int, unique: bool) -> int:
    """Slots of the hash table: a power of 2, of which at most half will be taken."""
    return 1 << max(2 * number - 1, 1).bit_length() if unique else 0


def result_size(number: int, unique: bool, learned_from: int | None = None) -> int:
    """How many int64 the result has; `learned_from`: the number of true classes of the `learned` distribution."""
    weights = 0 if learned_from is None else 1 + number + learned_from
    return number + 1 + table_size(number, unique) + weights


@template("sample_candidates")
def sample_candidates(call: Node) -> Sequence[Launch]:
    """Arguments: chances and aliases of `unigram`; the true classes of `learned`; none of the others."""
    params = params_of(call)
    name, classes, number, unique = (params[key] for key in ("distribution", "range", "number", "unique"))
    size = table_size(number, unique)
    words: tuple[Word, ...] = (Pointer(-1), number, *state_words(call), classes, size - 1)
    setup, draw = DRAWS[name]
    code = kernel(
        SAMPLE,
        NAME=name,
        PREPARE=_indented(PREPARE, 1),
        SETUP=_indented(setup, 1),
        BLOCK=_indented(PHILOX.format(BLOCK="tries"), 2),
        UNIT=_UNIT,
        DRAW=_indented(draw.format(UNIT=_UNIT), 2),
    )
    launch = Launch(code, (*words, *_own_words(call, name, classes)), 1, grain(_TRY * number), 8 * call.size)
    learning = [_learning(call, number, size, classes)] if name == "learned" else []
    return [launch, *learning, advance_count(call)]


def _own_words(call: Node, name: str, classes: int) -> tuple[Word, ...]:
    if name == "log_uniform":
        (bits,) = struct.unpack("<q", struct.pack("<d", log(classes + 1)))
        return (bits,)
    if name == "unigram":
        return Pointer(0), Pointer(1)
    return (_tree(call, classes), 1 << (classes.bit_length() - 1)) if name == "learned" else ()


def _tree(call: Node, classes: int) -> StateWord:
    return StateWord(f"{params_of(call)['key']}/classes:{classes + 1}")


def _learning(call: Node, number: int, size: int, classes: int) -> Launch:
    """Looks the weights up, then counts the true classes."""
    true = call.args[0].size
    words = (Pointer(-1), number, number + 1 + size, Pointer(0), _tree(call, classes), true, classes)
    return Launch(kernel(LEARN), words, 1, grain(_TRY * (number + true)), 8 * call.size)


# One unit. Words: true classes, sampled classes, result, number of true and of sampled classes, true classes a row, the
# table's size less 1. The result: rows and places of the hits, [true classes] each; how many there are; the table, of
# places from 1 on: the last place counts where a class was drawn more than once.
HITS: Final = """
def accidental_hits(args, lo, hi):
    a = ptr_i64(args, -1)
    true = ptr_i64(a[0], 0)
    sampled = ptr_i64(a[1], 1)
    rows = ptr_i64(a[2], 2)
    n = a[3]
    mask = a[6]
    places = advance(rows, n)
    table = advance(rows, 2 * n + 1)
    for k in range(mask + 1):
        table[k] = 0
    i = i64(0)
    while i < a[4]:
        slot = i64(shr(u64(sampled[i] * -7046029254386353131), 24))
        place = table[slot & mask]
        while place != 0 and sampled[place - 1] != sampled[i]:
            slot += 1
            place = table[slot & mask]
        i += 1
        table[slot & mask] = i
    count = i64(0)
    i = i64(0)
    while i < n:
        slot = i64(shr(u64(true[i] * -7046029254386353131), 24))
        place = table[slot & mask]
        while place != 0 and sampled[place - 1] != true[i]:
            slot += 1
            place = table[slot & mask]
        rows[i] = 0
        places[i] = 0
        if place != 0:
            rows[count] = idiv(i, a[5])
            places[count] = place - 1
            count += 1
        i += 1
    rows[2 * n] = count
"""


@template("accidental_hits")
def accidental_hits(call: Node) -> Sequence[Launch]:
    """Which of the sampled classes are true ones of a row."""
    true, sampled = call.args
    words = (Pointer(0), Pointer(1), Pointer(-1), true.size, sampled.size, true.shape[1], hits_table(sampled.size) - 1)
    return [Launch(kernel(HITS), words, 1, grain(8 * (true.size + sampled.size)), 8 * call.size)]


def hits_table(sampled: int) -> int:
    """Slots of the table of sampled classes."""
    return table_size(sampled, True)
