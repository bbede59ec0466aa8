"""The second layer of deep MNIST alone: 14×14 images, 32 to 64 channels, windows of 5×5, batch 50."""

from __future__ import annotations

from bench.convolutions import Layer, convolution_work

WORK = convolution_work(
    "conv_layer", "conv 14×14, 32 → 64 channels, 5×5, batch 50: both ways", [Layer(50, 14, 32, 64, 5)], ratio=1.0
)
