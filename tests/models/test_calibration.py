"""Calibration stimuli: whole artifacts of every modality, always the same, of nothing that a study shows."""

import numpy as np
import pytest
import skimage.data
from skimage.transform import resize
from sklearn.datasets import load_sample_image

from pipeline.artifacts.stimulus import MODALITIES, open_stimulus, write_stimulus
from pipeline.artifacts.storage.store import standard_attrs
from pipeline.models.calibration import (
    CROP_PX,
    FRAME_RATE_HZ,
    SAMPLING_RATE_HZ,
    SCIKIT_IMAGE_PHOTOGRAPHS,
    SCIKIT_LEARN_PHOTOGRAPHS,
    calibration_photographs,
    calibration_sound,
    calibration_stimulus,
)
from pipeline.models.registry import MODELS
from pipeline.simulated.movie import PHOTOGRAPHS

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_stimulus_of_every_modality_is_a_whole_artifact(modality, tmp_path):
    stimulus = calibration_stimulus(modality)
    attrs = standard_attrs("stimulus", "test", "key", "inputs")
    write_stimulus(stimulus.assign_attrs({**stimulus.attrs, **attrs}), tmp_path / "stimulus.zarr")
    found = open_stimulus(tmp_path / "stimulus.zarr")
    assert found.attrs["modality"] == modality and found.attrs["name"] == "calibration"
    for name in stimulus.variables:
        np.testing.assert_array_equal(found[name].values.astype(stimulus[name].dtype), stimulus[name].values)
    assert stimulus.identical(calibration_stimulus(modality))


def test_every_network_can_be_shown_one():
    for name in MODELS:
        entry = MODELS.get(name)
        if entry.twins:
            assert set(entry.modalities) <= set(MODALITIES), name


def test_values_are_as_the_artifact_has_them():
    images, movie = calibration_stimulus("images")["images"], calibration_stimulus("movie")["frames"]
    assert images.shape == (27, CROP_PX, CROP_PX, 3) and movie.shape == (9 * 15, CROP_PX, CROP_PX, 3)
    assert images.dtype == movie.dtype == np.uint8
    assert len(np.unique(calibration_stimulus("images")["item"])) == 27
    sound = calibration_stimulus("audio")
    assert sound["clips"].shape == (1, 40 * SAMPLING_RATE_HZ) and int(sound["n_samples"][0]) == 40 * SAMPLING_RATE_HZ
    assert 0.5 < np.abs(sound["clips"].values).max() <= 1
    words = calibration_stimulus("words")
    assert words.sizes["word"] > 2000
    assert (words["offset_s"] > words["onset_s"]).all() and (words["onset_s"].diff("word") > 0).all()
    assert all(word.strip() == word and word for word in words["text"].values)


def test_many_holds_more_of_the_same():
    assert calibration_stimulus("images", many=True).sizes["image"] == 20 * 27
    assert calibration_stimulus("audio", many=True).sizes["sample"] == 8 * 40 * SAMPLING_RATE_HZ


def test_the_movie_moves_and_never_jumps_within_a_photograph():
    frames = calibration_stimulus("movie")["frames"].values.astype(np.float32).reshape(9, 15, CROP_PX, CROP_PX, 3)
    steps = np.abs(np.diff(frames, axis=1)).mean(axis=(2, 3, 4))
    cuts = np.abs(frames[1:, 0] - frames[:-1, -1]).mean(axis=(1, 2, 3))
    assert (steps > 0).mean() > 0.9
    assert steps.max() < cuts.mean()
    assert calibration_stimulus("movie").attrs["frame_rate_hz"] == FRAME_RATE_HZ


def test_crops_and_sound_do_not_depend_on_how_much_is_asked_for():
    np.testing.assert_array_equal(calibration_photographs(64)[0], calibration_photographs(64)[0])
    np.testing.assert_array_equal(calibration_sound(16_000, 8.0)[: 4 * 16_000], calibration_sound(16_000, 4.0))


def test_no_photograph_is_one_of_the_demos_movie():
    """By name, and by content: a picture may be bundled under several names."""
    assert not set(PHOTOGRAPHS) & {*SCIKIT_IMAGE_PHOTOGRAPHS, *SCIKIT_LEARN_PHOTOGRAPHS}

    def thumbnails(photographs):
        """Grey, 8 × 8, standardised: (n, 64)."""
        greys = [one.reshape(*one.shape[:2], -1)[..., :3].mean(axis=2) for one in photographs]
        small = np.stack([resize(grey, (8, 8), anti_aliasing=True).ravel() for grey in greys])
        small -= small.mean(axis=1, keepdims=True)
        return small / np.linalg.norm(small, axis=1, keepdims=True)

    shown = thumbnails([getattr(skimage.data, name)() for name in PHOTOGRAPHS])
    used = [getattr(skimage.data, name)() for name in SCIKIT_IMAGE_PHOTOGRAPHS]
    used += [load_sample_image(name) for name in SCIKIT_LEARN_PHOTOGRAPHS]
    assert np.abs(shown @ thumbnails(used).T).max() < 0.8
    assert np.abs(shown @ thumbnails([skimage.data.cat()]).T).max() > 0.99  # chelsea's other name would be found
