"""Updates of some rows of a variable and its slots: `previous_equal` and `sparse_update`.

The gradient of row `indices[i]` is row i. A repeated row is updated repeatedly, in order: step i starts from the step
before it with the same index, `previous_equal(indices)[i]`, or from the tables where there is none. `sparse_update`
(rule) gives the states after every step, [states, steps, columns]; the last of each row is then scattered into the
tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Final

from flowc.codegen.ir import Node
from flowc.codegen.kernels.source import element_type, grain, kernel
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import EVERY_ARGUMENT, Launch, Pointer, Word, params_of, template

# Unit: one index. Looks back through all before it, which for a batch of some thousand is less than a table would cost.
PREVIOUS_EQUAL: Final = """
def previous_equal_{I}(args, lo, hi):
    a = ptr_i64(args, -1)
    indices = ptr_{I}(a[0], 0)
    result = ptr_i64(a[1], 1)
    for i in range(lo, hi):
        found = i - 1
        while found >= 0:
            if indices[found] == indices[i]:
                break
            found -= 1
        result[i] = found
"""


@dataclass(frozen=True)
class Rule:
    """One step of an optimizer on one element: state k is `s{k}` before and `t{k}` after it, the gradient `g`."""

    states: int
    scalars: tuple[str, ...]
    step: str


RULES: Final = {
    "momentum": Rule(2, ("rate", "momentum"), "t1 = momentum * s1 + g\nt0 = s0 - rate * t1"),
    "adagrad": Rule(2, ("rate",), "t1 = s1 + g * g\nt0 = s0 - rate * g / sqrt(t1)"),
    "ftrl": Rule(
        3,
        ("rate", "l1", "l2", "power"),
        "t1 = s1 + g * g\n"
        "after = pow(t1, -power)\n"
        "t2 = s2 + g - (after - pow(s1, -power)) / rate * s0\n"
        "t0 = select(abs(t2) <= l1, 0.0, (sign(t2) * l1 - t2) / (after / rate + 2.0 * l2))",
    ),
}


def update_kernel(rule_name: str, kind: str, index_kind: str) -> Kernel:
    """The kernel of a rule. Unit: one column. Words: the addresses of result, gradient, indices, previous, tables and
    scalars; rows of the tables, columns, steps. A step whose index is out of range does nothing: a check of the indices
    fails the run."""
    rule = RULES[rule_name]
    states = range(rule.states)
    first_scalar = 4 + rule.states
    sizes = first_scalar + len(rule.scalars)
    tables = "".join(f"    table{k} = ptr_{kind}(a[{4 + k}], {4 + k})\n" for k in states)
    scalars = "".join(f"    {name} = ptr_{kind}(a[{first_scalar + i}], -1)[0]\n" for i, name in enumerate(rule.scalars))
    results = "".join(f"            y{k} = advance(result, ({k} * steps + i) * n)\n" for k in states)
    text = f"""
def sparse_{rule_name}_{kind}_{index_kind}(args, lo, hi):
    a = ptr_i64(args, -1)
    result = ptr_{kind}(a[0], 0)
    gradient = ptr_{kind}(a[1], 1)
    indices = ptr_{index_kind}(a[2], 2)
    previous = ptr_i64(a[3], 3)
{tables}{scalars}    rows = a[{sizes}]
    n = a[{sizes + 1}]
    steps = a[{sizes + 2}]
    for i in range(steps):
        index = i64(indices[i])
        if index >= 0 and index < rows:
            x = advance(gradient, i * n)
{results}            before = previous[i]
            if before >= 0:
{_loop(rule, "p", [f"advance(result, ({k} * steps + before) * n)" for k in states])}
            else:
{_loop(rule, "q", [f"advance(table{k}, index * n)" for k in states])}
"""
    return kernel(text)


def _loop(rule: Rule, name: str, starts: Sequence[str]) -> str:
    """The loop over columns that steps from the states at `starts`."""
    lines = [f"{name}{k} = {start}" for k, start in enumerate(starts)]
    lines += ["for j in range(lo, hi):", "    g = x[j]"]
    lines += [f"    s{k} = {name}{k}[j]" for k in range(rule.states)]
    lines += [f"    {line}" for line in rule.step.split("\n")]
    lines += [f"    y{k}[j] = t{k}" for k in range(rule.states)]
    return "\n".join(" " * 16 + line for line in lines)


@template("previous_equal", strided=EVERY_ARGUMENT)
def previous_equal(call: Node) -> Sequence[Launch]:
    """For each index, the place of the last equal one before it, or -1: int64."""
    (indices,) = call.args
    code = kernel(PREVIOUS_EQUAL, I=element_type(indices.dtype, "A sparse update"))
    return [Launch(code, (Pointer(0), Pointer(-1)), indices.size, grain(indices.size), indices.size**2)]


@template("sparse_update", strided=EVERY_ARGUMENT)
def sparse_update(call: Node) -> Sequence[Launch]:
    """Arguments: gradient, indices, previous, the tables, the scalars of the rule `rule`."""
    name = params_of(call)["rule"]
    gradient, indices = call.args[:2]
    table = call.args[3]
    what = f"The sparse {name} update"
    code = update_kernel(name, element_type(call.dtype, what), element_type(indices.dtype, what))
    n = prod(table.shape[1:])
    pointers = [Pointer(i) for i in range(len(call.args))]
    words: tuple[Word, ...] = (Pointer(-1), *pointers, table.shape[0], n, indices.size)
    return [Launch(code, words, n, max(16, grain(2 * indices.size)), 3 * call.size * gradient.dtype.size)]
