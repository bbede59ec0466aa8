"""Every op that changes variables, compiled, against its NumPy definition: values, final state, order, failures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flowc as tf
from flowc.framework.building import apply, make_operation
from flowc.framework.default_graph import get_default_graph
from tests.fuzz.compare import Reference, difference
from tests.kernels.batch import REAL, TYPES, Array, extremes, values

NUMBERS = [t for t in TYPES if t != "bool"]
# op type: how many variables, then the other inputs: g a gradient, r its rows, i indices, else the value of a scalar
OPTIMIZERS: dict[str, tuple[int, tuple[Any, ...]]] = {
    "ApplyGradientDescent": (1, (0.1, "g")),
    "ApplyMomentum": (2, (0.1, "g", 0.9)),
    "ApplyAdagrad": (2, (0.1, "g")),
    "ApplyAdam": (3, (0.9, 0.99, 0.01, 0.9, 0.999, 1e-2, "g")),
    "ApplyRMSProp": (3, (0.1, 0.9, 0.5, 1e-2, "g")),
    "ApplyFtrl": (3, ("g", 0.1, 0.05, 0.1, -0.5)),
    "SparseApplyMomentum": (2, (0.1, "r", "i", 0.9)),
    "SparseApplyAdagrad": (2, (0.1, "r", "i")),
    "SparseApplyFtrl": (3, ("r", "i", 0.1, 0.05, 0.1, -0.5)),
}


class Pair:
    """A session and the reference, which do the same."""

    def __init__(self) -> None:
        self.session = tf.Session(graph=get_default_graph())
        self.reference = Reference()
        self.run(tf.initialize_all_variables())

    def run(self, *fetches: Any) -> None:
        """Runs the fetches in both, and compares their values and then all variables'."""
        self._compare(fetches, "fetch")
        self._compare([v.ref() for v in tf.all_variables()], "variable")

    def _compare(self, fetches: Any, what: str) -> None:
        expected = self.reference.run(fetches, {})
        for fetch, got, want in zip(fetches, self.session.run(list(fetches)), expected, strict=True):
            wrong = None if want is None else difference(got, want)
            assert wrong is None, f"{what} {fetch.name}: {wrong}"


def reference(value: Any) -> Any:
    """The reference of a new variable."""
    return tf.Variable(value).ref()


def optimizer_input(given: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """What a table entry stands for."""
    if given == "g":
        return values(shape, dtype, seed=9)
    if given == "r":
        return values((3, *shape[1:]), dtype, seed=9)
    return np.array([2, 0, 2], np.int32) if given == "i" else np.asarray(given, dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_assignments(dtype: str) -> None:
    updates = []
    for shape in ((), (0,), (3,), (2, 5)):
        for op_type in ("Assign", "AssignAdd", "AssignSub"):
            if op_type == "Assign" or dtype in NUMBERS:
                updates.append(apply(op_type, [reference(values(shape, dtype)), values(shape, dtype, seed=1)]))
    pair = Pair()
    pair.run(*updates)
    pair.run(*updates)


@pytest.mark.parametrize("dtype", TYPES)
def test_scattering(dtype: str) -> None:
    updates = []
    for shape, indices in (((5,), [1, 3]), ((5, 2), [[4, 0], [0, 4]]), ((3, 2), [2, 2, 2]), ((3,), [])):
        index = np.array(indices, np.int32 if len(shape) == 1 else np.int64)
        rows = values((*index.shape, *shape[1:]), dtype, seed=1)
        for op_type in ("ScatterUpdate", "ScatterAdd", "ScatterSub"):
            if op_type == "ScatterUpdate" or dtype in NUMBERS:
                updates.append(apply(op_type, [reference(values(shape, dtype)), index, rows]))
    pair = Pair()
    pair.run(*updates)


@pytest.mark.parametrize("dtype", REAL)
def test_optimizers(dtype: str) -> None:
    updates = []
    for op_type, (count, others) in OPTIMIZERS.items():
        for shape in ((4, 3), (5,)):
            states = [np.asarray(np.abs(values(shape, dtype, seed=i)) + 0.5, dtype) for i in range(count)]
            inputs = [optimizer_input(given, shape, dtype) for given in others]
            updates.append(apply(op_type, [*map(reference, states), *inputs]))
    pair = Pair()
    pair.run(*updates)
    pair.run(*updates)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "int64"])
def test_int_variables_wrap_around(dtype: str) -> None:
    added = apply("AssignAdd", [reference(extremes(dtype)), extremes(dtype)])
    Pair().run(added)


def test_counting() -> None:
    counted = apply("CountUpTo", [reference(np.array(0, np.int32))], {"limit": 2})
    pair = Pair()
    pair.run(counted)
    pair.run(counted)
    with pytest.raises(tf.errors.OutOfRangeError):
        pair.session.run(counted)
    pair.run()


def test_reads_before_and_after() -> None:
    v = tf.Variable(np.array([1.0, 2.0], np.float32))
    before = tf.identity(v)
    assigned = tf.assign(v, before * 3)
    with tf.control_dependencies([assigned]):
        after = tf.identity(v.ref())
    added = tf.assign_add(v, after)
    unrelated = v.ref() + 1.0
    pair = Pair()
    pair.run(before, assigned, after, added, unrelated)
    pair.run(added, unrelated)
    pair.run(before)


def test_swapping_two_variables() -> None:
    a, b = tf.Variable(values((1000,), "float32")), tf.Variable(values((1000,), "float32", seed=1))
    swapped = [tf.assign(a, b), tf.assign(b, a)]
    Pair().run(*swapped)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_failed_run_changes_nothing(index: int) -> None:
    v, w = tf.Variable(values((3,), "float32")), tf.Variable(np.float32(0))
    counted = tf.assign_add(w, 1.0)
    scattered = tf.scatter_add(v, tf.constant([0, index]), [1.0, 2.0])
    pair = Pair()
    with pytest.raises(tf.errors.InvalidArgumentError):
        pair.session.run([counted, scattered])
    pair.run()


def test_uninitialised_variables_are_named() -> None:
    checked = make_operation("AssertVariablesInitialized", [reference(np.float32(1))])
    with tf.Session() as session:
        with pytest.raises(tf.errors.FailedPreconditionError, match="Variable"):
            session.run(checked)
        session.run(tf.initialize_all_variables())
        session.run(checked)


def test_groups_have_no_value() -> None:
    v = tf.Variable(np.float32(2))
    fed = tf.placeholder(tf.float32, [])
    group = tf.group(tf.assign_add(v, fed))
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        assert session.run(group, {fed: 3}) is None
        assert session.run(v) == 5
