"""A small convolutional encoder of pictures, made to be trained on a processor.

Half of the picture's size is gone after the first layer, where most of the operations of usual networks are; what is
left lies at 16×16, 8×8, 4×4 and 2×2 for pictures of 32 px. With a width of 32 it has 0.59 M parameters and takes 10.8 M
multiplications and additions a picture. Importing this module imports torch.
"""

from __future__ import annotations

import torch
from torch import nn

from pipeline.models.torch.hooks import Tap

N_LAYERS = 7
"""The stem and ``layer1`` to ``layer6``: every other one halves the size and doubles the channels."""


class ConvLayer(nn.Module):
    """3×3 convolution, batch normalisation, ReLU; the input is added where it has the shape of the output."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n_out)
        self.adds_input = stride == 1 and n_in == n_out
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = self.norm(self.conv(maps))
        return torch.relu(made + maps if self.adds_input else made)


class SmallConv(nn.Module):
    """Pictures (n, 3, y, x), standardised, to features (n, 8 · width): the last maps averaged over space.

    Parameters
    ----------
    width : channels of the stem and of ``layer1``; 64, 128 and 256 follow where it is 32
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.stem = ConvLayer(3, width, 2)
        channels = width
        for number in range(1, N_LAYERS):
            halves = number % 2 == 0
            self.add_module(f"layer{number}", ConvLayer(channels, channels * (2 if halves else 1), 2 if halves else 1))
            channels *= 2 if halves else 1
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.n_features = channels

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        maps = pictures
        for name in self.taps():
            maps = self.get_submodule(name)(maps)
        features: torch.Tensor = self.pool(maps).flatten(1)
        return features

    def taps(self) -> dict[str, Tap]:
        """``stem`` and ``layer1`` to ``layer6``, (n, channel, y, x) after their ReLU."""
        return {name: Tap(name) for name in ("stem", *(f"layer{number}" for number in range(1, N_LAYERS)))}
