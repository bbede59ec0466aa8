"""What identifies a plan: which tensors a run fetches and is fed, and how the fed arrays look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowc.framework.graph import Operation, Tensor
from flowc.runtime.variables_store import VariableStore

Array = npt.NDArray[Any]


class Form(NamedTuple):
    """How the fed arrays look. `values`: the bytes of those that shapes depend on, None for others; () if none do.
    `variables`: the shapes of variables that a plan is for, by name, where the graph does not tell them."""

    shapes: tuple[tuple[int, ...], ...]
    values: tuple[bytes | None, ...] = ()
    variables: tuple[tuple[str, tuple[int, ...] | None], ...] = ()


class Signature:
    """Fetches, targets and feeds, with the plans that exist for them: one for each form that the feeds had.

    Attributes: `needs_value`, which feeds' values shapes depend on, and `variables`, those of which the graph does not
    tell the shape, as far as is known; `segmented`, what runs it if the host takes part, the same for all forms.
    """

    __slots__ = ("feeds", "fetches", "needs_value", "plans", "segmented", "targets", "variables")

    def __init__(self, fetches: tuple[Tensor, ...], targets: tuple[Operation, ...], feeds: tuple[Tensor, ...]) -> None:
        self.fetches, self.targets, self.feeds = fetches, targets, feeds
        self.needs_value: frozenset[int] = frozenset()
        self.variables: frozenset[str] = frozenset()
        self.plans: dict[Form, Any] = {}
        self.segmented: Any = None

    def forget_plans(self) -> None:
        """Back to knowing nothing."""
        self.needs_value = frozenset()
        self.variables = frozenset()
        self.plans = {}
        self.segmented = None

    def form(self, arrays: Sequence[Array], store: VariableStore) -> Form:
        """The form of these arrays, and of the variables in `store` that plans depend on."""
        shapes = tuple([array.shape for array in arrays])
        if not self.needs_value and not self.variables:
            return Form(shapes)
        values = tuple(a.tobytes() if i in self.needs_value else None for i, a in enumerate(arrays))
        return Form(shapes, values, tuple((name, store.shape_of(name)) for name in sorted(self.variables)))

    def value(self, form: Form, index: int) -> Array | None:
        """The value of a feed that shapes depend on, else None."""
        data = form.values[index] if form.values else None
        if data is None:
            return None
        return np.frombuffer(data, self.feeds[index].dtype.as_numpy_dtype).reshape(form.shapes[index])
