"""Sound files as mono float32 in ±1, at their own sampling rate or brought to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import soundfile
    import xarray as xr

REMEDY = "delete it and run: snakemake fetch"
_BLOCK_SAMPLES = 2**18
_LENGTH_UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""What programs write as the length of sound that they have not come to the end of yet."""


def read_audio(path: Path, *, sampling_rate_hz: int = 16_000, remedy: str = REMEDY) -> np.ndarray:
    """Read a sound of any format that libsndfile knows (WAV, FLAC, AIFF, Ogg, MP3 …).

    Resampling is `pipeline.stimuli.resampling.resample`: zero phase, reaching 0.6 ms ahead at 16 kHz. The file is read
    and resampled block by block, so that memory holds the result and a block.

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
        Missing, no sound file (a web page, the pointer of git-annex or LFS), cut short, or without samples.
    """
    import numpy as np
    import soundfile

    from pipeline.stimuli.resampling import resample_blocks

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; {remedy}")
    _refuse_what_stands_for_sound(path, remedy)
    try:
        with soundfile.SoundFile(path) as sound:
            if sound.frames == 0:
                raise BrokenArtifact(f"{path} holds no sound (0 samples); {remedy}")
            blocks = _mono_blocks(sound, path, remedy)
            pieces = list(resample_blocks(blocks, sound.samplerate, sampling_rate_hz))
    except soundfile.SoundFileError as error:
        said = str(error).removeprefix(f"Error opening {str(path)!r}: ")
        raise BrokenArtifact(f"{path} cannot be read as sound ({said}); {remedy}") from error
    return np.concatenate(pieces)


def _mono_blocks(sound: soundfile.SoundFile, path: Path, remedy: str) -> Iterator[np.ndarray]:
    import numpy as np

    n_read = 0
    while len(block := sound.read(_BLOCK_SAMPLES, dtype="float32", always_2d=True)):
        n_read += len(block)
        if not np.isfinite(block).all():
            raise BrokenArtifact(f"{path} holds samples that are no numbers; {remedy}")
        yield block.mean(axis=1, dtype=np.float32)
    if n_read < sound.frames and sound.format != "MP3":  # whose header may only estimate its length
        raise BrokenArtifact(f"{path} is cut short: {n_read} of {sound.frames} samples; {remedy}")


def _refuse_what_stands_for_sound(path: Path, remedy: str) -> None:
    """Name what servers and git leave in a file's place, and sound that ends before its header says.

    libsndfile reads WAV and AIFF files that were cut short without a word.
    """
    with open(path, "rb") as stream:
        start = stream.read(200)
    text = start.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml")):
        raise BrokenArtifact(f"{path} is a web page, no sound; {remedy}")
    if b"annex/objects" in text or text.startswith(b"version https://git-lfs"):
        raise BrokenArtifact(f"{path} is the pointer that git keeps in place of the sound; {remedy}")
    stated, held = _stated_bytes(path)
    if stated > held:
        raise BrokenArtifact(f"{path} is cut short: {held:,} of {stated:,} bytes of sound; {remedy}")


def _stated_bytes(path: Path) -> tuple[int, int]:
    """Bytes of sound that a WAV or AIFF file says it has, and that follow; zeros where it does not say."""
    with open(path, "rb") as stream:
        kind = stream.read(12)
        order: Literal["little", "big"] = "little" if kind[:4] == b"RIFF" else "big"
        if kind[:4] not in (b"RIFF", b"FORM"):
            return 0, 0
        while len(header := stream.read(8)) == 8:
            n_bytes = int.from_bytes(header[4:], order)
            if header[:4] in (b"data", b"SSND"):
                held = path.stat().st_size - stream.tell()
                return (0, held) if n_bytes in _LENGTH_UNKNOWN else (n_bytes, held)
            stream.seek(n_bytes + n_bytes % 2, 1)
    return 0, 0


def _to_unit_range(samples: np.ndarray) -> np.ndarray:
    """Integer PCM of any width to float32 in [-1, 1); floats as they are."""
    import numpy as np

    if samples.dtype.kind == "f":
        return samples.astype(np.float32)
    if samples.dtype.kind == "u":  # 8-bit PCM is unsigned, with silence at 128
        return ((samples.astype(np.float32) - 128) / 128).astype(np.float32)
    return (samples / float(-np.iinfo(samples.dtype).min)).astype(np.float32)


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Read a WAV file (PCM of 8, 16, 24 or 32 bits, or float).

    Returns
    -------
    samples : (n_samples,) float32 in ±1, channels averaged
    sampling_rate_hz : as in the file

    Raises
    ------
    BrokenArtifact
        Missing, no WAV, without sound, or cut short; the message names the file.
    """
    import warnings

    from scipy.io import wavfile

    if not path.is_file():
        raise BrokenArtifact(f"{path} is missing; fetch it with: snakemake fetch")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*EOF prematurely.*")
            warnings.filterwarnings("ignore", message=".*not understood.*")  # tags and comments
            sampling_rate_hz, samples = wavfile.read(path)
    except OSError:
        raise
    except Exception as error:  # scipy answers broken bytes with ValueError, struct.error, a warning …
        raise BrokenArtifact(f"{path} cannot be read as WAV ({error}); {REMEDY}") from error
    if samples.shape[0] == 0:
        raise BrokenArtifact(f"{path} holds no sound (0 samples); {REMEDY}")
    mono = _to_unit_range(samples)
    return (mono if mono.ndim == 1 else mono.mean(axis=1, dtype="float32")), int(sampling_rate_hz)


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
