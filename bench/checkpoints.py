"""How fast a large model is saved and restored, beside a copy of its checkpoint by `dd`, flushed to the disk as well.

The copy reads from memory, too: the checkpoint is in the system's cache when it begins.

    python -m bench.checkpoints [--megabytes 1024] [--rounds 8] [--folder .]

Rounds take turns; the first two, in which the machine finds memory for the files, do not count. The last line printed
is JSON, every round's seconds: the row `checkpoint` of `make bench`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import flowc as tf

_VARIABLES = 32
_UNCOUNTED = 2


def seconds(work: Callable[[], object]) -> float:
    """How long the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def read(path: Path) -> None:
    """Has the system's cache hold the file."""
    chunk = bytearray(1 << 20)
    with path.open("rb", buffering=0) as file:
        while file.readinto(chunk):
            pass


def copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync"]
    subprocess.run(command, check=True, capture_output=True)


def measure(folder: Path, megabytes: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round for saving, copying and restoring."""
    elements = megabytes * (1 << 20) // 4 // _VARIABLES
    for index in range(_VARIABLES):
        tf.Variable(tf.fill([elements], float(index)), name=f"v{index}")
    saver, path = tf.train.Saver(), str(folder / "model.ckpt")
    times: dict[str, list[float]] = {"save": [], "copy": [], "restore": []}
    with tf.Session() as session:
        session.run(tf.initialize_all_variables())
        for _ in range(rounds + _UNCOUNTED):
            times["save"].append(seconds(lambda: saver.save(session, path)))
            read(Path(path))
            times["copy"].append(seconds(lambda: copy(Path(path), folder / "copy")))
            times["restore"].append(seconds(lambda: saver.restore(session, path)))
    return {name: values[_UNCOUNTED:] for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--folder", default=None, help="on the disk to measure (default: the system's temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        times = measure(Path(folder), arguments.megabytes, arguments.rounds)
    for name, values in times.items():
        middle, best = statistics.median(values), min(values)
        rate = arguments.megabytes / 1024
        print(
            f"{name:8} median {middle:.2f} s ({rate / middle:.2f} GiB/s), best {best:.2f} s ({rate / best:.2f} GiB/s)"
        )
    ratio = statistics.median(times["copy"]) / statistics.median(times["save"])
    print(f"saving runs at {ratio:.2f} of the copy's speed; at best {min(times['copy']) / min(times['save']):.2f}")
    print(json.dumps(times))


if __name__ == "__main__":
    main()
