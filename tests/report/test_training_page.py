"""The page of a recipe: self-contained, seed by seed, without any p."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from pipeline.report.training_page import training_page
from pipeline.training.diets.decoded import DietFacts
from pipeline.training.diets.entry import LabelSet, SampleForm
from pipeline.training.results import Run, RunFacts

LAYERS = ("stem", "layer1")
DIET = DietFacts(
    kind="pictures",
    key="0123456789",
    contents="0" * 64,
    title="patches",
    licence="CC0",
    citation="",
    form=SampleForm(modality="pictures", shape=(16, 16, 3)),
    labels={"object": LabelSet(classes=("a", "b"))},
    n_train=16,
    n_test=8,
    skipped=("train/a/x.png",),
    repeated=("test/a/y.png",),
    mean=(0.5, 0.5, 0.5),
    sd=(0.2, 0.2, 0.2),
    files={},
)


def run_of(seed, *, collapsed=False, steps=4, cost=True):
    facts = RunFacts(
        recipe="mine",
        title="Mine <b>",
        seed=seed,
        key="0123456789",
        weights_key="0123456789",
        network="small_conv",
        layers=LAYERS,
        n_parameters=123_456,
        n_features=32,
        objective="contrastive (SimCLR)",
        objective_kind="contrastive",
        citation="Chen et al. 2020",
        trained="self-supervised",
        loss_is="NT-Xent",
        unit="nats",
        steps=steps,
        batch=8,
        diet=DIET,
        options={"recipe": "mine", "course": {"steps": steps}},
        cost="seconds",
        measures={"trained": {"feature_sd": 0.01 if collapsed else 0.9, "effective_rank": 9.0}},
    )
    curve = pd.DataFrame({"step": range(1, steps + 1), "loss": np.linspace(3, 1, steps)})
    curve["feature_sd"], curve["effective_rank"] = 0.9, 9.0
    probes = pd.DataFrame(
        [
            {"network": network, "layer": layer, "depth": 0.0, "accuracy": 0.5, "low": 0.4, "high": 0.6}
            for network, layers in (("pixels", ["16×16×3"]), ("trained", LAYERS), ("random twin", LAYERS))
            for layer in layers
        ]
    ).assign(pathway="main", label="object", n_classes=2, penalty=0.1, at_end=False, n_features=8, n_train=16, n_test=8)
    held_out = pd.DataFrame({"network": ["trained"], "loss": [1.0], "low": [0.9], "high": [1.1], "n_samples": [8]})
    told = {"cpu_s": 65.0, "wall_s": 66.0, "samples_per_s": 90.0, "bare_samples_per_s": 100.0, "device": "cpu"}
    return Run(facts, curve, held_out, probes, {**told, "threads": 1} if cost else {})


def test_it_says_what_was_trained_on_what_and_under_which_licence():
    page = training_page([run_of(0), run_of(1)])
    for word in (
        "Mine &lt;b&gt;",
        "123,456 parameters",
        "CC0",
        "1 left out as broken",
        "1 test pictures left out",
        "snakemake train --config recipe=mine",
    ):
        assert word in page
    assert "1 min 5 s" in page and "0.90" in page and "counts as self-supervised" in page


def test_it_needs_no_other_file():
    page = training_page([run_of(0)])
    outside = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)', outside) and "default-src 'none'" in page


def panels(page):
    found = re.findall(r'<script type="application/json" data-for="([^"]+)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def test_every_seed_is_a_line_with_intervals():
    drawn = panels(training_page([run_of(0), run_of(3)]))
    assert set(drawn) == {"training-loss", "training-feature-sd", "training-effective-rank", "training-probes-object"}
    assert len(drawn["training-loss"]["data"]) == 2
    own = [trace for trace in drawn["training-probes-object"]["data"] if "error_y" in trace]
    assert len(own) == 2 and own[0]["error_y"]["array"] == pytest.approx([0.1, 0.1])


def test_no_p_and_a_warning_only_where_features_collapsed():
    fine = training_page([run_of(0)])
    text = re.sub(r"<(script|style).*?</\1>", "", fine, flags=re.DOTALL)
    assert not re.search(r"\bp\s*[=<]", re.sub(r"<[^>]*>", "", text)) and "have collapsed" not in text
    assert "Features have collapsed in seed 1:" in training_page([run_of(0), run_of(1, collapsed=True)])


def test_untrained_networks_have_no_curve_and_lost_times_are_said():
    drawn = panels(training_page([run_of(0, steps=0)]))
    assert set(drawn) == {"training-probes-object"}
    assert "not recorded" in training_page([run_of(0, cost=False)])
