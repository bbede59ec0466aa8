"""What training programs share: options, a progress bar, checkpoints to go on from, input threads, and pictures.

options = parser(__doc__, "folder", steps=1000).parse_args()
with tf.Session() as sess, Training(sess, global_step, options, examples=64) as training:
    for step in training:
        training.note(sess.run([loss, train_op], feeds)[0])
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Final

from tqdm import tqdm

import flowc as tf

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CHECKPOINT: Final = "model.ckpt"
LOSSES: Final = "losses.csv"  # beside the checkpoints, so that the curve of a training that was resumed is whole


def parser(documentation: str | None, folder: str, steps: int) -> argparse.ArgumentParser:
    """The options that every training program has; `documentation` is the program's."""
    result = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = result.add_argument
    add("--steps", "--max_steps", type=int, default=steps, help=f"training steps in all (default {steps})")
    add("--every", type=int, default=100, help="steps from one line of output to the next (100)")
    add("--save-every", type=int, default=1000, help="steps from one checkpoint to the next (1000)")
    add("--folder", "--train_dir", type=Path, default=Path(folder), help=f"for checkpoints and pictures ({folder})")
    add("--fresh", action="store_true", help="begin anew where there is a checkpoint")
    add("--seed", type=int, help="makes a run repeatable")
    return result


class Training:
    """Training steps that show how they go, and go on where an earlier run stopped.

    Entering restores the latest checkpoint in `options.folder`, or else initialises all variables. A checkpoint is
    saved on leaving and every `options.save_every` steps. Ctrl-C lets the step that runs come to its end, and is then
    the end of the loop, no error; a second one is a KeyboardInterrupt.

    Attributes:
        losses: pairs of a step, and the mean loss of the steps up to it since the pair before.
        interrupted: whether Ctrl-C ended the loop.
    """

    def __init__(
        self,
        sess: tf.Session,
        global_step: tf.Variable,
        options: argparse.Namespace,
        examples: int,
        unit: str = "examples",
    ) -> None:
        """`global_step` counts the steps, as `Optimizer.minimize` does; `examples`: how many a step takes."""
        self.sess, self.global_step, self.options = sess, global_step, options
        self.examples, self.unit = examples, unit
        self.losses: list[tuple[int, float]] = []
        self.interrupted = False
        self.saver = tf.train.Saver(max_to_keep=2)
        self._recent: list[float] = []
        self._since = perf_counter()

    @property
    def step(self) -> int:
        """How many steps were taken, those of earlier runs included."""
        return int(self.sess.run(self.global_step))

    def __enter__(self) -> Training:
        self.options.folder.mkdir(parents=True, exist_ok=True)
        self.sess.run(tf.initialize_all_variables())
        if not self.options.fresh:
            self._restore()
        total, done = self.options.steps * self.examples, self.step * self.examples
        self.bar = tqdm(total=total, initial=done, unit=f" {self.unit}", unit_scale=True, disable=None)
        self._catch_interrupts()
        return self

    def _restore(self) -> None:
        state = tf.train.get_checkpoint_state(str(self.options.folder))
        if state is None:
            return
        self.saver.restore(self.sess, state.model_checkpoint_path)
        self.saver.set_last_checkpoints(list(state.all_model_checkpoint_paths))
        self._read_losses(self.step)
        print(f"goes on from {state.model_checkpoint_path}")

    def __iter__(self) -> Iterator[int]:
        """The numbers of the steps to take, from 1 or from after the last one that was taken."""
        for step in range(self.step + 1, self.options.steps + 1):
            if self.interrupted:
                return
            yield step
            if step % self.options.save_every == 0:
                self.save()

    def note(self, loss: float) -> None:
        """A step was taken: move the bar on, and now and then print the mean of the losses since the last time.

        Raises FloatingPointError for a loss that is no number any more; the last checkpoint stays.
        """
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} in step {self.step}: try a smaller learning rate")
        self.bar.update(self.examples)
        self._recent.append(float(loss))
        if len(self._recent) == self.options.every:
            self._print()

    def _print(self) -> None:
        mean, count = sum(self._recent) / len(self._recent), len(self._recent)
        self._recent.clear()
        step, now = self.step, perf_counter()
        rate = count * self.examples / (now - self._since)
        self._since = now
        self.losses.append((step, mean))
        self.bar.set_postfix(loss=f"{mean:.3f}")
        self.say(f"step {step}: loss {mean:.3f}, {rate:,.0f} {self.unit} a second")

    def say(self, line: str) -> None:
        """Print a line beside the progress bar."""
        tqdm.write(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release_interrupts()
        self.bar.close()
        if kind is not None:
            return
        path = self.save()
        if self.interrupted:
            print(f"stopped: the next run goes on from {path}")

    def save(self) -> str:
        """Save the variables, and the losses beside them; returns the checkpoint's path."""
        with (self.options.folder / LOSSES).open("w", newline="") as file:
            csv.writer(file).writerows(self.losses)
        return self.saver.save(self.sess, str(self.options.folder / CHECKPOINT), global_step=self.step)

    def _read_losses(self, last: int) -> None:
        path = self.options.folder / LOSSES
        rows = csv.reader(path.read_text().splitlines()) if path.exists() else ()
        self.losses = [(int(step), float(loss)) for step, loss in rows if int(step) <= last]

    # -- Ctrl-C --------------------------------------------------------------------------------------------------------

    def _catch_interrupts(self) -> None:
        self._handler: Any = None
        if threading.current_thread() is threading.main_thread():  # which alone gets signals
            self._handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self.interrupted = True
        self._release_interrupts()

    def _release_interrupts(self) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None


# -- around the loop ---------------------------------------------------------------------------------------------------


@contextmanager
def input_threads(sess: tf.Session) -> Iterator[tf.train.Coordinator]:
    """The threads that fill the queues of the session's graph run while the block does.

    What one of them raises, such as for a file that is damaged, is raised at the end of the block, in place of the
    error of the step that found its queue closed.
    """
    coord = tf.train.Coordinator()
    threads = tf.train.start_queue_runners(sess, coord)
    try:
        yield coord
    except tf.errors.OpError as error:
        coord.request_stop(error)
    finally:
        coord.request_stop()
        coord.join(threads)


def summary_writer(folder: Path, graph: tf.Graph) -> tf.train.SummaryWriter | None:
    """What writes event files to `folder`, with the graph; None, with a word on why, where tensorboard is missing."""
    if importlib.util.find_spec("tensorboard"):
        return tf.train.SummaryWriter(str(folder), graph_def=graph)
    print("no summaries are written without tensorboard: pip install 'flowc[tensorboard]'")
    return None


# -- pictures ----------------------------------------------------------------------------------------------------------


def figure(width: float, height: float) -> Figure | None:
    """A figure of so many inches; or None, with a word on what to install, where there is no matplotlib."""
    if not importlib.util.find_spec("matplotlib"):
        print("no picture without matplotlib: pip install 'flowc[plot]'")
        return None
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_losses(losses: list[tuple[int, float]], path: Path, label: str) -> None:
    """Draw a loss over the steps, if there is matplotlib."""
    picture = figure(7, 4)
    if picture is None or not losses:
        return
    axes = picture.subplots()
    axes.plot(*zip(*losses, strict=True))
    axes.set_xlabel("step")
    axes.set_ylabel(label)
    write(picture, path)


def write(picture: Figure, path: Path) -> None:
    """Save the figure, and say where."""
    picture.savefig(path, dpi=120)
    print("wrote", path)
