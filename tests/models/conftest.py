"""Weights from installed packages, and small stimuli in the shape of the artifact."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from pipeline.core.errors import FetchError, LayermapError
from pipeline.fetch.weights.pins import source_of
from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.models.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
VOCABULARY = 300
"""Of the tests' own tokenizer: 256 bytes, the start token and the commonest pairs."""


@pytest.fixture(scope="session")
def weights() -> Callable[[str], Path]:
    """Name → folder of fetched weights, in the project's own cache; skips where they can not be had."""

    def fetch(model: str) -> Path:
        folder = ROOT / "data" / "raw" / "weights" / model
        try:
            source = source_of(MODELS.get(model))
        except LayermapError as error:
            pytest.skip(str(error))
        assert source is not None
        try:
            fetch_weights(model, source, folder)
        except FetchError as error:
            pytest.skip(f"weights of {model} are not installed: {error}")
        return folder

    return fetch


@pytest.fixture(scope="session")
def pictures_of() -> Callable[..., xr.Dataset]:
    """(n, y, x, colour) uint8 → an image set, or a movie at some frame rate."""

    def make(pictures: np.ndarray, frame_rate_hz: float | None = None) -> xr.Dataset:
        if frame_rate_hz:
            attrs: dict[str, Any] = {"modality": "movie", "name": "movie", "frame_rate_hz": frame_rate_hz}
            return xr.Dataset({"frames": (("frame", "y", "x", "colour"), pictures)}, attrs=attrs)
        items = [f"picture{index}" for index in range(len(pictures))]
        return xr.Dataset(
            {"images": (("image", "y", "x", "colour"), pictures)},
            coords={"item": ("image", items)},
            attrs={"modality": "images", "name": "pictures"},
        )

    return make


@pytest.fixture(scope="session")
def sounds_of() -> Callable[..., xr.Dataset]:
    """Sounds of any length → an audio stimulus; what lies beyond a clip's own length is filled with ``padding``."""

    def make(sounds: list[np.ndarray], sampling_rate_hz: float = 16_000, padding: float = 0.0) -> xr.Dataset:
        longest = max(sound.size for sound in sounds)
        clips = np.full((len(sounds), longest), padding, dtype=np.float32)
        for row, sound in zip(clips, sounds, strict=True):
            row[: sound.size] = sound
        return xr.Dataset(
            {"clips": (("clip", "sample"), clips), "n_samples": ("clip", [sound.size for sound in sounds])},
            coords={"item": ("clip", [f"sound{index}" for index in range(len(sounds))])},
            attrs={"modality": "audio", "name": "sounds", "sampling_rate_hz": sampling_rate_hz},
        )

    return make


@pytest.fixture(scope="session")
def words_of() -> Callable[..., xr.Dataset]:
    """Words → a words stimulus, one every half second."""

    def make(words: list[str], **variables: Any) -> xr.Dataset:
        onset_s = 0.5 * np.arange(len(words))
        return xr.Dataset(
            {"text": ("word", words), "onset_s": ("word", onset_s), "offset_s": ("word", onset_s + 0.4), **variables},
            attrs={"modality": "words", "name": "story"},
        )

    return make


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real tokenizer of sub-words, trained on a few sentences: short words whole, long ones in pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the dog ran to the house"] * 5, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="session")
def all_layers() -> Callable[..., dict[str, np.ndarray]]:
    """(network, stimulus, batch size) → every layer's samples, joined over batches and checked to be in order."""

    def collect(network: Any, stimulus: xr.Dataset, batch_size: int = 8) -> dict[str, np.ndarray]:
        batches: dict[str, list[np.ndarray]] = {}
        next_sample = 0
        for start, batch in network.batches(stimulus, batch_size):
            assert start == next_sample
            next_sample += len(next(iter(batch.values())))
            for name, values in batch.items():
                assert values.dtype == np.float32
                batches.setdefault(name, []).append(values)
        assert next_sample == len(network.clock(stimulus)[1])
        return {name: np.concatenate(values) for name, values in batches.items()}

    return collect
