"""A plan that outlives its graph: with its kernels, its variables, and what is remembered of the graph for messages."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from flowc.codegen.cpu.target import host_target
from flowc.codegen.plan import Plan, TensorSpec
from flowc.framework.errors import FailedPreconditionError, InvalidArgumentError
from flowc.framework.graph import Graph, Tensor
from flowc.framework.html import of_outline
from flowc.runtime.bound_plan import DECLINED, BoundPlan, FastRun, decline
from flowc.runtime.cuda.host_plan import HostPlan
from flowc.runtime.cuda.session_variables import SessionVariables
from flowc.runtime.feeds import as_fed
from flowc.runtime.fetches import Fetches
from flowc.runtime.kernel_cache import content_key
from flowc.runtime.kernels import NativeFunction, as_function, compile_kernels, object_codes
from flowc.runtime.native_code import FUNCTIONS
from flowc.runtime.plan_file import PlanFile, write_plan_file
from flowc.runtime.stored_graph import StoredFetches, StoredGraph, StoredTensor
from flowc.runtime.variables_store import VariableStore

Array = npt.NDArray[Any]
Path = str | os.PathLike[str]


class CompiledPlan:
    """A plan with all that it needs to run: `plan(images)`, `plan(x=images)`, `plan({"x": images})`.

    Attributes:
        plan: its data.
        variables: its variables' values by name, to get and to set. Those of a plan that was compiled for a session are
            the session's; a loaded plan has its own.
    """

    def __init__(
        self,
        plan: Plan,
        store: VariableStore,
        operations: Mapping[str, Sequence[str]],
        structure: Any,
        fixed: Mapping[int, Array],
    ) -> None:
        """For `flowc.compile` and `flowc.load_plan`. `fixed`: the values of the feeds that shapes depend on."""
        self.plan = plan
        self._store, self._operations, self._structure, self._fixed = store, operations, structure, dict(fixed)
        graph = StoredGraph(operations)
        addresses = compile_kernels(plan.kernels)
        if isinstance(store.elsewhere, SessionVariables):
            self._bound: BoundPlan = HostPlan(plan, addresses, store, cast(Graph, graph), store.elsewhere)
        else:
            self._bound = BoundPlan(plan, addresses, store, cast(Graph, graph))
        self._tensors = [StoredTensor(spec, graph) for spec in plan.feeds]
        self._fetches = StoredFetches(structure)
        self._fast: FastRun = decline
        self.variables = PlanVariables(plan, store)

    @property
    def feeds(self) -> tuple[TensorSpec, ...]:
        """What it takes, in the order of positional arguments."""
        return self.plan.feeds

    @property
    def fetches(self) -> tuple[TensorSpec, ...]:
        """The tensors that it gives, each once. Results are nested as the fetches were that it was compiled for."""
        return self.plan.fetches

    def run(self, *values: Any, **named: Any) -> Any:
        """Runs the plan on values for its feeds: by position, by name (`x` or `x:0`), or as one dict by name.

        A value is an array, a number or string, or lists of these, of exactly the feed's shape. Raises TypeError or
        ValueError for feeds that do not fit, and the errors of `tf.errors` for a run that fails; variables are then as
        they were before.
        """
        if not named:
            result = self._fast(values)
            if result is not DECLINED:
                return result
        arrays = self._arrays(values, named)
        self._check_state(arrays)
        results = self._bound.run(arrays)
        if not self._fixed:
            self._fast = self._bound.fast_run(cast(Fetches, self._fetches))
        return self._fetches.build(results)

    __call__ = run

    def save(self, path: Path, variables: Literal["values", "names"] = "values") -> None:
        """Writes the plan, its kernels' sources and object code, its constants and its variables to one file.

        variables: "values" stores their values as they are now; "names" leaves it to whoever loads the plan to set
        them.
        The file appears as a whole or not at all. Raises FailedPreconditionError for a variable that has no value yet.
        """
        if variables not in ("values", "names"):
            raise ValueError(f'variables must be "values" or "names", not {variables!r}')
        functions = native_functions(self.plan)
        codes = object_codes(functions)
        file = PlanFile(
            self.plan,
            host_target(),
            {content_name(function): code for function, code in zip(functions, codes, strict=True)},
            self._saved_values() if variables == "values" else {},
            {self.feeds[index].name: value for index, value in self._fixed.items()},
            {"operations": self._operations, "structure": self._structure},
        )
        write_plan_file(path, file)

    def explain(self, source: bool = False) -> str:
        """Prints, and returns, what the plan does: see `Session.plan`. `source`: the kernels' sources too."""
        text = self._text(source)
        print(text)
        return text

    def _text(self, source: bool) -> str:
        from flowc.codegen.explain import format_explanation

        return format_explanation(self.plan, {name: line for name, (_, line) in self._operations.items()}, source)

    def _repr_html_(self) -> str:
        return of_outline(self._text(source=True))

    def __repr__(self) -> str:
        feeds = ", ".join(_described(spec) for spec in self.feeds)
        fetches = ", ".join(_described(spec) for spec in self.fetches)
        return f"<flowc.CompiledPlan: {feeds or 'nothing'} → {fetches or 'nothing'}>"

    # -- feeds ---------------------------------------------------------------------------------------------------------

    def _arrays(self, values: Sequence[Any], named: Mapping[str, Any]) -> list[Array]:
        if len(values) == 1 and isinstance(values[0], Mapping):
            return self._arrays((), {**values[0], **named})
        if len(values) > len(self._tensors):
            raise TypeError(f"this plan takes {len(self._tensors)} feeds ({self._feed_names()}), not {len(values)}")
        given = dict(enumerate(values)) | {self._index(name): value for name, value in named.items()}
        if len(given) < len(values) + len(named):
            raise TypeError(f"a feed is given twice; this plan takes {self._feed_names()}")
        missing = [tensor.name for i, tensor in enumerate(self._tensors) if i not in given]
        if missing:
            raise TypeError(f"no value is given for {', '.join(missing)}; this plan takes {self._feed_names()}")
        return [as_fed(cast(Tensor, tensor), given[i]) for i, tensor in enumerate(self._tensors)]

    def _index(self, name: Any) -> int:
        for index, tensor in enumerate(self._tensors):
            if name in (tensor.name, tensor.name.removesuffix(":0")):
                return index
        raise TypeError(f"this plan has no feed {name!r}; it takes {self._feed_names()}")

    def _feed_names(self) -> str:
        return ", ".join(_described(spec) for spec in self.feeds) or "no feeds"

    def _check_state(self, arrays: Sequence[Array]) -> None:
        for index, value in self._fixed.items():
            if not np.array_equal(arrays[index], value):
                name = self.feeds[index].name
                message = f"Shapes of this plan depend on {name}, and it was compiled for {value.tolist()} only."
                raise InvalidArgumentError(None, None, f"{message} Compile another plan for other values.")
        missing = self._store.uninitialized(self.plan.variables)
        if missing:
            raise FailedPreconditionError(
                None,
                None,
                f"Attempting to use uninitialized variables: {', '.join(missing)}. Set them first: "
                f"plan.variables[{missing[0]!r}] = array; or run their initializers in the session that the plan is "
                "compiled for.",
            )

    # -- what is saved -------------------------------------------------------------------------------------------------

    def _saved_values(self) -> dict[str, Array]:
        missing = self._store.uninitialized(self.plan.variables)
        if missing:
            raise FailedPreconditionError(
                None,
                None,
                f"These variables have no values to save: {', '.join(missing)}. Initialize them in a session and give "
                'it to flowc.compile(…, session=…), or save(path, variables="names") and set them where the plan is '
                "loaded.",
            )
        known = set(self._store.initialized_names())
        return {v.name: self._store.get(v.name) for v in self.plan.variables if v.name in known}


