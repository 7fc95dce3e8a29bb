"""A small network on sound whose layers say different things about it, so that a planted layer can be told from others.

Each layer is a set of cosines of random mixtures of the layer before (random Fourier features), the first of the
logarithmic power in bands of a window. Networks of different seeds say different things as well.
"""

from __future__ import annotations

import itertools

import torch

N_LAYERS = 7
WIDTH = 24
N_BANDS = 16
SPREAD = 2.0


class Cosines(torch.nn.Module):
    """cos(W x + b) of inputs of variance about ½."""

    def __init__(self, n_inputs: int, generator: torch.Generator) -> None:
        super().__init__()
        scale = SPREAD / (0.5 * n_inputs) ** 0.5
        self.weight = torch.nn.Parameter(torch.randn(WIDTH, n_inputs, generator=generator) * scale)
        self.phase = torch.nn.Parameter(torch.rand(WIDTH, generator=generator) * 6.2832)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cos(x @ self.weight.T + self.phase)


class PlantedNet(torch.nn.Module):
    """Waveforms (n, sample) → (n, WIDTH) of each layer."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        sizes = [N_BANDS] + [WIDTH] * (N_LAYERS - 1)
        self.blocks = torch.nn.ModuleList(Cosines(size, generator) for size in sizes)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(wave.double()).abs().square()
        edges = torch.logspace(1.0, torch.tensor(float(power.shape[1])).log10(), N_BANDS + 1).long()
        bands = [power[:, a : max(b, a + 1)].mean(dim=1) for a, b in itertools.pairwise(edges)]
        x = torch.log10(torch.stack(bands, dim=1) + 1e-3).float()
        for block in self.blocks:
            x = block(x)
        return x


def build(seed: int) -> torch.nn.Module:
    return PlantedNet(seed).eval()
