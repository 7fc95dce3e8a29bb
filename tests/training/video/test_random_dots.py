"""Random-dot motion: what moves is planted, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest

from pipeline.training.diets.entry import SampleForm
from pipeline.training.measuring.random_dots import DIRECTIONS, STEPS, RandomDots, dot_clip, dot_clips
from pipeline.training.probes import probe

FORM = SampleForm(modality="clips", shape=(40, 32, 32, 3), rate_hz=8)
STEP_PX = 0.4 * 32 / 8
"""1.6 px a frame: five frames are eight pixels."""


def clip_of(direction, coherence, seed=0, n_frames=11):
    return dot_clip(direction, coherence, n_frames, 32, 8, np.random.default_rng(seed))[..., 0].astype(float)


@pytest.mark.parametrize("direction", range(4))
def test_at_full_coherence_everything_moves_that_way(direction):
    clip = clip_of(direction, 1.0)
    assert np.abs(np.roll(clip[0], 8 * STEPS[direction], (0, 1)) - clip[5]).mean() < 0.05 * clip[0].std()


def motion_in(clip):
    """Correlation of a frame, moved by two pixels in each direction, with the next one."""
    return [
        np.mean([np.corrcoef(np.roll(a, 2 * step, (0, 1)).ravel(), b.ravel())[0, 1] for a, b in pairwise(clip)])
        for step in STEPS
    ]


def test_coherence_is_the_share_that_moves_together():
    along = [np.mean([motion_in(clip_of(1, coherence, seed))[1] for seed in range(12)]) for coherence in (0, 0.4, 1)]
    assert abs(along[0]) < 0.05 and along[0] + 0.1 < along[1] < along[2] - 0.1


def test_a_single_frame_tells_no_direction():
    """Places of dots are as even at every coherence."""
    for coherence in (0.1, 1.0):
        frames = np.stack([clip_of(direction, coherence, seed)[-1] for direction in range(4) for seed in range(50)])
        labels = np.repeat(np.arange(4), 50)
        order = np.random.default_rng(0).permutation(200)
        train, test = order[:120], order[120:]
        pixels = frames.reshape(200, -1)
        found = probe(pixels[train], labels[train], pixels[test], labels[test], n_classes=4, validation=0.2, seed=0)
        assert found.low < 0.25 < found.high


def test_clips_are_the_same_for_all_networks():
    options = RandomDots(n_train=24, n_test=20)
    first, again = (dot_clips(options, 0.4, "train", FORM) for _ in range(2))
    assert np.array_equal(first.values, again.values) and first.values.shape == (24, 10, 32, 32, 3)
    assert np.bincount(first.labels["dots 0.4"]).tolist() == [6] * len(DIRECTIONS)
    assert not np.array_equal(first.values[:20], dot_clips(options, 0.4, "test", FORM).values)
