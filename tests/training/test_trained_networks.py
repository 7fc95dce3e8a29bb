"""Trainings as networks: by name, equal to the encoder that was trained, shipped or refused."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from setuptools import Distribution
from setuptools.command.build_py import build_py

from pipeline.activations.options import SpatialMean
from pipeline.activations.stage import extract_activations
from pipeline.artifacts.activations import open_activations
from pipeline.artifacts.stimulus import write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.core import paths
from pipeline.core.code_version import ROOT
from pipeline.core.errors import BadConfiguration, BrokenArtifact, FetchError, LayermapError, UnknownName
from pipeline.fetch.weights import files
from pipeline.fetch.weights.resolve import fetch_weights
from pipeline.models.registry import resolve_model
from pipeline.models.torch.hooks import tapped
from pipeline.models.trained import entries
from pipeline.models.trained.network import load
from pipeline.models.trained.training_files import CARD, PROBES, RECEIPT, SHIPPED_FILES, WEIGHTS
from pipeline.training import ship
from pipeline.training.diets.decoded import open_diet
from pipeline.training.networks import make_encoder
from pipeline.training.objectives.objective import Objective
from pipeline.training.results import FILES, read_tensors, write_receipt
from pipeline.training.ship import ship_training
from pipeline.training.stage import train_network
from tests.training.conftest import SIZE_PX, recipe_of, setting_of

NAME = "my-tiny@seed-3"
ATTRS = standard_attrs("activations", "test", "c", "i")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny training that is done, and the folder it was done in."""
    here = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        train_network(recipe_of(recipe="my_tiny"), 3, device="cpu")
    return here


@pytest.fixture
def here(trained, tmp_path, monkeypatch):
    """A copy of it that may be damaged, and an empty package."""
    shutil.copytree(trained / "data", tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(entries, "SHIPPED", tmp_path / "package" / "models" / "trained" / "shipped")
    return tmp_path


@pytest.fixture
def shipped(here):
    """The training in the package, and no longer where it was trained."""
    place = ship_training("my_tiny", 3, entries.SHIPPED)
    shutil.rmtree(here / "data" / "training")
    return place


def activations(folder, pictures, name=NAME, weights=None):
    """Layer → (picture, feature) of a network, through fetch and activate."""
    model = resolve_model(name)
    items = [f"picture{number}" for number in range(len(pictures))]
    stimulus = xr.Dataset(
        {"images": (("image", "y", "x", "colour"), pictures)},
        {"item": ("image", items)},
        {**standard_attrs("stimulus", "test", "c", "i"), "modality": "images", "name": "p"},
    )
    write_stimulus(stimulus, folder / "p.zarr")
    fetch_weights(name, model.entry.weights, folder / "weights")
    extract_activations(
        stimulus_path=folder / "p.zarr",
        output=folder / "a.zarr",
        model=name,
        entry=model.entry,
        twin=model.twin,
        layers=None,
        reduction=SpatialMean(),
        weights_folder=folder / "weights",
        device="cpu",
        attrs=ATTRS,
    )
    opened = open_activations(folder / "a.zarr")
    return {layer.name: opened.read(layer.name) for layer in opened.layers}


def trained_encoder_on(pictures):
    """Layer → (picture, channel) of the encoder as training has it, shown pictures as its probes are."""
    recipe = recipe_of(recipe="my_tiny")
    diet = open_diet(recipe.diet)
    encoder = make_encoder(recipe.network, diet.facts.form, 3)
    folder = paths.training("my_tiny", 3)
    key = json.loads((folder / "run.json").read_text())["weights_key"]
    encoder.module.load_state_dict(read_tensors(folder / WEIGHTS, key))
    objective = Objective(setting_of(diet, encoder.module, encoder.n_features))
    found = {}
    with torch.no_grad(), tapped(encoder.module.eval(), encoder.taps, found.__setitem__, "encoder"):
        encoder.module(objective.plain(torch.from_numpy(pictures.copy())))
    return {layer: maps.mean((2, 3)).numpy() for layer, maps in found.items()}


def test_activations_are_those_of_the_encoder_that_was_trained(here):
    pictures = np.asarray(open_diet(recipe_of(recipe="my_tiny").diet).test.values[:20])
    found, expected = activations(here, pictures), trained_encoder_on(pictures)
    assert list(found) == list(expected)
    for layer in expected:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-4, atol=1e-5)
        assert expected[layer].std() > 0.01


