"""The reference executor says what ops mean; these tests say it once more, by hand, where it could be taken wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowc.codegen.reference import evaluate, run_reference
from flowc.framework import dtypes, errors
from flowc.framework.convert import constant
from flowc.framework.graph import Graph, Operation, Tensor

INF, NAN = float("inf"), float("nan")


def compute(op_type: str, *inputs: Any, out: Any = None, outputs: int = 1, **attrs: Any) -> Any:
    """The value of an op; its result type is the first input's unless `out` says otherwise."""
    arrays = [np.asarray(x) for x in inputs]
    kind = dtypes.as_dtype(arrays[0].dtype if out is None else out)
    results = evaluate(op_type, attrs, [kind] * outputs, arrays)
    return results[0] if outputs == 1 else results


def i32(*values: Any) -> Any:
    return np.array(values, np.int32)


def f32(*values: Any) -> Any:
    return np.array(values, np.float32)


# -- integers ----------------------------------------------------------------------------------------------------------


def test_int_arithmetic_wraps_around() -> None:
    top = np.iinfo(np.int32).max
    assert compute("Add", i32(top), i32(1)) == -top - 1
    assert compute("Mul", i32(1 << 20), i32(1 << 12)) == 0
    assert compute("Neg", i32(-top - 1)) == -top - 1
    assert compute("Abs", i32(-top - 1)) == -top - 1
    assert compute("Sum", np.array([200, 100], np.uint8), i32(0)) == 44


def test_int_division_rounds_towards_zero_as_in_c() -> None:
    x, y = i32(7, -7, 7, -7, 6), i32(2, 2, -2, -2, -3)
    assert compute("Div", x, y).tolist() == [3, -3, -3, 3, -2]
    assert compute("Mod", x, y).tolist() == [1, -1, 1, -1, 0]
    assert compute("Div", np.array([250], np.uint8), np.array([7], np.uint8)) == 35


@pytest.mark.parametrize("op_type", ["Div", "Mod"])
def test_int_division_by_zero_is_an_error(op_type: str) -> None:
    with pytest.raises(errors.InvalidArgumentError):
        compute(op_type, i32(1), i32(0))
    assert compute(op_type, np.zeros((0, 1), np.int32), i32(0)).shape == (0, 1)


def test_int_powers() -> None:
    assert compute("Pow", i32(3, -2, 2, 1, -1, -1), i32(4, 3, -1, -5, -3, -2)).tolist() == [81, -8, 0, 1, -1, 1]


# -- floats ------------------------------------------------------------------------------------------------------------


def test_ieee_values() -> None:
    assert compute("Div", f32(1, -1, 0), f32(0, 0, 0)).tolist()[:2] == [INF, -INF]
    assert np.isnan(compute("Div", f32(0), f32(0))).all()
    assert np.isnan(compute("Maximum", f32(NAN, 1), f32(1, NAN))).all()
    assert np.isnan(compute("Max", f32(1, NAN, 3), i32(0)))
    assert np.signbit(compute("Neg", f32(0.0)))
    assert compute("Floor", f32(-0.5)) == -1
    assert compute("Mod", f32(-7.5), f32(2)) == -1.5
    assert compute("Pow", f32(-INF, -0.0), f32(0.5)).tolist() == [INF, 0]
    assert compute("Sigmoid", f32(-1000, 1000)).tolist() == [0, 1]


def test_float16_is_computed_in_float64() -> None:
    x = np.full(10000, 0.1, np.float16)
    assert compute("Sum", x, i32(0)) == np.float16(x.astype(np.float64).sum())
    assert compute("Mean", np.full(10, 60000, np.float16), i32(0)) == 60000


def test_cast_truncates_as_c_does() -> None:
    assert compute("Cast", f32(1.9, -1.9), out="int32").tolist() == [1, -1]
    assert compute("Cast", f32(0, 0.5, NAN), out="bool").tolist() == [False, True, True]
    assert compute("Cast", np.array([1 + 2j]), out="float32") == 1
    assert compute("Cast", i32(300), out="uint8") == 44


# -- arrays ------------------------------------------------------------------------------------------------------------


def test_arrays() -> None:
    x = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert compute("Slice", x, i32(0, 1), i32(-1, 2)).tolist() == [[1, 2], [4, 5]]
    assert compute("Reverse", x, np.array([False, True])).tolist() == [[2, 1, 0], [5, 4, 3]]
    assert [a.tolist() for a in compute("Split", np.int32(1), x, outputs=3)] == [[[0], [3]], [[1], [4]], [[2], [5]]]
    assert compute("Reshape", x, i32(3, -1)).shape == (3, 2)
    assert compute("Pad", x, [[0, 1], [1, 0]]).tolist() == [[0, 0, 1, 2], [0, 3, 4, 5], [0, 0, 0, 0]]
    assert compute("Select", np.array([True, False]), x, -x, out="int32").tolist() == [[0, 1, 2], [-3, -4, -5]]
    with pytest.raises(errors.InvalidArgumentError):
        compute("Gather", x, i32(2))
    with pytest.raises(errors.InvalidArgumentError):
        compute("Reshape", x, i32(4, -1))


