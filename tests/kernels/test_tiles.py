"""Tiles, the matrices that kernels keep in registers: each function of the dialect against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from bench.ulp import compiled
from flowc.codegen.cpu.compiler import lower_to_ir
from flowc.codegen.cpu.dialect import DialectError
from tests.kernels.batch import Array, values

SHORT = {"float32": "f32", "float64": "f64"}


def run(body: str, result: Array, *inputs: Array) -> Array:
    """Runs a kernel whose `body` uses the buffers x, y, … (the inputs) and z (the result)."""
    arrays = [*inputs, result]
    kind = SHORT[result.dtype.name]
    names = [*"xyuv"[: len(inputs)], "z"]
    lines = [f"    {name} = ptr_{kind}(a[{i}], {i})" for i, name in enumerate(names)]
    source = "def k(args, lo, hi):\n    a = ptr_i64(args, -1)\n" + "\n".join([*lines, *body_lines(body, kind)]) + "\n"
    words = np.array([array.ctypes.data for array in arrays], np.int64)
    compiled(source, "k")(words.ctypes.data, 0, 1)
    return result


def body_lines(body: str, kind: str) -> list[str]:
    return ["    " + line for line in body.replace("tile(", f"tile_{kind}(").splitlines()]


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 4), (5, 48), (14, 32), (2, 24)])
def test_sums_of_products(rows: int, columns: int, dtype: str) -> None:
    column, row = values((rows, 7), dtype), values((7, columns), dtype, seed=1)
    body = f"""c = tile({rows}, {columns})
for t in range(7):
    c = tile_fma(c, advance(x, t), 7, advance(y, t * {columns}))
tile_store(c, z, {columns})"""
    got = run(body, np.zeros((rows, columns), dtype), column, row)
    np.testing.assert_allclose(got, column.astype(np.float64) @ row, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", SHORT)
def test_products_element_by_element(dtype: str) -> None:
    x, y = values((4, 48), dtype), values((48,), dtype, seed=1)
    body = "c = tile_fma_each(tile_load(tile(3, 48), x, 48), advance(x, 48), 48, y)\ntile_store(c, z, 48)"
    got = run(body, np.zeros((3, 48), dtype), x, y)
    np.testing.assert_allclose(got, x[:3] + x[1:] * y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", SHORT)
def test_loads_biases_and_relu(dtype: str) -> None:
    x, row = values((3, 40), dtype), values((24,), dtype, seed=1)
    x[1, 2] = np.nan
    body = "c = tile_relu(tile_add_row(tile_load(tile(3, 24), x, 40), y))\ntile_store(c, z, 24)"
    got = run(body, np.zeros((3, 24), dtype), x, row)
    np.testing.assert_array_equal(got, np.maximum(x[:, :24] + row, 0))


@pytest.mark.parametrize("dtype", SHORT)
def test_scaling(dtype: str) -> None:
    x, factor = values((3, 8), dtype), values((1,), dtype, seed=1)
    got = run("tile_store(tile_scale(tile_load(tile(3, 8), x, 8), y[0]), z, 8)", np.zeros((3, 8), dtype), x, factor)
    np.testing.assert_array_equal(got, x * factor)


@pytest.mark.parametrize("dtype", SHORT)
@pytest.mark.parametrize("size", [1, 2, 4, 8, 16])
def test_transposes(size: int, dtype: str) -> None:
    x = values((size, size + 3), dtype)
    body = f"tile_store(tile_transpose(tile_load(tile({size}, {size}), x, {size + 3})), z, {size})"
    np.testing.assert_array_equal(run(body, np.zeros((size, size), dtype), x), x[:, :size].T)


def test_prefetches_may_lie_anywhere() -> None:
    x = values((4,), "float32")
    got = run("prefetch(x, 1000000000)\nz[0] = x[0]", np.zeros(1, np.float32), x)
    assert got[0] == x[0]


@pytest.mark.parametrize(
    "line",
    [
        "c = tile_f32(2, hi)",
        "c = tile_f32(2)",
        "c = tile_transpose(tile_f32(2, 3))",
        "c = tile_transpose(tile_f32(3, 3))",
        "c = tile_add_row(tile_f64(2, 4), x)",
        "c = tile_fma(tile_f32(2, 4), x, x, x)",
        "c = tile_relu(x)",
        "prefetch(lo, 1)",
    ],
)
def test_what_has_no_meaning(line: str) -> None:
    source = f"def k(args, lo, hi):\n    x = ptr_f32(args, 0)\n    {line}\n"
    with pytest.raises(DialectError):
        lower_to_ir(source, "k")
