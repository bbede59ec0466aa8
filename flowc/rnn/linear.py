"""A layer over several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.convert import convert_to_tensor
from flowc.framework.graph import Tensor
from flowc.ops.joining_ops import concat
from flowc.ops.matmul_ops import matmul
from flowc.variable_scope import constant_initializer, get_variable, variable_scope

__all__ = ["linear"]


def linear(args: Any, output_size: int, bias: bool, bias_start: float = 0.0, scope: Any = None) -> Tensor:
    """The sum of args[i] · W[i], with a bias if wanted: shape [batch, output_size].

    Args:
        args: a tensor of shape [batch, size], or a list of such.
        output_size: an int.
        bias: whether there is a bias.
        bias_start: what its elements start as.
        scope: the variable scope of `Matrix` and `Bias`, by default "Linear".

    Raises:
        ValueError: no inputs, or inputs that are no matrices of known width.
    """
    inputs = [convert_to_tensor(x) for x in (args if isinstance(args, list | tuple) else [args])]
    if not inputs:
        raise ValueError("`args` must be specified")
    width = sum(_width(x, inputs) for x in inputs)
    with variable_scope(scope or "Linear"):
        matrix = get_variable("Matrix", [width, output_size], inputs[0].dtype.base_dtype)
        result = matmul(inputs[0] if len(inputs) == 1 else concat(1, inputs), matrix)
        if not bias:
            return result
        start = constant_initializer(bias_start)
        return result + get_variable("Bias", [output_size], inputs[0].dtype.base_dtype, initializer=start)


def _width(x: Tensor, inputs: Sequence[Tensor]) -> int:
    shape = x.get_shape()
    if shape.ndims not in (None, 2):
        raise ValueError(f"Linear is expecting 2D arguments: {[str(other.get_shape()) for other in inputs]}")
    size = None if shape.ndims is None else shape[1].value
    if size is None:
        raise ValueError(f"Linear expects shape[1] of arguments: {[str(other.get_shape()) for other in inputs]}")
    return int(size)
