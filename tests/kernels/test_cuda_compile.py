"""The CUDA target without a GPU: every kernel becomes PTX, and where the toolkit is, a cubin without spills."""

from __future__ import annotations

import ctypes
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from flowc.codegen import templates
from flowc.codegen.backend import compiling_for
from flowc.codegen.cpu.compiler import ir_to_object, lower_to_ir
from flowc.codegen.cpu.target import host_target
from flowc.codegen.cuda import device_math, intrinsics  # noqa: F401  intrinsics defines names
from flowc.codegen.cuda.compiler import assemble_ptx, emit_ptx
from flowc.codegen.cuda.target import CudaTarget, assembler
from flowc.codegen.plan import Kernel
from flowc.framework.errors import UnimplementedError
from flowc.runtime import loader
from tests.gpu.corpus import CASES
from tests.gpu.recording_gpu import RecordingGpu
from tests.gpu.running import Seen, evaluate, watching

Array = np.ndarray[Any, Any]
HOPPER = CudaTarget((9, 0))
needs_assembler = pytest.mark.skipif(assembler() is None, reason="no ptxas on this machine")
MOST_REGISTERS = 80
_TYPES = re.compile(r"_(b1|[iuf]\d+)\b|_(?=[iuf]\d+_)|_[0-9a-f]{8}$")  # of names: kernels that differ in them are alike
# by tiles in the CPU's registers; products have kernels of their own
OF_THE_CPU = {
    "conv2d", "conv2d_filter", "depthwise", "depthwise_filter", "gemv", "matmul", "matmul_add", "matmul_left",
    "matmul_right",
}  # fmt: skip
# of loops whose body the CPU runs, and of graphs that no test of this file builds
OF_LOOPS = {"history_new", "history_push", "history_read", "only_if"}


@pytest.fixture(scope="module")
def seen() -> Seen:
    """What all cases of the corpus are made of on the CUDA target; nothing is run."""
    with pytest.MonkeyPatch.context() as patch, watching(patch) as found:
        for case in CASES.values():
            evaluate(case, [RecordingGpu(simulated=False)])
        return found


def test_the_corpus_uses_every_template(seen: Seen) -> None:
    of_libraries = {name for name in templates._templates if name.startswith("library_")}  # test_cuda_libraries.py
    missing = set(templates._templates) - seen.templates - OF_THE_CPU - OF_LOOPS - of_libraries
    assert not missing


@needs_assembler
def test_every_kernel_becomes_a_cubin_without_spills(seen: Seen) -> None:
    kernels = list({_TYPES.sub("", kernel.name): kernel for kernel in seen.kernels.values()}.values())
    with ThreadPoolExecutor(2) as workers:
        jobs = [workers.submit(assemble_ptx, emit_ptx(kernel, HOPPER), HOPPER) for kernel in kernels]
        reports = {kernel.name: job.result()[1] for kernel, job in zip(kernels, jobs, strict=True)}
    assert not {name: r for name, r in reports.items() if r.spill_stores or r.spill_loads}
    assert not {name: r for name, r in reports.items() if r.registers > MOST_REGISTERS}


def test_maps_read_and_write_16_bytes_at_once(seen: Seen) -> None:
    kernel = next(k for name, k in seen.kernels.items() if name.startswith("tanh_mul"))
    ptx = emit_ptx(kernel, HOPPER)
    assert "ld.global.v4" in ptx
    assert "st.global.v4" in ptx


def test_rows_use_shuffles_and_shared_memory(seen: Seen) -> None:
    kernel = next(k for k in seen.kernels.values() if k.name.startswith("max_sub_exp") and "shared_f32" in k.source)
    ptx = emit_ptx(kernel, HOPPER)
    for instruction in ("shfl.sync.bfly", "bar.sync", "ld.shared", "ld.global"):
        assert instruction in ptx


@pytest.mark.parametrize("capability", [(7, 0), (8, 0), (8, 9), (10, 0), (12, 1)])
def test_other_capabilities(capability: tuple[int, int]) -> None:
    kernel = Kernel(
        "k", "def k(args, lo, hi):\n    x = ptr_f32(args, 0)\n    for u in range(lo, hi):\n        x[u] = exp(x[u])\n"
    )
    target = CudaTarget(capability)
    assert f".target {target.architecture}" in emit_ptx(kernel, target)


def test_too_old_a_gpu() -> None:
    with pytest.raises(ValueError, match=r"7\.0 or newer, not 6\.1"):
        CudaTarget((6, 1))


