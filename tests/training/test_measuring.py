"""What is measured of a network: layers as it computes them, losses that come again, twins that learned nothing."""

import copy

import numpy as np
import pytest
import torch

from pipeline.training.measuring import show
from pipeline.training.measuring.measure import _mean_with_interval, bare_rate, measure
from pipeline.training.measuring.show import (
    calibrate,
    chosen_samples,
    layer_values,
    objective_losses,
    random_twin,
)
from pipeline.training.networks import make_encoder
from pipeline.training.objectives.objective import OBJECTIVES
from pipeline.training.trainer import Learner
from tests.training.conftest import FORM, recipe_of, setting_of

CPU = torch.device("cpu")


@pytest.fixture(params=["small_conv", "small_vit"])
def made(request, diet):
    """A recipe, its encoder, and the learner, as initialised."""
    narrow = {"small_conv": {"width": 4}, "small_vit": {"n_features": 12, "n_blocks": 2}}[request.param]
    recipe = recipe_of(network={"kind": request.param, **narrow}, objective={"kind": "contrastive"})
    encoder = make_encoder(recipe.network, FORM, 0)
    entry = OBJECTIVES.get("contrastive")
    objective = entry.make(recipe.objective, setting_of(diet, encoder.module, encoder.n_features))
    return recipe, encoder, Learner(encoder.module, objective)


def test_layers_are_those_of_the_forward_pass(made, diet, monkeypatch):
    """In batches, averaged over space or over tokens; the last maps also whole."""
    _, encoder, learner = made
    calibrate(learner, diet.train, 0)
    monkeypatch.setattr(show, "BATCH", 20)
    numbers = np.arange(0, 48, 1)
    values = layer_values(learner, encoder.taps, diet.test, numbers, largest_whole=10_000)
    with torch.no_grad():
        features = learner.encoder(learner.objective.plain(torch.from_numpy(diet.test.values[numbers])))
    last = list(encoder.taps)[-1]
    assert values[last] == pytest.approx(features.numpy(), abs=1e-5)
    if last == "layer6":
        assert list(values)[-1] == "layer6 (whole)"
        whole = values["layer6 (whole)"].reshape(48, encoder.n_features, -1)
        assert whole.mean(2) == pytest.approx(values["layer6"], abs=1e-5)
        assert "layer6 (whole)" not in layer_values(learner, encoder.taps, diet.test, numbers, largest_whole=3)
    else:
        assert list(values) == list(encoder.taps)


def test_losses_of_the_objective_come_again(made, diet):
    _, encoder, learner = made
    numbers = np.arange(48)
    first, measures, features = objective_losses(learner, diet.test, numbers, 0, 20)
    again, _, _ = objective_losses(learner, diet.test, numbers, 0, 20)
    other, _, _ = objective_losses(learner, diet.test, numbers, 1, 20)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert first.shape == (40,) and features.shape == (40, encoder.n_features) and set(measures) == {"identified"}


def test_calibration_gives_normalisation_the_statistics_of_the_pictures(diet):
    recipe = recipe_of()
    encoder = make_encoder(recipe.network, FORM, 0)
    entry = OBJECTIVES.get("random")
    learner = Learner(encoder.module, entry.make(entry.options(), setting_of(diet, encoder.module, 32)))
    calibrate(learner, diet.train, 0)
    seen = encoder.module.stem.conv(learner.objective.plain(torch.from_numpy(diet.train.values)))
    norm = encoder.module.stem.norm
    assert norm.running_mean.numpy() == pytest.approx(seen.mean((0, 2, 3)).detach().numpy(), abs=1e-5)
    assert norm.running_var.numpy() == pytest.approx(seen.var((0, 2, 3)).detach().numpy(), rel=1e-3)
    assert not encoder.module.training


def test_a_twin_has_the_scale_of_the_weights_and_none_of_their_values(made, diet):
    _, _, learner = made
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    twin = random_twin(learner, diet.train, 0)
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())
    for (name, own), other in zip(learner.named_parameters(), twin.parameters(), strict=True):
        spread = float(own.detach().std())
        if own.numel() > 300 and spread > 0:
            assert not torch.equal(own, other), name
            assert float(other.detach().std()) == pytest.approx(spread, rel=0.25)
    again = random_twin(learner, diet.train, 0)
    assert all(torch.equal(a, b) for a, b in zip(twin.parameters(), again.parameters(), strict=True))


def test_the_bare_rate_leaves_the_network_as_it_was(made, diet):
    _, _, learner = made
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    assert bare_rate(learner, diet.train, 16, CPU) > 0
    assert all(torch.equal(before[name], value) for name, value in learner.state_dict().items())


def test_chosen_samples_are_the_same_for_all_and_in_order():
    assert np.array_equal(chosen_samples(5, 9, "probes"), np.arange(5))
    chosen = chosen_samples(1000, 50, "probes")
    assert len(np.unique(chosen)) == 50 and (np.diff(chosen) > 0).all()
    assert np.array_equal(chosen, chosen_samples(1000, 50, "probes"))
    assert not np.array_equal(chosen, chosen_samples(1000, 50, "test"))


def test_intervals_of_a_mean_hold_it_in_95_of_100():
    generator = np.random.default_rng(0)
    held = [_mean_with_interval(generator.exponential(size=200)) for _ in range(400)]
    assert np.mean([one["low"] < 1 < one["high"] for one in held]) == pytest.approx(0.95, abs=0.03)


def test_all_measures_of_a_network(made, diet):
    recipe, encoder, learner = made
    recipe = recipe.model_copy(update={"probes": recipe.probes.model_copy(update={"n_test": 40})})
    measured = measure(learner, copy.deepcopy(learner), encoder, diet, recipe, 0)
    assert measured.held_out["network"].tolist() == ["trained", "untrained"]
    assert (measured.held_out["n_samples"] == 30).all()
    assert set(measured.measures) == {"trained", "untrained"}
    assert measured.measures["trained"].keys() == {"identified", "feature_sd", "effective_rank"}
