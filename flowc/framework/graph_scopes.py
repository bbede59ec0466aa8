"""What is in force where a graph is being built: what the operations made next are called, wait for, and run on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Generic, Protocol, TypeVar

from flowc.framework import device as device_lib

_VALID_SCOPE: Final = re.compile(r"[A-Za-z0-9_.\-/]*")


class Placed(Protocol):
    """What can be put on a device: an operation."""

    def _set_device(self, device: Any) -> None: ...


Op = TypeVar("Op", bound=Placed)


class Context(Protocol):
    """Where operations are being made that run only if a branch is taken, or once an iteration."""

    def captured(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """What the tensors `inputs` are inside."""

    def joined_by(self, op: Any) -> None:
        """Notes that an operation was made inside."""


class GraphScopes(Generic[Op]):
    """The names in use in a graph of operations Op, and the scopes that are open in it. `Graph` is one of these."""

    def __init__(self) -> None:
        self._names_in_use: dict[str, int] = {}  # name: how often it was asked for
        self._name_scope = ""
        self._device_functions: list[Callable[[Op], str] | None] = []
        self._control_stack: list[tuple[tuple[Op, ...], set[Op]]] = []  # what to wait for, and who does
        self._gradient_overrides: dict[str, str] = {}
        self._context: Context | None = None  # the innermost branch or loop body that is being made

    # -- names ---------------------------------------------------------------------------------------------------------

    def unique_name(self, name: str) -> str:
        """`name` within the current scope, with `_1`, `_2`, … where it is taken; marks it as used."""
        if self._name_scope:
            name = f"{self._name_scope}/{name}"
        count = self._names_in_use.get(name, 0)
        self._names_in_use[name] = count + 1
        if count == 0:
            return name
        unique = f"{name}_{count}"
        while unique in self._names_in_use:
            count += 1
            unique = f"{name}_{count}"
        self._names_in_use[name] = count + 1
        self._names_in_use[unique] = 1
        return unique

    @contextmanager
    def name_scope(self, name: str | None) -> Iterator[str]:
        """In the with-block, new names start with `name/`. `name/` itself re-enters that scope; None leaves all."""
        if name and not _VALID_SCOPE.fullmatch(name):
            raise ValueError(f"{name!r} is not a valid scope name")
        before = self._name_scope
        if not name:
            self._name_scope = ""
        elif name.endswith("/"):
            self._name_scope = name[:-1]
        else:
            self._name_scope = self.unique_name(name)
        try:
            yield self._name_scope + "/" if self._name_scope else ""
        finally:
            self._name_scope = before

    # -- devices -------------------------------------------------------------------------------------------------------

    @contextmanager
    def device(self, device_name_or_function: Any) -> Iterator[None]:
        """In the with-block, new operations go to that device: a name such as `"/cpu:0"`, or a function of the op."""
        self._device_functions.append(device_lib.merger(device_name_or_function))
        try:
            yield
        finally:
            self._device_functions.pop()

    def _place(self, op: Op) -> None:
        """Puts an operation on the device that the open scopes ask for."""
        for function in reversed(self._device_functions):
            if function is None:
                break
            op._set_device(function(op))

    # -- order ---------------------------------------------------------------------------------------------------------

    @contextmanager
    def _after(self, controls: Iterable[Op] | None) -> Iterator[None]:
        """In the with-block, new operations wait for `controls`; None lifts enclosing blocks, branches and loops."""
        before = self._control_stack, self._context
        if controls is None:
            self._control_stack, self._context = [], None
        else:
            self._control_stack = [*self._control_stack, (tuple(controls), set())]
        try:
            yield
        finally:
            self._control_stack, self._context = before

    def _controls_for(self, sources: set[Op]) -> tuple[Op, ...]:
        """The open scopes' controls of an operation that takes data from `sources`, less those behind one of them."""
        result: dict[Op, None] = {}
        for controls, members in self._control_stack:
            if members.isdisjoint(sources):
                result.update((op, None) for op in controls if op not in sources)
        return tuple(result)

    def _joined_by(self, op: Op) -> None:
        """Notes that an operation is made inside the open scopes."""
        for _, members in self._control_stack:
            members.add(op)

    # -- gradients -----------------------------------------------------------------------------------------------------

    @contextmanager
    def gradient_override_map(self, op_type_map: Mapping[str, str]) -> Iterator[None]:
        """In the with-block, new operations of the given types use the gradient registered for other names."""
        before = self._gradient_overrides
        self._gradient_overrides = {**before, **op_type_map}
        try:
            yield
        finally:
            self._gradient_overrides = before
