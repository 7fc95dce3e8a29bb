"""Contrastive predictive coding of video: what comes next is to be told from all that comes elsewhere.

A clip is seen in stretches of five frames. A recurrent aggregator goes over the features of the first stretches and
predicts, at every place, those of the stretches that follow. Each prediction is to be nearest, by dot product, to the
features that come about there and then, among those of all places, stretches and clips of the batch.

Controls: frames in shuffled order (each clip's own, drawn anew at every step) leave pictures and take away their
course; `n_predicted` and `n_seen` set the horizon.

References
----------
Bakhtiari, Mineault, Lillicrap, Pack & Richards 2021, NeurIPS 34; Han, Xie & Zisserman 2019, ICCV workshops (dense
predictive coding)
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import nn
from torch.nn.functional import cross_entropy

from pipeline.core.errors import LayermapError
from pipeline.models.networks.two_pathway_module import (
    BLOCK_FRAMES,
    N_GIVEN,
    N_PREDICTED,
    Aggregator,
    ClipEncoder,
    cut_in_blocks,
    predictions_of,
    predictor,
    scores_of,
)
from pipeline.training.diets.entry import SampleForm
from pipeline.training.objectives.objective import (
    Labels,
    Objective,
    ObjectiveEntry,
    ObjectiveOptions,
    Outcome,
    Setting,
)


class PredictiveCodingOptions(ObjectiveOptions):
    """Contrastive predictive coding."""

    kind: Literal["predictive_coding"] = "predictive_coding"
    n_seen: int = Field(N_GIVEN, ge=1, description="stretches of five frames that are looked at")
    n_predicted: int = Field(N_PREDICTED, ge=1, description="stretches after these that are predicted, one by one")
    stride: int = Field(
        1, ge=1, description="every how many-th frame of the diet is taken; 3 of video at 30 Hz in the published one"
    )
    frames: Literal["in order", "shuffled"] = Field(
        "in order", description="shuffled: a control, each clip's frames in an order of chance"
    )

    @property
    def n_frames(self) -> int:
        """That are taken of a clip."""
        return (self.n_seen + self.n_predicted) * BLOCK_FRAMES

    def misfit(self, form: SampleForm) -> str | None:
        wanted, found = self.n_frames * self.stride, form.shape[0]
        if wanted <= found:
            return None
        return (
            f"{self.n_seen} + {self.n_predicted} stretches of {BLOCK_FRAMES} frames at stride {self.stride} take "
            f"{wanted} frames, and clips have {found}; lower n_seen or n_predicted, or raise n_frames of the diet"
        )


def places(predictions: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and rank of every prediction among the targets of all places, stretches and clips.

    Parameters
    ----------
    predictions, targets : (n, stretch, channel, y, x)

    Returns
    -------
    loss, rank : (n, stretch · y · x), cross-entropy in nats; how many wrong targets score above the right one
    """
    scores = scores_of(predictions.float(), targets.float())
    loss = cross_entropy(scores, torch.arange(len(scores), device=scores.device), reduction="none")
    rank = (scores > scores.diagonal()[:, None]).sum(1)
    return loss.unflatten(0, (len(predictions), -1)), rank.unflatten(0, (len(predictions), -1))


class PredictiveCoding(Objective):
    """Aggregator and predictor, as the published checkpoint names them."""

    loss_is = "cross-entropy of the future among all places"
    unit = "nats"

    def __init__(self, options: PredictiveCodingOptions, setting: Setting) -> None:
        super().__init__(setting)
        if not isinstance(setting.encoder, ClipEncoder):
            raise LayermapError(
                f"objective {options.kind} predicts maps of stretches of video, which {type(setting.encoder).__name__} "
                "does not have; take network: {kind: two_pathway} or another of video"
            )
        self.options = options
        self.agg = Aggregator(setting.n_features)
        self.network_pred = predictor(setting.n_features)

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        n, n_frames = samples.shape[:2]
        options = self.options
        spare = n_frames - (options.n_frames - 1) * options.stride
        first = (
            torch.randint(0, spare, (n, 1), generator=generator) if training else torch.zeros(n, 1, dtype=torch.long)
        )
        taken = first + options.stride * torch.arange(options.n_frames)
        if options.frames == "shuffled":
            taken = taken.gather(1, torch.rand(taken.shape, generator=generator).argsort(1))
        rows = torch.arange(n)[:, None]
        return (self.plain(samples[rows.to(samples.device), taken.to(samples.device)]),)

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        clips, options = prepared[0], self.options
        maps = cast("ClipEncoder", encoder).maps(cut_in_blocks(clips)).mean(2).unflatten(0, (len(clips), -1))
        predictions = predictions_of(maps, self.agg, self.network_pred, options.n_seen, options.n_predicted)
        loss, rank = places(predictions, maps[:, options.n_seen :])
        measures = {f"top{best}": (rank < best).float().mean() for best in (1, 3)}
        return Outcome(loss.mean(1), maps.mean((1, 3, 4)), measures)


PREDICTIVE_CODING = ObjectiveEntry(
    kind="predictive_coding",
    options=PredictiveCodingOptions,
    make=PredictiveCoding,
    title="contrastive predictive coding of video",
    citation="Bakhtiari, Mineault, Lillicrap, Pack & Richards 2021, NeurIPS 34",
    trained="self-supervised",
    modalities=("clips",),
)
