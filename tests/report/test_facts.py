"""What the page says of a model follows from the study file: its role, twins, reduction and precision in words."""

from pathlib import Path

import pytest
import yaml

from pipeline.activations.options import (
    ClassToken,
    NoReduction,
    PrincipalComponents,
    SparseProjection,
    SpatialMean,
)
from pipeline.report.page import preprocessing_in_words
from pipeline.report.wording import NBSP
from pipeline.study.load import load_study
from pipeline.study.page_facts import model_facts, reduction_in_words
from pipeline.study.plan import plan_study

NETWORK = "import torch\n\n\ndef build(width):\n    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3))\n"
STUDY = {
    "study": "tiny",
    "title": "A tiny study",
    "networks": {
        "my-net": {
            "factory": "my_net.py:build",
            "arguments": {"width": 4},
            "modality": "images",
            "layers": ["0"],
            "size_px": 32,
        },
        "effnet-64": {"base": "efficientnet-lite0", "size_px": 64},
    },
    "analyses": {
        "scenes": {
            "recording": {"kind": "allen_scenes"},
            "models": [
                {"name": "my-net", "shuffled_twins": 2, "precision": "float16"},
                {"name": "effnet-64", "random_twins": 1, "reduction": {"kind": "spatial_mean"}},
                "pixels",
            ],
            "metric": {"kind": "rsa"},
        }
    },
}


@pytest.fixture
def models(tmp_path):
    """Name → facts of each model of a study with networks of its own."""
    Path(tmp_path / "my_net.py").write_text(NETWORK, encoding="utf-8")
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    return {one.name: model_facts(one) for one in plan_study(load_study(str(path))).analyses[0].models}


def test_an_untrained_network_of_the_users_own_is_a_network(models):
    own = models["my-net"]
    assert (own.role, own.objective_in_words, own.twin, own.seed) == ("network", "untrained", "", None)


def test_twins_are_told_by_kind_and_seed_and_belong_to_the_network_as_shown(models):
    twin = models["my-net@shuffled-1"]
    assert (twin.role, twin.objective_in_words, twin.network, twin.seed) == ("twin", "shuffled twin", "my-net", 1)
    assert (twin.objective, models["effnet-64@random-0"].objective) == ("shuffled", "random")
    assert models["effnet-64@random-0"].network == "effnet-64"
    assert models["effnet-64@random-0"].objective_in_words == "random twin"
    assert models["pixels"].objective_in_words == models["pixels"].role == "baseline"


def test_precision_and_reduction_are_said(models):
    assert "half precision (float16)" in preprocessing_in_words(models["my-net"])
    assert "precision" not in preprocessing_in_words(models["effnet-64"])
    assert preprocessing_in_words(models["effnet-64"]).endswith("mean over space")


@pytest.mark.parametrize(
    ("reduction", "words"),
    [
        (NoReduction(), ""),
        (SpatialMean(), "mean over space"),
        (ClassToken(), "taking its class token"),
        (SparseProjection(n_features=500, seed=2), "sparse random projection to 500 features, seed 2"),
        (
            # 4 ln 1000 / (.1²/2 − .1³/3) = 5920.9
            SparseProjection(distortion=0.1),
            "sparse random projection to 5920 features (the Johnson–Lindenstrauss bound for squared distances among "
            f"1,000 samples within 10{NBSP}%), seed 0",
        ),
        (
            PrincipalComponents(n_features=50, seed=3),
            "principal components fitted on stimuli outside the study (at most 50; layers of more than 4,096 units "
            "after sparse random projection to that many, seed 3)",
        ),
    ],
)
def test_reductions_in_words(reduction, words):
    assert reduction_in_words(reduction) == words
