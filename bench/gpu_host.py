"""The host's time of a captured step, without a GPU: `python -m bench.gpu_host`.

Memory is the host's, launches do nothing, and the driver's functions return at once: what is left is what Python does
from `session.run` to the driver and back, calls through ctypes included. The
least of rounds is given, for the machine may be busy.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

import flowc as tf
from flowc.runtime.cuda.driver import DriverError
from flowc.runtime.cuda.native_driver import NativeGpu
from flowc.runtime.cuda.placement import using_gpus
from tests.gpu.recording_gpu import RecordingGpu

ROUNDS: Final = 40
RUNS: Final = 500
TARGET_US: Final = 15.0
Work = Callable[[], tuple[Any, dict[Any, Any]]]


class IdleDriver:
    """A driver's library whose functions do nothing and take their arguments through ctypes."""

    def __init__(self) -> None:
        from llvmlite import binding

        binding.initialize_native_target()
        binding.initialize_native_asmprinter()
        machine = binding.Target.from_default_triple().create_target_machine()
        module = binding.parse_assembly("define i32 @idle() { ret i32 0 }")
        self._engine = binding.create_mcjit_compiler(module, machine)
        self._engine.finalize_object()
        self._idle = ctypes.CFUNCTYPE(ctypes.c_int)(self._engine.get_function_address("idle"))

    def __call__(self, function: str, *args: Any) -> None:
        """Does nothing, as the others."""
        self._idle(*args)

    def function(self, name: str) -> Callable[..., int]:
        """One that does nothing, called with arguments as a library's function is."""
        address = ctypes.cast(self._idle, ctypes.c_void_p).value
        found: Callable[..., int] = ctypes.CFUNCTYPE(ctypes.c_int)(address or 0)
        return found

    def error(self, function: str, code: int) -> DriverError:
        """There is none."""
        raise NotImplementedError


class IdleGpu(RecordingGpu):
    """A GPU that does nothing in a captured run, by the real driver's Python."""

    def __init__(self) -> None:
        super().__init__(simulated=False)
        self._native: Any = NativeGpu(IdleDriver(), self.info)  # type: ignore[arg-type]
        self._native._context = self._native._stream = ctypes.c_void_p(1)

    def enter(self) -> None:
        self._native.enter()

    def upload(self, target: int, source: int, size: int) -> None:
        self._native.upload(target, source, size)

    def replay(self, graph: int) -> Callable[[], None]:
        run: Callable[[], None] = self._native.replay(graph)
        return run


def small() -> tuple[Any, dict[Any, Any]]:
    """One feed, one fetch, one kernel."""
    x = tf.placeholder(tf.float32, [4])
    return x * 2.0 + 1.0, {x: np.ones(4, np.float32)}


def ops_100() -> tuple[Any, dict[Any, Any]]:
    """A graph of 100 small operations."""
    x = y = tf.placeholder(tf.float32, [64, 64])
    for _ in range(50):
        y = tf.tanh(tf.matmul(y, x) * 0.01)
    return tf.reduce_sum(y), {x: np.ones((64, 64), np.float32)}


def adam() -> tuple[Any, dict[Any, Any]]:
    """A step of training: two feeds, eight variables, a loss."""
    x, labels = tf.placeholder(tf.float32, [64, 784]), tf.placeholder(tf.float32, [64, 10])
    w, b = tf.Variable(tf.zeros([784, 10])), tf.Variable(tf.zeros([10]))
    loss = tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(tf.matmul(x, w) + b, labels))
    step = tf.train.AdamOptimizer(0.01).minimize(loss)
    return [step, loss], {x: np.ones((64, 784), np.float32), labels: np.ones((64, 10), np.float32)}


def dropout() -> tuple[Any, dict[Any, Any]]:
    """Random numbers: words of the session go in and out."""
    x = tf.placeholder(tf.float32, [16, 16])
    return tf.nn.dropout(x, 0.5), {x: np.ones((16, 16), np.float32)}


def on_device() -> float:
    """The time of a run whose feed and fetch are arrays on the device: the last run's result is the next one's feed."""
    with using_gpus([IdleGpu()]), tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [64, 64])
        with tf.Session() as session:
            step = session.make_callable(tf.tanh(x), [x], device_fetches=True)
            latest = [step(np.ones((64, 64), np.float32))]
            return _least(lambda: latest.append(step(latest.pop())))


def microseconds(work: Work) -> tuple[float, float]:
    """The time of a run, and of a copy of its feeds alone, which is a part of it."""
    with using_gpus([IdleGpu()]), tf.Graph().as_default():
        fetches, feeds = work()
        staged = [np.empty_like(value) for value in feeds.values()]
        with tf.Session() as session:
            session.run(tf.initialize_all_variables())
            session.run(fetches, feeds)
            run = _least(lambda: session.run(fetches, feeds))
    return run, _least(lambda: list(map(np.copyto, staged, feeds.values())))


def _least(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(RUNS):
            run()
        times.append((time.perf_counter() - start) / RUNS)
    return 1e6 * min(times)


def main() -> int:
    """Prints a table; 1 if a run takes longer than the target."""
    found = {work.__name__: microseconds(work) for work in (small, ops_100, adam, dropout)}
    for name, (run, copy) in found.items():
        print(f"{name:10} {run:6.1f} µs a run, of which {copy:4.1f} copy feeds")
    device = on_device()
    print(f"{'on_device':10} {device:6.1f} µs a run")
    return int(max(device, *(run for run, _ in found.values())) > TARGET_US)


if __name__ == "__main__":
    sys.exit(main())
