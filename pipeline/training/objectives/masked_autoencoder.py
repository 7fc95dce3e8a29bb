"""Masked autoencoder: from a quarter of a picture's patches, the others are to be painted.

The encoder is given the visible patches and nothing of the others, not even their places; a small decoder, which is
thrown away afterwards, paints the rest. The loss is the squared error of each masked patch's pixels, after the patch's
own mean and SD are taken out.

References
----------
He, Chen, Xie, Li, Dollár & Girshick 2022, Masked autoencoders are scalable vision learners, CVPR
"""

from __future__ import annotations

from typing import Literal, cast

import torch
from pydantic import Field
from torch import nn

from pipeline.core.errors import LayermapError
from pipeline.models.networks.small_vit_module import Block, SmallViT, sine_cosine_positions
from pipeline.training.objectives.augment import as_floats, shifted_and_mirrored
from pipeline.training.objectives.objective import (
    Labels,
    Objective,
    ObjectiveEntry,
    ObjectiveOptions,
    Outcome,
    Setting,
)

N_HEADS = 4
"""Of the decoder."""


class MaskedAutoencoderOptions(ObjectiveOptions):
    """Masked autoencoder."""

    kind: Literal["masked_autoencoder"] = "masked_autoencoder"
    masked: float = Field(0.75, gt=0, lt=1, description="share of patches that the encoder does not see")
    decoder_features: int = Field(64, ge=16, multiple_of=4 * N_HEADS, description="of each token in the decoder")
    decoder_blocks: int = Field(1, ge=1, description="of the decoder")
    shift_px: int = Field(4, ge=0, description="training pictures are moved by up to this many pixels")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirrored training picture")


def random_orders(n: int, n_patches: int, generator: torch.Generator) -> torch.Tensor:
    """An order of each picture's patches, (n, n_patches); the first of them are seen."""
    return torch.rand(n, n_patches, generator=generator).argsort(1)


def patch_targets(patches: torch.Tensor) -> torch.Tensor:
    """Patches (n, patch, pixel), each with mean 0 and variance 1."""
    mean, variance = patches.mean(-1, keepdim=True), patches.var(-1, keepdim=True)
    return (patches - mean) / (variance + 1e-6).sqrt()


class MaskedAutoencoder(Objective):
    """A decoder of narrow blocks on the encoder's tokens and one learned token for every masked patch."""

    positions: torch.Tensor

    loss_is = "squared error of masked patches"
    unit = "variances of a patch"

    def __init__(self, options: MaskedAutoencoderOptions, setting: Setting) -> None:
        super().__init__(setting)
        if not isinstance(setting.encoder, SmallViT):
            raise LayermapError(
                f"objective masked_autoencoder shows some patches only, which {type(setting.encoder).__name__} cannot; "
                "take network: {kind: small_vit}, or a class derived from it"
            )
        self.options = options
        self.n_patches = setting.encoder.n_patches
        self.n_kept = max(1, round((1 - options.masked) * self.n_patches))
        width = options.decoder_features
        positions = sine_cosine_positions(round(self.n_patches**0.5), width)
        self.register_buffer("positions", positions, persistent=False)
        self.narrow = nn.Linear(setting.n_features, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.blocks = nn.Sequential(*(Block(width, N_HEADS) for _ in range(options.decoder_blocks)))
        self.norm = nn.LayerNorm(width)
        self.paint = nn.Linear(width, 3 * setting.encoder.patch_px**2)

    def prepare(
        self, samples: torch.Tensor, labels: Labels, generator: torch.Generator, *, training: bool
    ) -> tuple[torch.Tensor, ...]:
        if training:
            samples = shifted_and_mirrored(samples, self.options.shift_px, self.options.flip, generator)
        order = random_orders(len(samples), self.n_patches, generator).to(samples.device)
        return self.standardised(as_floats(samples)), order

    def loss(self, encoder: nn.Module, *prepared: torch.Tensor) -> Outcome:
        pictures, order = prepared
        vit = cast("SmallViT", encoder)
        patches = vit.cut(pictures)
        tokens = vit.encode(patches, order[:, : self.n_kept])
        painted = self._decoded(tokens, order)
        error = (painted - patch_targets(patches)).square().mean(-1)
        loss = error.gather(1, order[:, self.n_kept :]).mean(1)
        return Outcome(loss, tokens.mean(1))

    def _decoded(self, tokens: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
        """All patches (n, patch, pixel), from tokens of the visible ones."""
        narrow = self.narrow(tokens)
        masked = self.mask_token.to(narrow.dtype).expand(len(tokens), self.n_patches - self.n_kept, -1)
        place = order.argsort(1)[..., None].expand(-1, -1, narrow.shape[-1])
        whole = torch.cat([narrow, masked], 1).gather(1, place) + self.positions
        painted: torch.Tensor = self.paint(self.norm(self.blocks(whole))).float()
        return painted


MASKED_AUTOENCODER = ObjectiveEntry(
    kind="masked_autoencoder",
    options=MaskedAutoencoderOptions,
    make=MaskedAutoencoder,
    title="masked autoencoder",
    citation="He, Chen, Xie, Li, Dollár & Girshick 2022, CVPR",
    trained="self-supervised",
)
