"""A video network of two pathways, self-supervised on predicting the future of natural video.

Stem of rotated kernels, two pathways of ten residual blocks, and contrastive predictive coding: the latents of the
next stretches of video are to be told from those of other places and times (Bakhtiari, Mineault, Lillicrap, Pack &
Richards 2021, NeurIPS 34). Which pathway resembles which stream of visual cortex was not imposed by its training.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.activations import LayerInfo
from pipeline.fetch.weights.source import WeightSource
from pipeline.models.entry import ModelEntry, Twin, evenly_deep
from pipeline.models.shown.present_pictures import IMAGENET_MEAN, IMAGENET_SD, Clips, Optics
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.models.torch.hooks import Tap

if TYPE_CHECKING:
    from pipeline.models.networks.two_pathway_module import TwoPathwayNetwork

NAME = "two-pathway-cpc"
SIZE_PX = 64
CLIP_FRAMES = 5
CLIP_STRIDE_S = 0.1
"""Three frames of video at 30 Hz, as it was trained."""
OPTICS = Optics(SIZE_PX, IMAGENET_MEAN, IMAGENET_SD)
PATHWAYS = ("path1", "path2")
BLOCKS = tuple(f"res{block}" for block in range(10))
PARAMETERS = 285_536
STEP_COUNTERS = 63
"""One per batch normalisation, stored beside the weights; the network is often quoted with them: 285,599."""
MODULES = {"stem": "s1"} | {f"{path}.{block}": f"{path}.res_blocks.{block}" for path in PATHWAYS for block in BLOCKS}
"""Layer → module of the backbone whose output it is, (n, channel, t, y, x)."""


def build_module() -> TwoPathwayNetwork:
    """The untrained architecture with aggregator and predictor, in evaluation mode."""
    from pipeline.models.networks.two_pathway_module import TwoPathwayNetwork

    return TwoPathwayNetwork().eval()


def load(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> HookedNetwork:
    """The trained network, or a twin with its normalisation recomputed on other photographs, standing still.

    Layers are averaged over the clip's frames, as the network's own objective averages its features.
    """
    from pipeline.models.torch.torch_network import assemble, load_weights

    module = build_module()
    load_weights(module, weights_folder, NAME)
    shown = entry.preprocessing
    interval_s = float(shown["frame_interval_s"])
    presenter = Clips(Optics.of(shown), CLIP_FRAMES, interval_s, time_axis=2, average_time=True)
    taps = {layer: Tap(name) for layer, name in MODULES.items()}
    return assemble(entry, module.backbone, taps, presenter, twin=twin, device=device)


TWO_PATHWAY_CPC = ModelEntry(
    name=NAME,
    modalities=("movie", "images"),
    objective="self-supervised",
    factory="pipeline.models.networks.two_pathway:load",
    layers=(
        LayerInfo("stem", 0, 0.0, "stem"),
        *(
            layer
            for path in PATHWAYS
            for layer in evenly_deep([f"{path}.{block}" for block in BLOCKS], pathway=path, first_index=1)
        ),
    ),
    title="Two-pathway video network (contrastive predictive coding, UCF101)",
    citation="Bakhtiari, Mineault, Lillicrap, Pack & Richards 2021, NeurIPS 34; checkpoint cpc_p2 of "
    "ShahabBakht/ventral-dorsal-model, a959ac5",
    licence="none stated (comparison only)",
    preprocessing={
        **OPTICS.describe(),
        "n_frames": CLIP_FRAMES,
        "frame_interval_s": CLIP_STRIDE_S,
        "clip": "the frames on screen up to the sample; a still picture is a clip of equal frames",
        "time": "mean over the clip's frames",
        "look_ahead_s": 0.0,
    },
    adjustable=("size_px", "frame_interval_s"),
    weights=WeightSource(
        sha256="cb05c812000cd19f3c7daf0e4d163feebcb806eddb170fbeaaf7b78e67b6a114",
        bytes=3_732_562,
        url="https://raw.githubusercontent.com/ShahabBakht/ventral-dorsal-model/"
        "a959ac56650468894aa07a2e95eaf80250922791/Checkpoints/cpc_p2.pth.tar",
        convert="pipeline.models.convert.checkpoint:convert_two_pathway",
    ),
    parameters=PARAMETERS,
    twins=("random", "shuffled"),
)
