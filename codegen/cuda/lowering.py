"""Which launches a call becomes on CUDA, and which no GPU can run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from flowc.codegen.cuda.products import product_launches
from flowc.codegen.ir import Node
from flowc.codegen.templates import Launch, RuntimeWord, StackWord, Symbol, template_of
from flowc.framework.errors import UnimplementedError

MOST_LOCAL: Final = 16 << 10  # bytes of a thread's own memory: every thread that the device can hold gets so much
_PRODUCTS: Final = frozenset({"gemm", "gemm_add"})
_SCRATCH: Final = re.compile(r"scratch\((\d+)\)")


def cuda_launches(call: Node) -> Sequence[Launch]:
    """The launches of a call node. Raises UnimplementedError for one that no GPU can run."""
    name = call.attr[0]
    launches = product_launches(call) if name in _PRODUCTS else template_of(call).launches(call)
    for launch in launches:
        _check(call, launch)
    return launches


def _check(call: Node, launch: Launch) -> None:
    if any(isinstance(word, Symbol | StackWord | RuntimeWord) for word in launch.words):
        raise no_gpu_kernel(call.origin, f"its kernel {launch.kernel.name} calls functions of the host")
    local = sum(int(size) for size in _SCRATCH.findall(launch.kernel.source))
    if local > MOST_LOCAL:
        raise no_gpu_kernel(call.origin, f"its kernel {launch.kernel.name} needs {local:,} bytes for each thread")


def no_gpu_kernel(operation: str, why: str) -> UnimplementedError:
    """The error that says that an operation has no kernel for this target."""
    return UnimplementedError(None, None, f"Operation {operation!r} has no GPU kernel: {why}.")
