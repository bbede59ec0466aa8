"""The exceptions that building and running a graph raise, by the names and codes of `tf.errors`.

Each has `op` (the operation it came from, or None), `node_def`, `message` and `error_code`.
"""

from __future__ import annotations

from typing import Any, Final

from flowc.framework import source

OK: Final = 0
CANCELLED: Final = 1
UNKNOWN: Final = 2
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
NOT_FOUND: Final = 5
ALREADY_EXISTS: Final = 6
PERMISSION_DENIED: Final = 7
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
ABORTED: Final = 10
OUT_OF_RANGE: Final = 11
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAVAILABLE: Final = 14
DATA_LOSS: Final = 15
UNAUTHENTICATED: Final = 16


class OpError(Exception):
    """The base of all errors of a run. Printed, it shows the message, the operation and the line that made it."""

    def __init__(self, node_def: Any, op: Any, message: str, error_code: int) -> None:
        super().__init__(message)
        self._node_def, self._op, self._message, self._error_code = node_def, op, message, error_code

    @property
    def op(self) -> Any:
        """The operation that failed, or None if it is not one of the user's graph."""
        return self._op

    @property
    def node_def(self) -> Any:
        """The failed operation's definition as a NodeDef message, or None."""
        # Made when it is asked for: messages cost an import, and a training loop that ends by an error needs none.
        return getattr(self._op, "node_def", None) if self._node_def is None else self._node_def

    @property
    def message(self) -> str:
        """What went wrong, and what to do."""
        return self._message

    @property
    def error_code(self) -> int:
        """One of the codes of this module."""
        return self._error_code

    def __str__(self) -> str:
        if self._op is None:
            return self._message
        return f"{self._message}\n  op: {self._op.name} ({self._op.type}){source.made_at(self._op)}"


class _CodedError(OpError):
    code: int = UNKNOWN

    def __init__(self, node_def: Any, op: Any, message: str) -> None:
        super().__init__(node_def, op, message, self.code)


class CancelledError(_CodedError):
    """The run was cancelled, as when its queue was closed."""

    code = CANCELLED


class UnknownError(OpError):
    """An error of no other class, such as one raised by a Python function in the graph."""

    def __init__(self, node_def: Any, op: Any, message: str, error_code: int = UNKNOWN) -> None:
        super().__init__(node_def, op, message, error_code)


class InvalidArgumentError(_CodedError):
    """An operation got a value it cannot work on: feed another."""

    code = INVALID_ARGUMENT


class DeadlineExceededError(_CodedError):
    """The run took longer than it was allowed to."""

    code = DEADLINE_EXCEEDED


class NotFoundError(_CodedError):
    """Something asked for, such as a file, is not there."""

    code = NOT_FOUND


class AlreadyExistsError(_CodedError):
    """Something to be made is there already."""

    code = ALREADY_EXISTS


class PermissionDeniedError(_CodedError):
    """The process may not do what was asked."""

    code = PERMISSION_DENIED


class UnauthenticatedError(_CodedError):
    """The caller is not known."""

    code = UNAUTHENTICATED


class ResourceExhaustedError(_CodedError):
    """Memory or another resource is used up."""

    code = RESOURCE_EXHAUSTED


class FailedPreconditionError(_CodedError):
    """Something must be done first, such as initialising a variable."""

    code = FAILED_PRECONDITION


class AbortedError(_CodedError):
    """The run was aborted by another."""

    code = ABORTED


class OutOfRangeError(_CodedError):
    """An input ran past its end."""

    code = OUT_OF_RANGE


class UnimplementedError(_CodedError):
    """flowc has no kernel for the operation (or not for these types)."""

    code = UNIMPLEMENTED


class InternalError(_CodedError):
    """flowc itself is at fault: please report it."""

    code = INTERNAL


class UnavailableError(_CodedError):
    """A device or service is not there at present."""

    code = UNAVAILABLE


class DataLossError(_CodedError):
    """Stored data is damaged."""

    code = DATA_LOSS
