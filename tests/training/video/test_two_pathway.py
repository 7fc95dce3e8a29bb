"""The network of one and two pathways at any width: sizes, tied kernels, stretches of video."""

import pytest
import torch

from pipeline.core.errors import BadConfiguration
from pipeline.core.section import validated
from pipeline.models.networks.two_pathway_module import (
    Backbone,
    RotatedConvolution,
    TwoPathwayNetwork,
    VideoEncoder,
    cut_in_blocks,
)
from pipeline.training.diets.entry import SampleForm
from pipeline.training.networks import make_encoder
from pipeline.training.recipe import Recipe
from tests.training.conftest import recipe_of as picture_recipe
from tests.training.video.conftest import SIZE_PX, recipe_of

FORM = SampleForm(modality="clips", shape=(10, SIZE_PX, SIZE_PX, 3), rate_hz=10)


def n_parameters(module):
    return sum(weights.numel() for weights in module.parameters())


def test_one_pathway_is_as_wide_as_two():
    """Parameters that were counted in the published code: backbones 153,824 and 303,552."""
    two, one = Backbone(), Backbone(n_paths=1)
    assert (n_parameters(two), n_parameters(one)) == (153_824, 303_552)
    assert two.n_channels == one.n_channels == 128
    assert n_parameters(TwoPathwayNetwork(n_paths=1)) == pytest.approx(435_000, abs=500)


def test_kernels_stay_tied_when_they_are_trained():
    """One bank has all the gradients; a turned clip gives turned maps, channels moved on, before and after a step."""
    torch.manual_seed(0)
    stem = RotatedConvolution(3)
    optimiser = torch.optim.Adam(stem.parameters(), lr=0.1)
    clips = torch.randn(2, 3, 5, 17, 17)
    before = stem.weight.detach().clone()
    for _ in range(2):
        upright, turned = stem(clips), stem(clips.rot90(1, (3, 4)))
        torch.testing.assert_close(turned.rot90(-1, (3, 4)).roll(-3, 1), upright, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(turned, upright, atol=0.1)
        optimiser.zero_grad()
        upright.square().mean().backward()
        optimiser.step()
    assert not torch.allclose(stem.weight, before)


def test_features_are_means_over_stretches_seen_one_by_one():
    torch.manual_seed(1)
    encoder = VideoEncoder(2).eval()
    clips = torch.randn(3, 3, 12, SIZE_PX, SIZE_PX)  # two frames are over
    with torch.no_grad():
        features = encoder(clips)
        one_by_one = [encoder.maps(clips[:, :, first : first + 5]).mean((2, 3, 4)) for first in (0, 5)]
    torch.testing.assert_close(features, sum(one_by_one) / 2)
    assert torch.equal(cut_in_blocks(clips)[3], clips[1, :, 5:10])


@pytest.mark.parametrize(("kind", "paths"), [("two_pathway", ["path1", "path2"]), ("one_pathway", ["path1"])])
def test_layers_are_named_by_their_pathway(kind, paths):
    encoder = make_encoder(recipe_of(network={"kind": kind, "width": 4}).network, FORM, 0)
    assert list(encoder.taps) == ["stem", *(f"{path}.res{block}" for path in paths for block in range(10))]
    assert "stem" not in encoder.pathways and sorted(set(encoder.pathways.values())) == paths
    assert encoder.n_features == 16


@pytest.mark.parametrize(
    ("recipe", "more", "said"),
    [
        (
            recipe_of,
            {"network": {"kind": "small_conv"}},
            "network small_conv takes pictures, and diet moving_objects has",
        ),
        (
            recipe_of,
            {"objective": {"kind": "supervised"}},
            "objective supervised learns from pictures, and diet moving",
        ),
        (
            recipe_of,
            {"objective": {"kind": "labels", "learned": ["speaker"]}},
            "has no labels 'speaker'; it has: object",
        ),
        (recipe_of, {"objective": {"kind": "predictive_coding", "n_seen": 9}}, "take 60 frames, and clips have 40"),
        (
            picture_recipe,
            {"network": {"kind": "one_pathway"}},
            "network one_pathway takes clips, and diet toy has pictures",
        ),
        (picture_recipe, {"probes": {"random_dots": {}}}, "probes.random_dots are clips, and diet toy has pictures"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(recipe, more, said):
    raw = recipe().model_dump(mode="json") | more
    with pytest.raises(BadConfiguration) as caught:
        validated(Recipe, raw, "mine.yaml")
    assert said in str(caught.value) and "\n" not in str(caught.value)
