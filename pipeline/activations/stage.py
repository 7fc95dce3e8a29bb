"""The activate stage: show one stimulus to one network and leave every layer's activations."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.activations.options import NoReduction, PrincipalComponents, Reduction
from pipeline.activations.reduce import make_reducer, narrow_only
from pipeline.artifacts.activations import ActivationWriter, open_activations
from pipeline.artifacts.catalogue import open_receipt
from pipeline.artifacts.stimulus import open_stimulus
from pipeline.artifacts.storage.store import write_whole
from pipeline.core.errors import BrokenArtifact, LayermapError, UnknownName
from pipeline.core.keys import sha256_of_file
from pipeline.core.registry import import_object
from pipeline.core.spreadsheet import check_cells
from pipeline.models.entry import ModelEntry, Twin
from pipeline.models.torch.hooked_network import HookedNetwork
from pipeline.stimuli.repeated.contents import kept_contents

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

    from pipeline.activations.reduce import Components
    from pipeline.artifacts.activations import LayerInfo
    from pipeline.models.entry import Network

BASELINE_BATCH_SIZE = 32
"""Of what is no torch module: baselines work on a sample at a time anyway."""


def extract_activations(
    *,
    stimulus_path: Path,
    output: Path,
    model: str,
    entry: ModelEntry,
    twin: Twin | None,
    layers: tuple[str, ...] | None,
    reduction: Reduction | None,
    weights_folder: Path | None,
    device: str,
    attrs: dict[str, Any],
    precision: str = "float32",
    batch_size: int | None = None,
) -> None:
    """Write the activations artifact of one stimulus and one network, whole or not at all.

    Parameters
    ----------
    model : the name a study uses, with the twin's seed: ``efficientnet-lite0@random-3``
    entry : its registry entry
    twin : None for the trained network
    layers : names of the layers to keep; None keeps all
    reduction : how units become features; None keeps them, up to `LARGEST_UNASKED` per layer
    weights_folder : what fetch left for the entry; None for baselines
    device : ``auto``, ``cpu`` or ``cuda``
    attrs : the standard attributes, from `pipeline.artifacts.storage.store.standard_attrs`
    precision : of the network's forward passes; half precision is refused where it changes a layer noticeably
    batch_size : samples per forward pass; None chooses by free memory. Numbers do not depend on it.

    Raises
    ------
    LayermapError
        The network cannot be shown this kind of stimulus, or gives values that are not finite.
    BrokenArtifact
        Stimulus or weights are missing or not what they claim to be.
    """
    from tqdm import tqdm

    stimulus = open_stimulus(stimulus_path)
    if stimulus.attrs["modality"] not in entry.modalities:
        raise LayermapError(
            f"model '{model}' takes {', '.join(entry.modalities)}, "
            f"but {stimulus_path} is {stimulus.attrs['modality']}; "
            "choose another model in the study file"
        )
    if weights_folder is not None:
        check_weights(weights_folder)
    network: Network = import_object(entry.factory)(entry, weights_folder, twin, device)
    sample_kind, clock = network.clock(stimulus)
    infos = _wanted(_layers_of(network, entry, model), layers, model)
    extraction = Extraction(network, stimulus, tuple(info.name for info in infos), reduction, precision, batch_size)
    described = {
        **attrs,
        **_describe(model, entry, twin, reduction or NoReduction(), precision),
        **extraction.described,
        "modality": str(stimulus.attrs["modality"]),
        "sample_kind": sample_kind,
        "stimulus": str(stimulus.attrs["name"]),
        "content": _contents(stimulus, sample_kind, clock),
    }
    with write_whole(output) as temporary:
        writer = ActivationWriter(temporary, infos, len(clock), clock, described)
        with tqdm(total=len(clock), desc=f"{model}: {stimulus.attrs['name']}", unit="sample") as progress:
            for start, features in extraction.batches():
                _check_finite(features, model, stimulus_path, start)
                writer.write(start, features)
                progress.update(len(next(iter(features.values()))))
        writer.close()
        open_activations(temporary)


class Extraction:
    """Batches of reduced layers, whatever kind of network they come from."""

    def __init__(
        self,
        network: Network,
        stimulus: xr.Dataset,
        layers: tuple[str, ...],
        reduction: Reduction | None,
        precision: str,
        batch_size: int | None,
    ) -> None:
        self._network = network
        self._stimulus = stimulus
        self._layers = layers
        self.described: dict[str, Any] = {}
        self._hooked = network if isinstance(network, HookedNetwork) else None
        components = None
        if self._hooked is not None:
            from pipeline.activations.batch_size import choose_batch_size

            self._hooked.precision = precision
            batch_size = batch_size or choose_batch_size(self._hooked, stimulus)
        self._batch_size = batch_size or BASELINE_BATCH_SIZE
        if isinstance(reduction, PrincipalComponents):
            components = self._fit(reduction)
        self._reduce = narrow_only if reduction is None else make_reducer(reduction, components)

    def _fit(self, reduction: PrincipalComponents) -> dict[str, Components]:
        from pipeline.activations.principal_components import fit_components
        from pipeline.models.calibration import calibration_stimulus

        if self._hooked is None:
            raise LayermapError("reduction pca is for networks, not for baselines; take another reduction for them")
        calibration = calibration_stimulus(str(self._stimulus.attrs["modality"]), many=True)
        components = fit_components(self._hooked, calibration, self._layers, reduction, self._batch_size)
        self.described["explained"] = json.dumps({name: round(one.explained, 4) for name, one in components.items()})
        return components

    def batches(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yield (first sample, layer → (n, n_features) float32)."""
        if self._hooked is not None:
            yield from self._hooked.extract(self._stimulus, self._batch_size, self._layers, self._reduce)
            return
        for start, batch in self._network.batches(self._stimulus, self._batch_size):
            yield start, {layer: self._reduce(layer, batch[layer]) for layer in self._layers}


