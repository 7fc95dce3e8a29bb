"""Pictures and clips as networks see them: normalised, resized, with the right past and no future."""

import numpy as np
import pytest
import torch

from pipeline.core.errors import BrokenArtifact
from pipeline.models.shown.present_pictures import HALF, Clips, Optics, Pictures, clip_offsets

AS_THEY_ARE = Optics(4, (0.0,) * 3, (1.0,) * 3, scale=1.0)


def counted(n, colours=3):
    """Frames whose values are their number."""
    return (np.arange(n)[:, None, None, None] * np.ones((1, 4, 4, colours))).astype(np.uint8)


def shown(presenter, stimulus, batch_size=8, first=0):
    """(sample, time) numbers of the frames in each clip, joined over passes."""
    clips = []
    for one in presenter.passes(stimulus, batch_size, first):
        values = one.inputs["pixel_values"]
        assert one.first == first + sum(map(len, clips)) and one.n_samples == len(values)
        assert values.shape[1:] == (5, 3, 4, 4)
        assert (values == values[:, :, :1, :1, :1]).all()
        clips.append(values[:, :, 0, 0, 0].numpy().astype(int))
    return np.concatenate(clips)


@pytest.mark.parametrize("rate_hz", [5.0, 10.0, 24.0, 25.0, 29.97, 30.0, 60.0])
@pytest.mark.parametrize("interval_s", [0.1, 4 / 30])
def test_a_clip_keeps_its_duration_at_any_frame_rate(rate_hz, interval_s, pictures_of):
    presenter = Clips(AS_THEY_ARE, 5, interval_s, time_axis=1, argument="pixel_values")
    stimulus = pictures_of(counted(60), rate_hz)
    clips = shown(presenter, stimulus)
    time_s = presenter.clock(stimulus)[1]
    np.testing.assert_allclose(time_s, np.arange(1, 61) / rate_hz)
    wanted_s = time_s[:, None] - interval_s * np.arange(5)[::-1]
    ends_s = (clips + 1) / rate_hz
    standing = wanted_s * rate_hz <= 1
    assert np.abs(ends_s - wanted_s)[~standing].max() <= 0.5 / rate_hz + 1e-9
    assert (clips[wanted_s * rate_hz <= 0.5] == 0).all()  # before the start its first frame stands still
    assert (clips[:, -1] == np.arange(60)).all()
    assert (clips <= np.arange(60)[:, None]).all()
    assert (np.diff(clips, axis=1) >= 0).all()


def test_frames_of_a_clip_at_a_known_rate(pictures_of):
    presenter = Clips(AS_THEY_ARE, 5, 0.1, time_axis=1, argument="pixel_values")
    clips = shown(presenter, pictures_of(counted(40), 30.0))
    assert clips[30].tolist() == [18, 21, 24, 27, 30]
    assert clips[7].tolist() == [0, 0, 1, 4, 7]
    assert clips[0].tolist() == [0] * 5
    slow = shown(presenter, pictures_of(counted(6), 1.0))
    assert slow[4].tolist() == [4] * 5  # a frame of one second fills the clip
    np.testing.assert_array_equal(clip_offsets(5, 3.0), [12, 9, 6, 3, 0])


@pytest.mark.parametrize("size", [1, 7, 64])
def test_batches_and_interruptions_change_no_clip(size, pictures_of):
    presenter = Clips(AS_THEY_ARE, 5, 0.1, time_axis=1, argument="pixel_values")
    stimulus = pictures_of(counted(40), 30.0)
    whole = shown(presenter, stimulus, 40)
    np.testing.assert_array_equal(shown(presenter, stimulus, size), whole)
    for first in (1, 25, 39):
        np.testing.assert_array_equal(shown(presenter, stimulus, size, first), whole[first:])
    pictures = Pictures(AS_THEY_ARE)
    for first in (0, 1, 39):
        passes = list(pictures.passes(stimulus, size, first))
        assert [int(row[0, 0, 0]) for one in passes for row in one.inputs] == list(range(first, 40))


