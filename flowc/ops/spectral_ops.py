"""Discrete Fourier transforms over the last one, two or three dimensions; on the host, by NumPy's FFT."""

from __future__ import annotations

from typing import Any

from flowc.framework.building import apply
from flowc.framework.dtypes import COMPLEX
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.shape_rules import Shapes
from flowc.ops.array_ops import cast, expand_dims, rank, shape
from flowc.ops.reduction_ops import reduce_prod
from flowc.ops.slicing_ops import slice

__all__ = [
    "batch_fft",
    "batch_fft2d",
    "batch_fft3d",
    "batch_ifft",
    "batch_ifft2d",
    "batch_ifft3d",
    "fft",
    "fft2d",
    "fft3d",
    "ifft",
    "ifft2d",
    "ifft3d",
]

_DIMENSIONS = {"FFT": 1, "FFT2D": 2, "FFT3D": 3, "IFFT": 1, "IFFT2D": 2, "IFFT3D": 3}


def _define(op_type: str, dimensions: int) -> None:
    def one(ctx: ShapeContext) -> Shapes:
        return (ctx.shapes[0].with_rank(dimensions),)

    def each(ctx: ShapeContext) -> Shapes:
        return (ctx.shapes[0].with_rank_at_least(dimensions),)

    define(op_type, shape=one, allowed=COMPLEX, inputs="input", type_attrs="-")
    define(f"Batch{op_type}", shape=each, allowed=COMPLEX, inputs="input", type_attrs="-")


for _type, _count in _DIMENSIONS.items():
    _define(_type, _count)


def fft(input: Any, name: str | None = None) -> Tensor:
    """The discrete Fourier transform of a complex vector: Σₖ input[k] · exp(-2πi·jk/n), not scaled."""
    return apply("FFT", [input], name=name)


def ifft(input: Any, name: str | None = None) -> Tensor:
    """The inverse of `fft`: scaled by 1/n."""
    return apply("IFFT", [input], name=name)


def fft2d(input: Any, name: str | None = None) -> Tensor:
    """The two-dimensional discrete Fourier transform of a complex matrix."""
    return apply("FFT2D", [input], name=name)


def ifft2d(input: Any, name: str | None = None) -> Tensor:
    """The inverse of `fft2d`."""
    return apply("IFFT2D", [input], name=name)


def fft3d(input: Any, name: str | None = None) -> Tensor:
    """The three-dimensional discrete Fourier transform of a complex tensor of rank 3."""
    return apply("FFT3D", [input], name=name)


def ifft3d(input: Any, name: str | None = None) -> Tensor:
    """The inverse of `fft3d`."""
    return apply("IFFT3D", [input], name=name)


def batch_fft(input: Any, name: str | None = None) -> Tensor:
    """`fft` of each vector in the last dimension."""
    return apply("BatchFFT", [input], name=name)


def batch_ifft(input: Any, name: str | None = None) -> Tensor:
    """`ifft` of each vector in the last dimension."""
    return apply("BatchIFFT", [input], name=name)


def batch_fft2d(input: Any, name: str | None = None) -> Tensor:
    """`fft2d` of each matrix in the last two dimensions."""
    return apply("BatchFFT2D", [input], name=name)


def batch_ifft2d(input: Any, name: str | None = None) -> Tensor:
    """`ifft2d` of each matrix in the last two dimensions."""
    return apply("BatchIFFT2D", [input], name=name)


def batch_fft3d(input: Any, name: str | None = None) -> Tensor:
    """`fft3d` over the last three dimensions."""
    return apply("BatchFFT3D", [input], name=name)


def batch_ifft3d(input: Any, name: str | None = None) -> Tensor:
    """`ifft3d` over the last three dimensions."""
    return apply("BatchIFFT3D", [input], name=name)


@gradient(*(batch + op_type for op_type in _DIMENSIONS for batch in ("", "Batch")))
def _fourier_grad(op: Any, grad: Any) -> Any:
    """The transform is a symmetric matrix F: the gradient is conj(F) · grad, which is the inverse, scaled."""
    name = op.type.removeprefix("Batch")
    batch = op.type[: -len(name)]
    count = cast(_transformed_elements(op.inputs[0], _DIMENSIONS[name]), grad.dtype)
    if name.startswith("I"):
        return apply(batch + name[1:], [grad]) / count
    return apply(f"{batch}I{name}", [grad]) * count


def _transformed_elements(x: Tensor, dimensions: int) -> Tensor:
    """How many elements each transform has."""
    return reduce_prod(slice(shape(x), expand_dims(rank(x) - dimensions, 0), [dimensions]))
