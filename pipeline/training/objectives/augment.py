"""Random views of a batch of pictures, all pictures at once, on whatever device they are.

Parameters are drawn on the processor from one generator, so that a view depends on nothing else. Crops and flips are
one resampling, and all changes of colour are one affine map of each picture's colours: brightness, contrast,
saturation, hue and grey each are such a map.

References
----------
Chen, Kornblith, Norouzi & Hinton 2020 (SimCLR), ICML, appendix A; crops as in Szegedy et al. 2015, CVPR.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch.nn.functional import grid_sample

from pipeline.core.section import Section

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey level (ITU-R BT.601)."""
_TO_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))


class Views(Section):
    """How views of one picture differ."""

    smallest_crop: float = Field(0.2, gt=0, le=1, description="smallest share of the picture's area in a crop")
    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirrored view")
    jitter: float = Field(
        0.5,
        ge=0,
        le=1,
        description="strength of changes of colour: brightness, contrast and saturation by up to 0.8 of it, hue by 0.2",
    )
    jittered: float = Field(0.8, ge=0, le=1, description="probability that a view's colours are changed")
    grey: float = Field(0.2, ge=0, le=1, description="probability of a grey view")


def as_floats(samples: torch.Tensor) -> torch.Tensor:
    """Samples as stored as float32: pictures (n, 3, y, x) and clips (n, 3, frames, y, x) from 0 to 1, in memory as they
    were (channels last); sounds (n, samples) from −1 to 1.
    """
    if samples.dtype == torch.uint8:
        return samples.movedim(-1, 1).to(torch.float32).div_(255)
    if samples.dtype == torch.int16:
        return samples.to(torch.float32).div_(32768)
    return samples.to(torch.float32)


def random_views(pictures: torch.Tensor, views: Views, generator: torch.Generator) -> torch.Tensor:
    """One view of each picture: a crop, perhaps mirrored, of other colours.

    Parameters
    ----------
    pictures : (n, 3, y, x), 0 to 1

    Returns
    -------
    the same shape, 0 to 1
    """
    cropped = _cropped(pictures, views, generator)
    matrix, offset = colour_maps(cropped, views, generator)
    n, _, height, width = cropped.shape
    flat = cropped.permute(0, 2, 3, 1).reshape(n, height * width, 3)
    changed = torch.baddbmm(offset[:, None, :], flat, matrix.transpose(1, 2)).clamp_(0, 1)
    return changed.view(n, height, width, 3).permute(0, 3, 1, 2)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return torch.empty(n).uniform_(low, high, generator=generator)


def _cropped(pictures: torch.Tensor, views: Views, generator: torch.Generator) -> torch.Tensor:
    """Random crops of area and aspect ratio, brought back to the pictures' size (bilinear)."""
    n, _, height, width = pictures.shape
    area = _uniform(n, views.smallest_crop, 1, generator)
    ratio = _uniform(n, math.log(3 / 4), math.log(4 / 3), generator).exp()
    wide, high = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
    left, top = ((1 - size) * _uniform(n, -1, 1, generator) for size in (wide, high))
    mirrored = torch.where(_uniform(n, 0, 1, generator) < views.flip, -1.0, 1.0)
    columns = (torch.arange(width) * 2 + 1) / width - 1
    rows = (torch.arange(height) * 2 + 1) / height - 1
    x = left[:, None] + (wide * mirrored)[:, None] * columns
    y = top[:, None] + high[:, None] * rows
    grid = torch.stack([x[:, None, :].expand(-1, height, -1), y[:, :, None].expand(-1, -1, width)], -1)
    place = grid.to(pictures.device)
    return grid_sample(pictures, place, mode="bilinear", padding_mode="border", align_corners=False)


def colour_maps(pictures: torch.Tensor, views: Views, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """The change of each picture's colours, as matrix (n, 3, 3) and offset (n, 3): new = matrix · colour + offset.

    Contrast turns about the picture's mean grey level. The order is that of brightness, contrast, saturation, hue,
    grey, without cutting values between them.
    """
    n, device = len(pictures), pictures.device
    strong, hue = 0.8 * views.jitter, 0.2 * views.jitter
    brightness, contrast, saturation = (_uniform(n, 1 - strong, 1 + strong, generator) for _ in range(3))
    angle = _uniform(n, -hue, hue, generator) * 2 * math.pi
    changed = _uniform(n, 0, 1, generator) < views.jittered
    greyed = _uniform(n, 0, 1, generator) < views.grey
    identity, to_grey = torch.eye(3), torch.tensor(GREY).expand(3, 3)
    faded = saturation[:, None, None] * identity + (1 - saturation)[:, None, None] * to_grey
    to_yiq = torch.tensor(_TO_YIQ)
    turn = torch.zeros(n, 3, 3)
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = angle.cos()
    turn[:, 1, 2], turn[:, 2, 1] = -angle.sin(), angle.sin()
    coloured = torch.linalg.inv(to_yiq) @ turn @ to_yiq @ faded
    matrix = torch.where(changed[:, None, None], coloured * (brightness * contrast)[:, None, None], identity)
    offset = torch.where(changed, (1 - contrast) * brightness, torch.zeros(n))
    matrix = torch.where(greyed[:, None, None], to_grey @ matrix, matrix)
    mean_grey = torch.einsum("nchw,c->n", pictures, torch.tensor(GREY, device=device)) / pictures[0, 0].numel()
    return matrix.to(device), (offset.to(device) * mean_grey)[:, None].expand(-1, 3)


def shifted_and_mirrored(pictures: torch.Tensor, most_px: int, flip: float, generator: torch.Generator) -> torch.Tensor:
    """Pictures (n, y, x, 3) moved by up to ``most_px`` in each direction, edges repeated, and perhaps mirrored.

    He et al. 2016, CVPR (crops of padded pictures).
    """
    n, height, width, _ = pictures.shape
    down, right = (torch.randint(-most_px, most_px + 1, (n, 1), generator=generator) for _ in range(2))
    rows = (torch.arange(height) + down).clamp(0, height - 1)
    columns = (torch.arange(width) + right).clamp(0, width - 1)
    columns = torch.where(_uniform(n, 0, 1, generator)[:, None] < flip, columns.flip(1), columns)
    rows, columns = rows.to(pictures.device), columns.to(pictures.device)
    return pictures[torch.arange(n, device=pictures.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
