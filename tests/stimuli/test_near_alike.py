"""Pictures and sounds that are nearly the same are found, others are not."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from pipeline.stimuli.repeated.alike import DOUBTS, describe_contents, near_alike
from tests.stimuli.conftest import pictures_stimulus, sounds_stimulus


def natural(rng: np.random.Generator, n: int, size: int = 96) -> list[np.ndarray]:
    """Pictures with most power at low frequencies, as scenes have."""
    fields = sum(gaussian_filter(rng.standard_normal((n, size, size)), (0, s, s)) * s for s in (1, 4, 12))
    scaled = (fields - fields.min()) / np.ptp(fields) * 255
    return [picture[..., None].repeat(3, axis=2) for picture in scaled.astype(np.uint8)]


def saved_as_jpeg(picture: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file).convert("RGB"))


def smaller_and_back(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((64, 64)).resize(picture.shape[:2]))


def fainter(picture: np.ndarray) -> np.ndarray:
    return (picture * 0.6 + 40).astype(np.uint8)


def every_item(stimulus) -> np.ndarray:
    return np.arange(stimulus.sizes["image" if "image" in stimulus.sizes else "clip"])


@pytest.mark.parametrize("change", [saved_as_jpeg, smaller_and_back, fainter])
def test_pictures_saved_anew_are_found(rng: np.random.Generator, change) -> None:
    pictures = natural(rng, 60)
    stimulus = pictures_stimulus([*pictures, change(pictures[7]), change(pictures[3])])
    pairs = near_alike(stimulus, every_item(stimulus))
    assert {pair[:2] for pair in pairs} == {("p7", "p60"), ("p3", "p61")}
    said = describe_contents(stimulus).attrs[DOUBTS]
    assert said.startswith("pictures that are nearly alike (p") and "p7 and p60, r = .9" in said


def test_different_pictures_are_not(rng: np.random.Generator) -> None:
    for pictures in (
        natural(rng, 200),
        list(rng.integers(0, 256, (200, 40, 40, 1), dtype=np.uint8)),  # noise
        list(rng.integers(0, 2, (50, 8, 8, 1), dtype=np.uint8) * 255),
        [np.full((32, 32, 1), grey, np.uint8) for grey in range(0, 250, 10)],  # flat
        [np.roll(np.indices((64, 64)).sum(axis=0) % 2 * 255, k, 1)[..., None].astype(np.uint8) for k in (0, 1)],
    ):
        stimulus = pictures_stimulus(pictures)
        assert near_alike(stimulus, every_item(stimulus)) == []


def test_equal_pictures_are_no_near_ones(rng: np.random.Generator) -> None:
    pictures = natural(rng, 5)
    assert DOUBTS not in describe_contents(pictures_stimulus([*pictures, *pictures])).attrs


def test_the_same_sound_shifted_louder_or_noisier_is_found(rng: np.random.Generator) -> None:
    sounds = [np.cumsum(rng.standard_normal(16000)) / 500 for _ in range(30)]
    sounds += [rng.standard_normal(16000) / 9 for _ in range(30)]
    shifted = np.concatenate([np.zeros(800), sounds[4][:-800]]) * 0.2
    noisier = sounds[40] + 0.03 * rng.standard_normal(16000)
    cut = sounds[50][1000:]
    stimulus = sounds_stimulus([*sounds, shifted, noisier, cut])
    pairs = near_alike(stimulus, every_item(stimulus))
    assert {pair[:2] for pair in pairs} == {("s4", "s60"), ("s40", "s61"), ("s50", "s62")}


def test_different_sounds_are_not_whatever_their_spectrum(rng: np.random.Generator) -> None:
    bursts = [rng.standard_normal(8000) * (np.arange(8000) < length) / 9 for length in (500, 2000, 8000)]
    for sounds in (
        [rng.standard_normal(16000) / 9 for _ in range(60)],
        [np.sin(2 * np.pi * hz * np.arange(8000) / 16000) for hz in (200, 300, 400, 800)],
        [*bursts, np.zeros(8000), np.zeros(9000)],
    ):
        stimulus = sounds_stimulus(sounds)
        assert near_alike(stimulus, every_item(stimulus)) == []


def test_four_times_the_pictures_do_not_take_sixteen_times_as_long(rng: np.random.Generator) -> None:
    """At the sizes that are used, looking at each picture costs more than comparing all pairs."""

    def seconds(n: int) -> float:
        stimulus = pictures_stimulus(list(rng.integers(0, 256, (n, 32, 32, 1), dtype=np.uint8)))
        before = time.process_time()
        near_alike(stimulus, every_item(stimulus))
        return time.process_time() - before

    seconds(100)
    assert seconds(2000) < 10 * seconds(500) + 0.2
