"""Deep Dream: a picture is changed such that a layer of a trained network sees more and more of what it looks for.

    python deep_dream.py [PICTURE] [--image FILE] [--layer mixed2] [--channel 5]

Gradient ascent on the layer's activation, from small to large scales. Starts from an image file, or else from noise.
Ctrl-C writes the picture as it is; to go on from there, give it as `--image`. The network is the one that
`inception.py` trains; where there is none yet, it is trained first.

Source: A. Mordvintsev, C. Olah, M. Tyka, "Inceptionism: going deeper into neural networks", 2015.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import inception
import numpy as np
import numpy.typing as npt
import picture
from tqdm import tqdm

import flowc as tf

Pixels = npt.NDArray[np.float32]  # [height, width, 3], 0 … 255

OCTAVE_SCALE = 1.4  # from one octave to the next
MOST_SHIFT = 8  # pixels, at random in each step, so that no grid shows


class Dreamer:
    """The network with the gradient of a layer's activation with respect to the image."""

    def __init__(self, folder: Path, layer: str, channel: int | None) -> None:
        """Loads the network into the default graph. `channel`: of the layer, or None for what excites all of it."""
        self.image = tf.placeholder(tf.float32, [None, None, 3])
        (activation,) = inception.load(folder, tf.expand_dims(self.image, 0), [f"{layer}/{inception.OUTPUT}:0"])
        wanted = tf.square(activation) if channel is None else activation[:, :, :, channel]
        self.objective = tf.reduce_mean(wanted)
        (gradient,) = tf.gradients(self.objective, self.image)
        gradient = smoothed(gradient)
        # Of a size that does not depend on the layer, so that one rate does for all.
        self.direction = gradient / (tf.reduce_mean(tf.abs(gradient)) + 1e-8)
        self.size = tf.placeholder(tf.int32, [2])
        self.resized = tf.squeeze(tf.image.resize_bilinear(tf.expand_dims(self.image, 0), self.size), [0])

    def steps(self, sess: tf.Session, image: Pixels, options: argparse.Namespace) -> Iterator[tuple[Pixels, float]]:
        """The image at full size and the activation, after each step."""
        random = np.random.default_rng(options.seed)
        full = np.array(image.shape[:2])
        for octave in reversed(range(options.octaves)):
            size = np.maximum(full / OCTAVE_SCALE**octave, inception.SIZE).astype(np.int32)
            small = sess.run(self.resized, {self.image: image, self.size: size})
            dream = small
            for _ in range(options.steps):
                dream, activation = self._step(sess, dream, options.rate, random)
                # What the smaller image lost of the details is kept.
                change = sess.run(self.resized, {self.image: dream - small, self.size: full.astype(np.int32)})
                yield np.clip(image + change, 0, 255), activation
            image = np.clip(image + change, 0, 255)

    def _step(self, sess: tf.Session, image: Pixels, rate: float, random: np.random.Generator) -> tuple[Pixels, float]:
        """The image after a step uphill, and the activation before it."""
        shift = random.integers(-MOST_SHIFT, MOST_SHIFT, 2, endpoint=True)
        moved = np.roll(image, shift, (0, 1))
        direction, activation = sess.run([self.direction, self.objective], {self.image: moved})
        return np.clip(image + rate * np.roll(direction, -shift, (0, 1)), 0, 255), float(activation)


def smoothed(gradient: tf.Tensor) -> tf.Tensor:
    """Without what changes from pixel to pixel, which excites the network but shows nothing."""
    smooth = tf.expand_dims(gradient, 0)
    for _ in range(2):
        smooth = tf.nn.avg_pool(smooth, ksize=[1, 5, 5, 1], strides=[1, 1, 1, 1], padding="SAME")
    return tf.squeeze(smooth, [0])


def noise(size: int, seed: int | None) -> Pixels:
    """Grey with noise."""
    return np.random.default_rng(seed).uniform(90, 166, (size, size, 3)).astype(np.float32)


def read(path: Path) -> Pixels:
    """The picture in a JPEG or PNG file."""
    with tf.Graph().as_default(), tf.Session() as sess:
        decode = tf.image.decode_png if path.suffix == ".png" else tf.image.decode_jpeg
        return sess.run(tf.cast(decode(path.read_bytes(), channels=3), tf.float32))


def dream(options: argparse.Namespace) -> Pixels:
    """The picture after all steps, or after those before Ctrl-C."""
    image = noise(options.size, options.seed) if options.image is None else read(options.image)
    with tf.Graph().as_default(), tf.Session() as sess:
        dreamer = Dreamer(options.folder, options.layer, options.channel)
        inception.restore(options.folder, sess)
        steps = tqdm(dreamer.steps(sess, image, options), total=options.octaves * options.steps, disable=None)
        try:
            for result, activation in steps:
                image = result
                steps.set_postfix(activation=f"{activation:.3f}")
            print(f"mean activation of {options.layer}: {activation:.3f}")
        except KeyboardInterrupt:
            print("stopped")
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", help="the file to write (default: deep_dream.png)")
    parser.add_argument("--image", type=Path, help="the JPEG or PNG file to start from (default: noise)")
    parser.add_argument("--size", type=int, default=256, help="rows and columns of the noise (256)")
    parser.add_argument("--layer", default="mixed2", choices=inception.LAYERS, help="(mixed2)")
    parser.add_argument("--channel", type=int, help="what the layer shall see: one of its channels (default: all)")
    parser.add_argument("--octaves", type=int, default=4, help="scales, from small to full size (4)")
    parser.add_argument("--steps", type=int, default=30, help="steps at each scale (30)")
    parser.add_argument("--rate", type=float, default=1.0, help="mean change of a pixel in a step, of 255 (1)")
    parser.add_argument("--folder", type=Path, default=Path("inception"), help="the network's (inception)")
    parser.add_argument("--seed", type=int, help="makes a run repeatable")
    options = parser.parse_args()
    inception.ready(options.folder)
    path = options.picture or picture.default_path("deep_dream")
    picture.save(dream(options).astype(np.uint8), path)


if __name__ == "__main__":
    main()
