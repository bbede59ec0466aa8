"""Threads that fill queues while a program runs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from flowc.framework.default_graph import get_default_graph
from flowc.framework.errors import CancelledError, OutOfRangeError
from flowc.framework.graph import Operation
from flowc.framework.scopes import GraphKeys
from flowc.framework.stacks import get_default_session
from flowc.ops.data_flow_ops import QueueBase
from flowc.train.coordinator import Coordinator

_log = logging.getLogger(__name__)


class QueueRunner:
    """Runs operations that enqueue into a queue, each in a thread of its own, again and again.

    When an operation raises OutOfRangeError, its thread ends; when the last one has, the queue is closed, so that those
    who dequeue learn that no more comes. When a coordinator asks to stop, the queue is closed at once.
    """

    def __init__(self, queue: QueueBase, enqueue_ops: Sequence[Operation]) -> None:
        """A runner for `queue`. Adds to the graph the operations that close the queue."""
        self._queue, self._enqueue_ops = queue, list(enqueue_ops)
        self._close_op = queue.close()
        self._cancel_op = queue.close(cancel_pending_enqueues=True)
        self._lock = threading.Lock()
        self._runs = 0  # threads that still enqueue
        self._exceptions_raised: list[Exception] = []

    @property
    def queue(self) -> QueueBase:
        """The queue."""
        return self._queue

    @property
    def name(self) -> str:
        """The queue's name."""
        return self._queue.name

    @property
    def exceptions_raised(self) -> list[Exception]:
        """What the threads raised that no coordinator was told of."""
        return self._exceptions_raised

    def create_threads(
        self, sess: Any, coord: Coordinator | None = None, daemon: bool = False, start: bool = False
    ) -> list[threading.Thread]:
        """Threads that run the operations in `sess`, one each; with a coordinator, one more that waits for its stop.

        Args:
            sess: the session.
            coord: is told of exceptions, as a reason to stop, and asked whether to. Without it, exceptions are logged
                and kept in `exceptions_raised`.
            daemon: whether the process may end while the threads run.
            start: whether to start the threads.

        Raises:
            RuntimeError: threads of an earlier call still run.
        """
        with self._lock:
            if self._runs > 0:
                raise RuntimeError("Threads are already running for this queue runner.")
            self._runs = len(self._enqueue_ops)
            self._exceptions_raised = []
        threads = [
            threading.Thread(target=self._run, args=(sess, op, coord), name=f"enqueue {self.name}")
            for op in self._enqueue_ops
        ]
        if coord is not None:
            threads.append(threading.Thread(target=self._close_on_stop, args=(sess, coord), name=f"close {self.name}"))
        for thread in threads:
            thread.daemon = daemon
            if start:
                thread.start()
        return threads

    def _run(self, sess: Any, enqueue_op: Operation, coord: Coordinator | None) -> None:
        try:
            while coord is None or not coord.should_stop():
                sess.run(enqueue_op)
        except OutOfRangeError:
            self._finished(sess, close=True)
        except Exception as error:
            self._report(error, coord)
            self._finished(sess, close=False)
        else:
            self._finished(sess, close=False)

    def _finished(self, sess: Any, close: bool) -> None:
        """A thread ends, which closes the queue if it is the last and came to its end."""
        with self._lock:
            self._runs -= 1
            is_last = self._runs == 0
        if close and is_last:
            self._close(sess, self._close_op)

    def _report(self, error: Exception, coord: Coordinator | None) -> None:
        if coord is not None:
            coord.request_stop(error)
            return
        with self._lock:
            self._exceptions_raised.append(error)
        level = logging.DEBUG if isinstance(error, CancelledError) else logging.ERROR
        _log.log(level, "the queue %s is no longer filled: %s", self.name, error)

    def _close_on_stop(self, sess: Any, coord: Coordinator) -> None:
        coord.wait_for_stop()
        self._close(sess, self._cancel_op)

    def _close(self, sess: Any, op: Operation) -> None:
        try:
            sess.run(op)
        except Exception as error:  # such as that the session is closed, and with it the queue
            _log.debug("the queue %s could not be closed: %s", self.name, error)


def add_queue_runner(qr: QueueRunner, collection: str = GraphKeys.QUEUE_RUNNERS) -> None:
    """Adds a queue runner to a collection of the default graph, for `start_queue_runners` to find."""
    get_default_graph().add_to_collection(collection, qr)


def start_queue_runners(
    sess: Any = None,
    coord: Coordinator | None = None,
    daemon: bool = True,
    start: bool = True,
    collection: str = GraphKeys.QUEUE_RUNNERS,
) -> list[threading.Thread]:
    """The threads of all queue runners in a collection of the session's graph.

    Args:
        sess: the session; by default the default session.
        coord: ends the threads when it is asked to stop, and is told of their exceptions.
        daemon: whether the process may end while they run.
        start: whether to start them.
        collection: the collection's name.

    Raises:
        ValueError: there is no session.
    """
    session = get_default_session() if sess is None else sess
    if session is None:
        raise ValueError(
            "Cannot start queue runners: no default session is registered. Pass sess, or use a with-block."
        )
    runners: list[QueueRunner] = session.graph.get_collection(collection)
    return [t for runner in runners for t in runner.create_threads(session, coord=coord, daemon=daemon, start=start)]