def test_what_is_shipped_is_the_same_network_without_what_only_training_needed(trained, shipped):
    assert {path.name for path in shipped.iterdir()} == {*SHIPPED_FILES, RECEIPT}
    original = trained / paths.training("my_tiny", 3)
    for name in set(SHIPPED_FILES) - {CARD}:
        assert (shipped / name).read_bytes() == (original / name).read_bytes()
    entry = resolve_model(NAME).entry
    assert entry.weights.package and not entry.weights.path
    assert (entry.objective, entry.preprocessing["size_px"], entry.parameters > 0) == ("supervised", SIZE_PX, True)
    assert "diet patches of photographs" in entry.title
    assert "CC BY" in entry.licence


SHIPPED = [f"{folder.parent.name.replace('_', '-')}@{folder.name}" for folder in entries.SHIPPED.glob("*/seed-*")]


@pytest.mark.parametrize("name", SHIPPED)
def test_what_comes_with_layermap_is_fetched_from_the_package(name, tmp_path):
    model = resolve_model(name)
    receipt = fetch_weights(name, model.entry.weights, tmp_path / "weights")
    origin = next(file.url for file in receipt.files if file.path == "source")
    assert origin.startswith("package:pipeline/models/trained/shipped/")
    network = load(model.entry, tmp_path / "weights", None, "cpu")
    assert [layer.name for layer in model.entry.layers] == list(network.taps)
    assert sum(weights.numel() for weights in network.module.parameters()) == model.entry.parameters


def test_the_wheel_holds_what_is_shipped():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["pipeline"]
    command = build_py(Distribution({"packages": ["pipeline"], "package_data": {"pipeline": patterns}}))
    command.finalize_options()
    command.manifest_files = {}
    found = {Path(file).resolve() for file in command.find_data_files("pipeline", str(ROOT / "pipeline"))}
    there = {path for path in entries.SHIPPED.rglob("*") if path.is_file()}
    assert len(there) == len(entries.trained_names()) * (len(SHIPPED_FILES) + 1)
    assert there <= found
    assert sum(path.stat().st_size for path in there) <= ship.LARGEST_SHIPPED


def test_a_twin_of_it_has_other_weights(here):
    pictures = np.asarray(open_diet(recipe_of(recipe="my_tiny").diet).test.values[:8])
    own = activations(here, pictures)
    (here / "twin").mkdir()
    twin = activations(here / "twin", pictures, f"{NAME}@random-1")
    assert all(np.isfinite(twin[layer]).all() for layer in own)
    assert not np.allclose(own["layer3"], twin["layer3"], rtol=0.1)


