"""Datasets and networks of a plan: what is fetched, prepared and activated, with keys and paths."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any

from pipeline.artifacts.catalogue import Catalogue, Receipt, open_catalogue, open_receipt
from pipeline.core import paths
from pipeline.core.code_version import code_of_file, code_version
from pipeline.core.errors import BrokenArtifact
from pipeline.core.keys import key_of, sha256_of_file, slug
from pipeline.fetch.weights.pins import has_weights, source_of
from pipeline.fetch.weights.resolve import weights_key
from pipeline.models.entry import ModelEntry
from pipeline.models.registry import ResolvedModel, check_layers, resolve_model
from pipeline.recordings.entry import DatasetEntry, DatasetOptions
from pipeline.study.study import ModelChoice


def module_of(address: str) -> str:
    return address.partition(":")[0]


def _modules_of(entry: ModelEntry) -> list[str]:
    """The modules whose code makes a network: its factory's, and a package's of the user's own."""
    own = str(entry.arguments.get("factory", ""))
    return [module_of(entry.factory), *([module_of(own)] if own and not entry.code else [])]


@dataclasses.dataclass(frozen=True)
class DatasetPlan:
    """One dataset with its options: keys and paths of catalogue, files, stimuli and recordings."""

    entry: DatasetEntry
    options: DatasetOptions
    module: str

    @property
    def kind(self) -> str:
        return self.entry.kind

    @property
    def key(self) -> str:
        """Key of the catalogue and of what is fetched: the options that decide which files are needed."""
        chosen = self.options.model_dump(mode="json")
        if not self.entry.simulated:
            chosen = {name: chosen[name] for name in self.entry.selection} | self.contents
        return key_of(
            {
                "options": chosen,
                "code": code_version(self.module),
                "lists": [sha256_of_file(path) for path in self.entry.lists],
                "simulation": self._simulation_slice(),
            }
        )

    @functools.cached_property
    def contents(self) -> dict[str, Any]:
        """What keys hold instead of paths to local files; read once, so that one plan has one key."""
        return self.entry.contents(self.options) if self.entry.contents else {}

    def _simulation_slice(self) -> dict[str, str]:
        """What else decides a simulation: the weights of the networks that it plants."""
        if not self.entry.simulated:
            return {}
        return {name: weights_key_of(resolve_model(name).entry) for name in self.simulation_models}

    @property
    def prep_key(self) -> str:
        """Key of recordings: the options that decide what they hold, and the code that reads them."""
        return self._key_of_options(self.entry.recorded)

    @property
    def stimulus_key(self) -> str:
        """Key of stimuli: the options that decide what they look like, and the code that makes them."""
        return self._key_of_options(self.entry.recorded if self.entry.shown is None else self.entry.shown)

    def _key_of_options(self, names: tuple[str, ...] | None) -> str:
        """All options and the catalogue, or only the options and contents of these names."""
        options = self.options.model_dump(mode="json") | self.contents
        code = code_version(self.module)
        if names is not None:
            return key_of({"dataset": self.kind, "options": {name: options[name] for name in names}, "code": code})
        return key_of({"catalogue": self.key, "options": options, "code": code})

    @property
    def shares_stimuli(self) -> bool:
        """Whether selections that differ share their stimuli: the key then holds all that a stimulus is made of."""
        return self.entry.shown is not None

    @property
    def simulation_models(self) -> tuple[str, ...]:
        return self.entry.simulation_models(self.options) if self.entry.simulation_models else ()

    @property
    def catalogue_path(self) -> Path:
        return paths.catalogue(self.kind, self.key)

    @property
    def receipt_path(self) -> Path:
        return paths.receipt(self.kind, self.key)

    @property
    def raw_folder(self) -> Path:
        return paths.raw_folder(self.kind, self.key, self.entry.simulated or self.entry.contents is not None)

    def stimulus_path(self, name: str) -> Path:
        return paths.stimulus(self.kind, self.stimulus_key, name)

    def recording_path(self, name: str) -> Path:
        return paths.recording(self.kind, self.prep_key, name)

    def open_catalogue(self) -> Catalogue:
        """The catalogue; raises `BrokenArtifact` for that of another selection under its name, too."""
        catalogue = open_catalogue(self.catalogue_path)
        self._check_key(self.catalogue_path, catalogue.dataset, catalogue.key, "catalogue")
        return catalogue

    def open_receipt(self) -> Receipt:
        """What was fetched; errors as of `open_catalogue`."""
        receipt = open_receipt(self.receipt_path)
        self._check_key(self.receipt_path, receipt.what, receipt.key, "fetch")
        return receipt

    def _check_key(self, path: Path, dataset: str, key: str, stage: str) -> None:
        if (dataset, key) != (self.kind, self.key):
            raise BrokenArtifact(
                f"{path} is of {dataset}, selection {key}, not of {self.kind}, {self.key}: another file took its "
                f"place; delete it and run: snakemake {stage}"
            )


def weights_key_of(entry: ModelEntry) -> str:
    """Key of a network's weights: their source, and the code that converts them."""
    source = source_of(entry)
    return weights_key(source) if source else ""


@dataclasses.dataclass(frozen=True)
class ModelPlan:
    """One model of an analysis."""

    choice: ModelChoice
    model: ResolvedModel

    @property
    def name(self) -> str:
        return self.choice.name

    @property
    def slug(self) -> str:
        return slug(self.choice.name)

    @property
    def layers(self) -> tuple[str, ...] | None:
        """Names in order of depth; None for all layers of a network whose layers are known once it is built."""
        return check_layers(self.model, self.choice.layers)

    @property
    def base(self) -> str:
        """Whose weights are fetched: twins, and networks that are only shown differently, share them."""
        return self.model.entry.weights_of or self.model.entry.name

    @property
    def needs_weights(self) -> bool:
        return has_weights(self.model.entry)

    def act_key(self, dataset: DatasetPlan, stimulus: str) -> str:
        """Everything that changes the activations, and nothing that does not (batch size, device, threads)."""
        entry = self.model.entry
        return key_of(
            {
                "weights": weights_key_of(entry),
                "twin": None if self.model.twin is None else dataclasses.astuple(self.model.twin),
                "objective": entry.objective,
                "arguments": entry.arguments,
                "preprocessing": entry.preprocessing,
                "layers": self.layers,
                "depths": [dataclasses.astuple(layer) for layer in entry.layers],
                "rate": [entry.rate, entry.convolved],
                "reduction": self.choice.reduce_by.model_dump(mode="json"),
                "precision": self.choice.precision,
                "stimulus": [dataset.stimulus_key, stimulus],
                **self.code_key(),
            }
        )

    def code_key(self) -> dict[str, Any]:
        """The code that makes and runs the network, hashed."""
        entry = self.model.entry
        return {
            "code": code_version("pipeline.activations.stage", *_modules_of(entry)),
            "own_code": [code_of_file(path) for path in entry.code],
        }
