"""A network and an objective of one's own, as docs/training.md has them."""

import shutil
from pathlib import Path

import pytest

from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.study.cli import main
from pipeline.training.recipe import load_recipe
from pipeline.training.results import open_run
from pipeline.training.stage import code_behind, train_network

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "own_training"
FILES = ("my_training.py", "my_recipe.yaml")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        shutil.copy(EXAMPLE / name, tmp_path)
    return tmp_path


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_page_of_the_docs_shows_the_example_as_it_is():
    docs = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    for name in FILES:
        assert (EXAMPLE / name).read_text(encoding="utf-8") in docs
    assert all(len(line) <= 120 for line in docs.splitlines())
    assert all(len((EXAMPLE / name).read_text(encoding="utf-8").splitlines()) < 40 for name in FILES)


@pytest.mark.slow
def test_the_example_learns(mine):
    assert main(["train", "--recipe", "my_recipe.yaml", "--device", "cpu"]) == 0
    run = open_run("my_recipe", 0)
    assert run.facts.layers == ("0", "1", "2") and run.facts.network == "my_training.py:build"
    assert run.curve["loss"].iloc[-10:].mean() < run.curve["loss"].iloc[:10].mean()
    held_out = run.held_out.set_index("network")["loss"]
    assert held_out["trained"] < held_out["untrained"]
    assert str(mine) not in (mine / "data/training/my_recipe/seed-0/run.json").read_text(encoding="utf-8")


def test_changed_code_of_ones_own_is_another_training_and_words_are_not(mine):
    before = code_behind(load_recipe("my_recipe.yaml"))
    change(mine / "my_training.py", "which of four ways", "in which of four ways")
    assert code_behind(load_recipe("my_recipe.yaml")) == before
    change(mine / "my_training.py", "nn.Linear(setting.n_features, 4)", "nn.Linear(setting.n_features, 4, bias=False)")
    assert code_behind(load_recipe("my_recipe.yaml")) != before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "class Turns(Objective)",
            "class Turns(nn.Identity)",
            r"my_training\.py:Turns gave a Turns, expected a pipeline",
        ),
        ("nn.Linear(setting.n_features, 4)", "nn.Linear(setting.size, 4)", r"Turns failed \(AttributeError: .*size"),
        ("class Turns", "class Twists", r"my_training\.py cannot be imported"),
    ],
)
def test_what_is_wrong_with_ones_own_is_one_line(mine, old, new, said):
    change(mine / "my_training.py", old, new)
    with pytest.raises(LayermapError, match=said) as caught:
        train_network(load_recipe("my_recipe.yaml"), 0, device="cpu")
    assert "\n" not in str(caught.value)


def test_code_lies_beside_the_recipe(mine):
    change(mine / "my_recipe.yaml", 'factory: "my_training.py:Turns"', 'factory: "shutil:rmtree"')
    with pytest.raises(BadConfiguration, match="is a part of Python itself"):
        load_recipe("my_recipe.yaml")
    change(mine / "my_recipe.yaml", "shutil:rmtree", "skimage.io:imread")
    with pytest.raises(BadConfiguration, match=r"is of a package.*take FILE\.py:function"):
        load_recipe("my_recipe.yaml")
