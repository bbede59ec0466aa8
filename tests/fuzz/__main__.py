"""`python -m tests.fuzz --graphs N --seed S`: random graphs against the reference; prints failing ones as scripts."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Iterator, Sequence

from tests.fuzz.check import Failure, check
from tests.fuzz.compare import UndefinedError
from tests.fuzz.generate import generate
from tests.fuzz.program import Program, script
from tests.fuzz.shrink import shrink


def failures(seeds: range, length: int) -> Iterator[tuple[int, Program | None, Failure]]:
    """Each seed whose program fails: (seed, program, failure); no program where making it is what failed."""
    for seed in seeds:
        program = None
        try:
            program = generate(seed, length)
            failure = check(program)
        except UndefinedError:
            continue
        except Exception:
            yield seed, program, Failure("exception", traceback.format_exc())
            continue
        if failure is not None:
            yield seed, program, failure


def report(seed: int, program: Program | None, failure: Failure, seconds: float) -> str:
    """What failed, and the smallest script that shows it."""
    text = f"seed {seed}: {failure}\n"
    if program is None:
        return text
    small = shrink(program, failure.kind, seconds)
    final = check(small) if small is not program else failure
    expected = final.expected if final is not None else []
    return text + f"shrunk from {len(program.steps)} steps to {len(small.steps)}: {final}\n\n{script(small, expected)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; the exit status is 1 if any graph failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--graphs", type=int, default=1000, help="how many random graphs (default 1000)")
    parser.add_argument("--seed", type=int, default=0, help="the first graph's seed; the others follow")
    parser.add_argument("--length", type=int, default=10, help="about how many patterns of ops a graph has")
    parser.add_argument("--most", type=int, default=5, help="stop after this many failures")
    parser.add_argument("--shrink", type=float, default=60.0, help="seconds to spend on making a failing graph small")
    options = parser.parse_args(arguments)
    count = 0
    for seed, program, failure in failures(range(options.seed, options.seed + options.graphs), options.length):
        print(report(seed, program, failure, options.shrink), "-" * 80, sep="\n", flush=True)
        count += 1
        if count == options.most:
            break
    print(f"{options.graphs} graphs from seed {options.seed}: {count or 'no'} failure{'s' * (count != 1)}")
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
