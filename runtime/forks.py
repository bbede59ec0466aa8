"""Locks in a forked child: the parent's other threads are not there to give theirs back, so the child gets new ones."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import Any

_locks: weakref.WeakKeyDictionary[Any, tuple[str, Callable[[], Any]]] = weakref.WeakKeyDictionary()


def renew_in_child(owner: Any, attribute: str, make: Callable[[], Any]) -> None:
    """In every forked child, `owner.attribute` becomes `make()`. The owner is an object or a module."""
    _locks[owner] = attribute, make


def _after_fork() -> None:
    for owner, (attribute, make) in list(_locks.items()):
        setattr(owner, attribute, make())


os.register_at_fork(after_in_child=_after_fork)
