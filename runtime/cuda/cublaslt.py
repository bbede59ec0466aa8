"""cuBLASLt through ctypes: products of matrices, with what is done to their results before they are stored.

The library reads matrices column after column. What is row after row to us is transposed to it, so it is asked for
(a·b)ᵀ = bᵀ·aᵀ: its A is our `right`, its B our `left`, and its D has a row for each of our columns. A value for each
row of D, as its biases are, is one for each of our columns. Sums over its A's columns are sums over the rows of
`right`.

Source: NVIDIA, cuBLAS 13 documentation, "Using the cuBLASLt API"; numbers are those of cublasLt.h and library_types.h.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from ctypes import c_double, c_float, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from math import gcd
from typing import Any, Final

import numpy as np

from flowc.codegen.cuda.library_words import ProductWords, precision_of
from flowc.framework.dtypes import DType, as_dtype, complex64, complex128, float16, float32, float64
from flowc.runtime.cuda.driver import DriverError, Gpu

# cudaDataType, cublasComputeType_t: of elements, of sums, of alpha and beta
_REAL_16, _REAL_32, _REAL_64, _COMPLEX_32, _COMPLEX_64 = 2, 0, 1, 4, 5
_COMPUTE_32, _COMPUTE_64 = 68, 70
_FAST: Final = {"float32": _COMPUTE_32, "tf32": 77, "bfloat16": 75}
_TYPES: Final[dict[DType, tuple[int, int, int]]] = {
    float16: (_REAL_16, _COMPUTE_32, _REAL_32),
    float32: (_REAL_32, _COMPUTE_32, _REAL_32),
    float64: (_REAL_64, _COMPUTE_64, _REAL_64),
    complex64: (_COMPLEX_32, _COMPUTE_32, _COMPLEX_32),
    complex128: (_COMPLEX_64, _COMPUTE_64, _COMPLEX_64),
}
# cublasLtMatmulDescAttributes_t, cublasLtMatrixLayoutAttribute_t, cublasLtMatmulPreferenceAttributes_t
_TRANSA, _TRANSB, _EPILOGUE, _BIAS_POINTER, _AUX_POINTER, _AUX_LD = 3, 4, 7, 8, 11, 12
_BATCH_COUNT, _BATCH_STEP = 5, 6
_MAX_WORKSPACE, _ALIGNMENTS = 1, (5, 6, 7, 8)  # of A, B, C and D
_MOST_ALIGNMENT: Final = 256  # bytes, of which algorithms make use
# cublasLtEpilogue_t, whose values are sums of these
_DEFAULT, _RELU, _BIAS, _RELU_GRADIENT, _MASK, _SUMS_OF_A = 1, 2, 4, 8, 128, 256
_TRANSPOSED: Final = 1  # cublasOperation_t
MOST_WORKSPACE: Final = 32 << 20  # bytes: what NVIDIA recommends for Hopper; older devices need less


class Algorithm(ctypes.Structure):
    """cublasLtMatmulAlgo_t."""

    _fields_ = [("data", c_uint64 * 8)]


class HeuristicResult(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = [
        ("algorithm", Algorithm),
        ("workspace", c_size_t),
        ("state", c_int),
        ("waves", c_float),
        ("reserved", c_int * 4),
    ]


class CublasLtError(DriverError):
    """cuBLASLt refused something."""


class CublasLt:
    """The library. `version`: as `13.1.0`."""

    def __init__(self, dll: Any) -> None:
        self._dll = dll
        for name in ("cublasLtGetStatusName", "cublasLtGetStatusString"):
            getattr(dll, name).restype = ctypes.c_char_p
        dll.cublasLtGetVersion.restype = c_size_t
        number = int(dll.cublasLtGetVersion())
        self.version = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
        self._handles: dict[int, c_void_p] = {}

    def __call__(self, function: str, *args: Any) -> None:
        """Calls a function. Raises CublasLtError."""
        code = getattr(self._dll, function)(*args)
        if code:
            name, text = self._dll.cublasLtGetStatusName(code), self._dll.cublasLtGetStatusString(code)
            raise CublasLtError(function, (name or b"").decode(), (text or b"").decode())

    def handle(self, gpu: Gpu) -> c_void_p:
        """The library's state for a GPU, which the thread has entered."""
        if gpu.info.index not in self._handles:
            handle = c_void_p()
            self("cublasLtCreate", ctypes.byref(handle))
            self._handles[gpu.info.index] = handle
        return self._handles[gpu.info.index]


@dataclass(frozen=True)
class _Descriptors:
    """The library's descriptors of a product."""

    library: CublasLt
    product: c_void_p
    a: c_void_p
    b: c_void_p
    d: c_void_p

    def give_back(self) -> None:
        """Frees them."""
        self.library("cublasLtMatmulDescDestroy", self.product)
        for layout in (self.a, self.b, self.d):
            self.library("cublasLtMatrixLayoutDestroy", layout)