@pytest.mark.parametrize("file", [*SHIPPED_FILES, RECEIPT])
def test_an_altered_file_is_refused_by_name(shipped, file):
    contents = (shipped / file).read_bytes()
    middle = next(place for place in range(len(contents) // 2, len(contents)) if chr(contents[place]).isalnum())
    (shipped / file).write_bytes(contents[:middle] + b"5" + contents[middle + 1 :])
    assert (shipped / file).read_bytes() != contents
    with pytest.raises(BrokenArtifact, match=rf"seed-3/{file} .*altered.*install layermap again"):
        resolve_model(NAME)


def test_weights_altered_after_planning_are_not_fetched(here, shipped, monkeypatch):
    monkeypatch.setattr(files, "_roots", lambda package: [here / "package"])
    source = resolve_model(NAME).entry.weights
    fetch_weights(NAME, source, here / "before")
    (shipped / WEIGHTS).write_bytes(b"x" * (shipped / WEIGHTS).stat().st_size)
    with pytest.raises(FetchError, match="sha256"):
        fetch_weights(NAME, source, here / "weights")


def test_only_what_is_finished_and_whole_is_shipped(here, monkeypatch):
    with pytest.raises(BrokenArtifact, match=r"seed-4 holds no finished training; .*--seed 4"):
        ship_training("my_tiny", 4, entries.SHIPPED)
    with pytest.raises(BadConfiguration, match=r"recipe '\.\./my'"):
        ship_training("../my", 3, entries.SHIPPED)
    probes = paths.training("my_tiny", 3) / PROBES
    whole = probes.read_text()
    probes.write_text(whole.replace("0.", "1.", 1))
    with pytest.raises(BrokenArtifact, match=r"probes\.csv is missing or was altered"):
        ship_training("my_tiny", 3, entries.SHIPPED)
    probes.write_text(whole)
    monkeypatch.setattr(ship, "LARGEST_WEIGHTS", 1000)
    with pytest.raises(BadConfiguration, match=r"weights\.safetensors has .* kB; .* 1\.0 kB at most"):
        ship_training("my_tiny", 3, entries.SHIPPED)
    monkeypatch.setattr(ship, "LARGEST_WEIGHTS", 10**6)
    monkeypatch.setattr(ship, "LARGEST_SHIPPED", 1000)
    with pytest.raises(BadConfiguration, match="remove another network first"):
        ship_training("my_tiny", 3, entries.SHIPPED)
    assert not entries.SHIPPED.exists()


def test_a_shipped_name_keeps_its_meaning(here):
    place = ship_training("my_tiny", 3, entries.SHIPPED)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    ship_training("my_tiny", 3, entries.SHIPPED)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    train_network(recipe_of(recipe="my_tiny", course={"steps": 4, "batch": 30}), 3, device="cpu")
    with pytest.raises(BadConfiguration, match="holds other weights, which my-tiny@seed-3 stands for"):
        ship_training("my_tiny", 3, entries.SHIPPED)
    assert resolve_model(NAME).entry.weights.package  # what is shipped comes before what was trained here


@pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("my-tiny", LayermapError, r"trained from several seeds; name one: my-tiny@seed-N, N of 3"),
        ("my-tiny@seed-8", LayermapError, r"neither shipped nor in data/training; .*--recipe my_tiny --seed 8"),
        ("my-tyni@seed-3", UnknownName, r"closest: 'my-tiny@seed-3'"),
    ],
)
def test_names_that_mean_nothing_are_told(here, name, error, said):
    with pytest.raises(error, match=said):
        resolve_model(name)


def test_two_recipes_of_one_name_are_told_apart(here):
    training = here / "data" / "training"
    shutil.copytree(training / "my_tiny", training / "my-tiny")
    with pytest.raises(LayermapError, match="recipes my-tiny and my_tiny both give networks called my-tiny"):
        resolve_model(NAME)


def test_a_network_of_a_file_says_how_it_is_named(here):
    folder = paths.training("my_tiny", 3)
    facts = json.loads((folder / "run.json").read_text())
    facts["options"]["network"] = {"kind": "own", "factory": "mine.py:build", "arguments": {}, "layers": ["0"]}
    shutil.copytree(folder, here / "data" / "training" / "other" / "seed-3")
    (folder / "run.json").write_text(json.dumps(facts))
    write_receipt(folder, "training my_tiny seed 3", "key", FILES)
    with pytest.raises(LayermapError, match=r"made by mine\.py:build, .* under networks: .*weights\.safetensors"):
        resolve_model(NAME)
    with pytest.raises(BrokenArtifact, match="other/seed-3 holds seed 3 of my_tiny: another training took its place"):
        resolve_model("other@seed-3")


@pytest.mark.parametrize(("modality", "shape"), [("clips", [40, 24, 24, 3]), ("sounds", [48_000])])
def test_a_training_on_clips_or_sounds_is_in_no_list_of_networks_and_stops_nothing(here, modality, shape):
    folder = here / "data" / "training" / "my_other" / "seed-3"
    shutil.copytree(here / "data" / "training" / "my_tiny" / "seed-3", folder)
    facts = json.loads((folder / "run.json").read_text())
    facts["recipe"] = "my_other"
    facts["diet"]["form"] = {"modality": modality, "shape": shape, "encoding": "u8", "rate_hz": 10.0}
    facts["diet"].pop("size_px", None)
    (folder / "run.json").write_text(json.dumps(facts))
    write_receipt(folder, "other", "key")
    assert entries.trained_names() == [NAME]
    with pytest.raises(LayermapError, match=f"was trained on {modality}; of the trained networks, studies show"):
        entries.trained_entry("my-other", 3)
