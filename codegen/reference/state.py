"""What the ops that change variables mean: the new values, from the present ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flowc.codegen.reference.arrays import check_indices
from flowc.codegen.reference.registry import Array, ReferenceOp, reference, reference_update, wide
from flowc.framework.errors import OutOfRangeError

Dense = Callable[..., list[Array]]  # the function of the same optimizer for a whole variable


@reference_update("Assign", reads=False)
def _assign(op: ReferenceOp, variable: Array, value: Array) -> Array:
    return value


@reference_update("AssignAdd")
def _assign_add(op: ReferenceOp, variable: Array, value: Array) -> Array:
    return np.add(variable, value)


@reference_update("AssignSub")
def _assign_sub(op: ReferenceOp, variable: Array, value: Array) -> Array:
    return np.subtract(variable, value)


@reference_update("CountUpTo", returns_old=True)
def _count_up_to(op: ReferenceOp, variable: Array) -> Array:
    limit = op.attrs["limit"]
    if variable >= limit:
        raise OutOfRangeError(None, None, f"Reached limit of {limit}")
    return np.asarray(variable + 1)


@reference("AssertVariablesInitialized")
def _assert_initialized(op: ReferenceOp, *variables: Array) -> list[Array]:
    return []  # reading them is what fails


# -- rows --------------------------------------------------------------------------------------------------------------


@reference_update("ScatterUpdate")
def _scatter_update(op: ReferenceOp, variable: Array, indices: Array, rows: Array) -> Array:
    """Where an index repeats, its last row stays."""
    check_indices(indices, variable.shape[0], "indices")
    result = variable.copy()
    for index, row in zip(indices.reshape(-1), rows.reshape(indices.size, *variable.shape[1:]), strict=True):
        result[index] = row
    return result


@reference_update("ScatterAdd")
def _scatter_add(op: ReferenceOp, variable: Array, indices: Array, rows: Array) -> Array:
    """Rows of a repeated index add up."""
    check_indices(indices, variable.shape[0], "indices")
    result = wide(variable).copy()
    np.add.at(result, indices, wide(rows))
    return result


@reference_update("ScatterSub")
def _scatter_sub(op: ReferenceOp, variable: Array, indices: Array, rows: Array) -> Array:
    check_indices(indices, variable.shape[0], "indices")
    result = wide(variable).copy()
    np.subtract.at(result, indices, wide(rows))
    return result


# -- optimizers --------------------------------------------------------------------------------------------------------


@reference_update("ApplyGradientDescent")
def _gradient_descent(op: ReferenceOp, var: Array, alpha: Array, delta: Array) -> Array:
    return np.asarray(wide(var) - wide(alpha) * wide(delta))


@reference_update("ApplyMomentum", variables=2)
def _momentum(op: ReferenceOp, var: Array, accum: Array, rate: Array, grad: Array, momentum: Array) -> list[Array]:
    accum = wide(momentum) * wide(accum) + wide(grad)
    return [wide(var) - wide(rate) * accum, accum]


@reference_update("ApplyAdagrad", variables=2)
def _adagrad(op: ReferenceOp, var: Array, accum: Array, rate: Array, grad: Array) -> list[Array]:
    """Duchi et al. 2011, with diagonal matrices."""
    accum, grad = wide(accum) + np.square(wide(grad)), wide(grad)
    return [wide(var) - wide(rate) * grad / np.sqrt(accum), accum]


@reference_update("ApplyAdam", variables=3)
def _adam(op: ReferenceOp, var: Array, m: Array, v: Array, *rest: Array) -> list[Array]:
    """Kingma & Ba 2014, in the form before section 2.1: the rate holds the correction of both moments' bias."""
    beta1_power, beta2_power, rate, beta1, beta2, epsilon, grad = (wide(x) for x in rest)
    rate = rate * np.sqrt(1 - beta2_power) / (1 - beta1_power)
    m = wide(m) + (1 - beta1) * (grad - wide(m))
    v = wide(v) + (1 - beta2) * (np.square(grad) - wide(v))
    return [wide(var) - rate * m / (np.sqrt(v) + epsilon), m, v]


@reference_update("ApplyRMSProp", variables=3)
def _rms_prop(op: ReferenceOp, var: Array, ms: Array, mom: Array, *rest: Array) -> list[Array]:
    """Tieleman & Hinton 2012, lecture 6.5 of Neural Networks for Machine Learning, with momentum."""
    rate, rho, momentum, epsilon, grad = (wide(x) for x in rest)
    ms = wide(ms) + (1 - rho) * (np.square(grad) - wide(ms))
    mom = momentum * wide(mom) + rate * grad / np.sqrt(ms + epsilon)
    return [wide(var) - mom, ms, mom]


@reference_update("ApplyFtrl", variables=3)
def _ftrl(op: ReferenceOp, var: Array, accum: Array, linear: Array, *rest: Array) -> list[Array]:
    """McMahan et al. 2013, Ad Click Prediction, algorithm 1; the power of the rate is free (there -1/2)."""
    grad, rate, l1, l2, power = (wide(x) for x in rest)
    var, accum, linear = wide(var), wide(accum), wide(linear)
    new_accum = accum + np.square(grad)
    linear = linear + grad - (new_accum**-power - accum**-power) / rate * var
    quadratic = new_accum**-power / rate + 2 * l2
    return [np.where(np.abs(linear) <= l1, 0, (np.sign(linear) * l1 - linear) / quadratic), new_accum, linear]


def _row_by_row(dense: Dense, op: ReferenceOp, state: list[Array], inputs: list[Array]) -> list[Array]:
    """`dense` on row indices[i] of the variables with row i of the gradient, for i = 0, 1, … in turn.

    inputs: those of `dense` behind the variables, and the indices behind the gradient.
    """
    at = next(i for i, x in enumerate(inputs) if x.dtype.kind in "iu")
    indices, grad = inputs[at], inputs[at - 1]
    check_indices(indices, state[0].shape[0], "indices")
    results = [x.copy() for x in state]
    rows = grad.reshape(indices.size, *state[0].shape[1:])
    for index, row in zip(indices.reshape(-1), rows, strict=True):
        new = dense(op, *(x[index] for x in results), *inputs[: at - 1], row, *inputs[at + 1 :])
        for result, value in zip(results, new, strict=True):
            result[index] = value
    return results


@reference_update("SparseApplyMomentum", variables=2)
def _sparse_momentum(op: ReferenceOp, var: Array, accum: Array, *rest: Array) -> list[Array]:
    return _row_by_row(_momentum, op, [var, accum], list(rest))


@reference_update("SparseApplyAdagrad", variables=2)
def _sparse_adagrad(op: ReferenceOp, var: Array, accum: Array, *rest: Array) -> list[Array]:
    return _row_by_row(_adagrad, op, [var, accum], list(rest))


@reference_update("SparseApplyFtrl", variables=3)
def _sparse_ftrl(op: ReferenceOp, var: Array, accum: Array, linear: Array, *rest: Array) -> list[Array]:
    return _row_by_row(_ftrl, op, [var, accum, linear], list(rest))
