"""Families of networks in Hugging Face's library: what their blocks are called and how they are shown a stimulus.

A network of one of these families needs nothing but its name on the hub. The layers follow one rule for all:
``embedding`` is what the first block is given, ``blockK`` the output of block K, ``norm`` a final norm.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pipeline.artifacts.activations import LayerInfo
from pipeline.core.errors import UnknownName
from pipeline.models.entry import transformer_layers
from pipeline.models.shown.present_pictures import HALF, IMAGENET_MEAN, IMAGENET_SD, Optics

PICTURE_MODALITIES = ("movie", "images")
ADJUSTABLE_PICTURES = ("size_px", "mean", "sd")
ADJUSTABLE_CLIPS = (*ADJUSTABLE_PICTURES, "frame_interval_s")
ADJUSTABLE_SOUND = ("window_s", "stride_s", "standardise", "look_ahead_s")
ADJUSTABLE_SPECTROGRAM = ("stride_s", "rms", "look_ahead_s")
ADJUSTABLE_WORDS = ("window_tokens", "stride_tokens")
SHORTEST_S = 0.1
"""Sound that a network has heard when the first sample is taken."""

STABLE = "do_stable_layer_norm"
SPEECH_NORM = "encoder.layer_norm"


@dataclasses.dataclass(frozen=True)
class Family:
    """One architecture of the library.

    Parameters
    ----------
    model_type : as in a checkpoint's ``config.json``
    model, config : class names in ``transformers``
    modalities : of stimuli
    shown : ``pictures``, ``clips``, ``waveforms``, ``spectrograms`` or ``words``
    blocks : module name of a block, ``{}`` for its number; two ``{}`` for stage and block
    depth : the setting of the configuration that gives the number of blocks, or of blocks per stage
    norm : module name of a final norm that every network of the family has
    tokens : layers are (n, position, feature)
    n_prefix : class tokens before the patches
    preprocessing : defaults, as networks of the family were trained
    adjustable : its keys that a study may change
    arguments : of the model class besides its configuration
    settings : of the configuration, whatever a checkpoint was trained with
    optional_weights : beginnings of tensor names that a checkpoint may lack, as no layer depends on them
    rate : how encode bins samples
    """

    model_type: str
    model: str
    config: str
    modalities: tuple[str, ...]
    shown: str
    blocks: str
    preprocessing: dict[str, Any]
    adjustable: tuple[str, ...]
    depth: str = "num_hidden_layers"
    norm: str | None = None
    tokens: bool = True
    n_prefix: int = 0
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    optional_weights: tuple[str, ...] = ()
    rate: str = "mean"

    def block_names(self, settings: Mapping[str, Any]) -> list[str]:
        """Module names of the blocks in order of depth."""
        depth = settings[self.depth]
        if isinstance(depth, int):
            return [self.blocks.format(number) for number in range(depth)]
        return [self.blocks.format(stage, number) for stage, n in enumerate(depth) for number in range(n)]

    def layers(self, settings: Mapping[str, Any]) -> tuple[LayerInfo, ...]:
        """The layers of a network with this configuration."""
        return transformer_layers(len(self.block_names(settings)), norm=self.norm_of(settings) is not None)

    def norm_of(self, settings: Mapping[str, Any]) -> str | None:
        """Module name of the norm behind the last block: large speech networks have theirs there, small ones before."""
        return SPEECH_NORM if settings.get(STABLE) else self.norm


def _pictures(mean: tuple[float, ...], sd: tuple[float, ...], size_px: int = 224) -> dict[str, Any]:
    window = {"window": "one picture", "look_ahead_s": 0.0}
    return {**Optics(size_px, mean, sd).describe(), **window}


def _vision(model_type: str, model: str, mean: tuple[float, ...], sd: tuple[float, ...], **others: Any) -> Family:
    return Family(
        model_type=model_type,
        model=f"{model}Model",
        config=f"{model}Config",
        modalities=PICTURE_MODALITIES,
        shown="pictures",
        preprocessing=_pictures(mean, sd),
        adjustable=ADJUSTABLE_PICTURES,
        **others,
    )


def _sound(model_type: str, model: str, *, standardise: bool) -> Family:
    return Family(
        model_type=model_type,
        model=f"{model}Model",
        config=f"{model}Config",
        modalities=("audio",),
        shown="waveforms",
        blocks="encoder.layers.{}",
        preprocessing={
            "sampling_rate_hz": 16_000,
            "window_s": 16.0,
            "stride_s": 1.0,
            "shortest_s": SHORTEST_S,
            "standardise": standardise,
            "recording": "last output step of the window that ends with the sample",
            "clips": "mean over the output steps",
            "look_ahead_s": 0.0,
        },
        adjustable=ADJUSTABLE_SOUND,
        optional_weights=("masked_spec_embed",),
    )


def _words(model_type: str, model: str, window_tokens: int, **others: Any) -> Family:
    return Family(
        model_type=model_type,
        model=f"{model}Model",
        config=f"{model}Config",
        modalities=("words",),
        shown="words",
        preprocessing={
            "text": "words as annotated, a space before each",
            "start_token": "<|endoftext|>",
            "sample": "state at the word's last sub-token, at the word's offset",
            "window_tokens": window_tokens,
            "stride_tokens": 512,
            "look_ahead_s": 0.0,
        },
        adjustable=ADJUSTABLE_WORDS,
        rate="sum",  # words are events: a volume with four words gets four states, one with none gets none
        **others,
    )


_NO_POOLER: dict[str, Any] = {"arguments": {"add_pooling_layer": False}}
FAMILIES = {
    family.model_type: family
    for family in (
        _vision("vit", "ViT", HALF, HALF, blocks="layers.{}", norm="layernorm", n_prefix=1, **_NO_POOLER),
        _vision(
            "dinov2", "Dinov2", IMAGENET_MEAN, IMAGENET_SD, blocks="encoder.layer.{}", norm="layernorm", n_prefix=1
        ),
        _vision(
            "vit_mae",
            "ViTMAE",
            IMAGENET_MEAN,
            IMAGENET_SD,
            blocks="layers.{}",
            norm="layernorm",
            n_prefix=1,
            settings={"mask_ratio": 0.0},  # it is trained with three quarters of the picture hidden
        ),
        _vision("data2vec-vision", "Data2VecVision", HALF, HALF, blocks="encoder.layer.{}", n_prefix=1, **_NO_POOLER),
        _vision(
            "resnet",
            "ResNet",
            IMAGENET_MEAN,
            IMAGENET_SD,
            blocks="encoder.stages.{}.layers.{}",
            depth="depths",
            tokens=False,
        ),
        _vision(
            "convnext",
            "ConvNext",
            IMAGENET_MEAN,
            IMAGENET_SD,
            blocks="encoder.stages.{}.layers.{}",
            depth="depths",
            tokens=False,
            optional_weights=("layernorm",),  # stands behind the pooled map, which is no layer
        ),
        Family(
            model_type="videomae",
            model="VideoMAEModel",
            config="VideoMAEConfig",
            modalities=PICTURE_MODALITIES,
            shown="clips",
            blocks="encoder.layer.{}",
            preprocessing={
                **Optics(224, IMAGENET_MEAN, IMAGENET_SD).describe(),
                "n_frames": 16,
                "frame_interval_s": 4 / 30,
                "clip": "the frames on screen up to the sample; a still picture is a clip of equal frames",
                "look_ahead_s": 0.0,
            },
            adjustable=ADJUSTABLE_CLIPS,
            optional_weights=("layernorm",),
        ),
        _sound("wav2vec2", "Wav2Vec2", standardise=True),
        _sound("hubert", "Hubert", standardise=True),
        _sound("wavlm", "WavLM", standardise=False),
        _sound("data2vec-audio", "Data2VecAudio", standardise=True),
        Family(
            model_type="whisper",
            model="WhisperEncoder",
            config="WhisperConfig",
            modalities=("audio",),
            shown="spectrograms",
            blocks="layers.{}",
            depth="encoder_layers",
            norm="layer_norm",
            preprocessing={
                "sampling_rate_hz": 16_000,
                "rms": 0.1,
                "window_s": 30,
                "stride_s": 1.0,
                "shortest_s": SHORTEST_S,
                "padding": "silence to 30 s",
                "recording": "last output step of the window that ends with the sample",
                "clips": "mean over the output steps within the clip, 50 per second",
                "look_ahead_s": 0.0,
            },
            adjustable=ADJUSTABLE_SPECTROGRAM,
        ),
        _words("gpt2", "GPT2", 1023, blocks="h.{}", depth="n_layer", norm="ln_f"),
        _words("llama", "Llama", 1024, blocks="layers.{}", norm="norm"),
    )
}


def family_of(model_type: str, what: str) -> Family:
    """The family of a configuration.

    Raises
    ------
    UnknownName
        layermap does not know how networks of this type are shown a stimulus; the message says what to do.
    """
    if model_type not in FAMILIES:
        raise UnknownName(
            f"family of {what}",
            model_type,
            FAMILIES,
            "a network of another family is added with factory: (docs/extend.md)",
        )
    return FAMILIES[model_type]
