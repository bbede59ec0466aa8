"""Event files: what TensorBoard reads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from flowc.framework import protos
from flowc.framework.graph import Graph

__all__ = ["SummaryWriter", "summary_iterator"]


class SummaryWriter:
    """Appends summaries and graphs to an event file in a folder, for TensorBoard to show.

    What is added is written by a thread of its own, so that a training loop does not wait for the disk.

        writer = tf.train.SummaryWriter(train_dir, sess.graph_def)
        writer.add_summary(sess.run(summary_op, feed_dict), step)
    """

    def __init__(self, logdir: str, graph_def: Any = None, max_queue: int = 10, flush_secs: float = 120) -> None:
        """Makes a new event file in `logdir`, and the folder if need be.

        Args:
            logdir: the folder.
            graph_def: a graph's definition, or a graph, to add.
            max_queue: how many events may wait to be written before an `add…` waits.
            flush_secs: how often what was written is made visible to readers.

        Raises:
            ImportError: the package `tensorboard` is not there: pip install 'flowc[tensorboard]'.
        """
        self._logdir = os.fspath(logdir)
        self._max_queue, self._flush_secs = max_queue, flush_secs
        self._file = self._open()
        self._closed = False
        if graph_def is not None:
            self.add_graph(graph_def)

    def _open(self) -> Any:
        return _event_file_writer()(self._logdir, self._max_queue, self._flush_secs)

    def add_summary(self, summary: Any, global_step: int | None = None) -> None:
        """Adds a Summary message, or one as bytes, as a summary op gives it."""
        if isinstance(summary, bytes):
            summary = protos.Summary.FromString(summary)
        self._add(protos.Event(summary=summary), global_step)

    def add_event(self, event: Any) -> None:
        """Adds an Event message, or one as bytes."""
        content = event if isinstance(event, bytes) else event.SerializeToString()
        if self._closed:
            raise RuntimeError("Attempted to use a closed SummaryWriter: reopen() starts a new file.")
        # The writer's own class of events is another one, of the same fields.
        self._file.add_event(_event_class().FromString(content))

    def add_graph(self, graph_def: Any, global_step: int | None = None) -> None:
        """Adds a graph's definition, or a graph."""
        if isinstance(graph_def, Graph):
            graph_def = graph_def.as_graph_def()
        if not isinstance(graph_def, protos.GraphDef):
            raise TypeError(f"graph_def is a GraphDef or a Graph, not {type(graph_def).__name__}")
        self._add(protos.Event(graph_def=graph_def), global_step)

    def _add(self, event: Any, global_step: int | None) -> None:
        event.wall_time = time.time()
        if global_step is not None:
            event.step = int(global_step)
        self.add_event(event)

    def get_logdir(self) -> str:
        """The folder of the event file."""
        return self._logdir

    def flush(self) -> None:
        """Writes to the disk what was added so far."""
        if not self._closed:
            self._file.flush()

    def close(self) -> None:
        """Writes everything to the disk, and closes the file."""
        if not self._closed:
            self._file.close()
            self._closed = True

    def reopen(self) -> None:
        """Starts a new event file in the same folder; does nothing if the present one is open."""
        if self._closed:
            self._file = self._open()
            self._closed = False

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _event_file_writer() -> Any:
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise ImportError(
            "Event files are written by the package tensorboard: pip install 'flowc[tensorboard]'"
        ) from error
    return EventFileWriter


def _event_class() -> Any:
    from tensorboard.compat.proto.event_pb2 import Event

    return Event


def summary_iterator(path: str) -> Iterator[Any]:
    """The Event messages of an event file, from the first to the last that is complete.

    Raises NotFoundError if there is no such file; DataLossError if it is damaged.
    """
    from flowc.python_io import tf_record_iterator

    for record in tf_record_iterator(path):
        yield protos.Event.FromString(record)
