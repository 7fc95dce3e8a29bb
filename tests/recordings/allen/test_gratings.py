"""Gratings as allensdk's monitor has them, at the contrast of the experiments."""

import numpy as np
import pytest

from pipeline.recordings.allen import stimuli
from pipeline.recordings.allen.sdk import monitor_class
from pipeline.recordings.allen.stimuli import (
    CONTRAST,
    DRIFTING_CYCLE_FRAMES,
    GREY,
    GREY_FRAMES,
    draw_drifting,
    draw_grating,
    drifting_parameters,
    static_name,
)

pytestmark = pytest.mark.slow


@pytest.mark.filterwarnings("ignore:Please import `zoom`")
@pytest.mark.parametrize(("orientation", "frequency", "phase"), [(0, 0.04, 0.0), (30, 0.08, 0.25), (120, 0.02, 0.5)])
def test_gratings_are_those_of_allensdk(orientation, frequency, phase):
    monitor = monitor_class()()
    screen = monitor.grating_to_screen(phase, frequency, orientation)
    part = 1 / 4
    ours = draw_grating(orientation, frequency, phase, part).astype(float)
    coarse = screen.reshape(300, 4, 480, 4).mean(axis=(1, 3))
    inside = (slice(20, -20), slice(20, -20))  # allensdk stretches 100 lines to 1,200, a percent too far at the edges
    assert np.corrcoef(ours[inside].ravel(), coarse[inside].ravel())[0, 1] > 0.9
    for other in (
        draw_grating(-orientation - 10, frequency, phase, part),
        draw_grating(orientation, frequency, phase + 0.3, part),
    ):
        assert np.corrcoef(other[inside].ravel(), coarse[inside].ravel())[0, 1] < 0.6


def test_contrast_and_mean_luminance():
    picture = draw_grating(0, 0.08, 0.0, 1 / 4).astype(float)
    assert abs(picture.mean() - GREY) < 3
    np.testing.assert_allclose((picture.max() - picture.min()) / (picture.max() + picture.min()), CONTRAST, atol=0.02)


def test_static_gratings_are_images_of_their_names():
    names = [static_name(30, 0.04, 0.25), static_name(90, 0.32, 0)]
    stimulus = stimuli.static_gratings(names)
    assert stimulus["item"].values.tolist() == names and stimulus["images"].shape == (2, 300, 480, 1)
    np.testing.assert_array_equal(stimulus["images"].values[0, ..., 0], draw_grating(30, 0.04, 0.25, 1 / 4))


def test_drifting_gratings_follow_each_other_with_grey_before_each():
    frames = draw_drifting()
    assert frames.shape == (40 * DRIFTING_CYCLE_FRAMES, 150, 240) and frames.dtype == np.uint8
    number = drifting_parameters().index((90.0, 2.0))
    cycle = frames[number * DRIFTING_CYCLE_FRAMES :][:DRIFTING_CYCLE_FRAMES]
    assert (cycle[:GREY_FRAMES] == GREY).all()
    # 2 Hz at 30 frames per second: the same picture every 15 frames, the opposite one after 7.5
    np.testing.assert_allclose(cycle[GREY_FRAMES].astype(int), cycle[GREY_FRAMES + 15], atol=1)
    opposite = np.corrcoef(cycle[GREY_FRAMES].ravel(), cycle[GREY_FRAMES + 7].ravel())[0, 1]
    assert opposite < -0.9
