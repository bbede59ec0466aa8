"""The hand-written kernels: each call against NumPy, over element types, views, sizes of 0 and 1, and bad indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowc.codegen.ir import Node
from flowc.codegen.kernels.matmul import matrix_layout
from flowc.codegen.kernels.random import fill_kernel
from flowc.codegen.lower.matmul import product
from flowc.codegen.lower.state import scattered
from flowc.framework.dtypes import as_dtype, float32, int64
from tests.kernels.launching import Array, Outcome, Runner

ALL = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]
RNG = np.random.default_rng(0)


def sample(shape: tuple[int, ...], dtype: str) -> Array:
    values = RNG.integers(-9, 10, shape)
    return (values + 1j * RNG.integers(-9, 10, shape)).astype(dtype) if dtype.startswith("c") else values.astype(dtype)


# -- copies ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_concat(dtype: str, axis: int) -> None:
    r = Runner()
    shapes = [[3, 4, 5] for _ in range(3)]
    for shape, size in zip(shapes, (2, 0, 7), strict=True):
        shape[axis] = size
    values = [sample(tuple(shape), dtype) for shape in shapes]
    expected = np.concatenate(values, axis)
    call = r.program.call("concat", [r.feed(v) for v in values], expected.shape, as_dtype(dtype), axis=axis)
    np.testing.assert_array_equal(r.run(call).value, expected)


@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_concat_of_views(dtype: str) -> None:
    r = Runner()
    x = sample((6, 7, 4), dtype)
    node = r.feed(x)
    p = r.program
    views = [
        (p.transpose(node, (0, 2, 1)), x.transpose(0, 2, 1)),
        (p.reverse(p.slice(node, (0, 2, 0), (6, 4, 4)), [0, 2]), x[:, 2:6][::-1, :, ::-1]),
        (p.broadcast(p.slice(node, (0, 0, 1), (6, 1, 1)), (6, 4, 5)), np.broadcast_to(x[:, :1, 1:2], (6, 4, 5))),
    ]
    expected = np.concatenate([v for _, v in views], 2)
    call = p.call("concat", [v for v, _ in views], expected.shape, as_dtype(dtype), axis=2)
    np.testing.assert_array_equal(r.run(call).value, expected)


@pytest.mark.parametrize("dtype", ALL)
def test_pad(dtype: str) -> None:
    r = Runner()
    x = sample((2, 3, 4), dtype)
    paddings = [(1, 0), (2, 1), (0, 3)]
    expected = np.pad(x, paddings)
    before = tuple(b for b, _ in paddings)
    call = r.program.call("pad", [r.feed(x)], expected.shape, as_dtype(dtype), before=before)
    np.testing.assert_array_equal(r.run(call).value, expected)


def test_pad_of_a_transpose_and_of_a_vector() -> None:
    r = Runner()
    x = sample((5, 4), "float32")
    turned = r.program.transpose(r.feed(x), (1, 0))
    call = r.program.call("pad", [turned], (6, 7), float32, before=(1, 1))
    np.testing.assert_array_equal(r.run(call).value, np.pad(x.T, 1))
    call = r.program.call("pad", [r.feed(x[0])], (7,), float32, before=(3,))
    np.testing.assert_array_equal(r.run(call).value, np.pad(x[0], (3, 0)))


@pytest.mark.parametrize("dtype", ["int8", "float64", "complex128"])
@pytest.mark.parametrize("turned", [False, True])
def test_slice_at_a_computed_index(dtype: str, turned: bool) -> None:
    r = Runner()
    x = sample((5, 6, 7), dtype)
    node, value = r.feed(x), x
    if turned:
        node, value = r.program.transpose(node, (2, 0, 1)), x.transpose(2, 0, 1)
    call = r.program.call("slice", [node, r.feed(np.array([1, 2, 0], np.int32))], (3, 2, 4), as_dtype(dtype))
    np.testing.assert_array_equal(r.run(call).value, value[1:4, 2:4, 0:4])
    call = r.program.call("slice", [node, r.feed(np.array([1, 5, 0], np.int64))], (3, 2, 4), as_dtype(dtype))
    size = value.shape[1]
    assert r.run(call).error == f"The slice from 5 of size 2 ends outside a dimension of size {size}"


# -- gather and scatter ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("row", [(), (3, 2)])
def test_gather(dtype: str, row: tuple[int, ...]) -> None:
    r = Runner()
    table = sample((9, *row), dtype)
    indices = RNG.integers(0, 9, (4, 5)).astype(np.int32)
    call = r.program.call("gather", [r.feed(table), r.feed(indices)], (4, 5, *row), as_dtype(dtype))
    np.testing.assert_array_equal(r.run(call).value, table[indices])


@pytest.mark.parametrize("bad", [-1, 9])
def test_gather_refuses_an_index_out_of_range(bad: int) -> None:
    r = Runner()
    indices = np.array([0, 8, bad, 3], np.int64)
    call = r.program.call("gather", [r.feed(sample((9, 2), "float32")), r.feed(indices)], (4, 2), float32)
    outcome = r.run(call)
    assert outcome.error == f"indices[2] = {bad} is not in [0, 9)"
    np.testing.assert_array_equal(outcome.value[2], 0)


def scatter(kind: str, table: Array, indices: Array, rows: Array) -> Outcome:
    r = Runner()
    call = scattered(r.program, f"scatter_{kind}", r.feed(table), r.feed(indices), r.feed(rows))
    check = r.run(call.args[3])
    return check if check.error else r.run(call)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("kind", ["update", "add", "sub"])
@pytest.mark.parametrize("width", [1, 200])
def test_scatter(dtype: str, kind: str, width: int) -> None:
    if kind != "update" and dtype == "bool":
        pytest.skip("sums are of numbers")
    table = sample((6, width), dtype)
    indices = np.array([[3, 1], [3, 5]], np.int64)
    rows = sample((2, 2, width), dtype)
    expected = table.copy()
    for index, row in zip(indices.reshape(-1), rows.reshape(4, width), strict=True):
        expected[index] = row if kind == "update" else expected[index] + row if kind == "add" else expected[index] - row
    np.testing.assert_array_equal(scatter(kind, table, indices, rows).value, expected)


def test_scatter_refuses_an_index_out_of_range() -> None:
    outcome = scatter("add", sample((6, 2), "int32"), np.array([1, 6], np.int32), sample((2, 2), "int32"))
    assert outcome.error == "indices[1] = 6 is not in [0, 6)"


# -- checks ------------------------------------------------------------------------------------------------------------


def check(name: str, value: Any, **params: Any) -> Outcome:
    r = Runner()
    x = r.feed(value)
    return r.run(r.program.call(name, [x], (), x.dtype, error="InvalidArgumentError", message="bad", **params))


def test_checks() -> None:
    assert check("check_nonzero", np.array([1, -2, 3], np.int8)).error == ""
    assert check("check_nonzero", np.array([1, 0, 3], np.int64)).error == "bad"
    assert check("check_range", np.array([0, 4], np.int32), bound=5).value == 0
    assert check("check_range", np.array([0, 5], np.int32), bound=5).error == "bad"
    assert check("check_below", np.array(4, np.int64), limit=5).error == ""
    assert check("check_below", np.array(5, np.int64), limit=5).error == "bad"


# -- matrices ----------------------------------------------------------------------------------------------------------

SIZES = [(1, 1, 1), (3, 4, 5), (1, 300, 200), (130, 70, 1), (200, 128, 96), (96, 64, 260)]


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "int32", "int64", "uint8"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("turn", ["nn", "tn", "nt", "tt"])
def test_product(dtype: str, sizes: tuple[int, int, int], turn: str) -> None:
    m, k, n = sizes
    r = Runner()
    a, b = sample((m, k), dtype), sample((k, n), dtype)
    nodes = [_turned(r, x) if how == "t" else r.feed(x) for x, how in zip((a, b), turn, strict=True)]
    np.testing.assert_allclose(_product(r, *nodes), a @ b, rtol=1e-5)


def _turned(r: Runner, x: Array) -> Node:
    """`x` as the transpose of an array."""
    return r.program.transpose(r.feed(x.T), (1, 0))


def _product(r: Runner, a: Node, b: Node) -> Array:
    call = product(r.program, a, b)
    copies = [arg.args[0] if arg.op == "map" else arg for arg in call.args]  # what its lowering copied, read as it is
    if copies != list(call.args):
        call = r.program.call(call.attr[0], [r.feed(r.value_of(c)) for c in copies], call.shape, call.dtype)
    return r.run(call, pieces=4).value


def test_product_reads_rows_and_columns_of_other_matrices() -> None:
    r = Runner()
    x, y = sample((20, 30), "float32"), sample((30, 40), "float32")
    a = r.program.slice(r.feed(x), (3, 5), (10, 12))
    b = r.program.transpose(r.program.slice(r.feed(y), (1, 2), (15, 12)), (1, 0))
    assert matrix_layout(a) is not None
    assert matrix_layout(b) is not None
    np.testing.assert_allclose(_product(r, a, b), x[3:13, 5:17] @ y[1:16, 2:14].T, rtol=1e-5)


def test_product_copies_what_blas_cannot_read() -> None:
    r = Runner()
    x = sample((20, 30), "float32")
    node = r.feed(x)
    assert matrix_layout(r.program.reverse(node, [1])) is None
    assert matrix_layout(r.program.broadcast(r.program.slice(node, (0, 0), (1, 30)), (20, 30))) is None


@pytest.mark.parametrize("dtype", ["float32", "complex64", "int32"])
@pytest.mark.parametrize(("batch", "m", "k", "n"), [(3, 4, 5, 6), (20, 8, 8, 8), (2, 150, 140, 130), (1, 7, 3, 2)])
def test_batches(dtype: str, batch: int, m: int, k: int, n: int) -> None:
    r = Runner()
    a, b = sample((batch, m, k), dtype), sample((batch, n, k), dtype)
    call = product(r.program, r.feed(a), r.feed(b.transpose(0, 2, 1)))
    np.testing.assert_allclose(r.run(call).value, a @ b.transpose(0, 2, 1), rtol=1e-5)
    r = Runner()
    turned = r.program.transpose(r.feed(b), (0, 2, 1))
    if matrix_layout(turned) is not None and dtype != "int32":
        call = product(r.program, r.feed(a), turned)
        np.testing.assert_allclose(r.run(call).value, a @ b.transpose(0, 2, 1), rtol=1e-5)


# -- random ------------------------------------------------------------------------------------------------------------


def draw(
    distribution: str, dtype: str, count: int, seed: tuple[int, int] = (1, 2), runner: Runner | None = None
) -> Array:
    r = runner or Runner()
    params = {"distribution": distribution, "key": "op", "seed": seed}
    return r.run(r.program.call("random", [], (count,), as_dtype(dtype), **params)).value


def philox(key: tuple[int, int], counter: list[int]) -> list[int]:
    """Philox4x32-10, straight from the paper."""
    c, k, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        first, second = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(second >> 32) ^ c[1] ^ k[0], second & mask, (first >> 32) ^ c[3] ^ k[1], first & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def test_philox_known_answer() -> None:
    """The test vector of the authors' Random123 library: key 0, counter 0."""
    words = [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox((0, 0), [0, 0, 0, 0]) == words
    r = Runner()
    r.state["op/key"] = np.zeros(1, np.int64)
    np.testing.assert_array_equal(
        draw("uniform", "float32", 4, (0, 0), r), [np.float32(w >> 8) * 2.0**-24 for w in words]
    )


def test_uniform_is_philox_of_key_block_and_run() -> None:
    r = Runner()
    first, second = draw("uniform", "float32", 11, (7, 9), r), draw("uniform", "float32", 11, (7, 9), r)
    for run, drawn in enumerate((first, second)):
        words = [w for block in range(3) for w in philox((7, 9), [block, 0, run, 0])][:11]
        np.testing.assert_array_equal(drawn, [np.float32(w >> 8) * 2.0**-24 for w in words])
    assert r.state["op/counter"][0] == 2


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 4096, 100_001])
def test_random_arrays_of_any_size_are_filled(dtype: str, count: int) -> None:
    for distribution in ("uniform", "normal", "truncated"):
        drawn = draw(distribution, dtype, count)
        assert drawn.shape == (count,)
        assert (drawn < 77).all()
        np.testing.assert_array_equal(drawn[:100], draw(distribution, dtype, min(count, 100)))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_moments(dtype: str) -> None:
    n = 1_000_000
    uniform, normal, truncated = (draw(d, dtype, n).astype(np.float64) for d in ("uniform", "normal", "truncated"))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n) + 2.0**-12 * (dtype == "float16")
    assert abs(uniform.std() - np.sqrt(1 / 12)) < 1e-3
    assert abs(normal.mean()) < 5 / np.sqrt(n)
    assert abs(normal.std() - 1) < 5e-3
    assert abs((normal**4).mean() - 3) < 0.05
    assert abs((normal[::2] * normal[1::2]).mean()) < 0.01
    assert np.abs(truncated).max() <= 2
    assert abs(truncated.mean()) < 5 / np.sqrt(n)
    assert abs(truncated.std() - 0.87962566) < 3e-3  # of the normal distribution cut at ±2
    for level in (-1.5, -0.5, 0.25, 1.0):
        cut = (_phi(level) - _phi(-2)) / (_phi(2) - _phi(-2))
        assert abs((truncated < level).mean() - cut) < 3e-3
        assert abs((normal < level).mean() - _phi(level)) < 3e-3


