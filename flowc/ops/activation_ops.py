"""Activation functions of neural networks, and their gradients as ops of their own."""

from __future__ import annotations

from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.dtypes import ORDERED, REAL
from flowc.framework.graph import Tensor
from flowc.framework.registry import define, gradient
from flowc.ops.array_ops import zeros_like

__all__ = ["elu", "relu", "relu6", "softplus", "softsign"]

# Each `<Activation>Grad` op has the inputs (gradients, features) or (gradients, outputs), of one shape and type.

# -- relu --------------------------------------------------------------------------------------------------------------

define("Relu", shape=shape_rules.unchanged, allowed=ORDERED, inputs="features")
define("ReluGrad", shape=shape_rules.merged, allowed=ORDERED, inputs="gradients features")


def relu(features: Any, name: str | None = None) -> Tensor:
    """max(features, 0)."""
    return apply("Relu", [features], name=name)


@gradient("Relu")
def _relu_grad(op: Any, grad: Any) -> Any:
    return apply("ReluGrad", [grad, op.outputs[0]])  # the output is positive just where the input is


@gradient("ReluGrad")
def _relu_grad_grad(op: Any, grad: Any) -> Any:
    features = op.inputs[1]
    return apply("ReluGrad", [grad, features]), zeros_like(features)


define("Relu6", shape=shape_rules.unchanged, allowed=ORDERED, inputs="features")
define("Relu6Grad", shape=shape_rules.merged, allowed=ORDERED, inputs="gradients features")


def relu6(features: Any, name: str | None = None) -> Tensor:
    """min(max(features, 0), 6)."""
    return apply("Relu6", [features], name=name)


@gradient("Relu6")
def _relu6_grad(op: Any, grad: Any) -> Any:
    return apply("Relu6Grad", [grad, op.inputs[0]])


@gradient("Relu6Grad")
def _relu6_grad_grad(op: Any, grad: Any) -> Any:
    features = op.inputs[1]
    return apply("Relu6Grad", [grad, features]), zeros_like(features)


# -- elu ---------------------------------------------------------------------------------------------------------------

define("Elu", shape=shape_rules.unchanged, allowed=REAL, inputs="features")
define("EluGrad", shape=shape_rules.merged, allowed=REAL, inputs="gradients outputs")


def elu(features: Any, name: str | None = None) -> Tensor:
    """The exponential linear unit: exp(features) - 1 where negative, else features.

    Source: Clevert, Unterthiner, Hochreiter 2015, https://arxiv.org/abs/1511.07289.
    """
    return apply("Elu", [features], name=name)


@gradient("Elu")
def _elu_grad(op: Any, grad: Any) -> Any:
    return apply("EluGrad", [grad, op.outputs[0]])


@gradient("EluGrad")
def _elu_grad_grad(op: Any, grad: Any) -> Any:
    gradients, outputs = op.inputs
    negative = apply("Less", [outputs, 0])
    return apply("EluGrad", [grad, outputs]), apply("Select", [negative, grad * gradients, zeros_like(outputs)])


# -- softplus and softsign ---------------------------------------------------------------------------------------------

define("Softplus", shape=shape_rules.unchanged, allowed=REAL, inputs="features")
define("SoftplusGrad", shape=shape_rules.merged, allowed=REAL, inputs="gradients features")


def softplus(features: Any, name: str | None = None) -> Tensor:
    """log(exp(features) + 1), without overflow on the way."""
    return apply("Softplus", [features], name=name)


@gradient("Softplus")
def _softplus_grad(op: Any, grad: Any) -> Any:
    return apply("SoftplusGrad", [grad, op.inputs[0]])


@gradient("SoftplusGrad")
def _softplus_grad_grad(op: Any, grad: Any) -> Any:
    gradients, features = op.inputs
    slope = apply("Sigmoid", [features])
    return apply("SoftplusGrad", [grad, features]), grad * gradients * (slope * (1 - slope))


define("Softsign", shape=shape_rules.unchanged, allowed=REAL, inputs="features")
define("SoftsignGrad", shape=shape_rules.merged, allowed=REAL, inputs="gradients features")


def softsign(features: Any, name: str | None = None) -> Tensor:
    """features / (|features| + 1)."""
    return apply("Softsign", [features], name=name)


@gradient("Softsign")
def _softsign_grad(op: Any, grad: Any) -> Any:
    return apply("SoftsignGrad", [grad, op.inputs[0]])


@gradient("SoftsignGrad")
def _softsign_grad_grad(op: Any, grad: Any) -> Any:
    gradients, features = op.inputs
    below = 1 + apply("Abs", [features])
    curvature = -2 * apply("Sign", [features]) / (below * below * below)
    return apply("SoftsignGrad", [grad, features]), grad * gradients * curvature
