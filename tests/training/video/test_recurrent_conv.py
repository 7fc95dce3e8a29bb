"""Lateral and top-down connections carry earlier frames; the twin of equal parameters has none of it."""

import pytest
import torch

from pipeline.models.networks.recurrent_conv_module import RecurrentConv
from pipeline.models.torch.hooks import tapped


def network_of(recurrent):
    torch.manual_seed(0)
    return RecurrentConv(6, recurrent).eval()


def states_of(network, clips):
    """Layer → (n, channel, frame, y, x)."""
    seen = {}
    with (
        torch.no_grad(),
        tapped(network, network.taps(), lambda name, values: seen.update({name: values.clone()}), "it"),
    ):
        network.maps(clips)
    return seen


@pytest.fixture
def clips():
    return torch.randn(2, 3, 5, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_twin_has_the_same_parameters():
    one, other = network_of(True), network_of(False)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert list(one.state_dict()) == list(other.state_dict()) and list(one.taps()) == list(other.taps())


@pytest.mark.parametrize("recurrent", [True, False])
def test_states_depend_on_earlier_frames_only_and_only_where_it_is_recurrent(clips, recurrent):
    network = network_of(recurrent)
    changed = clips.clone()
    changed[:, :, 2] += 1
    before, after = states_of(network, clips), states_of(network, changed)
    for layer, states in before.items():
        differs = [not torch.allclose(states[:, :, t], after[layer][:, :, t], atol=1e-6) for t in range(5)]
        later = recurrent and layer != "stem"
        assert differs == [False, False, True, later, later], layer


def test_without_lateral_and_top_down_kernels_both_are_one(clips):
    networks = [network_of(recurrent) for recurrent in (True, False)]
    for network in networks:
        for layer in network.layers:
            for kernel in (layer.lateral, layer.above):
                if kernel is not None:
                    torch.nn.init.zeros_(kernel.weight)
    one, other = (states_of(network, clips) for network in networks)
    for layer in one:
        torch.testing.assert_close(one[layer], other[layer])


def test_the_layer_above_is_heard_one_frame_later(clips):
    """With lateral kernels at zero, a change of the third layer's kernel reaches the second one frame later."""
    network, changed = network_of(True), network_of(True)
    for one in (network, changed):
        for layer in one.layers:
            torch.nn.init.zeros_(layer.lateral.weight)
    with torch.no_grad():
        changed.layers[2].below.weight.mul_(-1)
    one, other = states_of(network, clips), states_of(changed, clips)
    same = [[torch.equal(one[f"layer{n}"][:, :, t], other[f"layer{n}"][:, :, t]) for t in range(5)] for n in (1, 2, 3)]
    assert same == [[True, True, False, False, False], [True, *[False] * 4], [False] * 5]


def test_features_keep_their_size_over_frames():
    """Loops neither grow nor ring."""
    states = states_of(network_of(True), torch.randn(4, 3, 40, 16, 16))["layer3"]
    sizes = states.std((0, 1, 3, 4))
    assert sizes[5:].max() < 2 * sizes[5:].min()
