"""The diets that a recipe can ask for by ``kind``; packages add theirs through entry points ``layermap.diets``."""

from __future__ import annotations

from pipeline.core.registry import Registry
from pipeline.training.diets.entry import DietEntry

DIETS: Registry[DietEntry] = Registry(
    "diet",
    (DietEntry,),
    "kind",
    {
        "cifar10": "pipeline.training.diets.cifar10:CIFAR10",
        "pictures": "pipeline.training.diets.picture_classes:PICTURES",
        "toy": "pipeline.training.diets.toy:TOY",
    },
    group="layermap.diets",
)
