"""`tf.summary`: the summaries of `flowc.ops.summary_ops` by the names that they have in version 1 of the API.

Here the name of a summary's operation is also what its values are called in TensorBoard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowc.framework.graph import Graph, Tensor
from flowc.framework.scopes import GraphKeys, name_scope
from flowc.ops.summary_ops import histogram_summary, image_summary, merge_all_summaries, merge_summary, scalar_summary
from flowc.train.summary_writer import SummaryWriter

__all__ = ["FileWriter", "histogram", "image", "merge", "merge_all", "scalar"]


def scalar(name: str, tensor: Any, collections: Sequence[str] | None = None) -> Tensor:
    """A summary of a number; see `tf.scalar_summary`."""
    with name_scope(name) as scope:
        return scalar_summary(scope[:-1], tensor, collections, scope)


def histogram(name: str, values: Any, collections: Sequence[str] | None = None) -> Tensor:
    """A summary of how values are distributed; see `tf.histogram_summary`."""
    with name_scope(name) as scope:
        return histogram_summary(scope[:-1], values, collections, scope)


def image(name: str, tensor: Any, max_outputs: int = 3, collections: Sequence[str] | None = None) -> Tensor:
    """A summary of images; see `tf.image_summary`."""
    with name_scope(name) as scope:
        return image_summary(scope[:-1], tensor, max_outputs, collections, scope)


def merge(inputs: Sequence[Any], collections: Sequence[str] | None = None, name: str | None = None) -> Tensor:
    """One summary with the values of several; see `tf.merge_summary`."""
    return merge_summary(inputs, collections, name)


def merge_all(key: str = GraphKeys.SUMMARIES) -> Tensor | None:
    """One summary with all that the default graph's collection `key` holds; see `tf.merge_all_summaries`."""
    return merge_all_summaries(key)


class FileWriter(SummaryWriter):
    """Appends summaries and graphs to an event file; see `tf.train.SummaryWriter`."""

    def __init__(
        self,
        logdir: str,
        graph: Graph | None = None,
        max_queue: int = 10,
        flush_secs: float = 120,
        graph_def: Any = None,
    ) -> None:
        super().__init__(logdir, graph if graph is not None else graph_def, max_queue, flush_secs)
