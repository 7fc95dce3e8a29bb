"""Loops within one movie or sound are found with their times; stills, silence and noise are none."""

import numpy as np
import pytest

from pipeline.stimuli.pictures.picture_files import movie_stimulus
from pipeline.stimuli.repeated.alike import DOUBTS, describe_contents
from pipeline.stimuli.repeated.recurring import recurring
from tests.stimuli.conftest import sounds_stimulus

RATE = 16000


def movie(*parts: np.ndarray) -> list[tuple[float, float, float]]:
    return recurring(movie_stimulus("m", np.concatenate(parts), 10.0))


def noise(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)


def test_a_looped_movie_is_found(rng: np.random.Generator) -> None:
    once = noise(rng, 50)
    assert movie(once, once) == [(0.0, 5.0, 5.0)]
    assert movie(once, once, once) == [(0.0, 5.0, 5.9), (0.0, 10.0, 5.0)]  # the seam comes again as well
    said = describe_contents(movie_stimulus("m", np.concatenate([once, once]), 10.0)).attrs[DOUBTS]
    assert said.startswith("'m' repeats itself (0.0 to 5.0 s again from 5.0 s): ")


def test_a_stretch_that_returns_is_found_from_one_second_on(rng: np.random.Generator) -> None:
    part, other = noise(rng, 12), noise(rng, 30)
    assert movie(noise(rng, 7), part, other, part, noise(rng, 9)) == [(0.7, 4.9, 1.2)]
    assert movie(noise(rng, 7), part[:9], other, part[:9]) == []


def test_a_still_is_no_recurrence_of_itself_but_one_that_returns_is(rng: np.random.Generator) -> None:
    grey = np.full((40, 4, 4), 128, np.uint8)
    assert movie(grey, noise(rng, 20)) == [] and movie(noise(rng, 20), grey) == []
    assert movie(grey[:3], noise(rng, 20), grey[:3], noise(rng, 20)) == []
    found = movie(grey[:15], noise(rng, 20), grey[:15], noise(rng, 20))
    assert len(found) == 1 and found[0][:2] == (0.0, 3.5)


@pytest.mark.parametrize("n", [1, 5, 19, 20, 200])
def test_a_movie_without_repetition_is_quiet(rng: np.random.Generator, n: int) -> None:
    assert movie(noise(rng, n)) == []


def sound(*parts: np.ndarray) -> list[tuple[float, float, float]]:
    return recurring(sounds_stimulus([np.concatenate(parts)], RATE))


def test_a_looped_sound_is_found_at_any_sample(rng: np.random.Generator) -> None:
    once = rng.standard_normal(3 * RATE + 137) / 9
    for gap in (0, 5003):
        earlier, later, length = sound(once, rng.standard_normal(gap) / 9, once)[0]
        assert later - earlier == pytest.approx((once.size + gap) / RATE)
        assert earlier < 0.2 and 2.5 < length < 3.1
    assert "again from" in describe_contents(sounds_stimulus([np.tile(once, 2)], RATE)).attrs[DOUBTS]


def test_sounds_that_do_not_repeat_are_quiet(rng: np.random.Generator) -> None:
    once = rng.standard_normal(4 * RATE) / 9
    silence = np.zeros(3 * RATE)
    changed = once.copy()
    changed[::4000] += 0.01  # nearly the same is not the same
    for parts in ((once,), (silence,), (once, silence, silence), (once, changed), (once[: RATE // 2],) * 2):
        assert sound(*parts) == []
