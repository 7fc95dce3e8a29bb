"""The networks and baselines that a study can ask for by name."""

from __future__ import annotations

import dataclasses
import re

from pipeline.errors import LayermapError, UnknownName
from pipeline.models.entry import ModelEntry
from pipeline.registry import Registry

MODELS: Registry[ModelEntry] = Registry(
    "model",
    {
        "efficientnet-lite0": "pipeline.models.efficientnet:EFFICIENTNET_LITE0",
        "crepe-tiny": "pipeline.models.crepe:CREPE_TINY",
        "whisper-base": "pipeline.models.whisper:WHISPER_BASE",
        "smollm2-135m": "pipeline.models.smollm:SMOLLM2_135M",
        "pixels": "pipeline.models.image_baselines:PIXELS",
        "gabor-energy": "pipeline.models.image_baselines:GABOR_ENERGY",
        "log-mel": "pipeline.models.audio_baselines:LOG_MEL",
        "spectrogram-modulation": "pipeline.models.audio_baselines:SPECTROGRAM_MODULATION",
        "category": "pipeline.models.item_baselines:CATEGORY",
        "word-rate": "pipeline.models.word_baselines:WORD_RATE",
        "sound-power": "pipeline.models.word_baselines:SOUND_POWER",
    },
    group="layermap.models",
)
_TWIN = re.compile(r"^(?P<base>.+)@random(?:-(?P<seed>\d+))?$")


@dataclasses.dataclass(frozen=True)
class ResolvedModel:
    """A registry entry, and the seed if its random twin was asked for."""

    name: str
    entry: ModelEntry
    seed: int | None

    @property
    def objective(self) -> str:
        return self.entry.objective if self.seed is None else "random"


def resolve_model(name: str) -> ResolvedModel:
    """The entry behind ``NAME`` or ``NAME@random[-SEED]``.

    Raises
    ------
    UnknownName
        No such model; the message names the closest.
    """
    twin = _TWIN.match(name)
    base = twin["base"] if twin else name
    if base not in MODELS:
        raise UnknownName("model", name, MODELS, "list them with: python -m pipeline models")
    entry = MODELS.get(base)
    if twin and not entry.has_random_twin:
        raise LayermapError(f"model '{name}': {base} has no weights, so it has no random twin")
    return ResolvedModel(name, entry, int(twin["seed"] or 0) if twin else None)


def check_layers(model: ResolvedModel, layers: tuple[str, ...] | None) -> tuple[str, ...]:
    """The layers asked for, or all; raises `UnknownName` naming the closest layer."""
    known = [layer.name for layer in model.entry.layers]
    for layer in layers or ():
        if layer not in known:
            raise UnknownName(
                f"layer of {model.name}", layer, known, f"list them with: python -m pipeline layers {model.name}"
            )
    return layers or tuple(known)
