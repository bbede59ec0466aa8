"""Threads whose errors fail the test that joins them."""

from __future__ import annotations

import threading
import traceback
import unittest
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class CheckedThread:
    """A thread of a test: what `TestCase.checkedThread` gives."""

    def __init__(
        self, test: unittest.TestCase, target: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> None:
        self._test, self._target, self._args, self._kwargs = test, target, args, kwargs
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: BaseException | None = None
        self.was_joined = True  # until it is started

    def _run(self) -> None:
        try:
            self._target(*self._args, **self._kwargs)
        except BaseException as error:
            self._error = error

    def start(self) -> None:
        """Starts the thread."""
        self.was_joined = False
        self._thread.start()

    def join(self) -> None:
        """Waits for the thread; fails the test if its function raised."""
        self._thread.join()
        self.was_joined = True
        if self._error is not None:
            text = "".join(traceback.format_exception(self._error))
            self._test.fail(f"Error in checkedThread: {self._error}\n{text}")

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()
