"""The CUDA target without a GPU: kernels run in a simulator of threads, and what they give is what the CPU gives."""

from __future__ import annotations

import numpy as np
import pytest

import flowc as tf
from flowc.codegen.cuda.geometry import Geometry, geometry_of
from flowc.codegen.plan import Kernel
from tests.gpu.corpus import CASES, ONLY_COMPILED
from tests.gpu.recording_gpu import RecordingGpu
from tests.gpu.running import evaluate, watching
from tests.gpu.simulator import SimulationError, simulate


@pytest.mark.parametrize("name", [name for name in CASES if name not in ONLY_COMPILED])
def test_a_gpu_computes_what_the_cpu_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = RecordingGpu()
    with watching(monkeypatch):
        found = evaluate(CASES[name], [gpu])
    assert "launch" in gpu.calls
    for got, expected in zip(found, evaluate(CASES[name], []), strict=True):
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


def test_uniform_random_numbers_have_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def case(feed: object) -> object:
        return tf.random_uniform([41], seed=4), tf.random_uniform([9], 0, 7, tf.int32, seed=5)

    with watching(monkeypatch):
        found = evaluate(case, [RecordingGpu()], runs=2)  # type: ignore[arg-type]
    for got, expected in zip(found, evaluate(case, [], runs=2), strict=True):  # type: ignore[arg-type]
        assert got.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", ["full_reductions", "softmax_of_long_rows", "column_sums"])
def test_the_order_of_threads_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reductions are deterministic to the bit: the simulator shuffles threads differently in each run."""
    results = []
    for seed in range(2):
        with watching(monkeypatch), monkeypatch.context() as patch:
            patch.setattr(
                "tests.gpu.recording_gpu.simulate",
                lambda *args, seed=seed: simulate(*args, seed=seed),  # type: ignore[misc]
            )
            results.append([np.asarray(value).tobytes() for value in evaluate(CASES[name], [RecordingGpu()])])
    assert results[0] == results[1]


# -- the simulator itself ----------------------------------------------------------------------------------------------


def kernel_of(body: str) -> Kernel:
    lines = "\n".join("    " + line for line in body.strip().splitlines())
    return Kernel("k", f"# block of 64 threads, 1 units\ndef k(args, lo, hi):\n{lines}\n")


def test_a_missing_thread_at_a_barrier_is_found() -> None:
    with pytest.raises(SimulationError, match="a barrier for which"):
        simulate(kernel_of("if thread() < 40:\n    barrier()"), Geometry(1, 64), 0, 1)


def test_different_waits_are_found() -> None:
    with pytest.raises(SimulationError, match="wait for each other"):
        simulate(kernel_of("if thread() < 7:\n    x = shuffle_xor(f32(1), 1)\nbarrier()"), Geometry(1, 64), 0, 1)


def test_memory_of_others_is_found() -> None:
    memory = np.zeros(4, np.float32)
    address = memory.ctypes.data
    source = kernel_of(f"x = ptr_f32({address}, 0)\nx[thread()] = 1.0")
    with pytest.raises(SimulationError, match="outside all memory"):
        simulate(source, Geometry(1, 64), 0, 1, [(address, address + 16)])


def test_shuffles_exchange() -> None:
    memory = np.zeros(64, np.int64)
    source = kernel_of(f"x = ptr_i64({memory.ctypes.data}, 0)\nx[thread()] = shuffle_xor(thread(), 5)")
    simulate(source, Geometry(1, 64), 0, 1)
    np.testing.assert_array_equal(memory, np.arange(64) ^ 5)


def test_geometry() -> None:
    assert geometry_of("def k", 5, 100) == Geometry(1, 32)
    assert geometry_of("def k", 1000, 100) == Geometry(4, 256)
    assert geometry_of("def k", 10**9, 100) == Geometry(6400, 256)
    assert geometry_of("# block of 128 threads, 4 units\ndef k", 10, 100) == Geometry(3, 128)
