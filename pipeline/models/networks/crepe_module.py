"""CREPE's architecture as a torch module; imported only where the network is built."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import conv1d, pad, relu


class CrepeModule(torch.nn.Module):
    """Six blocks of convolution, ReLU, batch normalisation and maximum over neighbouring steps, and a linear read-out.

    Parameters
    ----------
    channels : input and output channels of the six convolutions, 7 numbers
    n_pitches : outputs of the read-out, before the sigmoid
    """

    def __init__(self, channels: Sequence[int], n_pitches: int) -> None:
        super().__init__()
        for block in range(1, 7):
            kernel, stride = (512, 4) if block == 1 else (64, 1)
            convolution = torch.nn.Conv2d(channels[block - 1], channels[block], (kernel, 1), (stride, 1))
            self.add_module(f"conv{block}", convolution)
            norm = torch.nn.BatchNorm1d(channels[block], eps=0.0010000000474974513, momentum=0.0)
            self.add_module(f"conv{block}_BN", norm)
            self.add_module(f"pool{block}", torch.nn.MaxPool1d(2))
        self.classifier = torch.nn.Linear(4 * channels[-1], n_pitches)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Normalised frames (n, 1024) → (n, n_pitches).

        The checkpoint's kernels have a last axis of 1; without it convolution is twice as fast.
        """
        values = frames[:, None, :]
        for block in range(1, 7):
            convolution: Any = self.get_submodule(f"conv{block}")
            padding = (254, 254) if block == 1 else (31, 32)
            kernels = convolution.weight[..., 0]
            values = relu(conv1d(pad(values, padding), kernels, convolution.bias, stride=convolution.stride[0]))
            values = self.get_submodule(f"pool{block}")(self.get_submodule(f"conv{block}_BN")(values))
        read_out: torch.Tensor = self.classifier(values.transpose(1, 2).flatten(1))
        return read_out
