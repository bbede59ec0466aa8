"""Neural networks: softmax and cross entropies, biases, dropout, norms, moments, embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowc.framework import shape_rules
from flowc.framework.building import apply, apply_list
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import INDEX, NUMERIC, REAL, float32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, gradient
from flowc.framework.scopes import op_scope
from flowc.framework.shape_rules import UNKNOWN, Shapes
from flowc.ops.activation_ops import relu, softplus
from flowc.ops.arithmetic_ops import add, maximum, mul
from flowc.ops.array_ops import cast, expand_dims, identity, rank, reshape, shape_of, zeros_like
from flowc.ops.joining_ops import concat
from flowc.ops.logic_ops import equal, greater_equal, select
from flowc.ops.math_ops import exp, floor, inv, rsqrt, square
from flowc.ops.matmul_ops import matmul
from flowc.ops.random_ops import random_uniform
from flowc.ops.reduction_ops import reduce_mean, reduce_sum
from flowc.ops.slicing_ops import gather

__all__ = [
    "bias_add",
    "dropout",
    "embedding_lookup",
    "l2_loss",
    "l2_normalize",
    "log_softmax",
    "moments",
    "relu_layer",
    "sigmoid_cross_entropy_with_logits",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "sparse_softmax_cross_entropy_with_logits",
    "xw_plus_b",
    "zero_fraction",
]

# -- softmax -----------------------------------------------------------------------------------------------------------


def _rows(ctx: ShapeContext) -> Shapes:
    return (ctx.shapes[0].with_rank_at_least(1),)


define("Softmax", shape=_rows, allowed=REAL, inputs="logits")


def softmax(logits: Any, name: str | None = None) -> Tensor:
    """exp(logits) / sum(exp(logits)) over the last dimension, of rank 2 or any other; without overflow on the way."""
    return apply("Softmax", [logits], name=name)


@gradient("Softmax")
def _softmax_grad(op: Any, grad: Any) -> Any:
    y = op.outputs[0]
    return (grad - reduce_sum(grad * y, -1, keep_dims=True)) * y


define("LogSoftmax", shape=_rows, allowed=REAL, inputs="logits")


def log_softmax(logits: Any, name: str | None = None) -> Tensor:
    """log(softmax(logits)), exact where the softmax underflows: logits - log(sum(exp(logits)))."""
    return apply("LogSoftmax", [logits], name=name)


@gradient("LogSoftmax")
def _log_softmax_grad(op: Any, grad: Any) -> Any:
    return grad - exp(op.outputs[0]) * reduce_sum(grad, -1, keep_dims=True)


# -- cross entropies ---------------------------------------------------------------------------------------------------


def _loss_and_backprop(ctx: ShapeContext) -> Shapes:
    rows = ctx.shapes[0].merge_with(ctx.shapes[1]).with_rank(2)
    return (rows[:-1], rows)


# Outputs: loss [batch], and backprop [batch, classes], its gradient with respect to the logits: softmax - labels.
define(
    "SoftmaxCrossEntropyWithLogits",
    shape=_loss_and_backprop,
    allowed=REAL,
    result=lambda types, attrs: [types[0], types[0]],
    inputs="features labels",
)


def softmax_cross_entropy_with_logits(logits: Any, labels: Any, name: str | None = None) -> Tensor:
    """The cross entropy -sum(labels · log(softmax(logits))) of every row: [batch, classes] twice gives [batch].

    `logits` are unscaled: give no softmax of them. Each row of `labels` is a probability distribution.
    No gradient goes to `labels`.
    """
    return apply_list("SoftmaxCrossEntropyWithLogits", [logits, labels], name=name)[0]


def _loss_and_sparse_backprop(ctx: ShapeContext) -> Shapes:
    features, labels = ctx.shapes[0].with_rank_at_least(1), ctx.shapes[1]
    if features.tuple is None:
        if labels.tuple is None:
            return (UNKNOWN, UNKNOWN)
        return (labels, labels.concatenate((None,)))
    rows = labels.merge_with(features[:-1])
    return (rows, rows.concatenate(features[-1:]))


# Outputs as those of SoftmaxCrossEntropyWithLogits; labels are class numbers.
define(
    "SparseSoftmaxCrossEntropyWithLogits",
    shape=_loss_and_sparse_backprop,
    allowed=(REAL, INDEX),
    result=lambda types, attrs: [types[0], types[0]],
    inputs="features labels",
)


def sparse_softmax_cross_entropy_with_logits(logits: Any, labels: Any, name: str | None = None) -> Tensor:
    """The cross entropy -log(softmax(logits))[label] of every row: [batch, classes] and int[batch] → [batch].

    A label outside [0, classes) fails the run with InvalidArgumentError.
    """
    return apply_list("SparseSoftmaxCrossEntropyWithLogits", [logits, labels], name=name)[0]


@gradient("SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits")
def _cross_entropy_grad(op: Any, grad_loss: Any, grad_backprop: Any) -> Any:
    """`backprop` is the derivative of the loss; its own derivative is the softmax's."""
    logits, backprop = op.inputs[0], op.outputs[1]
    total = None if grad_loss is None else expand_dims(grad_loss, -1) * backprop
    if grad_backprop is not None:
        p = softmax(logits)
        second = (grad_backprop - reduce_sum(grad_backprop * p, -1, keep_dims=True)) * p
        total = second if total is None else total + second
    return total, None


