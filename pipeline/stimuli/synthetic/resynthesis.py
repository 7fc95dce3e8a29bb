"""A story spoken anew from its word times, for stories whose recording may not be passed on.

Each word is spoken by eSpeak NG at its annotated onset and brought to its annotated length; between words is silence.
What is kept are words, onsets and lengths; voice, melody and stress across words, pace within words and level are the
synthesiser's.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact, UnknownName

if TYPE_CHECKING:
    import numpy as np

    from pipeline.stimuli.words import WordTable

VOICES = {"en": "en", "fr": "fr", "zh": "cmn"}
"""Language (ISO 639-1) → voice of eSpeak NG: British English, French as in France, Mandarin."""
RMS = 0.05
"""Level of each word, full scale being 1."""
_USUAL_WORDS_PER_MINUTE = 160
_SLOWEST, _FASTEST = 80, 450
_STEP_S = 0.005
_AUDIBLE = 0.03
"""Share of a word's loudest 5 ms below which its ends count as silent (−30 dB)."""
_FRAME_S = 0.025
_RAMP_S = 0.002


def resynthesise_words(
    words: WordTable, *, language: str, duration_s: float, sampling_rate_hz: int = 16_000
) -> np.ndarray:
    """Speak the words of a story at their times.

    A word that the next one interrupts ends there; one without length takes the length that it has by itself, up to
    the next one. Words that cannot be spoken (nothing but punctuation) are silence. Equal input gives equal samples.

    Parameters
    ----------
    language : ``en``, ``fr`` or ``zh``
    duration_s : of the whole sound

    Returns
    -------
    (n_samples,) float32 in ±1, exactly 0 between words

    Raises
    ------
    UnknownName
        Another language.
    BrokenArtifact
        A word begins after the end.
    """
    import numpy as np

    if language not in VOICES:
        raise UnknownName("language to speak", language, VOICES)
    sound = np.zeros(round(duration_s * sampling_rate_hz), np.float32)
    starts = np.rint(words.onset_s * sampling_rate_hz).astype(int)
    if starts.size and (starts.min() < 0 or starts.max() >= sound.size):
        raise BrokenArtifact(
            f"words begin from {words.onset_s.min():.3f} to {words.onset_s.max():.3f} s, but the sound lasts "
            f"{duration_s:.3f} s; the table of words and the sound are not of one story"
        )
    spoken = functools.cache(functools.partial(_spoken, voice=VOICES[language], sampling_rate_hz=sampling_rate_hz))
    ends = np.rint(words.offset_s * sampling_rate_hz).astype(int)
    following = np.append(starts[1:], sound.size)
    for text, start, end, next_start in zip(words.text, starts, ends, following, strict=True):
        natural = spoken(str(text))
        if natural.size == 0:
            continue
        limit = next_start if next_start > start else sound.size
        wanted = min(end if end > start else start + natural.size, limit) - start
        words_per_minute = _rate_for(natural.size, wanted)
        near = spoken(str(text), words_per_minute=words_per_minute)
        sound[start : start + wanted] = _at_word_level(stretched(near, wanted, sampling_rate_hz), sampling_rate_hz)
    return sound


def _rate_for(n_natural: int, n_wanted: int) -> int:
    """The synthesiser's rate that comes closest to a length, in steps of 10 so that equal words are spoken once."""
    wanted = _USUAL_WORDS_PER_MINUTE * n_natural / n_wanted
    return int(min(_FASTEST, max(_SLOWEST, 10 * round(wanted / 10))))


def _spoken(
    text: str, *, voice: str, sampling_rate_hz: int, words_per_minute: int = _USUAL_WORDS_PER_MINUTE
) -> np.ndarray:
    """A word without the silence around it; empty where there is nothing to speak."""
    import numpy as np

    from pipeline.stimuli.synthetic.speech import Utterance, render_speech

    if not any(letter.isalnum() for letter in text):
        return np.zeros(0, np.float32)
    (sound,) = render_speech([Utterance(text, voice, words_per_minute)], sampling_rate_hz)
    step = round(_STEP_S * sampling_rate_hz)
    levels = np.sqrt(np.square(sound[: sound.size // step * step].reshape(-1, step)).mean(axis=1))
    audible = np.flatnonzero(levels > _AUDIBLE * levels.max(initial=0.0))
    return sound[audible[0] * step : (audible[-1] + 1) * step] if audible.size else np.zeros(0, np.float32)


def stretched(sound: np.ndarray, n_wanted: int, sampling_rate_hz: int) -> np.ndarray:
    """A sound (n,) brought to another length without changing its pitch: (n_wanted,) float64.

    Overlapping frames of 25 ms are taken from where they best continue the frame before (waveform-similarity
    overlap-add). Of a length of one frame or less the loudest stretch is kept.

    References
    ----------
    Verhelst & Roelands 1993, ICASSP 2:554–557.
    """
    import numpy as np

    hop = round(_FRAME_S * sampling_rate_hz / 2)
    frame, tolerance = 2 * hop, hop
    source = sound.astype(np.float64)
    if n_wanted <= frame:
        return _loudest(source, n_wanted)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(frame) + 0.5) / frame)
    n_frames = -(-n_wanted // hop) + 1
    # a hop of silence before and a tolerance and frame behind, so that every frame can be moved both ways
    padded = np.concatenate([np.zeros(hop + tolerance), source, np.zeros(2 * frame + 2 * tolerance)])
    made, weight = np.zeros((n_frames + 1) * hop), np.zeros((n_frames + 1) * hop)
    taken = tolerance
    for number in range(n_frames):
        if number:
            ideal = tolerance + round(number * hop * source.size / n_wanted)
            region = padded[ideal - tolerance : ideal + tolerance + frame]
            continued = padded[taken + hop : taken + hop + frame]
            energy = np.convolve(np.square(region), np.ones(frame), "valid")
            likeness = np.correlate(region, continued, "valid") / np.sqrt(energy + 1e-9)
            taken = ideal - tolerance + int(likeness.argmax())
        made[number * hop : number * hop + frame] += window * padded[taken : taken + frame]
        weight[number * hop : number * hop + frame] += window
    return np.asarray((made / np.maximum(weight, 1e-6))[hop : hop + n_wanted])


def _loudest(sound: np.ndarray, n_wanted: int) -> np.ndarray:
    import numpy as np

    if sound.size <= n_wanted:
        return np.pad(sound, (0, n_wanted - sound.size))
    energy = np.convolve(np.square(sound), np.ones(n_wanted), "valid")
    start = int(energy.argmax())
    return sound[start : start + n_wanted]


def _at_word_level(sound: np.ndarray, sampling_rate_hz: int) -> np.ndarray:
    from pipeline.stimuli.synthetic.tones import at_level, ramped

    return at_level(ramped(sound, sampling_rate_hz, _RAMP_S), RMS)
