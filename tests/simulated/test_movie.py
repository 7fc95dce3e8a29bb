"""The movie: deterministic, varied, and of photographs that no random twin is calibrated on."""

import numpy as np

from pipeline.models.calibration import SCIKIT_IMAGE_PHOTOGRAPHS
from pipeline.simulated.movie import PHOTOGRAPHS, SHAPE_PX, render_movie


def test_equal_seeds_give_equal_frames():
    movie = render_movie(21, seed=3)
    assert movie.shape == (21, *SHAPE_PX) and movie.dtype == np.uint8
    np.testing.assert_array_equal(movie, render_movie(21, seed=3))
    assert (movie != render_movie(21, seed=4)).any()


def test_scenes_differ_and_have_contrast():
    movie = render_movie(60, seed=0).reshape(60, -1).astype(float)
    assert np.median(movie.std(axis=1)) > 25
    similarity = np.corrcoef(movie[::2])
    assert np.median(np.abs(similarity[np.triu_indices(30, 1)])) < 0.3


def test_random_twins_are_calibrated_on_other_photographs():
    assert not set(PHOTOGRAPHS) & set(SCIKIT_IMAGE_PHOTOGRAPHS)
