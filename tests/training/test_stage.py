"""A whole training: what it leaves, what it does not do again, and what a user who is wrong is told."""

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.core import paths
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.study.cli import main
from pipeline.training import stage
from pipeline.training.recipe import RECIPES, load_recipe
from pipeline.training.results import FILES, RECEIPT, open_run, run_files
from pipeline.training.stage import train_network
from tests.training.conftest import recipe_of

TOYS = [name for name in RECIPES.known() if name.endswith("_toy")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny training that is done, and the folder it was done in."""
    here = tmp_path_factory.mktemp("tiny")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        return here, train_network(recipe_of(), 0, device="cpu")


@pytest.fixture
def here(trained, monkeypatch):
    monkeypatch.chdir(trained[0])
    return trained[1]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def test_it_leaves_what_it_says_and_nothing_else(here):
    assert {path.name for path in here.iterdir()} == {*FILES, RECEIPT}
    assert {path.name for path in run_files("tiny", 0)} == {*FILES, RECEIPT}


def test_probes_stand_beside_the_twin_and_pixels(here):
    probes = open_run("tiny", 0).probes
    layers = ["stem", *(f"layer{number}" for number in range(1, 7))]
    assert probes["network"].unique().tolist() == ["pixels", "trained", "random twin"]
    for network in ("trained", "random twin"):
        own = probes[probes["network"] == network]
        # at 16 px the last maps are of one place: whole, they are what they are averaged
        assert own["layer"].tolist() == [*layers, "layer6 (whole)"]
        assert own["depth"].tolist() == pytest.approx([*np.linspace(0, 1, 7), 1])
    assert ((probes["low"] < probes["accuracy"]) & (probes["accuracy"] <= probes["high"])).all()
    assert (probes["n_train"] == 90).all() and (probes["n_test"] == 45).all()


def test_the_card_says_what_must_be_known(here):
    card = (here / "card.md").read_text(encoding="utf-8")
    for word in ("licence: public domain", "patches of photographs", "--recipe tiny --seed 0", "random twin", "Wilson"):
        assert word in card
    assert "p =" not in card and "p-value" not in card
    assert all(len(line) <= 200 for line in card.splitlines())
    recipe = card.partition("## Recipe")[2]
    assert yaml.safe_load(recipe)["network"]["width"] == 4


def test_a_run_that_is_there_is_not_made_again(here, capsys, monkeypatch):
    monkeypatch.setattr(stage, "_trained", None)
    before = contents(here)
    train_network(recipe_of(), 0, device="cpu")
    assert "all there" in capsys.readouterr().err and contents(here) == before


@pytest.mark.parametrize("name", ["probes.csv", "weights.safetensors", "card.md"])
def test_what_was_altered_is_refused_and_comes_again_to_the_same_bytes(here, name):
    before = contents(here)
    content = bytearray(before[name])
    content[-1] ^= 1
    (here / name).write_bytes(content)
    with pytest.raises(BrokenArtifact, match=f"{name} is missing or was altered"):
        open_run("tiny", 0)
    train_network(recipe_of(), 0, device="cpu")
    assert contents(here) == before


def test_other_probes_need_no_other_training(here, monkeypatch):
    before = contents(here)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "Trainer", None)
        train_network(recipe_of(probes={"n_train": 60, "n_test": 45}), 0, device="cpu")
    assert contents(here)["weights.safetensors"] == before["weights.safetensors"]
    assert open_run("tiny", 0).probes["n_train"].eq(60).all()
    train_network(recipe_of(), 0, device="cpu")
    assert contents(here) == before


def test_keys_hold_what_changes_numbers_and_nothing_else(here):
    def keys(**more):
        recipe = recipe_of(**more)
        job = stage._Job(recipe, 0, stage.open_diet(recipe.diet), stage.choose_device("cpu"), stage.Ranks())
        return job.weights_key(), job.key()

    same = keys()
    course = {"steps": 6, "batch": 30}
    assert keys(course=course | {"checkpoint_steps": 5}) == same
    assert keys(seeds=[4, 5]) == same
    assert keys(cost="much")[0] == same[0] != keys(cost="much")[1]
    assert keys(probes={"n_train": 50, "n_test": 45})[0] == same[0] != keys(probes={"n_train": 50, "n_test": 45})[1]
    assert keys(course=course | {"warmup_steps": 2})[0] != same[0]
    assert keys(objective={"kind": "supervised", "shift_px": 2})[0] != same[0]
    assert keys(diet={"kind": "toy", "n_train": 99, "n_test": 45, "size_px": 16})[0] != same[0]


def test_a_batch_that_is_more_than_there_is(here):
    with pytest.raises(LayermapError, match="a batch of 100 is more than the 90 training pictures"):
        train_network(recipe_of(course={"steps": 6, "batch": 100}), 0, device="cpu")


def test_wrong_commands_are_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--recipe", "images_toy"]) == 1
    assert main(["train", "--recipe", "images_random_toy", "--page"]) == 1
    assert main(["train", "--recipe", "images_supervised", "--diet-path", "nothing.zip"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3
    assert "unknown recipe 'images_toy'" in said[0] and "holds no finished training" in said[1]
    assert "nothing.zip does not exist" in said[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", TOYS)
def test_toys_learn(tmp_path, monkeypatch, name):
    """Each toy through the command: the loss falls, and beats the untrained network and the random twin held out."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--recipe", name, "--device", "cpu"]) == 0
    run = open_run(name, load_recipe(name).seeds[0])
    page = paths.training_page(name).read_text(encoding="utf-8")
    assert run.facts.diet.licence in page
    if "_random" in name:
        assert len(run.curve) == 0 and len(run.held_out) == 0
        return
    quarter = len(run.curve) // 4
    assert run.curve["loss"].iloc[-quarter:].mean() < run.curve["loss"].iloc[:quarter].mean()
    if name == "images_shuffled_labels_toy":
        return  # there is nothing to be right about in held-out pictures
    if name.startswith("video_"):
        assert set(run.probes["label"]) == {"object", "motion", "dots 1"}
        return  # 40 steps on 128 clips lower the loss, and name little yet
    held_out = run.held_out.set_index("network")
    assert held_out.loc["trained", "high"] < held_out.loc["untrained", "low"]
    best = run.probes.groupby("network")["accuracy"].max()
    assert best["trained"] > best["random twin"] + 0.02 and best["trained"] > best["pixels"] + 0.2


@pytest.mark.slow
def test_real_pictures_train(shared_diets, tmp_path, monkeypatch):
    """A few steps on a part of CIFAR-10 itself."""
    import zipfile

    monkeypatch.chdir(tmp_path)
    with (
        zipfile.ZipFile(shared_diets / "images" / "cifar10-jpg.zip") as whole,
        zipfile.ZipFile("some.zip", "w") as part,
    ):
        for name in whole.namelist():
            if name.endswith(("00.jpg", "50.jpg")):
                part.writestr(name, whole.read(name))
    raw = load_recipe("images_supervised").model_dump(mode="json")
    raw |= {"recipe": "some", "course": {"steps": 40, "batch": 64}, "probes": {"n_train": 600, "n_test": 100}}
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    assert main(["train", "--recipe", "some.yaml", "--seed", "0", "--diet-path", "some.zip", "--device", "cpu"]) == 0
    run = open_run("some", 0)
    assert run.facts.diet.title == "CIFAR-10, as in some.zip" and run.facts.diet.n_train == 600
    assert pd.Series(run.curve["loss"]).iloc[-5:].mean() < run.curve["loss"].iloc[:5].mean()
