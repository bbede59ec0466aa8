"""Kernels' code for a device: this process's table, else the cache on disk, else the compiler.

The code is a cubin, or PTX where no assembler is found, which the driver then compiles itself. Only the compiler's step
imports LLVM.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Final

from flowc.codegen.cuda.target import CudaTarget, assembler, cuda_fingerprint
from flowc.codegen.plan import Kernel
from flowc.runtime.forks import renew_in_child
from flowc.runtime.kernel_cache import content_key, store

NAMESPACE: Final = "cuda"  # of the cache's folder
_lock = threading.RLock()
_images: dict[tuple[Kernel, CudaTarget], bytes] = {}

renew_in_child(sys.modules[__name__], "_lock", threading.RLock)


def images(kernels: Sequence[Kernel], target: CudaTarget) -> list[bytes]:
    """Each kernel's code for `target`. Raises UnimplementedError for a kernel that calls functions of the host."""
    with _lock:
        for kernel in kernels:
            if (kernel, target) not in _images:
                _images[kernel, target] = _found(kernel, target)
        return [_images[kernel, target] for kernel in kernels]


def image_key(kernel: Kernel, target: CudaTarget) -> str:
    """The key in the cache: all that decides what the code is."""
    tool = assembler()
    made_by = f"ptxas {tool.version}" if tool is not None else "ptx"
    return content_key(kernel.source, kernel.name, "cuda", target.version, made_by, cuda_fingerprint())


def _found(kernel: Kernel, target: CudaTarget) -> bytes:
    cached, key = store(NAMESPACE), image_key(kernel, target)
    image = cached.get(key)
    if image is None:
        image = _compiled(kernel, target)
        cached.put(key, image)
    return image


def _compiled(kernel: Kernel, target: CudaTarget) -> bytes:
    from flowc.codegen.cuda.compiler import assemble_ptx, emit_ptx

    ptx = emit_ptx(kernel, target)
    tool = assembler()
    return ptx.encode() + b"\0" if tool is None else assemble_ptx(ptx, target, tool)[0]
