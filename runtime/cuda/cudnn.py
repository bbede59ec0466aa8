"""cuDNN through ctypes: convolutions of images [batch, height, width, channels] and their gradients.

Of its two interfaces this is the one with a function for each of the three; its descriptors say no more than sizes. The
algorithm is the first of those that the library proposes that gives the same bits in every run and needs not too much
memory.

Source: NVIDIA, cuDNN 9 API reference, libraries `cudnn_ops` and `cudnn_cnn`; numbers are those of their headers.
"""

from __future__ import annotations

import ctypes
import weakref
from ctypes import c_double, c_float, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from typing import Any, Final

from flowc.codegen.cuda.library_words import ConvWords, precision_of
from flowc.framework.dtypes import DType, as_dtype, float32, float64
from flowc.runtime.cuda.driver import DriverError, Gpu

_NHWC: Final = 1  # cudnnTensorFormat_t
_CROSS_CORRELATION: Final = 1  # cudnnConvolutionMode_t: filters are not turned
_TYPES: Final[dict[DType, int]] = {float32: 0, float64: 1}  # cudnnDataType_t
_TF32, _STRICT = 0, 3  # cudnnMathType_t: CUDNN_DEFAULT_MATH rounds factors of float32 to TF32, CUDNN_FMA_MATH does not
_TENSOR_CORES: Final = (1, 2)  # of these, those that may round
_DETERMINISTIC: Final = 1  # cudnnDeterminism_t
_PROPOSALS: Final = 8  # no function has more algorithms
MOST_WORKSPACE: Final = 256 << 20  # bytes


class Proposal(ctypes.Structure):
    """cudnnConvolutionFwdAlgoPerf_t, and those of the gradients, which are alike."""

    _fields_ = [
        ("algorithm", c_int),
        ("status", c_int),
        ("time", c_float),
        ("memory", c_size_t),
        ("determinism", c_int),
        ("math", c_int),
        ("reserved", c_int * 3),
    ]


class CudnnError(DriverError):
    """cuDNN refused something."""


class Cudnn:
    """The library. `version`: as `9.27.0`."""

    def __init__(self, dll: Any) -> None:
        self._dll = dll
        dll.cudnnGetErrorString.restype = ctypes.c_char_p
        dll.cudnnGetVersion.restype = c_size_t
        number = int(dll.cudnnGetVersion())
        self.version = f"{number // 10000}.{number // 100 % 100}.{number % 100}"
        self._handles: dict[int, c_void_p] = {}

    def __call__(self, function: str, *args: Any) -> None:
        """Calls a function. Raises CudnnError."""
        code = getattr(self._dll, function)(*args)
        if code:
            name = self._dll.cudnnGetErrorString(code) or b""
            raise CudnnError(function, name.decode(), f"status {code}")

    def handle(self, gpu: Gpu) -> c_void_p:
        """The library's state for a GPU, which the thread has entered; its work goes to the GPU's stream."""
        if gpu.info.index not in self._handles:
            handle = c_void_p()
            self("cudnnCreate", ctypes.byref(handle))
            self("cudnnSetStream", handle, c_void_p(gpu.stream()))
            self._handles[gpu.info.index] = handle
        return self._handles[gpu.info.index]


@dataclass(frozen=True)
class _Descriptors:
    """The library's descriptors of a convolution."""

    library: Cudnn
    convolution: c_void_p
    image: c_void_p
    filter: c_void_p
    result: c_void_p

    def give_back(self) -> None:
        """Frees them."""
        self.library("cudnnDestroyConvolutionDescriptor", self.convolution)
        self.library("cudnnDestroyFilterDescriptor", self.filter)
        for tensor in (self.image, self.result):
            self.library("cudnnDestroyTensorDescriptor", tensor)


