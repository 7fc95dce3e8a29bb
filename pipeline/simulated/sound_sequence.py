"""What the simulated listeners hear: spoken sentences, tones of a scale in changing timbres, and noise.

Pitch, timbre and voicing vary separately, so that the layers of a pitch network have something to disagree about:
the same pitches come back in many timbres, the same voices in many pitches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.stimuli.synthetic.speech import Utterance, render_speech
from pipeline.stimuli.synthetic.tones import at_level, band_noise, glide_hz, harmonic_tone, ramped

if TYPE_CHECKING:
    import numpy as np

SAMPLING_RATE_HZ = 16_000
LEVEL_RMS = 0.07
SHORTEST_S, LONGEST_S = 2.0, 4.0
SHARES = {"tones": 0.6, "speech": 0.2, "noise": 0.1, "tones in noise": 0.1}
LOWEST_HZ, N_PITCHES, SEMITONES_APART = 82.0, 16, 3
HIGHEST_HARMONIC = 12
VOICES = ("en", "en+f2", "en+m3", "en+f4", "en+whisper", "en+m7", "en+croak", "en+f5")
SENTENCES = (
    "The harbour lay quiet under a thin grey fog, and nobody spoke.",
    "Seven large boxes stood by the door of the old shop.",
    "She asked him where the road would lead, and he laughed.",
    "Bring the yellow lamp and leave the others in the cellar.",
    "A sudden wind shook the windows and put out the fire.",
    "We measured every room twice and wrote the numbers down.",
    "Do you remember the song that she sang on the bridge?",
    "He sold his boat, bought a horse and rode to the mountains.",
    "Nothing moves in the valley until the bells begin to ring.",
    "Pour the milk slowly, stir it, and wait for a minute.",
)


def compose_sound(duration_s: float, seed: int) -> np.ndarray:
    """A sequence of sounds of 2–4 s, all at one level: (duration_s · 16,000,) int16, as in a WAV file."""
    import numpy as np

    generator = np.random.default_rng(seed)
    n_samples = round(duration_s * SAMPLING_RATE_HZ)
    makers = {"tones": _tones, "speech": _speech, "noise": _noise, "tones in noise": _tones_in_noise}
    pieces: list[np.ndarray] = []
    while sum(piece.size for piece in pieces) < n_samples:
        length_s = generator.uniform(SHORTEST_S, LONGEST_S)
        kind = generator.choice(list(SHARES), p=list(SHARES.values()))
        sound = at_level(makers[kind](length_s, generator), LEVEL_RMS)
        pieces.append(ramped(sound, SAMPLING_RATE_HZ))
    sequence = np.clip(np.concatenate(pieces)[:n_samples], -1, 1)
    return np.round(sequence * 32767).astype(np.int16)


def _speech(length_s: float, generator: np.random.Generator) -> np.ndarray:
    """A sentence in some voice, said again until the time is up."""
    import numpy as np

    utterance = Utterance(
        text=SENTENCES[generator.integers(len(SENTENCES))],
        voice=VOICES[generator.integers(len(VOICES))],
        words_per_minute=int(generator.integers(110, 260)),
        pitch=int(generator.integers(0, 99)),
        pitch_range=int(generator.integers(0, 99)),
    )
    said = render_speech([utterance], SAMPLING_RATE_HZ)[0]
    return np.resize(said, round(length_s * SAMPLING_RATE_HZ))


def _tones(length_s: float, generator: np.random.Generator) -> np.ndarray:
    """One or two notes of the scale, every other one gliding to the next pitch, in one timbre."""
    import numpy as np

    scale_hz = LOWEST_HZ * 2 ** (np.arange(N_PITCHES) * SEMITONES_APART / 12)
    n_notes = int(generator.integers(1, 3))
    drawn = generator.integers(1, HIGHEST_HARMONIC + 1, int(generator.integers(1, 9)))
    harmonics = tuple(sorted({int(harmonic) for harmonic in drawn}))
    slope = float(generator.uniform(-9, 4))
    notes = []
    for _ in range(n_notes):
        pitch_hz = float(scale_hz[generator.integers(N_PITCHES)])
        end_hz = pitch_hz * 2 ** (SEMITONES_APART / 12) if generator.random() < 0.2 else pitch_hz
        track_hz = glide_hz(pitch_hz, end_hz, length_s / n_notes, SAMPLING_RATE_HZ)
        note = harmonic_tone(track_hz, SAMPLING_RATE_HZ, harmonics=harmonics, slope_db_per_octave=slope)
        notes.append(ramped(note, SAMPLING_RATE_HZ))
    return np.concatenate(notes)


def _noise(length_s: float, generator: np.random.Generator) -> np.ndarray:
    """A band of noise, 0.1 to 4 octaves wide."""
    import numpy as np

    low_hz = float(np.exp(generator.uniform(np.log(50), np.log(5000))))
    high_hz = min(0.49 * SAMPLING_RATE_HZ, low_hz * 2 ** generator.uniform(0.1, 4))
    return band_noise(length_s, SAMPLING_RATE_HZ, low_hz=low_hz, high_hz=high_hz, rng=generator)


def _tones_in_noise(length_s: float, generator: np.random.Generator) -> np.ndarray:
    """Tones with noise 15 dB below to 10 dB above them."""
    tones = at_level(_tones(length_s, generator), LEVEL_RMS)
    noise = at_level(_noise(length_s, generator), LEVEL_RMS * 10 ** (generator.uniform(-15, 10) / 20))
    n_samples = min(tones.size, noise.size)
    return tones[:n_samples] + noise[:n_samples]
