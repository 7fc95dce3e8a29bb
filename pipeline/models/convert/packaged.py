"""Weights as installed packages carry them, to safetensors: Whisper from CTranslate2's format, Llama-like from GGUF.

CTranslate2's ``model.bin`` (binary version 6, little-endian; ``python/ctranslate2/specs/model_spec.py`` of
OpenNMT/CTranslate2): u32 version; name of the specification; u32 revision; u32 number of variables; per variable its
name, u8 rank, u32 per dimension, u8 type, u32 bytes, values; u32 number of aliases; pairs of names. A name is u16
length and that many bytes, the last one 0.
"""

from __future__ import annotations

import contextlib
import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.models.convert.checkpoint import TOKENIZER_FILE, save_weights, write_config

if TYPE_CHECKING:
    import numpy as np
    import torch

BINARY_VERSION = 6
TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_ATTENTION = {
    "self_attention": ("self_attn", "self_attn_layer_norm"),
    "attention": ("encoder_attn", "encoder_attn_layer_norm"),
}
_SETTINGS = {
    "activation",
    "alibi",
    "alignment_heads",
    "alignment_layer",
    "num_heads",
    "pre_norm",
    "scale_embeddings",
    "start_from_zero_embedding",
}
"""Variables that describe the network rather than weigh it."""
_LLAMA_SETTINGS = (
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


class _Cursor:
    """Reads a byte string from front to back."""

    def __init__(self, contents: bytes, source: Path) -> None:
        self._contents = contents
        self._source = source
        self._offset = 0

    def take(self, n_bytes: int) -> bytes:
        piece = self._contents[self._offset : self._offset + n_bytes]
        if len(piece) != n_bytes:
            raise BrokenArtifact(f"{self._source} ends at byte {len(self._contents)}, within a variable: truncated")
        self._offset += n_bytes
        return piece

    def number(self, code: str) -> int:
        return int(struct.unpack(f"<{code}", self.take(struct.calcsize(code)))[0])

    def name(self) -> str:
        return self.take(self.number("H")).rstrip(b"\0").decode()

    @property
    def at_end(self) -> bool:
        return self._offset == len(self._contents)


def read_model(path: Path) -> dict[str, np.ndarray]:
    """Every variable of a ``model.bin`` by name; aliases share the array of what they name.

    Raises
    ------
    BrokenArtifact
        Another version of the format, an unknown type, truncated, or bytes left over.
    """
    import numpy as np

    cursor = _Cursor(path.read_bytes(), path)
    version = cursor.number("I")
    if version != BINARY_VERSION:
        raise BrokenArtifact(f"{path} has CTranslate2 binary version {version}, expected {BINARY_VERSION}")
    cursor.name()
    cursor.number("I")
    variables: dict[str, np.ndarray] = {}
    for _ in range(cursor.number("I")):
        name = cursor.name()
        shape = tuple(cursor.number("I") for _ in range(cursor.number("B")))
        kind = cursor.number("B")
        if kind not in TYPES:
            raise BrokenArtifact(f"{path}: variable '{name}' has type {kind}, expected one of {sorted(TYPES)}")
        values = np.frombuffer(cursor.take(cursor.number("I")), dtype=TYPES[kind])
        if values.size == int(np.prod(shape)):
            values = values.reshape(shape)
        elif shape:
            raise BrokenArtifact(f"{path}: variable '{name}' has {values.size} values for shape {shape}")
        variables[name] = values
    for _ in range(cursor.number("I")):
        alias, target = cursor.name(), cursor.name()
        variables[alias] = variables[target]
    if not cursor.at_end:
        raise BrokenArtifact(f"{path} has bytes left over after its last alias: not a whole model.bin")
    return variables


def whisper_state(variables: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """The whole state dict of ``WhisperForConditionalGeneration``, float32.

    CTranslate2 stacks query, key and value (in the decoder's attention to the encoder: key and value) into one
    product; the key's bias, which Whisper does not have, is stored as zeros and dropped.

    Raises
    ------
    BrokenArtifact
        A variable that has no place in Whisper, or a key bias that is not zero.
    """
    state: dict[str, torch.Tensor] = {}
    for name, values in variables.items():
        stack, _, rest = name.partition("/")
        if rest in _SETTINGS or rest.endswith("/num_heads"):
            continue
        state.update(_place(stack, rest, values))
    return state


def _place(stack: str, rest: str, values: np.ndarray) -> dict[str, torch.Tensor]:
    """Where one variable goes: transformers' key → tensor."""
    import torch

    tensor = torch.from_numpy(values.astype("float32"))
    root = f"model.{stack}"
    parts = rest.split("/")
    suffix = {"gamma": "weight", "beta": "bias"}.get(parts[-1], parts[-1])
    if parts[0] in ("conv1", "conv2", "layer_norm"):
        return {f"{root}.{parts[0]}.{suffix}": tensor}
    if rest == "position_encodings/encodings":
        return {f"{root}.embed_positions.weight": tensor}
    if rest == "embeddings/weight":
        return {f"{root}.embed_tokens.weight": tensor}
    if rest == "projection/weight":
        return {"proj_out.weight": tensor}
    if parts[0].startswith("layer_") and len(parts) == 4:
        layer = f"{root}.layers.{int(parts[0].removeprefix('layer_'))}"
        if parts[1] == "ffn":
            target = {"layer_norm": "final_layer_norm", "linear_0": "fc1", "linear_1": "fc2"}[parts[2]]
            return {f"{layer}.{target}.{suffix}": tensor}
        if parts[1] in _ATTENTION:
            attention, norm = _ATTENTION[parts[1]]
            if parts[2] == "layer_norm":
                return {f"{layer}.{norm}.{suffix}": tensor}
            return _attention(f"{layer}.{attention}", attention, parts[2], suffix, tensor)
    raise BrokenArtifact(f"variable '{stack}/{rest}' has no place in Whisper; the weights are of another network")


def _attention(root: str, kind: str, linear: str, suffix: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    """One stacked product of an attention block, taken apart."""
    products = {
        ("self_attn", "linear_0"): ("q_proj", "k_proj", "v_proj"),
        ("self_attn", "linear_1"): ("out_proj",),
        ("encoder_attn", "linear_0"): ("q_proj",),
        ("encoder_attn", "linear_1"): ("k_proj", "v_proj"),
        ("encoder_attn", "linear_2"): ("out_proj",),
    }[kind, linear]
    state = {}
    for product, part in zip(products, tensor.chunk(len(products)), strict=True):
        if product == "k_proj" and suffix == "bias":
            if part.abs().max() > 0:
                raise BrokenArtifact(f"{root}.k_proj has a bias, which Whisper's keys do not have")
            continue
        state[f"{root}.{product}.{suffix}"] = part
    return state


def convert_whisper_encoder(source_file: Path, folder: Path) -> None:
    """Write the encoder of a Whisper ``model.bin`` as ``folder/model.safetensors``, float32, and ``config.json``."""
    prefix = "model.encoder."
    variables = read_model(source_file)
    state = whisper_state(variables)
    state = {name[len(prefix) :]: values for name, values in state.items() if name.startswith(prefix)}
    save_weights(state, folder)
    write_config(encoder_config(state, int(variables["encoder/num_heads"])), folder)


def encoder_config(state: Mapping[str, torch.Tensor], n_heads: int) -> dict[str, int]:
    """The settings of ``WhisperConfig`` that an encoder's own tensors give, and its attention heads."""
    n_features, n_bands, _ = state["conv1.weight"].shape
    return {
        "d_model": n_features,
        "encoder_attention_heads": n_heads,
        "encoder_ffn_dim": len(state["layers.0.fc1.weight"]),
        "encoder_layers": sum(name.endswith(".fc1.weight") for name in state),
        "max_source_positions": len(state["embed_positions.weight"]),
        "num_mel_bins": n_bands,
    }


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
    write_config({name: config[name] for name in _LLAMA_SETTINGS}, folder)
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
