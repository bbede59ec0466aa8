"""cuBLASLt and cuDNN that note what is asked of them, and compute it with NumPy from the descriptors they are given.

They stand in for the shared libraries: functions by the same names, which take what ctypes passes. A matrix of cuBLASLt
lies column after column, as its documentation has it, so that wrong orders, strides and addresses give wrong results.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from flowc.runtime.cuda.cublaslt import CublasLt
from flowc.runtime.cuda.cudnn import Cudnn
from flowc.runtime.cuda.vendor_libraries import Installed
from tests.gpu.recording_gpu import STREAM, RecordingGpu

Array = np.ndarray[Any, Any]
ELEMENTS = {0: "f4", 1: "f8", 2: "f2", 4: "c8", 5: "c16"}  # cudaDataType
CONV_ELEMENTS = {0: "f4", 1: "f8"}  # cudnnDataType_t
NOT_SUPPORTED = 15
# what attributes are called, by kind of descriptor: names of the headers, shortened
ATTRIBUTES: dict[str, dict[int, tuple[str, int]]] = {
    "MatmulDesc": {
        3: ("trans_a", 4), 4: ("trans_b", 4), 7: ("epilogue", 4), 8: ("bias", 8), 11: ("aux", 8), 12: ("aux_ld", 8),
    },
    "MatrixLayout": {5: ("batch", 4), 6: ("step", 8)},
    "MatmulPreference": {
        1: ("workspace", 8), 5: ("align_a", 4), 6: ("align_b", 4), 7: ("align_c", 4), 8: ("align_d", 4),
    },
}  # fmt: skip


class Function:
    """A function as ctypes has them: it can be called, and told the type of its result."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self.restype: Any = None

    def __call__(self, *args: Any) -> Any:
        return self._call(*args)


def value_of(arg: Any) -> Any:
    """A number, from what ctypes passes."""
    return getattr(arg, "value", arg)


def array_at(address: int, dtype: str, size: int) -> Array:
    """Memory as an array, of which it is a view."""
    raw = (ctypes.c_uint8 * (size * np.dtype(dtype).itemsize)).from_address(address)
    return np.frombuffer(raw, dtype)


class StubLibrary:
    """What the stubs share: `calls`, the names of functions called, in order; descriptors by their handles."""

    prefix = ""

    def __init__(self, gpus: list[RecordingGpu]) -> None:
        self.calls: list[str] = []
        self.described: dict[int, dict[str, Any]] = {}
        self.launched: list[dict[str, Any]] = []  # what was computed or noted: descriptors and arguments
        self._gpus = gpus
        self._next = 0x100

    def __getattr__(self, name: str) -> Function:
        if name.startswith("_") or not name.startswith(self.prefix):
            raise AttributeError(name)
        short = name.removeprefix(self.prefix)
        method = getattr(type(self), f"on_{short}", None)
        if method is None and short.endswith("Attribute"):
            method = self._setter(short.removesuffix("SetAttribute"))
        elif method is None and (short.startswith("Destroy") or short.endswith("Destroy")):
            method = type(self).on_destroy
        if method is None:
            raise AttributeError(f"the stub has no {name}")

        def call(*args: Any) -> Any:
            self.calls.append(short)
            return method(self, *args)

        function = Function(call)
        self.__dict__[name] = function
        return function

    @staticmethod
    def _setter(kind: str) -> Callable[..., int]:
        def set_attribute(self: StubLibrary, descriptor: Any, attribute: Any, value: Any, size: Any) -> int:
            name, expected = ATTRIBUTES[kind][value_of(attribute)]
            assert value_of(size) == expected == ctypes.sizeof(value._obj), f"{kind} {name} has {expected} bytes"
            self.described[value_of(descriptor)][name] = value._obj.value
            return 0

        return set_attribute

    def on_destroy(self, descriptor: Any) -> int:
        del self.described[value_of(descriptor)]
        return 0

    def _new(self, target: Any, **fields: Any) -> int:
        self._next += 1
        target._obj.value = self._next
        self.described[self._next] = fields
        return 0

    def _ask(self, stream: int, action: Callable[[], None]) -> None:
        """Has a GPU do something in its stream's order."""
        (gpu,) = [gpu for gpu in self._gpus if STREAM + gpu.info.index == stream]
        gpu._ask(type(self).__name__, action)

    def _inside(self, address: int, size: int) -> None:
        held = [(at, at + held) for gpu in self._gpus for at, (held, _) in gpu._blocks.items()]
        assert any(start <= address and address + size <= end for start, end in held), "memory that is nobody's"


