"""Sounds for networks and baselines: resampling, causal frames of one long recording, and clips as items.

A stimulus of one clip is a recording on a clock: its samples are frames, each at the end of the window
that it has seen. A stimulus of several clips is a set of items: its samples are clips, each the mean
over the windows that lie wholly within the clip, so padding never enters pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pipeline.core.errors import BrokenArtifact
from pipeline.stimuli.sounds.resampling import resample

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr


def is_one_recording(stimulus: xr.Dataset) -> bool:
    """One clip is a recording on a clock; several are items."""
    return bool(stimulus.sizes["clip"] == 1)


def clip_sound(stimulus: xr.Dataset, clip: int, sampling_rate_hz: int) -> np.ndarray:
    """The valid samples of one clip at a network's sampling rate: (n_samples,) float32."""
    import numpy as np

    n_samples = int(stimulus["n_samples"][clip])
    sound = np.asarray(stimulus["clips"][clip, :n_samples].values, dtype=np.float32)
    return resample(sound, float(stimulus.attrs["sampling_rate_hz"]), sampling_rate_hz)


def scaled_to_rms(sound: np.ndarray, rms: float) -> np.ndarray:
    """A sound brought to a root mean square; silence stays silence."""
    import numpy as np

    found = float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
    return sound * np.float32(rms / found) if found > 0 else sound


def frame_ends(n_samples: int, window: int, hop: int) -> np.ndarray:
    """Ends of the causal frames, in samples: the multiples of the hop with a whole window before them.

    A frame that ends at sample e has seen samples e − window … e − 1 and nothing later.
    """
    import numpy as np

    first = -(-window // hop)
    return np.arange(first, n_samples // hop + 1) * hop


def frames_of(sound: np.ndarray, ends: np.ndarray, window: int) -> np.ndarray:
    """Windows of a sound that end before the given samples: (n_frames, window)."""
    import numpy as np

    windows = np.lib.stride_tricks.sliding_window_view(sound, window)
    return np.array(windows[ends - window])


def framed_clock(stimulus: xr.Dataset, sampling_rate_hz: int, window: int, hop: int) -> tuple[str, np.ndarray]:
    """The sample axis of a framed network: ``time`` with each frame's end in s, or ``item`` with clip names.

    Raises
    ------
    BrokenArtifact
        A clip is shorter than one window.
    """
    from pipeline.artifacts.stimulus import item_names

    rate = float(stimulus.attrs["sampling_rate_hz"])
    shortest = int(stimulus["n_samples"].min())
    if not frame_ends(int(shortest * sampling_rate_hz / rate), window, hop).size:
        raise BrokenArtifact(
            f"stimulus '{stimulus.attrs['name']}' has a clip of {shortest / rate:.3f} s, shorter than one window of "
            f"{window / sampling_rate_hz:.3f} s; leave it out of the dataset"
        )
    if not is_one_recording(stimulus):
        return "item", item_names(stimulus)
    n_samples = clip_sound(stimulus, 0, sampling_rate_hz).size
    return "time", frame_ends(n_samples, window, hop) / sampling_rate_hz


def framed_batches(
    stimulus: xr.Dataset,
    layers_of: Callable[[np.ndarray], dict[str, np.ndarray]],
    sampling_rate_hz: int,
    window: int,
    hop: int,
    batch_size: int,
) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
    """Show causal frames to a network: the frames of one recording, or each clip's mean over its frames.

    Parameters
    ----------
    layers_of : frames (n, window) → layer → (n, …)
    batch_size : frames per forward pass, and clips per yielded batch

    Yields
    ------
    (int, dict)
        First sample (frame or clip) and layer → float32 (n, …).
    """
    import numpy as np

    if is_one_recording(stimulus):
        sound = clip_sound(stimulus, 0, sampling_rate_hz)
        for start, frames in _frame_batches(sound, window, hop, batch_size):
            yield start, layers_of(frames)
        return
    for start in range(0, stimulus.sizes["clip"], batch_size):
        means = []
        for clip in range(start, min(start + batch_size, stimulus.sizes["clip"])):
            sound = clip_sound(stimulus, clip, sampling_rate_hz)
            sums: dict[str, np.ndarray] = {}
            for _, frames in _frame_batches(sound, window, hop, batch_size):
                for name, values in layers_of(frames).items():
                    sums[name] = sums.get(name, 0) + values.sum(axis=0, dtype=np.float64)
            n_frames = frame_ends(sound.size, window, hop).size
            means.append({name: (total / n_frames).astype(np.float32) for name, total in sums.items()})
        yield start, {name: np.stack([mean[name] for mean in means]) for name in means[0]}


def _frame_batches(sound: np.ndarray, window: int, hop: int, batch_size: int) -> Iterator[tuple[int, np.ndarray]]:
    ends = frame_ends(sound.size, window, hop)
    for start in range(0, ends.size, batch_size):
        yield start, frames_of(sound, ends[start : start + batch_size], window)
