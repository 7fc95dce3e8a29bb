"""A network with weights that need no file: oriented edges, then their energy over larger and larger fields."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.models.entry import ModelEntry, Twin, evenly_deep
from pipeline.models.shown.present_pictures import HALF, Optics, Pictures
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap

if TYPE_CHECKING:
    import torch

OPTICS = Optics(size_px=32, mean=HALF, sd=HALF)


def build_module() -> torch.nn.Module:
    """Eight orientations of edges, rectified, and two stages of pooling."""
    import torch

    edges = torch.nn.Conv2d(3, 8, 7, padding=3, bias=False)
    axis = torch.linspace(-1, 1, 7)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    with torch.no_grad():
        for number in range(8):
            angle = torch.tensor(number * torch.pi / 4)
            edges.weight[number] = torch.sin(3 * (x * torch.cos(angle) + y * torch.sin(angle)))
    return torch.nn.Sequential(edges, torch.nn.ReLU(), torch.nn.AvgPool2d(4), torch.nn.AvgPool2d(4))


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    from pipeline.models.torch.torch_network import assemble

    taps = {"edges": Tap("1"), "pooled4": Tap("2"), "pooled16": Tap("3")}
    return assemble(entry, build_module(), taps, Pictures(Optics.of(entry.preprocessing)), twin=twin, device=device)


EDGES = ModelEntry(
    name="example-edges",
    modalities=("movie", "images"),
    objective="baseline",
    factory="layermap_example.network:load",
    layers=evenly_deep(["edges", "pooled4", "pooled16"]),
    title="Oriented edges",
    citation="none: made up for this example",
    licence="CC0",
    preprocessing=OPTICS.describe(),
    adjustable=("size_px",),
    parameters=1176,
    twins=("random", "shuffled"),
)