class PlanVariables(Mapping[str, Array]):
    """The variables of a plan by name: `variables["W"]` is a copy of the value, `variables["W"] = array` sets it."""

    def __init__(self, plan: Plan, store: VariableStore) -> None:
        self._specs = {spec.name: spec for spec in plan.variables}
        self._store = store

    def __getitem__(self, name: str) -> Array:
        if name not in self._specs:
            raise KeyError(self._unknown(name))
        return self._store.get(name)

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self._specs:
            raise KeyError(self._unknown(name))
        spec = self._specs[name]
        self._store.set(name, as_fed(cast(Tensor, StoredTensor(spec, StoredGraph({}))), value))

    def __iter__(self) -> Iterator[str]:
        return iter(self._specs)

    def __len__(self) -> int:
        return len(self._specs)

    def _unknown(self, name: Any) -> str:
        return f"this plan has no variable {name!r}; it has: {', '.join(self._specs) or 'none'}"


def native_functions(plan: Plan) -> list[NativeFunction]:
    """All native code that running the plan takes: its kernels, and the runtime's own functions."""
    return [*(as_function(kernel) for kernel in plan.kernels), *FUNCTIONS.values()]


def content_name(function: NativeFunction) -> str:
    """What object code is called in a plan file: a hash of the function's name, source and signature."""
    return content_key(function.name, function.source, function.signature)


def _described(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}{list(spec.shape)}"
