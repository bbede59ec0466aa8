"""Ending threads together: when one of them is done, or fails, all are asked to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

_TICK: Final = 0.1  # seconds until threads are looked at again

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


class Coordinator:
    """What threads that work together ask whether to go on.

        coord = tf.train.Coordinator()
        threads = tf.train.start_queue_runners(sess, coord)
        try:
            while not coord.should_stop():
                sess.run(train_op)
        except tf.errors.OutOfRangeError:
            print("all epochs are through")
        except Exception as error:
            coord.request_stop(error)
        finally:
            coord.request_stop()
            coord.join(threads)

    The first exception that a thread reports by `request_stop` is raised again by `join`, in the thread that waits.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._reported: BaseException | None = None

    def request_stop(self, ex: BaseException | ExceptionInfo | tuple[None, None, None] | None = None) -> None:
        """Asks all threads to stop: `should_stop` is True from now on.

        `ex`: why, an exception or what `sys.exc_info()` returns, for `join` to raise. What comes after the first
        request does not count: it is mostly due to it.
        """
        error = ex[1] if isinstance(ex, tuple) else ex
        with self._lock:
            if not self._stop.is_set():
                self._reported = error
                self._stop.set()

    def should_stop(self) -> bool:
        """Whether a stop was requested."""
        return self._stop.is_set()

    def wait_for_stop(self, timeout: float | None = None) -> bool:
        """Waits until a stop is requested, at most `timeout` seconds; whether it was."""
        return self._stop.wait(timeout)

    @contextmanager
    def stop_on_exception(self) -> Iterator[None]:
        """In the with-block, an exception requests a stop, with itself as the reason, and goes no further."""
        try:
            yield
        except Exception as error:
            self.request_stop(error)

    def join(self, threads: Iterable[threading.Thread], stop_grace_period_secs: float = 120) -> None:
        """Waits until the threads have ended.

        Once a stop was requested, they have `stop_grace_period_secs` to end.

        Raises:
            The exception that `request_stop` was given. RuntimeError: the time is over and threads still run; they are
            named.
        """
        threads = list(threads)
        while any(thread.is_alive() for thread in threads) and not self.wait_for_stop(_TICK):
            pass
        deadline = time.monotonic() + stop_grace_period_secs
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        running = [thread.name for thread in threads if thread.is_alive()]
        if self._reported is not None:
            raise self._reported
        if running:
            raise RuntimeError(f"Coordinator stopped with threads still running: {' '.join(running)}")
