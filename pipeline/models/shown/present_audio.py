"""Sound as a network takes it: causal windows of a recording on a clock, or clips as items.

A stimulus of one clip is a recording on a clock: the sample at time t is the network's last output step for the
window that ends at t. No later sound enters it. Windows grow from the start of the recording until they have their
full length, so until then a window is all there was to hear. Where a look-ahead is asked for, the window ends so much
later and the step is the last that lies before t; near the end of the recording the window ends with it, unpadded.
A stimulus of several clips is a set of items: a sample is the mean over the output steps within the clip; padding
never enters it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.stimulus import item_names
from pipeline.core.errors import BrokenArtifact, LayermapError
from pipeline.models.shown.audio_stimuli import (
    clip_sound,
    frame_ends,
    framed_clock,
    frames_of,
    is_one_recording,
    scaled_to_rms,
)
from pipeline.models.torch.hooked_network import Pass

if TYPE_CHECKING:
    import numpy as np
    import torch
    import xarray as xr


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of a recording, causal but for a look-ahead that the study asks for.

    Parameters
    ----------
    sampling_rate_hz : that the network was trained on; sound is resampled to it
    window_s : longest sound that a sample sees, look-ahead included
    stride_s : between samples
    shortest_s : the first sample comes once so much was heard
    look_ahead_s : how far beyond a sample its window reaches
    """

    sampling_rate_hz: int
    window_s: float
    stride_s: float
    shortest_s: float
    look_ahead_s: float = 0.0

    @classmethod
    def of(cls, shown: Mapping[str, Any]) -> Windows:
        """As an entry's preprocessing has them."""
        return cls(*(shown[key] for key in ("sampling_rate_hz", "window_s", "stride_s", "shortest_s", "look_ahead_s")))

    def ends(self, n_samples: int) -> np.ndarray:
        """Where samples are taken, in samples of sound: the multiples of the stride with the shortest past before."""
        import numpy as np

        stride = self.stride_s * self.sampling_rate_hz
        ends = np.rint(np.arange(1, int(n_samples / stride + 1e-9) + 1) * stride).astype(int)
        return ends[ends >= round(self.shortest_s * self.sampling_rate_hz)]

    @property
    def length(self) -> int:
        """Of a full window, in samples."""
        return round(self.window_s * self.sampling_rate_hz)

    def piece(self, sound: np.ndarray, end: int) -> tuple[np.ndarray, int]:
        """The window of the sample at ``end``, and how much of it lies before the sample."""
        stop = end + round(self.look_ahead_s * self.sampling_rate_hz)
        start = max(0, stop - self.length)
        return sound[start:stop], end - start


class _HeardInWindows:
    """What networks on waveforms and on padded spectrograms share."""

    def __init__(self, name: str, windows: Windows) -> None:
        self._name = name
        self._windows = windows

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        rate = float(stimulus.attrs["sampling_rate_hz"])
        what = f"stimulus '{stimulus.attrs['name']}'"
        if is_one_recording(stimulus):
            n_samples = clip_sound(stimulus, 0, self._windows.sampling_rate_hz).size
            ends = self._windows.ends(n_samples)
            if not ends.size:
                raise BrokenArtifact(
                    f"{what} lasts {n_samples / self._windows.sampling_rate_hz:.3f} s, less than one stride of "
                    f"{self._windows.stride_s:g} s; choose a shorter stride_s for {self._name}"
                )
            return "time", ends / self._windows.sampling_rate_hz
        shortest, longest = (int(value) / rate for value in (stimulus["n_samples"].min(), stimulus["n_samples"].max()))
        if longest > self._windows.window_s:
            raise LayermapError(
                f"{what} has a clip of {longest:.1f} s, but {self._name} hears {self._windows.window_s:g} s at most; "
                "cut it into clips, or choose another model"
            )
        if shortest < self._windows.shortest_s:
            raise BrokenArtifact(
                f"{what} has a clip of {shortest:.3f} s, but {self._name} needs {self._windows.shortest_s:g} s; "
                "leave it out of the dataset"
            )
        return "item", item_names(stimulus)

    def _pieces(
        self, stimulus: xr.Dataset, batch_size: int, first: int, *, equal: bool
    ) -> Iterator[tuple[int, list[np.ndarray], list[int]]]:
        """(first sample, sounds of its pass, samples of each up to its own time): windows or clips in order, of equal
        length if so asked. Of a clip all is up to its time."""
        rate = self._windows.sampling_rate_hz
        if is_one_recording(stimulus):
            sound = clip_sound(stimulus, 0, rate)
            pieces = (self._windows.piece(sound, end) for end in self._windows.ends(sound.size)[first:])
        else:
            clips = (clip_sound(stimulus, clip, rate) for clip in range(first, stimulus.sizes["clip"]))
            pieces = ((clip, clip.size) for clip in clips)
        batch: list[np.ndarray] = []
        until: list[int] = []
        for piece, own in pieces:
            if batch and (len(batch) == batch_size or (equal and piece.size != batch[0].size)):
                yield first, batch, until
                first += len(batch)
                batch, until = [], []
            batch.append(piece)
            until.append(own)
        if batch:
            yield first, batch, until


