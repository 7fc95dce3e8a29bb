"""The one door for sound files: mono float32 in ±1, at their own sampling rate or brought to another."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.file_remarks import Notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import soundfile
    import xarray as xr

    from pipeline.stimuli.sounds.levels import SoundLevels

REMEDY = "delete it and run: snakemake fetch"
FORMATS = ("WAV", "WAVEX", "RF64", "AIFF", "AU", "FLAC", "OGG", "MP3", "NIST")
"""libsndfile reads more, but of these alone it can be seen whether they are whole."""
_LOSSY = ("VORBIS", "OPUS", "MPEG_LAYER_I", "MPEG_LAYER_II", "MPEG_LAYER_III")
_SAMPLING_RATES_HZ = (1_000, 1_000_000)
_BLOCK_SAMPLES = 2**18
_COUNT_UNKNOWN = 2**62
_MP3_SLACK_SAMPLES = 4 * 1152


def read_audio(path: Path, *, sampling_rate_hz: int = 16_000, remedy: str = REMEDY) -> np.ndarray:
    """Read one sound at a sampling rate; what is odd about it is said on stderr.

    Resampling is `pipeline.stimuli.sounds.resampling.resample`: zero phase, reaching 0.6 ms ahead at 16 kHz. The file
    is read and resampled block by block, so that memory holds the result and a block.

    Parameters
    ----------
    sampling_rate_hz : of what is returned
    remedy : what the user can do about a broken file, for the message

    Returns
    -------
    (n_samples,) float32 in ±1, channels averaged

    Raises
    ------
    BrokenArtifact
        As `read_sound`, or silent from beginning to end.
    """
    notes = Notes()
    samples, _ = read_sound(path, notes, sampling_rate_hz=sampling_rate_hz, remedy=remedy)
    _refuse_silence([path], [samples])
    notes.say()
    return samples


def read_sounds(paths: Sequence[Path], *, remedy: str = REMEDY) -> tuple[list[np.ndarray], int]:
    """Read sounds of one sampling rate; what is odd about them is said on stderr, one line per kind.

    Returns
    -------
    sounds : each (n_samples,) float32 in ±1, channels averaged
    sampling_rate_hz : of all of them

    Raises
    ------
    BrokenArtifact
        As `read_sound`, sampling rates that differ, or all of them silent.
    """
    notes, sounds, rates_hz = Notes(), [], []
    for path in paths:
        samples, rate_hz = read_sound(path, notes, remedy=remedy)
        sounds.append(samples)
        rates_hz.append(rate_hz)
        if rate_hz != rates_hz[0]:
            raise BrokenArtifact(
                f"{path} has {rate_hz} samples per second and {paths[0].name} {rates_hz[0]}; resample all to one rate"
            )
    _refuse_silence(paths, sounds)
    notes.say()
    return sounds, rates_hz[0]


def _refuse_silence(paths: Sequence[Path], sounds: Sequence[np.ndarray]) -> None:
    if not any(sound.max() > sound.min() for sound in sounds):
        others = f" (as the {len(paths) - 1} others)" if len(paths) > 1 else ""
        raise BrokenArtifact(f"{paths[0]}{others} is silent: all samples are equal; give the sound that was played")


def read_sound(
    path: Path, notes: Notes, *, sampling_rate_hz: int | None = None, remedy: str = REMEDY
) -> tuple[np.ndarray, int]:
    """Read a sound of any of the `FORMATS`, whatever its name ends in.

    Parameters
    ----------
    notes : takes what is odd and no fault: a silent channel, a long pause at the end, no stated length
    sampling_rate_hz : of what is returned; None keeps the file's own
    remedy : what the user can do about a broken file, for the message

    Returns
    -------
    samples : (n_samples,) float32 in ±1, channels averaged
    sampling_rate_hz : of these samples

    Raises
    ------
    BrokenArtifact
        Missing, no sound file (a web page, the pointer of git-annex or LFS), cut short or otherwise other than its
        header says, without samples, NaN, beyond ±1, channels that cancel each other, or a senseless sampling rate.
    """
    import numpy as np

    from pipeline.stimuli.sounds.levels import SoundLevels
    from pipeline.stimuli.sounds.resampling import resample_blocks

    with _opened(path, notes, remedy) as (sound, low_bits_peak, least_samples):
        levels = SoundLevels(sound.channels)
        from_hz, to_hz = int(sound.samplerate), sampling_rate_hz or int(sound.samplerate)
        samples = np.concatenate(list(resample_blocks(_mono_blocks(sound, path, levels, remedy), from_hz, to_hz)))
        if levels.n_samples < least_samples:
            raise BrokenArtifact(
                f"{path} is cut short or damaged: {levels.n_samples:,} of {least_samples:,} samples; {remedy}"
            )
        lossy = sound.subtype in _LOSSY
    levels.judge(path, from_hz, lossy=lossy, low_bits_peak=low_bits_peak, notes=notes)
    return samples, to_hz


def sound_duration_s(path: Path, *, remedy: str = REMEDY) -> float:
    """Length of a sound in s; an MP3, which only estimates it, is read for it.

    Raises
    ------
    BrokenArtifact
        As `read_sound`, as far as headers tell.
    """
    with _opened(path, Notes(), remedy) as (sound, _, _):
        n_samples = int(sound.frames)
        if sound.format == "MP3":
            n_samples = 0
            while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
                n_samples += len(block)
        return float(n_samples / sound.samplerate)


@contextlib.contextmanager
def _opened(path: Path, notes: Notes, remedy: str) -> Iterator[tuple[soundfile.SoundFile, float, int]]:
    """A sound file whose header was checked, what `check_header` returns, and how many samples it must give at least.

    What soundfile raises within becomes one line.
    """
    import soundfile

    from pipeline.stimuli.file_remarks import refuse_placeholder
    from pipeline.stimuli.sounds.headers import check_header

    refuse_placeholder(path, "sound", remedy)
    low_bits_peak = check_header(path, notes, remedy)
    try:
        with soundfile.SoundFile(path) as sound:
            if sound.format not in FORMATS:
                raise BrokenArtifact(
                    f"{path} is {sound.format}, of which it cannot be seen whether it is whole; save it as WAV or FLAC"
                )
            least_samples = _least_samples(sound, path, remedy)
            if sound.frames == 0:
                raise BrokenArtifact(f"{path} holds no sound (0 samples); {remedy}")
            if sound.frames > _COUNT_UNKNOWN:
                raise BrokenArtifact(
                    f"{path} states no length of its sound, as where it was piped; save it anew as WAV"
                )
            lowest_hz, highest_hz = _SAMPLING_RATES_HZ
            if not lowest_hz <= sound.samplerate <= highest_hz:
                raise BrokenArtifact(
                    f"{path} states {sound.samplerate:,} samples per second, expected {lowest_hz:,} to "
                    f"{highest_hz:,}; correct its header"
                )
            yield sound, low_bits_peak, least_samples
    except soundfile.SoundFileError as error:
        said = str(error).removeprefix(f"Error opening {str(path)!r}: ").removeprefix("Error : ")
        raise BrokenArtifact(f"{path} cannot be read as sound ({said}); {remedy}") from error


def _mono_blocks(sound: soundfile.SoundFile, path: Path, levels: SoundLevels, remedy: str) -> Iterator[np.ndarray]:
    import numpy as np

    while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        if not np.isfinite(block).all():
            raise BrokenArtifact(f"{path} holds samples that are no numbers (NaN or infinite); {remedy}")
        levels.add(block)
        yield block.mean(axis=1, dtype=np.float32)


def _least_samples(sound: soundfile.SoundFile, path: Path, remedy: str) -> int:
    """The least number of samples per channel that a whole file gives."""
    from pipeline.stimuli.sounds.compressed import mp3_samples, ogg_samples

    if sound.format == "OGG":
        return max(int(sound.frames), ogg_samples(path, int(sound.samplerate), remedy) or 0)
    if sound.format != "MP3":
        return int(sound.frames)
    least = max(1, (mp3_samples(path, remedy) or 0) - _MP3_SLACK_SAMPLES)
    if least > sound.frames:
        raise BrokenArtifact(
            f"{path} is an MP3 of variable bit rate that does not state its length, of which only {sound.frames:,} of "
            f"at least {least:,} samples would be read; save it anew as WAV"
        )
    return least


def audio_stimulus(
    name: str,
    clips: Sequence[np.ndarray],
    items: Sequence[str],
    sampling_rate_hz: int,
    categories: Sequence[str] | None = None,
) -> xr.Dataset:
    """Clips of any lengths as one audio stimulus.

    Parameters
    ----------
    clips : each (n_samples,) float32 in ±1; shorter ones are padded with zeros, ``n_samples`` says how far they go
    items : the names by which a recording refers to the clips
    categories : one per clip, where known

    Returns
    -------
    Dataset with ``clips (clip, sample)``, ``n_samples (clip)``, ``item (clip)`` and ``category (clip)``.
    """
    import numpy as np
    import xarray as xr

    lengths = np.array([clip.size for clip in clips], dtype=np.int64)
    padded = np.zeros((len(clips), int(lengths.max())), dtype=np.float32)
    for row, clip in zip(padded, clips, strict=True):
        row[: clip.size] = clip
    coords: dict[str, tuple[str, np.ndarray]] = {"item": ("clip", np.asarray(items))}
    if categories is not None:
        coords["category"] = ("clip", np.asarray(categories))
    return xr.Dataset(
        {"clips": (("clip", "sample"), padded, {"units": "±1"}), "n_samples": ("clip", lengths)},
        coords=coords,
        attrs={"modality": "audio", "name": name, "sampling_rate_hz": sampling_rate_hz},
    )
