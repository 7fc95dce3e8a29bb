"""Keys of activations change with everything that changes a number, and with nothing else."""

import copy
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.activations.stage import extract_activations
from pipeline.core import code_version
from tests.activations.own_study import NETWORK, OWN, Lab

LITE = {"base": "efficientnet-lite0"}
HUB = "facebook/dinov2-small"
NETWORKS = {"own": OWN, "lite": LITE, "vit": {"family": "vit", "config": {"num_hidden_layers": 2}}}


def keys(lab, networks=None, *models, **kwargs):
    """Model → key."""
    lab.write(NETWORKS if networks is None else networks, *models, **kwargs)
    analysis = lab.plan()
    return {model.name: model.act_key(analysis.dataset, "stimulus") for model in analysis.models}


def changed(before, after):
    return {name for name in before if after[name] != before[name]}


@pytest.fixture
def before(lab):
    found = keys(lab)
    assert len(set(found.values())) == len(found) == 3 and keys(lab) == found
    return found


def test_image_sizes_of_one_network_have_keys_of_their_own(lab):
    found = keys(lab, {"a": {**LITE, "size_px": 192}, "b": LITE, "c": {**LITE, "size_px": 224}})
    assert found["a"] != found["b"] == found["c"]
    analysis = lab.plan()
    assert {model.base for model in analysis.models} == {"efficientnet-lite0"}  # whose weights they share


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("own", {"size_px": 17}),
        ("own", {"mean": [0.5, 0.5, 0.5]}),
        ("own", {"sd": [0.5, 0.5, 0.5]}),
        ("own", {"modality": "movie"}),
        ("own", {"modality": "movie", "n_frames": 4}),
        ("own", {"modality": "movie", "frame_interval_s": 0.1}),
        ("own", {"modality": "movie", "time_axis": 1}),
        ("own", {"layers": ["stem", "blocks.*"]}),
        ("own", {"layers": ["stem", "blocks.*", {"module": "head", "side": "input"}]}),
        ("own", {"layers": ["stem", "blocks.*", {"module": "head", "name": "class"}]}),
        ("own", {"arguments": {"width": 4}}),
        ("own", {"arguments": {"width": 5}}),
        ("own", {"input": "pictures"}),
        ("own", {"factory": "my_net.py:other"}),
        ("own", {"objective": "supervised"}),
        ("lite", {"size_px": 192}),
        ("lite", {"base": "pixels"}),
        ("vit", {"seed": 1}),
        ("vit", {"config": {"num_hidden_layers": 3}}),
        ("vit", {"config": {"num_hidden_layers": 2, "hidden_size": 96}}),
        ("vit", {"family": "dinov2"}),
    ],
)
def test_what_a_network_is_and_how_it_is_shown(lab, before, name, change):
    networks = copy.deepcopy(NETWORKS)
    networks[name] = {**networks[name], **change}
    assert changed(before, keys(lab, networks)) == {name}


def test_movie_settings_differ_among_themselves(lab):
    clips = {"a": {}, "b": {"n_frames": 4}, "c": {"frame_interval_s": 0.1}, "d": {"time_axis": 1}}
    found = keys(lab, {name: {**OWN, "modality": "movie", **change} for name, change in clips.items()})
    assert len(set(found.values())) == 4


def test_twins_layers_reduction_and_precision(lab):
    projection = {"kind": "sparse_projection", "n_features": 100}
    choices = [
        {},
        {"layers": ["stem"]},
        {"layers": ["stem", "stage4"]},
        {"precision": "float16"},
        {"precision": "bfloat16"},
        {"reduction": {"kind": "spatial_mean"}},
        {"reduction": {"kind": "class_token"}},
        {"reduction": projection},
        {"reduction": {**projection, "seed": 1}},
        {"reduction": {**projection, "n_features": 101}},
        {"reduction": {"kind": "sparse_projection", "distortion": 0.3}},
        {"reduction": {"kind": "sparse_projection", "distortion": 0.3, "n_samples": 10}},
        {"reduction": {"kind": "pca"}},
        {"reduction": {"kind": "pca", "n_features": 99}},
        {"reduction": {"kind": "pca", "seed": 1}},
    ]
    found = [keys(lab, NETWORKS, {"name": "lite", **choice})["lite"] for choice in choices]
    twins = [f"lite@{kind}-{seed}" for kind in ("random", "shuffled") for seed in (0, 1)]
    found += keys(lab, NETWORKS, *twins).values()
    assert len(set(found)) == len(choices) + len(twins)