def check_weights(folder: Path) -> None:
    """Refuse weights that are not what fetch left: a flipped bit in a tensor would go unnoticed.

    Raises
    ------
    BrokenArtifact
        Names the file and the remedy.
    """
    receipt = folder / "receipt.json"
    if not receipt.is_file():
        return  # nothing to compare with; what is missing is named when the network is built
    for file in open_receipt(receipt).files:
        path = folder / file.path
        if path.is_file() and sha256_of_file(path) != file.sha256:
            raise BrokenArtifact(f"{path} is damaged or was altered; delete its folder and run: snakemake fetch")


def _contents(stimulus: xr.Dataset, sample_kind: str, clock: np.ndarray) -> str | list[str]:
    """Digest of the whole stimulus, or of the item of each sample; empty for items that it does not have."""
    contents = kept_contents(stimulus)
    if isinstance(contents, str):
        return contents if sample_kind == "time" else [contents] * len(clock)
    if sample_kind == "time":
        return ""
    of_item = {str(item): str(one) for item, one in zip(stimulus["item"].values, contents, strict=True)}
    return [of_item.get(str(item), "") for item in clock]


def _layers_of(network: Network, entry: ModelEntry, model: str) -> tuple[LayerInfo, ...]:
    layers: tuple[LayerInfo, ...] = entry.layers or getattr(network, "layers", ())
    if not layers:
        raise LayermapError(f"network '{model}' does not say which layers it has; give it an attribute layers")
    check_cells([layer.name for layer in layers], "layer", f"network '{model}'", LayermapError)
    return layers


def _wanted(known: tuple[LayerInfo, ...], names: tuple[str, ...] | None, model: str) -> list[LayerInfo]:
    """The layers asked for in order of depth; raises `UnknownName` naming the closest layer."""
    for name in names or ():
        if name not in {layer.name for layer in known}:
            raise UnknownName(f"layer of {model}", name, [layer.name for layer in known])
    return [layer for layer in known if names is None or layer.name in names]


def _describe(model: str, entry: ModelEntry, twin: Twin | None, reduction: Reduction, precision: str) -> dict[str, Any]:
    """Group attributes that say which network, shown how, reduced how."""
    versions = {"python": platform.python_version()}
    for package in ("numpy", "scipy", "torch", "transformers"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "model": model,
        "objective": entry.objective if twin is None else twin.kind,
        "twin": "" if twin is None else twin.kind,
        "seed": -1 if twin is None else twin.seed,
        "weights_sha256": entry.weights.sha256 if entry.weights else "",
        "preprocessing": json.dumps(entry.preprocessing, sort_keys=True),
        "reduction": json.dumps(reduction.model_dump(mode="json"), sort_keys=True),
        "precision": precision,
        "rate": entry.rate,
        "convolved": int(entry.convolved),
        "versions": json.dumps(versions, sort_keys=True),
    }


def _check_finite(features: dict[str, np.ndarray], model: str, stimulus_path: Path, start: int) -> None:
    import numpy as np

    for name, values in features.items():
        if not np.isfinite(values).all():
            sample = start + int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise LayermapError(
                f"layer '{name}' of {model} is not finite at sample {sample} of {stimulus_path}; "
                "check that sample, or leave the layer out of the study"
            )
