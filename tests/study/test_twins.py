"""The section ``twins``: what it stands for, what is refused, and a whole encoding study with it."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from pipeline.core import paths
from pipeline.core.errors import BadConfiguration
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study
from pipeline.training.results import FILES, RUN, WEIGHTS, write_receipt
from pipeline.training.stage import train_network
from tests.activations.own_study import RIDGE
from tests.training.conftest import recipe_of

TWINS = {"base": "my", "objectives": ["predicting", "labelling"], "reduction": {"kind": "spatial_mean"}}
NAMES = [f"my-{objective}@seed-{seed}" for objective in TWINS["objectives"] for seed in (0, 1)]


def another_seed(folder, seed):
    """A training beside another that differs in its seed, and a little in its weights."""
    copy = folder.with_name(f"seed-{seed}")
    shutil.copytree(folder, copy)
    generator = np.random.default_rng(seed)
    weights = load_file(copy / WEIGHTS)
    for values in weights.values():
        if values.is_floating_point():
            values *= 1 + 0.2 * generator.standard_normal()
    save_file(weights, copy / WEIGHTS)
    rewrite(copy, lambda facts: facts.update(seed=seed))


def rewrite(folder, change):
    """Change facts of a training as if it had been so."""
    facts = json.loads((folder / RUN).read_text())
    change(facts)
    (folder / RUN).write_text(json.dumps(facts))
    write_receipt(folder, f"training {facts['recipe']} seed {facts['seed']}", "key", FILES)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """data/training with two seeds of two objectives."""
    here = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        for name, objective in (("my_predicting", {"kind": "contrastive"}), ("my_labelling", {"kind": "supervised"})):
            folder = train_network(recipe_of(recipe=name, objective=objective), 0, device="cpu")
            another_seed(folder, 1)
    return here / "data" / "training"


@pytest.fixture
def study(lab, trainings):
    """(twins, more of the analysis) → the plan of a study in the folder of a user who has these trainings."""
    shutil.copytree(trainings, lab.work / "data" / "training")

    def plan(twins=TWINS, **more):
        path = lab.folder / "mine.yaml"
        lab.write({}, "pixels")
        content = yaml.safe_load(path.read_text())
        content["analyses"]["cells"] |= {"twins": twins, **more}
        path.write_text(yaml.safe_dump(content))
        return plan_study(load_study(str(path))).analyses[0]

    return plan


def test_it_stands_for_all_seeds_and_for_contrasts_of_objectives(study):
    plan = study(question_contrast="predicting over labelling")
    assert [model.name for model in plan.models] == ["pixels", *NAMES]
    assert {model.choice.reduction.kind for model in plan.models[1:]} == {"spatial_mean"}
    assert [(one.name, one.model, one.reference, one.controlled) for one in plan.analysis.all_contrasts] == [
        ("predicting over labelling", "my-predicting@seed", "my-labelling@seed", True)
    ]
    assert [model.model.objective for model in plan.models[1:]] == ["self-supervised"] * 2 + ["supervised"] * 2
    assert [model.name for model in plan.identified_models] == ["pixels", NAMES[0], NAMES[2]]


def test_seeds_may_be_chosen_and_listed_contrasts_added(study):
    over = {"name": "predicting over pixels", "model": "my-predicting@seed", "reference": "pixels"}
    plan = study({**TWINS, "seeds": [1]}, contrasts=[over])
    assert [model.name for model in plan.models] == ["pixels", NAMES[1], NAMES[3]]
    assert [one.controlled for one in plan.analysis.all_contrasts] == [True, False]


@pytest.mark.parametrize(
    ("changes", "more", "said"),
    [
        ({"base": "mi"}, {}, "unknown base 'mi' (closest: 'my')"),
        ({"objectives": ["predicting", "labeling"]}, {}, "unknown objective of my 'labeling' (closest: 'labelling')"),
        (
            {"base": "images", "objectives": ["masked", "x"]},
            {},
            "no training of images_masked is shipped, or done",
        ),
        ({"seeds": [0, 4]}, {}, "seed 4 of my_predicting is neither shipped nor trained here; run: python -m pipeline"),
        ({"objectives": ["predicting", "predicting"]}, {}, "'predicting' is listed twice"),
        ({"objectives": ["predicting"]}, {}, "at least 2 items"),
        ({}, {"models": [NAMES[0]]}, f"model '{NAMES[0]}' is listed twice"),
        ({}, {"question_contrast": "labelling over predicting"}, "is no contrast of the analysis ('predicting over"),
        ({}, {"contrasts": [{"name": "c", "model": "my-x@seed", "reference": "pixels"}]}, "names model 'my-x@seed'"),
        (
            {},
            {"contrasts": [{"name": "predicting over labelling", "model": NAMES[0], "reference": "pixels"}]},
            "contrast 'predicting over labelling' is one of twins already",
        ),
        (
            {},
            {
                "models": [{"name": "efficientnet-lite0", "random_twins": 2}],
                "contrasts": [{"name": "c", "model": "efficientnet-lite0@random", "reference": "efficientnet-lite0"}],
            },
            "efficientnet-lite0@random stands for several twins; make it the reference",
        ),
    ],
)
def test_what_is_wrong_is_one_line(study, changes, more, said):
    with pytest.raises(BadConfiguration) as caught:
        study({**TWINS, **changes}, **more)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda facts: facts["options"]["network"].update(width=8),
            "architecture (small_conv, width 4; small_conv, ",
        ),
        (lambda facts: facts["diet"].update(contents="0" * 64, title="others"), "diet (patches of photographs"),
        (lambda facts: facts["options"]["course"].update(steps=7), "number of pictures in training (180; 210)"),
    ],
)
def test_networks_that_differ_in_more_than_the_objective_are_refused(study, change, said):
    study()
    rewrite(paths.training("my_labelling", 1), change)
    with pytest.raises(BadConfiguration, match=re.escape(f"and my-labelling@seed-1 have not the same {said}")):
        study()


def test_random_networks_take_no_steps_and_are_compared(study):
    def untrained(facts):
        facts["options"]["course"].update(steps=0)

    study()
    rewrite(paths.training("my_labelling", 0), untrained)
    rewrite(paths.training("my_labelling", 1), untrained)
    assert len(study().models) == 5


@pytest.mark.slow
def test_a_whole_encoding_study_answers_first(study, lab):
    generator = np.random.default_rng(1)
    for number in range(12, 40):
        Image.fromarray(generator.integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(
            lab.folder / "images" / f"picture-{number:04d}.png"
        )
    np.save(lab.folder / "my.npy", generator.standard_normal((40, 2)))
    study(question_contrast="predicting over labelling", metric=RIDGE)
    flags = ("--permutations", "0", "--simulations", "0")
    lab.run("catalogue", "fetch", "prepare", "activate", "encode", "map", "report", flags=flags)
    table = pd.read_csv(paths.map_of("mine").with_name("mine-contrasts.csv"), keep_default_na=False, na_values=[""])
    rows = table[table["contrast"] == "predicting over labelling"].set_index("region")
    assert list(rows.index) == ["V1", "V4", "mean over regions"]
    assert (rows["n_models"] == 2).all() and rows["p"].isna().all() and rows["units_ci_low"].notna().all()
    summary = pd.read_csv(paths.map_of("mine").with_name("mine-summary.csv"))
    of_seeds = summary[summary["model"].isin(NAMES[:2])].groupby("region")["best_layer_score"].mean()
    assert rows["model_score"].iloc[:2].to_numpy() == pytest.approx(of_seeds[["V1", "V4"]].to_numpy(), abs=1e-6)
    page = paths.report("mine").read_text(encoding="utf-8")
    first = re.search(r"<p[^>]*>(.*?)</p>", page[page.index("<main>") :], re.S)
    assert first is not None
    assert first[0].startswith('<p class="answer">')
    assert first[1].startswith("Whether my-predicting (2 seeds) exceeds my-labelling (2 seeds) cannot be told yet")
    assert "in mean r over 2 regions" in first[1] and "over items alone; seed by seed" in first[1]
    for objective in ("predicting", "labelling"):  # the first seed is told in words, all in figures and tables
        assert f"<strong>my-{objective}@seed-0 (" in page and f"<strong>my-{objective}@seed-1" not in page
        assert f"my-{objective}@seed-0 and my-{objective}@seed-1<br>" in page
    assert page.count("(seeds 0, 1)") == 2
    assert "further seeds of a training" in page
