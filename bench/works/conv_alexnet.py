"""The convolutions of AlexNet, batch 16. Source: Krizhevsky 2014, https://arxiv.org/abs/1404.5997."""

from __future__ import annotations

from bench.convolutions import Layer, convolution_work

BATCH = 16
LAYERS = (
    Layer(BATCH, 227, 3, 64, 11, stride=4, padded=False, is_first=True),
    Layer(BATCH, 27, 64, 192, 5),
    Layer(BATCH, 13, 192, 384, 3),
    Layer(BATCH, 13, 384, 256, 3),
    Layer(BATCH, 13, 256, 256, 3),
)
WORK = convolution_work("conv_alexnet", "AlexNet's convolutions, batch 16: both ways", LAYERS, ratio=1.0)
