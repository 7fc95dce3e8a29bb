"""Files of a Hugging Face repository: which are wanted, and their addresses."""

from __future__ import annotations

import os
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from pipeline.formats.weight_files import INDEXES, SAFETENSORS

HUB = "https://huggingface.co"
ENDPOINT_VARIABLE = "HF_ENDPOINT"
# first come, first taken: safetensors cannot run anything
WEIGHTS = (SAFETENSORS, INDEXES[0], "pytorch_model.bin", INDEXES[1])
CONFIG = "config.json"
PREPROCESSOR = "preprocessor_config.json"
BESIDE = (
    CONFIG,
    PREPROCESSOR,
    "processor_config.json",
    "video_preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "normalizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""What the loaders of transformers read: architecture, what is done to stimuli, and tokenizers."""


def main_weights(names: Iterable[str]) -> str | None:
    """The file that the weights are read from, one of ``WEIGHTS``; None if there are none."""
    there = set(names)
    return next((name for name in WEIGHTS if name in there), None)


def address_of_file(repo: str, revision: str, name: str) -> str:
    """The public address of a file of one revision."""
    return f"{HUB}/{repo}/resolve/{quote(revision, safe='')}/{quote(name)}"


def address_of_listing(repo: str, revision: str) -> str:
    """The public address of the JSON that lists a revision's files with their digests."""
    return f"{HUB}/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"


def at_endpoint(url: str) -> str:
    """An address of the hub as ``HF_ENDPOINT`` has it; other addresses, and without the variable, as they are."""
    endpoint = os.environ.get(ENDPOINT_VARIABLE, "").strip().rstrip("/")
    if not endpoint or not url.startswith(f"{HUB}/"):
        return url
    return endpoint + url.removeprefix(HUB)


def hub_host() -> str:
    """The host that is asked, for messages."""
    return urlsplit(at_endpoint(f"{HUB}/")).netloc
