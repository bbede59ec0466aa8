"""Which of NVIDIA's libraries a plan may call, while it is being made. The runtime finds them; here they are facts.

Never imports the compiler: the runtime asks it for keys of the plan cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Literal

from flowc.framework.config import Precision

Feature = Literal["cuBLASLt", "cuDNN", "epilogues", "gradient epilogues"]


@dataclass(frozen=True)
class Vendor:
    """What plans may be made of.

    blas, dnn: the versions of cuBLASLt and cuDNN, as `13.1.0`; empty where plans must do without.
    no_blas, no_dnn: why, for `explain()`.
    precision: to what products of float32 may round their factors.
    epilogues, gradient_epilogues: whether cuBLASLt computes relu and biases, and their gradients, with products.
    """

    blas: str = ""
    dnn: str = ""
    no_blas: str = "cuBLASLt is not installed"
    no_dnn: str = "cuDNN is not installed"
    precision: Precision = "float32"
    epilogues: bool = True
    gradient_epilogues: bool = True

    def without(self, feature: Feature, why: str) -> Vendor:
        """The same, but for what a library has refused to do."""
        if feature == "cuBLASLt":
            return replace(self, blas="", no_blas=why)
        if feature == "cuDNN":
            return replace(self, dnn="", no_dnn=why)
        return replace(self, gradient_epilogues=False, epilogues=self.epilogues and feature != "epilogues")


_used: ContextVar[Vendor] = ContextVar("flowc vendor libraries", default=Vendor())  # noqa: B039  it is immutable


def vendor() -> Vendor:
    """What plans that are made now may be made of."""
    return _used.get()


@contextmanager
def using_vendor(libraries: Vendor) -> Iterator[None]:
    """In the with-block, plans are made of these."""
    token = _used.set(libraries)
    try:
        yield
    finally:
        _used.reset(token)
