"""Resident memory over many runs of flowc: `python -m bench.scripts.memory RUNS`.

Runs c = a * b with two feeds and a fresh result, and the line fit's training step, in turn. Prints one JSON line:
`{"runs": [...], "bytes": [...], "seconds": s}`: resident memory after so many runs, the first after 1 % of them.
"""

import json
import os
import sys
from time import perf_counter

from bench import works

READINGS = 20


def resident_bytes() -> int:
    """Of this process, now (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(runs: int) -> dict[str, object]:
    import flowc as tf

    steps = []
    for name in ("dispatch", "line_fit"):
        with tf.Graph().as_default():
            steps.append(works.load(name).systems["flowc"]().step)
    first, second = steps
    points = [runs // 100, *(runs * i // READINGS for i in range(1, READINGS + 1))]
    counts, sizes, done, start = [], [], 0, perf_counter()
    for point in points:
        for _ in range((point - done) // 2):
            first()
            second()
        done = point
        counts.append(done)
        sizes.append(resident_bytes())
    return {"runs": counts, "bytes": sizes, "seconds": perf_counter() - start}


if __name__ == "__main__":
    print("\n" + json.dumps(main(int(sys.argv[1]))))
