"""Save arrays as pictures: PNGs where Pillow is installed, otherwise the plainest format there is (PPM or PGM)."""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt


def save(pixels: npt.NDArray[np.uint8], path: str | Path) -> None:
    """Write `pixels`, uint8 [height, width] (grey) or [height, width, 3] (RGB), and say where.

    A path that ends in .ppm or .pgm needs nothing but this module. Any other suffix is left to Pillow, which is the
    extra `flowc[image]`; without it this raises SystemExit with the command that installs it.
    """
    path = Path(path)
    if path.suffix in (".ppm", ".pgm"):
        _save_netpbm(pixels, path)
    else:
        _pillow().fromarray(pixels).save(path)
    print("wrote", path)


def save_animation(frames: Sequence[npt.NDArray[np.uint8]], path: str | Path, seconds: float = 0.05) -> None:
    """Write pictures of one size as a GIF that repeats, each shown for so long, and say where. Needs Pillow."""
    first, *others = [_pillow().fromarray(frame) for frame in frames]
    first.save(path, format="GIF", save_all=True, append_images=others, duration=round(1000 * seconds), loop=0)
    print("wrote", path)


def default_path(name: str) -> str:
    """NAME.png in the current folder where Pillow is installed, otherwise NAME.ppm, with a word on why."""
    if importlib.util.find_spec("PIL"):
        return f"{name}.png"
    print("Pillow is not installed (pip install 'flowc[image]'): the picture will be a .ppm", file=sys.stderr)
    return f"{name}.ppm"


def _save_netpbm(pixels: npt.NDArray[np.uint8], path: Path) -> None:
    grey = pixels.ndim == 2
    if grey and path.suffix == ".ppm":
        pixels, grey = np.repeat(pixels[:, :, None], 3, axis=2), False
    height, width = pixels.shape[:2]
    header = f"{'P5' if grey else 'P6'} {width} {height} 255\n".encode()
    path.write_bytes(header + np.ascontiguousarray(pixels).tobytes())


def _pillow() -> ModuleType:
    try:
        from PIL import Image
    except ImportError:
        sys.exit("pictures other than .ppm and .pgm need Pillow: pip install 'flowc[image]'")
    return Image
