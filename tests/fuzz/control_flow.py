"""`python -m tests.fuzz.control_flow --graphs N --seed S`: nested conditionals and loops against the reference.

Each graph runs with several lengths of its loops and ways through its branches, with and without its gradients, where
there are any; then its variable is compared, too. A seed that fails is printed with what differs.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import flowc as tf
from flowc.codegen.reference import run_reference

Value = Any  # a tensor of float64[3]
START = np.array([0.1, 0.2, 0.3])
RUNS = ((0, True), (3, False), (4, True))  # (the length of the loops, the way through the branches)
MAPS: Sequence[Callable[[Value], Value]] = (tf.sin, tf.tanh, tf.square, tf.neg, lambda x: x * 0.5 + 1.0)


class Nest:
    """A random graph of nested conditionals and loops over float64[3]."""

    def __init__(self, seed: int, host: bool) -> None:
        self.random = random.Random(seed)
        self.x, self.w = tf.placeholder(tf.float64, [3]), tf.placeholder(tf.float64, [3, 3])
        self.n, self.yes = tf.placeholder(tf.int32, []), tf.placeholder(tf.bool, [])
        self.variable = tf.Variable(START, name="v")
        self.uses_variable, self.uses_host = self.chance(0.4), host
        known = [self.x, self.x * 2.0]
        for _ in range(self.random.randint(1, 3)):
            known.append(self.value(known, self.random.randint(2, 5)))
        self.results = known[2:]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def value(self, known: Sequence[Value], depth: int) -> Value:
        """Something computed from the values in `known`, nested at most `depth` deep."""
        if depth <= 0 or self.chance(0.1):
            return self.random.choice(known)
        make = self.random.choices((self._map, self._sum, self._product, self._branch, self._loop), (4, 3, 3, 4, 4))[0]
        return make(known, depth)

    def feeds(self, length: int, yes: bool) -> dict[Any, Any]:
        rng = np.random.default_rng(length)
        return {self.x: rng.random(3), self.w: rng.uniform(-0.2, 0.4, (3, 3)), self.n: length, self.yes: yes}

    def gradients(self) -> list[Value]:
        """Of the sum of all results; none where some loop has no gradient."""
        total = tf.add_n([tf.reduce_sum(result) for result in self.results])
        try:
            return [g for g in tf.gradients(total, [self.x, self.w]) if g is not None]
        except (tf.errors.UnimplementedError, LookupError):
            return []

    # -- kinds of values -----------------------------------------------------------------------------------------------

    def _map(self, known: Sequence[Value], depth: int) -> Value:
        x = self.value(known, depth - 1)
        if self.uses_host and self.chance(0.3):
            (x,) = tf.py_func(np.cos, [x], [tf.float64])
            return tf.reshape(x, [3])
        return self.random.choice(MAPS)(x) * 0.7

    def _sum(self, known: Sequence[Value], depth: int) -> Value:
        operation = self.random.choice((tf.add, tf.mul, tf.sub))
        return operation(self.value(known, depth - 1), self.value(known, depth - 1)) * 0.5

    def _product(self, known: Sequence[Value], depth: int) -> Value:
        return tf.reshape(tf.matmul(tf.reshape(self.value(known, depth - 1), [1, 3]), self.w), [3])

    def _branch(self, known: Sequence[Value], depth: int) -> Value:
        outside = [self.value(known, depth - 1)] if self.chance(0.5) else []

        def then() -> Value:
            result = self.value([*known, *outside], depth - 1)
            if self.uses_variable and self.chance(0.3):
                result += tf.assign_add(self.variable, result * 0.1)
            return result

        return tf.cond(self._predicate(known), then, lambda: self.value(known, depth - 1))

    def _predicate(self, known: Sequence[Value]) -> Any:
        kinds = (
            lambda: self.yes,
            lambda: tf.logical_not(self.yes),
            lambda: self.n > 2,
            lambda: tf.reduce_sum(self.random.choice(known)) > 0.1,
            lambda: tf.constant(True),
        )
        return self.random.choice(kinds)()

    def _loop(self, known: Sequence[Value], depth: int) -> Value:
        count = self.random.choice((self.n, tf.constant(self.random.randint(0, 3))))
        starts = [self.value(known, depth - 2) for _ in range(self.random.randint(1, 3))]
        around = [*self.random.sample(list(known), min(2, len(known))), self.value(known, depth - 1)]

        def body(i: Any, *state: Value) -> list[Any]:
            return [i + 1, *self._next_state(i, state, [*state, *around], depth - 2)]

        results = tf.while_loop(lambda i, *_: i < count, body, [tf.constant(0), *starts])
        return self.random.choice(results[1:])

    def _next_state(self, i: Any, state: Sequence[Value], known: Sequence[Value], depth: int) -> list[Value]:
        new = [self.value(known, depth) * 0.8 if self.chance(0.8) else self.random.choice(state) for _ in state]
        if self.chance(0.3):
            new[0] *= 1.0 / (1.0 + tf.cast(i, tf.float64))
        if self.uses_variable and self.chance(0.3):
            with tf.control_dependencies([tf.assign(self.variable, new[0] * 0.5)]):
                new[-1] = tf.identity(new[-1])
        return new


def differences(seed: int, host: bool = False) -> Iterator[str]:
    """What the compiled graph of that seed gives that the reference does not."""
    with tf.Graph().as_default() as graph:
        nest = Nest(seed, host)
        gradients = nest.gradients()
        start = tf.initialize_all_variables()
    kinds = [nest.results, nest.results + gradients] if gradients else [nest.results]
    with tf.Session(graph=graph) as session:
        for fetches in kinds:
            for length, yes in RUNS:
                session.run(start)
                where = f"seed {seed}, {len(gradients)} gradients, length {length}, {yes}"
                yield from (f"{where}: {text}" for text in _compared(session, nest, fetches, nest.feeds(length, yes)))


def _compared(session: Any, nest: Nest, fetches: Sequence[Value], feeds: dict[Any, Any]) -> Iterator[str]:
    expected, state = run_reference(fetches, feeds, {"v": START})
    actual = session.run(fetches, feeds)
    for number, (got, want) in enumerate(zip(actual, expected, strict=True)):
        if not np.allclose(got, want, rtol=1e-9, atol=1e-11, equal_nan=True):
            yield f"fetch {number} of {len(fetches)} is {got}, not {want}"
    if not np.allclose(kept := session.run(nest.variable), state["v"], rtol=1e-9, equal_nan=True):
        yield f"the variable is {kept}, not {state['v']}"


def failures(seeds: range, host: bool = False) -> Iterator[str]:
    """All differences and errors of these seeds; `host`: with Python functions in the branches and loops."""
    for seed in seeds:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # numbers that overflow
                yield from differences(seed, host)
        except tf.errors.UnimplementedError:
            continue
        except Exception as error:
            yield f"seed {seed}: {type(error).__name__}: {error}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 1 if any graph failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.control_flow", description=__doc__)
    parser.add_argument("--graphs", type=int, default=100, help="how many random graphs (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="the first graph's seed; the others follow")
    parser.add_argument("--host", action="store_true", help="with Python functions in the branches and loops")
    options = parser.parse_args(arguments)
    count = 0
    for failure in failures(range(options.seed, options.seed + options.graphs), options.host):
        print(failure, flush=True)
        count += 1
    print(
        f"{options.graphs} graphs of control flow from seed {options.seed}: {count or 'no'} failure{'s' * (count != 1)}"
    )
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