def test_strings_pass_through() -> None:
    words = np.array([b"a", b"bc"], object)
    assert compute("Gather", words, i32(1, 0, 1), out="string").tolist() == [b"bc", b"a", b"bc"]
    assert compute("Equal", words, np.array(b"a", object), out="bool").tolist() == [True, False]


# -- reductions --------------------------------------------------------------------------------------------------------


def test_reductions_of_nothing_give_the_neutral_value() -> None:
    empty = np.zeros((2, 0), np.float32)
    values = {k: compute(k, empty, i32(1)).tolist() for k in ("Sum", "Prod", "Max", "Min")}
    assert values == {"Sum": [0, 0], "Prod": [1, 1], "Max": [-INF, -INF], "Min": [INF, INF]}
    assert np.isnan(compute("Mean", empty, i32(1))).all()
    assert compute("All", empty.astype(bool), i32(1)).all()
    with pytest.raises(errors.InvalidArgumentError):
        compute("ArgMax", empty, np.int32(1), out="int64")


def test_reductions() -> None:
    x = f32(3, 5, 5, 1).reshape(2, 2)
    assert compute("ArgMax", x.reshape(-1), np.int32(0), out="int64") == 1
    assert compute("Sum", x, i32(-1), keep_dims=True).tolist() == [[8], [6]]
    assert compute("Sum", x, np.zeros(0, np.int32)).tolist() == x.tolist()
    assert compute("Sum", x, np.int32(0)).tolist() == [8, 6]
    assert compute("Mean", i32(-3, -4), i32(0)) == -3
    assert compute("Mean", np.full(300, 200, np.uint8), i32(0)) == 200


# -- networks ----------------------------------------------------------------------------------------------------------


def test_softmax_of_large_logits() -> None:
    assert np.allclose(compute("Softmax", f32(1000, 1000).reshape(1, 2)), 0.5)
    logits, labels = f32(1000, -1000).reshape(1, 2), f32(1, 0).reshape(1, 2)
    loss, backprop = compute("SoftmaxCrossEntropyWithLogits", logits, labels, outputs=2)
    assert loss.tolist() == [0]
    assert backprop.tolist() == [[0, 0]]


# -- state -------------------------------------------------------------------------------------------------------------


def add(graph: Graph, op_type: str, *inputs: Tensor, types: Any = ("float32",), **attrs: Any) -> Tensor:
    op = graph.create_op(op_type, inputs, types, attrs=attrs, compute_shapes=False)
    return op.outputs[0]


def variable(graph: Graph) -> Tensor:
    return add(graph, "Variable", types=("float32_ref",))


def test_a_read_without_dependency_sees_the_value_from_before(graph: Graph) -> None:
    v = variable(graph)
    assigned = add(graph, "Assign", v, constant(5.0), types=("float32_ref",))
    read = add(graph, "Identity", v)
    values, after = run_reference([read, assigned, v], {}, {"Variable": f32(1)[0]})
    assert values == [1, 5, 1]
    assert after == {"Variable": 5}


def test_a_read_after_an_assign_by_data_or_control_sees_the_new_value(graph: Graph) -> None:
    v = variable(graph)
    assigned = add(graph, "Assign", v, constant(5.0), types=("float32_ref",))
    with graph.control_dependencies([assigned]):
        by_control = add(graph, "Identity", v)
    by_data = add(graph, "Add", assigned, constant(1.0))
    assert run_reference([by_control, by_data], {}, {})[0] == [5, 6]


def test_updates_act_on_the_latest_value_in_the_order_in_which_they_were_made(graph: Graph) -> None:
    v = variable(graph)
    first = add(graph, "Assign", v, constant(5.0), types=("float32_ref",))
    second = add(graph, "AssignAdd", v, constant(2.0), types=("float32_ref",))
    third = add(graph, "AssignSub", v, constant(1.0), types=("float32_ref",))
    values, after = run_reference([third, first, second], {}, {})
    assert values == [6, 5, 7]
    assert after == {"Variable": 6}


def test_failures(graph: Graph) -> None:
    v = variable(graph)
    read = add(graph, "Identity", v)
    with pytest.raises(errors.FailedPreconditionError, match="uninitialized value Variable"):
        run_reference([read], {}, {})
    fed = add(graph, "Placeholder")
    with pytest.raises(errors.InvalidArgumentError) as caught:
        run_reference([fed], {}, {})
    assert isinstance(caught.value.op, Operation)
    quotient = add(graph, "Div", constant(1), constant(0), types=("int32",))
    with pytest.raises(errors.InvalidArgumentError) as caught:
        run_reference([quotient], {}, {})
    assert caught.value.op is quotient.op


def test_feeding_any_tensor_replaces_it(graph: Graph) -> None:
    c = constant(2.0)
    twice = add(graph, "Add", c, c)
    assert run_reference([twice, c], {c: 3.0}, {})[0] == [6, 3]
    counted = add(graph, "Identity", variable(graph))
    assert run_reference([counted], {counted: 4.0}, {})[0] == [4]
