"""The convolutions of VGG's net A, batch 16. Source: Simonyan and Zisserman 2014, https://arxiv.org/abs/1409.1556."""

from __future__ import annotations

from bench.convolutions import Layer, convolution_work

BATCH = 16
LAYERS = (
    Layer(BATCH, 224, 3, 64, 3, is_first=True),
    Layer(BATCH, 112, 64, 128, 3),
    Layer(BATCH, 56, 128, 256, 3),
    Layer(BATCH, 56, 256, 256, 3),
    Layer(BATCH, 28, 256, 512, 3),
    Layer(BATCH, 28, 512, 512, 3),
    Layer(BATCH, 14, 512, 512, 3),
    Layer(BATCH, 14, 512, 512, 3),
)
WORK = convolution_work("conv_vgg_a", "VGG-A's convolutions, batch 16: both ways", LAYERS, ratio=1.0)
