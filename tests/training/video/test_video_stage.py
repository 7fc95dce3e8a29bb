"""A whole training on video: learns, goes on after a kill to the same bits, and says what each pathway tells."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.core import paths
from pipeline.report.training_page import training_page
from pipeline.training.measuring.pathways import pathway_table
from pipeline.training.results import WEIGHTS, open_run
from pipeline.training.stage import train_network
from tests.training.video.conftest import recipe_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Where a tiny training is done, and the killed one goes on."""
    folder = tmp_path_factory.mktemp("video")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train_network(recipe_of(probes={"n_train": 64, "n_test": 64, "random_dots": DOTS}), 0, device="cpu")
        yield folder


DOTS = {"coherences": [1.0], "n_train": 24, "n_test": 24}


def test_probes_are_of_every_layer_and_pathway(here):
    run = open_run("tiny_video", 0)
    assert run.probes["label"].unique().tolist() == ["motion", "object", "dots 1"]
    own = run.probes[(run.probes["network"] == "trained") & (run.probes["label"] == "motion")]
    assert own["layer"].tolist() == list(run.facts.layers) and own["pathway"].value_counts().to_dict() == {
        "path1": 10,
        "path2": 10,
        "main": 1,
    }
    assert own["depth"].tolist() == pytest.approx([0, *np.arange(1, 11) / 10, *np.arange(1, 11) / 10])
    raw = run.probes[run.probes["network"] == "pixels"]
    assert raw["layer"].unique().tolist() == ["10×16×16×3"] and (raw["n_features"] == 10 * 16 * 16 * 3).all()
    assert run.probes["n_classes"].isin([8, 4]).all() and run.facts.diet.form.modality == "clips"


def test_the_page_and_the_card_tell_pathways_apart(here):
    run = open_run("tiny_video", 0)
    table = pathway_table(run.probes)
    assert len(table) == 2 * 3 * 2 and table["last_layer"].unique().tolist() == ["path1.res9", "path2.res9"]
    own = run.probes[(run.probes["network"] == "trained") & (run.probes["label"] == "object")]
    mean = own.loc[own["pathway"] == "path2", "accuracy"].mean()
    found = table[(table["network"] == "trained") & (table["label"] == "object") & (table["pathway"] == "path2")]
    assert found["mean_accuracy"].item() == pytest.approx(mean)
    page, card = training_page([run]), (paths.training("tiny_video", 0) / "card.md").read_text(encoding="utf-8")
    assert "What each pathway tells" in page and "Features of test clips" in card
    assert f"| trained | object | path2 | {mean:.1%} |" in card and "40 frames of 16 px at 10 Hz" in card


def test_the_rate_stands_beside_the_bare_rate(here):
    cost = json.loads(paths.training_cost("tiny_video", 0).read_text(encoding="utf-8"))
    assert 0.2 < cost["samples_per_s"] / cost["bare_samples_per_s"] < 1.5


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_bits(here, tmp_path, monkeypatch):
    """Dropout, drop-connect, draws of frames and Adam included."""
    monkeypatch.chdir(tmp_path)
    command = [sys.executable, "-m", "tests.training.video.tiny_video_training", "4"]
    environment = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    import os

    done = subprocess.run(command, cwd=tmp_path, env=os.environ | environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = train_network(recipe_of(), 0, device="cpu")
    whole = here / "data/training/tiny_video/seed-0"
    assert (folder / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert (folder / "curve.csv").read_bytes() == (whole / "curve.csv").read_bytes()


def test_labels_are_learned_in_seconds(tmp_path, monkeypatch):
    """Eight clips by heart: the loss falls far below chance, 2 ln 8."""
    monkeypatch.chdir(tmp_path)
    recipe = recipe_of(
        recipe="labels",
        network={"kind": "one_pathway", "width": 2},
        objective={"kind": "labels", "learned": ["motion"]},
        optimiser={"kind": "adam", "learning_rate": 0.01},
        course={"steps": 60, "batch": 8},
        diet={"kind": "moving_objects", "size_px": 16, "n_train": 64, "n_test": 64, "n_frames": 10},
        probes={"n_train": 20, "n_test": 20, "labels": ["motion"]},
    )
    train_network(recipe, 0, device="cpu")
    run = open_run("labels", 0)
    assert run.curve["loss"].iloc[-10:].mean() < run.curve["loss"].iloc[:10].mean() - 0.1


def test_probes_of_shuffled_labels_are_at_chance(diet):
    """Real features of an untrained network, labels in another order: intervals hold chance about as often as said."""
    from pipeline.training.measuring.show import layer_values
    from pipeline.training.networks import make_encoder
    from pipeline.training.objectives.random_weights import RandomOptions, RandomWeights
    from pipeline.training.probes import probe
    from pipeline.training.trainer import Learner
    from tests.training.video.test_predictive_coding import setting_of

    encoder = make_encoder(recipe_of().network, diet.facts.form, 0)
    learner = Learner(encoder.module, RandomWeights(RandomOptions(), setting_of(diet, encoder.module)))
    values = layer_values(learner, encoder.taps, diet.train, np.arange(64), largest_whole=4096)
    assert list(values) == list(encoder.taps) and values["path2.res9"].shape == (64, 4)
    generator, held = np.random.default_rng(0), []
    for _ in range(40):
        labels = generator.permutation(diet.train.labels["object"])
        layer = values[str(generator.choice(list(values)))]
        order = generator.permutation(64)
        one, other = order[:32], order[32:]
        found = probe(layer[one], labels[one], layer[other], labels[other], n_classes=8, validation=0.2, seed=0)
        held.append(found.low <= 1 / 8 <= found.high)
    assert np.mean(held) > 0.85


def test_random_clips_need_no_pathways():
    empty = pathway_table(pd.DataFrame({"network": ["trained"], "label": ["object"], "pathway": ["main"]}))
    assert len(empty) == 0
