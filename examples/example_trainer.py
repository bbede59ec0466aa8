"""Guide, chapter 1.2.7: the greatest eigenvalue of a 2×2 matrix by power iteration, in several sessions at once.

    python example_trainer.py [--sessions 10] [--threads 2] [--steps 10] [--device /gpu:0]

Each session has a graph of its own, and threads that run it at the same time, each from another vector. A line says
which session and which of its threads found what: 000009/000001 lambda = 2.000000 x = [0.894427 -0.447214] …
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

import flowc as tf

MATRIX = [[3.0, 2.0], [-1.0, 0.0]]  # its eigenvalues are 2 and 1

Vector = npt.NDArray[np.float32]


@dataclass
class Found:
    """What an iteration ended with: λ x ≈ y = A x."""

    eigenvalue: float
    x: Vector
    y: Vector

    def __str__(self) -> str:
        x, y = (f"[{v[0, 0]:.6f} {v[1, 0]:.6f}]" for v in (self.x, self.y))
        return f"lambda = {self.eigenvalue:.6f} x = {x} y = {y}"


class PowerIteration:
    """A session whose graph makes one step: y = A x, and the next x = y / |y|."""

    def __init__(self, device: str) -> None:
        with tf.Graph().as_default() as graph, tf.device(device):
            self.x = tf.placeholder(tf.float32, [2, 1])
            self.y = tf.matmul(tf.constant(MATRIX), self.x)
            self.next_x = self.y / tf.sqrt(tf.reduce_sum(tf.square(self.y)))
            self.eigenvalue = tf.reduce_sum(self.x * self.y) / tf.reduce_sum(tf.square(self.x))
        self.session = tf.Session(graph=graph, config=tf.ConfigProto(allow_soft_placement=True))

    def run(self, start: Vector, steps: int) -> Found:
        """Iterates from `start`, [2, 1]."""
        x = start
        for _ in range(steps):
            x = self.session.run(self.next_x, {self.x: x})
        return Found(*self.session.run([self.eigenvalue, self.x, self.y], {self.x: x}))


def iterate(sessions: int, threads: int, steps: int, device: str, seed: int) -> dict[tuple[int, int], Found]:
    """What each thread of each session found; all of them run at once."""
    random = np.random.default_rng(seed)
    iterations = [PowerIteration(device) for _ in range(sessions)]
    places = [(session, thread) for thread in range(threads) for session in range(sessions)]
    with ThreadPoolExecutor(len(places)) as pool:
        starts = [random.uniform(-1, 1, (2, 1)).astype(np.float32) for _ in places]
        running = [
            pool.submit(iterations[session].run, start, steps)
            for (session, _), start in zip(places, starts, strict=True)
        ]
        found = [each.result() for each in tqdm(running, disable=None, unit="threads")]
    return dict(zip(places, found, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sessions", type=int, default=10, help="how many sessions (10)")
    parser.add_argument("--threads", type=int, default=2, help="how many threads run each of them (2)")
    parser.add_argument("--steps", type=int, default=100, help="of the iteration (100)")
    parser.add_argument("--device", default="/gpu:0", help="where to compute; the CPU if it is not there (/gpu:0)")
    parser.add_argument("--seed", type=int, default=0, help="of the vectors to start from (0)")
    options = parser.parse_args()
    results = iterate(options.sessions, options.threads, options.steps, options.device, options.seed)
    for (session, thread), found in sorted(results.items()):
        print(f"{session:06}/{thread:06} {found}")


if __name__ == "__main__":
    main()
