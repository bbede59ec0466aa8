"""Plain gradient descent in PyTorch as fast as its users write it, shared by the works that train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.work import Array

Tensor = Any
Loss = Callable[..., Tensor]


def eager_descent(loss: Loss, initial: Sequence[Array], rate: float) -> tuple[Callable[..., None], list[Tensor]]:
    """`(step, parameters)`: autograd, then one in-place update a parameter, with no optimizer object in between.

    Measured cheaper than `torch.optim.SGD` at these sizes. `loss(parameters, *batch)` gives a scalar.
    """
    import torch

    parameters = [torch.tensor(value, requires_grad=True) for value in initial]

    def step(*batch: Tensor) -> None:
        gradients = torch.autograd.grad(loss(parameters, *batch), parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.sub_(gradient, alpha=rate)

    return step, parameters


def compiled_descent(loss: Loss, initial: Sequence[Array], rate: float) -> tuple[Callable[..., None], list[Tensor]]:
    """As `eager_descent`, but forward, backward and update are one graph under `torch.compile`."""
    import torch

    parameters = [torch.tensor(value) for value in initial]

    def whole_step(parameters: list[Tensor], *batch: Tensor) -> None:
        gradients = torch.func.grad(loss)(parameters, *batch)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=rate)

    compiled = torch.compile(whole_step, fullgraph=True)

    def step(*batch: Tensor) -> None:
        with torch.no_grad():
            compiled(parameters, *batch)

    return step, parameters
