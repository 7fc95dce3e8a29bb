"""A user's own folder of files, and the stages run on a study of it."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from pipeline.study.cli import main
from pipeline.study.load import load_study
from pipeline.study.plan import plan_study
from pipeline.study.planned_inputs import DatasetPlan

N = 12
RIDGE = {"kind": "ridge", "splits": {"kind": "random_items", "n_folds": 4, "n_inner_folds": 4}}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def lab(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with 12 pictures, responses (2, 12, 3) and a table of regions; runs go to another folder."""
    folder = tmp_path / "lab"
    (folder / "images").mkdir(parents=True)
    for number in range(N):
        picture = rng.integers(0, 256, (10, 14, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "images" / f"picture-{number:02d}.png")
    np.save(folder / "my.npy", rng.standard_normal((2, N, 3)))
    (folder / "regions.csv").write_text("region,subject,depth_um,note\nV1,a,100,x\nV1,b,,y\nV4,b,300,z\n")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def write_study(folder: Path, model: str = "pixels", **recording: object) -> str:
    recording = {"kind": "files", "responses": "my.npy", "stimulus": "images/", "regions": "regions.csv", **recording}
    content = {
        "study": "mine",
        "title": "My pictures and my cells",
        "analyses": {
            "cells": {
                "recording": {name: value for name, value in recording.items() if value is not None},
                "models": [model],
                "metric": RIDGE,
            }
        },
        "inference": {"n_bootstrap": 100, "permutations": 20, "simulations": 0},
    }
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def plan_of(study: str) -> DatasetPlan:
    return plan_study(load_study(study)).analyses[0].dataset


def run_stages(study: str, *stages: str) -> DatasetPlan:
    for stage in stages or ("catalogue", "fetch", "prepare"):
        assert main([stage, "--study", study]) == 0
    return plan_of(study)


def refusal(study: str, stage: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of a stage that refuses, after what it plans to fetch."""
    capsys.readouterr()
    assert main([stage, "--study", study]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    told = [line for line in lines if "files to fetch, " not in line]
    assert len(told) == 1, lines
    return told[0]
