"""The default graph and the default session: what is in force on this thread, innermost last."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final


class DefaultStack:
    """A stack of defaults, one a thread, over a bottom that all threads share."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._bottom: Any = None
        self._lock = threading.Lock()

    @property
    def _items(self) -> list[Any]:
        try:
            items: list[Any] = self._local.items
        except AttributeError:
            items = self._local.items = []
        return items

    @property
    def is_empty(self) -> bool:
        """Whether nothing but the bottom is in force on this thread."""
        return not self._items

    def innermost(self, make_bottom: Callable[[], Any] = lambda: None) -> Any:
        """What is in force: the last default that was entered, or the bottom, which is made when first asked for."""
        items = self._items
        if items:
            return items[-1]
        if self._bottom is None:
            with self._lock:
                if self._bottom is None:
                    self._bottom = make_bottom()
        return self._bottom

    def forget_bottom(self) -> None:
        """Makes the bottom a new one, the next time it is asked for."""
        self._bottom = None

    @contextmanager
    def using(self, item: Any) -> Iterator[Any]:
        """In the with-block, `item` is the default. Blocks need not be left in the reverse of their order."""
        items = self._items
        items.append(item)
        try:
            yield item
        finally:
            last = len(items) - 1 - items[::-1].index(item)
            del items[last]


graph_stack: Final = DefaultStack()
session_stack: Final = DefaultStack()


def get_default_session() -> Any:
    """The session that `eval()` and `run()` use on this thread, or None."""
    return session_stack.innermost()


def default_session(action: str, call: str, graph: Any, session: Any = None) -> Any:
    """`session`, or the default one, for an action ("evaluate tensor") by a method ("eval").

    Raises ValueError if there is none or it runs another graph than `graph`.
    """
    which = "default" if session is None else "given"
    session = session if session is not None else get_default_session()
    if session is None:
        raise ValueError(
            f"Cannot {action} using {call}(): No default session is registered. Use `with sess.as_default()` or "
            f"`tf.InteractiveSession()`, or pass an explicit session to {call}(session=sess)"
        )
    if session.graph is not graph:
        what = action.split()[-1]
        raise ValueError(
            f"Cannot use the {which} session to {action}: the {what}'s graph is different from the session's graph. "
            f"Pass an explicit session to {call}(session=sess)."
        )
    return session
