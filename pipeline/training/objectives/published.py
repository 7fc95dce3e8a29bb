"""No training here: the weights that others trained and published, asked as those that were trained here.

Encoder, aggregator and predictor are those of the checkpoint, so that its own objective can be measured on the diet,
too. Input is normalised as its authors did. The untrained network beside it is initialised here.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import nn

from pipeline.core import paths
from pipeline.core.errors import LayermapError
from pipeline.fetch.mirror import parse_mirror
from pipeline.fetch.stage import run_fetch_weights
from pipeline.fetch.weights.pins import source_of
from pipeline.models.networks.two_pathway import NAME, TWO_PATHWAY_CPC
from pipeline.models.shown.present_pictures import IMAGENET_MEAN, IMAGENET_SD
from pipeline.models.torch.torch_network import load_weights
from pipeline.training.objectives.objective import ObjectiveEntry, Setting
from pipeline.training.objectives.predictive_coding import PredictiveCoding, PredictiveCodingOptions


class PublishedOptions(PredictiveCodingOptions):
    """Published weights, measured by contrastive predictive coding."""

    kind: Literal["published"] = "published"  # type: ignore[assignment]
    model: Literal["two-pathway-cpc"] = Field("two-pathway-cpc", description="network of the registry")


class _Whole(nn.Module):
    """Encoder and heads under the names of the checkpoint."""

    def __init__(self, backbone: nn.Module, agg: nn.Module, network_pred: nn.Module) -> None:
        super().__init__()
        self.backbone, self.agg, self.network_pred = backbone, agg, network_pred


class Published(PredictiveCoding):
    """Takes no steps; its weights come from the registry."""

    takes_steps = False

    def __init__(self, options: PublishedOptions, setting: Setting) -> None:
        super().__init__(options, setting)
        for name, values in (("mean", IMAGENET_MEAN), ("sd", IMAGENET_SD)):
            self.register_buffer(name, torch.tensor(values).view(1, 3, 1, 1, 1), persistent=False)

    def load_published(self, encoder: nn.Module, mirror: str | None) -> bool:
        source, folder = source_of(TWO_PATHWAY_CPC), paths.weights_folder(NAME)
        if source is None:
            raise LayermapError(f"{NAME} has no weights")
        run_fetch_weights(NAME, source, paths.WEIGHTS, mirror=parse_mirror(mirror))
        load_weights(_Whole(encoder, self.agg, self.network_pred), folder, NAME)
        return True


PUBLISHED = ObjectiveEntry(
    kind="published",
    options=PublishedOptions,
    make=Published,
    title="published weights (contrastive predictive coding, UCF101)",
    citation=TWO_PATHWAY_CPC.citation,
    trained="self-supervised",
    modalities=("clips",),
    takes_steps=False,
)