def test_a_kernel_of_the_host() -> None:
    with pytest.raises(UnimplementedError, match="call_i64, which no GPU has"):
        emit_ptx(Kernel("k", "def k(args, lo, hi):\n    call_i64(args, lo, hi)\n"), HOPPER)


def test_the_target_is_the_cpu_again_afterwards() -> None:
    from flowc.codegen.backend import current

    with compiling_for("cuda"):
        assert current().name == "cuda"
    assert current().name == "cpu"


# -- device_math, compiled for the CPU ---------------------------------------------------------------------------------


def native(name: str) -> Callable[..., Array]:
    count = 2 if name in ("fmod", "atan2", "pow") else 1
    text = lower_to_ir(device_math.source_of(name), f"{name}_bits", f"i64({','.join(['i64'] * count)})")
    address = loader.load_all([(ir_to_object(text, host_target()), f"{name}_bits")])[0]
    function = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * count)(address)
    bits = np.frompyfunc(lambda *args: function(*args), count, 1)
    return lambda *xs: bits(*[np.asarray(x, np.float64).view(np.int64) for x in xs]).astype(np.int64).view(np.float64)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -3.0, math.inf, -math.inf, math.nan, 1e300, 5e-324, -1e-310, 22.0]
RNG = np.random.default_rng(0)
WIDE = np.concatenate([SPECIAL, RNG.normal(size=400) * 10.0 ** RNG.uniform(-20, 20, 400), RNG.uniform(-9, 9, 400)])
HARDEST = 6381956970095103 * 2.0**797  # the float64 that is nearest to a multiple of π/2


def ulps(got: Array, expected: Array) -> float:
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(got[~finite & ~np.isnan(got)], expected[~finite & ~np.isnan(got)])
    return float(np.max(np.abs(got - expected)[finite] / np.spacing(np.abs(expected[finite]))))


@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_trigonometry(name: str) -> None:
    with np.errstate(all="ignore"):
        assert ulps(native(name)(WIDE), getattr(np, name)(WIDE)) <= 3
    assert native("cos")(np.array([HARDEST]))[0] == pytest.approx(-4.68716592425462761112e-19, rel=1e-15)


@pytest.mark.parametrize(("name", "reference"), [("fmod", np.fmod), ("atan2", np.arctan2), ("pow", np.power)])
def test_functions_of_two(name: str, reference: Any) -> None:
    x, y = (a.reshape(-1) for a in np.meshgrid([*SPECIAL, *WIDE[-60:], *WIDE[14:60]], [*SPECIAL, *WIDE[-60:]]))
    with np.errstate(all="ignore"):
        expected = reference(x, y)
        got = native(name)(x, y)
        assert ulps(got, expected) <= (0 if name == "fmod" else 2)
    zero = expected == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(expected[zero]))


@pytest.mark.parametrize(("name", "most"), [("erf", 4), ("erfc", 6)])
def test_error_functions(name: str, most: int) -> None:
    x = np.concatenate([SPECIAL, RNG.uniform(-6, 6, 300), RNG.uniform(0, 26, 100)])
    assert ulps(native(name)(x), np.array([getattr(math, name)(v) for v in x])) <= most


def test_log_gamma() -> None:
    x = np.concatenate([RNG.uniform(0.01, 30, 300), RNG.uniform(30, 1e6, 50), RNG.uniform(-9, -0.01, 100)])
    expected = np.array([math.lgamma(v) for v in x])
    np.testing.assert_allclose(native("lgamma")(x), expected, rtol=3e-14, atol=3e-14)
    assert native("lgamma")(np.array([1.0, 2.0])).tolist() == [0.0, 0.0]
    assert native("lgamma")(np.array([0.0, -3.0, math.inf])).tolist() == [math.inf] * 3


def test_all_of_it_becomes_ptx() -> None:
    body = "".join(f"        x[u] = {name}(x[u])\n" for name in ("sin", "cos", "tan", "erf", "erfc", "lgamma"))
    body += "".join(f"        x[u] = {name}(x[u], x[u + 1])\n" for name in ("mod", "pow", "atan2"))
    source = f"def k(args, lo, hi):\n    x = ptr_f64(args, 0)\n    for u in range(lo, hi):\n{body}"
    assert not re.findall(r"\.extern \.func", emit_ptx(Kernel("k", source), HOPPER))
