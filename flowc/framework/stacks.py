"""The default graph and the default session: what is in force on this thread, innermost last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class DefaultStack:
    """A stack of defaults, one a thread; the default graph has a bottom that is made when it is first asked for."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._bottom: Any = None
        self._lock = threading.Lock()
        self.factory: Callable[[], Any] | None = None

    @property
    def _items(self) -> list[Any]:
        try:
            items: list[Any] = self._local.items
        except AttributeError:
            items = self._local.items = []
        return items

    def get(self) -> Any:
        """The innermost default, or the bottom (None if there is none)."""
        items = self._items
        if items:
            return items[-1]
        if self._bottom is None and self.factory is not None:
            with self._lock:
                if self._bottom is None:
                    self._bottom = self.factory()
        return self._bottom

    def reset(self) -> None:
        """Forgets the bottom, so that the next one is new."""
        self._bottom = None

    def push(self, item: Any) -> None:
        """Makes `item` the default, without a with-block."""
        self._items.append(item)

    def remove(self, item: Any) -> None:
        """Takes `item` off again, wherever it stands; nothing if it does not."""
        if item in self._items:
            self._items.remove(item)

    @contextmanager
    def using(self, item: Any) -> Iterator[Any]:
        """In the with-block, `item` is the default."""
        items = self._items
        items.append(item)
        try:
            yield item
        finally:
            if items and items[-1] is item:
                items.pop()
            else:
                self.remove(item)


default_graph = DefaultStack()
_sessions = DefaultStack()


def session_stack() -> DefaultStack:
    """The stack of default sessions."""
    return _sessions


def get_default_graph() -> Any:
    """The graph that op constructors add to on this thread."""
    return default_graph.get()


def get_default_session() -> Any:
    """The session that `eval()` and `run()` use on this thread, or None."""
    return _sessions.get()


def reset_default_graph() -> None:
    """Makes a new, empty graph the default one. Not inside a `Graph.as_default()` block."""
    if default_graph._items:
        raise AssertionError("Do not use tf.reset_default_graph() inside a `with graph.as_default()` block.")
    default_graph.reset()


def default_session(action: str, graph: Any, session: Any = None) -> Any:
    """`session`, or the default one; ValueError if there is none or it runs another graph."""
    session = session if session is not None else get_default_session()
    if session is None:
        raise ValueError(
            f"Cannot {action} without a session: no default session is registered. Use "
            "`with sess.as_default()`, `tf.InteractiveSession()`, or pass an explicit session."
        )
    if session.graph is not graph:
        raise ValueError(f"Cannot {action} with a session of another graph: its graph is not the operation's.")
    return session
