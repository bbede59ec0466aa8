"""flowc on a GPU beside JAX and PyTorch on the same one: `make bench-gpu`. Says so, and stops, where there is none.

Each work is run until its time is steady; the figure is the median of rounds in ms, data and results staying on the
device where the system allows it. JAX and PyTorch take part where they are installed with CUDA.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], Any]
ROUNDS = 9
WORKS: dict[str, tuple[int, int]] = {  # rows and columns of what each works on
    "mul_add": (16384, 16384),
    "tanh_chain": (16384, 16384),
    "softmax": (32768, 4096),
    "layer_norm": (32768, 4096),
    "matmul": (4096, 4096),
    "small_ops": (64, 64),
}


def formula(name: str, lib: Any, x: Any) -> Any:
    """What a work computes, in the words that all three share; the sum at the end keeps results on the device."""
    if name == "mul_add":
        return lib.total(x * x + x)
    if name == "tanh_chain":
        return lib.total(lib.tanh(x * 0.5) * x + 1.0)
    if name == "softmax":
        return lib.total(lib.softmax(x) * x)
    if name == "layer_norm":
        centred = x - lib.mean(x)
        return lib.total(centred / lib.sqrt(lib.mean(centred * centred) + 1e-5) * x)
    if name == "matmul":
        return lib.total(lib.matmul(x, x))
    for _ in range(50):
        x = lib.tanh(lib.matmul(x, x) * 0.01)
    return lib.total(x)


class Flowc:
    """flowc's words."""

    def __init__(self) -> None:
        import flowc as tf

        self.tf, self.tanh, self.softmax, self.sqrt, self.matmul = tf, tf.tanh, tf.nn.softmax, tf.sqrt, tf.matmul
        self.total = tf.reduce_sum

    def mean(self, x: Any) -> Any:
        return self.tf.reduce_mean(x, [1], keep_dims=True)

    def run(self, name: str, data: np.ndarray[Any, Any]) -> Run:
        tf = self.tf
        with tf.Graph().as_default() as graph:
            x = tf.Variable(tf.placeholder(tf.float32, data.shape, name="data"), name="x")
            result = formula(name, self, x + 0.0)
        session = tf.Session(graph=graph)
        session.run(x.initializer, {"data:0": data})
        return lambda: session.run(result)


class Jax:
    """JAX's words."""

    def __init__(self) -> None:
        self.jax = importlib.import_module("jax")
        np_ = self.jax.numpy
        self.tanh, self.sqrt, self.matmul, self.total = np_.tanh, np_.sqrt, np_.matmul, np_.sum
        self.softmax = self.jax.nn.softmax
        if self.jax.default_backend() != "gpu":
            raise ImportError("JAX sees no GPU")
        self.jax.config.update("jax_default_matmul_precision", "float32")

    def mean(self, x: Any) -> Any:
        return self.jax.numpy.mean(x, 1, keepdims=True)

    def run(self, name: str, data: np.ndarray[Any, Any]) -> Run:
        compiled, x = self.jax.jit(lambda x: formula(name, self, x)), self.jax.numpy.asarray(data)
        return lambda: compiled(x).block_until_ready()


class Torch:
    """PyTorch's words, compiled with CUDA graphs."""

    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")
        self.tanh, self.sqrt, self.matmul, self.total = (
            self.torch.tanh, self.torch.sqrt, self.torch.matmul, self.torch.sum,
        )  # fmt: skip
        if not self.torch.cuda.is_available():
            raise ImportError("PyTorch sees no GPU")

    def softmax(self, x: Any) -> Any:
        return self.torch.softmax(x, 1)

    def mean(self, x: Any) -> Any:
        return x.mean(1, keepdim=True)

    def run(self, name: str, data: np.ndarray[Any, Any]) -> Run:
        compiled = self.torch.compile(lambda x: formula(name, self, x), mode="reduce-overhead")
        x = self.torch.from_numpy(data).cuda()
        return lambda: compiled(x).item()


def median_ms(run: Run) -> float:
    """The median time of a run."""
    for _ in range(5):
        run()
    times = []
    for _ in range(ROUNDS):
        start, count = time.perf_counter(), 0
        while count < 3 or time.perf_counter() - start < 0.1:
            run()
            count += 1
        times.append((time.perf_counter() - start) / count)
    return 1e3 * statistics.median(times)


def systems() -> dict[str, Any]:
    """The systems that can take part."""
    found: dict[str, Any] = {"flowc": Flowc()}
    for name, kind in (("JAX", Jax), ("PyTorch", Torch)):
        try:
            found[name] = kind()
        except ImportError as error:
            print(f"{name} takes no part: {error}")
    return found


def main() -> int:
    """Prints the table."""
    from flowc.runtime.cuda.driver_library import chain_problem
    from flowc.runtime.cuda.native_driver import native_gpus

    if not native_gpus():
        print(f"There is no GPU to measure on: {chain_problem() or 'none that flowc can use'}.")
        return 0
    taking_part = systems()
    print(f"{native_gpus()[0].info.name}; ms a run, medians of {ROUNDS} rounds")
    print(f"{'':12}" + "".join(f"{name:>10}" for name in taking_part))
    for work, shape in WORKS.items():
        data = np.random.default_rng(0).standard_normal(shape, np.float32) * 0.1
        figures = [median_ms(system.run(work, data)) for system in taking_part.values()]
        print(f"{work:12}" + "".join(f"{figure:10.3f}" for figure in figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
