"""The two-pathway video network as torch modules, under the names of its published checkpoint.

Written from a description of the published architecture (Bakhtiari et al. 2021) and the checkpoint's tensors. It comes
in any width, and with one pathway as wide as two. Importing this module imports torch.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import conv3d, leaky_relu, relu

from pipeline.models.torch.hooks import Tap

WIDTH = 32
"""Of the published network: kernels of its stem, before they are rotated. One pathway has twice as many."""
N_ROTATIONS = 4
N_BLOCKS = 10
N_PATHS = 2
BLOCK_FRAMES = 5
"""Frames of a stretch of video, which the network sees at once."""
N_GIVEN, N_PREDICTED = 5, 3
"""Stretches of video that the future is predicted from, and stretches that are predicted."""


class RotatedConvolution(nn.Module):
    """Spatio-temporal convolution with one bank of kernels, rotated by 0°, 90°, 180° and 270° in the image plane.

    (n, 3, t, y, x) → (n, 4 · n_kernels, t, y / 2, x / 2); channels are the rotations one after the other.
    """

    def __init__(self, n_kernels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_kernels, 3, 5, 7, 7))
        nn.init.kaiming_normal_(self.weight)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        kernels = torch.cat([torch.rot90(self.weight, turns, (3, 4)) for turns in range(N_ROTATIONS)])
        return conv3d(clips, kernels, stride=(1, 2, 2), padding=(2, 3, 3))


class Stem(nn.Module):
    """Convolution, normalisation, leaky ReLU and maximum over neighbours, at a quarter of the size."""

    def __init__(self, n_kernels: int) -> None:
        super().__init__()
        self.conv1 = RotatedConvolution(n_kernels)
        self.bn1 = nn.BatchNorm3d(n_kernels * N_ROTATIONS)
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
    """Ten residual blocks at one size; every second one looks at three frames at once, the others at one.

    Parameters
    ----------
    n_stem : channels of the stem; the blocks have half as many
    """

    def __init__(self, n_stem: int) -> None:
        super().__init__()
        blocks: OrderedDict[str, nn.Module] = OrderedDict(
            (
                f"res{block}",
                ResidualBlock(
                    n_in=n_stem // 2 if block else n_stem,
                    n_inner=n_stem // 8,
                    n_out=n_stem // 2,
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
    """Stem and pathways side by side: clips (n, 3, t, 64, 64) → (n, 128, t, 16, 16) at the published width.

    Parameters
    ----------
    width : kernels of the stem with two pathways; one pathway is as wide as both, and has twice as many
    n_paths : 1 or 2
    """

    def __init__(self, width: int = WIDTH, n_paths: int = N_PATHS) -> None:
        super().__init__()
        n_kernels = width * N_PATHS // n_paths
        self.paths = tuple(f"path{number + 1}" for number in range(n_paths))
        self.s1 = Stem(n_kernels)
        for path in self.paths:
            self.add_module(path, Pathway(n_kernels * N_ROTATIONS))
        self.dropout = nn.Dropout3d(0.1)
        self.n_channels = n_paths * n_kernels * N_ROTATIONS // 2

    def maps(self, clips: torch.Tensor) -> torch.Tensor:
        """Both pathways' last maps, (n, n_channels, t, y / 4, x / 4)."""
        stem = self.s1(clips)
        out: torch.Tensor = self.dropout(torch.cat([self.get_submodule(path)(stem) for path in self.paths], dim=1))
        return out

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.maps(clips)


class ClipEncoder(nn.Module):
    """Base of networks of video that are trained: clips (n, 3, frames, y, x) → features (n, n_channels).

    Clips are seen in stretches of `BLOCK_FRAMES`, and what is made of these is averaged over stretches, time and space.
    Frames that make up no whole stretch are left out.
    """

    def maps(self, clips: torch.Tensor) -> torch.Tensor:
        """The last maps of stretches (n, 3, 5, y, x): (n, n_channels, 5, y / 4, x / 4)."""
        raise NotImplementedError

    def pathways(self) -> dict[str, str]:
        """Layer → its pathway; empty where there is one way only."""
        return {}

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        blocks = cut_in_blocks(clips)
        features: torch.Tensor = self.maps(blocks).mean((2, 3, 4)).unflatten(0, (len(clips), -1)).mean(1)
        return features


class VideoEncoder(ClipEncoder, Backbone):
    """The backbone as it is trained."""

    def maps(self, clips: torch.Tensor) -> torch.Tensor:
        return Backbone.maps(self, clips)

    def taps(self) -> dict[str, Tap]:
        """``stem``, ``path1.res0`` to ``path1.res9``, and so on: (stretch, channel, t, y, x)."""
        blocks = {
            f"{path}.res{block}": Tap(f"{path}.res_blocks.res{block}")
            for path in self.paths
            for block in range(N_BLOCKS)
        }
        return {"stem": Tap("s1"), **blocks}

    def pathways(self) -> dict[str, str]:
        """Layer → its pathway; the stem belongs to none."""
        return {layer: layer.partition(".")[0] for layer in self.taps() if layer != "stem"}


def cut_in_blocks(clips: torch.Tensor) -> torch.Tensor:
    """Clips (n, 3, frames, y, x) as stretches (n · stretches, 3, 5, y, x), those of one clip one after another."""
    n_blocks = clips.shape[2] // BLOCK_FRAMES
    whole = clips[:, :, : n_blocks * BLOCK_FRAMES].unflatten(2, (n_blocks, BLOCK_FRAMES))
    return whole.transpose(1, 2).flatten(0, 1)


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


def predictor(n_channels: int) -> nn.Sequential:
    """Two layers of 1 × 1 kernels, from the aggregator's state to the next stretch's features."""
    return nn.Sequential(nn.Conv2d(n_channels, n_channels, 1), nn.ReLU(), nn.Conv2d(n_channels, n_channels, 1))


def predictions_of(
    features: torch.Tensor, agg: nn.Module, network_pred: nn.Module, n_given: int, n_predicted: int
) -> torch.Tensor:
    """Features of stretches to come, each predicted from those given and from the predictions before it.

    Parameters
    ----------
    features : (n, stretch, channel, y, x), of which the first ``n_given`` are looked at

    Returns
    -------
    (n, n_predicted, channel, y, x)
    """
    hidden = torch.zeros_like(features[:, 0])
    for stretch in range(n_given):
        hidden = agg(relu(features[:, stretch]), hidden)
    predicted: list[torch.Tensor] = []
    for _ in range(n_predicted):
        predicted.append(network_pred(hidden))
        hidden = agg(relu(predicted[-1]), hidden)
    return torch.stack(predicted, dim=1)


def scores_of(predictions: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Dot products (m, m) of all predictions with all targets (n, stretch, channel, y, x), m = n · stretch · y · x.

    Both are in order of video, stretch, row and column: row i is to be largest at column i.
    """
    rows, columns = (maps.movedim(2, -1).flatten(0, -2) for maps in (predictions, targets))
    return rows @ columns.T


class TwoPathwayNetwork(nn.Module):
    """The network with what it was trained with: aggregator and predictor of contrastive predictive coding."""

    def __init__(self, width: int = WIDTH, n_paths: int = N_PATHS) -> None:
        super().__init__()
        self.backbone = Backbone(width, n_paths)
        self.agg = Aggregator(self.backbone.n_channels)
        self.network_pred = predictor(self.backbone.n_channels)

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
        predictions = predictions_of(features, self.agg, self.network_pred, N_GIVEN, N_PREDICTED)
        targets = features[:, N_GIVEN : N_GIVEN + N_PREDICTED]
        return predictions, targets, scores_of(predictions, targets)