def test_what_is_the_same_in_other_words(lab, before):
    assert keys(lab, NETWORKS, {"name": "own", "reduction": {"kind": "none"}})["own"] == before["own"]
    everything = ["stem", *(f"stage{stage}" for stage in range(1, 8)), "head"]
    assert keys(lab, NETWORKS, {"name": "lite", "layers": everything})["lite"] == before["lite"]
    assert keys(lab, NETWORKS, "lite", {"name": "own", "random_twins": 2})["own"] == before["own"]


@pytest.mark.parametrize("change", [{"title": "Mine"}, {"citation": "Me 2026"}, {"licence": "MIT"}])
def test_what_is_only_said_of_a_network(lab, before, change):
    networks = {name: {**section, **change} for name, section in NETWORKS.items()}
    assert keys(lab, networks) == before


def test_the_place_of_the_study(lab, before, tmp_path):
    other = Lab.__new__(Lab)
    other.folder, other.work = tmp_path / "else" / "where", lab.work
    shutil.copytree(lab.folder, other.folder)
    assert keys(other) == before


@pytest.mark.parametrize("change", ["pixel", "name", "removed"])
def test_the_stimulus(lab, before, change):
    picture = lab.folder / "images" / "picture-0003.png"
    if change == "pixel":
        values = np.asarray(Image.open(picture)).copy()
        values[0, 0, 0] ^= 1
        Image.fromarray(values).save(picture)
    elif change == "name":
        picture.rename(picture.with_name("picture-9999.png"))
    else:
        picture.unlink()
    assert changed(before, keys(lab)) == set(before)


def test_options_of_a_dataset(lab):
    found = [
        keys(lab, {}, "pixels", recording={"kind": "simulated_mouse", "n_frames": n_frames, "seed": seed})["pixels"]
        for n_frames, seed in ((240, 0), (360, 0), (240, 1))
    ]
    assert len(set(found)) == 3


def test_local_weights(lab, before):
    networks = {**NETWORKS, "own": {**OWN, "weights": "w.safetensors", "objective": "supervised"}}
    (lab.folder / "w.safetensors").write_bytes(b"one")
    first = keys(lab, networks)
    (lab.folder / "w.safetensors").write_bytes(b"other")
    second = keys(lab, networks)
    assert changed(before, first) == {"own"} and changed(first, second) == {"own"}
    (lab.folder / "w.safetensors").rename(lab.folder / "renamed.safetensors")
    networks["own"]["weights"] = "renamed.safetensors"
    assert keys(lab, networks) == second
    (lab.folder / "renamed.safetensors").rename(lab.folder / "w.pth")
    networks["own"]["weights"] = "w.pth"
    assert changed(second, keys(lab, networks)) == {"own"}  # other bytes come out of another format


def test_pinned_weights(lab, tmp_path, monkeypatch):
    lock = tmp_path / "lock.json"
    monkeypatch.setenv("LAYERMAP_WEIGHTS_LOCK", str(lock))
    found = []
    for revision, digest, config in (("a", "b", "c"), ("a", "d", "c"), ("f", "b", "c"), ("a", "b", "e")):
        files = [
            {"name": name, "bytes": 5, "sha256": 64 * character}
            for name, character in (("config.json", config), ("model.safetensors", digest))
        ]
        settings = {"model_type": "dinov2", "num_hidden_layers": 12, "architectures": ["Dinov2Model"]}
        pin = {"revision": 40 * revision, "files": files, "config": settings, "preprocessor": {}}
        lock.write_text(json.dumps({HUB: pin}))
        found.append(keys(lab, {"own-name": {"hub": HUB}})["own-name"])
    first, other_weights, other_revision, other_config = found
    assert len({first, other_weights, other_config}) == 3
    assert other_revision == first  # the same bytes


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("activations/reduce.py", "density = 1 / np.sqrt(n_units)", "density = 0.5", {"own", "lite", "vit"}),
        ("activations/reduce.py", '"""A seeded, very sparse', '"""A sparse', set()),
        ("activations/batch_size.py", "GPU_SHARE = 0.5", "GPU_SHARE = 0.5  # half", set()),
        ("models/torch/hooked_network.py", "values.float()", "values.float() * 2", {"own", "lite", "vit"}),
        ("models/networks/efficientnet.py", "STAGE_ENDS = (0, 2,", "STAGE_ENDS = (0, 1,", {"lite"}),
        ("models/networks/efficientnet.py", '"""The untrained architecture', '"""An architecture', set()),
        ("models/hub/own_network.py", "evenly_deep(list(taps))", "evenly_deep(list(taps)[::-1])", {"own"}),
        ("models/hub/network.py", "torch.manual_seed(seed)", "torch.manual_seed(seed + 1)", {"vit"}),
        ("models/calibration.py", "CROP_PX = 224", "CROP_PX = 220", {"own", "lite", "vit"}),
        ("recordings/files/dataset.py", 'GROUP = "targets"', 'GROUP = "cells"', {"own", "lite", "vit"}),
        ("encoding/ridge/fit.py", "def fit_ridge(", "def fit_ridges(", set()),
        ("report/page.py", "import annotations\n", "import annotations\nimport os\n", set()),
    ],
)
def test_code_of_the_stage_and_of_the_network(lab, tree, file, old, new, expected):
    before = keys(lab)
    tree(file, old, new)
    assert changed(before, keys(lab)) == expected


