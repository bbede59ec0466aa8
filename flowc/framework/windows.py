"""Windows that slide over images, as those of convolution and pooling: how many there are and where they start.

With padding "SAME" there is a window at every `stride`-th index, and zeros stand around the image where windows reach
outside it: half of them before it, the odd one after it. With "VALID" all windows lie inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PADDINGS = ("SAME", "VALID")


@dataclass(frozen=True)
class Windows:
    """The `count` windows of `size` along one axis; window i starts at i·stride - before."""

    count: int
    size: int
    stride: int
    before: int

    def after(self, length: int) -> int:
        """How many zeros the last window needs after an axis of `length`."""
        return max(0, (self.count - 1) * self.stride + self.size - self.before - length) if self.count else 0


def windows(length: int, size: int, stride: int, padding: str) -> Windows:
    """The windows along an axis of `length`. ValueError where a VALID one does not fit."""
    count = window_count(length, size, stride, padding)
    assert count is not None
    zeros = max((count - 1) * stride + size - length, 0) if padding == "SAME" else 0
    return Windows(count, size, stride, zeros // 2)


def window_count(length: int | None, size: int | None, stride: int, padding: str) -> int | None:
    """How many windows there are along an axis; None where that is not known. Errors as for `windows`."""
    if length is None:
        return None
    if padding == "SAME":
        return -(-length // stride)
    if size is None:
        return None
    if size > length:
        raise ValueError(f"A window must not be larger than the input with padding VALID: {size} against {length}")
    return (length - size) // stride + 1


def checked_padding(padding: Any) -> str:
    """`padding`; ValueError if it is none."""
    if padding not in PADDINGS:
        raise ValueError(f'Value for attr "padding" must be one of "SAME", "VALID", not {padding!r}')
    return str(padding)


def checked_strides(strides: Sequence[int], name: str = "strides") -> list[int]:
    """The four sizes or steps along batch, rows, columns and channels; ValueError if they are not, or not positive."""
    sizes = [int(size) for size in strides]
    if len(sizes) != 4:
        raise ValueError(f"{name} must have 4 elements, for batch, rows, columns and channels: {sizes}")
    if min(sizes) < 1:
        raise ValueError(f"{name} must be positive: {sizes}")
    return sizes


def image_windows(attrs: Mapping[str, Any], image: Sequence[int], size: Sequence[int]) -> tuple[Windows, Windows]:
    """The windows of [height, width] `size` over an image [height, width], by the op's strides and padding."""
    (down, across), padding = attrs["strides"][1:3], attrs["padding"]
    return windows(image[0], size[0], down, padding), windows(image[1], size[1], across, padding)
