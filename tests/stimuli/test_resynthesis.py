"""A story spoken anew: words at their times and of their lengths, silence elsewhere, the same every time."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from pipeline.core.errors import BrokenArtifact, UnknownName
from pipeline.stimuli.synthetic.resynthesis import RMS, resynthesise_words, stretched
from pipeline.stimuli.words import WordTable

RATE_HZ = 16_000
STORIES = {
    "en": "once when I was six years old I saw a magnificent picture in a book about the primeval forest of 1912",
    "fr": "lorsque j' avais six ans j' ai vu une fois une magnifique image dans un livre sur la forêt vierge qu' on",
    "zh": "当 我 还 只有 六 岁 的 时候 在 一本 描写 原始森林 的 名叫 真实的 故事 的 书中 看到 了 一副",
}


def story(language: str) -> WordTable:
    """Words from 60 ms to 0.9 s long, with and without a pause between them."""
    rng = np.random.default_rng(0)
    text = np.array(STORIES[language].split())
    length_s = np.clip(0.09 * np.char.str_len(text) * (3 if language == "zh" else 1), 0.06, 0.9)
    length_s *= rng.uniform(0.8, 1.2, text.size)
    pause_s = rng.choice([0.0, 0.15, 0.6], text.size)
    onset_s = 0.4 + np.concatenate([[0], np.cumsum(length_s + pause_s)[:-1]])
    return WordTable(text, onset_s, onset_s + length_s)


def table(*words: tuple[str, float, float]) -> WordTable:
    text, onset_s, offset_s = zip(*words, strict=True)
    return WordTable(np.array(text), np.array(onset_s), np.array(offset_s))


def span(words: WordTable) -> list[slice]:
    starts, ends = (np.rint(times * RATE_HZ).astype(int) for times in (words.onset_s, words.offset_s))
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize("language", STORIES)
def test_energy_begins_and_ends_with_each_word(language: str) -> None:
    """Within 20 ms; each word has the level, and what lies outside all words is zero."""
    words = story(language)
    duration_s = float(words.offset_s[-1]) + 0.5
    sound = resynthesise_words(words, language=language, duration_s=duration_s)
    assert sound.dtype == np.float32 and sound.size == round(duration_s * RATE_HZ) and np.abs(sound).max() < 1
    outside = np.ones(sound.size, bool)
    for text, within in zip(words.text, span(words), strict=True):
        outside[within] = False
        word = sound[within]
        audible = np.flatnonzero(np.abs(word) > 0.01 * np.abs(word).max())
        assert audible[0] < 0.02 * RATE_HZ and word.size - audible[-1] < 0.02 * RATE_HZ, text
        np.testing.assert_allclose(np.sqrt(np.mean(np.square(word, dtype=float))), RMS, rtol=1e-3)
    assert outside.mean() > 0.2 and not sound[outside].any()


def test_the_same_words_give_the_same_bytes_whatever_was_spoken_before() -> None:
    words = story("en")
    duration_s = float(words.offset_s[-1])
    first = resynthesise_words(words, language="en", duration_s=duration_s)
    resynthesise_words(story("zh"), language="zh", duration_s=30)
    assert first.tobytes() == resynthesise_words(words, language="en", duration_s=duration_s).tobytes()
    again = (
        "import hashlib, importlib.util, sys; from pipeline.stimuli.synthetic.resynthesis import resynthesise_words;"
        "spec = importlib.util.spec_from_file_location('stories', sys.argv[1]);"
        "stories = importlib.util.module_from_spec(spec); spec.loader.exec_module(stories);"
        "words = stories.story('en');"
        "sound = resynthesise_words(words, language='en', duration_s=float(words.offset_s[-1]));"
        "print(hashlib.sha256(sound.tobytes()).hexdigest())"
    )
    done = subprocess.run([sys.executable, "-c", again, __file__], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == hashlib.sha256(first.tobytes()).hexdigest()


def test_equal_words_sound_alike_wherever_they_stand() -> None:
    words = table(("rose", 0.1, 0.5), ("fox", 0.5, 0.9), ("rose", 1.2, 1.6))
    sound = resynthesise_words(words, language="en", duration_s=2)
    first, other, second = (sound[within] for within in span(words))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.05


@pytest.mark.parametrize("text", ["", " ", "...", "—", "？", "\u200b", "'"])
@pytest.mark.parametrize("language", STORIES)
def test_what_cannot_be_spoken_is_silence(language: str, text: str) -> None:
    assert not resynthesise_words(table((text, 0.2, 0.8)), language=language, duration_s=1).any()


@pytest.mark.parametrize("language", STORIES)
def test_numbers_are_spoken(language: str) -> None:
    sound = resynthesise_words(table(("1984", 0.1, 0.9)), language=language, duration_s=1)
    np.testing.assert_allclose(np.sqrt(np.mean(sound[1600:14400] ** 2)), RMS, rtol=1e-3)


def test_words_without_length_and_words_that_are_interrupted() -> None:
    """The first lasts as long as it takes by itself; the second, without length, up to the third."""
    words = table(("fox", 0.2, 0.2), ("magnificent", 1.5, 1.5), ("rose", 1.6, 2.2), ("fox", 1.9, 2.1))
    heard = np.abs(resynthesise_words(words, language="en", duration_s=3)) > 1e-4
    first = np.flatnonzero(heard[: int(1.4 * RATE_HZ)]) / RATE_HZ
    assert 0.19 < first[0] < 0.22 and 0.45 < first[-1] < 0.9
    assert heard[int(1.5 * RATE_HZ) : int(1.6 * RATE_HZ)].any()
    assert np.flatnonzero(heard)[-1] / RATE_HZ < 2.1
    last = resynthesise_words(table(("magnificent", 0.9, 5.0)), language="en", duration_s=1)
    assert last.size == RATE_HZ and last[int(0.95 * RATE_HZ) :].any()


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(UnknownName, match=r"unknown language to speak 'de'"):
        resynthesise_words(table(("a", 0, 1)), language="de", duration_s=1)
    for words in (table(("a", 1.5, 2)), table(("a", -0.5, 2))):
        with pytest.raises(BrokenArtifact, match=r"words begin from .* s, but the sound lasts 1.000 s; the table"):
            resynthesise_words(words, language="en", duration_s=1)


@pytest.mark.parametrize("factor", [0.4, 0.8, 1.0, 1.3, 2.5])
@pytest.mark.parametrize("pitch_hz", [90, 150, 240])
def test_stretching_keeps_pitch_and_brings_the_middle_to_the_middle(factor: float, pitch_hz: int) -> None:
    """A pulse train that is louder in its second half."""
    time_s = np.arange(int(0.6 * RATE_HZ)) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * k * pitch_hz * time_s + k) / k for k in range(1, 12)) * (1 + 3 * (time_s > 0.3))
    n_wanted = round(factor * tone.size)
    made = stretched(np.asarray(tone, np.float32), n_wanted, RATE_HZ)
    assert made.size == n_wanted
    late = made[int(0.6 * n_wanted) : int(0.95 * n_wanted)] * np.hanning(int(0.95 * n_wanted) - int(0.6 * n_wanted))
    spectrum = np.abs(np.fft.rfft(late, 2**17))
    found_hz = np.argmax(spectrum[: int(1.5 * pitch_hz * 2**17 / RATE_HZ)]) * RATE_HZ / 2**17
    assert abs(found_hz / pitch_hz - 1) < 0.02
    levels = [np.sqrt(np.mean(made[int(a * n_wanted) : int(b * n_wanted)] ** 2)) for a, b in ((0.1, 0.4), (0.6, 0.9))]
    assert 3.2 < levels[1] / levels[0] < 4.8


def test_a_sound_that_keeps_its_length_is_kept_and_a_click_is_its_loudest_part() -> None:
    sound = np.random.default_rng(0).standard_normal(8000).astype(np.float32)
    np.testing.assert_allclose(stretched(sound, 8000, RATE_HZ), sound, atol=1e-6)
    sound[5000:5100] += 20
    np.testing.assert_array_equal(stretched(sound, 100, RATE_HZ), sound[5000:5100])
    assert stretched(sound[:50], 300, RATE_HZ).size == 300
