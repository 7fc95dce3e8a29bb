"""Networks: reproducible from a seed, layers of stable names, and one's own."""

import pytest
import torch
from pydantic import TypeAdapter

from pipeline.core.errors import LayermapError
from pipeline.models.networks.small_vit_module import sine_cosine_positions
from pipeline.models.torch.hooks import tapped
from pipeline.training.diets.entry import SampleForm
from pipeline.training.networks import NetworkSection, make_encoder

FORM = SampleForm(modality="pictures", shape=(32, 32, 3))

KINDS = [{"kind": "small_conv"}, {"kind": "small_vit"}]
OWN = """
import torch

def build(width=3, fails=False, wrong=False):
    if fails:
        raise ValueError("no such width")
    if wrong:
        return "a network"
    return torch.nn.Sequential(torch.nn.Conv2d(3, width, 3, 2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())

def maps():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3))
"""


def section_of(raw, folder="."):
    return TypeAdapter(NetworkSection).validate_python(raw, context={"folder": folder})


@pytest.mark.parametrize("raw", KINDS)
def test_weights_follow_from_the_seed_alone(raw):
    torch.manual_seed(5)
    first = make_encoder(section_of(raw), FORM, 0).module.state_dict()
    torch.manual_seed(6)
    state = torch.random.get_rng_state()
    again = make_encoder(section_of(raw), FORM, 0).module.state_dict()
    assert torch.equal(state, torch.random.get_rng_state())
    other = make_encoder(section_of(raw), FORM, 1).module.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@pytest.mark.parametrize(
    ("raw", "layers", "n_parameters"),
    [
        (KINDS[0], ["stem", *(f"layer{number}" for number in range(1, 7))], 582_880),
        (KINDS[1], ["embedding", *(f"block{number}" for number in range(1, 7)), "norm"], 675_936),
    ],
)
def test_layers_have_stable_names_in_order_of_depth(raw, layers, n_parameters):
    encoder = make_encoder(section_of(raw), FORM, 0)
    assert list(encoder.taps) == layers and encoder.n_parameters == n_parameters
    seen = []
    with tapped(encoder.module, encoder.taps, lambda name, values: seen.append((name, values.shape)), "it"):
        features = encoder.module(torch.randn(2, 3, 32, 32))
    assert [name for name, _ in seen] == layers and features.shape == (2, encoder.n_features)
    if raw["kind"] == "small_conv":
        assert [shape[-1] for _, shape in seen] == [16, 16, 8, 8, 4, 4, 2]


@pytest.mark.parametrize("raw", KINDS)
def test_values_keep_their_size_from_layer_to_layer(raw):
    """An initialisation that neither vanishes nor grows."""
    encoder = make_encoder(section_of(raw), FORM, 0)
    sizes = []
    with (
        torch.no_grad(),
        tapped(encoder.module, encoder.taps, lambda _, values: sizes.append(float(values.std())), "it"),
    ):
        encoder.module.train()(torch.randn(16, 3, 32, 32))
    assert max(sizes) < 10 * min(sizes)


def test_positions_are_all_different():
    positions = sine_cosine_positions(8, 96)
    assert positions.shape == (64, 96) and torch.cdist(positions, positions).fill_diagonal_(1).min() > 0.1


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"kind": "small_vit", "patch_px": 5}, "32 px cannot be cut into patches of 5 px"),
        ({"kind": "small_vit", "n_heads": 5}, "96 is no multiple of 4 and of n_heads 5"),
    ],
)
def test_options_that_do_not_fit(raw, said):
    with pytest.raises(LayermapError, match=said):
        make_encoder(section_of(raw), FORM, 0)


@pytest.fixture
def own(tmp_path):
    (tmp_path / "my_net.py").write_text(OWN, encoding="utf-8")

    def make(layers=("0",), factory="build", **arguments):
        raw = {"kind": "own", "factory": f"my_net.py:{factory}", "arguments": arguments, "layers": layers}
        return make_encoder(section_of(raw, tmp_path), FORM, 0)

    return make


def test_a_network_of_ones_own(own):
    encoder = own(width=5)
    assert encoder.n_features == 5 and list(encoder.taps) == ["0"]
    assert torch.equal(encoder.module[0].weight, own(width=5).module[0].weight)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"fails": True}, r"my_net\.py:build failed \(ValueError: no such width\)"),
        ({"wrong": True}, r"gave a str, expected a torch\.nn\.Module"),
        ({"layers": ("blocks.*",)}, r"unknown module of network .*'blocks\.\*'"),
        ({"factory": "maps"}, r"gave \(2, 4, 30, 30\) for two pictures, expected a tensor \(2, n_features\)"),
        ({"factory": "nothing"}, r"my_net\.py cannot be imported"),
    ],
)
def test_what_is_wrong_with_ones_own_is_said_in_one_line(own, more, said):
    with pytest.raises(LayermapError, match=said) as caught:
        own(**more)
    assert "\n" not in str(caught.value)
