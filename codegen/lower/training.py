"""The updates of optimizers, by the formulas of `flowc.train.training_ops`.

Fusion makes one pass of each, in place on the variable and its slots. Float16 is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from flowc.codegen.ir import Node
from flowc.codegen.lower.common import dense
from flowc.codegen.lower.registry import LoweredOp, update
from flowc.codegen.lower.state import scattered
from flowc.codegen.program import Program
from flowc.framework.dtypes import DType, float16, float32, int64

Rule = Callable[..., Sequence[Node]]


_OF_CONSTANTS: Final[dict[str, Callable[..., Any]]] = {"neg": np.negative, "sub": np.subtract}


class _Arithmetic:
    """Scalar primitives by their usual names, for formulas; of constants, some are computed at once."""

    def __init__(self, program: Program, dtype: DType) -> None:
        self._program, self._dtype = program, dtype

    def __getattr__(self, primitive: str) -> Callable[..., Node]:
        def apply(*args: Node) -> Node:
            known = _OF_CONSTANTS.get(primitive)
            if known is None or any(x.op != "const" or x.shape for x in args):
                return self._program.map(primitive, *args)
            return self.number(known(*(self._program.constants[x.attr] for x in args)))

        return apply

    def number(self, value: Any) -> Node:
        """A constant of the update's type."""
        return self._program.scalar(value, self._dtype)

    def power(self, x: Node, exponent: Node) -> Node:
        """x to a power; its square root, which is much cheaper, where the power is known to be ½."""
        half = exponent.op == "const" and self._program.constants[exponent.attr] == 0.5
        return self.sqrt(x) if half else self.pow(x, exponent)

    def towards(self, average: Node, value: Node, rate: Node) -> Node:
        """A moving average after one more value: average + (1 - rate) · (value - average)."""
        step = self.mul(self.sub(self.number(1), rate), self.sub(value, average))
        return self.add(average, step)


def _gradient_descent(a: _Arithmetic, var: Node, alpha: Node, delta: Node) -> Sequence[Node]:
    return [a.sub(var, a.mul(alpha, delta))]


def _momentum(a: _Arithmetic, var: Node, accum: Node, lr: Node, grad: Node, momentum: Node) -> Sequence[Node]:
    accum = a.add(a.mul(momentum, accum), grad)
    return [a.sub(var, a.mul(lr, accum)), accum]


def _adagrad(a: _Arithmetic, var: Node, accum: Node, lr: Node, grad: Node) -> Sequence[Node]:
    accum = a.add(accum, a.square(grad))
    return [a.sub(var, a.mul(lr, a.div(grad, a.sqrt(accum)))), accum]


def _adam(a: _Arithmetic, var: Node, m: Node, v: Node, *rest: Node) -> Sequence[Node]:
    """D. P. Kingma, J. Ba, "Adam", 2014; the rate holds the correction of both moments' bias."""
    beta1_power, beta2_power, lr, beta1, beta2, epsilon, grad = rest
    one = a.number(1)
    rate = a.div(a.mul(lr, a.sqrt(a.sub(one, beta2_power))), a.sub(one, beta1_power))
    m = a.towards(m, grad, beta1)
    v = a.towards(v, a.square(grad), beta2)
    return [a.sub(var, a.div(a.mul(rate, m), a.add(a.sqrt(v), epsilon))), m, v]


def _rms_prop(a: _Arithmetic, var: Node, ms: Node, mom: Node, *rest: Node) -> Sequence[Node]:
    lr, rho, momentum, epsilon, grad = rest
    ms = a.towards(ms, a.square(grad), rho)
    mom = a.add(a.mul(momentum, mom), a.div(a.mul(lr, grad), a.sqrt(a.add(ms, epsilon))))
    return [a.sub(var, mom), ms, mom]


def _ftrl(a: _Arithmetic, var: Node, accum: Node, linear: Node, grad: Node, *rest: Node) -> Sequence[Node]:
    """H. B. McMahan and others, "Ad click prediction: a view from the trenches", 2013."""
    lr, l1, l2, lr_power = rest
    power = a.neg(lr_power)
    total = a.add(accum, a.square(grad))
    after = a.power(total, power)
    sigma = a.div(a.sub(after, a.power(accum, power)), lr)
    linear = a.sub(a.add(linear, grad), a.mul(sigma, var))
    shrunk = a.sub(a.mul(a.sign(linear), l1), linear)
    scale = a.add(a.div(after, lr), a.mul(a.number(2), l2))
    return [a.select(a.le(a.abs(linear), l1), a.number(0), a.div(shrunk, scale)), total, linear]


RULES: Final[dict[str, Rule]] = {
    "ApplyAdagrad": _adagrad,
    "ApplyAdam": _adam,
    "ApplyFtrl": _ftrl,
    "ApplyGradientDescent": _gradient_descent,
    "ApplyMomentum": _momentum,
    "ApplyRMSProp": _rms_prop,
}


@update("ApplyGradientDescent")
@update("ApplyAdagrad", "ApplyMomentum", variables=2)
@update("ApplyAdam", "ApplyFtrl", "ApplyRMSProp", variables=3)
def apply_rule(p: Program, op: LoweredOp, *inputs: Node) -> Mapping[int, Node]:
    """The new values of the variable and its slots, which are the first inputs."""
    dtype = inputs[0].dtype
    wide = [p.cast(x, float32) for x in inputs] if dtype is float16 else inputs
    results = RULES[op.type](_Arithmetic(p, wide[0].dtype), *wide)
    return {i: p.cast(result, dtype) for i, result in enumerate(results)}


# -- sparse updates ----------------------------------------------------------------------------------------------------

# op type → (rule of flowc.codegen.kernels.sparse_updates, how many tables, which come first among the inputs, the
# places of the gradient and the indices, the places of the rule's scalars)
SPARSE: Final = {
    "SparseApplyAdagrad": ("adagrad", 2, (3, 4), (2,)),
    "SparseApplyFtrl": ("ftrl", 3, (3, 4), (5, 6, 7, 8)),
    "SparseApplyMomentum": ("momentum", 2, (3, 4), (2, 5)),
}


@update("SparseApplyAdagrad", "SparseApplyMomentum", variables=2)
@update("SparseApplyFtrl", variables=3)
def sparse_apply(p: Program, op: LoweredOp, *inputs: Node) -> Mapping[int, Node]:
    """The states after each step, then the last state of every row written to the tables."""
    rule, count, (grad_at, indices_at), scalars = SPARSE[op.type]
    tables = inputs[:count]
    indices = dense(p, p.reshape(inputs[indices_at], (inputs[indices_at].size,)))
    steps, row = indices.size, tables[0].shape[1:]
    gradient = dense(p, p.reshape(inputs[grad_at], (steps, *row)))
    previous = p.call("previous_equal", [indices], (steps,), int64)
    args = [gradient, indices, previous, *(dense(p, x) for x in tables), *(dense(p, inputs[i]) for i in scalars)]
    states = p.call("sparse_update", args, (count, steps, *row), tables[0].dtype, rule=rule)
    results = {}
    for k, table in enumerate(tables):
        after = p.reshape(p.slice(states, [k] + [0] * (len(row) + 1), (1, steps, *row)), (steps, *row))
        results[k] = scattered(p, "scatter_update", table, indices, after)
    return results