def sigmoid_cross_entropy_with_logits(logits: Any, targets: Any, name: str | None = None) -> Tensor:
    """The cross entropy of independent yes-or-no targets, element by element, without overflow on the way.

    -targets · log(sigmoid(x)) - (1 - targets) · log(1 - sigmoid(x)) = max(x, 0) - x · targets + log(1 + exp(-|x|)).
    Raises ValueError if `logits` and `targets` have different shapes.
    """
    with op_scope([logits, targets], name, "logistic_loss") as scope:
        x = convert_to_tensor(logits, name="logits")
        targets = convert_to_tensor(targets, x.dtype, "targets")
        _check_same_shape(x, targets)
        # max(x, 0) and -|x| by Select: at 0, where these have no derivative, their gradients add up to the loss's
        zeros, is_positive = zeros_like(x), greater_equal(x, 0)
        loss = select(is_positive, x, zeros) - x * targets
        return add(loss, softplus(select(is_positive, -x, x)), scope)


def _check_same_shape(logits: Tensor, targets: Tensor) -> None:
    shapes = logits.get_shape(), targets.get_shape()
    if not shapes[0].is_compatible_with(shapes[1]):
        raise ValueError(f"logits and targets must have the same shape ({shapes[0]} vs {shapes[1]})")


# -- layers ------------------------------------------------------------------------------------------------------------


def _biased(ctx: ShapeContext) -> Shapes:
    value, bias = ctx.shapes[0].with_rank_at_least(2), ctx.shapes[1].with_rank(1)
    if value.tuple is None:
        return (UNKNOWN,)
    return (value[:-1].concatenate(value[-1:].merge_with(bias)),)


define("BiasAdd", shape=_biased, allowed=NUMERIC, inputs="value bias")


def bias_add(value: Any, bias: Any, name: str | None = None) -> Tensor:
    """value + bias, where `bias` is a vector as long as the last dimension of `value`, which has rank 2 or more."""
    return apply("BiasAdd", [value, bias], name=name)


@gradient("BiasAdd")
def _bias_add_grad(op: Any, grad: Any) -> Any:
    ndims = grad.get_shape().ndims
    axes = apply("Range", [0, rank(grad) - 1, 1]) if ndims is None else np.arange(ndims - 1, dtype=np.int32)
    return grad, reduce_sum(grad, axes)


def xw_plus_b(x: Any, weights: Any, biases: Any, name: str | None = None) -> Tensor:
    """x · weights + biases: a layer of matrix product and bias."""
    with op_scope([x, weights, biases], name, "xw_plus_b") as scope:
        return bias_add(matmul(x, weights), biases, scope)


def relu_layer(x: Any, weights: Any, biases: Any, name: str | None = None) -> Tensor:
    """relu(x · weights + biases)."""
    with op_scope([x, weights, biases], name, "relu_layer") as scope:
        return relu(bias_add(matmul(x, weights), biases), scope)


