"""Products of matrices by cuBLASLt and convolutions by cuDNN: the rule that chooses them, and what they are told.

What a library is told are words as those of any other launch: see `flowc.codegen.cuda.library_words`.

    library_product        a [m, k] times b [k, n], or stacks of them; then a bias, and max(…, 0)
    library_product_add    the same times `alpha`, added to the first argument in its memory
    library_conv           images [batch, height, width, channels] by filters [filters, rows, columns, channels]
    library_conv_image     the gradient of the images, of filters and the gradient of the result
    library_conv_filter    the gradient of the filters, of images and the gradient of the result
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from flowc.codegen.cuda.library_words import CONVOLUTIONS, PRODUCT, ProductWords, number_of
from flowc.codegen.cuda.vendor import vendor
from flowc.codegen.ir import Node, access
from flowc.codegen.kernels.matmul import MatrixLayout, bits_of, matrix_layout
from flowc.codegen.templates import Launch, Pointer, Word, params_of, template
from flowc.framework.dtypes import DType, complex64, complex128, float16, float32, float64
from flowc.framework.windows import Windows

PRODUCT_TYPES: Final = (float16, float32, float64, complex64, complex128)
CONV_TYPES: Final = (float32, float64)
MOST_ELEMENTS: Final = 1 << 31  # of a tensor of cuDNN's


class Choice(NamedTuple):
    """What computes a product or a convolution: a library or not, the reason, for `explain()`, and whether a bias and a
    relu can be part of it."""

    by_library: bool
    why: str
    epilogues: bool = False


# -- the rule ----------------------------------------------------------------------------------------------------------


def chosen_product(a: Node, b: Node) -> Choice | None:
    """What computes a product of floats or complex numbers on a GPU; None for a type that must be converted first.

    cuBLASLt, wherever it is installed: its kernels are made for each device, and divide long sums of small results.
    """
    libraries = vendor()
    if libraries.blas and a.dtype in PRODUCT_TYPES:
        epilogues = libraries.epilogues and len(a.shape) == 2 and a.dtype in (float16, float32)
        return Choice(True, f"cuBLASLt {libraries.blas}{_rounding(a.dtype)}", epilogues)
    if a.dtype is float16:
        return None
    return Choice(False, f"generated kernel: {libraries.no_blas or f'cuBLASLt has no {a.dtype.name}'}")


def chosen_convolution(dtype: DType, sizes: Sequence[int]) -> Choice:
    """What computes a convolution on a GPU of tensors of so many elements: cuDNN, wherever it is installed, or a
    product of matrices."""
    libraries = vendor()
    if not libraries.dnn:
        return Choice(False, libraries.no_dnn)
    if dtype not in CONV_TYPES:
        return Choice(False, f"cuDNN has no {dtype.name}")
    if max(sizes) >= MOST_ELEMENTS:
        return Choice(False, "a tensor of 2^31 elements or more")
    precision = _rounding(dtype).replace("bfloat16", "tf32")  # cuDNN would round to halves, which overflow
    return Choice(True, f"cuDNN {libraries.dnn}{precision}")


def _rounding(dtype: DType) -> str:
    return f", {vendor().precision}" if dtype is float32 else ""


# -- products ----------------------------------------------------------------------------------------------------------


@template("library_product", strided=frozenset({0, 1}))
def library_product(call: Node) -> Sequence[Launch]:
    """One launch. Params: `bias`, whether there is a third argument to add; `relu`."""
    params = params_of(call)
    bias: Word = Pointer(2) if params.get("bias") else 0
    return [library_call(call, 0, call.shape, bias=bias, relu=int(bool(params.get("relu"))))]


@template("library_product_add", in_place=0, strided=frozenset({1, 2}))
def library_product_add(call: Node) -> Sequence[Launch]:
    """One launch; real numbers only."""
    return [library_call(call, 1, call.shape, alpha=bits_of(params_of(call)["alpha"], call.dtype), added=1)]


def library_call(call: Node, first: int, shape: Sequence[int], **words: Word) -> Launch:
    """The launch of the product, of `shape`, of arguments `first` and the next; `words`: those that differ from a plain
    one's."""
    a, b = call.args[first : first + 2]
    m, n = shape[-2:]
    batch = shape[0] if len(shape) == 3 else 1
    left, right = _layout(a), _layout(b)
    plain: dict[str, Word] = dict.fromkeys(ProductWords._fields, 0)
    plain |= {"result": Pointer(-1), "left": Pointer(first), "right": Pointer(first + 1), "dtype": call.dtype._enum}
    plain |= {"precision": number_of(vendor().precision), "batch": batch, "m": m, "n": n, "k": a.shape[-1]}
    plain |= {"left_transposed": int(left.transposed), "right_transposed": int(right.transposed)}
    plain |= {"left_stride": left.stride, "right_stride": right.stride, "left_step": _step(a), "right_step": _step(b)}
    if not call.dtype.is_complex:
        plain["alpha"] = bits_of(1.0, call.dtype)
    moved = (batch * m * n + a.size + b.size) * call.dtype.size
    return Launch(PRODUCT, tuple((plain | words).values()), 1, 1, moved)


def _layout(matrix: Node) -> MatrixLayout:
    layout = matrix_layout(matrix)
    assert layout is not None, f"no library can read {matrix}: its lowering must copy it"
    return layout


def _step(matrix: Node) -> int:
    strides = access(matrix)[2]
    return strides[0] if len(strides) == 3 else 0


# -- convolutions ------------------------------------------------------------------------------------------------------


@template("library_conv")
def library_conv(call: Node) -> Sequence[Launch]:
    """One launch. Params, as of the others: `down`, `across`, the windows; no more zeros after an image than before."""
    image, filter = call.args
    return [_convolution(call, Pointer(0), Pointer(1), Pointer(-1), image.shape, filter.shape, call.shape)]


@template("library_conv_image")
def library_conv_image(call: Node) -> Sequence[Launch]:
    """One launch."""
    filter, gradient = call.args
    return [_convolution(call, Pointer(-1), Pointer(0), Pointer(1), call.shape, filter.shape, gradient.shape)]


@template("library_conv_filter")
def library_conv_filter(call: Node) -> Sequence[Launch]:
    """One launch."""
    image, gradient = call.args
    return [_convolution(call, Pointer(0), Pointer(-1), Pointer(1), image.shape, call.shape, gradient.shape)]


def _convolution(
    call: Node,
    image_at: Word,
    filter_at: Word,
    result_at: Word,
    image: Sequence[int],
    filter: Sequence[int],
    result: Sequence[int],
) -> Launch:
    params: dict[str, Any] = params_of(call)
    down: Windows = params["down"]
    across: Windows = params["across"]
    kind = call.dtype._enum, number_of(vendor().precision)
    strides = down.stride, across.stride, down.before, across.before
    filters, rows, columns, _ = filter
    words = (image_at, filter_at, result_at, *kind, *image, rows, columns, filters, *strides, *result[1:3])
    moved = sum(node.size for node in (call, *call.args)) * call.dtype.size
    return Launch(CONVOLUTIONS[call.attr[0]], words, 1, 1, moved)
