"""Twins: matched weights, recomputed normalisation, activations that are alive."""

import itertools

import numpy as np
import pytest
import skimage.data
import torch

from pipeline.core.errors import LayermapError
from pipeline.models.calibration import calibration_sound, calibration_stimulus
from pipeline.models.entry import Twin
from pipeline.models.hub import network as hub_network
from pipeline.models.hub.known import hub_entry
from pipeline.models.networks import crepe, efficientnet
from pipeline.models.registry import MODELS, resolve_model
from pipeline.models.shown.present_pictures import Optics, Pictures
from pipeline.models.torch.twins import recompute_normalisation, replace_weights

pytestmark = pytest.mark.slow


def small_network():
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv1d(1, 64, 9), torch.nn.BatchNorm1d(64), torch.nn.ReLU(), torch.nn.Conv1d(64, 32, 9)
    )
    torch.nn.init.normal_(network[0].weight, 3.0, 0.5)
    torch.nn.init.constant_(network[3].bias, 0.25)
    return network


def test_each_tensor_keeps_its_mean_and_sd():
    trained, twin = small_network(), small_network()
    replace_weights(twin, Twin("random", 0))
    for (name, old), new in zip(trained.named_parameters(), twin.parameters(), strict=True):
        sd = old.std(correction=0)
        assert abs(new.mean() - old.mean()) <= 4 * sd / np.sqrt(old.numel()), name
        assert abs(new.std(correction=0) - sd) <= 4 * sd / np.sqrt(2 * old.numel()), name
        if sd > 0:
            correlation = np.corrcoef(old.detach().ravel(), new.detach().ravel())[0, 1]
            assert abs(correlation) < 5 / np.sqrt(old.numel()), name
    assert torch.equal(trained[3].bias, twin[3].bias)


def test_seeds_decide_and_untrained_parameters_stay():
    networks = [small_network() for _ in range(3)]
    for network, seed in zip(networks, (0, 0, 1), strict=True):
        network[3].weight.requires_grad_(False)
        replace_weights(network, Twin("random", seed))
    assert torch.equal(networks[0][0].weight, networks[1][0].weight)
    assert not torch.equal(networks[0][0].weight, networks[2][0].weight)
    assert torch.equal(networks[0][3].weight, small_network()[3].weight)


def test_normalisation_is_that_of_what_was_shown():
    network = small_network()
    shown = torch.randn(40, 1, 100, generator=torch.Generator().manual_seed(1)) * 2 + 1
    recompute_normalisation(network, lambda: [network(batch) for batch in shown.split(20)])
    assert not any(module.training for module in network.modules())
    with torch.no_grad():
        normed = (network[1](network[0](shown)) - network[1].bias[:, None]) / network[1].weight[:, None]
    assert normed.mean(dim=(0, 2)).abs().max() < 1e-3
    np.testing.assert_allclose(normed.var(dim=(0, 2)), 1, atol=0.1)


def test_shuffling_keeps_every_tensors_values_and_none_of_their_places():
    trained, *twins = (small_network() for _ in range(4))
    for twin, seed in zip(twins, (0, 0, 1), strict=True):
        replace_weights(twin, Twin("shuffled", seed))
    for (name, old), *new in zip(trained.named_parameters(), *(twin.parameters() for twin in twins), strict=True):
        for values in new:
            assert torch.equal(values.flatten().sort()[0], old.flatten().sort()[0]), name
        assert torch.equal(new[0], new[1]), name
        if old.std() > 0:
            assert not torch.equal(new[0], new[2]), name
            correlation = np.corrcoef(old.detach().ravel(), new[0].detach().ravel())[0, 1]
            assert abs(correlation) < 5 / np.sqrt(old.numel()), name


@pytest.mark.parametrize("kind", ["random", "shuffled"])
def test_a_tensor_is_drawn_by_its_name_alone(kind):
    """Neither the tensors around it nor their order decide: what is added to a network changes no twin."""
    one, other = small_network(), torch.nn.Sequential()
    other.add_module("head", torch.nn.Linear(3, 4))
    for number in (3, 0):
        other.add_module(str(number), small_network()[number])
    for network in (one, other):
        replace_weights(network, Twin(kind, 5))
    for name in ("0.weight", "3.weight"):
        assert torch.equal(one.get_parameter(name), other.get_parameter(name))


