"""Says what a picture shows, with a network that is loaded from files: its graph, its variables and its classes' names.

    python classify_image.py [--image FILE] [--folder inception] [--top 5]

The file is a JPEG or PNG of any size; without one, a picture is drawn, and kept for you to see. The network is the one
that `inception.py` trains; where there is none yet, it is trained first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import inception
import numpy as np
import numpy.typing as npt
import picture

import flowc as tf
from flowc.models.image.cifar10 import make_data


def scores(folder: Path, content: bytes) -> npt.NDArray[np.float32]:
    """The probability of each class for the picture in a JPEG or PNG file's content."""
    is_png = content.startswith(b"\x89PNG")
    with tf.Graph().as_default(), tf.Session() as sess:
        contents = tf.placeholder(tf.string, [])
        image = (tf.image.decode_png if is_png else tf.image.decode_jpeg)(contents, channels=3)
        images = tf.image.resize_bilinear(tf.expand_dims(image, 0), [inception.SIZE, inception.SIZE])
        (softmax,) = inception.load(folder, images, ["softmax:0"])
        inception.restore(folder, sess)
        return sess.run(softmax, {contents: content})[0]


def drawn(seed: int | None) -> Path:
    """A new picture of some class, as a file in the current folder."""
    random = np.random.default_rng(seed)
    pixels = make_data.draw(random.integers(0, len(inception.CLASSES), 1), 96, random)[0]
    path = Path("classify_image.png")
    picture.save(pixels, path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", type=Path, help="a JPEG or PNG file (default: one is drawn)")
    parser.add_argument("--folder", type=Path, default=Path("inception"), help="the network's (inception)")
    parser.add_argument("--top", type=int, default=5, help="how many classes to print (5)")
    parser.add_argument("--seed", type=int, help="of the picture that is drawn")
    options = parser.parse_args()

    inception.ready(options.folder)
    names = (options.folder / inception.NAMES).read_text().splitlines()
    probabilities = scores(options.folder, (options.image or drawn(options.seed)).read_bytes())
    for label in np.argsort(-probabilities)[: options.top]:
        print(f"{names[label]} (score = {probabilities[label]:.5f})")


if __name__ == "__main__":
    main()