class StubCublasLt(StubLibrary):
    """cuBLASLt 13.1. `refuses`: whether it has no algorithm for a product, by its descriptor; `fails`: whether
    products are refused when they are launched."""

    prefix = "cublasLt"

    def __init__(
        self,
        gpus: list[RecordingGpu],
        workspace: int = 768,
        refuses: Callable[[dict[str, Any]], bool] = lambda d: False,
    ) -> None:
        super().__init__(gpus)
        self.workspace, self.refuses, self.fails = workspace, refuses, False

    def on_GetVersion(self) -> int:
        return 130100

    def on_GetStatusName(self, code: int) -> bytes:
        return {NOT_SUPPORTED: b"CUBLAS_STATUS_NOT_SUPPORTED"}[code]

    def on_GetStatusString(self, code: int) -> bytes:
        return b"the functionality requested is not supported"

    def on_Create(self, handle: Any) -> int:
        return self._new(handle, kind="handle")

    def on_MatmulDescCreate(self, target: Any, compute: Any, scale: Any) -> int:
        return self._new(target, compute=value_of(compute), scale=value_of(scale), epilogue=1, bias=0, aux=0)

    def on_MatrixLayoutCreate(self, target: Any, element: Any, rows: Any, columns: Any, stride: Any) -> int:
        sizes = {"rows": value_of(rows), "columns": value_of(columns), "ld": value_of(stride)}
        assert sizes["ld"] >= sizes["rows"] > 0 < sizes["columns"], sizes
        return self._new(target, element=ELEMENTS[value_of(element)], **sizes, batch=1, step=0)

    def on_MatmulPreferenceCreate(self, target: Any) -> int:
        return self._new(target)

    def on_MatmulAlgoGetHeuristic(
        self, handle: Any, product: Any, a: Any, b: Any, c: Any, d: Any, preference: Any, most: int, found: Any, n: Any
    ) -> int:
        assert self.described[value_of(handle)]["kind"] == "handle"
        asked, how = self.described[value_of(preference)], self.described[value_of(product)]
        assert {"workspace", "align_a", "align_b", "align_c", "align_d"} <= asked.keys()
        if self.refuses(how):
            return NOT_SUPPORTED
        found._obj.workspace, found._obj.state, n._obj.value = min(self.workspace, asked["workspace"]), 0, 1
        found._obj.algorithm.data[0] = 42
        how["preference"] = dict(asked)
        return 0

    def on_Matmul(self, handle: Any, product: Any, alpha: Any, *rest: Any) -> int:
        a, a_layout, b, b_layout, beta, c, c_layout, d, d_layout, algorithm, workspace, size, stream = rest
        if self.fails:
            return NOT_SUPPORTED
        how = {**self.described[value_of(product)], "alpha": _scalar(alpha), "beta": _scalar(beta)}
        how["layouts"] = [dict(self.described[value_of(layout)]) for layout in (a_layout, b_layout, d_layout)]
        how["pointers"] = [value_of(pointer) for pointer in (a, b, d)]
        assert value_of(c) == value_of(d)
        assert value_of(c_layout) == value_of(d_layout)
        assert algorithm._obj.data[0] == 42
        assert value_of(size) == self.workspace
        self._inside(value_of(workspace), self.workspace)
        how["workspace"] = value_of(workspace)
        for pointer, side in zip(how["pointers"], "abd", strict=True):
            assert pointer % how["preference"][f"align_{side}"] == 0
        self.launched.append(how)
        self._ask(value_of(stream), lambda: multiply(how))
        return 0


def _scalar(pointer: Any) -> complex:
    value = pointer._obj
    return complex(*value) if isinstance(value, ctypes.Array) else value.value


