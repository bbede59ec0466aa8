"""What all kernel templates share: names of element types in kernel source, and the making of kernels from text.

Kernel text is the restricted Python of `flowc.codegen.cpu.dialect`, with `{T}` and the like for element types. Its
argument block is `a`; every function name ends in the types it was made for: `gather_rows_u32_i64`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

import numpy as np

from flowc.codegen.ir import Node, Shape, access
from flowc.codegen.plan import Kernel
from flowc.framework.dtypes import COMPLEX, DType, complex64, complex128
from flowc.framework.errors import UnimplementedError

CHUNK_WORK: Final = 8192  # elements moved that are worth a thread of their own
_SHORT: Final = {
    "bool": "b1",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "u8",
    "uint16": "u16",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
}
_COMPONENT: Final = {complex64: "f32", complex128: "f64"}
_FIRST_NAME: Final = re.compile(r"def (\w+)\(")


def no_kernel(what: str, dtype: DType) -> UnimplementedError:
    """The error that says that `what` (an op type) has no kernel for `dtype`."""
    return UnimplementedError(None, None, f"{what} has no kernel for {dtype.name}")


def element_type(dtype: DType, what: str) -> str:
    """The name of a buffer's element type in kernel source; UnimplementedError for a type that has none."""
    short = _SHORT.get(dtype.name)
    if short is None:
        raise no_kernel(what, dtype)
    return short


def components(dtype: DType, what: str) -> tuple[str, int]:
    """How arithmetic sees `dtype`: (element type, elements a value), which are two for a complex number."""
    if dtype in COMPLEX:
        return _COMPONENT[dtype], 2
    return element_type(dtype, what), 1


def moved_type(dtype: DType, what: str) -> tuple[str, int]:
    """How a copy sees `dtype`: (an unsigned element type, elements a value). It depends on the size only."""
    if dtype.name != "complex64" and dtype.name != "complex128":
        element_type(dtype, what)
    return ("u64", 2) if dtype.size == 16 else (f"u{8 * dtype.size}", 1)


def moved_access(node: Node, what: str) -> tuple[str, Shape, tuple[int, ...]]:
    """The memory of `node` for a copy: (element type, shape, strides in elements).

    A value of 16 bytes is a last dimension of two elements.
    """
    kind, each = moved_type(node.dtype, what)
    strides = access(node)[2]
    if each == 1:
        return kind, node.shape, strides
    return kind, (*node.shape, each), (*[s * each for s in strides], 1)


def scalar_word(value: float, dtype: DType) -> int:
    """A number as an argument word, to be read as `ptr_f32(args + 8 * place, -1)[0]`."""
    data = np.asarray(value, dtype.as_numpy_dtype).tobytes().ljust(8, b"\0")
    return int.from_bytes(data, "little", signed=True)


def element(name: str, shape: Shape) -> str:
    """For a message: how to call the element of a tensor whose position is detail 0, as `ids[1,0]`."""
    sizes = ",".join(map(str, shape))
    return f"{name}[{{0:{sizes}}}]" if shape else name


def out_of_range(name: str, shape: Shape) -> str:
    """The message of an index that is not in range. Details: its position, the index, the bound."""
    return element(name, shape) + " = {1} is not in [0, {2})"


def grain(work: int) -> int:
    """How many units make a chunk worth a thread, if each moves `work` elements."""
    return max(1, -(-CHUNK_WORK // max(work, 1)))


@cache
def kernel(text: str, **names: str) -> Kernel:
    """The kernel of `text`, its element types filled in; the function it defines gives the name."""
    source = text.strip().format(**names) + "\n"
    found = _FIRST_NAME.search(source)
    assert found is not None, f"kernel text defines no function: {source[:60]!r}"
    return Kernel(found[1], source)
