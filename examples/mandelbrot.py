"""The Mandelbrot set: 600 by 520 points of complex64, iterated together until they escape.

python mandelbrot.py [PICTURE] [--steps 200] [--animation mandelbrot.gif]
"""

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import picture
from tqdm import tqdm

import flowc as tf

FRAME_STEPS = 2  # from one picture of the animation to the next


def escape_counts(steps: int) -> npt.NDArray[np.float32]:
    """For each point c of the grid, in how many of `steps` rounds of z = z² + c it stayed within |z| < 4."""
    *_, last = all_counts(steps, every=steps)
    return last


def all_counts(steps: int, every: int) -> Iterator[npt.NDArray[np.float32]]:
    """The counts of `escape_counts` at first, after every so many rounds, and after the last."""
    imaginary, real = np.mgrid[-1.3:1.3:0.005, -2:1:0.005]
    c = tf.constant((real + 1j * imaginary).astype("complex64"))
    z = tf.Variable(c)
    count = tf.Variable(tf.zeros_like(c, "float32"))

    next_z = z * z + c
    within = tf.complex_abs(next_z) < 4
    # Both updates read the same old z: the group is one step.
    step = tf.group(z.assign(next_z), count.assign_add(tf.cast(within, "float32")))

    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        yield sess.run(count)
        for number in tqdm(range(1, steps + 1), disable=None, unit="step"):
            sess.run(step)
            if number % every == 0 or number == steps:
                yield sess.run(count)


def colour(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Colours that go round with the count; points that never escaped are black."""
    angle = counts[:, :, None] * (2 * np.pi / 20)
    rgb = 128 + np.cos(angle + np.array([2.4, 1.2, 0.0])) * [100, 70, 120]
    rgb[counts == counts.max()] = 0
    return np.clip(rgb, 0, 255).astype("uint8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", help="the file to write (default: mandelbrot.png)")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--animation", help="the GIF to write, of how the set appears (needs 'flowc[image]')")
    options = parser.parse_args()
    path = options.picture or picture.default_path("mandelbrot")
    every = FRAME_STEPS if options.animation else options.steps
    frames = [colour(counts) for counts in all_counts(options.steps, every)]
    picture.save(frames[-1], path)
    if options.animation:
        picture.save_animation(frames, options.animation, seconds=0.1)


if __name__ == "__main__":
    main()
