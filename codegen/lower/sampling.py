"""Candidate sampling: the classes, and how often each was to be expected.

A class of probability p is expected p·n times in n draws; where classes do not repeat, and that took t tries, it is
expected with 1 - (1 - p)^t, which is -expm1(t · log1p(-p)).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

from flowc.codegen.ir import Array, Node
from flowc.codegen.kernels.sampling import hits_table, result_size, table_size
from flowc.codegen.lower.common import dense, full, index_token, invalid
from flowc.codegen.lower.random import identity_and_seed
from flowc.codegen.lower.registry import LoweredOp, bounded, lowering
from flowc.codegen.program import Program
from flowc.codegen.unigrams import class_weights
from flowc.framework.dtypes import float32, int32, int64

Outputs = Sequence[Node]


def _drawn(p: Program, op: LoweredOp, distribution: str, args: Sequence[Node], size: int, support: int) -> Node:
    """The call that draws classes, of which `support` can come out. See `flowc.codegen.kernels.sampling`."""
    unique = bool(op.attrs["unique"])
    if unique and op.attrs["num_sampled"] > support:
        raise invalid(
            f"Sampler's range is too small: {op.attrs['num_sampled']} different classes of {support} cannot be drawn."
        )
    own: dict[str, Any] = {"distribution": distribution, "unique": unique, **identity_and_seed(op)}
    return p.call(
        "sample_candidates",
        args,
        (size,),
        int64,
        range=int(op.attrs["range_max"]),
        number=int(op.attrs["num_sampled"]),
        **own,
    )


def _size(op: LoweredOp, learned_from: int | None = None) -> int:
    return result_size(int(op.attrs["num_sampled"]), bool(op.attrs["unique"]), learned_from)


def _classes(p: Program, op: LoweredOp, drawn: Node) -> Node:
    return p.slice(drawn, [0], [op.attrs["num_sampled"]])


def _expected(p: Program, op: LoweredOp, drawn: Node, chance: Node) -> Node:
    """How often a class of probability `chance` is expected among those drawn."""
    number = op.attrs["num_sampled"]
    often = p.map("mul", chance, p.scalar(number, float32))
    if not op.attrs["unique"]:
        return often
    tries = p.cast(p.reshape(p.slice(drawn, [number], [1]), ()), float32)
    never = p.map("mul", tries, p.map("log1p", p.map("neg", chance)))
    once = p.map("neg", p.map("expm1", never))
    return p.map("select", p.map("eq", tries, p.scalar(number, float32)), often, once)


@lowering("UniformCandidateSampler")
def uniform(p: Program, op: LoweredOp, true: Node) -> Outputs:
    drawn = _drawn(p, op, "uniform", [], _size(op), op.attrs["range_max"])
    expected = _expected(p, op, drawn, p.scalar(1 / op.attrs["range_max"], float32))
    return [_classes(p, op, drawn), *(p.broadcast(expected, shape) for shape in op.shapes[1:])]


@lowering("LogUniformCandidateSampler")
def log_uniform(p: Program, op: LoweredOp, true: Node) -> Outputs:
    """The probability of class k is log((k + 2) / (k + 1)) / log(range + 1)."""
    drawn = _drawn(p, op, "log_uniform", [], _size(op), op.attrs["range_max"])
    scale = p.scalar(1 / log(op.attrs["range_max"] + 1), float32)

    def expected(classes: Node) -> Node:
        after = p.map("add", p.cast(classes, float32), p.scalar(1, float32))
        chance = p.map("mul", p.map("log1p", p.map("reciprocal", after)), scale)
        return _expected(p, op, drawn, chance)

    sampled = _classes(p, op, drawn)
    return [sampled, expected(true), expected(sampled)]


@lowering("LearnedUnigramCandidateSampler")
def learned_unigram(p: Program, op: LoweredOp, true: Node) -> Outputs:
    """The kernel looks the weights up: those from before this run's true classes are counted."""
    number, unique = int(op.attrs["num_sampled"]), bool(op.attrs["unique"])
    inside = p.map("add", true, index_token(p, true, op.attrs["range_max"]))
    drawn = _drawn(p, op, "learned", [dense(p, inside)], _size(op, true.size), op.attrs["range_max"])
    start = number + 1 + table_size(number, unique)
    total = p.cast(p.reshape(p.slice(drawn, [start], [1]), ()), float32)

    def expected(first: int, shape: Sequence[int]) -> Node:
        weights = p.reshape(p.slice(drawn, [first], [int(np.prod(shape))]), shape)
        return _expected(p, op, drawn, p.map("div", p.cast(weights, float32), total))

    of_sampled = expected(start + 1, (number,))
    return [_classes(p, op, drawn), expected(start + 1 + number, true.shape), of_sampled]


@lowering("FixedUnigramCandidateSampler")
def fixed_unigram(p: Program, op: LoweredOp, true: Node) -> Outputs:
    weights = class_weights(op.attrs)
    chances = weights / weights.sum()
    tables = [p.const(table) for table in alias_table(chances)]
    drawn = _drawn(p, op, "unigram", tables, _size(op), int((weights > 0).sum()))
    table = p.const(chances, float32)

    def expected(classes: Node) -> Node:
        return _expected(p, op, drawn, p.call("gather", [table, dense(p, classes)], classes.shape, float32))

    sampled = _classes(p, op, drawn)
    return [sampled, expected(true), expected(sampled)]


def alias_table(chances: Array) -> tuple[Array, Array]:
    """Walker's table of n probabilities: with u uniform in [0, n), class ⌊u⌋ keeps the draw with the first array's
    probability, and passes it to the class in the second one else."""
    n = len(chances)
    keep = np.asarray(chances, np.float64) * n
    aliases = np.arange(n, dtype=np.int64)
    order = np.argsort(keep, kind="stable")
    few = int((keep < 1).sum())
    small, large = deque(order[:few]), list(order[few:])
    while small and large:  # from the smallest on, so that rounding leaves none of probability 0 over
        needy, giver = small.popleft(), large[-1]
        aliases[needy] = giver
        keep[giver] -= 1 - keep[needy]
        if keep[giver] < 1:
            small.append(large.pop())
    keep[[*small, *large]] = 1
    return keep, aliases


@lowering("AllCandidateSampler")
def all_candidates(p: Program, op: LoweredOp, true: Node) -> Outputs:
    """Every class, once."""
    return [p.iota(op.shapes[0], 0, int64), *(full(p, shape, 1, float32) for shape in op.shapes[1:])]


@bounded("ComputeAccidentalHits")
def accidental_hits(p: Program, op: LoweredOp, true: Node, sampled: Node) -> Sequence[tuple[Node, Node | None]]:
    """At most one hit for each true class."""
    n = true.size
    weights = full(p, (n,), float(np.finfo(np.float32).min), float32)
    if not n or not sampled.size:
        return [(full(p, (0,), 0, dtype), None) for dtype in (int32, int64, float32)]
    size = 2 * n + 1 + hits_table(sampled.size)
    found = p.call("accidental_hits", [dense(p, true), dense(p, sampled)], (size,), int64)
    rows, places = (p.slice(found, [start], [n]) for start in (0, n))
    count = p.reshape(p.slice(found, [2 * n], [1]), ())
    return [(p.cast(rows, int32), count), (places, count), (weights, count)]
