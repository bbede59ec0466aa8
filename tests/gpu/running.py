"""Runs cases of the corpus on a GPU, a recording one or a real one, and on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.codegen import backend
from flowc.codegen.ir import Node
from flowc.codegen.plan import Kernel
from flowc.codegen.templates import Launch
from flowc.runtime.cuda import cuda_plan, placement
from flowc.runtime.cuda.driver import Gpu
from flowc.runtime.cuda.vendor_libraries import Installed, using_libraries
from tests.gpu.corpus import Case

ELF = b"\x7fELF"


def evaluate(case: Case, gpus: Sequence[Gpu], runs: int = 1, **config: Any) -> list[Any]:
    """What a case's tensors are in the last of several runs of a session that has these GPUs."""
    feeds: dict[Any, Any] = {}

    def feed(value: Any) -> Any:
        array = np.asarray(value)
        tensor = tf.placeholder(tf.as_dtype(array.dtype), array.shape)
        feeds[tensor] = array
        return tensor

    with placement.using_gpus(gpus), tf.Graph().as_default():
        fetches = case(feed)
        flat = [t for item in (fetches if isinstance(fetches, list | tuple) else [fetches]) for t in _tensors(item)]
        with tf.Session(config=tf.ConfigProto(**config)) as session:
            if tf.all_variables():
                session.run(tf.initialize_all_variables())
            for _ in range(runs):
                values = session.run(flat, feeds)
    return list(values)


def _tensors(item: Any) -> list[Any]:
    return [t for part in item for t in _tensors(part)] if isinstance(item, list | tuple) else [item]


class Seen:
    """What plans of the CUDA target were made of: templates by name, kernels by name; and on how many GPU plans."""

    def __init__(self) -> None:
        self.templates: set[str] = set()
        self.kernels: dict[str, Kernel] = {}


@contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """In the with-block, notes templates and kernels, and compiles nothing: stubs run kernels' sources."""
    seen = Seen()
    cpu, cuda = backend._backend("cpu"), backend._backend("cuda")

    def launches(call: Node) -> Sequence[Launch]:
        found = cuda.launches(call)
        seen.templates.add(call.attr[0])
        return found

    def images(kernels: Sequence[Kernel], target: Any) -> list[bytes]:
        seen.kernels.update({kernel.name: kernel for kernel in kernels})
        return [ELF] * len(kernels)

    changed = replace(cuda, launches=launches)
    with monkeypatch.context() as patch:
        patch.setattr(backend, "_backend", lambda name: changed if name == "cuda" else cpu)
        patch.setattr(cuda_plan, "images", images)
        patch.setattr("flowc.runtime.plan_cache._key_or_none", lambda *run: None)  # plans are to be made here
        with using_libraries(Installed(no_blas="not in tests", no_dnn="not in tests")):
            yield seen
