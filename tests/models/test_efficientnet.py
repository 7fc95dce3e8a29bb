"""EfficientNet-Lite0: real weights, sensible classes, the right layers, numbers that do not depend on the batch."""

import numpy as np
import pytest
import skimage.data

from pipeline.models.networks import efficientnet

ANY_CAT = range(281, 286)


@pytest.fixture(scope="module")
def network(weights):
    return efficientnet.load(efficientnet.EFFICIENTNET_LITE0, weights("efficientnet-lite0"), None, "cpu")


@pytest.fixture(scope="module")
def photographs():
    crops = [skimage.data.chelsea(), skimage.data.coffee(), skimage.data.astronaut(), skimage.data.rocket()]
    return np.stack([crop[:300, :400] for crop in crops])


def test_a_cat_is_a_cat(network):
    logits = efficientnet.classify(network, skimage.data.chelsea()[None])
    assert logits.shape == (1, 1000)
    assert int(logits.argmax()) in ANY_CAT


def test_layers_are_those_of_the_registry(network, photographs, pictures_of, all_layers):
    layers = all_layers(network, pictures_of(photographs))
    assert list(layers) == [layer.name for layer in efficientnet.EFFICIENTNET_LITE0.layers]
    assert layers["stem"].shape == (4, 32, 112, 112)
    assert layers["stage7"].shape == (4, 320, 7, 7)
    assert layers["head"].shape == (4, 1280, 1, 1)
    parameters = sum(values.numel() for values in network.module.parameters())
    assert parameters == efficientnet.EFFICIENTNET_LITE0.parameters


def test_head_leads_to_the_networks_own_output(network, photographs, pictures_of, all_layers):
    import torch

    head = torch.from_numpy(all_layers(network, pictures_of(photographs))["head"])
    with torch.no_grad():
        logits = network.module._fc(head.flatten(1)).numpy()
    np.testing.assert_allclose(efficientnet.classify(network, photographs), logits, atol=1e-5)


def test_batch_size_does_not_change_the_numbers(network, photographs, pictures_of, all_layers):
    stimulus = pictures_of(photographs)
    one, all_at_once = all_layers(network, stimulus, 1), all_layers(network, stimulus, 4)
    for name, values in one.items():
        assert np.abs(values - all_at_once[name]).max() < 1e-5 * values.std(), name


def test_grey_is_colour_with_equal_channels(network, photographs, pictures_of, all_layers):
    grey = photographs[:1, ..., :1]
    once = all_layers(network, pictures_of(grey))
    repeated = all_layers(network, pictures_of(np.repeat(grey, 3, axis=3)))
    np.testing.assert_allclose(once["head"], repeated["head"], atol=1e-6)


def test_frames_are_timed_by_their_end(network, photographs, pictures_of):
    kind, time_s = network.clock(pictures_of(photographs, frame_rate_hz=4.0))
    assert kind == "time"
    np.testing.assert_allclose(time_s, [0.25, 0.5, 0.75, 1.0])
