"""Sound files as mono float32 in ±1, at their own sampling rate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import BrokenArtifact

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import xarray as xr


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

    remedy = "delete it and run: snakemake fetch"
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
        raise BrokenArtifact(f"{path} cannot be read as WAV ({error}); {remedy}") from error
    if samples.shape[0] == 0:
        raise BrokenArtifact(f"{path} holds no sound (0 samples); {remedy}")
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