def test_code_of_the_users_own_file(lab, before):
    file = lab.folder / "my_net.py"
    file.write_text("# a comment\n" + NETWORK.replace('"""A small network."""', '"""A small one, in other words."""'))
    assert keys(lab) == before
    file.write_text(NETWORK.replace("stride=2", "stride=1"))
    assert changed(before, keys(lab)) == {"own"}


def test_batch_size_device_and_threads_leave_the_store_where_it_is(lab, monkeypatch):
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the stage sets them for itself
    lab.write({"own": OWN})
    lab.run("catalogue", "fetch", "prepare", "activate")
    stores = lab.stores()
    for flags in (("--batch-size", "5"), ("--device", "cpu"), ("--threads", "1")):
        lab.run("activate", flags=flags)
        assert lab.stores() == stores and len(stores) == 1


def test_every_argument_of_the_stage_is_thought_of():
    """A new argument of the stage has to enter the key, or to be named here as one that changes no number."""
    import inspect

    in_key = {"stimulus_path", "entry", "twin", "layers", "reduction", "weights_folder", "precision"}
    in_path, changes_nothing = {"output", "model"}, {"device", "batch_size", "attrs"}
    assert set(inspect.signature(extract_activations).parameters) == in_key | in_path | changes_nothing


def own_key(lab):
    return keys(lab)["own"]


def test_code_of_files_that_the_users_own_file_imports(lab, before):
    file = lab.folder / "my_net.py"
    file.write_text("import blocks\n" + file.read_text())
    (lab.folder / "blocks.py").write_text('"""Blocks."""\nWIDTH = 3\n')
    importing = own_key(lab)
    assert importing != before["own"]
    (lab.folder / "blocks.py").write_text('"""Blocks, said otherwise."""\nWIDTH = 3\n')
    assert own_key(lab) == importing
    (lab.folder / "blocks.py").write_text('"""Blocks."""\nWIDTH = 4\n')
    assert own_key(lab) != importing


@pytest.mark.parametrize("style", ["absolute", "relative"])
def test_code_of_the_package_behind_a_factory(lab, tmp_path, monkeypatch, style):
    name = f"their_{style}_nets"  # one name each: a package that was imported once stays where it was found
    line = f"from {name if style == 'absolute' else ''}.parts import WIDTH"
    package = tmp_path / "site" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text("WIDTH = 3\n")
    (package / "net.py").write_text(f"{line}\n\ndef build():\n    return WIDTH\n")
    monkeypatch.syspath_prepend(str(package.parent))
    networks = {"own": {**OWN, "factory": f"{name}.net:build"}}
    code_version.code_version.cache_clear()
    with_three = keys(lab, networks)["own"]
    (package / "parts.py").write_text("WIDTH = 4\n")
    code_version.code_version.cache_clear()
    assert keys(lab, networks)["own"] != with_three


def test_code_of_a_folder_beside_the_users_own_file(lab):
    file = lab.folder / "my_net.py"
    file.write_text("from models.backbone import WIDTH\n" + file.read_text())
    (lab.folder / "models").mkdir()
    (lab.folder / "models" / "__init__.py").write_text("")
    (lab.folder / "models" / "backbone.py").write_text("from .sizes import WIDTH\n")
    (lab.folder / "models" / "sizes.py").write_text("WIDTH = 3\n")
    importing = own_key(lab)
    (lab.folder / "models" / "sizes.py").write_text("WIDTH = 4\n")
    assert own_key(lab) != importing
