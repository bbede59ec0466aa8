"""Makes random programs: leaves of a few related shapes, then patterns of ops (`patterns.py`) that use them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import flowc as tf
from flowc.framework.dtypes import as_dtype
from tests.fuzz.program import PERIOD, Api, Array, Built, Program, Ref, Step, build

SIZES = (1, 2, 3, 4, 7, 16, 33)
TYPES = ("float32",) * 8 + ("float64", "float64", "int32", "int32", "int64", "uint8", "float16", "bool", "complex64")
LARGE = (257, 700, 1031)  # sizes at which reductions are split and threads share work
SPECIAL = (float("nan"), float("inf"), float("-inf"), -0.0, 0.0)


class Generator:
    """A program under construction, and the graph it makes."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numpy = np.random.default_rng(seed)
        self.built = Built()
        self.steps: list[Step] = []
        self.feeds: list[tuple[Ref, Array]] = []
        self.values: list[Ref] = []  # all tensors so far whose shapes are known
        self.unsized: list[Ref] = []  # the others: a run finds their sizes
        self.variables: list[Ref] = []
        self.updates: list[Ref] = []
        self.sizes = self._related_sizes()
        self.max_elements = max(20_000, 2 * int(np.prod(self.sizes)))

    # -- what patterns use ---------------------------------------------------------------------------------------------

    def add(self, function: str, *args: Any, after: Sequence[Ref] = (), **kwargs: Any) -> Ref:
        """Appends a call; its results become available to later ones. Returns the result's reference."""
        ref = self._append(Step(f"t{len(self.steps)}", function, args, kwargs, tuple(after)))
        result = self.built.objects[ref.name]
        if isinstance(result, (list, tuple)):
            made = [(Ref(ref.name, i), t) for i, t in enumerate(result)]
        else:
            made = [(ref, result)]
        for one, tensor in made:
            if isinstance(tensor, tf.Tensor):
                (self.values if tensor.get_shape().is_fully_defined() else self.unsized).append(one)
        return ref

    def feed(self, value: Array) -> Ref:
        """A new placeholder that is fed `value`."""
        ref = self.add("placeholder", Api(as_dtype(value.dtype).name), list(value.shape))
        self.feeds.append((ref, value))
        return ref

    def _append(self, step: Step) -> Ref:
        self.built.add(step)
        self.steps.append(step)
        return Ref(step.name)

    def shape(self, ref: Ref) -> tuple[int, ...]:
        """A tensor's shape."""
        return tuple(int(d) for d in self.built.tensor(ref).get_shape())

    def size(self, ref: Ref) -> int:
        """A tensor's number of elements."""
        return int(np.prod(self.shape(ref)))

    def dtype(self, ref: Ref) -> str:
        """The name of a tensor's type."""
        name: str = self.built.tensor(ref).dtype.base_dtype.name
        return name

    def kind(self, ref: Ref) -> str:
        """f, i, u, b or c, as NumPy has it."""
        return str(np.dtype(as_dtype(self.dtype(ref)).as_numpy_dtype).kind)

    def is_reference(self, ref: Ref) -> bool:
        """Whether it is a reference to a variable, which has other values at other times of a run."""
        return bool(self.built.tensor(ref).dtype.is_ref_dtype)

    def pick(self, kinds: str = "fiubc", where: Callable[[Ref], bool] | None = None) -> Ref | None:
        """One of the tensors of these kinds for which `where` holds, recent ones more often; None if there is none."""
        found = [v for v in self.values if self.kind(v) in kinds and (where is None or where(v))]
        if not found:
            return None
        return found[max(self.random.randrange(len(found)), self.random.randrange(len(found)))]

    def partner(self, ref: Ref, broadcast: bool = True) -> Ref | None:
        """A tensor of the same type whose shape is the same or, with `broadcast`, fits."""

        def fits(other: Ref) -> bool:
            if self.dtype(other) != self.dtype(ref):
                return False
            if not broadcast:
                return self.shape(other) == self.shape(ref)
            try:
                shape = np.broadcast_shapes(self.shape(other), self.shape(ref))
            except ValueError:
                return False
            return int(np.prod(shape)) <= self.max_elements

        return self.pick("fiubc", fits)

    def array(self, shape: Sequence[int], dtype: str) -> Array:
        """Random values: small, now and then special; of many, the first ones repeated, which print better."""
        if np.prod(shape) > PERIOD * 20:
            return np.resize(self.array((PERIOD,), dtype), tuple(shape))
        numpy_type = np.dtype(as_dtype(dtype).as_numpy_dtype)
        if numpy_type.kind == "b":
            return np.asarray(self.numpy.random(shape) < 0.5)
        if numpy_type.kind in "iu":
            return np.asarray(self.numpy.integers(0 if numpy_type.kind == "u" else -6, 7, shape), numpy_type)
        values = np.round(self.numpy.normal(size=shape), 3)
        if numpy_type.kind == "c":
            return np.asarray(values + 1j * np.round(self.numpy.normal(size=shape), 3), numpy_type)
        if self.random.random() < 0.08 and values.size:
            values = np.where(self.numpy.random(shape) < 0.2, self.numpy.choice(SPECIAL, shape), values)
        return np.asarray(values, numpy_type)

    def constant(self, shape: Sequence[int], dtype: str) -> Ref:
        """A new constant."""
        return self.add("constant", self.array(shape, dtype))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.random.random() < probability

    # -- making a program ----------------------------------------------------------------------------------------------

    def _related_sizes(self) -> list[int]:
        sizes = self.random.sample(SIZES, 3)
        if self.chance(0.06):
            sizes[self.random.randrange(3)] = 0
        elif self.chance(0.04):
            sizes = [self.random.choice((1, 2)), self.random.choice((3, *LARGE)), self.random.choice(LARGE)]
        return sizes

    def leaf_shape(self) -> tuple[int, ...]:
        """The last few of the program's sizes, some of them replaced by 1."""
        rank = self.random.choice((0, 1, 1, 2, 2, 2, 2, 3, 3))
        return tuple(1 if self.chance(0.15) else n for n in self.sizes[3 - rank :])

    def add_leaves(self) -> None:
        """Placeholders, constants and variables."""
        main_type = self.random.choice(TYPES)
        for _ in range(self.random.randint(2, 4)):
            dtype = main_type if self.chance(0.7) else self.random.choice(TYPES)
            shape = self.leaf_shape()
            value = self.array(shape, dtype)
            if self.chance(0.75):
                self.feed(value)
            else:
                self.add("constant", value)
        if self.chance(0.35):
            self.add_variable(main_type if main_type != "bool" else "float32")

    def add_variable(self, dtype: str) -> None:
        """A variable with a constant initial value."""
        ref = self._append(Step(f"v{len(self.steps)}", "Variable", (self.array(self.leaf_shape(), dtype),)))
        self.variables.append(ref)
        self.add("identity", ref)

    def finish(self) -> Program:
        """The program with fetches, perhaps a fed intermediate tensor, and less precisely declared placeholders."""
        used = {ref for step in self.steps for ref in step.references()}
        leaves = {s.name for s in self.steps if s.function in ("constant", "placeholder")}
        ends = [v for v in self.values if v not in used and v.name not in leaves] or self.values
        fetches = self.random.sample(ends, min(len(ends), self.random.randint(2, 6)))
        fetches += [v for v in self.random.sample(self.values, self.random.randint(0, 2)) if v not in fetches]
        fetches += [u for u in self.updates if u not in fetches]
        fetches += self.random.sample(self.unsized, min(len(self.unsized), self.random.randint(0, 2)))
        feeds = list(self.feeds)
        if self.chance(0.15):
            ref = self.random.choice(self.values)
            if all(ref != fed for fed, _ in feeds) and not self.is_reference(ref):
                feeds.append((ref, self.array(self.shape(ref), self.dtype(ref))))
        program = Program(tuple(self.steps), tuple(fetches), tuple(feeds), 2 if self.variables else 1).without_unused()
        return self._with_vague_shapes(program) if self.chance(0.3) else program

    def _with_vague_shapes(self, program: Program) -> Program:
        """The program with unknown sizes in its placeholders, unless an op needs to know them."""
        vague = replace(program, steps=tuple(map(self._vague, program.steps)))
        try:
            build(vague)
        except (ValueError, TypeError):
            return program
        return vague

    def _vague(self, step: Step) -> Step:
        if step.function != "placeholder":
            return step
        dtype, shape = step.args
        return replace(step, args=(dtype, [None if self.chance(0.5) else n for n in shape]))


Pattern = Callable[[Generator], Any]
_patterns: list[tuple[float, Pattern]] = []


def pattern(weight: float = 1.0) -> Callable[[Pattern], Pattern]:
    """Decorator: a function that appends ops to a Generator's program, or does nothing if nothing there fits."""

    def register(function: Pattern) -> Pattern:
        _patterns.append((weight, function))
        return function

    return register


def generate(seed: int, length: int = 10) -> Program:
    """A random program of about `length` patterns; the same for the same seed."""
    from tests.fuzz import image_patterns, index_patterns, patterns  # noqa: F401  # registers them

    generator = Generator(seed)
    generator.add_leaves()
    weights = [weight for weight, _ in _patterns]
    for _ in range(generator.random.randint(length // 2, length + length // 2)):
        ((_, make),) = generator.random.choices(_patterns, weights)
        make(generator)
    return generator.finish()


def api(names: Iterable[str], generator: Generator) -> str:
    """One of the names at random."""
    return generator.random.choice(list(names))
