"""eSpeak NG through ctypes: audible, the same every time, and clear about what is missing."""

import numpy as np
import pytest

from pipeline.core.errors import LayermapError
from pipeline.stimuli.synthetic.speech import Utterance, render_speech

BREATHY = Utterance("She sells sea shells by the sea shore.", voice="en+f3")
WHISPER = Utterance("A sudden wind shook the windows.", voice="en+whisper")


def test_speech_is_audible_and_of_a_plausible_length():
    (sound,) = render_speech([Utterance("The harbour lay quiet under a thin grey fog.", words_per_minute=160)])
    assert sound.dtype == np.float32
    assert 1.5 < sound.size / 16_000 < 6
    assert np.abs(sound).max() <= 1
    assert np.sqrt(np.mean(sound**2)) > 0.02


def test_an_utterance_does_not_depend_on_what_was_said_before():
    breathy, whisper = render_speech([BREATHY, WHISPER])
    whisper_first, breathy_second = render_speech([WHISPER, BREATHY])
    assert np.array_equal(breathy, breathy_second)
    assert np.array_equal(whisper, whisper_first)


def test_voice_and_speed_are_heard():
    slow, fast = render_speech([Utterance("one two three four", words_per_minute=w) for w in (100, 300)])
    assert slow.size > 1.5 * fast.size
    low, high = render_speech([Utterance("no moon in june", pitch=p, pitch_range=0) for p in (50, 99)])
    assert _pitch_hz(high) > 1.3 * _pitch_hz(low)


def _pitch_hz(sound: np.ndarray) -> float:
    """Median frequency of the strongest autocorrelation, 60–400 Hz, over the voiced frames of 64 ms."""
    lags = np.arange(40, 267)
    pitches = []
    for frame in sound[: sound.size // 1024 * 1024].reshape(-1, 1024).astype(float):
        r = np.array([np.corrcoef(frame[lag:], frame[:-lag])[0, 1] for lag in lags])
        if frame @ frame > 1 and r.max() > 0.8:
            pitches.append(16_000 / lags[r.argmax()])
    return float(np.median(pitches))


def test_an_unknown_voice_is_refused_in_one_line():
    with pytest.raises(LayermapError, match="no voice 'klingonese'") as caught:
        render_speech([Utterance("hello", voice="klingonese")])
    assert "\n" not in str(caught.value)
