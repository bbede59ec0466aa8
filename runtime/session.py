"""Sessions: what runs a graph, and keeps its variables' values from one run to the next."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from flowc.codegen.host.registry import VARIABLES, Resources
from flowc.codegen.plan import Plan
from flowc.framework.config import ConfigProto
from flowc.framework.debug import debug_level, say
from flowc.framework.default_graph import get_default_graph
from flowc.framework.errors import InternalError, InvalidArgumentError, OpError, ResourceExhaustedError
from flowc.framework.graph import Graph
from flowc.framework.stacks import session_stack
from flowc.runtime import feeds as feeds_lib, fetches as fetches_lib, trace as trace_lib
from flowc.runtime.bound_plan import DECLINED, FastRun, decline
from flowc.runtime.feeds import FeedKeys
from flowc.runtime.fetches import Fetches
from flowc.runtime.plans import SessionPlans
from flowc.runtime.run_plan import RunPlan
from flowc.runtime.signature import Signature
from flowc.runtime.variables_store import VariableStore

if TYPE_CHECKING:
    from flowc.runtime.cuda.cuda_plan import CudaPlan

Path = str | os.PathLike[str]

_SHOWN: Final = (OpError, TypeError, ValueError, KeyError, RuntimeError, MemoryError)
_CHECKS: Final = (__name__, feeds_lib.__name__, fetches_lib.__name__)


class _Request:
    """What one kind of run call asks for: its fetches and feeds, understood once; `fast` runs it on exact arrays."""

    __slots__ = ("__weakref__", "fast", "feeds", "fetches", "on_device", "signature")

    def __init__(self, fetches: Fetches, feeds: FeedKeys, signature: Signature, on_device: bool) -> None:
        self.fetches, self.feeds, self.signature, self.on_device = fetches, feeds, signature, on_device
        self.fast: FastRun = decline


class Session:
    """Runs operations of one graph and computes its tensors; owns the values of the graph's variables.

    Close it, or use it in a with-block, to free them. Threads may run one session at once: runs that share variables
    take turns.
    """

    def __init__(self, target: str = "", graph: Graph | None = None, config: ConfigProto | None = None) -> None:
        """A session for `graph`, by default the default graph.

        Raises ValueError for a `target` other than this process (`""` or `"local"`), TypeError for what is no graph.
        """
        if target not in ("", "local"):
            raise ValueError(f"flowc runs graphs in this process only: target must be '', not {target!r}.")
        if graph is not None and not isinstance(graph, Graph):
            raise TypeError(f"graph must be a tf.Graph, not {type(graph).__name__}.")
        if config is not None and not isinstance(config, ConfigProto):
            raise TypeError(f"config must be a tf.ConfigProto, not {type(config).__name__}.")
        self._target = target
        self._graph: Graph = get_default_graph() if graph is None else graph
        self._config = config or ConfigProto()
        self._store = VariableStore()
        self._resources = Resources()
        self._resources.get(VARIABLES, lambda: self._store)
        self._plans = SessionPlans(self._graph, self._store, self._config, self._resources)
        self._requests: dict[Any, _Request] = {}
        self._live: weakref.WeakSet[_Request] = weakref.WeakSet()
        self._version = -1  # of the graph, when the requests were last known to be good
        self._mutations = 0
        self._closed = False
        self._debug = debug_level()
        self._contexts = ExitStack()

    # -- what it is ----------------------------------------------------------------------------------------------------

    @property
    def graph(self) -> Graph:
        """The graph that this session runs."""
        return self._graph

    @property
    def graph_def(self) -> Any:
        """The graph as a GraphDef message."""
        return self._graph.as_graph_def()

    @property
    def sess_str(self) -> str:
        """The target."""
        return self._target

    @property
    def variables(self) -> VariableStore:
        """The variables' values."""
        return self._store

    # -- life ----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Frees what the session holds; it cannot run any more. Closing twice does nothing."""
        self._closed = True
        self._resources.close()
        self._requests = {}
        self._forget_plans()
        self._plans.release()

    def __enter__(self) -> Session:
        self._check_open()
        self._contexts.enter_context(self._graph.as_default())
        self._contexts.enter_context(session_stack.using(self))
        return self

    def __exit__(self, *exception: object) -> None:
        self._contexts.close()
        self.close()

    @contextmanager
    def as_default(self) -> Iterator[Session]:
        """In the with-block, `eval()` and `run()` use this session. It stays open after the block."""
        with session_stack.using(self):
            yield self

    # -- running -------------------------------------------------------------------------------------------------------

    def run(
        self,
        fetches: Any,
        feed_dict: Mapping[Any, Any] | None = None,
        *,
        trace: Path | None = None,
        device_fetches: bool = False,
    ) -> Any:
        """Runs what `fetches` need, and returns their values in the same structure.

        Args:
            fetches: a Tensor, an Operation, a Variable, the name of one, or a list, tuple or dict of these, nested at
                will. A tensor's value is an array, or a NumPy scalar if its rank is 0; an operation's is None. Lists
                and tuples come back as lists, named tuples and dicts as themselves.
            feed_dict: values that take the place of tensors: any tensors of the graph, or their names. A value is an
                array, a Python number or string, or lists of these; or an array on the GPU that the run takes, which is
                read where it lies (`__cuda_array_interface__`, `__dlpack__`).
            trace: a file to write the kernels' times to, as a Chrome trace.
            device_fetches: leaves values on the GPU, as arrays that CuPy, PyTorch and JAX take and that can be fed.

        Raises:
            RuntimeError: the session is closed, or its graph is empty.
            TypeError, ValueError, KeyError: a fetch, or a feed's key or value, that does not fit the graph.
            tf.OpError: an operation failed; the variables are as they were before the run. InvalidArgumentError:
                `device_fetches` of a run that takes the CPU, or of which the host does a part.
        """
        if self._version != self._graph._version:
            self._synchronise()
        try:
            if trace is None and not device_fetches:
                kind = type(fetches)
                values: Iterable[Any] = ()
                try:
                    key = (list, *fetches) if kind is list or kind is tuple else fetches
                    if feed_dict:
                        request, values = self._requests[(key, *feed_dict)], feed_dict.values()
                    else:
                        request = self._requests[(key,)]
                except (KeyError, TypeError, AttributeError):
                    pass  # not seen before, or wrong: the long way tells
                else:
                    result = request.fast(values)
                    return self._run(request, values) if result is DECLINED else result
            if device_fetches:
                return self._run_on_device(fetches, feed_dict, trace)
            return self._run_unknown(fetches, feed_dict, trace)
        except _SHOWN as error:
            if (shown := self._shown(error)) is None:
                raise
            raise shown from shown.__cause__

    def make_callable(
        self, fetches: Any, feed_list: Sequence[Any] | None = None, *, device_fetches: bool = False
    ) -> Callable[..., Any]:
        """A function of the values of `feed_list`, in that order, that runs `fetches`: faster than `run`.

        `device_fetches`: as for `run`.
        Raises what `run` raises: for fetches and keys here, for values when it is called.
        """
        try:
            request = self._request(fetches, list(feed_list or ()), device_fetches)
        except _SHOWN as error:
            if (shown := self._shown(error)) is None:
                raise
            raise shown from shown.__cause__
        count = len(feed_list or ())

        def call(*values: Any) -> Any:
            if self._version != self._graph._version:
                self._synchronise()
            try:
                result = request.fast(values)
                if result is not DECLINED:
                    return result
                if len(values) != count:
                    raise TypeError(f"this callable takes {count} values, one a feed, not {len(values)}")
                return self._run(request, values)
            except _SHOWN as error:
                if (shown := self._shown(error)) is None:
                    raise
                raise shown from shown.__cause__

        return call

    def plan(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> RunPlan:
        """The plan that `run` with these arguments would use, made if need be but not run."""
        try:
            request = self._request(fetches, _checked(feed_dict))
            arrays = request.feeds.arrays((feed_dict or {}).values())
            return RunPlan(self._plans.find(request.signature, arrays).parts(), self._graph)
        except _SHOWN as error:
            if (shown := self._shown(error)) is None:
                raise
            raise shown from shown.__cause__

    # -- the long way --------------------------------------------------------------------------------------------------

    def _run_unknown(self, fetches: Any, feed_dict: Mapping[Any, Any] | None, trace: Path | None) -> Any:
        feeds = _checked(feed_dict)
        request = self._request(fetches, feeds)
        result = self._run(request, feeds.values(), trace)
        try:
            kind = type(fetches)
            if kind in (list, tuple) and request.fetches.flat is not None:
                self._requests[((list, *fetches), *feeds)] = request
            elif request.fetches.is_single:
                self._requests[(fetches, *feeds)] = request
        except TypeError:
            pass  # not hashable: understood anew at each run
        return result

    def _run(self, request: _Request, values: Iterable[Any], trace: Path | None = None) -> Any:
        self._check_open()
        arrays = request.feeds.arrays(values)
        if trace is None:
            result = request.fast(arrays)
            if result is not DECLINED:
                return result
        bound = self._plans.find(request.signature, arrays)
        if request.on_device:
            return self._kept_on_device(request, _plan_on_gpu(bound), arrays)
        if trace is None and self._debug < 2:
            results = bound.run(arrays)
            if self._debug == 0 and not request.signature.needs_value and not self._closed:
                request.fast = bound.fast_run(request.fetches)
        else:
            results, parts = bound.run_traced(arrays)
            if trace is not None:
                trace_lib.write_trace(trace, parts)
            if self._debug >= 2:
                for line in trace_lib.describe(parts):
                    say(line)
        return request.fetches.build(results)

    def _run_on_device(self, fetches: Any, feed_dict: Mapping[Any, Any] | None, trace: Path | None) -> Any:
        if trace is not None:
            raise ValueError("A run is traced, or leaves its values on the GPU: not both.")
        feeds = _checked(feed_dict)
        kind = type(fetches)
        try:
            key = ((_Request, *fetches) if kind is list or kind is tuple else (_Request, fetches), *feeds)
            request = self._requests.get(key)
        except TypeError:  # not hashable: understood anew at each run
            return self._run(self._request(fetches, feeds, on_device=True), feeds.values())
        if request is None:
            request = self._request(fetches, feeds, on_device=True)
            if request.fetches.flat is not None:
                self._requests[key] = request
        return self._run(request, feeds.values())

    def _kept_on_device(self, request: _Request, plan: CudaPlan, arrays: Sequence[Any]) -> Any:
        results = plan.run_on_device(arrays)
        if self._debug == 0 and not request.signature.needs_value and not self._closed:
            request.fast = plan.fast_run(request.fetches, on_device=True)
        return request.fetches.build(results)

    def _request(self, fetches: Any, feed_keys: Iterable[Any], on_device: bool = False) -> _Request:
        self._check_open()
        self._synchronise()
        parsed, feeds = Fetches(self._graph, fetches), FeedKeys(self._graph, feed_keys)
        if not self._graph._by_name:
            raise RuntimeError("The Session graph is empty. Add operations to the graph before calling run().")
        signature = self._plans.signature(parsed.tensors, parsed.targets, feeds.tensors)
        request = _Request(parsed, feeds, signature, on_device)
        self._live.add(request)
        return request

    def _shown(self, error: Exception) -> Exception | None:
        """The error without flowc's own frames, as users see it; None if it is flowc's fault, or somebody debugs it."""
        if isinstance(error, MemoryError):  # of an output; what a plan needs itself is told by its first run
            return ResourceExhaustedError(None, None, f"Out of memory: {error}. Feed a smaller batch, or fetch less.")
        if self._debug or isinstance(error, InternalError) or not (isinstance(error, OpError) or _is_check(error)):
            return None
        return error.with_traceback(None)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("Attempted to use a closed Session.")

    def _synchronise(self) -> None:
        """Takes note of the graph's version. Plans stay good while operations are only added; else forgets them all."""
        version = self._graph._version
        mutations = version - len(self._graph._by_name)  # versions that changed an operation rather than adding one
        if mutations != self._mutations:
            self._forget_plans()
        self._version, self._mutations = version, mutations

    def _forget_plans(self) -> None:
        self._plans.clear()
        for request in list(self._live):
            request.fast = decline


class InteractiveSession(Session):
    """A session that is the default one from its making until it is closed, for use in a shell."""

    def __init__(self, target: str = "", graph: Graph | None = None, config: ConfigProto | None = None) -> None:
        super().__init__(target, graph, config)
        self._contexts.enter_context(session_stack.using(self))
        if graph is not None:
            self._contexts.enter_context(graph.as_default())

    def close(self) -> None:
        """Closes the session, and takes it off the default ones."""
        self._contexts.close()
        super().close()


def _plan_on_gpu(bound: Any) -> CudaPlan:
    """What runs, if its values can stay on a GPU."""
    from flowc.runtime.cuda.cuda_plan import CudaPlan

    if isinstance(bound, CudaPlan):
        return bound
    kinds = {type(part) for part in bound.parts()}
    reason = "it takes the CPU" if kinds <= {Plan} else "operations of the host are a part of it"
    raise InvalidArgumentError(
        None,
        None,
        f"device_fetches=True leaves values on the GPU, and this run cannot: {reason}. Fetch without it; FLOWC_DEBUG=1 "
        "tells why a run takes the CPU.",
    )


def _is_check(error: BaseException) -> bool:
    """Whether one of flowc's checks of what users pass to `run` raised the error, and not what these called."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback is not None and traceback.tb_frame.f_globals.get("__name__") in _CHECKS


def _checked(feed_dict: Any) -> Mapping[Any, Any]:
    if feed_dict is None:
        return {}
    if not isinstance(feed_dict, Mapping):
        raise TypeError(f"feed_dict must be a dict from tensors to values, not {type(feed_dict).__name__}.")
    return feed_dict
