"""Lowerings: every op has one, and what they build. Nothing is compiled here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.ir import Node, access
from flowc.codegen.lower.registry import (
    OUTPUT,
    LoweredOp,
    UnknownValue,
    lowering,
    lowering_of,
    update_of,
)
from flowc.codegen.program import Program
from flowc.codegen.templates import template_of
from flowc.framework.dtypes import DType, as_dtype, complex64, float16, float32, int8, int32, int64


class Lowered:
    """A program of fed inputs, and ops lowered onto it."""

    def __init__(self) -> None:
        self.program = Program()
        self.feeds = 0

    def feed(self, *shape: int, dtype: DType = float32) -> Node:
        self.feeds += 1
        return self.program.feed(self.feeds - 1, dtype, shape)

    def lower(
        self, op_type: str, inputs: list[Any], shape: tuple[int, ...], dtype: DType = float32, **attrs: Any
    ) -> Any:
        """Lowers an op with one output. An input that is no node is a constant, known before the run."""
        values = [None if isinstance(x, Node) else np.asarray(x) for x in inputs]
        nodes = [x if isinstance(x, Node) else self.program.const(np.asarray(x)) for x in inputs]
        outputs = attrs.pop("outputs", [(shape, dtype)])
        op = LoweredOp("op", op_type, attrs, [s for s, _ in outputs], [d for _, d in outputs], values)
        function = lowering_of(op_type) or update_of(op_type)
        assert function is not None
        return function(self.program, op, *nodes)


def test_an_op_type_is_lowered_once() -> None:
    with pytest.raises(KeyError, match="'Add' is lowered twice"):
        lowering("Add")(lambda p, op, x, y: x)


# -- views -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op_type", "rest", "shape", "offset", "strides"),
    [
        ("Reshape", [[4, 6]], (4, 6), 0, (6, 1)),
        ("Transpose", [[2, 0, 1]], (4, 2, 3), 0, (1, 12, 4)),
        ("Slice", [[1, 0, 2], [1, 3, 2]], (1, 3, 2), 14, (0, 4, 1)),
        ("Reverse", [[False, True, False]], (2, 3, 4), 8, (12, -4, 1)),
        ("BroadcastTo", [[5, 2, 3, 4]], (5, 2, 3, 4), 0, (0, 12, 4, 1)),
    ],
)
def test_views_cost_nothing(op_type: str, rest: list[Any], shape: Any, offset: int, strides: Any) -> None:
    t = Lowered()
    x = t.feed(2, 3, 4)
    assert access(t.lower(op_type, [x, *rest], shape)) == (x, offset, strides)


def test_split_and_unpack_are_views() -> None:
    t = Lowered()
    x = t.feed(4, 6)
    parts = t.lower("Split", [1, x], (), num_split=3, outputs=[((4, 2), float32)] * 3)
    assert [access(part) for part in parts] == [(x, start, (6, 1)) for start in (0, 2, 4)]
    rows = t.lower("Unpack", [x], (), num=4, outputs=[((6,), float32)] * 4)
    assert [access(row) for row in rows] == [(x, start, (1,)) for start in (0, 6, 12, 18)]


def test_tile_is_one_copy_of_a_broadcast() -> None:
    t = Lowered()
    x = t.feed(2, 3)
    tiled = t.lower("Tile", [x, [2, 2]], (4, 6))
    copy = access(tiled)[0]
    assert (copy.op, copy.attr, copy.shape) == ("map", "copy", (2, 2, 2, 3))
    assert access(copy.args[0]) == (x, 0, (0, 3, 0, 1))


def test_what_must_be_known_says_so() -> None:
    t = Lowered()
    with pytest.raises(UnknownValue) as unknown:
        t.lower("Transpose", [t.feed(2, 3), t.feed(2, dtype=int32)], (3, 2))
    assert unknown.value.index == 1


# -- elementwise and reductions ----------------------------------------------------------------------------------------


def printed(program: Program) -> list[str]:
    return [str(node) for node in program.nodes if node.op not in ("input", "const")]


def test_softmax_is_maps_and_reductions() -> None:
    t = Lowered()
    t.lower("Softmax", [t.feed(8, 10)], (8, 10))
    assert printed(t.program) == [
        "%1 = reduce[('max', (1,), 0)](%0) : float32[8]",
        "%2 = view[(0, (1, 0))](%1) : float32[8, 1]",
        "%3 = map[sub](%0, %2) : float32[8, 10]",
        "%4 = map[exp](%3) : float32[8, 10]",
        "%5 = reduce[('sum', (1,), 0)](%4) : float32[8]",
        "%6 = view[(0, (1, 0))](%5) : float32[8, 1]",
        "%7 = map[reciprocal](%6) : float32[8, 1]",
        "%8 = map[log](%6) : float32[8, 1]",
        "%9 = map[mul](%4, %7) : float32[8, 10]",
    ]


def test_integers_are_divided_after_a_check_of_the_divisor() -> None:
    t = Lowered()
    x, y = t.feed(3, dtype=int32), t.feed(3, dtype=int32)
    t.lower("Div", [x, y], (3,), int32)
    call = next(node for node in t.program.nodes if node.op == "call")
    assert call.attr[0] == "check_nonzero"
    assert template_of(call).may_fail
    assert printed(t.program)[-2:] == [
        "%3 = map[add](%1, %2) : int32[3]",
        "%4 = map[div](%0, %3) : int32[3]",
    ]


def test_a_known_divisor_is_checked_at_once() -> None:
    t = Lowered()
    x = t.feed(2, dtype=int32)
    t.lower("Mod", [x, np.array([2, 3], np.int32)], (2,), int32)
    assert not any(node.op == "call" for node in t.program.nodes)
    with pytest.raises(tf.errors.InvalidArgumentError, match="by zero"):
        t.lower("Mod", [x, np.array([2, 0], np.int32)], (2,), int32)


def test_sums_of_float16_are_taken_in_float32() -> None:
    t = Lowered()
    result = t.lower("Sum", [t.feed(100, dtype=float16), [0]], (), float16, keep_dims=False)
    assert (result.attr, result.dtype) == ("cast", float16)
    assert result.args[0].dtype is float32


def test_means_of_integers_are_summed_in_int64() -> None:
    t = Lowered()
    result = t.lower("Mean", [t.feed(100, dtype=int8), [0]], (), int8, keep_dims=False)
    assert result.dtype is int8
    assert next(node for node in t.program.nodes if node.op == "reduce").dtype is int64


def test_fill_and_range_take_no_memory() -> None:
    t = Lowered()
    filled = t.lower("Fill", [np.array([1000, 1000], np.int32), np.float32(3)], (1000, 1000))
    assert access(filled)[0].size == 1
    assert t.lower("Range", [np.int32(0), np.int32(9), np.int32(1)], (9,), int32).op == "iota"


# -- calls -------------------------------------------------------------------------------------------------------------


def test_matmul_reads_transposes_as_they_are() -> None:
    t = Lowered()
    a, b = t.feed(7, 5), t.feed(6, 7)
    call = t.lower("MatMul", [a, b], (5, 6), transpose_a=True, transpose_b=True)
    assert [arg.op for arg in call.args] == ["view", "view"]
    (launch,) = template_of(call).launches(call)
    assert launch.kernel.name == "gemm_f32"


def test_matmul_copies_what_blas_cannot_read() -> None:
    t = Lowered()
    repeated = t.program.broadcast(t.feed(1, 5), (7, 5))
    call = t.lower("MatMul", [repeated, t.feed(5, 6)], (7, 6), transpose_a=False, transpose_b=False)
    assert call.args[0].attr == "copy"


def test_a_large_product_by_blas_is_split_into_blocks_of_its_longer_side() -> None:
    """Of complex numbers, which have no kernel here."""
    t = Lowered()
    options = {"transpose_a": False, "transpose_b": False}
    for m, n in ((1000, 100), (100, 1000)):
        factors = [t.feed(m, 700, dtype=complex64), t.feed(700, n, dtype=complex64)]
        call = t.lower("MatMul", factors, (m, n), complex64, **options)
        (launch,) = template_of(call).launches(call)
        rows, columns = launch.words[12:14]
        assert (rows, columns) == ((64, 0) if m > n else (0, 64))
        assert launch.units == 16


def test_adjoints_of_complex_matrices_are_conjugated() -> None:
    t = Lowered()
    x, y = t.feed(2, 3, 4, dtype=complex64), t.feed(2, 3, 5, dtype=complex64)
    product = t.lower("BatchMatMul", [x, y], (2, 4, 5), complex64, adj_x=True, adj_y=False)
    assert access(product.args[0])[0].attr == "conj"


def test_scatter_waits_for_the_check_of_its_indices() -> None:
    t = Lowered()
    variable = t.program.variable("table", float32, (9, 4))
    new = t.lower("ScatterAdd", [variable, t.feed(3, dtype=int32), t.feed(3, 4)], (9, 4))[0]
    assert template_of(new).in_place == 0
    assert not template_of(new).may_fail
    assert template_of(new.args[3]).may_fail


def test_count_up_to_gives_the_old_value() -> None:
    t = Lowered()
    results = t.lower("CountUpTo", [t.program.variable("count", int64, ())], (), int64, limit=3)
    assert results[0].args[0] is results[OUTPUT]


def test_adam_updates_three_variables_by_maps_alone() -> None:
    t = Lowered()
    states = [t.program.variable(name, float32, (50,)) for name in ("w", "m", "v")]
    scalars = [np.float32(x) for x in (0.9, 0.999, 1e-3, 0.9, 0.999, 1e-8)]
    results = t.lower("ApplyAdam", [*states, *scalars, t.feed(50)], (50,))
    assert {i: node.shape for i, node in results.items()} == {0: (50,), 1: (50,), 2: (50,)}
    assert {node.op for node in t.program.nodes} == {"input", "const", "map"}


def test_each_random_op_has_numbers_of_its_own() -> None:
    program = Program()
    calls = []
    for name in ("first", "second"):
        op = LoweredOp(name, "RandomUniform", {"seed": 0, "seed2": 0}, [(4,)], [float32], [np.array([4])])
        function = lowering_of("RandomUniform")
        assert function is not None
        calls.append(function(program, op, program.const(np.array([4]))))
    assert calls[0] is not calls[1]


@pytest.mark.parametrize("op_type", ["Gather", "Pack", "Concat", "Select"])
def test_strings_have_no_kernels(op_type: str) -> None:
    t = Lowered()
    words = t.program.const(np.array(["a", "b"], object), as_dtype("string"))
    inputs = {
        "Gather": [words, [0]],
        "Pack": [words, words],
        "Concat": [0, words, words],
        "Select": [[True, False], words, words],
    }
    with pytest.raises(tf.errors.UnimplementedError, match=f"{op_type} has no kernel for string"):
        t.lower(op_type, inputs[op_type], (2,), as_dtype("string"))