def multiply(how: dict[str, Any]) -> None:
    """D = epilogue(alpha · op(A) · op(B) + beta · D), for each of a batch."""
    a, b, d = (_matrices(layout, at) for layout, at in zip(how["layouts"], how["pointers"], strict=True))
    wide = np.complex128 if d[0].dtype.kind == "c" else np.float64
    for left, right, result in zip(a, b, d, strict=True):
        left, right = (
            (matrix.T if how[f"trans_{side}"] else matrix).astype(wide) for matrix, side in ((left, "a"), (right, "b"))
        )
        value = how["alpha"] * (left @ right)
        if how["beta"]:
            value += how["beta"] * result
        result[...] = finished(how, value, left, result.dtype)


def finished(how: dict[str, Any], value: Array, left: Array, dtype: Any) -> Array:
    """What the epilogue makes of the value, and writes besides."""
    rows, columns = value.shape
    epilogue = how["epilogue"]
    if epilogue == 256:
        array_at(how["bias"], dtype.str, rows)[...] = left.sum(1)
        return value
    assert epilogue in (1, 2, 4, 6, 130, 134, 136)
    if epilogue & 4:
        value = value + array_at(how["bias"], dtype.str, rows)[:, None]
    if epilogue & 128:
        assert how["aux_ld"] % 128 == 0
        assert how["aux_ld"] >= rows
        mask = array_at(how["aux"], "u1", columns * how["aux_ld"] // 8).reshape(columns, -1)
        if epilogue & 8:
            return value * np.unpackbits(mask, axis=1, bitorder="little")[:, :rows].T
        mask[:, : -(-rows // 8)] = np.packbits((value > 0).T, axis=1, bitorder="little")
    return np.maximum(value, 0) if epilogue & 2 else value


def _matrices(layout: dict[str, Any], address: int) -> list[Array]:
    """Views of the matrices of a layout."""
    rows, columns, ld = layout["rows"], layout["columns"], layout["ld"]
    size = np.dtype(layout["element"]).itemsize
    found = []
    for number in range(layout["batch"]):
        memory = array_at(address + number * layout["step"] * size, layout["element"], (columns - 1) * ld + rows)
        found.append(np.lib.stride_tricks.as_strided(memory, (rows, columns), (size, ld * size)))
    return found


class StubCudnn(StubLibrary):
    """cuDNN 9.27. Its first proposal is an algorithm that is not deterministic, its second takes too much memory."""

    prefix = "cudnn"

    def __init__(self, gpus: list[RecordingGpu], workspace: int = 1280, refuses: bool = False) -> None:
        super().__init__(gpus)
        self.workspace, self.refuses = workspace, refuses
        self._stream = 0

    def on_GetVersion(self) -> int:
        return 92700

    def on_GetErrorString(self, code: int) -> bytes:
        return b"CUDNN_STATUS_NOT_SUPPORTED"

    def on_Create(self, handle: Any) -> int:
        return self._new(handle, kind="handle")

    def on_SetStream(self, handle: Any, stream: Any) -> int:
        self._stream = value_of(stream)
        return 0

    def on_CreateTensorDescriptor(self, target: Any) -> int:
        return self._new(target)

    on_CreateFilterDescriptor = on_CreateConvolutionDescriptor = on_CreateTensorDescriptor

    def on_SetTensor4dDescriptor(self, tensor: Any, format: Any, kind: Any, *sizes: Any) -> int:
        assert value_of(format) == 1, "channels side by side"
        n, c, h, w = map(value_of, sizes)
        self.described[value_of(tensor)].update(element=CONV_ELEMENTS[value_of(kind)], shape=(n, h, w, c))
        return 0

    def on_SetFilter4dDescriptor(self, filter: Any, kind: Any, format: Any, *sizes: Any) -> int:
        assert value_of(format) == 1, "channels side by side"
        k, c, h, w = map(value_of, sizes)
        self.described[value_of(filter)].update(element=CONV_ELEMENTS[value_of(kind)], shape=(k, h, w, c))
        return 0

    def on_SetConvolution2dDescriptor(self, convolution: Any, *values: Any) -> int:
        above, aside, down, across, *holes, mode, kind = map(value_of, values)
        assert holes == [1, 1]
        assert mode == 1, "filters are not turned"
        self.described[value_of(convolution)].update(pads=(above, aside), strides=(down, across), compute=kind)
        return 0

    def on_SetConvolutionMathType(self, convolution: Any, math: Any) -> int:
        self.described[value_of(convolution)]["math"] = value_of(math)
        return 0

    def _proposals(self, *args: Any) -> int:
        most, count, found = args[-3:]
        if self.refuses:
            count._obj.value = 0
            return 0
        proposals = [(3, 0, 8, 0), (4, 0, 1 << 40, 1), (5, 3000, 8, 1), (1, 0, self.workspace, 1)]
        assert most >= len(proposals)
        for place, (algorithm, status, memory, deterministic) in enumerate(proposals):
            found[place].algorithm, found[place].status, found[place].memory = algorithm, status, memory
            found[place].determinism, found[place].math = deterministic, 0
        count._obj.value = len(proposals)
        return 0

    on_GetConvolutionForwardAlgorithm_v7 = on_GetConvolutionBackwardDataAlgorithm_v7 = _proposals
    on_GetConvolutionBackwardFilterAlgorithm_v7 = _proposals

    def _compute(self, which: str, args: tuple[Any, ...]) -> int:
        _, alpha, first, first_at, second, second_at, how, algorithm, workspace, size, beta, third, third_at = args
        assert (_scalar(alpha), _scalar(beta)) == (1, 0)
        assert (value_of(algorithm), value_of(size)) == (1, self.workspace)
        self._inside(value_of(workspace), self.workspace)
        tensors = [
            (dict(self.described[value_of(described)]), value_of(at))
            for described, at in ((first, first_at), (second, second_at), (third, third_at))
        ]
        asked = {"which": which, **self.described[value_of(how)], "tensors": tensors}
        self.launched.append(asked)
        self._ask(self._stream, lambda: convolve(asked))
        return 0

    def on_ConvolutionForward(self, *args: Any) -> int:
        return self._compute("forward", args)

    def on_ConvolutionBackwardData(self, *args: Any) -> int:
        return self._compute("image", args)

    def on_ConvolutionBackwardFilter(self, *args: Any) -> int:
        return self._compute("filter", args)


def convolve(asked: dict[str, Any]) -> None:
    """A convolution or a gradient, tap by tap, from descriptors."""
    first, second, written = (
        array_at(at, described["element"], int(np.prod(described["shape"]))).reshape(described["shape"])
        for described, at in asked["tensors"]
    )
    order = {"forward": (0, 1, 2), "image": (2, 0, 1), "filter": (0, 2, 1)}[asked["which"]]
    image, filter, result = ((first, second, written)[place] for place in order)
    pads, strides = asked["pads"], asked["strides"]
    padded = np.zeros(
        (image.shape[0], *(n + 2 * p for n, p in zip(image.shape[1:3], pads, strict=True)), image.shape[3])
    )
    inner = padded[:, pads[0] : pads[0] + image.shape[1], pads[1] : pads[1] + image.shape[2]]
    rows, columns = result.shape[1:3]
    for n, p, size, stride, count in zip(
        image.shape[1:3], pads, filter.shape[1:3], strides, (rows, columns), strict=True
    ):
        assert (n + 2 * p - size) // stride + 1 == count, "what cudnnGetConvolution2dForwardOutputDim would say"
    if asked["which"] != "image":
        inner[...] = image
    sums = np.zeros(written.shape)
    for i in range(filter.shape[1]):
        for j in range(filter.shape[2]):
            down = slice(i, i + (rows - 1) * strides[0] + 1, strides[0])
            across = slice(j, j + (columns - 1) * strides[1] + 1, strides[1])
            at = slice(None), down, across
            if asked["which"] == "forward":
                sums += padded[at] @ filter[:, i, j].T
            elif asked["which"] == "image":
                padded[at] += result @ filter[:, i, j]
            else:
                sums[:, i, j] = np.einsum("nhwk,nhwc->kc", result, padded[at])
    written[...] = inner if asked["which"] == "image" else sums


def stubs(gpus: list[RecordingGpu], blas: StubCublasLt | None = None, dnn: StubCudnn | None = None) -> Installed:
    """Both libraries, or those given; `Installed.blas` and `dnn` hold adapters of them."""
    return Installed(CublasLt(blas or StubCublasLt(gpus)), Cudnn(dnn or StubCudnn(gpus)))