def test_frames_to_come_change_nothing(pictures_of):
    presenter = Clips(AS_THEY_ARE, 5, 0.1, time_axis=1, argument="pixel_values")
    frames = counted(40)
    changed = frames.copy()
    changed[20:] += 100
    before, after = (shown(presenter, pictures_of(one, 30.0)) for one in (frames, changed))
    np.testing.assert_array_equal(before[:20], after[:20])
    assert (before[20:] != after[20:]).any(axis=1).all()


def test_a_still_picture_is_a_clip_of_equal_frames(pictures_of):
    presenter = Clips(AS_THEY_ARE, 5, 0.1, time_axis=1, argument="pixel_values")
    stimulus = pictures_of(counted(7))
    assert presenter.clock(stimulus)[0] == "item"
    np.testing.assert_array_equal(shown(presenter, stimulus, 3), np.arange(7)[:, None].repeat(5, axis=1))


def test_time_stands_where_the_network_has_it(pictures_of):
    stimulus = pictures_of(counted(40), 30.0)
    first, second = (Clips(AS_THEY_ARE, 5, 0.1, time_axis=axis) for axis in (1, 2))
    one, other = (next(iter(presenter.passes(stimulus, 40))) for presenter in (first, second))
    assert other.inputs.shape == (40, 3, 5, 4, 4)
    assert torch.equal(one.inputs.transpose(1, 2), other.inputs)
    assert one.select is None
    averaged = Clips(AS_THEY_ARE, 5, 0.1, time_axis=2, average_time=True)
    (one,) = averaged.passes(stimulus, 40)
    assert one.select(one.inputs)[30, 0, 0, 0] == 24


@pytest.mark.parametrize("colours", [2, 4])
@pytest.mark.parametrize("frame_rate_hz", [None, 30.0])
@pytest.mark.parametrize("make", [Pictures, lambda optics: Clips(optics, 5, 0.1, time_axis=1)])
def test_pictures_of_other_colours_are_refused(colours, frame_rate_hz, make, pictures_of):
    stimulus = pictures_of(counted(3, colours), frame_rate_hz)
    with pytest.raises(BrokenArtifact, match=rf"has {colours} colours, expected 1 \(grey\) or 3; remake it with"):
        next(iter(make(AS_THEY_ARE).passes(stimulus, 2)))


def test_grey_is_repeated_to_three_colours(pictures_of):
    grey, colour = (next(iter(Pictures(AS_THEY_ARE).passes(pictures_of(counted(3, n)), 8))).inputs for n in (1, 3))
    assert torch.equal(grey.expand(-1, 3, -1, -1), colour)
    assert grey.shape == (3, 3, 4, 4)


def test_values_are_normalised_as_the_librarys_own_processor_does():
    from transformers import ViTImageProcessor

    pictures = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.uint8)
    for mean, sd in ((HALF, HALF), ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))):
        processor = ViTImageProcessor(image_mean=list(mean), image_std=list(sd))
        expected = processor(list(pictures), return_tensors="pt", input_data_format="channels_last")["pixel_values"]
        torch.testing.assert_close(Optics(224, mean, sd)(pictures), expected, atol=1e-5, rtol=0)


def test_resizing_is_that_of_pillow():
    """Bilinear, the whole field to a square, shrinking antialiased."""
    import skimage.data
    from PIL import Image

    picture = skimage.data.chelsea()
    expected = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BILINEAR), dtype=np.float32)
    found = Optics(64, (0.0,) * 3, (1.0,) * 3, scale=1.0)(picture[None])[0].permute(1, 2, 0).numpy()
    assert np.abs(found - expected).max() <= 1.0  # Pillow rounds to whole values, after either axis


def test_an_entry_says_what_is_done():
    optics = Optics(64, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert Optics.of(optics.describe()) == optics
