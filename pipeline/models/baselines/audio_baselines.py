"""What a sound is before any network: its log-mel spectrum, and how that is modulated in time and frequency."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import LayermapError
from pipeline.models.entry import ModelEntry, Twin, evenly_deep

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr

SAMPLING_RATE_HZ = 16_000
FRAME = 400
STEP = 160
N_FFT = 512
N_BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 50.0, 8000.0
FLOOR = 1e-10
"""Power below which a band counts as silent: −100 dB of full scale."""
WINDOW = HOP = SAMPLING_RATE_HZ // 10
RATES_HZ = (0, 1, 2, 4, 8, 16, 32)
SCALES = (0, 1, 2, 4, 8, 16)
"""Spectral modulation in cycles over the 64 mel bands from 50 Hz to 8 kHz."""
SD_PER_CENTRE = 0.35
SD_AT_ZERO = 0.5
"""SD of the modulation filters: a share of their centre, and in Hz or cycles for the centre 0."""
N_REGIONS = 4
SILENT_ENERGY = 1e-3
"""Added to energies (dB²) before their logarithm, so that the absence of a modulation is no outlier."""
RMS = 0.1
MODULATION_WINDOW_S = 2.0
MODULATION_STRIDE_S = 1.0


def mel_filters() -> np.ndarray:
    """Triangular filters evenly spaced on the HTK mel scale: (n_bands, n_fft // 2 + 1)."""
    import numpy as np

    def to_mel(hz: float) -> float:
        return float(2595 * np.log10(1 + hz / 700))

    mels = np.linspace(to_mel(LOWEST_HZ), to_mel(HIGHEST_HZ), N_BANDS + 2)
    edges_hz = 700 * (10 ** (mels / 2595) - 1)
    frequency_hz = np.fft.rfftfreq(N_FFT, 1 / SAMPLING_RATE_HZ)[None, :]
    low, centre, high = (edges_hz[shift : shift + N_BANDS, None] for shift in range(3))
    rising, falling = (frequency_hz - low) / (centre - low), (high - frequency_hz) / (high - centre)
    return np.asarray(np.clip(np.minimum(rising, falling), 0, None))


def log_mel(sounds: np.ndarray) -> np.ndarray:
    """Log-mel spectrogram of sounds (n, n_samples) at 16 kHz: (n, n_frames, 64) in dB, floored.

    Hann frames of 25 ms every 10 ms that lie wholly within the sound.
    """
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(sounds, FRAME, axis=1)[:, ::STEP]
    spectra = np.fft.rfft(windows * np.hanning(FRAME + 1)[:-1], N_FFT)
    power = (np.square(spectra.real) + np.square(spectra.imag)) / FRAME
    return np.asarray(10 * np.log10(np.maximum(power @ mel_filters().T, FLOOR)))


class LogMel:
    """Log-mel spectrum of the last 100 ms, every 100 ms; of several clips, each clip's mean."""

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.models.shown.audio_stimuli import framed_clock

        return framed_clock(stimulus, SAMPLING_RATE_HZ, WINDOW, HOP)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        from pipeline.models.shown.audio_stimuli import framed_batches

        return framed_batches(stimulus, self.layers_of, SAMPLING_RATE_HZ, WINDOW, HOP, batch_size)

    def layers_of(self, windows: np.ndarray) -> dict[str, np.ndarray]:
        """Mean log-mel spectrum of the short frames within each window (n, 1600): (n, 64)."""
        return {"log-mel": log_mel(windows).mean(axis=1).astype("float32")}


class SpectrogramModulation:
    """Mean log-mel spectrum, and energy of its joint temporal and spectral modulations.

    Of each clip; of one recording, of the last 2 s every second (before that, of all there was to hear).
    """

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        from pipeline.artifacts.stimulus import item_names
        from pipeline.models.shown.audio_stimuli import is_one_recording

        if is_one_recording(stimulus):
            ends = self._ends(stimulus)
            if not ends.size:
                raise LayermapError(
                    f"stimulus '{stimulus.attrs['name']}' is shorter than {MODULATION_STRIDE_S:g} s, which "
                    "spectrogram-modulation advances by; use log-mel"
                )
            return "time", ends / SAMPLING_RATE_HZ
        return "item", item_names(stimulus)

    def _ends(self, stimulus: xr.Dataset) -> np.ndarray:
        """Ends of a recording's windows, in samples."""
        from pipeline.models.shown.audio_stimuli import clip_sound
        from pipeline.models.shown.present_audio import Windows

        windows = Windows(SAMPLING_RATE_HZ, MODULATION_WINDOW_S, MODULATION_STRIDE_S, MODULATION_STRIDE_S)
        return windows.ends(clip_sound(stimulus, 0, SAMPLING_RATE_HZ).size)

    def batches(self, stimulus: xr.Dataset, batch_size: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        import numpy as np

        from pipeline.models.shown.audio_stimuli import clip_sound, is_one_recording, scaled_to_rms

        if is_one_recording(stimulus):
            sound, ends = clip_sound(stimulus, 0, SAMPLING_RATE_HZ), self._ends(stimulus)
            length = round(MODULATION_WINDOW_S * SAMPLING_RATE_HZ)
            pieces = [sound[max(0, end - length) : end] for end in ends]
        else:
            pieces = [clip_sound(stimulus, clip, SAMPLING_RATE_HZ) for clip in range(stimulus.sizes["clip"])]
        for start in range(0, len(pieces), batch_size):
            sounds = (scaled_to_rms(piece, RMS) for piece in pieces[start : start + batch_size])
            yield start, {"spectrogram-modulation": np.stack([describe_clip(sound) for sound in sounds])}


def modulations() -> list[tuple[int, int]]:
    """(rate, scale) of the filters: each pair but (0, 0); where neither is 0, rising and falling apart."""
    return [
        (rate, direction * scale)
        for rate in RATES_HZ
        for scale in SCALES
        for direction in ((1, -1) if rate and scale else (1,))
        if rate or scale
    ]


def describe_clip(sound: np.ndarray) -> np.ndarray:
    """Mean spectrum (64) and modulation energy (71 filters × 4 regions) of a sound: (348,) float32, dB.

    Modulations are complex Gaussian filters, an octave wide, on the log-mel spectrogram less its mean; energies
    are averaged over time and over quarters of the frequency axis.

    References
    ----------
    Chi, Ru & Shamma 2005, JASA 118:887; Norman-Haignere, Kanwisher & McDermott 2015, Neuron 88:1281.
    """
    import numpy as np

    spectrogram = log_mel(sound[None])[0]
    spectrum = np.fft.fft2(spectrogram - spectrogram.mean())
    rate_hz = np.fft.fftfreq(len(spectrogram), STEP / SAMPLING_RATE_HZ)[:, None]
    scale = np.fft.fftfreq(N_BANDS, 1 / N_BANDS)[None, :]
    energies = []
    for centre_rate, centre_scale in modulations():
        along = (rate_hz - centre_rate) / (SD_PER_CENTRE * centre_rate or SD_AT_ZERO)
        across = (scale - centre_scale) / (SD_PER_CENTRE * abs(centre_scale) or SD_AT_ZERO)
        response = np.fft.ifft2(spectrum * np.exp(-(along**2 + across**2) / 2))
        energies.append(np.square(np.abs(response)).mean(axis=0).reshape(N_REGIONS, -1).mean(axis=1))
    modulation_db = 10 * np.log10(np.concatenate(energies) + SILENT_ENERGY)
    return np.concatenate([spectrogram.mean(axis=0), modulation_db]).astype(np.float32)


def load_log_mel(entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str) -> LogMel:
    """The log-mel baseline; it has no weights and runs on the CPU."""
    return LogMel()


def load_spectrogram_modulation(
    entry: ModelEntry, weights_folder: Path | None, twin: Twin | None, device: str
) -> SpectrogramModulation:
    """The spectrogram and modulation baseline; it has no weights and runs on the CPU."""
    return SpectrogramModulation()


LOG_MEL = ModelEntry(
    name="log-mel",
    modalities=("audio",),
    objective="baseline",
    factory="pipeline.models.baselines.audio_baselines:load_log_mel",
    layers=evenly_deep(["log-mel"]),
    title="Log-mel spectrum",
    citation="Stevens, Volkmann & Newman 1937, JASA",
    licence="BSD-3-Clause (this repository)",
    preprocessing={
        "sampling_rate_hz": SAMPLING_RATE_HZ,
        "bands": N_BANDS,
        "window_s": WINDOW / SAMPLING_RATE_HZ,
        "stride_s": HOP / SAMPLING_RATE_HZ,
        "look_ahead_s": 0.0,
        "clips": "mean over whole windows",
    },
)
SPECTROGRAM_MODULATION = ModelEntry(
    name="spectrogram-modulation",
    modalities=("audio",),
    objective="baseline",
    factory="pipeline.models.baselines.audio_baselines:load_spectrogram_modulation",
    layers=evenly_deep(["spectrogram-modulation"]),
    title="Spectrogram + spectro-temporal modulation",
    citation="Chi, Ru & Shamma 2005, JASA; Norman-Haignere, Kanwisher & McDermott 2015, Neuron",
    licence="BSD-3-Clause (this repository)",
    preprocessing={
        "sampling_rate_hz": SAMPLING_RATE_HZ,
        "rms": RMS,
        "bands": N_BANDS,
        "rates_hz": list(RATES_HZ),
        "scales_cycles_per_axis": list(SCALES),
        "regions": N_REGIONS,
        "clips": "the whole clip",
        "window_s": MODULATION_WINDOW_S,
        "stride_s": MODULATION_STRIDE_S,
        "look_ahead_s": 0.0,
    },
)
