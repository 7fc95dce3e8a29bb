"""Recipes validate before anything is trained; what is wrong is named."""

import re

import pytest
import yaml

from pipeline.core.errors import BadConfiguration, LayermapError
from pipeline.training.recipe import RECIPES, Recipe, load_recipe
from tests.training.conftest import recipe_of

OBJECTIVES = ("contrastive", "masked", "random", "shuffled_labels", "supervised")
VIDEO = (
    *(f"{paths}_pathway_{one}" for paths in ("one", "two") for one in ("cpc", "labels", "random")),
    "two_pathway_shuffled_frames",
    "recurrent_cpc",
    "feedforward_cpc",
)
PUBLISHED = "video_two_pathway_published"


def write(folder, **more):
    raw = recipe_of().model_dump(mode="json")
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(raw | more), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", RECIPES.known())
def test_shipped_recipes_are_whole(name):
    recipe = load_recipe(name)
    assert recipe.recipe == name and recipe.cost
    if name.startswith("images_"):
        assert recipe.diet.kind == ("toy" if name.endswith("_toy") else "cifar10")
    else:
        assert recipe.diet.kind == "moving_objects" and recipe.diet.path is None


def test_every_objective_has_a_recipe_and_a_toy():
    named = (*(f"images_{one}" for one in OBJECTIVES), *(f"video_{one}" for one in VIDEO))
    assert set(RECIPES.known()) == {PUBLISHED, *(f"{name}{toy}" for name in named for toy in ("", "_toy"))}


def test_objectives_are_compared_in_one_architecture_and_diet():
    recipes = [load_recipe(f"images_{one}") for one in OBJECTIVES if one != "masked"]
    assert len({recipe.network.model_dump_json() for recipe in recipes}) == 1
    assert len({recipe.diet.model_dump_json() for recipe in recipes}) == 1


@pytest.mark.parametrize("toy", ["", "_toy"])
def test_pathways_and_objectives_of_video_have_one_budget(toy):
    recipes = [load_recipe(f"video_{one}{toy}") for one in VIDEO if "random" not in one]
    assert len({recipe.diet.model_dump_json() for recipe in recipes}) == 1
    assert len({recipe.course.model_dump_json() for recipe in recipes}) == 1
    pathways = [recipe.network for recipe in recipes if recipe.network.kind != "recurrent_conv"]
    assert len(pathways) == 5 and len({network.width for network in pathways}) == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"netwrok": {}}, "unknown key 'netwrok'"),
        ({"course": {"steps": 5, "batch": 8, "epochs": 3}}, "unknown key 'course.epochs'"),
        ({"diet": {"kind": "toy", "pictures": 3}}, "unknown key 'diet.toy.pictures'"),
        ({"diet": {"kind": "cifar"}}, "cifar10"),
        ({"objective": {"kind": "supervised", "temperature": 1}}, "unknown key 'objective.supervised.temperature'"),
        ({"course": {"steps": 5, "batch": 9, "accumulation": 2}}, "9 cannot be gone through in 2 equal parts"),
        ({"course": {"steps": 5, "batch": 8, "warmup_steps": 5}}, "leaves none of 5"),
        ({"course": {"steps": 0, "batch": 8}}, "objective supervised with 0 steps"),
        ({"objective": {"kind": "random"}}, "objective random with 6 steps"),
        ({"seeds": [1, 1]}, "each once"),
        ({"recipe": "../up"}, "must be lower case letters"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, more, said):
    with pytest.raises(BadConfiguration) as caught:
        load_recipe(write(tmp_path, **more))
    assert said in str(caught.value) and "mine.yaml" in str(caught.value) and "\n" not in str(caught.value)


def test_names_that_do_not_exist():
    with pytest.raises(LayermapError, match="unknown recipe 'images_superwised' \\(closest: 'images_supervised'\\)"):
        load_recipe("images_superwised")
    with pytest.raises(BadConfiguration, match=r"recipe file no.yaml does not exist"):
        load_recipe("no.yaml")


def test_pictures_lie_beside_the_recipe_or_where_the_command_says(tmp_path):
    path = write(tmp_path, diet={"kind": "pictures", "path": "mine.zip"})
    assert load_recipe(path).diet.path == tmp_path / "mine.zip"
    assert load_recipe(path, diet_path="/elsewhere.zip").diet.path.as_posix() == "/elsewhere.zip"


def test_every_field_is_described():
    """What a user may write is explained where it is validated."""
    waiting, seen = [Recipe.model_json_schema()], 0
    for schema in [*waiting, *waiting[0]["$defs"].values()]:
        for name, field in schema.get("properties", {}).items():
            if name not in ("kind", "schema_version"):
                assert field.get("description"), f"{schema['title']}.{name}"
                seen += 1
    assert seen > 40


def test_recipes_are_read_by_people():
    for path in RECIPES.folder.glob("*.yaml"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) < 20 and all(len(line) <= 150 for line in lines)
        assert re.match(rf"recipe: {path.stem}$", lines[0])
