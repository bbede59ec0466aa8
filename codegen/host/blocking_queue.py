"""Bounded queues that threads wait at.

An operation that cannot finish at once waits in line, one line for those that add and one for those that remove. Each
is served in the order of arrival, as far as elements or room allow, by whichever thread makes that possible; a waiting
thread wakes when all is done. So a dequeue of more elements than the queue can hold finishes, too.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

import numpy as np

from flowc.codegen.host.queue_storage import Array, FirstInFirstOut, Order, Store
from flowc.codegen.host.short_lock import ShortLock
from flowc.framework.dtypes import DType
from flowc.framework.errors import AbortedError, CancelledError, OpError, OutOfRangeError

Shape = tuple[int, ...]
UNBOUNDED: Final = 2**63 - 1

# -- what waits in line ------------------------------------------------------------------------------------------------


class _Attempt:
    """An operation that waits: `advance` does what can be done of it now and says whether that was anything."""

    def __init__(self) -> None:
        self.is_done = False
        self.error: OpError | None = None
        self._awake = threading.Lock()
        self._awake.acquire()

    def advance(self, queue: Queue) -> bool:
        raise NotImplementedError

    def withdraw(self, queue: Queue) -> None:
        """Undoes what was done, when the attempt fails."""

    def finish(self, error: OpError | None = None) -> None:
        """Lets the waiting thread go on."""
        self.is_done, self.error = True, error
        self._awake.release()

    def wait(self) -> None:
        """Waits until `finish`. A signal's exception comes through."""
        self._awake.acquire()
        if self.error is not None:
            raise self.error


class _Enqueue(_Attempt):
    """Adds the rows of `rows` from `start` on."""

    def __init__(self, rows: Sequence[Array], start: int, count: int) -> None:
        super().__init__()
        self._rows, self._next, self._stop = rows, start, count

    def advance(self, queue: Queue) -> bool:
        if queue.is_closed:
            self.finish(queue.closed_error())
            return True
        stop = min(self._stop, self._next + queue.room())
        moved = stop > self._next
        if moved:
            queue.store.put_many(self._rows, self._next, stop)
            self._next = stop
        if stop == self._stop:
            self.finish()
        return moved or self.is_done


class _Dequeue(_Attempt):
    """Removes as many elements as `rows` have rows: together, unless the queue cannot hold as many."""

    def __init__(self, rows: Sequence[Array], count: int) -> None:
        super().__init__()
        self._rows, self._next, self._stop = rows, 0, count

    def advance(self, queue: Queue) -> bool:
        left = self._stop - self._next
        if queue.is_closed and len(queue.store) < left:
            error = queue.insufficient(self._stop, len(queue.store) + self._next)
            self.withdraw(queue)
            self.finish(error)
            return True
        ready = queue.ready()
        if ready < left and queue.room() > 0:
            return False
        stop = self._next + min(left, ready)
        moved = stop > self._next
        if moved:
            queue.store.take_many(self._rows, self._next, stop)
            self._next = stop
        if stop == self._stop:
            self.finish()
        return moved or self.is_done

    def withdraw(self, queue: Queue) -> None:
        queue.store.put_back(self._rows, self._next)
        self._next = 0


class _DequeueOne(_Attempt):
    """Removes one element, of any shapes."""

    element: list[Array]

    def advance(self, queue: Queue) -> bool:
        if queue.ready():
            self.element = queue.store.take()
            self.finish()
        elif queue.is_closed:
            self.finish(queue.insufficient(1, 0))
        return self.is_done


class _Close(_Attempt):
    """Closes the queue, after the enqueues before it."""

    def advance(self, queue: Queue) -> bool:
        queue.is_closed = True
        self.finish()
        return True


# -- the queue ---------------------------------------------------------------------------------------------------------


