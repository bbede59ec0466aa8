"""Random tensors. They differ from run to run, and repeat from session to session where a seed is set."""

from __future__ import annotations

from typing import Any

from flowc.framework import shape_rules
from flowc.framework.building import apply
from flowc.framework.convert import convert_to_tensor
from flowc.framework.dtypes import ANY, INDEX, REAL, DType, as_dtype, float32
from flowc.framework.graph import Tensor
from flowc.framework.registry import ShapeContext, define, not_differentiable
from flowc.framework.scopes import get_seed, op_scope, set_random_seed
from flowc.framework.shape_rules import Shapes
from flowc.framework.source import at_user_line

__all__ = ["random_normal", "random_shuffle", "random_uniform", "set_random_seed", "truncated_normal"]


def _of_shape_input(ctx: ShapeContext) -> Shapes:
    return (shape_rules.shape_from_value(ctx, 0),)


for _type in ("RandomStandardNormal", "TruncatedNormal", "RandomUniform"):
    define(
        _type,
        shape=_of_shape_input,
        allowed=(INDEX,),
        result=lambda types, attrs: [attrs["dtype"]],
        stateful=True,
        inputs="shape",
        attrs={"seed": 0, "seed2": 0},
    )
    not_differentiable(_type)


def _sample(op_type: str, shape: Any, dtype: DType, seed: int | None) -> Any:
    return apply(op_type, [shape], {"dtype": dtype, **seed_attrs(seed)})


def seed_attrs(seed: int | None) -> dict[str, int]:
    """Attributes of a random op: both seeds 0 stand for a seed drawn at random in every session."""
    graph_seed, op_seed = get_seed(seed)
    if (graph_seed, op_seed) == (0, 0):
        op_seed = 2**31 - 1  # seeds that were set are never taken for none
    return {"seed": graph_seed or 0, "seed2": op_seed or 0}


def _floating(dtype: Any, what: str) -> DType:
    kind = as_dtype(dtype).base_dtype
    if kind not in REAL:
        raise TypeError(f"{what} gives floating-point numbers, not {kind.name}")
    return kind


# -- normal ------------------------------------------------------------------------------------------------------------


def random_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Samples of the normal distribution with the given mean and standard deviation.

    shape: a list or an int vector tensor; dtype: float16, float32 or float64; seed: see `set_random_seed`.
    """
    return _scaled_normal("RandomStandardNormal", "random_normal", shape, mean, stddev, dtype, seed, name)


def truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Samples of the normal distribution, drawn again where they lie more than two standard deviations from the mean.

    Arguments as for `random_normal`.
    """
    return _scaled_normal("TruncatedNormal", "truncated_normal", shape, mean, stddev, dtype, seed, name)


def _scaled_normal(
    op_type: str, default_name: str, shape: Any, mean: Any, stddev: Any, dtype: Any, seed: int | None, name: str | None
) -> Tensor:
    kind = _floating(dtype, default_name)
    with op_scope([shape, mean, stddev], name, default_name) as scope:
        mean = convert_to_tensor(mean, kind, "mean")
        stddev = convert_to_tensor(stddev, kind, "stddev")
        scaled = apply("Mul", [_sample(op_type, shape, kind, seed), stddev], name="mul")
        return apply("Add", [scaled, mean], name=scope)


# -- uniform -----------------------------------------------------------------------------------------------------------


def _of_ints(ctx: ShapeContext) -> Shapes:
    for bound in ctx.shapes[1:]:
        bound.assert_has_rank(0)
    low, high = ctx.value(1), ctx.value(2)
    if low is not None and high is not None and low >= high:
        raise ValueError(f"Need minval < maxval, got {low} >= {high}")
    return _of_shape_input(ctx)


define(
    "RandomUniformInt",
    shape=_of_ints,
    allowed=(INDEX, INDEX),
    same_from=1,
    result=lambda types, attrs: types[1:2],
    stateful=True,
    inputs="shape minval maxval",
    type_attrs="T Tout Tout",
    attrs={"seed": 0, "seed2": 0},
)
not_differentiable("RandomUniformInt")


def random_uniform(
    shape: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Samples of the uniform distribution on [minval, maxval).

    shape: a list or an int vector tensor; maxval: 1.0 by default, to be given for ints; dtype: a floating-point type,
    int32 or int64; seed: see `set_random_seed`. Of ints, minval must be below maxval: else a ValueError if that is
    known, or InvalidArgumentError when run.
    """
    kind = as_dtype(dtype).base_dtype
    if kind not in REAL | INDEX:
        raise TypeError(f"random_uniform gives floating-point numbers, int32 or int64, not {kind.name}")
    if maxval is None and kind in INDEX:
        raise ValueError(f"Must specify maxval for integer dtype {kind.name}.{at_user_line()}")
    with op_scope([shape, minval, maxval], name, "random_uniform") as scope:
        low = convert_to_tensor(minval, kind, "min")
        high = convert_to_tensor(1 if maxval is None else maxval, kind, "max")
        if kind in INDEX:
            return apply("RandomUniformInt", [shape, low, high], seed_attrs(seed), scope)
        span = apply("Sub", [high, low], name="sub")
        scaled = apply("Mul", [_sample("RandomUniform", shape, kind, seed), span], name="mul")
        return apply("Add", [scaled, low], name=scope)


# -- shuffle -----------------------------------------------------------------------------------------------------------

define(
    "RandomShuffle",
    shape=shape_rules.unchanged,
    allowed=ANY,
    stateful=True,
    inputs="value",
    attrs={"seed": 0, "seed2": 0},
)
not_differentiable("RandomShuffle")


def random_shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """`value` with its rows (the slices along dimension 0) in random order; seed: see `set_random_seed`."""
    return apply("RandomShuffle", [value], seed_attrs(seed), name)