def _phi(x: float) -> float:
    from math import erf, sqrt

    return (1 + erf(x / sqrt(2))) / 2


def test_seeds_and_ops_have_their_own_numbers() -> None:
    drawn = [draw("uniform", "float32", 8, seed).tobytes() for seed in ((1, 2), (2, 1), (1, 3), (1 << 32, 2))]
    assert len(set(drawn)) == 4
    assert "ptr_f32" in fill_kernel("uniform", "f32").source


def test_an_unseeded_op_takes_the_key_of_the_session() -> None:
    drawn = []
    for key in (5, -6):
        r = Runner()
        r.state["op/key"] = np.array([key], np.int64)
        drawn.append(draw("normal", "float32", 6, (0, 0), r).tobytes())
    assert drawn[0] != drawn[1]


def test_permutation() -> None:
    r = Runner()
    call = r.program.call("random_permutation", [], (1000,), int64, key="op", seed=(3, 4))
    first, second = r.run(call).value, r.run(call).value
    for order in (first, second):
        np.testing.assert_array_equal(np.sort(order), np.arange(1000))
    assert (first != second).mean() > 0.9
    starts = [
        r.run(r.program.call("random_permutation", [], (3,), int64, key="o", seed=(3, 4))).value[0] for _ in range(600)
    ]
    assert min(np.bincount(starts, minlength=3)) > 140