class Queue:
    """A queue of a session. Threads may call everything at once.

    Elements are lists of one array a component, with the queue's types and shapes: callers check that. Those who wait
    get CancelledError when the session is closed.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        dtypes: Sequence[DType],
        shapes: Sequence[Shape | None],
        capacity: int,
        kept: int = 0,
        order: Order | None = None,
    ) -> None:
        """A queue of at most `capacity` elements, in `order`: by default first in, first out.

        kind, name: for messages. shapes: one a component, None for any. kept: how many elements must stay behind, to
        choose from, until the queue is closed.
        """
        self.kind, self.name, self.dtypes, self.shapes = kind, name, tuple(dtypes), tuple(shapes)
        self.capacity, self.kept = capacity, kept
        self.is_closed = False
        self._is_cancelled = False
        self.store = Store([d.as_numpy_dtype for d in dtypes], shapes, order or FirstInFirstOut())
        self._lock = ShortLock()
        self._enqueues: deque[_Attempt] = deque()
        self._dequeues: deque[_Attempt] = deque()

    # -- what there is: with the lock held -----------------------------------------------------------------------------

    def room(self) -> int:
        """How many elements can be added."""
        return self.capacity - len(self.store)

    def ready(self) -> int:
        """How many elements can be removed."""
        return len(self.store) if self.is_closed else max(0, len(self.store) - self.kept)

    def closed_error(self) -> OpError:
        """The error of an enqueue that comes too late."""
        return AbortedError(None, None, f"{self.kind} '{self.name}' is closed.")

    def insufficient(self, requested: int, size: int) -> OpError:
        """The error of a dequeue that can never be served."""
        return OutOfRangeError(
            None,
            None,
            f"{self.kind} '{self.name}' is closed and has insufficient elements "
            f"(requested {requested}, current size {size})",
        )

    # -- operations ----------------------------------------------------------------------------------------------------

    def size(self) -> int:
        """How many elements there are."""
        with self._lock:
            return len(self.store)

    def enqueue(self, element: Sequence[Array]) -> None:
        """Adds an element; waits for room. AbortedError if the queue is closed."""
        with self._lock:
            if not self._enqueues and not self.is_closed and len(self.store) < self.capacity:
                self._check_session()
                self.store.put(element)
                if self._dequeues:
                    self._serve()
                return
            attempt = self._line_up(_Enqueue([value[np.newaxis] for value in element], 0, 1), self._enqueues)
        self._wait(attempt, self._enqueues)

    def enqueue_many(self, rows: Sequence[Array]) -> None:
        """Adds one element for each row of the arrays, in that order; waits for room."""
        with self._lock:
            attempt = self._line_up(_Enqueue(rows, 0, len(rows[0])), self._enqueues)
        self._wait(attempt, self._enqueues)

    def dequeue(self) -> list[Array]:
        """Removes an element; waits for one. OutOfRangeError if the queue is closed and empty."""
        with self._lock:
            if not self._dequeues and self.ready():
                self._check_session()
                element = self.store.take()
                if self._enqueues:
                    self._serve()
                return element
            attempt = self._line_up(_DequeueOne(), self._dequeues)
        self._wait(attempt, self._dequeues)
        assert isinstance(attempt, _DequeueOne)
        return attempt.element

    def dequeue_many(self, count: int) -> list[Array]:
        """Removes `count` elements: one array a component, with a row an element. Waits until there are enough.

        OutOfRangeError if the queue is closed and has fewer; they stay.
        """
        rows = [
            np.empty((count, *(shape or ())), dtype.as_numpy_dtype)
            for dtype, shape in zip(self.dtypes, self.shapes, strict=True)
        ]
        with self._lock:
            attempt = self._line_up(_Dequeue(rows, count), self._dequeues)
        self._wait(attempt, self._dequeues)
        return rows

    def finish(self, cancel_pending_enqueues: bool) -> None:
        """No elements come any more: closes the queue after those that wait to be added, or instead of them."""
        with self._lock:
            if cancel_pending_enqueues:
                self.is_closed = True
                self._fail(self._enqueues, "Enqueue operation was cancelled")
                self._serve()
                return
            attempt = self._line_up(_Close(), self._enqueues)
        self._wait(attempt, self._enqueues)

    def close(self) -> None:
        """The session is closed: nobody waits any longer."""
        with self._lock:
            self._is_cancelled = True
            self._fail(self._enqueues, "Enqueue operation was cancelled")
            self._fail(self._dequeues, "Dequeue operation was cancelled")

    # -- lines ---------------------------------------------------------------------------------------------------------

    def _line_up(self, attempt: _Attempt, line: deque[_Attempt]) -> _Attempt:
        self._check_session()
        line.append(attempt)
        if line[0] is attempt:
            self._serve()
        return attempt

    def _wait(self, attempt: _Attempt, line: deque[_Attempt]) -> None:
        try:
            attempt.wait()
        except OpError:
            raise
        except BaseException:  # a signal's, such as KeyboardInterrupt
            with self._lock:
                if not attempt.is_done:
                    line.remove(attempt)
                    attempt.withdraw(self)
                    self._serve()
            raise

    def _serve(self) -> None:
        """Serves both lines until neither moves."""
        while self._serve_line(self._dequeues) | self._serve_line(self._enqueues):
            pass

    def _serve_line(self, line: deque[_Attempt]) -> bool:
        moved = False
        while line and line[0].advance(self):
            moved = True
            if line[0].is_done:
                line.popleft()
        return moved

    def _fail(self, line: deque[_Attempt], message: str) -> None:
        while line:
            attempt = line.popleft()
            attempt.withdraw(self)
            attempt.finish(CancelledError(None, None, message))

    def _check_session(self) -> None:
        if self._is_cancelled:
            raise CancelledError(None, None, f"{self.kind} '{self.name}' is gone: its session was closed")