class Waveforms(_HeardInWindows):
    """For networks on raw sound; windows of unequal length never share a pass, so nothing is padded.

    Parameters
    ----------
    standardise : each window to mean 0 and SD 1 over its own samples, as in training
    """

    def __init__(self, name: str, windows: Windows, *, standardise: bool, argument: str = "input_values") -> None:
        super().__init__(name, windows)
        self._standardise = standardise
        self._argument = argument

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        import numpy as np
        import torch

        recording, ahead = is_one_recording(stimulus), self._windows.look_ahead_s > 0
        for start, sounds, until in self._pieces(stimulus, batch_size, first, equal=True):
            select: Callable[[torch.Tensor], torch.Tensor] = last_step if recording else mean_over_steps
            if recording and ahead:
                select = _last_before([own / sound.size for own, sound in zip(until, sounds, strict=True)])
            values = np.stack(sounds)
            if self._standardise:
                values = (values - values.mean(axis=1, keepdims=True)) / np.sqrt(
                    values.var(axis=1, keepdims=True) + 1e-7
                )
            tensor = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
            yield Pass(start, len(sounds), {self._argument: tensor} if self._argument else tensor, select)


class PaddedSpectrograms(_HeardInWindows):
    """For networks that take spectrograms of one fixed duration: sound first, then silence.

    Parameters
    ----------
    spectrogram : sounds → (n, band, step) for the whole ``window_s``
    rms : each window or clip is scaled to it; None leaves the level
    """

    def __init__(
        self,
        name: str,
        windows: Windows,
        spectrogram: Callable[[list[np.ndarray]], torch.Tensor],
        *,
        rms: float | None,
        argument: str = "input_features",
    ) -> None:
        super().__init__(name, windows)
        self._spectrogram = spectrogram
        self._rms = rms
        self._argument = argument

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        recording = is_one_recording(stimulus)
        for start, sounds, until in self._pieces(stimulus, batch_size, first, equal=False):
            scaled = [sound if self._rms is None else scaled_to_rms(sound, self._rms) for sound in sounds]
            heard = [own / self._windows.length for own in until]
            inputs = self._spectrogram(scaled)
            if not recording:
                select = _mean_heard(heard)
            else:
                select = _last_before(heard) if self._windows.look_ahead_s > 0 else _last_heard(heard)
            yield Pass(start, len(sounds), {self._argument: inputs} if self._argument else inputs, select)


class Frames:
    """For networks on short frames: each frame a sample; of several clips, each clip's mean over its frames.

    Parameters
    ----------
    window, hop : of the frames, in samples
    prepare : frames (n, window) → the network's input
    """

    def __init__(
        self, sampling_rate_hz: int, window: int, hop: int, prepare: Callable[[np.ndarray], torch.Tensor]
    ) -> None:
        self._rate = sampling_rate_hz
        self._window = window
        self._hop = hop
        self._prepare = prepare

    def clock(self, stimulus: xr.Dataset) -> tuple[str, np.ndarray]:
        return framed_clock(stimulus, self._rate, self._window, self._hop)

    def passes(self, stimulus: xr.Dataset, batch_size: int, first: int = 0) -> Iterator[Pass]:
        import numpy as np

        if is_one_recording(stimulus):
            sound = clip_sound(stimulus, 0, self._rate)
            ends = frame_ends(sound.size, self._window, self._hop)
            for start in range(first, ends.size, batch_size):
                frames = frames_of(sound, ends[start : start + batch_size], self._window)
                yield Pass(start, len(frames), self._prepare(frames))
            return
        for start in range(first, stimulus.sizes["clip"], batch_size):
            clips = range(start, min(start + batch_size, stimulus.sizes["clip"]))
            sounds = [clip_sound(stimulus, clip, self._rate) for clip in clips]
            heard = [frames_of(s, frame_ends(s.size, self._window, self._hop), self._window) for s in sounds]
            select = _mean_of_groups([len(own) for own in heard])
            yield Pass(start, len(sounds), self._prepare(np.concatenate(heard)), select)


def last_step(values: torch.Tensor) -> torch.Tensor:
    """(n, feature, step) → (n, feature); a layer that has pooled its steps itself stays."""
    return values[..., -1] if values.ndim > 2 else values


def mean_over_steps(values: torch.Tensor) -> torch.Tensor:
    """(n, feature, step) → (n, feature); a layer that has pooled its steps itself stays."""
    return values.mean(dim=-1) if values.ndim > 2 else values


def n_heard(share: float, n_steps: int) -> int:
    """Output steps within the sound, where it fills a share of the window: at least one."""
    return max(1, round(share * n_steps))


def n_before(share: float, n_steps: int) -> int:
    """Output steps that end before a sample, where so much of the window lies before it: at least one.

    Steps are taken to divide the window evenly.
    """
    return max(1, int(share * n_steps + 1e-9))


def _last_before(shares: list[float]) -> Callable[[torch.Tensor], torch.Tensor]:
    def select(values: torch.Tensor) -> torch.Tensor:
        import torch

        if values.ndim <= 2:  # a layer that has pooled its steps itself stays
            return values
        rows = zip(values, shares, strict=True)
        return torch.stack([row[..., n_before(share, row.shape[-1]) - 1] for row, share in rows])

    return select


def _last_heard(shares: list[float]) -> Callable[[torch.Tensor], torch.Tensor]:
    def select(values: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.stack(
            [row[..., n_heard(share, row.shape[-1]) - 1] for row, share in zip(values, shares, strict=True)]
        )

    return select


def _mean_heard(shares: list[float]) -> Callable[[torch.Tensor], torch.Tensor]:
    def select(values: torch.Tensor) -> torch.Tensor:
        import torch

        rows = zip(values, shares, strict=True)
        return torch.stack([row[..., : n_heard(share, row.shape[-1])].mean(dim=-1) for row, share in rows])

    return select


def _mean_of_groups(sizes: list[int]) -> Callable[[torch.Tensor], torch.Tensor]:
    def select(values: torch.Tensor) -> Any:
        import torch

        return torch.stack([group.mean(dim=0) for group in values.split(sizes)])

    return select
