"""The activate stage: show one stimulus to one network and leave every layer's activations."""

from __future__ import annotations

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.activations.options import Reduction
from pipeline.activations.reduce import make_reducer
from pipeline.artifacts.activations import ActivationWriter, open_activations
from pipeline.artifacts.stimulus import open_stimulus
from pipeline.artifacts.store import write_whole
from pipeline.errors import LayermapError
from pipeline.models.entry import ModelEntry
from pipeline.registry import import_object

if TYPE_CHECKING:
    import numpy as np

    from pipeline.models.entry import Network

BATCH_SIZE = 32


def extract_activations(
    *,
    stimulus_path: Path,
    output: Path,
    model: str,
    entry: ModelEntry,
    seed: int | None,
    layers: tuple[str, ...],
    reduction: Reduction,
    weights_folder: Path | None,
    device: str,
    attrs: dict[str, Any],
    batch_size: int = BATCH_SIZE,
) -> None:
    """Write the activations artifact of one stimulus and one network, whole or not at all.

    Parameters
    ----------
    model : the name a study uses, with the twin's seed: ``efficientnet-lite0@random-3``
    entry : its registry entry
    seed : of the random twin; None for the trained network
    layers : names of the layers to keep
    reduction : how units become features
    weights_folder : what fetch left for the entry; None for baselines
    device : ``auto``, ``cpu`` or ``cuda``
    attrs : the standard attributes, from `pipeline.artifacts.store.standard_attrs`
    batch_size : samples per forward pass; memory grows with it, numbers do not depend on it

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
    network: Network = import_object(entry.factory)(weights_folder, seed, device)
    sample_kind, clock = network.clock(stimulus)
    reduce = make_reducer(reduction)
    infos = [layer for layer in entry.layers if layer.name in layers]
    described = {
        **attrs,
        **_describe(model, entry, seed, reduction),
        "modality": str(stimulus.attrs["modality"]),
        "sample_kind": sample_kind,
        "stimulus": str(stimulus.attrs["name"]),
    }
    with write_whole(output) as temporary:
        writer = ActivationWriter(temporary, infos, len(clock), clock, described)
        with tqdm(total=len(clock), desc=f"{model}: {stimulus.attrs['name']}", unit="sample") as progress:
            for start, batch in network.batches(stimulus, batch_size):
                features = {info.name: reduce(info.name, batch[info.name]) for info in infos}
                _check_finite(features, model, stimulus_path, start)
                writer.write(start, features)
                progress.update(len(next(iter(features.values()))))
        writer.close()
        open_activations(temporary)


def _describe(model: str, entry: ModelEntry, seed: int | None, reduction: Reduction) -> dict[str, Any]:
    """Group attributes that say which network, shown how, reduced how."""
    versions = {"python": platform.python_version()}
    for package in ("numpy", "scipy", "torch", "transformers"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "model": model,
        "objective": entry.objective if seed is None else "random",
        "seed": -1 if seed is None else seed,
        "weights_sha256": entry.weights.sha256 if entry.weights else "",
        "preprocessing": json.dumps(entry.preprocessing, sort_keys=True),
        "reduction": json.dumps(reduction.model_dump(mode="json"), sort_keys=True),
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
