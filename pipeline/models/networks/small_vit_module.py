"""A small vision transformer, whose encoder can be given some of a picture's patches only.

Pre-norm blocks on patches with fixed sine-cosine positions and no class token (Dosovitskiy et al. 2021, ICLR; as in He
et al. 2022, CVPR). With 4-px patches of 32-px pictures, 96 features and 6 blocks it has 0.68 M parameters. Importing
this module imports torch.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from pipeline.models.torch.hooks import Tap, transformer_taps


def sine_cosine_positions(n_side: int, n_features: int) -> torch.Tensor:
    """Fixed positions of a square grid, (n_side², n_features): a quarter each for sine and cosine of y and of x."""
    quarter = n_features // 4
    rates = 1 / 10_000 ** (torch.arange(quarter, dtype=torch.float64) / quarter)
    place = torch.arange(n_side, dtype=torch.float64)
    rows = (place[:, None] * rates).repeat_interleave(n_side, 0)
    columns = (place[:, None] * rates).repeat(n_side, 1)
    return torch.cat([rows.sin(), rows.cos(), columns.sin(), columns.cos()], 1).float()


class Block(nn.Module):
    """Self-attention and a perceptron of two layers, each after layer normalisation and added to its input."""

    def __init__(self, n_features: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.norm1, self.norm2 = nn.LayerNorm(n_features), nn.LayerNorm(n_features)
        self.qkv, self.out = nn.Linear(n_features, 3 * n_features), nn.Linear(n_features, n_features)
        self.wide, self.narrow = nn.Linear(n_features, 4 * n_features), nn.Linear(4 * n_features, n_features)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        n, length, n_features = tokens.shape
        split = self.qkv(self.norm1(tokens)).view(n, length, 3, self.n_heads, n_features // self.n_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        attended = scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(n, length, n_features)
        tokens = tokens + self.out(attended)
        seen: torch.Tensor = tokens + self.narrow(gelu(self.wide(self.norm2(tokens))))
        return seen


class SmallViT(nn.Module):
    """Pictures (n, 3, y, x), standardised, to features (n, n_features): the last tokens averaged.

    Parameters
    ----------
    size_px, patch_px : of the square pictures and patches; the former is a multiple of the latter
    n_features : of each token; a multiple of 4 and of ``n_heads``
    """

    positions: torch.Tensor

    def __init__(
        self, size_px: int = 32, patch_px: int = 4, n_features: int = 96, n_blocks: int = 6, n_heads: int = 3
    ) -> None:
        super().__init__()
        self.patch_px, self.n_features, self.n_patches = patch_px, n_features, (size_px // patch_px) ** 2
        self.patches = nn.Linear(3 * patch_px**2, n_features)
        self.register_buffer("positions", sine_cosine_positions(size_px // patch_px, n_features), persistent=False)
        self.blocks = nn.ModuleList([Block(n_features, n_heads) for _ in range(n_blocks)])
        self.norm = nn.LayerNorm(n_features)
        self.apply(_initialise)

    def cut(self, pictures: torch.Tensor) -> torch.Tensor:
        """Pictures (n, 3, y, x) as patches (n, patch, 3 · patch_px²), row by row."""
        n, n_colours, height, width = pictures.shape
        side = self.patch_px
        grid = pictures.reshape(n, n_colours, height // side, side, width // side, side)
        return grid.permute(0, 2, 4, 3, 5, 1).reshape(n, self.n_patches, -1)

    def encode(self, patches: torch.Tensor, kept: torch.Tensor | None = None) -> torch.Tensor:
        """Tokens (n, patch, feature) after the last normalisation.

        Parameters
        ----------
        patches : (n, patch, pixel)
        kept : (n, n_kept) numbers of the patches that the encoder sees, and no others; None: all
        """
        positions = self.positions.expand(len(patches), -1, -1)
        if kept is not None:
            patches, positions = take(patches, kept), take(positions, kept)
        tokens = self.patches(patches) + positions
        for block in self.blocks:
            tokens = block(tokens)
        encoded: torch.Tensor = self.norm(tokens)
        return encoded

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.encode(self.cut(pictures)).mean(1)

    def taps(self) -> dict[str, Tap]:
        """``embedding``, ``block1`` … and ``norm``, (n, patch, feature)."""
        return transformer_taps([f"blocks.{number}" for number in range(len(self.blocks))], norm="norm")


def take(tokens: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """Tokens (n, patch, feature) of the given numbers (n, n_taken)."""
    return tokens.gather(1, which[..., None].expand(-1, -1, tokens.shape[-1]))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=1 / math.sqrt(module.in_features), a=-1, b=1)
        nn.init.zeros_(module.bias)
