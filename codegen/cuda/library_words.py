"""What a plan's calls of NVIDIA's libraries say: launches of kernels without code, whose words are the fields below.

Whoever runs the plan makes the library's descriptors of them, and has it choose an algorithm.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from flowc.codegen.plan import Kernel

_MARK: Final = "# library call\n"
PRODUCT: Final = Kernel("cublaslt_matmul", _MARK)
CONVOLUTIONS: Final = {
    "library_conv": Kernel("cudnn_convolution", _MARK),
    "library_conv_image": Kernel("cudnn_convolution_image", _MARK),
    "library_conv_filter": Kernel("cudnn_convolution_filter", _MARK),
}
_PRECISIONS: Final = ("float32", "tf32", "bfloat16")


class ProductWords(NamedTuple):
    """The words of a product, all matrices as the user sees them: row after row.

    result, left, right: addresses. bias: that of a value for each column, which is added or (`bias_gradient`) written;
    mask: that of a bit for each element, 1 where a result is positive, rows `mask_bits` apart. 0: there is none.
    """

    result: int
    left: int
    right: int
    bias: int
    mask: int
    dtype: int  # a number of DType
    precision: int  # for float32: index into ("float32", "tf32", "bfloat16")
    batch: int
    m: int
    n: int
    k: int
    left_transposed: int
    right_transposed: int
    left_stride: int  # elements from row to row; if transposed, from column to column
    right_stride: int
    left_step: int  # elements from matrix to matrix of a stack
    right_step: int
    alpha: int  # the bits of a factor of the dtype, for real numbers
    added: int  # whether the product is added to what the result's memory holds
    relu: int
    relu_gradient: int  # whether results are dropped where the mask is 0
    bias_gradient: int  # whether sums over the rows of `right` are written to `bias`
    mask_bits: int


class ConvWords(NamedTuple):
    """The words of a convolution. `image`, `filter`, `result`: addresses; the one that is computed is written."""

    image: int
    filter: int
    result: int
    dtype: int
    precision: int
    batch: int
    height: int
    width: int
    channels: int
    rows: int
    columns: int
    filters: int
    down: int  # strides
    across: int
    above: int  # rows of zeros above the image, and below it
    aside: int
    result_rows: int
    result_columns: int


def is_library_call(kernel: Kernel) -> bool:
    """Whether a library does what a launch asks for: there is no code of the kernel."""
    return kernel.source == _MARK


def precision_of(number: int) -> str:
    """The precision that a word stands for."""
    return _PRECISIONS[number]


def number_of(precision: str) -> int:
    """The word that stands for a precision."""
    return _PRECISIONS.index(precision)
