"""The objectives that a recipe can ask for by ``kind``; packages add theirs by entry points ``layermap.objectives``."""

from __future__ import annotations

from pipeline.core.registry import Registry
from pipeline.training.objectives.objective import ObjectiveEntry

OBJECTIVES: Registry[ObjectiveEntry] = Registry(
    "objective",
    (ObjectiveEntry,),
    "kind",
    {
        "contrastive": "pipeline.training.objectives.contrastive:CONTRASTIVE",
        "supervised": "pipeline.training.objectives.supervised:SUPERVISED",
        "shuffled_labels": "pipeline.training.objectives.supervised:SHUFFLED_LABELS",
        "masked_autoencoder": "pipeline.training.objectives.masked_autoencoder:MASKED_AUTOENCODER",
        "random": "pipeline.training.objectives.random_weights:RANDOM",
        "own": "pipeline.training.objectives.own:OWN",
    },
    group="layermap.objectives",
)
