"""The networks and baselines that a study can ask for by name."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from pipeline.core.errors import LayermapError, UnknownName
from pipeline.core.registry import Registry
from pipeline.models.entry import ModelEntry, Twin, TwinKind
from pipeline.models.trained.entries import split_instance, trained_entry, trained_names, trained_networks

MODELS: Registry[ModelEntry] = Registry(
    "model",
    (ModelEntry,),
    "name",
    {
        "efficientnet-lite0": "pipeline.models.networks.efficientnet:EFFICIENTNET_LITE0",
        "crepe-tiny": "pipeline.models.networks.crepe:CREPE_TINY",
        "whisper-base": "pipeline.models.hub.packaged:WHISPER_BASE",
        "smollm2-135m": "pipeline.models.hub.packaged:SMOLLM2_135M",
        "two-pathway-cpc": "pipeline.models.networks.two_pathway:TWO_PATHWAY_CPC",
        "vit-base": "pipeline.models.hub.known:VIT_BASE",
        "resnet-50": "pipeline.models.hub.known:RESNET_50",
        "convnext-tiny": "pipeline.models.hub.known:CONVNEXT_TINY",
        "dinov2-small": "pipeline.models.hub.known:DINOV2_SMALL",
        "dinov2-base": "pipeline.models.hub.known:DINOV2_BASE",
        "vit-mae-base": "pipeline.models.hub.known:VIT_MAE_BASE",
        "data2vec-vision-base": "pipeline.models.hub.known:DATA2VEC_VISION_BASE",
        "videomae-base": "pipeline.models.hub.known:VIDEOMAE_BASE",
        "wav2vec2-base": "pipeline.models.hub.known:WAV2VEC2_BASE",
        "wav2vec2-base-french": "pipeline.models.hub.known:WAV2VEC2_BASE_FRENCH",
        "wav2vec2-base-chinese": "pipeline.models.hub.known:WAV2VEC2_BASE_CHINESE",
        "hubert-base": "pipeline.models.hub.known:HUBERT_BASE",
        "wavlm-base": "pipeline.models.hub.known:WAVLM_BASE",
        "data2vec-audio-base": "pipeline.models.hub.known:DATA2VEC_AUDIO_BASE",
        "whisper-tiny": "pipeline.models.hub.known:WHISPER_TINY",
        "whisper-small": "pipeline.models.hub.known:WHISPER_SMALL",
        "gpt2": "pipeline.models.hub.known:GPT2",
        "smollm2-135m-base": "pipeline.models.hub.known:SMOLLM2_135M_BASE",
        "pixels": "pipeline.models.baselines.image_baselines:PIXELS",
        "gabor-energy": "pipeline.models.baselines.image_baselines:GABOR_ENERGY",
        "motion-energy": "pipeline.models.baselines.motion_baseline:MOTION_ENERGY",
        "elapsed-time": "pipeline.models.baselines.blind_baselines:ELAPSED_TIME",
        "log-mel": "pipeline.models.baselines.audio_baselines:LOG_MEL",
        "spectrogram-modulation": "pipeline.models.baselines.audio_baselines:SPECTROGRAM_MODULATION",
        "category": "pipeline.models.baselines.blind_baselines:CATEGORY",
        "word-rate": "pipeline.models.baselines.word_baselines:WORD_RATE",
        "word-properties": "pipeline.models.baselines.word_baselines:WORD_PROPERTIES",
        "sound-power": "pipeline.models.baselines.word_baselines:SOUND_POWER",
    },
    group="layermap.models",
)
_TWIN = re.compile(r"^(?P<base>.+)@(?P<kind>random|shuffled)(?:-(?P<seed>[0-9]+))?\Z")


@dataclasses.dataclass(frozen=True)
class ResolvedModel:
    """An entry, and which twin if one was asked for."""

    name: str
    entry: ModelEntry
    twin: Twin | None

    @property
    def objective(self) -> str:
        """How its weights came about: as the entry says, or ``random`` or ``shuffled`` for a twin."""
        return self.entry.objective if self.twin is None else self.twin.kind


def resolve_model(name: str, networks: Mapping[str, ModelEntry] | None = None) -> ResolvedModel:
    """The entry behind ``NAME``, ``NAME@random[-SEED]`` or ``NAME@shuffled[-SEED]``; a trained one's name has its seed.

    Parameters
    ----------
    networks : entries of a study's own, beside the registry's

    Raises
    ------
    UnknownName
        No such model; the message names the closest.
    """
    asked = _TWIN.match(name)
    base = asked["base"] if asked else name
    entry = _entry(name, base, networks or {})
    if not asked:
        return ResolvedModel(name, entry, None)
    kind: TwinKind = "shuffled" if asked["kind"] == "shuffled" else "random"
    if kind not in entry.twins:
        reason = f"it has {', '.join(entry.twins)} twins only" if entry.twins else f"{base} has no weights"
        raise LayermapError(f"model '{name}': {reason}, so it has no {kind} twin")
    return ResolvedModel(name, entry, Twin(kind, int(asked["seed"] or 0)))


def _entry(name: str, base: str, own: Mapping[str, ModelEntry]) -> ModelEntry:
    """The entry of a name without its twin; errors as of `resolve_model`."""
    if base in own:
        return own[base]
    if base in MODELS:
        return MODELS.get(base)
    trained, instance = trained_networks(), split_instance(base)
    if instance is not None and instance[0] in trained:
        return trained_entry(*instance)
    if base in trained:
        seeds = ", ".join(map(str, trained[base]))
        raise LayermapError(f"model '{name}' was trained from several seeds; name one: {base}@seed-N, N of {seeds}")
    raise UnknownName("model", name, [*own, *MODELS, *trained_names()], "list them with: python -m pipeline models")


def check_layers(model: ResolvedModel, layers: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """The layers asked for, or all that the entry lists; None where they are known only once the network is built.

    Raises
    ------
    UnknownName
        Names the closest layer.
    """
    known = [layer.name for layer in model.entry.layers]
    if not known:
        return layers
    for layer in layers or ():
        if layer not in known:
            raise UnknownName(
                f"layer of {model.name}", layer, known, f"list them with: python -m pipeline layers {model.name}"
            )
    return layers or tuple(known)