class Product:
    """A product: its descriptors and the algorithm that the library chose. `workspace`: the bytes that it needs."""

    def __init__(self, library: CublasLt, gpu: Gpu, words: ProductWords) -> None:
        """`words`: addresses in them need only be aligned as the real ones will be. Raises CublasLtError where there is
        no algorithm."""
        self._library, self._gpu, self._handle = library, gpu, library.handle(gpu)
        dtype = as_dtype(words.dtype)
        self._factors = _factor(dtype, _alpha(words, dtype)), _factor(dtype, float(words.added))
        self._described = _described(library, words)
        weakref.finalize(self, self._described.give_back).atexit = False
        self._point(words)  # the choice depends on how these are aligned
        found = self._chosen(words)
        self._algorithm, self.workspace = found.algorithm, int(found.workspace)

    def launch(self, words: ProductWords, workspace: int) -> None:
        """Asks for it, in the GPU's stream."""
        self._point(words)
        alpha, beta = (ctypes.byref(factor) for factor in self._factors)
        d = self._described
        right = c_void_p(words.right), d.a
        left = c_void_p(words.left), d.b
        result = c_void_p(words.result), d.d
        self._library(
            "cublasLtMatmul",
            self._handle, d.product, alpha, *right, *left, beta, *result, *result, ctypes.byref(self._algorithm),
            c_void_p(workspace), c_size_t(self.workspace), c_void_p(self._gpu.stream()),
        )  # fmt: skip

    def _point(self, words: ProductWords) -> None:
        """Tells the addresses that belong to the descriptor."""
        for attribute, address in ((_BIAS_POINTER, words.bias), (_AUX_POINTER, words.mask)):
            if address:
                _set(self._library, "MatmulDesc", self._described.product, attribute, c_void_p(address))

    def _chosen(self, words: ProductWords) -> HeuristicResult:
        library, d = self._library, self._described
        preference, count, result = c_void_p(), c_int(), HeuristicResult()
        library("cublasLtMatmulPreferenceCreate", ctypes.byref(preference))
        try:
            _set(library, "MatmulPreference", preference, _MAX_WORKSPACE, c_uint64(MOST_WORKSPACE))
            places = (words.right, words.left, words.result, words.result)
            for attribute, place in zip(_ALIGNMENTS, places, strict=True):
                _set(library, "MatmulPreference", preference, attribute, c_uint32(gcd(place, _MOST_ALIGNMENT)))
            layouts = d.a, d.b, d.d, d.d
            results = ctypes.byref(result), ctypes.byref(count)
            library("cublasLtMatmulAlgoGetHeuristic", self._handle, d.product, *layouts, preference, 1, *results)
        finally:
            library("cublasLtMatmulPreferenceDestroy", preference)
        if not count.value or result.state:
            raise CublasLtError("cublasLtMatmulAlgoGetHeuristic", "CUBLAS_STATUS_NOT_SUPPORTED", "no algorithm")
        return result


# -- descriptors -------------------------------------------------------------------------------------------------------


def _described(library: CublasLt, words: ProductWords) -> _Descriptors:
    dtype = as_dtype(words.dtype)
    element, compute, scale = _TYPES[dtype]
    if dtype is float32:
        compute = _FAST[precision_of(words.precision)]
    product = c_void_p()
    library("cublasLtMatmulDescCreate", ctypes.byref(product), c_int(compute), c_int(scale))
    _set(library, "MatmulDesc", product, _TRANSA, c_int32(_TRANSPOSED * words.right_transposed))
    _set(library, "MatmulDesc", product, _TRANSB, c_int32(_TRANSPOSED * words.left_transposed))
    _set(library, "MatmulDesc", product, _EPILOGUE, c_uint32(epilogue(words)))
    if words.mask:
        _set(library, "MatmulDesc", product, _AUX_LD, c_int64(words.mask_bits))
    right = (words.n, words.k)[:: -1 if words.right_transposed else 1]
    left = (words.k, words.m)[:: -1 if words.left_transposed else 1]
    return _Descriptors(
        library,
        product,
        _layout(library, element, right, words.right_stride, words.batch, words.right_step),
        _layout(library, element, left, words.left_stride, words.batch, words.left_step),
        _layout(library, element, (words.n, words.m), words.n, words.batch, words.m * words.n),
    )


def epilogue(words: ProductWords) -> int:
    """cublasLtEpilogue_t: what is done to the results before they are stored."""
    chosen = _RELU * words.relu | _RELU_GRADIENT * words.relu_gradient | _MASK * bool(words.mask)
    if words.bias:
        chosen |= _SUMS_OF_A if words.bias_gradient else _BIAS
    return chosen or _DEFAULT


def _layout(library: CublasLt, element: int, shape: Sequence[int], stride: int, batch: int, step: int) -> c_void_p:
    """A matrix of rows and columns, column after column, `stride` elements apart; or a stack, `step` apart."""
    layout = c_void_p()
    sizes = c_uint64(shape[0]), c_uint64(shape[1]), c_int64(stride)
    library("cublasLtMatrixLayoutCreate", ctypes.byref(layout), c_int(element), *sizes)
    if batch > 1:
        _set(library, "MatrixLayout", layout, _BATCH_COUNT, c_int32(batch))
        _set(library, "MatrixLayout", layout, _BATCH_STEP, c_int64(step))
    return layout


def _set(library: CublasLt, kind: str, descriptor: c_void_p, attribute: int, value: Any) -> None:
    size = c_size_t(ctypes.sizeof(value))
    library(f"cublasLt{kind}SetAttribute", descriptor, c_int(attribute), ctypes.byref(value), size)


def _factor(dtype: DType, value: float) -> Any:
    """alpha or beta, in the type of sums."""
    if dtype.is_complex:
        return ((c_float if dtype is complex64 else c_double) * 2)(value, 0.0)
    return (c_double if dtype is float64 else c_float)(value)


def _alpha(words: ProductWords, dtype: DType) -> float:
    """The factor whose bits a word holds; complex products have none."""
    if dtype.is_complex:
        return 1.0
    bits = (words.alpha & (1 << 8 * dtype.size) - 1).to_bytes(dtype.size, "little")
    return float(np.frombuffer(bits, dtype.as_numpy_dtype)[0])
