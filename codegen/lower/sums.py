"""Sums of many terms, as gradients are of what is used in many places: at every step of a recurrent network, say.

There the terms are alike, and one pass over all of what they are computed from takes the place of one for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Final

from flowc.codegen.ir import Node, access
from flowc.codegen.lower.arrays import joined
from flowc.codegen.lower.matmul import factors_of, product
from flowc.codegen.lower.registry import LoweredOp, lowering
from flowc.codegen.program import Program
from flowc.codegen.templates import params_of

FEWEST: Final = 3  # sums of rows for which it pays to copy what they add up
MOST_COPIED: Final = 1 << 20  # elements, for which it does


@lowering("AddN")
def add_n(p: Program, op: LoweredOp, *inputs: Node) -> Node:
    whole = _parts_joined(p, inputs)
    terms = _sums_joined(p, _products_joined(p, inputs))
    return whole or reduce(lambda total, x: p.map("add", total, x), terms)


def _parts_joined(p: Program, terms: Sequence[Node]) -> Node | None:
    """The array of which each term has another part, with zeros around it: the gradient of an array that was cut up."""
    if any(x.op != "call" or x.attr[0] != "pad" for x in terms):
        return None
    axes = {a for x in terms for a, n in enumerate(x.args[0].shape) if n != x.shape[a]}
    if len(axes) != 1:
        return None
    axis = axes.pop()
    parts = sorted(terms, key=lambda x: _start(x, axis))
    starts = [_start(x, axis) for x in parts]
    ends = [start + x.args[0].shape[axis] for start, x in zip(starts, parts, strict=True)]
    if [*starts, terms[0].shape[axis]] != [0, *ends]:
        return None
    return joined(p, [x.args[0] for x in parts], axis)


def _start(pad: Node, axis: int) -> int:
    return int(params_of(pad)["before"][axis])


def _products_joined(p: Program, terms: Sequence[Node]) -> list[Node]:
    """The terms, with A₁·B₁ + A₂·B₂ + … as one product: A₁, A₂, … side by side, times B₁, B₂, … below each other."""
    pairs = {x: factors for x in terms if (factors := factors_of(x)) is not None and _joins(*factors)}
    if len(pairs) < 2:
        return list(terms)
    lefts, rights = zip(*(pairs[x] for x in terms if x in pairs), strict=True)
    return [product(p, _side_by_side(p, lefts), joined(p, rights, 0)), *(x for x in terms if x not in pairs)]


def _sums_joined(p: Program, terms: Sequence[Node]) -> list[Node]:
    """The terms, with sums over the rows of several arrays as one, of the joined array that a product reads, too."""
    rows = [x.args[0] for x in terms if _is_sum_of_rows(x)]
    if len(rows) < FEWEST or len({x.shape[1:] for x in rows}) > 1 or sum(x.size for x in rows) > MOST_COPIED:
        return list(terms)
    return [p.reduce("sum", joined(p, rows, 0), [0]), *(x for x in terms if not _is_sum_of_rows(x))]


def _is_sum_of_rows(x: Node) -> bool:
    return x.op == "reduce" and x.attr == ("sum", (0,), 0) and len(x.shape) > 0


def _joins(a: Node, b: Node) -> bool:
    """Whether copying the factors a [m, k] and b [k, n] costs less than adding up their product."""
    m, k, n = *a.shape, b.shape[1]
    return k * (m + n) < m * n


def _side_by_side(p: Program, matrices: Sequence[Node]) -> Node:
    """[m, k₁ + k₂ + …]; transposes are joined as what they are transposes of."""
    if all(access(x)[2][0] == 1 for x in matrices):
        return p.transpose(joined(p, [p.transpose(x, (1, 0)) for x in matrices], 0), (1, 0))
    return joined(p, matrices, 1)
