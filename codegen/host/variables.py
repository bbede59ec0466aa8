"""What a session knows of its variables beside their values."""

from __future__ import annotations

from typing import NoReturn, Protocol

import numpy as np

from flowc.codegen.host.registry import VARIABLES, Array, HostOp, host
from flowc.framework.errors import FailedPreconditionError


class Store(Protocol):
    """A session's variables."""

    def is_initialized(self, name: str) -> bool:
        """Whether the variable has a value."""


def _no_session() -> NoReturn:
    raise FailedPreconditionError(None, None, "Which variables are initialised is known in a session only.")


@host("ReportUninitializedVariables")
def report_uninitialized_variables(op: HostOp) -> Array:
    store: Store = op.resources.get(VARIABLES, _no_session)
    missing = [name.encode() for name in op.attrs["variables"] if not store.is_initialized(name)]
    return np.array(missing, object)
