"""Views: against torch's own resampling and colours one picture at a time, and what they must keep."""

import colorsys

import numpy as np
import pytest
import torch

from pipeline.training.objectives.augment import (
    GREY,
    Views,
    as_floats,
    colour_maps,
    random_views,
    shifted_and_mirrored,
)
from pipeline.training.streams import generator_for

PLAIN = Views(smallest_crop=1, flip=0, jitter=0, jittered=0, grey=0)


@pytest.fixture
def pictures():
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3), dtype=np.uint8))


def changed(views, **more):
    return views.model_copy(update=more)


def test_floats_keep_values_and_lie_in_memory_channels_last(pictures):
    floats = as_floats(pictures)
    assert floats.shape == (40, 3, 12, 12) and floats.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal((floats * 255).round().to(torch.uint8).permute(0, 2, 3, 1), pictures)


def test_a_flip_mirrors_and_keeps_the_colours(pictures):
    floats = as_floats(pictures)
    mirrored, as_it_was = (random_views(floats, views, generator_for(1)) for views in (changed(PLAIN, flip=1), PLAIN))
    assert torch.allclose(mirrored.flip(3), as_it_was, atol=1e-5) and not torch.allclose(mirrored, as_it_was, atol=0.1)


def test_views_stay_within_range_and_shape(pictures):
    made = random_views(as_floats(pictures), Views(), generator_for(2))
    assert made.shape == (40, 3, 12, 12) and float(made.min()) >= 0 and float(made.max()) <= 1


def test_a_uniform_picture_stays_uniform():
    """Crops look at no place outside the picture."""
    uniform = torch.full((30, 3, 12, 12), 0.4)
    made = random_views(uniform, changed(Views(), jittered=0, grey=0), generator_for(3))
    assert torch.allclose(made, uniform, atol=1e-6)


def test_without_changes_of_colour_colours_stay(pictures):
    floats = as_floats(pictures)
    matrix, offset = colour_maps(floats, changed(Views(), jittered=0, grey=0), generator_for(4))
    assert torch.equal(matrix, torch.eye(3).expand(40, 3, 3)) and not offset.any()


def test_grey_views_have_equal_colours_of_the_right_level(pictures):
    floats = as_floats(pictures)
    matrix, offset = colour_maps(floats, changed(Views(), jittered=0, grey=1), generator_for(5))
    level = torch.einsum("nchw,c->nhw", floats, torch.tensor(GREY))
    shown = torch.einsum("ndc,nchw->ndhw", matrix, floats) + offset[:, :, None, None]
    assert torch.allclose(shown, level[:, None].expand_as(shown), atol=1e-5)


def test_hue_turns_and_keeps_the_grey_level(pictures):
    floats = as_floats(pictures)
    views = changed(Views(), jittered=1, grey=0, jitter=0.5)
    matrix, offset = colour_maps(floats, views, generator_for(6))
    greys = torch.full((40, 3), 0.5)
    shown = torch.einsum("ndc,nc->nd", matrix, greys)
    # a grey stays grey under hue and saturation, up to brightness and contrast
    assert (shown - shown.mean(1, keepdim=True)).abs().max() < 1e-2
    red = torch.einsum("ndc,c->nd", matrix, torch.tensor([1.0, 0.0, 0.0])) + offset
    hues = [colorsys.rgb_to_hsv(*colour.clamp(0, 1).tolist())[0] for colour in red]
    turned = np.minimum(np.array(hues), 1 - np.array(hues))
    assert 0.01 < turned.max() < 0.25  # hue changes, and by no more than it may


def test_shifts_move_whole_pixels(pictures):
    """Each made picture is some shift of the original, edges repeated, perhaps mirrored."""
    made = shifted_and_mirrored(pictures, 2, 0.5, generator_for(7))
    assert made.dtype == torch.uint8 and made.shape == pictures.shape
    seen = set()
    for original, shown in zip(pictures[:10].numpy(), made[:10].numpy(), strict=True):
        padded = np.pad(original, ((2, 2), (2, 2), (0, 0)), mode="edge")
        found = [
            (down, right, flip)
            for down in range(5)
            for right in range(5)
            for flip in (False, True)
            if np.array_equal(padded[down : down + 12, right : right + 12][:, :: -1 if flip else 1], shown)
        ]
        assert len(found) == 1
        seen.update(found)
    assert len(seen) > 5
    assert torch.equal(shifted_and_mirrored(pictures, 0, 0, generator_for(8)), pictures)
