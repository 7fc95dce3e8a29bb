"""Networks of the Hugging Face library, from a fetched checkpoint or untrained from a configuration."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.formats.documents import read_object
from pipeline.models.convert.checkpoint import CONFIG_FILE, PREPROCESSOR_FILE, TOKENIZER_FILE
from pipeline.models.entry import ModelEntry, Twin
from pipeline.models.hub.families import FAMILIES, Family, family_of
from pipeline.models.shown.present_audio import PaddedSpectrograms, Waveforms, Windows
from pipeline.models.shown.present_pictures import Clips, Optics, Pictures
from pipeline.models.shown.present_words import word_windows
from pipeline.models.torch.hooked_network import HookedNetwork, Presenter
from pipeline.models.torch.hooks import Tap, transformer_taps

if TYPE_CHECKING:
    import numpy as np
    import torch

FETCH_AGAIN = "delete its folder and run: snakemake fetch"
"""What to do about files that fetch has put beside the weights."""
_HOW_IT_RUNS = (
    *("attn_implementation", "experts_implementation", "use_kernels", "kernel_config"),
    *("quantization_config", "compression_config", "dtype", "torch_dtype"),
    *("auto_map", "trust_remote_code", "custom_pipelines", "distributed_config"),
)
"""What a configuration says of how to run a network: which code computes its attention, in which precision, with whose
quantiser. It does not reach the library, which would fetch some of that code from the hub and import it; activations
are float32 by the library's own layers in any case.
"""


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The network with its fetched weights; untrained, from the entry's configuration, where it has none.

    ``entry.arguments`` holds ``family`` and ``config``; for networks that are never trained also ``seed`` and, where
    they read words, ``tokenizer``, the folder of their ``tokenizer.json``.

    Raises
    ------
    BrokenArtifact
        The checkpoint is damaged, of another family, or lacks tensors that a layer depends on.
    LayermapError
        The checkpoint's own preprocessing is not the entry's.
    """
    from pipeline.models.torch.torch_network import assemble, weights_file

    family = family_of(entry.arguments["family"], entry.name)
    folder: Path | None
    if entry.hub or entry.weights is not None:
        folder = weights_file(weights_folder, entry.name).parent
        _check_preprocessing(entry, folder)
        packaged = entry.weights is not None and entry.weights.package is not None
        module = (load_part if packaged else load_checkpoint)(family, folder, entry.name)
    else:
        folder = None
        module = build_module(family, entry.arguments["config"], int(entry.arguments.get("seed", 0)))
    config: Any = module.config
    settings = config.to_dict()
    if (found := family.layers(settings)) != entry.layers:
        raise LayermapError(
            f"{entry.name} has {len(found)} layers by its own {CONFIG_FILE}, {len(entry.layers)} by its entry; "
            f"name it under networks: in the study file, as hub: {entry.hub or 'OWNER/NAME'}"
        )
    return assemble(
        entry,
        module,
        taps_of(family, settings),
        presenter_of(entry, family, settings, folder),
        twin=twin,
        device=device,
    )


