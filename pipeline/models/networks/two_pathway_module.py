"""The two-pathway video network as torch modules, under the names of its published checkpoint.

Written from a description of the published architecture (Bakhtiari et al. 2021) and the checkpoint's tensors.
Importing this module imports torch.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import conv3d, leaky_relu, relu

STEM_KERNELS = 32
N_ROTATIONS = 4
PATH_CHANNELS = 64
N_BLOCKS = 10
N_PATHS = 2
N_GIVEN, N_PREDICTED = 5, 3
"""Stretches of video that the future is predicted from, and stretches that are predicted."""


class RotatedConvolution(nn.Module):
    """Spatio-temporal convolution with one bank of kernels, rotated by 0°, 90°, 180° and 270° in the image plane.

    (n, 3, t, y, x) → (n, 128, t, y / 2, x / 2); channels are the rotations one after the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(STEM_KERNELS, 3, 5, 7, 7))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        kernels = torch.cat([torch.rot90(self.weight, turns, (3, 4)) for turns in range(N_ROTATIONS)])
        return conv3d(clips, kernels, stride=(1, 2, 2), padding=(2, 3, 3))


class Stem(nn.Module):
    """Convolution, normalisation, leaky ReLU and maximum over neighbours: 128 channels at a quarter of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = RotatedConvolution()
        self.bn1 = nn.BatchNorm3d(STEM_KERNELS * N_ROTATIONS)
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        maps: torch.Tensor = self.pool(leaky_relu(self.bn1(self.conv1(clips)), 0.1))
        return maps


class Bottleneck(nn.Module):
    """Over time, then over space, then back to the block's channels; each followed by batch normalisation."""

    def __init__(self, n_in: int, n_inner: int, n_out: int, n_frames: int) -> None:
        super().__init__()
        self.a = nn.Conv3d(n_in, n_inner, (n_frames, 1, 1), padding=(n_frames // 2, 0, 0), bias=False)
        self.a_bn = nn.BatchNorm3d(n_inner)
        self.b = nn.Conv3d(n_inner, n_inner, (1, 3, 3), padding=(0, 1, 1), bias=False)
        self.b_bn = nn.BatchNorm3d(n_inner)
        self.c = nn.Conv3d(n_inner, n_out, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(n_out)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        maps = relu(self.a_bn(self.a(maps)))
        maps = relu(self.b_bn(self.b(maps)))
        out: torch.Tensor = self.c_bn(self.c(maps))
        return out


class ResidualBlock(nn.Module):
    """Bottleneck plus skip, then ReLU. In training the bottleneck is left out for a random fifth of the clips."""

    drop_rate = 0.2

    def __init__(self, n_in: int, n_inner: int, n_out: int, n_frames: int) -> None:
        super().__init__()
        self.halves = n_in != n_out
        if self.halves:
            self.branch1 = nn.Conv3d(n_in, n_out, 1, bias=False)
            self.branch1_bn = nn.BatchNorm3d(n_out)
        self.branch2 = Bottleneck(n_in, n_inner, n_out, n_frames)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        skip = self.branch1_bn(self.branch1(maps)) if self.halves else maps
        branch = self.branch2(maps)
        if self.training:
            kept = torch.rand(len(branch), 1, 1, 1, 1, device=branch.device) >= self.drop_rate
            branch = branch * kept / (1 - self.drop_rate)
        return relu(skip + branch)


class Pathway(nn.Module):
    """Ten residual blocks at one size; every second one looks at three frames at once, the others at one."""

    def __init__(self) -> None:
        super().__init__()
        n_stem = STEM_KERNELS * N_ROTATIONS
        blocks: OrderedDict[str, nn.Module] = OrderedDict(
            (
                f"res{block}",
                ResidualBlock(
                    n_in=PATH_CHANNELS if block else n_stem,
                    n_inner=n_stem // 8,
                    n_out=PATH_CHANNELS,
                    n_frames=3 if block % 2 else 1,
                ),
            )
            for block in range(N_BLOCKS)
        )
        self.res_blocks = nn.Sequential(blocks)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.res_blocks(maps)
        return out


class Backbone(nn.Module):
    """Stem and two pathways side by side: clips (n, 3, t, 64, 64) → (n, 128, t, 16, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.s1 = Stem()
        self.path1 = Pathway()
        self.path2 = Pathway()
        self.dropout = nn.Dropout3d(0.1)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        maps = self.s1(clips)
        out: torch.Tensor = self.dropout(torch.cat([self.path1(maps), self.path2(maps)], dim=1))
        return out


class ConvGRUCell(nn.Module):
    """Gated recurrent unit at every position by itself (1 × 1 kernels)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.reset_gate = nn.Conv2d(2 * n_channels, n_channels, 1)
        self.update_gate = nn.Conv2d(2 * n_channels, n_channels, 1)
        self.out_gate = nn.Conv2d(2 * n_channels, n_channels, 1)

    def forward(self, maps: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        both = torch.cat([maps, hidden], dim=1)
        update, reset = torch.sigmoid(self.update_gate(both)), torch.sigmoid(self.reset_gate(both))
        candidate = torch.tanh(self.out_gate(torch.cat([maps, hidden * reset], dim=1)))
        return hidden * (1 - update) + candidate * update


class Aggregator(nn.Module):
    """One recurrent cell with dropout on its state: one step over a map (n, channel, y, x)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.ConvGRUCell_00 = ConvGRUCell(n_channels)
        self.dropout = nn.Dropout(0.1)

    def forward(self, maps: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        state: torch.Tensor = self.dropout(self.ConvGRUCell_00(maps, hidden))
        return state


class TwoPathwayNetwork(nn.Module):
    """The network with what it was trained with: aggregator and predictor of contrastive predictive coding."""

    def __init__(self) -> None:
        super().__init__()
        n_channels = N_PATHS * PATH_CHANNELS
        self.backbone = Backbone()
        self.agg = Aggregator(n_channels)
        self.network_pred = nn.Sequential(
            nn.Conv2d(n_channels, n_channels, 1), nn.ReLU(), nn.Conv2d(n_channels, n_channels, 1)
        )

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        """Both pathways' last maps for clips (n, 3, t, 64, 64): (n, 128, t, 16, 16)."""
        out: torch.Tensor = self.backbone(clips)
        return out

    def predict_future(self, videos: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The training objective: the last three stretches of a video are predicted from the first five.

        Parameters
        ----------
        videos : (n, 8, 3, 5, 64, 64), eight stretches of five normalised frames

        Returns
        -------
        predictions, targets : (n, 3, 128, 16, 16)
        scores : (m, m) dot products of every prediction with every target, m = n · 3 · 16 · 16, both ordered by
            video, stretch, row and column: row i is trained to be largest at column i
        """
        n_videos, n_stretches = videos.shape[:2]
        features = self.backbone(videos.flatten(0, 1)).mean(dim=2)
        features = features.unflatten(0, (n_videos, n_stretches))
        hidden = torch.zeros_like(features[:, 0])
        for stretch in range(N_GIVEN):
            hidden = self.agg(relu(features[:, stretch]), hidden)
        predicted = []
        for _ in range(N_PREDICTED):
            predicted.append(self.network_pred(hidden))
            hidden = self.agg(relu(predicted[-1]), hidden)
        predictions, targets = torch.stack(predicted, dim=1), features[:, N_GIVEN : N_GIVEN + N_PREDICTED]
        rows, columns = (maps.movedim(2, -1).flatten(0, -2) for maps in (predictions, targets))
        return predictions, targets, rows @ columns.T
