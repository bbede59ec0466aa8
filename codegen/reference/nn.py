"""What the ops of neural networks mean."""

from __future__ import annotations

import numpy as np

from flowc.codegen.reference.arrays import check_indices
from flowc.codegen.reference.registry import Array, ReferenceOp, invalid, reference, wide


@reference("BiasAdd")
def _bias_add(op: ReferenceOp, value: Array, bias: Array) -> Array:
    return np.asarray(wide(value) + wide(bias))


@reference("Softmax")
def _softmax(op: ReferenceOp, logits: Array) -> Array:
    """e^x by its sum over the last dimension."""
    return np.asarray(np.exp(log_softmax(wide(logits))))


@reference("LogSoftmax")
def _log_softmax(op: ReferenceOp, logits: Array) -> Array:
    return log_softmax(wide(logits))


def log_softmax(x: Array) -> Array:
    """x less the logarithm of the sum of e^x over the last dimension, without overflow."""
    if x.size == 0:
        return x
    shifted = x - x.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))


@reference("SoftmaxCrossEntropyWithLogits")
def _softmax_cross_entropy(op: ReferenceOp, logits: Array, labels: Array) -> list[Array]:
    """[-sum(labels · log softmax), its gradient by the logits], by row; a term with a label of 0 is 0."""
    if logits.shape != labels.shape:
        invalid(f"logits and labels must be same size: {list(logits.shape)} and {list(labels.shape)}")
    scores, labels = log_softmax(wide(logits)), wide(labels)
    terms = np.where(labels == 0, 0, labels * scores)
    return [-terms.sum(-1), np.exp(scores) - labels]


@reference("SparseSoftmaxCrossEntropyWithLogits")
def _sparse_softmax_cross_entropy(op: ReferenceOp, logits: Array, labels: Array) -> list[Array]:
    """As the cross entropy with rows of labels that are 1 at one class, which is given by its number."""
    check_indices(labels, logits.shape[-1], "labels")
    one_hot = np.eye(logits.shape[-1])[labels]
    scores = log_softmax(wide(logits))
    return [-np.where(one_hot == 0, 0, scores).sum(-1), np.exp(scores) - one_hot]


@reference("TopK")
def _top_k(op: ReferenceOp, x: Array) -> list[Array]:
    """The greatest elements of each row and their indices: first NaN, and of equal ones the first."""
    is_integer = x.dtype.kind in "iu"
    is_number = np.ones(x.shape, bool) if is_integer else ~np.isnan(x)
    falling = ~x.astype(np.int64) if is_integer else np.where(is_number, -wide(x), 0)  # ~x: -x would overflow
    order = np.lexsort((falling, is_number), axis=-1)[..., : op.attrs["k"]]
    return [np.take_along_axis(x, order, -1), order]


@reference("InTopK")
def _in_top_k(op: ReferenceOp, predictions: Array, targets: Array) -> Array:
    """Whether fewer than k predictions of a row are greater than that for its target, which must be finite."""
    classes = predictions.shape[-1]
    valid = (targets >= 0) & (targets < classes)
    if not classes:
        return np.zeros(targets.shape, bool)
    chosen = np.take_along_axis(predictions, np.where(valid, targets, 0)[:, None], 1)
    better = (predictions > chosen).sum(1)
    return np.asarray(valid & np.isfinite(chosen[:, 0]) & (better < op.attrs["k"]))
