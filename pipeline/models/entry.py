"""What a model has to provide. New model = one registry entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pipeline.artifacts.activations import LayerInfo
from pipeline.fetch.weights.source import WeightSource

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

TwinKind = Literal["random", "shuffled"]


@dataclasses.dataclass(frozen=True)
class Twin:
    """A network with the trained one's architecture and none of what it learned; see `pipeline.models.torch.twins`."""

    kind: TwinKind
    seed: int


class Network(Protocol):
    """A loaded model, ready to be shown a stimulus.

    This is all that a model of one's own has to have. What is a torch module is better made a
    `pipeline.models.torch.hooked_network.HookedNetwork`, whose layers are reduced while they are extracted.
    """

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        """(``time``, end of each sample's input in s) or (``item``, item names): the sample axis."""
        ...

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield (first sample, layer → float32 array (n, …)) in sample order.

        Arrays keep their axes, features first: (n, channel, y, x) for maps, (n, feature) for vectors. Time within a
        clip is averaged here, over valid steps only: padding never enters pooling.
        """
        ...


class NetworkFactory(Protocol):
    def __call__(self, entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> Network:
        """Load the trained network (``twin`` None), or a twin with its normalisation statistics recomputed."""
        ...


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A network or baseline of the registry.

    Parameters
    ----------
    name : registry name
    modalities : stimulus modalities it takes (``movie, images, audio, words``)
    objective : ``self-supervised``, ``supervised``, ``random`` (untrained) or ``baseline``; of twins it is their kind
    factory : ``package.module:callable``, a `NetworkFactory`
    layers : in order of depth; empty where they are known only once the network is built
    preprocessing : what is done to the stimulus, JSON-able; part of the key
    adjustable : the keys of ``preprocessing`` that a study may change
    weights : where they come from; None for baselines and for networks that are never trained
    hub : its name on the Hugging Face hub, whose revision and digests are in ``workflows/weights.lock.json``
    weights_of : the network whose fetched weights it uses, where that is another entry
    arguments : what the factory needs besides (configuration of the architecture); part of the key
    code : further files whose contents are part of the key: a user's own network
    rate : how encode bins samples: ``mean``, or ``sum`` for counts
    convolved : features already contain a haemodynamic response: encode adds no delays
    parameters : number of weights; 0 where it is known only once the network is built
    twins : the kinds of twins that make sense
    title, citation, licence : for the report
    """

    name: str
    modalities: tuple[str, ...]
    objective: str
    factory: str
    layers: tuple[LayerInfo, ...]
    title: str
    citation: str
    licence: str
    preprocessing: dict[str, Any] = dataclasses.field(default_factory=dict)
    adjustable: tuple[str, ...] = ()
    weights: WeightSource | None = None
    hub: str = ""
    weights_of: str = ""
    arguments: dict[str, Any] = dataclasses.field(default_factory=dict)
    code: tuple[Path, ...] = ()
    rate: str = "mean"
    convolved: bool = False
    parameters: int = 0
    twins: tuple[TwinKind, ...] = ()


def evenly_deep(names: Sequence[str], pathway: str = "main", first_index: int = 0) -> tuple[LayerInfo, ...]:
    """Layers with indices from ``first_index`` on and relative depths evenly from 0 to 1."""
    last = max(1, len(names) - 1)
    return tuple(LayerInfo(name, first_index + index, index / last, pathway) for index, name in enumerate(names))


def transformer_layers(n_blocks: int, norm: bool) -> tuple[LayerInfo, ...]:
    """``embedding`` (what the first block is given), ``block1`` … and, where there is one, the final ``norm``."""
    return evenly_deep(["embedding", *(f"block{block + 1}" for block in range(n_blocks)), *(["norm"] if norm else [])])