def dropout(
    x: Any, keep_prob: Any, noise_shape: Any = None, seed: int | None = None, name: str | None = None
) -> Tensor:
    """Each element is kept with probability `keep_prob` and scaled by 1 / keep_prob, else it is 0.

    Args:
        x: a tensor of floats.
        keep_prob: a number in (0, 1], or a scalar tensor.
        noise_shape: which elements are kept or dropped together: a shape that broadcasts to that of `x`.
        seed: see `set_random_seed`.
        name: a name for the operation.

    Raises ValueError if `keep_prob` is a number outside (0, 1].
    Source: Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html.
    """
    with op_scope([x], name, "dropout") as scope:
        x = convert_to_tensor(x, name="x")
        if isinstance(keep_prob, (int, float, np.number)):
            if not 0 < keep_prob <= 1:
                raise ValueError(f"keep_prob must be a scalar tensor or a float in the range (0, 1], got {keep_prob}")
            if keep_prob == 1:
                return identity(x, scope)
        keep = convert_to_tensor(keep_prob, x.dtype, "keep_prob")
        keep.get_shape().assert_is_compatible_with(())
        noise = shape_of(x) if noise_shape is None else noise_shape
        kept = floor(keep + random_uniform(noise, seed=seed, dtype=x.dtype))
        result = mul(x * inv(keep), kept, scope)
        result.set_shape(x.get_shape())
        return result


# -- norms and statistics ----------------------------------------------------------------------------------------------

define("L2Loss", shape=shape_rules.scalar, allowed=REAL, inputs="t")


def l2_loss(t: Any, name: str | None = None) -> Tensor:
    """sum(t²) / 2: a scalar."""
    return apply("L2Loss", [t], name=name)


@gradient("L2Loss")
def _l2_loss_grad(op: Any, grad: Any) -> Any:
    return op.inputs[0] * grad


def l2_normalize(x: Any, dim: Any, epsilon: float = 1e-12, name: str | None = None) -> Tensor:
    """x / √max(sum(x², dim), epsilon): vectors along `dim` of length 1."""
    with op_scope([x], name, "l2_normalize") as scope:
        x = convert_to_tensor(x, name="x")
        return mul(x, rsqrt(maximum(reduce_sum(square(x), dim, keep_dims=True), epsilon)), scope)


def moments(x: Any, axes: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """The mean and the variance (the mean squared distance from the mean) over `axes`, a list; these are dropped."""
    with op_scope([x, axes], name, "moments"):
        x = convert_to_tensor(x, name="x")
        mean = reduce_mean(x, axes, keep_dims=True)
        variance = reduce_mean(square(x - mean), axes, name="variance")
        return reshape(mean, shape_of(variance), name="mean"), variance


def zero_fraction(value: Any, name: str | None = None) -> Tensor:
    """The fraction of the elements that are 0: a float32 scalar."""
    with op_scope([value], name, "zero_fraction"):
        value = convert_to_tensor(value, name="value")
        return reduce_mean(cast(equal(value, 0), float32))


# -- embeddings --------------------------------------------------------------------------------------------------------


def embedding_lookup(params: Any, ids: Any, name: str | None = None) -> Tensor:
    """The rows of `params` that `ids`, ints of any shape, name: shape `ids.shape + params.shape[1:]`.

    `params` may be a list of n tensors, over which the rows are dealt out: row i is row i // n of tensor i % n.
    """
    shards: Sequence[Any] = params if isinstance(params, (list, tuple)) else [params]
    if not shards:
        raise ValueError("embedding_lookup needs at least one tensor of parameters")
    with op_scope([*shards, ids], name, "embedding_lookup") as scope:
        if len(shards) == 1:
            return gather(shards[0], ids, scope)
        ids = convert_to_tensor(ids, name="ids")
        flat = reshape(ids, [-1])
        shard, row = flat % len(shards), flat // len(shards)
        rows = _row_of_shard(shards, shard, row, 0)
        for index in range(1, len(shards)):
            rows = select(equal(shard, index), _row_of_shard(shards, shard, row, index), rows)
        return reshape(rows, concat(0, [shape_of(ids), shape_of(rows)[1:]]), scope)


def _row_of_shard(shards: Sequence[Any], shard: Tensor, row: Tensor, index: int) -> Tensor:
    """The rows that lie in one shard; its row 0 in place of those that do not."""
    return gather(shards[index], mul(row, cast(equal(shard, index), row.dtype)))
