"""What a model has to provide. New model = one registry entry."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.artifacts.activations import LayerInfo
from pipeline.fetch.source import WeightSource

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


class Network(Protocol):
    """A loaded model, ready to be shown a stimulus."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        """(``time``, end of each sample's input in s) or (``item``, item names): the sample axis."""
        ...

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield (first sample, layer → float32 array (n, …)) in sample order.

        Arrays keep their feature axes: (n, channel, y, x) for maps, (n, feature) for vectors. Time within a
        clip is averaged here, over valid steps only: padding never enters pooling.
        """
        ...


class NetworkFactory(Protocol):
    def __call__(self, weights_folder: Path | None, seed: int | None, device: str) -> Network:
        """Load the trained network (``seed`` None) or its random twin with that seed.

        A twin has each weight tensor drawn from a normal distribution with the trained tensor's mean and
        SD, and normalisation statistics recomputed on stimuli that no study uses.
        """
        ...


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """A network or baseline of the registry.

    Parameters
    ----------
    name : registry name
    modalities : stimulus modalities it takes (``movie, images, audio, words``)
    objective : ``self-supervised``, ``supervised``, ``random`` or ``baseline``
    factory : ``package.module:callable`` making the `Network`
    layers : in order of depth
    preprocessing : what is done to the stimulus, JSON-able; part of the key
    weights : where they come from; None for baselines
    rate : how encode bins samples: ``mean``, or ``sum`` for counts
    convolved : features already contain a haemodynamic response: encode adds no delays
    parameters : number of weights
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
    weights: WeightSource | None = None
    rate: str = "mean"
    convolved: bool = False
    parameters: int = 0
    has_random_twin: bool = False


def evenly_deep(names: list[str], pathway: str = "main") -> tuple[LayerInfo, ...]:
    """Layers with indices 0, 1, … and relative depths evenly from 0 to 1."""
    last = max(1, len(names) - 1)
    return tuple(LayerInfo(name, index, index / last, pathway) for index, name in enumerate(names))