# -- sparse updates ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sparse_update_goes_through_repeated_rows_in_turn(dtype: str) -> None:
    r = Runner()
    indices = np.array([2, 0, 2, 2, 3], np.int32)
    previous = r.run(r.program.call("previous_equal", [r.feed(indices)], (5,), int64)).value
    np.testing.assert_array_equal(previous, [-1, -1, 0, 2, -1])
    tables = [RNG.random((4, 6)).astype(dtype) for _ in range(3)]
    grad = RNG.standard_normal((5, 6)).astype(dtype)
    _check_momentum(r, tables, grad, indices, previous)
    _check_ftrl(r, tables, grad, indices, previous)


def _run_update(r: Runner, rule: str, arrays: list[Array], scalars: list[float], states: int) -> Array:
    kind = as_dtype(arrays[0].dtype)
    args = [r.feed(a) for a in arrays] + [r.feed(np.array(s, arrays[0].dtype)) for s in scalars]
    return r.run(r.program.call("sparse_update", args, (states, 5, 6), kind, rule=rule)).value


def _check_momentum(r: Runner, tables: list[Array], grad: Array, indices: Array, previous: Array) -> None:
    got = _run_update(r, "momentum", [grad, indices, previous, *tables[:2]], [0.1, 0.9], 2)
    var, accum = (t.astype(np.float64) for t in tables[:2])
    for i, row in enumerate(indices):
        accum[row] = 0.9 * accum[row] + grad[i]
        var[row] -= 0.1 * accum[row]
        np.testing.assert_allclose(got[:, i], [var[row], accum[row]], rtol=2e-5)


def _check_ftrl(r: Runner, tables: list[Array], grad: Array, indices: Array, previous: Array) -> None:
    got = _run_update(r, "ftrl", [grad, indices, previous, *tables], [0.1, 0.5, 0.2, -0.5], 3)
    var, accum, linear = (t.astype(np.float64) for t in tables)
    for i, row in enumerate(indices):
        total = accum[row] + grad[i].astype(np.float64) ** 2
        linear[row] += grad[i] - (total**0.5 - accum[row] ** 0.5) / 0.1 * var[row]
        shrunk = (np.sign(linear[row]) * 0.5 - linear[row]) / (total**0.5 / 0.1 + 0.4)
        var[row], accum[row] = np.where(np.abs(linear[row]) <= 0.5, 0, shrunk), total
        np.testing.assert_allclose(got[:, i], [var[row], accum[row], linear[row]], rtol=2e-4, atol=1e-5)
