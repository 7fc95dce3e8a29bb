"""Llama-like weights from a quantised GGUF file to float32 safetensors, configuration and tokenizer."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

from pipeline.models.convert.checkpoint import TOKENIZER_FILE, save_weights, write_config

_ARCHITECTURE = (
    "attention_bias",
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "mlp_bias",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "rope_parameters",
    "vocab_size",
)
"""The settings of ``LlamaConfig`` that decide the numbers."""


def convert_llama(source_file: Path, folder: Path) -> None:
    """Write ``model.safetensors`` (no output layer), ``config.json`` and ``tokenizer.json`` into the folder.

    The quantised blocks are expanded once, to the float32 values they stand for; nothing else is changed.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where = {"gguf_file": source_file.name, "local_files_only": True}
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars of single tensors
        model = AutoModelForCausalLM.from_pretrained(str(source_file.parent), dtype="float32", **where)
        tokenizer = AutoTokenizer.from_pretrained(str(source_file.parent), **where)
    save_weights(model.model.state_dict(), folder)
    config = model.config.to_dict()
    write_config({name: config[name] for name in _ARCHITECTURE}, folder)
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