class Convolution:
    """A convolution or a gradient of one. `workspace`: the bytes that its algorithm needs."""

    proposing: str  # the function that proposes algorithms,
    computing: str  # and the one that computes
    operands: tuple[str, str, str]  # of both, in their order: what is read, and what is written

    def __init__(self, library: Cudnn, gpu: Gpu, words: ConvWords) -> None:
        """Addresses in `words` do not matter. Raises CudnnError where there is no algorithm."""
        self._library, self._handle = library, library.handle(gpu)
        self._described = _described(library, words)
        weakref.finalize(self, self._described.give_back).atexit = False
        number = c_double if as_dtype(words.dtype) is float64 else c_float
        self._one, self._zero = number(1), number(0)
        chosen = self._chosen(_is_strict(words))
        self._algorithm, self.workspace = c_int(chosen.algorithm), int(chosen.memory)

    def launch(self, words: ConvWords, workspace: int) -> None:
        """Asks for it, in the GPU's stream."""
        first, second, written = (
            (getattr(self._described, name), c_void_p(getattr(words, name))) for name in self.operands
        )
        how = self._described.convolution, self._algorithm, c_void_p(workspace), c_size_t(self.workspace)
        one, zero = ctypes.byref(self._one), ctypes.byref(self._zero)
        self._library(self.computing, self._handle, one, *first, *second, *how, zero, *written)

    def _chosen(self, strict: bool) -> Proposal:
        found, count = (Proposal * _PROPOSALS)(), c_int()
        first, second, written = (getattr(self._described, name) for name in self.operands)
        descriptors = first, second, self._described.convolution, written
        self._library(self.proposing, self._handle, *descriptors, _PROPOSALS, ctypes.byref(count), found)
        for proposal in found[: count.value]:
            able = not proposal.status and proposal.determinism == _DETERMINISTIC
            if not able or proposal.memory > MOST_WORKSPACE or (strict and proposal.math in _TENSOR_CORES):
                continue
            if not strict:
                math = c_int(proposal.math)
                self._library("cudnnSetConvolutionMathType", self._described.convolution, math)
            return proposal
        raise CudnnError(
            self.proposing, "CUDNN_STATUS_NOT_SUPPORTED", "no algorithm that gives the same bits each time"
        )


class Forward(Convolution):
    """The results."""

    proposing = "cudnnGetConvolutionForwardAlgorithm_v7"
    computing = "cudnnConvolutionForward"
    operands = ("image", "filter", "result")


class ImageGradient(Convolution):
    """The gradient of the images."""

    proposing = "cudnnGetConvolutionBackwardDataAlgorithm_v7"
    computing = "cudnnConvolutionBackwardData"
    operands = ("filter", "result", "image")


class FilterGradient(Convolution):
    """The gradient of the filters."""

    proposing = "cudnnGetConvolutionBackwardFilterAlgorithm_v7"
    computing = "cudnnConvolutionBackwardFilter"
    operands = ("image", "result", "filter")


# -- descriptors -------------------------------------------------------------------------------------------------------


def _described(library: Cudnn, words: ConvWords) -> _Descriptors:
    kind = _TYPES[as_dtype(words.dtype)]
    image = _tensor(library, kind, words.batch, words.channels, words.height, words.width)
    result = _tensor(library, kind, words.batch, words.filters, words.result_rows, words.result_columns)
    filter = c_void_p()
    library("cudnnCreateFilterDescriptor", ctypes.byref(filter))
    sizes = _ints(words.filters, words.channels, words.rows, words.columns)
    library("cudnnSetFilter4dDescriptor", filter, c_int(kind), c_int(_NHWC), *sizes)
    return _Descriptors(library, _windows(library, words, kind), image, filter, result)


def _windows(library: Cudnn, words: ConvWords, kind: int) -> c_void_p:
    convolution = c_void_p()
    library("cudnnCreateConvolutionDescriptor", ctypes.byref(convolution))
    places = _ints(words.above, words.aside, words.down, words.across, 1, 1)  # the last: no holes in the windows
    library("cudnnSetConvolution2dDescriptor", convolution, *places, c_int(_CROSS_CORRELATION), c_int(kind))
    library("cudnnSetConvolutionMathType", convolution, c_int(_STRICT if _is_strict(words) else _TF32))
    return convolution


def _is_strict(words: ConvWords) -> bool:
    """Whether factors must not be rounded."""
    return precision_of(words.precision) == "float32" or as_dtype(words.dtype) is not float32


def _tensor(library: Cudnn, kind: int, *sizes: int) -> c_void_p:
    """A tensor of so many (batch, channels, rows, columns), channels side by side in memory."""
    tensor = c_void_p()
    library("cudnnCreateTensorDescriptor", ctypes.byref(tensor))
    library("cudnnSetTensor4dDescriptor", tensor, c_int(_NHWC), c_int(kind), *_ints(*sizes))
    return tensor


def _ints(*values: int) -> list[c_int]:
    return [c_int(value) for value in values]
