"""The patterns of ops that random programs are made of. Each takes tensors that are there and appends a few calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.generate import Generator, api, pattern
from tests.fuzz.program import Api, Ref

SMOOTH = ["tanh", "sigmoid", "sin", "cos", "square", "neg", "abs", "identity", "erf"]
ACTIVATIONS = ["nn.relu", "nn.softplus", "nn.elu", "nn.softsign", "nn.relu6"]
STEPS = ["floor", "ceil", "sign", "round"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]
ARITHMETIC = ["add", "sub", "mul", "maximum", "minimum"]
INT_MAPS = ["neg", "abs", "square", "sign", "identity"]


# -- elementwise -------------------------------------------------------------------------------------------------------


@pattern(3)
def smooth(g: Generator) -> None:
    if x := g.pick("f"):
        for _ in range(g.random.randint(1, 2)):
            x = g.add(api(SMOOTH + ACTIVATIONS, g), x)


@pattern(1)
def of_positive(g: Generator) -> None:
    if x := g.pick("f"):
        g.add(api(["log", "sqrt", "rsqrt", "inv"], g), g.add("add", g.add("abs", x), 0.5))


@pattern(0.7)
def exponential(g: Generator) -> None:
    if x := g.pick("f"):
        g.add("exp", g.add("minimum", x, 3.0))


@pattern(0.5)
def power(g: Generator) -> None:
    if x := g.pick("f"):
        g.add("pow", x, g.random.choice([2.0, 3.0, 0.5, -1.0, 1.5]))


@pattern(0.4)
def stepwise(g: Generator) -> None:
    if x := g.pick("f"):
        g.add(api(STEPS, g), x)


@pattern(4)
def arithmetic(g: Generator) -> None:
    if x := g.pick("fiu"):
        y = g.partner(x)
        pair = [x, y] if g.chance(0.5) else [y, x]
        g.add(api(ARITHMETIC, g), *pair)


@pattern(1.5)
def with_scalar(g: Generator) -> None:
    if x := g.pick("fiuc"):
        scalar: Any = 2 if g.kind(x) in "iu" else g.random.choice([0.5, 2.0, 3.0, 1.0, -1.5, 0.0])
        pair = [x, scalar] if g.chance(0.6) else [scalar, x]
        g.add(api(["add", "sub", "mul"], g), *pair)


@pattern(1)
def quotient(g: Generator) -> None:
    if x := g.pick("f"):
        y = g.partner(x)
        g.add("div", x, g.add("add", g.add("square", y), 0.75))


@pattern(0.6)
def int_quotient(g: Generator) -> None:
    """By a constant that is not zero; seldom by a tensor, which may hold zeros: an error that both must raise."""
    if x := g.pick("iu"):
        divisor: Any = g.partner(x) if g.chance(0.15) else np.array(g.random.choice([1, 2, 3, 5]), g.dtype(x))
        g.add(api(["div", "mod"], g), x, divisor)


@pattern(0.7)
def int_map(g: Generator) -> None:
    if x := g.pick("i"):
        g.add(api(INT_MAPS, g), x)


@pattern(1)
def comparison(g: Generator) -> None:
    if x := g.pick("fiu"):
        g.add(api(COMPARISONS, g), x, g.partner(x))


@pattern(0.3)
def float_class(g: Generator) -> None:
    if x := g.pick("f"):
        g.add(api(["is_nan", "is_inf", "is_finite"], g), x)


@pattern(0.6)
def logic(g: Generator) -> None:
    if x := g.pick("b"):
        if g.chance(0.3):
            g.add("logical_not", x)
        else:
            g.add(api(["logical_and", "logical_or", "logical_xor"], g), x, g.partner(x))


@pattern(1.2)
def choice(g: Generator) -> None:
    """A select by a condition of the same shape, or one for whole rows."""
    if x := g.pick("fiubc"):
        shape = g.shape(x)
        same = g.pick("b", lambda c: g.shape(c) == shape or (len(shape) > 1 and g.shape(c) == shape[:1]))
        condition = same or g.constant(shape, "bool")
        other = g.partner(x, broadcast=False)
        g.add("select", condition, *([x, other] if g.chance(0.5) else [other, x]))


@pattern(1.2)
def cast(g: Generator) -> None:
    if x := g.pick("fiub"):
        target = g.random.choice(["float32", "float32", "float64", "int32", "int64", "float16", "bool", "uint8"])
        if g.kind(x) == "f" and target not in ("float16", "float32", "float64", "bool"):
            x = g.add("maximum", g.add("minimum", x, 100.0), 0.0 if target == "uint8" else -100.0)
        g.add("cast", x, Api(target))


@pattern(0.5)
def complex_numbers(g: Generator) -> None:
    if x := g.pick("c"):
        if g.chance(0.4):
            g.add(api(["real", "imag", "complex_abs", "conj", "neg", "square"], g), x)
        else:
            g.add(api(["add", "sub", "mul"], g), x, g.partner(x))
    elif x := g.pick("f", lambda r: g.dtype(r) in ("float32", "float64")):
        g.add("complex", x, g.partner(x))


@pattern(0.6)
def sum_of_many(g: Generator) -> None:
    if x := g.pick("fiuc"):
        g.add("add_n", [x, *(g.partner(x, broadcast=False) for _ in range(g.random.randint(0, 3)))])


@pattern(0.3)
def clipped(g: Generator) -> None:
    if x := g.pick("f"):
        g.add("clip_by_value", x, -0.7, 0.9)


# -- views -------------------------------------------------------------------------------------------------------------


@pattern(1.2)
def reshape(g: Generator) -> None:
    if x := g.pick():
        shape = list(g.random.choice(_factorisations(g.size(x))))
        if shape and g.size(x) and g.chance(0.3):
            shape[g.random.randrange(len(shape))] = -1
        g.add("reshape", x, shape)


def _factorisations(size: int) -> list[tuple[int, ...]]:
    pairs = [(d, size // d) for d in range(1, min(size, 40) + 1) if size % d == 0]
    more = [(a, 1, b) for a, b in pairs]
    return [(size,), *pairs, *more] if size else [(0,), (0, 3), (2, 0)]


@pattern(1.2)
def transpose(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 2):
        rank = len(g.shape(x))
        if g.chance(0.3):
            g.add("transpose", x)
        else:
            g.add("transpose", x, g.random.sample(range(rank), rank))


@pattern(1.2)
def slice_(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 1):
        begin, size = [], []
        for n in g.shape(x):
            start = g.random.randint(0, n) if g.chance(0.05) else g.random.randint(0, max(0, n - 1))
            begin.append(start if g.chance(0.6) else 0)
            size.append(-1 if g.chance(0.4) else g.random.randint(min(1, n - begin[-1]), n - begin[-1]))
        g.add("slice", x, begin, size)


@pattern(0.6)
def reverse(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 1):
        g.add("reverse", x, [g.chance(0.5) for _ in g.shape(x)])


@pattern(0.8)
def unit_dimensions(g: Generator) -> None:
    if x := g.pick():
        if 1 in g.shape(x) and g.chance(0.5):
            g.add("squeeze", x)
        elif len(g.shape(x)) < 4:
            g.add("expand_dims", x, g.random.randint(-1, len(g.shape(x))))


@pattern(0.7)
def split(g: Generator) -> None:
    if x := g.pick(where=lambda r: any(n > 1 for n in g.shape(r))):
        axis = g.random.choice([i for i, n in enumerate(g.shape(x)) if n > 1])
        size = g.shape(x)[axis]
        g.add("split", axis, g.random.choice([d for d in range(1, min(size, 4) + 1) if size % d == 0]), x)


@pattern(0.8)
def concat(g: Generator) -> None:
    """Along an axis, a tensor with others that have its shape or differ along the axis only."""
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 1 and g.size(r) * 3 < g.max_elements):
        shape, axis = g.shape(x), g.random.randrange(len(g.shape(x)))

        def fits(r: Ref) -> bool:
            other = g.shape(r)
            return (
                g.dtype(r) == g.dtype(x)
                and len(other) == len(shape)
                and all(a == b for i, (a, b) in enumerate(zip(other, shape, strict=True)) if i != axis)
            )

        g.add("concat", axis, [x, *(g.pick(where=fits) for _ in range(g.random.randint(1, 2)))])


@pattern(0.6)
def pack_unpack(g: Generator) -> None:
    if g.chance(0.5):
        if x := g.pick(where=lambda r: len(g.shape(r)) >= 1 and 1 <= g.shape(r)[0] <= 4):
            g.add("unpack", x)
    elif x := g.pick(where=lambda r: len(g.shape(r)) < 4 and g.size(r) * 3 < g.max_elements):
        g.add("pack", [x, *(g.partner(x, broadcast=False) for _ in range(g.random.randint(0, 2)))])


@pattern(0.5)
def tile(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 1 and g.size(r) * 8 < g.max_elements):
        g.add("tile", x, [g.random.choice([1, 1, 2, 3 if g.chance(0.8) else 0]) for _ in g.shape(x)])


@pattern(0.5)
def pad(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 1 and g.size(r) * 4 < g.max_elements):
        g.add("pad", x, [[g.random.randint(0, 2), g.random.randint(0, 1)] for _ in g.shape(x)])


@pattern(0.5)
def gather(g: Generator) -> None:
    if x := g.pick(where=lambda r: len(g.shape(r)) >= 1 and g.shape(r)[0] > 0):
        indices = g.numpy.integers(0, g.shape(x)[0], g.random.choice([(), (3,), (2, 2), (0,)])).astype(np.int32)
        g.add("gather", x, indices)


@pattern(0.4)
def of_shape(g: Generator) -> None:
    if x := g.pick("fiub"):
        g.add(api(["shape", "size", "rank", "zeros_like", "ones_like"], g), x)


# -- reductions and products -------------------------------------------------------------------------------------------


@pattern(3)
def reduction(g: Generator) -> None:
    x = g.pick("fiubc")
    if x is None:
        return
    names = {"b": ["all", "any"], "c": ["sum", "mean", "prod"]}.get(
        g.kind(x), ["sum", "sum", "mean", "max", "min", "prod"]
    )
    name = api(names, g)
    rank = len(g.shape(x))
    if name == "mean" and (g.kind(x) in "iu" and 0 in g.shape(x)):
        return
    axes = g.random.sample(range(rank), g.random.randint(0, rank))
    indices: Any = [a - rank if g.chance(0.2) else a for a in axes]
    if rank == 0 or g.chance(0.25):
        indices = None
    elif len(indices) == 1 and g.chance(0.5):
        indices = indices[0]
    g.add(f"reduce_{name}", x, indices, g.chance(0.3))


@pattern(0.5)
def arg_reduction(g: Generator) -> None:
    if x := g.pick("fiu", lambda r: len(g.shape(r)) >= 1 and 0 not in g.shape(r)):
        g.add(api(["argmax", "argmin"], g), x, g.random.randrange(len(g.shape(x))))


@pattern(1)
def matmul(g: Generator) -> None:
    if x := g.pick("f", lambda r: len(g.shape(r)) == 2):
        rows, inner = g.shape(x)
        transpose_a, transpose_b = g.chance(0.25), g.chance(0.25)
        inner = rows if transpose_a else inner
        columns = g.random.choice([1, 3, 5, 8])
        weights = g.constant((columns, inner) if transpose_b else (inner, columns), g.dtype(x))
        g.add("matmul", x, weights, transpose_a, transpose_b)


@pattern(0.5)
def row_patterns(g: Generator) -> None:
    """Softmax, layer normalisation, cross entropy over the rows of a matrix."""
    x = g.pick("f", lambda r: len(g.shape(r)) == 2 and 0 not in g.shape(r))
    if x is None:
        return
    kind = g.random.randrange(3)
    if kind == 0:
        g.add("nn.softmax", x)
    elif kind == 1:
        mean = g.add("reduce_mean", x, 1, True)
        centred = g.add("sub", x, mean)
        variance = g.add("reduce_mean", g.add("square", centred), 1, True)
        g.add("mul", centred, g.add("rsqrt", g.add("add", variance, 0.1)))
    else:
        labels = g.add("nn.softmax", g.constant(g.shape(x), g.dtype(x)))
        g.add("nn.softmax_cross_entropy_with_logits", x, labels)


@pattern(0.3)
def scaled_sum(g: Generator) -> None:
    if x := g.pick("f"):
        g.add("nn.l2_loss", x)


# -- state -------------------------------------------------------------------------------------------------------------


@pattern(1)
def assignment(g: Generator) -> None:
    if not g.variables:
        return
    variable = g.random.choice(g.variables)
    shape, dtype = g.shape(variable), g.dtype(variable)
    value = g.pick(where=lambda r: g.shape(r) == shape and g.dtype(r) == dtype and not g.is_reference(r))
    after = [g.random.choice(g.values)] if g.chance(0.3) else []
    if g.chance(0.2) and shape and shape[0]:
        indices = g.numpy.integers(0, shape[0], 2).astype(np.int32)
        update = g.add(api(["scatter_add", "scatter_sub"], g), variable, indices, g.array((2, *shape[1:]), dtype))
    else:
        update = g.add(
            api(["assign", "assign_add", "assign_sub"], g), variable, value or g.array(shape, dtype), after=after
        )
    g.updates.append(update)


@pattern(0.6)
def read_after_update(g: Generator) -> None:
    """The value of a variable's reference, behind an update or not."""
    if g.variables:
        reference = g.add("Variable.ref", g.random.choice(g.variables))
        after = [g.random.choice(g.updates)] if g.updates and g.chance(0.7) else []
        g.add("identity", reference, after=after)


# -- gradients ---------------------------------------------------------------------------------------------------------


@pattern(0.9)
def gradients(g: Generator) -> None:
    """Of a sum of some tensor, by up to two others that it may or may not depend on."""
    y = g.pick("f")
    xs = [g.pick("f") for _ in range(g.random.randint(1, 2))]
    if y is not None and None not in xs:
        total = g.add("reduce_sum", y)
        g.add("gradients", total, list(dict.fromkeys(xs)))