def what_it_is(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that say how a network is run, at any depth; private ones are the library's own."""
    return {
        key: what_it_is(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key not in _HOW_IT_RUNS and not str(key).startswith("_")
    }


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file beside the fetched weights.

    Raises
    ------
    BrokenArtifact
        Missing or no JSON.
    """
    return read_object(path, FETCH_AGAIN, constants=True)


def build_module(family: Family, settings: Mapping[str, Any], seed: int = 0) -> torch.nn.Module:
    """The untrained network of a configuration, initialised as its authors do, from a seed.

    Raises
    ------
    LayermapError
        The library refuses the configuration.
    """
    import torch
    import transformers

    try:
        config = getattr(transformers, family.config)(**{**what_it_is(settings), **family.settings})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module: torch.nn.Module = _class_of(family)(config, **family.arguments)
    except Exception as error:  # whatever the library says of a configuration, the user has to mend
        said = " ".join(str(error).splitlines()[:2])  # the second line names the value
        raise LayermapError(
            f"a {family.model_type} network cannot be built from its config ({type(error).__name__}: {said})"
        ) from error
    return module.eval()


def _class_of(family: Family) -> Any:
    import transformers

    if family.model == "WhisperEncoder":  # not exported by the library's top level
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        return WhisperEncoder
    return getattr(transformers, family.model)


def load_checkpoint(family: Family, folder: Path, name: str) -> torch.nn.Module:
    """A fetched checkpoint as a module; every tensor that a layer depends on must be there.

    Raises
    ------
    BrokenArtifact
        Damaged, of another architecture, or incomplete.
    """
    import torch
    import transformers
    from transformers.utils import logging

    # heads that are left out are no news, and a bar of a single file says nothing
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    stated = what_it_is(read_json(folder / CONFIG_FILE))
    try:
        where: dict[str, Any] = {
            "config": getattr(transformers, family.config).from_dict({**stated, **family.settings}),
            "local_files_only": True,
            "dtype": torch.float32,
            "output_loading_info": True,
        }
        if family.model == "WhisperEncoder":
            whole_model: Any = transformers.WhisperModel
            whole, found = whole_model.from_pretrained(str(folder), **where)
            module: torch.nn.Module = whole.encoder
        else:
            module, found = _class_of(family).from_pretrained(str(folder), **where, **family.arguments)
    except Exception as error:  # whatever the library says of a configuration or a tensor
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise BrokenArtifact(f"{folder} is no checkpoint of {name} ({said}); {FETCH_AGAIN}") from error
    missing = [key for key in found["missing_keys"] if not key.startswith(family.optional_weights or ("\0",))]
    if missing or found["mismatched_keys"]:
        wrong = missing or [str(key[0]) for key in found["mismatched_keys"]]
        raise BrokenArtifact(
            f"{folder} lacks {len(wrong)} tensors of {name} or has them in another shape ({min(wrong)} …); "
            f"{FETCH_AGAIN}"
        )
    return module.eval()


def load_part(family: Family, folder: Path, name: str) -> torch.nn.Module:
    """The part of a network that is run, from its own tensors and no others: what the weights of packages become.

    Raises
    ------
    BrokenArtifact
        Damaged, or a tensor is missing or left over.
    """
    from transformers.initialization import no_init_weights

    from pipeline.models.torch.torch_network import load_weights

    with no_init_weights():
        module = build_module(family, read_json(folder / CONFIG_FILE))
    load_weights(module, folder, name)
    return module


def taps_of(family: Family, settings: Mapping[str, Any]) -> dict[str, Tap]:
    """Where the family's layers are, for a network with these settings."""
    blocks = family.block_names(settings)
    if family.tokens:
        return transformer_taps(blocks, family.norm_of(settings), family.n_prefix)
    return {"embedding": Tap(blocks[0], "input"), **{f"block{i + 1}": Tap(name) for i, name in enumerate(blocks)}}


def presenter_of(entry: ModelEntry, family: Family, settings: Mapping[str, Any], folder: Path | None) -> Presenter:
    """How the network is shown stimuli.

    Raises
    ------
    LayermapError
        A size that the network's patches do not divide.
    """
    shown = {**family.preprocessing, **entry.preprocessing}
    if family.shown in ("pictures", "clips"):
        if family.tokens:
            _check_size(entry, settings)
        optics = Optics.of(shown)
        if family.shown == "pictures":
            further = unshuffled(entry, settings) if family.model_type == "vit_mae" else None
            return Pictures(optics, "pixel_values", further)
        n_frames = int(settings["num_frames"])
        return Clips(optics, n_frames, float(shown["frame_interval_s"]), time_axis=1, argument="pixel_values")
    if family.shown == "words":
        return _words(entry, shown, folder)
    windows = Windows.of(shown)
    if family.shown == "waveforms":
        return Waveforms(entry.name, windows, standardise=bool(shown["standardise"]))
    spectrogram = functools.partial(log_mel, n_bands=int(settings["num_mel_bins"]))
    return PaddedSpectrograms(entry.name, windows, spectrogram, rms=float(shown["rms"]))


def _check_size(entry: ModelEntry, settings: Mapping[str, Any]) -> None:
    patch, size = settings.get("patch_size"), int(entry.preprocessing["size_px"])
    if isinstance(patch, int) and size % patch:
        raise LayermapError(
            f"{entry.name} takes patches of {patch} px, which do not divide size_px: {size}; "
            f"take {size // patch * patch or patch} or {size // patch * patch + patch}"
        )
    trained = settings.get("image_size") if isinstance(patch, int) else None
    if isinstance(trained, int) and trained != size and entry.arguments["family"] != "dinov2":
        raise LayermapError(
            f"{entry.name} has positions for pictures of {trained} px only, not for size_px: {size}; take {trained}"
        )


def unshuffled(entry: ModelEntry, settings: Mapping[str, Any]) -> Any:
    """A masked autoencoder shows itself patches in random order: ascending noise keeps all of them in place."""

    def further(n: int) -> dict[str, torch.Tensor]:
        import torch

        n_patches = (int(entry.preprocessing["size_px"]) // int(settings["patch_size"])) ** 2
        return {"noise": torch.arange(n_patches, dtype=torch.float32).expand(n, -1)}

    return further


def _words(entry: ModelEntry, shown: Mapping[str, Any], folder: Path | None) -> Presenter:
    from tokenizers import Tokenizer

    place = folder or entry.arguments.get("tokenizer")
    path = None if place is None else Path(place) / TOKENIZER_FILE
    if path is None or not path.is_file():
        raise BrokenArtifact(f"{entry.name} cannot read words: no {TOKENIZER_FILE} is beside its weights ({path})")
    tokenizer = Tokenizer.from_file(str(path))
    try:
        return word_windows(tokenizer, str(shown["start_token"]), shown)
    except LayermapError as error:
        raise LayermapError(f"{entry.name}: {error}") from error


def log_mel(sounds: list[np.ndarray], n_bands: int = 80) -> torch.Tensor:
    """Whisper's input (n, n_bands, 3000) for sounds at 16 kHz, padded with silence to 30 s.

    Every step of the network attends to all 30 s, padding included, as in training.
    """
    import torch
    from transformers import WhisperFeatureExtractor

    shown = FAMILIES["whisper"].preprocessing
    rate_hz, window_s = int(shown["sampling_rate_hz"]), int(shown["window_s"])
    extractor = WhisperFeatureExtractor(feature_size=n_bands, sampling_rate=rate_hz, chunk_length=window_s)
    features = extractor(sounds, sampling_rate=rate_hz, return_tensors="np")["input_features"]
    return torch.from_numpy(features)


def _check_preprocessing(entry: ModelEntry, folder: Path) -> None:
    """Refuse to show a network something else than it was trained on, as far as its checkpoint says."""
    path = folder / PREPROCESSOR_FILE
    if not path.is_file():
        return
    stated = read_json(path)
    for ours, theirs in (("mean", "image_mean"), ("sd", "image_std"), ("standardise", "do_normalize")):
        if ours not in entry.preprocessing or theirs not in stated:
            continue
        if ours != "standardise" and not stated.get("do_normalize", True):
            continue
        wanted, shown = stated[theirs], entry.preprocessing[ours]
        same = bool(wanted) == bool(shown) if ours == "standardise" else _close(wanted, shown)
        if not same:
            raise LayermapError(
                f"{entry.name} was trained with {theirs} {wanted} ({path}), but is shown {ours} {shown}; "
                f"give it {ours}: {wanted} under networks: in the study file"
            )


def _close(first: Any, second: Any) -> bool:
    return len(first) == len(second) and all(abs(a - b) < 1e-3 for a, b in zip(first, second, strict=True))