@pytest.mark.parametrize("kind", ["random", "shuffled"])
def test_a_loaded_twins_normalisation_is_that_of_the_calibration_pictures(kind, all_layers):
    config = {"hidden_sizes": [8, 16, 32, 64], "depths": [1, 1, 1, 1], "embedding_size": 8}
    entry = hub_entry(
        "small", "resnet", config, objective="random", title="small", citation="—", licence="—",
        preprocessing={"size_px": 32},
    )  # fmt: skip
    trained, twin = (hub_network.load(entry, None, one, "cpu").module for one in (None, Twin(kind, 0)))
    assert trained.embedder.embedder.normalization.running_mean.abs().max() == 0  # as built: it was never trained
    (one,) = Pictures(Optics.of(entry.preprocessing)).passes(calibration_stimulus("images"), 64)
    with torch.no_grad():
        maps = twin.embedder.embedder.convolution(one.inputs)
    stored = twin.embedder.embedder.normalization
    torch.testing.assert_close(stored.running_mean, maps.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stored.running_var, maps.var(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    deep = [one for one in twin.modules() if isinstance(one, torch.nn.BatchNorm2d)]
    assert len(deep) > 8 and all(one.running_var.min() > 0 and not one.training for one in deep)
    with torch.no_grad():
        state = twin(one.inputs).last_hidden_state
    assert 0.1 < float(state.std()) < 10


@pytest.fixture(scope="module")
def layers_of_twins(weights, pictures_of, sounds_of, all_layers):
    """Model → layers of the trained network, of random twins 0 and 1 and of shuffled twin 0."""
    photographs = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut(), skimage.data.rocket()]
    pictures = pictures_of(np.stack([photograph[:300, :400] for photograph in photographs]))
    sound = sounds_of([calibration_sound(16_000, 6.0)[::-1].copy()])
    found = {}
    for name, module, stimulus in (
        ("efficientnet-lite0", efficientnet, pictures),
        ("crepe-tiny", crepe, sound),
    ):
        folder = weights(name)
        twins = [None, Twin("random", 0), Twin("random", 1), Twin("shuffled", 0)]
        found[name] = [all_layers(module.load(MODELS.get(name), folder, twin, "cpu"), stimulus) for twin in twins]
    return found


@pytest.mark.parametrize("model", ["efficientnet-lite0", "crepe-tiny"])
def test_twins_differ_from_each_other_and_stay_alive(layers_of_twins, model):
    trained, *twins = layers_of_twins[model]
    for name in trained:
        for twin, other in itertools.combinations(twins, 2):
            assert np.abs(twin[name] - other[name]).max() > 0.1 * twin[name].std(), name
        for values in (twin[name] for twin in twins):
            spread = values.std(axis=0)
            assert np.isfinite(values).all(), name
            assert (spread > 1e-3 * spread.max()).mean() > 0.3, f"{name}: most units do not respond to the stimulus"
            assert 0.05 < values.std() / trained[name].std() < 20, f"{name}: far from the trained layer's scale"


def test_a_twin_is_the_same_each_time(weights, layers_of_twins, sounds_of, all_layers):
    sound = sounds_of([calibration_sound(16_000, 6.0)[::-1].copy()])
    again = all_layers(crepe.load(crepe.CREPE_TINY, weights("crepe-tiny"), Twin("random", 0), "cpu"), sound)
    for name, values in layers_of_twins["crepe-tiny"][1].items():
        np.testing.assert_array_equal(values, again[name])


@pytest.mark.parametrize("kind", ["random", "shuffled"])
def test_a_twin_is_called_what_it_is(kind):
    assert resolve_model(f"crepe-tiny@{kind}-3").objective == kind
    assert resolve_model(f"crepe-tiny@{kind}-3").twin == Twin(kind, 3)
    assert resolve_model(f"crepe-tiny@{kind}").twin == Twin(kind, 0)
    with pytest.raises(LayermapError, match=f"pixels has no weights, so it has no {kind} twin"):
        resolve_model(f"pixels@{kind}-3")
