"""Random twins: matched weights, recomputed normalisation, activations that are alive."""

import numpy as np
import pytest
import skimage.data
import torch

from pipeline.models import crepe, efficientnet
from pipeline.models.calibration import calibration_photographs, calibration_sound
from pipeline.models.registry import resolve_model
from pipeline.models.twins import recompute_normalisation, redraw_weights


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
    redraw_weights(twin, seed=0)
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
        redraw_weights(network, seed)
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


@pytest.fixture(scope="module")
def layers_of_twins(weights, pictures_of, sounds_of, all_layers):
    """Model → layers of the trained network and of twins 0 and 1, for stimuli as in the studies."""
    photographs = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut(), skimage.data.rocket()]
    pictures = pictures_of(np.stack([photograph[:300, :400] for photograph in photographs]))
    sound = sounds_of([calibration_sound(16_000, 6.0)[::-1].copy()])
    found = {}
    for name, module, stimulus in (
        ("efficientnet-lite0", efficientnet, pictures),
        ("crepe-tiny", crepe, sound),
    ):
        folder = weights(name)
        found[name] = [all_layers(module.load(folder, seed, "cpu"), stimulus) for seed in (None, 0, 1)]
    return found


@pytest.mark.parametrize("model", ["efficientnet-lite0", "crepe-tiny"])
def test_twins_differ_from_each_other_and_stay_alive(layers_of_twins, model):
    trained, first, second = layers_of_twins[model]
    for name, values in first.items():
        spread = values.std(axis=0)
        assert np.isfinite(values).all(), name
        assert (spread > 1e-3 * spread.max()).mean() > 0.3, f"{name}: most units do not respond to the stimulus"
        assert 0.05 < values.std() / trained[name].std() < 20, f"{name}: far from the trained layer's scale"
        assert np.abs(values - second[name]).max() > 0.1 * values.std(), name


def test_a_twin_is_the_same_each_time(weights, layers_of_twins, sounds_of, all_layers):
    sound = sounds_of([calibration_sound(16_000, 6.0)[::-1].copy()])
    again = all_layers(crepe.load(weights("crepe-tiny"), 0, "cpu"), sound)
    for name, values in layers_of_twins["crepe-tiny"][1].items():
        np.testing.assert_array_equal(values, again[name])


def test_calibration_stimuli_are_fixed_and_outside_the_demo():
    crops = calibration_photographs(224)
    assert len(crops) == 27
    assert all(crop.shape == (224, 224, 3) and crop.dtype == np.uint8 for crop in crops)
    np.testing.assert_array_equal(crops[0], calibration_photographs(224)[0])
    from pipeline.models.calibration import SCIKIT_IMAGE_PHOTOGRAPHS

    assert not {"astronaut", "camera", "chelsea", "coffee", "rocket"} & set(SCIKIT_IMAGE_PHOTOGRAPHS)
    sound = calibration_sound(16_000, 4.0)
    assert np.abs(sound).max() <= 1
    np.testing.assert_array_equal(sound, calibration_sound(16_000, 4.0))


def test_a_twin_is_called_random():
    assert resolve_model("crepe-tiny@random-3").objective == "random"
    assert resolve_model("crepe-tiny@random-3").seed == 3
