"""Rain on a pond: the damped wave equation on a 500 by 500 grid, stepped in time.

python pond.py [PICTURE] [--steps 1000] [--seed 0] [--animation pond.gif]
"""

import argparse
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import picture
from tqdm import tqdm

import flowc as tf

SIZE = 500
DROPS = 40
TIME_STEP = 0.03
DAMPING = 0.04
FRAME_STEPS = 20  # from one picture of the animation to the next
# The nine-point stencil of the Laplace operator; beyond the edge the water is flat.
STENCIL = np.float32([[0.5, 1, 0.5], [1, -6, 1], [0.5, 1, 0.5]])


def laplace(height: tf.Tensor) -> tf.Tensor:
    """The Laplacian of `height`, [SIZE, SIZE]: a weighted sum of shifted views of it."""
    padded = tf.pad(height, [[1, 1], [1, 1]])
    shifted = [
        padded[row : row + SIZE, column : column + SIZE] * float(weight)
        for (row, column), weight in np.ndenumerate(STENCIL)
    ]
    return tf.add_n(shifted)


def drops(seed: int) -> npt.NDArray[np.float32]:
    """A still pond that `DROPS` raindrops have just hit."""
    random = np.random.default_rng(seed)
    height = np.zeros((SIZE, SIZE), np.float32)
    for row, column in random.integers(0, SIZE, (DROPS, 2)):
        height[row, column] = random.random()
    return height


def simulate(height: npt.NDArray[np.float32], steps: int) -> npt.NDArray[np.float32]:
    """The height of the water after `steps` steps of TIME_STEP, from rest at `height`."""
    *_, last = states(height, steps, every=steps)
    return last


def states(height: npt.NDArray[np.float32], steps: int, every: int) -> Iterator[npt.NDArray[np.float32]]:
    """The height of the water at first, after every so many steps of TIME_STEP, and after the last."""
    level = tf.Variable(height)
    speed = tf.Variable(np.zeros_like(height))
    # Both updates read the values from before the step.
    next_level = level + TIME_STEP * speed
    next_speed = speed + TIME_STEP * (laplace(level) - DAMPING * speed)
    step = tf.group(level.assign(next_level), speed.assign(next_speed))

    with tf.Session() as sess:
        sess.run(tf.initialize_all_variables())
        yield height
        for number in tqdm(range(1, steps + 1), disable=None, unit="step"):
            sess.run(step)
            if number % every == 0 or number == steps:
                yield sess.run(level)


def grey(level: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The water as a picture: the higher, the brighter."""
    return np.clip((level + 0.1) / 0.2 * 255, 0, 255).astype("uint8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", nargs="?", help="the file to write (default: pond.png)")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--animation", help="the GIF to write, of all the time (needs 'flowc[image]')")
    options = parser.parse_args()
    path = options.picture or picture.default_path("pond")
    every = FRAME_STEPS if options.animation else options.steps
    frames = [grey(level) for level in states(drops(options.seed), options.steps, every)]
    picture.save(frames[-1], path)
    if options.animation:
        picture.save_animation(frames, options.animation)


if __name__ == "__main__":
    main()
